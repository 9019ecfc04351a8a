"""scripts/check_language.py finds persons who are called "he" or "she" and clauses without a noun, and nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.checkout
ROOT = Path(__file__).resolve().parents[2]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_language", ROOT / "scripts" / "check_language.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def faults(folder: Path, name: str, text: str) -> list[str]:
    (folder / name).write_text(text)
    return [fault for _, fault in load().check_file(folder, name)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("README.md", "The patient finds his lanes again.\n"),
        ("a.sol", "/// @notice What he or she may do.\n"),
        ("a.py", '"""Return what the patient granted\n\n    by himself.\n    """\n'),
        ("a.py", "x = 1  # A clinician opens what was sealed to him.\n"),
        ("a.py", 'raise ValueError(f"{x}: she isn\'t a member")\n'),
    ],
)
def test_finds_a_person_who_is_called_by_a_pronoun(tmp_path: Path, name: str, text: str) -> None:
    assert len(faults(tmp_path, name, text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "# Bounded, so that who waits costs a connection only.\n",
        "# Who waits costs a connection only.\n",
        "# The key is renewed. Who left can't read what is granted afterwards.\n",
    ],
)
def test_finds_a_clause_without_a_noun(tmp_path: Path, text: str) -> None:
    assert len(faults(tmp_path, "a.py", text)) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "README.md",
            "Whoever holds the key computes it; the patient sees who read what, and the hospital loses theirs.\n",
        ),
        ("README.md", "## Who may pass\n\nWho may call what is in the table. Who asks first?\n"),
        ("a.py", "his = 1  # A name of a variable is no sentence.\n"),
    ],
)
def test_passes_what_reads_well(tmp_path: Path, name: str, text: str) -> None:
    assert faults(tmp_path, name, text) == []


def test_a_quotation_keeps_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load()
    monkeypatch.setattr(module, "QUOTED", (("README.md", "he that hath ears"),))
    (tmp_path / "README.md").write_text("As it says, he that hath ears.\nHe is no quotation.\n")
    assert [line for line, _ in module.check_file(tmp_path, "README.md")] == [2]


def test_the_repository_passes() -> None:
    assert load().main(ROOT) == 0
