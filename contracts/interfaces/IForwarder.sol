// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// @title Forwarder of the sidechain
/// @notice Calls a contract of the sidechain in the name of whoever signed the call, for whoever pays: ERC-2771.
/// @dev OpenZeppelin's ERC2771Forwarder with one more event. A signature counts once, in the order of its signer's
/// nonces, until its deadline, on this chain and for this contract. The order is meant: of a pairing that a relay holds back
/// and the end of that pairing, signed after it, the first can't be brought after the second.
interface IForwarder {
    /// @notice A signed call was made, and didn't revert.
    /// @param signer In whose name.
    /// @param digest What was signed: the EIP-712 digest of the request with its nonce. By it a signer knows that this
    /// call of theirs was made, and not another one with the same nonce.
    event Forwarded(address indexed signer, bytes32 indexed digest);
}
