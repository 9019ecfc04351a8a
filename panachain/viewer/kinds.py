"""Kinds of FHIR resources: where each one is shown, and which of its elements are told.

A table, so that a resource more is a line more. Paths name elements of R4 first, then those of R5, STU3 and DSTU2.
Nothing of an extension is told: what it means is known to those who wrote it. Follows FHIR R4, R5, STU3 and DSTU2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from panachain.viewer.words import N_

SECTIONS: Final[Mapping[str, str]] = {
    "allergies": N_("Allergies"),
    "conditions": N_("Problems"),
    "medications": N_("Medications"),
    "laboratory": N_("Laboratory"),
    "vitals": N_("Vital signs"),
    "immunizations": N_("Immunizations"),
    "procedures": N_("Procedures"),
    "encounters": N_("Encounters"),
    "reports": N_("Notes and reports"),
    "imaging": N_("Imaging"),
    "documents": N_("Documents"),
    "observations": N_("Other observations"),
    "plans": N_("Plans and orders"),
    "family": N_("Family history"),
    "insurance": N_("Insurance"),
    "people": N_("People and places"),
    "other": N_("Everything else"),
}
"""Sections in the order in which they are shown."""

GROUPS: Final[Mapping[str, Mapping[str, str]]] = {
    "medications": {"current": N_("Current"), "past": N_("Past")},
    "conditions": {"current": N_("Active"), "past": N_("Past")},
    "allergies": {"current": N_("Known"), "past": N_("Past")},
    "plans": {"current": N_("Current"), "past": N_("Past")},
    "insurance": {"current": N_("Current"), "past": N_("Past")},
}
"""What groups of a section are called; other sections have one."""
UNSURE: Final = N_("Not confirmed, or only planned")
NOT: Final = N_("Not so, or no longer counted")

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Kind:
    """How a type of resource is told."""

    section: str
    what: tuple[str, ...]
    """Paths of what it is; the first that says something counts."""
    when: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    facts: Labels = ()
    """What else is told, and the path of it."""
    has_narrative: bool = False
    """Whether its text says more than its elements."""


_WHO: Final = (N_("By"), "performer.actor|performer|practitioner|asserter|recorder|author|requester|prescriber")
_WHERE: Final = (N_("Place"), "location.location|location|serviceProvider|facility")
_NOTE: Final = (N_("Note"), "note.text|note|comments|comment")
_REASON: Final = (N_("Reason"), "reasonCode|reason|reasonReference|reasonForUse|indication")

KINDS: Final[Mapping[str, Kind]] = {
    "AllergyIntolerance": Kind(
        "allergies",
        ("code", "substance", "reaction.substance"),
        ("onsetDateTime", "onsetPeriod.start", "onset", "recordedDate", "assertedDate"),
        facts=(
            (N_("Reaction"), "reaction.manifestation"),
            (N_("Severity"), "reaction.severity"),
            (N_("Criticality"), "criticality"),
            (N_("Kind"), "type|category"),
            (N_("Last seen"), "lastOccurrence"),
            _NOTE,
        ),
    ),
    "Condition": Kind(
        "conditions",
        ("code",),
        ("onsetDateTime", "onsetPeriod.start", "recordedDate", "assertedDate", "dateRecorded"),
        ("abatementDateTime", "abatementPeriod.end", "abatement"),
        (
            (N_("Since"), "onsetString|onsetAge|onsetRange"),
            (N_("Severity"), "severity"),
            (N_("Stage"), "stage.summary"),
            (N_("Body site"), "bodySite"),
            (N_("Kind"), "category"),
            _WHO,
            _NOTE,
        ),
    ),
    **dict.fromkeys(
        ("MedicationStatement", "MedicationUsage"),
        Kind(
            "medications",
            ("medicationCodeableConcept", "medication", "medicationReference"),
            ("effectivePeriod.start", "effectiveDateTime", "effectivePeriod", "dateAsserted"),
            ("effectivePeriod.end",),
            ((N_("Dose"), "dosage.text|dosage"), _REASON, (N_("Told by"), "informationSource"), _NOTE),
        ),
    ),
    **dict.fromkeys(
        ("MedicationRequest", "MedicationOrder", "MedicationPrescription"),
        Kind(
            "medications",
            ("medicationCodeableConcept", "medication", "medicationReference"),
            ("authoredOn", "dateWritten", "dispenseRequest.validityPeriod.start"),
            ("dispenseRequest.validityPeriod.end", "dateEnded"),
            (
                (N_("Dose"), "dosageInstruction.text|dosageInstruction"),
                (N_("Intent"), "intent"),
                (N_("Amount"), "dispenseRequest.quantity"),
                _REASON,
                _WHO,
                _NOTE,
            ),
        ),
    ),
    "MedicationAdministration": Kind(
        "medications",
        ("medicationCodeableConcept", "medication", "medicationReference"),
        ("effectiveDateTime", "effectivePeriod.start", "occurenceDateTime", "effectiveTimeDateTime"),
        ("effectivePeriod.end",),
        ((N_("Dose"), "dosage.text|dosage.dose|dosage.quantity"), _REASON, _WHO, _NOTE),
    ),
    "MedicationDispense": Kind(
        "medications",
        ("medicationCodeableConcept", "medication", "medicationReference"),
        ("whenHandedOver", "whenPrepared"),
        facts=((N_("Amount"), "quantity"), (N_("Dose"), "dosageInstruction.text|dosageInstruction"), _WHO, _NOTE),
    ),
    "Immunization": Kind(
        "immunizations",
        ("vaccineCode", "vaccineType"),
        ("occurrenceDateTime", "date", "occurrenceString"),
        facts=(
            (N_("Dose"), "doseQuantity"),
            (N_("Number"), "protocolApplied.doseNumberPositiveInt|protocolApplied.doseNumberString"),
            (N_("Lot"), "lotNumber"),
            (N_("Body site"), "site"),
            (N_("Why not"), "statusReason"),
            _WHO,
            _WHERE,
            _NOTE,
        ),
    ),
    "Procedure": Kind(
        "procedures",
        ("code", "type"),
        ("performedDateTime", "performedPeriod.start", "occurrenceDateTime", "occurrencePeriod.start", "date"),
        ("performedPeriod.end", "occurrencePeriod.end"),
        (
            (N_("When"), "performedString|performedAge"),
            (N_("Body site"), "bodySite"),
            (N_("Outcome"), "outcome"),
            (N_("Why not"), "statusReason"),
            _REASON,
            _WHO,
            _WHERE,
            _NOTE,
        ),
    ),
    "Encounter": Kind(
        "encounters",
        ("type", "serviceType", "class"),
        ("period.start", "actualPeriod.start"),
        ("period.end", "actualPeriod.end"),
        (
            (N_("Class"), "class"),
            _REASON,
            (N_("With"), "participant.individual|participant.actor"),
            _WHERE,
            (N_("At"), "serviceProvider"),
            (N_("Discharged to"), "hospitalization.dischargeDisposition"),
        ),
    ),
    "EpisodeOfCare": Kind(
        "encounters", ("type",), ("period.start",), ("period.end",), ((N_("At"), "managingOrganization"),)
    ),
    "DiagnosticReport": Kind(
        "reports",
        ("code", "name"),
        ("effectiveDateTime", "effectivePeriod.start", "issued", "diagnosticDateTime"),
        facts=((N_("Conclusion"), "conclusion"), (N_("Codes"), "conclusionCode"), (N_("Results"), "result"), _WHO),
        has_narrative=True,
    ),
    "DocumentReference": Kind(
        "reports",
        ("description", "type", "content.attachment.title", "category"),
        ("context.period.start", "date", "indexed", "created"),
        facts=((N_("Kind"), "type"), (N_("By"), "author"), (N_("File"), "content.attachment.title")),
    ),
    "Composition": Kind(
        "reports", ("title", "type"), ("date",), facts=((N_("Kind"), "type"), (N_("By"), "author")), has_narrative=True
    ),
    "ClinicalImpression": Kind(
        "reports",
        ("description", "code", "summary"),
        ("effectiveDateTime", "effectivePeriod.start", "date"),
        facts=(
            (N_("Summary"), "summary"),
            (N_("Found"), "finding.itemCodeableConcept|finding.itemReference"),
            _WHO,
            _NOTE,
        ),
        has_narrative=True,
    ),
    "Communication": Kind(
        "reports", ("topic", "category"), ("sent", "received"), facts=((N_("Text"), "payload.contentString"), _NOTE)
    ),
    "QuestionnaireResponse": Kind("reports", ("questionnaire",), ("authored",), facts=(_WHO,), has_narrative=True),
    "ImagingStudy": Kind(
        "imaging",
        ("description", "procedureCode", "modality", "series.modality"),
        ("started",),
        facts=(
            (N_("Modality"), "modality|series.modality|modalityList"),
            (N_("Body site"), "series.bodySite"),
            (N_("Series"), "series.description"),
            (N_("Series in all"), "numberOfSeries"),
            (N_("Images in all"), "numberOfInstances"),
            _REASON,
        ),
    ),
    "Media": Kind(
        "imaging",
        ("content.title", "type", "subtype"),
        ("createdDateTime", "createdPeriod.start"),
        facts=((N_("Body site"), "bodySite"), _NOTE),
    ),
    **dict.fromkeys(
        ("ServiceRequest", "ProcedureRequest", "DiagnosticOrder", "ReferralRequest", "DeviceRequest", "NutritionOrder"),
        Kind(
            "plans",
            ("code", "item.code", "category"),
            ("occurrenceDateTime", "occurrencePeriod.start", "authoredOn"),
            facts=(_REASON, _WHO, _NOTE),
        ),
    ),
    "CarePlan": Kind(
        "plans",
        ("title", "category", "description"),
        ("period.start", "created"),
        ("period.end",),
        ((N_("Steps"), "activity.detail.code"), (N_("For"), "addresses"), (N_("Description"), "description"), _NOTE),
        has_narrative=True,
    ),
    "CareTeam": Kind(
        "plans",
        ("name", "category"),
        ("period.start",),
        ("period.end",),
        ((N_("Members"), "participant.member"), _REASON),
    ),
    "Goal": Kind("plans", ("description",), ("startDate", "statusDate"), ("target.dueDate",), (_NOTE,)),
    "Appointment": Kind("plans", ("serviceType", "appointmentType", "description"), ("start",), ("end",), (_REASON,)),
    "FamilyMemberHistory": Kind(
        "family",
        ("relationship", "name"),
        ("date",),
        facts=(
            (N_("Problems"), "condition.code"),
            (N_("Born"), "bornDate|bornString"),
            (N_("Died"), "deceasedDate|deceasedString|deceasedBoolean|deceasedAge"),
            _NOTE,
        ),
    ),
    "Coverage": Kind(
        "insurance",
        ("type", "payor", "insurer"),
        ("period.start",),
        ("period.end",),
        ((N_("Payer"), "payor|insurer"), (N_("Number"), "subscriberId|identifier.value")),
    ),
    "Claim": Kind(
        "insurance",
        ("type",),
        ("billablePeriod.start", "created"),
        ("billablePeriod.end",),
        (
            (N_("For"), "item.productOrService|item.service"),
            (N_("Total"), "total"),
            (N_("Diagnoses"), "diagnosis.diagnosisCodeableConcept"),
        ),
    ),
    "ExplanationOfBenefit": Kind(
        "insurance",
        ("type",),
        ("billablePeriod.start", "created"),
        ("billablePeriod.end",),
        (
            (N_("Outcome"), "outcome"),
            (N_("For"), "item.productOrService|item.service"),
            (N_("Total"), "payment.amount"),
        ),
    ),
    "Practitioner": Kind("people", ("name",), facts=((N_("Telephone"), "telecom.value"),)),
    "PractitionerRole": Kind(
        "people", ("practitioner", "code"), facts=((N_("Role"), "code"), (N_("At"), "organization"))
    ),
    "RelatedPerson": Kind("people", ("name",), facts=((N_("Relationship"), "relationship"),)),
    "Organization": Kind("people", ("name",), facts=((N_("Kind"), "type"), (N_("Telephone"), "telecom.value"))),
    "Location": Kind("people", ("name", "description"), facts=((N_("Telephone"), "telecom.value"),)),
    "Device": Kind(
        "other",
        ("type", "deviceName.name", "udiCarrier.deviceIdentifier"),
        ("manufactureDate",),
        ("expirationDate",),
        ((N_("Lot"), "lotNumber"), _NOTE),
    ),
    "RiskAssessment": Kind(
        "observations",
        ("code", "method"),
        ("occurrenceDateTime",),
        facts=((N_("Outcome"), "prediction.outcome"), _NOTE),
    ),
    "Flag": Kind("other", ("code",), ("period.start",), ("period.end",)),
    "Provenance": Kind("other", ("activity",), ("recorded",), facts=((N_("By"), "agent.who"),)),
    "Consent": Kind(
        "other", ("category", "scope"), ("dateTime",), facts=((N_("Decision"), "provision.type"),), has_narrative=True
    ),
}
"""By type of resource; a type that isn't here is told by its code, its date and its narrative."""

