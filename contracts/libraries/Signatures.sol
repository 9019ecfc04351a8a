// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @notice A key's signature in 64 bytes (ERC-2098): what batches take.
struct CompactSignature {
    bytes32 r;
    /// @dev The parity of R in the highest bit, s below it.
    bytes32 vs;
}

/// @title Signatures of keys and of contracts
/// @notice A signer is a key (ECDSA with low s, 64 bytes as of ERC-2098 or 65) or a contract such as a multisig
/// (ERC-1271, any length).
/// @dev The key is tried first: asking for the signer's code, as OpenZeppelin does, costs a cold access each time. An
/// account with code (ERC-1271, EIP-7702) is asked when its key didn't sign. The zero address never passes: ECDSA
/// gives it with an error only, and it has no code that could answer. Two lengths make a signature malleable: nothing
/// may take one for a unique ID.
library Signatures {
    /// @notice Whether `signer` signed `digest`.
    function isValid(address signer, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        (uint8 v, bytes32 r, bytes32 s) = ECDSA.parseCalldata(signature);
        (address recovered, ECDSA.RecoverError problem,) = ECDSA.tryRecover(digest, v, r, s);
        if (problem == ECDSA.RecoverError.NoError && recovered == signer) return true;
        return SignatureChecker.isValidERC1271SignatureNowCalldata(signer, digest, signature);
    }

    /// @notice The same for a signature of a batch; a contract is asked with its 64 bytes.
    function isValid(address signer, bytes32 digest, CompactSignature calldata signature)
        internal
        view
        returns (bool)
    {
        (bytes32 r, bytes32 vs) = (signature.r, signature.vs);
        (address recovered, ECDSA.RecoverError problem,) = ECDSA.tryRecover(digest, r, vs);
        if (problem == ECDSA.RecoverError.NoError && recovered == signer) return true;
        return SignatureChecker.isValidERC1271SignatureNow(signer, digest, abi.encodePacked(r, vs));
    }
}
