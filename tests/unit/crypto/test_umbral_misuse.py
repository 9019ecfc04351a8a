"""Umbral's misuse cases (security rules 2 and 8): the wrapper, the library and a slow oracle held against each other.

Each refusal has its control: what the library alone would take.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import panachain
from panachain.crypto import keys, umbral
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError, UsageError
from panachain.model.scope import Category, Scope
from tests import oracles
from tests.unit.crypto import umbral_oracle as oracle

nucypher_core, library = oracles.nucypher()

SECRETS = {name: random.Random(name).randrange(1, oracle.ORDER) for name in ("lane", "grantee", "signer", "stranger")}
KEY = bytes(range(32))
LANE, GRANTEE, STRANGER = (
    umbral.SecretKey.from_bytes(SECRETS[n].to_bytes(32, "big")) for n in ("lane", "grantee", "stranger")
)
SIGNER = umbral.Signer(umbral.SecretKey.from_bytes(SECRETS["signer"].to_bytes(32, "big")))
KEYS = {"verifying": SIGNER.public, "delegating": LANE.public, "receiving": GRANTEE.public}
STR8 = 0xC4 ^ 0xD9
"""Makes MessagePack's mark of bytes the mark of text, which the library reads alike."""
FOR_RECEIVER = range(244, 308)
"""The signature in a kfrag that the library doesn't check."""
MARKS = {2, 37, 71, 105, 141, 176, 242}
"""Where an encoded kfrag has a mark of bytes."""
UNSIGNED = (0x02 ^ 0x05, 0x03 ^ 0x05)
"""Makes a point's mark the mark of a point without its sign, which the library reads too."""
POINTS = {4, 107, 143}
"""Where an encoded kfrag has a point."""

WRAP = umbral.wrap(LANE.public, KEY)
CAPSULE = umbral.capsule_of(WRAP)
KFRAGS = umbral.delegate(LANE, GRANTEE.public, SIGNER, threshold=2, shares=3)
CFRAGS = [umbral.reencrypt(CAPSULE, umbral.check_kfrag(k, **KEYS), **KEYS) for k in KFRAGS]


def numbers(random_: random.Random, count: int) -> tuple[int, ...]:
    return tuple(random_.randrange(1, oracle.ORDER) for _ in range(count))


def randomness(seed: object, threshold: int, shares: int) -> oracle.Randomness:
    source = random.Random(str(seed))
    ids = tuple(source.randbytes(32) for _ in range(shares))
    return oracle.Randomness(numbers(source, 1)[0], numbers(source, threshold - 1), ids, numbers(source, 2 * shares))


def oracle_kfrags(seed: object, threshold: int = 2, shares: int = 3) -> list[oracle.Kfrag]:
    chosen = randomness(seed, threshold, shares)
    return oracle.generate_kfrags(SECRETS["lane"], GRANTEE.public, SECRETS["signer"], chosen)


def refused(call: Callable[[], object]) -> bool:
    """Tell whether a call ends with the error that the wrapper or the oracle promises; anything else goes through."""
    try:
        call()
    except (IntegrityError, oracle.OracleError):
        return True
    return False


def of_library(key: umbral.SecretKey) -> library.SecretKey:
    return library.SecretKey.from_be_bytes(key.reveal())


def library_kfrags(threshold: int, shares: int, delegating: bool, receiving: bool) -> list[library.VerifiedKeyFrag]:
    signer = library.Signer(library.SecretKey.from_be_bytes(SECRETS["signer"].to_bytes(32, "big")))
    keys_ = of_library(LANE), of_library(GRANTEE).public_key()
    return library.generate_kfrags(*keys_, signer, threshold, shares, delegating, receiving)


def library_takes_kfrag(kfrag: bytes, *, delegating: bytes = LANE.public, receiving: bytes = GRANTEE.public) -> bool:
    point = library.PublicKey.from_compressed_bytes
    try:
        library.KeyFrag.from_bytes(kfrag).verify(point(SIGNER.public), point(delegating), point(receiving))
    except (ValueError, library.VerificationError):
        return False
    return True


def library_takes_cfrag(cfrag: bytes) -> bool:
    points = (library.PublicKey.from_compressed_bytes(KEYS[name]) for name in ("verifying", "delegating", "receiving"))
    try:
        library.CapsuleFrag.from_bytes(cfrag).verify(library.Capsule.from_bytes(CAPSULE), *points)
    except (ValueError, library.VerificationError):
        return False
    return True


def changed(data: bytes, position: int, mask: int) -> bytes:
    return data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]


def open_reencrypted(wrap: bytes, cfrags: list[bytes], threshold: int = 2) -> bytes:
    return umbral.unwrap_reencrypted(
        GRANTEE, wrap, cfrags, verifying=SIGNER.public, delegating=LANE.public, threshold=threshold
    )


