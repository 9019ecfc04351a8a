"""The devnet's processes: started here, awaited, and ended by their own process IDs.

Never ends a process that isn't the devnet's: an ID may have been given anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from panachain.chain import anvil, node
from panachain.chain.config import ChainConfig
from panachain.errors import (
    ChainUnavailableError,
    ConfigurationError,
    NodeRefusedError,
    PanaChainError,
)
from panachain.private_files import open_private

WAIT: Final = 30.0
"""Seconds that a proxy or the gate gets to answer after its start."""


def read(path: Path) -> dict[str, Any]:
    """Return what a file of the devnet holds.

    Raises:
        ConfigurationError: it isn't there, or is damaged.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        return content
    except FileNotFoundError:
        raise ConfigurationError("there is no devnet in this home", hint="panachain devnet up") from None
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"{path} can't be read") from exc


def is_running(folder: Path) -> bool:
    """Tell whether the chains and the gate of a devnet run."""
    path = folder / "processes.json"
    if not path.is_file():
        return False
    state = read(path)
    return all(is_ours(state.get(part, 0), state) for part in ("mainchain", "sidechain", "gate"))


def begun(pid: int) -> str:
    """Return when a process began, in ticks since the machine did: with its ID that tells it from a later one.

    Empty where the system doesn't say (no /proc, as on macOS), and for one that is gone.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def is_ours(pid: int, state: dict[str, Any]) -> bool:
    """Tell whether the process runs and is the one that the devnet started: a process ID may have been given anew.

    Args:
        pid: the process.
        state: what processes.json holds: `begun` by PID. Without it, as in a file of an earlier version, the command
            line has to name what a devnet starts.
    """
    if pid <= 0 or not anvil.is_running(pid):
        return False
    if noted := state.get("begun", {}).get(str(pid)):
        return begun(pid) in (noted, "")
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True
    return b"anvil" in command or b"panachain" in command


def stop(folder: Path) -> None:
    """End what runs, those that use a chain before it."""
    path = folder / "processes.json"
    state = read(path)
    users = [
        *(proxy["pid"] for proxy in state["proxies"]),
        *(state[part] for part in ("relay", "gate") if part in state),
    ]
    for pid in [*users, state["mainchain"], state["sidechain"]]:
        if is_ours(pid, state):
            anvil.stop(pid)
    path.unlink()


def spawn(arguments: list[str], log_path: Path, variables: dict[str, str]) -> int:
    """Start `panachain` with these arguments in the background and return its PID."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PANACHAIN_PASSPHRASE_")}
    environment |= variables
    with open(open_private(log_path, os.O_WRONLY | os.O_APPEND), "ab") as log:
        process = subprocess.Popen(
            # -P: no module is taken from the folder that somebody happens to work in.
            [sys.executable, "-P", "-m", "panachain.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    return process.pid


def await_gate(
    home: Path,
    side: dict[str, Any],
    pid: int,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until the gate answers.

    Raises:
        PanaChainError: it ended, or took too long.
        NodeRefusedError: it answers, but doesn't know this home.
    """
    deadline = clock() + WAIT
    rpc = ChainConfig.parse(side, home, what="the section `sidechain`").rpc(timeout=5)
    try:
        while clock() < deadline and anvil.is_running(pid):
            try:
                node.chain_id(rpc)
            except NodeRefusedError:
                raise
            except ChainUnavailableError:
                # Not listening yet: that is what this loop waits for.
                sleep(0.05)
                continue
            return
    finally:
        rpc.close()
    raise PanaChainError(f"the sidechain's gate at {side['url']} wasn't ready within {WAIT:.0f} s")


def await_service(
    service: dict[str, Any],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until a proxy or a relay is ready.

    Args:
        service: its `pid` and `endpoint`.
        clock: seconds that only go forward.
        sleep: waits for some seconds.

    Raises:
        PanaChainError: it ended, or took too long.
    """
    from panachain.wire.client import Client, WireError
    from panachain.wire.transport import Bounds

    client = Client()
    deadline = clock() + WAIT
    try:
        while clock() < deadline and anvil.is_running(service["pid"]):
            # While it isn't listening, there is nothing to ask: that is what this loop waits for.
            with suppress(WireError):
                if client.get(f"{service['endpoint']}/readyz", bounds=Bounds(total=5), timeout=5).status == 200:
                    return
            sleep(0.05)
    finally:
        client.close()
    raise PanaChainError(f"the service at {service['endpoint']} wasn't ready within {WAIT:.0f} s")
