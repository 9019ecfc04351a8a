"""Matcher: what a code, its display and other texts tell or hint at.

A code counts in its own system only: an identifier that looks alike closes nothing. Where a code isn't known, its
display is looked at, word by word. Answers are kept, because records name the same codes again and again.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from functools import cache, lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote

from panachain.plain import few_marks
from panachain.records.sensitivity.kinds import Finding, category_of_kinds
from panachain.records.sensitivity.profiles import DEFAULT, Profile
from panachain.records.sensitivity.systems import (
    FORMS,
    canonical_code,
    concepts,
    known_system,
    spelled_like,
    system_of,
)
from panachain.records.sensitivity.tables import rows

_NOTHING: Final = "-"
"""The kind of what is listed because it is not sensitive, though its neighbours are."""
_CUT: Final = frozenset({"ndc", "icd-11"})
"""Systems whose codes are compared by their beginning alone."""
_VOCABULARIES: Final = ("words", "ingredients", "substances")
_DRUGS: Final = frozenset({"rxnorm", "ndc", "atc", "snomed", ""})
"""Systems whose displays name medicines; "" where a system isn't known."""
_TELLS: Final = "tells"
_PARTS: Final = re.compile(r"[/|?&=,#:;]")
_HOLDS_CODES: Final = re.compile(r"[%|]|\d(?:-\d|\d{5}|A{29})")
"""What a value needs so that a part of it may be a code that proves its system, or a concept of SNOMED CT: a dash, six
digits or a padding, or signs that may hide these."""
_LONGEST: Final = 4096
"""Characters of a display that are looked at, and of a text that are looked at together."""
_SHORT: Final = 256
"""Characters of a display or a text that is remembered with what it tells."""
_OVERLAP: Final = 200
"""Characters that are looked at twice where a text is cut: no phrase, with what denies it, is longer."""
_NUMBERED: Final = {"loinc": re.compile(r"((?:L[AP])?)(\d{1,9})-\d"), "rxnorm": re.compile(r"()(\d{1,9})")}
"""Systems whose codes are numbers in the order in which they were given out, a group of tests or products at a time."""
_NEAR: Final = 3
"""How far from a listed number another one hints at the same."""

_DENIABLE: Final = frozenset(
    {
        *("MH", "PSY", "BH", "COGN", "DVD", "EMOTDIS", "SUICIDE", "SUD", "ETHUD", "OPIOIDUD", "ETH", "TBOO"),
        *("SDV", "VIO", "MST"),
    }
)
"""Kinds of which a denial or a routine question tells nothing. A test for HIV or a pregnancy that is denied does."""
_UNSEEN: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\U000e0000-\U000e0fff]+"
)
"""Hyphens that show at the end of a line only, joiners, marks of direction, selectors, fillers: Unicode's
Default_Ignorable_Code_Point (UAX 44), but for those of shorthand and music."""
_BEFORE: Final = re.compile(
    r"(?<![a-z0-9])(?:no|not|denies|denied|without|no (?:history|evidence|signs?) of|never had|negative for"
    r"|(?:family history|fh)(?: of|:)?|screening (?:for|of)|screen for|assessment (?:of|for)"
    r"|keine?|familienanamnese:?|pas de|aucune?|absence de|antecedents familiaux de"
    r"|sin|niega|antecedentes familiares de) $"
)
_AFTER: Final = re.compile(
    r" screening(?! (?:test )?(?:was )?(?:positive|abnormal))(?![a-z0-9])| verneint"
    r"|(?: status)?: ?(?:no|none|never|denied|denies|negative|nein|jamais|nunca)(?= ?(?:$|[.;,)]))"
)
"""What stands right before and right behind a word and says that it isn't so, is a relative's, or was only asked."""
_REACH: Final = 40
_LONG_NAME: Final = 7
"""Letters of a name that is long enough to be told from words of other languages."""
_ENDINGS: Final = (
    *(("ine", "in", "ina"), ("one", "on", "ona"), ("ate", "at", "ato"), ("ide", "id", "ido"), ("ole", "ol", "ol")),
    *(("ir", "ir", "ir"), ("ol", "ol", "ol"), ("yl", "yl", "il"), ("am", "am", "am")),
)
"""How English names end, German ones, and Spanish or Italian ones."""
_SOUNDS: Final = (("ph", "f"), ("th", "t"), ("y", "i"), ("chl", "cl"), ("chr", "cr"))
_BEGINNING: Final = 5
"""Letters of a phrase by which a text is looked through first."""
_BEGINS: Final = re.compile(r"(?<![a-z0-9])(?=(.{1,5}))")
"""What stands wherever a phrase could begin."""
_NEVER: Final = "(?!)"
"""A pattern that nothing matches."""
_WORD_ENDS: Final = re.compile(r"(?![a-z0-9])")
_REST_OF_WORD: Final = re.compile(r"[a-z]*")
NUMBER: Final = "[0-9]{1,5}-[0-9]|[0-9]{6}|[0-9]{8,18}"
"""Codes of LOINC and SNOMED CT, and many of RxNorm, as a pattern: no range holds one, no phrase begins like one, and
every system spells them as they are."""


