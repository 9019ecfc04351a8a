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


def test_without_libsecp256k1_it_is_nucypher_core_unless_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    oracles.nucypher()
    hide(monkeypatch, "panachain.crypto.umbral.scheme")
    assert backend.chosen("").name == backend.NUCYPHER_CORE
    with pytest.raises(ConfigurationError, match="can't be loaded"):
        backend.chosen(backend.LIBSECP256K1)
    hide(monkeypatch, "nucypher_core")
    with pytest.raises(ConfigurationError, match="no implementation") as caught:
        backend.chosen("")
    assert "pip install" in caught.value.hint


def hide(patch: pytest.MonkeyPatch, name: str) -> None:
    patch.setitem(sys.modules, name, None)
    package, _, last = name.rpartition(".")
    if package:
        patch.delattr(sys.modules[package], last, raising=False)


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
