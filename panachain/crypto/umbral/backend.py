"""Which implementation of Umbral the wrapper stands on: libsecp256k1, or nucypher_core by setting.

The only file that imports nucypher_core, and only when it is asked for. Both make the same bytes and derive the same
keys, so people on either read each other's. Never falls back to another one: accounts and seals stand on libsecp256k1
too, so that nothing works where it is missing, and panachain/secp256k1.py says what to install.
Follows ADR 63.

    PANACHAIN_UMBRAL = libsecp256k1 (the default) | nucypher-core
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

from panachain.errors import ConfigurationError

VARIABLE: Final = "PANACHAIN_UMBRAL"
LIBSECP256K1: Final = "libsecp256k1"
NUCYPHER_CORE: Final = "nucypher-core"


@dataclass(frozen=True)
class Backend:
    """An implementation of Umbral."""

    name: str
    """`libsecp256k1` or `nucypher-core`."""
    library: Any
    """What has the names of `nucypher_core.umbral`."""
    kits: Any
    """What has `MessageKit`."""
    parallel: bool
    """Whether threads compute beside each other: nucypher_core never releases the GIL."""


def chosen(setting: str | None = None) -> Backend:
    """Return the implementation that the setting names.

    Args:
        setting: replaces the environment's.

    Raises:
        ConfigurationError: it names none, or one that isn't installed.
    """
    name = os.environ.get(VARIABLE, "") if setting is None else setting
    if name not in ("", LIBSECP256K1, NUCYPHER_CORE):
        raise ConfigurationError(
            f"{VARIABLE} is {name!r}, expected {LIBSECP256K1} or {NUCYPHER_CORE}", hint=f"unset {VARIABLE}"
        )
    if name != NUCYPHER_CORE:
        from panachain.crypto.umbral import scheme

        return Backend(LIBSECP256K1, scheme, scheme, parallel=True)
    try:
        import nucypher_core
        from nucypher_core import umbral
    except ImportError as exc:
        raise ConfigurationError(
            f"{VARIABLE} is {name}, which can't be loaded: {exc}",
            hint=f"pip install nucypher-core (Python 3.12 and earlier), or unset {VARIABLE}",
        ) from None
    return Backend(NUCYPHER_CORE, umbral, nucypher_core, parallel=False)