class TestBothWays:
    @pytest.mark.parametrize(("threshold", "shares"), [(2, 2), (2, 3), (3, 5), (5, 5)])
    def test_oracle_verifies_and_opens_what_the_library_makes(self, threshold: int, shares: int) -> None:
        wrap = umbral.wrap(LANE.public, KEY)
        capsule, sealed = oracle.split_wrap(wrap)
        kfrags = umbral.delegate(LANE, GRANTEE.public, SIGNER, threshold=threshold, shares=shares)
        checked = [umbral.check_kfrag(kfrag, **KEYS) for kfrag in kfrags]
        made = [umbral.reencrypt(capsule.to_bytes(), kfrag, **KEYS) for kfrag in checked]

        assert [oracle.check_kfrag(kfrag, **KEYS).to_bytes() for kfrag in kfrags] == kfrags
        cfrags = [oracle.check_cfrag(cfrag, capsule, **KEYS) for cfrag in made]
        assert [cfrag.to_bytes() for cfrag in cfrags] == made
        seed = oracle.open_original(capsule, SECRETS["lane"])
        assert oracle.open_reencrypted(capsule, SECRETS["grantee"], LANE.public, cfrags[-threshold:]) == seed
        assert oracle.unseal(seed, sealed, capsule) == KEY
        with pytest.raises(oracle.OracleError, match="not enough"):
            oracle.open_reencrypted(capsule, SECRETS["grantee"], LANE.public, cfrags[: threshold - 1])

    @pytest.mark.parametrize(("threshold", "shares"), [(2, 2), (2, 3), (3, 5), (5, 5)])
    def test_library_verifies_and_opens_what_the_oracle_makes(self, threshold: int, shares: int) -> None:
        source = random.Random(f"{threshold} of {shares}")
        wrap = oracle.wrap(LANE.public, KEY, *numbers(source, 2), source.randbytes(24))
        capsule, _ = oracle.split_wrap(wrap)
        kfrags = oracle_kfrags(source, threshold, shares)
        cfrags = [oracle.reencrypt(capsule, k, *numbers(source, 1)).to_bytes() for k in kfrags]

        assert umbral.unwrap(LANE, wrap) == KEY
        for kfrag, cfrag in zip(kfrags, cfrags, strict=True):
            checked = umbral.check_kfrag(kfrag.to_bytes(), **KEYS)
            umbral.check_cfrag(cfrag, capsule.to_bytes(), **KEYS)
            umbral.check_cfrag(umbral.reencrypt(capsule.to_bytes(), checked, **KEYS), capsule.to_bytes(), **KEYS)
        assert open_reencrypted(wrap, cfrags[-threshold:], threshold) == KEY

    def test_shares_of_both_open_together(self) -> None:
        wrap = umbral.wrap(LANE.public, KEY)
        capsule, _ = oracle.split_wrap(wrap)
        first, second, _ = oracle_kfrags("together")
        by_library = umbral.reencrypt(capsule.to_bytes(), umbral.check_kfrag(second.to_bytes(), **KEYS), **KEYS)
        assert open_reencrypted(wrap, [oracle.reencrypt(capsule, first, 7).to_bytes(), by_library]) == KEY

    def test_same_randomness_gives_the_same_kfrags(self) -> None:
        assert oracle_kfrags(1) == oracle_kfrags(1)
        assert oracle_kfrags(1) != oracle_kfrags(2)

    def test_signatures_of_both_verify_by_both(self) -> None:
        for number in range(10):
            message = os.urandom(number * 9)
            oracle.check_signature(oracle.decode(SIGNER.public), message, SIGNER.sign(message))
            umbral.verify(SIGNER.public, message, oracle.sign(SECRETS["signer"], message, number + 1))

    def test_base_point_is_the_hash_that_the_specification_names(self) -> None:
        assert umbral._standard_u() == oracle.encode(oracle.base_u())

    def test_a_capsule_that_contradicts_itself_is_refused_by_all(self) -> None:
        capsule, _ = oracle.split_wrap(WRAP)
        wrong = replace(capsule, s=capsule.s + 1).to_bytes()
        assert refused(lambda: oracle.Capsule.parse(wrong))
        assert refused(lambda: umbral.check_cfrag(CFRAGS[0], wrong, **KEYS))
        with pytest.raises(ValueError, match="verification"):
            library.Capsule.from_bytes(wrong)


