"""What is over, revoked or guessed at too often is gone; and nothing that lies there opens anything."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from panachain.crypto import jwe
from panachain.errors import DiskError, IntegrityError, UnknownActorError, UsageError
from panachain.sharing import shelf as shelves
from panachain.sharing.shelf import ATTEMPTS, Share, Shelf, digest_of, new_secret, sealed

KEY = bytes(range(32))
PLAIN = b'{"resourceType":"Bundle","note":"a canary in plain words"}'


class Clock:
    now = 1_900_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shelf(tmp_path: Path, clock: Clock) -> Shelf:
    return Shelf(tmp_path / "shares", clock=clock)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cheaper hash: what is tested here is the counting."""
    monkeypatch.setattr("panachain.crypto.passcode._COST", 16)


def put(
    shelf: Shelf, *, code: str = "", flags: str = "", until: int | None = None, count: int = 1
) -> tuple[str, Share]:
    secret = new_secret()
    chosen = frozenset(flags + ("P" if code else ""))
    files = sealed([("application/fhir+json", PLAIN)] * count, KEY, flags=chosen)
    return secret, shelf.put(secret, files, label="Summary", flags=chosen, expires_at=until, code=code)


def everything(folder: Path) -> bytes:
    return b"".join(
        str(path).encode() + (path.read_bytes() if path.is_file() else b"") for path in sorted(folder.rglob("*"))
    )


def test_an_address_has_256_random_bits() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert {len(jwe.decode(one)) for one in secrets} == {32}


def test_gives_out_what_was_put(shelf: Shelf) -> None:
    secret, share = put(shelf, count=2)
    found = shelf.of(secret)
    assert found == share
    file = shelf.file(share, 2)
    assert file is not None
    with file:
        assert jwe.open_(file.read(), KEY, most=1000).content == PLAIN
    assert shelf.of(new_secret()) is None


def test_holds_no_key_no_address_no_passcode_and_nothing_in_the_clear(shelf: Shelf, tmp_path: Path) -> None:
    secret, _ = put(shelf, code="428 913")
    held = everything(tmp_path)
    for what in (KEY, KEY.hex().encode(), jwe.encode(KEY).encode(), secret.encode(), b"428 913", b"canary"):
        assert what not in held
    assert b"Summary" in held, "the search finds what is there"


