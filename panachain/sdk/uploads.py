"""Uploads: from files and folders to batches on chain.

Holds no key to what it publishes, and never more of a source than one record. Follows design section 8 (Publish) and
records/jitter.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from panachain.errors import DiskError, InputError, IntegrityError, Omission, alone
from panachain.model.actors import Address
from panachain.model.progress import Progress
from panachain.model.records import PlainRecord, RecordInfo
from panachain.model.scope import UNDATED, Category, Scope
from panachain.plain import count
from panachain.records.classify import Classified
from panachain.records.header import HospitalLane
from panachain.records.jitter import Delay, delay
from panachain.records.journal import Published
from panachain.records.likeness import of_record
from panachain.records.pairing import Pairing
from panachain.records.publish import BatchBuilder, BeginLists, Lists, lists_here
from panachain.records.sources import Source
from panachain.records.split import MEDIA_TYPE
from panachain.records.walk import spelled, unpublished
from panachain.sdk.batches import Batches, SentBatch
from panachain.sdk.changes import Changes
from panachain.sdk.coming import Coming
from panachain.sdk.kept_persons import KeptPersons, UnsureError
from panachain.sdk.results.uploads import ReadBack, UploadReport

_NO_RECORD: Final = "leave it out, or the option --strict; if it is one, name the file itself"
_NOTHING: Final = Published(frozenset(), {}, frozenset())
_Name = tuple[Address, bytes]
"""A patient, and what identifies a source."""


@dataclass
class Tally:
    """What an upload has done so far."""

    progress: Progress | None = None
    total: int = 0
    """Bytes of the sources."""
    done: int = 0
    """Bytes of the sources that were looked at."""
    taken: int = 0
    """Records that were read and not published before."""
    skipped: int = 0
    """Records that were published before."""
    unchanged: int = 0
    """Resources of other sources that were published before, as they are."""
    erased: int = 0
    """Resources and files that their patient wants published no more."""
    waiting: int = 0
    """Records that a later call publishes."""
    planned: list[RecordInfo] = field(default_factory=list)
    """Records of a dry run."""
    sent: list[SentBatch] = field(default_factory=list)
    named: dict[_Name, None] = field(default_factory=dict)
    """The sources, in their order, each once."""
    strict: bool = False
    """Whether a source that can't be published ends the upload."""
    unread: list[tuple[Source, InputError]] = field(default_factory=list)
    """Sources that can't be read or are about another person, each with the reason, without its path."""
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    """Paths of what is no record, each with what it is."""
    closed: list[tuple[str, str]] = field(default_factory=list)
    """Paths of documents that are closed as a whole, each with a section that closes it."""
    wordless: dict[str, None] = field(default_factory=dict)
    """Paths of sources with a record of which no word could be read, each once."""
    read_back: ReadBack | None = None
    of_patients: Counter[Address] = field(default_factory=Counter)
    """New records of each patient."""
    coming: Coming = field(default_factory=Coming)
    """Of whom further sources come."""

    @property
    def records(self) -> list[RecordInfo]:
        """The records that were published, or would be."""
        return self.planned + [record.info for one in self.sent for record in one.batch.records]

    @property
    def omissions(self) -> list[Omission]:
        """What was left out of the sources."""
        return [Omission("", spelled(source.path), error) for source, error in self.unread]

    def records_of(self, source: Source) -> Iterable[PlainRecord]:
        """Return a source's records; none of one that can't be read, which is noted and stops no other.

        Raises:
            InputError: it can't be read, and `strict` is set.
        """
        if self.strict:
            return self._noted(source)
        try:
            records = source.whole()
        except InputError as exc:
            self.leave_out(source, exc)
            return ()
        self._note(source)
        return records

    def _noted(self, source: Source) -> Iterator[PlainRecord]:
        yield from source.records()
        self._note(source)

    def _note(self, source: Source) -> None:
        self.closed += [(spelled(source.path), name) for name in source.closed_by]

    def leave_out(self, source: Source, error: InputError) -> None:
        """Note a source that can't be published, which stops no other.

        Args:
            source: the source.
            error: why, without its path.

        Raises:
            InputError: the same with its path, since `strict` is set.
        """
        if self.strict:
            raise unpublished(source.path, error)
        # A folder may be full of them: neither keeps its bytes, nor the frames that they went through.
        self.unread.append((source.without_bytes(), alone(error)))

    def check(self) -> None:
        """Check that there is anything to tell.

        Raises:
            InputError: nothing could be read.
        """
        if self.unread and not (self.records or self.skipped or self.waiting):
            source, error = self.unread[0]
            raise unpublished(source.path, error)

    def pass_over(self, source: Source, what: str) -> None:
        """Note a file that is no record.

        Raises:
            InputError: `strict` is set: whoever wants all or nothing wants no guess of what is a record.
        """
        if self.strict:
            raise unpublished(source.path, InputError(f"it is no record: {what}", hint=_NO_RECORD))
        self.passed_over.append((spelled(source.path), what))
        self.advance(source.on_disk)

    def skip(self, size: int, parts: int) -> None:
        """Count records that were published before, and the bytes of their source if all of it was."""
        self.skipped += parts
        self.advance(size)

    def take(self) -> None:
        """Count a record that was read."""
        self.taken += 1
        if self.progress is not None:
            self.progress(self.taken, 0, unit="records")

    def advance(self, size: int) -> None:
        """Count bytes of a source."""
        self.done += size
        if self.progress is not None:
            self.progress(self.done, self.total, unit="bytes")

    def report(self, *, estimate: int | None = None) -> UploadReport:
        """Return the report of the upload.

        Args:
            estimate: gas that a dry run would take; None for an upload that was sent.
        """
        on_chain = [one for one in self.sent if one.tx]
        last = on_chain[-1] if on_chain else None
        records = self.records
        return UploadReport(
            records=tuple(records),
            skipped=self.skipped,
            plain_bytes=sum(info.size for info in records),
            sealed_bytes=sum(record.sealed_size for one in self.sent for record in one.batch.records),
            manifest_cid=str(last.batch.root) if last else "",
            sequence=last.batch.sequence if last else 0,
            tx=last.tx if last else "",
            gas=sum(one.gas for one in self.sent) if estimate is None else estimate,
            transactions=tuple(one.tx for one in on_chain),
            dry_run=estimate is not None,
            waiting=self.waiting,
            unchanged=self.unchanged,
            erased=self.erased,
            read_back=self.read_back,
            omissions=tuple(self.omissions),
            passed_over=tuple(self.passed_over),
            closed=tuple(self.closed),
            wordless=tuple(self.wordless),
            of_patients={patient: count for patient, count in self.of_patients.items() if count},
        )


