// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {IAccessRequests} from "../../contracts/interfaces/IAccessRequests.sol";
import {IIdentityRegistry} from "../../contracts/interfaces/IIdentityRegistry.sol";
import {AccessRequests} from "../../contracts/sidechain/AccessRequests.sol";
import {IdentityRegistry} from "../../contracts/sidechain/IdentityRegistry.sol";
import {Base} from "./Base.sol";
import {GuardedPatient} from "./GuardedPatient.sol";

/// @notice One more cheat code: the event emitted next is the next one that `emitter` emits.
interface RequestEvents {
    function expectEmit(address emitter) external;
}

/// @title Fuzz tests of AccessRequests
/// @notice Who asks, who answers, until when, and which error says no.
contract AccessRequestsTest is GuardedPatient {
    uint256 private constant START = 1_800_000_000;
    bytes32 private constant KEYS = "key block";
    address private constant PATIENT = address(0xa11ce);
    address private constant OTHER_PATIENT = address(0xa11ce2);
    address private constant PRACTITIONER = address(0xd0c);
    address private constant OTHER_PRACTITIONER = address(0xd0c2);
    bytes32 private constant DETAILS = "details";
    uint256 private constant PLACES = 3;
    uint256 private constant LEAST_HELD = 1 days;
    uint256 private constant IN_A_ROW = 100;
    uint256 private constant INTERVAL = 10 minutes;

    IdentityRegistry private identities;
    AccessRequests private requests;

    function setUp() public {
        VM.warp(START);
        identities = new IdentityRegistry(address(new AccessManager(address(this))), FORWARDER);
        requests = new AccessRequests(identities, FORWARDER);
        _admit(PATIENT, IIdentityRegistry.Role.Patient);
        _admit(OTHER_PATIENT, IIdentityRegistry.Role.Patient);
        _admit(PRACTITIONER, IIdentityRegistry.Role.Practitioner);
        _admit(OTHER_PRACTITIONER, IIdentityRegistry.Role.Practitioner);
    }

    /* ASKING */

    function testFuzz_ARequestStoresWhatWasAsked(bytes32 details, uint256 time, uint256 expiresAt) public {
        VM.assume(details != bytes32(0));
        time = bound(time, START, type(uint48).max - 1);
        expiresAt = bound(expiresAt, time + 1, type(uint48).max);
        VM.warp(time);
        _expectEvent();
        emit IAccessRequests.AccessRequested(1, PRACTITIONER, PATIENT, details, uint48(expiresAt));
        assert(_request(PRACTITIONER, PATIENT, details, expiresAt) == 1);

        IAccessRequests.Request memory asked = requests.requestOf(1);
        assert(asked.requester == PRACTITIONER && asked.patient == PATIENT && asked.details == details);
        assert(asked.expiresAt == expiresAt && asked.state == IAccessRequests.State.Open);
        assert(requests.stateOf(1) == IAccessRequests.State.Open);
    }

    function testFuzz_RequestsAreCountedFromOneOn(uint256 count, bytes32 details) public {
        VM.assume(details != bytes32(0));
        assert(requests.requestCount() == 0);
        count = bound(count, 1, 8);
        for (uint256 i = 1; i <= count; ++i) {
            address requester = i % 2 == 0 ? PRACTITIONER : OTHER_PRACTITIONER;
            address asked = i / 2 % 2 == 0 ? PATIENT : OTHER_PATIENT;
            assert(_request(requester, asked, details, START + i) == i && requests.requestCount() == i);
        }
        for (uint256 i = 1; i <= count; ++i) {
            assert(requests.requestOf(i).expiresAt == START + i);
        }
        assert(requests.requestOf(count + 1).requester == address(0));
    }

    function testFuzz_OnlyActivePractitionersAsk(address stranger) public {
        VM.assume(stranger != FORWARDER && stranger != PRACTITIONER && stranger != OTHER_PRACTITIONER);
        identities.suspend(PRACTITIONER);
        address[3] memory callers = [stranger, PATIENT, PRACTITIONER];
        for (uint256 i = 0; i < 3; ++i) {
            VM.expectRevert(abi.encodeWithSelector(IAccessRequests.RequestNotActivePractitioner.selector, callers[i]));
            _request(callers[i], PATIENT, DETAILS, START + 1);
        }
        assert(requests.requestCount() == 0);
    }

    function testFuzz_OnlyActivePatientsAreAsked(address stranger) public {
        VM.assume(stranger != FORWARDER && stranger != PATIENT && stranger != OTHER_PATIENT);
        identities.suspend(PATIENT);
        address[4] memory patients = [stranger, OTHER_PRACTITIONER, PRACTITIONER, PATIENT];
        for (uint256 i = 0; i < 4; ++i) {
            VM.expectRevert(abi.encodeWithSelector(IAccessRequests.RequestUnknownPatient.selector, patients[i]));
            _request(PRACTITIONER, patients[i], DETAILS, START + 1);
        }
        assert(requests.requestCount() == 0);
    }

    function testFuzz_ARequestHasDetails(uint256 expiresAt) public {
        expiresAt = bound(expiresAt, START + 1, type(uint48).max);
        VM.expectRevert(abi.encodeWithSelector(IAccessRequests.RequestInvalid.selector, bytes32(0), expiresAt, START));
        _request(PRACTITIONER, PATIENT, bytes32(0), expiresAt);
    }

    function testFuzz_ARequestIsNotOverAlready(bytes32 details, uint256 time, uint256 expiresAt) public {
        VM.assume(details != bytes32(0));
        time = bound(time, START, type(uint48).max - 1);
        VM.warp(time);
        uint256[2] memory times = [bound(expiresAt, 0, time), time];
        for (uint256 i = 0; i < 2; ++i) {
            VM.expectRevert(abi.encodeWithSelector(IAccessRequests.RequestInvalid.selector, details, times[i], time));
            _request(PRACTITIONER, PATIENT, details, times[i]);
        }
        assert(_request(PRACTITIONER, PATIENT, details, time + 1) == 1);
    }

    /* ANSWERS */

    function testFuzz_ThePatientApproves(uint256 expiresAt, bytes32 outcome) public {
        uint256 id = _open(bound(expiresAt, START + 1, type(uint48).max));
        callAs(PATIENT);
        _expectEvent();
        emit IAccessRequests.AccessApproved(id, outcome);
        requests.approve(id, outcome);
        _assertState(id, IAccessRequests.State.Approved);
    }

    function testFuzz_ThePatientDenies(uint256 expiresAt) public {
        uint256 id = _open(bound(expiresAt, START + 1, type(uint48).max));
        callAs(PATIENT);
        _expectEvent();
        emit IAccessRequests.AccessDenied(id);
        requests.deny(id);
        _assertState(id, IAccessRequests.State.Denied);
    }

    function testFuzz_TheRequesterWithdraws(uint256 expiresAt) public {
        uint256 id = _open(bound(expiresAt, START + 1, type(uint48).max));
        callAs(PRACTITIONER);
        _expectEvent();
        emit IAccessRequests.AccessWithdrawn(id);
        requests.withdraw(id);
        _assertState(id, IAccessRequests.State.Withdrawn);
    }

    function testFuzz_OneAnswerChangesOneRequest(uint256 place, uint256 act) public {
        for (uint256 i = 0; i < 3; ++i) {
            _open(START + 1);
        }
        uint256 id = bound(place, 1, 3);
        act = bound(act, 0, 2);
        _answer(id, act);
        for (uint256 i = 1; i <= 3; ++i) {
            _assertState(i, i == id ? _stateAfter(act) : IAccessRequests.State.Open);
        }
    }

    function testFuzz_OnlyThePatientApprovesAndDenies(address stranger) public {
        VM.assume(stranger != PATIENT);
        uint256 id = _open(START + 1);
        address[3] memory callers = [stranger, PRACTITIONER, OTHER_PATIENT];
        for (uint256 i = 0; i < 3; ++i) {
            callAs(callers[i]);
            _expectNotYours(id, callers[i]);
            requests.approve(id, bytes32(0));
            callAs(callers[i]);
            _expectNotYours(id, callers[i]);
            requests.deny(id);
        }
        _assertState(id, IAccessRequests.State.Open);
    }

    /// @notice Who is suspended refuses and approves nothing; whoever was moved does neither, nor does their successor for them.
    function testFuzz_WhoIsSuspendedRefusesOnlyAndWhoWasMovedAnswersNothing(bool approves) public {
        (uint256 first, uint256 second) = (_open(type(uint48).max), _open(type(uint48).max));
        identities.suspend(PATIENT);
        bytes memory refused = abi.encodeWithSelector(IAccessRequests.RequestNotActivePatient.selector, PATIENT);
        callAs(PATIENT);
        VM.expectRevert(refused);
        requests.approve(first, bytes32(0));
        callAs(PATIENT);
        requests.deny(first);
        identities.reinstate(PATIENT);
        _moved(identities, PATIENT, OTHER_PATIENT);
        _expectNotYours(second, OTHER_PATIENT);
        callAs(OTHER_PATIENT);
        requests.approve(second, bytes32(0));
        VM.expectRevert(refused);
        _answer(second, approves ? 0 : 1);
        _assertState(second, IAccessRequests.State.Open);
    }

    function testFuzz_OnlyTheRequesterWithdraws(address stranger) public {
        VM.assume(stranger != PRACTITIONER);
        uint256 id = _open(START + 1);
        address[3] memory callers = [stranger, PATIENT, OTHER_PRACTITIONER];
        for (uint256 i = 0; i < 3; ++i) {
            callAs(callers[i]);
            _expectNotYours(id, callers[i]);
            requests.withdraw(id);
        }
        _assertState(id, IAccessRequests.State.Open);
    }

    function testFuzz_AnAnsweredRequestTakesNoSecondAnswer(uint256 first, uint256 second, uint256 time) public {
        (first, second) = (bound(first, 0, 2), bound(second, 0, 2));
        uint256 id = _open(START + 1 days);
        _answer(id, first);
        // Also after its time: it isn't expired, but answered.
        VM.warp(bound(time, START, START + 2 days));
        _expectNotOpen(id, _stateAfter(first));
        _answer(id, second);
        _assertState(id, _stateAfter(first));
    }

    function testFuzz_ARequestIsOpenUntilTheSecondBefore(uint256 expiresAt, uint256 act) public {
        expiresAt = bound(expiresAt, START + 2, type(uint48).max);
        act = bound(act, 0, 2);
        uint256 id = _open(expiresAt);
        VM.warp(expiresAt - 1);
        assert(requests.stateOf(id) == IAccessRequests.State.Open);
        _answer(id, act);
        _assertState(id, _stateAfter(act));
    }

    function testFuzz_ARequestExpiresAtTheSecond(uint256 expiresAt, uint256 time, uint256 act) public {
        expiresAt = bound(expiresAt, START + 1, type(uint48).max);
        uint256 id = _open(expiresAt);
        uint256[2] memory times = [expiresAt, bound(time, expiresAt, type(uint64).max)];
        for (uint256 i = 0; i < 2; ++i) {
            VM.warp(times[i]);
            assert(requests.stateOf(id) == IAccessRequests.State.Expired);
            _expectNotOpen(id, IAccessRequests.State.Expired);
            _answer(id, bound(act, 0, 2));
        }
        // As stored.
        assert(requests.requestOf(id).state == IAccessRequests.State.Open);
    }

    function testFuzz_WhatWasAnsweredNeverExpires(uint256 time, uint256 act) public {
        act = bound(act, 0, 2);
        uint256 id = _open(START + 1);
        _answer(id, act);
        VM.warp(bound(time, START + 1, type(uint64).max));
        _assertState(id, _stateAfter(act));
    }

    /* PLACES */

    function testFuzz_ThreeRequestsOfOnePractitionerWaitAtOnePatient(uint256 seed) public {
        uint256 freeAt = type(uint256).max;
        for (uint256 i = 0; i < PLACES; ++i) {
            uint256 expiresAt = START + 1 + uint256(keccak256(abi.encode(seed, i))) % 30 days;
            uint256 heldUntil = expiresAt > START + LEAST_HELD ? expiresAt : START + LEAST_HELD;
            if (heldUntil < freeAt) freeAt = heldUntil;
            _open(expiresAt);
        }
        _expectTooManyOpen(freeAt);
        _open(START + 1 days);
        assert(requests.requestCount() == PLACES);
        // Neither another patient nor another practitioner is concerned.
        _request(PRACTITIONER, OTHER_PATIENT, DETAILS, START + 1);
        _request(OTHER_PRACTITIONER, PATIENT, DETAILS, START + 1);
        VM.warp(freeAt - 1);
        _expectTooManyOpen(freeAt);
        _open(freeAt);
        VM.warp(freeAt);
        _open(freeAt + 1);
        assert(requests.requestCount() == PLACES + 3);
    }

    function testFuzz_AnAnswerMakesRoom(uint256 place, bool approves, uint256 rounds) public {
        for (uint256 i = 0; i < PLACES; ++i) {
            _open(START + 30 days);
        }
        rounds = bound(rounds, 1, 8);
        uint256 id = bound(place, 1, PLACES);
        for (uint256 i = 0; i < rounds; ++i) {
            _expectTooManyOpen(START + 30 days);
            _open(START + 30 days);
            _answer(id, approves ? 0 : 1);
            id = _open(START + 30 days);
        }
        assert(requests.requestCount() == PLACES + rounds);
    }

    function testFuzz_WithdrawingMakesRoomADayAfterTheRequest(uint256 later, uint256 time) public {
        uint256 made = START + bound(later, 0, LEAST_HELD - 1);
        _open(START + 30 days);
        _open(START + 30 days);
        VM.warp(made);
        uint256 id = _open(made + 30 days);
        VM.warp(bound(time, made, made + LEAST_HELD - 1));
        callAs(PRACTITIONER);
        requests.withdraw(id);
        _expectTooManyOpen(made + LEAST_HELD);
        _open(made + 30 days);
        VM.warp(made + LEAST_HELD);
        _open(made + 30 days);
        _expectTooManyOpen(START + 30 days);
        _open(made + 30 days);
    }

    function testFuzz_AShortRequestTakesItsPlaceForADay(uint256 expiresAt) public {
        expiresAt = bound(expiresAt, START + 1, START + LEAST_HELD);
        for (uint256 i = 0; i < PLACES; ++i) {
            _open(expiresAt);
        }
        VM.warp(START + LEAST_HELD - 1);
        _expectTooManyOpen(START + LEAST_HELD);
        _open(START + 2 days);
        VM.warp(START + LEAST_HELD);
        for (uint256 i = 0; i < PLACES; ++i) {
            _open(START + 3 days);
        }
        _expectTooManyOpen(START + 3 days);
        _open(START + 3 days);
    }

    function test_NobodyAsksMoreThanAHundredTimesInARow() public {
        uint256 asked = 0;
        for (; asked < IN_A_ROW; ++asked) {
            _request(PRACTITIONER, _patientAt(asked / PLACES), DETAILS, START + 30 days);
        }
        address last = _patientAt(asked / PLACES + 1);
        _expectTooOften(START + INTERVAL);
        _request(PRACTITIONER, last, DETAILS, START + 30 days);
        _request(OTHER_PRACTITIONER, last, DETAILS, START + 30 days);
        VM.warp(START + INTERVAL - 1);
        _expectTooOften(START + INTERVAL);
        _request(PRACTITIONER, last, DETAILS, START + 30 days);
        for (uint256 i = 1; i <= PLACES; ++i) {
            VM.warp(START + i * INTERVAL);
            _request(PRACTITIONER, last, DETAILS, START + 30 days);
            _expectTooOften(START + (i + 1) * INTERVAL);
            _request(PRACTITIONER, PATIENT, DETAILS, START + 30 days);
        }
        // Rested, as if there had been no request before.
        VM.warp(START + (IN_A_ROW + PLACES) * INTERVAL);
        for (uint256 i = 0; i < IN_A_ROW; ++i) {
            _request(PRACTITIONER, _patientAt(100 + i / PLACES), DETAILS, START + 30 days);
        }
        _expectTooOften(block.timestamp + INTERVAL);
        _request(PRACTITIONER, PATIENT, DETAILS, START + 30 days);
    }

    /* REFERRALS */

    function testFuzz_AReferralIsARequestInASpecialistsName(bytes32 details, uint256 expiresAt) public {
        VM.assume(details != bytes32(0));
        expiresAt = bound(expiresAt, START + 1, type(uint48).max);
        _expectEvent();
        emit IAccessRequests.AccessRequested(1, OTHER_PRACTITIONER, PATIENT, details, uint48(expiresAt));
        _expectEvent();
        emit IAccessRequests.AccessReferred(1, PRACTITIONER);
        assert(_refer(PRACTITIONER, PATIENT, OTHER_PRACTITIONER, details, expiresAt) == 1);

        IAccessRequests.Request memory asked = requests.requestOf(1);
        assert(asked.requester == OTHER_PRACTITIONER && asked.patient == PATIENT && asked.details == details);
        assert(requests.referrerOf(1) == PRACTITIONER);
        _open(START + 1);
        assert(requests.referrerOf(2) == address(0));
    }

    function testFuzz_OnlyActivePractitionersReferAndAreReferredTo(address stranger) public {
        VM.assume(stranger != FORWARDER && stranger != PRACTITIONER && stranger != OTHER_PRACTITIONER);
        bytes4 refused = IAccessRequests.RequestNotActivePractitioner.selector;
        address[2] memory others = [stranger, PATIENT];
        for (uint256 i = 0; i < 2; ++i) {
            VM.expectRevert(abi.encodeWithSelector(refused, others[i]));
            _refer(others[i], PATIENT, PRACTITIONER, DETAILS, START + 1);
            VM.expectRevert(abi.encodeWithSelector(refused, others[i]));
            _refer(PRACTITIONER, PATIENT, others[i], DETAILS, START + 1);
        }
        identities.suspend(OTHER_PRACTITIONER);
        VM.expectRevert(abi.encodeWithSelector(refused, OTHER_PRACTITIONER));
        _refer(PRACTITIONER, PATIENT, OTHER_PRACTITIONER, DETAILS, START + 1);
        VM.expectRevert(abi.encodeWithSelector(refused, OTHER_PRACTITIONER));
        _refer(OTHER_PRACTITIONER, PATIENT, PRACTITIONER, DETAILS, START + 1);
        assert(requests.requestCount() == 0);
    }

    function test_NobodyRefersToThemselvesOrToWhoIsNoPatient() public {
        VM.expectRevert(abi.encodeWithSelector(IAccessRequests.RequestReferredToOneself.selector, PRACTITIONER));
        _refer(PRACTITIONER, PATIENT, PRACTITIONER, DETAILS, START + 1);
        VM.expectRevert(
            abi.encodeWithSelector(IAccessRequests.RequestUnknownPatient.selector, OTHER_PRACTITIONER)
        );
        _refer(PRACTITIONER, OTHER_PRACTITIONER, OTHER_PRACTITIONER, DETAILS, START + 1);
        VM.expectRevert(
            abi.encodeWithSelector(IAccessRequests.RequestInvalid.selector, bytes32(0), START + 1, START)
        );
        _refer(PRACTITIONER, PATIENT, OTHER_PRACTITIONER, bytes32(0), START + 1);
    }

    function testFuzz_AReferralTakesThePlacesOfWhoRefers(uint256 expiresAt) public {
        expiresAt = bound(expiresAt, START + LEAST_HELD, START + 30 days);
        for (uint256 i = 0; i < PLACES; ++i) {
            _refer(PRACTITIONER, PATIENT, OTHER_PRACTITIONER, DETAILS, expiresAt);
        }
        _expectTooManyOpen(expiresAt);
        _refer(PRACTITIONER, PATIENT, OTHER_PRACTITIONER, DETAILS, expiresAt);
        _expectTooManyOpen(expiresAt);
        _open(expiresAt);
        for (uint256 i = 0; i < PLACES; ++i) {
            _request(OTHER_PRACTITIONER, PATIENT, DETAILS, expiresAt);
        }
        callAs(PATIENT);
        requests.deny(1);
        _open(expiresAt);
    }

    function testFuzz_ThePatientAnswersAReferralAndBothPractitionersTakeItBack(address stranger, bool byReferrer) public {
        assumePerson(stranger);
        VM.assume(stranger != PRACTITIONER && stranger != OTHER_PRACTITIONER && stranger != PATIENT);
        uint256 id = _refer(PRACTITIONER, PATIENT, OTHER_PRACTITIONER, DETAILS, START + 1);
        address[3] memory callers = [stranger, PRACTITIONER, OTHER_PRACTITIONER];
        for (uint256 i = 0; i < 3; ++i) {
            callAs(callers[i]);
            _expectNotYours(id, callers[i]);
            requests.approve(id, bytes32(0));
            callAs(callers[i]);
            _expectNotYours(id, callers[i]);
            requests.deny(id);
        }
        callAs(stranger);
        _expectNotYours(id, stranger);
        requests.withdraw(id);
        callAs(PATIENT);
        _expectNotYours(id, PATIENT);
        requests.withdraw(id);
        callAs(byReferrer ? PRACTITIONER : OTHER_PRACTITIONER);
        requests.withdraw(id);
        _assertState(id, IAccessRequests.State.Withdrawn);
        id = _refer(PRACTITIONER, PATIENT, OTHER_PRACTITIONER, DETAILS, START + 1);
        callAs(PATIENT);
        requests.approve(id, bytes32(0));
        _assertState(id, IAccessRequests.State.Approved);
    }

    /* NO REQUEST */

    function testFuzz_AnUnknownRequestIsNobodys(uint256 id, address caller) public {
        assumePerson(caller);
        VM.assume(id != 1 && caller != address(0));
        _open(START + 1);
        _assertState(id, IAccessRequests.State.None);
        callAs(caller);
        _expectNotYours(id, caller);
        requests.approve(id, bytes32(0));
        callAs(caller);
        _expectNotYours(id, caller);
        requests.deny(id);
        callAs(caller);
        _expectNotYours(id, caller);
        requests.withdraw(id);
    }

    function testFuzz_AnUnknownRequestIsNotOpenEither(uint256 id) public {
        // What no transaction can do, for the zero account has no key.
        callAs(address(0));
        VM.expectRevert(abi.encodeWithSelector(IAccessRequests.RequestNotActivePatient.selector, address(0)));
        requests.approve(id, bytes32(0));
        callAs(address(0));
        _expectNotOpen(id, IAccessRequests.State.None);
        requests.deny(id);
        callAs(address(0));
        _expectNotOpen(id, IAccessRequests.State.None);
        requests.withdraw(id);
        _assertState(id, IAccessRequests.State.None);
    }

    /* INTERNAL */

    function _admit(address account, IIdentityRegistry.Role role) private {
        identities.register(account, role, bytes32(0), KEYS, address(0), "");
    }

    function _request(address requester, address patient, bytes32 details, uint256 expiresAt)
        private
        returns (uint256)
    {
        callAs(requester);
        return requests.request(patient, details, uint48(expiresAt));
    }

    function _refer(address referrer, address patient, address specialist, bytes32 details, uint256 expiresAt)
        private
        returns (uint256)
    {
        callAs(referrer);
        return requests.refer(patient, specialist, details, uint48(expiresAt));
    }

    function _open(uint256 expiresAt) private returns (uint256) {
        return _request(PRACTITIONER, PATIENT, DETAILS, expiresAt);
    }

    /// @dev By whoever may, were it open.
    function _answer(uint256 id, uint256 act) private {
        callAs(act == 2 ? PRACTITIONER : PATIENT);
        if (act == 0) requests.approve(id, bytes32(0));
        else if (act == 1) requests.deny(id);
        else requests.withdraw(id);
    }

    function _stateAfter(uint256 act) private pure returns (IAccessRequests.State) {
        return IAccessRequests.State(uint256(IAccessRequests.State.Approved) + act);
    }

    function _assertState(uint256 id, IAccessRequests.State state) private view {
        assert(requests.stateOf(id) == state && requests.requestOf(id).state == state);
    }

    function _expectEvent() private {
        RequestEvents(address(VM)).expectEmit(address(requests));
    }

    /// @dev Admitted when first named.
    function _patientAt(uint256 index) private returns (address patient) {
        patient = address(uint160(0xb0b000 + index));
        if (identities.identityOf(patient).registeredAt == 0) _admit(patient, IIdentityRegistry.Role.Patient);
    }

    function _expectTooManyOpen(uint256 freeAt) private {
        VM.expectRevert(abi.encodeWithSelector(IAccessRequests.RequestTooManyOpen.selector, PATIENT, freeAt));
    }

    function _expectTooOften(uint256 nextAt) private {
        VM.expectRevert(abi.encodeWithSelector(IAccessRequests.RequestTooOften.selector, PRACTITIONER, nextAt));
    }

    function _expectNotYours(uint256 id, address caller) private {
        VM.expectRevert(abi.encodeWithSelector(IAccessRequests.RequestNotYours.selector, id, caller));
    }

    function _expectNotOpen(uint256 id, IAccessRequests.State state) private {
        VM.expectRevert(abi.encodeWithSelector(IAccessRequests.RequestNotOpen.selector, id, state));
    }
}

