"""What a patient signs to get tokens for relays: EIP-712, under the sidechain's ID, with the patient's own account.

Follows docs/spec/relay.md, section "Tokens".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Final

from panachain.chain.signing import Account, domain_separator, recover_digest, typed_digest
from panachain.chain.typed import hash_struct
from panachain.ethereum import keccak
from panachain.model.actors import Address

_TYPE: Final = keccak("TokenRequest(address patient,uint64 period,bytes32 blinded,uint64 expiresAt)")


@dataclass(frozen=True)
class TokenRequest:
    """A patient asks an issuer for tokens of one period."""

    patient: Address
    period: int
    blinded: tuple[bytes, ...] = field(repr=False)
    """What is to be signed, 256 bytes each."""
    expires_at: int
    """Unix seconds, exclusive."""
    signature: bytes = b""
    """By the patient's account, 65 bytes r ‖ s ‖ v; empty until it is signed."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of all that is to be signed, 32 bytes: the same request has the same one, whenever it was made."""
        return hashlib.sha256(b"".join(self.blinded)).digest()


def issuer_domain(chain_id: int, registry: str) -> bytes:
    """Return the domain of requests for tokens: the sidechain and its registry of identities."""
    return domain_separator("PanaChain Issuer", "1", chain_id, registry)


def sign_token_request(account: Account, domain: bytes, request: TokenRequest) -> TokenRequest:
    """Return a request with its patient's signature."""
    return replace(request, signature=account.sign_digest(_digest(domain, request)))


def signer_of(domain: bytes, request: TokenRequest) -> Address | None:
    """Return who signed a request, or None when nobody could have."""
    return recover_digest(_digest(domain, request), request.signature)


def _digest(domain: bytes, request: TokenRequest) -> bytes:
    types = ("address", "uint64", "bytes32", "uint64")
    values = (request.patient, request.period, request.digest, request.expires_at)
    return typed_digest(domain, hash_struct(_TYPE, types, values))
