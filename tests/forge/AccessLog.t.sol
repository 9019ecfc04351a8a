// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {IAccessLog} from "../../contracts/interfaces/IAccessLog.sol";
import {IActorRegistry} from "../../contracts/interfaces/IActorRegistry.sol";
import {IPolicyRegistry} from "../../contracts/interfaces/IPolicyRegistry.sol";
import {Wallet} from "./Wallet.sol";
import {ActorsBase} from "./Actors.t.sol";
import {LogSigner} from "./LogSigner.sol";
import {PolicyRegistry} from "../../contracts/mainchain/PolicyRegistry.sol";
import {ActorRegistry} from "../../contracts/mainchain/ActorRegistry.sol";
import {CompactSignature} from "../../contracts/libraries/Signatures.sol";
import {Disclosure} from "../../contracts/types/Disclosure.sol";
import {PolicyId} from "../../contracts/types/PolicyId.sol";
import {PolicyWindow} from "../../contracts/types/PolicyWindow.sol";

/// @title AccessLog: anchors and evidence
contract AccessLogTest is ActorsBase, LogSigner {
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
        uint256 window = uint256(time) << 96 | uint256(time + 1000) << 48 | time - 10;
        _policies.grant(IPolicyRegistry.Grant(OWNER, PolicyWindow.wrap(window), "terms", "", Disclosure.wrap(0)));
        _revokedAt = time + 500;
        VM.warp(_revokedAt);
        VM.prank(OWNER);
        _policies.revoke();
    }

    function testFuzz_aHeadIsNotZero(uint64 sequence) public {
        sequence = uint64(bound(sequence, 1, type(uint64).max));
        CompactSignature memory signature = compactHead(KEY_OF_PROXY, address(log), sequence, 0);
        VM.expectRevert(abi.encodeWithSelector(IAccessLog.LogWithoutHead.selector, _proxy));
        log.anchor(_proxy, sequence, 0, signature);
    }

    function testFuzz_sequencesOnlyGrow(uint64 first, uint64 second, bytes32 head) public {
        VM.assume(head != 0 && ~head != 0);
        CompactSignature memory signature = compactHead(KEY_OF_PROXY, address(log), first, head);
        if (first == 0) VM.expectRevert(abi.encodeWithSelector(IAccessLog.LogSequenceNotGrowing.selector, 0, 0));
        log.anchor(_proxy, first, head, signature);
        signature = compactHead(KEY_OF_PROXY, address(log), second, ~head);
        bytes memory problem = abi.encodeWithSelector(IAccessLog.LogSequenceNotGrowing.selector, second, first);
        if (second <= first) VM.expectRevert(problem);
        log.anchor(_proxy, second, ~head, signature);
        IAccessLog.Anchor memory newest = log.anchorOf(_proxy);
        assert(newest.admitted && newest.sequence == (second > first ? second : first));
        assert(newest.sequence == 0 || newest.head == (second > first ? ~head : head));
    }

    function testFuzz_eventsSayWhatWasAnchoredAndProven(uint64 sequence, bytes32 head) public {
        sequence = uint64(bound(sequence, 1, type(uint64).max));
        VM.assume(head != 0 && head != "other");
        CompactSignature memory anchored = compactHead(KEY_OF_PROXY, address(log), sequence, head);
        expectEventOf(address(log));
        emit IAccessLog.HeadAnchored(_proxy, sequence, head, anchored);
        log.anchor(_proxy, sequence, head, anchored);

        IAccessLog.Receipt memory receipt = receiptAt(_revokedAt + 1);
        bytes32 stated = log.hashOf(receipt);
        bytes memory signature = signHead(receipt.sequence, stated);
        expectEventOf(address(log));
        emit IAccessLog.LateServiceProven(_proxy, receipt.policyId, receipt.sequence, stated);
        log.proveLateService(_proxy, receipt, signature);

        signature = signHead(sequence, "other");
        expectEventOf(address(log));
        emit IAccessLog.ForkProven(_proxy, sequence, head, "other");
        // What an anchor published is one half of the evidence.
        log.proveFork(_proxy, sequence, head, bytes.concat(anchored.r, anchored.vs), "other", signature);
    }

    function testFuzz_aLogStartsWithWhoseItIs(uint256 seed, bool suspended) public {
        VM.assume(keyOf(seed) != KEY_OF_PROXY);
        address proxy = VM.addr(keyOf(seed));
        admit(proxy, IActorRegistry.Role.Proxy);
        bytes32 first = keccak256(abi.encode(block.chainid, address(log), proxy));
        assert(log.anchorOf(proxy).head == first && log.anchorOf(proxy).sequence == 0);
        log.anchor(proxy, 1, "head", compactHead(keyOf(seed), address(log), 1, "head"));
        if (suspended) {
            actors.suspend(proxy);
            actors.reinstate(proxy);
        }
        assert(log.anchorOf(proxy).head == "head" && log.anchorOf(proxy).sequence == 1);
    }

    function testFuzz_onlyActiveProxiesAnchor(uint256 seed, uint64 sequence) public {
        VM.assume(keyOf(seed) != KEY_OF_PROXY);
        address stranger = VM.addr(keyOf(seed));
        CompactSignature memory signature = compactHead(keyOf(seed), address(log), sequence, "head");
        VM.expectRevert(abi.encodeWithSelector(IAccessLog.LogNotActiveProxy.selector, stranger));
        log.anchor(stranger, sequence, "head", signature);
        actors.suspend(_proxy);
        signature = compactHead(KEY_OF_PROXY, address(log), sequence, "head");
        VM.expectRevert(abi.encodeWithSelector(IAccessLog.LogNotActiveProxy.selector, _proxy));
        log.anchor(_proxy, sequence, "head", signature);
    }

    /// @notice Whoever sends it: an anchor is what the proxy signed for this log, and nothing else.
    function testFuzz_anchorsNeedTheProxysSignature(uint256 seed, uint64 sequence, uint64 other, bytes32 head) public {
        sequence = uint64(bound(sequence, 1, type(uint64).max));
        VM.assume(keyOf(seed) != KEY_OF_PROXY && other != sequence && head != 0 && head != "other");
        CompactSignature[4] memory wrong = [
            compactHead(keyOf(seed), address(log), sequence, head),
            compactHead(KEY_OF_PROXY, address(ledger), sequence, head),
            compactHead(KEY_OF_PROXY, address(log), other, head),
            compactHead(KEY_OF_PROXY, address(log), sequence, "other")
        ];
        bytes4 problem = IAccessLog.LogInvalidSignature.selector;
        for (uint256 i = 0; i < wrong.length; ++i) {
            VM.prank(_proxy);
            VM.expectRevert(abi.encodeWithSelector(problem, _proxy, sequence, head));
            log.anchor(_proxy, sequence, head, wrong[i]);
        }
        log.anchor(_proxy, sequence, head, compactHead(KEY_OF_PROXY, address(log), sequence, head));
        assert(log.anchorOf(_proxy).head == head);
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
        bytes memory signature = sign(keyOf(seed), headDigest(address(log), receipt.sequence, head));
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
        // A second piece of evidence against a proxy that is suspended already is taken down, and changes nothing.
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

    /// @notice An anchor is evidence for ever, however many heads were anchored after it.
    function testFuzz_anOldAnchorConvictsWhoSignsAnotherHead(uint64 sequence, bytes32 head, bytes32 other) public {
        sequence = uint64(bound(sequence, 1, type(uint64).max - 1));
        VM.assume(head != 0 && head != other);
        CompactSignature memory anchored = compactHead(KEY_OF_PROXY, address(log), sequence, head);
        log.anchor(_proxy, sequence, head, anchored);
        log.anchor(_proxy, sequence + 1, "later", compactHead(KEY_OF_PROXY, address(log), sequence + 1, "later"));
        bytes memory signature = signHead(sequence, other);
        log.proveFork(_proxy, sequence, head, bytes.concat(anchored.r, anchored.vs), other, signature);
        assert(!actors.isActive(_proxy, IActorRegistry.Role.Proxy));
    }

    function test_aProxyCanBeAContract() public {
        Wallet proxy = new Wallet(VM.addr(11), VM.addr(12));
        admit(address(proxy), IActorRegistry.Role.Proxy);
        IAccessLog.Receipt memory receipt = receiptAt(_revokedAt + 1);
        bytes32 digest = headDigest(address(log), receipt.sequence, log.hashOf(receipt));
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

    function signHead(uint64 sequence, bytes32 head) private view returns (bytes memory) {
        return sign(KEY_OF_PROXY, headDigest(address(log), sequence, head));
    }

    function sign(uint256 key, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = VM.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }
}
