// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Base} from "./Base.sol";
import {CompactSignature} from "../../contracts/libraries/Signatures.sol";

/// @title What a proxy signs of its log
abstract contract LogSigner is Base {
    /// @notice The EIP-712 digest of a log's head.
    function headDigest(address log, uint64 sequence, bytes32 head) internal view returns (bytes32) {
        bytes32 typeHash =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 domain =
            keccak256(abi.encode(typeHash, keccak256("PanaChain AccessLog"), keccak256("1"), block.chainid, log));
        bytes32 headType = keccak256("LogHead(uint64 sequence,bytes32 head)");
        return keccak256(abi.encodePacked(hex"1901", domain, keccak256(abi.encode(headType, sequence, head))));
    }

    /// @notice A key's signature of a log's head in the form of ERC-2098.
    function compactHead(uint256 key, address log, uint64 sequence, bytes32 head)
        internal
        view
        returns (CompactSignature memory)
    {
        (uint8 v, bytes32 r, bytes32 s) = VM.sign(key, headDigest(log, sequence, head));
        return CompactSignature(r, bytes32(uint256(s) | uint256(v - 27) << 255));
    }
}
