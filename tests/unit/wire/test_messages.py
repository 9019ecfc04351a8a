"""Requests, answers and URLs of our own say what httpx's would: on the wire, and to whoever reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.http_client import httpx
from panachain.wire.messages import Headers, LocalProtocolError, PlainUrl, Request, UnsupportedProtocol, url_of

PLAIN = (
    "http://127.0.0.1:8545",
    "http://127.0.0.1:8545/",
    "https://Node.Example/v2/aBc-123_x~y",
    "https://a.example:443/x?y=1&z=a.b",
    "http://a.example:443/x",
    "http://localhost:80/",
    "https://a.example//x/",
)
OTHERS = (
    "http://[::1]:8545/x",
    "http://user:word@a.example/",
    "https://xn--mnchen-3ya.example/",
    "https://münchen.example/",
    "http://a.example/x/../y",
    "http://a.example/x%20y",
    "http://a.example/x y",
    "http://a.example/x?",
    "http://a.example/x#y",
    "HTTP://a.example/",
)
NONE = ("", "x", "file:///etc/passwd", "http://", "http://a\x00b/", "http://999.1.1.1/", "http://x:99999/", "ws://x/")
TEXTS = st.one_of(
    st.from_regex(
        r"https?://[a-zA-Z0-9.\[\]:@%_-]{1,12}(:[0-9]{0,6})?(/[a-z0-9./%~:;=-]{0,8})?(\?[a-z=&%]{0,4})?", fullmatch=True
    ),
    st.text(max_size=20),
)


def read(text: str) -> tuple[object, ...] | None:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        return None
    if url.scheme not in ("http", "https") or not url.host:
        return None
    return url.scheme, url.host, url.port, url.path, url.raw_path, url.netloc


def ours(text: str) -> tuple[object, ...] | None:
    try:
        url = url_of(text)
    except UnsupportedProtocol:
        return None
    return url.scheme, url.host, url.port, url.path, url.raw_path, url.netloc


@pytest.mark.parametrize("text", [*PLAIN, *OTHERS, *NONE])
def test_a_url_means_what_httpx_reads_in_it(text: str) -> None:
    assert ours(text) == read(text)


@pytest.mark.parametrize("text", PLAIN)
def test_a_plain_url_is_read_without_httpx(text: str) -> None:
    url = url_of(text)
    assert isinstance(url, PlainUrl)
    assert str(url) == str(httpx.URL(text)).removesuffix("/").ljust(len(str(url)), "/")


@given(TEXTS)
def test_whatever_is_written_means_the_same(text: str) -> None:
    assert ours(text) == read(text)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("body", [None, b"", b"abc"])
@pytest.mark.parametrize("more", [{}, {"content-length": "3"}, {"HOST": "x"}, {"X-A": "1", "x-a": "2"}])
def test_a_request_has_the_fields_that_httpx_sends(method: str, body: bytes | None, more: dict[str, str]) -> None:
    headers = {"Accept": "*/*"} | more
    theirs = httpx.Request(method, "http://a.example/x", headers=headers, content=body)
    made = Request(method, url_of("http://a.example/x"), headers=headers, content=body, extensions={})
    # httpx writes a length behind the fields that were given, and we before them: their order means nothing.
    assert sorted(made.headers.raw) == sorted(theirs.headers.raw)
    assert b"".join(made.stream) == made.read() == theirs.read()


def test_a_field_that_is_no_ascii_is_refused() -> None:
    with pytest.raises(LocalProtocolError):
        Request("GET", url_of("http://a.example"), headers={"X": "ü"}, content=None, extensions={})


def test_fields_are_found_in_any_case_and_joined() -> None:
    raw = [(b"Retry-After", b"7"), (b"X", b"\xff"), (b"x", "ü".encode())]
    headers = Headers(raw)
    assert (headers["retry-AFTER"], headers["X"], "retry-after" in headers, "y" in headers) == (
        "7",
        "ÿ, ü",
        True,
        False,
    )
    assert (list(headers), len(headers), headers.get("y", "")) == (["retry-after", "x"], 2, "")
