"""Searching: which records have a word, without opening any.

A search goes the way of an opening up to the records themselves: every manifest that stands for storage transactions of
the chain, headers, the envelopes' keys, the inventories. So an answer is complete, authentic and fresh, what doesn't
count any more doesn't answer, and what one hospital did wrong costs its own records only. Then it looks words up in the
envelopes' lists, on this machine. Keeps what it opened in memory only, so that the patient's log tells of each session.
Follows docs/spec/search.md, ADR 60 and security rule 37.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from panachain.errors import UsageError
from panachain.ipld.cid import CID, DAG_CBOR
from panachain.model.actors import Address
from panachain.model.records import STATEMENT
from panachain.model.scope import Category
from panachain.records import word_list
from panachain.records.header import Header
from panachain.records.locate import HospitalHeads
from panachain.records.record_words import Value
from panachain.records.search import Query
from panachain.records.word_list import WordList
from panachain.sdk.opening import Checked, Opening
from panachain.sdk.results.searches import FoundRecord, SearchProof, SearchResult
from panachain.sdk.times import Moment, seconds
from panachain.sdk.words import Categories, category_of, category_words

LIMIT: Final = 1000
"""Records that a search names at most, unless more are asked for."""
_MOST_VALUES: Final = 20
"""Numbers that are named of a record."""


@dataclass
class Searchable:
    """What a search looks through: envelopes that were opened as far as their inventories, and what counts of them."""

    opening: Opening
    """Its `life` is settled; its findings tell what had to be left out."""
    heads: Sequence[HospitalHeads]
    """The hospitals, as the chain told of them."""
    found: Sequence[Checked]
    now: int
    """Unix seconds, from which a search counts back."""
    _lists: dict[CID, WordList] = field(default_factory=dict, repr=False)

    def search(
        self,
        query: Query,
        *,
        since: int = 0,
        until: int | None = None,
        categories: Collection[Category] = (),
        limit: int = LIMIT,
    ) -> SearchResult:
        """Return what answers a query.

        Args:
            query: what is looked for.
            since: Unix seconds; records that were stored before are passed over.
            until: Unix seconds; records that were stored then or later are passed over. None for none.
            categories: only records of these; none for all.
            limit: the result names so many records at most.

        Raises:
            UsageError: too many words begin as it says.
            PanaChainError: nothing could be searched, and something was left out.
        """
        records: dict[str, FoundRecord] = {}
        seen: set[str] = set()
        counts: dict[Address, list[int]] = defaultdict(lambda: [0, 0, 0])
        for checked in self.found:
            for envelope, members in checked.envelopes.items():
                new = [one for one in members if one.info.header_cid not in seen and one.info.media_type != STATEMENT]
                seen |= {one.info.header_cid for one in new}
                if not new:
                    continue
                hospital = new[0].info.hospital
                with checked.findings.alone(hospital, f"words of envelope {envelope}"):
                    mute = self._answer(checked, envelope, new, query, records)
                    counts[hospital][0] += 1
                    counts[hospital][1] += len(new)
                    counts[hospital][2] += mute
        self._check_any(counts)
        names = {category.value for category in categories}
        chosen = [
            one
            for one in records.values()
            if one.stored_at >= since
            and (until is None or one.stored_at < until)
            and (not names or one.category in names)
        ]
        chosen.sort(key=lambda one: (-one.year, -one.stored_at, one.record_id))
        findings = self.opening.findings
        return SearchResult(
            tuple(chosen[:limit]),
            len(chosen),
            tuple(_proof(heads, *counts[heads.hospital]) for heads in self.heads),
            tuple(findings.omissions),
            tuple(findings.notices),
        )

    def _answer(
        self,
        checked: Checked,
        envelope: str,
        members: Sequence[Header],
        query: Query,
        records: dict[str, FoundRecord],
    ) -> int:
        """Look for a query in one envelope, and return how many of its records have no words.

        Raises:
            IntegrityError: its list isn't what it must be.
            BlockNotFoundError: the store lost it.
        """
        listed = checked.inventories[envelope]
        if listed.words is None:
            # Published before there were lists, or images alone.
            return len(members)
        if listed.words not in self._lists:
            key = checked.keys[envelope]
            self._lists[listed.words] = word_list.open_(checked.store, listed.words, key)
        words = self._lists[listed.words]
        entries: dict[int, dict[int, list[Value]]] = defaultdict(dict)
        for (index, place), values in query.find(words).items():
            entries[index][place] = values
        life = self.opening.life
        for header in members:
            info = header.info
            if info.content_index not in entries or life.withdrawal(info.hospital, info.content_cid) is not None:
                continue
            # What of it doesn't count any more doesn't answer.
            past = life.of(info.header_cid).past
            here = {place: one for place, one in entries[info.content_index].items() if place not in past}
            if here:
                records[info.header_cid] = _record(header, here)
        return sum(header.info.content_index in words.mute for header in members)

    def _check_any(self, counts: dict[Address, list[int]]) -> None:
        omissions = self.opening.findings.omissions
        if omissions and not counts:
            raise omissions[0].named() from omissions[0].error


def _record(header: Header, entries: dict[int, list[Value]]) -> FoundRecord:
    info = header.info
    values = [f"{value.number} {value.unit}".strip() for one in entries.values() for value in one]
    return FoundRecord(
        record_id=info.header_cid,
        hospital=info.hospital,
        category=info.category.value,
        year=info.year,
        media_type=info.media_type,
        size=info.size,
        stored_at=info.stored_at,
        entries=len(entries),
        values=tuple(dict.fromkeys(values))[:_MOST_VALUES],
    )


def _proof(heads: HospitalHeads, envelopes: int = 0, records: int = 0, mute: int = 0) -> SearchProof:
    newest = str(CID(DAG_CBOR, heads.manifests[-1])) if heads.manifests else ""
    return SearchProof(heads.hospital, len(heads.manifests), newest, envelopes, records, mute)


def searched(
    searchable: Callable[[], Searchable],
    words: str | Iterable[str],
    *,
    categories: Categories,
    since: Moment | None,
    until: Moment | None,
    limit: int | None,
) -> SearchResult:
    """Return what `Opening.search` does.

    Args:
        searchable: returns what is searched; only called once it is sure what for.
        words: as there.
        categories: as there.
        since: as there.
        until: as there.
        limit: as there.

    Raises:
        UsageError: nothing can be looked for by these words, or no record would be named.
    """
    query = Query.of_line(words) if isinstance(words, str) else Query.parse(words)
    wanted = frozenset(map(category_of, category_words(categories)))
    if limit is not None and limit < 1:
        raise UsageError(f"a search names at least one record, {limit} were asked for")
    found = searchable()
    return found.search(
        query,
        since=0 if since is None else seconds(since, at=found.now, past=True, name="since"),
        until=None if until is None else seconds(until, at=found.now, past=True, name="until"),
        categories=wanted,
        limit=LIMIT if limit is None else limit,
    )


class KeptSearchables:
    """What a session opened to search in it, for as long as the chain tells the same of the hospitals."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._kept: dict[object, tuple[tuple[HospitalHeads, ...], Searchable]] = {}

    def get(self, key: object, heads: Sequence[HospitalHeads]) -> Searchable | None:
        """Return what was kept under a key, if nothing was published since."""
        before, found = self._kept.get(key, ((), None))
        return found if before == tuple(heads) else None

    def keep(self, key: object, found: Searchable) -> None:
        """Keep what can be searched; what had to be left out is tried again next time."""
        if not found.opening.findings.omissions:
            self._kept[key] = (tuple(found.heads), found)
