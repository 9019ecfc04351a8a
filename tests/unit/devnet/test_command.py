"""The commands of the devnet: what they refuse, hand on and show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from panachain import devnet
from panachain.cli.main import main
from panachain.devnet.lifecycle import DevnetProxy, DevnetStatus
from panachain.errors import ConfigurationError
from panachain.model.actors import Address

STATUS = DevnetStatus(
    running=True,
    mainchain="http://127.0.0.1:1",
    sidechain="http://127.0.0.1:2",
    ipfs="embedded",
    proxies=(
        DevnetProxy(7, Address("0x52908400098527886E0F7030069857D2E4169EE7"), "http://127.0.0.1:3", running=True),
    ),
    threshold=2,
    gate=True,
)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, Any]]:
    """What the devnet was asked to do; nothing is started."""
    found: list[tuple[str, Any]] = []

    class Devnet:
        @staticmethod
        def up(home: Path, **options: Any) -> DevnetStatus:
            found.append(("up", {"home": home, **options}))
            return STATUS

        @staticmethod
        def status(home: Path) -> DevnetStatus:
            found.append(("status", home))
            return STATUS

        @staticmethod
        def down(home: Path) -> DevnetStatus:
            found.append(("down", home))
            raise ConfigurationError("no devnet in this home", hint="panachain devnet up")

    monkeypatch.setattr(devnet, "Devnet", Devnet, raising=False)
    for name in ("PROFILE", "CONFIG", "PASSPHRASE_COMMAND", "IPFS", "NETWORK_FILE"):
        monkeypatch.delenv(f"PANACHAIN_{name}", raising=False)
    monkeypatch.setenv("PANACHAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery")
    passphrase.chmod(0o600)
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", str(passphrase))
    return found


def test_up_hands_on_what_was_asked_for(told: list[tuple[str, Any]], tmp_path: Path) -> None:
    assert main(["devnet", "up", "--proxies", "5", "--threshold", "3", "--ipfs", "embedded", "--fresh"]) == 0
    assert told == [
        (
            "up",
            {
                "home": tmp_path / "home",
                "proxies": 5,
                "threshold": 3,
                "fresh": True,
                "ipfs": "embedded",
                "passphrase": "correct horse battery",
            },
        )
    ]


def test_up_shows_what_runs_and_what_is_next_and_no_secret(
    told: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["devnet", "up"]) == 0
    shown = capsys.readouterr()
    assert "any 2 of 1 must help" in shown.out
    assert "http://127.0.0.1:2 (its gate)" in shown.out
    assert "panachain init --role patient" in shown.err + shown.out
    assert "correct horse" not in shown.err + shown.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--threshold", "4"],
        ["--proxies", "1"],
        ["--proxies", "17"],
        ["--threshold", "1"],
        ["--ipfs", "disk"],
    ],
)
def test_up_refuses_what_can_not_work_before_anything_is_started(
    told: list[tuple[str, Any]], arguments: list[str]
) -> None:
    assert main(["devnet", "up", *arguments]) == 2
    assert told == []


def test_status_is_json_for_programs(told: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "devnet", "status"]) == 0
    assert json.loads(capsys.readouterr().out) == STATUS.to_json()


def test_down_of_nothing_says_what_to_do(told: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devnet", "down"]) != 0
    assert "panachain devnet up" in capsys.readouterr().err
