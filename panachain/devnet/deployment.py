"""The devnet's network file, and the contracts that it names.

Never overwrites a network file's contracts: what was deployed stays.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from panachain.chain import anvil
from panachain.chain.deploy import Governance, deploy
from panachain.chain.rpc import Rpc
from panachain.crypto import keys
from panachain.devnet.processes import read
from panachain.model.actors import Role
from panachain.private_files import write_private
from panachain.sdk.profiles import create_profile, find_profile, unlock

REGISTRAR: Final = "registrar"
"""Name of the registrar's profile."""
CONFIRMATIONS: Final = 1
"""Blocks above a grant's, as a deployment writes by default."""
NODE_KEY: Final = "devnet/node.key"
"""The account by which this home passes the gate, below the home."""
RELAY_KEY: Final = "devnet/relay.key"
SIDE_RELAY_KEY: Final = "devnet/sidechain-relay.key"
"""The accounts that pay for what persons sign, below the home; the second one is the relay's of the sidechain."""


def write_network(
    home: Path, main_url: str, side_url: str, threshold: int, ipfs: str, passphrase: str, *, drawn: bool = False
) -> dict[str, Any]:
    """Write HOME/network.json with the gate's future URL, deploying the contracts when they aren't there yet."""
    path = home / "network.json"
    main_rpc, side_rpc = Rpc(main_url), Rpc(side_url)
    try:
        if path.is_file():
            network = read(path)
            network["mainchain"]["url"] = main_url
        else:
            network = _deploy(home, main_rpc, side_rpc, passphrase, drawn=drawn)
        network["sidechain"] |= {"url": f"http://127.0.0.1:{anvil.free_port()}", "nodeKeyFile": NODE_KEY}
        network["sidechainRelays"] = [f"http://127.0.0.1:{anvil.free_port()}"]
        network["threshold"] = threshold
        if ipfs != "auto" or "ipfs" not in network:
            network["ipfs"] = {"kind": "kubo" if ipfs == "kubo" else "embedded"}
    finally:
        main_rpc.close()
        side_rpc.close()
    write_private(path, json.dumps(network, indent=1).encode())
    return network


def _deploy(home: Path, main_rpc: Rpc, side_rpc: Rpc, passphrase: str, *, drawn: bool) -> dict[str, Any]:
    registrar = find_profile(home, REGISTRAR)
    if registrar is not None:
        # Opened for the check of the passphrase: the registrar needs it for every admission.
        unlock(registrar, passphrase)
    else:
        registrar = create_profile(home, REGISTRAR, Role.REGISTRAR, passphrase, drawn=drawn)
    deployer_key = keys.Seed.random().account_key()
    # Of its own: with equal addresses the contracts of one chain would tell those of the other.
    side_key = keys.Seed.random().account_key()
    for rpc, key in ((main_rpc, deployer_key), (side_rpc, side_key)):
        anvil.fund(rpc, registrar.address)
        anvil.fund(rpc, keys.address_of(key))
    governance = Governance(
        registrar=registrar.address, admin=registrar.address, validators=(registrar.address,), quorum=1
    )
    deployment = deploy(
        main_rpc,
        side_rpc,
        deployer_key,
        governance,
        side_key=side_key,
        lock_folder=home / "nonces",
        # As on any chain of today's clients: persons sign, and hold ether nowhere (ADR 22).
        side_paid=True,
    )
    for rpc, name in ((main_rpc, RELAY_KEY), (side_rpc, SIDE_RELAY_KEY)):
        # It can pay and nothing else: the key is worth the devnet's ether. One account for each chain tells nobody that
        # both are of one network.
        relay_key = keys.Seed.random().account_key()
        anvil.fund(rpc, keys.address_of(relay_key))
        write_private(home / name, relay_key.hex().encode())
    return {
        "schema": "panachain/network/1",
        "mainchain": deployment.mainchain.describe(),
        "sidechain": deployment.sidechain.describe(),
        "governance": governance.describe(),
        "relayKeyFile": RELAY_KEY,
        # As in production, so that nothing passes here that fails there; whoever waits asks its chain for the block.
        "confirmations": CONFIRMATIONS,
        "faucet": True,
    }
