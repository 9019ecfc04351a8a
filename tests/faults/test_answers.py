"""No answer of a node, relay, proxy or store takes more than its share of memory, or ends in anything untyped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.hostile_http import WAYS, hostile

CLIENTS = (
    "chain",
    "proxy",
    *(pytest.param(one, marks=pytest.mark.deep) for one in ("relay", "kubo", "gate", "doctor")),
)
MEMORY = 300
"""MiB that a client process may take at most, with its modules (60 MiB) and four answers at once."""
ROOT = Path(__file__).resolve().parents[2]
TYPED = {
    *("ChainUnavailableError", "RpcAnswerError", "UnavailableError", "IntegrityError", "StoreUnavailableError"),
    # kubo.py makes it an error of the tree; doctor prints what it got.
    *("Refused", "Told"),
}

PROGRAM = """
import asyncio, json, resource, sys, time, traceback
from concurrent.futures import ThreadPoolExecutor

class Told(Exception): pass

def client(kind, port):
    url = f"http://127.0.0.1:{port}"
    if kind == "chain":
        from panachain.chain.rpc import Rpc
        Rpc(url, timeout=0.3, sleep=lambda _: None).call("eth_blockNumber")
    elif kind == "proxy":
        from panachain.proxy.client import Channels, read_answer
        from panachain.wire.endpoints import Reach
        read_answer(Channels(reach=Reach(development=True)).post(url, "/v1/reencrypt", {}, timeout=0.3))
        return "an object; what it holds is looked at above"
    elif kind == "relay":
        from panachain.sdk.relay import RemoteRelay
        RemoteRelay(url, timeout=0.3).revoke("0x" + "11" * 20, bytes(65))
    elif kind == "kubo":
        from panachain.storage.kubo_rpc import KuboRpc, Request
        KuboRpc(url + "/api/v0/", name=f"node at {url}", timeout=0.3, tries=2, pause=0).values(Request("version"))
        return "an object; what it holds is looked at above"
    elif kind == "gate":
        from panachain.service.gate.app import Node
        async def ask():
            node = Node(url, timeout=0.3)
            try:
                await node(b"{}")
            finally:
                await node.close()
        asyncio.run(ask())
        return "bytes that it hands on"
    elif kind == "doctor":
        from panachain.cli import doctor
        doctor.PROXY_TIMEOUT = 0.3
        status, said = doctor.fetch(url)
        if status != 200:
            raise Told(f"{url}: {said}")
        return "bytes"

def attempt(kind, name, port):
    began = time.monotonic()
    try:
        outcome = ["", str(client(kind, port))]
    except Exception as exc:
        outcome = [type(exc).__name__, str(exc)]
    return kind, name, *outcome, time.monotonic() - began

ports = json.loads(sys.argv[1])
with ThreadPoolExecutor(4) as pool:
    made = [pool.submit(attempt, kind, name, port) for kind in sys.argv[2].split() for name, port in ports.items()]
    found = [one.result() for one in made]
# Not by `resource` where there is another way: its figure begins with that of the process that started this one.
try:
    with open("/proc/self/status") as file:
        memory = next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
except OSError:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"found": found, "memory": memory >> 10}))
"""
HANDED_ON = {
    # What JSON holds, its reader looks at: these are answers to a client that hands bytes on, or doesn't read them.
    "gate": {"deep JSON", "deep objects", "many values", "a long number", "a number beyond doubles", "no number"}
    | {"a name twice", "bytes that are no text", "a packed bomb"},
    "doctor": {"deep objects", "a number beyond doubles", "no number", "a name twice", "bytes that are no text"},
    # Its messages hold texts and whole numbers, of which each is checked.
    "proxy": {"a number beyond doubles"},
}


def asked(clients: str, names: list[str]) -> dict[str, Any]:
    with hostile(names) as ports:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(ports), clients],
            capture_output=True,
            text=True,
            timeout=280,
            cwd=ROOT,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("client", CLIENTS)
def test_every_hostile_answer_is_a_typed_error_in_little_memory(client: str) -> None:
    told = asked(client, list(WAYS))
    for kind, name, error, message, _ in told["found"]:
        if name in HANDED_ON.get(kind, ()) and not error:
            continue
        assert error in TYPED, (kind, name, error, message)
        # What Kubo refuses, kubo.py puts its name to, as Relays does for relays, and doctor for all.
        if kind in ("chain", "proxy", "kubo") and error != "Refused":
            assert "127.0.0.1" in message, (kind, name, error, message)
    assert len(told["found"]) == len(WAYS)
    assert told["memory"] < MEMORY
