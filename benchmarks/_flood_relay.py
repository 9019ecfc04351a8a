"""A relay under attack: the relay as a process of its own before a chain in memory, strangers, and honest patients.

    python benchmarks/_flood_relay.py serve FOLDER
    python benchmarks/_flood_relay.py flood FOLDER SECONDS

The chain takes 10 ms for an answer and 100 ms for a block; HTTP, tokens, database and limits are the program's own.
Each order comes from an address of its own, so that no limit of an address holds a flood back.
"""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import os
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from panachain.chain.evm import Receipt
from panachain.chain.mainchain import Mainchain
from panachain.chain.rpc import RpcAnswerError
from panachain.crypto.blind_rsa import IssuerKey, TokenKey
from panachain.crypto.tokens import TOKEN_SIZE, TYPE, ask, challenge
from panachain.errors import PolicyUnknownError
from panachain.model.actors import PolicyId
from panachain.model.policy import OnChainPolicy, PolicyStatus

CONTRACT = "0x" + "11" * 20
ISSUER, ORIGIN, PERIOD = "issuer.test", "http://relay.test", 1 << 31
ANSWER, BLOCK = 0.01, 0.1
"""Seconds that the chain takes for an answer, and until it mines."""
STRANGERS = 8
"""Of each kind."""
TOKENS = 400
GRANTED = 1 << 40
"""Policies from this number on were granted."""
Times = dict[str, tuple[list[float], list[str]]]


def policy(number: int) -> PolicyId:
    """Return a policy by its number."""
    return PolicyId(f"0x{number:040x}")


class Chain(Mainchain):
    """A mainchain that takes signatures whose last byte is even, and knows the policies from a number on."""

    def __init__(self) -> None:
        """Make it."""
        rpc: Any = SimpleNamespace(call=self.answer)
        super().__init__(rpc, dict.fromkeys(("PolicyRegistry", "AccessLog"), CONTRACT), 31_337)
        self.policies.policy_of = self.known  # type: ignore[method-assign]

    def answer(self, method: str, params: Any = ()) -> Any:
        """Answer as a node would."""
        time.sleep(ANSWER)
        if method == "eth_estimateGas" and int(params[0]["data"][-1], 16) % 2:
            raise RpcAnswerError("execution reverted", code=3)
        return "0x10000"

    def known(self, policy_id: PolicyId) -> OnChainPolicy:
        """Return a policy."""
        time.sleep(ANSWER)
        if int(policy_id, 16) < GRANTED:
            raise PolicyUnknownError("nobody granted it")
        return OnChainPolicy(policy_id, PolicyStatus.ACTIVE, 1, 9, bytes(32))


class Sender:
    """The relay's account."""

    address = "0x" + "22" * 20

    def send(self, to: str, data: str, *, what: str, signed: Any) -> Receipt:
        """Send a transaction, and wait until it is mined."""
        tx_hash = "0x" + hashlib.sha256(data.encode()).hexdigest()
        signed(tx_hash, "0x02")
        time.sleep(BLOCK)
        return Receipt(tx_hash, 7, 50_000)


class Clients:
    """People who send orders, each from an address of its own."""

    def __init__(self, folder: Path, network: int) -> None:
        """Take the folder, and the second byte of their addresses."""
        self._port = json.loads((folder / "relay").read_text())["port"]
        self._network = network
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def number(self) -> int:
        """Return a number that nobody has yet."""
        with self._lock:
            return next(self._numbers)

    def post(self, path: str, fields: dict[str, Any]) -> int:
        """Send an order and return the status of its answer; 0 for none."""
        number = self.number()
        source = f"127.{self._network}.{number // 250 % 250}.{1 + number % 250}"
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30, source_address=(source, 0))
        with closing(connection):
            try:
                connection.request("POST", path, body=json.dumps(fields))
                return connection.getresponse().status
            except (OSError, http.client.HTTPException):
                return 0


def granting(number: int, token: bytes) -> dict[str, Any]:
    """Return the body of a grant."""
    fields = {"policy_id": policy(number), "starts_at": 1, "expires_at": 9, "deadline": 5}
    return fields | {"terms": "00" * 32, "signature": signature(number, good=True), "token": token.hex()}


def signature(number: int, *, good: bool) -> str:
    """Return what the chain takes for a signature, or doesn't."""
    return (number.to_bytes(32, "big") + bytes(31) + bytes([0 if good else 1])).hex()


