"""The wheel: installed elsewhere, without the checkout, it runs everything; the devnet too where Anvil is named."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import PASSPHRASE

ROOT = Path(__file__).resolve().parents[2]
SUPPORTED = (14, 13, 12, 11)
"""Minor versions of Python 3 that the package is for."""


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
    for one in project["dependencies"]:
        below = re.search(r"python_version < '3\.(\d+)'", one)
        assert below, one
        assert int(below[1]) <= int(bound.removeprefix("3.")), one
    assert project["requires-python"] == f">=3.{min(SUPPORTED)},<3.{max(SUPPORTED) + 1}"


class Installed:
    """Needs a package index, as the set-up does."""

    @pytest.fixture(scope="class")
    def python(self) -> str:
        """The Python that it is installed with."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    def environment(self, python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
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
        self.run(python, "-m", "venv", environment, folder=folder)
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
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def test_the_python_is_the_one_that_was_asked_for(self, python: str, environment: Path, tmp_path: Path) -> None:
        assert version_of(str(environment / "bin/python"), tmp_path) == version_of(python, tmp_path)

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
        for name, role, more in (("clinic", "hospital", ()), ("doctor", "practitioner", ("--organisation", "clinic"))):
            panachain("--profile", name, "init", "--role", role)
            panachain("--profile", name, "register", *more)
        clinic, doctor = (json.loads(panachain("--profile", who, "whoami", "--json")) for who in ("clinic", "doctor"))
        assert (clinic["organisation"], doctor["organisation"]) == ("", clinic["address"])
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
        panachain("backup", "save", str(elsewhere / "home"), "home.tar")
        panachain("backup", "restore", "home.tar", "restored")
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
        # Nobody runs anything for it yet, and the sidechain has no gate: that is what the check says, and nothing else.
        with pytest.raises(AssertionError, match="findings, 4 bad"):
            panachain("network", "check", "own.json")


# Its first test installs everything, on a machine that runs other tests beside it.
@pytest.mark.deep
@pytest.mark.timeout(900)
class TestInstalled(Installed):
    @pytest.fixture(scope="class")
    def python(self) -> str:
        return sys.executable


@pytest.mark.nightly
@pytest.mark.timeout(900)
class TestOnTheOtherPython(Installed):
    """With the newest other Python of those that the package is for, as far as this machine has one."""

    @pytest.fixture(scope="class")
    def python(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        folder = tmp_path_factory.mktemp("python")
        names = [f"python3.{minor}" for minor in SUPPORTED if minor != sys.version_info.minor]
        places = [shutil.which(name) for name in names]
        # Version managers keep theirs off the path.
        places += [str(path) for name in names for path in sorted(Path.home().glob(f".pyenv/versions/*/bin/{name}"))]
        for place, minor in ((place, minor) for place in places if place for minor in SUPPORTED):
            if minor != sys.version_info.minor and version_of(place, folder) == f"3.{minor}":
                return place
        pytest.skip("no other Python that the package is for on this machine")


def version_of(python: str, folder: Path) -> str:
    """Return the version of an interpreter, such as 3.12; nothing of a shim that is there and doesn't run."""
    show = "import sys; print('{}.{}'.format(*sys.version_info))"
    done = subprocess.run([python, "-c", show], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
