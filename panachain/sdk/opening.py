"""Opening: from checked headers and their envelopes' keys to records that can be read.

Never hands out a record of an envelope from which its hospital left one out. Follows design section 8 (Open, step 7).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from panachain.crypto.commit import EnvelopeKey
from panachain.errors import IntegrityError
from panachain.ipld.cid import CID
from panachain.records.header import Header, wrap_at
from panachain.records.locate import check_envelope, content_of
from panachain.records.split import MEDIA_TYPE
from panachain.sdk.results.records import OpenedRecord, RecordProvenance
from panachain.storage.blocks import BlobStore


def envelope_wraps(store: BlobStore, headers: Sequence[Header]) -> dict[str, bytes]:
    """Return the wrap of each envelope that the headers of one lane need, by the envelope's CID."""
    wraps: dict[str, bytes] = {}
    for found in headers:
        cid = found.info.envelope_cid
        # All records of an envelope share one wrap, so a proxy is asked once for all of them.
        if cid not in wraps:
            wraps[cid] = wrap_at(store.get_block(CID.parse(cid)), found.wrap_index)
    return wraps


def open_records(
    store: BlobStore, headers: Sequence[Header], envelope_keys: Mapping[str, bytes]
) -> Iterator[tuple[Header, OpenedRecord]]:
    """Yield each header with its record, in the order of the headers.

    Args:
        store: where the blocks are fetched.
        headers: of one lane, each envelope's all together.
        envelope_keys: by the envelope's CID.

    Raises:
        IntegrityError: a key isn't the committed one, or an envelope's records aren't complete.
    """
    envelopes: dict[str, list[Header]] = defaultdict(list)
    for found in headers:
        envelopes[found.info.envelope_cid].append(found)
    keys = {cid: EnvelopeKey(envelope_keys[cid]) for cid in envelopes}
    for cid, members in envelopes.items():
        # All envelopes before the first record is handed out: a hospital that keeps one back is found out at once.
        check_envelope(store, members, keys[cid])
    for found in headers:
        cid = found.info.envelope_cid
        content = content_of(store, found, keys[cid])
        attachment = _finder(store, envelopes[cid], keys[cid]) if found.info.media_type == MEDIA_TYPE else None
        yield (
            found,
            OpenedRecord(found.info, RecordProvenance(found.info.hospital), content, found.signature, attachment),
        )


def _finder(store: BlobStore, members: Sequence[Header], key: EnvelopeKey) -> Callable[[bytes], bytes]:
    """Return what finds the attachment of a digest among the records of its Bundle's envelope."""

    def find(digest: bytes) -> bytes:
        for found in members:
            # A Bundle is no attachment, also if its digest should be named.
            if found.info.digest == digest and found.info.media_type != MEDIA_TYPE:
                return content_of(store, found, key).read()
        raise IntegrityError("a Bundle names an attachment that its hospital didn't publish with it")

    return find
