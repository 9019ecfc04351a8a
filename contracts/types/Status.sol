// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// @notice Whether an actor may act.
enum Status {
    Unknown,
    Active,
    Suspended,
    /// @dev For good: guardians moved a patient to another account.
    Replaced
}
