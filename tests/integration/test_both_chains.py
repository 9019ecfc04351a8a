"""No value of 16 bytes or more is on both chains, apart from a named list (design section 5).

A whole trip on a devnet: register, pair, upload, grant, open, request, approve, revoke. Then every byte that either
chain shows is compared, asked of the nodes themselves and not of the gate: each transaction's sender, recipient and
calldata, each event's topics and data, each address that the state knows and each word that it stores. Every stretch of
16 bytes counts, wherever it begins.

Not compared: contracts' code, which is public and the same wherever one contract is deployed (what is put into it at
deployment is compared), and the places of words in storage, which follow from addresses that are compared themselves.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_utils import keccak

from panachain.chain import deploy
from panachain.chain.rpc import Rpc
from panachain.devnet import REGISTRAR
from panachain.model.actors import Role
from panachain.model.scope import Purpose
from panachain.records.samples import sample_bundle
from panachain.sdk.profiles import load_profile
from tests.support import World

pytestmark = pytest.mark.deep

WINDOW = 16
"""Bytes that a value needs to be more than a coincidence."""
SMALL = 8
"""Bytes other than zeros up to which a stretch is a number, a time or a flag between zeros."""


@dataclass(frozen=True)
class Allowed:
    """A value that may be on both chains, and why."""

    value: bytes
    reason: str


BLOCK_HASHES = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
"""The contract that holds them (EIP-2935)."""
BOILERPLATE = (
    Allowed(b"\x09REGISTRAR", "length and name of a role"),
    Allowed(b"\x09SUSPENDER", "length and name of a role"),
    Allowed(BLOCK_HASHES, "history of block hashes (EIP-2935)"),
    Allowed(bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c"), "deployment contract on each Anvil chain"),
)


def artifacts() -> Iterator[dict[str, Any]]:
    for path in sorted((Path(deploy.__file__).parent / "artifacts").glob("*.json")):
        yield json.loads(path.read_bytes())


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def node_urls(world: World) -> tuple[str, str]:
    """Return the nodes' own URLs; a gate may stand before the sidechain's."""
    processes = json.loads((world.home / "devnet" / "processes.json").read_bytes())
    return world.network.mainchain.rpc.url, processes.get("sidechainUrl", world.network.sidechain.rpc.url)


def stretches(url: str) -> dict[bytes, str]:
    """Return everything that a chain shows, each with where it stands."""
    rpc = Rpc(url)
    found: dict[bytes, str] = {}
    codes = sorted((raw(a["bytecode"]) for a in artifacts()), key=len, reverse=True)
    try:
        for number in range(int(rpc.call("eth_blockNumber"), 16) + 1):
            block = rpc.call("eth_getBlockByNumber", [hex(number), True])
            for sent in block["transactions"]:
                place = f"transaction {sent['hash']} of block {number}"
                found.setdefault(raw(sent["from"]), f"sender of {place}")
                if sent["to"]:
                    # Without the selector, so that its arguments begin where words begin.
                    found.setdefault(raw(sent["input"])[4:], f"calldata of {place}")
                    found.setdefault(raw(sent["to"]), f"recipient of {place}")
                else:
                    data = raw(sent["input"])
                    code = next((code for code in codes if data.startswith(code)), b"")
                    assert code, f"{place} deploys none of the contracts"
                    found.setdefault(data[len(code) :], f"constructor's arguments of {place}")
        for log in rpc.call("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "latest"}]):
            for part in [*log["topics"], log["data"], log["address"]]:
                found.setdefault(raw(part), f"event {log['topics'][0]} of block {int(log['blockNumber'], 16)}")
        state = json.loads(gzip.decompress(raw(rpc.call("anvil_dumpState"))))
        for address, account in state["accounts"].items():
            found.setdefault(raw(address), "account in the state")
            # Hashes of whole blocks, each of which was looked at above: the first, empty ones are alike on both chains.
            slots = {} if raw(address) == BLOCK_HASHES else account["storage"]
            for slot, value in slots.items():
                found.setdefault(raw(value).rjust(32, b"\x00"), f"storage of {address} at {slot}")
    finally:
        rpc.close()
    return found


def windows(data: bytes) -> Iterator[bytes]:
    return (data[at : at + WINDOW] for at in range(len(data) - WINDOW + 1))


def shared_windows(first: dict[bytes, str], second: dict[bytes, str]) -> dict[bytes, tuple[str, str]]:
    """Return what is on both, with where it is on each."""
    there = {window: place for data, place in second.items() for window in windows(data)}
    return {
        window: (place, there[window]) for data, place in first.items() for window in windows(data) if window in there
    }


def is_small(window: bytes) -> bool:
    return sum(byte != 0 for byte in window) <= SMALL


def allow_list(world: World) -> list[Allowed]:
    """Name everything that may be on both chains."""
    allowed = [*BOILERPLATE]
    allowed.append(Allowed(raw(load_profile(world.home, REGISTRAR).address), "the registrar governs both chains"))
    for role in (Role.HOSPITAL, Role.PROXY, Role.RESEARCHER):
        for actor in world.network.mainchain.actors.find(role):
            allowed.append(Allowed(raw(actor.address), f"address of a public actor: {role.value}"))
    for one in artifacts():
        for entry in one["abi"]:
            if entry["type"] == "event":
                allowed.append(Allowed(event_signature(entry), f"signature of the event {entry['name']}"))
    return allowed


def event_signature(entry: dict[str, Any]) -> bytes:
    def spelt(item: dict[str, Any]) -> str:
        if not item["type"].startswith("tuple"):
            return str(item["type"])
        return "(" + ",".join(map(spelt, item["components"])) + ")" + item["type"][5:]

    return bytes(keccak(text=f"{entry['name']}({','.join(map(spelt, entry['inputs']))})"))


def explained(window: bytes, allowed: list[Allowed]) -> bool:
    """Tell whether a stretch is a small number, or lies within a value of the list, with zeros around it or not."""
    return is_small(window) or any(window in bytes(WINDOW) + one.value + bytes(WINDOW) for one in allowed)


@pytest.fixture(scope="module")
def trip(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("source")
    (folder / "bundle.json").write_bytes(sample_bundle(1))
    world.hospital.upload([folder], "patient")
    until = int(world.network.mainchain.head_block().time) + 86_400
    policy = world.patient.grant("clinician", ["laboratory"], until=until)
    assert list(world.clinician.open(policy.policy_id))
    asked = world.stranger.request("patient", ["procedures"], Purpose.TREAT, "before an operation").request_id
    approved = world.patient.approve(asked, until=until)
    assert list(world.stranger.open(approved.policy_id))
    world.patient.revoke(policy.policy_id)
    return world


@pytest.fixture(scope="module")
def chains(trip: World) -> tuple[dict[bytes, str], dict[bytes, str]]:
    main, side = node_urls(trip)
    return stretches(main), stretches(side)


def test_both_chains_were_read(trip: World, chains: tuple[dict[bytes, str], dict[bytes, str]]) -> None:
    main, side = chains
    patient = raw(trip.patient.address)
    assert any(patient in data for data in side)
    assert not any(patient in data for data in main)
    policy = raw(list(trip.patient.policies())[-1].policy_id)
    assert any(policy in data for data in main)
    assert not any(policy in data for data in side)
    for shown in chains:
        assert {place.split(" ")[0] for place in shown.values()} >= {
            "calldata",
            "event",
            "storage",
            "account",
            "sender",
        }


def test_no_value_is_on_both_but_those_of_the_list(
    trip: World, chains: tuple[dict[bytes, str], dict[bytes, str]]
) -> None:
    allowed = allow_list(trip)
    left = [
        f"{window.hex()}: on the mainchain {main}, on the sidechain {side}"
        for window, (main, side) in shared_windows(*chains).items()
        if not explained(window, allowed)
    ]
    assert not left, "\n".join(left)


def test_no_contract_has_one_address_on_both(trip: World) -> None:
    main, side = trip.network.mainchain.addresses, trip.network.sidechain.addresses
    assert not {address.lower() for address in main.values()} & {address.lower() for address in side.values()}


def test_nobody_of_the_sidechain_is_on_the_mainchain(
    trip: World, chains: tuple[dict[bytes, str], dict[bytes, str]]
) -> None:
    for name in ("patient", "clinician", "stranger"):
        actor = trip.actors[name]
        keys = actor._seed.public_keys()
        for value in (raw(actor.address), keys.digest, keys.sealing[:64], keys.receiving, keys.verifying):
            assert not [place for data, place in chains[0].items() if value in data], name


def test_a_value_on_both_would_be_noticed(trip: World, chains: tuple[dict[bytes, str], dict[bytes, str]]) -> None:
    """The control: each of a patient's public values, planted in the other chain's calldata at an odd place."""
    _, side = chains
    allowed = allow_list(trip)
    for value in (raw(trip.patient.address), trip.patient._seed.public_keys().digest):
        planted = shared_windows({b"\x07" * 5 + value + b"\x07" * 5: "planted"}, side)
        assert [window for window in planted if not explained(window, allowed)]
