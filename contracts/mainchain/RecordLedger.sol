// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {IActorRegistry} from "../interfaces/IActorRegistry.sol";
import {IRecordLedger} from "../interfaces/IRecordLedger.sol";

/// @title RecordLedger
/// @notice See {IRecordLedger}. It never learns a patient, a category or a record.
contract RecordLedger is IRecordLedger {
    struct Ledger {
        uint64 sequence;
        bytes32 head;
        bytes32 manifest;
    }

    IActorRegistry private immutable _ACTORS;

    mapping(address hospital => Ledger ledger) private _ledgers;

    constructor(IActorRegistry actors) {
        _ACTORS = actors;
    }

    /// @inheritdoc IRecordLedger
    function store(bytes32 manifest, uint32 count) external {
        if (!_ACTORS.isActive(msg.sender, IActorRegistry.Role.Hospital)) revert LedgerNotActiveHospital(msg.sender);
        if (manifest == bytes32(0) || count == 0) revert LedgerEmptyBatch(manifest, count);

        Ledger storage ledger = _ledgers[msg.sender];
        uint64 sequence = ledger.sequence + 1;
        bytes32 head = keccak256(abi.encode(ledger.head, manifest, count));
        ledger.sequence = sequence;
        ledger.head = head;
        ledger.manifest = manifest;

        emit RecordsStored(msg.sender, sequence, manifest, count, head);
    }

    /// @inheritdoc IRecordLedger
    function headOf(address hospital) external view returns (uint64 sequence, bytes32 head, bytes32 manifest) {
        Ledger storage ledger = _ledgers[hospital];
        return (ledger.sequence, ledger.head, ledger.manifest);
    }
}
