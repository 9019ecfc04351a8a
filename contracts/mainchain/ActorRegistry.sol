// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IActorRegistry} from "../interfaces/IActorRegistry.sol";
import {Status} from "../types/Status.sol";

/// @title ActorRegistry
/// @notice See {IActorRegistry}. It never holds a person: patients and practitioners are on the sidechain.
contract ActorRegistry is IActorRegistry, AccessManaged {
    /// @dev Bytes of a compressed point, SEC 1 section 2.3.3.
    uint256 private constant KEY_SIZE = 33;

    mapping(address account => Actor actor) private _actors;
    address[] private _accounts;

    constructor(address authority) AccessManaged(authority) {}

    /* ADMISSION */

    /// @inheritdoc IActorRegistry
    function register(
        address account,
        Role role,
        bytes calldata receivingKey,
        bytes calldata verifyingKey,
        string calldata endpoint,
        address organisation
    ) external restricted {
        if (account == address(0) || role == Role.None) revert ActorInvalid(account, role);
        if (_actors[account].status != Status.Unknown) revert ActorAlreadyRegistered(account);
        if (receivingKey.length != KEY_SIZE || verifyingKey.length != KEY_SIZE) {
            revert ActorInvalidKey(receivingKey.length, verifyingKey.length);
        }

        _actors[account] = Actor({
            role: role,
            status: Status.Active,
            // Safe: Unix seconds fit 48 bits for nine million years.
            registeredAt: uint48(block.timestamp),
            organisation: organisation,
            keysHash: keccak256(abi.encode(receivingKey, verifyingKey))
        });
        _accounts.push(account);

        emit ActorRegistered(account, role, receivingKey, verifyingKey, endpoint, organisation);
    }

    /// @inheritdoc IActorRegistry
    function suspend(address account) external restricted {
        _change(account, Status.Active, Status.Suspended);

        emit ActorSuspended(account);
    }

    /// @inheritdoc IActorRegistry
    function reinstate(address account) external restricted {
        _change(account, Status.Suspended, Status.Active);

        emit ActorReinstated(account);
    }

    /// @inheritdoc IActorRegistry
    function setEndpoint(string calldata endpoint) external {
        Status actual = _actors[msg.sender].status;
        if (actual != Status.Active) revert ActorUnexpectedStatus(msg.sender, actual);

        emit ActorEndpointChanged(msg.sender, endpoint);
    }

    /* VIEWS */

    /// @inheritdoc IActorRegistry
    function actorOf(address account) external view returns (Actor memory) {
        return _actors[account];
    }

    /// @inheritdoc IActorRegistry
    function isActive(address account, Role role) external view returns (bool) {
        Actor storage actor = _actors[account];
        return actor.status == Status.Active && actor.role == role;
    }

    /// @inheritdoc IActorRegistry
    function actorCount() external view returns (uint256) {
        return _accounts.length;
    }

    /// @inheritdoc IActorRegistry
    function actorAt(uint256 index) external view returns (address) {
        return _accounts[index];
    }

    function _change(address account, Status expected, Status next) private {
        Actor storage actor = _actors[account];
        if (actor.status != expected) revert ActorUnexpectedStatus(account, actor.status);

        actor.status = next;
    }
}
