// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {IAccessRequests} from "../interfaces/IAccessRequests.sol";
import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";

/// @title AccessRequests
/// @notice See {IAccessRequests}. An approval grants nothing by itself: the policy on the mainchain does.
contract AccessRequests is IAccessRequests {
    IIdentityRegistry private immutable _IDENTITIES;

    mapping(uint256 id => Request request) private _requests;
    uint256 private _count;

    constructor(IIdentityRegistry identities) {
        _IDENTITIES = identities;
    }

    /* REQUESTS */

    /// @inheritdoc IAccessRequests
    function request(address patient, bytes32 details, uint48 expiresAt) external returns (uint256 id) {
        if (!_IDENTITIES.isActive(msg.sender, IIdentityRegistry.Role.Practitioner)) {
            revert RequestNotActivePractitioner(msg.sender);
        }
        if (!_IDENTITIES.isActive(patient, IIdentityRegistry.Role.Patient)) revert RequestUnknownPatient(patient);
        if (details == bytes32(0) || expiresAt <= block.timestamp) {
            revert RequestInvalid(details, expiresAt, block.timestamp);
        }

        id = ++_count;
        _requests[id] = Request({
            requester: msg.sender,
            expiresAt: expiresAt,
            state: State.Open,
            patient: patient,
            details: details
        });

        emit AccessRequested(id, msg.sender, patient, details, expiresAt);
    }

    /// @inheritdoc IAccessRequests
    function approve(uint256 id, bytes32 outcome) external {
        _close(id, _requests[id].patient, State.Approved);

        emit AccessApproved(id, outcome);
    }

    /// @inheritdoc IAccessRequests
    function deny(uint256 id) external {
        _close(id, _requests[id].patient, State.Denied);

        emit AccessDenied(id);
    }

    /// @inheritdoc IAccessRequests
    function withdraw(uint256 id) external {
        _close(id, _requests[id].requester, State.Withdrawn);

        emit AccessWithdrawn(id);
    }

    /* VIEWS */

    /// @inheritdoc IAccessRequests
    function requestOf(uint256 id) external view returns (Request memory) {
        return _requests[id];
    }

    /// @inheritdoc IAccessRequests
    function stateOf(uint256 id) public view returns (State) {
        Request storage asked = _requests[id];
        if (asked.state == State.Open && block.timestamp >= asked.expiresAt) return State.Expired;
        return asked.state;
    }

    /// @inheritdoc IAccessRequests
    function requestCount() external view returns (uint256) {
        return _count;
    }

    function _close(uint256 id, address allowed, State next) private {
        // An unknown request has the zero address on both sides, which can't call: it fails here.
        if (msg.sender != allowed) revert RequestNotYours(id, msg.sender);
        State actual = stateOf(id);
        if (actual != State.Open) revert RequestNotOpen(id, actual);

        _requests[id].state = next;
    }
}
