"""Pairings: the public lane keys, locator keys and peppers that let one hospital publish to one patient's lanes.

A pairing lets a hospital write and find its own records again; with it nobody opens anything.
Follows docs/spec/formats.md (`panachain/pairing/4`), design sections 2 and 3, and ADR 36.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from panachain.crypto import box, keys, labels, umbral
from panachain.crypto.hpke import SealingKey
from panachain.errors import IntegrityError, UsageError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID
from panachain.model.actors import Address
from panachain.model.choices import NONE, Choices
from panachain.model.scope import FIRST_YEAR, UNDATED, Category, Generations, Scope, path_of
from panachain.model.sizes import KEY_SIZE, PUBLIC_SIZE, UMBRAL_SIGNATURE_SIZE
from panachain.records.header import HospitalLane
from panachain.records.rewrap import NO_WISHES, Wishes

_FORMER: Final = {
    Category.GENDER: Category.SEXUAL_HEALTH,
    Category.VIOLENCE: Category.SEXUAL_HEALTH,
    Category.PRIVATE: Category.MENTAL_HEALTH,
}
"""Where records of categories that came later went before; each is as restricted."""
FIRST: Final = Generations()
"""The generations of a patient who never rotated a lane."""


@dataclass(frozen=True)
class Pairing:
    """All lanes of one patient, each at its present generation, for one hospital."""

    patient: Address
    hospital: Address
    generations: Generations
    last_year: int
    """The last year that has lanes; a record of a later year needs a new pairing."""
    lanes: Mapping[Scope, HospitalLane] = field(repr=False)
    orders: tuple[CID, ...] = ()
    """What the patient asks the hospital to move (records/rewrap.py), oldest first."""
    choices: Choices = NONE
    """What the patient wants of sensitive kinds, at every hospital."""
    wishes: Wishes = NO_WISHES
    """What the orders ask to have in other categories: read by a hospital before it publishes."""
    takes: frozenset[Category] | None = None
    """Which categories go to these lanes: those of a carer, or what a ward has beside them; None for all."""
    person: Address | None = None
    """Whose records these are, if the patient is the account through which a carer acts for a ward."""
    digest: bytes = field(default=b"", compare=False)
    """Of its block, 32 bytes, by which the chain names it; empty where nobody asked the chain."""

    @property
    def about(self) -> Address:
        """The person whom the records are about."""
        return self.person or self.patient

    def category_for(self, category: Category) -> Category:
        """Return where a record goes: to the category that held it before, if it is newer than the pairing."""
        return category if Scope.of(category) in self.lanes else _FORMER.get(category, category)

    def path(self, category: Category, year: int, *, emergency: bool = False) -> list[tuple[Scope, HospitalLane]]:
        """Return the lanes of a record's path, widest first.

        Args:
            category: of the record.
            year: of the record.
            emergency: as `path_of`.

        Raises:
            IntegrityError: the pairing doesn't cover the year, or has a lane that nothing can be sealed to.
        """
        try:
            found = [(scope, self.lanes[scope]) for scope in path_of(category, year, emergency=emergency)]
        except KeyError:
            if Scope.of(category) not in self.lanes:
                raise IntegrityError(
                    f"the pairing is older than the category {category.value}: ask the patient to pair again"
                ) from None
            raise IntegrityError(
                f"the pairing covers {FIRST_YEAR} to {self.last_year}, not {year}: ask the patient to pair again"
            ) from None
        # Here, so that whoever publishes finds it before a batch is begun: of 2,000 lanes a record needs five.
        for _, lane in found:
            umbral.check_public(lane.public)
        return found


_CONTEXT: Final = labels.PAIRING
_VERSION: Final = 4
_WITH_CHOICES: Final = 5
"""The version of a pairing that holds choices: a program that doesn't know them must not take it for one without."""
_MOST_KINDS: Final = 1000
_LANE_SIZE: Final = PUBLIC_SIZE + 2 * KEY_SIZE
"""Bytes of a lane: its public key, the hospital's locator key and its pepper."""
_UNKNOWN: Final = re.compile(r"(?!all$|emergency$)[a-z]+(?:-[a-z]+)*(?:/(?:0|[1-9]\d*))?")
"""How the scope of any category is spelt."""


