"""Every template of the patient's pages, with hostile texts in every field of every result that it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.consent.explain import HEADINGS, Explanation
from panachain.errors import Omission, PanaChainError
from panachain.model.actors import Address, PolicyId, Role
from panachain.model.policy import PolicyStatus
from panachain.model.records import RecordInfo
from panachain.model.scope import Category
from panachain.plain import line
from panachain.portal.i18n import speaking
from panachain.portal.pages.leaks import Ended, Leaked, TakenBack
from panachain.portal.pages.patient_choosing import LENGTHS
from panachain.portal.pages.patient_emergency import STATES as EMERGENCIES
from panachain.portal.pages.patient_erasures import STATES as ERASED
from panachain.portal.pages.patient_export import Exported
from panachain.portal.pages.patient_home import Waiting
from panachain.portal.pages.patient_log import Log, Wanted, shown
from panachain.portal.pages.patient_records import OneRecord, Openings, Records, listed
from panachain.portal.pages.patient_wards import ACTS, STATES
from panachain.portal.paging import part_of
from panachain.portal.rendering import HERE, environment
from panachain.records.sensitivity.kinds import kinds
from panachain.sdk.access import Allowed, Reader, Readers
from panachain.sdk.readings import Reading
from panachain.sdk.results.choices import AskedRecord, ChoicesReport, RecategorizeReport
from panachain.sdk.results.emergencies import EmergencyView
from panachain.sdk.results.erasures import AskErasureReport, DroppedShares, Erasures
from panachain.sdk.results.guardians import RecoveryView
from panachain.sdk.results.listings import LeftOut, Listing
from panachain.sdk.results.log import LIED, SILENT, ConvictionReport, LogEntry, LogProof
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.records import (
    LeftBehind,
    OpenedRecord,
    RecordProvenance,
    ResourceHistory,
    ResourceVersion,
    WithdrawnRecord,
)
from panachain.sdk.results.requests import DenialReport, RequestView
from panachain.sdk.results.revocations import RevocationReport
from panachain.sdk.results.shares import MadeLink
from panachain.sdk.results.uploads import PairedHospital, PairingReport, UnpairingReport
from panachain.sdk.results.wards import WardAct
from tests.portal.conftest import text_of
from tests.unit.portal.hostile import TEXTS, harmless, label
from tests.unit.sdk.results.samples import ERASURE, RECEIPT, SHARED, WARDSHIP

WHO, POLICY = Address("0x" + "11" * 20), PolicyId("0x" + "a1" * 20)
KEPT = {"policy_id", "hospital"}
"""Fields of the results that the chains write: an account, or a policy's ID."""


def poisoned(value: Any, text: str) -> Any:
    """Return a value with a text in each place where a text is, but for accounts and enumerations."""
    if isinstance(value, PanaChainError):
        return PanaChainError(text, hint=text)
    if is_dataclass(value) and not isinstance(value, type):
        changes = {one.name: poisoned(getattr(value, one.name), text) for one in fields(value) if one.init}
        return replace(value, **{name: new for name, new in changes.items() if name not in KEPT})
    if isinstance(value, Enum | bytes):
        return value
    if isinstance(value, str):
        return text
    if isinstance(value, list | tuple):
        return type(value)(poisoned(one, text) for one in value)
    if isinstance(value, Mapping):
        return {poisoned(key, text): poisoned(one, text) for key, one in value.items()}
    return value


VIEW = PolicyView(
    policy_id=POLICY,
    status=PolicyStatus.ACTIVE,
    patient=WHO,
    grantee=WHO,
    scopes=("laboratory", "vitals/2024"),
    purposes=("TREAT",),
    starts_at=1,
    expires_at=2,
    threshold=2,
    proxies=3,
    terms_cid="bafy",
    tx="0x01",
    lacking=1,
    disclosed=True,
    stage="somewhere",
    alarms={WHO: "it serves"},
    grantee_name="doctor",
)
REQUEST = RequestView(
    1,
    "open",
    WHO,
    WHO,
    ("laboratory",),
    "TREAT",
    "a note",
    9,
    8,
    WHO,
    POLICY,
    ("laboratory",),
    WHO,
    "me",
    "doctor",
    "nurse",
)
EMERGENCY = EmergencyView(1, "active", WHO, WHO, 5, "found", WHO, 9, 20, WHO)
ACT = WardAct(5, WHO, WHO, "paired", WHO, "detail")
LEFT = tuple(LeftOut(kind, "7", "nobody has it", WHO) for kind in ("request", "policy", "pairing", "other"))
OMITTED = (Omission(WHO, "record bafy", PanaChainError("torn")),)
INFO = RecordInfo(
    WHO, Category.LABORATORY, 2024, "application/pdf", 9, b"", 1, "bafyheader", "bafycontent", "bafyenv", 0, 0
)
RECORD = OpenedRecord(INFO, RecordProvenance(WHO), None, also_from=(WHO,))  # type: ignore[arg-type]
GONE = WithdrawnRecord("bafy", WHO, "laboratory", 2024, 1, 2, "other")
HISTORY = ResourceHistory("Observation/1", WHO, (ResourceVersion("bafy", 1, "1", "", "current", ("code.text",)),))
READING = Reading(WHO, WHO, POLICY, ("laboratory",), "TREAT", 1, 2, True, 1, (WHO,), (WHO,), "doctor")
ENTRY = LogEntry(1, "reencrypted", POLICY, WHO, 1, WHO, WHO, "TREAT", ("laboratory",), receipt=RECEIPT)
FAULTS = (
    replace(ENTRY, kind=LIED, reason="it lies", receipt=None),
    replace(ENTRY, kind=SILENT, reason="it hangs", receipt=None),
)
REVOKED = RevocationReport(
    POLICY,
    "0x01",
    1,
    (),
    2,
    3,
    ("proxy a: down",),
    False,
    ("no relay",),
    {WHO: "it serves"},
    True,
    False,
    (WHO,),
    {},
    OMITTED,
)
PAIRED = PairedHospital(WHO, paired=True, published=2, lanes=9, last_year=2028, current=False, orders=1, name="clinic")


