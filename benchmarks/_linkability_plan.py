"""The lives that are simulated: 1,000 patients, 30 hospitals and clinics, a year of visits, grants and revocations.

Pure chance, and the same for the same seed: nothing here seals or sends. Sizes are those of the records that
Synthea's Bundles split into, compressed (median and spread by category, 13 Bundles of the outside data).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from panachain.model.scope import Category

DAY = 86_400
YEAR = 365 * DAY
RECORDS = 20
"""Of each patient."""
SLOT = 12
"""Seconds between blocks."""
SIZES: dict[Category, tuple[int, float, float]] = {
    # Median bytes, spread (standard deviation of the logarithm), how often against the others.
    Category.ENCOUNTERS: (965, 0.49, 16),
    Category.VITALS: (1154, 0.17, 10),
    Category.LABORATORY: (1663, 0.66, 8),
    Category.CONDITIONS: (548, 0.15, 10),
    Category.MEDICATIONS: (800, 0.26, 8),
    Category.IMMUNIZATIONS: (520, 0.19, 7),
    Category.PROCEDURES: (707, 0.42, 7),
    Category.INSURANCE: (2109, 0.43, 14),
    Category.CARE_PLANS: (880, 0.16, 3),
    Category.DOCUMENTS: (40_000, 1.0, 3),
    Category.IMAGING: (120_000, 1.0, 1),
    Category.MENTAL_HEALTH: (828, 0.52, 0),
    Category.SUBSTANCE_USE: (2441, 0.5, 0),
}
DURATIONS = (30 * DAY, 90 * DAY, 90 * DAY, 180 * DAY, 365 * DAY, 365 * DAY)
"""Usual windows of a grant."""
SENSITIVE = 0.08
"""Of the patients have records of a restricted category at most visits."""
REVOKED = 0.15
"""Of the policies are revoked before they end."""
ROTATED = 0.4
"""Of those who revoke grant anew to the others in the same sitting."""


class Sharing(Enum):
    """The hospitals that publish through one account."""

    NOBODY = "each house by itself"
    CLINICS = "the clinics of a region"
    REGION = "all houses of a region, as through a health information exchange"


@dataclass(frozen=True)
class Institution:
    """A hospital, which publishes once a day, or a clinic, which publishes after each visit."""

    number: int
    region: int
    weight: float
    """How often it is chosen."""
    daily: bool
    hour: int
    """Seconds after midnight at which it publishes, when it publishes once a day."""


@dataclass(frozen=True)
class PlannedRecord:
    """One record that comes in."""

    patient: int
    institution: int
    at: int
    """Seconds after the beginning: when the visit is over."""
    category: Category
    size: int


@dataclass(frozen=True)
class PlannedGrant:
    """One policy."""

    patient: int
    index: int
    at: int
    grantee: int
    """Number of the practitioner."""
    scopes: tuple[str, ...]
    duration: int
    open: bool
    revoked_at: int | None = None
    begins: int | None = None
    """When its window begins, where that isn't `at`: a renewed policy has the window of the old one."""
    renewed_by: int | None = None
    """Place of the policy that took its place, when its lanes were rotated."""


@dataclass
class Plan:
    """Everything that happens."""

    institutions: list[Institution]
    relays: dict[int, int]
    """Which relay a patient uses."""
    records: list[PlannedRecord] = field(default_factory=list)
    grants: list[PlannedGrant] = field(default_factory=list)
    rotations: list[tuple[int, int]] = field(default_factory=list)
    """Patients who rotated lanes, and when."""


def make_plan(patients: int, institutions: int, seed: int) -> Plan:
    """Return the lives of so many patients."""
    chance = random.Random(seed)
    houses = [_institution(number, institutions, chance) for number in range(institutions)]
    plan = Plan(houses, {patient: chance.choices((0, 1, 2), (6, 3, 1))[0] for patient in range(patients)})
    for patient in range(patients):
        _live(plan, patient, chance)
    return plan


