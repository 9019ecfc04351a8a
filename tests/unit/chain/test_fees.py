"""What a transaction pays: what the chain takes, at most what is allowed, and more when it sticks."""

from __future__ import annotations

from typing import Any

import pytest

from panachain.chain import fees
from panachain.chain.fees import GWEI, Fees, Market
from panachain.chain.rpc import RpcAnswerError
from panachain.chain.signing import decode_transaction
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

    def test_the_middle_is_that_of_any_number_of_blocks(self) -> None:
        for count in range(1, 8):
            told = [BLOCK, history([7 * GWEI + one for one in range(count)]), None]
            assert fees.market(told).tip == 7 * GWEI + count // 2

    def test_blocks_without_a_word_on_tips_or_on_how_full_they_are_say_nothing(self) -> None:
        told = history([3 * GWEI, 5 * GWEI, 5 * GWEI])
        assert fees.market([BLOCK, told | {"gasUsedRatio": [0.5]}, None]).tip == 3 * GWEI
        assert fees.market([BLOCK, told | {"reward": [[hex(2 * GWEI)]]}, None]).tip == 2 * GWEI
        assert fees.market([BLOCK, told | {"reward": [[hex(2 * GWEI)], [], []]}, None]).tip == 2 * GWEI
        assert fees.market([BLOCK, told | {"reward": None}, None]) == Market(9 * GWEI, GWEI)
        assert fees.market([BLOCK, told | {"baseFeePerGas": None}, None]) == Market(7 * GWEI, 5 * GWEI)

    def test_the_base_fee_is_that_of_the_newest_block_and_a_free_chain_has_none(self) -> None:
        rising = history([GWEI]) | {"baseFeePerGas": [hex(4 * GWEI), hex(6 * GWEI)]}
        assert fees.market([BLOCK, rising, None]).base == 6 * GWEI
        for none in (None, "0x0", ""):
            assert fees.base_fee({"baseFeePerGas": none}) == 0
        for block in (None, [], "0x1"):
            with pytest.raises(IntegrityError, match="newest block is none"):
                fees.base_fee(block)

    def test_words_say_both(self) -> None:
        assert Market(3 * GWEI, GWEI).words() == "the newest blocks took a base fee of 3 gwei and tips of 1 gwei"
        assert Fees(GWEI, 7 * GWEI).words() == "tip 1 gwei, at most 7 gwei per gas"

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

    def test_amounts_have_96_bits(self) -> None:
        most, more = hex((1 << 96) - 1), hex(1 << 96)
        for told in (
            [{"baseFeePerGas": most}, None, None],
            [BLOCK, None, most],
            [BLOCK, history([(1 << 96) - 1]), None],
            [BLOCK, history([1], base=(1 << 96) - 1), None],
        ):
            found = fees.market(told)
            assert (1 << 96) - 1 in (found.base, found.tip)
        for told in (
            [{"baseFeePerGas": more}, None, None],
            [BLOCK, None, more],
            [BLOCK, history([1 << 96]), None],
            [BLOCK, history([1], base=1 << 96), None],
        ):
            with pytest.raises(IntegrityError):
                fees.market(told)

    @pytest.mark.parametrize("one_by_one", [False, True])
    def test_a_node_that_refuses_for_another_reason_is_told(self, one_by_one: bool) -> None:
        class Node:
            def batch(self, _: Any) -> list[Any]:
                raise RpcAnswerError("x", code=-32601) if one_by_one else RpcAnswerError("too busy")

            def call(self, method: str, _: Any) -> Any:
                if method == "eth_feeHistory":
                    raise RpcAnswerError("too busy")
                return BLOCK

        with pytest.raises(RpcAnswerError, match="too busy"):
            fees.ask(Node())  # type: ignore[arg-type]


