"""Mutants of the package: what takes a defence away is noticed by a test (scripts/mutate_python.py)."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from scripts import judge_mutants, mutate_python
from scripts.mutate_python import GOAL, KILLED, SURVIVED, TIMED_OUT, Mutant, Result, mutants_of

pytestmark = pytest.mark.checkout
ROOT = Path(__file__).resolve().parents[2]
SOURCE = b'''"""What it is for."""
if TYPE_CHECKING:
    import x

def check(a: int | None, b: bytes = b"no", *, c: bool = False) -> int:
    """Check it."""
    _LOG.debug("a")
    if a is None or not b:
        raise ValueError(f"{a + 1}")
    while a < 3:
        a += 1
        note(a)
        break
    return a << 2 if c else 0
'''


def changes(source: bytes) -> list[str]:
    return sorted(one.text for one in mutants_of("file.py", source))


class TestMutants:
    def test_each_check_constant_call_and_result_is_changed(self) -> None:
        found = changes(SOURCE)
        for text in ("and", "is not", "(b)", "pass", "False", "True", "<=", "2", "b'noX'", "return None", "continue"):
            assert text in found
        assert "(a) >> (2)" in found

    def test_documents_annotations_messages_and_logs_are_left_alone(self) -> None:
        for one in mutants_of("file.py", SOURCE):
            mutated = SOURCE[: one.start] + one.text.encode() + SOURCE[one.end :]
            for kept in (b"int | None", b"Check it.", b"_LOG.debug", b"a + 1", b"TYPE_CHECKING"):
                assert kept in mutated or (kept == b"a + 1" and one.text == "pass")
            ast.parse(mutated)

    def test_an_id_outlives_changes_elsewhere(self) -> None:
        before = {one.id for one in mutants_of("file.py", SOURCE)}
        assert before == {
            one.id for one in mutants_of("file.py", b"import y\n\n\n" + SOURCE.replace(b'"""What', b'"""\n'))
        }
        assert len(before) == len(list(mutants_of("file.py", SOURCE)))

    def test_a_sample_is_the_same_for_the_same_seed(self) -> None:
        some = [Mutant(str(number), "f", 1, "", 0, 1, "") for number in range(50)]
        first = mutate_python.sampled(some, 10, 7)
        assert first == mutate_python.sampled(some, 10, 7) != mutate_python.sampled(some, 10, 8)
        assert len({one.id for one in first}) == 10


PLACED = b"""A = 1

class Holder:
    field: int = 2

    @decorated(3)
    def method(self, size: int = 4) -> int:
        if (size > 5
                and self.field > 6):
            return 7
        try:
            return inner(8)
        except ValueError:
            return 9

def outer():
    def inner(value):
        return value + 10
    match inner(11):
        case 12:
            return 13
    return inner
"""
"""Each number stands once."""


class TestPlaces:
    """Where a change stands decides which tests judge it, and whether a fork can."""

    def place(self, number: int) -> mutate_python.Place:
        at = PLACED.index(str(number).encode())
        starts = [0]
        for line in PLACED.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        return mutate_python.place_of(ast.parse(PLACED), at, at + len(str(number)), starts)

    @pytest.mark.parametrize(
        ("number", "lines", "owner"),
        [
            (5, (8, 9), ("Holder.method", 6)),
            (6, (8, 9), ("Holder.method", 6)),
            (7, (10, 10), ("Holder.method", 6)),
            (8, (12, 12), ("Holder.method", 6)),
            (9, (14, 14), ("Holder.method", 6)),
            (10, (18, 18), ("outer", 16)),
            (13, (21, 21), ("outer", 16)),
        ],
    )
    def test_a_change_in_a_body_is_its_outermost_functions(
        self, number: int, lines: tuple[int, int], owner: tuple[str, int]
    ) -> None:
        assert self.place(number) == mutate_python.Place(lines, owner)

    @pytest.mark.parametrize("number", [1, 2, 4])
    def test_constants_fields_and_defaults_are_read_at_import(self, number: int) -> None:
        assert self.place(number).owner is None


class TestPlanted:
    """Whether a fork can judge a hand-made mutant: where it changes one function's body."""

    @pytest.mark.parametrize(
        ("find", "put", "owner"),
        [
            (b"            return 7\n", b"            return 70\n", ("Holder.method", 6)),
            (b"return inner(8)", b"pass", ("Holder.method", 6)),
            (b"            return 7\n", b"", ("Holder.method", 6)),
            (b"        if (size", b"        note()\n        if (size", ("Holder.method", 6)),
            (b"return value + 10", b"return value", ("outer", 16)),
            (b"int = 4", b"int = 5", None),
            (b"@decorated(3)", b"@decorated(4)", None),
            (b"A = 1", b"A = 2", None),
            (b"return 7", b"return 7 \n# and something below\n", ("Holder.method", 6)),
        ],
    )
    def test_it_is_of_the_function_in_which_both_files_differ(
        self, find: bytes, put: bytes, owner: tuple[str, int] | None
    ) -> None:
        assert PLACED.count(find) == 1
        assert mutate_python._changed_function(PLACED, PLACED.replace(find, put)) == owner

    def test_changes_in_two_functions_are_of_none(self) -> None:
        changed = PLACED.replace(b"return 7", b"return 70").replace(b"return 13", b"return 130")
        assert mutate_python._changed_function(PLACED, changed) is None

    @pytest.mark.parametrize(
        ("node", "named"),
        [
            ("one.py::test_it", True),
            ("one.py::test_it[1]", True),
            ("one.py::test_it_too", False),
            ("other.py::test_it", False),
        ],
    )
    def test_a_test_is_named_with_all_its_values_and_no_other_is(self, node: str, named: bool) -> None:
        assert mutate_python._is_of(node, "one.py::test_it") is named
        assert mutate_python._is_of(node, node.partition("::")[0])


