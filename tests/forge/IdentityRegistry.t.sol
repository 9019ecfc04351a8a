// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {IIdentityRegistry} from "../../contracts/interfaces/IIdentityRegistry.sol";
import {IdentityRegistry} from "../../contracts/sidechain/IdentityRegistry.sol";
import {Status} from "../../contracts/types/Status.sol";
import {Base} from "./Base.sol";

/// @notice One more cheat code: the event emitted next is the next one that `emitter` emits.
interface IdentityEvents {
    function expectEmit(address emitter) external;
}

/// @title Persons and calls that the tests of the identity registry share
/// @notice The deployer is the administrator.
abstract contract IdentityBase is Base {
    uint256 internal constant START = 1_800_000_000;
    uint32 internal constant DELAY = 72 hours;
    uint256 internal constant COMPLETION = 14 days;
    uint256 internal constant APPROVAL = 14 days;
    uint256 internal constant FREEZE = 72 hours;
    bytes32 internal constant SALT = "salt";
    bytes32 internal constant INVITATIONS = "invitations";
    address internal constant HOSPITAL = address(0x4057);
    bytes32 internal constant KEYS = "key block";

    IdentityRegistry internal registry;
    /// @dev What each patient announced last, as its guardians know it.
    mapping(address patient => bytes32[] commitments) internal known;

    function _deploy() internal {
        VM.warp(START);
        registry = new IdentityRegistry(address(new AccessManager(address(this))), FORWARDER);
    }

    /// @dev Above every guardian, and no address that the fuzzer is likely to try.
    function _someone(string memory who, uint256 seed) internal pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode(who, seed)))) | (uint160(1) << 159));
    }

    /// @dev Ascending.
    function _guardians(uint256 seed, uint256 count) internal pure returns (address[] memory guardians) {
        guardians = new address[](count);
        uint160 first = uint160(bound(seed, 1000, type(uint120).max));
        for (uint256 i = 0; i < count; ++i) {
            guardians[i] = address(first + uint160(i * (1 + seed % 9)));
        }
    }

    function _admit(address account, IIdentityRegistry.Role role, bytes32 lookup) internal {
        registry.register(account, role, lookup, KEYS, address(0), "");
    }

    function _patient(string memory who, uint256 seed) internal returns (address account) {
        account = _someone(who, seed);
        _admit(account, IIdentityRegistry.Role.Patient, bytes32(0));
    }

    function _commitment(address patient, address guardian) internal pure returns (bytes32) {
        return keccak256(abi.encode(patient, guardian, SALT));
    }

    /// @dev Ascending.
    function _commitments(address patient, address[] memory guardians) internal pure returns (bytes32[] memory list) {
        list = new bytes32[](guardians.length);
        for (uint256 i = 0; i < guardians.length; ++i) {
            list[i] = _commitment(patient, guardians[i]);
            for (uint256 j = i; j > 0 && list[j - 1] > list[j]; --j) {
                (list[j - 1], list[j]) = (list[j], list[j - 1]);
            }
        }
    }

    function _name(address patient, address[] memory guardians, uint256 threshold) internal {
        _name(patient, guardians, threshold, DELAY);
    }

    function _name(address patient, address[] memory guardians, uint256 threshold, uint32 delay) internal {
        bytes32[] memory commitments = _commitments(patient, guardians);
        known[patient] = commitments;
        callAs(patient);
        registry.setGuardians(commitments, uint8(threshold), delay, INVITATIONS);
    }

    /// @dev Where a guardian stands in what was announced last; the first place for who isn't there.
    function _place(address patient, address guardian) internal view returns (uint256) {
        for (uint256 i = 0; i < known[patient].length; ++i) {
            if (known[patient][i] == _commitment(patient, guardian)) return i;
        }
        return 0;
    }

    function _approve(address guardian, address patient, address successor) internal {
        bytes32[] memory commitments = known[patient];
        uint256 place = _place(patient, guardian);
        callAs(guardian);
        registry.approveRecovery(patient, successor, commitments, place, SALT);
    }

    function _freezeFor(address guardian, address patient) internal {
        bytes32[] memory commitments = known[patient];
        uint256 place = _place(patient, guardian);
        callAs(guardian);
        registry.freezeFor(patient, commitments, place, SALT);
    }

    function _status(address account) internal view returns (Status) {
        return registry.identityOf(account).status;
    }
}

