"""Make log.json: a proxy's log of 300 entries by fixed keys, and what is proven of it.

    python tests/vectors/log/make.py

Entry i is the text "entry " ‖ i. A checkpoint with a cosignature, tiles, proofs of inclusion and growth, a map's rows
for a number that is there and one that isn't, and a tlog-proof. tests/unit/consent/test_log_checkpoint.py fails when
the file is stale; torchwood/main.go checks it by code of others.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from panachain.chain.receipts import log_domain
from panachain.chain.signing import Account
from panachain.consent.log_checkpoint import Checkpoint, key_line, origin_of, proof_text, witness_of
from panachain.consent.log_map import EpochMap, Placed, Row, map_key, maps_tree
from panachain.consent.log_proof import leaf_hash
from panachain.consent.log_tree import WIDTH, LogTree, tile_path
from panachain.crypto.notes import COSIGNATURE, ED25519, Note, NoteKey, verifier_key
from panachain.model.actors import PolicyId
from panachain.records.tree_hash import combined

SIZE, BEFORE, INDEX = 300, 258, 77
POLICY = PolicyId("0x" + "44" * 20)
AUDIT = bytes(range(256)) * 4 + bytes(192)


def vectors() -> dict[str, Any]:
    """Return them as they are written."""
    domain = log_domain(31_337, "0x" + "22" * 20)
    proxy, witness = Account(b"\1" * 32), Account(b"\2" * 32)
    key = NoteKey(origin_of(domain, proxy.address), b"\3" * 32)
    other = NoteKey(witness_of(domain, witness.address), b"\4" * 32)
    entries = [f"entry {number}".encode() for number in range(SIZE)]
    leaves = [leaf_hash(entry) for entry in entries]

    def tile(level: int, number: int, width: int) -> list[bytes]:
        each = WIDTH**level
        first = number * WIDTH * each
        return [combined(leaves[start : start + each]) for start in range(first, first + width * each, each)]

    tree = LogTree(tile, SIZE)
    # The policy has every third receipt; the others are somebody else's.
    counts = {True: 0, False: 0}
    rows = []
    for number, leaf in enumerate(leaves):
        own = number % 3 == 0
        policy = POLICY if own else PolicyId("0x" + "55" * 20)
        rows.append(Row(map_key(AUDIT, policy, 0, counts[own]), number, leaf))
        counts[own] += 1
    made = EpochMap(0, rows)
    checkpoint = Checkpoint(key.name, SIZE, tree.root(), maps_tree([made.head]))
    text = checkpoint.text()
    lines = (
        *(key.sign(text), key_line(proxy, domain, key)),
        *(other.cosign(text, at=1_800_000_000), key_line(witness, domain, other)),
    )
    note = Note(text, lines)
    present, absent = map_key(AUDIT, POLICY, 0, 5), map_key(AUDIT, POLICY, 0, counts[True])
    return {
        "domain": domain.hex(),
        "proxy": proxy.address,
        "witness": witness.address,
        "verifier_key": verifier_key(key.name, ED25519, key.public),
        "witness_key": verifier_key(other.name, COSIGNATURE, other.public),
        "size": SIZE,
        "root": tree.root().hex(),
        "checkpoint": note.encode(),
        "tiles": {
            tile_path(0, 1, SIZE - WIDTH): b"".join(tree.tile(0, 1)).hex(),
            tile_path(1, 0, 1): b"".join(tree.tile(1, 0)).hex(),
        },
        "inclusion": {"index": INDEX, "path": [one.hex() for one in tree.inclusion(INDEX)]},
        "growth": {
            "before": BEFORE,
            "root": LogTree(tile, BEFORE).root().hex(),
            "proof": [one.hex() for one in tree.consistency(BEFORE)],
        },
        "proof": proof_text(note, index=INDEX, path=tree.inclusion(INDEX)),
        "map": {
            "audit_key": AUDIT.hex(),
            "policy": POLICY,
            "tree": made.head.tree.hex(),
            "present": {"number": 5, "key": present.hex(), "rows": list(map(_placed, made.prove(present)))},
            "absent": {"number": counts[True], "key": absent.hex(), "rows": list(map(_placed, made.prove(absent)))},
        },
    }


def _placed(one: Placed) -> dict[str, Any]:
    return {"place": one.place, "row": one.row.encode().hex(), "path": [hashed.hex() for hashed in one.path]}


if __name__ == "__main__":
    text = json.dumps(vectors(), indent=1, ensure_ascii=False)
    (Path(__file__).parent / "log.json").write_text(text + "\n", encoding="utf-8")
