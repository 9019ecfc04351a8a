"""The gates: `./pana test`, `./pana lint` and CI turn red where something is wrong, whichever part finds it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import run_tests, sum_tests
from tests import skips

pytestmark = pytest.mark.checkout
ROOT = Path(__file__).resolve().parents[2]
PASSED, FAILED = "3 passed, 1 skipped in 2.50s", "1 failed, 2 passed in 1.00s"


def start(*command: str | Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=280, check=False
    )


def program(path: Path, text: str) -> None:
    """Write a shell script that stands for a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


class TestRunTests:
    @pytest.fixture
    def commands(self, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
        """Note what would run."""
        commands: list[list[str]] = []

        def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
            commands.append(command[3:])
            return subprocess.CompletedProcess(command, 0)

        monkeypatch.setattr(subprocess, "run", run)
        return commands

    def test_deep_selects_the_long_runs(self, commands: list[list[str]]) -> None:
        assert run_tests.main(["--deep", "-x"]) == 0
        assert commands == [["-m", "deep", "-x"]]

    def test_arguments_go_to_one_run(self, commands: list[list[str]]) -> None:
        assert run_tests.main(["tests/unit", "-k", "cid"]) == 0
        assert commands == [["tests/unit", "-k", "cid"]]

    @pytest.mark.parametrize(
        ("contracts", "others", "code"), [("pass", "pass", 0), ("fail", "pass", 1), ("pass", "fail", 1)]
    )
    def test_both_halves_count_and_both_are_shown(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
        contracts: str,
        others: str,
        code: int,
    ) -> None:
        for name, outcome in (("contracts", contracts), ("others", others)):
            (tmp_path / f"test_{name}.py").write_text(f"def test_{name}():\n    assert {outcome == 'pass'}\n")
        # Nothing of theirs is needed here, and loading them takes longer than all the rest.
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        plain = ["-p", "no:cacheprovider", f"--rootdir={tmp_path}", "-c", "/dev/null"]
        monkeypatch.setattr(run_tests, "CONTRACTS", [*plain, str(tmp_path / "test_contracts.py")])
        monkeypatch.setattr(run_tests, "OTHERS", [*plain, str(tmp_path / "test_others.py")])
        # And there are no workers to start.
        monkeypatch.setattr(run_tests, "QUICK_WORKERS", "--quiet")
        monkeypatch.setattr(run_tests, "find_spec", lambda name: name)

        assert run_tests.main([]) == code
        assert len(sum_tests.closing_lines(capfd.readouterr().out)) == 2

    def test_without_ape_the_others_run_and_it_says_so(
        self, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(run_tests, "find_spec", lambda name: None)
        assert run_tests.main(["--deep"]) == 0
        assert commands == [[*run_tests.OTHERS, "--numprocesses=4", "-m", "deep"]]
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        assert (
            f"ape has no packages for Python {version}: the tests of tests/contracts are left out"
            in capfd.readouterr().out
        )


class TestSum:
    @pytest.mark.parametrize(
        ("lines", "expected"),
        [
            ([f"==== {PASSED} ===="], "=== 3 passed, 1 skipped in 2.50s ==="),
            ([f"== {PASSED} ==", "noise", FAILED], "=== 1 failed, 5 passed, 1 skipped in 3.50s ==="),
            (["\x1b[32m== 2213 passed, 1 warning, 34 subtests passed in 616.26s (0:10:16) ==\x1b[0m"], "2213 passed"),
        ],
    )
    def test_closing_lines_are_added_up(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[str], expected: str
    ) -> None:
        (tmp_path / "log").write_text("\n".join(lines))
        assert sum_tests.main([str(tmp_path / "log")]) == (1 if FAILED in lines else 0)
        assert expected in capsys.readouterr().out

    @pytest.mark.parametrize("line", ["", "no tests ran in 0.01s", "12 deselected in 0.52s", "3 skipped in 0.10s"])
    def test_a_run_without_tests_fails(self, tmp_path: Path, line: str) -> None:
        (tmp_path / "log").write_text(line)
        assert sum_tests.main([str(tmp_path / "log")]) == 1

    def test_a_missing_line_fails(self, tmp_path: Path) -> None:
        (tmp_path / "log").write_text(PASSED)
        assert sum_tests.main(["--lines", "2", str(tmp_path / "log")]) == 1


class TestCi:
    @pytest.fixture
    def run(self, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
        """Run .ci/run in a checkout whose ./pana says and returns what it is told."""
        (tmp_path / ".ci").mkdir()
        (tmp_path / "scripts").mkdir()
        shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
        shutil.copy(ROOT / "scripts/sum_tests.py", tmp_path / "scripts/sum_tests.py")
        (tmp_path / "scripts/build_kubo.sh").write_text('exit "${KUBO_CODE:-0}"\n')
        program(tmp_path / ".venv/bin/python", f'exec {sys.executable} "$@"')
        # Nothing is installed for a test.
        program(tmp_path / "bin/chromium", "exit 1")
        # A machine without a newer Python, unless a test gives it one.
        for name in ("python3.13", "python3.14"):
            program(tmp_path / "bin" / name, "exit 1")
        program(
            tmp_path / "pana",
            'case "$*" in\n'
            '  "test --deep") [ "$CI" = true ] || exit 1\n'
            '    i=0; while [ -n "$AWAITS" ] && [ ! -e "$AWAITS" ]; do\n'
            "      i=$((i + 1)); [ $i -lt 600 ] || exit 1; sleep 0.05; done\n"
            '    echo "$DEEP"; echo "$DEEP"; exit "${DEEP_CODE:-0}" ;;\n'
            '  test) echo "$QUICK"; echo "$QUICK"; exit "${QUICK_CODE:-0}" ;;\n'
            '  "test tests/unit"*) echo "on $PANA_PYTHON in $PANA_VENV with $PANACHAIN_EXAMPLES"\n'
            '    echo "$NEWER"; exit "${NEWER_CODE:-0}" ;;\n'
            '  lint) exit "${LINT_CODE:-0}" ;;\n'
            '  "setup dev") echo "set up ${PANA_VENV:-.venv}" ;;\n'
            '  "test --deep --version") echo "set up for the long runs"; exit "${FETCH_CODE:-0}" ;;\n'
            "esac",
        )

        def run(**environment: str) -> subprocess.CompletedProcess[str]:
            usual = {
                "QUICK": PASSED,
                "DEEP": PASSED,
                "PYENV_ROOT": str(tmp_path),
                "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
            }
            return start("bash", tmp_path / ".ci/run", folder=tmp_path, **usual | environment)

        return run

    def test_ends_with_the_sum(self, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
        done = run()
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "=== 12 passed, 4 skipped in 10.00s ==="

    def test_what_the_long_runs_need_is_fetched_beside_the_quick_ones_and_they_tell_what_is_missing(
        self, run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
    ) -> None:
        assert run(FETCH_CODE="1").returncode == 0
        assert (tmp_path / ".cache/deep-setup.log").read_text() == "set up for the long runs\n"
        assert run(FETCH_CODE="1", DEEP_CODE="1").returncode == 1

    def test_names_a_newer_python_where_there_is_none(
        self, run: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        assert re.search(r"^ci: this machine lacks: .*\bpython3\.13 python3\.14$", run().stdout, re.MULTILINE)

    @pytest.mark.parametrize(("there", "taken"), [(["3.13", "3.14"], "3.14"), (["3.14"], "3.14"), (["3.13"], "3.13")])
    def test_the_newest_python_is_taken_and_one_that_is_missing_is_named(
        self, run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, there: list[str], taken: str
    ) -> None:
        for version in there:
            program(tmp_path / f"bin/python{version}", f'case "$*" in *print*) echo {version} ;; esac')
        done = run(NEWER=PASSED)
        assert f"on python{taken} in .venv-{taken}" in done.stdout
        assert bool(re.search(r"lacks:.* python3\.14\b", done.stdout)) is (taken != "3.14")
        assert not re.search(r"lacks:.* python3\.13\b", done.stdout)

    @pytest.mark.parametrize(("line", "code", "ends"), [(PASSED, 0, 0), (FAILED, 1, 1), (PASSED, 3, 1), ("", 0, 1)])
    def test_a_newer_python_runs_its_part_and_its_line_comes_before_the_sum(
        self,
        run: Callable[..., subprocess.CompletedProcess[str]],
        tmp_path: Path,
        line: str,
        code: int,
        ends: int,
    ) -> None:
        program(tmp_path / "bin/python3.13", 'case "$*" in *print*) echo 3.13 ;; esac')
        done = run(NEWER=line, NEWER_CODE=str(code))
        assert done.returncode == ends, done.stdout
        assert "on python3.13 in .venv-3.13 with 20\n" in done.stdout
        assert (tmp_path / ".cache/newer-setup.log").read_text() == "set up .venv-3.13\n"
        if line:
            said = done.stdout.splitlines()
            assert said[-3] == f"ci: the tests on Python 3.13 exited with {code}:"
            assert said[-2] == sum_tests.summed(sum_tests.closing_lines(line))
            assert said[-1] == sum_tests.summed(sum_tests.closing_lines("\n".join([PASSED] * 4 + [line])))

    def test_a_newer_python_is_tried_beside_the_long_runs(
        self, run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
    ) -> None:
        program(tmp_path / "bin/python3.13", 'case "$*" in *print*) echo 3.13 ;; esac')
        # The long runs end once it is through.
        done = run(NEWER=PASSED, AWAITS=".cache/newer.code")
        assert done.returncode == 0, done.stdout

    def test_what_a_newer_python_said_another_time_counts_for_nothing(
        self, run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
    ) -> None:
        program(tmp_path / "bin/python3.13", 'case "$*" in *print*) echo 3.13 ;; esac')
        (tmp_path / ".cache").mkdir()
        (tmp_path / ".cache/newer.code").write_text("0\n")
        (tmp_path / ".cache/newer.log").write_text(f"{PASSED}\n")
        assert run(NEWER="", NEWER_CODE="0").returncode == 1
        assert run(NEWER=PASSED, NEWER_CODE="1").returncode == 1

    @pytest.mark.parametrize(
        "change",
        [
            {"QUICK": FAILED, "QUICK_CODE": "1"},
            {"DEEP": FAILED, "DEEP_CODE": "1"},
            {"QUICK_CODE": "5"},
            {"DEEP_CODE": "5"},
            {"LINT_CODE": "1"},
            {"KUBO_CODE": "1"},
            {"DEEP": "no tests ran in 0.01s"},
            {"DEEP": ""},
            {"QUICK": "7 deselected in 0.01s"},
        ],
    )
    def test_any_part_fails_it(
        self, run: Callable[..., subprocess.CompletedProcess[str]], change: dict[str, str]
    ) -> None:
        assert run(**change).returncode == 1

    @pytest.mark.parametrize(("user", "may", "lacks"), [("0", True, False), ("0", False, True), ("1000", True, True)])
    def test_a_missing_browser_is_installed_by_root_and_named_where_it_cannot_be(
        self, run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, user: str, may: bool, lacks: bool
    ) -> None:
        path = tmp_path / "bare"
        for name in ("bash", "cat", "dirname", "env", "mkdir", "sh", "tail", "tee", "uname"):
            program(path / name, f'exec {shutil.which(name)} "$@"')
        program(path / "id", f"echo {user}")
        # What it installs is this file.
        program(path / "apt-get", f'[ "$1" = update ] || {"cp" if may else "false"} {path / "id"} {path / "chromium"}')
        (path / "cp").symlink_to(str(shutil.which("cp")))
        done = run(PATH=str(path))
        assert done.returncode == 0, done.stderr
        said = [line for line in done.stdout.splitlines() if line.startswith("ci: this machine lacks:")]
        assert ("chromium" in "".join(said).split()) == lacks


class TestLint:
    TOOLS = ("ruff", "mypy", "lint-imports", "deptry", "node")

    def lint(self, folder: Path, failing: str) -> subprocess.CompletedProcess[str]:
        """Run .ci/lint among stand-ins of its tools, one of which fails."""
        (folder / ".ci").mkdir(exist_ok=True)
        shutil.copy(ROOT / ".ci/lint", folder / ".ci/lint")
        for name in (*self.TOOLS, "python"):
            program(folder / ".venv/bin" / name, f'case "{name} $*" in *"$FAILING"*) exit 1 ;; esac')
        path = f"{folder / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
        return start("bash", folder / ".ci/lint", folder=folder, PATH=path, FAILING=failing)

    def test_passes_where_all_pass(self, tmp_path: Path) -> None:
        done = self.lint(tmp_path, "nothing of the kind")
        assert done.returncode == 0
        assert done.stdout.endswith("all checks passed\n")

    @pytest.mark.parametrize(
        "failing",
        [
            *TOOLS,
            "ruff format",
            "build_contracts.py",
            "check_dead.py",
            "check_dependencies.py",
            "check_clocks.py",
            "check_secret_scalars.py",
            "check_secrets.py",
            "check_language.py",
            "check_listeners.py",
            "check_references.py",
        ],
    )
    def test_any_check_fails_it(self, tmp_path: Path, failing: str) -> None:
        done = self.lint(tmp_path, failing)
        assert done.returncode == 1
        assert "failed: " in done.stdout

    def test_a_dependency_that_nothing_imports_is_found(self, tmp_path: Path) -> None:
        text = (ROOT / "pyproject.toml").read_text()
        (tmp_path / "pyproject.toml").write_text(text.replace('  "zstandard', '  "leftpad>=1",\n  "zstandard'))
        shutil.copytree(ROOT / "panachain", tmp_path / "panachain", ignore=shutil.ignore_patterns("__pycache__"))
        done = start(Path(sys.executable).with_name("deptry"), "--no-ansi", "panachain", folder=tmp_path)
        assert done.returncode == 1
        assert "DEP002 'leftpad'" in done.stderr + done.stdout

    def test_dead_code_is_found_and_what_templates_read_isnt_dead(self, tmp_path: Path) -> None:
        folder = tmp_path / "panachain" / "templates"
        folder.mkdir(parents=True)
        (tmp_path / "scripts").mkdir()
        shutil.copy(ROOT / "scripts/check_dead.py", tmp_path / "scripts/check_dead.py")
        (tmp_path / "pyproject.toml").write_text('[tool.vulture]\npaths = ["panachain"]\n')
        dead = "def nobody_calls_this() -> None:\n    return None\n"
        shown = "class Result:\n    shown: int\n    unshown: int\n\n\nprint(Result)\n"
        (folder.parent / "some.py").write_text(dead + shown)
        (folder / "page.html").write_text("<p>result.unshown {% if one.shown %}{{ _('a.unshown') }}{% endif %}</p>")
        done = start(sys.executable, "scripts/check_dead.py", folder=tmp_path)
        assert done.returncode != 0
        assert "unused function 'nobody_calls_this'" in done.stdout
        assert "unused variable 'unshown'" in done.stdout
        assert "'shown'" not in done.stdout.replace("'unshown'", "")

    @pytest.mark.deep
    def test_a_stale_abi_is_found(self, tmp_path: Path) -> None:
        for name in ("contracts", "scripts", "panachain/chain/artifacts"):
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        (tmp_path / "tools").mkdir()
        (tmp_path / "tools/node_modules").symlink_to(ROOT / "tools/node_modules")
        check = [sys.executable, tmp_path / "scripts/build_contracts.py", "--check"]
        assert start(*check, folder=tmp_path).returncode == 0
        contract = tmp_path / "contracts/mainchain/AccessLog.sol"
        contract.write_text(contract.read_text() + "\n// Changed.\n")
        done = start(*check, folder=tmp_path)
        assert done.returncode == 1
        assert "stale artifacts: " in done.stderr

    def test_a_planted_secret_is_found(self, tmp_path: Path) -> None:
        start("git", "init", "--quiet", folder=tmp_path)
        (tmp_path / "notes.txt").write_text("nothing here\n")
        start("git", "add", ".", folder=tmp_path)
        check = [sys.executable, ROOT / "scripts/check_secrets.py"]
        assert start(*check, folder=tmp_path).returncode == 0
        # Put together here, so that this file holds none.
        for planted in (
            "AKIA" + "ABCDEFGHIJKLMNOP",
            "ghp_" + "a1" * 18,
            f"-----BEGIN {'EC'} PRIVATE KEY-----\n" + "MHcCAQEEIB" * 4,
            'password = "' + 'k2!"'.replace("!", "h7Lq0vTz9w"),
            "private_key: 0x" + "5a" * 32,
            "https://" + "me:hunter22" + "@example.org/",
        ):
            (tmp_path / "notes.txt").write_text(f"first\n{planted}\n")
            done = start(*check, folder=tmp_path)
            assert done.returncode == 1, planted
            assert "notes.txt:2: looks like a secret" in done.stdout
            assert planted.splitlines()[-1] not in done.stdout

    def test_an_excuse_that_nothing_needs_is_found(self, tmp_path: Path) -> None:
        start("git", "init", "--quiet", folder=tmp_path)
        (tmp_path / ".ci").mkdir()
        (tmp_path / ".ci/allowed_secrets.toml").write_text('[[allowed]]\nfile = "x"\ndigest = "00"\nreason = "y"\n')
        start("git", "add", ".", folder=tmp_path)
        done = start(sys.executable, ROOT / "scripts/check_secrets.py", folder=tmp_path)
        assert done.returncode == 1
        assert "any more" in done.stdout

    def test_a_folder_that_git_does_not_know_is_no_clean_one(self, tmp_path: Path) -> None:
        assert start(sys.executable, ROOT / "scripts/check_secrets.py", folder=tmp_path).returncode == 1

    @pytest.mark.parametrize(
        "line",
        [
            f"host = {'.'.join('0000')!r}",
            "import socket; socket.socket().bind(('', 80))",
            "uvicorn.run(app, host='')",
            "http.server.ThreadingHTTPServer(('', 0), None)",
            "socket.create_server(('::', 0))",
        ],
    )
    def test_a_listener_beyond_loopback_is_found(self, tmp_path: Path, line: str) -> None:
        start("git", "init", "--quiet", folder=tmp_path)
        (tmp_path / "listens.py").write_text(line.replace("''", "'127.0.0.1'").replace("'::'", "'::1'"))
        start("git", "add", ".", folder=tmp_path)
        check = [sys.executable, ROOT / "scripts/check_listeners.py"]
        if "0.0" not in line:
            assert start(*check, folder=tmp_path).returncode == 0
        (tmp_path / "listens.py").write_text(f"{line}\n")
        done = start(*check, folder=tmp_path)
        assert done.returncode == 1
        assert "listens.py:1: listens beyond loopback" in done.stdout


@pytest.mark.deep
class TestSkips:
    SKIPS = "import pytest\n\n\ndef test_it():\n    pytest.skip({why!r})\n"

    def outcome(self, folder: Path, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one test as the project's tests are run."""
        (folder / "test_made.py").write_text(text)
        for path in ("tests/skips.py", "docs/security/rules.md"):
            (folder / path).parent.mkdir(parents=True)
            shutil.copy(ROOT / path, folder / path)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "skips"]
        environment |= {"PYTHONPATH": str(folder / "tests"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return start(*command, f"--rootdir={folder}", "-c", "/dev/null", "test_made.py", folder=folder, **environment)

    def test_a_missing_tool_skips_where_nobody_relies_on_it(self, tmp_path: Path) -> None:
        done = self.outcome(tmp_path, self.SKIPS.format(why="no chromium is installed"), CI="")
        assert done.returncode == 0
        assert "1 skipped" in done.stdout

    @pytest.mark.parametrize(
        "text",
        [
            SKIPS.format(why="no chromium is installed"),
            "import pytest\npytest.importorskip('no_such_module')\n",
            "import pytest\n\n\n@pytest.mark.skipif(True, reason='no tool')\ndef test_it():\n    pass\n",
            "import pytest\n\n\n@pytest.fixture\ndef a():\n    pytest.skip('no tool')\n\n\ndef test_it(a):\n    pass\n",
        ],
    )
    def test_a_missing_tool_fails_ci(self, tmp_path: Path, text: str) -> None:
        done = self.outcome(tmp_path, text, CI="true")
        assert done.returncode != 0
        assert "CI has to have what it needs" in done.stdout

    def test_outside_data_may_be_missing_in_ci(self, tmp_path: Path) -> None:
        why = "outside data umbral isn't beside the project"
        assert self.outcome(tmp_path, self.SKIPS.format(why=why), CI="true").returncode == 0
        # Each reason that is added here is one more thing that nobody may be testing.
        assert len(skips.ALLOWED) == 2
        assert all(skips.ALLOWED.values())
        assert any(re.search(pattern, why) for pattern in skips.ALLOWED)

    @pytest.mark.parametrize("has", [True, False])
    def test_what_an_oracle_lacks_is_no_failure_where_it_has_no_wheels(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: bool
    ) -> None:
        rules = tmp_path / "rules.md"
        rules.write_text("- `made::test_it`\n")
        monkeypatch.setattr(skips, "RULES", rules)
        monkeypatch.setattr(skips, "has_wheels", lambda: has)
        monkeypatch.setenv("CI", "true")
        skips._named.cache_clear()
        try:
            for why, outcome in (
                ("nucypher-core has no wheel for this Python", "failed" if has else "skipped"),
                ("coincurve has no wheel for this Python", "failed" if sys.version_info < (3, 14) else "skipped"),
                ("no", "failed"),
            ):
                report = pytest.CollectReport("made", "skipped", ("file", 1, f"Skipped: {why}"), [])
                skips.judge(report)
                assert report.outcome == outcome
        finally:
            skips._named.cache_clear()

    @pytest.mark.parametrize("skipped", ["the test", "its file"])
    def test_a_rules_test_may_be_skipped_nowhere(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skipped: str
    ) -> None:
        rules = tmp_path / "rules.md"
        rules.write_text("- `made::test_it`\n- `whole`\n")
        monkeypatch.setattr(skips, "RULES", rules)
        skips._named.cache_clear()
        monkeypatch.setenv("CI", "")
        node = "made::TestClass::test_it[1]" if skipped == "the test" else "whole"
        try:
            for nodeid, outcome in ((node, "failed"), ("made::test_other", "skipped")):
                report = pytest.CollectReport(nodeid, "skipped", ("file", 1, "Skipped: no tool"), [])
                skips.judge(report)
                assert report.outcome == outcome
        finally:
            skips._named.cache_clear()


class TestKubo:
    """Building Kubo, in a checkout whose Go is a stand-in."""

    def build(self, folder: Path, go: str | None, **environment: str) -> subprocess.CompletedProcess[str]:
        (folder / "scripts").mkdir(exist_ok=True)
        (folder / "tools/kubo").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "scripts/build_kubo.sh", folder / "scripts")
        for name in ("bash", "dirname", "mkdir", "mv", "timeout", "cat", "sh", "chmod"):
            (folder / "bin").mkdir(exist_ok=True)
            if not (folder / "bin" / name).exists():
                (folder / "bin" / name).symlink_to(str(shutil.which(name)))
        if go is not None:
            program(folder / "bin/go", go)
        path = str(folder / "bin")
        return start("bash", folder / "scripts/build_kubo.sh", folder=folder, PATH=path, **environment)

    def test_a_build_that_fails_fails(self, tmp_path: Path) -> None:
        done = self.build(tmp_path, "exit 1")
        assert done.returncode == 1
        assert "the build failed" in done.stderr

    def test_without_go_it_fails(self, tmp_path: Path) -> None:
        done = self.build(tmp_path, None)
        assert done.returncode == 1
        assert "there is no Go" in done.stderr

    def test_it_builds_once(self, tmp_path: Path) -> None:
        made = 'while [ "$1" != -o ]; do shift; done; echo "#!/bin/sh" >"$2"; chmod +x "$2"'
        assert self.build(tmp_path, made).returncode == 0
        assert (tmp_path / ".cache/kubo/ipfs").is_file()
        assert self.build(tmp_path, "exit 1").returncode == 0

    def test_a_program_that_is_named_needs_no_build(self, tmp_path: Path) -> None:
        assert self.build(tmp_path, "exit 1", PANACHAIN_IPFS=str(shutil.which("sh"))).returncode == 0
