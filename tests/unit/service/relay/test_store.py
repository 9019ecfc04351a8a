"""What a relay remembers, in virtual time: costs for a day, requests as long as they may come again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from panachain.errors import DiskError
from panachain.service.database import Place
from panachain.service.relay.store import DAY, RelayStore
from tests.unit.service.postgresql import KINDS, empty_database, shared_postgresql

HASH, RAW = "0x" + "11" * 32, "0x02"


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", *KINDS])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return Place("own.sqlite", tmp_path)
    return Place(empty_database(shared_postgresql(request.param)).render_as_string(), tmp_path)


@pytest.fixture
def store(place: Place, clock: Clock) -> Iterator[RelayStore]:
    made = RelayStore(place, clock=clock)
    yield made
    made.close()


def test_gas_that_is_put_aside_counts_until_it_is_known(store: RelayStore) -> None:
    number = store.begin(["a", "b"], 100_000)
    assert store.spent() == 100_000
    store.signed(number, HASH, RAW)
    store.mined(number, HASH, 7, 60_000)
    assert store.spent() == 60_000
    for key in ("a", "b"):
        payment = store.payment_of(key)
        assert payment is not None
        assert (payment.state, payment.tx_hash, payment.block, payment.gas) == ("mined", HASH, 7, 60_000)


def test_a_cost_counts_for_a_day(store: RelayStore, clock: Clock) -> None:
    store.mined(store.begin(["a"], 5), HASH, 1, 5)
    clock.now += DAY - 1
    assert store.spent() == 5
    clock.now += 1
    assert store.spent() == 0


def test_a_request_is_known_for_two_days_and_forgotten_with_a_later_payment(store: RelayStore, clock: Clock) -> None:
    store.mined(store.begin(["a"], 5), HASH, 1, 5)
    clock.now += 2 * DAY
    store.begin(["b"], 5)
    assert store.payment_of("a") is not None
    clock.now += 1
    store.begin(["c"], 5)
    assert store.payment_of("a") is None


def test_a_reverted_transaction_was_paid_and_its_requests_may_come_again(store: RelayStore) -> None:
    number = store.begin(["a"], 5)
    store.signed(number, HASH, RAW)
    store.failed(number)
    assert (store.spent(), store.payment_of("a"), store.open_payments()) == (5, None, [])


def test_what_was_never_sent_costs_nothing(store: RelayStore) -> None:
    number = store.begin(["a"], 5)
    store.drop(number)
    assert (store.spent(), store.payment_of("a"), store.open_payments()) == (0, None, [])


def test_open_payments_are_told_with_all_that_was_signed_also_after_a_restart(place: Place, clock: Clock) -> None:
    first = RelayStore(place, clock=clock)
    number, unsigned = first.begin(["a"], 5), first.begin(["b"], 6)
    first.signed(number, HASH, RAW)
    first.signed(number, "0x22", "0x03")
    first.close()
    again = RelayStore(place, clock=clock)
    assert again.open_payments() == [(number, [(HASH, RAW), ("0x22", "0x03")]), (unsigned, [])]
    assert again.spent() == 11
    again.close()


def test_it_is_private_and_one_relays_only(tmp_path: Path) -> None:
    first = RelayStore(tmp_path / "own.sqlite")
    assert (tmp_path / "own.sqlite").stat().st_mode & 0o777 == 0o600
    with pytest.raises(DiskError, match="another relay"):
        RelayStore(tmp_path / "own.sqlite")
    first.close()
    RelayStore(tmp_path / "own.sqlite").close()


def test_a_file_that_is_no_database_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "own.sqlite").write_bytes(b"this isn't a database, and never was one" * 200)
    with pytest.raises(DiskError):
        RelayStore(tmp_path / "own.sqlite")
