"""A deployment hands everything over, checks what it made, and pays nothing twice wherever it is killed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from panachain.chain import deploy as subject
from panachain.chain import deployment_journal
from panachain.chain.deploy import Deployment, deploy, estimate
from panachain.chain.deployment_journal import Journal
from panachain.chain.plan import LEAVE
from panachain.chain.series import SeriesSender
from panachain.chain.signing import Account
from panachain.errors import IntegrityError, TransactionError, UsageError
from tests.unit.chain.memory_chain import Killed, MemoryChain
from tests.unit.chain.test_headers import block_of
from tests.unit.chain.test_plan import GOVERNANCE
from tests.unit.chain.test_plan import both as plans

KEY, SIDE_KEY = b"\x01" * 32, b"\x02" * 32
MAIN, SIDE = Account(KEY).address, Account(SIDE_KEY).address


class World:
    """Two chains, and a switch that kills the process at a call of either or at a write of the journal."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.calls, self.ends = folder, 0, -1
        self.main, self.side = MemoryChain(5, self._count), MemoryChain(6, self._count)
        seconds = count()
        # Nothing is flushed to the disk itself: the process is killed, not the machine.
        monkeypatch.setattr(deployment_journal, "write_private", self._write)
        monkeypatch.setattr(
            subject,
            "_sender",
            lambda rpc, account, folder, max_fee, *, free: SeriesSender(
                rpc,
                rpc.chain_id,
                account,
                lock_folder=folder,
                free=free,
                clock=lambda: float(next(seconds)),
                sleep=lambda _: None,
            ),
        )

    def deploy(self, **change: Any) -> Deployment:
        given = {"key": KEY, "side_key": SIDE_KEY, "governance": GOVERNANCE} | change
        main: Any = self.main
        side: Any = self.side
        return deploy(
            main,
            side,
            given["key"],
            given["governance"],
            side_key=given["side_key"],
            lock_folder=self.folder,
            journal=given.get("journal") or Journal(self.folder / "journal.json"),
        )

    def killed_at(self, number: int) -> bool:
        """Deploy until a call, and tell whether there were as many."""
        self.calls, self.ends = 0, number
        try:
            self.deploy()
        except Killed:
            return True
        finally:
            self.ends = -1
        return False

    @property
    def paid(self) -> list[tuple[str, int]]:
        return sorted(self.main.paid + self.side.paid)

    def _count(self, _: str) -> None:
        self.calls += 1
        # All threads of a process end at once.
        if 0 <= self.ends <= self.calls:
            raise Killed

    def _write(self, path: Path, content: bytes) -> None:
        self._count("")
        path.write_bytes(content)
        self._count("")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def expected() -> list[tuple[str, int]]:
    """Return sender and nonce of each transaction that a deployment takes."""
    main, side = plans()
    return sorted(
        [(MAIN.lower(), nonce) for nonce in range(len(main.steps))]
        + [(SIDE.lower(), nonce) for nonce in range(len(side.steps))]
    )


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"key": b"\x03" * 32}, "is registrar or administrator"),
            ({"key": b"\x04" * 32}, "is registrar or administrator"),
            ({"side_key": b"\x03" * 32}, "is registrar or administrator"),
            ({"side_key": KEY}, "can't deploy both chains"),
        ],
    )
    def test_whoever_must_leave_deploys_nothing(self, world: World, change: dict[str, Any], words: str) -> None:
        with pytest.raises(UsageError, match=words):
            world.deploy(**change)
        assert world.paid == []

    def test_one_chain_is_not_two(self, world: World) -> None:
        world.side.chain_id = 5
        with pytest.raises(UsageError, match="both nodes are of chain 5"):
            world.deploy()
        assert world.paid == []

    def test_an_account_whose_transactions_wait_deploys_nothing(self, world: World) -> None:
        world.main.pool[MAIN.lower(), 0] = ("0xaa", {"nonce": 0})
        with pytest.raises(UsageError, match="wait to be mined; nothing was deployed"):
            world.deploy()
        assert world.main.paid == []


