"""Receipts as the mainchain judges them: their hash, and the signature that makes them evidence.

A receipt's hash is the head of its log at its sequence, and what a proxy signs is that head. So one signature covers
the receipt and every receipt before it, and contracts/mainchain/AccessLog.sol can convict by it.
Follows EIP-712 (hashStruct, domain separator) and docs/spec/proxy.md (`panachain/receipt/2`).
"""

from __future__ import annotations

import hashlib
from typing import Final

from panachain.chain.signing import Account, domain_separator, recover_digest, typed_digest
from panachain.chain.typed import hash_struct
from panachain.errors import IntegrityError
from panachain.ethereum import keccak
from panachain.model.actors import Address
from panachain.model.policy import Receipt

_RECEIPT_TYPE: Final = keccak(
    "Receipt(uint64 sequence,bytes32 previous,uint8 kind,address policyId,uint48 blockTime,uint64 blockNumber,"
    "uint32 count,bytes32 detail)"
)
_LOG_HEAD_TYPE: Final = keccak("LogHead(uint64 sequence,bytes32 head)")
_LOG_KEY_TYPE: Final = keccak("LogKey(string name,bytes32 publicKey)")
_FIELDS: Final = ("uint64", "bytes32", "uint8", "address", "uint48", "uint64", "uint32", "bytes32")


def log_domain(chain_id: int, access_log: str) -> bytes:
    """Return the EIP-712 domain separator of the access log, 32 bytes: signatures count for one contract only."""
    return domain_separator("PanaChain AccessLog", "1", chain_id, access_log)


def receipt_fields(receipt: Receipt) -> tuple[int, bytes, int, str, int, int, int, bytes]:
    """Return a receipt's values in the order of the contract's struct."""
    return (
        receipt.sequence,
        receipt.previous,
        receipt.kind.code,
        receipt.policy_id,
        receipt.at,
        receipt.block,
        receipt.count,
        hashlib.sha256(receipt.detail).digest(),
    )


def receipt_hash(receipt: Receipt) -> bytes:
    """Return the receipt's hash, 32 bytes: the log's head at its sequence, and the next receipt's `previous`.

    Raises:
        IntegrityError: a field doesn't fit the contract's struct.
    """
    return hash_struct(_RECEIPT_TYPE, _FIELDS, receipt_fields(receipt))


def sign_head(account: Account, domain: bytes, *, sequence: int, head: bytes) -> bytes:
    """Return a proxy's signature of its log's head, 65 bytes r ‖ s ‖ v.

    Args:
        account: the proxy's.
        domain: from `log_domain`.
        sequence: receipts in the log up to the head.
        head: 32 bytes.
    """
    return account.sign_digest(_digest(domain, sequence, head))


def check_head(domain: bytes, *, proxy: Address, sequence: int, head: bytes, signature: bytes) -> None:
    """Check that a proxy signed a head.

    Raises:
        IntegrityError: it didn't, or nobody could: sequence or head doesn't fit the contract's struct.
    """
    if recover_digest(_digest(domain, sequence, head), signature) != proxy:
        raise IntegrityError(f"head {sequence} isn't signed by proxy {proxy}")


def sign_log_key(account: Account, domain: bytes, *, name: str, public: bytes) -> bytes:
    """Return a proxy's signature that a key speaks for it, 65 bytes r ‖ s ‖ v.

    Args:
        account: the proxy's.
        domain: from `log_domain`.
        name: of the key: what it signs for.
        public: the Ed25519 key, 32 bytes.
    """
    return account.sign_digest(_key_digest(domain, name, public))


def log_key_signer(domain: bytes, *, name: str, public: bytes, signature: bytes) -> Address | None:
    """Return who said that a key speaks for them, or None when nobody could have.

    Raises:
        IntegrityError: the key isn't 32 bytes.
    """
    return recover_digest(_key_digest(domain, name, public), signature)


def _key_digest(domain: bytes, name: str, public: bytes) -> bytes:
    struct = hash_struct(_LOG_KEY_TYPE, ("bytes32", "bytes32"), (keccak(name), public))
    return typed_digest(domain, struct)


def _digest(domain: bytes, sequence: int, head: bytes) -> bytes:
    struct = hash_struct(_LOG_HEAD_TYPE, ("uint64", "bytes32"), (sequence, head))
    return typed_digest(domain, struct)
