// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {Base} from "./Base.sol";
import {LogSigner} from "./LogSigner.sol";
import {Wallet} from "./Wallet.sol";
import {IAccessLog} from "../../contracts/interfaces/IAccessLog.sol";
import {IActorRegistry} from "../../contracts/interfaces/IActorRegistry.sol";
import {IRecordLedger} from "../../contracts/interfaces/IRecordLedger.sol";
import {ActorRegistry} from "../../contracts/mainchain/ActorRegistry.sol";
import {PolicyRegistry} from "../../contracts/mainchain/PolicyRegistry.sol";
import {Status} from "../../contracts/types/Status.sol";

/// @notice One more cheat code: the event emitted next is the next one that `emitter` emits.
interface ActorEvents {
    function expectEmit(address emitter) external;
}

/// @title What the actors' tests share; the test itself is the registrar
abstract contract ActorsBase is Base {
    bytes32 internal constant KEYS = "key block";
    uint64 internal constant REGISTRAR = 1;
    AccessManager internal manager;
    ActorRegistry internal actors;
    IRecordLedger internal ledger;
    IAccessLog internal log;

    function setUp() public virtual {
        manager = new AccessManager(address(this));
        actors = new ActorRegistry(address(manager), new PolicyRegistry());
        (ledger, log) = (actors.recordLedger(), actors.accessLog());
        bytes4[] memory functions = new bytes4[](3);
        functions[0] = IActorRegistry.register.selector;
        functions[1] = IActorRegistry.suspend.selector;
        functions[2] = IActorRegistry.reinstate.selector;
        manager.setTargetFunctionRole(address(actors), functions, REGISTRAR);
        manager.grantRole(REGISTRAR, address(this), 0);
        VM.warp(1_800_000_000);
    }

    function admit(address account, IActorRegistry.Role role) internal {
        actors.register(account, role, KEYS, "", address(0));
    }

    function expectEventOf(address emitter) internal {
        ActorEvents(address(VM)).expectEmit(emitter);
    }
}

