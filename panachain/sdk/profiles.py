"""Profiles: one actor each, in a folder of its own with a locked key store.

Never writes a secret outside the key store, and never lets one damaged profile stop the others. A profile's folder has
its name once all of it is there. Follows docs/spec/cli.md, section "State on disk".

    HOME/profiles/NAME/profile.json    role, address, public keys
    HOME/profiles/NAME/seed.json       the seed, in a key store (`panachain/key-store/2`)
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from panachain.crypto import keys, keystore
from panachain.crypto.wraps import DataKey
from panachain.errors import (
    ConfigurationError,
    DiskError,
    IntegrityError,
    LockedError,
    Omission,
    UnknownActorError,
    UsageError,
)
from panachain.ethereum import parse_address
from panachain.model.actors import Actor, Address, Role, handle_of
from panachain.model.key_block import PublicKeys
from panachain.passphrase import Sources
from panachain.private_files import make_private_folder, read_regular, write_private
from panachain.sdk.contacts import NAME, find_contact, looks_like_an_actor

if TYPE_CHECKING:
    from panachain.agent.client import AgentState
    from panachain.config import Config

_FILE: Final = "profile.json"
_SEED: Final = "seed.json"
_MOST: Final = 1 << 16
"""Bytes of a profile's file, of which it takes 4,000 and a name to show."""


@dataclass(frozen=True)
class Profile:
    """An actor on this machine, still locked."""

    name: str
    role: Role
    address: Address
    keys: PublicKeys
    folder: Path
    display_name: str = ""

    @property
    def handle(self) -> str:
        """The actor's handle."""
        return handle_of(self.address, self.role)

    @property
    def orders(self) -> Path:
        """The file of the revocations that were asked for here (sdk/revocation_orders.py)."""
        return self.folder / "revoked.json"

    @property
    def has_revoked(self) -> bool:
        """Whether a revocation was asked for here, which may have to be gone on with."""
        # Either of the two that lie there (sdk/revocation_orders.py).
        return self.orders.exists() or self.orders.with_name(self.orders.name + ".copy").exists()

    @property
    def has_unfinished(self) -> bool:
        """Whether a grant was begun here that isn't finished, as far as its journal's names tell."""
        return any((self.folder / "grants").glob("*.sealed"))

    @property
    def actor(self) -> Actor:
        """The actor as others see them once they are registered; the chain decides whether they are active."""
        return Actor.of(self.address, self.role, self.keys)

    def to_json(self) -> dict[str, object]:
        """Return the profile's public side."""
        return {
            "schema": "panachain/profile/2",
            "name": self.name,
            "role": self.role.value,
            "address": self.address,
            "handle": self.handle,
            "display_name": self.display_name,
            "key_block": self.keys.encode().hex(),
        }


