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

    /// @notice Who may move a patient, as far as the chain knows.
    struct Guardians {
        /// @notice `keccak256(abi.encode(commitments))` of the present list; zero for no guardians.
        bytes32 digest;
        /// @notice How many of them are needed.
        uint8 threshold;
        /// @notice Seconds that a recovery, and a change of these, waits.
        uint32 delay;
        /// @notice The digest of the list that was announced; zero if nobody shall be named, or nothing was announced.
        bytes32 nextDigest;
        /// @notice When that takes effect, in Unix seconds, unless guardians act or a freeze holds it up; zero for nothing.
        uint48 changesAt;
        /// @notice The end of the newest freeze, in Unix seconds; zero for none.
        uint48 frozenUntil;
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

    /// @notice A patient named other guardians, or another delay: from `takesEffectAt` on, or later (see setGuardians).
    /// @param commitments Of each guardian `keccak256(abi.encode(patient, guardian, salt))`, or anything: ascending.
    /// @param invitations The sha2-256 digest in the CID of what is sealed to the guardians (CIDv1, raw).
    event GuardiansAnnounced(
        address indexed patient,
        bytes32[] commitments,
        uint8 threshold,
        uint32 delay,
        bytes32 invitations,
        uint48 takesEffectAt
    );
    /// @notice A veto made an announced change wait once more.
    event GuardiansDeferred(address indexed patient, uint48 takesEffectAt);
    /// @notice An announced change was taken back, by the patient or by a suspension.
    event GuardiansWithdrawn(address indexed patient);
    /// @notice Nobody new is named and paired with until then.
    event IdentityFrozen(address indexed patient, uint48 until);
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
    /// @notice The earlier keys would end more than 180 days ago, and with them what was published since.
    error IdentityKeysEndTooEarly(address account, uint48 earlierEndsAt, uint256 currentTime);
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
    /// @notice Commitments are listed once each, in ascending order, without zero.
    error IdentityInvalidCommitment(bytes32 commitment);
    /// @notice Not a day to thirty days.
    error IdentityInvalidDelay(uint32 delay);
    /// @notice No change of guardians is announced.
    error IdentityNothingAnnounced(address patient);
    /// @notice The patient is frozen, or guardians opened a recovery.
    error IdentityIsFrozen(address patient);
    /// @notice The guardian has frozen this patient before.
    error IdentityAlreadyFrozen(address patient, address guardian);
    /// @notice The caller isn't a guardian of this patient.
    error IdentityNotGuardian(address patient, address caller);
    /// @notice The successor isn't another active patient.
    error IdentityInvalidSuccessor(address patient, address successor);
    /// @notice The guardian spoke for this successor already.
    error IdentityAlreadyApproved(address patient, address guardian);
    /// @notice There is a recovery already to this successor that the patient hasn't vetoed.
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

    /// @notice Suspend a person, and take back what they announced. Only the registrar, and the emergency contract for
    /// an overdue review.
    function suspend(address account) external;

    /// @notice Take a suspension back. Only the registrar.
    function reinstate(address account) external;

    /// @notice Have another key block. Only an active practitioner's own account: no registrar changes anybody's keys.
    /// @param expected The account's `keys` now, so that no call counts twice or comes second unnoticed.
    /// @param keyDigest SHA-256 of the new block, which lies in the store. Whether its keys are fresh isn't checked.
    /// @param earlierEndsAt When the block before stops to count, at most 30 days from now; in the past, at most
    /// 180 days, if it was compromised.
    function changeKeys(bytes32 expected, bytes32 keyDigest, uint48 earlierEndsAt) external;

    /// @notice Let a hospital publish to the caller's lanes; a second pairing replaces the first. Not with another
    /// hospital while the caller is frozen.
    function pair(address hospital, bytes32 pairing) external;

    /// @notice Take the assent back. Only the patient, also suspended, and not once moved to another account.
    function unpair(address hospital) external;

    /// @notice Name one's guardians and the delay; replaces those before, and none are named by an empty list. Only
    /// active patients, unless frozen. The first ones count at once. Others count when the present delay is over, no
    /// recovery is open and no freeze holds; a second announcement replaces the first and waits anew.
    /// @param commitments At most 16, ascending: `keccak256(abi.encode(patient, guardian, salt))`, or random ones that
    /// hide how many there are. Guardians need not be registered, and may be contracts.
    /// @param threshold How many of them can move the patient to another account.
    /// @param delay Seconds that a recovery and the next change wait: a day to thirty days.
    /// @param invitations The sha2-256 digest in the CID of what is sealed to the guardians (CIDv1, raw).
    function setGuardians(bytes32[] calldata commitments, uint8 threshold, uint32 delay, bytes32 invitations) external;

    /// @notice Take an announced change back. Only the patient, also suspended.
    function cancelGuardians() external;

    /// @notice Let nobody new be named or paired with for 72 hours. It holds up no veto, no unpairing, no new lanes of a
    /// hospital that is paired, and no guardian. Only active patients.
    function freeze() external;

    /// @notice The same, by a guardian; each once, as long as the same guardians are named.
    /// @param commitments The whole list, as it was announced.
    /// @param place The caller's place in it, from 0 on.
    /// @param salt What the caller's commitment was made with.
    function freezeFor(address patient, bytes32[] calldata commitments, uint256 place, bytes32 salt) external;

    /// @notice Speak for moving a patient to a successor, whom the registrar admitted. Only guardians of the patient.
    /// The delay runs from the approval that reaches the threshold; an approval waits 14 days for the others. Another
    /// successor takes an open recovery over if as many speak for it, and waits for the whole delay.
    /// @param commitments The whole list, as it was announced.
    /// @param place The caller's place in it, from 0 on.
    /// @param salt What the caller's commitment was made with.
    function approveRecovery(
        address patient,
        address successor,
        bytes32[] calldata commitments,
        uint256 place,
        bytes32 salt
    ) external;

    /// @notice Veto every approval until now, and a recovery that isn't completed. Only the patient, and not while
    /// suspended. An announced change of guardians waits for the present delay from now on, the first time.
    function cancelRecovery() external;

    /// @notice Complete a recovery whose delay is over, within 14 days. Only the successor, who so assents to being the patient: whoever
    /// looks for the patient's account or lookup key finds the successor from then on.
    function completeRecovery(address patient) external;

    /// @notice What is known of a patient's guardians, and what was announced.
    function guardianshipOf(address patient) external view returns (Guardians memory);

    /// @notice Whether an account is a guardian of a patient, by what only they know.
    function isGuardian(address patient, address account, bytes32[] calldata commitments, uint256 place, bytes32 salt)
        external
        view
        returns (bool);

    /// @notice The open recovery of a patient, until 14 days after `readyAt`; zeros for none.
    function recoveryOf(address patient) external view returns (address successor, uint48 readyAt);

    /// @notice The account that a replaced patient moved to; zero for none. It may have been replaced since.
    function successorOf(address patient) external view returns (address);

    /// @notice The accounts that were moved to this one, also by way of others, in no order.
    /// @dev Reverts beyond 64 of them, each of which the registrar admitted and guardians moved.
    function movedTo(address account) external view returns (address[] memory earlier);

    /// @notice The account that stands for another one now, after at most 64 moves; the account itself if it never moved.
    /// @dev No circle: whoever is replaced is so for good, and only an active account is moved to. Reverts beyond 64
    /// moves, each of which takes a day at least and an account that the registrar admitted.
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
