// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Base} from "./Base.sol";
import {Wallet} from "./Wallet.sol";
import {IPolicyRegistry} from "../../contracts/interfaces/IPolicyRegistry.sol";
import {CompactSignature} from "../../contracts/libraries/Signatures.sol";
import {PolicyRegistry} from "../../contracts/mainchain/PolicyRegistry.sol";
import {Disclosure} from "../../contracts/types/Disclosure.sol";
import {PolicyId, PolicyStatus} from "../../contracts/types/PolicyId.sol";
import {PolicyWindow} from "../../contracts/types/PolicyWindow.sol";

/// @notice More cheat codes: the event emitted next is the next one that `emitter` emits; all logs from now on.
interface PolicyEvents {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function expectEmit(address emitter) external;
    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory);
}

/// @title What policies' tests share: signing as EIP-712 says, written down a second time
abstract contract PolicyBase is Base {
    PolicyRegistry internal registry;

    function deployRegistry() internal {
        registry = new PolicyRegistry();
        VM.warp(1_800_000_000);
    }

    function policyOf(address owner) internal view returns (IPolicyRegistry.Grant memory) {
        uint48 time = uint48(block.timestamp);
        return IPolicyRegistry.Grant({
            owner: owner,
            window: windowOf(time - 10, time + 1000, time + 100, 0x5a),
            terms: keccak256("terms"),
            announcement: keccak256("announcement"),
            disclosure: Disclosure.wrap(0)
        });
    }

    /// @dev As docs/spec/formats.md numbers the bits, and by another way than the contract's.
    function windowOf(uint48 startsAt, uint48 expiresAt, uint48 deadline, uint8 viewTag)
        internal
        pure
        returns (PolicyWindow)
    {
        return PolicyWindow.wrap(uint152(bytes19(abi.encodePacked(viewTag, deadline, expiresAt, startsAt))));
    }

    function setTimes(IPolicyRegistry.Grant memory policy, uint48 startsAt, uint48 expiresAt) internal pure {
        policy.window = windowOf(startsAt, expiresAt, policy.window.deadline(), tagOf(policy.window));
    }

    /// @dev The registry never reads it, so there is no accessor.
    function tagOf(PolicyWindow window) internal pure returns (uint8) {
        return uint8(PolicyWindow.unwrap(window) >> 144);
    }

    function grantDigest(IPolicyRegistry.Grant memory policy) internal view returns (bytes32) {
        return grantDigest(policy, block.chainid, address(registry));
    }

    function grantDigest(IPolicyRegistry.Grant memory policy, uint256 chainId, address verifier)
        internal
        pure
        returns (bytes32)
    {
        bytes32 typeHash = keccak256(
            "Grant(address owner,uint256 window,bytes32 terms,bytes32 announcement,uint256 disclosure)"
        );
        bytes memory fields = abi.encode(policy.owner, policy.window, policy.terms);
        bytes memory rest = abi.encode(policy.announcement, policy.disclosure);
        return typed(keccak256(bytes.concat(typeHash, fields, rest)), chainId, verifier);
    }

    function revokeDigest(address owner) internal view returns (bytes32) {
        return typed(keccak256(abi.encode(keccak256("Revoke(address owner)"), owner)), block.chainid, address(registry));
    }

    function typed(bytes32 structHash, uint256 chainId, address verifier) internal pure returns (bytes32) {
        bytes32 typeHash =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 domain = keccak256(
            abi.encode(typeHash, keccak256("PanaChain PolicyRegistry"), keccak256("1"), chainId, verifier)
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = VM.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function compact(uint256 key, bytes32 digest) internal pure returns (CompactSignature memory) {
        (uint8 v, bytes32 r, bytes32 s) = VM.sign(key, digest);
        return CompactSignature(r, bytes32(uint256(v - 27) << 255 | uint256(s)));
    }

    function statusOf(address owner) internal view returns (PolicyStatus) {
        return registry.statusOf(PolicyId.wrap(owner));
    }

    function invalidSignature(address owner) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IPolicyRegistry.PolicyInvalidSignature.selector, owner);
    }
}