Explain = Callable[[Path, Classified], None]
"""Is told of each resource of a source's path: where it goes, and why."""


def explained(sources: Iterable[tuple[Source, Pairing]], explain: Explain) -> Iterator[tuple[Source, Pairing]]:
    """Yield sources, each once it is told where all that it holds goes, as `panachain classify` tells it.

    Args:
        sources: each with the pairing of its patient.
        explain: is told; of a source that can't be read nothing, since whoever reads it next says why.
    """
    for source, pairing in sources:
        found: list[Classified] = []
        with suppress(InputError):
            found = list(source.classified())
        for one in found:
            explain(source.path, replace(one, category=pairing.category_for(one.category)))
        yield source, pairing


def read_only(
    sources: Iterable[tuple[Source, Pairing]], batches: Batches, tally: Tally, *, now: int, persons: KeptPersons
) -> None:
    """Read and split sources as an upload would, and publish nothing.

    Args:
        sources: each with the pairing of its patient.
        batches: of the hospital.
        tally: counts what was read.
        now: Unix seconds.
        persons: check whose each source is, and keep nothing.

    Raises:
        InputError: a file can't be read as what it claims to be, or is about another person.
    """
    changes = Changes(batches.journal.resources, batches.resource_key)
    for source, pairing, known in _new(sources, batches, tally, persons, batches.journal.has_any):
        nameless = batches.journal.adopted.nameless(pairing.patient)
        changes.begin()
        for whole in _fitting(tally.records_of(source), pairing, now):
            change = changes.of(whole, pairing.patient, pairing.wishes)
            tally.unchanged += change.known
            tally.erased += change.erased
            new = [one for one in change.records if not (known.has(one) or (nameless and of_record(one) in nameless))]
            if not new:
                tally.skip(0, 1)
                continue
            if not _may_go(persons, tally, source):
                break
            tally.take()
            changes.published(change.resources)
            tally.planned += [_planned(one) for one in new]
            tally.of_patients[pairing.patient] += len(new)
        tally.advance(source.on_disk)


