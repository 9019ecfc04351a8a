"""The numbers that stand for words: a vector file pins them, and the contracts have the same."""

from __future__ import annotations

import json
import re
from enum import Enum
from pathlib import Path

import pytest

from panachain.chain.contracts import access_requests, actor_registry, identity_registry
from panachain.model.actors import Status
from panachain.model.codes import Coded
from panachain.model.policy import PolicyStatus, ReceiptKind
from panachain.model.scope import Category, Purpose

ROOT = Path(__file__).parents[3]
PINNED: dict[str, dict[str, int]] = json.loads((ROOT / "tests" / "vectors" / "codes.json").read_text())
CODED: dict[str, type[Coded]] = {"categories": Category, "purposes": Purpose, "AccessLog.Kind": ReceiptKind}
ROLES = {"ActorRegistry.Role": actor_registry.ROLES, "IdentityRegistry.Role": identity_registry.ROLES}
NUMBERED: dict[str, type[Enum]] = {"PolicyStatus": PolicyStatus, "Status": Status}


def ours(name: str) -> dict[str, int]:
    """Return words and numbers as the program has them."""
    if name in CODED:
        return {member.value: member.code for member in CODED[name]}
    if name in ROLES:
        return {role.value: number for number, role in ROLES[name].items()}
    if name in NUMBERED:
        return {member.name.lower(): member.value for member in NUMBERED[name]}
    return {state: number for number, state in access_requests.STATES.items()}


@pytest.mark.parametrize("name", [name for name in PINNED if name != "about"])
def test_a_word_keeps_its_number(name: str) -> None:
    assert PINNED[name].items() <= ours(name).items()
    assert ours(name).keys() == PINNED[name].keys(), "a new word: pin its number in tests/vectors/codes.json"


@pytest.mark.parametrize("name", [name for name in PINNED if name != "about"])
def test_no_number_stands_for_two_words(name: str) -> None:
    assert len(set(ours(name).values())) == len(ours(name))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("ActorRegistry.Role", "interfaces/IActorRegistry.sol"),
        ("IdentityRegistry.Role", "interfaces/IIdentityRegistry.sol"),
        ("AccessLog.Kind", "interfaces/IAccessLog.sol"),
        ("AccessRequests.State", "interfaces/IAccessRequests.sol"),
        ("Status", "types/Status.sol"),
    ],
)
def test_a_contract_has_the_same_numbers(name: str, source: str) -> None:
    text = re.sub(r"///.*", "", (ROOT / "contracts" / source).read_text())
    found = re.search(rf"enum {name.rpartition('.')[2]} \{{(.*?)\}}", text, re.S)
    assert found is not None
    members = [member.strip().lower() for member in found[1].split(",")]
    assert all(members[number] == word for word, number in ours(name).items())


def test_a_bit_is_that_of_the_number() -> None:
    # docs/spec/formats.md, section "Words": the disclosure has 32 bits for each.
    for member in (*Category, *Purpose):
        assert member.bit == 1 << member.code < 1 << 32


def test_categories_have_numbers_without_a_gap() -> None:
    # A pairing has a place for each number (docs/spec/formats.md, section "Codes").
    assert sorted(category.code for category in Category) == list(range(len(Category)))


def test_the_order_in_the_source_means_nothing() -> None:
    turned = Coded("turned", {c.name: (c.value, c.code) for c in reversed(Category)})  # type: ignore[call-overload]
    assert {member.value: member.code for member in turned} == PINNED["categories"]


def test_a_word_needs_a_number() -> None:
    with pytest.raises(TypeError, match="has no number"):
        Coded("Bad", {"WORD": "word"})  # type: ignore[call-overload]


def test_an_unknown_number_is_nobody() -> None:
    assert Category.by_code(6) is Category.LABORATORY
    assert Category.by_code(31) is None
