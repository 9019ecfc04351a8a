// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Base} from "./Base.sol";
import {IAccessLog} from "../../contracts/interfaces/IAccessLog.sol";
import {IActorRegistry} from "../../contracts/interfaces/IActorRegistry.sol";
import {IPolicyRegistry} from "../../contracts/interfaces/IPolicyRegistry.sol";
import {Wallet} from "./Wallet.sol";
import {ActorsBase} from "./Actors.t.sol";
import {PolicyRegistry} from "../../contracts/mainchain/PolicyRegistry.sol";
import {ActorRegistry} from "../../contracts/mainchain/ActorRegistry.sol";
import {Disclosure} from "../../contracts/types/Disclosure.sol";
import {PolicyId} from "../../contracts/types/PolicyId.sol";

/// @title AccessLog: anchors and evidence
contract AccessLogTest is ActorsBase {
    address private constant OWNER = address(0xB0B);
    uint256 private constant KEY_OF_PROXY = 7;
    PolicyRegistry private _policies;
    address private _proxy;
    uint48 private _revokedAt;

    function setUp() public override {
        super.setUp();
        _policies = new PolicyRegistry();
        actors = new ActorRegistry(address(manager), _policies);
        (ledger, log) = (actors.recordLedger(), actors.accessLog());
        bytes4[] memory functions = new bytes4[](3);
        functions[0] = IActorRegistry.register.selector;
        functions[1] = IActorRegistry.suspend.selector;
        functions[2] = IActorRegistry.reinstate.selector;
        manager.setTargetFunctionRole(address(actors), functions, REGISTRAR);
        _proxy = VM.addr(KEY_OF_PROXY);
        admit(_proxy, IActorRegistry.Role.Proxy);
        uint48 time = uint48(block.timestamp);
        VM.prank(OWNER);
        _policies.grant(IPolicyRegistry.Grant(OWNER, time - 10, time + 1000, time, "terms", Disclosure.wrap(0)));
        _revokedAt = time + 500;
        VM.warp(_revokedAt);
        VM.prank(OWNER);
        _policies.revoke();
    }

    function testFuzz_aHeadIsNotZero(uint64 sequence) public {
        VM.prank(_proxy);
        VM.expectRevert(abi.encodeWithSelector(IAccessLog.LogWithoutHead.selector, _proxy));
        log.anchor(uint64(bound(sequence, 1, type(uint64).max)), 0);
    }

    function testFuzz_sequencesOnlyGrow(uint64 first, uint64 second, bytes32 head) public {
        VM.assume(head != 0 && ~head != 0);
        VM.prank(_proxy);
        if (first == 0) VM.expectRevert(abi.encodeWithSelector(IAccessLog.LogSequenceNotGrowing.selector, 0, 0));
        log.anchor(first, head);
        VM.prank(_proxy);
        bytes memory problem = abi.encodeWithSelector(IAccessLog.LogSequenceNotGrowing.selector, second, first);
        if (second <= first) VM.expectRevert(problem);
        log.anchor(second, ~head);
        IAccessLog.Anchor memory newest = log.anchorOf(_proxy);
        assert(newest.admitted && newest.sequence == (second > first ? second : first));
        assert(newest.sequence == 0 || newest.head == (second > first ? ~head : head));
    }

    function testFuzz_eventsSayWhatWasAnchoredAndProven(uint64 sequence, bytes32 head) public {
        sequence = uint64(bound(sequence, 1, type(uint64).max));
        VM.assume(head != 0 && head != "other");
        expectEventOf(address(log));
        emit IAccessLog.HeadAnchored(_proxy, sequence, head);
        VM.prank(_proxy);
        log.anchor(sequence, head);

        IAccessLog.Receipt memory receipt = receiptAt(_revokedAt + 1);
        bytes32 stated = log.hashOf(receipt);
        bytes memory signature = signHead(receipt.sequence, stated);
        expectEventOf(address(log));
        emit IAccessLog.LateServiceProven(_proxy, receipt.policyId, receipt.sequence, stated);
        log.proveLateService(_proxy, receipt, signature);

        signature = signHead(sequence, "other");
        expectEventOf(address(log));
        emit IAccessLog.ForkProven(_proxy, sequence, head, "other");
        log.proveRewrite(_proxy, "other", signature);
    }

    function testFuzz_aLogStartsWithWhoseItIs(address proxy, bool suspended) public {
        VM.assume(proxy != address(0) && proxy != _proxy);
        admit(proxy, IActorRegistry.Role.Proxy);
        bytes32 first = keccak256(abi.encode(block.chainid, address(log), proxy));
        assert(log.anchorOf(proxy).head == first && log.anchorOf(proxy).sequence == 0);
        VM.prank(proxy);
        log.anchor(1, "head");
        if (suspended) {
            actors.suspend(proxy);
            actors.reinstate(proxy);
        }
        assert(log.anchorOf(proxy).head == "head" && log.anchorOf(proxy).sequence == 1);
    }

    function testFuzz_onlyActiveProxiesAnchor(address stranger, uint64 sequence) public {
        VM.assume(stranger != _proxy);
        VM.prank(stranger);
        VM.expectRevert(abi.encodeWithSelector(IAccessLog.LogNotActiveProxy.selector, stranger));
        log.anchor(sequence, "head");
        actors.suspend(_proxy);
        VM.prank(_proxy);
        VM.expectRevert(abi.encodeWithSelector(IAccessLog.LogNotActiveProxy.selector, _proxy));
        log.anchor(sequence, "head");
    }

    function testFuzz_lateServiceConvictsAndNothingElseDoes(uint48 time, uint8 kind, uint64 sequence) public {
        IAccessLog.Receipt memory receipt = receiptAt(uint48(bound(time, _revokedAt - 600, _revokedAt + 600)));
        (receipt.kind, receipt.sequence) = (IAccessLog.Kind(kind % 5), sequence);
        bool allowed = receipt.blockTime >= _revokedAt - 510 && receipt.blockTime <= _revokedAt;
        bool late = receipt.kind == IAccessLog.Kind.Reencrypted && !allowed;
        bytes4 problem = IAccessLog.LogNotLate.selector;
        bytes memory signature = signHead(sequence, log.hashOf(receipt));
        if (!late) VM.expectRevert(abi.encodeWithSelector(problem, OWNER, receipt.kind, receipt.blockTime));
        log.proveLateService(_proxy, receipt, signature);
        assert(actors.isActive(_proxy, IActorRegistry.Role.Proxy) == !late);
    }

    function testFuzz_aReceiptSpeaksForItsSignerOnly(uint256 seed, address accused) public {
        VM.assume(keyOf(seed) != KEY_OF_PROXY && accused != _proxy);
        IAccessLog.Receipt memory receipt = receiptAt(_revokedAt + 1);
        bytes32 head = log.hashOf(receipt);
        bytes memory signature = sign(keyOf(seed), digestOf(receipt.sequence, head));
        VM.expectRevert(
            abi.encodeWithSelector(IAccessLog.LogInvalidSignature.selector, _proxy, receipt.sequence, head)
        );
        log.proveLateService(_proxy, receipt, signature);
        signature = signHead(receipt.sequence, head);
        VM.expectRevert(abi.encodeWithSelector(IAccessLog.LogNotProxy.selector, accused));
        log.proveLateService(accused, receipt, signature);
    }

    function testFuzz_evidenceCountsOnce(uint64 sequence) public {
        IAccessLog.Receipt memory receipt = receiptAt(_revokedAt + 1);
        receipt.sequence = sequence;
        bytes32 head = log.hashOf(receipt);
        bytes memory signature = signHead(sequence, head);
        log.proveLateService(_proxy, receipt, signature);
        actors.reinstate(_proxy);
        bytes32 evidence = keccak256(abi.encode(_proxy, head));
        VM.expectRevert(abi.encodeWithSelector(IAccessLog.LogEvidenceUsed.selector, evidence));
        log.proveLateService(_proxy, receipt, signature);
        receipt.count += 1;
        log.proveLateService(_proxy, receipt, signHead(sequence, log.hashOf(receipt)));
        receipt.count += 1;
        // A second piece of evidence against who is suspended already is taken down, and changes nothing.
        log.proveLateService(_proxy, receipt, signHead(sequence, log.hashOf(receipt)));
        assert(!actors.isActive(_proxy, IActorRegistry.Role.Proxy));
    }

    function testFuzz_twoHeadsForOneSequenceAreAFork(uint64 sequence, bytes32 first, bytes32 second) public {
        (bytes memory one, bytes memory two) = (signHead(sequence, first), signHead(sequence, second));
        VM.assume(first != second);
        log.proveFork(_proxy, sequence, first, one, second, two);
        assert(!actors.isActive(_proxy, IActorRegistry.Role.Proxy));
        bytes32 evidence = keccak256(abi.encode(_proxy, sequence));
        VM.expectRevert(abi.encodeWithSelector(IAccessLog.LogEvidenceUsed.selector, evidence));
        log.proveFork(_proxy, sequence, second, two, first, one);
    }

    /// @dev Of its own, since two random heads are never equal.
    function testFuzz_oneHeadIsNoFork(uint64 sequence, bytes32 head) public {
        bytes memory signature = signHead(sequence, head);
        VM.expectRevert(abi.encodeWithSelector(IAccessLog.LogNotFork.selector, sequence, head, head));
        log.proveFork(_proxy, sequence, head, signature, head, signature);
        sequence = uint64(bound(sequence, 1, type(uint64).max));
        VM.assume(head != 0);
        VM.prank(_proxy);
        log.anchor(sequence, head);
        signature = signHead(sequence, head);
        VM.expectRevert(abi.encodeWithSelector(IAccessLog.LogNotFork.selector, sequence, head, head));
        log.proveRewrite(_proxy, head, signature);
        assert(actors.isActive(_proxy, IActorRegistry.Role.Proxy));
    }

    function testFuzz_aForkNeedsBothSignatures(uint64 sequence, uint64 other, bytes32 first, bytes32 second) public {
        VM.assume(sequence != other && first != second);
        (bytes memory good, bytes memory bad) = (signHead(sequence, first), signHead(other, second));
        bytes4 problem = IAccessLog.LogInvalidSignature.selector;
        VM.expectRevert(abi.encodeWithSelector(problem, _proxy, sequence, second));
        log.proveFork(_proxy, sequence, first, good, second, bad);
        VM.expectRevert(abi.encodeWithSelector(problem, _proxy, sequence, second));
        log.proveFork(_proxy, sequence, second, bad, first, good);
    }

    function testFuzz_anAnchorConvictsWhoSignsAnotherHead(uint64 sequence, bytes32 anchored, bytes32 signed) public {
        bytes32 first = log.anchorOf(_proxy).head;
        bytes memory zeroth = signHead(0, signed);
        VM.expectRevert(abi.encodeWithSelector(IAccessLog.LogNotFork.selector, 0, first, signed));
        log.proveRewrite(_proxy, signed, zeroth);
        sequence = uint64(bound(sequence, 1, type(uint64).max));
        VM.assume(anchored != 0 && anchored != signed);
        VM.prank(_proxy);
        log.anchor(sequence, anchored);
        log.proveRewrite(_proxy, signed, signHead(sequence, signed));
        assert(!actors.isActive(_proxy, IActorRegistry.Role.Proxy));
    }

    function testFuzz_anAnchorConvictsByItsOwnSequenceOnly(uint64 sequence, uint64 other) public {
        (sequence, other) = (uint64(bound(sequence, 1, 1 << 40)), uint64(bound(other, 1, 1 << 40)));
        VM.assume(sequence != other);
        VM.prank(_proxy);
        log.anchor(sequence, "anchored");
        bytes memory signature = signHead(other, "signed");
        bytes32 head = "signed";
        VM.expectRevert(abi.encodeWithSelector(IAccessLog.LogInvalidSignature.selector, _proxy, sequence, head));
        log.proveRewrite(_proxy, head, signature);
    }

    function test_aProxyCanBeAContract() public {
        Wallet proxy = new Wallet(VM.addr(11), VM.addr(12));
        admit(address(proxy), IActorRegistry.Role.Proxy);
        IAccessLog.Receipt memory receipt = receiptAt(_revokedAt + 1);
        bytes32 digest = digestOf(receipt.sequence, log.hashOf(receipt));
        log.proveLateService(address(proxy), receipt, bytes.concat(sign(11, digest), sign(12, digest)));
        assert(!actors.isActive(address(proxy), IActorRegistry.Role.Proxy));
    }

    function testFuzz_theHashIsEip712s(uint64 sequence, uint48 time, uint8 kind, uint32 count, bytes32 detail) public view {
        IAccessLog.Receipt memory receipt = receiptAt(time);
        (receipt.sequence, receipt.kind) = (sequence, IAccessLog.Kind(kind % 5));
        (receipt.count, receipt.detail) = (count, detail);
        bytes32 typeHash = keccak256(
            "Receipt(uint64 sequence,bytes32 previous,uint8 kind,address policyId,uint48 blockTime,uint64 blockNumber,uint32 count,bytes32 detail)"
        );
        bytes memory fields = abi.encode(receipt.sequence, receipt.previous, receipt.kind, receipt.policyId);
        bytes memory rest = abi.encode(receipt.blockTime, receipt.blockNumber, receipt.count, receipt.detail);
        assert(log.hashOf(receipt) == keccak256(bytes.concat(typeHash, fields, rest)));
    }

    function receiptAt(uint48 time) private pure returns (IAccessLog.Receipt memory) {
        return IAccessLog.Receipt(
            4, "previous", IAccessLog.Kind.Reencrypted, PolicyId.wrap(OWNER), time, 9, 1, "detail"
        );
    }

    function digestOf(uint64 sequence, bytes32 head) private view returns (bytes32) {
        bytes32 typeHash =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 domain = keccak256(
            abi.encode(typeHash, keccak256("PanaChain AccessLog"), keccak256("1"), block.chainid, address(log))
        );
        bytes32 headType = keccak256("LogHead(uint64 sequence,bytes32 head)");
        return keccak256(abi.encodePacked(hex"1901", domain, keccak256(abi.encode(headType, sequence, head))));
    }

    function signHead(uint64 sequence, bytes32 head) private view returns (bytes memory) {
        return sign(KEY_OF_PROXY, digestOf(sequence, head));
    }

    function sign(uint256 key, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = VM.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }
}
