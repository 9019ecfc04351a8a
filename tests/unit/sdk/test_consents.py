"""Consents of a session: who is meant by them, until when, and that nothing wider is granted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.consent import fhir_vocabulary as words
from panachain.errors import (
    ConsentNotEnforceableError,
    PartlyDoneError,
    ProxiesUnavailableError,
    UnknownActorError,
    UsageError,
)
from panachain.model.actors import Actor, Address, PolicyId, Role, Status
from panachain.model.policy import GrantedLane, OnChainPolicy, PolicyStatus, ProxyRef, Terms
from panachain.model.scope import Purpose, Scope
from panachain.sdk import consents

PATIENT, GRANTEE, OTHER = (Address("0x" + digit * 40) for digit in "abd")
POLICY = PolicyId("0x" + "c" * 40)
END = 1_798_761_600
TERMS = Terms(
    policy_id=POLICY,
    patient=PATIENT,
    grantee=GRANTEE,
    key_digest=b"\2" * 32,
    receiving_key=b"\2" * 33,
    verifying_key=b"\3" * 33,
    purposes=(Purpose.TREAT, Purpose.HPAYMT),
    starts_at=1_767_225_600,
    expires_at=END,
    threshold=2,
    proxies=tuple(ProxyRef(Address(f"0x{n:040x}"), "", b"") for n in (1, 2, 3)),
    lanes=(GrantedLane(Scope("laboratory/2020"), 0, b"", b"", b""),),
    audit_key=b"",
)


@dataclass
class Session:
    """A patient's session with a network of two people, in memory."""

    address: Address = PATIENT
    role_of_grantee: Role = Role.PRACTITIONER
    granted: list[tuple[Any, ...]] = field(default_factory=list)
    fails_after: int = 99

    @property
    def network(self) -> Any:
        nodes = SimpleNamespace(urls=("http://node",), quorum=1)
        mainchain = SimpleNamespace(policies=SimpleNamespace(events=self.events), block=block, nodes=nodes)
        return SimpleNamespace(resolve=self.resolve, mainchain=mainchain, clock=lambda: TERMS.starts_at)

    def resolve(self, text: str, *roles: Role) -> Actor:
        known = {GRANTEE: self.role_of_grantee, OTHER: Role.PRACTITIONER, PATIENT: Role.PATIENT}
        address = {"cardiologist": GRANTEE, "other": OTHER}.get(text, Address(text))
        if address not in known:
            raise UnknownActorError(f"no registered actor is named {text!r}")
        return Actor(address, known[address], Status.ACTIVE, b"")

    def events(self, **_: Any) -> Iterator[Any]:
        yield SimpleNamespace(block=7)

    def terms_of(self, policy_id: PolicyId) -> tuple[OnChainPolicy, Terms]:
        return OnChainPolicy(policy_id, PolicyStatus.ACTIVE, TERMS.starts_at, END, b"t" * 32), TERMS

    def grant(self, grantee: str, *arguments: Any, **options: Any) -> Any:
        if len(self.granted) >= self.fails_after:
            raise ProxiesUnavailableError("too few proxies", answered=0, needed=2)
        self.granted.append((grantee, *arguments, options))
        return SimpleNamespace(policy_id=f"policy-{len(self.granted)}")


def block(number: int) -> Any:
    return SimpleNamespace(time=1_767_225_600 + number)


def exported() -> dict[str, Any]:
    return consents.export_consent(Session(), POLICY)


def foreign(*references: dict[str, Any], end: str | None = "2026-12-31") -> dict[str, Any]:
    document = exported()
    (permit,) = document["provision"]["provision"]
    role = permit["actor"][0]["role"]
    permit["actor"] = [{"role": role, "reference": reference} for reference in references]
    permit["period"] = {"end": end} if end else {}
    if not references:
        del permit["actor"]
    return document


def account(address: str) -> dict[str, Any]:
    return {"identifier": {"system": words.ACCOUNT_SYSTEM, "value": address}}


def test_an_exported_policy_is_granted_again_as_it_was() -> None:
    session = Session()
    plan, made = consents.import_consent(session, exported())
    assert len(made) == 1
    assert session.granted == [
        (
            GRANTEE,
            ("laboratory",),
            (2020,),
            {
                "purpose": (Purpose.TREAT, Purpose.HPAYMT),
                "starts": TERMS.starts_at,
                "until": END,
                "dry_run": False,
            },
        )
    ]
    assert plan.expires_at == END


def test_export_says_when_it_was_granted() -> None:
    assert exported()["dateTime"] == "2026-01-01T00:00:07Z"


def test_explanation_names_people_by_their_handles() -> None:
    text = consents.explain(Session(), POLICY).allows[0]
    assert text.startswith("pat-")
    assert " pra-" in text
    assert "member of the group gro-" in consents.explain(Session(role_of_grantee=Role.GROUP), POLICY).allows[0]


def test_each_grantee_gets_a_policy() -> None:
    session = Session()
    consents.import_consent(session, foreign(account(GRANTEE), account(OTHER)), dry_run=True)
    assert [call[0] for call in session.granted] == [GRANTEE, OTHER]
    assert all(call[-1]["dry_run"] for call in session.granted)


@pytest.mark.parametrize("references", [(), ({"reference": "Practitioner/7"},)])
def test_who_is_not_known_here_is_named_by_the_caller(references: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(UsageError, match="recipient"):
        consents.import_consent(Session(), foreign(*references))
    session = Session()
    consents.import_consent(session, foreign(*references), grantee="cardiologist")
    assert session.granted[0][0] == GRANTEE


def test_caller_cannot_put_somebody_else_in_the_place_of_who_is_named() -> None:
    with pytest.raises(UsageError, match="somebody else"):
        consents.import_consent(Session(), exported(), grantee="other")
    session = Session()
    consents.import_consent(session, foreign(account(GRANTEE), account(OTHER)), grantee="cardiologist")
    assert [call[0] for call in session.granted] == [GRANTEE]


def test_one_name_does_not_stand_for_several_recipients() -> None:
    with pytest.raises(UsageError, match="several"):
        consents.import_consent(Session(), foreign({"reference": "a"}, {"reference": "b"}), grantee="cardiologist")


def test_an_account_that_is_not_registered_is_refused() -> None:
    with pytest.raises(UnknownActorError):
        consents.import_consent(Session(), foreign(account("0x" + "e" * 40)))


def test_end_is_needed_and_only_made_earlier() -> None:
    endless = foreign(account(GRANTEE), end=None)
    with pytest.raises(UsageError, match="no end"):
        consents.import_consent(Session(), endless)
    session = Session()
    consents.import_consent(session, endless, until=END)
    consents.import_consent(session, exported(), until=END - 1)
    assert [call[-1]["until"] for call in session.granted] == [END, END - 1]
    with pytest.raises(UsageError, match="ends at"):
        consents.import_consent(Session(), exported(), until=END + 1)


def test_another_patients_consent_is_refused() -> None:
    with pytest.raises(ConsentNotEnforceableError, match=r"Consent\.patient"):
        consents.import_consent(Session(address=OTHER), exported())


def test_a_failure_in_the_middle_names_what_was_made() -> None:
    document = foreign(account(GRANTEE), account(OTHER))
    with pytest.raises(PartlyDoneError, match="policy-1"):
        consents.import_consent(Session(fails_after=1), document)
    with pytest.raises(ProxiesUnavailableError):
        consents.import_consent(Session(fails_after=0), document)
