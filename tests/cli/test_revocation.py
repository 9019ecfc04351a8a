"""How far a revocation has come, in words: each step with what it does and what it can't."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import click
import pytest

from panachain.cli import revocation
from panachain.errors import Omission, PartlyDoneError, PolicyRevokedError, TransactionError
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import Receipt, ReceiptKind
from panachain.sdk.results.revocations import RevocationReport
from panachain.sdk.results.uploads import SettleReport
from tests.cli.test_output import VIEW
from tests.cli.twin import Outcome, Twin

POLICY = PolicyId("0x52908400098527886E0F7030069857D2E4169EE7")
REPORT = RevocationReport(POLICY, tx="0x", gas=1, receipts=(), needed=2, shares=3)
RECEIPT = Receipt(Address("0x" + "33" * 20), 1, bytes(32), ReceiptKind.DELETED, POLICY, 0, 0, 1, bytes(65), b"")
FINAL = replace(REPORT, receipts=(RECEIPT, RECEIPT))
ROTATED = replace(FINAL, rotated=True)
Run = Callable[..., Outcome]


@pytest.mark.parametrize(
    ("report", "states"),
    [
        (REPORT, ["done", "0 of 3 signed, 2 are needed", "not asked for: --rotate", "not asked for"]),
        (FINAL, ["done", "2 of 3 signed: final", "not asked for: --rotate", "not asked for"]),
        (
            ROTATED,
            ["done", "2 of 3 signed: final", "done", "waits for the hospitals, who `rewrap`"],
        ),
        (replace(ROTATED, rewrapped=True), ["done", "2 of 3 signed: final", "done", "done"]),
    ],
)
def test_each_step_says_how_it_stands(report: RevocationReport, states: list[str]) -> None:
    rows = revocation.steps(report.to_json())
    assert [state for _, state, _, _ in rows] == states
    assert all(does and cannot for _, _, does, cannot in rows)


@pytest.mark.parametrize("report", [REPORT, replace(REPORT, receipts=(RECEIPT,)), FINAL, ROTATED])
def test_every_stage_of_the_sdk_has_its_words(report: RevocationReport) -> None:
    known = ("no proxy deleted yet", "1 of 3 proxies deleted", "proxies deleted", "new keys")
    assert revocation.stage(report.stage) in known


def test_the_command_shows_the_steps_and_what_nobody_can_do(run: Run, twin: Twin) -> None:
    twin.answers["revocation"] = ROTATED
    outcome = run("revoke", POLICY, "--status")
    assert outcome.code == 0
    assert outcome.out.splitlines()[0].split("  ")[0] == "step"
    assert "can't be called back" in outcome.err
    assert max(map(len, outcome.out.splitlines())) <= 100


def test_settle_lists_what_fell_after_what_was_finished(run: Run, twin: Twin) -> None:
    fell = PolicyRevokedError("policy 0xa1, which it was to replace, was revoked", hint="grant again")
    omissions = [Omission("", "a grant that wasn't finished", fell)]
    twin.answers["settle"] = PartlyDoneError.of(omissions, done="the others were finished", result=[VIEW])
    outcome = run("settle")
    assert outcome.code == 3
    assert VIEW.policy_id[:8] in outcome.out
    assert "left out: a grant that wasn't finished: policy 0xa1, which it was to replace, was revoked" in outcome.err


def test_settle_of_a_hospital_names_what_must_be_uploaded_again(
    run: Run, twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("panachain.sdk.hospital.Hospital", type(twin))
    why = TransactionError("sealed and not sent", hint="upload the files of that patient again")
    report = SettleReport(2, (Omission("", "3 records of 1 file of patient pat-a", why),))
    twin.answers["settle"] = PartlyDoneError.of(report.omissions, done="2 were sent", result=report)
    outcome = run("settle")
    assert (outcome.code, outcome.out.split()) == (3, ["sent", "2"])
    assert "left out: 3 records of 1 file of patient pat-a: sealed and not sent" in outcome.err
    assert "upload the files of that patient again" in outcome.err


def test_a_grant_that_was_never_sent_has_no_steps(run: Run, twin: Twin) -> None:
    twin.answers["revocation"] = replace(REPORT, shares=0, needed=0)
    assert "withdrawn before anybody saw it" in run("revoke", POLICY, "--status").out


def test_the_question_before_a_revocation_says_whom_it_is_about(
    run: Run, twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions: list[str] = []

    def refuse(question: str, **_: object) -> None:
        questions.append(question)
        raise click.Abort

    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(click, "confirm", refuse)
    grantee = Address("0x8617E340B3D01FA5F11F306F4090FD50E238070D")
    twin.answers["policies"] = [replace(VIEW, policy_id=POLICY, grantee=grantee)]
    run("revoke", POLICY, "--rotate")
    (question,) = questions
    assert question == f"Revoke policy {POLICY}, by which {grantee} reads laboratory, and give what it opens new keys?"
    assert "revoke" not in [name for name, _, _ in twin.calls]


def test_nobody_is_asked_for_a_passphrase_before_a_question_that_cannot_be_asked(run: Run, twin: Twin) -> None:
    outcome = run("revoke", POLICY)
    assert outcome.code == 2
    assert "there is no terminal to ask on" in outcome.err
    assert twin.calls == []


def test_a_revocation_that_is_not_proven_says_so_in_words(run: Run, twin: Twin) -> None:
    twin.answers["revoke"] = replace(REPORT, proven=False, unsent=("no relay answered in time",))
    outcome = run("revoke", POLICY, "--yes")
    assert outcome.code == 3
    assert "sent, not proven yet" in outcome.out
    assert "Not proven: no relay answered in time" in outcome.err
    assert "is revoked" not in outcome.err
    assert revocation.stage(twin.answers["revoke"].stage) == "revocation sent, not proven yet"


@pytest.mark.parametrize("arguments", [("revoke", POLICY, "--status"), ("revoke", POLICY, "--yes"), ("policies",)])
def test_a_proxy_against_a_revocation_is_an_alarm(run: Run, twin: Twin, arguments: tuple[str, ...]) -> None:
    proxy = Address("0x8617E340B3D01FA5F11F306F4090FD50E238070D")
    report = replace(FINAL, alarms={proxy: "policy isn't revoked"})
    revoked = replace(VIEW, policy_id=POLICY, stage="final", alarms=report.alarms)
    twin.answers |= {"revocation": report, "revoke": report, "policies": [revoked]}
    outcome = run(*arguments)
    assert "ALARM" in outcome.err
    assert "policy isn't revoked" in " ".join(outcome.err.split())
    assert arguments != ("policies",) or "1 proxy against it" in " ".join(outcome.out.split())


@pytest.mark.parametrize("more", [("--offline",), ("-o", "f"), ("--offline", "-o", "f", "--rotate")])
def test_a_file_goes_with_offline_and_with_nothing_else(run: Run, twin: Twin, more: tuple[str, ...]) -> None:
    outcome = run("revoke", POLICY, *more)
    assert outcome.code == 2
    assert "--offline goes with -o FILE" in outcome.err
    assert twin.calls == []
