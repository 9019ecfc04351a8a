"""The vectors of another Umbral implementation, by the wrapper and by the slow oracle (security rule 8)."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest

from panachain.crypto import umbral
from panachain.errors import IntegrityError
from tests.support import shared
from tests.unit.crypto import umbral_oracle as oracle

SECRETS = ("delegating", "receiving", "signing")


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(shared("vectors", "umbral-cross", "umbral_pre_0_11_0_golden.json").read_bytes())
    return made


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.fixture(scope="module")
def numbers(vectors: dict[str, Any]) -> dict[str, int]:
    return {name: int(vectors[f"{name}_sk"], 16) for name in SECRETS}


@pytest.fixture(scope="module")
def keys(numbers: dict[str, int]) -> dict[str, bytes]:
    public = {name: oracle.public(number) for name, number in numbers.items()}
    return {"verifying": public["signing"], "delegating": public["delegating"], "receiving": public["receiving"]}


def test_both_derive_the_same_public_keys(vectors: dict[str, Any], keys: dict[str, bytes]) -> None:
    ours = [umbral.SecretKey.from_bytes(raw(vectors[f"{name}_sk"])).public for name in SECRETS]
    assert ours == [keys["delegating"], keys["receiving"], keys["verifying"]]


def test_both_read_the_capsule(vectors: dict[str, Any]) -> None:
    capsule = oracle.Capsule.parse(raw(vectors["capsule"]))
    assert capsule.to_bytes() == raw(vectors["capsule"])
    assert capsule.bound() == raw(vectors["capsule_simple"])
    assert bytes(umbral._capsule(raw(vectors["capsule"]))) == capsule.to_bytes()


def test_oracle_opens_the_ciphertext_with_either_key(vectors: dict[str, Any], numbers: dict[str, int]) -> None:
    capsule = oracle.Capsule.parse(raw(vectors["capsule"]))
    cfrags = [oracle.Cfrag.parse(raw(cfrag)) for cfrag in vectors["cfrags"]]
    delegating = oracle.public(numbers["delegating"])
    seed = oracle.open_original(capsule, numbers["delegating"])
    assert oracle.unseal(seed, raw(vectors["ciphertext"]), capsule) == raw(vectors["plaintext"])
    for count in range(vectors["threshold"], vectors["shares"] + 1):
        for chosen in combinations(cfrags, count):
            assert oracle.open_reencrypted(capsule, numbers["receiving"], delegating, chosen) == seed


def test_both_verify_every_kfrag_and_cfrag(vectors: dict[str, Any], keys: dict[str, bytes]) -> None:
    capsule = oracle.Capsule.parse(raw(vectors["capsule"]))
    for kfrag in map(raw, vectors["kfrags"]):
        assert oracle.check_kfrag(kfrag, **keys).to_bytes() == kfrag
        umbral.check_kfrag(kfrag, **keys)
    for cfrag in map(raw, vectors["cfrags"]):
        assert oracle.check_cfrag(cfrag, capsule, **keys).to_bytes() == cfrag
        umbral.check_cfrag(cfrag, capsule.to_bytes(), **keys)


def test_wrapper_opens_a_wrap_of_the_capsule_with_the_cfrags(
    vectors: dict[str, Any], numbers: dict[str, int], keys: dict[str, bytes]
) -> None:
    # The vectors' own ciphertext isn't of a key of 32 bytes, which is all that a wrap may hold: so seal one anew.
    capsule = oracle.Capsule.parse(raw(vectors["capsule"]))
    key = bytes(range(32))
    sealed = oracle.seal(oracle.open_original(capsule, numbers["delegating"]), key, capsule, bytes(24))
    wrap = oracle.join_wrap(capsule, sealed)
    grantee = umbral.SecretKey.from_bytes(raw(vectors["receiving_sk"]))
    named = {"verifying": keys["verifying"], "delegating": keys["delegating"]}

    assert umbral.unwrap(umbral.SecretKey.from_bytes(raw(vectors["delegating_sk"])), wrap) == key
    for chosen in combinations(map(raw, vectors["cfrags"]), vectors["threshold"]):
        opened = umbral.unwrap_reencrypted(grantee, wrap, chosen, **named, threshold=vectors["threshold"])
        assert opened == key


def test_any_two_kfrags_and_the_grantees_key_give_the_delegating_key(
    vectors: dict[str, Any], numbers: dict[str, int]
) -> None:
    kfrags = [oracle.Kfrag.parse(raw(kfrag)) for kfrag in vectors["kfrags"]]
    found = {oracle.lane_secret(pair, numbers["receiving"]) for pair in combinations(kfrags, 2)}
    assert found == {numbers["delegating"]}


def test_both_refuse_the_forged_base_point(vectors: dict[str, Any], keys: dict[str, bytes]) -> None:
    forged = raw(vectors["negative"]["forged_params_u_kfrag_must_be_rejected_by_our_wrapper"])
    with pytest.raises(IntegrityError, match="base point"):
        umbral.check_kfrag(forged, **keys)
    with pytest.raises(oracle.OracleError, match="base point"):
        oracle.check_kfrag(forged, **keys)


@pytest.mark.deep
@pytest.mark.parametrize("kind", ["kfrags", "cfrags", "capsule"])
def test_both_refuse_every_changed_byte(vectors: dict[str, Any], keys: dict[str, bytes], kind: str) -> None:
    good = raw(vectors[kind] if kind == "capsule" else vectors[kind][1])
    capsule = oracle.Capsule.parse(raw(vectors["capsule"]))
    cfrag = raw(vectors["cfrags"][0])
    accepted = []
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 0x01
        calls = {
            "kfrags": (lambda b: umbral.check_kfrag(b, **keys), lambda b: oracle.check_kfrag(b, **keys)),
            "cfrags": (
                lambda b: umbral.check_cfrag(b, capsule.to_bytes(), **keys),
                lambda b: oracle.check_cfrag(b, capsule, **keys),
            ),
            "capsule": (lambda b: umbral.check_cfrag(cfrag, b, **keys), oracle.Capsule.parse),
        }[kind]
        for call in calls:
            try:
                call(bytes(bad))
                accepted.append(position)
            except (IntegrityError, oracle.OracleError):
                continue
    assert accepted == []
