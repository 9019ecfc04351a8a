"""Key stores for a world of twins, whose actors need none: so a portal unlocks them as it does people's own."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from panachain.crypto import wraps
from panachain.crypto.wraps import DRAWN, DataKey
from panachain.errors import LockedError
from panachain.passphrase import Hidden
from panachain.portal.desk import Opener
from panachain.sdk import open_actor, profiles
from panachain.sdk.profiles import Profile
from tests.twin.world import World, seed_of


@cache
def _content(name: str, passphrase: str) -> bytes:
    return wraps.seal(seed_of(name).reveal(), passphrase, kind=DRAWN)[0].encode()


def lock_up(world: World, passphrase: str) -> None:
    """Give everybody of a world a key store under this passphrase, in the place of one that is there."""
    for name in world.sessions:
        folder = world.home / "profiles" / name
        folder.chmod(0o700)
        path = folder / "seed.json"
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_content(name, passphrase))


def opener_of(world: World, passphrase: str) -> Opener:
    """Return what unlocks a profile of a world, by its passphrase or by the data key of its key store."""

    def unlock(profile: Profile, secret: Hidden | DataKey) -> Any:
        if isinstance(secret, DataKey):
            # Opens it, or raises.
            profiles.unlock(profile, secret)
        elif secret.reveal() != passphrase:
            raise LockedError("the passphrase is wrong")
        return open_actor(world.network, profile, secret)

    return unlock
