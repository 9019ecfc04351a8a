"""Granted records: what a policy opens, hospital by hospital and lane by lane, each on its own.

Visits nobody but the hospitals of the grant: those that the terms name, and those that the patient paired with since.
A stranger's storage transactions are never looked at. Follows design section 8 (Open, from step 3 on, with its
numbers), ADR 17 and security rule 22.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from panachain.crypto.keys import hospital_key
from panachain.errors import IntegrityError, RateLimitedError
from panachain.follow.collector import standing_still
from panachain.model.actors import Actor, Address, Role, handle_of
from panachain.model.policy import GrantedLane, OnChainPolicy, Terms
from panachain.model.progress import Progress
from panachain.model.records import STATEMENT, RecordInfo
from panachain.model.scope import EMERGENCY, RESTRICTED, Category, Purpose, Scope
from panachain.records.findings import Findings
from panachain.records.header import Header
from panachain.records.locate import HospitalHeads, Named, locate_all, open_manifests
from panachain.sdk.kept_headers import KeptHeaders
from panachain.sdk.network import Network
from panachain.sdk.opening import (
    Allowance,
    Checked,
    Current,
    FormerHospital,
    Opening,
    check_envelopes,
    envelope_wraps,
    open_checked,
    unmasked,
)
from panachain.sdk.proxies import Proxies, Reader
from panachain.sdk.results.records import OpenedRecord, RecordProvenance, Survey, SurveyPart
from panachain.sdk.results.searches import SearchResult
from panachain.sdk.searching import Searchable
from panachain.storage.ahead import reading_beside

if TYPE_CHECKING:
    from panachain.storage.blocks_beside import BlocksBeside

MANY: Final = 2048
"""Records while whose inventories are read Python's collector of cycles stands still."""
MOST_ENVELOPES: Final = 30_000
"""Envelopes of one hospital that one opening asks the proxies for: half of what they re-encrypt for a reader in a
minute."""


@dataclass(frozen=True)
class _Located:
    """What one hospital has in the lanes of a grant."""

    hospital: Actor
    findings: Findings
    lanes: list[list[Header]]
    """In the order of the terms' lanes."""
    named: Named
    """What its manifests have in them."""
    heads: HospitalHeads

    @property
    def envelopes(self) -> int:
        """How many envelopes all of it is in."""
        return len({one.info.envelope_cid for mine in self.lanes for one in mine})


@dataclass(frozen=True)
class Asked:
    """What is opened, and for whom."""

    policy: OnChainPolicy
    terms: Terms
    """Verified."""
    reader: Reader
    purpose: Purpose
    earliest: int
    """Unix seconds; records that were stored before are passed over."""
    categories: frozenset[Category] = field(default_factory=frozenset)
    """Only records of these; empty for all."""
    years: frozenset[int] = field(default_factory=frozenset)
    """Only records of these; empty for all."""

    @property
    def narrowed(self) -> bool:
        """Whether less is wanted than the policy opens, by category or year."""
        return bool(self.categories or self.years)

    def wants(self, info: RecordInfo) -> bool:
        """Return whether a record is wanted. All records of an envelope are of one category, year and moment."""
        return (
            info.stored_at >= self.earliest
            and (not self.categories or info.category in self.categories)
            and (not self.years or info.year in self.years)
        )


class GrantedOpening(Opening):
    """An opening of what was granted, which can say what there is before anything is opened.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     opening = doctor.open(next(one for one in doctor.inbox() if one.active))
        ...     survey = opening.survey()
        >>> survey.records, opening.delivered
        (1, 0)
    """

    def __init__(
        self,
        records: Callable[[Opening], Iterator[OpenedRecord]],
        progress: Progress | None = None,
        *,
        history: bool = False,
        survey: Callable[[], Survey],
        searcher: Callable[..., SearchResult],
    ) -> None:
        """Take what finds the records, counts them and searches them; nothing is done before it is asked for."""
        super().__init__(records, progress, history=history, searcher=searcher)
        self._survey = survey

    def begin(self) -> None:
        """Find the first record now, so that proxies that refuse do it here; it is the first one that is yielded.

        Raises:
            AccessDeniedError: the rules, or the proxies.
            OpensLaterError: the proxies let wait what waits in an emergency.
            ProxiesUnavailableError: fewer proxies than the threshold gave a good answer.
        """
        first = list(itertools.islice(self._records, 1))
        self._records = itertools.chain(first, self._records)

    def survey(self) -> Survey:
        """Return what there is by category, year and hospital: no proxy is asked, so the patient's log says nothing.

        Raises:
            AccessDeniedError: as for the records, by the rules as this machine sees them.
        """
        return self._survey()


