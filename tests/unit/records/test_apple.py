"""Apple Health: an export is cut by year and category, types that tell are closed, a DTD may declare and no more."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET  # reads what these tests made themselves
from collections import Counter
from pathlib import Path

import pytest

from panachain.errors import InputError
from panachain.model.scope import RESTRICTED, UNDATED, Category
from panachain.records import apple, split
from panachain.records.apple import split_export
from panachain.records.sensitivity import PROFILES, matcher_of
from panachain.records.sensitivity.kinds import kinds
from panachain.records.sensitivity.tables import rows
from panachain.records.sources import find_sources, read_bytes
from panachain.records.split import Piece
from tests.unit.records.helpers import content_of

DTD = """<!DOCTYPE HealthData [
<!-- HealthKit Export Version: 14 -->
<!ELEMENT HealthData (ExportDate,Me,(Record|Correlation)*)>
<!ATTLIST HealthData
  locale CDATA #REQUIRED
>
<!ELEMENT Record (MetadataEntry*)>
<!ATTLIST Record
  type CDATA #REQUIRED
  value CDATA #IMPLIED
>
]>"""
ME = '<Me HKCharacteristicTypeIdentifierDateOfBirth="1980-02-03"/>'


def export(*elements: str, dtd: str = DTD) -> bytes:
    inside = "\n ".join(('<ExportDate value="2024-06-01 10:00:00 +0000"/>', *elements))
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n{dtd}\n<HealthData locale="en">\n {inside}\n</HealthData>\n'.encode()
    )


def record(kind: str, year: int = 2024, inside: str = "", value: str = "1") -> str:
    date = f"{year}-06-01 10:00:00 +0000"
    told = f'type="{kind}" sourceName="Watch" startDate="{date}" endDate="{date}" value="{value}"'
    return f"<Record {told}>{inside}</Record>"


def pieces(*elements: str, category: Category | None = None, profile: str = "default") -> list[Piece]:
    return list(split_export(io.BytesIO(export(*elements)), category, matcher_of(PROFILES[profile])))


def way_of(element: str, profile: str = "default") -> tuple[Category, int]:
    first = pieces(element, profile=profile)[0]
    return first.category, first.year


@pytest.mark.parametrize(
    ("element", "category", "year"),
    [
        (record("HKQuantityTypeIdentifierHeartRate"), Category.VITALS, 2024),
        (record("HKQuantityTypeIdentifierStepCount", 2019), Category.VITALS, 2019),
        (record("HKQuantityTypeIdentifierBloodGlucose"), Category.LABORATORY, 2024),
        (record("HKQuantityTypeIdentifierInsulinDelivery"), Category.MEDICATIONS, 2024),
        (record("HKCategoryTypeIdentifierSexualActivity"), Category.SEXUAL_HEALTH, 2024),
        (record("HKCategoryTypeIdentifierMenstrualFlow"), Category.SEXUAL_HEALTH, 2024),
        (record("HKCategoryTypeIdentifierContraceptive"), Category.SEXUAL_HEALTH, 2024),
        (record("HKCategoryTypeIdentifierPregnancy"), Category.SEXUAL_HEALTH, 2024),
        (record("HKCategoryTypeIdentifierLactation"), Category.SEXUAL_HEALTH, 2024),
        (record("HKDataTypeStateOfMind"), Category.MENTAL_HEALTH, 2024),
        (record("HKScoredAssessmentTypeIdentifierPHQ9"), Category.MENTAL_HEALTH, 2024),
        (record("HKScoredAssessmentTypeIdentifierGAD7"), Category.MENTAL_HEALTH, 2024),
        ('<StateOfMind startDate="2024-01-01"/>', Category.MENTAL_HEALTH, 2024),
        (record("HKQuantityTypeIdentifierNumberOfAlcoholicBeverages"), Category.SUBSTANCE_USE, 2024),
        ('<ClinicalRecord type="Condition" receivedDate="2021-01-01 00:00:00 +0000"/>', Category.MENTAL_HEALTH, 2021),
        ('<ActivitySummary dateComponents="2020-02-03"/>', Category.VITALS, 2020),
        ('<Workout workoutActivityType="HKWorkoutActivityTypeYoga" startDate="2022-01-01"/>', Category.VITALS, 2022),
        (ME, Category.DEMOGRAPHICS, UNDATED),
        # A type that nobody listed is looked at by its words, and so are notes, apps and medicines.
        (record("HKCategoryTypeIdentifierAlcoholism"), Category.SUBSTANCE_USE, 2024),
        (record("HKQuantityTypeIdentifierHeartRate", inside='<MetadataEntry key="note" value="methadone"/>'),
         Category.SUBSTANCE_USE, 2024),
        (record("HKQuantityTypeIdentifierHeartRate").replace("Watch", "HIV companion"), Category.SEXUAL_HEALTH, 2024),
        # What holds something sensitive is as closed as that is.
        (f'<Correlation type="X" startDate="2018-01-01">{record("HKCategoryTypeIdentifierPregnancy")}</Correlation>',
         Category.SEXUAL_HEALTH, 2018),
    ],
)  # fmt: skip
def test_an_element_goes_by_its_type_and_year(element: str, category: Category, year: int) -> None:
    assert way_of(element) == (category, year)


def test_what_only_hints_is_closed_by_the_strict_profile_and_each_kind_by_the_profile_that_names_it() -> None:
    mindful, pregnant = record("HKCategoryTypeIdentifierMindfulSession"), record("HKCategoryTypeIdentifierPregnancy")
    assert way_of(mindful)[0] is Category.VITALS
    assert way_of(mindful, "strict")[0] is Category.MENTAL_HEALTH
    assert way_of(pregnant, "us-42cfr2")[0] is Category.VITALS
    # A clinical record that nobody looked into is closed in any case.
    assert way_of('<ClinicalRecord type="x"/>', "minimal")[0] in RESTRICTED


def test_each_listed_type_is_closed_and_has_a_kind_and_a_source() -> None:
    for kind, code, strength, display, source in rows("apple"):
        assert kinds()[code].category in RESTRICTED
        assert strength in ("tells", "hints")
        assert display
        assert "2026" in source
        assert way_of(record(kind.replace("*", "X")), "strict")[0] is kinds()[code].category


def test_nothing_is_dropped_and_each_element_keeps_its_bytes() -> None:
    elements = [
        ME,
        *(record("HKQuantityTypeIdentifierHeartRate", 2020 + at % 3, value=str(at)) for at in range(30)),
        record("HKCategoryTypeIdentifierSexualActivity", inside="\n  <MetadataEntry key='a' value='b'/>\n "),
    ]
    found = pieces(*elements)
    texts = [content_of(piece).decode() for piece in found]
    assert all(sum(element in text for text in texts) == 1 for element in elements)
    assert Counter(one.tag for text in texts for one in ET.fromstring(text.encode())) == {
        "Record": 31, "Me": 1, "ExportDate": 1}  # fmt: skip
    assert texts[-1].startswith(f'<?xml version="1.0" encoding="UTF-8"?>\n{DTD}\n<HealthData locale="en">')
    assert (found[-1].category, found[-1].year) == (Category.DOCUMENTS, UNDATED)
    assert {piece.media_type for piece in found} == {"application/xml"}


def test_a_restricted_category_that_is_named_closes_all_and_a_common_one_opens_nothing() -> None:
    both = record("HKQuantityTypeIdentifierHeartRate"), record("HKCategoryTypeIdentifierPregnancy")
    named = {piece.category for piece in pieces(*both, category=Category.SUBSTANCE_USE)}
    assert named == {Category.SUBSTANCE_USE, Category.SEXUAL_HEALTH}
    assert {piece.category for piece in pieces(*both, category=Category.VITALS)} == {
        Category.VITALS, Category.SEXUAL_HEALTH, Category.DOCUMENTS}  # fmt: skip


def test_an_export_is_cut_with_bounded_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "GROUP_SIZE", 3000)
    found = pieces(*(record("HKQuantityTypeIdentifierHeartRate", value=str(at)) for at in range(200)))
    assert len(found) > 10
    assert all(len(content_of(piece)) < 5000 for piece in found)


@pytest.mark.parametrize(
    "declared",
    [
        '<!ENTITY a "b">',
        '<!ENTITY % a "b">',
        '<!ENTITY a SYSTEM "file:///etc/passwd">',
        '<!ATTLIST Record type CDATA "HKQuantityTypeIdentifierHeartRate">',
        '<!ATTLIST Record type CDATA #FIXED "x">',
    ],
)
def test_a_dtd_that_declares_more_than_elements_is_refused(declared: str) -> None:
    bad = DTD.replace("<!ELEMENT Record", f"{declared}\n<!ELEMENT Record")
    with pytest.raises(InputError, match="declares entities") as caught:
        list(read_bytes(export(ME, dtd=bad), ".xml"))
    assert "passwd" not in str(caught.value)
    with pytest.raises(InputError, match="names a DTD outside"):
        list(read_bytes(export(ME, dtd='<!DOCTYPE HealthData SYSTEM "http://example.org/a.dtd">'), ".xml"))


def test_an_export_is_told_shown_and_compared(tmp_path: Path) -> None:
    path = tmp_path / "export.xml"
    path.write_bytes(
        export(ME, *(record("HKQuantityTypeIdentifierHeartRate") for _ in range(3)), record("HKDataTypeStateOfMind"))
    )
    (source,) = find_sources([path])
    shown = {one.resource: (one.category, one.year, one.kinds) for one in source.classified()}
    assert shown == {
        "Me (1)": (Category.DEMOGRAPHICS, UNDATED, ()),
        "HKQuantityTypeIdentifierHeartRate (3)": (Category.VITALS, 2024, ()),
        "HKDataTypeStateOfMind (1)": (Category.MENTAL_HEALTH, 2024, ("MH",)),
    }
    (person,) = source.persons()
    assert (person.form, person.births) == ("apple", {"19800203"})
    path.write_bytes(export(record("HKDataTypeStateOfMind")))
    (source,) = find_sources([path], Category.SUBSTANCE_USE)
    assert source.persons() == []
    assert [one.category for one in source.classified()] == [Category.MENTAL_HEALTH]


def test_a_name_of_an_element_alone_makes_no_export() -> None:
    (piece,) = read_bytes(b'<HealthData xmlns="urn:other"><Record/></HealthData>', ".xml")
    assert piece.category is Category.DOCUMENTS
    assert apple.ROOT in piece.content.decode() if isinstance(piece.content, bytes) else False


def test_a_document_with_two_roots_is_refused_with_what_to_do() -> None:
    two = b'<?xml version="1.0"?>\n<ClinicalDocument xmlns="urn:hl7-org:v3"/>\n<component xmlns="urn:hl7-org:v3"/>'
    with pytest.raises(InputError, match="something follows its root element") as caught:
        list(read_bytes(two, ".xml"))
    assert "export.xml" in caught.value.hint
