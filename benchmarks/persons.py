"""Whose record it is: what checking that takes of an upload, by format.

    ./pana bench persons [--rounds 5] [--quick]

On a devnet, whole uploads through the SDK, medians of wall time: reading each source again, fingerprints, and what is
kept. Synthea's Bundles where the folder of outside data is there, and made-up ones and messages. Fails nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from _measure import row
from _running import running
from records import PASSPHRASE, SYNTHEA, join, world

from panachain.model.actors import Role
from panachain.records.samples import sample_bundle, sample_dicom
from panachain.sdk import Hospital, open_actor
from panachain.sdk.kept_persons import KeptPersons
from panachain.sdk.profiles import load_profile

GOAL = 0.05
"""Part of an upload's time that the check may take."""
_MESSAGE = b"MSH|^~\\&|A|B|C|D|2024||ORU^R01|%d|P|2.5\rPID|1||77^^^H^MR||Aster^A||19700101\rOBX|1|NM|1^x||%d\r"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    given = options.parse_args(arguments)
    rounds = 1 if given.quick else given.rounds
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("PANA_BENCH_FOLDER")) as place,
        world(Path(place)) as (network, registrar),
    ):
        hospital = open_actor(network, load_profile(network.home, "hospital"), PASSPHRASE)
        assert isinstance(hospital, Hospital)
        for name, files in _kinds(Path(place)).items():
            whole, checks = [], []
            for number in range(rounds):
                patients = [join(network, registrar, f"{name}-{number}-{place}", Role.PATIENT) for place in files]
                assigned = [(path, one.address) for path, one in zip(files.values(), patients, strict=True)]
                with _timed() as taken:
                    started = time.perf_counter()
                    # From the second round on they are other patients' records, too: the check is the same.
                    hospital.upload_many(assigned, confirm_patient=True)
                    whole.append(time.perf_counter() - started)
                checks.append(sum(taken))
            part = statistics.median(check / all_ for check, all_ in zip(checks, whole, strict=True))
            figure = f"{statistics.median(checks) * 1000:.1f} ms of {statistics.median(whole):.2f} s"
            row(f"{name}, {_size(files):.1f} MB", figure, f"<= {GOAL:.0%}", part, at_least=False, bound=GOAL)


def _kinds(folder: Path) -> dict[str, dict[int, Path]]:
    """Return by kind the files of one upload, each for a patient of its own."""
    made: dict[str, list[bytes]] = {
        "bundles": [sample_bundle(1)],
        "images": [sample_dicom(1)],
        "messages": [b"".join(_MESSAGE % (number, number) for number in range(2000))],
    }
    found: dict[str, dict[int, Path]] = {}
    for name, contents in made.items():
        for number, content in enumerate(contents):
            path = folder / f"{name}-{number}"
            path.write_bytes(content)
            found.setdefault(name, {})[number] = path
    synthea = sorted(SYNTHEA.glob("synthea-*/*.json"))[:17]
    return {"synthea": dict(enumerate(synthea)), **found} if synthea else found


def _size(files: dict[int, Path]) -> float:
    return sum(path.stat().st_size for path in files.values()) / 1e6


@contextmanager
def _timed() -> Iterator[list[float]]:
    """Yield a list that gets the seconds of each call of the check."""
    taken: list[float] = []

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **more: Any) -> Any:
            started = time.perf_counter()
            try:
                return call(*args, **more)
            finally:
                taken.append(time.perf_counter() - started)

        return run

    with (
        patch.object(KeptPersons, "check", timed(KeptPersons.check)),
        patch.object(KeptPersons, "keep", timed(KeptPersons.keep)),
    ):
        yield taken


if __name__ == "__main__":
    with running():
        main()
