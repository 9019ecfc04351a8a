"""The one place where httpx is imported: without its command line, which nobody here uses.

`import httpx` also imports `httpx._main`, the program `httpx`, when click, rich and pygments are installed, as they are
here; that is half of the time that the import takes. httpx means that module to be optional, so it is made absent while
httpx is imported. Import-linter holds that all of panachain takes httpx from here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final, cast

_COMMAND_LINE: Final = "httpx._main"


@contextmanager
def _absent(module: str) -> Iterator[None]:
    """Make an import of `module` fail as if it weren't installed; one that is loaded stays."""
    if module in sys.modules:
        yield
        return
    # None makes the import system raise ModuleNotFoundError (The Python Language Reference, section 5.3.1).
    sys.modules[module] = cast(ModuleType, None)
    try:
        yield
    finally:
        # Whoever wants it later gets it.
        del sys.modules[module]


with _absent(_COMMAND_LINE):
    import httpx as httpx
