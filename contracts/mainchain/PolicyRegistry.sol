// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IPolicyRegistry} from "../interfaces/IPolicyRegistry.sol";
import {PolicyId, PolicyStatus} from "../types/PolicyId.sol";

/// @title PolicyRegistry
/// @notice See {IPolicyRegistry}. It has no administrator: nobody but its one-time key changes a policy.
contract PolicyRegistry is IPolicyRegistry, EIP712 {
    /// @dev One slot. The owner isn't stored: the ID is the owner's address.
    struct Policy {
        uint48 startsAt;
        uint48 expiresAt;
        bool granted;
        bool revoked;
    }

    bytes32 private constant GRANT_TYPEHASH = keccak256(
        "Grant(address owner,uint48 startsAt,uint48 expiresAt,bytes32 terms,uint32 purposes,uint32 categories,uint64 dataUse,address study,uint48 deadline)"
    );
    bytes32 private constant REVOKE_TYPEHASH = keccak256("Revoke(address owner,uint48 deadline)");

    mapping(PolicyId policyId => Policy policy) private _policies;

    constructor() EIP712("PanaChain PolicyRegistry", "1") {}

    /* GRANTS */

    /// @inheritdoc IPolicyRegistry
    function grant(Grant calldata policy) external {
        if (msg.sender != policy.owner) revert PolicyNotOwner(PolicyId.wrap(policy.owner), msg.sender);

        _grant(policy);
    }

    /// @inheritdoc IPolicyRegistry
    function grantBySignature(Grant calldata policy, uint48 deadline, bytes calldata signature) external {
        _grantSigned(policy, deadline, signature);
    }

    /// @inheritdoc IPolicyRegistry
    function grantBatch(Grant[] calldata policies, uint48[] calldata deadlines, bytes[] calldata signatures)
        external
    {
        _checkLengths(policies.length, deadlines.length, signatures.length);

        for (uint256 i = 0; i < policies.length; ++i) {
            _grantSigned(policies[i], deadlines[i], signatures[i]);
        }
    }

    /* REVOCATIONS */

    /// @inheritdoc IPolicyRegistry
    function revoke() external {
        _revoke(msg.sender);
    }

    /// @inheritdoc IPolicyRegistry
    function revokeBySignature(address owner, uint48 deadline, bytes calldata signature) external {
        _revokeSigned(owner, deadline, signature);
    }

    /// @inheritdoc IPolicyRegistry
    function revokeBatch(address[] calldata owners, uint48[] calldata deadlines, bytes[] calldata signatures)
        external
    {
        _checkLengths(owners.length, deadlines.length, signatures.length);

        for (uint256 i = 0; i < owners.length; ++i) {
            _revokeSigned(owners[i], deadlines[i], signatures[i]);
        }
    }

    /* VIEWS */

    /// @inheritdoc IPolicyRegistry
    function statusOf(PolicyId policyId) external view returns (PolicyStatus) {
        return _statusOf(_policies[policyId]);
    }

    /// @inheritdoc IPolicyRegistry
    function policyOf(PolicyId policyId)
        external
        view
        returns (PolicyStatus status, uint48 startsAt, uint48 expiresAt)
    {
        Policy memory policy = _policies[policyId];
        return (_statusOf(policy), policy.startsAt, policy.expiresAt);
    }

    /* INTERNAL */

    function _grantSigned(Grant calldata policy, uint48 deadline, bytes calldata signature) private {
        bytes32 structHash = keccak256(
            abi.encode(
                GRANT_TYPEHASH,
                policy.owner,
                policy.startsAt,
                policy.expiresAt,
                policy.terms,
                policy.purposes,
                policy.categories,
                policy.dataUse,
                policy.study,
                deadline
            )
        );
        _checkSignature(policy.owner, structHash, deadline, signature);

        _grant(policy);
    }

    function _grant(Grant calldata policy) private {
        PolicyId policyId = PolicyId.wrap(policy.owner);
        Policy memory known = _policies[policyId];
        if (known.revoked) revert PolicyAlreadyRevoked(policyId);
        if (known.granted) revert PolicyAlreadyGranted(policyId);
        if (policy.startsAt >= policy.expiresAt || policy.expiresAt <= block.timestamp) {
            revert PolicyInvalidWindow(policy.startsAt, policy.expiresAt, block.timestamp);
        }
        if (policy.terms == bytes32(0)) revert PolicyWithoutTerms(policyId);

        _policies[policyId] =
            Policy({startsAt: policy.startsAt, expiresAt: policy.expiresAt, granted: true, revoked: false});

        emit PolicyGranted(
            policyId,
            policy.startsAt,
            policy.expiresAt,
            policy.terms,
            policy.purposes,
            policy.categories,
            policy.dataUse,
            policy.study
        );
    }

    function _revokeSigned(address owner, uint48 deadline, bytes calldata signature) private {
        _checkSignature(owner, keccak256(abi.encode(REVOKE_TYPEHASH, owner, deadline)), deadline, signature);

        _revoke(owner);
    }

    function _revoke(address owner) private {
        PolicyId policyId = PolicyId.wrap(owner);
        if (_policies[policyId].revoked) revert PolicyAlreadyRevoked(policyId);

        // Also without a grant: a revocation that overtakes its grant makes the grant impossible.
        _policies[policyId].revoked = true;

        emit PolicyRevoked(policyId);
    }

    /// @dev No nonce: a policy is granted once and revoked once, so its state makes each signature single use.
    function _checkSignature(address owner, bytes32 structHash, uint48 deadline, bytes calldata signature)
        private
        view
    {
        if (block.timestamp > deadline) revert PolicySignatureExpired(deadline, block.timestamp);
        // The zero address has no key; without this line a future checker's zero result could stand for it.
        if (
            owner == address(0)
                || !SignatureChecker.isValidSignatureNowCalldata(owner, _hashTypedDataV4(structHash), signature)
        ) {
            revert PolicyInvalidSignature(PolicyId.wrap(owner));
        }
    }

    function _checkLengths(uint256 items, uint256 deadlines, uint256 signatures) private pure {
        if (items != deadlines || items != signatures) revert PolicyBatchLengths(items, deadlines, signatures);
    }

    function _statusOf(Policy memory policy) private view returns (PolicyStatus) {
        if (policy.revoked) return PolicyStatus.Revoked;
        if (!policy.granted) return PolicyStatus.Unknown;
        if (block.timestamp < policy.startsAt) return PolicyStatus.NotYet;
        if (block.timestamp < policy.expiresAt) return PolicyStatus.Active;
        return PolicyStatus.Expired;
    }
}
