"""What the viewer is given: opened records with where they come from, and what an opening left out.

Never opens anything itself: a record's bytes are asked for when they are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from panachain.errors import PanaChainError
from panachain.model.records import RecordInfo

MOST_BYTES: Final = 64 << 20
"""Bytes of a record that is looked into; a larger one is named, and can be had as a file."""


@dataclass(frozen=True)
class Item:
    """One opened record."""

    number: int
    """Its place among the records, from 1."""
    media_type: str
    category: str
    """The word for it, such as `laboratory`."""
    year: int
    """0 where it bears no date."""
    hospital: str
    """Address of who published it."""
    hospital_name: str = ""
    """What it is called; empty where nobody named it."""
    stored_at: int = 0
    """Unix seconds, by the hospital's clock."""
    size: int = 0
    """Bytes."""
    read: Callable[[], bytes] = field(default=bytes, repr=False)
    """Gives its plaintext."""
    file: str = ""
    """Name of the file beside the page that holds it; empty where there is none."""
    states: Mapping[str, str] = field(default_factory=dict)
    """Type and id of a resource in it that doesn't count any more → why: `superseded`, `in_error`, `deleted`."""
    also_from: tuple[str, ...] = ()
    """Other hospitals that published some of the same."""
    named: Callable[[str], str] = field(default=str, repr=False, compare=False)
    """Gives what an address is called."""

    @property
    def content(self) -> bytes:
        """The plaintext; nothing of a record that is larger than MOST_BYTES."""
        return self.read() if self.size <= MOST_BYTES else b""

    @property
    def is_too_large(self) -> bool:
        """Whether it is larger than what is looked into."""
        return self.size > MOST_BYTES

    @property
    def source(self) -> str:
        """What its hospital is called, or the hospital's address."""
        return self.hospital_name or self.hospital


@dataclass(frozen=True)
class Withdrawn:
    """A record that its hospital withdrew."""

    hospital: str
    category: str
    year: int
    withdrawn_at: int
    """Unix seconds."""
    reason: str
    """`entered-in-error`, `wrong-patient`, `erroneous-category` or `erased`."""


@dataclass(frozen=True)
class Told:
    """What whoever opened the records was told besides them."""

    omissions: tuple[str, ...] = ()
    """What was left out, each with its reason."""
    withdrawn: tuple[Withdrawn, ...] = ()
    withheld: tuple[str, ...] = ()
    """Categories that an emergency summary leaves out by rule."""
    left_behind: Mapping[str, int] = field(default_factory=dict)
    """How many resources were left out because they don't count any more, by why."""


class Opened(Protocol):
    """What the SDK's opened records have."""

    @property
    def info(self) -> RecordInfo:
        """What is known of it."""
        ...

    @property
    def also_from(self) -> Sequence[str]:
        """Other hospitals that published some of the same."""
        ...

    @property
    def content(self) -> bytes:
        """The plaintext."""
        ...


class UnreadableError(Exception):
    """What is to be shown can't be read; its text is for people, and quotes nothing of it."""


def items_of(
    records: Sequence[Opened],
    *,
    names: Callable[[str], str] = lambda _: "",
    states: Mapping[str, Mapping[str, str]] | None = None,
    named: Callable[[str], str] | None = None,
) -> tuple[Item, ...]:
    """Return records of the SDK as the viewer takes them.

    Args:
        records: opened ones.
        names: gives what an address is called, or an empty text.
        named: gives what the address of anybody is called; None takes `names`, which is asked for hospitals.
        states: CID of a record's header → type and id of a resource → why it doesn't count any more.
    """
    found = tuple(_item(number, one, names, states or {}) for number, one in enumerate(records, 1))
    return found if named is None else tuple(replace(one, named=named) for one in found)


def _item(number: int, record: Opened, names: Callable[[str], str], states: Mapping[str, Mapping[str, str]]) -> Item:
    info = record.info

    def read() -> bytes:
        try:
            return record.content
        except PanaChainError as exc:
            raise UnreadableError(str(exc)) from exc

    return Item(
        number=number,
        media_type=info.media_type,
        category=info.category.value,
        year=info.year,
        hospital=info.hospital,
        hospital_name=names(info.hospital),
        stored_at=info.stored_at,
        size=info.size,
        read=read,
        states=states.get(info.header_cid, {}),
        also_from=tuple(names(one) or one for one in record.also_from),
        named=names,
    )
