#!/usr/bin/env python3
"""Mutation testing of the package: change one thing at a time and see whether a test notices.

    python scripts/mutate_python.py                          every mutant: hours
    python scripts/mutate_python.py --only panachain/proxy/  those whose ID starts so; repeatable
    python scripts/mutate_python.py --sample 60 --seed 7     some of them, of each file in proportion
    python scripts/mutate_python.py --changed HEAD~1         those of files that differ from a commit
    python scripts/mutate_python.py --planted                the hand-made ones, each with the test that must fail
    python scripts/mutate_python.py --list                   says what would be tried, and tries nothing

Covers what decides who reads what: `FOLDERS`. Never changes the package: mutants live in .cache/mutants-python. Each is
judged by those tests of its file and of `MORE` that reach its line (scripts/judge_mutants.py), the quickest first and
`BUDGET` seconds of them. Survivors that may survive stand in tests/mutants.toml, each with the reason, as the hand-made
ones do. Fails when a hand-made mutant survives, when an entry fits no mutant, or when fewer than 90 % are killed (of a
sample: so few that chance doesn't explain it).
"""

from __future__ import annotations

import argparse
import ast
import fcntl
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from scripts.judge_mutants import (
    ARGUMENTS,
    FAILED,
    IMPOSSIBLE,
    PASSED,
    FewExamples,
    Judge,
    Place,
    Reach,
    Reached,
    enter,
    place_of,
)

