"""Over a real chain: revocations leave whatever a node says, and no node learns which policies are one patient's.

Follows security rules 9 and 19, and docs/security/leakage.md (what a node of one's own sees).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.abi import contract
from panachain.config import Config
from panachain.crypto.keys import address_of
from panachain.errors import AccessDeniedError
from panachain.model.actors import PolicyId
from panachain.model.policy import PolicyStatus
from panachain.sdk import Network, open_actor
from panachain.sdk.policies import POLICY_GAP
from panachain.sdk.profiles import load_profile
from panachain.sdk.submitting import go_on, sign
from tests.hostile.lying_node import LyingNode, Refused, forged_call, honest
from tests.support import PASSPHRASE, World, running_world

pytestmark = pytest.mark.deep
POLICIES = 6
REVOKED = f"{4:064x}"
"""`PolicyStatus.REVOKED` as a word."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as running:
        yield running


@pytest.fixture(scope="module")
def node(world: World) -> Iterator[LyingNode]:
    with LyingNode(world.network.mainchain.rpc.url) as running:
        yield running


@pytest.fixture(autouse=True)
def truth(node: LyingNode) -> Iterator[None]:
    yield
    node.lie, node.down = honest, False


@contextmanager
def through(world: World, node: LyingNode, name: str, **settings: str) -> Iterator[Any]:
    """Let an actor work through the node."""
    config = Config.load({"home": str(world.home), "mainchain_rpc": node.url, "timeout": "2"} | settings, {})
    with Network.open(config) as network:
        yield open_actor(network, load_profile(world.home, name), PASSPHRASE)


def granted(world: World) -> PolicyId:
    end = int(world.network.mainchain.head_block().time) + 86_400
    made: PolicyId = world.patient.grant("clinician", ["laboratory"], until=end).policy_id
    return made


def status(world: World, policy_id: PolicyId) -> PolicyStatus:
    found: PolicyStatus = world.network.mainchain.policies.policy_of(policy_id).status
    return found


@dataclass
class Courier:
    """A relay that sends every revocation it is handed, through a node of its own."""

    url: str
    asked: list[str]


@contextmanager
def courier(world: World) -> Iterator[Courier]:
    asked: list[str] = []
    relay = world.network.relay()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            fields = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append(self.path)
            relay.revoke(PolicyId(fields["policy_id"]), bytes.fromhex(fields["signature"]))
            body = b'{"state": "mined"}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Courier(f"http://127.0.0.1:{server.server_port}", asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)


def network_file(world: World, folder: Path, **change: Any) -> Path:
    """Return a copy of the network file with other fields; None leaves one out."""
    fields = json.loads((world.home / "network.json").read_bytes()) | change
    fields = {name: value for name, value in fields.items() if value is not None}
    for name in ("relayKeyFile", "proxyCaFile", "relayCaFile"):
        if name in fields:
            fields[name] = str(world.home / fields[name])
    path = folder / "network.json"
    path.write_text(json.dumps(fields))
    # The key that opens the sidechain's gate isn't here: nobody needs it to take a policy back.
    assert not (folder / fields["sidechain"].get("nodeKeyFile", "node.key")).exists()
    return path


