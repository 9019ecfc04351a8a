"""TLS contexts: the usual authorities only where there is TLS, and one reading of them for all clients."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from panachain import trust
from panachain.chain.config import NodeConfig
from panachain.errors import ConfigurationError
from panachain.trust import Trust
from tests.unit.service.authority import Authority


def test_plain_http_trusts_nobody_and_reads_nothing() -> None:
    context = Trust().context("http://127.0.0.1:8545")

    assert context.get_ca_certs() == []
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("url", ["https://node.example", "HTTPS://node.example"])
def test_https_trusts_the_usual_authorities_read_once(url: str) -> None:
    context = Trust().context(url)

    assert context is Trust().context("https://another.example")
    assert context.get_ca_certs()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    for name, content in (("missing.pem", None), ("empty.pem", ""), ("text.pem", "hello")):
        path = tmp_path / name
        if content is not None:
            path.write_text(content)
        with pytest.raises(ConfigurationError, match="certificate authority"):
            Trust(path)


def test_no_variable_has_the_keys_of_connections_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    authority = Authority(tmp_path, "ca").path
    trust._usual.cache_clear()
    node = NodeConfig("https://a", ca_file=authority)
    for context in (Trust().context("https://a"), Trust(authority).context("https://a"), node._tls()):
        assert context is not None
        assert context.keylog_filename is None
    trust._usual.cache_clear()
