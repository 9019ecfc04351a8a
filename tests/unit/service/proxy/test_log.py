"""A proxy's log as others check it: the same from every worker, from old databases, over epochs, and over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from panachain.chain.typed import sign_request
from panachain.consent import log_checkpoint, log_map, log_proof
from panachain.consent.log_checkpoint import Cosigned, open_checkpoint
from panachain.consent.log_proof import Place, Share, check_share, leaf_hash
from panachain.consent.log_tree import check_consistency, hashes_of
from panachain.errors import IntegrityError, OutOfScopeError, UsageError
from panachain.model.actors import Actor, Role, Status
from panachain.model.policy import ReceiptKind
from panachain.model.proxy_requests import ReceiptPart
from panachain.proxy import messages
from panachain.records.tree_hash import combined
from panachain.service.proxy import log as proxy_log
from panachain.service.proxy.app import create_app
from panachain.service.proxy.log import ProxyLog
from panachain.service.proxy.log_store import LogStore
from tests.unit.service.proxy_world import DOMAIN, LOG_DOMAIN, Policy, ProxyWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ProxyWorld]:
    made = ProxyWorld(tmp_path, count=2)
    yield made
    made.close()


def opened(log: ProxyLog, note: str) -> Cosigned:
    return open_checkpoint(note.encode(), proxy=log.address, domain=LOG_DOMAIN)


def grown(world: ProxyWorld, count: int) -> Policy:
    """Let a proxy's log have some receipts of one policy, which are the same again and again."""
    policy = world.grant()
    store, service = world.stores[0], world.services[0]
    on_chain = world.chain.policy(policy.terms.policy_id)
    # In one transaction: nothing here is about when each of them is on disk.
    with store._write() as db:
        for _ in range(count):
            store._append(db, lambda sequence, before: service._receipt(ReceiptKind.DENIED, on_chain, sequence, before))
    return policy


def walk(log: ProxyLog, policy: Policy) -> dict[int, Any]:
    """Return all leaves that a proxy proves to be a policy's, as a patient checks them."""
    leaves, place = dict[int, Any](), Place()
    for _ in range(100):
        share = Share.parse(
            messages.parse_json(messages.canonical(log.share(policy.terms.policy_id, place.cursor).fields()))
        )
        checkpoint = opened(log, share.checkpoint).checkpoint
        found, place = check_share(
            share, checkpoint, audit_key=policy.audit.public, policy_id=policy.terms.policy_id, place=place
        )
        leaves |= found
        if place.epoch >= checkpoint.epochs:
            return leaves
    raise AssertionError("the proof never ends")


def test_its_root_is_that_of_the_receipts(world: ProxyWorld) -> None:
    policy = grown(world, 300)
    log = world.services[0].log
    entries = [entry for _, entry in LogStore(world.stores[0]).entries(1, 1000)]
    checkpoint = opened(log, log.checkpoint()).checkpoint
    assert checkpoint.size == len(entries) == 301
    assert checkpoint.root == combined(list(map(leaf_hash, entries)))
    assert sorted(walk(log, policy)) == list(range(301))


def test_another_worker_and_a_restart_make_the_same(world: ProxyWorld) -> None:
    grown(world, 260)
    log = world.services[0].log
    other = ProxyLog(world.seeds[0], world.stores[0], domain=LOG_DOMAIN)
    assert log.checkpoint() == other.checkpoint()
    grown(world, 5)
    assert log.checkpoint() == other.checkpoint()
    assert LogStore(world.stores[0]).tile(0, 0) == log.tile("0", "000")


