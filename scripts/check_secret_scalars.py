#!/usr/bin/env python3
"""Check that secret scalars reach only functions of libsecp256k1 whose time doesn't tell them (security rule 39).

Reads the syntax trees of panachain/, runs nothing. Together with mypy, which keeps a `Scalar` from every argument that
takes bytes, it proves which functions secrets reach:

1. Nothing but panachain/secp256k1.py names libsecp256k1 (import-linter's contract; here for names in text, too).
2. In it, a scalar's memory (`._memory`) is an argument of the functions in `SECRET_TAKERS`, or is copied, wiped or
   hashed in the few methods of `HOLDERS`; it is never compared, indexed, assigned to another name, or given elsewhere.
3. `SECRET_TAKERS` is the list that was reviewed: `REVIEWED`.
4. `reveal()`, which makes bytes of a scalar, is called in panachain/secp256k1.py and panachain/crypto/umbral/ by the
   functions of `REVEALERS` alone, each for a reason that stands beside it.
5. There, integers are made of bytes only by the functions of `NUMBERS`, which see public values or blinded ones.

    scripts/check_secret_scalars.py [FOLDER]
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CURVE: Final = "secp256k1.py"
SCHEME: Final = "crypto/umbral"
MEMORY: Final = "_memory"
LIBRARIES: Final = ("_libsecp256k1", "btclib_secp256k1")
REVIEWED: Final = frozenset(
    {
        *("secp256k1_ecdh", "secp256k1_ec_pubkey_create", "secp256k1_ecdsa_sign", "secp256k1_ecdsa_sign_recoverable"),
        *("secp256k1_ec_seckey_tweak_add", "secp256k1_ec_seckey_tweak_mul", "secp256k1_ec_seckey_negate"),
        "secp256k1_ec_seckey_verify",
    }
)
"""What libsecp256k1 computes in constant time (its README: "for secret keys"; its own ctime tests run each)."""
HOLDERS: Final = {
    "Scalar.__init__": "copies the secret in",
    "Scalar._copy": "copies it",
    "Scalar.reveal": "the one way out, see 4",
    "Scalar.hash_into": "SHA-256, which takes the same time for each input of one length",
}
REVEALERS: Final = {
    "secp256k1.py:Scalar.inverse": "of the product with a random scalar",
    "crypto/umbral/scheme.py:SecretKey.to_be_bytes": "to be sealed in a key store",
    "crypto/umbral/scheme.py:Capsule._drawn_anew": "s, which stands in the capsule",
    "crypto/umbral/scheme.py:_kfrags": "into the kfrag, which is sealed to its proxy",
    "crypto/umbral/scheme.py:reencrypt": "z, which stands in the cfrag",
}
NUMBERS: Final = {
    "secp256k1.py:Scalar.of_digest": "in a case that comes once in 2^127 times",
    "secp256k1.py:Scalar.inverse": "of the product with a random scalar",
    "secp256k1.py:generator_less": "the x coordinate of a public point",
    "crypto/umbral/__init__.py:verify": "s of a public signature",
    "crypto/umbral/scheme.py:_coefficient": "random, of this machine's check of cfrags, and public to nobody",
    "crypto/umbral/scheme.py:_public_scalar": "a hash of public points",
    "crypto/umbral/scheme.py:_public_number": "what stands in a capsule or cfrag",
}


def faults(root: Path) -> Iterator[str]:
    """Yield what contradicts the rules above, a line each."""
    used: set[str] = set()
    named = 0
    curve = ast.parse((root / CURVE).read_text())
    takers = _literal_names(curve, "SECRET_TAKERS")
    if takers != REVIEWED:
        yield f"{CURVE}: SECRET_TAKERS differs from the reviewed list by {sorted(takers ^ REVIEWED)}"
    for path in sorted(root.rglob("*.py")):
        name, text = path.relative_to(root).as_posix(), path.read_text()
        if name != CURVE and any(library in text for library in LIBRARIES):
            yield f"{name}: libsecp256k1 is named outside panachain/{CURVE}"
        if name != CURVE and re.search(rf"\.{MEMORY}\b|[\"']{MEMORY}[\"']", text):
            yield f"{name}: the memory of secret scalars is named outside panachain/{CURVE}"
        if name == CURVE or name.startswith(SCHEME + "/"):
            tree = ast.parse(text)
            parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and node.value == MEMORY:
                    named += 1
                place = _place(node, parents)
                where = f"{name}:{getattr(node, 'lineno', 0)}"
                if isinstance(node, ast.Attribute) and node.attr == MEMORY and name == CURVE:
                    if place in HOLDERS:
                        used.add(place)
                    elif not _is_argument_of(node, parents, takers):
                        yield f"{where}: a secret scalar is used in {place} beyond the functions of SECRET_TAKERS"
                if isinstance(node, ast.Attribute) and node.attr in ("reveal", "from_bytes", "pow"):
                    if node.attr == "from_bytes" and not (isinstance(node.value, ast.Name) and node.value.id == "int"):
                        continue
                    allowed = REVEALERS if node.attr == "reveal" else NUMBERS
                    # A method of the wrapper's that hands a key on, by name: what it hands on is judged where it is.
                    if f"{name}:{place}" in allowed:
                        used.add(f"{allowed is REVEALERS}{name}:{place}")
                    else:
                        yield f"{where}: {place} calls {node.attr}, which isn't listed with a reason"
    # The slot's name, and where `__del__` wipes what it may not have.
    if named != 2:
        yield f"{CURVE}: {MEMORY} is named {named} times in text, expected 2"
    for key in HOLDERS:
        if key not in used:
            yield f"{key} is listed and holds no secret any more"
    for table, first in ((REVEALERS, True), (NUMBERS, False)):
        for key in table:
            if f"{first}{key}" not in used:
                yield f"{key} is listed and calls nothing of it any more"


def _place(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> str:
    names: list[str] = []
    here: ast.AST | None = node
    while here is not None:
        if isinstance(here, ast.FunctionDef | ast.ClassDef):
            names.append(here.name)
        here = parents.get(here)
    return ".".join(reversed(names)) or "the module"


def _is_argument_of(node: ast.AST, parents: dict[ast.AST, ast.AST], takers: frozenset[str]) -> bool:
    call = parents.get(node)
    return (
        isinstance(call, ast.Call)
        and node in call.args
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "lib"
        and call.func.attr in takers
    )


def _literal_names(tree: ast.Module, name: str) -> frozenset[str]:
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            return frozenset(
                leaf.value
                for leaf in ast.walk(node)
                if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str) and leaf.value.startswith("secp")
            )
    return frozenset()


def main() -> int:
    """Print each fault; return 1 if there is one."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1] / "panachain"
    found = list(faults(root))
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