ROOT: Final = Path(__file__).resolve().parent.parent
WORK: Final = ROOT / ".cache" / "mutants-python"
LISTED: Final = ROOT / "tests" / "mutants.toml"
FOLDERS: Final = (
    "panachain/consent",
    "panachain/crypto",
    "panachain/records/lane_walk.py",
    "panachain/records/locate.py",
    "panachain/records/manifest.py",
    "panachain/records/manifest_proof.py",
    "panachain/records/merging.py",
    "panachain/records/tree_hash.py",
    "panachain/proxy",
    "panachain/sdk/key_blocks.py",
    "panachain/sdk/kept_headers.py",
    "panachain/sdk/proven_keys.py",
    "panachain/sdk/reader.py",
    "panachain/model/emergencies.py",
    "panachain/model/key_block.py",
    "panachain/chain",
)
NEAR: Final[dict[str, tuple[str, ...]]] = {
    "panachain/consent/fhir_elements.py": ("tests/unit/consent/test_fhir_consent.py",),
    "panachain/consent/fhir_provisions.py": ("tests/unit/consent/test_fhir_consent.py",),
    "panachain/consent/fhir_vocabulary.py": (
        "tests/unit/consent/test_fhir_consent.py",
        "tests/unit/consent/test_fhir_export.py",
    ),
    "panachain/records/locate.py": (
        "tests/unit/records/test_publish.py",
        "tests/hostile/test_numbers.py",
        "tests/hostile/test_forgeries.py",
        "tests/hostile/test_hospitals.py",
    ),
}
"""Test files of those whose claims stand elsewhere than in a file of their name."""
MORE: Final[dict[str, tuple[str, ...]]] = {
    "panachain/consent": (
        "tests/unit/consent",
        "tests/unit/service/proxy/test_service.py",
        "tests/unit/sdk/test_reader.py",
    ),
    "panachain/crypto": (
        "tests/unit/crypto",
        "tests/unit/records/test_content.py",
        "tests/unit/records/test_pairing.py",
        "tests/unit/records/test_publish.py",
        "tests/unit/records/test_rewrap.py",
        "tests/unit/consent/test_terms.py",
    ),
    "panachain/records/locate.py": ("tests/unit/records/test_rewrap.py", "tests/unit/sdk/test_reader.py"),
    "panachain/records/lane_walk.py": ("tests/unit/records/test_merging.py", "tests/unit/sdk/test_own_history.py"),
    "panachain/records/manifest.py": (
        "tests/unit/records/test_manifest_proof.py",
        "tests/unit/records/test_merging.py",
        "tests/unit/records/test_publish.py",
    ),
    "panachain/records/manifest_proof.py": ("tests/unit/records/test_manifest.py",),
    "panachain/records/merging.py": ("tests/unit/sdk/test_kept_headers.py", "tests/unit/sdk/test_own_history.py"),
    "panachain/records/tree_hash.py": (
        "tests/unit/records/test_manifest.py",
        "tests/unit/records/test_manifest_proof.py",
    ),
    "panachain/sdk/key_blocks.py": ("tests/twin/test_key_blocks.py", "tests/unit/sdk/test_resolve.py"),
    "panachain/sdk/kept_headers.py": ("tests/unit/sdk/test_own_history.py",),
    "panachain/sdk/proven_keys.py": ("tests/unit/sdk/test_pairings.py", "tests/unit/sdk/test_network.py"),
    "panachain/model/emergencies.py": ("tests/twin/test_emergency.py",),
    "panachain/model/key_block.py": ("tests/unit/model/test_actors.py", "tests/unit/sdk/test_key_blocks.py"),
    "panachain/proxy": ("tests/unit/proxy", "tests/unit/sdk/test_proxies.py", "tests/unit/sdk/test_reader.py"),
    "panachain/sdk/reader.py": (
        "tests/unit/sdk/test_reader.py",
        "tests/twin/test_refusal.py",
        "tests/twin/test_groups.py",
    ),
    "panachain/chain": (
        "tests/unit/chain",
        "tests/unit/sdk/test_network.py",
        "tests/unit/sdk/test_forwarding.py",
        "tests/unit/sdk/test_named_blocks.py",
        "tests/unit/follow/test_follower.py",
        "tests/unit/service/relay/test_calls.py",
    ),
}
"""Tests that also reach the files of a folder; those that aren't there are left out."""
COPIED: Final = (
    ".ci",
    "contracts",
    "docs",
    "panachain",
    "pyproject.toml",
    "scripts",
    "tests",
    "README.md",
    "requirements",
)
GOAL: Final = 0.9
"""Killed ones among those that aren't explained."""
BUDGET: Final = 20.0
"""Seconds of tests, as long as they took when their reach was measured, that judge one mutant."""
TIMEOUT: Final = 240
"""Seconds of processor time for a session of one mutant. A mutant that takes more counts as killed: its tests don't
end. On the clock it may take ten times as long, since the machine may be busy."""
USUAL: Final = 1.0
"""Seconds that a test of a hand-made mutant takes, as nothing measures it: `PATIENCE` is added to ten times as much."""
KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
PRELOADED: Final = ("pytest", "hypothesis", "cryptography.hazmat.primitives.ciphers.aead", "coincurve", "nucypher_core")
"""Packages of others that the judge imports once."""


@dataclass(frozen=True)
class Mutant:
    """A file with one change."""

    id: str
    """File, enclosing definition, operator, and its number among those: it outlives changes elsewhere in the file."""
    file: str
    line: int
    source: str
    """The line as it is, without the space around it."""
    start: int
    """First byte that is replaced."""
    end: int
    text: str


@dataclass(frozen=True)
class Planted:
    """A hand-made mutant, and the test that must fail."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    """(file, text that is there once, text in its place)."""
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What became of a mutant."""

    id: str
    change: str
    verdict: str


# --- Mutants ----------------------------------------------------------------------------------------------------------

_COMPARED: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}
_COMBINED: Final[dict[type[ast.operator], str]] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "//",
    ast.FloorDiv: "*",
    ast.Mod: "*",
    ast.LShift: ">>",
    ast.RShift: "<<",
    ast.BitAnd: "|",
    ast.BitOr: "&",
    ast.BitXor: "|",
}


