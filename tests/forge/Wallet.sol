// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// @notice A multisig of two keys: it takes two signatures of 65 bytes, or, as one word pair, what its first key
/// signed in 64 bytes. It can also call, as a registrar that is a multisig does.
contract Wallet is IERC1271 {
    address private immutable _FIRST;
    address private immutable _SECOND;

    constructor(address first, address second) {
        _FIRST = first;
        _SECOND = second;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        bool good = false;
        if (signature.length == 64) {
            bytes32 vs = bytes32(signature[32:64]);
            uint8 v = uint8(uint256(vs) >> 255) + 27;
            bytes32 s = bytes32(uint256(vs) & type(uint256).max >> 1);
            good = ecrecover(digest, v, bytes32(signature[:32]), s) == _FIRST;
        } else if (signature.length == 130) {
            good = _recover(digest, signature[:65]) == _FIRST && _recover(digest, signature[65:]) == _SECOND;
        }
        return good ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }

    function execute(address target, bytes calldata data) external returns (bytes memory) {
        (bool done, bytes memory answer) = target.call(data);
        require(done, "call failed");
        return answer;
    }

    function _recover(bytes32 digest, bytes calldata signature) private pure returns (address) {
        return ecrecover(digest, uint8(signature[64]), bytes32(signature[:32]), bytes32(signature[32:64]));
    }
}
