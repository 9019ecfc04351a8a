"""The curve by libsecp256k1: against integers, at its edges, and where the library would end the process."""

from __future__ import annotations

import hmac
import pickle
import random
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from panachain import secp256k1
from panachain.crypto.umbral import scheme
from panachain.secp256k1 import (
    HALF_ORDER,
    ORDER,
    Point,
    Scalar,
    generator_less,
    signer_of,
    total,
    verifies,
    verifies_all,
)
from tests import oracles
from tests.unit.crypto import umbral_oracle as oracle

SOURCE = random.Random("secp256k1")
EDGES = (1, 2, 3, ORDER - 1, ORDER - 2, HALF_ORDER, HALF_ORDER + 1, 2**128, 2**255)
DIGEST = sha256(b"message").digest()


def raw(number: int) -> bytes:
    return number.to_bytes(32, "big")


def number_of(scalar: Scalar) -> int:
    return int.from_bytes(scalar.reveal(), "big")


NUMBERS = [*EDGES, *(SOURCE.randrange(1, ORDER) for _ in range(6))]
P = Scalar(raw(4711)).public()


class TestAgainstIntegers:
    @pytest.mark.parametrize("number", NUMBERS)
    def test_secret_and_public_multiplication_give_the_same_point(self, number: int) -> None:
        expected = oracle.encode(oracle.mul(number, oracle.decode(P.encoded)))
        assert Scalar(raw(number)).times(P).encoded == P.times(raw(number)).encoded == expected
        assert Scalar(raw(number)).public().encoded == oracle.public(number)

    @pytest.mark.parametrize("number", NUMBERS)
    def test_scalars_compute_modulo_the_order(self, number: int) -> None:
        scalar, other = Scalar(raw(number)), Scalar(raw(77))
        assert number_of(scalar.by(other)) == number * 77 % ORDER
        assert number_of(scalar.negative()) == ORDER - number
        assert number_of(scalar.inverse().by(scalar)) == 1
        if number != ORDER - 77:
            assert number_of(scalar.plus(other)) == (number + 77) % ORDER
        # None of it changed what it was computed from.
        assert number_of(scalar) == number

    @pytest.mark.parametrize("digest", [0, 1, ORDER - 2, ORDER - 1, ORDER, 2**256 - 1, 12345])
    def test_a_digest_becomes_the_scalar_that_integers_give(self, digest: int) -> None:
        assert number_of(Scalar.of_digest(raw(digest))) == 1 + digest % (ORDER - 1)

    @pytest.mark.parametrize("of_generator", [0, 1, ORDER - 1, 99])
    def test_two_multiplications_in_one_call(self, of_generator: int) -> None:
        for of_point in (1, ORDER - 1, SOURCE.randrange(1, ORDER)):
            for point in (P, P.times(raw(ORDER - 1))):
                expected = oracle.add(
                    oracle.mul(of_generator, oracle.G), oracle.mul(-of_point, oracle.decode(point.encoded))
                )
                assert generator_less(of_generator, point, of_point).encoded == oracle.encode(expected)

    def test_signatures_are_those_of_ethereums_own_package(self) -> None:
        # It computes by coincurve where that is, and by integers on Python 3.14.
        for number in NUMBERS:
            theirs = Account.unsafe_sign_hash(DIGEST, raw(number))
            ours = Scalar(raw(number))
            recoverable = ours.sign_recoverable(DIGEST)
            assert recoverable == raw(theirs.r) + raw(theirs.s) + bytes([theirs.v - 27])
            assert ours.sign(DIGEST) == recoverable[:64]
            assert verifies(ours.public(), DIGEST, ours.sign(DIGEST))
            assert signer_of(DIGEST, recoverable) == ours.public()
            assert ours.public().uncompressed == b"\x04" + b"".join(map(raw, oracle.mul(number, oracle.G)))
            oracle.check_signature(oracle.decode(ours.public().encoded), b"message", ours.sign(DIGEST))

    def test_additional_data_makes_another_signature_of_the_same_digest(self) -> None:
        """RFC 6979, section 3.6, as libsecp256k1 does it: key, digest and data seed the HMAC-DRBG of section 3.2."""

        def nonce(number: int, more: bytes) -> int:
            key, value = b"\0" * 32, b"\1" * 32
            for mark in (b"\0", b"\1"):
                key = hmac.digest(key, value + mark + raw(number) + DIGEST + more, "sha256")
                value = hmac.digest(key, value, "sha256")
            return int.from_bytes(hmac.digest(key, value, "sha256"), "big")

        for number in NUMBERS:
            ours = Scalar(raw(number))
            for more in (bytes(32), b"\7" * 32):
                signed = ours.sign_recoverable(DIGEST, more=more)
                assert signer_of(DIGEST, signed) == ours.public()
                assert int.from_bytes(signed[:32], "big") == oracle.mul(nonce(number, more), oracle.G)[0] % ORDER
                assert signed != ours.sign_recoverable(DIGEST)
            with pytest.raises(ValueError, match="bytes"):
                ours.sign_recoverable(DIGEST, more=bytes(31))


