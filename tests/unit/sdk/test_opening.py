"""Opening: from headers and envelope keys to records, and none of an envelope that isn't whole."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from panachain.errors import IntegrityError
from panachain.records.header import Header
from panachain.sdk.lanes import OwnHeaders
from panachain.sdk.opening import Allowance, check_envelopes, envelope_wraps, open_checked
from panachain.sdk.results.records import OpenedRecord
from tests.twin.world import World, resource
from tests.unit.sdk.helpers import upload


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
