"""Uploading: what was dropped into the portal is read first, looked at, and published only then.

Counts what a reading finds instead of keeping it: a page about a million resources is as small as one about ten.
Knows no page and no request. Follows docs/spec/portal.md, section "Uploads", docs/spec/persons.md and ADR 41.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from panachain.errors import AccessDeniedError, PanaChainError, PartlyDoneError, UsageError
from panachain.model.actors import Address, Role
from panachain.model.progress import Progress
from panachain.model.scope import RESTRICTED, UNDATED, Category
from panachain.plain import line
from panachain.portal.staging import Staged
from panachain.records.sensitivity.kinds import kinds

if TYPE_CHECKING:
    from panachain.portal.jobs import Job
    from panachain.records.classify import Classified
    from panachain.sdk.hospital import Hospital
    from panachain.sdk.results.uploads import UploadReport

SHOWN: Final = 200
"""Lines of each list on a page; of the others it is told how many there are."""
_ASKED: Final = "--confirm-patient"
"""What the hint of a doubt about the person names."""
MOST_NAMED: Final = 1_000
"""Persons of an export that somebody can name on the page."""
HELD: Final = 4
"""Uploads of one session that wait for a decision; the oldest gives way to a new one."""


@dataclass(frozen=True)
class Choice:
    """What whoever uploads says of the files."""

    patient: str = ""
    """Whose they are: profile name, contact, handle or address, of a preview the address; empty for an export of many
    patients."""
    category: str = ""
    """Of files whose content doesn't tell; empty if nobody says."""
    named: tuple[tuple[str, str], ...] = ()
    """Patients by what means them in an export: (`Patient/ID`, patient), of a preview by their addresses."""
    sure: bool = False
    """Whether somebody looked and says that a doubtful file is this patient's."""

    @property
    def many(self) -> bool:
        """Whether each resource goes to whom it is about."""
        return not self.patient

    @property
    def text(self) -> str:
        """The named persons as lines, as `read_named` takes them."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(self.named)
        return text.getvalue()


@dataclass(frozen=True)
class Sensitive:
    """A resource that is closed, or of a kind that may be, and why."""

    file: str
    resource: str
    category: str
    restricted: bool
    emergency: bool
    kinds: tuple[str, ...]
    """In words."""
    why: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """What goes into one category."""

    category: str
    restricted: bool
    resources: int
    records: int
    years: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class Doubt:
    """What is left out, and why."""

    what: str
    why: str
    person: bool
    """Whether it may be another person's: then somebody who looked can say that it isn't."""


@dataclass(frozen=True)
class Preview:
    """What a dry run found."""

    upload: str
    """Name of the upload."""
    mark: str
    """Stands for what was read and how: what is confirmed is this."""
    choice: Choice
    files: int
    size: int
    groups: tuple[Group, ...] = ()
    sensitive: tuple[Sensitive, ...] = ()
    more_sensitive: int = 0
    patients: tuple[tuple[Address, int], ...] = ()
    """Whose the records are."""
    doubts: tuple[Doubt, ...] = ()
    more_doubts: int = 0
    unassigned: tuple[tuple[str, int], ...] = ()
    passed_over: tuple[tuple[str, str], ...] = ()
    closed: tuple[tuple[str, str], ...] = ()
    unread: tuple[str, ...] = ()
    """What nobody looked at."""
    hidden: int = 0
    known: int = 0
    """Records that were published before."""
    unchanged: int = 0
    gas: int = 0
    stopped: str = ""
    """Why nothing can be published at all; empty if something can."""

    @property
    def records(self) -> int:
        """How many records would be published."""
        return sum(group.records for group in self.groups)

    @property
    def persons(self) -> bool:
        """Whether a doubt is about the person, which somebody may settle."""
        return not self.choice.many and any(doubt.person for doubt in self.doubts)


@dataclass(frozen=True)
class Published:
    """What was published."""

    records: int
    patients: tuple[tuple[Address, int], ...]
    plain_bytes: int
    sealed_bytes: int
    known: int
    unchanged: int
    waiting: int
    transactions: tuple[str, ...]
    gas: int
    doubts: tuple[Doubt, ...] = ()
    read_back: int = 0
    """Records that were read back as their patients would; 0 if nobody asked for it."""


@dataclass
class Upload:
    """Files that wait for a decision."""

    staged: Staged
    choice: Choice
    """Of the last reading, or of the first one where none has begun."""
    preview: Preview | None = None
    """What the last reading found; None while there is none, or another one runs."""
    work: Job | None = None
    """What was begun with it last."""

    @property
    def busy(self) -> bool:
        """Whether a reading or a publishing waits or runs: then no other one is begun."""
        return self.work is not None and self.work.running


class Uploads:
    """Those of one session."""

    def __init__(self) -> None:
        """Begin with none."""
        self._held: dict[str, Upload] = {}

    def add(self, upload: Upload) -> None:
        """Hold one more; the oldest one gives way."""
        self._held[upload.staged.name] = upload
        while len(self._held) > HELD:
            self.drop(next(iter(self._held)))

    def get(self, name: str) -> Upload:
        """Return the one of this name.

        Raises:
            UsageError: it is gone: published, given up, or locked away.
        """
        try:
            return self._held[name]
        except KeyError:
            raise UsageError(
                "these files aren't kept any more; nothing was published now", hint="upload them again"
            ) from None

    def all(self) -> list[Upload]:
        """Return all, the newest first."""
        return list(reversed(self._held.values()))

    def drop(self, name: str) -> None:
        """Remove one with its files; one that isn't there is none."""
        if (upload := self._held.pop(name, None)) is not None:
            upload.staged.close()

    def close(self) -> None:
        """Remove all."""
        for name in list(self._held):
            self.drop(name)


