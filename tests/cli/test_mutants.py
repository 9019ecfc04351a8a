"""Mutants of the package: what takes a defence away is noticed by a test (scripts/mutate_python.py)."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts import mutate_python
from scripts.mutate_python import GOAL, KILLED, SURVIVED, Mutant, Result, mutants_of

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


class TestScore:
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
        assert "9 of 10 killed, 1 explained" in capsys.readouterr().out
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


def judge(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts/mutate_python.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False)


@pytest.mark.deep
@pytest.mark.timeout(1600)
class TestRuns:
    def test_every_hand_made_mutant_is_killed(self) -> None:
        done = judge("--planted")
        assert done.returncode == 0, done.stderr
        assert done.stderr.count(f"{KILLED}: ") == len(mutate_python.listed()[0])

    def test_a_mutant_that_no_test_notices_survives(self, tmp_path: Path) -> None:
        workspace = mutate_python.Workspace(tmp_path / "copy")
        whole = (ROOT / "panachain/crypto/kdf.py").read_bytes()
        tests = [["tests/unit/crypto/test_kdf.py"]]
        assert workspace.judge([("panachain/crypto/kdf.py", whole + b"\nUNUSED = 1\n")], tests) == SURVIVED
        assert workspace.judge([("panachain/crypto/kdf.py", b"raise RuntimeError\n")], tests) == KILLED


@pytest.mark.nightly
@pytest.mark.timeout(1600)
class TestScores:
    def test_of_a_sample_of_the_day_enough_are_killed(self) -> None:
        # Another one each day: over the weeks all of them. All at once is `python scripts/mutate_python.py`.
        day = int(time.time()) // 86_400
        done = judge("--sample", "80", "--seed", str(day), "--minutes", "2")
        assert done.returncode == 0, done.stdout + done.stderr

    def test_of_what_the_last_commit_changed_enough_are_killed(self) -> None:
        known = subprocess.run(
            ["git", "rev-parse", "--verify", "-q", "HEAD~1"], cwd=ROOT, capture_output=True, check=False
        )
        if known.returncode:
            # A checkout without its history: the sample of the day stands for it.
            return
        done = judge("--changed", "HEAD~1", "--sample", "40", "--minutes", "2")
        assert done.returncode == 0, done.stdout + done.stderr