class _Range(NamedTuple):
    first: str
    last: str
    kind: str
    tells: bool
    display: str


class Matcher:
    """What a profile closes."""

    def __init__(self, profile: Profile = DEFAULT) -> None:
        """Take the profile."""
        self.profile = profile
        self.harmless: set[bytes] = set()
        """Values of which `may_tell` said no, with the members that they stood in, as whoever asks keeps them."""
        self.telling: set[bytes] = set()
        """Values of which it said yes."""
        self._remembered = lru_cache(maxsize=1 << 16)(self._match)
        # A display and the text beside it say the same, one after the other.
        self._tells = lru_cache(maxsize=1 << 10)(self._may_tell)

    def look(self, system: str, code: str, display: str = "") -> tuple[Finding, ...]:
        """Return what a coding tells, as far as the profile closes it.

        Args:
            system: as it stands in the record, in any spelling; empty where the record names none.
            code: in it; empty for a text alone.
            display: what the record says that it means, or a text without a code.
        """
        return self._look(system, code, display[:_LONGEST])

    def text(self, text: str) -> tuple[Finding, ...]:
        """Return what a text of any length tells, as far as the profile closes it."""
        if len(text) <= _LONGEST:
            return self._look("", "", text)
        # In parts, so that little is looked at and kept at a time; they overlap, so that no word is cut.
        parts = (text[start : start + _LONGEST] for start in range(0, len(text), _LONGEST - _OVERLAP))
        return tuple(dict.fromkeys(one for part in parts for one in self._look("", "", part)))

    def address(self, address: str) -> tuple[Finding, ...]:
        """Return what the codes in a URL's path or query, or in an item's identifier, tell."""
        parts = _PARTS.split(unquote(address[:_LONGEST]))
        return tuple(one for part in parts if system_of(part) for one in self._look("", part, ""))

    def may_tell(self, value: str) -> bool:
        """Tell whether a value could be sensitive as a code of any system, or as a display: never too seldom."""
        return len(value) > _LONGEST or self._tells(value)

    def numbers_that_may_tell(self, numbers: Collection[str]) -> set[str]:
        """Return those of some codes of the form NUMBER of which `may_tell` says yes, at one look."""
        found = set(_numbers().intersection(numbers))
        return found.union(filter(self._is_near, numbers)) if self.profile.hints else found

    def _may_tell(self, value: str) -> bool:
        found: list[Finding] = []
        # No code has a blank inside, and of most systems no part of a value counts: what follows is a display.
        for spelling, codes, ranged, form in _cut_spellings() if " " in value.strip() else _spellings():
            code = canonical_code(spelling, value)
            if code in codes:
                return True
            if form.fullmatch(code):
                found += [one for system in ranged for one in _by_range(system, code)]
        if _HOLDS_CODES.search(value) and (
            self.address(value) or any(one in _codes_of()["snomed"] for one in concepts(value))
        ):
            return True
        if self.profile.hints and self._is_near(value):
            return True
        text = plain_text(value)
        if _beginnings().may_find(text):
            found += [one for name in _VOCABULARIES for one in vocabulary(name).findings(text)]
        return any(map(self._closes, found))

    def _look(self, system: str, code: str, display: str) -> tuple[Finding, ...]:
        # What is long doesn't come again, and would fill the memory: a text as well as what stands in a code's place.
        is_short = len(system) + len(code) + len(display) <= _SHORT
        return (self._remembered if is_short else self._match)(system, code, display)

    def _is_near(self, value: str) -> bool:
        return any(self._closes(one) for name in _NUMBERED for one in _by_number(name, value))

    def _closes(self, found: Finding) -> bool:
        return found.kind in self.profile.kinds and (found.tells or self.profile.hints)

    def _match(self, system: str, code: str, display: str) -> tuple[Finding, ...]:
        name = known_system(system, code)
        found = list(_by_code(name, code)) if name and code else []
        # What a value set lists as harmless isn't looked at again by its words.
        if not any(one.kind == _NOTHING for one in found) and display:
            found += _by_words(name, display)
        if not found and not display and name in _NUMBERED:
            found += _by_number(name, code)
        return tuple(dict.fromkeys(filter(self._closes, found)))


