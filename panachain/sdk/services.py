"""The public parts of a network, looked at from outside: proxies, relays, the gate and the store.

Asks as anybody could, with no key and for nothing that is about a person; believes no answer more than a chain: the
head of a proxy's log is compared with the one that is anchored. Follows docs/spec/proxy.md, docs/spec/relay.md and
docs/spec/gate.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from panachain.chain.node import QUESTION
from panachain.chain.receipts import check_head
from panachain.errors import IntegrityError, PanaChainError
from panachain.model.actors import Actor, Role, Status
from panachain.proxy import messages
from panachain.sdk.network import Network
from panachain.sdk.results.services import GateState, ProxyState, RelayState, ServicesView, StoreState
from panachain.trust import Trust
from panachain.wire.client import Client, WireError, said
from panachain.wire.transport import Bounds

TIMEOUT: Final = 5.0
"""Seconds that one service may take."""
MAXIMUM_ANSWER: Final = 65_536
"""Bytes of an answer that are read; of metrics as well."""
_AT_ONCE: Final = 16
"""Services that are asked at once."""
_METRIC: Final = re.compile(r"(?P<name>[a-z_]{1,80})(?:\{(?P<labels>[^}\n]{0,200})\})? (?P<value>[0-9.e+]{1,24})")
"""A line of Prometheus' text format (exposition format 0.0.4)."""
_LABEL: Final = re.compile(r'(?P<name>[a-z_]{1,40})="(?P<value>[\w./-]{0,80})"')
_REFUSES: Final = (401, 403)
"""Statuses with which a gate refuses strangers."""


def look(network: Network, *, clock: Callable[[], float] | None = None) -> ServicesView:
    """Ask every public service of a network how it is; one that doesn't answer is told, and hides no other one.

    Args:
        network: whose services.
        clock: tells when it was looked, Unix seconds; the network's own if it is left out.
    """
    at = int((clock or network.clock)())
    actors = network.mainchain.actors.find(Role.PROXY)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        proxies = [pool.submit(_proxy, network, actor) for actor in actors]
        relays = [pool.submit(_relay, network, url, "policies") for url in network.relays]
        relays += [pool.submit(_relay, network, url, "sidechain") for url in network.sidechain_relays]
        gates = [pool.submit(_gate, url) for url in network.sidechain_urls]
        return ServicesView(
            at,
            tuple(one.result() for one in proxies),
            tuple(one.result() for one in relays),
            tuple(one.result() for one in gates),
            _store(network),
            network.threshold,
        )


def _proxy(network: Network, actor: Actor) -> ProxyState:
    log = network.mainchain.log
    anchored, anchored_head = log.anchor_of(actor.address)
    known = ProxyState(
        address=actor.address,
        operator=actor.organisation,
        endpoint=actor.endpoint,
        active=actor.status is Status.ACTIVE,
        anchored=anchored,
        convictions=len(log.convictions_of(actor.address)),
    )
    try:
        url = network.reach.url(actor.endpoint)
    except PanaChainError as exc:
        return replace(known, problem=str(exc))
    trust = Trust(network.proxy_ca) if network.proxy_ca is not None else None
    with _Asking(trust=trust, check=network.reach.check_address) as asking:
        problem = asking.problem(f"{url}/readyz")
        status, content = asking.get(f"{url}/v1/head")
        metrics = _metrics(asking.get(f"{url}/metrics"))
    sequence, head, lie = None, "", ""
    if status == 200:
        try:
            told = messages.parse_head(messages.parse_json(content))
            check_head(
                log.domain, proxy=actor.address, sequence=told.sequence, head=told.head, signature=told.signature
            )
            sequence, head = told.sequence, told.head.hex()
            if sequence < anchored or (sequence == anchored and told.head != anchored_head):
                # The chain is asked before the proxy, so an honest log can only be longer.
                lie = "its log isn't the one whose head is anchored"
        except PanaChainError as exc:
            lie = f"the head of its log can't be believed: {exc}" if isinstance(exc, IntegrityError) else str(exc)
    return replace(
        known,
        problem=lie or problem,
        sequence=sequence,
        head=head,
        head_age=_whole(metrics.get(("panachain_proxy_head_age_seconds", ""))),
        served=_whole(metrics.get(("panachain_proxy_cfrags_total", ""))),
        refused=_sum(metrics, "panachain_proxy_requests_total", lambda labels: "ok" not in labels.split()),
    )


