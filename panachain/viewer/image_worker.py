"""Image worker: what DICOM objects and pictures show, in a process of its own, whose memory and time are bounded.

A program beside another one (`beside.py`), which asks it in two parts, dag-cbor and a file; it answers with dag-cbor,
in which numbers with a fraction are texts, and a picture. Opens no file, and logs nothing: values of a header may be a
patient's. It draws without NumPy. Follows DICOM PS3.3 (C.7.6.3, C.11.1, C.11.2), PS3.5 (section 8), PNG with its frames
(third edition), ADR 82.
"""

from __future__ import annotations

import io
import logging
import math
import signal
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import Any, Final

from panachain.beside import answer_questions, bound
from panachain.ipld import dagcbor
from panachain.records.dicom import deflated_at

MEMORY: Final = 1 << 30
"""Bytes that the process may take; whatever is within the bounds below takes half of that."""
SECONDS: Final = 20.0
"""Processor time for one request."""
MOST_PIXELS: Final = 1 << 26
"""Pixels of a picture; looked at before any is decoded."""
_WEBP_PIXELS: Final = 1 << 24
"""The same of a kind whose decoder holds four times as much for each."""
_PROGRESSIVE_PIXELS: Final = 1 << 25
"""The same of a JPEG that comes in several scans, of which all are held at once."""
_FRAME_PIXELS: Final = 1 << 25
"""Pixels of one frame of a DICOM object, with their values."""
MOST_SIDE: Final = 1 << 16
"""Pixels of a side: JPEG has no longer ones."""
MOST_UNPACKED: Final = 1 << 28
"""Bytes of a deflated data set (PS3.5, annex A.5)."""
_STRIP: Final = 1 << 22
"""Pixels that are made smaller at once."""
MOST_FRAMES: Final = 32
"""Frames of a cine; of more every n-th."""
ABSENT: Final = "what draws pictures isn't installed: pip install 'panachain[dicom]'"
_TOO_MANY: Final = "its image has more pixels than are drawn"
_TOO_LONG: Final = "its image is longer on one side than is drawn"
_TOO_FULL: Final = "it unpacks to more bytes than are drawn"
_CINE_SIDE: Final = 400
_SIDE: Final = 1024
"""Pixels of the longer side of what is drawn."""
_NAMES: Final = {
    "study": "StudyInstanceUID",
    "study_name": "StudyDescription",
    "study_date": "StudyDate",
    "series": "SeriesInstanceUID",
    "series_number": "SeriesNumber",
    "series_name": "SeriesDescription",
    "modality": "Modality",
    "body_part": "BodyPartExamined",
    "number": "InstanceNumber",
    "patient": "PatientName",
    "born": "PatientBirthDate",
    "rows": "Rows",
    "columns": "Columns",
    "frames": "NumberOfFrames",
    "photometric": "PhotometricInterpretation",
    "title": "DocumentTitle",
}
_FORMATS: Final = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")


class _OutOfTimeError(BaseException):
    """Of no kind that a library catches."""


class _UnshownError(Exception):
    """What can't be drawn; its text quotes nothing of the file."""


def main() -> None:
    """Answer until the input ends."""
    bound(MEMORY)
    signal.signal(signal.SIGVTALRM, _stop)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    # One way of drawing everywhere, and no threads that NumPy would start.
    sys.modules["numpy"] = None  # type: ignore[assignment]
    answer_questions(_answer, parts=2)


def answer(asked: dict[str, Any], content: bytes, *, seconds: float = SECONDS) -> tuple[dict[str, Any], bytes]:
    """Return what is told of a file, and a picture of it in PNG; `error` says why there is none.

    Args:
        asked: `do` is `describe` (the header), `draw` (a frame: `frame`, `window`), `cine` or `picture` (no DICOM).
        content: the file.
        seconds: processor time after which it is given up.
    """
    # Again and again: what is raised where Python is busy with itself is lost.
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 0.25)
    try:
        if asked["do"] == "picture":
            return _picture(content)
        return _of_dicom(asked, content)
    except _UnshownError as exc:
        return {"error": str(exc)}, b""
    except _OutOfTimeError:
        return {"error": "it takes too long"}, b""
    except MemoryError:
        return {"error": "it takes too much memory"}, b""
    except ImportError:
        return {"error": ABSENT}, b""
    except Exception:  # noqa: BLE001  # Whatever a hostile file makes a library raise.
        return {"error": "it can't be read"}, b""
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _answer(line: bytes, content: bytes) -> tuple[bytes, bytes]:
    told, picture = answer(dagcbor.decode(line), content)
    return dagcbor.encode({name: _plain(value) for name, value in told.items()}), picture


