"""Mutation testing of the contracts: change one thing at a time and see whether a test notices.

    python scripts/mutate_contracts.py                      every mutant; a sample: --sample 120 --seed 7
    python scripts/mutate_contracts.py --only libraries/    those whose ID starts so; repeatable
    python scripts/mutate_contracts.py --list               says what would be tried, and tries nothing

Never changes contracts/: mutants live in .cache/mutants. Each is judged by the forge tests that reach its file, in a
fast profile with a fixed seed; a survivor without an explanation is tried with the ape tests too. Fails when a survivor
isn't explained in tests/contracts/mutants.toml, when an explanation fits no mutant, or when the score is too low.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from scripts.audit_contracts import forge
from scripts.setup_solc import VERSION, setup

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".cache" / "mutants"
EXPLANATIONS = ROOT / "tests" / "contracts" / "mutants.toml"
FOLDERS = ("mainchain", "sidechain", "libraries", "types")
"""Below contracts/; interfaces hold no code."""
GOAL = 0.9
"""Killed ones among those that compile."""
TIMEOUT = 120
"""Seconds for one program that judges a mutant. A mutant that takes longer counts as killed: its tests don't end."""
BASELINE_TIMEOUT = 300
"""Seconds for all tests of the unchanged contracts, which includes the first compilation."""
PROFILE = {
    "FOUNDRY_PROFILE": "default",
    "FOUNDRY_FUZZ_RUNS": "64",
    "FOUNDRY_FUZZ_SEED": "0x70616e61",
    "FOUNDRY_INVARIANT_RUNS": "8",
    "FOUNDRY_INVARIANT_DEPTH": "40",
    "FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT": "0",
    # What it computes is the same, and it compiles in half the time.
    "FOUNDRY_OPTIMIZER": "false",
    "NO_COLOR": "1",
}
IMPORT = r"^import .*?\bfrom \"(\.[^\"]*)\""
"""Of a file of ours: by a relative path."""
COMMENT = r"//[^\n]*|/\*.*?\*/"
STRING = r"\"(?:\\.|[^\"\\\n])*\""
"""Our format uses double quotes only."""
KILLED, SURVIVED, TIMED_OUT, INVALID = "killed", "survived", "timed out", "doesn't compile"


class MutationError(Exception):
    """A program ended with something that isn't a verdict."""


# --- Mutants ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Edit:
    """A change of one place."""

    operator: str
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Mutant:
    """A contract's file with one change."""

    file: str
    """Below contracts/."""
    line: int
    number: int
    """Among those of one operator on one line, from 1 on."""
    source: str
    """The line as it is, without the space around it."""
    edit: Edit

    @property
    def id(self) -> str:
        """Return what an explanation names it by."""
        return f"{self.file}:{self.line}:{self.edit.operator}:{self.number}"


@dataclass(frozen=True)
class Result:
    """What became of a mutant."""

    id: str
    change: str
    verdict: str
    by: str
    """The first test that failed."""


def generate() -> list[Mutant]:
    """Return all mutants by file and place."""
    contracts = ROOT / "contracts"
    texts = {str(path.relative_to(contracts)): path.read_text() for path in sorted(contracts.rglob("*.sol"))}
    enums = _enums(texts.values())
    return [
        mutant for file, text in texts.items() if file.startswith(FOLDERS) for mutant in mutants_of(file, text, enums)
    ]


def mutants_of(file: str, text: str, enums: Sequence[tuple[str, list[str]]]) -> Iterator[Mutant]:
    """Yield the mutants of one file, each different text once."""
    code = _code(text)
    seen = {"".join(code.split())}
    numbers: Counter[tuple[int, str]] = Counter()
    lines = text.splitlines()
    edits = [*_texts(text), *_edits(code, enums)]
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        mutated = "".join((code[: edit.start] + edit.text + code[edit.end :]).split())
        if mutated in seen:
            continue
        seen.add(mutated)
        line = text.count("\n", 0, edit.start) + 1
        numbers[line, edit.operator] += 1
        yield Mutant(file, line, numbers[line, edit.operator], lines[line - 1].strip(), edit)


