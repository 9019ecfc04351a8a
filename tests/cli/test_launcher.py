"""`./pana`: runs from anywhere, and says what a machine lacks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from panachain import beside
from panachain.cli.services import _program

pytestmark = pytest.mark.checkout
ROOT = Path(__file__).resolve().parents[2]
PANA = ROOT / "pana"


def launch(program: Path, *arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        cwd=folder,
        # Whatever Python the tests themselves were told to run on.
        env={name: value for name, value in os.environ.items() if not name.startswith("PANA_")} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def program(path: Path, text: str) -> None:
    """Write a shell script that stands for a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that is not set up, in a folder with a space."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    shutil.copy(PANA, folder / "pana")
    return folder


def test_shell_accepts_the_scripts() -> None:
    for script in ("pana", ".ci/run", ".ci/lint"):
        subprocess.run(["bash", "-n", ROOT / script], check=True, timeout=10)


def test_says_when_there_is_no_fitting_python(checkout: Path) -> None:
    done = launch(checkout / "pana", "--help", folder=checkout, PANA_PYTHON="/bin/false")
    assert done.returncode == 1
    assert "not a Python from 3.11 to 3.14" in done.stderr
    assert not (checkout / ".venv").exists()


def test_says_when_python_can_make_no_environments(checkout: Path) -> None:
    fake = checkout / "python"
    fake.write_text('#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; *) exit 0 ;; esac\n')
    fake.chmod(0o755)
    done = launch(checkout / "pana", "--help", folder=checkout, PANA_PYTHON=str(fake))
    assert done.returncode == 1
    assert "python3-venv" in done.stderr


class TestOtherPython:
    """A machine whose only Python is one that the packages have no wheels for yet."""

    TOOLS = ("bash", "cat", "cmp", "cp", "dirname", "find", "head", "ln", "mkdir", "mv", "readlink", "rm", "sed")

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """A path that holds a Python which says that it is 3.15, and no other."""
        path = tmp_path / "bin"
        path.mkdir()
        for name in self.TOOLS:
            (path / name).symlink_to(str(shutil.which(name)))
        program(
            path / "python3",
            'case "$*" in\n'
            '  *"(3, 11) <="*) exit 1 ;;\n'
            "  *python_version*) echo 3.15.1 ;;\n"
            '  *"-m venv"*) exit 1 ;;\n'
            f'  *) exec {sys.executable} "$@" ;;\n'
            "esac",
        )
        return path

    def launch(self, checkout: Path, path: Path) -> subprocess.CompletedProcess[str]:
        # Without a home: version managers keep interpreters there.
        return launch(
            checkout / "pana", "--help", folder=checkout, PATH=str(path), HOME=str(checkout), PYENV_ROOT=str(checkout)
        )

    def test_takes_the_one_that_uv_finds(self, checkout: Path, path: Path) -> None:
        # It fits, and is known again by what it can't do.
        program(path / "found", 'case "$*" in *ensurepip*) exit 1 ;; *) exit 0 ;; esac')
        program(path / "uv", f'[ "$2 $3" = "python find" ] && echo {path / "found"}')
        done = self.launch(checkout, path)
        assert "python3 is 3.15.1. uv is asked for one." in done.stderr
        assert f"uv found {path / 'found'}" in done.stderr
        assert f"{path / 'found'} can't make environments" in done.stderr

    def test_lets_uv_download_one_into_the_checkout(self, checkout: Path, path: Path) -> None:
        program(path / "found", 'case "$*" in *ensurepip*) exit 1 ;; *) exit 0 ;; esac')
        program(
            path / "uv",
            'case "$2 $3" in\n'
            f'  "python find") [ -e "$UV_PYTHON_INSTALL_DIR" ] && echo {path / "found"} ;;\n'
            '  "python install") mkdir -p "$UV_PYTHON_INSTALL_DIR" ;;\n'
            "esac",
        )
        done = self.launch(checkout, path)
        assert "asking uv for Python 3.12" in done.stderr
        assert f"uv found {path / 'found'}" in done.stderr
        assert (checkout / ".cache/python").is_dir()

    @pytest.mark.parametrize("uv", [True, False])
    def test_says_so_when_none_can_be_had(self, checkout: Path, path: Path, uv: bool) -> None:
        if uv:
            program(path / "uv", "exit 2")
        done = self.launch(checkout, path)
        assert done.returncode == 1
        assert "none was found, and uv could not provide one" in done.stderr
        assert "next: install one" in done.stderr
        assert not (checkout / ".venv").exists()

    def test_finds_what_a_version_manager_keeps(self, checkout: Path, path: Path) -> None:
        kept = checkout / "versions/3.12.7/bin/python"
        program(kept, 'case "$*" in *ensurepip*) exit 1 ;; *) exit 0 ;; esac')
        assert f"{kept} can't make environments" in self.launch(checkout, path).stderr

    @pytest.mark.parametrize(
        ("there", "taken"),
        [
            (["3.13", "3.14"], "3.13"),
            (["3.14"], "3.14"),
            (["3.13", "3.12"], "3.12"),
            (["3.14", "3.11"], "3.11"),
            (["3.10", "3.15"], None),
        ],
    )
    def test_takes_one_that_ape_runs_on_before_a_newer_one(
        self, checkout: Path, path: Path, there: list[str], taken: str | None
    ) -> None:
        for version in there:
            # It answers what is asked of its version, and is known again by what it can't do.
            numbers = tuple(map(int, version.split(".")))
            program(
                checkout / f"versions/{version}.7/bin/python",
                'case "$*" in\n'
                f'  *"< (3, 13)"*) exit {int(not (3, 11) <= numbers < (3, 13))} ;;\n'
                f'  *"< (3, 15)"*) exit {int(not (3, 11) <= numbers < (3, 15))} ;;\n'
                "  *ensurepip*) exit 1 ;;\n"
                "esac",
            )
        said = self.launch(checkout, path).stderr
        if taken is None:
            assert "none was found" in said
        else:
            assert f"versions/{taken}.7/bin/python can't make environments" in said

    @pytest.mark.parametrize("name", ["venv", "../.venv", ".venv-", ".venv-x.y", "/tmp/.venv-3.13"])
    def test_an_environment_lies_beside_the_launcher_only(self, checkout: Path, name: str) -> None:
        done = launch(checkout / "pana", "--help", folder=checkout, PANA_VENV=name)
        assert done.returncode == 2
        assert "no folder for an environment" in done.stderr

    @pytest.mark.deep
    def test_installs_uv_where_it_is_missing(self, checkout: Path, path: Path) -> None:
        """Needs a package index. uv asks the same interpreter, which tells it the truth."""
        (checkout / "requirements").mkdir()
        shutil.copy(ROOT / "requirements/uv.txt", checkout / "requirements/uv.txt")
        program(
            path / "python3",
            f'case "$*" in *"(3, 11) <="*) exit 1 ;; *) exec {sys.executable} "$@" ;; esac',
        )
        done = self.launch(checkout, path)
        assert "installing uv into" in done.stderr
        assert (checkout / ".cache/uv/bin/uv").exists()