class TestThreshold:
    @pytest.mark.parametrize(
        ("threshold", "shares"), [(-1, 3), (0, 3), (0, 0), (1, 1), (1, 3), (4, 3), (2, 1), (2, 256), (256, 256)]
    )
    def test_refuses_what_is_no_threshold(self, threshold: int, shares: int) -> None:
        with pytest.raises(UsageError):
            umbral.delegate(LANE, GRANTEE.public, SIGNER, threshold=threshold, shares=shares)

    @pytest.mark.parametrize("threshold", [0, 1])
    def test_the_library_would_let_one_proxy_open(self, threshold: int) -> None:
        kit = nucypher_core.MessageKit.from_bytes(WRAP[1:])
        one = library.reencrypt(kit.capsule, library_kfrags(threshold, 3, True, True)[0])
        assert kit.decrypt_reencrypted(of_library(GRANTEE), of_library(LANE).public_key(), [one]) == KEY
        # And so it is the reader's rule too: one cfrag is never asked to be enough.
        for cfrags in ([], [bytes(one)]):
            with pytest.raises(UsageError):
                open_reencrypted(WRAP, cfrags, len(cfrags))

    @pytest.mark.parametrize("threshold", [-1, 0, 1, 4])
    def test_reader_refuses_what_is_no_threshold(self, threshold: int) -> None:
        with pytest.raises(UsageError):
            open_reencrypted(WRAP, CFRAGS, threshold)

    def test_a_smaller_threshold_than_the_grants_opens_nothing(self) -> None:
        kfrags = umbral.delegate(LANE, GRANTEE.public, SIGNER, threshold=3, shares=3)
        cfrags = [umbral.reencrypt(CAPSULE, umbral.check_kfrag(k, **KEYS), **KEYS) for k in kfrags]
        with pytest.raises(IntegrityError):
            open_reencrypted(WRAP, cfrags, 2)
        assert open_reencrypted(WRAP, cfrags, 3) == KEY


class TestUnsignedKeys:
    @pytest.mark.parametrize(("delegating", "receiving"), [(False, False), (True, False), (False, True)])
    def test_a_kfrag_that_leaves_a_key_unsigned_is_refused(self, delegating: bool, receiving: bool) -> None:
        kfrag = bytes(library_kfrags(2, 3, delegating, receiving)[0])
        # The library takes it, and for a stranger's key in the place of the one that isn't signed.
        assert library_takes_kfrag(kfrag)
        assert library_takes_kfrag(kfrag, delegating=STRANGER.public) == (not delegating)
        assert library_takes_kfrag(kfrag, receiving=STRANGER.public) == (not receiving)

        with pytest.raises(IntegrityError, match="doesn't cover both keys"):
            umbral.check_kfrag(kfrag, **KEYS)
        assert refused(lambda: oracle.check_kfrag(kfrag, **KEYS))

    @pytest.mark.parametrize("flags", [b"\xc2\xc2", b"\xc3\xc2", b"\xc2\xc3"])
    def test_a_signed_kfrag_that_says_unsigned_is_refused(self, flags: bytes) -> None:
        assert refused(lambda: umbral.check_kfrag(KFRAGS[0][:-2] + flags, **KEYS))

    @pytest.mark.parametrize("name", ["verifying", "delegating", "receiving"])
    def test_a_kfrag_or_cfrag_for_another_key_is_refused(self, name: str) -> None:
        other = KEYS | {name: STRANGER.public}
        assert refused(lambda: umbral.check_kfrag(KFRAGS[0], **other))
        assert refused(lambda: oracle.check_kfrag(KFRAGS[0], **other))
        assert refused(lambda: umbral.check_cfrag(CFRAGS[0], CAPSULE, **other))
        assert refused(lambda: oracle.check_cfrag(CFRAGS[0], oracle.Capsule.parse(CAPSULE), **other))
        checked = umbral.check_kfrag(KFRAGS[0], **KEYS)
        assert refused(lambda: umbral.reencrypt(CAPSULE, checked, **other))


# The oracle is plain Python, and slow; what the package refuses is tried byte by byte each time.
EACH = pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.deep)])


