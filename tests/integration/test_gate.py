"""A devnet whose sidechain is private in fact: the trip goes through gate and relay, and a stranger gets 401."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from panachain.chain import anvil
from panachain.chain.access import NodeKey
from panachain.chain.config import ChainConfig
from panachain.chain.rpc import Rpc
from panachain.config import Config
from panachain.crypto import keys
from panachain.devnet import Devnet
from panachain.errors import ChainUnavailableError, NodeRefusedError, PolicyRevokedError
from panachain.private_files import write_private
from panachain.records.samples import sample_bundle
from panachain.sdk import Network, open_actor
from panachain.sdk.base import Registrar
from panachain.sdk.profiles import load_profile, unlock
from panachain.service.gate.app import REFUSAL
from tests.support import PASSPHRASE, World

pytestmark = pytest.mark.deep

CALL = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'


def gate_url(world: World) -> str:
    return str(json.loads((world.home / "network.json").read_bytes())["sidechain"]["url"])


def processes(world: World) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((world.home / "devnet" / "processes.json").read_bytes())
    return content


@pytest.fixture(scope="module")
def relay(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run `panachain relay serve` for the devnet, with an account of its own."""
    folder = tmp_path_factory.mktemp("relay")
    folder.chmod(0o700)
    key, port = keys.Seed.random().account_key(), anvil.free_port()
    anvil.fund(world.network.mainchain.rpc, keys.address_of(key))
    write_private(folder / "relay.key", key.hex().encode())
    config = {
        "schema": "panachain/relay-config/1",
        "host": "127.0.0.1",
        "port": port,
        "mainchain": json.loads((world.home / "network.json").read_bytes())["mainchain"],
        "database": "relay.sqlite",
        "keyFile": "relay.key",
        "gasPerDay": 10_000_000,
        "revocationReserve": 1_000_000,
    }
    (folder / "relay.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "panachain.cli", "relay", "serve", "--config", str(folder / "relay.json")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if httpx.get(f"{url}/readyz", trust_env=False, timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        assert process.wait(60) == 0
        # No line links a client with a policy.
        assert b"0x" not in (folder / "log").read_bytes()


def test_a_strangers_curl_gets_401_and_nothing_else(world: World) -> None:
    url = gate_url(world)
    shown = set()
    for more in (
        ["-d", CALL.decode()],
        ["-d", '{"jsonrpc":"2.0","id":1,"method":"debug_traceTransaction","params":[]}'],
        ["-X", "OPTIONS", "-H", "Origin: http://evil.example"],
        ["-H", "Authorization: PanaChain AAAA"],
        ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13"],
        ["-X", "FOO"],
        [],
    ):
        for path in ("/", "/metrics", "/openapi.json"):
            command = ["curl", "-s", "-i", "--noproxy", "*", "--max-time", "20", *more, url + path]
            done = subprocess.run(command, capture_output=True, timeout=30, check=True)
            shown.add(done.stdout)
    assert shown == {
        b"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
        % (len(REFUSAL), REFUSAL)
    }


def test_web3_reads_both_chains_also_through_the_gate(world: World) -> None:
    network = world.network
    main, side = network.mainchain.web3(), network.sidechain.web3()

    assert main.is_connected()
    assert side.is_connected()
    assert side.eth.chain_id == network.sidechain.chain_id
    registered = side.panachain.identities.events.IdentityRegistered().get_logs(from_block=side.panachain.from_block)
    assert {log["args"]["account"] for log in registered} == {
        actor.address for actor in network.sidechain.identities.find()
    }
    for actor in network.mainchain.actors.find():
        assert main.panachain.actors.functions.actorOf(actor.address).call()
    # The gate passes what docs/spec/gate.md lists, whoever asks.
    with pytest.raises(NodeRefusedError, match="doesn't pass"):
        _ = side.client_version


@pytest.mark.parametrize(
    "noise", [b"\x16\x03\x01\x00\xa5\x01\x00\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 5 + b"x\r\n\r\n"]
)
def test_what_is_not_http_gets_401_too(world: World, noise: bytes) -> None:
    port = int(gate_url(world).rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(noise)
        answer = b""
        while not answer.endswith(REFUSAL) and (piece := connection.recv(4096)):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert answer.endswith(REFUSAL)
    assert b"uvicorn" not in answer.lower()


def test_node_keys_of_this_home_and_of_registered_actors_pass(world: World) -> None:
    url, chain_id = gate_url(world), world.network.sidechain.chain_id
    hospital = unlock(load_profile(world.home, "hospital"), PASSPHRASE).account_key()
    researcher = unlock(load_profile(world.home, "researcher"), PASSPHRASE).account_key()
    stranger = os.urandom(32)
    assert world.network.sidechain.rpc.call("eth_chainId") == hex(chain_id)

    def ask(key: bytes) -> Any:
        return Rpc(url, authorise=NodeKey(key).authoriser(url, chain_id)).call("eth_chainId")

    # The registry is read every two seconds.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            assert ask(hospital) == hex(chain_id)
            break
        except NodeRefusedError:
            time.sleep(0.2)
    for key in (researcher, stranger):
        with pytest.raises(NodeRefusedError):
            ask(key)


def test_an_intercepted_request_passes_no_second_time(world: World) -> None:
    url = gate_url(world)
    key = NodeKey(bytes.fromhex((world.home / "devnet" / "node.key").read_text()))
    header = dict(key.authoriser(url, world.network.sidechain.chain_id)(CALL))
    answers = [httpx.post(url, content=CALL, headers=header, trust_env=False, timeout=20) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 401]
    assert answers[1].content == REFUSAL


def test_nodes_get_no_more_than_the_sdk_uses(world: World) -> None:
    raw = Rpc(processes(world)["sidechainUrl"])
    for method, params in (("debug_traceBlockByNumber", ["latest"]), ("anvil_setBalance", []), ("eth_accounts", [])):
        with pytest.raises(NodeRefusedError, match="doesn't pass"):
            world.network.sidechain.rpc.call(method, params)
    with pytest.raises(NodeRefusedError):
        world.network.sidechain.rpc.batch([("eth_chainId", []), ("txpool_content", [])])
    assert raw.call("anvil_nodeInfo")


def test_trip_goes_through_gate_and_relay(world: World, relay: str, tmp_path: Path) -> None:
    path = world.home / "relayed.json"
    description = json.loads((world.home / "network.json").read_bytes())
    # A dead relay first, and no own account.
    del description["relayKeyFile"]
    path.write_text(json.dumps(description | {"relays": ["http://127.0.0.1:1", relay]}))
    (tmp_path / "bundle.json").write_bytes(sample_bundle(1))
    world.hospital.upload([tmp_path], "patient")
    with Network.open(Config.load({"home": str(world.home), "network_file": str(path)}, {})) as network:
        patient = open_actor(network, load_profile(world.home, "patient"), PASSPHRASE)
        clinician = open_actor(network, load_profile(world.home, "clinician"), PASSPHRASE)
        expires_at = network.mainchain.head_block().time + 86_400
        policy = patient.grant("clinician", ["laboratory"], until=expires_at)
        assert list(clinician.open(policy.policy_id))
        report = patient.revoke(policy.policy_id)
        assert report.final
        with pytest.raises(PolicyRevokedError):
            list(clinician.open(policy.policy_id))
    paid = httpx.get(f"{relay}/v1/relay", trust_env=False, timeout=20).json()
    transaction = world.network.mainchain.rpc.call("eth_getTransactionByHash", [policy.tx])
    assert transaction["from"].lower() == paid["account"].lower()
    assert paid["gas_left"] < 10_000_000


def test_audit_log_names_nodes_and_methods_and_no_content(world: World) -> None:
    lines = [json.loads(line) for line in (world.home / "devnet/gate/audit.jsonl").read_text().splitlines()]
    assert {"node", "at", "methods", "outcome", "nonce"} == set(lines[0])
    assert {line["outcome"] for line in lines} >= {"passed", "begun", "refused"}
    own = NodeKey(bytes.fromhex((world.home / "devnet" / "node.key").read_text())).address
    assert own in {line["node"] for line in lines}
    # Proxies come with keys of their own.
    assert len({line["node"] for line in lines}) > 1


def test_doctor_finds_gate_and_relays_well(world: World) -> None:
    environment = os.environ | {"PANACHAIN_HOME": str(world.home)}
    command = [sys.executable, "-m", "panachain.cli", "doctor", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    checks = {check["name"]: check for check in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0, done.stdout
    for name in ("sidechain", "contracts (sidechain)", "gate", "relays"):
        assert checks[name]["state"] == "ok", checks[name]


class TestZFaults:
    """Last in the file: they break the devnet of this module on purpose."""

    def test_a_suspended_hospital_is_out_within_the_caches_seconds(self, world: World) -> None:
        url, chain_id = gate_url(world), world.network.sidechain.chain_id
        key = unlock(load_profile(world.home, "hospital"), PASSPHRASE).account_key()
        rpc = Rpc(url, authorise=NodeKey(key).authoriser(url, chain_id))
        assert rpc.call("eth_chainId") == hex(chain_id)
        with Registrar(world.network, load_profile(world.home, "registrar"), PASSPHRASE) as registrar:
            registrar.suspend("hospital")

        def ask_for_a_while() -> None:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                rpc.call("eth_chainId")
                time.sleep(0.1)

        with pytest.raises(NodeRefusedError):
            ask_for_a_while()

    def test_a_stopped_gate_stops_the_sidechain_and_up_starts_it_again(self, world: World) -> None:
        anvil.stop(processes(world)["gate"])
        assert not Devnet.status(world.home).gate
        with pytest.raises(ChainUnavailableError):
            world.network.sidechain.rpc.call("eth_chainId")
        status = Devnet.up(world.home, passphrase=PASSPHRASE)
        assert status.gate
        network = json.loads((world.home / "network.json").read_bytes())
        with Network.open(Config.load({"home": str(world.home)}, {})) as opened:
            assert opened.sidechain.identities.find()
        assert ChainConfig.parse(network["sidechain"], world.home, what="the section").rpc().call("eth_chainId")
