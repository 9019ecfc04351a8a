"""The key store: one seed, locked under a passphrase, in the format of Ethereum wallets.

Never keeps a weaker derivation than it writes, and never opens a file that others can read. Cipher and derivation are
`cryptography`'s. `eth_account` reads what is written here and the other way round (tests/unit/crypto/test_keystore.py);
importing it takes twice as long as unlocking.
Follows Web3 Secret Storage Definition version 3 (scrypt, N = 2^17, r = 8, p = 1) and security rule 10.
"""

from __future__ import annotations

import hmac
import json
import os
import stat
import uuid
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from panachain.crypto.keys import Seed
from panachain.errors import DiskError, LockedError, UsageError
from panachain.ethereum import keccak

SCRYPT_N: Final = 1 << 17
"""Cost of unlocking: 128 MiB and about a third of a second."""
_MAX_COST: Final = 1 << 21
"""N times p; a hostile file must not cost more than 16 times the usual."""
_MAX_SIZE: Final = 1 << 14
"""Bytes of a key store file."""
_SCRYPT_R: Final = 8
_VERSION: Final = 3
_CIPHER: Final = "aes-128-ctr"
_KEY_SIZE: Final = 32
"""Bytes that are derived: the first half encrypts, the second authenticates."""
_SEED_SIZE: Final = 32
"""bytes"""


def create(path: Path, seed: Seed, passphrase: str) -> None:
    """Write `seed`, locked, to a new file (0600).

    Raises:
        UsageError: the passphrase is empty, or the file exists.
        DiskError: the disk refuses.
    """
    if not passphrase:
        raise UsageError("the passphrase is empty; nothing was written")
    sealed = _seal(seed.reveal(), passphrase)
    try:
        # Exclusive: a key store that is written over is a seed that is lost.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(sealed, file)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise UsageError(f"{path} exists; it was left as it is") from None
    except OSError as exc:
        raise DiskError(f"{path} can't be written: {exc.strerror}") from exc


def open(path: Path, passphrase: str) -> Seed:
    """Return the seed in a key store.

    Raises:
        LockedError: wrong passphrase, weak or costly derivation, or permissions laxer than 0600 in 0700.
    """
    crypto = _read(path)
    try:
        return Seed(_unseal(crypto, passphrase))
    except (ValueError, KeyError, TypeError, AttributeError):
        # Without its cause: nothing of the file or the passphrase may reach a traceback.
        raise LockedError(f"the key store {path} doesn't open: wrong passphrase, or the file is damaged") from None


def _seal(secret: bytes, passphrase: str) -> dict[str, Any]:
    """Return the content of a key store; without `address`, which is optional and would be derived from the seed."""
    salt, iv = os.urandom(_KEY_SIZE), os.urandom(16)
    key = _derive(passphrase, salt, n=SCRYPT_N, p=1)
    encrypted = _aes(key, iv, secret)
    return {
        "crypto": {
            "cipher": _CIPHER,
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": encrypted.hex(),
            "kdf": "scrypt",
            "kdfparams": {"dklen": _KEY_SIZE, "n": SCRYPT_N, "r": _SCRYPT_R, "p": 1, "salt": salt.hex()},
            "mac": keccak(key[16:] + encrypted).hex(),
        },
        "id": str(uuid.uuid4()),
        "version": _VERSION,
    }


def _unseal(crypto: dict[str, Any], passphrase: str) -> bytes:
    """Return the secret in the section `crypto` of a key store.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: wrong passphrase, or the section is damaged.
    """
    parameters, encrypted = crypto["kdfparams"], bytes.fromhex(crypto["ciphertext"])
    if crypto["cipher"] != _CIPHER or parameters["dklen"] != _KEY_SIZE or len(encrypted) != _SEED_SIZE:
        raise ValueError("another cipher, or something else than a seed")
    key = _derive(passphrase, bytes.fromhex(parameters["salt"]), n=parameters["n"], p=parameters["p"])
    # Compared in constant time, although an attacker who has the file can try passphrases without us: it costs nothing.
    if not hmac.compare_digest(keccak(key[16:] + encrypted), bytes.fromhex(crypto["mac"])):
        raise ValueError("wrong passphrase")
    return _aes(key, bytes.fromhex(crypto["cipherparams"]["iv"]), encrypted)


def _derive(passphrase: str, salt: bytes, *, n: int, p: int) -> bytes:
    return Scrypt(salt=salt, length=_KEY_SIZE, n=n, r=_SCRYPT_R, p=p).derive(passphrase.encode())


def _aes(key: bytes, iv: bytes, data: bytes) -> bytes:
    # In counter mode, encrypting and decrypting are the same.
    cipher = Cipher(AES(key[:16]), CTR(iv)).encryptor()
    return cipher.update(data) + cipher.finalize()


def _read(path: Path) -> dict[str, Any]:
    """Return the section `crypto` of a key store whose derivation is strong enough and not too costly."""
    try:
        for place, allowed in ((path.parent, 0o700), (path, 0o600)):
            mode = stat.S_IMODE(place.stat().st_mode)
            # The folder too: whoever may write to it could put another file in this one's place.
            if mode & ~allowed:
                raise LockedError(
                    f"{place} has permissions {mode:o}, at most {allowed:o} are accepted",
                    hint=f"chmod {allowed:o} {place}",
                )
        with path.open("rb") as file:
            content = file.read(_MAX_SIZE + 1)
        if len(content) > _MAX_SIZE:
            raise LockedError(f"{path} has more than {_MAX_SIZE} bytes; it is no key store")
        sealed: dict[str, Any] = json.loads(content)
        # Some wallets wrote it with a capital.
        crypto: dict[str, Any] = sealed.get("crypto") or sealed["Crypto"]
        if sealed["version"] != _VERSION:
            raise ValueError("another version")
        parameters = crypto["kdfparams"]
        scrypt = crypto["kdf"] == "scrypt" and parameters["n"] >= SCRYPT_N and parameters["r"] == _SCRYPT_R
        # Below: the passphrase could be guessed. Above: a file from a stranger could keep this machine busy for hours.
        if not scrypt or parameters["n"] * parameters["p"] > _MAX_COST:
            raise LockedError(f"{path} isn't locked by scrypt with N from {SCRYPT_N} on; it was not opened")
    except FileNotFoundError:
        raise LockedError(f"there is no key store {path}") from None
    except OSError as exc:
        raise LockedError(f"the key store {path} can't be read: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise LockedError(f"{path} is no key store of version 3") from None
    return crypto