def _plain(value: Any) -> Any:
    """Return a value of an answer as dag-cbor has it."""
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    # A value that isn't in the characters that it claims to be in may have half a character.
    return value if isinstance(value, int) else str(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _stop(number: int, frame: FrameType | None) -> None:
    raise _OutOfTimeError


def _of_dicom(asked: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    from pydicom import dcmread

    _check_unpacked(content)
    dataset = dcmread(io.BytesIO(content), force=True, stop_before_pixels=asked["do"] == "describe")
    if asked["do"] == "describe":
        told: dict[str, Any] = {name: _text(dataset, keyword) for name, keyword in _NAMES.items()}
        told["windows"] = _windows(dataset)
        if told["modality"] == "SR":
            told["report"] = list(_report(dataset))[:2000]
        return told, b""
    frames = _number(dataset, "NumberOfFrames", 1)
    if asked["do"] == "draw":
        image = _frame(dataset, min(max(int(asked.get("frame", 0)), 0), frames - 1), asked.get("window"), _SIDE)
        return {"size": image.size}, _png([image], 0)
    step = -(-frames // MOST_FRAMES)
    places, window = range(0, frames, step), asked.get("window")
    if window is None and not _windows(dataset):
        window = _common(dataset, places)
    images = [_frame(dataset, place, window, _CINE_SIDE) for place in places]
    apart = _float(dataset, "FrameTime", 0.0) or 1000.0 / (_float(dataset, "CineRate", 0.0) or 8.0)
    return {"size": images[0].size, "frames": len(images)}, _png(images, min(max(apart * step, 40.0), 1000.0))


def _check_unpacked(content: bytes) -> None:
    """Check that a deflated data set isn't too large, before a library unpacks all of it."""
    begins = deflated_at(io.BytesIO(content))
    if begins is None:
        return
    unpacker, left, size = zlib.decompressobj(-zlib.MAX_WBITS), content[begins:], 0
    # What is damaged is told by whoever reads it.
    with suppress(zlib.error):
        while left and not unpacker.eof:
            size += len(unpacker.decompress(left, _STRIP))
            left = unpacker.unconsumed_tail
            if size > MOST_UNPACKED:
                raise _UnshownError(_TOO_FULL)


def _text(dataset: Any, keyword: str) -> str:
    try:
        value = dataset.get(keyword)
        return "" if value is None else str(value)[:400]
    except Exception:  # noqa: BLE001  # A value that isn't of its kind.
        return ""


def _float(dataset: Any, keyword: str, default: float) -> float:
    try:
        found = float(_text(dataset, keyword) or default)
    except ValueError:
        return default
    return found if math.isfinite(found) else default


def _number(dataset: Any, keyword: str, default: int) -> int:
    return max(int(_float(dataset, keyword, default)), 1)


def _windows(dataset: Any, place: int = 0) -> list[tuple[float, float, str]]:
    """Return centre, width and name of each window that the object proposes for a frame."""
    source = _groups(dataset, "FrameVOILUTSequence", place)
    found = []
    for centre, width, name in zip(
        _several(source, "WindowCenter"),
        _several(source, "WindowWidth"),
        [*_several(source, "WindowCenterWidthExplanation"), *[""] * 8],
        strict=False,
    ):
        try:
            if float(width) >= 1 and math.isfinite(float(width)) and math.isfinite(float(centre)):
                found.append((float(centre), float(width), str(name)[:40]))
        except ValueError:
            continue
    return found[:8]


def _groups(dataset: Any, sequence: str, place: int) -> Any:
    """Return what says something of a frame: its functional group, the shared one, or the object itself (C.7.6.16)."""
    for name, at in (("PerFrameFunctionalGroupsSequence", place), ("SharedFunctionalGroupsSequence", 0)):
        groups = dataset.get(name)
        if groups and at < len(groups) and groups[at].get(sequence):
            return groups[at].get(sequence)[0]
    return dataset


def _several(source: Any, keyword: str) -> list[str]:
    value = source.get(keyword)
    if value is None:
        return []
    return [str(value)] if isinstance(value, str | float | int) else [str(one) for one in value][:8]


def _report(dataset: Any, depth: int = 0) -> Iterator[tuple[int, str, str]]:
    """Yield depth, name and value of each content item of a structured report (PS3.3, C.17.3)."""
    for item in list(dataset.get("ContentSequence") or [])[:500] if depth < 20 else ():
        names = item.get("ConceptNameCodeSequence") or []
        values = item.get("ConceptCodeSequence") or item.get("MeasuredValueSequence") or []
        value = _text(item, "TextValue") or _text(item, "PersonName") or _text(item, "Date") or _text(item, "UID")
        if values:
            measured = _text(values[0], "NumericValue")
            units = values[0].get("MeasurementUnitsCodeSequence") or []
            value = (
                f"{measured} {_text(units[0], 'CodeMeaning') if units else ''}"
                if measured
                else _text(values[0], "CodeMeaning")
            )
        yield depth, _text(names[0], "CodeMeaning") if names else "", value.strip()
        yield from _report(item, depth + 1)


def _frame(dataset: Any, place: int, window: Any, side: int) -> Any:
    size, buffer, meta = _decoded(dataset, place)
    if meta["samples_per_pixel"] == 3:
        image = _colours(size, buffer, meta)
    else:
        image = _grey(size, buffer, meta, dataset, place, window)
    if max(image.size) > side:
        image.thumbnail((side, side))
    return image


def _decoded(dataset: Any, place: int) -> tuple[tuple[int, int], bytes, Any]:
    """Return columns and rows, the pixels of a frame, and how they are written."""
    from PIL import Image
    from pydicom.pixels import get_decoder  # type: ignore[attr-defined]

    rows, columns = _number(dataset, "Rows", 0), _number(dataset, "Columns", 0)
    if "PixelData" not in dataset:
        raise _UnshownError("it holds no image of a kind that is drawn")
    _check_size(columns, rows, _FRAME_PIXELS)
    # What a frame says of itself may be more than its object says.
    Image.MAX_IMAGE_PIXELS = _FRAME_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    if dataset.file_meta.get("TransferSyntaxUID") is None:
        # What doesn't say it is of the kind that DICOM begins with (PS3.5, annex A.1).
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    if not decoder.is_available:
        raise _UnshownError("its image is compressed in a way that isn't read here")
    buffer, meta = decoder.as_buffer(dataset, index=place)
    return (columns, rows), buffer if isinstance(buffer, bytes) else bytes(buffer), meta


def _common(dataset: Any, places: range) -> list[float] | None:
    """Return centre and width of one window that holds all values of some frames; None for colours."""
    low, high = math.inf, -math.inf
    for place in places:
        size, buffer, meta = _decoded(dataset, place)
        if meta["samples_per_pixel"] == 3 or meta["bits_allocated"] == 1:
            return None
        slope, intercept = _scale(dataset, place)
        ends = [value * slope + intercept for value in _stored(size, buffer, meta).getextrema()]
        low, high = min(low, *ends), max(high, *ends)
    return [(low + high + 1) / 2, high - low + 1]


def _scale(dataset: Any, place: int) -> tuple[float, float]:
    source = _groups(dataset, "PixelValueTransformationSequence", place)
    return _float(source, "RescaleSlope", 1.0) or 1.0, _float(source, "RescaleIntercept", 0.0)


def _stored(size: tuple[int, int], buffer: bytes, meta: Any) -> Any:
    """Return the values of a frame as they are stored."""
    from PIL import Image

    bits, signed = meta["bits_allocated"], meta["pixel_representation"] == 1
    length = size[0] * size[1] * bits // 8
    if bits not in (8, 16, 32) or len(buffer) < length:
        raise _UnshownError("its pixels are written in a way that isn't read here")
    return Image.frombytes("F", size, buffer[:length], "raw", f"F;{bits}{'S' if signed else ''}")


def _colours(size: tuple[int, int], buffer: bytes, meta: Any) -> Any:
    from PIL import Image

    pixels, kind = size[0] * size[1], str(meta["photometric_interpretation"])
    if meta["bits_allocated"] != 8 or len(buffer) < pixels * 3 or kind not in ("RGB", "YBR_FULL"):
        raise _UnshownError("its colours are written in a way that isn't read here")
    mode = "RGB" if kind == "RGB" else "YCbCr"
    if meta.get("planar_configuration") == 1:
        planes = [Image.frombytes("L", size, buffer[at * pixels : (at + 1) * pixels]) for at in range(3)]
        return Image.merge(mode, planes).convert("RGB")
    return Image.frombytes(mode, size, buffer[: pixels * 3]).convert("RGB")


def _grey(size: tuple[int, int], buffer: bytes, meta: Any, dataset: Any, place: int, window: Any) -> Any:
    from PIL import Image

    kind = str(meta["photometric_interpretation"])
    if meta["bits_allocated"] == 1:
        return Image.frombytes("1", size, buffer, "raw", "1;R").convert("L")
    if kind == "PALETTE COLOR":
        return _palette(size, buffer, meta, dataset)
    image, (slope, intercept) = _stored(size, buffer, meta), _scale(dataset, place)
    windows = _windows(dataset, place)
    if window or windows:
        centre, width = (float(window[0]), max(float(window[1]), 1.0)) if window else windows[0][:2]
        # PS3.3, C.11.2.1.2.
        low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
    else:
        low, high = sorted(value * slope + intercept for value in image.getextrema())
    if high <= low:
        high = low + 1
    factor = 255 / (high - low)
    times, plus = slope * factor, (intercept - low) * factor
    drawn = image.point(lambda value: value * times + plus).convert("L")
    return drawn.point([255 - value for value in range(256)]) if kind == "MONOCHROME1" else drawn


def _palette(size: tuple[int, int], buffer: bytes, meta: Any, dataset: Any) -> Any:
    from PIL import Image

    if meta["bits_allocated"] != 8:
        raise _UnshownError("its palette is larger than those that are read here")
    image = Image.frombytes("L", size, buffer[: size[0] * size[1]])
    planes = []
    for colour in ("Red", "Green", "Blue"):
        entries, first, width = (int(value) for value in dataset[f"{colour}PaletteColorLookupTableDescriptor"].value)
        data = bytes(dataset[f"{colour}PaletteColorLookupTableData"].value)
        entries = entries or 65536
        wide = width == 16 and len(data) >= 2 * entries
        table = [data[2 * at + 1] if wide else data[at] for at in range(min(entries, 256))]
        planes.append(image.point([table[min(max(value - first, 0), len(table) - 1)] for value in range(256)]))
    return Image.merge("RGB", planes)


def _picture(content: bytes) -> tuple[dict[str, Any], bytes]:
    from PIL import Image

    # Looked at here, and by name: a library's own bound says that the file can't be read.
    Image.MAX_IMAGE_PIXELS = None
    if (size := _webp_size(content)) is not None:
        # Its decoder takes the memory when the file is opened.
        _check_size(size[0], size[1], _WEBP_PIXELS)
    image: Any = Image.open(io.BytesIO(content), formats=_FORMATS)
    _check_size(image.width, image.height, _PROGRESSIVE_PIXELS if "progressive" in image.info else MOST_PIXELS)
    # JPEG is decoded at an eighth of its size or more, as is enough.
    image.draft("RGB", (_SIDE, _SIDE))
    drawn = _shrunk(image, "RGBA" if image.mode in ("RGBA", "LA", "P") else "RGB")
    return {"size": drawn.size}, _png([drawn], 0)


def _check_size(width: int, height: int, most: int) -> None:
    if max(width, height) > MOST_SIDE:
        raise _UnshownError(_TOO_LONG)
    if width * height > most:
        raise _UnshownError(_TOO_MANY)


def _webp_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height of a WebP file, as its header says (RFC 9649, section 2); None for any other file."""
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        return None
    kind, head = content[12:16], content[20:30].ljust(10, b"\0")
    if kind == b"VP8X":
        return int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF


def _shrunk(image: Any, mode: str) -> Any:
    """Return an image with sides as long as are drawn; a large one strip by strip, so that it is held once."""
    from PIL import Image

    width, height = image.size
    factor = max(width, height) // (2 * _SIDE)
    if factor > 1:
        by = min(factor, width), min(factor, height)
        small = Image.new(mode, (-(-width // by[0]), -(-height // by[1])))
        rows = max(_STRIP // (width * by[1]), 1) * by[1]
        for top in range(0, height, rows):
            strip = image.crop((0, top, width, min(top + rows, height)))
            small.paste(strip.convert(mode).reduce(by), (0, top // by[1]))
        image.close()
    else:
        small = image.convert(mode)
    small.thumbnail((_SIDE, _SIDE))
    return small


def _png(images: list[Any], apart: float) -> bytes:
    """Return one image, or several that follow each other, each `apart` milliseconds after the one before."""
    sink = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:], "duration": apart, "loop": 0} if len(images) > 1 else {}
    # Nothing of the file's own metadata goes along.
    images[0].info = {}
    images[0].save(sink, "PNG", **more)
    return sink.getvalue()


if __name__ == "__main__":
    main()
