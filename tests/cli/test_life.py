"""`withdraw`, and what `open` and `records` say of what doesn't count any more."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from panachain.model.actors import Address
from panachain.sdk.opening import Opening
from panachain.sdk.results.listings import Listing
from panachain.sdk.results.records import WithdrawnRecord
from panachain.sdk.results.uploads import PublishedView, WithdrawReport
from tests.cli.test_open import POLICY, opened
from tests.cli.twin import Outcome, Twin

WHO = Address(POLICY)
GONE = WithdrawnRecord("bafkreigone", WHO, "laboratory", 2024, 1_800_000_000, 1_800_000_060, "wrong-patient")


def some(history: bool = False) -> Opening:
    opening = Opening(lambda _: iter([opened()]), history=history)
    opening.past.update({"superseded": 2, "same": 1})
    opening.withdrawn.append(GONE)
    return opening


class TestWithdraw:
    REPORT = WithdrawReport(
        (PublishedView("bafkreigone", WHO, "laboratory/2024", 3),), "wrong-patient", tx="0x1", gas=5
    )

    def test_needs_a_confirmation_or_yes(self, run: Callable[..., Outcome], twin: Twin) -> None:
        outcome = run("withdraw", "bafkreigone", "--reason", "wrong-patient")
        assert (outcome.code, twin.calls) == (2, [])
        assert "--yes" in outcome.err

    def test_withdraws_and_says_who_can_know_the_readers(self, run: Callable[..., Outcome], twin: Twin) -> None:
        twin.answers["withdraw"] = self.REPORT
        outcome = run("withdraw", "bafkreigone", "bafkreiother", "--reason", "wrong-patient", "--yes")
        assert outcome.code == 0
        assert twin.calls[-1][:2] == ("withdraw", (("bafkreigone", "bafkreiother"), "wrong-patient"))
        assert "laboratory" in outcome.out
        assert "who sees it with: panachain --profile PATIENT log --record" in " ".join(outcome.err.split())

    def test_prints_json(self, run: Callable[..., Outcome], twin: Twin) -> None:
        twin.answers["withdraw"] = self.REPORT
        outcome = run("withdraw", "bafkreigone", "--reason", "wrong-patient", "--yes", "--json")
        assert json.loads(outcome.out) == self.REPORT.to_json()

    @pytest.mark.parametrize(
        "arguments", [["bafkreigone"], ["--reason", "wrong-patient"], ["x", "--reason", "because"]]
    )
    def test_needs_a_record_and_one_of_three_reasons(
        self, run: Callable[..., Outcome], twin: Twin, arguments: list[str]
    ) -> None:
        assert (run("withdraw", *arguments, "--yes").code, twin.calls) == (2, [])


class TestReading:
    @pytest.mark.parametrize("history", [False, True])
    def test_open_tells_what_it_left_out_on_the_screen_and_in_the_index(
        self, run: Callable[..., Outcome], twin: Twin, tmp_path: Path, history: bool
    ) -> None:
        twin.answers["open"] = some(history)
        more = ["--history"] if history else []
        outcome = run("open", POLICY, "-o", str(tmp_path / "opened"), *more)
        assert outcome.code == 0
        assert twin.calls[-1][2]["history"] is history
        assert "2 superseded by a newer version, 1 the same as another hospital's" in outcome.err
        assert "about another person" in outcome.err
        index = json.loads((tmp_path / "opened" / "index.json").read_bytes())
        assert (index["left_behind"]["superseded"], index["left_behind"]["same"]) == (2, 1)
        assert index["withdrawn"] == [GONE.to_json()]
        assert index["history"] == []

    def test_records_tells_the_same(self, run: Callable[..., Outcome], twin: Twin) -> None:
        twin.answers["records"] = some()
        outcome = run("records")
        assert outcome.code == 0
        assert "2 superseded by a newer version" in outcome.err
        assert "about another person" in outcome.err

    def test_records_names_the_withdrawn_record_and_how_to_see_who_opened_it(
        self, run: Callable[..., Outcome], twin: Twin
    ) -> None:
        opening, cid = some(), "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
        opening.withdrawn[:] = [replace(GONE, record_id=cid)]
        twin.answers["records"] = opening
        said = " ".join(run("records").err.split())
        assert re.search(r"Withdrawn by \S+ on .+, about another person: record bafk\S* \(laboratory/2024\); it", said)
        # Whole, since it is to be typed.
        assert f"panachain log --record {cid}" in said

    def test_open_does_not_name_what_only_the_patient_can_see(
        self, run: Callable[..., Outcome], twin: Twin, tmp_path: Path
    ) -> None:
        twin.answers["open"] = some()
        said = run("open", POLICY, "-o", str(tmp_path / "opened")).err
        assert "record bafkreigone" in " ".join(said.split())
        assert "log --record" not in said

    def test_the_log_of_a_record_asks_for_it_alone(self, run: Callable[..., Outcome], twin: Twin) -> None:
        twin.answers["receipts"] = Listing([])
        outcome = run("log", "--record", "bafkreigone", "--record", "bafkreiother")
        assert twin.calls[-1][0] == "receipts"
        assert twin.calls[-1][2]["records"] == ("bafkreigone", "bafkreiother")
        assert "Nobody has opened what that lies in." in outcome.out + outcome.err

    def test_records_in_json_names_what_was_withdrawn(self, run: Callable[..., Outcome], twin: Twin) -> None:
        twin.answers["records"] = some()
        lines = [json.loads(line) for line in run("records", "--json").out.splitlines()]
        assert [line["schema"] for line in lines] == ["panachain/opened/1", "panachain/withdrawn/1"]

    def test_nothing_is_said_where_all_counts(self, run: Callable[..., Outcome], twin: Twin) -> None:
        twin.answers["records"] = Opening(lambda _: iter([opened()]))
        assert "not counting" not in run("records").err
