// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {ICareGroups} from "../../contracts/interfaces/ICareGroups.sol";
import {IIdentityRegistry} from "../../contracts/interfaces/IIdentityRegistry.sol";
import {CareGroups} from "../../contracts/sidechain/CareGroups.sol";
import {IdentityRegistry} from "../../contracts/sidechain/IdentityRegistry.sol";
import {Base} from "./Base.sol";

/// @notice One more cheat code: the event emitted next is the next one that `emitter` emits.
interface GroupEvents {
    function expectEmit(address emitter) external;
}

/// @title What the tests of groups share: two hospitals' practitioners, a patient, and this contract as registrar
abstract contract GroupBase is Base {
    address internal constant HOSPITAL = address(0x405);
    address internal constant OTHER_HOSPITAL = address(0x4052);
    address internal constant PATIENT = address(0xa11ce);
    address internal constant MANAGER = address(0xd0c);
    address internal constant MEMBER = address(0xd0c2);
    address internal constant OTHER_MEMBER = address(0xd0c3);
    /// @dev Of the other hospital.
    address internal constant ELSEWHERE = address(0xd0c4);
    bytes32 internal constant SEALED = "sealed key";

    IdentityRegistry internal identities;
    CareGroups internal groups;

    function deployGroups() internal {
        address authority = address(new AccessManager(address(this)));
        identities = new IdentityRegistry(authority, FORWARDER);
        groups = new CareGroups(authority, identities, FORWARDER);
        admit(PATIENT, IIdentityRegistry.Role.Patient, address(0));
        admit(MANAGER, IIdentityRegistry.Role.Practitioner, HOSPITAL);
        admit(MEMBER, IIdentityRegistry.Role.Practitioner, HOSPITAL);
        admit(OTHER_MEMBER, IIdentityRegistry.Role.Practitioner, HOSPITAL);
        admit(ELSEWHERE, IIdentityRegistry.Role.Practitioner, OTHER_HOSPITAL);
    }

    function admit(address account, IIdentityRegistry.Role role, address organisation) internal {
        identities.register(account, role, bytes32(0), keysFrom(0), organisation, "");
    }

    function keysFrom(uint256 seed) internal pure returns (bytes32) {
        return keccak256(abi.encode(seed));
    }

    function create(address manager, uint256 seed) internal returns (address) {
        callAs(manager);
        return groups.create(keysFrom(seed));
    }
}

