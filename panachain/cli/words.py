"""How the command line writes values for people: local times, distances, short IDs, sizes, purposes, categories.

Never writes what a program reads: `--json` and CSV keep RFC 3339 times and whole identifiers. Pure, but for the
machine's time zone. Follows docs/spec/cli.md, section "Output".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from panachain.model.scope import UNDATED
from panachain.plain import clean as clean
from panachain.plain import count as count
from panachain.plain import line as line
from panachain.plain import were as were

if TYPE_CHECKING:
    from panachain.sdk.results.guardians import RecoveryView

ABSENT: Final = "-"
"""What stands for a value that there isn't."""

PURPOSES: Final[Mapping[str, str]] = {
    "TREAT": "treatment",
    "ETREAT": "emergency treatment",
    "HPAYMT": "payment",
    "HOPERAT": "operations",
    "HRESCH": "research",
    "PATRQT": "patient request",
    "PUBHLTH": "public health",
    "FAMRQT": "family request",
}
"""HL7 v3 PurposeOfUse → the word in lists."""

SCOPES: Final[Mapping[str, str]] = {
    "all": "everything but what is restricted",
    "emergency": "the emergency summary",
}
"""Scopes that aren't categories."""

STATES: Final[Mapping[str, str]] = {"not_yet": "not yet", "reencrypted": "read", "denied": "refused"}
"""Words of the formats that people read otherwise."""

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""English, whatever the machine's locale is: the rest of the output is English too."""

_UNITS: Final = (("year", 31_557_600, 2), ("month", 2_629_800, 2), ("day", 86_400, 2), ("hour", 3600, 1))
"""Unit, its seconds, and from how many on a distance is told in it."""

_ADDRESS: Final = 10
"""Characters of an address or a policy ID that are shown: `0x` and 32 bits."""
_CID: Final = 16
"""Characters of a CID that are shown; the first seven tell its kind only."""
_FILES: Final = 10
"""Files that a text names."""


def files(named: Sequence[tuple[str, str]]) -> str:
    """Return files as a text names them, each a path and what it is: the first few, and how many more there are."""
    told = ", ".join(f"{path} ({what})" for path, what in named[:_FILES])
    return f"{told} and {len(named) - _FILES} more" if len(named) > _FILES else told


def moment(value: object) -> int | None:
    """Return Unix seconds of a number or of RFC 3339 text; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(datetime.fromisoformat(value).timestamp())
        except (ValueError, OverflowError):
            return None
    return None


def when(seconds: int) -> str:
    """Return a time of this machine's time zone, such as `28 Nov 2026, 19:10`."""
    try:
        local = datetime.fromtimestamp(seconds).astimezone()
    except (ValueError, OverflowError, OSError):
        return str(seconds)
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}, {local:%H:%M}"


def iso(seconds: int) -> str:
    """Return Unix seconds as UTC in RFC 3339, or the number when no calendar has it."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def distance(seconds: float, now: float) -> str:
    """Return how far a time is from now: `in 29 days`, `3 hours ago`, `now`."""
    apart = abs(seconds - now)
    for unit, length, least in _UNITS:
        if round(apart / length) >= least:
            told = count(round(apart / length), unit)
            break
    else:
        if apart < 60:
            return "now"
        told = count(round(apart / 60), "minute")
    return f"in {told}" if seconds > now else f"{told} ago"


def after(seconds: int) -> str:
    """Return how long somebody waits: `at once`, `after 2 days`, `after 90 seconds`."""
    if not seconds:
        return "at once"
    for size, noun in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds % size == 0:
            return f"after {count(seconds // size, noun)}"
    return f"after {count(seconds, 'second')}"


def size(amount: int) -> str:
    """Return a number of bytes as people read it."""
    left = float(amount)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if left < 1024:
            return f"{left:.0f} {unit}" if unit == "B" else f"{left:.1f} {unit}"
        left /= 1024
    return f"{left:.1f} TiB"


def short(identifier: str) -> str:
    """Return the beginning of an address, a policy ID, a hash or a CID, which commands take as input too."""
    keep = _ADDRESS if identifier.startswith("0x") else _CID
    return identifier if len(identifier) <= keep + 4 else identifier[:keep]


def purpose(code: str) -> str:
    """Return the word for a purpose's code."""
    return PURPOSES.get(code, line(code))


def years(known: Iterable[int]) -> str:
    """Return years with runs joined, such as `2019-2021, 2024`; records without a date come last."""
    every = set(known)
    ordered = sorted(every - {UNDATED})
    runs: list[list[int]] = []
    for year in ordered:
        if runs and runs[-1][1] == year - 1:
            runs[-1][1] = year
        else:
            runs.append([year, year])
    parts = [str(first) if first == last else f"{first}-{last}" for first, last in runs]
    return ", ".join(parts + (["undated"] if UNDATED in every else []))


def scopes(texts: Sequence[str]) -> str:
    """Return lanes' scopes by category, those of the same years together: `laboratory, vitals (2020-2024)`."""
    found: dict[str, set[int] | None] = {}
    for text in texts:
        name, slash, year = text.partition("/")
        if not slash or found.get(name, set()) is None or not year.isdigit():
            found[name] = None
        else:
            found[name] = (found.get(name) or set()) | {int(year)}
    groups: dict[str, list[str]] = {}
    for name, of in found.items():
        groups.setdefault("" if of is None else f" ({years(of)})", []).append(SCOPES.get(name, line(name)))
    return "; ".join(f"{', '.join(names)}{of}" for of, names in groups.items()) or ABSENT


def moving(one: RecoveryView) -> str:
    """Return what guardians began, and how it is stopped, in words."""
    said = count(len(one.approved_by), "guardian")
    if one.is_open:
        return (
            f"{said} began to move {one.patient} to {one.successor}, which takes it over from"
            f" {when(one.ready_at)} on: if you didn't ask for it, `panachain recovery veto` stops it"
        )
    return (
        f"{said} spoke for moving {one.patient} to {one.successor}: if you didn't ask for it,"
        " `panachain recovery veto` stops it"
    )
