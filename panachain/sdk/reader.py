"""Reading: how grantees find what was granted to them, or to a group of theirs, and open it.

Follows design section 8 (Open); the steps in `_open` bear its numbers, and go on in sdk/granted_records.py.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final

from panachain.chain.signing import Account
from panachain.consent.rules import check_access
from panachain.consent.terms import UnverifiedTerms, open_terms
from panachain.crypto import umbral
from panachain.crypto.keys import Seed
from panachain.errors import BlockNotFoundError, BlockOutOfReachError, IntegrityError, PolicyUnknownError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Actor, Address, PolicyId, Role
from panachain.model.policy import OnChainPolicy, Terms
from panachain.model.progress import Progress
from panachain.model.scope import Category, Purpose
from panachain.model.sizes import KEY_SIZE
from panachain.records.findings import UNREADABLE
from panachain.sdk.base import ActorSession
from panachain.sdk.care import check_terms
from panachain.sdk.granted_records import Asked, GrantedOpening, GrantedRecords, readable_by, withheld
from panachain.sdk.group_keys import open_secrets
from panachain.sdk.kept import Kept
from panachain.sdk.kept_headers import KeptHeaders
from panachain.sdk.notices import Notices
from panachain.sdk.opening import Opening
from panachain.sdk.own_readings import MOST_RECEIPTS, OwnReadings
from panachain.sdk.policies import policy_view
from panachain.sdk.proxies import Proxies, Reader
from panachain.sdk.results.listings import LeftOut, Listed, Listing
from panachain.sdk.results.policies import AnyPolicy, PolicyView, id_of
from panachain.sdk.results.records import OpenedRecord, OwnReading, OwnReceipt, Survey
from panachain.sdk.searching import KeptSearchables, Searchable, searched
from panachain.sdk.times import Moment, seconds
from panachain.sdk.words import Categories, category_of, category_words, purpose_of

if TYPE_CHECKING:
    from panachain.sdk.own_shares import OwnShare
    from panachain.sdk.watching import Watching

_LOG: Final = logging.getLogger(__name__)
_KEPT: Final = 4096
"""Opened terms that a session keeps; the oldest go first."""


class ReadingSession(ActorSession):
    """An actor who can be granted policies."""

    def inbox(self) -> Listed[PolicyView]:
        """Return an iterator over the policies that were granted to this actor or a group of theirs, oldest first.

        The chain names nobody: the notices tell which terms are worth a try (ERC-5564). Terms that their patient didn't
        sign aren't shown: anybody can seal terms to a reader that name somebody else. The iterator's `left_out` names
        each policy that it lacks, with the reason; those of blocked patients are passed over.
        """
        found, left_out = self._announced()
        # One look-up for all patients, and one for all policies.
        claimed = dict.fromkeys(terms.claimed_patient for _, _, terms in found)
        patients = {actor.address: actor for actor in self.network.sidechain.identities.find(list(claimed))}
        policies = self.network.mainchain.policies.policies_of([policy_id for policy_id, _, _ in found])
        views: dict[PolicyId, PolicyView] = {}
        for policy_id, reader, unverified in found:
            try:
                terms = self._verified(unverified, policy_id, patients.get(unverified.claimed_patient))
            except UNREADABLE as exc:
                # Whoever forged them, or whose key block nobody has, mustn't keep the reader from all the rest.
                left_out.append(LeftOut("policy", policy_id, str(exc)))
                continue
            if terms.grantee == reader.grantee and policy_id in policies:
                views[policy_id] = policy_view(terms, policies[policy_id])
        for one in left_out:
            _LOG.info("%s", one)
        return Listed(Listing(self._names.fill(views.values()), left_out))

    def _announced(self) -> tuple[list[tuple[PolicyId, Reader, UnverifiedTerms]], list[LeftOut]]:
        """Return the policies whose notice and terms open with a key of this reader, oldest first, and what failed."""
        found, left_out = [], []
        readers, blocked = self._readers(), self.blocked.accounts()
        notices = Notices(self.network.mainchain, Kept(self.profile.folder, self._seed, "notices"))
        for event, reader in notices.announced(readers):
            try:
                unverified = self._opened_terms(event.terms, reader)
            except IntegrityError:
                # Somebody else's policy, whose view tag fits by chance.
                notices.not_for(event, reader)
                continue
            except (BlockNotFoundError, BlockOutOfReachError) as exc:
                # Whoever announces terms that they never stored mustn't keep the reader from all the rest.
                left_out.append(LeftOut("policy", event.policy_id, f"nobody has its terms: {exc}"))
                continue
            if unverified.claimed_patient not in blocked:
                found.append((event.policy_id, reader, unverified))
        notices.keep()
        return found, left_out

    def _opened_terms(self, digest: bytes, reader: Reader) -> UnverifiedTerms:
        """Return the terms in a block, opened once a session: under a digest they never change.

        Whether their patient signed them, and what the chain says of the policy, is looked at each time.

        Raises:
            IntegrityError: they are somebody else's.
            BlockNotFoundError: nobody has them.
        """
        wanted = digest, reader.sealing.public
        if wanted not in self._terms:
            opened = open_terms(self.network.store.get_block(CID(RAW, digest)), reader.sealing)
            # Strangers announce terms, too: what they send isn't kept without end.
            while len(self._terms) >= _KEPT:
                self._terms.pop(next(iter(self._terms)))
            self._terms[wanted] = opened
        return self._terms[wanted]

    def open(
        self,
        policy: AnyPolicy,
        since: Moment | None = None,
        purpose: Purpose | str | None = None,
        *,
        categories: Categories = (),
        years: Iterable[int] = (),
        history: bool = False,
        progress: Progress | None = None,
    ) -> GrantedOpening:
        """Return an iterator over every record that a policy opens, checked, oldest first within each lane.

        Of each resource the version that counts now is in it; the iterator's `behind` tells what was left out for that.
        What one hospital did wrong costs its own records only: the iterator's `omissions` name what was left out, and
        its end raises it. Its `survey` counts what there is, without opening anything.

        Args:
            policy: from `inbox`, or its ID.
            since: only records stored at or after this time; a `timedelta` counts back from now.
            purpose: None takes the policy's first one.
            categories: only records of these, words or members of `Category`; of the others no key is asked for. What
                another category says of a record, such as that it was moved there, isn't heard then.
            years: only records of these; 0 means those without a date.
            history: yield each record as it was published, also what was superseded since.
            progress: is told the records, of all that were found so far.

        Raises:
            AccessDeniedError: revoked, expired, not yet, suspended, no member of the group, or granted to another.
            IntegrityError: a byte, a signature or a proof doesn't fit, and nothing is left; nothing wrong is handed
                out.
            PartlyDoneError: at the end, if something was left out.
            ProxiesUnavailableError: fewer proxies than the threshold gave a good answer.
        """
        part = frozenset(map(category_of, category_words(categories))), frozenset(years)
        opening = GrantedOpening(
            lambda opening: self._open(opening, id_of(policy), since, purpose, part),
            progress,
            history=history,
            survey=lambda: self._survey(id_of(policy), since, purpose, part),
            searcher=partial(searched, lambda: self._searchable(id_of(policy), since, purpose, part)),
        )
        opening.names = lambda address: self._names.of(address, Role.HOSPITAL)
        return opening

    @property
    def watching(self) -> Watching:
        """What happened since this machine looked last, and messages about it."""
        from panachain.sdk.watching import Watching, of_reader

        return Watching(self.profile.folder, self._seed, of_reader(self), clock=self.network.clock)

    @property
    def readings(self) -> list[OwnReading]:
        """This actor's own openings that this machine remembers, oldest first."""
        return self._names.fill(OwnReadings(self.profile.folder, self._seed).all())

    @property
    def share(self) -> OwnShare:
        """What this actor opened, with what the proxies' logs prove of it, as a report or for their hospital."""
        # Imported here: most sessions report nothing.
        from panachain.sdk.own_shares import OwnShare

        return OwnShare(self.network, self.profile, self._seed, self._proxies, self._names)

    def _survey(
        self,
        policy_id: PolicyId,
        since: Moment | None,
        purpose: Purpose | str | None,
        part: tuple[frozenset[Category], frozenset[int]],
    ) -> Survey:
        opening = Opening(lambda _: iter(()))
        asked = replace(self._asked(opening, policy_id, since, purpose), categories=part[0], years=part[1])
        kept = KeptHeaders(self.profile.folder, self._seed)
        parts = GrantedRecords(self.network, self._proxies, asked, opening, kept).survey()
        told = (*opening.omissions, *opening.notices)
        withheld_ones = tuple(category.value for category in opening.withheld)
        return Survey(asked.policy.policy_id, tuple(parts), told, withheld_ones)

    def _searchable(
        self,
        policy_id: PolicyId,
        since: Moment | None,
        purpose: Purpose | str | None,
        part: tuple[frozenset[Category], frozenset[int]],
    ) -> Searchable:
        opening = Opening(lambda _: iter(()))
        # The rules, each time: what was opened before is no leave to go on.
        asked = replace(self._asked(opening, policy_id, since, purpose), categories=part[0], years=part[1])
        kept = KeptHeaders(self.profile.folder, self._seed)
        granted = GrantedRecords(self.network, self._proxies, asked, opening, kept)
        key = policy_id, part, asked.earliest, asked.purpose
        found = self._searchables.get(key, granted.heads())
        if found is None:
            found = granted.searchable()
            self._searchables.keep(key, found)
        return found

    def _open(
        self,
        opening: Opening,
        policy_id: PolicyId,
        since: Moment | None,
        purpose: Purpose | str | None,
        part: tuple[frozenset[Category], frozenset[int]],
    ) -> Iterator[OpenedRecord]:
        began = int(self.network.clock())
        asked = replace(self._asked(opening, policy_id, since, purpose), categories=part[0], years=part[1])
        opening.readable = (
            frozenset() if since is not None or part[1] else opening.readable & (part[0] or opening.readable)
        )
        kept = KeptHeaders(self.profile.folder, self._seed)
        readings = OwnReadings(self.profile.folder, self._seed)
        begun = OwnReading(
            policy_id=asked.policy.policy_id,
            patient=asked.terms.patient,
            purpose=asked.purpose.value,
            at=began,
            records=0,
            categories=tuple(one.value for one in Category if one in part[0]),
            years=tuple(sorted(part[1])),
        )
        readings.begin(begun)
        try:
            yield from GrantedRecords(self.network, self._proxies, asked, opening, kept).records()
        finally:
            # Also of one that failed or was ended early.
            receipts = tuple(OwnReceipt(*place, leaf) for place, leaf in sorted(opening.receipts.items()))
            ended = replace(
                begun, records=opening.delivered, left_out=len(opening.omissions), receipts=receipts[:MOST_RECEIPTS]
            )
            readings.end(begun, ended)

    def _asked(
        self, opening: Opening, policy_id: PolicyId, since: Moment | None, purpose: Purpose | str | None
    ) -> Asked:
        """Return what is asked, after the rules were checked.

        Raises:
            AccessDeniedError: they forbid it.
        """
        # Each chain as it is now, for all questions: so the answers are of one moment, and its nodes are asked once.
        with self.network.mainchain.source.pinned(), self.network.sidechain.source.pinned():
            return self._asked_now(opening, policy_id, since, purpose)

    def _asked_now(
        self, opening: Opening, policy_id: PolicyId, since: Moment | None, purpose: Purpose | str | None
    ) -> Asked:
        self._check_registered()
        # 1. Find the policy, read it on the mainchain.
        earliest = 0 if since is None else seconds(since, at=int(self.network.clock()), past=True, name="since")
        on_chain = self.network.mainchain.policies.policy_of(policy_id)
        reader, terms = self._own_terms(on_chain)
        wanted = terms.purposes[0] if purpose is None else purpose_of(purpose)
        # 2. Check the rules.
        check_access(
            on_chain,
            grantee=terms.grantee,
            requester=self.address,
            requester_status=self.whoami().status,
            is_member=self._reads_as(terms, at=on_chain.block_time),
            purpose=wanted,
            purposes=terms.purposes,
            terms=on_chain.terms,
            revocation_in_sight=self.network.mainchain.policies.revocation_in_sight(policy_id),
        )
        check_terms(self.network, terms)
        opening.withheld, opening.readable = withheld(terms), readable_by(terms)
        return Asked(on_chain, terms, reader, wanted, earliest)

    def terms_of(self, policy: AnyPolicy) -> tuple[OnChainPolicy, Terms]:
        """Return one policy that was granted to this actor, as the chain shows it and as its terms say.

        Raises:
            PolicyUnknownError: it wasn't granted to this actor.
        """
        on_chain = self.network.mainchain.policies.policy_of(id_of(policy))
        return on_chain, self._own_terms(on_chain)[1]

    def ask_proxies(self, policy_id: PolicyId) -> None:
        """Ask the proxies for a key without looking at the rules first: what a dishonest client would do.

        Raises:
            AccessDeniedError: the proxies refuse, as they must after a revocation.
        """
        reader, terms = self._own_terms(self.network.mainchain.policies.policy_of(policy_id))
        probe = {"probe": umbral.wrap(terms.lanes[0].delegating_key, os.urandom(KEY_SIZE))}
        self._proxies.unwrap(reader, terms, 0, probe, terms.purposes[0])

    @cached_property
    def _terms(self) -> dict[tuple[bytes, bytes], UnverifiedTerms]:
        """Terms that this session opened, by their block's digest and the key that opened them."""
        return {}

    @cached_property
    def _searchables(self) -> KeptSearchables:
        return KeptSearchables()

    @cached_property
    def _proxies(self) -> Proxies:
        return Proxies(self.network, evidence=self.profile.folder / "evidence", ca=self.network.proxy_ca)

    def _sealed_to(self) -> list[tuple[str, int]]:
        return [("policies", len(list(self.inbox())))]

    def _readers(self) -> list[Reader]:
        """Return as whom this actor can read: as a person, and as each group that lists them, with each of its keys."""
        account = Account(self._seed.account_key())
        # With each key block that this actor had: what was granted to an earlier one stays granted.
        own = self._seed.generations()
        readers = [Reader(account, self.address, one.receiving(), one.sealing()) for one in own]
        groups, blocked = self.network.sidechain.groups, self.blocked.accounts()
        joined = groups.find(member=self.address)
        managers = groups.managers(group.address for group in joined) if blocked else {}
        for group in joined:
            if managers.get(group.address) in blocked:
                continue
            try:
                secrets = self._group_secrets(group)
            except UNREADABLE as exc:
                # A manager can seal anything to a member: what is wrong there mustn't keep them from all the rest.
                _LOG.warning("group %s is left out: %s", group.handle, exc)
                continue
            readers += [Reader(account, group.address, one.receiving(), one.sealing()) for one in secrets]
        return readers

    def _group_secrets(self, group: Actor) -> list[Seed]:
        """Return a group's secrets that its manager sealed to this actor, oldest first.

        Raises:
            IntegrityError: what was sealed isn't for this actor, or not of this group.
            BlockNotFoundError: nobody has what was sealed.
        """
        digest = self.network.sidechain.groups.sealed_key_of(group.address, self.address)
        if digest is None:
            return []
        sealed = self.network.store.get_block(CID(RAW, digest))
        return open_secrets(self._seed.sealing(), sealed, (*group.earlier_keys, group.key_digest))

    def _own_terms(self, policy: OnChainPolicy) -> tuple[Reader, Terms]:
        """Open and check the terms of a policy as one of those as whom this actor can read."""
        if not policy.terms:
            raise PolicyUnknownError(f"policy {policy.policy_id} was revoked before it was granted")
        block = self.network.store.get_block(CID(RAW, policy.terms))
        for reader in self._readers():
            try:
                unverified = open_terms(block, reader.sealing)
            except IntegrityError:
                # The block fits its CID, so it is whole: it is sealed to somebody else.
                continue
            patient = self.network.sidechain.identities.identity_of(unverified.claimed_patient)
            terms = self._verified(unverified, policy.policy_id, patient)
            # Another group may have copied this one's keys.
            if terms.grantee == reader.grantee:
                return reader, terms
            # For an emergency the terms name the patient: whoever has the desk's key asks in that name.
            if terms.is_for_emergencies:
                return replace(reader, grantee=terms.grantee), terms
        raise PolicyUnknownError(
            f"policy {policy.policy_id} wasn't granted to {self.profile.handle}", hint="panachain inbox"
        )

    def _reads_as(self, terms: Terms, *, at: int) -> bool:
        """Tell whether this actor reads what was granted to a group of theirs, or for an emergency that is active."""
        if terms.is_for_emergencies:
            # A chain that makes no block by itself would keep closed what has waited long enough.
            at = max(at, int(self.network.clock()))
            return self.network.sidechain.emergency.in_emergency(terms.grantee, self.address, at=at)
        return terms.grantee != self.address and self.network.sidechain.groups.is_member(terms.grantee, self.address)

    def _for_emergencies(self, patient: Address) -> dict[PolicyId, int]:
        """Return the policies of a patient for emergencies whose keys this actor has, newest first, with their delays.

        A delay is seconds after the co-signature, 0 for at once.
        """
        who = self.network.sidechain.identities.identity_of(patient)
        found: dict[PolicyId, int] = {}
        for policy_id, _, unverified in self._announced()[0][::-1]:
            if unverified.claimed_patient == patient:
                try:
                    terms = self._verified(unverified, policy_id, who)
                except UNREADABLE as exc:
                    _LOG.info("policy %s is left out: %s", policy_id, exc)
                    continue
                if terms.emergency_delay is not None:
                    found[policy_id] = terms.emergency_delay
        return found

    def _verified(self, unverified: UnverifiedTerms, policy_id: PolicyId, patient: Actor | None) -> Terms:
        """Return terms that the patient whom they name has signed.

        Raises:
            IntegrityError: the registry doesn't know such a patient, or they didn't sign these terms.
            BlockNotFoundError: the store has no key block of the patient's.
        """
        if patient is None:
            raise IntegrityError(f"the terms of policy {policy_id} name a patient whom the registry doesn't know")
        return self.network.keys.signed(
            patient,
            f"the terms of policy {policy_id}",
            lambda public: unverified.verified(policy_id=policy_id, patient_verifying_key=public),
        )
