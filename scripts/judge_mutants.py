"""Judges of the package's mutants: a test session that is collected once, and forked for each mutant.

A mutant of a function's body takes the place of that function's code in the fork, and only the tests that reach the
changed line are run there. Which tests those are is measured once per test file and kept beside the mutants. Nothing on
disk changes, so that a judge costs as much as the tests it runs. What is only read at import (constants, defaults,
fields) can't be judged so: scripts/mutate_python.py judges it with a session of its own.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import hashlib
import importlib
import json
import os
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, Final, NoReturn

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
ARGUMENTS: Final = ("-x", "-q", "-s", "--no-header", "--tb=short", "-p", "no:cacheprovider", "-p", "no:ape_test")
EXAMPLES: Final = 20
"""Of Hypothesis for each property: a judge is asked about hundreds of mutants."""
MEMORY: Final = 6 << 30
"""Bytes of address space: a mutated size may ask for any amount."""
PATIENCE: Final = 10.0
"""Seconds of processor time of one test beyond ten times what it takes. A mutant that takes more counts as killed: its
test doesn't end. A busy machine takes none of it away."""
WAITING: Final = 60.0
"""Seconds on the clock beyond twenty times what all tests take, for those that wait for what never comes."""
PASSED, FAILED, TIMED_OUT, IMPOSSIBLE = "passed", "failed", "timed out", "impossible"


@dataclass(frozen=True)
class Place:
    """Where a change stands: what decides who judges it."""

    lines: tuple[int, int]
    """First and last line of the innermost statement, without the statements inside."""
    owner: tuple[str, int] | None
    """Qualified name and first line of the outermost function whose body is changed; None at import."""


