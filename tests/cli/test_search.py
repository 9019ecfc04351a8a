"""The command `search`: what was found and what was checked, on a screen and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from panachain.errors import IntegrityError, Omission
from panachain.model.actors import Address, Role
from panachain.sdk.results.searches import FoundRecord, SearchProof, SearchResult
from tests.cli.twin import Outcome, Twin

POLICY = "0x52908400098527886E0F7030069857D2E4169EE7"
HOSPITAL = Address("0x8617E340B3D01FA5F11F306F4090FD50E238070D")
RECORD = FoundRecord(
    "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    HOSPITAL,
    "laboratory",
    2024,
    "application/fhir+json",
    4096,
    1_800_000_000,
    2,
    ("131 mg/dL",),
)
PROOF = SearchProof(HOSPITAL, transactions=12, manifest="bafy", envelopes=3, records=40, mute=2)
FOUND = SearchResult((RECORD,), 7, (PROOF,))
Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def answering(twin: Twin) -> None:
    twin.answers |= {"search": FOUND, "records": twin, "open": twin}
    twin.role = Role.PATIENT  # type: ignore[attr-defined]


def test_shows_what_was_found_and_what_was_looked_through(run: Run, twin: Twin) -> None:
    outcome = run("search", "glucose>126", "chest pain", "--limit", "1", "--category", "laboratory", "--language", "de")
    assert outcome.code == 0
    assert twin.calls[1:] == [
        (
            "search",
            (("glucose>126", "chest pain"),),
            {"categories": ("laboratory",), "since": None, "until": None, "limit": 1, "languages": ("de",)},
        )
    ]
    assert "131 mg/dL" in outcome.out
    told = " ".join(outcome.err.split())
    assert "7 records found" in told
    assert "Looked through 40 records" in told
    assert "all that its 12 storage transactions hold" in told
    assert "2 records had no words" in told
    assert POLICY not in outcome.out
    assert all(len(line) <= 100 for line in (outcome.out + outcome.err).splitlines())


def test_json_has_the_records_and_the_proofs(run: Run) -> None:
    lines = [json.loads(line) for line in run("search", "glucose", "--json").out.splitlines()]
    assert [one["schema"] for one in lines] == ["panachain/found-record/1", "panachain/search-proof/1"]
    assert (lines[0]["record_id"], lines[1]["transactions"]) == (RECORD.record_id, 12)


def test_a_practitioner_names_a_policy_first(run: Run, twin: Twin) -> None:
    twin.role = Role.PRACTITIONER  # type: ignore[attr-defined]
    assert run("search", "glucose").code == 2
    assert run("search", POLICY, "glucose", "serum").code == 0
    assert [(name, given) for name, given, _ in twin.calls[-2:]] == [
        ("open", (POLICY,)),
        ("search", (("glucose", "serum"),)),
    ]


def test_what_could_not_be_searched_ends_it_with_3(run: Run, twin: Twin) -> None:
    twin.answers["search"] = SearchResult(
        (RECORD,), 1, (PROOF,), (Omission(HOSPITAL, "storage transaction 3", IntegrityError("torn")),)
    )
    outcome = run("search", "glucose")
    assert outcome.code == 3
    told = " ".join(outcome.err.split())
    assert "torn" in told
    assert "1 record found, and this was left out" in told
    # What is named as left out isn't called complete beside it.
    assert "not all that its 12 storage transactions hold for you" in told


def test_a_lie_ends_it_with_6(run: Run, twin: Twin) -> None:
    twin.answers["search"] = IntegrityError("storage transaction 3: the manifest isn't the one of its place")
    assert run("search", "glucose").code == 6