class TestBytecode:
    """Where PYTHONDONTWRITEBYTECODE is set nobody else compiles."""

    @pytest.fixture
    def ready(self, checkout: Path) -> Path:
        """A checkout that is set up, with an interpreter that only notes what it compiles."""
        for folder in ("requirements", ".venv/.pana", "tools/node_modules", "panachain"):
            (checkout / folder).mkdir(parents=True)
        for name in ("requirements/run.txt", ".venv/.pana/run.txt", "tools/package-lock.json"):
            (checkout / name).touch()
        (checkout / "tools/node_modules/.pana-dev").touch()
        (checkout / ".venv/.pana/root").write_text(f"{checkout}\n")
        (checkout / "panachain/errors.py").touch()
        program(checkout / ".venv/bin/python", f'echo "$*" >>"{checkout}/calls"')
        return checkout

    def compiled(self, ready: Path, **environment: str) -> int:
        """Return how often a start has compiled so far."""
        assert launch(ready / "pana", "whoami", folder=ready, **environment).returncode == 0
        return (ready / "calls").read_text().count("-m compileall")

    def test_compiles_at_set_up_and_what_changed_since(self, ready: Path) -> None:
        variable = {"PYTHONDONTWRITEBYTECODE": "1"}
        assert self.compiled(ready, **variable) == 1
        assert self.compiled(ready, **variable) == 1
        later = (ready / ".venv/.pana/compiled").stat().st_mtime + 10
        os.utime(ready / "panachain/errors.py", (later, later))
        assert self.compiled(ready, PYTHONDONTWRITEBYTECODE="") == 1
        assert self.compiled(ready, **variable) == 2


@pytest.mark.parametrize("name", ["", "../pana", "-x", "a b"])
def test_bench_takes_only_names(checkout: Path, name: str) -> None:
    assert launch(checkout / "pana", "bench", name, folder=checkout).returncode == 2


@pytest.mark.skipif(not (ROOT / ".venv" / ".pana" / "root").is_file(), reason="./pana has not set this checkout up")
def test_runs_from_another_folder_through_a_link(tmp_path: Path) -> None:
    link = tmp_path / "a link"
    link.symlink_to(PANA)
    done = launch(link, "--help", folder=tmp_path)
    assert done.returncode == 0
    assert "Health records" in done.stdout


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder of somebody else's files, with modules among them that leave a mark when they are run."""
    folder = tmp_path / "records"
    folder.mkdir()
    mark = f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(9)\n"
    for name in ("click", "tomllib", "platformdirs", "panachain", "pip", "venv", "sitecustomize", "usercustomize"):
        (folder / f"{name}.py").write_text(mark)
    return folder


@pytest.mark.skipif(not (ROOT / ".venv" / ".pana" / "root").is_file(), reason="./pana has not set this checkout up")
def test_no_module_of_the_folder_that_one_works_in_is_run(hostile: Path) -> None:
    done = launch(PANA, "config", "show", folder=hostile)
    assert (done.returncode, (hostile.parent / "ran").exists()) == (0, False), done.stderr


def test_nor_where_a_program_starts_itself(hostile: Path) -> None:
    done = launch(Path(sys.executable), *_program()[1:], "config", "show", folder=hostile)
    assert (done.returncode, (hostile.parent / "ran").exists()) == (0, False), done.stderr


def test_every_python_that_is_started_is_told_so() -> None:
    # All but these are started in one place.
    assert beside.flags()[0] == "-P"
    started = [
        (path, found[1])
        for path in (ROOT / "panachain").rglob("*.py")
        for found in re.finditer(r"sys\.executable,([^\n]*)", path.read_text())
    ]
    assert len(started) > 2
    assert [one for one in started if not re.match(r' "-[PI]",', one[1])] == []
    assert "export PYTHONSAFEPATH=1" in PANA.read_text()
