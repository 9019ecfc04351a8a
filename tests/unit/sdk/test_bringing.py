"""Several relays, of which none is believed: the chain says whether one did what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from panachain.chain.evm import Receipt
from panachain.errors import (
    IntegrityError,
    PanaChainError,
    RelaysUnavailableError,
    TransactionError,
    UnavailableError,
)
from panachain.sdk.bringing import Desk, Patience, bring
from tests.unit.wire.test_transport import answering

DONE = Receipt("0x" + "aa" * 32, 9, 21_000)
BRIEF = Patience(grace=0.05, confirm=0.05, pending=0.05, longest=5.0)


@dataclass
class Relay:
    """Says what a test wants it to say."""

    name: str
    says: str | PanaChainError | None = "mined"
    does: Callable[[], None] = lambda: None
    timeout: float = 5.0
    asked: int = field(default=0)

    def ask(self) -> str | None:
        self.asked += 1
        if isinstance(self.says, PanaChainError):
            raise self.says
        self.does()
        return self.says


@dataclass
class Chain:
    """Shows what was done."""

    done: threading.Event = field(default_factory=threading.Event)

    def look(self) -> Receipt | None:
        return DONE if self.done.is_set() else None


@pytest.fixture
def chain() -> Chain:
    return Chain()


def bringing(chain: Chain, *relays: Relay, at_once: bool = False) -> Receipt:
    return bring("the call", relays, Relay.ask, chain.look, patience=BRIEF, at_once=at_once)


def test_the_first_that_does_it_is_the_last_that_is_asked(chain: Chain) -> None:
    first, second = Relay("one", does=chain.done.set), Relay("two")
    assert bringing(chain, first, second) == DONE
    assert (first.asked, second.asked) == (1, 0)


def test_a_liar_is_passed_over(chain: Chain) -> None:
    liar, honest = Relay("liar"), Relay("honest", does=chain.done.set)
    assert bringing(chain, liar, honest) == DONE
    assert (liar.asked, honest.asked) == (1, 1)


def test_all_are_asked_at_once_even_when_the_chain_shows_it(chain: Chain) -> None:
    chain.done.set()
    relays = [Relay("one"), Relay("two")]
    assert bringing(chain, *relays, at_once=True) == DONE
    assert [one.asked for one in relays] == [1, 1]


def test_each_that_didnt_is_named_with_its_reason(chain: Chain) -> None:
    relays = [Relay("liar"), Relay("down", UnavailableError("no answer"))]
    with pytest.raises(RelaysUnavailableError, match="liar says mined, but the chain doesn't show it; down: no answer"):
        bringing(chain, *relays)


def test_what_every_relay_refuses_is_refused(chain: Chain) -> None:
    refusal = TransactionError("refuses: it", reason="RequestNotOpen(id=1, state=2)")
    with pytest.raises(TransactionError) as caught:
        bringing(chain, Relay("one", refusal), Relay("two", refusal))
    assert caught.value.reason == refusal.reason


def test_a_chain_that_lies_stops_it_unless_all_were_asked_at_once(chain: Chain) -> None:
    def lie() -> Receipt | None:
        if chain.done.is_set():
            return DONE
        raise IntegrityError("a lie")

    relay = Relay("one", does=chain.done.set)
    with pytest.raises(IntegrityError):
        bring("the call", [Relay("one")], Relay.ask, lie, patience=BRIEF)
    assert bring("the call", [relay], Relay.ask, lie, patience=BRIEF, at_once=True) == DONE


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (200, {"state": "mined"}, "mined"),
        (202, {"state": "pending"}, "pending"),
        (200, {"state": "eaten"}, UnavailableError),
        (409, {"type": "/would-revert", "detail": "RequestUnknownPatient(patient=0x01)"}, TransactionError),
        (503, {"type": "/budget-exhausted", "detail": "nothing left"}, UnavailableError),
        (200, [], UnavailableError),
    ],
)
def test_an_answer_is_a_claim_of_its_form_or_none(
    status: int, answer: object, expected: str | type[PanaChainError]
) -> None:
    content = json.dumps(answer)
    with answering(f"HTTP/1.1 {status} so\r\nContent-Length: {len(content)}\r\n\r\n{content}".encode()) as url:
        desk = Desk(url, timeout=10.0)
        if isinstance(expected, str):
            assert desk.post("/v1/call", {}) == expected
        else:
            with pytest.raises(expected):
                desk.post("/v1/call", {})
