// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// @title Break-glass access
/// @notice One practitioner asks, a second one of the same hospital co-signs within the hour; access lasts four
/// hours, a review is due in 72, and a missed one suspends the practitioner.
interface IEmergencyAccess {
    /// @notice One emergency.
    struct Emergency {
        /// @notice Who asked.
        address practitioner;
        /// @notice Unix seconds of the request.
        uint48 requestedAt;
        /// @notice Unix seconds of the co-signature; zero before.
        uint48 cosignedAt;
        /// @notice Whose emergency lane.
        address patient;
        /// @notice Whether the review was held.
        bool reviewed;
        /// @notice Whether the review was missed and the practitioner suspended.
        bool enforced;
        /// @notice Who co-signed; zero before.
        address cosigner;
        /// @notice Reason code: the sha2-256 digest in the CID of the sealed reason (CIDv1, raw).
        bytes32 reason;
    }

    /// @notice Emergency access was asked for.
    event EmergencyRequested(
        uint256 indexed id, address indexed practitioner, address indexed patient, bytes32 reason
    );
    /// @notice A second practitioner co-signed: the access is active until `expiresAt`.
    event EmergencyCosigned(uint256 indexed id, address indexed cosigner, uint48 expiresAt, uint48 reviewDueAt);
    /// @notice The review was held.
    event EmergencyReviewed(uint256 indexed id, bytes32 outcome);
    /// @notice The review was missed; the practitioner is suspended.
    event EmergencyOverdue(uint256 indexed id, address indexed practitioner);

    /// @notice The caller isn't an active practitioner of a hospital.
    error EmergencyNotActivePractitioner(address account);
    /// @notice The account isn't an active patient.
    error EmergencyUnknownPatient(address patient);
    /// @notice A reason is required.
    error EmergencyWithoutReason();
    /// @notice There is no such emergency.
    error EmergencyUnknown(uint256 id);
    /// @notice Nobody co-signs their own emergency, co-signs twice, or co-signs for another hospital.
    error EmergencyInvalidCosigner(uint256 id, address cosigner);
    /// @notice Nobody co-signed within the hour.
    error EmergencyRequestExpired(uint256 id, uint256 dueAt, uint256 currentTime);
    /// @notice Nobody co-signed: there was no access, and there is nothing to review.
    error EmergencyNotCosigned(uint256 id);
    /// @notice The review was held, or missed and enforced, already.
    error EmergencyClosed(uint256 id);
    /// @notice The review isn't overdue.
    error EmergencyNotOverdue(uint256 id, uint256 dueAt, uint256 currentTime);

    /// @notice Ask for emergency access. Only active practitioners.
    function request(address patient, bytes32 reason) external returns (uint256 id);

    /// @notice Co-sign within one hour. Only another active practitioner of the same hospital.
    function cosign(uint256 id) external;

    /// @notice State that the review was held. Only the registrar.
    function review(uint256 id, bytes32 outcome) external;

    /// @notice Suspend a practitioner whose review is overdue. Anyone may call it.
    function enforce(uint256 id) external;

    /// @notice Whether the access is active now.
    function isActive(uint256 id) external view returns (bool);

    /// @notice One emergency; all fields zero when there is none.
    function emergencyOf(uint256 id) external view returns (Emergency memory);

    /// @notice How many emergencies there were; their IDs are 1 to this number.
    function emergencyCount() external view returns (uint256);
}
