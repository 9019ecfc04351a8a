// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// @title Anchors of the proxies' receipt logs
/// @notice A proxy states the head of its log at intervals, so that it can't rewrite its history later.
interface IAccessLog {
    /// @notice A head was anchored.
    /// @param sequence Receipts in the log up to this head.
    event HeadAnchored(address indexed proxy, uint64 sequence, bytes32 head);

    /// @notice The caller isn't an active proxy.
    error LogNotActiveProxy(address account);
    /// @notice The sequence doesn't grow.
    error LogSequenceNotGrowing(uint64 sequence, uint64 anchored);

    /// @notice Anchor the caller's head. Only active proxies.
    function anchor(uint64 sequence, bytes32 head) external;

    /// @notice A proxy's newest anchored sequence and head; zeros for none.
    function anchorOf(address proxy) external view returns (uint64 sequence, bytes32 head);
}