class _Finder(ast.NodeVisitor):
    """Gathers (operator, node that is replaced, text) of one file."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        starts = [0]
        for line in source.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        self._starts = starts
        self._scope: list[str] = []
        self.found: list[tuple[str, str, int, int, str]] = []
        """Scope, operator, first byte, end, text."""

    def _span(self, node: Any) -> tuple[int, int]:
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def _text(self, node: Any) -> str:
        start, end = self._span(node)
        return self._source[start:end].decode()

    def _add(self, operator: str, node: Any, text: str) -> None:
        start, end = self._span(node)
        self._put(operator, start, end, text)

    def _put(self, operator: str, start: int, end: int, text: str) -> None:
        self.found.append((".".join(self._scope) or "module", operator, start, end, text))

    def _define(self, node: Any) -> None:
        self._scope.append(node.name)
        # Neither annotations nor decorators: mypy and the tests of signatures hold them.
        for default in [
            *getattr(getattr(node, "args", None), "kw_defaults", ()),
            *getattr(getattr(node, "args", None), "defaults", ()),
        ]:
            if default is not None:
                self.visit(default)
        for statement in node.body:
            self.visit(statement)
        self._scope.pop()

    # The names are those of ast.NodeVisitor.
    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _define  # noqa: N815

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        # A docstring does nothing, and nothing depends on what is logged.
        if isinstance(node.value, ast.Constant) or "_log" in ast.unparse(node.value).lower()[:8]:
            return
        if isinstance(node.value, ast.Call):
            self._add("call", node, "pass")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        # Its message is for people; what counts is that it is raised.
        self._add("raise", node, "pass")

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self._add("return", node, "return None")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        self._add("if", node.test, "False")
        self._add("if", node.test, "True")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._add("choice", node.test, f"not ({self._text(node.test)})")
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self._add("while", node.test, "False")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        left: ast.expr = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            # The operator stands between the two, perhaps with brackets beside it.
            start, end = self._span(left)[1], self._span(right)[0]
            between = self._source[start:end].decode()
            written = _written(operator)
            if written in between:
                at = start + len(between[: between.index(written)].encode())
                self._put("compare", at, at + len(written), _COMPARED[type(operator)])
            left = right
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        written, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            start, end = self._span(left)[1], self._span(right)[0]
            between = self._source[start:end].decode()
            at = start + len(between[: between.index(written)].encode())
            self._put("bool", at, at + len(written), other)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._add("not", node, f"({self._text(node.operand)})")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        # Text is put together for people.
        other = _COMBINED.get(type(node.op))
        if other and not any(isinstance(side, ast.JoinedStr) for side in (node.left, node.right)):
            left, right = self._text(node.left), self._text(node.right)
            self._add("combine", node, f"({left}) {other} ({right})")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._add("constant", node, str(not value))
        elif isinstance(value, int):
            self._add("constant", node, str(value + 1))
        elif isinstance(value, bytes) and value:
            self._add("constant", node, repr(value + b"X"))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        return

    def visit_Break(self, node: ast.Break) -> None:
        self._add("loop", node, "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._add("loop", node, "break")


def _written(operator: ast.cmpop) -> str:
    names = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
    more = {ast.In: "in", ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not"}
    return {**names, **more}[type(operator)]


def mutants_of(file: str, source: bytes) -> Iterator[Mutant]:
    """Yield the mutants of one file, each different one once."""
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    lines = source.decode().splitlines()
    numbers: Counter[tuple[str, str]] = Counter()
    seen: set[tuple[int, int, str]] = set()
    for scope, operator, start, end, text in sorted(finder.found, key=lambda one: (one[2], one[3], one[4])):
        if (start, end, text) in seen or source[start:end] == text.encode():
            continue
        seen.add((start, end, text))
        numbers[scope, operator] += 1
        line = source.count(b"\n", 0, start) + 1
        name = f"{file}:{scope}:{operator}:{numbers[scope, operator]}"
        yield Mutant(name, file, line, lines[line - 1].strip(), start, end, text)


def generate() -> list[Mutant]:
    """Return all mutants by file and place."""
    files = sorted(
        path
        for folder in FOLDERS
        for path in ([ROOT / folder] if folder.endswith(".py") else (ROOT / folder).rglob("*.py"))
    )
    return [mutant for path in files for mutant in mutants_of(str(path.relative_to(ROOT)), path.read_bytes())]


def sampled(mutants: Sequence[Mutant], size: int, seed: int) -> list[Mutant]:
    """Return some of the mutants, of each file in proportion; the same ones for the same seed."""
    chance = random.Random(seed)  # noqa: S311
    chosen = chance.sample(range(len(mutants)), min(size, len(mutants)))
    # In the order of chance: where the time is over, no file is left out.
    return [mutants[number] for number in chosen]


def changed(since: str) -> set[str]:
    """Return the files that differ from a commit.

    Raises:
        SystemExit: git knows no such commit.
    """
    done = subprocess.run(["git", "diff", "--name-only", since], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git can't compare with {since}: {done.stderr.strip()}")
    return set(done.stdout.split())


def listed() -> tuple[list[Planted], dict[str, str]]:
    """Return the hand-made mutants, and the reason of each survivor that may survive, by ID."""
    body = tomllib.loads(LISTED.read_text("utf-8"))
    planted = [
        Planted(
            one["name"],
            tuple((edit["file"], edit["find"], edit["put"]) for edit in one["edit"]),
            tuple(one["tests"]),
        )
        for one in body["planted"]
    ]
    return planted, {one["id"]: one["reason"] for one in body.get("survivor", [])}


# --- Judging ----------------------------------------------------------------------------------------------------------


class Workspace:
    """A copy of the checkout, in which one mutant at a time is tried."""

    def __init__(self, folder: Path) -> None:
        """Copy what tests read."""
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
            elif source.exists():
                shutil.copy(source, folder / name)
        self._sound: dict[tuple[str, ...], bool] = {}
        for name in ("tools", ".venv"):
            if (ROOT / name).exists():
                (folder / name).symlink_to(ROOT / name)

    def judge(self, edits: Sequence[tuple[str, bytes]], tests: Sequence[Sequence[str]]) -> str:
        """Return what tests say of files with other contents: each list of tests is tried until one fails.

        Raises:
            SystemExit: tests fail on the unchanged package, so that they would seem to kill everything.
        """
        before = {file: (self.folder / file).read_bytes() for file, _ in edits}
        try:
            for file, content in edits:
                (self.folder / file).write_bytes(content)
            for some in tests:
                there = [one for one in some if (self.folder / one.partition("::")[0]).exists()]
                self._check_sound(there, before)
                verdict = self._run(there) if there else SURVIVED
                if verdict != SURVIVED:
                    return verdict
            return SURVIVED
        finally:
            for file, content in before.items():
                (self.folder / file).write_bytes(content)

    def _check_sound(self, tests: Sequence[str], before: dict[str, bytes]) -> None:
        """Check that tests pass on the unchanged package: what fails anyway would seem to kill everything.

        Raises:
            SystemExit: they don't.
        """
        if tests and tuple(tests) not in self._sound:
            mutated = {file: (self.folder / file).read_bytes() for file in before}
            for file, content in before.items():
                (self.folder / file).write_bytes(content)
            if self._run(tests) != SURVIVED:
                said = (self.folder / "said").read_text("utf-8", "replace")
                raise SystemExit(f"the tests fail without any mutant: {' '.join(tests)}\n{said[-2000:]}")
            self._sound[tuple(tests)] = True
            for file, content in mutated.items():
                (self.folder / file).write_bytes(content)

    def _run(self, tests: Sequence[str]) -> str:
        """Run tests in a child that has the packages of others already."""
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if not child:
            os.setsid()
            self._become_pytest(tests)
        deadline = time.monotonic() + 10 * TIMEOUT
        while time.monotonic() < deadline:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                if code == -signal.SIGPROF:
                    return TIMED_OUT
                # 5: everything was deselected. Whatever else isn't 0 is a failure, a crash included.
                return SURVIVED if code in (0, 5) else KILLED
            time.sleep(0.05)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return TIMED_OUT

    def _become_pytest(self, tests: Sequence[str]) -> None:
        try:
            enter(self.folder)
            signal.setitimer(signal.ITIMER_PROF, TIMEOUT)
            import pytest

            os._exit(int(pytest.main([*ARGUMENTS, f"--rootdir={self.folder}", *tests], plugins=[FewExamples()])))
        except BaseException:  # noqa: BLE001
            os._exit(70)


def tests_of(file: str) -> list[list[str]]:
    """Return the tests that judge a file: its own first, then all that reach it."""
    path = Path(file)
    own = Path("tests/unit", *path.parts[1:-1])
    found = sorted(str(one.relative_to(ROOT)) for one in (ROOT / own).glob(f"test_{path.stem}*.py"))
    near = list(NEAR.get(file, found))
    folder = next(one for one in MORE if file.startswith(one))
    rest = [one for one in MORE[folder] if one not in near]
    return [near, rest]


class Bench:
    """Judges mutants with one session for all of them, and with one of its own where a mutant is read at import."""

    def __init__(self, workspace: Workspace, files: Sequence[str], *, near: bool) -> None:
        """Collect the tests of some files and measure what they reach.

        Args:
            workspace: copy of the checkout.
            files: whose mutants will be judged.
            near: judge by a file's own tests only.
        """
        self._workspace = workspace
        self._near = near
        tests = [one for file in files for some in (tests_of(file)[:1] if near else tests_of(file)) for one in some]
        there = sorted({one for one in tests if (workspace.folder / one).exists()})
        covered = sorted({mutant.file for mutant in generate()})
        self._judge = Judge(workspace.folder, _without_inner(there), covered)
        self._reach = Reach(self._judge, workspace.folder, WORK / f"{workspace.folder.name}.json", covered)
        self._sound: dict[str, bool] = {}
        self._killers: dict[str, Counter[str]] = defaultdict(Counter)

    def close(self) -> None:
        """End the session."""
        self._judge.close()

    def judge(self, mutant: Mutant) -> tuple[str, str]:
        """Return what became of a mutant, and why: a test, or how many reach it without failing."""
        # Of the copy: the checkout may change meanwhile.
        root = self._workspace.folder
        at, source = place(mutant, root), apply(mutant, root)
        tried = 0
        for tests in tests_of(mutant.file)[: 1 if self._near else 2]:
            if at.owner is None:
                break
            reached = self._reach.of(tests)
            while chosen := self._chosen(mutant.file, at, reached):
                usual = {node: reached[node].seconds for node in chosen}
                verdict, killer = self._judge.judge(mutant.file, source, at.owner, usual)
                if verdict == TIMED_OUT and self._judge.judge("", None, None, usual)[0] != PASSED:
                    # The machine is busy, or a test is.
                    verdict, killer = self._judge.judge(mutant.file, source, at.owner, usual, times=10)
                if verdict in (PASSED, IMPOSSIBLE):
                    tried += len(chosen)
                    break
                if killer is None:
                    return (KILLED if verdict == FAILED else TIMED_OUT), "its tests don't end"
                if self._is_sound(killer, reached[killer].seconds):
                    self._killers[mutant.file][killer] += 1
                    return KILLED, killer
            if chosen and verdict == IMPOSSIBLE:
                break
        else:
            if not _overlaps(at, self._judge.imported.get(mutant.file, frozenset())):
                return SURVIVED, f"{tried} tests reach it"
        edits = [(mutant.file, source)]
        own = tests_of(mutant.file)[0]
        verdict = self._workspace.judge(edits, [own] if own else [])
        if verdict == SURVIVED and not self._near:
            verdict = self._workspace.judge(edits, self._far(mutant.file))
        return verdict, "a session of its own"

    def _chosen(self, file: str, place: Place, reached: dict[str, Reached]) -> list[str]:
        """Return the tests that judge a change there: those that killed others of its file, then the quickest."""
        seconds = {
            node: one.seconds
            for node, one in reached.items()
            if _overlaps(place, one.lines.get(file, frozenset())) and self._sound.get(node, True)
        }
        chosen: list[str] = []
        spent = 0.0
        for node in sorted(seconds, key=lambda node: (-self._killers[file][node], seconds[node])):
            spent += seconds[node]
            if chosen and spent > BUDGET:
                break
            chosen.append(node)
        return chosen

    def _is_sound(self, test: str, seconds: float) -> bool:
        """Tell whether a test passes alone on the package as it is; one that doesn't kills nothing."""
        if test not in self._sound:
            some = range(2)
            self._sound[test] = any(self._judge.judge("", None, None, {test: seconds})[0] == PASSED for _ in some)
        return self._sound[test]

    def _far(self, file: str) -> list[list[str]]:
        """Return the test files of others that reach a file, the quickest first."""
        total: dict[str, float] = defaultdict(float)
        reaching: set[str] = set()
        for node, one in self._reach.of(tests_of(file)[1]).items():
            other = node.partition("::")[0]
            total[other] += one.seconds
            if file in one.lines:
                reaching.add(other)
        far: list[str] = []
        spent = 0.0
        for other in sorted(reaching - set(tests_of(file)[0]), key=total.__getitem__):
            spent += total[other]
            if spent > BUDGET:
                break
            far.append(other)
        return [far] if far else []


