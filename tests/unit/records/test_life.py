"""Life: of each resource the newest version counts, whatever the order in which it was found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.errors import TooLargeError
from panachain.model.actors import Address
from panachain.model.records import Past, Reason
from panachain.records import life as module
from panachain.records.life import Held, Life, Withdrawal
from panachain.records.version_list import VersionList
from panachain.records.versions import DELETED, ERROR, Version

HERE, THERE = Address("0xHere"), Address("0xThere")


def version(
    number: str = "", content: str = "a", state: str = "", name: str = "Observation/k", base: str = ""
) -> Version:
    return Version(name, number, "", state, base, content.encode().ljust(16))


def held(record: str, *versions: Version, sequence: int = 1, hospital: Address = HERE, first: bool = False) -> Held:
    return Held(hospital, record, f"content of {record}", sequence, VersionList(0, first, versions))


def settled(*records: Held) -> Life:
    life = Life()
    for one in records:
        life.hold(one)
    life.settle()
    return life


def past(life: Life, *records: str) -> list[dict[int, Past]]:
    return [life.of(record).past for record in records]


class TestWhatCounts:
    def test_the_newest_version_does(self) -> None:
        life = settled(held("old", version("1")), held("new", version("2", "b")))
        assert past(life, "old", "new") == [{0: Past.SUPERSEDED}, {}]
        assert past(settled(held("old", version("2")), held("new", version("1", "b"), sequence=2)), "old", "new") == [
            {},
            {0: Past.SUPERSEDED},
        ]

    def test_without_numbers_and_times_the_order_of_publication_decides(self) -> None:
        life = settled(held("new", version(content="b"), sequence=2), held("old", version()))
        assert past(life, "old", "new") == [{0: Past.SUPERSEDED}, {}]

    def test_a_history_names_the_newest_first(self) -> None:
        assert past(settled(held("r", version(), version(content="b"), first=True)), "r") == [{1: Past.SUPERSEDED}]
        assert past(settled(held("r", version(), version(content="b"))), "r") == [{0: Past.SUPERSEDED}]

    @pytest.mark.parametrize(("state", "why"), [(ERROR, Past.IN_ERROR), (DELETED, Past.DELETED)])
    def test_what_was_taken_back_counts_in_no_version(self, state: str, why: Past) -> None:
        life = settled(held("old", version()), held("gone", version(state=state), sequence=2))
        assert past(life, "old", "gone") == [{0: why}, {0: why}]
        # And what came after it does.
        life = settled(held("gone", version(state=state)), held("new", version(), sequence=2))
        assert past(life, "gone", "new") == [{0: Past.SUPERSEDED}, {}]

    def test_what_has_no_name_always_does(self) -> None:
        assert past(settled(held("r", version(name=""), version(name="", state=DELETED))), "r") == [{}]

    def test_other_servers_and_other_hospitals_have_other_resources(self) -> None:
        life = settled(held("a", version(base="x")), held("b", version(content="b", base="y"), sequence=2))
        assert past(life, "a", "b") == [{}, {}]
        life = settled(held("a", version()), held("b", version(content="b"), sequence=2, hospital=THERE))
        assert past(life, "a", "b") == [{}, {}]

    def test_a_record_that_lists_nothing_counts(self) -> None:
        assert past(settled(), "r") == [{}]

    @given(st.permutations([("1", 1), ("2", 1), ("2", 2), ("3", 2), ("2", 3)]))
    def test_it_depends_on_nothing_but_what_is_there(self, order: list[tuple[str, int]]) -> None:
        life = settled(*(held(f"{n}-{s}", version(n, f"{n}{s}"), sequence=s) for n, s in order))
        assert [f"{n}-{s}" for n, s in sorted(order) if not life.of(f"{n}-{s}").past] == ["3-2"]


class TestWithdrawals:
    def withdrawal(self, *records: str, hospital: Address = HERE, at: int = 5) -> Withdrawal:
        contents = frozenset(f"content of {record}" for record in records)
        return Withdrawal(hospital, f"statement {at}", at, Reason.WRONG_PATIENT, contents)

    def test_what_a_withdrawn_record_superseded_counts_again(self) -> None:
        life = Life()
        for one in (held("old", version("1")), held("new", version("2", "b"))):
            life.hold(one)
        life.withdraw(self.withdrawal("new"))
        life.settle()
        assert past(life, "old") == [{}]
        assert life.withdrawal(HERE, "content of old") is None

    def test_one_counts_for_its_own_hospital_only(self) -> None:
        life = Life()
        life.withdraw(self.withdrawal("r", hospital=THERE))
        assert life.withdrawal(HERE, "content of r") is None
        assert life.withdrawal(THERE, "content of r") is not None

    def test_of_several_the_first_one_is_told(self) -> None:
        life = Life()
        for at in (7, 5, 9):
            life.withdraw(self.withdrawal("r", at=at))
        told = life.withdrawal(HERE, "content of r")
        assert told is not None
        assert told.at == 5


class TestNotices:
    """Statements that a newer version lies elsewhere."""

    def told(self, *records: Held, newer: Version, order: tuple[int, ...] = (9, 0), hospital: Address = HERE) -> Life:
        life = Life()
        for one in records:
            life.hold(one)
        life.tell(hospital, "statement", "content of statement", order, [newer])
        return life

    def test_what_is_here_counts_no_more(self) -> None:
        life = self.told(held("old", version("1")), newer=version("2", "b"))
        life.settle()
        assert past(life, "old") == [{0: Past.ELSEWHERE}]

    def test_where_both_lanes_are_read_the_newer_one_does(self) -> None:
        newer = version("2", "b")
        life = self.told(held("old", version("1")), held("new", newer, sequence=8), newer=newer)
        life.settle()
        assert past(life, "old", "new") == [{0: Past.SUPERSEDED}, {}]
        assert [len(one.versions) for one in life.histories()] == [2]

    def test_a_newer_one_that_is_here_is_hidden_by_no_older_notice(self) -> None:
        life = self.told(held("new", version("3"), sequence=10), newer=version("2", "b"))
        life.settle()
        assert past(life, "new") == [{}]

    def test_another_hospitals_notice_hides_nothing(self) -> None:
        life = self.told(held("old", version("1")), newer=version("2", "b"), hospital=THERE)
        life.settle()
        assert past(life, "old") == [{}]

    def test_one_that_was_withdrawn_hides_nothing(self) -> None:
        life = self.told(held("old", version("1")), newer=version("2", "b"))
        life.withdraw(TestWithdrawals().withdrawal("statement"))
        life.settle()
        assert past(life, "old") == [{}]


class TestTwoHospitals:
    def test_the_same_resource_but_for_its_meta_is_a_double(self) -> None:
        one, other = version(content="same content...1"[:16]), version(content="same content...2"[:16])
        life = settled(held("a", one), held("b", other, hospital=THERE))
        assert life.of("a").doubles == {0: {THERE}}
        assert life.of("b").doubles == {0: {HERE}}

    def test_what_counts_no_more_at_one_of_them_is_none(self) -> None:
        life = settled(
            held("a", version()), held("gone", version(state=DELETED), sequence=2), held("b", version(), hospital=THERE)
        )
        assert life.of("a").doubles == life.of("b").doubles == {}
        assert past(life, "b") == [{}]


class TestMatters:
    def test_a_list_that_decides_about_nothing_does_not(self) -> None:
        life = settled(held("a", version()), held("b", version(name="Observation/other"), version(name="")))
        assert (life.of("a").matters, life.of("b").matters) == (False, False)

    def test_one_that_hides_shows_or_doubles_something_does(self) -> None:
        life = settled(held("old", version()), held("new", version(content="b"), sequence=2))
        assert (life.of("old").matters, life.of("new").matters) == (True, True)
        assert settled(held("gone", version(state=DELETED))).of("gone").matters
        life = settled(held("a", version()), held("b", version(), hospital=THERE))
        assert (life.of("a").matters, life.of("b").matters) == (True, True)


class TestHistories:
    def test_each_resource_of_several_versions_has_one_oldest_first(self) -> None:
        life = settled(
            held("new", version("2", "b"), version(name="Observation/other"), sequence=2), held("old", version("1"))
        )
        (history,) = life.histories()
        assert [(seen.record, seen.past) for seen in history.versions] == [("old", Past.SUPERSEDED), ("new", None)]

    def test_one_that_was_deleted_has_one_as_well(self) -> None:
        assert [one.name for one in settled(held("r", version(state=DELETED))).histories()] == ["Observation/k"]


def test_a_hospital_is_bounded_in_what_it_lists_and_no_other_one_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VERSIONS", 3)
    life = Life()
    life.hold(held("a", *[version(name="")] * 3))
    with pytest.raises(TooLargeError):
        life.hold(held("b", version()))
    life.hold(held("c", version(), hospital=THERE))
