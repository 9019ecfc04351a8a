"""The SDK: one class for each actor. Names load on first use, so that importing the package costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from panachain.sdk.base import ActorSession
    from panachain.sdk.network import Network
    from panachain.sdk.profiles import Profile

_PLACES = {
    "Network": "panachain.sdk.network",
    "Patient": "panachain.sdk.patient",
    "Hospital": "panachain.sdk.hospital",
    "Practitioner": "panachain.sdk.practitioner",
    "Researcher": "panachain.sdk.researcher",
    "Registrar": "panachain.sdk.base",
}
__all__ = [*_PLACES, "open_actor"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def open_actor(network: Network, profile: Profile, passphrase: str) -> ActorSession:
    """Return the actor of a profile, unlocked: Patient, Hospital, Practitioner, Researcher or Registrar.

    Raises:
        LockedError: wrong passphrase.
        UsageError: the profile's role isn't one of these.
    """
    from panachain.errors import UsageError

    name = profile.role.value.capitalize()
    if name not in _PLACES:
        raise UsageError(f"profile {profile.name!r} is a {profile.role.value}, which the SDK doesn't act for")
    session: ActorSession = __getattr__(name)(network, profile, passphrase)
    return session
