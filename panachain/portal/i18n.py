"""Languages of the portal: which one a request has, and its messages, read from `.po` files when they are first needed.

A language is one folder, `locale/LANGUAGE.d`, of `.po` files that are read together; nothing is compiled beforehand,
and English, the language of the sources, needs none. Follows GNU gettext's format of messages and RFC 9110 section
12.5.4 (`Accept-Language`).
"""

from __future__ import annotations

import gettext as catalogs
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Final

from panachain.cli.output import launcher, typed
from panachain.viewer.words import compiled

LOCALE: Final = Path(__file__).parent / "locale"
SOURCE: Final = "en"
"""The language that messages are written in."""
_MOST: Final = 20
"""Languages of an `Accept-Language` header that are looked at."""

_language: ContextVar[str] = ContextVar("language", default=SOURCE)


@cache
def languages() -> tuple[str, ...]:
    """Return the codes of the languages that there are, English first."""
    return (SOURCE, *sorted(path.name.removesuffix(".d") for path in LOCALE.glob("*.d") if path.is_dir()))


@cache
def name_of(language: str) -> str:
    """Return what a language is called by those who speak it."""
    # Imported here, as below: English needs it for dates only.
    from babel import Locale

    return str(Locale.parse(language).get_display_name(language) or language).capitalize()


def current() -> str:
    """Return the code of the language of this request."""
    return _language.get()


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Let every message be in a language; one that isn't there is English."""
    token = _language.set(language if language in languages() else SOURCE)
    try:
        yield
    finally:
        _language.reset(token)


def accepted(header: str) -> str:
    """Return the language that a browser's `Accept-Language` prefers of those that there are."""
    wanted: list[tuple[float, str]] = []
    for part in header.split(",")[:_MOST]:
        tag, _, quality = part.strip().partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=") or "1")
        except ValueError:
            continue
        wanted.append((-weight, tag.partition("-")[0].lower()))
    # A sort that keeps the order of equal ones: the first counts.
    return next((tag for weight, tag in sorted(wanted, key=lambda one: one[0]) if tag in languages()), SOURCE)


@cache
def _catalog(language: str) -> catalogs.NullTranslations:
    if language == SOURCE:
        return catalogs.NullTranslations()
    return compiled([path.read_bytes() for path in sorted((LOCALE / f"{language}.d").glob("*.po"))], language)


def template(message: str) -> str:
    """Return a message in the language of this request, into which whoever asks puts its values.

    Commands in it are as they are typed here: in a checkout with `./pana`.
    """
    found = _catalog(_language.get()).gettext(message)
    return typed(found, by=launcher().replace("%", "%%"))


def gettext(message: str, **values: object) -> str:
    """Return a message in the language of this request, with its values: `gettext("%(count)d hospitals", count=2)`."""
    return template(message) % values if values else typed(_catalog(_language.get()).gettext(message))


def plural(one: str, many: str, number: int) -> str:
    """Return the form of a message for a number, whose values whoever asks puts in."""
    return _catalog(_language.get()).ngettext(one, many, number)


def ngettext(one: str, many: str, number: int, **values: object) -> str:
    """Return the form of a message for a number, which it can name as `%(num)d`."""
    return plural(one, many, number) % {"num": number, **values}


def N_(message: str) -> str:  # noqa: N802 - the name by which gettext's tools know it.
    """Mark a message that is translated when it is shown, and return it as it is."""
    return message


_ = gettext
"""As gettext's tools know it."""
