"""Deploy the contracts to the two chains that the settings name, and write the network file.

    ape run deploy

    PANACHAIN_MAINCHAIN_RPC, PANACHAIN_SIDECHAIN_RPC   the two nodes
    PANACHAIN_DEPLOYER_KEY_FILE   a secret key in hex, mode 0600; pays on the mainchain, and has no power afterwards
    PANACHAIN_SIDECHAIN_DEPLOYER_KEY_FILE   the same for the sidechain, where nobody pays; a random key by default
    PANACHAIN_REGISTRAR           who admits and suspends
    PANACHAIN_ADMIN               who changes roles, after a delay; best a multisig, and not the registrar
    PANACHAIN_VALIDATORS          whose signatures checkpoint the sidechain, separated by commas
    PANACHAIN_QUORUM              how many of them are needed; more than half by default
    PANACHAIN_ADMIN_DELAY         seconds; two days by default
    PANACHAIN_CONFIRMATIONS       blocks that must follow a grant's before proxies take its shares; 1 by default

What was deployed is checked by web3.py before the network file is written; `python scripts/who_governs.py` shows it
again at any time. The same `panachain.chain.deploy.deploy` serves `panachain devnet up`. Never overwrites a network
file: a new version is a new address, and a new file.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from panachain.chain.abi import address
from panachain.chain.config import ChainConfig, NodeConfig
from panachain.chain.deploy import DELAY, Governance, deploy
from panachain.chain.governance import check_deployment
from panachain.chain.rpc import Rpc
from panachain.chain.web3 import MainchainWeb3, SidechainWeb3
from panachain.config import Config
from panachain.crypto.keys import Seed
from panachain.errors import ConfigurationError
from panachain.model.actors import Address
from panachain.private_files import write_private

KEY_FILE = "PANACHAIN_DEPLOYER_KEY_FILE"
CONFIRMATIONS = 1
"""Blocks; the proxies' configuration must ask for no more."""
MAX_HEAD_AGE = 600
"""Seconds by which the mainchain's newest block may be behind a clock: public chains make one each few seconds."""
SIDECHAIN_KEY_FILE = "PANACHAIN_SIDECHAIN_DEPLOYER_KEY_FILE"


def main() -> None:
    """Deploy, and print where the network file lies."""
    config = Config.load()
    if not (config.mainchain_rpc and config.sidechain_rpc):
        raise ConfigurationError("name both nodes: PANACHAIN_MAINCHAIN_RPC and PANACHAIN_SIDECHAIN_RPC")
    if config.network_file.exists():
        raise ConfigurationError(f"{config.network_file} exists; nothing was deployed")
    who = governance()
    main_urls, side_urls = config.mainchain_rpc.split(","), config.sidechain_rpc.split(",")
    main_rpc, side_rpc = Rpc(main_urls[0]), Rpc(side_urls[0])
    side_key = Seed.random().account_key()
    if os.environ.get(SIDECHAIN_KEY_FILE):
        side_key = deployer_key(SIDECHAIN_KEY_FILE)
    folder = config.home / "nonces"
    deployment = deploy(main_rpc, side_rpc, deployer_key(), who, side_key=side_key, lock_folder=folder)
    main_chain, side_chain = deployment.mainchain, deployment.sidechain
    check_deployment(
        MainchainWeb3(main_rpc, main_chain.contracts, main_chain.from_block),
        SidechainWeb3(side_rpc, side_chain.contracts, side_chain.from_block),
        deployment,
        who,
    )
    network = {
        "schema": "panachain/network/1",
        "mainchain": described(main_chain, main_urls, max_head_age=MAX_HEAD_AGE),
        "sidechain": described(side_chain, side_urls),
        "ipfs": {"kind": "embedded"},
        "threshold": 2,
        "confirmations": CONFIRMATIONS if config.confirmations is None else config.confirmations,
    }
    write_private(config.network_file, json.dumps(network, indent=1).encode())
    print(config.network_file)


def described(chain: ChainConfig, urls: list[str], *, max_head_age: int = 0) -> dict[str, Any]:
    """Return a chain's section of the network file, with all nodes that the settings name."""
    return replace(chain, nodes=tuple(map(NodeConfig, urls)), max_head_age=max_head_age).describe()


def governance() -> Governance:
    """Return who is in charge afterwards, as the settings say."""
    validators = tuple(account(text) for text in setting("PANACHAIN_VALIDATORS").split(","))
    try:
        quorum = int(os.environ.get("PANACHAIN_QUORUM", len(validators) // 2 + 1))
        delay = int(os.environ.get("PANACHAIN_ADMIN_DELAY", DELAY))
    except ValueError:
        raise ConfigurationError("PANACHAIN_QUORUM and PANACHAIN_ADMIN_DELAY are whole numbers") from None
    registrar, admin = account(setting("PANACHAIN_REGISTRAR")), account(setting("PANACHAIN_ADMIN"))
    return Governance(registrar, admin, validators, quorum, delay)


def deployer_key(name: str = KEY_FILE) -> bytes:
    """Return a deployer's secret key from the file that a setting names, and that nobody else may read."""
    path = Path(setting(name))
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{path} can be read by others", hint=f"chmod 600 {path}")
        return bytes.fromhex(path.read_text().strip().removeprefix("0x"))
    except OSError as exc:
        raise ConfigurationError(f"{path} can't be read: {exc.strerror}") from exc
    except ValueError:
        # Not chained: the message could quote the key.
        raise ConfigurationError(f"{path} doesn't hold a secret key in hex") from None


def account(text: str) -> Address:
    """Return an address as EIP-55."""
    try:
        return Address(address(text.strip()))
    except ValueError:
        raise ConfigurationError(f"{text.strip()!r} isn't an address") from None


def setting(name: str) -> str:
    """Return a setting that must be there."""
    value = os.environ.get(name, "")
    if not value:
        raise ConfigurationError(f"{name} isn't set; the head of scripts/deploy.py lists the settings")
    return value


if __name__ == "__main__":
    main()
