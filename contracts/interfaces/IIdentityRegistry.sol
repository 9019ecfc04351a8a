// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Status} from "../types/Status.sol";

/// @title Genuine identities of the sidechain
/// @notice Patients and practitioners, admitted by the registrar, and the pairings of patients with hospitals.
/// @dev Personal fields are encrypted before they come here; a lookup key is an HMAC under a secret of the trusted nodes.
interface IIdentityRegistry {
    /// @notice What a person is.
    enum Role {
        None,
        Patient,
        Practitioner
    }

    /// @notice One person.
    struct Identity {
        /// @notice What he or she is.
        Role role;
        /// @notice Whether he or she may act.
        Status status;
        /// @notice Unix seconds.
        uint48 registeredAt;
        /// @notice A practitioner's hospital; zero for patients.
        address organisation;
        /// @notice keccak256(abi.encode(receivingKey, verifyingKey)).
        bytes32 keysHash;
    }

    /// @notice A person was admitted.
    event IdentityRegistered(
        address indexed account,
        Role indexed role,
        address indexed organisation,
        bytes receivingKey,
        bytes verifyingKey,
        bytes personal
    );
    /// @notice A person may not act any more.
    event IdentitySuspended(address indexed account);
    /// @notice A suspension was taken back.
    event IdentityReinstated(address indexed account);
    /// @notice A patient lets a hospital publish to his lanes.
    /// @param pairing The sha2-256 digest in the CID of the sealed pairing (CIDv1, raw).
    event HospitalPaired(address indexed patient, address indexed hospital, bytes32 pairing);
    /// @notice A patient took his assent back.
    event HospitalUnpaired(address indexed patient, address indexed hospital);

    /// @notice The account is registered already.
    error IdentityAlreadyRegistered(address account);
    /// @notice The lookup key belongs to somebody already.
    error IdentityLookupTaken(bytes32 lookup);
    /// @notice The zero account, or no role, can't be registered.
    error IdentityInvalid(address account, Role role);
    /// @notice A key isn't 33 bytes long.
    error IdentityInvalidKey(uint256 receivingLength, uint256 verifyingLength);
    /// @notice The account has another status than the call needs.
    error IdentityUnexpectedStatus(address account, Status actual);
    /// @notice The caller isn't an active patient.
    error IdentityNotActivePatient(address account);
    /// @notice There is no such pairing.
    error IdentityNotPaired(address patient, address hospital);

    /// @notice Admit a person. Only the registrar.
    function register(
        address account,
        Role role,
        bytes32 lookup,
        bytes calldata receivingKey,
        bytes calldata verifyingKey,
        address organisation,
        bytes calldata personal
    ) external;

    /// @notice Suspend a person. Only the registrar, and the emergency contract for an overdue review.
    function suspend(address account) external;

    /// @notice Take a suspension back. Only the registrar.
    function reinstate(address account) external;

    /// @notice Let a hospital publish to the caller's lanes; a second pairing replaces the first.
    function pair(address hospital, bytes32 pairing) external;

    /// @notice Take the assent back.
    function unpair(address hospital) external;

    /// @notice One person; all fields zero when the account isn't registered.
    function identityOf(address account) external view returns (Identity memory);

    /// @notice Whether the account is active in this role.
    function isActive(address account, Role role) external view returns (bool);

    /// @notice The digest of the sealed pairing; zero for none.
    function pairingOf(address patient, address hospital) external view returns (bytes32);

    /// @notice Whom a lookup key belongs to; zero for nobody.
    function accountOf(bytes32 lookup) external view returns (address);
}
