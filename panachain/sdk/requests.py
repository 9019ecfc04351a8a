"""Requests for access: what is asked for, sealed to the patient and to the practitioner himself.

Follows docs/spec/formats.md, section "Requests" (`panachain/request/1`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from panachain.chain.sidechain import AccessRequest
from panachain.crypto import labels, padding, stream, umbral
from panachain.errors import IntegrityError
from panachain.model.scope import Purpose
from panachain.sdk.network import Network
from panachain.sdk.results import RequestView
from panachain.storage import dagcbor
from panachain.storage.cid import CID, RAW


def seal_request(categories: Sequence[str], purpose: Purpose, note: str, *, readers: Sequence[bytes]) -> bytes:
    """Return the details of a request, sealed to two receiving keys (33 bytes each)."""
    key = os.urandom(32)
    body = dagcbor.encode({"categories": list(categories), "purpose": purpose.value, "note": note})
    wraps = b"".join(umbral.wrap(reader, key) for reader in readers)
    return wraps + stream.seal(padding.pad(body), key, labels.REQUEST)


def open_request(network: Network, request: AccessRequest, secret: umbral.SecretKey) -> RequestView:
    """Fetch and open a request's details.

    Raises:
        IntegrityError: they aren't sealed to this key.
    """
    block = network.store.get_block(CID(RAW, request.details))
    try:
        key = umbral.unwrap(secret, block[: umbral.WRAP_SIZE])
    except IntegrityError:
        # The requester's own wrap comes second.
        key = umbral.unwrap(secret, block[umbral.WRAP_SIZE : 2 * umbral.WRAP_SIZE])
    body = dagcbor.decode(padding.unpad(stream.open_(block[2 * umbral.WRAP_SIZE :], key, labels.REQUEST)))
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
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise IntegrityError(f"request {request.request_id} lacks a field or has one of the wrong type") from exc