def _relay(network: Network, url: str, kind: str) -> RelayState:
    trust = Trust(network.relay_ca) if network.relay_ca is not None else None
    if not url.startswith(("http://", "https://")):
        return RelayState(url, kind, "it is no URL")
    base = url.rstrip("/")
    with _Asking(trust=trust) as asking:
        problem = asking.problem(f"{base}/readyz")
        status, content = asking.get(f"{base}/readyz")
        metrics = _metrics(asking.get(f"{base}/metrics"))
    gas: int | None = None
    if status == 200:
        try:
            gas = _whole(messages.parse_json(content).get("gas_left"))
            problem = problem or ("its budget is used up for now" if gas == 0 else "")
        except PanaChainError as exc:
            problem = str(exc)
    return RelayState(url, kind, problem, gas, _whole(metrics.get(("panachain_relay_waiting", ""))))


def _gate(url: str) -> GateState:
    with _Asking() as asking:
        status, content = asking.post(url, QUESTION)
    if status in _REFUSES:
        return GateState(url, refuses=True, detail=f"it refuses strangers ({status})")
    if status is None:
        # With mutual TLS the connection itself is refused.
        return GateState(url, refuses=True, detail=f"it gave a stranger no answer ({content.decode()})")
    return GateState(url, refuses=False, detail=f"it answers a stranger with status {status}")


def _store(network: Network) -> StoreState:
    store = network.store
    try:
        any_block = next(iter(store.blocks()), None)
    except PanaChainError as exc:
        return StoreState(store.name, str(exc), holds=False)
    return StoreState(store.name, "", holds=any_block is not None)


class _Asking:
    """Questions to one service."""

    def __init__(self, *, trust: Trust | None = None, check: Callable[[str], None] | None = None) -> None:
        self._client = Client(trust=trust, check=check)
        self._bounds = Bounds(limit=MAXIMUM_ANSWER, total=TIMEOUT)

    def __enter__(self) -> _Asking:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, url: str) -> tuple[int | None, bytes]:
        """Return status and content, or None and why there is no answer."""
        return self._told(lambda: self._client.get(url, bounds=self._bounds, timeout=TIMEOUT))

    def post(self, url: str, body: bytes) -> tuple[int | None, bytes]:
        """Return status and content, or None and why there is no answer."""
        headers = {"Content-Type": "application/json"}
        return self._told(lambda: self._client.post(url, body, bounds=self._bounds, timeout=TIMEOUT, headers=headers))

    def problem(self, url: str) -> str:
        """Return why a service isn't ready, or an empty text."""
        status, content = self.get(url)
        if status == 200:
            return ""
        return content.decode("utf-8", "replace") if status is None else f"it answers {status}"

    def _told(self, question: Callable[[], Any]) -> tuple[int | None, bytes]:
        try:
            answer = question()
        except WireError as exc:
            return None, f"it doesn't answer ({said(exc)})".encode()
        except PanaChainError as exc:
            return None, str(exc).encode()
        return answer.status, answer.content


def _metrics(answer: tuple[int | None, bytes]) -> Mapping[tuple[str, str], float]:
    """Return what a service counts, by name and labels' values; nothing of what can't be read."""
    status, content = answer
    found: dict[tuple[str, str], float] = {}
    for text in content.decode("utf-8", "replace").splitlines() if status == 200 else ():
        line = _METRIC.fullmatch(text)
        if line is None:
            continue
        labels = " ".join(label["value"] for label in _LABEL.finditer(line["labels"] or ""))
        try:
            found[line["name"], labels] = float(line["value"])
        except ValueError:
            continue
    return found


def _sum(metrics: Mapping[tuple[str, str], float], name: str, fits: Callable[[str], bool]) -> int | None:
    values = [value for (one, labels), value in metrics.items() if one == name and fits(labels)]
    return _whole(sum(values)) if any(one == name for one, _ in metrics) else None


def _whole(value: object) -> int | None:
    """Return a number that a service gives, or None if it gives none that anybody could show."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 64:
        return None
    return int(value)
