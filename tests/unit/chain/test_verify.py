"""A contract's code is compared byte by byte with what ships, but for its immutables."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.chain.abi import contract
from panachain.chain.verify import check_code, check_codes
from panachain.errors import IntegrityError
from tests.unit.chain.memory_chain import NAMES

WHERE = "0x" + "c0" * 20


class Node:
    """Holds one contract."""

    def __init__(self, code: Any) -> None:
        self.code = code

    def call(self, method: str, params: Any) -> Any:
        assert (method, params) == ("eth_getCode", [WHERE, "latest"])
        return self.code if isinstance(self.code, str | None) else "0x" + self.code.hex()


def on_chain(name: str) -> bytearray:
    """Return the code with its immutables filled in."""
    code = bytearray(contract(name).runtime)
    for start, length in contract(name).immutables:
        code[start : start + length] = b"\xab" * length
    return code


@pytest.mark.parametrize("name", [*NAMES, "RecordLedger", "AccessLog"])
def test_the_shipped_code_is_taken_whatever_its_immutables(name: str) -> None:
    node: Any = Node(on_chain(name))
    check_codes(node, {name: WHERE})
    # The places are the compiler's: zeros in what ships.
    assert not any(any(contract(name).runtime[at : at + size]) for at, size in contract(name).immutables)


@given(st.data())
def test_any_other_byte_is_another_contract(data: st.DataObject) -> None:
    code = on_chain("ActorRegistry")
    inside = {at for start, size in contract("ActorRegistry").immutables for at in range(start, start + size)}
    at = data.draw(st.integers(0, len(code) - 1).filter(lambda place: place not in inside))
    code[at] ^= data.draw(st.integers(1, 255))
    node: Any = Node(code)
    with pytest.raises(IntegrityError, match="isn't the one that ships with this version"):
        check_code(node, "ActorRegistry", WHERE)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("0x", "there is no code at"),
        (None, "is no code"),
        ("0xzz", "is no code"),
        (bytes(on_chain("PolicyRegistry")) + b"\0", "bytes, the shipped one"),
        (b"\xef\x01\x00" + b"\x11" * 20, "has 23 bytes"),
    ],
)
def test_what_is_no_such_code_is_told(code: Any, words: str) -> None:
    node: Any = Node(code)
    with pytest.raises(IntegrityError, match=words):
        check_code(node, "PolicyRegistry", WHERE)
