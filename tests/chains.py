"""Chains with blocks at intervals, of node software that nobody here wrote, and the development network on them.

They stand in the place of the development network's own Anvil: what is above them doesn't know.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pytest

from panachain.chain import anvil, node
from panachain.chain.anvil import ChainProcess, find_anvil, free_port
from panachain.chain.evm import Sender
from panachain.chain.rpc import Rpc
from panachain.chain.signing import Account
from panachain.private_files import make_private_folder

ROOT: Final = Path(__file__).resolve().parents[1]
PERIOD: Final = 2
"""Seconds between two blocks."""
_START: Final = 90.0
"""Seconds that a program gets to answer, on a busy machine."""
_RICH: Final = bytes.fromhex("b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291")
"""geth's public key of the account that `--dev` gives everything to: worth nothing elsewhere."""
_LATER: Final = ("osakaTime", "bogotaTime", "amsterdamTime")
"""Forks after the one that contracts are compiled for."""
Start = Callable[..., ChainProcess]
"""Starts a chain in a folder; takes what `anvil.start` takes."""


def hardhat(folder: Path, *, chain_id: int, free: bool = False) -> ChainProcess:
    """Start Hardhat 2 with blocks at intervals, empty ones too; it forgets everything when it ends."""
    program = ROOT / "tools/hardhat/node_modules/hardhat/internal/cli/cli.js"
    if not program.is_file():
        pytest.skip("no Hardhat: ./pana test --deep installs it")
    assert not free
    port = free_port()
    command = ["node", str(program), "node", "--hostname", "127.0.0.1", "--port", str(port)]
    settings = {
        "PANACHAIN_PERIOD_MS": str(PERIOD * 1000),
        "PANACHAIN_CHAIN_ID": str(chain_id),
        "PANACHAIN_FORK": "prague",
        "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true",
        # What it keeps of its users lies with the test.
        **dict.fromkeys(("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), str(folder / "home")),
    }
    return started(command, folder, port, chain_id, cwd=ROOT / "tools/hardhat", more=settings)


def anvil_at_intervals(folder: Path, *, chain_id: int, free: bool = False) -> ChainProcess:
    """Start Anvil with blocks at intervals only, where `anvil.start` mines each transaction at once."""
    port = free_port()
    command = [
        str(find_anvil()),
        *("--host", "127.0.0.1", "--no-cors", "--port", str(port), "--chain-id", str(chain_id)),
        *("--hardfork", anvil.HARDFORK, "--accounts", "0", "--block-time", str(PERIOD)),
        *(("--base-fee", "0", "--gas-price", "0", "--disable-min-priority-fee") if free else ()),
    ]
    return started(command, folder, port, chain_id)


def find_geth() -> str:
    """Return the program, or skip where nobody built it."""
    program = Path(os.environ.get("PANACHAIN_GETH") or ROOT / ".cache/geth/geth")
    if not program.is_file():
        pytest.skip("no geth program: scripts/build_geth.sh builds one")
    return str(program)


def write_genesis(path: Path, chain_id: int, *, newest: bool) -> None:
    """Write the beginning of a chain like geth's development chain, whose ID no flag changes.

    Args:
        path: the file.
        chain_id: its ID.
        newest: with every fork that geth knows, or with those alone that contracts need.
    """
    command = [find_geth(), "--dev", "dumpgenesis"]
    made = json.loads(subprocess.run(command, capture_output=True, timeout=60, check=True).stdout)
    for fork in () if newest else _LATER:
        made["config"].pop(fork, None)
    made["config"]["chainId"] = chain_id
    made["gasLimit"] = hex(60_000_000)
    made["alloc"][Account(_RICH).address[2:]] = {"balance": hex(10**9 * 10**18)}
    path.write_text(json.dumps(made))


def geth(folder: Path, *, chain_id: int, free: bool = False) -> ChainProcess:
    """Start geth with its development sealer and blocks at intervals."""
    program = find_geth()
    assert not free
    port = free_port()
    make_private_folder(folder)
    if not (folder / "data").exists():
        write_genesis(folder / "genesis.json", chain_id, newest=True)
        initialise(folder)
    command = [
        program,
        *("--dev", "--dev.period", str(PERIOD), "--dev.gaslimit", "60000000"),
        *("--datadir", str(folder / "data"), "--networkid", str(chain_id)),
        *("--http", "--http.addr", "127.0.0.1", "--http.port", str(port), "--http.api", "eth,net,web3,txpool"),
        *("--authrpc.port", str(free_port()), "--port", "0", "--nodiscover", "--maxpeers", "0", "--ipcdisable"),
    ]
    return started(command, folder, port, chain_id)


def initialise(folder: Path) -> None:
    """Let geth begin a chain in a folder, by the genesis that lies there."""
    # By hash, so that the state of each block is on the disk when a test kills the node.
    command = [find_geth(), "--state.scheme", "hash", "--datadir", str(folder / "data"), "init"]
    command.append(str(folder / "genesis.json"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def started(
    command: list[str],
    folder: Path,
    port: int,
    chain_id: int,
    *,
    cwd: Path | None = None,
    more: dict[str, str] | None = None,
) -> ChainProcess:
    """Start a program that is a chain's node, and wait until it answers."""
    make_private_folder(folder)
    with (folder / "chain.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=os.environ | (more or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    chain = ChainProcess(process.pid, port)
    until = time.monotonic() + _START
    try:
        while time.monotonic() < until and process.poll() is None:
            if anvil.answers(chain.url, chain_id):
                return chain
            time.sleep(0.1)
    except BaseException:
        anvil.stop(process.pid)
        raise
    anvil.stop(process.pid)
    raise AssertionError((folder / "chain.log").read_text()[-2000:])


def next_block(rpc: Rpc, *, at: int | None = None) -> None:
    """Wait for the chain's next block, where `anvil.mine` would make one."""
    before = node.block_number(rpc)
    # Every test has a limit of its own.
    while node.block_number(rpc) == before:
        time.sleep(0.1)


def give(rpc: Rpc, account: str, ether: int = 1000) -> None:
    """Set a balance, as Anvil and Hardhat can; the block that covers it comes by itself."""
    rpc.call("hardhat_setBalance", [account, hex(ether * 10**18)])
    next_block(rpc)


class Giver:
    """Gives from geth's rich account, since geth sets no balance."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, rpc: Rpc, account: str, ether: int = 1000) -> None:
        chain_id = node.chain_id(rpc)

        class Paying(Sender):
            def _sign(self, transaction: Any) -> tuple[str, str]:
                return super()._sign({**transaction, "value": ether * 10**18})

        Paying(rpc, chain_id, Account(_RICH), lock_folder=self._folder).send(account, "0x", what="a gift")


@contextmanager
def chains_of(main: Start, side: Start, *, fund: Callable[..., None] = give) -> Iterator[None]:
    """Let development networks start these chains, and end those that still run at the end."""
    with ExitStack() as stack:
        real = anvil.start

        def start(folder: Path, *, chain_id: int, free: bool) -> ChainProcess:
            chosen = side if folder.name == "sidechain" else main
            chain = (real if chosen is anvil.start else chosen)(folder, chain_id=chain_id, free=free)
            stack.callback(anvil.stop, chain.pid)
            return chain

        stack.enter_context(patch.object(anvil, "start", start))
        stack.enter_context(patch("panachain.chain.anvil.fund", fund))
        stack.enter_context(patch("panachain.chain.anvil.mine", next_block))
        yield
