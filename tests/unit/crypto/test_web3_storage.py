"""Key stores of earlier programs, with eth_account as the oracle of what they wrote."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account

from panachain.crypto import web3_storage
from panachain.errors import LockedError

SEED = bytes(range(32))
PASSPHRASE = "Grüße, 漢字 and spaces "


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    """What `eth_account` writes, which is what earlier versions of PanaChain wrote."""
    sealed: dict[str, Any] = Account.encrypt(SEED, PASSPHRASE, kdf="scrypt", iterations=web3_storage.SCRYPT_N)
    return sealed


def changed(sealed: dict[str, Any], **crypto: Any) -> dict[str, Any]:
    return {**sealed, "crypto": {**sealed["crypto"], **crypto}}


def test_opens_what_eth_account_wrote(theirs: dict[str, Any]) -> None:
    assert web3_storage.is_of_this_kind(theirs)
    assert web3_storage.unseal(theirs, PASSPHRASE) == SEED


def test_opens_what_another_wallet_wrote_with_a_capital(theirs: dict[str, Any]) -> None:
    assert web3_storage.unseal({"Crypto": theirs["crypto"], "version": 3}, PASSPHRASE) == SEED


def test_another_version_is_of_another_kind(theirs: dict[str, Any]) -> None:
    assert not web3_storage.is_of_this_kind({**theirs, "version": 4})
    assert not web3_storage.is_of_this_kind({**theirs, "schema": "panachain/key-store/2"})


def test_does_not_open_what_was_changed(theirs: dict[str, Any]) -> None:
    crypto = theirs["crypto"]
    flipped = f"{int(crypto['ciphertext'], 16) ^ 1:064x}"
    for content in (
        changed(theirs, ciphertext=flipped),
        changed(theirs, mac="00" * 32),
        changed(theirs, mac=""),
        changed(theirs, kdfparams={**crypto["kdfparams"], "salt": "00" * 32}),
    ):
        with pytest.raises(ValueError, match="wrong passphrase"):
            web3_storage.unseal(content, PASSPHRASE)
    with pytest.raises(ValueError, match="wrong passphrase"):
        web3_storage.unseal(theirs, PASSPHRASE.strip())


def test_does_not_open_what_is_no_key_store_of_this_kind(theirs: dict[str, Any]) -> None:
    crypto = theirs["crypto"]
    parameters = crypto["kdfparams"]
    for content in (
        {},
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
        with pytest.raises((LockedError, ValueError, KeyError, TypeError)):
            web3_storage.unseal(content, PASSPHRASE)


def test_a_derivation_is_as_costly_as_is_allowed_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    derived: list[tuple[int, int]] = []

    def derive(_: str, __: bytes, *, n: int, p: int) -> bytes:
        derived.append((n, p))
        raise ValueError("derived")

    monkeypatch.setattr(web3_storage, "_derive", derive)
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
        kind, said = (ValueError, "derived") if opens else (LockedError, "isn't locked by scrypt")
        with pytest.raises(kind, match=said):
            web3_storage.unseal({"crypto": crypto, "version": 3}, "passphrase")
        assert ((n, p) in derived) is opens
