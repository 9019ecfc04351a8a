"""The command line as a process: no collection at its end, and all that it was to write is written."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import panachain.cli.main
from panachain.cli.__main__ import run


def process(setup: str) -> subprocess.CompletedProcess[str]:
    program = f"import sys\nfrom panachain.cli import main, __main__\n{setup}\nsys.exit(__main__.run())"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)


def test_output_exit_handlers_threads_and_the_exit_code_are_as_ever() -> None:
    done = process(
        "import atexit, threading, time\n"
        "def main_():\n"
        "    atexit.register(lambda: print('at exit'))\n"
        "    threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()\n"
        "    sys.stdout.write('no line end ')\n"
        "    sys.stderr.write('talk')\n"
        "    return 3\n"
        "main.main = main_"
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "no line end thread\nat exit\n", "talk")


def test_a_folder_for_a_while_goes_away() -> None:
    done = process(
        "import tempfile\nfrom pathlib import Path\n"
        "def main_():\n"
        "    folder = tempfile.TemporaryDirectory()\n"
        # In a circle, as what nobody closes may lie.
        "    circle = [folder]\n"
        "    circle.append(circle)\n"
        "    print(folder.name)\n"
        "    return 0\n"
        "main.main = main_\n"
    )
    assert done.returncode == 0
    assert not Path(done.stdout.strip()).exists()


def test_the_collector_waits_while_a_command_runs_and_works_on() -> None:
    done = process(
        "import gc\n"
        "def main_():\n"
        "    print(gc.isenabled(), gc.get_threshold()[0] >= 10_000)\n"
        "    return 0\n"
        "main.main = main_"
    )
    assert done.stdout == "True True\n"


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_no_file_gets_the_number_of_a_standard_stream_that_was_closed(tmp_path: Path, closed: str) -> None:
    """Else it gets what is said to standard error, by libraries and programs that are started, too."""
    program = (
        "import os, sys\nfrom panachain.cli import main, __main__\n"
        "def main_():\n"
        "    opened = open(sys.argv[1], 'r+b')\n"
        "    for number in (1, 2):\n"
        "        os.write(number, b'talk')\n"
        "    print('data')\n"
        "    sys.stderr.write('talk')\n"
        "    sys.stdin.read()\n"
        "    return 7 if opened.fileno() > 2 else 1\n"
        "main.main = main_\nsys.exit(__main__.run())"
    )
    kept = tmp_path / "kept"
    kept.write_bytes(b"a database")
    done = subprocess.run(
        ["bash", "-c", f'exec "$@" {closed}', "bash", sys.executable, "-c", program, str(kept)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, kept.read_bytes()) == (7, b"a database")


def test_an_installed_panachain_starts_there() -> None:
    (command,) = entry_points(group="console_scripts", name="panachain") or (None,)
    if command is not None:
        assert callable(command.load())
    assert callable(run)
    assert callable(panachain.cli.main.main)
