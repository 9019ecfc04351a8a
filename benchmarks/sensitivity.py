"""What is sensitive: how much of it is closed, what is closed by mistake, and what looking for it costs.

    ./pana bench sensitivity [--json] [--against FOLDER] [--rounds 5] [--quick]

Recall is counted on the codes of the ONC's LEAP labelling service. Codes that are kept back are measured in folds: the
value sets lack a fold's codes while these are looked up. A false alarm is a resource or document in a restricted
category that nothing but words explains: without them no value set, range, ingredient, component, label or reference
would close it. `--against` names a folder with another version of the package: both split the same files in turns, in
processes of their own, and the least processor time of each counts, because this machine may be busy. Rows without
their files say so.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from _running import running
from _sensitivity_bundles import bundle

from panachain.errors import PanaChainError
from panachain.model.scope import RESTRICTED
from panachain.records.classify import Classified
from panachain.records.fhir_sensitivity import PLACE
from panachain.records.sensitivity import DEFAULT, PROFILES, Matcher, matcher, matcher_of
from panachain.records.sensitivity.systems import canonical_code, canonical_system
from panachain.records.sources import find_sources

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
LEAP = SHARED / "sensitivity" / "leap.tsv"
DATA = SHARED / "data"
FHIR = DATA / "fhir-r4"
CCDA = DATA / "ccda"
FOLDS = 10
MISSING = "not measured: its files aren't here"
VOCABULARY = matcher.vocabulary
NO_WORDS = matcher.Vocabulary("words", [("\0", "-", True)])
NO_KIND = "?"
"""The kind of LEAP's one code that it lists by mistake: a cancer of the colon."""
SPLIT = """
import sys, time
from pathlib import Path
import panachain
from panachain.records.split import split_json
print(panachain.__file__)
files = [Path(name).read_bytes() for name in sys.argv[1:]]
for _ in split_json(files[0]):
    pass
start = time.process_time()
for content in files:
    for _ in split_json(content):
        pass
print(time.process_time() - start)
"""


class Code(NamedTuple):
    """A row of LEAP's value sets."""

    system: str
    code: str
    kind: str
    display: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures."""
    options = argparse.ArgumentParser()
    options.add_argument("--json", action="store_true")
    options.add_argument("--against", type=Path, help="folder with another version of the package")
    options.add_argument("--rounds", type=int, default=5, help="pairs of splits")
    options.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    given = options.parse_args(arguments)
    figures = measure(given)
    if given.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name}: {_shown(value)}")


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Return the figures by their names; None for what can't be measured here."""
    codes = _leap(few=given.quick)
    figures: dict[str, Any] = dict.fromkeys(
        ("leap_strict", "kept_back_with_displays", "kept_back_without_displays", "leap_default")
    )
    if codes:
        strict = Matcher(PROFILES["strict"])
        figures["leap_strict"] = _recall(codes, [one for one in codes if strict.look(one.system, one.code)])
        figures["kept_back_with_displays"] = _kept_back(codes, displays=True)
        figures["kept_back_without_displays"] = _kept_back(codes, displays=False)
        figures["leap_default"] = _default(codes)
    figures["unlabelled_bundles"] = _bundles()
    fhir = sorted(FHIR.rglob("*.json"))
    figures["false_alarms_fhir"] = _false_alarms(fhir[:: 100 if given.quick else 1])
    figures["false_alarms_ccda"] = _false_alarms(
        sorted(one for one in CCDA.rglob("*") if one.is_file())[: 2 if given.quick else None]
    )
    figures["strict_without_displays"] = _harmless_codes(fhir[:: 100 if given.quick else 1])
    figures["splitting"] = _cost(given)
    return figures


def _leap(*, few: bool) -> list[Code]:
    if not LEAP.is_file():
        return []
    with LEAP.open(encoding="utf-8", newline="") as file:
        found = [Code(*line) for line in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)][1:]
    found = [one for one in found if one.kind != NO_KIND]
    random.Random(15).shuffle(found)
    return found[:200] if few else found


def _recall(asked: Sequence[Code], closed: Sequence[Code]) -> dict[str, Any]:
    return {"closed": len(closed), "of": len(asked), "percent": round(100 * len(closed) / len(asked), 2)}


def _kept_back(codes: list[Code], *, displays: bool) -> dict[str, Any]:
    listed, neighbours = matcher.listed(), matcher.neighbours
    closed: list[Code] = []
    for start in range(FOLDS):
        fold = codes[start::FOLDS]
        names = {canonical_system(one.system): set[str]() for one in fold}
        for one in fold:
            name = canonical_system(one.system)
            names[name].add(canonical_code(name, one.code))
        left = {key: value for key, value in listed.items() if key[1] not in names.get(key[0], ())}
        neighbours.cache_clear()
        with mock.patch.object(matcher, "listed", lambda left=left: left):
            strict = Matcher(PROFILES["strict"])
            closed += [one for one in fold if strict.look(one.system, one.code, one.display if displays else "")]
    neighbours.cache_clear()
    return _recall(codes, closed)