def _texts(text: str) -> Iterator[Edit]:
    """An empty text: what is signed names its type, its contract and its version."""
    for match in re.finditer(f"{COMMENT}|^import[^;]*;|{STRING}", text, re.DOTALL | re.MULTILINE):
        if match[0].startswith('"'):
            yield Edit("text", match.start(), match.end(), '""')


def _code(text: str) -> str:
    """Return the text with spaces for comments, strings, imports and pragmas, so that places stay the same."""
    for pattern in (f"{COMMENT}|{STRING}", r"^(?:import|pragma|using)\b[^;]*;"):
        text = re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL | re.MULTILINE)
    return text


def _enums(texts: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Return each enum's name and members; two enums may have one name."""
    declarations = (match for text in texts for match in re.finditer(r"\benum (\w+) \{([^}]*)\}", _code(text)))
    return [(match[1], re.findall(r"\w+", match[2])) for match in declarations]


# --- Operators --------------------------------------------------------------------------------------------------------

SWAPS = {
    "comparison": {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="},
    "logic": {"&&": "||", "||": "&&"},
    "arithmetic": {"+": "-", "-": "+", "*": "+", "|": "&", "&": "|", "<<": ">>", ">>": "<<", "|=": "&=", "&=": "|="},
}
"""Binary operators, which our format puts between spaces."""


def _edits(code: str, enums: Sequence[tuple[str, list[str]]]) -> Iterator[Edit]:
    yield from _swapped(code)
    yield from _constants(code)
    yield from _members(code, enums)
    yield from _conditions(code)
    yield from _operands(code)
    yield from _encodings(code)
    for function in _functions(code):
        yield from _callers(code, function)
        yield from _statements(code, function)


def _swapped(code: str) -> Iterator[Edit]:
    """Another operator: `<` to `<=`, `&&` to `||`, `+` to `-`, `++` to `--`."""
    for operator, pairs in SWAPS.items():
        for match in re.finditer(r"(?<=\s)[-<>=!&|+*]+(?=\s)", code):
            if match[0] in pairs:
                yield Edit(operator, match.start(), match.end(), pairs[match[0]])
    for match in re.finditer(r"\+\+|--", code):
        yield Edit("arithmetic", match.start(), match.end(), "--" if match[0] == "++" else "++")


def _constants(code: str) -> Iterator[Edit]:
    """One more, one less, and the other truth value."""
    for match in re.finditer(r"\b\d+\b", code):
        number = int(match[0])
        # A word of bytes is made from zero only; any other one comes from a number.
        more = "uint256(1)" if code[: match.start()].endswith("bytes32(") else str(number + 1)
        yield Edit("constant", match.start(), match.end(), more)
        if number > 0:
            yield Edit("constant", match.start(), match.end(), str(number - 1))
    for match in re.finditer(r"\b(?:true|false)\b", code):
        yield Edit("constant", match.start(), match.end(), "false" if match[0] == "true" else "true")


def _members(code: str, enums: Sequence[tuple[str, list[str]]]) -> Iterator[Edit]:
    """The next member of an enum."""
    for name, members in enums:
        for match in re.finditer(rf"\b{name}\.(\w+)", code):
            if match[1] in members:
                following = members[(members.index(match[1]) + 1) % len(members)]
                yield Edit("member", match.start(1), match.end(1), following)


def _conditions(code: str) -> Iterator[Edit]:
    """The contrary of a condition, and no guard at all."""
    for match in re.finditer(r"\bif \(", code):
        close = _closing(code, match.end() - 1)
        condition = code[match.end() : close]
        # The contrary of an equality is the other operator.
        if not re.fullmatch(r"[^&|<>]* [=!]= [^&|<>]*", condition):
            yield Edit("negation", match.end(), close, f"!({condition})")
        guard = re.compile(r"\)\s*(?:revert\b[^;]*;|\{\s*revert\b[^;]*;\s*\})").match(code, close)
        if guard:
            yield Edit("guard", match.start(), guard.end(), "{}")


def _operands(code: str) -> Iterator[Edit]:
    """One part less of what `&&` or `||` join."""
    for match in re.finditer(r"\s(?:&&|\|\|)\s", code):
        start, end = _expression(code, match.start())
        joints = _top_level(code, start, end, r"\s(?:&&|\|\|)\s")
        starts = [start, *(joint_end for _, joint_end in joints)]
        ends = [*(joint_start for joint_start, _ in joints), end]
        yield Edit("operand", start, starts[1], "")
        for before, after in pairwise(ends):
            yield Edit("operand", before, after, "")


def _encodings(code: str) -> Iterator[Edit]:
    """One value less in what is hashed or signed."""
    for match in re.finditer(r"\babi\.encode(?:Packed)?\(", code):
        close = _closing(code, match.end() - 1)
        commas = [place for place, _ in _top_level(code, match.end(), close, ",")]
        if commas:
            yield Edit("encoding", match.end(), commas[0] + 1, "")
        for before, after in pairwise([*commas, close]):
            yield Edit("encoding", before, after, "")


@dataclass(frozen=True)
class Function:
    """Where a function's header and body stand."""

    start: int
    body: int
    end: int


def _functions(code: str) -> Iterator[Function]:
    for match in re.finditer(r"\b(?:function \w+|constructor)\(", code):
        body = code.find("{", match.end())
        semicolon = code.find(";", match.end())
        if body >= 0 and not 0 <= semicolon < body:
            yield Function(match.start(), body, _closing(code, body))


def _callers(code: str, function: Function) -> Iterator[Edit]:
    """Anybody may call, and another account counts as the caller."""
    for match in re.finditer(r"\b(?:restricted|only[A-Z]\w*)\b", code[function.start : function.body]):
        yield Edit("modifier", function.start + match.start(), function.start + match.end(), "")
    header = code[function.start : function.body]
    others = re.findall(r"\baddress (\w+)", header.partition("returns")[0]) or ["tx.origin"]
    for match in re.finditer(r"\bmsg\.sender\b", code[function.body : function.end]):
        for other in others:
            yield Edit("sender", function.body + match.start(), function.body + match.end(), other)


def _statements(code: str, function: Function) -> Iterator[Edit]:
    """A statement left out; an empty block stands where one must stand."""
    depth, start = 0, function.body + 1
    for place in range(function.body + 1, function.end):
        if code[place] in "()[]":
            depth += 1 if code[place] in "([" else -1
        elif depth == 0 and code[place] in "{};":
            if code[place] == ";":
                begin = _after_heads(code, start)
                operator = _kind(code[begin:place])
                # What a guard reverts with goes with the guard.
                guarded = operator == "revert" and code[:begin].rstrip()[-1] in "){"
                if operator and not guarded:
                    yield Edit(operator, begin, place + 1, "{}")
            start = place + 1


def _after_heads(code: str, start: int) -> int:
    """Return where a statement begins after `if (...)`, `else` and space."""
    head = re.compile(r"\s*(?:else\b|(?:if|for) \()?")
    while True:
        match = head.match(code, start)
        assert match is not None
        if not match[0].strip():
            return match.end()
        start = _closing(code, match.end() - 1) + 1 if match[0].endswith("(") else match.end()


def _kind(statement: str) -> str | None:
    """Return what leaving out a statement is called, or None for declarations, without which nothing compiles."""
    words = statement.split()
    if words[0] in {"emit", "return", "revert"}:
        return words[0]
    if re.match(r"delete |\+\+|--|[\w.\[\]]+ [|&+-]?= ", statement):
        return "assignment"
    return "call" if re.match(r"[\w.]+\(", statement) else None


def _closing(code: str, start: int) -> int:
    """Return where the bracket at `start` is closed."""
    depth = 0
    for place in range(start, len(code)):
        if code[place] in "([{":
            depth += 1
        elif code[place] in ")]}":
            depth -= 1
            if depth == 0:
                return place
    raise MutationError(f"a bracket is open at the end: {code[start : start + 40]}")


def _top_level(code: str, start: int, end: int, pattern: str) -> list[tuple[int, int]]:
    """Return where a pattern stands between two places, outside of brackets."""
    return [
        match.span()
        for match in re.compile(pattern).finditer(code, start, end)
        if _depth(code[start : match.start()]) == 0
    ]


def _depth(code: str) -> int:
    return len(re.findall(r"[(\[{]", code)) - len(re.findall(r"[)\]}]", code))


def _expression(code: str, place: int) -> tuple[int, int]:
    """Return the start and end of the joined conditions around a place: in brackets, or up to the semicolon."""
    start, depth = place, 0
    while depth >= 0 and not (depth == 0 and code[start - 1] in ";{}"):
        start -= 1
        depth += {")": 1, "]": 1, "(": -1, "[": -1}.get(code[start], 0)
    if depth < 0:
        return start + 1, _closing(code, start)
    # What is returned or assigned, without the word in front of it.
    match = re.compile(r"\s*(?:return|[\w ]+ =)\s").match(code, start)
    assert match is not None
    return match.end(), code.index(";", place)


# --- Verdicts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """How a program ended."""

    code: int | None
    """None: it was ended after its time."""
    output: str


def run(command: Sequence[str | Path], *, folder: Path, timeout: float, **environment: str) -> Answer:
    """Run a program in a process group of its own, and leave nothing of the group behind."""
    with subprocess.Popen(
        [str(part) for part in command],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            return Answer(None, "")
        finally:
            # Else it ended by itself, and so did what it started.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return Answer(process.returncode, output)


class Workspace:
    """A copy of what forge needs. Its build cache stays, so that a mutant compiles its dependents only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._compiler = setup() / f"solc-v{VERSION}"
        self._checked: set[tuple[str, ...]] = set()
        self._kills: Counter[tuple[str, str]] = Counter()
        for name in ("contracts", "tests", "scripts", "tools", "panachain"):
            shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(ROOT / "contracts", folder / "contracts")
        shutil.copytree(ROOT / "tests" / "forge", folder / "tests" / "forge")
        shutil.copy(ROOT / "foundry.toml", folder)
        (folder / "tools").mkdir()
        (folder / "tools" / "node_modules").symlink_to(ROOT / "tools" / "node_modules")
        # It writes beside itself, so the mutant's artifacts stay here.
        (folder / "scripts").mkdir()
        shutil.copy(ROOT / "scripts" / "build_contracts.py", folder / "scripts")
        (folder / "panachain" / "chain").mkdir(parents=True)

    def check_baseline(self) -> None:
        """Check that forge passes without a mutant; else nothing is killed by one."""
        answer = self._forge("tests/forge", BASELINE_TIMEOUT)
        if answer.code != 0 or "0 failed" not in answer.output:
            raise MutationError(f"forge fails without a mutant:\n{answer.output[-3000:]}")

    def judge(self, mutant: Mutant, *, explained: bool) -> Result:
        """Try one mutant, with the ape tests too if forge misses it and nothing explains why."""
        path = self.folder / "contracts" / mutant.file
        text = path.read_text()
        edit = mutant.edit
        path.write_text(text[: edit.start] + edit.text + text[edit.end :])
        try:
            verdict, by = self._judge_by_forge(mutant)
            if verdict == SURVIVED and not explained:
                verdict, by = self._judge_by_ape(mutant)
        finally:
            path.write_text(text)
        return Result(mutant.id, _change(text, edit), verdict, by)

    def _judge_by_forge(self, mutant: Mutant) -> tuple[str, str]:
        """Run one test file after the other until a test fails."""
        for name in self._forge_tests(mutant.file):
            answer = self._forge(f"tests/forge/{name}", TIMEOUT)
            if answer.code is None:
                return TIMED_OUT, "forge"
            if "Compiler run failed" in answer.output:
                return INVALID, ""
            if answer.code != 0 and "Failing tests:" in answer.output:
                failed = re.search(r"\[FAIL.*?\b(\w+)\([^()]*\) \((?:runs|gas):", answer.output, re.DOTALL)
                self._kills[mutant.file, name] += 1
                return KILLED, failed[1] if failed else "forge"
            if answer.code != 0 or " 0 failed" not in answer.output:
                raise MutationError(f"forge gave no verdict on {mutant.id}:\n{answer.output[-3000:]}")
        return SURVIVED, ""

    def _forge_tests(self, file: str) -> list[str]:
        """Return the test files that reach a contract's file, those first that killed most of its mutants."""
        distances = {
            path.name: distance
            for path in sorted((self.folder / "tests" / "forge").glob("*.t.sol"))
            # Proofs are for halmos.
            if re.search(r"\bfunction (?:test|invariant)", path.read_text())
            if (distance := self._distance(path, file)) is not None
        }
        namesake = f"{Path(file).stem}.t.sol"
        return sorted(distances, key=lambda name: (-self._kills[file, name], name != namesake, distances[name]))

    def _judge_by_ape(self, mutant: Mutant) -> tuple[str, str]:
        tests = tuple(
            str(test)
            for path in sorted((self.folder / "contracts").rglob("*.sol"))
            if self._distance(path, mutant.file) is not None and (test := _ape_test(path)).is_file()
        )
        if not tests:
            return SURVIVED, ""
        if tests not in self._checked:
            answer = self._ape(tests, ROOT / "panachain" / "chain" / "artifacts")
            if answer.code != 0:
                raise MutationError(f"the ape tests fail without a mutant:\n{answer.output[-3000:]}")
            self._checked.add(tests)
        program = [sys.executable, "scripts/build_contracts.py"]
        answer = run(program, folder=self.folder, timeout=TIMEOUT)
        # A warning, of a variable without use for example, stops the build that ships.
        if answer.code != 0:
            return INVALID, "build_contracts.py"
        answer = self._ape(tests, self.folder / "panachain" / "chain" / "artifacts")
        if answer.code is None:
            return TIMED_OUT, "ape"
        failed = re.search(r"^(?:FAILED|ERROR) \S+::(\w+)", answer.output, re.MULTILINE)
        if answer.code == 1 and failed:
            return KILLED, failed[1]
        if answer.code == 0:
            return SURVIVED, ""
        raise MutationError(f"ape gave no verdict on {mutant.id}:\n{answer.output[-3000:]}")

    def _forge(self, tests: str, timeout: float) -> Answer:
        # A counterexample of another mutant would be tried first.
        shutil.rmtree(self.folder / ".cache" / "forge" / "failures", ignore_errors=True)
        # Told by a variable, forge compiles these tests only; told by --match-path it looks at all of them.
        environment = PROFILE | {"FOUNDRY_SOLC": str(self._compiler), "FOUNDRY_TEST": tests}
        command: list[str | Path] = [forge(), "test", "--offline", "--fail-fast", "--threads", "1"]
        return run(command, folder=self.folder, timeout=timeout, **environment)

    def _ape(self, tests: Sequence[str], artifacts: Path) -> Answer:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        return run(command, folder=ROOT, timeout=TIMEOUT, PANA_ARTIFACTS=str(artifacts))

    def _distance(self, path: Path, file: str) -> int | None:
        """Return over how many imports a file reaches `file`, below contracts/; None if it doesn't."""
        wanted = (self.folder / "contracts" / file).resolve()
        seen: set[Path] = set()
        level, distance = {path.resolve()}, 0
        while level:
            if wanted in level:
                return distance
            seen |= level
            names = {(here, name) for here in level for name in re.findall(IMPORT, here.read_text(), re.MULTILINE)}
            level = {(here.parent / name).resolve() for here, name in names} - seen
            distance += 1
        return None


def _ape_test(contract: Path) -> Path:
    """Return where the ape tests of a contract stand."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", contract.stem).lower()
    return ROOT / "tests" / "contracts" / f"test_{name}.py"


def _change(text: str, edit: Edit) -> str:
    """Return a change in one line: what stood there and what stands there now."""
    source = text if edit.operator == "text" else _code(text)
    before, after = (" ".join(part.split()) for part in (source[edit.start : edit.end], edit.text))
    after = after.replace(before, "…") if len(before) > 20 else after
    return f"{before if len(before) <= 80 else before[:79] + '…'} → {after if after not in ('', '{}') else 'nothing'}"


# --- Explanations and report ------------------------------------------------------------------------------------------


def explanations(mutants: Sequence[Mutant]) -> dict[str, str]:
    """Return the reasons by mutant ID.

    Raises:
        MutationError: an entry lacks its reason, or names a line that has moved or changed.
    """
    entries = tomllib.loads(EXPLANATIONS.read_text()).get("mutant", []) if EXPLANATIONS.exists() else []
    sources = {mutant.id: mutant.source for mutant in mutants}
    stale = [entry["id"] for entry in entries if sources.get(entry["id"]) != entry["line"] or not entry["reason"]]
    if stale:
        raise MutationError(f"{EXPLANATIONS.name} fits the contracts no more: {', '.join(stale)}; correct ID and line")
    return {entry["id"]: entry["reason"] for entry in entries}


def sampled(mutants: Sequence[Mutant], size: int, seed: int) -> list[Mutant]:
    """Return `size` mutants at random, of each file in proportion."""
    chance = random.Random(seed)  # noqa: S311
    ranked: list[tuple[float, Mutant]] = []
    for file in sorted({mutant.file for mutant in mutants}):
        own = [mutant for mutant in mutants if mutant.file == file]
        chance.shuffle(own)
        ranked += [((place + 0.5) / len(own), mutant) for place, mutant in enumerate(own)]
    ranked.sort(key=lambda pair: pair[0])
    chosen = {mutant.id for _, mutant in ranked[:size]}
    return [mutant for mutant in mutants if mutant.id in chosen]


def report(results: Sequence[Result], reasons: dict[str, str], *, seconds: float, as_json: bool) -> bool:
    """Print what became of the mutants, and return whether it is good enough."""
    counts = Counter(result.verdict for result in results)
    compiled = len(results) - counts[INVALID]
    score = 1 - counts[SURVIVED] / compiled if compiled else 1.0
    survivors = [result for result in results if result.verdict == SURVIVED]
    unexplained = [result for result in survivors if result.id not in reasons]
    if as_json:
        figures = {"mutants": len(results), "compiled": compiled, "score": round(score, 4), "seconds": round(seconds)}
        body = figures | {"results": [asdict(result) | {"reason": reasons.get(result.id)} for result in results]}
        print(json.dumps(body, indent=1, ensure_ascii=False))
    else:
        for result in survivors:
            print(f"survives: {result.id}  {result.change}\n  {reasons.get(result.id, 'NOT EXPLAINED')}")
        for result in results:
            if result.id in reasons and result.verdict != SURVIVED:
                print(f"explained, but {result.verdict}: {result.id}; {EXPLANATIONS.name} needs it no more")
        print(
            f"{len(results)} mutants, {compiled} compile: {counts[KILLED]} killed, {counts[TIMED_OUT]} timed out, "
            f"{len(survivors)} survive, {len(unexplained)} of them unexplained; score {score:.1%}, {seconds:.0f} s"
        )
    return not unexplained and score >= GOAL


def main() -> int:
    """Do what the arguments say, and return 1 if the tests miss too much."""
    parser = argparse.ArgumentParser(description="Mutation testing of the contracts.")
    parser.add_argument("--sample", type=int, metavar="N", help="try N mutants only, of each file in proportion")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="which sample (default 1)")
    parser.add_argument("--only", action="append", default=[], metavar="FILE", help="start of the mutants' ID")
    parser.add_argument("--list", action="store_true", help="list the mutants and try none")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args()

    everything = generate()
    mutants = [mutant for mutant in everything if mutant.id.startswith(tuple(options.only) or "")]
    if options.sample is not None:
        mutants = sampled(mutants, options.sample, options.seed)
    if options.list:
        for mutant in mutants:
            text = (ROOT / "contracts" / mutant.file).read_text()
            print(f"{mutant.id}  {_change(text, mutant.edit)}")
        return 0

    # Without this an end by signal would leave a compiler running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    WORK.mkdir(parents=True, exist_ok=True)
    try:
        with open(WORK / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return 0 if _try(mutants, explanations(everything), as_json=options.json) else 1
    except BlockingIOError:
        print(f"another run holds {WORK.relative_to(ROOT)}; wait for it", file=sys.stderr)
    except MutationError as exc:
        print(exc, file=sys.stderr)
    return 1


def _try(mutants: Sequence[Mutant], reasons: dict[str, str], *, as_json: bool) -> bool:
    started = time.monotonic()
    workspace = Workspace(WORK)
    workspace.check_baseline()
    results = []
    for count, mutant in enumerate(mutants, 1):
        result = workspace.judge(mutant, explained=mutant.id in reasons)
        results.append(result)
        said = f"{result.verdict} {result.by}".rstrip()
        print(f"{count}/{len(mutants)} {said}: {result.id}  {result.change}", file=sys.stderr, flush=True)
    return report(results, reasons, seconds=time.monotonic() - started, as_json=as_json)


if __name__ == "__main__":
    raise SystemExit(main())
