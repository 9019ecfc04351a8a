"""Crypt4GH files open in the reference tool, and its files open here; nothing that was changed does."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from panachain.crypto import crypt4gh
from panachain.errors import InputError, IntegrityError
from tests.unit.crypto.crypt4gh_reader import open_

SECRET = bytes(range(1, 33))
PUBLIC = X25519PrivateKey.from_private_bytes(SECRET).public_key().public_bytes_raw()
OTHER = bytes(range(2, 34))
SIZES = (0, 1, crypt4gh.SEGMENT - 1, crypt4gh.SEGMENT, crypt4gh.SEGMENT + 1, 3 * crypt4gh.SEGMENT)
HEADER = 16 + 108


def sealed(content: bytes, *readers: bytes) -> bytes:
    return b"".join(crypt4gh.seal([content], readers or (PUBLIC,)))


def opened(data: bytes, secret: bytes = SECRET) -> bytes:
    return b"".join(open_(io.BytesIO(data), secret))


class TestReferenceTool:
    @pytest.fixture
    def lib(self) -> Any:
        return pytest.importorskip("crypt4gh.lib", reason="crypt4gh, the reference tool, isn't installed")

    @pytest.mark.parametrize("size", SIZES)
    def test_opens_what_is_sealed_here(self, lib: Any, size: int) -> None:
        content, out = os.urandom(size), io.BytesIO()
        lib.decrypt([(0, SECRET, None)], io.BytesIO(sealed(content)), out)
        assert out.getvalue() == content

    @pytest.mark.parametrize("size", SIZES)
    def test_seals_what_opens_here(self, lib: Any, size: int) -> None:
        content, out = os.urandom(size), io.BytesIO()
        lib.encrypt([(0, OTHER, PUBLIC)], io.BytesIO(content), out)
        assert opened(out.getvalue()) == content

    def test_opens_as_one_of_several_readers(self, lib: Any) -> None:
        other, out = X25519PrivateKey.from_private_bytes(OTHER).public_key().public_bytes_raw(), io.BytesIO()
        lib.decrypt([(0, SECRET, None)], io.BytesIO(sealed(b"text", other, PUBLIC)), out)
        assert out.getvalue() == b"text"

    def test_its_keys_are_read(self, lib: Any, tmp_path: Path) -> None:
        from crypt4gh.keys import c4gh, get_private_key

        c4gh.generate(str(tmp_path / "k.sec"), str(tmp_path / "k.pub"), b"passphrase", None)
        public = crypt4gh.read_public_key((tmp_path / "k.pub").read_bytes())
        out = io.BytesIO()
        secret = get_private_key(str(tmp_path / "k.sec"), lambda: "passphrase")
        lib.decrypt([(0, bytes(secret), None)], io.BytesIO(sealed(b"text", public)), out)
        assert out.getvalue() == b"text"
        with pytest.raises(InputError, match="secret key"):
            crypt4gh.read_public_key((tmp_path / "k.sec").read_bytes())


@pytest.mark.parametrize("size", SIZES)
def test_gives_the_content_back(size: int) -> None:
    content = os.urandom(size)
    data = sealed(content)
    assert opened(data) == content
    segments = -(-size // crypt4gh.SEGMENT)
    assert len(data) == HEADER + size + segments * 28


def test_pieces_of_any_size_are_one_file() -> None:
    content = os.urandom(3 * crypt4gh.SEGMENT + 5)
    for step in (1000, crypt4gh.SEGMENT, 100_000, len(content)):
        pieces = [content[at : at + step] for at in range(0, len(content), step)]
        assert opened(b"".join(crypt4gh.seal(pieces, [PUBLIC]))) == content


def test_holds_no_more_than_a_segment_and_a_piece() -> None:
    """Each segment is given before the next piece is asked for."""
    asked = 0

    def pieces() -> Iterator[bytes]:
        nonlocal asked
        for _ in range(100):
            asked += 1
            yield bytes(crypt4gh.SEGMENT)

    made = crypt4gh.seal(pieces(), [PUBLIC])
    next(made)
    for number in range(1, 101):
        next(made)
        assert asked == number


def test_another_reader_opens_nothing() -> None:
    with pytest.raises(IntegrityError, match="isn't sealed to this key"):
        opened(sealed(b"text"), OTHER)


def test_no_two_files_share_a_key_a_nonce_or_a_writer() -> None:
    one, two = sealed(b"text"), sealed(b"text")
    assert one[24:] != two[24:]
    assert one[24:56] != two[24:56]
    assert len({sealed(b"x" * 3)[HEADER : HEADER + 12] for _ in range(100)}) == 100


@pytest.mark.parametrize("at", [*range(20), 24, 60, 80, 107, HEADER, HEADER + 12, HEADER + 20, -1])
def test_a_changed_byte_opens_nothing(at: int) -> None:
    data = bytearray(sealed(b"some text"))
    data[at] ^= 1
    with pytest.raises(IntegrityError):
        opened(bytes(data))


@pytest.mark.parametrize("size", [0, 8, 15, 16, 19, 50, HEADER - 1, HEADER + 1, HEADER + 28, HEADER + 36])
def test_what_breaks_off_is_told(size: int) -> None:
    with pytest.raises(IntegrityError):
        opened(sealed(b"some text")[:size])


def test_segments_can_not_be_put_after_a_short_one() -> None:
    data = sealed(b"short")
    with pytest.raises(IntegrityError):
        opened(data + data[HEADER:] * 3000)


@pytest.mark.parametrize("count", [0, 1025, 0xFFFFFFFF])
def test_a_header_without_end_is_refused(count: int) -> None:
    with pytest.raises(IntegrityError, match="packets"):
        opened(b"crypt4gh\x01\0\0\0" + count.to_bytes(4, "little") + bytes(10_000))


def test_an_edit_list_is_refused_and_not_passed_over() -> None:
    """Whoever ignores one shows what its writer cut away."""
    writer = X25519PrivateKey.generate()
    nonce = bytes(12)
    public = writer.public_key().public_bytes_raw()
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    key = crypt4gh._shared(writer, PUBLIC, reader=PUBLIC, writer=public)
    inner = (1).to_bytes(4, "little") + (1).to_bytes(4, "little") + (5).to_bytes(8, "little")
    packet = bytes(4) + public + nonce + ChaCha20Poly1305(key).encrypt(nonce, inner, None)
    data = sealed(b"text")
    head = data[:12] + (2).to_bytes(4, "little") + data[16:HEADER]
    with pytest.raises(IntegrityError, match="edit list"):
        opened(head + (len(packet) + 4).to_bytes(4, "little") + packet + data[HEADER:])


def pem(key: bytes, kind: str = "PUBLIC") -> bytes:
    import base64

    text = base64.b64encode(key).decode()
    return f"-----BEGIN CRYPT4GH {kind} KEY-----\n{text}\n-----END CRYPT4GH {kind} KEY-----\n".encode()


def test_a_public_key_is_read_from_its_file() -> None:
    assert crypt4gh.read_public_key(pem(PUBLIC)) == PUBLIC


@pytest.mark.parametrize(
    "content",
    [
        b"",
        PUBLIC,
        pem(PUBLIC[:31]),
        pem(PUBLIC + b"x"),
        pem(PUBLIC, "PRIVATE"),
        pem(PUBLIC) * 2,
        pem(bytes(32)),
        b"x" * 5000,
    ],
)
def test_what_is_no_public_key_is_refused(content: bytes) -> None:
    with pytest.raises(InputError):
        crypt4gh.read_public_key(content)


def test_a_key_that_nobody_can_have_is_refused_when_it_is_sealed_to() -> None:
    with pytest.raises(InputError):
        sealed(b"text", bytes(32))
