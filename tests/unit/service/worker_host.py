"""A proxy as a program, in front of chains that a test wrote down: `python worker_host.py FOLDER`.

Everything but the chains is real: configuration, key store, fork, workers, database, HTTP. Run by its path, since an
installed package brings a `tests` of its own.
"""

from __future__ import annotations

import pickle
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from proxy_world import DOMAIN, LOG_DOMAIN, PASSPHRASE, REGISTRY_DOMAIN, Chain, address

from panachain.crypto.keys import Seed
from panachain.model.actors import PolicyId
from panachain.model.policy import OnChainPolicy
from panachain.service.proxy import run
from panachain.service.proxy.config import ProxyConfig
from panachain.service.proxy.database import WHAT
from panachain.service.proxy.service import ProxyService, Rates
from panachain.service.proxy.store import ProxyStore


class LiveChain(Chain):
    """The chains that a test wrote down, whose head is always new."""

    def __init__(self, folder: Path) -> None:
        self.__dict__.update(pickle.loads((folder / "chain.pickle").read_bytes()))
        self._folder = folder

    def policy(self, policy_id: PolicyId) -> OnChainPolicy:
        # The test sees by it that a request is under way.
        (self._folder / "asked").touch()
        return super().policy(policy_id)

    @property
    def now(self) -> int:
        return int(time.time())

    @now.setter
    def now(self, _: int) -> None:
        return


class Anchors:
    """Notes that the log would have been anchored, and how long it was then."""

    def __init__(self, folder: Path, store: ProxyStore) -> None:
        self._path = folder / "anchored"
        self._store = store

    def anchor(self) -> bool:
        self._path.write_text(str(self._store.head()[0]))
        return True


class TwinProcess:
    """Stands for `run.Process`."""

    def __init__(self, config: ProxyConfig, seed: Seed) -> None:
        self.store = ProxyStore(config.database.url(WHAT), seed.store_key(), proxy=address(seed))
        chain: Any = LiveChain(config.folder)
        self.service = ProxyService(
            seed,
            self.store,
            chain,
            domain=DOMAIN,
            log_domain=LOG_DOMAIN,
            registry_domain=REGISTRY_DOMAIN,
            rates=Rates(requests=config.sender_rate),
        )
        self.anchoring: Any = Anchors(config.folder, self.store)
        self.witnessing: Any = SimpleNamespace(gather=lambda: 0)

    def close(self) -> None:
        self.store.close()


if __name__ == "__main__":
    run.Process = TwinProcess  # type: ignore[assignment,misc]
    run.run_proxy(Path(sys.argv[1]) / "proxy.json", PASSPHRASE)
