"""Watching: each thing that happens is told once, by a text that says what to run and nothing about anybody."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.cli.main import COMMANDS
from panachain.crypto.keys import Seed
from panachain.errors import UnavailableError, UsageError
from panachain.model.actors import Address
from panachain.model.scope import Category
from panachain.sdk import watching as watching_module
from panachain.sdk.hospital_overview import HospitalOverview
from panachain.sdk.results.emergencies import EmergencyView
from panachain.sdk.watching import (
    PATIENCE,
    TEST,
    TEXTS,
    URGENT,
    WEEK,
    Choice,
    Happening,
    Kind,
    Watching,
    _Found,
    _Partly,
    _Standing,
    message,
    of_practitioner,
    of_registrar,
)
from tests.twin.world import World
from tests.unit.sdk.helpers import DAY, again, grant, opened, upload


class Outbox:
    """Takes messages in place of a service."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.down = False

    def send(self, text: str) -> int:
        if self.down:
            raise UnavailableError("down")
        self.sent.append(text)
        return 1


def watching(world: World, who: str = "patient", outbox: Outbox | None = None) -> Any:
    found = world.sessions[who].watching
    found.notifier = outbox or Outbox()
    return found


def looked(world: World, who: str = "patient") -> list[Kind]:
    """Return what is new, and tell it."""
    found = watching(world, who)
    happened, left_out = found.look()
    assert not left_out, left_out
    found.tell(happened)
    return sorted((one.kind for one in happened), key=lambda kind: kind.value)


def test_what_happens_to_a_patient_is_told_once(world: World) -> None:
    upload(world)
    assert looked(world) == []
    world.clinician.request(world.patient.address, "laboratory", until=world.now + DAY)
    assert looked(world) == [Kind.REQUEST]
    made = grant(world)
    # It ends tomorrow.
    assert looked(world) == [Kind.EXPIRY, Kind.GRANT]
    opened(world, made.policy_id)
    world.wait()
    assert looked(world) == [Kind.FIRST_OPENING]
    world.advance(120)
    opened(world, made.policy_id)
    world.wait()
    assert looked(world) == []
    world.registrar.suspend(world.clinician.address)
    again(world)
    assert looked(world) == [Kind.SUSPENDED]
    world.patient.revoke(made.policy_id, rotate=True)
    assert Kind.ROTATION in looked(world)
    (record,) = world.patient.records()
    world.hospital.withdraw([record.info.header_cid], "wrong-patient")
    assert looked(world) == [Kind.WITHDRAWN]
    assert looked(world) == []


def test_what_was_before_the_first_look_is_no_news(world: World) -> None:
    upload(world)
    made = grant(world, until=world.now + 2 * WEEK)
    opened(world, made.policy_id)
    world.wait()
    assert looked(world) == []
    # Its end is, once it is near.
    world.advance(WEEK + DAY)
    again(world)
    assert looked(world) == [Kind.EXPIRY]


def test_what_happens_to_a_practitioner(world: World) -> None:
    assert looked(world, "clinician") == []
    grant(world, until=world.now + 2 * WEEK)
    assert looked(world, "clinician") == [Kind.GRANT]
    world.advance(WEEK + DAY)
    assert looked(world, "clinician") == [Kind.EXPIRY]
    assert looked(world, "clinician") == []


def test_somebody_who_is_suspended_again_is_told_of_again(world: World) -> None:
    """Both have the same digest: the second one was taken for the first."""
    grant(world, until=world.now + 2 * WEEK)
    looked(world)
    for _ in range(2):
        world.registrar.suspend(world.clinician.address)
        again(world)
        assert looked(world) == [Kind.SUSPENDED]
        assert looked(world) == []
        sender = world.registrar._sender(sidechain=True)
        world.network.sidechain.identities.reinstate(sender, world.clinician.address)
        again(world)
        assert looked(world) == []


