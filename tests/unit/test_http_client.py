"""httpx comes without its command line, and whoever wants that later gets it."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.strip()


def test_httpx_is_imported_without_its_command_line() -> None:
    code = "import sys; from panachain.http_client import httpx; httpx.Client; print('httpx._main' in sys.modules)"
    assert run(code) == "False"


def test_the_command_line_can_be_imported_later() -> None:
    assert (
        run("from panachain.http_client import httpx; import httpx._main; print(callable(httpx._main.main))") == "True"
    )


def test_a_command_line_that_is_loaded_stays() -> None:
    code = "import httpx, sys; import panachain.http_client; print('httpx._main' in sys.modules, callable(httpx.main))"
    assert run(code) == "True True"
