"""Searching: who finds which record by which word, and what a store, a chain or a hospital that lies brings about."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from panachain.crypto import labels, padding, stream
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.compress import compress
from panachain.errors import AccessDeniedError, IntegrityError, UsageError
from panachain.ipld.cid import CID
from panachain.records import lexicon, word_list
from panachain.records.search import Query, Work
from panachain.sdk import searching
from panachain.sdk.results.searches import SearchResult
from panachain.sdk.searching import KeptSearchables
from tests.twin.world import World
from tests.unit.sdk.helpers import again, grant


def lab(number: int | str, text: str, value: float | None = None, *, version: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "meta": {"versionId": str(version)},
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2345-7", "display": "Glucose in Serum"}]},
        "effectiveDateTime": "2024-05-06",
        "note": [{"text": text}],
        **({} if value is None else {"valueQuantity": {"value": value, "unit": "mg/dL"}}),
        **more,
    }


def publish(world: World, *entries: dict[str, Any], where: str = "hospital") -> Any:
    held = [one if "request" in one else {"resource": one} for one in entries]
    path = world.home / f"searched-{len(list(world.home.glob('searched-*')))}.json"
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": held}))
    return again(world, where).upload([path], world.patient.address)


def found(world: World, *words: str, who: str = "patient", **more: Any) -> SearchResult:
    if who == "patient":
        result: SearchResult = again(world).records().search(words, **more)
        return result
    policy = grant(world, categories=more.pop("granted", ("laboratory",))).policy_id
    searched: SearchResult = again(world, who).open(policy).search(words, **more)
    return searched


def total(world: World, *words: str, **more: Any) -> int:
    return found(world, *words, **more).total


class TestWords:
    @pytest.mark.parametrize("who", ["patient", "clinician"])
    def test_finds_what_both_hospitals_published_and_proves_that_it_is_all(self, world: World, who: str) -> None:
        here = publish(world, lab(1, "before breakfast", 131.0)).records[0]
        publish(world, lab(2, "fasting"), where="clinic")
        result = found(world, "glucose", who=who)
        assert result.total == 2
        assert {one.hospital for one in result.records} == {world.hospital.address, world.clinic.address}
        assert {proof.hospital: (proof.transactions, proof.records) for proof in result.proofs} == {
            world.hospital.address: (1, 1),
            world.clinic.address: (1, 1),
        }
        (only,) = found(world, "BREAKFASTS", who=who).records
        assert (only.record_id, only.entries, only.category, only.year) == (here.header_cid, 1, "laboratory", 2024)
        assert (result.omissions, result.notices, result.mute) == ((), (), 0)

    def test_finds_phrases_beginnings_numbers_and_codes(self, world: World) -> None:
        publish(world, lab(1, "chest pain at night", 131.0), lab(2, "no pain in the chest", 90))
        for words, entries in [
            (("chest pain",), 1),
            (("chest", "pain"), 2),
            (("pain", "night"), 1),
            (("gluc*",), 2),
            (("glucose>126",), 1),
            (("glucose>=90mg/dL",), 2),
            (("glucose<1mmol/L",), 0),
            (("loinc|2345-7",), 2),
            (("2345-7=90",), 1),
            (("snomed|2345-7",), 0),
            (("night", "glucose<100"), 0),
        ]:
            records = found(world, *words).records
            assert sum(one.entries for one in records) == entries, words
        assert found(world, "glucose>126").records[0].values == ("131.0 mg/dL",)

    def test_refuses_what_cannot_be_looked_for_before_anything_is_opened(self, world: World) -> None:
        world.network.store.down = True
        for words in [(), ("",), ("gl*",), ("***",), ("x" * 600,), ("a",) * 17]:
            with pytest.raises(UsageError):
                found(world, *words)
        with pytest.raises(UsageError):
            found(world, "glucose", limit=0)

    def test_filters_by_category_and_time_and_names_no_more_than_the_limit(self, world: World) -> None:
        publish(world, lab(1, "first"))
        publish(world, lab(2, "second"))
        assert total(world, "glucose", categories="laboratory") == 2
        assert total(world, "glucose", categories="vitals") == 0
        assert total(world, "glucose", until=1) == 0
        assert total(world, "glucose", since=4_000_000_000) == 0
        limited = found(world, "glucose", limit=1)
        assert (limited.total, len(limited.records)) == (2, 1)


class TestLife:
    @pytest.mark.parametrize("who", ["patient", "clinician"])
    def test_what_was_superseded_deleted_or_entered_in_error_does_not_answer(self, world: World, who: str) -> None:
        publish(world, lab(1, "wrong words"), lab(2, "stays"), lab(3, "erroneous"), lab(4, "removed"))
        publish(world, lab(1, "right words", version=2), lab(3, "erroneous", version=2, status="entered-in-error"))
        publish(world, {"request": {"method": "DELETE", "url": "Observation/o4"}})
        for word, count in [("wrong", 0), ("right", 1), ("stays", 1), ("erroneous", 0), ("removed", 0)]:
            assert total(world, word, who=who) == count, word

    @pytest.mark.parametrize("who", ["patient", "clinician"])
    def test_what_was_withdrawn_does_not_answer(self, world: World, who: str) -> None:
        gone = publish(world, lab(1, "taken back")).records[0].header_cid
        publish(world, lab(2, "kept"))
        again(world, "hospital").withdraw([gone], "entered-in-error")
        assert (total(world, "taken", who=who), total(world, "kept", who=who)) == (0, 1)

    def test_what_a_patient_closed_leaves_the_words_of_its_old_category(self, world: World, tmp_path: Path) -> None:
        for number, text in enumerate(("secretword", "plainword")):
            (tmp_path / f"{number}.json").write_text(json.dumps(lab(number, text)))
        world.hospital.upload([tmp_path], world.patient.address)
        (record,) = found(world, "secretword").records
        (before,) = words_cids(world)
        world.patient.choices.recategorize([record.record_id], "private")
        again(world, "hospital").rewrap()
        assert (total(world, "secretword"), total(world, "plainword")) == (1, 1)
        assert (total(world, "secretword", who="clinician"), total(world, "plainword", who="clinician")) == (0, 1)
        # Whoever had the envelope's key can't read the old list any more, nor the word in the new one.
        assert before not in world.network.store.held
        session = again(world)
        searchable = session._lanes.searchable(session.records(), session._kept_headers)
        for checked in searchable.found:
            for envelope, listed in checked.inventories.items():
                if listed.words and checked.envelopes[envelope][0].info.category.value == "laboratory":
                    words = word_list.open_(world.network.store, listed.words, checked.keys[envelope])
                    assert words.beginning("secret") == []
                    assert words.beginning("plain") == ["plainword"]
                    assert "secretword" not in set(words.written())

    @pytest.mark.deep
    def test_survives_a_rotation_and_merging(self, world: World) -> None:
        for number in range(9):
            publish(world, lab(number, f"word{number}"))
        world.patient.revoke(grant(world, categories=("laboratory",)).policy_id, rotate=True)
        again(world, "hospital").rewrap()
        for number in (0, 7, 8):
            assert total(world, f"word{number}") == 1
            assert total(world, f"word{number}", who="clinician") == 1


class TestAccess:
    def test_a_grant_covers_its_own_lanes_only(self, world: World) -> None:
        publish(world, lab(1, "breakfast"))
        assert total(world, "breakfast", who="clinician", granted=("vitals",)) == 0
        assert total(world, "breakfast", who="clinician", granted=("laboratory",)) == 1

    def test_ends_with_the_revocation_also_in_a_session_that_searched_before(self, world: World) -> None:
        publish(world, lab(1, "breakfast"))
        policy = grant(world, categories=("laboratory",)).policy_id
        session = again(world, "clinician")
        assert session.open(policy).search("breakfast").total == 1
        again(world).revoke(policy)
        for clinician in (session, again(world, "clinician")):
            with pytest.raises(AccessDeniedError):
                clinician.open(policy).search("breakfast")

    def test_is_in_the_patients_log_once_a_session_and_sees_what_is_new(self, world: World) -> None:
        publish(world, lab(1, "breakfast"))
        policy = grant(world, categories=("laboratory",)).policy_id
        session = again(world, "clinician")
        for _ in range(3):
            assert session.open(policy).search("breakfast").total == 1
        assert len(list(again(world).log(policy))) == 1
        publish(world, lab(2, "breakfast"))
        assert session.open(policy).search("breakfast").total == 2


def words_cids(world: World) -> list[CID]:
    """Return the lists of words of the patient's envelopes."""
    session = again(world)
    searchable = session._lanes.searchable(session.records(), session._kept_headers)
    return [one.words for checked in searchable.found for one in checked.inventories.values() if one.words]


