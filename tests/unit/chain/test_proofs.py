"""Proofs of storage and headers, with py-trie and py-evm as oracles: a wrong node never leads to a wrong value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import rlp
from eth.rlp.headers import BlockHeader
from eth.vm.forks.cancun.blocks import CancunBlockHeader
from eth.vm.forks.london.blocks import LondonBlockHeader
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.shanghai.blocks import ShanghaiBlockHeader
from eth_abi import encode
from eth_utils import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from trie import HexaryTrie  # type: ignore[import-untyped]

from panachain.chain import proofs
from panachain.errors import IntegrityError

CONTRACT = "0x" + "11" * 20
EMPTY_ROOT = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
"""Root of an empty tree, Yellow Paper."""
EMBEDDED = (40364, 105566)
"""Slots whose keys share 32 bits, found by search: leaves of one byte are so short that their branch holds them."""


def tree(values: Mapping[bytes, bytes]) -> Any:
    grown = HexaryTrie({})
    for key, value in values.items():
        grown[key] = value
    return grown


def nodes_of(grown: Any, key: bytes) -> list[bytes]:
    """Return a proof as a node sends it: what is shorter than a hash travels within its parent."""
    nodes = [rlp.encode(node) for node in grown.get_proof(key)]
    return nodes[:1] + [node for node in nodes[1:] if len(node) >= 32]


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def text(data: bytes) -> str:
    return "0x" + data.hex()


class State:
    """A state that the oracle holds: one contract with slots, and plain accounts beside it."""

    def __init__(self, slots: Mapping[int, int], others: int = 0, body: bytes | None = None) -> None:
        self.storage = tree({keccak(word(slot)): rlp.encode(value) for slot, value in slots.items()})
        body = body or rlp.encode([1, 0, bytes(self.storage.root_hash), keccak(b"code")])
        accounts = {keccak(word(n)[12:]): rlp.encode([n, 10**18, EMPTY_ROOT, keccak(b"")]) for n in range(others)}
        self.accounts = tree(accounts | {keccak(bytes.fromhex(CONTRACT[2:])): body})
        self.root = bytes(self.accounts.root_hash)

    def answer(self, *slots: int, account: str = CONTRACT) -> dict[str, Any]:
        """Return what an honest node answers to eth_getProof."""
        account_proof = nodes_of(self.accounts, keccak(bytes.fromhex(account[2:])))
        paths = [nodes_of(self.storage, keccak(word(slot))) for slot in slots]
        return {
            "accountProof": [text(node) for node in account_proof],
            "storageProof": [{"proof": [text(node) for node in path]} for path in paths],
        }

    def check(self, answer: Mapping[str, Any], *slots: int, account: str = CONTRACT) -> list[int]:
        return proofs.check_storage(self.root, answer, account=account, slots=[word(slot) for slot in slots])


WORDS = st.one_of(st.integers(1, 300), st.integers(1, 2**256 - 1))
STATES = st.builds(State, st.dictionaries(st.integers(0, 60), WORDS, max_size=40), st.integers(0, 20))


def altered(nodes: Sequence[bytes], delta: int = 1) -> Iterator[list[bytes]]:
    """Yield the proof with each byte changed, each node dropped, cut, prolonged or repeated, and each two swapped."""
    for index, node in enumerate(nodes):
        before, after = list(nodes[:index]), list(nodes[index + 1 :])
        for position, byte in enumerate(node):
            yield [*before, node[:position] + bytes([byte ^ delta]) + node[position + 1 :], *after]
        yield [*before, *after]
        yield [*before, node[:-1], *after]
        yield [*before, node + b"\x00", *after]
        yield [*before, b"", node, *after]
        for other in range(index):
            swapped = list(nodes)
            swapped[index], swapped[other] = swapped[other], swapped[index]
            yield swapped


class TestCheckStorage:
    @settings(max_examples=60)
    @given(
        slots=st.dictionaries(st.integers(0, 60), WORDS, max_size=40),
        others=st.integers(0, 20),
        asked=st.lists(st.integers(0, 80), max_size=6),
    )
    def test_gives_the_values_that_the_oracle_holds(self, slots: dict[int, int], others: int, asked: list[int]) -> None:
        state = State(slots, others)

        values = state.check(state.answer(*asked), *asked)

        assert values == [slots.get(slot, 0) for slot in asked]

    @settings(max_examples=20)
    @given(state=STATES, slot=st.integers(0, 80), delta=st.integers(1, 255))
    def test_finds_every_altered_node(self, state: State, slot: int, delta: int) -> None:
        path = nodes_of(state.storage, keccak(word(slot)))
        account = nodes_of(state.accounts, keccak(bytes.fromhex(CONTRACT[2:])))
        good = state.answer(slot)

        for nodes in altered(account, delta):
            with pytest.raises(IntegrityError):
                state.check(good | {"accountProof": [text(node) for node in nodes]}, slot)
        for nodes in altered(path, delta):
            with pytest.raises(IntegrityError):
                state.check(good | {"storageProof": [{"proof": [text(node) for node in nodes]}]}, slot)

    @settings(max_examples=30)
    @given(state=STATES, slot=st.integers(0, 80), surplus=st.lists(st.binary(max_size=40), min_size=1, max_size=3))
    def test_nodes_after_the_last_one_change_nothing(self, state: State, slot: int, surplus: list[bytes]) -> None:
        answer = state.answer(slot)
        value = state.check(answer, slot)

        answer["accountProof"] += [text(node) for node in surplus]
        answer["storageProof"][0]["proof"] += [text(node) for node in surplus]

        assert state.check(answer, slot) == value

    @pytest.mark.parametrize("path", [[], ["0x80"]], ids=["Geth", "Anvil"])
    def test_empty_storage_proves_zero(self, path: list[str]) -> None:
        state = State({})

        assert state.check(state.answer() | {"storageProof": [{"proof": path}]}, 7) == [0]

    def test_storage_that_is_not_empty_is_never_taken_for_empty(self) -> None:
        state = State({7: 1})

        for path in ([], ["0x80"], ["0x"], ["0xc0"]):
            with pytest.raises(IntegrityError):
                state.check(state.answer() | {"storageProof": [{"proof": path}]}, 7)

    def test_reads_leaves_that_a_branch_holds(self) -> None:
        state = State(dict.fromkeys(EMBEDDED, 5) | dict.fromkeys(range(4), 2**200))
        lengths = [len(state.storage.get_proof(keccak(word(slot)))) for slot in EMBEDDED]

        answer = state.answer(*EMBEDDED, 9)

        # Else this test would show nothing.
        assert [len(entry["proof"]) + 1 for entry in answer["storageProof"][:2]] == lengths
        assert state.check(answer, *EMBEDDED, 9) == [5, 5, 0]
        for entry in answer["storageProof"][:2]:
            nodes = [bytes.fromhex(node[2:]) for node in entry["proof"]]
            for changed in altered(nodes):
                with pytest.raises(IntegrityError):
                    state.check(answer | {"storageProof": [{"proof": [text(n) for n in changed]}]}, EMBEDDED[0])

    def test_what_the_node_states_beside_the_nodes_does_not_count(self) -> None:
        state = State({1: 11}, others=3)
        answer = state.answer(1) | {"address": "0x" + "99" * 20, "balance": "0x1", "storageHash": text(EMPTY_ROOT)}
        answer["storageProof"][0] |= {"key": "0x2", "value": "0x63"}

        assert state.check(answer, 1) == [11]

    def test_rejects_proofs_of_another_slot_account_or_state(self) -> None:
        state, other = State({1: 11, 2: 22}, others=3), State({1: 11, 2: 23}, others=3)
        neighbour = text(word(1)[12:])

        with pytest.raises(IntegrityError):
            state.check(state.answer(2, 1), 1, 2)
        with pytest.raises(IntegrityError):
            state.check(state.answer(1, account=neighbour), 1)
        with pytest.raises(IntegrityError):
            state.check(state.answer(1), 1, account=neighbour)
        for mixed in (
            other.answer(1),
            state.answer(1) | {"storageProof": other.answer(1)["storageProof"]},
            state.answer(1) | {"accountProof": other.answer(1)["accountProof"]},
        ):
            with pytest.raises(IntegrityError):
                state.check(mixed, 1)

    def test_rejects_an_account_that_is_not_there(self) -> None:
        state = State({1: 11}, others=3)
        nobody = "0x" + "77" * 20

        with pytest.raises(IntegrityError, match="there is no account"):
            state.check(state.answer(1, account=nobody), 1, account=nobody)
        with pytest.raises(IntegrityError, match="there is no account"):
            proofs.check_storage(EMPTY_ROOT, state.answer(), account=CONTRACT, slots=[])

    @pytest.mark.parametrize(("asked", "proven"), [(1, 0), (1, 2), (0, 1), (2, 1)])
    def test_rejects_another_number_of_slots(self, asked: int, proven: int) -> None:
        state = State({0: 10, 1: 11})

        with pytest.raises(IntegrityError, match=f"proves {proven} slots, {asked} were asked for"):
            state.check(state.answer(*range(proven)), *range(asked))

    @pytest.mark.parametrize(
        "answer",
        [
            None,
            [],
            "0x",
            7,
            {},
            {"accountProof": None, "storageProof": []},
            {"accountProof": ["0xzz"], "storageProof": []},
            {"accountProof": ["0x123"], "storageProof": []},
            {"accountProof": [7], "storageProof": []},
            {"accountProof": [None], "storageProof": []},
            {"accountProof": [], "storageProof": None},
            {"accountProof": [], "storageProof": [{}]},
            {"accountProof": [], "storageProof": [None]},
            {"accountProof": [], "storageProof": [{"proof": [["0x80"]]}]},
        ],
        ids=str,
    )
    def test_rejects_what_is_no_proof(self, answer: Any) -> None:
        with pytest.raises(IntegrityError):
            State({1: 11}).check(answer, 1)

    @pytest.mark.parametrize(
        "body", [rlp.encode([1, 0, EMPTY_ROOT]), rlp.encode([1, 0, [EMPTY_ROOT], b""]), rlp.encode(b"account"), b"\xc5"]
    )
    def test_rejects_a_leaf_that_is_no_account(self, body: bytes) -> None:
        state = State({}, body=body)

        with pytest.raises(IntegrityError):
            state.check(state.answer())

    @pytest.mark.parametrize("leaf", [rlp.encode([1]), rlp.encode(bytes(31) + b"12"), b"\xb8"])
    def test_rejects_a_slot_that_is_no_word(self, leaf: bytes) -> None:
        storage = tree({keccak(word(1)): leaf})
        state = State({}, body=rlp.encode([1, 0, bytes(storage.root_hash), keccak(b"code")]))
        path = [text(node) for node in nodes_of(storage, keccak(word(1)))]

        with pytest.raises(IntegrityError):
            state.check(state.answer() | {"storageProof": [{"proof": path}]}, 1)


KEYS = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11]), min_size=1, max_size=4).map(bytes)
"""Short keys of few bytes: deep paths, extensions, embedded nodes, and keys that begin another one."""


class TestTreesOfAnyShape:
    """Hashed keys make even trees; these are as uneven as trees can be."""

    @settings(max_examples=120)
    @given(values=st.dictionaries(KEYS, st.binary(min_size=1, max_size=40), max_size=20), key=KEYS)
    def test_gives_what_the_oracle_holds_and_finds_every_altered_node(
        self, values: dict[bytes, bytes], key: bytes
    ) -> None:
        grown = tree(values)
        root, nodes = bytes(grown.root_hash), nodes_of(grown, key)

        assert proofs._walk(root, key, nodes) == values.get(key)
        for wrong in altered(nodes):
            with pytest.raises(IntegrityError):
                proofs._walk(root, key, wrong)

    @settings(max_examples=100)
    @given(values=st.dictionaries(KEYS, st.binary(min_size=1, max_size=40), min_size=1, max_size=20), key=KEYS)
    def test_a_proof_of_one_key_never_gives_a_wrong_value_for_another(
        self, values: dict[bytes, bytes], key: bytes
    ) -> None:
        grown = tree(values)

        for other in values:
            try:
                value = proofs._walk(bytes(grown.root_hash), key, nodes_of(grown, other))
            except IntegrityError:
                continue
            assert value == values.get(key)

    @pytest.mark.parametrize(
        "node",
        [
            rlp.encode(b"neither"),
            rlp.encode([b"\x20", b"a", b"b"]),
            rlp.encode([b"", b"value"]),
            rlp.encode([b"\x40", b"value"]),
            rlp.encode([[b"\x20"], b"value"]),
            rlp.encode([b"\x20\xab", [b"value"]]),
            rlp.encode([b""] * 16),
            b"\xf8",
            b"\xc1",
        ],
        ids=text,
    )
    def test_rejects_what_is_no_node(self, node: bytes) -> None:
        with pytest.raises(IntegrityError):
            proofs._walk(keccak(node), b"\xab", [node])

    def test_rejects_a_path_that_is_too_long(self) -> None:
        nodes = [rlp.encode([b"\x20" + bytes(40), b"value"])]
        for _ in range(70):
            nodes.append(rlp.encode([b"\x10", keccak(nodes[-1])]))

        with pytest.raises(IntegrityError, match="deeper"):
            proofs._walk(keccak(nodes[-1]), bytes(75), nodes[::-1])


@dataclass(frozen=True)
class Fork:
    """A header as py-evm knows it, and the fields that the fork brought."""

    header: Any
    brought: Mapping[str, int | bytes]


FORKS = {
    "frontier": Fork(BlockHeader, {}),
    "london": Fork(LondonBlockHeader, {"base_fee_per_gas": 7}),
    "shanghai": Fork(ShanghaiBlockHeader, {"base_fee_per_gas": 7, "withdrawals_root": b"w" * 32}),
    "cancun": Fork(
        CancunBlockHeader,
        {
            "base_fee_per_gas": 2**40,
            "withdrawals_root": b"w" * 32,
            "blob_gas_used": 131_072,
            "excess_blob_gas": 0,
            "parent_beacon_block_root": b"b" * 32,
        },
    ),
    "prague": Fork(
        PragueBlockHeader,
        {
            "base_fee_per_gas": 0,
            "withdrawals_root": EMPTY_ROOT,
            "blob_gas_used": 0,
            "excess_blob_gas": 2**64 - 1,
            "parent_beacon_block_root": bytes(32),
            "requests_hash": b"r" * 32,
        },
    ),
}
COMMON: Mapping[str, int | bytes] = {
    "parent_hash": b"p" * 32,
    "uncles_hash": b"u" * 32,
    "coinbase": b"c" * 20,
    "state_root": b"s" * 32,
    "transaction_root": b"t" * 32,
    "receipt_root": b"q" * 32,
    "bloom": 2**2047 + 1,
    "difficulty": 0,
    "block_number": 21_000_000,
    "gas_limit": 30_000_000,
    "gas_used": 0x80,
    "timestamp": 1_700_000_000,
    "extra_data": b"",
    "mix_hash": b"m" * 32,
    "nonce": bytes(8),
}
NAMES = {
    "uncles_hash": "sha3Uncles",
    "coinbase": "miner",
    "transaction_root": "transactionsRoot",
    "receipt_root": "receiptsRoot",
    "bloom": "logsBloom",
    "block_number": "number",
}
"""py-evm's names where they aren't those of JSON-RPC in another spelling."""
GENESIS = {
    "hash": "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
    "parentHash": text(bytes(32)),
    "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
    "miner": text(bytes(20)),
    "stateRoot": "0xd7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544",
    "transactionsRoot": text(EMPTY_ROOT),
    "receiptsRoot": text(EMPTY_ROOT),
    "logsBloom": text(bytes(256)),
    "difficulty": "0x400000000",
    "number": "0x0",
    "gasLimit": "0x1388",
    "gasUsed": "0x0",
    "timestamp": "0x0",
    "extraData": "0x11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa",
    "mixHash": text(bytes(32)),
    "nonce": "0x0000000000000042",
}
"""Ethereum's first block, as any node of the main network gives it."""


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def header_of(fork: str, **change: int | bytes) -> dict[str, Any]:
    """Return a header of a fork as JSON-RPC gives it, with the hash that py-evm computes."""
    fields = {**COMMON, **FORKS[fork].brought, **change}
    block: dict[str, Any] = {
        NAMES.get(name, camel(name)): hex(value) if isinstance(value, int) else text(value)
        for name, value in fields.items()
    }
    block["logsBloom"] = text(int(fields["bloom"]).to_bytes(256, "big"))
    return block | {"hash": text(FORKS[fork].header(**fields).hash), "size": "0x220", "uncles": []}