OTHER: Final = Kind(
    "other",
    ("code", "type", "title", "name", "description", "category"),
    ("effectiveDateTime", "date", "recorded", "authoredOn", "created", "period.start", "occurrenceDateTime", "issued"),
    facts=(_NOTE,),
    has_narrative=True,
)
HELPERS: Final = frozenset(
    {
        "Practitioner",
        "PractitionerRole",
        "Organization",
        "Location",
        "Medication",
        "Patient",
        "Device",
        "Binary",
        "RelatedPerson",
        "Specimen",
        "Substance",
    }
)
"""Types that are contained to be referred to, and aren't told by themselves where they are."""

MARKS: Final[Mapping[str, str]] = {
    "in_error": N_("entered in error"),
    "refuted": N_("refuted"),
    "not_done": N_("not done"),
    "not_taken": N_("not taken"),
    "forbidden": N_("says that it must not be done"),
    "cancelled": N_("cancelled"),
    "deleted": N_("deleted by its hospital"),
    "superseded": N_("an older version"),
    "elsewhere": N_("a newer version is in another record"),
    "same": N_("another hospital's record holds the same"),
    "modified": N_("carries an extension that may change what it means: read the record itself"),
    "unconfirmed": N_("not confirmed"),
    "planned": N_("only planned"),
    "no_date": N_("without a date"),
    "bad_date": N_("with a date that no calendar has"),
    "future": N_("dated in the future"),
    "no_state": N_("state not said"),
    "repeated": N_("recorded more than once"),
    "preliminary": N_("preliminary"),
    "corrected": N_("corrected"),
    "ended": N_("called active, but its time is over"),
    "absent": N_("no value"),
    "contained": N_("part of another record"),
}
"""What an entry is marked with."""
DENIED: Final = frozenset(
    {
        "in_error",
        "refuted",
        "not_done",
        "not_taken",
        "forbidden",
        "cancelled",
        "deleted",
        "superseded",
        "elsewhere",
        "modified",
    }
)
"""Marks of what is never shown as a fact."""

