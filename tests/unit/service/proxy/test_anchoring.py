"""Anchoring: a log that has grown is anchored, and one that hasn't costs nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from panachain.errors import ChainUnavailableError, UnavailableError
from panachain.service.proxy.anchoring import Anchoring

PROXY = "0x" + "11" * 20


class Chain:
    """Remembers anchors; refuses the first `failures` of them."""

    def __init__(self, failures: int = 0) -> None:
        self.newest: tuple[int, bytes] = (0, bytes(32))
        self.failures = failures
        self.anchors: list[int] = []
        self.asked = 0
        self.log = self

    def anchor_of(self, proxy: str) -> tuple[int, bytes]:
        assert proxy == PROXY
        self.asked += 1
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


def anchoring(chain: Chain, sequence: int) -> tuple[Anchoring, SimpleNamespace]:
    log = SimpleNamespace(sequence=sequence)
    log.head = lambda: (log.sequence, log.sequence.to_bytes(32, "big"))
    log.hash_at = lambda number: number.to_bytes(32, "big") if 0 < number <= log.sequence else None
    return Anchoring(chain, SimpleNamespace(address=PROXY, account=None), log), log  # type: ignore[arg-type]


def test_anchors_only_what_has_grown() -> None:
    chain = Chain()
    made, log = anchoring(chain, 0)
    assert not made.anchor()
    log.sequence = 3
    assert made.anchor()
    assert not made.anchor()
    assert chain.anchors == [3]


def test_what_the_chain_refused_is_anchored_at_the_next_turn() -> None:
    chain = Chain(failures=1)
    made, _ = anchoring(chain, 5)
    with pytest.raises(ChainUnavailableError):
        made.anchor()
    assert made.anchor()
    assert chain.anchors == [5]


def test_a_chain_that_has_more_than_the_log_is_left_alone() -> None:
    chain = Chain()
    chain.newest = 9, bytes(32)
    made, _ = anchoring(chain, 5)
    assert not made.anchor()


@pytest.mark.parametrize("anchored", [0, 1, 5])
def test_a_log_that_holds_its_anchor_fits_and_is_asked_for_once(anchored: int) -> None:
    chain = Chain()
    chain.newest = anchored, anchored.to_bytes(32, "big")
    made, log = anchoring(chain, 5)
    made.check_log()
    log.sequence = 0
    made.check_log()
    assert chain.asked == 1


@pytest.mark.parametrize("newest", [(6, (6).to_bytes(32, "big")), (5, b"\x01" * 32), (2, bytes(32))])
def test_a_log_that_was_set_back_or_is_another_fits_never(newest: tuple[int, bytes]) -> None:
    chain = Chain()
    chain.newest = newest
    made, log = anchoring(chain, 5)
    for _ in range(2):
        with pytest.raises(UnavailableError, match=rf"ends with receipt 5 .* receipt {newest[0]} is anchored"):
            made.check_log()
    # The newest database was found after all.
    chain.newest = 6, (6).to_bytes(32, "big")
    log.sequence = 6
    made.check_log()


def test_a_chain_that_does_not_answer_is_asked_again() -> None:
    chain = Chain()
    made, _ = anchoring(chain, 5)
    chain.anchor_of = lambda proxy: (_ for _ in ()).throw(ChainUnavailableError("down"))  # type: ignore[method-assign]
    with pytest.raises(ChainUnavailableError):
        made.check_log()
    del chain.anchor_of
    made.check_log()
    assert chain.asked == 1
