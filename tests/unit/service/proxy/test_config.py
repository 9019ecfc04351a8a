"""The proxy's configuration file: defaults, what doesn't fit, and secrets that are shown nowhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import ConfigurationError
from panachain.service.proxy.config import read_config
from tests.unit.service.authority import Authority


class TestConfiguration:
    def write(self, folder: Path, **changes: Any) -> Path:
        chain = {"url": "http://127.0.0.1:9", "chainId": 1, "contracts": {}, "fromBlock": 0}
        fields = {
            "host": "127.0.0.1",
            "port": 1,
            "database": "proxy.sqlite",
            "keystore": "seed.json",
            "mainchain": chain,
            "sidechain": chain,
            "confirmations": 0,
            "maxHeadAge": 120,
        }
        (folder / "proxy.json").write_text(json.dumps(fields | changes))
        return folder / "proxy.json"

    def test_defaults(self, tmp_path: Path) -> None:
        config = read_config(self.write(tmp_path), {})
        assert (config.workers, config.grace, config.anchor_every, config.tls) == (1, 10, 3600, None)
        assert (config.sender_rate, config.address_rate, config.database.password) == (600, 6000, None)

    @pytest.mark.parametrize(
        "changes",
        [{"workers": 0}, {"workers": 65}, {"port": "x"}, {"mainchain": 1}, {"tls": {}}, {"tls": {"key": "k"}}],
    )
    def test_what_does_not_fit_is_refused(self, tmp_path: Path, changes: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError):
            read_config(self.write(tmp_path, **changes), {})

    def test_an_open_key_file_is_refused(self, tmp_path: Path) -> None:
        Authority(tmp_path, "authority").issue("proxy")
        (tmp_path / "proxy.key").chmod(0o644)
        with pytest.raises(ConfigurationError, match="open to others"):
            read_config(self.write(tmp_path, tls={"certificate": "proxy.pem", "key": "proxy.key"}), {})

    def test_the_password_comes_from_a_file_or_the_environment_and_is_never_shown(self, tmp_path: Path) -> None:
        (tmp_path / "password").write_text("hush-hush\n")
        (tmp_path / "password").chmod(0o600)
        url = "postgresql+psycopg://proxy@db/log"
        config = read_config(self.write(tmp_path, database=url, databasePasswordFile="password"), {})
        other = read_config(self.write(tmp_path, database=url), {"PANACHAIN_PROXY_DATABASE_PASSWORD": "hush-hush"})
        assert config.database.password == other.database.password == "hush-hush"
        made = config.database.url("its database")
        assert made.password == "hush-hush"
        assert "hush" not in repr(config) + repr(made) + str(made)

    def test_a_password_in_the_url_needs_a_private_file_and_is_never_shown(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, database="postgresql+psycopg://proxy:hush-hush@db/log")
        with pytest.raises(ConfigurationError, match="open to others"):
            read_config(path, {})
        path.chmod(0o600)
        config = read_config(path, {})
        assert config.database.url("its database").password == "hush-hush"
        assert "hush" not in repr(config)
