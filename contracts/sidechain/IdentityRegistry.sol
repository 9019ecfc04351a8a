// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {RelayedAndManaged} from "../libraries/RelayedAndManaged.sol";
import {Status} from "../types/Status.sol";

/// @title IdentityRegistry
/// @notice See {IIdentityRegistry}. It never holds a personal field in the clear.
contract IdentityRegistry is IIdentityRegistry, RelayedAndManaged {
    uint256 private constant MAX_GUARDIANS = 16;
    uint48 private constant RECOVERY_DELAY = 72 hours;
    /// @dev How long keys may still count beside those that replace them.
    uint256 private constant MAX_OVERLAP = 30 days;
    /// @dev How far an account is followed.
    uint256 private constant MAX_MOVES = 64;

    struct Guardianship {
        address[] guardians;
        uint8 threshold;
        /// @dev Counted up by every change and veto: approvals of an older round count no more.
        uint40 round;
        uint48 readyAt;
        address successor;
    }

    mapping(address account => Identity identity) private _identities;
    /// @dev As registered, for good: whoever looks up follows `_successors` from there. So it is right after any number of
    /// moves, also of several patients to one account, and of an account that has a lookup key of its own.
    mapping(bytes32 lookup => address account) private _accounts;
    mapping(address patient => mapping(address hospital => bytes32 pairing)) private _pairings;

    mapping(address patient => Guardianship guardianship) private _guardianships;
    /// @dev One bit for each guardian, by the guardian's place in the list.
    mapping(bytes32 patientRoundSuccessor => uint256 bits) private _approvals;
    mapping(address patient => address successor) private _successors;

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

        _pairings[_msgSender()][hospital] = pairing;

        emit HospitalPaired(_msgSender(), hospital, pairing);
    }

    /// @inheritdoc IIdentityRegistry
    function unpair(address hospital) external {
        if (_pairings[_msgSender()][hospital] == bytes32(0)) revert IdentityNotPaired(_msgSender(), hospital);

        delete _pairings[_msgSender()][hospital];

        emit HospitalUnpaired(_msgSender(), hospital);
    }

    /* GUARDIANS */

    /// @inheritdoc IIdentityRegistry
    function setGuardians(address[] calldata guardians, uint8 threshold) external {
        if (!isActive(_msgSender(), Role.Patient)) revert IdentityNotActivePatient(_msgSender());
        bool fits = guardians.length <= MAX_GUARDIANS && threshold <= guardians.length;
        // Nobody is named by an empty list only; a threshold of zero would let anyone move the patient.
        if (!fits || (threshold == 0) != (guardians.length == 0)) {
            revert IdentityInvalidGuardians(guardians.length, threshold);
        }
        address previous = address(0);
        for (uint256 i = 0; i < guardians.length; ++i) {
            if (guardians[i] <= previous || guardians[i] == _msgSender()) revert IdentityInvalidGuardian(guardians[i]);
            previous = guardians[i];
        }

        Guardianship storage guardianship = _guardianships[_msgSender()];
        guardianship.guardians = guardians;
        guardianship.threshold = threshold;
        _voidApprovals(guardianship);

        emit GuardiansChanged(_msgSender(), guardians, threshold);
    }

    /// @inheritdoc IIdentityRegistry
    function approveRecovery(address patient, address successor) external {
        Guardianship storage guardianship = _guardianships[patient];
        uint256 bit = _guardianBit(guardianship.guardians, patient);
        if (_identities[patient].status == Status.Replaced || successor == patient || !isActive(successor, Role.Patient))
        {
            revert IdentityInvalidSuccessor(patient, successor);
        }
        if (guardianship.readyAt != 0) revert IdentityRecoveryOpen(patient, guardianship.successor);
        bytes32 vote = keccak256(abi.encode(patient, guardianship.round, successor));
        uint256 bits = _approvals[vote];
        if (bits & bit != 0) revert IdentityAlreadyApproved(patient, _msgSender());

        bits |= bit;
        _approvals[vote] = bits;

        emit RecoveryApproved(patient, successor, _msgSender());

        if (_count(bits) < guardianship.threshold) return;

        // Safe: Unix seconds fit 48 bits for nine million years.
        guardianship.readyAt = uint48(block.timestamp) + RECOVERY_DELAY;
        guardianship.successor = successor;

        emit RecoveryOpened(patient, successor, guardianship.readyAt);
    }

    /// @inheritdoc IIdentityRegistry
    function cancelRecovery() external {
        // Also while suspended: a thief who has the account suspended must not win by it.
        Status actual = _identities[_msgSender()].status;
        if (actual != Status.Active && actual != Status.Suspended) {
            revert IdentityUnexpectedStatus(_msgSender(), actual);
        }

        _voidApprovals(_guardianships[_msgSender()]);

        emit RecoveryCancelled(_msgSender());
    }

    /// @inheritdoc IIdentityRegistry
    function completeRecovery(address patient) external {
        Guardianship storage guardianship = _guardianships[patient];
        uint48 readyAt = guardianship.readyAt;
        if (readyAt == 0 || block.timestamp < readyAt) {
            revert IdentityRecoveryNotReady(patient, readyAt, block.timestamp);
        }
        address successor = guardianship.successor;
        if (_msgSender() != successor) revert IdentityNotSuccessor(patient, _msgSender());
        // Asked again: the successor may have been suspended during the delay.
        if (!isActive(successor, Role.Patient)) revert IdentityInvalidSuccessor(patient, successor);

        _identities[patient].status = Status.Replaced;
        _successors[patient] = successor;
        _voidApprovals(guardianship);

        emit IdentityReplaced(patient, successor);
    }

    /* VIEWS */

    /// @inheritdoc IIdentityRegistry
    function guardiansOf(address patient) external view returns (address[] memory guardians, uint8 threshold) {
        Guardianship storage guardianship = _guardianships[patient];
        return (guardianship.guardians, guardianship.threshold);
    }

    /// @inheritdoc IIdentityRegistry
    function recoveryOf(address patient) external view returns (address successor, uint48 readyAt) {
        Guardianship storage guardianship = _guardianships[patient];
        return (guardianship.successor, guardianship.readyAt);
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

    /// @dev The bit of the caller; reverts for everybody but a guardian.
    function _guardianBit(address[] storage guardians, address patient) private view returns (uint256) {
        for (uint256 i = 0; i < guardians.length; ++i) {
            if (guardians[i] == _msgSender()) return 1 << i;
        }
        revert IdentityNotGuardian(patient, _msgSender());
    }

    function _count(uint256 bits) private pure returns (uint256 ones) {
        for (; bits != 0; bits &= bits - 1) {
            ++ones;
        }
    }
}
