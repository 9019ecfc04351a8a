"""Opening: from checked headers and their envelopes' keys to records that can be read.

Never hands out a record of an envelope from which its hospital left one out, and never stops at what one hospital did
wrong: that is left out, named, and told at the end. Nothing swells: what a record takes in full is known, and compared
with the settings, before it is unpacked. Follows design section 8 (Open, step 7) and security rule 22.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from panachain.config import Config
from panachain.crypto.commit import EnvelopeKey
from panachain.errors import IntegrityError, Omission, PanaChainError, PartlyDoneError, TooLargeError
from panachain.ipld.cid import CID
from panachain.model.progress import Progress
from panachain.model.scope import Category
from panachain.records.content import Content
from panachain.records.findings import Findings, Strict
from panachain.records.header import Header, wrap_at
from panachain.records.locate import check_envelope, content_of
from panachain.records.split import MEDIA_TYPE
from panachain.sdk.results.records import OpenedRecord, RecordProvenance
from panachain.storage.blocks import BlobStore


@dataclass
class Allowance:
    """How many bytes of plaintext an opening may come to."""

    record: int
    """For one record; a larger one is opened only if the store holds as much of it."""
    opening: int
    """For all records together."""
    taken: int = 0

    @classmethod
    def of(cls, config: Config) -> Allowance:
        """Return what the settings allow to one opening."""
        return cls(config.record_limit, config.opening_limit)

    def check(self, size: int, sealed: Callable[[], int]) -> None:
        """Check the size of a record, before it is opened.

        Args:
            size: bytes of all of it, everything unpacked and put back.
            sealed: returns how many bytes the store holds of it; asked only if it matters.

        Raises:
            TooLargeError: it is more than a record may have.
        """
        # What the store holds byte for byte swells nothing: an image of many gigabytes is one, a bomb isn't.
        if size > self.record and size > sealed():
            raise TooLargeError(
                f"it would take {size:,} bytes, and the setting `record_limit` allows {self.record:,}",
                size=size,
                limit=self.record,
            )

    def take(self, size: int) -> None:
        """Count bytes that are going to be opened.

        Raises:
            TooLargeError: they are more than what is left.
        """
        if self.taken + size > self.opening:
            raise TooLargeError(
                f"with its {size:,} bytes all records of this opening would have {self.taken + size:,}, and the setting"
                f" `opening_limit` allows {self.opening:,}",
                size=size,
                limit=self.opening,
            )
        self.taken += size


class Opening(Iterator[OpenedRecord]):
    """The records that an opening yields, each whole and checked, and what it had to leave out.

    At its end it raises what was left out, so that nobody who iterates can miss it: `PartlyDoneError` if some records
    were yielded, else the first failure itself.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     opening = doctor.open(next(doctor.inbox()))
        ...     records = list(opening)
        >>> len(records) > 0, opening.omissions
        (True, [])
    """

    def __init__(self, records: Callable[[Opening], Iterator[OpenedRecord]], progress: Progress | None = None) -> None:
        """Take what finds the records; nothing is done before the first is asked for.

        Args:
            records: yields them; is given this opening, for what it leaves out.
            progress: is told the records, of all that were found so far.
        """
        self.findings = Findings()
        self.found = 0
        """Records that were found so far; 0 where they aren't counted before they are opened."""
        self.delivered = 0
        """Records that were yielded."""
        self.withheld: tuple[Category, ...] = ()
        """Categories that an emergency summary leaves out by rule, whether or not there is anything in them; known once
        the first record was asked for."""
        self._progress = progress
        self._records = records(self)
        self._raised = False

    @property
    def omissions(self) -> list[Omission]:
        """What was left out so far: whose, what and why."""
        return self.findings.omissions

    @property
    def notices(self) -> list[Omission]:
        """What is odd, although nothing that could be found was left out: numbers that a hospital used twice."""
        return self.findings.notices

    def __iter__(self) -> Opening:
        """Return itself."""
        return self

    def __next__(self) -> OpenedRecord:
        """Return the next record.

        Raises:
            PartlyDoneError: after the last record, if something was left out.
        """
        try:
            record = next(self._records)
        except StopIteration:
            self._finish()
            raise
        self.delivered += 1
        if self._progress is not None:
            self._progress(self.delivered, self.found, unit="records")
        return record

    def leave_out(self, record: OpenedRecord, error: PanaChainError) -> None:
        """Note that a record which was yielded couldn't be read after all: its content is fetched when it is asked for.

        Args:
            record: which one.
            error: why.
        """
        self.delivered -= 1
        self.findings.left_out(record.info.hospital, f"record {record.info.header_cid}", error)

    def _finish(self) -> None:
        omissions = self.omissions
        if not omissions or self._raised:
            return
        self._raised = True
        if not self.delivered:
            raise omissions[0].named() from omissions[0].error
        raise PartlyDoneError.of(omissions, done=f"{self.delivered} records were opened")


