"""The allow-list of what is public, docs/security/leakage.md, against the ABIs (security rule 9)."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
LIST = ROOT / "docs/security/leakage.md"
# OpenZeppelin's AccessManager stands on the mainchain too.
CONTRACTS = [*sorted(path.stem for path in (ROOT / "contracts/mainchain").glob("*.sol")), "AccessManager"]
ROW = re.compile(r"^\| (?:`(\w+)`)? ?\| `(\w+)` \| (.+) \| (.+) \|$")


def abi_of(name: str) -> list[dict[str, Any]]:
    text = resources.files("panachain.chain").joinpath("artifacts", f"{name}.json").read_text()
    abi: list[dict[str, Any]] = json.loads(text)["abi"]
    return abi


def fields_of(abi: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(entry["name"], item["name"]) for entry in abi if entry["type"] == "event" for item in entry["inputs"]}


def entered(name: str) -> dict[tuple[str, str], str]:
    """Return the fields that stand in a contract's table, each with the reason why it is accepted."""
    found: dict[tuple[str, str], str] = {}
    sections = re.split(r"^### ", LIST.read_text(), flags=re.MULTILINE)
    section = next((part for part in sections if part.startswith(f"{name}\n")), "")
    event = ""
    for line in section.splitlines():
        row = ROW.match(line)
        if row is not None:
            event = row[1] or event
            assert (event, row[2]) not in found, f"{name}.{event}.{row[2]} is entered twice"
            found[event, row[2]] = row[4].strip()
    return found


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_event_field_of_the_mainchain_is_entered(name: str) -> None:
    assert fields_of(abi_of(name)) - entered(name).keys() == set()


@pytest.mark.parametrize("name", CONTRACTS)
def test_no_entry_is_left_over(name: str) -> None:
    assert entered(name).keys() - fields_of(abi_of(name)) == set()


@pytest.mark.parametrize("name", CONTRACTS)
def test_each_entry_has_its_reason(name: str) -> None:
    assert all(entered(name).values())


@pytest.mark.parametrize("name", CONTRACTS)
def test_events_without_fields_are_named_too(name: str) -> None:
    bare = {entry["name"] for entry in abi_of(name) if entry["type"] == "event" and not entry["inputs"]}
    assert all(f"`{event}`" in LIST.read_text() for event in bare)


def test_a_new_field_would_be_found() -> None:
    abi = [*abi_of("RecordLedger")]
    event = next(entry for entry in abi if entry.get("name") == "RecordsStored")
    grown = [{**event, "inputs": [*event["inputs"], {"name": "patient", "type": "address", "indexed": True}]}]
    assert fields_of(grown) - entered("RecordLedger").keys() == {("RecordsStored", "patient")}
