"""Plaintext on the disk: files that are new, whole, and readable by their owner only.

Never takes a file's name from a record: whoever wrote it could name any place (security rule 13).
Follows docs/spec/cli.md, section "Opened records".
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from panachain.cli.words import moment
from panachain.errors import DiskError, UsageError
from panachain.model.records import RecordInfo
from panachain.private_files import is_exchangeable, others_may_write

if TYPE_CHECKING:
    from panachain.model.scope import Category
    from panachain.sdk.opening import Opening
    from panachain.viewer.items import Item

INDEX: Final = "index.json"
SUMMARY: Final = "summary.fhir.json"
"""A patient summary of the records, where one was asked for."""
PROVENANCE: Final = "provenance.fhir.json"
"""A Bundle of one Provenance for each file."""

_PRIVATE: Final = "another -o DIR, in a folder that only you can write to"

SUFFIXES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "application/fhir+json": "fhir.json",
        "application/fhir+ndjson": "fhir.ndjson",
        "application/fhir+xml": "fhir.xml",
        "application/dicom": "dcm",
        "application/pdf": "pdf",
        "application/hl7-v2": "hl7",
        "application/cda+xml": "cda.xml",
        "application/json": "json",
        "text/plain": "txt",
        "application/vnd.panachain.viewer": "viewer",
    }
)
"""Media type → the end of a file's name; what isn't listed ends in `bin`."""


def read_file(file: Path, most: int) -> bytes:
    """Return at most so many bytes of a file that somebody named; one more than is taken shows that it is larger.

    Raises:
        UsageError: there is none.
        DiskError: the disk refuses.
    """
    try:
        with file.open("rb") as opened:
            return opened.read(most)
    except FileNotFoundError:
        raise UsageError(f"there is no file {file}") from None
    except OSError as exc:
        raise DiskError(f"{file} can't be read: {exc.strerror}") from exc


def write_new(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a new file of mode 0600, given whole or in pieces.

    Raises:
        UsageError: it exists already.
        DiskError: the disk refuses; no file is left.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as exc:
        raise UsageError(f"{path} exists already; it was left as it is", hint="name another file") from exc
    except OSError as exc:
        raise DiskError(f"{path} can't be made: {exc.strerror}") from exc
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
    except OSError as exc:
        path.unlink(missing_ok=True)
        raise DiskError(f"{path} can't be written: {exc.strerror}; it was removed") from exc
    except BaseException:
        # Interrupted: half a record is worse than none.
        path.unlink(missing_ok=True)
        raise


@dataclass
class OutputFolder:
    """A folder that opened records go to."""

    staging: Path
    entries: list[dict[str, object]] = field(default_factory=list)
    provenance: list[Mapping[str, object]] = field(default_factory=list)
    omissions: list[Mapping[str, object]] = field(default_factory=list)
    """What isn't there, and why."""
    withheld: Sequence[str] = ()
    """Categories that an emergency summary leaves out by rule."""
    left_behind: Mapping[str, object] = field(default_factory=dict)
    """How much isn't there because it doesn't count any more."""
    withdrawn: list[Mapping[str, object]] = field(default_factory=list)
    """Records that aren't there because their hospitals withdrew them."""
    history: list[Mapping[str, object]] = field(default_factory=list)
    """All versions of resources, where they were asked for."""
    name_of: Callable[[str], str] = field(default=str)
    """Gives what a hospital is called, or its address."""
    language: str = "en"
    """Of the pages."""
    readable: Collection[Category] | None = None
    """Categories all of whose records are in it, for a patient summary; None for none."""

    def add(
        self,
        info: RecordInfo,
        content: bytes | Iterable[bytes],
        fields: Mapping[str, object],
        provenance: Mapping[str, object],
    ) -> dict[str, object]:
        """Write one record under a name made of its position, category and year; return its line of the index."""
        name = f"{len(self.entries) + 1:05d}-{info.category.value}-{info.year or 'undated'}"
        name += f".{SUFFIXES.get(info.media_type, 'bin')}"
        write_new(self.staging / name, content)
        entry = {**fields, "file": name}
        self.entries.append(entry)
        self.provenance.append(provenance)
        return entry

    def take(self, opening: Opening) -> None:
        """Write each record of an opening; one whose bytes can't be had is left out of it, and of the folder.

        Raises:
            PartlyDoneError: something was left out; all else is written.
            PanaChainError: what `Opening` raises besides, and the disk's.
        """
        # Loaded here: most commands that write a file open nothing.
        from panachain.records.findings import LEFT_OUT

        for record in opening:
            try:
                self.add(record.info, record.chunks(), record.to_json(), record.fhir_provenance())
            except LEFT_OUT as exc:
                # Its bytes are fetched only now; no part of it is in the folder.
                opening.leave_out(record, exc)


@contextmanager
def new_folder(folder: Path) -> Iterator[OutputFolder]:
    """Give a folder that appears whole at the end, with its index, or not at all.

    Raises:
        UsageError: `folder` is there already and isn't an empty folder of the user's own; or others may write there,
            who could put something else in the place of what was opened.
        DiskError: the disk refuses; nothing is left.
    """
    with private_folder(folder) as staging:
        output = OutputFolder(staging)
        yield output
        index = {
            "schema": "panachain/index/1",
            "records": output.entries,
            "omissions": output.omissions,
            "withheld": list(output.withheld),
            "left_behind": output.left_behind,
            "withdrawn": output.withdrawn,
            "history": output.history,
        }
        # Imported here: most commands that write a file open nothing.
        from panachain.records.canonical import indented

        write_new(staging / INDEX, indented(index).encode() + b"\n")
        entry = [{"resource": resource} for resource in output.provenance]
        bundle = {"resourceType": "Bundle", "type": "collection"} | ({"entry": entry} if entry else {})
        write_new(staging / PROVENANCE, indented(bundle).encode() + b"\n")
        _write_pages(output)


