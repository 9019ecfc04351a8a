"""A text of one person's, sealed to a few others: why somebody breaks the glass, and what a carer's papers say.

Says nothing about who reads it or what it means. Follows docs/spec/emergency.md and docs/spec/wards.md.

    box to each reader (label of its use), dag-cbor { v: 1, FIELD: text, … }
"""

from __future__ import annotations

from collections.abc import Sequence

from panachain.crypto import box
from panachain.crypto.hpke import SealingKey
from panachain.errors import IntegrityError
from panachain.ipld import dagcbor


def seal_text(label: bytes, field: str, text: str, *, readers: Sequence[bytes], **more: str) -> bytes:
    """Return a text, sealed.

    Args:
        label: of its use.
        field: under which it stands.
        text: what is sealed.
        readers: sealing keys, 1,216 bytes each.
        more: other fields, which nobody here reads.
    """
    return box.seal_to_each(readers, dagcbor.encode({"v": 1, field: text, **more}), label)


def open_text(block: bytes, secret: SealingKey, label: bytes, field: str, *, readers: int, most: int) -> str:
    """Return a text that is sealed to this key.

    Args:
        block: as `seal_text` makes it.
        secret: of one of its readers.
        label: of its use.
        field: under which it stands.
        readers: how many it is sealed to.
        most: characters that it has at most.

    Raises:
        IntegrityError: it is sealed to others, or says nonsense.
    """
    body = dagcbor.decode(box.open_shared(secret, block, label, readers=readers))
    text = body.get(field) if isinstance(body, dict) and body.get("v") == 1 else None
    if not isinstance(text, str) or len(text) > most:
        raise IntegrityError(f"what is sealed has no {field} of at most {most} characters, or is of another version")
    return text
