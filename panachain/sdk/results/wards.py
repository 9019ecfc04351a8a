"""A wardship: who acts for whom, in what, until when; and what was done in it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from panachain.model.actors import Address, Role
from panachain.sdk.results.people import People
from panachain.sdk.times import iso


@dataclass(frozen=True)
class WardshipView:
    """A wardship, as the sidechain has it, with the papers for those to whom they are sealed.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     patient.wards.all()
        []
    """

    number: int
    state: str
    """`proposed`, `accepted`, `in force`, `over` or `ended`."""
    ward: Address
    carer: Address
    account: Address
    """Through which the carer acts."""
    acts_in: tuple[str, ...]
    """Categories in which the carer acts now; none unless it is in force."""
    keeps: tuple[str, ...]
    """Categories of the proposal that the ward keeps to themselves from `keeps_from` on."""
    keeps_from: int
    """Unix seconds, inclusive."""
    ends_at: int
    """Unix seconds, exclusive."""
    started_at: int = 0
    """Unix seconds; 0 before the registrar attested it."""
    ended_at: int = 0
    """Unix seconds; 0 without an early end."""
    papers: str = ""
    """What the papers say, in words; empty for who can't read it."""
    handover: str = ""
    """For the ward: `good`, or why they couldn't take over with it; empty for everybody else."""
    ward_name: str = field(default="", compare=False)
    """What the reader of this result calls the ward (sdk/names.py): for people; a program takes `ward`."""
    carer_name: str = field(default="", compare=False)

    def strangers(self) -> tuple[str, ...]:
        """Return whose name a registry has to be asked for: a carer may be of any role."""
        return (self.carer,)

    def named(self, names: People) -> WardshipView:
        """Return the view with names for its people."""
        return replace(self, ward_name=names.of(self.ward, Role.PATIENT), carer_name=names.of(self.carer))

    def to_json(self) -> dict[str, object]:
        """Return the wardship as JSON, schema `panachain/wardship/1`."""
        return {
            "schema": "panachain/wardship/1",
            "id": self.number,
            "state": self.state,
            "ward": self.ward,
            "carer": self.carer,
            "account": self.account,
            "acts_in": list(self.acts_in),
            "keeps": list(self.keeps),
            "keeps_from": iso(self.keeps_from) if self.keeps and self.keeps_from else "",
            "ends_at": iso(self.ends_at),
            "started_at": iso(self.started_at) if self.started_at else "",
            "ended_at": iso(self.ended_at) if self.ended_at else "",
            "papers": self.papers,
            "handover": self.handover,
        }


@dataclass(frozen=True)
class WardAct:
    """One thing that was done in a wardship, as the chains have it.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     [act for one in patient.wards.all() for act in patient.wards.acts(one)]
        []
    """

    at: int
    """Unix seconds of its block."""
    by: Address
    """The carer, the registrar, or whoever concluded the wardship; the account itself for what it did after the end."""
    ward: Address
    what: str
    """Such as `paired`, `unpaired`, `approved`, `denied`, `granted`, `revoked`, `accepted`, `started`, `ended`."""
    about: str = ""
    """A hospital's or grantee's account, or the number of a request."""
    detail: str = ""
    """What was granted, or until when."""
    by_name: str = field(default="", compare=False)
    """What the reader of this result calls who did it: for people; a program takes `by`."""
    ward_name: str = field(default="", compare=False)
    about_name: str = field(default="", compare=False)

    def strangers(self) -> tuple[str, ...]:
        """Return whose names a registry has to be asked for."""
        return tuple(one for one in (self.by, self.about) if one.startswith("0x"))

    def named(self, names: People) -> WardAct:
        """Return the act with names for its people."""
        about = names.of(self.about) if self.about.startswith("0x") else self.about
        ward = names.of(self.ward, Role.PATIENT)
        return replace(self, by_name=names.of(self.by), ward_name=ward, about_name=about)

    def to_json(self) -> dict[str, object]:
        """Return the act as JSON, schema `panachain/ward-act/1`."""
        return {
            "schema": "panachain/ward-act/1",
            "at": iso(self.at),
            "by": self.by,
            "ward": self.ward,
            "what": self.what,
            "about": self.about,
            "detail": self.detail,
        }
