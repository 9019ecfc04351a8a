// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity 0.8.37;

import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {IWardships} from "../interfaces/IWardships.sol";
import {RelayedAndManaged} from "../libraries/RelayedAndManaged.sol";
import {Status} from "../types/Status.sol";

/// @title Wardships
/// @notice See {IWardships}. It holds no name, no reason and no key.
contract Wardships is IWardships, RelayedAndManaged {
    /// @dev A carer's rights have an end: what lasts longer is attested anew.
    uint256 private constant LONGEST = 25 * 365 days;

    IIdentityRegistry private immutable _IDENTITIES;

    mapping(uint256 id => Wardship wardship) private _wardships;
    mapping(address ward => uint256 id) private _latest;
    mapping(address account => uint256 id) private _ofAccount;
    uint256 private _count;

    constructor(address authority, IIdentityRegistry identities, address forwarder)
        RelayedAndManaged(authority, forwarder)
    {
        _IDENTITIES = identities;
    }

    /* BEGINNING */

    /// @inheritdoc IWardships
    function propose(Terms calldata terms) external returns (uint256 id) {
        address account = _msgSender();
        _checkPatient(account);
        _checkPatient(terms.ward);
        _checkCarer(terms.carer);
        if (terms.ward == account || terms.carer == account || terms.ward == terms.carer) {
            revert WardshipInvalidParties(terms.ward, terms.carer, account);
        }
        _checkParties(terms.ward, terms.carer, account);
        if (_ofAccount[account] != 0) revert WardshipAccountTaken(account, _ofAccount[account]);
        if (
            terms.endsAt <= block.timestamp || terms.endsAt > block.timestamp + LONGEST || terms.categories == 0
                || terms.papers == bytes32(0) || terms.handover == bytes32(0) || terms.keeps & ~terms.categories != 0
        ) {
            revert WardshipInvalid(terms.endsAt, terms.keepsFrom, terms.categories, terms.keeps, block.timestamp);
        }

        id = ++_count;
        _wardships[id].terms = terms;
        _wardships[id].account = account;
        _ofAccount[account] = id;

        emit WardshipProposed(
            id,
            terms.ward,
            account,
            terms.carer,
            terms.categories,
            terms.keeps,
            terms.keepsFrom,
            terms.endsAt,
            terms.papers,
            terms.handover
        );
    }

    /// @inheritdoc IWardships
    function accept(uint256 id) external {
        Wardship storage wardship = _wardships[id];
        // An unknown wardship has the zero address as carer, which can't call: it fails here.
        if (_msgSender() != wardship.terms.carer) revert WardshipNotYours(id, _msgSender());
        _checkState(id, State.Proposed);
        _checkCarer(_msgSender());

        wardship.accepted = true;

        emit WardshipAccepted(id, _msgSender());
    }

    /// @inheritdoc IWardships
    function start(uint256 id) external restricted {
        _checkState(id, State.Accepted);
        Wardship storage wardship = _wardships[id];
        address ward = wardship.terms.ward;
        uint256 current = currentOf(ward);
        if (current != 0) revert WardshipWardTaken(ward, current);
        // Asked again: since the proposal any of them may have been suspended, or come into a wardship of their own.
        _checkPatient(ward);
        _checkPatient(wardship.account);
        _checkCarer(wardship.terms.carer);
        _checkParties(ward, wardship.terms.carer, wardship.account);

        // Safe: Unix seconds fit 48 bits for nine million years.
        wardship.startedAt = uint48(block.timestamp);
        _latest[ward] = id;

        emit WardshipStarted(id, ward, _msgSender());
    }

    /* END */

    /// @inheritdoc IWardships
    function end(uint256 id) external {
        Wardship storage wardship = _wardships[id];
        // An unknown wardship has the zero address on both sides, which can't call. A key that its carer left ends nothing.
        bool allowed =
            _msgSender() == wardship.account || _msgSender() == _IDENTITIES.newestOf(wardship.terms.carer);
        if (!allowed) revert WardshipNotYours(id, _msgSender());
        _end(id);
    }

    /// @inheritdoc IWardships
    function endByRegistrar(uint256 id) external restricted {
        _end(id);
    }

    /// @inheritdoc IWardships
    function conclude(uint256 id) external {
        _checkState(id, State.Over);
        Wardship storage wardship = _wardships[id];
        // Once: a reinstatement after it lasts. What never began gave its account nothing that has to end.
        if (wardship.startedAt == 0 || wardship.concluded) revert WardshipNothingToConclude(id);

        wardship.concluded = true;

        emit WardshipConcluded(id, _msgSender());

        _suspend(wardship.account);
    }

    /* VIEWS */

    /// @inheritdoc IWardships
    function wardshipOf(uint256 id) external view returns (Wardship memory) {
        return _wardships[id];
    }

    /// @inheritdoc IWardships
    function stateOf(uint256 id) public view returns (State) {
        Wardship storage wardship = _wardships[id];
        if (wardship.account == address(0)) return State.None;
        if (wardship.endedAt != 0) return State.Ended;
        // A proposal whose time is over can't be attested any more.
        if (block.timestamp >= wardship.terms.endsAt) return State.Over;
        if (wardship.startedAt != 0) return State.InForce;
        return wardship.accepted ? State.Accepted : State.Proposed;
    }

    /// @inheritdoc IWardships
    function categoriesOf(uint256 id) external view returns (uint32) {
        if (stateOf(id) != State.InForce) return 0;
        Terms storage terms = _wardships[id].terms;
        return block.timestamp < terms.keepsFrom ? terms.categories : terms.categories & ~terms.keeps;
    }

    /// @inheritdoc IWardships
    function currentOf(address ward) public view returns (uint256 id) {
        id = _latest[ward];
        if (stateOf(id) == State.InForce) return id;
        address[] memory earlier = _IDENTITIES.movedTo(ward);
        for (uint256 i = 0; i < earlier.length; ++i) {
            id = _latest[earlier[i]];
            if (stateOf(id) == State.InForce) return id;
        }
        return 0;
    }

    /// @inheritdoc IWardships
    function wardshipOfAccount(address account) external view returns (uint256 id) {
        return _ofAccount[account];
    }

    /// @inheritdoc IWardships
    function wardshipCount() external view returns (uint256) {
        return _count;
    }

    /* INTERNAL */

    function _end(uint256 id) private {
        State state = stateOf(id);
        if (state != State.Proposed && state != State.Accepted && state != State.InForce) {
            revert WardshipUnexpectedState(id, state);
        }

        // Safe: as above.
        _wardships[id].endedAt = uint48(block.timestamp);

        emit WardshipEnded(id, _msgSender());

        // A proposal gave its account nothing that has to end.
        if (state == State.InForce) _suspend(_wardships[id].account);
    }

    /// @dev An account that was made for one ward serves nothing else afterwards. One that is suspended stays so.
    function _suspend(address account) private {
        if (_IDENTITIES.identityOf(account).status == Status.Active) _IDENTITIES.suspend(account);
    }

    function _checkState(uint256 id, State expected) private view {
        State state = stateOf(id);
        if (state != expected) revert WardshipUnexpectedState(id, state);
    }

    /// @dev Reverts where ward or carer is the account of a wardship that isn't at its end, or the account is a ward's own.
    function _checkParties(address ward, address carer, address account) private view {
        if (_serves(ward) || _serves(carer) || _isWard(account)) revert WardshipInvalidParties(ward, carer, account);
    }

    /// @dev Whether somebody is or was under care, also as another account.
    function _isWard(address account) private view returns (bool) {
        if (_latest[account] != 0) return true;
        address[] memory earlier = _IDENTITIES.movedTo(account);
        for (uint256 i = 0; i < earlier.length; ++i) {
            if (_latest[earlier[i]] != 0) return true;
        }
        return false;
    }

    /// @dev Whether an account is for a wardship, also one that isn't attested yet. Who proposes one through their own
    /// account keeps off care by that only until the registrar ends it.
    function _serves(address account) private view returns (bool) {
        uint256 id = _ofAccount[account];
        return id != 0 && uint256(stateOf(id)) < uint256(State.Over);
    }

    function _checkPatient(address account) private view {
        if (!_IDENTITIES.isActive(account, IIdentityRegistry.Role.Patient)) revert WardshipNotActivePatient(account);
    }

    /// @dev Reverts for everybody but an active person of this chain, whatever their role.
    function _checkCarer(address account) private view {
        if (_IDENTITIES.identityOf(account).status != Status.Active) revert WardshipNotActiveCarer(account);
    }
}
