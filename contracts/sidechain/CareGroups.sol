// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {ICareGroups} from "../interfaces/ICareGroups.sol";
import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {RelayedAndManaged} from "../libraries/RelayedAndManaged.sol";

/// @title CareGroups
/// @notice See {ICareGroups}. It never learns a patient or a policy, and never holds a secret in the clear.
contract CareGroups is ICareGroups, RelayedAndManaged {
    /// @dev Open groups of one manager: whoever is invited to junk is so at most this often at a time by one account.
    uint256 private constant MAX_GROUPS = 64;

    IIdentityRegistry private immutable _IDENTITIES;

    // The slots from here on are part of the interface: readers prove a membership with them (slot 0 is the authority).
    mapping(address group => Group created) private _groups;
    /// @dev A person with an entry is listed.
    mapping(address group => mapping(address member => bytes32 sealedKey)) private _sealedKeys;
    /// @dev Unix seconds. A person with an entry is listed and accepted.
    mapping(address group => mapping(address member => uint48 time)) private _acceptedAt;
    /// @dev How many open groups somebody manages.
    mapping(address manager => uint256 groups) private _managed;

    constructor(address authority, IIdentityRegistry identities, address forwarder)
        RelayedAndManaged(authority, forwarder)
    {
        _IDENTITIES = identities;
    }

    /* GROUPS */

    /// @inheritdoc ICareGroups
    function create(bytes32 keyDigest) external returns (address group) {
        _checkPractitioner(_msgSender());
        _checkKeys(keyDigest);
        bytes32 digest = keccak256(abi.encode(block.chainid, address(this), _msgSender(), keyDigest));
        // Safe: cut to the low 20 bytes on purpose, as accounts are.
        group = address(uint160(uint256(digest)));
        if (_groups[group].manager != address(0)) revert GroupAlreadyCreated(group);

        address organisation = _IDENTITIES.identityOf(_msgSender()).organisation;
        _groups[group] = Group({manager: _msgSender(), closed: false, generation: 0, organisation: organisation});
        _manageOneMore(_msgSender());

        emit GroupCreated(group, _msgSender(), organisation, keyDigest);
    }

    /// @inheritdoc ICareGroups
    function handOver(address group, address newManager) external {
        _checkManager(group);
        _checkPractitioner(newManager);
        if (_acceptedAt[group][newManager] == 0) revert GroupNotAccepted(group, newManager);

        _groups[group].manager = newManager;
        --_managed[_msgSender()];
        _manageOneMore(newManager);

        emit GroupHandedOver(group, newManager);
    }

    /// @inheritdoc ICareGroups
    function close(address group) external {
        _checkManager(group);

        _close(group);
    }

    /// @inheritdoc ICareGroups
    function closeByRegistrar(address group) external restricted {
        if (_groups[group].manager == address(0)) revert GroupUnknown(group);
        if (_groups[group].closed) revert GroupAlreadyClosed(group);

        _close(group);
    }

    /* MEMBERS */

    /// @inheritdoc ICareGroups
    function addMember(address group, address member, bytes32 sealedKey) external {
        _checkManager(group);
        _checkPractitioner(member);

        _seal(group, member, sealedKey);
        // It is their own transaction, so no second one is asked for.
        if (member == _msgSender() && _acceptedAt[group][member] == 0) _accept(group);
    }

    /// @inheritdoc ICareGroups
    function accept(address group) external {
        if (_sealedKeys[group][_msgSender()] == bytes32(0)) revert GroupNotListed(group, _msgSender());
        if (_acceptedAt[group][_msgSender()] != 0) revert GroupAlreadyAccepted(group, _msgSender());
        if (_groups[group].closed) revert GroupAlreadyClosed(group);
        _checkPractitioner(_msgSender());

        _accept(group);
    }

    /// @inheritdoc ICareGroups
    function renew(
        address group,
        uint32 generation,
        bytes32 keyDigest,
        address[] calldata members,
        bytes32[] calldata sealedKeys
    ) external {
        _checkManager(group);
        _checkKeys(keyDigest);
        uint32 current = _groups[group].generation;
        // Checked arithmetic: after 2^32 - 1 renewals there is no next one.
        if (generation != current + 1) revert GroupNotNextGeneration(group, generation, current);
        if (members.length != sealedKeys.length) revert GroupRenewalLengths(members.length, sealedKeys.length);

        _groups[group].generation = generation;

        // Before the members': what is sealed from here on holds the new secret.
        emit GroupRenewed(group, generation, keyDigest);
        for (uint256 i = 0; i < members.length; ++i) {
            if (_sealedKeys[group][members[i]] == bytes32(0)) revert GroupNotListed(group, members[i]);
            _seal(group, members[i], sealedKeys[i]);
        }
    }

    /// @inheritdoc ICareGroups
    function removeMember(address group, address member) external {
        // Nobody is kept: whoever is listed leaves also while suspended, and a group that is closed.
        if (_msgSender() != member) _checkManager(group);
        if (_sealedKeys[group][member] == bytes32(0)) revert GroupNotListed(group, member);

        delete _sealedKeys[group][member];
        delete _acceptedAt[group][member];

        emit MemberRemoved(group, member);
    }

    /* VIEWS */

    /// @inheritdoc ICareGroups
    function isMember(address group, address person) external view returns (bool) {
        bool accepted = !_groups[group].closed && _acceptedAt[group][person] != 0;
        return accepted && _IDENTITIES.isActive(person, IIdentityRegistry.Role.Practitioner);
    }

    /// @inheritdoc ICareGroups
    function groupOf(address group) external view returns (Group memory) {
        return _groups[group];
    }

    /// @inheritdoc ICareGroups
    function sealedKeyOf(address group, address member) external view returns (bytes32) {
        return _sealedKeys[group][member];
    }

    /// @inheritdoc ICareGroups
    function acceptedAtOf(address group, address member) external view returns (uint48) {
        return _acceptedAt[group][member];
    }

    /// @inheritdoc ICareGroups
    function managedBy(address manager) external view returns (uint256) {
        return _managed[manager];
    }

    /* INTERNAL */

    function _seal(address group, address member, bytes32 sealedKey) private {
        if (sealedKey == bytes32(0)) revert GroupWithoutSealedKey(group, member);

        _sealedKeys[group][member] = sealedKey;

        emit MemberAdded(group, member, sealedKey);
    }

    /// @dev In the caller's own name only.
    function _accept(address group) private {
        // Safe: Unix seconds fit 48 bits for nine million years.
        _acceptedAt[group][_msgSender()] = uint48(block.timestamp);

        emit MemberAccepted(group, _msgSender());
    }

    function _manageOneMore(address manager) private {
        if (_managed[manager] >= MAX_GROUPS) revert GroupTooMany(manager, MAX_GROUPS);

        ++_managed[manager];
    }

    function _close(address group) private {
        _groups[group].closed = true;
        --_managed[_groups[group].manager];

        emit GroupClosed(group);
    }

    /// @dev Reverts for everybody but the manager of an open group, while they are an active practitioner.
    function _checkManager(address group) private view {
        // An unknown group has the zero address as manager, which can't call: it fails here.
        if (_groups[group].manager != _msgSender()) revert GroupNotManager(group, _msgSender());
        if (_groups[group].closed) revert GroupAlreadyClosed(group);
        _checkPractitioner(_msgSender());
    }

    function _checkKeys(bytes32 keyDigest) private view {
        if (keyDigest == bytes32(0)) revert GroupWithoutKeys(_msgSender());
    }

    function _checkPractitioner(address account) private view {
        if (!_IDENTITIES.isActive(account, IIdentityRegistry.Role.Practitioner)) {
            revert GroupNotActivePractitioner(account);
        }
    }
}
