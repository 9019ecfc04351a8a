"""Pictures come out of another process, drawn anew; what it can't draw, or mustn't, it says."""

from __future__ import annotations

import io
import signal
import zlib
from pathlib import Path
from typing import Final

import pytest

from panachain import beside
from panachain.ipld import dagcbor
from panachain.records.samples import sample_dicom
from panachain.viewer import image_worker
from panachain.viewer.images import Window, Worker, cine, described, drawing_by, drawn, picture
from tests.portal.hostile_records import dicom, png
from tests.support import shared

PNG = b"\x89PNG"


def test_a_frame_is_drawn_in_the_window_that_was_asked_for() -> None:
    content = dicom(16, 16, 1, bytes(range(256)))
    Image = pytest.importorskip("PIL.Image")  # noqa: N806
    dark = Image.open(io.BytesIO(drawn(content, window=Window(255, 10)).content)).tobytes()
    light = Image.open(io.BytesIO(drawn(content, window=Window(0, 10)).content)).tobytes()
    assert sum(dark) < sum(light)


def test_the_header_tells_study_and_series() -> None:
    header = described(sample_dicom())
    assert (header.modality, header.has_image, header.error) == ("CT", True, "")
    assert [one.name for one in header.more_windows][-3:] == ["soft tissue", "lung", "bone"]


def test_frames_become_one_picture_that_moves() -> None:
    moving = cine(dicom(4, 4, 3, bytes(range(48)))).content
    assert moving.startswith(PNG)
    assert b"acTL" in moving


@pytest.mark.parametrize(
    "content",
    [
        dicom(65_535, 65_535, 1, b"\0" * 64),
        dicom(512, 512, 1, b"\0" * 9),
        dicom(0, 0, 1, b""),
        b"",
        b"no image at all",
        sample_dicom()[:300],
    ],
)
def test_what_cannot_be_drawn_says_why(content: bytes) -> None:
    made = drawn(content)
    assert (made.content, bool(made.error)) == (b"", True)
    # The next one is drawn all the same.
    assert drawn(dicom(2, 2, 1, b"\0\1\2\3")).content.startswith(PNG)


def test_a_picture_of_absurd_size_is_not_unpacked() -> None:
    assert picture(png(60_000, 60_000)).error
    assert picture(png(1_000, 1_000)).content.startswith(PNG)


def test_nothing_of_a_picture_but_its_pixels_goes_on() -> None:
    Image = pytest.importorskip("PIL.Image")  # noqa: N806
    from PIL.PngImagePlugin import PngInfo

    info, buffer = PngInfo(), io.BytesIO()
    info.add_text("Comment", "a patient's name")
    Image.new("RGB", (4, 4)).save(buffer, "PNG", pnginfo=info)
    made = picture(buffer.getvalue()).content
    assert made.startswith(PNG)
    assert b"patient" not in made


def test_whatever_takes_too_long_is_given_up() -> None:
    before = signal.signal(signal.SIGVTALRM, image_worker._stop)
    try:
        told, content = image_worker.answer({"do": "cine"}, dicom(512, 512, 32, bytes(512 * 512 * 32)), seconds=0.01)
    finally:
        signal.signal(signal.SIGVTALRM, before)
    assert (told, content) == ({"error": "it takes too long"}, b"")


WORKER: Final = """
import os
from panachain.beside import answer_questions, bound
from panachain.ipld import dagcbor

def answer(line, content):
    if content == b"crash":
        os.abort()
    if content == b"page":
        return dagcbor.encode({}), b"<html>"
    if content == b"right":
        return dagcbor.encode({"rows": "4", "columns": "4"}), b"\\x89PNG\\r\\n\\x1a\\n"
    return content, b""

def main():
    bound(1 << 30)
    answer_questions(answer, parts=2)
"""


