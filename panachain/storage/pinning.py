"""Copies elsewhere: what a store pins is pinned at services of others too, such as Kubo clusters.

A service fetches the blocks by itself from the store's nodes, which it is told; everything in them is sealed. It is
never asked for a block, and never believed: its answers say what it claims to keep. Removes only what was added from
here. Follows the IPFS Pinning Service API, version 1.0.0 (ipfs.github.io/pinning-services-api-spec).
"""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from panachain.errors import ConfigurationError, IntegrityError, LockedError, StoreUnavailableError, UsageError
from panachain.ipld.cid import CID
from panachain.model.progress import Progress
from panachain.storage.urls import check_service_url
from panachain.wire.client import Answer, Client, SlowError, WireError, said
from panachain.wire.json_text import read_json
from panachain.wire.transport import Bounds

_PAGE: Final = 1000
"""Pins of one page, the most that the API allows."""
_PAGE_LIMIT: Final = 8 << 20
"""Bytes of one page: 1,000 pins with origins, delegates and what a service adds."""
_VALUES: Final = 200_000
"""JSON values of one page."""
_MARK: Final = {"panachain": "1"}
"""Of every pin that comes from here."""
_STATES: Final = ("queued", "pinning", "pinned", "failed")
_AGAIN: Final = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True)
class ServiceConfig:
    """One pinning service, as the network file names it."""

    name: str
    url: str
    token: str = field(repr=False)
    origins: tuple[str, ...]
    """Multiaddresses of the store's nodes, with their peer IDs, from which the service fetches."""

    @classmethod
    def read(cls, fields: Mapping[str, Any], folder: Path) -> ServiceConfig:
        """Read one entry of the network file's `ipfs.pinning`.

        Args:
            fields: `name`, `url`, `tokenFile` and `origins`.
            folder: where a relative `tokenFile` starts.

        Raises:
            ConfigurationError: a field is missing or doesn't fit.
            LockedError: the token's file can't be read, or others may read it.
        """
        try:
            name, url, file = (fields[one] for one in ("name", "url", "tokenFile"))
            origins = fields.get("origins", [])
        except (KeyError, TypeError, AttributeError) as exc:
            raise ConfigurationError("each of ipfs.pinning needs `name`, `url` and `tokenFile`") from exc
        texts = (name, url, file, *origins) if isinstance(origins, list) else ()
        if not texts or not all(isinstance(text, str) and text for text in texts) or len(origins) > 20:
            raise ConfigurationError("the fields of ipfs.pinning are texts, and `origins` is a list of at most 20")
        check_service_url(url, f"the URL of the pinning service {name}", path=True)
        return cls(name, url.rstrip("/"), _token(folder / file), tuple(origins))


def _token(path: Path) -> str:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise LockedError(f"{path} is open to others", hint=f"chmod 600 {path}")
        return path.read_text("ascii").strip()
    except (OSError, ValueError) as exc:
        raise LockedError(f"the pinning service's token {path} can't be read") from exc


@dataclass(frozen=True)
class RemotePin:
    """What a service says of one pin that was added from here."""

    request: str
    """The service's ID of it."""
    cid: str
    state: str
    """`queued`, `pinning`, `pinned` or `failed`."""


