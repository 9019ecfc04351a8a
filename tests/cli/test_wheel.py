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
    def elsewhere(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A folder outside the checkout."""
        return tmp_path_factory.mktemp("elsewhere")

    @pytest.fixture(scope="class")
    def panachain(self, environment: Path, elsewhere: Path) -> Iterator[Callable[..., str]]:
        """Run the installed program in an empty folder, with a home of its own."""
        folder = elsewhere
        (folder / "passphrase").write_text(PASSPHRASE)
        (folder / "passphrase").chmod(0o600)
        variables = {
            "PANACHAIN_HOME": folder / "home",
            "PANACHAIN_PASSPHRASE_FILE": folder / "passphrase",
            # Nothing of this user's: no Anvil that was installed before.
            "XDG_DATA_HOME": folder / "data",
        }
        if shutil.which("npm") is None:
            # Where the set-up took npm from a wheel, as no user has it: what it put into the checkout.
            (anvil,) = (ROOT / "tools/node_modules/@foundry-rs").glob("anvil-*/bin/anvil")
            variables["PANACHAIN_ANVIL"] = anvil

        def run(*arguments: str, **more: str) -> str:
            changed = {name: str(value) for name, value in variables.items()} | more
            return self.run(environment / "bin/panachain", *arguments, folder=folder, **changed)

        if "PANACHAIN_ANVIL" not in variables:
            assert str(folder / "data") in run("devnet", "install")
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
        panachain("devnet", "up")
        assert json.loads(panachain("devnet", "status", "--json"))
        panachain("--profile", "patient", "register")
        assert "patient" in panachain("--profile", "patient", "whoami")
        panachain("doctor")
        panachain("network", "check")

    def test_the_whole_story(self, panachain: Callable[..., str], elsewhere: Path) -> None:
        for name, role in (("clinic", "hospital"), ("doctor", "practitioner")):
            panachain("--profile", name, "init", "--role", role)
            panachain("--profile", name, "register")
        panachain("devnet", "records", "records")
        panachain("--profile", "patient", "pair", "clinic")
        panachain("--profile", "clinic", "upload", "records", "--patient", "patient")
        grant = ("grant", "doctor", "--category", "all", "--purpose", "TREAT", "--until", "30d", "--any-operator")
        panachain("--profile", "patient", *grant)
        panachain("--profile", "doctor", "open", "patient", "-o", "opened")
        assert len(list((elsewhere / "opened").iterdir())) > 2
        panachain("--profile", "patient", "revoke", "doctor", "--yes")
        with pytest.raises(AssertionError, match="revoked"):
            panachain("--profile", "doctor", "open", "patient", "-o", "again")

    def test_a_home_is_backed_up_while_it_is_in_use_and_goes_on_elsewhere(
        self, panachain: Callable[..., str], elsewhere: Path
    ) -> None:
        script = ROOT / "scripts" / "backup.py"
        self.run(sys.executable, script, "save", elsewhere / "home", elsewhere / "home.tar", folder=elsewhere)
        self.run(sys.executable, script, "restore", elsewhere / "home.tar", elsewhere / "restored", folder=elsewhere)
        restored = ("--home", str(elsewhere / "restored"))
        # The hospital publishes nothing twice, and the patient finds what was granted.
        again = panachain(*restored, "--profile", "clinic", "upload", "records", "--patient", "patient", "--json")
        assert json.loads(again)["records"] == []
        policies = panachain(*restored, "--profile", "patient", "policies", "--json").splitlines()
        assert [json.loads(line)["schema"] for line in policies] == ["panachain/policy/1"]
        panachain(*restored, "storage", "repair")

    def test_a_network_is_deployed_and_checked(
        self, panachain: Callable[..., str], environment: Path, elsewhere: Path
    ) -> None:
        key = "import secrets; print(secrets.token_hex(32))"
        for name in ("main.key", "side.key"):
            (elsewhere / name).write_text(self.run(environment / "bin/python", "-c", key, folder=elsewhere))
            (elsewhere / name).chmod(0o600)
        who = "0x52908400098527886E0F7030069857D2E4169EE7", "0x8617E340B3D01FA5F11F306F4090FD50E238070D"
        state = json.loads((elsewhere / "home" / "devnet" / "processes.json").read_text())
        main = json.loads(panachain("devnet", "status", "--json"))["mainchain"]
        arguments = [
            *("deploy", "--mainchain", main, "--sidechain", state["sidechainUrl"], "--network", "own.json"),
            *("--registrar", who[0], "--admin", who[1], "--validator", who[0]),
            *("--key-file", "main.key", "--side-key-file", "side.key"),
        ]
        for line in panachain(*arguments, "--dry-run", "--json").splitlines():
            cost = json.loads(line)
            url = main if cost["chain"] == "mainchain" else state["sidechainUrl"]
            fund = f"from panachain.chain import anvil, rpc; anvil.fund(rpc.Rpc({url!r}), {cost['deployer']!r})"
            self.run(environment / "bin/python", "-c", fund, folder=elsewhere)
        panachain(*arguments, "--yes")
        # Nobody runs a proxy for it yet: that is what the check says, and nothing else of the chains.
        with pytest.raises(AssertionError, match="findings, 3 bad"):
            panachain("network", "check", "own.json")