class TestChangedBytes:
    def test_no_changed_byte_of_a_kfrag_passes(self) -> None:
        by_library: dict[int, set[int]] = {}
        passed = []
        for position in range(umbral.KFRAG_SIZE):
            for mask in (0x01, 0x02, *UNSIGNED, STR8, 0x80, 0xFF):
                bad = changed(KFRAGS[0], position, mask)
                if library_takes_kfrag(bad):
                    by_library.setdefault(position, set()).add(mask)
                if not refused(lambda bad=bad: umbral.check_kfrag(bad, **KEYS)):
                    passed.append((position, mask))
        assert passed == []
        # The library covers neither one of the two signatures nor the marks of MessagePack.
        taken = {position for position, masks in by_library.items() if masks - set(UNSIGNED)}
        assert taken == MARKS | set(FOR_RECEIVER)
        assert {mask for position in MARKS for mask in by_library[position]} == {STR8}
        assert set(by_library) - taken <= POINTS

    @EACH
    def test_oracle_refuses_every_changed_byte_of_a_kfrag(self, step: int) -> None:
        bad = {position: changed(KFRAGS[0], position, 1) for position in range(0, umbral.KFRAG_SIZE, step)}
        assert [at for at, k in bad.items() if not refused(lambda k=k: oracle.check_kfrag(k, **KEYS))] == []

    @EACH
    def test_oracle_refuses_every_changed_byte_of_a_cfrag(self, step: int) -> None:
        capsule = oracle.Capsule.parse(CAPSULE)
        bad = {position: changed(CFRAGS[0], position, 1) for position in range(0, umbral.CFRAG_SIZE, step)}
        assert [at for at, c in bad.items() if not refused(lambda c=c: oracle.check_cfrag(c, capsule, **KEYS))] == []

    def test_no_changed_byte_of_a_cfrag_passes(self) -> None:
        by_library, passed = set(), []
        for position in range(umbral.CFRAG_SIZE):
            for mask in (0x01, *UNSIGNED, STR8, 0x80, 0xFF):
                bad = changed(CFRAGS[0], position, mask)
                if library_takes_cfrag(bad):
                    by_library.add(mask)
                if not refused(lambda bad=bad: umbral.check_cfrag(bad, CAPSULE, **KEYS)):
                    passed.append((position, mask))
        assert passed == []
        assert STR8 in by_library <= {STR8, *UNSIGNED}

    def test_no_changed_byte_of_a_capsule_passes(self) -> None:
        checked = umbral.check_kfrag(KFRAGS[0], **KEYS)
        for position in range(umbral.CAPSULE_SIZE):
            for mask in (0x01, *UNSIGNED, STR8, 0x80, 0xFF):
                bad = changed(CAPSULE, position, mask)
                assert refused(lambda bad=bad: umbral.reencrypt(bad, checked, **KEYS)), (position, mask)
                assert refused(lambda bad=bad: umbral.check_cfrag(CFRAGS[0], bad, **KEYS)), (position, mask)
            assert refused(lambda at=position: oracle.Capsule.parse(changed(CAPSULE, at, 1))), position

    def test_no_changed_byte_of_a_wrap_opens_with_cfrags(self) -> None:
        for position in range(umbral.WRAP_SIZE):
            for mask in (0x01, *UNSIGNED, STR8, 0xFF):
                bad = changed(WRAP, position, mask)
                assert refused(lambda bad=bad: open_reencrypted(bad, CFRAGS)), (position, mask)
                assert refused(lambda bad=bad: umbral.unwrap(LANE, bad)), (position, mask)

    def test_random_damage_gives_nothing_but_the_typed_error(self) -> None:
        source = random.Random(8)
        calls: list[tuple[bytes, Callable[[bytes], object]]] = [
            (WRAP, lambda bad: umbral.unwrap(LANE, bad)),
            (KFRAGS[0], lambda bad: umbral.check_kfrag(bad, **KEYS)),
            (CFRAGS[0], lambda bad: umbral.check_cfrag(bad, CAPSULE, **KEYS)),
            (CAPSULE, lambda bad: umbral.check_cfrag(CFRAGS[0], bad, **KEYS)),
        ]
        for good, call in calls:
            for _ in range(1000):
                bad = bytearray(good)
                for _ in range(source.randint(1, 4)):
                    bad[source.randrange(len(bad))] = source.randrange(256)
                assert bytes(bad) == good or refused(lambda bad=bytes(bad), call=call: call(bad))


class TestForeignBasePoint:
    def forged(self) -> bytes:
        # A base point whose logarithm the forger knows; all else is right, and signed by the right signer.
        u = oracle.mul(12345, oracle.G)
        good = oracle_kfrags("forged")[0]
        bare = replace(good, u=oracle.encode(u), commitment=oracle.encode(oracle.mul(good.key, u)))
        message = oracle.signed_message(bare, LANE.public, GRANTEE.public)
        signatures = [oracle.sign(SECRETS["signer"], message, nonce) for nonce in (3, 4)]
        return replace(bare, for_proxy=signatures[0], for_receiver=signatures[1]).to_bytes()

    def test_a_kfrag_with_a_foreign_base_point_is_refused(self) -> None:
        assert library_takes_kfrag(self.forged())
        with pytest.raises(IntegrityError, match="base point"):
            umbral.check_kfrag(self.forged(), **KEYS)
        with pytest.raises(oracle.OracleError, match="base point"):
            oracle.check_kfrag(self.forged(), **KEYS)

    def test_would_give_a_cfrag_that_verifies_nowhere(self) -> None:
        cfrag = oracle.reencrypt(oracle.Capsule.parse(CAPSULE), oracle.Kfrag.parse(self.forged()), 5).to_bytes()
        assert refused(lambda: umbral.check_cfrag(cfrag, CAPSULE, **KEYS))

    @pytest.mark.parametrize("point", [oracle.encode(oracle.G), SIGNER.public, bytes(33)])
    def test_whichever_point_it_is(self, point: bytes) -> None:
        assert refused(lambda: umbral.check_kfrag(KFRAGS[0][:4] + point + KFRAGS[0][37:], **KEYS))


