// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {IEmergencyAccess} from "../../contracts/interfaces/IEmergencyAccess.sol";
import {IIdentityRegistry} from "../../contracts/interfaces/IIdentityRegistry.sol";
import {EmergencyAccess} from "../../contracts/sidechain/EmergencyAccess.sol";
import {IdentityRegistry} from "../../contracts/sidechain/IdentityRegistry.sol";
import {Status} from "../../contracts/types/Status.sol";
import {Base} from "./Base.sol";

/// @notice One more cheat code: the event emitted next is the next one that `emitter` emits.
interface EmergencyEvents {
    function expectEmit(address emitter) external;
}

/// @title Contracts and calls that the tests of emergency access share
/// @notice The deployer is the administrator; the emergency contract may suspend.
abstract contract EmergencyBase is Base {
    uint256 internal constant START = 1_800_000_000;
    uint64 internal constant SUSPENDER = 1;
    bytes32 internal constant KEYS = "key block";
    bytes32 internal constant REASON = "reason";

    AccessManager internal manager;
    IdentityRegistry internal identities;
    EmergencyAccess internal emergencies;

    function _deploy() internal {
        VM.warp(START);
        manager = new AccessManager(address(this));
        identities = new IdentityRegistry(address(manager), FORWARDER);
        emergencies = new EmergencyAccess(address(manager), identities, FORWARDER);
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = IIdentityRegistry.suspend.selector;
        manager.setTargetFunctionRole(address(identities), selectors, SUSPENDER);
        manager.grantRole(SUSPENDER, address(emergencies), 0);
        manager.grantRole(SUSPENDER, address(this), 0);
    }

    function _admit(address account, IIdentityRegistry.Role role, address organisation) internal {
        identities.register(account, role, bytes32(0), KEYS, organisation, "");
    }

    function _request(address practitioner, address patient, bytes32 reason) internal returns (uint256) {
        callAs(practitioner);
        return emergencies.request(patient, reason);
    }

    function _cosign(address cosigner, uint256 id) internal {
        callAs(cosigner);
        emergencies.cosign(id);
    }
}