def _institution(number: int, count: int, chance: random.Random) -> Institution:
    # One in four is a hospital; each region has some of both.
    daily = number % 4 == 0
    weight = chance.uniform(3, 7) if daily else chance.uniform(0.6, 1.4)
    return Institution(number, number % max(count // 6, 1), weight, daily, chance.randrange(18 * 3600, 23 * 3600))


def _live(plan: Plan, patient: int, chance: random.Random) -> None:
    homes = _homes(plan.institutions, chance)
    factor = math.exp(chance.gauss(0, 0.35))
    sensitive = chance.random() < SENSITIVE
    met: set[int] = set()
    records: list[PlannedRecord] = []
    episodes = sorted(chance.randrange(YEAR - 60 * DAY) for _ in range(chance.choice((1, 2, 2, 3, 4))))
    while len(records) < RECORDS:
        # A burst: most visits come some days or weeks after another one.
        begin = chance.choice(episodes) + int(chance.expovariate(1 / (12 * DAY)))
        at = begin // DAY * DAY + chance.randrange(8 * 3600, 17 * 3600)
        house = chance.choices(homes, [3, *[1] * (len(homes) - 1)])[0]
        count = min(1 + int(chance.expovariate(1 / 3.2)), 9, RECORDS - len(records))
        records += [_record(patient, house, min(at, YEAR), chance, factor, sensitive) for _ in range(count)]
        if house not in met:
            met.add(house)
            _sitting(plan, patient, house, at, chance)
    if chance.random() < 0.3:
        # An insurer or a study, at any time; some studies' policies are open ones.
        at = chance.randrange(YEAR)
        _grant(
            plan, patient, 3 * len(plan.institutions) + chance.randrange(5), at, chance, is_open=chance.random() < 0.3
        )
    plan.records += records
    _revoke(plan, patient, chance)


def _homes(houses: Sequence[Institution], chance: random.Random) -> list[int]:
    region = chance.randrange(1 + max(house.region for house in houses))
    homes: list[int] = []
    for _ in range(chance.choices((1, 2, 3, 4), (30, 35, 23, 12))[0]):
        near = [house for house in houses if house.region == region] if chance.random() < 0.85 else list(houses)
        homes.append(chance.choices(near, [house.weight for house in near])[0].number)
    return list(dict.fromkeys(homes))


def _record(patient: int, house: int, at: int, chance: random.Random, factor: float, sensitive: bool) -> PlannedRecord:
    category = chance.choices(list(SIZES), [weight for _, _, weight in SIZES.values()])[0]
    if sensitive and chance.random() < 0.3:
        category = chance.choice((Category.MENTAL_HEALTH, Category.SUBSTANCE_USE))
    median, spread, _ = SIZES[category]
    size = int(median * factor * math.exp(chance.gauss(0, spread)))
    return PlannedRecord(patient, house, at, category, min(max(size, 200), 1_500_000))


def _sitting(plan: Plan, patient: int, house: int, at: int, chance: random.Random) -> None:
    """Grant to one to three practitioners of a new house, one after the other."""
    for number in range(chance.choice((1, 1, 2, 3))):
        _grant(plan, patient, 3 * house + number, at + 60 * number + chance.randrange(45), chance)


def _grant(plan: Plan, patient: int, grantee: int, at: int, chance: random.Random, *, is_open: bool = False) -> None:
    scopes: tuple[str, ...] = ("all",)
    if is_open or chance.random() < 0.6:
        names = [category.value for category in SIZES]
        scopes = tuple(sorted(chance.sample(names, chance.choice((1, 2, 3, 5, 8)))))
    elif chance.random() < 0.2:
        scopes = ("emergency",)
    plan.grants.append(
        PlannedGrant(patient, _next_index(plan, patient), at, grantee, scopes, chance.choice(DURATIONS), is_open)
    )


def _revoke(plan: Plan, patient: int, chance: random.Random) -> None:
    own = [place for place, grant in enumerate(plan.grants) if grant.patient == patient]
    everything = chance.random() < 0.02
    for place in own:
        grant = plan.grants[place]
        if grant.renewed_by is not None or (chance.random() >= REVOKED and not everything):
            continue
        at = grant.at + chance.randrange(DAY, max(min(grant.duration, YEAR - grant.at), DAY + 1))
        if everything:
            # A lost device: all policies end at once.
            at = max(plan.grants[other].at for other in own) + DAY
        plan.grants[place] = replace(grant, revoked_at=at)
        if not everything and chance.random() < ROTATED:
            plan.rotations.append((patient, at))
            for other in own:
                again = plan.grants[other]
                over = again.revoked_at is not None or again.renewed_by is not None
                if other != place and not over and again.at < at < again.at + again.duration - 30 * DAY:
                    index = _next_index(plan, patient)
                    begins = again.at if again.begins is None else again.begins
                    plan.grants[other] = replace(again, renewed_by=len(plan.grants))
                    plan.grants.append(replace(again, index=index, at=at + 40 * index, begins=begins))


def _next_index(plan: Plan, patient: int) -> int:
    # One patient's lives are made at a time, so that this patient's grants are the last ones.
    return sum(grant.patient == patient for grant in plan.grants[-100:])


def joined(plan: Plan, sharing: Sharing) -> Plan:
    """Return the same lives, with houses that share an account publishing through the first one of their region."""
    sharers = [
        house
        for house in plan.institutions
        if sharing is Sharing.REGION or (sharing is Sharing.CLINICS and not house.daily)
    ]
    first: dict[int, int] = {}
    for house in sharers:
        first.setdefault(house.region, house.number)
    account = {house.number: first[house.region] for house in sharers}
    records = [
        replace(record, institution=account.get(record.institution, record.institution)) for record in plan.records
    ]
    return replace(plan, records=records)


def rounds(plan: Plan, waits: Sequence[int], *, jitter: int) -> list[tuple[int, int, list[int]]]:
    """Return the batches: time, institution, numbers of the records, in the order of time.

    Args:
        plan: what comes in.
        waits: for each record how long it waits, seconds.
        jitter: the longest wait; above 0, clinics publish in daily rounds too, and a round takes one record of each
            patient, as long as the others needn't wait longer than that.
    """
    batches: dict[tuple[int, int], list[int]] = {}
    taken: set[tuple[int, int, int]] = set()
    for number, (record, wait) in enumerate(zip(plan.records, waits, strict=True)):
        house = plan.institutions[record.institution]
        due = record.at + wait
        at = _next_round(house, due) if house.daily or jitter else due + 900
        while jitter and (record.patient, house.number, at) in taken and at + DAY <= record.at + jitter:
            at += DAY
        taken.add((record.patient, house.number, at))
        batches.setdefault((at // SLOT * SLOT, house.number), []).append(number)
    return [(at, house, numbers) for (at, house), numbers in sorted(batches.items())]


def _next_round(house: Institution, due: int) -> int:
    at = due // DAY * DAY + house.hour
    return at + DAY if at < due else at


def rewraps(plan: Plan, wait: Callable[[], int], *, jitter: bool) -> list[tuple[int, int, int, int]]:
    """Return the headers that are wrapped anew after rotations: time, institution, batch and patient of each.

    Without jitter an institution publishes all of a patient's at its next hour of publishing, as one batch; with it
    each waits by itself, for a round that takes all that is due.

    Args:
        plan: what happens.
        wait: draws how long a header waits, seconds.
        jitter: whether rounds are shared.
    """
    found: list[tuple[int, int, int, int]] = []
    for number, (patient, rotated) in enumerate(plan.rotations):
        for record in plan.records:
            if record.patient != patient or record.at >= rotated:
                continue
            house = plan.institutions[record.institution]
            due = rotated + wait()
            at = _next_round(house, due)
            found.append((at, house.number, (at // DAY if jitter else number) * 100 + house.number, patient))
    return found
