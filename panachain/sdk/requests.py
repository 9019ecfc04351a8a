"""Requests for access and their outcomes: sealed to the patient and to the practitioner, and to nobody else.

Follows docs/spec/formats.md, section "Requests" (`panachain/request/1`, `panachain/outcome/1`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from panachain.crypto import box, labels, umbral
from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import PolicyId
from panachain.model.scope import Purpose
from panachain.model.transactions import AccessRequest
from panachain.sdk.network import Network
from panachain.sdk.results import RequestView


def seal_request(
    categories: Sequence[str], purpose: Purpose, note: str, until: int, *, readers: Sequence[bytes]
) -> bytes:
    """Return the details of a request, sealed to two receiving keys (33 bytes each)."""
    body = {"categories": list(categories), "purpose": purpose.value, "note": note, "until": until}
    return box.seal_to_each(readers, dagcbor.encode(body), labels.REQUEST)


def seal_outcome(policy_id: PolicyId, categories: Sequence[str], *, readers: Sequence[bytes]) -> bytes:
    """Return what an approval granted, sealed to two receiving keys: the sidechain must not name the policy."""
    body = {"policy": bytes.fromhex(policy_id[2:]), "categories": list(categories)}
    return box.seal_to_each(readers, dagcbor.encode(body), labels.OUTCOME)


def open_request(network: Network, request: AccessRequest, secret: umbral.SecretKey) -> RequestView:
    """Fetch and open a request's details, and its outcome when it was approved.

    Raises:
        IntegrityError: they aren't sealed to this key.
    """
    body = _open(network, request.details, secret, labels.REQUEST)
    outcome = network.sidechain.requests.outcome_of(request.request_id) if request.state == "approved" else None
    nothing: dict[str, Any] = {"policy": b"", "categories": []}
    granted = _open(network, outcome, secret, labels.OUTCOME) if outcome else nothing
    requester = network.sidechain.identities.identity_of(request.requester)
    try:
        return RequestView(
            request_id=request.request_id,
            state=request.state,
            requester=request.requester,
            patient=request.patient,
            categories=tuple(body["categories"]),
            purpose=Purpose(body["purpose"]).value,
            note=str(body["note"]),
            expires_at=request.expires_at,
            until=int(body["until"]),
            organisation=(requester.organisation or "") if requester else "",
            policy_id=_policy_id(granted["policy"]),
            granted=tuple(granted["categories"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise IntegrityError(f"request {request.request_id} lacks a field or has one of the wrong type") from exc


def _open(network: Network, digest: bytes, secret: umbral.SecretKey, label: bytes) -> dict[str, Any]:
    block = network.store.get_block(CID(RAW, digest))
    fields = dagcbor.decode(box.open_shared(secret, block, label, readers=2))
    if not isinstance(fields, dict):
        raise IntegrityError("a request's details aren't a map")
    return fields


def _policy_id(raw: bytes) -> str:
    # Imported here: most requests aren't approved yet.
    from panachain.ethereum import checksum_address

    return checksum_address(raw) if raw else ""
