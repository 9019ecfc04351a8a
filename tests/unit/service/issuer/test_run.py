"""An issuer's configuration, and the key that it makes for itself."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import ConfigurationError
from panachain.service.issuer.run import IssuerConfig, issuer_key
from panachain.service.issuer.service import Allowance

GOOD: dict[str, Any] = {
    "schema": "panachain/issuer-config/1",
    "host": "127.0.0.1",
    "port": 9,
    "sidechain": {"url": "http://127.0.0.1:1", "chainId": 5, "contracts": {"IdentityRegistry": "0x" + "11" * 20}},
    "database": "issuer.sqlite",
    "keyFile": "issuer.pem",
}


def read(folder: Path, **changes: Any) -> IssuerConfig:
    path = folder / "issuer.json"
    path.write_text(json.dumps(GOOD | changes))
    return IssuerConfig.read(path)


def test_reads_what_is_said_and_takes_the_usual_for_the_rest(tmp_path: Path) -> None:
    config = read(tmp_path)
    assert (config.allowance, config.key_file, config.tls) == (Allowance(), tmp_path / "issuer.pem", None)
    assert read(tmp_path, tokensPerPeriod=5, periodSeconds=60).allowance == Allowance(5, 60)
    assert (config.behind, read(tmp_path, behind=["10.0.0.1", "10.0.0.2"]).behind) == ("", "10.0.0.1,10.0.0.2")


@pytest.mark.parametrize("change", [{"schema": "x"}, {"port": "x"}, {"tokensPerPeriod": 0}, {"periodSeconds": 1}])
def test_what_does_not_fit_is_told(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        read(tmp_path, **change)


def test_the_key_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "issuer.pem"
    first = issuer_key(path)
    assert issuer_key(path).public.encoded == first.public.encoded
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="open to others"):
        issuer_key(path)


def test_another_files_key_is_told(tmp_path: Path) -> None:
    path = tmp_path / "issuer.pem"
    path.write_text("no key")
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="holds no issuer's key"):
        issuer_key(path)