def _overlaps(place: Place, lines: frozenset[int]) -> bool:
    return any(line in lines for line in range(place.lines[0], place.lines[1] + 1))


def _without_inner(tests: Sequence[str]) -> list[str]:
    """Return paths without those inside another one."""
    return [one for one in tests if not any(other != one and one.startswith(f"{other}/") for other in tests)]


@cache
def _parsed(path: Path) -> tuple[ast.Module, list[int]]:
    source = path.read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return ast.parse(source), starts


def place(mutant: Mutant, root: Path) -> Place:
    """Return where a mutant of a checkout stands."""
    tree, starts = _parsed(root / mutant.file)
    return place_of(tree, mutant.start, mutant.end, starts)


def apply(mutant: Mutant, root: Path) -> bytes:
    """Return the mutated file of a checkout."""
    source = (root / mutant.file).read_bytes()
    return source[: mutant.start] + mutant.text.encode() + source[mutant.end :]


def plant(one: Planted) -> list[tuple[str, bytes]]:
    """Return the files of a hand-made mutant.

    Raises:
        SystemExit: what it changes isn't there once.
    """
    texts: dict[str, str] = {}
    for file, find, put in one.edits:
        text = texts.get(file) or (ROOT / file).read_text("utf-8")
        if text.count(find) != 1:
            raise SystemExit(
                f"{LISTED.name}, {one.name}: {find!r} is {text.count(find)} times in {file}, expected once"
            )
        texts[file] = text.replace(find, put)
    return [(file, text.encode()) for file, text in texts.items()]


