// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {ERC2771Context} from "@openzeppelin/contracts/metatx/ERC2771Context.sol";
import {IAccessRequests} from "../interfaces/IAccessRequests.sol";
import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {Status} from "../types/Status.sol";

/// @title AccessRequests
/// @notice See {IAccessRequests}. An approval grants nothing by itself: the policy on the mainchain does.
contract AccessRequests is IAccessRequests, ERC2771Context {
    /// @dev Requests of one practitioner to one patient that may wait at a time.
    uint256 private constant PLACES = 3;
    /// @dev Bits of a place: the ID of the request that took it (32) and when it was made (48), from the lowest on.
    uint256 private constant PLACE_BITS = 80;
    uint256 private constant ID_BITS = 32;
    /// @dev For which a place is taken at least, unless the patient answers: withdrawing, or a request of one second,
    /// doesn't make room for the next one.
    uint256 private constant LEAST_HELD = 1 days;
    /// @dev How often a practitioner may ask in a row, and after which time once more.
    uint256 private constant IN_A_ROW = 100;
    uint256 private constant INTERVAL = 10 minutes;

    IIdentityRegistry private immutable _IDENTITIES;

    mapping(uint256 id => Request request) private _requests;
    uint256 private _count;
    mapping(uint256 id => address referrer) private _referrers;
    mapping(address requester => mapping(address patient => uint256 places)) private _places;
    /// @dev Unix seconds: when a practitioner may ask IN_A_ROW times again (the theoretical arrival time of the generic
    /// cell rate algorithm, ITU-T I.371).
    mapping(address requester => uint256 time) private _restedAt;

    constructor(IIdentityRegistry identities, address forwarder) ERC2771Context(forwarder) {
        _IDENTITIES = identities;
    }

    /* REQUESTS */

    /// @inheritdoc IAccessRequests
    function request(address patient, bytes32 details, uint48 expiresAt) external returns (uint256 id) {
        id = _ask(_msgSender(), patient, details, expiresAt);
    }

    /// @inheritdoc IAccessRequests
    function refer(address patient, address specialist, bytes32 details, uint48 expiresAt)
        external
        returns (uint256 id)
    {
        if (specialist == _msgSender()) revert RequestReferredToOneself(specialist);
        _checkPractitioner(_msgSender());

        id = _ask(specialist, patient, details, expiresAt);
        _referrers[id] = _msgSender();

        emit AccessReferred(id, _msgSender());
    }

    /// @inheritdoc IAccessRequests
    function approve(uint256 id, bytes32 outcome) external {
        bool allowed = _requests[id].patient == _msgSender();
        Status actual = _IDENTITIES.identityOf(_msgSender()).status;
        if (allowed && actual != Status.Active) revert RequestNotActivePatient(_msgSender());
        _close(id, allowed, State.Approved);

        emit AccessApproved(id, outcome);
    }

    /// @inheritdoc IAccessRequests
    function deny(uint256 id) external {
        bool allowed = _requests[id].patient == _msgSender();
        // Also while suspended: refusing makes nothing worse. A key that its patient left answers nothing.
        Status actual = _IDENTITIES.identityOf(_msgSender()).status;
        if (allowed && actual == Status.Replaced) revert RequestNotActivePatient(_msgSender());
        _close(id, allowed, State.Denied);

        emit AccessDenied(id);
    }

    /// @inheritdoc IAccessRequests
    function withdraw(uint256 id) external {
        // The zero address stands where nobody referred.
        address referrer = _referrers[id];
        bool allowed = _requests[id].requester == _msgSender() || (referrer != address(0) && referrer == _msgSender());
        _close(id, allowed, State.Withdrawn);

        emit AccessWithdrawn(id);
    }

    /* VIEWS */

    /// @inheritdoc IAccessRequests
    function requestOf(uint256 id) external view returns (Request memory) {
        return _requests[id];
    }

    /// @inheritdoc IAccessRequests
    function referrerOf(uint256 id) external view returns (address) {
        return _referrers[id];
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

    /* INTERNAL */

    /// @dev Makes a request in somebody's name; whoever calls uses up their own places and pace.
    function _ask(address requester, address patient, bytes32 details, uint48 expiresAt) private returns (uint256 id) {
        _checkPractitioner(requester);
        if (!_IDENTITIES.isActive(patient, IIdentityRegistry.Role.Patient)) revert RequestUnknownPatient(patient);
        if (details == bytes32(0) || expiresAt <= block.timestamp) {
            revert RequestInvalid(details, expiresAt, block.timestamp);
        }

        (uint256 places, uint256 free) = _placesOf(patient);
        uint256 restedAt = _restedAt[_msgSender()];
        if (restedAt < block.timestamp) restedAt = block.timestamp;
        uint256 ahead = (IN_A_ROW - 1) * INTERVAL;
        if (restedAt > block.timestamp + ahead) revert RequestTooOften(_msgSender(), restedAt - ahead);

        id = ++_count;
        // Safe: an ID stays below 2^32, since each takes a transaction; Unix seconds fit 48 bits for nine million years.
        _places[_msgSender()][patient] = places | (id | block.timestamp << ID_BITS) << free;
        _restedAt[_msgSender()] = restedAt + INTERVAL;
        _requests[id] = Request({
            requester: requester, expiresAt: expiresAt, state: State.Open, patient: patient, details: details
        });

        emit AccessRequested(id, requester, patient, details, expiresAt);
    }

    /// @dev Reverts for everybody but active practitioners.
    function _checkPractitioner(address account) private view {
        if (!_IDENTITIES.isActive(account, IIdentityRegistry.Role.Practitioner)) {
            revert RequestNotActivePractitioner(account);
        }
    }

    /// @dev The places of the caller with a patient, without what the first free one held, and the bit where that
    /// begins; reverts when none is free.
    function _placesOf(address patient) private view returns (uint256 places, uint256 free) {
        places = _places[_msgSender()][patient];
        uint256 freeAt = type(uint256).max;
        for (; free < PLACES * PLACE_BITS; free += PLACE_BITS) {
            uint256 place = places >> free & (1 << PLACE_BITS) - 1;
            uint256 heldUntil = _heldUntil(place);
            // Safe: what lies in the place is taken out of it.
            if (heldUntil <= block.timestamp) return (places ^ place << free, free);
            if (heldUntil < freeAt) freeAt = heldUntil;
        }
        revert RequestTooManyOpen(patient, freeAt);
    }

    /// @dev Until when a place is taken, exclusive; zero for one that is empty or whose request was answered.
    function _heldUntil(uint256 place) private view returns (uint256 time) {
        Request storage held = _requests[place & (1 << ID_BITS) - 1];
        State state = held.state;
        if (state != State.Open && state != State.Withdrawn) return 0;
        time = (place >> ID_BITS) + LEAST_HELD;
        if (state == State.Open && time < held.expiresAt) return held.expiresAt;
    }

    function _close(uint256 id, bool allowed, State next) private {
        // An unknown request has the zero address on all sides, which can't call: it fails here.
        if (!allowed) revert RequestNotYours(id, _msgSender());
        State actual = stateOf(id);
        if (actual != State.Open) revert RequestNotOpen(id, actual);

        _requests[id].state = next;
    }
}
