"""The page about guardians: naming, vetoing, agreeing, and a share that goes to a device and stands on no page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panachain.model.actors import Role
from panachain.sdk import guardian_blocks
from panachain.sdk.asking import Asking
from panachain.sdk.guardian_blocks import ANSWER
from panachain.sdk.guardians import OwnGuardians
from panachain.sdk.recovery import restored
from panachain.sdk.results.guardians import GuardianView
from tests.keystores import make_cheap
from tests.portal.conftest import Client, Portal, text_of
from tests.unit.sdk.helpers import admitted


@pytest.fixture
def named(portal: Portal) -> list[str]:
    """The patient of the world has the practitioner and the researcher as guardians, both needed."""
    world = portal.world
    people = [str(world.clinician.address), str(world.researcher.address)]
    own = world.patient.guardians
    if own.recovery() is not None:
        own.veto()
    if own.all().changes_at:
        own.keep()
    if not own.all().threshold:
        own.set(people, threshold=2)
    return people


def who(portal: Portal, role: Role) -> Client:
    return portal.client_of(role)


def test_a_patient_names_guardians_after_reading_what_they_can(portal: Portal) -> None:
    world = portal.world
    patient = who(portal, Role.PATIENT)
    before = world.patient.guardians.all()
    people = f"{world.clinician.profile.handle}\n\n{world.researcher.address}\n"
    for wrong in ({"threshold": "3"}, {"people": ""}, {"threshold": "x"}, {"days": "999"}):
        fields: dict[str, Any] = {"people": people, "threshold": "2", "days": "3"} | wrong
        assert "nobody was named" in text_of(patient.submit("/guardians/set", 400, **fields).text) or wrong
    asked = patient.submit("/guardians/set", people=people, threshold="2", days="3")
    shown = text_of(asked.text)
    assert world.clinician.profile.handle in shown
    assert "can open everything of yours" in shown
    assert world.patient.guardians.all() == before
    patient.agree(asked)
    report = world.patient.guardians.all()
    found = {one.address for one in (report.announced or report.guardians)}
    assert found == {world.clinician.address, world.researcher.address}


def test_what_guardians_begin_is_on_the_first_page_and_is_stopped_there(portal: Portal, named: list[str]) -> None:
    world = portal.world
    successor = world.sessions.get("successor") or admitted(world, "successor")
    patient, doctor = who(portal, Role.PATIENT), who(portal, Role.PRACTITIONER)
    assert "Guardians move you" not in text_of(patient.page("/home"))
    asked = doctor.submit("/guardians/approve", patient=world.patient.address, successor=successor.profile.handle)
    assert "becomes this patient" in text_of(asked.text)
    assert world.patient.guardians.recovery() is None
    doctor.agree(asked)
    for page in ("/home", "/guardians"):
        assert "Guardians move you to another account" in text_of(patient.page(page))
    assert "More are needed" in text_of(doctor.page("/guardians"))
    patient.agree(patient.submit("/guardians/veto"))
    assert world.patient.guardians.recovery() is None
    assert "Guardians move you" not in text_of(patient.page("/home"))
    # Nobody takes over what wasn't opened.
    answer = patient.submit("/guardians/complete", patient=successor.profile.handle)
    assert "IdentityRecoveryNotReady" in text_of(patient.agree(answer, status=500).text)


def test_an_announcement_is_shown_and_taken_back_and_a_freeze_counts(portal: Portal, named: list[str]) -> None:
    world = portal.world
    patient, doctor = who(portal, Role.PATIENT), who(portal, Role.PRACTITIONER)
    patient.agree(patient.submit("/guardians/remove"))
    page = text_of(patient.page("/guardians"))
    assert "If that wasn't you, somebody has your key." in page
    patient.agree(patient.submit("/guardians/keep"))
    assert world.patient.guardians.all().changes_at == 0
    patient.agree(patient.submit("/guardians/freeze"))
    assert "Frozen until" in text_of(patient.page("/guardians"))
    doctor.agree(doctor.submit("/guardians/freeze-for", patient=world.patient.address))
    world.advance(4 * 86_400)


def test_a_share_goes_to_the_device_whose_words_were_heard_and_stands_on_no_page(
    portal: Portal, named: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_cheap(monkeypatch, for_this_process_only=True)
    monkeypatch.setattr(guardian_blocks, "_COST", 1 << 4)
    world = portal.world
    asking = Asking(tmp_path)
    asked = asking.ask(world.network, world.patient.address, "a passphrase")
    answers = []
    for role in (Role.PRACTITIONER, Role.RESEARCHER):
        guardian = who(portal, role)
        wrong = guardian.submit("/guardians/release", line=asked.ask, code="academic acid acne acquire acrobat")
        assert "no share was released" in text_of(guardian.agree(wrong, status=403).text)
        shown = guardian.agree(guardian.submit("/guardians/release", line=asked.ask, code=asked.code))
        page = text_of(shown.text)
        answers.append(page[page.index(ANSWER) :].split("\n")[0].strip())
        assert "panachain/share" not in shown.text
        guardian.submit("/guardians/release", 400, line="nonsense", code=asked.code)
    seed, _ = restored(asking.answers(world.network, answers, "a passphrase"))
    assert seed.reveal() == world.patient._seed.reveal()


def test_nobody_but_a_patient_names_or_vetoes(portal: Portal) -> None:
    doctor = who(portal, Role.PRACTITIONER)
    for path in ("set", "remove", "keep", "veto", "freeze", "complete"):
        doctor.submit(f"/guardians/{path}", 403)
    assert 'action="/guardians/set"' not in doctor.page("/guardians")
    portal.client_of(Role.REGISTRAR).page("/guardians", 403)


def test_the_page_is_in_german(portal: Portal) -> None:
    page = portal.client_of(Role.PATIENT, language="de").page("/guardians")
    assert "Vertrauenspersonen" in text_of(page)


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (("active", "moved", "active"), "Guardians who can help: 2. That is enough."),
        (("active", "unknown", "suspended"), "Guardians who can help: 1. Needed: 2."),
        (("compromised", "compromised", "active"), "Others may know enough shares to have your key"),
    ],
)
def test_who_cannot_help_is_marked(
    portal: Portal, named: list[str], monkeypatch: pytest.MonkeyPatch, states: tuple[str, ...], said: str
) -> None:
    views = tuple(GuardianView(f"guardian-{one}", portal.world.nurse.address, one) for one in states)
    report = replace(portal.world.patient.guardians.all(), threshold=2, guardians=views)
    monkeypatch.setattr(OwnGuardians, "all", lambda _: report)
    shown = text_of(portal.client_of(Role.PATIENT).page("/guardians"))
    assert said in shown
    marks = {
        "moved": "(moved to another account)",
        "unknown": "(in no registry)",
        "suspended": "(suspended)",
        "compromised": "(others may know their share)",
    }
    assert [mark in shown for mark in marks.values()] == [state in states for state in marks]
