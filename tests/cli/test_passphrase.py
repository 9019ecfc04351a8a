"""A profile's key store is private, and opens with its passphrase only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from panachain.errors import LockedError
from tests.cli.twin import Outcome


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "pass.txt"
    path.write_text("correct horse\nsecond line\n")
    path.chmod(0o600)
    return path


def test_init_makes_a_private_profile_and_a_wrong_passphrase_is_exit_code_4(
    run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, secret: Path, tmp_path: Path
) -> None:
    from panachain.sdk.profiles import load_profile, unlock

    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", str(secret))
    assert run("--profile", "me", "init", "--role", "patient", "--json").code == 0
    home = tmp_path / "home"
    modes = {path.stat().st_mode & 0o077 for path in [home, *home.rglob("*")]}
    assert modes == {0}
    profile = load_profile(home, "me")
    unlock(profile, "correct horse")
    with pytest.raises(LockedError):
        unlock(profile, "wrong horse")
    again = run("--profile", "me", "init", "--role", "patient")
    assert again.code == 2
    assert "exists already" in again.err
    wrong = run("--profile", "me", "upload", str(secret), "--patient", "me")
    assert wrong.code == 2
    assert "is a patient; `upload` is for a hospital" in wrong.err