class FormerHospital(Findings):
    """Findings at a hospital that the patient unpaired: what is whole is read, and what is broken matters no more."""

    def __init__(self, findings: Findings) -> None:
        """Take the findings of the opening."""
        super().__init__()
        self._findings = findings

    def left_out(self, hospital: str, what: str, error: PanaChainError) -> None:
        """Say it, and nothing else."""
        self._findings.notice(hospital, what, error)

    def notice(self, hospital: str, what: str, error: PanaChainError) -> None:
        """Say it."""
        self._findings.notice(hospital, what, error)


def envelope_wraps(store: BlobStore, headers: Sequence[Header], findings: Findings | None = None) -> dict[str, bytes]:
    """Return the wrap of each envelope that the headers of one lane need, by the envelope's CID.

    Args:
        store: where the envelopes are fetched.
        headers: of one lane.
        findings: is told which envelopes can't be had; without it the first one is an error.
    """
    findings = findings or Strict()
    wraps: dict[str, bytes] = {}
    tried: set[str] = set()
    for found in headers:
        cid = found.info.envelope_cid
        # All records of an envelope share one wrap, so a proxy is asked once for all of them.
        if cid not in tried:
            tried.add(cid)
            with findings.alone(found.info.hospital, f"envelope {cid}"):
                wraps[cid] = wrap_at(store.get_block(CID.parse(cid)), found.wrap_index)
    return wraps


def open_records(
    store: BlobStore,
    headers: Sequence[Header],
    envelope_keys: Mapping[str, bytes],
    allowance: Allowance,
    findings: Findings | None = None,
) -> Iterator[tuple[Header, OpenedRecord]]:
    """Yield each header with its record, in the order of the headers.

    Args:
        store: where the blocks are fetched.
        headers: of one lane, each envelope's all together.
        envelope_keys: by the envelope's CID; the headers of an envelope without a key are passed over.
        allowance: what is left for these records.
        findings: is told which envelopes and records are left out; without it the first one is an error.

    Raises:
        IntegrityError: a key isn't the committed one, or an envelope's records aren't complete.
        TooLargeError: a record is larger than the settings allow.
    """
    findings = findings or Strict()
    envelopes: dict[str, list[Header]] = defaultdict(list)
    for found in headers:
        envelopes[found.info.envelope_cid].append(found)
    keys: dict[str, EnvelopeKey] = {}
    for cid, members in envelopes.items():
        if cid not in envelope_keys:
            continue
        # All envelopes before the first record is handed out: a hospital that keeps one back is found out at once.
        with findings.alone(members[0].info.hospital, f"envelope {cid}"):
            key = EnvelopeKey(envelope_keys[cid])
            check_envelope(store, members, key)
            keys[cid] = key
    for found in headers:
        cid = found.info.envelope_cid
        if cid not in keys:
            continue
        with findings.alone(found.info.hospital, f"record {found.info.header_cid}"):
            content = content_of(store, found, keys[cid])
            allowance.check(found.info.size, content.sealed_size)
            allowance.take(found.info.size)
            bundle = found.info.media_type == MEDIA_TYPE
            attachments = _Attachments(store, envelopes[cid], keys[cid], allowance) if bundle else None
            yield (
                found,
                OpenedRecord(found.info, RecordProvenance(found.info.hospital), content, found.signature, attachments),
            )


@dataclass
class _Attachments:
    """The attachments of a Bundle: they lie beside it, under its envelope."""

    store: BlobStore
    members: Sequence[Header]
    key: EnvelopeKey = field(repr=False)
    allowance: Allowance
    counted: bool = False

    def size_of(self, digest: bytes) -> int:
        """Return the bytes of the attachment of a digest, as its header states them.

        Raises:
            IntegrityError: none of the envelope has it.
        """
        return self._find(digest).info.size

    def pieces(self, digest: bytes) -> Iterator[bytes]:
        """Yield the attachment of a digest in pieces."""
        return self._content(self._find(digest)).chunks()

    def allow(self, skeleton: Content, full: int, digests: Sequence[bytes]) -> None:
        """Check the size of the whole Bundle, before an attachment is fetched.

        Args:
            skeleton: the Bundle without its attachments.
            full: bytes of the Bundle with each attachment in each of its places.
            digests: of the attachments, each once.

        Raises:
            TooLargeError: it is more than the settings allow.
        """

        def sealed() -> int:
            parts = [self._content(self._find(digest)).sealed_size() for digest in digests]
            return skeleton.sealed_size() + sum(parts)

        self.allowance.check(full, sealed)
        # Read twice, it is still one record of the opening.
        if not self.counted:
            self.allowance.take(max(full - skeleton.size, 0))
            self.counted = True

    def _find(self, digest: bytes) -> Header:
        for found in self.members:
            # A Bundle is no attachment, also if its digest should be named.
            if found.info.digest == digest and found.info.media_type != MEDIA_TYPE:
                return found
        raise IntegrityError("a Bundle names an attachment that its hospital didn't publish with it")

    def _content(self, found: Header) -> Content:
        return content_of(self.store, found, self.key)