STATES: Final[Mapping[str, str]] = {
    "active": N_("active"),
    "recurrence": N_("recurrence"),
    "relapse": N_("relapse"),
    "inactive": N_("inactive"),
    "remission": N_("remission"),
    "resolved": N_("resolved"),
    "completed": N_("completed"),
    "finished": N_("finished"),
    "stopped": N_("stopped"),
    "on-hold": N_("on hold"),
    "in-progress": N_("in progress"),
    "planned": N_("planned"),
    "draft": N_("draft"),
    "final": N_("final"),
    "amended": N_("amended"),
    "corrected": N_("corrected"),
    "preliminary": N_("preliminary"),
    "registered": N_("registered"),
    "cancelled": N_("cancelled"),
    "entered-in-error": N_("entered in error"),
    "not-done": N_("not done"),
    "not-taken": N_("not taken"),
    "refuted": N_("refuted"),
    "current": N_("current"),
    "superseded": N_("an older version"),
    "unknown": N_("unknown"),
    "confirmed": N_("confirmed"),
    "unconfirmed": N_("not confirmed"),
    "provisional": N_("not confirmed"),
    "low": N_("low"),
    "high": N_("high"),
    "mild": N_("mild"),
    "moderate": N_("moderate"),
    "severe": N_("severe"),
    "male": N_("male"),
    "female": N_("female"),
    "other": N_("other"),
    "H": N_("high"),
    "HH": N_("very high"),
    "L": N_("low"),
    "LL": N_("very low"),
    "N": N_("normal"),
    "A": N_("abnormal"),
    "AA": N_("very abnormal"),
    "POS": N_("positive"),
    "NEG": N_("negative"),
}
"""Codes that people read as words; what isn't listed is shown as it stands."""

CATEGORIES: Final[Mapping[str, str]] = {
    "demographics": N_("personal details"),
    "encounters": N_("visits"),
    "conditions": N_("conditions"),
    "allergies": N_("allergies"),
    "medications": N_("medications"),
    "immunizations": N_("immunizations"),
    "laboratory": N_("laboratory"),
    "vitals": N_("vital signs"),
    "imaging": N_("imaging"),
    "procedures": N_("procedures"),
    "family-history": N_("family history"),
    "care-plans": N_("care plans"),
    "documents": N_("documents"),
    "insurance": N_("insurance"),
    "genomics": N_("genomics"),
    "mental-health": N_("mental health"),
    "substance-use": N_("substance use"),
    "sexual-health": N_("sexual health"),
    "gender": N_("gender"),
    "violence": N_("violence"),
    "private": N_("private"),
}
"""Categories of records as people read them."""
