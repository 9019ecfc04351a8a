// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {ERC2771Forwarder} from "@openzeppelin/contracts/metatx/ERC2771Forwarder.sol";
import {IForwarder} from "../interfaces/IForwarder.sol";

/// @title Forwarder
/// @notice See {IForwarder}. It has no administrator, and keeps nothing but nonces.
contract Forwarder is IForwarder, ERC2771Forwarder {
    constructor() ERC2771Forwarder("PanaChain Forwarder") {}

    /* INTERNAL */

    /// @dev The digest is taken before the call, which uses up the nonce.
    function _execute(ForwardRequestData calldata request, bool requireValidRequest)
        internal
        override
        returns (bool success)
    {
        bytes32 digest = _digestOf(request);

        success = super._execute(request, requireValidRequest);

        if (success) emit Forwarded(request.from, digest);
    }

    function _digestOf(ForwardRequestData calldata request) private view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    FORWARD_REQUEST_TYPEHASH,
                    request.from,
                    request.to,
                    request.value,
                    request.gas,
                    nonces(request.from),
                    request.deadline,
                    keccak256(request.data)
                )
            )
        );
    }
}
