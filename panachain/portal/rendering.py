"""Pages: templates with what each of them needs, the filters of their values, and confirmations.

What others wrote is escaped wherever it stands, and cleaned as on the command line. Follows docs/spec/portal.md,
sections "Pages" and "Confirmations".
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from panachain.cli import output, words
from panachain.errors import PanaChainError
from panachain.plain import clean, line
from panachain.portal import i18n, labels
from panachain.portal.desk import Seat, Session
from panachain.portal.forms import TOKEN, Form
from panachain.portal.i18n import N_, gettext
from panachain.portal.jobs import Job
from panachain.portal.refusals import RefusedError, is_said
from panachain.portal.sentences import sentence_of, step_after

HERE: Final = Path(__file__).parent
VALID: Final = 900
"""Seconds for which a confirmation counts after it was shown."""
_SPENT: Final = 256
"""Confirmations of a session that are remembered as used."""
CONFIRMATION, SHOWN, AT = "confirmation", "confirmation_shown", "confirmation_at"
"""Fields of a confirmed form: the MAC, the sentences that were shown, and when."""
_OWN: Final = frozenset({CONFIRMATION, SHOWN, AT, TOKEN})

MOMENT, DAY = N_("d MMM y, HH:mm"), N_("d MMM y")
"""How a moment and a day are written, in the letters of Unicode's UTS 35: each language has an order of its own."""
_Filter = TypeVar("_Filter", bound=Callable[..., Any])
_URL: Final = re.compile(
    r"""([a-z][a-z0-9+.-]*://)(?:[^\s/?\#]*@)?([^\s/?\#,;'"<>@]+)((?:[/?\#](?:(?![,;](?:\s|$)|,[a-z][a-z0-9+.-]*://)[^\s'"<>])*)?)""",
    re.IGNORECASE,
)
"""Scheme, host with port, and all that follows; in a list, or a sentence, to the comma."""
FILTERS: Final[dict[str, Callable[..., Any]]] = {}


def filter_(function: _Filter) -> _Filter:
    """Let templates call a function by its name without the underscore at its end."""
    FILTERS[function.__name__.rstrip("_")] = function
    return function


