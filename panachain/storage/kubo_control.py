"""What controls a Kubo node, by ipfshttpclient: version, identity, pins, repository, swarm.

The only file that imports ipfshttpclient, which reads addresses as well. Its requests go over our bounded transport: of
its own two backends, one gathers answers of any size without a bound in time, and one fits no httpx since 2021. Every
answer is streamed, so that how many objects it has is ours to judge: ipfshttpclient would assert it. Never calls
`repo/gc`: what the chain names and no pin holds would go with it. Follows Kubo's RPC v0 and ADR 12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from panachain.errors import ConfigurationError, IntegrityError
from panachain.http_client import httpx
from panachain.storage.kubo_rpc import MAX_BRACKETS, KuboRpc, Refused, Request
from panachain.wire.transport import Bounds

if TYPE_CHECKING:
    import ipfshttpclient

_BRACKETS: Final = {"swarm/peers": 10_000, "id": 1_000}
"""Opening brackets of one JSON object, for answers that aren't flat."""


@dataclass(frozen=True)
class NodeFacts:
    """What a node says of itself."""

    version: str
    peer_id: str
    peers: int
    """Other nodes that it is connected to; PanaChain's own nodes need none."""

    def __str__(self) -> str:
        return f"Kubo {self.version}, {self.peers} peers, {self.peer_id}"


class KuboControl:
    """The control calls of one node; any thread may make them."""

    def __init__(self, api: str, rpc: KuboRpc, *, pin_timeout: float) -> None:
        """Take the node; nothing is asked yet.

        Args:
            api: multiaddress of its RPC.
            rpc: the requests' way to it.
            pin_timeout: seconds that pinning may take: the node reads everything that is linked.
        """
        self._rpc = rpc
        self._pin_timeout = pin_timeout
        self._client = _client(api, rpc)

    def version(self) -> str:
        """Return the node's version, such as `0.43.1`."""
        answer = self._one("version", lambda: self._client.version(stream=True))
        return self._text(answer.get("Version"), "its version")

    def facts(self) -> NodeFacts:
        """Return what the node says of itself."""
        identity = self._one("id", lambda: self._client.id(stream=True))
        try:
            peers = self._one("swarm/peers", lambda: self._client.swarm.peers(stream=True)).get("Peers") or []
        except Refused as exc:
            # A node that was started offline has no swarm to ask.
            if "online mode" not in exc.message:
                raise
            peers = []
        if not isinstance(peers, list):
            raise IntegrityError(f"the {self._rpc.name} doesn't tell its peers")
        return NodeFacts(self.version(), self._text(identity.get("ID"), "its identity"), len(peers))

    def pin(self, cid: str) -> bool:
        """Pin a block and everything that it links, and tell whether the node says that it did."""
        # With progress it shows signs of life while it walks a large graph.
        options = {"progress": "true", "offline": "true"}
        answers = self._all(
            "pin/add",
            lambda: self._client.pin.add(cid, recursive=True, opts=dict(options), stream=True),
            patient=True,
            patience=self._pin_timeout,
        )
        return any(answer.get("Pins") == [cid] for answer in answers)

    def unpin(self, cid: str) -> bool:
        """Unpin a block, and tell whether the node says that it did."""
        answer = self._one("pin/rm", lambda: self._client.pin.rm(cid, recursive=True, stream=True), patient=True)
        return answer.get("Pins") == [cid]

    def pins(self, *, limit: int) -> Iterator[str]:
        """Yield the CID of each pin, as the node writes it; only the end proves that they are all.

        Args:
            limit: bytes of each list, which is read as it comes.
        """
        for kind in ("recursive", "direct"):
            yield from self._listed(kind, limit)

    def totals(self) -> tuple[int, int]:
        """Return how many blocks the node holds, and the bytes of its repository."""
        answer = self._one("repo/stat", lambda: self._client.repo.stat(stream=True), patient=True)
        try:
            return int(answer["NumObjects"]), int(answer["RepoSize"])
        except (KeyError, TypeError, ValueError):
            raise IntegrityError(f"the {self._rpc.name} doesn't tell its size") from None

    def _listed(self, kind: str, limit: int) -> Iterator[str]:
        with self._mapped("pin/ls"):
            with _asking(_Asked(Bounds(limit=limit, fresh=True), patient=True)):
                answers = self._client.pin.ls(type=kind, opts={"stream": "true"}, stream=True)
            with answers:
                for answer in answers:
                    yield self._text(answer.get("Cid"), "the CID of a pin")

    def _one(self, path: str, ask: Callable[[], Any], *, patient: bool = False) -> dict[str, Any]:
        """Return the one JSON object of an answer."""
        answers = self._all(path, ask, patient=patient)
        if len(answers) != 1:
            raise IntegrityError(f"the {self._rpc.name} answers {path} with {len(answers)} objects, expected 1")
        return answers[0]

    def _all(
        self, path: str, ask: Callable[[], Any], *, patient: bool = False, patience: float = 0.0
    ) -> list[dict[str, Any]]:
        """Return the JSON objects of an answer, asking again where a connection broke.

        Raises:
            Refused: the node answers with a failure.
            IntegrityError: the answer isn't made of JSON objects, or is too large.
            StoreUnavailableError: the node doesn't answer, or not in time.
        """

        def once(fresh: bool) -> list[dict[str, Any]]:
            with _asking(_Asked(Bounds(patience=patience, fresh=fresh), patient=patient)), ask() as answers:
                return list(answers)

        with self._mapped(path):
            return self._rpc.trying(path, once)

    def _text(self, value: object, what: str) -> str:
        if not isinstance(value, str) or not value:
            raise IntegrityError(f"the {self._rpc.name} doesn't tell {what}")
        return value

    @contextmanager
    def _mapped(self, path: str) -> Iterator[None]:
        """Map the failures of ipfshttpclient, and those that a long answer may end in, to those of this package."""
        from ipfshttpclient import exceptions

        try:
            with self._rpc.mapped(path):
                yield
        except exceptions.Error as exc:
            raise IntegrityError(f"the {self._rpc.name} answers {path} with something that isn't understood") from exc


