"""The SDK: one class for each actor, and `connect`, which returns the actor of a profile.

Names load on first use, so that importing the package costs nothing. What a program needs is in `panachain` itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    # For type checkers and editors, which don't run `__getattr__`.
    from panachain.sdk.actors import AnyActor, connect, open_actor
    from panachain.sdk.base import Registrar
    from panachain.sdk.hospital import Hospital
    from panachain.sdk.network import Network
    from panachain.sdk.patient import Patient
    from panachain.sdk.practitioner import Practitioner
    from panachain.sdk.researcher import Researcher

_PLACES: Final = {
    "AnyActor": "actors",
    "Hospital": "hospital",
    "Network": "network",
    "Patient": "patient",
    "Practitioner": "practitioner",
    "Registrar": "base",
    "Researcher": "researcher",
    "connect": "actors",
    "open_actor": "actors",
}
__all__ = [
    "AnyActor",
    "Hospital",
    "Network",
    "Patient",
    "Practitioner",
    "Registrar",
    "Researcher",
    "connect",
    "open_actor",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"panachain.sdk.{_PLACES[name]}"), name)
