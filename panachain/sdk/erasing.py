"""Erasing: a hospital deletes records from every store that it runs, looks whether they are gone, and says so on chain.

1. Plan: which records, of whose wish, what else lies in their envelopes.
2. Say it: a statement in the lanes of each stands for its header, and what stays beside it gets a header of its own.
3. Delete all its blocks on every node, and look for each of them.
4. Attest what is gone, and only that: one more statement, signed and on chain as every record is, which names nothing
   that anybody without the lane could read.

Each step is in the journal before it is done, so that a run that is killed is finished by the next. Opens no record.
Follows ADR 59 and security rules 14 and 36.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from panachain.errors import (
    BlockNotFoundError,
    DiskError,
    IntegrityError,
    LockedError,
    NotPairedError,
    PartlyDoneError,
    UnavailableError,
    UnknownActorError,
    UsageError,
)
from panachain.ipld import dagcbor, unixfs
from panachain.ipld.cid import CID, DAG_CBOR
from panachain.model.actors import Actor, Address
from panachain.model.records import STATEMENT, PlainRecord, Reason
from panachain.model.scope import UNDATED, Category
from panachain.plain import count, were
from panachain.records.findings import LEFT_OUT, Findings
from panachain.records.header import Header
from panachain.records.journal import JournalRecord
from panachain.records.journal_erased import Erasing, ErasureState
from panachain.records.pairing import Pairing
from panachain.records.publish import MAX_RECORDS, BatchBuilder, listed, shorten_list
from panachain.records.rewrap import Reseal
from panachain.records.statements import (
    MAX_NEWER,
    MAX_WHY,
    SALT_SIZE,
    Attestation,
    ErasedHeader,
    Refusal,
    Statement,
)
from panachain.sdk.batches import Batches
from panachain.sdk.moves import Moves
from panachain.sdk.network import Network
from panachain.sdk.pairings import Pairings
from panachain.sdk.reseals import MOST_REPLACED, Resealing, Reseals
from panachain.sdk.results.erasures import EraseReport, ErasureView
from panachain.storage.blocks import BlobStore
from panachain.storage.configured import pinning_services
from panachain.storage.erasing import PATIENCE, NodeErasure, erase

MOST: Final = 1000
"""Records that one call names."""


@dataclass(frozen=True)
class Asked:
    """What one patient asks to have erased of one envelope."""

    patient: Actor
    planned: Resealing

    @property
    def records(self) -> list[str]:
        """CIDs of the records' headers."""
        return [one.old.info.header_cid for one in self.planned.leaving]

    def view(self) -> Iterator[ErasureView]:
        """Yield the records."""
        for one in self.planned.leaving:
            info = one.old.info
            yield ErasureView(
                info.header_cid, info.hospital, self.patient.address, info.category.value, info.year, "asked"
            )


@dataclass(frozen=True)
class _Gone:
    """What goes of one envelope."""

    pairing: Pairing
    headers: tuple[Header, ...]
    emergency: bool
    asked: bool
    planned: Resealing | None = None
    """What stays beside it; None if nothing does."""
    orders: tuple[str, ...] = ()
    """CIDs of the orders that are followed with it."""


@dataclass
class _Done:
    """What a run came to."""

    findings: Findings = field(default_factory=Findings)
    transactions: list[str] = field(default_factory=list)
    kept: int = 0
    stores: int = 0
    gone: set[str] = field(default_factory=set)
    """CIDs of the headers of what is gone."""
    blocks: set[CID] = field(default_factory=set)