def test_files_are_their_owners_only(shelf: Shelf, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        put(shelf)
    finally:
        os.umask(before)
    for path in (tmp_path / "shares").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


class TestEnd:
    def test_leads_to_nothing_from_its_moment_on(self, shelf: Shelf, clock: Clock, tmp_path: Path) -> None:
        secret, share = put(shelf, until=int(clock.now) + 100)
        clock.now += 99
        assert shelf.of(secret) == share
        clock.now += 1
        assert shelf.of(secret) is None
        assert share.digest.encode() not in everything(tmp_path)

    def test_is_swept_without_anybody_asking(self, shelf: Shelf, clock: Clock, tmp_path: Path) -> None:
        _, over = put(shelf, until=int(clock.now) + 100)
        secret, _ = put(shelf)
        clock.now += 100
        assert shelf.sweep() == 1
        assert shelf.sweep() == 0
        assert over.digest.encode() not in everything(tmp_path)
        assert shelf.of(secret) is not None

    def test_a_list_names_only_what_is_not_over(self, shelf: Shelf, clock: Clock) -> None:
        _, first = put(shelf)
        put(shelf, until=int(clock.now) + 5)
        clock.now += 10
        assert shelf.shares() == [first]


class TestRevocation:
    def test_deletes_all_of_it(self, shelf: Shelf, tmp_path: Path) -> None:
        secret, share = put(shelf, count=3)
        other, _ = put(shelf)
        shelf.revoke(shelf.named(share.name))
        assert shelf.of(secret) is None
        assert shelf.file(share, 1) is None
        assert share.digest.encode() not in everything(tmp_path)
        assert shelf.of(other) is not None

    def test_that_did_not_happen_is_not_said(self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
        secret, share = put(shelf)
        monkeypatch.setattr(shelves.shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(DiskError, match="should be gone"):
            shelf.revoke(share)
        # It isn't given out all the same: what is known of it goes first.
        assert shelf.of(secret) is None

    def test_deletes_the_file_for_a_static_host(self, shelf: Shelf, tmp_path: Path) -> None:
        place = tmp_path / "upload.jwe"
        place.write_text("sealed")
        flags = frozenset("U")
        share = shelf.put("s", [("t", "sealed")], label="", flags=flags, expires_at=None, written_to=place)
        assert shelf.of("s") is None, "this machine's server doesn't give it out"
        shelf.revoke(share)
        assert not place.exists()

    def test_finishes_what_was_interrupted(self, shelf: Shelf, tmp_path: Path) -> None:
        _, share = put(shelf)
        (tmp_path / "shares" / share.digest / "share.json").unlink()
        (tmp_path / "shares" / ".new-half").mkdir()
        shelf.sweep()
        assert share.digest.encode() not in everything(tmp_path)
        assert b".new-" not in everything(tmp_path)


class TestPasscode:
    def test_the_right_one_opens_as_often_as_one_likes(self, shelf: Shelf) -> None:
        secret, share = put(shelf, code="428 913")
        assert [shelf.check(share, "428 913") for _ in range(2 * ATTEMPTS)] == [None] * (2 * ATTEMPTS)
        found = shelf.of(secret)
        assert found is not None
        assert found.attempts_left == ATTEMPTS

    def test_wrong_ones_are_counted_for_ever(self, shelf: Shelf, tmp_path: Path, clock: Clock) -> None:
        secret, share = put(shelf, code="428 913")
        for number in range(ATTEMPTS - 1):
            assert shelf.check(share, "0000") == ATTEMPTS - 1 - number
            # The right one between them gives none back, nor does time, nor another process.
            assert shelf.check(share, "428 913") is None
            clock.now += 10_000_000
            shelf = Shelf(tmp_path / "shares", clock=clock)
        assert shelf.check(share, "0000") == 0
        with pytest.raises(UnknownActorError):
            shelf.check(share, "428 913")
        assert shelf.of(secret) is None
        assert [one.files for one in shelf.shares()] == [()]
        assert not list((tmp_path / "shares").rglob("*.jwe"))

    def test_many_at_once_are_no_more(self, shelf: Shelf, tmp_path: Path, clock: Clock) -> None:
        _, share = put(shelf, code="428 913")
        answers: list[object] = []

        def guess(number: int) -> None:
            try:
                answers.append(Shelf(tmp_path / "shares", clock=clock).check(share, f"{number:04d}"))
            except UnknownActorError:
                answers.append("over")

        threads = [threading.Thread(target=guess, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert len(answers) == 40
        assert sorted(one for one in answers if isinstance(one, int)) == list(range(ATTEMPTS))

    def test_a_try_that_can_not_be_counted_is_not_looked_at(
        self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, share = put(shelf, code="428 913")

        def refuses(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(shelves, "write_private", refuses)
        monkeypatch.setattr("panachain.crypto.passcode.fits", lambda *_: pytest.fail("it was looked at"))
        with pytest.raises(DiskError):
            shelf.check(share, "428 913")

    def test_goes_with_its_flag(self, shelf: Shelf) -> None:
        for flags, code in ((frozenset("P"), ""), (frozenset(), "1234")):
            with pytest.raises(UsageError):
                shelf.put("s", [("t", "x")], label="", flags=flags, expires_at=None, code=code)


class TestLocations:
    def test_name_one_file_for_some_minutes(self, shelf: Shelf, clock: Clock) -> None:
        _, share = put(shelf, count=2)
        location = shelf.location(share, 2)
        assert shelf.file_at(share, location) == 2
        clock.now += shelves.LOCATION_SECONDS
        assert shelf.file_at(share, location) is None

    def test_can_not_be_made_or_changed(self, shelf: Shelf, clock: Clock) -> None:
        _, share = put(shelf, count=2)
        _, other = put(shelf, count=2)
        number, until, mark = shelf.location(share, 1).split("-", 2)
        for wrong in (
            f"2-{until}-{mark}",
            f"{number}-{int(until) + 1}-{mark}",
            f"{number}-{until}-{mark[:-1]}",
            f"{number}-{until}-",
            f"{number}-{until}",
            f"3-{until}-{shelves._mark(share, 3, int(until))}",
            f"0-{until}-{shelves._mark(share, 0, int(until))}",
            f"٣-{until}-{mark}",
            f"{number}-{'9' * 5000}-{mark}",
            f"{number}-{until}-é",
            "",
            "../share.json",
        ):
            assert shelf.file_at(share, wrong) is None, wrong
        assert shelf.file_at(other, shelf.location(share, 1)) is None


class TestUpdate:
    def test_gives_other_files(self, shelf: Shelf, clock: Clock) -> None:
        secret, share = put(shelf, flags="L", count=3)
        clock.now += 50
        shelf.replace(share.digest, sealed([("application/fhir+json", b"{}")], KEY, flags=share.flags))
        found = shelf.of(secret)
        assert found is not None
        assert [one.updated_at for one in found.files] == [int(clock.now)]
        assert shelf.file(found, 2) is None

    def test_of_what_was_said_not_to_change_is_refused(self, shelf: Shelf) -> None:
        _, share = put(shelf)
        with pytest.raises(UsageError, match="don't change"):
            shelf.replace(share.digest, [("t", "x")])
        with pytest.raises(UnknownActorError):
            shelf.replace(digest_of("other"), [("t", "x")])


def test_openings_are_remembered_without_what_steers_a_terminal(shelf: Shelf, clock: Clock) -> None:
    secret, share = put(shelf)
    shelf.opened(share, "Mercy \x1b[31mHospital\n" + "x" * 500)
    for _ in range(300):
        shelf.opened(share, "again")
    found = shelf.of(secret)
    assert found is not None
    assert len(found.openings) == 200
    _, other = put(shelf)
    shelf.opened(other, "a\x1bb\nc")
    assert "\x1b" not in shelf.named(other.name).openings[0].recipient


def test_a_name_means_one(shelf: Shelf) -> None:
    _, share = put(shelf)
    assert shelf.named(share.name[:6].upper()) == share
    for wrong in ("", "zz", "../.."):
        with pytest.raises(UnknownActorError):
            shelf.named(wrong)


def test_what_was_damaged_is_told(shelf: Shelf, tmp_path: Path) -> None:
    secret, share = put(shelf)
    for content in (b"", b"[]", b'{"schema":"panachain/share/2"}', b"\xff"):
        (tmp_path / "shares" / share.digest / "share.json").write_bytes(content)
        with pytest.raises(IntegrityError, match="can't be read"):
            shelf.of(secret)


@pytest.mark.parametrize("how", ["torn", "a folder", "a FIFO", "large"])
def test_one_that_is_damaged_stops_none_of_the_others(shelf: Shelf, clock: Clock, tmp_path: Path, how: str) -> None:
    (secret, bad), (other, good), (_, ending) = put(shelf), put(shelf), put(shelf, until=int(clock()) + 60)
    facts = tmp_path / "shares" / bad.digest / "share.json"
    content = facts.read_bytes()
    facts.unlink()
    if how == "a folder":
        facts.mkdir()
    elif how == "a FIFO":
        os.mkfifo(facts)
    else:
        facts.write_bytes(content[:-9] if how == "torn" else content + b" " * (1 << 23))
    clock.now += 120
    # What is over is deleted all the same, and what isn't is opened.
    assert shelf.sweep() == 1
    assert not (tmp_path / "shares" / ending.digest).exists()
    assert shelf.of(other) == good
    found, damaged = shelf.look()
    assert (found, list(damaged)) == ([good], [bad.digest])
    assert str(facts) in damaged[bad.digest].hint
    assert shelf.named(good.name) == good
    for asked in (lambda: shelf.of(secret), lambda: shelf.named(bad.name)):
        with pytest.raises(IntegrityError, match="can't be read; it leads to nothing"):
            asked()
    # What it says helps does.
    shutil.rmtree(facts.parent)
    assert shelf.look() == ([good], {})


def test_what_a_link_takes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="nothing to share"):
        sealed([], KEY, flags=frozenset())
    with pytest.raises(UsageError, match="more files than the 1 "):
        sealed([("t", b"")] * 2, KEY, flags=frozenset("U"))
    with pytest.raises(UsageError, match="more files than the 100 "):
        sealed([("t", b"")] * 101, KEY, flags=frozenset())
    monkeypatch.setattr(shelves, "MAX_FILE", 10)
    with pytest.raises(UsageError, match="11 bytes"):
        sealed([("t", bytes(11))], KEY, flags=frozenset())