/// @title Fuzz tests of EmergencyAccess
/// @notice Who breaks the glass, with whom, until when, and what follows from a missed review.
contract EmergencyAccessTest is EmergencyBase {
    address private constant HOSPITAL = address(0x4057);
    address private constant OTHER_HOSPITAL = address(0x4058);
    address private constant PATIENT = address(0xa11ce);
    address private constant PRACTITIONER = address(0xd0c);
    address private constant COSIGNER = address(0xd0c2);
    address private constant THIRD = address(0xd0c3);
    address private constant ELSEWHERE = address(0xd0c4);
    address private constant WITHOUT_HOSPITAL = address(0xd0c5);
    // A patient may work at the hospital, but is no practitioner by that.
    address private constant STAFF_PATIENT = address(0xa11ce2);

    function setUp() public {
        _deploy();
        _admit(PATIENT, IIdentityRegistry.Role.Patient, address(0));
        _admit(STAFF_PATIENT, IIdentityRegistry.Role.Patient, HOSPITAL);
        _admit(PRACTITIONER, IIdentityRegistry.Role.Practitioner, HOSPITAL);
        _admit(COSIGNER, IIdentityRegistry.Role.Practitioner, HOSPITAL);
        _admit(THIRD, IIdentityRegistry.Role.Practitioner, HOSPITAL);
        _admit(ELSEWHERE, IIdentityRegistry.Role.Practitioner, OTHER_HOSPITAL);
        _admit(WITHOUT_HOSPITAL, IIdentityRegistry.Role.Practitioner, address(0));
    }

    /* ASKING */

    function testFuzz_ARequestStoresWhatWasAsked(bytes32 reason, uint256 time) public {
        VM.assume(reason != bytes32(0));
        time = bound(time, START, type(uint48).max);
        VM.warp(time);
        _expectEvent();
        emit IEmergencyAccess.EmergencyRequested(1, PRACTITIONER, PATIENT, reason);
        assert(_request(PRACTITIONER, PATIENT, reason) == 1);

        IEmergencyAccess.Emergency memory emergency = emergencies.emergencyOf(1);
        assert(emergency.practitioner == PRACTITIONER && emergency.patient == PATIENT && emergency.reason == reason);
        assert(emergency.requestedAt == time && emergency.cosignedAt == 0 && emergency.cosigner == address(0));
        assert(!emergency.reviewed && !emergency.enforced && !emergencies.isActive(1));
    }

    function testFuzz_RequestsAreCountedFromOneOn(uint256 count) public {
        assert(emergencies.emergencyCount() == 0);
        count = bound(count, 1, 8);
        for (uint256 i = 1; i <= count; ++i) {
            assert(_request(PRACTITIONER, PATIENT, bytes32(i)) == i && emergencies.emergencyCount() == i);
        }
        for (uint256 i = 1; i <= count; ++i) {
            assert(emergencies.emergencyOf(i).reason == bytes32(i));
        }
        assert(emergencies.emergencyOf(count + 1).practitioner == address(0));
    }

    function testFuzz_OnlyActivePractitionersOfAHospitalAsk(uint256 seed) public {
        identities.suspend(PRACTITIONER);
        address[4] memory callers = [_stranger(seed), STAFF_PATIENT, WITHOUT_HOSPITAL, PRACTITIONER];
        for (uint256 i = 0; i < 4; ++i) {
            _expectNotPractitioner(callers[i]);
            _request(callers[i], PATIENT, REASON);
        }
        assert(emergencies.emergencyCount() == 0);
    }

    function testFuzz_OnlyActivePatientsAreAskedFor(uint256 seed) public {
        identities.suspend(PATIENT);
        address[3] memory patients = [_stranger(seed), COSIGNER, PATIENT];
        for (uint256 i = 0; i < 3; ++i) {
            VM.expectRevert(abi.encodeWithSelector(IEmergencyAccess.EmergencyUnknownPatient.selector, patients[i]));
            _request(PRACTITIONER, patients[i], REASON);
        }
        assert(emergencies.emergencyCount() == 0);
    }

    function test_NobodyAsksWithoutAReason() public {
        VM.expectRevert(abi.encodeWithSelector(IEmergencyAccess.EmergencyWithoutReason.selector));
        _request(PRACTITIONER, PATIENT, bytes32(0));
        assert(emergencies.emergencyCount() == 0);
    }

    /* CO-SIGNING */

    function testFuzz_ACosignatureOpensTheAccess(uint256 pause) public {
        uint256 time = START + bound(pause, 0, 1 hours - 1);
        _request(PRACTITIONER, PATIENT, REASON);
        VM.warp(time);
        _expectEvent();
        emit IEmergencyAccess.EmergencyCosigned(1, COSIGNER, uint48(time + 4 hours), uint48(time + 72 hours));
        _cosign(COSIGNER, 1);
        IEmergencyAccess.Emergency memory emergency = emergencies.emergencyOf(1);
        assert(emergency.cosigner == COSIGNER && emergency.cosignedAt == time && emergencies.isActive(1));
        assert(emergency.practitioner == PRACTITIONER && emergency.requestedAt == START);
    }

    function testFuzz_AnAccessLastsFourHours(uint256 pause, uint256 later) public {
        uint256 time = START + bound(pause, 0, 1 hours - 1);
        _active(time);
        VM.warp(time + bound(later, 0, 4 hours - 1));
        assert(emergencies.isActive(1));
        VM.warp(time + 4 hours - 1);
        assert(emergencies.isActive(1));
        VM.warp(time + 4 hours);
        assert(!emergencies.isActive(1));
        VM.warp(bound(later, time + 4 hours, type(uint64).max));
        assert(!emergencies.isActive(1));
    }

    function testFuzz_ACosignatureOpensOneAccess(uint256 place) public {
        for (uint256 i = 0; i < 3; ++i) {
            _request(PRACTITIONER, PATIENT, REASON);
        }
        uint256 id = bound(place, 1, 3);
        _cosign(COSIGNER, id);
        for (uint256 i = 1; i <= 3; ++i) {
            assert(emergencies.isActive(i) == (i == id));
        }
    }

    function testFuzz_NobodyCosignsForHimself(uint256 pause) public {
        _request(PRACTITIONER, PATIENT, REASON);
        VM.warp(START + bound(pause, 0, 1 hours - 1));
        _expectInvalidCosigner(PRACTITIONER);
        _cosign(PRACTITIONER, 1);
        assert(!emergencies.isActive(1));
    }

    function testFuzz_NobodyCosignsTwice(uint256 pause, bool same) public {
        uint256 time = START + bound(pause, 0, 1 hours - 1);
        _active(START);
        VM.warp(time);
        _expectInvalidCosigner(same ? COSIGNER : THIRD);
        _cosign(same ? COSIGNER : THIRD, 1);
        assert(emergencies.emergencyOf(1).cosigner == COSIGNER && emergencies.emergencyOf(1).cosignedAt == START);
    }

    function testFuzz_NobodyCosignsForAnotherHospital(uint256 pause) public {
        _request(PRACTITIONER, PATIENT, REASON);
        VM.warp(START + bound(pause, 0, 1 hours - 1));
        _expectInvalidCosigner(ELSEWHERE);
        _cosign(ELSEWHERE, 1);
        assert(!emergencies.isActive(1));
    }

    function testFuzz_OnlyActivePractitionersOfAHospitalCosign(uint256 seed) public {
        _request(PRACTITIONER, PATIENT, REASON);
        identities.suspend(COSIGNER);
        address[4] memory callers = [_stranger(seed), STAFF_PATIENT, WITHOUT_HOSPITAL, COSIGNER];
        for (uint256 i = 0; i < 4; ++i) {
            _expectNotPractitioner(callers[i]);
            _cosign(callers[i], 1);
        }
        assert(!emergencies.isActive(1));
    }

    function testFuzz_NobodyCosignsForWhoIsSuspendedMeanwhile(uint256 pause) public {
        _request(PRACTITIONER, PATIENT, REASON);
        VM.warp(START + bound(pause, 0, 1 hours - 1));
        identities.suspend(PRACTITIONER);
        _expectNotPractitioner(PRACTITIONER);
        _cosign(COSIGNER, 1);
        identities.reinstate(PRACTITIONER);
        _cosign(COSIGNER, 1);
        assert(emergencies.isActive(1));
    }

    function testFuzz_ACosignatureIsInTimeUntilTheSecondBefore(uint256 time) public {
        time = bound(time, START, type(uint48).max - 1 hours);
        VM.warp(time);
        _request(PRACTITIONER, PATIENT, REASON);
        VM.warp(time + 1 hours - 1);
        _cosign(COSIGNER, 1);
        assert(emergencies.isActive(1) && emergencies.emergencyOf(1).cosignedAt == time + 1 hours - 1);
    }

    function testFuzz_ARequestExpiresAfterAnHour(uint256 later) public {
        _request(PRACTITIONER, PATIENT, REASON);
        uint256 dueAt = START + 1 hours;
        uint256[2] memory times = [dueAt, bound(later, dueAt, type(uint48).max)];
        for (uint256 i = 0; i < 2; ++i) {
            VM.warp(times[i]);
            VM.expectRevert(
                abi.encodeWithSelector(IEmergencyAccess.EmergencyRequestExpired.selector, 1, dueAt, times[i])
            );
            _cosign(COSIGNER, 1);
        }
        assert(!emergencies.isActive(1) && emergencies.emergencyOf(1).cosigner == address(0));
    }

    /* REVIEW */

    function testFuzz_AReviewClosesTheEmergency(uint256 pause, bytes32 outcome) public {
        _active(START);
        // Also a late one, as long as nobody enforced.
        VM.warp(START + bound(pause, 0, 144 hours));
        _expectEvent();
        emit IEmergencyAccess.EmergencyReviewed(1, outcome);
        emergencies.review(1, outcome);
        assert(emergencies.emergencyOf(1).reviewed && !emergencies.emergencyOf(1).enforced);
    }

    function testFuzz_AReviewEndsNoAccess(uint256 pause) public {
        _active(START);
        emergencies.review(1, REASON);
        VM.warp(START + bound(pause, 0, 4 hours - 1));
        assert(emergencies.isActive(1));
    }

    function testFuzz_NobodyButTheAdministratorReviews(address caller, bytes32 outcome) public {
        assumePerson(caller);
        VM.assume(caller != address(this));
        _active(START);
        callAs(caller);
        VM.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, caller));
        emergencies.review(1, outcome);
        assert(!emergencies.emergencyOf(1).reviewed);
    }

    function testFuzz_WithoutAnAccessThereIsNothingToReview(uint256 pause) public {
        _request(PRACTITIONER, PATIENT, REASON);
        VM.warp(START + bound(pause, 0, 144 hours));
        _expectNotCosigned();
        emergencies.review(1, REASON);
        _expectNotCosigned();
        emergencies.enforce(1);
        assert(!emergencies.emergencyOf(1).reviewed && !emergencies.emergencyOf(1).enforced);
        assert(identities.identityOf(PRACTITIONER).status == Status.Active);
    }

    function testFuzz_WhatIsReviewedStaysSo(uint256 pause, address caller) public {
        assumePerson(caller);
        _active(START);
        emergencies.review(1, REASON);
        VM.warp(START + bound(pause, 0, 144 hours));
        _expectClosed();
        emergencies.review(1, REASON);
        callAs(caller);
        _expectClosed();
        emergencies.enforce(1);
        assert(!emergencies.emergencyOf(1).enforced);
        assert(identities.identityOf(PRACTITIONER).status == Status.Active);
    }

    /* ENFORCEMENT */

    function testFuzz_AMissedReviewSuspendsThePractitioner(uint256 pause, uint256 later, address caller) public {
        assumePerson(caller);
        uint256 time = START + bound(pause, 0, 1 hours - 1);
        _active(time);
        VM.warp(bound(later, time + 72 hours, type(uint48).max));
        callAs(caller);
        _expectEvent();
        emit IEmergencyAccess.EmergencyOverdue(1, PRACTITIONER);
        emergencies.enforce(1);
        assert(emergencies.emergencyOf(1).enforced && !emergencies.emergencyOf(1).reviewed);
        assert(identities.identityOf(PRACTITIONER).status == Status.Suspended);
        assert(identities.identityOf(COSIGNER).status == Status.Active);
    }

    function testFuzz_AReviewIsOverdueAfterThreeDays(uint256 pause, uint256 earlier) public {
        uint256 time = START + bound(pause, 0, 1 hours - 1);
        uint256 dueAt = time + 72 hours;
        _active(time);
        uint256[2] memory times = [bound(earlier, time, dueAt - 1), dueAt - 1];
        for (uint256 i = 0; i < 2; ++i) {
            VM.warp(times[i]);
            VM.expectRevert(abi.encodeWithSelector(IEmergencyAccess.EmergencyNotOverdue.selector, 1, dueAt, times[i]));
            emergencies.enforce(1);
        }
        VM.warp(dueAt);
        emergencies.enforce(1);
        assert(identities.identityOf(PRACTITIONER).status == Status.Suspended);
    }

    function testFuzz_WhatIsEnforcedStaysSo(uint256 later) public {
        _active(START);
        VM.warp(bound(later, START + 72 hours, type(uint48).max));
        emergencies.enforce(1);
        identities.reinstate(PRACTITIONER);
        _expectClosed();
        emergencies.enforce(1);
        _expectClosed();
        emergencies.review(1, REASON);
        assert(!emergencies.emergencyOf(1).reviewed);
        assert(identities.identityOf(PRACTITIONER).status == Status.Active);
    }

    function testFuzz_ASecondMissedReviewFindsHimSuspended(uint256 count) public {
        count = bound(count, 2, 5);
        for (uint256 id = 1; id <= count; ++id) {
            _request(PRACTITIONER, PATIENT, REASON);
            _cosign(COSIGNER, id);
        }
        VM.warp(START + 72 hours);
        for (uint256 id = 1; id <= count; ++id) {
            emergencies.enforce(id);
            assert(emergencies.emergencyOf(id).enforced);
            assert(identities.identityOf(PRACTITIONER).status == Status.Suspended);
        }
    }

    function testFuzz_WithoutItsRoleTheContractSuspendsNobody(uint256 later) public {
        _active(START);
        manager.revokeRole(SUSPENDER, address(emergencies));
        VM.warp(bound(later, START + 72 hours, type(uint48).max));
        bytes4 selector = IAccessManaged.AccessManagedUnauthorized.selector;
        VM.expectRevert(abi.encodeWithSelector(selector, address(emergencies)));
        emergencies.enforce(1);
        // It can be enforced once the role is there.
        assert(!emergencies.emergencyOf(1).enforced);
    }

    /* NO EMERGENCY */

    function testFuzz_AnUnknownEmergencyIsNothing(uint256 id) public {
        VM.assume(id != 1);
        _active(START);
        assert(!emergencies.isActive(id) && emergencies.emergencyOf(id).practitioner == address(0));
        bytes memory reason = abi.encodeWithSelector(IEmergencyAccess.EmergencyUnknown.selector, id);
        VM.expectRevert(reason);
        _cosign(COSIGNER, id);
        VM.expectRevert(reason);
        emergencies.review(id, REASON);
        VM.expectRevert(reason);
        emergencies.enforce(id);
    }

    function testFuzz_NoAccessIsActiveNearTheEpoch(uint256 id, uint256 time) public {
        // No co-signature is not one at second zero.
        VM.warp(bound(time, 0, 4 hours));
        assert(!emergencies.isActive(id));
    }

    /* INTERNAL */

    /// @dev Emergency 1, co-signed at `time`, which is the time from then on.
    function _active(uint256 time) private {
        _request(PRACTITIONER, PATIENT, REASON);
        VM.warp(time);
        _cosign(COSIGNER, 1);
    }

    function _stranger(uint256 seed) private pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode("stranger", seed)))));
    }

    function _expectEvent() private {
        EmergencyEvents(address(VM)).expectEmit(address(emergencies));
    }

    function _expectNotPractitioner(address account) private {
        VM.expectRevert(abi.encodeWithSelector(IEmergencyAccess.EmergencyNotActivePractitioner.selector, account));
    }

    function _expectInvalidCosigner(address cosigner) private {
        VM.expectRevert(abi.encodeWithSelector(IEmergencyAccess.EmergencyInvalidCosigner.selector, 1, cosigner));
    }

    function _expectNotCosigned() private {
        VM.expectRevert(abi.encodeWithSelector(IEmergencyAccess.EmergencyNotCosigned.selector, 1));
    }

    function _expectClosed() private {
        VM.expectRevert(abi.encodeWithSelector(IEmergencyAccess.EmergencyClosed.selector, 1));
    }
}