/// @title Fuzz tests of IdentityRegistry
/// @notice Admission, pairings and guardians: who may, when, and which error says no.
contract IdentityRegistryTest is IdentityBase {
    address private patient;
    address private successor;
    address private practitioner;

    function setUp() public {
        _deploy();
        patient = _someone("patient", 0);
        successor = _someone("successor", 0);
        practitioner = _someone("practitioner", 0);
        _admit(patient, IIdentityRegistry.Role.Patient, "patient");
        _admit(successor, IIdentityRegistry.Role.Patient, bytes32(0));
        _admit(practitioner, IIdentityRegistry.Role.Practitioner, bytes32(0));
    }

    /* KEYS */

    function testFuzz_KeysOfAPractitionerFoldIntoOneCommitment(bytes32 first, bytes32 second, uint48 ends) public {
        VM.assume(first != bytes32(0) && second != bytes32(0));
        bytes32 kept = KEYS;
        for (uint256 i = 0; i < 2; ++i) {
            bytes32 digest = i == 0 ? first : second;
            uint48 end = uint48(bound(ends, block.timestamp - 180 days, block.timestamp + 30 days));
            _expectEvent();
            emit IIdentityRegistry.IdentityKeysChanged(practitioner, digest, uint48(block.timestamp), end);
            callAs(practitioner);
            registry.changeKeys(kept, digest, end);
            kept = keccak256(abi.encode(kept, digest, uint48(block.timestamp), end));
            assert(registry.identityOf(practitioner).keys == kept);
            assert(registry.isActive(practitioner, IIdentityRegistry.Role.Practitioner));
            VM.warp(block.timestamp + 1 days);
        }
        callAs(practitioner);
        VM.expectRevert(
            abi.encodeWithSelector(
                IIdentityRegistry.IdentityKeysChangedMeanwhile.selector, practitioner, KEYS, kept
            )
        );
        registry.changeKeys(KEYS, first, 0);
    }

    function testFuzz_OnlyActivePractitionersChangeKeys(uint256 seed, bytes32 keys) public {
        VM.assume(keys != bytes32(0));
        bytes4 problem = IIdentityRegistry.IdentityNotActivePractitioner.selector;
        address stranger = _someone("stranger", seed);
        for (uint256 i = 0; i < 3; ++i) {
            address account = i == 0 ? stranger : i == 1 ? patient : practitioner;
            if (i == 2) registry.suspend(practitioner);
            callAs(account);
            VM.expectRevert(abi.encodeWithSelector(problem, account));
            registry.changeKeys(KEYS, keys, 0);
        }
        assert(registry.identityOf(practitioner).keys == KEYS && registry.identityOf(patient).keys == KEYS);
    }

    function testFuzz_KeysOverlapForThirtyDaysAtMostAndAreNeverNone(uint48 beyond) public {
        uint48 end = uint48(bound(beyond, block.timestamp + 30 days + 1, type(uint48).max));
        callAs(practitioner);
        VM.expectRevert(
            abi.encodeWithSelector(
                IIdentityRegistry.IdentityKeysEndTooLate.selector, practitioner, end, block.timestamp
            )
        );
        registry.changeKeys(KEYS, "other", end);
        callAs(practitioner);
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityWithoutKeys.selector, practitioner));
        registry.changeKeys(KEYS, bytes32(0), 0);
    }

    function testFuzz_KeysEndAtMost180DaysAgo(uint48 early) public {
        uint256 first = block.timestamp - 180 days;
        uint48 end = uint48(bound(early, 0, first - 1));
        callAs(practitioner);
        VM.expectRevert(
            abi.encodeWithSelector(
                IIdentityRegistry.IdentityKeysEndTooEarly.selector, practitioner, end, block.timestamp
            )
        );
        registry.changeKeys(KEYS, "other", end);
        callAs(practitioner);
        registry.changeKeys(KEYS, "other", uint48(first));
        assert(registry.identityOf(practitioner).keys != KEYS);
    }

    /* ADMISSION */

    function testFuzz_AdmissionStoresWhatWasSaid(
        uint256 seed,
        bytes32 lookup,
        address organisation,
        bytes calldata personal
    ) public {
        VM.assume(lookup != "patient");
        address account = _someone("new", seed);
        IIdentityRegistry.Role role = IIdentityRegistry.Role(bound(seed, 1, 2));
        uint256 time = bound(seed, START, type(uint48).max);
        bytes32 keys = keccak256(abi.encode(seed));
        VM.warp(time);
        _expectEvent();
        emit IIdentityRegistry.IdentityRegistered(account, role, organisation, keys, personal);
        registry.register(account, role, lookup, keys, organisation, personal);

        IIdentityRegistry.Identity memory identity = registry.identityOf(account);
        assert(identity.role == role && identity.status == Status.Active && identity.registeredAt == time);
        assert(identity.organisation == organisation && identity.keys == keys);
        assert(registry.accountOf(lookup) == (lookup == bytes32(0) ? address(0) : account));
    }

    function testFuzz_ActiveInOneRoleOnly(uint256 seed) public {
        address account = _someone("new", seed);
        for (uint256 i = 0; i < 3; ++i) {
            assert(!registry.isActive(account, IIdentityRegistry.Role(i)));
        }
        uint256 role = bound(seed, 1, 2);
        _admit(account, IIdentityRegistry.Role(role), bytes32(0));
        for (uint256 i = 0; i < 3; ++i) {
            assert(registry.isActive(account, IIdentityRegistry.Role(i)) == (i == role));
        }
    }

    function testFuzz_NobodyButTheAdministratorRegisters(address caller, uint256 seed) public {
        assumePerson(caller);
        VM.assume(caller != address(this));
        address account = _someone("new", seed);
        callAs(caller);
        VM.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, caller));
        registry.register(account, IIdentityRegistry.Role.Patient, bytes32(0), KEYS, address(0), "");
        assert(_status(account) == Status.Unknown);
    }

    function testFuzz_TheZeroAccountIsInvalid(uint256 seed) public {
        IIdentityRegistry.Role role = IIdentityRegistry.Role(bound(seed, 1, 2));
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityInvalid.selector, address(0), role));
        _admit(address(0), role, bytes32(seed));
        assert(_status(address(0)) == Status.Unknown);
    }

    function testFuzz_AnAccountWithoutARoleIsInvalid(uint256 seed) public {
        IIdentityRegistry.Role role = IIdentityRegistry.Role.None;
        address account = _someone("new", seed);
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityInvalid.selector, account, role));
        _admit(account, role, bytes32(seed));
        assert(_status(account) == Status.Unknown);
    }

    function testFuzz_NobodyIsRegisteredTwice(uint256 seed, bytes32 lookup) public {
        address account = _patient("new", seed);
        IIdentityRegistry.Role role = IIdentityRegistry.Role(bound(seed, 1, 2));
        for (uint256 i = 0; i < 2; ++i) {
            VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityAlreadyRegistered.selector, account));
            _admit(account, role, lookup);
            // The second time round the successor is suspended.
            if (i == 0) registry.suspend(account);
        }
        assert(_status(account) == Status.Suspended);
    }

    function testFuzz_ALookupKeyBelongsToOne(uint256 seed, bytes32 lookup) public {
        // Neither the key nor its complement is the one that means none, or the one of `setUp`.
        VM.assume(lookup != bytes32(0) && lookup != "patient" && ~lookup != bytes32(0) && ~lookup != "patient");
        address account = _someone("new", seed);
        _admit(account, IIdentityRegistry.Role.Patient, lookup);
        address other = _someone("other", seed);
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityLookupTaken.selector, lookup));
        _admit(other, IIdentityRegistry.Role.Patient, lookup);
        assert(registry.accountOf(lookup) == account && _status(other) == Status.Unknown);
        _admit(other, IIdentityRegistry.Role.Patient, ~lookup);
        assert(registry.accountOf(~lookup) == other && registry.accountOf(lookup) == account);
    }

    /// @dev Of its own, since a random key is hardly ever the smallest one.
    function testFuzz_TheSmallestLookupKeyBelongsToOneToo(uint256 seed) public {
        testFuzz_ALookupKeyBelongsToOne(seed, bytes32(uint256(1)));
    }

    function testFuzz_ManyHaveNoLookupKey(uint256 seed) public {
        address first = _patient("new", seed);
        address second = _patient("other", seed);
        assert(_status(first) == Status.Active && _status(second) == Status.Active);
        assert(registry.accountOf(bytes32(0)) == address(0));
    }

    function testFuzz_NobodyIsRegisteredWithoutKeys(uint256 seed, bytes32 lookup) public {
        VM.assume(lookup != "patient");
        address account = _someone("new", seed);
        IIdentityRegistry.Role role = IIdentityRegistry.Role(bound(seed, 1, 2));
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityWithoutKeys.selector, account));
        registry.register(account, role, lookup, bytes32(0), address(0), "");
        assert(_status(account) == Status.Unknown && registry.accountOf(lookup) == address(0));
    }

    /* SUSPENSION */

    function testFuzz_WhoIsSuspendedMayNotAct(uint256 seed, bytes32 lookup) public {
        VM.assume(lookup != bytes32(0) && lookup != "patient");
        address account = _someone("new", seed);
        _admit(account, IIdentityRegistry.Role.Practitioner, lookup);
        _expectEvent();
        emit IIdentityRegistry.IdentitySuspended(account);
        registry.suspend(account);
        assert(!registry.isActive(account, IIdentityRegistry.Role.Practitioner));
        assert(_status(account) == Status.Suspended && registry.accountOf(lookup) == account);
        assert(registry.identityOf(account).role == IIdentityRegistry.Role.Practitioner);
        assert(registry.isActive(practitioner, IIdentityRegistry.Role.Practitioner));
    }

    function testFuzz_WhoIsReinstatedMayActAgain(uint256 seed) public {
        address account = _patient("new", seed);
        registry.suspend(account);
        _expectEvent();
        emit IIdentityRegistry.IdentityReinstated(account);
        registry.reinstate(account);
        assert(registry.isActive(account, IIdentityRegistry.Role.Patient));
        assert(registry.identityOf(account).registeredAt == START);
    }

    function testFuzz_NobodyButTheAdministratorSuspendsAndReinstates(address caller) public {
        assumePerson(caller);
        VM.assume(caller != address(this));
        bytes memory reason = abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, caller);
        callAs(caller);
        VM.expectRevert(reason);
        registry.suspend(patient);
        assert(_status(patient) == Status.Active);

        registry.suspend(patient);
        callAs(caller);
        VM.expectRevert(reason);
        registry.reinstate(patient);
        assert(_status(patient) == Status.Suspended);
    }

    function testFuzz_StrangersAreNeitherSuspendedNorReinstated(uint256 seed) public {
        address account = _someone("new", seed);
        _expectStatus(account, Status.Unknown);
        registry.suspend(account);
        _expectStatus(account, Status.Unknown);
        registry.reinstate(account);
        assert(_status(account) == Status.Unknown);
    }

    function testFuzz_NobodyIsSuspendedOrReinstatedTwice(uint256 seed) public {
        address account = _patient("new", seed);
        _expectStatus(account, Status.Active);
        registry.reinstate(account);
        registry.suspend(account);
        _expectStatus(account, Status.Suspended);
        registry.suspend(account);
    }

    /* PAIRINGS */

    function testFuzz_ASecondPairingReplacesTheFirst(uint256 seed, bytes32 first, bytes32 second) public {
        VM.assume(first != bytes32(0) && second != bytes32(0));
        address account = _patient("new", seed);
        _pair(account, HOSPITAL, first);
        assert(registry.pairingOf(account, HOSPITAL) == first);
        _expectEvent();
        emit IIdentityRegistry.HospitalPaired(account, HOSPITAL, second);
        _pair(account, HOSPITAL, second);
        assert(registry.pairingOf(account, HOSPITAL) == second);
        assert(registry.pairingOf(HOSPITAL, account) == bytes32(0));
        assert(registry.pairingOf(patient, HOSPITAL) == bytes32(0));
    }

    function testFuzz_OnlyActivePatientsPair(uint256 seed, bytes32 pairing) public {
        registry.suspend(patient);
        address[3] memory callers = [_someone("new", seed), practitioner, patient];
        for (uint256 i = 0; i < 3; ++i) {
            VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityNotActivePatient.selector, callers[i]));
            _pair(callers[i], HOSPITAL, pairing);
            assert(registry.pairingOf(callers[i], HOSPITAL) == bytes32(0));
        }
    }

    function testFuzz_NobodyPairsWithTheZeroAccount(bytes32 pairing) public {
        VM.assume(pairing != bytes32(0));
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityNotPaired.selector, patient, address(0)));
        _pair(patient, address(0), pairing);
        assert(registry.pairingOf(patient, address(0)) == bytes32(0));
    }

    function testFuzz_NobodyPairsWithoutADigest(address hospital) public {
        VM.assume(hospital != address(0));
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityNotPaired.selector, patient, hospital));
        _pair(patient, hospital, bytes32(0));
    }

    function testFuzz_UnpairingTakesOneAssentBack(address first, address second, bytes32 pairing) public {
        VM.assume(first != address(0) && second != address(0) && first != second && pairing != bytes32(0));
        _pair(patient, first, pairing);
        _pair(patient, second, pairing);
        _pair(successor, first, pairing);
        callAs(patient);
        _expectEvent();
        emit IIdentityRegistry.HospitalUnpaired(patient, first);
        registry.unpair(first);
        assert(registry.pairingOf(patient, first) == bytes32(0));
        assert(registry.pairingOf(patient, second) == pairing && registry.pairingOf(successor, first) == pairing);
    }

    function testFuzz_WhatIsNotPairedIsNotUnpaired(address caller, address hospital) public {
        assumePerson(caller);
        VM.assume(caller != patient);
        // Somebody else's pairing doesn't count.
        _pair(patient, HOSPITAL, "pairing");
        callAs(caller);
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityNotPaired.selector, caller, hospital));
        registry.unpair(hospital);
        assert(registry.pairingOf(patient, HOSPITAL) == "pairing");
    }

    function testFuzz_WhoIsSuspendedStillTakesAssentBack(bytes32 pairing) public {
        VM.assume(pairing != bytes32(0));
        _pair(patient, HOSPITAL, pairing);
        registry.suspend(patient);
        callAs(patient);
        registry.unpair(HOSPITAL);
        assert(registry.pairingOf(patient, HOSPITAL) == bytes32(0));
    }

    /* GUARDIANS */

    function testFuzz_TheFirstGuardiansCountAtOnce(uint256 seed, uint256 count, uint32 delay) public {
        count = bound(count, 1, 16);
        delay = uint32(bound(delay, 1 days, 30 days));
        uint8 threshold = uint8(bound(seed, 1, count));
        bytes32[] memory commitments = _commitments(patient, _guardians(seed, count));
        _expectEvent();
        emit IIdentityRegistry.GuardiansAnnounced(
            patient, commitments, threshold, delay, INVITATIONS, uint48(block.timestamp)
        );
        _name(patient, _guardians(seed, count), threshold, delay);
        IIdentityRegistry.Guardians memory named = registry.guardianshipOf(patient);
        assert(named.digest == keccak256(abi.encode(commitments)) && named.threshold == threshold);
        assert(named.delay == delay && named.nextDigest == bytes32(0) && named.changesAt == 0);
        assert(registry.guardianshipOf(successor).digest == bytes32(0));
    }

    function testFuzz_OthersCountWhenThePresentDelayIsOver(uint256 seed, uint256 first, uint256 second, uint32 delay)
        public
    {
        first = bound(first, 1, 16);
        second = bound(second, 0, 16);
        delay = uint32(bound(delay, 1 days, 30 days));
        address[] memory before = _guardians(~seed, first);
        _name(patient, before, bound(seed, 1, first), delay);
        bytes32 digest = registry.guardianshipOf(patient).digest;
        _name(patient, _guardians(seed, second), second == 0 ? 0 : bound(seed, 1, second), 1 days);

        VM.warp(START + delay - 1);
        IIdentityRegistry.Guardians memory named = registry.guardianshipOf(patient);
        assert(named.digest == digest && named.delay == delay && named.changesAt == START + delay);
        assert(named.nextDigest == (second == 0 ? bytes32(0) : keccak256(abi.encode(known[patient]))));

        VM.warp(START + delay);
        named = registry.guardianshipOf(patient);
        assert(named.digest == (second == 0 ? bytes32(0) : keccak256(abi.encode(known[patient]))));
        assert(named.delay == 1 days && named.nextDigest == bytes32(0) && named.changesAt == 0);
    }

    function testFuzz_ASecondAnnouncementWaitsAnew(uint256 seed, uint256 pause) public {
        pause = bound(pause, 1, DELAY - 1);
        _name(patient, _guardians(seed, 3), 2);
        _name(patient, _guardians(~seed, 3), 2);
        VM.warp(START + pause);
        _name(patient, _guardians(seed, 1), 1);
        assert(registry.guardianshipOf(patient).changesAt == START + pause + DELAY);
        VM.warp(START + DELAY);
        assert(registry.guardianshipOf(patient).threshold == 2);
        VM.warp(START + pause + DELAY);
        assert(registry.guardianshipOf(patient).threshold == 1);
    }

    function testFuzz_WhatIsAnnouncedIsTakenBack(uint256 seed, bool suspended) public {
        _name(patient, _guardians(seed, 3), 2);
        _name(patient, _guardians(~seed, 3), 3);
        if (suspended) {
            // A suspension takes it back by itself.
            _expectEvent();
            emit IIdentityRegistry.IdentitySuspended(patient);
            _expectEvent();
            emit IIdentityRegistry.GuardiansWithdrawn(patient);
            registry.suspend(patient);
            VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityNothingAnnounced.selector, patient));
        } else {
            _expectEvent();
            emit IIdentityRegistry.GuardiansWithdrawn(patient);
        }
        callAs(patient);
        registry.cancelGuardians();
        VM.warp(START + DELAY);
        IIdentityRegistry.Guardians memory named = registry.guardianshipOf(patient);
        assert(named.threshold == 2 && named.nextDigest == bytes32(0) && named.changesAt == 0);
    }

    function testFuzz_WhatIsDueStaysThroughASuspension(uint256 seed) public {
        _name(patient, _guardians(seed, 3), 2);
        _name(patient, _guardians(~seed, 3), 3);
        VM.warp(START + DELAY);
        registry.suspend(patient);
        assert(registry.guardianshipOf(patient).threshold == 3);
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityNothingAnnounced.selector, patient));
        callAs(patient);
        registry.cancelGuardians();
    }

    function testFuzz_StrangersTakeNothingBack(uint256 seed) public {
        address account = _someone("new", seed);
        _name(patient, _guardians(seed, 3), 2);
        _name(patient, _guardians(~seed, 3), 3);
        _expectStatus(account, Status.Unknown);
        callAs(account);
        registry.cancelGuardians();
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityNothingAnnounced.selector, successor));
        callAs(successor);
        registry.cancelGuardians();
        assert(registry.guardianshipOf(patient).changesAt == START + DELAY);
    }

    function testFuzz_OnlyActivePatientsNameGuardians(uint256 seed) public {
        registry.suspend(patient);
        address[3] memory callers = [_someone("new", seed), practitioner, patient];
        for (uint256 i = 0; i < 3; ++i) {
            VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityNotActivePatient.selector, callers[i]));
            _name(callers[i], _guardians(seed, 3), 2);
        }
    }

    function testFuzz_SixteenGuardiansAreTheMost(uint256 seed, uint256 count, uint8 threshold) public {
        _name(patient, _guardians(seed, 16), 16);
        count = bound(count, 17, 40);
        threshold = uint8(bound(threshold, 1, 17));
        _expectInvalidGuardians(count, threshold);
        _name(patient, _guardians(seed, count), threshold);
        _expectInvalidGuardians(17, 1);
        _name(patient, _guardians(seed, 17), 1);
    }

    function testFuzz_AThresholdIsAtMostTheGuardians(uint256 seed, uint256 count, uint8 threshold) public {
        count = bound(count, 0, 16);
        threshold = uint8(bound(threshold, count + 1, 255));
        _expectInvalidGuardians(count, threshold);
        _name(patient, _guardians(seed, count), threshold);
        _expectInvalidGuardians(count, uint8(count + 1));
        _name(patient, _guardians(seed, count), count + 1);
        _name(patient, _guardians(seed, count), count);
    }

    function testFuzz_AThresholdOfZeroIsForNobodyOnly(uint256 seed, uint256 count) public {
        count = bound(count, 1, 16);
        _expectInvalidGuardians(count, 0);
        _name(patient, _guardians(seed, count), 0);
        _name(patient, new address[](0), 0);
    }

    function testFuzz_ADelayIsADayToAMonth(uint256 seed, uint32 delay) public {
        if (delay >= 1 days && delay <= 30 days) delay = delay % 2 == 0 ? 1 days - 1 : 30 days + 1;
        uint32[4] memory delays = [delay, 0, 1 days - 1, 30 days + 1];
        for (uint256 i = 0; i < 4; ++i) {
            VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityInvalidDelay.selector, delays[i]));
            _name(patient, _guardians(seed, 2), 1, delays[i]);
        }
        _name(patient, _guardians(seed, 2), 1, 1 days);
        _name(patient, _guardians(seed, 2), 1, 30 days);
    }

    function testFuzz_CommitmentsAscend(uint256 seed, uint256 count, uint256 place, bool twice) public {
        count = bound(count, 2, 16);
        place = bound(place, 1, count - 1);
        bytes32[] memory commitments = _commitments(patient, _guardians(seed, count));
        if (twice) commitments[place] = commitments[place - 1];
        else (commitments[place - 1], commitments[place]) = (commitments[place], commitments[place - 1]);
        VM.expectRevert(
            abi.encodeWithSelector(IIdentityRegistry.IdentityInvalidCommitment.selector, commitments[place])
        );
        callAs(patient);
        registry.setGuardians(commitments, 1, DELAY, INVITATIONS);
    }

    function testFuzz_ZeroIsNoCommitment(uint256 seed, uint256 count) public {
        bytes32[] memory commitments = _commitments(patient, _guardians(seed, bound(count, 1, 16)));
        commitments[0] = bytes32(0);
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityInvalidCommitment.selector, bytes32(0)));
        callAs(patient);
        registry.setGuardians(commitments, 1, DELAY, INVITATIONS);
    }

    function testFuzz_NobodyIsHisOwnGuardian(uint256 seed, uint256 count) public {
        count = bound(count, 1, 16);
        address[] memory guardians = _guardians(seed, count);
        guardians[count - 1] = patient;
        _name(patient, guardians, 1);
        assert(!registry.isGuardian(patient, patient, known[patient], _place(patient, patient), SALT));
        _expectNotGuardian(patient, patient);
        _approve(patient, patient, successor);
    }

    function testFuzz_AGuardianIsKnownByWhatTheyKnowOnly(uint256 seed, uint256 count, uint256 place, bytes32 salt)
        public
    {
        count = bound(count, 1, 15);
        VM.assume(salt != SALT);
        address[] memory guardians = _guardians(seed, count);
        address guardian = guardians[place % count];
        _name(patient, guardians, 1);
        bytes32[] memory list = known[patient];
        uint256 own = _place(patient, guardian);
        assert(registry.isGuardian(patient, guardian, list, own, SALT));
        assert(!registry.isGuardian(patient, guardian, list, own, salt));
        assert(!registry.isGuardian(patient, guardian, list, own + 1, SALT));
        assert(!registry.isGuardian(patient, guardian, list, count, SALT));
        assert(!registry.isGuardian(successor, guardian, list, own, SALT));
        assert(!registry.isGuardian(patient, successor, list, own, SALT));
        // A list of one's own is none that was announced.
        bytes32[] memory forged = new bytes32[](1);
        forged[0] = _commitment(patient, successor);
        assert(!registry.isGuardian(patient, successor, forged, 0, SALT));
        callAs(successor);
        VM.expectRevert(
            abi.encodeWithSelector(IIdentityRegistry.IdentityNotGuardian.selector, patient, successor)
        );
        registry.approveRecovery(patient, successor, forged, 0, SALT);
    }

    /* WHAT A THIEF OF THE KEY ANNOUNCES */

    function testFuzz_AThiefsGuardiansDontCountWhileARecoveryIsOpen(uint256 seed, uint256 time) public {
        address[] memory guardians = _guardians(seed, 2);
        _name(patient, guardians, 2);
        bytes32[] memory list = known[patient];
        _name(patient, _guardians(~seed, 1), 1);
        known[patient] = list;
        VM.warp(START + bound(time, 0, DELAY - 1));
        _approve(guardians[0], patient, successor);
        _approve(guardians[1], patient, successor);
        VM.warp(block.timestamp + DELAY);
        assert(registry.guardianshipOf(patient).threshold == 2);
        _complete(patient, successor);
        assert(_status(patient) == Status.Replaced);
    }

    function testFuzz_NothingIsAnnouncedWhileARecoveryIsOpen(uint256 seed, uint256 time) public {
        _open(seed);
        VM.warp(START + bound(time, 0, DELAY + COMPLETION - 1));
        _expectFrozen(patient);
        _name(patient, _guardians(~seed, 1), 1);
        VM.warp(START + DELAY + COMPLETION);
        _name(patient, _guardians(~seed, 1), 1);
        assert(registry.guardianshipOf(patient).changesAt == block.timestamp + DELAY);
    }

    /// @notice A veto gives the guardians a delay more, once, and what was announced long ago counts then.
    function testFuzz_AVetoDefersAnAnnouncementOnce(uint256 seed, uint256 time) public {
        address[] memory guardians = _guardians(seed, 1);
        time = START + bound(time, 0, DELAY - 1);
        _name(patient, guardians, 1);
        bytes32[] memory list = known[patient];
        _name(patient, _guardians(~seed, 2), 2);
        (bytes32[] memory next, uint48 deferred) = (known[patient], uint48(time + DELAY));
        known[patient] = list;
        VM.warp(time);
        _approve(guardians[0], patient, successor);
        callAs(patient);
        _expectEvent();
        emit IIdentityRegistry.RecoveryCancelled(patient);
        _expectEvent();
        emit IIdentityRegistry.GuardiansDeferred(patient, deferred);
        registry.cancelRecovery();

        VM.warp(deferred - 1);
        assert(registry.guardianshipOf(patient).threshold == 1);
        _approve(guardians[0], patient, successor);
        VM.warp(deferred);
        assert(registry.guardianshipOf(patient).threshold == 1);
        // The second veto ends it: guardians can't keep their patient from naming others for ever.
        callAs(patient);
        registry.cancelRecovery();
        assert(registry.guardianshipOf(patient).digest == keccak256(abi.encode(next)));
        _expectNotGuardian(patient, guardians[0]);
        _approve(guardians[0], patient, successor);
    }

    /// @notice What is in force already isn't put off by a veto.
    function testFuzz_AVetoDefersNothingThatIsDue(uint256 seed) public {
        _name(patient, _guardians(seed, 1), 1);
        _name(patient, _guardians(~seed, 2), 2);
        VM.warp(START + DELAY);
        callAs(patient);
        registry.cancelRecovery();
        assert(registry.guardianshipOf(patient).threshold == 2 && registry.guardianshipOf(patient).changesAt == 0);
    }

    /// @notice Whoever is suspended vetoes nothing: the registrar tells the owner from a thief.
    function testFuzz_ASuspendedThiefLoses(uint256 seed) public {
        address[] memory guardians = _guardians(seed, 1);
        _name(patient, guardians, 1);
        bytes32[] memory list = known[patient];
        _name(patient, _guardians(~seed, 1), 1);
        known[patient] = list;
        _approve(guardians[0], patient, successor);
        callAs(patient);
        registry.cancelRecovery();
        registry.suspend(patient);
        VM.warp(START + 2 * uint256(DELAY));
        _approve(guardians[0], patient, successor);
        callAs(patient);
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityNotActivePatient.selector, patient));
        registry.cancelRecovery();
        VM.warp(START + 3 * uint256(DELAY));
        _complete(patient, successor);
        assert(_status(patient) == Status.Replaced);
    }

    /* FREEZE */

    function testFuzz_AFreezeHoldsUpNamingAndNewPairings(uint256 seed, uint256 time, bool byGuardian) public {
        address[] memory guardians = _guardians(seed, 2);
        _name(patient, guardians, 2);
        bytes32[] memory list = known[patient];
        _name(patient, _guardians(~seed, 1), 1);
        known[patient] = list;
        _pair(patient, HOSPITAL, "pairing");
        VM.warp(START + DELAY - 1);
        uint256 until = block.timestamp + FREEZE;
        _expectEvent();
        emit IIdentityRegistry.IdentityFrozen(patient, uint48(until));
        if (byGuardian) {
            _freezeFor(guardians[0], patient);
        } else {
            callAs(patient);
            registry.freeze();
        }
        assert(registry.guardianshipOf(patient).frozenUntil == until);

        VM.warp(bound(time, block.timestamp, until - 1));
        assert(registry.guardianshipOf(patient).threshold == 2);
        _expectFrozen(patient);
        _name(patient, _guardians(seed, 1), 1);
        _expectFrozen(patient);
        _pair(patient, address(0x4058), "pairing");

        VM.warp(until);
        assert(registry.guardianshipOf(patient).threshold == 1);
        _pair(patient, address(0x4058), "pairing");
    }

    /// @notice New lanes, an unpairing and a veto are what revoking needs; guardians go on, too.
    function testFuzz_AFreezeHoldsUpNothingThatTakesBack(uint256 seed) public {
        address guardian = _guardians(seed, 1)[0];
        _name(patient, _guardians(seed, 1), 1);
        _pair(patient, HOSPITAL, "pairing");
        _freezeFor(guardian, patient);
        _pair(patient, HOSPITAL, "new lanes");
        assert(registry.pairingOf(patient, HOSPITAL) == "new lanes");
        callAs(patient);
        registry.unpair(HOSPITAL);
        assert(registry.pairingOf(patient, HOSPITAL) == bytes32(0));
        _approve(guardian, patient, successor);
        callAs(patient);
        registry.cancelRecovery();
        _assertRecovery(address(0), 0);
    }

    function testFuzz_AGuardianFreezesOnce(uint256 seed) public {
        address[] memory guardians = _guardians(seed, 2);
        _name(patient, guardians, 2);
        _freezeFor(guardians[0], patient);
        VM.warp(START + FREEZE);
        VM.expectRevert(
            abi.encodeWithSelector(IIdentityRegistry.IdentityAlreadyFrozen.selector, patient, guardians[0])
        );
        _freezeFor(guardians[0], patient);
        _freezeFor(guardians[1], patient);
        assert(registry.guardianshipOf(patient).frozenUntil == START + 2 * FREEZE);
    }

    function testFuzz_OnlyThePatientAndGuardiansFreeze(uint256 seed, address caller) public {
        address guardian = _guardians(seed, 1)[0];
        VM.assume(caller != FORWARDER && caller != guardian);
        _name(patient, _guardians(seed, 1), 1);
        _expectNotGuardian(patient, caller);
        _freezeFor(caller, patient);
        registry.suspend(successor);
        address[3] memory callers = [_someone("new", seed), practitioner, successor];
        for (uint256 i = 0; i < 3; ++i) {
            callAs(callers[i]);
            VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityNotActivePatient.selector, callers[i]));
            registry.freeze();
        }
        assert(registry.guardianshipOf(patient).frozenUntil == 0);
    }

    /* APPROVALS */

    function testFuzz_TheThresholdOpensARecovery(uint256 seed, uint256 count, uint256 threshold, uint256 time) public {
        count = bound(count, 1, 16);
        threshold = bound(threshold, 1, count);
        time = bound(time, START, type(uint48).max - DELAY);
        address[] memory guardians = _guardians(seed, count);
        _name(patient, guardians, threshold);
        VM.warp(time);
        for (uint256 i = 0; i < threshold; ++i) {
            _assertRecovery(address(0), 0);
            _expectEvent();
            emit IIdentityRegistry.RecoveryApproved(patient, successor, guardians[(seed % count + i) % count]);
            if (i == threshold - 1) {
                _expectEvent();
                emit IIdentityRegistry.RecoveryOpened(patient, successor, uint48(time + DELAY));
            }
            _approve(guardians[(seed % count + i) % count], patient, successor);
        }
        _assertRecovery(successor, time + DELAY);
    }

    function testFuzz_TheDelayRunsFromTheLastApproval(uint256 seed, uint256 pause) public {
        pause = bound(pause, 1, APPROVAL - 1);
        address[] memory guardians = _guardians(seed, 2);
        _name(patient, guardians, 2);
        _approve(guardians[1], patient, successor);
        VM.warp(START + pause);
        _approve(guardians[0], patient, successor);
        _assertRecovery(successor, START + pause + DELAY);
    }

    function testFuzz_AnApprovalIsForgottenAfterTwoWeeks(uint256 seed, uint256 pause) public {
        pause = bound(pause, APPROVAL, 3650 days);
        address[] memory guardians = _guardians(seed, 2);
        _name(patient, guardians, 2);
        _approve(guardians[1], patient, successor);
        VM.warp(START + pause);
        _approve(guardians[0], patient, successor);
        _assertRecovery(address(0), 0);
        _approve(guardians[1], patient, successor);
        _assertRecovery(successor, START + pause + DELAY);
    }

    function testFuzz_OnlyGuardiansApprove(uint256 seed, address caller) public {
        address[] memory guardians = _guardians(seed, 3);
        VM.assume(caller != FORWARDER && caller != guardians[0] && caller != guardians[1] && caller != guardians[2]);
        _name(patient, guardians, 1);
        address[3] memory callers = [caller, patient, successor];
        for (uint256 i = 0; i < 3; ++i) {
            _expectNotGuardian(patient, callers[i]);
            _approve(callers[i], patient, successor);
        }
        _assertRecovery(address(0), 0);
    }

    function testFuzz_WithoutGuardiansNobodyApproves(address caller, uint256 seed) public {
        VM.assume(caller != FORWARDER);
        address stranger = _someone("new", seed);
        _expectNotGuardian(patient, caller);
        _approve(caller, patient, successor);
        _expectNotGuardian(stranger, caller);
        _approve(caller, stranger, successor);
    }

    function testFuzz_AGuardianBeforeIsNoneAfter(uint256 seed) public {
        address[] memory guardians = _guardians(seed, 2);
        _name(patient, guardians, 1);
        _name(patient, new address[](0), 0);
        known[patient] = _commitments(patient, guardians);
        VM.warp(START + DELAY - 1);
        assert(registry.isGuardian(patient, guardians[0], known[patient], _place(patient, guardians[0]), SALT));
        VM.warp(START + DELAY);
        assert(!registry.isGuardian(patient, guardians[0], known[patient], _place(patient, guardians[0]), SALT));
        _expectNotGuardian(patient, guardians[0]);
        _approve(guardians[0], patient, successor);
    }

    function testFuzz_OnlyAnotherActivePatientIsASuccessor(uint256 seed) public {
        address guardian = _guardians(seed, 1)[0];
        _name(patient, _guardians(seed, 1), 1);
        registry.suspend(successor);
        address[5] memory candidates = [patient, practitioner, successor, _someone("new", seed), address(0)];
        for (uint256 i = 0; i < 5; ++i) {
            _expectInvalidSuccessor(patient, candidates[i]);
            _approve(guardian, patient, candidates[i]);
        }
        _assertRecovery(address(0), 0);
    }

    function testFuzz_AnOpenRecoveryTakesNoMoreApprovals(uint256 seed) public {
        address[] memory guardians = _guardians(seed, 3);
        _name(patient, guardians, 1);
        _approve(guardians[0], patient, successor);
        VM.expectRevert(
            abi.encodeWithSelector(IIdentityRegistry.IdentityRecoveryOpen.selector, patient, successor)
        );
        _approve(guardians[1], patient, successor);
        _assertRecovery(successor, START + DELAY);
    }

    /// @notice A recovery that nobody completes blocks nothing: as many guardians as opened it name another successor.
    function testFuzz_AsManyGuardiansNameAnotherSuccessor(uint256 seed, uint256 pause) public {
        pause = bound(pause, 0, DELAY + COMPLETION - 1);
        address[] memory guardians = _guardians(seed, 3);
        address other = _patient("other", seed);
        _name(patient, guardians, 2);
        _approve(guardians[0], patient, successor);
        _approve(guardians[1], patient, successor);
        VM.warp(START + pause);
        _approve(guardians[2], patient, other);
        _assertRecovery(successor, START + DELAY);
        _approve(guardians[0], patient, other);
        _assertRecovery(other, START + pause + DELAY);
        // What was said for the first one is used up.
        _approve(guardians[2], patient, successor);
        _assertRecovery(other, START + pause + DELAY);
    }

    function testFuzz_ARecoveryThatNobodyCompletesIsOver(uint256 seed, uint256 pause) public {
        address guardian = _open(seed);
        pause = bound(pause, DELAY + COMPLETION, 3650 days);
        VM.warp(START + DELAY + COMPLETION - 1);
        _assertRecovery(successor, START + DELAY);
        VM.warp(START + pause);
        _assertRecovery(address(0), 0);
        _expectNotReady(0, START + pause);
        _complete(patient, successor);
        _approve(guardian, patient, successor);
        _assertRecovery(successor, START + pause + DELAY);
    }

    function testFuzz_AGuardianCountsOnce(uint256 seed, uint256 count, uint256 place) public {
        count = bound(count, 2, 16);
        address[] memory guardians = _guardians(seed, count);
        address guardian = guardians[bound(place, 0, count - 1)];
        _name(patient, guardians, 2);
        _approve(guardian, patient, successor);
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityAlreadyApproved.selector, patient, guardian));
        _approve(guardian, patient, successor);
        _assertRecovery(address(0), 0);
    }

    function testFuzz_ApprovalsOfTwoSuccessorsDoNotAddUp(uint256 seed) public {
        address[] memory guardians = _guardians(seed, 3);
        address other = _patient("other", seed);
        _name(patient, guardians, 2);
        _approve(guardians[0], patient, successor);
        _approve(guardians[0], patient, other);
        _approve(guardians[1], patient, other);
        _assertRecovery(other, START + DELAY);
    }

    function testFuzz_ApprovalsOfTwoPatientsDoNotAddUp(uint256 seed) public {
        address[] memory guardians = _guardians(seed, 2);
        address other = _patient("other", seed);
        _name(patient, guardians, 2);
        _name(other, guardians, 2);
        _approve(guardians[0], patient, successor);
        _approve(guardians[1], other, successor);
        _assertRecovery(address(0), 0);
        _approve(guardians[0], other, successor);
        _assertRecovery(address(0), 0);
        (address next,) = registry.recoveryOf(other);
        assert(next == successor);
    }

    function testFuzz_NewGuardiansVoidWhatWasApproved(uint256 seed) public {
        address[] memory guardians = _guardians(seed, 2);
        _name(patient, guardians, 2);
        _approve(guardians[0], patient, successor);
        _name(patient, guardians, 2);
        VM.warp(START + DELAY);
        _approve(guardians[1], patient, successor);
        _assertRecovery(address(0), 0);
        _approve(guardians[0], patient, successor);
        _assertRecovery(successor, START + 2 * uint256(DELAY));
    }

    /* VETO */

    function testFuzz_AVetoVoidsEveryApproval(uint256 seed) public {
        address[] memory guardians = _guardians(seed, 2);
        _name(patient, guardians, 2);
        _approve(guardians[0], patient, successor);
        callAs(patient);
        _expectEvent();
        emit IIdentityRegistry.RecoveryCancelled(patient);
        registry.cancelRecovery();
        _approve(guardians[1], patient, successor);
        _assertRecovery(address(0), 0);
        _approve(guardians[0], patient, successor);
        _assertRecovery(successor, START + DELAY);
    }

    function testFuzz_AVetoClosesARecovery(uint256 seed, uint256 time) public {
        address guardian = _open(seed);
        VM.warp(bound(time, START, START + 3650 days));
        callAs(patient);
        registry.cancelRecovery();
        _assertRecovery(address(0), 0);
        VM.warp(START + DELAY);
        _expectNotReady(0, START + DELAY);
        registry.completeRecovery(patient);
        // Guardians may try again.
        _approve(guardian, patient, successor);
        _assertRecovery(successor, START + 2 * uint256(DELAY));
    }

    function testFuzz_AVetoIsForOneself(uint256 seed) public {
        _open(seed);
        callAs(successor);
        registry.cancelRecovery();
        _assertRecovery(successor, START + DELAY);
    }

    function testFuzz_StrangersVetoNothing(uint256 seed) public {
        address account = _someone("new", seed);
        _open(seed);
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityNotActivePatient.selector, account));
        callAs(account);
        registry.cancelRecovery();
        _assertRecovery(successor, START + DELAY);
    }

    /* COMPLETION */

    function testFuzz_ARecoveryWaitsForItsDelay(uint256 seed, uint256 time, address caller) public {
        assumePerson(caller);
        _open(seed);
        time = bound(time, START, START + DELAY - 1);
        uint256[2] memory times = [time, START + DELAY - 1];
        for (uint256 i = 0; i < 2; ++i) {
            VM.warp(times[i]);
            callAs(caller);
            _expectNotReady(START + DELAY, times[i]);
            registry.completeRecovery(patient);
        }
        assert(_status(patient) == Status.Active && registry.successorOf(patient) == address(0));
    }

    function testFuzz_ACompletedRecoveryMovesThePatient(uint256 seed, uint256 time) public {
        _open(seed);
        VM.warp(bound(time, START + DELAY, START + DELAY + COMPLETION - 1));
        callAs(successor);
        _expectEvent();
        emit IIdentityRegistry.IdentityReplaced(patient, successor);
        registry.completeRecovery(patient);
        assert(_status(patient) == Status.Replaced && registry.successorOf(patient) == successor);
        assert(!registry.isActive(patient, IIdentityRegistry.Role.Patient));
        assert(registry.isActive(successor, IIdentityRegistry.Role.Patient));
        assert(registry.accountOf("patient") == successor && registry.successorOf(successor) == address(0));
        _assertRecovery(address(0), 0);
    }

    function testFuzz_ARecoveryCompletesAtTheSecond(uint256 seed) public {
        _open(seed);
        VM.warp(START + DELAY);
        _complete(patient, successor);
        assert(_status(patient) == Status.Replaced);
    }

    function testFuzz_WithoutARecoveryThereIsNothingToComplete(uint256 seed, uint256 time) public {
        _name(patient, _guardians(seed, 2), 2);
        _approve(_guardians(seed, 2)[0], patient, successor);
        time = bound(time, START, type(uint48).max);
        VM.warp(time);
        _expectNotReady(0, time);
        registry.completeRecovery(patient);
        assert(_status(patient) == Status.Active);
    }

    function testFuzz_ASuspendedPatientMovesToo(uint256 seed) public {
        _open(seed);
        registry.suspend(patient);
        VM.warp(START + DELAY);
        _complete(patient, successor);
        assert(_status(patient) == Status.Replaced && registry.successorOf(patient) == successor);
    }

    function testFuzz_GuardiansSpeakForASuspendedPatient(uint256 seed) public {
        _name(patient, _guardians(seed, 1), 1);
        registry.suspend(patient);
        _approve(_guardians(seed, 1)[0], patient, successor);
        _assertRecovery(successor, START + DELAY);
    }

    function testFuzz_ASuccessorMustBeActiveAtTheEndToo(uint256 seed) public {
        _open(seed);
        registry.suspend(successor);
        VM.warp(START + DELAY);
        _expectInvalidSuccessor(patient, successor);
        _complete(patient, successor);
        assert(_status(patient) == Status.Active && registry.accountOf("patient") == patient);
        registry.reinstate(successor);
        _complete(patient, successor);
        assert(_status(patient) == Status.Replaced);
    }

    function testFuzz_APatientWithoutALookupKeyMovesWithoutOne(uint256 seed) public {
        address account = _patient("new", seed);
        _name(account, _guardians(seed, 1), 1);
        _approve(_guardians(seed, 1)[0], account, patient);
        VM.warp(START + DELAY);
        _complete(account, patient);
        assert(registry.accountOf(bytes32(0)) == address(0) && registry.accountOf("patient") == patient);
        assert(registry.successorOf(account) == patient);
    }

    function testFuzz_WhoIsReplacedIsSoForGood(uint256 seed) public {
        _replace(seed);
        _expectStatus(patient, Status.Replaced);
        registry.suspend(patient);
        _expectStatus(patient, Status.Replaced);
        registry.reinstate(patient);
        _expectStatus(patient, Status.Replaced);
        callAs(patient);
        registry.cancelGuardians();
        bytes memory reason = abi.encodeWithSelector(IIdentityRegistry.IdentityNotActivePatient.selector, patient);
        VM.expectRevert(reason);
        callAs(patient);
        registry.cancelRecovery();
        VM.expectRevert(reason);
        callAs(patient);
        registry.freeze();
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityAlreadyRegistered.selector, patient));
        _admit(patient, IIdentityRegistry.Role.Patient, bytes32(seed));
        assert(_status(patient) == Status.Replaced);
    }

    function testFuzz_WhoIsReplacedNeitherPairsNorNames(uint256 seed) public {
        _replace(seed);
        bytes memory reason = abi.encodeWithSelector(IIdentityRegistry.IdentityNotActivePatient.selector, patient);
        VM.expectRevert(reason);
        _pair(patient, HOSPITAL, "pairing");
        VM.expectRevert(reason);
        _name(patient, _guardians(seed, 1), 1);
    }

    function testFuzz_WhoIsReplacedTakesNoAssentBack(uint256 seed) public {
        _pair(patient, HOSPITAL, "pairing");
        _replace(seed);
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityNotActivePatient.selector, patient));
        callAs(patient);
        registry.unpair(HOSPITAL);
        assert(registry.pairingOf(patient, HOSPITAL) == "pairing");
    }

    function testFuzz_WhoIsReplacedMovesNoMore(uint256 seed) public {
        address guardian = _replace(seed);
        address other = _patient("other", seed);
        _expectInvalidSuccessor(patient, other);
        _approve(guardian, patient, other);
        _expectNotReady(0, START + DELAY);
        registry.completeRecovery(patient);
        assert(registry.successorOf(patient) == successor);
    }

    function testFuzz_WhoIsReplacedIsNoSuccessor(uint256 seed) public {
        _replace(seed);
        _name(successor, _guardians(seed, 1), 1);
        _expectInvalidSuccessor(successor, patient);
        _approve(_guardians(seed, 1)[0], successor, patient);
    }

    /* THE SUCCESSOR'S ASSENT, AND WHO IS FOUND */

    function testFuzz_NobodyButTheSuccessorCompletes(uint256 seed, address caller) public {
        VM.assume(caller != FORWARDER && caller != successor);
        address guardian = _open(seed);
        VM.warp(START + DELAY);
        address[4] memory callers = [caller, patient, guardian, address(this)];
        for (uint256 i = 0; i < 4; ++i) {
            VM.expectRevert(
                abi.encodeWithSelector(IIdentityRegistry.IdentityNotSuccessor.selector, patient, callers[i])
            );
            _complete(patient, callers[i]);
        }
        assert(_status(patient) == Status.Active && registry.newestOf(patient) == patient);
    }

    /// @notice Whoever has a lookup key of their own keeps it when they are moved, and is found under each.
    function testFuzz_EveryLookupKeyLeadsToTheNewestAccount(uint256 moves) public {
        moves = bound(moves, 1, 6);
        address[] memory accounts = _chain(moves);
        for (uint256 i = 0; i < accounts.length; ++i) {
            assert(registry.accountOf(bytes32(i + 1)) == accounts[moves]);
            assert(registry.newestOf(accounts[i]) == accounts[moves]);
            assert(registry.successorOf(accounts[i]) == (i == moves ? address(0) : accounts[i + 1]));
        }
    }

    /// @notice Also of two who were moved to the same account.
    function testFuzz_TwoPatientsOfOneSuccessorAreBothFoundAtTheNewest(uint256 seed) public {
        (address first, address second) = (_patient("first", seed), _patient("second", seed));
        address[4] memory from = [first, second, patient, successor];
        address[4] memory to = [patient, patient, successor, _patient("last", seed)];
        address[] memory guardians = _guardians(seed, 1);
        for (uint256 i = 0; i < 4; ++i) {
            VM.warp(START + i * DELAY);
            _name(from[i], guardians, 1);
            _approve(guardians[0], from[i], to[i]);
            VM.warp(START + (i + 1) * DELAY);
            _complete(from[i], to[i]);
        }
        for (uint256 i = 0; i < 4; ++i) {
            assert(registry.newestOf(from[i]) == to[3]);
        }
        assert(registry.accountOf("patient") == to[3]);
        assert(registry.movedTo(first).length == 0);
        address[] memory earlier = registry.movedTo(patient);
        assert(earlier.length == 2 && earlier[0] == first && earlier[1] == second);
        earlier = registry.movedTo(to[3]);
        assert(earlier.length == 4 && earlier[0] == successor && earlier[1] == patient);
        assert(earlier[2] == first && earlier[3] == second);
    }

    function testFuzz_WhoNeverMovedStandsForThemselves(address account) public view {
        assert(registry.newestOf(account) == account);
    }

    function test_NobodyIsFollowedFurtherThan64Moves() public {
        address[] memory accounts = _chain(65);
        assert(registry.newestOf(accounts[1]) == accounts[65] && registry.accountOf(bytes32(uint256(2))) == accounts[65]);
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityTooManyMoves.selector, accounts[0]));
        registry.newestOf(accounts[0]);
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityTooManyMoves.selector, accounts[0]));
        registry.accountOf(bytes32(uint256(1)));
        assert(registry.movedTo(accounts[64]).length == 64);
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityTooManyMoves.selector, accounts[65]));
        registry.movedTo(accounts[65]);
    }

    /// @dev Accounts with lookup keys 1, 2, …, of which guardians moved each to the next one.
    function _chain(uint256 moves) private returns (address[] memory accounts) {
        accounts = new address[](moves + 1);
        for (uint256 i = 0; i <= moves; ++i) {
            accounts[i] = address(uint160(0xc0ffee00 + i));
            _admit(accounts[i], IIdentityRegistry.Role.Patient, bytes32(i + 1));
        }
        address[] memory guardians = new address[](1);
        guardians[0] = address(0x6a4d);
        for (uint256 i = 0; i < moves; ++i) {
            VM.warp(START + i * DELAY);
            _name(accounts[i], guardians, 1);
            _approve(guardians[0], accounts[i], accounts[i + 1]);
            VM.warp(START + (i + 1) * DELAY);
            _complete(accounts[i], accounts[i + 1]);
        }
    }

    function _complete(address account, address caller) private {
        callAs(caller);
        registry.completeRecovery(account);
    }

    /* INTERNAL */

    function _pair(address account, address hospital, bytes32 pairing) private {
        callAs(account);
        registry.pair(hospital, pairing);
    }

    /// @dev One guardian opens the patient's recovery.
    function _open(uint256 seed) private returns (address guardian) {
        guardian = _guardians(seed, 1)[0];
        _name(patient, _guardians(seed, 1), 1);
        _approve(guardian, patient, successor);
    }

    function _replace(uint256 seed) private returns (address guardian) {
        guardian = _open(seed);
        VM.warp(START + DELAY);
        _complete(patient, successor);
    }

    function _assertRecovery(address expected, uint256 expectedReadyAt) private view {
        (address next, uint48 readyAt) = registry.recoveryOf(patient);
        assert(next == expected && readyAt == expectedReadyAt);
    }

    function _expectEvent() private {
        IdentityEvents(address(VM)).expectEmit(address(registry));
    }

    function _expectStatus(address account, Status actual) private {
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityUnexpectedStatus.selector, account, actual));
    }

    function _expectInvalidGuardians(uint256 count, uint8 threshold) private {
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityInvalidGuardians.selector, count, threshold));
    }

    function _expectFrozen(address account) private {
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityIsFrozen.selector, account));
    }

    function _expectNotGuardian(address account, address caller) private {
        VM.expectRevert(abi.encodeWithSelector(IIdentityRegistry.IdentityNotGuardian.selector, account, caller));
    }

    function _expectInvalidSuccessor(address account, address candidate) private {
        bytes4 selector = IIdentityRegistry.IdentityInvalidSuccessor.selector;
        VM.expectRevert(abi.encodeWithSelector(selector, account, candidate));
    }

    function _expectNotReady(uint256 readyAt, uint256 time) private {
        VM.expectRevert(
            abi.encodeWithSelector(IIdentityRegistry.IdentityRecoveryNotReady.selector, patient, readyAt, time)
        );
    }
}

