"""RecordLedger on the mainchain: storage transactions, each hospital's folded into one head.

A head can be proven against a block hash, whatever the node says of it.
Follows design section 6, contracts/interfaces/IRecordLedger.sol and EIP-1186 (eth_getProof).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from panachain.chain import node, proofs
from panachain.chain.abi import address, revert_reason
from panachain.chain.bound import Adapter
from panachain.chain.codec import encode
from panachain.chain.evm import Receipt, Sender, Signed
from panachain.chain.nodes import pruned
from panachain.chain.refusals import refusal_words
from panachain.chain.rpc import RpcAnswerError
from panachain.errors import IntegrityError, TransactionError
from panachain.ethereum import keccak
from panachain.model.actors import Address
from panachain.model.storage_transactions import ProvenHead, StorageEvent

_LEDGERS_SLOT: Final = 0
"""Where `RecordLedger` keeps its mapping; part of `IRecordLedger`."""
STORING: Final = "the storage transaction"
"""What messages call it."""


class RecordLedger(Adapter):
    """Storage transactions."""

    def store(
        self,
        sender: Sender,
        manifest: bytes,
        count: int,
        *,
        signed: Signed | None = None,
        taken: Callable[[], None] | None = None,
    ) -> Receipt:
        """Record a manifest; only an active hospital may.

        The transaction takes the first nonce that isn't mined: a manifest states its place in the hospital's history,
        and a transaction of the same account that is mined before it would take that place.

        Args:
            sender: the hospital's.
            manifest: digest of the manifest root's CID, 32 bytes.
            count: records in the batch.
            signed: called with hash and raw form before anything is sent.
            taken: as `Sender.send`.
        """
        data = self.bound.calldata("store", manifest, count)
        return sender.send(self.address, data, what=STORING, signed=signed, alone=True, taken=taken)

    def estimate_store(self, hospital: Address, count: int) -> int:
        """Return the gas that a storage transaction of this hospital would take, as the node estimates it.

        Raises:
            TransactionError: the contract would refuse it.
        """
        # Every manifest costs the same; this one has no zero bytes, which would be cheaper.
        data = self.bound.calldata("store", b"\xff" * 32, count)
        try:
            return node.estimate_gas(self.bound.rpc, sender=hospital, to=self.address, data=data)
        except RpcAnswerError as exc:
            reason = revert_reason(exc.data) if exc.data else str(exc)
            raise TransactionError(
                f"{STORING}: the chain would refuse it: {refusal_words(reason)}", reason=reason
            ) from exc

    def ledger_of(self, hospital: Address) -> tuple[int, bytes]:
        """Return a hospital's newest sequence (0 for none) and hash-chained head.

        Raises:
            IntegrityError: its batches don't add up to a history.
        """
        batches = self.batches_of(hospital)
        head = self.first_head(hospital)
        return len(batches), self.fold_heads(head, [(event.manifest, event.count) for event in batches])

    def batches_of(self, hospital: Address) -> list[StorageEvent]:
        """Return a hospital's storage transactions, each of which names the head before it.

        Raises:
            IntegrityError: one is missing, or follows another than the one before it.
        """
        batches = list(self.events(hospital=hospital))
        head = self.first_head(hospital)
        for place, event in enumerate(batches, start=1):
            if event.sequence != place or event.previous != head:
                raise IntegrityError(
                    f"storage transaction {event.sequence} of {hospital} doesn't follow the {place - 1} before it"
                )
            head = self.fold_heads(head, [(event.manifest, event.count)])
        return batches

    def prove_head(self, hospital: Address, *, block_hash: str | None = None) -> ProvenHead:
        """Return a hospital's sequence and head as proven by the state root of one block, whatever the node says.

        Args:
            hospital: whose history.
            block_hash: a block that the caller trusts; None takes the node's newest one, which proves only that the
                head belongs to the block whose hash is returned.

        Raises:
            IntegrityError: header, account or slots don't fit the block's hash, or the node can't prove them.
        """
        rpc = self.bound.rpc
        if block_hash is None:
            block_hash = node.head_block(rpc).hash
        block = node.header(rpc, block_hash)
        state_root = proofs.check_header(block)
        slots = [proofs.mapping_slot(hospital, _LEDGERS_SLOT, offset) for offset in (0, 1)]
        # By number: not every node takes a hash here (EIP-1898). The proof is checked against this block either way.
        try:
            answer = node.proof(rpc, self.address, slots, at=block["number"])
        except RpcAnswerError as exc:
            if exc.is_pruned:
                raise pruned(rpc, block_hash) from exc
            raise IntegrityError(f"the node can't prove block {block_hash}: {exc}") from exc
        packed, head = proofs.check_storage(state_root, answer, account=self.address, slots=slots)
        # `admitted` is the lowest byte, `sequence` the eight above it.
        return ProvenHead(
            sequence=packed >> 8 & 0xFFFF_FFFF_FFFF_FFFF,
            head=head.to_bytes(32, "big"),
            admitted=bool(packed & 0xFF),
            block=int(block["number"], 16),
            block_hash=block_hash,
        )

    def first_head(self, hospital: Address) -> bytes:
        """Return the head before a hospital's first batch: it names chain, contract and hospital."""
        return keccak(encode(["uint256", "address", "address"], [self.bound.chain_id, self.address, hospital]))

    @staticmethod
    def fold_heads(first: bytes, batches: Sequence[tuple[bytes, int]]) -> bytes:
        """Return the head that (manifest, count) pairs add up to from `first_head` on, as the contract folds them."""
        head = first
        for manifest, count in batches:
            head = keccak(encode(["bytes32", "bytes32", "uint32"], [head, manifest, count]))
        return head

    def events(
        self, *, from_block: int | None = None, to_block: int | None = None, hospital: Address | None = None
    ) -> Iterator[StorageEvent]:
        """Yield storage transactions in the order of the chain."""
        where = () if hospital is None else (hospital,)
        for event in self.bound.events("RecordsStored", where=where, from_block=from_block, to_block=to_block):
            values = event.values
            yield StorageEvent(
                Address(address(values["hospital"])),
                values["sequence"],
                values["manifest"],
                values["count"],
                values["previous"],
                event.block,
                event.block_hash,
                event.tx_hash,
                event.index,
            )
