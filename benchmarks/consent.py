"""Consent: what a grant, an inbox, a revocation, a round trip and a proxy cost, beside Umbral without lanes.

    ./pana bench consent [--records 10000] [--capsules 500] [--large 100000] [--rounds 5] [--grants 15]
                         [--signed 100] [--notices 10000] [--users 1 …] [--sizes BYTES …] [--proxy-rounds 2]
                         [--plot FILE] [--quick]

Prints figures and ratios, and fails nothing. `--plot` draws SeSPHR's four axes (docs/sesphr.svg).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import _consent_keys
import _consent_world
import _proxy
import _sesphr
from _running import running
from records import world

QUICK: Final[dict[str, Any]] = {
    "records": 24,
    "capsules": 3,
    "large": 30,
    "rounds": 1,
    "grants": 1,
    "signed": 2,
    "notices": 20,
    "users": [1, 10],
    "sizes": [50_000, 2_000_000],
    "proxy_rounds": 0,
}
"""What `--quick` measures of each, in place of all that was given."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--records", type=int, default=10_000)
    options.add_argument("--capsules", type=int, default=500, help="capsules of the peer that are timed")
    options.add_argument("--large", type=int, default=100_000, help="records of the patient who has many")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--grants", type=int, default=15, help="grants of each patient through the SDK")
    options.add_argument("--signed", type=int, default=100, help="grants in keys alone")
    options.add_argument("--notices", type=int, default=10_000)
    options.add_argument("--users", type=int, nargs="+", default=_sesphr.USERS)
    options.add_argument("--sizes", type=int, nargs="+", default=_sesphr.SIZES, help="bytes")
    options.add_argument("--proxy-rounds", type=int, default=2, help="0 leaves the proxy's rows out")
    options.add_argument("--plot", type=Path, help="SVG file to write")
    options.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    given = options.parse_args(arguments)
    if given.quick:
        vars(given).update(QUICK)
    _consent_keys.readable(given.records, given.capsules, given.rounds)
    _consent_keys.owner(given.signed)
    _consent_keys.inbox(given.notices, given.capsules)
    if given.proxy_rounds:
        # Before `world`, which makes key stores cheap: proxies, which are programs of their own, refuse such ones.
        proxies(given.proxy_rounds)
    with tempfile.TemporaryDirectory(dir=os.environ.get("PANA_BENCH_FOLDER")) as place:
        folder = Path(place)
        with world(folder) as (network, registrar):
            _sesphr.axes(
                network,
                registrar,
                folder / "sesphr",
                users=given.users,
                sizes=given.sizes,
                rounds=given.rounds,
                plot=given.plot,
            )
            _consent_world.cost(network, registrar, given.large, given.grants)
            # Last: it changes how the mainchain is mined.
            _consent_world.revoking(network, registrar, given.rounds)


def proxies(rounds: int) -> None:
    """Print the rows of a proxy under load and of openings with a proxy in trouble, on a devnet of their own."""
    folder = os.environ.get("PANA_BENCH_FOLDER")
    with tempfile.TemporaryDirectory(dir=folder) as place, _proxy.granted(Path(place)) as bench:
        _proxy.throughput(bench, rounds)
        _proxy.openings(bench, 3 * rounds)
    print()


if __name__ == "__main__":
    with running():
        main()