def create_profile(
    home: Path,
    name: str,
    role: Role,
    passphrase: str,
    display_name: str = "",
    *,
    drawn: bool = False,
    seed: keys.Seed | None = None,
) -> Profile:
    """Make a new actor: a fresh seed, locked under `passphrase`.

    Args:
        home: the folder of all state.
        name: the profile's.
        role: what the actor is.
        passphrase: locks the seed.
        display_name: a name to show; it stays on this machine.
        drawn: a program drew the passphrase at random, of 80 bits or more, and unlocking may cost little.
        seed: of an actor who is restored (sdk/restoring.py); None draws one.

    Raises:
        UsageError: the name can't be used, or is taken.
        DiskError: the disk refuses; nothing is left behind.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"profile name {name!r}: use 1 to 64 of a-z, 0-9, dot, dash and underscore")
    if looks_like_an_actor(name):
        raise UsageError(f"profile name {name!r} looks like an address or a handle, which name somebody already")
    folder = _folder(home, name)
    if find_contact(home, name):
        raise UsageError(
            f"a contact is called {name!r}", hint=f"another --profile, or panachain contacts remove {name}"
        )
    taken = UsageError(f"profile {name!r} exists already; it was left as it is", hint="choose another --profile")
    if _is_profile(folder):
        raise taken
    if not _is_free(folder):
        raise UsageError(
            f"{folder} holds something else already; it was left as it is",
            hint="choose another --profile, or move that folder away",
        )
    if seed is None:
        seed = keys.Seed.random()
    profile = Profile(
        name=name,
        role=role,
        address=keys.address_of(seed.account_key()),
        keys=seed.public_keys(),
        folder=folder,
        display_name=display_name,
    )
    try:
        make_private_folder(home)
        make_private_folder(folder.parent)
        with _whole(folder) as made:
            keystore.create(made / _SEED, seed, passphrase, drawn=drawn)
            write_private(made / _FILE, json.dumps(profile.to_json(), indent=1).encode())
    except OSError as exc:
        if exc.errno in (errno.ENOTEMPTY, errno.EEXIST):
            # Somebody else made it meanwhile.
            raise taken from None
        raise DiskError(f"profile {name!r} can't be written: {exc.strerror}") from exc
    return profile


def load_profile(home: Path, name: str) -> Profile:
    """Return the profile of this name.

    Raises:
        UnknownActorError: there is none.
        ConfigurationError: its file is damaged, or can't be read.
    """
    found = find_profile(home, name)
    if found is None:
        raise UnknownActorError(f"no profile {name!r} in {home}", hint=_instead_of(home, name))
    return found


def find_profile(home: Path, name: str) -> Profile | None:
    """Return the profile of this name, or None where there is none.

    Raises:
        ConfigurationError: its file is damaged, or can't be read.
    """
    if not NAME.fullmatch(name) or not _is_profile(_folder(home, name)):
        return None
    return _load(home, name)


def _load(home: Path, name: str) -> Profile:
    folder = _folder(home, name)
    path = folder / _FILE
    again = f"move its folder away, and `panachain --profile {name} restore` makes it again from its recovery shares"
    try:
        fields: dict[str, Any] = json.loads(read_regular(path, _MOST))
        if not isinstance(fields, dict) or not isinstance(fields.get("display_name", ""), str):
            raise TypeError
        return Profile(
            name=name,
            role=Role(fields["role"]),
            # Checked: what names are looked up by, and handles made of, must be an address in its one spelling.
            address=parse_address(fields["address"]),
            keys=PublicKeys.parse(bytes.fromhex(fields["key_block"])),
            folder=folder,
            display_name=fields.get("display_name", ""),
        )
    except FileNotFoundError as exc:
        if folder.is_symlink() and not folder.exists():
            helps = f"it is a link to {folder.readlink()}: mount that again, or take the link away"
        else:
            helps = f"put that file back from a backup. Or {again}; nobody needs it where it was never registered"
        raise ConfigurationError(f"{path} isn't there", hint=helps) from exc
    except OSError as exc:
        raise ConfigurationError(
            f"{path} can't be read as a profile: {exc.strerror}",
            hint="it must be a file that whoever runs panachain may read: look at its owner and its mode, and those of"
            " its folder",
        ) from exc
    except (ValueError, KeyError, TypeError, RecursionError, IntegrityError) as exc:
        raise ConfigurationError(
            f"{path} can't be read as a profile: it is damaged",
            hint=f"put that file back from a backup; the key store beside it is another file. Or {again}",
        ) from exc


class Profiles(list[Profile]):
    """The profiles of this machine that can be read, by name."""

    def __init__(self, found: Iterable[Profile] = (), damaged: Mapping[str, ConfigurationError] | None = None) -> None:
        """Take those that can be read, and those that can't."""
        super().__init__(found)
        self.damaged = dict(damaged or {})
        """The names of those that can't be, each with why, and with what helps (`hint`)."""

    @property
    def omissions(self) -> tuple[Omission, ...]:
        """Those that can't be read, as whoever uses the others tells of them."""
        return tuple(Omission("", f"profile {name}", error) for name, error in self.damaged.items())


def list_profiles(home: Path) -> Profiles:
    """Return all profiles on this machine, by name; one that is damaged stops none of the others.

    Examples:
        >>> profiles = list_profiles(home)
        >>> profiles.damaged
        {}

    Raises:
        DiskError: their folder can't be listed.
    """
    found: list[Profile] = []
    damaged: dict[str, ConfigurationError] = {}
    for name in profile_names(home):
        try:
            if not NAME.fullmatch(name):
                raise ConfigurationError(
                    f"a folder in {home / 'profiles'} has a name that no profile can have",
                    hint="give it one of 1 to 64 of a-z, 0-9, dot, dash and underscore, or move it elsewhere",
                )
            found.append(_load(home, name))
        except ConfigurationError as exc:
            # Such a name may hold anything.
            damaged[name if NAME.fullmatch(name) else ascii(name)] = exc
    return Profiles(found, damaged)


