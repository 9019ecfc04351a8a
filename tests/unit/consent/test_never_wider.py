"""No Consent is enforced wider than it is written: plans against a slow reader of the document itself."""

from __future__ import annotations

from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from panachain.consent import fhir_vocabulary as words
from panachain.consent.fhir_consent import from_consent
from panachain.consent.offer import scopes_of
from panachain.errors import ConsentNotEnforceableError
from panachain.model.scope import RESTRICTED, Category, Purpose, path_of
from panachain.records.fhir_category import category_of, year_of
from panachain.records.fhir_codes import BY_LABEL

TYPES = ["Observation", "DiagnosticReport", "AllergyIntolerance", "FamilyMemberHistory", "MedicationRequest"]
TYPES += ["MolecularSequence", "Composition", "ImagingStudy", "Patient", "Specimen"]
LABELS = ["PSY", "MH", "BH", "DVD", "PSYTHPN", "ETH", "SUD", "ETHUD", "OPIOIDUD", "HIV", "SEX", "GDIS", "R", "V"]
CATEGORIES = ["laboratory", "vital-signs", "imaging", "GE", "survey"]
DATES = ["1999-12-31", "2019-01-01", "2019-07-01", "2020-12-31", "2021-05-05", ""]
FIELDS = {"class": words.RESOURCE_TYPES, "securityLabel": "", "dataPeriod": ""}


def coding(code: str) -> dict[str, str]:
    if code in TYPES:
        return {"system": words.RESOURCE_TYPES, "code": code}
    if code in ("N", "R", "V"):
        return {"system": words.CONFIDENTIALITY, "code": code}
    return {"system": words.ACT_CODE if code in BY_LABEL else words.CATEGORY_SYSTEM, "code": code}


RECORDS = [
    {
        "resourceType": kind,
        **({"meta": {"security": [{"code": code} for code in labels]}} if labels else {}),
        **({"category": [{"coding": [{"code": category}]}]} if category else {}),
        **({"date": day} if day else {}),
    }
    for kind in TYPES
    for labels in [
        (),
        *((label,) for label in LABELS),
        ("HIV", "PSY"),
        ("PSY", "R"),
        ("SEX", "V"),
        ("GDIS", "ETH"),
        ("GDIS", "R"),
    ]
    for category in ([*CATEGORIES, ""] if kind in ("Observation", "DiagnosticReport") else [""])
    for day in DATES
]


def says(condition: dict[str, Any], record: dict[str, Any]) -> bool:
    """Tell whether a provision's data conditions fit a record, read as literally as can be."""
    labels = {security["code"] for security in record.get("meta", {}).get("security", [])}
    category, day = category_of(record).value, record.get("date", "")
    year = year_of(record)
    if "class" in condition:
        names = {category, f"{category}/undated"} if not year else {category}
        names |= {"all"} if Category(category) not in RESTRICTED else set()
        codes = {one["code"] for one in condition["class"]}
        if not codes & (names | {record["resourceType"]}):
            return False
    if "securityLabel" in condition:
        restricted = any(label in ("R", "V") or BY_LABEL[label] in RESTRICTED for label in labels)
        bears = labels if restricted else labels | {"N"}
        if not bears & {one["code"] for one in condition["securityLabel"]}:
            return False
    if "dataPeriod" in condition:
        period = condition["dataPeriod"]
        if not day or record["resourceType"] == "Patient":
            # What isn't dated is in no period that is permitted, and may be in any that is denied.
            return condition["type"] == "deny"
        return bool(period.get("start", "") <= day <= period.get("end", "9") + "~")
    return True


def allows(provision: dict[str, Any], record: dict[str, Any], purpose: str) -> bool:
    """Tell whether a Consent permits to read a record for a purpose."""

    def fits(one: dict[str, Any]) -> bool:
        codes = {coded["code"] for coded in one.get("purpose", [{"code": purpose}])}
        return purpose in codes and says(one, record)

    inner = provision.get("provision", [])
    denied = any(one["type"] == "deny" and fits(one) for one in inner)
    permitted = [provision] if provision["type"] == "permit" else [one for one in inner if one["type"] == "permit"]
    return not denied and any(fits(one) for one in permitted)


CLASSES = st.lists(
    st.sampled_from([*TYPES, *(category.value for category in Category), "all", "laboratory/undated"]),
    min_size=1,
    max_size=4,
    unique=True,
)
CODES = st.one_of(
    st.lists(st.sampled_from(["N", *LABELS]), min_size=1, max_size=7, unique=True),
    st.sampled_from([sorted(codes) for codes in words.LABELS_OF.values()]),
    st.sampled_from([list(codes) for codes in words.LABELS.values()]),
)
PERIODS = st.sampled_from(
    [
        {"start": "2019", "end": "2020"},
        {"start": "2018-06-01", "end": "2021-01-31"},
        {"start": "2019-01-01", "end": "2019-12-31"},
        {"start": "2020-06"},
        {"end": "2019-06-30"},
    ]
)
PURPOSES = st.lists(st.sampled_from(["TREAT", "HPAYMT", "HRESCH"]), min_size=1, unique=True)


@st.composite
def provisions(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    made: dict[str, Any] = {"type": kind}
    if draw(st.booleans()):
        made["class"] = [coding(code) for code in draw(CLASSES)]
    if draw(st.integers(0, 3)) == 0:
        made["securityLabel"] = [coding(code) for code in draw(CODES)]
    if draw(st.integers(0, 3)) == 0:
        made["dataPeriod"] = draw(PERIODS)
    if kind == "permit" or draw(st.integers(0, 4)) == 0:
        made["purpose"] = [{"system": words.ACT_REASON, "code": code} for code in draw(PURPOSES)]
    return made


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    denies = draw(st.lists(provisions("deny"), max_size=2))
    if draw(st.booleans()):
        root = draw(provisions("permit")) | {"provision": denies}
    else:
        permits = draw(st.lists(provisions("permit"), min_size=1, max_size=2))
        for permit in permits[1:]:
            permit["purpose"] = permits[0]["purpose"]
        root = {"type": "deny", "provision": [*permits, *denies]}
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"system": words.SCOPE_SYSTEM, "code": words.SCOPE_CODE}]},
        "category": [{"coding": [{"system": words.LOINC, "code": words.CONSENT_CODE}]}],
        "patient": {"reference": "Patient/1"},
        "provision": root,
    }


@settings(max_examples=150)
@given(document=documents())
def test_a_grant_opens_nothing_that_the_consent_does_not_permit(document: dict[str, Any]) -> None:
    try:
        plan = from_consent(document)
    except ConsentNotEnforceableError:
        event("refused")
        return
    event("planned")
    scopes = set(scopes_of(plan.categories, plan.years))
    for record in RECORDS:
        if scopes.isdisjoint(path_of(category_of(record), year_of(record))):
            continue
        for purpose in plan.purposes:
            assert isinstance(purpose, Purpose)
            assert allows(document["provision"], record, purpose.value), (record, purpose, plan)