/// @title ActorRegistry and RecordLedger, one call at a time
contract ActorsTest is ActorsBase {
    function testFuzz_registersOnceAndCommits(address account, uint8 role, bytes32 keys, address organisation) public {
        VM.assume(account != address(0));
        IActorRegistry.Role admitted = IActorRegistry.Role(bound(role, 1, 4));
        VM.assume(keys != bytes32(0));
        actors.register(account, admitted, keys, "https://example.org", organisation);

        IActorRegistry.Actor memory actor = actors.actorOf(account);
        assert(actor.role == admitted && actor.status == Status.Active);
        assert(actor.details == bytes30(keccak256(abi.encode(keys, organisation))));
        for (uint8 other = 0; other < 5; ++other) {
            assert(actors.isActive(account, IActorRegistry.Role(other)) == (other == uint8(admitted)));
        }
        VM.expectRevert(abi.encodeWithSelector(IActorRegistry.ActorAlreadyRegistered.selector, account));
        admit(account, IActorRegistry.Role.Hospital);
    }

    function testFuzz_eventsSayWhatBecameOfAnActor(address account, string calldata endpoint, address organisation)
        public
    {
        VM.assume(account != address(0));
        expectEventOf(address(actors));
        emit IActorRegistry.ActorRegistered(account, IActorRegistry.Role.Proxy, KEYS, endpoint, organisation);
        actors.register(account, IActorRegistry.Role.Proxy, KEYS, endpoint, organisation);
        expectEventOf(address(actors));
        emit IActorRegistry.ActorEndpointChanged(account, endpoint);
        VM.prank(account);
        actors.setEndpoint(endpoint);
        expectEventOf(address(actors));
        emit IActorRegistry.ActorSuspended(account);
        actors.suspend(account);
        expectEventOf(address(actors));
        emit IActorRegistry.ActorReinstated(account);
        actors.reinstate(account);
    }

    function testFuzz_rejectsWhoHasNoKeys(address account, uint8 role, address organisation) public {
        VM.assume(account != address(0));
        IActorRegistry.Role wanted = IActorRegistry.Role(bound(role, 1, 4));
        VM.expectRevert(abi.encodeWithSelector(IActorRegistry.ActorWithoutKeys.selector, account));
        actors.register(account, wanted, bytes32(0), "", organisation);
        assert(actors.actorOf(account).status == Status.Unknown);
    }

    function test_rejectsTheZeroAccountAndNoRole() public {
        VM.expectRevert(abi.encodeWithSelector(IActorRegistry.ActorInvalid.selector, address(0), 1));
        admit(address(0), IActorRegistry.Role.Hospital);
        VM.expectRevert(abi.encodeWithSelector(IActorRegistry.ActorInvalid.selector, address(1), 0));
        admit(address(1), IActorRegistry.Role.None);
    }

    function testFuzz_onlyTheRegistrarAdmitsAndSuspends(address stranger, address account) public {
        // Only the log convicts.
        VM.assume(stranger != address(this) && stranger != address(log) && account != address(0));
        admit(account, IActorRegistry.Role.Hospital);
        bytes memory problem = abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, stranger);
        VM.prank(stranger);
        VM.expectRevert(problem);
        actors.register(stranger, IActorRegistry.Role.Hospital, KEYS, "", address(0));
        VM.prank(stranger);
        VM.expectRevert(problem);
        actors.suspend(account);
        actors.suspend(account);
        VM.prank(stranger);
        VM.expectRevert(problem);
        actors.reinstate(account);
        VM.prank(stranger);
        VM.expectRevert(abi.encodeWithSelector(IActorRegistry.ActorNotAccessLog.selector, stranger));
        actors.convict(account);
    }

    function test_theRegistrarCanBeAMultisig() public {
        Wallet multisig = new Wallet(address(1), address(2));
        manager.grantRole(REGISTRAR, address(multisig), 0);
        bytes memory call =
            abi.encodeCall(actors.register, (address(7), IActorRegistry.Role.Proxy, KEYS, "", address(0)));
        multisig.execute(address(actors), call);
        assert(actors.isActive(address(7), IActorRegistry.Role.Proxy));
    }

    function testFuzz_statusOnlyMovesBetweenActiveAndSuspended(address account) public {
        VM.assume(account != address(0));
        bytes4 problem = IActorRegistry.ActorUnexpectedStatus.selector;
        VM.expectRevert(abi.encodeWithSelector(problem, account, Status.Unknown));
        actors.suspend(account);
        VM.expectRevert(abi.encodeWithSelector(problem, account, Status.Unknown));
        actors.reinstate(account);
        admit(account, IActorRegistry.Role.Hospital);
        VM.expectRevert(abi.encodeWithSelector(problem, account, Status.Active));
        actors.reinstate(account);
        actors.suspend(account);
        VM.expectRevert(abi.encodeWithSelector(problem, account, Status.Suspended));
        actors.suspend(account);
        VM.prank(account);
        VM.expectRevert(abi.encodeWithSelector(problem, account, Status.Suspended));
        actors.setEndpoint("https://elsewhere.example");
        actors.reinstate(account);
        VM.prank(account);
        actors.setEndpoint("https://elsewhere.example");
        assert(actors.isActive(account, IActorRegistry.Role.Hospital));
    }

    function testFuzz_keysFoldIntoOneCommitment(bytes32 first, bytes32 second, uint48 ends, uint32 later) public {
        VM.assume(first != bytes32(0) && second != bytes32(0));
        address account = address(7);
        actors.register(account, IActorRegistry.Role.Hospital, KEYS, "", address(9));
        bytes30 details = bytes30(keccak256(abi.encode(KEYS, address(9))));
        for (uint256 i = 0; i < 2; ++i) {
            bytes32 digest = i == 0 ? first : second;
            uint48 end = uint48(bound(ends, block.timestamp - 180 days, block.timestamp + 30 days));
            expectEventOf(address(actors));
            emit IActorRegistry.ActorKeysChanged(account, digest, uint48(block.timestamp), end);
            VM.prank(account);
            actors.changeKeys(details, digest, end);
            details = bytes30(keccak256(abi.encode(details, digest, uint48(block.timestamp), end)));
            IActorRegistry.Actor memory actor = actors.actorOf(account);
            // Role and status stay, and so does who may store.
            assert(actor.details == details && actors.isActive(account, IActorRegistry.Role.Hospital));
            assert(ledger.ledgerOf(account).admitted);
            VM.warp(block.timestamp + later);
        }
    }

    function testFuzz_aChangeOfKeysCountsOnce(bytes32 keys, bytes30 other) public {
        VM.assume(keys != bytes32(0));
        address account = address(7);
        admit(account, IActorRegistry.Role.Proxy);
        bytes30 details = actors.actorOf(account).details;
        VM.assume(other != details);
        bytes4 problem = IActorRegistry.ActorKeysChangedMeanwhile.selector;
        VM.prank(account);
        VM.expectRevert(abi.encodeWithSelector(problem, account, other, details));
        actors.changeKeys(other, keys, 0);
        VM.prank(account);
        actors.changeKeys(details, keys, uint48(block.timestamp));
        bytes30 changed = actors.actorOf(account).details;
        VM.prank(account);
        VM.expectRevert(abi.encodeWithSelector(problem, account, details, changed));
        actors.changeKeys(details, KEYS, 0);
    }

    function testFuzz_onlyTheActorChangesKeysWhileActive(address stranger, bytes32 keys) public {
        address account = address(7);
        VM.assume(stranger != account && keys != bytes32(0));
        admit(account, IActorRegistry.Role.Researcher);
        bytes30 details = actors.actorOf(account).details;
        bytes4 problem = IActorRegistry.ActorUnexpectedStatus.selector;
        VM.prank(stranger);
        VM.expectRevert(abi.encodeWithSelector(problem, stranger, Status.Unknown));
        actors.changeKeys(details, keys, 0);
        actors.suspend(account);
        VM.prank(account);
        VM.expectRevert(abi.encodeWithSelector(problem, account, Status.Suspended));
        actors.changeKeys(details, keys, 0);
        assert(actors.actorOf(account).details == details);
    }

    function testFuzz_keysOverlapForThirtyDaysAtMostAndAreNeverNone(uint48 beyond) public {
        address account = address(7);
        admit(account, IActorRegistry.Role.Hospital);
        bytes30 details = actors.actorOf(account).details;
        uint48 end = uint48(bound(beyond, block.timestamp + 30 days + 1, type(uint48).max));
        VM.prank(account);
        VM.expectRevert(
            abi.encodeWithSelector(IActorRegistry.ActorKeysEndTooLate.selector, account, end, block.timestamp)
        );
        actors.changeKeys(details, KEYS, end);
        VM.prank(account);
        VM.expectRevert(abi.encodeWithSelector(IActorRegistry.ActorWithoutKeys.selector, account));
        actors.changeKeys(details, bytes32(0), 0);
    }

    function testFuzz_keysEndAtMost180DaysAgo(uint48 early) public {
        address account = address(7);
        admit(account, IActorRegistry.Role.Hospital);
        bytes30 details = actors.actorOf(account).details;
        uint256 first = block.timestamp - 180 days;
        uint48 end = uint48(bound(early, 0, first - 1));
        VM.prank(account);
        VM.expectRevert(
            abi.encodeWithSelector(IActorRegistry.ActorKeysEndTooEarly.selector, account, end, block.timestamp)
        );
        actors.changeKeys(details, KEYS, end);
        VM.prank(account);
        actors.changeKeys(details, KEYS, uint48(first));
        assert(actors.actorOf(account).details != details);
    }

    function testFuzz_onlyTheRegistryOpensLedgerAndLog(address stranger, address account, bool admitted) public {
        VM.assume(stranger != address(actors));
        VM.prank(stranger);
        VM.expectRevert(abi.encodeWithSelector(IRecordLedger.LedgerNotRegistry.selector, stranger));
        ledger.setAdmitted(account, admitted);
        VM.prank(stranger);
        VM.expectRevert(abi.encodeWithSelector(IAccessLog.LogNotRegistry.selector, stranger));
        log.setAdmitted(account, admitted);
    }

    function testFuzz_storesWhileAdmitted(address hospital, bytes32 manifest, uint32 count) public {
        VM.assume(hospital != address(0) && manifest != 0 && count != 0);
        bytes memory closed = abi.encodeWithSelector(IRecordLedger.LedgerNotActiveHospital.selector, hospital);
        VM.prank(hospital);
        VM.expectRevert(closed);
        ledger.store(manifest, count);
        admit(hospital, IActorRegistry.Role.Hospital);
        bytes32 first = keccak256(abi.encode(block.chainid, address(ledger), hospital));
        assert(ledger.ledgerOf(hospital).head == first && ledger.ledgerOf(hospital).sequence == 0);
        VM.prank(hospital);
        ledger.store(manifest, count);
        bytes32 second = keccak256(abi.encode(first, manifest, count));
        actors.suspend(hospital);
        VM.prank(hospital);
        VM.expectRevert(closed);
        ledger.store(manifest, count);
        actors.reinstate(hospital);
        IRecordLedger.Ledger memory known = ledger.ledgerOf(hospital);
        assert(known.admitted && known.sequence == 1 && known.head == second);
    }

    function testFuzz_eventsSayWhatWasStored(address hospital, bytes32 manifest, uint32 count) public {
        VM.assume(hospital != address(0) && manifest != 0 && count != 0);
        admit(hospital, IActorRegistry.Role.Hospital);
        for (uint64 sequence = 1; sequence < 4; ++sequence) {
            bytes32 previous = ledger.ledgerOf(hospital).head;
            expectEventOf(address(ledger));
            emit IRecordLedger.RecordsStored(hospital, sequence, manifest, count, previous);
            VM.prank(hospital);
            ledger.store(manifest, count);
        }
    }

    function testFuzz_rejectsAnEmptyBatch(bytes32 manifest, uint32 count) public {
        admit(address(7), IActorRegistry.Role.Hospital);
        VM.prank(address(7));
        VM.expectRevert(abi.encodeWithSelector(IRecordLedger.LedgerEmptyBatch.selector, manifest, 0));
        ledger.store(manifest, 0);
        VM.prank(address(7));
        VM.expectRevert(abi.encodeWithSelector(IRecordLedger.LedgerEmptyBatch.selector, 0, count));
        ledger.store(0, count);
    }
}

