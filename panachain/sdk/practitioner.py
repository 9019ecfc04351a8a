"""The practitioner: reads what was granted, asks for more, and shares access with the teams that they manage.

Opening is in sdk/reader.py. Follows design section 8.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from panachain.crypto.keys import Seed
from panachain.errors import AccessDeniedError, PanaChainError, PartlyDoneError, UnknownActorError, UsageError
from panachain.model.actors import Actor, Address, Role, Status
from panachain.model.scope import Purpose
from panachain.records.findings import UNREADABLE
from panachain.sdk.group_keys import seal_secrets
from panachain.sdk.reader import ReadingSession
from panachain.sdk.requests import MAX_NOTE, Opened, open_requests, seal_request
from panachain.sdk.results.groups import GroupView, InvitationView
from panachain.sdk.results.listings import Listing
from panachain.sdk.results.requests import AnyRequest, RequestReport, RequestView, WithdrawnRequestReport, number_of
from panachain.sdk.times import Moment, seconds
from panachain.sdk.words import Categories, category_words, purpose_of
from panachain.storage.blocks import keep

if TYPE_CHECKING:
    from panachain.chain.bound import Sends
    from panachain.sdk.emergencies import BreakGlass
    from panachain.sdk.watching import Watching

_LOG: Final = logging.getLogger(__name__)
_DAY: Final = 86_400
_REQUEST_DAYS: Final = 30
"""Days after which a request expires, and for which it asks if it says nothing else."""


class Practitioner(ReadingSession):
    """A practitioner at work: what `connect` returns for a profile of this role.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     for policy in doctor.inbox():
        ...         if policy.active:
        ...             for record in doctor.open(policy):
        ...                 print(record.info.category.value, record.info.year)
        ...     asked = doctor.request("me", ["allergies"], note="before surgery", until=timedelta(days=14))
        laboratory 2024
    """

    role = Role.PRACTITIONER

    # Requests

    def request(
        self,
        patient: str,
        categories: Categories,
        purpose: Purpose | str = Purpose.TREAT,
        note: str = "",
        *,
        until: Moment | None = None,
        specialist: str | None = None,
    ) -> RequestReport:
        """Ask a patient for access, for oneself or, as a referral, in a specialist's name.

        A patient approves either with one word. What they approve of a referral goes to the specialist alone: whoever
        refers learns that it was approved, and reads nothing by it. It takes the referrer's own places at the patient.

        Args:
            patient: profile name, handle or address.
            categories: words or members of `Category`, or `all`.
            purpose: for what.
            note: why, in words; sealed to the patient, and to the specialist. A referral needs one.
            until: until when access is wanted; None means 30 days.
            specialist: another practitioner who shall read: profile name, handle or address; None asks for oneself.

        Raises:
            UsageError: no category, a note of more than 2,000 characters or a referral without one, a moment that can't
                be meant, or oneself as the specialist.
            UnknownActorError: nobody is registered under a name.
            SuspendedError: the specialist isn't active.

        Examples:
            >>> with connect("doctor", role="practitioner") as doctor:
            ...     referred = doctor.request("me", "vitals", note="a murmur", specialist="nurse")
            >>> with connect("me", role="patient") as patient:
            ...     patient.approve(referred).grantee_name
            'nurse'
        """
        self._check_registered()
        words = category_words(categories)
        if not words or len(note) > MAX_NOTE:
            raise UsageError("a request needs at least one category, and its note at most 2000 characters")
        keys = self.network.keys
        who = keys.check(self.network.resolve(patient, Role.PATIENT))
        other = None if specialist is None else self._specialist(specialist, note)
        now = int(self.network.clock())
        expires_at = now + _REQUEST_DAYS * _DAY
        wanted = expires_at if until is None else seconds(until, at=now, name="until")
        readers = [who.sealing_key, *([other.sealing_key] if other else []), self._seed.sealing().public]
        cid = keep(self.network.store, seal_request(words, purpose_of(purpose), note, wanted, readers=readers))
        requests, person = self.network.sidechain.requests, self._person()
        if other is None:
            return RequestReport(requests.request(person, who.address, cid.digest, expires_at))
        return RequestReport(requests.refer(person, who.address, other.address, cid.digest, expires_at))

    def _specialist(self, name: str, note: str) -> Actor:
        """Return to whom a referral goes, with keys that are proven."""
        if not note.strip():
            raise UsageError("a referral needs a reason, and nothing was asked")
        found = self.network.keys.check(self.network.resolve(name, Role.PRACTITIONER))
        if found.address == self.address:
            raise UsageError(
                "nobody refers to themselves, and nothing was asked", hint="panachain request asks for you"
            )
        return found

    def requests(self) -> Listing[RequestView]:
        """Return the requests that this practitioner made, or a colleague in their name, oldest first.

        Those that this practitioner made in others' names are among them; referrals by blocked colleagues aren't.
        `left_out` of the list names those that can't be read.
        """
        made, blocked = self.network.sidechain.requests, self.blocked.accounts()
        found = {one.request_id: one for one in made.find(requester=self.address) if one.referrer not in blocked}
        found |= {one.request_id: one for one in made.find(referrer=self.address)}
        opened = open_requests(
            self.network,
            [found[number] for number in sorted(found)],
            self._seed.sealing(),
            self._opened_requests,
            referrer=self.address,
        )
        return Listing(self._names.fill(opened), opened.left_out)

    @property
    def watching(self) -> Watching:
        """What happened since this machine looked last, and messages about it."""
        from panachain.sdk.watching import Watching, of_practitioner

        return Watching(self.profile.folder, self._seed, of_practitioner(self), clock=self.network.clock)

    @cached_property
    def _opened_requests(self) -> Opened:
        return {}

    def withdraw_request(self, request: AnyRequest) -> WithdrawnRequestReport:
        """Take back a request that nobody answered; what it took of the patient's places stays taken for a day.

        A referral is taken back by whoever made it, or by the specialist in whose name it was made.

        Args:
            request: from `request` or `requests`, or its number.

        Raises:
            TransactionError: it is another one's, or not open any more.
        """
        number = number_of(request)
        sent = self.network.sidechain.requests.withdraw(self._person(), number)
        return WithdrawnRequestReport(number, sent.tx_hash)

    # Emergencies

    @property
    def emergency(self) -> BreakGlass:
        """What this practitioner asks for, co-signs and opens in an emergency."""
        # Imported here: most sessions break no glass.
        from panachain.sdk.emergencies import BreakGlass

        return BreakGlass(
            self.network,
            self._seed,
            self.address,
            sender=self._asking,
            policies=self._for_emergencies,
            opens=lambda policy_id: self.open(policy_id, purpose=Purpose.ETREAT),
            names=self._names,
            told=self._told_later,
        )

    @cached_property
    def _told_later(self) -> dict[int, int]:
        """By emergency when proxies said that it opens more, Unix seconds."""
        return {}

    def _asking(self) -> Sends:
        self._check_registered()
        return self._person()

    # Groups

    def create_group(self) -> GroupView:
        """Make a group, such as a care team or a department, with this practitioner as its manager and first member.

        The group's secret is sealed to each member, and kept by nobody else.
        """
        self._check_registered()
        # Read first: a damaged address book mustn't be noticed once the group is made.
        names = self._names
        secret = Seed.random()
        block = keep(self.network.store, secret.group_keys().encode())
        group = self.network.sidechain.groups.create(self._person(), block.digest)
        self._admit(group, self.whoami(), [secret])
        return self._view(group).named(names)

    def add_member(self, group: str, member: str) -> GroupView:
        """Invite a practitioner, who reads what patients grant to a group, before and after, once they accept.

        Patients needn't do anything. Whoever is a member gets the group's keys sealed anew.

        Args:
            group: handle or address.
            member: profile name, handle or address.

        Raises:
            AccessDeniedError: this practitioner doesn't manage the group.
            UnknownActorError: this practitioner manages it without having its keys.
        """
        found = self._managed(group)
        secrets = self._all_secrets(found)
        self._admit(found, self.network.resolve(member, Role.PRACTITIONER), secrets)
        return self._view(self.network.resolve(found.address, Role.GROUP))

    def accept_group(self, group: str) -> GroupView:
        """Become a member of a group that invites this practitioner; nobody becomes one otherwise.

        Args:
            group: handle or address.

        Raises:
            TransactionError: the group doesn't invite this practitioner, or is closed.
        """
        found = self.network.resolve(group, Role.GROUP)
        self.network.sidechain.groups.accept(self._person(), found.address)
        return self._view(found)

    def leave_group(self, group: str) -> GroupView:
        """Leave a group, or decline its invitation; the group's manager can't prevent it.

        Args:
            group: handle or address.

        Raises:
            TransactionError: the group doesn't list this practitioner.
        """
        return self.remove_member(group, self.address)

    def invitations(self) -> list[InvitationView]:
        """Return the groups that invite this practitioner, but those of blocked managers.

        Nothing that a manager sealed or stored is fetched.
        """
        found, blocked = self.network.sidechain.groups.invitations(self.address), self.blocked.accounts()
        return self._names.fill(InvitationView(one.group, one.manager) for one in found if one.manager not in blocked)

    def remove_member(self, group: str, member: str) -> GroupView:
        """Take a member out, or leave: from the next block on proxies refuse them what they haven't opened yet.

        A manager who takes a member out renews the group's key too, so that the member can't even read the terms of
        what is granted afterwards. A member who leaves can't do that: `groups` tells the manager that a renewal is due.

        Args:
            group: handle or address.
            member: profile name, handle or address.

        Raises:
            PartlyDoneError: the member is out, and the key isn't renewed.
        """
        found = self.network.resolve(group, Role.GROUP)
        who = self.network.resolve(member, Role.PRACTITIONER)
        self.network.sidechain.groups.remove_member(self._person(), found.address, who.address)
        if who.address == self.address:
            return self._view(found)
        try:
            self._renew(found)
        except PanaChainError as exc:
            raise PartlyDoneError(
                f"{who.handle} is no member of group {found.handle} any more, but its key isn't renewed: {exc}",
                hint=f"panachain --profile {self.profile.name} group renew {found.handle}",
            ) from exc
        return self._view(self.network.resolve(found.address, Role.GROUP))

    def renew_group(self, group: str) -> GroupView:
        """Give a group other keys, and its members the secret of them: what patients grant from then on.

        Somebody who has left can't read the terms of that. Older policies stay as they are.

        Args:
            group: handle or address.

        Raises:
            AccessDeniedError: this practitioner doesn't manage the group.
            UnknownActorError: this practitioner manages it without having its keys.
        """
        found = self._managed(group)
        self._renew(found)
        return self._view(self.network.resolve(found.address, Role.GROUP))

    def hand_over_group(self, group: str, manager: str) -> GroupView:
        """Let a member manage a group, with all of its keys.

        Args:
            group: handle or address.
            manager: profile name, handle or address of a member.

        Raises:
            AccessDeniedError: this practitioner doesn't manage the group.
            UsageError: the next manager is no member.
        """
        found = self._managed(group)
        who = self.network.resolve(manager, Role.PRACTITIONER)
        groups = self.network.sidechain.groups
        is_member = who.address in groups.members(found.address)
        # Whoever lacks the newest key couldn't add anybody.
        if not is_member or who.address not in groups.holders(found.address):
            secrets = self._all_secrets(found)
            if not is_member:
                raise UsageError(
                    f"{who.handle} is no member of group {found.handle}, and only a member can come to manage it",
                    hint=f"panachain group add {found.handle} {manager}; they accept it; then the same again",
                )
            self._admit(found, who, secrets)
        groups.hand_over(self._person(), found.address, who.address)
        return self._view(found)

    def close_group(self, group: str) -> GroupView:
        """Close a group for ever: nobody reads as its member any more."""
        found = self._managed(group)
        self.network.sidechain.groups.close(self._person(), found.address)
        return self._view(self.network.resolve(found.address, Role.GROUP))

    def groups(self) -> list[GroupView]:
        """Return the groups that this practitioner manages or is a member of."""
        sidechain = self.network.sidechain
        found = {one.address: one for one in sidechain.groups.find(manager=self.address)}
        found |= {one.address: one for one in sidechain.groups.find(member=self.address)}
        return [self._view(group) for group in found.values()]

    def _sealed_to(self) -> list[tuple[str, int]]:
        made = self.network.sidechain.requests.find(requester=self.address)
        return [*super()._sealed_to(), ("groups", len(self.groups())), ("requests", len(list(made)))]

    def _managed(self, group: str) -> Actor:
        found = self.network.resolve(group, Role.GROUP)
        if self.network.sidechain.groups.manager_of(found.address) != self.address:
            raise AccessDeniedError(f"{self.profile.handle} doesn't manage group {found.handle}")
        return found

    def _all_secrets(self, group: Actor) -> list[Seed]:
        """Return a group's secrets of all generations, which its manager hands on."""
        secrets = self._group_secrets(group)
        if len(secrets) <= len(group.earlier_keys):
            wanted = len(group.earlier_keys) + 1
            raise UnknownActorError(
                f"{self.profile.handle} has {len(secrets)} of {wanted} keys of group {group.handle}",
                hint=f"panachain --profile {self.profile.name} group hand-over {group.handle} MEMBER",
            )
        return secrets

    def _admit(self, group: Actor, member: Actor, secrets: Sequence[Seed]) -> None:
        member = self.network.keys.check(member)
        cid = keep(self.network.store, seal_secrets(secrets, member.sealing_key))
        self.network.sidechain.groups.add_member(self._person(), group.address, member.address, cid.digest)
        found = self.network.resolve(group.address, Role.GROUP)
        if found.earlier_keys != group.earlier_keys:
            # A renewal that was on its way came first: what was sealed lacks its secret.
            self._admit(found, member, self._all_secrets(found))

    def _renew(self, group: Actor) -> None:
        sidechain = self.network.sidechain
        secrets = [*self._all_secrets(group), Seed.random()]
        # Only those get the new secret who count now, or will once they accept: the suspended may have lost their keys.
        listed = [*sidechain.groups.members(group.address), *sidechain.groups.invited(group.address)]
        members = [one for one in sidechain.identities.find(listed) if one.status is Status.ACTIVE]
        self.network.keys.check_active(members)
        sealed: dict[Address, bytes] = {}
        for member in members:
            try:
                key = self.network.key_blocks.of(member).sealing_key
            except UNREADABLE as exc:
                # One member's lost block mustn't keep the others from the new keys. They stay listed, and `groups`
                # shows the renewal as due.
                _LOG.warning(
                    "member %s gets no key of group %s's next generation: %s", member.handle, group.handle, exc
                )
                continue
            sealed[member.address] = keep(self.network.store, seal_secrets(secrets, key)).digest
        block = keep(self.network.store, secrets[-1].group_keys().encode())
        sender, generation = self._person(), len(secrets) - 1
        sidechain.groups.renew(sender, group.address, block.digest, sealed, generation=generation)

    def _view(self, group: Actor) -> GroupView:
        sidechain = self.network.sidechain
        members, invited = sidechain.groups.members(group.address), sidechain.groups.invited(group.address)
        # Somebody else has the newest key too, or a member lacks it; whoever is invited may have it.
        holders = set(sidechain.groups.holders(group.address)) - set(invited)
        due = group.status is Status.ACTIVE and set(members) != holders
        view = GroupView(
            group=group.address,
            handle=group.handle,
            status=group.status,
            organisation=group.organisation or "",
            manager=sidechain.groups.manager_of(group.address),
            members=tuple(members),
            invited=tuple(invited),
            generation=len(group.earlier_keys),
            renewal_due=due,
        )
        return view.named(self._names)
