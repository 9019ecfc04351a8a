"""The devnet: a network of one's own on this machine, started through the command line like anybody's.

Stands above the command line, which reaches it by name only. Names load on first use: help needs none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from panachain.devnet.deployment import REGISTRAR
    from panachain.devnet.lifecycle import Devnet, DevnetProxy, DevnetStatus

_PLACES = {"REGISTRAR": "deployment", "Devnet": "lifecycle", "DevnetProxy": "lifecycle", "DevnetStatus": "lifecycle"}
__all__ = ["REGISTRAR", "Devnet", "DevnetProxy", "DevnetStatus"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"panachain.devnet.{_PLACES[name]}"), name)
