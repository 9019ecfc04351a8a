// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {PolicyStatus} from "./PolicyId.sol";

/// @notice What is stored of a policy, in one word, so that a grant is one write: startsAt (48 bits), expiresAt (48),
/// revokedAt (48), from the lowest on, Unix seconds each. A granted policy's expiry is never zero.
type PolicyState is uint256;

using {startsAt, expiresAt, revokedAt, isGranted, revoked, statusAt} for PolicyState global;

/// @notice A granted, unrevoked policy.
function grantedState(uint48 start, uint48 expiry) pure returns (PolicyState) {
    return PolicyState.wrap(uint256(start) | uint256(expiry) << 48);
}

/// @notice Unix seconds, inclusive.
function startsAt(PolicyState state) pure returns (uint48) {
    // Safe: the field is cut out.
    return uint48(PolicyState.unwrap(state));
}

/// @notice Unix seconds, exclusive; zero for a policy that was never granted.
function expiresAt(PolicyState state) pure returns (uint48) {
    // Safe: the field is cut out.
    return uint48(PolicyState.unwrap(state) >> 48);
}

/// @notice Unix seconds; zero for not revoked.
function revokedAt(PolicyState state) pure returns (uint48) {
    // Safe: nothing lies above this field.
    return uint48(PolicyState.unwrap(state) >> 96);
}

/// @notice Whether it was granted, whatever came later.
function isGranted(PolicyState state) pure returns (bool) {
    return expiresAt(state) != 0;
}

/// @notice The same policy, revoked; it must not be revoked yet.
function revoked(PolicyState state, uint48 time) pure returns (PolicyState) {
    return PolicyState.wrap(PolicyState.unwrap(state) | uint256(time) << 96);
}

/// @notice Where it stands at a time: the one rule.
function statusAt(PolicyState state, uint256 time) pure returns (PolicyStatus) {
    if (revokedAt(state) != 0) return PolicyStatus.Revoked;
    if (!isGranted(state)) return PolicyStatus.Unknown;
    if (time < startsAt(state)) return PolicyStatus.NotYet;
    if (time < expiresAt(state)) return PolicyStatus.Active;
    return PolicyStatus.Expired;
}
