"""Data on standard output, talk on standard error, in each form."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from panachain.cli.output import Output
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import PolicyStatus
from panachain.model.scope import Purpose
from panachain.research.index import PolicyRow, QueryProvenance, QueryResult
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.revocations import RevocationReport
from tests.cli.twin import Outcome, Twin

POLICY = "0x52908400098527886E0F7030069857D2E4169EE7"


@dataclass
class Row:
    """A result."""

    fields: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return self.fields


ROWS = [
    Row({"schema": "panachain/policy/1", "policy_id": POLICY, "status": "active", "expires_at": 1_800_000_000}),
    Row({"schema": "panachain/policy/1", "policy_id": "=cmd|' /C calc'!A0", "status": "\x1b[2Jexpired"}),
]
AS_OF = QueryProvenance(chain_id=1, block=7, block_hash="0x" + "11" * 32, block_time=1_800_000_000, query={})


def policy_row(policy_id: str) -> PolicyRow:
    """Return a policy on chain, sealed and active."""
    return PolicyRow(
        policy_id=PolicyId(policy_id),
        block=6,
        log=0,
        tx="0x" + "12" * 32,
        granted_at=1_800_000_000,
        starts_at=1_800_000_000,
        expires_at=1_800_086_400,
        terms="13" * 32,
        view_tag=14,
        announcement="15" * 32,
        purpose_bits=0,
        category_bits=0,
        data_use=0,
        study="",
        revoked_block=None,
        status="active",
    )


VIEW = PolicyView(
    policy_id=PolicyId(POLICY),
    status=PolicyStatus.ACTIVE,
    patient=Address(POLICY),
    grantee=Address(POLICY),
    scopes=("laboratory",),
    purposes=("TREAT",),
    starts_at=1_790_000_000,
    expires_at=1_800_000_000,
    threshold=2,
    proxies=3,
    terms_cid="bafy",
)
REPORT = RevocationReport(PolicyId(POLICY), tx="0x", gas=1, receipts=(), needed=2, shares=3)


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


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be in another time zone than UTC."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_table_shows_local_times_and_no_control_characters(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["policies"] = ROWS
    out = run("policies").out
    assert "15 Jan 2027, 09:00" in out
    assert "\x1b" not in out
    assert "2027-01-15T08:00:00Z" in run("policies", "--long").out


def test_identifiers_are_short_unless_long_is_asked_for(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["policies"] = [VIEW]
    assert POLICY not in run("policies").out
    assert POLICY[:10] in run("policies").out
    assert POLICY in run("policies", "--long").out


def test_nothing_is_talk_and_no_data(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["policies"] = []
    outcome = run("policies")
    assert (outcome.out, outcome.err) == ("", "There are no policies.\n")
    assert run("policies", "-q").err == ""


def test_csv_can_be_read_back_and_holds_no_formula(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["query"] = QueryResult("policies", (policy_row(POLICY), policy_row("=cmd|' /C calc'!A0")), AS_OF)
    outcome = run("query", "policies", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert rows[0]["policy_id"] == POLICY
    assert rows[1]["policy_id"].startswith("'=")
    assert "block 7" in outcome.err


def test_query_passes_only_the_filters_that_were_given(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["query"] = QueryResult("policies", (), AS_OF)
    run("query", "policies", "--as-of-block", "12", "--state", "active", "--purpose", "hresch")
    assert twin.calls == [("query", ("policies",), {"as_of_block": 12, "status": "active", "purpose": Purpose.HRESCH})]


def test_grant_says_what_proxies_lack_and_settle_who_was_looked_after(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers |= {"grant": replace(VIEW, lacking=1), "settle": [VIEW]}
    outcome = run("grant", "cardiologist", "--category", "vitals", "--purpose", "TREAT", "--until", "30d")
    assert "1 proxy without a share yet" in outcome.err
    assert POLICY[:10] in run("settle").out

    twin.answers["settle"] = []
    assert run("settle").err == "Nothing was left to do.\n"


def test_a_grant_that_waits_for_no_block_says_what_hands_it_out(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["grant"] = replace(VIEW, tx="0x" + "11" * 32, stage="waits for its blocks", lacking=3)
    outcome = run(
        *("grant", "cardiologist", "--category", "vitals", "--purpose", "TREAT", "--until", "30d", "--no-wait")
    )
    assert (outcome.code, twin.calls[0][2]["wait"]) == (0, False)
    assert "Nobody can read by it yet: `panachain settle`, or your next command, hands out its shares." in outcome.err
    assert "takes it back" not in outcome.err


def test_grant_passes_what_was_typed(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["grant"] = VIEW
    outcome = run(
        *("grant", "cardiologist", "--category", "laboratory,medications", "--category", "all", "--year", "2019-2021"),
        *("--year", "undated", "--purpose", "treat", "--until", "2027-01-31", "--dry-run"),
    )
    assert outcome.code == 0
    name, arguments, options = twin.calls[0]
    assert name == "grant"
    assert arguments == ("cardiologist", ("laboratory", "medications", "all"), (2019, 2020, 2021, 0))
    chosen = {"purpose": [Purpose.TREAT], "starts": None, "until": 1_801_353_600, "dry_run": True}
    untouched = {"threshold": None, "proxies": (), "any_operator": False, "jitter": 0, "disclose": False, "study": ""}
    assert options == chosen | untouched | {"wait": True}


def test_revocation_that_is_not_final_is_partly_done(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["revoke"] = REPORT
    outcome = run("revoke", POLICY, "--yes", "--json")
    assert outcome.code == 3
    assert json.loads(outcome.out)["final"] is False


def test_settings_say_where_they_come_from(run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANACHAIN_IPFS", "kubo")
    settings = json.loads(run("--profile", "me", "config", "show", "--origin", "--json").out)
    assert settings["profile"] == {"value": "me", "origin": "flag"}
    assert settings["ipfs"] == {"value": "kubo", "origin": "environment PANACHAIN_IPFS"}
    assert settings["confirmations"]["origin"] == "default"


def test_whom_a_grant_is_for_is_shown_whole_where_nobody_knows_them(run: Callable[..., Outcome], twin: Twin) -> None:
    # An account that begins with the same eight digits is found within minutes.
    twin.answers["grant"] = VIEW
    outcome = run("grant", POLICY, "--category", "laboratory", "--purpose", "TREAT", "--until", "30d")
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("granted to")]
    assert line.split() == ["granted", "to", POLICY]


@pytest.mark.parametrize("columns", ["20", "80", "120"])
def test_what_is_handed_on_stands_on_one_line_in_every_terminal(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    address = "http://0123456789abcdef.localhost:8787/#" + "k" * 43
    Output().one({"schema": "panachain/portal/1", "url": address}, fields=("url",), whole=("url",))
    assert capsys.readouterr().out == f"url  {address}\n"
