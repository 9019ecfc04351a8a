"""What happened on a chain, page by page."""

from __future__ import annotations

import json
from itertools import chain as together
from itertools import pairwise
from pathlib import Path

import pytest

import panachain.chain
from panachain.errors import UsageError
from panachain.sdk.chain_pages import CONTRACTS, ChainPage, chain_page, happening_at
from tests.twin.world import World, resource


def pages(world: World, name: str, least: int) -> list[ChainPage]:
    found = [chain_page(world.network, name, least=least)]
    while found[-1].before is not None:
        found.append(chain_page(world.network, name, before=found[-1].before, least=least))
    return found


@pytest.mark.parametrize("name", ["mainchain", "sidechain"])
def test_pages_together_hold_each_event_once_newest_first(world: World, name: str) -> None:
    world.upload("hospital", [resource("laboratory", 2024, 1)])
    world.advance(10)
    chain = getattr(world.network, name).chain
    wanted = [(log.event.block, log.event.index) for log in chain.logs if log.contract in CONTRACTS]
    for least in (1, 2, 7, 1_000):
        places = [
            (one.block, one.index) for one in together.from_iterable(p.happenings for p in pages(world, name, least))
        ]
        assert places == sorted(wanted, reverse=True)


def test_a_page_holds_whole_blocks_and_at_least_what_is_wanted(world: World) -> None:
    found = pages(world, "sidechain", 3)
    assert all(len(page.happenings) >= 3 for page in found[:-1])
    blocks = [{one.block for one in page.happenings} for page in found]
    assert not any(a & b for a, b in pairwise(blocks))


def test_addresses_are_spelled_as_this_machine_knows_them(world: World) -> None:
    people = {who for page in pages(world, "sidechain", 50) for one in page.happenings for who in one.people}
    assert {world.patient.address, world.hospital.address} <= people


def test_one_event_is_found_by_its_place(world: World) -> None:
    (first, *_) = pages(world, "mainchain", 5)[0].happenings
    assert happening_at(world.network, "mainchain", first.block, first.index) == first
    for block, index in ((first.block, first.index + 1_000), (10**9, 0), (-1, 0)):
        with pytest.raises(UsageError):
            happening_at(world.network, "mainchain", block, index)
    with pytest.raises(UsageError):
        chain_page(world.network, "otherchain")


def test_every_event_of_the_contracts_is_told_in_a_sentence() -> None:
    told = (Path(__file__).resolve().parents[3] / "panachain/portal/templates/chain/sentence.html").read_text()
    folder = Path(panachain.chain.__file__).parent / "artifacts"
    for name in CONTRACTS:
        for entry in json.loads((folder / f"{name}.json").read_text())["abi"]:
            if entry["type"] == "event" and entry["name"] not in ("AuthorityUpdated", "EIP712DomainChanged"):
                assert f'"{entry["name"]}"' in told, entry["name"]