class Erasures:
    """The erasures of one hospital, as long as it holds its journal."""

    def __init__(self, network: Network, hospital: Actor, batches: Batches, pairings: Pairings, moves: Moves) -> None:
        """Take the hospital, its batches, the pairings with its patients, and what deletes headers that were moved."""
        self._network = network
        self._hospital = hospital
        self._batches = batches
        self._pairings = pairings
        self._moves = moves

    def asked(self, findings: Findings) -> list[Asked]:
        """Return what patients ask for that was neither done nor refused, each envelope by itself.

        Args:
            findings: is told of patients whose pairing or whose orders can't be read.
        """
        found = []
        reseals = Reseals(self._network, self._batches, erases=True)
        for patient, pairing in self._pairings.all(findings):
            orders: dict[CID, Reseal] = {}
            for cid in pairing.orders:
                with findings.alone("", f"order {cid} of patient {patient.handle}"):
                    order = self._pairings.order(patient, cid)
                    if isinstance(order, Reseal):
                        orders[cid] = reseals.undecided(cid, order)
            if not any(order.to is None and order.leaves for order in orders.values()):
                continue
            with findings.alone("", f"the records of patient {patient.handle}"):
                self._batches.learn(patient.address)
                wanted = {cid: order for cid, order in orders.items() if order.leaves}
                found += [Asked(patient, one) for one in reseals.of(patient, pairing, wanted, findings)]
        return found

    def run(
        self, record_ids: Collection[str], *, asked: bool, patients: Collection[Address] | None = None
    ) -> EraseReport:
        """Do all steps, and finish those of earlier runs.

        Args:
            record_ids: which records; none for all that patients ask for, if `asked`.
            asked: whether it is what patients ask for; else the hospital does it of its own accord.
            patients: whose wishes are followed; None for everybody's.

        Raises:
            UsageError: too many are named, or an envelope has other records too; nothing was erased.
            UnknownActorError: a record isn't published by this hospital, or nobody asks for it; nothing was erased.
        """
        done = _Done()
        # 1. Plan.
        wanted = list(dict.fromkeys(record_ids))
        if len(wanted) > MOST:
            raise UsageError(f"1 to {MOST:,} records are erased at once, {len(wanted):,} were named")
        goes = self._wished(wanted, patients, done.findings) if asked else self._own(wanted)
        # 2. Say it.
        self._say([one for one in goes if self._may_go(one, done.findings)], done)
        # 3. Delete.
        self._delete(done)
        # 4. Attest.
        self._attest(done)
        states = {one.erasing.header: one for one in self._batches.journal.erasures.all()}
        return EraseReport(
            tuple(view_of(states[header], self._hospital.address) for header in sorted(done.gone)),
            len(done.blocks),
            done.stores,
            tuple(done.transactions),
            done.kept,
            tuple(done.findings.omissions),
            tuple(done.findings.notices),
        )

    def refuse(self, record_ids: Collection[str], why: str) -> str:
        """Tell patients that what they asked for isn't erased, and why; return the storage transaction's hash.

        Only the patient reads it: it goes into their lane `private`, which nobody has but by name.

        Raises:
            UsageError: no reason is given, or it is too long, or no record is named; nothing was refused.
            UnknownActorError: nobody asks to have one erased; nothing was refused.
        """
        said = " ".join(why.split())
        if not 0 < len(said) <= MAX_WHY:
            raise UsageError(f"a refusal needs a reason of 1 to {MAX_WHY} characters")
        if not record_ids:
            raise UsageError("no record is named; nothing was refused")
        findings = Findings()
        asked = self.asked(findings)
        self._check_asked(record_ids, asked, findings)
        refused: list[tuple[str, str]] = []
        contents: dict[Address, list[CID]] = defaultdict(list)
        pairings: dict[Address, Pairing] = {}
        for one in asked:
            for leaving in one.planned.leaving:
                if leaving.old.info.header_cid in record_ids:
                    content = leaving.old.info.content_cid
                    contents[one.patient.address].append(CID.parse(content))
                    refused += [(order, content) for order in one.planned.blocks]
            pairings[one.patient.address] = one.planned.pairing
        builder = self._batches.begin()
        try:
            for patient, found in contents.items():
                statement = Statement(refuses=Refusal(tuple(found), said)).encode()
                record = PlainRecord(Category.PRIVATE, UNDATED, STATEMENT, statement, source=b"")
                builder.add(record, pairings[patient])
            return self._batches.send(builder, refused=refused).tx
        finally:
            builder.close()

    # 1. Plan

    def _wished(
        self, record_ids: Sequence[str], patients: Collection[Address] | None, findings: Findings
    ) -> list[_Gone]:
        asked = [one for one in self.asked(findings) if patients is None or one.patient.address in patients]
        if record_ids:
            self._check_asked(record_ids, asked, findings)
        found = []
        for one in asked:
            planned = one.planned
            leaving = tuple(
                each for each in planned.leaving if not record_ids or each.old.info.header_cid in record_ids
            )
            if not leaving:
                continue
            staying = (*planned.staying, *(each.old for each in planned.leaving if each not in leaving))
            whole = leaving == planned.leaving
            found.append(
                _Gone(
                    planned.pairing,
                    tuple(each.old for each in leaving),
                    planned.emergency,
                    asked=True,
                    planned=replace(planned, leaving=leaving, staying=staying),
                    orders=planned.blocks if whole else (),
                )
            )
        return found

    def _check_asked(self, record_ids: Iterable[str], asked: Sequence[Asked], findings: Findings) -> None:
        known = {record for one in asked for record in one.records}
        for record in record_ids:
            if record not in known:
                unread = "; ".join(map(str, findings.omissions))
                told = f"; not all wishes could be read: {unread}" if unread else ""
                raise UnknownActorError(
                    f"no patient asks to have record {record} erased; nothing was done{told}",
                    hint="panachain --profile HOSPITAL erase",
                )

    def _own(self, record_ids: Sequence[str]) -> list[_Gone]:
        """Return what goes of the hospital's own accord: whole envelopes, since it has no key to their lists."""
        journal, named = self._batches.journal, set(record_ids)
        rows = {one.header: one for one in journal.records()} if named else {}
        for record in record_ids:
            if record not in rows:
                raise UnknownActorError(
                    f"this hospital published no record {record}; nothing was erased", hint="panachain records list"
                )
        places: dict[tuple[Address, str], list[JournalRecord]] = defaultdict(list)
        for one in rows.values():
            places[one.patient, one.scope].append(one)
        found = []
        for (patient, _), mine in places.items():
            if not any(one.header in named for one in mine):
                continue
            headers = self._batches.history.headers_of(mine)
            envelopes: dict[bytes, list[Header]] = defaultdict(list)
            for header in headers.values():
                envelopes[header.commitment].append(header)
            for members in envelopes.values():
                if not any(one.info.header_cid in named for one in members):
                    continue
                if any(one.info.media_type == STATEMENT for one in members):
                    raise UsageError(
                        f"record {members[0].info.header_cid} lies in one envelope with what this hospital says of"
                        " others; nothing was erased",
                        hint="its patient can ask for it: panachain --profile PATIENT erase RECORD",
                    )
                others = [one.info.header_cid for one in members if one.info.header_cid not in named]
                if others:
                    raise UsageError(
                        f"in the same envelope: {count(len(others), 'other record')}, such as {others[0]}: a hospital"
                        " can't open its list to take one out; nothing was erased",
                        hint="name them all and upload again what shall stay; or the patient asks: panachain erase",
                    )
                emergency = self._batches.history.in_emergency(patient, members[0])
                found.append(_Gone(self._pairing(patient), tuple(members), emergency, asked=False))
        return found

    def _pairing(self, patient: Address) -> Pairing:
        """Return a patient's pairing, also one that was taken back: what the law asks for must be told somewhere."""
        (actor,) = self._network.sidechain.identities.find([patient])
        try:
            (found,) = self._pairings.of([actor])
            if found is not None:
                return found
        except (NotPairedError, *LEFT_OUT):
            # The newest that can be read: what was erased is told there.
            pass
        return self._batches.history.newest_pairing(patient)

    def _may_go(self, gone: _Gone, findings: Findings) -> bool:
        """Tell whether nothing else needs what would go; else say what does."""
        journal, going = self._batches.journal, {one.info.header_cid for one in gone.headers}
        for record in going:
            if journal.erasures.is_unfinished(record):
                error = IntegrityError("its upload isn't finished", hint="the same upload again finishes it")
                findings.left_out("", f"record {record}", error)
                return False
        staying = {one.info.header_cid for one in gone.planned.staying} if gone.planned else set[str]()
        wanted = {one.content for one in gone.headers}
        rows = [row for row in journal.records(gone.pairing.patient) if row.header not in going]
        # One that can't be opened is opened by nobody: it needs nothing.
        for header, other in self._batches.history.headers_of(rows, Findings()).items():
            named = {other.content}
            if header not in staying and other.inventory is not None:
                named.add(other.inventory)
            shared = named & (wanted | {one.inventory for one in gone.headers if one.inventory is not None})
            if shared:
                for record in sorted(going):
                    error = IntegrityError(f"what it holds is record {header}, too, and would be lost to that one")
                    findings.left_out("", f"record {record}", error)
                return False
        return True

    # 2. Say it

    def _say(self, goes: Sequence[_Gone], done: _Done) -> None:
        builder: BatchBuilder | None = None
        erasing: list[Erasing] = []
        orders: list[str] = []

        def send() -> None:
            nonlocal builder, erasing, orders
            if builder is not None:
                sent = self._batches.send(builder, followed=orders, erasing=erasing)
                done.transactions.append(sent.tx)
            builder, erasing, orders = None, [], []

        try:
            for one in goes:
                count = (len(one.planned.staying) if one.planned else 0) + 2 * len(one.headers) + 2
                if builder is not None and builder.count + count > MAX_RECORDS:
                    send()
                builder = builder or self._batches.begin()
                if one.planned is not None:
                    Reseals(self._network, self._batches).keep_staying(builder, one.planned)
                    done.kept += len(one.planned.staying)
                self._stand_for(builder, one)
                erasing += self._erasing(one)
                orders += one.orders
            send()
        finally:
            if builder is not None:
                builder.close()

    def _stand_for(self, builder: BatchBuilder, gone: _Gone) -> None:
        """Put statements into the lanes that stand for the headers of what goes."""
        info = gone.headers[0].info
        place = PlainRecord(info.category, info.year, STATEMENT, b"", source=b"", emergency=gone.emergency)
        chunk: list[Header] = []
        replaces: list[CID] = []

        def add() -> None:
            said = Statement(
                Reason.ERASED,
                tuple(one.content for one in chunk),
                erased=tuple(ErasedHeader(CID.parse(one.info.header_cid), one.info.stored_at) for one in chunk),
            )
            # By its sequence in an envelope without records: no later move gives it a header of another kind.
            builder.add(
                replace(place, content=said.encode()), gone.pairing, sequence=builder.sequence, replaces=replaces
            )
            chunk.clear()
            replaces.clear()

        for one in gone.headers:
            mine = [*one.replaces, CID.parse(one.info.header_cid)]
            if chunk and len(replaces) + len(mine) > MOST_REPLACED:
                add()
            chunk.append(one)
            replaces += mine
        add()
        newer = [version for order in (gone.planned.orders if gone.planned else ()) for version in order.here]
        for start in range(0, len(newer), MAX_NEWER):
            # An older version that stays would count again: whoever reads it is told that it doesn't.
            told = Statement(newer=tuple(newer[start : start + MAX_NEWER])).encode()
            builder.add(replace(place, content=told), gone.pairing, sequence=builder.sequence)

    def _erasing(self, gone: _Gone) -> Iterator[Erasing]:
        for one in gone.headers:
            info = one.info
            words, known = self._words_of(one, gone.planned)
            blocks = {CID.parse(info.header_cid), CID.parse(info.envelope_cid), *one.replaces}
            for file in (one.content, one.inventory, words):
                if file is not None:
                    blocks |= self._blocks_of(file)
            yield Erasing(
                info.header_cid,
                info.content_cid,
                gone.pairing.patient,
                info.category.value,
                info.year,
                gone.emergency,
                gone.asked,
                tuple(map(str, sorted(blocks))),
                words_left=not known,
            )

    def _words_of(self, header: Header, planned: Resealing | None) -> tuple[CID | None, bool]:
        """Return the list of words of a record's envelope, and whether it is known which that is."""
        if planned is not None:
            # What stays gets a list of its own words.
            return planned.inventory.words, True
        if header.inventory is None:
            return None, True
        # Its inventory is for the patient: what it names is known to the journal that published it.
        words = self._batches.journal.erasures.words_of(str(header.inventory))
        return (CID.parse(words) if words else None), words is not None

    def _blocks_of(self, root: CID) -> set[CID]:
        """Return the blocks of a file, as far as the store has its nodes."""
        found, store = {root}, self._network.store

        def get(cid: CID) -> bytes:
            found.add(cid)
            return store.get_block(cid)

        # What is lost needn't be deleted, and what it named nobody knows.
        with suppress(BlockNotFoundError):
            found |= {leaf for leaf, _ in unixfs.leaves_of(root, get)}
        return found

    # 3. Delete

    def _delete(self, done: _Done) -> None:
        journal = self._batches.journal
        # Headers of what stays, which name the old inventory.
        try:
            self._moves.delete_moved()
        except (UnavailableError, DiskError, UsageError) as exc:
            done.findings.left_out("", "old headers of what stays", exc)
        due = journal.erasures.due()
        if due:
            blocks = sorted({CID.parse(cid) for _, cids in due for cid in cids})
            lists: dict[str, str] = {}
            nodes = erase(self._network.store, blocks, lambda node, cids: unlist(node, cids, lists))
            journal.deleted([], lists)
            done.stores = len(nodes)
            done.blocks |= set(blocks)
            for erasing, cids in due:
                mine = {CID.parse(cid) for cid in cids}
                if all(self._is_gone(node, mine, erasing, done.findings) for node in nodes):
                    journal.erasures.gone(erasing.header, at=int(self._network.clock()), stores=len(nodes))
                    if erasing.words_left:
                        done.findings.left_out("", f"record {erasing.header}", _words_may_be_left())
            self._name_others(done.findings)
        # Whatever was forgotten is in no log of the journal, either.
        journal.erasures.settle_file()

    def _name_others(self, findings: Findings) -> None:
        """Name the services that keep copies for this hospital: nobody here can see whether they delete."""
        try:
            services = pinning_services(self._network.config)
        except LockedError as exc:
            findings.notice("", "pinning services", exc)
            return
        except UsageError:
            # There is none.
            return
        for service in services:
            error = IntegrityError(
                "it keeps copies of pinned batch lists, and what it deletes only it knows",
                hint="panachain storage replicate takes the old ones back",
            )
            findings.notice("", f"pinning service {service.name}", error)
            service.close()

    def _is_gone(self, node: NodeErasure, blocks: set[CID], erasing: Erasing, findings: Findings) -> bool:
        left = blocks & node.left
        error = node.failure if left or node.unsure else None
        if error is None and left:
            error = IntegrityError(f"{len(left)} of its blocks are there still, such as {min(left)}")
        if error is None and node.busy:
            error = IntegrityError(
                f"its blocks are deleted, but others wrote to the store for longer than {PATIENCE:.0f} s"
                f" ({node.busy} of its files are in use), and a copy may lie there: nothing is attested yet",
                hint="panachain --profile HOSPITAL erase --finish, when no upload and no storage repair, move, import"
                " or export runs",
            )
        if error is None:
            return True
        findings.left_out("", f"record {erasing.header} at {node.name}", error)
        return False

    # 4. Attest

    def _attest(self, done: _Done) -> None:
        told = {one.what for one in done.findings.omissions}
        for state in self._batches.journal.erasures.wordless():
            # Of those that this call looked for it was said as what is left.
            what = f"record {state.erasing.header}"
            if what not in told:
                done.findings.notice("", what, _words_may_be_left())
        waiting = self._batches.journal.erasures.unattested()
        if not waiting:
            return
        places: dict[tuple[Address, str, int, bool], list[ErasureState]] = defaultdict(list)
        for state in waiting:
            one = state.erasing
            places[one.patient, one.category, one.year, one.emergency].append(state)
        builder, attested = self._batches.begin(), list[str]()
        try:
            for (patient, category, year, emergency), states in places.items():
                try:
                    pairing = self._pairing(patient)
                except NotPairedError as exc:
                    # Of others it is attested all the same.
                    for state in states:
                        done.findings.left_out("", f"record {state.erasing.header}", exc)
                    continue
                for start in range(0, len(states), MOST_REPLACED):
                    part = states[start : start + MOST_REPLACED]
                    said = Statement(
                        attests=Attestation(
                            tuple(CID.parse(state.erasing.content) for state in part),
                            max(state.gone_at or 0 for state in part),
                            sum(state.blocks for state in part),
                            min(state.stores for state in part),
                            os.urandom(SALT_SIZE),
                        )
                    )
                    record = PlainRecord(
                        Category(category), year, STATEMENT, said.encode(), source=b"", emergency=emergency
                    )
                    builder.add(record, pairing, sequence=builder.sequence)
                    attested += [state.erasing.header for state in part]
            if attested:
                done.transactions.append(self._batches.send(builder, attested=attested).tx)
        finally:
            builder.close()
        done.gone |= set(attested)


