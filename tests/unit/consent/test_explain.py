"""What a policy allows in plain words: each promise beside what nobody holds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from panachain.consent.explain import HEADINGS, PURPOSES, Explanation, explain, explain_offer
from panachain.consent.offer import Offer, scopes_of
from panachain.errors import UsageError
from panachain.model.actors import Actor, Address, PolicyId, Role, Status
from panachain.model.policy import Disclosure, GrantedLane, OnChainPolicy, PolicyStatus, ProxyRef, Terms
from panachain.model.scope import RESTRICTED, Purpose, Scope

PATIENT, GRANTEE = Address("0x" + "aa" * 20), Address("0x" + "bb" * 20)
POLICY = PolicyId("0x" + "cc" * 20)
STATES = ["revoked on chain", "1 of 3 proxies deleted", "final", "lane rotated", "headers re-wrapped"]


def terms_of(categories: tuple[str, ...] = ("laboratory",), years: tuple[int, ...] = ()) -> Terms:
    return Terms(
        policy_id=POLICY,
        patient=PATIENT,
        grantee=GRANTEE,
        key_digest=b"\2" * 32,
        receiving_key=b"\2" * 33,
        verifying_key=b"\3" * 33,
        purposes=(Purpose.TREAT, Purpose.HPAYMT),
        starts_at=1_767_225_600,
        expires_at=1_798_761_600,
        threshold=2,
        proxies=tuple(ProxyRef(Address(f"0x{n:040x}"), f"https://p{n}", b"\2" * 32) for n in (1, 2, 3)),
        lanes=tuple(GrantedLane(scope, 0, b"\2" * 33, b"k" * 32, b"p" * 32) for scope in scopes_of(categories, years)),
        audit_key=b"\2" * 1216,
    )


def told(terms: Terms | None = None, status: PolicyStatus = PolicyStatus.ACTIVE, **more: Any) -> Explanation:
    terms = terms or terms_of()
    disclosure = more.pop("disclosure", Disclosure())
    policy = OnChainPolicy(POLICY, status, terms.starts_at, terms.expires_at, b"t" * 32, disclosure)
    return explain(terms, policy, **more)


def test_says_who_what_why_and_when() -> None:
    text = " ".join(told(terms_of(("laboratory", "vitals"), (0, 2019, 2020, 2023))).allows)
    assert f"{PATIENT} lets {GRANTEE} read: laboratory, vitals (2019 to 2020, 2023, undated)." in text
    assert "treatment (TREAT) or payment for care (HPAYMT)" in text
    assert "from 2026-01-01 00:00:00 UTC until 2027-01-01 00:00:00 UTC" in text
    assert "publish later" in text


def test_moments_and_purposes_are_told_in_the_readers_way() -> None:
    text = " ".join(told(moment=lambda seconds: f"second {seconds}", codes=False).allows)
    assert "For treatment or payment for care, from second 1767225600 until second 1798761600, that" in text
    assert "TREAT" not in text
    offered = explain_offer(offer_of(), patient=PATIENT, moment=lambda _: "then", codes=False).allows
    assert "from then until then" in " ".join(offered)
    beyond = " ".join(told(replace(terms_of(), expires_at=2**70), codes=False).allows)
    assert f"until {2**70} (Unix seconds)" in beyond


def test_a_policy_for_emergencies_says_who_opens_it_and_when() -> None:
    terms = terms_of()
    text = " ".join(told(replace(terms, grantee=terms.patient)).allows)
    assert "for four hours" in text
    assert "a second practitioner of the same hospital co-signed" in text
    assert "for four hours" not in " ".join(told(terms).allows)


@pytest.mark.parametrize(
    ("purposes", "words"),
    [
        ((Purpose.TREAT,), "treatment (TREAT)"),
        ((Purpose.TREAT, Purpose.HPAYMT), "treatment (TREAT) or payment for care (HPAYMT)"),
        (
            (Purpose.TREAT, Purpose.HPAYMT, Purpose.HRESCH),
            f"treatment (TREAT), payment for care (HPAYMT) or {PURPOSES[Purpose.HRESCH]}",
        ),
    ],
)
def test_purposes_are_said_as_people_list_them(purposes: tuple[Purpose, ...], words: str) -> None:
    text = " ".join(told(replace(terms_of(), purposes=purposes)).allows)
    assert words.partition(" (HRESCH")[0] in text


def test_names_are_handles_where_they_are_known() -> None:
    assert told(grantee="pra-one", patient="pat-one").allows[0].startswith("pat-one lets pra-one read")


def test_a_group_is_everybody_who_is_a_member_when_he_opens() -> None:
    told_of = told(is_group=True, grantee="gro-ward")
    assert "everybody who is a member of the group gro-ward at the time of opening" in told_of.allows[0]
    assert any("is a member" in sentence for sentence in told_of.proxies)
    assert any("former member" in sentence for sentence in told_of.nobody)
    assert not any("member" in sentence for sentence in told().text().splitlines())


def test_all_leaves_the_restricted_categories_out() -> None:
    rest = "substance-use, sexual-health, gender, violence, private"
    assert f"read: everything but mental-health, {rest}." in told(terms_of(("all",))).allows[0]
    both = told(terms_of(("all", "laboratory", "mental-health"))).allows[0]
    assert f"read: everything but {rest}." in both
    whole = told(terms_of(("all", *(category.value for category in RESTRICTED)))).allows[0]
    assert "read: everything." in whole


def test_years_of_a_restricted_category_beside_all_are_named() -> None:
    terms = terms_of(("all",))
    more = GrantedLane(Scope.parse("mental-health/2020"), 0, b"\2" * 33, b"k" * 32, b"p" * 32)
    text = told(replace(terms, lanes=(*terms.lanes, more))).allows[0]
    assert text.endswith("sexual-health, gender, violence, private; of mental-health what is of 2020.")


def test_emergency_names_what_it_holds() -> None:
    assert "allergies, medications, immunizations" in told(terms_of(("emergency",))).allows[0]
    assert "nothing restricted but what the patient included" in told(terms_of(("emergency",))).allows[0]


def test_the_threshold_is_said_in_numbers() -> None:
    found = told()
    assert found.mathematics[0].startswith("Fewer than 2 of the 3 proxies open nothing")
    assert any("2 deletion receipts" in sentence for sentence in found.proxies)
    assert any("If 2 proxies break the rules" in sentence for sentence in found.nobody)


def test_an_open_policy_shows_what_it_shows() -> None:
    assert any("patient made it open" in sentence for sentence in told(disclosure=Disclosure(purposes=1)).mathematics)
    assert any("but not who" in sentence for sentence in told().mathematics)


@pytest.mark.parametrize("status", list(PolicyStatus))
@pytest.mark.parametrize("is_group", [False, True])
def test_it_is_short_and_always_says_what_nobody_holds(status: PolicyStatus, is_group: bool) -> None:
    text = told(status=status, is_group=is_group).text()
    assert len(text.splitlines()) < 25
    assert "can't be called back" in text
    assert "stated, not proven" in text


@pytest.mark.parametrize("state", STATES)
def test_each_step_of_a_revocation_says_what_it_stops(state: str) -> None:
    found = told(status=PolicyStatus.REVOKED, revocation=state)
    assert len(found.revocation) == 2
    assert len(found.text().splitlines()) < 25


def test_steps_say_what_they_leave_open() -> None:
    left = {state: " ".join(told(status=PolicyStatus.REVOKED, revocation=state).revocation) for state in STATES}
    assert "once 2 of the 3" in left["revoked on chain"]
    assert "1 of 3 proxies signed" in left["1 of 3 proxies deleted"]
    assert "unless one lied" in left["final"]
    assert "Older records are still" in left["lane rotated"]
    assert "kept copies" in left["headers re-wrapped"]


def test_a_revoked_policy_stands_at_least_at_the_first_step() -> None:
    assert told(status=PolicyStatus.REVOKED).revocation == told(revocation=STATES[0]).revocation
    assert told().revocation == ()


@pytest.mark.parametrize("state", ["done", "x of y proxies deleted", "1 of 3 proxies deleted and more"])
def test_unknown_states_are_refused(state: str) -> None:
    with pytest.raises(UsageError):
        told(revocation=state)


def test_says_whom_it_believes_that_nothing_newer_happened() -> None:
    assert told(nodes=1, quorum=1).allows[-1] == (
        "It is in force. One node is believed that nothing newer happened: it could show an older state, but forge "
        "nothing."
    )
    assert "2 of 3 nodes agree" in told(nodes=3, quorum=2).allows[-1]
    assert "One node is believed" in told(nodes=3, quorum=1).allows[-1]
    assert told().allows[-1] == "It is in force."
    assert len(told(nodes=1, quorum=1, status=PolicyStatus.REVOKED).text().splitlines()) < 25


def test_json_has_the_schema_and_every_part() -> None:
    fields = json.loads(json.dumps(told().to_json()))
    assert fields["schema"] == "panachain/explanation/1"
    assert fields.keys() == {
        *("schema", "policy_id", "status", "allows", "mathematics", "proxies", "nobody", "revocation")
    }
    assert fields["status"] == "active"


def test_every_purpose_has_words() -> None:
    assert PURPOSES.keys() == set(Purpose)


def test_a_time_beyond_the_calendar_is_a_number() -> None:
    assert f"until {2**47} (Unix seconds)" in " ".join(told(replace(terms_of(), expires_at=2**47)).allows)


def marked(template: str) -> str:
    """Return a template as another language would have it: other words, the same places."""
    return f"«{template}»"


@pytest.mark.parametrize("status", list(PolicyStatus))
@pytest.mark.parametrize("is_group", [False, True])
@pytest.mark.parametrize("state", ["", *STATES])
def test_every_sentence_can_be_told_in_another_language(status: PolicyStatus, is_group: bool, state: str) -> None:
    terms = terms_of(("all", "emergency", "mental-health"))
    found = told(terms, status, is_group=is_group, revocation=state, nodes=3, quorum=2, translate=marked)
    for name, _ in HEADINGS:
        assert all(one.startswith("«") and one.endswith("»") for one in getattr(found, name)), name


def test_in_english_the_sentences_are_the_templates() -> None:
    kept: set[str] = set()

    def remember(template: str) -> str:
        kept.add(template)
        return template

    assert told(translate=remember) == told()
    assert "treatment" in kept
    assert "laboratory" in kept


@pytest.mark.parametrize("name", ["{0}", "{who.__class__}", "{", "}}", "%s", "{patient}"])
def test_a_name_is_never_a_template(name: str) -> None:
    text = told(grantee=name, is_group=True, translate=marked).allows[0]
    assert name in text
    assert str(PATIENT) in text


def offer_of(role: Role = Role.PRACTITIONER) -> Offer:
    terms = terms_of()
    return Offer(
        grantee=Actor(GRANTEE, role, Status.ACTIVE, b"\2" * 32),
        scopes=tuple(lane.scope for lane in terms.lanes),
        purposes=terms.purposes,
        starts_at=terms.starts_at,
        expires_at=terms.expires_at,
        threshold=terms.threshold,
        proxies=terms.proxies,
    )


def test_an_offer_says_what_the_policy_will_say_but_that_it_is_there() -> None:
    offered, granted = explain_offer(offer_of(), patient=PATIENT), told()
    assert offered.allows[:-1] == granted.allows[:-1]
    assert "nothing is signed or sent before you confirm it" in offered.allows[-1]
    assert (offered.mathematics, offered.proxies, offered.nobody) == (
        granted.mathematics,
        granted.proxies,
        granted.nobody,
    )
    assert (offered.policy_id, offered.status, offered.revocation) == ("", "offered", ())


def test_an_offer_to_a_group_says_that_members_read() -> None:
    offered = explain_offer(offer_of(Role.GROUP), patient=PATIENT, grantee="gro-ward", patient_name="me")
    assert offered.allows[0].startswith("me lets everybody who is a member of the group gro-ward")
    assert any("former member" in sentence for sentence in offered.nobody)
