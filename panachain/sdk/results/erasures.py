"""What is erased, what was asked to be, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from panachain.errors import Omission
from panachain.model.actors import Address, PolicyId
from panachain.sdk.times import iso


@dataclass(frozen=True)
class ErasureView:
    """A record that is erased, or that its patient asked to have erased.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     {one.state for one in patient.erasures.all().records} <= {"asked", "erased", "attested", "refused"}
        True
    """

    record_id: str
    """CID of the header that it has, or had last."""
    hospital: Address
    patient: Address
    category: str
    year: int
    state: str
    """`asked`, `refused`, `erased` (its hospital says so), `attested` (its hospital looked for it and found nothing any
    more), or `lapsed`: it was sealed anew since it was asked for, so that it must be asked for again."""
    at: int = 0
    """When its hospital said the last of that: Unix seconds, by the hospital's clock; 0 if it said nothing yet."""
    why: str = ""
    """Why the hospital refuses."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/erasure/1`."""
        return {
            "schema": "panachain/erasure/1",
            "id": self.record_id,
            "hospital": self.hospital,
            "patient": self.patient,
            "category": self.category,
            "year": self.year,
            "state": self.state,
            "at": iso(self.at) if self.at else None,
            "why": self.why,
        }


@dataclass(frozen=True)
class Erasures:
    """What is erased or asked for, and what of it couldn't be read.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     len(hospital.erasures.asked().omissions)
        0
    """

    records: tuple[ErasureView, ...]
    omissions: tuple[Omission, ...] = ()
    """Lanes, pairings and orders that couldn't be read: what they say is missing here."""
    idle: tuple[PolicyId, ...] = ()
    """For a patient who had something erased: policies in whose lanes nothing is left. Proxies keep their shares until
    they are revoked (`drop_shares`)."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/erasures/1`."""
        return {
            "schema": "panachain/erasures/1",
            "records": [one.to_json() for one in self.records],
            "omissions": [omission.to_json() for omission in self.omissions],
            "idle": list(self.idle),
        }


@dataclass(frozen=True)
class DroppedShares:
    """Policies that were ended because nothing was left in their lanes, and what proxies deleted of them.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     patient.erasures.drop_shares().policies
        ()
    """

    policies: tuple[PolicyId, ...]
    shares: int = 0
    """Kfrags whose deletion the proxies' logs say, when they were asked for it afterwards."""
    omissions: tuple[Omission, ...] = ()
    """Proxies that may still have theirs."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/dropped-shares/1`."""
        return {
            "schema": "panachain/dropped-shares/1",
            "policies": list(self.policies),
            "shares": self.shares,
            "omissions": [omission.to_json() for omission in self.omissions],
        }


@dataclass(frozen=True)
class AskErasureReport:
    """What a patient asked hospitals to erase; it is gone once they did.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     record = next(one for one in patient.records() if one.info.category.value == "laboratory")
        ...     report = patient.erasures.ask([record.info.header_cid])
        >>> [one.state for one in report.asked]
        ['asked']
    """

    asked: tuple[ErasureView, ...]
    omissions: tuple[Omission, ...] = ()
    """Records that couldn't be asked for; all others were."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/ask-erasure/1`."""
        return {
            "schema": "panachain/ask-erasure/1",
            "asked": [one.to_json() for one in self.asked],
            "omissions": [omission.to_json() for omission in self.omissions],
        }


@dataclass(frozen=True)
class EraseReport:
    """What a hospital erased, and attested on chain.

    Examples:
        >>> with connect("clinic", role="hospital") as hospital:
        ...     report = hospital.erasures.follow()
        >>> {one.state for one in report.erased} <= {"attested"}
        True
    """

    erased: tuple[ErasureView, ...]
    """Those of which this run found that they are gone, also of runs that were interrupted."""
    blocks: int = 0
    """How many blocks were deleted and looked for."""
    stores: int = 0
    """In how many stores."""
    transactions: tuple[str, ...] = ()
    """Hashes of the storage transactions, oldest first."""
    kept: int = 0
    """Records beside them that got new headers, since they lay in the same envelopes."""
    omissions: tuple[Omission, ...] = ()
    """What couldn't be erased, or couldn't be looked for: nothing is attested of it."""
    notices: tuple[Omission, ...] = ()
    """What else is to be done by people."""

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON, schema `panachain/erase/1`."""
        return {
            "schema": "panachain/erase/1",
            "erased": [one.to_json() for one in self.erased],
            "blocks": self.blocks,
            "stores": self.stores,
            "transactions": list(self.transactions),
            "kept": self.kept,
            "omissions": [omission.to_json() for omission in self.omissions],
            "notices": [notice.to_json() for notice in self.notices],
        }
