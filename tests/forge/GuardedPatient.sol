// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {IIdentityRegistry} from "../../contracts/interfaces/IIdentityRegistry.sol";
import {Base} from "./Base.sol";

/// @title A patient whom a guardian moves
/// @notice For tests of contracts that ask the identity registry who moved where.
abstract contract GuardedPatient is Base {
    address private constant GUARDIAN = address(0x6a4d);

    /// @notice Move a patient to another account, the shortest delay later.
    function _moved(IIdentityRegistry identities, address patient, address successor) internal {
        bytes32[] memory commitments = new bytes32[](1);
        commitments[0] = keccak256(abi.encode(patient, GUARDIAN, bytes32(0)));
        callAs(patient);
        identities.setGuardians(commitments, 1, 1 days, bytes32(0));
        callAs(GUARDIAN);
        identities.approveRecovery(patient, successor, commitments, 0, bytes32(0));
        VM.warp(block.timestamp + 1 days);
        callAs(successor);
        identities.completeRecovery(patient);
    }
}
