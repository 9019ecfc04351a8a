"""The strict wrapper around Umbral (security rule 8)."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from panachain.crypto import umbral
from panachain.errors import IntegrityError, UsageError
from panachain.secp256k1 import HALF_ORDER
from tests import oracles
from tests.support import shared

LANE, GRANTEE = umbral.SecretKey.random(), umbral.SecretKey.random()
SIGNER = umbral.Signer(umbral.SecretKey.random())
KEYS = {"verifying": SIGNER.public, "delegating": LANE.public, "receiving": GRANTEE.public}
KEY = bytes(range(32))


def cfrags(wrap: bytes, kfrags: list[bytes]) -> list[bytes]:
    return [umbral.reencrypt(umbral.capsule_of(wrap), umbral.check_kfrag(k, **KEYS), **KEYS) for k in kfrags]


@pytest.mark.parametrize("chosen", [(0, 1), (0, 2), (1, 2)])
def test_any_two_of_three_open(chosen: tuple[int, int]) -> None:
    wrap = umbral.wrap(LANE.public, KEY)
    kfrags = umbral.delegate(LANE, GRANTEE.public, SIGNER, threshold=2, shares=3)
    helped = cfrags(wrap, [kfrags[i] for i in chosen])

    opened = umbral.unwrap_reencrypted(
        GRANTEE, wrap, helped, verifying=SIGNER.public, delegating=LANE.public, threshold=2
    )

    assert opened == KEY


def test_one_of_two_needed_opens_nothing() -> None:
    wrap = umbral.wrap(LANE.public, KEY)
    kfrags = umbral.delegate(LANE, GRANTEE.public, SIGNER, threshold=2, shares=3)
    one = cfrags(wrap, kfrags[:1])

    with pytest.raises(UsageError):
        umbral.unwrap_reencrypted(GRANTEE, wrap, one, verifying=SIGNER.public, delegating=LANE.public, threshold=2)
    with pytest.raises(IntegrityError):
        umbral.unwrap_reencrypted(GRANTEE, wrap, one * 2, verifying=SIGNER.public, delegating=LANE.public, threshold=2)


@pytest.mark.parametrize(("threshold", "shares"), [(0, 3), (1, 3), (4, 3), (2, 1), (2, 256)])
def test_refuses_thresholds_that_the_library_would_take(threshold: int, shares: int) -> None:
    with pytest.raises(UsageError):
        umbral.delegate(LANE, GRANTEE.public, SIGNER, threshold=threshold, shares=shares)


def test_wrap_opens_for_its_key_only() -> None:
    wrap = umbral.wrap(LANE.public, KEY)

    assert umbral.unwrap(LANE, wrap) == KEY
    with pytest.raises(IntegrityError):
        umbral.unwrap(GRANTEE, wrap)


class TestOfNobody:
    """What stands in an envelope where a path has no lane."""

    def test_is_a_wrap_to_whoever_looks_and_no_two_are_alike(self) -> None:
        made = [umbral.wrap_nothing() for _ in range(20)]
        for one in made:
            real = umbral.wrap(LANE.public, KEY)
            # The capsule's own proof holds: a proxy re-encrypts it like any other.
            capsule = umbral.capsule_of(one)
            umbral.check_capsule_form(capsule)
            assert len(one) == len(real) == umbral.WRAP_SIZE
            # The marks between the points, the number and the seal.
            marks = [slice(0, 13), slice(46, 48), slice(81, 83), slice(115, 117), slice(189, None)]
            assert [one[mark] for mark in marks] == [real[mark] for mark in marks]
        parts = [(one[13:46], one[48:81], one[117:189]) for one in made]
        assert [len(set(kind)) for kind in zip(*parts, strict=True)] == [20, 20, 20]

    def test_is_re_encrypted_like_any_other_and_opens_for_nobody(self) -> None:
        one = umbral.wrap_nothing()
        with pytest.raises(IntegrityError, match="doesn't open"):
            umbral.unwrap(LANE, one)
        keys = {"verifying": SIGNER.public, "delegating": LANE.public, "receiving": GRANTEE.public}
        kfrags = umbral.delegate(LANE, GRANTEE.public, SIGNER, threshold=2, shares=3)
        capsule = umbral.capsule_of(one)
        for kfrag in kfrags:
            cfrag = umbral.reencrypt(capsule, umbral.check_kfrag(kfrag, **keys), **keys)
            umbral.check_cfrag(cfrag, capsule, **keys)

    def test_no_byte_is_more_frequent_than_in_a_wrap(self) -> None:
        """Of 2,000 bytes behind the capsule each bit is set about as often as not: neither zeros nor a text."""
        sealed = b"".join(umbral.wrap_nothing()[117:189] for _ in range(28))
        ones = [sum(byte >> bit & 1 for byte in sealed) / len(sealed) for bit in range(8)]
        assert all(0.4 < share < 0.6 for share in ones)

    def test_an_implementation_that_has_no_other_way_wraps_to_a_forgotten_key(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(umbral._kits.MessageKit, "of_nobody", raising=False)
        made = umbral.wrap_nothing()
        umbral.capsule_of(made)
        with pytest.raises(IntegrityError, match="doesn't open"):
            umbral.unwrap(LANE, made)


def test_every_changed_byte_of_a_wrap_is_found() -> None:
    wrap = umbral.wrap(LANE.public, KEY)
    for position in range(len(wrap)):
        changed = bytearray(wrap)
        changed[position] ^= 1
        with pytest.raises(IntegrityError):
            umbral.unwrap(LANE, bytes(changed))


def test_every_changed_byte_of_a_cfrag_is_found() -> None:
    wrap = umbral.wrap(LANE.public, KEY)
    kfrag = umbral.delegate(LANE, GRANTEE.public, SIGNER, threshold=2, shares=3)[0]
    cfrag = cfrags(wrap, [kfrag])[0]
    accepted = []
    for position in range(len(cfrag)):
        changed = bytearray(cfrag)
        changed[position] ^= 1
        try:
            umbral.check_cfrag(bytes(changed), umbral.capsule_of(wrap), **KEYS)
            accepted.append(position)
        except IntegrityError:
            continue
    assert accepted == []


@pytest.mark.parametrize("size", [0, 1, umbral.KFRAG_SIZE - 1, umbral.KFRAG_SIZE + 1])
def test_refuses_kfrags_of_another_size(size: int) -> None:
    with pytest.raises(IntegrityError):
        umbral.check_kfrag(bytes(size), **KEYS)


def test_refuses_kfrag_for_another_lane_or_grantee() -> None:
    kfrag = umbral.delegate(LANE, GRANTEE.public, SIGNER, threshold=2, shares=3)[0]
    with pytest.raises(IntegrityError):
        umbral.check_kfrag(kfrag, **(KEYS | {"delegating": GRANTEE.public}))
    with pytest.raises(IntegrityError):
        umbral.check_kfrag(kfrag, **(KEYS | {"receiving": LANE.public}))


def test_signature_refuses_its_malleable_twin() -> None:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    signature = SIGNER.sign(b"message")
    twin = signature[:32] + (order - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")

    umbral.verify(SIGNER.public, b"message", signature)
    for message, bad in ((b"message", twin), (b"massage", signature), (b"message", signature[:-1])):
        with pytest.raises(IntegrityError):
            umbral.verify(SIGNER.public, message, bad)


def test_a_machine_that_computes_wrongly_hands_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    kfrags = umbral.delegate(LANE, GRANTEE.public, SIGNER, threshold=2, shares=2)
    one, other = (umbral.capsule_of(umbral.wrap(LANE.public, KEY)) for _ in range(2))
    kfrag = umbral.check_kfrag(kfrags[0], **KEYS)
    real = umbral._umbral.reencrypt

    class Faulty:
        """The library, on a machine that works at another capsule than it was asked for."""

        def __getattr__(self, name: str) -> Any:
            return getattr(library, name)

        def reencrypt(self, _: Any, given: Any) -> Any:
            return real(umbral._capsule(other), given)

    library = umbral._umbral
    monkeypatch.setattr(umbral, "_umbral", Faulty())
    with pytest.raises(IntegrityError, match="this machine made a cfrag that doesn't fit"):
        umbral.reencrypt_many([one], kfrag, **KEYS)
    assert len(umbral.reencrypt_many([other], kfrag, **KEYS)) == 1


def test_a_cfrag_is_computed_on_once_and_only_what_was_good_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    wrap = umbral.wrap(LANE.public, KEY)
    capsule = umbral.capsule_of(wrap)
    good = cfrags(wrap, umbral.delegate(LANE, GRANTEE.public, SIGNER, threshold=2, shares=2))
    umbral._found_good.cache_clear()
    read: list[bytes] = []
    library = umbral._umbral

    class Counting:
        """The library, and which cfrags it reads."""

        def __getattr__(self, name: str) -> Any:
            return self if name == "CapsuleFrag" else getattr(library, name)

        def from_bytes(self, data: bytes) -> Any:
            read.append(data)
            return library.CapsuleFrag.from_bytes(data)

    monkeypatch.setattr(umbral, "_umbral", Counting())
    for one in good:
        umbral.check_cfrag(one, capsule, **KEYS)
    keys = {"verifying": SIGNER.public, "delegating": LANE.public}
    assert umbral.unwrap_reencrypted(GRANTEE, wrap, good, **keys, threshold=2) == KEY
    assert read == good
    # Each byte and each key counts: for another one nothing is remembered, however often it is asked.
    bad = good[0][:-1] + bytes([good[0][-1] ^ 1])
    for _ in range(2):
        with pytest.raises(IntegrityError):
            umbral.check_cfrag(bad, capsule, **KEYS)
        for name in KEYS:
            with pytest.raises(IntegrityError):
                umbral.check_cfrag(good[0], capsule, **(KEYS | {name: umbral.SecretKey.random().public}))
        with pytest.raises(IntegrityError):
            umbral.check_cfrag(good[0], umbral.capsule_of(umbral.wrap(LANE.public, KEY)), **KEYS)
    assert len(read) == 2 + 2 * 5


def test_repr_shows_no_secret() -> None:
    secret = umbral.SecretKey.from_bytes(KEY)
    assert KEY.hex() not in repr(secret) + repr(umbral.Signer(secret))


class TestOutsideVectors:
    def load(self) -> dict[str, Any]:
        path = next(p for p in sorted(shared("vectors", "umbral-cross").iterdir()) if p.suffix == ".json")
        vectors: dict[str, Any] = json.loads(path.read_bytes())
        return vectors

    def keys(self, vectors: dict[str, Any]) -> dict[str, bytes]:
        secret = {n: umbral.SecretKey.from_bytes(bytes.fromhex(vectors[f"{n}_sk"])) for n in KEYS_OF}
        return {name: secret[source].public for name, source in NAMES.items()}

    def test_kfrags_and_cfrags_of_another_implementation_verify(self) -> None:
        vectors = self.load()
        keys = self.keys(vectors)
        capsule = bytes.fromhex(vectors["capsule"])
        for kfrag in vectors["kfrags"]:
            checked = umbral.check_kfrag(bytes.fromhex(kfrag), **keys)
            umbral.check_cfrag(umbral.reencrypt(capsule, checked, **keys), capsule, **keys)
        for cfrag in vectors["cfrags"]:
            umbral.check_cfrag(bytes.fromhex(cfrag), capsule, **keys)

    def test_kfrag_with_foreign_base_point_is_refused(self) -> None:
        vectors = self.load()
        forged = bytes.fromhex(vectors["negative"]["forged_params_u_kfrag_must_be_rejected_by_our_wrapper"])
        with pytest.raises(IntegrityError, match="base point"):
            umbral.check_kfrag(forged, **self.keys(vectors))


KEYS_OF = ("delegating", "receiving", "signing")
NAMES = {"verifying": "signing", "delegating": "delegating", "receiving": "receiving"}


def test_signatures_are_checked_as_umbral_checks_them() -> None:
    _, library = oracles.nucypher()
    signer = SIGNER
    for number in range(40):
        message = os.urandom(number * 7)
        good = signer.sign(message)
        changed = bytearray(good)
        changed[number] ^= 1 << number % 8
        for signature, text in ((good, message), (bytes(changed), message), (good, message + b"x")):
            try:
                theirs = library.Signature.from_be_bytes(signature).verify(
                    library.PublicKey.from_compressed_bytes(signer.public), text
                )
            except ValueError:
                theirs = False
            try:
                umbral.verify(signer.public, text, signature)
                ours = True
            except IntegrityError:
                ours = False
            # We refuse the malleable twin that the library takes.
            assert ours == (theirs and int.from_bytes(signature[32:], "big") <= HALF_ORDER)