/// @title Fuzz tests of CareGroups
/// @notice Who creates, who lists whom, who may no more, and which error says no.
contract CareGroupsTest is GroupBase {
    /// @dev What `_manage` does.
    uint256 private constant ACTS = 5;
    /// @dev Open groups of one manager, and the slots of the contract that readers prove with.
    uint256 private constant MAX_GROUPS = 64;
    uint256 private constant GROUPS_SLOT = 1;
    uint256 private constant SEALED_KEYS_SLOT = 2;
    uint256 private constant ACCEPTED_SLOT = 3;

    function setUp() public {
        deployGroups();
    }

    /* CREATING */

    function testFuzz_AGroupStoresWhoCreatedIt(uint256 seed) public {
        address expected = _idOf(MANAGER, keysFrom(seed), block.chainid);
        _expectEvent();
        emit ICareGroups.GroupCreated(expected, MANAGER, HOSPITAL, keysFrom(seed));
        address group = create(MANAGER, seed);

        ICareGroups.Group memory found = groups.groupOf(group);
        assert(group == expected && found.manager == MANAGER && found.organisation == HOSPITAL && !found.closed);
        assert(found.generation == 0);
    }

    function testFuzz_AManagerIsNoMemberUnlessListed(uint256 seed) public {
        address group = create(MANAGER, seed);
        assert(!groups.isMember(group, MANAGER) && groups.sealedKeyOf(group, MANAGER) == bytes32(0));
        // Listing themselves is their assent.
        VM.warp(seed % type(uint32).max + 1);
        callAs(MANAGER);
        _expectEvent();
        emit ICareGroups.MemberAdded(group, MANAGER, SEALED);
        _expectEvent();
        emit ICareGroups.MemberAccepted(group, MANAGER);
        groups.addMember(group, MANAGER, SEALED);
        assert(groups.isMember(group, MANAGER) && groups.acceptedAtOf(group, MANAGER) == block.timestamp);
        VM.warp(block.timestamp + 1);
        callAs(MANAGER);
        groups.addMember(group, MANAGER, "new");
        assert(groups.acceptedAtOf(group, MANAGER) == block.timestamp - 1);
    }

    function testFuzz_OnlyActivePractitionersCreate(address stranger) public {
        VM.assume(!_isPractitioner(stranger));
        identities.suspend(MANAGER);
        address[3] memory callers = [stranger, PATIENT, MANAGER];
        for (uint256 i = 0; i < 3; ++i) {
            callAs(callers[i]);
            _expectNotActive(callers[i]);
            groups.create(keysFrom(1));
        }
    }

    function test_NoGroupIsCreatedWithoutKeys() public {
        callAs(MANAGER);
        VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupWithoutKeys.selector, MANAGER));
        groups.create(bytes32(0));
        assert(groups.managedBy(MANAGER) == 0);
    }

    function testFuzz_AGroupIsCreatedOnce(uint256 seed, bool handedOver, bool closed) public {
        address group = create(MANAGER, seed);
        if (handedOver) {
            _add(group, ELSEWHERE);
            callAs(MANAGER);
            groups.handOver(group, ELSEWHERE);
        }
        if (closed) groups.closeByRegistrar(group);
        callAs(MANAGER);
        VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupAlreadyCreated.selector, group));
        groups.create(keysFrom(seed));
    }

    function testFuzz_AnIdIsOfOneCreatorDigestAndChain(uint256 seed, uint256 other, uint64 chainId) public {
        VM.assume(seed != other && chainId != block.chainid && chainId != 0);
        address group = create(MANAGER, seed);
        assert(create(MANAGER, other) == _idOf(MANAGER, keysFrom(other), block.chainid));
        assert(create(ELSEWHERE, seed) == _idOf(ELSEWHERE, keysFrom(seed), block.chainid));
        assert(groups.groupOf(group).manager == MANAGER);
        VM.chainId(chainId);
        assert(create(MANAGER, seed) == _idOf(MANAGER, keysFrom(seed), chainId));
    }

    function testFuzz_APractitionerWithoutAHospitalCreatesToo(uint256 seed, address practitioner) public {
        VM.assume(practitioner != address(0) && practitioner != PATIENT && !_isPractitioner(practitioner));
        admit(practitioner, IIdentityRegistry.Role.Practitioner, address(0));
        assert(groups.groupOf(create(practitioner, seed)).organisation == address(0));
    }

    /* MEMBERS */

    function testFuzz_TheManagerListsAMember(uint256 seed, bytes32 sealedKey) public {
        VM.assume(sealedKey != bytes32(0));
        address group = create(MANAGER, seed);
        assert(!groups.isMember(group, MEMBER));
        callAs(MANAGER);
        _expectEvent();
        emit ICareGroups.MemberAdded(group, MEMBER, sealedKey);
        groups.addMember(group, MEMBER, sealedKey);
        assert(!groups.isMember(group, MEMBER) && groups.sealedKeyOf(group, MEMBER) == sealedKey);
        _accept(group, MEMBER);
        assert(groups.isMember(group, MEMBER) && groups.sealedKeyOf(group, MEMBER) == sealedKey);
        assert(!groups.isMember(group, OTHER_MEMBER) && groups.sealedKeyOf(group, OTHER_MEMBER) == bytes32(0));
    }

    function testFuzz_AddingAgainReplacesWhatIsSealed(bytes32 first, bytes32 second) public {
        VM.assume(first != bytes32(0) && second != bytes32(0));
        address group = create(MANAGER, 1);
        bytes32[2] memory sealedKeys = [first, second];
        for (uint256 i = 0; i < 2; ++i) {
            callAs(MANAGER);
            _expectEvent();
            emit ICareGroups.MemberAdded(group, MEMBER, sealedKeys[i]);
            groups.addMember(group, MEMBER, sealedKeys[i]);
            assert(groups.sealedKeyOf(group, MEMBER) == sealedKeys[i] && groups.isMember(group, MEMBER) == (i == 1));
            // Once is enough.
            if (i == 0) _accept(group, MEMBER);
        }
    }

    function testFuzz_AMemberOfAnyHospitalIsListed(address organisation, address person) public {
        VM.assume(person != address(0) && person != PATIENT && !_isPractitioner(person));
        admit(person, IIdentityRegistry.Role.Practitioner, organisation);
        address group = create(MANAGER, 1);
        _add(group, person);
        assert(groups.isMember(group, person));
    }

    function testFuzz_OnlyTheManagerLists(address stranger) public {
        VM.assume(stranger != MANAGER);
        address group = _groupWith(MEMBER);
        address[4] memory callers = [stranger, MEMBER, ELSEWHERE, address(this)];
        for (uint256 i = 0; i < 4; ++i) {
            callAs(callers[i]);
            _expectNotManager(group, callers[i]);
            groups.addMember(group, OTHER_MEMBER, SEALED);
        }
        assert(!groups.isMember(group, OTHER_MEMBER));
    }

    function testFuzz_OnlyActivePractitionersAreListed(address stranger) public {
        VM.assume(stranger != FORWARDER && !_isPractitioner(stranger));
        address group = create(MANAGER, 1);
        identities.suspend(MEMBER);
        address[3] memory people = [stranger, PATIENT, MEMBER];
        for (uint256 i = 0; i < 3; ++i) {
            callAs(MANAGER);
            _expectNotActive(people[i]);
            groups.addMember(group, people[i], SEALED);
            assert(!groups.isMember(group, people[i]));
        }
    }

    function test_NothingSealedIsNoMembership() public {
        address group = create(MANAGER, 1);
        callAs(MANAGER);
        VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupWithoutSealedKey.selector, group, MEMBER));
        groups.addMember(group, MEMBER, bytes32(0));
    }

    function testFuzz_TheManagerRemovesAndTheMemberLeaves(bool leaves) public {
        address group = _groupWith(MEMBER);
        _add(group, OTHER_MEMBER);
        callAs(leaves ? MEMBER : MANAGER);
        _expectEvent();
        emit ICareGroups.MemberRemoved(group, MEMBER);
        groups.removeMember(group, MEMBER);
        assert(!groups.isMember(group, MEMBER) && groups.sealedKeyOf(group, MEMBER) == bytes32(0));
        assert(groups.isMember(group, OTHER_MEMBER));
        _add(group, MEMBER);
        assert(groups.isMember(group, MEMBER));
    }

    function testFuzz_NobodyElseRemovesAMember(address stranger) public {
        VM.assume(stranger != MANAGER && stranger != MEMBER);
        address group = _groupWith(MEMBER);
        _add(group, OTHER_MEMBER);
        address[4] memory callers = [stranger, OTHER_MEMBER, ELSEWHERE, address(this)];
        for (uint256 i = 0; i < 4; ++i) {
            callAs(callers[i]);
            _expectNotManager(group, callers[i]);
            groups.removeMember(group, MEMBER);
        }
        assert(groups.isMember(group, MEMBER));
    }

    function testFuzz_WhoIsNotListedIsNotRemoved(address person) public {
        VM.assume(person != MEMBER);
        address group = _groupWith(MEMBER);
        address[2] memory callers = [MANAGER, person];
        for (uint256 i = 0; i < 2; ++i) {
            callAs(callers[i]);
            VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupNotListed.selector, group, person));
            groups.removeMember(group, person);
        }
    }

    function testFuzz_AMemberLeavesAlsoWhileSuspendedAndAClosedGroup(bool suspended, bool closed) public {
        address group = _groupWith(MEMBER);
        if (suspended) identities.suspend(MEMBER);
        if (closed) groups.closeByRegistrar(group);
        callAs(MEMBER);
        groups.removeMember(group, MEMBER);
        assert(groups.sealedKeyOf(group, MEMBER) == bytes32(0));
    }

    function test_WhoIsSuspendedDoesNotCountUntilReinstated() public {
        address group = _groupWith(MEMBER);
        identities.suspend(MEMBER);
        assert(!groups.isMember(group, MEMBER) && groups.sealedKeyOf(group, MEMBER) == SEALED);
        identities.reinstate(MEMBER);
        assert(groups.isMember(group, MEMBER));
    }

    function testFuzz_MembersOfOneGroupAreNotThoseOfAnother(uint256 seed, uint256 other) public {
        VM.assume(seed != other);
        (address first, address second) = (create(MANAGER, seed), create(MANAGER, other));
        _add(first, MEMBER);
        assert(groups.isMember(first, MEMBER) && !groups.isMember(second, MEMBER));
        callAs(MANAGER);
        groups.close(second);
        assert(groups.isMember(first, MEMBER) && !groups.groupOf(first).closed);
    }

    /* ASSENT */

    function testFuzz_NobodyIsAMemberBeforeTheyAccept(uint256 seed, uint32 time) public {
        VM.warp(uint256(time) + 1);
        address group = create(MANAGER, seed);
        _invite(group, MEMBER);
        assert(!groups.isMember(group, MEMBER) && groups.acceptedAtOf(group, MEMBER) == 0);
        callAs(MEMBER);
        _expectEvent();
        emit ICareGroups.MemberAccepted(group, MEMBER);
        groups.accept(group);
        assert(groups.isMember(group, MEMBER) && groups.acceptedAtOf(group, MEMBER) == uint256(time) + 1);
        assert(!groups.isMember(group, OTHER_MEMBER));
    }

    function testFuzz_OnlyWhoIsListedAccepts(address stranger) public {
        VM.assume(stranger != MEMBER);
        address group = create(MANAGER, 1);
        _invite(group, MEMBER);
        address[4] memory callers = [stranger, MANAGER, OTHER_MEMBER, address(this)];
        for (uint256 i = 0; i < 4; ++i) {
            callAs(callers[i]);
            VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupNotListed.selector, group, callers[i]));
            groups.accept(group);
            assert(groups.acceptedAtOf(group, callers[i]) == 0);
        }
        // Nobody's call accepts for another.
        assert(groups.acceptedAtOf(group, MEMBER) == 0 && !groups.isMember(group, MEMBER));
    }

    function test_NobodyAcceptsTwice() public {
        address group = _groupWith(MEMBER);
        callAs(MEMBER);
        VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupAlreadyAccepted.selector, group, MEMBER));
        groups.accept(group);
    }

    function testFuzz_NobodyAcceptsAClosedGroup(bool byRegistrar) public {
        address group = create(MANAGER, 1);
        _invite(group, MEMBER);
        callAs(byRegistrar ? address(this) : MANAGER);
        if (byRegistrar) groups.closeByRegistrar(group);
        else groups.close(group);
        callAs(MEMBER);
        VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupAlreadyClosed.selector, group));
        groups.accept(group);
    }

    function test_WhoIsSuspendedAcceptsOnceReinstated() public {
        address group = create(MANAGER, 1);
        _invite(group, MEMBER);
        identities.suspend(MEMBER);
        callAs(MEMBER);
        _expectNotActive(MEMBER);
        groups.accept(group);
        identities.reinstate(MEMBER);
        _accept(group, MEMBER);
        assert(groups.isMember(group, MEMBER));
    }

    function testFuzz_WhoIsInvitedDeclines(bool suspended) public {
        address group = create(MANAGER, 1);
        _invite(group, MEMBER);
        if (suspended) identities.suspend(MEMBER);
        callAs(MEMBER);
        _expectEvent();
        emit ICareGroups.MemberRemoved(group, MEMBER);
        groups.removeMember(group, MEMBER);
        assert(groups.sealedKeyOf(group, MEMBER) == bytes32(0));
        if (suspended) identities.reinstate(MEMBER);
        callAs(MEMBER);
        VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupNotListed.selector, group, MEMBER));
        groups.accept(group);
    }

    function testFuzz_WhoIsListedAgainAssentsAgain(bool leaves) public {
        address group = _groupWith(MEMBER);
        callAs(leaves ? MEMBER : MANAGER);
        groups.removeMember(group, MEMBER);
        assert(groups.acceptedAtOf(group, MEMBER) == 0);
        _invite(group, MEMBER);
        assert(!groups.isMember(group, MEMBER));
        _accept(group, MEMBER);
        assert(groups.isMember(group, MEMBER));
    }

    function testFuzz_AnAssentIsToOneGroup(uint256 seed, uint256 other) public {
        VM.assume(seed != other);
        (address first, address second) = (create(MANAGER, seed), create(MANAGER, other));
        _invite(first, MEMBER);
        _invite(second, MEMBER);
        _accept(first, MEMBER);
        assert(groups.isMember(first, MEMBER) && !groups.isMember(second, MEMBER));
    }

    function test_ARenewalAsksNobodyAgainAndAcceptsForNobody() public {
        address group = _groupWith(MEMBER);
        _invite(group, OTHER_MEMBER);
        address[] memory members = new address[](2);
        (members[0], members[1]) = (MEMBER, OTHER_MEMBER);
        bytes32[] memory sealedKeys = new bytes32[](2);
        (sealedKeys[0], sealedKeys[1]) = (bytes32("new"), bytes32("new"));
        callAs(MANAGER);
        groups.renew(group, 1, keysFrom(2), members, sealedKeys);
        assert(groups.isMember(group, MEMBER) && !groups.isMember(group, OTHER_MEMBER));
        assert(groups.sealedKeyOf(group, OTHER_MEMBER) == "new");
    }

    /// @notice Readers prove a membership by these slots (docs/security/contracts.md).
    function testFuzz_AMembershipLiesWhereReadersProveIt(uint256 seed, uint32 time) public {
        VM.warp(uint256(time) + 1);
        address group = create(MANAGER, seed);
        _add(group, MEMBER);
        bytes32 word = VM.load(address(groups), keccak256(abi.encode(group, GROUPS_SLOT)));
        assert(word == bytes32(uint256(uint160(MANAGER))));
        assert(_entry(SEALED_KEYS_SLOT, group, MEMBER) == SEALED);
        assert(uint256(_entry(ACCEPTED_SLOT, group, MEMBER)) == uint256(time) + 1);
        callAs(MEMBER);
        groups.removeMember(group, MEMBER);
        assert(_entry(SEALED_KEYS_SLOT, group, MEMBER) == 0 && _entry(ACCEPTED_SLOT, group, MEMBER) == 0);
        groups.closeByRegistrar(group);
        word = VM.load(address(groups), keccak256(abi.encode(group, GROUPS_SLOT)));
        // Closed is the byte above the manager.
        assert(word == bytes32(uint256(uint160(MANAGER)) | 1 << 160));
    }

    /* BOUNDS */

    function test_NobodyManagesMoreThan64OpenGroups() public {
        address first = create(MANAGER, 0);
        for (uint256 i = 1; i < MAX_GROUPS; ++i) {
            create(MANAGER, i);
        }
        assert(groups.managedBy(MANAGER) == MAX_GROUPS);
        callAs(MANAGER);
        _expectTooMany(MANAGER);
        groups.create(keysFrom(MAX_GROUPS));
        // Others aren't kept from it, but from handing theirs over to one who has enough.
        address theirs = create(ELSEWHERE, 0);
        callAs(ELSEWHERE);
        groups.addMember(theirs, MANAGER, SEALED);
        _accept(theirs, MANAGER);
        callAs(ELSEWHERE);
        _expectTooMany(MANAGER);
        groups.handOver(theirs, MANAGER);
        // To oneself is no more than before.
        _invite(first, MANAGER);
        callAs(MANAGER);
        groups.handOver(first, MANAGER);
        assert(groups.managedBy(MANAGER) == MAX_GROUPS && groups.managedBy(ELSEWHERE) == 1);
        callAs(MANAGER);
        groups.close(first);
        assert(groups.managedBy(MANAGER) == MAX_GROUPS - 1);
        callAs(ELSEWHERE);
        groups.handOver(theirs, MANAGER);
        assert(groups.managedBy(MANAGER) == MAX_GROUPS && groups.managedBy(ELSEWHERE) == 0);
        groups.closeByRegistrar(theirs);
        assert(groups.managedBy(MANAGER) == MAX_GROUPS - 1);
    }

    /* RENEWING */

    function testFuzz_TheManagerRenewsForThoseWhomHeNames(uint256 seed, bytes32 first, bytes32 second) public {
        VM.assume(first != bytes32(0) && second != bytes32(0));
        address group = _groupWith(MEMBER);
        _add(group, OTHER_MEMBER);
        _add(group, ELSEWHERE);
        address[] memory members = new address[](2);
        (members[0], members[1]) = (MEMBER, ELSEWHERE);
        bytes32[] memory sealedKeys = new bytes32[](2);
        (sealedKeys[0], sealedKeys[1]) = (first, second);
        callAs(MANAGER);
        _expectEvent();
        emit ICareGroups.GroupRenewed(group, 1, keysFrom(seed));
        _expectEvent();
        emit ICareGroups.MemberAdded(group, MEMBER, first);
        _expectEvent();
        emit ICareGroups.MemberAdded(group, ELSEWHERE, second);
        groups.renew(group, 1, keysFrom(seed), members, sealedKeys);

        assert(groups.groupOf(group).generation == 1);
        assert(groups.sealedKeyOf(group, MEMBER) == first && groups.sealedKeyOf(group, ELSEWHERE) == second);
        // A member who isn't named keeps what they had, and their place.
        assert(groups.sealedKeyOf(group, OTHER_MEMBER) == SEALED && groups.isMember(group, OTHER_MEMBER));
    }

    function testFuzz_ARenewalChangesNothingElse(uint256 seed, uint256 other) public {
        VM.assume(seed != other);
        (address group, address second) = (create(MANAGER, seed), create(MANAGER, other));
        _add(group, MEMBER);
        _add(second, MEMBER);
        callAs(MANAGER);
        _renew(group, 1, MEMBER, "new");
        ICareGroups.Group memory found = groups.groupOf(group);
        assert(found.manager == MANAGER && found.organisation == HOSPITAL && !found.closed);
        assert(groups.isMember(group, MEMBER) && !groups.isMember(group, MANAGER));
        assert(groups.groupOf(second).generation == 0 && groups.sealedKeyOf(second, MEMBER) == SEALED);
    }

    function testFuzz_NobodyNeedsToBeNamed(uint256 seed) public {
        address group = _groupWith(MEMBER);
        callAs(MANAGER);
        groups.renew(group, 1, keysFrom(seed), new address[](0), new bytes32[](0));
        assert(groups.groupOf(group).generation == 1 && groups.sealedKeyOf(group, MEMBER) == SEALED);
    }

    function testFuzz_GenerationsFollowEachOther(uint8 renewals, uint32 wrong) public {
        uint32 current = renewals % 5;
        VM.assume(wrong != current + 1);
        address group = _groupWith(MEMBER);
        for (uint32 next = 1; next <= current; ++next) {
            callAs(MANAGER);
            _renew(group, next, MEMBER, bytes32(uint256(next)));
        }
        uint32[3] memory generations = [wrong, current, current + 2];
        for (uint256 i = 0; i < 3; ++i) {
            callAs(MANAGER);
            VM.expectRevert(
                abi.encodeWithSelector(ICareGroups.GroupNotNextGeneration.selector, group, generations[i], current)
            );
            _renew(group, generations[i], MEMBER, SEALED);
        }
        assert(groups.groupOf(group).generation == current);
    }

    function test_AfterTheLastGenerationThereIsNoNext() public {
        address group = _groupWith(MEMBER);
        // The access manager's address is in slot 0.
        bytes32 slot = keccak256(abi.encode(group, uint256(1)));
        bytes32 word = VM.load(address(groups), slot);
        // Manager and closed are the low 21 bytes.
        VM.store(address(groups), slot, word | bytes32(uint256(type(uint32).max) << 168));
        assert(groups.groupOf(group).generation == type(uint32).max && groups.groupOf(group).manager == MANAGER);
        for (uint256 i = 0; i < 2; ++i) {
            callAs(MANAGER);
            // Panic of an overflow.
            VM.expectRevert(abi.encodeWithSelector(0x4e487b71, 0x11));
            _renew(group, i == 0 ? 0 : type(uint32).max, MEMBER, SEALED);
        }
    }

    function testFuzz_OnlyTheManagerRenews(address stranger) public {
        VM.assume(stranger != MANAGER);
        address group = _groupWith(MEMBER);
        address[4] memory callers = [stranger, MEMBER, ELSEWHERE, address(this)];
        for (uint256 i = 0; i < 4; ++i) {
            callAs(callers[i]);
            _expectNotManager(group, callers[i]);
            _renew(group, 1, MEMBER, "new");
        }
        assert(groups.groupOf(group).generation == 0 && groups.sealedKeyOf(group, MEMBER) == SEALED);
    }

    function testFuzz_NobodyIsListedByARenewal(address person) public {
        VM.assume(person != MEMBER);
        address group = _groupWith(MEMBER);
        address[] memory members = new address[](2);
        (members[0], members[1]) = (MEMBER, person);
        bytes32[] memory sealedKeys = new bytes32[](2);
        (sealedKeys[0], sealedKeys[1]) = (bytes32("new"), bytes32("new"));
        callAs(MANAGER);
        VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupNotListed.selector, group, person));
        groups.renew(group, 1, keysFrom(2), members, sealedKeys);
        // All or nothing.
        assert(groups.groupOf(group).generation == 0 && groups.sealedKeyOf(group, MEMBER) == SEALED);
        assert(groups.sealedKeyOf(group, person) == bytes32(0));
    }

    function test_WhoLeftIsNotNamedAgain() public {
        address group = _groupWith(MEMBER);
        callAs(MEMBER);
        groups.removeMember(group, MEMBER);
        callAs(MANAGER);
        VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupNotListed.selector, group, MEMBER));
        _renew(group, 1, MEMBER, "new");
    }

    function test_WhoIsSuspendedMayBeNamedAndStillDoesNotCount() public {
        address group = _groupWith(MEMBER);
        identities.suspend(MEMBER);
        callAs(MANAGER);
        _renew(group, 1, MEMBER, "new");
        assert(groups.sealedKeyOf(group, MEMBER) == "new" && !groups.isMember(group, MEMBER));
    }

    function test_NoGroupIsRenewedWithoutKeys() public {
        address group = _groupWith(MEMBER);
        callAs(MANAGER);
        VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupWithoutKeys.selector, MANAGER));
        groups.renew(group, 1, bytes32(0), new address[](0), new bytes32[](0));
        assert(groups.groupOf(group).generation == 0);
    }

    function testFuzz_EachNamedMemberHasOneSealedKey(uint8 members, uint8 sealedKeys) public {
        VM.assume(members != sealedKeys);
        address group = _groupWith(MEMBER);
        callAs(MANAGER);
        VM.expectRevert(
            abi.encodeWithSelector(ICareGroups.GroupRenewalLengths.selector, uint256(members), uint256(sealedKeys))
        );
        groups.renew(group, 1, keysFrom(2), new address[](members), new bytes32[](sealedKeys));
    }

    function test_NothingSealedIsNoRenewal() public {
        address group = _groupWith(MEMBER);
        callAs(MANAGER);
        VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupWithoutSealedKey.selector, group, MEMBER));
        _renew(group, 1, MEMBER, bytes32(0));
        assert(groups.groupOf(group).generation == 0 && groups.sealedKeyOf(group, MEMBER) == SEALED);
    }

    /* MANAGING */

    function testFuzz_AGroupIsHandedOver(uint256 seed) public {
        address group = create(MANAGER, seed);
        _add(group, MEMBER);
        _add(group, ELSEWHERE);
        callAs(MANAGER);
        _expectEvent();
        emit ICareGroups.GroupHandedOver(group, ELSEWHERE);
        groups.handOver(group, ELSEWHERE);

        ICareGroups.Group memory found = groups.groupOf(group);
        assert(found.manager == ELSEWHERE && found.organisation == HOSPITAL);
        assert(!found.closed && groups.isMember(group, MEMBER));
        callAs(MANAGER);
        _expectNotManager(group, MANAGER);
        groups.addMember(group, OTHER_MEMBER, SEALED);
        callAs(ELSEWHERE);
        groups.addMember(group, OTHER_MEMBER, SEALED);
        _accept(group, OTHER_MEMBER);
        assert(groups.isMember(group, OTHER_MEMBER));
        assert(groups.managedBy(MANAGER) == 0 && groups.managedBy(ELSEWHERE) == 1);
    }

    function testFuzz_OnlyWhoAcceptedTakesAGroupOver(uint256 seed) public {
        address group = create(MANAGER, seed);
        for (uint256 invited = 0; invited < 2; ++invited) {
            callAs(MANAGER);
            VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupNotAccepted.selector, group, ELSEWHERE));
            groups.handOver(group, ELSEWHERE);
            _invite(group, ELSEWHERE);
        }
        _accept(group, ELSEWHERE);
        callAs(ELSEWHERE);
        groups.removeMember(group, ELSEWHERE);
        callAs(MANAGER);
        VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupNotAccepted.selector, group, ELSEWHERE));
        groups.handOver(group, ELSEWHERE);
        assert(groups.groupOf(group).manager == MANAGER && groups.managedBy(ELSEWHERE) == 0);
    }

    function testFuzz_OnlyTheManagerHandsOver(address stranger) public {
        VM.assume(stranger != MANAGER);
        address group = _groupWith(MEMBER);
        address[4] memory callers = [stranger, MEMBER, ELSEWHERE, address(this)];
        for (uint256 i = 0; i < 4; ++i) {
            callAs(callers[i]);
            _expectNotManager(group, callers[i]);
            groups.handOver(group, MEMBER);
        }
        assert(groups.groupOf(group).manager == MANAGER);
    }

    function testFuzz_OnlyActivePractitionersTakeAGroupOver(address stranger) public {
        VM.assume(stranger != FORWARDER && !_isPractitioner(stranger));
        address group = create(MANAGER, 1);
        identities.suspend(ELSEWHERE);
        address[4] memory people = [stranger, PATIENT, ELSEWHERE, address(0)];
        for (uint256 i = 0; i < 4; ++i) {
            callAs(MANAGER);
            _expectNotActive(people[i]);
            groups.handOver(group, people[i]);
        }
        assert(groups.groupOf(group).manager == MANAGER);
    }

    function test_AManagerWhoIsSuspendedMayDoNothing() public {
        address group = _groupWith(MEMBER);
        _add(group, ELSEWHERE);
        _invite(group, MANAGER);
        identities.suspend(MANAGER);
        for (uint256 act = 0; act < ACTS; ++act) {
            callAs(MANAGER);
            _expectNotActive(MANAGER);
            _manage(group, act);
        }
        // What the manager did before stays.
        assert(groups.isMember(group, MEMBER));
        identities.reinstate(MANAGER);
        for (uint256 act = 0; act < ACTS; ++act) {
            callAs(MANAGER);
            _manage(group, act);
            if (act != 3) continue;
            callAs(ELSEWHERE);
            groups.handOver(group, MANAGER);
        }
    }

    function testFuzz_TheManagerClosesAGroup(uint256 seed) public {
        address group = create(MANAGER, seed);
        _add(group, MEMBER);
        callAs(MANAGER);
        _expectEvent();
        emit ICareGroups.GroupClosed(group);
        groups.close(group);
        _assertClosed(group);
    }

    function testFuzz_TheRegistrarClosesAGroup(uint256 seed, bool suspended) public {
        address group = create(MANAGER, seed);
        _add(group, MEMBER);
        if (suspended) identities.suspend(MANAGER);
        _expectEvent();
        emit ICareGroups.GroupClosed(group);
        groups.closeByRegistrar(group);
        _assertClosed(group);
    }

    function testFuzz_NobodyElseClosesAGroup(address stranger) public {
        VM.assume(stranger != MANAGER && stranger != address(this));
        address group = _groupWith(MEMBER);
        address[4] memory callers = [stranger, MEMBER, ELSEWHERE, PATIENT];
        for (uint256 i = 0; i < 4; ++i) {
            callAs(callers[i]);
            _expectNotManager(group, callers[i]);
            groups.close(group);
            callAs(callers[i]);
            VM.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, callers[i]));
            groups.closeByRegistrar(group);
        }
        callAs(MANAGER);
        VM.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, MANAGER));
        groups.closeByRegistrar(group);
        _expectNotManager(group, address(this));
        groups.close(group);
        assert(!groups.groupOf(group).closed && groups.isMember(group, MEMBER));
    }

    function testFuzz_AClosedGroupStaysAsItIs(bool byRegistrar, uint32 later) public {
        address group = _groupWith(MEMBER);
        callAs(byRegistrar ? address(this) : MANAGER);
        if (byRegistrar) groups.closeByRegistrar(group);
        else groups.close(group);
        VM.warp(block.timestamp + later);
        bytes memory problem = abi.encodeWithSelector(ICareGroups.GroupAlreadyClosed.selector, group);
        for (uint256 act = 0; act < ACTS; ++act) {
            callAs(MANAGER);
            VM.expectRevert(problem);
            _manage(group, act);
        }
        VM.expectRevert(problem);
        groups.closeByRegistrar(group);
        _assertClosed(group);
        assert(groups.groupOf(group).manager == MANAGER);
    }

    /* NO GROUP */

    function testFuzz_AnUnknownGroupIsNobodys(address group, address caller) public {
        assumePerson(caller);
        VM.assume(group != create(MANAGER, 1) && caller != address(0));
        for (uint256 act = 0; act < ACTS; ++act) {
            callAs(caller);
            _expectNotManager(group, caller);
            // Nobody leaves by removing somebody else.
            if (act == 2) groups.removeMember(group, address(uint160(caller) ^ 1));
            else _manage(group, act);
        }
        VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupUnknown.selector, group));
        groups.closeByRegistrar(group);
        ICareGroups.Group memory found = groups.groupOf(group);
        assert(found.manager == address(0) && !found.closed && found.organisation == address(0));
        assert(found.generation == 0);
        assert(!groups.isMember(group, caller) && groups.sealedKeyOf(group, caller) == bytes32(0));
    }

    function testFuzz_AnUnknownGroupIsNotTheZeroAccountsEither(address group) public {
        for (uint256 act = 0; act < ACTS; ++act) {
            // What no transaction can do, for the zero account has no key.
            callAs(address(0));
            _expectNotActive(address(0));
            _manage(group, act);
        }
    }

    /* INTERNAL */

    function _idOf(address creator, bytes32 keys, uint256 chainId) private view returns (address) {
        return address(bytes20(keccak256(abi.encode(chainId, address(groups), creator, keys)) << 96));
    }

    function _isPractitioner(address account) private pure returns (bool) {
        return account == MANAGER || account == MEMBER || account == OTHER_MEMBER || account == ELSEWHERE;
    }

    function _invite(address group, address member) private {
        callAs(MANAGER);
        groups.addMember(group, member, SEALED);
    }

    function _accept(address group, address member) private {
        callAs(member);
        groups.accept(group);
    }

    /// @dev Invited, and accepted.
    function _add(address group, address member) private {
        _invite(group, member);
        _accept(group, member);
    }

    function _groupWith(address member) private returns (address group) {
        group = create(MANAGER, 1);
        _add(group, member);
    }

    /// @dev What a manager does.
    function _manage(address group, uint256 act) private {
        if (act == 0) groups.addMember(group, OTHER_MEMBER, SEALED);
        else if (act == 1) _renew(group, 1, OTHER_MEMBER, "new");
        else if (act == 2) groups.removeMember(group, MEMBER);
        else if (act == 3) groups.handOver(group, ELSEWHERE);
        else groups.close(group);
    }

    /// @dev With one member; the pranked account calls.
    function _renew(address group, uint32 generation, address member, bytes32 sealedKey) private {
        address[] memory members = new address[](1);
        members[0] = member;
        bytes32[] memory sealedKeys = new bytes32[](1);
        sealedKeys[0] = sealedKey;
        groups.renew(group, generation, keysFrom(generation), members, sealedKeys);
    }

    function _assertClosed(address group) private view {
        assert(groups.groupOf(group).closed);
        assert(!groups.isMember(group, MEMBER) && !groups.isMember(group, MANAGER));
        // A member keeps what they had: the policies to the group end otherwise.
        assert(groups.sealedKeyOf(group, MEMBER) == SEALED);
    }

    function _expectEvent() private {
        GroupEvents(address(VM)).expectEmit(address(groups));
    }

    function _expectTooMany(address manager) private {
        VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupTooMany.selector, manager, MAX_GROUPS));
    }

    function _entry(uint256 slot, address group, address member) private view returns (bytes32) {
        return VM.load(address(groups), keccak256(abi.encode(member, keccak256(abi.encode(group, slot)))));
    }

    function _expectNotActive(address account) private {
        VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupNotActivePractitioner.selector, account));
    }

    function _expectNotManager(address group, address caller) private {
        VM.expectRevert(abi.encodeWithSelector(ICareGroups.GroupNotManager.selector, group, caller));
    }
}

