"""Gas of each action, from receipts on Anvil (hard fork prague), first-time storage costs included.

    ./pana bench gas [--json]

The goals are those of docs/benchmarks.md. Timings and figures never fail anything.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from panachain.chain import anvil
from panachain.chain.abi import contract
from panachain.chain.deploy import deploy
from panachain.chain.evm import Account, Sender
from panachain.chain.mainchain import Grant, Mainchain
from panachain.chain.rpc import Rpc
from panachain.crypto.keys import Seed, address_of
from panachain.model.actors import Actor, PolicyId, Role, Status

GOALS = {
    "store_1000": 50_000,
    "grant_signed": 54_000,
    "grant_signed_batch10_each": 34_000,
    "revoke_signed": 34_000,
    "revoke_signed_batch10_each": 14_000,
    "anchor_log_head": 40_000,
    "register_actor": 130_000,
}


def measure(folder: Path) -> dict[str, int]:
    """Start two chains, do everything once, and return the gas of each action."""
    main = anvil.start(folder / "main", chain_id=31_337, free=False)
    side = anvil.start(folder / "side", chain_id=31_338, free=True)
    try:
        return actions(Rpc(main.url), Rpc(side.url), folder)
    finally:
        anvil.stop(main.pid)
        anvil.stop(side.pid)


def actions(main_rpc: Rpc, side_rpc: Rpc, folder: Path) -> dict[str, int]:
    """Do everything once on running chains."""
    seeds = {name: Seed.random() for name in ("registrar", "hospital", "proxy")}
    senders: dict[str, Sender] = {}
    key = seeds["registrar"].account_key()
    anvil.fund(main_rpc, address_of(key))
    deployment = deploy(main_rpc, side_rpc, key, lock_folder=folder)
    chain = Mainchain(main_rpc, deployment.mainchain.contracts, deployment.mainchain.chain_id)
    for name, seed in seeds.items():
        senders[name] = chain.sender(Account(seed.account_key()), lock_folder=folder)
        anvil.fund(main_rpc, senders[name].address)
    gas: dict[str, int] = {}
    for name, role in (("hospital", Role.HOSPITAL), ("proxy", Role.PROXY)):
        keys = seeds[name].receiving().public, seeds[name].signer().public
        actor = Actor(senders[name].address, role, Status.UNKNOWN, *keys, endpoint="https://proxy.example")
        gas["register_actor"] = chain.register_actor(senders["registrar"], actor).gas_used
    gas["store_1000_first"] = chain.store(senders["hospital"], b"\1" * 32, 1000).gas_used
    gas["store_1000"] = chain.store(senders["hospital"], b"\2" * 32, 1000).gas_used
    gas["anchor_log_head_first"] = chain.anchor(senders["proxy"], 1, b"\3" * 32).gas_used
    gas["anchor_log_head"] = chain.anchor(senders["proxy"], 2, b"\4" * 32).gas_used

    deadline = chain.head_block().time + 3600
    relay = senders["registrar"]
    owners = [Account(Seed.random().account_key()) for _ in range(11)]
    grants = [Grant(PolicyId(o.address), deadline - 7200, deadline, Seed.random().store_key()) for o in owners]
    signed = [chain.sign_grant(o, g, deadline) for o, g in zip(owners, grants, strict=True)]
    gas["grant_signed"] = chain.grant_by_signature(relay, grants[0], deadline, signed[0]).gas_used
    batch = [g.fields() for g in grants[1:]]
    gas["grant_signed_batch10_each"] = send(chain, relay, "grantBatch", batch, [deadline] * 10, signed[1:]) // 10
    revocations = [chain.sign_revoke(o, deadline) for o in owners]
    first = PolicyId(owners[0].address)
    gas["revoke_signed"] = chain.revoke_by_signature(relay, first, deadline, revocations[0]).gas_used
    addresses = [o.address for o in owners[1:]]
    gas["revoke_signed_batch10_each"] = (
        send(chain, relay, "revokeBatch", addresses, [deadline] * 10, revocations[1:]) // 10
    )
    return gas


def send(chain: Mainchain, relay: Sender, function: str, *args: Any) -> int:
    """Send a batch and return its gas."""
    data = contract("PolicyRegistry").calldata(function, *args)
    return relay.send(chain.addresses["PolicyRegistry"], data, what=function).gas_used


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        figures = measure(Path(place))
    if "--json" in sys.argv[1:]:
        print(json.dumps(figures))
    else:
        for name, used in figures.items():
            goal = GOALS.get(name)
            print(f"{name:28} {used:>8,}" + (f"   goal {goal:>8,}   {used / goal:.2f}" if goal else ""))
