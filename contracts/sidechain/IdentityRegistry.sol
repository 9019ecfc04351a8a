// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {RelayedAndManaged} from "../libraries/RelayedAndManaged.sol";
import {Status} from "../types/Status.sol";

/// @title IdentityRegistry
/// @notice See {IIdentityRegistry}. It never holds a personal field in the clear.
contract IdentityRegistry is IIdentityRegistry, RelayedAndManaged {
    uint256 private constant MAX_GUARDIANS = 16;
    /// @dev How long keys may still count beside those that replace them.
    uint256 private constant MAX_OVERLAP = 30 days;
    /// @dev How far back keys may end: what is older stays readable, whoever has the account.
    uint256 private constant MAX_BACK = 180 days;
    /// @dev A delay of zero is none, and one without an end locks everybody out.
    uint32 private constant SHORTEST_DELAY = 1 days;
    uint32 private constant LONGEST_DELAY = 30 days;
    /// @dev How long an open recovery can be completed: then another one can be opened.
    uint48 private constant COMPLETION = 14 days;
    /// @dev How long an approval waits for the others.
    uint48 private constant APPROVAL = 14 days;
    uint48 private constant FREEZE = 72 hours;
    /// @dev How far an account is followed.
    uint256 private constant MAX_MOVES = 64;

    struct Guardianship {
        /// @dev Of the list of commitments; zero for no guardians.
        bytes32 digest;
        bytes32 nextDigest;
        uint8 threshold;
        /// @dev Seconds.
        uint32 delay;
        /// @dev Counted up by every change, veto and opening: approvals of an older round count no more.
        uint40 round;
        uint48 readyAt;
        uint48 frozenUntil;
        address successor;
        uint8 nextThreshold;
        uint32 nextDelay;
        /// @dev When what was announced takes effect; zero for nothing announced.
        uint48 changesAt;
        /// @dev Whether a veto made what was announced wait once more.
        bool deferred;
    }

    struct Approvals {
        /// @dev When the first of them was given.
        uint48 since;
        /// @dev One bit for each guardian, by the guardian's place in the list.
        uint16 bits;
    }

    mapping(address account => Identity identity) private _identities;
    /// @dev As registered, for good: whoever looks up follows `_successors` from there. So it is right after any number of
    /// moves, also of several patients to one account, and of an account that has a lookup key of its own.
    mapping(bytes32 lookup => address account) private _accounts;
    mapping(address patient => mapping(address hospital => bytes32 pairing)) private _pairings;

    mapping(address patient => Guardianship guardianship) private _guardianships;
    mapping(bytes32 patientRoundSuccessor => Approvals approvals) private _approvals;
    /// @dev A guardian freezes once, as long as the same guardians are named.
    mapping(bytes32 patientDigestGuardian => bool frozen) private _froze;
    mapping(address patient => address successor) private _successors;
    mapping(address successor => address[] patients) private _predecessors;

    constructor(address authority, address forwarder) RelayedAndManaged(authority, forwarder) {}

    /* ADMISSION */

    /// @inheritdoc IIdentityRegistry
    function register(
        address account,
        Role role,
        bytes32 lookup,
        bytes32 keyDigest,
        address organisation,
        bytes calldata personal
    ) external restricted {
        if (account == address(0) || role == Role.None) revert IdentityInvalid(account, role);
        if (_identities[account].status != Status.Unknown) revert IdentityAlreadyRegistered(account);
        if (lookup != bytes32(0) && _accounts[lookup] != address(0)) revert IdentityLookupTaken(lookup);
        if (keyDigest == bytes32(0)) revert IdentityWithoutKeys(account);

        _identities[account] = Identity({
            role: role,
            status: Status.Active,
            // Safe: Unix seconds fit 48 bits for nine million years.
            registeredAt: uint48(block.timestamp),
            organisation: organisation,
            keys: keyDigest
        });
        if (lookup != bytes32(0)) _accounts[lookup] = account;

        emit IdentityRegistered(account, role, organisation, keyDigest, personal);
    }

    /// @inheritdoc IIdentityRegistry
    function suspend(address account) external restricted {
        _change(account, Status.Active, Status.Suspended);

        emit IdentitySuspended(account);

        // What somebody announced whom the registrar doubts mustn't wait for a reinstatement.
        Guardianship storage guardianship = _settled(account);
        if (guardianship.changesAt != 0) _withdraw(guardianship, account);
    }

    /// @inheritdoc IIdentityRegistry
    function reinstate(address account) external restricted {
        _change(account, Status.Suspended, Status.Active);

        emit IdentityReinstated(account);
    }

    /* KEYS */

    /// @inheritdoc IIdentityRegistry
    function changeKeys(bytes32 expected, bytes32 keyDigest, uint48 earlierEndsAt) external {
        address account = _msgSender();
        if (!isActive(account, Role.Practitioner)) revert IdentityNotActivePractitioner(account);
        if (keyDigest == bytes32(0)) revert IdentityWithoutKeys(account);
        Identity storage identity = _identities[account];
        if (identity.keys != expected) revert IdentityKeysChangedMeanwhile(account, expected, identity.keys);
        if (earlierEndsAt > block.timestamp + MAX_OVERLAP) {
            revert IdentityKeysEndTooLate(account, earlierEndsAt, block.timestamp);
        }
        if (earlierEndsAt + MAX_BACK < block.timestamp) {
            revert IdentityKeysEndTooEarly(account, earlierEndsAt, block.timestamp);
        }
        // Safe: Unix seconds fit 48 bits for nine million years.
        uint48 validFrom = uint48(block.timestamp);

        // Folded, so that one slot commits to every key block that there ever was, and to its time.
        identity.keys = keccak256(abi.encode(expected, keyDigest, validFrom, earlierEndsAt));

        emit IdentityKeysChanged(account, keyDigest, validFrom, earlierEndsAt);
    }

    /* PAIRINGS */

    /// @inheritdoc IIdentityRegistry
    function pair(address hospital, bytes32 pairing) external {
        if (!isActive(_msgSender(), Role.Patient)) revert IdentityNotActivePatient(_msgSender());
        if (hospital == address(0) || pairing == bytes32(0)) revert IdentityNotPaired(_msgSender(), hospital);
        // New lanes for a hospital that is paired already are a part of revoking: nothing keeps them waiting.
        if (_pairings[_msgSender()][hospital] == bytes32(0)) _requireNotFrozen(_msgSender());

        _pairings[_msgSender()][hospital] = pairing;

        emit HospitalPaired(_msgSender(), hospital, pairing);
    }

    /// @inheritdoc IIdentityRegistry
    function unpair(address hospital) external {
        // Also while suspended: taking back makes nothing worse. A key that its patient left takes nothing back.
        if (_identities[_msgSender()].status == Status.Replaced) revert IdentityNotActivePatient(_msgSender());
        if (_pairings[_msgSender()][hospital] == bytes32(0)) revert IdentityNotPaired(_msgSender(), hospital);

        delete _pairings[_msgSender()][hospital];

        emit HospitalUnpaired(_msgSender(), hospital);
    }

    /* GUARDIANS */

    /// @inheritdoc IIdentityRegistry
    function setGuardians(bytes32[] calldata commitments, uint8 threshold, uint32 delay, bytes32 invitations) external {
        if (!isActive(_msgSender(), Role.Patient)) revert IdentityNotActivePatient(_msgSender());
        bool fits = commitments.length <= MAX_GUARDIANS && threshold <= commitments.length;
        // Nobody is named by an empty list only; a threshold of zero would let anyone move the patient.
        if (!fits || (threshold == 0) != (commitments.length == 0)) {
            revert IdentityInvalidGuardians(commitments.length, threshold);
        }
        if (delay < SHORTEST_DELAY || delay > LONGEST_DELAY) revert IdentityInvalidDelay(delay);
        bytes32 previous = bytes32(0);
        for (uint256 i = 0; i < commitments.length; ++i) {
            if (commitments[i] <= previous) revert IdentityInvalidCommitment(commitments[i]);
            previous = commitments[i];
        }
        _requireNotFrozen(_msgSender());

        Guardianship storage guardianship = _settled(_msgSender());
        // Where nobody is named yet, nobody is protected by waiting.
        uint48 wait = guardianship.threshold == 0 ? 0 : guardianship.delay;
        guardianship.nextDigest = commitments.length == 0 ? bytes32(0) : keccak256(abi.encode(commitments));
        guardianship.nextThreshold = threshold;
        guardianship.nextDelay = delay;
        // Safe: Unix seconds fit 48 bits for nine million years.
        guardianship.changesAt = uint48(block.timestamp) + wait;
        guardianship.deferred = false;

        emit GuardiansAnnounced(_msgSender(), commitments, threshold, delay, invitations, guardianship.changesAt);

        _settle(guardianship);
    }

    /// @inheritdoc IIdentityRegistry
    function cancelGuardians() external {
        // Also while suspended: taking back makes nothing worse.
        Status actual = _identities[_msgSender()].status;
        if (actual != Status.Active && actual != Status.Suspended) {
            revert IdentityUnexpectedStatus(_msgSender(), actual);
        }
        Guardianship storage guardianship = _settled(_msgSender());
        if (guardianship.changesAt == 0) revert IdentityNothingAnnounced(_msgSender());

        _withdraw(guardianship, _msgSender());
    }

    /// @inheritdoc IIdentityRegistry
    function freeze() external {
        if (!isActive(_msgSender(), Role.Patient)) revert IdentityNotActivePatient(_msgSender());

        _freeze(_settled(_msgSender()), _msgSender());
    }

    /// @inheritdoc IIdentityRegistry
    function freezeFor(address patient, bytes32[] calldata commitments, uint256 place, bytes32 salt) external {
        Guardianship storage guardianship = _settled(patient);
        _requireGuardian(guardianship, patient, commitments, place, salt);
        bytes32 once = keccak256(abi.encode(patient, guardianship.digest, _msgSender()));
        if (_froze[once]) revert IdentityAlreadyFrozen(patient, _msgSender());

        _froze[once] = true;
        _freeze(guardianship, patient);
    }

    /// @inheritdoc IIdentityRegistry
    function approveRecovery(
        address patient,
        address successor,
        bytes32[] calldata commitments,
        uint256 place,
        bytes32 salt
    ) external {
        Guardianship storage guardianship = _settled(patient);
        _requireGuardian(guardianship, patient, commitments, place, salt);
        if (_identities[patient].status == Status.Replaced || successor == patient || !isActive(successor, Role.Patient))
        {
            revert IdentityInvalidSuccessor(patient, successor);
        }
        // Another successor may take the place of one who doesn't come, but needs all approvals for itself.
        if (_isOpen(guardianship) && guardianship.successor == successor) {
            revert IdentityRecoveryOpen(patient, successor);
        }
        Approvals storage approvals = _approvals[keccak256(abi.encode(patient, guardianship.round, successor))];
        // What was approved and forgotten long ago must not wait for one voice more.
        if (block.timestamp >= approvals.since + APPROVAL) {
            // Safe: as above.
            approvals.since = uint48(block.timestamp);
            approvals.bits = 0;
        }
        // Safe: a place is below 16.
        uint16 bit = uint16(1 << place);
        if (approvals.bits & bit != 0) revert IdentityAlreadyApproved(patient, _msgSender());

        approvals.bits |= bit;

        emit RecoveryApproved(patient, successor, _msgSender());

        if (_count(approvals.bits) < guardianship.threshold) return;

        ++guardianship.round;
        // Safe: as above.
        guardianship.readyAt = uint48(block.timestamp) + guardianship.delay;
        guardianship.successor = successor;

        emit RecoveryOpened(patient, successor, guardianship.readyAt);
    }

    /// @inheritdoc IIdentityRegistry
    function cancelRecovery() external {
        // Not while suspended: whoever took the key could veto for ever, and the registrar tells the owner from a thief.
        if (!isActive(_msgSender(), Role.Patient)) revert IdentityNotActivePatient(_msgSender());

        Guardianship storage guardianship = _settled(_msgSender());
        _voidApprovals(guardianship);

        emit RecoveryCancelled(_msgSender());

        // A thief who announces other guardians and vetoes these mustn't be rid of them by it: they get a delay more. Once,
        // or they could keep their patient from ever naming others.
        if (guardianship.changesAt != 0 && !guardianship.deferred) {
            guardianship.deferred = true;
            // Safe: as above.
            guardianship.changesAt = uint48(block.timestamp) + guardianship.delay;

            emit GuardiansDeferred(_msgSender(), guardianship.changesAt);
        }
        _settle(guardianship);
    }

    /// @inheritdoc IIdentityRegistry
    function completeRecovery(address patient) external {
        Guardianship storage guardianship = _guardianships[patient];
        uint48 readyAt = _isOpen(guardianship) ? guardianship.readyAt : 0;
        if (readyAt == 0 || block.timestamp < readyAt) {
            revert IdentityRecoveryNotReady(patient, readyAt, block.timestamp);
        }
        address successor = guardianship.successor;
        if (_msgSender() != successor) revert IdentityNotSuccessor(patient, _msgSender());
        // Asked again: the successor may have been suspended during the delay.
        if (!isActive(successor, Role.Patient)) revert IdentityInvalidSuccessor(patient, successor);

        _identities[patient].status = Status.Replaced;
        _successors[patient] = successor;
        _predecessors[successor].push(patient);
        guardianship.changesAt = 0;
        _voidApprovals(guardianship);

        emit IdentityReplaced(patient, successor);
    }

    /* VIEWS */

    /// @inheritdoc IIdentityRegistry
    function guardianshipOf(address patient) external view returns (Guardians memory) {
        Guardianship storage guardianship = _guardianships[patient];
        bool due = _isDue(guardianship);
        return Guardians({
            digest: due ? guardianship.nextDigest : guardianship.digest,
            threshold: due ? guardianship.nextThreshold : guardianship.threshold,
            delay: due ? guardianship.nextDelay : guardianship.delay,
            nextDigest: due ? bytes32(0) : guardianship.nextDigest,
            changesAt: due ? 0 : guardianship.changesAt,
            frozenUntil: guardianship.frozenUntil
        });
    }

    /// @inheritdoc IIdentityRegistry
    function isGuardian(address patient, address account, bytes32[] calldata commitments, uint256 place, bytes32 salt)
        external
        view
        returns (bool)
    {
        Guardianship storage guardianship = _guardianships[patient];
        bytes32 digest = _isDue(guardianship) ? guardianship.nextDigest : guardianship.digest;
        return _isNamed(digest, patient, account, commitments, place, salt);
    }

    /// @inheritdoc IIdentityRegistry
    function recoveryOf(address patient) external view returns (address successor, uint48 readyAt) {
        Guardianship storage guardianship = _guardianships[patient];
        return _isOpen(guardianship) ? (guardianship.successor, guardianship.readyAt) : (address(0), 0);
    }

    /// @inheritdoc IIdentityRegistry
    function successorOf(address patient) external view returns (address) {
        return _successors[patient];
    }

    /// @inheritdoc IIdentityRegistry
    function newestOf(address account) public view returns (address newest) {
        newest = account;
        for (uint256 moves = 0;; ++moves) {
            address successor = _successors[newest];
            if (successor == address(0)) return newest;
            if (moves == MAX_MOVES) revert IdentityTooManyMoves(account);
            newest = successor;
        }
    }

    /// @inheritdoc IIdentityRegistry
    function movedTo(address account) external view returns (address[] memory earlier) {
        address[] memory found = new address[](MAX_MOVES);
        uint256 count = 0;
        address next = account;
        // No circle, and nobody twice: whoever is replaced has one successor, for good.
        for (uint256 seen = 0;; ++seen) {
            address[] storage patients = _predecessors[next];
            for (uint256 i = 0; i < patients.length; ++i) {
                if (count == MAX_MOVES) revert IdentityTooManyMoves(account);
                found[count++] = patients[i];
            }
            if (seen == count) break;
            next = found[seen];
        }
        earlier = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            earlier[i] = found[i];
        }
    }

    /// @inheritdoc IIdentityRegistry
    function identityOf(address account) external view returns (Identity memory) {
        return _identities[account];
    }

    /// @inheritdoc IIdentityRegistry
    function isActive(address account, Role role) public view returns (bool) {
        Identity storage identity = _identities[account];
        return identity.status == Status.Active && identity.role == role;
    }

    /// @inheritdoc IIdentityRegistry
    function pairingOf(address patient, address hospital) external view returns (bytes32) {
        return _pairings[patient][hospital];
    }

    /// @inheritdoc IIdentityRegistry
    function accountOf(bytes32 lookup) external view returns (address) {
        return newestOf(_accounts[lookup]);
    }

    /* INTERNAL */

    function _change(address account, Status expected, Status next) private {
        Identity storage identity = _identities[account];
        if (identity.status != expected) revert IdentityUnexpectedStatus(account, identity.status);

        identity.status = next;
    }

    function _voidApprovals(Guardianship storage guardianship) private {
        ++guardianship.round;
        guardianship.readyAt = 0;
        guardianship.successor = address(0);
    }

    /// @dev A patient's guardianship, after what was announced and is due.
    function _settled(address patient) private returns (Guardianship storage guardianship) {
        guardianship = _guardianships[patient];
        _settle(guardianship);
    }

    function _settle(Guardianship storage guardianship) private {
        if (!_isDue(guardianship)) return;

        guardianship.digest = guardianship.nextDigest;
        guardianship.threshold = guardianship.nextThreshold;
        guardianship.delay = guardianship.nextDelay;
        guardianship.nextDigest = bytes32(0);
        guardianship.changesAt = 0;
        _voidApprovals(guardianship);
    }

    function _withdraw(Guardianship storage guardianship, address patient) private {
        guardianship.nextDigest = bytes32(0);
        guardianship.changesAt = 0;

        emit GuardiansWithdrawn(patient);
    }

    function _freeze(Guardianship storage guardianship, address patient) private {
        // Safe: Unix seconds fit 48 bits for nine million years.
        guardianship.frozenUntil = uint48(block.timestamp) + FREEZE;

        emit IdentityFrozen(patient, guardianship.frozenUntil);
    }

    /// @dev Whether what was announced takes effect: guardians who act, and a freeze, hold it up.
    function _isDue(Guardianship storage guardianship) private view returns (bool) {
        uint48 changesAt = guardianship.changesAt;
        return changesAt != 0 && block.timestamp >= changesAt && block.timestamp >= guardianship.frozenUntil
            && !_isOpen(guardianship);
    }

    function _isOpen(Guardianship storage guardianship) private view returns (bool) {
        uint48 readyAt = guardianship.readyAt;
        return readyAt != 0 && block.timestamp < readyAt + COMPLETION;
    }

    function _requireNotFrozen(address patient) private view {
        Guardianship storage guardianship = _guardianships[patient];
        if (block.timestamp < guardianship.frozenUntil || _isOpen(guardianship)) revert IdentityIsFrozen(patient);
    }

    function _requireGuardian(
        Guardianship storage guardianship,
        address patient,
        bytes32[] calldata commitments,
        uint256 place,
        bytes32 salt
    ) private view {
        if (!_isNamed(guardianship.digest, patient, _msgSender(), commitments, place, salt)) {
            revert IdentityNotGuardian(patient, _msgSender());
        }
    }

    /// @dev Nobody is their own guardian, whatever they committed to.
    function _isNamed(
        bytes32 digest,
        address patient,
        address account,
        bytes32[] calldata commitments,
        uint256 place,
        bytes32 salt
    ) private pure returns (bool) {
        return account != patient && place < commitments.length && keccak256(abi.encode(commitments)) == digest
            && commitments[place] == keccak256(abi.encode(patient, account, salt));
    }

    function _count(uint256 bits) private pure returns (uint256 ones) {
        for (; bits != 0; bits &= bits - 1) {
            ++ones;
        }
    }
}
