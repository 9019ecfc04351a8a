// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {IAccessRequests} from "../../contracts/interfaces/IAccessRequests.sol";
import {IIdentityRegistry} from "../../contracts/interfaces/IIdentityRegistry.sol";
import {AccessRequests} from "../../contracts/sidechain/AccessRequests.sol";
import {IdentityRegistry} from "../../contracts/sidechain/IdentityRegistry.sol";
import {Base} from "./Base.sol";

/// @notice One more cheat code: the event emitted next is the next one that `emitter` emits.
interface RequestEvents {
    function expectEmit(address emitter) external;
}

/// @title Fuzz tests of AccessRequests
/// @notice Who asks, who answers, until when, and which error says no.
contract AccessRequestsTest is Base {
    uint256 private constant START = 1_800_000_000;
    bytes private constant KEY = hex"020102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";
    address private constant PATIENT = address(0xa11ce);
    address private constant OTHER_PATIENT = address(0xa11ce2);
    address private constant PRACTITIONER = address(0xd0c);
    address private constant OTHER_PRACTITIONER = address(0xd0c2);
    bytes32 private constant DETAILS = "details";

    IdentityRegistry private identities;
    AccessRequests private requests;

    function setUp() public {
        VM.warp(START);
        identities = new IdentityRegistry(address(new AccessManager(address(this))));
        requests = new AccessRequests(identities);
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
            assert(_request(requester, PATIENT, details, START + i) == i && requests.requestCount() == i);
        }
        for (uint256 i = 1; i <= count; ++i) {
            assert(requests.requestOf(i).expiresAt == START + i);
        }
        assert(requests.requestOf(count + 1).requester == address(0));
    }

    function testFuzz_OnlyActivePractitionersAsk(address stranger) public {
        VM.assume(stranger != PRACTITIONER && stranger != OTHER_PRACTITIONER);
        identities.suspend(PRACTITIONER);
        address[3] memory callers = [stranger, PATIENT, PRACTITIONER];
        for (uint256 i = 0; i < 3; ++i) {
            VM.expectRevert(abi.encodeWithSelector(IAccessRequests.RequestNotActivePractitioner.selector, callers[i]));
            _request(callers[i], PATIENT, DETAILS, START + 1);
        }
        assert(requests.requestCount() == 0);
    }

    function testFuzz_OnlyActivePatientsAreAsked(address stranger) public {
        VM.assume(stranger != PATIENT && stranger != OTHER_PATIENT);
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
        VM.prank(PATIENT);
        _expectEvent();
        emit IAccessRequests.AccessApproved(id, outcome);
        requests.approve(id, outcome);
        _assertState(id, IAccessRequests.State.Approved);
    }

    function testFuzz_ThePatientDenies(uint256 expiresAt) public {
        uint256 id = _open(bound(expiresAt, START + 1, type(uint48).max));
        VM.prank(PATIENT);
        _expectEvent();
        emit IAccessRequests.AccessDenied(id);
        requests.deny(id);
        _assertState(id, IAccessRequests.State.Denied);
    }

    function testFuzz_TheRequesterWithdraws(uint256 expiresAt) public {
        uint256 id = _open(bound(expiresAt, START + 1, type(uint48).max));
        VM.prank(PRACTITIONER);
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
            VM.prank(callers[i]);
            _expectNotYours(id, callers[i]);
            requests.approve(id, bytes32(0));
            VM.prank(callers[i]);
            _expectNotYours(id, callers[i]);
            requests.deny(id);
        }
        _assertState(id, IAccessRequests.State.Open);
    }

    function testFuzz_OnlyTheRequesterWithdraws(address stranger) public {
        VM.assume(stranger != PRACTITIONER);
        uint256 id = _open(START + 1);
        address[3] memory callers = [stranger, PATIENT, OTHER_PRACTITIONER];
        for (uint256 i = 0; i < 3; ++i) {
            VM.prank(callers[i]);
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

    /* NO REQUEST */

    function testFuzz_AnUnknownRequestIsNobodys(uint256 id, address caller) public {
        VM.assume(id != 1 && caller != address(0));
        _open(START + 1);
        _assertState(id, IAccessRequests.State.None);
        VM.prank(caller);
        _expectNotYours(id, caller);
        requests.approve(id, bytes32(0));
        VM.prank(caller);
        _expectNotYours(id, caller);
        requests.deny(id);
        VM.prank(caller);
        _expectNotYours(id, caller);
        requests.withdraw(id);
    }

    function testFuzz_AnUnknownRequestIsNotOpenEither(uint256 id) public {
        // What no transaction can do, for the zero account has no key.
        VM.prank(address(0));
        _expectNotOpen(id, IAccessRequests.State.None);
        requests.approve(id, bytes32(0));
        VM.prank(address(0));
        _expectNotOpen(id, IAccessRequests.State.None);
        requests.withdraw(id);
        _assertState(id, IAccessRequests.State.None);
    }

    /* INTERNAL */

    function _admit(address account, IIdentityRegistry.Role role) private {
        identities.register(account, role, bytes32(0), KEY, KEY, address(0), "");
    }

    function _request(address requester, address patient, bytes32 details, uint256 expiresAt)
        private
        returns (uint256)
    {
        VM.prank(requester);
        return requests.request(patient, details, uint48(expiresAt));
    }

    function _open(uint256 expiresAt) private returns (uint256) {
        return _request(PRACTITIONER, PATIENT, DETAILS, expiresAt);
    }

    /// @dev By whoever may, were it open.
    function _answer(uint256 id, uint256 act) private {
        VM.prank(act == 2 ? PRACTITIONER : PATIENT);
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

    function _expectNotYours(uint256 id, address caller) private {
        VM.expectRevert(abi.encodeWithSelector(IAccessRequests.RequestNotYours.selector, id, caller));
    }

    function _expectNotOpen(uint256 id, IAccessRequests.State state) private {
        VM.expectRevert(abi.encodeWithSelector(IAccessRequests.RequestNotOpen.selector, id, state));
    }
}
