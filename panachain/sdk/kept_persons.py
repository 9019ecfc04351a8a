"""Whose record it is, checked before an upload publishes: a hospital keeps by what each of its patients is known.

Only keyed fingerprints are kept, sealed, in a file for each patient, and an index that finds the patients of an
identifier. What is lost or damaged is never taken for a patient of whom nothing was known: somebody is asked.
Follows docs/spec/persons.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from panachain.crypto import kdf, labels
from panachain.crypto.keys import Seed
from panachain.errors import InputError
from panachain.model.actors import Address
from panachain.records.persons import FIELDS, Prints, distinct
from panachain.records.sources import Source
from panachain.sdk.kept import Kept, kept_names

_HINT: Final = (
    "look at the file: leave it out if it is another person's; if it is right, the same command with --confirm-patient"
)

_FILE: Final = "person-"
_AT_ONCE: Final = 16
"""Files that are written at once."""
_DIGITS: Final = "0123456789abcdef"


class UnsureError(InputError):
    """Two sources of one call are about different persons, and nothing says which of them is right."""


class KeptPersons:
    """What the patients of one hospital are known by."""

    def __init__(self, profile: Path, seed: Seed, *, confirmed: bool = False) -> None:
        """Take the profile's folder, the hospital's seed, and whether somebody looked and says that all is right."""
        self._profile = profile
        self._seed = seed
        self._key = kdf.derive(seed.store_key(), labels.PERSONS)
        self._confirmed = confirmed
        self._known: dict[Address, Prints] = {}
        self._index: dict[str, dict[str, list[Address]]] = {}
        """Who has an identifier, by the first digit of its fingerprint: a file of the index each."""
        self._changed: set[Address] = set()
        self._new: set[Address] = set()
        """Patients of whom nothing was published before this call."""
        self._changed_index: set[str] = set()
        self._lost = False
        """Whether what the patient of what was checked last is known by is lost."""
        self._checked: tuple[Address, Prints] | None = None
        """Whom what was checked last is about: learned once it is sure that it can be read."""

    @property
    def key(self) -> bytes:
        """The key of the fingerprints."""
        return self._key

    def recognise(self, each: Sequence[Prints], form: str) -> tuple[Address | None, str]:
        """Return the one patient who a person is for sure, or None and why nobody is, by the field's name.

        Args:
            each: what identifies the person, once for each place that says so; none may contradict.
            form: a key of FIELDS.
        """
        keys = {key for one in each for key in one.handles()}
        sure, nearly = list[Address](), list[int]()
        for patient in sorted({patient for key in keys for patient in self._shard(key).get(key, ())}):
            known = self._known.get(patient) or self._read(patient)
            if known is None:
                return None, "by what a patient of theirs is known is lost or damaged on this machine"
            contradicting = [field for one in each if (field := known.contradicts(one)) is not None]
            open_ = [known.leaves_open(one) for one in each]
            if not contradicting and None in open_:
                sure.append(patient)
            else:
                nearly += contradicting or [field for field in open_ if field is not None]
        if len(sure) == 1:
            return sure[0], ""
        if sure:
            return None, f"several patients are known by the same ({FIELDS[form][0]})"
        if nearly:
            return None, f"{FIELDS[form][nearly[0]]} is another one, or unknown, of the patient with their identifier"
        return None, f"no patient is known by it ({FIELDS[form][0]})"

    def check(self, source: Source, patient: Address, published: Callable[[], bool]) -> None:
        """Check that a source is about one person, about this patient and about no other one, as far as is known.

        Args:
            source: the source.
            patient: whom it is uploaded for.
            published: tells whether anything was published for the patient before.

        Raises:
            InputError: it isn't, or can't be read; the field is named, never its value nor the path. `publishes` tells
                what is lost.
            UnsureError: it, or another source of this call, is about another person.
        """
        self._lost, self._checked = False, None
        found = source.persons()
        known = self._of(patient, published)
        if not found:
            return
        fields = FIELDS[found[0].form]
        several, field = distinct(found, self._key)
        if field is not None:
            self._refuse(f"it is about several persons ({fields[field]})")
            # Whoever of them the patient is isn't known, so nothing is learned.
            return
        if found[0].form == "reference":
            # A logical id holds on its server only: it tells persons of one file apart, and no more.
            return
        made = several[0]
        if known is None and not self._confirmed:
            # What was published for the patient before teaches it anew; whatever is new isn't believed.
            self._lost, self._checked = True, (patient, made)
            return
        known = known or Prints()
        differs = known.differs(made)
        if differs is not None:
            reason = f"{fields[differs]} is another one than in the patient's other records"
            self._refuse(reason, unsure=patient in self._new)
        keys = made.handles()
        others = set() if keys & known.handles() else self._others(made, keys, patient)
        if others:
            reason = f"it is about a person whom another patient's records are about ({fields[0]})"
            self._refuse(reason, unsure=not self._new.isdisjoint(others))
        self._checked = (patient, made)

    def publishes(self) -> None:
        """Note that the source that was checked last can be read, and a record of it is new; it teaches whose it is.

        Raises:
            InputError: what its patient was known by is lost, so nobody can tell whether it is theirs.
        """
        if self._lost:
            reason = "by what the patient of earlier records is known is lost or damaged on this machine"
            raise InputError(reason, hint=_HINT)
        self.recognised()

    def recognised(self) -> None:
        """Note that all of the source that was checked last was published before: it teaches what was lost, too."""
        if self._checked is not None:
            patient, made = self._checked
            self._lost, self._checked = False, None
            self._learn(patient, self._known.get(patient, Prints()), made)

    def keep(self) -> None:
        """Keep what was learned of whom something is published."""
        files: list[tuple[Kept, Any]] = [
            (self._shard_file(shard), {"v": 1, "patients": self._index[shard]}) for shard in sorted(self._changed_index)
        ]
        files += [(self._file(patient), self._known[patient].to_kept()) for patient in sorted(self._changed)]
        # Each waits for the disk, and the disk takes many at once.
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda one: one[0].write(one[1]), files))
        self._changed_index.clear()
        self._changed.clear()

    def _learn(self, patient: Address, known: Prints, made: Prints) -> None:
        before = known.to_kept()
        merged = Prints.of_kept(before)
        merged.add(made)
        if merged.size > Prints.LARGEST or (patient in self._known and merged.to_kept() == before):
            return
        self._known[patient] = merged
        self._changed.add(patient)
        for key in made.handles():
            patients = self._shard(key).setdefault(key, [])
            if patient not in patients:
                patients.append(patient)
                self._changed_index.add(key[0])

    def _others(self, made: Prints, keys: set[str], patient: Address) -> set[Address]:
        """Return the other patients who are known by one of these keys, and are the same person.

        A lost file of such a patient contradicts nothing, so it is the same person: somebody is asked.
        """
        others = {other for key in keys for other in self._shard(key).get(key, ()) if other != patient}
        return {
            other for other in others if (self._known.get(other) or self._read(other) or Prints()).differs(made) is None
        }

    def _refuse(self, reason: str, *, unsure: bool = False) -> None:
        if not self._confirmed:
            raise (UnsureError if unsure else InputError)(reason, hint=_HINT)

    def _of(self, patient: Address, published: Callable[[], bool]) -> Prints | None:
        """Return what a patient is known by, nothing for a new one, and None if it was known and is lost."""
        known = self._known.get(patient)
        if known is not None:
            return known
        known = self._read(patient)
        if published():
            if known is None:
                return None
        else:
            self._new.add(patient)
        if known is None:
            # Kept from now on, also if nothing is learned: what is missing later was lost.
            known = Prints()
            self._changed.add(patient)
        self._known[patient] = known
        return known

    def _read(self, patient: Address) -> Prints | None:
        try:
            return Prints.of_kept(self._file(patient).read())
        except InputError:
            return None

    def _shard(self, key: str) -> dict[str, list[Address]]:
        if key[0] not in self._index:
            kept = self._shard_file(key[0]).read()
            if isinstance(kept, dict) and kept.get("v") == 1:
                self._index[key[0]] = kept["patients"]
            else:
                self._rebuild()
        return self._index[key[0]]

    def _rebuild(self) -> None:
        """Make the whole index anew from the patients' files: all of it is written at first, so it was lost."""
        self._index = {digit: {} for digit in _DIGITS}
        self._changed_index.update(_DIGITS)
        on_disk = {Address(name.removeprefix(_FILE)) for name in kept_names(self._profile, _FILE)}
        for patient in sorted(on_disk | self._known.keys()):
            known = self._known.get(patient) or self._read(patient) or Prints()
            for key in known.handles():
                self._index[key[0]].setdefault(key, []).append(patient)

    def _file(self, patient: Address) -> Kept:
        return Kept(self._profile, self._seed, f"{_FILE}{patient}")

    def _shard_file(self, shard: str) -> Kept:
        return Kept(self._profile, self._seed, f"persons-{shard}")
