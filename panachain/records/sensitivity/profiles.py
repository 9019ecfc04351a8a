"""Profiles: which kinds of sensitive information are closed, and whether hints count.

A hospital chooses one. Nothing here opens what a patient closed. The laws that a profile is named after are said in
docs/spec/sensitivity.md; a profile is no legal advice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from panachain.errors import UsageError

_STD: Final = frozenset({"HIV", "STD"})
_REPRODUCTIVE: Final = frozenset({"SEX", "PREGNANT", "ABORTION", "CONTRACEPTION"})
_VIOLENCE: Final = frozenset({"SDV", "VIO", "MST"})
_MENTAL: Final = frozenset({"MH", "PSY", "PSYTHPN", "BH", "COGN", "DVD", "EMOTDIS", "SUICIDE"})
_SUBSTANCE: Final = frozenset({"SUD", "ETHUD", "OPIOIDUD", "ETH", "TBOO"})
_GENETIC: Final = frozenset({"GDIS", "SCA"})
_ALL: Final = _STD | _REPRODUCTIVE | _VIOLENCE | _MENTAL | _SUBSTANCE | _GENETIC | {"GENDER", "PRS"}


@dataclass(frozen=True)
class Profile:
    """Which kinds are closed."""

    name: str
    kinds: frozenset[str]
    """Codes of the kinds that are closed."""
    hints: bool = False
    """Whether what only hints at a condition is closed, too."""


DEFAULT: Final = Profile("default", _ALL)
PROFILES: Final = {
    profile.name: profile
    for profile in (
        DEFAULT,
        Profile("strict", _ALL, hints=True),
        Profile("us-42cfr2", _SUBSTANCE),
        Profile("us-ca-ab352", _REPRODUCTIVE | {"GENDER"}),
        Profile("minimal", _STD | {"ABORTION", "PSYTHPN", "OPIOIDUD", "SDV"}),
    )
}
"""By name."""


def profile_of(name: str) -> Profile:
    """Return a profile by its name.

    Raises:
        UsageError: there is none.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise UsageError(f"{name!a}: no such sensitivity profile", hint=f"one of {', '.join(PROFILES)}") from None
