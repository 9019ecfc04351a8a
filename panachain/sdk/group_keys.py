"""A group's secrets, as its manager seals them to one member: those of all generations, oldest first.

Each is a seed of its own, from which the keys follow that the group's key block names. Never decides who gets them.
Follows docs/spec/formats.md (`panachain/group-key/3`), docs/adr/0009 and docs/adr/0035.

    group key = box to the member of secret of generation 0 ‖ secret of generation 1 ‖ …
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from panachain.crypto import box, labels
from panachain.crypto.hpke import SealingKey
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError

SECRET_SIZE: Final = 32
"""Bytes of a secret: a seed."""


def seal_secrets(secrets: Iterable[Seed], member_key: bytes) -> bytes:
    """Return a group's secrets, sealed to one member.

    Args:
        secrets: of all generations, oldest first.
        member_key: the member's sealing key, 1,216 bytes.
    """
    return box.seal_to(member_key, b"".join(secret.reveal() for secret in secrets), labels.GROUP_KEY)


def open_secrets(member: SealingKey, sealed: bytes, digests: Sequence[bytes]) -> list[Seed]:
    """Return the secrets that were sealed to a member, oldest first.

    What was sealed before a renewal holds fewer than there are generations; what was sealed after `digests` were read
    may hold more, and those are left out.

    Args:
        member: the member's sealing key.
        sealed: from `seal_secrets`.
        digests: of the group's key blocks, oldest first, 32 bytes each.

    Raises:
        IntegrityError: it is sealed to somebody else, or its secrets aren't the group's.
    """
    plain = box.open_box(member, sealed, labels.GROUP_KEY)
    if not plain or len(plain) % SECRET_SIZE:
        raise IntegrityError(f"a group's sealed secrets have {len(plain)} bytes, not a multiple of {SECRET_SIZE}")
    pieces = [plain[start : start + SECRET_SIZE] for start in range(0, len(plain), SECRET_SIZE)]
    secrets = [Seed(piece) for piece in pieces[: len(digests)]]
    if [secret.group_keys().digest for secret in secrets] != list(digests[: len(secrets)]):
        raise IntegrityError("a group's sealed secrets aren't those of its key blocks")
    return secrets
