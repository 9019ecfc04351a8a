"""An issuer's database holds counts, for two periods, and opens for its owner only."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from panachain.chain.issuing import TokenRequest
from panachain.errors import DiskError
from panachain.model.actors import Address
from panachain.service.issuer.store import IssuerStore

PATIENT = Address("0x" + "55" * 20)


def request(period: int, *blinded: bytes) -> TokenRequest:
    return TokenRequest(PATIENT, period, blinded, 50)


def test_counts_over_restarts_and_forgets_what_is_over(tmp_path: Path) -> None:
    store = IssuerStore(tmp_path / "i.sqlite")
    assert store.take(request(1, b"a", b"b"), most=3)
    assert not store.take(request(1, b"c", b"d"), most=3)
    store.close()
    store = IssuerStore(tmp_path / "i.sqlite")
    assert store.take(request(1, b"a", b"b"), most=3)
    assert store.take(request(1, b"e"), most=3)
    assert not store.take(request(1, b"f"), most=3)
    assert store.take(request(3, b"g"), most=3)
    assert store._db.execute("SELECT period, count FROM issued").fetchall() == [(3, 1)]
    store.close()


def test_is_its_owners(tmp_path: Path) -> None:
    IssuerStore(tmp_path / "i.sqlite").close()
    assert stat.S_IMODE((tmp_path / "i.sqlite").stat().st_mode) == 0o600


def test_what_is_no_database_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "i.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(DiskError):
        IssuerStore(tmp_path / "i.sqlite")
