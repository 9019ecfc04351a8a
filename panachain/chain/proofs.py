"""Proofs of a contract's storage against a block header, for readers who don't believe their node.

Checks what a node answers to eth_getProof: header → block hash, account → state root, slot → storage root. Which block
hash to trust is the caller's business: from an own light client, from several nodes, or from a checkpoint.
Follows EIP-1186 (eth_getProof), the Yellow Paper (appendix B: RLP, appendix D: Merkle Patricia trees) and
EIP-1559, 4895, 4844, 4788 and 7685 (the header's later fields); QBFT and IBFT 2.0 as Besu hashes their blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from panachain.chain import rlp
from panachain.errors import IntegrityError
from panachain.ethereum import keccak

_HEADER: Final = (
    ("parentHash", 32),
    ("sha3Uncles", 32),
    ("miner", 20),
    ("stateRoot", 32),
    ("transactionsRoot", 32),
    ("receiptsRoot", 32),
    ("logsBloom", 256),
    ("difficulty", 0),
    ("number", 0),
    ("gasLimit", 0),
    ("gasUsed", 0),
    ("timestamp", 0),
    ("extraData", None),
    ("mixHash", 32),
    ("nonce", 8),
)
"""Fields of a header and their size in bytes; 0 stands for a number, None for any size."""
_EXTRA: Final = 12
"""Where `extraData` stands."""
_LATER: Final = (
    ("baseFeePerGas", 0),
    ("withdrawalsRoot", 32),
    ("blobGasUsed", 0),
    ("excessBlobGas", 0),
    ("parentBeaconBlockRoot", 32),
    ("requestsHash", 32),
)
"""Fields that forks appended, in this order; a header has a first part of them."""
_EMPTY_ROOT: Final = keccak(rlp.encode(b""))
"""Root of a tree without values."""
_MAX_DEPTH: Final = 65
"""Nodes of a path of 64 nibbles, with the root."""


def check_header(block: Mapping[str, Any]) -> bytes:
    """Check that a block's header has the hash that it says, and return its state root, 32 bytes.

    Args:
        block: as eth_getBlockByHash gives it.

    Raises:
        IntegrityError: a field is missing or malformed, or the header has another hash.
    """
    try:
        fields = [_field(block[name], size) for name, size in _HEADER]
        fields += [_field(block[name], size) for name, size in _LATER if block.get(name) is not None]
        expected = bytes.fromhex(block["hash"][2:])
    # OverflowError: a number below zero.
    except (KeyError, OverflowError, TypeError, ValueError) as exc:
        raise IntegrityError("the node's block lacks a header field or has a malformed one") from exc
    actual = keccak(rlp.encode(fields))
    if actual != expected and expected not in _without_seals(fields):
        raise IntegrityError(f"the header has hash 0x{actual.hex()}, the node says 0x{expected.hex()}")
    return fields[3]


def check_storage(state_root: bytes, proof: Mapping[str, Any], *, account: str, slots: Sequence[bytes]) -> list[int]:
    """Check an answer of eth_getProof and return the values of the slots, 0 for those proven empty.

    Args:
        state_root: 32 bytes, from `check_header`.
        proof: the answer.
        account: the contract that was asked for.
        slots: the slots that were asked for, 32 bytes each.

    Raises:
        IntegrityError: a node of a tree is missing or wrong, or the answer is about something else.
    """
    try:
        nodes = [bytes.fromhex(node[2:]) for node in proof["accountProof"]]
        storage = [[bytes.fromhex(node[2:]) for node in entry["proof"]] for entry in proof["storageProof"]]
    except (KeyError, TypeError, ValueError) as exc:
        raise IntegrityError("the node's proof isn't one of EIP-1186") from exc
    # The answer's own keys aren't looked at: the slots are those that we asked for, in this order.
    if len(storage) != len(slots):
        raise IntegrityError(f"the node proves {len(storage)} slots, {len(slots)} were asked for")
    leaf = _walk(state_root, keccak(bytes.fromhex(account[2:])), nodes)
    if leaf is None:
        raise IntegrityError(f"there is no account {account} in this block")
    body = _decode(leaf)
    if not isinstance(body, list) or len(body) != 4 or not isinstance(body[2], bytes):
        raise IntegrityError(f"the proof of {account} ends in something that isn't an account")
    return [_value(_walk(body[2], keccak(slot), path)) for slot, path in zip(slots, storage, strict=True)]


def mapping_slot(key: str, position: int, offset: int = 0) -> bytes:
    """Return the slot of `mapping(address => struct)` for a key, 32 bytes.

    Args:
        key: the address.
        position: the mapping's own slot.
        offset: the slot within the struct.
    """
    start = keccak(bytes(12) + bytes.fromhex(key[2:]) + position.to_bytes(32, "big"))
    return ((int.from_bytes(start, "big") + offset) % 2**256).to_bytes(32, "big")


def _walk(root: bytes, key: bytes, nodes: Sequence[bytes]) -> bytes | None:
    """Return the value under a key, or None when the nodes prove that there is none."""
    # The root says it all, whatever comes along: some nodes send nothing (Geth), some the empty tree (Anvil).
    if root == _EMPTY_ROOT:
        return None
    path = key.hex()
    expected: Any = root
    remaining = list(nodes)
    for _ in range(_MAX_DEPTH):
        # A node of less than 32 bytes stands in its parent itself, and has no hash of its own.
        node = expected
        if isinstance(expected, bytes):
            if not expected:
                return None
            # Each node is known by the hash that its parent states, so the root vouches for all of them.
            if not remaining or keccak(remaining[0]) != expected:
                raise IntegrityError("a node of the proof is missing or has another hash")
            node = _decode(remaining.pop(0))
        if not isinstance(node, list) or len(node) not in (2, 17):
            raise IntegrityError("a node of the proof is neither a branch, an extension nor a leaf")
        # A branch: a child for each nibble of the path, and a value for a path that ends here.
        if len(node) == 17:
            if not path:
                return _leaf(node[16])
            expected, path = node[int(path[0], 16)], path[1:]
            continue
        prefix, is_leaf = _prefix(node[0])
        if is_leaf:
            # Another leaf where ours would have to be proves that ours isn't there.
            return _leaf(node[1]) if prefix == path else None
        # The path leaves the tree inside an extension: there is nothing under it. An empty prefix would never get on.
        if not path.startswith(prefix) or not prefix:
            return None
        expected, path = node[1], path[len(prefix) :]
    raise IntegrityError("the proof is deeper than a tree of 32-byte keys can be")


def _prefix(encoded: Any) -> tuple[str, bool]:
    """Return the nibbles of a hex-prefix encoding, and whether it is a leaf's."""
    if not isinstance(encoded, bytes) or not encoded or encoded[0] >> 4 > 3:
        raise IntegrityError("a path in the proof isn't hex-prefix encoded")
    flag = encoded[0] >> 4
    return encoded.hex()[1 if flag & 1 else 2 :], bool(flag & 2)


