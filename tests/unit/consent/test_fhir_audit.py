"""AuditEvents: valid FHIR, with every element that the profile requires, and no claim of it for refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panachain.consent.fhir_audit import PROFILE, Access, to_audit_event, to_bundle
from panachain.model.actors import Address, PolicyId

ACCESS = Access(
    patient=Address("0x" + "11" * 20),
    requester=Address("0x" + "22" * 20),
    grantee=Address("0x" + "33" * 20),
    policy_id=PolicyId("0x" + "44" * 20),
    scopes=("laboratory", "vitals/2026"),
    purpose="TREAT",
    at=1_800_000_000,
    ended_at=1_800_000_005,
    permitted=True,
    proxies=(Address("0x" + "55" * 20), Address("0x" + "66" * 20)),
)


def codes(concept: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one["system"], one["code"]) for one in concept.get("coding", [concept])}


FULL = replace(
    ACCESS,
    role="practitioner",
    organisation=Address("0x" + "77" * 20),
    records=("bafkreione", "bafkreitwo"),
    note="1 proxies signed otherwise",
    dissents=((ACCESS.proxies[1], "purpose \x1b[2J\u202e"), (ACCESS.proxies[0], "refused")),
)


@pytest.mark.parametrize(
    "access",
    [
        *(ACCESS, replace(ACCESS, permitted=False), replace(ACCESS, grantee=ACCESS.requester, purpose="", scopes=())),
        *(FULL, replace(FULL, permitted=False), replace(FULL, purpose=" \x1b[2J\u202e"), replace(FULL, purpose="\n")),
    ],
)
def test_each_is_valid_fhir(access: Access) -> None:
    from fhir.resources.R4B.auditevent import AuditEvent
    from fhir.resources.R4B.bundle import Bundle

    bundle = to_bundle([access])
    Bundle.model_validate(bundle)
    AuditEvent.model_validate(bundle["entry"][0]["resource"])


@pytest.mark.parametrize("access", [ACCESS, FULL])
def test_an_opening_has_what_the_profile_requires(access: Access) -> None:
    # IHE BALP 1.1, IHE.BasicAudit.PatientRead: fixed values, slices and their cardinalities.
    event = to_audit_event(access)
    terminology = "http://terminology.hl7.org/CodeSystem/"
    assert event["meta"]["profile"] == [PROFILE]
    assert codes(event["type"]) == {(f"{terminology}audit-event-type", "rest")}
    assert codes(event["subtype"][0]) == {("http://hl7.org/fhir/restful-interaction", "read")}
    assert (event["action"], event["outcome"], bool(event["recorded"])) == ("R", "0", True)
    dicom = "http://dicom.nema.org/resources/ontology/DCM"
    agents = [(next(iter(codes(agent["type"]))), agent) for agent in event["agent"]]
    for code in ("110152", "110153"):
        (agent,) = [agent for kind, agent in agents if kind == (dicom, code)]
        assert agent["who"]
        assert agent["network"]
        assert not {"role", "altId", "name", "location", "policy", "media", "purposeOfUse"} & agent.keys()
    (user,) = [agent for kind, agent in agents if kind == (f"{terminology}v3-ParticipationType", "IRCP")]
    assert user["who"]["identifier"]["value"] == ACCESS.requester
    assert user["requestor"] is True
    assert not {"altId", "location", "policy", "media", "network"} & user.keys()
    entities = [(next(iter(codes(entity["type"]))), entity) for entity in event["entity"]]
    for code, role in (("1", "1"), ("2", "4")):
        (entity,) = [entity for kind, entity in entities if kind == (f"{terminology}audit-entity-type", code)]
        assert codes(entity["role"]) == {(f"{terminology}object-role", role)}
        assert entity["what"]
        assert not {"lifecycle", "securityLabel", "name", "query", "detail"} & entity.keys()
    assert event["source"]["observer"]


def test_role_organisation_records_and_disagreement_stand_beside_the_profiles_slices() -> None:
    event = to_audit_event(FULL)
    agents = {next(iter(codes(agent["type"])))[1]: agent for agent in event["agent"]}
    assert agents["IRCP"]["role"] == [
        {"coding": [{"system": "urn:panachain:role", "code": "practitioner"}], "text": "practitioner"}
    ]
    assert agents["PROV"]["who"]["identifier"]["value"] == FULL.organisation
    assert [agent["requestor"] for agent in event["agent"]].count(True) == 1
    others = [entity for entity in event["entity"] if entity["type"]["code"] == "4"]
    assert [one["what"]["identifier"]["value"] for one in others] == [*FULL.records, *reversed(FULL.proxies)]
    assert others[-1]["detail"] == [{"type": "signed", "valueString": "refused"}]
    assert event["outcomeDesc"] == "served; 1 proxies signed otherwise"
    assert "\x1b" not in str(event)
    assert "\u202e" not in str(event)


def test_a_purpose_that_is_no_code_is_text() -> None:
    event = to_audit_event(replace(FULL, purpose="A B\x07"))
    assert event["purposeOfEvent"] == [{"text": "A B\N{REPLACEMENT CHARACTER}"}]


def test_a_refusal_claims_no_profile_and_no_success() -> None:
    event = to_audit_event(replace(ACCESS, permitted=False))
    assert "meta" not in event
    assert event["outcome"] != "0"


def test_every_proxy_that_signed_is_named() -> None:
    text = str(to_audit_event(ACCESS))
    assert all(proxy in text for proxy in ACCESS.proxies)
