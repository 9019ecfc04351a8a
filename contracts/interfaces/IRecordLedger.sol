// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// @title Storage transactions
/// @notice A hospital records the manifest of a batch of records: one digest, whatever the batch's size.
interface IRecordLedger {
    /// @notice A batch was recorded.
    /// @param sequence The batch's number at this hospital, from 1 on.
    /// @param manifest The sha2-256 digest in the CID of the manifest's root (CIDv1, dag-cbor).
    /// @param count Records in the batch.
    /// @param head keccak256(abi.encode(previous head, manifest, count)).
    event RecordsStored(
        address indexed hospital, uint64 indexed sequence, bytes32 manifest, uint32 count, bytes32 head
    );

    /// @notice The caller isn't an active hospital.
    error LedgerNotActiveHospital(address account);
    /// @notice An empty batch, or no manifest.
    error LedgerEmptyBatch(bytes32 manifest, uint32 count);

    /// @notice Record a batch. Only active hospitals.
    function store(bytes32 manifest, uint32 count) external;

    /// @notice A hospital's newest sequence, head and manifest; zeros before its first batch.
    function headOf(address hospital) external view returns (uint64 sequence, bytes32 head, bytes32 manifest);
}
