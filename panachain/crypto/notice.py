"""Notices: how a grantee finds policies on a chain that doesn't name the grantee.

Each policy shows a one-time public key and one byte, the view tag. Whoever holds the secret of the receiving key that
the policy is for computes the same byte; for everybody else it fits once in 256 times by chance, and says nothing.
Never opens anything: the terms are sealed by themselves. Follows ERC-5564 (one-time key, view tag), SEC 1 section 3.3.1
(ECDH) and BIP-340 (a point by its x coordinate, with even y).

    shared = SHA-256(compressed point (one-time secret) * (receiving key))
    tag    = HKDF-Expand(shared, label, policy ID)[0]
"""

from __future__ import annotations

from hashlib import sha256

from panachain.crypto import kdf, labels, umbral
from panachain.errors import IntegrityError
from panachain.model.actors import PolicyId
from panachain.secp256k1 import Point, Scalar

_EVEN = b"\x02"
"""First byte of a compressed point whose y is even, SEC 1 section 2.3.3."""


def announce(receiving: bytes, policy_id: PolicyId) -> tuple[bytes, int]:
    """Make the notice of one policy.

    Args:
        receiving: the grantee's receiving key, 33 bytes.
        policy_id: of the policy, so that a notice can't be moved to another one.

    Returns:
        The x coordinate of a fresh one-time key, 32 bytes, and the view tag, one byte as a number.

    Raises:
        IntegrityError: `receiving` isn't a point.
    """
    while True:
        one_time = Scalar.random()
        public = one_time.public().encoded
        # Half of all keys have an even y; only x is published.
        if public[:1] == _EVEN:
            break
    try:
        # As libsecp256k1's own hash function has it: of the compressed point.
        shared = sha256(one_time.times(Point.parse(receiving)).encoded).digest()
    except ValueError as exc:
        raise IntegrityError("the receiving key isn't a point of the curve") from exc
    return public[1:], _tag(shared, policy_id)


def is_for(secret: umbral.SecretKey, one_time: bytes, view_tag: int, policy_id: PolicyId) -> bool:
    """Tell whether a policy may be for the owner of `secret`: always when it is, and once in 256 times when it isn't.

    Args:
        secret: the receiving key's secret.
        one_time: from the chain, 32 bytes; anybody may have written it.
        view_tag: from the chain.
        policy_id: of the policy.
    """
    shared = secret.agree(_EVEN + one_time)
    return shared is not None and _tag(shared, policy_id) == view_tag


def _tag(shared: bytes, policy_id: PolicyId) -> int:
    return kdf.derive(shared, labels.NOTICE, bytes.fromhex(policy_id[2:]))[0]
