"""`key status|passphrase|upgrade`: the lock of a key store; `key rotate|list` are in cli/key_rotation.py.

Never shows a seed, and never leaves a key store without a lock that was read back. Follows docs/spec/cli.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from panachain.cli.app import App, LazyGroup, command, current
from panachain.cli.key_rotation import generations, rotate

_FILE = click.option(
    "--file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A service's key store, in place of the profile's.",
)
_TITLES: Final = {"kind": "opened by", "derivation": "protected by", "current": "today's strength"}


@click.group("key", cls=LazyGroup, epilog="panachain key status")
def key() -> None:
    """Look at the lock of a profile's seed, change its passphrase, and change the actor's keys."""


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


for _command in (status, passphrase, upgrade, remember, forget):
    key.add_command(_command)
key.add_command(rotate)
key.add_command(generations)
