"""The strict wrapper over another implementation of Umbral: what one makes, the other takes, and neither more."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from panachain.crypto import umbral
from panachain.errors import IntegrityError
from tests.unit.crypto import umbral_other

KEY = bytes(range(32))
SECRETS = {name: bytes(31) + bytes([number]) for number, name in enumerate(("lane", "grantee", "signer"), 11)}
MADE_HERE = {"SecretKeyFactory", "VerificationError", "VerifiedCapsuleFrag", "VerifiedKeyFrag"}
"""Of the library's names those that only types and the derivation of keys need."""


@contextmanager
def other() -> Iterator[None]:
    """Let the wrapper stand on the other implementation."""
    caches = (umbral._parsed_kit, umbral._point, umbral._parsed_capsule, umbral._standard_u, umbral._found_good)
    with pytest.MonkeyPatch.context() as patch:
        for cached in caches:
            cached.cache_clear()
        patch.setattr(umbral, "_umbral", umbral_other.LIBRARY)
        patch.setattr(umbral, "_kits", umbral_other.KITS)
        try:
            yield
        finally:
            for cached in caches:
                cached.cache_clear()


@contextmanager
def usual() -> Iterator[None]:
    """Leave the wrapper where it stands."""
    yield


Backend = Callable[[], "contextmanager[None]"]


class People:
    """The same three keys, as the present implementation holds them."""

    def __init__(self) -> None:
        self.lane = umbral.SecretKey.from_bytes(SECRETS["lane"])
        self.grantee = umbral.SecretKey.from_bytes(SECRETS["grantee"])
        self.signer = umbral.Signer(umbral.SecretKey.from_bytes(SECRETS["signer"]))
        self.keys = {
            "verifying": self.signer.public,
            "delegating": self.lane.public,
            "receiving": self.grantee.public,
        }


def cfrags_of(wrapped: bytes, kfrags: list[bytes], keys: dict[str, bytes]) -> list[bytes]:
    capsule = umbral.capsule_of(wrapped)
    made = [umbral.reencrypt(capsule, umbral.check_kfrag(kfrag, **keys), **keys) for kfrag in kfrags]
    (again,) = umbral.reencrypt_many([capsule], umbral.check_kfrag(kfrags[0], **keys), **keys)
    umbral.check_cfrag(again, capsule, **keys)
    return made


@pytest.mark.parametrize("patient", [usual, other])
@pytest.mark.parametrize("proxy", [usual, other])
@pytest.mark.parametrize("grantee", [usual, other])
def test_patient_proxy_and_grantee_may_have_different_implementations(
    patient: Backend, proxy: Backend, grantee: Backend
) -> None:
    with patient():
        people = People()
        wrapped = umbral.wrap(people.lane.public, KEY)
        kfrags = umbral.delegate(people.lane, people.grantee.public, people.signer, threshold=2, shares=3)
        keys = people.keys
        assert umbral.unwrap(people.lane, wrapped) == KEY
    with proxy():
        helped = cfrags_of(wrapped, kfrags[1:], keys)
    with grantee():
        opened = umbral.unwrap_reencrypted(
            People().grantee, wrapped, helped, verifying=keys["verifying"], delegating=keys["delegating"], threshold=2
        )
    assert opened == KEY


def test_the_wrapper_refuses_over_another_implementation_too() -> None:
    with other():
        people = People()
        wrapped = umbral.wrap(people.lane.public, KEY)
        kfrags = umbral.delegate(people.lane, people.grantee.public, people.signer, threshold=2, shares=2)
        stranger = umbral.SecretKey.random()
        with pytest.raises(IntegrityError, match="doesn't open"):
            umbral.unwrap(people.grantee, wrapped)
        with pytest.raises(IntegrityError, match="signature"):
            umbral.check_kfrag(kfrags[0][:-3] + b"\x00\xc3\xc3", **people.keys)
        with pytest.raises(IntegrityError):
            umbral.check_kfrag(kfrags[0], **people.keys | {"receiving": stranger.public})
        with pytest.raises(IntegrityError, match="version"):
            umbral.capsule_of(b"\x02" + wrapped[1:])


def test_the_wrapper_asks_for_nothing_else() -> None:
    tree = ast.parse(Path(umbral.__file__).read_text())
    asked = {
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    names = {name for module, name in asked if module == "_umbral"} - MADE_HERE
    assert names == vars(umbral_other.LIBRARY).keys()
    assert {name for module, name in asked if module == "_kits"} == vars(umbral_other.KITS).keys()
