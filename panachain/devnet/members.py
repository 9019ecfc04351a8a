"""The gate and the proxies of a devnet: their keys, their configurations, their entries in the registry.

Never unlocks the registrar unless a proxy is new.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from panachain.chain import anvil
from panachain.chain.access import read_key
from panachain.chain.config import ChainConfig
from panachain.chain.mainchain import Mainchain
from panachain.chain.signing import Account
from panachain.config import Config
from panachain.crypto import keys, keystore
from panachain.devnet.deployment import NODE_KEY, REGISTRAR, SIDE_RELAY_KEY
from panachain.devnet.processes import spawn
from panachain.model.actors import Actor, Role
from panachain.private_files import make_private_folder, write_private
from panachain.sdk.key_blocks import KeyBlocks
from panachain.sdk.profiles import load_profile, unlock
from panachain.storage.configured import open_store


def proxy_seeds(folder: Path, count: int) -> list[keys.Seed]:
    """Return the proxies' seeds, making those that aren't there yet; each costs a key derivation."""
    secret_path = folder / "proxies.pass"
    if not secret_path.is_file():
        write_private(secret_path, secrets.token_hex(32).encode())
    secret = secret_path.read_text()

    def seed(number: int) -> keys.Seed:
        place = folder / f"proxy-{number}"
        make_private_folder(place)
        if (place / "seed.json").is_file():
            return keystore.open(place / "seed.json", secret, upgrade=False)
        made = keys.Seed.random()
        keystore.create(place / "seed.json", made, secret, drawn=True)
        return made

    return [seed(number) for number in range(1, count + 1)]


def start_gate(home: Path, network: dict[str, Any], node_url: str, proxies: int) -> int:
    """Start the sidechain's gate, which admits this home, its proxies and the registry's actors; return its PID."""
    place = home / "devnet" / "gate"
    make_private_folder(place)
    own = [home / "devnet" / f"proxy-{number}" for number in range(1, proxies + 1)]
    side = network["sidechain"]
    config = {
        "schema": "panachain/gate-config/1",
        "host": "127.0.0.1",
        "port": int(side["url"].rpartition(":")[2]),
        "url": side["url"],
        "sidechain": {"url": node_url, "chainId": side["chainId"], "contracts": side["contracts"]},
        "nodes": [_node_address(path) for path in (home / NODE_KEY, *(folder / "node.key" for folder in own))],
        "mainchain": network["mainchain"],
        "auditLog": "audit.jsonl",
    }
    write_private(place / "gate.json", json.dumps(config, indent=1).encode())
    return spawn(["sidechain", "gate", "--config", str(place / "gate.json")], place / "gate.log", {})


def start_relay(home: Path, network: dict[str, Any], node_url: str) -> int:
    """Start the relay that pays for what persons sign on the sidechain, and return its PID.

    It stands beside the sidechain's node, as the gate does: who runs it sees what is on that chain.
    """
    place = home / "devnet" / "relay"
    make_private_folder(place)
    (url,) = network["sidechainRelays"]
    config = {
        "schema": "panachain/relay-config/1",
        "host": "127.0.0.1",
        "port": int(url.rpartition(":")[2]),
        "sidechain": {name: value for name, value in network["sidechain"].items() if name != "nodeKeyFile"}
        | {"url": node_url},
        "database": "relay.sqlite",
        "keyFile": str(home / SIDE_RELAY_KEY),
        "gasPerDay": 10**11,
        "revocationReserve": 10**10,
        # Everybody of a development network is one machine, and may be many tests.
        "perMinute": 0,
        "callsPerDay": 100_000,
    }
    write_private(place / "relay.json", json.dumps(config, indent=1).encode())
    return spawn(["relay", "serve", "--config", str(place / "relay.json")], place / "relay.log", {})


def _node_address(path: Path) -> str:
    """Return the address of a node's key, making the key when it isn't there yet."""
    if not path.is_file():
        make_private_folder(path.parent)
        write_private(path, keys.Seed.random().account_key().hex().encode())
    return keys.address_of(read_key(path))


def start_proxies(
    home: Path, network: dict[str, Any], seeds: list[keys.Seed], passphrase: str, started: list[int]
) -> list[dict[str, Any]]:
    """Start the proxies, register them or tell the registry where they are now, and return what runs."""
    folder = home / "devnet"
    # Unlocked at most once: it costs a key derivation.
    registrar = cache(lambda: unlock(load_profile(home, REGISTRAR), passphrase))
    running: list[dict[str, Any]] = []
    for number, seed in enumerate(seeds, start=1):
        place = folder / f"proxy-{number}"
        port = anvil.free_port()
        config = {
            "schema": "panachain/proxy-config/1",
            "host": "127.0.0.1",
            "port": port,
            "database": "proxy.sqlite",
            "keystore": "seed.json",
            "mainchain": network["mainchain"],
            "sidechain": network["sidechain"] | {"nodeKeyFile": "node.key"},
            # What patients wait for, so that proxies take what they are handed.
            "confirmations": network.get("confirmations", 0),
            "maxHeadAge": 120,
            # Its chain makes a block for each transaction, and no two of one second: many at once lead ahead.
            "maxHeadAhead": 120,
            "anchorEvery": 60,
            "development": True,
        }
        write_private(place / "proxy.json", json.dumps(config, indent=1).encode())
        pid = spawn(
            ["proxy", "serve", "--config", str(place / "proxy.json")],
            place / "proxy.log",
            {"PANACHAIN_PASSPHRASE_FILE": str(folder / "proxies.pass")},
        )
        started.append(pid)
        endpoint = f"http://127.0.0.1:{port}"
        actor = Actor.of(keys.address_of(seed.account_key()), Role.PROXY, seed.public_keys(), endpoint=endpoint)
        _announce(home, network, actor, seed, registrar)
        running.append({"pid": pid, "address": actor.address, "endpoint": actor.endpoint})
    return running


def _announce(
    home: Path, network: dict[str, Any], actor: Actor, seed: keys.Seed, registrar: Callable[[], keys.Seed]
) -> None:
    """Register a proxy, or tell the registry of its new endpoint."""
    chain = Mainchain.connect(ChainConfig.parse(network["mainchain"], home, what="the section `mainchain`"))
    try:
        # For its endpoint and its anchors.
        anvil.fund(chain.rpc, actor.address)
        if chain.actors.actor_of(actor.address) is None:
            with closing(
                open_store(
                    Config.load({"home": str(home), "network_file": str(home / "network.json")}), network["ipfs"]
                )
            ) as store:
                KeyBlocks(home, store).put(actor)
            sender = chain.sender(Account(registrar().account_key()), lock_folder=home / "nonces")
            chain.actors.register(sender, actor)
            return
        sender = chain.sender(Account(seed.account_key()), lock_folder=home / "nonces")
        chain.actors.set_endpoint(sender, actor.endpoint)
    finally:
        chain.close()
