"""Grants, step by step; tests/twin/test_interruptions.py ends them at each moment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from panachain.consent.life import State
from panachain.errors import (
    ChainUnavailableError,
    ConfigurationError,
    PartlyDoneError,
    ProxiesUnavailableError,
    RelaysUnavailableError,
    TransactionError,
    UsageError,
)
from panachain.model.policy import PolicyStatus
from panachain.sdk import grant_journal
from panachain.sdk.grant_journal import GrantJournal
from panachain.sdk.proxies import Proxies
from panachain.sdk.relay import LocalRelay
from panachain.sdk.submitting import hand_out
from tests.twin.chains import TwinSender
from tests.twin.world import PROXIES, World
from tests.unit.sdk.helpers import DAY, again, grant, opened, upload


def test_a_plan_changes_nothing(world: World) -> None:
    block, pinned = world.network.mainchain.head_block().number, set(world.network.store.pinned)
    planned = grant(world, dry_run=True)
    assert (planned.dry_run, planned.status, planned.tx) == (True, PolicyStatus.UNKNOWN, "")
    assert world.network.mainchain.head_block().number == block
    assert set(world.network.store.pinned) == pinned
    assert list(world.patient.policies()) == []
    # The number isn't used either.
    assert grant(world).policy_id == planned.policy_id


def test_a_grant_serves_and_leaves_nothing_behind(world: World) -> None:
    upload(world)
    made = grant(world)
    assert (made.deposited, made.lacking, bool(made.tx)) == (PROXIES, 0, True)
    assert opened(world, made.policy_id) == 1
    assert world.patient._grants.lacking() == {}
    assert GrantJournal(world.patient.profile.folder, world.patient._seed).read() == []


def test_too_few_ready_proxies_change_nothing(world: World) -> None:
    for proxy in world.proxies[:2]:
        proxy.up = False
    with pytest.raises(ProxiesUnavailableError, match="1 of 3 proxies are ready"):
        grant(world)
    assert world.patient._grants._journal.next_index() == 0
    assert list(world.patient.policies()) == []


def test_it_is_written_down_before_anything_is_sent_and_shares_are_struck_off(world: World) -> None:
    journal = world.patient._grants._journal
    seen: list[tuple[str, int]] = []
    send, deposit = TwinSender.send, Proxies.deposit

    def sending(self: TwinSender, *args: object, **named: object) -> object:
        seen.append(("send", len(journal.read())))
        return send(self, *args, **named)  # type: ignore[arg-type]

    def depositing(self: Proxies, *args: object, **more: object) -> object:
        seen.append(("deposit", journal.read()[0].lacking))
        return deposit(self, *args, **more)  # type: ignore[arg-type]

    with patch.object(TwinSender, "send", sending), patch.object(Proxies, "deposit", depositing):
        grant(world)
    assert seen == [("send", 1), ("deposit", PROXIES)]


def test_states_follow_each_other_as_written(world: World) -> None:
    """Each state of a grant whose proxy is down, as the journal and the chain say it."""
    grants = world.patient._grants

    def state() -> list[State]:
        return [state for _, state in grants._unfinished()[0]]

    with patch.object(TwinSender, "send", side_effect=TransactionError("no")), pytest.raises(TransactionError):
        grant(world)
    assert state() == [State.SIGNED]
    with patch.object(Proxies, "deposit", return_value=([], [])), pytest.raises(ProxiesUnavailableError):
        grant(world)
    assert state() == [State.ON_CHAIN]
    world.proxies[0].up = False
    grant(world)
    assert state() == [State.SERVED]
    world.proxies[0].up = True
    world.patient.settle()
    assert state() == []


def test_a_block_that_is_replaced_at_once_is_an_error_and_the_same_call_sends_again(world: World) -> None:
    policies = world.network.mainchain.policies
    with (
        patch.object(policies, "policies_of", return_value={}),
        pytest.raises(TransactionError, match="its block was replaced"),
    ):
        grant(world)
    assert grant(world).lacking == 0
    assert len(list(world.patient.policies())) == 1


class TestOneThatIsDamaged:
    """What is written down of one grant stops neither the others nor what takes a right away."""

    @pytest.fixture
    def damaged(self, world: World) -> Path:
        """A grant whose proxy is down, and a file of another one that is damaged."""
        world.proxies[0].up = False
        grant(world)
        folder = world.patient.profile.folder / "grants"
        (folder / "00000099.sealed").write_bytes(b"torn")
        world.proxies[0].up = True
        return folder / "00000099.sealed"

    def test_the_others_are_finished_and_it_is_named_afterwards(self, world: World, damaged: Path) -> None:
        with pytest.raises(PartlyDoneError, match=r"00000099\.sealed can't be read") as caught:
            world.patient.settle()
        assert "panachain policies shows what you granted" in caught.value.hint
        assert world.patient._grants.lacking() == {}
        # It is set aside, and not taken away.
        assert [path.name for path in damaged.parent.glob("*.sealed*")] == [f"{damaged.name}.damaged"]
        assert damaged.with_name(f"{damaged.name}.damaged").read_bytes() == b"torn"
        assert world.patient.settle() == []

    def test_a_right_is_taken_back_and_everything_is_listed(self, world: World, damaged: Path) -> None:
        assert hand_out(world.patient) == []
        (policy,) = world.patient.policies()
        assert world.patient.revoke(policy.policy_id).final
        assert [view.status for view in world.patient.policies()] == [PolicyStatus.REVOKED]

    def test_it_stops_no_other_grant(self, world: World, damaged: Path) -> None:
        assert grant(world, "nurse").lacking == 0
        assert not damaged.exists()

    def test_one_that_may_be_read_later_stays_and_may_be_this_very_grant(self, world: World, damaged: Path) -> None:
        real = grant_journal.read_regular

        def busy(path: Path, most: int) -> bytes:
            if path == damaged:
                raise OSError(24, "Too many open files")
            return real(path, most)

        with (
            patch.object(grant_journal, "read_regular", busy),
            pytest.raises(ConfigurationError, match=r"00000099\.sealed can't be read: Too many open files"),
        ):
            grant(world, "nurse")
        assert damaged.exists()

    def torn(self, world: World) -> Path:
        """Damage the only grant that isn't finished, and return where it lay."""
        (path,) = (world.patient.profile.folder / "grants").glob("*.sealed")
        path.write_bytes(path.read_bytes()[:-1])
        return path

    def test_one_that_is_not_on_chain_is_taken_back_whoever_brings_it_later(self, world: World) -> None:
        kept: list[Any] = []

        def keeps(*given: Any) -> None:
            kept.extend(given[1:])
            raise RelaysUnavailableError("busy")

        with patch.object(LocalRelay, "grant", keeps), pytest.raises(RelaysUnavailableError):
            grant(world)
        self.torn(world)
        made = grant(again(world) and world)
        # Asked for again it is another one, and the first never serves beside it.
        assert made.policy_id != kept[0].owner
        with patch.object(LocalRelay, "revoke", side_effect=AssertionError("there is nothing to revoke")):
            assert again(world)._revocations.go_on() == []
        world.network.relay().grant(*kept)
        again(world)._revocations.go_on()
        views = {view.policy_id: view.status for view in world.patient.policies()}
        assert views == {kept[0].owner: PolicyStatus.REVOKED, made.policy_id: PolicyStatus.ACTIVE}

    def test_one_that_is_on_chain_stays_and_whoever_revokes_what_it_replaced_is_told(self, world: World) -> None:
        old = grant(world)
        with patch.object(Proxies, "deposit", return_value=([], [])), pytest.raises(ProxiesUnavailableError):
            world.patient.reissue(old.policy_id)
        self.torn(world)
        with pytest.raises(PartlyDoneError, match="what it was to replace stays in force") as caught:
            again(world).settle()
        new = next(view.policy_id for view in world.patient.policies() if view.policy_id != old.policy_id)
        assert f"panachain reissue {new} hands out all shares anew" in caught.value.hint
        # Nobody took the old one back, and nobody forgot the new one.
        report = again(world).revoke(old.policy_id)
        assert [f"policy {new} is for the same reader" in str(one.error) for one in report.omissions] == [True]
        made = again(world).reissue(new)
        assert made.lacking == 0
        assert again(world).revoke(made.policy_id).omissions == ()

    def test_a_chain_that_is_down_sets_nothing_aside(self, world: World) -> None:
        world.proxies[0].up = False
        grant(world)
        path = self.torn(world)
        policies = world.network.mainchain.policies
        with (
            patch.object(policies, "policies_of", side_effect=ChainUnavailableError("down")),
            pytest.raises(ChainUnavailableError),
        ):
            again(world).settle()
        assert path.exists()

    def test_a_damaged_list_of_revocations_stops_no_other_grant(self, world: World) -> None:
        world.proxies[0].up = False
        made = grant(world)
        world.patient.profile.orders.write_bytes(b"{")
        assert grant(world, "nurse").lacking == 1
        with pytest.raises(ConfigurationError, match=r"revoked\.json can't be read"):
            world.patient.reissue(made.policy_id)

    def test_what_is_no_file_is_not_waited_for(self, world: World, damaged: Path) -> None:
        damaged.unlink()
        os.mkfifo(damaged)
        with pytest.raises(PartlyDoneError, match=r"00000099\.sealed can't be read"):
            world.patient.settle()


