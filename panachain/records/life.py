"""Life: which version of each resource counts now, of all that a reader found, hospital by hospital.

A hospital's lists count for its own records only. Pure: opens nothing and reads no clock. What it says of one hospital
depends on nothing that another one published, but for naming who else holds the same. Follows ADR 28.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from panachain.errors import TooLargeError
from panachain.model.actors import Address
from panachain.model.records import Past, Reason, RecordInfo
from panachain.model.scope import Category
from panachain.records.statements import Statement
from panachain.records.version_list import VersionList
from panachain.records.versions import DELETED, ERROR, SAME_SIZE, Version, instant, oldest_first, rank

MAX_VERSIONS: Final = 1_000_000
"""Versions of one hospital that an opening takes into account."""


@dataclass(frozen=True)
class Held:
    """A record, and the resources that its list names."""

    hospital: Address
    record: str
    """CID of its header."""
    content: str
    """CID of its sealed content."""
    sequence: int
    """Number of the storage transaction that published it first."""
    listed: VersionList

    def order(self, place: int) -> tuple[int, ...]:
        """Return where an entry stands in the order of publication."""
        return (self.sequence, self.listed.index, self.listed.order(place))


@dataclass(frozen=True)
class Seen:
    """One version of a resource, in one record."""

    record: str
    """CID of its header."""
    place: int
    """Of its entry in the record."""
    version: Version
    order: tuple[int, ...]
    past: Past | None
    """None for the version that counts."""
    is_notice: bool = False
    """Whether a statement names it, which holds it not itself."""


@dataclass
class Shown:
    """What of a record counts now."""

    past: dict[int, Past] = field(default_factory=dict)
    """The entries that don't, by their place in the record."""
    doubles: dict[int, set[Address]] = field(default_factory=dict)
    """The other hospitals that hold an entry's resource as it is, by the place of those that do count."""
    matters: bool = False
    """Whether its list decides about any entry, of this record or another one: then it must be true."""


@dataclass(frozen=True)
class History:
    """All versions of one resource of one hospital, oldest first."""

    hospital: Address
    name: str
    versions: tuple[Seen, ...]


@dataclass(frozen=True)
class Withdrawal:
    """A statement that withdraws records, and by which record it was found."""

    hospital: Address
    record: str
    """CID of the statement's header."""
    at: int
    """Unix seconds, by the hospital's clock."""
    reason: Reason
    contents: frozenset[str]
    """CIDs of the sealed contents of what it withdraws."""


@dataclass(frozen=True)
class Erasure:
    """One record that its hospital says it erased."""

    hospital: Address
    record: str
    """CID of the header that it had last."""
    category: Category
    year: int
    stored_at: int
    """When it was published: Unix seconds, by the hospital's clock."""
    at: int
    """When its hospital said so."""


