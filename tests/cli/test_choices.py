"""The command `choices`, and `pair --close`."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.errors import IntegrityError, Omission, PartlyDoneError
from panachain.sdk.results.choices import ChoicesReport
from panachain.sdk.results.uploads import PairingReport
from tests.cli.twin import Outcome, Twin

WHO = "0x52908400098527886E0F7030069857D2E4169EE7"
Run = Callable[..., Outcome]


@pytest.fixture
def asked(twin: Twin) -> list[dict[str, Any]]:
    """Return what the choices were asked to become."""
    calls: list[dict[str, Any]] = []
    report = ChoicesReport(("ETHUD", "X"), ("HIV",), told=(WHO,))  # type: ignore[arg-type]
    twin.choices = SimpleNamespace(  # type: ignore[attr-defined]
        now=lambda: ChoicesReport(()), change=lambda **more: (calls.append(more), report)[1]
    )
    return calls


def test_without_options_it_only_shows(run: Run, asked: list[dict[str, Any]]) -> None:
    outcome = run("choices")
    assert (outcome.code, asked) == (0, [])
    assert "nothing of your own" in outcome.out


def test_kinds_come_one_by_one_or_with_commas_and_are_shown_in_words(run: Run, asked: list[dict[str, Any]]) -> None:
    outcome = run("choices", "--close", "alcohol, hiv", "--close", "gender", "--reopen", "sexuality")
    options = {"close": ["alcohol", "hiv", "gender"], "reopen": ["sexuality"], "emergency": [], "no_emergency": []}
    assert asked == [options]
    assert "alcohol, X" in outcome.out
    assert "hiv" in outcome.out
    assert "1 hospital was told" in outcome.err
    run("choices", "--emergency", "methadone", "--no-emergency", "hiv")
    assert asked[-1] == {"close": [], "reopen": [], "emergency": ["methadone"], "no_emergency": ["hiv"]}
    found = json.loads(run("choices", "--close", "alcohol", "--json").out)
    assert (found["schema"], found["closed"], found["told"]) == ("panachain/choices/1", ["ETHUD", "X"], [WHO])


def test_a_hospital_that_was_not_told_is_named_and_the_exit_code_says_so(run: Run, twin: Twin) -> None:
    omission = Omission(WHO, "the new lanes and choices", IntegrityError("its key isn't proven"))
    report = ChoicesReport(("ETHUD",), omissions=(omission,))

    def change(**_: Any) -> ChoicesReport:
        raise PartlyDoneError.of((omission,), done="0 hospitals were told", result=report)

    twin.choices = SimpleNamespace(change=change)  # type: ignore[attr-defined]
    outcome = run("choices", "--close", "alcohol")
    assert outcome.code == 3
    assert "alcohol" in outcome.out
    assert "its key isn't proven" in outcome.err


def test_pair_closes_kinds_and_shows_them(run: Run, twin: Twin) -> None:
    twin.answers["pair"] = PairingReport(WHO, "bafy", lanes=3, epoch=0, tx="0x", closed=("PREGNANT",))  # type: ignore[arg-type]
    outcome = run("pair", WHO, "--close", "pregnancy", "--emergency", "hiv")
    assert twin.calls[-1] == ("pair", (WHO, ["pregnancy"], ["hiv"]), {})
    assert "pregnancy" in outcome.out
    twin.answers["pair"] = PairingReport(WHO, "bafy", lanes=3, epoch=0, tx="0x")  # type: ignore[arg-type]
    assert "closed" not in run("pair", WHO).out
