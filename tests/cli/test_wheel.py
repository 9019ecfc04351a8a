"""The wheel: installed elsewhere, without the checkout, it runs everything; the devnet too where Anvil is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import PASSPHRASE

ROOT = Path(__file__).resolve().parents[2]


def test_every_file_of_the_package_is_in_it() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["panachain"]
    package = ROOT / "panachain"
    matched = {pattern: set(package.glob(pattern)) for pattern in patterns}
    files = {path for path in package.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}}

    assert files == set().union(*matched.values())
    assert all(matched.values()), matched


def test_a_python_that_is_too_new_is_told_at_once() -> None:
    """An old pip loads what it depends on before it looks at the Python: there it depends on nothing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    _, bound = project["requires-python"].split("<")
    assert [one for one in project["dependencies"] if not one.endswith(f"; python_version < '{bound}'")] == []


@pytest.mark.deep
class TestInstalled:
    """Needs a package index, as the set-up does."""

    @pytest.fixture(scope="class")
    def environment(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """An environment of its own with the wheel and the locked packages."""
        folder = tmp_path_factory.mktemp("wheel")
        # A copy: building leaves folders behind, and takes over what an earlier build left.
        source = folder / "source"
        shutil.copytree(ROOT / "panachain", source / "panachain", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source / name)
        pip = [sys.executable, "-m", "pip"]
        self.run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source, folder=folder)
        (wheel,) = folder.glob("panachain-*.whl")
        environment = folder / "environment"
        self.run(sys.executable, "-m", "venv", environment, folder=folder)
        install = [environment / "bin/python", "-m", "pip", "install", "--quiet", "--no-deps"]
        self.run(*install, "--require-hashes", "-r", ROOT / "requirements/run.txt", folder=folder)
        self.run(*install, wheel, folder=folder)
        return environment

    @pytest.fixture(scope="class")
    def panachain(self, environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
        """Run the installed program in an empty folder, with a home of its own."""
        folder = tmp_path_factory.mktemp("elsewhere")
        (folder / "passphrase").write_text(PASSPHRASE)
        (folder / "passphrase").chmod(0o600)
        variables = {"PANACHAIN_HOME": folder / "home", "PANACHAIN_PASSPHRASE_FILE": folder / "passphrase"}

        def run(*arguments: str, **more: str) -> str:
            changed = {name: str(value) for name, value in variables.items()} | more
            return self.run(environment / "bin/panachain", *arguments, folder=folder, **changed)

        yield run
        if (folder / "home" / "network.json").exists():
            run("devnet", "down")

    @staticmethod
    def run(*command: object, folder: Path, **variables: str) -> str:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PANA"))}
        done = subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            env=inherited | variables,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def test_the_package_is_the_installed_one(self, environment: Path, tmp_path: Path) -> None:
        show = "import panachain; print(panachain.__file__)"
        where = self.run(environment / "bin/python", "-c", show, folder=tmp_path)
        assert Path(where.strip()).is_relative_to(environment)

    def test_every_module_is_importable(self, environment: Path, tmp_path: Path) -> None:
        walk = (
            "import importlib, pkgutil, panachain\n"
            "for found in pkgutil.walk_packages(panachain.__path__, 'panachain.'):\n"
            "    if not found.name.endswith('__main__'):\n"
            "        importlib.import_module(found.name)\n"
        )
        self.run(environment / "bin/python", "-c", walk, folder=tmp_path)

    def test_the_command_line_and_the_development_network_run(self, panachain: Callable[..., str]) -> None:
        assert "Health records" in panachain("--help")
        panachain("init", "--role", "patient")
        # Where npm put it in the checkout; a user names their own.
        (anvil,) = (ROOT / "tools/node_modules/@foundry-rs").glob("anvil-*/bin/anvil")
        panachain("devnet", "up", PANACHAIN_ANVIL=str(anvil))
        assert json.loads(panachain("devnet", "status", "--json"))
        panachain("--profile", "patient", "register")
        assert "patient" in panachain("--profile", "patient", "whoami")
        panachain("doctor")