class TestLies:
    def test_a_list_that_is_gone_or_changed_is_told_and_costs_its_own_envelope(self, world: World) -> None:
        publish(world, lab(1, "here"))
        (cid,) = words_cids(world)
        publish(world, lab(2, "there"), where="clinic")
        kept = world.network.store.held.pop(cid)
        result = found(world, "there")
        assert (result.total, len(result.omissions)) == (1, 1)
        assert result.omissions[0].hospital == world.hospital.address
        world.network.store.held[cid] = kept
        world.network.store.damage(cid)
        result = found(world, "here")
        assert (result.total, len(result.omissions)) == (0, 1)
        assert isinstance(result.omissions[0].error, IntegrityError)

    @pytest.mark.parametrize("body", ["swells", "terms", "nonsense"])
    def test_a_hospitals_hostile_list_is_refused_and_the_other_hospital_answers(
        self, world: World, monkeypatch: pytest.MonkeyPatch, body: str
    ) -> None:
        """A list of a few kilobytes that would take gigabytes, and one that is none."""
        publish(world, lab(1, "fasting"))

        def hostile(_: Any, key: EnvelopeKey) -> list[bytes]:
            said = bytes(word_list.MAX_BYTES + 1) if body == "swells" else b"\x01\x00"
            if body == "terms":
                said += b"".join(b"\x07w%06d\x04\x00\x01\x00\x00" % number for number in range(2001))
            if body == "nonsense":
                said += b"\x05wpain\x04\x05\x01\x00\x00"
            plain = padding.pad(len(said).to_bytes(8, "big") + compress(said))
            return list(stream.seal_segments(plain, key.words_key(), labels.ENVELOPE_WORDS))

        with monkeypatch.context() as patched:
            patched.setattr(word_list, "seal_made", hostile)
            publish(world, lab(2, "fasting"), where="clinic")
        monkeypatch.setattr(word_list, "MOST_TERMS", 2000)
        for who in ("patient", "clinician"):
            result = found(world, "fasting", who=who)
            assert [one.hospital for one in result.records] == [world.hospital.address]
            (omission,) = result.omissions
            assert omission.hospital == world.clinic.address
            assert isinstance(omission.error, IntegrityError)

    def test_lists_that_are_too_much_together_are_passed_over_and_named_once(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish(world, lab(1, "fasting"))
        for number in range(4):
            publish(world, lab(number, "fasting"), where="clinic")
        monkeypatch.setattr(searching, "MOST_OF_HOSPITAL", 1)
        result = found(world, "fasting")
        # Of each hospital the first list is opened, since nobody knows before what it takes.
        assert {one.hospital for one in result.records} == {world.hospital.address, world.clinic.address}
        (omission,) = result.omissions
        assert (omission.hospital, omission.what) == (world.clinic.address, "words of 3 more envelopes")

    def test_many_forms_of_one_word_cost_their_hospital_only(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """More than a language has: what looks for them in each list would take hours."""
        publish(world, lab(1, "fasting"))
        publish(world, lab(2, "fasting fasted fast fasts"), where="clinic")
        monkeypatch.setattr(lexicon, "MOST_FORMS", 3)
        for who in ("patient", "clinician"):
            for typed in ("fasted", "fas*"):
                result = found(world, typed, who=who)
                assert [one.hospital for one in result.records] == [world.hospital.address]
                (omission,) = result.omissions
                assert (omission.hospital, omission.what) == (world.clinic.address, "words of 1 records")
        assert found(world, "glucose").total == 2

    def test_a_small_list_counts_for_what_a_search_spends_on_it(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(4):
            publish(world, lab(number, "fasting"))
        monkeypatch.setattr(searching, "MOST_OF_HOSPITAL", 2 * searching._LIST)
        (omission,) = found(world, "fasting").omissions
        assert omission.what == "words of 2 more envelopes"

    def test_all_hospitals_together_have_a_bound_and_each_has_its_share(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish(world, lab(1, "fasting"))
        for number in range(4):
            publish(world, lab(number, "fasting"), where="clinic")
        # The small one takes one of three lists, and leaves two for the other.
        monkeypatch.setattr(searching, "MOST_OF_SEARCH", 3 * searching._LIST)
        for who in ("patient", "clinician"):
            result = found(world, "fasting", who=who)
            assert sorted(one.hospital == world.clinic.address for one in result.records) == [False, True, True]
            (omission,) = result.omissions
            assert (omission.hospital, omission.what) == (world.clinic.address, "words of 2 more envelopes")

    @pytest.mark.parametrize("typed", ["fasting", '"fasting glucose"', "fas*", "glucose>1"])
    def test_what_was_found_counts_when_a_search_is_too_much_work(
        self, world: World, monkeypatch: pytest.MonkeyPatch, typed: str
    ) -> None:
        publish(world, lab(1, "fasting glucose", 5.0))
        for number in range(5):
            publish(world, lab(number, f"fasting glucose {'fasting ' * 20}", 5.0), where="clinic")
        whole = found(world, typed)
        assert (whole.total, whole.omissions) == (6, ())
        # Enough for the first one, and for some of the other.
        work = Work(sys.maxsize)
        one = world.patient._lanes.searchable(world.patient.records(), world.patient._kept_headers)
        monkeypatch.setattr(searching, "Work", lambda _most: work)
        one.search(Query.of_line(typed))
        monkeypatch.setattr(searching, "Work", Work)
        monkeypatch.setattr(searching, "MOST_WORK", work.done // 2)
        result = found(world, typed)
        assert 0 < result.total < 6
        assert world.hospital.address in {record.hospital for record in result.records}
        assert {omission.hospital for omission in result.omissions} == {world.clinic.address}
        assert "more than" in str(result.omissions[0].error)
        assert "what was found before counts" in str(result.omissions[0].error)
        assert "rarer words" in result.omissions[0].error.hint
        told = sum(int(omission.what.split()[2]) for omission in result.omissions)
        assert told + result.total == 6

    def test_another_envelopes_list_does_not_open(self, world: World) -> None:
        publish(world, lab(1, "here"))
        (mine,) = words_cids(world)
        publish(world, lab(2, "there"), where="clinic")
        (other,) = set(words_cids(world)) - {mine}
        world.network.store.held[mine] = world.network.store.held[other]
        assert found(world, "here").omissions

    def test_nothing_but_what_failed_is_an_error(self, world: World) -> None:
        publish(world, lab(1, "here"))
        world.network.store.held.pop(words_cids(world)[0])
        with pytest.raises(Exception, match="words of envelope"):
            found(world, "here")


class TestLargeUploads:
    def test_what_one_list_does_not_take_lies_in_another_envelope(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(word_list, "MAX_BYTES", 800)
        held = [world.home / f"{number}.txt" for number in range(4)]
        for number, path in enumerate(held):
            path.write_text(f"glucose{number} " + " ".join(f"word{number}x{at}" for at in range(12)))
        report = again(world, "hospital").upload(held, world.patient.address, category="laboratory")
        assert report.wordless == ()
        assert len(set(words_cids(world))) > 1
        assert [total(world, f"glucose{number}") for number in range(4)] == [1, 1, 1, 1]

    def test_a_record_with_too_many_words_for_any_list_is_published_and_named(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(word_list, "MOST_OCCURRENCES", 40)
        large, small = world.home / "large.txt", world.home / "small.txt"
        large.write_text(" ".join(f"large{number}" for number in range(21)))
        small.write_text(" ".join(f"small{number}" for number in range(20)))
        report = again(world, "hospital").upload([large, small], world.patient.address, category="laboratory")
        assert (len(report.records), report.wordless) == (2, (str(large),))
        result = found(world, "small7")
        assert (result.total, result.mute) == (1, 1)


class TestSessions:
    def test_what_a_session_keeps_is_bounded_and_what_was_asked_for_longest_ago_goes(self, world: World) -> None:
        publish(world, lab(1, "breakfast"))
        session = again(world)
        one = session._lanes.searchable(session.records(), session._kept_headers)
        assert one.memory > 0
        kept = KeptSearchables(most=2 * one.memory)
        for key in "ab":
            kept.keep(key, one)
        assert kept.memory == 2 * one.memory
        assert kept.get("a", one.heads) is one
        kept.keep("c", one)
        assert [kept.get(key, one.heads) is one for key in "abc"] == [True, False, True]
        assert kept.memory <= 2 * one.memory
        # What takes more than all together is searched, and not kept.
        small = KeptSearchables(most=one.memory - 1)
        small.keep("a", one)
        assert (small.get("a", one.heads), small.memory) == (None, 0)

    def test_what_is_out_of_date_is_let_go(self, world: World) -> None:
        publish(world, lab(1, "breakfast"))
        session = again(world)
        one, kept = session._lanes.searchable(session.records(), session._kept_headers), KeptSearchables()
        kept.keep("a", one)
        assert kept.get("a", []) is None
        assert kept.memory == 0

    def test_what_was_refused_stays_refused_and_what_was_lacking_is_tried_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish(world, lab(1, "here"))
        publish(world, lab(2, "there"), where="clinic")
        cid = words_cids(world)[0]
        opened: list[CID] = []
        real = word_list.opened

        def refusing(segments: list[bytes], listed: CID, key: EnvelopeKey) -> Any:
            opened.append(listed)
            if listed == cid:
                raise IntegrityError("a list of words is nonsense")
            return real(segments, listed, key)

        with monkeypatch.context() as patched:
            patched.setattr(word_list, "opened", refusing)
            session = again(world)
            results = [session.records().search("glucose") for _ in range(3)]
        assert [(one.total, len(one.omissions)) for one in results] == [(1, 1)] * 3
        assert len(opened) == 2
        session = again(world)
        held = world.network.store.held
        kept = held.pop(cid)
        assert len(session.records().search("glucose").omissions) == 1
        held[cid] = kept
        assert session.records().search("glucose").omissions == ()
        # A damaged block may be whole where it is fetched next.
        session = again(world)
        world.network.store.damage(cid)
        assert len(session.records().search("glucose").omissions) == 1
        held[cid] = kept
        assert session.records().search("glucose").omissions == ()

    def test_a_session_that_keeps_nothing_searches_all_the_same(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish(world, lab(1, "breakfast"))
        monkeypatch.setattr(KeptSearchables.__init__, "__defaults__", (0,))
        session = again(world)
        assert [session.records().search("breakfast").total for _ in range(2)] == [1, 1]


class TestLanguages:
    def test_plurals_of_a_language_are_found_where_records_name_it_or_the_reader_does(self, world: World) -> None:
        publish(world, lab(1, "zwei Tabletten", language="de-CH"))
        publish(world, lab(2, "Untersuchungen"), where="clinic")
        assert total(world, "Tablette") == 1
        assert total(world, "Untersuchung") == 0
        assert total(world, "Untersuchung", languages="de") == 1
        assert total(world, "Untersuchung", languages=["de"], who="clinician") == 1
        with pytest.raises(UsageError, match="xx"):
            found(world, "Untersuchung", languages="xx")


class TestOldOnes:
    def test_records_without_lists_are_counted(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """As a program published them that knew no lists of words."""
        with monkeypatch.context() as patched:
            for name in ("words_of", "words_of_entries"):
                patched.setattr(f"panachain.records.listed_words.{name}", lambda *_: None)
            publish(world, lab(1, "old"))
        publish(world, lab(2, "new"))
        result = found(world, "glucose")
        assert (result.total, result.mute, result.omissions) == (1, 1, ())
        assert total(world, "old") == 0

    def test_an_image_is_published_and_has_no_words(self, world: World, tmp_path: Path) -> None:
        (tmp_path / "x.bin").write_bytes(bytes(range(256)) * 8)
        report = world.hospital.upload([tmp_path / "x.bin"], world.patient.address, category="imaging")
        assert (len(report.records), report.wordless) == (1, (str(tmp_path / "x.bin"),))
        assert found(world, "anything").mute == 1
