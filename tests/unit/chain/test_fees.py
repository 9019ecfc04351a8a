"""What a transaction pays: what the chain takes, at most what is allowed, and more when it sticks."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.chain import fees
from panachain.chain.fees import GWEI, Fees, Market
from panachain.chain.rpc import RpcAnswerError
from panachain.errors import ChainUnavailableError, IntegrityError

BLOCK = {"baseFeePerGas": hex(7 * GWEI)}


def history(tips: list[int], *, base: int = 9 * GWEI, filled: float = 0.5) -> dict[str, Any]:
    return {
        "baseFeePerGas": [hex(base)] * (len(tips) + 1),
        "gasUsedRatio": [filled] * len(tips),
        "reward": [[hex(tip)] for tip in tips],
    }


class TestMarket:
    def test_is_the_next_base_fee_and_the_middle_tip_of_blocks_that_held_something(self) -> None:
        found = fees.market([BLOCK, history([GWEI, 30 * GWEI, 31 * GWEI]), hex(2 * GWEI)])
        assert found == Market(9 * GWEI, 30 * GWEI)

    def test_an_empty_block_says_nothing_of_tips(self) -> None:
        assert fees.market([BLOCK, history([0, 0], filled=0), hex(2 * GWEI)]).tip == 2 * GWEI

    def test_a_node_that_suggests_more_is_followed(self) -> None:
        assert fees.market([BLOCK, history([GWEI]), hex(40 * GWEI)]).tip == 40 * GWEI

    def test_a_node_without_a_history_has_its_block(self) -> None:
        assert fees.market([BLOCK, None, None]) == Market(7 * GWEI, GWEI)
        assert fees.market([{}, None, "0x0"]) == Market(0, 0)

    @pytest.mark.parametrize(
        "damaged",
        [[], "0x1", {"baseFeePerGas": ["x"]}, {"baseFeePerGas": 5}, {"gasUsedRatio": [1], "reward": [7]}],
    )
    def test_a_damaged_history_is_the_nodes(self, damaged: object) -> None:
        with pytest.raises(IntegrityError):
            fees.market([BLOCK, damaged, None])

    def test_methods_that_a_node_lacks_are_passed_over(self) -> None:
        class Node:
            def batch(self, calls: Any) -> list[Any]:
                return [self.call(*one) for one in calls]

            def call(self, method: str, _: Any) -> Any:
                if method == "eth_getBlockByNumber":
                    return BLOCK
                raise RpcAnswerError(f"the method {method} does not exist/is not available")

        assert fees.ask(Node()) == Market(7 * GWEI, GWEI)  # type: ignore[arg-type]


class TestOffer:
    def test_leaves_room_for_a_rising_base_fee(self) -> None:
        assert fees.first_offer(Market(10, 3), 1000) == Fees(3, 23)
        assert fees.first_offer(Market(10, 3), 15) == Fees(3, 15)

    def test_nothing_is_signed_where_the_chain_asks_for_more_than_allowed(self) -> None:
        with pytest.raises(
            ChainUnavailableError,
            match=r"asks for 620 gwei .*base fee 600 gwei, tip 20 gwei.* allows 500 gwei; nothing",
        ):
            fees.first_offer(Market(600 * GWEI, 20 * GWEI), 500 * GWEI)

    @pytest.mark.parametrize("offer", [Fees(1, 1), Fees(GWEI, 3 * GWEI), Fees(7, 10**15)])
    @pytest.mark.parametrize("base", [0, GWEI, 100 * GWEI])
    def test_a_replacement_is_one_that_every_node_takes(self, offer: Fees, base: int) -> None:
        found = fees.raised(offer, Market(base, GWEI), 10**18)
        assert found is not None
        assert found.tip * 8 >= offer.tip * 9
        assert found.most * 8 >= offer.most * 9
        assert found.most >= found.tip

    def test_a_replacement_uses_what_the_cap_leaves_and_no_more(self) -> None:
        assert fees.raised(Fees(80, 80), Market(0, 0), 90) == Fees(90, 90)
        assert fees.raised(Fees(81, 81), Market(0, 0), 90) is None
        assert fees.raised(Fees(1, 80), Market(50, 60), 100) == Fees(60, 100)

    def test_a_floor_that_the_node_names_is_met(self) -> None:
        said = "eth_sendRawTransaction: transaction gas price below minimum: gas tip cap 1, minimum needed 30000000000"
        assert fees.needed_tip(said) == 30 * GWEI
        found = fees.raised(Fees(GWEI, 3 * GWEI), Market(GWEI, GWEI), 500 * GWEI, needed=fees.needed_tip(said))
        assert found is not None
        assert found.tip == 30 * GWEI

    @pytest.mark.parametrize("said", ["nonce too low", "replacement transaction underpriced", "minimum 5 blocks x"])
    def test_other_words_name_no_floor(self, said: str) -> None:
        assert fees.needed_tip(said.replace("minimum 5", "at least 5")) == 0


@pytest.mark.parametrize(
    ("wei", "text"), [(0, "0 gwei"), (1, "0.000000001 gwei"), (GWEI, "1 gwei"), (30 * GWEI, "30 gwei")]
)
def test_amounts_are_written_in_gwei(wei: int, text: str) -> None:
    assert fees.gwei(wei) == text


@pytest.mark.parametrize(("value", "wei"), [(500, 500 * GWEI), (0.5, GWEI // 2), ("2", 2 * GWEI)])
def test_a_cap_is_given_in_gwei(value: object, wei: int) -> None:
    assert fees.read_max_fee(value) == wei


@pytest.mark.parametrize("value", [0, -1, True, None, [], "x", "nan", "inf", 1e300])
def test_a_cap_that_is_none_is_refused(value: object) -> None:
    with pytest.raises((ValueError, OverflowError)):
        fees.read_max_fee(value)
