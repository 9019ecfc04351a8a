// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {PolicyId, PolicyStatus} from "../types/PolicyId.sol";

/// @title Policy transactions
/// @notice A patient's one-time key grants and revokes one policy, directly or by a signature that anyone relays.
/// @dev A relayer can neither change nor repeat what was signed: chain ID, contract, deadline and the policy's own
/// state are in the way. A revocation needs no grant before it, and makes a later one impossible.
interface IPolicyRegistry {
    /// @notice The public side of a policy.
    struct Grant {
        /// @notice The policy's one-time key; its address is the policy's ID.
        address owner;
        /// @notice Unix seconds, inclusive.
        uint48 startsAt;
        /// @notice Unix seconds, exclusive.
        uint48 expiresAt;
        /// @notice The sha2-256 digest in the CID of the sealed terms (CIDv1, raw).
        bytes32 terms;
        /// @notice HL7 PurposeOfUse bits; zero in a sealed policy.
        uint32 purposes;
        /// @notice Category bits; zero in a sealed policy.
        uint32 categories;
        /// @notice DUO code bits; zero in a sealed policy.
        uint64 dataUse;
        /// @notice The study of an open policy; zero for none.
        address study;
    }

    /// @notice A policy was granted.
    event PolicyGranted(
        PolicyId indexed policyId,
        uint48 startsAt,
        uint48 expiresAt,
        bytes32 terms,
        uint32 purposes,
        uint32 categories,
        uint64 dataUse,
        address study
    );
    /// @notice A policy was revoked; it never becomes active again.
    event PolicyRevoked(PolicyId indexed policyId);

    /// @notice The window is empty, or over already.
    error PolicyInvalidWindow(uint48 startsAt, uint48 expiresAt, uint256 currentTime);
    /// @notice There are no terms.
    error PolicyWithoutTerms(PolicyId policyId);
    /// @notice The policy was granted before.
    error PolicyAlreadyGranted(PolicyId policyId);
    /// @notice The policy was revoked before.
    error PolicyAlreadyRevoked(PolicyId policyId);
    /// @notice The caller isn't the policy's one-time key.
    error PolicyNotOwner(PolicyId policyId, address caller);
    /// @notice The signature isn't the owner's for exactly this action on this chain and contract.
    error PolicyInvalidSignature(PolicyId policyId);
    /// @notice The signature is too old.
    error PolicySignatureExpired(uint48 deadline, uint256 currentTime);
    /// @notice The lists of a batch have different lengths.
    error PolicyBatchLengths(uint256 items, uint256 deadlines, uint256 signatures);

    /// @notice Grant the caller's own policy.
    function grant(Grant calldata policy) external;

    /// @notice Grant a policy that its one-time key signed (EIP-712 or ERC-1271).
    function grantBySignature(Grant calldata policy, uint48 deadline, bytes calldata signature) external;

    /// @notice Grant several signed policies, all or none.
    function grantBatch(Grant[] calldata policies, uint48[] calldata deadlines, bytes[] calldata signatures) external;

    /// @notice Revoke the caller's own policy, granted or not.
    function revoke() external;

    /// @notice Revoke a policy by its one-time key's signature (EIP-712 or ERC-1271).
    function revokeBySignature(address owner, uint48 deadline, bytes calldata signature) external;

    /// @notice Revoke several policies by signature, all or none.
    function revokeBatch(address[] calldata owners, uint48[] calldata deadlines, bytes[] calldata signatures)
        external;

    /// @notice Where a policy stands now: the one rule that proxies and the SDK use.
    function statusOf(PolicyId policyId) external view returns (PolicyStatus);

    /// @notice Where a policy stands, and its window.
    function policyOf(PolicyId policyId)
        external
        view
        returns (PolicyStatus status, uint48 startsAt, uint48 expiresAt);
}
