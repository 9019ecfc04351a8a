"""Relay and gate over TLS, as programs: a client that trusts their authority gets through, no other learns anything."""

from __future__ import annotations

import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from panachain.chain.access import NodeKey
from panachain.chain.anvil import free_port
from panachain.chain.config import ChainConfig
from panachain.chain.rpc import Rpc
from panachain.crypto.keys import Seed
from panachain.errors import ChainUnavailableError, ConfigurationError, NodeRefusedError, UnavailableError
from panachain.model.actors import PolicyId
from panachain.private_files import write_private
from panachain.sdk.relay import RemoteRelay
from panachain.service.gate.app import REFUSAL
from panachain.service.gate.run import GateConfig
from panachain.service.relay.run import RelayConfig
from tests.unit.service.authority import Authority
from tests.unit.service.loopback import wait_for

CHAIN = 31_338
CONTRACT = "0x" + "11" * 20
TLS = {"certificate": "server.pem", "key": "server.key"}


@dataclass
class Service:
    """A service that runs as a program of its own."""

    folder: Path
    port: int
    authority: Authority
    other: Authority

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def trusting(self, authority: Authority, certificate: tuple[Path, Path] | None = None) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(authority.path))
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return httpx.Client(verify=context, trust_env=False, timeout=10)


def connect(section: dict[str, Any], folder: Path) -> Rpc:
    return ChainConfig.parse(section, folder, what="the section").rpc()


def relay_config(port: int) -> dict[str, Any]:
    contracts = dict.fromkeys(("ActorRegistry", "RecordLedger", "PolicyRegistry", "AccessLog", "Checkpoints"), CONTRACT)
    return {
        "schema": "panachain/relay-config/1",
        "host": "127.0.0.1",
        "port": port,
        # Nobody answers there: what is tested is the way to the relay.
        "mainchain": {"url": "http://127.0.0.1:9", "chainId": 31_337, "contracts": contracts, "fromBlock": 0},
        "database": "relay.sqlite",
        "keyFile": "relay.key",
        "gasPerDay": 1,
        "revocationReserve": 2,
    }


def gate_config(port: int, node: str, admitted: str) -> dict[str, Any]:
    return {
        "schema": "panachain/gate-config/1",
        "host": "127.0.0.1",
        "port": port,
        "url": f"https://127.0.0.1:{port}",
        "sidechain": {"url": node, "chainId": CHAIN, "contracts": {"IdentityRegistry": CONTRACT}},
        "nodes": [admitted],
        "auditLog": "audit.jsonl",
    }


