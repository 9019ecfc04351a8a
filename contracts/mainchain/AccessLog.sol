// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {IAccessLog} from "../interfaces/IAccessLog.sol";
import {IActorRegistry} from "../interfaces/IActorRegistry.sol";

/// @title AccessLog
/// @notice See {IAccessLog}.
contract AccessLog is IAccessLog {
    struct Anchor {
        uint64 sequence;
        bytes32 head;
    }

    IActorRegistry private immutable _ACTORS;

    mapping(address proxy => Anchor anchor) private _anchors;

    constructor(IActorRegistry actors) {
        _ACTORS = actors;
    }

    /// @inheritdoc IAccessLog
    function anchor(uint64 sequence, bytes32 head) external {
        if (!_ACTORS.isActive(msg.sender, IActorRegistry.Role.Proxy)) revert LogNotActiveProxy(msg.sender);
        uint64 anchored = _anchors[msg.sender].sequence;
        if (sequence <= anchored) revert LogSequenceNotGrowing(sequence, anchored);

        _anchors[msg.sender] = Anchor({sequence: sequence, head: head});

        emit HeadAnchored(msg.sender, sequence, head);
    }

    /// @inheritdoc IAccessLog
    function anchorOf(address proxy) external view returns (uint64 sequence, bytes32 head) {
        Anchor storage newest = _anchors[proxy];
        return (newest.sequence, newest.head);
    }
}