def hospital_lane(seed: keys.Seed, hospital: Address, scope: Scope, generation: int) -> HospitalLane:
    """Derive one lane as a hospital knows it, from the patient's seed."""
    return HospitalLane(
        seed.lane(scope, generation).public,
        keys.hospital_key(seed.locator_key(scope, generation), hospital),
        keys.hospital_key(seed.pepper(scope, generation), hospital),
        generation,
    )


def make_pairing(
    seed: keys.Seed,
    *,
    patient: Address,
    hospital: Address,
    last_year: int,
    generations: Generations = FIRST,
    orders: Sequence[CID] = (),
    choices: Choices = NONE,
) -> Pairing:
    """Derive the pairing of one hospital from the patient's seed."""
    lanes = {scope: hospital_lane(seed, hospital, scope, generations.current(scope)) for scope in _scopes(last_year)}
    return Pairing(patient, hospital, generations, last_year, lanes, tuple(orders), choices)


def seal_pairing(pairing: Pairing, *, hospital_key: bytes, patient_key: bytes, signer: umbral.Signer) -> bytes:
    """Return the pairing, signed by the patient, sealed to the hospital and to the patient: one block for the store.

    By their own seal patients learn from the root seed alone which generation each lane is at.

    Args:
        pairing: what it shall say.
        hospital_key: the hospital's sealing key, 1,216 bytes.
        patient_key: the patient's own.
        signer: the patient's.
    """
    choices = pairing.choices
    body = dagcbor.encode(
        {
            "v": _WITH_CHOICES if choices.number else _VERSION,
            "patient": bytes.fromhex(pairing.patient[2:]),
            "hospital": bytes.fromhex(pairing.hospital[2:]),
            "epoch": pairing.generations.epoch,
            "rotated": {scope.text: list(past) for scope, past in pairing.generations.history.items()},
            "last_year": pairing.last_year,
            # In the order of the categories' codes, so that the lanes' names needn't be repeated 2,000 times.
            "lanes": b"".join(_packed(lane) for lane in pairing.lanes.values()),
            "orders": list(pairing.orders),
            **(
                {"choices": [choices.number, sorted(choices.closed), sorted(choices.emergency)]}
                if choices.number
                else {}
            ),
        }
    )
    return box.seal_to_each([hospital_key, patient_key], signer.sign(_CONTEXT + body) + body, _CONTEXT)


def open_pairing(
    blob: bytes, *, secret: SealingKey, hospital: Address, patient: Address, verifying_key: bytes
) -> Pairing:
    """Open and check a pairing, as its hospital or as its patient.

    Raises:
        IntegrityError: it doesn't open, isn't the patient's, or isn't for this hospital.
    """
    plain = box.open_shared(secret, blob, _CONTEXT, readers=2)
    signature, body = plain[:UMBRAL_SIGNATURE_SIZE], plain[UMBRAL_SIGNATURE_SIZE:]
    umbral.verify(verifying_key, _CONTEXT + body, signature)
    fields = dagcbor.decode(body)
    try:
        named = fields["patient"], fields["hospital"]
        known = fields["v"] in (_VERSION, _WITH_CHOICES)
        if not known or named != (bytes.fromhex(patient[2:]), bytes.fromhex(hospital[2:])):
            raise IntegrityError("the pairing names another version, patient or hospital")
        if not isinstance(fields["lanes"], bytes):
            # A text would be cut into lanes too, and fail in the middle of an upload.
            raise TypeError("lanes")
        generations = _generations(fields["epoch"], fields["rotated"])
        lanes = _PackedLanes(fields["lanes"], fields["last_year"], generations)
        if not all(isinstance(order, CID) for order in fields["orders"]):
            raise TypeError("orders")
        choices = NONE if fields["v"] == _VERSION else _choices(*fields["choices"])
        return Pairing(patient, hospital, generations, fields["last_year"], lanes, tuple(fields["orders"]), choices)
    except (KeyError, TypeError, AttributeError, UsageError) as exc:
        raise IntegrityError("the pairing lacks a field or has one of the wrong type") from exc


def _packed(lane: HospitalLane) -> bytes:
    return lane.public + lane.locator_key + lane.pepper


def _generations(epoch: Any, rotated: Any) -> Generations:
    """Return the generations that a pairing states.

    Raises:
        IntegrityError: a lane's rotations don't grow, or reach beyond the epoch.
    """
    if type(epoch) is not int or not all(isinstance(past, list) for past in rotated.values()):
        raise TypeError("generations")
    history = {_scope(text): tuple(past) for text, past in rotated.items()}
    for past in history.values():
        grows = all(type(number) is int for number in past) and list(past) == sorted(set(past))
        # Rotations are numbered over all lanes, so a lane's numbers grow, begin at 1 and end at the epoch.
        if not past or not grows or past[0] < 1 or past[-1] > epoch:
            raise IntegrityError("the pairing's generations don't fit its epoch")
    return Generations(epoch, history)


