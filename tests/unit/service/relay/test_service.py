"""The relay's duties without HTTP and without a chain: what is paid, what isn't, and what goes together."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.evm import Receipt
from panachain.errors import ChainUnavailableError, TransactionError, UnavailableError
from panachain.service.problems import ProblemError
from panachain.service.relay.service import Budget, RelayService
from panachain.service.relay.store import RelayStore
from tests.unit.service.loopback import wait_for
from tests.unit.service.relay.world import TwinMainchain, TwinSender, even, policy_id, running, signed_grant

ESTIMATE = 0x10000 * 12 // 10
"""Gas that is put aside for each order of the twin."""


class Held(TwinSender):
    """A sender that mines nothing before the test says so."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.go_on = threading.Event()

    def send(self, to: str, data: str, *, what: str, signed: Any) -> Receipt:
        self.sent.append(data)
        receipt = super().send(to, data, what=what, signed=signed)
        assert self.go_on.wait(60)
        return receipt


def grant(service: RelayService, number: int) -> Any:
    return service.submit(service.grant(*signed_grant(number)))


def test_an_order_is_paid_and_told(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        outcome = grant(service, 1).result(timeout=60)
        assert (outcome.state, outcome.block, outcome.gas_used) == ("mined", 7, 50_000)
        assert service.left()[0] == 10**9 - 50_000


def test_the_same_order_again_is_the_same_outcome_also_after_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        first = grant(service, 1).result(timeout=60)
        assert grant(service, 1).result(timeout=60) == first
    with running(tmp_path) as service:
        assert grant(service, 1).result(timeout=60) == first
        assert service.left()[0] == 10**9 - 50_000


def test_what_the_contract_would_refuse_is_not_paid(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        odd = replace(service.grant(*signed_grant(1)), data="0x01")
        with pytest.raises(ProblemError) as caught:
            service.submit(odd)
        assert caught.value.kind.slug == "would-revert"
        assert service.left()[0] == 10**9


def test_what_waits_counts_against_the_budget(tmp_path: Path) -> None:
    sender = Held()
    with running(tmp_path, budget=Budget(2 * ESTIMATE, 0), sender=sender) as service:
        futures = [grant(service, number) for number in (1, 2)]
        with pytest.raises(ProblemError) as caught:
            grant(service, 3)
        assert caught.value.kind.slug == "budget-exhausted"
        sender.go_on.set()
        assert [future.result(timeout=60).state for future in futures] == ["mined"] * 2


def test_the_reserve_is_not_for_policies_that_nobody_granted(tmp_path: Path) -> None:
    with running(tmp_path, budget=Budget(0, 10 * ESTIMATE)) as service, pytest.raises(ProblemError, match="gas"):
        service.submit(service.revocation(policy_id(1), even()))


def sent_for_five(tmp_path: Path, **options: int) -> int:
    """Return how many transactions five policies are, of which four come while the first is under way alone."""
    sender = Held()
    with running(tmp_path, sender=sender, **options) as service:
        futures = [grant(service, 1)]
        assert wait_for(lambda: len(sender.sent) == 1)
        futures += [grant(service, number) for number in range(2, 6)]
        sender.go_on.set()
        assert {future.result(timeout=60).state for future in futures} == {"mined"}
    return len(sender.sent)


@pytest.mark.parametrize(("most", "transactions"), [(2, 3), (50, 2)])
def test_what_waits_goes_together_up_to_a_number(tmp_path: Path, most: int, transactions: int) -> None:
    assert sent_for_five(tmp_path, max_batch=most) == transactions


@pytest.mark.parametrize(("block", "transactions"), [(30_000_000, 2), (4 * ESTIMATE, 3), (2 * ESTIMATE, 5), (1, 5)])
def test_what_goes_together_fits_half_of_a_block(tmp_path: Path, block: int, transactions: int) -> None:
    assert sent_for_five(tmp_path, block_gas=block) == transactions


@pytest.mark.deep
def test_a_thousand_that_wait_go_in_as_few_transactions_as_gas_allows_and_more_do_not_wait(tmp_path: Path) -> None:
    """Whatever `maxBatch` says: the limit of a transaction is its gas, never how many policies there are."""
    sender = Held()
    with running(tmp_path, sender=sender, max_batch=100_000, block_gas=10**9) as service:
        futures = [grant(service, 1)]
        assert wait_for(lambda: len(sender.sent) == 1)
        futures += [grant(service, number) for number in range(2, 1002)]
        with pytest.raises(UnavailableError, match="1000 transactions wait already"):
            grant(service, 1002)
        sender.go_on.set()
        assert {future.result(timeout=120).state for future in futures} == {"mined"}
    assert len(sender.sent) == 1 + math.ceil(1000 / (12_000_000 // ESTIMATE))


def test_a_node_that_does_not_say_how_large_blocks_are_is_told(tmp_path: Path) -> None:
    sender = Held()
    with running(tmp_path, sender=sender, block_gas=-1) as service:
        first = grant(service, 1)
        assert wait_for(lambda: len(sender.sent) == 1)
        others = [grant(service, number) for number in (2, 3)]
        sender.go_on.set()
        assert first.result(timeout=60).state == "mined"
        for future in others:
            with pytest.raises(UnavailableError, match="can't pay now"):
                future.result(timeout=60)


def test_a_revocation_does_not_wait_for_a_grant(tmp_path: Path) -> None:
    sender = Held()
    with running(tmp_path, sender=sender) as service:
        first = grant(service, 1)
        assert wait_for(lambda: len(sender.sent) == 1)
        revoked = service.submit(service.revocation(policy_id(9), even()))
        assert wait_for(lambda: len(sender.sent) == 2)
        assert not first.done()
        sender.go_on.set()
        assert revoked.result(timeout=60).state == "mined"


class Failing(TwinSender):
    """A sender that fails, before or after it signed."""

    def __init__(self, error: Exception, *, signs: bool) -> None:
        self._error = error
        self._signs = signs

    def send(self, to: str, data: str, *, what: str, signed: Any) -> Receipt:
        if self._signs:
            signed("0x" + "11" * 32, "0x02")
        raise self._error


@pytest.mark.parametrize("error", [ChainUnavailableError("gone"), RuntimeError("unforeseen")])
def test_a_failed_order_is_told_and_nobody_waits_for_ever(tmp_path: Path, error: Exception) -> None:
    with running(tmp_path, sender=Failing(error, signs=False)) as service:
        with pytest.raises(UnavailableError):
            grant(service, 1).result(timeout=60)
        # The worker outlived it.
        with pytest.raises(UnavailableError):
            grant(service, 2).result(timeout=60)


def test_an_order_whose_answer_was_lost_is_pending_and_keeps_its_gas(tmp_path: Path) -> None:
    with running(tmp_path, sender=Failing(ChainUnavailableError("lost"), signs=True)) as service:
        outcome = grant(service, 1).result(timeout=60)
        assert (outcome.state, outcome.tx_hash) == ("pending", "0x" + "11" * 32)
        assert service.left()[0] == 10**9 - ESTIMATE


class TestWatch:
    """What became of transactions that an earlier run left open."""

    def watched(self, folder: Path, resend: Callable[..., Any], *, signs: bool = True) -> tuple[int, Any]:
        """Return the gas that counts, and the payment, after one look."""
        store = RelayStore(folder / "relay.sqlite")
        number = store.begin(["key"], 99_999)
        if signs:
            store.signed(number, "0x" + "11" * 32, "0x02")
        sender: Any = TwinSender()
        sender.resend = resend
        service = RelayService(TwinMainchain(), sender, store, Budget(1, 1))
        try:
            service.watch()
        finally:
            found = store.spent(), store.payment_of("key")
            store.close()
        return found

    def test_a_mined_one_is_noted(self, tmp_path: Path) -> None:
        spent, payment = self.watched(tmp_path, lambda *_, **__: Receipt("0xaa", 8, 60_000))
        assert (spent, payment.state, payment.tx_hash, payment.block) == (60_000, "mined", "0xaa", 8)

    def test_one_that_can_not_be_mined_any_more_is_forgotten(self, tmp_path: Path) -> None:
        assert self.watched(tmp_path, lambda *_, **__: None) == (0, None)

    def test_one_that_was_never_signed_is_forgotten_without_asking(self, tmp_path: Path) -> None:
        def never(*_: Any, **__: Any) -> None:
            raise AssertionError

        assert self.watched(tmp_path, never, signs=False) == (0, None)

    def test_one_that_nobody_knows_of_stays_open(self, tmp_path: Path) -> None:
        def down(*_: Any, **__: Any) -> None:
            raise ChainUnavailableError("gone")

        with pytest.raises(ChainUnavailableError):
            self.watched(tmp_path, down)
        store = RelayStore(tmp_path / "relay.sqlite")
        assert (store.spent(), len(store.open_payments())) == (99_999, 1)
        store.close()

    def test_a_reverted_one_stays_paid_and_its_order_may_come_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def answer(_: TwinMainchain, method: str, params: Any = ()) -> Any:
            if method != "eth_getTransactionReceipt":
                return "0x1"
            return {
                "transactionHash": params[0],
                "blockNumber": "0x7",
                "gasUsed": "0xc350",
                "logs": [],
                "status": "0x0",
            }

        def reverted(*_: Any, **__: Any) -> None:
            raise TransactionError("reverted")

        monkeypatch.setattr(TwinMainchain, "answer", answer)
        assert self.watched(tmp_path, reverted) == (99_999, None)