@lru_cache(maxsize=8)
def matcher_of(profile: Profile = DEFAULT) -> Matcher:
    """Return the matcher of a profile, one for the whole process.

    Few are kept: each remembers much, and patients may choose in millions of ways.
    """
    return Matcher(profile)


def _by_code(system: str, code: str) -> Iterator[Finding]:
    codes = concepts(code) if system == "snomed" else [canonical_code(system, code)]
    for one in codes:
        for kind, display, source in listed().get((system, one), ()):
            tells = source == "codes" or not only_hints(kind, display)
            yield Finding(kind, tells, f"{source}: {system} {one} {display}".rstrip())
    if system in FORMS:
        yield from _by_range(system, codes[0])


def _by_range(system: str, code: str) -> Iterator[Finding]:
    """Yield what the narrowest range that holds a code says; an exception in it counts for nothing."""
    if not FORMS[system].fullmatch(code):
        return
    best: _Range | None = None
    ranges, firsts = _ranges().get(system, ([], []))
    # A range holds what begins with its ends, too: F10 holds F10239.
    for one in reversed(ranges[: bisect_right(firsts, code)]):
        narrower = best is None or (len(one.first), one.first) > (len(best.first), best.first)
        if narrower and (code <= one.last or code.startswith(one.last)):
            best = one
    if best is not None:
        yield Finding(best.kind, best.tells, f"range {system} {best.first} to {best.last}: {best.display}")


def _by_number(system: str, code: str) -> Iterator[Finding]:
    """Yield what the nearest listed number hints at: what is alike often got its numbers together."""
    found = _NUMBERED[system].fullmatch(code)
    numbers, kinds = neighbours(system).get(found[1], ([], [])) if found else ([], [])
    if found is None or not numbers:
        return
    number = int(found[2])
    place = bisect_right(numbers, number)
    near = min(range(max(0, place - 1), min(len(numbers), place + 1)), key=lambda one: abs(numbers[one] - number))
    if abs(numbers[near] - number) <= _NEAR:
        yield Finding(kinds[near], tells=False, rule=f"near {system} {found[1]}{numbers[near]}")


@cache
def neighbours(system: str) -> dict[str, tuple[list[int], list[str]]]:
    """Return the listed numbers of a system in their order by what stands before them, and the kind of each."""
    listings: dict[str, dict[int, str]] = {}
    for (name, code), entries in listed().items():
        found = _NUMBERED[system].fullmatch(code) if name == system else None
        if found and entries[0][0] != _NOTHING:
            listings.setdefault(found[1], {})[int(found[2])] = entries[0][0]
    return {before: (sorted(one), [one[number] for number in sorted(one)]) for before, one in listings.items()}


def _by_words(system: str, display: str) -> Iterator[Finding]:
    text = plain_text(display)
    if system == "loinc":
        yield from vocabulary("substances").findings(text)
    elif system in _DRUGS:
        yield from vocabulary("ingredients").findings(text)
    yield from vocabulary("words").findings(text, weakened=True)