class _Known:
    """Tells which records of a source are published: by content, since the source may be cut in another way now."""

    def __init__(self, published: Published) -> None:
        self._parts = published.parts
        self._unlike = published.unlike
        self._left = Counter(published.likenesses)

    def __len__(self) -> int:
        return len(self._parts)

    def has(self, record: PlainRecord) -> bool:
        """Tell whether a record is in a batch, once for each time that it is.

        Raises:
            OSError: its file can't be read.
        """
        if not self._parts:
            return False
        if record.part in self._unlike:
            return True
        likeness = of_record(record)
        if not self._left[likeness]:
            return False
        self._left[likeness] -= 1
        return True


class Upload:
    """One upload, which the same call finishes after an interruption.

    1. Find sources, each with the pairing of the patient whom it is about, and pass over those that were published.
    2. Split each source into records, and pass over those that are in a batch, and resources that didn't change.
    3. Decide whether a record goes now or waits (records/jitter.py); a Bundle's attachments do what their Bundle does.
    4. Seal the record into a batch; a full batch is sent first.
    5. Write the batch into the journal, whole, before its transaction is signed.
    6. Send its transaction, which is in the journal before it is sent, and note in which block it is.
    """

    def __init__(
        self,
        batches: Batches,
        tally: Tally,
        persons: KeptPersons,
        *,
        jitter: int,
        now: int,
        delay: Delay = delay,
        lists: Lists = lists_here,
        begin_lists: BeginLists | None = None,
    ) -> None:
        """Take what an upload needs.

        Args:
            batches: of the hospital.
            tally: counts what is done.
            persons: check whose each source is, and keep it with what is published.
            jitter: seconds that a record waits at most.
            now: Unix seconds, one time for the whole round.
            delay: draws how long a record waits.
            lists: makes lists of words.
            begin_lists: as `BatchBuilder`.
        """
        self._batches = batches
        self._journal = batches.journal
        self._tally = tally
        self._persons = persons
        self._jitter = jitter
        self._now = now
        self._delay = delay
        self._lists = lists
        self._begin_lists = begin_lists
        self._changes = Changes(batches.journal.resources, batches.resource_key)
        self._builder: BatchBuilder | None = None
        self._done: list[_Name] = []
        """Sources of which the last record is in the batch that is being filled."""
        self._learned: set[Address] = set()
        """Patients whose records the journal knows, whichever machine published them."""
        self._claimed: set[Address] = set()
        """Those of them of whom it knows for each record from which source it is."""
        self._paths: dict[tuple[Address, Category, int, bool], list[tuple[Scope, HospitalLane]]] = {}
        """The lanes in which records lie, as far as they were looked for."""
        self._gone: set[Address] = set()
        """Patients of whom a record goes in this round."""

    def run(self, sources: Iterable[tuple[Source, Pairing]]) -> None:
        """Publish sources, batch by batch.

        Args:
            sources: each with its pairing; they went through the tally's `coming`, or nothing is finished early.

        Raises:
            InputError: a file can't be read as what it claims to be, or nobody can tell which of two patients' files
                is the wrong one; nothing of its batch was published.
            DiskError: the records can't be stored; nothing of the batch was published.
        """
        try:
            # 1. Find sources.
            has_any = self._batches.has_any
            passing = self._tally.coming.published(sources, self._complete)
            for source, pairing, known in _new(passing, self._batches, self._tally, self._persons, has_any):
                self._publish(source, pairing, known)
            self._send()
        except OSError as exc:
            raise DiskError(
                f"the records can't be stored: {exc.strerror}; nothing of this batch was published"
            ) from exc
        except InputError as exc:
            if self._tally.sent:
                published = len(self._tally.records)
                raise InputError(f"{exc} after {count(published, 'record')} of earlier batches", hint=exc.hint) from exc
            raise
        finally:
            if self._builder is not None:
                self._builder.close()

    def meanwhile(self) -> bool:
        """Do a piece of what is left to do of records that are sealed; return whether there was any."""
        return self._builder is not None and self._builder.finish_next()

    def _complete(self, patient: Address) -> None:
        """Note that all that is in this upload of a patient was added."""
        if self._builder is not None:
            self._builder.complete(patient)

    def _publish(self, source: Source, pairing: Pairing, known: _Known) -> None:
        """Do steps 2 to 6 for one source."""
        name = (pairing.patient, source.identity)
        goes, whole, before, taken = True, True, self._tally.skipped, self._tally.taken
        # 2. Split it.
        unread = len(self._tally.unread)
        self._changes.begin()
        for whole_record, leads in _with_leaders(_fitting(self._tally.records_of(source), pairing, self._now)):
            change = self._changes.of(whole_record, pairing.patient, pairing.wishes)
            self._tally.unchanged += change.known
            self._tally.erased += change.erased
            new = [one for one in change.records if not known.has(one)]
            claimed = [one for one in new if self._is_claimed(name, one)]
            if claimed:
                # The journal was lost: what its records hold is learned from their source again.
                self._journal.resources.learn(change.resources)
                new = [one for one in new if one not in claimed]
            if not new:
                self._tally.skip(0, 1)
                continue
            if not (_may_go(self._persons, self._tally, source) and self._has_lanes(new, pairing, source)):
                break
            self._tally.take()
            # 3. Decide whether the record goes, and with it what follows it.
            if leads:
                goes = self._goes(name, whole_record.part)
            if not goes:
                self._tally.waiting += 1
                whole = False
                continue
            # 4. Seal it. What follows a leader stays in its batch: a Bundle is read with its attachments.
            if leads and self._builder is not None and self._builder.full:
                self._send()
            if pairing.patient not in self._learned:
                self._batches.learn(pairing.patient)
                self._learned.add(pairing.patient)
            self._builder = self._builder or self._batches.begin(self._lists, self._begin_lists)
            for record in new:
                bundle = change.bundle if record is change.record else None
                wordless = self._builder.wordless
                path = self._paths[pairing.patient, record.category, record.year, record.emergency]
                self._builder.add(record, pairing, bundle, path=path)
                if self._builder.wordless > wordless:
                    self._tally.wordless[spelled(source.path)] = None
            self._tally.of_patients[pairing.patient] += len(new)
            if not claimed:
                self._changes.published(change.resources)
        self._tally.advance(source.on_disk)
        if self._tally.skipped > before and self._tally.taken == taken and len(self._tally.unread) == unread:
            self._persons.recognised()
        # A source of which a record waits, or that can't be published, isn't done: the next run must read it again.
        if whole and len(self._tally.unread) == unread:
            self._done.append(name)

    def _has_lanes(self, records: Sequence[PlainRecord], pairing: Pairing, source: Source) -> bool:
        """Tell whether records can be sealed to their patient's lanes; the source is left out if not, and no other.

        Raises:
            InputError: they can't, and `strict` is set.
        """
        try:
            for record in records:
                # A folder of documents asks this of each of thousands.
                asked = (pairing.patient, record.category, record.year, record.emergency)
                if asked not in self._paths:
                    self._paths[asked] = pairing.path(record.category, record.year, emergency=record.emergency)
        except IntegrityError as exc:
            self._tally.leave_out(source, InputError(f"it can't be sealed to its patient's keys: {exc}"))
            return False
        return True

    def _is_claimed(self, name: _Name, record: PlainRecord) -> bool:
        """Tell whether the record was published before the journal was lost, and note of which source it is."""
        if name[0] in self._claimed:
            return False
        if not self._journal.adopted.nameless(name[0]):
            if name[0] in self._learned:
                self._claimed.add(name[0])
            return False
        return self._journal.adopted.claim(name[0], of_record(record), source=name[1], part=record.part)

    def _goes(self, name: _Name, part: int) -> bool:
        """Tell whether a record's wait is over: one of each patient a round, unless it has waited the longest time."""
        if not self._jitter:
            return True
        drawn = self._now + self._delay(self._jitter)
        due, latest = self._journal.due(*name, part, due=drawn, latest=self._now + self._jitter)
        goes = due <= self._now and (name[0] not in self._gone or self._now >= latest)
        if goes:
            self._gone.add(name[0])
        return goes

    def _send(self) -> None:
        """Do steps 5 and 6 for the batch that is being filled, and note the sources that are published with it."""
        if self._builder is not None or self._done:
            # Before anything is on chain: what is published for a patient of whom nothing is kept looks like a loss.
            self._persons.keep()
        if self._builder is not None:
            sent = self._batches.send(self._builder, self._done, self._changes.take())
            self._tally.sent.append(sent)
            # Whoever changed lanes while they were sealed: Publishing tells what has to come again.
            self._tally.of_patients.subtract(sent.dropped)
        elif self._done:
            # All their records were in earlier batches.
            self._journal.finish_sources(self._done)
        self._builder, self._done = None, []


