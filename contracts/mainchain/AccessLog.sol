// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IAccessLog} from "../interfaces/IAccessLog.sol";
import {IActorRegistry} from "../interfaces/IActorRegistry.sol";
import {IPolicyRegistry} from "../interfaces/IPolicyRegistry.sol";
import {CompactSignature, Signatures} from "../libraries/Signatures.sol";

/// @title AccessLog
/// @notice See {IAccessLog}. It judges by signatures and by the policy registry only; nobody can convict or acquit.
contract AccessLog is IAccessLog, EIP712 {
    bytes32 private constant RECEIPT_TYPEHASH = keccak256(
        "Receipt(uint64 sequence,bytes32 previous,uint8 kind,address policyId,uint48 blockTime,uint64 blockNumber,uint32 count,bytes32 detail)"
    );
    bytes32 private constant LOG_HEAD_TYPEHASH = keccak256("LogHead(uint64 sequence,bytes32 head)");

    /// @dev Made by the registry, so that no other contract can ever admit a proxy.
    IActorRegistry private immutable _REGISTRY;
    IPolicyRegistry private immutable _POLICIES;

    mapping(address proxy => Anchor anchor) private _anchors;
    mapping(bytes32 evidence => bool used) private _used;

    constructor(IPolicyRegistry policies) EIP712("PanaChain AccessLog", "1") {
        _REGISTRY = IActorRegistry(msg.sender);
        _POLICIES = policies;
    }

    /* ANCHORS */

    /// @inheritdoc IAccessLog
    function anchor(address proxy, uint64 sequence, bytes32 head, CompactSignature calldata signature) external {
        Anchor storage newest = _anchors[proxy];
        if (!newest.admitted) revert LogNotActiveProxy(proxy);
        uint64 anchored = newest.sequence;
        if (sequence <= anchored) revert LogSequenceNotGrowing(sequence, anchored);
        // Zero stands for an account that was never a proxy: with it a proxy could step out of reach of evidence.
        if (head == bytes32(0)) revert LogWithoutHead(proxy);
        if (!Signatures.isValid(proxy, _digestOf(sequence, head), signature)) {
            revert LogInvalidSignature(proxy, sequence, head);
        }

        newest.sequence = sequence;
        newest.head = head;

        // With its signature: whoever reads this holds one half of a fork's evidence, for ever.
        emit HeadAnchored(proxy, sequence, head, signature);
    }

    /// @inheritdoc IAccessLog
    function setAdmitted(address proxy, bool admitted) external {
        if (msg.sender != address(_REGISTRY)) revert LogNotRegistry(msg.sender);

        Anchor storage newest = _anchors[proxy];
        newest.admitted = admitted;
        // Says whose log this is, and makes the first anchor cost as much gas as later ones.
        if (newest.head == bytes32(0)) newest.head = keccak256(abi.encode(block.chainid, address(this), proxy));
    }

    /* EVIDENCE */

    /// @inheritdoc IAccessLog
    function proveLateService(address proxy, Receipt calldata receipt, bytes calldata signature) external {
        bytes32 head = hashOf(receipt);
        _checkSigned(proxy, receipt.sequence, head, signature);
        if (receipt.kind != Kind.Reencrypted || _POLICIES.allowedAt(receipt.policyId, receipt.blockTime)) {
            revert LogNotLate(receipt.policyId, receipt.kind, receipt.blockTime);
        }
        _useEvidence(keccak256(abi.encode(proxy, head)));

        emit LateServiceProven(proxy, receipt.policyId, receipt.sequence, head);

        _REGISTRY.convict(proxy);
    }

    /// @inheritdoc IAccessLog
    function proveFork(
        address proxy,
        uint64 sequence,
        bytes32 first,
        bytes calldata firstSignature,
        bytes32 second,
        bytes calldata secondSignature
    ) external {
        _checkSigned(proxy, sequence, first, firstSignature);
        _checkSigned(proxy, sequence, second, secondSignature);
        if (first == second) revert LogNotFork(sequence, first, second);
        // One fork, one conviction, however the two heads are ordered or paired with a third one.
        _useEvidence(keccak256(abi.encode(proxy, sequence)));

        emit ForkProven(proxy, sequence, first, second);

        _REGISTRY.convict(proxy);
    }

    /* VIEWS */

    /// @inheritdoc IAccessLog
    function anchorOf(address proxy) external view returns (Anchor memory) {
        return _anchors[proxy];
    }

    /// @inheritdoc IAccessLog
    function hashOf(Receipt calldata receipt) public pure returns (bytes32) {
        return keccak256(abi.encode(RECEIPT_TYPEHASH, receipt));
    }

    /* INTERNAL */

    /// @dev Once: a proxy that was reinstated isn't suspended again for what was judged.
    function _useEvidence(bytes32 evidence) private {
        if (_used[evidence]) revert LogEvidenceUsed(evidence);

        _used[evidence] = true;
    }

    function _checkSigned(address proxy, uint64 sequence, bytes32 head, bytes calldata signature) private view {
        // The head of a proxy is never zero again once it was admitted.
        if (_anchors[proxy].head == bytes32(0)) revert LogNotProxy(proxy);
        if (!Signatures.isValid(proxy, _digestOf(sequence, head), signature)) {
            revert LogInvalidSignature(proxy, sequence, head);
        }
    }

    function _digestOf(uint64 sequence, bytes32 head) private view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(LOG_HEAD_TYPEHASH, sequence, head)));
    }
}
