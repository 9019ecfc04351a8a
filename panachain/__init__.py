"""PanaChain: health records that belong to their patients.

    from panachain import connect
    with connect("me", role="patient") as patient:
        policy = patient.grant("doctor", categories=["laboratory"], until=timedelta(days=30))

Names load on first use: the command line's `--help` must not pay for the chain's or the cryptography's packages.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    # For type checkers and editors, which don't run `__getattr__`.
    from panachain.devnet import Devnet, DevnetStatus
    from panachain.errors import PanaChainError
    from panachain.model.actors import Actor, Role, Status
    from panachain.model.policy import PolicyStatus
    from panachain.model.progress import Progress
    from panachain.model.records import RecordInfo
    from panachain.model.scope import Category, Purpose
    from panachain.research.index import PolicyRow, QueryProvenance, QueryResult, StorageRow
    from panachain.sdk import AnyActor, Hospital, Network, Patient, Practitioner, Registrar, Researcher, connect
    from panachain.sdk.readings import Reading
    from panachain.sdk.results import (
        ConvictionReport,
        DenialReport,
        GroupView,
        LogEntry,
        OpenedRecord,
        PairingReport,
        PolicyView,
        PublishedView,
        RecordProvenance,
        RequestReport,
        RequestView,
        RevocationReport,
        RewrapReport,
        SettleReport,
        UploadReport,
    )

_PLACES: Final = {
    "Actor": "model.actors",
    "AnyActor": "sdk",
    "Category": "model.scope",
    "ConvictionReport": "sdk.results",
    "DenialReport": "sdk.results",
    "Devnet": "devnet",
    "DevnetStatus": "devnet",
    "GroupView": "sdk.results",
    "Hospital": "sdk",
    "LogEntry": "sdk.results",
    "Network": "sdk",
    "OpenedRecord": "sdk.results",
    "PairingReport": "sdk.results",
    "PanaChainError": "errors",
    "Patient": "sdk",
    "PolicyRow": "research.index",
    "PolicyStatus": "model.policy",
    "PolicyView": "sdk.results",
    "Practitioner": "sdk",
    "Progress": "model.progress",
    "PublishedView": "sdk.results",
    "Purpose": "model.scope",
    "QueryProvenance": "research.index",
    "QueryResult": "research.index",
    "Reading": "sdk.readings",
    "RecordInfo": "model.records",
    "RecordProvenance": "sdk.results",
    "Registrar": "sdk",
    "RequestReport": "sdk.results",
    "RequestView": "sdk.results",
    "Researcher": "sdk",
    "RevocationReport": "sdk.results",
    "RewrapReport": "sdk.results",
    "Role": "model.actors",
    "SettleReport": "sdk.results",
    "Status": "model.actors",
    "StorageRow": "research.index",
    "UploadReport": "sdk.results",
    "connect": "sdk",
}
__all__ = [
    "Actor",
    "AnyActor",
    "Category",
    "ConvictionReport",
    "DenialReport",
    "Devnet",
    "DevnetStatus",
    "GroupView",
    "Hospital",
    "LogEntry",
    "Network",
    "OpenedRecord",
    "PairingReport",
    "PanaChainError",
    "Patient",
    "PolicyRow",
    "PolicyStatus",
    "PolicyView",
    "Practitioner",
    "Progress",
    "PublishedView",
    "Purpose",
    "QueryProvenance",
    "QueryResult",
    "Reading",
    "RecordInfo",
    "RecordProvenance",
    "Registrar",
    "RequestReport",
    "RequestView",
    "Researcher",
    "RevocationReport",
    "RewrapReport",
    "Role",
    "SettleReport",
    "Status",
    "StorageRow",
    "UploadReport",
    "connect",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # By name: a static import would make every floor depend on the SDK.
    return getattr(import_module(f"panachain.{_PLACES[name]}"), name)
