"""Which resource belongs to which category: by type, by Observation.category, and the lists of sensitive codes.

Follows design section 4, FHIR R4, and HL7 v3 ActCode's sensitivity codes as IHE PCF uses them.
"""

from __future__ import annotations

from typing import Final

from panachain.model.scope import Category as C  # noqa: N817  # short: it stands on every line
from panachain.records.sensitivity.kinds import kinds
from panachain.records.sensitivity.tables import rows

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
    **dict.fromkeys(("MolecularSequence", "Sequence", "GenomicStudy"), C.GENOMICS),
    # What DSTU2, STU3 and R5 call them.
    "MedicationOrder": C.MEDICATIONS,
    **dict.fromkeys(("DiagnosticOrder", "ProcedureRequest", "ReferralRequest", "DeviceUsage"), C.PROCEDURES),
    **dict.fromkeys(("DeviceUseRequest", "VisionPrescription"), C.PROCEDURES),
    **dict.fromkeys(("BodySite", "ImagingSelection", "ImagingObjectSelection", "ImagingManifest"), C.IMAGING),
    "EncounterHistory": C.ENCOUNTERS,
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
    code: kinds()[kind].category
    for system, code, kind, _display, _source in rows("labels")
    if system == "v3-actcode" and kind in kinds()
}
"""Codes of meta.security: HL7 v3 ActCode, sensitivity. All that sort a resource, since a Consent that permits some
labels of a category permits its lane only if it names each."""
CONFIDENTIAL: Final = frozenset({"R", "V"})
"""Codes of meta.security: HL7 v3 Confidentiality, restricted and very restricted."""

BY_LOINC: Final = {
    # The vital signs of FHIR's profile, where an Observation names no category.
    **dict.fromkeys(("85353-1", "9279-1", "8867-4", "2708-6", "59408-5", "8310-5", "8302-2", "9843-4"), C.VITALS),
    **dict.fromkeys(("29463-7", "39156-5", "85354-9", "8480-6", "8462-4", "8478-0"), C.VITALS),
    # What the genomics reporting guide names: variants, diplotypes, haplotypes, studies.
    **dict.fromkeys(("69548-6", "84413-4", "84414-2", "51969-4", "53037-8", "55232-3"), C.GENOMICS),
}
"""By LOINC code of what was observed."""

BLOOD_GROUP: Final = frozenset({"882-1", "883-9", "10331-7"})
"""LOINC: ABO and Rh group, ABO group, Rh type. The emergency lane has them, though nothing else of the laboratory."""

RESTRICTED_DEFAULT: Final = C.MENTAL_HEALTH
"""Where a document goes that is labelled restricted (R) or very restricted (V) without a code that tells why.

HL7 v3 Confidentiality explains R by what is stigmatising, and V by psychotherapy notes: of the restricted
categories mental health is the one that fits most of them. What matters is that `all` covers none of these.
"""
