"""Real proxies on a real chain take a grant's shares when it is as deep as the network file says, and not before."""

from __future__ import annotations

import json

import pytest

from panachain.config import Config
from panachain.devnet import Devnet
from panachain.errors import ProxiesUnavailableError
from panachain.sdk import Network, open_actor
from panachain.sdk.profiles import load_profile
from tests.support import PASSPHRASE, World

# The quick test: tests/unit/sdk/test_confirmations.py.
pytestmark = pytest.mark.deep

DEEP = 20
"""More blocks than an idle devnet makes during a grant."""


def test_a_patient_waits_for_as_many_blocks_as_the_proxies(world: World) -> None:
    Devnet.down(world.home)
    path = world.home / "network.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"confirmations": DEEP}))
    Devnet.up(world.home, passphrase=PASSPHRASE)
    profile = load_profile(world.home, "patient")

    with Network.open(Config.load({"home": str(world.home), "confirmations": "0"}, {})) as hasty:
        until = hasty.mainchain.head_block().time + 86_400
        with pytest.raises(ProxiesUnavailableError, match=f"isn't {DEEP} blocks deep"):
            open_actor(hasty, profile, PASSPHRASE).grant("clinician", ["laboratory"], until=until)

    with Network.open(Config.load({"home": str(world.home)}, {})) as network:
        made = open_actor(network, profile, PASSPHRASE).grant("clinician", ["laboratory"], until=until)
        # The development network's chain made the blocks that were waited for. Where the head was before says nothing:
        # the grant that the hasty one left behind is continued, and proxies anchor their logs meanwhile.
        deep = network.mainchain.policies.is_confirmed(made.policy_id, DEEP)

    assert (made.deposited, made.lacking, deep) == (3, 0, True)
