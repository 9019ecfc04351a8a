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
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from panachain.errors import IntegrityError, PanaChainError, TooLargeError, UsageError
from panachain.ipld.cid import CID, DAG_CBOR
from panachain.model.actors import Address
from panachain.model.records import STATEMENT
from panachain.model.scope import Category
from panachain.records import word_list
from panachain.records.findings import Findings
from panachain.records.header import Header
from panachain.records.lexicon import Lexicon, tags_of
from panachain.records.locate import HospitalHeads
from panachain.records.record_words import Value
from panachain.records.search import Query, Work
from panachain.records.word_list import WordList
from panachain.sdk.opening import Checked, Opening
from panachain.sdk.results.searches import FoundRecord, SearchProof, SearchResult
from panachain.sdk.times import Moment, seconds
from panachain.sdk.words import Categories, category_of, category_words

LIMIT: Final = 1000
"""Records that a search names at most, unless more are asked for."""
_MOST_VALUES: Final = 20
"""Numbers that are named of a record."""
MOST_OF_HOSPITAL: Final = 256 << 20
"""Bytes that the lists of one hospital may take in one search; what it has more is left out, and named."""
MOST_OF_SEARCH: Final = 1 << 30
"""Bytes that the lists of all hospitals may take together in one search; each has its share, and what others leave."""
MOST_WORK: Final = 50_000_000
"""Steps of one search (`records/search.py`); each hospital has its share, and what others leave."""
_TERM: Final = 16
"""Bytes that a term counts for beside its own: each costs time, however short it is."""
_LIST: Final = 16 << 10
"""Bytes that a list counts for beside its own: each search looks into each, however small it is."""
_HEADER: Final = 1024
"""Bytes of a record's header, about."""
MOST_KEPT: Final = 512 << 20
"""Bytes of what a session keeps of its searches."""


@dataclass(frozen=True)
class _Envelope:
    """An envelope whose list of words is open."""

    hospital: Address
    words: WordList
    lexicon: Lexicon
    """Of its hospital: which words are forms of one another."""
    members: dict[int, Header]
    """Its records, but for statements and withdrawn ones, by the index of their content."""