class TestScore:
    @pytest.mark.parametrize(
        ("killed", "judged", "low", "high"), [(90, 100, 0.826, 0.945), (20, 20, 0.839, 1.0), (0, 0, 0.0, 1.0)]
    )
    def test_has_an_interval_that_holds_for_few_mutants_too(
        self, killed: int, judged: int, low: float, high: float
    ) -> None:
        assert mutate_python.interval(killed, judged) == pytest.approx((low, high), abs=0.001)

    def test_is_a_row_for_each_file_each_folder_and_the_whole(self) -> None:
        files = {
            "panachain/crypto/box.py": Counter({KILLED: 8, SURVIVED: 1, "explained": 1}),
            "panachain/crypto/kdf.py": Counter({"timed out": 10}),
        }
        lines = list(mutate_python.table(files, whole=False))
        assert lines[2].startswith("| panachain/crypto/box.py | 10 | 8 | 1 | 88.9% | ")
        assert lines[4].startswith("| **panachain/crypto/** | 20 | 18 | 1 | 94.7% | ")
        assert lines[5].startswith("| **all** | 20 | 18 | 1 | 94.7% | ")
        assert list(mutate_python.table(files, whole=True))[5].endswith("| all of them |")

    @pytest.mark.parametrize(("killed", "low"), [(90, False), (89, True)])
    def test_of_all_is_the_goal(self, killed: int, low: bool) -> None:
        assert mutate_python.too_low(killed, 100, whole=True) is low

    @pytest.mark.parametrize(("killed", "low"), [(84, False), (83, True)])
    def test_of_a_sample_leaves_room_for_chance(self, killed: int, low: bool) -> None:
        assert mutate_python.too_low(killed, 100, whole=False) is low

    def test_explained_survivors_do_not_count(self, capsys: pytest.CaptureFixture[str]) -> None:
        results = [Result(f"panachain/ethereum.py:f:if:{number}", "", KILLED) for number in range(9)]
        results.append(Result("panachain/ethereum.py:f:if:9", "", SURVIVED))
        results.append(Result("panachain/ethereum.py:g:if:1", "", SURVIVED))
        assert not mutate_python.report(results, {}, whole=True, as_json=False)
        assert mutate_python.report(results, {"panachain/ethereum.py:g:if:1": "equivalent"}, whole=True, as_json=False)
        assert "| 11 | 9 | 1 | 90.0% |" in capsys.readouterr().out
        assert GOAL == 0.9


class TestListed:
    def test_each_hand_made_one_fits_the_code_once(self) -> None:
        planted, _ = mutate_python.listed()
        assert len(planted) >= 8
        for one in planted:
            for file, content in mutate_python.plant(one):
                ast.parse(content)
                assert content != (ROOT / file).read_bytes()

    def test_each_explained_survivor_is_a_mutant(self) -> None:
        _, reasons = mutate_python.listed()
        assert reasons.keys() <= {one.id for one in mutate_python.generate()}
        assert all(reasons.values())


DECISIVE = (
    *(f"panachain/consent/{name}.py" for name in ("rules", "terms", "life", "times", "receipts", "proxy_sets")),
    *(f"panachain/crypto/{name}.py" for name in ("keys", "labels", "padding", "tokens")),
    *(f"panachain/chain/{name}.py" for name in ("headers", "receipts")),
)
"""Files of which the long run judges some mutants each day."""


def judge(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts/mutate_python.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3500, check=False)


