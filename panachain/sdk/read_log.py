"""The read log: who read what of a patient's, as the proxies signed it, and what it proves against a proxy.

Believes no proxy: each receipt was checked when it came (sdk/receipt_reading.py).
Follows design section 8 and docs/spec/proxy.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Set
from dataclasses import replace
from typing import Final

from panachain.consent.receipts import MARK_SIZE, marks_in, read_detail
from panachain.errors import IntegrityError, PanaChainError, ProxiesUnavailableError
from panachain.model.actors import Actor, Address, PolicyId, Role
from panachain.model.policy import ReceiptKind
from panachain.model.progress import Progress
from panachain.model.scope import Scope
from panachain.sdk.kept_receipts import Statement
from panachain.sdk.log_proving import LogProving
from panachain.sdk.names import Names
from panachain.sdk.network import Network
from panachain.sdk.policies import OwnPolicies
from panachain.sdk.readings import Reading, readings
from panachain.sdk.receipt_reading import PolicyLog, ReceiptReading
from panachain.sdk.results.listings import LeftOut, Listed, Listing
from panachain.sdk.results.log import LIED, SILENT, LogEntry, LogProof
from panachain.sdk.standing import Standing

_LOG: Final = logging.getLogger(__name__)


class ReadLog:
    """What the proxies of a patient's policies signed."""

    def __init__(
        self, network: Network, policies: OwnPolicies, reading: ReceiptReading, proving: Callable[[], LogProving]
    ) -> None:
        """Take the patient's policies, what reads their receipts, and what makes a proving of them."""
        self._proving = proving
        self._network = network
        self._policies = policies
        self._reading = reading

    def entries(
        self, policy_id: PolicyId | None, progress: Progress | None = None, *, marks: Set[bytes] | None = None
    ) -> Listing[LogEntry]:
        """Return the log of one policy or of all, oldest first, without those policies whose terms can't be read.

        Args:
            policy_id: only this one; None means all.
            progress: is told how many policies' proxies were asked.
            marks: only what tells of one of these, and of proxies that lie or are silent; None means all.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
            ProxiesUnavailableError: no proxy of any of them answered.
            IntegrityError: none did, and one of them lies.
        """
        chosen = self._policies.readable() if policy_id is None else Listing([self._policies.find(policy_id)])
        logs, left_out, failures = list[PolicyLog](), list(chosen.left_out), list[PanaChainError]()
        for number, log in enumerate(self._reading.read(chosen, sparing=policy_id is None), start=1):
            if log.statements or log.is_answered:
                logs.append(log)
            try:
                log.check()
            except (ProxiesUnavailableError, IntegrityError) as exc:
                # One policy's proxies may all be gone, or lie: what the others tell of other policies still counts, and
                # what was kept of this one.
                failures.append(exc)
                left_out.append(LeftOut("policy", log.own.policy_id, str(exc)))
            if progress is not None:
                progress(number, len(chosen), unit="policies")
        # After all questions: nobody else's writing waits for a proxy.
        with self._network.mainchain.source.pinned():
            entries = [entry for log in logs for entry in self._told(log)]
        if failures and not entries:
            raise failures[0]
        if marks is not None:
            entries = [entry for entry in entries if entry.reason or not marks.isdisjoint(entry.marks)]
        return Listing(sorted(entries, key=lambda entry: (entry.at, entry.proxy)), left_out)

    def holders(self, lanes: Set[tuple[Scope, int]]) -> list[tuple[PolicyId, range]]:
        """Return the policies that have one of some lanes, oldest first, and when each allows or allowed to open it.

        Args:
            lanes: by scope and generation. Policies whose terms can't be read are passed over: `readings` names them.
        """
        allowed = self._network.mainchain.policies.allowed_times
        return [
            (own.policy_id, allowed(own.policy_id))
            for own in (self._policies.readable() if lanes else ())
            if not lanes.isdisjoint((lane.scope, lane.generation) for lane in own.terms.lanes)
        ]

    def verify(self, policy_id: PolicyId | None, progress: Progress | None = None) -> Listing[LogProof]:
        """Return what each proxy of one policy or of all proved of its log; see `Auditing.verify`."""
        chosen = self._policies.readable() if policy_id is None else Listing([self._policies.find(policy_id)])
        found = list[LogProof]()
        proving = self._proving()
        for number, log in enumerate(self._reading.read(chosen, sparing=False), start=1):
            found += proving.prove(log)
            if progress is not None:
                progress(number, len(chosen), unit="policies")
        proving.keep()
        return Listing(found, chosen.left_out)

    def readings(
        self, policy_id: PolicyId | None, progress: Progress | None = None, *, marks: Set[bytes] | None = None
    ) -> Listed[Reading]:
        """Return the openings of one policy or of all, oldest first, with what this machine calls the requesters.

        `left_out` names each proxy that told nothing, or what can't be believed: it may know of an opening that no
        other one signed.

        Args:
            policy_id: as `entries`.
            progress: as `entries`.
            marks: as `entries`.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
            ProxiesUnavailableError: no proxy of any of them answered.
        """
        told = self.entries(policy_id, progress, marks=marks)
        return Listed(Listing(self.named(readings(told)), [*told.left_out, *_faulty(told)]))

    def named(self, found: Iterable[Reading]) -> list[Reading]:
        """Return readings with what this machine calls the people, their roles and organisations, and their standing.

        The registry says these as they are now; where it can't be asked, they stay empty. Readings that have them from
        before stay as they are.
        """
        whole = list(found)
        several = [reading for reading in whole if not reading.who]
        names = Names(self._network.home, self._network.resolver)
        asked = dict.fromkeys(Address(reading.requester) for reading in several if reading.requester)
        known: dict[str, Actor] = {}
        try:
            known = {str(actor.address): actor for actor in self._network.resolver.known(asked)} if asked else {}
        except PanaChainError as exc:
            # Who asked is in what the proxies signed: that counts without what a registry adds to it.
            _LOG.warning("roles and organisations of who read aren't known now: %s", exc)
        standing = Standing(self._network.sidechain, self._policies.patient).of(several)
        names.learn([*asked, *(actor.organisation for actor in known.values() if actor.organisation)])
        named = dict[int, Reading]()
        for reading, capacity in zip(several, standing, strict=True):
            actor = known.get(reading.requester)
            house = actor.organisation if actor is not None else None
            named[id(reading)] = replace(
                reading,
                who=names.of(reading.requester),
                role=actor.role.value if actor is not None else "",
                organisation=house or "",
                organisation_name=names.of(house, Role.HOSPITAL) if house else "",
                standing=capacity,
            )
        return [named.get(id(reading), reading) for reading in whole]

    def convict(self, policy_id: PolicyId) -> list[str]:
        """Submit each receipt by which a proxy served a policy when it wasn't allowed; see `Patient.convict`."""
        # One that lies or is silent keeps no other from being convicted.
        (log,) = self._reading.read([self._policies.find(policy_id)], sparing=False)
        if not log.statements:
            log.check()
        return [self._network.relay().convict(one.receipt).tx_hash for one in self._late(log)]

    def _late(self, log: PolicyLog) -> list[Statement]:
        """Return what proxies served at a time when the policy didn't allow it, by their own word."""
        served = [one for one in log.statements if one.receipt.kind is ReceiptKind.REENCRYPTED]
        allowed = self._network.mainchain.policies.allowed_times(log.own.policy_id) if served else range(0)
        return [one for one in served if one.receipt.at not in allowed]

    def _told(self, log: PolicyLog) -> list[LogEntry]:
        """Return what the proxies of one policy signed, and a line for each that lies or is silent."""
        faults: dict[Address, PanaChainError] = {failure.proxy.address: failure.error for failure in log.failures}
        late = {id(one) for one in self._late(log)}
        entries = []
        for one in log.statements:
            try:
                entries.append(self._entry(log, one, is_late=id(one) in late))
            except IntegrityError as exc:
                # Signed, and nothing that a proxy writes: its other receipts still count, since it signed those too.
                faults.setdefault(one.receipt.proxy, exc)
        return entries + [self._fault(log.own.policy_id, proxy, error) for proxy, error in faults.items()]

    def _fault(self, policy_id: PolicyId, proxy: Address, error: PanaChainError) -> LogEntry:
        return LogEntry(
            at=int(self._network.clock()),
            kind=LIED if isinstance(error, IntegrityError) else SILENT,
            policy_id=policy_id,
            proxy=proxy,
            count=0,
            reason=str(error),
        )

    @staticmethod
    def _entry(log: PolicyLog, statement: Statement, *, is_late: bool) -> LogEntry:
        receipt, lanes = statement.receipt, log.own.terms.lanes
        detail = read_detail(receipt, statement.detail)
        marks = marks_in(detail)
        if receipt.kind is ReceiptKind.REENCRYPTED and marks and len(detail["opened"]) != receipt.count * MARK_SIZE:
            raise IntegrityError(
                f"receipt {receipt.sequence} of proxy {receipt.proxy} counts {receipt.count} keys and names others"
            )
        lane = detail.get("lane")
        scopes = (lanes[lane].scope.text,) if isinstance(lane, int) and lane < len(lanes) else ()
        return LogEntry(
            at=receipt.at,
            kind=receipt.kind.value,
            policy_id=receipt.policy_id,
            proxy=receipt.proxy,
            count=receipt.count,
            grantee=str(detail.get("grantee", "")),
            requester=str(detail.get("requester", "")),
            purpose=str(detail.get("purpose", "")),
            scopes=scopes,
            late=is_late,
            marks=marks,
            needed=log.own.terms.threshold,
            asked=len(log.own.terms.proxies),
            receipt=receipt,
        )


def _faulty(entries: Iterable[LogEntry]) -> list[LeftOut]:
    """Return the proxies that lied or told nothing, each once, with what of first."""
    found: dict[tuple[Address, str], list[LogEntry]] = {}
    for entry in entries:
        if entry.reason:
            found.setdefault((entry.proxy, entry.kind), []).append(entry)
    told = {LIED: "what it told can't be believed", SILENT: "it told nothing, or not all"}
    return [
        LeftOut("proxy", proxy, f"{told[kind]}, of {len(several)} of the policies: {several[0].reason}")
        for (proxy, kind), several in found.items()
    ]
