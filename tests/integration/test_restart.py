"""What was granted before the devnet stopped opens after it started again, at other ports."""

from __future__ import annotations

from pathlib import Path

import pytest

from panachain.config import Config
from panachain.devnet import Devnet
from panachain.errors import PolicyRevokedError
from panachain.records.samples import sample_bundle
from panachain.sdk import Network, open_actor
from panachain.sdk.profiles import load_profile
from tests.support import PASSPHRASE, World

# The quick tests: tests/unit/devnet/test_lifecycle.py, and the restart in tests/integration/test_gate.py.
pytestmark = pytest.mark.deep


def test_policies_records_and_receipts_survive_a_restart(world: World, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_bytes(sample_bundle(1))
    world.hospital.upload([tmp_path], "patient")
    expires_at = world.network.mainchain.head_block().time + 86_400
    policy = world.patient.grant("clinician", ["laboratory"], until=expires_at)
    before = [record.content for record in world.clinician.open(policy.policy_id)]

    Devnet.down(world.home)
    Devnet.up(world.home, passphrase=PASSPHRASE)

    with Network.open(Config.load({"home": str(world.home)}, {})) as network:
        patient = open_actor(network, load_profile(world.home, "patient"), PASSPHRASE)
        clinician = open_actor(network, load_profile(world.home, "clinician"), PASSPHRASE)
        assert [record.content for record in clinician.open(policy.policy_id)] == before
        assert patient.revoke(policy.policy_id).final
        with pytest.raises(PolicyRevokedError):
            list(clinician.open(policy.policy_id))
