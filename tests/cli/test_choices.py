"""The command `choices`, and `pair --close`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.errors import IntegrityError, Omission, PartlyDoneError
from panachain.sdk.results.choices import AskedRecord, ChoicesReport, RecategorizeReport
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
    omission = Omission(WHO, "the new keys and choices", IntegrityError("its key isn't proven"))
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


class TestRecategorize:
    ASKED = AskedRecord("bafkreih", WHO, "laboratory", 2025)  # type: ignore[arg-type]

    @pytest.fixture
    def wishes(self, twin: Twin) -> list[Any]:
        """Return what was asked for; more people could open `wide`."""
        calls: list[Any] = []

        def recategorize(records: Any, to: str, *, confirm: Any) -> RecategorizeReport:
            wider = [one for one in records if one == "wide"]
            if wider:
                confirm(wider)
            calls.append((records, to))
            report = RecategorizeReport(to, (self.ASKED,), wider=tuple(wider))
            if "bad" in records:
                omission = Omission("", "record bad", IntegrityError("nobody has it"))
                report = replace(report, omissions=(omission,))
                raise PartlyDoneError.of((omission,), done="1 records were asked for", result=report)
            return report

        twin.choices = SimpleNamespace(recategorize=recategorize)  # type: ignore[attr-defined]
        return calls

    def test_says_what_was_asked_for_and_what_it_cannot_do(self, run: Run, wishes: list[Any]) -> None:
        outcome = run("recategorize", "bafkreih", "--to", "private")
        assert (outcome.code, wishes) == (0, [(("bafkreih",), "private")])
        assert "laboratory" in outcome.out
        assert "keeps what they saw" in outcome.err
        found = json.loads(run("recategorize", "bafkreih", "--to", "private", "--json").out)
        assert (found["schema"], found["asked"][0]["id"]) == ("panachain/recategorize/1", "bafkreih")

    def test_more_people_must_be_confirmed(self, run: Run, wishes: list[Any]) -> None:
        assert run("recategorize", "wide", "--to", "laboratory").code == 2
        assert wishes == []
        assert run("recategorize", "wide", "--to", "laboratory", "--yes").code == 0

    def test_a_record_that_could_not_be_asked_for_is_named(self, run: Run, wishes: list[Any]) -> None:
        outcome = run("recategorize", "bad", "bafkreih", "--to", "private")
        assert outcome.code == 3
        assert "bafkreih" in outcome.out
        assert "nobody has it" in outcome.err

    def test_an_unknown_category_is_refused(self, run: Run, wishes: list[Any]) -> None:
        assert (run("recategorize", "bafkreih", "--to", "secrets").code, wishes) == (2, [])
