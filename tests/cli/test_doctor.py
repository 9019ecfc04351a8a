"""`doctor` on the sidechain's gate, on relays and on key blocks."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.cli import doctor
from panachain.config import Config
from panachain.errors import StoreUnavailableError
from panachain.model.actors import Actor, KeyChange, Role
from panachain.sdk.key_blocks import KeyBlocks
from panachain.sdk.profiles import create_profile
from tests.keystores import make_cheap
from tests.unit.chain.test_nodes import Down, Node, named
from tests.unit.storage.memory_store import MemoryStore

MAIN = {"chainId": 7, "contracts": {"PolicyRegistry": "0x" + "11" * 20}}
TOLD = {"chain_id": 7, "policy_registry": "0x" + "11" * 20, "gas_left": 5}


@contextmanager
def serving(status: int, content: object = None) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def do_GET(self) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "state", "code"), [(401, "ok", 0), (403, "ok", 0), (200, "bad", 2), (500, "bad", 2)]
)
def test_a_sidechain_that_answers_strangers_is_bad(status: int, state: str, code: int) -> None:
    with serving(status) as url:
        (check,) = doctor.gate_checks(url, {})
    assert (check.name, check.state, check.exit_code) == ("gate", state, code)
    assert bool(check.fix) == (state == "bad")


def test_a_gate_that_gives_no_answer_deserves_a_look() -> None:
    (check,) = doctor.gate_checks("", {"sidechain": {"url": "http://127.0.0.1:1"}})
    assert check.state == "note"


def test_of_several_gates_each_is_asked() -> None:
    with serving(401) as good, serving(200) as bad:
        for urls, description in ((f"{good},{bad}", {}), ("", {"sidechain": {"url": [good, {"url": bad}]}})):
            checks = list(doctor.gate_checks(urls, description))
            assert [(one.name, one.state) for one in checks] == [(f"gate {good}", "ok"), (f"gate {bad}", "bad")]


class TestNodes:
    def checks(self, nodes: list[Node], monkeypatch: pytest.MonkeyPatch, **section: Any) -> dict[str, doctor.Check]:
        """Return by name what is said of the mainchain with these nodes."""
        by_url = {one.url: one for one in nodes}
        monkeypatch.setattr("panachain.chain.config.NodeConfig.rpc", lambda self, *_, **__: by_url[self.url])
        description = {"url": [one.url for one in nodes], "chainId": 5, "contracts": {}} | section
        config = Config.load({}, {})
        return {one.name: one for one in doctor._chain("mainchain", {"mainchain": description}, config)}

    def test_one_node_is_believed_for_what_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = self.checks([Node()], monkeypatch)

        assert found["mainchain"].state == "ok"
        assert found["nodes (mainchain)"].state == "note"
        assert found["nodes (mainchain)"].detail.startswith("one node is believed for which block is the newest")
        assert "mainchain_rpc" in found["nodes (mainchain)"].fix

    def test_several_agree(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = self.checks(named(3), monkeypatch)

        assert (found["nodes (mainchain)"].state, found["nodes (mainchain)"].exit_code) == ("ok", 0)
        assert found["nodes (mainchain)"].detail == "2 of 3 agree on block 4"
        assert found["mainchain http://b"].state == "ok"

    def test_one_that_lies_and_one_that_is_down_are_named_and_no_fault(self, monkeypatch: pytest.MonkeyPatch) -> None:
        nodes = [*named(3), Down(url="http://down"), Node(url="http://liar")]
        nodes[4].chain_id = 6
        found = self.checks(nodes, monkeypatch)

        assert found["mainchain http://down"].state == found["mainchain http://liar"].state == "note"
        assert found["nodes (mainchain)"].state == "note"
        assert "http://liar isn't believed: it is of chain 6" in found["nodes (mainchain)"].detail

    def test_several_of_which_too_few_agree_are_bad(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = self.checks([*named(1), Down(url="http://down")], monkeypatch)

        assert (found["nodes (mainchain)"].state, found["nodes (mainchain)"].exit_code) == ("bad", 7)

    def test_a_single_one_of_another_chain_is_bad(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = self.checks([Node()], monkeypatch, chainId=6)

        assert (found["mainchain"].state, found["mainchain"].exit_code) == ("bad", 2)
        assert "nodes (mainchain)" not in found


@pytest.mark.parametrize(
    ("status", "told", "detail"),
    [
        (200, TOLD, "ready"),
        (200, TOLD | {"chain_id": 8}, "it serves another network"),
        (200, TOLD | {"policy_registry": ""}, "it serves another network"),
        (200, TOLD | {"gas_left": 0}, "its budget is used up for now"),
        (200, [], "its answer can't be read"),
        (503, {}, "answers 503"),
    ],
)
def test_each_relay_is_asked_whether_it_serves_this_network(status: int, told: object, detail: str) -> None:
    with serving(status, told) as url:
        first, summary = doctor._relays({"relays": [url], "mainchain": MAIN})
    assert (first.name, first.detail) == (f"relay {url}", detail)
    assert first.state == ("ok" if detail == "ready" else "note")
    assert summary.state == ("ok" if detail == "ready" else "bad")
    assert summary.exit_code == (0 if detail == "ready" else 7)


def test_an_own_account_is_enough() -> None:
    (summary,) = doctor._relays({"relayKeyFile": "relay.key"})
    assert summary.state == "ok"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "x", "http://127.0.0.1:1"])
def test_a_relay_that_can_not_be_asked_is_named(url: str) -> None:
    first, summary = doctor._relays({"relays": [url], "mainchain": MAIN, "relayKeyFile": "k"})
    assert (first.state, summary.state) == ("note", "ok")


SIDE = {"chainId": 6, "url": "http://127.0.0.1:1", "contracts": {"Forwarder": "0x" + "f0" * 20}}
PAYING = {"chain_id": 6, "forwarder": SIDE["contracts"]["Forwarder"], "gas_left": 5}


class TestWhoPaysOnTheSidechain:
    def checks(self, monkeypatch: pytest.MonkeyPatch, *, free: bool, **description: Any) -> list[doctor.Check]:
        monkeypatch.setattr(doctor, "_is_free", lambda *_: free)
        config = Config.load({"home": "/nowhere"}, {})
        return list(doctor._sidechain_payers({"sidechain": SIDE} | description, config))

    @pytest.mark.parametrize(
        ("told", "detail"),
        [
            (PAYING, "ready"),
            (PAYING | {"forwarder": ""}, "it serves another network"),
            # A relay of policies is none of the sidechain.
            (TOLD, "it serves another network"),
        ],
    )
    def test_each_relay_is_asked(self, monkeypatch: pytest.MonkeyPatch, told: object, detail: str) -> None:
        with serving(200, told) as url:
            first, summary = self.checks(monkeypatch, free=False, sidechainRelays=[url])
        assert (first.name, first.detail) == (f"sidechain relay {url}", detail)
        assert (summary.state, summary.exit_code) == (("ok", 0) if detail == "ready" else ("bad", 7))
        assert "the chain takes a price" in summary.detail

    def test_an_own_account_pays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        (summary,) = self.checks(monkeypatch, free=False, sidechainRelayKeyFile="pay.key")
        assert (summary.state, summary.detail) == (
            "ok",
            "persons sign, 0 of 0 relays are ready, and an own account pays; the chain takes a price",
        )

    def test_where_nobody_pays_a_free_chain_is_fine_and_a_paid_one_is_not(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (free,) = self.checks(monkeypatch, free=True)
        assert (free.state, free.detail) == (
            "ok",
            "persons send by themselves; the chain takes transactions that pay nothing",
        )
        (paid,) = self.checks(monkeypatch, free=False)
        assert (paid.state, paid.exit_code) == ("bad", 2)
        assert "sidechainRelays" in paid.fix


class TestKeyBlocks:
    """Of each profile of this machine: nobody can be sealed anything while their block is lost."""

    @pytest.fixture
    def world(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        make_cheap(monkeypatch, for_this_process_only=True)
        profile = create_profile(tmp_path, "me", Role.PATIENT, "correct horse battery")
        registered: list[Actor] = []
        blocks = KeyBlocks(tmp_path, MemoryStore())
        resolver = SimpleNamespace(known=lambda asked: [one for one in registered if one.address in asked])
        network = SimpleNamespace(key_blocks=blocks, resolver=resolver)
        return SimpleNamespace(home=tmp_path, profile=profile, registered=registered, network=network)

    def test_a_lost_block_is_bad_once_its_owner_is_registered(self, world: SimpleNamespace) -> None:
        (before,) = doctor._key_blocks(world.home, world.network)
        assert (before.state, "not registered yet" in before.detail) == ("ok", True)
        world.registered.append(world.profile.actor)
        (lost,) = doctor._key_blocks(world.home, world.network)
        assert (lost.name, lost.state, lost.exit_code) == ("key block of me", "bad", 7)
        assert lost.fix == "panachain --profile me register stores it again"

    def test_one_that_the_store_has_is_well(self, world: SimpleNamespace) -> None:
        world.registered.append(world.profile.actor)
        world.network.key_blocks.put(world.profile.actor)
        (found,) = doctor._key_blocks(world.home, world.network)
        assert (found.state, found.detail) == ("ok", "the store has it")

    def test_a_lost_block_of_before_a_change_of_keys_is_bad_too(self, world: SimpleNamespace) -> None:
        actor = world.profile.actor
        world.registered.append(actor.changed(b"n" * 32, KeyChange(5, 5)))
        world.network.key_blocks.put(actor)
        (lost,) = doctor._key_blocks(world.home, world.network)
        assert lost.state == "bad"

    def test_a_store_that_does_not_answer_is_told_for_each(
        self, world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(actor: object) -> bool:
            raise StoreUnavailableError("no answer")

        monkeypatch.setattr(world.network.key_blocks, "lacking", fails)
        create_profile(world.home, "clinic", Role.HOSPITAL, "correct horse battery")
        assert [(one.state, one.detail) for one in doctor._key_blocks(world.home, world.network)] == [
            ("bad", "no answer"),
            ("bad", "no answer"),
        ]
