// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {ICareGroups} from "../interfaces/ICareGroups.sol";
import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";

/// @title CareGroups
/// @notice See {ICareGroups}. It never learns a patient or a policy, and never holds a secret in the clear.
contract CareGroups is ICareGroups, AccessManaged {
    /// @dev Bytes of a compressed point, SEC 1 section 2.3.3.
    uint256 private constant KEY_SIZE = 33;

    IIdentityRegistry private immutable _IDENTITIES;

    mapping(address group => Group created) private _groups;
    /// @dev A member with an entry is listed.
    mapping(address group => mapping(address member => bytes32 sealedKey)) private _sealedKeys;

    constructor(address authority, IIdentityRegistry identities) AccessManaged(authority) {
        _IDENTITIES = identities;
    }

    /* GROUPS */

    /// @inheritdoc ICareGroups
    function create(bytes calldata receivingKey) external returns (address group) {
        _checkPractitioner(msg.sender);
        _checkKey(receivingKey);
        bytes32 digest = keccak256(abi.encode(block.chainid, address(this), msg.sender, receivingKey));
        // Safe: cut to the low 20 bytes on purpose, as accounts are.
        group = address(uint160(uint256(digest)));
        if (_groups[group].manager != address(0)) revert GroupAlreadyCreated(group);

        address organisation = _IDENTITIES.identityOf(msg.sender).organisation;
        _groups[group] = Group({manager: msg.sender, closed: false, generation: 0, organisation: organisation});

        emit GroupCreated(group, msg.sender, organisation, receivingKey);
    }

    /// @inheritdoc ICareGroups
    function handOver(address group, address newManager) external {
        _checkManager(group);
        _checkPractitioner(newManager);

        _groups[group].manager = newManager;

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
    }

    /// @inheritdoc ICareGroups
    function renew(
        address group,
        uint32 generation,
        bytes calldata receivingKey,
        address[] calldata members,
        bytes32[] calldata sealedKeys
    ) external {
        _checkManager(group);
        _checkKey(receivingKey);
        uint32 current = _groups[group].generation;
        // Checked arithmetic: after 2^32 - 1 renewals there is no next one.
        if (generation != current + 1) revert GroupNotNextGeneration(group, generation, current);
        if (members.length != sealedKeys.length) revert GroupRenewalLengths(members.length, sealedKeys.length);

        _groups[group].generation = generation;

        // Before the members': what is sealed from here on holds the new secret.
        emit GroupRenewed(group, generation, receivingKey);
        for (uint256 i = 0; i < members.length; ++i) {
            if (_sealedKeys[group][members[i]] == bytes32(0)) revert GroupNotListed(group, members[i]);
            _seal(group, members[i], sealedKeys[i]);
        }
    }

    /// @inheritdoc ICareGroups
    function removeMember(address group, address member) external {
        // Nobody is kept: a member leaves also while suspended, and a group that is closed.
        if (msg.sender != member) _checkManager(group);
        if (_sealedKeys[group][member] == bytes32(0)) revert GroupNotListed(group, member);

        delete _sealedKeys[group][member];

        emit MemberRemoved(group, member);
    }

    /* VIEWS */

    /// @inheritdoc ICareGroups
    function isMember(address group, address person) external view returns (bool) {
        bool listed = !_groups[group].closed && _sealedKeys[group][person] != bytes32(0);
        return listed && _IDENTITIES.isActive(person, IIdentityRegistry.Role.Practitioner);
    }

    /// @inheritdoc ICareGroups
    function groupOf(address group) external view returns (Group memory) {
        return _groups[group];
    }

    /// @inheritdoc ICareGroups
    function sealedKeyOf(address group, address member) external view returns (bytes32) {
        return _sealedKeys[group][member];
    }

    /* INTERNAL */

    function _seal(address group, address member, bytes32 sealedKey) private {
        if (sealedKey == bytes32(0)) revert GroupWithoutSealedKey(group, member);

        _sealedKeys[group][member] = sealedKey;

        emit MemberAdded(group, member, sealedKey);
    }

    function _close(address group) private {
        _groups[group].closed = true;

        emit GroupClosed(group);
    }

    /// @dev Reverts for everybody but the manager of an open group, while they are an active practitioner.
    function _checkManager(address group) private view {
        // An unknown group has the zero address as manager, which can't call: it fails here.
        if (_groups[group].manager != msg.sender) revert GroupNotManager(group, msg.sender);
        if (_groups[group].closed) revert GroupAlreadyClosed(group);
        _checkPractitioner(msg.sender);
    }

    function _checkKey(bytes calldata receivingKey) private pure {
        if (receivingKey.length != KEY_SIZE) revert GroupInvalidKey(receivingKey.length);
    }

    function _checkPractitioner(address account) private view {
        if (!_IDENTITIES.isActive(account, IIdentityRegistry.Role.Practitioner)) {
            revert GroupNotActivePractitioner(account);
        }
    }
}
