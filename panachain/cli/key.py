"""`key status|list|add|remove|passphrase|upgrade`: the locks of a key store. Other keys are in cli/key_rotation.py.

Never shows a seed or takes a PIN as an argument, and never leaves a key store without a lock that was read back.
Follows docs/spec/cli.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from panachain.cli.app import App, LazyGroup, command, current
from panachain.cli.key_rotation import generations, rotate

if TYPE_CHECKING:
    from panachain.crypto.keystore import LockInfo, Opened
    from panachain.sdk.locks import Locks

_FILE = click.option(
    "--file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A service's key store, in place of the profile's.",
)
_TITLES: Final = {"kind": "opened by", "derivation": "protected by", "current": "today's strength"}
_LABEL: Final = click.option("--label", metavar="TEXT", default="", help="What it is called, such as 'blue key'.")
_KINDS: Final = {"passphrase": "a passphrase", "drawn": "a passphrase", "security-key": "a security key"} | {
    "passkey": "a passkey"
}


@click.group("key", cls=LazyGroup, epilog="panachain key status")
def key() -> None:
    """Look at what opens a profile, change it (a passphrase, security keys, passkeys), and change the actor's keys."""


@command("status", examples="panachain --profile me key status")
@_FILE
def status(file: Path | None) -> None:
    """Show with what a key store is locked; asks for no passphrase."""
    from panachain.crypto import keystore

    app = current()
    path, what = _store(app, file)
    kind, locks = keystore.inspect(path)
    rows = [
        {
            "schema": "panachain/key-lock/1",
            "file": str(path),
            "format": kind,
            "kind": lock.kind,
            "derivation": lock.derivation,
            "current": lock.current,
        }
        for lock in locks
    ]
    app.output.many(rows, empty="", columns=("kind", "derivation", "current"), more=("format", "file"), titles=_TITLES)
    if not all(lock.current for lock in locks):
        app.output.say(f"The key store of {what} has a lock that today's programs make stronger.")
        app.output.next(f"panachain key upgrade{_option(file)}")


@command(
    "passphrase",
    unchanged="the key store is locked as before",
    examples="""
        panachain --profile me key passphrase
        panachain key passphrase --file /srv/panachain/proxy/seed.json --new-passphrase-file new.txt
    """,
)
@_FILE
@click.option(
    "--new-passphrase-fd", metavar="N", type=click.IntRange(0), help="Read the new passphrase from this descriptor."
)
@click.option(
    "--new-passphrase-file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The new passphrase is this file's first line.",
)
def passphrase(file: Path | None, new_passphrase_fd: int | None, new_passphrase_file: Path | None) -> None:
    """Give a key store another passphrase.

    The seed stays the same, and so does all that was granted. A copy of the old file, as in a backup, still opens with
    the old passphrase.
    """
    from panachain.crypto import keystore
    from panachain.passphrase import read_new_passphrase

    app = current()
    path, what = _store(app, file)
    # Looked at before anything is asked: it could be none, or open to others.
    keystore.inspect(path)
    old = app.passphrase(what)
    new = read_new_passphrase(what, descriptor=new_passphrase_fd, file=new_passphrase_file)
    keystore.change_passphrase(path, old, new)
    app.output.say(f"The key store of {what} opens with the new passphrase, and no more with the old one.")


@command("upgrade", unchanged="the key store is locked as before", examples="panachain key upgrade --file seed.json")
@_FILE
def upgrade(file: Path | None) -> None:
    """Lock a key store as today's programs do, under the passphrase that it has.

    A profile's old key store is upgraded by whatever unlocks it; a service's only by this.
    """
    from panachain.crypto import keystore

    app = current()
    path, what = _store(app, file)
    _, locks = keystore.inspect(path)
    if all(lock.current for lock in locks):
        app.output.say(f"The key store of {what} is locked as today's programs do it.")
        return
    given = app.passphrase(what)
    keystore.change_passphrase(path, given, given)
    app.output.say(f"The key store of {what} is locked as today's programs do it now.")


def _store(app: App, file: Path | None) -> tuple[Path, str]:
    """Return where the key store is, and whose in words."""
    if file is not None:
        return file.absolute(), f"{file}"
    profile = app.profile()
    return profile.folder / "seed.json", f"profile {profile.name}"


def _option(file: Path | None) -> str:
    import shlex

    return "" if file is None else f" --file {shlex.quote(str(file))}"


@command("remember", unchanged="the keychain is as it was", examples="panachain --profile me key remember")
def remember() -> None:
    """Have the system's keychain hold the profile's passphrase, once it has opened the profile.

    Commands ask the keychain if the setting passphrase_keychain is yes. Whoever is logged in then needs no passphrase.
    """
    from panachain.passphrase import remember
    from panachain.sdk.profiles import unlock

    app = current()
    profile = app.profile()
    given = app.passphrase(f"profile {profile.name}")
    unlock(profile, given)
    remember(profile.handle, given)
    app.output.say(f"The keychain holds the passphrase of profile {profile.name}.")
    if not app.config.passphrase_keychain:
        app.output.say('Commands ask it once panachain.toml says `passphrase_keychain = "yes"`.')


@command("forget", unchanged="the keychain is as it was", examples="panachain --profile me key forget")
def forget() -> None:
    """Take the profile's passphrase out of the system's keychain."""
    from panachain.passphrase import forget

    app = current()
    profile = app.profile()
    done = forget(profile.handle)
    app.output.say(
        f"The keychain has forgotten the passphrase of profile {profile.name}." if done else "The keychain held none."
    )


