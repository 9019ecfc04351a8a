// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Base} from "./Base.sol";
import {ICareGroups} from "../../contracts/interfaces/ICareGroups.sol";
import {IIdentityRegistry} from "../../contracts/interfaces/IIdentityRegistry.sol";
import {IPolicyRegistry} from "../../contracts/interfaces/IPolicyRegistry.sol";
import {PolicyRegistry} from "../../contracts/mainchain/PolicyRegistry.sol";
import {AccessRequests} from "../../contracts/sidechain/AccessRequests.sol";
import {CareGroups} from "../../contracts/sidechain/CareGroups.sol";
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

/// @notice An identity registry that calls everybody active: what is proven over it holds whoever is.
contract Everybody {
    function isActive(address, IIdentityRegistry.Role) external pure returns (bool) {
        return true;
    }

    function identityOf(address) external pure returns (IIdentityRegistry.Identity memory identity) {
        return identity;
    }
}

/// @title Assent and places, proven for every value by halmos
contract SidechainProofs is Base {
    uint256 private constant PLACE_BITS = 80;

    CareGroups private _groups;
    AccessRequests private _requests;

    function setUp() public {
        IIdentityRegistry identities = IIdentityRegistry(address(new Everybody()));
        _groups = new CareGroups(address(this), identities, FORWARDER);
        _requests = new AccessRequests(identities, FORWARDER);
    }

    /// @notice From whatever state, no call of anybody else makes a person a member, of whatever group.
    function check_nobodyIsMadeAMember(
        address group,
        address person,
        address caller,
        address other,
        uint256 state,
        bytes32 listed,
        bytes32 sealedKey,
        uint8 act
    ) public {
        VM.assume(caller != person && caller != FORWARDER);
        VM.store(address(_groups), keccak256(abi.encode(group, uint256(1))), bytes32(state));
        VM.store(address(_groups), memberSlot(2, group, person), listed);
        VM.prank(caller);
        if (act == 0) try _groups.addMember(group, person, sealedKey) {} catch {}
        else if (act == 1) try _groups.accept(group) {} catch {}
        else if (act == 2) try _groups.removeMember(group, other) {} catch {}
        else if (act == 3) try _groups.handOver(group, other) {} catch {}
        else try _groups.close(group) {} catch {}
        assert(VM.load(address(_groups), memberSlot(3, group, person)) == 0);
        assert(!_groups.isMember(group, person) && _groups.acceptedAtOf(group, person) == 0);
    }

    /// @notice The same through the forwarder: in whatever name it calls, nobody else is made a member, and whoever calls
    /// by themselves is nobody else, whatever they append.
    function check_nobodyIsMadeAMemberByARelay(
        address group,
        address person,
        address caller,
        address named,
        bool relayed,
        bytes32 listed,
        uint8 act
    ) public {
        VM.assume(caller != FORWARDER && (relayed ? named != person : caller != person));
        VM.store(address(_groups), memberSlot(2, group, person), listed);
        bytes memory data = act == 0
            ? abi.encodeCall(ICareGroups.accept, (group))
            : abi.encodeCall(ICareGroups.addMember, (group, person, bytes32(uint256(1))));
        VM.prank(relayed ? FORWARDER : caller);
        (bool done,) = address(_groups).call(abi.encodePacked(data, named));
        assert(VM.load(address(_groups), memberSlot(3, group, person)) == 0);
        assert(!done || !_groups.isMember(group, person));
    }

    /// @notice From whatever state, whoever is listed gets out, and no call of anybody else keeps them.
    function check_nobodyIsKept(address group, address person, uint256 state, bytes32 listed, uint48 acceptedAt) public {
        VM.assume(listed != 0 && person != FORWARDER);
        VM.store(address(_groups), keccak256(abi.encode(group, uint256(1))), bytes32(state));
        VM.store(address(_groups), memberSlot(2, group, person), listed);
        VM.store(address(_groups), memberSlot(3, group, person), bytes32(uint256(acceptedAt)));
        VM.prank(person);
        _groups.removeMember(group, person);
        assert(!_groups.isMember(group, person) && _groups.sealedKeyOf(group, person) == 0);
    }

    /// @notice A request takes a place that was free, and leaves what the other two hold as it was.
    function check_aRequestTakesOnePlace(uint48 time, uint48 first, uint48 second, uint48 third, uint48 expiresAt) public {
        VM.warp(time);
        address requester = address(0xd0c);
        address patient = address(0xa11ce);
        uint48[3] memory ends = [first, second, third];
        uint256 word = 0;
        for (uint256 i = 0; i < 3; ++i) {
            // Made at the epoch: from the second day on it is held by its request's end alone.
            bytes32 slot = keccak256(abi.encode(i + 1, uint256(0)));
            uint256 open = uint256(uint160(requester)) | uint256(ends[i]) << 160 | 1 << 208;
            VM.store(address(_requests), slot, bytes32(open));
            word |= (i + 1) << i * PLACE_BITS;
        }
        VM.store(address(_requests), bytes32(uint256(1)), bytes32(uint256(3)));
        VM.store(address(_requests), placesSlot(requester, patient), bytes32(word));
        VM.prank(requester);
        try _requests.request(patient, "details", expiresAt) returns (uint256 id) {
            uint256 now_ = uint256(VM.load(address(_requests), placesSlot(requester, patient)));
            uint256 taken = 0;
            for (uint256 i = 0; i < 3; ++i) {
                uint256 place = now_ >> i * PLACE_BITS & (1 << PLACE_BITS) - 1;
                if (place == i + 1) continue;
                ++taken;
                assert(place == (id | uint256(time) << 32) && time >= ends[i] && time >= 1 days);
            }
            assert(taken == 1 && id == 4);
        } catch {
            bool anyFree = time >= 1 days && (time >= first || time >= second || time >= third);
            assert(!anyFree || expiresAt <= time);
        }
    }

    function memberSlot(uint256 slot, address group, address person) private pure returns (bytes32) {
        return keccak256(abi.encode(person, keccak256(abi.encode(group, slot))));
    }

    function placesSlot(address requester, address patient) private pure returns (bytes32) {
        return keccak256(abi.encode(patient, keccak256(abi.encode(requester, uint256(3)))));
    }
}
