"""Which versions are published: the very same, or the newest one's content; and never in another place."""

from __future__ import annotations

from pathlib import Path

import pytest

from panachain.errors import DiskError
from panachain.model.actors import Address
from panachain.records.journal import Journal
from panachain.records.journal_resources import KnownResource, is_known

PATIENT = Address("0xPatient")


def known(
    print_: bytes = b"a", rank: int | None = None, scope: str = "laboratory/2024", base: bytes = b""
) -> KnownResource:
    stamp = b"%d %s" % (rank, print_) if rank is not None else b""
    return KnownResource(PATIENT, b"name", base, stamp, print_, rank, None, scope, b"source")


class TestIsKnown:
    def test_the_newest_content_is_and_an_older_one_is_not(self) -> None:
        published = [known(b"a"), known(b"b")]
        assert is_known(known(b"b"), published)
        # What goes back to an older value is news.
        assert not is_known(known(b"a"), published)
        assert not is_known(known(b"a"), [])

    def test_a_version_that_was_published_is_also_if_a_newer_one_was_since(self) -> None:
        published = [known(b"a", 1), known(b"b", 2)]
        assert is_known(known(b"a", 1), published)
        assert not is_known(known(b"a", 3), published)
        assert is_known(known(b"b", 3), published)

    def test_another_category_or_year_is_another_place(self) -> None:
        assert not is_known(known(b"a", scope="sexual-health/2024"), [known(b"a")])
        assert not is_known(known(b"a", 1, "laboratory/2023"), [known(b"a", 1)])

    def test_another_server_of_the_hospital_has_other_resources(self) -> None:
        assert is_known(known(base=b"x"), [known()])
        assert not is_known(known(base=b"x"), [known(base=b"y")])


class TestKept:
    def test_versions_are_written_with_their_batch_and_forgotten_with_it(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "journal.sqlite")
        for sequence in (1, 2):
            journal.prepare(
                sequence=sequence,
                manifest="m",
                list_cid="l",
                records=[],
                done=[],
                resources=[known(b"%d" % sequence)],
            )
        journal.resources.learn([known(b"learned")])
        assert [one.print for one in journal.resources.of(PATIENT, b"name")] == [b"learned", b"1", b"2"]
        assert [one.sequence for one in journal.resources.of(PATIENT, b"name")] == [0, 1, 2]
        assert journal.resources.of(Address("0xOther"), b"name") == journal.resources.of(PATIENT, b"other") == []
        # Of what was learned nobody knows in which batch it was: better published twice than never.
        journal.adopted.forget(2)
        assert [one.print for one in journal.resources.of(PATIENT, b"name")] == [b"1"]
        journal.close()

    def test_a_batch_that_cannot_be_written_leaves_no_versions(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "journal.sqlite")
        batch = {"manifest": "m", "list_cid": "l", "records": [], "done": []}
        journal.prepare(sequence=1, **batch)  # type: ignore[arg-type]
        with pytest.raises(DiskError):
            journal.prepare(sequence=1, resources=[known()], **batch)  # type: ignore[arg-type]
        assert journal.resources.of(PATIENT, b"name") == []
        journal.close()
