"""The commands `block`, `unblock` and `blocked`, and what lists say of what they leave out."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from panachain.sdk.results.listings import LeftOut, Listing
from panachain.sdk.results.requests import RequestView
from tests.cli.twin import Outcome, Twin

WHO = "0x52908400098527886E0F7030069857D2E4169EE7"
Run = Callable[..., Outcome]


def requests(count: int) -> Listing[RequestView]:
    one = RequestView(1, "open", WHO, WHO, ("laboratory",), "TREAT", "", 20, until=30)  # type: ignore[arg-type]
    return Listing([one], [LeftOut("request", str(number), "open; nobody has it", WHO) for number in range(count)])


@pytest.fixture
def asked(twin: Twin) -> list[str]:
    """What the block list was asked to do."""
    calls: list[str] = []
    twin.blocked = SimpleNamespace(  # type: ignore[attr-defined]
        add=lambda who: (calls.append(f"add {who}"), WHO)[1],
        remove=lambda who: (calls.append(f"remove {who}"), WHO)[1],
        accounts=lambda: frozenset({WHO}),
    )
    return calls


def test_one_blocks_unblocks_and_lists(run: Run, asked: list[str]) -> None:
    said = [json.loads(run(*words, "--json").out) for words in (("block", "junk"), ("blocked",), ("unblock", "junk"))]
    assert asked == ["add junk", "remove junk"]
    assert [(one["schema"], one["account"], one["blocked"]) for one in said] == [
        ("panachain/blocked/1", WHO, True),
        ("panachain/blocked/1", WHO, True),
        ("panachain/blocked/1", WHO, False),
    ]
    assert WHO in run("block", "junk").out


@pytest.mark.parametrize("count", [1, 300])
def test_a_list_delivers_the_rest_names_what_it_lacks_and_ends_well(run: Run, twin: Twin, count: int) -> None:
    """A stranger must not choose the exit code of somebody's command."""
    twin.answers["requests"] = requests(count)
    twin.role = None  # type: ignore[attr-defined]
    outcome = run("requests")
    assert outcome.code == 0
    assert "laboratory" in outcome.out
    assert "request 0 of" in outcome.err
    assert outcome.err.count("is left out") == min(count, 10)
    assert ("290 more are left out" in outcome.err) == (count == 300)
    assert run("requests", "--long").err.count("is left out") == count


def test_with_json_each_thing_that_is_left_out_is_a_line(run: Run, twin: Twin) -> None:
    twin.answers["requests"] = requests(2)
    twin.role = None  # type: ignore[attr-defined]
    rows = [json.loads(line) for line in run("requests", "--json").out.splitlines()]
    assert [row["schema"] for row in rows] == ["panachain/request/1", *["panachain/left-out/1"] * 2]
    assert (rows[1]["kind"], rows[1]["item"], rows[1]["sender"]) == ("request", "0", WHO)
