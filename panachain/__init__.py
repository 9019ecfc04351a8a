"""PanaChain: health records that belong to their patients.

    from panachain import connect
    with connect("me", role="patient") as patient:
        policy = patient.grant("doctor", categories=["laboratory"], until=timedelta(days=30))

Names load on first use: the command line's `--help` must not pay for the chain's or the cryptography's packages.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    # For type checkers and editors, which don't run `__getattr__`.
    from panachain.devnet import Devnet
    from panachain.errors import PanaChainError
    from panachain.model.actors import Actor, Role, Status
    from panachain.model.policy import PolicyStatus
    from panachain.model.scope import Category, Purpose
    from panachain.sdk import (
        AnyActor,
        Hospital,
        Network,
        Patient,
        Practitioner,
        Registrar,
        Researcher,
        connect,
    )

_PLACES: Final = {
    "Actor": "model.actors",
    "AnyActor": "sdk",
    "Category": "model.scope",
    "Devnet": "devnet",
    "Hospital": "sdk",
    "Network": "sdk",
    "PanaChainError": "errors",
    "Patient": "sdk",
    "PolicyStatus": "model.policy",
    "Practitioner": "sdk",
    "Purpose": "model.scope",
    "Registrar": "sdk",
    "Researcher": "sdk",
    "Role": "model.actors",
    "Status": "model.actors",
    "connect": "sdk",
}
__all__ = [
    "Actor",
    "AnyActor",
    "Category",
    "Devnet",
    "Hospital",
    "Network",
    "PanaChainError",
    "Patient",
    "PolicyStatus",
    "Practitioner",
    "Purpose",
    "Registrar",
    "Researcher",
    "Role",
    "Status",
    "connect",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # By name: a static import would make every floor depend on the SDK.
    return getattr(import_module(f"panachain.{_PLACES[name]}"), name)