class _Budget:
    """What one hospital's lists may cost a search: one that has more than any patient needs stops no other one."""

    def __init__(self, most: int) -> None:
        """Begin with nothing opened; `most` is how many bytes may be."""
        self._most = self._left = most
        self._passed = 0
        self.refused: list[PanaChainError] = []
        """What no further search would change: the lists are the same for as long as the hospital publishes nothing."""

    def open(self, checked: Checked, envelope: str, listed: CID, lexicon: Lexicon) -> WordList | None:
        """Return an envelope's list, after its words went into the hospital's lexicon; None where too much was opened.

        Raises:
            IntegrityError: it isn't one, or takes more than any hospital may make.
            BlockNotFoundError: the store lacks a block of it.
        """
        if self._left <= 0:
            self._passed += 1
            return None
        self._left -= _LIST
        try:
            sealed = word_list.fetched(checked.store, listed)
            try:
                words = word_list.opened(sealed, listed, checked.keys[envelope])
                self._left -= words.size + _TERM * words.terms
                lexicon.add(words)
            except IntegrityError as exc:
                self.refused.append(exc)
                raise
        except IntegrityError:
            # Nonsense costs as much as a list does.
            self._left -= word_list.MAX_BYTES
            raise
        return words

    @property
    def spent(self) -> int:
        """Bytes that its lists took, or would have taken: never more than it was given."""
        return min(self._most, self._most - self._left)

    def tell(self, hospital: Address, findings: Findings) -> None:
        """Name what was passed over."""
        if self._passed:
            error = IntegrityError(f"its lists of words take more than {self._most:,} bytes, or can't be read")
            self.refused.append(error)
            findings.left_out(hospital, f"words of {self._passed:,} more envelopes", error)


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

    def search(
        self,
        query: Query,
        *,
        since: int = 0,
        until: int | None = None,
        categories: Collection[Category] = (),
        languages: Collection[str] = (),
        limit: int = LIMIT,
    ) -> SearchResult:
        """Return what answers a query.

        Args:
            query: what is looked for.
            since: Unix seconds; records that were stored before are passed over.
            until: Unix seconds; records that were stored then or later are passed over. None for none.
            categories: only records of these; none for all.
            languages: whose forms count at all hospitals, as `tags_of` returns them.
            limit: the result names so many records at most.

        Raises:
            PanaChainError: nothing could be searched, and something was left out.
        """
        envelopes, proofs, _ = self._opened
        findings, told = self.opening.findings, Findings()
        if findings.omissions and not envelopes:
            raise findings.omissions[0].named() from findings.omissions[0].error
        records: list[FoundRecord] = []
        hospitals: dict[Address, list[_Envelope]] = defaultdict(list)
        for one in envelopes:
            hospitals[one.hospital].append(one)
        # Small ones first, and to each its share of what is left: one that costs much takes nothing from the others.
        ordered = sorted(hospitals.items(), key=lambda item: (sum(one.words.terms for one in item[1]), item[0]))
        left = MOST_WORK
        for waiting, (hospital, mine) in zip(range(len(ordered), 0, -1), ordered, strict=True):
            work = Work(left // waiting)
            # One lexicon for the query: which words are forms of what is looked for is found once, not for each list.
            lexicon = mine[0].lexicon.naming(languages)
            with told.alone(hospital, f"words of {sum(len(one.members) for one in mine)} records"):
                query.learn(lexicon)
                for number, one in enumerate(mine, start=1):
                    # A list that says nonsense of one word may be right about others.
                    with told.alone(hospital, f"words of {len(one.members)} records"):
                        records += self._answering(one, query, lexicon, work)
                    if work.is_over and number < len(mine):
                        others = sum(len(each.members) for each in mine[number:])
                        error = TooLargeError("they weren't looked through", size=work.done, limit=work.most)
                        told.left_out(hospital, f"words of {others:,} more records", error)
                        break
            left -= min(work.done, work.most)
        names = {category.value for category in categories}
        chosen = [
            one
            for one in records
            if one.stored_at >= since
            and (until is None or one.stored_at < until)
            and (not names or one.category in names)
        ]
        chosen.sort(key=lambda one: (-one.year, -one.stored_at, one.record_id))
        omissions = (*findings.omissions, *told.omissions)
        return SearchResult(tuple(chosen[:limit]), len(chosen), proofs, omissions, tuple(findings.notices))

    @property
    def lacking(self) -> bool:
        """Whether something was left out that may be there when it is asked for again, such as a block."""
        refused = set(map(id, self._refused))
        return any(id(one.error) not in refused for one in self.opening.findings.omissions)

    @cached_property
    def _refused(self) -> list[PanaChainError]:
        return []

    @property
    def memory(self) -> int:
        """Bytes that what is kept for further searches takes, about; the lists are opened for that."""
        envelopes, _, lexicons = self._opened
        lists = sum(one.words.memory + _HEADER * len(one.members) for one in envelopes)
        return lists + sum(lexicon.memory for lexicon in lexicons.values())

    @cached_property
    def _opened(self) -> tuple[list[_Envelope], tuple[SearchProof, ...], dict[Address, Lexicon]]:
        """The envelopes with their lists, each record once, what they hold, and the hospitals' words: made once."""
        envelopes: list[_Envelope] = []
        seen: set[str] = set()
        counts: dict[Address, list[int]] = defaultdict(lambda: [0, 0, 0])
        budgets: list[tuple[Address, _Budget]] = []
        lexicons: dict[Address, Lexicon] = defaultdict(Lexicon)
        of: dict[Address, list[Checked]] = defaultdict(list)
        for one in self.found:
            for member in one.headers[:1]:
                of[member.info.hospital].append(one)
        # As in a search: small ones first, and to each its share.
        sizes = {hospital: sum(len(one.envelopes) for one in mine) for hospital, mine in of.items()}
        left = MOST_OF_SEARCH
        for number, hospital in enumerate(sorted(of, key=lambda one: (sizes[one], one))):
            budget = _Budget(min(MOST_OF_HOSPITAL, left // (len(of) - number)))
            for checked in of[hospital]:
                for cid, members in checked.envelopes.items():
                    new = [
                        one for one in members if one.info.header_cid not in seen and one.info.media_type != STATEMENT
                    ]
                    seen |= {one.info.header_cid for one in new}
                    if not new:
                        continue
                    with checked.findings.alone(hospital, f"words of envelope {cid}"):
                        mute = len(new)
                        # Without a list it was published before there were any, or holds images alone.
                        if (listed := checked.inventories[cid].words) is not None:
                            words = budget.open(checked, cid, listed, lexicons[hospital])
                            if words is None:
                                continue
                            mute = sum(one.info.content_index in words.mute for one in new)
                            envelopes.append(_Envelope(hospital, words, lexicons[hospital], self._standing(new)))
                        count = counts[hospital]
                        counts[hospital] = [count[0] + 1, count[1] + len(new), count[2] + mute]
            left -= budget.spent
            budgets.append((hospital, budget))
        for hospital, budget in budgets:
            budget.tell(hospital, self.opening.findings)
            self._refused.extend(budget.refused)
        return envelopes, tuple(_proof(heads, *counts[heads.hospital]) for heads in self.heads), lexicons

    def _standing(self, headers: Sequence[Header]) -> dict[int, Header]:
        """Return those of an envelope's records that weren't withdrawn, by the index of their content."""
        life = self.opening.life
        return {
            one.info.content_index: one
            for one in headers
            if life.withdrawal(one.info.hospital, one.info.content_cid) is None
        }

    def _answering(self, envelope: _Envelope, query: Query, lexicon: Lexicon, work: Work) -> list[FoundRecord]:
        """Return the records of an envelope that answer a query.

        Raises:
            IntegrityError: its list isn't what it must be.
            TooLargeError: too many of its words begin as the query says, or it is too much work.
        """
        entries: dict[int, dict[int, list[Value]]] = defaultdict(dict)
        for (index, place), values in query.find(envelope.words, lexicon, work).items():
            if index in envelope.members:
                entries[index][place] = values
        answering = []
        for index, places in entries.items():
            header = envelope.members[index]
            # What of it doesn't count any more doesn't answer.
            past = self.opening.life.of(header.info.header_cid).past
            if here := {place: values for place, values in places.items() if place not in past}:
                answering.append(_record(header, here))
        return answering


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
    languages: str | Iterable[str] = (),
) -> SearchResult:
    """Return what `Opening.search` does.

    Args:
        searchable: returns what is searched; only called once it is sure what for.
        words: as there.
        categories: as there.
        since: as there.
        until: as there.
        limit: as there.
        languages: as there.

    Raises:
        UsageError: nothing can be looked for by these words, or no record would be named.
    """
    query = Query.of_line(words) if isinstance(words, str) else Query.parse(words)
    wanted = frozenset(map(category_of, category_words(categories)))
    named = tags_of(languages)
    if limit is not None and limit < 1:
        raise UsageError(f"a search names at least one record, {limit} were asked for")
    found = searchable()
    return found.search(
        query,
        since=0 if since is None else seconds(since, at=found.now, past=True, name="since"),
        until=None if until is None else seconds(until, at=found.now, past=True, name="until"),
        categories=wanted,
        languages=named,
        limit=LIMIT if limit is None else limit,
    )


class KeptSearchables:
    """What a session opened to search in it, for as long as the chain tells the same of the hospitals.

    What was asked for longest ago goes when all together takes more than `MOST_KEPT`; it is opened anew when it is
    asked for.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        """Begin with nothing.

        Args:
            most: bytes of all that is kept.
        """
        self._most = most
        self._kept: dict[object, tuple[tuple[HospitalHeads, ...], Searchable]] = {}

    @property
    def memory(self) -> int:
        """Bytes of all that is kept."""
        return sum(found.memory for _, found in self._kept.values())

    def get(self, key: object, heads: Sequence[HospitalHeads]) -> Searchable | None:
        """Return what was kept under a key, if nothing was published since.

        Where a block was lacking, all is tried again; a list that was refused stays refused, and costs no search more.
        """
        before, found = self._kept.pop(key, ((), None))
        if found is None or before != tuple(heads) or found.lacking:
            # What is out of date is of no use to anybody.
            return None
        # Put behind all others: it is what was asked for last.
        self._kept[key] = (before, found)
        # Searches in other languages made it grow since it was kept.
        self._trim()
        return found

    def keep(self, key: object, found: Searchable) -> None:
        """Keep what can be searched, and let go what was asked for longest ago where it would be too much."""
        self._kept.pop(key, None)
        self._kept[key] = (tuple(found.heads), found)
        self._trim()

    def _trim(self) -> None:
        sizes = {one: kept.memory for one, (_, kept) in self._kept.items()}
        for one in list(self._kept):
            if sum(sizes.values()) <= self._most:
                break
            del self._kept[one], sizes[one]