class Life:
    """The lives of all records of one opening: `hold` each, then `settle`, then ask."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._held: dict[Address, list[Held]] = defaultdict(list)
        self._count: dict[Address, int] = defaultdict(int)
        self._shown: dict[str, Shown] = {}
        self._histories: list[History] = []
        self._withdrawn: dict[tuple[Address, str], Withdrawal] = {}
        self._notices: dict[tuple[Address, str], list[Seen]] = {}
        self.erased: dict[tuple[Address, str], Erasure] = {}
        """By the hospital and the CID of the sealed content."""
        self.attested: dict[tuple[Address, str], int] = {}
        """When a hospital found that a content is gone: Unix seconds, by its clock."""
        self.refused: dict[tuple[Address, str], str] = {}
        """Why a hospital doesn't erase a content."""

    def tell(
        self, hospital: Address, record: str, content: str, order: tuple[int, ...], newer: Sequence[Version]
    ) -> None:
        """Take versions into account that lie elsewhere, by a statement of their hospital's.

        Args:
            hospital: whose resources they are.
            record: CID of the statement's header.
            content: CID of its sealed content.
            order: where the statement stands in the order of publication.
            newer: the versions.

        Raises:
            TooLargeError: as `hold`.
        """
        self._add(hospital, len(newer))
        self._notices[hospital, content] = [
            Seen(record, place, version, (*order, place), None, is_notice=True)
            for place, version in enumerate(newer)
            if version.name
        ]

    def withdraw(self, withdrawal: Withdrawal) -> None:
        """Take a statement into account: for records of its own hospital, whichever it names."""
        for content in withdrawal.contents:
            key = withdrawal.hospital, content
            known = self._withdrawn.get(key)
            # The first one counts: what is withdrawn again was withdrawn before.
            if known is None or (withdrawal.at, withdrawal.record) < (known.at, known.record):
                self._withdrawn[key] = withdrawal

    def hear(self, info: RecordInfo, said: Statement) -> None:
        """Take into account what a statement says of erasing records of its own hospital.

        Args:
            info: of the statement's record.
            said: what it says.
        """
        hospital = info.hospital
        for content, one in zip(said.withdraws, said.erased, strict=False):
            place = hospital, str(content)
            # The first one counts, as for withdrawals.
            if place not in self.erased or info.stored_at < self.erased[place].at:
                self.erased[place] = Erasure(
                    hospital, str(one.header), info.category, info.year, one.stored_at, info.stored_at
                )
        if said.attests is not None:
            self.attested |= {(hospital, str(content)): said.attests.at for content in said.attests.contents}
        if said.refuses is not None:
            self.refused |= {(hospital, str(content)): said.refuses.why for content in said.refuses.contents}

    def withdrawal(self, hospital: Address, content: str) -> Withdrawal | None:
        """Return what withdrew a record, given the CID of its sealed content; None if nothing did."""
        return self._withdrawn.get((hospital, content))

    def hold(self, held: Held) -> None:
        """Take a record into account.

        Raises:
            TooLargeError: its hospital lists more resources than an opening takes into account.
        """
        self._add(held.hospital, len(held.listed.versions))
        self._held[held.hospital].append(held)

    def _add(self, hospital: Address, number: int) -> None:
        count = self._count[hospital] + number
        if count > MAX_VERSIONS:
            raise TooLargeError(
                f"its hospital lists more than {MAX_VERSIONS:,} resources", size=count, limit=MAX_VERSIONS
            )
        self._count[hospital] = count

    def settle(self) -> None:
        """Decide what counts."""
        holders: dict[tuple[str, bytes], list[tuple[Address, str, int]]] = defaultdict(list)
        for hospital, held in self._held.items():
            # A withdrawn record is as if it had never been: what it superseded counts again.
            records = [one for one in held if (hospital, one.content) not in self._withdrawn]
            self._shown |= {one.record: Shown() for one in records}
            notices = [
                seen
                for (by, content), told in self._notices.items()
                # What says that a version lies elsewhere is withdrawn with that version.
                if by == hospital and (by, content) not in self._withdrawn
                for seen in told
            ]
            for name, versions in _by_name(records, notices).items():
                for group in _by_server(versions):
                    history = History(hospital, name, tuple(_settled(group)))
                    if not history.versions:
                        continue
                    for seen in history.versions:
                        self._shown[seen.record].matters |= len(group) > 1 or seen.past is not None
                        if seen.past is not None:
                            self._shown[seen.record].past[seen.place] = seen.past
                        else:
                            same = name, seen.version.print[:SAME_SIZE]
                            holders[same].append((hospital, seen.record, seen.place))
                    if len(history.versions) > 1 or history.versions[0].past is not None:
                        self._histories.append(history)
        for held_by in holders.values():
            hospitals = {hospital for hospital, _, _ in held_by}
            if len(hospitals) > 1:
                for hospital, record, place in held_by:
                    self._shown[record].doubles[place] = hospitals - {hospital}
                    self._shown[record].matters = True

    def of(self, record: str) -> Shown:
        """Return what of a record counts, by the CID of its header; all of one that lists nothing."""
        return self._shown.get(record) or Shown()

    def histories(self) -> Iterator[History]:
        """Yield the resources that have several versions, or none that counts."""
        yield from self._histories


def _by_name(records: list[Held], notices: list[Seen]) -> dict[str, list[Seen]]:
    found: dict[str, list[Seen]] = defaultdict(list)
    for held in records:
        for place, version in enumerate(held.listed.versions):
            # What has no name is nobody's version.
            if version.name:
                found[version.name].append(Seen(held.record, place, version, held.order(place), None))
    for seen in notices:
        # What isn't here in any version is nothing that somebody needs to be told of.
        if seen.version.name in found:
            found[seen.version.name].append(seen)
    return found


def _by_server(versions: list[Seen]) -> list[list[Seen]]:
    """Return the versions of one type and id, apart for each server where several are known."""
    servers = {seen.version.base for seen in versions if seen.version.base}
    if len(servers) <= 1:
        return [versions]
    apart: dict[str, list[Seen]] = defaultdict(list)
    for seen in versions:
        apart[seen.version.base].append(seen)
    return list(apart.values())


def _settled(versions: list[Seen]) -> Iterator[Seen]:
    """Yield the versions of one resource that are here, oldest first, each with why it doesn't count."""
    stamps = [(rank(one.version.number), instant(one.version.updated), one.order) for one in versions]
    order = oldest_first(stamps)
    last = order[-1]
    if versions[last].is_notice:
        # What a statement says that it lies elsewhere may be here: a reader can have both lanes.
        made = versions[last].version.print
        meant = [
            place
            for place in order
            if not versions[place].is_notice
            and stamps[place][:2] == stamps[last][:2]
            and (versions[place].version.print == made or not any(made))
        ]
        last = meant[-1] if meant else last
    state = versions[last].version.state
    why = Past.ELSEWHERE if versions[last].is_notice else {ERROR: Past.IN_ERROR, DELETED: Past.DELETED}.get(state)
    for place in order:
        if not versions[place].is_notice:
            yield replace(versions[place], past=why if place == last else (why or Past.SUPERSEDED))