class TestOthersCfrags:
    def test_of_another_capsule_of_the_same_lane(self) -> None:
        other = umbral.wrap(LANE.public, bytes(32))
        assert refused(lambda: umbral.check_cfrag(CFRAGS[0], umbral.capsule_of(other), **KEYS))
        assert refused(lambda: open_reencrypted(other, CFRAGS))

    def test_of_another_policy_of_the_same_lane_and_grantee(self) -> None:
        signer = umbral.Signer(STRANGER)
        keys_ = KEYS | {"verifying": signer.public}
        kfrags = umbral.delegate(LANE, GRANTEE.public, signer, threshold=2, shares=3)
        cfrags = [umbral.reencrypt(CAPSULE, umbral.check_kfrag(k, **keys_), **keys_) for k in kfrags]
        assert refused(lambda: umbral.check_kfrag(kfrags[0], **KEYS))
        assert refused(lambda: umbral.check_cfrag(cfrags[0], CAPSULE, **KEYS))
        assert refused(lambda: open_reencrypted(WRAP, cfrags))
        assert refused(lambda: open_reencrypted(WRAP, [CFRAGS[0], cfrags[1]]))

    def test_of_another_set_of_kfrags_by_the_same_signer(self) -> None:
        kfrags = umbral.delegate(LANE, GRANTEE.public, SIGNER, threshold=2, shares=3)
        cfrags = [umbral.reencrypt(CAPSULE, umbral.check_kfrag(k, **KEYS), **KEYS) for k in kfrags]
        # Each is good by itself; shares of two polynomials don't fit together.
        umbral.check_cfrag(cfrags[1], CAPSULE, **KEYS)
        assert open_reencrypted(WRAP, cfrags) == KEY
        assert refused(lambda: open_reencrypted(WRAP, [CFRAGS[0], cfrags[1]]))

    def test_of_another_lane(self) -> None:
        lane = umbral.SecretKey.random()
        keys_ = KEYS | {"delegating": lane.public}
        wrap = umbral.wrap(lane.public, KEY)
        kfrags = umbral.delegate(lane, GRANTEE.public, SIGNER, threshold=2, shares=3)
        checked = [umbral.check_kfrag(k, **keys_) for k in kfrags]
        # Asked for this lane's capsule with the other lane's kfrags, the library computes and says that all is well.
        points = (library.PublicKey.from_compressed_bytes(keys_[name]) for name in KEYS)
        theirs = library.KeyFrag.from_bytes(kfrags[0]).verify(*points)
        for capsule in (CAPSULE, umbral.capsule_of(wrap)):
            cfrag = bytes(library.reencrypt(library.Capsule.from_bytes(capsule), theirs))
            assert refused(lambda c=cfrag: umbral.check_cfrag(c, CAPSULE, **KEYS))
        mine = [umbral.reencrypt(CAPSULE, k, **keys_) for k in checked]
        assert refused(lambda: open_reencrypted(WRAP, mine))
        assert refused(
            lambda: umbral.unwrap_reencrypted(
                GRANTEE, WRAP, mine, verifying=SIGNER.public, delegating=lane.public, threshold=2
            )
        )

    def test_for_another_receiving_key(self) -> None:
        assert refused(
            lambda: umbral.unwrap_reencrypted(
                STRANGER, WRAP, CFRAGS, verifying=SIGNER.public, delegating=LANE.public, threshold=2
            )
        )
        cfrags = [oracle.Cfrag.parse(cfrag) for cfrag in CFRAGS]
        with pytest.raises(oracle.OracleError):
            oracle.open_reencrypted(oracle.Capsule.parse(CAPSULE), SECRETS["stranger"], LANE.public, cfrags)

    def test_made_with_another_key_than_the_committed_one(self) -> None:
        kfrag = replace(oracle.Kfrag.parse(KFRAGS[0]), key=99)
        cfrag = oracle.reencrypt(oracle.Capsule.parse(CAPSULE), kfrag, 5).to_bytes()
        assert refused(lambda: umbral.check_cfrag(cfrag, CAPSULE, **KEYS))
        assert refused(lambda: open_reencrypted(WRAP, [cfrag, CFRAGS[1]]))
        assert refused(lambda: umbral.check_kfrag(kfrag.to_bytes(), **KEYS))


