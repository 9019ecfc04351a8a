"""A care team or a department."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from panachain.model.actors import Address, Role, Status, handle_of
from panachain.sdk.results.people import People


@dataclass(frozen=True)
class GroupView:
    """A care team or department, as its members see it.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     team = doctor.create_group()
        ...     team = doctor.add_member(team.handle, "nurse")
        >>> len(team.members), len(team.invited)
        (1, 1)
        >>> with connect("nurse", role="practitioner") as nurse:
        ...     team = nurse.accept_group(team.handle)
        >>> len(team.members), len(team.invited)
        (2, 0)
    """

    group: Address
    handle: str
    status: Status
    """Suspended for a group that was closed."""
    organisation: str
    manager: Address
    members: tuple[Address, ...]
    """Those who accepted, and count now."""
    generation: int = 0
    """How often the group's receiving key was renewed."""
    renewal_due: bool = False
    """Whether somebody who is neither a member now nor invited has the newest key, or a member lacks it."""
    invited: tuple[Address, ...] = ()
    """Those who are listed and haven't accepted."""
    group_name: str = field(default="", compare=False)
    """What the reader of this result calls the group (sdk/names.py): for people; a program takes `group`."""
    manager_name: str = field(default="", compare=False)
    member_names: tuple[str, ...] = field(default=(), compare=False)
    """In the order of `members`."""
    invited_names: tuple[str, ...] = field(default=(), compare=False)

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
            invited_names=tuple(names.of(one, Role.PRACTITIONER) for one in self.invited),
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
            "invited": list(self.invited),
            "generation": self.generation,
            "renewal_due": self.renewal_due,
        }


@dataclass(frozen=True)
class InvitationView:
    """A group that invites a practitioner; they aren't in it before they accept.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     team = doctor.create_group()
        ...     team = doctor.add_member(team.handle, "nurse")
        >>> with connect("nurse", role="practitioner") as nurse:
        ...     waiting = nurse.invitations()
        ...     left = nurse.leave_group(team.handle)
        >>> waiting[-1].group == team.group
        True
    """

    group: Address
    manager: Address
    group_name: str = field(default="", compare=False)
    """What the reader of this result calls the group (sdk/names.py): for people; a program takes `group`."""
    manager_name: str = field(default="", compare=False)

    @property
    def handle(self) -> str:
        """The group's."""
        return handle_of(self.group, Role.GROUP)

    def strangers(self) -> tuple[str, ...]:
        """Return whose name a registry has to be asked for: nobody's, as both roles are known."""
        return ()

    def named(self, names: People) -> InvitationView:
        """Return the invitation with names for group and manager."""
        group, manager = names.of(self.group, Role.GROUP), names.of(self.manager, Role.PRACTITIONER)
        return replace(self, group_name=group, manager_name=manager)

    def to_json(self) -> dict[str, object]:
        """Return the invitation as JSON, schema `panachain/group-invitation/1`."""
        return {
            "schema": "panachain/group-invitation/1",
            "group": self.group,
            "handle": self.handle,
            "manager": self.manager,
        }