def place_of(tree: ast.Module, start: int, end: int, starts: Sequence[int]) -> Place:
    """Return where the bytes from `start` to `end` stand.

    Args:
        tree: the file.
        start: first byte.
        end: byte after the last.
        starts: first byte of each line.
    """

    def span(node: Any) -> tuple[int, int]:
        return (
            starts[node.lineno - 1] + node.col_offset,
            starts[node.end_lineno - 1] + node.end_col_offset,
        )

    owner: tuple[str, int] | None = None
    inner: ast.stmt = tree.body[0]
    names: list[str] = []
    body: Iterable[ast.AST] = tree.body
    while True:
        held = next(
            (
                node
                for node in body
                if isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case) and _covers(node, span, start, end)
            ),
            None,
        )
        if held is None:
            break
        if isinstance(held, ast.stmt):
            inner = held
        if isinstance(held, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(held.name)
            inside = span(held.body[0])[0] <= start
            if inside and owner is None and not isinstance(held, ast.ClassDef):
                first = min([held.lineno, *(one.lineno for one in held.decorator_list)])
                owner = (".".join(names), first)
        body = ast.iter_child_nodes(held)
    first, last = inner.lineno, inner.end_lineno or inner.lineno
    under = getattr(inner, "body", None)
    line = next(number for number, at in enumerate([*starts, end + 1]) if at > start)
    if isinstance(under, list) and line < under[0].lineno:
        last = max(first, under[0].lineno - 1)
    return Place((first, last), owner)


def _covers(node: ast.AST, span: Any, start: int, end: int) -> bool:
    if isinstance(node, ast.match_case):
        return any(_covers(one, span, start, end) for one in node.body)
    first, last = span(node)
    return bool(first <= start and end <= last)


@dataclass(frozen=True)
class Reached:
    """What a test runs through."""

    seconds: float
    lines: dict[str, frozenset[int]]
    """By file."""


class FewExamples:
    """Plugin of pytest that lets Hypothesis try little: a failure needs neither to be small nor explained."""

    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        """Lower the number of each property, whatever it says itself."""
        from hypothesis import Phase, settings

        for item in items:
            function = getattr(item, "obj", None)
            function = getattr(function, "__func__", function)
            own = getattr(function, "_hypothesis_internal_use_settings", None)
            if function is not None and own is not None:
                few = min(own.max_examples, EXAMPLES)
                phases = (Phase.explicit, Phase.generate)
                lowered = settings(own, max_examples=few, database=None, phases=phases)
                function._hypothesis_internal_use_settings = lowered


def enter(folder: Path) -> None:
    """Turn this process into one that knows only the copy of the package in `folder`, and says nothing."""
    os.chdir(folder)
    with open(folder / "said", "wb") as said:
        for descriptor in (1, 2):
            os.dup2(said.fileno(), descriptor)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    sys.path[:] = [str(folder), *(one for one in sys.path if Path(one or ".").resolve() != ROOT)]
    # Whoever judges may have imported the package already, as a test run has: what is judged is the copy.
    for name in [one for one in sys.modules if one.partition(".")[0] in ("panachain", "tests", "scripts")]:
        del sys.modules[name]


class _Server:
    """Plugin of pytest that serves requests in place of running what was collected."""

    def __init__(self, folder: Path, files: Sequence[str], requests: int, answers: int) -> None:
        self._folder = folder
        self._files = {str(folder / file): file for file in files}
        self._requests = os.fdopen(requests, "r", encoding="utf-8")
        self._answers = os.fdopen(answers, "w", encoding="utf-8")
        self._into: set[tuple[str, int]] | None = None
        self._shared: dict[tuple[str, str], set[tuple[str, int]]] = {}
        self._failed: list[str] = []
        self._asker = os.getppid()
        """Process whose end is the end of every judge."""
        self._functions: dict[tuple[str, str, int], list[FunctionType]] = {}

    def pytest_collection(self) -> None:
        """Note which lines run when the package is imported."""
        self._into = set()
        sys.settrace(self._trace)
        for file in self._files.values():
            importlib.import_module(".".join(Path(file).with_suffix("").parts))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note which test failed."""
        if report.failed:
            self._failed.append(report.nodeid)

    def pytest_runtestloop(self, session: Any) -> bool:
        """Answer until there are no more requests."""
        sys.settrace(None)
        imported, self._into = self._into or set(), None
        items = {item.nodeid: item for item in session.items}
        # What tests/collecting.py froze after collecting is in no list of objects.
        gc.unfreeze()
        for one in gc.get_objects():
            if type(one) is FunctionType and one.__code__.co_filename in self._files:
                code = one.__code__
                key = (code.co_filename, code.co_qualname, code.co_firstlineno)
                self._functions.setdefault(key, []).append(one)
        gc.collect()
        gc.freeze()
        self._say({"items": list(items), "imported": _by_file(imported)})
        for line in self._requests:
            request = json.loads(line)
            chosen = [items[node] for node in request["tests"]]
            work = partial(self._measure, chosen) if request["trace"] else partial(self._judge, chosen, request)
            self._say(self._fork(work, request["waiting"]))
        self._answers.close()
        os._exit(0)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, None]:
        """Note for all tests that use a fixture of many what it runs through."""
        if self._into is None or fixturedef.scope == "function":
            yield
            return
        outer = self._into
        self._into = self._shared.setdefault((fixturedef.baseid, fixturedef.argname), set())
        yield
        self._into = outer

    def _say(self, answer: object) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()

    def _fork(self, work: Callable[[], object], seconds: float) -> Any:
        """Return what `work` says in a child, or a verdict on a child that says nothing."""
        heard, said = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.setsid()
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
                with os.fdopen(said, "wb") as out:
                    out.write(json.dumps(work()).encode())
                os._exit(0)
            except BaseException as exc:  # noqa: BLE001
                print(f"the judge ends: {exc!r}", file=sys.stderr, flush=True)
                os._exit(70)
        os.close(said)
        answer, late = b"", False
        deadline = time.monotonic() + seconds
        with os.fdopen(heard, "rb") as come:
            while True:
                # The pipe ends with the child, or with what it left running.
                come_in = bool(select.select([come], [], [], 1.0)[0])
                late = not come_in and (time.monotonic() > deadline or os.getppid() != self._asker)
                if not come_in and not late:
                    continue
                part = os.read(come.fileno(), 1 << 16) if come_in else b""
                answer += part
                if not part:
                    break
        # The child leads its group from its first step on, or has ended.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if answer and not late:
            return json.loads(answer)
        return [TIMED_OUT if late else FAILED, None]

    def _judge(self, items: Sequence[pytest.Item], request: dict[str, Any]) -> object:
        if request["source"] is not None and not self._swap(request):
            return [IMPOSSIBLE, None]
        self._failed.clear()
        for item, following, limit in zip(items, [*items[1:], None], request["limits"], strict=True):
            # What loops ends by this signal, which nothing here handles, after so much processor time of its own.
            signal.setitimer(signal.ITIMER_PROF, limit)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                return [FAILED, self._failed[0]]
        signal.setitimer(signal.ITIMER_PROF, 0)
        return [PASSED, None]

    def _swap(self, request: dict[str, Any]) -> bool:
        """Give functions the code of the mutant; tell whether there is any and it fits."""
        path = str(self._folder / request["file"])
        name, line = request["owner"]
        functions = self._functions.get((path, name, line), [])
        found = _find(compile(request["source"], path, "exec", dont_inherit=True), name, line)
        if not functions or found is None or found.co_freevars != functions[0].__code__.co_freevars:
            return False
        pairs = [(functions[0].__code__, found)]
        for old, new in pairs:
            for one in self._functions.get((path, old.co_qualname, old.co_firstlineno), []):
                if one.__code__.co_freevars == new.co_freevars:
                    one.__code__ = new
            inner = [[one for one in code.co_consts if isinstance(one, CodeType)] for code in (old, new)]
            # Functions inside that were made at import, as a decorator makes them.
            if [one.co_qualname for one in inner[0]] == [one.co_qualname for one in inner[1]]:
                pairs.extend(zip(*inner, strict=True))
        return True

    def _measure(self, items: Sequence[pytest.Item]) -> object:
        """Run tests and return what each runs through; those that fail by themselves are left out."""
        reached: dict[str, tuple[float, set[tuple[str, int]]]] = {}
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        for item, following in zip(items, [*items[1:], None], strict=True):
            self._into, began = set(), time.monotonic()
            self._failed.clear()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if not self._failed:
                reached[item.nodeid] = (time.monotonic() - began, self._into)
        sys.settrace(None)
        self._into = None
        for item in items:
            for (base, name), lines in self._shared.items():
                if (
                    item.nodeid in reached
                    and item.nodeid.startswith(base)
                    and name in getattr(item, "fixturenames", ())
                ):
                    reached[item.nodeid][1].update(lines)
        return {node: [seconds, _by_file(lines)] for node, (seconds, lines) in reached.items()}

    def _trace(self, frame: FrameType, event: str, arg: object) -> Any:
        file = self._files.get(frame.f_code.co_filename)
        if file is None:
            return None

        def local(frame: FrameType, event: str, arg: object) -> Any:
            into = self._into
            if into is not None and event == "line":
                into.add((file, frame.f_lineno))
            return local

        return local


def _find(code: CodeType, name: str, line: int) -> CodeType | None:
    for one in code.co_consts:
        if isinstance(one, CodeType):
            if (one.co_qualname, one.co_firstlineno) == (name, line):
                return one
            if (found := _find(one, name, line)) is not None:
                return found
    return None


def _by_file(lines: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for file, line in sorted(lines):
        found.setdefault(file, []).append(line)
    return found


class Judge:
    """A session of collected tests that is asked about one mutant after another."""

    def __init__(self, folder: Path, tests: Sequence[str], files: Sequence[str]) -> None:
        """Collect tests of a copy of the checkout.

        Args:
            folder: the copy.
            tests: files and folders in it.
            files: those of the package that have mutants.

        Raises:
            SystemExit: they can't be collected.
        """
        there, ours = os.pipe()
        ours_too, theirs = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self._child = os.fork()
        if not self._child:
            os.close(ours)
            os.close(ours_too)
            _serve(folder, tests, files, there, theirs)
        os.close(there)
        os.close(theirs)
        self._requests = os.fdopen(ours, "w", encoding="utf-8")
        self._answers = os.fdopen(ours_too, "r", encoding="utf-8")
        first = self._answers.readline()
        if not first:
            said = (folder / "said").read_text("utf-8", "replace")
            raise SystemExit(f"the tests can't be collected: {' '.join(tests)}\n{said[-2000:]}")
        told = json.loads(first)
        self.items: list[str] = told["items"]
        """Every test, in pytest's order."""
        self.imported: dict[str, frozenset[int]] = {file: frozenset(some) for file, some in told["imported"].items()}
        """Lines that run when the package is imported."""

    def close(self) -> None:
        """End the session."""
        self._requests.close()
        self._answers.close()
        os.waitpid(self._child, 0)

    def measure(self, tests: Sequence[str]) -> dict[str, Reached]:
        """Return what tests run through, without those that fail."""
        told = self._ask({"trace": True, "tests": tests, "waiting": 1200})
        if not isinstance(told, dict):
            return {}
        return {
            node: Reached(seconds, {file: frozenset(some) for file, some in lines.items()})
            for node, (seconds, lines) in told.items()
        }

    def judge(
        self,
        file: str,
        source: bytes | None,
        owner: tuple[str, int] | None,
        tests: Mapping[str, float],
        *,
        times: float = 1.0,
    ) -> tuple[str, str | None]:
        """Return what becomes of a mutant, and the test that fails.

        Args:
            file: of the package.
            source: all of it as mutated; None judges the package as it is.
            owner: function that is changed.
            tests: that judge it, in this order, each with the seconds that it took.
            times: how many times as long as usual they may take.
        """
        text = None if source is None else source.decode()
        verdict, killer = self._ask(
            {
                "trace": False,
                "file": file,
                "source": text,
                "owner": owner,
                "tests": list(tests),
                "limits": [times * (PATIENCE + 10 * seconds) for seconds in tests.values()],
                "waiting": times * (WAITING + 20 * sum(tests.values())),
            }
        )
        return verdict, killer

    def _ask(self, request: dict[str, Any]) -> Any:
        self._requests.write(json.dumps(request) + "\n")
        self._requests.flush()
        answer = self._answers.readline()
        if not answer:
            raise SystemExit("the judge of mutants has ended")
        return json.loads(answer)


def _serve(folder: Path, tests: Sequence[str], files: Sequence[str], requests: int, answers: int) -> NoReturn:
    try:
        enter(folder)
        server = _Server(folder, files, requests, answers)
        os._exit(int(pytest.main([*ARGUMENTS, f"--rootdir={folder}", *tests], plugins=[server, FewExamples()])))
    except BaseException as exc:  # noqa: BLE001
        print(f"the judge ends: {exc!r}", file=sys.stderr, flush=True)
        os._exit(70)


class Reach:
    """What tests run through, measured when it is asked for and kept for test files that stay as they are."""

    def __init__(self, judge: Judge, folder: Path, kept: Path, files: Sequence[str]) -> None:
        """Read what was measured before.

        Args:
            judge: the session.
            folder: the copy of the checkout.
            kept: file with what was measured before.
            files: those of the package that have mutants.
        """
        self._judge = judge
        self._folder = folder
        self._kept = kept
        self._sources = {file: _digest([folder / file]) for file in files}
        self._before: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
        self._nodes: dict[str, list[str]] = {}
        for node in judge.items:
            self._nodes.setdefault(node.partition("::")[0], []).append(node)
        self._known: dict[str, dict[str, Reached]] = {}

    def of(self, tests: Sequence[str]) -> dict[str, Reached]:
        """Return what every test of some files and folders runs through."""
        found: dict[str, Reached] = {}
        for file in self._nodes:
            if any(file == one or file.startswith(f"{one}/") for one in tests):
                if file not in self._known:
                    self._known[file] = self._of_file(file)
                found |= self._known[file]
        return found

    def _of_file(self, file: str) -> dict[str, Reached]:
        path = self._folder / file
        digest = _digest([path, *sorted(one for one in path.parent.glob("*.py") if not one.name.startswith("test_"))])
        before = self._before.get(file, {"digest": ""})
        if before["digest"] != digest or any(self._sources.get(name) != one for name, one in before["sources"].items()):
            nodes = self._nodes[file]
            measured = self._judge.measure(nodes)
            tests = {
                node: [round(one.seconds, 3), {name: sorted(lines) for name, lines in one.lines.items()}]
                for node, one in measured.items()
            }
            sources = {name: self._sources[name] for one in measured.values() for name in one.lines}
            self._before[file] = {"digest": digest, "sources": sources, "tests": tests}
            lost = f", {len(nodes) - len(tests)} fail and don't judge" if len(tests) < len(nodes) else ""
            took = sum(one.seconds for one in measured.values())
            print(f"measured {file}: {len(tests)} tests, {took:.1f} s{lost}", file=sys.stderr, flush=True)
            # Kept file by file: a run that ends early leaves what it measured.
            self._kept.write_text(json.dumps(self._before), "utf-8")
        return {
            node: Reached(seconds, {name: frozenset(some) for name, some in lines.items()})
            for node, (seconds, lines) in self._before[file]["tests"].items()
        }


def _digest(paths: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in paths)).hexdigest()