class TestDuplicates:
    def test_one_proxys_cfrag_twice_is_not_two(self) -> None:
        assert refused(lambda: open_reencrypted(WRAP, [CFRAGS[0], CFRAGS[0]]))

    def test_two_cfrags_of_one_kfrag_are_not_two(self) -> None:
        again = umbral.reencrypt(CAPSULE, umbral.check_kfrag(KFRAGS[0], **KEYS), **KEYS)
        assert again != CFRAGS[0]
        umbral.check_cfrag(again, CAPSULE, **KEYS)
        assert refused(lambda: open_reencrypted(WRAP, [CFRAGS[0], again]))
        frags = [oracle.Cfrag.parse(cfrag) for cfrag in (CFRAGS[0], again)]
        with pytest.raises(oracle.OracleError, match="twice"):
            oracle.open_reencrypted(oracle.Capsule.parse(CAPSULE), SECRETS["grantee"], LANE.public, frags)

    def test_nor_are_they_three_among_three(self) -> None:
        assert refused(lambda: open_reencrypted(WRAP, [CFRAGS[0], CFRAGS[1], CFRAGS[0]], 3))
        # More than enough is enough, and the ones beyond the threshold aren't looked at.
        assert open_reencrypted(WRAP, [CFRAGS[0], CFRAGS[1], CFRAGS[0]]) == KEY


class TestIdentity:
    def cancelling(self) -> bytes:
        """A wrap whose capsule verifies, and whose points' sum is the identity; made without knowing any secret."""
        r = 4711
        e, v = oracle.mul(r, oracle.G), oracle.mul(-r, oracle.G)
        h = oracle.scalar(b"CAPSULE_POINTS", oracle.encode(e), oracle.encode(v))
        capsule = oracle.Capsule(e, v, (-r + r * h) % oracle.ORDER)
        return WRAP[:10] + capsule.to_bytes() + WRAP[115:]

    def test_a_capsule_whose_points_cancel_out_is_refused_before_the_library_panics(self) -> None:
        capsule = self.cancelling()[10:115]
        assert bytes(library.Capsule.from_bytes(capsule)) == capsule
        assert oracle.add(oracle.Capsule.parse(capsule).e, oracle.Capsule.parse(capsule).v) is None
        checked = umbral.check_kfrag(KFRAGS[0], **KEYS)
        for call in (
            lambda: umbral.unwrap(LANE, self.cancelling()),
            lambda: umbral.capsule_of(self.cancelling()),
            lambda: open_reencrypted(self.cancelling(), CFRAGS),
            lambda: umbral.check_capsule_form(capsule),
            lambda: umbral.reencrypt(capsule, checked, **KEYS),
            lambda: umbral.check_cfrag(CFRAGS[0], capsule, **KEYS),
        ):
            with pytest.raises(IntegrityError, match="cancel out"):
                call()

    @pytest.mark.parametrize(
        "point",
        [
            bytes(33),
            b"\x02" + bytes(32),
            b"\x03" + b"\xff" * 32,
            b"\x02" + oracle.P.to_bytes(32, "big"),
            b"\x02" + (oracle.P + 1).to_bytes(32, "big"),
            b"\x04" + LANE.public[1:],
            b"\x05" + LANE.public[1:],
            b"\x00" + LANE.public[1:],
        ],
    )
    def test_what_is_no_point_is_refused_wherever_a_point_stands(self, point: bytes) -> None:
        for name in KEYS:
            bad = KEYS | {name: point}
            assert refused(lambda bad=bad: umbral.check_kfrag(KFRAGS[0], **bad))
            assert refused(lambda bad=bad: umbral.check_cfrag(CFRAGS[0], CAPSULE, **bad))
        assert refused(lambda: umbral.wrap(point, KEY))
        assert refused(lambda: umbral.delegate(LANE, point, SIGNER, threshold=2, shares=3))
        assert refused(lambda: umbral.verify(point, b"", SIGNER.sign(b"")))
        checked = umbral.check_kfrag(KFRAGS[0], **KEYS)
        for start in (3, 38):
            bad_capsule = CAPSULE[:start] + point + CAPSULE[start + 33 :]
            assert refused(lambda bad=bad_capsule: umbral.reencrypt(bad, checked, **KEYS))
        for start in (107, 143):
            assert refused(lambda at=start: umbral.check_kfrag(KFRAGS[0][:at] + point + KFRAGS[0][at + 33 :], **KEYS))
        for start in (4, 39, 107, 143, 178, 213, 248):
            bad_cfrag = CFRAGS[0][:start] + point + CFRAGS[0][start + 33 :]
            assert refused(lambda bad=bad_cfrag: umbral.check_cfrag(bad, CAPSULE, **KEYS))
        with pytest.raises(oracle.OracleError):
            oracle.decode(point)

    @pytest.mark.parametrize("scalar", [0, oracle.ORDER, oracle.ORDER + 1, 2**256 - 1])
    def test_what_is_no_scalar_is_no_secret_key(self, scalar: int) -> None:
        with pytest.raises(UsageError):
            umbral.SecretKey.from_bytes(scalar.to_bytes(32, "big"))


