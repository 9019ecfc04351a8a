"""Endpoints of others: which ones a machine sends anything to, and to which addresses it connects for them.

An endpoint is text of its proxy's choice, on a chain that everybody writes to: it must not make a client ask services
of the client's own machine or network. URLs of the operator's own settings are trusted, and don't come here.
Follows docs/spec/network.md, section "Endpoints", RFC 3986 and the registries of RFC 6890.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from panachain.errors import ConfigurationError, EndpointRefusedError, UsageError

MAX_LENGTH: Final = 200
"""Characters of an endpoint."""
_MIN_PORT: Final = 1024
"""The first port that is no other service's by convention (RFC 6335, section 6); 443 and, on loopback, 80 are ours."""
_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?:(?P<name>[A-Za-z0-9.-]+)|\[(?P<six>[0-9a-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[A-Za-z0-9._~/-]*)?",
    re.ASCII,
)
"""No user, query, fragment, escape, blank or control character; the details come after."""
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_NUMERIC: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
"""A last label that makes a host an IPv4 address, to systems and browsers (WHATWG URL, "ends in a number")."""
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""All that is given to anybody in the public IPv6 internet."""
_TUNNELS: Final = tuple(map(ipaddress.IPv6Network, ("2002::/16", "2001::/32")))
"""6to4 and Teredo, which hold an IPv4 address that a relay connects to."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses as networks see them that speak IPv6 only (RFC 6052)."""

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
_Range = ipaddress.IPv4Network | ipaddress.IPv6Network


def check_form(endpoint: str) -> str:
    """Return an endpoint in its one form, or refuse it, wherever it shall be used.

    Raises:
        UsageError: it is neither an https URL nor an http one of this machine's own addresses, or has what no endpoint
            has.
    """
    try:
        return _normal(endpoint)[0]
    except ValueError as exc:
        raise UsageError(
            f"this is no endpoint: {exc}",
            hint="give https://NAME, with a port and a path if need be, and nothing else",
        ) from None


@dataclass(frozen=True)
class Reach:
    """Which endpoints of others one machine sends anything to."""

    development: bool = False
    """Whether the network is for development: its proxies may answer on the machine's own loopback, without TLS."""
    ranges: tuple[_Range, ...] = ()
    """Private addresses that the operator of this machine allows."""

    @classmethod
    def of(cls, ranges: str, *, development: bool) -> Self:
        """Create what settings say.

        Args:
            ranges: such as `10.1.0.0/16, fd00:1::/64`; empty for none.
            development: as the field.

        Raises:
            ConfigurationError: one of them is no range.
        """
        try:
            found = tuple(ipaddress.ip_network(one.strip()) for one in ranges.split(",") if one.strip())
        except ValueError as exc:
            raise ConfigurationError(f"proxy_ranges must be ranges such as 10.1.0.0/16, with commas: {exc}") from None
        return cls(development, found)

    def url(self, endpoint: str) -> str:
        """Return an endpoint in its one form.

        Raises:
            EndpointRefusedError: nothing is sent there.
        """
        try:
            url, host = _normal(endpoint)
        except ValueError as exc:
            raise EndpointRefusedError(f"its registered endpoint is refused, and nothing was sent: {exc}") from None
        if not self.development and not url.startswith("https:"):
            raise EndpointRefusedError(f"its registered endpoint {url} is refused, and nothing was sent: no https")
        address = _literal(host)
        if host == "localhost" and not self.development:
            self.check_address("127.0.0.1")
        if address is not None:
            self.check_address(str(address))
        return url

    def check_address(self, text: str) -> None:
        """Check an address before it is connected to.

        Raises:
            EndpointRefusedError: it is of a private network, or of this machine.
        """
        try:
            # With the interface of a link-local address, behind a percent sign.
            address = ipaddress.ip_address(text)
        except ValueError:
            raise EndpointRefusedError(f"{text[:50]!r} is no address") from None
        inner = _inner(address)
        if _is_public(inner) or (self.development and inner.is_loopback):
            return
        if any(inner in allowed for allowed in self.ranges if allowed.version == inner.version):
            return
        raise EndpointRefusedError(
            f"an endpoint of others leads to {address}, which isn't public; nothing was sent",
            hint="if its operator is in your own network, allow the range with the setting proxy_ranges",
        )


@lru_cache(maxsize=1024)
def _normal(endpoint: str) -> tuple[str, str]:
    """Return an endpoint's one form and its host.

    Raises:
        ValueError: it is none; the message quotes nothing of it.
    """
    if not endpoint:
        raise ValueError("there is none")
    if len(endpoint) > MAX_LENGTH:
        raise ValueError(f"it has {len(endpoint)} characters, at most {MAX_LENGTH} are read")
    found = _URL.fullmatch(endpoint)
    if found is None:
        raise ValueError("it isn't https://NAME with a port and a path at most")
    scheme, host = found["scheme"], found["six"] or found["name"].lower()
    address = _literal(host)
    if found["six"] and (not isinstance(address, ipaddress.IPv6Address) or address.ipv4_mapped is not None):
        raise ValueError("its host is no IPv6 address as it is usually written")
    if address is None and host != "localhost":
        labels = host.split(".")
        if len(host) > 253 or len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)):
            raise ValueError("its host isn't a whole name")
        if _NUMERIC.fullmatch(labels[-1]):
            raise ValueError("its host is a number, and no address as it is usually written")
    loopback = host == "localhost" or (address is not None and address.is_loopback)
    if scheme == "http" and not loopback:
        raise ValueError("no https")
    usual = {"http": 80, "https": 443}[scheme]
    port = int(found["port"] or usual)
    if port != usual and not _MIN_PORT <= port <= 65535:
        raise ValueError(f"port {port} is no such service's")
    path = (found["path"] or "").rstrip("/")
    if any(segment in ("", ".", "..") for segment in path.split("/")[1:]):
        raise ValueError("its path isn't plain")
    shown = f"[{host}]" if found["six"] else host
    return f"{scheme}://{shown}{'' if port == usual else f':{port}'}{path}", host


def _literal(host: str) -> _Ip | None:
    """Return the address that a host is, or None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    # One address has one way to be written here; others are names to some readers.
    return address if str(address) == host else None


def _inner(address: _Ip) -> _Ip:
    """Return the IPv4 address that an IPv6 address stands for, where it stands for one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: _Ip) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return True
    return address in _UNICAST and not any(address in tunnel for tunnel in _TUNNELS)
