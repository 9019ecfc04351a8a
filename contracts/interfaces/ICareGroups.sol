// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// @title Care teams and departments
/// @notice A group has keys of its own, and their secret sealed to each member. A patient grants to the group
/// once; who belongs to it, and so who may use the grant, its manager decides here, with each member's assent.
/// @dev Whoever is listed is invited, and becomes a member by accepting in a transaction of their own: no manager puts
/// anybody into a group. Proxies serve whom isMember names at that time. Whoever was a member may have kept the group's secret: leaving
/// takes the proxies' service away, and with it everything that isn't opened yet, but nothing that was. What is granted
/// after a renewal is sealed to a secret that they never had.
interface ICareGroups {
    /// @notice One group.
    struct Group {
        /// @notice Who invites and removes members; a practitioner, and a member only if listed.
        address manager;
        /// @notice For good: a closed group has no members.
        bool closed;
        /// @notice Of the keys: how often they were renewed, 0 for those that the group's ID commits to.
        uint32 generation;
        /// @notice The creator's hospital, by their identity then; zero if they had none.
        address organisation;
    }

    /// @notice A group was created.
    /// @param keyDigest The sha2-256 digest in the CID of the group's key block (CIDv1, raw): what is granted to the group
    /// is sealed to the keys in it. The group's ID commits to it.
    event GroupCreated(address indexed group, address indexed manager, address organisation, bytes32 keyDigest);
    /// @notice From here on what is granted to the group is sealed to other keys. MemberAdded says who got their secret.
    /// @param generation The new keys', from 1 on.
    /// @param keyDigest Of the new key block; the group's ID doesn't commit to it, its manager vouches for it.
    event GroupRenewed(address indexed group, uint32 generation, bytes32 keyDigest);
    /// @notice A person was listed, and so invited, or got the group's secrets sealed anew.
    /// @param sealedKey The sha2-256 digest in the CID of the secrets of all generations, sealed to the member (CIDv1,
    /// raw).
    event MemberAdded(address indexed group, address indexed member, bytes32 sealedKey);
    /// @notice A listed person assented, and is a member from here on.
    event MemberAccepted(address indexed group, address indexed member);
    /// @notice A person left, declined, or was removed.
    event MemberRemoved(address indexed group, address indexed member);
    /// @notice Somebody else manages the group.
    event GroupHandedOver(address indexed group, address indexed manager);
    /// @notice The group is closed.
    event GroupClosed(address indexed group);

    /// @notice The account isn't an active practitioner.
    error GroupNotActivePractitioner(address account);
    /// @notice The digest of the group's key block is zero.
    error GroupWithoutKeys(address caller);
    /// @notice The caller created a group with these keys already.
    error GroupAlreadyCreated(address group);
    /// @notice There is no such group.
    error GroupUnknown(address group);
    /// @notice The group is closed.
    error GroupAlreadyClosed(address group);
    /// @notice The caller has no say in this.
    error GroupNotManager(address group, address caller);
    /// @notice The group was renewed meanwhile, or the number isn't that of the next generation.
    error GroupNotNextGeneration(address group, uint32 generation, uint32 current);
    /// @notice A renewal has as many sealed keys as members.
    error GroupRenewalLengths(uint256 members, uint256 sealedKeys);
    /// @notice The group's secret isn't sealed to the member.
    error GroupWithoutSealedKey(address group, address member);
    /// @notice The person isn't listed.
    error GroupNotListed(address group, address member);
    /// @notice The person accepted already.
    error GroupAlreadyAccepted(address group, address member);
    /// @notice The person isn't listed, or hasn't accepted.
    error GroupNotAccepted(address group, address member);
    /// @notice The account manages as many open groups as anybody may.
    error GroupTooMany(address manager, uint256 most);

    /// @notice Create a group and manage it. Only active practitioners who manage fewer than 64 open groups.
    /// @param keyDigest SHA-256 of the group's key block, which lies in the store (docs/spec/formats.md).
    /// @return group Its ID, the last 20 bytes of keccak256(abi.encode(chain ID, this contract, the caller, keyDigest)):
    /// nobody can take it in their place, and whoever knows the creator can check the digest.
    function create(bytes32 keyDigest) external returns (address group);

    /// @notice List a person, and so invite them, or replace what is sealed to them. Only the manager, while both are
    /// active practitioners. A manager who lists themselves has assented by that.
    function addMember(address group, address member, bytes32 sealedKey) external;

    /// @notice Assent to being a member of an open group. Only who is listed, while an active practitioner.
    function accept(address group) external;

    /// @notice Give the group other keys, and its secrets sealed anew to the members who shall have it. Only
    /// the manager, while an active practitioner.
    /// @dev All or nothing. Nobody is listed this way, and the group's ID stays. A listed person who isn't named stays
    /// listed and keeps what was sealed to them before: proxies go on serving them for what was granted until now, and
    /// they can't read what is granted from now on until addMember gives them the newest secret too. So the SDK leaves
    /// out those who don't count as members now, such as the suspended.
    /// @param generation The present generation and 1: of two renewals that were made from the same one the second
    /// fails, or the secret that the first one handed out would be lost to everybody.
    /// @param keyDigest SHA-256 of the new key block, of fresh keys. Whether they are isn't checked.
    /// @param members Listed persons.
    /// @param sealedKeys For each of them, as addMember takes it.
    function renew(
        address group,
        uint32 generation,
        bytes32 keyDigest,
        address[] calldata members,
        bytes32[] calldata sealedKeys
    ) external;

    /// @notice Take a person off the list, whether or not they accepted. The manager, while an active practitioner, or
    /// at any time that person. Whoever is listed again assents again.
    function removeMember(address group, address member) external;

    /// @notice Let a member, of any organisation, manage the group. Only the manager, while both are active practitioners
    /// and the member manages fewer than 64 open groups.
    /// @dev A member assented to this group: nobody comes to manage one with which they have nothing to do.
    function handOver(address group, address newManager) external;

    /// @notice Close a group for good. Only the manager, while an active practitioner.
    function close(address group) external;

    /// @notice Close a group for good, whoever manages it. Only the registrar.
    function closeByRegistrar(address group) external;

    /// @notice Whether a person counts as a member now: the group is open, and lists the person, who accepted and is an
    /// active practitioner.
    function isMember(address group, address person) external view returns (bool);

    /// @notice One group; all fields zero when there is none.
    function groupOf(address group) external view returns (Group memory);

    /// @notice The digest of what is sealed to a listed person, also in a closed group; zero for others.
    function sealedKeyOf(address group, address member) external view returns (bytes32);

    /// @notice When a listed person accepted, Unix seconds, also in a closed group; zero for others.
    function acceptedAtOf(address group, address member) external view returns (uint48);

    /// @notice How many open groups an account manages.
    function managedBy(address manager) external view returns (uint256);
}
