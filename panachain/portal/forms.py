"""Forms: read whole and bounded, and only when they come from a page of the same session.

Follows the URL standard's `application/x-www-form-urlencoded`, and docs/spec/portal.md, section "Who may ask". Origin
and Fetch Metadata were looked at before (security.py).
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.requests import ClientDisconnect

from panachain.portal.desk import Session
from panachain.portal.i18n import N_, gettext
from panachain.portal.refusals import LockedPageError, RefusedError

MOST: Final = 262_144
"""Bytes of a form; what is larger is an upload, and read otherwise."""
FIELDS: Final = 2_000
"""Fields of a form."""
_SECONDS: Final = 20.0
"""In which a form must arrive."""
TOKEN: Final = "csrf"  # noqa: S105 - the name of a field.
"""The field, or the header `x-csrf`, with the session's token."""


class Form:
    """The fields of a form."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        """Take names and values in their order."""
        self._fields: dict[str, list[str]] = {}
        for name, value in fields:
            self._fields.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> str:
        """Return a field that has one value.

        Raises:
            RefusedError: it isn't there, or has several.
        """
        values = self._fields.get(name, [])
        if len(values) != 1:
            raise RefusedError(400, gettext(N_("The form lacks a field, or has it twice: %(name)s"), name=name[:64]))
        return values[0]

    def get(self, name: str, default: str = "") -> str:
        """Return a field that has at most one value; raises as `form[name]` where it has several."""
        return self[name] if name in self._fields else default

    def all(self, name: str) -> list[str]:
        """Return all values of a field, in their order."""
        return list(self._fields.get(name, ()))

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)


async def checked_form(request: Request) -> Form:
    """Return a request's form, for FastAPI's `Depends`.

    Raises:
        RefusedError: it isn't from a page of this session, is too large or too slow, or no form.
        LockedPageError: there is no session.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise RefusedError(415, gettext(N_("This isn't a form.")))
    body = await read_body(request)
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=FIELDS)
    except ValueError:
        raise RefusedError(400, gettext(N_("This form can't be read."))) from None
    form = Form([(name, value.replace("\r\n", "\n")) for name, value in fields])
    check_token(request, "".join(form.all(TOKEN)))
    return form


def check_token(request: Request, token: str) -> None:
    """Check that a form, or an upload, comes from a page of this session.

    Args:
        request: whose session it is.
        token: what the field or the header said.

    Raises:
        RefusedError: it has another token.
        LockedPageError: there is no session.
    """
    session: Session | None = request.state.session
    if session is None:
        raise LockedPageError
    if not hmac.compare_digest(token.encode(), session.csrf.encode()):
        raise RefusedError(
            403,
            gettext(N_("The form is from another session, or was opened before this one began.")),
            hint=gettext(N_("Open the page again, and send the form once more. Nothing was changed.")),
        )


async def read_body(request: Request, *, most: int = MOST) -> bytes:
    """Return a body that arrives in time, and nothing of one that is too large.

    Args:
        request: whose body it is.
        most: bytes that it may have.

    Raises:
        RefusedError: it is larger, too slow, or not whole.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > most:
        raise _too_large(most)
    body = bytearray()
    try:
        async with asyncio.timeout(_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > most:
                    raise _too_large(most)
    except TimeoutError:
        raise RefusedError(408, gettext(N_("The form didn't arrive in time."))) from None
    except ClientDisconnect:
        raise RefusedError(400, gettext(N_("The form didn't arrive whole."))) from None
    return bytes(body)


def _too_large(most: int) -> RefusedError:
    return RefusedError(413, gettext(N_("The form is larger than %(most)d bytes."), most=most))