def test_a_policys_share_goes_over_epochs(world: ProxyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (log_map, log_proof, log_checkpoint, proxy_log):
        monkeypatch.setattr(module, "EPOCH", 8)
    monkeypatch.setattr(log_proof, "PAGE", 5)
    first = grown(world, 20)
    second = grown(world, 9)
    idle = world.grant()
    grown(world, 17)
    log = world.services[0].log
    size, _ = world.stores[0].head()
    assert opened(log, log.checkpoint()).checkpoint.epochs == -(-size // 8)
    mine = {policy.terms.policy_id: sorted(walk(log, policy)) for policy in (first, second, idle)}
    for policy_id, found in mine.items():
        assert found == [receipt.sequence - 1 for receipt in world.stores[0].receipts(policy_id)]
    # Full epochs are kept, and the kept ones are what is computed.
    again = ProxyLog(world.seeds[0], world.stores[0], domain=LOG_DOMAIN)
    assert again.checkpoint() == log.checkpoint()
    assert sorted(walk(again, second)) == mine[second.terms.policy_id]
    assert len(LogStore(world.stores[0]).full_maps()) == size // 8


def test_a_row_of_another_epoch_or_order_is_refused(world: ProxyWorld) -> None:
    policy = grown(world, 3)
    log = world.services[0].log
    share = log.share(policy.terms.policy_id, 0)
    checkpoint = opened(log, share.checkpoint).checkpoint
    audit, policy_id = policy.audit.public, policy.terms.policy_id
    with pytest.raises(IntegrityError, match="not in its order"):
        check_share(share, checkpoint, audit_key=audit, policy_id=policy_id, place=Place(0, 1))
    with pytest.raises(IntegrityError, match="not in its order"):
        check_share(share, checkpoint, audit_key=audit, policy_id=policy_id, place=Place(1))
    with pytest.raises(IntegrityError):
        check_share(share, checkpoint, audit_key=bytes(1216), policy_id=policy_id, place=Place())
    fewer = replace(share, maps=(replace(share.maps[0], rows=3),))
    with pytest.raises(IntegrityError, match="one row for each receipt"):
        check_share(fewer, checkpoint, audit_key=audit, policy_id=policy_id, place=Place())


def test_a_large_map_is_made_anew_once_a_second(world: ProxyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_log, "_CHEAP", 2)
    now = [0.0]
    log = ProxyLog(world.seeds[0], world.stores[0], domain=LOG_DOMAIN, steady=lambda: now[0])
    grown(world, 5)
    before = log.checkpoint()
    grown(world, 1)
    assert log.checkpoint() == before
    now[0] += 1.5
    assert log.checkpoint() != before


def test_over_http(world: ProxyWorld) -> None:
    policy = grown(world, 300)
    service = world.services[0]
    with TestClient(create_app(service), raise_server_exceptions=False) as http:
        note = http.get("/v1/log/checkpoint")
        checkpoint = opened(service.log, note.text).checkpoint
        assert note.headers["content-type"].startswith("text/plain")
        lower = hashes_of(http.get("/v1/log/tile/0/000").content) + hashes_of(
            http.get("/v1/log/tile/0/001.p/45").content
        )
        assert combined(lower) == checkpoint.root
        assert hashes_of(http.get("/v1/log/tile/1/000.p/1").content) == [combined(lower[:256])]
        for missing in ("/v1/log/tile/0/001", "/v1/log/tile/0/002", "/v1/log/tile/0/1", "/v1/log/tile/7/000.p/1"):
            assert http.get(missing).status_code == 400, missing
        request = replace(world.receipts_request(policy), part=ReceiptPart.PROOF, signature=b"")
        fields = messages.receipts_fields(sign_request(policy.account, DOMAIN, request))
        share = Share.parse(http.post("/v1/proof", json=fields).json())
        assert len(share.items) == log_proof.PAGE
        # Sent twice, by a stranger, or at the other's path.
        assert http.post("/v1/proof", json=fields).status_code == 400
        stranger = messages.receipts_fields(sign_request(policy.grantee, DOMAIN, replace(request, nonce=b"\1" * 16)))
        assert http.post("/v1/proof", json=stranger).status_code == 403
        other = messages.receipts_fields(sign_request(policy.account, DOMAIN, replace(request, nonce=b"\2" * 16)))
        assert http.post("/v1/receipts", json=other).status_code == 400
        receipts = messages.receipts_fields(world.receipts_request(policy))
        assert http.post("/v1/proof", json=receipts).status_code == 400
        assert http.post("/v1/witness/add-checkpoint", content="what?").status_code == 400


def find(world: ProxyWorld, *, role: Role = Role.PROXY, status: Status = Status.ACTIVE) -> Any:
    return lambda address: Actor(address, role, status, b"")


def question(world: ProxyWorld, before: int) -> bytes:
    log = world.services[0].log
    return log._question(log._now(), before).encode()


def test_a_witness_cosigns_what_goes_on_and_nothing_else(world: ProxyWorld) -> None:
    witness = world.services[1].log
    grown(world, 4)
    assert witness.cosign(question(world, 0), find(world))[0] is None
    # The same one once more, and a longer one from where it was.
    assert witness.cosign(question(world, 5), find(world))[0] is None
    grown(world, 4)
    assert witness.cosign(question(world, 3), find(world)) == (5, "")
    known, lines = witness.cosign(question(world, 5), find(world))
    assert known is None
    log = world.services[0].log
    assert log.gather(lambda _: [lines]) == 1
    assert list(opened(log, log.checkpoint()).witnesses) == [world.services[1].address]


def test_a_witness_cosigns_for_proxies_of_its_network_only(world: ProxyWorld) -> None:
    witness = world.services[1].log
    grown(world, 1)
    for who in (
        find(world, role=Role.HOSPITAL),
        find(world, status=Status.SUSPENDED),
        lambda _: None,
    ):
        with pytest.raises(OutOfScopeError):
            witness.cosign(question(world, 0), who)
    with pytest.raises(OutOfScopeError):
        world.services[0].log.cosign(question(world, 0), find(world))


def test_two_logs_of_one_proxy_are_cosigned_once(world: ProxyWorld, tmp_path: Path) -> None:
    witness = world.services[1].log
    grown(world, 4)
    assert witness.cosign(question(world, 0), find(world))[0] is None
    with world.stores[0]._write() as db:
        db.exec_driver_sql("UPDATE receipt SET fields = replace(fields, 'deposited', 'denied') WHERE sequence = 1")
    world.services[0].log = ProxyLog(world.seeds[0], world.stores[0], domain=LOG_DOMAIN)
    with pytest.raises(IntegrityError):
        witness.cosign(question(world, 5), find(world))
    grown(world, 1)
    with pytest.raises(IntegrityError):
        witness.cosign(question(world, 5), find(world))


def test_what_strangers_sign_is_not_kept(world: ProxyWorld) -> None:
    grown(world, 1)
    log = world.services[0].log
    assert log.gather(lambda _: []) == 0
    assert LogStore(world.stores[0]).cosigned() is None
    for nonsense in ("", "x\n", "what?\n", "\u2014 nobody AAAA\n" * 70):
        assert log.gather(lambda _, said=nonsense: [said]) == 0  # type: ignore[misc]
    assert LogStore(world.stores[0]).cosigned() is None


def test_an_empty_log_is_a_log(world: ProxyWorld) -> None:
    log = world.services[0].log
    checkpoint = opened(log, log.checkpoint()).checkpoint
    assert (checkpoint.size, checkpoint.epochs) == (0, 0)
    assert log.gather(lambda _: []) == 0
    with pytest.raises(UsageError):
        log.tile("0", "000.p/1")
    grown(world, 1)
    after = opened(log, log.checkpoint()).checkpoint
    check_consistency(checkpoint.root, after.root, before=0, size=after.size, proof=[])
