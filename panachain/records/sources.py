"""Sources: files and folders of health data, read into records.

Decides a file's kind by its bytes, never by its name alone; what no reader knows needs `--category`.
Follows FHIR R4, DICOM PS3.10 section 7.1, HL7 v2.x chapter 2, C-CDA R2.1 and PDF 2.0 (ISO 32000-2).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from panachain.errors import InputError, UsageError
from panachain.model.records import PlainRecord
from panachain.model.scope import UNDATED, Category
from panachain.records.canonical import parse
from panachain.records.split import bounded_year, split_resource

_DICOM_NAMES: Final = (
    "SOPClassUID",
    "Modality",
    "PixelData",
    "PatientID",
    "PatientName",
    "Rows",
    "DirectoryRecordSequence",
)
"""A data set with none of these is no DICOM object (PS3.3 annex C)."""


def read_source(path: Path, category: Category | None = None) -> Iterator[PlainRecord]:
    """Yield the records of a file, or of every file below a folder in the order of their names.

    Hidden files are left out. FHIR is split into categories; other files are one record each.

    Args:
        path: file or folder.
        category: puts files (not FHIR) into this category, and admits kinds that no reader knows.

    Raises:
        UsageError: there is no such file or folder.
        InputError: a file can't be read as what it claims to be.
    """
    if path.is_dir():
        for child in sorted(path.iterdir()):
            if not child.name.startswith("."):
                yield from read_source(child, category)
        return
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"there is no file or folder {path}") from None
    except OSError as exc:
        raise InputError(f"{path} can't be read: {exc.strerror}") from exc
    try:
        yield from read_bytes(content, path.suffix.lower(), category)
    except InputError as exc:
        raise InputError(f"{path}: {exc}; nothing was published", hint=exc.hint) from None


def read_bytes(content: bytes, suffix: str, category: Category | None = None) -> Iterator[PlainRecord]:
    """Yield the records of one file's bytes.

    Args:
        content: the file.
        suffix: of its name, in lower case with the dot; used where the bytes allow several kinds.
        category: as `read_source`.

    Raises:
        InputError: as `read_source`.
    """
    digest = hashlib.sha256(content).digest()
    start = content[:256].lstrip(b"\xef\xbb\xbf \t\r\n")
    if suffix == ".ndjson":
        for line in content.splitlines():
            if line.strip():
                yield from split_resource(parse(line), source_digest=digest)
    elif start[:1] in (b"{", b"[") or suffix == ".json":
        yield from split_resource(parse(content), source_digest=digest)
    elif content[128:132] == b"DICM" or (suffix == ".dcm" and category is None):
        yield PlainRecord(category or Category.IMAGING, _dicom_year(content), "application/dicom", content, digest)
    elif content.startswith(b"%PDF-"):
        yield PlainRecord(category or Category.DOCUMENTS, UNDATED, "application/pdf", content, digest)
    elif start.startswith((b"MSH|", b"FHS|", b"BHS|", b"\x0bMSH|")):
        kind = Category.LABORATORY if b"|ORU^" in content[:512] else Category.DOCUMENTS
        yield PlainRecord(category or kind, _hl7_year(content), "application/hl7-v2", content, digest)
    elif start.startswith(b"<") and b"urn:hl7-org:v3" in content[:4096]:
        yield PlainRecord(category or Category.DOCUMENTS, UNDATED, "application/cda+xml", content, digest)
    elif start.startswith(b"<") and suffix in (".xml", ".cda", ".ccda"):
        yield PlainRecord(category or Category.DOCUMENTS, UNDATED, "application/xml", content, digest)
    elif category is not None:
        yield PlainRecord(category, UNDATED, "application/octet-stream", content, digest)
    else:
        raise InputError(
            "no reader knows this kind of file (FHIR, NDJSON, DICOM, HL7 v2, C-CDA and PDF are known)",
            hint="name its category: --category documents",
        )


def _dicom_year(content: bytes) -> int:
    # Imported here: only DICOM files pay for it.
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        # Without a preamble anything parses as something, so the data set must name what it is.
        dataset: Any = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, force=content[128:132] != b"DICM")
        date = str(dataset.get("StudyDate", "") or "")
        known = any(name in dataset for name in _DICOM_NAMES)
    except (
        InvalidDicomError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        OSError,
        NotImplementedError,
    ) as exc:
        raise InputError("not a DICOM file that can be read") from exc
    if not known:
        raise InputError("not a DICOM file: it has none of the attributes that tell what it is")
    return bounded_year(int(date[:4])) if date[:4].isdigit() else UNDATED


def _hl7_year(content: bytes) -> int:
    fields = content[:512].split(b"|")
    date = fields[6][:4] if len(fields) > 6 else b""
    return bounded_year(int(date)) if date.isdigit() and len(date) == 4 else UNDATED
