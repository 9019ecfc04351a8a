"""PanaChain: health records that belong to their patients.

    from panachain import connect
    with connect("me", role="patient") as patient:
        policy = patient.grant("doctor", categories=["laboratory"], until=timedelta(days=30))

Names load on first use: the command line's `--help` must not pay for the chain's or the cryptography's packages.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from panachain.version import VERSION

if TYPE_CHECKING:
    # For type checkers and editors, which don't run `__getattr__`.
    from panachain.devnet import Devnet, DevnetProxy, DevnetStatus
    from panachain.errors import Omission, PanaChainError, PartlyDoneError
    from panachain.model.actors import Actor, Role, Status
    from panachain.model.policy import PolicyStatus
    from panachain.model.progress import Progress
    from panachain.model.records import RecordInfo
    from panachain.model.scope import Category, Purpose
    from panachain.research.index import PolicyRow, QueryProvenance, QueryResult, StorageRow, Tally
    from panachain.sdk import AnyActor, Hospital, Network, Patient, Practitioner, Registrar, Researcher, connect
    from panachain.sdk.asking import Asking
    from panachain.sdk.books import Books
    from panachain.sdk.emergencies import BreakGlass, OwnEmergencies, Reviews
    from panachain.sdk.exporting import BundleExport
    from panachain.sdk.guardians import OwnGuardians
    from panachain.sdk.guarding import Guarding
    from panachain.sdk.hospital_erasures import HospitalErasures
    from panachain.sdk.key_rotation import OwnKeys
    from panachain.sdk.opening import Opening
    from panachain.sdk.own_choices import OwnChoices
    from panachain.sdk.own_erasures import OwnErasures
    from panachain.sdk.own_shares import OwnShare
    from panachain.sdk.readings import Dissent, Reading
    from panachain.sdk.recovery import Recovery, RecoveryShare
    from panachain.sdk.report_pdf import Report
    from panachain.sdk.results.emergencies import EmergencyView
    from panachain.sdk.results.erasures import EraseReport, ErasureView
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
        HandedIn,
        LeftBehind,
        OpenedRecord,
        OwnReading,
        OwnReceipt,
        ProvenReading,
        RecordProvenance,
        ResourceHistory,
        ResourceVersion,
        Survey,
        SurveyPart,
        WithdrawnRecord,
    )
    from panachain.sdk.results.recovery import BooksReport, DrillReport, RecoveryStatus, RestoredReport, SharesReport
    from panachain.sdk.results.requests import DenialReport, RequestReport, RequestView, WithdrawnRequestReport
    from panachain.sdk.results.revocations import RevocationReport
    from panachain.sdk.results.searches import FoundRecord, SearchProof, SearchResult
    from panachain.sdk.results.shares import MadeLink, ShareView
    from panachain.sdk.results.summaries import PatientSummary
    from panachain.sdk.results.tracing import Traced
    from panachain.sdk.results.uploads import (
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
    from panachain.sdk.sharing import Sharing
    from panachain.sdk.viewers import Viewers
    from panachain.sdk.wards import Attests, Wards
    from panachain.sdk.watching import Happening

__version__: Final = VERSION
_PLACES: Final = {
    "Actor": "model.actors",
    "AnyActor": "sdk",
    "Asking": "sdk.asking",
    "Attests": "sdk.wards",
    "Books": "sdk.books",
    "BooksReport": "sdk.results.recovery",
    "BreakGlass": "sdk.emergencies",
    "BundleExport": "sdk.exporting",
    "Category": "model.scope",
    "ConvictionReport": "sdk.results.log",
    "DenialReport": "sdk.results.requests",
    "Devnet": "devnet",
    "DevnetProxy": "devnet",
    "DevnetStatus": "devnet",
    "DrillReport": "sdk.results.recovery",
    "EmergencyView": "sdk.results.emergencies",
    "EraseReport": "sdk.results.erasures",
    "ErasureView": "sdk.results.erasures",
    "FoundRecord": "sdk.results.searches",
    "GroupView": "sdk.results.groups",
    "GuardedView": "sdk.results.guardians",
    "GuardianView": "sdk.results.guardians",
    "GuardiansReport": "sdk.results.guardians",
    "Guarding": "sdk.guarding",
    "Happening": "sdk.watching",
    "Hospital": "sdk",
    "HospitalErasures": "sdk.hospital_erasures",
    "InvitationView": "sdk.results.groups",
    "KeyBlockView": "sdk.results.keys",
    "KeyRotationReport": "sdk.results.keys",
    "LeftBehind": "sdk.results.records",
    "LeftOut": "sdk.results.listings",
    "LogEntry": "sdk.results.log",
    "LogProof": "sdk.results.log",
    "MadeLink": "sdk.results.shares",
    "MovedReport": "sdk.results.guardians",
    "Network": "sdk",
    "Omission": "errors",
    "OpenedRecord": "sdk.results.records",
    "Opening": "sdk.opening",
    "OwnChoices": "sdk.own_choices",
    "OwnEmergencies": "sdk.emergencies",
    "OwnErasures": "sdk.own_erasures",
    "OwnGuardians": "sdk.guardians",
    "OwnKeys": "sdk.key_rotation",
    "OwnReading": "sdk.results.records",
    "OwnReceipt": "sdk.results.records",
    "OwnShare": "sdk.own_shares",
    "HandedIn": "sdk.results.records",
    "ProvenReading": "sdk.results.records",
    "PairingReport": "sdk.results.uploads",
    "PanaChainError": "errors",
    "PartlyDoneError": "errors",
    "Patient": "sdk",
    "PatientSummary": "sdk.results.summaries",
    "PolicyRow": "research.index",
    "PolicyStatus": "model.policy",
    "PolicyView": "sdk.results.policies",
    "Practitioner": "sdk",
    "Progress": "model.progress",
    "Proposal": "sdk.results.uploads",
    "PublishedView": "sdk.results.uploads",
    "Purpose": "model.scope",
    "QueryProvenance": "research.index",
    "QueryResult": "research.index",
    "QuestionReport": "sdk.results.guardians",
    "ReadBack": "sdk.results.uploads",
    "Dissent": "sdk.readings",
    "Reading": "sdk.readings",
    "RecordInfo": "model.records",
    "RecordProvenance": "sdk.results.records",
    "Recovery": "sdk.recovery",
    "RecoveryShare": "sdk.recovery",
    "RecoveryStatus": "sdk.results.recovery",
    "RecoveryView": "sdk.results.guardians",
    "Registrar": "sdk",
    "ReleaseReport": "sdk.results.guardians",
    "RequestReport": "sdk.results.requests",
    "Report": "sdk.report_pdf",
    "RequestView": "sdk.results.requests",
    "Researcher": "sdk",
    "ResourceHistory": "sdk.results.records",
    "ResourceVersion": "sdk.results.records",
    "RestoredReport": "sdk.results.recovery",
    "Reviews": "sdk.emergencies",
    "RevocationReport": "sdk.results.revocations",
    "RewrapReport": "sdk.results.uploads",
    "Role": "model.actors",
    "SearchProof": "sdk.results.searches",
    "SearchResult": "sdk.results.searches",
    "SettleReport": "sdk.results.uploads",
    "ShareView": "sdk.results.shares",
    "SharesReport": "sdk.results.recovery",
    "Sharing": "sdk.sharing",
    "Standing": "sdk.results.viewers",
    "Status": "model.actors",
    "StorageRow": "research.index",
    "Survey": "sdk.results.records",
    "SurveyPart": "sdk.results.records",
    "Tally": "research.index",
    "Traced": "sdk.results.tracing",
    "UnpairingReport": "sdk.results.uploads",
    "UploadReport": "sdk.results.uploads",
    "ViewerFile": "sdk.results.viewers",
    "ViewerView": "sdk.results.viewers",
    "Viewers": "sdk.viewers",
    "WardAct": "sdk.results.wards",
    "Wards": "sdk.wards",
    "WardshipView": "sdk.results.wards",
    "WithdrawReport": "sdk.results.uploads",
    "WithdrawnRecord": "sdk.results.records",
    "WithdrawnRequestReport": "sdk.results.requests",
    "connect": "sdk",
}
__all__ = [
    "Actor",
    "AnyActor",
    "Asking",
    "Attests",
    "Books",
    "BooksReport",
    "BreakGlass",
    "BundleExport",
    "Category",
    "ConvictionReport",
    "DenialReport",
    "Devnet",
    "DevnetProxy",
    "DevnetStatus",
    "Dissent",
    "DrillReport",
    "EmergencyView",
    "EraseReport",
    "ErasureView",
    "FoundRecord",
    "GroupView",
    "GuardedView",
    "GuardianView",
    "GuardiansReport",
    "Guarding",
    "HandedIn",
    "Happening",
    "Hospital",
    "HospitalErasures",
    "InvitationView",
    "KeyBlockView",
    "KeyRotationReport",
    "LeftBehind",
    "LeftOut",
    "LogEntry",
    "LogProof",
    "MadeLink",
    "MovedReport",
    "Network",
    "Omission",
    "OpenedRecord",
    "Opening",
    "OwnChoices",
    "OwnEmergencies",
    "OwnErasures",
    "OwnGuardians",
    "OwnKeys",
    "OwnReading",
    "OwnReceipt",
    "OwnShare",
    "PairingReport",
    "PanaChainError",
    "PartlyDoneError",
    "Patient",
    "PatientSummary",
    "PolicyRow",
    "PolicyStatus",
    "PolicyView",
    "Practitioner",
    "Progress",
    "Proposal",
    "ProvenReading",
    "PublishedView",
    "Purpose",
    "QueryProvenance",
    "QueryResult",
    "QuestionReport",
    "ReadBack",
    "Reading",
    "RecordInfo",
    "RecordProvenance",
    "Recovery",
    "RecoveryShare",
    "RecoveryStatus",
    "RecoveryView",
    "Registrar",
    "ReleaseReport",
    "Report",
    "RequestReport",
    "RequestView",
    "Researcher",
    "ResourceHistory",
    "ResourceVersion",
    "RestoredReport",
    "Reviews",
    "RevocationReport",
    "RewrapReport",
    "Role",
    "SearchProof",
    "SearchResult",
    "SettleReport",
    "ShareView",
    "SharesReport",
    "Sharing",
    "Standing",
    "Status",
    "StorageRow",
    "Survey",
    "SurveyPart",
    "Tally",
    "Traced",
    "UnpairingReport",
    "UploadReport",
    "ViewerFile",
    "ViewerView",
    "Viewers",
    "WardAct",
    "Wards",
    "WardshipView",
    "WithdrawReport",
    "WithdrawnRecord",
    "WithdrawnRequestReport",
    "connect",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # By name: a static import would make every floor depend on the SDK.
    return getattr(import_module(f"panachain.{_PLACES[name]}"), name)
