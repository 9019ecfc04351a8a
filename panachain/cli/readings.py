"""How a reading is told in a line: how it ended, by how many proxies, and whether one of them was late.

Pure. Follows docs/spec/cli.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from panachain.cli import words


def reading_words(reading: Mapping[str, object]) -> str:
    """Return what happened in a reading: how it ended, by how many proxies, and whether one of them was late."""
    proxies = words.count(len(_several(reading.get("proxies"))), "proxy")
    if not reading.get("permitted"):
        return f"was refused by {proxies}"
    if late := len(_several(reading.get("late"))):
        return f"read after the end: {words.count(late, 'proxy')} served too late"
    amount = reading.get("envelopes")
    read = f"read {words.count(amount, 'part')}" if isinstance(amount, int) and amount else "read"
    # No policy has a threshold below two: what one proxy says alone opened nothing, or the others keep silent.
    return f"{read}, says one proxy alone" if len(_several(reading.get("proxies"))) == 1 else read


def _several(value: object) -> Sequence[object]:
    return list(value) if isinstance(value, list | tuple | dict) else ()
