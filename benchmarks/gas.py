"""Gas of each action, from receipts on Anvil (hard fork prague), first-time storage costs included.

    ./pana bench gas [--json] [--quick]

The goals are those of docs/benchmarks.md. Timings and figures never fail anything. `--quick` is
the same: it takes seconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from _running import running

from panachain.chain import anvil
from panachain.chain.deploy import Governance, deploy
from panachain.chain.evm import Sender
from panachain.chain.mainchain import Mainchain
from panachain.chain.rpc import Rpc
from panachain.chain.signing import Account
from panachain.crypto.keys import Seed, address_of
from panachain.model.actors import Actor, PolicyId, Role
from panachain.model.transactions import Grant

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
    deployer = Seed.random().account_key()
    anvil.fund(main_rpc, address_of(deployer))
    who = address_of(key)
    governance = Governance(registrar=who, admin=who, validators=(who,), quorum=1)
    deployment = deploy(
        main_rpc, side_rpc, deployer, governance, side_key=Seed.random().account_key(), lock_folder=folder
    )
    chain = Mainchain(main_rpc, deployment.mainchain.contracts, deployment.mainchain.chain_id)
    for name, seed in seeds.items():
        senders[name] = chain.sender(Account(seed.account_key()), lock_folder=folder)
        anvil.fund(main_rpc, senders[name].address)
    gas: dict[str, int] = {}
    for name, role in (("hospital", Role.HOSPITAL), ("proxy", Role.PROXY)):
        actor = Actor.of(senders[name].address, role, seeds[name].public_keys(), endpoint="https://proxy.example")
        gas["register_actor"] = chain.actors.register(senders["registrar"], actor).gas_used
    # The first of its kind each: what a hospital's or a proxy's first transaction costs is included.
    gas["store_1000"] = chain.ledger.store(senders["hospital"], Seed.random().store_key(), 1000).gas_used
    head, proxy = Seed.random().store_key(), Account(seeds["proxy"].account_key())
    signature = chain.log.sign_anchor(proxy, 1, head)
    gas["anchor_log_head"] = chain.log.anchor(senders["proxy"], proxy.address, 1, head, signature).gas_used
    now = chain.head_block().time
    relay = senders["registrar"]
    owners = [Account(Seed.random().account_key()) for _ in range(11)]
    ids = [PolicyId(owner.address) for owner in owners]
    tag, announcement = 0x5A, Seed.random().store_key()
    grants = [
        Grant(one, now, now + 3600, now + 600, Seed.random().store_key(), view_tag=tag, announcement=announcement)
        for one in ids
    ]
    signed = [(grant, chain.policies.sign_grant(owner, grant)) for owner, grant in zip(owners, grants, strict=True)]
    gas["grant_signed"] = chain.policies.grant_by_signature(relay, *signed[0]).gas_used
    gas["grant_signed_batch10_each"] = chain.policies.grant_batch(relay, signed[1:]).gas_used // 10
    revocations = [(policy_id, chain.policies.sign_revoke(owner)) for policy_id, owner in zip(ids, owners, strict=True)]
    gas["revoke_signed"] = chain.policies.revoke_by_signature(relay, *revocations[0]).gas_used
    gas["revoke_signed_batch10_each"] = chain.policies.revoke_batch(relay, revocations[1:]).gas_used // 10
    return gas


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one object")
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        figures = measure(Path(place))
    if options.json:
        print(json.dumps(figures))
    else:
        for name, used in figures.items():
            goal = GOALS.get(name)
            print(f"{name:28} {used:>8,}" + (f"   goal {goal:>8,}   {used / goal:.2f}" if goal else ""))


if __name__ == "__main__":
    with running():
        main()
