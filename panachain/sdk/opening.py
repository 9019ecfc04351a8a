"""Opening: from checked headers and their envelopes' keys to records that can be read.

Never hands out a record of an envelope from which its hospital left one out, and never stops at what one hospital did
wrong: that is left out, named, and told at the end. Nothing swells: what a record takes in full is known, and compared
with the settings, before it is unpacked. Follows design section 8 (Open, step 7) and security rule 22.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from panachain.config import Config
from panachain.crypto.commit import EnvelopeKey
from panachain.errors import IntegrityError, Omission, PanaChainError, PartlyDoneError, TooLargeError, UsageError
from panachain.ipld.cid import CID
from panachain.model.actors import Address
from panachain.model.frozen import frozen
from panachain.model.progress import Progress
from panachain.model.records import STATEMENT, Past, Reason, RecordInfo
from panachain.model.scope import Category
from panachain.plain import were
from panachain.records import statements
from panachain.records.attachments import Restoring
from panachain.records.content import Content
from panachain.records.findings import LEFT_OUT, Findings, Strict
from panachain.records.header import Header, wrap_at
from panachain.records.inventory import Inventory
from panachain.records.life import Held, Life, Withdrawal
from panachain.records.locate import check_envelope, content_of
from panachain.records.split import MEDIA_TYPE
from panachain.records.statements import Statement
from panachain.records.versions import SAME_SIZE
from panachain.sdk.histories import histories
from panachain.sdk.results.records import (
    LeftBehind,
    OpenedRecord,
    RecordProvenance,
    ResourceHistory,
    WithdrawnRecord,
    cut,
)
from panachain.storage.ahead import Coming
from panachain.storage.blocks import BlobStore

if TYPE_CHECKING:
    from panachain.sdk.results.searches import SearchResult
    from panachain.sdk.results.summaries import PatientSummary
    from panachain.sdk.times import Moment
    from panachain.sdk.words import Categories
    from panachain.storage.blocks_beside import BlocksBeside


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
        ...     opening = doctor.open(next(one for one in doctor.inbox() if one.active))
        ...     records = list(opening)
        >>> len(records) > 0, opening.omissions
        (True, [])
    """

    def __init__(
        self,
        records: Callable[[Opening], Iterator[OpenedRecord]],
        progress: Progress | None = None,
        *,
        history: bool = False,
        searcher: Callable[..., SearchResult] | None = None,
    ) -> None:
        """Take what finds the records; nothing is done before the first is asked for.

        Args:
            records: yields them; is given this opening, for what it leaves out.
            progress: is told the records, of all that were found so far.
            history: whether what doesn't count any more is yielded as well.
            searcher: does what `search` says.
        """
        self._searcher = searcher
        self.findings = Findings()
        self.history = history
        """Whether each record is yielded as it was published, also what was superseded since."""
        self.life = Life()
        """Which version of each resource counts."""
        self.past: Counter[str] = Counter()
        """How much was left out because it doesn't count any more, so far, by the fields of `LeftBehind`."""
        self.withdrawn: list[WithdrawnRecord] = []
        """Records that their hospitals withdrew, so far; they are never yielded."""
        self.receipts: dict[tuple[Address, int], bytes] = {}
        """What proxies signed of it so far: proxy and place in its log, and the hash of the leaf there, 32 bytes."""
        self._kept: list[OpenedRecord] = []
        self.found = 0
        """Records that were found so far; 0 where they aren't counted before they are opened."""
        self.delivered = 0
        """Records that were yielded."""
        self.withheld: tuple[Category, ...] = ()
        """Categories that an emergency summary leaves out by rule, whether or not there is anything in them; known once
        the first record was asked for."""
        self.readable: frozenset[Category] = frozenset(Category)
        """Categories all of whose records it can yield; known once the first record was asked for."""
        self.names: Callable[[str], str] = lambda address: address
        """Gives what a hospital's address is called."""
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

    @property
    def behind(self) -> LeftBehind:
        """What was left out so far because it doesn't count any more."""
        return LeftBehind(**self.past)

    def histories(self) -> list[ResourceHistory]:
        """Return the resources that have several versions, or none that counts; with `history`, at the end.

        Raises:
            IntegrityError: a record that was yielded can't be read.
        """
        return histories(self.life.histories(), self._kept)

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
        if self.history and record.listed is not None:
            self._kept.append(record)
        if self._progress is not None:
            self._progress(self.delivered, self.found, unit="records")
        return record

    def summary(self, *, now: float) -> PatientSummary:
        """Return a patient summary of all records: an International Patient Summary, as a document of FHIR R4.

        What couldn't be opened or read is named by its `omissions`, and in the document.

        Args:
            now: Unix seconds, by which what is over is told from what isn't.

        Raises:
            UsageError: records were taken already.
            PanaChainError: none could be opened.
        """
        # Imported here: most openings summarize nothing.
        from panachain.sdk.summaries import summarized

        if self.delivered:
            raise UsageError("records of this opening were taken already: a summary needs all of them")
        return summarized(
            self, withheld=lambda: self.withheld, readable=lambda: self.readable, names=self.names, now=now
        )

    def search(
        self,
        words: str | Iterable[str],
        *,
        categories: Categories = (),
        since: Moment | None = None,
        until: Moment | None = None,
        limit: int | None = None,
        languages: str | Iterable[str] = (),
    ) -> SearchResult:
        """Return which of the records have some words, without opening any.

        The answer is complete, authentic and fresh: it goes the way of an opening up to the records themselves. What
        the words are looked up in is sealed as the records are. So a practitioner's first search of a session asks the
        proxies for its keys, and the patient's log tells of it; where the words are looked up, nobody else sees.

        Args:
            words: one line, or words that are parted already; all of them must be in one entry of a record. A phrase
                stands in quotation marks, `gluc*` is a beginning, `glucose>126` a number, `loinc|2345-7` a code.
            categories: only records of these.
            since: only records stored at or after this time; a `timedelta` counts back from now.
            until: only records stored before this time.
            limit: the result names so many records at most; None for 1,000.
            languages: whose plurals count at all hospitals, such as `de`. English and those that a hospital's own
                records show count anyway.

        Raises:
            UsageError: nothing can be looked for by these words, or a language isn't known.
            AccessDeniedError: revoked, expired, not yet, suspended, no member of the group, or granted to another.
            IntegrityError: a part of all that there is doesn't fit, and nothing is left.
            ProxiesUnavailableError: fewer proxies than the threshold gave a good answer.

        Examples:
            >>> with connect("doctor", role="practitioner") as doctor:
            ...     found = doctor.open(next(one for one in doctor.inbox() if one.active)).search("glucose")
            >>> [record.category for record in found.records]
            ['laboratory']
            >>> with connect("me", role="patient") as patient:
            ...     found = patient.records().search("glucose")
            >>> found.total
            1
        """
        if self._searcher is None:
            raise UsageError("this opening can't be searched")
        wanted = {"categories": categories, "since": since, "until": until, "limit": limit, "languages": languages}
        return self._searcher(words, **wanted)

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
        raise PartlyDoneError.of(omissions, done=f"{were(self.delivered, 'record')} opened")


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


