"""The streaming format, with Tink itself as the oracle (security rule 6)."""

from __future__ import annotations

import io
import os

import pytest
import tink
from tink import cleartext_keyset_handle, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

from panachain.crypto import stream
from panachain.errors import IntegrityError, UsageError

KEY, CONTEXT = bytes(range(32)), b"context"
SIZES = (0, 1, stream.FIRST_PLAIN - 1, stream.FIRST_PLAIN, stream.FIRST_PLAIN + 1, 2 * stream.SEGMENT_SIZE + 77)


def oracle(key_value: bytes = KEY) -> streaming_aead.StreamingAead:
    streaming_aead.register()
    key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(version=0, key_value=key_value)
    key.params.ciphertext_segment_size = stream.SEGMENT_SIZE
    key.params.derived_key_size = 32
    key.params.hkdf_hash_type = common_pb2.SHA256
    keyset = tink_pb2.Keyset(primary_key_id=1)
    entry = keyset.key.add()
    entry.key_data.type_url = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"
    entry.key_data.value = key.SerializeToString()
    entry.key_data.key_material_type = tink_pb2.KeyData.SYMMETRIC
    entry.status, entry.key_id, entry.output_prefix_type = tink_pb2.ENABLED, 1, tink_pb2.RAW
    handle = cleartext_keyset_handle.read(tink.BinaryKeysetReader(keyset.SerializeToString()))
    return handle.primitive(streaming_aead.StreamingAead)


@pytest.mark.parametrize("size", SIZES)
def test_tink_opens_what_we_seal(size: int) -> None:
    plain = os.urandom(size)
    with oracle().new_decrypting_stream(io.BytesIO(stream.seal(plain, KEY, CONTEXT)), CONTEXT) as opened:
        assert opened.read() == plain


@pytest.mark.parametrize("size", [0, 1, 5000, stream.FIRST_PLAIN - 1, stream.FIRST_PLAIN, stream.FIRST_PLAIN + 1])
def test_one_segment_is_what_the_sealer_of_segments_makes(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream.os, "urandom", lambda count: bytes(range(count)))
    plain = b"x" * size
    sealer = stream.SegmentSealer(KEY, CONTEXT)
    segments, rest = [bytearray(stream.sealed_size(min(size, stream.FIRST_PLAIN)))], plain[stream.FIRST_PLAIN :]
    sealer.seal_into(0, plain[: stream.FIRST_PLAIN], memoryview(segments[0]), last=not rest)
    if rest:
        segments.append(bytearray(len(rest) + stream.TAG_SIZE))
        sealer.seal_into(1, rest, memoryview(segments[1]), last=True)
    assert list(stream.seal_segments(plain, KEY, CONTEXT)) == segments
    # In pieces as well.
    assert list(stream.seal_segments(iter([plain[:7], plain[7:]]), KEY, CONTEXT)) == segments
    assert stream.seal(plain, KEY, CONTEXT) == b"".join(segments)


@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_tink_seals(size: int) -> None:
    plain = os.urandom(size)
    sealed = io.BytesIO()
    sealed.close = lambda: None  # type: ignore[method-assign]
    with oracle().new_encrypting_stream(sealed, CONTEXT) as out:
        out.write(plain)
    assert stream.open_(sealed.getvalue(), KEY, CONTEXT) == plain


@pytest.mark.parametrize("size", SIZES)
def test_every_segment_but_the_last_is_one_leaf(size: int) -> None:
    segments = list(stream.seal_segments(os.urandom(size), KEY, CONTEXT))
    assert all(len(segment) == stream.SEGMENT_SIZE for segment in segments[:-1])
    assert 0 < len(segments[-1]) <= stream.SEGMENT_SIZE


def test_pieces_of_any_size_give_the_same_plaintext() -> None:
    pieces = [os.urandom(n) for n in (1, 0, 700_000, 700_000, 3)]
    sealed = b"".join(stream.seal_segments(iter(pieces), KEY, CONTEXT))
    assert stream.open_(sealed, KEY, CONTEXT) == b"".join(pieces)


SEALED = stream.seal(bytes(2 * stream.SEGMENT_SIZE + 100), KEY, CONTEXT)
ONE, TWO = stream.SEGMENT_SIZE, 2 * stream.SEGMENT_SIZE


@pytest.mark.parametrize("cut", [0, 1, 39, 40, 56, ONE - 1, ONE, ONE + 1, TWO, TWO + 15, len(SEALED) - 1])
def test_truncation_is_found(cut: int) -> None:
    with pytest.raises(IntegrityError):
        stream.open_(SEALED[:cut], KEY, CONTEXT)


@pytest.mark.parametrize("bit", [0, 7])
def test_changed_bits_are_found(bit: int) -> None:
    for position in (*range(41), ONE - 1, ONE, ONE + 7, TWO - 1, TWO, len(SEALED) - 1):
        changed = bytearray(SEALED)
        changed[position] ^= 1 << bit
        with pytest.raises(IntegrityError):
            stream.open_(bytes(changed), KEY, CONTEXT)


def test_reordered_and_repeated_segments_are_found() -> None:
    first, second, third = SEALED[:ONE], SEALED[ONE:TWO], SEALED[TWO:]
    for order in (first + third, first + second + second + third, second + first + third, SEALED + third):
        with pytest.raises(IntegrityError):
            stream.open_(order, KEY, CONTEXT)


def test_a_stream_has_no_more_segments_than_the_format_counts() -> None:
    last, beyond = (1 << 32) - 1, 1 << 32
    sealer = stream.SegmentSealer(KEY, CONTEXT)
    segment = bytearray(1 + stream.TAG_SIZE)
    sealer.seal_into(last, b"x", memoryview(segment), last=True)
    opener = stream.SegmentOpener(sealer.header, KEY, CONTEXT)
    assert opener.open(last, segment, last=True) == b"x"
    with pytest.raises(UsageError, match="4 PiB"):
        sealer.seal_into(beyond, b"x", memoryview(segment), last=True)
    with pytest.raises(IntegrityError, match="too late"):
        opener.open(beyond, segment, last=True)


def test_other_key_or_context_opens_nothing() -> None:
    for key, context in ((bytes(32), CONTEXT), (KEY, b"other")):
        with pytest.raises(IntegrityError):
            stream.open_(SEALED, key, context)
    with pytest.raises(UsageError):
        stream.seal(b"", KEY[:16], CONTEXT)
