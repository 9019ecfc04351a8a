"""Headers, with py-evm as the oracle: what they hold is what their hash covers, and a bloom hides no log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
import rlp
from eth.chains.mainnet import MAINNET_GENESIS_HEADER
from eth.rlp.logs import Log as OracleLog
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth_bloom import BloomFilter
from hypothesis import given
from hypothesis import strategies as st

from panachain.chain.headers import Header, bloom_bits, check_links, may_hold, read_header
from panachain.errors import IntegrityError

NAMES = {
    "parentHash": "parent_hash",
    "sha3Uncles": "uncles_hash",
    "miner": "coinbase",
    "stateRoot": "state_root",
    "transactionsRoot": "transaction_root",
    "receiptsRoot": "receipt_root",
    "difficulty": "difficulty",
    "number": "block_number",
    "gasLimit": "gas_limit",
    "gasUsed": "gas_used",
    "timestamp": "timestamp",
    "extraData": "extra_data",
    "mixHash": "mix_hash",
    "nonce": "nonce",
    "baseFeePerGas": "base_fee_per_gas",
    "withdrawalsRoot": "withdrawals_root",
    "blobGasUsed": "blob_gas_used",
    "excessBlobGas": "excess_blob_gas",
    "parentBeaconBlockRoot": "parent_beacon_block_root",
    "requestsHash": "requests_hash",
}
"""JSON-RPC's names of a header's fields, and py-evm's."""
LATER = list(NAMES)[list(NAMES).index("baseFeePerGas") :]
"""Fields that forks appended."""


def block_of(
    number: int, parent: str = "0x" + "11" * 32, *, bloom: int = 0, time: int | None = None, **others: Any
) -> dict[str, Any]:
    """Return a block as a node gives it, with the hash that py-evm computes."""
    header = PragueBlockHeader(
        difficulty=0,
        block_number=number,
        gas_limit=30_000_000,
        timestamp=1_700_000_000 + 12 * number if time is None else time,
        parent_hash=bytes.fromhex(parent[2:]),
        bloom=bloom,
        **({"base_fee_per_gas": 7, "extra_data": b"ours"} | others),
    )
    return shown(header, NAMES) | {"hash": "0x" + header.hash.hex()}


