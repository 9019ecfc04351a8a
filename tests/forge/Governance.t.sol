// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {Base} from "./Base.sol";
import {ActorsBase} from "./Actors.t.sol";
import {IActorRegistry} from "../../contracts/interfaces/IActorRegistry.sol";
import {ActorRegistry} from "../../contracts/mainchain/ActorRegistry.sol";

/// @title Delays, and the handover of the administration in two steps
/// @notice Set up as chain/plan.py does: the administrator acts after two days, and so do appointments.
contract GovernanceTest is ActorsBase {
    uint32 private constant DELAY = 2 days;
    address private constant ADMIN = address(0xAD);
    address private constant NEXT = address(0xAE);

    function setUp() public override {
        super.setUp();
        manager.setGrantDelay(REGISTRAR, DELAY);
        manager.grantRole(0, ADMIN, DELAY);
        manager.setGrantDelay(0, DELAY);
        manager.renounceRole(0, address(this));
        // A delay of appointments counts five days after it was set, AccessManager's own setback.
        VM.warp(block.timestamp + 5 days);
    }

    function announce(address admin, bytes memory call) internal {
        VM.prank(admin);
        manager.schedule(address(manager), call, 0);
    }

    function act(address admin, bytes memory call) internal {
        VM.prank(admin);
        manager.execute(address(manager), call);
    }

    function test_theDeployerHasNoPowerLeft() public {
        VM.expectRevert();
        manager.grantRole(REGISTRAR, address(this), 0);
    }

    function testFuzz_theAdministratorActsAfterTheDelayOnly(uint32 wait) public {
        bytes memory call = abi.encodeCall(IAccessManager.grantRole, (REGISTRAR, NEXT, 0));
        VM.prank(ADMIN);
        VM.expectRevert();
        manager.grantRole(REGISTRAR, NEXT, 0);
        announce(ADMIN, call);
        VM.warp(block.timestamp + bound(wait, 0, DELAY - 1));
        VM.prank(ADMIN);
        VM.expectRevert();
        manager.execute(address(manager), call);
    }

    function testFuzz_anAppointmentCountsAfterASecondDelay(uint32 wait) public {
        bytes memory call = abi.encodeCall(IAccessManager.grantRole, (REGISTRAR, NEXT, 0));
        announce(ADMIN, call);
        VM.warp(block.timestamp + DELAY);
        act(ADMIN, call);
        VM.warp(block.timestamp + bound(wait, 0, DELAY - 1));
        VM.prank(NEXT);
        VM.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, NEXT));
        actors.register(address(7), IActorRegistry.Role.Proxy, KEYS, "", address(0));
        VM.warp(block.timestamp + DELAY);
        VM.prank(NEXT);
        actors.register(address(7), IActorRegistry.Role.Proxy, KEYS, "", address(0));
    }

    function test_handoverTakesTheNewAdministratorsOwnAct() public {
        bytes memory appoint = abi.encodeCall(IAccessManager.grantRole, (0, NEXT, DELAY));
        announce(ADMIN, appoint);
        VM.warp(block.timestamp + DELAY);
        act(ADMIN, appoint);
        VM.warp(block.timestamp + DELAY);
        // The second step shows that the new account works; until then the old one can take the first back.
        bytes memory dismiss = abi.encodeCall(IAccessManager.revokeRole, (0, ADMIN));
        announce(NEXT, dismiss);
        VM.warp(block.timestamp + DELAY);
        act(NEXT, dismiss);
        (bool before,) = manager.hasRole(0, ADMIN);
        (bool now_, uint32 delay) = manager.hasRole(0, NEXT);
        assert(!before && now_ && delay == DELAY);
    }

    function test_anAppointmentCanBeTakenBackBeforeItCounts() public {
        bytes memory appoint = abi.encodeCall(IAccessManager.grantRole, (0, NEXT, DELAY));
        announce(ADMIN, appoint);
        VM.prank(ADMIN);
        manager.cancel(ADMIN, address(manager), appoint);
        VM.warp(block.timestamp + DELAY);
        VM.prank(ADMIN);
        VM.expectRevert();
        manager.execute(address(manager), appoint);
    }

    function test_theRegistrarIsNotTheAdministrator() public {
        bytes4[] memory functions = new bytes4[](1);
        functions[0] = IActorRegistry.register.selector;
        VM.expectRevert();
        manager.setTargetFunctionRole(address(actors), functions, type(uint64).max);
        VM.expectRevert();
        manager.updateAuthority(address(actors), address(this));
    }
}

