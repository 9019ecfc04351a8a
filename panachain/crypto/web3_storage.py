"""Key stores of earlier programs: Web3 Secret Storage version 3, which Ethereum's wallets write, too. Read only.

Never reads a weaker derivation than was written here, nor one that keeps this machine busy. Cipher and derivation are
`cryptography`'s; `eth_account` is the tests' oracle (tests/unit/crypto/test_web3_storage.py).
Follows Web3 Secret Storage Definition version 3 (scrypt, N = 2^17, r = 8, p = 1) and security rule 10.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from panachain.errors import LockedError
from panachain.ethereum import keccak

VERSION: Final = 3
"""Of the format."""
SCRYPT_N: Final = 1 << 17
"""The least cost that is opened: 128 MiB and about a third of a second."""
_MAX_COST: Final = 1 << 21
"""N times p; a hostile file must not cost more than 16 times the usual."""
_SCRYPT_R: Final = 8
_CIPHER: Final = "aes-128-ctr"
_KEY_SIZE: Final = 32
"""Bytes that are derived: the first half decrypts, the second authenticates."""
_SEED_SIZE: Final = 32
"""bytes"""


def is_of_this_kind(fields: Mapping[str, Any]) -> bool:
    """Tell whether a key store's content says that it is of this format."""
    return "schema" not in fields and fields.get("version") == VERSION


def unseal(fields: Mapping[str, Any], passphrase: str) -> bytes:
    """Return the secret in a key store, 32 bytes.

    Args:
        fields: its content, of this kind.
        passphrase: opens it.

    Raises:
        LockedError: the derivation is weak or costly.
        ValueError, KeyError, TypeError, AttributeError: wrong passphrase, or the file is damaged.
    """
    # Some wallets wrote it with a capital.
    crypto = fields.get("crypto") or fields["Crypto"]
    parameters, encrypted = crypto["kdfparams"], bytes.fromhex(crypto["ciphertext"])
    n, p = parameters["n"], parameters["p"]
    # Below: the passphrase could be guessed. Above: a file from a stranger could keep this machine busy for hours.
    scrypt = crypto["kdf"] == "scrypt" and n >= SCRYPT_N and parameters["r"] == _SCRYPT_R
    if not scrypt or n * p > _MAX_COST:
        raise LockedError(f"the key store isn't locked by scrypt with N from {SCRYPT_N} on; it was not opened")
    if crypto["cipher"] != _CIPHER or parameters["dklen"] != _KEY_SIZE or len(encrypted) != _SEED_SIZE:
        raise ValueError("another cipher, or something else than a seed")
    key = _derive(passphrase, bytes.fromhex(parameters["salt"]), n=n, p=p)
    # Compared in constant time, although an attacker who has the file can try passphrases without us: it costs nothing.
    if not hmac.compare_digest(keccak(key[16:] + encrypted), bytes.fromhex(crypto["mac"])):
        raise ValueError("wrong passphrase")
    cipher = Cipher(AES(key[:16]), CTR(bytes.fromhex(crypto["cipherparams"]["iv"]))).decryptor()
    return cipher.update(encrypted) + cipher.finalize()


def _derive(passphrase: str, salt: bytes, *, n: int, p: int) -> bytes:
    return Scrypt(salt=salt, length=_KEY_SIZE, n=n, r=_SCRYPT_R, p=p).derive(passphrase.encode())
