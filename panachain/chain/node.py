"""What our programs ask a node besides contracts: one small function for each JSON-RPC method.

It never retries and never interprets a refusal: chain/rpc.py maps errors. Follows the Ethereum JSON-RPC specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from panachain.chain.rpc import Rpc
from panachain.errors import IntegrityError
from panachain.model.transactions import Block


def head_block(rpc: Rpc) -> Block:
    """Return the newest block.

    Raises:
        IntegrityError: the node's answer is no block.
    """
    return _block(rpc, "latest")


def block_at(rpc: Rpc, number: int) -> Block:
    """Return the head of one block.

    Raises:
        IntegrityError: the node doesn't have it, or its answer is no block.
    """
    return _block(rpc, hex(number))


def header(rpc: Rpc, block_hash: str) -> dict[str, Any]:
    """Return all fields of a block's header as the node gives them; what they prove is for chain/proofs.py to say.

    Raises:
        IntegrityError: the node doesn't have this block.
    """
    block = rpc.call("eth_getBlockByHash", [block_hash, False])
    if not isinstance(block, dict) or str(block.get("hash")).lower() != block_hash.lower():
        raise IntegrityError(f"the node doesn't have block {block_hash}")
    return block


def proof(rpc: Rpc, account: str, slots: Sequence[bytes], *, at: str) -> Any:
    """Return what the node offers as proof of some storage slots (EIP-1186); nothing of it is checked.

    Args:
        rpc: the node.
        account: the contract.
        slots: 32 bytes each.
        at: the block's number, as hex.
    """
    return rpc.call("eth_getProof", [account, ["0x" + slot.hex() for slot in slots], at])


def estimate_gas(rpc: Rpc, *, sender: str, to: str, data: str) -> int:
    """Return the gas that a transaction would take.

    Raises:
        RpcAnswerError: it would revert, or the node can't tell.
    """
    return int(rpc.call("eth_estimateGas", [{"from": sender, "to": to, "data": data}]), 16)


def _block(rpc: Rpc, tag: str) -> Block:
    block = rpc.call("eth_getBlockByNumber", [tag, False])
    if block is None:
        raise IntegrityError(f"the node doesn't have block {tag}")
    try:
        return Block(int(block["number"], 16), str(block["hash"]), int(block["timestamp"], 16))
    except (KeyError, TypeError, ValueError) as exc:
        raise IntegrityError(f"the node's block {tag} lacks a header field or has a malformed one") from exc
