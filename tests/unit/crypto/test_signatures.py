"""Signatures that are checked beside: whatever the other process does, the results are those of this one."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import panachain
from panachain import beside
from panachain.crypto import signatures as module
from panachain.crypto import umbral
from panachain.crypto.keys import Seed
from panachain.crypto.signatures import Signatures
from panachain.errors import IntegrityError
from panachain.secp256k1 import ORDER
from tests.processes import is_running, wait_for

SIGNER = Seed.random().signer()
COUNT = 700


@pytest.fixture(scope="module")
def signed() -> list[tuple[bytes, bytes]]:
    """Messages with signatures of which every third one doesn't fit, each for another reason."""
    thief = Seed.random().signer()
    found = []
    for number in range(COUNT):
        message = number.to_bytes(40, "big")
        good = SIGNER.sign(message)
        twin = good[:32] + (ORDER - int.from_bytes(good[32:], "big")).to_bytes(32, "big")
        wrong = [thief.sign(message), bytes(64), b"\xff" * 64, twin, good[:-1] + bytes([good[-1] ^ 1])]
        found.append((message, wrong[number // 3 % len(wrong)] if number % 3 == 0 else good))
    return found


@pytest.fixture(scope="module")
def expected(signed: list[tuple[bytes, bytes]]) -> list[bool]:
    fitting = umbral.verify_all(SIGNER.public, signed)
    assert fitting == [number % 3 != 0 for number in range(COUNT)]
    return fitting


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many signatures are worth a process, on any machine."""
    monkeypatch.setattr(module, "WORTH", 100)
    monkeypatch.setattr(beside, "cores", lambda: 2)


@pytest.fixture
def checks() -> Iterator[Signatures]:
    with Signatures() as made:
        yield made


def pid_of(checks: Signatures) -> int:
    assert checks._process is not None
    return checks._process.pid


@pytest.mark.parametrize("count", [0, 1, 16, 17, 99])
def test_few_are_checked_here(checks: Signatures, signed: list[tuple[bytes, bytes]], count: int) -> None:
    checks.expect(count)
    assert not checks.is_beside
    assert checks.begin(SIGNER.public, signed[:count])() == [number % 3 != 0 for number in range(count)]


@pytest.mark.usefixtures("many")
class TestBeside:
    def test_results_are_those_of_this_process(
        self, checks: Signatures, signed: list[tuple[bytes, bytes]], expected: list[bool]
    ) -> None:
        checks.expect(COUNT)
        assert checks.is_beside
        first, second = checks.begin(SIGNER.public, signed), checks.begin(SIGNER.public, signed[:5])
        assert checks.begin(SIGNER.public, [])() == []
        # In whatever order they are asked for, and as often.
        assert (second(), first(), second()) == (expected[:5], expected, expected[:5])

    def test_the_other_process_checks_what_it_was_asked(
        self,
        checks: Signatures,
        signed: list[tuple[bytes, bytes]],
        expected: list[bool],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        checks.expect(COUNT)
        results = checks.begin(SIGNER.public, signed)
        # Now nothing can be checked here.
        monkeypatch.setattr(module._Parcel, "check", lambda _: pytest.fail("it was checked here"))
        for _ in range(COUNT):
            if not checks._asked and not checks._waiting:
                break
            assert checks._take(60)
            checks._exchange()
        assert results() == expected

    def test_a_key_that_is_none_fits_nothing_and_ends_nothing(
        self, checks: Signatures, signed: list[tuple[bytes, bytes]], expected: list[bool]
    ) -> None:
        checks.expect(COUNT)
        for key in (b"", b"\x05" * 33, b"\x02" + b"\xff" * 32):
            with pytest.raises(IntegrityError):
                checks.begin(key, signed)
        assert checks.begin(SIGNER.public, signed)() == expected

    def test_where_no_process_is_left_all_is_checked_here(
        self,
        checks: Signatures,
        signed: list[tuple[bytes, bytes]],
        expected: list[bool],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def fails(*_: object, **__: object) -> subprocess.Popen[bytes]:
            raise BlockingIOError("no process is left")

        monkeypatch.setattr(beside, "start", fails)
        checks.expect(COUNT)
        assert not checks.is_beside
        assert checks.begin(SIGNER.public, signed)() == expected

    @pytest.mark.parametrize(
        "program",
        [
            "pass",
            "import os, sys; sys.stdin.buffer.read(200); os._exit(1)",
            "import sys; sys.stdin.buffer.read(37); sys.stdout.buffer.write(b'\\1' * 100 + b'\\2' * 28)",
            "import sys; sys.stdin.buffer.read(37); sys.stdout.buffer.write(b'\\0' * 50)",
            "import time; time.sleep(600)",
        ],
    )
    def test_what_one_does_not_answer_is_checked_here(
        self,
        checks: Signatures,
        signed: list[tuple[bytes, bytes]],
        expected: list[bool],
        monkeypatch: pytest.MonkeyPatch,
        program: str,
    ) -> None:
        monkeypatch.setattr(module, "_COMMAND", ("-c", program))
        monkeypatch.setattr(module, "_PATIENCE", 0.5)
        checks.expect(COUNT)
        pid = pid_of(checks)
        assert checks.begin(SIGNER.public, signed)() == expected
        assert not checks.is_beside
        assert not is_running(pid)
        # None is started again.
        checks.expect(COUNT)
        assert not checks.is_beside
        assert checks.begin(SIGNER.public, signed[:40])() == expected[:40]

    @pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="this system has pipes of one size")
    def test_one_that_hangs_behind_a_small_pipe_keeps_nobody_waiting(
        self,
        checks: Signatures,
        signed: list[tuple[bytes, bytes]],
        expected: list[bool],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(module, "_COMMAND", ("-c", "import time; time.sleep(600)"))
        monkeypatch.setattr(module, "_PATIENCE", 0.5)
        checks.expect(COUNT)
        process = checks._process
        assert process is not None
        assert process.stdin is not None
        fcntl.fcntl(process.stdin, fcntl.F_SETPIPE_SZ, 4096)
        assert checks.begin(SIGNER.public, signed)() == expected
        assert not checks.is_beside

    @pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="this system has pipes of one size")
    def test_a_small_pipe_takes_all_questions(
        self, checks: Signatures, signed: list[tuple[bytes, bytes]], expected: list[bool]
    ) -> None:
        checks.expect(COUNT)
        process = checks._process
        assert process is not None
        assert process.stdin is not None
        fcntl.fcntl(process.stdin, fcntl.F_SETPIPE_SZ, 4096)
        assert checks.begin(SIGNER.public, signed)() == expected
        assert checks.is_beside

    def test_one_that_says_more_than_it_was_asked_is_ended(
        self,
        checks: Signatures,
        signed: list[tuple[bytes, bytes]],
        expected: list[bool],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        program = "import sys; sys.stdin.buffer.read(37); sys.stdout.buffer.write(b'\\0' * 5000)"
        monkeypatch.setattr(module, "_COMMAND", ("-c", program))
        checks.expect(COUNT)
        results = checks.begin(SIGNER.public, signed)
        wait_for(lambda: checks._take(0.1) or not checks.is_beside)
        assert not checks.is_beside
        # What it said before isn't told from an answer: it is this machine's own program, and not a stranger.
        assert len(results()) == len(expected)

    def test_one_of_another_version_answers_nothing(
        self,
        checks: Signatures,
        signed: list[tuple[bytes, bytes]],
        expected: list[bool],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(module, "VERSION", "0.0.0")
        checks.expect(COUNT)
        results = checks.begin(SIGNER.public, signed)
        wait_for(lambda: checks._take(0.1) or not checks.is_beside)
        assert not checks.is_beside
        assert results() == expected

    def test_it_ends_with_the_checks(self, signed: list[tuple[bytes, bytes]]) -> None:
        with Signatures() as checks:
            checks.expect(COUNT)
            pid = pid_of(checks)
            checks.begin(SIGNER.public, signed)
            assert is_running(pid)
        assert not is_running(pid)
        assert not checks.is_beside

    @pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs Linux's /proc")
    def test_it_gets_no_secret_no_file_and_little_room(
        self, checks: Signatures, signed: list[tuple[bytes, bytes]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", "/run/secret")
        with open(__file__, "rb"):
            checks.expect(COUNT)
            checks.begin(SIGNER.public, signed)
            assert checks._take(60)
            place = Path("/proc", str(pid_of(checks)))
            environment, command = (place / "environ").read_text(), (place / "cmdline").read_text()
            limits = dict(line.split("  ", 1) for line in (place / "limits").read_text().splitlines())
            opened = {str(one.readlink()).partition(":")[0] for one in (place / "fd").iterdir()}
        assert {one.partition("=")[0] for one in environment.split("\0") if one} <= {*beside.KEPT, beside.LINE}
        assert command.split("\0")[-3:-1] == [str(Path(panachain.__file__).parents[1]), panachain.__version__]
        assert limits["Max file size"].split()[:2] == limits["Max core file size"].split()[:2] == ["0", "0"]
        assert limits["Max address space"].split()[0] == str(1 << 30)
        assert opened <= {"pipe", "/dev/null"}

    def test_none_is_left_of_a_program_that_is_killed(self) -> None:
        program = (
            "import sys; from panachain import beside; from panachain.crypto import signatures as s;"
            "beside.cores = lambda: 2; one = s.Signatures(); one.expect(5000);"
            "print(one._process.pid, flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as killed:
            assert killed.stdout is not None
            pid = int(killed.stdout.readline())
            killed.kill()
        wait_for(lambda: not is_running(pid))
