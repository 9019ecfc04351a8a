"""Audit the contracts: fuzz tests and invariants, symbolic proofs, static analysis, coverage.

    ./pana audit [--quick]      all of it; without --quick the local profile and mutation testing too

Calls forge's native program: npm's launcher exits 0 even when tests fail. The compiler is npm's solc.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
AUDIT = CACHE / "audit" / "bin"
TIMEOUT = 900
"""Seconds for one program in the quick profile, on a machine that runs other tests beside it."""
LOCAL_TIMEOUT = 4 * 3600


class AuditError(Exception):
    """A program ended with something that isn't a result."""


@dataclass(frozen=True)
class Coverage:
    """Covered and counted lines and branches of one contract."""

    lines: tuple[int, int]
    branches: tuple[int, int]

    @property
    def whole(self) -> bool:
        """Whether nothing is uncovered."""
        return self.lines[0] == self.lines[1] and self.branches[0] == self.branches[1]


def forge() -> Path:
    """Return forge's native program, which exists only where npm has one for the platform."""
    names = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    machine = names.get(platform.machine().lower(), platform.machine())
    package = f"forge-{platform.system().lower()}-{machine}"
    return ROOT / "tools" / "forge" / "node_modules" / "@foundry-rs" / package / "bin" / "forge"


def missing() -> str | None:
    """Return what an audit lacks on this machine, or None."""
    for program in (forge(), AUDIT / "halmos", AUDIT / "slither"):
        if not program.exists():
            return f"{program.relative_to(ROOT)} isn't here: ./pana audit installs it where the platform has it"
    return None


def fuzz(profile: str = "default") -> dict[str, str]:
    """Run forge's tests and return `suite.test` → `Success`, or what failed it."""
    answer = _run([forge(), "test", "--json"], "test", FOUNDRY_PROFILE=profile, check=False)
    suites = _json(answer.stdout, answer.stderr)
    results = {
        f"{suite.rpartition(':')[2]}.{name.partition('(')[0]}": _outcome(result)
        for suite, body in suites.items()
        for name, result in body["test_results"].items()
    }
    if answer.returncode != 0 and all(status == "Success" for status in results.values()):
        raise AuditError(f"forge test exited with {answer.returncode}:\n{answer.stderr[-2000:]}")
    return results


def _outcome(result: dict[str, Any]) -> str:
    """Return one test's status; of one that failed, also why and with which arguments."""
    if result["status"] == "Success":
        return "Success"
    return f"{result['status']}: {result.get('reason')}; {json.dumps(result.get('counterexample'))[:600]}"


def prove() -> dict[str, bool]:
    """Let halmos prove the functions of tests/forge/Proofs.t.sol, and return which ones hold."""
    out = CACHE / "prove"
    _run([forge(), "build", "--ast", "--skip", "*Test.sol"], "prove")
    report = out / "halmos.json"
    report.unlink(missing_ok=True)
    proofs = ["--forge-build-out", str(out / "out"), "--match-contract", "Proofs$"]
    answer = _run([AUDIT / "halmos", *proofs, "--json-output", str(report)], "prove", check=False)
    if not report.exists():
        raise AuditError(f"halmos exited with {answer.returncode}:\n{(answer.stdout + answer.stderr)[-2000:]}")
    suites = json.loads(report.read_text())["test_results"].values()
    return {result["name"].partition("(")[0]: result["exitcode"] == 0 for results in suites for result in results}


def findings() -> Counter[tuple[str, str]]:
    """Return slither's findings: (detector, `Contract.element`) → how often."""
    report = CACHE / "slither" / "findings.json"
    report.unlink(missing_ok=True)
    written = ["--json", str(report), "--foundry-out-directory", str(report.parent / "out")]
    skipped = ["--filter-paths", "tests/forge|node_modules"]
    answer = _run([AUDIT / "slither", ".", *skipped, *written], "slither", check=False)
    if not report.exists():
        raise AuditError(f"slither exited with {answer.returncode}:\n{answer.stderr[-2000:]}")
    body = json.loads(report.read_text())
    if not body["success"]:
        raise AuditError(f"slither failed: {body['error']}")
    found: Counter[tuple[str, str]] = Counter()
    for finding in body["results"].get("detectors", []):
        element = finding["elements"][0]
        # A free function has no parent.
        parent = (element.get("type_specific_fields", {}).get("parent") or {}).get("name", "")
        found[finding["check"], f"{parent}.{element['name']}"] += 1
    return found


def coverage() -> dict[str, Coverage]:
    """Return the coverage of every file of contracts/ that holds code."""
    report = CACHE / "coverage" / "lcov.info"
    _run([forge(), "coverage", "--exclude-tests", "--report", "lcov", "--report-file", str(report)], "coverage")
    covered: dict[str, Coverage] = {}
    name, counts = "", dict.fromkeys(("LF", "LH", "BRF", "BRH"), 0)
    for line in report.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == "SF":
            name = value
        elif key in counts:
            counts[key] = int(value)
        elif line == "end_of_record" and name.startswith("contracts/"):
            covered[name] = Coverage((counts["LH"], counts["LF"]), (counts["BRH"], counts["BRF"]))
    return covered


def _run(
    command: Sequence[str | Path], folder: str, *, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program with build folders of its own, so that two can run at once."""
    out = CACHE / folder
    out.mkdir(parents=True, exist_ok=True)
    own = {
        "PATH": os.pathsep.join([str(AUDIT), str(forge().parent), os.environ.get("PATH", "")]),
        "FOUNDRY_SOLC": str(_compiler()),
        "FOUNDRY_OUT": str(out / "out"),
        "FOUNDRY_CACHE_PATH": str(out / "cache"),
        "NO_COLOR": "1",
    }
    timeout = LOCAL_TIMEOUT if environment.get("FOUNDRY_PROFILE") == "local" else TIMEOUT
    answer = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=os.environ | own | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check and answer.returncode != 0:
        raise AuditError(f"{Path(command[0]).name} exited with {answer.returncode}:\n{answer.stderr[-2000:]}")
    return answer


def _compiler() -> Path:
    sys.path.insert(0, str(ROOT))
    from scripts.setup_solc import VERSION, setup

    return setup() / f"solc-v{VERSION}"


def _json(text: str, error: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise AuditError(f"forge printed no JSON:\n{error[-2000:]}") from exc


def main(arguments: list[str]) -> int:
    """Print each part's result and return 1 if any failed."""
    lack = missing()
    if lack:
        print(lack, file=sys.stderr)
        return 1
    failed = 0
    for profile in ["default"] if "--quick" in arguments else ["default", "local"]:
        started = time.monotonic()
        results = fuzz(profile)
        bad = {name: status for name, status in results.items() if status != "Success"}
        failed += len(bad)
        print(f"forge test, {profile}: {len(results) - len(bad)} of {len(results)} pass, {_since(started)}")
        for name in bad:
            print(f"  fails: {name}")
    started = time.monotonic()
    proofs = prove()
    failed += len(proofs) - sum(proofs.values())
    print(f"halmos: {sum(proofs.values())} of {len(proofs)} hold, {_since(started)}")
    print(f"slither: {sum(findings().values())} findings; tests/contracts/slither_findings.toml explains them")
    for name, part in coverage().items():
        failed += not part.whole
        print("{:45} lines {} of {}, branches {} of {}".format(name, *part.lines, *part.branches))
    if "--quick" not in arguments:
        failed += subprocess.run([sys.executable, ROOT / "scripts" / "mutate_contracts.py"], check=False).returncode
    return int(failed > 0)


def _since(started: float) -> str:
    return f"{time.monotonic() - started:.0f} s"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