def _choices(number: Any, closed: Any, emergency: Any) -> Choices:
    """Return the choices that a pairing states, also of kinds that this program doesn't know yet.

    Whoever publishes refuses those (`sensitivity/profiles.py`); the patient's other devices pass them on.
    """
    if type(number) is not int or number < 1:
        raise TypeError("number")
    for kinds in (closed, emergency):
        if not isinstance(kinds, list) or len(kinds) > _MOST_KINDS or not all(isinstance(one, str) for one in kinds):
            raise TypeError("kinds")
    return Choices(number, frozenset(closed), frozenset(emergency))


def _scope(text: str) -> Scope:
    """Return a rotated lane's scope, also of a category that this program doesn't know yet.

    What is forgotten here would begin anew with its first generation, which somebody revoked may still have.
    """
    if _UNKNOWN.fullmatch(text):
        return Scope(text)
    return Scope.parse(text)


class _PackedLanes(Mapping[Scope, HospitalLane]):
    """The lanes of a pairing as they lie in it: an upload needs a few of 2,000.

    How many categories it covers, it says itself: the program that made it may have known fewer, or more.
    """

    def __init__(self, packed: bytes, last_year: int, generations: Generations) -> None:
        years = _years(last_year)
        self._generations = generations
        self._each = 2 + len(years)
        self._last_year = last_year
        self._packed = packed
        self._cut: dict[Scope, HospitalLane] = {}
        """Those that were asked for: most are asked for again with each record."""
        self._covered, rest = divmod(len(packed) - 2 * _LANE_SIZE, self._each * _LANE_SIZE)
        if self._covered < 1 or rest:
            raise IntegrityError(f"pairing of {len(packed)} bytes of lanes, which isn't a whole number of categories")

    def __getitem__(self, scope: Scope) -> HospitalLane:
        if (known := self._cut.get(scope)) is not None:
            return known
        start = _LANE_SIZE * self._position(scope)
        cuts = start, start + PUBLIC_SIZE, start + PUBLIC_SIZE + KEY_SIZE, start + _LANE_SIZE
        public, locator_key, pepper = (self._packed[begin:end] for begin, end in pairwise(cuts))
        lane = self._cut[scope] = HospitalLane(public, locator_key, pepper, self._generations.current(scope))
        return lane

    def __iter__(self) -> Iterator[Scope]:
        return _scopes(self._last_year, self._covered)

    def __len__(self) -> int:
        return 2 + self._each * len(_categories(self._covered))

    def _position(self, scope: Scope) -> int:
        """Return the scope's place in the order of `_scopes`."""
        if scope.text in ("all", "emergency"):
            return 0 if scope.text == "all" else 1
        name, _, year = scope.text.partition("/")
        code = _code(name)
        if code is None or code >= self._covered:
            raise KeyError(scope)
        start = 2 + self._each * code
        if not year:
            return start
        if int(year) != UNDATED and int(year) not in _years(self._last_year):
            raise KeyError(scope)
        return start + 1 if int(year) == UNDATED else start + 2 + int(year) - FIRST_YEAR


@lru_cache(maxsize=256)
def _code(name: str) -> int | None:
    return next((category.code for category in Category if category.value == name), None)


def _categories(covered: int | None = None) -> list[Category]:
    """Return the known categories in the order of their codes, those below a number only if one is given."""
    known = sorted(Category, key=lambda category: category.code)
    return known if covered is None else [category for category in known if category.code < covered]


def _years(last_year: int) -> range:
    # The number decides how many lanes are computed: one from a stranger's block must not be without bound.
    if not FIRST_YEAR <= last_year <= FIRST_YEAR + 400:
        raise IntegrityError(f"last year {last_year} of a pairing is out of bounds")
    return range(FIRST_YEAR, last_year + 1)


def _scopes(last_year: int, covered: int | None = None) -> Iterator[Scope]:
    years = _years(last_year)
    yield Scope.all()
    yield Scope.emergency()
    for category in _categories(covered):
        yield Scope.of(category)
        yield Scope.of(category, UNDATED)
        for year in years:
            yield Scope.of(category, year)
