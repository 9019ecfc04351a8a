"""A revocation's file comes back as it was, and nothing that its policy's key didn't sign is taken from it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from panachain.chain.bound import BoundContract
from panachain.chain.contracts.policy_registry import PolicyRegistry
from panachain.chain.signing import Account
from panachain.consent.revocation_file import MAX_SIZE, RevocationFile, read_file, write_file
from panachain.errors import IntegrityError, UsageError
from panachain.ethereum import checksum_address
from panachain.model.actors import PolicyId
from panachain.model.transactions import Revocation

REGISTRY = checksum_address(b"\x11" * 20)
OWNER = Account(b"\x07" * 32)
UNUSED: Any = None
SIGNED = PolicyRegistry(BoundContract(UNUSED, "PolicyRegistry", REGISTRY, chain_id=31_337)).sign_revoke(OWNER)
FILE = RevocationFile(31_337, REGISTRY, Revocation(PolicyId(OWNER.address), SIGNED))
FIELDS = json.loads(write_file(FILE))


def test_comes_back_as_it_was() -> None:
    assert read_file(write_file(FILE)) == FILE


def test_is_read_up_to_its_size_and_not_beyond() -> None:
    assert read_file(write_file(FILE).ljust(MAX_SIZE)) == FILE
    with pytest.raises(UsageError, match="isn't a signed revocation"):
        read_file(write_file(FILE).ljust(MAX_SIZE + 1))


def test_holds_what_the_chain_tells_and_nothing_else() -> None:
    assert set(FIELDS) == {"schema", "chain_id", "policy_registry", "policy_id", "signature"}


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": 1},
        {"policy_registry": checksum_address(b"\x12" * 20)},
        {"policy_id": checksum_address(b"\x13" * 20)},
        {"signature": "00" * 64},
    ],
)
def test_what_its_key_did_not_sign_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="isn't signed by the policy's own key"):
        read_file(json.dumps(FIELDS | change).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 4000,
        b" " * (MAX_SIZE + 1),
        *(json.dumps({k: v for k, v in FIELDS.items() if k != name}).encode() for name in FIELDS),
        json.dumps(FIELDS | {"seed": "00"}).encode(),
        *(json.dumps(FIELDS | {"chain_id": wrong}).encode() for wrong in (0, -1, True, "1", 1.5, 1 << 256, None)),
        *(json.dumps(FIELDS | {"signature": wrong}).encode() for wrong in ("", "zz", "00" * 65, 7, None)),
        *(json.dumps(FIELDS | {"policy_id": wrong}).encode() for wrong in ("", "0x", "0x" + "zz" * 20, 7, None)),
        json.dumps(FIELDS | {"schema": "panachain/signed-revocation/2"}).encode(),
    ],
)
def test_what_is_no_such_file_is_a_typed_error(content: bytes) -> None:
    with pytest.raises(UsageError, match="isn't a signed revocation"):
        read_file(content)