def shown(header: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return some fields of a header of py-evm's as a node gives them, and its bloom."""
    fields = {name: getattr(header, NAMES[name]) for name in names}
    texts = {name: "0x" + bytes(v).hex() if isinstance(v, bytes) else hex(v) for name, v in fields.items()}
    return texts | {"logsBloom": f"0x{header.bloom:0512x}"}


def chain_of(length: int, first: int = 1) -> list[dict[str, Any]]:
    blocks = [block_of(first)]
    while len(blocks) < length:
        blocks.append(block_of(first + len(blocks), blocks[-1]["hash"]))
    return blocks


class TestReadHeader:
    def test_reads_what_the_oracle_hashed(self) -> None:
        block = block_of(9, receipt_root=b"\x22" * 32, state_root=b"\x33" * 32, bloom=5)

        assert read_header(block) == Header(
            9,
            block["hash"],
            "0x" + "11" * 32,
            1_700_000_108,
            (5).to_bytes(256, "big"),
            b"\x22" * 32,
            b"\x33" * 32,
        )

    def test_the_first_block_of_ethereum_has_the_hash_that_everybody_knows(self) -> None:
        assert MAINNET_GENESIS_HEADER.block_number == 0
        genesis = shown(MAINNET_GENESIS_HEADER, [name for name in NAMES if name not in LATER])
        known = "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"

        assert read_header(genesis | {"hash": known}).hash == known

    @pytest.mark.parametrize("name", [*NAMES, "logsBloom"])
    def test_no_field_can_be_altered(self, name: str) -> None:
        block = block_of(9)
        digit = block[name][-1]

        with pytest.raises(IntegrityError, match="has hash"):
            read_header(block | {name: block[name][:-1] + ("1" if digit != "1" else "2")})

    @pytest.mark.parametrize("answer", [None, [], "0x", 7, {}, {"hash": "0x"}])
    def test_refuses_what_is_no_block(self, answer: Any) -> None:
        with pytest.raises(IntegrityError):
            read_header(answer)

    @pytest.mark.parametrize("answer", [None, [], "0x", 7])
    def test_what_is_no_object_is_said_to_be_no_block(self, answer: Any) -> None:
        with pytest.raises(IntegrityError, match="the answer is no block"):
            read_header(answer)

    def test_hashes_are_written_one_way(self) -> None:
        block = block_of(9, parent="0x" + "ab" * 32)
        header = read_header(block)

        assert read_header(block | {"hash": "0x" + block["hash"][2:].upper(), "parentHash": "0x" + "AB" * 32}) == header


class TestSealedHeaders:
    """Blocks of private chains whose validators seal them: QBFT and IBFT 2.0, as Besu writes and hashes them."""

    VANITY = bytes(32)
    VALIDATORS = (b"\x11" * 20, b"\x22" * 20)
    SEALS = (b"\x33" * 65, b"\x44" * 65)

    def block(self, hashed: bytes, shown: bytes) -> dict[str, Any]:
        """Return a block that is hashed with one extraData and shown with another."""
        return block_of(5, extra_data=hashed) | {"extraData": "0x" + shown.hex()}

    def extra(self, *rest: Any) -> bytes:
        return bytes(rlp.encode([self.VANITY, self.VALIDATORS, *rest]))

    @pytest.mark.parametrize("number", [0, 1, 300])
    def test_neither_seals_nor_round_are_under_the_hash(self, number: int) -> None:
        vote = [b"\x55" * 20, b"\xff"]
        for hashed, shown in (
            (self.extra([], 0, []), self.extra([], number, self.SEALS)),
            (self.extra(vote, 0, []), self.extra(vote, number, self.SEALS)),
            (self.extra(b""), self.extra(b"", number.to_bytes(4, "big"), self.SEALS)),
        ):
            block = self.block(hashed, shown)
            assert read_header(block).hash == block["hash"]

    def test_all_else_is(self) -> None:
        block = self.block(self.extra([], 0, []), self.extra([], 1, self.SEALS))
        others = bytes(rlp.encode([self.VANITY, self.VALIDATORS[:1], [], 1, self.SEALS]))

        for change in (
            {"extraData": "0x" + others.hex()},
            {"extraData": "0x" + self.extra([], 1, self.SEALS, b"").hex()},
            {"receiptsRoot": "0x" + "77" * 32},
            {"logsBloom": "0x" + "01" * 256},
            {"timestamp": "0x1"},
        ):
            with pytest.raises(IntegrityError, match="has hash"):
                read_header(block | change)


class TestCheckLinks:
    def test_accepts_a_chain(self) -> None:
        check_links([read_header(block) for block in chain_of(4)])
        check_links([])

    def test_refuses_another_parent_a_gap_and_another_order(self) -> None:
        headers = [read_header(block) for block in chain_of(4)]
        foreign = read_header(block_of(3, "0x" + "77" * 32))

        for wrong in ([*headers[:2], foreign], [headers[0], headers[2]], headers[::-1], [headers[0], headers[0]]):
            with pytest.raises(IntegrityError, match="as its parent"):
                check_links(wrong)


class TestMayHold:
    @given(
        st.lists(
            st.tuples(st.binary(min_size=20, max_size=20), st.lists(st.integers(0, 2**256 - 1), max_size=4)), max_size=6
        ),
        st.binary(min_size=20, max_size=20),
    )
    def test_misses_no_log_of_the_oracle(self, logs: Sequence[tuple[bytes, list[int]]], stranger: bytes) -> None:
        bloom = BloomFilter()
        for address, topics in logs:
            bloom.extend(OracleLog(address, tuple(topics), b"").bloomables)
        header = read_header(block_of(1, bloom=int(bloom)))

        for address, _ in logs:
            assert may_hold(header, ["0x" + address.hex().upper()])
        assert may_hold(header, ["0x" + stranger.hex()]) == (stranger in bloom)

    @given(st.binary(max_size=40))
    def test_sets_the_bits_of_the_oracle(self, value: bytes) -> None:
        assert bloom_bits(value) == int(BloomFilter.from_iterable([value]))

    def test_nothing_is_in_an_empty_bloom(self) -> None:
        header = read_header(block_of(1))

        assert not may_hold(header, ["0x" + "11" * 20])
        assert not may_hold(header, [])


@pytest.mark.parametrize("field", ["number", "time"])
def test_a_number_that_no_database_keeps_is_a_typed_error(field: str) -> None:
    most = (1 << 63) - 1

    assert read_header(block_of(**{"number": 1, "time": 1, field: most})).hash
    with pytest.raises(IntegrityError, match="beyond 63 bits"):
        read_header(block_of(**{"number": 1, "time": 1, field: most + 1}))
