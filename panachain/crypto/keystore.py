"""The key store: one seed, locked under a passphrase, in the format of Ethereum wallets.

Never keeps a weaker derivation than it writes, and never opens a file that others can read.
Follows Web3 Secret Storage Definition version 3 (scrypt, N = 2^17, r = 8, p = 1) and security rule 10.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, Final

from panachain.crypto.keys import Seed
from panachain.errors import DiskError, LockedError, UsageError

SCRYPT_N: Final = 1 << 17
"""Cost of unlocking: 128 MiB and about a third of a second."""
_MAX_COST: Final = 1 << 21
"""N times p; a hostile file must not cost more than 16 times the usual."""
_MAX_SIZE: Final = 1 << 14
"""Bytes of a key store file."""


def create(path: Path, seed: Seed, passphrase: str) -> None:
    """Write `seed`, locked, to a new file (0600).

    Raises:
        UsageError: the passphrase is empty, or the file exists.
        DiskError: the disk refuses.
    """
    if not passphrase:
        raise UsageError("the passphrase is empty; nothing was written")
    # Imported here: it takes 0.2 s, which only who opens a key store shall pay.
    from eth_account import Account

    sealed = Account.encrypt(seed.reveal(), passphrase, kdf="scrypt", iterations=SCRYPT_N)
    try:
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
    sealed = _read(path)
    from eth_account import Account

    try:
        return Seed(bytes(Account.decrypt(sealed, passphrase)))
    except (ValueError, KeyError, TypeError):
        # Without its cause: nothing of the file or the passphrase may reach a traceback.
        raise LockedError(f"the key store {path} doesn't open: wrong passphrase, or the file is damaged") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        for place, allowed in ((path.parent, 0o700), (path, 0o600)):
            mode = stat.S_IMODE(place.stat().st_mode)
            if mode & ~allowed:
                raise LockedError(
                    f"{place} has permissions {mode:o}, at most {allowed:o} are accepted",
                    hint=f"chmod {allowed:o} {place}",
                )
        content = path.read_bytes()
        if len(content) > _MAX_SIZE:
            raise LockedError(f"{path} has {len(content)} bytes; it is no key store")
        sealed: dict[str, Any] = json.loads(content)
        crypto = sealed.get("crypto") or sealed["Crypto"]
        parameters = crypto["kdfparams"]
        cost = parameters["n"] * parameters["p"] if crypto["kdf"] == "scrypt" else 0
        if parameters.get("n", 0) < SCRYPT_N or cost > _MAX_COST or parameters["r"] != 8:
            raise LockedError(f"{path} isn't locked by scrypt with N from {SCRYPT_N} on; it was not opened")
    except FileNotFoundError:
        raise LockedError(f"there is no key store {path}") from None
    except OSError as exc:
        raise LockedError(f"the key store {path} can't be read: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LockedError(f"{path} is no key store of version 3") from None
    return sealed
