"""A SMART Health Link as text: read from others, written for others.

Never in a log, an argument or a `repr`: whoever has a link has its key. Reads what is unusual (properties and flags
that are new, an address of a viewer before it), and refuses what it would misread. Follows HL7's SMART Health Cards and
Links 1.0.0, section "Construct a SMART Health Link Payload", and docs/spec/sharing.md.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from panachain.crypto import jwe
from panachain.errors import InputError, UsageError
from panachain.plain import line
from panachain.wire.json_text import read_json

SCHEME: Final = "shlink:/"
MAX_TEXT: Final = 4096
"""Characters of a link, its viewer's address included."""
MAX_URL: Final = 128
"""Characters of the address that is written into one; others may have up to `_MAX_READ_URL`."""
MAX_LABEL: Final = 80
"""Characters of a label; what is longer is cut."""
LONG_TERM: Final = "L"
"""The files may change: whoever has the link may look again."""
PASSCODE: Final = "P"
DIRECT: Final = "U"
"""The address gives the only file itself, by GET, and no manifest."""
FLAGS: Final = frozenset((LONG_TERM, PASSCODE, DIRECT))
SUMMARY: Final = "application/fhir+json"
"""Content type of FHIR resources and Bundles."""
CARD: Final = "application/smart-health-card"
_MAX_READ_URL: Final = 1024
_LATEST: Final = 1 << 48
"""Unix seconds; what is later is never."""
_URL: Final = re.compile(r"https?://[!-~]+", re.ASCII)
_HINT: Final = "take the whole link, from shlink:/ or from its viewer's https:// on"


@dataclass(frozen=True)
class Link:
    """What a link says."""

    url: str = field(repr=False)
    """Of the manifest, or of the file itself."""
    key: bytes = field(repr=False)
    """32 bytes that open each file."""
    flags: frozenset[str] = frozenset()
    """Of `FLAGS`."""
    label: str = ""
    expires_at: int | None = None
    """Unix seconds from which on it is over, as far as the link itself tells; None where it tells nothing."""

    def text(self, viewer: str = "") -> str:
        """Return the link.

        Args:
            viewer: address of a web page that shows it; empty for the bare link.

        Raises:
            UsageError: the address is longer than a link's may be, the flags contradict each other, or the viewer's
                address isn't https.
        """
        if len(self.url) > MAX_URL:
            raise UsageError(f"the link's address has {len(self.url)} characters, at most {MAX_URL} are allowed")
        if {PASSCODE, DIRECT} <= self.flags:
            raise UsageError("a link to a file itself has no passcode: there is nobody to ask for it")
        fields: dict[str, Any] = {"url": self.url}
        if self.expires_at is not None:
            fields["exp"] = self.expires_at
        if self.flags:
            fields["flag"] = "".join(sorted(self.flags))
        if self.label:
            fields["label"] = self.label[:MAX_LABEL]
        fields["key"] = jwe.encode(self.key)
        bare = SCHEME + jwe.encode(json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode())
        if not viewer:
            return bare
        if not re.fullmatch(r"https://[!-~]{1,200}", viewer) or "#" in viewer:
            raise UsageError("a viewer's address is https://…, without a #")
        return f"{viewer}#{bare}"


def read_link(text: str) -> Link:
    """Return what a link says.

    Raises:
        InputError: it is none, or of a version that isn't known here; no part of it is in the message.
    """
    text = text.strip()
    if len(text) > MAX_TEXT:
        raise InputError(f"a link of {len(text)} characters, where at most {MAX_TEXT} are read", hint=_HINT)
    viewer, found, payload = text.rpartition(SCHEME)
    if not found or (viewer and not (viewer.endswith("#") and _URL.fullmatch(viewer))):
        raise InputError("this is no SMART Health Link", hint=_HINT)
    try:
        fields = read_json(jwe.decode(payload), depth=8, values=256)
    except ValueError:
        # Without its cause, which may quote the key.
        raise InputError("the link isn't whole, or a character of it was changed", hint=_HINT) from None
    if not isinstance(fields, dict):
        raise InputError("the link isn't whole, or a character of it was changed", hint=_HINT)
    version = fields.get("v", 1)
    if isinstance(version, bool) or version != 1:
        raise InputError("the link is of a version that is newer than this program", hint="ask for one of version 1")
    flags = fields.get("flag", "")
    if not isinstance(flags, str):
        raise InputError("the link's flags can't be read", hint=_HINT)
    # Others may be ignored, says the specification: what can't be gets another version.
    known = FLAGS & set(flags)
    if {PASSCODE, DIRECT} <= known:
        raise InputError("the link wants a passcode and has nobody to ask for it; it was made wrongly")
    return Link(_url(fields.get("url")), _key(fields.get("key")), known, _label(fields), _end(fields.get("exp")))


def _url(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MAX_READ_URL or not _URL.fullmatch(value) or "#" in value:
        raise InputError("the link's address isn't one of http or https", hint=_HINT)
    return value


def _key(value: object) -> bytes:
    try:
        key = jwe.decode(value) if isinstance(value, str) and len(value) == 43 else b""
    except ValueError:
        key = b""
    if len(key) != jwe.KEY_SIZE:
        raise InputError("the link holds no key of 32 bytes", hint=_HINT)
    return key


def _label(fields: dict[str, Any]) -> str:
    label = fields.get("label", "")
    return line(label)[:MAX_LABEL].rstrip() if isinstance(label, str) else ""


def _end(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise InputError("the link's end is no time", hint=_HINT)
    return min(int(value), _LATEST)