@contextmanager
def private_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to fill, whose files appear in `folder` at the end, or not at all; raises as `new_folder`."""
    check_folder(folder)
    existed = folder.exists()
    try:
        # Inside the target where it exists: then the last step never crosses a file system.
        staging = Path(tempfile.mkdtemp(prefix=".panachain-part-", dir=folder if existed else folder.parent))
    except OSError as exc:
        raise DiskError(f"{folder} can't be made: {exc.strerror}") from exc
    try:
        yield staging
        try:
            if existed:
                for path in sorted(staging.iterdir()):
                    # A link refuses to replace a file that came meanwhile; a rename wouldn't, but for folders, which
                    # replace an empty one at most.
                    if path.is_dir():
                        path.rename(folder / path.name)
                    else:
                        os.link(path, folder / path.name)
            else:
                staging.rename(folder)
        except OSError as exc:
            raise DiskError(f"{folder} can't be filled: {exc.strerror}") from exc
    finally:
        if staging.exists():
            shutil.rmtree(staging)


def _write_pages(output: OutputFolder) -> None:
    """Write the pages that show the records, beside them."""
    # Imported here: what renders pages is loaded when there is something to show.
    from panachain.viewer import folder as pages
    from panachain.viewer.chart import chart
    from panachain.viewer.items import Told, Withdrawn

    told = Told(
        omissions=tuple(
            f"{output.name_of(str(one['hospital']))}, {one['what']}: {one['message']}" for one in output.omissions
        ),
        withdrawn=tuple(
            Withdrawn(
                hospital=output.name_of(str(one["hospital"])),
                category=str(one["category"]),
                year=int(str(one["year"])),
                withdrawn_at=moment(one["withdrawn_at"]) or 0,
                reason=str(one["reason"]),
            )
            for one in output.withdrawn
        ),
        withheld=tuple(output.withheld),
        left_behind={name: number for name, number in output.left_behind.items() if isinstance(number, int)},
    )
    states = _states(output.history)
    items = [_item(output, number, one, states) for number, one in enumerate(output.entries, 1)]
    shown = chart(items, language=output.language, now=time.time(), told=told)
    if output.readable is not None:
        from panachain.summary import summary

        ids = {number: str(one["id"]) for number, one in enumerate(output.entries, 1)}
        made = summary(items, now=shown.now, told=told, readable=output.readable, ids=ids)
        write_new(output.staging / SUMMARY, made.content + b"\n")
    for name, content in pages.files(shown):
        path = output.staging / name
        if path.parent != output.staging:
            path.parent.mkdir(mode=0o700, exist_ok=True)
        write_new(path, content)


def _states(history: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Return by record and resource why a version of it doesn't count any more."""
    states: dict[str, dict[str, str]] = {}
    for resource in history:
        for version in resource["versions"]:
            states.setdefault(version["record"], {})[resource["resource"]] = version["state"]
    return states


def _item(output: OutputFolder, number: int, entry: Mapping[str, Any], states: Mapping[str, Mapping[str, str]]) -> Item:
    from panachain.viewer.items import Item

    return Item(
        number=number,
        media_type=str(entry["media_type"]),
        category=str(entry["category"]),
        year=int(entry["year"]),
        hospital=str(entry["hospital"]),
        hospital_name=output.name_of(str(entry["hospital"])),
        stored_at=moment(entry["stored_at"]) or 0,
        # What was written counts: without what doesn't count any more a record is smaller than it was published.
        size=(output.staging / str(entry["file"])).stat().st_size,
        read=(output.staging / str(entry["file"])).read_bytes,
        file=str(entry["file"]),
        states=states.get(str(entry["id"]), {}),
        also_from=tuple(output.name_of(str(one)) for one in entry.get("also_from", ())),
        named=output.name_of,
    )


def check_folder(folder: Path) -> None:
    """Check that opened records may go into a folder; raises as `new_folder`."""
    try:
        if folder.is_symlink():
            raise UsageError(f"{folder} is a link; nothing is written through it", hint="-o the folder itself")
        # Also where the folder is there: another one could stand in its place meanwhile, of whoever put it there.
        above = folder.absolute().parent
        if is_exchangeable(folder.absolute()):
            raise UsageError(f"others may write to {above}; nothing was opened", hint=_PRIVATE)
        if not folder.exists():
            if not above.is_dir():
                raise UsageError(f"{folder.parent} is no folder; {folder.name} can't be made in it")
            return
        if folder.is_dir() and (folder.stat().st_uid != os.geteuid() or others_may_write(folder)):
            raise UsageError(f"others may write to {folder}; nothing was opened", hint=_PRIVATE)
        if not folder.is_dir() or any(folder.iterdir()):
            raise UsageError(f"{folder} exists and isn't an empty folder; it was left as it is", hint="another -o DIR")
    except OSError as exc:
        raise DiskError(f"{folder} can't be looked at: {exc.strerror}") from exc
