"""What a reader opened, as their own machine remembers it: kept sealed beside the profile, a file for each year.

The patient's log is what counts, and only the patient can read it; this is the reader's own memory of the same, with
the places in the proxies' logs where what they signed stands (sdk/own_shares.py). It can be lost, and then is lost:
nothing depends on it. Never holds a record, or what one tells. Follows docs/spec/cli.md, section "State on disk".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from panachain.crypto.keys import Seed
from panachain.ethereum import parse_address
from panachain.model.actors import Address, PolicyId
from panachain.model.sizes import HASH_SIZE
from panachain.sdk.kept import Kept, kept_names
from panachain.sdk.results.records import OwnReading, OwnReceipt

MOST: Final = 5000
"""Openings of one year that are remembered; the oldest ones go first, and how many is remembered too."""
MOST_RECEIPTS: Final = 200
"""Receipts of one opening that are remembered: those of so many proxies, lanes and hospitals are proof enough."""
_EARLIER: Final = "readings"
"""The file of programs that knew no years."""
_VERSION: Final = 1
_MALFORMED: Final = (TypeError, KeyError, ValueError, AttributeError)
_LATEST: Final = 253_402_300_800
"""The year 10000, Unix seconds: calendars end there."""
_MOST_WORDS: Final = 200
"""Categories or years of one opening."""
_WORD: Final = 64
"""Characters of a category or a purpose."""


class OwnReadings:
    """The openings of one reader."""

    def __init__(self, profile: Path, seed: Seed) -> None:
        """Take the reader's profile folder and seed; nothing is read yet."""
        self._profile = profile
        self._seed = seed

    def all(self) -> list[OwnReading]:
        """Return them, oldest first."""
        names = kept_names(self._profile, _EARLIER)
        # The earlier file's name is the beginning of all others, and is the first.
        return [one for name in names for one in self._read(name)[0]]

    def dropped(self, year: int) -> int:
        """Return how many openings of a year aren't remembered any more, because there were too many."""
        return self._read(f"{_EARLIER}-{year}")[1]

    def begin(self, reading: OwnReading) -> None:
        """Remember that an opening was begun: from then on proxies may sign something of it."""
        name = _name(reading)
        known, dropped = self._read(name)
        self._write(name, [*known, reading], dropped)

    def end(self, begun: OwnReading, ended: OwnReading) -> None:
        """Remember what came of an opening in place of its beginning."""
        name = _name(begun)
        known, dropped = self._read(name)
        # The newest that is like it: two of the same second are as good as each other.
        places = [place for place, one in enumerate(known) if one == begun]
        if places:
            del known[places[-1]]
        self._write(name, [*known, ended], dropped)

    def _read(self, name: str) -> tuple[list[OwnReading], int]:
        content = Kept(self._profile, self._seed, name).read()
        try:
            if content["v"] != _VERSION:
                return [], 0
            return [read_reading(one) for one in content["readings"]], int(content.get("dropped", 0))
        except _MALFORMED:
            return [], 0

    def _write(self, name: str, readings: Sequence[OwnReading], dropped: int) -> None:
        dropped += max(len(readings) - MOST, 0)
        fields = [_fields(one) for one in readings[-MOST:]]
        Kept(self._profile, self._seed, name).write({"v": _VERSION, "readings": fields, "dropped": dropped})


def _name(reading: OwnReading) -> str:
    return f"{_EARLIER}-{datetime.fromtimestamp(reading.at, UTC).year}"


def _fields(reading: OwnReading) -> dict[str, Any]:
    fields = asdict(replace(reading, receipts=())) | {
        "categories": list(reading.categories),
        "years": list(reading.years),
        "receipts": [[bytes.fromhex(one.proxy[2:]), one.sequence, one.leaf] for one in reading.receipts],
    }
    del fields["patient_name"]
    return fields


def read_reading(fields: Mapping[str, Any]) -> OwnReading:
    """Return an opening from what was kept, or from a share that somebody handed in.

    Raises:
        TypeError, KeyError, ValueError: it is none.
    """
    categories, years, receipts = fields["categories"], fields["years"], fields.get("receipts", ())
    if max(len(categories), len(years)) > _MOST_WORDS or len(receipts) > MOST_RECEIPTS:
        raise ValueError("more than an opening has")
    return OwnReading(
        policy_id=PolicyId(str(fields["policy_id"])),
        patient=Address(str(fields["patient"])),
        purpose=_word(fields["purpose"]),
        at=read_time(fields["at"]),
        records=read_number(fields["records"]),
        left_out=read_number(fields["left_out"]),
        categories=tuple(map(_word, categories)),
        years=tuple(map(read_number, years)),
        receipts=tuple(_receipt(*row) for row in receipts),
    )


def read_number(value: Any) -> int:
    """Return a number of 0 to 2^48 - 1.

    Raises:
        ValueError: it is none.
    """
    if type(value) is not int or not 0 <= value < 1 << 48:
        raise ValueError("no number")
    return value


def read_time(value: Any) -> int:
    """Return a time that calendars have, Unix seconds.

    Raises:
        ValueError: it is none.
    """
    if read_number(value) >= _LATEST:
        raise ValueError("no time")
    return int(value)


def _word(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _WORD:
        raise ValueError("no word")
    return value


def _receipt(proxy: bytes, sequence: int, leaf: bytes) -> OwnReceipt:
    if len(leaf) != HASH_SIZE or read_number(sequence) < 1:
        raise ValueError("no place in a log")
    return OwnReceipt(parse_address(f"0x{proxy.hex()}"), sequence, bytes(leaf))
