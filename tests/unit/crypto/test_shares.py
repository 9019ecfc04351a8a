"""Shares of a seed: any t of n make it again, fewer never, and each way in which they can't is told apart."""

from __future__ import annotations

import itertools
import json
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shamir_mnemonic import combine_mnemonics
from shamir_mnemonic.share import Share as Decoded

from panachain import errors
from panachain.crypto import shares
from panachain.errors import (
    PanaChainError,
    ShareDamagedError,
    ShareError,
    ShareRepeatedError,
    SharesMixedError,
    SharesThresholdError,
    SharesTooFewError,
    SharesWrongError,
    UsageError,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "slip39.json").read_text())
SECRET = bytes(range(32))


def text(share: shares.Share) -> str:
    return " ".join(share.reveal())


def remade(share: shares.Share, **changes: Any) -> shares.Share:
    """Return a share with other fields and a checksum that fits: what an attacker can write."""
    fields = vars(Decoded.from_mnemonic(text(share))) | changes
    return shares.parse(Decoded(**fields).mnemonic())


@pytest.mark.parametrize(("threshold", "count"), [(2, 2), (2, 3), (3, 5), (5, 5), (2, 16), (16, 16)])
def test_any_t_of_n_make_it_again_and_no_subset_of_fewer_does(threshold: int, count: int) -> None:
    made = shares.split(SECRET, threshold=threshold, count=count)
    assert [share.number for share in made] == list(range(1, count + 1))
    for some in itertools.islice(itertools.combinations(made, threshold), 40):
        assert shares.combine(some) == SECRET
        assert shares.combine(some[::-1]) == SECRET
    for few in itertools.islice(itertools.combinations(made, threshold - 1), 40):
        with pytest.raises(SharesTooFewError, match=f"of the {threshold} shares"):
            shares.combine(few)


def test_t_minus_1_shares_that_claim_to_be_enough_make_nothing() -> None:
    made = shares.split(SECRET, threshold=3, count=4)
    lying = [remade(share, member_threshold=2) for share in made[:2]]
    with pytest.raises(SharesWrongError):
        shares.combine(lying)


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (1, 3), (0, 2), (4, 3), (2, 17), (-1, 2)])
def test_other_numbers_are_refused(threshold: int, count: int) -> None:
    with pytest.raises(UsageError):
        shares.split(SECRET, threshold=threshold, count=count)


def test_something_else_than_a_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="32 bytes, not of 16"):
        shares.split(SECRET[:16], threshold=2, count=3)


def test_more_than_enough_are_all_checked() -> None:
    made = shares.split(SECRET, threshold=2, count=4)
    assert shares.combine(made) == SECRET
    forged = remade(made[3], value=bytes(32))
    with pytest.raises(SharesWrongError, match=r"of the same secret as shares 1, 2: 4|fit together"):
        shares.combine([*made[:3], forged])


class TestHostileShare:
    """A guardian who gives back another share than they got: its words are right, and its set is that of the others."""

    @pytest.fixture
    def given(self) -> list[shares.Share]:
        return shares.split(bytes(range(32)), threshold=2, count=5)

    def forged(self, share: shares.Share) -> shares.Share:
        return remade(share, value=bytes(32 * [share.number]))

    @pytest.mark.parametrize("place", range(4))
    def test_is_named_where_more_than_enough_are_given(self, given: list[shares.Share], place: int) -> None:
        some = given[:4]
        some[place] = self.forged(some[place])
        with pytest.raises(SharesWrongError, match=rf"of the same secret as shares .*: {place + 1}; nothing") as caught:
            shares.combine(some)
        assert "leave those out" in caught.value.hint
        assert shares.combine([one for one in some if one.number != place + 1]) == bytes(range(32))

    def test_several_are_named(self, given: list[shares.Share]) -> None:
        some = [self.forged(given[0]), given[1], self.forged(given[2]), given[3]]
        with pytest.raises(SharesWrongError, match=r"as shares 2, 4: 1, 3; nothing"):
            shares.combine(some)

    def test_among_just_enough_is_told_and_makes_no_seed(self, given: list[shares.Share]) -> None:
        with pytest.raises(SharesWrongError, match="fit together"):
            shares.combine([given[0], self.forged(given[1])])

    def test_however_many_are_wrong_the_tries_are_counted(
        self, given: list[shares.Share], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shares, "_TRIES", 3)
        tried: list[int] = []
        real = shares._combine
        monkeypatch.setattr(shares, "_combine", lambda some: [tried.append(1), real(some)][1])
        with pytest.raises(SharesWrongError, match="fit together"):
            shares.combine([self.forged(one) for one in given])
        assert len(tried) == 3


