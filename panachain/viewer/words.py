"""The viewer's languages: messages are English, and a file for each further language translates them.

A message without a translation is shown in English. A further language is one file beside this module
(`locale/LANGUAGE.po`), which is read as it is. Follows GNU gettext's format of PO files.
"""

from __future__ import annotations

import gettext
import io
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
    # Imported here: pages in English need none of it.
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    source = files("panachain.viewer").joinpath("locale", f"{language}.po").read_bytes()
    compiled = io.BytesIO()
    write_mo(compiled, read_po(io.BytesIO(source), locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
