"""HL7 v2 as people read it: segments and fields by name, escapes undone, and what was taken back marked."""

from __future__ import annotations

from panachain.viewer.hl7 import MOST_SEGMENTS, read_hl7, title_of
from tests.support import shared

MESSAGE = (
    "MSH|^~\\&|LAB|City clinic|||20240131093000||ORU^R01|7|P|2.5\r"
    "PID|1||9^^^X~8||Doe^Jane||19700102|F\r"
    "OBX|1|NM|2345-7^Glucose^LN||5.1|mmol/L|3.9-6.1|N|||F\r"
    "OBX|2|TX|x^Note||a\\T\\b\\.br\\c\\X41\\||||||W\r"
    "ZZZ|1|own\r"
)


def test_names_segments_and_fields() -> None:
    message = read_hl7(MESSAGE.encode())
    assert [one.title for one in message.segments] == ["Message", "Patient", "Observation", "Observation", ""]
    patient = {line.label: line.value for line in message.segments[1].lines}
    assert (patient["Name"], patient["Number"]) == ("Doe · Jane", "9 · X\n8")
    assert next(line.when.shown("en") for line in message.segments[1].lines if line.label == "Born") == "2 Jan 1970"
    assert [line.label for line in message.segments[4].lines] == ["ZZZ-1", "ZZZ-2"]


def test_escapes_are_undone() -> None:
    assert "a&b\ncA" in [line.value for line in read_hl7(MESSAGE.encode()).segments[3].lines]


def test_what_was_taken_back_is_marked() -> None:
    assert [one.is_taken_back for one in read_hl7(MESSAGE.encode()).segments] == [False, False, False, True, False]


def test_the_title_is_kind_and_time() -> None:
    kind, when = title_of(MESSAGE.encode())
    assert (kind, when.shown("en")) == ("ORU R01", "31 Jan 2024, 09:30")
    assert title_of(b"nothing")[0] == ""
    assert title_of(b"MSH|")[0] == ""


def test_other_separators_and_utf16() -> None:
    other = MESSAGE.replace("|", "$").encode("utf-16-le")
    assert read_hl7(other).segments[1].title == "Patient"


def test_many_segments_are_cut_and_it_says_so() -> None:
    message = read_hl7(b"MSH|^~\\&|a\r" + b"NTE|1||x\r" * (MOST_SEGMENTS + 5))
    assert (len(message.segments), message.is_cut) == (MOST_SEGMENTS, True)


def test_every_sample_is_read() -> None:
    for path in sorted(shared("data", "hl7v2").glob("*.hl7")):
        message = read_hl7(path.read_bytes())
        assert message.segments[0].name == "MSH", path.name
        assert title_of(path.read_bytes())[0], path.name