@contextmanager
def running(folder: Path, name: str, command: list[str], config: dict[str, Any], **tls: str) -> Iterator[Service]:
    """Run `panachain COMMAND --config …` with certificates of an authority of its own until the block ends."""
    authority, other = Authority(folder, "authority"), Authority(folder, "other")
    authority.issue("server")
    write_private(folder / f"{name}.json", json.dumps(config | {"tls": TLS | tls}).encode())
    arguments = [sys.executable, "-m", "panachain.cli", *command, "--config", str(folder / f"{name}.json")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ))
    try:
        assert wait_for(lambda: listens(config["port"]) or process.poll() is not None, 60)
        assert process.poll() is None, (folder / "log").read_text()
        yield Service(folder, config["port"], authority, other)
    finally:
        process.terminate()
        assert process.wait(60) == 0


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("relay")
    write_private(folder / "relay.key", Seed.random().account_key().hex().encode())
    with running(folder, "relay", ["relay", "serve"], relay_config(free_port())) as service:
        yield service


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    """A sidechain's node that knows its chain's ID and nothing else."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": hex(CHAIN)}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, node: str) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("gate")
    key = Seed.random().account_key()
    write_private(folder / "node.key", key.hex().encode())
    config = gate_config(free_port(), node, NodeKey(key).address)
    with running(folder, "gate", ["sidechain", "gate"], config) as service:
        yield service


@pytest.fixture(params=["relay", "gate"])
def service(request: pytest.FixtureRequest) -> Service:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


class TestBoth:
    def test_a_client_without_the_authority_refuses_to_go_on(self, service: Service) -> None:
        with httpx.Client(trust_env=False, timeout=10) as usual, service.trusting(service.other) as misled:
            for client in (usual, misled):
                with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
                    client.get(f"{service.url}/healthz")

    def test_a_certificate_counts_for_its_address_only(self, service: Service) -> None:
        with (
            service.trusting(service.authority) as client,
            pytest.raises(httpx.ConnectError, match="certificate verify failed"),
        ):
            client.get(f"https://localhost:{service.port}/healthz")

    def test_plain_http_gets_nothing(self, service: Service) -> None:
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            answer = b""
            try:
                while piece := connection.recv(4096):
                    answer += piece
            except ConnectionResetError:
                # As good an end as any.
                pass
        # At most a TLS alert (RFC 8446, section 6: content type 21), never a byte of HTTP.
        assert answer[:1] in (b"", b"\x15")
        assert len(answer) <= 7

    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
    def test_old_versions_of_tls_are_refused(self, service: Service) -> None:
        def ask(newest: ssl.TLSVersion) -> int:
            context = ssl.create_default_context(cafile=str(service.authority.path))
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, newest
            with httpx.Client(verify=context, trust_env=False, timeout=10) as client:
                return client.get(f"{service.url}/healthz").status_code

        assert ask(ssl.TLSVersion.TLSv1_2) in (200, 401)
        with pytest.raises(httpx.ConnectError):
            ask(ssl.TLSVersion.TLSv1_1)


class TestRelay:
    def test_who_trusts_its_authority_gets_through(self, relay: Service) -> None:
        with relay.trusting(relay.authority) as client:
            assert client.get(f"{relay.url}/healthz").json()["schema"] == "panachain/health/1"
            refused = client.post(f"{relay.url}/v1/revoke", json={})
            assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")

    def test_a_patients_client_hands_nothing_to_a_relay_that_it_can_not_verify(self, relay: Service) -> None:
        with pytest.raises(UnavailableError):
            RemoteRelay(relay.url, timeout=10).revoke(PolicyId(CONTRACT), bytes(64))

    def test_a_patients_client_reaches_one_whose_authority_it_trusts(self, relay: Service) -> None:
        trusting = RemoteRelay(relay.url, timeout=10, ca=relay.folder / "authority.pem")
        # The chain behind it isn't there; that it says so came over TLS.
        with pytest.raises(UnavailableError, match="503"):
            trusting.revoke(PolicyId(CONTRACT), bytes(64))


class TestGate:
    def section(self, gate: Service, **change: str) -> dict[str, Any]:
        return {"url": gate.url, "chainId": CHAIN, "contracts": {}, "nodeKeyFile": "node.key"} | change

    def test_a_node_that_trusts_its_authority_gets_through(self, gate: Service) -> None:
        rpc = connect(self.section(gate, caFile="authority.pem"), gate.folder)
        assert rpc.call("eth_chainId") == hex(CHAIN)
        with pytest.raises(NodeRefusedError, match="doesn't pass"):
            rpc.call("debug_traceTransaction")
        rpc.close()

    def test_a_node_that_does_not_sends_no_token(self, gate: Service) -> None:
        before = (gate.folder / "audit.jsonl").read_text()
        for change in ({}, {"caFile": "other.pem"}):
            rpc = connect(self.section(gate, **change), gate.folder)
            with pytest.raises(ChainUnavailableError, match="doesn't answer"):
                rpc.call("eth_chainId")
            rpc.close()
        assert (gate.folder / "audit.jsonl").read_text() == before

    def test_a_stranger_gets_the_one_answer_over_tls_too(self, gate: Service) -> None:
        with gate.trusting(gate.authority) as client:
            answers = [client.get(f"{gate.url}/healthz"), client.post(gate.url, json={}), client.put(f"{gate.url}/x")]
        shown = {(a.status_code, a.content, tuple(sorted(a.headers))) for a in answers}
        assert shown == {(401, REFUSAL, ("content-length", "content-type"))}


def test_a_gate_serves_only_clients_of_an_authority_where_one_is_named(tmp_path: Path, node: str) -> None:
    key = Seed.random().account_key()
    write_private(tmp_path / "node.key", key.hex().encode())
    config = gate_config(free_port(), node, NodeKey(key).address)
    with running(tmp_path, "gate", ["sidechain", "gate"], config, clientCa="authority.pem") as gate:
        gate.authority.issue("client")
        section = {
            "url": gate.url,
            "chainId": CHAIN,
            "contracts": {},
            "nodeKeyFile": "node.key",
            "caFile": "authority.pem",
        }
        rpc = connect(section, tmp_path)
        with pytest.raises(ChainUnavailableError):
            rpc.call("eth_chainId")
        rpc.close()
        rpc = connect(section | {"certificateFile": "client.pem", "certificateKeyFile": "client.key"}, tmp_path)
        assert rpc.call("eth_chainId") == hex(CHAIN)
        rpc.close()


@pytest.mark.parametrize("read", [RelayConfig.read, GateConfig.read], ids=["relay", "gate"])
class TestConfiguration:
    Read = Callable[[Path], RelayConfig | GateConfig]

    def path(self, folder: Path, read: Read, tls: dict[str, str]) -> Path:
        made = relay_config(1) if read == RelayConfig.read else gate_config(1, "http://127.0.0.1:9", CONTRACT)
        (folder / "service.json").write_text(json.dumps(made | {"tls": tls}))
        return folder / "service.json"

    def test_files_are_taken_from_beside_the_configuration(self, tmp_path: Path, read: Read) -> None:
        Authority(tmp_path, "authority").issue("server")
        config = read(self.path(tmp_path, read, TLS))
        assert config.tls is not None
        assert (config.tls.certificate, config.tls.key) == (tmp_path / "server.pem", tmp_path / "server.key")

    @pytest.mark.parametrize("missing", ["server.pem", "server.key"])
    def test_a_missing_file_is_a_typed_error(self, tmp_path: Path, read: Read, missing: str) -> None:
        Authority(tmp_path, "authority").issue("server")
        (tmp_path / missing).unlink()
        with pytest.raises(ConfigurationError, match=missing):
            read(self.path(tmp_path, read, TLS))

    def test_a_key_that_others_may_read_is_refused(self, tmp_path: Path, read: Read) -> None:
        Authority(tmp_path, "authority").issue("server")
        (tmp_path / "server.key").chmod(0o644)
        with pytest.raises(ConfigurationError, match="open to others"):
            read(self.path(tmp_path, read, TLS))
