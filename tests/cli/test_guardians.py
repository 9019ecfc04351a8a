"""`recovery guardians …` and `guardian …`: what they ask of the SDK, what they show, and a seed that comes back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.cli import doctor
from panachain.cli.app import App
from panachain.cli.output import Output
from panachain.errors import ConfigurationError, UnavailableError
from panachain.model.actors import Address, Role
from panachain.sdk import guardian_blocks
from panachain.sdk.profiles import create_profile, load_profile, unlock
from panachain.sdk.results.guardians import (
    GuardedView,
    GuardiansReport,
    GuardianView,
    MovedReport,
    RecoveryView,
    ReleaseReport,
)
from panachain.sdk.results.listings import LeftOut, Listing
from tests.cli.twin import Outcome, Twin
from tests.keystores import make_cheap
from tests.twin.world import World, running_world, seed_of

WHO = Address("0x52908400098527886E0F7030069857D2E4169EE7")
NEW = Address("0x" + "11" * 20)
MOVING = RecoveryView(WHO, NEW, (WHO, NEW), 1_900_000_000)
NAMED = GuardiansReport(2, 3 * 86_400, (GuardianView("sister", WHO), GuardianView("notary", NEW)))
GUARDED = GuardedView(WHO, "guardian", 2, 1, 3 * 86_400)
LINE = "panachain/ask/1 b" + "a" * 58
Run = Callable[..., Outcome]


class Part(Twin):
    """One part of a session."""


@pytest.fixture
def guardians(twin: Twin) -> Part:
    made = Part()
    twin.__dict__["guardians"] = made
    return made


@pytest.fixture
def guarding(twin: Twin) -> Part:
    made = Part()
    twin.__dict__["guarding"] = made
    return made


class TestPatient:
    def test_people_are_named_after_it_was_said_what_they_can(self, run: Run, guardians: Part) -> None:
        guardians.answers["set"] = NAMED
        command = ("recovery", "guardians", "set", "sister", "notary", "--threshold", "2", "--delay", "5")
        assert run(*command).code == 2
        assert guardians.calls == []
        outcome = run(*command, "--yes")
        assert outcome.code == 0
        assert guardians.calls == [("set", (("sister", "notary"),), {"threshold": 2, "delay": 5 * 86_400})]
        assert "sister, notary" in outcome.out
        assert run(*command[:-1], "31", "--yes").code == 2

    def test_what_is_announced_and_begun_is_told(self, run: Run, guardians: Part) -> None:
        told = replace(
            NAMED, changes_at=1_900_000_000, announced=(GuardianView("thief", NEW),), frozen_until=1_900_000_000
        )
        guardians.answers["set"] = guardians.answers["all"] = replace(told, recovery=MOVING)
        outcome = run("recovery", "guardians", "list")
        for word in ("thief", "2030", "recovery veto"):
            assert word in outcome.out + outcome.err
        assert "warning" in outcome.err
        outcome = run("recovery", "guardians", "set", "sister", "notary", "--yes")
        assert "They count from" in outcome.err
        assert json.loads(run("recovery", "guardians", "list", "--json").out)["announced"][0]["name"] == "thief"

    @pytest.mark.parametrize(
        ("states", "said"),
        [
            (("active", "active", "active"), "3 of 3 guardians can help, and 2 are needed: that is enough."),
            (("active", "moved", "active"), "2 of 3 guardians can help, and 2 are needed: that is enough."),
            (("active", "moved", "suspended"), "1 of 3 guardians can help, and 2 are needed: that isn't enough"),
            (("active", "unknown", "active"), "(in no registry)"),
            (("active", "compromised", "active"), "others may know 1 share: name guardians anew"),
            (("compromised", "compromised", "active"), "others may know 2 shares, and 2 are your key"),
        ],
    )
    def test_who_cannot_help_is_marked_and_whether_enough_are_left_is_said(
        self, run: Run, guardians: Part, states: tuple[str, ...], said: str
    ) -> None:
        named = tuple(GuardianView(f"guardian-{one}", WHO, one) for one in states)
        guardians.answers["all"] = replace(NAMED, guardians=named)
        outcome = run("recovery", "guardians", "list")
        shown = " ".join((outcome.out + outcome.err).split())
        assert said in shown
        assert ("panachain recovery guardians set NAME" in shown) == (set(states) != {"active"})
        assert ("others may know their share" in shown) == ("compromised" in states)
        found = json.loads(run("recovery", "guardians", "list", "--json").out)
        assert [one["state"] for one in found["guardians"]] == list(states)

    @pytest.mark.parametrize(
        ("command", "method"),
        [
            (("guardians", "remove", "--yes"), "remove"),
            (("guardians", "keep"), "keep"),
            (("veto",), "veto"),
            (("freeze",), "freeze"),
        ],
    )
    def test_each_other_command_is_the_method_of_its_name(
        self, run: Run, guardians: Part, command: tuple[str, ...], method: str
    ) -> None:
        guardians.answers[method] = GuardiansReport(0, 0)
        assert run("recovery", *command).code == 0
        assert guardians.calls == [(method, (), {})]

    def test_a_removal_is_asked_about(self, run: Run, guardians: Part) -> None:
        assert run("recovery", "guardians", "remove").code == 2
        assert guardians.calls == []

    def test_who_takes_a_patient_over_is_told_whom_to_pair_with(self, run: Run, guardians: Part) -> None:
        guardians.answers["complete"] = MovedReport(WHO, NEW, (WHO,), "0x01")
        outcome = run("recovery", "complete", "pat-x")
        assert guardians.calls == [("complete", ("pat-x",), {})]
        assert "panachain pair" in outcome.err
        guardians.answers["inherited"] = []
        assert "No account was moved" in run("recovery", "inherited").err


class TestGuardian:
    def test_whom_somebody_guards_and_what_is_begun(self, run: Run, guarding: Part) -> None:
        left = LeftOut("guardian", WHO, "nobody has it", WHO)
        views = [GUARDED, replace(GUARDED, recovery=MOVING), replace(GUARDED, moved_to=NEW)]
        guarding.answers["all"] = Listing(views, (left,))
        outcome = run("guardian", "list")
        for word in ("3 days", "spoke for moving", "was moved to", "nobody has it"):
            assert word in outcome.out + outcome.err
        guarding.answers["all"] = Listing()
        assert "You are nobody's guardian." in run("guardian", "list").err

    def test_an_approval_is_asked_about_and_a_freeze_isnt(self, run: Run, guarding: Part) -> None:
        guarding.answers["approve"] = guarding.answers["freeze"] = GUARDED
        command = ("guardian", "approve", "pat-x", "--successor", "pat-y")
        assert run(*command).code == 2
        assert run(*command[:3]).code == 2
        assert guarding.calls == []
        assert run(*command, "--yes").code == 0
        assert run("guardian", "freeze", "pat-x").code == 0
        assert guarding.calls == [("approve", ("pat-x", "pat-y"), {}), ("freeze", ("pat-x",), {})]

    def test_a_share_is_released_by_the_words_that_were_heard(self, run: Run, guarding: Part) -> None:
        guarding.answers["asked"] = (WHO, None)
        guarding.answers["release"] = ReleaseReport(WHO, 2, "panachain/answer/1 bafk")
        outcome = run("guardian", "release", LINE, "--code", "one two three four five")
        assert "panachain/answer/1 bafk" in outcome.out
        assert guarding.calls[-1] == ("release", (LINE, "one two three four five"), {})


class TestNotices:
    @staticmethod
    def network(**patch: Any) -> Any:
        events = [
            SimpleNamespace(name="RecoveryApproved", successor=NEW, guardian=WHO, ready_at=0),
            SimpleNamespace(name="RecoveryOpened", successor=NEW, guardian=None, ready_at=1_900_000_000),
        ]
        guardianships = SimpleNamespace(recoveries=lambda _: events, **patch)
        head = SimpleNamespace(head=lambda: SimpleNamespace(time=1_800_000_000))
        return SimpleNamespace(
            sidechain=SimpleNamespace(guardianships=guardianships, source=head), clock=lambda: 1_800_000_000
        )

    def test_an_open_recovery_is_a_warning(self, capsys: pytest.CaptureFixture[str]) -> None:
        app: Any = SimpleNamespace(output=Output())
        App.tell_of_guardians(app, self.network(), [WHO])
        told = capsys.readouterr().err
        assert "warning" in told
        assert "recovery veto" in told

    def test_the_doctor_and_the_status_tell_it_without_a_passphrase(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        make_cheap(monkeypatch, for_this_process_only=True)
        create_profile(tmp_path / "home", "me", Role.PATIENT, "a passphrase")
        answer: list[Any] = [self.network()]

        @contextmanager
        def network(_: App) -> Iterator[Any]:
            if isinstance(answer[0], Exception):
                raise answer[0]
            yield answer[0]

        monkeypatch.setattr(App, "network", network)
        assert "recovery veto" in run("recovery", "status").err
        app: Any = SimpleNamespace(home=tmp_path / "home", network=lambda: network(None))  # type: ignore[arg-type]
        (check,) = doctor._guardians(app)
        assert (check.state, check.name) == ("bad", "guardians of me")
        assert "panachain --profile me recovery veto" in check.fix
        answer[0] = self.network()
        answer[0].sidechain.guardianships.recoveries = lambda _: []
        assert [one.state for one in doctor._guardians(app)] == ["ok"]
        answer[0] = UnavailableError("no chain answers")
        assert "isn't known" in run("recovery", "status").err
        assert [one.state for one in doctor._guardians(app)] == ["note"]
        answer[0] = ConfigurationError("no network")
        assert "isn't known" not in run("recovery", "status").err

    def test_what_isnt_known_stops_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        app: Any = SimpleNamespace(output=Output())
        broken = self.network()
        broken.sidechain.guardianships.recoveries = lambda _: (_ for _ in ()).throw(
            UnavailableError("no chain answers")
        )
        App.tell_of_guardians(app, broken, [WHO])
        assert "isn't known" in capsys.readouterr().err


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    make_cheap(monkeypatch, for_this_process_only=True)
    monkeypatch.setattr(guardian_blocks, "_COST", 1 << 4)
    with running_world() as running:

        @contextmanager
        def network(_: App) -> Iterator[Any]:
            yield running.network

        monkeypatch.setattr(App, "network", network)
        yield running


@pytest.mark.deep
def test_a_new_device_gets_its_seed_from_guardians(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    guards = [world.clinician, world.nurse, world.researcher]
    world.patient.guardians.set([one.address for one in guards], threshold=2)
    secret = tmp_path / "pass.txt"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", str(secret))
    assert run("recovery", "ask").code == 2
    assert run("recovery", "ask", "--again").code == 2
    code = tmp_path / "line.svg"
    asked = json.loads(run("recovery", "ask", "--who", world.patient.profile.handle, "--qr", str(code), "--json").out)
    assert b"<svg" in code.read_bytes()
    assert run("recovery", "ask", "--again", "--qr", str(code)).code == 2
    assert asked["code"] in run("recovery", "ask", "--again").out
    answers = [one.guarding.release(asked["ask"], asked["code"]).answer for one in guards[:2]]
    assert run("restore", "--answer", answers[0]).code == 2
    assert run("restore", "--answer", answers[0], "--share", str(code)).code == 2
    # Under the name by which this world knows the seed.
    command = ("--profile", "patient", "restore", "--answer", answers[0], "--answer", answers[1], "--json")
    outcome = run(*command)
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["address"] == world.patient.address
    home = tmp_path / "home"
    profile = next(one for one in (home / "profiles").iterdir())
    assert profile.name == "patient"
    # What it asked with is gone, and the profile has the passphrase of the question.
    assert not (home / "asking").exists()
    assert unlock(load_profile(home, "patient"), "correct horse").reveal() == seed_of("patient").reveal()