def too_low(killed: int, judged: int, *, whole: bool) -> bool:
    """Tell whether a score is below the goal; of a sample, by more than two standard deviations."""
    allowance = 0.0 if whole else 2 * math.sqrt(judged * GOAL * (1 - GOAL))
    return killed < GOAL * judged - allowance


def try_planted(workspace: Workspace, planted: Sequence[Planted]) -> list[Result]:
    """Return what became of the hand-made mutants.

    One session collects the tests of all of them and is forked for each, which costs a tenth of a session of its own.
    What no fork can judge, and what survives in one, is judged by a session of its own: only that lets one survive.
    """
    files = sorted({file for one in planted for file, _, _ in one.edits})
    judge = Judge(workspace.folder, sorted({test.partition("::")[0] for one in planted for test in one.tests}), files)
    try:
        return [_tried(workspace, judge, one) for one in planted]
    finally:
        judge.close()


def _tried(workspace: Workspace, judge: Judge, one: Planted) -> Result:
    edits = plant(one)
    verdict = _forked(judge, edits, one.tests)
    if verdict is None:
        verdict = workspace.judge(edits, [one.tests])
    print(f"{verdict}: {one.name}", file=sys.stderr, flush=True)
    return Result(one.name, "planted", verdict)


def _forked(judge: Judge, edits: Sequence[tuple[str, bytes]], tests: Sequence[str]) -> str | None:
    """Return that tests notice another file in a fork, and pass in one without it; None where a fork can't tell."""
    (file, source), *more = edits
    owner = _changed_function((ROOT / file).read_bytes(), source)
    chosen = [node for node in judge.items if any(_is_of(node, test) for test in tests)]
    if more or owner is None or not chosen:
        return None
    verdict, killer = judge.judge(file, source, owner, dict.fromkeys(chosen, USUAL))
    if verdict in (PASSED, IMPOSSIBLE):
        return None
    alone = dict.fromkeys([killer] if killer else chosen, USUAL)
    if judge.judge("", None, None, alone)[0] != PASSED:
        return None
    return KILLED if killer else TIMED_OUT


