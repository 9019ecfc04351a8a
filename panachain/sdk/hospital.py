"""The hospital: publishes records to its patients' lanes, and finds its own again.

Can open nothing that it published: the envelope keys are forgotten as soon as they are wrapped.
Follows design section 8 (Publish).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from panachain.errors import (
    AccessDeniedError,
    DiskError,
    TransactionError,
    UsageError,
)
from panachain.model.actors import Actor, Address, Role
from panachain.model.records import PlainRecord, RecordInfo
from panachain.model.scope import Category
from panachain.records import publish
from panachain.records.journal import Journal
from panachain.records.lanes import Pairing, open_pairing
from panachain.records.sources import read_source
from panachain.sdk.base import ActorSession
from panachain.sdk.results import PublishedView, UploadReport
from panachain.storage.cid import CID, DAG_CBOR, RAW

Progress = Callable[..., None]


class Hospital(ActorSession):
    """A hospital at work."""

    role = Role.HOSPITAL

    def pairing(self, patient: Actor) -> Pairing:
        """Fetch and open the pairing with a patient.

        Raises:
            AccessDeniedError: the patient hasn't paired with this hospital.
        """
        digest = self.network.sidechain.pairing(patient.address, self.address)
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
        progress: Progress | None = None,
    ) -> UploadReport:
        """Publish files and folders to a patient's lanes, in one storage transaction.

        The same source is published once for one patient; a killed upload is finished by the same call.

        Args:
            paths: files and folders.
            patient: profile name, handle or address.
            category: for files whose kind doesn't tell.
            dry_run: read and split only.
            progress: called as progress(done, total, unit="records").

        Raises:
            InputError: a file can't be read as what it claims to be; nothing was published.
            AccessDeniedError: the patient hasn't paired with this hospital.
        """
        self._check_registered()
        who = self.network.resolve(patient, Role.PATIENT)
        pairing = self.pairing(who)
        records = [record for path in paths for record in read_source(Path(path), category)]
        if not records:
            raise UsageError("there is nothing to publish in what was named")
        journal = Journal(self.profile.folder / "journal.sqlite")
        try:
            with journal.exclusive():
                if not dry_run:
                    self._finish_pending(journal)
                new = [r for r in records if not journal.published(who.address, r.source_digest)]
                # The same file named twice in one call counts once as well.
                new = list({(r.source_digest, r.category, r.year, r.content): r for r in new}.values())
                if dry_run or not new:
                    return _report(new, len(records) - len(new), dry_run=dry_run)
                return self._publish(journal, pairing, new, len(records) - len(new), progress)
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

    def get(self, record_id: str) -> bytes:
        """A hospital can't open what it published.

        Raises:
            AccessDeniedError: always.
        """
        raise AccessDeniedError(
            f"{self.profile.handle} can't open record {record_id}: a hospital keeps no key to what it publishes",
            hint="ask the patient for a grant: a practitioner of the hospital runs panachain request",
        )

    def _publish(
        self,
        journal: Journal,
        pairing: Pairing,
        new: list[PlainRecord],
        skipped: int,
        progress: Progress | None,
    ) -> UploadReport:
        manifests = self.network.manifests_of(self.address)
        total = len(new)
        try:
            batch = publish.prepare(
                new,
                pairing=pairing,
                store=self.network.store,
                signer=self._seed.signer(),
                sequence=len(manifests) + 1,
                previous=CID(DAG_CBOR, manifests[-1]) if manifests else None,
                counters=journal.counters(pairing.patient, pairing.generation),
                at=int(time.time()),
                progress=None if progress is None else lambda done, _: progress(done, total, unit="records"),
            )
        except OSError as exc:
            raise DiskError(f"the records can't be stored: {exc.strerror}; nothing was published") from exc
        journal.prepare(
            patient=pairing.patient,
            generation=pairing.generation,
            manifest=str(batch.root),
            sequence=batch.sequence,
            records=batch.journal_records,
            sources=(record.source_digest for record in new),
            counters=batch.counters,
        )
        tx, gas = self._send(batch.root, len(batch.records))
        journal.mined(batch.sequence, tx)
        infos = tuple(
            _with_header(published.info, entry.header)
            for published, entry in zip(batch.records, batch.journal_records, strict=True)
        )
        return UploadReport(
            records=infos,
            skipped=skipped,
            plain_bytes=sum(info.size for info in infos),
            sealed_bytes=sum(published.sealed_size for published in batch.records),
            manifest_cid=str(batch.root),
            sequence=batch.sequence,
            tx=tx,
            gas=gas,
        )

    def _finish_pending(self, journal: Journal) -> None:
        """Send the storage transactions that an interrupted upload prepared, unless they are on chain already."""
        for batch in journal.pending():
            on_chain = {event.sequence: event for event in self.network.mainchain.storage_events(hospital=self.address)}
            mined = on_chain.get(batch.sequence)
            if mined is None:
                tx, _ = self._send(CID.parse(batch.manifest), batch.count)
            elif mined.manifest == CID.parse(batch.manifest).digest:
                tx = mined.tx_hash
            else:
                raise TransactionError(
                    f"storage transaction {batch.sequence} on chain has another manifest than this profile's journal",
                    hint="is the same hospital profile used on another machine?",
                )
            journal.mined(batch.sequence, tx)

    def _send(self, root: CID, count: int) -> tuple[str, int]:
        receipt = self.network.mainchain.store(self._sender(), root.digest, count)
        return receipt.tx_hash, receipt.gas_used


def _with_header(info: RecordInfo, header: str) -> RecordInfo:
    return replace(info, header_cid=header)


def _report(records: Sequence[PlainRecord], skipped: int, *, dry_run: bool) -> UploadReport:
    infos = tuple(
        RecordInfo(
            hospital=Address(""),
            category=record.category,
            year=record.year,
            media_type=record.media_type,
            size=len(record.content),
            digest=b"",
            stored_at=0,
            header_cid="",
            content_cid="",
            envelope_cid="",
            content_index=0,
            generation=0,
        )
        for record in records
    )
    return UploadReport(infos, skipped, sum(info.size for info in infos), 0, dry_run=dry_run)