class GrantedRecords:
    """The records of one opening of one policy."""

    def __init__(self, network: Network, proxies: Proxies, asked: Asked, opening: Opening, kept: KeptHeaders) -> None:
        """Take what is asked, the opening that is told what is left out, and what the reader saw before."""
        self._network = network
        self._proxies = proxies
        self._asked = asked
        self._opening = opening
        self._kept = kept
        self._allowance = Allowance.of(network.config)
        self._seen: set[str] = set()
        self._located: list[_Located] = []
        self._beside: BlocksBeside | None = None

    def records(self) -> Iterator[OpenedRecord]:
        """Yield the records, one hospital's after the other's: first of those that have the fewest envelopes.

        What proxies re-encrypt for a reader in a minute is limited: a hospital that floods a lane uses up its own part.
        """
        opening = self._opening
        with ExitStack() as ends:
            found = self._checked(ends)
            opening.found = sum(len(checked.headers) for _, checked in found)
            current = Current(opening)
            # 7. Fetch content, check key commitment and CID, open.
            for lane, checked in found:
                # 8. Hand out the plaintext with its provenance, the same for all of one lane of one hospital.
                provenance = partial(_provenance, self._asked, lane)
                for _, record in open_checked(checked, self._allowance, current, provenance, self._beside):
                    yield record

    def searchable(self) -> Searchable:
        """Return what there is to search in, opened as far as its inventories."""
        found = self._checked()
        heads, now = [one.heads for one in self._located], int(self._network.clock())
        return Searchable(self._opening, heads, [checked for _, checked in found], now)

    def heads(self) -> list[HospitalHeads]:
        """Return the hospitals of the grant, as the chain tells of them now."""
        heads = []
        for hospital, findings in self._hospitals():
            with findings.alone(hospital.address):
                heads.append(self._network.heads_of(hospital))
        return heads

    def _checked(self, ends: ExitStack | None = None) -> list[tuple[GrantedLane, Checked]]:
        """Return the envelopes of all lanes, opened as far as their inventories; the opening's life is settled then.

        Args:
            ends: of the reading that follows, if one does: a process that helps with it begins now.
        """
        located = self._located
        for hospital, findings in self._hospitals():
            with findings.alone(hospital.address):
                located.append(self._locate(hospital, findings))
        counts = [len(mine) for one in located for mine in one.lanes]
        if ends is not None:
            self._beside = ends.enter_context(reading_beside(self._network.store, counts))
        opening = self._opening
        # All lists before the first record: which version of a resource counts isn't known before.
        found: list[tuple[GrantedLane, Checked]] = []
        with standing_still(sum(counts) >= MANY):
            for one in sorted(located, key=lambda one: one.envelopes):
                with one.findings.alone(one.hospital.address):
                    # One by one: what a lane gave stays when the next one fails.
                    for ready in self._at(one):
                        found.append(ready)
            opening.life.settle()
            # A part doesn't hear every statement, so it can't tell what was withdrawn from what vanished.
            for one in located if not self._asked.narrowed else ():
                patient, at = self._asked.terms.patient, one.hospital.address
                self._kept.compare(patient, at, one.named, life=opening.life, findings=one.findings)
        return found

    def survey(self) -> list[SurveyPart]:
        """Return what there is, by the headers: no proxy is asked, and so nobody opens anything."""
        found: dict[str, RecordInfo] = {}
        for hospital, findings in self._hospitals():
            with findings.alone(hospital.address):
                for mine in self._locate(hospital, findings).lanes:
                    found |= {one.info.header_cid: one.info for one in mine if one.info.media_type != STATEMENT}
        parts: dict[tuple[Category, int, Address], list[RecordInfo]] = defaultdict(list)
        for info in found.values():
            parts[info.category, info.year, info.hospital].append(info)
        return [
            SurveyPart(
                category=category.value,
                year=year,
                hospital=hospital,
                records=len(infos),
                size=sum(info.size for info in infos),
                newest_at=max(info.stored_at for info in infos),
            )
            for (category, year, hospital), infos in sorted(
                parts.items(), key=lambda part: (part[0][0].code, -part[0][1], part[0][2])
            )
        ]

    def _hospitals(self) -> Iterator[tuple[Actor, Findings]]:
        """Yield the hospitals of the grant, each with what is told of its failures."""
        terms, findings = self._asked.terms, self._opening.findings
        events = self._network.sidechain.identities.paired(patient=terms.patient)
        paired = {event.hospital: event.paired for event in events}
        registered = {actor.address: actor for actor in self._network.mainchain.actors.find(Role.HOSPITAL)}
        for address in terms.hospitals:
            if address not in registered:
                # Its records can't be found without its keys, and whoever hides them would hide all of them.
                error = IntegrityError("the policy covers it, and the mainchain's node shows no such hospital")
                findings.left_out(address, "", error)
        for address, actor in registered.items():
            if address in paired or address in terms.hospitals:
                # What the sidechain's node hides of a pairing, the patient's signed terms say.
                yield actor, findings if paired.get(address, True) else FormerHospital(findings)

    def _locate(self, hospital: Actor, findings: Findings) -> _Located:
        store, terms = self._network.store, self._asked.terms
        heads = self._network.heads_of(hospital)
        manifests = open_manifests(store, heads, findings)
        # 3. Locate the lanes' records, 4. fetch their headers, check CIDs and signatures.
        named = Named()
        found = locate_all(store, heads, manifests, terms.lanes, patient=terms.patient, findings=findings, named=named)
        chosen = [[one for one in mine if self._asked.wants(one.info)] for mine in found]
        return _Located(hospital, findings, chosen, named, heads)

    def _at(self, one: _Located) -> Iterator[tuple[GrantedLane, Checked]]:
        left = MOST_ENVELOPES
        for number, (lane, headers) in enumerate(zip(self._asked.terms.lanes, one.lanes, strict=True)):
            new = [found for found in headers if found.info.header_cid not in self._seen]
            what = f"category {lane.scope.text}"
            envelopes = list(dict.fromkeys(found.info.envelope_cid for found in new))
            chosen = set(envelopes[:left])
            left -= len(chosen)
            try:
                with one.findings.alone(one.hospital.address, what):
                    mine = [found for found in new if found.info.envelope_cid in chosen]
                    yield lane, self._in_lane(number, one.hospital.address, mine, one.findings)
            except RateLimitedError as exc:
                # Whoever has fewer came before, and got theirs.
                one.findings.left_out(one.hospital.address, what, exc)
            if len(chosen) < len(envelopes):
                error = RateLimitedError(
                    f"an opening asks the proxies for at most {MOST_ENVELOPES:,} envelopes of one hospital",
                    hint="--since opens the newest ones alone",
                )
                beyond = len(envelopes) - len(chosen)
                one.findings.left_out(one.hospital.address, f"{beyond:,} envelopes of {what}", error)

    def _in_lane(self, number: int, hospital: Address, headers: list[Header], findings: Findings) -> Checked:
        store, asked = self._network.store, self._asked
        # 5. Ask proxies in parallel until t cfrags per capsule, each verified.
        wraps = envelope_wraps(store, headers, findings)
        unwrapped = self._proxies.unwrap(asked.reader, asked.terms, number, wraps, asked.purpose)
        self._opening.receipts.update(unwrapped.receipts)
        for one in headers:
            cid = one.info.envelope_cid
            if cid in unwrapped.bad:
                findings.left_out(one.info.hospital, f"envelope {cid}", unwrapped.bad[cid])
        # 6. Recover the envelope keys: take off the mask, which no proxy knows, and compare with the commitment.
        pepper = hospital_key(asked.terms.lanes[number].pepper, hospital)
        patient = handle_of(asked.terms.patient, Role.PATIENT)
        keys = unmasked(headers, unwrapped.messages, pepper, findings, told_by=patient)
        checked = check_envelopes(store, headers, keys, findings, self._opening.life)
        self._seen |= {header.info.header_cid for header in checked.headers}
        return checked


