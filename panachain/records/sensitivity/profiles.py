"""Profiles: which kinds of sensitive information are closed, and whether hints count.

A hospital chooses one. Nothing here opens what a patient closed. The laws that a profile is named after are said in
docs/spec/sensitivity.md; a profile is no legal advice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from panachain.errors import IntegrityError, UsageError
from panachain.model.choices import Choices
from panachain.model.scope import RESTRICTED, Category
from panachain.records.sensitivity.kinds import kinds, with_parts

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
    wished: frozenset[str] = frozenset()
    """Kinds that are closed because the patient wants it, whatever the hospital chose."""
    emergency: frozenset[str] = frozenset()
    """Kinds that the patient wants in the emergency summary although they are closed."""

    def category(self, found: Category) -> Category:
        """Return where something of a category goes, once the patient's wishes count.

        A kind whose category isn't restricted (genetic information) is private where the patient closes it.
        """
        moves = found not in RESTRICTED and any(kinds()[one].category is found for one in self.wished)
        return Category.PRIVATE if moves else found

    def in_emergency(self, found: Iterable[str]) -> bool:
        """Tell whether the patient wants something of these kinds in the emergency summary: all that it tells.

        Args:
            found: codes of kinds. What a narrower one says again counts for nothing: substance use beside opioids.
        """
        named = set(found)
        wider = {one for one in named for other in named - {one} if other in with_parts([one])}
        return bool(named) and named - wider <= self.emergency


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


def for_patient(profile: Profile, choices: Choices) -> Profile:
    """Return what a hospital closes for one patient: what its profile closes, and what the patient closes.

    Args:
        profile: the hospital's.
        choices: the patient's.

    Raises:
        IntegrityError: the patient chose a kind that this program doesn't know. Nothing is guessed: it could open it.
    """
    unknown = sorted((choices.closed | choices.emergency) - kinds().keys())
    if unknown:
        raise IntegrityError(
            f"the patient closes kinds that this program doesn't know ({', '.join(unknown)}); nothing was published",
            hint="a newer version of panachain knows them",
        )
    closed, emergency = with_parts(choices.closed), with_parts(choices.emergency)
    if not (closed or emergency):
        return profile
    return replace(profile, kinds=profile.kinds | closed, wished=closed, emergency=emergency)
