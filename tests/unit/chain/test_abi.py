"""ABIs: calls, results, events and reverts, and what a hostile node's bytes become."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak

from panachain.chain.abi import address, contract, revert_reason
from panachain.errors import IntegrityError, UsageError
from tests.unit.chain.fake import calldata, log

WHO = "0x" + "11" * 20
CHECKED = "0x52908400098527886E0F7030069857D2E4169EE7"


class TestCalls:
    def test_calldata_is_the_oracles(self) -> None:
        assert contract("ActorRegistry").calldata("suspend", WHO) == calldata("ActorRegistry", "suspend", WHO)
        assert contract("ActorRegistry").selector("suspend") == keccak(text="suspend(address)")[:4]

    @pytest.mark.parametrize("args", [(), ("0x12",), (WHO, WHO), (None,), (CHECKED.replace("E", "e", 1),)])
    def test_what_does_not_fit_is_never_sent(self, args: tuple[Any, ...]) -> None:
        with pytest.raises(UsageError, match=r"ActorRegistry\.suspend"):
            contract("ActorRegistry").calldata("suspend", *args)

    def test_a_creation_is_the_bytecode_and_its_arguments(self) -> None:
        made = contract("ActorRegistry")
        assert made.creation(WHO, WHO).endswith(encode(["address", "address"], [WHO, WHO]).hex())
        assert made.creation(WHO, WHO).startswith("0x")
        assert contract("PolicyRegistry").creation().removeprefix("0x") == contract(
            "PolicyRegistry"
        ).bytecode.removeprefix("0x")


class TestResults:
    def test_one_value_or_several(self) -> None:
        assert contract("PolicyRegistry").result("statusOf", "0x" + "00" * 31 + "02") == 2
        number, block_hash = contract("Checkpoints").result("newest", "0x" + "00" * 31 + "07" + "08" * 32)
        assert (number, block_hash) == (7, b"\x08" * 32)

    @pytest.mark.parametrize("answer", ["0x", "0x1", "zz", None, 5, "0x" + "ff" * 32, "0x" + "00" * 64])
    def test_what_does_not_fit_is_the_nodes(self, answer: Any) -> None:
        with pytest.raises(IntegrityError, match=r"PolicyRegistry\.statusOf doesn't fit"):
            contract("PolicyRegistry").result("statusOf", answer)


class TestEvents:
    GOOD = log("PolicyRegistry", "PolicyRevoked", policyId=WHO)

    def test_name_and_values(self) -> None:
        assert contract("PolicyRegistry").event(self.GOOD) == ("PolicyRevoked", {"policyId": WHO})
        assert self.GOOD["topics"][0] == contract("PolicyRegistry").topic("PolicyRevoked")

    @pytest.mark.parametrize("topics", [[], ["0x" + "00" * 32]])
    def test_other_events_are_none_of_ours(self, topics: list[str]) -> None:
        assert contract("PolicyRegistry").event(self.GOOD | {"topics": topics}) is None

    @pytest.mark.parametrize(
        "change",
        [
            {"topics": None},
            {"topics": [5]},
            {"topics": ["0xzz"]},
            {"topics": GOOD["topics"][:1]},
            {"topics": [GOOD["topics"][0], "0x" + "ff" * 32]},
            {"topics": GOOD["topics"] * 2},
            {"data": None},
            {"data": "0x12"},
        ],
    )
    def test_what_does_not_fit_is_the_nodes(self, change: dict[str, Any]) -> None:
        with pytest.raises(IntegrityError, match="log of PolicyRegistry"):
            contract("PolicyRegistry").event(self.GOOD | change)
        for missing in ("topics", "data"):
            with pytest.raises(IntegrityError):
                contract("PolicyRegistry").event({k: v for k, v in self.GOOD.items() if k != missing})


class TestReverts:
    def test_a_custom_error_is_shown_with_its_values(self) -> None:
        data = keccak(text="PolicyAlreadyRevoked(address)")[:4] + encode(["address"], [WHO])
        assert revert_reason(data) == f"PolicyAlreadyRevoked(policyId={WHO})"

    def test_soliditys_own_are_known_too(self) -> None:
        assert revert_reason(keccak(text="Error(string)")[:4] + encode(["string"], ["no"])) == "Error(message=no)"
        assert revert_reason(keccak(text="Panic(uint256)")[:4] + encode(["uint256"], [17])) == "Panic(code=17)"

    def test_what_nobody_knows_is_shown_short(self) -> None:
        assert revert_reason(b"") == "no reason given"
        assert revert_reason(b"\x01" * 9000) == "0x" + "01" * 68
        assert revert_reason(keccak(text="Error(string)")[:4] + b"\xff") == "Error(?)"


@pytest.mark.parametrize("text", ["", "0x12", WHO + "11", "0x" + "zz" * 20, 5, None])
def test_an_address_is_checked(text: Any) -> None:
    assert address(CHECKED.lower()) == CHECKED
    with pytest.raises(ValueError, match="40 hex digits"):
        address(text)
