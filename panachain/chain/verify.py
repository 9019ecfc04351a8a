"""Whether the code at an address is the code that ships with this program.

A contract's immutables are part of its code and known at its creation only; their places, which the compiler tells, are
left out of the comparison. Never asks anything but `eth_getCode`.
Follows docs/security/contracts.md, section "Checking a deployment", and Solidity's `immutableReferences`.
"""

from __future__ import annotations

from collections.abc import Mapping

from panachain.chain.abi import contract
from panachain.chain.codec import from_hex
from panachain.chain.rpc import Rpc
from panachain.errors import IntegrityError


def check_code(rpc: Rpc, name: str, address: str) -> None:
    """Check the code of one contract.

    Raises:
        IntegrityError: there is none at the address, or it is another one.
    """
    try:
        found = from_hex(rpc.call("eth_getCode", [address, "latest"]))
    except (TypeError, ValueError):
        raise IntegrityError(f"the node's answer about the code of {name} at {address} is no code") from None
    if not found:
        raise IntegrityError(f"{name}: there is no code at {address}")
    shipped = contract(name)
    if len(found) != len(shipped.runtime):
        raise IntegrityError(
            f"{name}: the code at {address} has {len(found)} bytes, the shipped one {len(shipped.runtime)}"
        )
    if _masked(found, shipped.immutables) != _masked(shipped.runtime, shipped.immutables):
        raise IntegrityError(f"{name}: the code at {address} isn't the one that ships with this version")


def check_codes(rpc: Rpc, contracts: Mapping[str, str]) -> None:
    """Check the code of several contracts, by name; raises as `check_code`."""
    for name, address in contracts.items():
        check_code(rpc, name, address)


def _masked(code: bytes, places: tuple[tuple[int, int], ...]) -> bytes:
    masked = bytearray(code)
    for start, length in places:
        masked[start : start + length] = bytes(length)
    return bytes(masked)
