"""A group's sealed secrets: every generation in its order, for one member, and for this group only."""

from __future__ import annotations

import pytest

from panachain.crypto import box, labels
from panachain.crypto.hpke import SealingKey
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError
from panachain.sdk.group_keys import SECRET_SIZE, open_secrets, seal_secrets

MEMBER = SealingKey.random()
SECRETS = [Seed.random() for _ in range(3)]
KEYS = [secret.group_keys().digest for secret in SECRETS]


def digests(secrets: list[Seed]) -> list[bytes]:
    return [secret.group_keys().digest for secret in secrets]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_secrets_open_in_their_order(count: int) -> None:
    sealed = seal_secrets(SECRETS[:count], MEMBER.public)

    assert digests(open_secrets(MEMBER, sealed, KEYS[:count])) == KEYS[:count]


def test_what_was_sealed_before_a_renewal_holds_the_earlier_ones() -> None:
    assert digests(open_secrets(MEMBER, seal_secrets(SECRETS[:2], MEMBER.public), KEYS)) == KEYS[:2]


def test_what_was_sealed_after_the_keys_were_read_is_left_out() -> None:
    assert digests(open_secrets(MEMBER, seal_secrets(SECRETS, MEMBER.public), KEYS[:2])) == KEYS[:2]


def test_nobody_else_opens_them() -> None:
    sealed = seal_secrets(SECRETS, MEMBER.public)

    # A later secret of the group opens nothing here either.
    for stranger in (SealingKey.random(), SECRETS[-1].sealing()):
        with pytest.raises(IntegrityError):
            open_secrets(stranger, sealed, KEYS)


@pytest.mark.parametrize("order", [[1, 0, 2], [0, 2], [1], [0, 0, 2]], ids=str)
def test_secrets_in_another_order_or_of_another_group_are_refused(order: list[int]) -> None:
    sealed = seal_secrets([SECRETS[at] for at in order], MEMBER.public)

    with pytest.raises(IntegrityError, match="aren't those"):
        open_secrets(MEMBER, sealed, KEYS)


@pytest.mark.parametrize("message", [b"", b"s" * (SECRET_SIZE - 1), b"s" * (SECRET_SIZE + 1)], ids=len)
def test_another_length_is_refused(message: bytes) -> None:
    with pytest.raises(IntegrityError, match="multiple of 32"):
        open_secrets(MEMBER, box.seal_to(MEMBER.public, message, labels.GROUP_KEY), KEYS)


def test_what_is_not_the_groups_is_refused_without_showing_it() -> None:
    sealed = box.seal_to(MEMBER.public, b"\xff" * SECRET_SIZE, labels.GROUP_KEY)

    with pytest.raises(IntegrityError, match="aren't those") as caught:
        open_secrets(MEMBER, sealed, KEYS)
    assert "ff" * 4 not in str(caught.value)


def test_a_box_with_another_label_is_refused() -> None:
    sealed = box.seal_to(MEMBER.public, SECRETS[0].reveal(), b"panachain/group-key/2")

    with pytest.raises(IntegrityError):
        open_secrets(MEMBER, sealed, KEYS)