/// @title What the invariants of EmergencyAccess are tried with
/// @notice Three practitioners of each of two hospitals, one of none, and two patients, in any order.
contract EmergencyHandler is EmergencyBase {
    uint256 public constant ACCOUNTS = 9;

    uint256 public cosignatures;
    /// @dev Kept here, for forge may forget a warp between calls.
    uint256 private _time = START;

    constructor() {
        _deploy();
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            address organisation = i < 6 ? address(uint160(0x4057 + i % 2)) : address(0);
            _admit(
                accountAt(i), i < 7 ? IIdentityRegistry.Role.Practitioner : IIdentityRegistry.Role.Patient, organisation
            );
        }
    }

    modifier timed() {
        VM.warp(_time);
        _;
    }

    function contracts() external view returns (IdentityRegistry, EmergencyAccess) {
        return (identities, emergencies);
    }

    function accountAt(uint256 seed) public pure returns (address) {
        return address(uint160(0x1000 + seed % ACCOUNTS));
    }

    /// @dev The time of the last call, for what looks at it afterwards.
    function warp() external timed {}

    function wait(uint256 pause) external {
        _time += bound(pause, 1, pause % 8 == 0 ? 80 hours : 20 minutes);
    }

    function request(uint256 practitioner, uint256 patient) external timed {
        address known = accountAt(7 + patient % 2);
        _tried(accountAt(practitioner), address(emergencies), abi.encodeCall(emergencies.request, (known, REASON)));
    }

    function cosign(uint256 cosigner, uint256 id) external timed {
        _cosignAs(accountAt(cosigner), _id(id));
    }

    function cosignNewest(uint256 cosigner) external timed {
        _cosignAs(accountAt(cosigner), emergencies.emergencyCount());
    }

    function review(uint256 id) external timed {
        _tried(address(this), address(emergencies), abi.encodeCall(emergencies.review, (_id(id), REASON)));
    }

    function enforce(uint256 id) external timed {
        _tried(address(this), address(emergencies), abi.encodeCall(emergencies.enforce, (_id(id))));
    }

    function suspend(uint256 seed) external timed {
        // Or soon there would be nobody left to try anything with.
        if (uint256(keccak256(abi.encode(seed))) % 4 != 0) return;
        _tried(address(this), address(identities), abi.encodeCall(identities.suspend, (accountAt(seed))));
    }

    function reinstate(uint256 seed) external timed {
        _tried(address(this), address(identities), abi.encodeCall(identities.reinstate, (accountAt(seed))));
    }

    function _cosignAs(address cosigner, uint256 id) private {
        if (_tried(cosigner, address(emergencies), abi.encodeCall(emergencies.cosign, (id)))) ++cosignatures;
    }

    function _id(uint256 seed) private view returns (uint256) {
        return bound(seed, 0, emergencies.emergencyCount());
    }

    /// @dev Whether the contract did it. It may refuse by an error of its own; anything else is a finding.
    function _tried(address caller, address target, bytes memory data) private returns (bool done) {
        bytes memory answer;
        callAs(caller);
        (done, answer) = target.call(data);
        assert(done || (answer.length >= 4 && bytes4(answer) != bytes4(keccak256("Panic(uint256)"))));
    }
}

