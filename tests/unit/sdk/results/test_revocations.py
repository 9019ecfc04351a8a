"""How far a revocation has come, and receipts that anybody can check."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panachain.sdk.results.revocations import SubmissionReport
from tests.unit.sdk.results.samples import RECEIPT, REVOKED, WHO


class TestRevocation:
    @pytest.mark.parametrize(
        ("change", "stage", "final"),
        [
            ({"shares": 0, "needed": 0}, "withdrawn before it was sent", True),
            ({}, "revoked on chain", False),
            ({"receipts": (RECEIPT,)}, "1 of 3 proxies deleted", False),
            ({"receipts": (RECEIPT, RECEIPT)}, "final", True),
            ({"rotated": True}, "lane rotated", False),
            ({"rotated": True, "rewrapped": True}, "headers re-wrapped", False),
        ],
    )
    def test_says_the_highest_step_that_is_reached(self, change: dict[str, Any], stage: str, final: bool) -> None:
        report = replace(REVOKED, **change)
        assert (report.stage, report.final, report.deleted) == (stage, final, len(report.receipts))
        assert report.to_json()["stage"] == stage

    def test_shows_receipts_that_anybody_can_check(self) -> None:
        (shown,) = replace(REVOKED, receipts=(RECEIPT,)).to_json()["receipts"]  # type: ignore[misc]
        assert (shown["proxy"], shown["kind"], shown["signature"]) == (WHO, "deleted", "00" * 65)


def test_what_is_not_proven_is_neither_final_nor_further() -> None:
    report = replace(REVOKED, proven=False, receipts=(RECEIPT, RECEIPT), rotated=True, rewrapped=True)
    assert (report.stage, report.final) == ("sent, not proven yet", False)


def test_where_nobody_can_tell_the_terms_it_is_revoked_and_not_final() -> None:
    report = replace(REVOKED, shares=0, needed=1, receipts=(RECEIPT, RECEIPT))
    assert (report.stage, report.final) == ("revoked on chain", False)


def test_a_submission_says_whether_the_chain_proves_it() -> None:
    sent = SubmissionReport(REVOKED.policy_id, proven=False, tx="", gas=0, receipts=(RECEIPT,), unsent=("down",))
    assert (sent.stage, sent.deleted) == ("sent, not proven yet", 1)
    assert (sent.to_json()["proven"], sent.to_json()["unsent"]) == (False, ["down"])
    assert replace(sent, proven=True).stage == "revoked on chain"
