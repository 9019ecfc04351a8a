"""Local chains: which program is started, how, and that only what we started is ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.chain import anvil
from panachain.chain.rpc import Rpc
from panachain.errors import ChainUnavailableError, ConfigurationError, PanaChainError


def program(path: Path, text: str = "exit 0") -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


class TestFind:
    def test_the_one_that_is_named_comes_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PANACHAIN_ANVIL", str(program(tmp_path / "mine")))
        assert anvil.find_anvil() == tmp_path / "mine"

    def test_one_that_can_not_be_run_is_passed_over(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "mine").touch()
        program(tmp_path / "anvil")
        monkeypatch.setenv("PANACHAIN_ANVIL", str(tmp_path / "mine"))
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(anvil.platform, "machine", lambda: "vax")
        assert anvil.find_anvil() == tmp_path / "anvil"

    def test_none_says_how_to_get_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PANACHAIN_ANVIL", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        monkeypatch.setattr(anvil.platform, "machine", lambda: "vax")
        with pytest.raises(ConfigurationError, match="no anvil program was found") as caught:
            anvil.find_anvil()
        assert "PANACHAIN_ANVIL" in caught.value.hint
        assert "panachain devnet install" in caught.value.hint

    def test_the_installed_one_comes_last(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PANACHAIN_ANVIL", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        monkeypatch.setattr(anvil.platform, "machine", lambda: "vax")
        anvil.installed_anvil().parent.mkdir(parents=True)
        program(anvil.installed_anvil())
        assert anvil.find_anvil() == anvil.installed_anvil()
        program(tmp_path / "anvil")
        assert anvil.find_anvil() == tmp_path / "anvil"


class TestStart:
    @pytest.mark.parametrize("free", [True, False])
    def test_stays_on_loopback_and_has_no_known_accounts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: bool
    ) -> None:
        listing = tmp_path / "told"
        made = program(tmp_path / "anvil", f'echo "$@" > {listing}; echo "$ANVIL_IP_ADDR" >> {listing}; sleep 60')
        monkeypatch.setenv("PANACHAIN_ANVIL", str(made))
        monkeypatch.setenv("ANVIL_IP_ADDR", "0.0.0.0")
        monkeypatch.setattr(anvil, "answers", lambda *_: listing.exists() and listing.read_text().count("\n") == 2)
        chain = anvil.start(tmp_path / "chain", chain_id=5, free=free)
        try:
            told, address = listing.read_text().splitlines()
            assert "--host 127.0.0.1 --no-cors" in told
            assert "--accounts 0" in told
            assert f"--port {chain.port} --chain-id 5" in told
            assert ("--gas-price 0" in told) is free
            assert address == ""
            assert (tmp_path / "chain").stat().st_mode & 0o077 == 0
        finally:
            # The shell and what it waits for.
            os.killpg(chain.pid, signal.SIGTERM)
            os.waitpid(chain.pid, 0)

    def test_one_that_ends_at_once_is_told_with_its_log(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PANACHAIN_ANVIL", str(program(tmp_path / "anvil", "echo no such option; exit 2")))
        with pytest.raises(ChainUnavailableError, match=r"anvil\.log"):
            anvil.start(tmp_path / "chain", chain_id=5, free=False)
        assert (tmp_path / "chain" / "anvil.log").read_text() == "no such option\n"


class TestStop:
    def test_ends_what_runs_and_is_content_with_what_is_gone(self) -> None:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        assert anvil.is_running(process.pid)
        anvil.stop(process.pid)
        assert not anvil.is_running(process.pid)
        anvil.stop(process.pid)

    def test_what_will_not_end_is_never_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sent: list[tuple[int, int]] = []
        monkeypatch.setattr(anvil, "_STOP_TIMEOUT", 0.0)
        monkeypatch.setattr(anvil.os, "kill", lambda *given: sent.append(given))
        with pytest.raises(PanaChainError, match="process 7 didn't end"):
            anvil.stop(7)
        assert sent == [(7, signal.SIGTERM)]


class TestRunning:
    def test_what_ended_and_nobody_looked_after_is_not_running(self) -> None:
        # A child of a child that its own parent doesn't reap: it stays as a zombie.
        script = "import subprocess, time; it = subprocess.Popen(['true']); print(it.pid, flush=True); time.sleep(600)"
        parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        try:
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
            # The test's own limit ends it.
            while anvil.is_running(child):
                time.sleep(0.01)
            os.kill(child, 0)
            assert anvil.is_running(parent.pid)
        finally:
            parent.kill()
            parent.communicate()

    def test_of_others_is_running_where_there_is_no_proc(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(*_: Any) -> str:
            raise FileNotFoundError

        monkeypatch.setattr(anvil.Path, "read_text", missing)
        assert anvil.is_running(os.getppid())


def test_the_checkouts_own_program_is_found_from_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = tmp_path / "tools/node_modules/@foundry-rs" / f"anvil-{sys.platform}-{anvil.machine()}" / "bin"
    packaged.mkdir(parents=True)
    made = program(packaged / "anvil", "exit 0")
    monkeypatch.setattr(anvil, "__file__", str(tmp_path / "panachain/chain/anvil.py"))
    monkeypatch.delenv("PANACHAIN_ANVIL", raising=False)
    assert anvil.find_anvil() == made


class TestAnswers:
    @pytest.mark.parametrize(
        ("answer", "fits"),
        [({"result": "0x5"}, True), ({"result": "0x6"}, False), ({}, False), ([], False), ({"result": None}, False)],
    )
    def test_only_a_chain_of_this_id(self, monkeypatch: pytest.MonkeyPatch, answer: Any, fits: bool) -> None:
        answered = {"id": 1, **answer} if isinstance(answer, dict) else answer
        monkeypatch.setattr(Rpc, "exchange", lambda *_: answered)
        assert anvil.answers("http://127.0.0.1:1", 5) is fits

    def test_a_port_is_one_that_can_be_listened_on(self) -> None:
        for _ in range(3):
            with socket.create_server(("127.0.0.1", anvil.free_port())) as server:
                assert server.getsockname()[1] > 1023

    def test_nobody_is_no_chain(self) -> None:
        assert not anvil.answers(f"http://127.0.0.1:{anvil.free_port()}", 5)


def test_what_only_a_development_chain_does() -> None:
    asked: list[tuple[str, Sequence[Any]]] = []

    def call(method: str, params: Sequence[Any] = ()) -> Any:
        asked.append((method, params))
        return {"pending": "0x2"}

    rpc: Any = SimpleNamespace(call=call)
    anvil.mine(rpc)
    anvil.mine(rpc, at=99)
    anvil.mine_many(rpc, 20)
    anvil.mine_every(rpc, 0)
    anvil.mine_at_once(rpc, False)
    anvil.fund(rpc, "0x11", 2)
    assert anvil.waiting(rpc) == 2
    assert asked == [
        ("evm_mine", []),
        ("evm_mine", [99]),
        ("anvil_mine", ["0x14", "0x0"]),
        ("evm_setIntervalMining", [0]),
        ("evm_setAutomine", [False]),
        ("anvil_setBalance", ["0x11", hex(2 * 10**18)]),
        ("evm_mine", []),
        ("txpool_status", ()),
    ]
