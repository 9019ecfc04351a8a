// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {IEmergencyAccess} from "../interfaces/IEmergencyAccess.sol";
import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {RelayedAndManaged} from "../libraries/RelayedAndManaged.sol";
import {Status} from "../types/Status.sol";

/// @title EmergencyAccess
/// @notice See {IEmergencyAccess}. It opens the emergency lane only; which proxies serve is not decided here.
contract EmergencyAccess is IEmergencyAccess, RelayedAndManaged {
    uint48 private constant COSIGN_DUE = 1 hours;
    uint48 private constant DURATION = 4 hours;
    uint48 private constant REVIEW_DUE = 72 hours;

    IIdentityRegistry private immutable _IDENTITIES;

    mapping(uint256 id => Emergency emergency) private _emergencies;
    uint256 private _count;

    constructor(address authority, IIdentityRegistry identities, address forwarder)
        RelayedAndManaged(authority, forwarder)
    {
        _IDENTITIES = identities;
    }

    /* BREAK GLASS */

    /// @inheritdoc IEmergencyAccess
    function request(address patient, bytes32 reason) external returns (uint256 id) {
        _checkPractitioner(_msgSender(), _organisationOf(_msgSender()));
        if (!_IDENTITIES.isActive(patient, IIdentityRegistry.Role.Patient)) revert EmergencyUnknownPatient(patient);
        if (reason == bytes32(0)) revert EmergencyWithoutReason();

        id = ++_count;
        Emergency storage emergency = _emergencies[id];
        emergency.practitioner = _msgSender();
        // Safe: Unix seconds fit 48 bits for nine million years.
        emergency.requestedAt = uint48(block.timestamp);
        emergency.patient = patient;
        emergency.reason = reason;

        emit EmergencyRequested(id, _msgSender(), patient, reason);
    }

    /// @inheritdoc IEmergencyAccess
    function cosign(uint256 id) external {
        Emergency storage emergency = _known(id);
        address practitioner = emergency.practitioner;
        if (practitioner == _msgSender() || emergency.cosigner != address(0)) {
            revert EmergencyInvalidCosigner(id, _msgSender());
        }
        address organisation = _organisationOf(_msgSender());
        _checkPractitioner(_msgSender(), organisation);
        address theirs = _organisationOf(practitioner);
        _checkPractitioner(practitioner, theirs);
        if (organisation != theirs) revert EmergencyInvalidCosigner(id, _msgSender());
        uint256 dueAt = uint256(emergency.requestedAt) + COSIGN_DUE;
        if (block.timestamp >= dueAt) revert EmergencyRequestExpired(id, dueAt, block.timestamp);

        emergency.cosigner = _msgSender();
        // Safe: as above.
        emergency.cosignedAt = uint48(block.timestamp);

        emit EmergencyCosigned(id, _msgSender(), emergency.cosignedAt + DURATION, emergency.cosignedAt + REVIEW_DUE);
    }

    /* REVIEW */

    /// @inheritdoc IEmergencyAccess
    function review(uint256 id, bytes32 outcome) external restricted {
        Emergency storage emergency = _known(id);
        if (emergency.reviewed || emergency.enforced) revert EmergencyClosed(id);
        // A review ahead of the access would leave it without one.
        if (emergency.cosignedAt == 0) revert EmergencyNotCosigned(id);

        emergency.reviewed = true;

        emit EmergencyReviewed(id, outcome);
    }

    /// @inheritdoc IEmergencyAccess
    function enforce(uint256 id) external {
        Emergency storage emergency = _known(id);
        if (emergency.reviewed || emergency.enforced) revert EmergencyClosed(id);
        if (emergency.cosignedAt == 0) revert EmergencyNotCosigned(id);
        uint256 dueAt = uint256(emergency.cosignedAt) + REVIEW_DUE;
        if (block.timestamp < dueAt) revert EmergencyNotOverdue(id, dueAt, block.timestamp);

        emergency.enforced = true;

        emit EmergencyOverdue(id, emergency.practitioner);

        // A practitioner who is suspended already stays so: a second overdue review must not fail here.
        if (_IDENTITIES.identityOf(emergency.practitioner).status == Status.Active) {
            _IDENTITIES.suspend(emergency.practitioner);
        }
    }

    /* VIEWS */

    /// @inheritdoc IEmergencyAccess
    function isActive(uint256 id) external view returns (bool) {
        uint48 cosignedAt = _emergencies[id].cosignedAt;
        return cosignedAt != 0 && block.timestamp < uint256(cosignedAt) + DURATION;
    }

    /// @inheritdoc IEmergencyAccess
    function emergencyOf(uint256 id) external view returns (Emergency memory) {
        return _emergencies[id];
    }

    /// @inheritdoc IEmergencyAccess
    function emergencyCount() external view returns (uint256) {
        return _count;
    }

    /* INTERNAL */

    function _known(uint256 id) private view returns (Emergency storage emergency) {
        emergency = _emergencies[id];
        if (emergency.practitioner == address(0)) revert EmergencyUnknown(id);
    }

    /// @dev Reverts for everybody but active practitioners of a hospital.
    function _checkPractitioner(address account, address organisation) private view {
        if (organisation == address(0) || !_IDENTITIES.isActive(account, IIdentityRegistry.Role.Practitioner)) {
            revert EmergencyNotActivePractitioner(account);
        }
    }

    /// @dev Zero for whoever works for no hospital, and for strangers.
    function _organisationOf(address account) private view returns (address) {
        return _IDENTITIES.identityOf(account).organisation;
    }
}
