"""What tracing found, as JSON: stable keys, and no key of anybody."""

from __future__ import annotations

from panachain.model.actors import Actor, Address, PolicyId, Role, Status
from panachain.sdk.readings import Reading
from panachain.sdk.results.tracing import RecordAccess, Traced

WHO = Actor(Address("0x" + "aa" * 20), Role.PRACTITIONER, Status.SUSPENDED, bytes(32))
READING = Reading(WHO.address, WHO.address, PolicyId("0x" + "11" * 20), (), "TREAT", 1, 2, False, 0, (WHO.address,))


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


def test_who_reads_a_record() -> None:
    fields = RecordAccess("bafy", WHO.address, "laboratory", 0, (), (READING,)).to_json()
    assert fields["schema"] == "panachain/record-access/1"
    assert (fields["can_read"], fields["did_read"]) == ([], [READING.to_json()])
