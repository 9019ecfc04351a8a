"""Pictures of DICOM objects and other image files, as another process draws them (`image_worker.py`).

No file makes this process slow, large or fail: the other one is bounded, is ended when it takes too long or says what
is no answer, and is replaced (`beside.Asked`). Opens no file. Follows ADR 82.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from panachain.beside import Asked
from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.plain import line
from panachain.viewer.items import MOST_BYTES
from panachain.viewer.moments import NEVER, Moment, hl7_moment
from panachain.viewer.words import N_

_WAIT: Final = 60.0
"""Seconds after which a request is given up, whatever the process does."""
_MOST_ANSWER: Final = 64 << 20
_MOST_COUNT: Final = 1 << 31
"""What a count may be (PS3.5, section 6.2: an integer string)."""
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_UNREAD: Final = "it can't be read"
_NO_PROCESS: Final = (
    "no process can be started on this machine that draws pictures: end other programs, or try again later"
)
PRESETS: Final = {"CT": ((40.0, 400.0, "soft tissue"), (-600.0, 1500.0, "lung"), (300.0, 1500.0, "bone"))}
"""Modality → centre, width and name of windows in common use."""


_NAMED: Final = (N_("soft tissue"), N_("lung"), N_("bone"))
REASONS: Final = (
    N_("what draws pictures isn't installed: pip install 'panachain[dicom]'"),
    N_("no process can be started on this machine that draws pictures: end other programs, or try again later"),
    N_("what draws pictures failed at it"),
    N_("it takes too much memory"),
    N_("it takes too long"),
    N_("it can't be read"),
    N_("it is too large to be looked into"),
    N_("it holds no image of a kind that is drawn"),
    N_("its image has more pixels than are drawn"),
    N_("its image is longer on one side than is drawn"),
    N_("it unpacks to more bytes than are drawn"),
    N_("its image is compressed in a way that isn't read here"),
    N_("its colours are written in a way that isn't read here"),
    N_("its pixels are written in a way that isn't read here"),
    N_("its palette is larger than those that are read here"),
)
"""What the other process says where it draws nothing."""


@dataclass(frozen=True)
class Window:
    """Which values are drawn from black to white."""

    centre: float
    width: float
    name: str = ""


@dataclass(frozen=True)
class DicomHeader:
    """What an object says about itself; each text cleaned."""

    study: str = ""
    study_name: str = ""
    study_date: Moment = NEVER
    series: str = ""
    series_number: str = ""
    series_name: str = ""
    modality: str = ""
    body_part: str = ""
    number: str = ""
    patient: str = ""
    born: Moment = NEVER
    rows: int = 0
    columns: int = 0
    frames: int = 1
    windows: tuple[Window, ...] = ()
    report: tuple[tuple[int, str, str], ...] = ()
    """Depth, name and value of each item of a structured report."""
    error: str = ""
    """Why it can't be read; empty if it can."""

    @property
    def has_image(self) -> bool:
        """Whether it says that it holds an image."""
        return self.rows > 0 and self.columns > 0

    @property
    def more_windows(self) -> tuple[Window, ...]:
        """The windows that it proposes and those in common use, but for the first one."""
        usual = tuple(Window(*one) for one in PRESETS.get(self.modality, ()))
        return (*self.windows[1:], *(one for one in usual if self.has_image))


@dataclass(frozen=True)
class Picture:
    """A picture in PNG."""

    content: bytes
    error: str = ""
    """Why there is none; empty if there is one."""


class Worker:
    """A process that draws, one file at a time; it starts with the first, and holds the last one until it is closed."""

    def __init__(self) -> None:
        """Begin without a process."""
        self.asked: Final = Asked("panachain.viewer.image_worker", parts=2, most=_MOST_ANSWER, seconds=_WAIT)

    def ask(self, asked: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
        """Return what the process says of a file, and the picture that it drew."""
        if len(content) > MOST_BYTES:
            return {"error": "it is too large to be looked into"}, b""
        if self.asked.is_closed:
            return {"error": _UNREAD}, b""
        try:
            answer = self.asked.ask(dagcbor.encode(asked), content)
        except (OSError, MemoryError):
            # Not the file's fault.
            return {"error": _NO_PROCESS}, b""
        if answer is None:
            return {"error": "it takes too long" if self.asked.was_late else "what draws pictures failed at it"}, b""
        try:
            told = dagcbor.decode(answer[0], limit=_MOST_ANSWER)
        except IntegrityError:
            told = None
        if not isinstance(told, dict) or not answer[1].startswith(_PNG if answer[1] else b""):
            # None of ours says that: a file took the process over, and it may say anything of the next ones.
            self.asked.end()
            return {"error": _UNREAD}, b""
        return told, answer[1]

    def close(self) -> None:
        """End the process at once, with what it holds; nothing is drawn any more."""
        self.asked.close()


_WORKER: Final = Worker()
_USED: Final[ContextVar[Worker]] = ContextVar("image worker", default=_WORKER)


@contextmanager
def drawing_by(worker: Worker) -> Iterator[None]:
    """Let a worker of one's own draw what is drawn meanwhile, in place of the one that the process shares."""
    before = _USED.set(worker)
    try:
        yield
    finally:
        _USED.reset(before)


def described(content: bytes) -> DicomHeader:
    """Return what a DICOM object says about itself."""
    told, _ = _USED.get().ask({"do": "describe"}, content)
    if "error" in told:
        return DicomHeader(error=line(str(told["error"])))
    try:
        return _header(told)
    except (ValueError, TypeError, LookupError):
        # None of ours says that.
        return DicomHeader(error=_UNREAD)


def _header(told: dict[str, Any]) -> DicomHeader:
    text = {name: line(str(value)) for name, value in told.items() if isinstance(value, str)}
    windows = [Window(float(one[0]), float(one[1]), line(str(one[2]))) for one in told.get("windows", [])[:8]]
    if not all(math.isfinite(one.centre) and math.isfinite(one.width) for one in windows):
        raise ValueError("no window")
    return DicomHeader(
        **{
            name: text.get(name, "")
            for name in (
                *("study", "study_name", "series", "series_number", "series_name", "modality", "body_part", "number"),
                "patient",
            )
        },
        study_date=hl7_moment(text.get("study_date", "")),
        born=hl7_moment(text.get("born", "")),
        rows=_count(text.get("rows", "")),
        columns=_count(text.get("columns", "")),
        frames=max(_count(text.get("frames", "")), 1),
        windows=tuple(windows),
        report=tuple((int(one[0]), line(str(one[1])), line(str(one[2]))) for one in told.get("report", [])[:2000]),
    )


def drawn(content: bytes, *, frame: int = 0, window: Window | None = None) -> Picture:
    """Return one frame of a DICOM object, in its own first window if no other is named."""
    asked: dict[str, Any] = {"do": "draw", "frame": frame}
    if window is not None:
        asked["window"] = [str(window.centre), str(window.width)]
    return _picture(asked, content)


def cine(content: bytes) -> Picture:
    """Return the frames of a DICOM object as one picture that moves."""
    return _picture({"do": "cine"}, content)


def picture(content: bytes) -> Picture:
    """Return an image file of any kind, drawn anew: nothing of the file itself is passed on."""
    return _picture({"do": "picture"}, content)


def _picture(asked: dict[str, Any], content: bytes) -> Picture:
    told, png = _USED.get().ask(asked, content)
    return Picture(png, line(str(told.get("error", ""))))


def _count(text: str) -> int:
    try:
        return min(max(int(float(text)), 0), _MOST_COUNT)
    except (ValueError, OverflowError):
        return 0
