"""`log --verify` and `log --as`: who proved what, exit codes by what failed, and formats on standard output."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.cli.readings import reader_words, reading_words
from panachain.model.actors import Address, PolicyId
from panachain.sdk.readings import Dissent, Reading
from panachain.sdk.report_pdf import Report
from panachain.sdk.results.listings import LeftOut, Listed, Listing
from panachain.sdk.results.log import LogProof
from tests.cli.twin import Outcome, Twin

Run = Callable[..., Outcome]
POLICY = PolicyId("0x52908400098527886E0F7030069857D2E4169EE7")
PROXIES = [Address(f"0x{number:040x}") for number in (1, 2)]
READING = Reading("0x" + "aa" * 20, "0x" + "aa" * 20, POLICY, ("laboratory",), "TREAT", 1, 2, True, 1, tuple(PROXIES))


def proof(number: int = 0, **more: Any) -> LogProof:
    return LogProof(POLICY, PROXIES[number], 3, 70, **more)


@pytest.fixture
def proven(twin: Twin) -> Callable[..., None]:
    def answer(*proofs: LogProof) -> None:
        twin.auditing = SimpleNamespace(verify=lambda *_, **__: Listing(proofs))  # type: ignore[attr-defined]

    return answer


def test_what_is_proven_is_told_in_words(run: Run, proven: Callable[..., None]) -> None:
    proven(proof(cosigned=60, witnesses=(PROXIES[1],)), proof(1))
    outcome = run("log", "--verify")
    assert outcome.code == 0, outcome.err
    assert "nothing is left out" in outcome.out
    assert "up to 60 of 70, by 1 other" in " ".join(outcome.out.split())
    assert "by nobody yet" in outcome.out
    assert "Each proxy proved that it left nothing out." in outcome.err
    assert max(map(len, outcome.out.splitlines())) <= 100


def test_one_that_contradicts_itself_is_named_and_ends_with_6(run: Run, proven: Callable[..., None]) -> None:
    proven(proof(), proof(1, reason="keeps back receipt 9", lied=True))
    outcome = run("log", "--verify")
    assert outcome.code == 6
    assert "keeps back receipt 9" in " ".join(outcome.err.split())
    assert "nothing is left out" in outcome.out


def test_one_that_proves_nothing_leaves_it_partly_done(run: Run, proven: Callable[..., None]) -> None:
    proven(proof(), proof(1, reason="no answer"))
    outcome = run("log", "--verify", "--json")
    assert outcome.code == 3
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert [(line["schema"], line["proven"]) for line in lines] == [
        ("panachain/log-verified/1", True),
        ("panachain/log-verified/1", False),
    ]


def test_no_policy_is_no_proof(run: Run, proven: Callable[..., None]) -> None:
    proven()
    outcome = run("log", "--verify")
    assert outcome.code == 0
    assert "proved that it left nothing out" not in outcome.err


def test_a_record_is_no_policy(run: Run) -> None:
    assert run("log", "--verify", "--record", "bafkrei").code == 2


def test_exports_stand_on_standard_output(run: Run, twin: Twin) -> None:
    twin.address = READING.requester  # type: ignore[attr-defined]
    for form in ("fhir", "csv", "json"):
        twin.answers["log"] = Listed(Listing([READING]))
        outcome = run("log", "--as", form)
        assert outcome.code == 0, outcome.err
        if form == "fhir":
            assert json.loads(outcome.out)["entry"][0]["resource"]["resourceType"] == "AuditEvent"
        elif form == "csv":
            assert [row["who"] for row in csv.DictReader(io.StringIO(outcome.out))] == [READING.requester]
        else:
            assert json.loads(outcome.out)[0]["schema"] == "panachain/reading/1"


def tells(twin: Twin, readings: Sequence[Reading]) -> None:
    """Let the log hold these readings, named already."""
    twin.answers["receipts"] = Listing([])
    twin.auditing = SimpleNamespace(named=lambda found, *, records: Listing(readings))


def test_a_line_tells_role_organisation_and_where_the_proxies_disagree(run: Run, twin: Twin) -> None:
    known = {"needed": 2, "role": "practitioner", "organisation": PROXIES[1]}
    told = [
        replace(READING, **known),
        replace(READING, unconfirmed=1, proxies=(PROXIES[0],), silent=(PROXIES[1],), **known),
        replace(
            READING, dissents=(Dissent(PROXIES[1], "purpose", "HRESCH\x1b"), Dissent(PROXIES[0], "refused")), **known
        ),
        replace(READING, permitted=False, envelopes=0, dissents=(Dissent(PROXIES[1], "served"),), **known),
        replace(READING, unconfirmed=1, envelopes=3, records=("bafkreione",), **known),
    ]
    tells(twin, told)
    outcome = run("log")
    assert outcome.code == 0, outcome.err
    assert max(map(len, outcome.out.splitlines())) <= 100
    said = " ".join(outcome.out.split())
    assert "practitioner" in said
    warned = " ".join(outcome.err.split())
    assert "names another purpose" in warned
    assert "refused" in warned
    assert "\x1b" not in outcome.out + outcome.err
    words = [reading_words(one.to_json()) for one in told]
    assert words == [
        "read 1 part, 2 proxies agree",
        "read 1 part, say 1 of 2 proxies; 1 silent",
        "read 1 part, 2 proxies agree; 1 names another purpose; 1 refused",
        "was refused by 2 proxies; 1 served",
        "read 3 parts with 1 record, too few proxies say it of 1",
    ]


def test_who_was_served_outside_the_group_is_marked_and_warned_of(run: Run, twin: Twin) -> None:
    team = replace(READING, granted_to=PROXIES[0], role="practitioner")
    told = [replace(team, standing=one) for one in ("member", "emergency", "outside")]
    told.append(replace(told[-1], permitted=False, envelopes=0))
    tells(twin, told)
    outcome = run("log")
    assert outcome.code == 0, outcome.err
    assert max(map(len, outcome.out.splitlines())) <= 100
    said = " ".join(outcome.out.split())
    assert (said.count("in an"), said.count("not of"), said.count("capacity")) == (1, 2, 0)
    # A refused attempt is marked, and no fault of anybody's.
    assert "1 opening was served to somebody to whom it wasn't granted" in " ".join(outcome.err.split())
    tells(twin, [told[0], told[3]])
    assert "wasn't granted" not in run("log").err


def test_one_proxys_word_that_somebody_was_served_against_the_grant_warns_of_nothing(run: Run, twin: Twin) -> None:
    team = replace(READING, granted_to=PROXIES[0], needed=2, standing="outside")
    lone = replace(team, envelopes=0, unconfirmed=1, proxies=(PROXIES[0],))

    def told(*readings: Reading) -> str:
        tells(twin, readings)
        outcome = run("log")
        assert outcome.code == 0, outcome.err
        return " ".join(outcome.err.split())

    said = told(lone)
    assert "One proxy alone says that 1 opening was served to somebody" in said
    assert "honest proxies refuse that" not in said
    assert "Fewer proxies than an opening takes say" in told(lone, replace(lone, proxies=tuple(PROXIES), needed=3))
    said = told(team, replace(team, at=5), lone)
    assert "2 openings were served to somebody to whom it wasn't granted" in said
    assert "One proxy alone says that 1 opening was served" in said


def test_of_a_grant_for_emergencies_no_group_is_told_and_unknown_is_said(run: Run, twin: Twin) -> None:
    team = replace(READING, granted_to=PROXIES[0])
    tells(twin, [replace(team, standing="no-emergency")])
    outcome = run("log")
    assert max(map(len, outcome.out.splitlines())) <= 100
    assert "group" not in outcome.out + outcome.err
    row = {**team.to_json(), "standing": "no-emergency"}
    shown = SimpleNamespace(text=lambda _, value: value)
    assert reader_words(shown, row).endswith(", not in an emergency of theirs")  # type: ignore[arg-type]
    assert "1 opening was served to somebody who wasn't in an emergency then" in " ".join(outcome.err.split())
    # Unknown is neither a member nor whom it was granted to.
    for standing, words in (("", f"{READING.requester}, in what capacity isn't known"), ("member", READING.requester)):
        assert reader_words(shown, {**row, "standing": standing}) == words  # type: ignore[arg-type]
    assert reader_words(shown, READING.to_json()) == READING.requester  # type: ignore[arg-type]


def test_of_a_record_that_moved_only_where_it_lies_now_is_told(run: Run, twin: Twin) -> None:
    moved = LeftOut("record", "bafkreione", "it was moved", since=1_750_000_000)
    twin.auditing = SimpleNamespace(named=lambda found, *, records: Listing([]))
    twin.answers["receipts"] = Listing([], [moved])
    said = " ".join((shown := run("log", "--record", "bafkreione")).err.split()) + shown.out
    assert shown.code == 0
    assert "Nobody has opened what that lies in now." in said
    assert "or later because they kept a copy of it" in said
    twin.answers["receipts"] = Listing([], [moved, LeftOut("proxy", PROXIES[0], "silent")])
    shown = run("log", "--record", "bafkreione")
    assert "lies in, as far as could be read and asked." in " ".join((shown.out + shown.err).split())


def test_disagreements_do_not_fill_the_screen(run: Run, twin: Twin) -> None:
    many = tuple(Dissent(PROXIES[0], "requester", f"0x{n:040x}") for n in range(50))
    tells(twin, [replace(READING, dissents=many)])
    outcome = run("log")
    assert outcome.err.count("names another person") == 10
    assert "40 more disagreements" in outcome.err


def test_records_are_named_where_somebody_asks(run: Run, twin: Twin) -> None:
    asked: list[bool] = []

    def named(found: object, *, records: bool) -> Listing[Reading]:
        asked.append(records)
        return Listing([replace(READING, records=("bafkreione",))], [LeftOut("records", "hos-x", "lost")])

    twin.auditing = SimpleNamespace(named=named)
    twin.answers["receipts"] = Listing([])
    outcome = run("log", "--with-records")
    assert "lost" in outcome.err
    twin.answers["log"] = Listed(Listing([READING]))
    outcome = run("log", "--as", "json", "--with-records")
    assert json.loads(outcome.out)[0]["records"] == ["bafkreione"]
    assert asked == [True, True]


def report(*, complete: bool = True) -> Report:
    return Report("A report", 2026, 0, 1, (), ("A sentence.",), (), complete=complete)


def test_a_report_is_a_file_for_its_owner_alone(run: Run, twin: Twin, tmp_path: Path) -> None:
    asked: list[Any] = []

    def made(year: int, *, name: str, progress: object) -> Report:
        asked.append((year, name))
        return report(complete=not name)

    twin.auditing = SimpleNamespace(report=made)
    file = tmp_path / "report.pdf"
    outcome = run("log", "--report", "2026", "--to", str(file))
    assert outcome.code == 0, outcome.err
    assert file.read_bytes().startswith(b"%PDF")
    assert file.stat().st_mode & 0o777 == 0o600
    # Nothing that is there is written over.
    assert run("log", "--report", "2026", "--to", str(file)).code == 2
    other = tmp_path / "other.pdf"
    outcome = run("log", "--report", "2026", "--to", str(other), "--name", "x", "--json")
    assert json.loads(outcome.out) == {
        "schema": "panachain/report/1",
        "year": 2026,
        "openings": 1,
        "file": str(other),
        "complete": False,
    }
    assert "may not be complete" in outcome.err
    assert asked == [(2026, ""), (2026, "x")]


def test_a_report_needs_a_year_and_a_file_and_nothing_else(run: Run, tmp_path: Path) -> None:
    for more in (
        ["--report", "2026"],
        ["--to", "x.pdf"],
        ["--report", "2026", "--to", str(tmp_path / "x"), "--verify"],
    ):
        assert run("log", *more).code == 2


def test_proofs_are_files(run: Run, proven: Callable[..., None], twin: Twin, tmp_path: Path) -> None:
    proven(proof())
    twin.answers["receipts"] = Listing([])
    twin.network = SimpleNamespace(mainchain=SimpleNamespace(log=SimpleNamespace(domain=bytes(32))))  # type: ignore[attr-defined]
    assert "0 proofs written" in run("log", "--proofs", str(tmp_path / "proofs")).err
    assert (tmp_path / "proofs").is_dir()
