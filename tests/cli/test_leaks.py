"""No secret leaves for where others look: arguments, environment, logs, terminal, tracebacks, core files, the disk.

Each secret is searched for as it is, in hexadecimal, in Base64 and as UTF-16, in whatever a run leaves.
"""

from __future__ import annotations

import base64
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from panachain import security_keys
from panachain.agent import client
from panachain.errors import PanaChainError
from panachain.model.actors import Role
from panachain.model.credentials import Answer
from panachain.sdk.locks import Locks
from panachain.sdk.profiles import create_profile, load_profile, unlock
from tests.cli.twin import Outcome
from tests.ctap import GET, PIN, Person, SoftKey
from tests.keystores import make_cheap
from tests.unit.agent.test_client import pid_of

Run = Callable[..., Outcome]
WORDS, NUMBER, WRONG = "some words of nobody's", "83719264", "10203040"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    make_cheap(monkeypatch, for_this_process_only=True)
    place = tmp_path / "home"
    create_profile(place, "me", Role.PATIENT, WORDS)
    yield place
    for name in client.names(place):
        client.lock(place, name)


def spellings(secret: str | bytes) -> list[bytes]:
    """Return how a secret could be written."""
    raw = secret.encode() if isinstance(secret, str) else secret
    told = [raw, raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(raw).rstrip(b"=")]
    return told + ([secret.encode("utf-16-le")] if isinstance(secret, str) else [repr(raw)[2:-1].encode()])


def found_in(content: bytes, secrets: dict[str, str | bytes]) -> list[str]:
    return [name for name, secret in secrets.items() if any(one in content for one in spellings(secret))]


def test_the_search_finds_what_it_looks_for() -> None:
    for spelled in spellings(b"\x00\x01" * 16) + spellings(WORDS):
        assert found_in(b"x" + spelled + b"y", {"a": b"\x00\x01" * 16, "b": WORDS})


def test_nothing_of_a_morning_with_a_security_key_is_left_where_others_look(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key, asked = SoftKey(NUMBER), [WORDS, NUMBER, WRONG, NUMBER, WRONG, WRONG, WRONG, "", ""]
    monkeypatch.setattr(security_keys, "usb_devices", lambda: [key])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.prompt", lambda *_, **__: asked.pop(0))
    answers: list[Answer] = []
    real = security_keys._Key.answer

    def noted(*given: object) -> Answer:
        answers.append(real(*given))  # type: ignore[arg-type]
        return answers[-1]

    monkeypatch.setattr(security_keys._Key, "answer", noted)
    said = b""
    with caplog.at_level(1):
        for arguments in (["key", "add", "security-key"], ["key", "list"], ["unlock"], ["--no-agent", "unlock"]):
            done = run("--profile", "me", "--debug", "-v", *arguments)
            said += f"{done.out}{done.err}".encode()
        # A key that breaks off in the middle of its answer.
        key.plug_in()
        key.mangle = lambda command, answer: answer[:-7] if command in (GET, PIN) and len(answer) > 90 else answer
        asked[:] = [NUMBER, NUMBER, ""]
        done = run("--profile", "me", "--debug", "-v", "unlock")
        said += f"{done.out}{done.err}".encode()
    assert (len(answers), b"Traceback" in said) == (3, True)
    data_key = client.ask(home, "me")
    assert data_key is not None
    seed = unlock(load_profile(home, "me"), WORDS)
    secrets: dict[str, str | bytes] = {
        "passphrase": WORDS,
        "PIN": NUMBER,
        "wrong PIN": WRONG,
        "answer": answers[0].secret,
        "data key": data_key,
        "seed": seed.reveal(),
        "account key": seed.account_key(),
    }
    pid = pid_of(home)
    places = {
        f"/proc/{pid}/{name}": Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ", "maps")
    }
    places |= {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    places |= {"terminal": said, "log": caplog.text.encode()}
    assert len(places) > 5
    assert {place: found for place, content in places.items() if (found := found_in(content, secrets))} == {}


@pytest.mark.parametrize("what", ["passphrase", "wrong PIN", "long PIN", "hostile answer", "another answer"])
def test_a_traceback_that_shows_variables_shows_no_secret(
    home: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    key = SoftKey(NUMBER)
    monkeypatch.setattr(security_keys, "usb_devices", lambda: [key])
    locks = Locks(load_profile(home, "me"))
    made = locks.add_security_key(locks.open(WORDS), Person(NUMBER))
    wrong = "some wrong words"
    if what == "hostile answer":
        key.mangle = lambda command, answer: answer[:-7] if command == GET and len(answer) > 90 else answer
    pins = {"wrong PIN": [WRONG] * 3, "long PIN": [WRONG * 9]}.get(what, [NUMBER])
    if what == "another answer":
        key._known[made.id].with_check = b"\x5a" * 32
    person = Person(*pins)
    known = locks.credentials("security-key")
    with pytest.raises(PanaChainError) as caught:
        locks.open(wrong) if what == "passphrase" else locks.open_by_security_key(person, known)
    shown = ""
    told: BaseException | None = caught.value
    while told is not None:
        # Also what came before it, which tools show that look further than Python does.
        for frame in traceback.TracebackException.from_exception(told, capture_locals=True).stack:
            if "/tests/" not in frame.filename:
                shown += f"{frame.filename} {frame.locals}\n"
        told = told.__cause__ or told.__context__
    assert found_in(shown.encode(), {"words": WORDS, "wrong": wrong, "PIN": NUMBER, "other": WRONG}) == []


def test_a_command_that_asks_for_a_secret_writes_no_core_file(home: Path) -> None:
    code = (
        "import resource, sys\n"
        "from panachain.cli.main import main\n"
        "before = resource.getrlimit(resource.RLIMIT_CORE)\n"
        "main(['--version'])\n"
        "assert resource.getrlimit(resource.RLIMIT_CORE) == before\n"
        "main(sys.argv[1:])\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE))\n"
    )
    for command in (["whoami"], ["key", "remember"]):
        done = subprocess.run(
            [sys.executable, "-c", code, "--home", str(home), "--profile", "me", *command],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            stdin=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if not name.startswith("PANACHAIN_")},
        )
        assert done.stdout.splitlines()[-1] == "(0, 0)", done.stderr


def test_no_option_takes_a_pin_or_an_answer() -> None:
    from panachain.cli.key import add, key

    options = [one for group in (key, add) for command in group.commands.values() for one in command.params]
    names = {name.lstrip("-") for one in options for name in one.opts}
    assert not {name for name in names if "pin" in name.split("-") or "secret" in name or name == "passphrase"}
    assert logging.getLogger("fido2").level == logging.NOTSET