def _is_of(node: str, test: str) -> bool:
    """Tell whether a collected test is what a path names: a file, a class, a test, or one with its values."""
    return node == test or node.startswith((f"{test}::", f"{test}["))


def _changed_function(before: bytes, after: bytes) -> tuple[str, int] | None:
    """Return the outermost function in whose body alone two files differ, as `Place.owner` does."""
    start = next((at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), len(after))
    shared = min(len(before), len(after)) - start
    same = next((at for at in range(shared) if before[-1 - at] != after[-1 - at]), shared)
    starts = [0]
    for line in before.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return place_of(ast.parse(before), start, max(start, len(before) - same), starts).owner


def try_mutants(workspace: Workspace, mutants: Sequence[Mutant], *, minutes: float, near: bool) -> list[Result]:
    """Return what became of mutants, as many as the time allows."""
    results: list[Result] = []
    deadline = time.monotonic() + 60 * minutes
    if not mutants:
        return results
    bench = Bench(workspace, sorted({mutant.file for mutant in mutants}), near=near)
    for count, mutant in enumerate(mutants, 1):
        if time.monotonic() > deadline:
            print(f"the time is over after {count - 1} of {len(mutants)}", file=sys.stderr)
            break
        verdict, why = bench.judge(mutant)
        change = f"{mutant.source}  ->  {mutant.text}"
        results.append(Result(mutant.id, change, verdict))
        said = f"{verdict}: {mutant.id}:{mutant.line}  {change}  ({why})"
        print(f"{count}/{len(mutants)} {said}", file=sys.stderr, flush=True)
    bench.close()
    return results


