"""What every run of tests pays before its first test is paid once, and the order that workers get is the one meant."""

from __future__ import annotations

import gc
import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from _pytest.assertion import rewrite

from tests import collecting


def config_of(number: int, count: int) -> Any:
    return SimpleNamespace(workerinput={"workerid": f"gw{number}", "workercount": count})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "test_made.py"
    path.write_text("def test_it():\n    left = 1\n    assert left == 2\n")
    return path


def test_what_was_kept_is_what_pytest_takes(
    file: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    collecting.keep_rewritten(file, pytestconfig)
    # Whoever rewrites it again fails.
    monkeypatch.setattr(rewrite, "_rewrite_test", None)
    collecting.keep_rewritten(file, pytestconfig)
    spec = importlib.util.spec_from_file_location("test_made", file, loader=pytestconfig.pluginmanager.rewrite_hook)
    assert spec is not None
    made = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(made)
    with pytest.raises(AssertionError, match="assert 1 == 2"):
        made.test_it()


def test_what_changed_since_is_rewritten(file: Path, pytestconfig: pytest.Config) -> None:
    kept = file.parent / "__pycache__" / f"{file.stem}{rewrite.PYC_TAIL}"
    collecting.keep_rewritten(file, pytestconfig)
    file.write_text(file.read_text().replace("== 2", "== 300"))
    assert rewrite._read_pyc(file, kept) is None
    collecting.keep_rewritten(file, pytestconfig)
    assert rewrite._read_pyc(file, kept) is not None


def test_a_folder_that_is_not_ours_to_write_in_is_left_as_it_is(file: Path, pytestconfig: pytest.Config) -> None:
    (file.parent / "__pycache__").write_text("no folder")
    collecting.keep_rewritten(file, pytestconfig)
    assert sorted(path.name for path in file.parent.iterdir()) == ["__pycache__", "test_made.py"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_workers_share_all_files_and_none_twice(count: int) -> None:
    files = [Path(str(number)) for number in range(10)]
    shares = [collecting.share(config_of(number, count), files) for number in range(count)]
    assert sorted(path for share in shares for path in share) == files
    assert collecting.share(SimpleNamespace(), files) == []  # type: ignore[arg-type]


def test_each_long_file_is_there_and_comes_before_the_others() -> None:
    for name in collecting.LONGEST:
        assert (collecting.TESTS / name).exists(), name
    names = ["unit/ipld/test_car.py", "integration/test_trip.py", "cli/test_gates.py", "integration/test_benchmarks.py"]
    ordered = sorted(names, key=lambda name: collecting.rank(collecting.TESTS / name))
    assert ordered == [names[3], names[1], names[0], names[2]]
    assert collecting.rank(collecting.TESTS / "docs_of_another" / "test_it.py") == len(collecting.LONGEST)


def test_only_files_that_name_the_mark_are_read_for_the_long_runs(tmp_path: Path) -> None:
    names = ("test_one.py", "test_by_another.py", "test_other.py", "helper.py")
    named, by_another, unnamed, helper = (tmp_path / name for name in names)
    named.write_text("@pytest.mark.deep\ndef test_it(): ...\n")
    by_another.write_text(f"from {collecting.MARKING[0]} import KINDS\n")
    unnamed.write_text("def test_it(): ...\n")
    helper.write_text("")

    def ignored(path: Path, expression: str) -> Any:
        config: Any = SimpleNamespace(option=SimpleNamespace(markexpr=expression))
        return collecting.pytest_ignore_collect(path, config)

    assert [ignored(path, "deep") for path in (named, by_another, helper, tmp_path)] == [None] * 4
    assert ignored(unnamed, "deep") is True
    # Without the mark, with another expression of it, or with none.
    assert {ignored(unnamed, one) for one in ("", "not deep and not nightly", "nightly", "deep or nightly")} == {None}


@pytest.mark.parametrize(
    ("text", "expression", "left_out"),
    [
        ("pytestmark = pytest.mark.deep\n", "not deep and not nightly", True),
        ("pytestmark = [pytest.mark.nightly, pytest.mark.timeout(9)]\n", "not deep and not nightly", True),
        ("pytestmark = pytest.mark.checkout\n", "not deep and not nightly", False),
        ("pytestmark = pytest.mark.checkout\n", "not deep and not nightly and not checkout", True),
        # Another test of the file may have no such mark.
        ("@pytest.mark.deep\ndef test_it(): ...\n", "not deep and not nightly", False),
        ("class TestIt:\n    pytestmark = pytest.mark.deep\n", "not deep and not nightly", False),
        ("pytestmark = pytest.mark.deep\n", "not deep or checkout", False),
        ("pytestmark = pytest.mark.deep\n", "nightly", False),
        ("pytestmark = pytest.mark.deep\n", "", False),
    ],
)
def test_a_file_that_is_left_out_as_a_whole_is_not_read(
    tmp_path: Path, text: str, expression: str, left_out: bool
) -> None:
    path = tmp_path / "test_one.py"
    path.write_text(text)
    assert collecting.is_left_out(path, expression) is left_out
    helper = tmp_path / "helper.py"
    helper.write_text(text)
    assert not collecting.is_left_out(helper, expression)


@pytest.mark.parametrize("value", ["x" * 1_000_000, "y" * 101, b"z" * 4_000])
def test_a_long_parameter_has_a_short_name(value: str | bytes, request: pytest.FixtureRequest) -> None:
    assert len(value) > collecting.LONGEST_NAME
    assert request.node.name.endswith(f"... {len(value)}]")
    assert len(request.node.name) < 200
    assert collecting.pytest_make_parametrize_id(value[:100]) is None


def test_no_other_module_marks_tests_as_long_runs() -> None:
    helpers = [path for path in collecting.TESTS.rglob("*.py") if not path.name.startswith("test_")]
    marking = [path.relative_to(collecting.TESTS.parent) for path in helpers if "mark.deep" in path.read_text("utf-8")]
    assert tuple(".".join(path.with_suffix("").parts) for path in marking) == collecting.MARKING
    # Which conftest.py isn't: nobody imports that by name.
    assert all(not name.endswith(".conftest") for name in collecting.MARKING)


def test_the_tests_themselves_are_no_garbage_to_look_through() -> None:
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000
