"""What our programs ask a node besides contracts: one small function for each JSON-RPC method.

It never retries and never interprets a refusal: chain/rpc.py maps errors. Follows the Ethereum JSON-RPC specification.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from panachain.chain.codec import from_hex
from panachain.chain.rpc import Rpc
from panachain.errors import IntegrityError
from panachain.model.block import Block

QUESTION: Final = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'
"""The smallest question, as a stranger would post it: a gate must not answer it."""
_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")


def quantity(value: object, what: str, *, bits: int = 256) -> int:
    """Return a number that a node gives.

    Args:
        value: hex digits after `0x`.
        what: what messages call it.
        bits: that it has at most.

    Raises:
        IntegrityError: it is none.
    """
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value) or int(value, 16) >> bits:
        raise IntegrityError(f"the node gives {what} that is no number of {bits} bits")
    return int(value, 16)


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


def chain_id(rpc: Rpc) -> int:
    """Return the chain's ID (EIP-155).

    Raises:
        IntegrityError: the node's answer is no number.
    """
    return quantity(rpc.call("eth_chainId"), "a chain's ID")


def block_number(rpc: Rpc) -> int:
    """Return the number of the newest block.

    Raises:
        IntegrityError: the node's answer is no number.
    """
    return quantity(rpc.call("eth_blockNumber"), "a block's number", bits=64)


def block_gas(rpc: Rpc) -> int:
    """Return how much gas the newest block may use, and so a transaction at most.

    Raises:
        IntegrityError: the node's answer has no such number.
    """
    block = rpc.call("eth_getBlockByNumber", ["latest", False])
    return quantity(block.get("gasLimit") if isinstance(block, dict) else None, "a block's gas limit", bits=64)


def balance(rpc: Rpc, account: str) -> int:
    """Return what an account holds, in wei.

    Raises:
        IntegrityError: the node's answer is no number.
    """
    return quantity(rpc.call("eth_getBalance", [account, "latest"]), "a balance")


def transaction_count(rpc: Rpc, account: str) -> int:
    """Return how many transactions of an account are mined: the nonce of its next one.

    Raises:
        IntegrityError: the node's answer is no number.
    """
    return quantity(rpc.call("eth_getTransactionCount", [account, "latest"]), "a nonce", bits=64)


def pending_count(rpc: Rpc, account: str) -> int:
    """Return how many transactions of an account are mined or wait to be, as the node knows.

    Raises:
        IntegrityError: the node's answer is no number.
    """
    return quantity(rpc.call("eth_getTransactionCount", [account, "pending"]), "a nonce", bits=64)


def waiting_count(rpc: Rpc, account: str) -> int:
    """Return how many transactions of an account the node has that aren't mined.

    Raises:
        IntegrityError: the node's answer is no number.
    """
    pending = quantity(rpc.call("eth_getTransactionCount", [account, "pending"]), "a nonce", bits=64)
    return max(pending - transaction_count(rpc, account), 0)


def has_code(rpc: Rpc, account: str) -> bool:
    """Tell whether a contract is at an address."""
    return bool(rpc.call("eth_getCode", [account, "latest"]) != "0x")


def has_transaction(rpc: Rpc, tx_hash: str) -> bool:
    """Tell whether the node knows a transaction, mined or waiting."""
    return rpc.call("eth_getTransactionByHash", [tx_hash]) is not None


def calldata_of(rpc: Rpc, tx_hash: str) -> bytes | None:
    """Return what a transaction gives to whom it calls, or None where the node doesn't know the transaction.

    Raises:
        IntegrityError: the node's answer is no transaction.
    """
    found = rpc.call("eth_getTransactionByHash", [tx_hash])
    if found is None:
        return None
    try:
        return from_hex(found["input"])
    except (KeyError, TypeError, ValueError) as exc:
        raise IntegrityError(f"the node's transaction {tx_hash} has no calldata") from exc


def full_blocks(rpc: Rpc, numbers: Sequence[int]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Return blocks with all their transactions, and the receipts of each, as the node gives them."""
    asked = [hex(number) for number in numbers]
    blocks = rpc.batch([("eth_getBlockByNumber", [number, True]) for number in asked])
    receipts = rpc.batch([("eth_getBlockReceipts", [number]) for number in asked])
    return [(block, found or []) for block, found in zip(blocks, receipts, strict=True)]


def send_raw(rpc: Rpc, transactions: Sequence[str]) -> None:
    """Send signed transactions in one request; a node doesn't do a batch's calls in their order.

    Raises:
        RpcAnswerError: the node refuses one of them.
    """
    rpc.batch([("eth_sendRawTransaction", [raw]) for raw in transactions])


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
        IntegrityError: the node's answer is no number.
    """
    return quantity(rpc.call("eth_estimateGas", [{"from": sender, "to": to, "data": data}]), "gas", bits=64)


def _block(rpc: Rpc, tag: str) -> Block:
    block = rpc.call("eth_getBlockByNumber", [tag, False])
    if block is None:
        raise IntegrityError(f"the node doesn't have block {tag}")
    try:
        return Block(
            quantity(block["number"], "a block's number", bits=64),
            str(block["hash"]),
            quantity(block["timestamp"], "a block's time", bits=64),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise IntegrityError(f"the node's block {tag} lacks a header field or has a malformed one") from exc
