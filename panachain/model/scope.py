"""Categories, lanes' scopes and purposes: what a policy is about.

Never decides anything: which resource belongs to which category is records/fhir_category.py's job.
Follows design section 4 and HL7 v3 PurposeOfUse (code system 2.16.840.1.113883.5.8).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from panachain.errors import UsageError
from panachain.model.codes import Coded


class Category(Coded):
    """The segment of a health record that a record belongs to. The value is the word on the command line.

    Its code is its place in a pairing and its bit in an open policy. A new category takes the next free one, up to 31.

    Examples:
        >>> Category.LABORATORY.value
        'laboratory'
        >>> Category.parse("mental-health") is Category.MENTAL_HEALTH
        True
    """

    DEMOGRAPHICS = "demographics", 0
    ENCOUNTERS = "encounters", 1
    CONDITIONS = "conditions", 2
    ALLERGIES = "allergies", 3
    MEDICATIONS = "medications", 4
    IMMUNIZATIONS = "immunizations", 5
    LABORATORY = "laboratory", 6
    VITALS = "vitals", 7
    IMAGING = "imaging", 8
    PROCEDURES = "procedures", 9
    FAMILY_HISTORY = "family-history", 10
    CARE_PLANS = "care-plans", 11
    DOCUMENTS = "documents", 12
    INSURANCE = "insurance", 13
    GENOMICS = "genomics", 14
    MENTAL_HEALTH = "mental-health", 15
    SUBSTANCE_USE = "substance-use", 16
    SEXUAL_HEALTH = "sexual-health", 17
    GENDER = "gender", 18
    VIOLENCE = "violence", 19
    PRIVATE = "private", 20

    @property
    def bit(self) -> int:
        """The category's bit in an open policy's `categories` field."""
        return 1 << self.code

    @classmethod
    def parse(cls, text: str) -> Category:
        """Return the category that `text` names.

        Raises:
            UsageError: no category has this name.
        """
        try:
            return cls(text)
        except ValueError:
            known = ", ".join(category.value for category in cls)
            raise UsageError(f"unknown category {text!r}; the categories are: {known}") from None


RESTRICTED: Final = frozenset(
    {
        *(Category.MENTAL_HEALTH, Category.SUBSTANCE_USE, Category.SEXUAL_HEALTH),
        *(Category.GENDER, Category.VIOLENCE, Category.PRIVATE),
    }
)
"""Categories that `all` doesn't cover: they are granted by name only."""

EMERGENCY: Final = frozenset(
    {Category.ALLERGIES, Category.MEDICATIONS, Category.CONDITIONS, Category.IMMUNIZATIONS, Category.DEMOGRAPHICS}
)
"""Categories whose records are also wrapped to the emergency lane."""

SENSITIVE: Final = RESTRICTED | {Category.GENOMICS}
"""Categories that hold resources of any type, because of what they tell."""

IN_PART: Final = SENSITIVE | {Category.LABORATORY}
"""Categories of which single resources may be in the emergency lane: of the laboratory's, blood groups."""

UNDATED: Final = 0
"""The year of a record that bears no date."""

FIRST_YEAR: Final = 1900
"""The earliest year that has a lane of its own; what is older counts as undated."""


class Purpose(Coded):
    """Why a record is read: HL7 v3 PurposeOfUse. Its code is its bit in an open policy, up to 31.

    Examples:
        >>> Purpose.parse("treat") is Purpose.TREAT
        True
    """

    TREAT = "TREAT", 0
    ETREAT = "ETREAT", 1
    HPAYMT = "HPAYMT", 2
    HOPERAT = "HOPERAT", 3
    HRESCH = "HRESCH", 4
    PATRQT = "PATRQT", 5
    PUBHLTH = "PUBHLTH", 6
    FAMRQT = "FAMRQT", 7

    @property
    def bit(self) -> int:
        """The purpose's bit in an open policy's `purposes` field."""
        return 1 << self.code

    @classmethod
    def parse(cls, text: str) -> Purpose:
        """Return the purpose that `text` names.

        Raises:
            UsageError: no purpose has this name.
        """
        try:
            return cls(text.upper())
        except ValueError:
            known = ", ".join(purpose.value for purpose in cls)
            raise UsageError(f"unknown purpose {text!r}; the purposes are: {known}") from None


