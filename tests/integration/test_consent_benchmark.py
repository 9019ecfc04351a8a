"""A small instance of benchmarks/consent.py: every row is printed and the figure is drawn; no timing fails anything."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytestmark = pytest.mark.deep

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "consent.py"
SMALL = [
    *("--records", "24", "--capsules", "3", "--large", "30", "--rounds", "1", "--grants", "1", "--signed", "2"),
    *("--notices", "20", "--users", "1", "10", "--sizes", "50000", "2000000", "--proxy-rounds", "0"),
]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def plot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plot") / "sesphr.svg"


@pytest.fixture(scope="module")
def table(plot: Path) -> str:
    # A process of its own: the benchmark makes key stores cheap for all that follows.
    command = [sys.executable, str(SCRIPT), *SMALL, "--plot", str(plot)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize(
    "row",
    [
        "grant to 24 content keys in 12 lanes",
        "grant of 12 lanes, owner's CPU: median",
        "inbox: 20 notices",
        "grant of 12 lanes, owner's CPU: 10 and 30 records",
        "grant of 12 lanes, bytes sent: 10 and 30 records",
        "grant of 12 lanes, gas: 10 and 30 records",
        "revoke to refusal by every proxy, mined at once",
        "revoke to refusal by every proxy, 1 s blocks",
        "revoke to refusal by every proxy, only pending",
        "SeSPHR: keys of 10 users",
        "SeSPHR: 2 MB, encryption, decryption",
    ],
)
def test_prints_every_row(table: str, row: str) -> None:
    assert sum(line.startswith(row) for line in table.splitlines()) == 1


def test_bytes_and_gas_do_not_depend_on_the_number_of_records(table: str) -> None:
    rows = [line for line in table.splitlines() if "bytes sent" in line or ", gas:" in line]
    assert len(rows) == 2
    assert all(line.endswith("met") for line in rows)


def test_draws_four_panels(table: str, plot: Path) -> None:
    figure = ElementTree.parse(plot).getroot()
    assert figure.tag == f"{SVG}svg"
    assert len(figure.findall(f"{SVG}g")) == 4
    assert all(len(panel.findall(f"{SVG}circle")) == 2 for panel in figure.findall(f"{SVG}g"))
