"""What a patient takes along: all records as one archive, and all grants as FHIR Consents.

An archive lies in a folder of this seat's, which only this user can look into, and goes when the seat locks. Takes no
file's name from a record (security rule 13). Follows docs/spec/cli.md, section "Opened records", and
docs/spec/consent.md.
"""

from __future__ import annotations

import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, Response

from panachain.cli.files import new_folder, write_new
from panachain.errors import DiskError, LockedError, Omission, PanaChainError
from panachain.model.actors import Role
from panachain.plain import json_line
from panachain.portal.desk import Seat, seated
from panachain.portal.forms import Form, checked_form
from panachain.portal.i18n import N_, _, current
from panachain.portal.jobs import JobProgress
from panachain.portal.pages import Page
from panachain.portal.refusals import RefusedError, said
from panachain.portal.rendering import confirm, confirmed, render, to
from panachain.portal.staging import reserve
from panachain.sdk import consents
from panachain.sdk.names import Names
from panachain.sdk.patient import Patient
from panachain.sdk.results.listings import LeftOut

PAGES: Final = (Page("/export", N_("Export"), frozenset({Role.PATIENT}), 81),)
KEPT: Final = "exports"
"""Under which name a seat keeps what was exported."""
MOST: Final = 4
"""Exports that a seat keeps; the oldest goes first."""

router = APIRouter()
Sitting = Annotated[Seat, Depends(seated(Role.PATIENT))]
Filled = Annotated[Form, Depends(checked_form)]


@dataclass(frozen=True)
class Exported:
    """A file that can be downloaded until the seat locks."""

    name: str
    """By which the portal finds it."""
    file: Path
    media_type: str
    records: int
    """Records, or grants, that are in it."""
    size: int
    """Bytes."""
    omissions: tuple[Omission | LeftOut, ...] = ()
    """What isn't in it."""


