"""Receipts of blocks, with py-evm and py-trie as oracles: what passes is all that a block's transactions logged."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import rlp
from eth.db.trie import make_trie_root_and_nodes
from eth.rlp.logs import Log as OracleLog
from eth.rlp.receipts import Receipt as OracleReceipt
from hypothesis import given, settings
from hypothesis import strategies as st
from trie import HexaryTrie  # type: ignore[import-untyped]

from panachain.chain.block_receipts import EMPTY_ROOT, Log, ordered_root, read_receipts
from panachain.chain.headers import Header
from panachain.errors import IntegrityError

BLOCK = "0x" + "99" * 32
LOGS = st.lists(
    st.tuples(
        st.binary(min_size=20, max_size=20),
        st.lists(st.binary(min_size=32, max_size=32), max_size=4),
        st.binary(max_size=100),
    ),
    max_size=3,
)
RECEIPTS = st.lists(
    st.tuples(st.integers(0, 4), st.one_of(st.integers(0, 1), st.binary(min_size=32, max_size=32)), LOGS), max_size=9
)
RawReceipt = tuple[int, Any, list[tuple[bytes, list[bytes], bytes]]]


def header_with(root: bytes) -> Header:
    return Header(7, BLOCK, "0x" + "11" * 32, 0, bytes(256), root, bytes(32))


def block_of(receipts: Sequence[RawReceipt]) -> tuple[Header, list[dict[str, Any]]]:
    """Return a block's header, with the root that the oracle computes, and its receipts as a node gives them."""
    encoded, shown = [], []
    for place, (kind, outcome, logs) in enumerate(receipts):
        status = (b"\x01" if outcome else b"") if isinstance(outcome, int) else outcome
        oracle = OracleReceipt(
            status,
            21_000 * (place + 1),
            [OracleLog(where, [int.from_bytes(t, "big") for t in topics], data) for where, topics, data in logs],
        )
        encoded.append((bytes([kind]) if kind else b"") + rlp.encode(oracle))
        shown.append(
            {
                "type": hex(kind),
                "transactionHash": f"0x{place:064x}",
                "cumulativeGasUsed": hex(oracle.gas_used),
                "logsBloom": f"0x{oracle.bloom:0512x}",
                "logs": [
                    {"address": text(where), "topics": [text(t) for t in topics], "data": text(data)}
                    for where, topics, data in logs
                ],
            }
            | ({"status": hex(outcome)} if isinstance(outcome, int) else {"root": text(outcome)})
        )
    return header_with(oracle_root(encoded)), shown


def text(data: bytes) -> str:
    return "0x" + data.hex()


def oracle_root(values: Sequence[bytes]) -> bytes:
    grown = HexaryTrie({})
    for place, value in enumerate(values):
        grown[rlp.encode(place)] = value
    return bytes(grown.root_hash)


class TestOrderedRoot:
    @pytest.mark.parametrize("count", [0, 1, 2, 3, 16, 17, 127, 128, 129, 255, 256, 257, 300])
    def test_is_what_py_trie_computes(self, count: int) -> None:
        values = [b"value %d" % place * (1 + place % 9) for place in range(count)]
        assert ordered_root(values) == oracle_root(values)

    @settings(max_examples=40)
    @given(st.lists(st.binary(min_size=1, max_size=40), max_size=40))
    def test_of_values_so_short_that_nodes_hold_each_other(self, values: list[bytes]) -> None:
        assert ordered_root(values) == oracle_root(values)

    def test_of_nothing_is_the_yellow_papers(self) -> None:
        assert ordered_root([]) == EMPTY_ROOT
        assert EMPTY_ROOT.hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"