/// @title Invariants of EmergencyAccess
/// @notice Whatever is called in whatever order.
contract EmergencyAccessInvariants {
    EmergencyHandler private handler;
    IdentityRegistry private identities;
    EmergencyAccess private emergencies;

    function setUp() public {
        handler = new EmergencyHandler();
        (identities, emergencies) = handler.contracts();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_AccessTakesTwoPractitionersOfOneHospital() public {
        handler.warp();
        for (uint256 id = 0; id <= emergencies.emergencyCount() + 1; ++id) {
            if (!emergencies.isActive(id)) continue;
            IEmergencyAccess.Emergency memory emergency = emergencies.emergencyOf(id);
            IIdentityRegistry.Identity memory first = identities.identityOf(emergency.practitioner);
            IIdentityRegistry.Identity memory second = identities.identityOf(emergency.cosigner);
            assert(emergency.practitioner != emergency.cosigner);
            assert(first.organisation == second.organisation && first.organisation != address(0));
            assert(first.role == IIdentityRegistry.Role.Practitioner);
            assert(second.role == IIdentityRegistry.Role.Practitioner);
        }
    }

    function invariant_ACosignatureComesWithinTheHour() public view {
        for (uint256 id = 1; id <= emergencies.emergencyCount(); ++id) {
            IEmergencyAccess.Emergency memory emergency = emergencies.emergencyOf(id);
            assert((emergency.cosignedAt == 0) == (emergency.cosigner == address(0)));
            assert(!emergency.reviewed || !emergency.enforced);
            if (emergency.cosignedAt == 0) {
                assert(!emergency.reviewed && !emergency.enforced);
            } else {
                assert(emergency.cosignedAt >= emergency.requestedAt);
                assert(emergency.cosignedAt - emergency.requestedAt < 1 hours);
            }
        }
    }

    /// @notice The invariants would hold of nothing if the handler never opened an access.
    function test_TheHandlerOpensAccess() public {
        handler.request(0, 0);
        handler.wait(5);
        handler.cosignNewest(2);
        assert(handler.cosignatures() == 1 && emergencies.isActive(1));
        invariant_AccessTakesTwoPractitionersOfOneHospital();
    }
}
