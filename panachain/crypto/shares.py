"""Recovery shares: a seed as words of which any t of n make it again, and fewer tell nothing.

Never puts a word of a share into a message or a `repr`, and never takes more work from a hostile text than from a
share. What the shares make is checked here by the set's own digest alone, which has 32 bits: whoever combines them
compares the seed with what it must be (sdk/recovery.py).
Follows SLIP-0039 (SatoshiLabs; one group, 256 bits, no passphrase, extendable) and ADR 48.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Final

from panachain.errors import (
    ShareDamagedError,
    ShareRepeatedError,
    SharesMixedError,
    SharesThresholdError,
    SharesTooFewError,
    SharesWrongError,
    UsageError,
)

MOST: Final = 16
"""Shares of a set at most (SLIP-0039, section "Shamir's secret-sharing")."""
LEAST: Final = 2
"""Shares that are needed at least: whoever finds one that restores alone has the seed."""
WORDS: Final = 33
"""Words of a share of 256 bits: 4 that say which one it is, 26 of its value, 3 of its checksum."""
_TRIES: Final = 200
"""Subsets that are tried where some of more shares than are needed are wrong: seconds, whoever gave them."""
_LONGEST: Final = 1024
"""Characters that are looked at: 33 words of 8 letters take 296."""
_EXPONENT: Final = 1
"""20,000 rounds of PBKDF2, as usual. Without a passphrase they protect nothing, and an exponent of 15 takes an hour."""
_PREFIX: Final = 4
"""Letters that tell a word from every other one (SLIP-0039, section "Wordlist")."""
_SEED: Final = 32
"""bytes"""


@dataclass(frozen=True, repr=False)
class Share:
    """One share of a seed. Its `repr` shows nothing of its value."""

    set: str
    """The two words with which all shares of its set begin; drawn for the set, they tell nothing of the seed."""
    number: int
    """Which one of the set it is, from 1 on."""
    threshold: int
    """How many of the set make the seed."""
    _words: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Share({self.number} of {self.set!r})"

    def reveal(self) -> tuple[str, ...]:
        """Return the share's 33 words, for a page, a screen or `combine` and for nothing else."""
        return self._words


def split(secret: bytes, *, threshold: int, count: int) -> list[Share]:
    """Return shares of a secret of 32 bytes, by number; each call makes a set of its own.

    Args:
        secret: a seed.
        threshold: how many of them make it again.
        count: how many there are.

    Raises:
        UsageError: not 2 to `count` are needed, or there are more than 16.
    """
    if not LEAST <= threshold <= count <= MOST:
        raise UsageError(
            f"{threshold} of {count} shares: there are {LEAST} to {MOST}, and {LEAST} to all of them are needed"
        )
    if len(secret) != _SEED:
        raise UsageError(f"shares are made of {_SEED} bytes, not of {len(secret)}")
    # Imported here: only recovery needs its list of words.
    from shamir_mnemonic import generate_mnemonics

    (texts,) = generate_mnemonics(1, [(threshold, count)], secret, iteration_exponent=_EXPONENT)
    made = [parse(text) for text in texts]
    # Read back before anybody relies on them: the first and the last of them that are enough.
    if combine(made[:threshold]) != secret or combine(made[-threshold:]) != secret:
        raise SharesWrongError("the shares that were made don't make the seed again; nothing was handed out")
    return made


def parse(text: str) -> Share:
    """Return the share that some words are, whatever their case, whitespace or numbers.

    Four letters of each word are enough.

    Raises:
        ShareDamagedError: they can't be a share of a seed. The message names places, never words.
    """
    words = _words(text)
    from shamir_mnemonic.share import Share as Decoded
    from shamir_mnemonic.utils import MnemonicError

    found: Decoded | None
    try:
        found = Decoded.from_mnemonic(" ".join(words))
    except MnemonicError:
        # Raised below, not here: the library's error has the words, and would be this one's context.
        found = None
    if found is None:
        raise ShareDamagedError(
            "the checksum of the share doesn't fit: at least one word is wrong, or two are exchanged"
        )
    if (found.group_count, found.group_threshold, found.group_index) != (1, 1, 0):
        raise ShareDamagedError("this is a share of groups of shares, which PanaChain doesn't make")
    if found.iteration_exponent > _EXPONENT or len(found.value) != _SEED or found.member_threshold < LEAST:
        raise ShareDamagedError("this is a share of something else than a seed of PanaChain")
    return Share(" ".join(words[:2]), found.index + 1, found.member_threshold, words)


