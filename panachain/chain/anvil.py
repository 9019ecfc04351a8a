"""Local development chains: Anvil processes on loopback, with their state on disk.

Never binds beyond loopback, never lets a web page in (`--no-cors`), and never uses the well-known development
mnemonic: an Anvil started here has no accounts of its own.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panachain.beside import environment_of_others
from panachain.chain.rpc import Rpc
from panachain.errors import ChainUnavailableError, ConfigurationError, PanaChainError
from panachain.private_files import make_private_folder, open_private

_START_TIMEOUT: Final = 20.0
"""Seconds."""
_STOP_TIMEOUT: Final = 20.0
"""Seconds that a process gets to write its state."""
_IDLE_BLOCK: Final = 5
"""Seconds between blocks when nothing happens, so that the head stays fresh; a transaction is mined at once."""
HARDFORK: Final = "prague"


@dataclass(frozen=True)
class ChainProcess:
    """A running chain."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        """Where its RPC answers."""
        return f"http://127.0.0.1:{self.port}"


def find_anvil() -> Path:
    """Return the native anvil program: the one that is named, the checkout's, the path's, or the installed one.

    Raises:
        ConfigurationError: there is none.
    """
    given = os.environ.get("PANACHAIN_ANVIL")
    # The platform's package, not npm's launcher: the launcher always exits 0.
    packaged = (
        Path(__file__).resolve().parents[2]
        / "tools/node_modules/@foundry-rs"
        / f"anvil-{platform.system().lower()}-{machine()}"
        / "bin/anvil"
    )
    on_path = shutil.which("anvil")
    for candidate in (Path(given) if given else None, packaged, Path(on_path) if on_path else None, installed_anvil()):
        if candidate is not None and candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise ConfigurationError(
        "no anvil program was found",
        hint="panachain devnet install fetches one from npm; or put one on the path, or name it in PANACHAIN_ANVIL",
    )


def machine() -> str:
    """Return what npm's packages call this machine's processor."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def installed_anvil() -> Path:
    """Return where `panachain devnet install` puts the program, for all homes of a user."""
    import platformdirs

    return platformdirs.user_data_path("panachain", appauthor=False) / "tools" / "anvil"


def free_port() -> int:
    """Return a port of loopback that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, *, chain_id: int, free: bool) -> ChainProcess:
    """Start a chain whose state lies in `folder`, and wait until it answers.

    Args:
        folder: holds state.json and the log.
        chain_id: of the chain.
        free: take no gas price (the sidechain).

    Raises:
        ChainUnavailableError: it doesn't answer in time; its log is named.
    """
    make_private_folder(folder)
    port = free_port()
    command = [
        str(find_anvil()),
        *("--host", "127.0.0.1", "--no-cors", "--port", str(port)),
        *("--chain-id", str(chain_id), "--hardfork", HARDFORK, "--accounts", "0"),
        *("--mixed-mining", "--block-time", str(_IDLE_BLOCK)),
        *("--state", str(folder / "state.json"), "--state-interval", "10", "--preserve-historical-states"),
        *(("--base-fee", "0", "--gas-price", "0", "--disable-min-priority-fee") if free else ()),
    ]
    environment = {name: value for name, value in environment_of_others().items() if name != "ANVIL_IP_ADDR"}
    log_path = folder / "anvil.log"
    with open(open_private(log_path, os.O_WRONLY | os.O_APPEND), "ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    chain = ChainProcess(process.pid, port)
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        if answers(chain.url, chain_id):
            return chain
        time.sleep(0.05)
    stop(process.pid)
    raise ChainUnavailableError(f"anvil didn't answer within {_START_TIMEOUT:.0f} s; its log is {log_path}")


def answers(url: str, chain_id: int) -> bool:
    """Tell whether a chain with this ID answers at `url`."""
    from panachain.chain.rpc import Rpc, RpcAnswerError

    # One attempt: who starts a chain asks again and again.
    rpc = Rpc(url, timeout=2, sleep=lambda _: None)
    try:
        return int(rpc.call("eth_chainId"), 16) == chain_id
    except (ChainUnavailableError, RpcAnswerError, ValueError, TypeError):
        return False
    finally:
        rpc.close()


def stop(pid: int) -> None:
    """End a process that this program started, by its own ID, and wait until it is gone.

    Raises:
        PanaChainError: it is still there; it was not killed, because it may be writing its state.
    """
    deadline = time.monotonic() + _STOP_TIMEOUT
    try:
        os.kill(pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            if not is_running(pid):
                return
            time.sleep(0.02)
    except ProcessLookupError:
        return
    raise PanaChainError(f"process {pid} didn't end within {_STOP_TIMEOUT:.0f} s")


def is_running(pid: int) -> bool:
    """Tell whether the process exists and isn't a zombie; reaps it when it is our own child."""
    try:
        reaped, _ = os.waitpid(pid, os.WNOHANG)
        return reaped == 0
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        # No /proc (macOS): the signal said that it exists.
        return True


def mine(rpc: Rpc, *, at: int | None = None) -> None:
    """Let a local development chain make a block now.

    Args:
        rpc: its node.
        at: the block's time, Unix seconds; None takes the clock's.
    """
    rpc.call("evm_mine", [] if at is None else [at])


def mine_many(rpc: Rpc, count: int) -> None:
    """Let a local development chain make blocks now, all of one time."""
    rpc.call("anvil_mine", [hex(count), "0x0"])


def mine_every(rpc: Rpc, seconds: int) -> None:
    """Let a local development chain make blocks at intervals; 0 makes none by itself."""
    rpc.call("evm_setIntervalMining", [seconds])


def mine_at_once(rpc: Rpc, on: bool) -> None:
    """Say whether a local development chain makes a block of each transaction as it comes."""
    rpc.call("evm_setAutomine", [on])


def waiting(rpc: Rpc) -> int:
    """Return how many transactions wait to be mined on a local development chain."""
    return int(rpc.call("txpool_status")["pending"], 16)


def fund(rpc: Rpc, account: str, ether: int = 1000) -> None:
    """Give an account ether on a local development chain, in a block: what no header covers, no proof fits."""
    rpc.call("anvil_setBalance", [account, hex(ether * 10**18)])
    mine(rpc)
