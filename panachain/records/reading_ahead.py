"""Reading ahead: while an upload seals one source, further processes read the next ones.

Whatever they answer, the upload would have worked out itself, and it does so where they answer nothing: results, their
order and every error are the same with them and without, and on one core there are none. While an answer is waited
for, the upload does what is left to do of earlier ones, then reads what nobody has begun, unless they would have read
all of it before the upload is done with the rest. They are started once there is enough to do, hold no key, get no
secret (`reading_worker.py`), and end with the upload, however that ends. Never holds more of the sources ahead than
`MOST_AHEAD`, and never waits longer than `PATIENCE`. Where none can be started, the upload reads by itself. Follows
ADR 74 and ADR 78.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import IO, Any, Final, TypeVar

from panachain.beside import GOODBYE, end, start
from panachain.errors import IntegrityError
from panachain.ipld import dagcbor
from panachain.model.records import ReadBefore
from panachain.model.scope import Category
from panachain.records.reading_start import COMMAND, WORTH, Spare, most_processes
from panachain.records.reading_worker import HEAD, answer, to_list, to_parcel, to_read
from panachain.records.sources import Reading, Source
from panachain.records.split import Piece
from panachain.records.version_list import from_told
from panachain.records.word_list import made_of, room_of

MOST_AHEAD: Final = 32 << 20
"""Bytes of sources that are ahead of the one that is sealed, unless a single one is larger."""
MOST_JOBS: Final = 256
"""Sources that are ahead, however small."""
PATIENCE: Final = 300.0
"""Seconds that an answer is waited for once there is nothing else to do; then its process is ended."""
_PARCEL: Final = 1 << 18
"""Bytes that are asked at once: each question and each answer wakes a thread of a busy process."""
_UNDER_WAY: Final = 3
"""Parcels of a process that are under way: it reads one while another's answer is taken, and the third waits there."""
_COST: Final = 512
"""Bytes of a source that count besides its own: what takes as long to read."""
_MOST_STARTS: Final = 16
"""Processes that are started for those that died; after them the upload reads by itself."""
_MOST_SILENT: Final = 3
"""Processes in a row that may end before their first answer: what they lack, the next ones lack too. Each costs as much
time as reading half a MiB."""
_GRACE: Final = 0.1
"""Seconds that a process may take besides twice the time in which it should read what it has."""
_ANSWER: Final = 16 << 20
"""Bytes that the answers to a parcel may have besides _SWELLS times what was asked: the words of a small PDF file."""
_SWELLS: Final = 4
"""Real files' answers have up to 1.5 times their bytes; those of the smallest resources, each in a line, 2.5 times."""
_T = TypeVar("_T")


class _State(Enum):
    WAITING = auto()
    """Nobody has begun it."""
    TAKEN = auto()
    DONE = auto()


class Job:
    """A question that a process may answer."""

    def __init__(self, question: list[Any], size: int, *, is_source: bool = True) -> None:
        """Take the question, how many bytes it is about, and whether a source is to be read."""
        self.question: list[Any] = question
        self.is_source = is_source
        self.size = size + _COST
        self.state = _State.WAITING
        self.answer: Any = None

    def finish(self, found: Any) -> None:
        """Note the answer, and forget the question."""
        self.state, self.answer, self.question = _State.DONE, found, []


class _Speed:
    """How long a byte of what is to be done takes, as far as it is known."""

    def __init__(self) -> None:
        self._seconds, self._bytes = 0.0, 0

    def add(self, size: int, seconds: float) -> None:
        self._seconds, self._bytes = self._seconds + seconds, self._bytes + size

    @property
    def seconds(self) -> float | None:
        """Of one byte; None if nothing was done yet."""
        return self._seconds / self._bytes if self._bytes else None


