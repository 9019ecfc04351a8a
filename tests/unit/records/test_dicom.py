"""DICOM: what an object says that is sensitive is found in every transfer syntax, and its pixels are never read."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from panachain.errors import InputError
from panachain.model.scope import Category
from panachain.records import dicom
from panachain.records.sources import find_sources

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


def code(value: str, scheme: str, meaning: str = "") -> Dataset:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = value, scheme, meaning
    return made


def nested(depth: int, text: str) -> Dataset:
    made = Dataset()
    made.ValueType = "CONTAINER"
    if depth:
        made.ContentSequence = Sequence([nested(depth - 1, "none"), nested(depth - 1, text)])
    else:
        made.TextValue = text
    return made


def image(syntax: str, change: Callable[[Dataset], None], *, undefined: bool = False) -> io.BytesIO:
    """Return an object of a transfer syntax, its sequences of a stated length or ended by a mark."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = CTImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = "1.2.3"
    made.StudyDate, made.Modality, made.Rows, made.Columns = "20220817", "CT", 4, 4
    made.PatientName, made.PatientID, made.OtherPatientNames = "Hiv^Aids", "HIV-7", "Hiv^Suizid"
    change(made)
    for element in made.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = undefined
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    file.seek(0)
    return file


def study(made: Dataset) -> None:
    made.StudyDescription = "CT chest, HIV disease"


def diagnosis(made: Dataset) -> None:
    made.AdmittingDiagnosesDescription = "HIV disease"


def comment(made: Dataset) -> None:
    made.ImageComments = "word " * 500 + "HIV disease"


def coded(made: Dataset) -> None:
    made.ProcedureCodeSequence = Sequence([code("P5-09051", "SRT", "Chest CT"), code("B20", "I10")])


def meant(made: Dataset) -> None:
    made.RequestAttributesSequence = Sequence([Dataset()])
    made.RequestAttributesSequence[0].ReasonForRequestedProcedureCodeSequence = Sequence(
        [code("1", "99X", "HIV disease")]
    )


def report(made: Dataset) -> None:
    made.ContentSequence = Sequence([nested(5, "HIV disease")])


def document(made: Dataset) -> None:
    made.MIMETypeOfEncapsulatedDocument = "text/XML"
    made.EncapsulatedDocument = b"<a><value displayName='HIV disease'/></a> "


def private(made: Dataset) -> None:
    made.private_block(0x0029, "OURS", create=True).add_new(1, "LT", "HIV disease")


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=["explicit", "implicit", "big", "deflated"])
@pytest.mark.parametrize("change", [study, diagnosis, comment, coded, meant, report, document, private])
def test_what_is_said_anywhere_in_the_header_tells(
    change: Callable[[Dataset], None], syntax: str, undefined: bool
) -> None:
    assert {one.kind for one in dicom.findings(image(syntax, change, undefined=undefined))} == {"HIV"}


@pytest.mark.parametrize("syntax", SYNTAXES, ids=["explicit", "implicit", "big", "deflated"])
def test_who_somebody_is_and_pixels_tell_nothing(syntax: str) -> None:
    def pixels(made: Dataset) -> None:
        made.StudyDescription = "CT chest"
        made.BitsAllocated = 8
        made.PixelData = b"HIV disease "

    assert dicom.findings(image(syntax, pixels)) == []


def test_a_code_is_looked_at_in_its_own_scheme() -> None:
    def beds(made: Dataset) -> None:
        first, second = code("J45", "I10"), code("B20", "99BEDS", "a bed")
        del first.CodeMeaning
        made.ProcedureCodeSequence = Sequence([first, second])

    assert dicom.findings(image(ExplicitVRLittleEndian, beds)) == []


@pytest.mark.parametrize(
    ("label", "closed"), [("R", True), ("V", True), ("HIV", True), ("SECRET", True), ("N", False), ("", False)]
)
@pytest.mark.parametrize("member", ["ConfidentialityCode", "ConfidentialityConstraintOnPatientDataDescription"])
def test_a_label_of_confidentiality_closes(member: str, label: str, closed: bool) -> None:
    found = dicom.findings(image(ExplicitVRLittleEndian, lambda made: setattr(made, member, label)))
    assert bool(found) is closed