def interval(killed: int, judged: int) -> tuple[float, float]:
    """Return the 95 % interval of a score (Wilson's, which holds near 1 and for few mutants too)."""
    if not judged:
        return 0.0, 1.0
    z = 1.96
    share, room = killed / judged, z * z / judged
    middle = (share + room / 2) / (1 + room)
    half = z / (1 + room) * math.sqrt(share * (1 - share) / judged + room / (4 * judged))
    return max(0.0, middle - half), min(1.0, middle + half)


def table(files: dict[str, Counter[str]], *, whole: bool) -> Iterator[str]:
    """Yield the lines of a table: each file, each of `FOLDERS`, and the whole."""
    rows = dict(sorted(files.items()))
    for folder in FOLDERS:
        inside = [counts for file, counts in files.items() if file.startswith(f"{folder}/")]
        if inside:
            rows[f"**{folder}/**"] = sum(inside, Counter[str]())
    rows["**all**"] = sum(files.values(), Counter[str]())
    yield "| module | mutants tried | killed | explained | score | 95 % interval |"
    yield "|---|--:|--:|--:|--:|---|"
    for name, counts in rows.items():
        dead = counts[KILLED] + counts[TIMED_OUT]
        judged = dead + counts[SURVIVED]
        low, high = interval(dead, judged)
        between = "all of them" if whole else f"{low:.1%} to {high:.1%}"
        score = f"{dead / judged:.1%}" if judged else "-"
        yield f"| {name} | {counts.total()} | {dead} | {counts['explained']} | {score} | {between} |"


