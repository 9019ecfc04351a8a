"""What tracing found, as JSON: stable keys, and no key of anybody."""

from __future__ import annotations

from panachain.model.actors import Actor, Address, Role, Status
from panachain.sdk.results.tracing import Traced

WHO = Actor(Address("0x" + "aa" * 20), Role.PRACTITIONER, Status.SUSPENDED, bytes(32))


def test_who_is_traced() -> None:
    assert Traced(WHO, "seed", True).to_json() == {
        "schema": "panachain/traced/1",
        "who": WHO.address,
        "handle": WHO.handle,
        "role": "practitioner",
        "status": "suspended",
        "organisation": None,
        "what": "seed",
        "secret": True,
    }
