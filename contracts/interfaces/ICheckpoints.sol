// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// @title Checkpoints of the sidechain
/// @notice The sidechain's validators state its head here, so that its history can't be rewritten unseen.
/// @dev Only block numbers and hashes come here: nothing of what the sidechain holds. A validator may be a contract
/// (ERC-1271).
interface ICheckpoints {
    /// @notice A quorum of the validators stated a block of the sidechain.
    event Checkpointed(uint64 indexed number, bytes32 blockHash);
    /// @notice Other validators count from now on.
    event ValidatorsChanged(address[] validators, uint256 quorum);

    /// @notice The quorum is zero or more than there are validators.
    error CheckpointInvalidQuorum(uint256 quorum, uint256 validators);
    /// @notice Validators and signers are listed once each, in ascending order, without the zero address.
    error CheckpointNotAscending(address previous, address next);
    /// @notice There are as many signatures as signers.
    error CheckpointLengths(uint256 signers, uint256 signatures);
    /// @notice Fewer signatures than the quorum.
    error CheckpointBelowQuorum(uint256 signatures, uint256 quorum);
    /// @notice The signer isn't a validator.
    error CheckpointNotValidator(address signer);
    /// @notice The signature isn't the validator's for exactly this block of this sidechain.
    error CheckpointInvalidSignature(address signer);
    /// @notice The number doesn't grow, or there is no hash.
    error CheckpointNotGrowing(uint64 number, uint64 newest);

    /// @notice State a block. Anyone, with the signatures of a quorum.
    /// @param number The block's number on the sidechain.
    /// @param blockHash The block's hash.
    /// @param signers Ascending.
    /// @param signatures Checkpoint(uint64 sidechainId,uint64 number,bytes32 blockHash), EIP-712, one of each signer.
    function checkpoint(uint64 number, bytes32 blockHash, address[] calldata signers, bytes[] calldata signatures)
        external;

    /// @notice Replace the validators. Only the administrator, after the delay.
    /// @param accounts Ascending.
    function setValidators(address[] calldata accounts, uint256 quorum) external;

    /// @notice The newest checkpoint; zeros for none.
    function newest() external view returns (uint64 number, bytes32 blockHash);

    /// @notice The hash stated for a block; zero for none.
    function hashAt(uint64 number) external view returns (bytes32);

    /// @notice Who counts, ascending, and how many of them are needed.
    function validators() external view returns (address[] memory accounts, uint256 quorum);

    /// @notice The sidechain's chain ID.
    function sidechainId() external view returns (uint64);
}
