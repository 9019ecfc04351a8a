"""Opening: from headers and envelope keys to records, and none of an envelope that isn't whole."""

from __future__ import annotations

import base64
import gc
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panachain import beside
from panachain.errors import IntegrityError
from panachain.ipld.cid import CID
from panachain.records.header import Header
from panachain.sdk.lanes import OwnHeaders
from panachain.sdk.opening import Allowance, check_envelopes, envelope_wraps, open_checked
from panachain.sdk.results.records import OpenedRecord
from panachain.storage import ahead, blocks_beside
from panachain.storage.blocks_beside import BlocksBeside
from panachain.storage.embedded import EmbeddedStore
from tests.processes import is_running
from tests.twin.world import World, resource
from tests.unit.sdk.helpers import grant, upload


def open_records(
    world: World, headers: Sequence[Header], keys: Mapping[str, bytes]
) -> list[tuple[Header, OpenedRecord]]:
    """Return each header with its record as it was published."""
    return list(open_checked(check_envelopes(world.network.store, headers, keys), Allowance(1 << 30, 1 << 30)))


@pytest.fixture
def own(world: World) -> OwnHeaders:
    upload(world, 3)
    return next(found for found in world.patient._lanes.headers() if found.headers)


def test_records_come_in_the_order_of_their_headers(world: World, own: OwnHeaders) -> None:
    opened = open_records(world, own.headers, own.envelope_keys)
    assert [found for found, _ in opened] == list(own.headers)
    assert len({record.content for _, record in opened}) == 3


def test_one_wrap_is_fetched_for_each_envelope(world: World, own: OwnHeaders) -> None:
    wraps = envelope_wraps(world.network.store, own.headers)
    assert set(wraps) == {found.info.envelope_cid for found in own.headers}
    assert len(wraps) == 1


def test_an_envelope_of_which_one_record_is_missing_opens_nothing(world: World, own: OwnHeaders) -> None:
    with pytest.raises(IntegrityError):
        open_records(world, own.headers[1:], own.envelope_keys)


def test_another_envelopes_key_opens_nothing(world: World, own: OwnHeaders) -> None:
    wrong = dict.fromkeys(own.envelope_keys, bytes(32))
    with pytest.raises(IntegrityError):
        open_records(world, own.headers, wrong)


def test_a_header_that_names_another_size_opens_nothing(world: World, own: OwnHeaders) -> None:
    first: Header = own.headers[0]
    forged = replace(first, info=replace(first.info, size=first.info.size + 1))
    with pytest.raises(IntegrityError):
        open_records(world, [forged, *own.headers[1:]], own.envelope_keys)


def test_a_bundle_is_given_back_with_its_attachments(world: World) -> None:
    image = base64.b64encode(os.urandom(24_000)).decode()
    document = {
        "resourceType": "DocumentReference",
        "id": "with-image",
        "date": "2025-03-04",
        "content": [{"attachment": {"contentType": "image/png", "data": image}}],
    }
    world.upload("hospital", [document, resource("laboratory", 2025, 1)])
    records = list(world.patient.records())
    bundles = [record for record in records if b"with-image" in record.content]
    assert len(records) == 3
    assert image.encode() in bundles[0].content


LIAR = """
import sys
from panachain.storage import block_worker
block_worker.read_near = lambda index, cids, descriptor: [bytes(300 + place) for place, _ in enumerate(cids)]
block_worker.main()
"""


class TestBeside:
    """Content that another process reads."""

    @pytest.fixture
    def store(self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedStore:
        upload(world, 9)
        store = EmbeddedStore(tmp_path / "blocks")
        store.put_blocks((cid, data) for cid, (data, _) in world.network.store.held.items())
        monkeypatch.setattr(ahead, "WORTH", 1)
        monkeypatch.setattr(ahead, "_MOST_COMING", 2)
        monkeypatch.setattr(beside, "cores", lambda: 2)
        return store

    @pytest.mark.parametrize("lies", [False, True])
    def test_records_are_those_of_the_store_whatever_it_says(
        self, world: World, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch, lies: bool
    ) -> None:
        expected = [(record.info, record.content) for record in world.patient.records()]
        monkeypatch.setattr(world.network, "store", store)
        if lies:
            monkeypatch.setattr(blocks_beside, "_COMMAND", ("-c", LIAR, str(beside.ROOT)))
        rounds: list[int] = []
        answered = BlocksBeside._answered

        def counted(self: BlocksBeside, count: int, is_wanted: bool) -> list[bytes | None] | None:
            found = answered(self, count, is_wanted)
            rounds.append(0 if found is None else len(found))
            return found

        monkeypatch.setattr(BlocksBeside, "_answered", counted)
        opening = world.patient.records()
        assert [(record.info, record.content) for record in opening] == expected
        assert opening.omissions == []
        # But for the first ones, which nobody waits for.
        assert sum(rounds) >= len(expected) - 3

    def test_a_damaged_record_is_left_out_by_the_stores_own_word(
        self, world: World, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = [(record.info, record.content) for record in world.patient.records()]
        monkeypatch.setattr(world.network, "store", store)
        damaged = CID.parse(expected[5][0].content_cid)
        place = store._find(damaged)
        assert place is not None
        with open(store.folder / "packs" / place[0], "r+b") as file:
            file.seek(place[1] + 50)
            file.write(b"?!")
        found = {record.info.header_cid: record for record in world.patient.records()}
        for info, content in expected:
            if info.content_cid == str(damaged):
                with pytest.raises(IntegrityError, match="don't fit its CID"):
                    _ = found[info.header_cid].content
            else:
                assert found[info.header_cid].content == content

    def test_who_stops_early_leaves_no_process(
        self, world: World, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(world.network, "store", store)
        started: list[int] = []
        start = beside.start

        def noted(*given: Any, **more: Any) -> Any:
            process = start(*given, **more)
            started.append(process.pid)
            return process

        monkeypatch.setattr(beside, "start", noted)
        opening = world.patient.records()
        assert [len(next(opening).content) > 0 for _ in range(5)] == [True] * 5
        assert len(started) == 1
        assert is_running(started[0])
        del opening
        gc.collect()
        assert not is_running(started[0])

    @pytest.mark.parametrize(("worth", "starts"), [(9, 1), (10, 0)])
    @pytest.mark.parametrize("granted", [False, True], ids=["of hospitals", "of lanes"])
    def test_one_is_started_for_those_that_are_read_one_after_the_other(
        self,
        world: World,
        store: EmbeddedStore,
        monkeypatch: pytest.MonkeyPatch,
        granted: bool,
        worth: int,
        starts: int,
    ) -> None:
        # All together 18: nine of a hospital, or of a lane of one.
        upload(world, 9, *(("hospital", "vitals") if granted else ("clinic",)))
        policy = grant(world, categories=("laboratory", "vitals")) if granted else None
        store.put_blocks((cid, data) for cid, (data, _) in world.network.store.held.items())
        monkeypatch.setattr(world.network, "store", store)
        monkeypatch.setattr(ahead, "WORTH", worth)
        started: list[object] = []
        monkeypatch.setattr(BlocksBeside, "start", lambda self: started.append(self))
        found = world.patient.records() if policy is None else world.clinician.open(policy.policy_id)
        assert (len(list(found)), len(started)) == (18, starts)
