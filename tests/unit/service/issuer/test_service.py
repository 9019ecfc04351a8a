"""An issuer signs for registered, active patients, so often in a period, and never learns what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError, OutOfScopeError, RateLimitedError, SuspendedError, UsageError
from panachain.model.actors import Role, Status
from tests.unit.service.issuer.world import KEY, PERIOD, IssuerWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[IssuerWorld]:
    made = IssuerWorld(tmp_path)
    yield made
    made.close()


def test_what_it_signs_becomes_a_token(world: IssuerWorld) -> None:
    seed, asked = world.patient(), world.asks(2)
    request = world.request(seed, blinded=tuple(one.blinded for one in asked))
    world.service.authenticate(request)
    signed = world.service.issue(request)
    tokens = [one.token(signature) for one, signature in zip(asked, signed, strict=True)]
    for one, token in zip(asked, tokens, strict=True):
        KEY.public.verify(one.message, token[98:])
    # Nothing that the issuer saw or kept stands in a token.
    assert not any(part in token for token in tokens for part in (*request.blinded, *signed, request.digest))


def test_everybody_has_so_many_in_a_period(world: IssuerWorld) -> None:
    first, second = world.patient(), world.patient()
    world.service.issue(world.request(first, 30))
    with pytest.raises(RateLimitedError, match="all 40 tokens of this period") as refused:
        world.service.issue(world.request(first, 11))
    assert refused.value.retry_after == PERIOD - 100
    world.service.issue(world.request(first, 10))
    world.service.issue(world.request(second, 40))
    world.clock.now += PERIOD
    assert len(world.service.issue(world.request(first, 40))) == 40


def test_an_answer_that_was_lost_is_given_again_and_counts_once(world: IssuerWorld) -> None:
    request = world.request(world.patient(), 40)
    assert world.service.issue(request) == world.service.issue(request)


@pytest.mark.parametrize(
    ("role", "status"), [(Role.PATIENT, Status.SUSPENDED), (Role.PRACTITIONER, Status.ACTIVE), (None, None)]
)
def test_others_get_none(world: IssuerWorld, role: Role | None, status: Status | None) -> None:
    seed = Seed.random() if role is None or status is None else world.patient(role=role, status=status)
    with pytest.raises(SuspendedError):
        world.service.issue(world.request(seed))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"expires_at": 0}, UsageError),
        ({"expires_at": 10**9}, UsageError),
        ({"period": 4}, UsageError),
        ({"period": 6}, UsageError),
        ({"blinded": ()}, UsageError),
        ({"blinded": (bytes(256),) * 65}, UsageError),
    ],
)
def test_a_request_is_for_now_and_bounded(world: IssuerWorld, change: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        world.service.authenticate(world.request(world.patient(), **change))


def test_nobody_asks_in_a_patients_name(world: IssuerWorld) -> None:
    with pytest.raises(OutOfScopeError):
        world.service.authenticate(world.request(world.patient(), signer=Seed.random()))


def test_what_is_no_number_below_the_modulus_is_not_signed(world: IssuerWorld) -> None:
    with pytest.raises(IntegrityError):
        world.service.issue(world.request(world.patient(), blinded=(b"\xff" * 256,)))
