// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {IAccessLog} from "./IAccessLog.sol";
import {IRecordLedger} from "./IRecordLedger.sol";
import {Status} from "../types/Status.sol";

/// @title Public actors of the mainchain
/// @notice Says which accounts are hospitals, proxies, researchers and registrars, and under which keys.
/// @dev Keys are a block of the store, of which the chain has the digest. Digest, organisation and endpoint are in
/// events; storage commits to the first two, and readers check it. The registry tells the ledger and the log who may
/// write, so that a storage transaction needn't ask.
interface IActorRegistry {
    /// @notice What an actor is.
    enum Role {
        None,
        Hospital,
        Proxy,
        Researcher,
        Registrar
    }

    /// @notice One actor, in one slot.
    struct Actor {
        /// @notice What the actor is.
        Role role;
        /// @notice Whether the actor may act.
        Status status;
        /// @notice The first 30 bytes of keccak256(abi.encode(keyDigest, organisation)); after each change of keys, those
        /// of keccak256(abi.encode(details before it, keyDigest, validFrom, earlierEndsAt)): it commits to all of them.
        bytes30 details;
    }

    /// @notice An actor was admitted.
    /// @param keyDigest The sha2-256 digest in the CID of the actor's key block (CIDv1, raw).
    /// @param organisation Who operates a proxy; zero for none.
    event ActorRegistered(
        address indexed account, Role indexed role, bytes32 keyDigest, string endpoint, address organisation
    );
    /// @notice An actor may not act any more.
    event ActorSuspended(address indexed account);
    /// @notice A suspension was taken back.
    event ActorReinstated(address indexed account);
    /// @notice An actor answers at another URL.
    event ActorEndpointChanged(address indexed account, string endpoint);
    /// @notice An actor has another key block from now on; what was sealed to an earlier one still opens with that one.
    /// @param keyDigest The sha2-256 digest in the CID of the new key block (CIDv1, raw).
    /// @param validFrom Unix seconds: the time of this block.
    /// @param earlierEndsAt Unix seconds. What is published from then on doesn't count under the block before; a time before
    /// `validFrom` says that every block that had begun by then was compromised.
    event ActorKeysChanged(address indexed account, bytes32 keyDigest, uint48 validFrom, uint48 earlierEndsAt);

    /// @notice The account is registered already.
    error ActorAlreadyRegistered(address account);
    /// @notice The zero account, or no role, can't be registered.
    error ActorInvalid(address account, Role role);
    /// @notice The digest of the actor's key block is zero.
    error ActorWithoutKeys(address account);
    /// @notice The keys were changed since the caller looked, or the call is an old one.
    error ActorKeysChangedMeanwhile(address account, bytes30 expected, bytes30 actual);
    /// @notice The earlier keys would count for longer than 30 days.
    error ActorKeysEndTooLate(address account, uint48 earlierEndsAt, uint256 currentTime);
    /// @notice The earlier keys would end more than 180 days ago, and with them what was published since.
    error ActorKeysEndTooEarly(address account, uint48 earlierEndsAt, uint256 currentTime);
    /// @notice The account has another status than the call needs.
    error ActorUnexpectedStatus(address account, Status actual);
    /// @notice The caller isn't the access log.
    error ActorNotAccessLog(address caller);

    /// @notice Admit an actor. Only the registrar.
    /// @param keyDigest SHA-256 of the actor's key block, which lies in the store (docs/spec/formats.md). What the block
    /// holds isn't checked here: whoever seals to the actor does.
    function register(
        address account, Role role, bytes32 keyDigest, string calldata endpoint, address organisation
    ) external;

    /// @notice Suspend an actor. Only the registrar.
    function suspend(address account) external;

    /// @notice Suspend a proxy that its own signature convicts; nothing happens to one that is suspended already.
    /// Only the access log.
    function convict(address proxy) external;

    /// @notice Take a suspension back. Only the registrar.
    function reinstate(address account) external;

    /// @notice Answer at another URL. Only the actor's own account, while active.
    function setEndpoint(string calldata endpoint) external;

    /// @notice Have another key block. Only the actor's own account, while active: no registrar changes anybody's keys.
    /// @param expected The account's `details` now, so that no call counts twice or comes second unnoticed.
    /// @param keyDigest SHA-256 of the new block, which lies in the store. Whether its keys are fresh isn't checked.
    /// @param earlierEndsAt When the block before stops to count, at most 30 days from now; in the past, at most
    /// 180 days, if it was compromised.
    function changeKeys(bytes30 expected, bytes32 keyDigest, uint48 earlierEndsAt) external;

    /// @notice One actor; all fields zero when the account isn't registered.
    function actorOf(address account) external view returns (Actor memory);

    /// @notice Whether the account is active in this role.
    function isActive(address account, Role role) external view returns (bool);

    /// @notice The ledger that this registry made, for its hospitals.
    function recordLedger() external view returns (IRecordLedger);

    /// @notice The log that this registry made, for its proxies.
    function accessLog() external view returns (IAccessLog);
}
