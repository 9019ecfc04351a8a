"""Accounts that stand for a delay in a patient's emergencies."""

from __future__ import annotations

import hashlib

from panachain.model.actors import Address
from panachain.model.emergencies import DELAYS, LASTS, STEP, TOLERANCE, delay_of, waiting_account
from panachain.model.transactions import NO_WAIT, Emergency, Wait, opens_first

PATIENT = Address("0x" + "a1" * 20)
OTHER = Address("0x" + "a2" * 20)


def account(patient: Address, delay: int) -> Address:
    return Address("0x" + waiting_account(patient, delay).hex())


def test_the_patient_stands_for_at_once_and_each_delay_has_an_account() -> None:
    assert (LASTS, STEP, DELAYS[0], DELAYS[-1], len(DELAYS)) == (14_400, 900, 900, 13_500, 15)
    assert delay_of(PATIENT, PATIENT) == 0
    assert [delay_of(PATIENT, account(PATIENT, delay)) for delay in DELAYS] == list(DELAYS)
    assert len({waiting_account(patient, delay) for patient in (PATIENT, OTHER) for delay in DELAYS}) == 2 * len(DELAYS)


def test_it_is_of_one_patient_and_of_delays_that_an_emergency_lasts_for() -> None:
    assert delay_of(OTHER, account(PATIENT, 900)) is None
    assert delay_of(PATIENT, OTHER) is None
    for delay in (0, 1, 901, LASTS, LASTS + 900):
        assert delay_of(PATIENT, account(PATIENT, delay)) is None


def test_what_is_believed_of_a_stamp_is_less_than_any_delay() -> None:
    assert 0 < TOLERANCE < DELAYS[0]


def test_the_form_is_that_of_the_specification() -> None:
    named = b"emergency after " + bytes.fromhex("00000708") + b"\xa1" * 20
    assert waiting_account(PATIENT, 1800) == hashlib.sha256(named).digest()[:20]


def test_of_several_emergencies_one_in_which_it_opens_comes_first() -> None:
    now, waits = 1_800_000_000, account(PATIENT, 900)

    def active(number: int, end: int) -> Emergency:
        return Emergency(number, OTHER, PATIENT, b"", now, expires_at=now + end)

    def opens(*emergencies: Emergency, since: int = 0) -> Wait | None:
        return opens_first(emergencies, waits, counted=lambda _: now + since)

    assert opens(active(1, 1000)) == Wait(now + 900)
    # It is over as it would open.
    assert opens(active(1, 900)) == Wait(now + 900, in_time=False)
    assert opens(active(1, 500), active(2, 300)) == Wait(now + 300, in_time=False)
    # That one ends in which it doesn't open says nothing of one in which it opens at that moment.
    assert opens(active(1, 900), active(2, 1000)) == Wait(now + 900)
    assert opens() is None
    assert opens_first([active(1, 900)], PATIENT, counted=lambda _: now) == NO_WAIT
    assert opens_first([active(1, 900)], OTHER, counted=lambda _: now) is None
