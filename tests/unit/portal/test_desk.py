"""Sessions and seats: threads of their own, and nothing left after the lock."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import LockedError, UsageError
from panachain.model.actors import Role
from panachain.passphrase import Hidden
from panachain.portal.desk import Desk, Seat
from panachain.portal.refusals import LockedPageError
from panachain.sdk.contacts import add_contact
from panachain.sdk.profiles import Profile
from panachain.viewer import images
from panachain.viewer.images import picture
from tests.processes import wait_for
from tests.twin.world import actor_of, seed_of


class Actor:
    """Notes in which threads it is used."""

    def __init__(self) -> None:
        self.threads = {threading.get_ident()}
        self.closed = False

    def work(self) -> int:
        self.threads.add(threading.get_ident())
        return 7

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed = True


@pytest.fixture
def made() -> list[Actor]:
    return []


@pytest.fixture
def seat(tmp_path: Path, made: list[Actor]) -> Seat:
    actor = actor_of("patient", Role.PATIENT)
    folder = tmp_path / "profiles" / "patient"
    folder.mkdir(parents=True)
    profile = Profile("patient", Role.PATIENT, actor.address, seed_of("patient").public_keys(), folder)

    def opener(_: Profile, passphrase: Hidden) -> Any:
        if passphrase.reveal() != "right":
            raise LockedError("wrong")
        made.append(Actor())
        return made[-1]

    return Seat(profile, Hidden("right"), opener, tmp_path)


def ended(seat: Seat) -> None:
    seat._desk.shutdown()
    seat._bench.shutdown()


def test_each_session_of_the_sdk_stays_in_its_own_thread(seat: Seat, made: list[Actor]) -> None:
    async def use() -> None:
        await seat.sit()
        jobs = [seat.start("x", lambda actor, _: actor.work(), template="x.html") for _ in range(3)]
        assert await asyncio.gather(*(seat.run(lambda actor: actor.work()) for _ in range(5))) == [7] * 5
        for job in jobs:
            await asyncio.to_thread(job.ended.wait, 30)
            assert job.result == 7

    asyncio.run(use())
    seat.leave()
    ended(seat)
    desk, bench = made
    assert [len(one.threads) for one in made] == [1, 1]
    assert desk.threads != bench.threads
    assert all(one.closed for one in made)


def test_a_page_waits_for_no_upload(seat: Seat) -> None:
    go = threading.Event()

    async def use() -> None:
        await seat.sit()
        job = seat.start("upload", lambda *_: go.wait(30), template="x.html")
        assert await seat.run(lambda actor: actor.work()) == 7
        assert job.running
        go.set()
        await asyncio.to_thread(job.ended.wait, 30)

    asyncio.run(use())
    seat.leave()


def test_a_wrong_passphrase_leaves_no_seat(tmp_path: Path, seat: Seat) -> None:
    seat._secret = Hidden("wrong")
    with pytest.raises(LockedError):
        asyncio.run(seat.sit())
    assert seat.closed


def test_a_locked_seat_does_nothing(seat: Seat) -> None:
    asyncio.run(seat.sit())
    seat.leave()
    seat.leave()
    with pytest.raises(LockedPageError):
        asyncio.run(seat.run(lambda actor: actor.work()))
    with pytest.raises(LockedPageError):
        seat.start("x", lambda *_: None, template="x.html")


def test_what_nobody_foresaw_ends_the_work_and_tells_its_type_only(seat: Seat) -> None:
    async def use() -> None:
        await seat.sit()

        def fail(*_: Any) -> None:
            raise KeyError("a patient's name")

        job = seat.start("x", fail, template="x.html")
        await asyncio.to_thread(job.ended.wait, 30)
        assert str(job.error) == "unforeseen KeyError"

    asyncio.run(use())
    seat.leave()


def test_too_much_work_at_once_is_refused(seat: Seat) -> None:
    go = threading.Event()
    asyncio.run(seat.sit())
    for _ in range(8):
        seat.start("x", lambda *_: go.wait(30), template="x.html")
    with pytest.raises(UsageError):
        seat.start("x", lambda *_: None, template="x.html")
    go.set()
    seat.leave()
    ended(seat)


def test_names_follow_the_address_book(seat: Seat, tmp_path: Path) -> None:
    who = actor_of("nurse", Role.PRACTITIONER).address
    assert seat.names.of(who) == who
    add_contact(tmp_path, "night-nurse", who)
    assert seat.names.of(who) == "night-nurse"


def test_openings_go_with_the_oldest_and_with_the_lock(seat: Seat) -> None:
    names = [seat.openings.add(f"opening {number}", [number]) for number in range(20)]
    assert [seat.openings.get(name) is not None for name in names] == [False] * 4 + [True] * 16
    assert next(name for name, _ in seat.openings.items()) == names[-1]
    held = seat.openings.get(names[-1])
    seat.leave()
    assert not seat.openings.items()
    # Also for a page that still has it.
    assert held is not None
    assert not held.records


def test_what_pages_keep_is_closed_at_the_lock(seat: Seat) -> None:
    kept = Actor()
    seat.put("x", kept)
    seat.put("y", "text")
    seat.leave()
    assert kept.closed
    assert not seat.keep


def test_strangers_sessions_are_bounded_and_push_no_seat_out(seat: Seat) -> None:
    desk = Desk()
    first = desk.begin()
    sitting = desk.rotate(desk.begin(), seat)
    for _ in range(600):
        desk.begin()
    assert desk.find(first.name) is None
    assert desk.find(sitting.name) is sitting
    desk.close()
    assert seat.closed


def test_work_counts_as_use_until_its_end(seat: Seat) -> None:
    now = [0.0]
    desk = Desk(idle=60, clock=lambda: now[0])
    session = desk.rotate(desk.begin(), seat)
    go = threading.Event()
    asyncio.run(seat.sit())
    job = seat.start("upload", lambda *_: go.wait(30), template="x.html")
    now[0] = 500
    desk.sweep()
    assert session.seat is seat
    go.set()
    job.ended.wait(30)
    now[0] = 559
    desk.sweep()
    assert not seat.closed
    now[0] = 560
    desk.sweep()
    assert seat.closed
    assert session.seat is None


class Broken:
    """Can't be closed."""

    def close(self) -> None:
        raise OSError("no")