@pytest.mark.parametrize(
    "content",
    [
        *(b"crash", b"page", b"garbage", b"", b"\x81" * 100_000, dagcbor.encode([])),
        *map(
            dagcbor.encode,
            (
                {"windows": 5},
                {"windows": {"a": 1}},
                {"windows": [["a", 1, ""]]},
                {"windows": [["nan", "1", ""]]},
                {"report": [[1]]},
                {"report": [[None, "", ""]]},
                {"report": [["a", "", ""]]},
            ),
        ),
    ],
)
def test_a_file_that_makes_it_say_anything_else_costs_only_its_own_picture(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made_up_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made_up = Worker()
    monkeypatch.setattr(made_up.asked, "_command", beside.command("made_up_worker"))
    try:
        with drawing_by(made_up):
            assert described(content).error in {"it can't be read", "what draws pictures failed at it"}
            assert (described(b"right").error, described(b"right").rows) == ("", 4)
            assert drawn(b"right").content.startswith(PNG)
    finally:
        made_up.close()


def test_a_number_that_no_file_can_have_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "ask", lambda *_: ({"frames": "1e300", "rows": "-7", "columns": "1e999"}, b""))
    header = described(b"any")
    assert (header.frames, header.rows, header.columns) == (1 << 31, 0, 0)


def test_where_no_process_can_be_started_there_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(beside, "start", refuses)
    with drawing_by(Worker()):
        # Whatever the file is: it isn't its fault.
        assert picture(b"any").error.startswith("no process can be started on this machine")


def test_the_samples_of_others_are_described_and_most_are_drawn() -> None:
    made: dict[str, bool] = {}
    for path in sorted(Path(shared("data", "dicom")).glob("*.dcm")):
        header = described(path.read_bytes())
        assert header.error == "", path.name
        if header.has_image:
            made[path.name] = bool(drawn(path.read_bytes()).content)
    # JPEG lossless needs a decoder that isn't there; the others must be drawn.
    assert {name for name, is_drawn in made.items() if not is_drawn} <= {"JPEG-LL.dcm"}
    assert len(made) > 8


def webp(width: int, height: int) -> bytes:
    """Return the head of a WebP file that says so of itself."""
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + sides


def deflated(size: int) -> bytes:
    """Return a DICOM object whose data set unpacks to so many bytes of nothing."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    syntax = b"\x02\0\x10\0UI\x16\x001.2.840.10008.1.2.1.99"
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()
    return bytes(128) + b"DICM" + syntax + packed


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (png(60_000, 60_000), "its image has more pixels than are drawn"),
        (png(1 << 17, 1), "its image is longer on one side than is drawn"),
        (webp(8192, 8192), "its image has more pixels than are drawn"),
        (webp(1 << 24, 1), "its image is longer on one side than is drawn"),
    ],
)
def test_a_bound_is_looked_at_before_a_pixel_is_decoded_and_named(content: bytes, told: str) -> None:
    assert image_worker.answer({"do": "picture"}, content) == ({"error": told}, b"")


def test_a_deflated_object_is_unpacked_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_worker, "MOST_UNPACKED", 8 << 20)
    told = {"error": "it unpacks to more bytes than are drawn"}
    for asked in ({"do": "describe"}, {"do": "draw"}, {"do": "cine"}):
        assert image_worker.answer(asked, deflated(9 << 20)) == (told, b"")
    assert "error" not in image_worker.answer({"do": "describe"}, deflated(1 << 20))[0]


def test_a_large_picture_is_made_smaller_in_strips_and_looks_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    Image = pytest.importorskip("PIL.Image")  # noqa: N806
    from PIL import ImageChops

    monkeypatch.setattr(image_worker, "_SIDE", 64)
    monkeypatch.setattr(image_worker, "_STRIP", 1000)
    for mode, size in (
        ("RGB", (500, 333)),
        ("RGBA", (333, 500)),
        ("P", (257, 300)),
        ("L", (2000, 3)),
        ("1", (300, 300)),
    ):
        image = Image.linear_gradient("L").resize(size).convert(mode)
        drawn_as = "RGBA" if mode in ("RGBA", "P") else "RGB"
        whole = image.convert(drawn_as)
        whole.thumbnail((64, 64))
        small = image_worker._shrunk(image, drawn_as)
        assert (small.mode, small.size) == (whole.mode, whole.size)
        # Rounding, and where a side isn't a multiple of what becomes one pixel.
        apart = ImageChops.difference(small, whole).convert("L").histogram()
        assert not any(apart[12:])


def test_what_draws_too_slowly_or_dies_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made_up_worker.py").write_text("import sys, time\n\ndef main():\n    sys.stdin.read()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made_up = Worker()
    monkeypatch.setattr(made_up.asked, "_command", beside.command("made_up_worker"))
    monkeypatch.setattr(made_up.asked, "_seconds", 0.2)
    try:
        with drawing_by(made_up):
            assert picture(b"any").error == "it takes too long"
    finally:
        made_up.close()
