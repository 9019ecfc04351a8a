"""An issuer's database holds counts, for two periods, and opens for its owner only."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from panachain.chain.issuing import TokenRequest
from panachain.errors import DiskError
from panachain.model.actors import Address
from panachain.service.database import Place
from panachain.service.issuer.store import IssuerStore
from tests.unit.service.postgresql import KINDS, empty_database, shared_postgresql

PATIENT = Address("0x" + "55" * 20)


def request(period: int, *blinded: bytes) -> TokenRequest:
    return TokenRequest(PATIENT, period, blinded, 50)


@pytest.fixture(params=["sqlite", *KINDS])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return Place("i.sqlite", tmp_path)
    return Place(empty_database(shared_postgresql(request.param)).render_as_string(), tmp_path)


def test_counts_over_restarts_and_forgets_what_is_over(place: Place) -> None:
    store = IssuerStore(place)
    assert store.take(request(1, b"a", b"b"), most=3)
    assert not store.take(request(1, b"c", b"d"), most=3)
    store.close()
    store = IssuerStore(place)
    assert store.take(request(1, b"a", b"b"), most=3)
    assert store.take(request(1, b"e"), most=3)
    assert not store.take(request(1, b"f"), most=3)
    assert store.take(request(3, b"g"), most=3)
    with store._durable.writing() as db:
        assert [tuple(row) for row in db.run("SELECT period, count FROM issued").fetchall()] == [(3, 1)]
    store.close()


def test_is_its_owners(tmp_path: Path) -> None:
    IssuerStore(tmp_path / "i.sqlite").close()
    assert stat.S_IMODE((tmp_path / "i.sqlite").stat().st_mode) == 0o600


def test_what_is_no_database_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "i.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(DiskError):
        IssuerStore(tmp_path / "i.sqlite")
