"""Key stores: private, never written over, upgraded without the seed ever being in danger."""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panachain.crypto import keystore, web3_storage, wraps
from panachain.crypto.keys import Seed
from panachain.crypto.wraps import DataKey
from panachain.errors import DiskError, LockedError, UsageError
from panachain.model.credentials import PASSKEY, SECURITY_KEY, Answer, Credential
from tests.golden.formats import FOLDER as GOLDEN
from tests.keystores import make_cheap

SEED = bytes(range(32))
PASSPHRASE = "Grüße, 漢字 and spaces "
OLD = json.loads((GOLDEN / "key-store-1.json").read_text())
OLD_PASSPHRASE = "correct horse battery staple"
OLD_SEED = bytes.fromhex(OLD["seeds"]["patient"])


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_cheap(monkeypatch, for_this_process_only=True)
    tmp_path.chmod(0o700)


@pytest.fixture
def quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old file whose derivation was done before: what it gives is noted here, not computed each time."""
    derive = web3_storage._derive

    def derived(passphrase: str, salt: bytes, *, n: int, p: int) -> bytes:
        key = (passphrase, salt, n, p)
        if key not in _KNOWN:
            _KNOWN[key] = derive(passphrase, salt, n=n, p=p)
        return _KNOWN[key]

    monkeypatch.setattr(web3_storage, "_derive", derived)


_KNOWN: dict[tuple[str, bytes, int, int], bytes] = {}


def write(folder: Path, content: Any) -> Path:
    path = folder / "seed.json"
    path.touch(mode=0o600)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def old(folder: Path) -> Path:
    """Return a key store that an earlier program wrote."""
    return write(folder, bytes.fromhex(OLD["bytes"]["keystore"]).decode())


def made(folder: Path, passphrase: str = PASSPHRASE, **options: Any) -> Path:
    keystore.create(folder / "seed.json", Seed(SEED), passphrase, **options)
    return folder / "seed.json"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".seed.json.lock"}


class TestCreate:
    def test_opens_with_its_passphrase_only(self, tmp_path: Path) -> None:
        path = made(tmp_path)
        assert path.stat().st_mode & 0o777 == 0o600
        assert keystore.open(path, PASSPHRASE).reveal() == SEED
        assert names(tmp_path) == {"seed.json"}
        for wrong in ("wrong", PASSPHRASE.strip(), PASSPHRASE.lower(), ""):
            with pytest.raises(LockedError, match="doesn't open"):
                keystore.open(path, wrong)

    def test_nothing_that_follows_from_the_seed_is_in_the_clear(self, tmp_path: Path) -> None:
        path = made(tmp_path)
        content = path.read_text()
        assert sorted(json.loads(content)) == ["id", "schema", "seed", "wraps"]
        for secret in (SEED.hex(), Seed(SEED).account_key().hex(), PASSPHRASE):
            assert secret not in content

    @pytest.mark.parametrize("passphrase", ["", "\ud800"])
    def test_a_passphrase_that_is_none_locks_nothing(self, tmp_path: Path, passphrase: str) -> None:
        with pytest.raises(UsageError, match=r"passphrase is (empty|no text)"):
            made(tmp_path, passphrase)
        assert names(tmp_path) == set()

    def test_never_overwrites(self, tmp_path: Path) -> None:
        path = made(tmp_path)
        before = path.read_bytes()
        with pytest.raises(UsageError, match="exists"):
            keystore.create(path, Seed(SEED), "other")
        assert path.read_bytes() == before
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        with pytest.raises(UsageError, match="exists"):
            keystore.create(tmp_path / "link", Seed(SEED), "other")

    def test_one_that_came_meanwhile_stays_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for no_links in (False, True):
            path = tmp_path / f"seed-{no_links}.json"
            path.write_text("somebody else's")
            monkeypatch.setattr(keystore.os.path, "lexists", lambda _: False)
            if no_links:
                monkeypatch.setattr(keystore.os, "link", _refuses(1))
            with pytest.raises(UsageError, match="exists"):
                keystore.create(path, Seed(SEED), "other")
            assert path.read_text() == "somebody else's"

    def test_a_disk_without_hard_links_takes_it_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keystore.os, "link", _refuses(1))
        assert keystore.open(made(tmp_path), PASSPHRASE).reveal() == SEED
        assert names(tmp_path) == {"seed.json"}

    @pytest.mark.parametrize("broken", ["open", "fsync", "link"])
    def test_a_disk_that_refuses_is_told_and_nothing_is_left(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
    ) -> None:
        monkeypatch.setattr(keystore.os, broken, _refuses(28))
        with pytest.raises(DiskError, match="can't be written: No space left"):
            made(tmp_path)
        assert names(tmp_path) == set()

    def test_a_disk_that_gives_back_something_else_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = Path.read_bytes
        monkeypatch.setattr(Path, "read_bytes", lambda path: read(path).replace(b'"sealed": "', b'"sealed": "0'))
        with pytest.raises(DiskError, match="doesn't open when it is read back"):
            made(tmp_path)
        assert names(tmp_path) == set()

    def test_a_derivation_that_came_out_wrong_is_noticed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # As with memory that fails: the file would be as it was meant, and open for nobody.
        derive, times = wraps._derive, iter((b"\1" * 32,))
        monkeypatch.setattr(wraps, "_derive", lambda *given: next(times, None) or derive(*given))
        with pytest.raises(DiskError, match="doesn't open when it is read back"):
            made(tmp_path)
        assert names(tmp_path) == set()


class TestRead:
    def test_refuses_files_that_others_can_read(self, tmp_path: Path) -> None:
        path = made(tmp_path)
        path.chmod(0o640)
        with pytest.raises(LockedError, match="permissions 640"):
            keystore.open(path, PASSPHRASE)

    @pytest.mark.parametrize(("folder", "file"), [(0o701, 0o600), (0o750, 0o600), (0o700, 0o601), (0o700, 0o700)])
    def test_refuses_what_others_could_touch(self, tmp_path: Path, folder: int, file: int) -> None:
        path = write(tmp_path, "{}")
        path.chmod(file)
        tmp_path.chmod(folder)
        for read in (lambda: keystore.open(path, "x"), lambda: keystore.inspect(path)):
            with pytest.raises(LockedError, match=r"has permissions \d+, at most"):
                read()
        path.chmod(0o400)
        tmp_path.chmod(0o700)
        with pytest.raises(LockedError, match="no key store of version"):
            keystore.open(path, "x")

    def test_refuses_weak_and_costly_derivations(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wraps, "LEAST", wraps.Cost(19 << 10, 2, 1))
        monkeypatch.setattr(wraps, "USUAL", wraps.Cost(1 << 18, 3, 4))
        monkeypatch.setattr(wraps, "MOST", wraps.Cost(1 << 20, 3, 16))
        monkeypatch.setattr(wraps, "_derive", lambda *_: bytes(32))
        path = made(tmp_path)
        text = path.read_text()
        for memory, said in ((1 << 14, "weaker than"), (1 << 22, "more than 4 times")):
            path.write_text(text.replace(str(1 << 18), str(memory)))
            with pytest.raises(LockedError, match=said):
                keystore.open(path, PASSPHRASE)
        scrypt = json.loads(bytes.fromhex(OLD["bytes"]["keystore"]))
        for n in (1 << 14, 1 << 30):
            scrypt["crypto"]["kdfparams"]["n"] = n
            with pytest.raises(LockedError, match="scrypt"):
                keystore.open(write(tmp_path, scrypt), OLD_PASSPHRASE)

    @pytest.mark.parametrize(
        "content",
        [
            *("", "[]", "{}", "nothing", '{"version": 4}', '{"version": 3}', '{"schema": 7}', '{"schema": []}'),
            *('{"version": 3, "crypto": 7}', '{"version": 3, "crypto": {"kdfparams": {"n": 1e999}}}'),
            '{"schema": "panachain/key-store/2", "id": "", "wraps": [7], "seed": []}',
            '{"schema": "panachain/key-store/2", "id": "", "wraps": [{"kind": []}], "seed": {}}',
            *("[" * 16_000, '{"crypto":' * 1_000, " " * (1 << 14) + "{}", "0" * (1 << 20)),
        ],
        ids=lambda text: text[:24],
    )
    def test_a_hostile_file_is_no_key_store(self, tmp_path: Path, content: str) -> None:
        path = write(tmp_path, content)
        before = sys.getrecursionlimit()
        # As in a program of one's own: tools for tests raise it.
        sys.setrecursionlimit(1000)
        try:
            for read in (
                lambda: keystore.open(path, "x"),
                lambda: keystore.open_with(path, DataKey(bytes(32))),
                lambda: keystore.change_passphrase(path, "x", "y"),
            ):
                with pytest.raises(LockedError):
                    read()
        finally:
            sys.setrecursionlimit(before)

    def test_a_later_version_is_named_and_left_as_it_is(self, tmp_path: Path) -> None:
        path = write(tmp_path, {"schema": "panachain/key-store/9", "more": 1})
        before = path.read_bytes()
        with pytest.raises(LockedError, match="another version; this program reads panachain/key-store/2"):
            keystore.open(path, "x")
        assert path.read_bytes() == before

    def test_the_largest_file_is_read_and_a_larger_one_is_not(self, tmp_path: Path) -> None:
        path = write(tmp_path, "{}".ljust(1 << 14))
        with pytest.raises(LockedError, match="no key store of version"):
            keystore.open(path, "x")
        path.write_text("{}".ljust((1 << 14) + 1))
        with pytest.raises(LockedError, match="more than 16384 bytes"):
            keystore.open(path, "x")

    def test_one_that_is_not_there_or_no_file_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(LockedError, match="there is no key store"):
            keystore.open(tmp_path / "seed.json", "x")
        (tmp_path / "folder").mkdir(mode=0o600)
        with pytest.raises(LockedError, match="can't be read"):
            keystore.open(tmp_path / "folder", "x")

    def test_a_data_key_opens_its_own_and_no_other(self, tmp_path: Path) -> None:
        path = made(tmp_path)
        seed, key = keystore.unlock(path, PASSPHRASE)
        assert key is not None
        assert keystore.open_with(path, key).reveal() == seed.reveal() == SEED
        keystore.create(tmp_path / "other.json", Seed(SEED), PASSPHRASE)
        with pytest.raises(LockedError, match="give its passphrase"):
            keystore.open_with(tmp_path / "other.json", key)
        path.chmod(0o644)
        with pytest.raises(LockedError, match="permissions"):
            keystore.open_with(path, key)

    def test_its_locks_are_told_without_a_passphrase(self, tmp_path: Path) -> None:
        kind, (lock,) = keystore.inspect(made(tmp_path))
        assert (kind, lock.kind, lock.derivation) == (wraps.SCHEMA, "passphrase", "Argon2id, 0 MiB, 1 pass, 1 lane")
        assert lock.current
        drawn = tmp_path / "drawn"
        drawn.mkdir(mode=0o700)
        assert [one.kind for one in keystore.inspect(made(drawn, drawn=True))[1]] == ["drawn"]
        aged = tmp_path / "aged"
        aged.mkdir(mode=0o700)
        kind, (lock,) = keystore.inspect(old(aged))
        assert (kind, lock.derivation, lock.current) == ("Web3 Secret Storage 3", "scrypt", False)


class TestUpgrade:
    """A file of an earlier program gets today's lock when it opens, and is never in danger."""

    pytestmark = pytest.mark.usefixtures("quick_scrypt")

    def test_the_next_unlock_upgrades_it_and_nothing_of_the_old_lock_is_left(self, tmp_path: Path) -> None:
        path = old(tmp_path)
        path.chmod(0o400)
        assert keystore.open(path, OLD_PASSPHRASE).reveal() == OLD_SEED
        assert names(tmp_path) == {"seed.json"}
        assert keystore.inspect(path)[0] == wraps.SCHEMA
        assert "scrypt" not in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        upgraded = path.read_bytes()
        assert keystore.open(path, OLD_PASSPHRASE).reveal() == OLD_SEED
        assert path.read_bytes() == upgraded

    def test_a_wrong_passphrase_upgrades_nothing(self, tmp_path: Path) -> None:
        path = old(tmp_path)
        before = path.read_bytes()
        with pytest.raises(LockedError, match="doesn't open"):
            keystore.open(path, "wrong")
        assert path.read_bytes() == before
        assert names(tmp_path) == {"seed.json"}

    def test_services_leave_their_files_alone(self, tmp_path: Path) -> None:
        path = old(tmp_path)
        before = path.read_bytes()
        assert keystore.open(path, OLD_PASSPHRASE, upgrade=False).reveal() == OLD_SEED
        assert path.read_bytes() == before
        assert [one.name for one in tmp_path.iterdir()] == ["seed.json"]

    @pytest.mark.parametrize(
        ("broken", "number"), [("open", 30), ("fsync", 28), ("replace", 30), ("replace", 28)], ids=str
    )
    def test_a_disk_that_refuses_leaves_the_old_one_which_opens_all_the_same(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        broken: str,
        number: int,
    ) -> None:
        path = old(tmp_path)
        before = path.read_bytes()
        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
            patch.setattr(keystore.os, broken, _refuses(number))
            seed, key = keystore.unlock(path, OLD_PASSPHRASE)
        assert (seed.reveal(), key) == (OLD_SEED, None)
        assert path.read_bytes() == before
        assert names(tmp_path) == {"seed.json"}
        assert "keeps the lock of an earlier program" in caplog.text
        assert os.strerror(number) in caplog.text
        assert OLD_PASSPHRASE not in caplog.text
        assert keystore.unlock(path, OLD_PASSPHRASE)[1] is not None

    def test_what_is_another_users_or_behind_a_link_stays(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        inner = tmp_path / "inner"
        inner.mkdir(mode=0o700)
        target = old(inner)
        before = target.read_bytes()
        link = tmp_path / "seed.json"
        link.symlink_to(target)
        assert keystore.open(link, OLD_PASSPHRASE).reveal() == OLD_SEED
        assert link.is_symlink()
        monkeypatch.setattr(keystore.os, "geteuid", lambda: os.getuid() + 1)
        assert keystore.open(target, OLD_PASSPHRASE).reveal() == OLD_SEED
        assert target.read_bytes() == before
        assert caplog.text.count("it is a link, or another user's") == 2

    def test_a_machine_without_the_memory_for_the_new_lock_opens_the_old_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = old(tmp_path)

        def none(*_: object) -> bytes:
            raise LockedError("this machine hasn't the 256 MiB of memory")

        monkeypatch.setattr(wraps, "_derive", none)
        assert keystore.open(path, OLD_PASSPHRASE).reveal() == OLD_SEED
        assert "hasn't the 256 MiB" in caplog.text


class TestChange:
    def test_the_new_passphrase_opens_it_and_the_old_one_doesnt(self, tmp_path: Path) -> None:
        path = made(tmp_path, "old")
        key = keystore.unlock(path, "old")[1]
        (tmp_path / ".seed.json.0123abcd.new").write_bytes(path.read_bytes())
        keystore.change_passphrase(path, "old", "new")
        assert keystore.open(path, "new").reveal() == SEED
        with pytest.raises(LockedError):
            keystore.open(path, "old")
        # What a crash had left, which the old passphrase opened, is gone too.
        assert names(tmp_path) == {"seed.json"}
        assert key is not None
        assert keystore.open_with(path, key).reveal() == SEED

    @pytest.mark.usefixtures("quick_scrypt")
    def test_an_old_file_gets_todays_lock_at_once(self, tmp_path: Path) -> None:
        path = old(tmp_path)
        keystore.change_passphrase(path, OLD_PASSPHRASE, "new", drawn=True)
        assert keystore.open(path, "new").reveal() == OLD_SEED
        assert [one.kind for one in keystore.inspect(path)[1]] == ["drawn"]

    def test_a_weaker_lock_becomes_todays_under_the_same_passphrase(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = made(tmp_path)
        before = path.read_bytes()
        keystore.change_passphrase(path, PASSPHRASE, PASSPHRASE)
        assert path.read_bytes() == before
        monkeypatch.setattr(wraps, "USUAL", wraps.Cost(1 << 10, 3, 4))
        assert not keystore.inspect(path)[1][0].current
        keystore.change_passphrase(path, PASSPHRASE, PASSPHRASE)
        (lock,) = keystore.inspect(path)[1]
        assert (lock.derivation, lock.current) == ("Argon2id, 1 MiB, 3 passes, 4 lanes", True)

    def test_a_wrong_one_and_an_empty_one_change_nothing(self, tmp_path: Path) -> None:
        path = made(tmp_path)
        before = path.read_bytes()
        with pytest.raises(LockedError, match="doesn't open"):
            keystore.change_passphrase(path, "wrong", "new")
        with pytest.raises(UsageError, match="empty"):
            keystore.change_passphrase(path, PASSPHRASE, "")
        assert path.read_bytes() == before

    def test_a_disk_that_refuses_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = made(tmp_path)
        monkeypatch.setattr(keystore.os, "replace", _refuses(28))
        with pytest.raises(DiskError, match="locked as before"):
            keystore.change_passphrase(path, PASSPHRASE, "new")
        assert keystore.open(path, PASSPHRASE).reveal() == SEED
        assert names(tmp_path) == {"seed.json"}


def asked(number: int = 1, **other: Any) -> tuple[Credential, Answer]:
    """Return what an authenticator is asked, and its answer."""
    credential = Credential(**{"kind": SECURITY_KEY, "id": bytes([number]) * 48, "salt": bytes(32)} | other)
    return credential, Answer(credential.kind, credential.id, bytes([number]) * 32)


def added(path: Path, secret: str | Answer = PASSPHRASE, number: int = 1, **other: Any) -> Answer:
    """Add a lock that an authenticator opens, and return what opens it."""
    credential, answer = asked(number, **other)
    keystore.add_authenticator(path, keystore.authenticate(path, secret), credential, answer, answer)
    return answer


class TestLocks:
    """Several locks: each opens, each was read back, and one that was seen to open always stays."""

    def test_each_opens_the_same_seed_and_no_other_answer_does(self, tmp_path: Path) -> None:
        path = made(tmp_path)
        key = added(path, label="blue")
        passkey = added(path, key, 2, kind=PASSKEY, host="x.localhost", label="laptop")
        for secret in (PASSPHRASE, key, passkey):
            opened = keystore.authenticate(path, secret)
            assert opened.seed.reveal() == keystore.open_with(path, opened.key).reveal() == SEED
        assert [(one.kind, one.label) for one in keystore.inspect(path)[1]] == [
            ("passphrase", ""),
            ("security-key", "blue"),
            ("passkey", "laptop"),
        ]
        assert [one.id[0] for one in keystore.credentials(path)] == [1, 2]
        for wrong in (asked(3)[1], replace(key, secret=bytes(32)), replace(key, kind=PASSKEY)):
            with pytest.raises(LockedError, match="another key's answer"):
                keystore.authenticate(path, wrong)

    def test_one_that_doesnt_answer_the_same_twice_is_not_added(self, tmp_path: Path) -> None:
        path = made(tmp_path)
        before = path.read_bytes()
        credential, answer = asked()
        opened = keystore.authenticate(path, PASSPHRASE)
        with pytest.raises(LockedError, match="the same twice"):
            keystore.add_authenticator(path, opened, credential, answer, replace(answer, secret=bytes(32)))
        assert path.read_bytes() == before

    def test_one_that_was_written_wrong_is_noticed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = made(tmp_path)
        before = path.read_bytes()
        # As with memory that fails: the file would be as it was meant, and its new lock open for nobody.
        real, times = wraps._key_of, iter((bytes(32),))
        monkeypatch.setattr(wraps, "_key_of", lambda *given: next(times, None) or real(*given))
        with pytest.raises(DiskError, match="doesn't open when it is read back"):
            added(path)
        assert path.read_bytes() == before
        assert names(tmp_path) == {"seed.json"}

    def test_the_same_authenticator_the_same_label_and_a_ninth_are_refused(self, tmp_path: Path) -> None:
        path = made(tmp_path)
        added(path, label="blue")
        with pytest.raises(UsageError, match="opens the key store already"):
            added(path)
        with pytest.raises(UsageError, match="another lock is called 'blue'"):
            added(path, number=2, label="blue")
        for number in range(2, 8):
            added(path, number=number)
        before = path.read_bytes()
        with pytest.raises(UsageError, match="8 locks at most"):
            added(path, number=8)
        assert path.read_bytes() == before

    def test_the_one_that_opened_stays_and_every_other_can_go(self, tmp_path: Path) -> None:
        path = made(tmp_path)
        key = added(path)
        words, device = (one.mark for one in keystore.inspect(path)[1])
        with pytest.raises(UsageError, match="was opened to remove it"):
            keystore.remove_lock(path, keystore.authenticate(path, PASSPHRASE), words)
        keystore.remove_lock(path, keystore.authenticate(path, key), words)
        with pytest.raises(LockedError):
            keystore.open(path, PASSPHRASE)
        with pytest.raises(UsageError, match="was opened to remove it"):
            keystore.remove_lock(path, keystore.authenticate(path, key), device)
        with pytest.raises(UsageError, match="no such lock"):
            keystore.remove_lock(path, keystore.authenticate(path, key), words)
        assert keystore.authenticate(path, key).seed.reveal() == SEED

    def test_a_passphrase_comes_back_where_there_is_none(self, tmp_path: Path) -> None:
        path = made(tmp_path)
        key = added(path)
        with pytest.raises(UsageError, match="has a passphrase"):
            keystore.add_passphrase(path, keystore.authenticate(path, key), "other")
        keystore.remove_lock(path, keystore.authenticate(path, key), keystore.inspect(path)[1][0].mark)
        keystore.add_passphrase(path, keystore.authenticate(path, key), "other")
        assert keystore.open(path, "other").reveal() == SEED
        with pytest.raises(UsageError, match="empty"):
            keystore.add_passphrase(path, keystore.authenticate(path, key), "")

    def test_another_passphrase_leaves_the_keys(self, tmp_path: Path) -> None:
        path = made(tmp_path)
        key = added(path)
        keystore.change_passphrase(path, PASSPHRASE, "new")
        assert keystore.authenticate(path, key).seed.reveal() == keystore.open(path, "new").reveal() == SEED

    def test_what_opened_another_key_store_changes_nothing_of_this_one(self, tmp_path: Path) -> None:
        path = made(tmp_path)
        opened = keystore.authenticate(path, PASSPHRASE)
        path.unlink()
        made(tmp_path)
        before = path.read_bytes()
        credential, answer = asked()
        with pytest.raises(LockedError, match="another one than the one that was opened"):
            keystore.add_authenticator(path, opened, credential, answer, answer)
        assert path.read_bytes() == before

    def test_a_lock_that_is_put_back_from_an_older_file_opens_nothing(self, tmp_path: Path) -> None:
        path = made(tmp_path)
        key = added(path)
        before = json.loads(path.read_bytes())
        keystore.remove_lock(path, keystore.authenticate(path, PASSPHRASE), keystore.inspect(path)[1][1].mark)
        forged = json.loads(path.read_bytes())
        forged["wraps"] = before["wraps"]
        path.write_text(json.dumps(forged))
        for secret in (key, PASSPHRASE):
            with pytest.raises(LockedError):
                keystore.authenticate(path, secret)

    def test_a_disk_that_refuses_leaves_the_locks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = made(tmp_path)
        before = path.read_bytes()
        monkeypatch.setattr(keystore.os, "replace", _refuses(28))
        with pytest.raises(DiskError, match="locked as before"):
            added(path)
        assert path.read_bytes() == before
        assert names(tmp_path) == {"seed.json"}

    @pytest.mark.usefixtures("quick_scrypt")
    def test_a_file_of_an_earlier_program_gets_todays_lock_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = old(tmp_path)
        assert keystore.credentials(path) == []
        with pytest.raises(LockedError):
            keystore.authenticate(path, asked()[1])
        with monkeypatch.context() as patch:
            patch.setattr(keystore.os, "replace", _refuses(30))
            with pytest.raises(DiskError, match="can't stand beside"):
                keystore.authenticate(path, OLD_PASSPHRASE)
        answer = added(path, OLD_PASSPHRASE)
        assert keystore.authenticate(path, answer).seed.reveal() == OLD_SEED

    def test_nothing_of_what_opened_is_in_a_repr(self, tmp_path: Path) -> None:
        path = made(tmp_path)
        opened = keystore.authenticate(path, PASSPHRASE)
        assert opened.key.reveal().hex() not in repr(opened)
        assert SEED.hex() not in repr(opened)
        assert "seed" not in repr(opened)


CALLS = ("open", "fdopen", "fsync", "replace", "link", "unlink", "close")
"""What a change does to the disk; a process that is killed at one of them does none of the later ones."""


@pytest.mark.parametrize("what", ["add", "remove"])
def test_a_crash_at_any_call_leaves_the_locks_as_they_were_or_as_they_were_to_be(tmp_path: Path, what: str) -> None:
    crashed = 0
    credential, answer = asked()
    for at in range(100):
        folder = tmp_path / str(at)
        folder.mkdir(mode=0o700)
        path = made(folder)
        if what == "remove":
            added(path)
        opened = keystore.authenticate(path, PASSPHRASE)
        mark = keystore.inspect(path)[1][-1].mark

        def work(path: Path = path, opened: keystore.Opened = opened, mark: str = mark) -> None:
            if what == "add":
                keystore.add_authenticator(path, opened, credential, answer, answer)
            else:
                keystore.remove_lock(path, opened, mark)

        done = _killed_at(at, work)
        # Whole, whatever happened.
        assert keystore.open(path, PASSPHRASE).reveal() == SEED
        assert len(keystore.inspect(path)[1]) in (1, 2)
        if done:
            break
        crashed += 1
    assert crashed >= 6


@pytest.mark.parametrize("what", ["create", "upgrade", "change"])
@pytest.mark.usefixtures("quick_scrypt")
def test_a_crash_at_any_call_loses_no_seed(tmp_path: Path, what: str) -> None:
    seed = OLD_SEED if what == "upgrade" else SEED
    crashed = 0
    for at in range(100):
        folder = tmp_path / str(at)
        folder.mkdir(mode=0o700)
        path = folder / "seed.json"
        passphrases = {"create": ("new",), "upgrade": (OLD_PASSPHRASE,), "change": ("old", "new")}[what]
        if what == "upgrade":
            old(folder)
            # Derived once, before the fork.
            keystore.open(path, OLD_PASSPHRASE, upgrade=False)
        if what == "change":
            made(folder, "old")
        does: dict[str, Callable[[], object]] = {
            "create": lambda path=path: keystore.create(path, Seed(SEED), "new"),
            "upgrade": lambda path=path: keystore.open(path, OLD_PASSPHRASE),
            "change": lambda path=path: keystore.change_passphrase(path, "old", "new"),
        }
        done = _killed_at(at, does[what])
        there = path.exists()
        assert there or what == "create"
        if there:
            opened = [words for words in passphrases if _opens(path, words, seed)]
            # Whole, whatever happened: one passphrase or the other.
            assert len(opened) == 1
        if done:
            assert there
            break
        crashed += 1
        # The same command again does it, and leaves nothing of the crash.
        if what != "create":
            last = passphrases[-1]
            keystore.change_passphrase(path, opened[0], last)
            assert keystore.open(path, last).reveal() == seed
        elif not there:
            made(folder, "new")
    assert crashed >= 6


def _opens(path: Path, passphrase: str, seed: bytes) -> bool:
    try:
        return keystore.open(path, passphrase, upgrade=False).reveal() == seed
    except LockedError:
        return False


def _killed_at(number: int, work: Callable[[], object]) -> bool:
    """Run `work` in a process that ends at the `number`-th call; True if it came to its end before."""
    child = os.fork()
    if child == 0:
        calls: Iterator[int] = iter(range(number))

        def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*given: Any, **more: Any) -> Any:
                if next(calls, None) is None:
                    os._exit(9)
                return function(*given, **more)

            return call

        for name in CALLS:
            setattr(os, name, deadly(getattr(os, name)))
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the child must not go on with the tests.
            os._exit(7)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), code
    return code == 0


def _refuses(number: int) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> Any:
        raise OSError(number, os.strerror(number))

    return refuse
