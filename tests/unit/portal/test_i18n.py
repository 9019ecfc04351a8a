"""Languages: which one counts, and that every message is there in each of them."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.extract import extract
from babel.messages.pofile import read_po

import panachain
from panachain.portal import i18n
from panachain.portal.i18n import accepted, gettext, languages, name_of, ngettext, speaking

PACKAGE = Path(panachain.__file__).parent
KEYWORDS = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2), "i18n.ngettext": (1, 2)}
OPTIONS = {"trimmed": "true", "silent": "false"}


def messages() -> Iterator[tuple[str, str | tuple[str, ...]]]:
    """Yield each message of the portal and the viewer, with the file that has it."""
    for folder in (PACKAGE / "portal", PACKAGE / "viewer"):
        for path in sorted(folder.rglob("*")):
            method = {".py": "python", ".html": "jinja2.ext:babel_extract"}.get(path.suffix)
            if method:
                for _, message, _, _ in extract(method, BytesIO(path.read_bytes()), KEYWORDS, options=OPTIONS):
                    if message:
                        yield path.relative_to(PACKAGE).as_posix(), message


def known(language: str, part: str = "portal") -> dict[str, object]:
    """Return the messages that a language has in the portal or the viewer, by the English one or its singular."""
    found: dict[str, object] = {}
    # The viewer also stands without a portal, so it has messages of its own.
    files = {"portal": sorted((i18n.LOCALE / f"{language}.d").glob("*.po"))}
    files["viewer"] = [PACKAGE / "viewer" / "locale" / f"{language}.po"]
    for path in files[part]:
        for message in read_po(BytesIO(path.read_bytes()), locale=language):
            if message.id and not message.fuzzy:
                found[message.id[0] if isinstance(message.id, tuple) else message.id] = message.string
    return found


def test_there_are_messages() -> None:
    assert len(set(messages())) > 150


@pytest.mark.parametrize("language", [one for one in languages() if one != i18n.SOURCE])
def test_every_message_is_in_every_language(language: str) -> None:
    has = {part: known(language, part) for part in ("portal", "viewer")}
    missing = []
    for place, message in messages():
        first = message[0] if isinstance(message, tuple) else message
        told = has[place.partition("/")[0]].get(first)
        whole = all(told) if isinstance(told, tuple | list) else told
        if not whole:
            missing.append(f"{place}: {first}")
    assert not missing, "\n" + "\n".join(missing)


@pytest.mark.parametrize("language", [one for one in languages() if one != i18n.SOURCE])
def test_no_message_loses_a_value(language: str) -> None:
    for path in sorted((i18n.LOCALE / f"{language}.d").glob("*.po")):
        for message in read_po(BytesIO(path.read_bytes()), locale=language):
            for error in message.check():
                raise AssertionError(f"{path.name}: {message.id!r}: {error}")


@pytest.mark.parametrize("language", [one for one in languages() if one != i18n.SOURCE])
def test_no_message_is_translated_twice_in_two_ways(language: str) -> None:
    told: dict[object, object] = {}
    for path in sorted((i18n.LOCALE / f"{language}.d").glob("*.po")):
        for message in read_po(BytesIO(path.read_bytes()), locale=language):
            if message.id:
                assert told.setdefault(message.id, message.string) == message.string, (path.name, message.id)


def test_the_browsers_first_language_that_there_is_counts() -> None:
    assert accepted("de-AT,de;q=0.9,en;q=0.8") == "de"
    assert accepted("fr,en;q=0.5,de;q=0.7") == "de"
    assert accepted("en-GB") == "en"
    for odd in ("", "fr", "*", "de;q=x", "q=1;;,,", ",".join(["xx"] * 500) + ",de"):
        assert accepted(odd) == "en"


def test_messages_have_their_values_and_their_plurals() -> None:
    assert gettext("%(who)s was registered.", who="x") == "x was registered."
    assert ngettext("%(num)d check, all is well.", "%(num)d checks, all is well.", 1) == "1 check, all is well."
    with speaking("de"):
        assert gettext("Who I am") != "Who I am"
        assert "2" in ngettext("%(num)d check, all is well.", "%(num)d checks, all is well.", 2)
    with speaking("tlh"):
        assert i18n.current() == "en"
    assert [name_of(one) for one in ("de", "en")] == ["Deutsch", "English"]