class TestSizesAndTypes:
    @pytest.mark.parametrize("cut", [slice(0, 0), slice(0, 1), slice(0, -1), slice(1, None)])
    def test_another_size_is_refused(self, cut: slice) -> None:
        checked = umbral.check_kfrag(KFRAGS[0], **KEYS)
        for longer in (b"", b"\x00"):
            assert refused(lambda x=longer: umbral.check_kfrag(KFRAGS[0][cut] + x * 2, **KEYS))
            assert refused(lambda x=longer: umbral.check_cfrag(CFRAGS[0][cut] + x * 2, CAPSULE, **KEYS))
            assert refused(lambda x=longer: umbral.reencrypt(CAPSULE[cut] + x * 2, checked, **KEYS))
            assert refused(lambda x=longer: umbral.unwrap(LANE, WRAP[cut] + x * 2))
            assert refused(lambda x=longer: umbral.wrap(LANE.public[cut] + x * 2, KEY))
            assert refused(lambda x=longer: umbral.verify(SIGNER.public, b"", SIGNER.sign(b"")[cut] + x * 2))
        with pytest.raises(UsageError):
            umbral.wrap(LANE.public, KEY[cut])

    @pytest.mark.parametrize("value", [None, 5, "text", [], {}, bytearray(33), 2.5, True])
    def test_another_type_is_refused_as_another_size_is(self, value: object) -> None:
        anything: bytes = value  # type: ignore[assignment]
        checked = umbral.check_kfrag(KFRAGS[0], **KEYS)
        calls: tuple[Callable[[], object], ...] = (
            lambda: umbral.check_kfrag(anything, **KEYS),
            lambda: umbral.check_cfrag(anything, CAPSULE, **KEYS),
            lambda: umbral.check_cfrag(CFRAGS[0], anything, **KEYS),
            lambda: umbral.reencrypt(anything, checked, **KEYS),
            lambda: umbral.unwrap(LANE, anything),
            lambda: umbral.capsule_of(anything),
            lambda: umbral.wrap(anything, KEY),
            lambda: umbral.delegate(LANE, anything, SIGNER, threshold=2, shares=3),
            lambda: umbral.verify(SIGNER.public, b"", anything),
            lambda: umbral.verify(anything, b"", SIGNER.sign(b"")),
            lambda: open_reencrypted(WRAP, [anything, CFRAGS[0]]),
            *(lambda name=name: umbral.check_kfrag(KFRAGS[0], **(KEYS | {name: anything})) for name in KEYS),
            *(lambda name=name: umbral.check_cfrag(CFRAGS[0], CAPSULE, **(KEYS | {name: anything})) for name in KEYS),
        )
        assert [number for number, call in enumerate(calls) if not refused(call)] == []

    def test_a_wrap_of_another_length_of_key_is_refused(self) -> None:
        for size in (0, 31, 33):
            kit = nucypher_core.MessageKit(of_library(LANE).public_key(), bytes(size), None)
            assert refused(lambda kit=kit: umbral.unwrap(LANE, b"\x01" + bytes(kit)))


class TestMalleableTwins:
    @pytest.mark.parametrize("start", [178, 244])
    def test_of_a_kfrags_signatures_are_refused(self, start: int) -> None:
        twin = KFRAGS[0][:start] + oracle.twin(KFRAGS[0][start : start + 64]) + KFRAGS[0][start + 64 :]
        # The library refuses the one that it checks.
        assert library_takes_kfrag(twin) == (start in FOR_RECEIVER)
        assert refused(lambda: umbral.check_kfrag(twin, **KEYS))
        assert refused(lambda: oracle.check_kfrag(twin, **KEYS))

    def test_of_a_cfrags_signature_is_refused(self) -> None:
        twin = CFRAGS[0][:-64] + oracle.twin(CFRAGS[0][-64:])
        assert refused(lambda: umbral.check_cfrag(twin, CAPSULE, **KEYS))
        assert refused(lambda: oracle.check_cfrag(twin, oracle.Capsule.parse(CAPSULE), **KEYS))
        assert refused(lambda: open_reencrypted(WRAP, [twin, CFRAGS[1]]))

    @pytest.mark.parametrize("position", [0, 32])
    def test_a_signature_of_zeros_is_refused(self, position: int) -> None:
        signature = SIGNER.sign(b"message")
        zero = signature[:position] + bytes(32) + signature[position + 32 :]
        assert refused(lambda: umbral.verify(SIGNER.public, b"message", zero))


class TestSource:
    def sources(self) -> dict[str, str]:
        root = Path(panachain.__file__).parent
        return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*.py")}

    def test_no_verification_is_ever_skipped(self) -> None:
        sources = self.sources()
        assert len(sources) > 50
        assert [name for name, text in sources.items() if "skip_verification" in text] == []

    def test_nucypher_core_is_imported_in_one_file(self) -> None:
        imports = re.compile(
            r"^\s*(?:import|from)\s+(?:nucypher_core|_nucypher_core|umbral_pre|umbral)\b", re.MULTILINE
        )
        assert [name for name, text in self.sources().items() if imports.search(text)] == ["crypto/umbral/backend.py"]


