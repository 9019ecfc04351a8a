// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {IPolicyRegistry} from "../interfaces/IPolicyRegistry.sol";
import {CompactSignature, Signatures} from "../libraries/Signatures.sol";
import {Disclosure} from "../types/Disclosure.sol";
import {PolicyId, PolicyStatus} from "../types/PolicyId.sol";
import {PolicyState, grantedState} from "../types/PolicyState.sol";
import {PolicyWindow} from "../types/PolicyWindow.sol";

/// @title PolicyRegistry
/// @notice See {IPolicyRegistry}. It has no administrator: nobody but its one-time key changes a policy.
contract PolicyRegistry is IPolicyRegistry, EIP712 {
    bytes32 private constant GRANT_TYPEHASH =
        keccak256("Grant(address owner,uint256 window,bytes32 terms,bytes32 announcement,uint256 disclosure)");
    bytes32 private constant REVOKE_TYPEHASH = keccak256("Revoke(address owner)");

    /// @dev One slot. The owner isn't stored: the ID is the owner's address.
    struct Policy {
        PolicyState state;
    }

    mapping(PolicyId policyId => Policy policy) private _policies;

    constructor() EIP712("PanaChain PolicyRegistry", "1") {}

    /* GRANTS */

    /// @inheritdoc IPolicyRegistry
    function grant(Grant calldata policy) external {
        address owner = policy.owner;
        if (msg.sender != owner) revert PolicyNotOwner(PolicyId.wrap(owner), msg.sender);

        _grant(owner, policy);
    }

    /// @inheritdoc IPolicyRegistry
    function grantBySignature(Grant calldata policy, bytes calldata signature) external {
        address owner = policy.owner;
        // A struct of static fields is encoded in place: these are the words of EIP-712's encodeData.
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(GRANT_TYPEHASH, policy)));
        if (!Signatures.isValid(owner, digest, signature)) revert PolicyInvalidSignature(PolicyId.wrap(owner));

        _grant(owner, policy);
    }

    /// @inheritdoc IPolicyRegistry
    function grantBatch(Grant[] calldata policies, CompactSignature[] calldata signatures) external {
        if (policies.length != signatures.length) revert PolicyBatchLengths(policies.length, signatures.length);

        bytes32 domain = _domainSeparatorV4();
        for (uint256 i = 0; i < policies.length; ++i) {
            Grant calldata policy = policies[i];
            address owner = policy.owner;
            bytes32 digest = MessageHashUtils.toTypedDataHash(domain, keccak256(abi.encode(GRANT_TYPEHASH, policy)));
            if (!Signatures.isValid(owner, digest, signatures[i])) revert PolicyInvalidSignature(PolicyId.wrap(owner));

            _grant(owner, policy);
        }
    }

    /* REVOCATIONS */

    /// @inheritdoc IPolicyRegistry
    function revoke() external {
        _revoke(msg.sender);
    }

    /// @inheritdoc IPolicyRegistry
    function revokeBySignature(address owner, bytes calldata signature) external {
        if (!Signatures.isValid(owner, _digestOf(owner), signature)) revert PolicyInvalidSignature(PolicyId.wrap(owner));

        _revoke(owner);
    }

    /// @inheritdoc IPolicyRegistry
    function revokeBatch(address[] calldata owners, CompactSignature[] calldata signatures) external {
        if (owners.length != signatures.length) revert PolicyBatchLengths(owners.length, signatures.length);

        for (uint256 i = 0; i < owners.length; ++i) {
            address owner = owners[i];
            if (!Signatures.isValid(owner, _digestOf(owner), signatures[i])) {
                revert PolicyInvalidSignature(PolicyId.wrap(owner));
            }

            _revoke(owner);
        }
    }

    /* VIEWS */

    /// @inheritdoc IPolicyRegistry
    function statusOf(PolicyId policyId) external view returns (PolicyStatus) {
        return _policies[policyId].state.statusAt(block.timestamp);
    }

    /// @inheritdoc IPolicyRegistry
    function policyOf(PolicyId policyId)
        external
        view
        returns (PolicyStatus status, uint48 startsAt, uint48 expiresAt, uint48 revokedAt)
    {
        PolicyState state = _policies[policyId].state;
        return (state.statusAt(block.timestamp), state.startsAt(), state.expiresAt(), state.revokedAt());
    }

    /// @inheritdoc IPolicyRegistry
    function allowedAt(PolicyId policyId, uint48 time) external view returns (bool) {
        PolicyState state = _policies[policyId].state;
        uint48 revokedAt = state.revokedAt();
        // A policy that was never granted has the empty window.
        return state.startsAt() <= time && time < state.expiresAt() && (revokedAt == 0 || time <= revokedAt);
    }

    /* INTERNAL */

    /// @dev No nonce: a policy is granted once and revoked once, so its state makes each signature single use.
    function _grant(address owner, Grant calldata policy) private {
        PolicyId policyId = PolicyId.wrap(owner);
        Policy storage stored = _policies[policyId];
        PolicyState known = stored.state;
        if (known.revokedAt() != 0) revert PolicyAlreadyRevoked(policyId);
        if (known.isGranted()) revert PolicyAlreadyGranted(policyId);
        PolicyWindow window = policy.window;
        if (!window.isWellFormed()) revert PolicyMalformedWindow(window);
        (uint48 startsAt, uint48 expiresAt, uint48 deadline) =
            (window.startsAt(), window.expiresAt(), window.deadline());
        if (deadline < block.timestamp) revert PolicyDeadlineOver(deadline, block.timestamp);
        if (startsAt >= expiresAt || expiresAt <= block.timestamp) {
            revert PolicyInvalidWindow(startsAt, expiresAt, block.timestamp);
        }
        if (policy.terms == bytes32(0)) revert PolicyWithoutTerms(policyId);

        stored.state = grantedState(startsAt, expiresAt);

        emit PolicyGranted(policyId, window, policy.terms, policy.announcement);
        if (Disclosure.unwrap(policy.disclosure) != 0) emit PolicyDisclosed(policyId, policy.disclosure);
    }

    function _revoke(address owner) private {
        PolicyId policyId = PolicyId.wrap(owner);
        Policy storage policy = _policies[policyId];
        PolicyState known = policy.state;
        if (known.revokedAt() != 0) revert PolicyAlreadyRevoked(policyId);

        // Also without a grant: a revocation that overtakes its grant makes the grant impossible.
        // Safe: Unix seconds fit 48 bits for nine million years.
        policy.state = known.revoked(uint48(block.timestamp));

        emit PolicyRevoked(policyId);
    }

    /// @dev No deadline: a revocation that came too late would leave the policy open.
    function _digestOf(address owner) private view returns (bytes32) {
        return _hashTypedDataV4(Hashes.efficientKeccak256(REVOKE_TYPEHASH, bytes32(uint256(uint160(owner)))));
    }
}
