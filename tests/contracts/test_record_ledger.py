"""RecordLedger: only active hospitals store, and the head is the fold of what they stored."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import ape
import pytest

from panachain.chain.contracts.record_ledger import RecordLedger
from panachain.chain.mainchain import Mainchain
from tests.contracts.conftest import HOSPITAL, KEYS, NOBODY, PROXY


@pytest.fixture
def admitted(actors: Any, registrar: Any, hospital: Any) -> Any:
    actors.register(hospital, HOSPITAL, KEYS, "", NOBODY, sender=registrar)
    return hospital


class TestStore:
    def test_head_is_the_fold_of_what_was_stored(self, ledger: Any, admitted: Any, chain: Any) -> None:
        mainchain = Mainchain(SimpleNamespace(), {"RecordLedger": ledger.address}, chain.chain_id)  # type: ignore[arg-type]
        first = mainchain.ledger.first_head(admitted.address)
        assert tuple(ledger.ledgerOf(admitted)) == (True, 0, first)
        batches = [(bytes([n]) * 32, n) for n in range(1, 5)]
        for manifest, count in batches:
            ledger.store(manifest, count, sender=admitted)

        assert tuple(ledger.ledgerOf(admitted)) == (True, 4, RecordLedger.fold_heads(first, batches))

    def test_tells_what_the_head_proves(self, ledger: Any, admitted: Any) -> None:
        previous = ledger.ledgerOf(admitted).head

        receipt = ledger.store(b"m" * 32, 7, sender=admitted)

        event = next(iter(receipt.decode_logs(ledger.RecordsStored)))
        assert (event.hospital, event.sequence, event.previous) == (admitted, 1, previous)
        assert (
            RecordLedger.fold_heads(event.previous, [(event.manifest, event.count)]) == ledger.ledgerOf(admitted).head
        )

    def test_rejects_strangers_and_actors_of_other_roles(
        self, actors: Any, ledger: Any, registrar: Any, relay: Any, stranger: Any
    ) -> None:
        actors.register(relay, PROXY, KEYS, "", NOBODY, sender=registrar)
        for caller in (stranger, relay, registrar):
            with ape.reverts(ledger.LedgerNotActiveHospital):
                ledger.store(b"m" * 32, 1, sender=caller)

    def test_rejects_a_suspended_hospital_until_it_is_reinstated(
        self, actors: Any, ledger: Any, registrar: Any, admitted: Any
    ) -> None:
        ledger.store(b"m" * 32, 1, sender=admitted)
        head = ledger.ledgerOf(admitted).head
        actors.suspend(admitted, sender=registrar)
        with ape.reverts(ledger.LedgerNotActiveHospital):
            ledger.store(b"n" * 32, 1, sender=admitted)
        actors.reinstate(admitted, sender=registrar)

        assert tuple(ledger.ledgerOf(admitted)) == (True, 1, head)
        ledger.store(b"n" * 32, 1, sender=admitted)

    def test_reverts_for_an_empty_batch(self, ledger: Any, admitted: Any) -> None:
        for manifest, count in ((bytes(32), 1), (b"m" * 32, 0)):
            with ape.reverts(ledger.LedgerEmptyBatch):
                ledger.store(manifest, count, sender=admitted)


class TestSetAdmitted:
    def test_rejects_everybody_but_the_registry(self, ledger: Any, registrar: Any, stranger: Any, admin: Any) -> None:
        for caller in (stranger, registrar, admin):
            with ape.reverts(ledger.LedgerNotRegistry):
                ledger.setAdmitted(stranger, True, sender=caller)


class TestLedgerOf:
    def test_is_empty_for_a_stranger(self, ledger: Any, stranger: Any) -> None:
        assert tuple(ledger.ledgerOf(stranger)) == (False, 0, bytes(32))
