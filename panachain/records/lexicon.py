"""Lexicons: which words of a hospital's lists are forms of the word that somebody looks for, such as its plural.

Word lists have words as they are written, so nothing that was published depends on a language, or on the version of a
stemmer. A reader counts as one what a stemmer of Snowball shortens to the same: English for all Latin letters, further
languages where a hospital's records say or show that they are written in them, and those that the reader names. What a
hospital shows makes a difference to its own records only. Pure. Follows docs/spec/search.md (Words) and ADR 65.
"""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from copy import copy
from functools import cache
from typing import TYPE_CHECKING, Final

from panachain.errors import IntegrityError, TooLargeError, UsageError
from panachain.records.words import LONGEST, forms_of

if TYPE_CHECKING:
    import Stemmer

    from panachain.records.word_list import WordList

MOST_WORDS: Final = 200_000
"""Different words that have forms, of one hospital; the lists that would bring more are left out."""
MOST_LANGUAGES: Final = 3
"""Further languages of one hospital, but for those that a reader names: the ones that most records name come first."""
MOST_FORMS: Final = 500
"""Forms of one word at one hospital: no language has so many, but stemmers shorten made-up words to one without end."""
ENOUGH: Final = 4
"""Different words of a language's commonest ones that show that something is written in it."""
_PLACE_MEMORY: Final = 128
"""Bytes of one word's place in a set, beside its letters: of sets that have just grown."""
_FORM_MEMORY: Final = 320
"""Bytes of one word's place among the forms of one language, beside what it is shortened to: in a dictionary that has
just grown, with a list of its own."""

_ENGLISH: Final = "en"
_SCRIPTS: Final = (
    (0x370, 0x3FF, "greek"),
    (0x400, 0x4FF, "russian"),
    (0x530, 0x58F, "armenian"),
    (0x600, 0x6FF, "arabic"),
    (0x900, 0x97F, "hindi"),
    (0xB80, 0xBFF, "tamil"),
)
"""From which letter to which one a word begins that has a stemmer by its script."""
_LATIN: Final = 0x24F
"""The last Latin letter."""
LANGUAGES: Final = {
    "ca": ("catalan", "amb els dels aquest aquesta sense pero han"),
    "cs": ("czech", "neni bylo jsou ktery jako byla bez pred"),
    "da": ("danish", "ikke ved uden blev efter til som hos"),
    "de": ("german", "und nicht wird wurde bei eine einer durch keine ohne nach"),
    "en": ("english", ""),
    "es": ("spanish", "una que como pero muy fue sobre este por"),
    "et": ("estonian", "oli ning kui mis koos ilma parast"),
    "fi": ("finnish", "etta mutta ovat oli joka myos ilman kanssa"),
    "fr": ("french", "les des une avec dans sans cette chez par aux"),
    "hu": ("hungarian", "nem hogy egy volt vagy mint nelkul"),
    "id": ("indonesian", "yang dan dengan untuk tidak dari pada ini"),
    "it": ("italian", "della che una nel gli sono alla degli delle dal non"),
    "nl": ("dutch", "het een niet wordt werd voor geen naar zijn bij deze"),
    "no": ("norwegian", "ikke ved uten ble etter til som hos"),
    "pl": ("polish", "nie jest sie oraz przez dla jak przy bez bylo"),
    "pt": ("portuguese", "uma nao pelo pela sao foi tem mais com seu"),
    "ro": ("romanian", "este sunt care din pentru fara prin sau dupa fost"),
    "sv": ("swedish", "och att inte som vid efter utan fran"),
    "tr": ("turkish", "ile icin bir olarak veya olan degil gibi"),
}
"""By tag: a language's stemmer, and common words that show it, without accents; none is an English word of medicine."""
_COMMON: Final = {tag: frozenset(words.split()) for tag, (_, words) in LANGUAGES.items()}
_LOCK: Final = threading.Lock()


def tags_of(languages: str | Iterable[str]) -> frozenset[str]:
    """Return the languages that a reader names.

    Args:
        languages: tags such as `de` or `de-AT`; of a language whose forms have no rule here, nothing follows.

    Raises:
        UsageError: one of them is no tag.
    """
    given = [languages] if isinstance(languages, str) else list(languages)
    tags = {one.strip().lower().partition("-")[0].partition("_")[0] for one in given}
    if unknown := sorted(one for one in tags if one not in LANGUAGES):
        raise UsageError(
            f"{unknown[0]} is no language whose plurals are known", hint=f"known are {', '.join(LANGUAGES)}"
        )
    return frozenset(tags)