def test_what_cant_be_closed_keeps_nothing_else_open(seat: Seat, made: list[Actor]) -> None:
    async def use() -> None:
        await seat.sit()
        job = seat.start("x", lambda actor, _: actor.work(), template="x.html")
        await asyncio.to_thread(job.ended.wait, 30)

    asyncio.run(use())
    last = Actor()
    seat.put("x", Broken())
    seat.put("y", last)
    desk, bench = made
    desk.close = Broken().close
    seat.leave()
    ended(seat)
    assert last.closed
    assert not seat.keep
    assert bench.closed
    assert seat._at_desk is None


def test_one_seat_that_cant_be_locked_keeps_no_other_one_open(
    seat: Seat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Seat:
        made = Seat(seat.profile, Hidden("right"), seat._open_actor, tmp_path)
        monkeypatch.setattr(made, "leave", Broken().close)
        return made

    now = [0.0]
    desk = Desk(idle=60, clock=lambda: now[0])
    held = desk.rotate(desk.begin(), broken())
    # Locking by hand: the old name counts no more, whatever fails.
    desk.rotate(held, None)
    assert desk.find(held.name) is None
    desk.rotate(desk.begin(), broken())
    desk.rotate(desk.begin(), seat)
    now[0] = 60

    async def watch() -> None:
        watching = asyncio.create_task(desk.watch(0))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not watching.done()
        watching.cancel()

    asyncio.run(watch())
    assert seat.closed
    other = Seat(seat.profile, Hidden("right"), seat._open_actor, tmp_path)
    desk.rotate(desk.begin(), broken())
    desk.rotate(desk.begin(), other)
    desk.close()
    assert other.closed


def test_an_actor_that_nobody_waits_for_is_closed(seat: Seat, made: list[Actor]) -> None:
    begun, go, opener = threading.Event(), threading.Event(), seat._open_actor

    def slow(profile: Profile, passphrase: Hidden) -> Any:
        begun.set()
        go.wait(30)
        return opener(profile, passphrase)

    seat._open_actor = slow

    async def give_up() -> None:
        sitting = asyncio.create_task(seat.sit())
        assert await asyncio.to_thread(begun.wait, 30)
        sitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sitting
        go.set()

    asyncio.run(give_up())
    ended(seat)
    assert [one.closed for one in made] == [True]


def test_what_waits_at_the_lock_never_begins(seat: Seat, made: list[Actor]) -> None:
    go, begun, done = threading.Event(), threading.Event(), list[str]()

    def long(*_: Any) -> None:
        begun.set()
        go.wait(30)

    async def use() -> None:
        await seat.sit()
        before = seat.start("upload", long, template="x.html")
        after = seat.start("grant", lambda *_: done.append("grant"), template="x.html")
        assert await asyncio.to_thread(begun.wait, 30)
        # A page, too, that waits for another one.
        there, stay = threading.Event(), threading.Event()
        busy = asyncio.create_task(seat.run(lambda _: (there.set(), stay.wait(30))))
        page = asyncio.create_task(seat.run(lambda _: done.append("page")))
        assert await asyncio.to_thread(there.wait, 30)
        seat.leave()
        stay.set()
        go.set()
        await busy
        with pytest.raises(LockedPageError):
            await page
        await asyncio.to_thread(after.ended.wait, 30)
        assert before.error is None
        assert isinstance(after.error, LockedError)

    asyncio.run(use())
    ended(seat)
    assert not done
    assert all(one.closed for one in made)


def test_no_profile_is_unlocked_for_work_after_the_lock(seat: Seat, made: list[Actor]) -> None:
    go, opener = threading.Event(), seat._open_actor
    asyncio.run(seat.sit())

    def slow(profile: Profile, passphrase: Hidden) -> Any:
        go.wait(30)
        return opener(profile, passphrase)

    seat._open_actor = slow
    done: list[str] = []
    # The first piece of work waits while its actor is opened; the lock comes then.
    jobs = [seat.start("x", lambda *_: done.append("x"), template="x.html") for _ in range(2)]
    seat.leave()
    go.set()
    ended(seat)
    assert [type(job.error) for job in jobs] == [LockedError] * 2
    assert not done
    assert seat._secret.reveal() == ""
    assert all(one.closed for one in made)


@pytest.mark.parametrize("swept", [True, False])
def test_the_idle_lock_changes_name_and_key(seat: Seat, *, swept: bool) -> None:
    now = [0.0]
    desk = Desk(idle=60, clock=lambda: now[0])
    session = desk.rotate(desk.begin(), seat)
    session.language = "de"
    name, key, csrf, confirmation = session.name, session.key, session.csrf, session.token(b"confirm", b"x")
    now[0] = 60
    if swept:
        desk.sweep()
        # A request that had found it before makes nothing with it any more.
        assert session.csrf != csrf
    fresh = desk.find(name)
    assert fresh is not None
    assert fresh.name != name
    assert fresh.key != key
    assert fresh.csrf != csrf
    assert fresh.token(b"confirm", b"x") != confirmation
    assert (fresh.seat, fresh.language, fresh.told) == (None, "de", False)
    assert desk.find(name) is None
    assert desk.find(fresh.name) is fresh
    assert fresh.told


def test_two_unlocks_of_one_session_leave_one_seat(seat: Seat, tmp_path: Path) -> None:
    desk = Desk()
    session = desk.begin()
    second = Seat(seat.profile, Hidden("right"), seat._open_actor, tmp_path)
    fresh = desk.rotate(session, seat)
    with pytest.raises(LockedPageError):
        desk.rotate(session, second)
    assert second.closed
    # Nor does a lock with the old name give the browser a session over the one that has the seat.
    with pytest.raises(LockedPageError):
        desk.rotate(session, None)
    assert not seat.closed
    assert [one for one in desk._sessions.values() if one.seat] == [fresh]


def test_nothing_is_kept_after_the_lock(seat: Seat) -> None:
    # Pages read what is kept, and add to it by what looks for a lock first.
    with pytest.raises(TypeError):
        seat.keep["x"] = 1  # type: ignore[index]
    assert seat.kept("x", lambda: 1) == 1
    assert seat.kept("x", lambda: 2) == 1
    seat.leave()
    late, made = Actor(), list[str]()
    with pytest.raises(LockedPageError):
        seat.put("y", late)
    assert late.closed
    with pytest.raises(LockedPageError):
        seat.kept("z", lambda: made.append("z"))
    with pytest.raises(LockedPageError):
        seat.openings.add("laboratory", ["a record"])
    assert (dict(seat.keep), seat.openings.items(), made) == ({}, [], [])


def test_what_work_finds_after_the_lock_is_not_kept(seat: Seat) -> None:
    begun, go = threading.Event(), threading.Event()

    def read(*_: Any) -> None:
        begun.set()
        go.wait(30)
        seat.put("records", ["a record"])

    asyncio.run(seat.sit())
    job = seat.start("reading", read, template="x.html")
    assert begun.wait(30)
    seat.leave()
    go.set()
    ended(seat)
    assert isinstance(job.error, LockedError)
    assert job.result is None
    assert not seat.keep


def test_each_seat_has_pictures_drawn_by_a_process_of_its_own_that_ends_with_it(
    seat: Seat, tmp_path: Path, made: list[Actor]
) -> None:
    other = Seat(seat.profile, Hidden("right"), seat._open_actor, tmp_path)
    processes = []

    async def use() -> None:
        for one in (seat, other):
            await one.sit()
            for _ in range(2):
                await one.run(lambda _: picture(b"none"))
            job = one.start("x", lambda *_: picture(b"none"), template="x.html")
            assert await asyncio.to_thread(job.ended.wait, 60)
            assert job.error is None
            processes.append(one._images.asked.process)

    asyncio.run(use())
    first, second = processes
    assert first is not None
    assert second is not None
    assert first.pid != second.pid
    assert images._WORKER.asked.process not in (first, second)
    seat.leave()
    # It held the last file: it is gone, and the other seat's goes on.
    assert first.poll() is not None
    assert second.poll() is None
    assert seat._images.ask({"do": "picture"}, b"none") == ({"error": "it can't be read"}, b"")
    assert seat._images.asked.process is None
    other.leave()
    assert second.poll() is not None
    for one in (seat, other):
        ended(one)


def test_a_lock_waits_for_no_picture(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    # The process waits for more of the file than ever comes, as one does that draws for ever.
    monkeypatch.setattr(seat._images.asked, "_command", ("-c", "import time; time.sleep(600)"))

    async def use() -> None:
        await seat.sit()
        drawing = asyncio.create_task(seat.run(lambda _: picture(b"none")))
        await asyncio.to_thread(wait_for, lambda: seat._images.asked.process is not None)
        process = seat._images.asked.process
        assert process is not None
        assert process.poll() is None
        seat.leave()
        assert (await drawing).error
        assert process.poll() is not None

    asyncio.run(use())
    ended(seat)
    assert seat._images.asked.process is None
