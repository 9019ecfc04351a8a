"""The whole story with every block in a bucket: a network's store moves there, and the folder that it was is gone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from panachain.config import Config
from panachain.errors import PolicyRevokedError
from panachain.private_files import write_private
from panachain.records.samples import sample_bundle
from panachain.sdk import Network, open_actor
from panachain.sdk.profiles import load_profile
from panachain.sdk.storage import collect_garbage
from tests.support import PASSPHRASE, World, running_world
from tests.unit.storage.s3_server import new_bucket, running_s3, set_credentials

pytestmark = [pytest.mark.deep, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, running_s3() as url:
        set_credentials(patch)
        new_bucket(url, "records")
        yield f"s3://records/clinic?endpoint={url}"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as running:
        yield running


def storage(world: World, *arguments: str) -> dict[str, Any]:
    """Run `panachain storage` on the world's home, and return what it says."""
    command = [sys.executable, "-m", "panachain.cli", "--home", str(world.home), "storage", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    return found


def test_a_network_moves_into_a_bucket_and_goes_on_there(world: World, bucket: str, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "bundle.json").write_bytes(sample_bundle(number))
    before = len(world.hospital.upload([tmp_path / "1"], "patient").records)
    # 1. All that is pinned or named goes over; the folder is lost.
    moved = storage(world, "move", "configured", bucket)
    assert (moved["copied"] > before, moved["missing"]) == (True, [])
    file = world.home / "network.json"
    network = json.loads(file.read_bytes()) | {"ipfs": {"kind": "stores", "stores": [bucket], "replication": 1}}
    write_private(file, json.dumps(network).encode())
    shutil.rmtree(world.home / "blocks")

    # 2. What was published is there, and everything else is done as before.
    with Network.open(Config.load({"home": str(world.home)}, {})) as opened:
        hospital, patient, clinician = (
            open_actor(opened, load_profile(world.home, name), PASSPHRASE)
            for name in ("hospital", "patient", "clinician")
        )
        published = before + len(hospital.upload([tmp_path / "2"], "patient").records)
        assert len(list(patient.records())) == published
        until = opened.mainchain.head_block().time + 86_400
        policy = patient.grant("clinician", ["all"], until=until)
        assert (policy.deposited, policy.lacking) == (3, 0)
        assert len(list(clinician.open(policy.policy_id))) > before
        assert patient.revoke(policy.policy_id, rotate=True).final
        with pytest.raises(PolicyRevokedError):
            list(clinician.open(policy.policy_id))
        # Headers and envelopes of the old lanes are deleted from objects that hold others, too.
        report = hospital.rewrap()
        assert 0 < report.moved == report.deleted
        assert len(list(patient.records())) == published

        # 3. Nothing that anybody reads is swept or missing, and the folder didn't come back.
        collect_garbage(opened, now=time.time() + 10, grace=0)
        assert len(list(patient.records())) == published
    assert storage(world, "repair")["lost"] == []
    assert not (world.home / "blocks").exists()
