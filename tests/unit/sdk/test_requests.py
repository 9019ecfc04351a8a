"""Requests: asked, answered with a policy, refused, and read by nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.crypto import box, labels
from panachain.errors import (
    IntegrityError,
    PanaChainError,
    PolicyUnknownError,
    TransactionError,
    UnknownActorError,
    UsageError,
)
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, RAW
from panachain.model.scope import Purpose
from panachain.sdk import requests as requests_module
from panachain.sdk.requests import seal_request
from panachain.sdk.results.requests import RequestReport
from panachain.storage.blocks import keep
from tests.twin.world import World, seed_of
from tests.unit.sdk.helpers import DAY, opened, upload


def ask(world: World, *categories: str, who: str = "clinician") -> int:
    made: RequestReport = world.sessions[who].request(
        world.patient.address, categories or ("laboratory",), Purpose.TREAT, "a note", until=world.now + DAY
    )
    return made.request_id


def test_patient_and_requester_read_the_same(world: World) -> None:
    number = ask(world, "laboratory", "vitals")
    (seen,), (asked,) = world.patient.requests(), world.clinician.requests()
    assert seen == asked
    assert (seen.request_id, seen.state, seen.categories, seen.note) == (
        number,
        "open",
        ("laboratory", "vitals"),
        "a note",
    )
    assert world.nurse.requests() == []


def test_what_is_asked_is_sealed(world: World) -> None:
    readers = [seed_of(name).sealing().public for name in ("patient", "clinician")]
    assert b"a note" not in seal_request(["vitals"], Purpose.TREAT, "a note", 1, readers=readers)
    ask(world)
    (event,) = world.network.sidechain.requests.find(patient=world.patient.address)
    assert b"a note" not in world.network.store.get_block(CID(RAW, event.details))


def test_an_approval_grants_what_was_asked_and_tells_the_requester_which_policy(world: World) -> None:
    upload(world)
    number = ask(world)
    made = world.patient.approve(number)
    (asked,) = world.clinician.requests()
    assert (asked.state, asked.policy_id, asked.granted) == ("approved", made.policy_id, ("laboratory",))
    assert (made.expires_at, made.purposes) == (world.now + DAY, ("TREAT",))
    assert opened(world, made.policy_id) == 1


def test_what_was_opened_once_is_opened_once_a_session_and_an_answer_appears_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(world)
    first = ask(world)
    assert [one.state for one in world.clinician.requests()] == ["open"]
    assert [one.state for one in world.patient.requests()] == ["open"]
    made = world.patient.approve(first)
    second = ask(world, "vitals")
    for asked in (world.clinician.requests(), world.patient.requests()):
        assert [(one.request_id, one.state) for one in asked] == [(first, "approved"), (second, "open")]
        assert (asked[0].policy_id, asked[0].granted) == (made.policy_id, ("laboratory",))
    before = world.clinician.requests()
    monkeypatch.setattr(world.network.store, "get_block", None)
    assert world.clinician.requests() == before
    assert world.patient.requests() == before


def test_no_more_is_kept_open_than_a_bound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests_module, "_KEPT", 2)
    numbers = [ask(world, "laboratory", "vitals") for _ in range(3)]
    for _ in range(2):
        assert [one.request_id for one in world.clinician.requests()] == numbers
    assert len(world.clinician._opened_requests) == 2


def test_less_than_was_asked_is_an_answer_and_more_is_none(world: World) -> None:
    number = ask(world, "laboratory", "vitals")
    with pytest.raises(UsageError, match="more than that isn't an answer"):
        world.patient.approve(number, categories=["imaging"])
    with pytest.raises(UsageError, match="more than that isn't an answer"):
        world.patient.approve(number, until=world.now + 2 * DAY)
    assert list(world.patient.policies()) == []
    assert world.patient.approve(number, categories=["vitals"]).scopes == ("vitals",)


def test_one_that_is_answered_is_answered_once(world: World) -> None:
    number = ask(world)
    world.patient.approve(number)
    with pytest.raises(UsageError, match="is approved, so nothing was granted"):
        world.patient.approve(number)
    # An interrupted grant may answer twice.
    own = next(iter(world.patient._policies))
    world.patient._requests.answer(number, own.terms)
    assert len(list(world.patient.policies())) == 1


def test_a_refused_one_is_denied(world: World) -> None:
    number = ask(world)
    assert world.patient.deny(number).to_json()["state"] == "denied"
    assert [request.state for request in world.clinician.requests()] == ["denied"]
    with pytest.raises(UsageError, match="is denied"):
        world.patient.approve(number)


def test_nobody_answers_what_was_not_asked_of_them(world: World) -> None:
    for answer in (world.patient.deny, world.patient.approve):
        with pytest.raises(UnknownActorError, match="no request 7 was made to this patient"):
            answer(7)


def _made_by_hand(world: World, details: bytes, *, is_stored: bool = True) -> None:
    digest = CID.of(RAW, details).digest
    if is_stored:
        keep(world.network.store, details)
    sender = world.clinician._sender(sidechain=True)
    world.network.sidechain.requests.request(sender, world.patient.address, digest, world.now + DAY)


@pytest.mark.parametrize(
    "changes",
    [
        {"categories": "laboratory"},
        {"categories": [7]},
        {"categories": ["x" * 65]},
        {"note": b"x"},
        {"note": "x" * 2001},
        {"until": "7"},
        {"until": True},
        {"until": -1},
        {"purpose": "FUN"},
        {"purpose": []},
    ],
    ids=repr,
)
def test_a_request_that_says_nonsense_keeps_nobody_from_the_others(world: World, changes: dict[str, Any]) -> None:
    body = {"categories": ["laboratory"], "purpose": "TREAT", "note": "", "until": world.now + DAY} | changes
    readers = [seed_of(name).sealing().public for name in ("patient", "clinician")]
    _made_by_hand(world, box.seal_to_each(readers, dagcbor.encode(body), labels.REQUEST))
    number = ask(world)
    for session in (world.patient, world.clinician):
        listed = session.requests()
        assert [request.request_id for request in listed] == [number]
        (left,) = listed.left_out
        assert (left.kind, left.item, left.sender) == ("request", str(number - 1), world.clinician.address)
        assert "wrong type" in left.reason


def test_a_request_whose_details_nobody_can_read_keeps_nobody_from_the_others(world: World) -> None:
    _made_by_hand(world, b"never stored", is_stored=False)
    _made_by_hand(world, b"no box")
    number = ask(world)
    listed = world.patient.requests()
    assert [request.request_id for request in listed] == [number]
    assert [left.item for left in listed.left_out] == [str(number - 2), str(number - 1)]
    assert world.patient.approve(number).scopes == ("laboratory",)


def test_one_that_nobody_can_read_is_denied_without_being_opened_and_never_approved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _made_by_hand(world, b"never stored", is_stored=False)
    (left,) = world.patient.requests().left_out
    with pytest.raises(IntegrityError, match="can't be read, so nothing was granted") as caught:
        world.patient.approve(int(left.item))
    assert caught.value.hint.startswith(f"panachain deny {left.item}")
    monkeypatch.setattr(type(world.network.store), "get_block", None)
    assert world.patient.deny(int(left.item)).to_json()["state"] == "denied"


def test_an_answer_opens_one_request_and_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    number = ask(world)
    for _ in range(2):
        ask(world)
    opened, kept = [], requests_module._open
    monkeypatch.setattr(
        requests_module, "_open", lambda *args, **more: (opened.append(args[1]), kept(*args, **more))[1]
    )
    world.patient.approve(number)
    assert len(set(opened)) == 1


def test_a_fourth_request_to_one_patient_waits_for_an_answer(world: World) -> None:
    numbers = [ask(world) for _ in range(3)]
    with pytest.raises(TransactionError, match="RequestTooManyOpen"):
        ask(world)
    world.patient.deny(numbers[1])
    ask(world)
    with pytest.raises(TransactionError):
        ask(world)
    assert len(world.patient.requests()) == 4


def test_a_request_until_after_the_last_calendar_day_is_shown(world: World) -> None:
    body = {"categories": ["laboratory"], "purpose": "TREAT", "note": "", "until": 1 << 60}
    readers = [seed_of(name).sealing().public for name in ("patient", "clinician")]
    _made_by_hand(world, box.seal_to_each(readers, dagcbor.encode(body), labels.REQUEST))
    (seen,) = world.patient.requests()
    assert seen.to_json()["until"] == "9999-12-31T23:59:59Z"


def test_a_requester_takes_an_open_request_back_and_nobody_else_does(world: World) -> None:
    number = ask(world)
    with pytest.raises(TransactionError):
        world.nurse.withdraw_request(number)
    back = world.clinician.withdraw_request(world.clinician.requests()[0])
    assert (back.request_id, back.to_json()["state"]) == (number, "withdrawn")
    assert [asked.state for asked in world.clinician.requests()] == ["withdrawn"]
    assert [asked.state for asked in world.patient.requests()] == ["withdrawn"]
    with pytest.raises(TransactionError):
        world.clinician.withdraw_request(number)


class TestReferral:
    """Security rule 33: a referral asks, in a specialist's name; what is approved is the specialist's alone."""

    def refer(self, world: World, *categories: str, reason: str = "a murmur") -> int:
        made: RequestReport = world.clinician.request(
            world.patient.address,
            categories or ("laboratory",),
            note=reason,
            until=world.now + DAY,
            specialist=world.nurse.address,
        )
        return made.request_id

    def test_the_patient_approves_with_one_word_and_the_specialist_reads(self, world: World) -> None:
        upload(world)
        number = self.refer(world)
        (seen,) = world.patient.requests()
        assert (seen.request_id, seen.requester, seen.referrer) == (
            number,
            world.nurse.address,
            world.clinician.address,
        )
        assert (seen.note, seen.state) == ("a murmur", "open")

        made = world.patient.approve(number)

        assert made.grantee == world.nurse.address
        (asked,) = world.nurse.requests()
        assert (asked.state, asked.policy_id, asked.granted) == ("approved", made.policy_id, ("laboratory",))
        assert len(list(world.nurse.open(made.policy_id))) == 1

    def test_whoever_refers_reads_nothing_by_it_and_is_not_told_the_policy(self, world: World) -> None:
        upload(world)
        number = self.refer(world)
        made = world.patient.approve(number)

        (sent,) = world.clinician.requests()

        assert (sent.request_id, sent.state, sent.policy_id, sent.granted) == (number, "approved", "", ())
        assert list(world.clinician.inbox()) == []
        with pytest.raises(PolicyUnknownError):
            list(world.clinician.open(made.policy_id))
        # Not by the digest on chain, either: the outcome isn't sealed to them.
        outcome = world.network.sidechain.requests.outcome_of(number)
        assert outcome is not None
        block = world.network.store.get_block(CID(RAW, outcome))
        with pytest.raises(IntegrityError):
            box.open_shared(seed_of("clinician").sealing(), block, labels.OUTCOME, readers=2)

    def test_nobody_refers_to_themselves_to_a_stranger_or_without_a_reason(self, world: World) -> None:
        with pytest.raises(UsageError, match="nobody refers to themselves"):
            world.clinician.request(world.patient.address, ["vitals"], note="why", specialist=world.clinician.address)
        with pytest.raises(UnknownActorError):
            world.clinician.request(world.patient.address, ["vitals"], note="why", specialist=world.patient.address)
        for reason in ("", "  ", "x" * 2001):
            with pytest.raises(UsageError):
                self.refer(world, reason=reason)
        assert world.patient.requests() == []

    def test_a_suspended_specialist_is_referred_to_by_nobody(self, world: World) -> None:
        world.registrar.suspend(world.nurse.address)
        with pytest.raises(PanaChainError):
            self.refer(world)
        assert world.patient.requests() == []

    def test_one_that_is_denied_opens_nothing(self, world: World) -> None:
        number = self.refer(world)
        world.patient.deny(number)
        assert [one.state for one in world.nurse.requests()] == ["denied"]
        with pytest.raises(UsageError, match="is denied"):
            world.patient.approve(number)
        with pytest.raises(UsageError, match="is denied, so nothing was denied"):
            world.patient.deny(number)

    def test_the_referrer_and_the_specialist_may_take_it_back_and_nobody_else(self, world: World) -> None:
        first, second = self.refer(world), self.refer(world)
        with pytest.raises(TransactionError, match="RequestNotYours"):
            world.stranger.withdraw_request(first)
        world.clinician.withdraw_request(first)
        world.nurse.withdraw_request(second)
        assert [one.state for one in world.patient.requests()] == ["withdrawn", "withdrawn"]

    def test_it_takes_the_places_of_whoever_refers_and_none_of_the_specialists(self, world: World) -> None:
        for _ in range(3):
            self.refer(world)
        with pytest.raises(TransactionError, match="RequestTooManyOpen"):
            self.refer(world)
        with pytest.raises(TransactionError, match="RequestTooManyOpen"):
            ask(world)
        assert ask(world, who="nurse") == 4

    def test_a_blocked_referrer_is_heard_by_neither_patient_nor_specialist(self, world: World) -> None:
        self.refer(world)
        world.patient.blocked.add(world.clinician.address)
        world.nurse.blocked.add(world.clinician.address)
        assert world.patient.requests() == []
        assert world.nurse.requests() == []
        assert len(world.clinician.requests()) == 1

    def test_others_can_not_read_the_reason(self, world: World) -> None:
        number = self.refer(world)
        (event,) = world.network.sidechain.requests.find(patient=world.patient.address)
        block = world.network.store.get_block(CID(RAW, event.details))
        assert b"murmur" not in block
        assert event.referrer == world.clinician.address
        with pytest.raises(IntegrityError):
            box.open_shared(seed_of("clinic").sealing(), block, labels.REQUEST, readers=3)
        assert event.request_id == number

    def test_a_request_that_claims_to_be_a_referral_is_none(self, world: World) -> None:
        """The chain says who referred, not the sealed words: two readers are two, three are three."""
        readers = [seed_of(name).sealing().public for name in ("patient", "clinician", "nurse")]
        block = seal_request(["laboratory"], Purpose.TREAT, "", world.now + DAY, readers=readers)
        _made_by_hand(world, block)
        found = world.patient.requests()
        assert found == []
        assert [one.kind for one in found.left_out] == ["request"]
