"""DICOM: an object is told from other files and dated by its header; its pixels are never read.

The header is read up to the study's date and the modality, with a bound on every read; compressed data sets are never
unpacked. Opens no file, logs no value. Follows DICOM PS3.5 section 7 and PS3.10 section 7.1.
"""

from __future__ import annotations

import struct
from typing import Any, BinaryIO, Final

from panachain.errors import InputError
from panachain.model.scope import UNDATED
from panachain.records.split import bounded_year

MEDIA_TYPE: Final = "application/dicom"
MAX_HEADER: Final = 1 << 20
"""Bytes that are read of one object before its date and modality are known."""
MAX_READS: Final = 10_000
"""Pieces in which they are read: each could become an object in memory."""

_STUDY_DATE: Final = 0x0008_0020
_LAST_TAG: Final = 0x0008_0060
"""Modality: in every object the tags ascend, so what comes after it isn't looked at."""
_NAMES: Final = ("SOPClassUID", "Modality", "StudyDate")
_FIRST_TAGS: Final = (b"\x02\x00", b"\x08\x00")
_LONGEST_FIRST: Final = 256
"""Bytes of a first element without a VR: a group's length or a character set."""


class _PackedError(Exception):
    """The data set is deflated: only unpacking it whole would tell more."""


class _Bounded:
    """A file that gives no more than a header's worth of bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = MAX_HEADER
        self._reads = MAX_READS
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes.

        Raises:
            InputError: it would be too much by now.
        """
        if size < 0:
            # All that is left is wanted by nobody but the one who unpacks it.
            raise _PackedError
        self._left -= size
        self._reads -= 1
        if self._left < 0 or self._reads < 0:
            raise InputError(f"a DICOM header of more than {MAX_HEADER} bytes or {MAX_READS} elements")
        return self._file.read(size)


def begins_dicom(start: bytes) -> bool:
    """Whether a file that starts like this is DICOM: a preamble, or elements of the first groups right away."""
    if start[128:132] == b"DICM":
        return True
    if start[:2] not in _FIRST_TAGS or len(start) < 8 or start[3] != 0:
        return False
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    return explicit or int.from_bytes(start[4:8], "little") <= _LONGEST_FIRST


def study_year(file: BinaryIO) -> int:
    """Return the year of the study that an object belongs to, or UNDATED.

    Raises:
        InputError: it is no DICOM object: it lacks every attribute that tells what it is.
    """
    # Imported here: only DICOM files pay for it.
    from pydicom import config
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_partial

    start = file.read(132)
    file.seek(0)
    bounded: Any = _Bounded(file)
    try:
        with config.disable_value_validation():
            # Without a preamble anything parses as something, so the data set must name what it is.
            dataset: Any = read_partial(bounded, stop_when=_is_past, force=start[128:132] != b"DICM")
            known = any(name in dataset for name in _NAMES) or "MediaStorageSOPClassUID" in dataset.file_meta
            date = dataset.get_item(_STUDY_DATE)
    except _PackedError:
        return UNDATED
    except (
        *(InvalidDicomError, ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, OSError),
        *(NotImplementedError, RecursionError, OverflowError, struct.error),
    ) as exc:
        raise InputError("not a DICOM file that can be read") from exc
    if not known:
        raise InputError("not a DICOM file: it has none of the attributes that tell what it is")
    return _year(getattr(date, "value", None))


def _is_past(tag: int, _vr: str | None, _length: int) -> bool:
    return tag > _LAST_TAG


def _year(date: object) -> int:
    digits = date[:4] if isinstance(date, bytes) else b""
    return bounded_year(int(digits)) if len(digits) == 4 and digits.isdigit() else UNDATED
