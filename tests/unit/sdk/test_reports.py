"""Yearly reports: what stands in them, what they say that they lack, and whose year it is."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pypdf import PdfReader

from panachain.errors import UnavailableError, UsageError
from panachain.model.actors import Address, PolicyId
from panachain.sdk import report_pdf
from panachain.sdk.readings import Dissent, Reading
from panachain.sdk.reports import of_patient, purpose_words, scope_words
from panachain.sdk.results.listings import LeftOut
from panachain.sdk.results.log import LogProof
from tests.twin.world import World
from tests.unit.sdk.helpers import grant, opened, upload

POLICY = PolicyId("0x" + "11" * 20)
WHO, PROXY, HOUSE, OTHER = (Address("0x" + f"{number:02x}" * 20) for number in (2, 3, 4, 5))
NOW = int(datetime(2027, 1, 15, tzinfo=UTC).timestamp())
AT = int(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
READING = Reading(
    *(WHO, WHO, POLICY, ("laboratory/2025", "laboratory/2024", "vitals/0"), "TREAT", AT, AT, True, 3, (PROXY, OTHER)),
    who="doctor",
    role="practitioner",
    organisation=HOUSE,
    organisation_name="clinic",
    needed=2,
    records=("a", "b"),
)
PROOF = LogProof(POLICY, PROXY, 3, 70, cosigned=60, witnesses=(OTHER,))


def made(*readings: Reading, year: int = 2026, proofs: Any = (PROOF,), left_out: Any = (), now: int = NOW) -> Any:
    about: dict[str, Any] = {"patient": WHO, "name": "me", "network": "1"}
    return of_patient(year, readings, proofs, left_out, now=now, **about)


def test_a_line_has_what_the_law_asks_for() -> None:
    report = made(READING)
    ((when, who, house, what, why, happened, permission),) = report.parts[0].rows
    assert when == "2026-12-31 23:59"
    assert who == "doctor (pra-aibaeaqcaibae), practitioner"
    assert house.startswith("clinic (hos-")
    assert what == "laboratory 2025, 2024; vitals undated: 2 records"
    assert why == "treatment"
    assert happened == "opened 3 parts; signed by 2 proxies, 2 needed"
    assert permission == POLICY[:10]
    assert report.complete
    assert "1 opening by 1 person, 0 refused attempts." in report.summary
    assert "Every log was proven to be complete" in " ".join(report.summary)


def test_refusals_late_services_and_disagreements_are_told() -> None:
    report = made(
        replace(READING, permitted=False, envelopes=0),
        replace(READING, late=(PROXY,)),
        replace(READING, unconfirmed=1, dissents=(Dissent(PROXY, "purpose", "HRESCH"),)),
    )
    happened = [row[5] for row in report.parts[0].rows]
    assert happened[0] == "refused by 2 proxies"
    assert "after the end" in happened[1]
    assert "of 1 envelope fewer than 2 proxies signed; 1 proxy signed otherwise" in happened[2]
    assert "the proxies don't say the same" in " ".join(report.summary)


def test_what_too_few_signed_is_counted_apart() -> None:
    said = replace(READING, requester=OTHER, envelopes=0, unconfirmed=60_000, proxies=(PROXY,))
    report = made(READING, said, replace(READING, permitted=False, proxies=(PROXY,), asked=3, envelopes=0))
    assert report.summary[0] == "1 opening by 1 person, 1 refused attempt."
    assert report.summary[1].startswith("1 more opening said by fewer proxies than one takes, and not counted")
    assert report.parts[0].rows[1][5].startswith("said to be opened, by too few proxies; signed by 1 proxy, 2 needed")
    assert report.parts[0].rows[2][5] == "refused, says one proxy alone"


def test_a_year_is_one_in_utc_and_a_running_one_says_so() -> None:
    later = replace(READING, at=AT + 1)
    assert made(READING, later).openings == 1
    assert made(READING, later, year=2027).openings == 1
    assert "The year isn't over" in " ".join(made(later, year=2027).summary)
    assert "The year isn't over" not in " ".join(made(READING).summary)


@pytest.mark.parametrize(
    "lacking",
    [
        {"proofs": (PROOF, replace(PROOF, proxy=OTHER, reason="no answer"))},
        {"left_out": (LeftOut("policy", POLICY, "nobody has its terms"),)},
    ],
)
def test_what_lacks_is_said_first_and_by_name(lacking: dict[str, Any]) -> None:
    report = made(READING, **lacking)
    assert not report.complete
    assert "may not be complete" in report.summary[-1]
    proofs = report.parts[1]
    assert "no answer" in str(proofs.rows) or "nobody has its terms" in str(proofs.paragraphs)


def test_more_than_fits_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("panachain.sdk.reports.MOST", 2)
    monkeypatch.setattr(report_pdf, "MOST", 2)
    report = made(*[READING] * 5)
    assert (report.openings, report.shown, len(report.parts[0].rows)) == (5, 2, 2)
    assert "The first 2 of 5" in report.parts[0].paragraphs[0]


def test_words() -> None:
    assert purpose_words("\x1b") == "\x1b"
    assert purpose_words("") == "not stated"
    assert scope_words(["a/2024", "b", "a/2023"]) == ["a 2024, 2023", "b"]


def test_a_patients_report_of_a_real_log(world: World) -> None:
    upload(world, 2)
    opened(world, grant(world).policy_id)
    world.wait()
    year = datetime.fromtimestamp(world.now, UTC).year
    report = world.patient.auditing.report(year, name="Жанна")
    assert (report.openings, report.complete) == (1, True)
    ((_, who, house, what, why, _, _),) = report.parts[0].rows
    assert world.clinician.profile.handle in who
    assert world.hospital.profile.handle in house
    assert (what, why) == ("laboratory: 2 records", "treatment")
    text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(report.pdf())).pages)
    assert "Жанна" in text
    assert world.clinician.profile.handle in text.replace("\n", "")
    assert world.clinician.address in text.replace("\n", "")
    for wrong in (year + 1, 1999):
        with pytest.raises(UsageError, match="no report"):
            world.patient.auditing.report(wrong)
    # One that is down isn't taken for one that has nothing to say.
    world.proxies[0].up = False
    report = world.patient.auditing.report(year)
    assert not report.complete
    for proxy in world.proxies:
        proxy.up = False
    elsewhere = replace(world.patient.profile, folder=world.home / "x")
    stranger = type(world.patient)(world.network, elsewhere, "")
    with pytest.raises(UnavailableError):
        stranger.auditing.report(year)
