"""Names for addresses, and policies by the beginning of their ID: what people read and type in place of hex.

A name shown here can be typed back: a profile or a contact of this machine, or the registry's handle. Never decides
who is meant by a name that is typed: `Resolver.resolve` does (sdk/resolve.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeVar

from panachain.errors import PanaChainError, PolicyUnknownError, UsageError
from panachain.model.actors import Actor, Address, PolicyId, Role, handle_of
from panachain.sdk.contacts import Contact, list_contacts
from panachain.sdk.profiles import Profile, list_profiles

if TYPE_CHECKING:
    from panachain.sdk.results.policies import PolicyView

_WHOLE: Final = 42
"""Characters of an address."""
_LEAST: Final = 6
"""Characters of the shortest beginning of a policy ID that is taken: `0x` and 16 bits."""


class Registry(Protocol):
    """What knows actors by their addresses."""

    def known(self, addresses: Iterable[Address]) -> list[Actor]:
        """Return those of these actors that a registry has."""
        ...

    def moves(self) -> Mapping[Address, Address]:
        """Return for each account that guardians moved the account that stands for it now."""
        ...


class Nameable(Protocol):
    """A result that names people: by addresses for programs, and by names for people."""

    def strangers(self) -> Sequence[str]:
        """Return the addresses of those whose name a registry may have to be asked for."""
        ...

    def named(self, names: Names) -> Self:
        """Return the result with names for its people."""
        ...


View = TypeVar("View", bound=Nameable)


class Names:
    """What this machine calls an address."""

    def __init__(self, home: Path, registry: Registry | None = None) -> None:
        """Read contacts; profiles are read when a name is looked for, since a machine may have hundreds of them.

        Raises:
            ConfigurationError: the address book is damaged, or others may change it.
        """
        self.registry = registry
        """Asked for handles of those whom nobody here named; None asks nobody."""
        self._home = home
        self._contacts = list_contacts(home)
        self._by_handle: dict[str, str] = {}
        self._handles: dict[str, str] = {}
        self._followed = False

    @cached_property
    def _known(self) -> list[Contact | Profile]:
        # Profiles come last: they are this machine's own. A damaged one is reported where it is used, and by `doctor`.
        return [*self._contacts, *list_profiles(self._home)]

    @cached_property
    def _names(self) -> dict[str, str]:
        return {one.address: one.name for one in self._known}

    def of(self, address: str, role: Role | None = None) -> str:
        """Return the name of an address: a profile's, a contact's, or its handle; the address if nobody knows it.

        Args:
            address: of an actor.
            role: the actor's, where it is known: then a handle needs no registry.
        """
        if address in self._names:
            return self._names[address]
        if address.islower():
            # What a chain refuses names accounts without the capitals of ERC-55.
            address = next((one for one in (*self._names, *self._handles) if one.lower() == address), address)
            if address in self._names:
                return self._names[address]
        if role is not None and re.fullmatch(r"0x[0-9a-fA-F]{40}", address):
            return handle_of(Address(address), role)
        return self._handles.get(address, address)

    def of_handle(self, handle: str) -> str:
        """Return the name of a profile or a contact by its handle, or the handle."""
        if not self._by_handle:
            self._by_handle = {
                handle_of(one.address, one.role): self._names[one.address] for one in self._known if one.role
            }
        return self._by_handle.get(handle, handle)

    def fill(self, views: Iterable[View]) -> list[View]:
        """Return results with names for their people; the registries are asked once for all."""
        found = list(views)
        self.learn(address for view in found for address in view.strangers())
        return [view.named(self) for view in found]

    def made(self, make: Callable[[], View]) -> View:
        """Make something and return it with names: a damaged address book was noticed before, when these were read."""
        return self.fill([make()])[0]

    def learn(self, addresses: Iterable[str]) -> None:
        """Ask the registries, once for all, who these are; what nobody here named gets its handle."""
        self._follow()
        unknown = [
            Address(one) for one in dict.fromkeys(addresses) if one not in self._names and one not in self._handles
        ]
        if not unknown or self.registry is None:
            return
        # Whoever isn't found now isn't asked for again.
        self._handles |= {one: one for one in unknown}
        try:
            found = self.registry.known(unknown)
            self._handles |= {actor.address: actor.handle for actor in found}
            self._place_branches(found)
        except PanaChainError:
            # Names are an ornament of what was read or done already: that mustn't fail because of them.
            return

    def _place_branches(self, actors: Iterable[Actor]) -> None:
        """Let hospitals that the registry has under an organisation be called by both."""
        branches = [actor for actor in actors if actor.role is Role.HOSPITAL and actor.organisation]
        above = {actor.organisation for actor in branches if actor.organisation}
        new = [one for one in above if one not in self._names and one not in self._handles]
        if new and self.registry is not None:
            self._handles |= {str(one): "" for one in new} | {
                one.address: one.handle for one in self.registry.known(new)
            }
        for branch in branches:
            over = self.of(branch.organisation or "")
            if over and branch.organisation != branch.address:
                self._handles[branch.address] = f"{branch.handle} ({over})"

    def _follow(self) -> None:
        """Let a name stand for the newest account, too, of a patient whom guardians moved since they were named."""
        if self._followed or self.registry is None or not self._names:
            return
        self._followed = True
        try:
            moves = self.registry.moves()
        except PanaChainError:
            # An ornament, as above.
            return
        self._names |= {new: self._names[old] for old, new in moves.items() if old in self._names} | self._names


def policy_id(text: str, candidates: Iterable[PolicyId]) -> PolicyId:
    """Return the policy that a whole ID or the beginning of one names.

    Args:
        text: what was typed, from `0x` and four digits on; case doesn't matter.
        candidates: the actor's own policies; not looked at for a whole ID.

    Raises:
        UsageError: it is no ID, or several policies begin like this.
        PolicyUnknownError: none does.
    """
    if not re.fullmatch(r"0x[0-9a-fA-F]{4,40}", text, re.ASCII):
        raise UsageError(f"{text!a} is no policy ID: 0x and at least {_LEAST - 2} hexadecimal digits")
    if len(text) == _WHOLE:
        # Imported here: a beginning needs no checksum.
        from panachain.ethereum import checksum_address

        return PolicyId(checksum_address(bytes.fromhex(text[2:])))
    found = list(dict.fromkeys(one for one in candidates if one.lower().startswith(text.lower())))
    if len(found) == 1:
        return found[0]
    if not found:
        raise PolicyUnknownError(f"no policy of yours begins with {text}")
    raise UsageError(
        f"{len(found)} policies begin with {text}: {', '.join(found[:5])}", hint="type more digits of the one you mean"
    )


def policy_of(name: str, policies: Sequence[PolicyView]) -> PolicyId:
    """Return the one policy with somebody: the one in force, or, where none is, the only one that there was.

    Args:
        name: what was typed, for messages.
        policies: those with that person.

    Raises:
        UsageError: several fit: then only an ID says which is meant.
        PolicyUnknownError: there is none.
    """
    found = [view.policy_id for view in policies if view.active] or [view.policy_id for view in policies]
    if len(found) == 1:
        return found[0]
    if not found:
        raise PolicyUnknownError(f"there is no policy with {name}")
    raise UsageError(
        f"{len(found)} policies with {name} fit: {', '.join(found[:5])}",
        hint="type the ID of the one you mean, as the list shows it",
    )
