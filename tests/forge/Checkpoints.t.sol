// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ICheckpoints} from "../../contracts/interfaces/ICheckpoints.sol";
import {Checkpoints} from "../../contracts/mainchain/Checkpoints.sol";
import {Base} from "./Base.sol";

/// @notice One more cheat code: the event emitted next is the next one that `emitter` emits.
interface CheckpointEvents {
    function expectEmit(address emitter) external;
}

/// @title A validator that is a contract
/// @notice It signs with the key of one account; a signature may be longer than that of a key.
contract ValidatorWallet is IERC1271 {
    address private immutable _KEY;

    constructor(address key) {
        _KEY = key;
    }

    /// @inheritdoc IERC1271
    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        (bytes32 r, bytes32 s, uint8 v) = (bytes32(signature[:32]), bytes32(signature[32:64]), uint8(signature[64]));
        address recovered = ecrecover(digest, v, r, s);
        bool signed = recovered != address(0) && recovered == _KEY;
        return signed ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}

/// @title Fuzz tests of Checkpoints
/// @notice Who states the sidechain's blocks, how many of them it takes, and which error says no.
contract CheckpointsTest is Base {
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    uint256 private constant MOST = 7;
    uint64 private constant SIDECHAIN = 8453;
    bytes32 private constant HASH = "hash";

    AccessManager private manager;
    Checkpoints private checkpoints;
    /// @dev Ascending by address, and the key of each; {_deploy} fills them.
    address[] private accounts;
    mapping(address account => uint256 key) private keys;

    function setUp() public {
        manager = new AccessManager(address(this));
    }

    /* VALIDATORS */

    function testFuzz_ValidatorsAreWhoWasNamed(uint256 seed, uint256 count, uint256 quorum, uint64 chain) public {
        count = bound(count, 1, MOST);
        quorum = bound(quorum, 1, count);
        address[] memory named = _accounts(seed, count);
        checkpoints = new Checkpoints(address(manager), chain, named, quorum);
        _assertValidators(named, quorum);
        assert(checkpoints.sidechainId() == chain);
        _assertNewest(0, bytes32(0));
    }

    function testFuzz_OthersReplaceTheValidators(uint256 seed, uint256 count, uint256 quorum) public {
        _deploy(seed, bound(seed, 1, MOST), 1);
        count = bound(count, 1, MOST);
        quorum = bound(quorum, 1, count);
        address[] memory named = _accounts(~seed, count);
        _expectEvent();
        emit ICheckpoints.ValidatorsChanged(named, quorum);
        checkpoints.setValidators(named, quorum);
        _assertValidators(named, quorum);
    }

    function testFuzz_AQuorumIsAtLeastOne(uint256 seed, uint256 count) public {
        address[] memory named = _accounts(seed, bound(count, 0, MOST));
        _deploy(seed, 2, 2);
        _expectInvalidQuorum(0, named.length);
        checkpoints.setValidators(named, 0);
        _expectInvalidQuorum(0, named.length);
        new Checkpoints(address(manager), SIDECHAIN, named, 0);
    }

    function testFuzz_AQuorumIsAtMostTheValidators(uint256 seed, uint256 count, uint256 quorum) public {
        address[] memory named = _accounts(seed, bound(count, 0, MOST));
        _deploy(seed, 2, 2);
        quorum = bound(quorum, named.length + 1, type(uint256).max - 1);
        uint256[2] memory quorums = [named.length + 1, quorum];
        for (uint256 i = 0; i < 2; ++i) {
            _expectInvalidQuorum(quorums[i], named.length);
            checkpoints.setValidators(named, quorums[i]);
            _expectInvalidQuorum(quorums[i], named.length);
            new Checkpoints(address(manager), SIDECHAIN, named, quorums[i]);
        }
        _assertValidators(accounts, 2);
    }

    function testFuzz_ValidatorsAscend(uint256 seed, uint256 count, uint256 place) public {
        count = bound(count, 2, MOST);
        place = bound(place, 1, count - 1);
        _deploy(seed, 2, 2);
        address[] memory named = _accounts(~seed, count);
        (named[place - 1], named[place]) = (named[place], named[place - 1]);
        _expectNotAscending(named[place - 1], named[place]);
        checkpoints.setValidators(named, 1);
        _expectNotAscending(named[place - 1], named[place]);
        new Checkpoints(address(manager), SIDECHAIN, named, 1);
        _assertValidators(accounts, 2);
    }

    function testFuzz_NoValidatorCountsTwice(uint256 seed, uint256 count, uint256 place) public {
        count = bound(count, 2, MOST);
        place = bound(place, 1, count - 1);
        _deploy(seed, 2, 2);
        address[] memory named = _accounts(~seed, count);
        named[place] = named[place - 1];
        _expectNotAscending(named[place], named[place]);
        checkpoints.setValidators(named, 1);
    }

    function testFuzz_TheZeroAccountIsNoValidator(uint256 seed, uint256 count) public {
        _deploy(seed, 2, 2);
        address[] memory named = _accounts(~seed, bound(count, 1, MOST));
        named[0] = address(0);
        _expectNotAscending(address(0), address(0));
        checkpoints.setValidators(named, 1);
    }

    function testFuzz_NobodyButTheAdministratorNamesValidators(uint256 seed, address caller) public {
        VM.assume(caller != address(this));
        _deploy(seed, 3, 2);
        VM.prank(caller);
        VM.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, caller));
        checkpoints.setValidators(_accounts(~seed, 1), 1);
        _assertValidators(accounts, 2);
    }

    function testFuzz_OnlyTheValidatorsOfTodayCount(uint256 seed, uint256 place) public {
        _deploy(seed, 4, 1);
        address[] memory before = accounts;
        place = bound(place, 0, 3);
        // One of them stays, with others beside it.
        address[] memory named = _sorted(_with(_accounts(~seed, 2), before[place]));
        checkpoints.setValidators(named, 1);
        for (uint256 i = 0; i < 4; ++i) {
            if (i != place) VM.expectRevert(_notValidator(before[i]));
            _state(uint64(1 + i), HASH, _one(before[i]));
        }
        for (uint256 i = 0; i < 3; ++i) {
            _state(uint64(10 + i), HASH, _one(named[i]));
        }
    }

    /* CHECKPOINTS */

    function testFuzz_AQuorumStatesABlock(uint256 seed, uint256 count, uint256 quorum, uint64 number, bytes32 hash)
        public
    {
        VM.assume(number != 0 && hash != bytes32(0));
        count = bound(count, 1, MOST);
        quorum = bound(quorum, 1, count);
        _deploy(seed, count, quorum);
        address[] memory signers = _some(quorum, seed);
        bytes[] memory signatures = _signatures(number, hash, signers);
        _expectEvent();
        emit ICheckpoints.Checkpointed(number, hash);
        checkpoints.checkpoint(number, hash, signers, signatures);
        _assertNewest(number, hash);
        assert(checkpoints.hashAt(number) == hash);
    }

    function testFuzz_MoreThanAQuorumMaySign(uint256 seed, uint256 count, uint256 quorum, address caller) public {
        count = bound(count, 2, MOST);
        quorum = bound(quorum, 1, count - 1);
        _deploy(seed, count, quorum);
        bytes[] memory signatures = _signatures(1, HASH, accounts);
        VM.prank(caller);
        checkpoints.checkpoint(1, HASH, accounts, signatures);
        _assertNewest(1, HASH);
    }

    function testFuzz_LessThanAQuorumStatesNothing(uint256 seed, uint256 quorum, uint256 signed) public {
        quorum = bound(quorum, 1, MOST);
        _deploy(seed, MOST, quorum);
        uint256[2] memory counts = [quorum - 1, bound(signed, 0, quorum - 1)];
        for (uint256 i = 0; i < 2; ++i) {
            address[] memory signers = _some(counts[i], seed);
            bytes[] memory signatures = _signatures(1, HASH, signers);
            VM.expectRevert(abi.encodeWithSelector(ICheckpoints.CheckpointBelowQuorum.selector, counts[i], quorum));
            checkpoints.checkpoint(1, HASH, signers, signatures);
        }
        _assertNewest(0, bytes32(0));
    }

    function testFuzz_EverySignerHasOneSignature(uint256 seed, uint256 signed, uint256 other) public {
        _deploy(seed, MOST, 1);
        signed = bound(signed, 0, MOST);
        other = bound(other, 0, MOST);
        VM.assume(signed != other);
        bytes[] memory signatures = _signatures(1, HASH, _some(other, seed));
        VM.expectRevert(abi.encodeWithSelector(ICheckpoints.CheckpointLengths.selector, signed, other));
        checkpoints.checkpoint(1, HASH, _some(signed, seed), signatures);
    }

    function testFuzz_NumbersGrow(uint256 seed, uint64 first, uint64 second, bytes32 hash) public {
        VM.assume(hash != bytes32(0));
        first = uint64(bound(first, 1, type(uint64).max - 1));
        second = uint64(bound(second, 0, first));
        _deploy(seed, 3, 2);
        _state(first, HASH, _some(2, seed));
        uint64[2] memory numbers = [first, second];
        for (uint256 i = 0; i < 2; ++i) {
            _stateNotGrowing(numbers[i], hash, first);
        }
        _assertNewest(first, HASH);
        _state(first + 1, hash, _some(2, seed));
        _assertNewest(first + 1, hash);
        assert(checkpoints.hashAt(first) == HASH);
    }

    function testFuzz_NumbersMayLeaveSomeOut(uint256 seed, uint64 first, uint64 second) public {
        first = uint64(bound(first, 1, type(uint64).max - 2));
        second = uint64(bound(second, first + 2, type(uint64).max));
        _deploy(seed, 3, 2);
        _state(first, HASH, _some(2, seed));
        _state(second, ~HASH, _some(2, seed));
        _assertNewest(second, ~HASH);
        assert(checkpoints.hashAt(first) == HASH && checkpoints.hashAt(first + 1) == bytes32(0));
    }

    function testFuzz_TheGenesisIsNotStated(uint256 seed, bytes32 hash) public {
        _deploy(seed, 3, 2);
        _stateNotGrowing(0, hash, 0);
        assert(checkpoints.hashAt(0) == bytes32(0));
    }

    function testFuzz_ABlockHasAHash(uint256 seed, uint64 number) public {
        VM.assume(number != 0);
        _deploy(seed, 3, 2);
        _stateNotGrowing(number, bytes32(0), 0);
        _assertNewest(0, bytes32(0));
    }

    function testFuzz_SignersAscend(uint256 seed, uint256 place) public {
        _deploy(seed, MOST, 1);
        place = bound(place, 1, MOST - 1);
        address[] memory signers = accounts;
        (signers[place - 1], signers[place]) = (signers[place], signers[place - 1]);
        bytes[] memory signatures = _signatures(1, HASH, signers);
        _expectNotAscending(signers[place - 1], signers[place]);
        checkpoints.checkpoint(1, HASH, signers, signatures);
    }

    function testFuzz_NobodySignsTwice(uint256 seed, uint256 place) public {
        _deploy(seed, MOST, MOST);
        place = bound(place, 1, MOST - 1);
        address[] memory signers = accounts;
        signers[place] = signers[place - 1];
        bytes[] memory signatures = _signatures(1, HASH, signers);
        _expectNotAscending(signers[place], signers[place]);
        checkpoints.checkpoint(1, HASH, signers, signatures);
    }

    function testFuzz_TheZeroAccountSignsNothing(uint256 seed) public {
        _deploy(seed, 3, 1);
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = abi.encodePacked(seed, seed, uint8(27));
        _expectNotAscending(address(0), address(0));
        checkpoints.checkpoint(1, HASH, new address[](1), signatures);
    }

    function testFuzz_OnlyValidatorsSign(uint256 seed, uint256 count) public {
        _deploy(seed, bound(count, 1, MOST), 1);
        address stranger = _accounts(~seed, 1)[0];
        address[] memory signers = _sorted(_with(accounts, stranger));
        bytes[] memory signatures = _signatures(1, HASH, signers);
        VM.expectRevert(_notValidator(stranger));
        checkpoints.checkpoint(1, HASH, signers, signatures);
        _assertNewest(0, bytes32(0));
    }

    /* SIGNATURES */

    function testFuzz_EverySignatureMatters(uint256 seed, uint256 place, bytes calldata forged) public {
        _deploy(seed, MOST, 1);
        place = bound(place, 0, MOST - 1);
        bytes[] memory signatures = _signatures(1, HASH, accounts);
        signatures[place] = forged;
        _expectInvalidSignature(accounts[place]);
        checkpoints.checkpoint(1, HASH, accounts, signatures);
        _assertNewest(0, bytes32(0));
    }

    function testFuzz_ASignatureIsForItsSigner(uint256 seed, uint256 place) public {
        _deploy(seed, MOST, 1);
        place = bound(place, 0, MOST - 2);
        bytes[] memory signatures = _signatures(1, HASH, accounts);
        (signatures[place], signatures[place + 1]) = (signatures[place + 1], signatures[place]);
        _expectInvalidSignature(accounts[place]);
        checkpoints.checkpoint(1, HASH, accounts, signatures);
    }

    function testFuzz_ASignatureIsForOneBlock(uint256 seed, uint64 number, uint64 other, bytes32 hash) public {
        VM.assume(number != 0 && number != other && hash != bytes32(0) && hash != HASH);
        _deploy(seed, 1, 1);
        bytes[] memory signatures = _signatures(other, HASH, accounts);
        _expectInvalidSignature(accounts[0]);
        checkpoints.checkpoint(number, HASH, accounts, signatures);
        signatures = _signatures(number, HASH, accounts);
        _expectInvalidSignature(accounts[0]);
        checkpoints.checkpoint(number, hash, accounts, signatures);
        checkpoints.checkpoint(number, HASH, accounts, signatures);
    }

    function testFuzz_ASignatureIsForOneSidechain(uint256 seed, uint64 other) public {
        VM.assume(other != SIDECHAIN);
        _deploy(seed, 1, 1);
        bytes32 digest = _digest(block.chainid, address(checkpoints), other, 1, HASH);
        _expectInvalidSignature(accounts[0]);
        checkpoints.checkpoint(1, HASH, accounts, _ones(_sign(keys[accounts[0]], digest)));
    }

    function testFuzz_ASignatureIsForOneMainchain(uint256 seed, uint256 chain) public {
        chain = bound(chain, 1, type(uint64).max - 1);
        VM.assume(chain != 31337);
        _deploy(seed, 1, 1);
        bytes32 digest = _digest(31337, address(checkpoints), SIDECHAIN, 1, HASH);
        bytes[] memory signatures = _ones(_sign(keys[accounts[0]], digest));
        VM.chainId(chain);
        _expectInvalidSignature(accounts[0]);
        checkpoints.checkpoint(1, HASH, accounts, signatures);
        VM.chainId(31337);
        checkpoints.checkpoint(1, HASH, accounts, signatures);
    }

    function testFuzz_ASignatureIsForOneContract(uint256 seed) public {
        _deploy(seed, 1, 1);
        Checkpoints other = new Checkpoints(address(manager), SIDECHAIN, accounts, 1);
        bytes[] memory signatures = _signatures(1, HASH, accounts);
        _expectInvalidSignature(accounts[0]);
        other.checkpoint(1, HASH, accounts, signatures);
        checkpoints.checkpoint(1, HASH, accounts, signatures);
    }

    function testFuzz_ASignatureMayBeCompact(uint256 seed) public {
        _deploy(seed, 1, 1);
        (uint8 v, bytes32 r, bytes32 s) = VM.sign(keys[accounts[0]], _digestHere(1, HASH));
        bytes32 vs = bytes32(uint256(s) | (uint256(v - 27) << 255));
        checkpoints.checkpoint(1, HASH, accounts, _ones(abi.encodePacked(r, vs)));
        _assertNewest(1, HASH);
    }

    function testFuzz_ASignatureHasTheLowS(uint256 seed) public {
        _deploy(seed, 1, 1);
        (uint8 v, bytes32 r, bytes32 s) = VM.sign(keys[accounts[0]], _digestHere(1, HASH));
        bytes memory high = abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        _expectInvalidSignature(accounts[0]);
        checkpoints.checkpoint(1, HASH, accounts, _ones(high));
    }

    /* CONTRACTS AS VALIDATORS */

    function testFuzz_AContractSigns(uint256 seed, uint256 count, bytes calldata more) public {
        address wallet = _deployWithWallet(seed, bound(count, 0, MOST));
        bytes[] memory signatures = _signatures(1, HASH, accounts);
        for (uint256 i = 0; i < accounts.length; ++i) {
            // A contract's signature may have any length.
            if (accounts[i] == wallet) signatures[i] = abi.encodePacked(signatures[i], more);
        }
        checkpoints.checkpoint(1, HASH, accounts, signatures);
        _assertNewest(1, HASH);
    }

    function testFuzz_AContractSignsByItsKeyOnly(uint256 seed, uint256 other) public {
        address wallet = _deployWithWallet(seed, 0);
        VM.assume(keyOf(other) != keys[wallet]);
        bytes[] memory signatures = _ones(_sign(keyOf(other), _digestHere(1, HASH)));
        _expectInvalidSignature(wallet);
        checkpoints.checkpoint(1, HASH, accounts, signatures);
        signatures = _signatures(2, HASH, accounts);
        _expectInvalidSignature(wallet);
        checkpoints.checkpoint(1, HASH, accounts, signatures);
    }

    function testFuzz_AContractsKeyIsNoValidator(uint256 seed) public {
        address wallet = _deployWithWallet(seed, 0);
        address key = VM.addr(keys[wallet]);
        keys[key] = keys[wallet];
        bytes[] memory signatures = _signatures(1, HASH, _one(key));
        VM.expectRevert(_notValidator(key));
        checkpoints.checkpoint(1, HASH, _one(key), signatures);
    }

    function testFuzz_AContractThatAnswersOtherwiseSignsNothing(uint256 seed) public {
        // It has code, but no ERC-1271.
        accounts = _one(address(manager));
        checkpoints = new Checkpoints(address(manager), SIDECHAIN, accounts, 1);
        bytes[] memory signatures = _ones(_sign(keyOf(seed), _digestHere(1, HASH)));
        _expectInvalidSignature(address(manager));
        checkpoints.checkpoint(1, HASH, accounts, signatures);
    }

    /* INTERNAL */

    function _deploy(uint256 seed, uint256 count, uint256 quorum) private {
        accounts = _accounts(seed, count);
        checkpoints = new Checkpoints(address(manager), SIDECHAIN, accounts, quorum);
    }

    /// @dev A wallet and `count` keys; all of them must sign.
    function _deployWithWallet(uint256 seed, uint256 count) private returns (address wallet) {
        uint256 key = keyOf(uint256(keccak256(abi.encode("wallet", seed))));
        wallet = address(new ValidatorWallet(VM.addr(key)));
        keys[wallet] = key;
        accounts = _sorted(_with(_accounts(seed, count), wallet));
        checkpoints = new Checkpoints(address(manager), SIDECHAIN, accounts, count + 1);
    }

    function _accounts(uint256 seed, uint256 count) private returns (address[] memory found) {
        found = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 key = keyOf(uint256(keccak256(abi.encode(seed, i))));
            found[i] = VM.addr(key);
            keys[found[i]] = key;
        }
        return _sorted(found);
    }

    function _sorted(address[] memory list) private pure returns (address[] memory) {
        for (uint256 i = 1; i < list.length; ++i) {
            for (uint256 j = i; j > 0 && list[j - 1] > list[j]; --j) {
                (list[j - 1], list[j]) = (list[j], list[j - 1]);
            }
        }
        return list;
    }

    function _with(address[] memory list, address one) private pure returns (address[] memory longer) {
        longer = new address[](list.length + 1);
        for (uint256 i = 0; i < list.length; ++i) {
            longer[i] = list[i];
        }
        longer[list.length] = one;
    }

    function _one(address account) private pure returns (address[] memory) {
        return _with(new address[](0), account);
    }

    function _ones(bytes memory signature) private pure returns (bytes[] memory signatures) {
        signatures = new bytes[](1);
        signatures[0] = signature;
    }

    /// @dev So many of the validators, the first or the last of them.
    function _some(uint256 count, uint256 seed) private view returns (address[] memory signers) {
        signers = new address[](count);
        uint256 first = seed % 2 == 0 ? 0 : accounts.length - count;
        for (uint256 i = 0; i < count; ++i) {
            signers[i] = accounts[first + i];
        }
    }

    function _digest(uint256 chain, address target, uint64 sidechain, uint64 number, bytes32 hash)
        private
        pure
        returns (bytes32)
    {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("PanaChain Checkpoints"),
                keccak256("1"),
                chain,
                target
            )
        );
        bytes32 typehash = keccak256("Checkpoint(uint64 sidechainId,uint64 number,bytes32 blockHash)");
        bytes32 stated = keccak256(abi.encode(typehash, sidechain, number, hash));
        return keccak256(abi.encodePacked("\x19\x01", domain, stated));
    }

    function _digestHere(uint64 number, bytes32 hash) private view returns (bytes32) {
        return _digest(block.chainid, address(checkpoints), SIDECHAIN, number, hash);
    }

    function _sign(uint256 key, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = VM.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function _signatures(uint64 number, bytes32 hash, address[] memory signers)
        private
        view
        returns (bytes[] memory signatures)
    {
        signatures = new bytes[](signers.length);
        for (uint256 i = 0; i < signers.length; ++i) {
            signatures[i] = _sign(keys[signers[i]], _digestHere(number, hash));
        }
    }

    /// @dev Only cheat codes before the call: an error may be expected of it.
    function _state(uint64 number, bytes32 hash, address[] memory signers) private {
        checkpoints.checkpoint(number, hash, signers, _signatures(number, hash, signers));
    }

    function _stateNotGrowing(uint64 number, bytes32 hash, uint64 newest) private {
        address[] memory signers = _some(2, 0);
        bytes[] memory signatures = _signatures(number, hash, signers);
        VM.expectRevert(abi.encodeWithSelector(ICheckpoints.CheckpointNotGrowing.selector, number, newest));
        checkpoints.checkpoint(number, hash, signers, signatures);
    }

    function _assertValidators(address[] memory expected, uint256 expectedQuorum) private view {
        (address[] memory found, uint256 quorum) = checkpoints.validators();
        assert(keccak256(abi.encode(found)) == keccak256(abi.encode(expected)) && quorum == expectedQuorum);
    }

    function _assertNewest(uint64 expected, bytes32 expectedHash) private view {
        (uint64 number, bytes32 hash) = checkpoints.newest();
        assert(number == expected && hash == expectedHash);
    }

    function _expectEvent() private {
        CheckpointEvents(address(VM)).expectEmit(address(checkpoints));
    }

    function _notValidator(address signer) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ICheckpoints.CheckpointNotValidator.selector, signer);
    }

    function _expectInvalidQuorum(uint256 quorum, uint256 count) private {
        VM.expectRevert(abi.encodeWithSelector(ICheckpoints.CheckpointInvalidQuorum.selector, quorum, count));
    }

    function _expectNotAscending(address previous, address next) private {
        VM.expectRevert(abi.encodeWithSelector(ICheckpoints.CheckpointNotAscending.selector, previous, next));
    }

    function _expectInvalidSignature(address signer) private {
        VM.expectRevert(abi.encodeWithSelector(ICheckpoints.CheckpointInvalidSignature.selector, signer));
    }
}
