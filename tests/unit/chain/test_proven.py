"""What contracts keep, with eth_abi as the oracle; tests/integration/test_nodes.py holds it to the real contracts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak, to_checksum_address

from panachain.chain import proven
from panachain.chain.headers import Header
from panachain.chain.proven import KeptActor, KeptGroup, KeptPolicy, commitment_of
from panachain.errors import IntegrityError
from panachain.model.actors import Actor, Address, PolicyId, Role, Status

FIRST, SECOND, HOSPITAL = (Address(to_checksum_address(bytes([n]) * 20)) for n in (0x11, 0x22, 0x33))
KEYS, OTHER = b"\x01" * 32, b"\x02" * 32
HEADER = Header(1, "0x", "0x", 0, bytes(256), bytes(32), bytes(32))


class Chain:
    """A chain of which only proven slots are known."""

    def __init__(self, where: str, slots: dict[bytes, int]) -> None:
        self.addresses = {where: "0x" + "cc" * 20}
        self.nodes = self
        self._slots = slots

    def storage(self, header: Header, account: str, slots: Sequence[bytes]) -> list[int]:
        assert header is HEADER
        assert account == "0x" + "cc" * 20
        return [self._slots.get(slot, 0) for slot in slots]


def chain(where: str, slots: dict[bytes, int]) -> Any:
    return Chain(where, slots)


def slot(position: int, *keys: str, offset: int = 0) -> bytes:
    """Return a mapping's slot, as Solidity's documentation says."""
    at = position.to_bytes(32, "big")
    for key in keys:
        at = keccak(encode(["address"], [key]) + at)
    return (int.from_bytes(at, "big") + offset).to_bytes(32, "big")


def actor(role: Role, **change: Any) -> Actor:
    fields: dict[str, Any] = {
        "address": FIRST,
        "role": role,
        "status": Status.ACTIVE,
        "key_digest": KEYS,
    }
    return Actor(**(fields | change))


class TestPublicActors:
    def kept(self, role: int = 2, status: int = 1, organisation: str = HOSPITAL) -> KeptActor:
        details = keccak(encode(["bytes32", "address"], [KEYS, organisation]))[:30]
        word = int.from_bytes(details, "big") << 16 | status << 8 | role
        found = chain("ActorRegistry", {slot(1, FIRST): word})
        one, nobody = proven.prove_actors(found, HEADER, [FIRST, SECOND])
        assert (nobody.role, nobody.status) == (None, Status.UNKNOWN)
        return one

    def test_fits_whose_keys_and_organisation_the_registry_keeps(self) -> None:
        kept = self.kept()

        assert (kept.role, kept.status) == (Role.PROXY, Status.ACTIVE)
        assert kept.fits(actor(Role.PROXY, organisation=HOSPITAL))
        for change in (
            {"key_digest": OTHER},
            {"organisation": None},
            {"organisation": FIRST},
            {"role": Role.RESEARCHER},
            {"role": Role.PRACTITIONER},
        ):
            assert not kept.fits(actor(**({"role": Role.PROXY, "organisation": HOSPITAL} | change))), change

    def test_without_an_organisation(self) -> None:
        assert self.kept(3, 2, "0x" + "00" * 20).fits(actor(Role.RESEARCHER))
        assert self.kept(3, 2, "0x" + "00" * 20).status is Status.SUSPENDED

    def test_a_status_that_there_is_not_is_refused(self) -> None:
        with pytest.raises(IntegrityError, match="status 9"):
            self.kept(status=9)


class TestPersons:
    def test_fits_whose_keys_and_organisation_the_registry_keeps(self) -> None:
        word = int(HOSPITAL, 16) << 64 | 1_700_000_000 << 16 | 1 << 8 | 2
        keys = int.from_bytes(KEYS, "big")
        found = chain("IdentityRegistry", {slot(1, FIRST): word, slot(1, FIRST, offset=1): keys})

        kept, nobody = proven.prove_identities(found, HEADER, [FIRST, SECOND])

        assert kept == KeptActor(Role.PRACTITIONER, Status.ACTIVE, KEYS, HOSPITAL)
        assert kept.fits(actor(Role.PRACTITIONER, organisation=HOSPITAL))
        assert not nobody.fits(actor(Role.PRACTITIONER, address=SECOND))
        for change in ({"key_digest": OTHER}, {"organisation": None}, {"role": Role.PATIENT}):
            assert not kept.fits(actor(**({"role": Role.PRACTITIONER, "organisation": HOSPITAL} | change))), change


class TestGroups:
    def kept(self, *, closed: bool = False, generation: int = 2) -> list[KeptGroup]:
        word = generation << 168 | closed << 160 | int(SECOND, 16)
        slots = {slot(1, FIRST): word, slot(1, FIRST, offset=1): int(HOSPITAL, 16)}
        return proven.prove_groups(chain("CareGroups", slots), HEADER, [FIRST, SECOND])

    def test_fits_of_as_many_keys(self) -> None:
        kept, nobody = self.kept()

        assert kept == KeptGroup(SECOND, False, 2, HOSPITAL)
        assert kept.fits(actor(Role.GROUP, organisation=HOSPITAL, earlier_keys=(KEYS, OTHER)))
        assert not kept.fits(actor(Role.GROUP, organisation=HOSPITAL, earlier_keys=(KEYS,)))
        assert not kept.fits(actor(Role.GROUP, earlier_keys=(KEYS, OTHER)))
        assert not nobody.fits(actor(Role.GROUP))

    def test_a_closed_one_is_suspended(self) -> None:
        assert [one.status for one in self.kept(closed=True)[:1] + self.kept()[:1]] == [
            Status.SUSPENDED,
            Status.ACTIVE,
        ]


def test_policies_are_read_as_they_are_packed() -> None:
    first, second = PolicyId(FIRST), PolicyId(SECOND)
    found = chain("PolicyRegistry", {slot(2, FIRST): 7 << 96 | 5 << 48 | 3})

    assert proven.prove_policies(found, HEADER, [first, second]) == [KeptPolicy(3, 5, 7), KeptPolicy(0, 0, 0)]


def test_nobody_keeps_a_commitment_to_a_groups_keys() -> None:
    with pytest.raises(IntegrityError, match="of a group"):
        commitment_of(actor(Role.GROUP))
