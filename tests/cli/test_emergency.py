"""The commands of `emergency`: what they ask of the SDK, what they show, and what a card holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.cli import emergency as commands
from panachain.cli.app import App
from panachain.cli.emergency import card_page, warn_of_unreviewed
from panachain.cli.output import Output
from panachain.model.actors import Address
from panachain.model.scope import Category
from panachain.sdk.patient import Patient
from panachain.sdk.results.emergencies import EmergencyView
from panachain.sdk.results.listings import LeftOut, Listing
from tests.cli.twin import Outcome, Twin
from tests.unit.sdk.results.samples import REVOKED, VIEW

WHO = Address("0x52908400098527886E0F7030069857D2E4169EE7")
ASKED = EmergencyView(4, "asked", WHO, WHO, 1_800_000_000, reason="found \x1b[2J unconscious")
Run = Callable[..., Outcome]


class Part(Twin):
    """The emergency part of a session."""


@pytest.fixture
def part(twin: Twin) -> Part:
    made = Part()
    twin.__dict__["emergency"] = made
    return made


def test_a_practitioner_asks_with_a_reason_and_a_colleague(run: Run, part: Part) -> None:
    part.answers |= {"request": ASKED, "beside": [SimpleNamespace(handle="pat-other")]}
    outcome = run("emergency", "request", "pat-x", "--reason", "found unconscious", "--colleague", "nurse")
    assert outcome.code == 0
    asked = ("request", ("pat-x", "found unconscious"), {"colleague": "nurse"})
    assert part.calls == [asked, ("beside", (WHO,), {})]
    # The patient is in care: what their carer is responsible for lies elsewhere.
    assert "panachain emergency request pat-other" in " ".join(outcome.err.split())
    assert "\x1b" not in outcome.out
    assert "emergency cosign 4" in outcome.err


@pytest.mark.parametrize("missing", ["--reason", "--colleague"])
def test_neither_can_be_left_out(run: Run, part: Part, missing: str) -> None:
    options = {"--reason": "x", "--colleague": "nurse"}
    del options[missing]
    told = [word for pair in options.items() for word in pair]
    assert run("emergency", "request", "pat-x", *told).code == 2
    assert part.calls == []


@pytest.mark.parametrize("command", ["cosign", "review", "enforce"])
def test_a_number_is_signed_reviewed_and_enforced(run: Run, part: Part, command: str) -> None:
    part.answers[command] = ASKED
    assert json.loads(run("emergency", command, "4", "--json").out)["schema"] == "panachain/emergency/1"
    assert part.calls == [(command, (4,), {})]
    assert run("emergency", command, "nonsense").code == 2


def test_status_lists_a_patients_own_and_says_what_desks_could(run: Run, twin: Twin) -> None:
    twin.__dict__["emergency"] = SimpleNamespace(
        all=lambda: [ASKED], policies=list, beside=lambda: [SimpleNamespace(handle="pat-other")]
    )
    outcome = run("emergency", "status")
    assert "asked" in outcome.out
    assert "No emergency desk can open anything" in outcome.err
    assert "records lie under pat-other, too" in " ".join(outcome.err.split())


def test_status_lists_what_the_registrar_has_to_review(run: Run, twin: Twin) -> None:
    twin.__dict__["emergency"] = SimpleNamespace(due=lambda: [ASKED])
    assert run("emergency", "status").code == 0


def test_desks_are_prepared(run: Run, part: Part) -> None:
    part.answers["prepare"] = [VIEW]
    assert run("emergency", "prepare", "gro-a", "gro-b", "--until", "2030-01-01").code == 0
    ((name, arguments, more),) = part.calls
    assert (name, arguments) == ("prepare", (("gro-a", "gro-b"),))
    assert (more["later"], more["delay"]) == ((), None)


def test_what_waits_is_named_with_its_delay(run: Run, part: Part) -> None:
    part.answers |= {"prepare": [VIEW], "policies": [VIEW, replace(VIEW, policy_id="0x" + "77" * 20)]}
    more = ("--later", "conditions,mental-health", "--delay", "30m")
    outcome = run("emergency", "prepare", "gro-a", "--until", "2030-01-01", *more)
    assert outcome.code == 0
    ((_, _, asked), _) = part.calls
    assert "other desks keep what they may open (1 permission)" in " ".join(outcome.err.split())
    assert (asked["later"], asked["delay"]) == (("conditions", "mental-health"), timedelta(minutes=30))
    assert "Blood groups of laboratory results wait as long" in outcome.err
    assert run("emergency", "prepare", "gro-a", "--until", "2030-01-01", "--later", "x", "--delay", "30m").code == 2


def test_a_reader_is_told_when_more_opens_and_not_what(
    part: Part, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = object.__new__(App)
    app.output = Output()
    monkeypatch.setattr(commands, "current", lambda: app)
    part.answers |= {"open": "opening", "find": ASKED, "beside": (), "more_at": 1_800_001_800}
    assert commands._opening(SimpleNamespace(emergency=part), 4) == "opening"  # type: ignore[arg-type, comparison-overlap]
    told = capsys.readouterr().err
    assert "more opens at" in told
    assert not [one for one in Category if one.value in told]
    part.answers["more_at"] = 0
    commands._opening(SimpleNamespace(emergency=part), 4)  # type: ignore[arg-type]
    assert "more opens" not in capsys.readouterr().err


def test_a_veto_is_asked_about_and_ends_with_3_until_it_is_final(run: Run, part: Part) -> None:
    assert run("emergency", "veto").code == 2
    assert part.calls == []
    part.answers["veto"] = Listing([REVOKED])
    assert run("emergency", "veto", "--yes").code == (0 if REVOKED.final else 3)
    lost = "0x" + "5a" * 20
    part.answers["veto"] = Listing([], [LeftOut("policy", lost, "its terms can't be read")])
    outcome = run("emergency", "veto", "--yes")
    assert outcome.code == 3
    assert lost in outcome.err
    assert "No emergency desk could open anything" not in outcome.out + outcome.err


def test_a_card_holds_the_handle_and_nothing_that_loads_or_names_anybody(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile: Any = SimpleNamespace(handle="pat-mfrggzdfmy2tq", name="me")
    monkeypatch.setattr(App, "profile", lambda *_: profile)
    assert run("emergency", "card", "-o", str(tmp_path / "card.html")).code == 0
    page = (tmp_path / "card.html").read_text()
    assert (tmp_path / "card.html").stat().st_mode & 0o777 == 0o600
    assert page == card_page("pat-mfrggzdfmy2tq")
    assert "pat-mfrggzdfmy2tq" in page
    assert "<svg" in page
    assert not [word for word in ("http:", "https:", "<script", "src=", "url(") if word in page.replace(_SVG, "")]
    assert run("emergency", "card", "-o", str(tmp_path / "card.html")).code == 2


_SVG = "http://www.w3.org/2000/svg"


@pytest.mark.parametrize("state", ["asked", "active", "over", "overdue", "reviewed", "lapsed", "suspended"])
def test_a_log_warns_of_what_is_not_reviewed_also_where_nothing_was_opened(
    state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    class Told(Patient):
        emergency = SimpleNamespace(all=lambda: [replace(ASKED, state=state, practitioner_name="doctor")])  # type: ignore[assignment]

    app = object.__new__(App)
    app.output = Output()
    warn_of_unreviewed(app, object.__new__(Told))
    said = capsys.readouterr().err
    assert ("emergency 4: doctor" in said) is (state in ("asked", "active", "over", "overdue"))
    assert "\x1b[2J" not in said
