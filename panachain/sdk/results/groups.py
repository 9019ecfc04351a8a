"""A care team or a department."""

from __future__ import annotations

from dataclasses import dataclass

from panachain.model.actors import Address, Status


@dataclass(frozen=True)
class GroupView:
    """A care team or department, as its members see it.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     team = doctor.create_group()
        ...     team = doctor.add_member(team.handle, "nurse")
        >>> len(team.members)
        2
    """

    group: Address
    handle: str
    status: Status
    """Suspended for a group that was closed."""
    organisation: str
    manager: Address
    members: tuple[Address, ...]
    generation: int = 0
    """How often the group's receiving key was renewed."""
    renewal_due: bool = False
    """Whether somebody who is no member now has the newest key, or a member lacks it."""

    def to_json(self) -> dict[str, object]:
        """Return the group as JSON, schema `panachain/group/1`."""
        return {
            "schema": "panachain/group/1",
            "group": self.group,
            "handle": self.handle,
            "status": self.status.name.lower(),
            "organisation": self.organisation,
            "manager": self.manager,
            "members": list(self.members),
            "generation": self.generation,
            "renewal_due": self.renewal_due,
        }