class TestToldApart:
    def setup_method(self) -> None:
        self.made = shares.split(SECRET, threshold=2, count=3)
        self.other = shares.split(SECRET[::-1], threshold=2, count=3)

    def test_different_sets(self) -> None:
        with pytest.raises(SharesMixedError, match="different sets"):
            shares.combine([self.made[0], self.other[1]])

    def test_the_same_share_twice(self) -> None:
        with pytest.raises(ShareRepeatedError, match="share 2 was given twice"):
            shares.combine([self.made[1], self.made[1]])

    def test_another_share_with_the_same_number(self) -> None:
        twin = remade(self.made[0], value=bytes(32))
        with pytest.raises(SharesMixedError, match="two different shares with number 1"):
            shares.combine([self.made[0], twin])

    def test_another_threshold(self) -> None:
        with pytest.raises(SharesThresholdError, match="needs 3, by share 1 2"):
            shares.combine([self.made[0], remade(self.made[1], member_threshold=3)])

    def test_a_set_of_the_same_name(self) -> None:
        identifier = Decoded.from_mnemonic(text(self.made[0])).identifier
        with pytest.raises(SharesWrongError, match="fit together"):
            shares.combine([self.made[0], remade(self.other[1], identifier=identifier)])

    def test_too_few(self) -> None:
        with pytest.raises(SharesTooFewError, match="1 of the 2"):
            shares.combine(self.made[:1])
        with pytest.raises(SharesTooFewError, match="0 of the 2"):
            shares.combine([])

    def test_each_has_an_error_of_its_own(self) -> None:
        kinds = {ShareDamagedError, ShareRepeatedError, SharesMixedError, SharesThresholdError, SharesTooFewError}
        assert all(kind.__bases__ == (ShareError,) for kind in kinds)
        assert not issubclass(SharesWrongError, ShareError)


class TestText:
    def setup_method(self) -> None:
        self.share = shares.split(SECRET, threshold=2, count=2)[0]
        self.words = self.share.reveal()

    def test_is_taken_as_people_copy_it(self) -> None:
        numbered = "\n".join(f"{place}. {word.upper()}," for place, word in enumerate(self.words, 1))
        shortened = "  ".join(word[:4] for word in self.words)
        assert shares.parse(numbered) == shares.parse(shortened) == shares.parse(text(self.share)) == self.share

    def test_one_changed_word_is_found(self) -> None:
        for place, word in enumerate(self.words):
            wrong = [*self.words]
            wrong[place] = "academic" if word != "academic" else "acid"
            with pytest.raises(ShareDamagedError, match="checksum"):
                shares.parse(" ".join(wrong))

    def test_two_exchanged_words_are_found(self) -> None:
        wrong = [*self.words]
        wrong[7], wrong[8] = ("acid", "acne") if wrong[7] == wrong[8] else (wrong[8], wrong[7])
        with pytest.raises(ShareDamagedError, match="checksum"):
            shares.parse(" ".join(wrong))

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ("", "these are 0"),
            ("academic", "these are 1"),
            ("academic " * 34, "these are 34"),
            ("x" * 2000, "2000 characters"),
            ("academic " * 1_000_000, "characters"),
            ("\x1b[31macademic " * 33, "word 1|characters|these are"),
            ("aca " * 33, "word 1 of"),
            ("\N{KELVIN SIGN}eyboard " * 33, "word 1 of"),
            ("academicacademic " * 33, "word 1 of"),
            ("\x00" * 33, "these are 1"),
        ],
        # Long texts are no names of tests.
        ids=lambda value: ascii(value[:12]),
    )
    def test_a_hostile_text_is_told_by_places_and_numbers_only(self, given: str, told: str) -> None:
        with pytest.raises(ShareDamagedError, match=told) as caught:
            shares.parse(given)
        assert "academic" not in str(caught.value)
        assert "\x1b" not in str(caught.value)

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=1200))
    def test_any_text_is_a_share_or_damaged(self, given: str) -> None:
        with pytest.raises(ShareDamagedError):
            shares.parse(given)

    def test_costly_and_foreign_shares_are_refused_before_any_work(self) -> None:
        for change in ({"iteration_exponent": 15}, {"iteration_exponent": 2}, {"member_threshold": 1}):
            with pytest.raises(ShareDamagedError, match="something else"):
                remade(self.share, **change)
        for change in ({"group_count": 2}, {"group_count": 3, "group_index": 1}):
            with pytest.raises(ShareDamagedError, match="groups"):
                remade(self.share, **change)

    def test_no_word_is_in_an_error_its_traceback_or_a_repr(self) -> None:
        wrong = " ".join([*self.words[:-1], "academic" if self.words[-1] != "academic" else "acid"])
        with pytest.raises(ShareDamagedError) as caught:
            shares.parse(wrong)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        shown = "".join(traceback.format_exception(caught.value)) + str(caught.value) + caught.value.hint
        # Some words of the list are words of ours, too: three in a row aren't.
        runs = [" ".join(self.words[start : start + 3]) for start in range(31)]
        assert not [run for run in runs if run in shown or run in repr(self.share)]


class TestVectors:
    @pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: case["what"])
    def test_the_library_makes_what_the_standard_says(self, case: dict[str, Any]) -> None:
        assert combine_mnemonics(case["shares"], VECTORS["passphrase"].encode()).hex() == case["master"]

    @pytest.mark.parametrize("case", VECTORS["invalid"], ids=lambda case: case["what"])
    def test_what_the_standard_refuses_is_refused(self, case: dict[str, Any]) -> None:
        # Of two rounds more than ours: the only vector of t of n and 256 bits is costlier than what we make.
        kind: type[PanaChainError] = getattr(errors, case["error"])
        with pytest.raises((kind, ShareDamagedError)):
            shares.combine([shares.parse(one) for one in case["shares"]])

    def test_a_share_of_ours_is_one_of_the_standards(self) -> None:
        made = shares.split(SECRET, threshold=2, count=3)
        assert combine_mnemonics([text(made[2]), text(made[0])]) == SECRET

    def test_a_set_with_a_passphrase_makes_another_seed_silently_which_is_why_the_seed_is_compared(self) -> None:
        made = shares.split(SECRET, threshold=2, count=3)
        assert combine_mnemonics([text(made[0]), text(made[1])], b"TREZOR") != SECRET
