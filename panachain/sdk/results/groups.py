"""A care team or a department."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from panachain.model.actors import Address, Role, Status
from panachain.sdk.results.people import People


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
    group_name: str = field(default="", compare=False)
    """What the reader of this result calls the group (sdk/names.py): for people; a program takes `group`."""
    manager_name: str = field(default="", compare=False)
    member_names: tuple[str, ...] = field(default=(), compare=False)
    """In the order of `members`."""

    def strangers(self) -> tuple[str, ...]:
        """Return whose name a registry has to be asked for: nobody's, as all roles are known."""
        return ()

    def named(self, names: People) -> GroupView:
        """Return the view with names for the group and its people."""
        return replace(
            self,
            group_name=names.of(self.group, Role.GROUP),
            manager_name=names.of(self.manager, Role.PRACTITIONER),
            member_names=tuple(names.of(one, Role.PRACTITIONER) for one in self.members),
        )

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