class TestMade:
    def test_every_contract_is_described_with_its_chain(self, world: World) -> None:
        made = world.deploy()
        assert (made.mainchain.chain_id, made.sidechain.chain_id, made.mainchain.from_block) == (5, 6, 7)
        assert made.mainchain.from_block_hash == made.sidechain.from_block_hash == block_of(7)["hash"]
        assert (made.mainchain.url, made.sidechain.url) == ("http://chain-5.test", "http://chain-6.test")
        assert set(made.mainchain.contracts) == set(plans()[0].contracts)
        assert set(made.sidechain.contracts) == set(plans()[1].contracts)
        assert world.paid == expected()

    def test_it_begins_where_the_account_is(self, world: World) -> None:
        world.main.paid.append((MAIN.lower(), 0))
        made = world.deploy()
        assert all(address.lower() in world.main.code for address in made.mainchain.contracts.values())

    def test_the_deployer_stays_in_charge_while_anything_is_wrong(self, world: World) -> None:
        world.side.reverts.add("CareGroups")
        with pytest.raises(TransactionError, match=r"creating CareGroups: .* reverted"):
            world.deploy()
        leaving = [nonce for nonce, step in enumerate(plans()[1].steps) if step.wave == LEAVE]
        assert (SIDE.lower(), leaving[0]) not in world.paid
        # The other chain isn't held up by it.
        assert len(world.main.paid) == len(plans()[0].steps)

    def test_code_that_is_not_ours_gets_nobody_into_charge(self, world: World) -> None:
        def spoil(method: str) -> None:
            if method == "eth_getCode":
                for address, code in world.main.code.items():
                    world.main.code[address] = code[:-2] + "00"

        world.main.before = spoil
        with pytest.raises(IntegrityError, match="isn't the one that ships with this version"):
            world.deploy()
        assert len(world.main.paid) == 4

    def test_the_registrys_own_contracts_are_where_the_plan_says(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(world.main, "_eth_call", lambda *_: "0x" + "00" * 12 + "aa" * 20, raising=False)
        with pytest.raises(IntegrityError, match="made other contracts than were planned"):
            world.deploy()
        assert len(world.main.paid) == 4


def test_each_chain_gets_a_sender_that_pays_as_it_may(tmp_path: Path) -> None:
    chain: Any = MemoryChain(7)
    for free in (True, False):
        made = subject._sender(chain, Account(KEY), tmp_path, 77, free=free)
        assert (made.chain_id, made.address, made._free, made._max_fee) == (7, MAIN, free, 77)


def test_a_creation_that_made_no_contract_where_it_should_be_is_told(world: World) -> None:
    real = world.main._eth_getTransactionReceipt

    def elsewhere(tx_hash: str) -> Any:
        found = real(tx_hash)
        return found and found | {"contractAddress": "0x" + "77" * 20}

    world.main._eth_getTransactionReceipt = elsewhere  # type: ignore[method-assign]
    with pytest.raises(TransactionError, match=r"creating AccessManager: transaction 0x\w+ made no contract at 0x"):
        world.deploy()
    # Nobody was appointed.
    assert len(world.main.paid) == 4


class TestCost:
    def test_what_was_done_before_it_began_counts_for_nothing(self, world: World) -> None:
        before = self.estimate(world)
        world.main.paid += [(MAIN.lower(), nonce) for nonce in range(3)]
        after = self.estimate(world)
        assert [cost.transactions for cost in after] == [cost.transactions for cost in before]

    def estimate(self, world: World) -> list[subject.Cost]:
        main: Any = world.main
        side: Any = world.side
        journal = Journal(world.folder / "journal.json")
        return estimate(main, side, KEY, GOVERNANCE, side_key=SIDE_KEY, lock_folder=world.folder, journal=journal)

    def test_says_what_each_chain_takes_and_sends_nothing(self, world: World) -> None:
        main, side = self.estimate(world)
        assert (main.chain, main.chain_id, main.deployer) == ("mainchain", 5, MAIN)
        assert (side.chain, side.chain_id, side.deployer) == ("sidechain", 6, SIDE)
        assert (main.transactions, side.transactions) == tuple(len(plan.steps) for plan in plans())
        assert main.fee == main.gas * main.price > 0
        assert side.fee == 0
        assert main.balance == 10**21
        assert world.paid == []
        assert not (world.folder / "journal.json").exists()

    def test_a_call_takes_more_for_each_function_that_it_gives_to_a_role(self, world: World) -> None:
        for cost, plan in zip(self.estimate(world), plans(), strict=True):
            creations = [step for step in plan.steps if step.to is None]
            calls = [step for step in plan.steps if step.to is not None]
            usual = sum(subject._CALL_GAS[step.function] for step in calls)
            given = sum(step.functions for step in calls)
            (estimated,) = {int(world.main._eth_estimateGas({"data": step.data}), 16) for step in creations}
            assert cost.gas == len(creations) * estimated + usual + given * 25_000

    def test_what_was_done_costs_nothing_more(self, world: World) -> None:
        before = self.estimate(world)
        world.deploy()
        assert [cost.gas for cost in self.estimate(world)] == [0, 0]
        assert all(cost.gas for cost in before)


class TestKilled:
    """At every call of a node and every write of the journal, before it has its effect and after."""

    def check(self, make: Callable[[], World], numbers: range) -> int:
        alone = make().deploy()
        kills = 0
        for number in numbers:
            world = make()
            if not world.killed_at(number):
                break
            # What waits may be lost with the node.
            if number % 3 == 0:
                world.main.forget()
                world.side.forget()
            assert world.deploy() == alone
            assert world.paid == expected(), number
            kills += 1
        return kills

    @pytest.fixture
    def make(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], World]:
        made = iter(range(10_000))

        def one() -> World:
            folder = tmp_path / str(next(made))
            folder.mkdir()
            return World(folder, monkeypatch)

        return one

    def test_nothing_is_paid_twice(self, make: Callable[[], World]) -> None:
        assert self.check(make, range(1, 2_000, 83)) > 3

    @pytest.mark.deep
    @pytest.mark.parametrize("first", range(1, 9))
    def test_at_any_moment_nothing_is_paid_twice(self, make: Callable[[], World], first: int) -> None:
        assert self.check(make, range(first, 2_000, 8)) > 30

    def test_killed_again_and_again_it_ends(self, world: World) -> None:
        rounds = 0
        # Each run looks at what is done before it goes on, so each gets a little further.
        while world.killed_at(40 + 15 * rounds):
            rounds += 1
            assert rounds < 100
        assert rounds > 2
        assert world.paid == expected()

    def test_an_account_that_did_something_else_meanwhile_is_told(self, world: World) -> None:
        sent: list[str] = []

        def stop(method: str) -> None:
            sent.append(method)
            if sent.count("eth_sendRawTransaction") > 2:
                raise Killed

        world.main.before = stop
        with pytest.raises(Killed):
            world.deploy()
        world.main.before = lambda _: None
        world.main.forget()
        world.main.paid.append((MAIN.lower(), world.main.count(MAIN)))
        with pytest.raises(TransactionError, match="was used for another transaction"):
            world.deploy()

    @pytest.mark.parametrize("change", [{"side_key": b"\x07" * 32}, {"key": b"\x08" * 32}])
    def test_other_keys_do_not_go_on_with_it(self, world: World, change: dict[str, Any]) -> None:
        world.deploy()
        with pytest.raises(UsageError, match="not of 0x"):
            world.deploy(**change)
        assert world.paid == expected()
