"""The contracts under forge, halmos and slither: what they say, and that nothing they say is left unexplained."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import pytest

from scripts import audit_contracts
from tests.contracts import audit_runs

# Behind all other tests there is little left to wait for.
pytestmark = [pytest.mark.deep, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    lack = audit_contracts.missing()
    if lack:
        pytest.skip(lack)


def functions(pattern: str) -> set[str]:
    """Return the names of the test functions in tests/forge that start with a prefix."""
    lines = (line.split() for file in Path("tests/forge").glob("*.sol") for line in file.read_text().splitlines())
    return {words[1].partition("(")[0] for words in lines if words[:1] == ["function"] and words[1].startswith(pattern)}


def test_fuzz_tests_and_invariants_hold() -> None:
    results = audit_runs.result("fuzz")

    assert {name: status for name, status in results.items() if status != "Success"} == {}
    ran = {name.partition(".")[2] for name in results}
    assert functions("test") | functions("invariant") <= ran


def test_symbolic_proofs_hold() -> None:
    proofs = audit_runs.result("prove")

    assert {name for name, holds in proofs.items() if not holds} == set()
    assert set(proofs) == functions("check_")


def test_slither_finds_nothing_that_is_not_explained() -> None:
    explained = tomllib.loads((Path(__file__).parent / "slither_findings.toml").read_text())["finding"]
    expected = Counter({(entry["check"], entry["element"]): entry.get("times", 1) for entry in explained})

    assert all(entry["reason"] for entry in explained)
    assert audit_runs.result("findings") == expected


def test_every_line_and_branch_is_covered() -> None:
    covered = audit_runs.result("coverage")

    assert {name: part for name, part in covered.items() if not part.whole} == {}
    code = {str(path) for folder in ("mainchain", "sidechain") for path in Path("contracts", folder).glob("*.sol")}
    assert code <= set(covered)
