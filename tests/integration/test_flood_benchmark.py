"""benchmarks/floods.py runs quickly with `--quick`, and in none of its floods is nobody served.

In a file of its own, since it takes minutes and workers take files.
"""

from __future__ import annotations

import pytest

from tests.integration.bench_runs import bench, check_rows, has_anvil

pytestmark = pytest.mark.timeout(700)
ROWS = ("no attack", "deposits of 512 lanes", "1,000 capsules", "refusals", "bodies that never come", "all of")


@pytest.mark.deep
def test_honest_people_are_served_in_every_flood() -> None:
    printed = bench("floods", "--quick", "--whole", "0", "--places", "shared")
    check_rows(ROWS, printed)
    assert "none of" not in printed


@pytest.mark.deep
def test_they_are_served_too_where_proxies_and_people_have_processors_of_their_own() -> None:
    # Who gets which processor is the same for each attack: the strangers that do everything stand for all.
    printed = bench(
        "floods", "--quick", "--whole", "0", "--places", "apart", "--only", "nobody", "all", "down", "relay"
    )
    check_rows(("no attack", "all of them at three", "all of them at two", "orders without tokens"), printed)
    assert "none of" not in printed


@pytest.mark.deep
def test_whole_grants_are_measured_where_there_is_a_chain() -> None:
    if not has_anvil():
        pytest.skip("there is no anvil on this machine")
    printed = bench("floods", "--quick", "--only", "nobody", "all", "late", "--places", "shared")
    before, _, whole = printed.partition("whole grant, shared")
    assert "no attack" in before
    for row in ("no attack", "all of them at three proxies", "all of them at two proxies, the third answers"):
        assert any(one.startswith(row) and "(worst " in one for one in whole.splitlines()), row
