"""Proving a log: what a proxy leaves out, adds, changes or says twice is named; what it shows is proven to be all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from panachain.consent.log_checkpoint import parse_growth_request
from panachain.model.actors import Address, Role
from panachain.proxy import messages
from panachain.proxy.client import Channels
from panachain.sdk import log_proving
from panachain.sdk.results.log import LogProof
from panachain.service.proxy.witnessing import Witnessing
from tests.twin.world import PROXIES, TwinProxy, World
from tests.unit.sdk.helpers import again, grant, opened, upload

Answer = Callable[[str, bytes], tuple[int, bytes]]


def replaced(proxy: TwinProxy, path: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Let a proxy change its answers on one path."""
    true: Answer = proxy.answer

    def answer(asked: str, body: bytes) -> tuple[int, bytes]:
        status, content = true(asked, body)
        if asked != path or status != 200:
            return status, content
        fields = messages.parse_json(content)
        change(fields)
        return status, messages.canonical(fields)

    proxy.answer = answer  # type: ignore[method-assign]


def cosign(world: World) -> list[int]:
    """Let each proxy have its log cosigned, as its upkeep does, and return by how many it was."""
    return [witnessing(world, proxy).gather() for proxy in world.proxies]


def witnessing(world: World, proxy: TwinProxy) -> Witnessing:
    return Witnessing(
        proxy.service.log,
        lambda: world.network.mainchain.actors.find(Role.PROXY),
        Channels(reach=world.network.reach),
    )


def of(proofs: list[LogProof], proxy: TwinProxy) -> LogProof:
    """Return what one proxy proved; the others proved all."""
    assert all(proof.proven for proof in proofs if proof.proxy != proxy.address)
    (found,) = [proof for proof in proofs if proof.proxy == proxy.address]
    return found


@pytest.fixture
def read(world: World) -> World:
    """A world in which one policy was used, and another patient's receipts would stand between."""
    upload(world)
    made = grant(world)
    opened(world, made.policy_id)
    world.wait()
    return world


def test_every_proxy_proves_that_what_it_showed_is_all(read: World) -> None:
    grant(read, "nurse")
    read.wait()
    proofs = read.patient.auditing.verify()
    assert len(proofs) == 2 * PROXIES
    assert [proof.reason for proof in proofs] == [""] * len(proofs)
    entries = read.patient.receipts()
    assert sum(proof.receipts for proof in proofs) == len(entries)
    assert {proof.size for proof in proofs} <= {proxy.store.head()[0] for proxy in read.proxies}


def test_the_other_proxies_cosign_and_the_patient_sees_it(read: World) -> None:
    assert cosign(read) == [PROXIES - 1] * PROXIES
    (policy,) = {entry.policy_id for entry in read.patient.receipts()}
    opened(read, policy)
    read.wait()
    for proof in read.patient.auditing.verify():
        assert len(proof.witnesses) == PROXIES - 1
        # What was served since is proven by the proxy's own word only, until the next turn.
        assert proof.cosigned < proof.size
    assert cosign(read) == [PROXIES - 1] * PROXIES
    assert all(proof.cosigned == proof.size for proof in read.patient.auditing.verify())


def test_a_receipt_that_is_kept_back_is_missed(read: World) -> None:
    liar = read.proxies[0]

    def drop(fields: dict[str, Any]) -> None:
        fields["receipts"] = [one for one in fields["receipts"] if one["kind"] != "reencrypted"]

    if not [one for one in liar.store.receipts(grant_of(read)) if one.kind.value == "reencrypted"]:
        liar = read.proxies[1]
    replaced(liar, "/v1/receipts", drop)
    proof = of(read.patient.auditing.verify(), liar)
    assert proof.lied
    assert "keeps back receipt" in proof.reason


def grant_of(world: World) -> Any:
    (policy,) = world.patient.policies()
    return policy.policy_id


CHANGES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda fields: fields["items"].pop(0), "not in its order"),
    (lambda fields: fields["items"].clear(), "shows nothing"),
    (lambda fields: fields["items"].reverse(), "not in its order"),
    (lambda fields: fields["items"][0].update(path=fields["items"][0]["path"][64:]), "isn't in the tree"),
    (lambda fields: fields["items"][0].update(path="zz"), "wrong type"),
    (lambda fields: fields["items"][0].update(rows=fields["items"][-1]["rows"]), "say nothing"),
    (lambda fields: fields["items"][0].update(rows=[]), "say nothing"),
    (lambda fields: fields["items"][-1].update(rows=fields["items"][-1]["rows"][:1]), "say nothing"),
    (lambda fields: fields.update(maps=fields["maps"][:8] + "00" * 32), "aren't those of the checkpoint"),
    (lambda fields: fields.update(maps=""), "one row for each receipt"),
    (lambda fields: fields.update(checkpoint="\n\n"), "note"),
    (lambda fields: fields.pop("growth"), "lacks a field"),
]


