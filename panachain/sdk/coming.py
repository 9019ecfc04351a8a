"""Coming: of which patients further sources come, so that what is whole of one is finished while others are read.

Never says that nothing comes any more of somebody of whom something may. Holds no source. Follows ADR 78.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from panachain.model.actors import Address
from panachain.records.pairing import Pairing
from panachain.records.sources import Source


class Coming:
    """Counts the sources of each patient between those that find them and those that publish them."""

    def __init__(self) -> None:
        """Begin with none."""
        self._between: Counter[Address] = Counter()
        self._ended: set[Address] = set()
        self._untold: dict[Address, None] = {}
        """Those of whom a source was published, and of whom others may come."""
        self._are_all_found = False

    def end(self, patient: Address) -> None:
        """Note that no further source of a patient is found."""
        self._ended.add(patient)

    def each(
        self,
        chosen: Sequence[tuple[Path, Address]],
        pairings: Mapping[Address, Pairing],
        find: Callable[[Path, Address], Iterable[Source]],
    ) -> Iterator[tuple[Source, Pairing]]:
        """Yield the sources of paths with their patients' pairings, and note of whom none follows.

        Args:
            chosen: paths, each with a patient.
            pairings: of all of them.
            find: finds the sources of a path.
        """
        last = {patient: place for place, (_, patient) in enumerate(chosen)}
        for place, (path, patient) in enumerate(chosen):
            for source in find(path, patient):
                yield source, pairings[patient]
            if last[patient] == place:
                self.end(patient)

    def found(self, sources: Iterable[tuple[Source, Pairing]]) -> Iterator[tuple[Source, Pairing]]:
        """Yield sources as they are found, and count them."""
        for source, pairing in sources:
            self._between[pairing.patient] += 1
            yield source, pairing
        self._are_all_found = True

    def published(
        self, sources: Iterable[tuple[Source, Pairing]], tell: Callable[[Address], None]
    ) -> Iterator[tuple[Source, Pairing]]:
        """Yield sources to whoever publishes them; all of them went through `found`.

        Args:
            sources: in their order.
            tell: is told of each patient once nothing of theirs comes any more, after their last source is published.
        """
        for source, pairing in sources:
            yield source, pairing
            self._between[pairing.patient] -= 1
            self._untold[pairing.patient] = None
            for one in list(self._untold) if self._are_all_found else [pairing.patient]:
                if self._is_over(one):
                    del self._untold[one]
                    tell(one)

    def _is_over(self, patient: Address) -> bool:
        return not self._between[patient] and (self._are_all_found or patient in self._ended)