class TestEdges:
    @pytest.mark.parametrize("scalar", [0, ORDER, ORDER + 1, 2**256 - 1])
    def test_what_is_no_scalar_is_none(self, scalar: int) -> None:
        with pytest.raises(ValueError, match="no scalar"):
            Scalar(raw(scalar))
        with pytest.raises(ValueError, match="no scalar"):
            P.times(raw(scalar))

    @pytest.mark.parametrize("data", [b"", bytes(31), bytes(33), bytearray(32), None, "1" * 32, memoryview(bytes(32))])
    def test_lengths_and_types_are_checked_here(self, data: Any) -> None:
        # The library reads as many bytes as it wants: one too few would be a look at somebody else's memory.
        for call in (
            lambda: Scalar(data),
            lambda: Scalar.of_digest(data),
            lambda: P.times(data),
            lambda: Scalar(raw(5)).sign(data),
            lambda: Scalar(raw(5)).sign_recoverable(data),
            lambda: verifies(P, data, bytes(64)),
            lambda: verifies(P, DIGEST, data),
            lambda: signer_of(data, bytes(65)),
            lambda: Point.parse(data if data is not None and len(data) != 33 else b"x"),
        ):
            with pytest.raises(ValueError, match="bytes"):
                call()

    def test_infinity_is_refused(self) -> None:
        negative = P.times(raw(ORDER - 1))
        for call in (
            lambda: total((P, negative)),
            lambda: total(()),
            lambda: P + negative,
            lambda: generator_less(4711, P, 1),
            lambda: Scalar(raw(5)).plus(Scalar(raw(ORDER - 5))),
        ):
            with pytest.raises(ValueError, match=r"cancel out|no points"):
                call()
        # What failed harmed none of what it was asked of: the library has zeroed only copies.
        assert total((P, P)) == P.times(raw(2))
        assert P.encoded == oracle.public(4711)

    @pytest.mark.parametrize("mark", [0, 1, 4, 5, 6, 7, 255])
    def test_one_encoding_of_points(self, mark: int) -> None:
        with pytest.raises(ValueError, match="no point"):
            Point.parse(bytes([mark]) + P.encoded[1:])

    def test_high_s_is_no_signature(self) -> None:
        good = Scalar(raw(4711)).sign(DIGEST)
        assert verifies(P, DIGEST, good)
        assert not verifies(P, DIGEST, oracle.twin(good))
        assert not verifies(P, DIGEST, bytes(64))
        assert not verifies(P, DIGEST, b"\xff" * 64)
        assert not verifies(P, sha256(b"massage").digest(), good)
        for bad in (bytes(65), b"\xff" * 65, good + b"\x04", good, b"", None):
            assert signer_of(DIGEST, bad) is None  # type: ignore[arg-type]

    def test_a_secret_shows_nothing_and_stays_here(self) -> None:
        scalar = Scalar(raw(0x1234567890))
        assert repr(scalar) == "Scalar()"
        with pytest.raises(TypeError):
            pickle.dumps(scalar)

    def test_its_memory_is_cleared(self) -> None:
        scalar = Scalar(raw(ORDER - 3))
        memory = scalar._memory
        del scalar
        assert bytes(secp256k1.ffi.buffer(memory)) == bytes(32)


