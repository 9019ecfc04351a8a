"""HL7 v2: messages are cut without losing a byte, categorised by their type, and restricted by their codes."""

from __future__ import annotations

import io
from base64 import b64decode, b64encode

import pytest

from panachain.errors import InputError
from panachain.model.scope import UNDATED, Category
from panachain.records import hl7
from panachain.records.fhir_codes import RESTRICTED_DEFAULT
from panachain.records.hl7 import begins_hl7, split_messages
from panachain.records.split import Piece


def message(kind: str = "ORU^R01", *segments: str, time: str = "20240305") -> bytes:
    head = rf"MSH|^~\&|A|B|C|D|{time}||{kind}|1|P|2.5"
    return "\r".join([head, *segments, ""]).encode()


def split(data: bytes, category: Category | None = None) -> list[Piece]:
    return list(split_messages(io.BytesIO(data), category))


@pytest.mark.parametrize(
    ("start", "is_hl7"),
    [
        (message(), True),
        (b"\xef\xbb\xbf" + message(), True),
        (b"\x0b" + message(), True),
        (b"FHS|^~\\&|A", True),
        (b"MSH#^~\\&#A", True),
        (b"MSHx^~", False),
        (b"{", False),
        (b"", False),
    ],
)
def test_a_header_segment_tells(start: bytes, is_hl7: bool) -> None:
    assert begins_hl7(start) is is_hl7


class TestCut:
    @pytest.mark.parametrize("window", [4096, 1 << 20])
    def test_a_message_in_a_text_stays_in_it(self, monkeypatch: pytest.MonkeyPatch, window: int) -> None:
        """What a router forwards in OBX-5: lines of a text, not segments of the file."""
        monkeypatch.setattr(hl7, "_WINDOW", window)
        inner = "\nMSH|^~\\&|X|Y|Z|W|20190101||ORU^R01|9|P|2.3\nPID|1||8\nend of text"
        outer = message("ORU^R01", f"OBX|1|TX|1^x^L||{'filler ' * 800}{inner}", "NTE|1")
        data = outer + message("ADT^A01", time="2021")
        pieces = split(data)
        assert [piece.content for piece in pieces] == [outer, message("ADT^A01", time="2021")]
        assert [piece.year for piece in pieces] == [2024, 2021]
        # It still tells: its patient, and whatever is sensitive in it.
        assert [fields[3] for _, _, fields in hl7.patients(io.BytesIO(data))] == [b"8"]
        sick = outer.replace(b"PID|1||8", b"DG1|1||B20^HIV^I10C")
        assert [piece.category for piece in split(sick)] == [Category.SEXUAL_HEALTH]

    @pytest.mark.parametrize("between", [b"\n", b"\r\n", b"\r", b"\n\n"])
    @pytest.mark.parametrize("ends", [b"\r", b"\n", b"\r\n"])
    def test_messages_are_cut_however_they_are_joined(self, between: bytes, ends: bytes) -> None:
        one, other = (message("ORU^R01", "OBX|1|ST|x").rstrip(b"\r").replace(b"\r", ends) for _ in range(2))
        assert [piece.year for piece in split(one + between + other + ends)] == [2024, 2024]

    @pytest.mark.parametrize("window", [17, 64, 1 << 20])
    @pytest.mark.parametrize("framed", [False, True])
    def test_no_byte_is_lost_whatever_is_read_at_once(
        self, monkeypatch: pytest.MonkeyPatch, window: int, framed: bool
    ) -> None:
        monkeypatch.setattr(hl7, "_WINDOW", window)
        one = message("ORU^R01", "OBX|1|ST|x", time="2020"), message("ADT^A01", time="2021"), message("VXU^V04")
        data = b"".join(b"\x0b" + each + b"\x1c\r" for each in one) if framed else b"".join(one)
        pieces = split(data)
        assert b"".join(bytes(piece.content) for piece in pieces) == data
        assert [piece.category for piece in pieces] == [
            Category.LABORATORY,
            Category.ENCOUNTERS,
            Category.IMMUNIZATIONS,
        ]
        assert [piece.year for piece in pieces] == [2020, 2021, 2024]

    def test_a_batch_keeps_its_head_and_its_trailer(self) -> None:
        data = b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + message() + message() + b"BTS|2\rFTS|1\r"
        first, second = split(data)
        assert bytes(first.content).startswith(b"FHS")
        assert bytes(second.content).endswith(b"FTS|1\r")

    def test_one_that_does_not_end_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hl7, "MAX_MESSAGE", 1000)
        monkeypatch.setattr(hl7, "_WINDOW", 100)
        with pytest.raises(InputError, match="one HL7 v2 message has more than 1000 bytes"):
            split(message("ORU^R01", "NTE|" + "x" * 5000))