def pages(text: str) -> dict[str, dict[str, Any]]:
    """Return for each template what a page gives it."""
    bad = lambda value: poisoned(value, text)  # noqa: E731
    view, request, reading, record = bad(VIEW), bad(REQUEST), bad(READING), bad(RECORD)
    left, omitted = bad(LEFT), bad(OMITTED)
    reader = Reader(view.grantee, text, {"laboratory": Allowed(2, 1, (2024,), (POLICY,))}, (view,) * 4)
    kept = Records([record], [bad(GONE)], omitted, omitted, LeftBehind(superseded=1), (), 1)
    log = Log([bad(ENTRY), *bad(FAULTS)], [reading], left, 1)
    explanation = Explanation(POLICY, text, *((text,) for _ in HEADINGS))
    waiting = Waiting((request,) * 6, (view,) * 6, (view,), (view,), (view,))
    ward = bad(WARDSHIP)
    # Their states are ours.
    erasure, emergency = replace(bad(ERASURE), state="attested"), replace(bad(EMERGENCY), state="active")
    one_report = Exported("name", Path("x"), "application/zip", 1, 1, (*omitted, *left))
    # As the page's route cleans what was typed.
    typed = line(text)
    given = {"who": typed, "years": typed, "day": typed, "length": text, "categories": (text,), "purposes": (text,)}
    lengths = {code: words for code, (words, _seconds) in LENGTHS.items()}
    return {
        "home.html": {
            "moving": RecoveryView(WHO, WHO, (WHO,), 1_900_000_000),
            "matrix": Readers(("laboratory", "all"), (reader,)),
            "people": part_of([reader], "1"),
            "waiting": waiting,
            "left_out": left,
            "now": 0,
        },
        "settled.html": {"result": [view]},
        "grants.html": {"part": part_of([view], "1"), "show": "now", "counts": {"now": 1, "over": 0}, "left_out": left},
        "grant.html": {
            "given": given,
            "error": PanaChainError(text, hint=text),
            "known": [SimpleNamespace(name="doctor")],
            "wide": ("all",),
            "categories": ["laboratory"],
            "restricted": ["gender"],
            "purposes": ["TREAT"],
            "lengths": lengths,
        },
        "granted.html": {"result": view},
        "one_grant.html": {
            "policy": view,
            "explanation": explanation,
            "headings": HEADINGS,
            "over": False,
            "revoked": True,
        },
        "revoked.html": {"result": bad(REVOKED), "asked_new_lanes": True},
        "requests.html": {
            "part": part_of([request], "1"),
            "show": "open",
            "counts": {"open": 1, "answered": 0},
            "left_out": left,
            "lengths": lengths,
        },
        "denied.html": {"result": DenialReport(1, text)},
        "records.html": {"result": listed(kept)},
        "withdrawn.html": {"part": part_of([bad(GONE)], "1")},
        "record.html": {
            "result": OneRecord(record, Listing([view], left), Openings([reading], left, 1), [bad(HISTORY)]),
        },
        "versions_read.html": {"result": text},
        "who_read.html": {"result": Openings([reading], left, 1), "back": "/records/withdrawn"},
        "ward_new.html": {"categories": ["laboratory"], "kept": (text,), "most": 2000},
        "ward_proposed.html": {"result": ward},
        "ward_taken.html": {"result": SimpleNamespace(name=text)},
        "leaked.html": {"result": Leaked([text], Openings([reading], left, 1))},
        "ended.html": {
            "result": TakenBack([Ended(view, bad(REVOKED)), Ended(view, None, PanaChainError(text, hint=text))], left),
            "who": text,
        },
        "log.html": {"result": shown(log, Wanted(text, text, "", "", text, text))},
        "reading.html": {"reading": reading, "receipts": [bad(ENTRY)], "number": 1, "at": 1},
        "convicted.html": {"result": ConvictionReport(POLICY, (text,))},
        "proven.html": {
            "result": [bad(LogProof(POLICY, WHO, 1, 2)), LogProof(POLICY, WHO, 1, 2, reason=text, lied=True)]
        },
        "moved.html": {
            "result": bad(RecategorizeReport("private", (AskedRecord("b", WHO, "vitals", 1),), omissions=OMITTED))
        },
        "hospitals.html": {"part": part_of([bad(PAIRED)], "1"), "left_out": left, "known": ["clinic"]},
        "paired.html": {"result": bad(PairingReport(WHO, "bafy", 1, 1, "0x", OMITTED))},
        "unpaired.html": {"result": bad(UnpairingReport(WHO, "0x"))},
        "choices.html": {"kinds": list(kinds().values()), "chosen": bad(ChoicesReport(("HIV",))), "paired": True},
        "chosen.html": {"result": bad(ChoicesReport(("HIV",), omissions=OMITTED))},
        "export.html": {"exports": [one_report]},
        "exported.html": {"result": one_report},
        "erasures.html": {"part": part_of([erasure], "1"), "omissions": omitted, "states": ERASED, "idle": ("0x1",)},
        "shares_dropped.html": {"result": DroppedShares((), 0, omitted)},
        "erasures_looked.html": {"result": Erasures((erasure,), omitted)},
        "erasure_asked.html": {"result": AskErasureReport((erasure,), omitted)},
        "emergency.html": {
            "prepared": [view],
            "unread": left,
            "part": part_of([emergency], "1"),
            "states": EMERGENCIES,
            "years": (1, 2),
            "waits": (15, 30),
            "categories": ["conditions"],
            "beside": ["pat-x"],
        },
        "emergency_card.html": {"handle": "pat-x", "code": ""},
        "emergency_prepared.html": {"result": view},
        "emergency_vetoed.html": {"result": Listing([bad(REVOKED)], left)},
        "links.html": {
            "damaged": [text],
            "links": [bad(SHARED)],
            "words": ["all", "gender"],
            "days": (1, 30),
            "restricted": {"gender"},
            "url": text,
            "most_label": 80,
            "most_url": 128,
        },
        "link_made.html": {
            "result": SimpleNamespace(link=MadeLink(text, bad(SHARED)), passcode="1234", omissions=omitted, code="")
        },
        "link_ended.html": {"result": bad(SHARED)},
        "wards.html": {"part": part_of([ward], "1"), "own": ward.carer, "states": STATES},
        "ward_acts.html": {"part": part_of([bad(ACT)], "1"), "wardship": ward, "acts": ACTS},
        "ward_done.html": {"result": ward},
    }


