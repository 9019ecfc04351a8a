"""Kinds of files that once went to the wrong category, each with its twin that stays where it belongs.

Each class holds one kind, told by what whole files look like, so that no change of one format's reader loses it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from panachain.model.scope import Category
from panachain.records.classify import Classified
from panachain.records.sources import find_sources

ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
ICD9 = "http://hl7.org/fhir/sid/icd-9-cm"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ATC = "http://www.whocc.no/atc"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
LOCAL = "http://hospital.example/codes"
SEXUAL, MENTAL, SUBSTANCE = Category.SEXUAL_HEALTH, Category.MENTAL_HEALTH, Category.SUBSTANCE_USE
VIOLENCE, GENDER = Category.VIOLENCE, Category.GENDER
HEAD = r"MSH|^~\&|LAB|CLINIC|PC|HOME|20230304050607||{kind}|m1|P|2.5" + "\rPID|1||p7\r"


def classified(folder: Path, content: dict[str, Any] | str, category: Category | None = None) -> list[Classified]:
    path = folder / ("source.json" if isinstance(content, dict) else "source.hl7")
    path.write_bytes((json.dumps(content) if isinstance(content, dict) else content).encode())
    return [one for source in find_sources([path], category) for one in source.classified()]


def category(folder: Path, content: dict[str, Any] | str) -> Category:
    (one,) = classified(folder, content)
    return one.category


def concept(system: str, code: str = "", display: str = "") -> dict[str, Any]:
    members = {"system": system, "code": code, "display": display}
    return {"coding": [{name: value for name, value in members.items() if value}]}


def of_type(kind: str, **members: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": "r", "subject": {"reference": "Patient/p"}, **members}


def bundle(*resources: dict[str, Any], **members: Any) -> dict[str, Any]:
    entries = [{"resource": one} for one in resources]
    return {"resourceType": "Bundle", "type": "searchset", **members, "entry": entries}


@pytest.mark.parametrize("kind", ["Claim", "ExplanationOfBenefit"])
class TestDiagnosesOnClaims:
    """Claims leave the points out, and older ones are coded in ICD-9-CM."""

    @pytest.mark.parametrize(
        ("system", "code", "expected"),
        [
            (ICD10, "F1220", SUBSTANCE),
            (ICD10, "f12.20", SUBSTANCE),
            (ICD10, "f410", MENTAL),
            (ICD10, "B20", SEXUAL),
            (ICD9, "303.90", SUBSTANCE),
            (ICD9, "30390", SUBSTANCE),
            (ICD9, "042", SEXUAL),
            (ICD9, "v08", SEXUAL),
            (ICD9, "295.30", MENTAL),
            (ICD9, "635.70", SEXUAL),
            (ICD10, "J45.50", Category.INSURANCE),
            (ICD9, "250.00", Category.INSURANCE),
        ],
    )
    def test_a_code_closes_however_it_is_spelled(
        self, tmp_path: Path, kind: str, system: str, code: str, expected: Category
    ) -> None:
        diagnosis = [{"sequence": 1, "diagnosisCodeableConcept": concept(system, code)}]
        assert category(tmp_path, of_type(kind, diagnosis=diagnosis)) is expected


class TestMedicines:
    @pytest.mark.parametrize(
        ("system", "code", "display", "expected"),
        [
            (RXNORM, "6813", "", SUBSTANCE),
            (RXNORM, "", "Disulfiram 250 MG Oral Tablet", SUBSTANCE),
            (RXNORM, "", "acamprosate calcium 333 MG", SUBSTANCE),
            (RXNORM, "276237", "", SEXUAL),
            (RXNORM, "", "dolutegravir 50 MG / rilpivirine 25 MG", SEXUAL),
            (RXNORM, "", "mifepristone 200 MG", SEXUAL),
            (RXNORM, "", "Lithium Carbonate 300 MG", MENTAL),
            (ATC, "N07BC01", "", SUBSTANCE),
            (ATC, "J05AR13", "", SEXUAL),
            (ATC, "N05AH02", "", MENTAL),
            (ATC, "C09AA05", "ramipril", Category.MEDICATIONS),
            (RXNORM, "", "amoxicillin 500 MG", Category.MEDICATIONS),
        ],
    )
    def test_a_medicine_gives_away_what_it_is_for(
        self, tmp_path: Path, system: str, code: str, display: str, expected: Category
    ) -> None:
        medicine = of_type("MedicationRequest", medicationCodeableConcept=concept(system, code, display))
        assert category(tmp_path, medicine) is expected


class TestLabels:
    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("42CFRPart2", SUBSTANCE),
            ("Title38Section7332", SUBSTANCE),
            ("HIPAAPsyNotes", MENTAL),
            ("ETHUD", SUBSTANCE),
            ("PSYTHPN", MENTAL),
            ("STD", SEXUAL),
            ("GENDER", GENDER),
            ("SDV", VIOLENCE),
            ("PRS", Category.PRIVATE),
        ],
    )
    def test_a_law_or_a_kind_on_a_resource_closes_it(self, tmp_path: Path, code: str, expected: Category) -> None:
        labelled = of_type("Encounter", meta={"security": [{"system": ACT, "code": code}]})
        assert category(tmp_path, labelled) is expected

    def test_a_label_on_the_bundle_closes_each_entry(self, tmp_path: Path) -> None:
        entries = of_type("Immunization"), {**of_type("Observation"), "id": "s"}
        found = classified(tmp_path, bundle(*entries, meta={"security": [{"system": ACT, "code": "STD"}]}))
        assert {one.category for one in found} == {SEXUAL}

    def test_without_a_label_each_entry_stays_where_it_belongs(self, tmp_path: Path) -> None:
        found = classified(tmp_path, bundle(of_type("Immunization"), {**of_type("Observation"), "id": "s"}))
        assert {one.category for one in found} == {Category.IMMUNIZATIONS, Category.LABORATORY}


class TestQuestionnaires:
    def test_codes_that_stand_in_links_alone_are_seen(self, tmp_path: Path) -> None:
        answers = [{"linkId": "/44249-1/44255-8", "answer": [{"valueInteger": 2}]}]
        asked = of_type("QuestionnaireResponse", authored="2022-02-03", item=answers)
        (one,) = classified(tmp_path, asked)
        assert (one.category, one.year) == (MENTAL, 2022)

    @pytest.mark.parametrize(
        ("code", "expected"),
        [("44261-6", MENTAL), ("72110-0", SUBSTANCE), ("82667-7", SUBSTANCE), ("76504-0", VIOLENCE)],
    )
    def test_a_score_is_as_closed_as_what_was_asked(self, tmp_path: Path, code: str, expected: Category) -> None:
        assert category(tmp_path, of_type("Observation", code=concept(LOINC, code))) is expected

    @pytest.mark.parametrize("members", [{"code": "70274-6"}, {"display": "GAD-7 total score"}])
    def test_what_a_report_contains_closes_it(self, tmp_path: Path, members: dict[str, str]) -> None:
        inner = {"resourceType": "Observation", "id": "i", "code": concept(LOINC, **members)}
        assert category(tmp_path, of_type("DiagnosticReport", contained=[inner])) is MENTAL


class TestTexts:
    @pytest.mark.parametrize(
        "code",
        [
            {"text": "Seropositivité VIH"},
            concept(LOCAL, "D-17", "HIV disease"),
            concept(SNOMED, "86406008:246112005=24484000"),
            concept(SNOMED, "86406008 |Human immunodeficiency virus infection|"),
        ],
    )
    def test_a_text_a_local_display_and_an_expression_tell(self, tmp_path: Path, code: dict[str, Any]) -> None:
        assert category(tmp_path, of_type("Condition", code=code)) is SEXUAL

    def test_a_local_code_without_words_tells_nothing(self, tmp_path: Path) -> None:
        assert category(tmp_path, of_type("Condition", code=concept(LOCAL, "D-17"))) is Category.CONDITIONS


class TestWhatRefersToIt:
    def test_the_search_that_a_bundle_answers_closes_what_it_says_of_itself(self, tmp_path: Path) -> None:
        asked = [{"relation": "self", "url": f"https://fhir.example/Observation?code={LOINC}|7917-8"}]
        found = classified(tmp_path, bundle(of_type("Immunization"), link=asked))
        assert [one.category for one in found if one.resource.startswith("Bundle")] == [SEXUAL]

    @pytest.mark.parametrize(
        ("kind", "members", "expected"),
        [
            ("Encounter", {"diagnosis": [{"condition": {"display": "HIV disease"}}]}, SEXUAL),
            ("List", {"entry": [{"item": {"display": "Opioid use disorder"}}]}, SUBSTANCE),
            ("CarePlan", {"addresses": [{"display": "Alcohol dependence"}]}, SUBSTANCE),
            ("Flag", {"code": {"text": "Suicide risk"}}, MENTAL),
            ("Consent", {"provision": {"securityLabel": [{"system": ACT, "code": "ETH"}]}}, SUBSTANCE),
            ("AuditEvent", {"entity": [{"what": {"display": "HIV viral load"}}]}, SEXUAL),
            ("Encounter", {"reasonCode": [concept(SNOMED, "15167005")]}, SUBSTANCE),
        ],
    )
    def test_a_reference_whose_display_tells_is_closed(
        self, tmp_path: Path, kind: str, members: dict[str, Any], expected: Category
    ) -> None:
        assert category(tmp_path, of_type(kind, **members)) is expected

    def test_a_context_without_a_display_closes_nothing(self, tmp_path: Path) -> None:
        methadone = concept("http://nucc.org/provider-taxonomy", "261QM2800X")
        clinic = {"resourceType": "Organization", "id": "o", "type": [methadone]}
        weight = of_type("Observation", performer=[{"reference": "Organization/o"}])
        found = {one.resource: one.category for one in classified(tmp_path, bundle(clinic, weight))}
        assert found == {"Organization/o": SUBSTANCE, "Observation/r": Category.LABORATORY}

    def test_a_place_whose_name_tells_closes_the_visit(self, tmp_path: Path) -> None:
        visit = of_type("Encounter", serviceProvider={"display": "Harbour Opioid Treatment Program"})
        assert category(tmp_path, visit) is SUBSTANCE
        assert category(tmp_path, of_type("Encounter", serviceProvider={"display": "Harbour Clinic"})) is (
            Category.ENCOUNTERS
        )


class TestDiagnosesAndTests:
    @pytest.mark.parametrize(
        ("system", "code", "expected"),
        [
            (ICD10, "F33.1", MENTAL),
            (ICD10, "F25.0", MENTAL),
            (ICD10, "T14.91XA", MENTAL),
            (ICD10, "F14.20", SUBSTANCE),
            (ICD10, "F10.20", SUBSTANCE),
            (ICD10, "O98.712", SEXUAL),
            (ICD10, "Z21", SEXUAL),
            (ICD10, "A54.00", SEXUAL),
            (ICD10, "T74.21XD", VIOLENCE),
            (ICD10, "F64.0", GENDER),
            (SNOMED, "165816005", SEXUAL),
            (SNOMED, "66590003", SUBSTANCE),
            (SNOMED, "371631005", MENTAL),
            (ICD10, "E11.9", Category.CONDITIONS),
        ],
    )
    def test_a_neighbour_of_a_well_known_diagnosis_is_known_too(
        self, tmp_path: Path, system: str, code: str, expected: Category
    ) -> None:
        assert category(tmp_path, of_type("Condition", code=concept(system, code))) is expected

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("69668-2", SEXUAL),
            ("5292-8", SEXUAL),
            ("43304-5", SEXUAL),
            ("19080-1", SEXUAL),
            ("3397-7", SUBSTANCE),
            ("5643-2", SUBSTANCE),
            ("2345-7", Category.LABORATORY),
        ],
    )
    def test_a_test_gives_away_what_it_looks_for(self, tmp_path: Path, code: str, expected: Category) -> None:
        assert category(tmp_path, of_type("Observation", code=concept(LOINC, code))) is expected

    @pytest.mark.parametrize(
        ("right", "wrong", "system", "kind"),
        [("735526006", "735526007", SNOMED, "Condition"), ("24012-7", "24012-8", LOINC, "Observation")],
    )
    def test_a_mistyped_code_is_not_listed_for_the_right_one(
        self, tmp_path: Path, right: str, wrong: str, system: str, kind: str
    ) -> None:
        assert category(tmp_path, of_type(kind, code=concept(system, right))) is SEXUAL
        assert category(tmp_path, of_type(kind, code=concept(system, wrong))) is not SEXUAL


class TestWhatIsNotSensitive:
    @pytest.mark.parametrize(
        ("kind", "code", "expected"),
        [
            ("Condition", concept(SNOMED, "370221004", "Severe asthma"), Category.CONDITIONS),
            ("Condition", concept(SNOMED, "224299000", "Received higher education"), Category.CONDITIONS),
            ("Observation", concept(SNOMED, "10828004", "Positive"), Category.LABORATORY),
            ("Observation", concept(SNOMED, "449868002", "Smokes tobacco daily"), Category.LABORATORY),
            ("Condition", concept(LOCAL, "B20", "Bed 20"), Category.CONDITIONS),
            ("Composition", concept(LOINC, "69730-0", "Instructions"), Category.DOCUMENTS),
            ("Condition", concept(SNOMED, "15167005", "Alcohol abuse"), SUBSTANCE),
        ],
    )
    def test_it_goes_where_it_belongs(
        self, tmp_path: Path, kind: str, code: dict[str, Any], expected: Category
    ) -> None:
        assert category(tmp_path, of_type(kind, code=code)) is expected


class TestNamedCategory:
    def test_a_restricted_one_closes_fhir_that_is_common_and_leaves_what_is_closed(self, tmp_path: Path) -> None:
        visit, medicine = (
            of_type("Encounter"),
            of_type("MedicationRequest", medicationCodeableConcept=concept(RXNORM, "6813")),
        )
        found = classified(tmp_path, bundle(visit, medicine), SEXUAL)
        assert [one.category for one in found] == [SEXUAL, SUBSTANCE]

    def test_a_common_one_opens_nothing(self, tmp_path: Path) -> None:
        (one,) = classified(tmp_path, of_type("Condition", code=concept(ICD10, "B20")), Category.DOCUMENTS)
        assert one.category is SEXUAL


class TestMessages:
    @pytest.mark.parametrize(
        ("kind", "segment", "expected"),
        [
            ("RDE^O11", "RXE|1|1819^buprenorphine^RXNORM|2||mg", SUBSTANCE),
            ("RDS^O13", "RXD|1|1-2-3^bictegravir/emtricitabine^NDC|20230304|30", SEXUAL),
            ("ADT^A01", "DG1|1||F1420^Cocaine dependence^I10C", SUBSTANCE),
            ("ADT^A01", r"DG1|1||F14\X2E\20^^I10C", SUBSTANCE),
            ("DFT^P03", "FT1|1|||20230304||CG|1||||||||||||Z21^^I10C", SEXUAL),
            ("ORU^R01", r"OBX|1|FT|1^Report^L||HIV 2 confirmed\.br\seen||||||F", SEXUAL),
            ("ORM^O01", "OBR|1|||69668-2^HIV 1 and 2 Ab^LN", SEXUAL),
            ("ADT^A01", "PV1|1|I|W3^2^B^Addiction Unit", SUBSTANCE),
            ("ADT^A01", "CON|1|42CFR2||||||||||20230304", SUBSTANCE),
            ("ADT^A01", "DG1|1||J45.50^Severe asthma^I10C", Category.ENCOUNTERS),
            ("ORU^R01", "OBX|1|NM|2345-7^Glucose^LN||98|mg/dL|||||F", Category.LABORATORY),
        ],
    )
    def test_what_a_message_says_closes_it(self, tmp_path: Path, kind: str, segment: str, expected: Category) -> None:
        assert category(tmp_path, HEAD.format(kind=kind) + segment + "\r") is expected
