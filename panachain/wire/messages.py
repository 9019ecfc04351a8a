"""Requests, answers and failures of HTTP, as the bounded transport and its client name them.

The names are httpx's, without httpx: to import it takes as long as all the work of a short command (ADR 68). What a
plain URL means is read here; whatever isn't plain httpx reads, so that there is one reading of each. Sends nothing.
Follows RFC 3986 and RFC 9110.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol

Fields = list[tuple[bytes, bytes]]
"""Field names and values of a head, as they were sent."""
_PORTS: Final = {"http": 80, "https": 443}
_PLAIN: Final = re.compile(
    r"(https?)://([A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)(?::([1-9][0-9]{0,4}))?"
    r"((?:/[A-Za-z0-9._~/-]*)?)((?:\?[A-Za-z0-9=&._~-]+)?)"
)
"""Scheme, host, port, path and query where nothing is to be decoded, encoded or left out."""
_BODIES: Final = ("POST", "PUT", "PATCH")
"""Methods of which the other side expects a body, and with it a length."""


class WireError(Exception):
    """No answer, not in time, or none that is HTTP; the name of its class says which."""


class SlowError(WireError):
    """Not in time."""


class ConnectTimeout(SlowError):  # noqa: N818 - httpx's names, which readers of code know.
    """No connection in time."""


class ReadTimeout(SlowError):  # noqa: N818
    """No answer in time, or one that came too slowly."""


class ConnectError(WireError):
    """Nobody takes the connection."""


class ReadError(WireError):
    """The connection broke while the answer was awaited."""


class RemoteProtocolError(WireError):
    """The answer isn't HTTP."""


class LocalProtocolError(WireError):
    """The request wouldn't be HTTP."""


class UnsupportedProtocol(WireError):  # noqa: N818
    """The URL is none of http or https."""


_SAID: Final = {
    "SlowError": "no whole answer in time",
    "ConnectTimeout": "nobody took the connection in time",
    "ReadTimeout": "no whole answer in time",
    "WriteTimeout": "what was sent wasn't taken in time",
    "PoolTimeout": "no connection came free in time",
    "ConnectError": "nobody takes a connection there",
    "ReadError": "the connection broke off",
    "WriteError": "the connection broke off",
    "RemoteProtocolError": "its answer isn't whole, or isn't HTTP",
    "LocalProtocolError": "the request isn't HTTP",
    "UnsupportedProtocol": "its URL is of a kind that nobody here speaks",
}


def said(failure: BaseException | None) -> str:
    """Return what a failure on the way means, for people; of httpx's failures, too."""
    name = type(failure).__name__
    return _SAID.get(name, name)


class Url(Protocol):
    """Where a request goes: one of ours, or httpx's."""

    @property
    def scheme(self) -> str:
        """`http` or `https`."""

    @property
    def host(self) -> str:
        """A name, or an address without brackets."""

    @property
    def port(self) -> int | None:
        """None for the scheme's own."""

    @property
    def path(self) -> str:
        """Decoded."""

    @property
    def raw_path(self) -> bytes:
        """Path and query, as they are sent."""

    @property
    def netloc(self) -> bytes:
        """Host and port, as the field `Host` has them."""


@dataclass(frozen=True)
class PlainUrl:
    """A URL in which nothing is encoded; it compares and reads as httpx's does."""

    scheme: str
    host: str
    port: int | None
    path: str
    query: str

    @property
    def raw_path(self) -> bytes:
        """Path and query, as they are sent."""
        return f"{self.path}?{self.query}".encode() if self.query else self.path.encode()

    @property
    def netloc(self) -> bytes:
        """Host and port, as the field `Host` has them."""
        return (self.host if self.port is None else f"{self.host}:{self.port}").encode()

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc.decode()}{self.raw_path.decode()}"


@lru_cache(maxsize=256)
def url_of(text: str) -> Url:
    """Return a URL.

    Raises:
        UnsupportedProtocol: it is none of http or https.
    """
    return _plain(text) or _any(text)


def _plain(text: str) -> PlainUrl | None:
    found = _PLAIN.fullmatch(text)
    if found is None:
        return None
    scheme, host, path = found[1], found[2].lower(), found[4] or "/"
    port = int(found[3] or 0) or None
    # Labels of other scripts are decoded, and segments of dots go away.
    if "xn--" in host or "/." in path or (port or 0) > 65_535 or not _is_plain_host(host):
        return None
    return PlainUrl(scheme, host, None if port == _PORTS[scheme] else port, path, found[5][1:])


def _is_plain_host(host: str) -> bool:
    """Tell whether a host is a name, or an IPv4 address as everybody writes it."""
    parts = host.split(".")
    if not all(part.isdigit() for part in parts):
        return True
    return len(parts) == 4 and all(len(part) < 4 and str(int(part)) == part and int(part) < 256 for part in parts)


def _any(text: str) -> Url:
    # Imported here: few URLs need it.
    from panachain.http_client import httpx

    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as exc:
        raise UnsupportedProtocol("not a URL") from exc
    if url.scheme not in _PORTS or not url.host:
        raise UnsupportedProtocol("not a URL of http or https")
    return url


class Headers(Mapping[str, str]):
    """Fields of a head by their names, in any case."""

    def __init__(self, raw: Fields) -> None:
        """Take the fields in their order."""
        self.raw = raw
        values: dict[str, list[str]] = {}
        for name, value in raw:
            values.setdefault(name.decode("latin-1").lower(), []).append(_text(value))
        self._values = {name: ", ".join(several) for name, several in values.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


class Request:
    """One request, with its whole body."""

    def __init__(
        self, method: str, url: Url, *, headers: Mapping[str, str], content: bytes | None, extensions: dict[str, Any]
    ) -> None:
        """Take what is asked; `Host` and `Content-Length` are added where `headers` lacks them.

        Raises:
            LocalProtocolError: a field isn't ASCII.
        """
        self.method = method.upper()
        self.url = url
        self.content = content or b""
        self.extensions = extensions
        given = {name.lower() for name in headers}
        raw: Fields = [] if "host" in given else [(b"Host", url.netloc)]
        if not given & {"content-length", "transfer-encoding"} and (self.content or self.method in _BODIES):
            raw.append((b"Content-Length", b"%d" % len(self.content)))
        try:
            raw += [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        except UnicodeEncodeError as exc:
            raise LocalProtocolError("a field of the request isn't ASCII") from exc
        self.headers = Headers(raw)

    @property
    def stream(self) -> Iterable[bytes]:
        """The body in one piece; none where it is empty."""
        return (self.content,) if self.content else ()

    def read(self) -> bytes:
        """Return the body."""
        return self.content


class Stream(Protocol):
    """The body of an answer, which is closed once it was read or left."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield its pieces."""

    def close(self) -> None:
        """Leave its connection to others, or close it."""


class Response:
    """One answer, of which the head was read."""

    def __init__(self, status_code: int, fields: Fields, stream: Stream) -> None:
        """Take what came."""
        self.status_code = status_code
        self.headers = Headers(fields)
        self.stream = stream

    def close(self) -> None:
        """Close the body."""
        self.stream.close()


class Whole(Protocol):
    """What can be read to its end: an answer of ours, or httpx's."""

    @property
    def stream(self) -> Any:
        """The body's pieces."""

    def close(self) -> None:
        """Close the body."""


class Transport(Protocol):
    """What carries requests."""

    def handle_request(self, request: Any, /) -> Any:
        """Send a request, and return the answer, of which the head was read."""

    def close(self) -> None:
        """Close the connections that nobody uses."""
