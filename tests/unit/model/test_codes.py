"""The numbers that stand for words: a vector file pins them, and the contracts have the same."""

from __future__ import annotations

import json
import re
from enum import Enum
from pathlib import Path

import pytest

from panachain.chain.contracts import actor_registry, identity_registry
from panachain.chain.refusals import REQUEST_STATES, WARDSHIP_STATES
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
    states = WARDSHIP_STATES if name == "Wardships.State" else REQUEST_STATES
    return {state.replace(" ", "_"): number for number, state in states.items()}


@pytest.mark.parametrize("name", [name for name in PINNED if name != "about"])
def test_a_word_keeps_its_number(name: str) -> None:
    assert PINNED[name].items() <= ours(name).items()
    assert ours(name).keys() == PINNED[name].keys(), "a new word: pin its number in tests/vectors/codes.json"


@pytest.mark.parametrize("name", [name for name in PINNED if name != "about"])
def test_no_number_stands_for_two_words(name: str) -> None:
    assert len(set(ours(name).values())) == len(ours(name))


def enums() -> dict[str, list[str]]:
    """Return the members of every enum of the contracts, by the name that the vector file has for it."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "contracts").rglob("*.sol")):
        text = re.sub(r"//.*", "", path.read_text())
        for name, members in re.findall(r"\benum (\w+) \{(.*?)\}", text, re.S):
            owner = path.stem.removeprefix("I") + "." if path.parent.name == "interfaces" else ""
            found[owner + name] = [snake(member.strip()) for member in members.split(",")]
    return found


def snake(name: str) -> str:
    """Return a Solidity member's name as the vector file writes it."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


@pytest.mark.parametrize("name", sorted(enums()))
def test_an_enum_of_the_contracts_has_the_same_members_and_numbers_here(name: str) -> None:
    assert name in PINNED, "a new enum: name it in tests/vectors/codes.json, and its Python twin above"
    numbers = {member: number for number, member in enumerate(enums()[name])}
    # "None" is nobody's role and no statement, which Python says by None.
    numbers = {member: number for member, number in numbers.items() if member != "none" or "none" in ours(name)}
    assert numbers == ours(name)


def test_every_enum_was_found() -> None:
    assert set(enums()) == PINNED.keys() - {"about", "categories", "purposes"}


def test_the_specification_has_the_same_numbers() -> None:
    section = (ROOT / "docs/spec/formats.md").read_text().partition("### Codes\n")[2].partition("\n### ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:2] == "| "]
    split = next(number for number, row in enumerate(rows) if row[0] == "number")
    codes, numbers, titles = rows[1:split], rows[split + 1 :], rows[split]
    words = {row[at + 1]: int(row[at]) for row in codes for at in (0, 3, 6) if row[at]}
    assert words == PINNED["categories"] | PINNED["purposes"]
    for column, title in enumerate(titles[1:], 1):
        found = {row[column].replace("-", ""): int(row[0]) for row in numbers if row[column]}
        expected = PINNED[title.strip("`")]
        assert {word: number for word, number in found.items() if word != "none" or "none" in expected} == expected


def test_the_design_names_every_category() -> None:
    section = (ROOT / "docs/design.md").read_text().partition("## 4. Categories\n")[2].partition("\n- ")[0]
    assert set(re.findall(r"[a-z][a-z-]+", section)) - {"and", "the", "restricted", "ones"} == {
        c.value for c in Category
    }


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