@command("list", examples="panachain --profile me key list")
def list_() -> None:
    """Show what opens the profile: each of these does by itself."""
    from panachain.sdk.locks import Locks

    app = current()
    rows = [
        {
            "schema": "panachain/lock/1",
            "number": number,
            "kind": lock.kind,
            "label": lock.label,
            "derivation": lock.derivation,
        }
        for number, lock in enumerate(Locks(app.profile()).all(), 1)
    ]
    app.output.many(rows, empty="", columns=("number", "kind", "label", "derivation"), titles=_TITLES)
    if len(rows) == 1:
        app.output.say("It is the only one: without it, nothing but recovery shares brings the profile back.")
        app.output.next("panachain key add security-key")


@click.group("add", cls=LazyGroup, epilog="panachain key add security-key")
def add() -> None:
    """Let something else open the profile, too."""


@command(
    "security-key",
    unchanged="the profile opens as before",
    examples="""
        panachain --profile me key add security-key
        panachain --profile me key add security-key --label "blue key"
    """,
)
@_LABEL
@click.option(
    "--touch-only", is_flag=True, help="Ask for no PIN or fingerprint: whoever has the key opens the profile."
)
def security_key(label: str, touch_only: bool) -> None:
    """Let a FIDO2 security key open the profile, too (with hmac-secret, such as most since 2019).

    The profile's passphrase, or a security key that it has, is asked for first. The new key is asked three times: to
    make something that is for this profile alone, to answer, and to answer the same once more, which is read back.
    A fingerprint unlocks the key and never leaves it. What the key checks, its PIN or a finger, it checks each time.
    """
    from panachain.security_keys import Terminal

    app = current()
    locks, opened = _opened(app)
    made = locks.add_security_key(opened, Terminal(), label=label, verified=not touch_only)
    app.output.say(f"The security key {made.label!r} opens profile {locks.profile.name} now, and was read back.")
    if touch_only:
        app.output.warn("whoever has this key and this machine opens the profile: the key checks no PIN and no finger")
    app.output.next("panachain key list")


@command(
    "passphrase",
    unchanged="the profile opens as before",
    examples="panachain --profile me key add passphrase",
)
@click.option(
    "--new-passphrase-fd", metavar="N", type=click.IntRange(0), help="Read the new passphrase from this descriptor."
)
@click.option(
    "--new-passphrase-file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The new passphrase is this file's first line.",
)
def another_passphrase(new_passphrase_fd: int | None, new_passphrase_file: Path | None) -> None:
    """Let a passphrase open the profile, too, where only security keys do now."""
    from panachain.passphrase import read_new_passphrase

    app = current()
    locks, opened = _opened(app)
    what = f"profile {locks.profile.name}"
    locks.add_passphrase(opened, read_new_passphrase(what, descriptor=new_passphrase_fd, file=new_passphrase_file))
    app.output.say(f"The new passphrase opens {what}, too.")


@command(
    "remove",
    unchanged="the profile opens as before",
    examples="""
        panachain --profile me key list
        panachain --profile me key remove "blue key"
    """,
)
@click.argument("lock", metavar="LOCK")
@click.option("--yes", is_flag=True, help="Ask nothing.")
def remove(lock: str, yes: bool) -> None:
    """Take one of the things that open the profile away; LOCK is its number or label in `key list`.

    The profile is opened first by one that stays: so what is left is known to open. A copy of the key store from
    before, as in a backup, still opens with what was taken away.
    """
    from panachain.errors import UsageError
    from panachain.sdk.locks import Locks

    app = current()
    locks = Locks(app.profile())
    found = locks.named(lock)
    if len(locks.all()) == 1:
        raise UsageError("this is the only one that opens the profile; it stays", hint="panachain key add security-key")
    what = f"{_KINDS.get(found.kind, 'a lock')}{f' {found.label!r}' if found.label else ''}"
    app.check_can_confirm(yes=yes)
    locks, opened = _opened(app, found)
    left = sum(1 for one in locks.all() if one.mark != found.mark)
    app.confirm(f"Profile {locks.profile.name} won't open with {what} any more; {left} will. Go on?", yes=yes)
    locks.remove(opened, found)
    app.output.say(f"Profile {locks.profile.name} doesn't open with {what} any more.")
    if not any(one.kind in ("passphrase", "drawn") for one in locks.all()):
        app.output.warn("no passphrase opens this profile: who loses the keys needs recovery shares")
        app.output.next("panachain recovery status")


def _opened(app: App, goes: LockInfo | None = None) -> tuple[Locks, Opened]:
    """Open the profile's key store by one of its locks, but not by the one that goes; no agent is asked.

    Raises:
        LockedError: none opens.
    """
    from panachain.errors import SecurityKeyMissingError
    from panachain.passphrase import is_named
    from panachain.sdk.locks import Locks
    from panachain.sdk.profiles import passphrase_sources
    from panachain.security_keys import Terminal

    profile = app.profile()
    locks = Locks(profile)
    given = app.descriptor is not None or is_named(passphrase_sources(app.config, profile))
    others = [one for one in locks.all() if goes is None or one.mark != goes.mark]
    by_passphrase = any(one.kind in ("passphrase", "drawn") for one in others) or not locks.credentials("security-key")
    if not (given and by_passphrase) and app.config.security_key:
        kept = [one for one in locks.credentials("security-key") if goes is None or one.mark != goes.mark]
        try:
            if kept:
                app.output.say(f"A security key of profile {profile.name} is asked first.")
                return locks, locks.open_by_security_key(Terminal(), kept)
        except SecurityKeyMissingError:
            if not by_passphrase:
                raise
    return locks, locks.open(app.passphrase(f"profile {profile.name}", profile=profile))


for _command in (security_key, another_passphrase):
    add.add_command(_command)
key.add_command(add)
for _command in (status, list_, remove, passphrase, upgrade, remember, forget):
    key.add_command(_command)
key.add_command(rotate)
key.add_command(generations)
