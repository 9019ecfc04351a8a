"""Notices: their grantee always finds them, others by chance, and nobody can move one to another policy."""

from __future__ import annotations

import pytest

from panachain.crypto import notice, umbral
from panachain.errors import IntegrityError
from panachain.model.actors import PolicyId

GRANTEE, STRANGER = umbral.SecretKey.random(), umbral.SecretKey.random()
POLICY = PolicyId("0x" + "11" * 20)


def test_the_grantee_finds_every_one() -> None:
    for _ in range(50):
        one_time, tag = notice.announce(GRANTEE.public, POLICY)
        assert (len(one_time), 0 <= tag < 256) == (32, True)
        assert notice.is_for(GRANTEE, one_time, tag, POLICY)


def test_a_stranger_finds_one_in_256_at_most_by_chance() -> None:
    made = [notice.announce(GRANTEE.public, POLICY) for _ in range(400)]
    hits = sum(notice.is_for(STRANGER, one_time, tag, POLICY) for one_time, tag in made)
    # 400/256 are expected; 20 have a chance of less than 10^-14.
    assert hits < 20


def test_a_notice_belongs_to_one_policy() -> None:
    one_time, tag = notice.announce(GRANTEE.public, POLICY)
    others = [PolicyId(f"0x{number:040x}") for number in range(400)]
    assert sum(notice.is_for(GRANTEE, one_time, tag, other) for other in others) < 20


def test_no_two_notices_of_one_grantee_look_alike() -> None:
    assert len({notice.announce(GRANTEE.public, POLICY)[0] for _ in range(20)}) == 20


@pytest.mark.parametrize("one_time", [bytes(32), b"\xff" * 32, (5).to_bytes(32, "big")])
def test_what_is_no_point_is_for_nobody(one_time: bytes) -> None:
    """Anybody can write 32 bytes on the chain: x = 5 has no y on the curve."""
    assert not any(notice.is_for(GRANTEE, one_time, tag, POLICY) for tag in range(256))


def test_a_receiving_key_that_is_no_point_is_told() -> None:
    with pytest.raises(IntegrityError, match="isn't a point"):
        notice.announce(b"\x02" + b"\xff" * 32, POLICY)
