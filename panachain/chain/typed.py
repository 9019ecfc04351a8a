"""What patients, grantees and proxies sign towards each other: EIP-712 structs, hashed by hand.

Never through a general encoder of typed data: a proxy checks a signature before it does anything else, and that must be
cheap. Follows EIP-712 (hashStruct, domain separator) and docs/spec/proxy.md (version 2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import singledispatch
from typing import Any, Final, TypeVar

from panachain.chain.codec import encode
from panachain.chain.signing import Account, domain_separator, recover_digest, typed_digest
from panachain.errors import IntegrityError
from panachain.ethereum import keccak
from panachain.model.actors import Address
from panachain.model.proxy_requests import DepositRequest, ReceiptsRequest, ReencryptRequest, SignedRequest

_REENCRYPT_TYPE: Final = keccak(
    "Reencrypt(address proxy,address policyId,address grantee,address requester,string purpose,uint32 lane,"
    "bytes32 capsules,uint64 expiresAt,bytes16 nonce)"
)
_REENCRYPT: Final = (
    *("address", "address", "address", "address", "bytes32", "uint32", "bytes32", "uint64", "bytes16"),
)
_DEPOSIT_TYPE: Final = keccak(
    "Deposit(address proxy,address policyId,address grantee,bytes receivingKey,bytes verifyingKey,bytes auditKey,"
    "bytes32 terms,string purposes,bytes32 lanes,uint64 expiresAt,bytes16 nonce)"
)
_DEPOSIT: Final = ("address", "address", "address", *["bytes32"] * 6, "uint64", "bytes16")
_RECEIPTS_TYPE: Final = keccak(
    "Receipts(address proxy,address policyId,string part,uint64 after,uint64 expiresAt,bytes16 nonce)"
)
_RECEIPTS: Final = ("address", "address", "bytes32", "uint64", "uint64", "bytes16")
_ANSWER_TYPE: Final = keccak("Answer(bytes32 request,bytes32 cfrags,bytes32 receipt)")
R = TypeVar("R", ReencryptRequest, DepositRequest, ReceiptsRequest)


def proxy_domain(chain_id: int, policy_registry: str) -> bytes:
    """Return the domain of the proxy protocol: the mainchain and its policy registry."""
    return domain_separator("PanaChain Proxy", "2", chain_id, policy_registry)


def hash_struct(type_hash: bytes, types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Return hashStruct of values whose dynamic members are hashed already, 32 bytes.

    Raises:
        IntegrityError: a value doesn't fit its type.
    """
    try:
        return keccak(encode(["bytes32", *types], [type_hash, *values]))
    except ValueError as exc:
        raise IntegrityError("a proxy's statement doesn't fit the contract's struct") from exc


@singledispatch
def request_hash(request: Any) -> bytes:
    """Return the struct hash of a request, 32 bytes: what its signature, and a proxy's answer, are bound to.

    Raises:
        IntegrityError: a field doesn't fit the struct.
    """
    raise TypeError(f"{type(request).__name__} is no request to a proxy")


@request_hash.register
def _(request: ReencryptRequest) -> bytes:
    values = (
        *(request.proxy, request.policy_id, request.grantee, request.requester, keccak(request.purpose.value)),
        *(request.lane, _digest(request.capsules), request.expires_at, request.nonce),
    )
    return hash_struct(_REENCRYPT_TYPE, _REENCRYPT, values)


@request_hash.register
def _(request: DepositRequest) -> bytes:
    # EIP-712 hashes what has no fixed size; a key of 33 bytes isn't one word.
    keys = (keccak(key) for key in (request.receiving_key, request.verifying_key, request.audit_key))
    purposes = keccak(",".join(purpose.value for purpose in request.purposes))
    # One digest for all lanes, so that what is signed stays of one size.
    lanes = _digest([lane.delegating_key + lane.kfrag for lane in request.lanes])
    values = (
        *(request.proxy, request.policy_id, request.grantee, *keys, request.terms, purposes, lanes),
        *(request.expires_at, request.nonce),
    )
    return hash_struct(_DEPOSIT_TYPE, _DEPOSIT, values)


@request_hash.register
def _(request: ReceiptsRequest) -> bytes:
    part = keccak(request.part.value)
    values = (request.proxy, request.policy_id, part, request.after, request.expires_at, request.nonce)
    return hash_struct(_RECEIPTS_TYPE, _RECEIPTS, values)


def sign_request(account: Account, domain: bytes, request: R) -> R:
    """Return a request with its signature.

    Args:
        account: the requester's, or the policy's one-time account.
        domain: from `proxy_domain`.
        request: what is asked.
    """
    return replace(request, signature=account.sign_digest(typed_digest(domain, request_hash(request))))


def signer_of(domain: bytes, request: SignedRequest) -> Address | None:
    """Return who signed a request, or None when nobody could have.

    Raises:
        IntegrityError: a field doesn't fit the struct.
    """
    return recover_digest(typed_digest(domain, request_hash(request)), request.signature)


def sign_answer(account: Account, domain: bytes, *, request: bytes, cfrags: Sequence[bytes], receipt: bytes) -> bytes:
    """Return a proxy's signature of its answer, 65 bytes r ‖ s ‖ v.

    Args:
        account: the proxy's.
        domain: from `proxy_domain`.
        request: struct hash of the request, 32 bytes.
        cfrags: in the order of the request's capsules.
        receipt: hash of the receipt, 32 bytes.
    """
    return account.sign_digest(_answer_digest(domain, request, cfrags, receipt))


def answer_signer(
    domain: bytes, *, request: bytes, cfrags: Sequence[bytes], receipt: bytes, signature: bytes
) -> Address | None:
    """Return who signed an answer, or None when nobody could have; the arguments are those of `sign_answer`."""
    return recover_digest(_answer_digest(domain, request, cfrags, receipt), signature)


def _answer_digest(domain: bytes, request: bytes, cfrags: Sequence[bytes], receipt: bytes) -> bytes:
    struct = hash_struct(_ANSWER_TYPE, ("bytes32", "bytes32", "bytes32"), (request, _digest(cfrags), receipt))
    return typed_digest(domain, struct)


def _digest(parts: Sequence[bytes]) -> bytes:
    # All parts of one list have one size, so the concatenation is unambiguous.
    return hashlib.sha256(b"".join(parts)).digest()
