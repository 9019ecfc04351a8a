"""Run a proxy: read its configuration, unlock its keys, serve until it is told to stop.

Nothing secret is in memory before the key store opened, and nothing secret is ever logged.
Follows docs/spec/proxy.md, section "Configuration".
"""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

from panachain.chain.evm import Account
from panachain.chain.mainchain import Mainchain
from panachain.chain.rpc import Rpc
from panachain.chain.sidechain import Sidechain
from panachain.crypto import keystore
from panachain.errors import ConfigurationError
from panachain.model.actors import Actor, Address, PolicyId
from panachain.model.policy import OnChainPolicy, PolicyStatus
from panachain.service.anchoring import Anchoring
from panachain.service.proxy_service import ProxyService
from panachain.service.proxy_store import ProxyStore


class Chains:
    """A proxy's view of both chains."""

    def __init__(self, mainchain: Mainchain, sidechain: Sidechain, confirmations: int) -> None:
        """Take both chains, and how many blocks deep a grant must be."""
        self._mainchain = mainchain
        self._sidechain = sidechain
        self._confirmations = confirmations

    def policy(self, policy_id: PolicyId) -> OnChainPolicy:
        """Return the policy at the newest block, once its grant is as deep as it must be.

        Raises:
            PolicyUnknownError: it was never granted, or isn't that deep yet.
        """
        newest = self._mainchain.policy(policy_id)
        if self._confirmations and newest.status is not PolicyStatus.REVOKED:
            self._mainchain.policy(policy_id, confirmations=self._confirmations)
        # The newest block, not the confirmed one, is what a receipt states: there the revocation was looked for.
        return newest

    def revocation_in_sight(self, policy_id: PolicyId) -> bool:
        """Tell whether a revocation is mined or waits to be."""
        return self._mainchain.revocation_in_sight(policy_id)

    def head_time(self) -> int:
        """Return the newest block's time."""
        return self._mainchain.head_block().time

    def identity(self, account: Address) -> Actor | None:
        """Return a person of the sidechain."""
        return self._sidechain.identity(account)


def run_proxy(config_path: Path, passphrase: str) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the configuration can't be read.
        LockedError: the key store doesn't open.
    """
    # A core dump would hold the keys.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        config: dict[str, Any] = json.loads(config_path.read_bytes())
        folder = config_path.parent
        main, side = config["mainchain"], config["sidechain"]
        mainchain = Mainchain(Rpc(main["url"]), main["contracts"], main["chainId"], from_block=main["fromBlock"])
        sidechain = Sidechain(Rpc(side["url"]), side["contracts"], side["chainId"], from_block=side["fromBlock"])
        seed = keystore.open(folder / config["keystore"], passphrase)
        store = ProxyStore(folder / config["database"], seed.store_key())
        chains = Chains(mainchain, sidechain, config["confirmations"])
        service = ProxyService(seed, store, chains, log_domain=mainchain.log_domain, max_head_age=config["maxHeadAge"])
        account = Account(seed.account_key())
        sender = mainchain.sender(account, lock_folder=folder / "nonces")
        anchoring = Anchoring(mainchain, sender, store, every=float(config.get("anchorEvery", 3600)))
        host, port = str(config["host"]), int(config["port"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ConfigurationError(f"{config_path} can't be read as a proxy's configuration") from exc
    # Imported here: the configuration is checked before the server's code is loaded.
    import uvicorn

    from panachain.service.proxy_app import create_app

    with anchoring:
        uvicorn.run(create_app(service), host=host, port=port, log_level="warning", access_log=False, workers=1)
    store.close()