class TestLeaving:
    def test_a_node_that_says_revoked_keeps_nothing_back(self, world: World, node: LyingNode) -> None:
        policy_id = granted(world)
        registry = contract("PolicyRegistry")
        node.lie = forged_call("0x" + registry.selector("statusOf").hex(), REVOKED)
        node.asked.clear()
        with through(world, node, "patient") as patient:
            patient.revoke(policy_id)
        assert "eth_sendRawTransaction" in [method for method, _ in node.asked]
        assert status(world, policy_id) is PolicyStatus.REVOKED
        with pytest.raises(AccessDeniedError):
            list(world.clinician.open(policy_id))

    def test_a_node_that_says_it_would_revert_keeps_nothing_back(self, world: World, node: LyingNode) -> None:
        policy_id = granted(world)

        def lie(method: str, _: list[Any], answer: Any) -> Any:
            if method == "eth_estimateGas":
                raise Refused("execution reverted: PolicyAlreadyRevoked", 3)
            return answer

        node.lie = lie
        with through(world, node, "patient") as patient:
            patient.revoke(policy_id)
        assert status(world, policy_id) is PolicyStatus.REVOKED

    def test_with_the_own_node_down_the_relay_gets_it_and_a_later_command_proves_it(
        self, world: World, node: LyingNode, tmp_path: Path
    ) -> None:
        policy_id = granted(world)
        node.down = True
        with courier(world) as relay:
            file = network_file(world, tmp_path, relays=[relay.url], relayKeyFile=None)
            with through(world, node, "patient", network_file=str(file)) as patient:
                report = patient.revoke(policy_id)
            assert relay.asked == ["/v1/revoke"]
        assert (report.proven, report.stage) == (False, "sent, not proven yet")
        assert status(world, policy_id) is PolicyStatus.REVOKED
        # Each proxy of the policy deleted by the signature, without a look at the chain.
        assert report.deleted == report.shares == 3
        node.down = False
        with through(world, node, "patient") as patient:
            assert go_on(patient) == []
            assert patient.revocation(policy_id).stage == "final"

    def test_a_stranger_without_a_profile_submits_it(self, world: World, tmp_path: Path) -> None:
        policy_id = granted(world)
        (tmp_path / "revocation.json").write_bytes(sign(world.patient, policy_id))
        home = tmp_path / "home"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PANACHAIN_HOME": str(home),
            "PANACHAIN_NETWORK_FILE": str(network_file(world, tmp_path)),
        }
        done = subprocess.run(
            [sys.executable, "-m", "panachain.cli", "submit", str(tmp_path / "revocation.json"), "--json"],
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
            env=environment,
        )
        answer = json.loads(done.stdout)
        assert (answer["policy_id"], answer["proven"], answer["deleted"]) == (policy_id, True, 3)
        assert status(world, policy_id) is PolicyStatus.REVOKED
        assert not (home / "profiles").exists()


class TestUnlinked:
    """What a node of one's own learns of which policies are one patient's: before, 60 one-time IDs in three calls."""

    def test_no_request_names_policies_that_belong_together(self, world: World, node: LyingNode) -> None:
        made = [granted(world) for _ in range(POLICIES)]
        seed = world.patient._seed
        used = world.patient._grants.granted()
        unused = [address_of(seed.policy_account(number)) for number in range(used, used + 3 * POLICY_GAP)]
        own = [address_of(seed.policy_account(number)) for number in range(used)]

        def seen(policies: list[Any]) -> Counter[str]:
            text = json.dumps(node.asked).lower()
            return Counter({one: text.count(one[2:].lower()) for one in map(str, policies) if one[2:].lower() in text})

        node.asked.clear()
        with through(world, node, "patient") as patient:
            assert {view.policy_id for view in patient.policies()} >= set(made)
            patient.receipts()
            list(patient.log(made[0]))
        with through(world, node, "clinician") as clinician:
            assert {view.policy_id for view in clinician.inbox()} >= set(made)
        # Neither one by one nor together, neither what was granted nor what will be.
        assert (seen(own), seen(unused)) == (Counter(), Counter())

        # What changes a policy names that one alone: its own transaction, and what becomes of it.
        with through(world, node, "patient") as patient:
            end = int(world.network.mainchain.head_block().time) + 86_400
            new = patient.grant("clinician", ["vitals"], until=end).policy_id
            assert set(seen([*own, *unused])) <= {new}
            patient.revoke(made[0])
            assert set(seen([*own, *unused])) <= {new, made[0]}
        # And the numbers after it stay unknown.
        assert not set(seen(unused)) - {new}
        methods = {method for method, params in node.asked if made[0][2:].lower() in json.dumps(params).lower()}
        assert methods <= {"eth_estimateGas", "eth_sendRawTransaction", "eth_getProof"}
