// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// @title Storage transactions
/// @notice A hospital records the manifest of a batch of records: one digest, whatever the batch's size.
/// @dev The head commits to the hospital's whole history. An event is proven by the head alone: the head of its
/// sequence is keccak256(abi.encode(previous, manifest, count)).
interface IRecordLedger {
    /// @notice Where a hospital's history stands.
    struct Ledger {
        /// @notice Whether the hospital may store.
        bool admitted;
        /// @notice Batches stored.
        uint64 sequence;
        /// @notice Of the newest batch; before the first one keccak256(abi.encode(chain ID, this contract, hospital)).
        bytes32 head;
    }

    /// @notice A batch was recorded.
    /// @param sequence The batch's number at this hospital, from 1 on.
    /// @param manifest The sha2-256 digest in the CID of the manifest's root (CIDv1, dag-cbor).
    /// @param count Records in the batch.
    /// @param previous The head before this batch.
    event RecordsStored(
        address indexed hospital, uint64 indexed sequence, bytes32 manifest, uint32 count, bytes32 previous
    );

    /// @notice The caller isn't an active hospital.
    error LedgerNotActiveHospital(address account);
    /// @notice An empty batch, or no manifest.
    error LedgerEmptyBatch(bytes32 manifest, uint32 count);
    /// @notice The caller isn't the actor registry.
    error LedgerNotRegistry(address caller);

    /// @notice Record a batch. Only active hospitals.
    function store(bytes32 manifest, uint32 count) external;

    /// @notice Let a hospital store, or not any more. Only the actor registry.
    function setAdmitted(address hospital, bool admitted) external;

    /// @notice Where a hospital's history stands; all fields zero for a stranger.
    /// @dev In storage: slot 0 maps the hospital to two slots, sequence and admission, then the head. Light readers
    /// prove them with eth_getProof; the layout is part of this interface.
    function ledgerOf(address hospital) external view returns (Ledger memory);
}