@dataclass(frozen=True)
class ReplicationReport:
    """What was found and done at one service, in pins."""

    service: str
    wanted: int
    added: int
    removed: int
    pinned: int
    """That the service says it keeps."""
    waiting: int
    failed: tuple[str, ...]
    """CIDs that the service gave up; they were asked for anew."""

    @property
    def whole(self) -> bool:
        """Whether the service says that it keeps all of it."""
        return self.pinned == self.wanted and not self.failed

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/replication/1`."""
        return {"schema": "panachain/replication/1", **vars(self), "failed": list(self.failed)}


class PinningService:
    """One service."""

    def __init__(
        self,
        config: ServiceConfig,
        *,
        timeout: float = 60.0,
        tries: int = 4,
        pause: float = 0.5,
        client: Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the service; nothing is asked yet.

        Args:
            config: which one.
            timeout: seconds of silence after which a connection is given up.
            tries: how often a request is sent at most.
            pause: seconds before the second try; doubled before each further one.
            client: connections; None opens its own.
            sleep: waits for some seconds.
        """
        self.name = config.name
        self._config = config
        self._timeout, self._tries, self._pause, self._sleep = timeout, tries, pause, sleep
        self._client = client or Client()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def pins(self) -> Iterator[RemotePin]:
        """Yield the pins that were added from here, newest first.

        Raises:
            IntegrityError: an answer isn't one, or doesn't go on.
            StoreUnavailableError: the service doesn't answer, or refuses.
        """
        before = ""
        seen: set[str] = set()
        while True:
            query = {"limit": str(_PAGE), "status": ",".join(_STATES), "meta": json.dumps(_MARK, separators=(",", ":"))}
            if before:
                query["before"] = before
            page = self._object(self._ask("GET", f"/pins?{urlencode(query)}"))
            results, count = page.get("results"), page.get("count")
            if not isinstance(results, list) or not isinstance(count, int) or len(results) > _PAGE:
                raise IntegrityError(f"the pinning service {self.name} lists no pins")
            new = [(at, pin) for at, pin in map(self._pin, results) if pin.request not in seen]
            yield from (pin for _, pin in new)
            seen.update(pin.request for _, pin in new)
            if count <= len(results):
                return
            if not new:
                raise IntegrityError(f"the pinning service {self.name}'s list of pins doesn't go on")
            # A moment after the oldest one of this page: others may have been made at the same time.
            before = (min(at for at, _ in new) + timedelta(milliseconds=1)).astimezone(UTC).isoformat()

    def add(self, cid: CID) -> None:
        """Ask the service to pin what a CID reaches."""
        body = {"cid": str(cid), "name": f"panachain {cid}", "origins": list(self._config.origins), "meta": _MARK}
        answer = self._object(self._ask("POST", "/pins", json.dumps(body).encode()))
        if self._pin(answer)[1].cid != str(cid):
            raise IntegrityError(f"the pinning service {self.name} pins another CID than {cid}")

    def remove(self, pin: RemotePin) -> None:
        """Give a pin up; a missing one is no error."""
        self._ask("DELETE", f"/pins/{pin.request}", missing=True)

    def _pin(self, value: object) -> tuple[datetime, RemotePin]:
        """Return when a pin was made, and what the service says of it."""
        try:
            fields: Any = value
            request, state, created, cid = (
                fields["requestid"],
                fields["status"],
                fields["created"],
                fields["pin"]["cid"],
            )
            at = datetime.fromisoformat(created).astimezone(UTC)
        except (KeyError, TypeError, ValueError, OverflowError) as exc:
            raise IntegrityError(f"the pinning service {self.name} tells of a pin without what it must have") from exc
        plain = isinstance(request, str) and request.replace("-", "").replace("_", "").isalnum() and len(request) < 200
        if not plain or state not in _STATES or not isinstance(cid, str):
            raise IntegrityError(f"the pinning service {self.name} tells of a pin that is none")
        return at, RemotePin(request, cid, state)

    def _object(self, answer: Answer) -> dict[str, Any]:
        try:
            value = read_json(answer.content, values=_VALUES)
        except (ValueError, IntegrityError) as exc:
            raise IntegrityError(f"the pinning service {self.name} answers with something that is no JSON") from exc
        if not isinstance(value, dict):
            raise IntegrityError(f"the pinning service {self.name} answers with something that is no JSON object")
        return value

    def _ask(self, method: str, path: str, body: bytes | None = None, *, missing: bool = False) -> Answer:
        headers = {"Authorization": f"Bearer {self._config.token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        what, failure = f"{method} {path.partition('?')[0]}", ""
        for attempt in range(self._tries):
            if attempt:
                self._sleep(self._pause * 2 ** (attempt - 1))
            try:
                answer = self._client.request(
                    method,
                    self._config.url + path,
                    body,
                    bounds=Bounds(limit=_PAGE_LIMIT),
                    timeout=self._timeout,
                    headers=headers,
                )
            except SlowError as exc:
                raise StoreUnavailableError(f"the pinning service {self.name} doesn't answer {what} in time") from exc
            except WireError as exc:
                failure = said(exc)
                continue
            if answer.status in (200, 202) or (missing and answer.status == 404):
                return answer
            failure = f"HTTP status {answer.status}"
            if answer.status not in _AGAIN:
                break
        raise StoreUnavailableError(
            f"the pinning service {self.name} doesn't take {what} ({failure})",
            hint="check its URL and the token; the same command again goes on",
        )


def replicate(pins: Iterable[CID], service: PinningService, *, progress: Progress | None = None) -> ReplicationReport:
    """Bring a service to the pins of a store: add what it lacks, give up what the store gave up.

    Args:
        pins: all that the store pins.
        service: is told.
        progress: is told the requests that were made.

    Raises:
        StoreUnavailableError: it doesn't answer; the same call again goes on.
        IntegrityError: it answers with something else than the API has.
    """
    wanted = {str(cid): cid for cid in pins}
    held: dict[str, RemotePin] = {}
    surplus: list[RemotePin] = []
    for pin in service.pins():
        # Newest first: what an interrupted call added twice is given up once.
        if pin.cid in wanted and pin.cid not in held and pin.state != "failed":
            held[pin.cid] = pin
        else:
            surplus.append(pin)
    failed = {pin.cid for pin in surplus if pin.state == "failed"} & (set(wanted) - set(held))
    missing = sorted(set(wanted) - set(held))
    total = len(missing) + len(surplus)
    for done, text in enumerate(missing, start=1):
        service.add(wanted[text])
        if progress is not None:
            progress(done, total, unit="requests")
    # After the new ones, so that a service never keeps less meanwhile.
    for done, pin in enumerate(surplus, start=len(missing) + 1):
        service.remove(pin)
        if progress is not None:
            progress(done, total, unit="requests")
    pinned = sum(1 for pin in held.values() if pin.state == "pinned")
    return ReplicationReport(
        service.name,
        len(wanted),
        len(missing),
        len(surplus),
        pinned,
        len(wanted) - pinned - len(failed),
        tuple(sorted(failed)),
    )


def services_of(description: Mapping[str, Any], folder: Path) -> list[ServiceConfig]:
    """Return the pinning services that a network file's `ipfs` names.

    Raises:
        UsageError: it names none.
        ConfigurationError: one doesn't fit, or two have one name.
        LockedError: a token can't be read, or others may read it.
    """
    entries = description.get("pinning")
    if not isinstance(entries, list) or not entries:
        raise UsageError("the network file's `ipfs` names no pinning service", hint="docs/spec/network.md, Stores")
    found = [ServiceConfig.read(entry, folder) for entry in entries]
    if len({one.name for one in found}) != len(found):
        raise ConfigurationError("two of ipfs.pinning have the same name")
    return found
