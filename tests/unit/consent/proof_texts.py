"""Reading a tlog-proof, as a verifier of others does: nothing of ours needs to."""

from __future__ import annotations

from base64 import b64decode


def parse_proof(text: str) -> tuple[int, list[bytes], bytes]:
    """Return index, path and checkpoint of a proof (C2SP tlog-proof 1.0.0), none of it checked."""
    head, note = text.split("\n\n", 1)
    first, index, *path = head.split("\n")
    assert first == "c2sp.org/tlog-proof@v1"
    assert index.startswith("index ")
    return int(index.removeprefix("index ")), [b64decode(one, validate=True) for one in path], note.encode()
