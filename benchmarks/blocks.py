"""How long upload, grant, opening and revocation take on blocks of two seconds, against a chain that mines at once.

    ./pana bench blocks [--records N] [--period SECONDS] [--both] [--rounds N] [--quick]

A development network runs each step twice: first its chain makes a block of each transaction at once, then blocks at
intervals only, as chains of others do; whoever grants waits for the confirmation that proxies ask for. The minimum is
one block for each transaction that depends on the one before, and one for the confirmation. `--both` lets the sidechain
make blocks at intervals, too. Timings never fail anything.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from _running import running

from panachain.chain import anvil
from panachain.chain.rpc import Rpc
from panachain.config import Config
from panachain.devnet import Devnet
from panachain.devnet.processes import read
from panachain.model.actors import Role
from panachain.records.samples import sample_dicom
from panachain.sdk import Network, open_actor
from panachain.sdk.profiles import create_profile, load_profile

PASSPHRASE: Final = secrets.token_hex(16)
ROLES: Final = {"hospital": Role.HOSPITAL, "patient": Role.PATIENT, "clinician": Role.PRACTITIONER}
BLOCKS: Final = {"upload": 1, "grant": 2, "open": 0, "revoke": 1}
"""Blocks that each step needs one after the other."""
GOAL, MOST_BLOCKS = 1.3, 2
"""Waiting against the minimum; blocks of each step beside its time on a chain that mines at once."""


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=384)
    parser.add_argument("--period", type=int, default=2, help="seconds between two blocks")
    parser.add_argument("--both", action="store_true", help="the sidechain makes blocks at intervals, too")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    options = parser.parse_args()
    if options.quick:
        options.records, options.period = 4, 1
    with tempfile.TemporaryDirectory(prefix="panachain-blocks-") as folder, world(Path(folder)) as (network, actors):
        at_once = [steps(network, actors, Path(folder), options.records, n) for n in range(options.rounds)]
        _at_intervals(network, options.period, both=options.both)
        slowly = [steps(network, actors, Path(folder), options.records, n + 100) for n in range(options.rounds)]
    _report(_medians(at_once), _medians(slowly), options.period)


@contextmanager
def world(folder: Path) -> Iterator[tuple[Network, dict[str, Any]]]:
    """Run a development network with a hospital, a patient and a practitioner."""
    home = folder / "home"
    Devnet.up(home, passphrase=PASSPHRASE)
    try:
        with Network.open(Config.load({"home": str(home)}, {})) as network:
            actors: dict[str, Any] = {}
            for name, role in ROLES.items():
                create_profile(home, name, role, PASSPHRASE)
                actors[name] = open_actor(network, load_profile(home, name), PASSPHRASE)
                actors[name].register()
            actors["patient"].pair("hospital")
            yield network, actors
    finally:
        Devnet.down(home)


def steps(network: Network, actors: dict[str, Any], folder: Path, records: int, number: int) -> dict[str, float]:
    """Do the four steps, and return the seconds of each."""
    source = folder / f"source-{number}"
    source.mkdir()
    for place in range(records):
        (source / f"{place}.dcm").write_bytes(sample_dicom(number * records + place + 1))
    found: dict[str, float] = {}
    report = _timed(found, "upload", lambda: actors["hospital"].upload([source], "patient"))
    until = network.mainchain.head_block().time + 86_400
    policy = _timed(found, "grant", lambda: actors["patient"].grant("clinician", ["all"], until=until))
    opened = _timed(found, "open", lambda: len(list(actors["clinician"].open(policy.policy_id))))
    _timed(found, "revoke", lambda: actors["patient"].revoke(policy.policy_id))
    if opened < len(report.records):
        raise RuntimeError(f"{opened} records were opened, {len(report.records)} were published just now")
    return found


def _at_intervals(network: Network, period: int, *, both: bool) -> None:
    side = Rpc(read(network.home / "devnet" / "processes.json")["sidechainUrl"])
    for rpc in [network.mainchain.rpc, *([side] if both else [])]:
        anvil.mine_at_once(rpc, False)
        anvil.mine_every(rpc, period)
    side.close()
    # Nobody asks this chain for a block from now on.
    network.faucet = False


def _timed(found: dict[str, float], name: str, do: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    result = do()
    found[name] = time.perf_counter() - started
    return result


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in rounds) for name in BLOCKS}


def _report(at_once: dict[str, float], slowly: dict[str, float], period: int) -> None:
    print(f"{'step':8} {'at once':>8} {'blocks':>8} {'waiting':>8} {'in blocks':>10}  goal <= {MOST_BLOCKS} blocks")
    for name in BLOCKS:
        waiting = slowly[name] - at_once[name]
        print(f"{name:8} {at_once[name]:7.2f}s {slowly[name]:7.2f}s {waiting:7.2f}s {waiting / period:10.2f}")
    waited, least = sum(slowly.values()) - sum(at_once.values()), sum(BLOCKS.values()) * period
    print(f"story: {waited:.2f} s of waiting, {least} s at least: {waited / least:.2f} x (goal <= {GOAL} x)")


if __name__ == "__main__":
    with running():
        main()