@dataclass(frozen=True)
class _Asked:
    bounds: Bounds
    patient: bool = False


_ASKED: ContextVar[_Asked] = ContextVar("_ASKED")
"""How the call that is made in this context is bounded: ipfshttpclient hands on a timeout only."""


@contextmanager
def _asking(asked: _Asked) -> Iterator[None]:
    """Give the requests that are sent inside these bounds."""
    token = _ASKED.set(asked)
    try:
        yield
    finally:
        _ASKED.reset(token)


def _checked_lines(rpc: KuboRpc, path: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines of an answer that are JSON objects.

    Lines that are none ipfshttpclient would join to the next ones, again and again, without an end.
    """
    for line in rpc.lines(path, pieces):
        rpc.object_of(path, line, brackets=_BRACKETS.get(path, MAX_BRACKETS))
        yield line + b"\n"


def address(api: str) -> tuple[str, str]:
    """Return the URL below which an RPC's paths lie, and the path of its socket or nothing.

    Raises:
        ConfigurationError: `api` is no multiaddress of an RPC.
    """
    import ipfshttpclient.http_common as addresses

    try:
        base, uds, _, _ = addresses.multiaddr_to_url_data(api, "api/v0")
    except Exception as exc:
        # Its parsers raise what they like; whatever it is, the address isn't one.
        raise ConfigurationError(f"{api[:200]!r} is no multiaddress of a Kubo RPC") from exc
    return base, unquote(uds) if uds else ""


def _client(api: str, rpc: KuboRpc) -> ipfshttpclient.Client:
    """Return an ipfshttpclient whose requests go over our transport."""
    import ipfshttpclient
    from ipfshttpclient.http_common import ClientSyncBase

    class Backend(ClientSyncBase):  # type: ignore[misc]
        """The third of its HTTP backends, beside those over requests and over an httpx of 2020."""

        __slots__ = ()

        def _init(self, addr: object, base: str, **_: object) -> None:
            """Take nothing: the RPC knows where the node is."""

        def _make_session(self) -> KuboRpc:
            return rpc

        def _do_raise_for_status(self, response: httpx.Response) -> None:
            """Do nothing: only answers that tell success get here."""

        def _request(
            self, method: str, path: str, params: Sequence[tuple[str, Any]], **_: object
        ) -> tuple[list[httpx.Response], Iterator[bytes]]:
            asked = _ASKED.get()
            options = tuple((name, _text_of(value)) for name, value in params)
            request = Request(path.strip("/"), options=options, patient=asked.patient)
            response = rpc.open(request, asked.bounds)
            return [response], _checked_lines(rpc, request.path, response.iter_raw())

    class Client(ipfshttpclient.Client):  # type: ignore[misc]
        def __init__(self) -> None:
            # Not by `connect`: it asks the version, and warns of every node since 2021.
            super().__init__(api)
            self._client = Backend(api, "api/v0")

    return Client()


def _text_of(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
