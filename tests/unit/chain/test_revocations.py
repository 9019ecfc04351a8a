"""A signed revocation proves itself: by the contract's own struct, for one registry, by the policy's own key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panachain.chain.bound import BoundContract
from panachain.chain.contracts.policy_registry import PolicyRegistry
from panachain.chain.revocations import check_revocation, registry_domain
from panachain.chain.signing import Account
from panachain.errors import IntegrityError
from panachain.model.actors import Address, PolicyId
from panachain.model.transactions import Revocation

CHAIN_ID, REGISTRY = 31_337, "0x" + "11" * 20
OWNER = Account(b"\x07" * 32)
DOMAIN = registry_domain(CHAIN_ID, REGISTRY)


def signed(chain_id: int = CHAIN_ID, registry: str = REGISTRY, by: Account = OWNER) -> Revocation:
    """Return a revocation as the registry's adapter signs it, which is what the contract takes."""
    unused: Any = None
    adapter = PolicyRegistry(BoundContract(unused, "PolicyRegistry", registry, chain_id=chain_id))
    return Revocation(PolicyId(OWNER.address), adapter.sign_revoke(by))


def test_what_the_contract_takes_is_taken() -> None:
    check_revocation(DOMAIN, signed())


@pytest.mark.parametrize(
    "wrong",
    [
        signed(chain_id=1),
        signed(registry="0x" + "22" * 20),
        signed(by=Account(b"\x08" * 32)),
        replace(signed(), policy_id=PolicyId(Address(Account(b"\x08" * 32).address))),
        replace(signed(), signature=b""),
        replace(signed(), signature=bytes(64)),
        replace(signed(), signature=signed().signature[:63]),
        replace(signed(), signature=signed().signature[:32] + bytes([signed().signature[32] ^ 0x80]) + bytes(31)),
    ],
)
def test_any_other_signature_is_refused(wrong: Revocation) -> None:
    with pytest.raises(IntegrityError, match="isn't signed by the policy's own key"):
        check_revocation(DOMAIN, wrong)
