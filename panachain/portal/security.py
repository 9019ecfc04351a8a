"""What every request to the portal goes through: whose it may be, and what a browser may do with the answer.

A page of another origin, a name that was made to point at this machine, and another user's program get nothing. Never
looks at a body. Follows Fetch (Origin, Fetch Metadata), CSP level 3, RFC 6265bis (cookies), and docs/spec/portal.md,
section "Who may ask".
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from panachain.portal import i18n
from panachain.portal.desk import Desk, Session

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MOST_HEADERS: Final = 64
"""Header lines of a request; browsers send some twenty."""
MOST_QUERY: Final = 4096
"""Bytes of a query."""
SAFE: Final = frozenset({"GET"})
"""Methods that change nothing."""
METHODS: Final = SAFE | {"POST"}
_FRAMED: Final = frozenset({"iframe", "frame", "object", "embed"})
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'nonce-{nonce}'",
        "style-src 'nonce-{nonce}'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
"""The content security policy of pages: nothing but our own files, each named by the page's nonce."""
FRAME: Final = "/viewer-frame"
"""The one page that stands in a frame: software of others shows itself there, and can do nothing else."""
FRAMING: Final = re.compile(r"/running/[A-Za-z0-9_-]{1,64}")
"""The pages that have that frame, and no other one."""
FRAME_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        # The nonce is our own script's. Software runs in a worker of a blob, which inherits this policy: it is sent
        # nothing, loads nothing, and may compile WebAssembly.
        "script-src 'nonce-{nonce}' 'wasm-unsafe-eval'",
        "worker-src blob:",
        "form-action 'none'",
        "frame-ancestors 'self'",
        "base-uri 'none'",
        # Also where somebody opens its address by itself: an origin of its own, which has no cookie and no storage.
        "sandbox allow-scripts",
    )
)
"""The content security policy of FRAME, and of whatever runs in it."""
_FRAME_HEADERS: Final = {
    # No connection at all, also of the kinds that a content security policy doesn't know: preconnect, DNS prefetch and
    # WebRTC (WICG Connection Allowlists; a browser that doesn't know it relies on the worker alone).
    "connection-allowlist": "()",
    "x-dns-prefetch-control": "off",
    "x-frame-options": "SAMEORIGIN",
}
HEADERS: Final = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Not `no-referrer`: with that a browser says `Origin: null` where a form is sent to its own origin.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""What every answer says."""


@dataclass(frozen=True)
class Origin:
    """Where this portal is."""

    scheme: str
    host: str
    """With the port, unless it is the scheme's usual one, as browsers write it."""

    @classmethod
    def of(cls, name: str, port: int, *, tls: bool = False) -> Origin:
        """Return the origin of a name and a port."""
        usual = 443 if tls else 80
        return cls("https" if tls else "http", name if port == usual else f"{name}:{port}")

    def __str__(self) -> str:
        """Return it as browsers send it."""
        return f"{self.scheme}://{self.host}"

    @property
    def secure(self) -> bool:
        """Whether it has TLS."""
        return self.scheme == "https"

    @property
    def cookie(self) -> str:
        """What the session's cookie is called: cookies don't tell ports apart, so the name does."""
        port = self.host.rpartition(":")[2]
        # The prefix lets a browser take it from this very host with TLS only.
        return "__Host-panachain" if self.secure else f"panachain-{port if port.isdigit() else '80'}"


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: Any, *, origin: Origin, desk: Desk, polls: Collection[str] = ()) -> None:
        """Take where the portal is, its sessions, and what paths begin with that pages ask for by themselves."""
        self._app = app
        self._origin = origin
        self._desk = desk
        self._polls = tuple(polls)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            # The start and the end of the process; there are no web sockets.
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        nonce = secrets.token_urlsafe(16)
        state = scope.setdefault("state", {})
        state["nonce"], state["origin"], state["desk"] = nonce, self._origin, self._desk
        refused = self._refusal(scope, headers)
        session = None if refused else self._session(scope, headers)
        state["session"] = session
        language = (session.language if session else "") or i18n.accepted(headers.get("accept-language", ""))

        async def answer(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self._finish(MutableHeaders(scope=message), nonce, scope["path"])
                self._set_cookie(scope, session, MutableHeaders(scope=message))
            await send(message)

        with i18n.speaking(language):
            app = self._app if refused is None else PlainTextResponse(refused[1], refused[0])
            await app(scope, receive, answer)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Return status and reason if a request isn't answered, whoever sent it."""
        hosts = headers.getlist("host")
        if hosts != [self._origin.host]:
            return 421, "This isn't the name of this portal."
        if len(headers.raw) > MOST_HEADERS or len(scope.get("query_string", b"")) > MOST_QUERY:
            return 431, "The request has too many headers, or too long a query."
        if scope["method"] not in METHODS:
            return 405, "Pages are asked for with GET, and forms sent with POST."
        site, destination = headers.get("sec-fetch-site", ""), headers.get("sec-fetch-dest", "")
        navigates = headers.get("sec-fetch-mode", "") == "navigate" and destination == "document"
        origins = headers.getlist("origin")
        if scope["method"] not in SAFE:
            # A browser says of each form whence it comes. Whoever says nothing is none, or hides it.
            if origins != [str(self._origin)] or site not in ("", "same-origin"):
                return 403, "The request comes from another page than this portal's own."
        elif origins and origins != [str(self._origin)]:
            return 403, "The request comes from another page than this portal's own."
        elif site in ("cross-site", "same-site") and not navigates:
            return 403, "Other pages can link to this portal, and show nothing of it."
        if destination in _FRAMED and site != "same-origin":
            return 403, "Other pages can't show this portal in a frame."
        # Whoever doesn't say what is asked for keeps the frame's page apart all the same: its policy has `sandbox`.
        alone = {"iframe", ""} if scope["path"] == FRAME else {destination} - _FRAMED
        if destination not in alone:
            return 403, "One page of this portal stands in a frame, and nowhere else."
        return None

    def _session(self, scope: Scope, headers: Headers) -> Session | None:
        named = [
            value
            for line in headers.getlist("cookie")
            for name, _, value in (part.strip().partition("=") for part in line.split(";"))
            if name == self._origin.cookie
        ]
        # Two of one name: somebody else has put one there, and which counts can't be told.
        if len(named) != 1:
            return None
        asked_by_itself = scope["path"].startswith(self._polls) if self._polls else False
        return self._desk.find(named[0], use=not asked_by_itself)

    def _finish(self, headers: MutableHeaders, nonce: str, path: str) -> None:
        static = headers.get("cache-control", "").startswith("public")
        for name, value in HEADERS.items():
            if not (name == "cache-control" and static):
                headers[name] = value
        # By the path and by nothing that a page says: none of them could bring a laxer one.
        policy = FRAME_POLICY if path == FRAME else POLICY
        if path == FRAME:
            for name, value in _FRAME_HEADERS.items():
                headers[name] = value
        elif FRAMING.fullmatch(path):
            # It also stops the frame from going anywhere else.
            policy += f"; frame-src {self._origin}{FRAME}"
        headers["content-security-policy"] = policy.format(nonce=nonce)
        if self._origin.secure:
            headers["strict-transport-security"] = "max-age=31536000"

    def _set_cookie(self, scope: Scope, before: Session | None, headers: MutableHeaders) -> None:
        """Let the browser know the session's name, where it is a new one."""
        session: Session | None = scope["state"].get("session")
        if session is None or (session is before and session.told):
            return
        secure = "; Secure" if self._origin.secure else ""
        headers.append("set-cookie", f"{self._origin.cookie}={session.name}; Path=/; HttpOnly; SameSite=Strict{secure}")