class TestReadReceipts:
    @settings(max_examples=60)
    @given(RECEIPTS)
    def test_gives_all_logs_that_the_oracle_hashed(self, receipts: list[RawReceipt]) -> None:
        header, shown = block_of(receipts)

        logs = read_receipts(header, shown)

        expected = [
            (where, tuple(topics), data, f"0x{place:064x}")
            for place, (_, _, found) in enumerate(receipts)
            for where, topics, data in found
        ]
        assert logs == [
            Log(where, topics, data, 7, BLOCK, tx, index) for index, (where, topics, data, tx) in enumerate(expected)
        ]

    def test_agrees_with_py_evms_own_root(self) -> None:
        receipts = [OracleReceipt(b"\x01", 21_000, [OracleLog(b"\x11" * 20, [1, 2], b"data")])] * 3
        root, _ = make_trie_root_and_nodes(receipts)
        _, shown = block_of([(0, 1, [(b"\x11" * 20, [bytes(31) + b"\x01", bytes(31) + b"\x02"], b"data")])] * 3)
        for one in shown:
            one["cumulativeGasUsed"] = hex(21_000)

        assert len(read_receipts(header_with(root), shown)) == 3

    def test_finds_every_altered_byte_and_every_receipt_or_log_left_out_added_or_moved(self) -> None:
        where = b"\x11" * 20
        receipts = [(2, 1, [(where, [bytes([n]) * 32], bytes([n])), (where, [], b"")]) for n in range(3)]
        header, shown = block_of(receipts)
        read_receipts(header, shown)

        for wrong in altered(shown):
            with pytest.raises(IntegrityError, match="block 7"):
                read_receipts(header, wrong)

    @pytest.mark.parametrize(
        "change",
        [
            {"status": None},
            {"status": "0x"},
            {"status": "-0x1"},
            {"type": "0x80"},
            {"type": "-0x1"},
            {"type": 2},
            {"logsBloom": None},
            {"logs": None},
            {"logs": [{}]},
            {"logs": [{"address": "0x11", "topics": [], "data": "0x"}]},
            {"logs": [{"address": "0x" + "11" * 20, "topics": ["0x11"], "data": "0x"}]},
            {"logs": [{"address": "0x" + "11" * 20, "topics": "ab", "data": "0x"}]},
            {"logs": [{"address": "0x" + "11" * 20, "topics": [], "data": "0xzz"}]},
            {"cumulativeGasUsed": 5},
            {"transactionHash": "0x11"},
            {"transactionHash": "0x" + "11" * 33},
            {"transactionHash": None},
        ],
    )
    def test_what_is_malformed_is_a_typed_error(self, change: dict[str, Any]) -> None:
        header, shown = block_of([(2, 1, [(b"\x11" * 20, [], b"")])])

        with pytest.raises(IntegrityError):
            read_receipts(header, [shown[0] | change])

    def test_a_log_of_more_topics_than_there_are_is_a_typed_error(self) -> None:
        header, shown = block_of([(2, 1, [(b"\x11" * 20, [b"\x22" * 32] * 5, b"")])])

        with pytest.raises(IntegrityError, match="malformed"):
            read_receipts(header, shown)

    @pytest.mark.parametrize("moved", [1, 2, 31])
    def test_bytes_that_move_from_one_field_into_the_next_are_a_typed_error(self, moved: int) -> None:
        """All together they are the same bytes, and so have the same root."""
        header, shown = block_of([(2, 1, [(b"\x11" * 20, [b"\x22" * 32, b"\x33" * 32], b"\x07")])])
        log = shown[0]["logs"][0]
        first, last = log["topics"]
        beginning, digits = log["address"][:-2], 2 * moved
        for wrong in (
            {"topics": [first, last + "07"], "data": "0x"},
            {"topics": [first[:-digits], last + "00" * moved]},
            {"topics": [first, last[:-digits] + " " * digits]},
            {"topics": [first[:-digits] + " " * digits, last + "33" * moved]},
            {"topics": [first + "a0" + last[2:]]},
            {"address": beginning},
            {"address": beginning + "  "},
            {"address": log["address"] + "f8"},
        ):
            with pytest.raises(IntegrityError, match="malformed"):
                read_receipts(header, [shown[0] | {"logs": [log | wrong]}])

    @pytest.mark.parametrize("answer", [None, 7, [None], ["0x"], {"a": 1}])
    def test_what_is_no_list_of_receipts_is_a_typed_error(self, answer: Any) -> None:
        with pytest.raises(IntegrityError):
            read_receipts(header_with(EMPTY_ROOT), answer)


def altered(shown: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield the receipts with each field altered, each part left out or added, and each two swapped."""
    for place in range(len(shown)):
        yield shown[:place] + shown[place + 1 :]
        yield [*shown[:place], shown[place], *shown[place:]]
        for other in range(place):
            swapped = list(shown)
            swapped[place], swapped[other] = swapped[other], swapped[place]
            yield swapped
        for name, value in (("status", "0x0"), ("type", "0x0"), ("cumulativeGasUsed", "0x1"), ("logsBloom", "0x00")):
            changed = copy.deepcopy(shown)
            changed[place][name] = value
            yield changed
        logs = shown[place]["logs"]
        for kept in (logs[1:], logs[:1], [], logs[::-1], logs + logs[:1]):
            yield [*shown[:place], shown[place] | {"logs": kept}, *shown[place + 1 :]]
        for name, value in (
            ("address", "0x" + "22" * 20),
            ("data", "0xff"),
            ("topics", []),
            ("topics", ["0x" + "55" * 32]),
        ):
            changed = copy.deepcopy(shown)
            changed[place]["logs"][0][name] = value
            yield changed