/// @title What the invariants of IdentityRegistry are tried with
/// @notice Some accounts that register, suspend, guard and move each other, in any order.
contract IdentityHandler is IdentityBase {
    uint256 public constant ACCOUNTS = 12;
    address private constant GUARDIAN = address(0x2000);

    mapping(address account => bool admitted) public admitted;
    mapping(address account => bool replaced) public replaced;
    uint256 public moves;
    mapping(address patient => bytes32[] commitments) private before;
    /// @dev Kept here, for forge may forget a warp between calls.
    uint256 private _time = START;

    constructor() {
        _deploy();
    }

    modifier timed() {
        VM.warp(_time);
        _;
    }

    function identities() external view returns (IdentityRegistry) {
        return registry;
    }

    function accountAt(uint256 seed) public pure returns (address) {
        return address(uint160(0x1000 + seed % ACCOUNTS));
    }

    function register(uint256 seed, uint256 role, uint256 lookup) external timed {
        bytes memory data = _registration(seed, role, bytes32(lookup % 9));
        if (_tried(address(this), data)) admitted[accountAt(seed)] = true;
    }

    function registerByStranger(uint256 seed, uint256 caller) external timed {
        _tried(accountAt(caller), _registration(seed, 1, bytes32(0)));
    }

    function suspend(uint256 seed) external timed {
        _tried(address(this), abi.encodeCall(registry.suspend, (accountAt(seed))));
    }

    function reinstate(uint256 seed) external timed {
        _tried(address(this), abi.encodeCall(registry.reinstate, (accountAt(seed))));
    }

    function name(uint256 patient, uint256 guardian, uint8 threshold, uint256 delay) external timed {
        address[] memory guardians = new address[](2);
        (guardians[0], guardians[1]) = (accountAt(guardian), GUARDIAN);
        _announce(accountAt(patient), guardians, 1 + threshold % 2, uint32(bound(delay, 1 days, 5 days)));
    }

    function nameNobody(uint256 patient) external timed {
        _announce(accountAt(patient), new address[](0), 0, DELAY);
    }

    function cancelNaming(uint256 patient) external timed {
        _tried(accountAt(patient), abi.encodeCall(registry.cancelGuardians, ()));
    }

    function freeze(uint256 patient) external timed {
        _tried(accountAt(patient), abi.encodeCall(registry.freeze, ()));
    }

    function freezeFor(uint256 guardian, uint256 patient, bool earlier) external timed {
        address caller = guardian % 2 == 0 ? GUARDIAN : accountAt(guardian);
        (bytes32[] memory list, uint256 place) = _knows(caller, accountAt(patient), earlier);
        _tried(caller, abi.encodeCall(registry.freezeFor, (accountAt(patient), list, place, SALT)));
    }

    function approve(uint256 guardian, uint256 patient, uint256 successor, bool earlier) external timed {
        address caller = guardian % 2 == 0 ? GUARDIAN : accountAt(guardian);
        (bytes32[] memory list, uint256 place) = _knows(caller, accountAt(patient), earlier);
        bytes memory data =
            abi.encodeCall(registry.approveRecovery, (accountAt(patient), accountAt(successor), list, place, SALT));
        (address before, uint48 readyBefore) = registry.recoveryOf(accountAt(patient));
        uint32 delay = registry.guardianshipOf(accountAt(patient)).delay;
        if (!_tried(caller, data)) return;
        (address open, uint48 readyAt) = registry.recoveryOf(accountAt(patient));
        // Whatever is opened waits for the whole delay that counts now.
        assert((open == before && readyAt == readyBefore) || (readyAt == _time + delay && delay >= 1 days));
    }

    function cancel(uint256 patient) external timed {
        _tried(accountAt(patient), abi.encodeCall(registry.cancelRecovery, ()));
    }

    function wait(uint256 pause) external {
        _time += bound(pause, 1, DELAY);
    }

    function complete(uint256 patient) public timed {
        (address successor,) = registry.recoveryOf(accountAt(patient));
        if (!_tried(successor, abi.encodeCall(registry.completeRecovery, (accountAt(patient))))) return;
        replaced[accountAt(patient)] = true;
        ++moves;
    }

    function move(uint256 patient, uint256 successor) external timed {
        address[] memory guardians = new address[](1);
        guardians[0] = GUARDIAN;
        address moved = accountAt(patient);
        _announce(moved, guardians, 1, DELAY);
        (bytes32[] memory list, uint256 place) = _knows(GUARDIAN, moved, false);
        _tried(
            GUARDIAN, abi.encodeCall(registry.approveRecovery, (moved, accountAt(successor), list, place, SALT))
        );
        _time += DELAY;
        complete(patient);
    }

    /// @dev What was announced last, or before that.
    function _knows(address guardian, address patient, bool earlier)
        private
        view
        returns (bytes32[] memory list, uint256 place)
    {
        list = earlier ? before[patient] : known[patient];
        for (place = 0; place < list.length; ++place) {
            if (list[place] == _commitment(patient, guardian)) break;
        }
    }

    function _announce(address patient, address[] memory guardians, uint8 threshold, uint32 delay) private {
        bytes32[] memory list = _commitments(patient, guardians);
        IIdentityRegistry.Guardians memory was = registry.guardianshipOf(patient);
        if (!_tried(patient, abi.encodeCall(registry.setGuardians, (list, threshold, delay, INVITATIONS)))) return;
        (before[patient], known[patient]) = (known[patient], list);
        IIdentityRegistry.Guardians memory now_ = registry.guardianshipOf(patient);
        // Nothing that is announced shortens the way to itself.
        assert(was.threshold == 0 || (now_.digest == was.digest && now_.changesAt == _time + was.delay));
    }

    function _registration(uint256 seed, uint256 role, bytes32 lookup) private pure returns (bytes memory) {
        IIdentityRegistry.Role named = IIdentityRegistry.Role(bound(role, 0, 2));
        return abi.encodeCall(IIdentityRegistry.register, (accountAt(seed), named, lookup, KEYS, address(0), ""));
    }

    /// @dev Whether the registry did it. It may refuse by an error of its own; anything else is a finding.
    function _tried(address caller, bytes memory data) private returns (bool done) {
        bytes memory answer;
        callAs(caller);
        (done, answer) = address(registry).call(data);
        assert(done || (answer.length >= 4 && bytes4(answer) != bytes4(keccak256("Panic(uint256)"))));
    }
}