def _words_may_be_left() -> IntegrityError:
    return IntegrityError(
        "it is gone, but the list of its words may be left: this journal doesn't know where it lies, so that nothing is"
        " attested"
    )


def view_of(state: ErasureState, hospital: Address) -> ErasureView:
    """Return what people are shown of an erasure."""
    one = state.erasing
    return ErasureView(
        one.header,
        hospital,
        one.patient,
        one.category,
        one.year,
        "erased" if state.attested is None else "attested",
        at=state.gone_at or 0,
    )


def partly(report: EraseReport) -> EraseReport:
    """Return a report that names nothing that was left.

    Raises:
        PartlyDoneError: it does.
    """
    if report.omissions:
        done = f"{were(len(report.erased), 'record')} erased and attested"
        raise PartlyDoneError.of(report.omissions, done=done, result=report)
    return report


def unlist(node: BlobStore, cids: Collection[CID], lists: dict[str, str]) -> None:
    """Let every batch list that a node pins name some blocks no more.

    Args:
        node: of the store.
        cids: of the blocks.
        lists: is told which list stands for which.
    """
    gone = set(cids)
    for pinned in list(node.pins()):
        if pinned.codec != DAG_CBOR or not _names_any(node, pinned, gone):
            continue
        # The new one before the old one goes: at no moment is a block that is still needed without a pin.
        new = shorten_list(node, pinned, gone)
        node.unpin(pinned)
        lists[str(pinned)] = str(new)


def _names_any(node: BlobStore, pinned: CID, cids: set[CID]) -> bool:
    """Tell whether something pinned is a batch list that names one of some blocks."""
    try:
        fields = dagcbor.decode(node.get_block(pinned))
        is_list = isinstance(fields, dict) and set(fields) in ({"v", "blocks"}, {"v", "parts"})
        return is_list and not cids.isdisjoint(listed(node, pinned))
    except (IntegrityError, BlockNotFoundError):
        # Broken, it keeps nothing that could be told from it.
        return False