class TestCollusion:
    """Security rule 2: what t proxies and the grantee get together, and that it ends at the lane."""

    SEED = Seed(random.Random("patient").randbytes(32))
    GRANTED = Scope.of(Category.LABORATORY, 2021)
    GENERATIONS = (0, 1, 2)

    def stolen(self) -> umbral.SecretKey:
        """The lane's secret key, computed from two kfrags and the grantee's secret key and from nothing else."""
        signer = self.SEED.policy_signer(3)
        kfrags = umbral.delegate(self.SEED.lane(self.GRANTED, 1), GRANTEE.public, signer, threshold=2, shares=3)
        parsed = [oracle.Kfrag.parse(kfrag) for kfrag in kfrags]
        found = {oracle.lane_secret([a, b], SECRETS["grantee"]) for a in parsed for b in parsed if a != b}
        assert len(found) == 1
        # One kfrag alone, or another reader's key, gives some other number.
        assert oracle.lane_secret(parsed[:1], SECRETS["grantee"]) not in found
        assert oracle.lane_secret(parsed[:2], SECRETS["stranger"]) not in found
        return umbral.SecretKey.from_bytes(found.pop().to_bytes(32, "big"))

    def lanes(self) -> dict[tuple[Scope, int], umbral.SecretKey]:
        scopes = [Scope.all(), Scope.emergency()]
        for category in Category:
            scopes += [Scope.of(category), *(Scope.of(category, year) for year in (0, 1900, 2020, 2021, 2022, 2100))]
        return {(scope, number): self.SEED.lane(scope, number) for scope in scopes for number in self.GENERATIONS}

    def test_opens_that_lane(self) -> None:
        assert umbral.unwrap(self.stolen(), umbral.wrap(self.SEED.lane(self.GRANTED, 1).public, KEY)) == KEY

    def test_opens_no_other_lane_generation_or_key_of_the_patient(self) -> None:
        stolen = self.stolen()
        others = [secret.public for which, secret in self.lanes().items() if which != (self.GRANTED, 1)]
        others += [self.SEED.receiving().public, self.SEED.signer().public]
        others += [self.SEED.policy_signer(index).public for index in range(20)]
        assert len(others) > 380

        opened = [
            public for public in others if not refused(lambda p=public: umbral.unwrap(stolen, umbral.wrap(p, KEY)))
        ]
        assert opened == []

    def test_gives_nothing_that_derives_another_key(self) -> None:
        # As a seed, and as a seed of the factory of lanes, the key derives nothing of the patient's.
        scalar = self.stolen().reveal()
        known = {secret.public for secret in self.lanes().values()}
        tried = Seed(scalar)
        assert not known & {tried.lane(scope, number).public for scope, number in self.lanes()}
        factory = umbral.SeedFactory.from_seed(scalar)
        labels = [b"%d/%s" % (number, scope.text.encode()) for scope, number in self.lanes()]
        assert not known & {factory.key(label).public for label in labels}

    def test_forges_no_signature_of_the_patient(self) -> None:
        forger = umbral.Signer(self.stolen())
        publics = [self.SEED.signer().public, self.SEED.receiving().public]
        publics += [self.SEED.policy_signer(index).public for index in range(20)]
        forged = [p for p in publics if not refused(lambda p=p: umbral.verify(p, b"m", forger.sign(b"m")))]
        assert forged == []
        accounts = [self.SEED.account_key(), *(self.SEED.policy_account(index) for index in range(20))]
        assert keys.address_of(self.stolen().reveal()) not in {keys.address_of(key) for key in accounts}

    def test_delegates_to_nobody_else(self) -> None:
        # With the lane's key anybody makes kfrags for it; honest proxies ask for the signature of the policy's signer.
        lane, signer = self.stolen(), self.SEED.policy_signer(3)
        for forger in (umbral.Signer(lane), umbral.Signer(GRANTEE)):
            kfrag = umbral.delegate(lane, STRANGER.public, forger, threshold=2, shares=3)[0]
            assert refused(
                lambda k=kfrag: umbral.check_kfrag(
                    k, verifying=signer.public, delegating=lane.public, receiving=STRANGER.public
                )
            )

    def test_fewer_than_t_proxies_learn_nothing_that_opens(self) -> None:
        signer = self.SEED.policy_signer(4)
        lane = self.SEED.lane(self.GRANTED, 1)
        kfrags = umbral.delegate(lane, GRANTEE.public, signer, threshold=3, shares=5)
        parsed = [oracle.Kfrag.parse(kfrag) for kfrag in kfrags]
        wrap = umbral.wrap(lane.public, KEY)
        for count, opens in ((1, False), (2, False), (3, True), (5, True)):
            guess = umbral.SecretKey.from_bytes(
                oracle.lane_secret(parsed[:count], SECRETS["grantee"]).to_bytes(32, "big")
            )
            assert refused(lambda guess=guess: umbral.unwrap(guess, wrap)) != opens
