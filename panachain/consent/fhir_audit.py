"""An opening, or a refused attempt, as a FHIR R4 AuditEvent.

Says no more than what the proxies signed: no name, no address of a network that nobody knows. Pure.
Follows FHIR R4 (AuditEvent) and IHE BALP 1.1 (`IHE.BasicAudit.PatientRead` for openings; the profile has no refusals).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from panachain.consent import fhir_vocabulary as words
from panachain.model.actors import Address, PolicyId
from panachain.plain import line

PROFILE: Final = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"
_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem/"
_DICOM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""Codes that are written as such; those of HL7 are."""
_UNKNOWN: Final = {
    "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
}
"""The profile wants an address of the reader's machine; proxies sign none, and nobody makes one up."""


@dataclass(frozen=True)
class Access:
    """Who opened what, as proxies signed it."""

    patient: Address
    requester: Address
    grantee: Address
    policy_id: PolicyId
    scopes: Sequence[str]
    purpose: str
    """Code of HL7 v3 PurposeOfUse."""
    at: int
    """Unix seconds."""
    ended_at: int
    permitted: bool
    proxies: Sequence[Address]
    """Who signed; at least one."""
    role: str = ""
    """What the requester is, such as `practitioner`; empty where it isn't known."""
    organisation: str = ""
    """Account of the hospital that the requester belongs to; empty for none."""
    records: Sequence[str] = ()
    """CIDs of the headers of what was opened, where that is known."""
    note: str = ""
    """Where the proxies don't agree: a part of a sentence."""
    dissents: Sequence[tuple[str, str]] = ()
    """Proxies that signed something else, each with what."""


def to_audit_event(access: Access) -> dict[str, Any]:
    """Return an access as an R4 AuditEvent."""
    made: dict[str, Any] = {"resourceType": "AuditEvent"}
    if access.permitted:
        made["meta"] = {"profile": [PROFILE]}
    first, *others = access.proxies
    return made | {
        "type": _coding("audit-event-type", "rest", "Restful Operation"),
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": "read", "display": "read"}],
        "action": "R",
        "period": {"start": words.instant(access.at), "end": words.instant(access.ended_at)},
        "recorded": words.instant(access.at),
        "outcome": "0" if access.permitted else "4",
        "outcomeDesc": ("served" if access.permitted else "refused") + (f"; {access.note}" if access.note else ""),
        "purposeOfEvent": [_purpose(access.purpose)] if access.purpose else [],
        "agent": [
            _agent(_dicom("110152", "Destination Role ID"), access.requester, network=_UNKNOWN),
            _agent(_dicom("110153", "Source Role ID"), first, network=_UNKNOWN),
            {
                **_agent(_concept("v3-ParticipationType", "IRCP", "information recipient"), access.requester),
                "requestor": True,
                **({"role": [_role(access.role)]} if access.role else {}),
                **({"purposeOfUse": [_purpose(access.purpose)]} if access.purpose else {}),
            },
            # As IHE BALP has the user's organisation beside a SAML token.
            *(
                [_agent(_concept("v3-RoleClass", "PROV", "healthcare provider"), access.organisation)]
                if access.organisation
                else []
            ),
            # The profile knows one server; each proxy signed for itself.
            *(_agent(_dicom("110150", "Application"), proxy) for proxy in others),
        ],
        "source": {"observer": _account(first)},
        "entity": [
            {
                "what": {**_account(access.patient), "type": "Patient"},
                "type": _coding("audit-entity-type", "1", "Person"),
                "role": _coding("object-role", "1", "Patient"),
            },
            {
                "what": {"identifier": {"system": words.POLICY_SYSTEM, "value": access.policy_id}},
                "type": _coding("audit-entity-type", "2", "System Object"),
                "role": _coding("object-role", "4", "Domain Resource"),
                **({"description": ", ".join(access.scopes)} if access.scopes else {}),
            },
            *_group(access),
            *_records(access),
            *_dissents(access),
        ],
    }


def to_bundle(accesses: Sequence[Access]) -> dict[str, Any]:
    """Return accesses as a Bundle of AuditEvents."""
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": _without_empty(to_audit_event(access))} for access in accesses],
    }


def _group(access: Access) -> list[dict[str, Any]]:
    """Return the group that a member read for."""
    if access.grantee in ("", access.requester):
        return []
    return [
        {
            "what": _account(access.grantee),
            "type": _coding("audit-entity-type", "3", "Organization"),
            "role": _coding("object-role", "6", "User"),
        }
    ]


def _records(access: Access) -> list[dict[str, Any]]:
    """Return the records that lay in what was opened.

    Not as the profile's entity of data, of which there is one: what was opened is what the policy let the proxies open.
    """
    return [
        {
            "what": {"identifier": {"system": words.RECORD_SYSTEM, "value": cid}},
            "type": _coding("audit-entity-type", "4", "Other"),
            "role": _coding("object-role", "3", "Report"),
        }
        for cid in access.records
    ]


def _dissents(access: Access) -> list[dict[str, Any]]:
    """Return the proxies that signed something that doesn't fit."""
    return [
        {
            "what": _account(proxy),
            "type": _coding("audit-entity-type", "4", "Other"),
            "detail": [{"type": "signed", "valueString": line(said)}],
        }
        for proxy, said in access.dissents
    ]


def _role(role: str) -> dict[str, Any]:
    return {"coding": [{"system": words.ROLE_SYSTEM, "code": role}], "text": role}


def _without_empty(made: dict[str, Any]) -> dict[str, Any]:
    # FHIR has no empty lists.
    return {name: value for name, value in made.items() if value != []}


def _agent(kind: dict[str, Any], account: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "who": _account(account), "requestor": False, **more}


def _account(address: str) -> dict[str, Any]:
    return {"identifier": {"system": words.ACCOUNT_SYSTEM, "value": address}}


def _purpose(code: str) -> dict[str, Any]:
    # A proxy seals what it likes; FHIR takes no other letters in a code, and a reader none of them on trust.
    if not _CODE.fullmatch(code):
        return {"text": line(code) or "unreadable"}
    return {"coding": [{"system": f"{_TERMINOLOGY}v3-ActReason", "code": code}]}


def _dicom(code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": _DICOM, "code": code, "display": display}]}


def _concept(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [_coding(system, code, display)]}


def _coding(system: str, code: str, display: str) -> dict[str, str]:
    return {"system": f"{_TERMINOLOGY}{system}", "code": code, "display": display}
