"""Asking proxies for what is new: as seldom as can be, and nobody takes back what they signed."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from panachain.chain.receipts import check_head, receipt_hash, sign_head
from panachain.chain.signing import Account
from panachain.errors import UnavailableError, UsageError
from panachain.model.policy import Receipt
from panachain.model.proxy_requests import ReceiptPart
from panachain.proxy import messages
from panachain.sdk.receipt_reading import SELDOM
from panachain.sdk.results.log import LogEntry
from tests.twin.world import PROXIES, TwinProxy, World
from tests.unit.sdk.helpers import again, grant, opened, upload

Answer = Callable[[str, bytes], tuple[int, bytes]]


class Watched:
    """What proxies are asked."""

    def __init__(self, world: World) -> None:
        self.paths: Counter[str] = Counter()
        self.parts: Counter[str] = Counter()
        self.policies: set[str] = set()
        for proxy in world.proxies:
            replaced(proxy, self._noting(proxy.answer))

    def _noting(self, true: Answer) -> Answer:
        def answer(path: str, body: bytes) -> tuple[int, bytes]:
            self.paths[path] += 1
            if path == "/v1/receipts":
                fields = messages.parse_json(body)
                self.parts[fields["part"]] += 1
                self.policies.add(fields["policy_id"])
            return true(path, body)

        return answer


def replaced(proxy: TwinProxy, answer: Answer) -> None:
    proxy.answer = answer  # type: ignore[method-assign]


def lied(entries: list[LogEntry]) -> dict[str, str]:
    """Return what is wrong with each proxy that is named as a liar."""
    return {entry.proxy: entry.reason for entry in entries if entry.kind == "lied"}


@pytest.fixture
def read(world: World) -> World:
    """A world whose patient has read the log of two policies, of which one was used."""
    upload(world)
    made = grant(world)
    grant(world, "nurse")
    opened(world, made.policy_id)
    world.wait()
    assert len(world.patient.receipts()) == 3 * PROXIES
    return world


def test_proxies_with_nothing_new_are_asked_for_their_heads_alone(read: World) -> None:
    before = again(read).receipts()
    watched = Watched(read)
    assert again(read).receipts() == before
    assert watched.paths == {"/v1/head": PROXIES}


def test_what_is_new_takes_one_question_for_each_proxy_and_policy(read: World) -> None:
    before = read.patient.receipts()
    (policy,) = {entry.policy_id for entry in before if entry.requester}
    opened(read, policy)
    read.wait()
    watched = Watched(read)
    entries = again(read).receipts()
    assert watched.parts == {"all": 2 * PROXIES}
    assert len(entries) > len(before)
    assert not [entry for entry in entries if entry.reason]
    shutil.rmtree(read.patient.profile.folder / "kept")
    assert again(read).receipts() == entries


def test_what_is_lost_or_damaged_is_asked_for_again(read: World) -> None:
    before = read.patient.receipts()
    for damaged in ("receipts-00000000.sealed", "receipts-heads.sealed"):
        (read.patient.profile.folder / "kept" / damaged).write_bytes(b"damaged")
        assert again(read).receipts() == before


def test_a_proxy_of_an_earlier_version_is_asked_part_by_part(read: World) -> None:
    (policy,) = {entry.policy_id for entry in read.patient.receipts() if entry.requester}
    opened(read, policy)
    read.wait()

    def earlier(true: Answer) -> Answer:
        def answer(path: str, body: bytes) -> tuple[int, bytes]:
            if path == "/v1/receipts" and messages.parse_json(body)["part"] == "all":
                return 422, json.dumps({"type": "urn:panachain:problem/invalid-request"}).encode()
            return true(path, body)

        return answer

    for proxy in read.proxies:
        replaced(proxy, earlier(proxy.answer))
    watched = Watched(read)
    entries = read.patient.receipts()
    assert not [entry for entry in entries if entry.reason]
    assert watched.parts == dict.fromkeys(("all", "served", "refused", "strangers"), 2 * PROXIES)
    assert max(Counter(entry.proxy for entry in entries if entry.kind == "reencrypted").values()) == 2


def test_a_page_that_is_full_doesnt_end_the_reading(read: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (policy,) = {entry.policy_id for entry in read.patient.receipts() if entry.requester}
    for _ in range(3):
        opened(read, policy)
    read.wait()
    monkeypatch.setattr(messages, "RECEIPTS_PAGE", 2)
    entries = read.patient.receipts()
    assert not [entry for entry in entries if entry.reason]
    for proxy in read.proxies:
        shown = [entry for entry in entries if (entry.proxy, entry.policy_id) == (proxy.address, policy)]
        assert len(shown) == len(proxy.store.receipts(policy))


class TestOver:
    def test_what_is_deleted_is_asked_for_once_a_day(self, read: World) -> None:
        (policy,) = {entry.policy_id for entry in read.patient.receipts() if entry.requester}
        read.patient.revoke(policy)
        read.patient.receipts()
        # The proxies' logs go on, by somebody else's doing.
        grant(read)
        watched = Watched(read)
        entries = read.patient.receipts()
        assert {entry.policy_id for entry in entries} > {policy}
        assert policy not in watched.policies
        read.advance(SELDOM)
        grant(read)
        read.patient.receipts()
        assert policy in watched.policies

    def test_a_policy_that_is_named_is_always_asked_for(self, read: World) -> None:
        (policy,) = {entry.policy_id for entry in read.patient.receipts() if entry.requester}
        read.patient.revoke(policy)
        read.patient.receipts()
        grant(read)
        watched = Watched(read)
        read.patient.receipts(policy)
        assert watched.policies == {policy}

    def test_what_a_proxy_didnt_delete_is_always_asked_for(self, read: World) -> None:
        (policy,) = {entry.policy_id for entry in read.patient.receipts() if entry.requester}
        read.proxies[0].corrupt()
        read.patient.revoke(policy)
        read.patient.receipts()
        grant(read)
        watched = Watched(read)
        read.patient.receipts()
        assert policy in watched.policies


class TestAnotherHistory:
    def test_a_log_that_was_set_back_is_named(self, read: World) -> None:
        before = read.patient.receipts()
        proxy = read.proxies[0]
        head = proxy.service.head()
        lower = head | {"sequence": 1, "head": "11" * 32}
        account = Account(proxy._seed.account_key())
        signature = sign_head(account, read.network.mainchain.log.domain, sequence=1, head=b"\x11" * 32)
        lower |= {"signature": signature.hex()}
        true = proxy.answer
        replaced(proxy, lambda path, body: (200, messages.canonical(lower)) if path == "/v1/head" else true(path, body))
        entries = again(read).receipts()
        assert "takes back its log" in lied(entries)[proxy.address]
        # What it signed before is still told.
        assert [entry for entry in entries if not entry.reason] == before

    def test_two_heads_of_one_place_convict_it(self, read: World) -> None:
        read.patient.receipts()
        proxy, domain = read.proxies[0], read.network.mainchain.log.domain
        head = messages.parse_head(proxy.service.head())
        account = Account(proxy._seed.account_key())
        other = replace(
            head, head=b"\x22" * 32, signature=sign_head(account, domain, sequence=head.sequence, head=b"\x22" * 32)
        )
        true = proxy.answer
        fields = messages.canonical(messages.head_fields(other))
        replaced(proxy, lambda path, body: (200, fields) if path == "/v1/head" else true(path, body))
        for _ in range(2):
            assert "two histories" in lied(again(read).receipts())[proxy.address]
        (path,) = (read.patient.profile.folder / "evidence").iterdir()
        evidence = json.loads(path.read_bytes())
        assert (evidence["schema"], evidence["proxy"]) == ("panachain/proxy-fork/1", proxy.address)
        assert {one["head"] for one in evidence["heads"]} == {head.head.hex(), "22" * 32}
        for one in evidence["heads"]:
            raw = bytes.fromhex(one["head"]), bytes.fromhex(one["signature"])
            check_head(domain, proxy=proxy.address, sequence=evidence["sequence"], head=raw[0], signature=raw[1])

    def test_a_receipt_in_place_of_one_that_was_signed_names_it(self, read: World) -> None:
        entries = read.patient.receipts()
        (policy,) = {entry.policy_id for entry in entries if entry.requester}
        opened(read, policy)
        read.wait()
        proxy = read.proxies[0]

        def other(receipt: Receipt) -> Receipt:
            changed = replace(receipt, count=7)
            account, domain = Account(proxy._seed.account_key()), read.network.mainchain.log.domain
            head = receipt_hash(changed)
            return replace(changed, signature=sign_head(account, domain, sequence=receipt.sequence, head=head))

        self._pages(proxy, lambda receipts: [other(receipts[0]), *receipts[1:]])
        found = lied(read.patient.receipts())
        assert list(found) == [proxy.address]
        assert "two histories" in found[proxy.address]
        assert len(list((read.patient.profile.folder / "evidence").iterdir())) >= 1

    def test_a_receipt_that_is_hidden_now_names_it(self, read: World) -> None:
        entries = read.patient.receipts()
        (policy,) = {entry.policy_id for entry in entries if entry.requester}
        opened(read, policy)
        read.wait()
        proxy = read.proxies[0]
        self._pages(proxy, lambda receipts: receipts[1:])
        after = read.patient.receipts()
        assert "any more, which it signed before" in lied(after)[proxy.address]
        # Nothing of what was kept is lost by it.
        assert {entry for entry in entries if entry.proxy == proxy.address} <= set(after)

    @staticmethod
    def _pages(proxy: TwinProxy, change: Callable[[list[Receipt]], list[Receipt]]) -> None:
        true = proxy.answer

        def answer(path: str, body: bytes) -> tuple[int, bytes]:
            status, content = true(path, body)
            if path != "/v1/receipts" or status != 200:
                return status, content
            after = messages.parse_json(body)["after"]
            receipts, more = messages.parse_page(messages.parse_json(content), after=after)
            return status, messages.canonical(messages.page_fields(change(receipts), more=more))

        proxy.answer = answer  # type: ignore[method-assign]


class TestSilence:
    def test_one_that_is_down_is_asked_once(self, read: World) -> None:
        before = again(read).receipts()
        read.proxies[0].up = False
        entries = again(read).receipts()
        assert [entry.proxy for entry in entries if entry.kind == "silent"] == 2 * [read.proxies[0].address]
        assert [entry for entry in entries if not entry.reason] == before

    def test_one_that_shows_its_head_alone_isnt_asked_for_ever(self, world: World) -> None:
        for _ in range(6):
            grant(world)
        proxy = world.proxies[0]
        asked: list[str] = []
        true = proxy.answer

        def answer(path: str, body: bytes) -> tuple[int, bytes]:
            if path != "/v1/receipts":
                return true(path, body)
            asked.append(path)
            return 503, b"{}"

        replaced(proxy, answer)
        entries: Any = world.patient.receipts()
        assert [entry.proxy for entry in entries if entry.kind == "silent"] == 6 * [proxy.address]
        # Those that were under way, and no more.
        assert len(asked) <= 5

    def test_a_fault_of_ours_is_one_proxys(self, read: World, monkeypatch: pytest.MonkeyPatch) -> None:
        grant(read)

        def fails(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(read.patient._proxies, "read_receipts", fails)
        entries = read.patient.receipts()
        assert {entry.reason for entry in entries if entry.reason} == {"failed: ZeroDivisionError"}


def test_the_errors_of_a_question_are_of_our_tree() -> None:
    # Whoever counts silent proxies goes by this.
    assert not issubclass(UsageError, UnavailableError)
    assert [part.value for part in ReceiptPart] == ["served", "refused", "strangers", "all", "proof"]