class TestCallback:
    def test_an_interrupt_in_it_is_not_lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(secp256k1.ctypes, "memmove", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Scalar(raw(5)).times(P)
        monkeypatch.undo()
        assert Scalar(raw(5)).times(P) == P.times(raw(5))

    def test_one_that_writes_half_a_point_is_not_believed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(secp256k1.ctypes, "memmove", lambda *_: None)
        with pytest.raises(ValueError, match="gave no point"):
            Scalar(raw(5)).times(P)

    def test_the_library_that_says_no_gives_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Refusing:
            def __getattr__(self, name: str) -> Any:
                real = getattr(secp256k1_lib, name)
                return (lambda *_: 0) if name.startswith("secp256k1_") else real

        secp256k1_lib = secp256k1.lib
        scalar, one, two = Scalar(raw(5)), Scalar(raw(6)), P
        monkeypatch.setattr(secp256k1, "lib", Refusing())
        calls = (
            lambda: scalar.times(two),
            lambda: scalar.public(),
            lambda: scalar.plus(one),
            lambda: scalar.by(one),
            lambda: scalar.negative(),
            lambda: scalar.sign(DIGEST),
            lambda: scalar.sign_recoverable(DIGEST),
            lambda: Scalar.of_digest(DIGEST),
            lambda: Scalar(raw(7)),
            lambda: two.times(raw(5)),
            lambda: two + two,
            lambda: generator_less(1, two, 1),
            lambda: Point.parse(two.encoded),
            lambda: two.uncompressed,
            lambda: Point(two._key).encoded,
        )
        for number, call in enumerate(calls):
            with pytest.raises(ValueError):  # noqa: PT011
                call()
            assert number >= 0
        assert not verifies(two, DIGEST, bytes(63) + b"\x01")
        assert signer_of(DIGEST, bytes(65)) is None


def in_a_process(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("hidden", ["", "coincurve"])
def test_a_zeroed_point_is_never_taken_for_one_and_none_is_ever_used_again(hidden: str) -> None:
    # The control: what the library does with a point that a failure zeroed.
    control = in_a_process(
        f"""
        import sys
        sys.modules.update(dict.fromkeys({hidden.split()}))
        from panachain import secp256k1 as s
        point = s.Scalar(bytes(31) + b"\\x05").public()
        assert s.lib.secp256k1_ec_pubkey_tweak_mul(s._CONTEXT, point._key, bytes(32)) == 0
        point.uncompressed
        """
    )
    # One package's build ends the process, and the other's goes on without a word: there the answer is looked at.
    assert control.returncode != 0
    assert ("illegal argument" in control.stderr) != ("gave nothing" in control.stderr)
    assert not hidden or "gave nothing" in control.stderr
    ours = in_a_process(
        f"""
        import sys
        sys.modules.update(dict.fromkeys({hidden.split()}))
        from panachain import secp256k1 as s
        point = s.Scalar(bytes(31) + b"\\x05").public()
        for bad in (bytes(32), b"\\xff" * 32):
            try:
                point.times(bad)
            except ValueError:
                print("refused", point.times(bytes(31) + b"\\x02").encoded.hex())
        """
    )
    assert ours.returncode == 0, ours.stderr
    assert ours.stdout.count(oracle.public(10).hex()) == 2


def test_a_callback_that_breaks_gives_no_point() -> None:
    done = in_a_process(
        """
        from panachain import secp256k1 as s
        point = s.Scalar(bytes(31) + b"\\x05").public()
        s._interrupted = None
        s.ctypes.memmove = None
        try:
            s.Scalar(bytes(31) + b"\\x05").times(point)
        except (ValueError, AttributeError):
            print("no point")
        """
    )
    assert done.stdout == "no point\n"


def test_many_signatures_are_checked_as_each_is() -> None:
    secret = Scalar(sha256(b"many").digest())
    digests = [sha256(bytes([number])).digest() for number in range(12)]
    signed = [(digest, secret.sign(digest)) for digest in digests]
    signature = signed[0][1]
    high = signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
    signed += [(digests[0], one) for one in (high, bytes(64), b"\xff" * 64, signed[1][1], signature[:63] + b"\0")]
    expected = [verifies(secret.public(), digest, one) for digest, one in signed]
    assert verifies_all(secret.public(), signed) == expected == [True] * 12 + [False] * 5
    assert verifies_all(secret.public(), []) == []
    for wrong in ((digests[0][:31], signature), (digests[0], signature[:63]), (digests[0], bytearray(signature))):
        with pytest.raises(ValueError, match=r"has (32|64) bytes"):
            verifies_all(secret.public(), [wrong])  # type: ignore[list-item]


def test_the_other_package_of_the_library_gives_the_same() -> None:
    # What Python 3.14 has in coincurve's place, and alone.
    oracles.coincurve()
    code = """
    import sys
    {hidden}
    from panachain import secp256k1 as s
    from panachain.crypto.umbral import scheme
    seed = scheme.SecretKeyFactory.from_secure_randomness(bytes(range(32)))
    lane, grantee, signing = (seed.make_key(label) for label in (b"lane", b"grantee", b"signing"))
    keys = signing.public_key(), lane.public_key(), grantee.public_key()
    kit = scheme.MessageKit(keys[1], bytes(32), None)
    made = scheme.generate_kfrags(lane, keys[2], scheme.Signer(signing), 2, 3, True, True)
    cfrags = [scheme.reencrypt(kit.capsule, one.verify(*keys)).verify(kit.capsule, *keys) for one in made]
    read = [scheme.CapsuleFrag.from_bytes(bytes(one)).verify(kit.capsule, *keys) for one in cfrags[:2]]
    assert kit.decrypt_reencrypted(grantee, keys[1], read) == kit.decrypt(lane) == bytes(32)
    digest = bytes(range(32))
    signed = s.Scalar(lane.to_be_bytes()).sign_recoverable(digest)
    assert s.signer_of(digest, signed) == keys[1].point
    print(sys.modules["coincurve"], signed.hex(), *(key.to_compressed_bytes().hex() for key in keys))
    """
    by = [in_a_process(code.format(hidden=hidden)) for hidden in ("", "sys.modules['coincurve'] = None")]
    assert [one.returncode for one in by] == [0, 0], by[1].stderr
    first, second = (
        one.stdout.split(" ", 1) if number else one.stdout.rsplit("> ", 1) for number, one in enumerate(by)
    )
    assert second[0] == "None"
    assert first[1] == second[1]


class Watching:
    """The library, and which of its functions sees which bytes."""

    def __init__(self, lib: Any, ffi: Any) -> None:
        self._lib, self._ffi = lib, ffi
        self.seen: dict[str, set[bytes]] = {}

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._lib, name)
        if not name.startswith("secp256k1_"):
            return real

        def call(*arguments: object) -> object:
            result = real(*arguments)
            self.seen.setdefault(name, set()).update(self._bytes(arguments))
            return result

        return call

    def _bytes(self, arguments: tuple[object, ...]) -> Iterator[bytes]:
        for argument in arguments:
            if isinstance(argument, bytes):
                yield argument
            elif isinstance(argument, self._ffi.CData) and self._ffi.typeof(argument).kind == "array":
                yield bytes(self._ffi.buffer(argument))


def test_no_secret_of_a_whole_trip_is_seen_by_a_function_whose_time_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    watching = Watching(secp256k1.lib, secp256k1.ffi)
    monkeypatch.setattr(secp256k1, "lib", watching)
    scheme.check_signed.cache_clear()
    factory = scheme.SecretKeyFactory.from_secure_randomness(SOURCE.randbytes(32))
    lane, grantee, signing = (factory.make_key(label) for label in (b"lane", b"grantee", b"signing"))
    keys = signing.public_key(), lane.public_key(), grantee.public_key()
    kit = scheme.MessageKit.from_bytes(bytes(scheme.MessageKit(keys[1], bytes(32), None)))
    made = scheme.generate_kfrags(lane, keys[2], scheme.Signer(signing), 2, 3, True, True)
    kfrags = [scheme.KeyFrag.from_bytes(bytes(one)).verify(*keys) for one in made]
    cfrags = [scheme.reencrypt(kit.capsule, one).verify(kit.capsule, *keys) for one in kfrags]
    read = [scheme.CapsuleFrag.from_bytes(bytes(one)).verify(kit.capsule, *keys) for one in cfrags]
    assert kit.decrypt_reencrypted(grantee, keys[1], read[:2]) == kit.decrypt(lane) == bytes(32)

    taken = {data for name in secp256k1.SECRET_TAKERS for data in watching.seen.get(name, ()) if len(data) == 32}
    # What stands in capsules and cfrags is computed of secrets and public then.
    public = {raw(kit.capsule.s), raw(kit.capsule.h), *(raw(one.z) for one in cfrags)}
    public |= {raw(one._challenge(kit.capsule)) for one in cfrags}
    # A digest that is signed, and the one that is added to a hash.
    public |= {data for data in taken if data in watching.seen.get("secp256k1_ecdsa_verify", ())} | {raw(1)}
    others = {name: seen for name, seen in watching.seen.items() if name not in secp256k1.SECRET_TAKERS}
    assert {"secp256k1_ec_pubkey_tweak_mul", "secp256k1_ecdsa_recover"} <= set(others)
    assert {lane.to_be_bytes(), grantee.to_be_bytes(), *(bytes(one)[73:105] for one in kfrags)} <= taken
    assert {name for name, seen in others.items() if seen & (taken - public)} == set()


def test_each_function_of_the_library_that_is_used_is_looked_for_at_the_start() -> None:
    used = set(re.findall(r"\blib\.(secp256k1_\w+)", Path(secp256k1.__file__).read_text()))
    assert used == secp256k1.NEEDED
