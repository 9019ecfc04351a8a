"""Our encoding of the Contract ABI, with eth_abi as the oracle, for each type of each of our ABIs."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import eth_abi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.chain import codec
from tests.unit.chain.abi_values import artifacts, type_of, values


def _signatures() -> dict[str, list[dict[str, Any]]]:
    """Return what is encoded together, by a name: inputs and outputs, and what an event doesn't index."""
    found: dict[str, list[dict[str, Any]]] = {}
    for contract, abi in artifacts().items():
        for entry in abi:
            name = f"{contract}.{entry.get('name', entry['type'])}"
            inputs = entry.get("inputs", [])
            found[f"{name} ({entry['type']})"] = [item for item in inputs if not item.get("indexed")]
            if any(item.get("indexed") for item in inputs):
                found[f"{name} (topics)"] = [item for item in inputs if item.get("indexed")]
            if entry["type"] == "function":
                found[f"{name} (result)"] = entry["outputs"]
    return found


SIGNATURES = _signatures()
# Beyond what our ABIs nest today.
DEEP = ("(uint8,(string,bytes[],(bool,address)[])[],bytes4[])[]", "bytes[][]", "(bytes32,(uint48,string))")
WORD = b"\0" * 31


def of_contract(contract: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return a contract's part of `SIGNATURES`, of which there is none without."""
    found = [(name, items) for name, items in SIGNATURES.items() if name.startswith(f"{contract}.")]
    assert found or not artifacts()[contract], contract
    return found


def both(types: list[str], data: bytes) -> None:
    """Check that what we read, eth_abi reads as the same, so that what it refuses, we refuse."""
    try:
        ours = codec.decode(types, data)
    except ValueError:
        return
    assert ours == eth_abi.decode(types, data)
    assert codec.encode(types, ours) == data, "there is one encoding of each value"


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Return an encoding with something wrong: a word, a bit, its end."""
    words = [data[place : place + 32] for place in range(0, len(data), 32)]
    kind = draw.randrange(6)
    if kind == 0:
        return data[: draw.randrange(len(data))]
    if kind == 1:
        return data + draw.choice((b"\0", WORD + b"\0", b"\xff" * 32))
    place = draw.randrange(len(words))
    if kind == 2:
        words[place] = draw.choice((b"\xff" * 32, bytes(32), b"\x7f" + b"\xff" * 31, (1 << 40).to_bytes(32, "big")))
    elif kind == 3:
        words[place] = words[draw.randrange(len(words))]
    elif kind == 4:
        # An offset or length near a plausible one.
        words[place] = (draw.randrange(0, len(data) + 64)).to_bytes(32, "big")
    else:
        bits = bytearray(words[place])
        bits[draw.randrange(len(bits))] ^= 1 << draw.randrange(8)
        words[place] = bytes(bits)
    return b"".join(words)


@pytest.mark.parametrize("contract", artifacts())
def test_encodes_and_decodes_each_of_ours_as_eth_abi_does(contract: str) -> None:
    for name, items in of_contract(contract):
        types = [type_of(item) for item in items]
        draw = random.Random(name)
        for _ in range(20):
            given_values = values(items, draw)
            encoded = codec.encode(types, given_values)
            assert encoded == eth_abi.encode(types, given_values), name
            assert codec.decode(types, encoded) == eth_abi.decode(types, encoded) == given_values, name


@pytest.mark.parametrize("contract", artifacts())
def test_refuses_of_each_of_ours_what_eth_abi_refuses(contract: str) -> None:
    for name, items in of_contract(contract):
        types = [type_of(item) for item in items]
        draw = random.Random(name)
        for _ in range(60):
            encoded = codec.encode(types, values(items, draw))
            if encoded:
                both(types, damaged(encoded, draw))


@given(data=st.binary(max_size=400), types=st.sampled_from(DEEP))
def test_reads_of_any_bytes_what_eth_abi_reads(data: bytes, types: str) -> None:
    both([types], data)


@given(words=st.lists(st.integers(0, 12), max_size=24), types=st.sampled_from(DEEP))
def test_reads_of_small_words_what_eth_abi_reads(words: list[int], types: str) -> None:
    # Offsets and lengths that fit somehow: where readers differ, they differ here.
    both([types], b"".join((32 * word if word > 3 else word).to_bytes(32, "big") for word in words))


@pytest.mark.parametrize(
    ("kind", "word", "value"),
    [
        ("bool", 0, False),
        ("bool", 1, True),
        ("bool", 2, None),
        ("bool", 1 << 255, None),
        ("uint8", 255, 255),
        ("uint8", 256, None),
        ("uint48", (1 << 48) - 1, (1 << 48) - 1),
        ("uint48", 1 << 48, None),
        ("uint256", (1 << 256) - 1, (1 << 256) - 1),
        ("address", (1 << 160) - 1, "0x" + "ff" * 20),
        ("address", 1 << 160, None),
        ("bytes4", 0xAB << 224, b"\0\0\0\xab"),
        ("bytes4", 1 << 223, None),
        ("bytes4", 1, None),
    ],
)
def test_a_word_is_read_up_to_what_its_type_holds(kind: str, word: int, value: Any) -> None:
    data = word.to_bytes(32, "big")
    if value is None:
        with pytest.raises(ValueError):  # noqa: PT011
            codec.decode([kind], data)
        return
    (found,) = codec.decode([kind], data)
    assert type(found) is type(value)
    assert str(found).lower() == str(value).lower()
    assert codec.encode([kind], [value]) == data


def test_encodes_what_is_nested_as_eth_abi_does() -> None:
    value = ((7, (("text", (b"", b"1"), ((True, "0x" + "ab" * 20), (False, "0x" + "00" * 20))),), (b"abcd",)),)
    assert codec.encode([DEEP[0]], [value]) == eth_abi.encode([DEEP[0]], [value])
    assert codec.decode([DEEP[0]], codec.encode([DEEP[0]], [value])) == (value,)


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        *[("uint8", bad) for bad in (256, -1, True, "1", 1.0, None, b"\1")],
        *[("uint256", bad) for bad in (1 << 256, -1, False)],
        *[("bool", bad) for bad in (0, 1, "true", None)],
        *[("address", bad) for bad in ("", "0x", "0x" + "ab" * 19, "0x" + "ab" * 21, "0x" + "zz" * 20, 7, None)],
        # The checksum of another address (EIP-55).
        ("address", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD".replace("aA", "Aa")),
        *[("bytes32", bad) for bad in (b"", bytes(31), bytes(33), "00" * 32, 1)],
        *[("bytes", bad) for bad in ("00", 1, None, [0])],
        *[("string", bad) for bad in (b"text", 1, None, "\ud800")],
        *[("uint8[]", bad) for bad in (1, "12", b"12", [256], None, {1: 2})],
        *[("(uint8,bool)", bad) for bad in ((1,), (1, True, 2), 1, None, (True, 1))],
    ],
)
def test_refuses_to_encode_what_does_not_fit(kind: str, bad: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message says which, the type is what callers map.
        codec.encode([kind], [bad])


def test_refuses_another_number_of_values() -> None:
    for given_values in ([], [1, 2]):
        with pytest.raises(ValueError, match="not 1 values"):
            codec.encode(["uint8"], given_values)


@pytest.mark.parametrize(
    "kind", ["int8", "uint7", "uint264", "uint08", "bytes0", "bytes33", "uint8[2]", "function", ""]
)
def test_knows_the_types_of_our_contracts_only(kind: str) -> None:
    with pytest.raises(ValueError, match="isn't one of those"):
        codec.encode([kind], [1])


class TestHostile:
    """What a node may send: nothing of it crashes, and nothing takes more room than it came with."""

    @pytest.mark.parametrize("length", [1 << 255, 1 << 64, 1 << 32, 3])
    def test_refuses_a_length_without_the_bytes(self, length: int) -> None:
        for kind in ("bytes", "string", "bytes32[]", "bytes[]", "(uint8,bytes)[]"):
            data = (32).to_bytes(32, "big") + length.to_bytes(32, "big") + bytes(64)
            with pytest.raises(ValueError):  # noqa: PT011
                codec.decode([kind], data)

    def test_refuses_tails_that_lie_over_each_other(self) -> None:
        # 1,000 offsets to the same megabyte would be a gigabyte.
        count = 1000
        data = (32).to_bytes(32, "big") + count.to_bytes(32, "big")
        data += (32 * count).to_bytes(32, "big") * count
        data += (1 << 20).to_bytes(32, "big") + bytes(1 << 20)
        with pytest.raises(ValueError, match="doesn't follow"):
            codec.decode(["bytes[]"], data)

    def test_refuses_what_is_left_over(self) -> None:
        with pytest.raises(ValueError, match="32 bytes after"):
            codec.decode(["uint8"], bytes(64))

    @pytest.mark.parametrize("text", [None, 7, b"0x", "", "00", "0X00", "0x0", "0x0g", "0x 0", "0x00\n", "0x00 00"])
    def test_refuses_what_is_no_hex_data(self, text: object) -> None:
        with pytest.raises(ValueError, match="no hex data"):
            codec.from_hex(text)


@pytest.mark.parametrize(
    "text", ["", "0", "0x1", "0x1 2", "0x 12", "0x12 ", "0x12\n", "0xzz", "12", "0X12", None, b"0x"]
)
def test_hex_data_has_one_spelling_of_whole_bytes(text: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        codec.from_hex(text)


def test_reading_hex_takes_no_more_memory_than_twice_the_text() -> None:
    text = "0x" + "ab" * (1 << 18)
    script = (
        "import resource\n"
        "from panachain.chain import codec\n"
        f"text = '0x' + 'ab' * {1 << 23}\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert len(codec.from_hex(text)) == len(text) // 2 - 1\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    # KiB; the text has 16 MiB.
    assert int(done.stdout) < 40 << 10
    assert codec.from_hex(text) == b"\xab" * (1 << 18)
