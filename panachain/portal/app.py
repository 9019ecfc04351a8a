"""The application: routes of all pages, our own files, and what becomes of errors.

Never shows a traceback, and never an address of another host. Follows docs/spec/portal.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

from panachain import errors
from panachain.errors import PanaChainError
from panachain.portal import pages
from panachain.portal.desk import Desk
from panachain.portal.failures import failure
from panachain.portal.guesses import Guesses
from panachain.portal.i18n import N_, gettext
from panachain.portal.refusals import LockedPageError, RefusedError
from panachain.portal.rendering import HERE, own_path, render, to
from panachain.portal.security import Guard, Receive, Scope, Send
from panachain.portal.site import Site
from panachain.portal.staging import sweep_all

_LOG: Final = logging.getLogger(__name__)
FILES: Final = {
    "portal.css": "text/css; charset=utf-8",
    "portal.js": "text/javascript; charset=utf-8",
    "passkeys.js": "text/javascript; charset=utf-8",
    "upload.js": "text/javascript; charset=utf-8",
    "running.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""Our own files, by name; nothing else is read from the folder."""


def create_app(site: Site, desk: Desk | None = None) -> FastAPI:
    """Return the portal of a site.

    Args:
        site: where it is, and whose profiles it unlocks.
        desk: its sessions; None makes some.
    """
    desk = desk or Desk(idle=site.idle)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # What a portal left that was killed, before anybody is let in.
        sweep_all(site.home)
        watching = asyncio.create_task(desk.watch())
        try:
            yield
        finally:
            watching.cancel()
            desk.close()

    app = FastAPI(title="PanaChain", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.site, app.state.guesses = site, Guesses(site.guesses)
    # Here, since pages render and know the registry, which knows the pages.
    app.state.navigation = pages.navigation
    for module in pages.modules():
        app.include_router(module.router)
    app.add_api_route("/static/{name}", _static, methods=["GET"])
    for kind, handler in (
        (PanaChainError, _failed),
        (RefusedError, _refused),
        (LockedPageError, _locked),
        (HTTPException, _http),
        (RequestValidationError, _misread),
        (OSError, _disk),
    ):
        app.add_exception_handler(kind, handler)
    app.add_middleware(cast(Any, LastDefence), show=site.debug)
    # Added last, so it stands around all others: what they answer goes through it too.
    app.add_middleware(cast(Any, Guard), origin=site.origin, desk=desk, polls=("/jobs/",))
    return app


async def _static(name: str) -> Response:
    if name not in FILES:
        raise HTTPException(404)
    # Its address has its hash, and it holds nothing of anybody.
    return FileResponse(
        HERE / "static" / name, media_type=FILES[name], headers={"cache-control": "public, max-age=31536000, immutable"}
    )


async def _failed(request: Request, error: Exception) -> Response:
    return failure(request, cast(PanaChainError, error))


async def _refused(request: Request, error: Exception) -> Response:
    refused = cast(RefusedError, error)
    return render(
        request, "refused.html", refused.status, title=gettext(N_("Refused")), why=refused.why, hint=refused.hint
    )


async def _locked(request: Request, _: Exception) -> Response:
    if request.state.session is None:
        return to("/")
    path = request.url.path
    wanted = request.method == "GET" and own_path(path) and not path.startswith("/jobs/")
    return to(f"/unlock?next={path}" if wanted and path != "/" and path.isascii() else "/unlock")


async def _http(request: Request, error: Exception) -> Response:
    status = cast(HTTPException, error).status_code
    why = {
        404: gettext(N_("There is no such page.")),
        405: gettext(N_("This page isn't asked for in this way.")),
    }.get(status, gettext(N_("The request can't be answered.")))
    return render(request, "refused.html", status, title=gettext(N_("Refused")), why=why, hint="")


async def _disk(request: Request, error: Exception) -> Response:
    reason = cast(OSError, error).strerror or type(error).__name__
    return failure(request, errors.DiskError(f"the disk refuses: {reason}"))


async def _misread(request: Request, _: Exception) -> Response:
    return await _refused(request, RefusedError(400, gettext(N_("The address of this page has a part that is none."))))


class LastDefence:
    """ASGI middleware: no traceback reaches a user, whatever happens."""

    def __init__(self, app: Any, *, show: bool) -> None:
        """Take the application, and whether a test wants to see what happened."""
        self._app, self._show = app, show

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer what nobody foresaw."""
        begun = False

        async def note(message: Any) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception as exc:
            if self._show or begun or scope["type"] != "http":
                raise
            # Only its type: an unforeseen message could hold what must not be shown.
            name = type(exc).__name__
            _LOG.error("unforeseen %s at %s", name, scope["path"])
            error = PanaChainError(f"unforeseen {name}", hint="do it again, and report it")
            await failure(Request(scope, receive), error)(scope, receive, send)