class Readers:
    """The processes of one upload; they end with `close`."""

    def __init__(self, processes: int | None = None, *, spare: Spare | None = None) -> None:
        """Start none yet.

        Args:
            processes: how many there may be beside this one; by default one for each further core.
            spare: some that were started before, which are taken first.
        """
        self.spare = Spare() if spare is None else spare
        self._most = most_processes() if processes is None else processes
        self._condition = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._running: list[_Process] = []
        self._offered = 0
        self._closed = False
        self._reading, self._sealing = _Speed(), _Speed()
        self._unsealed = 0
        """Bytes of the sources ahead."""
        self._in_answers = 0.0
        """Seconds that answers took, without what was done meanwhile."""
        self._silent = 0
        """Processes that ended before their first answer, since any answered."""
        self._news = 0
        """Answers that came, and processes that ended."""
        self.meanwhile: Callable[[], bool] = lambda: False
        """Does a piece of what else there is to do, while an answer is waited for, and tells whether there was any."""
        self.started = 0
        """Processes that were started, or couldn't be."""
        self.answered = 0
        """Questions that they answered."""

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def are_any(self) -> bool:
        """Whether there may be any."""
        return self._most > 0

    def close(self) -> None:
        """End all processes, whatever they do."""
        with self._condition:
            self._closed = True
            while self._waiting:
                # Whoever is about to ask for it, or to drop it, finds it done.
                self._waiting.popleft().finish(None)
            running, self._running = self._running, []
            self._condition.notify_all()
        for one in running:
            one.kill()
        for one in running:
            one.join()

    def sources(
        self, pairs: Iterable[tuple[Source, _T]], wanted: Callable[[Source, _T], bool], *, words: bool = True
    ) -> Iterator[tuple[Source, _T]]:
        """Yield sources in their order, each once those that follow it are being read.

        Args:
            pairs: each with something that belongs to it; an error of it comes where it would come without this.
            wanted: tells whether a source is to be read at all.
            words: whether the words of its records are wanted, too.
        """

        def job(pair: tuple[Source, _T]) -> Job | None:
            source = pair[0]
            if not wanted(*pair):
                # Else many of them would be held, which nobody counts. Whoever reads it after all reads its file.
                source.release()
                return None
            reading = source.reading()
            return None if reading is None else Job(to_read(reading, words=words), len(reading.content))

        for (source, beside), made in self._ahead(pairs, job):
            reading = None if made is None else source.reading()
            if made is not None and reading is not None:
                source.ahead = _Handle(self, made, source, reading)
            begun, waited = time.perf_counter(), self._in_answers
            yield source, beside
            if made is not None:
                took = time.perf_counter() - begun - (self._in_answers - waited)
                self._sealing.add(made.size, max(took, 0.0))
            source.ahead = None

    def lists(self, contents: Iterable[Sequence[bytes | None] | None]) -> Iterator[bytes | None]:
        """Yield lists of words, ready to be sealed, as `publish.lists_here` does."""

        def job(one: Sequence[bytes | None] | None) -> Job | None:
            return None if one is None else _list_job(one)

        for one, asked in self._ahead(contents, job):
            if one is None:
                yield None
            else:
                yield made_of(one) if asked is None else _BegunList(self, asked, one).take()

    def begin_lists(self, contents: Sequence[Sequence[bytes | None]]) -> list[_BegunList]:
        """Begin to make lists of words, before the sources that nobody has begun to read."""
        begun = [_BegunList(self, _list_job(one), one) for one in contents]
        with self._condition:
            # Behind those that were begun before.
            place = next((place for place, job in enumerate(self._waiting) if job.is_source), len(self._waiting))
            for one in reversed(begun):
                if self._closed:
                    one.job.finish(None)
                else:
                    self._waiting.insert(place, one.job)
            self._condition.notify_all()
        return begun

    def answer(self, job: Job) -> Any:
        """Return the answer to a question, or None where nobody has one; does other things while it is waited for."""
        begun, beside = time.perf_counter(), 0.0
        try:
            while True:
                with self._condition:
                    if len(self._running) < self._most:
                        # One that died.
                        self._start()
                    if job.state is _State.DONE:
                        found, job.answer = job.answer, None
                        return found
                since = time.perf_counter()
                if self.meanwhile():
                    beside += time.perf_counter() - since
                    continue
                with self._condition:
                    other = self._next_here(job)
                if other is not None:
                    self._here(other)
        finally:
            self._in_answers += time.perf_counter() - begun - beside

    def _next_here(self, job: Job) -> Job | None:
        """Return what this process answers itself while it waits for an answer; None once anything came."""
        if job.state is _State.DONE:
            return None
        # What nobody began and is needed now; or what is begun last.
        other = job if job.state is _State.WAITING else next(iter(self._waiting), None)
        if other is None or (other.is_source and job.is_source and self._is_read_in_time(other)):
            is_begun, news = job.state is not _State.WAITING, self._news
            waits = PATIENCE if is_begun else self._longest()
            if self._condition.wait_for(lambda: job.state is _State.DONE or self._news != news, waits):
                return None
            if is_begun:
                self._give_up(job)
            if job.state is not _State.WAITING:
                return None
            # Whatever it is that the processes do, it isn't this.
            other = job
        self._waiting.remove(other)
        other.state = _State.TAKEN
        return other

    def _is_read_in_time(self, job: Job) -> bool:
        """Tell whether the processes will have read everything before this one is done with all that only it can do."""
        running = sum(one.has_answered for one in self._running)
        reading = self._reading.seconds
        if not running or reading is None:
            return False
        sealing = reading if self._sealing.seconds is None else self._sealing.seconds
        unread = sum(one.size for one in self._waiting) + self._under_way() - job.size
        return sealing * self._unsealed + reading * job.size > reading * unread / running

    def _under_way(self) -> int:
        return sum(job.size for process in self._running for parcel in process.asked for job in parcel)

    def _longest(self) -> float:
        """Return how many seconds some answer may take to come, if the processes are as fast as before."""
        return min(PATIENCE, _GRACE + 2 * self._under_way() * (self._reading.seconds or 0.0))

    def _here(self, job: Job) -> None:
        """Answer a question in this process."""
        found, begun = None, time.perf_counter()
        try:
            found = answer(job.question)
        except Exception:  # noqa: BLE001, S110  # It comes again where it belongs: where its source is read.
            pass
        finally:
            with self._condition:
                if job.is_source:
                    self._reading.add(job.size, time.perf_counter() - begun)
                job.finish(found)

    def _ahead(self, items: Iterable[_T], job_of: Callable[[_T], Job | None]) -> Iterator[tuple[_T, Job | None]]:
        if self._most < 1:
            yield from ((item, None) for item in items)
            return
        ahead: deque[tuple[_T, Job | None]] = deque()
        size, following, failed = 0, iter(items), None
        is_more = True
        while True:
            # Many at once, once half of them are gone: each time threads are woken.
            is_filling = not ahead or (size < MOST_AHEAD // 2 and len(ahead) < MOST_JOBS // 2)
            is_new = False
            while is_more and is_filling and (not ahead or (size < MOST_AHEAD and len(ahead) < MOST_JOBS)):
                try:
                    item = next(following)
                    job = job_of(item)
                except StopIteration:
                    is_more = False
                except Exception as exc:  # noqa: BLE001  # Raised below, in its place.
                    is_more, failed = False, exc
                else:
                    ahead.append((item, job))
                    if job is not None:
                        size += job.size
                        is_new = True
                        self._offer(job)
            if is_new:
                with self._condition:
                    self._start()
                    self._condition.notify_all()
            if not ahead:
                if failed is not None:
                    raise failed
                return
            item, job = ahead.popleft()
            try:
                yield item, job
            finally:
                if job is not None:
                    size -= job.size
                    self._drop(job)

    def _offer(self, job: Job) -> None:
        with self._condition:
            self._unsealed += job.size if job.is_source else 0
            if self._closed:
                job.finish(None)
                return
            self._waiting.append(job)
            self._offered += job.size

    def _start(self) -> None:
        """Start what processes are missing, if there is enough to do for them."""
        is_worth_it = self._offered >= WORTH and len(self._waiting) > 1 and not self._closed
        is_worth_it = is_worth_it and self._silent < _MOST_SILENT
        missing = self._most - len(self._running) if is_worth_it else 0
        for _ in range(min(missing, self._most + _MOST_STARTS - self.started)):
            self.started += 1
            try:
                self._running.append(_Process(self))
            except (OSError, RuntimeError, MemoryError):
                # No process, thread, pipe or memory is left on this machine: those that run go on, and so does this.
                return

    def _drop(self, job: Job) -> None:
        """Forget a job that nobody asks for any more."""
        with self._condition:
            self._unsealed -= job.size if job.is_source else 0
            if job.state is _State.WAITING:
                self._waiting.remove(job)
                job.finish(None)
            job.answer = None

    def _give_up(self, job: Job) -> None:
        for one in self._running:
            if one.has(job):
                one.kill()
        job.finish(None)

    # What the threads of a process call.

    def take(self, process: _Process) -> list[Job]:
        """Return the next questions for a process, once there are some; none once it ends."""
        with self._condition:
            self._condition.wait_for(
                lambda: self._closed or process.ended or (self._waiting and len(process.asked) < _UNDER_WAY)
            )
            if self._closed or process.ended:
                return []
            # Each gets its share of what there is.
            parcel, size, most = list[Job](), 0, max(1, len(self._waiting) // (self._most + 1))
            while self._waiting and len(parcel) < most and (not parcel or size + self._waiting[0].size <= _PARCEL):
                job = self._waiting.popleft()
                job.state = _State.TAKEN
                size += job.size
                parcel.append(job)
            process.asked.append(parcel)
            if len(process.asked) == 1:
                process.begun = time.perf_counter()
            return parcel

    def most_answer(self, process: _Process) -> int:
        """Return how many bytes the answer to the oldest questions of a process may have; 0 where none was asked."""
        with self._condition:
            return _ANSWER + _SWELLS * sum(job.size for job in process.asked[0]) if process.asked else 0

    def put(self, process: _Process, answers: Sequence[Any]) -> bool:
        """Take the answers to the oldest questions of a process; return whether they are answers to these."""
        with self._condition:
            parcel = process.asked[0] if process.asked else []
            if len(parcel) != len(answers):
                return False
            process.asked.popleft()
            now = time.perf_counter()
            if process.has_answered and all(job.is_source for job in parcel):
                self._reading.add(sum(job.size for job in parcel), now - process.begun)
            # Its first answer may have waited for it to start.
            process.begun, process.has_answered, self._silent = now, True, 0
            for job, found in zip(parcel, answers, strict=True):
                # One that was given up needs none any more.
                if job.state is _State.TAKEN:
                    job.finish(found)
                    self.answered += found is not None
            self._news += 1
            self._condition.notify_all()
            return True

    def lost(self, process: _Process) -> None:
        """Note that a process ended: what it was at may have ended it, and is read here; the rest is asked again."""
        with self._condition:
            process.ended = True
            self._silent += not process.has_answered
            for place, parcel in reversed(list(enumerate(process.asked))):
                for job in reversed(parcel):
                    if job.state is _State.TAKEN and place and not self._closed:
                        job.state = _State.WAITING
                        self._waiting.appendleft(job)
                    elif job.state is _State.TAKEN:
                        job.finish(None)
            process.asked.clear()
            self._news += 1
            if process in self._running:
                self._running.remove(process)
            self._condition.notify_all()


class _BegunList:
    """A list of words that a process may make."""

    def __init__(self, readers: Readers, job: Job, words: Sequence[bytes | None]) -> None:
        self._readers = readers
        self.job = job
        self._words = words

    @property
    def is_done(self) -> bool:
        return self.job.state is _State.DONE

    def take(self) -> bytes:
        found = self._readers.answer(self.job)
        return found if isinstance(found, bytes) else made_of(self._words)


class _Handle:
    """Gives a source what was read of it."""

    def __init__(self, readers: Readers, job: Job, source: Source, reading: Reading) -> None:
        self._readers = readers
        self._job: Job | None = job
        self._source = source
        self._reading = reading

    def __call__(self) -> list[tuple[Piece, ReadBefore | None]] | None:
        job, self._job = self._job, None
        found = None if job is None else self._readers.answer(job)
        if found is None:
            return None
        try:
            records, closed_by = found
            if type(records) is not list or type(closed_by) is not list:
                return None
            pieces = [_piece(one, self._reading.content) for one in records]
            self._source.closed_by = tuple(map(_text, closed_by))
        except (IntegrityError, TypeError, ValueError, LookupError):
            # Not what any of ours says: it is read here.
            return None
        return pieces


class _Process:
    """One process, and the two threads that ask it and listen to it."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self.asked: deque[list[Job]] = deque()
        self.begun = 0.0
        """When it began what it is at now."""
        self.has_answered = False
        self.ended = False
        self._process = readers.spare.take() or start(COMMAND)
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("a process without pipes")
        self._threads = [
            threading.Thread(target=self._ask, args=(self._process.stdin,), daemon=True, name="ask"),
            threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True, name="listen"),
        ]
        try:
            for thread in self._threads:
                thread.start()
        except (RuntimeError, MemoryError):
            self.ended = True
            self.end()
            for thread, pipe in zip(self._threads, (self._process.stdin, self._process.stdout), strict=True):
                # One that runs closes its own.
                if thread.ident is None:
                    pipe.close()
            raise

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def has(self, job: Job) -> bool:
        """Tell whether it was asked this."""
        return any(job in parcel for parcel in self.asked)

    def kill(self) -> None:
        """End it at once: it has nothing to lose."""
        self._process.kill()

    def end(self) -> None:
        """End it, and wait for that."""
        end(self._process)

    def join(self) -> None:
        """Wait for its end, and for that of its threads."""
        self.end()
        for thread in self._threads:
            thread.join(GOODBYE)

    def _ask(self, pipe: IO[bytes]) -> None:
        try:
            with pipe:
                while parcel := self._readers.take(self):
                    pipe.write(to_parcel([job.question for job in parcel]))
                    pipe.flush()
        except (OSError, MemoryError):
            # Its end is noted by whoever listens.
            self.kill()

    def _listen(self, pipe: IO[bytes]) -> None:
        try:
            with pipe:
                while head := pipe.read(HEAD):
                    size = int.from_bytes(head, "big")
                    if size > (most := self._readers.most_answer(self)):
                        break
                    found = dagcbor.decode(pipe.read(size), limit=most)
                    if not isinstance(found, list) or not self._readers.put(self, found):
                        break
        except (OSError, IntegrityError, MemoryError):
            # It died in the middle of an answer, or says what none of ours says.
            pass
        finally:
            self.end()
            self._readers.lost(self)


def _list_job(words: Sequence[bytes | None]) -> Job:
    return Job(to_list(words), sum(len(one or b"") for one in words), is_source=False)


def _piece(record: Sequence[Any], whole: bytes) -> tuple[Piece, ReadBefore | None]:
    """Return a record of an answer.

    Raises:
        IntegrityError, TypeError, ValueError: it is none.
    """
    category, year, media_type, kept, emergency, known = record
    content = whole if kept is None else kept
    if type(year) is not int or type(emergency) is not bool or type(content) is not bytes:
        raise TypeError
    read = None
    if known is not None:
        packed, told = known
        if packed is not None:
            if type(packed) is not bytes:
                raise TypeError
            # Refuses words that don't say what room they take.
            room_of(packed)
        read = ReadBefore(content, packed, None if told is None else from_told(told, content))
    return Piece(Category(category), year, _text(media_type), content, emergency), read


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError
    return value
