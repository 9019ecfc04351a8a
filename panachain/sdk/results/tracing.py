"""Whose a leaked key is."""

from __future__ import annotations

from dataclasses import dataclass

from panachain.model.actors import Actor


@dataclass(frozen=True)
class Traced:
    """Somebody whose key is in what leaked.

    Examples:
        >>> from panachain.sdk.tracing import Tracing
        >>> with connect("registrar", role="registrar") as registrar:
        ...     found = Tracing(registrar.network).trace(bytes(33))
        >>> list(found)
        []
    """

    actor: Actor
    what: str
    """What leaked: `seed`, or which secret or public key."""
    secret: bool
    """Whether whoever has it can act or read as this actor; else it only names them."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/traced/1`."""
        return {
            "schema": "panachain/traced/1",
            "who": self.actor.address,
            "handle": self.actor.handle,
            "role": self.actor.role.value,
            "status": self.actor.status.name.lower(),
            "organisation": self.actor.organisation,
            "what": self.what,
            "secret": self.secret,
        }
