"""What results ask for names: sdk/names.py answers, which knows policies and so can't be imported here."""

from __future__ import annotations

from typing import Protocol

from panachain.model.actors import Role


class People(Protocol):
    """What addresses are called."""

    def of(self, address: str, role: Role | None = None) -> str:
        """Return the name of an address, or the address if nobody knows it."""
        ...
