"""What an error means on a page: each kind that can come there has a sentence and a step in each language."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import panachain.portal
from panachain import errors
from panachain.errors import PanaChainError
from panachain.portal.i18n import SOURCE, languages, speaking
from panachain.portal.refusals import is_said, said
from panachain.portal.rendering import FILTERS
from panachain.portal.sentences import SENTENCES, sentence_of, step_after
from tests.unit.test_errors import made, tree

INSIDE = {"ProblemError", "RenewedError", "ChangedMeanwhileError"}
"""Beside those that aren't public: they are caught where they are raised, and reach no page."""
OTHERS = [language for language in languages() if language != SOURCE]


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("language", OTHERS)
def test_every_kind_of_error_has_words_in_every_language(kind: type[PanaChainError], language: str) -> None:
    if not (kind.__name__ in INSIDE or kind.__name__.startswith("_")):
        # Of its own, and not only those of what it is a kind of: it would say too little.
        assert kind in SENTENCES
    error = made(kind)
    english = sentence_of(error), step_after(error)
    with speaking(language):
        told = sentence_of(error), step_after(error)
        assert all(told)
        assert not set(told) & set(english)
        assert FILTERS["lead"](error) == told[0]
        assert FILTERS["detail"](error) == str(error)
        assert FILTERS["step"](error) == told[1]


@pytest.mark.parametrize("language", OTHERS)
def test_each_says_something_of_its_own(language: str) -> None:
    with speaking(language):
        told = [sentence_of(made(kind)) for kind in SENTENCES]
    assert len(set(told)) == len(told)


def test_in_english_the_message_stands_for_itself() -> None:
    error = errors.PolicyRevokedError("policy 0x12 is revoked since block 7", hint="ask anew")
    assert (FILTERS["lead"](error), FILTERS["detail"](error), FILTERS["step"](error)) == (str(error), "", "ask anew")


def test_what_a_page_said_itself_is_told_as_it_is() -> None:
    error = said(errors.UsageError("Das passt nicht.", hint="Wählen Sie anders."))
    assert is_said(error)
    with speaking("de"):
        assert (FILTERS["lead"](error), FILTERS["detail"](error)) == ("Das passt nicht.", "")
        assert FILTERS["step"](error) == "Wählen Sie anders."
        # The usual hint of its kind is English.
        assert FILTERS["step"](said(errors.UsageError("Das passt nicht."))) == step_after(error)


def test_neither_keys_nor_controls_come_through() -> None:
    error = PanaChainError("https://eth.example/v2/KEY failed\x1b[2J", hint="look at https://eth.example/v2/KEY")
    for language in languages():
        with speaking(language):
            told = " ".join(FILTERS[name](error) for name in ("lead", "detail", "step"))
        assert "KEY" not in told
        assert "\x1b" not in told


def test_whatever_a_page_says_itself_is_noted_as_said() -> None:
    folder = Path(panachain.portal.__file__).parent
    wrong, right = [], 0
    for path in folder.rglob("*.py"):
        parsed = ast.parse(path.read_text(encoding="utf-8"))
        noted = {id(call.args[0]) for call in _calls(parsed) if _named(call) == "said" and call.args}
        for call in _calls(parsed):
            if hasattr(errors, _named(call)) and call.args and _is_translated(call.args[0]):
                right += id(call) in noted
                wrong += [f"{path.name}:{call.lineno}"] if id(call) not in noted else []
    assert wrong == []
    assert right > 20


def _calls(parsed: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(parsed) if isinstance(node, ast.Call)]


def _named(call: ast.Call) -> str:
    return str(getattr(call.func, "id", getattr(call.func, "attr", "")))


def _is_translated(value: ast.expr) -> bool:
    return any(_named(call) in ("_", "gettext", "ngettext") for call in _calls(value))
