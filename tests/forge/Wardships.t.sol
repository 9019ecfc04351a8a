// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {IIdentityRegistry} from "../../contracts/interfaces/IIdentityRegistry.sol";
import {IWardships} from "../../contracts/interfaces/IWardships.sol";
import {IdentityRegistry} from "../../contracts/sidechain/IdentityRegistry.sol";
import {Wardships} from "../../contracts/sidechain/Wardships.sol";
import {Status} from "../../contracts/types/Status.sol";
import {GuardedPatient} from "./GuardedPatient.sol";

/// @notice One more cheat code: the event emitted next is the next one that `emitter` emits.
interface WardshipEvents {
    function expectEmit(address emitter) external;
}

/// @title Fuzz tests of Wardships
/// @notice Who proposes, accepts and attests, in what the carer acts until when, and what follows from the end.
contract WardshipsTest is GuardedPatient {
    uint256 private constant START = 1_800_000_000;
    uint256 private constant LONGEST = 25 * 365 days;
    uint64 private constant SUSPENDER = 1;
    bytes32 private constant KEYS = "key block";
    address private constant WARD = address(0xc41d);
    address private constant CARER = address(0xca4e);
    address private constant ACCOUNT = address(0xacc0);
    address private constant OTHER = address(0x07e4);
    address private constant OTHER_ACCOUNT = address(0xacc1);
    address private constant LATER = address(0x1a7e4);
    address private constant NURSE = address(0x4ea5);

    AccessManager private manager;
    IdentityRegistry private identities;
    Wardships private wardships;

    function setUp() public {
        VM.warp(START);
        manager = new AccessManager(address(this));
        identities = new IdentityRegistry(address(manager), FORWARDER);
        wardships = new Wardships(address(manager), identities, FORWARDER);
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = IIdentityRegistry.suspend.selector;
        manager.setTargetFunctionRole(address(identities), selectors, SUSPENDER);
        manager.grantRole(SUSPENDER, address(wardships), 0);
        manager.grantRole(SUSPENDER, address(this), 0);
        address[6] memory patients = [WARD, CARER, ACCOUNT, OTHER, OTHER_ACCOUNT, LATER];
        for (uint256 i = 0; i < 6; ++i) {
            identities.register(patients[i], IIdentityRegistry.Role.Patient, bytes32(0), KEYS, address(0), "");
        }
        identities.register(NURSE, IIdentityRegistry.Role.Practitioner, bytes32(0), KEYS, address(0), "");
    }

    /* BEGINNING */

    function testFuzz_AProposalStoresWhatWasProposed(uint32 categories, uint32 keeps, uint48 keepsFrom, uint256 endsAt)
        public
    {
        VM.assume(categories != 0);
        IWardships.Terms memory terms = _terms(bound(endsAt, START + 1, START + LONGEST));
        (terms.categories, terms.keeps, terms.keepsFrom) = (categories, keeps & categories, keepsFrom);
        WardshipEvents(address(VM)).expectEmit(address(wardships));
        emit IWardships.WardshipProposed(
            1, WARD, ACCOUNT, CARER, categories, keeps & categories, keepsFrom, terms.endsAt, "papers", "handover"
        );
        assert(_propose(ACCOUNT, terms) == 1);

        IWardships.Wardship memory made = wardships.wardshipOf(1);
        assert(keccak256(abi.encode(made.terms)) == keccak256(abi.encode(terms)));
        assert(made.account == ACCOUNT && !made.accepted && made.startedAt == 0 && made.endedAt == 0);
        assert(wardships.wardshipOfAccount(ACCOUNT) == 1 && wardships.wardshipCount() == 1);
        assert(wardships.currentOf(WARD) == 0 && wardships.categoriesOf(1) == 0);
    }

    function testFuzz_OnlyAfterBothSignedAndTheRegistrarAttestedItIsInForce(address stranger) public {
        VM.assume(stranger != CARER && stranger != ACCOUNT && stranger != address(this) && stranger != FORWARDER);
        uint256 id = _propose(ACCOUNT, _terms(START + 1 days));
        _assertState(id, IWardships.State.Proposed);
        _expectState(id, IWardships.State.Proposed);
        wardships.start(id);
        address[3] memory callers = [stranger, ACCOUNT, WARD];
        for (uint256 i = 0; i < 3; ++i) {
            VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipNotYours.selector, id, callers[i]));
            callAs(callers[i]);
            wardships.accept(id);
        }
        callAs(CARER);
        wardships.accept(id);
        _assertState(id, IWardships.State.Accepted);
        assert(wardships.categoriesOf(id) == 0);
        address[4] memory others = [stranger, CARER, ACCOUNT, WARD];
        for (uint256 i = 0; i < 4; ++i) {
            bytes4 refused = IAccessManaged.AccessManagedUnauthorized.selector;
            VM.expectRevert(abi.encodeWithSelector(refused, others[i]));
            callAs(others[i]);
            wardships.start(id);
            VM.expectRevert(abi.encodeWithSelector(refused, others[i]));
            callAs(others[i]);
            wardships.endByRegistrar(id);
        }
        wardships.start(id);
        _assertState(id, IWardships.State.InForce);
        assert(wardships.currentOf(WARD) == id);
        _expectState(id, IWardships.State.InForce);
        wardships.start(id);
        _expectState(id, IWardships.State.InForce);
        callAs(CARER);
        wardships.accept(id);
    }

    function testFuzz_WhatCanNotBeMeantIsNotProposed(uint256 late, uint32 more) public {
        IWardships.Terms memory terms = _terms(START);
        _expectInvalid(terms);
        terms.endsAt = uint48(bound(late, START + LONGEST + 1, type(uint48).max));
        _expectInvalid(terms);
        terms = _terms(START + 1);
        terms.categories = 0;
        _expectInvalid(terms);
        terms = _terms(START + 1);
        terms.papers = bytes32(0);
        _expectInvalid(terms);
        terms = _terms(START + 1);
        terms.handover = bytes32(0);
        _expectInvalid(terms);
        terms = _terms(START + 1);
        terms.keeps = more | 1 << 31;
        terms.categories &= ~uint32(1 << 31);
        _expectInvalid(terms);
        terms = _terms(START + LONGEST);
        assert(_propose(ACCOUNT, terms) == 1);
    }

    function test_WardCarerAndAccountAreThree() public {
        address[3][3] memory parties = [[ACCOUNT, CARER, ACCOUNT], [WARD, ACCOUNT, ACCOUNT], [CARER, CARER, ACCOUNT]];
        for (uint256 i = 0; i < 3; ++i) {
            IWardships.Terms memory terms = _terms(START + 1);
            (terms.ward, terms.carer) = (parties[i][0], parties[i][1]);
            _expectParties(terms.ward, terms.carer, ACCOUNT);
            _propose(ACCOUNT, terms);
        }
    }

    function test_AnAccountServesOneWardAndIsNobodysWardOrCarer() public {
        uint256 id = _inForce(START + 1 days);
        VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipAccountTaken.selector, ACCOUNT, id));
        _propose(ACCOUNT, _terms(START + 1 days));
        IWardships.Terms memory terms = _terms(START + 1 days);
        terms.ward = ACCOUNT;
        _expectParties(ACCOUNT, CARER, OTHER_ACCOUNT);
        _propose(OTHER_ACCOUNT, terms);
        terms = _terms(START + 1 days);
        terms.carer = ACCOUNT;
        _expectParties(WARD, ACCOUNT, OTHER_ACCOUNT);
        _propose(OTHER_ACCOUNT, terms);
        // Nor does somebody under care act through their own account for a third one.
        terms = _terms(START + 1 days);
        terms.ward = OTHER;
        _expectParties(OTHER, CARER, WARD);
        _propose(WARD, terms);
    }

    function test_WhatChangedMeanwhileIsAskedAgain() public {
        uint256 id = _accepted(ACCOUNT, _terms(START + 1 days));
        address[3] memory people = [WARD, ACCOUNT, CARER];
        for (uint256 i = 0; i < 3; ++i) {
            identities.suspend(people[i]);
            bytes4 refused =
                i == 2 ? IWardships.WardshipNotActiveCarer.selector : IWardships.WardshipNotActivePatient.selector;
            VM.expectRevert(abi.encodeWithSelector(refused, people[i]));
            wardships.start(id);
            identities.reinstate(people[i]);
        }
        // The ward became the account for another one.
        IWardships.Terms memory terms = _terms(START + 1 days);
        terms.ward = OTHER;
        _propose(WARD, terms);
        _expectParties(WARD, CARER, ACCOUNT);
        wardships.start(id);
        // Which keeps care off until the registrar ends that, and no longer.
        wardships.endByRegistrar(wardships.wardshipOfAccount(WARD));
        wardships.start(id);
        _assertState(id, IWardships.State.InForce);
    }

    function testFuzz_OnlyAdmittedPeopleTakePart(address stranger) public {
        VM.assume(uint160(stranger) > 0xffffffff && stranger != FORWARDER);
        IWardships.Terms memory terms = _terms(START + 1);
        VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipNotActivePatient.selector, stranger));
        _propose(stranger, terms);
        terms.ward = NURSE;
        VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipNotActivePatient.selector, NURSE));
        _propose(ACCOUNT, terms);
        (terms.ward, terms.carer) = (WARD, stranger);
        VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipNotActiveCarer.selector, stranger));
        _propose(ACCOUNT, terms);
        // A carer may be of any role.
        terms.carer = NURSE;
        assert(_propose(ACCOUNT, terms) == 1);
    }

    function test_AWardHasOneWardshipInForce() public {
        uint256 first = _inForce(START + 1 days);
        IWardships.Terms memory terms = _terms(START + 2 days);
        terms.carer = OTHER;
        uint256 second = _accepted(OTHER_ACCOUNT, terms);
        VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipWardTaken.selector, WARD, first));
        wardships.start(second);
        VM.warp(START + 1 days);
        wardships.start(second);
        assert(wardships.currentOf(WARD) == second);
        assert(wardships.categoriesOf(first) == 0 && wardships.categoriesOf(second) != 0);
    }

    /// @notice Also one whom guardians moved meanwhile, once or by way of others, and none is anybody's account then.
    function test_AWardWhoMovedHasOneWardshipInForce() public {
        uint256 first = _inForce(START + 10 days);
        _moved(identities, WARD, OTHER);
        IWardships.Terms memory terms = _terms(START + 20 days);
        VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipNotActivePatient.selector, WARD));
        _propose(OTHER_ACCOUNT, terms);
        terms.ward = OTHER;
        uint256 second = _accepted(OTHER_ACCOUNT, terms);
        assert(wardships.currentOf(OTHER) == first);
        VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipWardTaken.selector, OTHER, first));
        wardships.start(second);
        // Nor does whoever is under care act for another one by an account that came later.
        terms.ward = LATER;
        _expectParties(LATER, CARER, OTHER);
        _propose(OTHER, terms);
        VM.warp(START + 10 days);
        wardships.start(second);
        assert(wardships.currentOf(OTHER) == second && wardships.currentOf(WARD) == 0);
    }

    /// @notice A ward who is suspended, and the wardship that is in force for them, stay alone, too.
    function test_AWardWhoIsSuspendedGetsNoSecondWardship() public {
        uint256 first = _inForce(START + 10 days);
        IWardships.Terms memory terms = _terms(START + 20 days);
        terms.carer = OTHER;
        uint256 second = _accepted(OTHER_ACCOUNT, terms);
        identities.suspend(WARD);
        VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipWardTaken.selector, WARD, first));
        wardships.start(second);
        VM.warp(START + 10 days);
        VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipNotActivePatient.selector, WARD));
        wardships.start(second);
    }

    /* TIME */

    function testFuzz_TheCarerActsUntilTheSecondAndInNothingThatTheWardKeeps(
        uint32 categories,
        uint32 keeps,
        uint256 keepsFrom,
        uint256 endsAt
    ) public {
        VM.assume(categories != 0);
        IWardships.Terms memory terms = _terms(bound(endsAt, START + 2, START + LONGEST));
        terms.keepsFrom = uint48(bound(keepsFrom, START + 1, terms.endsAt - 1));
        (terms.categories, terms.keeps) = (categories, keeps & categories);
        uint256 id = _accepted(ACCOUNT, terms);
        wardships.start(id);
        VM.warp(terms.keepsFrom - 1);
        assert(wardships.categoriesOf(id) == categories);
        VM.warp(terms.keepsFrom);
        assert(wardships.categoriesOf(id) == categories & ~keeps);
        VM.warp(terms.endsAt - 1);
        assert(wardships.categoriesOf(id) == categories & ~keeps && wardships.currentOf(WARD) == id);
        VM.warp(terms.endsAt);
        assert(wardships.categoriesOf(id) == 0 && wardships.currentOf(WARD) == 0);
        _assertState(id, IWardships.State.Over);
    }

    function testFuzz_AProposalWhoseTimeIsOverIsAttestedByNobody(uint256 time) public {
        uint256 id = _accepted(ACCOUNT, _terms(START + 1 days));
        VM.warp(bound(time, START + 1 days, type(uint48).max));
        _expectState(id, IWardships.State.Over);
        wardships.start(id);
    }

    /* END */

    function testFuzz_CarerAccountAndRegistrarEndItAndNobodyElse(address stranger, uint256 who) public {
        VM.assume(stranger != CARER && stranger != ACCOUNT);
        uint256 id = _inForce(START + 1 days);
        address[2] memory others = [stranger, WARD];
        for (uint256 i = 0; i < 2; ++i) {
            VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipNotYours.selector, id, others[i]));
            callAs(others[i]);
            wardships.end(id);
        }
        who = bound(who, 0, 2);
        if (who == 2) {
            wardships.endByRegistrar(id);
        } else {
            callAs(who == 0 ? CARER : ACCOUNT);
            wardships.end(id);
        }
        _assertState(id, IWardships.State.Ended);
        assert(identities.identityOf(ACCOUNT).status == Status.Suspended);
        assert(identities.identityOf(CARER).status == Status.Active);
        assert(identities.identityOf(WARD).status == Status.Active);
        assert(wardships.currentOf(WARD) == 0 && wardships.categoriesOf(id) == 0);
        VM.warp(START + 2 days);
        _assertState(id, IWardships.State.Ended);
        _expectState(id, IWardships.State.Ended);
        wardships.conclude(id);
        _expectState(id, IWardships.State.Ended);
        wardships.endByRegistrar(id);
    }

    function testFuzz_AnybodyConcludesOneThatIsOver(address caller, uint256 time) public {
        assumePerson(caller);
        uint256 id = _inForce(START + 1 days);
        VM.warp(START + 1 days - 1);
        _expectState(id, IWardships.State.InForce);
        wardships.conclude(id);
        VM.warp(bound(time, START + 1 days, type(uint48).max));
        _expectState(id, IWardships.State.Over);
        wardships.endByRegistrar(id);
        callAs(caller);
        wardships.conclude(id);
        assert(identities.identityOf(ACCOUNT).status == Status.Suspended);
        // Once: what the registrar reinstates afterwards stays so.
        identities.reinstate(ACCOUNT);
        VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipNothingToConclude.selector, id));
        callAs(caller);
        wardships.conclude(id);
        assert(identities.identityOf(ACCOUNT).status == Status.Active && wardships.wardshipOf(id).concluded);
    }

    function testFuzz_WhatNeverBeganClosesNoAccount(address caller, bool accepted, bool lapses) public {
        assumePerson(caller);
        uint256 id = accepted ? _accepted(ACCOUNT, _terms(START + 1 days)) : _propose(ACCOUNT, _terms(START + 1 days));
        if (lapses) {
            VM.warp(START + 1 days);
            VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipNothingToConclude.selector, id));
            callAs(caller);
            wardships.conclude(id);
        } else {
            callAs(CARER);
            wardships.end(id);
            _assertState(id, IWardships.State.Ended);
        }
        assert(identities.identityOf(ACCOUNT).status == Status.Active);
    }

    function test_ACarerWhoMovedEndsByTheNewAccountOnly() public {
        uint256 id = _inForce(START + 10 days);
        _moved(identities, CARER, OTHER);
        VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipNotYours.selector, id, CARER));
        callAs(CARER);
        wardships.end(id);
        callAs(OTHER);
        wardships.end(id);
        _assertState(id, IWardships.State.Ended);
    }

    function testFuzz_AnUnknownWardshipIsNobodys(uint256 id, address caller) public {
        assumePerson(caller);
        VM.assume(id != 1 && caller != address(0));
        _inForce(START + 1 days);
        _assertState(id, IWardships.State.None);
        VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipNotYours.selector, id, caller));
        callAs(caller);
        wardships.accept(id);
        VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipNotYours.selector, id, caller));
        callAs(caller);
        wardships.end(id);
        _expectState(id, IWardships.State.None);
        wardships.start(id);
        _expectState(id, IWardships.State.None);
        wardships.endByRegistrar(id);
        _expectState(id, IWardships.State.None);
        wardships.conclude(id);
        // What no transaction can do, for the zero account has no key.
        _expectState(id, IWardships.State.None);
        callAs(address(0));
        wardships.end(id);
        _expectState(id, IWardships.State.None);
        callAs(address(0));
        wardships.accept(id);
    }

    /* INTERNAL */

    function _terms(uint256 endsAt) private pure returns (IWardships.Terms memory) {
        return IWardships.Terms({
            ward: WARD,
            endsAt: uint48(endsAt),
            carer: CARER,
            keepsFrom: 0,
            categories: 0x7fffff,
            keeps: 0,
            papers: "papers",
            handover: "handover"
        });
    }

    function _propose(address account, IWardships.Terms memory terms) private returns (uint256) {
        callAs(account);
        return wardships.propose(terms);
    }

    function _accepted(address account, IWardships.Terms memory terms) private returns (uint256 id) {
        id = _propose(account, terms);
        callAs(terms.carer);
        wardships.accept(id);
    }

    function _inForce(uint256 endsAt) private returns (uint256 id) {
        id = _accepted(ACCOUNT, _terms(endsAt));
        wardships.start(id);
    }

    function _assertState(uint256 id, IWardships.State state) private view {
        assert(wardships.stateOf(id) == state);
    }

    function _expectState(uint256 id, IWardships.State state) private {
        VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipUnexpectedState.selector, id, state));
    }

    function _expectParties(address ward, address carer, address account) private {
        VM.expectRevert(abi.encodeWithSelector(IWardships.WardshipInvalidParties.selector, ward, carer, account));
    }

    function _expectInvalid(IWardships.Terms memory terms) private {
        VM.expectRevert(
            abi.encodeWithSelector(
                IWardships.WardshipInvalid.selector,
                terms.endsAt,
                terms.keepsFrom,
                terms.categories,
                terms.keeps,
                block.timestamp
            )
        );
        _propose(ACCOUNT, terms);
    }
}
