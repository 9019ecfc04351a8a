"""Deploy the contracts to the two chains that the settings name, and write the network file.

    ape run deploy        PANACHAIN_MAINCHAIN_RPC, PANACHAIN_SIDECHAIN_RPC and the registrar's profile must be there

The same `panachain.chain.deploy.deploy` serves `panachain devnet up`. The registrar's account pays on the mainchain.
Never overwrites a network file: a new version is a new address, and a new file.
"""

from __future__ import annotations

import json

from panachain.chain.deploy import ChainDeployment, deploy
from panachain.chain.rpc import Rpc
from panachain.cli.passphrase import read_passphrase
from panachain.config import Config
from panachain.errors import ConfigurationError
from panachain.sdk.profiles import load_profile, unlock, write_private


def main() -> None:
    """Deploy, and print where the network file lies."""
    config = Config.load()
    if not (config.mainchain_rpc and config.sidechain_rpc):
        raise ConfigurationError("name both nodes: PANACHAIN_MAINCHAIN_RPC and PANACHAIN_SIDECHAIN_RPC")
    if config.network_file.exists():
        raise ConfigurationError(f"{config.network_file} exists; nothing was deployed")
    seed = unlock(load_profile(config.home, config.profile or "registrar"), read_passphrase("the registrar's profile"))
    main_rpc, side_rpc = Rpc(config.mainchain_rpc), Rpc(config.sidechain_rpc)
    deployment = deploy(main_rpc, side_rpc, seed.account_key(), lock_folder=config.home / "nonces")
    network = {
        "schema": "panachain/network/1",
        "mainchain": describe(main_rpc.url, deployment.mainchain),
        "sidechain": describe(side_rpc.url, deployment.sidechain),
        "ipfs": {"kind": "embedded"},
        "threshold": 2,
    }
    write_private(config.network_file, json.dumps(network, indent=1).encode())
    print(config.network_file)


def describe(url: str, chain: ChainDeployment) -> dict[str, object]:
    """Return one chain's part of the network file."""
    return {"url": url, "chainId": chain.chain_id, "contracts": chain.contracts, "fromBlock": chain.from_block}


if __name__ == "__main__":
    main()