/// @title Random histories of actors, batches and anchors
contract ActorsHandler is LogSigner {
    uint256 public constant ACCOUNTS = 5;
    ActorRegistry private immutable _ACTORS;
    mapping(address hospital => bytes32) public folded;
    mapping(address account => uint64) public stored;
    mapping(address account => uint64) public anchored;

    constructor(ActorRegistry actors) {
        _ACTORS = actors;
    }

    function register(uint256 who, uint8 role) external {
        IActorRegistry.Role wanted = IActorRegistry.Role(bound(role, 1, 3));
        try _ACTORS.register(accountAt(who), wanted, "key block", "", address(0)) {
            IRecordLedger ledger = _ACTORS.recordLedger();
            folded[accountAt(who)] = ledger.ledgerOf(accountAt(who)).head;
        } catch {}
    }

    function suspend(uint256 who) external {
        try _ACTORS.suspend(accountAt(who)) {} catch {}
    }

    function reinstate(uint256 who) external {
        try _ACTORS.reinstate(accountAt(who)) {} catch {}
    }

    function store(uint256 who, bytes32 manifest, uint32 count) external {
        address hospital = accountAt(who);
        bool may = _ACTORS.isActive(hospital, IActorRegistry.Role.Hospital) && manifest != 0 && count != 0;
        IRecordLedger ledger = _ACTORS.recordLedger();
        VM.prank(hospital);
        try ledger.store(manifest, count) {
            require(may, "stored without being active");
            folded[hospital] = keccak256(abi.encode(folded[hospital], manifest, count));
            ++stored[hospital];
        } catch {
            require(!may, "an active hospital couldn't store");
        }
    }

    function anchor(uint256 who, uint64 sequence, bytes32 head) external {
        address proxy = accountAt(who);
        bool may = _ACTORS.isActive(proxy, IActorRegistry.Role.Proxy) && sequence > anchored[proxy] && head != 0;
        IAccessLog log = _ACTORS.accessLog();
        try log.anchor(proxy, sequence, head, compactHead(keyAt(who), address(log), sequence, head)) {
            require(may, "anchored without being active, or backwards");
            anchored[proxy] = sequence;
        } catch {
            require(!may, "an active proxy couldn't anchor");
        }
    }

    function accountAt(uint256 index) public pure returns (address) {
        return VM.addr(keyAt(index));
    }

    function keyAt(uint256 index) private pure returns (uint256) {
        return 0xACC0 + index % ACCOUNTS;
    }
}

