"""Coming: a patient is told as whole once, after the last of their sources was published, and never before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from hypothesis import given
from hypothesis import strategies as st

from panachain.model.actors import Address
from panachain.sdk.coming import Coming

A, B, C = Address("a"), Address("b"), Address("c")


def pairs(patients: list[Address], coming: Coming, ending: bool) -> Iterator[Any]:
    """Yield sources; where `ending` is set, whoever finds them says of whom none follows, as `upload_many` does."""
    pairings = {patient: Mock(patient=patient) for patient in patients}
    if ending:
        yield from coming.each([(Path(), patient) for patient in patients], pairings, lambda *_: [Mock()])
    else:
        yield from ((Mock(), pairings[patient]) for patient in patients)


def ahead(sources: Iterator[Any], most: int) -> Iterator[Any]:
    """Yield sources, some of which are found before they are asked for."""
    held: list[Any] = []
    for one in sources:
        held.append(one)
        if len(held) > most:
            yield held.pop(0)
    yield from held


@given(st.lists(st.sampled_from([A, B, C]), max_size=12), st.integers(0, 13), st.booleans())
def test_each_patient_is_told_once_after_their_last_source(patients: list[Address], most: int, ending: bool) -> None:
    coming, told, published = Coming(), dict[Address, int](), 0

    def tell(patient: Address) -> None:
        assert patient not in told
        told[patient] = published

    for _ in coming.published(ahead(coming.found(pairs(patients, coming, ending)), most), tell):
        published += 1
    for patient, place in told.items():
        assert place > len(patients) - 1 - patients[::-1].index(patient)
    if (ending and most) or most >= len(patients):
        assert told.keys() == set(patients)


def test_while_others_may_be_found_nobody_is_told() -> None:
    coming, told = Coming(), list[Address]()
    following = coming.published(coming.found(pairs([A, B, B], coming, ending=False)), told.append)
    for _ in range(3):
        next(following)
        assert not told
    assert list(following) == []


def test_what_was_not_counted_is_never_told_as_whole() -> None:
    coming, told = Coming(), list[Address]()
    coming.end(A)
    assert len(list(coming.published(pairs([A, A], coming, ending=True), told.append))) == 2
    assert not told
