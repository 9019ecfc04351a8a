"""How failures end: exit codes, one clear message, no traceback."""

from __future__ import annotations

import errno
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from panachain import errors
from panachain.cli.output import Output
from panachain.model.actors import Role
from panachain.sdk.profiles import create_profile
from tests.cli.twin import Outcome, Twin
from tests.keystores import make_cheap

POLICY = "0x52908400098527886E0F7030069857D2E4169EE7"


def every_error() -> list[type[errors.PanaChainError]]:
    """Return the errors of the package's one tree; a service's own never reach the command line."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return [kind for kind in kinds if issubclass(kind, errors.PanaChainError)]


@pytest.mark.parametrize("kind", every_error())
def test_exit_code_is_that_of_the_error(
    run: Callable[..., Outcome], twin: Twin, kind: type[errors.PanaChainError]
) -> None:
    needs = {
        errors.ProxiesUnavailableError: {"answered": 1, "needed": 2},
        errors.TooLargeError: {"size": 2, "limit": 1},
        errors.OpensLaterError: {"retry_after": 900},
    }
    arguments: dict[str, Any] = needs.get(kind, {})
    twin.answers["inbox"] = kind("it went wrong", hint="do this", **arguments)
    outcome = run("inbox")
    assert outcome.code == kind.exit_code
    assert outcome.out == ""
    assert outcome.err.splitlines() == [
        "inbox failed: it went wrong",
        "  state: nothing was changed",
        "  next:  do this",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["grant", "cardiologist"],
        ["grant", "cardiologist", "--category", "horoscopes", "--purpose", "TREAT", "--until", "30d"],
        ["grant", "cardiologist", "--category", "vitals", "--purpose", "FUN", "--until", "30d"],
        ["grant", "cardiologist", "--category", "vitals", "--purpose", "TREAT", "--until", "soon"],
        ["upload", "--patient", "me"],
        ["upload", "/nowhere/at/all", "--patient", "me"],
        ["devnet", "up", "--proxies", "2", "--threshold", "3"],
        ["query", "policies", "--state", "happy"],
    ],
)
def test_bad_arguments_end_with_2(run: Callable[..., Outcome], twin: Twin, arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2
    assert "nothing was changed" in outcome.err
    assert "Traceback" not in outcome.err
    assert twin.calls == []


def test_interrupt_ends_with_130(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["inbox"] = KeyboardInterrupt()
    assert run("inbox").code == 130


def test_unforeseen_error_shows_neither_traceback_nor_message(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["inbox"] = ValueError("a secret that a library put into its message")
    outcome = run("inbox")
    assert outcome.code == 1
    assert "secret" not in outcome.err
    assert "Traceback" not in outcome.err
    assert "--debug" in outcome.err


def test_debug_shows_the_traceback(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["inbox"] = errors.IntegrityError("it doesn't fit")
    outcome = run("inbox", "--debug")
    assert outcome.code == 6
    assert "Traceback" in outcome.err


def test_full_disk_is_said(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["inbox"] = OSError(errno.ENOSPC, "No space left on device")
    outcome = run("inbox")
    assert outcome.code == 1
    assert "the disk is full" in outcome.err


def test_json_failure_is_one_object_on_standard_error(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["inbox"] = errors.PolicyRevokedError("the patient took it back")
    outcome = run("inbox", "--json")
    assert outcome.out == ""
    assert json.loads(outcome.err) == {
        "schema": "panachain/error/1",
        "command": "inbox",
        "error": "PolicyRevokedError",
        "message": "the patient took it back",
        "unchanged": "nothing was changed",
        "hint": "ask the patient: `panachain request PATIENT --category CATEGORY --purpose PURPOSE`",
        "exit_code": 5,
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("inbox", "--nonsense", "--json"),
        ("inbox", "--json", "--nonsense"),
        ("--json", "nonsense"),
        ("nonsense", "--json"),
        ("grant", "--until", "never", "--json"),
    ],
)
def test_a_wrong_argument_is_told_in_json_wherever_the_option_stands(
    run: Callable[..., Outcome], twin: Twin, arguments: tuple[str, ...]
) -> None:
    outcome = run(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert json.loads(outcome.err)["error"] == "UsageError"


def test_behind_two_dashes_nothing_is_an_option(run: Callable[..., Outcome]) -> None:
    assert run("contacts", "add", "--nonsense", "--", "--json").err.startswith("contacts add failed: ")


class Full(io.StringIO):
    """A stream to a disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_result_that_can_not_be_written_undoes_nothing_and_nobody_says_so(
    run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, as_json: tuple[str, ...]
) -> None:
    with monkeypatch.context() as context:
        context.setattr("sys.stdout", Full())
        outcome = run("contacts", "add", "mother", POLICY, *as_json)
    assert outcome.code == 1
    assert "nothing was changed" not in outcome.err
    assert "what the command did stays done" in outcome.err
    assert "mother" in run("contacts", "list").out


