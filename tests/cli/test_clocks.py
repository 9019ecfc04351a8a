"""The check that no test asserts how long something took."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.check_clocks import asserted_times, main

pytestmark = pytest.mark.checkout
HEAD = "import time\nfrom time import perf_counter as clock\ndef test(done):\n"


@pytest.mark.parametrize(
    "body",
    [
        "    start = time.monotonic()\n    work()\n    assert time.monotonic() - start < 3\n",
        "    start = clock()\n    took = clock() - start\n    assert done and took < 3\n",
        "    took = []\n    for _ in range(3):\n        took.append(clock())\n    assert max(took) < 3\n",
        "    took = []\n    took.append(clock())\n    assert all(at < 3 for at in took)\n",
        "    longest = 0\n    longest = max(longest, time.process_time_ns())\n    assert longest < 3\n",
        "    assert abs(done - int(time.time())) < 3\n",
        "    def took():\n        start = clock()\n        return clock() - start\n    assert took() < 3\n",
    ],
)
def test_finds_an_assertion_on_time(body: str) -> None:
    source = HEAD + body
    assert list(asserted_times(source)) == [source.count("\n")]


@pytest.mark.parametrize(
    "body",
    [
        "    until = time.monotonic() + 30\n    while time.monotonic() < until:\n        pass\n    assert done\n",
        "    start = clock()\n    work()\n    print(clock() - start)\n    assert done\n",
        "    found = collect(now=time.time() + 10)\n    assert found == 3\n",
        "    done.now = time.time()\n    assert done.other == 3\n",
        "    minutes = time.time() // 60\n    assert done <= minutes  # clock: more time allows more\n",
        "    time.sleep(0.1)\n    assert done.time == 3\n",
    ],
)
def test_bounds_and_figures_are_allowed(body: str) -> None:
    assert list(asserted_times(HEAD + body)) == []


def test_names_the_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "test_it.py").write_text(HEAD + "    assert clock() < 3\n")
    assert main(str(tmp_path)) == 1
    assert f"{tmp_path / 'test_it.py'}:4: " in capsys.readouterr().out
