"""Checkpoints: a quorum of validators states growing blocks of one sidechain, and nobody else does."""

from __future__ import annotations

from ast import literal_eval
from types import SimpleNamespace
from typing import Any

import ape
import pytest

from panachain.chain.abi import revert_reason
from panachain.chain.mainchain import Mainchain
from panachain.chain.signing import Account

SIDECHAIN = 31338
ADMINISTRATOR = 0
"""A role of the access manager."""
HOUR = 3600
NOBODY = "0x" + "00" * 20
HASH = b"h" * 32
OTHER_HASH = b"i" * 32
LARGEST = 2**64 - 1


def ascending(*accounts: Account) -> list[Account]:
    return sorted(accounts, key=lambda account: int(account.address, 16))


def keys(count: int, first: int = 1) -> list[Account]:
    # Fixed: ape compares no error whose data hold a quote (0x27), as random addresses do now and then.
    return ascending(*(Account(bytes([number]) * 32) for number in range(first, first + count)))


def reason(reverted: Any) -> str:
    """Return the error that `ape.reverts` caught and couldn't compare: one with a quote in its data."""
    message = reverted.value.revert_message
    return revert_reason(bytes.fromhex(message[2:]) if message.startswith("0x") else literal_eval(message))


def addresses(accounts: list[Account]) -> list[str]:
    return [account.address for account in accounts]


@pytest.fixture
def validators() -> list[Account]:
    """Three validators, ascending; two are a quorum."""
    return keys(3)


@pytest.fixture
def checkpoints(project: Any, registrar: Any, manager: Any, validators: list[Account]) -> Any:
    return registrar.deploy(project.Checkpoints, manager, SIDECHAIN, addresses(validators), 2)


@pytest.fixture
def signing(checkpoints: Any, chain: Any) -> Mainchain:
    # Only the domain is used: chain ID and contract address.
    return domain(checkpoints.address, chain.chain_id)


def domain(contract: str, chain_id: int) -> Mainchain:
    names = {"PolicyRegistry": NOBODY, "Checkpoints": contract}
    return Mainchain(SimpleNamespace(), names, chain_id)  # type: ignore[arg-type]


def signed(
    signing: Mainchain, signers: list[Account], number: int, block_hash: bytes = HASH, sidechain: int = SIDECHAIN
) -> tuple[int, bytes, list[str], list[bytes]]:
    """Return the arguments of `checkpoint`."""
    signatures = [signing.checkpoints.sign(signer, sidechain, number, block_hash) for signer in signers]
    return number, block_hash, addresses(signers), signatures


class TestConstructor:
    def test_names_validators_quorum_and_sidechain(self, checkpoints: Any, validators: list[Account]) -> None:
        assert tuple(checkpoints.validators()) == (addresses(validators), 2)
        assert checkpoints.sidechainId() == SIDECHAIN
        assert tuple(checkpoints.newest()) == (0, bytes(32))
        event = next(iter(checkpoints.ValidatorsChanged))
        assert (event.validators, event.quorum) == (addresses(validators), 2)

    @pytest.mark.parametrize(("count", "quorum"), [(3, 0), (3, 4), (0, 0), (0, 1)])
    def test_reverts_if_quorum_is_zero_or_out_of_reach(
        self, project: Any, registrar: Any, manager: Any, count: int, quorum: int
    ) -> None:
        members = addresses(keys(count))

        with ape.reverts(project.Checkpoints.CheckpointInvalidQuorum) as reverted:
            registrar.deploy(project.Checkpoints, manager, SIDECHAIN, members, quorum)

        assert reason(reverted) == f"CheckpointInvalidQuorum(quorum={quorum}, validators={count})"

    def test_reverts_if_not_ascending(
        self, project: Any, registrar: Any, manager: Any, validators: list[Account]
    ) -> None:
        low, high = addresses(validators[:2])

        for members in ([high, low], [low, low], [NOBODY, low]):
            with ape.reverts(project.Checkpoints.CheckpointNotAscending) as reverted:
                registrar.deploy(project.Checkpoints, manager, SIDECHAIN, members, 1)
            # There is no contract yet, so that ape compares nothing.
            assert type(reverted.value).__name__ == "CheckpointNotAscending"