def read_named(text: str) -> tuple[tuple[str, str], ...]:
    """Return whom lines such as `Patient/7,pat-…` name.

    Raises:
        UsageError: a line is no such one.
    """
    found: dict[str, str] = {}
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text)), start=1):
            if not row or not "".join(row).strip():
                continue
            if len(row) != 2 or not all(part.strip() for part in row) or row[0].strip() in found:
                raise UsageError(f"line {number} of the names isn't one like Patient/7,PATIENT, or names one twice")
            found[row[0].strip()] = row[1].strip()
    except csv.Error:
        raise UsageError("the names aren't lines like Patient/7,PATIENT") from None
    if len(found) > MOST_NAMED:
        raise UsageError(f"at most {MOST_NAMED:,} persons can be named here", hint="panachain upload --by-patient")
    return tuple(found.items())


def read(hospital: Hospital, progress: Progress, uploads: Uploads, name: str, choice: Choice) -> Preview:
    """Read what was dropped as an upload would, and publish nothing.

    Whatever stands in the way of all of it is told by the preview, if another choice could mend it; anything else ends
    with an error, and the files are gone. What is found counts for this choice, whatever is chosen meanwhile. Names are
    looked up here and never again: the preview has addresses in their place, by which `publish` goes.
    """
    upload = uploads.get(name)
    upload.choice, upload.preview = choice, None
    with _ending(uploads, upload):
        seen = _Seen(upload.staged)
        try:
            upload.choice = choice = _meant(hospital, choice)
            report, omissions = _run(
                hospital, upload.staged, choice, dry_run=True, explain=seen.take, progress=progress
            )
        except (UsageError, AccessDeniedError) as exc:
            # Another choice may mend it: another patient, another category, or that somebody looked.
            doubt = Doubt("", line(upload.staged.shown(str(exc))), person=_ASKED in exc.hint)
            upload.preview = seen.preview(choice, stopped=doubt)
            return upload.preview
        upload.preview = seen.preview(choice, report, [_doubt(upload.staged, one) for one in omissions])
        return upload.preview


def publish(
    hospital: Hospital, progress: Progress, uploads: Uploads, name: str, mark: str, *, verify: bool = False
) -> Published:
    """Publish what was dropped and read; the files are gone after it, whatever comes of it.

    Args:
        hospital: publishes.
        progress: is told how far it is.
        uploads: hold the files.
        name: of the upload.
        mark: of the reading that somebody saw and confirmed. It is compared here, where nothing else is done with the
            files, and not only when the work was begun.
        verify: whether to read back what was published.

    Raises:
        UsageError: they were read in another way since, and wait for a decision about that; or nothing can be published
            as they were read.
    """
    upload = uploads.get(name)
    if upload.preview is not None and upload.preview.mark != mark:
        raise UsageError(
            "the files were read in another way since; nothing was published", hint="look at what was read last"
        )
    try:
        with _ending(uploads, upload):
            if upload.preview is None:
                raise UsageError("these files weren't looked at yet; nothing was published")
            if upload.preview.stopped:
                raise UsageError("nothing can be published of these files as they were read")
            choice = upload.preview.choice
            report, omissions = _run(hospital, upload.staged, choice, dry_run=False, verify=verify, progress=progress)
    finally:
        uploads.drop(name)
    return Published(
        records=len(report.records),
        patients=_counted(report.of_patients),
        plain_bytes=report.plain_bytes,
        sealed_bytes=report.sealed_bytes,
        known=report.skipped,
        unchanged=report.unchanged,
        waiting=report.waiting,
        transactions=report.transactions,
        gas=report.gas,
        doubts=tuple(_doubt(upload.staged, one) for one in omissions)[:SHOWN],
        read_back=report.read_back.records if report.read_back else 0,
    )


@contextmanager
def _ending(uploads: Uploads, upload: Upload) -> Iterator[None]:
    """Keep the files while something is done with them; an error removes them, and tells paths as they were dropped."""
    try:
        with upload.staged.in_use():
            yield
    except PanaChainError as exc:
        exc.args = (upload.staged.shown(str(exc)), *exc.args[1:])
        uploads.drop(upload.staged.name)
        raise
    except BaseException:
        uploads.drop(upload.staged.name)
        raise


