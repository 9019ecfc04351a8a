// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {ERC2771Context} from "@openzeppelin/contracts/metatx/ERC2771Context.sol";
import {Context} from "@openzeppelin/contracts/utils/Context.sol";

/// @title What persons call through a relay, and what operators call under an AccessManager
/// @notice The caller is whoever signed (ERC-2771) when the forwarder calls, and whoever calls otherwise.
/// @dev No function here may delegate a call with data of the caller's choice, as a multicall does: such data could end
/// in another person's address.
abstract contract RelayedAndManaged is AccessManaged, ERC2771Context {
    constructor(address authority, address forwarder) AccessManaged(authority) ERC2771Context(forwarder) {}

    function _msgSender() internal view override(Context, ERC2771Context) returns (address) {
        return ERC2771Context._msgSender();
    }

    function _msgData() internal view override(Context, ERC2771Context) returns (bytes calldata) {
        return ERC2771Context._msgData();
    }

    function _contextSuffixLength() internal view override(Context, ERC2771Context) returns (uint256) {
        return ERC2771Context._contextSuffixLength();
    }
}