@dataclass(frozen=True, order=True)
class Scope:
    """The part of a patient's records that one lane covers: `all`, `emergency`, CATEGORY or CATEGORY/YEAR."""

    text: str
    """Its canonical spelling, which is also the label that the lane's keys are derived with."""

    @classmethod
    def all(cls) -> Scope:
        """Return the scope of everything but the restricted categories."""
        return cls("all")

    @classmethod
    def emergency(cls) -> Scope:
        """Return the scope of the patient summary."""
        return cls("emergency")

    @classmethod
    def of(cls, category: Category, year: int | None = None) -> Scope:
        """Return the scope of one category, or of one category in one year."""
        return cls(category.value if year is None else f"{category.value}/{year}")

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Return the scope that `text` spells.

        Raises:
            UsageError: it is neither `all`, `emergency`, a category nor category/year.
        """
        if text in ("all", "emergency"):
            return cls(text)
        name, slash, year = text.partition("/")
        category = Category.parse(name)
        if not slash:
            return cls.of(category)
        if not (year.isascii() and year.isdigit()) or str(int(year)) != year:
            raise UsageError(f"scope {text!r} has no canonical year")
        return cls.of(category, int(year))


def path_of(category: Category, year: int, *, emergency: bool = False) -> tuple[Scope, ...]:
    """Return the scopes whose lanes a record of this category and year is wrapped to, widest first.

    Args:
        category: of the record.
        year: of the record.
        emergency: whether it is in the emergency lane by itself, one of IN_PART; others are by their category alone.
    """
    scopes = [] if category in RESTRICTED else [Scope.all()]
    scopes += [Scope.of(category), Scope.of(category, year)]
    if category in EMERGENCY or (emergency and category in IN_PART):
        scopes.append(Scope.emergency())
    return tuple(scopes)


@dataclass(frozen=True)
class Generations:
    """Which generations a patient's lanes have had; a rotation gives some lanes a new one.

    A lane's generation is the number of the rotation that began it, 0 for the first. So one number, the epoch, tells
    of which generation every lane was at a time.
    """

    epoch: int = 0
    """How many rotations there were."""
    history: Mapping[Scope, tuple[int, ...]] = field(default_factory=dict)
    """For each lane that was ever rotated, by which rotations, oldest first."""

    def of(self, scope: Scope) -> tuple[int, ...]:
        """Return all generations of a lane, oldest first."""
        return (0, *self.history.get(scope, ()))

    def current(self, scope: Scope) -> int:
        """Return the generation that a lane's new records are wrapped to."""
        return self.of(scope)[-1]

    def at(self, scope: Scope, epoch: int) -> int:
        """Return the generation that a lane had after so many rotations of any lanes."""
        return max(number for number in self.of(scope) if number <= epoch)

    def rotated(self, scopes: Iterable[Scope]) -> Generations:
        """Return what is after one rotation of these lanes."""
        epoch = self.epoch + 1
        changed = {scope: (*self.history.get(scope, ()), epoch) for scope in scopes}
        return Generations(epoch, {**self.history, **changed})

    def covers(self, other: Generations) -> bool:
        """Tell whether nothing of what another statement says is missing here."""
        return Generations.merged([self, other]) == self

    @staticmethod
    def merged(stated: Iterable[Generations]) -> Generations:
        """Return what several statements say together, so that no lane goes back.

        Two devices of one patient may rotate at the same time: each counts the same epoch, and knows nothing of the
        other's lanes. What was sealed by such a statement says an epoch that doesn't tell of which generation each lane
        was. So these lanes count as rotated once more: everybody who reads the same statements comes to the same.
        """
        all_ = list(stated)
        epoch = max((one.epoch for one in all_), default=0)
        past: dict[Scope, set[int]] = {}
        for one in all_:
            for scope, numbers in one.history.items():
                past.setdefault(scope, set()).update(numbers)
        # It was of an older generation by one of them, whose epoch says otherwise.
        unknown = [
            scope
            for scope, numbers in past.items()
            if any(one.current(scope) < max(numbers) <= one.epoch for one in all_)
        ]
        together = Generations(epoch, {scope: tuple(sorted(numbers)) for scope, numbers in past.items()})
        return together.rotated(unknown) if unknown else together
