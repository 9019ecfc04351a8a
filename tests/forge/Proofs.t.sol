// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Base} from "./Base.sol";
import {IPolicyRegistry} from "../../contracts/interfaces/IPolicyRegistry.sol";
import {PolicyRegistry} from "../../contracts/mainchain/PolicyRegistry.sol";
import {Disclosure} from "../../contracts/types/Disclosure.sol";
import {PolicyId, PolicyStatus} from "../../contracts/types/PolicyId.sol";
import {PolicyState, grantedState} from "../../contracts/types/PolicyState.sol";

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
    function check_nobodyGrantsInAnothersName(address owner, address caller, uint48 startsAt, uint48 expiresAt) public {
        VM.assume(caller != owner);
        IPolicyRegistry.Grant memory policy = anyGrant(owner);
        (policy.startsAt, policy.expiresAt) = (startsAt, expiresAt);
        VM.prank(caller);
        try _registry.grant(policy) {
            assert(false);
        } catch {}
    }

    /// @notice From whatever state, a grant by the owner succeeds at most once, and never after a revocation.
    function check_aPolicyIsGrantedOnce(address owner, uint48 startsAt, uint48 expiresAt, uint48 time, uint256 state) public {
        VM.assume(owner != address(0));
        VM.warp(time);
        VM.store(address(_registry), slotOf(owner), bytes32(state));
        IPolicyRegistry.Grant memory policy = anyGrant(owner);
        (policy.startsAt, policy.expiresAt, policy.deadline) = (startsAt, expiresAt, time);
        PolicyState before = PolicyState.wrap(state);
        VM.prank(owner);
        try _registry.grant(policy) {
            assert(before.revokedAt() == 0 && before.expiresAt() == 0);
            assert(startsAt < expiresAt && time < expiresAt);
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
        policy.expiresAt = type(uint48).max;
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
        (policy.expiresAt, policy.deadline) = (type(uint48).max, type(uint48).max);
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
        return IPolicyRegistry.Grant(owner, 1, 2, 3, "terms", Disclosure.wrap(0));
    }

    /// @dev EIP712 has two slots ahead of the policies; `check_storesWhereTheRegistryReads` holds this.
    function slotOf(address owner) private pure returns (bytes32) {
        return keccak256(abi.encode(owner, uint256(2)));
    }
}
