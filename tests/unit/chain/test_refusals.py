"""A contract's custom error becomes words, and every word's error exists with the arguments that it takes."""

from __future__ import annotations

import re
import string

import pytest

from panachain.chain import refusals
from panachain.chain.abi import _errors
from panachain.chain.refusals import refusal_words

GRANTED = "0x52908400098527886E0F7030069857D2E4169EE7"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("RequestNotOpen(id=1, state=2)", "request 1 is approved already"),
        *(
            (f"RequestNotOpen(id=1, state={number})", f"request 1 is {word} already")
            for number, word in enumerate(("none", "open", "approved", "denied", "withdrawn", "expired"))
        ),
        (f"PolicyAlreadyRevoked(policyId={GRANTED})", f"policy {GRANTED} is revoked already"),
        (
            "PolicyInvalidWindow(startsAt=5, expiresAt=1800000000, currentTime=7)",
            "the policy would end at 2027-01-15T08:00:00Z, which is over or before its beginning",
        ),
        (f"GroupNotListed(group=gro-x, member={GRANTED})", f"{GRANTED} is no member of group gro-x"),
    ],
)
def test_common_errors_are_told_in_words(reason: str, expected: str) -> None:
    assert refusal_words(reason) == expected


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "0x12345678",
        "no reason given",
        "CheckpointNotGrowing(number=1, newest=2)",
        "RequestNotOpen(?)",
        "RequestNotOpen(other=1)",
        "RequestNotOpen(",
    ],
)
def test_what_is_not_known_stays_as_it_is(reason: str) -> None:
    assert refusal_words(reason) == reason


def test_a_time_that_no_calendar_has_stays_a_number() -> None:
    assert str(2**48) in refusal_words(f"PolicyDeadlineOver(deadline={2**48}, currentTime=1)")


@pytest.mark.parametrize("name", refusals._WORDS)
def test_the_contracts_have_each_error_with_these_arguments(name: str) -> None:
    inputs = {known: [item["name"] for item in items] for known, items in _errors().values()}
    used = {field for _, field, _, _ in string.Formatter().parse(refusals._WORDS[name]) if field}
    assert used <= set(inputs[name])
    assert not re.search(r"[A-Z]{2}|=", refusals._WORDS[name])