def unmasked(
    headers: Sequence[Header],
    messages: Mapping[str, bytes],
    pepper: bytes,
    findings: Findings,
    *,
    told_by: str = "",
) -> dict[str, bytes]:
    """Return the envelope key in each message that a wrap held, by the envelope's CID.

    Args:
        headers: of one lane of one hospital.
        messages: by the envelope's CID; those without a header are passed over.
        pepper: of that lane, that hospital's own, 32 bytes.
        findings: is told which wraps hold another key than their hospital committed to.
        told_by: handle of the patient whose terms say the pepper: they may have told the hospital another one. Empty
            for the patient themselves.
    """
    found: dict[str, bytes] = {}
    # The first header of an envelope speaks for all: `check_envelope` sees to it that they state one commitment.
    for cid, one in {one.info.envelope_cid: one for one in reversed(headers)}.items():
        if cid in messages:
            with findings.alone(one.info.hospital, f"envelope {cid}"):
                try:
                    found[cid] = EnvelopeKey.unmasked(messages[cid], pepper=pepper, commitment=one.commitment).key
                except IntegrityError as exc:
                    # Only these two know which pepper the hospital was told.
                    other = f"; or {told_by} told the hospital another pepper than the terms" if told_by else ""
                    raise IntegrityError(f"{exc}{other}") from exc
    return found


