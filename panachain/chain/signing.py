"""Accounts, and what they sign: EIP-1559 transactions, EIP-712 structs and digests, all by libsecp256k1.

It doesn't need `eth_account`, which takes longer to import than a whole command may: tests/unit/chain/test_signing.py
compares every signature with the one that `eth_account` makes. Never logs a key; a `repr` shows the address only.
Follows EIP-1559 and EIP-2718 (transactions), EIP-712 (typed data), EIP-2 (low s), ERC-2098 (compact signatures) and
RFC 6979 (deterministic nonces).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from panachain.chain import codec, rlp
from panachain.ethereum import address_of_point, checksum_address, keccak
from panachain.model.actors import Address
from panachain.model.sizes import ADDRESS_SIZE, COMPACT_SIGNATURE_SIZE, SIGNATURE_SIZE

Types = Mapping[str, Sequence[Mapping[str, str]]]
"""One struct's name, and name and type of each of its fields, as EIP-712 writes them."""
_HALF_ORDER: Final = 0x7FFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_5D576E73_57A4501D_DFE92F46_681B20A0
"""Half of secp256k1's order, the highest s of a signature (EIP-2)."""
_DOMAIN_TYPE: Final = keccak("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_TYPE_2: Final = "0x02"
"""How a raw EIP-1559 transaction begins (EIP-2718)."""
_NUMBERS: Final = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "value")
_FIELDS: Final = frozenset({*_NUMBERS, "type", "to", "data"})
_SIGNED_PARTS: Final = 12
"""Chain ID, nonce, tip, fee, gas, to, value, data, access list, and the signature's parity, r and s (EIP-1559)."""