class TestCheckpoint:
    @pytest.mark.parametrize("chosen", [(0, 1), (0, 2), (1, 2), (0, 1, 2)])
    def test_states_what_a_quorum_signed_whoever_relays(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, relay: Any, chosen: tuple[int, ...]
    ) -> None:
        signers = [validators[index] for index in chosen]

        receipt = checkpoints.checkpoint(*signed(signing, signers, 5), sender=relay)

        assert tuple(checkpoints.newest()) == (5, HASH)
        assert checkpoints.hashAt(5) == HASH
        event = next(iter(receipt.decode_logs(checkpoints.Checkpointed)))
        assert (event.number, event.blockHash) == (5, HASH)

    def test_older_hashes_stay(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, relay: Any
    ) -> None:
        checkpoints.checkpoint(*signed(signing, validators[:2], 5), sender=relay)
        checkpoints.checkpoint(*signed(signing, validators[1:], 6, OTHER_HASH), sender=relay)

        assert [checkpoints.hashAt(number) for number in range(4, 8)] == [bytes(32), HASH, OTHER_HASH, bytes(32)]
        assert tuple(checkpoints.newest()) == (6, OTHER_HASH)

    @pytest.mark.parametrize("count", [0, 1])
    def test_reverts_below_the_quorum(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, relay: Any, count: int
    ) -> None:
        with ape.reverts(checkpoints.CheckpointBelowQuorum, signatures=count, quorum=2):
            checkpoints.checkpoint(*signed(signing, validators[:count], 5), sender=relay)

        assert tuple(checkpoints.newest()) == (0, bytes(32))

    def test_reverts_if_one_counts_twice_or_not_ascending(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, relay: Any
    ) -> None:
        low, high = validators[:2]

        for first, second in ((low, low), (high, low)):
            with ape.reverts(checkpoints.CheckpointNotAscending, previous=first.address, next=second.address):
                checkpoints.checkpoint(*signed(signing, [first, second], 5), sender=relay)

    def test_reverts_for_the_zero_signer(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, relay: Any
    ) -> None:
        _, _, signers, signatures = signed(signing, validators[:1], 5)

        with ape.reverts(checkpoints.CheckpointNotAscending, previous=NOBODY, next=NOBODY):
            checkpoints.checkpoint(5, HASH, [NOBODY, *signers], [bytes(65), *signatures], sender=relay)

    def test_reverts_if_there_are_not_as_many_signatures_as_signers(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, relay: Any
    ) -> None:
        number, block_hash, signers, signatures = signed(signing, validators, 5)

        for named, given in ((signers[:2], signatures), (signers, signatures[:2]), ([], signatures)):
            with ape.reverts(checkpoints.CheckpointLengths, signers=len(named), signatures=len(given)):
                checkpoints.checkpoint(number, block_hash, named, given, sender=relay)

    def test_rejects_stranger_among_the_signers(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, relay: Any
    ) -> None:
        stranger = keys(1, first=8)[0]
        signers = ascending(*validators[:2], stranger)

        with ape.reverts(checkpoints.CheckpointNotValidator, signer=stranger.address):
            checkpoints.checkpoint(*signed(signing, signers, 5), sender=relay)

        assert tuple(checkpoints.newest()) == (0, bytes(32))

    @pytest.mark.parametrize(
        "change", [{"number": 6}, {"block_hash": OTHER_HASH}, {"sidechain": SIDECHAIN + 1}], ids=str
    )
    def test_reverts_if_number_hash_or_sidechain_was_changed(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, relay: Any, change: dict[str, Any]
    ) -> None:
        _, _, signers, signatures = signed(signing, validators[:2], **({"number": 5} | change))

        with ape.reverts(checkpoints.CheckpointInvalidSignature, signer=signers[0]):
            checkpoints.checkpoint(5, HASH, signers, signatures, sender=relay)

    def test_reverts_if_signed_for_another_contract_or_chain(
        self, checkpoints: Any, validators: list[Account], relay: Any, chain: Any
    ) -> None:
        elsewhere = [domain(relay.address, chain.chain_id), domain(checkpoints.address, chain.chain_id + 1)]

        for signing in elsewhere:
            with ape.reverts(checkpoints.CheckpointInvalidSignature, signer=validators[0].address):
                checkpoints.checkpoint(*signed(signing, validators[:2], 5), sender=relay)

    @pytest.mark.parametrize("bad", [b"", bytes(64), bytes(65), b"\xff" * 65], ids=len)
    def test_one_bad_signature_above_the_quorum_fails_too(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, relay: Any, bad: bytes
    ) -> None:
        number, block_hash, signers, signatures = signed(signing, validators, 5)

        with ape.reverts(checkpoints.CheckpointInvalidSignature, signer=signers[2]):
            checkpoints.checkpoint(number, block_hash, signers, [*signatures[:2], bad], sender=relay)

    def test_reverts_if_signatures_are_swapped(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, relay: Any
    ) -> None:
        number, block_hash, signers, signatures = signed(signing, validators[:2], 5)

        with ape.reverts(checkpoints.CheckpointInvalidSignature, signer=signers[0]):
            checkpoints.checkpoint(number, block_hash, signers, signatures[::-1], sender=relay)

    def test_reverts_if_number_does_not_grow(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, relay: Any
    ) -> None:
        checkpoints.checkpoint(*signed(signing, validators[:2], 5), sender=relay)

        for number in (0, 4, 5):
            with ape.reverts(checkpoints.CheckpointNotGrowing, number=number, newest=5):
                checkpoints.checkpoint(*signed(signing, validators[:2], number, OTHER_HASH), sender=relay)

        assert tuple(checkpoints.newest()) == (5, HASH)

    def test_reverts_if_repeated(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, relay: Any, stranger: Any
    ) -> None:
        checkpoint = signed(signing, validators[:2], 5)
        checkpoints.checkpoint(*checkpoint, sender=relay)

        with ape.reverts(checkpoints.CheckpointNotGrowing, number=5, newest=5):
            checkpoints.checkpoint(*checkpoint, sender=stranger)

    def test_reverts_for_block_zero_and_without_a_hash(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, relay: Any
    ) -> None:
        for number, block_hash in ((0, HASH), (5, bytes(32))):
            with ape.reverts(checkpoints.CheckpointNotGrowing, number=number, newest=0):
                checkpoints.checkpoint(*signed(signing, validators[:2], number, block_hash), sender=relay)

    def test_largest_number_fits(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, relay: Any
    ) -> None:
        checkpoints.checkpoint(*signed(signing, validators[:2], LARGEST), sender=relay)

        assert tuple(checkpoints.newest()) == (LARGEST, HASH)


