"""Settings: flag, then environment, then panachain.toml, then default."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from panachain.config import MAXIMUM_FILE_SIZE, Config, read_network
from panachain.errors import ConfigurationError


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A settings folder of our own."""
    folder = tmp_path / "settings" / "panachain"
    folder.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder.parent))
    return folder / "panachain.toml"


def test_each_source_beats_the_next_one(tmp_path: Path, settings: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    settings.write_text(f'home = "{home}"\nprofile = "outer"\nipfs = "kubo"\ntimeout = 3\n')
    (home / "panachain.toml").write_text('profile = "inner"\nconfirmations = 2\nipfs = "embedded"\n')
    config = Config.load({"profile": "flag", "home": None}, {"PANACHAIN_IPFS": "auto"})
    assert (config.home, config.profile, config.ipfs) == (home, "flag", "auto")
    assert (config.confirmations, config.timeout) == (2, 3.0)
    assert config.origins["profile"] == "flag"
    assert config.origins["ipfs"] == "environment PANACHAIN_IPFS"
    assert config.origins["confirmations"] == f"file {home / 'panachain.toml'}"
    assert config.origins["timeout"] == f"file {settings}"


def test_working_folder_has_no_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "panachain.toml").write_text('mainchain_rpc = "http://attacker.example"\n')
    monkeypatch.chdir(tmp_path)
    assert Config.load({}, {"PANACHAIN_HOME": str(tmp_path / "home")}).mainchain_rpc == ""


def test_network_file_lies_in_the_home(tmp_path: Path) -> None:
    assert Config.load({"home": str(tmp_path)}, {}).network_file == tmp_path / "network.json"


@pytest.mark.parametrize(
    "text",
    [
        "profile = ",
        'colour = "red"',
        "profile = ['a']",
        "confirmations = true",
        "confirmations = -1",
        "timeout = nan",
        "timeout = 0",
        'ipfs = "s3"',
        'mainchain_rpc = "file:///etc/passwd"',
        'mainchain_rpc = ["http://a", "file:///etc/passwd"]',
        'mainchain_rpc = "http://a, ,http://b"',
        "mainchain_rpc = [true]",
        'ipfs = ["embedded"]',
        "sidechain_quorum = -1",
        "#" * (MAXIMUM_FILE_SIZE + 1),
    ],
)
def test_refuses_settings_that_make_no_sense(settings: Path, text: str) -> None:
    settings.write_text(text)
    with pytest.raises(ConfigurationError):
        Config.load({}, {})


@pytest.mark.parametrize("text", ['["http://a", "https://b"]', '"http://a,https://b"', '"http://a , https://b "'])
def test_several_nodes_are_a_list_or_a_text_with_commas(settings: Path, text: str) -> None:
    settings.write_text(f"mainchain_rpc = {text}\nmainchain_quorum = 2\n")
    config = Config.load({}, {})
    assert (config.mainchain_rpc, config.mainchain_quorum) == ("http://a,https://b", 2)
    assert (config.sidechain_rpc, config.sidechain_quorum) == ("", None)


def test_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="PANACHAIN_CONFIG"):
        Config.load({}, {"PANACHAIN_CONFIG": str(tmp_path / "none.toml")})


def test_a_file_that_others_may_write_says_nothing(tmp_path: Path, settings: Path) -> None:
    """It could name a program that is run in place of the passphrase's, and the nodes that are believed."""
    home = tmp_path / "home"
    home.mkdir()
    for file, environment in (
        (settings, {}),
        (tmp_path / "named.toml", {"PANACHAIN_CONFIG": str(tmp_path / "named.toml")}),
        (home / "panachain.toml", {"PANACHAIN_HOME": str(home)}),
    ):
        file.write_text('passphrase_command = "touch owned"\n')
        file.chmod(0o602)
        with pytest.raises(ConfigurationError, match="others may write it"):
            Config.load({}, environment)
        file.chmod(0o644)
        assert Config.load({}, environment).passphrase_command == "touch owned"
        file.unlink()


@pytest.fixture
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every file that is open be another user's."""
    real = os.fstat

    def of_a_stranger(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        return os.stat_result([*found[:4], 4711, *found[5:]])

    monkeypatch.setattr(os, "fstat", of_a_stranger)


@pytest.mark.usefixtures("strangers")
def test_another_users_file_says_nothing(settings: Path) -> None:
    settings.write_text('passphrase_command = "touch owned"\n')
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        Config.load({}, {})


def test_a_file_that_nothing_tells_of_is_not_passed_over(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a service would go on with other nodes than it was told."""

    def refused(path: Path) -> os.stat_result:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "lstat", refused)
    with pytest.raises(ConfigurationError, match="can't be read: Permission denied"):
        Config.load({}, {})


def test_what_is_no_file_is_not_waited_for(settings: Path) -> None:
    os.mkfifo(settings)
    with pytest.raises(ConfigurationError, match="no file"):
        Config.load({}, {})


def test_a_network_file_that_others_may_write_names_no_contracts(tmp_path: Path) -> None:
    file = tmp_path / "network.json"
    file.write_text("{}")
    file.chmod(0o646)
    with pytest.raises(ConfigurationError, match="others may write it"):
        read_network(file)
    file.chmod(0o644)
    assert read_network(file) == b"{}"


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o703])
def test_another_users_network_file_counts_where_nobody_could_have_put_it(tmp_path: Path, mode: int) -> None:
    """As a container mounts it, whatever its group, and not as somebody leaves it in a shared folder."""
    file = tmp_path / "network.json"
    file.write_text("{}")
    file.chmod(0o664)
    assert read_network(file) == b"{}"
    file.chmod(0o662)
    with pytest.raises(ConfigurationError, match="others may write it"):
        read_network(file)
    file.chmod(0o664)
    tmp_path.chmod(mode)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        read_network(file)
    tmp_path.chmod(0o700)
