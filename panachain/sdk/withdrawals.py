"""Withdrawals: a hospital says of records that it published that they count no more, and why.

What is on chain stays there, and whoever opened a record keeps what they saw: a statement in the record's own lanes
tells all who could read it. Follows ADR 28.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from panachain.errors import UnknownActorError, UsageError
from panachain.ipld.cid import CID
from panachain.model.actors import Actor, Address
from panachain.model.records import STATEMENT, PlainRecord, Reason
from panachain.model.scope import Category
from panachain.records.header import Header
from panachain.records.journal import JournalRecord
from panachain.records.journal_withdrawn import Withdrawing
from panachain.records.likeness import of_header
from panachain.records.pairing import Pairing
from panachain.records.statements import Statement
from panachain.sdk.batches import Batches
from panachain.sdk.network import Network
from panachain.sdk.results.uploads import PublishedView, WithdrawReport

MOST: Final = 1000
"""Records that one call withdraws."""


class Withdrawals:
    """What a hospital withdraws."""

    def __init__(
        self, network: Network, batches: Batches, pairings: Callable[[Sequence[Actor]], list[Pairing]]
    ) -> None:
        """Take the hospital's batches, and what opens its pairings with patients."""
        self._network = network
        self._batches = batches
        self._pairings = pairings

    def run(self, record_ids: Sequence[str], reason: Reason) -> WithdrawReport:
        """Withdraw records in one storage transaction; those that were withdrawn before stay so.

        1. Find them in the journal, and read their headers.
        2. Write a statement for each patient, category and year.
        3. Send it; the journal forgets that their sources were published.

        Raises:
            UsageError: too many are named, or none.
            UnknownActorError: this hospital published no such record; nothing was withdrawn.
            AccessDeniedError: a patient isn't paired any more; nothing was withdrawn.
        """
        wanted = list(dict.fromkeys(record_ids))
        if not 0 < len(wanted) <= MOST:
            raise UsageError(f"withdraw takes 1 to {MOST:,} records at once, {len(wanted):,} were named")
        # 1. Find them.
        self._batches.reconcile()
        journal = self._batches.journal
        all_records = list(journal.records())
        by_id = {record.header: record for record in all_records}
        missing = [one for one in wanted if one not in by_id]
        if missing:
            raise UnknownActorError(
                f"this hospital published no record {missing[0]}; nothing was withdrawn", hint="panachain records list"
            )
        headers = self._batches.history.headers_of([by_id[one] for one in wanted])
        for one in wanted:
            if headers[one].info.media_type == STATEMENT:
                raise UsageError(f"record {one} is a statement of this hospital's; nothing was withdrawn")
        before = journal.withdrawn.known(header.info.content_cid for header in headers.values())
        new = [one for one in wanted if headers[one].info.content_cid not in before]
        views = {one: PublishedView(one, by_id[one].patient, by_id[one].scope, by_id[one].sequence) for one in wanted}
        already = tuple(views[one] for one in wanted if one not in new)
        if not new:
            return WithdrawReport((), reason.value, already=already)
        # 2. A statement for each place.
        places: dict[tuple[Address, Category, int], list[Header]] = defaultdict(list)
        for one in new:
            for header in [headers[one], *self._notices(by_id[one], all_records)]:
                places[by_id[one].patient, header.info.category, header.info.year].append(header)
        patients = {patient for patient, _, _ in places}
        actors = self._network.sidechain.identities.find(sorted(patients))
        pairings = {pairing.patient: pairing for pairing in self._pairings(actors)}
        for patient in patients:
            self._batches.learn(patient)
        builder = self._batches.begin()
        try:
            for (patient, category, year), found in places.items():
                said = Statement(reason, tuple(CID.parse(header.info.content_cid) for header in found))
                record = PlainRecord(category, year, STATEMENT, said.encode(), source=b"")
                builder.add(record, pairings[patient])
            # 3. Send it.
            withdrawing = [self._withdrawing(by_id[one], headers[one], reason, all_records) for one in new]
            sent = self._batches.send(builder, withdrawn=withdrawing)
        finally:
            builder.close()
        return WithdrawReport(tuple(views[one] for one in new), reason.value, tx=sent.tx, gas=sent.gas, already=already)

    def _notices(self, record: JournalRecord, all_records: Sequence[JournalRecord]) -> list[Header]:
        """Return the statements that said in other lanes that a record has newer versions of what is there."""
        beside = [
            other
            for other in all_records
            if record.source
            and (other.patient, other.source, other.part) == (record.patient, record.source, record.part)
            and other.scope != record.scope
        ]
        headers = self._batches.history.headers_of(beside).values()
        return [header for header in headers if header.info.media_type == STATEMENT]

    def _withdrawing(
        self, record: JournalRecord, header: Header, reason: Reason, all_records: Sequence[JournalRecord]
    ) -> Withdrawing:
        others = [
            other
            for other in all_records
            if record.source
            and (other.patient, other.source) == (record.patient, record.source)
            and other.header != record.header
        ]
        found = self._batches.history.headers_of(others)
        return Withdrawing(
            content=header.info.content_cid,
            patient=record.patient,
            reason=reason.value,
            source=record.source,
            scope=record.scope,
            others=tuple((other.header, of_header(found[other.header].info)) for other in others),
        )
