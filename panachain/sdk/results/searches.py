"""What a search found, and what was checked for it.

Holds no word that was looked for and no key. Follows docs/spec/search.md.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime

from panachain.errors import Omission
from panachain.model.actors import Address
from panachain.sdk.times import iso, utc


@dataclass(frozen=True)
class FoundRecord:
    """A record that has what was looked for; nothing of it was opened.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     found = patient.records().search("glucose").records[0]
        >>> found.category, found.year, found.entries
        ('laboratory', 2024, 1)
    """

    record_id: str
    """CID of its header."""
    hospital: Address
    category: str
    year: int
    """0 for one without a date."""
    media_type: str
    size: int
    """Bytes of the plaintext, before attachments are put back."""
    stored_at: int
    """When the hospital stored it, Unix seconds."""
    entries: int
    """How many of its entries have all that was looked for, and count now."""
    values: tuple[str, ...] = ()
    """The numbers that were found, each with its unit as it is written."""

    @property
    def when(self) -> datetime:
        """When the hospital stored it, in UTC."""
        return utc(self.stored_at)

    def to_json(self) -> dict[str, object]:
        """Return the record as JSON, schema `panachain/found-record/1`."""
        said = {**asdict(self), "values": list(self.values), "stored_at": iso(self.stored_at)}
        return {"schema": "panachain/found-record/1", **said}


@dataclass(frozen=True)
class SearchProof:
    """What was checked at one hospital: nothing that it published up to now was left out.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     result = patient.records().search("glucose")
        >>> max(proof.transactions for proof in result.proofs) > 0
        True
    """

    hospital: Address
    transactions: int
    """Storage transactions of it that the chain has."""
    manifest: str
    """CID of the newest one's manifest, which the chain names; empty if there is none."""
    envelopes: int
    """How many envelopes in the lanes that were searched are whole."""
    records: int
    """How many records they hold."""
    mute: int = 0
    """How many of these have no words: nothing is written in them, such as in an image, they are too long, or they were
    published before there were lists of words."""

    def to_json(self) -> dict[str, object]:
        """Return the proof as JSON, schema `panachain/search-proof/1`."""
        return {"schema": "panachain/search-proof/1", **asdict(self)}


@dataclass(frozen=True)
class SearchResult:
    """What a search found at all hospitals.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     result = patient.records().search("glucose")
        >>> len(result.records), result.total, result.omissions
        (1, 1, ())
    """

    records: tuple[FoundRecord, ...]
    """The newest first, at most as many as were asked for."""
    total: int
    """How many there are."""
    proofs: tuple[SearchProof, ...] = field(default=())
    omissions: tuple[Omission, ...] = field(default=())
    """What couldn't be searched, each with the reason."""
    notices: tuple[Omission, ...] = field(default=())

    @property
    def mute(self) -> int:
        """How many records have no words that could be searched, at all hospitals together."""
        return sum(proof.mute for proof in self.proofs)

    def to_json(self) -> dict[str, object]:
        """Return the result as JSON, schema `panachain/search-result/1`."""
        return {
            "schema": "panachain/search-result/1",
            "records": [record.to_json() for record in self.records],
            "total": self.total,
            "proofs": [proof.to_json() for proof in self.proofs],
            "omissions": [omission.to_json() for omission in self.omissions],
            "notices": [omission.to_json() for omission in self.notices],
        }
