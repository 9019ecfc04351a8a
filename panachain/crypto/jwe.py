"""Files of SMART Health Links: JWE in compact form, `dir` with `A256GCM`, with a content type and, if wanted, deflated.

Never takes another algorithm than these two, whatever a header says, and unpacks nothing before its seal is verified,
nor more than the caller allows. Composed of AES-256-GCM and DEFLATE. Follows RFC 7516 (sections 5, 7.1), RFC 7518
(sections 4.5, 5.3), RFC 1951, and docs/spec/sharing.md, section "Files".

    text = BASE64URL(header) . . BASE64URL(iv) . BASE64URL(ciphertext) . BASE64URL(tag)
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import zlib
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from panachain.errors import IntegrityError
from panachain.wire.json_text import read_json

KEY_SIZE: Final = 32
"""Bytes of a key, AES-256."""
IV_SIZE: Final = 12
"""Bytes of an initialization vector, RFC 7518 section 5.3."""
TAG_SIZE: Final = 16
"""Bytes of an authentication tag, the same section."""
_MAX_HEADER: Final = 1024
"""Characters of a header in BASE64URL; those of the links have about a hundred."""
_MAX_TYPE: Final = 200
"""Characters of a content type."""
_RAW: Final = -zlib.MAX_WBITS
"""DEFLATE without zlib's header (RFC 7516, section 4.1.3)."""


@dataclass(frozen=True)
class Opened:
    """What a JWE held."""

    content: bytes = field(repr=False)
    content_type: str
    """As its header says; empty where it says nothing."""


def encode(content: bytes) -> str:
    """Return BASE64URL without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decode(text: str | bytes) -> bytes:
    """Return the bytes of BASE64URL without padding.

    Raises:
        ValueError: another character, or an end that no encoder makes.
    """
    raw = text.encode("ascii") if isinstance(text, str) else text
    # The decoder of Python passes over what isn't of its alphabet, unless it is told not to.
    if b"=" in raw or b"+" in raw or b"/" in raw:
        raise ValueError("not BASE64URL")
    try:
        found = base64.b64decode(raw + b"=" * (-len(raw) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("not BASE64URL") from None
    # The bits behind the last byte are zero, or two texts would be one message.
    if raw and encode(found[-(len(found) % 3 or 3) :]) != raw[-(len(raw) % 4 or 4) :].decode():
        raise ValueError("not BASE64URL as an encoder writes it")
    return found


def seal(content: bytes, key: bytes, content_type: str, *, deflate: bool = True) -> str:
    """Return a JWE of `content`.

    Args:
        content: to be sealed.
        key: 32 bytes. It may seal other files too: each has a random initialization vector.
        content_type: the header's `cty`, such as `application/fhir+json`.
        deflate: whether the content is compressed before.
    """
    header = {"alg": "dir", "enc": "A256GCM", "cty": content_type} | ({"zip": "DEF"} if deflate else {})
    protected = encode(json.dumps(header, separators=(",", ":")).encode())
    if deflate:
        packer = zlib.compressobj(9, zlib.DEFLATED, _RAW)
        content = packer.compress(content) + packer.flush()
    return protected + seal_parts(content, key, os.urandom(IV_SIZE), protected.encode())


def seal_parts(content: bytes, key: bytes, iv: bytes, protected: bytes) -> str:
    """Return all behind the protected header, from the empty encrypted key on; `seal` draws what must be random.

    Args:
        content: as it is sealed, deflated already.
        key: 32 bytes.
        iv: 12 bytes, never used with this key before.
        protected: the header in BASE64URL, which the seal holds too (RFC 7516, section 5.1, step 14).
    """
    sealed = AESGCM(key).encrypt(iv, content, protected)
    return "." + "".join(f".{encode(part)}" for part in (iv, sealed[:-TAG_SIZE], sealed[-TAG_SIZE:]))


def open_(text: str | bytes, key: bytes, *, most: int) -> Opened:
    """Return what a JWE holds.

    Args:
        text: in compact form; its size is the caller's to bound.
        key: 32 bytes.
        most: bytes that the content may have.

    Raises:
        IntegrityError: another key, changed bytes, another algorithm, more than `most`, or no JWE.
    """
    raw = text.encode("ascii", "replace") if isinstance(text, str) else text
    parts = raw.strip().split(b".", 5)
    if len(parts) != 5:
        raise IntegrityError("no JWE in compact form: it has five parts with points between them")
    protected, encrypted_key, *rest = parts
    content_type, deflated = _read_header(protected)
    if encrypted_key:
        raise IntegrityError("the JWE holds an encrypted key, though its key is given directly")
    try:
        iv, sealed, tag = map(decode, rest)
    except ValueError as exc:
        raise IntegrityError(f"a part of the JWE is {exc}") from None
    if len(iv) != IV_SIZE or len(tag) != TAG_SIZE:
        raise IntegrityError(f"a JWE with an initialization vector of {len(iv)} bytes and a tag of {len(tag)}")
    try:
        content = AESGCM(key).decrypt(iv, sealed + tag, protected)
    except (InvalidTag, ValueError):
        raise IntegrityError("the file doesn't open with this link's key: another key, or changed bytes") from None
    if deflated:
        content = _inflate(content, most)
    if len(content) > most:
        raise IntegrityError(f"a file of {len(content)} bytes, where at most {most} are read")
    return Opened(content, content_type)


def _read_header(protected: bytes) -> tuple[str, bool]:
    """Return the content type, and whether the content is deflated."""
    try:
        if len(protected) > _MAX_HEADER:
            raise ValueError("too long")
        header = read_json(decode(protected), depth=4, values=64)
    except ValueError:
        raise IntegrityError("the JWE's header can't be read") from None
    if not isinstance(header, dict) or header.get("alg") != "dir" or header.get("enc") != "A256GCM":
        raise IntegrityError("a JWE of other algorithms than dir and A256GCM")
    # RFC 7516, section 4.1.13: what must be understood, and isn't, makes it invalid.
    if "crit" in header or header.get("zip", "DEF") != "DEF":
        raise IntegrityError("a JWE with what only other readers understand")
    content_type = header.get("cty", "")
    if not isinstance(content_type, str) or len(content_type) > _MAX_TYPE:
        raise IntegrityError("a JWE whose content type is no short text")
    return content_type, "zip" in header


def _inflate(packed: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj(_RAW)
    try:
        content = unpacker.decompress(packed, most + 1)
    except zlib.error:
        raise IntegrityError("the file's content isn't deflated as its header says") from None
    if len(content) > most:
        raise IntegrityError(f"a file of more than {most} bytes, unpacked")
    if not unpacker.eof or unpacker.unused_data:
        raise IntegrityError("the file's content breaks off, or something follows it")
    return content