/// @title PolicyRegistry, one call at a time
contract PolicyRegistryTest is PolicyBase {
    function setUp() public {
        deployRegistry();
    }

    function testFuzz_grantsWhatTheOwnerSigned(
        uint256 seed,
        address relayer,
        bytes32 terms,
        bytes32 announcement,
        uint256 disclosed
    ) public {
        VM.assume(terms != 0);
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(keyOf(seed)));
        (policy.terms, policy.announcement, policy.disclosure) = (terms, announcement, Disclosure.wrap(disclosed));

        bytes memory signature = sign(keyOf(seed), grantDigest(policy));
        VM.prank(relayer);
        registry.grantBySignature(policy, signature);

        assert(statusOf(policy.owner) == PolicyStatus.Active);
    }

    function testFuzz_rejectsEveryOtherKey(uint256 seed, uint256 other) public {
        VM.assume(keyOf(seed) != keyOf(other));
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(keyOf(seed)));
        bytes memory signature = sign(keyOf(other), grantDigest(policy));
        VM.expectRevert(invalidSignature(policy.owner));
        registry.grantBySignature(policy, signature);
        signature = sign(keyOf(other), revokeDigest(policy.owner));
        VM.expectRevert(invalidSignature(policy.owner));
        registry.revokeBySignature(policy.owner, signature);
    }

    function testFuzz_rejectsEveryOtherChainAndContract(uint256 seed, uint64 chainId, address verifier) public {
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(keyOf(seed)));
        VM.assume(chainId != block.chainid && verifier != address(registry));
        bytes memory signature = sign(keyOf(seed), grantDigest(policy, chainId, address(registry)));
        VM.expectRevert(invalidSignature(policy.owner));
        registry.grantBySignature(policy, signature);
        signature = sign(keyOf(seed), grantDigest(policy, block.chainid, verifier));
        VM.expectRevert(invalidSignature(policy.owner));
        registry.grantBySignature(policy, signature);
    }

    function testFuzz_rejectsAfterAForkOfTheChain(uint256 seed, uint64 chainId) public {
        VM.assume(chainId != block.chainid && chainId != 0);
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(keyOf(seed)));
        bytes memory here = sign(keyOf(seed), grantDigest(policy));
        bytes memory there = sign(keyOf(seed), grantDigest(policy, chainId, address(registry)));
        VM.chainId(chainId);
        VM.expectRevert(invalidSignature(policy.owner));
        registry.grantBySignature(policy, here);
        registry.grantBySignature(policy, there);
        assert(statusOf(policy.owner) == PolicyStatus.Active);
    }

    function testFuzz_rejectsAnyChangedField(uint256 seed, uint8 field, uint256 by) public {
        uint256 key = keyOf(seed);
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(key));
        bytes memory signature = sign(key, grantDigest(policy));
        uint256 bit = 1 << bound(by, 0, 255);
        if (field % 5 == 0) policy.owner = address(uint160(policy.owner) ^ uint160(1 << bound(by, 0, 159)));
        if (field % 5 == 1) policy.window = PolicyWindow.wrap(PolicyWindow.unwrap(policy.window) ^ bit);
        if (field % 5 == 2) policy.terms = bytes32(uint256(policy.terms) ^ bit);
        if (field % 5 == 3) policy.announcement = bytes32(uint256(policy.announcement) ^ bit);
        if (field % 5 == 4) policy.disclosure = Disclosure.wrap(bit);
        VM.expectRevert(invalidSignature(policy.owner));
        registry.grantBySignature(policy, signature);
    }

    function testFuzz_rejectsAnyFlippedBitOfASignature(uint256 seed, uint256 bit) public {
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(keyOf(seed)));
        bytes memory signature = sign(keyOf(seed), grantDigest(policy));
        bit = bound(bit, 0, signature.length * 8 - 1);
        signature[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        VM.expectRevert(invalidSignature(policy.owner));
        registry.grantBySignature(policy, signature);
    }

    function testFuzz_rejectsTheOtherHalfOfS(uint256 seed) public {
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(keyOf(seed)));
        (uint8 v, bytes32 r, bytes32 s) = VM.sign(keyOf(seed), grantDigest(policy));
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        VM.expectRevert(invalidSignature(policy.owner));
        registry.grantBySignature(policy, abi.encodePacked(r, bytes32(order - uint256(s)), v == 27 ? 28 : 27));
    }

    function testFuzz_aSignatureIsForOneAction(uint256 seed) public {
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(keyOf(seed)));
        bytes memory granting = sign(keyOf(seed), grantDigest(policy));
        bytes memory revoking = sign(keyOf(seed), revokeDigest(policy.owner));
        VM.expectRevert(invalidSignature(policy.owner));
        registry.revokeBySignature(policy.owner, granting);
        VM.expectRevert(invalidSignature(policy.owner));
        registry.grantBySignature(policy, revoking);
    }

    function testFuzz_aSignatureCountsOnce(uint256 seed, uint32 later) public {
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(keyOf(seed)));
        bytes memory granting = sign(keyOf(seed), grantDigest(policy));
        bytes memory revoking = sign(keyOf(seed), revokeDigest(policy.owner));
        registry.grantBySignature(policy, granting);
        VM.expectRevert(abi.encodeWithSelector(IPolicyRegistry.PolicyAlreadyGranted.selector, policy.owner));
        registry.grantBySignature(policy, granting);
        VM.warp(block.timestamp + later);
        registry.revokeBySignature(policy.owner, revoking);
        bytes memory again = abi.encodeWithSelector(IPolicyRegistry.PolicyAlreadyRevoked.selector, policy.owner);
        VM.expectRevert(again);
        registry.revokeBySignature(policy.owner, revoking);
        VM.expectRevert(again);
        registry.grantBySignature(policy, granting);
    }

    function testFuzz_aRevocationAheadOfTheGrantMakesItImpossible(uint256 seed) public {
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(keyOf(seed)));
        registry.revokeBySignature(policy.owner, sign(keyOf(seed), revokeDigest(policy.owner)));
        bytes memory signature = sign(keyOf(seed), grantDigest(policy));
        VM.expectRevert(abi.encodeWithSelector(IPolicyRegistry.PolicyAlreadyRevoked.selector, policy.owner));
        registry.grantBySignature(policy, signature);
    }

    function testFuzz_acceptsOrNamesWhatIsWrong(uint48 startsAt, uint48 expiresAt, uint48 deadline, bool terms) public {
        address owner = VM.addr(7);
        IPolicyRegistry.Grant memory policy = policyOf(owner);
        (policy.window, policy.terms) = (windowOf(startsAt, expiresAt, deadline, 0), bytes32(uint256(terms ? 1 : 0)));
        bytes memory problem = "";
        if (deadline < block.timestamp) {
            problem = abi.encodeWithSelector(IPolicyRegistry.PolicyDeadlineOver.selector, deadline, block.timestamp);
        } else if (startsAt >= expiresAt || expiresAt <= block.timestamp) {
            bytes4 selector = IPolicyRegistry.PolicyInvalidWindow.selector;
            problem = abi.encodeWithSelector(selector, startsAt, expiresAt, block.timestamp);
        } else if (!terms) {
            problem = abi.encodeWithSelector(IPolicyRegistry.PolicyWithoutTerms.selector, owner);
        }
        bytes memory signature = sign(7, grantDigest(policy));
        if (problem.length != 0) VM.expectRevert(problem);
        registry.grantBySignature(policy, signature);
        assert((statusOf(owner) == PolicyStatus.Unknown) == (problem.length != 0));
    }

    function testFuzz_statusIsTheRule(uint48 startsAt, uint48 length, uint48 time, bool revoke) public {
        uint48 first = uint48(block.timestamp);
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(7));
        startsAt = uint48(bound(startsAt, 0, first * 2));
        uint48 expiresAt = startsAt + uint48(bound(length, 1, first));
        VM.assume(expiresAt > first);
        setTimes(policy, startsAt, expiresAt);
        registry.grantBySignature(policy, sign(7, grantDigest(policy)));
        if (revoke) registry.revokeBySignature(policy.owner, sign(7, revokeDigest(policy.owner)));
        VM.warp(bound(time, first, uint256(expiresAt) + 2));

        (PolicyStatus status, uint48 from, uint48 until, uint48 revokedAt) = registry.policyOf(PolicyId.wrap(policy.owner));

        PolicyStatus expected = block.timestamp < startsAt
            ? PolicyStatus.NotYet
            : block.timestamp < expiresAt ? PolicyStatus.Active : PolicyStatus.Expired;
        assert(status == (revoke ? PolicyStatus.Revoked : expected) && status == statusOf(policy.owner));
        assert(from == startsAt && until == expiresAt && revokedAt == (revoke ? first : 0));
    }

    function testFuzz_allowedAtIsTheWindowUpToTheRevocation(uint48 time, uint48 later, bool revoke) public {
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(7));
        assert(!registry.allowedAt(PolicyId.wrap(policy.owner), time));
        registry.grantBySignature(policy, sign(7, grantDigest(policy)));
        uint48 revokedAt = uint48(block.timestamp + bound(later, 0, 2000));
        VM.warp(revokedAt);
        if (revoke) registry.revokeBySignature(policy.owner, sign(7, revokeDigest(policy.owner)));
        (uint48 startsAt, uint48 expiresAt) = (policy.window.startsAt(), policy.window.expiresAt());
        time = uint48(bound(time, startsAt - 3, expiresAt + 3));

        bool inside = time >= startsAt && time < expiresAt;
        assert(registry.allowedAt(PolicyId.wrap(policy.owner), time) == (inside && (!revoke || time <= revokedAt)));
    }

    function testFuzz_onlyTheOwnerGrantsAndRevokesDirectly(address owner, address stranger) public {
        VM.assume(owner != stranger);
        IPolicyRegistry.Grant memory policy = policyOf(owner);
        VM.prank(stranger);
        VM.expectRevert(abi.encodeWithSelector(IPolicyRegistry.PolicyNotOwner.selector, owner, stranger));
        registry.grant(policy);
        VM.prank(owner);
        registry.grant(policy);
        VM.prank(stranger);
        registry.revoke();
        assert(statusOf(owner) == PolicyStatus.Active && statusOf(stranger) == PolicyStatus.Revoked);
        VM.prank(owner);
        registry.revoke();
        assert(statusOf(owner) == PolicyStatus.Revoked);
    }

    function testFuzz_aBatchIsItsItems(uint256 seed, uint8 size, uint8 bad, bool spoil) public {
        uint256 items = bound(size, 1, 12);
        IPolicyRegistry.Grant[] memory policies = new IPolicyRegistry.Grant[](items);
        CompactSignature[] memory signatures = new CompactSignature[](items);
        for (uint256 i = 0; i < items; ++i) {
            uint256 key = keyOf(seed ^ i);
            policies[i] = policyOf(VM.addr(key));
            policies[i].disclosure = Disclosure.wrap(i);
            signatures[i] = compact(key, grantDigest(policies[i]));
        }
        if (spoil) {
            signatures[bad % items].r ^= bytes32(uint256(1));
            VM.expectRevert(invalidSignature(policies[bad % items].owner));
        }
        registry.grantBatch(policies, signatures);
        for (uint256 i = 0; i < items; ++i) {
            assert(statusOf(policies[i].owner) == (spoil ? PolicyStatus.Unknown : PolicyStatus.Active));
        }
    }

    function testFuzz_aBatchOfRevocationsIsItsItems(uint256 seed, uint8 size, uint8 bad, bool spoil) public {
        uint256 items = bound(size, 1, 12);
        address[] memory owners = new address[](items);
        CompactSignature[] memory signatures = new CompactSignature[](items);
        for (uint256 i = 0; i < items; ++i) {
            owners[i] = VM.addr(keyOf(seed ^ i));
            signatures[i] = compact(keyOf(seed ^ i), revokeDigest(owners[i]));
        }
        if (spoil) {
            signatures[bad % items].vs ^= bytes32(uint256(1));
            VM.expectRevert(invalidSignature(owners[bad % items]));
        }
        registry.revokeBatch(owners, signatures);
        for (uint256 i = 0; i < items; ++i) {
            assert(statusOf(owners[i]) == (spoil ? PolicyStatus.Unknown : PolicyStatus.Revoked));
        }
    }

    function testFuzz_aBatchHasAsManySignaturesAsItems(uint8 items, uint8 signatures) public {
        VM.assume(items != signatures);
        bytes memory problem = abi.encodeWithSelector(IPolicyRegistry.PolicyBatchLengths.selector, items, signatures);
        VM.expectRevert(problem);
        registry.grantBatch(new IPolicyRegistry.Grant[](items), new CompactSignature[](signatures));
        VM.expectRevert(problem);
        registry.revokeBatch(new address[](items), new CompactSignature[](signatures));
    }

    function testFuzz_aContractOwnsAPolicyByErc1271(uint256 first, uint256 second) public {
        (first, second) = (keyOf(first), keyOf(second));
        VM.assume(first != second);
        IPolicyRegistry.Grant memory policy = policyOf(address(new Wallet(VM.addr(first), VM.addr(second))));
        bytes32 digest = grantDigest(policy);
        bytes memory swapped = bytes.concat(sign(second, digest), sign(first, digest));
        VM.expectRevert(invalidSignature(policy.owner));
        registry.grantBySignature(policy, swapped);
        registry.grantBySignature(policy, bytes.concat(sign(first, digest), sign(second, digest)));
        assert(statusOf(policy.owner) == PolicyStatus.Active);
        digest = revokeDigest(policy.owner);
        registry.revokeBySignature(policy.owner, bytes.concat(sign(first, digest), sign(second, digest)));
        assert(statusOf(policy.owner) == PolicyStatus.Revoked);
    }

    function testFuzz_aContractIsAskedInBatchesToo(uint256 first, uint256 second) public {
        (first, second) = (keyOf(first), keyOf(second));
        VM.assume(first != second);
        IPolicyRegistry.Grant[] memory policies = new IPolicyRegistry.Grant[](1);
        CompactSignature[] memory signatures = new CompactSignature[](1);
        policies[0] = policyOf(address(new Wallet(VM.addr(first), VM.addr(second))));
        signatures[0] = compact(second, grantDigest(policies[0]));
        VM.expectRevert(invalidSignature(policies[0].owner));
        registry.grantBatch(policies, signatures);
        signatures[0] = compact(first, grantDigest(policies[0]));
        registry.grantBatch(policies, signatures);
        assert(statusOf(policies[0].owner) == PolicyStatus.Active);
    }

    /// @dev Of its own, since random times rarely meet an end of the window.
    function testFuzz_theWindowIncludesItsStartAndNotItsEnd(uint48 ahead, uint48 length) public {
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(7));
        uint48 startsAt = uint48(block.timestamp + bound(ahead, 1, 1 << 30));
        uint48 expiresAt = startsAt + uint48(bound(length, 1, 1 << 30));
        setTimes(policy, startsAt, expiresAt);
        registry.grantBySignature(policy, sign(7, grantDigest(policy)));
        PolicyId policyId = PolicyId.wrap(policy.owner);
        assert(!registry.allowedAt(policyId, startsAt - 1) && registry.allowedAt(policyId, startsAt));
        assert(registry.allowedAt(policyId, expiresAt - 1) && !registry.allowedAt(policyId, expiresAt));
        VM.warp(startsAt - 1);
        assert(statusOf(policy.owner) == PolicyStatus.NotYet);
        VM.warp(startsAt);
        assert(statusOf(policy.owner) == PolicyStatus.Active);
        VM.warp(expiresAt - 1);
        assert(statusOf(policy.owner) == PolicyStatus.Active);
        VM.warp(expiresAt);
        assert(statusOf(policy.owner) == PolicyStatus.Expired);
    }

    function testFuzz_theSecondOfTheRevocationIsAllowed(uint48 later) public {
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(7));
        registry.grantBySignature(policy, sign(7, grantDigest(policy)));
        uint48 revokedAt = uint48(block.timestamp + bound(later, 0, 900));
        VM.warp(revokedAt);
        registry.revokeBySignature(policy.owner, sign(7, revokeDigest(policy.owner)));
        assert(registry.allowedAt(PolicyId.wrap(policy.owner), revokedAt));
        assert(!registry.allowedAt(PolicyId.wrap(policy.owner), revokedAt + 1));
    }

    function testFuzz_aGrantComesByItsDeadline(uint32 late) public {
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(7));
        uint48 deadline = uint48(block.timestamp);
        policy.window = windowOf(0, type(uint48).max, deadline, 0);
        bytes memory signature = sign(7, grantDigest(policy));
        VM.warp(bound(late, block.timestamp + 1, block.timestamp + type(uint32).max));
        bytes4 problem = IPolicyRegistry.PolicyDeadlineOver.selector;
        VM.expectRevert(abi.encodeWithSelector(problem, deadline, block.timestamp));
        registry.grantBySignature(policy, signature);
        VM.warp(deadline);
        registry.grantBySignature(policy, signature);
        assert(statusOf(policy.owner) == PolicyStatus.Active);
    }

    function testFuzz_aWindowIsNeitherEmptyNorOver(uint48 startsAt, uint48 ago) public {
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(7));
        bytes4 problem = IPolicyRegistry.PolicyInvalidWindow.selector;
        startsAt = uint48(bound(startsAt, block.timestamp + 1, type(uint48).max));
        setTimes(policy, startsAt, startsAt);
        bytes memory signature = sign(7, grantDigest(policy));
        VM.expectRevert(abi.encodeWithSelector(problem, startsAt, startsAt, block.timestamp));
        registry.grantBySignature(policy, signature);
        uint48 expiresAt = uint48(block.timestamp - bound(ago, 0, block.timestamp - 1));
        setTimes(policy, 0, expiresAt);
        signature = sign(7, grantDigest(policy));
        VM.expectRevert(abi.encodeWithSelector(problem, 0, expiresAt, block.timestamp));
        registry.grantBySignature(policy, signature);
        setTimes(policy, 0, uint48(block.timestamp));
        signature = sign(7, grantDigest(policy));
        VM.expectRevert(abi.encodeWithSelector(problem, 0, block.timestamp, block.timestamp));
        registry.grantBySignature(policy, signature);
    }

    function testFuzz_aWindowCanLastOneSecond(uint48 startsAt) public {
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(7));
        startsAt = uint48(bound(startsAt, block.timestamp, type(uint48).max - 1));
        setTimes(policy, startsAt, startsAt + 1);
        registry.grantBySignature(policy, sign(7, grantDigest(policy)));
        VM.warp(startsAt);
        assert(statusOf(policy.owner) == PolicyStatus.Active);
    }

    /// @dev However good the rest of it is, whoever sends it, and by whichever way.
    function testFuzz_aWindowHasNothingAboveItsFields(uint256 seed, uint256 above, uint8 tag) public {
        uint256 key = keyOf(seed);
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(key));
        uint48 time = uint48(block.timestamp);
        policy.window = windowOf(time, time + 1, time, tag);
        uint256 malformed = PolicyWindow.unwrap(policy.window) | 1 << bound(above, 152, 255);
        policy.window = PolicyWindow.wrap(malformed);
        bytes memory problem = abi.encodeWithSelector(IPolicyRegistry.PolicyMalformedWindow.selector, malformed);
        IPolicyRegistry.Grant[] memory policies = new IPolicyRegistry.Grant[](1);
        CompactSignature[] memory signatures = new CompactSignature[](1);
        (policies[0], signatures[0]) = (policy, compact(key, grantDigest(policy)));
        bytes memory signature = sign(key, grantDigest(policy));

        VM.expectRevert(problem);
        registry.grantBySignature(policy, signature);
        VM.expectRevert(problem);
        registry.grantBatch(policies, signatures);
        VM.prank(policy.owner);
        VM.expectRevert(problem);
        registry.grant(policy);
        assert(statusOf(policy.owner) == PolicyStatus.Unknown);
    }

    function testFuzz_aWindowsFieldsAreReadAsTheyWereWritten(uint48 startsAt, uint48 expiresAt, uint48 deadline, uint8 tag)
        public
        pure
    {
        PolicyWindow window = windowOf(startsAt, expiresAt, deadline, tag);
        assert(window.startsAt() == startsAt && window.expiresAt() == expiresAt);
        assert(window.deadline() == deadline && tagOf(window) == tag && window.isWellFormed());
    }

    function test_aWindowOfOnesIsWellFormedUpToItsFields() public pure {
        assert(PolicyWindow.wrap((1 << 152) - 1).isWellFormed());
        assert(!PolicyWindow.wrap(1 << 152).isWellFormed() && !PolicyWindow.wrap(1 << 255).isWellFormed());
    }

    function testFuzz_eventsSayWhatWasGrantedAndRevoked(
        uint256 seed,
        uint8 tag,
        bytes32 terms,
        bytes32 announcement,
        uint256 disclosed
    ) public {
        VM.assume(terms != 0);
        IPolicyRegistry.Grant memory policy = policyOf(VM.addr(keyOf(seed)));
        (policy.terms, policy.announcement, policy.disclosure) = (terms, announcement, Disclosure.wrap(disclosed));
        uint48 time = uint48(block.timestamp);
        policy.window = windowOf(time, time + 100, time + 10, tag);
        expectGranted(policy);
        VM.prank(policy.owner);
        registry.grant(policy);
        expectRevoked(policy.owner);
        VM.prank(policy.owner);
        registry.revoke();

        (uint256 first, uint256 second) = (keyOf(~seed), keyOf(seed ^ 1));
        policy.owner = VM.addr(first);
        bytes memory signature = sign(first, grantDigest(policy));
        expectGranted(policy);
        registry.grantBySignature(policy, signature);
        signature = sign(first, revokeDigest(policy.owner));
        expectRevoked(policy.owner);
        registry.revokeBySignature(policy.owner, signature);

        policy.owner = VM.addr(second);
        IPolicyRegistry.Grant[] memory policies = new IPolicyRegistry.Grant[](1);
        CompactSignature[] memory signatures = new CompactSignature[](1);
        (policies[0], signatures[0]) = (policy, compact(second, grantDigest(policy)));
        expectGranted(policy);
        registry.grantBatch(policies, signatures);
        address[] memory owners = new address[](1);
        (owners[0], signatures[0]) = (policy.owner, compact(second, revokeDigest(policy.owner)));
        expectRevoked(policy.owner);
        registry.revokeBatch(owners, signatures);
    }

    /// @dev Of its own, since a random word is hardly ever zero.
    function testFuzz_onlyAnOpenPolicyHasASecondLog(uint256 seed, uint256 disclosed) public {
        uint256[4] memory words = [0, 1, type(uint256).max, disclosed];
        for (uint256 i = 0; i < words.length; ++i) {
            uint256 key = keyOf(seed ^ i);
            IPolicyRegistry.Grant memory policy = policyOf(VM.addr(key));
            policy.disclosure = Disclosure.wrap(words[i]);
            bytes memory signature = sign(key, grantDigest(policy));
            PolicyEvents(address(VM)).recordLogs();
            registry.grantBySignature(policy, signature);
            PolicyEvents.Log[] memory logs = PolicyEvents(address(VM)).getRecordedLogs();
            assert(logs.length == (words[i] == 0 ? 1 : 2));
            assert(logs[0].topics[0] == IPolicyRegistry.PolicyGranted.selector);
            if (words[i] == 0) continue;
            assert(logs[1].topics[0] == IPolicyRegistry.PolicyDisclosed.selector);
            assert(logs[1].topics[1] == bytes32(uint256(uint160(policy.owner))));
            assert(keccak256(logs[1].data) == keccak256(abi.encode(words[i])));
        }
    }

    function testFuzz_nobodyIsTheZeroOwner(bytes calldata signature, bytes32 r, bytes32 vs) public {
        VM.expectRevert(invalidSignature(address(0)));
        registry.grantBySignature(policyOf(address(0)), signature);
        VM.expectRevert(invalidSignature(address(0)));
        registry.revokeBySignature(address(0), signature);
        CompactSignature[] memory signatures = new CompactSignature[](1);
        signatures[0] = CompactSignature(r, vs);
        VM.expectRevert(invalidSignature(address(0)));
        registry.revokeBatch(new address[](1), signatures);
    }

    function expectGranted(IPolicyRegistry.Grant memory policy) private {
        PolicyEvents(address(VM)).expectEmit(address(registry));
        emit IPolicyRegistry.PolicyGranted(
            PolicyId.wrap(policy.owner), policy.window, policy.terms, policy.announcement
        );
        if (Disclosure.unwrap(policy.disclosure) == 0) return;
        PolicyEvents(address(VM)).expectEmit(address(registry));
        emit IPolicyRegistry.PolicyDisclosed(PolicyId.wrap(policy.owner), policy.disclosure);
    }

    function expectRevoked(address owner) private {
        PolicyEvents(address(VM)).expectEmit(address(registry));
        emit IPolicyRegistry.PolicyRevoked(PolicyId.wrap(owner));
    }
}