def _new(
    sources: Iterable[tuple[Source, Pairing]],
    batches: Batches,
    tally: Tally,
    persons: KeptPersons,
    has_any: Callable[[Address], bool],
) -> Iterator[tuple[Source, Pairing, _Known]]:
    """Yield the sources that aren't published yet, each with what of it is; `has_any` tells of whom anything is."""
    seen: set[_Name] = set()
    # Of whom the journal knew nothing at first: all that it knows of them since is of sources that were seen.
    are_new: dict[Address, bool] = {}
    for source, pairing in sources:
        name = (pairing.patient, source.identity)
        tally.named[name] = None
        if pairing.patient not in are_new:
            are_new[pairing.patient] = not batches.journal.sources.are_any(pairing.patient)
        is_new = are_new[pairing.patient]
        known = _Known(_NOTHING if is_new else batches.journal.published(*name))
        # The same file named twice in one call counts once as well.
        if name in seen or (not is_new and batches.journal.source_done(*name)):
            # One of which every record was erased since was published all the same.
            tally.skip(source.on_disk, len(known) or 1)
            continue
        seen.add(name)
        try:
            persons.check(source, pairing.about, partial(has_any, pairing.about))
        except UnsureError as exc:
            # To publish the first of them and leave the second one out could publish the wrong one.
            raise unpublished(source.path, exc) from None
        except InputError as exc:
            tally.leave_out(source, exc)
            tally.advance(source.on_disk)
        else:
            yield source, pairing, known