@dataclass
class Checked:
    """Headers of one lane of one hospital whose envelopes are open and whole."""

    store: BlobStore
    findings: Findings
    headers: list[Header] = field(default_factory=list)
    """In their order, each envelope's all."""
    envelopes: dict[str, list[Header]] = field(default_factory=dict)
    """The members of each envelope, by its CID."""
    keys: dict[str, EnvelopeKey] = field(default_factory=dict, repr=False)
    inventories: dict[str, Inventory] = field(default_factory=dict)

    def content(self, found: Header, coming: Coming | None = None) -> Content:
        """Return the content of one of the headers, which `coming` fetches along with others."""
        return content_of(self.store, found, self.keys[found.info.envelope_cid], coming)


def check_envelopes(
    store: BlobStore,
    headers: Sequence[Header],
    envelope_keys: Mapping[str, bytes],
    findings: Findings | None = None,
    life: Life | None = None,
) -> Checked:
    """Open the envelopes of some headers as far as it takes to know what is in them.

    Args:
        store: where the blocks are fetched.
        headers: of one lane, each envelope's all together.
        envelope_keys: by the envelope's CID; the headers of an envelope without a key are passed over.
        findings: is told which envelopes are left out; without it the first one is an error.
        life: is told which resources are in the records.

    Raises:
        IntegrityError: a key isn't the committed one, or an envelope's records aren't complete.
    """
    checked = Checked(store, findings or Strict())
    envelopes: dict[str, list[Header]] = defaultdict(list)
    for found in headers:
        envelopes[found.info.envelope_cid].append(found)
    for cid, members in envelopes.items():
        if cid not in envelope_keys:
            continue
        # All envelopes before the first record is handed out: a hospital that keeps one back is found out at once.
        with checked.findings.alone(members[0].info.hospital, f"envelope {cid}"):
            key = EnvelopeKey(envelope_keys[cid])
            listed = check_envelope(store, members, key)
            if life is not None:
                _hold(life, members, listed)
                _hear(life, checked, members, key, listed.sequence)
            checked.keys[cid], checked.envelopes[cid], checked.inventories[cid] = key, members, listed
    checked.headers = [found for found in headers if found.info.envelope_cid in checked.keys]
    return checked


def _hold(life: Life, members: Sequence[Header], listed: Inventory) -> None:
    for found in members:
        versions = listed.lists.get(found.info.content_index)
        if versions is not None and found.info.media_type != MEDIA_TYPE:
            raise IntegrityError("its inventory lists resources in what isn't FHIR")
        if versions is not None:
            info = found.info
            life.hold(Held(info.hospital, info.header_cid, info.content_cid, listed.sequence, versions))


def _hear(life: Life, checked: Checked, members: Sequence[Header], key: EnvelopeKey, sequence: int) -> None:
    """Take the statements of an envelope into account; one that can't be read is left out and told."""
    for found in members:
        info = found.info
        if info.media_type != STATEMENT:
            continue
        with checked.findings.alone(info.hospital, f"statement {info.header_cid}"):
            if info.size > statements.MAX_SIZE:
                raise IntegrityError(f"a statement of {info.size:,} bytes, at most {statements.MAX_SIZE:,} are read")
            said = Statement.decode(content_of(checked.store, found, key).read())
            if said.reason is not None:
                contents = frozenset(map(str, said.withdraws))
                life.withdraw(Withdrawal(info.hospital, info.header_cid, info.stored_at, said.reason, contents))
            life.hear(info, said)
            order = sequence, info.content_index
            life.tell(info.hospital, info.header_cid, info.content_cid, order, said.newer)