def test_a_proof_that_was_changed_is_refused(read: World) -> None:
    grant(read, "nurse")
    read.wait()
    liar = read.proxies[2]
    true: Answer = liar.answer
    for change, reason in CHANGES:
        replaced(liar, "/v1/proof", change)
        found = [proof for proof in read.patient.auditing.verify() if proof.proxy == liar.address]
        liar.answer = true  # type: ignore[method-assign]
        # One policy's absent number may stand at an end of the map, which one row proves.
        assert [proof for proof in found if proof.lied and reason in proof.reason], (reason, found)


def test_another_checkpoint_than_its_own_is_refused(read: World) -> None:
    liar, other = read.proxies[:2]
    note = other.service.log.checkpoint()
    replaced(liar, "/v1/proof", lambda fields: fields.update(checkpoint=note))
    assert "another log" in of(read.patient.auditing.verify(), liar).reason


def test_a_log_that_was_begun_anew_is_named(read: World) -> None:
    assert all(proof.proven for proof in read.patient.auditing.verify())
    liar = read.proxies[1]
    # The same numbers, the same receipts of this patient, and another receipt in between.
    size, head = liar.store.head()
    with liar.store._write() as db:
        db.exec_driver_sql(
            "UPDATE receipt SET fields = replace(fields, '\"count\":', '\"count\": ') WHERE sequence = 1"
        )
    liar.service = liar._make(liar._chains)
    assert liar.store.head() == (size, head)
    opened(read, grant_of(read))
    read.wait()
    proof = of(again(read).auditing.verify(), liar)
    assert "another log than before" in proof.reason or "another one in its log" in proof.reason
    assert proof.lied


def test_a_log_that_is_shorter_than_its_anchor_is_refused(read: World, monkeypatch: pytest.MonkeyPatch) -> None:
    liar = read.proxies[0]
    size, _ = liar.store.head()
    true = type(read.network.mainchain.log).anchor_of

    def anchored(self: Any, proxy: Address) -> tuple[int, bytes]:
        return (size + 5, bytes(32)) if proxy == liar.address else true(self, proxy)

    monkeypatch.setattr(type(read.network.mainchain.log), "anchor_of", anchored)
    monkeypatch.setattr(log_proving, "_WAIT", 0.0)
    proof = of(read.patient.auditing.verify(), liar)
    assert "are anchored" in proof.reason


def test_a_proxy_of_an_earlier_version_proves_nothing_and_is_no_liar(read: World) -> None:
    old = read.proxies[0]
    true: Answer = old.answer
    not_found = json.dumps({"type": "urn:panachain:problem/not-found"}).encode()
    old.answer = lambda path, body: (404, not_found) if path == "/v1/proof" else true(path, body)  # type: ignore[method-assign]
    proof = of(read.patient.auditing.verify(), old)
    assert proof.reason
    assert not proof.lied


def test_a_witness_cosigns_no_log_that_forgot_something(read: World) -> None:
    liar, witness = read.proxies[:2]
    cosign(read)
    asked: list[bytes] = []
    true: Answer = witness.answer

    def noting(path: str, body: bytes) -> tuple[int, bytes]:
        asked.append(body)
        return true(path, body)

    witness.answer = noting  # type: ignore[method-assign]
    with liar.store._write() as db:
        db.exec_driver_sql(
            "UPDATE receipt SET fields = replace(fields, '\"count\":', '\"count\": ') WHERE sequence = 1"
        )
    liar.service = liar._make(liar._chains)
    opened(read, grant_of(read))
    read.wait()
    assert witnessing(read, liar).gather() == 0
    before, _, _ = parse_growth_request(asked[-1])
    assert before > 0


def test_whoever_deletes_the_logs_of_all_proxies_but_t_hides_nothing(world: World) -> None:
    upload(world)
    made = grant(world)
    for _ in range(3):
        opened(world, made.policy_id)
        # The slowest proxy signs before time goes by: else its receipt is of another opening.
        world.wait()
        world.advance(120)
    assert len(list(world.patient.log())) == 3
    for gone in world.proxies:
        kept = emptied(gone)
        shutil.rmtree(world.patient.profile.folder / "kept", ignore_errors=True)
        assert len(list(again(world).log())) == 3
        with gone.store._write() as db:
            for row in kept:
                db.exec_driver_sql("INSERT INTO receipt VALUES (?, ?, ?, ?, ?)", row)


def emptied(proxy: TwinProxy) -> list[tuple[object, ...]]:
    """Delete all that a proxy's log has, and return it."""
    with proxy.store._write() as db:
        rows = [tuple(row) for row in db.exec_driver_sql("SELECT * FROM receipt").all()]
        db.exec_driver_sql("DELETE FROM receipt")
    return rows
