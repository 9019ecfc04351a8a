// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {Status} from "../types/Status.sol";

/// @title IdentityRegistry
/// @notice See {IIdentityRegistry}. It never holds a personal field in the clear.
contract IdentityRegistry is IIdentityRegistry, AccessManaged {
    /// @dev Bytes of a compressed point, SEC 1 section 2.3.3.
    uint256 private constant KEY_SIZE = 33;

    mapping(address account => Identity identity) private _identities;
    mapping(bytes32 lookup => address account) private _accounts;
    mapping(address patient => mapping(address hospital => bytes32 pairing)) private _pairings;

    constructor(address authority) AccessManaged(authority) {}

    /* ADMISSION */

    /// @inheritdoc IIdentityRegistry
    function register(
        address account,
        Role role,
        bytes32 lookup,
        bytes calldata receivingKey,
        bytes calldata verifyingKey,
        address organisation,
        bytes calldata personal
    ) external restricted {
        if (account == address(0) || role == Role.None) revert IdentityInvalid(account, role);
        if (_identities[account].status != Status.Unknown) revert IdentityAlreadyRegistered(account);
        if (lookup != bytes32(0) && _accounts[lookup] != address(0)) revert IdentityLookupTaken(lookup);
        if (receivingKey.length != KEY_SIZE || verifyingKey.length != KEY_SIZE) {
            revert IdentityInvalidKey(receivingKey.length, verifyingKey.length);
        }

        _identities[account] = Identity({
            role: role,
            status: Status.Active,
            // Safe: Unix seconds fit 48 bits for nine million years.
            registeredAt: uint48(block.timestamp),
            organisation: organisation,
            keysHash: keccak256(abi.encode(receivingKey, verifyingKey))
        });
        if (lookup != bytes32(0)) _accounts[lookup] = account;

        emit IdentityRegistered(account, role, organisation, receivingKey, verifyingKey, personal);
    }

    /// @inheritdoc IIdentityRegistry
    function suspend(address account) external restricted {
        _change(account, Status.Active, Status.Suspended);

        emit IdentitySuspended(account);
    }

    /// @inheritdoc IIdentityRegistry
    function reinstate(address account) external restricted {
        _change(account, Status.Suspended, Status.Active);

        emit IdentityReinstated(account);
    }

    /* PAIRINGS */

    /// @inheritdoc IIdentityRegistry
    function pair(address hospital, bytes32 pairing) external {
        if (!isActive(msg.sender, Role.Patient)) revert IdentityNotActivePatient(msg.sender);
        if (hospital == address(0) || pairing == bytes32(0)) revert IdentityNotPaired(msg.sender, hospital);

        _pairings[msg.sender][hospital] = pairing;

        emit HospitalPaired(msg.sender, hospital, pairing);
    }

    /// @inheritdoc IIdentityRegistry
    function unpair(address hospital) external {
        if (_pairings[msg.sender][hospital] == bytes32(0)) revert IdentityNotPaired(msg.sender, hospital);

        delete _pairings[msg.sender][hospital];

        emit HospitalUnpaired(msg.sender, hospital);
    }

    /* VIEWS */

    /// @inheritdoc IIdentityRegistry
    function identityOf(address account) external view returns (Identity memory) {
        return _identities[account];
    }

    /// @inheritdoc IIdentityRegistry
    function isActive(address account, Role role) public view returns (bool) {
        Identity storage identity = _identities[account];
        return identity.status == Status.Active && identity.role == role;
    }

    /// @inheritdoc IIdentityRegistry
    function pairingOf(address patient, address hospital) external view returns (bytes32) {
        return _pairings[patient][hospital];
    }

    /// @inheritdoc IIdentityRegistry
    function accountOf(bytes32 lookup) external view returns (address) {
        return _accounts[lookup];
    }

    function _change(address account, Status expected, Status next) private {
        Identity storage identity = _identities[account];
        if (identity.status != expected) revert IdentityUnexpectedStatus(account, identity.status);

        identity.status = next;
    }
}
