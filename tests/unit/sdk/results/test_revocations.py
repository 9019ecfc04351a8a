"""How far a revocation has come, and receipts that anybody can check."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

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
