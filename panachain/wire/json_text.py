"""JSON of others: no deeper, no larger once it is read, and no other than what two parsers agree on.

Total: raises what it says and nothing else, whatever the bytes are. NaN, Infinity, numbers beyond those of doubles and
names given twice are refused (security rule 13). Follows RFC 8259, and RFC 7493 (I-JSON) for names and numbers.
"""

from __future__ import annotations

import json
import math
import re
import sys
from itertools import accumulate
from typing import Any, Final, NoReturn

from panachain.errors import IntegrityError

MAX_DEPTH: Final = 32
"""Levels of lists and objects; what the services answer has fewer than ten."""
MAX_VALUES: Final = 1 << 16
"""Values of one text where no other limit is given."""
_SAFE_DEPTH: Final = 1 << 14
"""Levels that a parser in C survives. Python's own limit guards it by default, but other packages raise that."""
# Possessive: a string of any length is crossed without one state for each of its characters.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NOT_STRUCTURE: Final = bytes(set(range(256)) - set(b"[]{}"))
_CONTAINERS: Final = frozenset((dict, list))
"""The very types that the parser makes."""
_STEP: Final = [1 if byte in b"[{" else -1 for byte in range(256)]


def read_json(content: bytes, *, depth: int = MAX_DEPTH, values: int = MAX_VALUES) -> Any:
    """Return the value of a JSON text whose size in bytes the caller has bounded.

    Args:
        content: the text, in UTF-8.
        depth: levels that it may have.
        values: that it may have; they bound the memory that it takes, some 200 bytes each beside the text's own.

    Raises:
        ValueError: it is no such text; the message tells nothing of it.
        IntegrityError: it may have more values than `values`.
    """
    brackets = content.count(b"[") + content.count(b"{")
    # Counted before anything is read, and with what stands in strings: `[],[],` takes forty times its size in memory.
    count = brackets + content.count(b",")
    if count > values:
        raise IntegrityError(f"a JSON text of {count} values, where at most {values} are read")
    if brackets > _SAFE_DEPTH < sys.getrecursionlimit():
        structure = _STRING.sub(b"", content).translate(None, _NOT_STRUCTURE)
        if max(accumulate(map(_STEP.__getitem__, structure)), default=0) > depth:
            raise ValueError(f"JSON of more than {depth} levels")
    try:
        value = json.loads(content, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        # Without its cause: the parser's message quotes what it read.
        raise ValueError("no JSON, or not as others would read it") from None
    if brackets > depth:
        _check_depth(value, depth)
    return value


def _check_depth(value: Any, depth: int) -> None:
    # Level by level and not by recursion. What the parser itself survives is deeper than what others would.
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(depth):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in _CONTAINERS
        ]
        if not level:
            return
    raise ValueError(f"JSON of more than {depth} levels")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number beyond those of doubles")
    return value