contract ActorsInvariants is ActorsBase {
    ActorsHandler private _handler;

    function setUp() public override {
        super.setUp();
        _handler = new ActorsHandler(actors);
        manager.grantRole(REGISTRAR, address(_handler), 0);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    /// @notice Heads only grow, and equal the fold of what was stored.
    function invariant_headsAreTheFoldOfTheEvents() public view {
        for (uint256 i = 0; i < _handler.ACCOUNTS(); ++i) {
            address account = _handler.accountAt(i);
            IRecordLedger.Ledger memory known = ledger.ledgerOf(account);
            assert(known.sequence == _handler.stored(account) && known.head == _handler.folded(account));
            assert(log.anchorOf(account).sequence == _handler.anchored(account));
        }
    }

    /// @notice Ledger and log let in exactly whom the registry calls active.
    function invariant_admissionIsTheRegistrysStatus() public view {
        for (uint256 i = 0; i < _handler.ACCOUNTS(); ++i) {
            address account = _handler.accountAt(i);
            bool hospital = actors.isActive(account, IActorRegistry.Role.Hospital);
            bool proxy = actors.isActive(account, IActorRegistry.Role.Proxy);
            assert(ledger.ledgerOf(account).admitted == hospital && log.anchorOf(account).admitted == proxy);
        }
    }
}
