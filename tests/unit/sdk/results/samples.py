"""One of each result."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from panachain.model.actors import Actor, Address, PolicyId, Role, Status
from panachain.model.policy import PolicyStatus, Receipt, ReceiptKind
from panachain.model.records import RecordInfo
from panachain.model.scope import Category
from panachain.sdk.results.choices import AskedRecord, ChoicesReport, RecategorizeReport
from panachain.sdk.results.emergencies import EmergencyView
from panachain.sdk.results.erasures import AskErasureReport, DroppedShares, EraseReport, Erasures, ErasureView
from panachain.sdk.results.groups import GroupView, InvitationView
from panachain.sdk.results.guardians import (
    GuardedView,
    GuardiansReport,
    GuardianView,
    MovedReport,
    QuestionReport,
    RecoveryView,
    ReleaseReport,
)
from panachain.sdk.results.keys import KeyBlockView, KeyRotationReport
from panachain.sdk.results.listings import LeftOut
from panachain.sdk.results.log import ConvictionReport, LogEntry, LogProof
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.records import (
    LeftBehind,
    OpenedRecord,
    OwnReading,
    RecordProvenance,
    ResourceHistory,
    ResourceVersion,
    Survey,
    SurveyPart,
    WithdrawnRecord,
)
from panachain.sdk.results.recovery import BooksReport, DrillReport, RecoveryStatus, RestoredReport, SharesReport
from panachain.sdk.results.requests import DenialReport, RequestReport, RequestView, WithdrawnRequestReport
from panachain.sdk.results.revocations import RevocationReport, SubmissionReport
from panachain.sdk.results.searches import FoundRecord, SearchProof, SearchResult
from panachain.sdk.results.shares import MadeLink, ShareView
from panachain.sdk.results.summaries import PatientSummary
from panachain.sdk.results.tracing import Traced
from panachain.sdk.results.uploads import (
    PairedHospital,
    PairingReport,
    Proposal,
    PublishedView,
    ReadBack,
    RewrapReport,
    SettleReport,
    UnpairingReport,
    UploadReport,
    WithdrawReport,
)
from panachain.sdk.results.viewers import Standing, ViewerFile, ViewerView
from panachain.sdk.results.wards import WardAct, WardshipView

WHO, POLICY = Address("0x" + "11" * 20), PolicyId("0x" + "a1" * 20)
MOVING = RecoveryView(WHO, WHO, (WHO,), 9)
SECRET = b"the patient's plaintext"
RECEIPT = Receipt(WHO, 1, bytes(32), ReceiptKind.DELETED, POLICY, 5, 4, 1, detail=b"", signature=bytes(65))
VIEW = PolicyView(POLICY, PolicyStatus.ACTIVE, WHO, WHO, ("laboratory",), ("TREAT",), 10, 20, 2, 3, "bafy")
REVOKED = RevocationReport(POLICY, "0x01", 5, receipts=(), needed=2, shares=3)
ERASURE = ErasureView("bafy", WHO, WHO, "laboratory", 2024, "attested", at=5)
PART = SurveyPart("laboratory", 2024, WHO, records=1, size=2, newest_at=3)
VERSION = ResourceVersion("bafy", 5, "1", "", "current", ("code.text",))
FOUND = FoundRecord("bafy", WHO, "laboratory", 2024, "application/pdf", 5, 6, 1, ("131 mg/dL",))
LOOKED = SearchProof(WHO, 1, "bafy", 1, 1)
SHARED = ShareView("3f09", "", "open", 5, None, 1, 2, False, False, None, "", (("a hospital", 6),))
WARDSHIP = WardshipView(1, "in force", WHO, WHO, WHO, ("laboratory",), ("gender",), 5, 20, 4, papers="court")
RECORDS = [
    SHARED,
    MadeLink("shlink:/e30", SHARED),
    VIEW,
    EmergencyView(1, "active", WHO, WHO, 5, reason="found", cosigner=WHO, expires_at=9, review_due_at=20),
    PatientSummary(SECRET, {"allergies": 1}, records=1, hospitals=1),
    UploadReport((), skipped=1, plain_bytes=2, sealed_bytes=3),
    ReadBack(1, blocks=3, size=4),
    Proposal("in", WHO, ""),
    PublishedView("bafy", WHO, "laboratory/2024", 1),
    REVOKED,
    SubmissionReport(REVOKED.policy_id, proven=True, tx="", gas=0, receipts=(RECEIPT,)),
    LogEntry(5, "denied", POLICY, WHO, 1),
    LogProof(POLICY, WHO, 3, 70),
    Traced(Actor(WHO, Role.PRACTITIONER, Status.ACTIVE, bytes(32)), "seed", True),
    RequestView(1, "open", WHO, WHO, ("laboratory",), "TREAT", "", 20, until=30),
    RequestReport(1),
    KeyBlockView(1, bytes(32), "current", 5, 0, is_own=True, is_stored=True),
    KeyRotationReport("hos-a", 1, b"1" * 32, bytes(32), 6, False, False, (("pairings", 2),), tx="0x01"),
    WARDSHIP,
    WardAct(5, WHO, WHO, "paired", WHO, "detail"),
    SharesReport("me", "email frequent", threshold=2, count=3, made_at=5, files=("a.html",)),
    DrillReport("me", "email frequent", threshold=2, used=(1, 3), tested_at=6),
    RecoveryStatus("me", "tested", "email frequent", 2, 3, 5, 6, (1, 3), earlier=1),
    BooksReport(3, 1, "bafk", "0x01", passed_over=1),
    RestoredReport("me", WHO, "patient", "active", hospitals=1, records=2, policies=3, in_force=1),
    MOVING,
    GuardianView("sister", WHO),
    GuardiansReport(2, 259_200, (GuardianView("sister", WHO),), 7, (GuardianView("notary", WHO),), 9, MOVING, "0x01"),
    GuardedView(WHO, "guardian", 2, 1, 259_200, 9, MOVING, WHO),
    QuestionReport(WHO, "panachain/ask/1 bafk", "academic acid acne acquire acrobat"),
    ReleaseReport(WHO, 1, "panachain/answer/1 bafk"),
    MovedReport(WHO, WHO, (WHO,), "0x01"),
    DenialReport(1, "0x01"),
    WithdrawnRequestReport(1, "0x01"),
    FOUND,
    LOOKED,
    SearchResult((FOUND,), 1, (LOOKED,)),
    PART,
    Survey(POLICY, (PART,)),
    OwnReading(POLICY, WHO, "TREAT", 5, 1, categories=("laboratory",), years=(2024,)),
    PairingReport(WHO, "bafy", lanes=3, epoch=1, tx="0x01"),
    UnpairingReport(WHO, "0x01"),
    PairedHospital(WHO, paired=True, published=2, lanes=90, last_year=2028, current=False, orders=1),
    ChoicesReport(("HIV",)),
    AskedRecord("bafy", WHO, "laboratory", 2024),
    RecategorizeReport("private", ()),
    ERASURE,
    Erasures((ERASURE,)),
    AskErasureReport((ERASURE,)),
    DroppedShares((POLICY,), 3),
    EraseReport((ERASURE,), blocks=5, stores=1, transactions=("0x01", "0x02"), kept=1),
    ConvictionReport(POLICY, ("0x01",)),
    GroupView(WHO, "grp-x", Status.SUSPENDED, "", WHO, (WHO,)),
    InvitationView(WHO, WHO),
    LeftOut("request", "7", "nobody has its details", WHO),
    SettleReport(1),
    RewrapReport(1, 2),
    LeftBehind(superseded=1),
    WithdrawReport((), "wrong-patient"),
    WithdrawnRecord("bafy", WHO, "laboratory", 2024, 5, 6, "wrong-patient"),
    VERSION,
    ResourceHistory("Observation/o9", WHO, (VERSION,)),
    ViewerFile("program.js", 1, "00"),
    ViewerView("x", "1", "", WHO, None, Standing.UNKNOWN, "why", (), (), 1, "00"),
]


def opened(**more: Any) -> OpenedRecord:
    """Return a record whose source holds a secret."""
    info = RecordInfo(
        header_cid="bafy",
        hospital=WHO,
        category=Category.LABORATORY,
        year=2024,
        media_type="application/pdf",
        size=len(SECRET),
        stored_at=5,
        content_cid="bafz",
        envelope_cid="bafe",
        content_index=0,
        generation=0,
        digest=b"\x07" * 32,
    )
    source: Any = SimpleNamespace(
        read=lambda: SECRET,
        chunks=lambda: iter([SECRET[:5], SECRET[5:]]),
        read_range=lambda offset, size: SECRET[offset : offset + size],
    )
    return OpenedRecord(info, RecordProvenance(WHO, opened_as="patient"), source, **more)
