"""Searching: what somebody looks for, and which entries of an envelope's records have it.

An entry answers if it has all that is looked for. Whether it counts now, and whether the list of words may be believed,
isn't asked here. Pure: fetches nothing. Follows docs/spec/search.md (What is looked for).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from panachain.errors import TooLargeError, UsageError
from panachain.records.lexicon import Lexicon
from panachain.records.record_words import Value
from panachain.records.sensitivity.systems import canonical_system
from panachain.records.word_list import Places, WordList
from panachain.records.words import PREFIX, forms_of, normalized

MOST_CLAUSES: Final = 16
MOST_LETTERS: Final = 512
"""Letters of all that is looked for together."""
MOST_BEGINNINGS: Final = 2000
"""Words that one beginning stands for."""
_COMPARED: Final = re.compile(
    r"(?P<name>[^<>=]*[^<>=\s])\s*(?P<how>>=|<=|>|<|=)\s*(?P<number>[+-]?\d{1,15}(?:[.,]\d{1,15})?)\s*(?P<unit>[^\d\s<>=].*)?"
)
_NAMELESS: Final = re.compile(r"[<>=]")
_PART: Final = re.compile(r'"[^"]*"\*?|[^\s"]+')

Entries = dict[tuple[int, int], list[Value]]
"""The entries that have what is looked for, by the index of the content and the place of the entry in it, each with the
numbers that were found there."""


@dataclass(frozen=True)
class Phrase:
    """Words that stand one behind the other; one word is a phrase, too."""

    words: tuple[str, ...]

    def find(self, words: WordList, lexicon: Lexicon, work: Work) -> Entries:
        """Return the entries that have it."""
        found = _anywhere(words, lexicon.forms(self.words[0]), work)
        # One word after the other: what is held is never more than what two of them have.
        for one in self.words[1:]:
            found = _behind(found, _anywhere(words, lexicon.forms(one), work)) if found else {}
        return _entries(found)


class Work:
    """What a search may still do, in steps: a word that is looked up in a list, or a place or a number that is read."""

    def __init__(self, most: int) -> None:
        """Begin with nothing done.

        Args:
            most: steps.
        """
        self.most = most
        self.done = 0

    @property
    def is_over(self) -> bool:
        """Whether all of it is done."""
        return self.done > self.most

    def spend(self, steps: int) -> None:
        """Count steps.

        Raises:
            TooLargeError: these were too many.
        """
        self.done += steps
        if self.is_over:
            raise TooLargeError(
                f"the search takes more than {self.most:,} steps there; what was found before counts",
                size=self.done,
                limit=self.most,
                hint="rarer words, or more of them, take fewer steps",
            )


@dataclass(frozen=True)
class Beginning:
    """How a word begins."""

    prefix: str

    def find(self, words: WordList, lexicon: Lexicon, work: Work) -> Entries:
        """Return the entries that have such a word, or another form of one.

        Raises:
            TooLargeError: too many words begin like this, or are forms of these.
        """
        beginning = words.beginning(self.prefix)
        work.spend(len(beginning))
        self._check(len(beginning))
        forms = lexicon.all_forms(beginning, MOST_BEGINNINGS)
        # Again: few words may have many forms.
        self._check(len(forms))
        found: Entries = {}
        work.spend(len(forms))
        for one in sorted(words.among(forms)):
            places = words.places(one)
            work.spend(_count(places))
            found |= _entries(places)
        return found

    def _check(self, count: int) -> None:
        if count > MOST_BEGINNINGS:
            raise TooLargeError(
                f"{count:,} words begin with {self.prefix}",
                size=count,
                limit=MOST_BEGINNINGS,
                hint="more letters find fewer words",
            )


@dataclass(frozen=True)
class Compared:
    """A number under a code, or under a word of what the code is called."""

    words: tuple[str, ...]
    how: str
    number: Decimal
    unit: str
    """Normalised; empty for any."""

    def find(self, words: WordList, lexicon: Lexicon, work: Work) -> Entries:
        """Return the entries that have such a number.

        Raises:
            IntegrityError: the list has something else under the code.
        """
        codes: set[str] | None = None
        for one in self.words:
            forms = lexicon.forms(one)
            called = {code for form in words.among(forms) for code in words.called(form)}
            work.spend(len(forms) + len(called))
            codes = called if codes is None else codes & called
        found: Entries = {}
        for code in sorted(codes or ()):
            for number, values in words.values(code).items():
                work.spend(len(values))
                for value in values:
                    if self._fits(value):
                        found.setdefault((number, value.place), []).append(value)
        return found

    def _fits(self, value: Value) -> bool:
        if self.unit and normalized(value.unit) != self.unit:
            return False
        other = Decimal(value.number)
        return {
            ">": other > self.number,
            "<": other < self.number,
            ">=": other >= self.number,
            "<=": other <= self.number,
            "=": other == self.number,
        }[self.how]


Clause = Phrase | Beginning | Compared


@dataclass(frozen=True)
class Query:
    """What somebody looks for: entries that have all of it."""

    clauses: tuple[Clause, ...]

    @classmethod
    def parse(cls, words: Iterable[str]) -> Query:
        """Read what somebody typed.

        Args:
            words: each a word, a phrase (with blanks, or in quotation marks), a beginning (`gluc*`), a number
                (`glucose>126`, `glucose>7mmol/L`) or a code with its system (`loinc|2345-7`).

        Raises:
            UsageError: nothing is looked for, too much, or a beginning is too short.
        """
        given = [word.strip() for word in words]
        if sum(map(len, given)) > MOST_LETTERS:
            raise UsageError(f"a search takes at most {MOST_LETTERS} letters")
        clauses = tuple(_clause(word) for word in given if word)
        if not clauses:
            raise UsageError("a search needs a word")
        if len(clauses) > MOST_CLAUSES:
            raise UsageError(f"a search takes at most {MOST_CLAUSES} words")
        return cls(clauses)

    @classmethod
    def of_line(cls, line: str) -> Query:
        """Read one line: words apart by blanks, phrases in quotation marks.

        Raises:
            UsageError: as `parse`.
        """
        return cls.parse(_PART.findall(line))

    def learn(self, lexicon: Lexicon) -> None:
        """Have a lexicon find the forms of all that is looked for, before the first list is searched.

        Raises:
            TooLargeError: as `Lexicon.forms`: no list of this hospital can be searched for it.
        """
        for clause in self.clauses:
            for word in () if isinstance(clause, Beginning) else clause.words:
                lexicon.forms(word)

    def find(self, words: WordList, lexicon: Lexicon | None = None, work: Work | None = None) -> Entries:
        """Return the entries of an envelope that have all of it, whether or not they count.

        Args:
            words: the envelope's list.
            lexicon: which words are forms of one another; None takes what this list alone shows.
            work: what may be done for it; None for any.

        Raises:
            IntegrityError: the list isn't what it must be.
            TooLargeError: too many words begin as it says, or are forms of one word; or it is too much work.
        """
        work = work or Work(sys.maxsize)
        if lexicon is None:
            lexicon = Lexicon()
            lexicon.add(words)
        found: Entries | None = None
        for clause in self.clauses:
            here = clause.find(words, lexicon, work)
            if found is not None:
                here = {key: values + here[key] for key, values in found.items() if key in here}
            found = here
            if not found:
                return {}
        return found or {}


def _clause(word: str) -> Clause:
    if _NAMELESS.match(word):
        raise UsageError(f"{word} compares a number, and doesn't say of what")
    compared = _COMPARED.fullmatch(word)
    if compared and forms_of(compared["name"]):
        number = Decimal(compared["number"].replace(",", "."))
        unit = normalized(compared["unit"] or "").strip()
        return Compared(tuple(forms_of(compared["name"])), compared["how"], number, unit)
    if word.endswith("*") and not word.startswith('"'):
        forms = forms_of(word[:-1])
        if len(forms) != 1 or len(forms[0]) < PREFIX:
            raise UsageError(f"{word} needs {PREFIX} letters of one word before the asterisk")
        return Beginning(forms[0])
    system, bar, code = word.partition("|")
    if bar:
        word = f"{canonical_system(system) or system} {code}"
    found = tuple(forms_of(word))
    if not found:
        raise UsageError(f"{word} has neither a letter nor a digit to look for")
    return Phrase(found)


def _anywhere(words: WordList, forms: Sequence[str], work: Work) -> Places:
    """Return where any of some words is."""
    found: Places = {}
    work.spend(len(forms))
    for form in words.among(forms):
        places = words.places(form)
        work.spend(_count(places))
        for index, entries in places.items():
            mine = found.setdefault(index, {})
            for place, positions in entries.items():
                mine.setdefault(place, []).extend(positions)
    return found


def _behind(first: Places, second: Places) -> Places:
    """Return where the second stands right behind the first."""
    found: Places = {}
    for index, entries in first.items():
        others = second.get(index)
        if others is None:
            continue
        for place, positions in entries.items():
            if here := {at + 1 for at in positions}.intersection(others.get(place, ())):
                found.setdefault(index, {})[place] = list(here)
    return found


def _count(places: Places) -> int:
    return sum(len(positions) for entries in places.values() for positions in entries.values())


def _entries(places: Places) -> Entries:
    return {(number, place): [] for number, entries in places.items() for place in entries}
