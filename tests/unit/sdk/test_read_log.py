"""The read log: what proxies signed, opened by the patient, and what it proves against them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from panachain.chain.receipts import receipt_hash, sign_head
from panachain.chain.signing import Account
from panachain.chain.typed import proxy_domain, sign_request
from panachain.consent.receipts import marks_text
from panachain.crypto import box, labels
from panachain.errors import (
    AccessDeniedError,
    IntegrityError,
    PolicyUnknownError,
    ProxiesUnavailableError,
    UnknownActorError,
)
from panachain.ipld.cid import CID, DAG_CBOR
from panachain.model.actors import PolicyId
from panachain.model.policy import Receipt, ReceiptKind
from panachain.model.proxy_requests import ReceiptPart, ReencryptRequest
from panachain.model.scope import Purpose
from panachain.proxy import messages
from panachain.sdk import proxies
from tests.twin.world import PROXIES, THRESHOLD, World
from tests.unit.sdk.helpers import again, grant, opened, upload


def test_says_who_read_what_for_what(world: World) -> None:
    upload(world)
    made = grant(world)
    opened(world, made.policy_id)
    world.wait()
    entries = world.patient.receipts(made.policy_id)
    assert sum(entry.kind == ReceiptKind.DEPOSITED.value for entry in entries) == PROXIES
    read = [entry for entry in entries if entry.kind == ReceiptKind.REENCRYPTED.value]
    assert len(read) >= THRESHOLD
    for entry in read:
        assert (entry.requester, entry.purpose, entry.scopes, entry.late) == (
            world.clinician.address,
            "TREAT",
            ("laboratory",),
            False,
        )


def test_is_in_the_order_of_time_and_of_one_policy_or_all(world: World) -> None:
    first, second = grant(world), grant(world, "nurse")
    everything = world.patient.receipts()
    assert {entry.policy_id for entry in everything} == {first.policy_id, second.policy_id}
    assert everything == sorted(everything, key=lambda entry: (entry.at, entry.proxy))
    assert {entry.policy_id for entry in world.patient.receipts(second.policy_id)} == {second.policy_id}


def test_of_a_record_says_who_opened_its_envelope(world: World) -> None:
    upload(world, 2)
    upload(world, category="allergies")
    first, second = grant(world), grant(world, "nurse", ("allergies",))
    together, apart = {}, {}
    for record in world.patient.records():
        (apart if record.info.category.value == "allergies" else together)[record.info.header_cid] = record
    assert (len(together), len(apart)) == (2, 1)
    opened(world, first.policy_id)
    opened(world, second.policy_id, "nurse")
    world.wait()
    # Both records of one envelope: whoever has its key can read either.
    for cid in together:
        entries = world.patient.receipts(records=[cid])
        assert {entry.kind for entry in entries} == {ReceiptKind.REENCRYPTED.value}
        assert {entry.requester for entry in entries} == {world.clinician.address}
    assert [reading.requester for reading in world.patient.log(records=list(apart))] == [
        world.sessions["nurse"].address
    ]
    assert len(list(world.patient.log(records=[*together, *apart]))) == 2
    assert list(world.patient.log(second.policy_id, records=list(together))) == []


def test_of_a_record_that_was_withdrawn_says_who_opened_it_before(world: World) -> None:
    upload(world)
    (record,) = world.patient.records()
    policy = grant(world).policy_id
    opened(world, policy)
    world.wait()
    world.hospital.withdraw([record.info.header_cid], "wrong-patient")
    told = again(world).log(records=[record.info.header_cid])
    assert {reading.requester for reading in told} == {world.clinician.address}


def test_of_a_record_that_nobody_has_says_so(world: World) -> None:
    upload(world)
    (record,) = world.patient.records()
    assert list(world.patient.log(records=[record.info.header_cid])) == []
    with pytest.raises(UnknownActorError, match="this patient has no record bafkreinone"):
        world.patient.log(records=[record.info.header_cid, "bafkreinone"])


def test_of_a_record_that_can_not_be_found_now_says_what_is_in_the_way(world: World) -> None:
    upload(world)
    (record,) = world.patient.records()
    cid = CID(DAG_CBOR, world.network.manifests_of(world.hospital.address)[0])
    world.network.store.delete_block(cid)
    with pytest.raises(UnknownActorError, match=f"not all could be read: storage transaction 1 of .*{cid}"):
        again(world).log(records=[record.info.header_cid])


def test_is_the_patients_only(world: World) -> None:
    with pytest.raises(PolicyUnknownError):
        world.patient.receipts(PolicyId("0x" + "11" * 20))


def test_needs_one_proxy_that_answers(world: World) -> None:
    made = grant(world)
    for proxy in world.proxies:
        proxy.up = False
    with pytest.raises(ProxiesUnavailableError):
        world.patient.receipts(made.policy_id)


def test_a_proxy_that_served_after_the_revocation_is_convicted_by_its_own_receipt(world: World) -> None:
    upload(world)
    made = grant(world)
    world.proxies[0].corrupt()
    world.patient.revoke(made.policy_id)
    world.advance(10)
    with pytest.raises(AccessDeniedError):
        world.clinician.ask_proxies(made.policy_id)
    world.wait()
    late = [entry for entry in world.patient.receipts(made.policy_id) if entry.late]
    assert {entry.proxy for entry in late} == {world.proxies[0].address}
    assert len(world.patient.convict(made.policy_id).transactions) == len(late)
    assert world.proxies[0].address not in {proxy.address for proxy in world.network.proxies()}


def test_honest_proxies_are_not_convicted(world: World) -> None:
    upload(world)
    made = grant(world)
    opened(world, made.policy_id)
    world.patient.revoke(made.policy_id)
    assert world.patient.convict(made.policy_id).transactions == ()


def test_long_work_tells_how_many_policies_it_has_been_through(world: World) -> None:
    upload(world)
    first = grant(world)
    grant(world, "nurse")
    told: list[tuple[int, int, str]] = []

    def progress(done: int, total: int, *, unit: str) -> None:
        told.append((done, total, unit))

    world.patient.receipts(progress=progress)
    assert told == [(1, 2, "policies"), (2, 2, "policies")]
    told.clear()
    world.patient.revoke(first, rotate=True, progress=progress)
    assert told == [(3, 3, "proxies"), (1, 1, "proofs"), (1, 1, "policies")]
    told.clear()
    world.hospital.rewrap(progress=progress)
    assert told == [(1, 1, "records")]
    told.clear()
    world.patient.settle(progress=progress)
    assert told[-1][0] == told[-1][1] == 3
    assert told[-1][2] == "policies"


Answer = Callable[[dict[str, Any]], tuple[int, bytes]]


def lying(world: World, answer: Answer) -> None:
    """Let the first proxy answer questions for receipts as a test says, given the fields of the question."""
    proxy = world.proxies[0]
    true = proxy.answer

    def answers(path: str, body: bytes) -> tuple[int, bytes]:
        return answer(messages.parse_json(body)) if path == "/v1/receipts" else true(path, body)

    proxy.answer = answers  # type: ignore[method-assign]


def page(*receipts: Receipt, more: bool = False, **raw: Any) -> tuple[int, bytes]:
    """Return a page; `raw` replaces fields of its first receipt."""
    fields = messages.page_fields(receipts, more=more)
    if raw:
        fields["receipts"][0] |= raw
    return 200, json.dumps(fields).encode()


def signed(world: World, policy_id: PolicyId, sequence: int = 1, detail: bytes = b"", **changes: Any) -> Receipt:
    """Return a receipt that the first proxy signs, whatever it says."""
    proxy = world.proxies[0]
    unsigned = Receipt(
        *(proxy.address, sequence, bytes(32), ReceiptKind.REENCRYPTED, policy_id, world.now, 1, 1, detail, b"")
    )
    unsigned = replace(unsigned, **changes)
    account = Account(proxy._seed.account_key())
    domain = world.network.mainchain.log.domain
    return replace(unsigned, signature=sign_head(account, domain, sequence=sequence, head=receipt_hash(unsigned)))


def others_stay(world: World, policy_id: PolicyId, kind: str, lie: str = "") -> None:
    """Check that the first proxy is named, once, and that what the others signed is shown, and convicts nobody."""
    entries = world.patient.receipts(policy_id)
    liar = world.proxies[0].address
    named = [entry for entry in entries if entry.reason]
    assert [(entry.proxy, entry.kind) for entry in named] == [(liar, kind)], lie
    good = [entry for entry in entries if entry.proxy != liar]
    assert {entry.proxy for entry in good} == {proxy.address for proxy in world.proxies[1:]}
    assert {ReceiptKind.DEPOSITED.value, ReceiptKind.REENCRYPTED.value} <= {entry.kind for entry in good}
    assert [reading.requester for reading in world.patient.log(policy_id)].count(world.clinician.address) >= 1
    assert world.patient.convict(policy_id).transactions == ()


def sealed(world: World, content: bytes) -> bytes:
    return box.seal_to(world.patient._seed.audit().public, content, labels.RECEIPT_DETAIL)


GOOD_DETAIL = {"requester": "0x" + "11" * 20, "grantee": "0x" + "11" * 20, "purpose": "TREAT", "lane": 0, "capsules": 1}


class TestOneProxyThatLies:
    @pytest.fixture
    def policy_id(self, world: World) -> PolicyId:
        upload(world)
        made = grant(world)
        # Every proxy serves: which two are asked for the rest is the race's choice.
        opened(world, made.policy_id)
        world.wait()
        return made.policy_id

    # One world for all lies of a kind: making it costs more than hearing the lie.
    def test_by_a_receipts_form(self, world: World, policy_id: PolicyId) -> None:
        for raw in (
            *({"sequence": -1}, {"sequence": 1 << 70}, {"sequence": "７"}, {"sequence": 1.9}, {"sequence": True}),
            *({"previous": "00"}, {"previous": 5}, {"policy_id": 5}, {"at": 1 << 60}, {"count": -1}, {"block": "1"}),
            *({"signature": "00" * 2_000_000}, {"signature": "00" * 65}, {"detail": "00" * 9000}, {"kind": "x"}),
        ):
            lying(world, lambda _, raw=raw: page(signed(world, policy_id), **raw))
            others_stay(world, policy_id, "lied", str(raw)[:60])

    def test_by_its_whole_answer(self, world: World, policy_id: PolicyId) -> None:
        for body in (
            *(b"", b"{", b"[]", b"[" * 200_000, b'{"receipts":[],"more":1}', b'{"receipts":{},"more":false}'),
            *(b'{"receipts":[],"more":true}', b'{"receipts":[7],"more":false}', b" " * (9 << 20)),
        ):
            lying(world, lambda _, body=body: (200, body))
            others_stay(world, policy_id, "lied", repr(body[:30]))

    def test_by_what_it_seals(self, world: World, policy_id: PolicyId) -> None:
        for detail in (
            *(b"[" * 1500 + b"]" * 1500, b"[1]", b"7", b"no JSON"),
            *(
                json.dumps(GOOD_DETAIL | {"lane": -5}).encode(),
                json.dumps(GOOD_DETAIL | {"requester": "\x1b"}).encode(),
            ),
        ):
            lying(world, lambda _, detail=detail: page(signed(world, policy_id, detail=sealed(world, detail))))
            others_stay(world, policy_id, "lied", repr(detail[:20]))

    def test_by_counting_other_keys_than_it_names(self, world: World, policy_id: PolicyId) -> None:
        named = sealed(world, json.dumps(GOOD_DETAIL | {"opened": marks_text([bytes(98)])}).encode())
        lying(world, lambda _: page(signed(world, policy_id, detail=named, count=60_000)))
        others_stay(world, policy_id, "lied")
        assert max(one.envelopes + one.unconfirmed for one in world.patient.log(policy_id)) == 1

    def test_by_what_is_not_sealed_to_the_patient(self, world: World, policy_id: PolicyId) -> None:
        lying(world, lambda _: page(signed(world, policy_id, detail=bytes(500))))
        others_stay(world, policy_id, "lied")

    def test_by_pages_that_stand_still(self, world: World, policy_id: PolicyId) -> None:
        lying(world, lambda _: page(signed(world, policy_id, 7), more=True))
        others_stay(world, policy_id, "lied")

    def test_by_refusals_among_what_was_served(self, world: World, policy_id: PolicyId) -> None:
        lying(world, lambda _: page(signed(world, policy_id, kind=ReceiptKind.DENIED)))
        others_stay(world, policy_id, "lied")

    def test_by_pages_without_end(self, world: World, policy_id: PolicyId, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[int] = []
        monkeypatch.setattr(proxies, "_PAGES", dict.fromkeys(ReceiptPart, 5))

        def more(fields: dict[str, Any]) -> tuple[int, bytes]:
            asked.append(fields["after"])
            detail = sealed(world, json.dumps(GOOD_DETAIL).encode())
            return page(signed(world, policy_id, fields["after"] + 1, detail), more=True)

        lying(world, more)
        # What it signed counts all the same.
        entries = world.patient.receipts(policy_id)
        own = [entry for entry in entries if entry.proxy == world.proxies[0].address]
        assert [entry.kind for entry in own] == ["reencrypted"] * 5 + ["silent"]
        assert asked == [0, 1, 2, 3, 4]
        others_stay(world, policy_id, "silent")

    def test_where_all_lie_nothing_is_shown(self, world: World, policy_id: PolicyId) -> None:
        for proxy in world.proxies:
            proxy.answer = lambda path, body: (200, b"[]")  # type: ignore[method-assign]
        with pytest.raises(IntegrityError):
            world.patient.receipts(policy_id)

    def test_one_that_is_down_is_named_too(self, world: World, policy_id: PolicyId) -> None:
        world.proxies[0].up = False
        others_stay(world, policy_id, "silent")


def test_many_pages_are_read_to_their_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "RECEIPTS_PAGE", 2)
    upload(world)
    made = grant(world)
    for _ in range(4):
        opened(world, made.policy_id)
    world.wait()
    entries = world.patient.receipts(made.policy_id)
    for proxy in world.proxies:
        kept = proxy.store.receipts(made.policy_id)
        assert sum(entry.proxy == proxy.address for entry in entries) == len(kept) >= 2


def test_a_flood_of_strangers_hides_no_opening(world: World) -> None:
    upload(world)
    made = grant(world)
    opened(world, made.policy_id)
    world.wait()
    before = [entry for entry in world.patient.receipts(made.policy_id) if entry.kind == "reencrypted"]
    terms = world.patient._policies.find(made.policy_id).terms
    proxy, mainchain = world.proxies[0], world.network.mainchain
    domain = proxy_domain(mainchain.chain_id, mainchain.policies.address)
    for _ in range(150):
        stranger = Account(os.urandom(32))
        unsigned = ReencryptRequest(
            *(proxy.address, made.policy_id, terms.grantee, stranger.address, Purpose.TREAT, 0),
            *((os.urandom(105),), world.now + 45, os.urandom(16)),
        )
        with pytest.raises(AccessDeniedError):
            proxy.service.reencrypt(sign_request(stranger, domain, unsigned))
        # As many as count in a minute, and some more.
        world.advance(1)
    assert len(proxy.store.receipts(made.policy_id)) < 10
    entries = world.patient.receipts(made.policy_id)
    assert [entry for entry in entries if entry.kind == "reencrypted"] == before
    assert [entry.kind for entry in entries if entry.proxy == proxy.address].count("denied") == 1


def test_a_policy_whose_proxies_are_all_gone_hides_no_other_ones_log(world: World) -> None:
    gone = grant(world, proxies=[proxy.address for proxy in world.proxies[:2]])
    kept = grant(world, "nurse")
    for proxy in world.proxies[:2]:
        proxy.up = False
    told = world.patient.receipts()
    assert {entry.policy_id for entry in told if entry.kind == ReceiptKind.DEPOSITED.value} == {kept.policy_id}
    assert [left.item for left in told.left_out] == [gone.policy_id]
    # Who opens what they helped with may be known to them alone.
    left = world.patient.log().left_out
    assert [one.kind for one in left] == ["policy", "proxy", "proxy"]
    assert [one.item for one in left] == [gone.policy_id, *(proxy.address for proxy in world.proxies[:2])]
    assert all(one.reason.startswith("it told nothing, or not all, of ") for one in left[1:])
    for proxy in world.proxies:
        proxy.up = False
    # What was read before is still here, and nobody takes it for the newest.
    told = world.patient.receipts()
    assert [left.item for left in told.left_out] == [gone.policy_id, kept.policy_id]
    assert {entry.proxy for entry in told if entry.kind == "silent"} == {proxy.address for proxy in world.proxies}
    assert {entry.policy_id for entry in told if entry.kind == "deposited"} == {kept.policy_id}
    shutil.rmtree(world.patient.profile.folder / "kept")
    with pytest.raises(ProxiesUnavailableError):
        world.patient.receipts()


def test_a_node_whose_newest_block_is_from_the_future_is_why_no_proxy_answered(world: World) -> None:
    """Each proxy refuses what is signed for a time to come, or nothing is signed: whose fault that is must be told."""
    made = grant(world)
    mainchain = world.network.mainchain
    head = mainchain.head_block()
    with (
        patch.object(mainchain, "head_block", lambda: replace(head, time=head.time + 3600)),
        pytest.raises(ProxiesUnavailableError, match="node or the clock is wrong"),
    ):
        again(world).log(made.policy_id)
