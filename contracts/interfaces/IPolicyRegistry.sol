// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {CompactSignature} from "../libraries/Signatures.sol";
import {Disclosure} from "../types/Disclosure.sol";
import {PolicyId, PolicyStatus} from "../types/PolicyId.sol";
import {PolicyWindow} from "../types/PolicyWindow.sol";

/// @title Policy transactions
/// @notice A patient's one-time key grants and revokes one policy, directly or by a signature that anyone relays.
/// @dev A relayer can neither change nor repeat what was signed: chain ID, contract and the policy's own state are in
/// the way. The relay can withhold it: a grant until its deadline, a revocation not at all, since anyone can send it,
/// at any time. A revocation needs no grant before it, and makes a later one impossible.
interface IPolicyRegistry {
    /// @notice The public side of a policy, as its owner signs it.
    struct Grant {
        /// @notice The policy's one-time key; its address is the policy's ID.
        address owner;
        /// @notice From when and until when it counts, by when it must be granted, and the announcement's view tag.
        PolicyWindow window;
        /// @notice The sha2-256 digest in the CID of the sealed terms (CIDv1, raw).
        bytes32 terms;
        /// @notice A one-time public key by which the grantee, and nobody else, finds the policy (ERC-5564's way): the
        /// x coordinate of a secp256k1 point whose y is even (BIP-340). Passed on, never read.
        bytes32 announcement;
        /// @notice What everybody may know; zero in a sealed policy.
        Disclosure disclosure;
    }

    /// @notice A policy was granted.
    /// @param window As it was signed, with deadline and view tag.
    event PolicyGranted(PolicyId indexed policyId, PolicyWindow window, bytes32 terms, bytes32 announcement);
    /// @notice A policy that was just granted is an open one: this log is the next one after its PolicyGranted.
    event PolicyDisclosed(PolicyId indexed policyId, Disclosure disclosure);
    /// @notice A policy was revoked; it never becomes active again.
    event PolicyRevoked(PolicyId indexed policyId);

    /// @notice The window is empty, or over already.
    error PolicyInvalidWindow(uint48 startsAt, uint48 expiresAt, uint256 currentTime);
    /// @notice The window's word has bits above its fields.
    error PolicyMalformedWindow(PolicyWindow window);
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
    /// @notice The grant is too old.
    error PolicyDeadlineOver(uint48 deadline, uint256 currentTime);
    /// @notice A batch has as many signatures as items.
    error PolicyBatchLengths(uint256 items, uint256 signatures);

    /// @notice Grant the caller's own policy.
    function grant(Grant calldata policy) external;

    /// @notice Grant a policy that its one-time key signed (EIP-712 or ERC-1271).
    function grantBySignature(Grant calldata policy, bytes calldata signature) external;

    /// @notice Grant several signed policies, all or none. Signatures are of 64 bytes, also those of contracts.
    function grantBatch(Grant[] calldata policies, CompactSignature[] calldata signatures) external;

    /// @notice Revoke the caller's own policy, granted or not.
    function revoke() external;

    /// @notice Revoke a policy by its one-time key's signature of Revoke(address owner) (EIP-712 or ERC-1271).
    function revokeBySignature(address owner, bytes calldata signature) external;

    /// @notice Revoke several policies by signature, all or none. Signatures are of 64 bytes, also those of contracts.
    function revokeBatch(address[] calldata owners, CompactSignature[] calldata signatures) external;

    /// @notice Where a policy stands now: the one rule that proxies and the SDK use.
    function statusOf(PolicyId policyId) external view returns (PolicyStatus);

    /// @notice Where a policy stands, its window, and when it was revoked; zeros for what isn't.
    function policyOf(PolicyId policyId)
        external
        view
        returns (PolicyStatus status, uint48 startsAt, uint48 expiresAt, uint48 revokedAt);

    /// @notice Whether a service at a past time was allowed, as far as this chain shows: granted, within the window,
    /// and not revoked before that second.
    /// @dev For evidence: the second of the revocation itself still counts as allowed, in favour of the accused.
    /// @param time Unix seconds.
    function allowedAt(PolicyId policyId, uint48 time) external view returns (bool);
}
