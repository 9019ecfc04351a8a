"""The command line in this process, with an in-memory twin of the SDK's actors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from panachain.cli.app import App
from panachain.cli.main import main
from panachain.model.actors import Role
from tests.cli.twin import Outcome, Twin


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the user's own settings out of the tests."""
    for name in ("PROFILE", "CONFIG", "PASSPHRASE_FILE", "PASSPHRASE_COMMAND", "IPFS", "NETWORK_FILE"):
        monkeypatch.delenv(f"PANACHAIN_{name}", raising=False)
    # Those who run the tests with `./pana`, or in a narrow terminal, get the same words on the same lines.
    monkeypatch.delenv("PANA_LAUNCHER", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("PANACHAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run the command line with these arguments."""

    def runs(*arguments: str) -> Outcome:
        code = main(arguments)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return runs


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> Twin:
    """Let every command act as one twin."""
    twin = Twin()

    @contextmanager
    def acting(self: App, *roles: Role) -> Iterator[Twin]:
        yield twin

    monkeypatch.setattr(App, "acting", acting)
    return twin
