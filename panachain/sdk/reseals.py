"""Reseals: records go into another category because their patient asked for it.

1. Take a paired patient's orders to re-seal that weren't followed yet; of two about the same record the later counts.
2. Find the envelope that an order's key opens, and check that all of it is here and is that patient's.
3. Open what leaves, and seal it under a fresh envelope key in the category that was asked for.
4. Give what stays a new header, for an inventory that doesn't name what left, and leave a statement in the old lanes
   that stands for the old headers, so that nobody takes those records for lost.

Old headers, inventories and contents are deleted by sdk/moves.py, once the new ones are on chain. Of orders to erase it
does the first two, and the half of the last that is about what stays; sdk/erasing.py does the rest. Follows ADR 34 and
ADR 59.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from panachain.crypto.commit import EnvelopeKey
from panachain.errors import IntegrityError, TooLargeError
from panachain.ipld.cid import CID
from panachain.model.actors import Actor, Address
from panachain.model.records import STATEMENT, PlainRecord
from panachain.model.scope import Category, Scope
from panachain.plain import count
from panachain.records.findings import LEFT_OUT, Findings
from panachain.records.header import Header, seal_envelope
from panachain.records.inventory import Inventory
from panachain.records.journal import JournalRecord
from panachain.records.journal_resources import KnownResource
from panachain.records.locate import check_envelope, content_of
from panachain.records.pairing import Pairing
from panachain.records.publish import BatchBuilder
from panachain.records.rewrap import Reseal
from panachain.records.split import MEDIA_TYPE
from panachain.records.statements import MAX_NEWER, Statement
from panachain.records.versions import Version, bundle_of
from panachain.sdk.batches import Batches
from panachain.sdk.changes import Changes
from panachain.sdk.network import Network

MOST_REPLACED: Final = 256
"""Headers for which one statement stands, so that its own header stays small."""
_UNDECIDED: Final = "their patient also asks to have records of the same envelope erased, which isn't decided"


@dataclass(frozen=True)
class Leaving:
    """A record that goes into another category, or is erased."""

    old: Header
    to: Category | None
    """None if it is erased."""
    stays: bool
    """Whether it stays too."""
    record: JournalRecord
    """Where it is found."""


@dataclass(frozen=True)
class Resealing:
    """One envelope from which records go."""

    pairing: Pairing
    key: EnvelopeKey = field(repr=False)
    scope: Scope
    emergency: bool
    inventory: Inventory
    leaving: tuple[Leaving, ...]
    staying: tuple[Header, ...]
    """Those that don't go, and those that do and stay too."""
    orders: tuple[Reseal, ...]
    blocks: tuple[str, ...]
    """CIDs of the orders."""

    @property
    def headers(self) -> set[str]:
        """CIDs of the present headers of all its records."""
        return {found.info.header_cid for found in (*self.staying, *(one.old for one in self.leaving))}

    @property
    def count(self) -> int:
        """How many records a batch gets of it."""
        return 2 * len(self.leaving) + len(self.staying) + 2 + len(self.leaving) // MOST_REPLACED