def _may_go(persons: KeptPersons, tally: Tally, source: Source) -> bool:
    """Tell whether a new record of a source may be published; the source is left out if not.

    Raises:
        InputError: it may not, and `strict` is set.
    """
    try:
        persons.publishes()
    except InputError as exc:
        tally.leave_out(source, exc)
        return False
    return True


def _fitting(records: Iterable[PlainRecord], pairing: Pairing, now: int) -> Iterator[PlainRecord]:
    """Yield records as they fit into the lanes of a pairing.

    Those of a year that is further away than the next one are UNDATED: such a date is a mistake. Of a ward those are
    passed over that go to the other lanes: the carer's, or the ward's own.
    """
    newest = datetime.fromtimestamp(now, UTC).year + 1
    for record in records:
        if pairing.takes is not None and record.category not in pairing.takes:
            continue
        category, year = pairing.category_for(record.category), record.year if record.year <= newest else UNDATED
        fits = (category, year) == (record.category, record.year)
        yield record if fits else replace(record, category=category, year=year)


def _with_leaders(records: Iterable[PlainRecord]) -> Iterator[tuple[PlainRecord, bool]]:
    """Yield each record of a source, and whether it leads: what follows a FHIR Bundle are its attachments."""
    fhir = False
    for record in records:
        fhir = fhir or record.media_type == MEDIA_TYPE
        yield record, not fhir or record.media_type == MEDIA_TYPE


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


def size_of(paths: Iterable[Path]) -> int:
    """Return the bytes of files and of what is below folders, as far as they can be looked at."""
    return sum(_sizes(paths))


def _sizes(paths: Iterable[Path]) -> Iterator[int]:
    for path in paths:
        if path.is_dir():
            yield from (item.stat().st_size for item in path.rglob("*") if item.is_file())
        elif path.is_file():
            yield path.stat().st_size
