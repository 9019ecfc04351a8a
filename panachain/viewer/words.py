"""The viewer's languages: messages are English, and a file for each further language translates them.

A message without a translation is shown in English. A further language is one file beside this module
(`locale/LANGUAGE.po`), which is read as it is. Follows GNU gettext's format of PO files.
"""

from __future__ import annotations

import gettext
import io
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Final

SOURCE: Final = "en"
"""The language that messages are written in."""
LANGUAGES: Final = (SOURCE, "de")


def N_(message: str) -> str:  # noqa: N802  # The name that gettext's programs look for.
    """Return the message as it is; it is translated where it is shown."""
    return message


@cache
def translations(language: str) -> gettext.NullTranslations:
    """Return what translates into a language; of one that nobody translated to, English."""
    if language not in LANGUAGES or language == SOURCE:
        return gettext.NullTranslations()
    return compiled([files("panachain.viewer").joinpath("locale", f"{language}.po").read_bytes()], language)


def compiled(sources: Iterable[bytes], language: str) -> gettext.GNUTranslations:
    """Return what several PO files translate together; what their writers marked as fuzzy isn't among it."""
    # Imported here: pages in English need none of it.
    from babel.messages.catalog import Catalog
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    together = Catalog(locale=language)
    for source in sources:
        for message in read_po(io.BytesIO(source), locale=language):
            if message.id and message.string and not message.fuzzy:
                together.add(message.id, message.string, context=message.context)
    made = io.BytesIO()
    write_mo(made, together)
    made.seek(0)
    return gettext.GNUTranslations(made)
