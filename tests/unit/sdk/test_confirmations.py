"""A grant's shares go to the proxies once the chain is as deep as they want it, with the proxies' real look at it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from panachain.config import Config
from panachain.consent.life import State
from panachain.errors import (
    ChainUnavailableError,
    ConfigurationError,
    PolicyRevokedError,
    ProxiesUnavailableError,
    TransactionError,
)
from panachain.model.policy import PolicyStatus
from panachain.sdk import submitting
from panachain.sdk.confirmations import LAGGING, POLL, STALLED, Confirmations
from panachain.sdk.grants import CONFIRMING
from panachain.sdk.network import Network
from tests.twin.world import PROXIES, World
from tests.unit.sdk.helpers import again, grant, opened, upload

DEEP = 2


def make_deep(world: World, *, mining: bool = True) -> list[float]:
    """Let proxies and patients wait for `DEEP` blocks, and return the list of what patients sleep."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if mining:
            world.advance(1)
        elif len(slept) % int(1 / POLL) == 0:
            world.clock.now += 1

    world.network.confirmations, world.network.sleep = DEEP, sleep
    for proxy in world.proxies:
        proxy._chains._confirmations = DEEP
    return slept


def states(world: World) -> list[State]:
    return [state for _, state in world.patient._grants._unfinished()[0]]


class TestWait:
    def test_shares_are_handed_out_when_the_grant_is_as_deep_as_the_proxies_want_it(self, world: World) -> None:
        upload(world)
        slept = make_deep(world)

        made = grant(world)

        assert (len(slept), made.deposited, made.lacking) == (DEEP, PROXIES, 0)
        assert opened(world, made.policy_id) == 1

    def test_proxies_refuse_the_shares_of_a_patient_who_does_not_wait(self, world: World) -> None:
        slept = make_deep(world, mining=False)
        world.network.confirmations = 0

        with pytest.raises(ProxiesUnavailableError, match="only 0 of 3 proxies took a share"):
            grant(world)
        assert sum(slept) == LAGGING

    @pytest.mark.parametrize("development", [False, True])
    def test_proxies_whose_nodes_see_the_grant_later_than_the_patients_are_asked_again(
        self, world: World, development: bool
    ) -> None:
        upload(world)
        slept = make_deep(world)
        world.network.confirmations = 0
        world.network.faucet = world.network.several_nodes = development

        made = grant(world)

        assert (len(slept), made.deposited, made.lacking) == (DEEP, PROXIES, 0)
        assert opened(world, made.policy_id) == 1

    def test_nobody_waits_for_the_only_node_of_a_development_chain(self, world: World) -> None:
        slept = make_deep(world)
        world.network.confirmations = 0
        world.network.faucet = True

        with pytest.raises(ProxiesUnavailableError, match="only 0 of 3 proxies took a share"):
            grant(world)
        assert slept == []

    def test_nobody_waits_where_no_block_is_asked_for(self, world: World) -> None:
        slept = make_deep(world)
        world.network.confirmations = 0
        for proxy in world.proxies:
            proxy._chains._confirmations = 0

        assert grant(world).lacking == 0
        assert slept == []

    def test_a_chain_that_stalls_ends_the_wait_and_the_same_call_goes_on(self, world: World) -> None:
        slept = make_deep(world, mining=False)

        with pytest.raises(ChainUnavailableError, match=r"must follow: 2\): .* for 120 s") as raised:
            grant(world)

        assert sum(slept) == STALLED
        assert "the same call" in str(raised.value.hint)
        assert states(world) == [State.ON_CHAIN]
        waiting = [view.policy_id for view in world.patient.policies()]
        make_deep(world)
        until = world.patient._grants._unfinished()[0][0][0].grant.expires_at
        again(world)
        made = grant(world, until=until)
        assert ([made.policy_id], made.lacking) == (waiting, 0)

    def test_heights_that_go_back_and_forth_are_no_new_blocks(self, world: World) -> None:
        make_deep(world, mining=False)
        real = world.network.mainchain.policies.policies_of

        def swaying(policy_ids: Any) -> Any:
            return {
                policy_id: replace(found, block=found.block - world.now % 2)
                for policy_id, found in real(policy_ids).items()
            }

        with (
            patch.object(world.network.mainchain.policies, "policies_of", swaying),
            pytest.raises(ChainUnavailableError, match=r"must follow: 2\): .* for 12[01] s"),
        ):
            grant(world)

    def test_settling_goes_on_too(self, world: World) -> None:
        make_deep(world, mining=False)
        with pytest.raises(ChainUnavailableError):
            grant(world)
        make_deep(world)
        world.advance(1)

        world.patient.settle()

        assert states(world) == []

    def test_many_grants_wait_once_for_a_chain_that_stalls(self, world: World) -> None:
        made = [grant(world, categories=(name,)).policy_id for name in ("laboratory", "vitals")]
        slept = make_deep(world, mining=False)
        world.network.confirmations = 1 << 20
        waiting = Confirmations(world.network)

        for policy_id in made:
            with pytest.raises(ChainUnavailableError):
                waiting.wait(policy_id)

        assert sum(slept) == STALLED

    def test_a_chain_that_grows_slowly_is_waited_for(self, world: World) -> None:
        slept = make_deep(world, mining=False)
        sleep = world.network.sleep

        def slowly(seconds: float) -> None:
            sleep(seconds)
            if len(slept) % (STALLED / POLL - 2) == 0:
                world.advance(0)

        world.network.sleep = slowly
        assert grant(world).lacking == 0
        assert sum(slept) > STALLED

    def test_a_block_that_is_replaced_while_one_waits_is_an_error(self, world: World) -> None:
        make_deep(world)
        policies = world.network.mainchain.policies

        def vanish(_: float) -> None:
            stack.enter_context(patch.object(policies, "policies_of", return_value={}))

        with ExitStack() as stack:
            world.network.sleep = vanish
            with pytest.raises(TransactionError, match="its block was replaced"):
                grant(world)

    def test_of_several_nodes_those_that_lag_are_waited_for_and_a_replaced_block_stays_away(self, world: World) -> None:
        upload(world)
        make_deep(world)
        policies, sleep = world.network.mainchain.policies, world.network.sleep
        world.network.several_nodes = True
        real, hidden = policies.policies_of, [3]

        def lagging(ids: Any) -> Any:
            hidden[0] -= 1
            return {} if hidden[0] >= 0 else real(ids)

        with patch.object(policies, "policies_of", lagging):
            assert grant(world).lacking == 0

        slept: list[float] = []

        def pass_by(seconds: float) -> None:
            slept.append(seconds)
            world.clock.now += 1

        world.network.sleep = pass_by
        with (
            patch.object(policies, "policies_of", return_value={}),
            pytest.raises(TransactionError, match="its block was replaced"),
        ):
            grant(world)
        assert len(slept) == LAGGING
        world.network.sleep = sleep

    def test_a_policy_that_is_revoked_meanwhile_is_not_waited_for(self, world: World) -> None:
        make_deep(world)
        slept = 0

        def revoke(_: float) -> None:
            nonlocal slept
            slept += 1
            world.submit_revocation(next(iter(world.patient.policies())).policy_id)
            world.advance(1)

        world.network.sleep = revoke
        with pytest.raises(PolicyRevokedError, match="was revoked while it was made"):
            grant(world)

        assert slept == 1
        assert [view.status for view in world.patient.policies()] == [PolicyStatus.REVOKED]


