"""A gate over HTTP whose node answers what it is asked, and the accounts that ask it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eth_account import Account as EthAccount
from starlette.testclient import TestClient

from panachain.chain.access import SCHEME, GateDomain, NodeKey, Token
from panachain.errors import ChainUnavailableError
from panachain.service.gate.app import GateEndpoint, create_app
from panachain.service.gate.rules import Rules
from panachain.service.gate.service import Admitted, AuditLog, Gate, Nonces

URL = "http://127.0.0.1:9999"
CHAIN = 31_338
CONTRACT = "0x" + "11" * 20
OTHER = "0x" + "22" * 20
NODE = NodeKey(b"\x07" * 32)
STRANGER = NodeKey(b"\x08" * 32)
DOMAIN = GateDomain(URL, CHAIN)
NOW = 1_700_000_000
ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141


@dataclass
class World:
    """A gate whose node answers what it is asked."""

    client: TestClient
    log: Path
    admitted: Admitted
    nonces: Nonces
    now: list[float]
    sent: list[bytes] = field(default_factory=list)

    def post(self, content: Any, *, key: NodeKey = NODE, path: str = "/", **change: Any) -> Any:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        token = replace(key.token(DOMAIN, body, now=self.now[0]), **change)
        return self.client.post(path, content=body, headers={"Authorization": header(token)})

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def header(token: Token) -> str:
    return f"{SCHEME} {token.encode()}"


def call(method: str, *params: Any, number: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def transaction(**change: Any) -> str:
    """Return a signed transaction to a contract of the sidechain; a field that is None is left out."""
    fields = {
        "type": 2,
        "chainId": CHAIN,
        "nonce": 0,
        "gas": 21_000,
        "maxFeePerGas": 0,
        "maxPriorityFeePerGas": 0,
        "value": 0,
        "data": "0x1234",
        "to": CONTRACT,
    } | change
    fields = {name: value for name, value in fields.items() if value is not None}
    return "0x" + bytes(EthAccount.sign_transaction(fields, b"\x09" * 32).raw_transaction).hex()


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[World]:
    """Run a gate in this process; `settings` are its endpoint's."""
    now: list[float] = [NOW]
    sent: list[bytes] = []

    async def forward(body: bytes) -> bytes:
        if b"eth_getCode" in body:
            raise ChainUnavailableError("the node doesn't answer")
        sent.append(body)
        return b'{"jsonrpc":"2.0","id":1,"result":"0x1"}'

    log = folder / "audit.jsonl"
    audit = AuditLog(log, clock=lambda: now[0])
    admitted, nonces = Admitted([NODE.address]), Nonces(clock=lambda: now[0])
    gate = Gate(DOMAIN, admitted, nonces, clock=lambda: now[0])
    endpoint = GateEndpoint(
        gate, Rules(CHAIN, [CONTRACT], max_calls=5), audit, forward, **({"max_body": 4096} | settings)
    )
    with TestClient(create_app(endpoint), base_url=URL) as client:
        yield World(client, log, admitted, nonces, now, sent)
    audit.close()
