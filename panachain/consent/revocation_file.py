"""A signed revocation as a file: whoever gets it can submit it, and can do nothing else with it.

Holds no secret, and tells nothing that the chain doesn't tell once it is done: one policy, whose one-time key signed.
Follows docs/spec/formats.md (`panachain/signed-revocation/1`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from panachain.chain.revocations import check_revocation, registry_domain
from panachain.errors import UsageError
from panachain.ethereum import parse_address
from panachain.model.actors import Address, PolicyId
from panachain.model.sizes import COMPACT_SIGNATURE_SIZE
from panachain.model.transactions import Revocation

SCHEMA: Final = "panachain/signed-revocation/1"
MAX_SIZE: Final = 4096
"""Bytes of a file; one that we write has less than 500."""
_FIELDS: Final = {"schema", "chain_id", "policy_registry", "policy_id", "signature"}


@dataclass(frozen=True)
class RevocationFile:
    """What the file says."""

    chain_id: int
    """Of the mainchain (EIP-155)."""
    policy_registry: Address
    revocation: Revocation


def write_file(file: RevocationFile) -> bytes:
    """Return a file's content."""
    fields = {
        "schema": SCHEMA,
        "chain_id": file.chain_id,
        "policy_registry": file.policy_registry,
        "policy_id": file.revocation.policy_id,
        "signature": file.revocation.signature.hex(),
    }
    return json.dumps(fields, indent=1).encode() + b"\n"


def read_file(content: bytes) -> RevocationFile:
    """Return what a file says, once its signature is checked.

    Raises:
        UsageError: it isn't of the documented form.
        IntegrityError: the policy's own key didn't sign it.
    """
    try:
        if len(content) > MAX_SIZE:
            raise ValueError("too large")
        fields = json.loads(content)
        if not isinstance(fields, dict) or set(fields) != _FIELDS or fields["schema"] != SCHEMA:
            raise ValueError("other fields")
        chain_id, text = fields["chain_id"], fields["signature"]
        if type(chain_id) is not int or not 0 < chain_id < 1 << 256 or not isinstance(text, str):
            raise TypeError("no chain ID, or no signature")
        signature = bytes.fromhex(text)
        if len(signature) != COMPACT_SIGNATURE_SIZE:
            raise ValueError("a signature of another size")
        registry, policy_id = (parse_address(fields[name]) for name in ("policy_registry", "policy_id"))
    # A key that stands twice: json takes the last one, and the signature has to fit it.
    except (ValueError, TypeError, RecursionError) as exc:
        raise UsageError(f"this isn't a signed revocation of the schema {SCHEMA}") from exc
    revocation = Revocation(PolicyId(policy_id), signature)
    check_revocation(registry_domain(chain_id, registry), revocation)
    return RevocationFile(chain_id, registry, revocation)