def _meant(hospital: Hospital, choice: Choice) -> Choice:
    """Return a choice with the addresses of those whom its names mean now."""
    if choice.many:
        found = hospital.network.resolver.resolve_many([who for _, who in choice.named], Role.PATIENT)
        named = tuple((what, actor.address) for (what, _), actor in zip(choice.named, found, strict=True))
        return replace(choice, named=named)
    return replace(choice, patient=hospital.network.resolve(choice.patient, Role.PATIENT).address)


def _run(hospital: Hospital, staged: Staged, choice: Choice, **how: Any) -> tuple[UploadReport, list[Any]]:
    """Return the report of an upload, and what it left out."""
    if not staged.files:
        raise UsageError("no file was dropped; nothing was published", hint="choose files or a folder")
    category = Category.parse(choice.category) if choice.category else None
    how |= {"category": category, "copies": staged.copies}
    try:
        if choice.many:
            return hospital.upload_each(staged.paths, dict(choice.named), **how), []
        assigned = [(path, choice.patient) for path in staged.paths]
        return hospital.upload_many(assigned, **how, confirm_patient=choice.sure), []
    except PartlyDoneError as exc:
        report: Any = exc.result
        if report is None:
            raise
        return report, list(exc.omissions)


def _doubt(staged: Staged, omission: Any) -> Doubt:
    error = omission.error
    return Doubt(
        line(staged.shown(omission.what)), line(staged.shown(str(error))), person=_ASKED in getattr(error, "hint", "")
    )


def _counted(of_patients: Mapping[Address, int]) -> tuple[tuple[Address, int], ...]:
    return tuple(sorted(of_patients.items(), key=lambda one: (-one[1], one[0]))[:SHOWN])


@dataclass
class _Seen:
    """What a dry run told of the resources, counted."""

    staged: Staged
    resources: Counter[str] = field(default_factory=Counter)
    sensitive: list[Sensitive] = field(default_factory=list)
    more: int = 0
    unread: set[str] = field(default_factory=set)

    def take(self, path: Path, one: Classified) -> None:
        """Take one resource."""
        self.resources[one.category.value] += 1
        self.unread.update(one.unread)
        if one.category not in RESTRICTED and not one.kinds:
            return
        if len(self.sensitive) >= SHOWN:
            self.more += 1
            return
        known = kinds()
        self.sensitive.append(
            Sensitive(
                file=line(self.staged.shown(str(path))),
                resource=line(one.resource),
                category=one.category.value,
                restricted=one.category in RESTRICTED,
                emergency=one.emergency,
                kinds=tuple(known[code].display if code in known else line(code) for code in one.kinds),
                why=tuple(map(line, one.why[:5])),
            )
        )

    def preview(
        self,
        choice: Choice,
        report: UploadReport | None = None,
        doubts: list[Doubt] | None = None,
        *,
        stopped: Doubt | None = None,
    ) -> Preview:
        """Return what was seen."""
        told = [stopped] if stopped is not None else doubts or []
        made = Preview(
            upload=self.staged.name,
            mark="",
            choice=choice,
            files=self.staged.files,
            size=self.staged.size,
            sensitive=tuple(self.sensitive),
            more_sensitive=self.more,
            doubts=tuple(told[:SHOWN]),
            more_doubts=max(0, len(told) - SHOWN),
            unread=tuple(sorted(self.unread)),
            hidden=self.staged.hidden,
            stopped=stopped.why if stopped is not None else "",
        )
        if report is not None:
            shown: Callable[[tuple[str, str]], tuple[str, str]] = lambda pair: (  # noqa: E731
                line(self.staged.shown(pair[0])),
                line(pair[1]),
            )
            made = replace(
                made,
                groups=self._groups(report),
                patients=_counted(report.of_patients),
                unassigned=tuple((line(why), count) for why, count in report.unassigned.items()),
                passed_over=tuple(map(shown, report.passed_over[:SHOWN])),
                closed=tuple(map(shown, report.closed[:SHOWN])),
                known=report.skipped,
                unchanged=report.unchanged,
                gas=report.gas,
            )
        return replace(made, mark=hashlib.sha256(repr(made).encode("utf-8", "replace")).hexdigest()[:32])

    def _groups(self, report: UploadReport) -> tuple[Group, ...]:
        records, sizes, years = Counter[str](), Counter[str](), dict[str, set[int]]()
        for info in report.records:
            name = info.category.value
            records[name] += 1
            sizes[name] += info.size
            years.setdefault(name, set()).add(info.year)
        names = sorted(
            records.keys() | self.resources.keys(), key=lambda name: (Category(name) not in RESTRICTED, name)
        )
        return tuple(
            Group(
                name,
                Category(name) in RESTRICTED,
                self.resources[name],
                records[name],
                # Those without a date come last.
                tuple(sorted(years.get(name, ()), key=lambda year: (year == UNDATED, year))),
                sizes[name],
            )
            for name in names
        )