def _default(codes: list[Code]) -> dict[str, Any]:
    """Return the recall of the default profile on all but what only hints at something, and says why in its file."""
    usual = Matcher(DEFAULT)
    asked = [one for one in codes if not matcher.only_hints(one.kind, one.display)]
    found = _recall(asked, [one for one in asked if usual.look(one.system, one.code)])
    return {**found, "left_out": len(codes) - len(asked)}


def _classified(paths: Iterable[Path]) -> Iterable[list[Classified]]:
    """Yield what each file holds; what can't be read holds nothing."""
    for source in find_sources(list(paths)):
        try:
            yield list(source.classified())
        except PanaChainError:
            yield []


def _bundles() -> dict[str, Any]:
    content, closed = bundle()
    with tempfile.TemporaryDirectory(prefix="panachain-sensitivity-") as name:
        path = Path(name) / "bundle.json"
        path.write_text(json.dumps(content))
        found = {one.resource for file in _classified([path]) for one in file if one.category in RESTRICTED}
    return {
        "closed": len(found & closed),
        "of": len(closed),
        "percent": round(100 * len(found & closed) / len(closed), 2),
        "too_many": len(found - closed),
    }


def _false_alarms(paths: list[Path]) -> dict[str, Any] | None:
    """Return how many resources are restricted although they weren't if words were never looked at.

    Counted by halves: the value sets were corrected by what one half's files show, the other half only measures.
    """
    if not paths:
        return None
    figures: dict[str, Any] = {}
    for half, chosen in (("", paths), ("kept_back_", [one for one in paths if _is_kept_back(one)])):
        found = [one for file in _classified(chosen) for one in file]
        with mock.patch.object(matcher, "vocabulary", _wordless):
            matcher_of.cache_clear()
            without = [one for file in _classified(chosen) for one in file]
        matcher_of.cache_clear()
        both = list(zip(found, without, strict=True))
        by_words = [one for one, other in both if one.category in RESTRICTED and other.category not in RESTRICTED]
        # A clinic whose name tells what it treats is to be closed, too: that's no false alarm, though no code says it.
        alarms = [one for one in by_words if not any(rule.startswith(PLACE) for rule in one.why)]
        figures |= {
            f"{half}only_words": len(alarms),
            f"{half}only_a_telling_name": len(by_words) - len(alarms),
            f"{half}of": len(found),
            f"{half}percent": round(100 * len(alarms) / max(1, len(found)), 2),
            f"{half}restricted": sum(one.category in RESTRICTED for one in found),
        }
        if not half:
            rules = Counter(rule for one in alarms for rule in one.why)
            figures["words"] = [f"{rule.removeprefix('words: ')} {number}" for rule, number in rules.most_common()]
    return figures


def _is_kept_back(path: Path) -> bool:
    return hashlib.sha256(path.relative_to(DATA).as_posix().encode()).digest()[0] % 2 == 1


def _wordless(name: str) -> matcher.Vocabulary:
    return NO_WORDS if name == "words" else VOCABULARY(name)


def _harmless_codes(paths: list[Path]) -> dict[str, Any] | None:
    """Return how many codes that are open with their displays the strict profile closes without them."""
    if not paths:
        return None
    strict, codings = Matcher(PROFILES["strict"]), set[tuple[str, str, str]]()
    stack: list[Any] = [json.loads(path.read_bytes()) for path in paths]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            one = tuple(item.get(name) for name in ("system", "code", "display"))
            if all(isinstance(part, str) and part for part in one):
                codings.add(one)  # type: ignore[arg-type]
        stack += item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    harmless = [one for one in codings if not strict.look(*one)]
    closed = [one for one in harmless if strict.look(one[0], one[1])]
    return {"closed": len(closed), "of": len(harmless), "percent": round(100 * len(closed) / len(harmless), 2)}


def _cost(given: argparse.Namespace) -> dict[str, Any] | None:
    """Return seconds of processor time that splitting takes, and the ratio to another version."""
    files = sorted(FHIR.glob("synthea-2019-smart/*.json"))[: 1 if given.quick else None]
    if not files:
        return None
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(1 if given.quick else given.rounds):
        ours.append(_split(ROOT, files))
        if given.against is not None:
            theirs.append(_split(given.against, files))
    figures = {
        "megabytes": round(sum(path.stat().st_size for path in files) / 1e6, 1),
        "seconds": round(min(ours), 3),
    }
    if theirs:
        figures |= {"against": round(min(theirs), 3), "ratio": round(min(ours) / min(theirs), 2)}
    return figures


def _split(package: Path, files: list[Path]) -> float:
    environment = os.environ | {"PYTHONPATH": str(package.resolve())}
    # -P: else the working folder's version would be measured under the other one's name.
    command = [sys.executable, "-P", "-c", SPLIT, *map(str, files)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    measured, seconds = done.stdout.splitlines()
    if not Path(measured).is_relative_to(package.resolve()):
        raise RuntimeError(f"{measured} was measured instead of {package}")
    return float(seconds)


def _shown(value: dict[str, Any] | None) -> str:
    if value is None:
        return MISSING
    return ", ".join(f"{name} {', '.join(part) if isinstance(part, list) else part}" for name, part in value.items())


if __name__ == "__main__":
    with running():
        main()
