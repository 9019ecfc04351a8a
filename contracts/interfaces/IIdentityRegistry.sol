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
        /// @notice What the person is.
        Role role;
        /// @notice Whether the person may act.
        Status status;
        /// @notice Unix seconds.
        uint48 registeredAt;
        /// @notice A practitioner's hospital; zero for patients.
        address organisation;
        /// @notice The sha2-256 digest in the CID of the person's key block (CIDv1, raw); after each change of keys
        /// keccak256(abi.encode(keys before it, keyDigest, validFrom, earlierEndsAt)), which commits to all of them.
        bytes32 keys;
    }

    /// @notice A person was admitted.
    /// @param keyDigest The sha2-256 digest in the CID of the person's key block (CIDv1, raw).
    event IdentityRegistered(
        address indexed account, Role indexed role, address indexed organisation, bytes32 keyDigest, bytes personal
    );
    /// @notice A person may not act any more.
    event IdentitySuspended(address indexed account);
    /// @notice A suspension was taken back.
    event IdentityReinstated(address indexed account);
    /// @notice A practitioner has another key block from now on; what was sealed to an earlier one still opens with that one.
    /// @param keyDigest The sha2-256 digest in the CID of the new key block (CIDv1, raw).
    /// @param validFrom Unix seconds: the time of this block.
    /// @param earlierEndsAt Unix seconds. What is published from then on doesn't count under the block before; a time before
    /// `validFrom` says that every block that had begun by then was compromised.
    event IdentityKeysChanged(address indexed account, bytes32 keyDigest, uint48 validFrom, uint48 earlierEndsAt);
    /// @notice A patient lets a hospital publish to their lanes.
    /// @param pairing The sha2-256 digest in the CID of the sealed pairing (CIDv1, raw).
    event HospitalPaired(address indexed patient, address indexed hospital, bytes32 pairing);
    /// @notice A patient took their assent back.
    event HospitalUnpaired(address indexed patient, address indexed hospital);

    /// @notice A patient named other guardians; an open recovery is void.
    event GuardiansChanged(address indexed patient, address[] guardians, uint8 threshold);
    /// @notice A guardian spoke for a move of the patient to another account.
    event RecoveryApproved(address indexed patient, address indexed successor, address indexed guardian);
    /// @notice Enough guardians spoke; the move can be completed from `readyAt` on.
    event RecoveryOpened(address indexed patient, address indexed successor, uint48 readyAt);
    /// @notice The patient vetoed.
    event RecoveryCancelled(address indexed patient);
    /// @notice The patient is another account from now on; the old one never acts again.
    event IdentityReplaced(address indexed patient, address indexed successor);

    /// @notice The account is registered already.
    error IdentityAlreadyRegistered(address account);
    /// @notice The lookup key belongs to somebody already.
    error IdentityLookupTaken(bytes32 lookup);
    /// @notice The zero account, or no role, can't be registered.
    error IdentityInvalid(address account, Role role);
    /// @notice The digest of the person's key block is zero.
    error IdentityWithoutKeys(address account);
    /// @notice The keys were changed since the caller looked, or the call is an old one.
    error IdentityKeysChangedMeanwhile(address account, bytes32 expected, bytes32 actual);
    /// @notice The earlier keys would count for longer than 30 days.
    error IdentityKeysEndTooLate(address account, uint48 earlierEndsAt, uint256 currentTime);
    /// @notice The caller isn't an active practitioner.
    error IdentityNotActivePractitioner(address account);
    /// @notice The account has another status than the call needs.
    error IdentityUnexpectedStatus(address account, Status actual);
    /// @notice The caller isn't an active patient.
    error IdentityNotActivePatient(address account);
    /// @notice There is no such pairing.
    error IdentityNotPaired(address patient, address hospital);
    /// @notice Not 1 to 16 guardians, or a threshold that they can't reach.
    error IdentityInvalidGuardians(uint256 guardians, uint8 threshold);
    /// @notice Guardians are listed once each, in ascending order, without the patient and the zero address.
    error IdentityInvalidGuardian(address guardian);
    /// @notice The caller isn't a guardian of this patient.
    error IdentityNotGuardian(address patient, address caller);
    /// @notice The successor isn't another active patient.
    error IdentityInvalidSuccessor(address patient, address successor);
    /// @notice The guardian spoke for this successor already.
    error IdentityAlreadyApproved(address patient, address guardian);
    /// @notice There is a recovery already that the patient hasn't vetoed.
    error IdentityRecoveryOpen(address patient, address successor);
    /// @notice There is no recovery, or its delay isn't over; `readyAt` is zero for none.
    error IdentityRecoveryNotReady(address patient, uint48 readyAt, uint256 currentTime);
    /// @notice The caller isn't the account to which the patient moves.
    error IdentityNotSuccessor(address patient, address caller);
    /// @notice The account was moved more than 64 times, and is followed no further.
    error IdentityTooManyMoves(address account);

    /// @notice Admit a person. Only the registrar.
    function register(
        address account,
        Role role,
        bytes32 lookup,
        bytes32 keyDigest,
        address organisation,
        bytes calldata personal
    ) external;

    /// @notice Suspend a person. Only the registrar, and the emergency contract for an overdue review.
    function suspend(address account) external;

    /// @notice Take a suspension back. Only the registrar.
    function reinstate(address account) external;

    /// @notice Have another key block. Only an active practitioner's own account: no registrar changes anybody's keys.
    /// @param expected The account's `keys` now, so that no call counts twice or comes second unnoticed.
    /// @param keyDigest SHA-256 of the new block, which lies in the store. Whether its keys are fresh isn't checked.
    /// @param earlierEndsAt When the block before stops to count, at most 30 days from now; in the past if it was compromised.
    function changeKeys(bytes32 expected, bytes32 keyDigest, uint48 earlierEndsAt) external;

    /// @notice Let a hospital publish to the caller's lanes; a second pairing replaces the first.
    function pair(address hospital, bytes32 pairing) external;

    /// @notice Take the assent back.
    function unpair(address hospital) external;

    /// @notice Name one's guardians; replaces the ones before, and none are named by an empty list. Only active
    /// patients.
    /// @param guardians At most 16 accounts, ascending. They need not be registered, and may be contracts.
    /// @param threshold How many of them can move the patient to another account.
    function setGuardians(address[] calldata guardians, uint8 threshold) external;

    /// @notice Speak for moving a patient to a successor, whom the registrar admitted. Only guardians of the patient.
    /// The delay runs from the approval that reaches the threshold.
    function approveRecovery(address patient, address successor) external;

    /// @notice Veto every approval until now, and a recovery that isn't completed. Only the patient, also suspended.
    function cancelRecovery() external;

    /// @notice Complete a recovery whose delay is over. Only the successor, who so assents to being the patient: whoever
    /// looks for the patient's account or lookup key finds the successor from then on.
    function completeRecovery(address patient) external;

    /// @notice A patient's guardians, ascending, and how many of them are needed; empty for none.
    function guardiansOf(address patient) external view returns (address[] memory guardians, uint8 threshold);

    /// @notice The open recovery of a patient; zeros for none.
    function recoveryOf(address patient) external view returns (address successor, uint48 readyAt);

    /// @notice The account that a replaced patient moved to; zero for none. It may have been replaced since.
    function successorOf(address patient) external view returns (address);

    /// @notice The account that stands for another one now, after at most 64 moves; the account itself if it never moved.
    /// @dev No circle: whoever is replaced is so for good, and only an active account is moved to. Reverts beyond 64
    /// moves, each of which takes 72 hours and an account that the registrar admitted.
    function newestOf(address account) external view returns (address);

    /// @notice One person; all fields zero when the account isn't registered.
    function identityOf(address account) external view returns (Identity memory);

    /// @notice Whether the account is active in this role.
    function isActive(address account, Role role) external view returns (bool);

    /// @notice The digest of the sealed pairing; zero for none.
    function pairingOf(address patient, address hospital) external view returns (bytes32);

    /// @notice Whom a lookup key belongs to now, wherever guardians moved them; zero for nobody. Reverts as newestOf.
    function accountOf(bytes32 lookup) external view returns (address);
}
