"""Relays are asked in their order and never believed: what the chain shows is what was done."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.chain.rpc import RpcAnswerError
from panachain.errors import (
    ChainUnavailableError,
    ConfigurationError,
    IntegrityError,
    PolicyRevokedError,
    PolicyUnknownError,
    RelaysUnavailableError,
    TransactionError,
    UnavailableError,
)
from panachain.model.actors import Address, PolicyId
from panachain.model.policy import OnChainPolicy, PolicyStatus, Receipt, ReceiptKind
from panachain.model.transactions import Grant
from panachain.sdk import bringing as subject
from panachain.sdk.relay import LocalRelay, Relays, RemoteRelay, open_relay

OWNER = PolicyId("0x" + "a1" * 20)
GRANT = Grant(owner=OWNER, starts_at=1, expires_at=2, deadline=3, terms=b"\x05" * 32)
SIGNATURE = b"\x06" * 64
EVIDENCE = Receipt(
    proxy=Address("0x" + "22" * 20),
    sequence=1,
    previous=bytes(32),
    kind=ReceiptKind.REENCRYPTED,
    policy_id=OWNER,
    at=5,
    block=4,
    count=1,
    detail=b"",
    signature=bytes(65),
)
TX = "0x" + "77" * 32


class Chain:
    """A mainchain that shows what a test puts there."""

    def __init__(self) -> None:
        self.shown: OnChainPolicy | None = None
        self.proven: str | None = None
        self.down = 0
        """How many looks fail."""
        self.policies = SimpleNamespace(policy_of=self._policy_of, events=lambda **_: iter([self._event()]))
        self.log = SimpleNamespace(proof_of_late_service=lambda _: None if self.proven is None else self._event())
        self.rpc = self

    def grant(self, terms: bytes = GRANT.terms) -> None:
        self.shown = OnChainPolicy(OWNER, PolicyStatus.ACTIVE, 1, 2, terms)

    def revoke(self) -> None:
        self.shown = OnChainPolicy(OWNER, PolicyStatus.REVOKED, 1, 2, GRANT.terms)

    def call(self, method: str, params: list[Any]) -> dict[str, Any]:
        assert (method, params) == ("eth_getTransactionReceipt", [TX])
        return {"transactionHash": TX, "blockNumber": "0x9", "gasUsed": "0x5208", "logs": [], "status": "0x1"}

    def _policy_of(self, policy_id: PolicyId) -> OnChainPolicy:
        if self.down:
            self.down -= 1
            raise ChainUnavailableError("the node is away")
        if self.shown is None:
            raise PolicyUnknownError("no such policy")
        return self.shown

    def _event(self) -> SimpleNamespace:
        return SimpleNamespace(tx_hash=TX, block=9)


class Fake:
    """A relay that does what a test says."""

    def __init__(self, name: str, act: Callable[[], object], timeout: float = 0.2) -> None:
        self.name, self.timeout, self._act, self.asked = name, timeout, act, 0

    def grant(self, *_: object) -> object:
        self.asked += 1
        return self._act()

    revoke = convict = grant


def refusing(error: Exception) -> Callable[[], object]:
    def act() -> object:
        raise error

    return act


def relays(chain: Chain, *asked: Fake, grace: float = 60.0) -> Relays:
    return Relays(chain, asked, grace=grace, confirm=0.05, patience=0.05)  # type: ignore[arg-type]


@pytest.fixture
def chain() -> Chain:
    return Chain()


class TestBelief:
    def test_what_the_chain_shows_already_asks_nobody(self, chain: Chain) -> None:
        chain.grant()
        asked = Fake("a", lambda: "mined")
        receipt = relays(chain, asked).grant(GRANT, SIGNATURE)
        assert (receipt.tx_hash, receipt.block, receipt.gas_used, asked.asked) == (TX, 9, 21_000, 0)

    @pytest.mark.parametrize("answer", [None, {}, RpcAnswerError("unknown"), ChainUnavailableError("away")])
    def test_what_the_chain_shows_is_done_whatever_a_node_says_of_its_transaction(
        self, chain: Chain, answer: object
    ) -> None:
        def call(*_: object) -> object:
            if isinstance(answer, Exception):
                raise answer
            return answer

        chain.grant()
        chain.proven = TX
        chain.call = call  # type: ignore[method-assign, assignment]
        asked = relays(chain, Fake("a", lambda: "mined"))

        for receipt in (asked.grant(GRANT, SIGNATURE), asked.convict(EVIDENCE)):
            assert (receipt.tx_hash, receipt.block, receipt.gas_used) == (TX, 9, 0)

    @pytest.mark.parametrize("claim", ["mined", "pending"])
    def test_a_claim_without_a_transaction_counts_for_nothing(self, chain: Chain, claim: str) -> None:
        with pytest.raises(RelaysUnavailableError, match=f"a says {claim}, but the chain doesn't show it"):
            relays(chain, Fake("a", lambda: claim)).grant(GRANT, SIGNATURE)

    def test_another_grant_of_the_same_policy_is_not_this_one(self, chain: Chain) -> None:
        chain.grant(terms=b"\x09" * 32)
        with pytest.raises(RelaysUnavailableError):
            relays(chain, Fake("a", lambda: "mined")).grant(GRANT, SIGNATURE)

    def test_a_revoked_policy_is_never_granted_again(self, chain: Chain) -> None:
        chain.revoke()
        asked = Fake("a", lambda: "mined")
        with pytest.raises(PolicyRevokedError, match="can't be granted any more"):
            relays(chain, asked).grant(GRANT, SIGNATURE)
        assert asked.asked == 0

    def test_a_relay_that_fails_and_did_it_all_the_same_is_enough(self, chain: Chain) -> None:
        def act() -> object:
            chain.revoke()
            raise UnavailableError("the answer was lost")

        assert relays(chain, Fake("a", act)).revoke(OWNER, SIGNATURE).tx_hash == TX

    def test_a_look_that_fails_is_repeated(self, chain: Chain) -> None:
        chain.down = 2
        assert relays(chain, Fake("a", lambda: chain.grant() or "mined")).grant(GRANT, SIGNATURE).tx_hash == TX

    def test_evidence_is_believed_when_the_log_shows_it(self, chain: Chain) -> None:
        def act() -> object:
            chain.proven = TX
            return "mined"

        assert relays(chain, Fake("a", act)).convict(EVIDENCE).tx_hash == TX


class TestOrder:
    def test_the_next_is_asked_only_when_the_first_failed(self, chain: Chain) -> None:
        second = Fake("b", lambda: chain.grant() or "mined")
        third = Fake("c", lambda: "mined")
        relays(chain, Fake("a", refusing(UnavailableError("down"))), second, third).grant(GRANT, SIGNATURE)
        assert (second.asked, third.asked) == (1, 0)

    def test_a_revocation_goes_to_all_at_once(self, chain: Chain) -> None:
        hanging = threading.Event()
        together = threading.Barrier(2)

        def act() -> object:
            # Each waits for the other: one after the other they would never get on.
            together.wait(30)
            chain.revoke()
            return "mined"

        first = Fake("a", lambda: hanging.wait(60), timeout=60)
        try:
            asked = [first, Fake("b", act, timeout=60), Fake("c", act, timeout=60)]
            # The first hangs: it was asked, and is waited for no longer than its grace.
            assert relays(chain, *asked, grace=0.2).revoke(OWNER, SIGNATURE).tx_hash == TX
            assert [one.asked for one in asked] == [1, 1, 1]
        finally:
            hanging.set()

    def test_a_node_that_says_revoked_keeps_no_revocation_back(self, chain: Chain) -> None:
        chain.revoke()
        asked = [Fake("a", refusing(TransactionError("PolicyAlreadyRevoked"))), Fake("b", lambda: "mined")]
        assert relays(chain, *asked).revoke(OWNER, SIGNATURE).tx_hash == TX
        assert [one.asked for one in asked] == [1, 1]

    @pytest.mark.parametrize("error", [IntegrityError("the node lies"), ChainUnavailableError("the node is away")])
    def test_a_node_that_lies_or_is_down_keeps_no_revocation_back(self, chain: Chain, error: Exception) -> None:
        def look(_: PolicyId) -> OnChainPolicy:
            raise error

        chain.policies.policy_of = look
        asked = [Fake("a", lambda: "mined"), Fake("b", refusing(UnavailableError("down")))]
        with pytest.raises(RelaysUnavailableError, match="a says mined, but the chain doesn't show it") as caught:
            relays(chain, *asked).revoke(OWNER, SIGNATURE)
        assert ([one.asked for one in asked], caught.value.taken) == ([1, 1], 1)

    def test_all_are_named_when_none_does_it(self, chain: Chain) -> None:
        never = threading.Event()
        asked = [
            Fake("a", refusing(UnavailableError("down"))),
            Fake("b", refusing(ZeroDivisionError())),
            Fake("c", lambda: "pending"),
            Fake("d", lambda: never.wait(60)),
        ]
        with pytest.raises(RelaysUnavailableError, match="after 4 relays were asked") as caught:
            relays(chain, *asked).grant(GRANT, SIGNATURE)
        never.set()
        for words in ("a: down", "b: unforeseen ZeroDivisionError", "c says pending", "d: no answer in time"):
            assert words in str(caught.value)
        assert "doctor" in caught.value.hint

    def test_a_refusal_of_all_is_the_contracts(self, chain: Chain) -> None:
        asked = [Fake(name, refusing(TransactionError("no", reason="PolicyDeadlineOver"))) for name in "ab"]
        with pytest.raises(TransactionError) as caught:
            relays(chain, *asked).grant(GRANT, SIGNATURE)
        assert caught.value.reason == "PolicyDeadlineOver"
        assert [one.asked for one in asked] == [1, 1]

    def test_a_refusal_of_one_may_be_a_lie(self, chain: Chain) -> None:
        asked = [Fake("a", refusing(TransactionError("no"))), Fake("b", refusing(UnavailableError("down")))]
        with pytest.raises(RelaysUnavailableError):
            relays(chain, *asked).grant(GRANT, SIGNATURE)


class TestOpen:
    def test_none_is_a_configuration_error(self, chain: Chain) -> None:
        with pytest.raises(ConfigurationError, match="names no relay"):
            open_relay(chain, [], own=None, timeout=1)  # type: ignore[arg-type]

    def test_the_own_account_comes_last(self, chain: Chain) -> None:
        own: Any = SimpleNamespace()
        assert isinstance(open_relay(chain, [], own=own, timeout=1), LocalRelay)  # type: ignore[arg-type]
        both = open_relay(chain, ["http://127.0.0.1:1"], own=own, timeout=1)  # type: ignore[arg-type]
        assert isinstance(both, Relays)
        assert [type(one) for one in both._relays] == [RemoteRelay, LocalRelay]

    def test_an_authority_that_can_not_be_read_is_told(self, chain: Chain, tmp_path: Path) -> None:
        missing = tmp_path / "ca.pem"
        with pytest.raises(ConfigurationError):
            open_relay(chain, ["https://relay.test"], own=None, timeout=1, ca=missing)  # type: ignore[arg-type]


class Server:
    """A relay on loopback that answers what a test says."""

    def __init__(self) -> None:
        self.status, self.body = 200, b'{"state": "mined"}'
        self.asked: list[tuple[str, dict[str, Any]]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                server.asked.append((self.path, json.loads(body)))
                self.send_response(server.status)
                self.send_header("content-length", str(len(server.body)))
                self.end_headers()
                self.wfile.write(server.body)

            def log_message(self, *_: object) -> None:
                return

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(30)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


class TestRemote:
    @pytest.fixture
    def remote(self, server: Server) -> RemoteRelay:
        return RemoteRelay(server.url, timeout=30)

    def test_a_grant_is_sent_as_the_specification_says(self, server: Server, remote: RemoteRelay) -> None:
        assert remote.grant(replace(GRANT, view_tag=7), SIGNATURE) == "mined"
        path, fields = server.asked[0]
        assert path == "/v1/grant"
        assert fields == {
            "policy_id": OWNER,
            "starts_at": 1,
            "expires_at": 2,
            "deadline": 3,
            "view_tag": 7,
            "terms": "05" * 32,
            "announcement": "00" * 32,
            "disclosure": "00" * 32,
            "signature": "06" * 64,
        }

    def test_a_revocation_and_evidence_have_paths_of_their_own(self, server: Server, remote: RemoteRelay) -> None:
        server.status, server.body = 202, b'{"state": "pending"}'
        assert remote.revoke(OWNER, SIGNATURE) == "pending"
        assert remote.convict(EVIDENCE) == "pending"
        assert [path for path, _ in server.asked] == ["/v1/revoke", "/v1/evidence"]
        assert server.asked[1][1]["receipt"]["proxy"] == EVIDENCE.proxy

    def test_what_would_revert_is_a_transaction_error(self, server: Server, remote: RemoteRelay) -> None:
        server.status = 422
        server.body = json.dumps({"type": "x/would-revert", "detail": "PolicyDeadlineOver" * 99}).encode()
        with pytest.raises(TransactionError, match="refuses: PolicyDeadlineOver") as caught:
            remote.grant(GRANT, SIGNATURE)
        assert len(caught.value.reason) == 200

    @pytest.mark.usefixtures("ordinary_depth")
    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (200, b""),
            (200, b"[]"),
            (200, b"null"),
            (200, b"[" * 60_000),
            (200, b"{}"),
            (200, b'{"state": "done"}'),
            (200, b'{"state": ["mined"]}'),
            (404, b'{"state": "mined"}'),
            (503, b'{"type": "x/busy", "detail": "later"}'),
            (200, b" " * (subject._MAX_ANSWER + 1)),
        ],
    )
    def test_an_answer_that_claims_nothing_is_none(
        self, server: Server, remote: RemoteRelay, status: int, body: bytes
    ) -> None:
        server.status, server.body = status, body
        with pytest.raises(UnavailableError):
            remote.revoke(OWNER, SIGNATURE)

    @pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[", "ftp://127.0.0.1"])
    def test_nobody_at_the_url_is_unavailable(self, url: str) -> None:
        with pytest.raises(UnavailableError, match="no answer"):
            RemoteRelay(url, timeout=30).revoke(OWNER, SIGNATURE)


def test_the_own_account_pays_for_each_kind_and_waits_itself() -> None:
    done: list[tuple[str, object]] = []
    chain: Any = SimpleNamespace(
        policies=SimpleNamespace(
            grant_by_signature=lambda *given: done.append(("grant", given)),
            revoke_by_signature=lambda *given: done.append(("revoke", given)),
        ),
        log=SimpleNamespace(prove_late_service=lambda *given: done.append(("convict", given))),
    )
    sender: Any = SimpleNamespace()
    local = LocalRelay(chain, sender)
    local.grant(GRANT, SIGNATURE)
    local.revoke(OWNER, SIGNATURE)
    local.convict(EVIDENCE)
    assert done == [
        ("grant", (sender, GRANT, SIGNATURE)),
        ("revoke", (sender, OWNER, SIGNATURE)),
        ("convict", (sender, EVIDENCE)),
    ]