class TestReissue:
    def test_replaces_a_policy_and_keeps_what_it_allows(self, world: World) -> None:
        upload(world)
        old = grant(world, categories=("laboratory", "vitals"), until=world.now + 3 * DAY)
        new = world.patient.reissue(old.policy_id)
        assert (new.scopes, new.expires_at, new.threshold) == (old.scopes, old.expires_at, old.threshold)
        assert [view.status for view in world.patient.policies()] == [PolicyStatus.REVOKED, PolicyStatus.ACTIVE]
        assert opened(world, new.policy_id) == 1

    def test_of_one_that_is_over_is_refused(self, world: World) -> None:
        old = grant(world)
        world.patient.revoke(old.policy_id)
        with pytest.raises(UsageError, match="is revoked: grant a new one"):
            world.patient.reissue(old.policy_id)

    def test_the_old_one_serves_until_the_new_one_does(self, world: World) -> None:
        upload(world)
        old = grant(world)
        with patch.object(Proxies, "deposit", return_value=([], [])), pytest.raises(ProxiesUnavailableError):
            world.patient.reissue(old.policy_id)
        assert opened(world, old.policy_id) == 1
        again(world).reissue(old.policy_id)
        assert [view.status for view in world.patient.policies()] == [PolicyStatus.REVOKED, PolicyStatus.ACTIVE]


class TestWaiting:
    def drawn(self, world: World, seconds: int) -> None:
        world.patient._grants._delay = lambda _: seconds

    def test_is_sent_at_its_time(self, world: World) -> None:
        self.drawn(world, DAY)
        made = grant(world, until=world.now + 30 * DAY, jitter=2 * DAY)
        assert made.stage.startswith("waiting until")
        world.advance(DAY - 1)
        assert world.patient.settle() == []
        world.advance(1)
        assert [view.policy_id for view in world.patient.settle()] == [made.policy_id]

    def test_asked_for_without_a_delay_it_is_sent_at_once(self, world: World) -> None:
        self.drawn(world, DAY)
        made = grant(world, until=world.now + 30 * DAY, jitter=2 * DAY)
        left = world.patient._grants._journal.read()[0]
        with patch.object(type(left), "is_for", return_value=True):
            assert grant(world, until=world.now + 30 * DAY).policy_id == made.policy_id
        assert next(world.patient.policies()).status is PolicyStatus.ACTIVE
