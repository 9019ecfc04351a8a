"""The key store: one seed in a file, under one lock or several: a passphrase, security keys, passkeys.

Never opens a file that others can read, never asks an authenticator itself, and never takes an old file away before the
new one was read back from the disk and opened. What earlier programs wrote (crypto/web3_storage.py) opens, and gets
today's lock when it does.
Follows docs/spec/formats.md, section "Key stores", and security rule 10 (ADR 47 and 57).
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from panachain.crypto import web3_storage, wraps
from panachain.crypto.keys import Seed
from panachain.crypto.wraps import DataKey, Sealed, Wrap
from panachain.errors import DiskError, LockedError, UsageError
from panachain.model.credentials import SECURITY_KEY, Answer, Credential
from panachain.private_files import alone_at, beside

_LOG: Final = logging.getLogger(__name__)
_NO_LINKS: Final = frozenset((errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK))
"""What file systems without hard links answer."""


@dataclass(frozen=True)
class LockInfo:
    """One lock of a key store, as its file tells it to anybody."""

    kind: str
    """`passphrase`, `drawn`, `security-key`, `passkey`, or one that another program made."""
    derivation: str
    """In words, such as `Argon2id, 256 MiB, 3 passes, 4 lanes`; empty for a kind that another program made."""
    current: bool
    """Whether a passphrase of its kind would be locked no better today."""
    label: str = ""
    """What its owner calls a security key or a passkey."""
    mark: str = ""
    """What tells it apart from the others; empty in a file of an earlier program."""


@dataclass(frozen=True)
class Opened:
    """A key store that somebody opened, by one of its locks; so they may change the others."""

    seed: Seed = field(repr=False)
    key: DataKey
    mark: str
    """Of the lock that opened."""


def create(path: Path, seed: Seed, passphrase: str, *, drawn: bool = False) -> None:
    """Write `seed`, locked, to a new file (0600), read it back and open it.

    Args:
        path: of the file; its folder is there.
        seed: what is locked.
        passphrase: what locks it.
        drawn: a program drew the passphrase at random, of 80 bits or more, and opening may cost little.

    Raises:
        UsageError: the passphrase is empty or no text, or the file exists.
        LockedError: this machine lacks the memory.
        DiskError: the disk refuses; nothing is left of the file.
    """
    _check_new(passphrase)
    if os.path.lexists(path):
        raise UsageError(f"{path} exists; it was left as it is")
    sealed, _ = wraps.seal(seed.reveal(), passphrase, kind=_kind(drawn))
    try:
        # Exclusive: a key store that is written over is a seed that is lost.
        _put(path, sealed.encode(), lambda read: _check_opens(read, passphrase, seed.reveal()), place=_place_new)
    except FileExistsError:
        raise UsageError(f"{path} exists; it was left as it is") from None
    except OSError as exc:
        raise DiskError(f"{path} can't be written: {exc.strerror}") from exc


def open(path: Path, passphrase: str, *, upgrade: bool = True) -> Seed:
    """Return the seed in a key store.

    Args:
        path: of the file.
        passphrase: opens it.
        upgrade: give a file of an earlier program today's lock. If the disk refuses, that is logged, and it opens all
            the same. Services don't: their folder may be read-only, or somebody else's to change.

    Raises:
        LockedError: wrong passphrase, weak or costly derivation, or permissions laxer than 0600 in 0700.
    """
    return _open(path, passphrase, upgrade=upgrade)[0]


def unlock(path: Path, passphrase: str) -> tuple[Seed, DataKey | None]:
    """Return the seed, and what opens it from now on without a passphrase; None where the file kept its old lock.

    Raises:
        LockedError: as `open`.
    """
    return _open(path, passphrase, upgrade=True)


def open_with(path: Path, key: DataKey) -> Seed:
    """Return the seed in a key store whose data key is at hand.

    Raises:
        LockedError: it is another one's, or the file was changed, is of an earlier version, or open to others.
    """
    fields = _read(path)
    try:
        return Seed(wraps.open_seed(_parsed(path, fields), key))
    except ValueError:
        raise LockedError(f"what was unlocked doesn't open the key store {path}; give its passphrase") from None


def authenticate(path: Path, secret: str | Answer) -> Opened:
    """Open a key store by one of its locks, to change its other ones.

    Args:
        path: of the file. One of an earlier program gets today's lock.
        secret: a passphrase, or what a security key or a passkey answered.

    Raises:
        LockedError: no lock opens; or as `open`.
        DiskError: the disk refuses to take today's lock in the place of an earlier program's.
    """
    fields = _read(path)
    if isinstance(secret, str) and web3_storage.is_of_this_kind(fields):
        if _open(path, secret, upgrade=True)[1] is None:
            raise DiskError(f"{path} keeps the lock of an earlier program, which can't stand beside another one")
        fields = _read(path)
    _, key, wrap, seed = _opened(path, fields, secret)
    return Opened(seed, key, wrap.mark)


def credentials(path: Path) -> list[Credential]:
    """Return what authenticators have to be asked to open a key store; none for a file of an earlier program.

    Raises:
        LockedError: it is no key store, or open to others.
    """
    fields = _read(path)
    if web3_storage.is_of_this_kind(fields):
        return []
    found = (wraps.credential_of(wrap) for wrap in _parsed(path, fields).wraps)
    return [one for one in found if one is not None]


def add_authenticator(path: Path, opened: Opened, credential: Credential, first: Answer, second: Answer) -> None:
    """Add a lock that an authenticator opens; what is written is read back, and opened by a second answer.

    Args:
        path: of the file.
        opened: what `authenticate` returned.
        credential: what the authenticator is asked from now on.
        first: what it answered, which the lock is made with.
        second: what it answered when it was asked the same once more: one that doesn't repeat itself opens nothing.

    Raises:
        UsageError: there are too many locks, or the authenticator has one of them already.
        LockedError: the key store is another one since, or the authenticator doesn't answer the same twice.
        DiskError: the disk refuses; the locks are as they were.
    """

    def added(store: Sealed) -> Sealed:
        known = [one for wrap in store.wraps if (one := wraps.credential_of(wrap)) is not None]
        if any(one.kind == credential.kind and one.id == credential.id for one in known):
            raise UsageError("this authenticator opens the key store already; its locks are as they were")
        if credential.label and any(one.label == credential.label for one in known):
            raise UsageError(f"another lock is called {credential.label!r}; the locks are as they were")
        return replace(store, wraps=(*store.wraps, wraps.lock_by(store, opened.key, credential, first)))

    def check(store: Sealed) -> DataKey:
        return wraps.unlock_by(store, second)[0]

    if first != second:
        raise LockedError("the authenticator doesn't answer the same twice; the locks are as they were")
    _change(path, opened, added, check)


def add_passphrase(path: Path, opened: Opened, passphrase: str) -> None:
    """Add a lock that a passphrase opens, to a key store that has none.

    Args:
        path: of the file.
        opened: what `authenticate` returned.
        passphrase: the new one.

    Raises:
        UsageError: the passphrase is empty or no text, or the key store has one.
        LockedError: the key store is another one since, or this machine lacks the memory.
        DiskError: the disk refuses; the locks are as they were.
    """
    _check_new(passphrase)

    def added(store: Sealed) -> Sealed:
        if any(wrap.cost is not None for wrap in store.wraps):
            raise UsageError("the key store has a passphrase", hint="panachain key passphrase changes it")
        lock = wraps.lock(store, opened.key, passphrase, kind=wraps.PASSPHRASE)
        return replace(store, wraps=(*store.wraps, lock))

    _change(path, opened, added, lambda store: wraps.unlock(store, passphrase)[0])


def remove_lock(path: Path, opened: Opened, mark: str) -> None:
    """Take a lock away; the one that `opened` was opened by stays, so that one is left that opens.

    Args:
        path: of the file.
        opened: what `authenticate` returned.
        mark: of the lock that goes.

    Raises:
        UsageError: there is no such lock, or it is the one that opened.
        LockedError: the key store is another one since.
        DiskError: the disk refuses; the locks are as they were.
    """
    if mark == opened.mark:
        raise UsageError(
            "this lock was opened to remove it; the locks are as they were", hint="open by another lock, which stays"
        )

    def removed(store: Sealed) -> Sealed:
        left = tuple(wrap for wrap in store.wraps if wrap.mark != mark)
        if len(left) == len(store.wraps):
            raise UsageError("the key store has no such lock any more; its locks are as they were")
        return replace(store, wraps=left)

    def check(store: Sealed) -> DataKey:
        if opened.mark not in [wrap.mark for wrap in store.wraps]:
            raise ValueError("the lock that opened is gone")
        return opened.key

    _change(path, opened, removed, check)


def change_passphrase(path: Path, old: str, new: str, *, drawn: bool = False) -> None:
    """Lock a key store under another passphrase; other kinds of locks stay.

    Args:
        path: of the file.
        old: the passphrase that opens it now, and doesn't after this.
        new: the one that does.
        drawn: as `create`.

    Raises:
        UsageError: the new passphrase is empty or no text.
        LockedError: as `open`.
        DiskError: the disk refuses; the old passphrase opens it as before.
    """
    _check_new(new)
    try:
        with alone_at(path):
            _write_anew(path, old, new, _kind(drawn))
    except OSError as exc:
        raise DiskError(f"{path} can't be written: {exc.strerror}; it is locked as before") from exc


def inspect(path: Path) -> tuple[str, list[LockInfo]]:
    """Return what a key store's format is called, and its locks; needs no passphrase.

    Raises:
        LockedError: it is no key store, or open to others.
    """
    fields = _read(path)
    if web3_storage.is_of_this_kind(fields):
        return "Web3 Secret Storage 3", [LockInfo(wraps.PASSPHRASE, "scrypt", current=False)]
    return wraps.SCHEMA, [_info(wrap) for wrap in _parsed(path, fields).wraps]


def _info(wrap: Wrap) -> LockInfo:
    cost = wrap.cost
    if cost is None:
        asked = wraps.credential_of(wrap)
        if asked is None:
            return LockInfo(wrap.kind, "", current=True, mark=wrap.mark)
        how = "hmac-secret" if asked.kind == SECURITY_KEY else "PRF"
        checked = "PIN or fingerprint" if asked.verified else "touch alone"
        return LockInfo(wrap.kind, f"{how}, {checked}", current=True, label=asked.label, mark=wrap.mark)
    passes = "1 pass" if cost.iterations == 1 else f"{cost.iterations} passes"
    lanes = "1 lane" if cost.lanes == 1 else f"{cost.lanes} lanes"
    usual = wraps.USUAL if wrap.kind == wraps.PASSPHRASE else wraps.LEAST
    return LockInfo(
        wrap.kind,
        f"Argon2id, {cost.memory >> 10} MiB, {passes}, {lanes}",
        current=not cost.is_below(usual),
        mark=wrap.mark,
    )


def _kind(drawn: bool) -> str:
    return wraps.DRAWN if drawn else wraps.PASSPHRASE


def _check_new(passphrase: str) -> None:
    if not passphrase:
        raise UsageError("the passphrase is empty; nothing was written")
    try:
        passphrase.encode()
    except UnicodeEncodeError:
        # Without its cause, which holds the passphrase.
        raise UsageError("the passphrase is no text; nothing was written") from None


def _open(path: Path, passphrase: str, *, upgrade: bool) -> tuple[Seed, DataKey | None]:
    fields = _read(path)
    try:
        if not web3_storage.is_of_this_kind(fields):
            store = _parsed(path, fields)
            key, _ = wraps.unlock(store, passphrase)
            return Seed(wraps.open_seed(store, key)), key
        seed = Seed(web3_storage.unseal(fields, passphrase))
    except LockedError as exc:
        raise LockedError(f"{path}: {exc}", hint=exc.hint) from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        # Without its cause: nothing of the file or the passphrase may reach a traceback.
        raise LockedError(f"the key store {path} doesn't open: wrong passphrase, or the file is damaged") from None
    return seed, _upgraded(path, passphrase) if upgrade else None


def _upgraded(path: Path, passphrase: str) -> DataKey | None:
    """Give an old file today's lock, and return the data key; None where that can't be done now."""
    try:
        with alone_at(path):
            return _write_anew(path, passphrase, passphrase, wraps.PASSPHRASE)
    except (OSError, LockedError, DiskError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        _LOG.warning("the key store %s was opened, and keeps the lock of an earlier program: %s", path, reason)
        return None


def _write_anew(path: Path, old: str, new: str, kind: str) -> DataKey:
    """Put a file of today's version in a key store's place, opened by `new` and no more by `old`; return its data key.

    Raises:
        LockedError: as `open`.
        OSError: the disk refuses; the old file is as it was.
    """
    _check_own(path)
    # 1. Read again: another process may have been faster.
    fields = _read(path)
    if web3_storage.is_of_this_kind(fields):
        seed, _ = _open(path, old, upgrade=False)
        store, key = wraps.seal(seed.reveal(), new, kind=kind)
    else:
        store, key, opened, seed = _opened(path, fields, old)
        if old == new and opened.kind == kind and _info(opened).current:
            return key
        # 2. Its other locks stay. The seed is sealed anew, since its seal covers the list of locks.
        lock = wraps.lock(store, key, new, kind=kind)
        store = replace(store, wraps=tuple(lock if one is opened else one for one in store.wraps))
        store = wraps.seal_again(store, key, seed.reveal())
    # 3. Written beside, read back, opened; then in its place, and on the disk.
    _put(path, store.encode(), lambda read: _check_opens(read, new, seed.reveal()), place=_replace)
    # 4. What a crash left beside it, which the old passphrase may open.
    _sweep(path)
    return key


def _opened(path: Path, fields: dict[str, Any], secret: str | Answer) -> tuple[Sealed, DataKey, Wrap, Seed]:
    store = _parsed(path, fields)
    try:
        key, opened = wraps.unlock(store, secret) if isinstance(secret, str) else wraps.unlock_by(store, secret)
        return store, key, opened, Seed(wraps.open_seed(store, key))
    except ValueError:
        which = "wrong passphrase" if isinstance(secret, str) else "another key's answer"
        raise LockedError(f"the key store {path} doesn't open: {which}, or the file is damaged") from None


def _change(path: Path, opened: Opened, change: Callable[[Sealed], Sealed], check: Callable[[Sealed], DataKey]) -> None:
    """Change a key store's locks; `check` opens what was read back, and returns the data key."""
    seed = opened.seed.reveal()

    def checked(content: bytes) -> None:
        try:
            store = wraps.parse(wraps.read(content))
            same = secrets.compare_digest(wraps.open_seed(store, check(store)), seed)
        except (ValueError, KeyError, TypeError):
            same = False
        if not same:
            raise OSError(errno.EIO, "what was written doesn't open when it is read back")

    try:
        with alone_at(path):
            _check_own(path)
            # Read again: another process may have been faster.
            store = _parsed(path, _read(path))
            try:
                same = secrets.compare_digest(wraps.open_seed(store, opened.key), seed)
            except ValueError:
                same = False
            if not same:
                raise LockedError(f"the key store {path} is another one than the one that was opened")
            changed = change(store)
            if len(changed.wraps) > wraps.MAX_WRAPS:
                raise UsageError(
                    f"a key store has {wraps.MAX_WRAPS} locks at most; they are as they were",
                    hint="panachain key remove",
                )
            # The seed is sealed anew, since its seal covers the list of locks.
            content = wraps.seal_again(changed, opened.key, seed).encode()
            _put(path, content, checked, place=_replace)
            _sweep(path)
    except OSError as exc:
        raise DiskError(f"{path} can't be written: {exc.strerror}; it is locked as before") from exc


