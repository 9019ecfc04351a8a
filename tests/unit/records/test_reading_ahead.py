"""Reading ahead: with processes and without them an upload reads the same, whatever happens to the processes."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
import zipfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from unittest.mock import Mock

import pytest

import panachain
from panachain import beside
from panachain.errors import InputError
from panachain.ipld import dagcbor
from panachain.model.records import PlainRecord
from panachain.model.scope import Category
from panachain.records import reading_ahead, reading_start, reading_worker, word_list
from panachain.records.listed_words import ListedWords, listed_words
from panachain.records.reading_ahead import Readers
from panachain.records.sensitivity import PROFILES, Profile
from panachain.records.sources import Source, find_sources
from panachain.records.split import MEDIA_TYPE
from panachain.records.versions import bundle_in, bundle_of
from panachain.records.word_list import Room
from tests.processes import is_running, wait_for
from tests.support import shared
from tests.unit.records.pdfs import pdf

Read = tuple[str, list[PlainRecord], list[tuple[bytes, Room]], tuple[str, ...], str]
"""What a source gives: its path, records, the list of their words, what closes it, and why it can't be read."""


class Asking(Readers):
    """Leaves everything to the processes, as long as there are any."""

    def answer(self, job: reading_ahead.Job) -> Any:
        with self._condition:
            self._condition.wait_for(lambda: job.state is reading_ahead._State.DONE or not self._running, 120)
        return super().answer(job)


@pytest.fixture(autouse=True)
def _worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_ahead, "WORTH", 0)


def observation(number: int, text: str = "glucose") -> dict[str, Any]:
    code = {"text": text, "coding": [{"system": "http://loinc.org", "code": f"{number}-1"}]}
    value = {"value": number / 10, "unit": "mg/dL"}
    return {"resourceType": "Observation", "id": f"o{number}", "code": code, "valueQuantity": value}


def bundle(*resources: dict[str, Any], **more: Any) -> bytes:
    entries = [{"resource": one} for one in resources]
    return json.dumps({"resourceType": "Bundle", "type": "collection", **more, "entry": entries}).encode()


