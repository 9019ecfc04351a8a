"""Key stores, with eth_account as the oracle: each opens what the other wrote."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from panachain.crypto import keystore
from panachain.crypto.keys import Seed
from panachain.errors import DiskError, LockedError, UsageError

SEED = bytes(range(32))
PASSPHRASE = "Grüße, 漢字 and spaces "


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    """What `eth_account` writes, which is what earlier versions of PanaChain wrote."""
    sealed: dict[str, Any] = Account.encrypt(SEED, PASSPHRASE, kdf="scrypt", iterations=keystore.SCRYPT_N)
    return sealed


def write(folder: Path, content: Any) -> Path:
    folder.chmod(0o700)
    path = folder / "seed.json"
    path.touch(mode=0o600)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def changed(sealed: dict[str, Any], **crypto: Any) -> dict[str, Any]:
    return {**sealed, "crypto": {**sealed["crypto"], **crypto}}


def test_opens_what_eth_account_wrote(tmp_path: Path, theirs: dict[str, Any]) -> None:
    assert keystore.open(write(tmp_path, theirs), PASSPHRASE).reveal() == SEED


def test_opens_what_another_wallet_wrote_with_a_capital(tmp_path: Path, theirs: dict[str, Any]) -> None:
    sealed = {"Crypto": theirs["crypto"], "id": theirs["id"], "version": 3}
    assert keystore.open(write(tmp_path, sealed), PASSPHRASE).reveal() == SEED


def test_writes_what_eth_account_opens(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    keystore.create(tmp_path / "seed.json", Seed(SEED), PASSPHRASE)
    sealed = json.loads((tmp_path / "seed.json").read_text())
    assert bytes(Account.decrypt(sealed, PASSPHRASE)) == SEED
    parameters = sealed["crypto"]["kdfparams"]
    assert (parameters["n"], parameters["r"], parameters["p"], parameters["dklen"]) == (1 << 17, 8, 1, 32)
    assert len(bytes.fromhex(parameters["salt"])) == 32


def test_writes_nothing_that_follows_from_the_seed_in_the_clear(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    keystore.create(tmp_path / "seed.json", Seed(SEED), PASSPHRASE)
    content = (tmp_path / "seed.json").read_text()
    assert sorted(json.loads(content)) == ["crypto", "id", "version"]
    assert Account.from_key(SEED).address[2:].lower() not in content.lower()


def test_two_key_stores_of_one_seed_have_nothing_in_common(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    for name in ("a", "b"):
        keystore.create(tmp_path / name, Seed(SEED), PASSPHRASE)
    one, other = (json.loads((tmp_path / name).read_text())["crypto"] for name in ("a", "b"))
    assert one["ciphertext"] != other["ciphertext"]
    assert one["cipherparams"] != other["cipherparams"]
    assert one["kdfparams"]["salt"] != other["kdfparams"]["salt"]


def test_does_not_open_what_was_changed(tmp_path: Path, theirs: dict[str, Any]) -> None:
    crypto = theirs["crypto"]
    parameters = crypto["kdfparams"]
    flipped = f"{int(crypto['ciphertext'], 16) ^ 1:064x}"
    for content in (
        changed(theirs, ciphertext=flipped),
        changed(theirs, mac="00" * 32),
        changed(theirs, mac=""),
        changed(theirs, kdfparams={**parameters, "salt": "00" * 32}),
    ):
        with pytest.raises(LockedError, match="doesn't open"):
            keystore.open(write(tmp_path, content), PASSPHRASE)


def test_does_not_open_what_is_no_key_store_of_this_kind(tmp_path: Path, theirs: dict[str, Any]) -> None:
    crypto = theirs["crypto"]
    parameters = crypto["kdfparams"]
    for content in (
        "",
        "[]",
        "{}",
        "nothing",
        {**theirs, "version": 4},
        changed(theirs, cipher="aes-128-cbc"),
        changed(theirs, ciphertext="00"),
        changed(theirs, ciphertext=7),
        changed(theirs, cipherparams={}),
        changed(theirs, cipherparams={"iv": "00"}),
        changed(theirs, kdf="pbkdf2"),
        changed(theirs, kdfparams={**parameters, "dklen": 16}),
        changed(theirs, kdfparams={**parameters, "r": 1}),
        changed(theirs, kdfparams={**parameters, "n": "many"}),
        changed(theirs, kdfparams={**parameters, "n": (1 << 17) + 1}),
        changed(theirs, kdfparams={**parameters, "p": 0}),
        changed(theirs, kdfparams={**parameters, "salt": "salt"}),
    ):
        with pytest.raises(LockedError):
            keystore.open(write(tmp_path, content), PASSPHRASE)


@pytest.mark.parametrize(
    "content",
    ["[" * 16_000, '{"crypto":' * 1_000, " " * (1 << 14) + "{}", "0" * (1 << 20)],
    ids=["lists", "objects", "blanks", "digits"],
)
def test_a_hostile_file_is_no_key_store(tmp_path: Path, content: str) -> None:
    path = write(tmp_path, content)
    before = sys.getrecursionlimit()
    # As in a program of one's own: tools for tests raise it.
    sys.setrecursionlimit(1000)
    try:
        with pytest.raises(LockedError):
            keystore.open(path, PASSPHRASE)
    finally:
        sys.setrecursionlimit(before)


class TestFiles:
    def make(self, folder: Path) -> Path:
        folder.chmod(0o700)
        keystore.create(folder / "seed.json", Seed(SEED), "passphrase")
        return folder / "seed.json"

    def test_opens_with_its_passphrase_only(self, tmp_path: Path) -> None:
        path = self.make(tmp_path)
        assert path.stat().st_mode & 0o777 == 0o600
        assert keystore.open(path, "passphrase").reveal() == SEED
        with pytest.raises(LockedError):
            keystore.open(path, "wrong")

    def test_refuses_files_that_others_can_read(self, tmp_path: Path) -> None:
        path = self.make(tmp_path)
        path.chmod(0o640)
        with pytest.raises(LockedError, match="permissions 640"):
            keystore.open(path, "passphrase")

    def test_refuses_weak_and_costly_derivations(self, tmp_path: Path) -> None:
        path = self.make(tmp_path)
        text = path.read_text()
        for n in (1 << 14, 1 << 30):
            path.write_text(text.replace(str(1 << 17), str(n)))
            with pytest.raises(LockedError):
                keystore.open(path, "passphrase")

    def test_a_passphrase_that_is_none_locks_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="passphrase is empty"):
            keystore.create(tmp_path / "seed.json", Seed(SEED), "")
        assert list(tmp_path.iterdir()) == []

    def test_a_disk_that_refuses_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keystore, "_seal", lambda *_: {})
        with pytest.raises(DiskError, match="can't be written"):
            keystore.create(tmp_path / "nowhere" / "seed.json", Seed(SEED), "passphrase")

    def test_all_of_it_is_on_the_disk_before_it_counts_as_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keystore, "_seal", lambda *_: {"version": 3})
        seen: list[str] = []
        monkeypatch.setattr(keystore.os, "fsync", lambda _: seen.append((tmp_path / "seed.json").read_text()))
        keystore.create(tmp_path / "seed.json", Seed(SEED), "passphrase")
        assert seen == ['{"version": 3}']

    def test_one_that_is_not_there_or_no_file_is_told(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o700)
        with pytest.raises(LockedError, match="there is no key store"):
            keystore.open(tmp_path / "seed.json", "passphrase")
        (tmp_path / "folder").mkdir(mode=0o600)
        with pytest.raises(LockedError, match="can't be read"):
            keystore.open(tmp_path / "folder", "passphrase")

    @pytest.mark.parametrize(("folder", "file"), [(0o701, 0o600), (0o750, 0o600), (0o700, 0o601), (0o700, 0o700)])
    def test_refuses_what_others_could_touch(self, tmp_path: Path, folder: int, file: int) -> None:
        path = tmp_path / "seed.json"
        path.write_text("{}")
        path.chmod(file)
        tmp_path.chmod(folder)
        with pytest.raises(LockedError, match=r"has permissions \d+, at most"):
            keystore.open(path, "passphrase")
        path.chmod(0o400)
        tmp_path.chmod(0o700)
        with pytest.raises(LockedError, match="no key store of version 3"):
            keystore.open(path, "passphrase")

    def test_the_largest_file_is_read_and_a_larger_one_is_not(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o700)
        path = write(tmp_path, "{}".ljust(1 << 14))
        with pytest.raises(LockedError, match="no key store of version 3"):
            keystore.open(path, "passphrase")
        path.write_text("{}".ljust((1 << 14) + 1))
        with pytest.raises(LockedError, match="more than 16384 bytes"):
            keystore.open(path, "passphrase")

    def test_a_derivation_is_as_costly_as_is_allowed_and_no_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        derived: list[tuple[int, int]] = []

        def derive(_: str, __: bytes, *, n: int, p: int) -> bytes:
            derived.append((n, p))
            raise ValueError

        monkeypatch.setattr(keystore, "_derive", derive)
        common = {"cipher": "aes-128-ctr", "ciphertext": "00" * 32, "kdf": "scrypt", "mac": "", "cipherparams": {}}
        for n, p, opens in (
            (1 << 17, 1, True),
            (1 << 17, 16, True),
            (1 << 17, 17, False),
            (1 << 21, 1, True),
            (1 << 22, 1, False),
            (1 << 16, 1, False),
            ((1 << 17) - 1, 1, False),
        ):
            crypto = common | {"kdfparams": {"dklen": 32, "n": n, "r": 8, "p": p, "salt": "00"}}
            with pytest.raises(LockedError, match="doesn't open" if opens else "isn't locked by scrypt"):
                keystore.open(write(tmp_path, {"crypto": crypto, "version": 3}), "passphrase")
            assert ((n, p) in derived) is opens

    def test_never_overwrites(self, tmp_path: Path) -> None:
        path = self.make(tmp_path)
        with pytest.raises(UsageError):
            keystore.create(path, Seed(SEED), "other")