@pytest.mark.deep
@pytest.mark.timeout(1600)
class TestRuns:
    def test_every_hand_made_mutant_is_killed(self) -> None:
        done = judge("--planted")
        assert done.returncode == 0, done.stderr
        # One whose tests don't end is noticed as well.
        dead = done.stderr.count(f"{KILLED}: ") + done.stderr.count(f"{TIMED_OUT}: ")
        assert dead == len(mutate_python.listed()[0])

    def test_a_mutant_that_no_test_notices_survives(self, tmp_path: Path) -> None:
        workspace = mutate_python.Workspace(tmp_path / "copy")
        whole = (ROOT / "panachain/crypto/kdf.py").read_bytes()
        tests = [["tests/unit/crypto/test_kdf.py"]]
        assert workspace.judge([("panachain/crypto/kdf.py", whole + b"\nUNUSED = 1\n")], tests) == SURVIVED
        assert workspace.judge([("panachain/crypto/kdf.py", b"raise RuntimeError\n")], tests) == KILLED

    def test_a_hand_made_one_that_its_test_does_not_notice_survives(self, tmp_path: Path) -> None:
        file, tests = "panachain/crypto/kdf.py", ("tests/unit/crypto/test_kdf.py",)
        source = (ROOT / file).read_text("utf-8")
        last = source.rstrip().rpartition("\n")[2]
        assert last.startswith("    return ")
        assert source.count(last) == 1
        planted = [
            mutate_python.Planted("nothing", ((file, last, f"    pass\n{last}"),), tests),
            mutate_python.Planted("at import", ((file, last, f"{last}\nUNUSED = 1"),), tests),
            mutate_python.Planted("noticed", ((file, last, "    return None"),), tests),
            mutate_python.Planted("endless", ((file, last, "    while True: pass"),), tests),
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(judge_mutants, "PATIENCE", 2.0)
            patch.setattr(mutate_python, "USUAL", 0.1)
            results = mutate_python.try_planted(mutate_python.Workspace(tmp_path / "copy"), planted)
        assert [one.verdict for one in results] == [SURVIVED, SURVIVED, KILLED, TIMED_OUT]

    def test_one_whose_test_does_not_end_is_killed_by_the_processors_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(judge_mutants, "PATIENCE", 2.0)
        file = "panachain/crypto/kdf.py"
        bench = mutate_python.Bench(mutate_python.Workspace(tmp_path / "copy"), [file], near=True)
        (one,) = [one for one in mutate_python.generate() if one.file == file and one.text == "return None"][-1:]
        endless = "return next(0 for _ in iter(int, 1) if _)"
        try:
            assert bench.judge(replace(one, text=endless)) == (KILLED, "its tests don't end")
        finally:
            bench.close()

    def test_a_fork_is_judged_by_the_tests_that_reach_its_line(self, tmp_path: Path) -> None:
        file = "panachain/crypto/kdf.py"
        workspace = mutate_python.Workspace(tmp_path / "copy")
        mutants = [one for one in mutate_python.generate() if one.file == file]
        bench = mutate_python.Bench(workspace, [file], near=True)
        try:
            (last,) = [one for one in mutants if one.text == "return None"][-1:]
            verdict, why = bench.judge(last)
            assert (verdict, why.partition("::")[0]) == (KILLED, "tests/unit/crypto/test_kdf.py")
            # The file on disk is as it was, and so is the session: what changes nothing survives in it.
            same = (ROOT / file).read_bytes()[last.start : last.end].decode()
            verdict, why = bench.judge(Mutant(last.id, file, last.line, last.source, last.start, last.end, same))
            assert verdict == SURVIVED
            assert int(why.split()[0]) > 0
        finally:
            bench.close()

    def test_of_a_sample_of_the_day_enough_are_killed(self) -> None:
        # Another one each day, of the small files that decide who reads what, each by its own tests.
        day = int(time.time()) // 86_400
        only = [part for file in DECISIVE for part in ("--only", file)]
        # `pytest -m nightly` judges hundreds.
        done = judge("--near", *only, "--sample", "15", "--seed", str(day), "--minutes", "1", "--folder", "deep")
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.nightly
@pytest.mark.timeout(3600)
class TestScores:
    def test_of_a_sample_of_the_day_of_everything_enough_are_killed(self) -> None:
        # Over the weeks all of them. All at once is `python scripts/mutate_python.py`.
        day = int(time.time()) // 86_400
        done = judge("--sample", "300", "--seed", str(day), "--minutes", "20")
        assert done.returncode == 0, done.stdout + done.stderr

    def test_of_what_the_last_commit_changed_enough_are_killed(self) -> None:
        known = subprocess.run(
            ["git", "rev-parse", "--verify", "-q", "HEAD~1"], cwd=ROOT, capture_output=True, check=False
        )
        if known.returncode:
            # A checkout without its history: the sample of the day stands for it.
            return
        done = judge("--changed", "HEAD~1", "--sample", "100", "--minutes", "10")
        assert done.returncode == 0, done.stdout + done.stderr
