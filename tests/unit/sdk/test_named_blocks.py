"""What the chains name is expected in a store, whoever stored it; what is over isn't."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.errors import ChainUnavailableError, LockedError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import Address, Role
from panachain.model.guardianship import GuardiansEvent
from panachain.model.transactions import AccessRequest, PairingEvent
from panachain.records.locate import HospitalHeads
from panachain.records.publish import shorten_list
from panachain.sdk.named_blocks import Named, counted, named_blocks
from tests.unit.storage.memory_store import MemoryStore
from tests.unit.storage.published import Published

INTERFACES = Path(__file__).resolve().parents[3] / "contracts" / "interfaces"
PATIENT, HOSPITAL, GROUP = (Address("0x" + digit * 40) for digit in "123")


class World:
    """Chains on which everything that can name a block names one."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.published = Published(self.store)
        self.manifest = self.published.batch(4)
        kinds = ("terms", "pairing", "request", "answer", "group key", "emergency", "key block", "invitation")
        kinds += ("papers", "handover")
        self.digests = {name: os.urandom(32) for name in kinds}
        self.earlier = os.urandom(32)
        """Digest of the group's key block before a renewal."""
        keys = {"key_digest": self.digests["key block"]}
        known = SimpleNamespace(address=HOSPITAL, role=Role.HOSPITAL, earlier_keys=(), **keys)
        renewed = SimpleNamespace(address=GROUP, role=Role.GROUP, earlier_keys=(self.earlier,), **keys)
        digest = self.digests
        requests = [
            AccessRequest(1, GROUP, PATIENT, digest["request"], 9, "open"),
            AccessRequest(2, GROUP, PATIENT, os.urandom(32), 9, "approved"),
            AccessRequest(3, GROUP, PATIENT, os.urandom(32), 9, "denied"),
            AccessRequest(4, GROUP, PATIENT, os.urandom(32), 9, "withdrawn"),
            AccessRequest(5, GROUP, PATIENT, os.urandom(32), 9, "expired"),
        ]
        pairings = [
            PairingEvent(PATIENT, HOSPITAL, digest["pairing"], paired=True),
            PairingEvent(GROUP, HOSPITAL, os.urandom(32), paired=False),
        ]
        guardians = [
            GuardiansEvent(PATIENT, (bytes(32),), 2, 86_400, digest["invitation"]),
            # Whoever is removed announces nobody.
            GuardiansEvent(PATIENT, (), 0, 86_400, bytes(32)),
        ]
        policies = [
            SimpleNamespace(policy_id="0x01", terms=digest["terms"]),
            SimpleNamespace(policy_id="0x02", terms=b""),
        ]
        wardship = SimpleNamespace(number=3, papers=digest["papers"], handover=digest["handover"])
        self.sidechain = SimpleNamespace(
            identities=SimpleNamespace(paired=lambda: pairings, find=list),
            guardianships=SimpleNamespace(announced=lambda: guardians),
            requests=SimpleNamespace(find=lambda: iter(requests), outcome_of=lambda _: digest["answer"]),
            groups=SimpleNamespace(find=lambda: [renewed], sealed_keys=lambda: {(GROUP, PATIENT): digest["group key"]}),
            wardships=SimpleNamespace(find=lambda: [wardship]),
            emergency=SimpleNamespace(reasons=lambda: {7: digest["emergency"], 8: bytes(32)}),
        )
        self.network: Any = SimpleNamespace(
            mainchain=SimpleNamespace(
                actors=SimpleNamespace(find=lambda: [known]),
                policies=SimpleNamespace(events=lambda kind: iter(policies)),
            ),
            sidechain=self.sidechain,
            hospital_heads=lambda: [HospitalHeads(HOSPITAL, b"", (self.manifest.digest,))],
        )


@pytest.fixture
def world() -> World:
    return World()


