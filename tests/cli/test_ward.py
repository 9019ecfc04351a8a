"""The commands of `ward`: what they ask of the SDK, what they show, and what beside a log says who acted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.cli.app import App
from panachain.cli.output import Output
from panachain.cli.ward import tell_of_wards
from panachain.model.actors import Address
from panachain.sdk.patient import Patient
from panachain.sdk.results.wards import WardAct, WardshipView
from tests.cli.twin import Outcome, Twin

WHO = Address("0x52908400098527886E0F7030069857D2E4169EE7")
CARER = Address("0x8617E340B3D01FA5F11F306F4090FD50E238070D")
ACCOUNT = Address("0xde709f2102306220921060314715629080e2fb77")
VIEW = WardshipView(
    4, "in force", WHO, CARER, ACCOUNT, ("laboratory",), ("gender",), 5, 2_000_000_000, 4, papers="court \x1b[2J 7"
)
NAMED = replace(VIEW, ward_name="child", carer_name="mother")
Run = Callable[..., Outcome]


class Part(Twin):
    """The wards of a session."""


@pytest.fixture
def part(twin: Twin) -> Part:
    made = Part()
    twin.__dict__["wards"] = made
    return made


def test_a_list_shows_who_acts_for_whom_in_what_until_when(run: Run, part: Part) -> None:
    part.answers["all"] = [VIEW]
    shown = run("ward", "list")
    assert shown.code == 0
    assert "in force" in shown.out
    assert "laboratory" in shown.out
    told = json.loads(run("--json", "ward", "list").out)
    assert (told["schema"], told["carer"], told["acts_in"]) == ("panachain/wardship/1", CARER, ["laboratory"])
    assert "\x1b" not in run("--long", "ward", "list").out


def test_a_ward_is_warned_of_a_handover_that_is_none(run: Run, part: Part) -> None:
    part.answers["all"] = [replace(VIEW, handover="the carer sealed nonsense")]
    assert "couldn't take over, the carer sealed nonsense" in run("ward", "list").err
    part.answers["all"] = [replace(VIEW, handover="good")]
    assert "take over" not in run("ward", "list").err


def test_the_registrar_attests(run: Run, part: Part) -> None:
    part.answers["start"] = VIEW
    assert run("ward", "start", "4").code == 0
    assert part.calls == [("start", (4,), {})]


def test_an_end_is_confirmed_and_one_that_is_over_is_concluded(run: Run, part: Part) -> None:
    assert run("ward", "end", "4").code == 2
    assert part.calls == []
    part.answers |= {"find": VIEW, "end": replace(VIEW, state="ended", ended_at=7)}
    assert run("ward", "end", "4", "--yes").code == 0
    assert [name for name, *_ in part.calls] == ["find", "end"]
    part.calls.clear()
    part.answers |= {"find": replace(VIEW, state="over"), "conclude": replace(VIEW, state="over")}
    assert run("ward", "end", "4", "--yes").code == 0
    assert [name for name, *_ in part.calls] == ["find", "conclude"]


def test_what_was_done_is_told_with_by_whom_and_for_whom(run: Run, part: Part) -> None:
    part.answers["acts"] = [WardAct(5, CARER, WHO, "paired", ACCOUNT, "x")]
    shown = run("ward", "log", "4").out.lower()
    assert all(word in shown for word in ("by", "for", "paired"))
    assert json.loads(run("--json", "ward", "log", "4").out)["by"] == CARER
    part.answers["acts"] = [WardAct(5, CARER, WHO, "started", detail="2041-05-17T00:00:00Z")]
    assert "2041-05-17T" not in run("ward", "log", "4").out
    assert json.loads(run("--json", "ward", "log", "4").out)["detail"] == "2041-05-17T00:00:00Z"


def test_a_ward_takes_over_into_a_profile_of_their_own(run: Run, part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(App, "passphrase", lambda *_, **__: "secret")
    told = {"schema": "panachain/profile/2", "name": "childhood", "role": "patient", "handle": "pat-x"}
    part.answers["take_over"] = SimpleNamespace(to_json=lambda: told)
    outcome = run("ward", "take-over", "4", "--as", "childhood")
    assert outcome.code == 0
    assert part.calls == [("take_over", (4, "childhood", "secret"), {})]
    assert "secret" not in outcome.out + outcome.err


class Account(Patient):
    """The session of the account, which proposes."""

    def __init__(self, wards: Any) -> None:
        self.address = ACCOUNT
        self._wards = wards
        self.registered = False

    @property
    def wards(self) -> Any:
        return self._wards

    def register(self, organisation: str = "") -> Any:
        self.registered = True
        return None


@pytest.fixture
def account(part: Part, twin: Twin, monkeypatch: pytest.MonkeyPatch) -> Account:
    made = Account(part)

    @contextmanager
    def opened(*_: Any) -> Iterator[Account]:
        yield made

    monkeypatch.setattr("panachain.sdk.open_actor", opened)
    monkeypatch.setattr(App, "passphrase", lambda *_, **__: "secret")
    twin.__dict__["network"], twin.__dict__["address"] = None, CARER
    part.answers |= {"profile": SimpleNamespace(address=ACCOUNT), "is_account": True, "of_account": None}
    part.answers |= {"propose": replace(VIEW, state="proposed"), "accept": replace(VIEW, state="accepted")}
    return made


ADD = ("ward", "add", "child", "--as", "my-child", "--papers", "court", "--until", "2040-01-01")


def test_a_carer_proposes_through_the_account_and_accepts(run: Run, part: Part, account: Account) -> None:
    outcome = run(*ADD, "--keeps", "gender,mental-health", "--keeps-from", "2036-01-01")
    assert outcome.code == 0, outcome.err
    assert account.registered
    names = [name for name, *_ in part.calls]
    assert names == ["profile", "is_account", "of_account", "propose", "accept"]
    _, arguments, more = part.calls[3]
    assert arguments == ("child", CARER, "court")
    assert (more["categories"], tuple(more["keeps"])) == ("all", ("gender", "mental-health"))
    assert more["keeps_from"] < more["until"]
    assert "ward start 4" in outcome.err


def test_the_setting_says_what_a_ward_keeps_if_nothing_is_said(
    run: Run, part: Part, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANACHAIN_WARD_KEEPS", "sexual-health, mental-health")
    assert run(*ADD).code == 0
    assert tuple(part.calls[3][2]["keeps"]) == ("sexual-health", "mental-health")


def test_the_same_again_goes_on_where_it_stopped(run: Run, part: Part, account: Account) -> None:
    part.answers["of_account"] = replace(VIEW, state="accepted")
    assert run(*ADD).code == 0
    assert [name for name, *_ in part.calls] == ["profile", "is_account", "of_account"]


def test_a_profile_that_is_somebody_else_is_left_as_it_is(run: Run, part: Part, account: Account) -> None:
    part.answers["is_account"] = False
    outcome = run(*ADD)
    assert outcome.code == 2
    assert "somebody else" in outcome.err
    assert not account.registered


@pytest.mark.parametrize(
    ("address", "told"),
    [(ACCOUNT, "mother does for child: panachain ward log 4"), (WHO, "mother acts for you"), (CARER, "")],
)
def test_beside_a_log_stands_who_acts_for_whom(address: Address, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    app: Any = SimpleNamespace(output=Output())
    patient: Any = SimpleNamespace(address=address, wards=SimpleNamespace(all=lambda: [NAMED]))
    tell_of_wards(app, patient)
    assert told in capsys.readouterr().err
