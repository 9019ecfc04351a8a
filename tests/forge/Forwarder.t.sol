// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {ERC2771Forwarder} from "@openzeppelin/contracts/metatx/ERC2771Forwarder.sol";
import {Errors} from "@openzeppelin/contracts/utils/Errors.sol";
import {IForwarder} from "../../contracts/interfaces/IForwarder.sol";
import {IIdentityRegistry} from "../../contracts/interfaces/IIdentityRegistry.sol";
import {Forwarder} from "../../contracts/sidechain/Forwarder.sol";
import {IdentityRegistry} from "../../contracts/sidechain/IdentityRegistry.sol";
import {Base} from "./Base.sol";

/// @notice One more cheat code: the event emitted next is the next one that `emitter` emits.
interface ForwarderEvents {
    function expectEmit(address emitter) external;
}

/// @title Fuzz tests of Forwarder, through a registry that believes it
/// @notice Whoever signed is who calls, once, in order and in time; and nobody else is.
contract ForwarderTest is Base {
    uint256 private constant START = 1_800_000_000;
    uint48 private constant DEADLINE = uint48(START + 600);
    /// @dev The order of secp256k1.
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    bytes32 private constant KEYS = "key block";
    address private constant HOSPITAL = address(0x4057);
    address private constant RELAY = address(0x4e1a);
    bytes32 private constant PAIRING = "pairing";

    Forwarder private _forwarder;
    IdentityRegistry private _registry;

    function setUp() public {
        VM.warp(START);
        _forwarder = new Forwarder();
        _registry = new IdentityRegistry(address(new AccessManager(address(this))), address(_forwarder));
    }

    /* IN WHOSE NAME */

    function testFuzz_WhoeverSignedCalls(uint256 seed, address payer) public {
        VM.assume(payer != address(0));
        (uint256 key, address patient) = _patient(seed);
        ERC2771Forwarder.ForwardRequestData memory request = _request(patient, _pair());
        bytes32 digest = _sign(request, key);

        ForwarderEvents(address(VM)).expectEmit(address(_registry));
        emit IIdentityRegistry.HospitalPaired(patient, HOSPITAL, PAIRING);
        ForwarderEvents(address(VM)).expectEmit(address(_forwarder));
        emit ERC2771Forwarder.ExecutedForwardRequest(patient, 0, true);
        ForwarderEvents(address(VM)).expectEmit(address(_forwarder));
        emit IForwarder.Forwarded(patient, digest);
        VM.prank(payer);
        _forwarder.execute(request);

        assert(_registry.pairingOf(patient, HOSPITAL) == PAIRING && _forwarder.nonces(patient) == 1);
    }

    function testFuzz_NobodySignsForAnother(uint256 seed, uint256 thief) public {
        VM.assume(keyOf(seed) != keyOf(thief));
        (, address patient) = _patient(seed);
        ERC2771Forwarder.ForwardRequestData memory request = _request(patient, _pair());
        _sign(request, keyOf(thief));

        _refused(request, _invalidSigner(VM.addr(keyOf(thief)), patient));
        assert(_registry.pairingOf(patient, HOSPITAL) == 0);
    }

    /// @notice What an ordinary caller appends to the calldata is nobody's name.
    function testFuzz_OnlyTheForwarderNamesWhoCalls(uint256 seed, address caller) public {
        (, address patient) = _patient(seed);
        VM.assume(caller != address(_forwarder) && caller != patient);
        VM.prank(caller);
        (bool done, bytes memory reason) = address(_registry).call(abi.encodePacked(_pair(), patient));
        bytes memory expected = abi.encodeWithSelector(IIdentityRegistry.IdentityNotActivePatient.selector, caller);
        assert(!done && keccak256(reason) == keccak256(expected));
        assert(_registry.pairingOf(patient, HOSPITAL) == 0);
    }

    /// @notice What the registrar does under the access manager stays the registrar's, whoever relays.
    function testFuzz_ARestrictedCallIsTheSigners(uint256 seed, uint256 stranger) public {
        (, address patient) = _patient(seed);
        VM.assume(keyOf(stranger) != keyOf(seed));
        bytes memory data = abi.encodeCall(IIdentityRegistry.suspend, (patient));
        ERC2771Forwarder.ForwardRequestData memory request = _request(VM.addr(keyOf(stranger)), data);
        _sign(request, keyOf(stranger));
        _refused(request, abi.encodeWithSelector(Errors.FailedCall.selector));

        AccessManager manager = AccessManager(_registry.authority());
        manager.grantRole(0, VM.addr(keyOf(stranger)), 0);
        _forwarder.execute(request);
        assert(!_registry.isActive(patient, IIdentityRegistry.Role.Patient));
    }

    /* ONCE, IN ORDER, IN TIME */

    function testFuzz_ASignatureCountsOnce(uint256 seed) public {
        (uint256 key, address patient) = _patient(seed);
        ERC2771Forwarder.ForwardRequestData memory request = _request(patient, _pair());
        _sign(request, key);
        _forwarder.execute(request);
        VM.prank(RELAY);
        VM.expectRevert();
        _forwarder.execute(request);
        assert(_forwarder.nonces(patient) == 1);
    }

    /// @notice A pairing that a relay holds back can't be brought after its end, which was signed later.
    function testFuzz_WhatWasHeldBackIsDead(uint256 seed, bool heldIsFirst) public {
        (uint256 key, address patient) = _patient(seed);
        ERC2771Forwarder.ForwardRequestData memory held = _request(patient, _pair());
        _sign(held, key);
        VM.prank(patient);
        _registry.pair(HOSPITAL, "earlier");
        // The held one wasn't made: its nonce is the next one still, and the end of the pairing takes it.
        ERC2771Forwarder.ForwardRequestData memory end =
            _request(patient, abi.encodeCall(IIdentityRegistry.unpair, (HOSPITAL)));
        _sign(end, key);

        // Whichever comes first, the other one counts no more: its signer sees it and signs anew.
        (ERC2771Forwarder.ForwardRequestData memory first, ERC2771Forwarder.ForwardRequestData memory second) =
            heldIsFirst ? (held, end) : (end, held);
        _forwarder.execute(first);
        VM.expectRevert();
        _forwarder.execute(second);
        assert(_registry.pairingOf(patient, HOSPITAL) == (heldIsFirst ? PAIRING : bytes32(0)));
    }

    function testFuzz_ADeadlineIsTheLastSecond(uint256 seed, uint32 late) public {
        (uint256 key, address patient) = _patient(seed);
        ERC2771Forwarder.ForwardRequestData memory request = _request(patient, _pair());
        _sign(request, key);
        VM.warp(uint256(DEADLINE) + 1 + late);
        _refused(
            request, abi.encodeWithSelector(ERC2771Forwarder.ERC2771ForwarderExpiredRequest.selector, request.deadline)
        );
        VM.warp(DEADLINE);
        _forwarder.execute(request);
        assert(_registry.pairingOf(patient, HOSPITAL) == PAIRING);
    }

    /* NOTHING CAN BE CHANGED */

    function testFuzz_NoFieldCanBeChanged(uint256 seed, uint8 field) public {
        (uint256 key, address patient) = _patient(seed);
        ERC2771Forwarder.ForwardRequestData memory request = _request(patient, _pair());
        _sign(request, key);
        if (field % 5 == 0) request.data = abi.encodeCall(IIdentityRegistry.pair, (RELAY, PAIRING));
        else if (field % 5 == 1) request.gas += 1;
        else if (field % 5 == 2) request.deadline += 1;
        else if (field % 5 == 3) request.from = RELAY;
        else request.to = address(new IdentityRegistry(_registry.authority(), address(_forwarder)));
        VM.expectRevert();
        _forwarder.execute(request);
        assert(_forwarder.nonces(patient) == 0);
    }

    function testFuzz_AnotherChainAndAnotherForwarderAreOthers(uint256 seed, uint64 chain) public {
        (uint256 key, address patient) = _patient(seed);
        ERC2771Forwarder.ForwardRequestData memory request = _request(patient, _pair());
        _sign(request, key);
        Forwarder other = new Forwarder();
        IdentityRegistry theirs = new IdentityRegistry(_registry.authority(), address(other));
        request.to = address(theirs);
        VM.expectRevert();
        other.execute(request);

        request.to = address(_registry);
        uint256 here = block.chainid;
        VM.assume(chain != here && chain != 0);
        VM.chainId(chain);
        VM.expectRevert();
        _forwarder.execute(request);
        VM.chainId(here);
        _forwarder.execute(request);
    }

    /// @notice The same signature with a high s, and in 64 bytes, is none.
    function testFuzz_ASignatureHasOneForm(uint256 seed) public {
        (uint256 key, address patient) = _patient(seed);
        ERC2771Forwarder.ForwardRequestData memory request = _request(patient, _pair());
        (uint8 v, bytes32 r, bytes32 s) = VM.sign(key, _digest(request));
        bytes memory good = abi.encodePacked(r, s, v);
        request.signature = abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        _refused(request, _invalidSigner(address(0), patient));
        request.signature = abi.encodePacked(r, bytes32(uint256(s) | uint256(v - 27) << 255));
        _refused(request, _invalidSigner(address(0), patient));
        request.signature = good;
        _forwarder.execute(request);
    }

    /* WHAT FAILS */

    function testFuzz_AContractThatBelievesAnotherForwarderIsNotCalled(uint256 seed) public {
        (uint256 key, address patient) = _patient(seed);
        ERC2771Forwarder.ForwardRequestData memory request = _request(patient, _pair());
        request.to = address(new IdentityRegistry(_registry.authority(), address(new Forwarder())));
        _sign(request, key);
        _refused(
            request,
            abi.encodeWithSelector(
                ERC2771Forwarder.ERC2771UntrustfulTarget.selector, request.to, address(_forwarder)
            )
        );
    }

    function testFuzz_WhatRevertsCostsNoNonceAlone(uint256 seed) public {
        (uint256 key, address patient) = _patient(seed);
        ERC2771Forwarder.ForwardRequestData memory request =
            _request(patient, abi.encodeCall(IIdentityRegistry.unpair, (HOSPITAL)));
        _sign(request, key);
        _refused(request, abi.encodeWithSelector(Errors.FailedCall.selector));
        assert(_forwarder.nonces(patient) == 0);
    }

    /// @notice In a batch that goes on, it costs its nonce, and isn't said to be made.
    function testFuzz_WhatRevertsIsNotSaidToBeMade(uint256 seed, uint256 other) public {
        VM.assume(keyOf(seed) != keyOf(other));
        (uint256 key, address patient) = _patient(seed);
        (uint256 otherKey, address second) = _patient(other);
        ERC2771Forwarder.ForwardRequestData[] memory batch = new ERC2771Forwarder.ForwardRequestData[](2);
        batch[0] = _request(patient, abi.encodeCall(IIdentityRegistry.unpair, (HOSPITAL)));
        batch[1] = _request(second, _pair());
        _sign(batch[0], key);
        bytes32 made = _sign(batch[1], otherKey);

        ForwarderEvents(address(VM)).expectEmit(address(_forwarder));
        emit ERC2771Forwarder.ExecutedForwardRequest(patient, 0, false);
        // Right behind it, so that no event of the first call stands between.
        ForwarderEvents(address(VM)).expectEmit(address(_registry));
        emit IIdentityRegistry.HospitalPaired(second, HOSPITAL, PAIRING);
        ForwarderEvents(address(VM)).expectEmit(address(_forwarder));
        emit ERC2771Forwarder.ExecutedForwardRequest(second, 0, true);
        ForwarderEvents(address(VM)).expectEmit(address(_forwarder));
        emit IForwarder.Forwarded(second, made);
        _forwarder.executeBatch(batch, payable(RELAY));
        assert(_forwarder.nonces(patient) == 1 && _registry.pairingOf(second, HOSPITAL) == PAIRING);
    }

    /// @notice A batch without a place for refunds is made as a whole or not at all.
    function testFuzz_ABatchIsAllOrNothing(uint256 seed, uint256 other) public {
        VM.assume(keyOf(seed) != keyOf(other));
        (uint256 key, address patient) = _patient(seed);
        (, address second) = _patient(other);
        ERC2771Forwarder.ForwardRequestData[] memory batch = new ERC2771Forwarder.ForwardRequestData[](2);
        batch[0] = _request(patient, _pair());
        batch[1] = _request(second, _pair());
        _sign(batch[0], key);
        _sign(batch[1], key);
        VM.expectRevert(_invalidSigner(patient, second));
        _forwarder.executeBatch(batch, payable(address(0)));
        assert(_forwarder.nonces(patient) == 0 && _registry.pairingOf(patient, HOSPITAL) == 0);
    }

    /// @notice A relay that brings too little gas makes nothing of a call, rather than its failure.
    function testFuzz_TooLittleGasMakesNothing(uint256 seed, uint32 given) public {
        (uint256 key, address patient) = _patient(seed);
        ERC2771Forwarder.ForwardRequestData[] memory batch = new ERC2771Forwarder.ForwardRequestData[](1);
        batch[0] = _request(patient, _pair());
        _sign(batch[0], key);
        uint256 gas_ = bound(given, 20_000, 120_000);
        try _forwarder.executeBatch{gas: gas_}(batch, payable(RELAY)) {
            assert(_registry.pairingOf(patient, HOSPITAL) == PAIRING);
        } catch {
            assert(_forwarder.nonces(patient) == 0);
        }
    }

    /* INTERNAL */

    function _patient(uint256 seed) private returns (uint256 key, address patient) {
        key = keyOf(seed);
        patient = VM.addr(key);
        _registry.register(patient, IIdentityRegistry.Role.Patient, bytes32(0), KEYS, address(0), "");
    }

    function _pair() private pure returns (bytes memory) {
        return abi.encodeCall(IIdentityRegistry.pair, (HOSPITAL, PAIRING));
    }

    function _request(address from, bytes memory data)
        private
        view
        returns (ERC2771Forwarder.ForwardRequestData memory request)
    {
        request.from = from;
        request.to = address(_registry);
        request.gas = 100_000;
        request.deadline = DEADLINE;
        request.data = data;
    }

    function _sign(ERC2771Forwarder.ForwardRequestData memory request, uint256 key) private view returns (bytes32 digest) {
        digest = _digest(request);
        (uint8 v, bytes32 r, bytes32 s) = VM.sign(key, digest);
        request.signature = abi.encodePacked(r, s, v);
    }

    /// @dev EIP-712 by hand, as a signer computes it, and not as the contract does.
    function _digest(ERC2771Forwarder.ForwardRequestData memory request) private view returns (bytes32) {
        bytes32 kind = keccak256(
            "ForwardRequest(address from,address to,uint256 value,uint256 gas,uint256 nonce,uint48 deadline,bytes data)"
        );
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("PanaChain Forwarder"),
                keccak256("1"),
                block.chainid,
                address(_forwarder)
            )
        );
        uint256 nonce = _forwarder.nonces(request.from);
        bytes32 struct_ = keccak256(
            abi.encode(
                kind, request.from, request.to, 0, request.gas, nonce, request.deadline, keccak256(request.data)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, struct_));
    }

    function _refused(ERC2771Forwarder.ForwardRequestData memory request, bytes memory reason) private {
        VM.prank(RELAY);
        VM.expectRevert(reason);
        _forwarder.execute(request);
    }

    function _invalidSigner(address signer, address from) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ERC2771Forwarder.ERC2771ForwarderInvalidSigner.selector, signer, from);
    }
}
