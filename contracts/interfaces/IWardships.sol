// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// @title Wardships: who acts for a minor or an adult under care, in which categories, and until when
/// @notice A carer acts through an account that was made for this ward alone. The registrar attests; at the end nobody
/// has to do anything.
/// @dev Not to be mistaken for the guardians of {IIdentityRegistry}, who move a patient's identity to another account. The
/// ward's own account is never the carer's: nobody here can act as the ward. Papers are sealed, and only their digest is
/// here. What a wardship can't end is what the carer has read, and keys of lanes that they held.
interface IWardships {
    /// @notice Where a wardship stands.
    enum State {
        None,
        Proposed,
        Accepted,
        InForce,
        Over,
        Ended
    }

    /// @notice What is proposed, accepted and attested, as a whole.
    struct Terms {
        /// @notice The patient who is cared for.
        address ward;
        /// @notice Unix seconds, exclusive: from then on the ward is of age, or the care is over.
        uint48 endsAt;
        /// @notice Who acts.
        address carer;
        /// @notice Unix seconds, inclusive: from then on the ward keeps `keeps` to themselves.
        uint48 keepsFrom;
        /// @notice Bits of the categories in which the carer acts.
        uint32 categories;
        /// @notice Those of them that the ward keeps to themselves from `keepsFrom` on.
        uint32 keeps;
        /// @notice The sha2-256 digest in the CID of the sealed papers (CIDv1, raw).
        bytes32 papers;
        /// @notice The same of the account's secret, sealed to the ward: what the ward takes over with.
        bytes32 handover;
    }

    /// @notice One wardship.
    struct Wardship {
        /// @notice What was proposed.
        Terms terms;
        /// @notice The account through which the carer acts: a patient's, for this ward alone.
        address account;
        /// @notice Unix seconds of the registrar's attestation; zero before.
        uint48 startedAt;
        /// @notice Unix seconds of an early end; zero without one.
        uint48 endedAt;
        /// @notice Whether the carer accepted.
        bool accepted;
        /// @notice Whether its account was suspended once its time was over.
        bool concluded;
    }

    /// @notice A wardship was proposed by the account through which the carer will act.
    event WardshipProposed(
        uint256 indexed id,
        address indexed ward,
        address indexed account,
        address carer,
        uint32 categories,
        uint32 keeps,
        uint48 keepsFrom,
        uint48 endsAt,
        bytes32 papers,
        bytes32 handover
    );
    /// @notice The carer accepted.
    event WardshipAccepted(uint256 indexed id, address indexed carer);
    /// @notice The registrar attested: it is in force from now on.
    event WardshipStarted(uint256 indexed id, address indexed ward, address indexed registrar);
    /// @notice It was ended ahead of its time, by the carer, the account or the registrar.
    event WardshipEnded(uint256 indexed id, address indexed by);
    /// @notice Its time was over and the carer's account was suspended; anybody may have asked for it.
    event WardshipConcluded(uint256 indexed id, address indexed by);

    /// @notice The account isn't an active patient.
    error WardshipNotActivePatient(address account);
    /// @notice The carer isn't an active person of this chain.
    error WardshipNotActiveCarer(address account);
    /// @notice Ward, carer and account are three, and neither the ward nor the carer is an account of a wardship.
    error WardshipInvalidParties(address ward, address carer, address account);
    /// @notice The account has a wardship already.
    error WardshipAccountTaken(address account, uint256 id);
    /// @notice The end isn't in the future or too far in it, or papers, handover or categories are missing, or what the
    /// ward keeps isn't a part of the categories.
    error WardshipInvalid(uint48 endsAt, uint48 keepsFrom, uint32 categories, uint32 keeps, uint256 currentTime);
    /// @notice The caller has no say in this wardship.
    error WardshipNotYours(uint256 id, address caller);
    /// @notice The wardship stands elsewhere than this step needs.
    error WardshipUnexpectedState(uint256 id, State state);
    /// @notice It never began, or was concluded before: there is nothing to conclude.
    error WardshipNothingToConclude(uint256 id);
    /// @notice The ward has another wardship in force, also under an account that they were moved from.
    error WardshipWardTaken(address ward, uint256 id);

    /// @notice Propose a wardship through the calling account. Only active patients, once for each account.
    function propose(Terms calldata terms) external returns (uint256 id);

    /// @notice Accept to act for the ward. Only the carer that the proposal names, while active.
    function accept(uint256 id) external;

    /// @notice Attest a wardship that its carer accepted: it is in force from this block on. Only the registrar; a ward
    /// has one wardship in force at a time.
    function start(uint256 id) external;

    /// @notice End a wardship ahead of its time, and have its account suspended; or withdraw a proposal, which suspends
    /// nobody. Only its carer, at the account to which guardians moved them, or its account.
    function end(uint256 id) external;

    /// @notice The same. Only the registrar.
    function endByRegistrar(uint256 id) external;

    /// @notice Have the account of a wardship whose time is over suspended. Anybody, once, and only if it had begun; it
    /// ended at its time without this.
    function conclude(uint256 id) external;

    /// @notice One wardship; all fields zero when there is none.
    function wardshipOf(uint256 id) external view returns (Wardship memory);

    /// @notice Where a wardship stands now.
    function stateOf(uint256 id) external view returns (State);

    /// @notice Bits of the categories in which a wardship's carer acts now; zero unless it is in force.
    function categoriesOf(uint256 id) external view returns (uint32);

    /// @notice The wardship of a ward that is in force now, or zero; also one of an account that they were moved from.
    function currentOf(address ward) external view returns (uint256 id);

    /// @notice The wardship that an account is for, or zero.
    function wardshipOfAccount(address account) external view returns (uint256 id);

    /// @notice How many wardships were proposed; their IDs are 1 to this number.
    function wardshipCount() external view returns (uint256);
}