class Lexicon:
    """The words of the lists of one hospital."""

    def __init__(self) -> None:
        """Begin with no word."""
        self._named: frozenset[str] = frozenset()
        self._words: set[str] = set()
        self._latin = self._others = 0
        self._latin_size = self._others_size = 0
        self._said: dict[str, int] = defaultdict(int)
        self._forms: dict[str, dict[str, list[str]]] = {}
        self._found: dict[str, list[str]] = {}
        self._shown: tuple[str, ...] | None = None

    def naming(self, languages: Iterable[str]) -> Lexicon:
        """Return this lexicon for one query of a reader who names languages, as `tags_of` returns them.

        It keeps the forms of the words that it is asked for, so that they are looked for once and not for each list.
        """
        found = copy(self)
        found._named = frozenset(languages)
        found._found = {}
        return found

    def add(self, words: WordList) -> None:
        """Take in the words of a list.

        Raises:
            IntegrityError: the hospital's lists would have too many different words together; this one is left out.
        """
        new = set()
        for word in words.written():
            if word not in self._words and _has_forms(word):
                new.add(word)
                if len(self._words) + len(new) > MOST_WORDS:
                    raise IntegrityError(f"a hospital's lists have more than {MOST_WORDS:,} different words")
        self._words |= new
        for word in new:
            # Python takes up to four bytes for each letter, by the script of the word.
            if ord(word[0]) <= _LATIN:
                self._latin, self._latin_size = self._latin + 1, self._latin_size + sys.getsizeof(word)
            else:
                self._others, self._others_size = self._others + 1, self._others_size + sys.getsizeof(word)
        for language, count in words.languages().items():
            # What is no language of ours makes no difference, and takes no room.
            if language in LANGUAGES:
                self._said[language] += count
        self._forms.clear()
        self._found.clear()
        self._shown = None

    @property
    def memory(self) -> int:
        """Bytes that it takes at most once words were looked for in it."""
        words = _PLACE_MEMORY * len(self._words) + self._latin_size + self._others_size
        # What a word is shortened to is hardly ever longer than the word.
        latin = (_FORM_MEMORY * self._latin + self._latin_size) * max(
            sum(algorithm in _ALGORITHMS for algorithm in self._forms), len(self.languages)
        )
        # Of other scripts each has one stemmer at most.
        return words + latin + _FORM_MEMORY * self._others + self._others_size

    @property
    def languages(self) -> tuple[str, ...]:
        """Which languages count: English, what the reader named, what records name, and what their words show."""
        if self._shown is None:
            said = sorted(self._said, key=lambda tag: (-self._said[tag], tag))
            shown = {tag: len(common & self._words) for tag, common in _COMMON.items()}
            seen = sorted((tag for tag in shown if shown[tag] >= ENOUGH), key=lambda tag: (-shown[tag], tag))
            more = [tag for tag in dict.fromkeys((*said, *seen)) if tag != _ENGLISH]
            self._shown = (_ENGLISH, *more[:MOST_LANGUAGES])
        return tuple(dict.fromkeys((*self._shown, *sorted(self._named))))

    def forms(self, word: str) -> list[str]:
        """Return a word and its other forms, as they are written, sorted.

        Args:
            word: as `forms_of` returns it; needn't be in any list.

        Raises:
            TooLargeError: the hospital's lists have more forms of it than any language.
        """
        if not _has_forms(word):
            return [word]
        if word not in self._found:
            found = {word}
            for algorithm in self._algorithms(word):
                found.update(*self._alike(algorithm, [word]))
            _check_forms(found, word)
            self._found[word] = sorted(found)
        return self._found[word]

    def all_forms(self, words: Collection[str], most: int) -> set[str]:
        """Return some words and their other forms, as they are written: some more than `most` where there are more.

        Args:
            words: as `forms_of` returns them.
            most: how many are of use.

        Raises:
            TooLargeError: as `forms`.
        """
        found = set(words)
        by_algorithm: dict[str, list[str]] = defaultdict(list)
        for word in filter(_has_forms, words):
            for algorithm in self._algorithms(word):
                by_algorithm[algorithm].append(word)
        for algorithm, mine in by_algorithm.items():
            for alike in self._alike(algorithm, mine):
                _check_forms(alike, alike[0])
                found.update(alike)
                if len(found) > most:
                    return found
        return found

    def _alike(self, algorithm: str, words: list[str]) -> Iterator[list[str]]:
        """Yield the words that an algorithm shortens as it does one of these, each such group once."""
        if algorithm not in self._forms:
            self._forms[algorithm] = _by_stem(algorithm, self._words)
        for stem in dict.fromkeys(_stems(algorithm, words)):
            if alike := self._forms[algorithm].get(stem):
                yield alike

    def _algorithms(self, word: str) -> Iterator[str]:
        if ord(word[0]) <= _LATIN:
            yield from (LANGUAGES[tag][0] for tag in self.languages)
        elif (by_script := _by_script(word)) is not None:
            yield by_script


def _has_forms(word: str) -> bool:
    """Tell whether a word is one of three letters or more, and nothing else."""
    if not 2 < len(word) <= LONGEST:
        return False
    if word.isalpha():
        return True
    # Marks are no letters to Python. What this version of Unicode doesn't cut from a text isn't shortened, either.
    return not word.isascii() and not any(map(str.isdigit, word)) and forms_of(word) == [word]


def _check_forms(forms: Collection[str], word: str) -> None:
    if len(forms) > MOST_FORMS:
        raise TooLargeError(
            f"its lists have {len(forms):,} forms of {word}, more than any language", size=len(forms), limit=MOST_FORMS
        )


def _by_script(word: str) -> str | None:
    begins = ord(word[0])
    return next((algorithm for first, last, algorithm in _SCRIPTS if first <= begins <= last), None)


def _by_stem(algorithm: str, words: Collection[str]) -> dict[str, list[str]]:
    """Return the words that an algorithm is for, by what it shortens them to."""
    latin = algorithm in _ALGORITHMS
    mine = [word for word in words if (ord(word[0]) <= _LATIN if latin else _by_script(word) == algorithm)]
    found: dict[str, list[str]] = {}
    for word, stem in zip(mine, _stems(algorithm, mine), strict=True):
        found.setdefault(stem, []).append(word)
    return found


_ALGORITHMS: Final = frozenset(algorithm for algorithm, _ in LANGUAGES.values())


def _stems(algorithm: str, words: list[str]) -> list[str]:
    # A stemmer is one object with a buffer of its own.
    with _LOCK:
        stems: list[str] = _stemmer(algorithm).stemWords(words)
        return stems


@cache
def _stemmer(algorithm: str) -> Stemmer.Stemmer:
    # Imported here: most commands search nothing.
    import Stemmer

    return Stemmer.Stemmer(algorithm, 0)
