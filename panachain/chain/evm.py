"""Accounts and transactions: signing, one nonce lane per account, receipts.

The signed raw transaction exists before it is sent, so that what was sent can be told again. Never logs a key.
Follows EIP-1559 (transactions), EIP-712 and EIP-191 (messages).
"""

from __future__ import annotations

import fcntl
import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

from eth_utils import keccak

from panachain.chain.abi import revert_reason
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import TransactionError
from panachain.model.actors import Address

_RECEIPT_TIMEOUT: Final = 120
"""Seconds to wait for a transaction to be mined."""
_STUCK: Final = 20.0
"""Seconds after which a transaction that isn't mined is replaced by one that pays more."""
_RAISE: Final = 1.25
"""By how much; nodes take a replacement from 1.1 on."""
_FEE_HEADROOM: Final = 2
"""The fee cap is this many times the base fee, plus the tip."""
_HALF_ORDER: Final = 0x7FFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_5D576E73_57A4501D_DFE92F46_681B20A0
"""Half of secp256k1's order, the highest s of a signature (EIP-2)."""


_KNOWN: Final = ("already known", "already imported", "known transaction")
"""What nodes say of a transaction that they have (execution-apis, eth_sendRawTransaction)."""
_OVERTAKEN: Final = ("nonce too low", "underpriced")
"""What nodes say when another transaction has the nonce; also when it is the same one, mined meanwhile."""
Signed = Callable[[str, str], None]
"""Called with hash and raw form of a signed transaction before it is sent."""


@dataclass(frozen=True)
class Receipt:
    """A mined transaction."""

    tx_hash: str
    block: int
    gas_used: int
    contract: str | None = None
    """Address of the contract that it created."""
    logs: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)


class Account:
    """An account that can sign. Its `repr` shows the address only."""

    def __init__(self, key: bytes) -> None:
        """Take the secret key, 32 bytes."""
        # Imported here: readers of a chain don't pay for it.
        from eth_account import Account as EthAccount

        self._account = EthAccount.from_key(key)
        self.address = Address(self._account.address)

    def __repr__(self) -> str:
        return f"Account({self.address})"

    def sign_transaction(self, transaction: Mapping[str, Any]) -> tuple[str, str]:
        """Return the raw signed transaction and its hash, as hex."""
        signed = self._account.sign_transaction(dict(transaction))
        return "0x" + bytes(signed.raw_transaction).hex(), "0x" + bytes(signed.hash).hex()

    def sign_typed(self, domain: Mapping[str, Any], types: Mapping[str, Any], message: Mapping[str, Any]) -> bytes:
        """Return the EIP-712 signature of a message in ERC-2098's compact form, 64 bytes r ‖ (parity, s)."""
        return compact(bytes(self._account.sign_typed_data(dict(domain), dict(types), dict(message)).signature))

    def sign_text(self, message: bytes) -> bytes:
        """Return the EIP-191 (version 0x45) signature of a message, 65 bytes r ‖ s ‖ v."""
        return self.sign_digest(_personal_hash(message))

    def sign_digest(self, digest: bytes) -> bytes:
        """Return the signature of a 32-byte digest that names its purpose (EIP-191, EIP-712), 65 bytes r ‖ s ‖ v."""
        import coincurve

        key = coincurve.PrivateKey(bytes(self._account.key))
        signature = key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([signature[64] + 27])


def compact(signature: bytes) -> bytes:
    """Return a signature of 65 bytes in ERC-2098's compact form, 64 bytes r ‖ (parity, s)."""
    # s is in the lower half of the order, so its highest bit is free for the parity.
    parity = signature[64] - 27
    return signature[:32] + bytes([signature[32] | parity << 7]) + signature[33:64]


def recover_text(message: bytes, signature: bytes) -> Address | None:
    """Return who signed `message` by EIP-191, or None when the signature is none."""
    return recover_digest(_personal_hash(message), signature)


def recover_digest(digest: bytes, signature: bytes) -> Address | None:
    """Return who signed a 32-byte digest, or None when the signature is none."""
    import coincurve

    if len(signature) != 65 or signature[64] not in (27, 28):
        return None
    # The contracts refuse a high s: what passes here must convict there.
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        return None
    try:
        public = coincurve.PublicKey.from_signature_and_message(
            signature[:64] + bytes([signature[64] - 27]), digest, hasher=None
        )
    except Exception:  # noqa: BLE001
        # coincurve raises a bare Exception for a point that isn't on the curve: it is an answer, not a fault.
        return None
    from eth_utils import to_checksum_address

    return Address(to_checksum_address(keccak(public.format(compressed=False)[1:])[12:]))


