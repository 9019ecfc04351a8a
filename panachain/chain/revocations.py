"""Signed revocations: whoever holds one can check by itself that the policy's owner takes the policy back.

No chain is asked: the signature is the proof, and it never expires (ADR 4). What the chain says of a policy is for
chain/contracts/policy_registry.py. Follows EIP-712, ERC-2098 and contracts/interfaces/IPolicyRegistry.sol.
"""

from __future__ import annotations

from typing import Final

from panachain.chain.signing import domain_separator, expanded, recover_digest, typed_digest
from panachain.chain.typed import hash_struct
from panachain.errors import IntegrityError
from panachain.ethereum import keccak
from panachain.model.actors import Address
from panachain.model.transactions import Revocation

_REVOKE_TYPE: Final = keccak("Revoke(address owner)")


def registry_domain(chain_id: int, policy_registry: str) -> bytes:
    """Return the EIP-712 domain separator of the policy registry, 32 bytes: a revocation counts for one registry."""
    return domain_separator("PanaChain PolicyRegistry", "1", chain_id, policy_registry)


def check_revocation(domain: bytes, revocation: Revocation) -> None:
    """Check that a policy's one-time account signed its revocation.

    Args:
        domain: from `registry_domain`.
        revocation: the policy, and what is said to be its account's signature.

    Raises:
        IntegrityError: it didn't.
    """
    owner = revocation.policy_id
    digest = typed_digest(domain, hash_struct(_REVOKE_TYPE, ("address",), (owner,)))
    if recover_digest(digest, expanded(revocation.signature)) != Address(owner):
        raise IntegrityError(f"the revocation of policy {owner} isn't signed by the policy's own key")
