"""Who is in charge, as web3.py reads it: events say who may have a role, the contract says who has."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.chain.config import ChainConfig
from panachain.chain.deploy import ADMIN, DELAY, REGISTRAR, SUSPENDER, Deployment, Governance
from panachain.chain.governance import Appointment, appointments, check_deployment
from panachain.errors import IntegrityError
from panachain.model.actors import Address

WHO, ADMINISTRATOR, EMERGENCY, STRANGER, MANAGER, WARDSHIPS = (Address(f"0x{number:040x}") for number in range(1, 7))
GOVERNANCE = Governance(registrar=WHO, admin=ADMINISTRATOR, validators=(WHO,), quorum=1)
DEPLOYMENT = Deployment(
    ChainConfig.at("http://127.0.0.1:1", 5, {}),
    ChainConfig.at("http://127.0.0.1:1", 6, {"EmergencyAccess": EMERGENCY, "Wardships": WARDSHIPS}),
)
MAIN = {(ADMIN, ADMINISTRATOR): DELAY, (REGISTRAR, WHO): 0}
SIDE = MAIN | {(SUSPENDER, EMERGENCY): 0, (SUSPENDER, WARDSHIPS): 0, (SUSPENDER, WHO): 0}


def call(value: Any) -> Any:
    return SimpleNamespace(call=lambda: value)


class Chain:
    """web3.py's view of one chain, with the roles that a test gives."""

    def __init__(self, roles: dict[tuple[int, Address], int]) -> None:
        self.roles = dict(roles)
        self.granted = [*roles]
        self.authority = str(MANAGER)
        managed = SimpleNamespace(address="0x99", functions=SimpleNamespace(authority=lambda: call(self.authority)))
        self.panachain = SimpleNamespace(
            from_block=3,
            manager=SimpleNamespace(
                address=str(MANAGER),
                events=SimpleNamespace(RoleGranted=lambda: SimpleNamespace(get_logs=self._logs)),
                functions=SimpleNamespace(hasRole=self._has),
            ),
            **dict.fromkeys(("actors", "checkpoints", "identities", "groups", "emergency", "wardships"), managed),
        )

    def _logs(self, *, from_block: int) -> list[dict[str, Any]]:
        assert from_block == 3
        return [{"args": {"roleId": role, "account": account}} for role, account in self.granted]

    def _has(self, role: int, account: str) -> Any:
        return call(((role, account) in self.roles, self.roles.get((role, Address(account)), 0)))


def check(main: Chain, side: Chain, governance: Governance = GOVERNANCE) -> None:
    check_deployment(main, side, DEPLOYMENT, governance)  # type: ignore[arg-type]


class TestAppointments:
    def test_are_told_once_by_role_and_account(self) -> None:
        chain = Chain(SIDE)
        chain.granted *= 2
        found = appointments(chain.panachain)  # type: ignore[arg-type]
        assert [(one.role, one.account, one.delay) for one in found] == sorted(
            (role, account, delay) for (role, account), delay in SIDE.items()
        )
        assert [one.title for one in found] == ["administrator", "registrar", *["suspender"] * 3]

    def test_whoever_lost_a_role_is_left_out(self) -> None:
        chain = Chain(MAIN)
        chain.granted.append((ADMIN, STRANGER))
        assert STRANGER not in {one.account for one in appointments(chain.panachain)}  # type: ignore[arg-type]

    def test_a_role_without_a_name_is_shown_by_its_number(self) -> None:
        assert Appointment(7, WHO, 0).title == "role 7"


class TestCheck:
    def test_a_good_deployment_passes(self) -> None:
        check(Chain(MAIN), Chain(SIDE))

    @pytest.mark.parametrize(
        "change",
        [
            {(ADMIN, STRANGER): 0},
            {(REGISTRAR, STRANGER): 0},
            {(SUSPENDER, STRANGER): 0},
            {(ADMIN, ADMINISTRATOR): 0},
            {(7, STRANGER): 0},
        ],
    )
    def test_one_role_too_many_or_too_soon_is_found_on_each_chain(self, change: dict[tuple[int, Address], int]) -> None:
        with pytest.raises(IntegrityError, match="the mainchain's roles are"):
            check(Chain(MAIN | change), Chain(SIDE))
        with pytest.raises(IntegrityError, match="the sidechain's roles are"):
            check(Chain(MAIN), Chain(SIDE | change))

    def test_one_that_is_missing_is_found(self) -> None:
        for lacking in (EMERGENCY, WARDSHIPS):
            side = {key: delay for key, delay in SIDE.items() if key != (SUSPENDER, lacking)}
            with pytest.raises(IntegrityError, match="they should be"):
                check(Chain(MAIN), Chain(side))
        with pytest.raises(IntegrityError):
            check(Chain(MAIN), Chain(SIDE), replace(GOVERNANCE, admin=STRANGER))

    @pytest.mark.parametrize("which", [0, 1])
    def test_a_contract_with_another_manager_is_found(self, which: int) -> None:
        chains = Chain(MAIN), Chain(SIDE)
        chains[which].authority = str(STRANGER)
        with pytest.raises(IntegrityError, match="isn't managed by"):
            check(*chains)
