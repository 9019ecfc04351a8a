"""URLs of services that an operator chose: over TLS or on this machine, and never shown when they are refused."""

from __future__ import annotations

import pytest

from panachain.errors import ConfigurationError
from panachain.storage.urls import check_service_url

WORD = "hush-hush-31"


@pytest.mark.parametrize(
    "url", ["https://h", "https://h:99", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost"]
)
def test_tls_or_this_machine(url: str) -> None:
    check_service_url(url, "it")
    check_service_url(f"{url}/psa/v1", "it", path=True)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h",
        "ftp://h",
        "https://",
        "https://h:port",
        f"https://u:{WORD}@h",
        f"https://h?key={WORD}",
        f"https://h#{WORD}",
    ],
)
def test_what_is_none_or_holds_more_is_refused_and_not_shown(url: str) -> None:
    for path in (False, True):
        with pytest.raises(ConfigurationError) as caught:
            check_service_url(url, "it", path=path)
        assert WORD not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("url", ["http://h", "http://10.0.0.1", "http://127.0.0.1.example"])
def test_without_tls_beyond_this_machine_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="without TLS"):
        check_service_url(url, "it")


def test_a_path_is_for_those_that_may_have_one() -> None:
    with pytest.raises(ConfigurationError):
        check_service_url("https://h/path", "it")
