"""Configuration files: whatever can't be read is one typed error, and files with secrets are private."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from panachain.errors import ConfigurationError
from panachain.service.config import check_private, configuration


@pytest.mark.parametrize("content", [b"", b"x", b"[]", b"1", b"null", b'{"schema": 1}', b"{}", b"\xff"])
def test_a_file_without_the_fields_is_a_typed_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "relay.json"
    path.write_bytes(content)
    with (
        pytest.raises(ConfigurationError, match=r"relay\.json"),
        configuration(path, "relay", schema="panachain/relay-config/1") as fields,
    ):
        raise AssertionError(fields)


def test_a_missing_file_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="gate's configuration"), configuration(tmp_path / "none", "gate"):
        raise AssertionError


def test_a_file_that_others_may_write_configures_nothing(tmp_path: Path) -> None:
    path = tmp_path / "relay.json"
    path.write_text('{"schema": "panachain/relay-config/1"}')
    path.chmod(0o666)
    with (
        pytest.raises(ConfigurationError, match="others may write it"),
        configuration(path, "relay", schema="panachain/relay-config/1") as fields,
    ):
        raise AssertionError(fields)


@pytest.mark.parametrize("error", [KeyError, TypeError, ValueError, AttributeError])
def test_what_a_reader_of_its_fields_runs_into_is_typed_too(tmp_path: Path, error: type[Exception]) -> None:
    path = tmp_path / "gate.json"
    path.write_text(json.dumps({"port": 1}))
    with pytest.raises(ConfigurationError), configuration(path, "gate"):
        raise error


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_secret_that_others_may_open_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_text("secret")
    path.chmod(mode)
    with pytest.raises(ConfigurationError) as caught:
        check_private(path)
    assert caught.value.hint == f"chmod 600 {path}"
    path.chmod(0o600)
    check_private(path)


def test_a_missing_secret_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        check_private(tmp_path / "none")
