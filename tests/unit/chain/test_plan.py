"""What a deployment is going to do is known before it begins: addresses, roles, and what comes last."""

from __future__ import annotations

from dataclasses import replace

import pytest
import rlp
from eth_utils import keccak, to_checksum_address

from panachain.chain.abi import contract
from panachain.chain.plan import (
    ADMIN,
    APPOINT,
    CREATE,
    DELAY,
    LEAVE,
    REGISTRAR,
    SUSPENDER,
    Governance,
    Plan,
    created_at,
    plan_mainchain,
    plan_sidechain,
)
from panachain.chain.signing import Account
from tests.unit.chain.fake import calldata

DEPLOYER = Account(b"\x01" * 32).address
WHO, ADMINISTRATOR = Account(b"\x03" * 32).address, Account(b"\x04" * 32).address
GOVERNANCE = Governance(registrar=WHO, admin=ADMINISTRATOR, validators=(WHO, ADMINISTRATOR), quorum=2)


def both(first: int = 0, governance: Governance = GOVERNANCE) -> tuple[Plan, Plan]:
    return (
        plan_mainchain(DEPLOYER, first, governance, sidechain_id=6),
        plan_sidechain(DEPLOYER, first, governance),
    )


@pytest.mark.parametrize("nonce", [0, 1, 127, 128, 70_000])
def test_an_address_follows_from_creator_and_nonce(nonce: int) -> None:
    raw = rlp.encode([bytes.fromhex(DEPLOYER[2:]), nonce])
    assert created_at(DEPLOYER, nonce) == to_checksum_address(keccak(raw)[-20:])


def test_the_contracts_are_those_of_the_two_chains() -> None:
    main, side = both()
    assert set(main.contracts) == {
        *("AccessManager", "ActorRegistry", "RecordLedger", "AccessLog", "PolicyRegistry", "Checkpoints"),
    }
    assert set(side.contracts) == {
        *("AccessManager", "Forwarder", "IdentityRegistry", "AccessRequests", "EmergencyAccess", "CareGroups"),
        "Wardships",
    }


def test_contracts_come_before_roles_and_the_deployer_leaves_last() -> None:
    for plan in both():
        waves = [step.wave for step in plan.steps]
        assert waves == sorted(waves)
        assert set(waves) == {CREATE, APPOINT, LEAVE}
        *_, grant, delay, leave = plan.steps
        assert grant.data == calldata("AccessManager", "grantRole", ADMIN, ADMINISTRATOR, DELAY)
        assert delay.data == calldata("AccessManager", "setGrantDelay", ADMIN, DELAY)
        assert leave.data == calldata("AccessManager", "renounceRole", ADMIN, DEPLOYER)
        assert [step.wave for step in plan.steps].count(LEAVE) == 1
        assert {step.to for step in plan.steps if step.wave != CREATE} == {plan.contracts["AccessManager"]}


def test_nobody_else_gets_a_role() -> None:
    start = calldata("AccessManager", "grantRole", 0, WHO, 0)[:10]
    plans = both()
    main, side = ([step.data for step in plan.steps if step.data.startswith(start)] for plan in plans)
    assert main == [
        calldata("AccessManager", "grantRole", REGISTRAR, WHO, 0),
        calldata("AccessManager", "grantRole", ADMIN, ADMINISTRATOR, DELAY),
    ]
    assert side == [
        calldata("AccessManager", "grantRole", REGISTRAR, WHO, 0),
        calldata("AccessManager", "grantRole", SUSPENDER, plans[1].contracts["EmergencyAccess"], 0),
        calldata("AccessManager", "grantRole", SUSPENDER, plans[1].contracts["Wardships"], 0),
        calldata("AccessManager", "grantRole", SUSPENDER, WHO, 0),
        calldata("AccessManager", "grantRole", ADMIN, ADMINISTRATOR, DELAY),
    ]


def test_the_registrar_admits_and_suspends_and_nothing_else() -> None:
    main, _ = both()
    start = "0x" + contract("AccessManager").selector("setTargetFunctionRole").hex()
    (only,) = [step for step in main.steps if step.data.startswith(start)]
    selectors = [contract("ActorRegistry").selector(name) for name in ("register", "suspend", "reinstate")]
    target = main.contracts["ActorRegistry"]
    assert only.data == calldata("AccessManager", "setTargetFunctionRole", target, selectors, REGISTRAR)
    assert (only.function, only.functions) == ("setTargetFunctionRole", 3)


def test_every_appointment_counts_after_the_delay() -> None:
    for plan in both(governance=replace(GOVERNANCE, delay=99)):
        data = [step.data for step in plan.steps]
        for role in (ADMIN, REGISTRAR, SUSPENDER):
            assert calldata("AccessManager", "setGrantDelay", role, 99) in data
        for role, label in ((REGISTRAR, "REGISTRAR"), (SUSPENDER, "SUSPENDER")):
            assert calldata("AccessManager", "labelRole", role, label) in data


def test_only_what_gives_functions_to_a_role_counts_them() -> None:
    for plan in both():
        given = {step.function: step.functions for step in plan.steps}
        assert given.pop("setTargetFunctionRole") > 0
        assert set(given.values()) == {0}
    counts = [step.functions for step in both()[1].steps if step.function == "setTargetFunctionRole"]
    assert counts == [2, 1, 1, 1, 2]


def test_who_is_in_charge_is_described() -> None:
    assert GOVERNANCE.describe() == {
        "registrar": WHO,
        "administrator": ADMINISTRATOR,
        "delay": 2 * 24 * 60 * 60,
        "validators": [WHO, ADMINISTRATOR],
        "quorum": 2,
    }


def test_validators_are_in_the_order_that_the_contract_wants() -> None:
    main, _ = both()
    (made,) = [step for step in main.steps if step.what == "creating Checkpoints"]
    low, high = sorted((WHO, ADMINISTRATOR), key=str.lower)
    assert made.data.index(low[2:].lower()) < made.data.index(high[2:].lower())


def test_another_governance_or_nonce_is_another_plan() -> None:
    others = [*both(), *both(first=1), *both(governance=Governance(WHO, ADMINISTRATOR, (WHO,), 1, delay=5))]
    assert len({plan.digest for plan in others}) == len(others)
    assert [plan.digest for plan in both()] == [plan.digest for plan in both()]
