"""The read log: what proxies signed, opened by the patient, and what it proves against them."""

from __future__ import annotations

import pytest

from panachain.errors import AccessDeniedError, PolicyUnknownError, ProxiesUnavailableError
from panachain.model.actors import PolicyId
from panachain.model.policy import ReceiptKind
from tests.twin.world import PROXIES, THRESHOLD, World
from tests.unit.sdk.helpers import grant, opened, upload


def test_says_who_read_what_for_what(world: World) -> None:
    upload(world)
    made = grant(world)
    opened(world, made.policy_id)
    world.wait()
    entries = world.patient.receipts(made.policy_id)
    assert sum(entry.kind == ReceiptKind.DEPOSITED.value for entry in entries) == PROXIES
    read = [entry for entry in entries if entry.kind == ReceiptKind.REENCRYPTED.value]
    assert len(read) >= THRESHOLD
    for entry in read:
        assert (entry.requester, entry.purpose, entry.scopes, entry.late) == (
            world.clinician.address,
            "TREAT",
            ("laboratory",),
            False,
        )


def test_is_in_the_order_of_time_and_of_one_policy_or_all(world: World) -> None:
    first, second = grant(world), grant(world, "nurse")
    everything = world.patient.receipts()
    assert {entry.policy_id for entry in everything} == {first.policy_id, second.policy_id}
    assert everything == sorted(everything, key=lambda entry: (entry.at, entry.proxy))
    assert {entry.policy_id for entry in world.patient.receipts(second.policy_id)} == {second.policy_id}


def test_is_the_patients_only(world: World) -> None:
    with pytest.raises(PolicyUnknownError):
        world.patient.receipts(PolicyId("0x" + "11" * 20))


def test_needs_one_proxy_that_answers(world: World) -> None:
    made = grant(world)
    for proxy in world.proxies:
        proxy.up = False
    with pytest.raises(ProxiesUnavailableError):
        world.patient.receipts(made.policy_id)


def test_a_proxy_that_served_after_the_revocation_is_convicted_by_its_own_receipt(world: World) -> None:
    upload(world)
    made = grant(world)
    world.proxies[0].corrupt()
    world.patient.revoke(made.policy_id)
    world.advance(10)
    with pytest.raises(AccessDeniedError):
        world.clinician.ask_proxies(made.policy_id)
    world.wait()
    late = [entry for entry in world.patient.receipts(made.policy_id) if entry.late]
    assert {entry.proxy for entry in late} == {world.proxies[0].address}
    assert len(world.patient.convict(made.policy_id).transactions) == len(late)
    assert world.proxies[0].address not in {proxy.address for proxy in world.network.proxies()}


def test_honest_proxies_are_not_convicted(world: World) -> None:
    upload(world)
    made = grant(world)
    opened(world, made.policy_id)
    world.patient.revoke(made.policy_id)
    assert world.patient.convict(made.policy_id).transactions == ()


def test_long_work_tells_how_many_policies_it_has_been_through(world: World) -> None:
    upload(world)
    first = grant(world)
    grant(world, "nurse")
    told: list[tuple[int, int, str]] = []

    def progress(done: int, total: int, *, unit: str) -> None:
        told.append((done, total, unit))

    world.patient.receipts(progress=progress)
    assert told == [(1, 2, "policies"), (2, 2, "policies")]
    told.clear()
    world.patient.revoke(first, rotate=True, progress=progress)
    assert told == [(1, 1, "policies")]
    told.clear()
    world.hospital.rewrap(progress=progress)
    assert told == [(1, 1, "records")]
    told.clear()
    world.patient.settle(progress=progress)
    assert told[-1][0] == told[-1][1] == 3
    assert told[-1][2] == "policies"
