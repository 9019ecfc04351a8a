"""Each benchmark runs quickly with `--quick`, and says what a bare machine lacks; no figure fails anything.

Each script of the folder is named here, so that none is forgotten: what nobody runs breaks when a name changes.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from panachain.crypto.umbral import scheme
from tests.integration.bench_runs import FOLDER, bench, check_rows, finished, has_anvil

pytestmark = pytest.mark.timeout(700)
ROWS = {
    "receipts": ["20 receipts proven", "by py-trie and rlp"],
    "umbral": [
        *("  wrap", "  check a kfrag", "  re-encrypt", "  a proxy's whole duty"),
        *("  secp256k1_ecdh", "  secp256k1_ec_pubkey_create", "  secp256k1_ec_pubkey_tweak_mul"),
    ],
    "log": ["openings         5000", "audit_seconds", "share_seconds", "inclusion_ms", "hidden           0"],
    "follow": ["3,000 events, 1 in a transaction", "3,000 events, 30 in a transaction"],
    "startup": [
        *("this checkout: `panachain whoami`", "this checkout: its imports alone", "unlock, processor time"),
        *("`panachain whoami` with an agent, processor time", "`panachain whoami` with an agent against without"),
    ],
    "losses": ["openings while two of three proxies are killed in turn"],
    "persons": ["bundles", "images", "messages"],
    "blocks": ["upload", "grant", "open", "revoke", "story"],
    "junk": [
        "2 groups, 2 requests of rubbish                            2 and 2 let in",
        *("inbox, before and after", "open, before and after", "requests, before and after", "requests, with both"),
    ],
    "consent": ["grant to", "inbox", "SeSPHR", "revoke to refusal by every proxy, only pending"],
    "gas": ["store_1000", "grant_signed", "revoke_signed"],
    "recovery": ["restore: 40 records", "  left out", "rotate: 40 headers", "  contents that have another CID"],
    "emergency": ["break-glass, from request to summary"],
    "storage": ["20 MiB incompressible", "4 MiB of the same", "opening it from the local store", "fetching 8 MiB"],
    "records": ["10 resources in 2 Bundles", "20 documents", "opening 20 of them"],
    "linkability": ["grouped by", "-- records", "-- control"],
    "stores": ["500 small records into Kubo", "500 small records into a bucket", "  reading them in order"],
    "commands": ["inbox", "open", "policies", "records", "log  ", "log, something new"],
    "portal": [
        *("first page after", "patient /home, 95th", "patient: weight of the heaviest", "patient: requests elsewhere"),
        *("hospital /hospital, 95th", "clinician /inbox, 95th", "upload of", "3 staff for 3 s: errors of"),
    ],
    "sensitivity": ["leap_strict", "unlabelled_bundles", "false_alarms_fhir", "false_alarms_ccda", "splitting"],
    "search": ["lookup", "verify", "synthea", "recall", "lies", "leak"],
    "growth": [
        *(
            "inbox     beside everybody's",
            "open      beside",
            "policies  beside",
            "records   beside",
            "log       beside",
        ),
        *("steps  ", "lookup  ", "follow  ", "reorganisations cases 3, equal 3", "receipts  ", "gas  "),
    ],
}


EACH_TIME = ("gas",)
DEEP = (
    *("records", "linkability", "commands", "growth", "portal", "recovery", "emergency"),
    *("receipts", "umbral", "log"),
)
NIGHTLY = ("follow", "startup", "losses", "persons", "blocks", "junk", "consent")
WITHOUT_CHAIN = ("receipts", "umbral", "log", "startup")
OTHERWISE = ("stores", "sensitivity", "search", "storage")
"""Each has a test of its own below."""
ELSEWHERE = {"floods": "test_flood_benchmark.py"}
"""It takes minutes, and workers take files."""


def test_every_benchmark_is_run_by_one_of_these_tests() -> None:
    named = sorted([*EACH_TIME, *DEEP, *NIGHTLY, *OTHERWISE, *ELSEWHERE])
    assert named == sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))
    assert sorted(ROWS) == sorted(set(named) - set(ELSEWHERE))
    for texts, names in ((Path(__file__).read_text("utf-8"), OTHERWISE), *_elsewhere()):
        assert [name for name in names if f'bench("{name}", "--quick"' not in " ".join(texts.split())] == []


def _elsewhere() -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, file in ELSEWHERE.items():
        yield Path(__file__).with_name(file).read_text("utf-8"), (name,)


@pytest.mark.parametrize(
    "name",
    [
        *EACH_TIME,
        *(pytest.param(one, marks=pytest.mark.deep) for one in DEEP),
        *(pytest.param(one, marks=pytest.mark.nightly) for one in NIGHTLY),
    ],
)
def test_the_quick_way_prints_every_row(name: str) -> None:
    if name not in WITHOUT_CHAIN and not has_anvil():
        pytest.skip("there is no anvil on this machine")
    check_rows(ROWS[name], bench(name, "--quick"))


@pytest.mark.deep
def test_stores_are_measured_with_or_without_kubo() -> None:
    check_rows(ROWS["stores"], bench("stores", "--quick"))


@pytest.mark.deep
def test_what_is_sensitive_is_measured_with_or_without_the_shared_files() -> None:
    printed = bench("sensitivity", "--quick")
    check_rows(ROWS["sensitivity"], printed)
    closed = next(line for line in printed.splitlines() if line.startswith("unlabelled_bundles"))
    assert "percent 100.0, too_many 0" in closed


@pytest.mark.deep
def test_searching_is_measured_and_misses_nothing() -> None:
    (line,) = bench("search", "--quick", "--json").splitlines()
    found = json.loads(line)
    assert list(found) == ROWS["search"]
    assert (found["lies"]["refused"], found["lies"]["false_alarms"]) == (found["lies"]["cases"], 0)
    assert (found["leak"]["different_logs"], found["leak"]["linked"]) == (1, 0)
    # Where the shared files aren't, these say so.
    if isinstance(found["recall"], dict):
        assert (found["recall"]["recall_percent"], found["recall"]["precision_percent"]) == (100, 100)


@pytest.mark.deep
def test_what_is_sensitive_is_one_object_for_programs() -> None:
    (line,) = bench("sensitivity", "--quick", "--json").splitlines()
    assert json.loads(line).keys() >= {row.strip() for row in ROWS["sensitivity"]}


@pytest.mark.deep
def test_what_grows_is_one_object_for_programs() -> None:
    parts = ["lookup", "reorganisations", "receipts"]
    (line,) = bench("growth", "--quick", "--json", "--only", *parts).splitlines()
    found = json.loads(line)
    assert list(found) == parts
    assert [found["lookup"][lane]["records"] for lane in ("few", "many")] == [1, 1]
    assert found["reorganisations"] == {"cases": 3, "equal": 3, "deepest": 64}
    assert found["receipts"]["receipts"] == 200


def chains_below(folder: Path) -> list[int]:
    """Return the processes whose command names something below a folder."""
    found = []
    for one in Path("/proc").iterdir():
        # Some end meanwhile.
        with suppress(OSError):
            if one.name.isdigit() and str(folder).encode() in (one / "cmdline").read_bytes():
                found.append(int(one.name))
    return found


def test_every_benchmark_ends_what_it_started() -> None:
    for path in FOLDER.glob("[a-z]*.py"):
        main = path.read_text("utf-8").partition('if __name__ == "__main__":')[2]
        assert main.startswith("\n    with running()"), path.name


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc on this machine")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_benchmark_that_is_told_to_end_leaves_no_chain_behind(tmp_path: Path, how: signal.Signals) -> None:
    if not has_anvil():
        pytest.skip("there is no anvil on this machine")
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, str(FOLDER / "gas.py")]
    with subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL) as running:
        while not chains_below(tmp_path):
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(how)
    for _ in range(3000):
        if not chains_below(tmp_path):
            return
        time.sleep(0.02)
    left = chains_below(tmp_path)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


LACKING = """
import runpy, sys
from panachain.chain import anvil
from panachain.errors import ConfigurationError