def test_what_is_still_there_is_not_told_again_however_much_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was remembered beyond a number was cut by digest, and told at each look from then on."""
    shown = [f"0x{number:040x}" for number in range(20)]
    monkeypatch.setattr(watching_module, "_MOST", 5)
    sources = {"inbox": lambda: [_Found(Kind.GRANT, one) for one in shown]}
    found = Watching(tmp_path, Seed(bytes(32)), sources, clock=lambda: 0.0)
    found.notifier = Outbox()  # type: ignore[assignment]
    happened, _ = found.look()
    assert len(happened) == 20
    found.tell(happened)
    assert found.look()[0] == []
    # What nobody shows any more goes, the oldest first.
    del shown[:17]
    assert found.look()[0] == []
    assert len(found._read()["seen"]) == 5


def test_a_source_that_sees_a_part_takes_nothing_for_ended(tmp_path: Path) -> None:
    states: list[Any] = [_Standing(Kind.MOVE, "one")]
    found = Watching(tmp_path, Seed(bytes(32)), {"orders": lambda: list(states)}, clock=lambda: 0.0)
    found.notifier = Outbox()  # type: ignore[assignment]

    def told() -> int:
        happened, _ = found.look()
        found.tell(happened)
        return len(happened)

    assert told() == 1
    states[:] = [_Partly()]
    assert told() == 0
    states[:] = [_Standing(Kind.MOVE, "one")]
    assert told() == 0
    states.clear()
    assert told() == 0
    states[:] = [_Standing(Kind.MOVE, "one")]
    assert told() == 1


def test_a_practitioner_is_told_what_became_of_requests(world: World) -> None:
    assert looked(world, "clinician") == []
    world.clinician.request(world.patient.address, "laboratory", until=world.now + DAY)
    world.clinician.request(world.patient.address, "allergies", until=world.now + DAY)
    assert looked(world, "clinician") == []
    first, second = world.patient.requests()
    world.patient.approve(first)
    world.patient.deny(second)
    assert looked(world, "clinician") == [Kind.EXPIRY, Kind.GRANT, Kind.GRANTED, Kind.REFUSED]
    assert looked(world, "clinician") == []


def test_a_hospital_is_told_what_patients_ask_for_until_it_is_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(world)
    found = watching(world, "hospital")
    assert found.look() == ([], [])
    with monkeypatch.context() as patched:
        # While the chain shows the same pairings nobody opens them again.
        patched.setattr(HospitalOverview, "due", lambda _: pytest.fail("opened each pairing again"))
        assert found.look() == ([], [])
    world.patient.revoke(grant(world).policy_id, rotate=True)
    assert looked(world, "hospital") == [Kind.MOVE]
    assert looked(world, "hospital") == []
    world.hospital.rewrap()
    assert looked(world, "hospital") == []
    (record,) = again(world).records()
    world.patient.erasures.ask([record.info.header_cid])
    assert looked(world, "hospital") == [Kind.ERASURE]
    assert looked(world, "hospital") == []
    again(world, "hospital").erasures.follow()
    assert looked(world, "hospital") == []


def test_the_operator_of_a_proxy_is_told_what_is_wrong_with_its_log(world: World) -> None:
    grant(world)
    operated(world)
    proxy = world.proxies[0]
    # It isn't anchored or cosigned yet, and that may be so for a while.
    assert looked(world, "hospital") == []
    world.advance(PATIENCE)
    assert looked(world, "hospital") == [Kind.NOT_ANCHORED, Kind.NOT_COSIGNED]
    assert looked(world, "hospital") == []
    proxy.up = False
    assert looked(world, "hospital") == []
    world.advance(PATIENCE)
    assert looked(world, "hospital") == [Kind.PROXY_DOWN]
    proxy.up = True
    # It has come back, and lags as it did: that is news again once it lasts.
    assert looked(world, "hospital") == []


def test_a_proxy_whose_log_is_anchored_and_cosigned_is_no_news(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    grant(world)
    operated(world)
    proxy, others = world.proxies[0], world.proxies[1:]
    monkeypatch.setattr(world.network.mainchain.log, "anchor_of", lambda _: proxy.store.head())
    assert proxy.service.log.gather(lambda ask: [other.service.cosign(ask(0).encode())[1] for other in others]) == 2
    for _ in range(2):
        assert looked(world, "hospital") == []
        world.advance(PATIENCE)


def operated(world: World) -> None:
    """Let the hospital run the first proxy."""
    find = world.network.mainchain.actors.find
    own = world.proxies[0].address

    def found(*roles: Any) -> list[Any]:
        return [
            replace(one, organisation=world.hospital.address) if one.address == own else one for one in find(*roles)
        ]

    world.network.mainchain.actors.find = found  # type: ignore[method-assign]


def test_a_review_that_is_due_is_told_to_the_registrar_and_to_who_opened() -> None:
    own, other, patient = (Address(f"0x{number:040x}") for number in range(3))

    def emergency(state: str, who: Address = other) -> EmergencyView:
        return EmergencyView(3, state, who, patient, 0)

    session: Any = SimpleNamespace(
        emergency=SimpleNamespace(all=lambda: [emergency("over")], due=lambda: [emergency("over")]), address=own
    )
    assert list(of_registrar(session)["emergencies"]()) == [_Found(Kind.REVIEW, "3")]
    assert list(of_practitioner(session)["emergencies"]()) == [_Found(Kind.REVIEW, "3")]
    session.emergency.all = lambda: [emergency("asked"), emergency("asked", own), emergency("active")]
    assert list(of_practitioner(session)["emergencies"]()) == [_Found(Kind.BREAK_GLASS, "3")]


def test_a_message_that_went_nowhere_is_told_again(world: World) -> None:
    watching(world).look()
    grant(world, until=world.now + 2 * WEEK)
    outbox = Outbox()
    outbox.down = True
    found = watching(world, outbox=outbox)
    happened, _ = found.look()
    with pytest.raises(UnavailableError):
        found.tell(happened)
    outbox.down = False
    happened, _ = found.look()
    assert found.tell(happened) == TEXTS[Kind.GRANT]
    assert found.look()[0] == []


def test_a_digest_waits_and_what_is_urgent_does_not(world: World) -> None:
    outbox = Outbox()
    found = watching(world, outbox=outbox)
    found.look()
    grant(world, until=world.now + 2 * WEEK)
    assert found.tell(found.look()[0], every=DAY)
    grant(world, "nurse", until=world.now + 2 * WEEK)
    assert found.tell(found.look()[0], every=DAY) == ""
    world.registrar.suspend(world.clinician.address)
    found = watching(again_world(world), outbox=outbox)
    assert found.tell(found.look()[0], every=DAY) == TEXTS[Kind.SUSPENDED]
    # The other one still waits for its time.
    world.advance(DAY)
    assert found.tell(found.look()[0], every=DAY) == TEXTS[Kind.GRANT]
    assert found.look()[0] == []


def test_only_what_was_chosen_is_told_and_as_often_as_chosen(world: World) -> None:
    outbox = Outbox()
    found = watching(world, outbox=outbox)
    assert found.choice() == Choice(tuple(Kind), 0)
    found.look()
    made = found.choose(["expiry"], every=timedelta(days=1))
    assert (made.kinds, made.every) == ((Kind.BREAK_GLASS, Kind.EXPIRY, Kind.SUSPENDED, Kind.REVIEW), DAY)
    assert watching(world).choice() == made
    grant(world, until=world.now + 2 * WEEK)
    assert found.tell(found.look()[0]) == ""
    # It counts as told, also for a later choice.
    assert found.look()[0] == []
    grant(world, "nurse", until=world.now + DAY)
    assert found.tell(found.look()[0]) == TEXTS[Kind.EXPIRY]
    grant(world, "stranger", until=world.now + DAY)
    assert found.tell(found.look()[0]) == ""
    world.registrar.suspend(world.clinician.address)
    found = watching(again_world(world), outbox=outbox)
    assert found.tell(found.look()[0]) == TEXTS[Kind.SUSPENDED]
    for kinds, every in ((["gossip"], 0), (["expiry"], -1), (["expiry"], 32 * DAY)):
        with pytest.raises(UsageError, match="nothing was chosen"):
            found.choose(kinds, every=every)
    assert found.choice() == made
    assert made.to_json()["kinds"] == ["break-glass", "expiry", "suspended", "review-due"]


def again_world(world: World) -> World:
    again(world)
    return world


def test_a_source_that_fails_hides_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    watching(world).look()
    grant(world, until=world.now + 2 * WEEK)

    def fails(*_: object, **__: object) -> Any:
        raise UnavailableError("the proxies are down")

    monkeypatch.setattr(world.patient, "log", fails)
    happened, left_out = watching(world).look()
    assert [one.kind for one in happened] == [Kind.GRANT]
    assert [str(one) for one in left_out] == ["source log is left out: the proxies are down"]


def test_no_text_says_anything_about_anybody() -> None:
    words = {category.value for category in Category} - {"private"}
    for text in (*TEXTS.values(), TEST):
        assert not re.search(r"0x|[0-9]|bafk|@", text), text
        assert not any(word in text.lower() for word in words), text
        # What to run is a command that there is.
        assert set(re.findall(r"panachain ([a-z]+)", text)) <= set(COMMANDS)
        assert "Run: panachain" in text
    assert set(TEXTS) == set(Kind)
    assert set(Kind) >= URGENT
    assert message([Kind.EXPIRY, Kind.REQUEST, Kind.REQUEST]) == f"{TEXTS[Kind.REQUEST]}\n{TEXTS[Kind.EXPIRY]}"


def test_what_goes_out_is_of_the_list_and_nothing_else(world: World) -> None:
    upload(world)
    outbox = Outbox()
    found = watching(world, outbox=outbox)
    found.look()
    world.clinician.request(world.patient.address, "laboratory", until=world.now + DAY, note="canary")
    opened(world, grant(world).policy_id)
    world.wait()
    found.tell(found.look()[0])
    (text,) = outbox.sent
    assert set(text.split("\n")) <= set(TEXTS.values())
    for canary in ("canary", "laboratory", world.clinician.address, "clinician", "hospital"):
        assert canary not in text


def test_a_damaged_memory_is_begun_anew(world: World) -> None:
    found = watching(world)
    found.look()
    for damaged in ({"seen": 7}, {"seen": [], "waiting": [[1]], "looked": [], "told": 0}, [], "text"):
        found._kept.write(damaged)
        assert found.look()[0] == []


def test_as_json() -> None:
    fields = Happening(Kind.GRANT, bytes(32)).to_json()
    assert fields == {"schema": "panachain/happened/1", "kind": "grant", "text": TEXTS[Kind.GRANT]}
