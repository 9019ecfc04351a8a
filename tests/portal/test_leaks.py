"""Leaks by pages: whose key it is, who opened what leaked, and ending it; what leaked stands nowhere afterwards."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.cli.app import App
from panachain.errors import BlockNotFoundError, PanaChainError, UsageError
from panachain.model.actors import Role
from panachain.model.policy import PolicyStatus
from panachain.portal.holding import MOST as MOST_HELD
from panachain.portal.holding import Held, Places
from panachain.portal.jobs import Jobs
from panachain.portal.pages import leaks
from panachain.portal.refusals import RefusedError
from panachain.sdk.auditing import Auditing
from panachain.sdk.patient import Patient
from panachain.sdk.policies import OwnPolicies
from panachain.sdk.results.listings import LeftOut, Listing
from panachain.sdk.tracing import MOST, Tracing
from tests.portal.conftest import ORIGIN, Client, Portal, forms_of, make_portal, text_of
from tests.twin.world import seed_of
from tests.unit.sdk.helpers import grant, opened, upload

LEAKED = seed_of("clinician").reveal().hex()


@pytest.fixture(scope="module")
def patient(portal_of_all: Portal) -> Client:
    return portal_of_all.client_of(Role.PATIENT)


@pytest.fixture(scope="module")
def portal_of_all(world: Any) -> Iterator[Portal]:
    """One portal for all tests of this file: what each does stays."""
    made = make_portal(world)
    made.app.state.guesses.take = lambda *_: 0
    yield made
    for client in made.clients:
        client.close()
    made.desk.close()


def sent(client: Client, path: str, content: bytes, *, token: str | None = None, status: int = 200) -> Any:
    """Send a file as a page of this session does; its token comes first."""
    fields = {"csrf": client.token() if token is None else token}
    files = {"file": ("leaked", content)}
    # httpx writes fields before files, as the page's form does.
    answer = client.post(path, data=fields, files=files, headers={"origin": str(ORIGIN)})
    assert answer.status_code == status, text_of(answer.text)
    return answer


def test_a_leaked_key_names_its_holder_and_stands_nowhere(portal_of_all: Portal, patient: Client) -> None:
    clinician = portal_of_all.world.clinician
    asked = patient.submit("/leaks/text", leaked=f"found on a forum: {LEAKED} !")
    page = patient.finish(asked)
    told = text_of(page)
    assert clinician.profile.handle in told
    assert "Whoever has it can read and act as they do." in told
    assert "None of your grants to them is in force." in told
    assert "Tell the registrar" in told
    for shown in (page, str(asked.url), *(str(one.headers) for one in asked.history)):
        assert LEAKED not in shown
    session = next(one for one in portal_of_all.desk._sessions.values() if one.seat)
    assert session.seat is not None
    assert LEAKED not in repr(vars(session.seat.jobs))
    told = text_of(patient.finish(sent(patient, "/leaks/file", b"\xff\x00" + LEAKED.encode())))
    assert clinician.profile.handle in told
    assert "No key in it is anybody's" in text_of(patient.finish(patient.submit("/leaks/text", leaked="ab" * 32)))


def test_nobody_is_cleared_while_somebodys_keys_could_not_be_read(
    patient: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = LeftOut("key block", "pra-mfrggzdfmy2tq", "no store has it")
    monkeypatch.setattr(Tracing, "trace", lambda *_: Listing([], [lost]))
    told = text_of(patient.finish(patient.submit("/leaks/text", leaked="ab" * 32)))
    assert "No key in it is that of anybody whose keys could be read." in told
    assert "is anybody's in the registries" not in told
    assert "pra-mfrggzdfmy2tq" in told


def test_a_public_key_and_ones_own_key_are_told_apart(portal_of_all: Portal, patient: Client) -> None:
    public = seed_of("nurse").public_keys().receiving.hex()
    assert "It only names them" in text_of(patient.finish(patient.submit("/leaks/text", leaked=public)))
    own = seed_of("patient").reveal().hex()
    told = text_of(patient.finish(patient.submit("/leaks/text", leaked=own)))
    assert "This is your own key" in told
    assert "Have your guardians move you" in told


def test_what_holds_no_key_or_comes_from_elsewhere_is_refused(patient: Client) -> None:
    patient.submit("/leaks/text", 400, leaked="  ")
    sent(patient, "/leaks/file", b"", status=400)
    sent(patient, "/leaks/file", LEAKED.encode(), token="0" * 64, status=403)
    sent(patient, "/leaks/record", b"{}", token="0" * 64, status=403)
    sent(patient, "/leaks/file", bytes(MOST + 1), status=400)
    answer = patient.post("/leaks/file", data={"csrf": patient.token()}, headers={"origin": str(ORIGIN)})
    assert answer.status_code == 400


class TestPlaces:
    """What leaked is held in memory: once, one file for each seat, and few in the portal."""

    @pytest.mark.parametrize("path", ["/leaks/file", "/leaks/record"])
    def test_a_seat_has_one_file_at_a_time(
        self, portal_of_all: Portal, patient: Client, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        goes_on, begun = Event(), Event()

        def waits(*_: Any, **__: Any) -> Any:
            begun.set()
            assert goes_on.wait(60)
            return Listing()

        monkeypatch.setattr(Tracing, "trace", waits)
        monkeypatch.setattr(Auditing, "find_record", waits)
        first = sent(patient, path, LEAKED.encode())
        try:
            assert begun.wait(60)
            for other in ("/leaks/file", "/leaks/record"):
                told = text_of(sent(patient, other, LEAKED.encode(), status=409).text)
                assert "Another file of yours is being looked at." in told
            # A text needs no place.
            assert patient.submit("/leaks/text", leaked=LEAKED).status_code == 200
        finally:
            goes_on.set()
        patient.finish(first)
        assert not portal_of_all.desk.places._taken
        monkeypatch.undo()
        patient.finish(sent(patient, path, LEAKED.encode()))
        assert not portal_of_all.desk.places._taken

    def test_nothing_is_taken_before_there_is_a_place_and_room_for_the_work(
        self, portal_of_all: Portal, patient: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        took: list[object] = []

        async def receives(*_: Any, **__: Any) -> Any:
            took.append(None)
            raise AssertionError

        monkeypatch.setattr(leaks, "receive", receives)
        others = [object() for _ in range(MOST_HELD)]
        held = [portal_of_all.desk.places.take(other, 10) for other in others]
        told = text_of(sent(patient, "/leaks/record", b"{}", status=409).text)
        assert "Too many files are being looked at just now." in told
        for one in held:
            one.close()

        def is_full(_: Jobs) -> None:
            raise UsageError("8 pieces of work wait already")

        monkeypatch.setattr(Jobs, "check_room", is_full)
        assert "work wait already" in text_of(sent(patient, "/leaks/record", b"{}", status=400).text)
        assert (took, portal_of_all.desk.places._taken) == ([], set())

    def test_whatever_keeps_the_work_from_beginning_gives_the_place_back(
        self, portal_of_all: Portal, patient: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any, **__: Any) -> Any:
            raise UsageError("too much waits")

        for content, more in ((b"", {}), (bytes(MOST + 1), {}), (b"x", {"token": "0" * 64, "status": 403})):
            sent(patient, "/leaks/file", content, **{"status": 400, **more})
            assert not portal_of_all.desk.places._taken
        monkeypatch.setattr(Jobs, "add", full)
        sent(patient, "/leaks/record", b"{}", status=400)
        assert not portal_of_all.desk.places._taken

    def test_a_place_is_given_back_once_and_not_while_it_is_looked_at(self) -> None:
        places, seat = Places(1), object()
        held = places.take(seat, 10)
        for other in (seat, object()):
            with pytest.raises(RefusedError) as caught:
                places.take(other, 10)
            assert caught.value.status == 409
        held.begin("x").write(memoryview(b"abc"))
        assert held.take() == b"abc"
        # The seat is locked while it is looked at: the bytes are in memory still.
        held.close()
        with pytest.raises(RefusedError):
            places.check(object())
        held.done()
        other = places.take(seat, 10)
        held.done()
        with pytest.raises(RefusedError):
            places.check(object())
        # Locked before that began.
        other.close()
        places.check(seat)
        with pytest.raises(UsageError):
            other.take()

    def test_there_is_no_second_copy(self) -> None:
        held, piece = Held(16 << 20), memoryview(bytes(1 << 20))
        tracemalloc.start()
        try:
            arriving = held.begin("x")
            for _ in range(16):
                arriving.write(piece)
            tracemalloc.reset_peak()
            taken = held.take()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert (len(taken), held._content) == (16 << 20, None)
        # What is held grows by eighths: a copy would be as much again.
        assert peak < 20 << 20


def test_all_grants_to_somebody_are_taken_back_once_that_is_confirmed(portal_of_all: Portal, patient: Client) -> None:
    world = portal_of_all.world
    made = [grant(world), grant(world, categories=("vitals",))]
    other = world.patient.grant(world.nurse.address, ["vitals"], until=world.now + 86_400)
    page = patient.finish(patient.submit("/leaks/text", leaked=LEAKED))
    assert 'action="/leaks/revoke"' in page
    asked = patient.submit("/leaks/revoke", who=world.clinician.address)
    told = text_of(asked.text)
    assert "Your 2 grants to them are taken back." in told
    assert "can't be called back" in told
    assert {status(world, one) for one in made} == {PolicyStatus.ACTIVE}
    told = text_of(patient.finish(patient.agree(asked)))
    assert "All that you granted to them is taken back." in told
    assert {status(world, one) for one in made} == {PolicyStatus.REVOKED}
    assert status(world, other) is PolicyStatus.ACTIVE
    patient.submit("/leaks/revoke", 400, who=world.clinician.address)


def test_one_grant_that_cannot_be_taken_back_keeps_no_other(
    portal_of_all: Portal, patient: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = portal_of_all.world
    bad, good = grant(world), grant(world, categories=("vitals",))
    real = Patient.revoke

    def revoke(self: Any, policy: Any, **more: Any) -> Any:
        if policy == bad.policy_id:
            raise UsageError("it can't be")
        return real(self, policy, **more)

    monkeypatch.setattr(Patient, "revoke", revoke)
    asked = patient.submit("/leaks/revoke", who=world.clinician.address)
    told = text_of(patient.finish(patient.agree(asked)))
    assert "One grant couldn't be taken back" in told
    assert "still in force" in told
    assert status(world, good) is PolicyStatus.REVOKED


def unreadable(monkeypatch: pytest.MonkeyPatch, *lost: Any) -> None:
    """Have the terms of some policies be where nobody has them."""
    real, ids = OwnPolicies._open, {one.policy_id for one in lost}

    def opened(self: OwnPolicies, index: int, policy: Any) -> Any:
        if policy.policy_id in ids:
            raise BlockNotFoundError("no store has it")
        return real(self, index, policy)

    monkeypatch.setattr(OwnPolicies, "_open", opened)


def test_what_cannot_be_read_is_named_and_not_told_as_taken_back(
    portal_of_all: Portal, patient: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = portal_of_all.world
    over, lost, seen = grant(world), grant(world), grant(world, categories=("vitals",))
    world.patient.revoke(over.policy_id)
    unreadable(monkeypatch, over, lost)
    page = patient.finish(patient.submit("/leaks/text", leaked=LEAKED))
    assert ("/grants/revoke", lost.policy_id) in [(path, dict(hidden).get("policy")) for path, hidden in forms_of(page)]
    asked = patient.submit("/leaks/revoke", who=world.clinician.address)
    told = text_of(asked.text)
    assert f"One grant can't be read, and may be to them: it is still in force. {lost.policy_id}" in told
    # What is over opens nothing, whoever it was to.
    assert over.policy_id not in told
    page = patient.finish(patient.agree(asked))
    assert "One grant can't be read" in text_of(page)
    assert "All that you granted to them is taken back." not in text_of(page)
    assert lost.policy_id in page
    told = text_of(patient.submit("/leaks/revoke", 400, who=world.clinician.address).text)
    assert lost.policy_id in told
    assert "None of your grants" not in told
    assert "None of your grants" not in text_of(patient.finish(patient.submit("/leaks/text", leaked=LEAKED)))
    warned: list[str] = []
    app: Any = SimpleNamespace(output=SimpleNamespace(warn=warned.append))
    with suppress(PanaChainError):
        App.policy(app, world.patient, world.clinician.profile.handle)
    assert [lost.policy_id in one for one in warned] == [True]
    patient.finish(patient.agree(patient.submit("/grants/revoke", policy=lost.policy_id)))
    monkeypatch.undo()
    assert {status(world, one) for one in (lost, seen)} == {PolicyStatus.REVOKED}


def test_a_leaked_record_names_who_ever_opened_it(portal_of_all: Portal, patient: Client) -> None:
    world = portal_of_all.world
    upload(world)
    record = next(one for one in world.patient.records() if one.info.media_type == "application/fhir+json")
    content = record.content
    written_anew = json.dumps(json.loads(content), indent=3).encode()
    told = text_of(patient.finish(sent(patient, "/leaks/record", written_anew)))
    assert "It is one of your records." in told
    assert "it leaked from the hospital that wrote it, or from you. Proxies that keep silent" in told
    made = world.patient.grant(world.nurse.address, ["all"], until=world.now + 86_400)
    assert len(list(world.nurse.open(made.policy_id))) > 0
    world.wait()
    told = text_of(patient.finish(sent(patient, "/leaks/record", content)))
    assert "nurse read" in told
    assert "It leaked from the one person who opened it, from the hospital" in told
    assert "This isn't the whole answer" not in told
    silent = next(proxy for proxy in world.proxies if proxy.up)
    try:
        silent.up = False
        told = text_of(patient.finish(sent(patient, "/leaks/record", content)))
    finally:
        silent.up = True
    assert "This isn't the whole answer: " in told
    assert "it told nothing, or not all" in told
    assert "No record of yours" in text_of(patient.finish(sent(patient, "/leaks/record", b"{}")))


def test_nobody_but_the_registrar_suspends_and_only_once_confirmed(portal_of_all: Portal, patient: Client) -> None:
    world = portal_of_all.world
    patient.submit("/leaks/suspend", 403, who=world.nurse.address)
    doctor = portal_of_all.client_of(Role.PRACTITIONER)
    doctor.submit("/leaks/revoke", 403, who=world.nurse.address)
    sent(doctor, "/leaks/record", b"{}", status=403)
    assert 'action="/leaks/suspend"' not in doctor.page("/leaks")
    registrar = portal_of_all.client_of(Role.REGISTRAR)
    page = registrar.finish(registrar.submit("/leaks/text", leaked=seed_of("nurse").reveal().hex()))
    assert ("/leaks/suspend", world.nurse.address) in [
        (path, dict(hidden).get("who")) for path, hidden in forms_of(page)
    ]
    upload(world)
    made = world.patient.grant(world.nurse.address, ["all"], until=world.now + 86_400)
    asked = registrar.submit("/leaks/suspend", who=world.nurse.profile.handle)
    told = text_of(asked.text)
    assert world.nurse.address in told
    assert "of every patient, ends with the next block" in told
    assert opened(world, made.policy_id, who="nurse") > 0
    told = text_of(registrar.finish(registrar.agree(asked)))
    assert "suspended." in told
    world.advance(1)
    with pytest.raises(PanaChainError):
        list(world.nurse.open(made.policy_id))
    registrar.submit("/leaks/suspend", 400, who="")
    group = world.clinician.create_group()
    registrar.submit("/leaks/suspend", 400, who=group.group)
    world.reinstate("nurse")


def status(world: Any, policy: Any) -> PolicyStatus:
    return next(view.status for view in world.patient.policies() if view.policy_id == policy.policy_id)
