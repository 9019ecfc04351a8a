"""The command line as a process of its own: what `panachain` and `python -m panachain.cli` run.

Never does anything but call main(), with Python's collector of cycles out of its way: while modules load there is
nothing to collect, and at the end the process's memory goes away as a whole (ADR 68). Follows docs/spec/cli.md.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Final

_YOUNG: Final = 100_000
"""Objects between two collections; Python's own 700 make a hundred of them while modules load, and 20,000 go through an
upload's records a dozen times."""


def hold_standard_descriptors() -> None:
    """Have descriptors 0 to 2 lead nowhere where whoever started this closed them.

    A database would get such a number else, and be written into by what talks to standard error.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free: this one.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))


def run() -> int:
    """Run the command line and return its exit code, as the last thing that this process does."""
    hold_standard_descriptors()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    # Imported here: the import itself would be collected in.
    from panachain.cli.main import main

    try:
        return main()
    finally:
        # The interpreter ends with a last collection, a fifth of a short command's time. What counts is out by then:
        # files are closed where they are written, and output, exit handlers and threads end as ever.
        gc.freeze()


if __name__ == "__main__":
    sys.exit(run())
