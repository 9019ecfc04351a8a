// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {IAccessLog} from "./IAccessLog.sol";
import {IRecordLedger} from "./IRecordLedger.sol";
import {Status} from "../types/Status.sol";

/// @title Public actors of the mainchain
/// @notice Says which accounts are hospitals, proxies, researchers and registrars, and under which keys.
/// @dev Keys, organisation and endpoint are in events; storage commits to the first two, and readers check it. The
/// registry tells the ledger and the log who may write, so that a storage transaction needn't ask.
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
        /// @notice The first 30 bytes of keccak256(abi.encode(receivingKey, verifyingKey, organisation)).
        bytes30 details;
    }

    /// @notice An actor was admitted.
    /// @param organisation Who operates a proxy; zero for none.
    event ActorRegistered(
        address indexed account,
        Role indexed role,
        bytes receivingKey,
        bytes verifyingKey,
        string endpoint,
        address organisation
    );
    /// @notice An actor may not act any more.
    event ActorSuspended(address indexed account);
    /// @notice A suspension was taken back.
    event ActorReinstated(address indexed account);
    /// @notice An actor answers at another URL.
    event ActorEndpointChanged(address indexed account, string endpoint);

    /// @notice The account is registered already.
    error ActorAlreadyRegistered(address account);
    /// @notice The zero account, or no role, can't be registered.
    error ActorInvalid(address account, Role role);
    /// @notice A key isn't 33 bytes long.
    error ActorInvalidKey(uint256 receivingLength, uint256 verifyingLength);
    /// @notice The account has another status than the call needs.
    error ActorUnexpectedStatus(address account, Status actual);
    /// @notice The caller isn't the access log.
    error ActorNotAccessLog(address caller);

    /// @notice Admit an actor. Only the registrar.
    /// @param receivingKey Compressed secp256k1 point, 33 bytes: what is sealed to the actor.
    /// @param verifyingKey Compressed secp256k1 point, 33 bytes: the actor's Umbral signer.
    function register(
        address account,
        Role role,
        bytes calldata receivingKey,
        bytes calldata verifyingKey,
        string calldata endpoint,
        address organisation
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

    /// @notice One actor; all fields zero when the account isn't registered.
    function actorOf(address account) external view returns (Actor memory);

    /// @notice Whether the account is active in this role.
    function isActive(address account, Role role) external view returns (bool);

    /// @notice The ledger that this registry made, for its hospitals.
    function recordLedger() external view returns (IRecordLedger);

    /// @notice The log that this registry made, for its proxies.
    function accessLog() external view returns (IAccessLog);
}
