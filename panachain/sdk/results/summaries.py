"""A patient summary as the SDK returns it: the document, and what it leaves out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from panachain.errors import Omission


@dataclass(frozen=True)
class PatientSummary:
    """An International Patient Summary (FHIR R4), made of opened records by this program; nobody attested it.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     summary = patient.records().summary(now=datetime.now(UTC).timestamp())
        >>> summary.sections["allergies"], summary.document["type"]
        (1, 'document')
    """

    content: bytes = field(repr=False)
    """The document, JSON in UTF-8: plaintext, for the same eyes as the records."""
    sections: Mapping[str, int]
    """By section how many statements it holds."""
    records: int
    """Records that were looked at."""
    hospitals: int
    merged: int = 0
    """Statements that several records make in the same words, and that stand there once."""
    withheld: tuple[str, ...] = ()
    """Categories that may hold something that isn't there: not granted, or closed by rule."""
    others: int = 0
    """Records that aren't FHIR, of which nothing is there."""
    differs: bool = False
    """Whether the records say of different persons that they are about them."""
    omissions: tuple[Omission, ...] = ()
    """Records that couldn't be opened or read."""

    @property
    def document(self) -> dict[str, Any]:
        """The document as Python values; decimals are floats, so programs that keep digits read `content`."""
        made: dict[str, Any] = json.loads(self.content)
        return made

    def to_json(self) -> dict[str, object]:
        """Return what is known of it as JSON, schema `panachain/summary/1`, without the document."""
        return {
            "schema": "panachain/summary/1",
            "size": len(self.content),
            "sections": dict(self.sections),
            "records": self.records,
            "hospitals": self.hospitals,
            "merged": self.merged,
            "withheld": list(self.withheld),
            "others": self.others,
            "differs": self.differs,
            "omissions": [omission.to_json() for omission in self.omissions],
        }