/// @title Random histories of two practitioners and two patients
/// @notice Each act is tried; what it should come to is written down beside the contract, without its places.
contract RequestHandler is Base {
    uint256 public constant PEOPLE = 2;
    uint256 private constant START = 1_800_000_000;
    bytes32 private constant KEYS = "key block";

    struct Made {
        uint256 requester;
        uint256 patient;
        uint256 madeAt;
        uint256 expiresAt;
        IAccessRequests.State state;
    }

    AccessRequests public immutable REQUESTS;
    Made[] public made;
    uint256 public time = START;

    constructor() {
        VM.warp(START);
        IdentityRegistry identities = new IdentityRegistry(address(new AccessManager(address(this))), FORWARDER);
        REQUESTS = new AccessRequests(identities, FORWARDER);
        for (uint256 i = 0; i < PEOPLE; ++i) {
            identities.register(
                requesterAt(i), IIdentityRegistry.Role.Practitioner, bytes32(0), KEYS, address(0), ""
            );
            identities.register(patientAt(i), IIdentityRegistry.Role.Patient, bytes32(0), KEYS, address(0), "");
        }
    }

    function ask(uint256 requester, uint256 patient, uint256 term) external {
        (requester, patient, term) = (requester % PEOPLE, patient % PEOPLE, bound(term, 1, 5 days));
        VM.warp(time);
        uint256 held = 0;
        for (uint256 i = 0; i < made.length; ++i) {
            if (made[i].requester == requester && made[i].patient == patient && heldUntil(i) > time) ++held;
        }
        callAs(requesterAt(requester));
        try REQUESTS.request(patientAt(patient), "details", uint48(time + term)) returns (uint256 id) {
            require(held < 3, "a fourth request waits");
            require(id == made.length + 1, "IDs don't count up");
            made.push(Made(requester, patient, time, time + term, IAccessRequests.State.Open));
        } catch {
            require(held == 3, "a request was prevented");
        }
    }

    function answer(uint256 id, uint256 act) external {
        if (made.length == 0) return;
        (id, act) = (id % made.length, act % 3);
        VM.warp(time);
        bool may = made[id].state == IAccessRequests.State.Open && time < made[id].expiresAt;
        callAs(act == 2 ? requesterAt(made[id].requester) : patientAt(made[id].patient));
        bytes4 selector =
            act == 0 ? IAccessRequests.approve.selector : act == 1 ? IAccessRequests.deny.selector : IAccessRequests.withdraw.selector;
        (bool done,) = address(REQUESTS).call(abi.encodeWithSelector(selector, id + 1, bytes32(0)));
        require(done == may, "an answer against the rules");
        if (done) made[id].state = IAccessRequests.State(uint256(IAccessRequests.State.Approved) + act);
    }

    function wait(uint256 pause) external {
        time += bound(pause, 0, 2 days);
    }

    function heldUntil(uint256 id) public view returns (uint256) {
        Made memory one = made[id];
        if (one.state == IAccessRequests.State.Approved || one.state == IAccessRequests.State.Denied) return 0;
        uint256 least = one.madeAt + 1 days;
        return one.state == IAccessRequests.State.Open && one.expiresAt > least ? one.expiresAt : least;
    }

    function count() external view returns (uint256) {
        return made.length;
    }

    function requesterAt(uint256 index) public pure returns (address) {
        return address(uint160(0xd0c + index));
    }

    function patientAt(uint256 index) public pure returns (address) {
        return address(uint160(0xa11ce + index));
    }
}