def test_talk_that_nobody_takes_stops_nothing(run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what is being done, nor the exit code of what failed."""
    with monkeypatch.context() as context:
        context.setattr("sys.stderr", Full())
        assert run("contacts", "add", "mother", POLICY).code == 0
        assert run("nonsense").code == 2
    assert "mother" in run("contacts", "list").out


def test_revoke_without_terminal_and_yes_is_refused(run: Callable[..., Outcome], twin: Twin) -> None:
    outcome = run("revoke", POLICY)
    assert outcome.code == 2
    assert "--yes" in outcome.err
    assert twin.calls == []


def test_terminal_controls_in_a_message_are_replaced(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["inbox"] = errors.UnavailableError("proxy says \x1b]0;owned\x07 hello")
    assert "\x1b" not in run("inbox").err


def test_no_profile_is_said_before_a_passphrase_is_asked(run: Callable[..., Outcome]) -> None:
    outcome = run("whoami")
    assert outcome.code == 2
    assert "there is no profile" in outcome.err


def test_a_card_is_there_before_a_network_is(
    run: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment names the registrar's account, and a hospital is admitted before it gets the network's file."""
    make_cheap(monkeypatch, for_this_process_only=True)
    profile = create_profile(tmp_path / "home", "clinic", Role.HOSPITAL, "correct horse battery")
    done = run("--profile", "clinic", "whoami", "--json")
    assert done.code == 0, done.err
    card = json.loads(done.out)
    assert (card["address"], card["status"]) == (profile.address, "unknown")
    assert card["key_block"] == profile.keys.encode().hex()
    assert "No network is set up" in run("--profile", "clinic", "whoami").err
    assert profile.address in run("--profile", "clinic", "--long", "whoami").out


def test_no_network_is_said_with_a_fix(run: Callable[..., Outcome]) -> None:
    outcome = run("doctor")
    assert outcome.code == 2
    assert "devnet up" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["approve", "one"], "'one' is no whole number"),
        (["devnet", "up", "--proxies", "0"], "0 isn't from 2 to 16"),
        (["search", "word", "--limit", "0"], "0 is less than 1"),
        (["proxy", "serve", "--config", "nowhere.toml"], "there is no file 'nowhere.toml'"),
    ],
)
def test_numbers_and_files_are_refused_in_plain_words(
    run: Callable[..., Outcome], arguments: list[str], told: str
) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2
    assert told in outcome.err
    assert "range" not in outcome.err


def test_a_policy_that_is_not_there_is_looked_for_by_the_command_of_whoever_asks(
    run: Callable[..., Outcome], twin: Twin, tmp_path: Path
) -> None:
    twin.answers["inbox"] = twin.answers["policies"] = []
    practitioner = run("--profile", "doctor", "open", "0x52908400", "-o", str(tmp_path / "out"))
    assert practitioner.code == 5
    assert "inbox` lists what was granted to you" in practitioner.err
    assert "policies`" not in practitioner.err


def test_talk_fits_the_terminal_and_leaves_commands_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    command = "`panachain --profile doctor request PATIENT --category CATEGORY --purpose PURPOSE`"
    failure = errors.UsageError("words " * 20, hint=f"{'a hint that is long ' * 4} {command}")
    for terminal in (True, False):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal, raising=False)
        output = Output()
        output.warn("something " * 12)
        output.say("something " * 12)
        output.fail("open", failure, unchanged="nothing")
        lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().err).splitlines()
        assert (max(len(line) for line in lines if "panachain" not in line) <= 60) is terminal
        assert sum(command.strip("`") in line for line in lines) == 1
        assert (len(lines) == 5) is not terminal
