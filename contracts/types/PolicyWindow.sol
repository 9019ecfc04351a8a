// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// @notice When a policy counts, and a hint by which its grantee finds it, in one word: startsAt (48 bits), expiresAt
/// (48) and deadline (48), Unix seconds each, and a view tag (8), from the lowest on. All higher bits are zero.
/// @dev One word costs less calldata and less log than four fields, and one check of a range in place of four. The view
/// tag is ERC-5564's: one byte that only the grantee can compute from the announcement, so that they pass over most of
/// the policies that aren't theirs. The registry passes it on and never reads it.
/// docs/spec/formats.md numbers the bits.
type PolicyWindow is uint256;

using {startsAt, expiresAt, deadline, isWellFormed} for PolicyWindow global;

/// @notice Unix seconds, inclusive.
function startsAt(PolicyWindow window) pure returns (uint48) {
    // Safe: the field is cut out.
    return uint48(PolicyWindow.unwrap(window));
}

/// @notice Unix seconds, exclusive.
function expiresAt(PolicyWindow window) pure returns (uint48) {
    // Safe: the field is cut out.
    return uint48(PolicyWindow.unwrap(window) >> 48);
}

/// @notice Unix seconds, inclusive: the policy can't be granted later.
function deadline(PolicyWindow window) pure returns (uint48) {
    // Safe: the field is cut out.
    return uint48(PolicyWindow.unwrap(window) >> 96);
}

/// @notice Whether nothing stands above the fields.
function isWellFormed(PolicyWindow window) pure returns (bool) {
    return PolicyWindow.unwrap(window) >> 152 == 0;
}
