"""Which implementation of Umbral is used, and that security rule 8 holds on each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from panachain.crypto import umbral
from panachain.crypto.umbral import backend
from panachain.errors import ConfigurationError
from tests import oracles

ROOT = Path(__file__).parents[4]


def test_libsecp256k1_is_the_default_and_nucypher_core_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    oracles.nucypher()
    monkeypatch.delenv(backend.VARIABLE, raising=False)
    assert backend.chosen().name == backend.LIBSECP256K1
    for name in (backend.LIBSECP256K1, backend.NUCYPHER_CORE):
        assert backend.chosen(name).name == name
        monkeypatch.setenv(backend.VARIABLE, name)
        assert backend.chosen().name == name


@pytest.mark.parametrize("name", ["nucypher_core", "LIBSECP256K1", "none", " "])
def test_a_setting_that_names_none_is_an_error(name: str) -> None:
    with pytest.raises(ConfigurationError, match="PANACHAIN_UMBRAL") as caught:
        backend.chosen(name)
    assert caught.value.hint


def test_nucypher_core_that_is_set_and_missing_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nucypher_core", None)
    with pytest.raises(ConfigurationError, match="can't be loaded") as caught:
        backend.chosen(backend.NUCYPHER_CORE)
    assert "pip install nucypher-core" in caught.value.hint
    assert backend.chosen("").name == backend.LIBSECP256K1


HIDING = """
import sys
for name in ("coincurve", "coincurve._libsecp256k1", "btclib_secp256k1"):
    sys.modules[name] = None
from panachain.cli.main import main
sys.argv[0] = "panachain"
sys.exit(main())
"""
"""The command line on a machine where neither package has a library."""
LACKING = """
import sys, types
try:
    import coincurve._libsecp256k1 as real
except ImportError:
    import btclib_secp256k1 as real
class Lib:
    def __getattr__(self, name):
        if name == "secp256k1_ecdh":
            raise AttributeError(name)
        return getattr(real.lib, name)
sys.modules[real.__name__] = types.SimpleNamespace(ffi=real.ffi, lib=Lib())
from panachain.cli.main import main
sys.argv[0] = "panachain"
sys.exit(main())
"""
"""The same with a library that was built without a module."""


@pytest.mark.parametrize("setting", ["", backend.NUCYPHER_CORE])
@pytest.mark.parametrize(
    ("program", "said"),
    [(HIDING, "libsecp256k1 can't be loaded"), (LACKING, "was built without secp256k1_ecdh")],
    ids=["hidden", "lacking"],
)
def test_a_machine_without_libsecp256k1_is_told_what_to_install(
    tmp_path: Path, program: str, said: str, setting: str
) -> None:
    done = run_hidden(tmp_path, program, setting, "--profile", "me", "init", "--role", "patient")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "pip install coincurve" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "profiles").exists()


def test_help_needs_no_library(tmp_path: Path) -> None:
    done = run_hidden(tmp_path, HIDING, "", "--help")
    assert (done.returncode, "panachain" in done.stdout) == (0, True)


def run_hidden(home: Path, program: str, setting: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (home / "pass").write_text("a passphrase that is long\n")
    environment: dict[str, Any] = {**os.environ, backend.VARIABLE: setting, "PANACHAIN_HOME": str(home)}
    environment |= {"PYTHONPATH": str(ROOT), "PANACHAIN_PASSPHRASE_FILE": str(home / "pass")}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_on_nucypher_core(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment: dict[str, Any] = {**os.environ, backend.VARIABLE: backend.NUCYPHER_CORE}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *arguments,
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


MISUSE = "tests/unit/crypto/test_umbral_misuse.py"


@pytest.mark.deep
def test_all_of_rule_8_holds_on_nucypher_core_too() -> None:
    oracles.nucypher()
    files = (MISUSE, "tests/unit/crypto/test_umbral.py", "tests/vectors/test_umbral_cross.py")
    done = run_on_nucypher_core(*files)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_this_process_runs_on_the_one_that_its_environment_names() -> None:
    name = os.environ.get(backend.VARIABLE) or backend.LIBSECP256K1
    assert umbral._backend.name == name
    assert (name == backend.LIBSECP256K1) is umbral.PARALLEL
