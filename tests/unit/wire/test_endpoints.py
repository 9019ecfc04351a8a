"""Endpoints of others: what is one, in one form, and which of them a machine connects to."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.errors import ConfigurationError, EndpointRefusedError, UsageError
from panachain.wire.endpoints import MAX_LENGTH, Reach, check_form

PUBLIC = Reach()
DEVELOPMENT = Reach(development=True)
HOSPITAL = Reach.of("10.1.0.0/16, fd00:1::/64", development=False)

NOWHERE = [
    # Not HTTP, or more than an endpoint has.
    *("", "x", "proxy.example", "//proxy.example", "https:proxy.example", "https:/proxy.example", "https://"),
    *("file:///etc/passwd", "gopher://127.0.0.1:1/x", "unix:/run/x", "ftp://proxy.example", "javascript:alert(1)"),
    *("https://proxy.example/shutdown?", "https://proxy.example/a?b=c", "https://proxy.example/shutdown#"),
    *(
        "https://proxy.example/#a",
        "https://user@proxy.example",
        "https://user:pw@proxy.example/a",
        "https://@x.example",
    ),
    *(
        "https://proxy.example/\r\nX: y",
        "https://proxy.example\n",
        " https://proxy.example",
        "https://proxy.example/a b",
    ),
    *(
        "https://proxy.example/\x1b[2J",
        "https://proxy.example/\x00",
        "https://proxy.example/\u202ex",
        "https://proxy.example/\u200b",
    ),
    *("https://proxy.example\\@127.0.0.1", "https://proxy.example/%2e%2e/admin", "https://proxy.example/%0d%0aX"),
    *("https://pröxy.example", "https://proxy。example", "https://ⓟroxy.example", "https://１２７.0.0.1"),
    # A path that others would read as another one.
    *(
        "https://proxy.example/../admin",
        "https://proxy.example/a/./b",
        "https://proxy.example//x",
        "https://proxy.example/a/..",
    ),
    # Hosts that are no names, or names that only a search list of the reader's network completes.
    *("https://intranet", "https://proxy.example.", "https://.example", "https://-a.example", "https://a..example"),
    *("https://" + "a" * 64 + ".example", "https://[::1", "https://[::g]", "https://::1", "https://[proxy.example]"),
    *("https://a_b.example", "https://[fe80::1%25eth0]/", "https://[v1.x]/"),
    # Numbers that systems take for addresses.
    *("https://2130706433", "https://0x7f000001", "https://0x7f.0.0.1", "https://017700000001", "https://0177.0.0.1"),
    *("https://127.1", "https://127.0.1", "https://127.0.0.01", "https://0", "https://0x", "https://1.2.3.4.5"),
    *("https://[0:0:0:0:0:0:0:1]", "https://[::FFFF:7f00:1]", "https://[::ffff:127.0.0.1]", "https://256.1.1.1"),
    # Ports of other services.
    *("https://proxy.example:0", "https://proxy.example:22", "https://proxy.example:25", "https://proxy.example:80"),
    *("https://proxy.example:65536", "https://proxy.example:-1", "https://proxy.example:", "https://proxy.example:x"),
    *("https://proxy.example:99999999999999999999", "http://127.0.0.1:22", "http://127.0.0.1:443"),
    # Without TLS elsewhere than on loopback.
    *("http://proxy.example", "http://8.8.8.8:8080", "http://10.1.2.3:8080", "http://[2001:4860::1]:8080"),
    "https://proxy.example/" + "a" * MAX_LENGTH,
]
LOCAL = [
    "http://127.0.0.1:8080",
    "http://127.9.9.9",
    "http://localhost:9000/a",
    "http://[::1]:8080",
    "https://127.0.0.1",
]
INNER = [
    *("0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1"),
    *("172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:1::5", "ff02::1", "2001:db8::1"),
    # IPv4 addresses in other clothes: mapped, 6to4, Teredo, NAT64.
    *("::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:169.254.169.254", "2002:7f00:1::", "2002:808:808::1"),
    *("2001:0:7f00:1::1", "64:ff9b::7f00:1", "64:ff9b::a01:203", "64:ff9b:1::1", "100::1"),
]
OUTER = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("endpoint", NOWHERE)
def test_what_is_no_endpoint_is_none_anywhere(endpoint: str) -> None:
    for reach in (PUBLIC, DEVELOPMENT, HOSPITAL):
        with pytest.raises(EndpointRefusedError) as caught:
            reach.url(endpoint)
        assert str(caught.value).isprintable()
    with pytest.raises(UsageError):
        check_form(endpoint)


@pytest.mark.parametrize(
    ("endpoint", "normal"),
    [
        ("https://proxy.example", "https://proxy.example"),
        ("https://Proxy.EXAMPLE:443/", "https://proxy.example"),
        ("https://proxy.example:8443/panachain/", "https://proxy.example:8443/panachain"),
        ("https://xn--prxy-6qa.example/a/b-c_d~e.f", "https://xn--prxy-6qa.example/a/b-c_d~e.f"),
        ("https://8.8.8.8:9000", "https://8.8.8.8:9000"),
        ("https://[2606:4700:4700::1111]:9000/x", "https://[2606:4700:4700::1111]:9000/x"),
    ],
)
def test_an_endpoint_has_one_form(endpoint: str, normal: str) -> None:
    for reach in (PUBLIC, DEVELOPMENT, HOSPITAL):
        assert reach.url(endpoint) == normal
        assert reach.url(normal) == normal
    assert check_form(endpoint) == normal


@pytest.mark.parametrize("endpoint", LOCAL)
def test_loopback_is_for_development_networks_only(endpoint: str) -> None:
    assert DEVELOPMENT.url(endpoint) == endpoint
    assert check_form(endpoint) == endpoint
    for reach in (PUBLIC, HOSPITAL):
        with pytest.raises(EndpointRefusedError):
            reach.url(endpoint)


@pytest.mark.parametrize("address", INNER)
def test_addresses_inside_are_not_connected_to(address: str) -> None:
    with pytest.raises(EndpointRefusedError):
        PUBLIC.check_address(address)
    if "%" not in address:
        shown = f"[{address}]" if ":" in address else address
        with pytest.raises(EndpointRefusedError):
            PUBLIC.url(f"https://{shown}")


@pytest.mark.parametrize("address", OUTER)
def test_public_addresses_are_connected_to(address: str) -> None:
    for reach in (PUBLIC, DEVELOPMENT, HOSPITAL):
        reach.check_address(address)


def test_a_development_network_reaches_loopback_and_nothing_else_inside() -> None:
    admitted = set()
    for address in INNER:
        try:
            DEVELOPMENT.check_address(address)
            admitted.add(address)
        except EndpointRefusedError:
            pass
    assert admitted == {"127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"}


def test_an_operator_allows_ranges_of_their_own() -> None:
    for address in ("10.1.2.3", "fd00:1::5", "::ffff:10.1.2.3"):
        HOSPITAL.check_address(address)
    assert HOSPITAL.url("https://10.1.2.3:9000") == "https://10.1.2.3:9000"
    for address in ("10.2.0.1", "127.0.0.1", "169.254.169.254", "fd00:2::1", "::1"):
        with pytest.raises(EndpointRefusedError):
            HOSPITAL.check_address(address)


@pytest.mark.parametrize("ranges", ["10.1.2.3/16", "x", "10.0.0.0/33", "fd00::/8;10.0.0.0/8"])
def test_what_is_no_range_is_told(ranges: str) -> None:
    with pytest.raises(ConfigurationError, match="proxy_ranges"):
        Reach.of(ranges, development=False)


@given(st.text(max_size=60) | st.text(string.printable, max_size=60).map("https://a.example".__add__))
def test_any_text_is_an_endpoint_or_refused(text: str) -> None:
    try:
        url = DEVELOPMENT.url(text)
    except EndpointRefusedError:
        return
    assert url.isascii()
    assert url.isprintable()
    assert not set(url) & set("?#@\\% ")
    assert DEVELOPMENT.url(url) == url