def combine(shares: Sequence[Share]) -> bytes:
    """Return the 32 bytes that shares make. All that are given must fit, more than are needed too.

    Raises:
        SharesTooFewError: fewer than the set needs.
        SharesMixedError: they are of different sets.
        SharesThresholdError: they disagree how many are needed.
        ShareRepeatedError: one is there twice.
        SharesWrongError: they don't fit together, although their words and numbers do. If enough of them do, the
            message names the others: who was given more than are needed learns whose share is wrong.
    """
    check_together(shares)
    threshold = shares[0].threshold if shares else LEAST
    if len(shares) < threshold:
        raise SharesTooFewError(f"{len(shares)} of the {threshold} shares that are needed were given")
    for chosen in islice(combinations(shares, threshold), _TRIES):
        try:
            secret = _combine(chosen)
        except SharesWrongError:
            continue
        wrong = [share for share in shares if share not in chosen and not _makes([*chosen[1:], share], secret)]
        if wrong:
            numbers, others = (", ".join(str(one.number) for one in some) for some in (wrong, chosen))
            raise SharesWrongError(
                f"not of the same secret as shares {others}: {numbers}; nothing was restored",
                hint="leave those out, and tell whoever gave them",
            )
        return secret
    raise SharesWrongError("the shares don't fit together: at least one of them isn't of this set")


def check_together(shares: Sequence[Share]) -> None:
    """Check that shares may be of one set, before there are enough of them; raises as `combine`, which goes on."""
    seen: dict[int, Share] = {}
    for share in shares:
        first = shares[0]
        if share.set != first.set:
            raise SharesMixedError(
                f"share {share.number} begins with other words than share {first.number}: they are of different sets"
            )
        if share.threshold != first.threshold:
            raise SharesThresholdError(
                f"by share {share.number} the set needs {share.threshold}, by share {first.number} {first.threshold}"
            )
        if share.number in seen:
            if share == seen[share.number]:
                raise ShareRepeatedError(f"share {share.number} was given twice")
            raise SharesMixedError(f"there are two different shares with number {share.number}: they are of two sets")
        seen[share.number] = share


def spoken(data: bytes) -> tuple[str, ...]:
    """Return a word for each two bytes, of which ten bits count: for reading out. Four letters of each are enough."""
    from shamir_mnemonic.wordlist import WORDLIST

    pairs = (data[at : at + 2] for at in range(0, len(data), 2))
    return tuple(WORDLIST[int.from_bytes(pair, "big") % len(WORDLIST)] for pair in pairs)


def _makes(shares: Sequence[Share], secret: bytes) -> bool:
    try:
        return hmac.compare_digest(_combine(shares), secret)
    except SharesWrongError:
        return False


def _combine(shares: Sequence[Share]) -> bytes:
    from shamir_mnemonic import combine_mnemonics
    from shamir_mnemonic.utils import MnemonicError

    try:
        found: bytes | None = combine_mnemonics([" ".join(share.reveal()) for share in shares])
    except MnemonicError:
        # Raised below, so that nothing of the library's is this error's context.
        found = None
    if found is None:
        raise SharesWrongError("the shares don't fit together: at least one of them isn't of this set")
    return found


def _words(text: str) -> tuple[str, ...]:
    """Return the words of a text, whole and in lower case."""
    if len(text) > _LONGEST:
        raise ShareDamagedError(f"a share has {WORDS} words; this text has {len(text)} characters")
    # Numbers before the words, and punctuation after them, as people copy a page.
    given = [word for word in re.split(r"[\s,;.:]+", text) if word and not (word.isascii() and word.isdigit())]
    if len(given) != WORDS:
        raise ShareDamagedError(f"a share has {WORDS} words; these are {len(given)}")
    from shamir_mnemonic.wordlist import WORDLIST

    known = {word[:_PREFIX]: word for word in WORDLIST}
    found = []
    for place, word in enumerate(given, 1):
        small = word.lower() if word.isascii() else ""
        whole = known.get(small[:_PREFIX], "") if len(small) >= _PREFIX else ""
        if not whole.startswith(small) or not whole:
            raise ShareDamagedError(f"word {place} of the share isn't in the list of words")
        found.append(whole)
    return tuple(found)