class TestSetValidators:
    def test_administrator_replaces_them(self, checkpoints: Any, admin: Any) -> None:
        members = addresses(keys(2, first=8))

        receipt = checkpoints.setValidators(members, 1, sender=admin)

        assert tuple(checkpoints.validators()) == (members, 1)
        event = next(iter(receipt.decode_logs(checkpoints.ValidatorsChanged)))
        assert (event.validators, event.quorum) == (members, 1)

    def test_rejects_stranger_and_registrar(
        self, checkpoints: Any, validators: list[Account], stranger: Any, registrar: Any
    ) -> None:
        for caller in (stranger, registrar):
            with ape.reverts(checkpoints.AccessManagedUnauthorized, caller=caller.address):
                checkpoints.setValidators([caller], 1, sender=caller)

        assert tuple(checkpoints.validators()) == (addresses(validators), 2)

    def test_administrator_with_a_delay_waits_for_it(
        self, checkpoints: Any, manager: Any, admin: Any, stranger: Any, relay: Any, chain: Any
    ) -> None:
        manager.grantRole(ADMINISTRATOR, stranger, HOUR, sender=admin)
        call = checkpoints.setValidators.encode_input([relay], 1)
        manager.schedule(checkpoints, call, 0, sender=stranger)

        with ape.reverts(manager.AccessManagerNotReady) as reverted:
            checkpoints.setValidators([relay], 1, sender=stranger)
        assert reason(reverted).startswith("AccessManagerNotReady(")
        chain.pending_timestamp += HOUR
        checkpoints.setValidators([relay], 1, sender=stranger)

        assert tuple(checkpoints.validators()) == ([relay.address], 1)

    def test_former_validators_do_not_count(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, admin: Any, relay: Any
    ) -> None:
        checkpoints.setValidators(addresses(validators[1:]), 2, sender=admin)

        with ape.reverts(checkpoints.CheckpointNotValidator, signer=validators[0].address):
            checkpoints.checkpoint(*signed(signing, validators, 5), sender=relay)
        checkpoints.checkpoint(*signed(signing, validators[1:], 5), sender=relay)

        assert tuple(checkpoints.newest()) == (5, HASH)

    def test_new_quorum_counts_from_then_on(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, admin: Any, relay: Any
    ) -> None:
        checkpoints.setValidators(addresses(validators), 3, sender=admin)

        with ape.reverts(checkpoints.CheckpointBelowQuorum, signatures=2, quorum=3):
            checkpoints.checkpoint(*signed(signing, validators[:2], 5), sender=relay)
        checkpoints.checkpoint(*signed(signing, validators, 5), sender=relay)

        assert tuple(checkpoints.newest()) == (5, HASH)

    def test_checkpoints_before_stay_and_grow_on(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, admin: Any, relay: Any
    ) -> None:
        checkpoints.checkpoint(*signed(signing, validators[:2], 5), sender=relay)
        others = keys(1, first=8)

        checkpoints.setValidators(addresses(others), 1, sender=admin)

        assert tuple(checkpoints.newest()) == (5, HASH)
        with ape.reverts(checkpoints.CheckpointNotGrowing, number=5, newest=5):
            checkpoints.checkpoint(*signed(signing, others, 5, OTHER_HASH), sender=relay)

    @pytest.mark.parametrize(("count", "quorum"), [(3, 0), (3, 4), (0, 0), (0, 1)])
    def test_reverts_if_quorum_is_zero_or_out_of_reach(
        self, checkpoints: Any, admin: Any, count: int, quorum: int
    ) -> None:
        with ape.reverts(checkpoints.CheckpointInvalidQuorum) as reverted:
            checkpoints.setValidators(addresses(keys(count)), quorum, sender=admin)

        assert reason(reverted) == f"CheckpointInvalidQuorum(quorum={quorum}, validators={count})"

    def test_reverts_if_not_ascending(self, checkpoints: Any, validators: list[Account], admin: Any) -> None:
        low, high = addresses(validators[:2])

        for members, previous, bad in (([high, low], high, low), ([low, low], low, low), ([NOBODY], NOBODY, NOBODY)):
            with ape.reverts(checkpoints.CheckpointNotAscending, previous=previous, next=bad):
                checkpoints.setValidators(members, 1, sender=admin)

        assert tuple(checkpoints.validators()) == (addresses(validators), 2)


class TestContractAsValidator:
    def test_contract_that_does_not_answer_signs_nothing(
        self, checkpoints: Any, validators: list[Account], signing: Mainchain, admin: Any, relay: Any
    ) -> None:
        # The contract itself has code, and no ERC-1271 in it.
        checkpoints.setValidators([checkpoints], 1, sender=admin)
        signature = signing.checkpoints.sign(validators[0], SIDECHAIN, 5, HASH)

        with ape.reverts(checkpoints.CheckpointInvalidSignature, signer=checkpoints.address):
            checkpoints.checkpoint(5, HASH, [checkpoints], [signature], sender=relay)