def decode_transaction(raw: str) -> dict[str, Any]:
    """Return the fields of a signed EIP-1559 transaction, as `Account.sign_transaction` takes them."""
    import rlp
    from eth_utils import to_checksum_address

    values = rlp.decode(bytes.fromhex(raw[4:]))
    numbers = [int.from_bytes(value, "big") for value in (*values[:5], values[6])]
    names = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "value")
    # Type 2: chain ID, nonce, tip, fee, gas, to, value, data, access list, signature (EIP-1559).
    fields: dict[str, Any] = dict(zip(names, numbers, strict=True))
    fields |= {"type": 2, "data": "0x" + values[7].hex()}
    return fields | ({"to": to_checksum_address(values[5])} if values[5] else {})


class Sender:
    """Sends one account's transactions to one chain, in order, from any number of threads and processes."""

    _locks: ClassVar[dict[str, threading.Lock]] = {}

    def __init__(
        self,
        rpc: Rpc,
        chain_id: int,
        account: Account,
        *,
        lock_folder: Path,
        free: bool = False,
    ) -> None:
        """Take the account and the chain.

        Args:
            rpc: the chain's node.
            chain_id: signed into each transaction (EIP-155).
            account: who pays and signs.
            lock_folder: where the processes of this machine agree on whose turn it is.
            free: the chain takes no gas price.
        """
        self.account = account
        self.address = account.address
        self._rpc = rpc
        self._chain_id = chain_id
        self._free = free
        self._folder = lock_folder

    def send(self, to: str | None, data: str, *, what: str, signed: Signed | None = None) -> Receipt:
        """Send one transaction and wait until it is mined; one that sticks is replaced, so that one of them is.

        Args:
            to: the contract, or None to create one.
            data: calldata as hex.
            what: what messages call it.
            signed: called as signed(hash, raw) before each of them is sent, so that a journal can hold it.

        Raises:
            TransactionError: the contract reverts (decoded), or the transaction isn't mined in time.
            ChainUnavailableError: the node doesn't answer.
        """
        call: dict[str, Any] = {"from": self.address, "data": data} | ({"to": to} if to else {})
        with self._turn():
            try:
                # The estimate runs the call: a revert shows here, before anything is signed.
                gas = int(self._rpc.call("eth_estimateGas", [call]), 16)
                transaction = self._transaction(to, data, gas)
                raw, tx_hash = self.account.sign_transaction(transaction)
                if signed is not None:
                    signed(tx_hash, raw)
                self._submit(raw, tx_hash)
            except RpcAnswerError as exc:
                raise TransactionError(
                    f"{what}: the chain refuses: {revert_reason(exc.data) if exc.data else exc}",
                    reason=revert_reason(exc.data) if exc.data else "",
                ) from exc
        return self._wait([(tx_hash, raw)], transaction, what, signed)

    def resend(self, sent: Sequence[tuple[str, str]], *, what: str, signed: Signed | None = None) -> Receipt | None:
        """Send transactions again that were signed before, and wait; None when none of them can be mined any more.

        Args:
            sent: hash and raw of each, all with one nonce, oldest first.
            what: what messages call it.
            signed: as `send`.
        """
        hashes = [tx_hash for tx_hash, _ in sent]
        transaction = decode_transaction(sent[-1][1])
        used = int(self._rpc.call("eth_getTransactionCount", [self.address, "latest"]), 16)
        if used > transaction["nonce"]:
            mined = [receipt for receipt in map(self._receipt, hashes) if receipt is not None]
            return self._checked(mined[0], what) if mined else None
        self._push(sent[-1][1])
        return self._wait(list(sent), transaction, what, signed)

    def _transaction(self, to: str | None, data: str, gas: int) -> dict[str, Any]:
        nonce, block = self._rpc.batch(
            [("eth_getTransactionCount", [self.address, "pending"]), ("eth_getBlockByNumber", ["latest", False])]
        )
        tip = 0 if self._free else 10**9
        fee = 0 if self._free else _FEE_HEADROOM * int(block.get("baseFeePerGas", "0x0"), 16) + tip
        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": self._chain_id,
            "nonce": int(nonce, 16),
            "gas": gas * 12 // 10,
            "maxFeePerGas": fee,
            "maxPriorityFeePerGas": tip,
            "value": 0,
            "data": data,
        }
        return transaction | ({"to": to} if to else {})

    def _wait(
        self, sent: list[tuple[str, str]], transaction: dict[str, Any], what: str, signed: Signed | None
    ) -> Receipt:
        """Wait until one of several transactions with the same nonce is mined."""
        deadline = time.monotonic() + _RECEIPT_TIMEOUT
        stuck = time.monotonic() + _STUCK
        pause = 0.01
        while time.monotonic() < deadline:
            for tx_hash, _ in reversed(sent):
                receipt = self._receipt(tx_hash)
                if receipt is not None:
                    return self._checked(receipt, what)
            if time.monotonic() >= stuck:
                transaction = self._dearer(transaction)
                raw, tx_hash = self.account.sign_transaction(transaction)
                if signed is not None:
                    signed(tx_hash, raw)
                sent.append((tx_hash, raw))
                self._push(raw)
                stuck = time.monotonic() + _STUCK
            time.sleep(pause)
            pause = min(pause * 2, 1.0)
        raise TransactionError(
            f"{what}: transaction {sent[-1][0]} wasn't mined within {_RECEIPT_TIMEOUT} s",
            hint="the same command again waits for it, and sends nothing twice",
        )

    def _receipt(self, tx_hash: str) -> dict[str, Any] | None:
        receipt: dict[str, Any] | None = self._rpc.call("eth_getTransactionReceipt", [tx_hash])
        return receipt

    def _checked(self, receipt: Mapping[str, Any], what: str) -> Receipt:
        tx_hash = str(receipt["transactionHash"])
        if int(receipt["status"], 16) != 1:
            raise TransactionError(f"{what}: transaction {tx_hash} was mined and reverted")
        return Receipt(
            tx_hash,
            int(receipt["blockNumber"], 16),
            int(receipt["gasUsed"], 16),
            receipt.get("contractAddress"),
            tuple(receipt["logs"]),
        )

    def _dearer(self, transaction: Mapping[str, Any]) -> dict[str, Any]:
        """Return the transaction with the fees that a replacement needs, and that the newest block asks for."""
        if self._free:
            return dict(transaction)
        block = self._rpc.call("eth_getBlockByNumber", ["latest", False])
        tip = int(transaction["maxPriorityFeePerGas"] * _RAISE) + 1
        floor = _FEE_HEADROOM * int(block.get("baseFeePerGas", "0x0"), 16) + tip
        fee = max(int(transaction["maxFeePerGas"] * _RAISE) + 1, floor)
        return {**transaction, "maxPriorityFeePerGas": tip, "maxFeePerGas": fee}

    def _submit(self, raw: str, tx_hash: str) -> None:
        """Send a new transaction; where an answer was lost, the second attempt finds it waiting or mined already."""
        try:
            self._rpc.call("eth_sendRawTransaction", [raw])
        except RpcAnswerError as exc:
            if not _says(exc, _KNOWN) and not (_says(exc, _OVERTAKEN) and self._receipt(tx_hash)):
                raise

    def _push(self, raw: str) -> None:
        """Send a transaction that the node may know already, or that another one of the same nonce has overtaken."""
        try:
            self._rpc.call("eth_sendRawTransaction", [raw])
        except RpcAnswerError as exc:
            if not _says(exc, _KNOWN + _OVERTAKEN):
                raise TransactionError(f"the chain refuses to take a transaction again: {exc}") from exc

    @contextmanager
    def _turn(self) -> Iterator[None]:
        lane = f"{self._chain_id}-{self.address}"
        with self._locks.setdefault(lane, threading.Lock()):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Hashed: the folder doesn't list accounts in the clear.
            with open(self._folder / f"{hashlib.sha256(lane.encode()).hexdigest()[:16]}.lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield


def _says(refusal: RpcAnswerError, what: Sequence[str]) -> bool:
    return any(words in str(refusal).lower() for words in what)


def _personal_hash(message: bytes) -> bytes:
    return keccak(b"\x19Ethereum Signed Message:\n%d" % len(message) + message)
