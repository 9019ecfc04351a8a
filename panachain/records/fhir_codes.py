"""Which resource belongs to which category: by type, by Observation.category, and the lists of sensitive codes.

Follows design section 4, FHIR R4, and HL7 v3 ActCode's sensitivity codes as IHE PCF uses them.
"""

from __future__ import annotations

from typing import Final

from panachain.model.scope import Category as C  # noqa: N817  # short: it stands on every line

BY_TYPE: Final = {
    **dict.fromkeys(("Patient", "RelatedPerson", "Person", "Practitioner", "PractitionerRole"), C.DEMOGRAPHICS),
    **dict.fromkeys(("Organization", "Location", "HealthcareService", "Endpoint"), C.DEMOGRAPHICS),
    **dict.fromkeys(("Encounter", "EpisodeOfCare", "Appointment", "AppointmentResponse"), C.ENCOUNTERS),
    **dict.fromkeys(("Schedule", "Slot", "Flag", "Communication", "CommunicationRequest"), C.ENCOUNTERS),
    **dict.fromkeys(
        ("Condition", "ClinicalImpression", "RiskAssessment", "DetectedIssue", "AdverseEvent"), C.CONDITIONS
    ),
    "AllergyIntolerance": C.ALLERGIES,
    **dict.fromkeys(
        ("Medication", "MedicationRequest", "MedicationAdministration", "MedicationDispense", "MedicationStatement"),
        C.MEDICATIONS,
    ),
    **dict.fromkeys(("Immunization", "ImmunizationEvaluation", "ImmunizationRecommendation"), C.IMMUNIZATIONS),
    **dict.fromkeys(("DiagnosticReport", "Specimen", "Observation"), C.LABORATORY),
    **dict.fromkeys(("ImagingStudy", "Media", "BodyStructure"), C.IMAGING),
    **dict.fromkeys(("Procedure", "ServiceRequest", "Device", "DeviceRequest", "DeviceUseStatement"), C.PROCEDURES),
    **dict.fromkeys(("SupplyDelivery", "SupplyRequest", "DeviceMetric"), C.PROCEDURES),
    "FamilyMemberHistory": C.FAMILY_HISTORY,
    **dict.fromkeys(("CarePlan", "CareTeam", "Goal", "NutritionOrder", "RequestGroup", "Task"), C.CARE_PLANS),
    **dict.fromkeys(
        ("Claim", "ClaimResponse", "Coverage", "ExplanationOfBenefit", "Account", "ChargeItem", "Invoice"), C.INSURANCE
    ),
    **dict.fromkeys(
        ("CoverageEligibilityRequest", "CoverageEligibilityResponse", "PaymentNotice", "PaymentReconciliation"),
        C.INSURANCE,
    ),
    "MolecularSequence": C.GENOMICS,
}
"""What isn't listed goes to documents."""

BY_OBSERVATION: Final = {
    "laboratory": C.LABORATORY,
    "vital-signs": C.VITALS,
    "imaging": C.IMAGING,
    "procedure": C.PROCEDURES,
    "exam": C.VITALS,
    "activity": C.VITALS,
    "therapy": C.CARE_PLANS,
    "survey": C.ENCOUNTERS,
    "social-history": C.ENCOUNTERS,
    "GE": C.GENOMICS,
    "RAD": C.IMAGING,
    "LAB": C.LABORATORY,
}
"""Codes of observation-category and of DiagnosticReport.category (v2-0074)."""

BY_LABEL: Final = {
    **dict.fromkeys(("PSY", "MH", "BH", "DVD", "PSYTHPN"), C.MENTAL_HEALTH),
    **dict.fromkeys(("ETH", "SUD", "ETHUD", "OPIOIDUD"), C.SUBSTANCE_USE),
    **dict.fromkeys(("HIV", "SEX", "STD", "SDV", "REPRODUCTIVE", "GENDER"), C.SEXUAL_HEALTH),
    "GDIS": C.GENOMICS,
}
"""Codes of meta.security: HL7 v3 ActCode, sensitivity."""
CONFIDENTIAL: Final = frozenset({"R", "V"})
"""Codes of meta.security: HL7 v3 Confidentiality, restricted and very restricted."""

_CIEL_HIV: Final = ("856", "1030", "1040", "1042", "1088", "1149", "1250", "1255", "1261", "159911", "138405", "5497")
"""CIEL concepts (OpenMRS): HIV tests, viral load, CD4 count, antiretroviral treatment; written with 36 characters."""

SENSITIVE: Final = {
    **dict.fromkeys((code.ljust(36, "A") for code in _CIEL_HIV), C.SEXUAL_HEALTH),
    # HIV and sexually transmitted disease: SNOMED CT, LOINC, ICD-10-CM.
    **dict.fromkeys(
        (
            *("86406008", "62479008", "165816005", "91947003", "91948008", "735526008", "737378009", "40780007"),
            *("76272004", "15628003", "240589008", "186747009", "10828004"),
            *("24012-9", "20447-9", "25836-8", "33866-5", "56888-1", "75622-1", "89374-3", "69668-2", "24467-3"),
            *("B20", "Z21", "R75", "A53.9", "A54.9"),
        ),
        C.SEXUAL_HEALTH,
    ),
    # Reproductive health: contraception, pregnancy, abortion.
    **dict.fromkeys(
        (
            *("72892002", "77386006", "19169002", "35999006", "169553002", "65588006", "79586000", "156073000"),
            *("713235007", "714812005", "169560008", "183996000", "386394001", "386234009", "287664005"),
            *("82810-3", "11449-6", "8665-2", "Z33.1", "Z30.9", "O03.9"),
        ),
        C.SEXUAL_HEALTH,
    ),
    # Mental health.
    **dict.fromkeys(
        (
            *("370143000", "36923009", "35489007", "73595000", "47505003", "197480006", "48694002", "69322001"),
            *("58214004", "192080009", "66344007", "224299000", "370221004", "15167005", "231504006", "192127007"),
            *("55758-7", "44249-1", "44261-6", "70274-6", "69737-5", "69730-0", "44250-9", "89204-2", "89208-3"),
            *("F32.9", "F33.9", "F41.1", "F41.9", "F43.10", "F20.9", "F31.9"),
        ),
        C.MENTAL_HEALTH,
    ),
    # Substance use.
    **dict.fromkeys(
        (
            *("7200002", "5602001", "55680006", "6525002", "66214007", "26416006", "191816009", "361055000"),
            *("10939881000119105", "96841000119103", "427327003", "449868002", "266707007", "428211000124100"),
            *("75626-2", "82667-7", "82666-9", "72109-2", "75889-6", "68518-0", "F10.20", "F11.20", "F19.20"),
        ),
        C.SUBSTANCE_USE,
    ),
}
"""Codes that make a resource sensitive, wherever a coding stands in it."""

RESTRICTED_DEFAULT: Final = C.MENTAL_HEALTH
"""Where a document goes that is labelled restricted (R) or very restricted (V) without a code that tells why.

HL7 v3 Confidentiality explains R by what is stigmatising, and V by psychotherapy notes: of the three restricted
categories mental health is the one that fits most of them. What matters is that `all` covers none of the three.
"""
