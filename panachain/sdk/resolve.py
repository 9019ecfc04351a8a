"""Whom a name means: a profile or a contact of this machine, a handle, or an address, as the registries know them.

A patient whom guardians moved is found at the newest account, by whichever account of theirs somebody knows. An account
through which somebody acts for a ward is never followed anywhere: whose its guardians are, its carer said.
Never believes the machine's own files about an actor: a profile or a contact gives an address, and the chain says who
that is. What an address is called is the other way round, in sdk/names.py. Follows docs/spec/cli.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

from panachain.chain.mainchain import Mainchain
from panachain.chain.sidechain import Sidechain
from panachain.errors import UnknownActorError, UsageError
from panachain.ethereum import parse_address
from panachain.model.actors import Actor, Address, Role, Status
from panachain.sdk.contacts import find_contact, list_contacts
from panachain.sdk.profiles import find_profile, list_profiles

_ADDRESS: Final = re.compile("0x[0-9a-fA-F]{40}")
_BRANCH: Final = re.compile(r"^(hos-[a-z2-7]+) \([^()]{1,80}\)$")


class Resolver:
    """The registries of both chains, asked by the names that people type."""

    def __init__(self, home: Path, mainchain: Mainchain, sidechain: Callable[[], Sidechain]) -> None:
        """Take what is asked.

        Args:
            home: where profiles and contacts lie.
            mainchain: knows hospitals, proxies and researchers.
            sidechain: returns the chain that knows patients, practitioners and groups, when it is first asked: what
                takes a right away needs none of them.
        """
        self._home = home
        self._mainchain = mainchain
        self._connect = sidechain

    @cached_property
    def _sidechain(self) -> Sidechain:
        return self._connect()

    def resolve(self, text: str, *roles: Role) -> Actor:
        """Return the registered actor that a profile name, a contact, a handle or an address names.

        For a patient whom guardians moved to another account, that is the newest one; the account for a ward stays.

        Args:
            text: what the user typed.
            roles: accept only these; empty accepts all.

        Raises:
            UnknownActorError: nobody fits.
        """
        address = self._address_of(text)
        found = self._registered(address)
        for actor in found:
            if not roles or actor.role in roles:
                return self._newest(actor)
        *most, last = [role.value for role in roles] or ["actor"]
        wanted = f"{', '.join(most)} or {last}" if most else last
        why = ""
        if found:
            why = f": that is a {found[0].role.value}"
        elif address != text:
            # A profile or a contact can be on this machine before its owner is on chain.
            why = ": its owner hasn't registered yet"
        raise UnknownActorError(
            f"no registered {wanted} is named {text!r}{why}",
            hint=self._other_names(text, roles, registered=not why or bool(found)),
        )

    def resolve_many(self, texts: Sequence[str], *roles: Role) -> list[Actor]:
        """Return the registered actor that each text names; the chains are asked once for all.

        Raises:
            UnknownActorError: nobody fits one of them.
        """
        addresses = [self._address_of(text) for text in texts]
        people = self._sidechain.identities.find([Address(one) for one in addresses if _ADDRESS.fullmatch(one)])
        known = {actor.address: actor for actor in people if not roles or actor.role in roles}
        # Handles, public actors and those who were moved are the rare case, and are looked up one by one.
        here = {address: actor for address, actor in known.items() if actor.status is not Status.REPLACED}
        return [
            here.get(Address(address)) or self.resolve(text, *roles)
            for address, text in zip(addresses, texts, strict=True)
        ]

    def house(self, text: str, actor: Actor) -> Address:
        """Return the organisation under which an actor is to be registered, as somebody typed it.

        Args:
            text: of a hospital's branch or a practitioner a registered hospital; of a proxy whoever operates it, who
                needs to be registered as nothing: an address is taken as it is.
            actor: who is to be registered.

        Raises:
            UnknownActorError: nobody fits.
            UsageError: this actor has no organisation, or the one that is named is a branch itself.
        """
        if actor.role is Role.PROXY:
            typed = self._address_of(text)
            return parse_address(typed) if _ADDRESS.fullmatch(typed) else self.resolve(text).address
        if actor.role not in (Role.HOSPITAL, Role.PRACTITIONER):
            raise UsageError(f"a {actor.role.value} has no organisation")
        found = self.resolve(text, Role.HOSPITAL)
        if actor.role is Role.HOSPITAL and (found.organisation or found.address == actor.address):
            raise UsageError(
                f"{found.handle} can't stand above a branch: a branch has one house above it, which has none",
                hint="name the house that both belong to",
            )
        return found.address

    def known(self, addresses: Iterable[Address]) -> list[Actor]:
        """Return those of these actors that a registry has, asked in at most three questions for all."""
        wanted = list(dict.fromkeys(addresses))
        found = {actor.address: actor for actor in self._sidechain.identities.find(wanted)}
        for registry in (self._mainchain.actors.find, self._sidechain.groups.find):
            if len(found) < len(wanted):
                found |= {actor.address: actor for actor in registry() if actor.address in wanted}
        return list(found.values())

    def moves(self) -> dict[Address, Address]:
        """Return for each account that guardians moved the account that stands for it now; accounts for wards stay."""
        identities = self._sidechain.identities
        moved = identities.moves()
        # Most networks never saw a move, and then nobody asks for wardships.
        staying = self._staying() if moved else frozenset()
        return identities.moves(staying) if staying & moved.keys() else moved

    def registered(self, text: str) -> Actor:
        """Return the registered actor of a handle or an address; names of this machine don't count.

        Raises:
            UnknownActorError: no registry knows it.
        """
        found = self._registered(text)
        if not found:
            raise UnknownActorError(f"no registered actor has the handle or address {text!a}", hint="ask its owner")
        return found[0]

    def _newest(self, actor: Actor) -> Actor:
        """Return who stands for an actor now."""
        if actor.status is not Status.REPLACED:
            return actor
        newest = self._sidechain.identities.newest_of(actor.address, self._staying())
        # The registry has them, or guardians couldn't have moved anybody there.
        return self._sidechain.identities.identity_of(newest) or actor

    def _staying(self) -> frozenset[Address]:
        """Return the accounts for wards, of wardships that are over too: a carer could move them to anybody."""
        wardships = self._sidechain.wardships
        return frozenset(one.account for one in (wardships.find() if wardships else []) if one.started_at)

    def _address_of(self, text: str) -> str:
        """Return the address of a profile or a contact of this machine, or the text itself."""
        # A branch is shown with its organisation behind it (sdk/names.py), and may be typed as it is shown.
        text = _BRANCH.sub(r"\1", text)
        if not text.startswith("0x") and (profile := find_profile(self._home, text)) is not None:
            return profile.address
        contact = find_contact(self._home, text)
        return contact.address if contact else text

    def _other_names(self, text: str, roles: Sequence[Role], *, registered: bool) -> str:
        """Return what to type in place of a name that nobody fits.

        Args:
            text: what was typed.
            roles: those that would have fit; empty means all.
            registered: False if the name is known here, and its owner isn't registered.
        """
        if not registered:
            return f"whoever it is runs `panachain --profile {text} register` first"
        handles = " or ".join(f"{role.value[:3]}-…" for role in roles) or "pat-…"
        usual = f"a contact or a profile of this machine, a handle such as {handles}, or an address"
        names = {one.name for one in list_contacts(self._home) if not roles or one.role in (None, *roles)}
        names |= {one.name for one in list_profiles(self._home) if not roles or one.role in roles}
        # Imported here: only a mistyped name needs it.
        from difflib import get_close_matches

        close = get_close_matches(text, sorted(names), n=3)
        return f"did you mean {' or '.join(close)}? Or give {usual}" if close else f"give {usual}"

    def _registered(self, text: str) -> Sequence[Actor]:
        if text.startswith("0x"):
            found = self._actor(text)
            return [] if found is None else [found]
        everybody = [
            *self._mainchain.actors.find(),
            *self._sidechain.identities.find(),
            *self._sidechain.groups.find(),
        ]
        named = [actor for actor in everybody if actor.handle == text]
        if len({actor.address for actor in named}) > 1:
            # A handle holds 64 bits of an address: with much computing power two accounts can be made that share one.
            raise UnknownActorError(f"several actors have the handle {text}", hint="give the address of the one meant")
        return named

    def _actor(self, address: str) -> Actor | None:
        if not _ADDRESS.fullmatch(address):
            return None
        account = Address(address)
        return (
            self._mainchain.actors.actor_of(account)
            or self._sidechain.identities.identity_of(account)
            or self._sidechain.groups.group_of(account)
        )