class TestFree:
    class Node:
        """A chain with a base fee that takes transactions or refuses them."""

        def __init__(self, base: int, *, takes: bool) -> None:
            self._base, self._takes = base, takes
            self.sent: list[dict[str, Any]] = []

        def call(self, method: str, params: Any) -> Any:
            if method == "eth_getBlockByNumber":
                assert params == ["latest", False]
                return {"baseFeePerGas": hex(self._base)}
            assert method == "eth_sendRawTransaction"
            self.sent.append(decode_transaction(params[0]))
            if not self._takes:
                raise RpcAnswerError("transaction underpriced")
            return "0x01"

    def test_a_chain_that_takes_nothing_for_gas_is_found_by_a_transaction_that_pays_nothing(self) -> None:
        for takes in (True, False):
            node: Any = self.Node(0, takes=takes)
            assert fees.takes_no_price(node, 5) is takes
            assert not fees.has_base_fee(node)
            (made,) = node.sent
            assert (made["chainId"], made["nonce"], made["value"], made["data"]) == (5, 0, 0, "0x")
            assert (made["maxFeePerGas"], made["maxPriorityFeePerGas"]) == (0, 0)
            assert made["gas"] >= 21_000

    def test_a_chain_with_any_base_fee_is_asked_for_nothing_more(self) -> None:
        for base in (1, GWEI):
            node: Any = self.Node(base, takes=True)
            assert fees.has_base_fee(node)
            assert not fees.takes_no_price(node, 5)
            assert node.sent == []

    def test_a_gate_is_asked_about_a_contract_and_each_time_by_another_account(self) -> None:
        node: Any = self.Node(0, takes=True)
        for to in ("0x" + "11" * 20, None, None):
            fees.takes_no_price(node, 5, to=to)
        called = [made["to"].lower() for made in node.sent]
        assert called[0] == "0x" + "11" * 20
        assert len(set(called)) == 3


class TestOffer:
    def test_leaves_room_for_a_rising_base_fee(self) -> None:
        assert fees.first_offer(Market(10, 3), 1000) == Fees(3, 23)
        assert fees.first_offer(Market(10, 3), 15) == Fees(3, 15)
        # All that is allowed is allowed.
        assert fees.first_offer(Market(10, 3), 13) == Fees(3, 13)
        with pytest.raises(ChainUnavailableError):
            fees.first_offer(Market(10, 3), 12)

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
        assert fees.raised(Fees(80, 80), Market(0, 0), 100) == Fees(100, 100)
        # The tip alone can't rise enough, and the cap alone can't.
        assert fees.raised(Fees(90, 80), Market(0, 0), 100) is None
        assert fees.raised(Fees(1, 100), Market(0, 0), 112) is None
        assert fees.raised(Fees(8, 80), Market(0, 0), 91) == Fees(10, 91)

    def test_a_replacement_follows_what_the_chain_asks_for(self) -> None:
        assert fees.raised(Fees(4, 40), Market(0, 0), 10**9) == Fees(5, 50)
        assert fees.raised(Fees(4, 40), Market(100, 9), 10**9) == Fees(9, 209)
        assert fees.raised(Fees(4, 40), Market(100, 9), 10**9, needed=20) == Fees(20, 220)
        # Nobody named a floor: on a chain whose tips are nothing, nothing is offered.
        assert fees.raised(Fees(0, 40), Market(0, 0), 10**9) == Fees(0, 50)
        # Never less than a quarter more, rounded up.
        assert fees.raised(Fees(5, 41), Market(0, 0), 10**9) == Fees(7, 52)

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
    ("wei", "text"),
    [
        (0, "0 gwei"),
        (1, "0.000000001 gwei"),
        (GWEI // 2, "0.5 gwei"),
        (GWEI, "1 gwei"),
        (30 * GWEI, "30 gwei"),
        (GWEI + 123_456_789, "1.123 gwei"),
    ],
)
def test_amounts_are_written_in_gwei(wei: int, text: str) -> None:
    assert fees.gwei(wei) == text


@pytest.mark.parametrize(("value", "wei"), [(500, 500 * GWEI), (0.5, GWEI // 2), ("2", 2 * GWEI)])
def test_a_cap_is_given_in_gwei(value: object, wei: int) -> None:
    assert fees.read_max_fee(value) == wei


def test_a_cap_lies_within_what_a_transaction_can_say() -> None:
    assert fees.read_max_fee("1e-9") == 1
    assert fees.read_max_fee(1 << 50) == (1 << 50) * GWEI
    for value in ("1e-10", (1 << 80) / GWEI):
        with pytest.raises(ValueError, match="above 0"):
            fees.read_max_fee(value)


@pytest.mark.parametrize("value", [0, -1, True, None, [], "x", "nan", "inf", 1e300])
def test_a_cap_that_is_none_is_refused(value: object) -> None:
    with pytest.raises((ValueError, OverflowError)):
        fees.read_max_fee(value)
