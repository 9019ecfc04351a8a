"""A connection to a host: bounded in time as a whole, names, attempts and TLS included.

Never connects to an address other than the ones that were looked at: a name is resolved once, each of its addresses is
checked, and the connection goes to one of these, so that no second answer of a name server counts (DNS rebinding).
Follows RFC 6724 in the order of addresses, as the system gives them.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import ssl

MAX_ADDRESSES: Final = 4
"""Addresses of one name that are tried; each may take its share of the time only."""

Check = Callable[[str], None]
"""Raises an error where an address must not be connected to."""
_Found = tuple[int, Any]
"""Family and address of a socket."""


def dial(
    host: str,
    port: int,
    *,
    seconds: float,
    check: Check | None = None,
    tls: ssl.SSLContext | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> socket.socket:
    """Return a connection.

    Args:
        host: a name, or an address.
        port: of TCP.
        seconds: that all of it may take.
        check: looks at each address that the name has, before any is connected to; None takes all.
        tls: speaks TLS with this context, and checks the certificate for `host`; None speaks none.
        clock: seconds that only go forward.

    Raises:
        TimeoutError: it took too long.
        OSError: nobody answers there, or the certificate is wrong.
        PanaChainError: what `check` raises.
    """
    until = clock() + seconds
    found = _resolve(host, port, seconds)
    if check is not None:
        for _, address in found:
            check(str(address[0]))
    failure = OSError("the name has no address")
    tried = found[:MAX_ADDRESSES]
    for number, (family, address) in enumerate(tried):
        left = until - clock()
        if left <= 0:
            break
        connected = socket.socket(family, socket.SOCK_STREAM)
        try:
            # A first address that takes no connection leaves the others their share.
            connected.settimeout(left / (len(tried) - number))
            connected.connect(address)
            # A request is written in pieces, of which none shall wait for the answer to another.
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is None:
                return connected
            connected.settimeout(max(until - clock(), 0.001))
            return tls.wrap_socket(connected, server_hostname=host)
        except OSError as exc:
            connected.close()
            # Another address of the same name has no other certificate that would count.
            if tls is not None and _is_of_tls(exc):
                raise
            failure = exc
        except BaseException:
            connected.close()
            raise
    raise failure if clock() < until else TimeoutError("no connection in time")


def _is_of_tls(error: OSError) -> bool:
    # Imported here: what speaks no TLS doesn't load it.
    import ssl

    return isinstance(error, ssl.SSLError)


def dial_file(path: str, *, seconds: float) -> socket.socket:
    """Return a connection to a socket in the file system; raises as `dial`."""
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(seconds)
        connected.connect(path)
    except BaseException:
        connected.close()
        raise
    return connected


def _resolve(host: str, port: int, seconds: float) -> list[_Found]:
    """Return the addresses of a host, of which there is at least one."""
    if _is_quick(host):
        # In bytes: Python would load the codec of names in other scripts first.
        return _look_up(host.encode(), port)
    # The system's resolver knows no deadline, and a name server of others may let it wait for long.
    results: queue.SimpleQueue[list[_Found] | OSError] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put(_look_up(host, port))
        except OSError as exc:
            results.put(exc)

    threading.Thread(target=run, name="resolver", daemon=True).start()
    try:
        result = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError("the name wasn't resolved in time") from None
    if isinstance(result, OSError):
        raise result
    return result


def _look_up(host: str | bytes, port: int) -> list[_Found]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as exc:
        # A label that is empty or too long: Python encodes the name before it asks.
        raise OSError("the host isn't a name") from exc
    return [(family, address) for family, _, _, _, address in found]


def _is_quick(host: str) -> bool:
    """Tell whether no name server is asked."""
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