/// @title Random histories of two groups and five people
/// @notice Each act is tried by anybody; what it should come to is written down beside the contract.
contract GroupHandler is GroupBase {
    uint256 public constant GROUPS = 2;
    uint256 public constant PEOPLE = 5;

    mapping(uint256 group => address) public managers;
    mapping(uint256 group => bool) public closed;
    mapping(uint256 group => uint32) public generations;
    mapping(uint256 group => mapping(address person => bytes32)) public listed;
    mapping(uint256 group => mapping(address person => bool)) public accepted;
    mapping(address person => bool) public suspended;
    mapping(uint256 group => address) public ids;

    constructor() {
        deployGroups();
        for (uint256 i = 0; i < GROUPS; ++i) {
            (managers[i], ids[i]) = (MANAGER, create(MANAGER, i));
        }
    }

    function add(uint256 group, uint256 caller, uint256 person, bytes32 sealedKey) external {
        (group, caller, person) = (group % GROUPS, caller % PEOPLE, person % PEOPLE);
        bool may = _manages(group, personAt(caller)) && _practises(personAt(person)) && sealedKey != bytes32(0);
        callAs(personAt(caller));
        try groups.addMember(ids[group], personAt(person), sealedKey) {
            require(may, "listed against the rules");
            listed[group][personAt(person)] = sealedKey;
            if (person == caller) accepted[group][personAt(person)] = true;
        } catch {
            require(!may, "a listing was prevented");
        }
    }

    /// @dev By the person, whoever else would like them to.
    function accept(uint256 group, uint256 person) external {
        (group, person) = (group % GROUPS, person % PEOPLE);
        address who = personAt(person);
        bool may = listed[group][who] != bytes32(0) && !accepted[group][who] && !closed[group] && _practises(who);
        callAs(who);
        try groups.accept(ids[group]) {
            require(may, "accepted against the rules");
            accepted[group][who] = true;
        } catch {
            require(!may, "an assent was prevented");
        }
    }

    function remove(uint256 group, uint256 caller, uint256 person) external {
        (group, caller, person) = (group % GROUPS, caller % PEOPLE, person % PEOPLE);
        bool may = caller == person || _manages(group, personAt(caller));
        may = may && listed[group][personAt(person)] != bytes32(0);
        callAs(personAt(caller));
        try groups.removeMember(ids[group], personAt(person)) {
            require(may, "removed against the rules");
            listed[group][personAt(person)] = bytes32(0);
            accepted[group][personAt(person)] = false;
        } catch {
            require(!may, "a removal was prevented");
        }
    }

    /// @dev A person and the next one, or the first alone; now and then for a generation that isn't the next one.
    function renew(uint256 group, uint256 caller, uint256 person, bytes32 sealedKey, uint8 kind) external {
        (group, caller, person) = (group % GROUPS, caller % PEOPLE, person % PEOPLE);
        uint32 generation = generations[group] + (kind % 8 == 7 ? 2 : 1);
        address[] memory members = new address[](kind % 2 + 1);
        bytes32[] memory sealedKeys = new bytes32[](members.length);
        bool may = _manages(group, personAt(caller)) && generation == generations[group] + 1;
        for (uint256 i = 0; i < members.length; ++i) {
            (members[i], sealedKeys[i]) = (personAt(person + i), sealedKey);
            may = may && sealedKey != bytes32(0) && listed[group][members[i]] != bytes32(0);
        }
        callAs(personAt(caller));
        try groups.renew(ids[group], generation, keysFrom(generation), members, sealedKeys) {
            require(may, "renewed against the rules");
            generations[group] = generation;
            for (uint256 i = 0; i < members.length; ++i) {
                listed[group][members[i]] = sealedKey;
            }
        } catch {
            require(!may, "a renewal was prevented");
        }
    }

    function handOver(uint256 group, uint256 caller, uint256 person) external {
        (group, caller, person) = (group % GROUPS, caller % PEOPLE, person % PEOPLE);
        bool may = _manages(group, personAt(caller)) && _practises(personAt(person));
        may = may && accepted[group][personAt(person)];
        callAs(personAt(caller));
        try groups.handOver(ids[group], personAt(person)) {
            require(may, "handed over against the rules");
            managers[group] = personAt(person);
        } catch {
            require(!may, "a handover was prevented");
        }
    }

    /// @dev Rarely, or there would be nothing left to try.
    function close(uint256 group, uint256 caller, uint8 rarely, bool asRegistrar) external {
        (group, caller) = (group % GROUPS, caller % PEOPLE);
        if (rarely % 16 != 0) return;
        bool may = asRegistrar ? !closed[group] : _manages(group, personAt(caller));
        if (asRegistrar) {
            try groups.closeByRegistrar(ids[group]) {
                require(may, "closed twice");
                closed[group] = true;
            } catch {
                require(!may, "the registrar was kept from closing");
            }
            return;
        }
        callAs(personAt(caller));
        try groups.close(ids[group]) {
            require(may, "closed against the rules");
            closed[group] = true;
        } catch {
            require(!may, "a closing was prevented");
        }
    }

    function turn(uint256 person) external {
        address who = personAt(person);
        suspended[who] = !suspended[who];
        if (suspended[who]) identities.suspend(who);
        else identities.reinstate(who);
    }

    function isMember(uint256 group, address person) external view returns (bool) {
        return groups.isMember(ids[group], person);
    }

    function groupOf(uint256 group) external view returns (ICareGroups.Group memory) {
        return groups.groupOf(ids[group]);
    }

    function sealedKeyOf(uint256 group, address person) external view returns (bytes32) {
        return groups.sealedKeyOf(ids[group], person);
    }

    function managedBy(address person) external view returns (uint256) {
        return groups.managedBy(person);
    }

    function acceptedAtOf(uint256 group, address person) external view returns (uint48) {
        return groups.acceptedAtOf(ids[group], person);
    }

    function personAt(uint256 index) public pure returns (address) {
        return [PATIENT, MANAGER, MEMBER, OTHER_MEMBER, ELSEWHERE][index % PEOPLE];
    }

    function _manages(uint256 group, address person) private view returns (bool) {
        return managers[group] == person && !closed[group] && _practises(person);
    }

    function _practises(address person) private view returns (bool) {
        return person != PATIENT && !suspended[person];
    }
}