class Reseals:
    """What the patients of one hospital ask to have in other categories, or erased."""

    def __init__(self, network: Network, batches: Batches, *, erases: bool = False) -> None:
        """Take the hospital's batches.

        Args:
            network: the hospital's.
            batches: the hospital's.
            erases: look at orders to erase, instead of those to re-seal.
        """
        self._network = network
        self._batches = batches
        self._erases = erases
        self.followed: list[str] = []
        """Orders that the batch that is being filled follows."""
        self.elsewhere: list[tuple[KnownResource, str]] = []
        """Versions that it puts elsewhere, each with its new lane."""

    def of(self, patient: Actor, pairing: Pairing, orders: Mapping[CID, Reseal], findings: Findings) -> list[Resealing]:
        """Return what a patient's orders ask for that wasn't done yet, each envelope whole or not at all.

        Args:
            patient: whose orders.
            pairing: theirs.
            orders: by their CIDs, the latest last.
            findings: is told of each order that can't be followed.
        """
        waiting: dict[bytes, list[tuple[CID, Reseal]]] = defaultdict(list)
        for cid, order in orders.items():
            if not self._batches.journal.followed.has(str(cid)):
                waiting[order.envelope_key].append((cid, order))
        found = list[Resealing]()
        for every in waiting.values():
            together = [(cid, order) for cid, order in every if (order.to is None) is self._erases]
            if not together:
                continue
            try:
                # An order stands for ever, also one that was refused.
                if not self._erases and not all(self._is_decided(*one) for one in every if one[1].to is None):
                    # Sealed anew, what shall be erased would have another name than the order gives it.
                    error = IntegrityError(_UNDECIDED, hint="panachain --profile HOSPITAL erase")
                    findings.left_out("", f"the orders of patient {patient.handle}", error)
                    continue
                found += self._planned(pairing, together)
            except LEFT_OUT as exc:
                named = ", ".join(str(cid) for cid, _ in together)
                findings.left_out("", f"order {named} of patient {patient.handle}", exc)
        return found

    def undecided(self, cid: CID, order: Reseal) -> Reseal:
        """Return an order to erase without what was refused, or is erased already; any other one as it is."""
        if order.to is not None:
            return order
        erasures = self._batches.journal.erasures
        leaves = {
            content: stays
            for content, stays in order.leaves.items()
            if not erasures.is_refused(str(cid), str(content)) and not erasures.has(str(content))
        }
        # A file that a record names which stays is neither erased nor refused.
        return replace(order, leaves={} if all(leaves.values()) else leaves)

    def _is_decided(self, cid: CID, order: Reseal) -> bool:
        """Tell whether nothing of an order to erase waits for an answer."""
        leaves = self.undecided(cid, order).leaves
        # What is gone from the store was erased or sealed anew, whatever a lost journal forgot.
        return not any(self._network.store.has_block(content) for content, stays in leaves.items() if not stays)

    def _planned(self, pairing: Pairing, orders: Sequence[tuple[CID, Reseal]]) -> Iterator[Resealing]:
        """Yield what orders about one envelope ask for, if it isn't done.

        Raises:
            IntegrityError: they name what isn't this patient's here, or the envelope isn't whole.
            BlockNotFoundError: the store lost a header.
        """
        last = orders[-1][1]
        # 2. Among this patient's own records only: anybody may name any record, and any key.
        key, mine = EnvelopeKey(last.envelope_key), self._records(pairing.patient, last.scope)
        headers = self._batches.history.headers_of(mine)
        members = [headers[one.header] for one in mine if headers[one.header].commitment == key.commitment]
        by_content = {found.content: found for found in members}
        wanted: dict[CID, tuple[Category | None, bool]] = {}
        for _, order in orders:
            wanted |= {content: (order.to, stays) for content, stays in order.leaves.items()}
        # What was sealed anew before is gone from the store, whatever a lost journal forgot.
        foreign = [one for one in wanted if one not in by_content and self._network.store.has_block(one)]
        if foreign:
            done = "erased" if self._erases else "moved"
            raise IntegrityError(
                f"it names {count(len(foreign), 'record')} not of this patient in {last.scope.text}; nothing was {done}"
            )
        # A statement names contents: sealed anew, what the hospital withdrew since would count again.
        withdrawn = self._batches.journal.withdrawn.known(str(content) for content in wanted)
        rows = {one.header: one for one in mine}
        leaving = tuple(
            Leaving(by_content[content], to, stays, rows[by_content[content].info.header_cid])
            for content, (to, stays) in wanted.items()
            # A file that a record names which stays isn't erased, and what was withdrawn may be.
            if content in by_content and (not stays if self._erases else str(content) not in withdrawn)
        )
        if not leaving:
            return
        gone = {one.old.content for one in leaving if not one.stays}
        staying = tuple(found for found in members if found.content not in gone)
        listed = check_envelope(self._network.store, members, key)
        if any(one.old.info.media_type == STATEMENT for one in leaving):
            raise IntegrityError("it names a statement of this hospital's; nothing of it was done")
        info = members[0].info
        # Before a batch is begun: a record that the pairing has no lanes for would break it off.
        pairing.path(info.category, info.year, emergency=last.emergency)
        for one in leaving:
            if one.to is not None:
                pairing.path(one.to, info.year)
        yield Resealing(
            pairing,
            key,
            last.scope,
            last.emergency,
            listed,
            leaving,
            staying,
            tuple(order for _, order in orders),
            tuple(str(cid) for cid, _ in orders),
        )

    def _records(self, patient: Address, scope: Scope) -> list[JournalRecord]:
        return [one for one in self._batches.journal.records(patient) if one.scope == scope.text]

    def opened(self, resealing: Resealing) -> list[PlainRecord]:
        """Return what leaves, opened and checked.

        Raises:
            IntegrityError: a content isn't what the hospital committed to.
            BlockNotFoundError: the store lost one.
            TooLargeError: one is larger than the setting `record_limit` allows.
        """
        limit, found = self._network.config.record_limit, list[PlainRecord]()
        for one in resealing.leaving:
            info = one.old.info
            if info.size > limit:
                raise TooLargeError(
                    f"a record of {info.size:,} bytes, and the setting `record_limit` allows {limit:,}",
                    size=info.size,
                    limit=limit,
                )
            if one.to is None:
                raise TypeError("what is erased is opened by nobody")
            content = content_of(self._network.store, one.old, resealing.key).read()
            source = b"" if one.stays else one.record.source
            found.append(PlainRecord(one.to, info.year, info.media_type, content, source, one.record.part))
        return found

    def fill(self, builder: BatchBuilder, resealing: Resealing, records: Sequence[PlainRecord]) -> None:
        """Do steps 3 and 4 for one envelope.

        Args:
            builder: of the batch.
            resealing: what goes and what stays.
            records: from `opened`.
        """
        pairing = resealing.pairing
        changes = Changes(self._batches.journal.resources, self._batches.resource_key)
        # 3. What leaves.
        for one, record in zip(resealing.leaving, records, strict=True):
            sequence = resealing.inventory.sequence
            if one.stays:
                builder.add(record, pairing, sequence=sequence)
                continue
            replaces = [*one.old.replaces, CID.parse(one.old.info.header_cid)]
            # The old list names what left; what stays gets one of its own.
            words = resealing.inventory.words
            gone = () if words is None else (words,)
            builder.add(record, pairing, resealed=one.old, sequence=sequence, replaces=replaces, gone=gone)
            was = replace(record, category=one.old.info.category)
            new = Scope.of(record.category, record.year).text
            self.elsewhere += [(known, new) for known in changes.resources_of(was, pairing.patient)]
        # 4. What stays.
        self._keep(builder, resealing)
        for place, versions in self._told(resealing, records):
            for start in range(0, len(versions), MAX_NEWER):
                said = Statement(newer=versions[start : start + MAX_NEWER]).encode()
                builder.add(replace(place, media_type=STATEMENT, content=said), pairing)
        self.followed += resealing.blocks

    def keep_staying(self, builder: BatchBuilder, resealing: Resealing) -> None:
        """Give what stays of one envelope new headers, and an inventory that doesn't name what leaves."""
        pairing, info = resealing.pairing, resealing.leaving[0].old.info
        gone = [one.old for one in resealing.leaving if not one.stays]
        if resealing.staying:
            left = {found.info.content_index for found in gone}
            listed = replace(
                resealing.inventory,
                items=tuple(None if at in left else item for at, item in enumerate(resealing.inventory.items)),
                lists={at: one for at, one in resealing.inventory.lists.items() if at not in left},
            )
            inventory = builder.list_anew(listed, resealing.key)
            path = pairing.path(info.category, info.year, emergency=resealing.emergency)
            # By the hospital, to the lanes as they are now: an order may be older than the last rotation.
            envelope = seal_envelope(resealing.key, [lane for _, lane in path])
            for found in resealing.staying:
                builder.move(found, envelope, pairing, emergency=resealing.emergency, listed=inventory)

    def _keep(self, builder: BatchBuilder, resealing: Resealing) -> None:
        self.keep_staying(builder, resealing)
        pairing, info = resealing.pairing, resealing.leaving[0].old.info
        gone = [one.old for one in resealing.leaving if not one.stays]
        stood_for = [cid for old in gone for cid in (*old.replaces, CID.parse(old.info.header_cid))]
        statement = PlainRecord(
            info.category, info.year, STATEMENT, Statement().encode(), source=b"", emergency=resealing.emergency
        )
        for start in range(0, len(stood_for), MOST_REPLACED):
            # By its sequence in an envelope without records, so that no later move gives it a header of another kind.
            replaces = stood_for[start : start + MOST_REPLACED]
            builder.add(statement, pairing, sequence=builder.sequence, replaces=replaces)

    def _told(
        self, resealing: Resealing, records: Sequence[PlainRecord]
    ) -> Iterator[tuple[PlainRecord, tuple[Version, ...]]]:
        """Yield where newer versions must be told, and which: where they were, and where older ones go."""
        info = resealing.leaving[0].old.info
        here = {version.name: version for order in resealing.orders for version in order.here}
        for record in records if here else ():
            if record.media_type != MEDIA_TYPE or not isinstance(record.content, bytes):
                continue
            bundle = bundle_of(record.content)
            named = {entry.version.name for entry in bundle.entries} if bundle else set()
            # Of the record's own source and part: what withdraws the record withdraws this with it.
            told = tuple(version for name, version in here.items() if name in named)
            yield replace(record, category=info.category, emergency=resealing.emergency), told
        for order in resealing.orders:
            if order.to is None:
                raise TypeError("an order to erase tells nothing elsewhere")
            yield PlainRecord(order.to, info.year, STATEMENT, b"", source=b""), order.there
