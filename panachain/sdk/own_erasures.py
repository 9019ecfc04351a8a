"""A patient's own erasures: records that hospitals shall delete, and what came of it.

Asks; the hospital that published a record deletes it, or says why it doesn't. What somebody opened before can't be
called back. Follows ADR 59.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from panachain.errors import Omission, PartlyDoneError, ProxiesUnavailableError
from panachain.model.actors import Address, PolicyId, Role, handle_of
from panachain.model.records import STATEMENT
from panachain.model.scope import Category, path_of
from panachain.plain import count
from panachain.records.findings import Findings
from panachain.records.life import Erasure, Life
from panachain.records.rewrap import Reseal
from panachain.sdk.opening import check_envelopes
from panachain.sdk.recategorizing import Recategorizing
from panachain.sdk.results.choices import RecategorizeReport
from panachain.sdk.results.erasures import AskErasureReport, DroppedShares, Erasures, ErasureView

if TYPE_CHECKING:
    from panachain.sdk.lanes import OwnLanes
    from panachain.sdk.policies import OwnPolicy
    from panachain.sdk.results.log import LogEntry
    from panachain.storage.blocks import BlobStore


class OwnErasures:
    """What one patient has erased.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     {one.state for one in patient.erasures.all().records} <= {"asked", "erased", "attested", "refused"}
        True
    """

    def __init__(
        self,
        store: BlobStore,
        patient: Address,
        lanes: OwnLanes,
        policies: Callable[[], Iterable[OwnPolicy]],
        *,
        revoke: Callable[[PolicyId], object],
        told: Callable[[PolicyId], Iterable[LogEntry]],
    ) -> None:
        """Take what of the patient's is looked at and changed.

        Args:
            store: with their records.
            patient: their account.
            lanes: theirs.
            policies: lists the policies whose terms can be read.
            revoke: takes a policy back.
            told: asks a policy's proxies for what they signed.
        """
        self._store = store
        self._patient = patient
        self._lanes = lanes
        self._policies = policies
        self._revoke = revoke
        self._told = told

    def ask(self, record_ids: Iterable[str]) -> AskErasureReport:
        """Ask the hospitals that published records to erase them: header and content, from all their stores.

        They are gone once a hospital ran `erase`, and it publishes these resources no more, newer versions neither. It
        may refuse, and says why. Who opened a record before keeps what they saw.

        Args:
            record_ids: as `Patient.records` names them; the files of a record go with it, but for those that another
                one names, too.

        Raises:
            UsageError: none or too many are named; nothing was asked for.
            UnknownActorError: none of the records is in this patient's lanes.
            PartlyDoneError: some records couldn't be asked for: `result` says which were.
        """
        asking = Recategorizing(self._store, self._lanes, None)
        try:
            return self._report(asking.run(record_ids, None))
        except PartlyDoneError as exc:
            if isinstance(exc.result, RecategorizeReport):
                exc.result = self._report(exc.result)
            raise

    def all(self) -> Erasures:
        """Return what was asked for and what was erased, also of a hospital's own accord.

        Its `omissions` name what of the lanes or the orders couldn't be read.
        """
        findings, life = Findings(), Life()
        present: dict[tuple[Address, str], ErasureView] = {}
        for own in self._lanes.headers(findings):
            checked = check_envelopes(self._store, own.headers, own.envelope_keys, own.findings, life)
            for one in checked.headers:
                info = one.info
                if info.media_type == STATEMENT:
                    continue
                view = ErasureView(
                    info.header_cid, info.hospital, self._patient, info.category.value, info.year, "asked"
                )
                present[info.hospital, info.content_cid] = view
        found: dict[tuple[Address, str], ErasureView] = {}
        for place in self._asked(findings):
            refused = life.refused.get(place)
            view = present.get(place) or ErasureView("", place[0], self._patient, "", 0, "lapsed")
            found[place] = view if refused is None else _refused(view, refused)
        for place, gone in life.erased.items():
            at = life.attested.get(place, 0)
            found[place] = ErasureView(
                gone.record,
                gone.hospital,
                self._patient,
                gone.category.value,
                gone.year,
                "attested" if at else "erased",
                at=at or gone.at,
            )
        ordered = sorted(found.values(), key=lambda one: (one.at, one.record_id))
        # What couldn't be read may lie in any lane: then of none it is said that nothing is left.
        idle = () if findings.omissions else self._idle(present.values(), life.erased.values())
        return Erasures(tuple(ordered), tuple(findings.omissions), idle)

    def drop_shares(self) -> DroppedShares:
        """End the policies in whose lanes nothing is left, and have the proxies delete their shares of them.

        Each proxy is asked afterwards for its log: only what that says is told as deleted. What hospitals publish later
        to those lanes isn't granted to anybody any more.

        Raises:
            PartlyDoneError: a proxy doesn't say that all of its shares are gone; `result` has the rest.
            RelaysUnavailableError: nobody took a revocation; the next command sends it again.
        """
        dropped: list[PolicyId] = []
        left: list[Omission] = []
        shares = 0
        chosen = set(self.all().idle)
        for own in [one for one in self._policies() if one.policy_id in chosen]:
            self._revoke(own.policy_id)
            dropped.append(own.policy_id)
            # What a proxy answered to the order isn't enough: its log is asked for, which other proxies cosign.
            deleted = {one.proxy: one.count for one in self._told(own.policy_id) if one.kind == "deleted"}
            for proxy in own.terms.proxies:
                gone = deleted.get(proxy.address, 0)
                shares += gone
                if gone < len(own.terms.lanes):
                    error = ProxiesUnavailableError(
                        f"its log tells of {gone} deleted shares of {len(own.terms.lanes)}",
                        answered=0,
                        needed=1,
                        hint=f"panachain revoke {own.policy_id} asks it again",
                    )
                    where = handle_of(proxy.address, Role.PROXY)
                    left.append(Omission("", f"shares of policy {own.policy_id} at {where}", error))
        report = DroppedShares(tuple(dropped), shares, tuple(left))
        if left:
            raise PartlyDoneError(
                f"{count(len(left), 'proxy')} may still have shares",
                omissions=left,
                result=report,
                hint=left[0].error.hint,
            )
        return report

    def _idle(self, present: Iterable[ErasureView], erased: Iterable[Erasure]) -> tuple[PolicyId, ...]:
        """Return the policies in force of whose lanes something was erased and nothing is left.

        One of lanes in which there never was anything waits for what comes, and one for emergencies for an emergency.
        """
        # With the emergency lane for every category: a hospital may have put any record there by itself.
        held = {scope for one in present for scope in path_of(Category(one.category), one.year, emergency=True)}
        gone = {scope for one in erased for scope in path_of(one.category, one.year)}
        found = []
        for own in self._policies():
            lanes = {lane.scope for lane in own.terms.lanes}
            waits = own.has_ended or own.terms.is_for_emergencies
            if not waits and held.isdisjoint(lanes) and not gone.isdisjoint(lanes):
                found.append(own.policy_id)
        return tuple(found)

    def _asked(self, findings: Findings) -> dict[tuple[Address, str], None]:
        """Return what the standing orders ask to have erased, as hospitals and contents."""
        found: dict[tuple[Address, str], None] = {}
        for hospital, event in self._lanes.hospitals():
            with findings.alone(hospital.address, "what it was asked"):
                for order in self._lanes.standing_orders(event, findings):
                    if isinstance(order, Reseal) and order.to is None:
                        leaves = [content for content, stays in order.leaves.items() if not stays]
                        found |= {(hospital.address, str(content)): None for content in leaves}
        return found

    def _report(self, report: RecategorizeReport) -> AskErasureReport:
        asked = tuple(
            ErasureView(one.record_id, one.hospital, self._patient, one.category, one.year, "asked")
            for one in report.asked
        )
        return AskErasureReport(asked, report.omissions)


def _refused(view: ErasureView, why: str) -> ErasureView:
    return ErasureView(view.record_id, view.hospital, view.patient, view.category, view.year, "refused", why=why)
