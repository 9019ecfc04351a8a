"""Anchoring: a log that has grown is anchored, at intervals and at the end, and a failing chain stops nothing."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.errors import ChainUnavailableError
from panachain.service.proxy.anchoring import Anchoring

PROXY = "0x" + "11" * 20


class Chain:
    """Remembers anchors; refuses the first `failures` of them."""

    def __init__(self, failures: int = 0) -> None:
        self.newest: tuple[int, bytes] = (0, bytes(32))
        self.failures = failures
        self.anchors: list[int] = []
        self.reached = threading.Event()
        self.log = self

    def anchor_of(self, proxy: str) -> tuple[int, bytes]:
        assert proxy == PROXY
        return self.newest

    def sign_anchor(self, account: Any, sequence: int, head: bytes) -> bytes:
        return bytes([sequence])

    def anchor(self, sender: Any, proxy: str, sequence: int, head: bytes, signature: bytes) -> None:
        assert (proxy, signature) == (PROXY, bytes([sequence]))
        if self.failures:
            self.failures -= 1
            raise ChainUnavailableError("down")
        self.newest = sequence, head
        self.anchors.append(sequence)
        self.reached.set()


def anchoring(chain: Chain, sequence: int, every: float) -> tuple[Anchoring, SimpleNamespace]:
    log = SimpleNamespace(sequence=sequence)
    log.head = lambda: (log.sequence, log.sequence.to_bytes(32, "big"))
    return Anchoring(chain, SimpleNamespace(address=PROXY, account=None), log, every=every), log  # type: ignore[arg-type]


def test_anchors_only_what_has_grown() -> None:
    chain = Chain()
    made, log = anchoring(chain, 0, 60)
    assert not made.anchor()
    log.sequence = 3
    assert made.anchor()
    assert not made.anchor()
    assert chain.anchors == [3]


def test_anchors_at_intervals_and_goes_on_when_the_chain_is_down() -> None:
    chain = Chain(failures=2)
    made, _ = anchoring(chain, 5, 0.01)
    with made:
        assert chain.reached.wait(10)
    assert chain.anchors == [5]


def test_anchors_once_more_at_the_end() -> None:
    chain = Chain()
    made, _ = anchoring(chain, 7, 3600)
    with made:
        pass
    assert chain.anchors == [7]


@pytest.mark.parametrize("sequence", [0, 4])
def test_zero_turns_it_off(sequence: int) -> None:
    chain = Chain()
    made, _ = anchoring(chain, sequence, 0)
    with made:
        pass
    assert chain.anchors == []


def test_a_duty_that_fails_does_not_keep_from_anchoring() -> None:
    chain = Chain()
    _, log = anchoring(chain, 5, 0.01)

    def fail() -> None:
        raise ChainUnavailableError("down")

    with Anchoring(chain, SimpleNamespace(address=PROXY, account=None), log, every=0.01, also=fail):  # type: ignore[arg-type]
        assert chain.reached.wait(10)
    assert chain.anchors == [5]


def test_leaves_the_end_to_another_where_told() -> None:
    chain = Chain()
    _, log = anchoring(chain, 7, 3600)
    with Anchoring(chain, SimpleNamespace(address=PROXY, account=None), log, every=3600, at_end=False):  # type: ignore[arg-type]
        pass
    assert chain.anchors == []