/// @title Random histories of six policies
/// @notice Grants and revokes as owners and as forgers do, and writes down what it was entitled to.
contract PolicyHandler is PolicyBase {
    uint256 public constant OWNERS = 6;
    mapping(address owner => uint48) public grantedUntil;
    mapping(address owner => bool) public revoked;
    mapping(address owner => bool) public expired;

    constructor(PolicyRegistry registry_) {
        registry = registry_;
    }

    function grant(uint256 who, uint256 signer, uint48 start, uint48 length) external {
        IPolicyRegistry.Grant memory policy = policyOf(ownerAt(who));
        start = uint48(bound(start, block.timestamp - 100, block.timestamp + 500));
        setTimes(policy, start, start + uint48(bound(length, 0, 1000)));
        bytes memory signature = sign(keyOf(signer % OWNERS), grantDigest(policy));
        try registry.grantBySignature(policy, signature) {
            require(signer % OWNERS == who % OWNERS, "granted by a forger");
            require(grantedUntil[policy.owner] == 0 && !revoked[policy.owner], "granted twice");
            grantedUntil[policy.owner] = policy.window.expiresAt();
        } catch {}
    }

    function grantDirectly(uint256 who, uint256 caller, uint48 length) external {
        IPolicyRegistry.Grant memory policy = policyOf(ownerAt(who));
        uint48 start = policy.window.startsAt();
        setTimes(policy, start, start + uint48(bound(length, 0, 1000)));
        VM.prank(ownerAt(caller));
        try registry.grant(policy) {
            require(who % OWNERS == caller % OWNERS, "granted by a stranger");
            require(grantedUntil[policy.owner] == 0 && !revoked[policy.owner], "granted twice");
            grantedUntil[policy.owner] = policy.window.expiresAt();
        } catch {}
    }

    function revoke(uint256 who, uint256 signer) external {
        address owner = ownerAt(who);
        bytes memory signature = sign(keyOf(signer % OWNERS), revokeDigest(owner));
        try registry.revokeBySignature(owner, signature) {
            require(signer % OWNERS == who % OWNERS, "revoked by a forger");
            revoked[owner] = true;
        } catch {
            require(signer % OWNERS != who % OWNERS || revoked[owner], "a revocation was prevented");
        }
    }

    function wait(uint16 time) external {
        VM.warp(block.timestamp + time);
        for (uint256 i = 0; i < OWNERS; ++i) {
            if (grantedUntil[ownerAt(i)] != 0 && block.timestamp >= grantedUntil[ownerAt(i)]) expired[ownerAt(i)] = true;
        }
    }

    function ownerAt(uint256 index) public pure returns (address) {
        return VM.addr(keyOf(index % OWNERS));
    }
}

contract PolicyRegistryInvariants is PolicyBase {
    PolicyHandler private _handler;

    function setUp() public {
        deployRegistry();
        _handler = new PolicyHandler(registry);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    /// @notice Nobody but an owner, or the owner's signature, makes a policy active or longer.
    function invariant_activeMeansGrantedByItsOwner() public view {
        for (uint256 i = 0; i < _handler.OWNERS(); ++i) {
            address owner = _handler.ownerAt(i);
            (PolicyStatus status,, uint48 expiresAt,) = registry.policyOf(PolicyId.wrap(owner));
            assert(expiresAt == _handler.grantedUntil(owner));
            assert(status != PolicyStatus.Active || _handler.grantedUntil(owner) > block.timestamp);
        }
    }

    /// @notice What was revoked stays revoked; what expired is never active again.
    function invariant_nothingComesBack() public view {
        for (uint256 i = 0; i < _handler.OWNERS(); ++i) {
            address owner = _handler.ownerAt(i);
            assert((statusOf(owner) == PolicyStatus.Revoked) == _handler.revoked(owner));
            assert(!_handler.expired(owner) || statusOf(owner) != PolicyStatus.Active);
        }
    }
}
