"""Many small records: publishing against restic and against one transaction a record, their size, and opening them.

    ./pana bench records [--rounds 3] [--naive 200] [--quick]

Prints figures and ratios, and fails nothing. restic signs nothing and anchors nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _locks
import _peers
from _measure import Run, in_turns, median, row, run
from _running import running

from panachain.agent import client
from panachain.chain import anvil
from panachain.config import Config
from panachain.devnet import REGISTRAR, Devnet
from panachain.model.actors import Role
from panachain.records.reading_start import most_processes
from panachain.sdk import Network, Practitioner, open_actor
from panachain.sdk.base import Registrar
from panachain.sdk.profiles import create_profile, load_profile, start_agent

ROOT = Path(__file__).resolve().parent.parent
SYNTHEA = ROOT.parent / "shared" / "data" / "fhir-r4"
SIZE = 4096
PASSPHRASE = "correct horse battery staple"  # noqa: S105


@dataclass(frozen=True)
class Amount:
    """How much is measured."""

    patients: int = 100
    resources: int = 100
    """Of each patient."""
    documents: int = 10_000
    synthea: int | None = None
    """Bundles of Synthea; None for all that are measured."""


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--naive", type=int, default=200, help="transactions of the naive way that are timed")
    options.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    given = options.parse_args()
    amount = Amount()
    if given.quick:
        given.rounds, given.naive = 1, 2
        amount = Amount(patients=2, resources=5, documents=20, synthea=1)
    with tempfile.TemporaryDirectory(dir=os.environ.get("PANA_BENCH_FOLDER")) as place:
        folder = Path(place)
        bundles(folder / "bundles", amount)
        with world(folder) as (network, registrar):
            publishing(network, registrar, folder, amount, given.rounds, given.naive)
            opening(network, registrar, folder, amount.documents)
            synthea(network, registrar, folder, amount.synthea, given.rounds)


@contextmanager
def world(folder: Path) -> Iterator[tuple[Network, Registrar]]:
    """Run a devnet with a hospital, patients who are paired with it, and a practitioner."""
    home, secret = folder / "home", folder / "passphrase"
    secret.write_text(PASSPHRASE)
    secret.chmod(0o600)
    # Nobody measures key stores of services and of the registrar, and making them takes longer than all the rest.
    _locks.make_least()
    Devnet.up(home, passphrase=PASSPHRASE)
    try:
        with (
            Network.open(Config.load({"home": str(home)}, {})) as network,
            Registrar(network, load_profile(home, REGISTRAR), PASSPHRASE) as registrar,
        ):
            _locks.make_usual()
            join(network, registrar, "hospital", Role.HOSPITAL)
            join(network, registrar, "clinician", Role.PRACTITIONER)
            # Patients' key stores aren't measured: a cheap lock lets hundreds of them join in seconds.
            _locks.make_cheap()
            yield network, registrar
    finally:
        Devnet.down(home)


@contextmanager
def agent(network: Network, name: str) -> Iterator[None]:
    """Keep a profile unlocked, as `panachain unlock` does: no key is made of a passphrase meanwhile."""
    if not client.is_possible():
        yield
        return
    start_agent(network.home, load_profile(network.home, name), PASSPHRASE, 3600)
    try:
        yield
    finally:
        client.lock(network.home, name)


def join(network: Network, registrar: Registrar, name: str, role: Role, *, hospital: str = "hospital") -> Any:
    """Make a profile, register it, and return it at work; a patient is paired with a hospital."""
    registrar.admit(create_profile(network.home, name, role, PASSPHRASE).actor)
    actor: Any = open_actor(network, load_profile(network.home, name), PASSPHRASE)
    if role is Role.PATIENT:
        actor.pair(hospital)
    return actor


def resource(number: int) -> dict[str, Any]:
    """Return an Observation of about 4 KiB, as different from the next one as real ones are."""
    chance = random.Random(number)
    made: dict[str, Any] = {
        "resourceType": "Observation",
        "id": f"{chance.getrandbits(128):032x}",
        "status": "final",
        "category": [{"coding": [{"code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": f"{chance.randrange(99999)}-1"}]},
        "effectiveDateTime": f"2024-{chance.randrange(1, 13):02}-11T10:00:00Z",
        "component": [],
    }
    while len(json.dumps(made)) < SIZE - 120:
        value = {"value": chance.randrange(10**6) / 100, "unit": "mg/dL", "system": "http://unitsofmeasure.org"}
        code = {"coding": [{"system": "http://loinc.org", "code": f"{chance.randrange(99999)}-7"}]}
        made["component"].append({"code": code, "valueQuantity": value})
    return made


def bundles(folder: Path, amount: Amount) -> None:
    """Write a Bundle for each patient."""
    folder.mkdir()
    for patient in range(amount.patients):
        entries = [{"resource": resource(patient * amount.resources + i)} for i in range(amount.resources)]
        body = {"resourceType": "Bundle", "type": "collection", "entry": entries}
        (folder / f"{patient:03}.json").write_text(json.dumps(body))


def publishing(network: Network, registrar: Registrar, folder: Path, amount: Amount, rounds: int, naive: int) -> None:
    """Publish the Bundles as a whole process, and let restic back the same files up."""
    files = sorted((folder / "bundles").iterdir())
    for number in range(2 * len(files) * rounds):
        join(network, registrar, f"patient-{number}", Role.PATIENT)
    restic = _peers.restic()
    transactions: list[int] = []
    numbers = iter(range(2 * rounds))

    def upload() -> Run:
        base = next(numbers) * len(files)
        assign = folder / "assign.csv"
        with open(assign, "w", newline="") as file:
            csv.writer(file).writerows((path, f"patient-{base + i}") for i, path in enumerate(files))
        done = cli(network, folder, "hospital", "upload", "--assign", assign, "--json")
        transactions.append(len(json.loads(done.output.splitlines()[-1])["transactions"]))
        return done

    def back_up() -> Run:
        assert restic is not None
        repository = folder / "restic"
        shutil.rmtree(repository, ignore_errors=True)
        environment = {"RESTIC_PASSWORD": PASSPHRASE, "RESTIC_CACHE_DIR": str(folder / "cache")}
        run([restic, "init", "-q", "-r", repository], environment=environment)
        return run([restic, "backup", "-q", "-r", repository, folder / "bundles"], environment=environment)

    ours, theirs = in_turns(upload, back_up if restic else None, rounds)
    count = amount.patients * amount.resources
    what = f"{count:,} resources in {amount.patients} Bundles, to on chain"
    figure = f"{median(ours):.2f} s, restic {median(theirs):.2f} s" if theirs else f"{median(ours):.2f} s, no restic"
    ratio = median(ours) / median(theirs) if theirs else None
    row(what, figure, "<= 1 x restic", ratio, at_least=False, bound=1)
    with agent(network, "hospital"):
        unlocked, _ = in_turns(upload, None, rounds)
    ratio = median(unlocked) / median(theirs) if theirs else None
    row("  the same, agent on", f"{median(unlocked):.2f} s", "<= 1 x restic", ratio, at_least=False, bound=1)
    row("  processor time, all processes: agent off, on", f"{cpu(ours):.2f} s, {cpu(unlocked):.2f} s", "", None)
    row("  processes that read beside it, at most", str(most_processes()), "", None)
    row("  its storage transactions", str(max(transactions)), "<= 12", max(transactions), at_least=False, bound=12)
    each = naively(network, folder, naive)
    whole = each * count
    row(
        "  against one web3.py transaction a record",
        f"{1000 * each:.1f} ms each, {whole:.0f} s",
        ">= 100 x faster",
        whole / median(ours),
        bound=100,
    )


def naively(network: Network, folder: Path, count: int) -> float:
    """Return the seconds of one transaction with a CID as text, sent and awaited by web3.py."""
    from web3 import Web3

    web3 = Web3(Web3.HTTPProvider(network.mainchain.rpc.url))
    sender = web3.eth.account.create()
    anvil.fund(network.mainchain.rpc, sender.address)
    started = time.perf_counter()
    for number in range(count):
        transaction = {
            "to": sender.address,
            "data": Web3.to_hex(text=f"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxqu{number:05}"),
            "nonce": web3.eth.get_transaction_count(sender.address),
            "gas": 100_000,
            "maxFeePerGas": 10**10,
            "maxPriorityFeePerGas": 10**9,
            "chainId": web3.eth.chain_id,
        }
        signed = sender.sign_transaction(transaction)
        web3.eth.wait_for_transaction_receipt(web3.eth.send_raw_transaction(signed.raw_transaction), poll_latency=0.005)
    return (time.perf_counter() - started) / count


def opening(network: Network, registrar: Registrar, folder: Path, documents: int) -> None:
    """Open records of 4 KiB of one lane and one batch, granted, from the local store."""
    files = folder / "documents"
    files.mkdir()
    for number in range(documents):
        (files / f"{number:05}.pdf").write_bytes(b"%PDF-1.7\n" + os.urandom(SIZE - 9))
    patient = join(network, registrar, "many", Role.PATIENT)
    started = time.perf_counter()
    published = cli(network, folder, "hospital", "upload", files, "--patient", "many", "--json")
    count = len(json.loads(published.output.splitlines()[-1])["records"])
    took = time.perf_counter() - started
    row(
        f"{count:,} documents of 4 KiB, each a record, to on chain",
        f"{took:.2f} s, {count / took:.0f} a second",
        "",
        None,
    )
    join(network, registrar, "many-more", Role.PATIENT)
    with agent(network, "hospital"):
        again = cli(network, folder, "hospital", "upload", files, "--patient", "many-more", "--json")
    row("  the same, agent on", f"{again.wall:.2f} s, {count / again.wall:.0f} a second", "", None)
    both = f"{published.cpu:.2f} s, {again.cpu:.2f} s"
    row("  processor time, all processes: agent off, on", both, "", None)
    expires_at = network.mainchain.head_block().time + 86_400
    policy = patient.grant("clinician", ["documents"], until=expires_at)
    clinician = open_actor(network, load_profile(network.home, "clinician"), PASSPHRASE)
    assert isinstance(clinician, Practitioner)
    started = time.perf_counter()
    opened = sum(len(record.content) == SIZE for record in clinician.open(policy.policy_id))
    speed = opened / (time.perf_counter() - started)
    row(f"opening {opened:,} of them, granted", f"{speed:.0f} records/s", ">= 5,000 records/s", speed, bound=5000)
    reads = [entry for entry in patient.receipts() if entry.kind == "reencrypted"]
    capsules = sum(entry.count for entry in reads)
    figure = f"{capsules} by {len(reads)} proxies"
    row("  re-encryptions for their one envelope", figure, "1 by each", capsules / len(reads), at_least=False, bound=1)


def synthea(network: Network, registrar: Registrar, folder: Path, most: int | None, rounds: int) -> None:
    """Upload Synthea's Bundles: bytes stored, patients a second, and where the time goes."""
    files = sorted(SYNTHEA.glob("synthea-2019-smart/*.json")) + sorted(SYNTHEA.glob("synthea-*/*.json"))
    files = list(dict.fromkeys(files))[: min(most or 17, 17)]
    if not files:
        row("Synthea's Bundles", "the folder of outside data isn't here", "<= 0.14 x source", None)
        return
    patients = [join(network, registrar, f"synthea-{number}", Role.PATIENT) for number in range(len(files))]
    assign = folder / "synthea.csv"
    with open(assign, "w", newline="") as file:
        csv.writer(file).writerows((path, f"synthea-{number}") for number, path in enumerate(files))
    size = sum(path.stat().st_size for path in files)
    grown: list[int] = []
    numbers = iter(range(2 * rounds))

    def upload(*, unlocked: bool) -> Run:
        # A hospital that knows nobody yet: it takes each file once. Its key store has the usual lock.
        house = f"synthea-hospital-{next(numbers)}"
        _locks.make_usual()
        join(network, registrar, house, Role.HOSPITAL)
        _locks.make_cheap()
        for patient in patients:
            patient.pair(house)
        before = stored(network)
        with agent(network, house) if unlocked else nullcontext():
            done = cli(network, folder, house, "upload", "--assign", assign, "--json")
        grown.append(stored(network) - before)
        return done

    locked, unlocked = list[Run](), list[Run]()
    for _ in range(rounds):
        locked.append(upload(unlocked=False))
        unlocked.append(upload(unlocked=True))
    what = f"{len(files)} Synthea Bundles of {size / 1e6:.1f} MB, bytes stored"
    row(what, f"{grown[0] / 1e6:.2f} MB", "<= 0.14 x source", grown[0] / size, at_least=False, bound=0.14)
    speed = len(files) / median(locked)
    figure = f"{median(locked):.2f} s, {speed:.1f} patients/s, {size / 1e6 / median(locked):.1f} MB/s"
    row("  upload to on chain, whole process", figure, ">= 12 patients/s", speed, bound=12)
    speed = len(files) / median(unlocked)
    row(
        "  the same, agent on", f"{median(unlocked):.2f} s, {speed:.1f} patients/s", ">= 12 patients/s", speed, bound=12
    )
    row("  processor time, all processes: agent off, on", f"{cpu(locked):.2f} s, {cpu(unlocked):.2f} s", "", None)
    for name, seconds in phases(files).items():
        row(f"    of it {name}", f"{seconds:.2f} s", "", None)


def cpu(runs: list[Run]) -> float:
    """Return the least processor time of some runs: what a busy machine adds isn't theirs."""
    return min(one.cpu for one in runs)


def stored(network: Network) -> int:
    """Return the bytes of the blocks in the store."""
    return sum(size for _, size, _ in network.store.sizes())


def phases(files: list[Path]) -> dict[str, float]:
    """Return the seconds of reading and splitting, and of compressing and sealing, in one thread each."""
    from panachain.crypto import compress
    from panachain.records.sources import find_sources

    started = time.perf_counter()
    records = [record for source in find_sources(files) for record in source.records()]
    split = time.perf_counter() - started
    started = time.perf_counter()
    for record in records:
        compress.compress(record.content if isinstance(record.content, bytes) else b"")
    return {"reading and splitting": split, "compressing": time.perf_counter() - started}


def cli(network: Network, folder: Path, profile: str, *arguments: str | Path) -> Run:
    """Run the command line as a person would."""
    environment = {"PANACHAIN_HOME": str(network.home), "PANACHAIN_PASSPHRASE_FILE": str(folder / "passphrase")}
    return run([sys.executable, "-m", "panachain.cli", "--profile", profile, *arguments], environment=environment)


if __name__ == "__main__":
    with running():
        main()