def test_all_that_an_event_names_and_what_manifests_name_in_turn(world: World) -> None:
    found = named_blocks(world.network, world.store)
    assert found.failures == ()
    kinds = {one.what: one.cid for one in found.blocks}
    assert {what: cid.digest for what, cid in kinds.items() if what in world.digests} == world.digests
    assert {one.cid for one in found.blocks if one.what == "manifest"} == {world.manifest}
    assert {one.cid for one in found.blocks if one.what == "header"} == set(world.published.headers)
    assert CID(RAW, world.earlier) in found.roots
    assert len(found.roots) == len(world.digests) + 2 + len(world.published.headers)
    assert counted(found.blocks).startswith("1 answer, 1 emergency, 1 group key, ")


def test_what_nobody_has_is_said_with_what_needs_it(world: World) -> None:
    found = named_blocks(world.network, world.store)
    gone = CID(RAW, world.digests["terms"])
    assert found.of([gone, CID.of(RAW, b"else")]) == (Named(gone, "terms", "policy 0x01"),)
    assert found.of([gone])[0].to_json() == {"cid": str(gone), "what": "terms", "by": "policy 0x01"}


def test_a_manifest_that_is_lost_or_damaged_is_named_and_hides_no_other(world: World) -> None:
    other = world.published.batch(2)
    both = HospitalHeads(HOSPITAL, b"", (world.manifest.digest, other.digest))
    world.network.hospital_heads = lambda: [both]
    world.store.damage(world.manifest)
    found = named_blocks(world.network, world.store)
    assert {one.cid for one in found.blocks if one.what == "manifest"} == {world.manifest, other}
    assert len([one for one in found.blocks if one.what == "header"]) >= 2
    del world.store.held[other]
    assert CID(DAG_CBOR, other.digest) in named_blocks(world.network, world.store).roots


class TestGivenUp:
    """What a hospital moved or replaced is missed by nobody, and what was lost is, whatever else is lost with it."""

    def headers(self, world: World) -> set[CID]:
        return {one.cid for one in named_blocks(world.network, world.store).blocks if one.what == "header"}

    def test_a_header_that_is_in_no_list_any_more_is_not_wanted(self, world: World) -> None:
        first, *others = world.published.headers
        short = shorten_list(world.store, world.published.lists[0], {first})
        world.store.unpin(world.published.lists[0])
        assert self.headers(world) == set(others)
        # One that is listed is wanted, also when nobody has it.
        del world.store.held[others[0]]
        assert self.headers(world) == set(others)
        # Without the list nobody knows what was given up.
        world.store.unpin(short)
        assert self.headers(world) == {first, *others}

    def test_a_part_of_a_list_says_nothing(self, world: World) -> None:
        part = dagcbor.decode(world.store.get_block(world.published.lists[0]))["parts"][0]
        world.store.damage(part)
        assert self.headers(world) == set(world.published.headers)
        del world.store.held[part]
        assert self.headers(world) == set(world.published.headers)

    def test_the_list_of_a_merged_manifest_says_nothing_of_those_before(self, world: World) -> None:
        """What it carries of them is in their own lists, of which one may be lost."""
        merged = world.published.batch(2, carrying=world.published.headers)
        both = HospitalHeads(HOSPITAL, b"", (world.manifest.digest, merged.digest))
        world.network.hospital_heads = lambda: [both]
        world.store.unpin(world.published.lists[0])
        assert self.headers(world) == set(world.published.headers)


@pytest.mark.parametrize("error", [ChainUnavailableError("no gate"), LockedError("no key of the gate")])
def test_a_part_that_can_not_be_asked_is_told_and_keeps_no_other(world: World, error: Exception) -> None:
    def fails() -> None:
        raise error

    world.sidechain.identities.paired = fails
    found = named_blocks(world.network, world.store)
    assert found.failures == (f"pairings: {error}",)
    assert {"terms", "request", "group key"} <= {one.what for one in found.blocks}


def test_every_digest_of_a_cid_that_contracts_keep_is_looked_for() -> None:
    naming = {
        path.stem for path in INTERFACES.glob("I*.sol") if re.search(r"digest in the\s+(///\s+)?CID", path.read_text())
    }
    # One kind or more of each; a new one belongs into named_blocks, or its blocks are lost without a word.
    assert naming == {
        "IPolicyRegistry",
        "IRecordLedger",
        "IActorRegistry",
        "IIdentityRegistry",
        "IAccessRequests",
        "ICareGroups",
        "IEmergencyAccess",
        "IWardships",
    }
