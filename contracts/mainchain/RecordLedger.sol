// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {IRecordLedger} from "../interfaces/IRecordLedger.sol";

/// @title RecordLedger
/// @notice See {IRecordLedger}. It never learns a patient, a category or a record.
contract RecordLedger is IRecordLedger {
    /// @dev Made by the registry, so that no other contract can ever admit a hospital.
    address private immutable _REGISTRY;

    // Slot 0: light readers rely on it.
    mapping(address hospital => Ledger ledger) private _ledgers;

    constructor() {
        _REGISTRY = msg.sender;
    }

    /// @inheritdoc IRecordLedger
    function store(bytes32 manifest, uint32 count) external {
        Ledger storage ledger = _ledgers[msg.sender];
        if (!ledger.admitted) revert LedgerNotActiveHospital(msg.sender);
        if (manifest == bytes32(0) || count == 0) revert LedgerEmptyBatch(manifest, count);

        bytes32 previous = ledger.head;
        uint64 sequence = ++ledger.sequence;
        ledger.head = keccak256(abi.encode(previous, manifest, count));

        emit RecordsStored(msg.sender, sequence, manifest, count, previous);
    }

    /// @inheritdoc IRecordLedger
    function setAdmitted(address hospital, bool admitted) external {
        if (msg.sender != _REGISTRY) revert LedgerNotRegistry(msg.sender);

        Ledger storage ledger = _ledgers[hospital];
        ledger.admitted = admitted;
        // The first head says whose history this is, and makes the first batch cost as much gas as later ones.
        if (ledger.head == bytes32(0)) ledger.head = keccak256(abi.encode(block.chainid, address(this), hospital));
    }

    /// @inheritdoc IRecordLedger
    function ledgerOf(address hospital) external view returns (Ledger memory) {
        return _ledgers[hospital];
    }
}
