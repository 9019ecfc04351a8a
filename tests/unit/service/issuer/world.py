"""An issuer with its sidechain in memory, and patients whose wallets reach it without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from starlette.testclient import TestClient

from panachain.chain.issuing import TokenRequest, issuer_domain, sign_token_request
from panachain.chain.signing import Account
from panachain.crypto.blind_rsa import IssuerKey
from panachain.crypto.keys import Seed
from panachain.crypto.tokens import Ask, ask, challenge
from panachain.model.actors import Actor, Address, Role, Status
from panachain.sdk.wallet import TokenIssuer, Wallet
from panachain.service.issuer.app import create_app
from panachain.service.issuer.service import Allowance, IssuerService
from panachain.service.issuer.store import IssuerStore
from panachain.wire.client import Client

KEY = IssuerKey.random()
DOMAIN = issuer_domain(31_338, "0x" + "44" * 20)
NAME, URL, RELAY = "issuer.test", "http://issuer.test", "http://relay.test"
PERIOD = 1000


class Clock:
    now = 5 * PERIOD + 100.0

    def __call__(self) -> float:
        return self.now


class IssuerWorld:
    """One issuer."""

    def __init__(self, folder: Path, *, tokens: int = 40) -> None:
        self.folder = folder
        self.clock = Clock()
        self.people: dict[Address, Actor] = {}
        self.store = IssuerStore(folder / "issuer.sqlite")
        people: Any = self
        self.service = IssuerService(
            KEY, people, self.store, domain=DOMAIN, allowance=Allowance(tokens, PERIOD), clock=self.clock
        )
        self.http = TestClient(create_app(self.service, clock=self.clock), base_url=URL)
        self.requests: list[dict[str, Any]] = []
        self.lie: Any = None

    def close(self) -> None:
        self.http.close()
        self.store.close()

    def identity_of(self, account: Address) -> Actor | None:
        return self.people.get(account)

    def patient(self, *, role: Role = Role.PATIENT, status: Status = Status.ACTIVE) -> Seed:
        seed = Seed.random()
        address = Account(seed.account_key()).address
        self.people[address] = Actor(address, role, status, b"")
        return seed

    def wallet(self, seed: Seed, folder: str = "profile") -> Wallet:
        (self.folder / folder).mkdir(exist_ok=True)
        return Wallet(
            self.folder / folder,
            seed,
            TokenIssuer(NAME, URL, KEY.public, PERIOD),
            domain=DOMAIN,
            clock=self.clock,
            client=Client(transport=_Transport(self)),
        )

    def request(self, seed: Seed, count: int = 3, *, signer: Seed | None = None, **changes: Any) -> TokenRequest:
        """Return a signed request for tokens."""
        asked = self.asks(count)
        fields: dict[str, Any] = {
            "patient": Account(seed.account_key()).address,
            "period": int(self.clock()) // PERIOD,
            "blinded": tuple(one.blinded for one in asked),
            "expires_at": int(self.clock()) + 45,
        }
        account = Account((signer or seed).account_key())
        return sign_token_request(account, DOMAIN, TokenRequest(**(fields | changes)))

    def asks(self, count: int) -> list[Ask]:
        return [ask(KEY.public, challenge(NAME, RELAY, int(self.clock()) // PERIOD)) for _ in range(count)]


class _Transport(httpx.BaseTransport):
    """Carries requests to the issuer's application."""

    def __init__(self, world: IssuerWorld) -> None:
        self._world = world

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        import json

        body = request.read()
        self._world.requests.append(json.loads(body))
        if self._world.lie is not None:
            found: httpx.Response = self._world.lie()
            return found
        answer = self._world.http.post(request.url.path, content=body)
        return httpx.Response(answer.status_code, content=answer.content)
