"""Policies and Consents that tests of import and export share."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.consent import fhir_vocabulary as words
from panachain.consent.fhir_consent import ConsentPlan, from_consent
from panachain.consent.fhir_export import to_consent
from panachain.consent.offer import scopes_of
from panachain.errors import ConsentNotEnforceableError
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import GrantedLane, OnChainPolicy, PolicyStatus, ProxyRef, Terms
from panachain.model.scope import Purpose, Scope

PATIENT, GRANTEE = Address("0x" + "aa" * 20), Address("0x" + "bb" * 20)
POLICY = PolicyId("0x" + "cc" * 20)
START, END = 1_767_225_600, 1_798_761_600
"""The year 2026."""


def terms_of(
    categories: tuple[str, ...] = ("laboratory",),
    years: tuple[int, ...] = (),
    purposes: tuple[Purpose, ...] = (Purpose.TREAT,),
    window: tuple[int, int] = (START, END),
    generations: int = 1,
) -> Terms:
    lanes = [
        GrantedLane(scope, number, b"\2" * 33, b"k" * 32, b"p" * 32)
        for scope in scopes_of(categories, years)
        for number in range(generations)
    ]
    proxies = tuple(ProxyRef(Address(f"0x{n:040x}"), f"https://p{n}", b"\2" * 32) for n in (1, 2, 3))
    return Terms(
        policy_id=POLICY,
        patient=PATIENT,
        grantee=GRANTEE,
        key_digest=b"\2" * 32,
        receiving_key=b"\2" * 33,
        verifying_key=b"\3" * 33,
        purposes=purposes,
        starts_at=window[0],
        expires_at=window[1],
        threshold=2,
        proxies=proxies,
        lanes=tuple(lanes),
        audit_key=b"\2" * 1216,
    )


def on_chain(terms: Terms, status: PolicyStatus = PolicyStatus.ACTIVE) -> OnChainPolicy:
    return OnChainPolicy(POLICY, status, terms.starts_at, terms.expires_at, b"t" * 32)


def exported(**choice: Any) -> dict[str, Any]:
    terms = terms_of(**choice)
    return to_consent(terms, on_chain(terms), granted_at=START)


def scopes(plan: ConsentPlan) -> set[Scope]:
    return set(scopes_of(plan.categories, plan.years))


def coding(system: str, code: str) -> dict[str, Any]:
    return {"system": system, "code": code}


def permit(**changes: Any) -> dict[str, Any]:
    return {"type": "permit", "purpose": [coding(words.ACT_REASON, "TREAT")], **changes}


def consent(provision: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Return a Consent as another system writes it, in PCF's form."""
    made: dict[str, Any] = {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [coding(words.SCOPE_SYSTEM, "patient-privacy")]},
        "category": [{"coding": [coding(words.LOINC, "59284-0")]}],
        "patient": {"reference": "Patient/1"},
        "dateTime": "2026-01-01",
        "performer": [{"reference": "Patient/1"}],
        "organization": [{"reference": "Organization/1"}],
        "sourceReference": {"reference": "DocumentReference/1"},
        "policy": [{"uri": "urn:example:policy"}],
        "provision": permit() if provision is None else provision,
    }
    made.update(changes)
    return {name: value for name, value in made.items() if value is not None}


def places(document: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ConsentNotEnforceableError) as caught:
        from_consent(document)
    return dict(caught.value.provisions)


def types(*kinds: str) -> list[dict[str, Any]]:
    return [coding(words.RESOURCE_TYPES, kind) for kind in kinds]


def ours(*names: str) -> list[dict[str, Any]]:
    return [coding(words.CATEGORY_SYSTEM, name) for name in names]
