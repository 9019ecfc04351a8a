"""What a reader opened, as their own machine remembers it: kept sealed beside the profile, newest last.

The patient's log is what counts, and only the patient can read it; this is the reader's own memory of the same. It can
be lost, and then is lost: nothing depends on it. Never holds a record, or what one tells. Follows docs/spec/cli.md,
section "State on disk".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from panachain.crypto.keys import Seed
from panachain.model.actors import Address, PolicyId
from panachain.sdk.kept import Kept
from panachain.sdk.results.records import OwnReading

MOST: Final = 1000
"""Openings that are remembered; the oldest ones go first."""
_VERSION: Final = 1


class OwnReadings:
    """The openings of one reader."""

    def __init__(self, profile: Path, seed: Seed) -> None:
        """Take the reader's profile folder and seed; nothing is read yet."""
        self._kept = Kept(profile, seed, "readings")

    def all(self) -> list[OwnReading]:
        """Return them, oldest first."""
        content = self._kept.read()
        try:
            return [_read(one) for one in content["readings"]] if content["v"] == _VERSION else []
        except (TypeError, KeyError, ValueError, AttributeError):
            return []

    def begin(self, reading: OwnReading) -> None:
        """Remember that an opening was begun: from then on proxies may sign something of it."""
        self._write([*self.all(), reading])

    def end(self, begun: OwnReading, ended: OwnReading) -> None:
        """Remember what came of an opening in place of its beginning."""
        known = self.all()
        # The newest that is like it: two of the same second are as good as each other.
        places = [place for place, one in enumerate(known) if one == begun]
        if places:
            del known[places[-1]]
        self._write([*known, ended])

    def _write(self, readings: Sequence[OwnReading]) -> None:
        self._kept.write({"v": _VERSION, "readings": [_fields(one) for one in readings[-MOST:]]})


def _fields(reading: OwnReading) -> dict[str, Any]:
    fields = asdict(reading) | {"categories": list(reading.categories), "years": list(reading.years)}
    del fields["patient_name"]
    return fields


def _read(fields: Mapping[str, Any]) -> OwnReading:
    return OwnReading(
        policy_id=PolicyId(str(fields["policy_id"])),
        patient=Address(str(fields["patient"])),
        purpose=str(fields["purpose"]),
        at=int(fields["at"]),
        records=int(fields["records"]),
        left_out=int(fields["left_out"]),
        categories=tuple(map(str, fields["categories"])),
        years=tuple(map(int, fields["years"])),
    )