@pytest.mark.parametrize("time", ["", "soon", "20"])
def test_a_time_that_is_none_gives_no_year(time: str) -> None:
    assert split(message(time=time))[0].year == UNDATED


class TestRestricted:
    @pytest.mark.parametrize(
        ("segment", "category"),
        [
            ("DG1|1||F32.9^Depression^I10", Category.MENTAL_HEALTH),
            ("OBX|1|CE|86406008^HIV", Category.SEXUAL_HEALTH),
            ("OBX|1|CE|1|1|7200002^x", Category.SUBSTANCE_USE),
            ("ARV|1||PSY", Category.MENTAL_HEALTH),
            ("ARV|1||DRG", Category.SUBSTANCE_USE),
            ("TXA|1" + "|" * 17 + "R", RESTRICTED_DEFAULT),
            ("PID|1||F32.9", None),
            ("PV1|1||86406008", None),
            ("NTE|1||86406008", None),
        ],
    )
    def test_only_fields_that_hold_codes_count(self, segment: str, category: Category | None) -> None:
        (piece,) = split(message("ORU^R01", segment))
        assert piece.category is (category or Category.LABORATORY)

    @pytest.mark.parametrize("segment", ["OBX", "NTE", "RXE", "SCH", "AIS", "PV1", "IN1", "ORC", "ZAB"])
    def test_words_count_in_any_field_of_any_segment(self, segment: str) -> None:
        for number in (1, 2, 6, 21, 60, 130):
            for text in ("HIV disease", "^HIV disease^L", "a~b~since 2019 HIV&x", r"on\.br\HIV treatment"):
                (piece,) = split(message("ADT^A01", segment + "|" * number + text))
                assert piece.category is Category.SEXUAL_HEALTH, (number, text)
            assert split(message("ADT^A01", segment + "|" * number + "a broken leg"))[0].category is Category.ENCOUNTERS

    @pytest.mark.parametrize("segment", ["PID", "NK1", "GT1"])
    def test_a_persons_name_tells_nothing(self, segment: str) -> None:
        (piece,) = split(message("ADT^A01", f"{segment}|1||1||Hiv^Aids"))
        assert piece.category is Category.ENCOUNTERS

    @pytest.mark.parametrize(
        ("encoding", "content", "closed"),
        [
            ("Base64", b64encode(b"since 2019 HIV disease").decode(), True),
            ("BASE64", b64encode("<p>HIV disease".encode("utf-16")).decode(), True),
            ("Hex", b"HIV disease".hex(), True),
            ("A", "HIV disease", True),
            ("Base64", "HIV disease, which is no base64!", True),
            ("Base64", b64encode(b"a broken leg").decode(), False),
            # What base64 spells by chance is no word.
            ("Base64", b64encode(b"ab\xfa" + b64decode("+hiv/AAA") + b"ab\xfa").decode(), False),
            ("Base64", b64encode(bytes(range(256)) * 9 + b"HIV disease").decode(), False),
        ],
    )
    def test_a_file_that_is_a_text_is_read(self, encoding: str, content: str, closed: bool) -> None:
        (piece,) = split(message("MDM^T02", f"OBX|1|ED|1^Note^L||lab^text^plain^{encoding}^{content}"))
        assert piece.category is (Category.SEXUAL_HEALTH if closed else Category.DOCUMENTS)

    def test_a_named_category_gives_way_to_a_restricted_one_only(self) -> None:
        data = message("ORU^R01", "DG1|1||F32.9")
        assert split(message(), Category.IMAGING)[0].category is Category.IMAGING
        assert split(data, Category.IMAGING)[0].category is Category.MENTAL_HEALTH
        assert split(data, Category.SEXUAL_HEALTH)[0].category is Category.SEXUAL_HEALTH
