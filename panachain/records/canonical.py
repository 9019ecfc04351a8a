"""Canonical JSON that keeps each decimal's literal text: FHIR's 1.10 is not 1.1.

Total and bounded: refuses what two parsers could read differently (NaN, doubled keys) and what could exhaust one
(depth). Follows RFC 8785 (sorted keys, no blanks) but for numbers, which FHIR R4 section 2.24.0.1 wants unchanged.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from panachain.errors import InputError

MAX_DEPTH: Final = 200
"""Nesting; FHIR's deepest official example has 17 levels."""
_MARK: Final = "\x00"
"""Stands before a decimal's literal while it is held as text; FHIR and we allow no NUL in any string."""
_MARKED: Final = re.compile(r'"\\u0000([^"]*)"')


def parse(content: bytes) -> Any:
    """Return the value of a JSON text; decimals are held as marked text, see `dump`.

    Raises:
        InputError: not JSON in UTF-8, NaN or Infinity, a doubled key, a NUL, or too deep.
    """
    if rb"\u0000" in content:
        raise InputError("JSON with a NUL character in a string is refused")
    _check_depth(content)
    try:
        return json.loads(
            content.decode("utf-8-sig"),
            parse_float=_literal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_pairs,
        )
    except UnicodeDecodeError:
        raise InputError("not UTF-8") from None
    except (ValueError, RecursionError) as exc:
        # The message gives line and column, never content.
        raise InputError(f"not JSON: {exc}") from None


def dump(value: Any, *, sort: bool) -> bytes:
    """Return a parsed value as JSON without blanks, decimals as they were written.

    Args:
        value: from `parse`.
        sort: sort the keys (canonical), or keep their order.
    """
    text = json.dumps(value, sort_keys=sort, separators=(",", ":"), ensure_ascii=False)
    # ensure_ascii=False still escapes control characters, so the mark is found in its escaped form.
    return _MARKED.sub(r"\1", text).encode("utf-8", "surrogatepass")


def canonical(content: bytes) -> bytes:
    """Return the canonical form of a JSON text."""
    return dump(parse(content), sort=True)


def resources(content: bytes) -> list[bytes]:
    """Return the canonical form of each resource in a Bundle, or of the single resource that it is."""
    value = parse(content)
    if isinstance(value, dict) and value.get("resourceType") == "Bundle":
        return [
            dump(entry["resource"], sort=True)
            for entry in value.get("entry", [])
            if isinstance(entry, dict) and "resource" in entry
        ]
    return [dump(value, sort=True)]


def _literal(text: str) -> str:
    return _MARK + text


def _refuse_constant(name: str) -> NoReturn:
    raise InputError(f"JSON doesn't know {name}")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise InputError("a JSON object has a doubled key")
    return result


_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_BRACKET: Final = bytes(set(range(256)) - set(b"[]{}"))


def _check_depth(content: bytes) -> None:
    depth = 0
    for byte in _STRING.sub(b"", content).translate(None, _NOT_BRACKET):
        depth += 1 if byte in b"[{" else -1
        if depth > MAX_DEPTH:
            raise InputError(f"JSON nested deeper than {MAX_DEPTH}")
