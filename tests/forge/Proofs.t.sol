// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Base} from "./Base.sol";
import {IPolicyRegistry} from "../../contracts/interfaces/IPolicyRegistry.sol";
import {PolicyRegistry} from "../../contracts/mainchain/PolicyRegistry.sol";
import {Disclosure} from "../../contracts/types/Disclosure.sol";
import {PolicyId, PolicyStatus} from "../../contracts/types/PolicyId.sol";
import {PolicyState, grantedState} from "../../contracts/types/PolicyState.sol";
import {PolicyWindow} from "../../contracts/types/PolicyWindow.sol";

/// @title The policies' life cycle, proven for every value by halmos
/// @notice ECDSA is outside of it: `ecrecover` gives any address for any input, so that what is proven holds for every
/// signature that there could be.
contract PolicyProofs is Base {
    PolicyRegistry private _registry;

    function setUp() public {
        _registry = new PolicyRegistry();
    }

    /// @notice A granted state is read back as it was written, for every window.
    function check_stateKeepsItsFields(uint48 startsAt, uint48 expiresAt, uint48 revokedAt) public pure {
        PolicyState state = grantedState(startsAt, expiresAt);
        assert(state.startsAt() == startsAt && state.expiresAt() == expiresAt && state.revokedAt() == 0);
        state = state.revoked(revokedAt);
        assert(state.startsAt() == startsAt && state.expiresAt() == expiresAt && state.revokedAt() == revokedAt);
    }

    /// @notice A window's fields are read back as they were written, for every window; and nothing else is well formed.
    function check_windowKeepsItsFields(uint48 startsAt, uint48 expiresAt, uint48 deadline, uint8 viewTag, uint256 word)
        public
        pure
    {
        PolicyWindow window = windowOf(startsAt, expiresAt, deadline, viewTag);
        assert(window.startsAt() == startsAt && window.expiresAt() == expiresAt && window.deadline() == deadline);
        assert(window.isWellFormed());
        window = PolicyWindow.wrap(word);
        // The view tag, which nobody reads on chain, is what lies above the deadline.
        PolicyWindow again = windowOf(window.startsAt(), window.expiresAt(), window.deadline(), uint8(word >> 144));
        assert(window.isWellFormed() == (PolicyWindow.unwrap(again) == word));
    }

    /// @notice The five statuses of a state, for every state and every time.
    function check_statusIsTheRule(uint48 startsAt, uint48 expiresAt, uint48 revokedAt, uint256 time) public pure {
        PolicyStatus status = grantedState(startsAt, expiresAt).revoked(revokedAt).statusAt(time);
        assert((status == PolicyStatus.Revoked) == (revokedAt != 0));
        assert((status == PolicyStatus.Unknown) == (revokedAt == 0 && expiresAt == 0));
        bool inside = time >= startsAt && time < expiresAt;
        assert((status == PolicyStatus.Active) == (revokedAt == 0 && inside));
    }

    /// @notice An expired or revoked policy is never active at a later time.
    function check_nothingComesBackWithTime(uint48 startsAt, uint48 expiresAt, uint48 revokedAt, uint256 time, uint256 later)
        public
        pure
    {
        VM.assume(later >= time);
        PolicyState state = grantedState(startsAt, expiresAt).revoked(revokedAt);
        PolicyStatus status = state.statusAt(time);
        if (status == PolicyStatus.Revoked || status == PolicyStatus.Expired) {
            assert(state.statusAt(later) == status);
        }
    }

    /// @notice The proofs below put a policy into any state; this one shows that they reach the right slot.
    function check_storesWhereTheRegistryReads(address owner, uint48 startsAt, uint48 expiresAt, uint48 revokedAt) public {
        bytes32 word = bytes32(PolicyState.unwrap(grantedState(startsAt, expiresAt).revoked(revokedAt)));
        VM.store(address(_registry), slotOf(owner), word);
        (, uint48 from, uint48 until, uint48 at_) = _registry.policyOf(PolicyId.wrap(owner));
        assert(from == startsAt && until == expiresAt && at_ == revokedAt);
    }

    /// @notice No direct call by anybody else changes a policy, from whatever state it is in.
    function check_onlyTheOwnersCallChangesAPolicy(address owner, address caller, uint256 state, bool grants) public {
        VM.assume(caller != owner);
        bytes32 slot = slotOf(owner);
        VM.store(address(_registry), slot, bytes32(state));
        IPolicyRegistry.Grant memory policy = anyGrant(caller);
        VM.prank(caller);
        if (grants) try _registry.grant(policy) {} catch {}
        else try _registry.revoke() {} catch {}
        assert(VM.load(address(_registry), slot) == bytes32(state));
    }

    /// @notice A grant in another's name is refused, whatever it says.
    function check_nobodyGrantsInAnothersName(address owner, address caller, uint256 window) public {
        VM.assume(caller != owner);
        IPolicyRegistry.Grant memory policy = anyGrant(owner);
        policy.window = PolicyWindow.wrap(window);
        VM.prank(caller);
        try _registry.grant(policy) {
            assert(false);
        } catch {}
    }

    /// @notice From whatever state, a grant by the owner succeeds at most once, and never after a revocation.
    function check_aPolicyIsGrantedOnce(address owner, uint256 word, uint48 time, uint256 state) public {
        VM.assume(owner != address(0));
        VM.warp(time);
        VM.store(address(_registry), slotOf(owner), bytes32(state));
        IPolicyRegistry.Grant memory policy = anyGrant(owner);
        PolicyWindow window = PolicyWindow.wrap(word);
        policy.window = window;
        PolicyState before = PolicyState.wrap(state);
        VM.prank(owner);
        try _registry.grant(policy) {
            assert(before.revokedAt() == 0 && before.expiresAt() == 0);
            assert(window.startsAt() < window.expiresAt() && time < window.expiresAt() && time <= window.deadline());
            assert(window.isWellFormed());
            (, uint48 from, uint48 until,) = _registry.policyOf(PolicyId.wrap(owner));
            assert(from == window.startsAt() && until == window.expiresAt());
            VM.prank(owner);
            try _registry.grant(policy) {
                assert(false);
            } catch {}
        } catch {}
    }

    /// @notice The owner can always revoke, once, and then nothing else changes the policy.
    function check_revocationCannotBePrevented(address owner, uint48 time, uint256 state) public {
        VM.assume(owner != address(0) && time != 0);
        VM.warp(time);
        VM.assume(PolicyState.wrap(state).revokedAt() == 0);
        VM.store(address(_registry), slotOf(owner), bytes32(state & (1 << 96) - 1));
        VM.prank(owner);
        _registry.revoke();
        assert(_registry.statusOf(PolicyId.wrap(owner)) == PolicyStatus.Revoked);
        IPolicyRegistry.Grant memory policy = anyGrant(owner);
        policy.window = windowOf(1, type(uint48).max, type(uint48).max, 0);
        VM.prank(owner);
        try _registry.grant(policy) {
            assert(false);
        } catch {}
    }

    /// @notice Whatever the signature, it is not accepted twice: neither to grant nor to revoke.
    function check_aSignatureCountsOnce(address owner, bytes32 r, bytes32 s, uint8 v, uint48 time, bool grants) public {
        VM.warp(time);
        VM.assume(time != 0);
        bytes memory signature = abi.encodePacked(r, s, v);
        IPolicyRegistry.Grant memory policy = anyGrant(owner);
        policy.window = windowOf(1, type(uint48).max, type(uint48).max, 0);
        if (_sent(policy, signature, grants)) assert(!_sent(policy, signature, grants));
    }

    function _sent(IPolicyRegistry.Grant memory policy, bytes memory signature, bool grants) private returns (bool) {
        if (grants) {
            try _registry.grantBySignature(policy, signature) {
                return true;
            } catch {
                return false;
            }
        }
        try _registry.revokeBySignature(policy.owner, signature) {
            return true;
        } catch {
            return false;
        }
    }

    function anyGrant(address owner) private pure returns (IPolicyRegistry.Grant memory) {
        return IPolicyRegistry.Grant(owner, windowOf(1, 2, 3, 4), "terms", "announcement", Disclosure.wrap(0));
    }

    function windowOf(uint48 startsAt, uint48 expiresAt, uint48 deadline, uint8 viewTag)
        private
        pure
        returns (PolicyWindow)
    {
        uint256 times = uint256(startsAt) | uint256(expiresAt) << 48 | uint256(deadline) << 96;
        return PolicyWindow.wrap(times | uint256(viewTag) << 144);
    }

    /// @dev EIP712 has two slots ahead of the policies; `check_storesWhereTheRegistryReads` holds this.
    function slotOf(address owner) private pure returns (bytes32) {
        return keccak256(abi.encode(owner, uint256(2)));
    }
}
