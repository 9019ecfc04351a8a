"""The command line as a process of its own: what `panachain` and `python -m panachain.cli` run.

Never does anything but call main(), with Python's collector of cycles out of its way: while modules load there is
nothing to collect, and at the end the process's memory goes away as a whole (ADR 68). Follows docs/spec/cli.md.
"""

from __future__ import annotations

import gc
import sys
from typing import Final

_YOUNG: Final = 20_000
"""Objects between two collections; Python's own 700 make a hundred of them while modules load."""


def run() -> int:
    """Run the command line and return its exit code, as the last thing that this process does."""
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
