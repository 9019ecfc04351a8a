// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// @notice The cheat codes that these tests use; forge and halmos answer at this address.
interface Vm {
    function addr(uint256 key) external pure returns (address);
    function assume(bool condition) external pure;
    function chainId(uint256 id) external;
    function expectRevert() external;
    function expectRevert(bytes calldata reason) external;
    function prank(address sender) external;
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function warp(uint256 time) external;
    function store(address target, bytes32 slot, bytes32 value) external;
    function load(address target, bytes32 slot) external view returns (bytes32);
}

/// @title What every test here starts from
/// @notice A base of our own, since building forge-std takes three times as long as building the contracts.
abstract contract Base {
    // keccak256("hevm cheat code"), the address that forge and halmos agree on.
    Vm internal constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    /// @notice Whom the sidechain's contracts believe in whose name they are called, where no test asks for a true one.
    /// @dev It calls nothing by itself: `callAs` keeps a fuzzer that finds it in the bytecode from calling as it.
    address internal constant FORWARDER = address(uint160(uint256(keccak256("forwarder"))));
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    /// @notice Who calls next: anybody but the forwarder, who calls in others' names.
    function callAs(address caller) internal {
        assumePerson(caller);
        VM.prank(caller);
    }

    /// @notice Leave out the forwarder, which calls for others only. First of all: behind an `expectRevert` the fuzzer would
    ///   take this for the call.
    function assumePerson(address caller) internal pure {
        VM.assume(caller != FORWARDER);
    }

    /// @notice A value in [low, high], spread evenly over what the fuzzer tries.
    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + value % (high - low + 1);
    }

    /// @notice A valid secret key.
    function keyOf(uint256 seed) internal pure returns (uint256) {
        return bound(uint256(keccak256(abi.encode("key", seed))), 1, ORDER - 1);
    }
}
