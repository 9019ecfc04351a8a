// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// @title Requests for access
/// @notice A practitioner asks, the patient approves or denies; what is asked for is sealed to the patient.
/// @dev Asking is bounded, so that nobody fills a patient's list. One practitioner's requests to one patient have three
/// places: a place is taken until the patient answers, or until the request is over and a day has passed since it was
/// made. And a practitioner asks at most 100 times in a row, and from then on once in ten minutes, over all patients.
/// A referral is a request in a specialist's name that another practitioner makes: the places and the pace are those of
/// whoever refers, so that nobody uses up a colleague's.
interface IAccessRequests {
    /// @notice Where a request stands.
    enum State {
        None,
        Open,
        Approved,
        Denied,
        Withdrawn,
        Expired
    }

    /// @notice One request.
    struct Request {
        /// @notice Who asks, or in whose name a colleague does.
        address requester;
        /// @notice Unix seconds, exclusive: from then on it can't be approved.
        uint48 expiresAt;
        /// @notice As stored; an open request past its time is expired, see stateOf.
        State state;
        /// @notice The patient who is asked.
        address patient;
        /// @notice The sha2-256 digest in the CID of the details, sealed to the patient (CIDv1, raw).
        bytes32 details;
    }

    /// @notice A request was made.
    event AccessRequested(
        uint256 indexed id, address indexed requester, address indexed patient, bytes32 details, uint48 expiresAt
    );
    /// @notice The request was made by `referrer` in the requester's name.
    event AccessReferred(uint256 indexed id, address indexed referrer);
    /// @notice The patient approved; `outcome` is a digest sealed to the requester, or zero.
    event AccessApproved(uint256 indexed id, bytes32 outcome);
    /// @notice The patient denied.
    event AccessDenied(uint256 indexed id);
    /// @notice The requester, or who referred, took it back.
    event AccessWithdrawn(uint256 indexed id);

    /// @notice The caller isn't an active practitioner.
    error RequestNotActivePractitioner(address account);
    /// @notice Nobody refers to themselves.
    error RequestReferredToOneself(address account);
    /// @notice The account isn't an active patient.
    error RequestUnknownPatient(address patient);
    /// @notice The caller was asked, and is suspended, or was moved to another account.
    error RequestNotActivePatient(address account);
    /// @notice The time is over already, or there are no details.
    error RequestInvalid(bytes32 details, uint48 expiresAt, uint256 currentTime);
    /// @notice The caller has no say in this request.
    error RequestNotYours(uint256 id, address caller);
    /// @notice The requester's places with this patient are taken; the first of them is free at `freeAt` (Unix seconds),
    /// or once the patient answers.
    error RequestTooManyOpen(address patient, uint256 freeAt);
    /// @notice The requester asked too often; the next request can be made at `nextAt` (Unix seconds).
    error RequestTooOften(address requester, uint256 nextAt);
    /// @notice The request isn't open.
    error RequestNotOpen(uint256 id, State state);

    /// @notice Ask a patient for access. Only active practitioners, within their bounds.
    function request(address patient, bytes32 details, uint48 expiresAt) external returns (uint256 id);

    /// @notice Ask a patient for access in the name of a specialist. Only active practitioners, for another one who is
    /// active, within the caller's bounds. An approval grants to the specialist alone.
    function refer(address patient, address specialist, bytes32 details, uint48 expiresAt)
        external
        returns (uint256 id);

    /// @notice Approve an open request. Only its patient, while active.
    function approve(uint256 id, bytes32 outcome) external;

    /// @notice Deny an open request. Only its patient, also suspended, and not once moved to another account.
    function deny(uint256 id) external;

    /// @notice Take an open request back. Only its requester, or who made it in their name. Its place is free a day after
    /// it was made.
    function withdraw(uint256 id) external;

    /// @notice One request; all fields zero when there is none.
    function requestOf(uint256 id) external view returns (Request memory);

    /// @notice Who made a request in its requester's name; the zero address if they did themselves.
    function referrerOf(uint256 id) external view returns (address);

    /// @notice Where a request stands now.
    function stateOf(uint256 id) external view returns (State);

    /// @notice How many requests were made; their IDs are 1 to this number.
    function requestCount() external view returns (uint256);
}