PARTS = {"parts.html", "readings.html"}
"""Macros only."""


def test_every_template_is_held_here() -> None:
    assert set(pages("x")) | PARTS == {path.name for path in (HERE / "templates" / "patient").glob("*.html")}


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("text", TEXTS, ids=label)
def test_a_hostile_text_is_harmless_in_every_place(text: str, language: str) -> None:
    bad = []
    for name, values in pages(text).items():
        html = drawn(name, values, language)
        bad += [] if harmless(html) and len(html) < 400_000 else [name]
    assert bad == []


def drawn(name: str, values: Mapping[str, Any], language: str) -> str:
    """Return a page as a patient's seat shows it."""
    seat = SimpleNamespace(
        names=SimpleNamespace(of=lambda address, _=None: address),
        role=Role.PATIENT,
        jobs=SimpleNamespace(running=[]),
        profile=SimpleNamespace(display_name="", name="me"),
    )
    shared = {
        "nonce": "n",
        "csrf_token": "t",
        "seat": seat,
        "path": "/x",
        "query": {},
        "language": language,
        "navigation": (),
        "job": None,
        "error": None,
        "title": "x",
    }
    with speaking(language):
        return environment().get_template(f"patient/{name}").render(shared | values)


def test_of_a_record_that_moved_the_earlier_place_clears_nobody() -> None:
    moved = LeftOut("record", "bafy", "it was moved", since=1_750_000_000)
    silent = LeftOut("proxy", WHO, "silent")

    def told(*left: LeftOut, language: str = "en") -> str:
        leaked = {"result": Leaked(["bafy"], Openings([], left, 1))}
        return text_of(drawn("leaked.html", leaked, language))

    text = told(moved)
    assert "Nobody has opened what it lies in now." in text
    assert "Openings of where it lies now are told here from this time on" in text
    assert "or later because they kept a copy of it" in text
    assert "If nobody else opened it, it leaked from the hospital" in text
    assert "As far as the proxies tell, it leaked" not in text
    assert "This isn't the whole answer" not in text
    german = told(moved, language="de")
    assert "Niemand hat geöffnet, worin er jetzt liegt." in german
    assert "Wenn es sonst niemand geöffnet hat, stammt es vom Krankenhaus" in german
    text = told(moved, silent)
    assert "As far as could be read and asked, nobody has opened what it lies in." in text
    assert "This isn't the whole answer: one thing" in text
    text = told()
    assert "Nobody has opened what it lies in." in text
    assert "As far as the proxies tell, it leaked" in text
