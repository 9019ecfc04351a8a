"""Make manifest.json: manifests of fixed rows, and what their roots prove.

    python tests/vectors/manifest/make.py

Row i of a manifest of n rows has the key SHA-256("key" ‖ n ‖ i)[:16] and the raw CID of "header" ‖ n ‖ i, numbers in
four bytes, big-endian. tests/unit/records/test_manifest.py fails when the file is stale.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address
from panachain.records import manifest, manifest_proof

HOSPITAL = Address("0x" + "11" * 20)
COUNTS = (1, 2, 2048, 2049, 5000)


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def rows(count: int) -> dict[bytes, CID]:
    return {
        hashlib.sha256(b"key" + number(count) + number(i)).digest()[:16]: CID.of(
            RAW, b"header" + number(count) + number(i)
        )
        for i in range(count)
    }


def vector(count: int, sequence: int, previous: CID | None) -> tuple[CID, dict[str, Any]]:
    root, blocks = manifest.build(rows(count), hospital=HOSPITAL, sequence=sequence, previous=previous)
    body = {"count": count, "sequence": sequence, "previous": None if previous is None else str(previous)}
    sizes = [len(data) for _, data in blocks]
    made = {"root": str(root), "root_block": blocks[-1][1].hex(), "sizes": sizes, "proofs": proofs(root, blocks, count)}
    return root, body | {"hospital": HOSPITAL} | made


def proofs(root: CID, blocks: Iterable[tuple[CID, bytes]], count: int) -> list[dict[str, Any]]:
    """Return proofs of the first and the last row, and of a key below all others."""

    class Held(dict[CID, bytes]):
        get_block = dict.__getitem__

    ordered = sorted(rows(count))
    wanted = {"first": ordered[0], "last": ordered[-1], "absent": bytes(16)}
    held = Held(blocks)
    return [
        {"what": what, "key": key.hex(), "proof": manifest_proof.prove(held, root, key).encode().hex()}
        for what, key in wanted.items()
    ]


def vectors() -> dict[str, Any]:
    made: list[dict[str, Any]] = []
    previous: CID | None = None
    for sequence, count in enumerate(COUNTS, start=1):
        previous, body = vector(count, sequence, previous)
        made.append(body)
    return {"format": "panachain/manifest/2", "manifests": made}


if __name__ == "__main__":
    Path(__file__).with_name("manifest.json").write_text(json.dumps(vectors(), indent=1) + "\n")