def _leaf(value: Any) -> bytes | None:
    if not isinstance(value, bytes):
        raise IntegrityError("a value in the proof isn't bytes")
    return value or None


def _value(leaf: bytes | None) -> int:
    if leaf is None:
        return 0
    value = _decode(leaf)
    if not isinstance(value, bytes) or len(value) > 32:
        raise IntegrityError("a slot in the proof isn't one word")
    return int.from_bytes(value, "big")


def _decode(data: bytes) -> Any:
    try:
        return rlp.decode(data)
    except ValueError as exc:
        raise IntegrityError("a node of the proof isn't RLP") from exc


def _without_seals(fields: Sequence[bytes]) -> list[bytes]:
    """Return the hashes that a header has under Besu's and Quorum's proof of authority, if it is one of theirs.

    Their validators' seals, and the round in which they agreed, stand in the header and not under its hash.
    """
    try:
        extra = rlp.decode(fields[_EXTRA])
    except ValueError:
        return []
    if not isinstance(extra, list) or len(extra) != 5:
        return []
    before, after, kept = list(fields[:_EXTRA]), list(fields[_EXTRA + 1 :]), extra[:3]
    # QBFT writes round 0 and no seals in their place, IBFT 2.0 nothing.
    return [keccak(rlp.encode([*before, rlp.encode(one), *after])) for one in ([*kept, b"", []], kept)]


def _field(value: str, size: int | None) -> bytes:
    if size == 0:
        return rlp.number(int(value, 16))
    data = bytes.fromhex(value[2:])
    if size is not None and len(data) != size:
        raise ValueError("a field of another size")
    return data