class Account:
    """An account that can sign. Its `repr` shows the address only."""

    def __init__(self, key: bytes) -> None:
        """Take the secret key, 32 bytes.

        Raises:
            ValueError: it isn't a scalar of the curve.
        """
        # Imported here: readers of a chain don't pay for it.
        from panachain.secp256k1 import Scalar

        self._key = Scalar(key)
        self.address = address_of_point(self._key.public().uncompressed)

    def __repr__(self) -> str:
        return f"Account({self.address})"

    def sign_transaction(self, transaction: Mapping[str, Any]) -> tuple[str, str]:
        """Return the raw signed transaction and its hash, as hex.

        Args:
            transaction: `type` (2), `chainId`, `nonce`, `maxPriorityFeePerGas`, `maxFeePerGas`, `gas`, `value`, `data`
                as hex, and `to`, which a transaction that creates a contract doesn't have.

        Raises:
            ValueError: a field is missing, isn't one of these, or is out of its bounds.
        """
        parts = _parts(transaction)
        signature = self.sign_digest(keccak(b"\x02" + rlp.encode(parts)))
        values = (signature[64] - 27, int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"))
        raw = b"\x02" + rlp.encode([*parts, *map(rlp.number, values)])
        return "0x" + raw.hex(), "0x" + keccak(raw).hex()

    def sign_typed(
        self, domain: Mapping[str, Any], types: Types, message: Mapping[str, Any], *, more: bytes | None = None
    ) -> bytes:
        """Return the EIP-712 signature of a flat struct in ERC-2098's compact form, 64 bytes r ‖ (parity, s).

        Args:
            domain: `name`, `version`, `chainId` and `verifyingContract`.
            types: the struct's.
            message: its values by name.
            more: as `Scalar.sign_recoverable` takes it.

        Raises:
            ValueError: a value doesn't fit its type.
        """
        return compact(self.sign_digest(digest_of(domain, types, message), more=more))

    def sign_digest(self, digest: bytes, *, more: bytes | None = None) -> bytes:
        """Return the signature of a 32-byte digest that names its purpose (EIP-191, EIP-712), 65 bytes r ‖ s ‖ v.

        Args:
            digest: 32 bytes.
            more: as `Scalar.sign_recoverable` takes it.
        """
        signature = self._key.sign_recoverable(digest, more=more)
        return signature[:64] + bytes([signature[64] + 27])


def compact(signature: bytes) -> bytes:
    """Return a signature of 65 bytes in ERC-2098's compact form, 64 bytes r ‖ (parity, s)."""
    # s is in the lower half of the order, so its highest bit is free for the parity.
    parity = signature[64] - 27
    return signature[:32] + bytes([signature[32] | parity << 7]) + signature[33:64]


def expanded(signature: bytes) -> bytes:
    """Return a signature in ERC-2098's compact form as 65 bytes r ‖ s ‖ v; one of another size stays as it is."""
    if len(signature) != COMPACT_SIGNATURE_SIZE:
        return signature
    return signature[:32] + bytes([signature[32] & 0x7F]) + signature[33:] + bytes([27 + (signature[32] >> 7)])


def recover_digest(digest: bytes, signature: bytes) -> Address | None:
    """Return who signed a 32-byte digest, or None when the signature is none."""
    from panachain.secp256k1 import signer_of

    if len(signature) != SIGNATURE_SIZE or signature[-1] not in (27, 28):
        return None
    # The contracts refuse a high s: what passes here must convict there.
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        return None
    signer = signer_of(digest, signature[:64] + bytes([signature[64] - 27]))
    return None if signer is None else address_of_point(signer.uncompressed)


def decode_transaction(raw: str) -> dict[str, Any]:
    """Return the fields of a signed EIP-1559 transaction, as `Account.sign_transaction` takes them.

    Raises:
        ValueError: it is no such transaction.
    """
    if not isinstance(raw, str) or not raw.startswith(_TYPE_2):
        raise ValueError("no raw transaction of type 2")
    values = rlp.decode(codec.from_hex("0x" + raw[len(_TYPE_2) :]))
    if not isinstance(values, list) or len(values) != _SIGNED_PARTS:
        raise ValueError(f"a transaction of type 2 has {_SIGNED_PARTS} parts")
    # It couldn't be told in the fields, and what is signed again would be another transaction.
    if values[8] != []:
        raise ValueError("a transaction with an access list, which ours don't have")
    numbers = [_number(part) for part in (*values[:5], values[6])]
    to, data = values[5], values[7]
    if not isinstance(to, bytes) or not isinstance(data, bytes) or len(to) not in (0, ADDRESS_SIZE):
        raise ValueError("a transaction goes to an address of 20 bytes or to none, and its data is bytes")
    fields: dict[str, Any] = dict(zip(_NUMBERS, numbers, strict=True))
    fields |= {"type": 2, "data": "0x" + data.hex()}
    return fields | ({"to": checksum_address(to)} if to else {})


def domain_separator(name: str, version: str, chain_id: int, contract: str) -> bytes:
    """Return an EIP-712 domain separator, 32 bytes: signatures count for one contract of one chain only."""
    fields = [_DOMAIN_TYPE, keccak(name), keccak(version), chain_id, contract]
    return keccak(codec.encode(["bytes32", "bytes32", "bytes32", "uint256", "address"], fields))


def typed_digest(domain: bytes, struct: bytes) -> bytes:
    """Return the 32 bytes that are signed for a struct's hash."""
    return keccak(b"\x19\x01" + domain + struct)


def digest_of(domain: Mapping[str, Any], types: Types, message: Mapping[str, Any]) -> bytes:
    """Return the 32 bytes that are signed for a flat struct; the arguments are those of `Account.sign_typed`.

    Raises:
        ValueError: a value doesn't fit its type.
    """
    separator = domain_separator(
        domain["name"], domain["version"], domain["chainId"], contract=domain["verifyingContract"]
    )
    return typed_digest(separator, _struct(types, message))


def _struct(types: Types, message: Mapping[str, Any]) -> bytes:
    """Return hashStruct of a struct without inner ones, 32 bytes."""
    ((name, fields),) = types.items()
    if message.keys() != {field["name"] for field in fields}:
        raise ValueError(f"the values aren't those of the struct {name}")
    members = ",".join(f"{field['type']} {field['name']}" for field in fields)
    type_hash = keccak(f"{name}({members})")
    kinds, values = ["bytes32"], [type_hash]
    for field in fields:
        kind, value = field["type"], message[field["name"]]
        # What has no fixed size stands as its hash. That of an array is another one than its encoding.
        if kind.endswith((")", "]")):
            raise ValueError(f"the struct {name} isn't flat: {kind}")
        if kind in ("bytes", "string"):
            codec.encode([kind], [value])
            kind, value = "bytes32", keccak(value)
        kinds.append(kind)
        values.append(value)
    return keccak(codec.encode(kinds, values))


def _parts(transaction: Mapping[str, Any]) -> list[rlp.Item]:
    if transaction.get("type") != 2 or not transaction.keys() <= _FIELDS:
        raise ValueError("not the fields of a transaction of type 2")
    try:
        numbers = [transaction[name] for name in _NUMBERS]
        data = codec.from_hex(transaction["data"])
    except KeyError as exc:
        raise ValueError(f"a transaction without {exc}") from None
    if not all(type(value) is int and 0 <= value < 1 << 256 for value in numbers):
        raise ValueError("a number of the transaction is out of its bounds")
    *first, value = map(rlp.number, numbers)
    # Only without the field: an address that is empty by mistake must not create a contract.
    to = codec.encode(["address"], [transaction["to"]])[-ADDRESS_SIZE:] if "to" in transaction else b""
    # No access list: it pays where a call reads much of other contracts, and ours don't.
    return [*first, to, value, data, []]


def _number(part: rlp.Item) -> int:
    if not isinstance(part, bytes) or part.startswith(b"\0") or len(part) > codec.WORD:
        raise ValueError("a number isn't written in the shortest way, or is longer than a word")
    return int.from_bytes(part, "big")