/// @title Invariants of IdentityRegistry
/// @notice Whatever is called in whatever order.
contract IdentityRegistryInvariants {
    IdentityHandler private handler;
    IdentityRegistry private registry;

    function setUp() public {
        handler = new IdentityHandler();
        registry = handler.identities();
        for (uint256 i = 0; i < 9; ++i) {
            handler.register(i, i == 8 ? 2 : 1, i);
        }
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_WhoIsReplacedIsNeverActiveAgain() public view {
        for (uint256 i = 0; i < handler.ACCOUNTS(); ++i) {
            address account = handler.accountAt(i);
            bool replaced = registry.identityOf(account).status == Status.Replaced;
            assert(replaced == handler.replaced(account));
            assert(replaced == (registry.successorOf(account) != address(0)));
            if (!replaced) continue;
            assert(!registry.isActive(account, IIdentityRegistry.Role.Patient));
            assert(!registry.isActive(account, IIdentityRegistry.Role.Practitioner));
        }
    }

    /// @notice Whoever was replaced leads to an account that wasn't, in fewer moves than there are accounts: no circle.
    function invariant_EveryAccountLeadsToOneThatWasNotReplaced() public view {
        for (uint256 i = 0; i < handler.ACCOUNTS(); ++i) {
            address newest = handler.accountAt(i);
            uint256 moves = 0;
            for (; handler.replaced(newest); ++moves) {
                newest = registry.successorOf(newest);
            }
            assert(moves < handler.ACCOUNTS() && registry.newestOf(handler.accountAt(i)) == newest);
        }
        // Each of these lookup keys may belong to somebody, and then to one who may act or is suspended.
        for (uint256 lookup = 1; lookup < 9; ++lookup) {
            address account = registry.accountOf(bytes32(lookup));
            assert(account == address(0) || !handler.replaced(account));
        }
    }

    /// @notice Nobody is ever protected by less than a day, and a threshold goes with a list.
    function invariant_WhoeverHasGuardiansHasADelay() public view {
        for (uint256 i = 0; i < handler.ACCOUNTS(); ++i) {
            IIdentityRegistry.Guardians memory named = registry.guardianshipOf(handler.accountAt(i));
            assert((named.threshold == 0) == (named.digest == bytes32(0)));
            assert(named.threshold == 0 || (named.delay >= 1 days && named.delay <= 30 days));
        }
    }

    function invariant_OnlyTheAdministratorRegisters() public view {
        for (uint256 i = 0; i < handler.ACCOUNTS(); ++i) {
            address account = handler.accountAt(i);
            assert((registry.identityOf(account).status != Status.Unknown) == handler.admitted(account));
        }
    }

    /// @notice The invariants would hold of nothing if the handler never moved anybody.
    function test_TheHandlerMovesPatients() public {
        handler.move(0, 1);
        assert(handler.moves() == 1 && registry.successorOf(handler.accountAt(0)) == handler.accountAt(1));
        invariant_WhoIsReplacedIsNeverActiveAgain();
        handler.move(1, 2);
        assert(handler.moves() == 2 && registry.newestOf(handler.accountAt(0)) == handler.accountAt(2));
        // The second account's own lookup key leads on, too.
        assert(registry.accountOf(bytes32(uint256(1))) == handler.accountAt(2));
        invariant_EveryAccountLeadsToOneThatWasNotReplaced();
    }
}