def open_checked(
    checked: Checked,
    allowance: Allowance,
    current: Current | None = None,
    provenance: Callable[[Header], RecordProvenance] | None = None,
    beside: BlocksBeside | None = None,
) -> Iterator[tuple[Header, OpenedRecord]]:
    """Yield each header with its record, in the order of the headers.

    Args:
        checked: the headers.
        allowance: what is left for these records.
        current: leaves out what doesn't count any more; without it all is yielded as it was published.
        provenance: says where the records of one hospital come from; without it only the hospital is told.
        beside: reads their content ahead, where there is much of it.

    Raises:
        IntegrityError: a record isn't what its hospital committed to.
        TooLargeError: a record is larger than the settings allow.
    """
    # A statement was heard, and nobody asked for it as a record.
    headers = [found for found in checked.headers if found.info.media_type != STATEMENT]
    coming = Coming(checked.store, (found.content for found in headers), beside)
    known: dict[Address, RecordProvenance] = {}
    for found in headers:
        info = found.info
        cid, hospital = info.envelope_cid, info.hospital
        if hospital not in known:
            known[hospital] = RecordProvenance(hospital) if provenance is None else provenance(found)
        try:
            content = checked.content(found, coming)
            attachments = None
            if info.media_type == MEDIA_TYPE:
                attachments = _Attachments(checked.store, checked.envelopes[cid], checked.keys[cid], allowance)
            listed = checked.inventories[cid].lists.get(info.content_index)
            record = frozen(
                OpenedRecord,
                info=info,
                provenance=known[hospital],
                source=content,
                signature=found.signature,
                attachments=attachments,
                listed=listed,
                places=None,
                past=(),
                also_from=(),
            )
            chosen = record if current is None else current.of(record, checked)
            if chosen is None:
                continue
            allowance.check(info.size, content.sealed_size)
            allowance.take(info.size)
            if current is not None:
                current.confirm(chosen)
        except LEFT_OUT as exc:
            checked.findings.left_out(hospital, f"record {info.header_cid}", exc)
            continue
        yield found, chosen


