"""Links of others: fetched through the one bounded client, opened with the link's key.

Never follows a redirect, never asks an address of this machine or of a private network for a stranger's link, and never
shows the key or the address. What of several files can't be had costs that file only. Follows HL7's SMART Health Cards
and Links 1.0.0 (manifest request, direct file request), docs/spec/sharing.md and ADR 16.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from panachain.crypto import jwe
from panachain.errors import (
    AccessDeniedError,
    EndpointRefusedError,
    IntegrityError,
    LockedError,
    Omission,
    PanaChainError,
    RateLimitedError,
    UnavailableError,
)
from panachain.plain import line
from panachain.sharing.link import DIRECT, PASSCODE, Link
from panachain.sharing.shelf import MAX_FILE, MAX_FILES
from panachain.wire.client import Answer, Client, WireError
from panachain.wire.endpoints import Reach
from panachain.wire.json_text import read_json
from panachain.wire.transport import Bounds

MAX_JWE: Final = MAX_FILE + (MAX_FILE >> 1)
"""Bytes of a file as it comes: what doesn't shrink is a third larger in BASE64URL."""
MAX_ALL: Final = 256 << 20
"""Bytes of all files of a link, opened."""
_MAX_MANIFEST: Final = 16 << 20
"""Bytes of a manifest, embedded files included."""
_EMBEDDED: Final = 1 << 20
"""Characters of a file that may stand in the manifest itself, as is asked for."""
_TIMEOUT: Final = 20.0
"""Seconds of silence."""
_TOTAL: Final = 300.0
"""Seconds that one answer may take."""
_ADDRESS: Final = re.compile(r"(https?://[^/?#@\\]+)(?:[/?][!-~]*)?", re.ASCII)
_NO_MORE: Final = "ask whoever gave it to you for a new one: it is over, was revoked, or was never whole"


@dataclass(frozen=True)
class LinkedFile:
    """One file of a link, opened."""

    content: bytes = field(repr=False)
    content_type: str
    """As the seal says, or the manifest where the seal says nothing."""
    updated: str = ""
    """When it was last changed, as the manifest says."""


@dataclass
class Linked:
    """What a link led to."""

    label: str
    files: list[LinkedFile] = field(default_factory=list)
    omissions: list[Omission] = field(default_factory=list)
    """Files that couldn't be had, each with its reason."""


