"""A deployment hands everything over: what is wired to what, who is refused, and that the deployers leave last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.chain import deploy as subject
from panachain.chain.abi import contract
from panachain.chain.deploy import ADMIN, DELAY, REGISTRAR, SUSPENDER, Governance, deploy
from panachain.chain.signing import Account
from panachain.errors import TransactionError, UsageError
from tests.unit.chain.fake import Sender, calldata
from tests.unit.chain.test_headers import block_of

BLOCK = block_of(7)
KEY, SIDE_KEY = b"\x01" * 32, b"\x02" * 32
WHO, ADMINISTRATOR = Account(b"\x03" * 32).address, Account(b"\x04" * 32).address
GOVERNANCE = Governance(registrar=WHO, admin=ADMINISTRATOR, validators=(WHO, ADMINISTRATOR), quorum=2)


class Node:
    """A chain on which an actor registry has made its two contracts."""

    def __init__(self, chain_id: int) -> None:
        self.url, self._chain_id = f"http://chain-{chain_id}.test", chain_id

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        if method == "eth_chainId":
            return hex(self._chain_id)
        if method == "eth_blockNumber":
            return "0x7"
        if method == "eth_getBlockByNumber":
            return BLOCK
        made = {calldata("ActorRegistry", "recordLedger"): "aa", calldata("ActorRegistry", "accessLog"): "bb"}
        return "0x" + "00" * 12 + made[params[0]["data"]] * 20


@pytest.fixture
def senders(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is sent: the mainchain's, then the sidechain's."""
    made: list[Any] = []

    def make(rpc: Node, account: Account, lock_folder: Path, *, free: bool) -> Sender:
        sender: Any = Sender(contracts=lambda: f"0x{len(made):02x}{len(sender.sent):038x}")
        sender.address, sender.chain_id, sender.free = account.address, rpc._chain_id, free
        made.append(sender)
        return sender  # type: ignore[no-any-return]

    monkeypatch.setattr(subject, "_sender", make)
    return made


def run(folder: Path, **change: Any) -> subject.Deployment:
    given = {"key": KEY, "side_key": SIDE_KEY, "governance": GOVERNANCE} | change
    main: Any = Node(5)
    side: Any = Node(6)
    return deploy(main, side, given["key"], given["governance"], side_key=given["side_key"], lock_folder=folder)


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
    def test_whoever_must_leave_deploys_nothing(
        self, senders: list[Any], tmp_path: Path, change: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(UsageError, match=words):
            run(tmp_path, **change)
        assert senders == []

    def test_a_creation_that_made_nothing_is_told(self, senders: list[Any], tmp_path: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Sender, "send", lambda *_, **__: SimpleNamespace(contract=None, tx_hash="0x77"))
            with pytest.raises(TransactionError, match="creating AccessManager: transaction 0x77 made no contract"):
                run(tmp_path)


class TestMade:
    def test_every_contract_is_described_with_its_chain(self, senders: list[Any], tmp_path: Path) -> None:
        made = run(tmp_path)
        assert (made.mainchain.chain_id, made.sidechain.chain_id, made.mainchain.from_block) == (5, 6, 7)
        assert made.mainchain.from_block_hash == made.sidechain.from_block_hash == BLOCK["hash"]
        assert set(made.mainchain.contracts) == {
            *("AccessManager", "ActorRegistry", "RecordLedger", "AccessLog", "PolicyRegistry", "Checkpoints"),
        }
        assert set(made.sidechain.contracts) == {
            *("AccessManager", "IdentityRegistry", "AccessRequests", "EmergencyAccess", "CareGroups"),
        }
        assert made.mainchain.contracts["RecordLedger"].lower() == "0x" + "aa" * 20
        assert [sender.free for sender in senders] == [False, True]

    def test_validators_are_in_the_order_that_the_contract_wants(self, senders: list[Any], tmp_path: Path) -> None:
        run(tmp_path)
        (data,) = [data for _, data, what in senders[0].sent if what == "creating Checkpoints"]
        low, high = sorted((WHO, ADMINISTRATOR), key=str.lower)
        assert data.index(low[2:].lower()) < data.index(high[2:].lower())


class TestRoles:
    def roles(self, sender: Any) -> list[str]:
        return [data for _, data, what in sender.sent if what.startswith("setting up roles")]

    def test_the_deployer_leaves_last_on_both_chains(self, senders: list[Any], tmp_path: Path) -> None:
        run(tmp_path)
        for sender in senders:
            *_, grant, delay, leave = self.roles(sender)
            assert grant == calldata("AccessManager", "grantRole", ADMIN, ADMINISTRATOR, DELAY)
            assert delay == calldata("AccessManager", "setGrantDelay", ADMIN, DELAY)
            assert leave == calldata("AccessManager", "renounceRole", ADMIN, sender.address)

    def test_nobody_else_gets_a_role(self, senders: list[Any], tmp_path: Path) -> None:
        made = run(tmp_path)
        start = calldata("AccessManager", "grantRole", 0, WHO, 0)[:10]
        main, side = ([one for one in self.roles(sender) if one.startswith(start)] for sender in senders)
        assert main == [
            calldata("AccessManager", "grantRole", REGISTRAR, WHO, 0),
            calldata("AccessManager", "grantRole", ADMIN, ADMINISTRATOR, DELAY),
        ]
        assert side == [
            calldata("AccessManager", "grantRole", REGISTRAR, WHO, 0),
            calldata("AccessManager", "grantRole", SUSPENDER, made.sidechain.contracts["EmergencyAccess"], 0),
            calldata("AccessManager", "grantRole", SUSPENDER, WHO, 0),
            calldata("AccessManager", "grantRole", ADMIN, ADMINISTRATOR, DELAY),
        ]

    def test_the_registrar_admits_and_suspends_and_nothing_else(self, senders: list[Any], tmp_path: Path) -> None:
        made = run(tmp_path)
        start = "0x" + contract("AccessManager").selector("setTargetFunctionRole").hex()
        (only,) = [one for one in self.roles(senders[0]) if one.startswith(start)]
        selectors = [contract("ActorRegistry").selector(name) for name in ("register", "suspend", "reinstate")]
        target = made.mainchain.contracts["ActorRegistry"]
        assert only == calldata("AccessManager", "setTargetFunctionRole", target, selectors, REGISTRAR)
