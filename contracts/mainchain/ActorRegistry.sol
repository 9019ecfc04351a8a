// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {AccessLog} from "./AccessLog.sol";
import {RecordLedger} from "./RecordLedger.sol";
import {IAccessLog} from "../interfaces/IAccessLog.sol";
import {IActorRegistry} from "../interfaces/IActorRegistry.sol";
import {IPolicyRegistry} from "../interfaces/IPolicyRegistry.sol";
import {IRecordLedger} from "../interfaces/IRecordLedger.sol";
import {Status} from "../types/Status.sol";

/// @title ActorRegistry
/// @notice See {IActorRegistry}. It never holds a person: patients and practitioners are on the sidechain.
contract ActorRegistry is IActorRegistry, AccessManaged {
    /// @dev How long keys may still count beside those that replace them.
    uint256 private constant MAX_OVERLAP = 30 days;
    /// @dev How far back keys may end: what is older stays readable, whoever has the account.
    uint256 private constant MAX_BACK = 180 days;

    IRecordLedger private immutable _LEDGER;
    IAccessLog private immutable _LOG;

    mapping(address account => Actor actor) private _actors;

    /// @dev The registry makes the two contracts that obey it: they can't be wired to another one.
    constructor(address authority, IPolicyRegistry policies) AccessManaged(authority) {
        _LEDGER = new RecordLedger();
        _LOG = new AccessLog(policies);
    }

    /* ADMISSION */

    /// @inheritdoc IActorRegistry
    function register(
        address account,
        Role role,
        bytes32 keyDigest,
        string calldata endpoint,
        address organisation
    ) external restricted {
        if (account == address(0) || role == Role.None) revert ActorInvalid(account, role);
        if (_actors[account].status != Status.Unknown) revert ActorAlreadyRegistered(account);
        if (keyDigest == bytes32(0)) revert ActorWithoutKeys(account);

        _actors[account] = Actor({
            role: role,
            status: Status.Active,
            // The cut leaves 120 bits against an actor who looks for two pairs with one commitment.
            details: bytes30(keccak256(abi.encode(keyDigest, organisation)))
        });

        emit ActorRegistered(account, role, keyDigest, endpoint, organisation);

        _tell(account, role, true);
    }

    /// @inheritdoc IActorRegistry
    function suspend(address account) external restricted {
        _suspend(account);
    }

    /// @inheritdoc IActorRegistry
    function convict(address proxy) external {
        if (msg.sender != address(_LOG)) revert ActorNotAccessLog(msg.sender);

        // A proxy that is suspended already stays so: a second piece of evidence must not fail here.
        if (_actors[proxy].status == Status.Active) _suspend(proxy);
    }

    /// @inheritdoc IActorRegistry
    function reinstate(address account) external restricted {
        Role role = _change(account, Status.Suspended, Status.Active);

        emit ActorReinstated(account);

        _tell(account, role, true);
    }

    /// @inheritdoc IActorRegistry
    function setEndpoint(string calldata endpoint) external {
        Status actual = _actors[msg.sender].status;
        if (actual != Status.Active) revert ActorUnexpectedStatus(msg.sender, actual);

        emit ActorEndpointChanged(msg.sender, endpoint);
    }

    /* KEYS */

    /// @inheritdoc IActorRegistry
    function changeKeys(bytes30 expected, bytes32 keyDigest, uint48 earlierEndsAt) external {
        Actor storage actor = _actors[msg.sender];
        if (actor.status != Status.Active) revert ActorUnexpectedStatus(msg.sender, actor.status);
        if (keyDigest == bytes32(0)) revert ActorWithoutKeys(msg.sender);
        if (actor.details != expected) revert ActorKeysChangedMeanwhile(msg.sender, expected, actor.details);
        if (earlierEndsAt > block.timestamp + MAX_OVERLAP) {
            revert ActorKeysEndTooLate(msg.sender, earlierEndsAt, block.timestamp);
        }
        if (earlierEndsAt + MAX_BACK < block.timestamp) {
            revert ActorKeysEndTooEarly(msg.sender, earlierEndsAt, block.timestamp);
        }
        // Safe: Unix seconds fit 48 bits for nine million years.
        uint48 validFrom = uint48(block.timestamp);

        // Folded, so that one slot commits to every key block that there ever was, and to its time.
        actor.details = bytes30(keccak256(abi.encode(expected, keyDigest, validFrom, earlierEndsAt)));

        emit ActorKeysChanged(msg.sender, keyDigest, validFrom, earlierEndsAt);
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
    function recordLedger() external view returns (IRecordLedger) {
        return _LEDGER;
    }

    /// @inheritdoc IActorRegistry
    function accessLog() external view returns (IAccessLog) {
        return _LOG;
    }

    /* INTERNAL */

    function _suspend(address account) private {
        Role role = _change(account, Status.Active, Status.Suspended);

        emit ActorSuspended(account);

        _tell(account, role, false);
    }

    function _change(address account, Status expected, Status next) private returns (Role role) {
        Actor storage actor = _actors[account];
        if (actor.status != expected) revert ActorUnexpectedStatus(account, actor.status);

        actor.status = next;
        return actor.role;
    }

    /// @dev Both are made by this contract and call nobody: no call comes back.
    function _tell(address account, Role role, bool admitted) private {
        if (role == Role.Hospital) _LEDGER.setAdmitted(account, admitted);
        else if (role == Role.Proxy) _LOG.setAdmitted(account, admitted);
    }
}