def write(folder: Path) -> Path:
    """Write what is read, what can't be, and what is hard to read."""
    files = {
        "a.json": bundle(observation(1), observation(2, "HIV test positive"), observation(3), id="told"),
        "b.json": bundle(observation(1))[:-9],
        "c.json": b'{"a":' * 5000,
        "d.json": bundle(observation(4)).decode().encode("utf-16"),
        "e.json": b"",
        "f.ndjson": b"\n".join(json.dumps(observation(n)).encode() for n in range(3)),
        "g.ndjson": json.dumps(observation(7)).encode() + b"\n{]\n",
        "h.pdf": pdf("a letter about alcohol dependence", ""),
        "HIV clinic.pdf": b"%PDF-1.7\n" + bytes(200),
        "i.hl7": b"MSH|^~\\&|A|B|C|D|20240101||ORU^R01|1|P|2.5\rOBX|1|NM|718-7^Hb^LN||13.5|g/dL\r",
        "j.hl7": b"MSH|^~\\",
        "k.xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        "l.xml": b'<Patient xmlns="http://hl7.org/fhir"><id value="p"/></Patient>',
        "m.json": b'{"resourceType":"Patient","resourceType":"Patient"}',
        "n.bin": os.urandom(300),
        "o.dcm": b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0\0\0",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / os.fsdecode(b"caf\xe9 HIV.pdf")).write_bytes(b"%PDF-1.4\n" + bytes(100))
    with zipfile.ZipFile(folder / "z.zip", "w") as archive:
        archive.writestr("1.json", bundle(observation(8), observation(9)))
        archive.writestr("2.json", "[")
    return folder


def sources(paths: Sequence[Path], profile: Profile, category: Category | None = None) -> Iterator[tuple[Source, None]]:
    return ((source, None) for source in find_sources(paths, category, profile))


def plan(pairs: Iterator[tuple[Source, None]]) -> list[Read]:
    """Return what an upload reads."""
    found = []
    for source, _ in pairs:
        records, error = list[PlainRecord](), ""
        try:
            records = list(source.whole())
        except InputError as exc:
            error = f"{exc} {exc.hint}"
        found.append((str(source.path), records, [listed(one) for one in records], source.closed_by, error))
    return found


def words(record: PlainRecord) -> ListedWords:
    known = None
    if record.media_type == MEDIA_TYPE and isinstance(record.content, bytes):
        known = bundle_of(record.content)
        assert bundle_in(record) == known
    return listed_words(record, known)


def listed(record: PlainRecord) -> tuple[bytes, Room]:
    """Return what is published of a record's words: their order until then is another one in each process."""
    packed, room = words(record)
    return word_list.body_of([packed]), room


def everything(_: Source, __: None) -> bool:
    return True


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return write(folder)


class TestTheSame:
    @pytest.mark.parametrize("category", [None, Category.DOCUMENTS, Category.PRIVATE])
    def test_records_words_and_errors_are_those_of_one_process_in_their_order(
        self, files: Path, category: Category | None
    ) -> None:
        profile = PROFILES["strict"]
        alone = plan(sources([files], profile, category))
        with Asking(2) as readers:
            beside = plan(readers.sources(sources([files], profile, category), everything))
            assert (readers.started, readers.answered > 5) == (2, True)
        assert beside == alone
        assert sum(bool(one[4]) for one in alone) >= 5

    def test_what_this_process_reads_meanwhile_is_the_same_too(self, files: Path) -> None:
        alone = plan(sources([files], PROFILES["default"]))
        with Readers(1) as readers:
            assert plan(readers.sources(sources([files], PROFILES["default"]), everything)) == alone

    def test_words_of_a_record_from_which_something_was_taken_are_read_anew(self, files: Path) -> None:
        paths = [files / "f.ndjson", files / "a.json"]
        with Asking(1) as readers:
            found = [
                record
                for source, _ in readers.sources(sources(paths, PROFILES["default"]), everything)
                for record in source.whole()
            ]
        assert all(one.known is not None for one in found)
        other = bundle(observation(5, "sodium"))
        taken = replace(found[0], content=other)
        assert listed_words(taken, None) == listed_words(replace(taken, known=None), None)
        # The very same object is what counts.
        assert listed_words(found[0], None).packed is found[0].known.packed  # type: ignore[union-attr]

    def test_lists_of_words_are_the_same(self) -> None:
        lists: list[list[bytes | None] | None] = []
        for number in range(40):
            record = PlainRecord(Category.LABORATORY, 2024, MEDIA_TYPE, bundle(observation(number)), b"")
            lists.append(None if number % 7 == 3 else [words(record).packed, None, b""])
        expected = [None if one is None else word_list.made_of(one) for one in lists]
        with Asking(1) as readers:
            assert list(readers.lists(lists)) == expected
            assert readers.answered > 20

    def test_lists_that_are_begun_early_are_the_same_too(self, files: Path) -> None:
        records = [
            PlainRecord(Category.LABORATORY, 2024, MEDIA_TYPE, bundle(observation(number)), b"") for number in range(9)
        ]
        contents = [[words(one).packed, None] for one in records]
        with Asking(1) as readers:
            list(readers.sources(sources([files], PROFILES["default"]), everything))
            begun = [*readers.begin_lists(contents[:4]), *readers.begin_lists(contents[4:])]
            assert [one.take() for one in begun] == [word_list.made_of(one) for one in contents]
            assert all(one.is_done for one in begun)
        # After the end nobody else makes them.
        assert [one.take() for one in readers.begin_lists(contents[:1])] == [word_list.made_of(contents[0])]

    def test_an_error_on_the_way_to_a_source_comes_in_its_place(self, files: Path) -> None:
        def torn() -> Iterator[tuple[Source, None]]:
            yield from sources([files / "a.json", files / "f.ndjson"], PROFILES["default"])
            raise InputError("torn")

        seen = []
        with Asking(1) as readers:
            ahead = (source.path.name for source, _ in readers.sources(torn(), everything))
            with pytest.raises(InputError, match="torn"):
                seen.extend(iter(lambda: next(ahead), None))
        assert seen == ["a.json", "f.ndjson"]

    def test_what_is_published_already_is_not_read_ahead(self, files: Path) -> None:
        with Asking(1) as readers:
            found = list(readers.sources(sources([files], PROFILES["default"]), lambda *_: False))
            assert (len(found) > 10, readers.started, readers._offered) == (True, 0, 0)

    @pytest.mark.deep
    def test_all_data_from_outside_is_read_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # All answers fit, without the room that is there for none of them in particular.
        monkeypatch.setattr(reading_ahead, "_ANSWER", 0)
        paths = [shared("data", *parts) for parts in (("ccda",), ("dicom",), ("hl7v2",), ("pdf",))]
        paths.append(shared("data", "fhir-r4", "hl7-examples-4.0.1"))
        alone = plan(sources(paths, PROFILES["default"], Category.DOCUMENTS))
        with Asking(2) as readers:
            beside = plan(readers.sources(sources(paths, PROFILES["default"], Category.DOCUMENTS), everything))
            assert (readers.answered > 100, readers.started) == (True, 2)
        assert beside == alone


class TestWhenItIsWorthIt:
    def test_little_starts_nothing(self, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()
        with Readers(2) as readers:
            assert len(plan(readers.sources(sources([files], PROFILES["default"]), everything))) > 10
            assert readers.started == 0

    def test_one_core_starts_nothing(self, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reading_start, "cores", lambda: 1)
        with Readers() as readers:
            plan(readers.sources(sources([files], PROFILES["default"]), everything))
            assert readers.started == 0

    def test_there_is_one_for_each_further_core_up_to_a_number(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for cores, expected in ((1, 0), (2, 1), (4, 3), (64, reading_start.MOST_PROCESSES)):
            monkeypatch.setattr(reading_start, "cores", lambda cores=cores: cores)
            assert reading_start.most_processes() == expected

    def test_repeating_a_finished_upload_holds_one_source_at_a_time(self, tmp_path: Path) -> None:
        size = 0
        for number in range(24):
            (tmp_path / f"{number:02}.json").write_bytes(content := bundle(observation(number, "a" * 50_000)))
            size = max(size, len(content))
        found, most = list[Source](), 0

        def seen() -> Iterator[tuple[Source, None]]:
            for pair in sources([tmp_path], PROFILES["default"]):
                found.append(pair[0])
                yield pair

        with Asking(1) as readers:
            for source, _ in readers.sources(seen(), lambda source, _: source.path.name == "20.json"):
                most = max(most, held(found))
                if source.path.name == "07.json":
                    # Whoever reads one after all reads its file.
                    assert len(list(source.whole())) == 1
        assert (len(found), size <= most < 2 * size) == (24, True)

    def test_no_more_is_held_than_allowed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reading_ahead, "MOST_AHEAD", 20_000)
        for number in range(12):
            (tmp_path / f"{number:02}.json").write_bytes(bundle(observation(number, "a" * 5000)))
        found = 0

        def counted() -> Iterator[tuple[Source, None]]:
            nonlocal found
            for pair in sources([tmp_path], PROFILES["default"]):
                found += 1
                yield pair

        with Asking(1) as readers:
            for done, (source, _) in enumerate(readers.sources(counted(), everything)):
                assert found - done <= 5
                assert len(list(source.whole())) == 1
        assert found == 12


class TestProcesses:
    def running(self, readers: Readers, folder: Path) -> Iterator[tuple[Source, None]]:
        """Return sources that are being read, once there are processes."""
        return readers.sources(sources([folder], PROFILES["default"]), everything)

    def test_they_end_with_the_upload_also_if_it_is_interrupted(self, files: Path) -> None:
        pids = []

        def interrupted() -> None:
            with Asking(2) as readers:
                next(self.running(readers, files))
                pids.extend(one.pid for one in readers._running)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert len(pids) == 2
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    @pytest.mark.parametrize("at", [0, 2, 5])
    def test_one_that_dies_costs_only_time_and_is_replaced(self, files: Path, at: int) -> None:
        alone = plan(sources([files], PROFILES["default"]))

        def killed() -> Iterator[tuple[Source, None]]:
            for place, pair in enumerate(self.running(readers, files)):
                if place == at:
                    for one in list(readers._running):
                        os.kill(one.pid, signal.SIGKILL)
                yield pair

        with Asking(1) as readers:
            assert plan(killed()) == alone
            # Later it may have answered everything.
            assert (readers.started > 1 or at > 0, readers.answered > 0) == (True, True)

    @pytest.mark.parametrize("failing", ["process", "ask", "listen"])
    @pytest.mark.parametrize("from_on", [0, 1])
    def test_what_cannot_be_started_ends_nothing(
        self, files: Path, monkeypatch: pytest.MonkeyPatch, failing: str, from_on: int
    ) -> None:
        alone = plan(sources([files], PROFILES["default"]))
        made, tried, popen, start = list[Any](), list[str](), subprocess.Popen, threading.Thread.start

        def fails(what: str) -> bool:
            tried.append(what)
            return what == failing and tried.count(what) > from_on

        def process(command: list[str], **more: Any) -> Any:
            if reading_start.COMMAND[1] not in command:
                return popen(command, **more)
            if fails("process"):
                raise BlockingIOError(errno.EAGAIN, "no process is left")
            made.append(popen(command, **more))
            return made[-1]

        def thread(self: threading.Thread) -> None:
            if fails(self.name):
                raise RuntimeError("can't start new thread")
            start(self)

        monkeypatch.setattr(subprocess, "Popen", process)
        monkeypatch.setattr(threading.Thread, "start", thread)
        with Asking(2) as readers:
            assert plan(self.running(readers, files)) == alone
            assert 1 < readers.started <= 2 + reading_ahead._MOST_STARTS
            assert (readers.answered > 0) == bool(from_on)
        assert len(made) == (from_on if failing == "process" else readers.started)
        wait_for(lambda: all(one.poll() is not None and one.stdin.closed and one.stdout.closed for one in made))

    def test_sources_that_are_left_after_the_end_are_dropped(self, files: Path) -> None:
        with Readers(1) as readers:
            seen, left = self.running(readers, files), self.running(readers, files)
            next(seen)
            next(left)
            jobs = list(readers._waiting)
        assert [job.state for job in jobs] == [reading_ahead._State.DONE] * len(jobs) != []
        left.close()  # type: ignore[attr-defined]
        # They are read by whoever asks, and nothing is started any more.
        started = readers.started
        assert len(plan(seen)) > 10
        assert (readers.started, readers._running) == (started, [])

    def test_answers_that_are_larger_than_any_of_ours_are_not_read(
        self, files: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        alone = plan(sources([files], PROFILES["default"]))
        monkeypatch.setattr(reading_ahead, "_ANSWER", 1)
        monkeypatch.setattr(reading_ahead, "_SWELLS", 0)
        with Asking(1) as readers:
            assert plan(self.running(readers, files)) == alone
            assert (readers.started > 1, readers.answered) == (True, 0)

    def test_one_that_says_how_much_it_will_say_is_ended_before_it_does(
        self, files: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        alone = plan(sources([files], PROFILES["default"]))
        program = (
            "import sys, time; sys.stdin.buffer.read(9); out = sys.stdout.buffer;"
            "out.write((100 << 20).to_bytes(8, 'big')); out.flush(); time.sleep(600)"
        )
        monkeypatch.setattr(reading_ahead, "COMMAND", ["-c", program])
        monkeypatch.setattr(Readers, "_give_up", lambda *_: pytest.fail("it was waited for"))
        monkeypatch.setattr(reading_ahead, "PATIENCE", 30.0)
        with Asking(1) as readers:
            assert plan(self.running(readers, files)) == alone
            assert (readers.started > 1, readers.answered) == (True, 0)

    def test_one_of_other_code_answers_nothing(self, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        alone = plan(sources([files], PROFILES["default"]))
        monkeypatch.setattr(reading_worker, "VERSION", "0.0.9")
        with Asking(1) as readers:
            assert plan(self.running(readers, files)) == alone
            assert (readers.started, readers.answered) == (1, 0)

    def test_each_is_of_the_package_that_asks(
        self, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = tmp_path / "other" / "panachain"
        other.mkdir(parents=True)
        (other / "__init__.py").write_text("raise SystemExit(1)")
        monkeypatch.setenv("PYTHONPATH", str(other.parent))
        with Asking(1) as readers:
            plan(self.running(readers, files))
            assert (readers.started, readers.answered > 5) == (1, True)

    def test_each_finds_modules_where_this_one_does(self) -> None:
        program = "import sys; sys.path.insert(0, sys.argv[1]);from panachain import beside; print(*beside.flags())"
        root = str(Path(panachain.__file__).parents[1])
        for flag, expected in (("-I", "-P -E -s"), ("-s", "-P -s")):
            done = subprocess.run(
                [sys.executable, flag, "-c", program, root], capture_output=True, text=True, check=True
            )
            assert done.stdout.split() == expected.split()

    def test_what_kills_each_that_reads_it_is_read_here(self, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        alone = plan(sources([files], PROFILES["default"]))
        dying = (
            "import os, runpy, sys; from panachain.records import sources; old = sources.Reading.pieces;"
            "sources.Reading.pieces = lambda self, *look: os._exit(1) if self.name == 'h.pdf' else old(self, *look);"
            "runpy.run_module('panachain.records.reading_worker', run_name='__main__')"
        )
        monkeypatch.setattr(reading_ahead, "COMMAND", ["-c", dying])
        with Asking(1) as readers:
            assert plan(self.running(readers, files)) == alone
            assert (readers.started > 1, readers.answered > 0) == (True, True)

    @pytest.mark.parametrize("processes", [1, 2])
    def test_the_third_that_ends_before_its_first_answer_is_the_last(
        self, files: Path, monkeypatch: pytest.MonkeyPatch, processes: int
    ) -> None:
        alone = plan(sources([files], PROFILES["default"]))
        monkeypatch.setattr(reading_ahead, "COMMAND", ["-c", "raise SystemExit(1)"])
        with Asking(processes) as readers:
            assert plan(self.running(readers, files)) == alone
            # All of them are there before the third one is gone.
            assert 3 <= readers.started <= 2 + processes
            assert readers.answered == 0

    def test_those_that_end_after_an_answer_are_replaced_more_often(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(8):
            (tmp_path / f"{number}.json").write_bytes(bundle(observation(number)))
        alone = plan(sources([tmp_path], PROFILES["default"]))
        # One source for each question.
        monkeypatch.setattr(reading_ahead, "_PARCEL", 1)
        once = (
            "import sys; from panachain.ipld import dagcbor; asked, out = sys.stdin.buffer, sys.stdout.buffer;"
            "parcel = dagcbor.decode(asked.read(int.from_bytes(asked.read(8), 'big')), limit=1 << 30)[1];"
            "said = dagcbor.encode([None] * len(parcel)); out.write(len(said).to_bytes(8, 'big') + said)"
        )
        monkeypatch.setattr(reading_ahead, "COMMAND", ["-c", once])
        with Asking(1) as readers:
            assert plan(self.running(readers, tmp_path)) == alone
            assert (readers.started > 3, readers._silent) == (True, 0)

    def test_while_an_answer_is_waited_for_other_things_are_done_first(self, files: Path) -> None:
        done = list[str]()
        with Asking(1) as readers:
            job = reading_ahead.Job([], 1)
            job.state = reading_ahead._State.TAKEN

            def meanwhile() -> bool:
                done.append("piece")
                if len(done) == 3:
                    job.finish("answer")
                return len(done) < 4

            readers.meanwhile = meanwhile
            assert Readers.answer(readers, job) == "answer"
        assert done == ["piece"] * 3

    @pytest.mark.parametrize(
        ("sealing", "unsealed", "expected"),
        [
            # Slower to seal than to read: it never reads. Faster: it reads a share.
            (2.0, 100, True),
            (1.0, 100, True),
            (0.1, 100, False),
            # Of what is ahead most was read: the rest comes in time.
            (0.1, 2000, True),
        ],
    )
    def test_it_reads_only_what_they_would_not_have_read_in_time(
        self, sealing: float, unsealed: int, expected: bool
    ) -> None:
        readers = Readers(1)
        job = reading_ahead.Job([], 10 - reading_ahead._COST)
        rest = reading_ahead.Job([], 90 - reading_ahead._COST)
        readers._waiting.extend([job, rest])
        readers._unsealed = unsealed
        # Nobody has answered anything yet: one that starts slowly delays nothing.
        assert not readers._is_read_in_time(job)
        readers._running.append(Mock(has_answered=True, asked=deque()))
        assert not readers._is_read_in_time(job)
        readers._reading.add(1, 1.0)
        assert readers._is_read_in_time(job)
        readers._sealing.add(1, sealing)
        assert readers._is_read_in_time(job) is expected
        readers._running.clear()

    def test_what_waits_behind_one_that_hangs_is_read_here(self, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reading_ahead, "PATIENCE", 0.2)
        monkeypatch.setattr(reading_ahead, "_GRACE", 0.05)
        monkeypatch.setattr(Readers, "_is_read_in_time", lambda *_: True)
        alone = plan(sources([files], PROFILES["default"]))
        monkeypatch.setattr(reading_ahead, "COMMAND", ["-c", "import time; time.sleep(600)"])
        with Readers(1) as readers:
            assert plan(self.running(readers, files)) == alone
            assert readers.answered == 0

    def test_one_that_hangs_is_ended_after_a_while(self, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reading_ahead, "PATIENCE", 0.2)
        alone = plan(sources([files], PROFILES["default"]))
        monkeypatch.setattr(reading_ahead, "COMMAND", ["-c", "import time; time.sleep(600)"])
        with Readers(1) as readers:
            assert plan(self.running(readers, files)) == alone
            assert (readers.started > 0, readers.answered) == (True, 0)

    @pytest.mark.parametrize(
        "said",
        [
            b"",
            b"\0\0\0\0\0\0\0\1\xf6",
            b"\0\0\0\0\0\0\0\2\x81\xf6",
            b"\xff" * 9,
            b"\0\0\0\0\0\0\0\1\xff",
            # An answer that has the form of one: of another kind, and of a category that nobody knows.
            b"\0\0\0\0\0\0\0\3\x81\x81\x01",
            b"\0\0\0\0\0\0\0\x0d\x81\x82\x81\x86\x61a\x00\x61b\xf6\xf4\xf6\x80",
        ],
    )
    def test_one_that_says_what_none_of_ours_says_is_not_believed(
        self, files: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
    ) -> None:
        alone = plan(sources([files], PROFILES["default"]))
        program = f"import sys; sys.stdin.buffer.read(9); sys.stdout.buffer.write({said!r})"
        monkeypatch.setattr(reading_ahead, "COMMAND", ["-c", program])
        with Asking(1) as readers:
            assert plan(self.running(readers, files)) == alone

    @pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs Linux's /proc")
    def test_one_gets_no_secret_no_file_and_little_room(self, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", "/run/secret")
        with Asking(1) as readers, open(files / "a.json", "rb"):
            next(seen := self.running(readers, files))
            next(seen)
            place = Path("/proc", str(readers._running[0].pid))
            wait_for(lambda: readers.answered > 0)
            environment, command = (place / "environ").read_text(), (place / "cmdline").read_text()
            limits = dict(line.split("  ", 1) for line in (place / "limits").read_text().splitlines())
            opened = {str(one.readlink()).partition(":")[0] for one in (place / "fd").iterdir()}
            plan(seen)
        assert {one.partition("=")[0] for one in environment.split("\0") if one} <= {*beside.KEPT, beside.LINE}
        assert command.split("\0")[1:-1] == ["-P", *beside.flags()[1:], *reading_start.COMMAND]
        assert reading_start.COMMAND[2:] == (str(Path(panachain.__file__).parents[1]),)
        assert limits["Max file size"].split()[:2] == limits["Max core file size"].split()[:2] == ["0", "0"]
        assert limits["Max address space"].split()[0] == str(2 << 30)
        assert opened <= {"pipe", "/dev/null"}

    def test_none_is_left_of_an_upload_that_is_killed(self, files: Path) -> None:
        program = (
            "import sys; from pathlib import Path; from panachain.records import reading_ahead as r;"
            "from panachain.records.sources import find_sources; r.WORTH = 0; readers = r.Readers(1);"
            "found = readers.sources(((one, 0) for one in find_sources([Path(sys.argv[1])])), lambda *_: True);"
            "next(found); print(readers._running[0].pid, flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program, str(files)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as upload:
            assert upload.stdout is not None
            pid = int(upload.stdout.readline())
            os.kill(pid, 0)
            upload.kill()
        wait_for(lambda: not is_running(pid))


class Saying(Readers):
    """Has one answer to everything."""

    def __init__(self, said: Any) -> None:
        super().__init__(0)
        self.said = said

    def answer(self, job: reading_ahead.Job) -> Any:
        return self.said


class TestMalformedAnswers:
    ODD: Final = (None, True, False, -1, 0, 7, 1 << 62, "", "a", "laboratory", b"", b"\x01\0\0", [], [[]], {}, {"": ""})

    def mutated(self, value: Any, chance: random.Random) -> Any:
        """Return a value with something changed, deeply or not."""
        if not isinstance(value, list) or not value or chance.random() < 0.1:
            if isinstance(value, bytes) and value and chance.random() < 0.5:
                at = chance.randrange(len(value))
                return value[:at] + chance.randbytes(1) + value[at + chance.randrange(2) :]
            return chance.choice(self.ODD)
        at, others = chance.randrange(len(value)), list(value)
        kind = chance.randrange(8)
        if kind == 0:
            del others[at]
        elif kind == 1:
            others.insert(at, others[at])
        elif kind == 2:
            return {str(place): one for place, one in enumerate(others)}
        else:
            others[at] = self.mutated(others[at], chance)
        return others

    @pytest.mark.parametrize("name", ["a.json", "f.ndjson", "h.pdf"])
    def test_they_are_none_or_what_one_could_have_been(self, files: Path, name: str) -> None:
        chance = random.Random(name)
        [[source, _]] = sources([files / name], PROFILES["strict"], Category.DOCUMENTS)
        reading = source.reading()
        assert reading is not None
        right = dagcbor.decode(dagcbor.encode(reading_worker.answer(reading_worker.to_read(reading, words=True))))
        alone, job = list(replace(source).whole()), reading_ahead.Job([], 0)
        refused = 0
        for _ in range(400):
            said = dagcbor.decode(dagcbor.encode(self.mutated(right, chance)))
            one = replace(source)
            handle = reading_ahead._Handle(Saying(said), job, one, reading)
            found = handle()
            if found is None:
                one.ahead = lambda: None
                assert list(one.whole()) == alone
                refused += 1
                continue
            for piece, known in found:
                assert (type(piece.category), type(piece.year), type(piece.media_type)) == (Category, int, str)
                assert known is None or known.content is piece.content
        assert refused > 200


def held(sources: Sequence[Source]) -> int:
    """Return how many bytes of them are held."""
    return sum(len(one._content or b"") for one in sources)
