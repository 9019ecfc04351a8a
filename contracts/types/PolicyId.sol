// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// @notice A policy's ID: the address of its one-time owner key, so one key owns one policy and the zero ID nobody's.
type PolicyId is address;

/// @notice Where a policy stands at a time.
enum PolicyStatus {
    Unknown,
    NotYet,
    Active,
    Expired,
    Revoked
}