def find_anvil():
    raise ConfigurationError("no anvil program was found", hint="run ./pana demo once")

anvil.find_anvil = find_anvil
for module in sys.argv[2:]:
    sys.modules[module] = None
sys.path.insert(0, str(sys.argv[1].rpartition("/")[0]))
path, sys.argv = sys.argv[1], [sys.argv[1], "--quick"]
runpy.run_path(path, run_name="__main__")
"""


@pytest.mark.parametrize(
    ("name", "modules", "told"),
    [
        ("gas", [], "the program anvil; run ./pana demo once"),
        ("records", [], "the program anvil; run ./pana demo once"),
        ("linkability", ["sklearn"], "the Python package sklearn; ./pana setup dev brings it"),
    ],
)
def test_what_a_machine_lacks_is_told_in_a_line(name: str, modules: list[str], told: str) -> None:
    command = [sys.executable, "-c", LACKING, str(FOLDER / f"{name}.py"), *modules]
    assert finished(command).splitlines()[-1] == f"not measured: this machine lacks {told}"


def test_a_kfrag_is_checked_each_time_that_its_check_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    umbral = importlib.import_module("umbral")
    checked: list[object] = []
    verifies = scheme.verifies
    monkeypatch.setattr(scheme, "verifies", lambda *given: [checked.append(given), verifies(*given)][1])
    check = umbral.steps(scheme, scheme)["check a kfrag"]
    checked.clear()
    for _ in range(3):
        check()
    # Each has one signature twice (docs/adr/0063-umbral-on-libsecp256k1.md).
    assert len(checked) == 3


class TestStorage:
    """A machine with none of the peers, and one with an `age` that doesn't work."""

    @pytest.mark.deep
    def test_every_row_is_printed_also_without_a_peer_that_works(self, tmp_path: Path) -> None:
        for name in ("age", "age-keygen"):
            (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
            (tmp_path / name).chmod(0o755)
        printed = bench("storage", "--quick", PATH=str(tmp_path), PANA_BENCH_PEERS=str(tmp_path / "peers"))
        check_rows(ROWS["storage"], printed)
        # Of files on the disk, and in memory where there is room.
        assert printed.count("age isn't here") + printed.count("no room in") == 3

    def test_peers_that_are_not_there_are_none(self, tmp_path: Path) -> None:
        asked = "import _peers; print(_peers.age(), _peers.restic(), _peers.age_key(_peers.FOLDER))"
        environment = os.environ | {"PATH": str(tmp_path), "PANA_BENCH_PEERS": str(tmp_path / "peers")}
        command = [sys.executable, "-c", asked]
        done = subprocess.run(
            command, cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=240, check=True
        )
        assert done.stdout == "None None None\n"