contract AccessRequestsInvariants is Base {
    RequestHandler private _handler;

    function setUp() public {
        _handler = new RequestHandler();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    /// @notice Of one practitioner at one patient at most three requests are open, whatever was withdrawn and answered.
    function invariant_AtMostThreeRequestsOfOneWaitAtAnother() public {
        VM.warp(_handler.time());
        uint256[4] memory open;
        for (uint256 i = 0; i < _handler.count(); ++i) {
            (uint256 requester, uint256 patient,,,) = _handler.made(i);
            if (_handler.REQUESTS().stateOf(i + 1) == IAccessRequests.State.Open) ++open[requester * 2 + patient];
        }
        for (uint256 i = 0; i < 4; ++i) {
            assert(open[i] <= 3);
        }
        assert(_handler.REQUESTS().requestCount() == _handler.count());
    }

    /// @notice In any stretch of time one practitioner asks at most 100 times and once more for each ten minutes of it.
    function invariant_RequestsComeNoFasterThanTheirBound() public view {
        uint256 made = _handler.count();
        for (uint256 requester = 0; requester < _handler.PEOPLE(); ++requester) {
            uint256 first = 0;
            uint256 asked = 0;
            for (uint256 i = 0; i < made; ++i) {
                (uint256 who,, uint256 madeAt,,) = _handler.made(i);
                if (who != requester) continue;
                if (asked == 0) first = madeAt;
                ++asked;
                assert(asked <= 100 + (madeAt - first) / 10 minutes);
            }
        }
    }
}
