"""Strangers who flood proxies, in a process of their own.

    python benchmarks/_flood_strangers.py FOLDER KIND SECONDS PROXY …

Each thread comes from an address of its own (127.1.0.1 and so on), as strangers do.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from _flood_world import deposit_body, reencrypt_body, refs

from panachain.chain.signing import Account
from panachain.crypto import umbral
from panachain.model.policy import ProxyRef
from panachain.model.proxy_requests import DepositedLane

LANES, CAPSULES = 512, 1000
DEPOSITORS, REQUESTERS, REFUSED, SLOW = 4, 4, 4, 60
"""Strangers at each proxy."""
_addresses = itertools.count(1)
_lock = threading.Lock()


class Flood:
    """All strangers of one process."""

    def __init__(self, folder: Path, ends: float, attacked: Sequence[int]) -> None:
        """Take the world's folder, when they stop, and the numbers of the proxies that they attack."""
        self.folder = folder
        found = refs(folder)
        self.proxies = [found[number] for number in attacked]
        self.ends = ends
        self.own: dict[str, str] = json.loads((folder / "stranger.json").read_text())
        """Of a policy that a stranger granted themselves."""
        self.answers: Counter[object] = Counter()

    def deposits(self, proxy: ProxyRef) -> None:
        """Send deposits whose last kfrag is bad, each of a policy of its own."""
        key, receiving = umbral.SecretKey.random(), umbral.SecretKey.random()
        signer = umbral.Signer(umbral.SecretKey.random())
        kfrag = umbral.delegate(key, receiving.public, signer, threshold=2, shares=2)[0]
        bad = bytearray(kfrag)
        bad[120] ^= 1
        lanes = [DepositedLane(key.public, kfrag)] * (LANES - 1) + [DepositedLane(key.public, bytes(bad))]
        account = Account(os.urandom(32))
        body = deposit_body(proxy, lanes, account, signer.public, receiving.public)
        self._post(proxy, "/v1/deposit", lambda: body)

    def requests(self, proxy: ProxyRef) -> None:
        """Send requests of an admitted grantee whose last capsule is bad, the same one again and again."""
        capsules = [bytes.fromhex(self.own["capsule"])] * (CAPSULES - 1) + [os.urandom(105)]
        signer = Account(bytes.fromhex(self.own["key"]))
        body = reencrypt_body(proxy, self.own["policy_id"], signer, capsules, grantee=signer.address)
        self._post(proxy, "/v1/reencrypt", lambda: body)

    def refused(self, proxy: ProxyRef) -> None:
        """Ask for what wasn't granted, each time with a new account."""
        grantee = Account(bytes.fromhex(self.own["key"])).address
        capsules = [bytes.fromhex(self.own["capsule"])]

        def body() -> bytes:
            return reencrypt_body(proxy, self.own["policy_id"], Account(os.urandom(32)), capsules, grantee=grantee)

        self._post(proxy, "/v1/reencrypt", body)

    def slow(self, proxy: ProxyRef) -> None:
        """Keep connections whose bodies never come."""
        host, port = proxy.endpoint.removeprefix("http://").split(":")
        held: list[socket.socket] = []
        head = b"POST /v1/deposit HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{"
        while time.monotonic() < self.ends:
            while len(held) < SLOW and time.monotonic() < self.ends:
                try:
                    connection = socket.create_connection((host, int(port)), timeout=5, source_address=(_address(), 0))
                    connection.sendall(head)
                except OSError as exc:
                    with _lock:
                        self.answers[type(exc).__name__] += 1
                    time.sleep(0.2)
                    continue
                connection.setblocking(False)
                held.append(connection)
            time.sleep(0.2)
            held = [connection for connection in held if not _is_closed(connection)]

    def _post(self, proxy: ProxyRef, path: str, body: Callable[[], bytes]) -> None:
        host, port = proxy.endpoint.removeprefix("http://").split(":")
        source = _address()
        while time.monotonic() < self.ends:
            connection = http.client.HTTPConnection(host, int(port), timeout=30, source_address=(source, 0))
            try:
                while time.monotonic() < self.ends:
                    connection.request("POST", path, body=body())
                    answer = connection.getresponse()
                    answer.read()
                    with _lock:
                        self.answers[answer.status] += 1
            except (OSError, http.client.HTTPException) as exc:
                with _lock:
                    self.answers[type(exc).__name__] += 1
                time.sleep(0.05)
            finally:
                connection.close()


def _address() -> str:
    with _lock:
        number = next(_addresses)
    return f"127.1.{number // 250}.{1 + number % 250}"


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def main() -> None:
    """Flood until the time is over, and print what the proxies answered."""
    folder, kind, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    flood = Flood(folder, time.monotonic() + seconds, [int(number) for number in sys.argv[4:]])
    kinds = {
        "deposits": (flood.deposits, DEPOSITORS),
        "requests": (flood.requests, REQUESTERS),
        "refused": (flood.refused, REFUSED),
        "slow": (flood.slow, 1),
    }
    threads = [
        threading.Thread(target=attack, args=(proxy,), daemon=True)
        for name, (attack, count) in kinds.items()
        if kind in (name, "all")
        for proxy in flood.proxies
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    # Three seconds from here on, what they send is made and the first of it has arrived.
    (folder / f"ready-{kind}").touch()
    # Nobody waits for what is still on its way: a proxy may let strangers wait for long.
    for thread in threads:
        thread.join(max(flood.ends + 0.5 - time.monotonic(), 0.0))
    print(dict(flood.answers))


if __name__ == "__main__":
    main()