def profile_names(home: Path) -> list[str]:
    """Return the names of all profiles on this machine, sorted, be their files damaged or not.

    Raises:
        DiskError: their folder can't be listed.
    """
    folder = home / "profiles"
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise DiskError(
            f"{folder} can't be listed: {exc.strerror}", hint="it must be a folder that whoever runs panachain may read"
        ) from exc
    # Those that are being made begin with a dot.
    return [name for name in names if not name.startswith(".") and _is_profile(folder / name)]


def _is_profile(folder: Path) -> bool:
    """Tell whether this is a profile's folder, as far as that can be seen, whole or not."""
    for name in (_FILE, _SEED):
        try:
            (folder / name).lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            # It can't be looked into, so nobody knows.
            return True
        return True
    # What lies on another disk that isn't mounted.
    return folder.is_symlink() and not folder.exists()


def _is_begun(folder: Path) -> bool:
    """Tell whether this is a key store that no profile was ever written to."""
    try:
        return (folder / _SEED).is_file() and not os.path.lexists(folder / _FILE)
    except OSError:
        return False


def _is_free(folder: Path) -> bool:
    """Tell whether a profile can be made here: nothing is there, or an empty folder."""
    try:
        return not os.listdir(folder)  # noqa: PTH208
    except FileNotFoundError:
        return True
    except OSError:
        return False


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Give where the files of a new profile are written; they are the profile's all at once, or leave nothing.

    Raises:
        OSError: the disk refuses, or something has that name meanwhile.
    """
    if os.path.lexists(folder):
        # Empty, and perhaps a link or another disk, which keeps its place.
        try:
            yield folder
        except BaseException:
            for name in (_SEED, _FILE):
                (folder / name).unlink(missing_ok=True)
            raise
        return
    _sweep(folder)
    made = folder.with_name(f".{folder.name}.{os.urandom(4).hex()}.new")
    make_private_folder(made)
    held = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Where the file system has no such lock, none sweeps either.
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX)
        yield made
        made.rename(folder)
        above = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Its key may be registered in a moment. Some file systems have no such call for folders.
            with suppress(OSError):
                os.fsync(above)
        finally:
            os.close(above)
    finally:
        _remove(made)
        os.close(held)


def _remove(folder: Path) -> None:
    # Imported here: only who makes a profile needs it.
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what a program that was killed left of a profile of this name; one that is being made stays."""
    for left in folder.parent.glob(f".{folder.name}.*.new"):
        try:
            held = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(left)
        except OSError:
            continue
        finally:
            os.close(held)


def _instead_of(home: Path, name: str) -> str:
    """Return what to do where there is no profile of this name: a misspelt one is commoner than a new one."""
    # Imported here: only a mistyped name needs it.
    from difflib import get_close_matches

    makes = f"panachain --profile {name} init --role ROLE makes one" if NAME.fullmatch(name) else ""
    if close := get_close_matches(name, [one for one in profile_names(home) if one != name], n=3):
        return f"did you mean {' or '.join(close)}?" + (f" {makes}" if makes else "")
    return makes or "give the name of a profile of this machine"


