"""Data on standard output, talk on standard error, in each form."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from panachain.model.scope import Purpose
from tests.cli.twin import Outcome, Twin

POLICY = "0x52908400098527886E0F7030069857D2E4169EE7"


@dataclass
class Row:
    """A result."""

    fields: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return self.fields


@dataclass
class Policy(Row):
    """What a grant gives."""

    lacking: int = 0


@dataclass
class Report(Row):
    """What a revocation gives."""

    deleted: int = 1
    needed: int = 2
    final: bool = False
    fields: dict[str, Any] = field(default_factory=lambda: {"schema": "panachain/revocation/1", "final": False})


ROWS = [
    Row({"schema": "panachain/policy/1", "policy_id": POLICY, "status": "active", "expires_at": 1_800_000_000}),
    Row({"schema": "panachain/policy/1", "policy_id": "=cmd|' /C calc'!A0", "status": "\x1b[2Jexpired"}),
]


def test_json_is_one_line_per_result(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["policies"] = ROWS
    outcome = run("policies", "--json")
    assert [json.loads(line) for line in outcome.out.splitlines()] == [row.to_json() for row in ROWS]
    assert outcome.err == ""


@pytest.mark.parametrize("arguments", [["--json", "policies"], ["policies", "--json"]])
def test_shared_options_stand_before_and_after_the_command(
    run: Callable[..., Outcome], twin: Twin, arguments: list[str]
) -> None:
    twin.answers["policies"] = ROWS[:1]
    assert json.loads(run(*arguments).out)["schema"] == "panachain/policy/1"


def test_table_shows_times_in_utc_and_no_control_characters(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["policies"] = ROWS
    out = run("policies").out
    assert "2027-01-15T08:00:00Z" in out
    assert "\x1b" not in out


def test_nothing_is_talk_and_no_data(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["policies"] = []
    outcome = run("policies")
    assert (outcome.out, outcome.err) == ("", "There are no policies.\n")
    assert run("policies", "-q").err == ""


def test_csv_can_be_read_back_and_holds_no_formula(run: Callable[..., Outcome], twin: Twin) -> None:
    result = Row({"schema": "panachain/query/1", "rows": [row.fields for row in ROWS], "provenance": {"block": 7}})
    twin.answers["query"] = result
    outcome = run("query", "policies", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert rows[0]["policy_id"] == POLICY
    assert rows[1]["policy_id"].startswith("'=")
    assert "block 7" in outcome.err


def test_query_passes_only_the_filters_that_were_given(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["query"] = Row({"schema": "panachain/query/1", "rows": [], "provenance": {}})
    run("query", "policies", "--as-of-block", "12", "--state", "active", "--purpose", "hresch")
    assert twin.calls == [("query", ("policies",), {"as_of_block": 12, "status": "active", "purpose": Purpose.HRESCH})]


def test_grant_says_what_proxies_lack_and_settle_who_was_looked_after(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers |= {"grant": Policy(ROWS[0].fields, lacking=1), "settle": ROWS[:1]}
    outcome = run("grant", "dr-lee", "--category", "vitals", "--purpose", "TREAT", "--until", "30d")
    assert "1 proxies have no share yet" in outcome.err
    assert POLICY in run("settle").out

    twin.answers["settle"] = []
    assert run("settle").err == "Nothing was left to do.\n"


def test_grant_passes_what_was_typed(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["grant"] = Policy(ROWS[0].fields)
    outcome = run(
        *("grant", "dr-lee", "--category", "laboratory,medications", "--category", "all", "--year", "2019-2021"),
        *("--year", "undated", "--purpose", "treat", "--until", "2027-01-31", "--dry-run"),
    )
    assert outcome.code == 0
    name, arguments, options = twin.calls[0]
    assert name == "grant"
    assert arguments == ("dr-lee", ("laboratory", "medications", "all"), (2019, 2020, 2021, 0))
    chosen = {"purpose": [Purpose.TREAT], "starts_at": None, "expires_at": 1_801_353_600, "dry_run": True}
    untouched = {"threshold": None, "proxies": (), "any_operator": False, "jitter": 0, "disclose": False, "study": ""}
    assert options == chosen | untouched


def test_revocation_that_is_not_final_is_partly_done(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["revoke"] = Report({})
    twin.answers["revoke"].fields = {"schema": "panachain/revocation/1", "final": False}
    outcome = run("revoke", POLICY, "--yes", "--json")
    assert outcome.code == 3
    assert json.loads(outcome.out)["final"] is False


def test_settings_say_where_they_come_from(run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANACHAIN_IPFS", "kubo")
    settings = json.loads(run("--profile", "ada", "config", "show", "--origin", "--json").out)
    assert settings["profile"] == {"value": "ada", "origin": "flag"}
    assert settings["ipfs"] == {"value": "kubo", "origin": "environment PANACHAIN_IPFS"}
    assert settings["confirmations"]["origin"] == "default"