class Vocabulary:
    """Words and phrases that are looked for in texts, all at once."""

    def __init__(self, name: str, entries: Iterable[tuple[str, str, bool]]) -> None:
        """Take what the vocabulary is called, and (phrase, kind, whether it tells).

        A star at an end of a phrase stands for more letters there.
        """
        self._name = name
        self._whole: dict[str, list[tuple[str, bool]]] = {}
        self._stems: list[tuple[str, str, bool]] = []
        for phrase, kind, tells in entries:
            if "*" in phrase:
                self._stems.append((phrase, kind, tells))
            else:
                self._whole.setdefault(phrase, []).append((kind, tells))
        # The longest first: `alcohol use disorder` before `alcohol use`.
        self.phrases = sorted({*self._whole, *(stem for stem, _, _ in self._stems)}, key=len, reverse=True)
        begun = [phrase for phrase in self.phrases if not phrase.startswith("*")]
        lengths = {min(len(phrase.rstrip("*")), _BEGINNING) for phrase in begun}
        self._begins = {
            length: frozenset(one[:length] for one in begun if min(len(one.rstrip("*")), _BEGINNING) == length)
            for length in sorted(lengths)
        }
        """The first letters of phrases, by how many they are: most texts have no word that begins so."""
        self._least = min(lengths, default=0)
        self._begun: dict[str, list[str]] = {}
        """Phrases by the fewest first letters."""
        for phrase in begun:
            self._begun.setdefault(phrase[: self._least], []).append(phrase)
        self._ends = [phrase for phrase in self.phrases if phrase.startswith("*")]
        self._ending = re.compile("|".join(re.escape(one.strip("*")) for one in self._ends) or _NEVER)
        """The letters of phrases that are the end of a word."""

    def may_find(self, text: str) -> bool:
        """Tell whether a plain text could tell something; says no quickly, and never wrongly."""
        begins = _BEGINS.findall(text)
        for length, known in self._begins.items():
            if not known.isdisjoint(begins if length == _BEGINNING else [one[:length] for one in begins]):
                return True
        return self._ending.search(text) is not None

    def findings(self, text: str, *, weakened: bool = False) -> Iterator[Finding]:
        """Yield what a plain text tells.

        Args:
            text: as `plain_text` returns it.
            weakened: whether what is denied, only screened for or a relative's hints at the condition instead.
        """
        if not self.may_find(text):
            return
        for start, end in self._hits(text):
            found = text[start:end]
            entries = self._whole.get(found) or [
                (kind, tells) for stem, kind, tells in self._stems if _fits(stem, found)
            ]
            for kind, tells in entries:
                weak = weakened and kind in _DENIABLE and _is_weak(text, start, end)
                yield Finding(kind, tells and not weak, f"{self._name}: {found}")

    def _hits(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where phrases stand, from left to right: the longest of those at a place, and none inside another."""
        ends = self._ends if self._ending.search(text) else []
        last = 0
        for place in _BEGINS.finditer(text):
            phrases = self._begun.get(place[1][: self._least], [])
            start = place.start()
            if start < last or not (phrases or ends):
                continue
            if ends:
                phrases = sorted(phrases + ends, key=len, reverse=True)
            for phrase in phrases:
                end = _end_of(phrase, text, start)
                if end:
                    yield start, end
                    last = end
                    break


def _is_weak(text: str, start: int, end: int) -> bool:
    return bool(_BEFORE.search(text[max(0, start - _REACH) : start]) or _AFTER.match(text, end))


def _end_of(phrase: str, text: str, start: int) -> int:
    """Return where a phrase ends that stands at a place where a word may begin, or 0 if it doesn't stand there."""
    letters = phrase.strip("*")
    if phrase.startswith("*"):
        found = _ending(phrase).match(text, start)
    elif text.startswith(letters, start):
        found = (_REST_OF_WORD if phrase.endswith("*") else _WORD_ENDS).match(text, start + len(letters))
    else:
        return 0
    return found.end() if found else 0


@cache
def _ending(phrase: str) -> re.Pattern[str]:
    """Return the pattern of a word that a phrase with a star before it is the end of."""
    return re.compile(
        "[a-z0-9,-]*" + re.escape(phrase.strip("*")) + ("[a-z]*" if phrase.endswith("*") else _WORD_ENDS.pattern)
    )


def _fits(stem: str, word: str) -> bool:
    return word.endswith(stem[1:]) if stem.startswith("*") else word.startswith(stem[:-1])


@cache
def vocabulary(name: str) -> Vocabulary:
    """Return the vocabulary `words`, `ingredients` or `substances`."""
    if name == "words":
        entries = [(phrase, kind, strength == _TELLS) for _language, phrase, kind, strength in rows("words")]
    elif name == "ingredients":
        entries = [
            (spelling, kind, strength == _TELLS)
            for phrase, kind, strength, group, _why in rows("ingredients")
            for spelling in (spellings(phrase) if "brand" not in group else (phrase,))
        ]
    else:
        entries = [(phrase, kind, True) for phrase, kind, _source in rows("substances")]
    return Vocabulary(name, entries)


def spellings(ingredient: str) -> Iterator[str]:
    """Yield how an ingredient's international name is spelled in English or French, German, and Spanish or Italian.

    Follows the WHO's rules for the forms of international nonproprietary names in other languages.
    """
    yield ingredient
    for ending, german, romance in _ENDINGS:
        if len(ingredient) >= _LONG_NAME and ingredient.endswith(ending):
            stem = ingredient.removesuffix(ending)
            yield stem + german
            for sounds, written in _SOUNDS:
                stem = stem.replace(sounds, written)
            yield stem + romance


@cache
def _beginnings() -> Vocabulary:
    """Return all vocabularies as one: most texts have no word of any, which is known at one look."""
    return Vocabulary("all", [(phrase, "", False) for name in _VOCABULARIES for phrase in vocabulary(name).phrases])


@cache
def _codes_of() -> dict[str, frozenset[str]]:
    """Return the listed codes of each system."""
    systems = {system for system, _ in listed()}
    return {one: frozenset(code for system, code in listed() if system == one) for one in systems}


class _Spelling(NamedTuple):
    """How some systems spell codes."""

    system: str
    """The one that stands for all of them."""
    codes: frozenset[str]
    """Their listed codes."""
    ranged: tuple[str, ...]
    """Those of them that have ranges."""
    form: re.Pattern[str]
    """What their codes look like: one look at all of these."""


@cache
def _spellings() -> tuple[_Spelling, ...]:
    """Return all systems that have codes or ranges, those together that are spelled alike: each costs every value."""
    systems: dict[str, list[str]] = {}
    for one in dict.fromkeys((*_codes_of(), *_ranges())):
        systems.setdefault(spelled_like(one), []).append(one)
    found: list[_Spelling] = []
    for one, alike in systems.items():
        codes = frozenset[str]().union(*(_codes_of().get(same, ()) for same in alike))
        ranged = tuple(same for same in alike if same in _ranges())
        form = "|".join(f"(?:{FORMS[same].pattern})" for same in ranged) or _NEVER
        found.append(_Spelling(one, codes, ranged, re.compile(form)))
    return tuple(found)


@cache
def _cut_spellings() -> tuple[_Spelling, ...]:
    return tuple(one for one in _spellings() if one.system in _CUT)


@cache
def _numbers() -> frozenset[str]:
    """Return what of the form NUMBER is a listed code of any system."""
    return frozenset(code for codes in _codes_of().values() for code in codes if re.fullmatch(NUMBER, code))


@cache
def listed() -> dict[tuple[str, str], list[tuple[str, str, str]]]:
    """Return (kind, display, value set) of each listed code, by its system and its spelling there."""
    found: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for source in ("codes", "leap"):
        for system, code, kind, display in rows(source):
            found.setdefault((system, canonical_code(system, code)), []).append((kind, display, source))
    return found


@lru_cache(maxsize=1 << 12)
def only_hints(kind: str, display: str) -> bool:
    """Tell whether what a listed code's display names only hints at the condition."""
    text = plain_text(display)
    named = [
        one
        for name in ("ingredients", "substances", "words")
        for one in vocabulary(name).findings(text)
        if category_of_kinds([one.kind]) is category_of_kinds([kind])
    ]
    return not any(one.tells for one in named) if named else False


@cache
def _ranges() -> dict[str, tuple[list[_Range], list[str]]]:
    """Return the ranges of each system in the order of their first codes, and those codes."""
    by_system: dict[str, list[_Range]] = {}
    for system, first, last, kind, strength, display, _source in rows("ranges"):
        by_system.setdefault(system, []).append(_Range(first, last, kind, strength == _TELLS, display))
    ordered = {system: sorted(ranges) for system, ranges in by_system.items()}
    return {system: (ranges, [one.first for one in ranges]) for system, ranges in ordered.items()}


def plain_text(text: str) -> str:
    """Return a text in lower case without accents, blanks as one.

    One with signs that nobody sees comes twice: a reader sees a word that they stand in as whole, and two words that
    they stand between as two.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    seen = _UNSEEN.sub("", text)
    return _plain(text) if seen == text else f"{_plain(seen)} . {_plain(text)}"


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", few_marks(text))
    return " ".join("".join(one for one in decomposed if not unicodedata.combining(one)).casefold().split())