def choose_profile(home: Path, name: str, roles: Sequence[Role] = (), *, purpose: str = "") -> Profile:
    """Return the profile that acts: the one of this name, or the only one that fits.

    Args:
        home: the folder of all state.
        name: a profile's; empty when none was chosen.
        roles: those that fit; none means any.
        purpose: what only they can do, for the message, such as the command.

    Raises:
        UsageError: no profile is chosen and there isn't exactly one that fits, or it has another role. Where another
            one is damaged, it isn't known whether that fits, and none is guessed.
        UnknownActorError: there is no profile of this name.
        ConfigurationError: it is damaged, or no other one fits.
    """
    if name:
        profile = load_profile(home, name)
        if roles and profile.role not in roles:
            wanted = f"`{purpose}` is for a {_or(roles)}" if purpose else f"a {_or(roles)} was asked for"
            raise UsageError(
                f"profile {name} is a {profile.role.value}; {wanted}", hint="choose another one with --profile"
            )
        return profile
    profiles = list_profiles(home)
    fitting = [one for one in profiles if not roles or one.role in roles]
    # What an `init` left that was killed never was a profile, so it isn't the one that is meant.
    unsure = [name for name in profiles.damaged if not _is_begun(home / "profiles" / name)]
    if len(fitting) == 1 and not unsure:
        return fitting[0]
    if profiles.damaged and len(fitting) < 2:
        first = Profiles(damaged={name: profiles.damaged[name] for name in unsure or profiles.damaged}).omissions[0]
        told = f"{first}; nothing tells whether it is the one that is meant"
        if fitting:
            raise UsageError(told, hint=f"--profile {fitting[0].name}, if it isn't; else {first.error.hint}")
        raise ConfigurationError(told, hint=first.error.hint)
    if not fitting:
        wanted, role = (f" of a {_or(roles)}", roles[0].value) if roles else ("", "ROLE")
        raise UsageError(f"there is no profile{wanted} in {home}", hint=f"panachain init --role {role}")
    raise UsageError(
        f"{len(fitting)} profiles could do this: {', '.join(one.name for one in fitting)}"
        + "".join(f"; {one}" for one in profiles.omissions),
        hint="choose one with --profile NAME or PANACHAIN_PROFILE",
    )


def _or(roles: Sequence[Role]) -> str:
    return " or ".join(role.value for role in roles)


def unlock(profile: Profile, secret: str | DataKey) -> keys.Seed:
    """Open the profile's key store.

    Args:
        profile: whose.
        secret: its passphrase, or the data key that an agent holds.

    Raises:
        LockedError: the passphrase is wrong, it is another one's data key, or the file's permissions are too lax.
    """
    if isinstance(secret, DataKey):
        return keystore.open_with(profile.folder / _SEED, secret)
    return keystore.open(profile.folder / _SEED, secret)


def passphrase_sources(config: Config, profile: Profile | None) -> Sources:
    """Return where the settings say that a passphrase comes from.

    Args:
        config: the settings.
        profile: which one it opens, whose passphrase the system's keychain may hold; None for none.
    """
    keychain = profile.handle if profile is not None and config.passphrase_keychain else ""
    return Sources(config.passphrase_file, config.passphrase_command, keychain)


def unlocked_by_agent(home: Path, profile: Profile) -> DataKey | None:
    """Return what a profile's agent holds, if there is one and it opens the profile; nothing is asked for otherwise.

    Args:
        home: the folder of all state.
        profile: whose.
    """
    # Imported here: only a profile that was unlocked before needs it.
    from panachain.agent import client

    if (found := client.ask(home, profile.name)) is None:
        return None
    key = DataKey(found)
    try:
        # Its key store may be another one since, or open to others: then the passphrase is asked for, which says so.
        seed = unlock(profile, key)
    except LockedError:
        return None
    return key if keys.address_of(seed.account_key()) == profile.address else None


def start_agent(home: Path, profile: Profile, secret: str | DataKey, seconds: int) -> AgentState:
    """Keep a profile unlocked for a while, in an agent of its own.

    Args:
        home: the folder of all state.
        profile: whose.
        secret: its passphrase, or the data key that a security key or a passkey opened.
        seconds: for how long, 12 hours at most.

    Raises:
        LockedError: it doesn't open it, or the key store kept the lock of an earlier program, since the disk refuses.
        UsageError: this system can't have an agent, or the time isn't one.
    """
    from panachain.agent import client

    return client.start(home, profile.name, data_key(profile, secret).reveal(), seconds)


def data_key(profile: Profile, secret: str | DataKey) -> DataKey:
    """Return what opens a profile's key store from now on; raises as `start_agent`.

    Args:
        profile: whose.
        secret: its passphrase, or the data key, which is tried.
    """
    if isinstance(secret, DataKey):
        unlock(profile, secret)
        return secret
    _, key = keystore.unlock(profile.folder / _SEED, secret)
    if key is None:
        raise LockedError(
            f"the key store of profile {profile.name!r} kept the lock of an earlier program; it stays locked",
            hint="make its folder writable, or give the passphrase to each command",
        )
    return key


def _folder(home: Path, name: str) -> Path:
    return home / "profiles" / name