class Current:
    """Leaves out of records what doesn't count any more, and what another hospital's record holds as it is."""

    def __init__(self, opening: Opening) -> None:
        """Take the opening, which is told what is left out; its `life` is settled."""
        self._life = opening.life
        self._past = opening.past
        self._withdrawn = opening.withdrawn
        self._history = opening.history
        self._delivered: set[tuple[str, bytes]] = set()
        """Name and fingerprint of what several hospitals hold and can be read in a record that is delivered."""
        self._held: set[tuple[str, bytes]] = set()
        """The same of the record that was looked at last."""
        self._unwanted: dict[str, set[bytes]] = {}
        """Digests of the attachments of each envelope that only what is left out names."""
        # There is no header of theirs that an opening could come to.
        self._withdrawn += erased_in(opening.life)

    def of(self, record: OpenedRecord, checked: Checked) -> OpenedRecord | None:
        """Return what of a record counts; None if nothing does."""
        info = record.info
        self._held = set()
        withdrawal = self._life.withdrawal(info.hospital, info.content_cid)
        if withdrawal is not None:
            if withdrawal.reason is not Reason.ERASED:
                self._withdrawn.append(_withdrawn(info, withdrawal))
            return None
        if record.attachments is None:
            if info.digest and info.digest in self._unwanted_of(info.envelope_cid, checked):
                self._past["attachments"] += 1
                return None
            return record
        if record.listed is None or self._history:
            return record
        shown = self._life.of(info.header_cid)
        if not shown.matters:
            # A list that decides about nothing needn't be compared with its record, which takes longer than to open it.
            return replace(record, listed=None)
        past = dict(shown.past)
        versions = record.listed.versions
        if shown.doubles:
            # What is kept back for another hospital's must be the same: a list could lie.
            record.checked_bundle()
            for place in shown.doubles:
                same = versions[place].name, versions[place].print[:SAME_SIZE]
                if same in self._delivered:
                    past[place] = Past.SAME
                else:
                    self._held.add(same)
        for why in past.values():
            self._past[why.value] += 1
        places = tuple(place for place in range(len(versions)) if place not in past)
        if not places:
            return None
        also = {hospital for place, others in shown.doubles.items() if place not in past for hospital in others}
        return replace(
            record,
            places=places if past else None,
            past=tuple(past[place] for place in sorted(past)),
            also_from=tuple(sorted(also)),
        )

    def confirm(self, record: OpenedRecord) -> None:
        """Keep other hospitals' entries back for a record that is delivered, once all of it could be read.

        Raises:
            IntegrityError: a byte of it, or of its attachments, doesn't fit or isn't there.
            TooLargeError: with its attachments it is larger than the settings allow.
        """
        if self._held:
            # Whoever publishes what another hospital did, and breaks it, mustn't keep the other one's back.
            for _ in record.chunks():
                pass
            self._delivered |= self._held

    def _unwanted_of(self, cid: str, checked: Checked) -> set[bytes]:
        """Return the digests of the attachments of an envelope that nothing names any more which counts."""
        if cid not in self._unwanted:
            wanted, unwanted = set[bytes](), set[bytes]()
            lists = checked.inventories[cid].lists
            gone = [
                found
                for found in checked.envelopes[cid]
                if self._is_withdrawn(found) or (not self._history and self._life.of(found.info.header_cid).past)
            ]
            for found in checked.envelopes[cid] if gone else ():
                if found.info.content_index in lists:
                    past = {} if self._history else self._life.of(found.info.header_cid).past
                    try:
                        whole = self._is_withdrawn(found)
                        _attached(checked.content(found), None if whole else past, wanted, unwanted)
                    except LEFT_OUT:
                        # It is left out by itself, and said to be; what it names is nobody's.
                        continue
            self._unwanted[cid] = unwanted - wanted
        return self._unwanted[cid]

    def _is_withdrawn(self, found: Header) -> bool:
        return self._life.withdrawal(found.info.hospital, found.info.content_cid) is not None


def _attached(content: Content, past: Mapping[int, Past] | None, wanted: set[bytes], unwanted: set[bytes]) -> None:
    """Add the digests that a record's entries name to those that are wanted, or not.

    Args:
        content: of the record.
        past: the entries that don't count any more; None for all of them.
        wanted: digests that something names which counts.
        unwanted: digests that something else names.
    """
    bundle = cut(content)
    for place, entry in enumerate(bundle.entries if bundle else ()):
        names = unwanted if past is None or place in past else wanted
        names.update(Restoring(entry.text, lambda _: 0).digests)


def erased_in(life: Life) -> list[WithdrawnRecord]:
    """Return the records that their hospitals say they erased, the latest last."""
    found = [
        WithdrawnRecord(
            record_id=one.record,
            hospital=hospital,
            category=one.category.value,
            year=one.year,
            stored_at=one.stored_at,
            withdrawn_at=one.at,
            reason=Reason.ERASED.value,
            attested_at=life.attested.get((hospital, content), 0),
        )
        for (hospital, content), one in life.erased.items()
    ]
    return sorted(found, key=lambda one: (one.withdrawn_at, one.record_id))


def _withdrawn(info: RecordInfo, withdrawal: Withdrawal) -> WithdrawnRecord:
    return WithdrawnRecord(
        record_id=info.header_cid,
        hospital=info.hospital,
        category=info.category.value,
        year=info.year,
        stored_at=info.stored_at,
        withdrawn_at=withdrawal.at,
        reason=withdrawal.reason.value,
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
