// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {CompactSignature} from "../libraries/Signatures.sol";
import {PolicyId} from "../types/PolicyId.sol";

/// @title Proxies' receipt logs: anchors and evidence
/// @notice A proxy states the head of its log at intervals. What it signed convicts it when it served late or told
/// two histories; anyone may submit that, once.
/// @dev A receipt is hashed as an EIP-712 struct; its hash is the log's head at its sequence, and what is signed is
/// LogHead(sequence, head). So one signature covers the receipt, and every receipt before it. A signature counts for
/// ERC-1271 too.
interface IAccessLog {
    /// @notice What a proxy states that it did.
    enum Kind {
        None,
        Deposited,
        Reencrypted,
        Denied,
        Deleted
    }

    /// @notice One receipt.
    struct Receipt {
        /// @notice Its number in the proxy's log, from 1 on.
        uint64 sequence;
        /// @notice Hash of the receipt before it; zero for the first.
        bytes32 previous;
        /// @notice What was done.
        Kind kind;
        /// @notice Under which policy.
        PolicyId policyId;
        /// @notice Unix seconds of the mainchain block that the proxy looked at.
        uint48 blockTime;
        /// @notice Number of that block.
        uint64 blockNumber;
        /// @notice How many kfrags were stored or deleted, or keys re-encrypted.
        uint32 count;
        /// @notice The sha2-256 digest of what is sealed to the patient.
        bytes32 detail;
    }

    /// @notice Where a proxy's anchors stand.
    struct Anchor {
        /// @notice Whether the proxy may anchor.
        bool admitted;
        /// @notice Receipts in the log up to the head.
        uint64 sequence;
        /// @notice The head; before the first anchor keccak256(abi.encode(chain ID, this contract, proxy)).
        bytes32 head;
    }

    /// @notice A head was anchored.
    /// @param sequence Receipts in the log up to this head.
    /// @param signature The proxy's, of sequence and head: half of the evidence if it ever states another head.
    event HeadAnchored(address indexed proxy, uint64 sequence, bytes32 head, CompactSignature signature);
    /// @notice A proxy stated that it re-encrypted when the policy didn't allow it; it is suspended.
    event LateServiceProven(address indexed proxy, PolicyId indexed policyId, uint64 sequence, bytes32 head);
    /// @notice A proxy stated two heads for one sequence; it is suspended.
    event ForkProven(address indexed proxy, uint64 sequence, bytes32 first, bytes32 second);

    /// @notice The account isn't an active proxy.
    error LogNotActiveProxy(address account);
    /// @notice The sequence doesn't grow.
    error LogSequenceNotGrowing(uint64 sequence, uint64 anchored);
    /// @notice A head isn't zero.
    error LogWithoutHead(address proxy);
    /// @notice The caller isn't the actor registry.
    error LogNotRegistry(address caller);
    /// @notice The account was never a proxy.
    error LogNotProxy(address account);
    /// @notice The signature isn't the proxy's for this sequence and head.
    error LogInvalidSignature(address proxy, uint64 sequence, bytes32 head);
    /// @notice The receipt proves nothing: it isn't a re-encryption, or the policy allowed it.
    error LogNotLate(PolicyId policyId, Kind kind, uint48 blockTime);
    /// @notice The two heads are equal.
    error LogNotFork(uint64 sequence, bytes32 first, bytes32 second);
    /// @notice This evidence was used before.
    error LogEvidenceUsed(bytes32 evidence);

    /// @notice Anchor the head of an active proxy's log by its signature of LogHead(sequence, head). Anyone.
    function anchor(address proxy, uint64 sequence, bytes32 head, CompactSignature calldata signature) external;

    /// @notice Convict a proxy by a receipt for a re-encryption that its policy didn't allow. Anyone.
    function proveLateService(address proxy, Receipt calldata receipt, bytes calldata signature) external;

    /// @notice Convict a proxy by two heads that it signed for one sequence. Anyone.
    function proveFork(
        address proxy,
        uint64 sequence,
        bytes32 first,
        bytes calldata firstSignature,
        bytes32 second,
        bytes calldata secondSignature
    ) external;

    /// @notice Let a proxy anchor, or not any more. Only the actor registry.
    function setAdmitted(address proxy, bool admitted) external;

    /// @notice Where a proxy's anchors stand; all fields zero for a stranger.
    function anchorOf(address proxy) external view returns (Anchor memory);

    /// @notice A receipt's hash: the head of its log at its sequence.
    function hashOf(Receipt calldata receipt) external pure returns (bytes32);
}