def test_an_object_goes_where_its_text_belongs(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"

    def category(named: Category | None) -> Category:
        (source,) = find_sources([path], named)
        (record,) = source.records()
        return record.category

    path.write_bytes(image(ExplicitVRLittleEndian, study).read())
    assert category(None) is Category.SEXUAL_HEALTH
    assert category(Category.DOCUMENTS) is Category.SEXUAL_HEALTH
    assert category(Category.MENTAL_HEALTH) is Category.MENTAL_HEALTH
    (source,) = find_sources([path])
    (one,) = source.classified()
    assert (one.kinds, one.why) == (("HIV",), ("words: hiv",))
    path.write_bytes(image(ExplicitVRLittleEndian, lambda made: None).read())
    assert category(None) is Category.IMAGING
    assert category(Category.DOCUMENTS) is Category.DOCUMENTS


def test_a_text_that_nobody_looks_at_whole_takes_a_restricted_category(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicom, "_MOST_TEXT", 1000)
    with pytest.raises(InputError, match="nobody looks at all of its words"):
        dicom.findings(image(ExplicitVRLittleEndian, comment))
    path = tmp_path / "a.dcm"
    path.write_bytes(image(ExplicitVRLittleEndian, comment).read())
    (source,) = find_sources([path], Category.SEXUAL_HEALTH)
    assert [record.category for record in source.records()] == [one.category for one in source.classified()]


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_the_images_of_another_program_are_read_without_a_false_alarm() -> None:
    for path in sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm")):
        with path.open("rb") as file:
            try:
                dicom.study_year(file)
                assert dicom.findings(file) == [], path.name
            except InputError:
                continue


class TestTexts:
    @pytest.mark.parametrize("syntax", SYNTAXES)
    @pytest.mark.parametrize("undefined", [True, False])
    def test_what_a_person_reads_is_there_in_every_transfer_syntax_and_no_person_is(
        self, syntax: str, undefined: bool
    ) -> None:
        def change(made: Dataset) -> None:
            made.StudyDescription, made.BodyPartExamined = "Whole body bone", "CHEST"
            made.ReferringPhysicianName, made.OperatorsName = "Family^Given", "Family^Given"
            coded(made)
            made.ContentSequence = Sequence([nested(3, "small nodule in the left lobe")])

        found = list(dicom.texts(image(syntax, change, undefined=undefined)))
        assert [text for system, text in found if not system] == [
            *("CT", "Whole body bone", "Chest CT", "CHEST"),
            *(["none"] * 7),
            "small nodule in the left lobe",
        ]
        assert [one for one in found if one[0]] == [("SRT", "P5-09051"), ("I10", "B20")]

    @pytest.mark.parametrize(
        ("sets", "text"),
        [
            ("ISO_IR 100", "Entz\u00fcndung der Lunge"),
            ("ISO_IR 101", "choroba p\u0142uc"),
            ("ISO_IR 144", "\u0437\u0430\u0431\u043e\u043b\u0435\u0432\u0430\u043d\u0438\u0435"),
            ("ISO_IR 126", "\u03c0\u03bd\u03b5\u03cd\u03bc\u03bf\u03bd\u03b1\u03c2"),
            ("ISO_IR 192", "\u8840\u7cd6 Entz\u00fcndung"),
            ("GB18030", "\u80ba\u708e"),
            (["", "ISO 2022 IR 87"], "\u80ba\u708e"),
            (["", "ISO 2022 IR 149"], "\ud3d0\ub834"),
        ],
    )
    def test_a_text_is_in_the_character_set_that_the_object_names(self, sets: str | list[str], text: str) -> None:
        def change(made: Dataset) -> None:
            made.SpecificCharacterSet, made.StudyDescription = sets, text

        assert ("", text) in list(dicom.texts(image(ExplicitVRLittleEndian, change)))

    def test_a_long_codes_system_stands_before_it(self) -> None:
        def change(made: Dataset) -> None:
            held = Dataset()
            held.CodingSchemeDesignator, held.LongCodeValue, held.CodeMeaning = "SCT", "9" * 17, "Something"
            made.ProcedureCodeSequence = Sequence([held])

        assert ("SCT", "9" * 17) in list(dicom.texts(image(ExplicitVRLittleEndian, change)))

    def test_more_than_any_object_says_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dicom, "_MOST_TEXTS", 2000)
        with pytest.raises(InputError, match="2,000 bytes"):
            list(dicom.texts(image(ExplicitVRLittleEndian, comment)))
