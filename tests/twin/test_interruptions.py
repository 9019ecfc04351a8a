"""A patient's program that ends at any moment: the same call again finishes what it began, once.

Each scenario is ended after its first effect, its second, and so on until none is left. Effects are what outlives the
program: blocks and pins in the store, transactions, what proxies keep and delete, files in the profile. After the end
nothing of the program has an effect any more; then a new session of the patient makes the same call. Effects before the
n-th one and after the one before it are the same moment.
Follows security rule 5 and section "Faults to survive".
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest

from panachain.errors import (
    IntegrityError,
    OutOfScopeError,
    PanaChainError,
    PartlyDoneError,
    PolicyUnknownError,
    ProxiesUnavailableError,
    TransactionError,
)
from panachain.model.actors import PolicyId
from panachain.model.policy import PolicyStatus, ReceiptKind
from panachain.model.scope import Purpose
from panachain.records.journal import Journal
from panachain.sdk.grant_journal import GrantJournal
from panachain.sdk.patient import Patient
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.revocations import RevocationReport
from panachain.wire.messages import ReadError
from tests.twin.chains import TwinSender
from tests.twin.world import PROXIES, World, resource, running_world
from tests.unit.storage.memory_store import MemoryStore

SCOPE = ["laboratory"]
DAY = 86_400


class EndedError(BaseException):
    """The program is over; nothing catches it."""


class Fuse:
    """Counts effects, and ends the program after one of them."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.count = 0
        self.ended = False
        self._lock = threading.Lock()

    def effect(self, do: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Let something happen, if the program is still there, and tell it if it still is afterwards."""
        with self._lock:
            if self.ended:
                raise EndedError
            self.count += 1
            last = self.count == self.after
            done = do(*args, **named)
            if last:
                self.ended = True
                raise EndedError
            return done


@contextmanager
def burning(world: World, fuse: Fuse) -> Iterator[None]:
    """Let the fuse see every effect of whoever acts."""

    def seen(owner: Any, name: str) -> Any:
        original = getattr(owner, name)
        return patch.object(owner, name, lambda *args, **named: fuse.effect(original, *args, **named))

    def answer(request: httpx.Request) -> httpx.Response:
        try:
            return original_answer(request) if request.url.path == "/readyz" else fuse.effect(original_answer, request)
        except EndedError:
            # In a thread of the client's: the program itself notices at its next effect.
            raise ReadError("no answer") from None

    def ends(thread: threading.ExceptHookArgs) -> None:
        # A thread of the program's ends with it.
        if not isinstance(thread.exc_value, EndedError):
            told(thread)

    original_answer, told = world.answer, threading.excepthook
    with ExitStack() as stack:
        stack.enter_context(patch.object(threading, "excepthook", ends))
        for owner, name in (
            *((MemoryStore, name) for name in ("put_blocks", "pin", "unpin", "delete_blocks")),
            *((TwinSender, "send"), (os, "replace"), (GrantJournal, "forget")),
            *((Journal, name) for name in ("prepare", "mined", "deleted")),
        ):
            stack.enter_context(seen(owner, name))
        stack.enter_context(patch.object(world, "answer", answer))
        yield


def interrupt(world: World, call: Callable[[], Any], after: int) -> None:
    """Make a call in a program that ends after so many effects."""
    fuse = Fuse(after)
    with burning(world, fuse):
        try:
            call()
        except EndedError:
            pass
        except PanaChainError:
            # Its requests had no answer any more, and it had nothing else to do than to say so.
            assert fuse.ended
        world.wait()
    assert fuse.ended


def again(world: World, who: str = "patient") -> Any:
    """Return an actor in a new session, which remembers what is on disk."""
    old = world.sessions[who]
    world.sessions[who] = type(old)(world.network, old.profile, "")
    return world.sessions[who]


def effects(prepare: Callable[[World], Any], call: Callable[[World, Any], Any]) -> int:
    """Return how many effects a call has that nothing interrupts."""
    with running_world() as world:
        prepared = prepare(world)
        fuse = Fuse(0)
        with burning(world, fuse):
            call(world, prepared)
            world.wait()
        return fuse.count


def moments(
    prepare: Callable[[World], Any],
    call: Callable[[World, Any], Any],
    check: Callable[[World, Any, Any], None],
    between: Callable[[World], None] = lambda _: None,
) -> int:
    """Interrupt a call at each moment, each time in a world of its own, and check what the second call makes of it.

    After the last effect only the answer is missing, which is another matter: whoever asks again then asks for more.
    """
    last = effects(prepare, call)
    for after in range(1, last):
        with running_world() as world:
            prepared = prepare(world)
            interrupt(world, partial(call, world, prepared), after)
            between(world)
            check(world, prepared, call(world, prepared))
    return last


def active(world: World, grantee: str) -> list[PolicyId]:
    """Return the policies that a grantee could use."""
    who = world.sessions[grantee].address
    views = [view for view in world.patient.policies() if view.grantee == who]
    return [view.policy_id for view in views if view.status is PolicyStatus.ACTIVE]


def check_whole(world: World, policy_id: PolicyId) -> None:
    """Check that every proxy holds its share, once, and that the patient has nothing left to do."""
    for proxy in world.proxies:
        kinds = [receipt.kind for receipt in proxy.store.receipts(policy_id)]
        assert kinds.count(ReceiptKind.DEPOSITED) == 1
        assert proxy.store.kfrag(policy_id, 0) is not None
    assert not world.patient._grants.lacking()


def check_gone(world: World, policy_id: PolicyId) -> None:
    """Check that no proxy holds anything of a policy."""
    assert all(proxy.store.kfrag(policy_id, 0) is None for proxy in world.proxies)
    assert world.patient.revocation(policy_id).final


def opened(world: World, grantee: str) -> int:
    """Return how many records a grantee opens with the newest policy that they could use."""
    return len(list(world.sessions[grantee].open(active(world, grantee)[-1])))


def grant(world: World, grantee: str = "clinician") -> PolicyView:
    """Grant in a new session of the patient's."""
    patient: Patient = again(world)
    return patient.grant(world.sessions[grantee].address, SCOPE, until=world.now + 100_000)


def one_record(world: World) -> None:
    world.upload("hospital", [resource("laboratory", 2024, 1)])


def test_a_grant_is_made_once() -> None:
    def check(world: World, _: None, made: PolicyView) -> None:
        assert active(world, "clinician") == [made.policy_id]
        check_whole(world, made.policy_id)
        assert opened(world, "clinician") == 1

    assert moments(one_record, lambda world, _: grant(world), check) >= 6 + PROXIES


@pytest.mark.deep
def test_a_policy_is_reissued_once_and_its_grantee_never_stands_without() -> None:
    def prepare(world: World) -> PolicyId:
        one_record(world)
        return grant(world).policy_id

    def serves(world: World) -> None:
        # The new one, or still the old one.
        found = []
        for policy_id in active(world, "clinician"):
            # What takes the old one back goes to the chain and to each proxy at once, and may come first to either.
            with suppress(PolicyUnknownError, OutOfScopeError):
                found.append(len(list(world.clinician.open(policy_id))))
        assert max(found) == 1

    def check(world: World, old: PolicyId, made: PolicyView) -> None:
        assert active(world, "clinician") == [made.policy_id]
        check_whole(world, made.policy_id)
        check_gone(world, old)
        assert opened(world, "clinician") == 1

    assert moments(prepare, lambda world, old: again(world).reissue(old), check, serves) >= 6 + 2 * PROXIES


def test_a_request_is_approved_once() -> None:
    def prepare(world: World) -> int:
        one_record(world)
        until = world.now + 100_000
        asked: int = world.clinician.request(world.patient.address, SCOPE, Purpose.TREAT, until=until).request_id
        return asked

    def check(world: World, asked: int, made: PolicyView) -> None:
        assert active(world, "clinician") == [made.policy_id]
        assert [view.state for view in world.patient.requests()] == ["approved"]
        check_whole(world, made.policy_id)

    assert moments(prepare, lambda world, asked: again(world).approve(asked), check) >= 8 + PROXIES


@pytest.mark.deep
def test_a_revocation_with_rotation_ends_in_one_state() -> None:
    def prepare(world: World) -> PolicyId:
        one_record(world)
        grant(world, "nurse")
        return grant(world).policy_id

    def call(world: World, old: PolicyId) -> RevocationReport:
        report: RevocationReport = again(world).revoke(old, rotate=True)
        return report

    def check(world: World, old: PolicyId, report: RevocationReport) -> None:
        assert report.rotated
        assert active(world, "clinician") == []
        check_gone(world, old)
        (left,) = active(world, "nurse")
        check_whole(world, left)
        world.upload("hospital", [resource("laboratory", 2025, 2)])
        assert opened(world, "nurse") == 2
        # One generation further, however often it was begun.
        terms = world.patient.terms_of(left)[1]
        assert max(lane.generation for lane in terms.lanes) == 1

    assert moments(prepare, call, check) >= 10 + 3 * PROXIES


@pytest.mark.deep
def test_records_are_re_wrapped_once() -> None:
    def prepare(world: World) -> PolicyId:
        world.upload("hospital", [resource("laboratory", year, year) for year in (2024, 2025)])
        grant(world, "nurse")
        old = grant(world).policy_id
        world.patient.revoke(old, rotate=True)
        return old

    def check(world: World, old: PolicyId, _: object) -> None:
        assert again(world, "hospital").rewrap().moved == 0
        assert world.patient.revocation(old).rewrapped
        assert opened(world, "nurse") == 2
        assert len(list(world.patient.records())) == 2
        assert len(list(world.hospital.records())) == 2

    assert moments(prepare, lambda world, _: again(world, "hospital").rewrap(), check) >= 10


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as running:
        one_record(running)
        yield running


def test_a_proxy_that_was_down_gets_its_share_later(world: World) -> None:
    world.proxies[0].up = False
    made = grant(world)
    assert (made.deposited, made.proxies) == (PROXIES - 1, PROXIES)
    assert [view.lacking for view in world.patient.policies()] == [1]
    assert opened(world, "clinician") == 1

    world.proxies[0].up = True
    assert [view.policy_id for view in again(world).settle()] == [made.policy_id]
    check_whole(world, made.policy_id)
    world.proxies[1].up = False
    world.upload("hospital", [resource("laboratory", 2025, 2)])
    assert opened(world, "clinician") == 2


def test_too_few_shares_are_an_error_that_the_same_grant_mends(world: World) -> None:
    ready = world.network.mainchain.policies

    def fail(*_: Any) -> None:
        for proxy in world.proxies[:2]:
            proxy.up = False

    with patch.object(ready, "sign_grant", side_effect=ready.sign_grant) as signed:
        signed.side_effect = lambda *args: (fail(), type(ready).sign_grant(ready, *args))[1]
        with pytest.raises(ProxiesUnavailableError, match="only 1 of 3 proxies took a share"):
            grant(world)
    (policy_id,) = active(world, "clinician")
    with pytest.raises(ProxiesUnavailableError):
        again(world).settle()

    for proxy in world.proxies:
        proxy.up = True
    assert grant(world).policy_id == policy_id
    check_whole(world, policy_id)


def test_what_never_came_on_chain_is_not_sent_later(world: World) -> None:
    """Somebody who was told that it failed must be able to rely on it."""
    with patch.object(TwinSender, "send", side_effect=TransactionError("no")), pytest.raises(TransactionError):
        grant(world)
    terms = set(world.network.store.pinned)

    assert again(world).settle() == []
    assert list(world.patient.policies()) == []
    world.advance(3601)
    assert again(world).settle() == []
    assert len(terms - world.network.store.pinned) == 1
    assert not list((world.patient.profile.folder / "grants").glob("*.sealed"))


def test_a_policy_that_was_revoked_is_not_finished(world: World) -> None:
    world.proxies[0].up = False
    made = grant(world)
    world.patient.revoke(made.policy_id)
    world.proxies[0].up = True

    assert [view.stage for view in again(world).settle()] == ["final"]
    assert world.proxies[0].store.kfrag(made.policy_id, 0) is None


def test_a_proxy_that_was_down_deletes_its_share_later(world: World) -> None:
    made = grant(world)
    world.proxies[0].up = False
    world.patient.revoke(made.policy_id)
    world.proxies[0].up = True
    assert world.proxies[0].store.kfrag(made.policy_id, 0) is not None

    assert [view.policy_id for view in again(world).settle()] == [made.policy_id]
    check_gone(world, made.policy_id)
    assert again(world).settle() == []


class TestWaiting:
    """Grants that the patient lets wait, so that their time tells less."""

    def grant(
        self, world: World, who: str = "clinician", jitter: int = 7 * DAY, drawn: int | None = None
    ) -> PolicyView:
        patient: Patient = again(world)
        if drawn is not None:
            patient._grants._delay = lambda _: drawn
        address = world.sessions[who].address
        return patient.grant(address, SCOPE, until=world.now + 90 * DAY, jitter=jitter)

    def test_is_sent_by_the_first_call_after_its_time(self, world: World) -> None:
        made = self.grant(world)
        assert (made.status, made.tx) == (PolicyStatus.UNKNOWN, "")
        assert [view.stage[:13] for view in world.patient.policies()] == ["waiting until"]
        # Asked for twice while it waits it is the same one.
        assert self.grant(world).policy_id == made.policy_id

        world.advance(7 * DAY + 1)
        assert [view.policy_id for view in again(world).settle()] == [made.policy_id]
        assert active(world, "clinician") == [made.policy_id]
        check_whole(world, made.policy_id)
        assert opened(world, "clinician") == 1

    def test_is_listed_once_when_a_proxy_lacks_its_share(self, world: World) -> None:
        made = self.grant(world)
        world.advance(7 * DAY + 1)
        world.proxies[0].up = False
        again(world).settle()

        (view,) = world.patient.policies()
        assert (view.policy_id, view.status, view.lacking) == (made.policy_id, PolicyStatus.ACTIVE, 1)

    def test_is_not_sent_before(self, world: World) -> None:
        self.grant(world, drawn=DAY)
        world.advance(DAY - 1)
        assert again(world).settle() == []
        assert active(world, "clinician") == []

    def test_is_signed_anew_when_nobody_came_in_time(self, world: World) -> None:
        made = self.grant(world)
        world.advance(30 * DAY)
        assert [view.policy_id for view in again(world).settle()] == [made.policy_id]
        assert active(world, "clinician") == [made.policy_id]

    def test_gives_way_when_another_device_used_its_key(
        self, world: World, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        made = self.grant(world)
        here = world.patient.profile
        elsewhere = Patient(world.network, replace(here, folder=tmp_path), "")
        other = elsewhere.grant(world.nurse.address, SCOPE, until=world.now + 90 * DAY)
        assert other.policy_id == made.policy_id

        world.advance(8 * DAY)
        assert again(world).settle() == []
        assert "another device" in caplog.text
        assert self.grant(world, jitter=0).policy_id != made.policy_id
        assert len(active(world, "clinician")) == 1

    def test_is_not_sent_to_keys_that_its_grantee_ended_meanwhile(self, world: World) -> None:
        """Others may have them, and would read who is granted what."""
        made = self.grant(world)
        world.advance(100)
        world.clinician.keys.rotate(compromised_since=world.now - 50)
        world.advance(8 * DAY)
        with pytest.raises(IntegrityError, match="ended the keys that the policy was made for"):
            again(world).settle()
        assert active(world, "clinician") == []
        again(world).revoke(made.policy_id)
        assert again(world).settle() == []

    def test_that_was_made_for_lanes_before_a_rotation_is_made_anew_behind_it(self, world: World) -> None:
        self.grant(world)
        lost = grant(world, "nurse")
        again(world).revoke(lost.policy_id, rotate=True)
        world.advance(8 * DAY)
        again(world).settle()
        world.upload("hospital", [resource("laboratory", 2025, 3)])
        assert len(active(world, "clinician")) == 1
        assert opened(world, "clinician") == 2

    def test_is_forgotten_when_its_window_is_over(self, world: World) -> None:
        self.grant(world)
        world.advance(200 * DAY)
        assert again(world).settle() == []
        assert list(world.patient.policies()) == []

    def test_is_taken_back_without_a_trace(self, world: World) -> None:
        made = self.grant(world, drawn=DAY)
        block = world.network.mainchain.head_block().number
        assert again(world).revoke(made.policy_id).stage == "withdrawn before it was sent"

        assert list(world.patient.policies()) == []
        assert world.network.mainchain.head_block().number == block
        world.advance(30 * DAY)
        assert again(world).settle() == []
        with pytest.raises(PolicyUnknownError):
            world.patient.revoke(made.policy_id)

    def test_is_made_once_when_its_sending_is_interrupted(self) -> None:
        def prepare(world: World) -> PolicyId:
            one_record(world)
            made = self.grant(world)
            world.advance(8 * DAY)
            return made.policy_id

        def check(world: World, policy_id: PolicyId, _: object) -> None:
            assert active(world, "clinician") == [policy_id]
            check_whole(world, policy_id)

        assert moments(prepare, lambda world, _: again(world).settle(), check) >= 4 + PROXIES


def test_another_grant_is_another_one(world: World) -> None:
    world.proxies[0].up = False
    first = grant(world)
    others = [
        # The same one too: the answer is there.
        grant(world),
        again(world).grant(world.nurse.address, SCOPE, until=world.now + 100_000),
        again(world).grant(world.clinician.address, ["vitals"], until=world.now + 100_000),
        again(world).grant(world.clinician.address, SCOPE, until=world.now + 300_000),
        again(world).grant(world.clinician.address, SCOPE, purpose=Purpose.ETREAT, until=world.now + 100_000),
    ]
    assert len({first.policy_id, *(view.policy_id for view in others)}) == 6
    assert [view.lacking for view in world.patient.policies()] == [1] * 6


def test_a_damaged_file_is_named(world: World) -> None:
    world.proxies[0].up = False
    grant(world)
    (path,) = (world.patient.profile.folder / "grants").glob("*.sealed")
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(PartlyDoneError, match="can't be read"):
        again(world).settle()


def test_what_lies_on_disk_is_sealed_and_private(world: World) -> None:
    world.proxies[0].up = False
    made = grant(world)
    (path,) = (world.patient.profile.folder / "grants").glob("*.sealed")
    content = path.read_bytes()

    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert bytes.fromhex(made.policy_id[2:]) not in content
    assert b"laboratory" not in content