def withheld(terms: Terms) -> tuple[Category, ...]:
    """Return the categories that the emergency summary of a policy may withhold; none without that summary.

    By the terms alone, not by what there is: a notice that came only then would tell that the patient has something.
    """
    scopes = {lane.scope for lane in terms.lanes}
    if Scope.emergency() in scopes:
        missing = RESTRICTED
    elif terms.is_for_emergencies:
        # Some of the summary waits: a section of it that isn't open must not look as if there were nothing.
        missing = RESTRICTED | EMERGENCY
    else:
        return ()
    return tuple(one for one in Category if one in missing and Scope.of(one) not in scopes)


def readable_by(terms: Terms) -> frozenset[Category]:
    """Return the categories all of whose records a policy opens."""
    scopes = {lane.scope for lane in terms.lanes}
    found = {one for one in Category if Scope.of(one) in scopes}
    if Scope.all() in scopes:
        found |= frozenset(Category) - RESTRICTED
    if Scope.emergency() in scopes:
        found |= EMERGENCY
    return frozenset(found)


def _provenance(asked: Asked, lane: GrantedLane, found: Header) -> RecordProvenance:
    return RecordProvenance(
        hospital=found.info.hospital,
        patient=asked.terms.patient,
        grantee=asked.terms.shown_grantee,
        policy_id=asked.policy.policy_id,
        lane=lane.scope.text,
        purpose=asked.purpose.value,
        block=asked.policy.block,
        block_time=asked.policy.block_time,
        threshold=asked.terms.threshold,
    )
