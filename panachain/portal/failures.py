"""What becomes of an error: a page that says what failed, what state was left, and what to do next.

Says what the command line says, and never a traceback. Follows docs/spec/cli.md (exit codes) and RFC 9110 section 15.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response

from panachain import errors
from panachain.errors import PanaChainError, PartlyDoneError
from panachain.portal.i18n import N_, gettext
from panachain.portal.rendering import render

STATUSES: Final[Mapping[type[PanaChainError], int]] = {
    errors.PartlyDoneError: 200,
    errors.UnknownActorError: 404,
    errors.UsageError: 400,
    errors.LockedError: 403,
    errors.AccessDeniedError: 403,
    errors.IntegrityError: 502,
    errors.TooLargeError: 413,
    errors.RateLimitedError: 429,
    errors.UnavailableError: 503,
    errors.DiskError: 507,
}
"""HTTP status of each kind of error; the first that fits counts, others are 500."""


def failure(request: Request, error: PanaChainError, *, left: str = "", **values: Any) -> Response:
    """Return the page of an error: what failed, what state was left, and what to do next.

    Args:
        request: that failed.
        error: why.
        left: which state it left, in a sentence; empty for the usual words.
        values: further ones for the template.
    """
    early = isinstance(error, errors.UsageError | errors.LockedError | errors.AccessDeniedError)
    partly = isinstance(error, PartlyDoneError)
    if not left:
        if early or request.method == "GET":
            left = gettext(N_("Nothing was changed."))
        elif not partly:
            left = gettext(N_("What was done before stays done; the same again does nothing twice."))
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)
    return render(
        request,
        "error.html",
        status,
        title=gettext(N_("Done in part")) if partly else gettext(N_("This didn't work")),
        error=error,
        left=left,
        omissions=error.omissions if isinstance(error, PartlyDoneError) else (),
        **values,
    )
