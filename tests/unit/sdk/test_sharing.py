"""Links made of records and of files: they open with the link alone, and nothing of it stays on the machine."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from panachain.crypto import jwe
from panachain.errors import InputError, IntegrityError, PartlyDoneError, UnknownActorError, UsageError
from panachain.model.scope import Category
from panachain.sdk.opening import Opening
from panachain.sdk.results.shares import MadeLink
from panachain.sdk.sharing import Sharing
from panachain.sharing.link import read_link
from panachain.sharing.shelf import Shelf
from tests.cli.test_open import opened
from tests.unit.summary.ips import faults

URL = "https://links.example"
BUNDLE = (
    b'{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Observation","id":"o1"}}]}'
)


@pytest.fixture
def links(tmp_path: Path) -> Sharing:
    return Sharing(tmp_path / "home", clock=lambda: 1_900_000_000)


def content_of(links: Sharing, made: MadeLink, number: int = 1) -> bytes:
    link = read_link(made.text)
    share = Shelf(links.folder, clock=lambda: 1_900_000_000).of(link.url.rpartition("/")[2])
    assert share is not None
    file = Shelf(links.folder).file(share, number)
    assert file is not None
    with file:
        return jwe.open_(file.read(), link.key, most=1 << 20).content


def test_records_of_chosen_categories_and_years_travel(links: Sharing) -> None:
    records = [opened(content=BUNDLE), opened(content=BUNDLE.replace(b"o1", b"o2"), year=2019)]
    made = links.share(records, "laboratory", [2024], url=URL, until=timedelta(days=1), label="Summary")
    value = json.loads(content_of(links, made))
    assert [one["resource"]["id"] for one in value["entry"] if one["resource"]["resourceType"] == "Observation"] == [
        "o1"
    ]
    link = read_link(made.text)
    assert (link.label, link.expires_at, link.flags) == ("Summary", 1_900_086_400, frozenset())
    assert link.url.startswith(f"{URL}/shl/")


def test_what_does_not_fit_makes_no_link(links: Sharing) -> None:
    with pytest.raises(UsageError, match="no record"):
        links.share([opened(content=BUNDLE)], "medications", url=URL, until=None)
    assert links.shares() == []


def test_all_leaves_the_restricted_ones_out(links: Sharing) -> None:
    from dataclasses import replace

    from panachain.model.scope import Category

    record = opened(content=BUNDLE)
    closed = replace(record, info=replace(record.info, category=Category.MENTAL_HEALTH))
    with pytest.raises(UsageError, match="no record"):
        links.share([closed], "all", url=URL, until=None)
    assert links.share([closed], "mental-health", url=URL, until=None).view.files == 1


def test_a_record_that_can_not_be_read_costs_that_record(links: Sharing) -> None:
    torn = opened(content=b"torn")
    with pytest.raises(PartlyDoneError) as caught:
        links.share([torn, opened(content=BUNDLE)], "laboratory", url=URL, until=None)
    made = caught.value.result
    assert isinstance(made, MadeLink)
    assert b"o1" in content_of(links, made)
    assert [type(one.error) for one in caught.value.omissions] == [IntegrityError]
    with pytest.raises(IntegrityError):
        links.share([torn], "laboratory", url=URL, until=None)


def test_files_travel_as_what_they_are(links: Sharing, tmp_path: Path) -> None:
    card = b'{"verifiableCredential":["x.y.z"]}'
    for name, content in (("a.json", BUNDLE), ("b.json", card), ("c.pdf", b"%PDF-1.7"), ("d.json", b"[1]")):
        (tmp_path / name).write_bytes(content)
    made = links.share_files([tmp_path / name for name in ("a.json", "b.json", "c.pdf", "d.json")], url=URL, until=None)
    share = Shelf(links.folder).shares()[0]
    kinds = ["application/fhir+json", "application/smart-health-card", "application/fhir+json", "application/fhir+json"]
    assert [one.content_type for one in share.files] == kinds
    assert content_of(links, made, 1) == BUNDLE
    wrapped = json.loads(content_of(links, made, 3))
    assert [one["resource"]["resourceType"] for one in wrapped["entry"]] == ["DocumentReference", "Binary"]
    assert b"c.pdf" not in content_of(links, made, 3)
    with pytest.raises(InputError):
        links.share_files([tmp_path / "none"], url=URL, until=None)


def test_nothing_of_a_link_stays_on_the_machine(links: Sharing, tmp_path: Path) -> None:
    made = links.share([opened(content=BUNDLE)], "laboratory", url=URL, until=None, passcode="428 913")
    link = read_link(made.text)
    held = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())
    held += str(sorted((tmp_path / "home").rglob("*"))).encode()
    for what in (link.key, jwe.encode(link.key).encode(), link.url[-43:].encode(), b"428 913", b"Observation"):
        assert what not in held
    assert made.text not in repr(made)


class TestStatic:
    def test_the_file_is_written_for_any_host(self, links: Sharing, tmp_path: Path) -> None:
        folder = tmp_path / "upload"
        folder.mkdir(mode=0o755)
        made = links.share([opened(content=BUNDLE)], "laboratory", url=URL, until=None, folder=folder)
        link = read_link(made.text)
        place = folder / link.url.rpartition("/")[2]
        assert (link.flags, str(place)) == ({"U"}, made.view.written_to)
        assert b"o1" in jwe.open_(place.read_bytes(), link.key, most=1 << 20).content
        assert place.stat().st_mode & 0o777 == 0o644
        links.revoke(made.view.name)
        assert list(folder.iterdir()) == []

    def test_is_not_written_where_others_may_write(self, links: Sharing, tmp_path: Path) -> None:
        folder = tmp_path / "upload"
        folder.mkdir()
        folder.chmod(0o777)
        with pytest.raises(UsageError, match="only you"):
            links.share([opened(content=BUNDLE)], "laboratory", url=URL, until=None, folder=folder)

    def test_can_have_no_passcode(self, links: Sharing, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="nobody to ask"):
            links.share([opened(content=BUNDLE)], "laboratory", url=URL, until=None, folder=tmp_path, passcode="1234")


@pytest.mark.parametrize(
    "options",
    [
        {"passcode": "123"},
        {"until": 1_900_000_000},
        {"until": timedelta(days=-1)},
        {"url": "http://links.example"},
        {"url": "https://links"},
        {"url": "https://links.example/" + "x" * 80},
        {"viewer": "http://viewer.example"},
        {"direct": True, "passcode": "1234"},
    ],
)
def test_a_link_that_would_not_do_is_not_made(links: Sharing, options: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"url": URL, "until": None}
    with pytest.raises(UsageError):
        links.share([opened(content=BUNDLE)], "laboratory", **(usual | options))
    assert links.shares() == []


def test_a_link_for_longer_is_given_other_files_by_the_link_alone(links: Sharing, tmp_path: Path) -> None:
    made = links.share([opened(content=BUNDLE)], "laboratory", url=URL, until=None, long_term=True)
    (tmp_path / "new.json").write_bytes(b'{"resourceType":"Patient"}')
    links.update(made.text, [tmp_path / "new.json"])
    assert content_of(links, made) == b'{"resourceType":"Patient"}'
    links.revoke(made.view.name)
    with pytest.raises(UnknownActorError):
        links.update(made.text, [tmp_path / "new.json"])


def test_a_link_of_others_is_not_followed_into_this_machine(links: Sharing, monkeypatch: pytest.MonkeyPatch) -> None:
    from panachain.errors import EndpointRefusedError
    from panachain.sharing.link import Link

    monkeypatch.setenv("PANACHAIN_HOME", os.fspath(links.folder.parent))
    with pytest.raises(EndpointRefusedError):
        links.follow(Link("https://127.0.0.1:8790/shl/x", bytes(32)).text(), recipient="r")


def test_a_summary_is_one_document_without_what_is_restricted(links: Sharing) -> None:
    record = opened(content=BUNDLE)
    closed = replace(record, info=replace(record.info, category=Category.MENTAL_HEALTH))
    made = links.share_summary(Opening(lambda _: iter([record, closed])), url=URL, until=timedelta(days=1))
    document = json.loads(content_of(links, made))
    assert (document["resourceType"], document["type"]) == ("Bundle", "document")
    assert document["entry"][0]["resource"]["resourceType"] == "Composition"
    assert "mental-health" in json.dumps(document)
    assert faults(content_of(links, made)) == []
    both = links.share_summary(
        Opening(lambda _: iter([closed])), ["all", "mental-health"], url=URL, until=timedelta(days=1)
    )
    assert len(content_of(links, both)) > 0
    assert len(links.shares()) == 2


def test_a_summary_of_no_category_makes_no_link(links: Sharing) -> None:
    with pytest.raises(UsageError, match="at least one category"):
        links.share_summary(Opening(lambda _: iter([])), [], url=URL, until=None)
    assert links.shares() == []