class Exports:
    """The files of one seat, in a folder that goes with it."""

    def __init__(self, above: Path) -> None:
        """Make the folder, for this user only; after a crash the next start removes it."""
        self._reserved = reserve(above)
        self.known: dict[str, Exported] = {}

    def close(self) -> None:
        """Remove all of it; the seat does this when it locks."""
        self._reserved.close()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the folder while something is written there, also if the seat locks; then it goes at once.

        Raises:
            LockedError: the seat was locked already.
        """
        with self._reserved.in_use(said(LockedError(_("The portal was locked; nothing was exported.")))):
            yield

    def place(self) -> Path:
        """Return a path for a new file or folder."""
        return self._reserved.folder / secrets.token_hex(8)

    def add(self, exported: Exported) -> Exported:
        """Keep a file; the oldest goes where there are too many."""
        self.known[exported.name] = exported
        while len(self.known) > MOST:
            oldest = self.known.pop(next(iter(self.known)))
            oldest.file.unlink(missing_ok=True)
        return exported


def _exports(seat: Seat) -> Exports:
    return seat.kept(KEPT, lambda: Exports(seat.profile.folder))


@router.get("/export")
async def export(request: Request, seat: Sitting) -> Response:
    """Show what can be taken along, and what was exported since the portal was unlocked."""
    kept: Exports | None = seat.keep.get(KEPT)
    return render(request, "patient/export.html", exports=list(kept.known.values())[::-1] if kept else [])


@router.post("/export/records")
async def export_records(request: Request, seat: Sitting, form: Filled) -> Response:
    """Write all records into an archive."""
    history = form.get("history", "") == "yes"
    if not confirmed(request, form):
        sentences = [
            _("All your records are opened and put into one archive, each checked against chain and seal."),
            _("The archive isn't encrypted: whoever gets the file can read it. Keep it where you keep papers."),
            _("The portal's copy goes when you lock it."),
        ]
        if history:
            sentences.append(_("Every version that was ever published is in it, also what was superseded."))
        return confirm(
            request,
            title=_("Export your records"),
            sentences=sentences,
            fields={"history": "yes" if history else ""},
            button=_("Export"),
            back="/export",
        )
    exports, names = _exports(seat), seat.names

    def work(patient: Patient, progress: JobProgress) -> Exported:
        with exports.in_use():
            return exports.add(archive(patient, exports, progress, names, history=history))

    return to(seat.start(_("Exporting your records"), work, template="patient/exported.html"))


def archive(patient: Patient, exports: Exports, progress: JobProgress, names: Names, *, history: bool) -> Exported:
    """Open all records of a patient, and write them into an archive; what one hospital did wrong is left out, and told.

    Args:
        patient: whose.
        exports: where the archive lies.
        progress: is told the records.
        names: of hospitals, for the pages that show the records.
        history: whether each version is in it that was published.
    """
    progress.stage(_("Your records are opened and written"))
    folder = exports.place()
    opening = patient.records(history=history, progress=progress)
    try:
        with new_folder(folder) as output:
            try:
                output.take(opening)
            except PanaChainError as exc:
                if not opening.omissions or isinstance(exc, DiskError):
                    raise
            output.omissions = [omission.to_json() for omission in opening.omissions]
            output.withdrawn = [gone.to_json() for gone in opening.withdrawn]
            output.left_behind = opening.behind.to_json()
            output.history = [one.to_json() for one in opening.histories()] if history else []
            output.language, output.name_of = current(), lambda address: names.of(address, Role.HOSPITAL)
            count = len(output.entries)
        progress.stage(_("They are put into one archive"))
        file = exports.place().with_suffix(".zip")
        _zip(folder, file, progress)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Exported(
        secrets.token_urlsafe(12), file, "application/zip", count, file.stat().st_size, tuple(opening.omissions)
    )


def _zip(folder: Path, file: Path, progress: JobProgress) -> None:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with (
            os.fdopen(descriptor, "wb") as raw,
            zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made,
        ):
            for number, path in enumerate(paths, start=1):
                made.write(path, path.relative_to(folder))
                progress(number, len(paths), unit="files")
    except OSError as exc:
        file.unlink(missing_ok=True)
        raise DiskError(f"the archive can't be written: {exc.strerror}; it was removed") from exc


@router.post("/export/consents")
async def export_consents(seat: Sitting, form: Filled) -> Response:
    """Write all grants as one FHIR R4 Bundle of Consents."""
    del form
    exports = _exports(seat)

    def work(patient: Patient, progress: JobProgress) -> Exported:
        with exports.in_use():
            return exports.add(bundle(patient, exports, progress))

    return to(seat.start(_("Exporting your grants"), work, template="patient/exported.html"))


def bundle(patient: Patient, exports: Exports, progress: JobProgress) -> Exported:
    """Write a FHIR Bundle of one Consent for each grant that is on chain."""
    progress.stage(_("Your grants are written as FHIR Consents"))
    policies = patient.policies()
    views = list(policies)
    entries: list[dict[str, Any]] = []
    left_out: list[Omission | LeftOut] = list(policies.left_out)
    for number, view in enumerate(views, start=1):
        try:
            entries.append({"resource": consents.export_consent(patient, view.policy_id)})
        except PanaChainError as exc:
            left_out.append(LeftOut("policy", view.policy_id, str(exc)))
        progress(number, len(views), unit="policies")
    document = {"resourceType": "Bundle", "type": "collection"} | ({"entry": entries} if entries else {})
    file = exports.place().with_suffix(".json")
    write_new(file, json_line(document, indent=2).encode() + b"\n")
    size = file.stat().st_size
    return Exported(secrets.token_urlsafe(12), file, "application/fhir+json", len(entries), size, tuple(left_out))


@router.get("/export/{name}")
async def download(seat: Sitting, name: str) -> Response:
    """Give a file that was exported."""
    kept: Exports | None = seat.keep.get(KEPT)
    exported = kept.known.get(name) if kept else None
    if exported is None:
        raise RefusedError(404, _("This export isn't there any more."), hint=_("Export once more."))
    called = "records.zip" if exported.media_type == "application/zip" else "consents.json"
    return FileResponse(exported.file, media_type=exported.media_type, filename=called)
