"""Random values for the types of our ABIs, and the entries of every ABI; shared by the tests of encoders."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from panachain.ethereum import checksum_address


def artifacts() -> dict[str, list[dict[str, Any]]]:
    """Return the ABI of each contract by its name."""
    folder = resources.files("panachain.chain").joinpath("artifacts")
    return {path.name.removesuffix(".json"): json.loads(path.read_text())["abi"] for path in folder.iterdir()}


def type_of(item: Mapping[str, Any]) -> str:
    """Return a parameter's canonical type; a struct is a tuple."""
    kind: str = item["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(type_of(part) for part in item['components'])}){kind[5:]}"


def value(item: Mapping[str, Any], draw: random.Random) -> Any:
    """Return a value of a parameter's type, often at a bound."""
    kind: str = item["type"]
    if kind.endswith("[]"):
        return tuple(value({**item, "type": kind[:-2]}, draw) for _ in range(draw.choice((0, 1, 2, 5))))
    if kind == "tuple":
        return tuple(value(part, draw) for part in item["components"])
    if kind == "address":
        return checksum_address(draw.randbytes(20)).lower()
    if kind == "bool":
        return draw.random() < 0.5
    if kind == "string":
        return "".join(draw.choice("aß漢𝔸\0 ") for _ in range(draw.choice((0, 1, 11, 40))))
    if kind == "bytes":
        return draw.randbytes(draw.choice((0, 1, 31, 32, 33, 100)))
    if kind.startswith("bytes"):
        return draw.randbytes(int(kind[5:]))
    assert kind.startswith("uint"), kind
    top = (1 << int(kind[4:])) - 1
    return draw.choice((0, 1, top, draw.randint(0, top)))


def values(items: Sequence[Mapping[str, Any]], draw: random.Random) -> tuple[Any, ...]:
    """Return a value for each parameter."""
    return tuple(value(item, draw) for item in items)