class LinkReader:
    """Follows links."""

    def __init__(self, client: Client, reach: Reach, *, clock: Callable[[], float] = time.time) -> None:
        """Take what connects, and which addresses it may connect to.

        Args:
            client: whose `check` is the reach's.
            reach: which addresses a stranger's link may lead to.
            clock: Unix seconds.
        """
        self._client = client
        self._reach = reach
        self._clock = clock

    def follow(self, link: Link, *, recipient: str, passcode: str = "") -> Linked:
        """Return the files of a link.

        Args:
            link: of others.
            recipient: who asks, as the sharer will read it.
            passcode: where the link wants one.

        Raises:
            AccessDeniedError: the link is over, or was revoked.
            LockedError: it wants a passcode, or another one.
            EndpointRefusedError: it leads to where nothing is sent.
            UnavailableError: its server doesn't answer, or not as one of links does.
            IntegrityError: the only file doesn't open, or the manifest is none.
        """
        if link.expires_at is not None and self._clock() >= link.expires_at:
            raise AccessDeniedError("the link is over; its server wasn't asked", hint=_NO_MORE)
        if DIRECT in link.flags:
            mark = "&" if "?" in link.url else "?"
            text = self._get(f"{link.url}{mark}recipient={quote(recipient, safe='')}")
            opened = jwe.open_(text, link.key, most=MAX_FILE)
            return Linked(link.label, [LinkedFile(opened.content, opened.content_type)])
        if PASSCODE in link.flags and not passcode:
            raise LockedError("this link wants a passcode", hint="ask whoever gave you the link")
        return self._files(link, self._manifest(link, recipient, passcode))

    def _manifest(self, link: Link, recipient: str, passcode: str) -> list[dict[str, Any]]:
        asked: dict[str, object] = {"recipient": recipient, "embeddedLengthMax": _EMBEDDED}
        if passcode:
            asked["passcode"] = passcode
        bounds = Bounds(limit=_MAX_MANIFEST, total=_TOTAL)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        answer = self._ask(
            lambda url: self._client.post(
                url, json.dumps(asked).encode(), bounds=bounds, timeout=_TIMEOUT, headers=headers
            ),
            link.url,
        )
        try:
            manifest = read_json(answer.content)
        except ValueError:
            raise IntegrityError("the link's server gave no manifest") from None
        files = manifest.get("files") if isinstance(manifest, dict) else None
        if not isinstance(files, list) or not all(isinstance(one, dict) for one in files):
            raise IntegrityError("the link's server gave no manifest")
        if len(files) > MAX_FILES:
            raise IntegrityError(f"the link has {len(files)} files, at most {MAX_FILES} are read")
        return files

    def _files(self, link: Link, named: list[dict[str, Any]]) -> Linked:
        linked, total = Linked(link.label), 0
        for number, one in enumerate(named, 1):
            try:
                found = self._file(link, one, most=min(MAX_FILE, MAX_ALL - total))
            except (IntegrityError, UnavailableError, AccessDeniedError) as exc:
                linked.omissions.append(Omission("", f"file {number} of the link", exc))
            else:
                total += len(found.content)
                linked.files.append(found)
        return linked

    def _file(self, link: Link, one: dict[str, Any], *, most: int) -> LinkedFile:
        embedded, location = one.get("embedded"), one.get("location")
        if isinstance(embedded, str):
            opened = jwe.open_(embedded, link.key, most=most)
        elif isinstance(location, str):
            opened = jwe.open_(self._get(location), link.key, most=most)
        else:
            raise IntegrityError("the manifest names neither its content nor its address")
        kind, updated = one.get("contentType"), one.get("lastUpdated")
        stated = line(kind)[:100] if isinstance(kind, str) else ""
        if opened.content_type and stated and opened.content_type != stated:
            raise IntegrityError("the manifest says another kind of content than the file's own seal")
        moment = line(updated)[:40] if isinstance(updated, str) else ""
        return LinkedFile(opened.content, line(opened.content_type or stated), moment)

    def _get(self, url: str) -> bytes:
        bounds = Bounds(limit=MAX_JWE, total=_TOTAL)
        return self._ask(lambda whole: self._client.get(whole, bounds=bounds, timeout=_TIMEOUT), url).content

    def _ask(self, ask: Callable[[str], Answer], url: str) -> Answer:
        """Return the answer of an address, if it is a good one. No message quotes the address: it is half the link."""
        found = _ADDRESS.fullmatch(url) if len(url) <= 4096 else None
        try:
            if found is None:
                raise EndpointRefusedError("it isn't https://NAME with a path")
            origin = self._reach.url(found[1])
        except EndpointRefusedError as exc:
            raise EndpointRefusedError(
                "the link leads to an address that nothing is sent to: no https, no whole name, or one of this machine"
                " or a private network",
                hint=exc.hint
                if found is None
                else "open it only if you know who made it: see --local and proxy_ranges",
            ) from None
        try:
            answer = ask(origin + url[len(found[1]) :])
        except WireError as exc:
            raise UnavailableError(f"the link's server doesn't answer: {type(exc).__name__}") from None
        return _good(answer)


def _good(answer: Answer) -> Answer:
    """Return an answer of 200, or raise what another one means."""
    status = answer.status
    if status == 200:
        return answer
    if status == 401:
        left = _remaining(answer.content)
        told = f"; it takes {left} more" if left is not None else ""
        raise LockedError(f"the passcode isn't this link's{told}", hint="ask whoever gave you the link")
    if status in (404, 410):
        raise AccessDeniedError("the link leads to nothing any more", hint=_NO_MORE)
    if status == 429:
        again = answer.headers.get("retry-after", "")
        seconds = int(again) if again.isascii() and again.isdecimal() and len(again) < 6 else 60
        raise RateLimitedError("the link's server takes no more requests for now", retry_after=seconds)
    if 300 <= status < 400:
        raise UnavailableError("the link's server sends elsewhere, which isn't followed")
    raise UnavailableError(f"the link's server answers with status {status}")


def _remaining(content: bytes) -> int | None:
    try:
        found = read_json(content, depth=4, values=64)
    except (ValueError, PanaChainError):
        return None
    left = found.get("remainingAttempts") if isinstance(found, dict) else None
    return left if isinstance(left, int) and not isinstance(left, bool) and 0 <= left < 10_000 else None