/// @title A stranger who tries everything
contract StrangerHandler is Base {
    address public constant STRANGER = address(0xBAD);
    AccessManager private immutable _MANAGER;
    ActorRegistry private immutable _ACTORS;

    constructor(AccessManager manager, ActorRegistry actors) {
        _MANAGER = manager;
        _ACTORS = actors;
    }

    function grantRole(uint64 role, uint32 delay) external {
        _try(address(_MANAGER), abi.encodeCall(_MANAGER.grantRole, (role, STRANGER, delay)));
    }

    function openFunction(uint8 index) external {
        bytes4[3] memory all =
            [IActorRegistry.register.selector, IActorRegistry.suspend.selector, IActorRegistry.reinstate.selector];
        bytes4[] memory functions = new bytes4[](1);
        functions[0] = all[index % 3];
        _try(
            address(_MANAGER),
            abi.encodeCall(_MANAGER.setTargetFunctionRole, (address(_ACTORS), functions, type(uint64).max))
        );
    }

    function takeAuthority() external {
        _try(address(_MANAGER), abi.encodeCall(_MANAGER.updateAuthority, (address(_ACTORS), STRANGER)));
        _try(address(_ACTORS), abi.encodeWithSignature("setAuthority(address)", STRANGER));
    }

    function register(uint8 role, address account) external {
        IActorRegistry.Role wanted = IActorRegistry.Role(role % 5);
        _try(address(_ACTORS), abi.encodeCall(_ACTORS.register, (account, wanted, bytes32("key block"), "", address(0))));
        _try(address(_ACTORS.accessLog()), abi.encodeWithSignature("setAdmitted(address,bool)", STRANGER, true));
        _try(address(_ACTORS.recordLedger()), abi.encodeWithSignature("setAdmitted(address,bool)", STRANGER, true));
    }

    function raw(bytes4 selector, bytes32 a, bytes32 b, bool atManager) external {
        _try(atManager ? address(_MANAGER) : address(_ACTORS), abi.encodePacked(selector, a, b));
    }

    function schedule(uint64 role) external {
        bytes memory call = abi.encodeCall(_MANAGER.grantRole, (role, STRANGER, 0));
        _try(address(_MANAGER), abi.encodeCall(_MANAGER.schedule, (address(_MANAGER), call, 0)));
        VM.warp(block.timestamp + 7 days);
        _try(address(_MANAGER), abi.encodeCall(_MANAGER.execute, (address(_MANAGER), call)));
    }

    function _try(address target, bytes memory call) private {
        VM.prank(STRANGER);
        (bool done,) = target.call(call);
        done;
    }
}

contract GovernanceInvariants is ActorsBase {
    StrangerHandler private _handler;

    function setUp() public override {
        super.setUp();
        _handler = new StrangerHandler(manager, actors);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    /// @notice Roles can't be gained except through the manager's administrator.
    function invariant_aStrangerGainsNothing() public view {
        address stranger = _handler.STRANGER();
        for (uint64 role = 0; role < 4; ++role) {
            (bool member,) = manager.hasRole(role, stranger);
            assert(!member);
        }
        assert(actors.authority() == address(manager));
        assert(uint8(actors.actorOf(stranger).status) == 0);
        assert(!ledger.ledgerOf(stranger).admitted && !log.anchorOf(stranger).admitted);
    }
}
