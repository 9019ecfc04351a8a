"""How long a command takes to start: processor time of `panachain whoami`, of its imports alone, and with an agent.

    ./pana bench startup [--rounds N] [--against FOLDER] [--quick]

Python that does nothing stands beside it. Two nodes on which nothing has happened yet answer at once. `--against`
measures another checkout by turns, in the same environment; it has to read this one's key store. Timings never fail
anything: tests/cli/test_imports.py holds which packages a command may load.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from _measure import Run, row, run
from _node import running_node, write_network
from _running import running

from panachain.agent import client
from panachain.model.actors import Role
from panachain.sdk.profiles import Profile, create_profile, start_agent, unlock

HERE = Path(__file__).resolve().parents[1]
GOAL = 0.25
"""Seconds of processor time of imports."""
PROFILE = "me"
PASSPHRASE = "passphrase of a benchmark"  # noqa: S105 - it locks nothing else.
UNLOCK = (0.5, 1.5)
"""Seconds that opening a key store takes by design."""
AGENT = 0.5
"""What a command may cost with an agent, of what it costs without."""
WHOLE = 0.3
"""Seconds of processor time of a whole command with an agent."""
_LOADED = """
import json, os, sys
before = set(sys.modules)
from panachain.cli.main import main
kept = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
code = main({arguments!r})
sys.stdout.flush()
os.dup2(kept, 1)
print(json.dumps([name for name in sys.modules if name not in before and not name.startswith("__")]))
sys.exit(code)
"""
_IMPORTS = """
import sys, time, importlib
started = time.process_time()
for name in {names!r}:
    if name not in sys.modules:
        try:
            importlib.import_module(name)
        except ImportError:
            pass  # A library registered it while it was imported; no file has this name.
print(time.process_time() - started)
"""


class Checkout:
    """One version of PanaChain, measured with the packages of this environment."""

    def __init__(self, folder: Path, home: Path) -> None:
        """Take where it lies, and a home with a profile; note which modules `whoami` loads."""
        self.folder = folder
        self._environment = {
            "PYTHONPATH": str(folder),
            "PANACHAIN_HOME": str(home),
            "PANACHAIN_PASSPHRASE_FILE": str(home / "passphrase"),
            # Both versions find bytecode, as after a set-up.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(home / "bytecode"),
        }
        self._arguments = ["--profile", PROFILE, "whoami"]
        loaded = self._python(_LOADED.format(arguments=self._arguments)).output
        self.modules: list[str] = json.loads(loaded.splitlines()[-1])
        self._imports = _IMPORTS.format(names=["panachain.cli.main", *self.modules])

    def whole(self, *more: str) -> Run:
        """Run the command."""
        command = [sys.executable, "-m", "panachain.cli", *self._arguments, *more]
        return run(command, environment=self._environment, cwd=self.folder)

    def imports(self) -> float:
        """Return the processor time of importing all that the command loads, in seconds."""
        return float(self._python(self._imports).output)

    def nothing(self) -> Run:
        """Run Python, and nothing in it."""
        return self._python("pass")

    def _python(self, program: str) -> Run:
        return run([sys.executable, "-c", program], environment=self._environment, cwd=self.folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--against", type=Path, help="another checkout, such as of an earlier commit")
    parser.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds = 1
    with tempfile.TemporaryDirectory() as folder, running_node() as url:
        home = Path(folder)
        (home / "passphrase").write_text(PASSPHRASE)
        (home / "passphrase").chmod(0o600)
        profile = create_profile(home, PROFILE, Role.PATIENT, PASSPHRASE)
        write_network(home / "network.json", url)
        checkouts = [Checkout(one, home) for one in (HERE, options.against) if one is not None]
        for checkout in checkouts:
            # The first run of each writes bytecode.
            checkout.imports()
        rounds = [[(one.whole(), one.imports()) for one in checkouts] for _ in range(options.rounds)]
        for place, checkout in enumerate(checkouts):
            cpu = statistics.median(figures[place][0].cpu for figures in rounds)
            imports = statistics.median(figures[place][1] for figures in rounds)
            name = "this checkout" if checkout.folder == HERE else checkout.folder.name
            row(f"{name}: `panachain whoami`, processor time", f"{cpu:.2f} s", "", None)
            figure = f"{imports:.2f} s, {len(checkout.modules)} modules"
            row(f"{name}: its imports alone", figure, f"<= {GOAL} s", imports / GOAL, at_least=False, bound=1)
        _unlocking(checkouts[0], profile, options.rounds)


def _unlocking(checkout: Checkout, profile: Profile, rounds: int) -> None:
    """Measure what unlocking costs, and a command with an agent against one without, by turns."""
    spent = []
    for _ in range(rounds):
        before = time.process_time()
        unlock(profile, PASSPHRASE)
        spent.append(time.process_time() - before)
    least, most = UNLOCK
    cpu = statistics.median(spent)
    row("unlock, processor time", f"{cpu:.2f} s", f"{least} to {most} s", cpu / most, at_least=False, bound=1)
    home = profile.folder.parents[1]
    start_agent(home, profile, PASSPHRASE, 3600)
    try:
        figures = [
            (checkout.whole().cpu, checkout.whole("--no-agent").cpu, checkout.nothing().cpu) for _ in range(rounds)
        ]
    finally:
        client.lock(home, profile.name)
    having, lacking, nothing = (statistics.median(one[place] for one in figures) for place in (0, 1, 2))
    row(
        "`panachain whoami` with an agent, processor time",
        f"{having:.2f} s, `python -c pass` {nothing:.3f} s",
        f"<= {WHOLE} s",
        having / WHOLE,
        at_least=False,
        bound=1,
    )
    row(
        "`panachain whoami` with an agent against without",
        f"{having / lacking:.2f} ({having:.2f} of {lacking:.2f} s)",
        f"<= {AGENT}",
        having / lacking / AGENT,
        at_least=False,
        bound=1,
    )


if __name__ == "__main__":
    with running():
        main()
