"""Every list fits a terminal of 100 columns, with data as long as it gets, and shows no whole identifier unasked."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from panachain.cli import doctor
from panachain.devnet import Devnet
from panachain.devnet.lifecycle import DevnetProxy, DevnetStatus
from panachain.model.actors import Address, PolicyId, Status
from panachain.model.policy import PolicyStatus
from panachain.model.scope import Category, Purpose
from panachain.sdk.results.groups import GroupView, InvitationView
from panachain.sdk.results.listings import Listing
from panachain.sdk.results.log import LogEntry
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.requests import RequestView
from panachain.sdk.results.revocations import RevocationReport
from panachain.sdk.results.uploads import PublishedView
from tests.cli.twin import Outcome, Twin

Run = Callable[..., Outcome]
POLICY = PolicyId("0x52908400098527886E0F7030069857D2E4169EE7")
PERSON, OTHER = Address("0x8617E340B3D01FA5F11F306F4090FD50E238070D"), Address("0x" + "27" * 20)
CID = "bafkreiht2qyeftf3cv3xhdwht3ngguwclfion7y2i7uns5jmg3nd7vwkie"
NOW = 1_795_893_000
SCOPES = tuple(f"{category.value}/{year}" for category in Category for year in (2001, 2003, 2004, 2019, 0))
PURPOSES = tuple(purpose.value for purpose in Purpose)

VIEWS = [
    PolicyView(
        policy_id=POLICY,
        status=status,
        patient=PERSON,
        grantee=OTHER,
        scopes=SCOPES,
        purposes=PURPOSES,
        starts_at=NOW,
        expires_at=NOW + 300 * 86_400,
        threshold=11,
        proxies=16,
        terms_cid=CID,
        disclosed=True,
        lacking=12,
        stage="11 of 16 proxies deleted" if status is PolicyStatus.REVOKED else "",
    )
    for status in (PolicyStatus.ACTIVE, PolicyStatus.REVOKED)
]
REQUESTS = [
    RequestView(
        request_id=1_234_567,
        state="approved",
        requester=OTHER,
        patient=PERSON,
        categories=tuple(category.value for category in Category),
        purpose="ETREAT",
        note="before the operation on Monday, please; " * 12 + "x" * 300 + "\x1b[2J",
        expires_at=NOW,
        until=NOW + 86_400,
    )
]
LOG = Listing(
    LogEntry(NOW, kind, POLICY, PERSON, 3, OTHER, OTHER, "HOPERAT", (scope,), late)
    for scope in SCOPES
    for kind, late in (("reencrypted", False), ("reencrypted", True), ("denied", False))
)
GROUPS = [GroupView(OTHER, "gro-mfrggzdfmy2tq", Status.ACTIVE, PERSON, PERSON, (PERSON,) * 30, 41, True)]
INVITATIONS = [InvitationView(PERSON, OTHER)] * 3
RECORDS = [PublishedView(CID, PERSON, scope, 1) for scope in SCOPES]
REVOCATION = RevocationReport(
    POLICY, tx="0x" + "ab" * 32, gas=1, receipts=(), needed=6, shares=16, hospitals=(PERSON,) * 9
)

LISTS: dict[tuple[str, ...], dict[str, Any]] = {
    ("policies",): {"policies": VIEWS},
    ("settle",): {"settle": VIEWS},
    ("inbox",): {"inbox": VIEWS},
    ("requests",): {"requests": REQUESTS},
    ("log",): {"receipts": LOG},
    ("group", "list"): {"groups": GROUPS, "invitations": INVITATIONS},
    ("group", "invitations"): {"invitations": INVITATIONS},
    ("records", "list"): {"records": RECORDS},
    ("revoke", POLICY, "--status"): {"revocation": REVOCATION},
}


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def fits(outcome: Outcome, width: int = 100) -> None:
    assert outcome.code == 0, outcome.err
    assert outcome.out
    assert max(map(len, outcome.out.splitlines())) <= width
    assert "\x1b" not in outcome.out


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_a_list_fits_and_is_short(run: Run, twin: Twin, words: tuple[str, ...]) -> None:
    twin.answers |= LISTS[words]
    twin.answers["address"] = PERSON
    outcome = run(*words)
    fits(outcome)
    assert not re.search(r"0x[0-9a-fA-F]{40}|baf[a-z2-7]{56}", outcome.out)


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
@pytest.mark.parametrize("columns", ["60", "100"])
def test_a_long_list_fits_too(
    run: Run, twin: Twin, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    twin.answers |= LISTS[words]
    fits(run(*words, "--long"), max(int(columns), 66))


def test_the_devnets_screen_fits(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    proxies = tuple(
        DevnetProxy(1_000_000 + number, PERSON, "https://127.0.0.1:51821", running=True) for number in range(16)
    )
    shown = DevnetStatus(True, "http://127.0.0.1:51821", "http://127.0.0.1:45579", "kubo", proxies, 11, gate=True)
    monkeypatch.setattr(Devnet, "status", staticmethod(lambda home: shown))
    fits(run("devnet", "status"))


def test_the_doctors_screen_fits(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [
        doctor.Check(f"proxy {PERSON[:10]}", "note", "doesn't answer (ConnectionRefusedError) " * 4, "panachain " * 20),
        doctor.Check("network", "ok", "/a/very/long/path" * 12),
    ]
    monkeypatch.setattr(doctor, "all_checks", lambda app: iter(checks))
    fits(run("doctor"))
