"""Watching: each thing that happens is told once, by a text that says what to run and nothing about anybody."""

from __future__ import annotations

import re
from typing import Any

import pytest

from panachain.cli.main import COMMANDS
from panachain.errors import UnavailableError
from panachain.model.scope import Category
from panachain.sdk.watching import TEST, TEXTS, URGENT, WEEK, Happening, Kind, message
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
