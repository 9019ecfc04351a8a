"""scripts/check_references.py finds each kind of reference that leads nowhere, and passes those that lead somewhere."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.checkout
ROOT = Path(__file__).resolve().parents[2]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_references", ROOT / "scripts" / "check_references.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small repository in which every reference resolves."""
    (tmp_path / "docs/adr").mkdir(parents=True)
    (tmp_path / "docs/security").mkdir()
    (tmp_path / "docs/design.md").write_text("# The design\n\n## 1. Words\n\n## 8. The trips\n\n### Open\n")
    (tmp_path / "docs/security/rules.md").write_text("# Rules\n\n## 3. Revocation\n")
    (tmp_path / "docs/adr/0004-a.md").write_text("# 4. A decision\n\nSee [the words](../design.md#1-words).\n")
    (tmp_path / "code.py").write_text(
        '"""Follows design sections 1 and 8 (Open, step 2), security rule 3, ADR 4,\n'
        'docs/design.md, section "The trips", and code.py."""\n'
    )
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True, timeout=60)
    return tmp_path


def test_passes_what_resolves(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load().main(house) == 0
    assert capsys.readouterr().out == "every reference resolves\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("# design section 7", "docs/design.md has no section 7"),
        ("# design sections 1, 8 and 9", "docs/design.md has no section 9"),
        ("# design\n# section 7", "docs/design.md has no section 7"),
        ("# design section 8 (Publish, step 1)", "docs/design.md has no heading 'Publish'"),
        ("# security rules 3 and 16", "docs/security/rules.md has no rule 16"),
        ("# ADR 5", "there is no ADR 5"),
        ('# docs/design.md, section "Keys"', "docs/design.md has no section 'Keys'"),
        ("# records/lanes.py", "records/lanes.py isn't there"),
        ("# expectations.md", "expectations.md isn't there"),
    ],
)
def test_names_what_leads_nowhere(house: Path, capsys: pytest.CaptureFixture[str], text: str, fault: str) -> None:
    (house / "more.py").write_text(text + "\n")

    assert load().main(house) == 1
    assert capsys.readouterr().out == f"more.py:1: {fault}\n"


@pytest.mark.parametrize("link", ["gone.md", "design.md#gone", "adr/0004-a.md#5-gone"])
def test_finds_links_without_a_target(house: Path, capsys: pytest.CaptureFixture[str], link: str) -> None:
    (house / "docs/page.md").write_text(f"# Page\n\n[there]({link})\n")

    assert load().main(house) == 1
    assert link in capsys.readouterr().out
