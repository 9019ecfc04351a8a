"""What patients read: their own records, and who else read them.

Believes no proxy, and asks none for the patient's own records. Follows design section 8.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from panachain.errors import PartlyDoneError, UnknownActorError
from panachain.model.actors import Role
from panachain.sdk.patient_parts import PatientParts
from panachain.sdk.times import iso

if TYPE_CHECKING:
    from panachain.model.progress import Progress
    from panachain.sdk.auditing import Auditing
    from panachain.sdk.opening import Opening
    from panachain.sdk.readings import Reading
    from panachain.sdk.results.listings import LeftOut, Listed, Listing
    from panachain.sdk.results.log import ConvictionReport, LogEntry
    from panachain.sdk.results.policies import AnyPolicy, PolicyView
    from panachain.sdk.results.records import OpenedRecord
    from panachain.sdk.results.searches import SearchResult
    from panachain.sdk.searching import KeptSearchables, Searchable
    from panachain.sdk.watching import WatchedPatient, Watching


class PatientReading(PatientParts):
    """The reading side of a patient's session."""

    def log(
        self,
        policy: AnyPolicy | None = None,
        *,
        records: Collection[str] = (),
        progress: Progress | None = None,
    ) -> Listed[Reading]:
        """Return an iterator over who read what, when and why, oldest first: once per opening, refused attempts too.

        The iterator's `left_out` names the policies of which nothing could be told, the proxies that told nothing or
        what can't be believed, and of `records` those of which earlier openings can't be found.

        Args:
            policy: only this one; None means all.
            records: only openings of the envelopes that these lie in, withdrawn ones too, by the CIDs of their headers;
                whoever opened an envelope could read all records in it. Openings before a record was re-wrapped are
                found as long as its hospital left the old header where it was.
            progress: is told how many policies' proxies were asked.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
            UnknownActorError: a record isn't in this patient's lanes.
            ProxiesUnavailableError: no proxy of a policy answered.
        """
        from panachain.sdk.results.listings import Listed, Listing
        from panachain.sdk.results.policies import id_of

        marks, moved = self._marks(records)
        found = self._log.readings(None if policy is None else id_of(policy), progress, marks=marks)
        return Listed(Listing(found, [*found.left_out, *moved]))

    def receipts(
        self,
        policy: AnyPolicy | None = None,
        *,
        records: Collection[str] = (),
        progress: Progress | None = None,
    ) -> Listing[LogEntry]:
        """Return what the proxies signed, oldest first: a line per proxy, lane and hospital, as evidence.

        `left_out` of the list names the policies of which nothing could be told: no store has their terms any more,
        or none of their proxies answered honestly.

        Args:
            policy: only this one's; None means all.
            records: only what tells of their envelopes, as in `log`.
            progress: is told how many policies' proxies were asked.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
            UnknownActorError: a record isn't in this patient's lanes.
            ProxiesUnavailableError: no proxy of a policy answered.
        """
        from panachain.sdk.results.listings import Listing
        from panachain.sdk.results.policies import id_of

        marks, moved = self._marks(records)
        found = self._log.entries(None if policy is None else id_of(policy), progress, marks=marks)
        return Listing(found, [*found.left_out, *moved])

    @property
    def auditing(self) -> Auditing:
        """What proves that the log is whole, and tells who can read a record."""
        # Imported here: most commands of a patient prove nothing.
        from panachain.sdk.auditing import Auditing

        return Auditing(
            self,
            self._log,
            self._lanes,
            self._chosen,
        )

    @property
    def watching(self) -> Watching:
        """What happened since this machine looked last, and messages about it."""
        # Imported here: most sessions watch nothing.
        from panachain.sdk.watching import Watching, of_patient

        sources = of_patient(cast("WatchedPatient", self), lambda: self._lanes.seen()[0].epoch)
        return Watching(self.profile.folder, self._seed, sources, clock=self.network.clock)

    def convict(self, policy: AnyPolicy) -> ConvictionReport:
        """Submit each receipt by which a proxy served this policy when it wasn't allowed; each suspends its proxy.

        The relay pays for the transactions.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
            ProxiesUnavailableError: none of its proxies answered.
            TransactionError: the evidence was used before.
        """
        from panachain.sdk.results.log import ConvictionReport
        from panachain.sdk.results.policies import id_of

        policy_id = id_of(policy)
        return ConvictionReport(policy_id, tuple(self._log.convict(policy_id)))

    def records(self, *, history: bool = False, progress: Progress | None = None) -> Opening:
        """Return an iterator over every record of this patient in every category, opened with their own keys.

        Of each resource the version that counts now is in it; the iterator's `behind` tells what was left out for that.

        What one hospital did wrong costs its own records only: the iterator's `omissions` name what was left out, and
        its end raises it.

        Args:
            history: yield each record as it was published, also what was superseded since.
            progress: is told the records, of all that were found so far.

        Raises:
            PartlyDoneError: at the end, if something was left out.
        """
        # Imported here: most commands of a patient open nothing.
        from panachain.sdk.opening import Opening

        opening = Opening(
            lambda opening: self._lanes.records(opening, self._kept_headers),
            progress,
            history=history,
            searcher=self._search,
        )
        opening.names = lambda address: self._names.of(address, Role.HOSPITAL)
        return opening

    def _search(self, words: str | Iterable[str], **wanted: Any) -> SearchResult:
        # Imported here: most commands of a patient look for nothing.
        from panachain.sdk.searching import searched

        return searched(self._searchable, words, **wanted)

    def _searchable(self) -> Searchable:
        from panachain.sdk.opening import Opening

        opening = Opening(lambda _: iter(()))
        found = self._searchables.get("own", self._lanes.heads(opening.findings))
        if found is None:
            found = self._lanes.searchable(opening, self._kept_headers)
            self._searchables.keep("own", found)
        return found

    @cached_property
    def _searchables(self) -> KeptSearchables:
        from panachain.sdk.searching import KeptSearchables

        return KeptSearchables()

    def get(self, record_id: str) -> OpenedRecord:
        """Return one record by the CID of its header, as it was published, whatever superseded it since.

        Raises:
            UnknownActorError: no record of this patient has this ID.
            PartlyDoneError: none that could be read has it, and something was left out.
            IntegrityError: it is the one that was left out.
        """
        from panachain.model.records import Reason

        opening = self.records(history=True)
        try:
            for record in opening:
                if record.info.header_cid == record_id:
                    return record
        except PartlyDoneError:
            for omission in opening.omissions:
                if omission.what == f"record {record_id}":
                    raise omission.error from None
            raise
        for gone in opening.withdrawn:
            if gone.record_id == record_id and gone.reason == Reason.ERASED.value:
                raise UnknownActorError(
                    f"record {record_id} was erased by its hospital on {iso(gone.withdrawn_at)}",
                    hint="panachain erase  # lists what was erased",
                )
            if gone.record_id == record_id:
                raise UnknownActorError(
                    f"record {record_id} was withdrawn by its hospital: {gone.reason}", hint="panachain records list"
                )
        raise UnknownActorError(f"this patient has no record {record_id}", hint="panachain records list")

    def _chosen(self) -> Listing[PolicyView]:
        """Return all policies on chain; `left_out` names those that can't be read."""
        from panachain.sdk.results.listings import Listing

        found = self._revocations.views(self._grants.lacking())
        return Listing(self._names.fill(list(found)), found.left_out)

    def _marks(self, records: Collection[str]) -> tuple[frozenset[bytes] | None, tuple[LeftOut, ...]]:
        """Return by which marks receipts name the envelopes of some records, and what can't be told of these.

        None for no records, which means all.
        """
        if not records:
            return None, ()
        # Imported here: most commands of a patient look at no capsule.
        from panachain.consent.receipts import mark_of

        capsules = self._lanes.capsules_of(records)
        return frozenset(map(mark_of, capsules)), capsules.left_out