def _check_own(path: Path) -> None:
    if path.is_symlink() or path.stat().st_uid != os.geteuid():
        # A new file would have another owner, or the old one would stay where the link leads.
        raise OSError(errno.EPERM, "it is a link, or another user's")


def _sweep(path: Path) -> None:
    """Remove what a crash left beside a file, which a lock that is gone may open."""
    for leftover in path.parent.glob(f".{path.name}.*.new"):
        leftover.unlink(missing_ok=True)


def _check_opens(content: bytes, passphrase: str, seed: bytes) -> None:
    """Check that what the disk gave back opens, with a derivation of its own: memory fails, too.

    Raises:
        OSError: it doesn't, or holds another seed.
    """
    try:
        store = wraps.parse(wraps.read(content))
        key, _ = wraps.unlock(store, passphrase)
        same = secrets.compare_digest(wraps.open_seed(store, key), seed)
    except (ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise OSError(errno.EIO, "what was written doesn't open when it is read back")


def _put(path: Path, content: bytes, check: Callable[[bytes], None], *, place: Callable[[Path, Path], None]) -> None:
    """Write a file beside `path`, read it back, and let `place` put it there; leaves nothing else.

    Raises:
        OSError: the disk refuses, or gives back something else.
    """
    with beside(path, content) as temporary:
        check(temporary.read_bytes())
        place(temporary, path)
    _sync(path.parent)


def _replace(temporary: Path, path: Path) -> None:
    os.replace(temporary, path)


def _place_new(temporary: Path, path: Path) -> None:
    """Give a file its name, if no file has it."""
    try:
        os.link(temporary, path)
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        # The name is taken first: two that do this at once don't write over each other.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        os.replace(temporary, path)


def _sync(folder: Path) -> None:
    # Without it the old name could come back after a power cut. Some file systems have no such call for folders.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parsed(path: Path, fields: dict[str, Any]) -> Sealed:
    """Return the content of a file of today's version.

    Raises:
        LockedError: it isn't, or its locks are too weak or too costly.
    """
    schema = fields.get("schema")
    if isinstance(schema, str) and schema != wraps.SCHEMA and schema.startswith("panachain/key-store/"):
        raise LockedError(f"{path} is a key store of another version; this program reads {wraps.SCHEMA}")
    try:
        return wraps.parse(fields)
    except LockedError as exc:
        raise LockedError(f"{path}: {exc}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LockedError(f"{path} is no key store of version 2 or 3") from None


def _read(path: Path) -> dict[str, Any]:
    """Return what a key store's file holds, if nobody else can read it or put another one in its place."""
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
            content = file.read(wraps.MAX_SIZE + 1)
        if len(content) > wraps.MAX_SIZE:
            raise LockedError(f"{path} has more than {wraps.MAX_SIZE} bytes; it is no key store")
        return wraps.read(content)
    except FileNotFoundError:
        raise LockedError(f"there is no key store {path}") from None
    except OSError as exc:
        raise LockedError(f"the key store {path} can't be read: {exc.strerror}") from exc
    except ValueError:
        raise LockedError(f"{path} is no key store of version 2 or 3") from None
