"""`devnet install`: only the pinned package gets onto the machine, and what is missing for it is told."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from panachain.chain import anvil
from panachain.cli.main import main
from panachain.devnet import install as subject
from panachain.devnet.install import INTEGRITY, VERSION, install_anvil
from panachain.errors import ConfigurationError, IntegrityError, UnavailableError

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = b"#!/bin/sh\necho anvil\n"


def archive(name: str = "package/bin/anvil", content: bytes = PROGRAM) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose npm fetches an archive that a test puts beside it; the pin is that of the usual one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    fetched = tmp_path / "fetched.tgz"
    fetched.write_bytes(archive())
    program = folder / "npm"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n/bin/cp {fetched} "$5/anvil.tgz"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("PANACHAIN_ANVIL", raising=False)
    pin = base64.b64encode(hashlib.sha512(archive()).digest()).decode()
    monkeypatch.setattr(subject, "INTEGRITY", dict.fromkeys(INTEGRITY, pin))
    return fetched


def test_the_pin_is_the_checkouts() -> None:
    lock = json.loads((ROOT / "tools" / "package-lock.json").read_text())["packages"]
    pinned = {name: one for name, one in lock.items() if name.startswith("node_modules/@foundry-rs/anvil-")}
    assert pinned
    for name, one in pinned.items():
        assert one["version"] == VERSION
        assert one["integrity"] == f"sha512-{INTEGRITY[name.rpartition('anvil-')[2]]}"


def test_it_is_fetched_without_scripts_and_private(npm: Path, tmp_path: Path) -> None:
    place = install_anvil()
    assert place == anvil.installed_anvil()
    assert place.read_bytes() == PROGRAM
    assert place.stat().st_mode & 0o777 == 0o700
    # Nothing else stays.
    assert [path.name for path in place.parent.iterdir()] == ["anvil"]
    asked = (tmp_path / "asked").read_text()
    assert "--ignore-scripts" in asked
    assert asked.split()[-1].endswith(f"@{VERSION}")


def test_a_second_call_fetches_nothing(npm: Path, tmp_path: Path) -> None:
    place = install_anvil()
    (tmp_path / "asked").unlink()
    assert install_anvil() == place
    assert not (tmp_path / "asked").exists()


def test_another_archive_is_not_installed(npm: Path) -> None:
    npm.write_bytes(archive(content=b"#!/bin/sh\necho other\n"))
    with pytest.raises(IntegrityError, match="nothing was installed"):
        install_anvil()
    assert list(anvil.installed_anvil().parent.iterdir()) == []


def test_no_npm_is_told_with_what_to_do(npm: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(ConfigurationError, match="needs npm, and there is none") as raised:
        install_anvil()
    assert "PANACHAIN_ANVIL" in raised.value.hint


def test_a_platform_without_a_package_is_told(npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anvil.platform, "machine", lambda: "vax")
    with pytest.raises(ConfigurationError, match=r"npm has no Anvil for .*-vax"):
        install_anvil()


def test_an_npm_that_fails_is_told_with_its_reason(npm: Path, tmp_path: Path) -> None:
    (tmp_path / "bin" / "npm").write_text('#!/bin/sh\necho "npm error ENOTFOUND" >&2\nexit 1\n')
    with pytest.raises(UnavailableError, match="npm error ENOTFOUND"):
        install_anvil()


def test_the_command_says_what_is_next(
    npm: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PANACHAIN_HOME", str(tmp_path / "home"))
    assert main(["devnet", "install", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": "panachain/anvil/1",
        "program": str(anvil.installed_anvil()),
        "version": VERSION,
    }
    assert main(["devnet", "install"]) == 0
    assert "panachain devnet up" in capsys.readouterr().err