class TestQueue:
    def test_a_grant_that_does_not_wait_is_finished_by_settling(self, world: World) -> None:
        upload(world)
        slept = make_deep(world)

        queued = grant(world, wait=False)

        assert (queued.stage, queued.deposited, queued.lacking) == (CONFIRMING, 0, PROXIES)
        assert queued.tx
        assert slept == []
        assert states(world) == [State.ON_CHAIN]
        (made,) = world.patient.settle()
        assert (made.policy_id, made.stage, made.lacking) == (queued.policy_id, "", 0)
        assert opened(world, queued.policy_id) == 1

    def test_or_by_the_next_command_once_the_blocks_are_there(self, world: World) -> None:
        make_deep(world)
        queued = grant(world, wait=False)
        assert submitting.hand_out(world.patient) == []
        for _ in range(DEEP):
            world.advance(1)
        assert world.patient.profile.has_unfinished

        assert submitting.hand_out(world.patient) == [queued.policy_id]

        assert not world.patient.profile.has_unfinished
        assert submitting.hand_out(world.patient) == []

    def test_the_same_grant_that_waits_is_the_same_policy(self, world: World) -> None:
        make_deep(world)
        until = world.now + 1000
        queued = grant(world, until=until, wait=False)

        made = grant(world, until=until)

        assert (made.policy_id, made.lacking) == (queued.policy_id, 0)

    def test_where_nothing_is_waited_for_it_is_done_at_once(self, world: World) -> None:
        assert grant(world, wait=False).lacking == 0

    def test_proxies_that_are_down_are_left_to_settling(self, world: World) -> None:
        make_deep(world)
        grant(world, wait=False)
        for _ in range(DEEP):
            world.advance(1)
        for proxy in world.proxies:
            proxy.up = False

        assert submitting.hand_out(world.patient) == []
        assert states(world) == [State.ON_CHAIN]


def test_whoever_waits_is_told_how_far_it_is(world: World) -> None:
    make_deep(world)
    told: list[tuple[int, int, str]] = []
    world.network._progress = lambda done, total, *, unit: told.append((done, total, unit))

    grant(world)

    assert told == [(0, DEEP, "confirmations"), (1, DEEP, "confirmations")]


class TestHowDeep:
    @staticmethod
    def network(home: Path, setting: str | None, **fields: Any) -> Network:
        chain = {"url": "http://127.0.0.1:9", "chainId": 1, "contracts": {}}
        description = {"mainchain": chain, "sidechain": chain, "threshold": 2, **fields}
        return Network(Config.load({"home": str(home), "confirmations": setting}, {}), description)

    @pytest.mark.parametrize(
        ("setting", "fields", "expected"),
        [
            (None, {}, 0),
            (None, {"confirmations": 3}, 3),
            ("5", {"confirmations": 3}, 5),
            ("0", {"confirmations": 3}, 0),
            ("5", {}, 5),
        ],
    )
    def test_the_setting_overrides_the_network_file(
        self, tmp_path: Path, setting: str | None, fields: dict[str, Any], expected: int
    ) -> None:
        with self.network(tmp_path, setting, **fields) as network:
            assert network.confirmations == expected

    @pytest.mark.parametrize("value", [-1, 1.5, True, "1", None, [], 10**9])
    def test_a_network_file_without_a_whole_number_is_refused(self, tmp_path: Path, value: object) -> None:
        with pytest.raises(ConfigurationError, match=r"`confirmations` of .* whole number"):
            self.network(tmp_path, None, confirmations=value)