def fields_of(fork: str) -> list[str]:
    return [NAMES.get(name, camel(name)) for name in (*COMMON, *FORKS[fork].brought)]


class TestCheckHeader:
    def test_takes_the_first_block_of_ethereum(self) -> None:
        assert text(proofs.check_header(GENESIS)) == GENESIS["stateRoot"]

    @pytest.mark.parametrize("fork", FORKS)
    def test_takes_every_forks_header(self, fork: str) -> None:
        assert proofs.check_header(header_of(fork)) == COMMON["state_root"]

    @settings(max_examples=60)
    @given(
        fork=st.sampled_from(list(FORKS)),
        number=st.integers(0, 2**64 - 1),
        gas=st.integers(0, 2**64 - 1),
        extra=st.binary(max_size=32),
        root=st.binary(min_size=32, max_size=32),
    )
    def test_takes_headers_of_any_values(self, fork: str, number: int, gas: int, extra: bytes, root: bytes) -> None:
        block = header_of(fork, block_number=number, gas_used=gas, extra_data=extra, state_root=root)

        assert proofs.check_header(block) == root

    @pytest.mark.parametrize("absent", [{}, {"requestsHash": None}], ids=["left out", "null"])
    def test_takes_headers_without_fields_of_later_forks(self, absent: dict[str, None]) -> None:
        assert proofs.check_header(header_of("cancun") | absent) == COMMON["state_root"]

    @pytest.mark.parametrize("fork", FORKS)
    def test_rejects_every_changed_field(self, fork: str) -> None:
        block = header_of(fork)

        for name in [*fields_of(fork), "hash"]:
            changed = block[name][:-1] + ("0" if block[name][-1] != "0" else "1") if block[name] != "0x" else "0x00"
            with pytest.raises(IntegrityError):
                proofs.check_header(block | {name: changed})

    @pytest.mark.parametrize("fork", FORKS)
    def test_rejects_every_missing_field(self, fork: str) -> None:
        block = header_of(fork)

        for name in [*fields_of(fork), "hash"]:
            with pytest.raises(IntegrityError):
                proofs.check_header({key: value for key, value in block.items() if key != name})
            with pytest.raises(IntegrityError):
                proofs.check_header(block | {name: None})

    @pytest.mark.parametrize(
        ("name", "size"), [("state_root", 31), ("state_root", 33), ("parent_hash", 0), ("nonce", 9)]
    )
    def test_rejects_fields_of_another_size_under_a_hash_that_fits(self, name: str, size: int) -> None:
        fields = {**COMMON, name: b"s" * size}
        body = [rlp.sedes.big_endian_int.serialize(v) if isinstance(v, int) else v for v in fields.values()]
        forged = {NAMES.get(name, camel(name)): text(b"s" * size), "hash": text(keccak(rlp.encode(body)))}

        with pytest.raises(IntegrityError, match="malformed"):
            proofs.check_header(header_of("frontier") | forged)

    def test_rejects_fields_of_a_later_fork(self) -> None:
        for fork, name in (("frontier", "baseFeePerGas"), ("london", "blobGasUsed")):
            with pytest.raises(IntegrityError):
                proofs.check_header(header_of(fork) | {name: "0x0"})

    @pytest.mark.parametrize(
        "change",
        [
            {"number": "-0x1"},
            {"number": "0x"},
            {"number": ""},
            {"number": 7},
            {"number": "seven"},
            {"gasUsed": []},
            {"stateRoot": "0x"},
            {"stateRoot": "0x" + "73" * 31},
            {"stateRoot": "0x" + "73" * 33},
            {"stateRoot": "0x" + "7z" * 32},
            {"stateRoot": {}},
            {"miner": "0x" + "63" * 32},
            {"nonce": "0x0"},
            {"logsBloom": "0x00"},
            {"hash": "0x"},
            {"hash": "0xd4"},
            {"hash": 7},
        ],
        ids=str,
    )
    def test_rejects_malformed_fields(self, change: dict[str, Any]) -> None:
        with pytest.raises(IntegrityError):
            proofs.check_header(header_of("prague") | change)


class TestMappingSlot:
    @settings(max_examples=50)
    @given(key=st.binary(min_size=20, max_size=20), position=st.integers(0, 2**32), offset=st.integers(0, 2**16))
    def test_is_what_solidity_computes(self, key: bytes, position: int, offset: int) -> None:
        start = int.from_bytes(keccak(encode(["address", "uint256"], [key, position])), "big")

        assert proofs.mapping_slot(text(key), position, offset) == word((start + offset) % 2**256)

    def test_wraps_around(self) -> None:
        first = int.from_bytes(proofs.mapping_slot(CONTRACT, 0), "big")

        assert proofs.mapping_slot(CONTRACT, 0, 2**256 - first) == bytes(32)
