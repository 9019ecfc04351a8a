"""Checkpoints on the mainchain: hashes of the sidechain's blocks, signed by a quorum of its validators.

Follows design section 6 and contracts/interfaces/ICheckpoints.sol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from panachain.chain.bound import Adapter
from panachain.chain.evm import Receipt, Sender
from panachain.chain.signing import Account
from panachain.model.actors import Address

_CHECKPOINT_TYPES: Final = {
    "Checkpoint": [
        {"name": "sidechainId", "type": "uint64"},
        {"name": "number", "type": "uint64"},
        {"name": "blockHash", "type": "bytes32"},
    ]
}


class Checkpoints(Adapter):
    """Hashes of the sidechain's blocks."""

    def sign(self, account: Account, sidechain_id: int, number: int, block_hash: bytes) -> bytes:
        """Return a validator's EIP-712 signature of a block of the sidechain."""
        message = {"sidechainId": sidechain_id, "number": number, "blockHash": block_hash}
        return self.bound.sign(account, _CHECKPOINT_TYPES, message)

    def checkpoint(
        self, sender: Sender, number: int, block_hash: bytes, signatures: Mapping[Address, bytes]
    ) -> Receipt:
        """State a block of the sidechain, with the signatures of a quorum of its validators."""
        signers = sorted(signatures, key=str.lower)
        ordered = [signatures[signer] for signer in signers]
        return self.bound.send(
            sender, "checkpoint", number, block_hash, signers, ordered, what="the checkpoint of the sidechain"
        )

    def newest(self) -> tuple[int, bytes]:
        """Return number (0 for none) and hash of the newest block of the sidechain that was stated."""
        number, block_hash = self.bound.read("newest")
        return number, block_hash