class Patients(Clients):
    """Honest patients, who grant with a token each, and revoke."""

    def __init__(self, folder: Path) -> None:
        """Fetch tokens."""
        super().__init__(folder, 3)
        key = IssuerKey.from_pem((folder / "issuer").read_bytes())
        asked = [ask(key.public, challenge(ISSUER, ORIGIN, int(time.time()) // PERIOD)) for _ in range(TOKENS)]
        self._tokens = [one.token(key.sign_blinded(one.blinded)) for one in asked]

    def measure(self, ends: float) -> Times:
        """Grant and revoke by turns until a time of `time.monotonic`; return seconds and failures of both."""
        found: Times = {"grant through it": ([], []), "revocation": ([], [])}
        while self._tokens and (time.monotonic() < ends or not all(good or bad for good, bad in found.values())):
            number = GRANTED + self.number()
            revoking = {"policy_id": policy(number), "signature": signature(number, good=True)}
            orders = [("/v1/grant", granting(number, self._tokens.pop())), ("/v1/revoke", revoking)]
            for (good, bad), (path, fields) in zip(found.values(), orders, strict=True):
                begun = time.monotonic()
                status = self.post(path, fields)
                if status == 200:
                    good.append(time.monotonic() - begun)
                else:
                    bad.append(f"status {status} after {time.monotonic() - begun:.1f} s")
        return found


def flood(folder: Path, seconds: float) -> None:
    """Attack until the time is over, and print what the relay answered."""
    ends = time.monotonic() + seconds
    strangers = Clients(folder, 2)
    key = TokenKey.parse(bytes.fromhex(json.loads((folder / "relay").read_text())["key"]))
    answers: Counter[tuple[str, int]] = Counter()
    lock = threading.Lock()

    def order(kind: str) -> tuple[str, dict[str, Any]]:
        number = strangers.number()
        if kind == "none":
            return "/v1/grant", granting(number, b"")
        if kind == "false":
            # All that anybody can know of a token, and no signature.
            false = TYPE + os.urandom(32) + hashlib.sha256(challenge(ISSUER, ORIGIN, 0)).digest() + key.id
            return "/v1/grant", granting(number, false + os.urandom(TOKEN_SIZE - len(false)))
        revoked = number if kind == "unknown" else GRANTED + number
        return "/v1/revoke", {"policy_id": policy(revoked), "signature": signature(number, good=False)}

    def attack(kind: str) -> None:
        while time.monotonic() < ends:
            status = strangers.post(*order(kind))
            with lock:
                answers[kind, status] += 1

    kinds = ("none", "false", "unknown", "reserve")
    threads = [threading.Thread(target=attack, args=(kind,), daemon=True) for kind in kinds for _ in range(STRANGERS)]
    for thread in threads:
        thread.start()
    (folder / "ready-relay").touch()
    for thread in threads:
        thread.join(max(ends + 0.5 - time.monotonic(), 0.0))
    print({f"{kind} {status}": count for (kind, status), count in sorted(answers.items())})


def serve(folder: Path) -> None:
    """Serve as the relay until it is ended."""
    from panachain.service.http import listen
    from panachain.service.http import serve as serve_app
    from panachain.service.relay.app import create_app
    from panachain.service.relay.service import Budget, RelayService
    from panachain.service.relay.store import RelayStore
    from panachain.service.relay.tokens import Till, TokenRules

    key = IssuerKey.random()
    (folder / "issuer").write_bytes(key.to_pem())
    sender: Any = Sender()
    till = Till(TokenRules((key.public,), ISSUER, ORIGIN, PERIOD))
    with closing(RelayStore(folder / "relay.sqlite")) as store, closing(listen("127.0.0.1", 0)) as listening:
        service = RelayService(Chain(), sender, store, Budget(10**12, 10**9), till=till)
        (folder / "relay.new").write_text(
            json.dumps({"port": listening.getsockname()[1], "key": key.public.encoded.hex()})
        )
        (folder / "relay.new").rename(folder / "relay")
        serve_app(create_app(service, per_minute=30, wait=8.0), listening, tls=None, grace=1)


if __name__ == "__main__":
    place = Path(sys.argv[2])
    if sys.argv[1] == "serve":
        serve(place)
    else:
        flood(place, float(sys.argv[3]))
