"""PanaChain: health records that belong to their patients.

    from panachain import Network, Patient, Hospital, Practitioner, Researcher

Names load on first use: the command line's `--help` must not pay for the chain's or the cryptography's packages.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["Hospital", "Network", "Patient", "Practitioner", "Registrar", "Researcher"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # By name: a static import would make every floor depend on the SDK.
    return getattr(import_module("panachain.sdk"), name)
