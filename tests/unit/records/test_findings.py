"""Findings: what one part brought about ends that part only, and is told once."""

from __future__ import annotations

import pytest

from panachain.errors import AccessDeniedError, BlockNotFoundError, IntegrityError, TooLargeError
from panachain.records.findings import Findings, Strict

HOSPITAL = "0x52908400098527886E0F7030069857D2E4169EE7"


@pytest.mark.parametrize(
    "error", [IntegrityError("torn"), BlockNotFoundError("gone"), TooLargeError("large", size=2, limit=1)]
)
def test_a_failure_of_one_part_is_kept_with_whose_it_is(error: Exception) -> None:
    findings = Findings()
    with findings.alone(HOSPITAL, "record bafy"):
        raise error
    (found,) = findings.omissions
    assert (found.hospital, found.what, found.error) == (HOSPITAL, "record bafy", error)
    assert findings.notices == []


def test_what_is_left_out_keeps_nothing_that_was_read() -> None:
    findings = Findings()
    with findings.alone(HOSPITAL, "record bafy"):
        try:
            raise ValueError(bytearray(1000))
        except ValueError as exc:
            raise IntegrityError("torn") from exc
    error = findings.omissions[0].error
    assert (error.__traceback__, error.__cause__, error.__context__) == (None, None, None)


@pytest.mark.parametrize("error", [AccessDeniedError("revoked"), OSError("disk"), KeyboardInterrupt()])
def test_what_is_no_hospitals_fault_passes_through(error: BaseException) -> None:
    findings = Findings()
    with pytest.raises(type(error)), findings.alone(HOSPITAL):
        raise error
    assert findings.omissions == []


def test_the_same_is_told_once() -> None:
    findings = Findings()
    for lane in range(3):
        findings.left_out(HOSPITAL, "storage transaction 1", IntegrityError("torn"))
        findings.notice(HOSPITAL, "storage transaction 2", IntegrityError(f"lane {lane}"))
    assert (len(findings.omissions), len(findings.notices)) == (1, 3)


def test_without_a_collector_the_first_omission_is_raised() -> None:
    with pytest.raises(IntegrityError), Strict().alone(HOSPITAL):
        raise IntegrityError("torn")
