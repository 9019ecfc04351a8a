"""`refer` and `requests`: what a referral asks of the SDK, and who of three is shown to whom."""

from __future__ import annotations

from collections.abc import Callable

from panachain.model.actors import Address
from panachain.model.scope import Purpose
from panachain.sdk.results.listings import Listing
from panachain.sdk.results.requests import RequestReport, RequestView
from tests.cli.twin import Outcome, Twin

WHO = Address("0x52908400098527886E0F7030069857D2E4169EE7")
SPECIALIST = Address("0x8617E340B3D01FA5F11F306F4090FD50E238070D")
Run = Callable[..., Outcome]


def view(referrer: str = WHO) -> RequestView:
    return RequestView(1, "open", SPECIALIST, WHO, ("vitals",), "TREAT", "a murmur", 20, until=30, referrer=referrer)


def test_a_referral_names_the_specialist_and_its_reason(run: Run, twin: Twin) -> None:
    twin.answers["request"] = RequestReport(3)
    outcome = run("refer", "me", "nurse", "--category", "vitals,laboratory", "--reason", "a murmur")
    assert outcome.code == 0
    (call,) = twin.calls
    assert call == (
        "request",
        ("me", ("vitals", "laboratory"), Purpose.TREAT, "a murmur"),
        {"until": None, "specialist": "nurse"},
    )


def test_a_referral_without_a_reason_or_a_category_asks_nothing(run: Run, twin: Twin) -> None:
    assert run("refer", "me", "nurse", "--category", "vitals").code == 2
    assert run("refer", "me", "nurse", "--reason", "a murmur").code == 2
    assert twin.calls == []


def test_a_list_says_who_referred_and_one_without_a_referral_has_no_word_of_it(run: Run, twin: Twin) -> None:
    twin.answers["requests"] = Listing([view()], [])
    assert "referred by" in run("--long", "requests").out.lower()
    twin.answers["requests"] = Listing([view("")], [])
    assert "referred by" not in run("requests").out.lower()