@cache
def environment() -> Environment:
    """Return what makes pages of templates."""
    made = Environment(
        # The viewer's, which `open` uses without a portal, are found by their names below `viewer/`.
        loader=FileSystemLoader([HERE / "templates", HERE.parent]),
        autoescape=True,
        undefined=StrictUndefined,
        # Else a filter of a constant would be called once, in the language of whoever came first.
        optimized=False,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["ext.i18n.trimmed"] = True
    made.install_gettext_callables(  # type: ignore[attr-defined]
        # The values of messages are put in by Jinja2, which escapes them.
        lambda text: i18n.template(text),
        i18n.plural,
        newstyle=True,
    )
    made.filters |= FILTERS
    made.globals |= {"static": static_path, "languages": i18n.languages, "language_name": i18n.name_of}
    return made


@cache
def static_path(name: str) -> str:
    """Return the path of one of our own files, which changes with its content."""
    digest = hashlib.sha256((HERE / "static" / name).read_bytes()).hexdigest()[:16]
    return f"/static/{name}?{digest}"


def render(request: Request, template: str, /, status: int = 200, **values: Any) -> Response:
    """Return a page.

    Args:
        request: whose session, language and path count.
        template: its name below `templates`.
        status: of HTTP.
        values: for the template. `title` is the page's name.
    """
    session: Session | None = request.state.session
    seat = session.seat if session else None
    shared = {
        "nonce": request.state.nonce,
        "csrf_token": session.csrf if session else "",
        "seat": seat,
        "locks_after": math.ceil(request.state.desk.idle) if seat else 0,
        "under_way": seat.jobs.running if seat else (),
        "path": request.url.path,
        "query": dict(request.query_params),
        "language": i18n.current(),
        "navigation": request.app.state.navigation(seat.role) if seat else (),
    }
    return HTMLResponse(environment().get_template(template).render(shared | values), status)


def to(where: Job | str) -> Response:
    """Send the browser on: to a path of this portal, or to the page of a piece of work."""
    path = f"/jobs/{where.name}" if isinstance(where, Job) else where
    if not own_path(path):
        raise ValueError("a path of this portal begins with one slash")
    return RedirectResponse(path, 303)


def to_opened(name: str) -> Response:
    """Send the browser to what `seat.openings.add` returned the name of."""
    return to(f"/opened/{name}")


def own_path(path: str) -> bool:
    """Tell whether a path leads to this portal, whatever a browser makes of it."""
    return path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()


def confirm(
    request: Request,
    *,
    title: str,
    sentences: Sequence[str],
    fields: Mapping[str, str | Sequence[str]],
    button: str,
    danger: bool = False,
    back: str = "/",
) -> Response:
    """Return the page that says what an action does, and whose button does exactly that.

    Args:
        request: the form's; the button posts to the same path.
        title: the action, such as "Revoke".
        sentences: what it does, each a sentence.
        fields: what the button sends.
        button: what it is called.
        danger: whether what it does can't be taken back.
        back: where the other button leads.
    """
    session: Session = request.state.session
    shown = json.dumps([title, *sentences])
    at = str(int(time.time()))
    listed = [(name, value) for name, of in fields.items() for value in ([of] if isinstance(of, str) else of)]
    mac = session.token(b"confirm", _confirmed_bytes(request.url.path, shown, at, listed))
    hidden = [*listed, (SHOWN, shown), (AT, at), (CONFIRMATION, mac)]
    return render(
        request,
        "confirm.html",
        title=title,
        sentences=sentences,
        hidden=hidden,
        button=button,
        danger=danger,
        back=back if own_path(back) else "/",
    )


def confirmed(request: Request, form: Form) -> bool:
    """Tell whether a form is the answer to a confirmation of this session: of exactly what was shown, and the first.

    Raises:
        RefusedError: it claims to be one, and isn't.
    """
    if CONFIRMATION not in form:
        return False
    session: Session = request.state.session
    listed = [(name, value) for name in form if name not in _OWN for value in form.all(name)]
    mac, at = form[CONFIRMATION], form[AT]
    expected = session.token(b"confirm", _confirmed_bytes(request.url.path, form[SHOWN], at, listed))
    if not hmac.compare_digest(mac.encode(), expected.encode()):
        raise RefusedError(
            400,
            gettext(N_("What was sent isn't what the confirmation showed. Nothing was done.")),
            hint=gettext(N_("Begin again, and read what the confirmation says.")),
        )
    if mac in session.spent or not -VALID <= time.time() - int(at) <= VALID:
        raise RefusedError(
            409,
            gettext(N_("This confirmation was used already, or is too old. Nothing was done now.")),
            hint=gettext(N_("Begin again.")),
        )
    session.spent[mac] = None
    while len(session.spent) > _SPENT:
        session.spent.popitem(last=False)
    return True


def _confirmed_bytes(path: str, shown: str, at: str, fields: Sequence[tuple[str, str]]) -> bytes:
    # Fields in the order of their names, as a form may come in another one; the values of one name keep theirs.
    return json.dumps([path, shown, at, sorted(fields, key=lambda field: field[0])]).encode()


@filter_
def when(value: object) -> Markup | str:
    """Return a moment of this machine's time zone, with its distance from now as a title; `-` for none."""
    return _time(value, gettext(MOMENT))


@filter_
def day(value: object) -> Markup | str:
    """Return the day of a moment."""
    return _time(value, gettext(DAY))


def moment(seconds: int) -> str:
    """Return a moment of this machine's time zone, for a sentence.

    Raises:
        ValueError, OverflowError, OSError: no calendar has it.
    """
    return _local(seconds, gettext(MOMENT))


def _local(seconds: float, pattern: str) -> str:
    from babel.dates import format_datetime

    local = datetime.fromtimestamp(seconds).astimezone()
    return str(format_datetime(local, pattern, locale=i18n.current()))


def _time(value: object, pattern: str) -> Markup | str:
    from babel.dates import format_timedelta

    seconds = words.moment(value)
    if seconds is None:
        return words.ABSENT
    try:
        told = _local(seconds, pattern)
    except (ValueError, OverflowError, OSError):
        return str(seconds)
    apart = format_timedelta(int(seconds - time.time()), add_direction=True, locale=i18n.current())
    return Markup('<time datetime="{}" title="{}">{}</time>').format(words.iso(seconds), apart, told)


@filter_
@pass_context
def who(context: Context, address: object) -> Markup:
    """Return what this machine calls an address, with the address as a title."""
    seat: Seat | None = context.get("seat")
    text = line(str(address or ""))
    name = line(seat.names.of(text)) if seat and text else text
    shown = words.short(name) if name == text else name
    return Markup('<bdi class="who" title="{}">{}</bdi>').format(text, shown or words.ABSENT)


@filter_
def category(value: object) -> str:
    """Return what a category, or the scope of a lane, is called."""
    return labels.label(labels.CATEGORIES, value)


@filter_
def purpose(value: object) -> str:
    """Return what a purpose is called."""
    return labels.label(labels.PURPOSES, value)


@filter_
def state(value: object) -> str:
    """Return what a state is called."""
    return labels.label(labels.STATES, value)


@filter_
def role(value: object) -> str:
    """Return what a role is called."""
    return labels.label(labels.ROLES, value)


@filter_
def unit(value: object) -> str:
    """Return what a unit of progress is called."""
    return labels.label(labels.UNITS, value)


@filter_
def kind(value: object) -> str:
    """Return what files of a media type are called."""
    return labels.label(labels.FILES, value)


@filter_
def size(value: object) -> str:
    """Return a number of bytes as people read it."""
    from babel.numbers import format_decimal

    amount, _, of = words.size(int(str(value))).partition(" ")
    return f"{format_decimal(float(amount), locale=i18n.current())} {of}"


@filter_
def number(value: object) -> str:
    """Return a number with the marks of thousands that its readers expect."""
    from babel.numbers import format_decimal

    return str(format_decimal(int(str(value)), locale=i18n.current()))


@filter_
def short(value: object) -> str:
    """Return the beginning of an identifier."""
    return words.short(line(str(value)))


@filter_
def clean_(value: object) -> str:
    """Return a text of somebody else without what could deceive its readers."""
    return clean(str(value))


@filter_
def hosts(value: object) -> str:
    """Return a text with no more of each URL than its scheme, host and port: the rest can be somebody's key."""
    return _URL.sub(lambda found: f"{found[1]}{found[2]}" + ("/…" if len(found[3]) > 1 else ""), str(value))


@filter_
def lead(error: PanaChainError) -> str:
    """Return what an error means, in the reader's language: its own message where that is the reader's."""
    return _own(error) if _is_read(error) else sentence_of(error)


@filter_
def detail(error: PanaChainError) -> str:
    """Return the SDK's message where `lead` says it more generally, in English; else nothing."""
    return "" if _is_read(error) else _own(error)


@filter_
def step(error: PanaChainError) -> str:
    """Return what to do next, in the reader's language."""
    # The usual hint of a kind of error is English, whoever said its message.
    own = i18n.current() == i18n.SOURCE or (is_said(error) and error.hint != error.usual_hint)
    return clean(hosts(output.typed(error.hint))) if own and error.hint else step_after(error)


def _is_read(error: PanaChainError) -> bool:
    return is_said(error) or i18n.current() == i18n.SOURCE


def _own(error: PanaChainError) -> str:
    return clean(hosts(output.typed(str(error))))


@filter_
@pass_context
def typed(context: Context, command: object, *, anybody: bool = False) -> str:
    """Return a command as it is typed here: by what this machine starts it, and for the profile of whoever sits here.

    With `anybody` it is somebody else who types it.
    """
    seat: Seat | None = None if anybody else context.get("seat")
    return output.typed(str(command), profile=line(seat.profile.name) if seat else "")


@filter_
def paragraphs(value: object) -> Markup:
    """Return a text of somebody else with its line ends."""
    return Markup("<br>").join(escape(part) for part in clean(str(value)).split("\n"))
