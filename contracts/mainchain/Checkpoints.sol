// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ICheckpoints} from "../interfaces/ICheckpoints.sol";
import {Signatures} from "../libraries/Signatures.sol";

/// @title Checkpoints
/// @notice See {ICheckpoints}. It never learns what happened on the sidechain.
contract Checkpoints is ICheckpoints, AccessManaged, EIP712 {
    bytes32 private constant CHECKPOINT_TYPEHASH =
        keccak256("Checkpoint(uint64 sidechainId,uint64 number,bytes32 blockHash)");

    uint64 private immutable _SIDECHAIN_ID;

    mapping(uint64 number => bytes32 blockHash) private _hashes;
    mapping(address validator => bool counts) private _counts;
    address[] private _validators;
    uint64 private _newest;
    uint64 private _quorum;

    constructor(address authority, uint64 chainId, address[] memory accounts, uint256 quorum)
        AccessManaged(authority)
        EIP712("PanaChain Checkpoints", "1")
    {
        _SIDECHAIN_ID = chainId;
        _setValidators(accounts, quorum);
    }

    /* CHECKPOINTS */

    /// @inheritdoc ICheckpoints
    function checkpoint(uint64 number, bytes32 blockHash, address[] calldata signers, bytes[] calldata signatures)
        external
    {
        if (signers.length != signatures.length) revert CheckpointLengths(signers.length, signatures.length);
        if (signers.length < _quorum) revert CheckpointBelowQuorum(signers.length, _quorum);
        if (number <= _newest || blockHash == bytes32(0)) revert CheckpointNotGrowing(number, _newest);
        bytes32 digest =
            _hashTypedDataV4(keccak256(abi.encode(CHECKPOINT_TYPEHASH, _SIDECHAIN_ID, number, blockHash)));
        address previous = address(0);
        for (uint256 i = 0; i < signers.length; ++i) {
            _checkAscending(previous, signers[i]);
            previous = signers[i];
            if (!_counts[previous]) revert CheckpointNotValidator(previous);
            if (!Signatures.isValid(previous, digest, signatures[i])) revert CheckpointInvalidSignature(previous);
        }

        _newest = number;
        _hashes[number] = blockHash;

        emit Checkpointed(number, blockHash);
    }

    /* VALIDATORS */

    /// @inheritdoc ICheckpoints
    function setValidators(address[] calldata accounts, uint256 quorum) external restricted {
        _setValidators(accounts, quorum);
    }

    /* VIEWS */

    /// @inheritdoc ICheckpoints
    function newest() external view returns (uint64 number, bytes32 blockHash) {
        return (_newest, _hashes[_newest]);
    }

    /// @inheritdoc ICheckpoints
    function hashAt(uint64 number) external view returns (bytes32) {
        return _hashes[number];
    }

    /// @inheritdoc ICheckpoints
    function validators() external view returns (address[] memory accounts, uint256 quorum) {
        return (_validators, _quorum);
    }

    /// @inheritdoc ICheckpoints
    function sidechainId() external view returns (uint64) {
        return _SIDECHAIN_ID;
    }

    /* INTERNAL */

    function _setValidators(address[] memory accounts, uint256 quorum) private {
        if (quorum == 0 || quorum > accounts.length) revert CheckpointInvalidQuorum(quorum, accounts.length);

        address[] memory former = _validators;
        for (uint256 i = 0; i < former.length; ++i) {
            _counts[former[i]] = false;
        }
        address previous = address(0);
        for (uint256 i = 0; i < accounts.length; ++i) {
            _checkAscending(previous, accounts[i]);
            previous = accounts[i];
            _counts[previous] = true;
        }
        _validators = accounts;
        // Safe: a quorum is at most the number of validators, which a block's gas bounds far below 64 bits.
        _quorum = uint64(quorum);

        emit ValidatorsChanged(accounts, quorum);
    }

    /// @dev Strictly ascending: no zero address, and nobody counts twice.
    function _checkAscending(address previous, address next) private pure {
        if (next <= previous) revert CheckpointNotAscending(previous, next);
    }
}
