"""Tokens at a relay: "one of the patients" pays with one for a grant, once, and nobody learns which patient it was.

Pure but for the clock: the relay's database knows which tokens were spent.
Follows docs/spec/relay.md, section "Tokens", and RFC 9578 section 6.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from panachain.crypto.blind_rsa import TokenKey
from panachain.crypto.tokens import challenge, check_token, spent_as
from panachain.errors import IntegrityError
from panachain.service.problems import Kind, ProblemError

NEEDED: Final = Kind("token-needed", 401, "A grant needs a token of the relay's issuer")
SPENT: Final = Kind("token-spent", 409, "The token paid for something else already")


@dataclass(frozen=True)
class TokenRules:
    """Which tokens a relay takes."""

    keys: Sequence[TokenKey]
    """Of the issuer: the present one, and one that it had before."""
    issuer: str
    """The issuer's name."""
    origin: str
    """The relay's own URL, as patients have it in their network files."""
    period: int
    """Seconds; tokens of the present period and of the one before count."""

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """Return what the section `tokens` of a configuration says.

        Raises:
            IntegrityError: a key isn't an issuer's.
            KeyError, TypeError, ValueError: a field is missing or of the wrong type.
        """
        keys = tuple(TokenKey.parse(bytes.fromhex(key)) for key in fields["keys"])
        period = int(fields.get("periodSeconds", 30 * 86_400))
        if not keys or period < 1:
            raise ValueError
        return cls(keys, str(fields["issuer"]), str(fields["url"]).rstrip("/"), period)

    def spent_as(self, token: bytes, *, now: int) -> bytes:
        """Return what is remembered of a good token, 32 bytes.

        Raises:
            ProblemError: there is none, or it isn't good here and now.
        """
        if not token:
            raise ProblemError(NEEDED, f"the issuer {self.issuer} gives tokens to registered patients")
        period = now // self.period
        for key in self.keys:
            for issued in (period, period - 1):
                try:
                    check_token(token, key, challenge(self.issuer, self.origin, max(issued, 0)))
                except IntegrityError:
                    # Another key or period may fit; what fits none of them is refused below.
                    continue
                return spent_as(token)
        raise ProblemError(NEEDED, f"the token isn't one of {self.issuer} for {self.origin} and this period")


class Till:
    """What takes tokens at one relay."""

    def __init__(self, rules: TokenRules, *, clock: Callable[[], float] = time.time) -> None:
        """Take the rules.

        Args:
            rules: which tokens count.
            clock: Unix seconds.
        """
        self.rules = rules
        self._clock = clock

    def spent_as(self, token: bytes) -> bytes:
        """Return what is remembered of a token that is good now; raises as `TokenRules.spent_as`."""
        return self.rules.spent_as(token, now=int(self._clock()))

    def kept_since(self) -> int:
        """Return the time before which no spent token needs to be remembered, Unix seconds."""
        return int(self._clock()) - 3 * self.rules.period
