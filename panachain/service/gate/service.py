"""The gate before the sidechain's RPC: it decides which nodes pass, once with each token, and logs those that did.

Free of HTTP, which is in app.py; what passes is in rules.py. Fails closed: without a readable registry its
actors are strangers, and what can't be logged isn't served. Never logs a body, a parameter or a token's signature.
Follows docs/spec/gate.md and security rule 12.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

from panachain.chain.access import MAX_LIFE, SCHEME, GateDomain, NodeKey, Token, decode_token
from panachain.errors import ChainUnavailableError, DiskError
from panachain.model.actors import Actor, Address, Role, Status
from panachain.model.sizes import KEY_SIZE
from panachain.private_files import open_private
from panachain.service.periodic import Periodic

ROLES: Final = (Role.HOSPITAL, Role.PROXY, Role.REGISTRAR)
"""Roles of the mainchain's actors whose accounts pass, if the configuration names the mainchain."""
_MAX_NONCES: Final = 500_000
"""Nonces that are remembered at most; some 60 MB."""
_TAIL: Final = 32 << 20
"""Bytes of the audit log that are read at the start for nonces that still count: 3,000 requests a second."""

_log = logging.getLogger("panachain.gate")


class Actors(Protocol):
    """What a gate asks the mainchain."""

    def find(self) -> list[Actor]:
        """Return the actors with their present status."""
        ...


class Admitted:
    """The nodes that may pass: those of the configuration, and active actors of the registry."""

    def __init__(self, nodes: Iterable[Address], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the nodes of the configuration, and a clock whose seconds only grow."""
        self._fixed = frozenset(nodes)
        self.clock = clock
        self._listed: frozenset[Address] = frozenset()
        self._until = 0.0

    def __contains__(self, node: object) -> bool:
        return node in self._fixed or (node in self._listed and self.clock() < self._until)

    def listed(self, nodes: Iterable[Address], *, until: float) -> None:
        """Take what the registry says, which counts until a time of `clock`."""
        # In this order, so that an actor who was taken out never counts for longer.
        self._listed = frozenset(nodes)
        self._until = until


class RegistryWatch:
    """Reads the registry again and again, beside the requests: no stranger makes the gate ask a chain."""

    def __init__(self, registry: Actors, admitted: Admitted, *, seconds: float) -> None:
        """Take the registry, and for how long what it said counts, in seconds."""
        self._registry = registry
        self._admitted = admitted
        self._seconds = seconds

    def watching(self) -> Periodic:
        """Return what looks often enough, while it is entered, that what the registry said never ends by itself."""
        # A look that fails is answered by time: when it is over, the registry's actors are strangers.
        duties = {"the registry can't be read": self.look}
        return Periodic(duties, every=self._seconds / 3, name="gate-registry", log=_log, at_start=True)

    def look(self) -> None:
        """Read the registry once.

        Raises:
            PanaChainError: it can't be read; what was read before counts until its time is over.
        """
        # The time is taken before the question, because the answer may be as old as that.
        asked = self._admitted.clock()
        active = [a.address for a in self._registry.find() if a.role in ROLES and a.status is Status.ACTIVE]
        self._admitted.listed(active, until=asked + self._seconds)


class Nonces:
    """The nonces that were used and whose tokens could still count."""

    def __init__(self, *, most: int = _MAX_NONCES, clock: Callable[[], float] = time.time) -> None:
        """Take how many are remembered at most."""
        self._most = most
        self._clock = clock
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()
        self._turned = clock()

    def use(self, nonce: bytes) -> bool:
        """Note a nonce; False when it was used before.

        Raises:
            ChainUnavailableError: too many are remembered; nothing is served before some of them end.
        """
        # Two generations, each as long as the longest life of a token: no nonce is forgotten before its token ends.
        if self._clock() >= self._turned + MAX_LIFE:
            self._old, self._new, self._turned = self._new, set(), self._clock()
        if nonce in self._new or nonce in self._old:
            return False
        if len(self._new) + len(self._old) >= self._most:
            raise ChainUnavailableError(f"{self._most} requests were made within {2 * MAX_LIFE} s")
        self._new.add(nonce)
        return True


class AuditLog:
    """The log of requests: one JSON object a line for each, only ever appended to."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Open or create the file (0600).

        Raises:
            DiskError: it can't be opened, or another gate writes to it.
        """
        self._clock = clock
        try:
            self._file = open_private(path, os.O_RDWR | os.O_APPEND)
            # Each log has one gate: with two gates a token would count twice.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise DiskError(f"the gate's audit log {path} can't be opened: {exc.strerror}") from exc

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def write(self, token: Token, methods: Iterable[str], outcome: str, *, durable: bool = False) -> None:
        """Append one line.

        Args:
            token: whose node and nonce are told.
            methods: of the calls.
            outcome: `begun`, `passed`, `refused` or `failed`.
            durable: wait until the disk has it.

        Raises:
            DiskError: the line isn't written as a whole; nothing may be served.
        """
        counted: dict[str, int] = {}
        for method in methods:
            counted[method] = counted.get(method, 0) + 1
        entry = {
            "at": round(self._clock(), 3),
            "node": token.node,
            "nonce": token.nonce.hex(),
            "methods": counted,
            "outcome": outcome,
        }
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        try:
            if os.write(self._file, line) != len(line):
                raise DiskError("the gate's audit log took a part of a line; nothing was served")
            if durable:
                os.fsync(self._file)
        except OSError as exc:
            raise DiskError(f"the gate's audit log refuses a line: {exc.strerror}; nothing was served") from exc

    def recent_nonces(self) -> list[bytes]:
        """Return the nonces whose tokens may still count: a restart forgets none of them."""
        size = os.fstat(self._file).st_size
        start = max(size - _TAIL, 0)
        lines = os.pread(self._file, size - start, start).split(b"\n")
        since, found = self._clock() - 2 * MAX_LIFE, []
        for line in reversed(lines):
            try:
                entry = json.loads(line)
                if entry["at"] < since:
                    break
                found.append(bytes.fromhex(entry["nonce"]))
            except (ValueError, KeyError, TypeError):
                # It is the empty end, a line that a crash cut, or the cut beginning of what was read.
                continue
        return found


class Gate:
    """Decides which requests come from a node that may pass."""

    def __init__(
        self, domain: GateDomain, admitted: Admitted, nonces: Nonces, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Take the gate's name, the nodes that it admits, and the nonces that were used."""
        self._domain = domain
        self._admitted = admitted
        self._nonces = nonces
        self._clock = clock
        # A true signature of a key that nobody keeps; by checking it a stranger's answer takes as long as a node's.
        self._decoy = NodeKey(os.urandom(KEY_SIZE)).token(domain, b"", now=0)

    def admit(self, headers: list[bytes]) -> Token | None:
        """Return the token of a node that may ask once now, or None; the token's body isn't compared yet.

        Args:
            headers: the values of all `Authorization` headers.

        Raises:
            ChainUnavailableError: a node that may pass asks too much.
        """
        token = _token(headers)
        signer = self._domain.signer(token or self._decoy)
        if token is None or signer is None:
            # Something that is no signature is found out at once; this takes the rest of the time.
            if token is not None:
                self._domain.signer(self._decoy)
            return None
        now = self._clock()
        if signer != token.node or signer not in self._admitted or not now < token.expires_at <= now + MAX_LIFE:
            return None
        return token if self._nonces.use(token.nonce) else None


def _token(headers: list[bytes]) -> Token | None:
    if len(headers) != 1:
        return None
    scheme, _, text = headers[0].decode("latin-1").partition(" ")
    return decode_token(text) if scheme == SCHEME else None