def report(results: Sequence[Result], reasons: dict[str, str], *, whole: bool, as_json: bool) -> bool:
    """Print what became of the mutants; return whether enough were killed."""
    files: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        kind = "explained" if result.verdict == SURVIVED and result.id in reasons else result.verdict
        files["/".join(result.id.partition(":")[0].split("/")[:3])][kind] += 1
    total = sum(files.values(), Counter[str]())
    killed = total[KILLED] + total[TIMED_OUT]
    judged = killed + total[SURVIVED]
    if as_json:
        print(json.dumps({"total": total, "results": [asdict(one) for one in results]}, indent=1))
    else:
        for result in results:
            if result.verdict == SURVIVED:
                print(f"survives: {result.id}  {result.change}\n  {reasons.get(result.id, 'NOT EXPLAINED')}")
            elif result.id in reasons:
                print(f"explained, but {result.verdict}: {result.id}; {LISTED.name} needs it no more")
        for line in table(files, whole=whole):
            print(line)
        print(f"{len(results)} mutants: {killed} of {judged} killed ({killed / judged if judged else 1:.1%})")
    return not too_low(killed, judged, whole=whole)


def main() -> int:
    """Do what the arguments say, and return 1 if the tests miss too much."""
    parser = argparse.ArgumentParser(description="Mutation testing of the package.")
    parser.add_argument("--sample", type=int, metavar="N", help="try N mutants only, of each file in proportion")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="which sample (default 1)")
    parser.add_argument("--only", action="append", default=[], metavar="FILE", help="start of the mutants' ID")
    parser.add_argument("--changed", metavar="COMMIT", help="only files that differ from a commit")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end after so many")
    parser.add_argument("--near", action="store_true", help="judge by a file's own tests only: faster, and no higher")
    parser.add_argument("--planted", action="store_true", help="only the hand-made ones")
    parser.add_argument("--folder", default="one", metavar="NAME", help="of .cache/mutants-python to work in")
    parser.add_argument("--list", action="store_true", help="list the mutants and try none")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args()

    everything = generate()
    planted, reasons = listed()
    if lost := sorted(reasons.keys() - {mutant.id for mutant in everything}):
        print(f"{LISTED.name} explains what is no mutant: {', '.join(lost)}", file=sys.stderr)
        return 1
    mutants = [mutant for mutant in everything if mutant.id.startswith(tuple(options.only) or "")]
    if options.changed is not None:
        files = changed(options.changed)
        mutants = [mutant for mutant in mutants if mutant.file in files]
    whole = options.sample is None and math.isinf(options.minutes)
    if options.sample is not None:
        mutants = sampled(mutants, options.sample, options.seed)
    if options.list:
        for mutant in mutants:
            print(f"{mutant.id}  line {mutant.line}: {mutant.source}  ->  {mutant.text}")
        return 0
    WORK.mkdir(parents=True, exist_ok=True)
    for name in PRELOADED:
        __import__(name)
    with open(WORK / f"{options.folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        workspace = Workspace(WORK / options.folder)
        if options.planted:
            return 1 if any(one.verdict == SURVIVED for one in try_planted(workspace, planted)) else 0
        results = try_mutants(workspace, mutants, minutes=options.minutes, near=options.near)
    return 0 if report(results, reasons, whole=whole, as_json=options.json) else 1


if __name__ == "__main__":
    # Without this an end by signal would leave a judge running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise SystemExit(main())