contract CareGroupsInvariants is Base {
    GroupHandler private _handler;

    function setUp() public {
        _handler = new GroupHandler();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    /// @notice Members are those who are listed in an open group, accepted, and may practise; nobody else ever.
    function invariant_MembersAreListedAndActiveInAnOpenGroup() public view {
        for (uint256 group = 0; group < _handler.GROUPS(); ++group) {
            for (uint256 i = 0; i < _handler.PEOPLE(); ++i) {
                address person = _handler.personAt(i);
                bytes32 sealedKey = _handler.listed(group, person);
                assert(_handler.sealedKeyOf(group, person) == sealedKey);
                bool accepts = _handler.accepted(group, person);
                assert((_handler.acceptedAtOf(group, person) != 0) == accepts && (sealedKey != 0 || !accepts));
                bool counts = accepts && !_handler.closed(group) && !_handler.suspended(person);
                assert(_handler.isMember(group, person) == counts);
            }
        }
    }

    /// @notice A group has one manager, whom the manager before chose; what is closed stays so.
    function invariant_OnlyAManagerChoosesTheNextOne() public view {
        for (uint256 group = 0; group < _handler.GROUPS(); ++group) {
            assert(_handler.groupOf(group).manager == _handler.managers(group));
            assert(_handler.groupOf(group).closed == _handler.closed(group));
        }
    }

    /// @notice What is counted against a manager is the open groups that they manage.
    function invariant_OpenGroupsAreCounted() public view {
        for (uint256 i = 0; i < _handler.PEOPLE(); ++i) {
            address person = _handler.personAt(i);
            uint256 count = 0;
            for (uint256 group = 0; group < _handler.GROUPS(); ++group) {
                if (_handler.managers(group) == person && !_handler.closed(group)) ++count;
            }
            assert(_handler.managedBy(person) == count);
        }
    }

    /// @notice Each renewal by the manager is one generation, and nothing else is.
    function invariant_AGenerationIsOneRenewal() public view {
        for (uint256 group = 0; group < _handler.GROUPS(); ++group) {
            assert(_handler.groupOf(group).generation == _handler.generations(group));
        }
    }
}
