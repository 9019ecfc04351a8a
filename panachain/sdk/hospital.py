"""The hospital: publishes records to its patients' lanes, and finds its own again.

Can open nothing that it published: the envelope keys are forgotten as soon as they are wrapped.
Follows design section 8 (Publish).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from panachain.chain.contracts.record_ledger import STORING
from panachain.errors import AccessDeniedError, DiskError, InputError, IntegrityError, TransactionError, UsageError
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import Actor, Address, Role
from panachain.model.records import PlainRecord, RecordInfo
from panachain.model.scope import Category
from panachain.records.header import Header, open_header
from panachain.records.jitter import delay
from panachain.records.journal import Batch, Journal
from panachain.records.pairing import Pairing, open_pairing
from panachain.records.publish import MAX_RECORDS, BatchBuilder, PreparedBatch, shorten_list
from panachain.records.rewrap import open_order
from panachain.records.sources import Source, find_sources
from panachain.records.split import MEDIA_TYPE
from panachain.sdk.base import ActorSession
from panachain.sdk.results import PublishedView, RewrapReport, UploadReport

Progress = Callable[..., None]
_REORG_DEPTH: Final = 64
"""Blocks under the newest one within which a storage transaction is looked for again."""


class Hospital(ActorSession):
    """A hospital at work."""

    role = Role.HOSPITAL

    def pairing(self, patient: Actor) -> Pairing:
        """Fetch and open the pairing with a patient.

        Raises:
            AccessDeniedError: the patient hasn't paired with this hospital.
        """
        return self.pairings([patient])[0]

    def pairings(self, patients: Sequence[Actor]) -> list[Pairing]:
        """Fetch and open the pairings with several patients.

        Raises:
            AccessDeniedError: one of them hasn't paired with this hospital.
        """
        digests = self.network.sidechain.identities.pairings_of([patient.address for patient in patients], self.address)
        return [self._open_pairing(patient, digest) for patient, digest in zip(patients, digests, strict=True)]

    def _open_pairing(self, patient: Actor, digest: bytes | None) -> Pairing:
        if digest is None:
            raise AccessDeniedError(
                f"{patient.handle} hasn't paired with {self.profile.handle}; nothing was published",
                hint=f"the patient runs: panachain pair {self.profile.handle}",
            )
        return open_pairing(
            self.network.store.get_block(CID(RAW, digest)),
            secret=self._seed.receiving(),
            hospital=self.address,
            patient=patient.address,
            verifying_key=patient.verifying_key,
        )

    def upload(
        self,
        paths: Sequence[Path | str],
        patient: str,
        category: Category | None = None,
        *,
        dry_run: bool = False,
        jitter: int | None = None,
        progress: Progress | None = None,
    ) -> UploadReport:
        """Publish files and folders to a patient's lanes; see `upload_many`."""
        assigned = [(path, patient) for path in paths]
        return self.upload_many(assigned, category, dry_run=dry_run, jitter=jitter, progress=progress)

    def upload_many(
        self,
        assigned: Sequence[tuple[Path | str, str]],
        category: Category | None = None,
        *,
        dry_run: bool = False,
        jitter: int | None = None,
        progress: Progress | None = None,
    ) -> UploadReport:
        """Publish files and folders of any number of patients, in as few storage transactions as hold them.

        The same source is published once for one patient; a killed upload is finished by the same call.

        Args:
            assigned: files and folders, each with the patient whom it is about: profile name, handle or address.
            category: for files whose kind doesn't tell.
            dry_run: read and split only.
            jitter: seconds that a record waits at most, each for a time of its own; what waits is published by a later
                call with the same sources, at most one record of a patient in each. None takes the setting.
            progress: called as progress(done, total, unit="bytes") and progress(done, 0, unit="records").

        Raises:
            InputError: a file can't be read as what it claims to be; nothing of its batch was published.
            AccessDeniedError: a patient hasn't paired with this hospital; nothing was published.
        """
        self._check_registered()
        names = list(dict.fromkeys(patient for _, patient in assigned))
        patients = self.network.resolve_many(names, Role.PATIENT)
        pairings = dict(zip(names, self.pairings(patients), strict=True))
        sources = (
            (source, pairings[patient]) for path, patient in assigned for source in find_sources([Path(path)], category)
        )
        journal = Journal(self.profile.folder / "journal.sqlite")
        try:
            with journal.exclusive():
                upload = _Upload(
                    dry_run=dry_run,
                    progress=progress,
                    total=_size([path for path, _ in assigned]),
                    jitter=self.network.config.jitter if jitter is None else jitter,
                )
                if not dry_run:
                    self._settle(journal)
                self._publish(journal, sources, upload)
                if dry_run and upload.records:
                    # One batch holds this many records at most.
                    batches = -(-len(upload.records) // MAX_RECORDS)
                    upload.estimate = batches * self.network.mainchain.ledger.estimate_store(self.address, 1)
                if not upload.records and not upload.skipped and not upload.waiting:
                    raise UsageError("there is nothing to publish in what was named")
                return upload.report()
        finally:
            journal.close()

    def settle(self) -> int:
        """Finish what an interrupted upload began, and send again what a reorganisation took off the chain.

        Returns:
            How many storage transactions were sent.
        """
        journal = Journal(self.profile.folder / "journal.sqlite")
        try:
            with journal.exclusive():
                return self._settle(journal)
        finally:
            journal.close()

    def rewrap(self) -> RewrapReport:
        """Move records to new lanes for patients who rotated theirs and asked for it, and delete the old headers.

        A killed run is finished by the same call: what was moved isn't moved again.

        Raises:
            IntegrityError: an order isn't its patient's, or names what this hospital didn't publish for him.
        """
        self._check_registered()
        journal = Journal(self.profile.folder / "journal.sqlite")
        upload = _Upload(dry_run=False, progress=None, total=0)
        moves: list[tuple[Header, bytes, Pairing]] = []
        try:
            with journal.exclusive():
                self._settle(journal)
                for event in self.network.sidechain.identities.paired(hospital=self.address):
                    patient = self.network.sidechain.identities.identity_of(event.patient)
                    if event.paired and patient is not None:
                        pairing = self._open_pairing(patient, event.digest)
                        moves += [(*move, pairing) for move in self._ordered(journal, patient, pairing)]
                # All patients' together: a batch of one patient's records would show that they are one's.
                for start in range(0, len(moves), MAX_RECORDS):
                    self._move(journal, moves[start : start + MAX_RECORDS], upload)
                deleted = self._delete_moved(journal)
                return RewrapReport(len(moves), deleted, tuple(tx for _, tx, _ in upload.batches))
        finally:
            journal.close()

    def records(self) -> list[PublishedView]:
        """Return what this hospital published, from its journal."""
        journal = Journal(self.profile.folder / "journal.sqlite")
        try:
            return [
                PublishedView(record.header, Address(record.patient), record.scope, record.sequence)
                for record in journal.records()
            ]
        finally:
            journal.close()

    def get(self, record_id: str) -> NoReturn:
        """A hospital can't open what it published.

        Raises:
            AccessDeniedError: always.
        """
        raise AccessDeniedError(
            f"{self.profile.handle} can't open record {record_id}: a hospital keeps no key to what it publishes",
            hint="ask the patient for a grant: a practitioner of the hospital runs panachain request",
        )

    def _publish(self, journal: Journal, sources: Iterable[tuple[Source, Pairing]], upload: _Upload) -> None:
        """Split, seal and send, batch by batch."""
        builder: BatchBuilder | None = None
        done: list[tuple[Address, bytes]] = []
        seen: set[tuple[Address, bytes]] = set()
        try:
            for source, pairing in sources:
                name = (pairing.patient, source.identity)
                # The same file named twice in one call counts once as well.
                if name in seen or journal.source_done(*name):
                    upload.skip(source.size, journal.parts(*name))
                    continue
                seen.add(name)
                known = journal.parts(*name)
                fhir, goes, waiting = False, True, upload.waiting
                for record in source.records():
                    fhir = fhir or record.media_type == MEDIA_TYPE
                    if record.part in known:
                        upload.skip(0, {record.part})
                        continue
                    upload.take(record)
                    if upload.dry_run:
                        continue
                    # What follows a Bundle are its attachments: they wait and go with it.
                    if upload.jitter and (not fhir or record.media_type == MEDIA_TYPE):
                        goes = upload.lets_go(journal, name, record.part)
                    if not goes:
                        upload.waiting += 1
                        continue
                    # What follows a Bundle are its attachments, which are read with it: they stay in its batch.
                    if builder is not None and builder.full and (not fhir or record.media_type == MEDIA_TYPE):
                        self._send(journal, builder, done, upload)
                        builder, done = None, []
                    builder = builder or self._builder()
                    builder.add(record, pairing, journal.counters(pairing.patient))
                upload.advance(source.size)
                if upload.waiting == waiting:
                    done.append(name)
            if builder is not None:
                self._send(journal, builder, done, upload)
            elif done and not upload.dry_run:
                journal.finish_sources(done)
        except OSError as exc:
            raise DiskError(
                f"the records can't be stored: {exc.strerror}; nothing of this batch was published"
            ) from exc
        except InputError as exc:
            if upload.batches:
                raise InputError(f"{exc} after {upload.published} records of earlier batches", hint=exc.hint) from exc
            raise
        finally:
            if builder is not None:
                builder.close()

    def _ordered(self, journal: Journal, patient: Actor, pairing: Pairing) -> list[tuple[Header, bytes]]:
        """Return the records that a patient's orders name and that weren't moved yet, each with its new envelope."""
        found = []
        for order in pairing.orders:
            block = self.network.store.get_block(order)
            for move in open_order(block, secret=self._seed.receiving(), verifying_key=patient.verifying_key):
                if not journal.has(str(move.header)):
                    continue
                old = open_header(
                    self.network.store.get_block(move.header),
                    cid=move.header,
                    hospital=self.address,
                    locator_key=move.locator_key,
                    brief_id=move.brief_id,
                    verifying_key=self._seed.signer().public,
                )
                if old.patient != pairing.patient:
                    raise IntegrityError(f"{patient.handle} asks to move a record of somebody else; nothing was moved")
                found.append((old, move.envelope))
        return found

    def _move(self, journal: Journal, moves: Sequence[tuple[Header, bytes, Pairing]], upload: _Upload) -> None:
        """Give records new headers, in one batch."""
        builder = self._builder()
        try:
            for old, envelope, pairing in moves:
                builder.move(old, envelope, pairing, journal.counters(pairing.patient))
            self._send(journal, builder, [], upload)
        finally:
            builder.close()

    def _delete_moved(self, journal: Journal) -> int:
        """Delete old headers and envelopes whose records have new ones on chain, and let go of what kept them."""
        rows = journal.deletable()
        gone: dict[str, set[CID]] = defaultdict(set)
        for header, envelope, kept_by in rows:
            gone[kept_by] |= {CID.parse(header), CID.parse(envelope)}
        store = self.network.store
        lists = {old: str(shorten_list(store, CID.parse(old), without)) for old, without in gone.items()}
        for old in lists:
            store.unpin(CID.parse(old))
        store.delete_blocks(set().union(*gone.values()))
        journal.deleted([header for header, _, _ in rows], lists)
        return len(rows)

    def _builder(self) -> BatchBuilder:
        manifests = self.network.manifests_of(self.address)
        return BatchBuilder(
            self.network.store,
            hospital=self.address,
            signer=self._seed.signer(),
            sequence=len(manifests) + 1,
            previous=CID(DAG_CBOR, manifests[-1]) if manifests else None,
            at=int(time.time()),
        )

    def _send(
        self, journal: Journal, builder: BatchBuilder, done: list[tuple[Address, bytes]], upload: _Upload
    ) -> None:
        batch = builder.finish()
        builder.close()
        prepared = journal.prepare(
            sequence=batch.sequence,
            manifest=str(batch.root),
            list_cid=str(batch.list_cid),
            records=batch.journal_records,
            done=done,
            counters=batch.counters,
            moved=batch.moved,
        )
        tx, gas = self._store(journal, prepared)
        upload.sent(batch, tx, gas)

    def _settle(self, journal: Journal) -> int:
        """Bring every batch of the journal on chain, in order; return how many had to be sent."""
        newest = self.network.mainchain.head_block().number
        recent = journal.mined_since(newest - _REORG_DEPTH)
        if not recent and not journal.pending():
            return 0
        on_chain = {event.sequence: event for event in self.network.mainchain.ledger.events(hospital=self.address)}
        for batch in recent:
            # A reorganisation may have put it into another block, or nowhere.
            if batch.sequence not in on_chain:
                journal.vanished(batch.sequence)
        sent = 0
        for batch in journal.pending():
            mined = on_chain.get(batch.sequence)
            if mined is None:
                self._store(journal, batch)
                sent += 1
            elif mined.manifest == CID.parse(batch.manifest).digest:
                journal.mined(batch.sequence, mined.tx_hash, mined.block)
            else:
                raise TransactionError(
                    f"storage transaction {batch.sequence} on chain has another manifest than this profile's journal",
                    hint="is the same hospital profile used on another machine?",
                )
        return sent

    def _store(self, journal: Journal, batch: Batch) -> tuple[str, int]:
        """Send a batch's storage transaction, or the one that was signed for it before."""
        sender = self._sender()

        def signed(tx_hash: str, raw: str) -> None:
            journal.sending(batch.sequence, tx_hash, raw)

        before = journal.sent(batch.sequence)
        # With the same nonce only one of them can ever be mined, so nothing is stored twice.
        receipt = sender.resend(before, what=STORING, signed=signed) if before else None
        if receipt is None:
            digest = CID.parse(batch.manifest).digest
            receipt = self.network.mainchain.ledger.store(sender, digest, batch.count, signed=signed)
        journal.mined(batch.sequence, receipt.tx_hash, receipt.block)
        return receipt.tx_hash, receipt.gas_used


@dataclass
class _Upload:
    """What an upload has done so far."""

    dry_run: bool
    progress: Progress | None
    total: int
    """Bytes of the sources."""
    done: int = 0
    skipped: int = 0
    records: list[RecordInfo] = field(default_factory=list)
    batches: list[tuple[PreparedBatch, str, int]] = field(default_factory=list)
    published: int = 0
    taken: int = 0
    estimate: int = 0
    """Gas of a dry run."""
    jitter: int = 0
    """Seconds that a record waits at most."""
    waiting: int = 0
    """Records that a later call publishes."""
    now: int = field(default_factory=lambda: int(time.time()))
    """Unix seconds, one time for the whole round."""
    served: set[Address] = field(default_factory=set)
    """Patients of whom a record goes in this round."""

    def lets_go(self, journal: Journal, name: tuple[Address, bytes], part: int) -> bool:
        """Tell whether a record's wait is over: one of each patient a round, unless it has waited the longest time."""
        drawn = self.now + delay(self.jitter)
        due, latest = journal.due(*name, part, due=drawn, latest=self.now + self.jitter)
        goes = due <= self.now and (name[0] not in self.served or self.now >= latest)
        if goes:
            self.served.add(name[0])
        return goes

    def take(self, record: PlainRecord) -> None:
        self.taken += 1
        if self.dry_run:
            self.records.append(_planned(record))
        if self.progress is not None:
            self.progress(self.taken, 0, unit="records")

    def skip(self, size: int, parts: set[int]) -> None:
        self.skipped += len(parts)
        self.advance(size)

    def advance(self, size: int) -> None:
        self.done += size
        if self.progress is not None:
            self.progress(self.done, self.total, unit="bytes")

    def sent(self, batch: PreparedBatch, tx: str, gas: int) -> None:
        self.batches.append((batch, tx, gas))
        self.published += len(batch.records)
        self.records.extend(record.info for record in batch.records)

    def report(self) -> UploadReport:
        last = self.batches[-1] if self.batches else None
        return UploadReport(
            records=tuple(self.records),
            skipped=self.skipped,
            plain_bytes=sum(info.size for info in self.records),
            sealed_bytes=sum(record.sealed_size for batch, _, _ in self.batches for record in batch.records),
            manifest_cid=str(last[0].root) if last else "",
            sequence=last[0].sequence if last else 0,
            tx=last[1] if last else "",
            gas=self.estimate or sum(gas for _, _, gas in self.batches),
            transactions=tuple(tx for _, tx, _ in self.batches),
            dry_run=self.dry_run,
            waiting=self.waiting,
        )


def _planned(record: PlainRecord) -> RecordInfo:
    return RecordInfo(
        hospital=Address(""),
        category=record.category,
        year=record.year,
        media_type=record.media_type,
        size=record.size,
        digest=b"",
        stored_at=0,
        header_cid="",
        content_cid="",
        envelope_cid="",
        content_index=0,
        generation=0,
    )


def _size(paths: Iterable[Path | str]) -> int:
    """Return the bytes of files and of what is below folders, as far as they can be looked at."""
    return sum(_sizes([Path(path) for path in paths]))


def _sizes(paths: Iterable[Path]) -> Iterator[int]:
    for path in paths:
        if path.is_dir():
            yield from (item.stat().st_size for item in path.rglob("*") if item.is_file())
        elif path.is_file():
            yield path.stat().st_size
