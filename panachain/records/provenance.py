"""FHIR Provenance of an opened record: who published it when, under which policy it was opened, and the signature.

Pure: takes what the checked header said. Follows FHIR R4 (Provenance, Signature) and docs/spec/formats.md.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any, Final

from panachain.model.records import RecordInfo

_ACTIVITY: Final = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_AGENT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_SIGNATURE: Final = {"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}
"""The author's signature (ASTM E1762-95)."""
FORMAT: Final = "application/vnd.panachain.header-signature+secp256k1"
"""64 bytes r ‖ s by the hospital's key in the ActorRegistry, over what docs/spec/formats.md says of headers."""


def provenance(info: RecordInfo, *, signature: bytes, policy_id: str = "") -> dict[str, Any]:
    """Return the Provenance resource of one record.

    Args:
        info: from its checked header.
        signature: the hospital's, over the header, 64 bytes.
        policy_id: under which it was opened; empty for the patient.
    """
    hospital = {"type": "Organization", "identifier": {"system": "urn:panachain:hospital", "value": info.hospital}}
    at = datetime.fromtimestamp(info.stored_at, UTC).isoformat().replace("+00:00", "Z")
    made: dict[str, Any] = {
        "resourceType": "Provenance",
        "target": [
            {
                "type": "Bundle" if info.media_type == "application/fhir+json" else "Binary",
                "identifier": {"system": "urn:panachain:record", "value": info.header_cid},
            }
        ],
        "occurredDateTime": at,
        "recorded": at,
        "activity": {"coding": [{"system": _ACTIVITY, "code": "CREATE"}]},
        "agent": [{"type": {"coding": [{"system": _AGENT, "code": "author"}]}, "who": hospital}],
        "entity": [
            {
                "role": "source",
                "what": {"identifier": {"system": "urn:panachain:content", "value": info.content_cid}},
            }
        ],
        "signature": [
            {
                "type": [_SIGNATURE],
                "when": at,
                "who": hospital,
                "sigFormat": FORMAT,
                "data": base64.b64encode(signature).decode(),
            }
        ],
    }
    if policy_id:
        made["policy"] = [f"urn:panachain:policy:{policy_id}"]
    return made
