"""Optional modules that libraries import if they can, and that cost a command more than they are worth.

It imports nothing of its own, and nothing is changed for good: a module is absent while a library is imported, and
whoever wants it later gets it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import cast


@contextmanager
def absent(module: str) -> Iterator[None]:
    """Make an import of `module` fail as if it weren't installed; one that is loaded already stays."""
    if module in sys.modules:
        yield
        return
    # None makes the import system raise ModuleNotFoundError (The Python Language Reference, section 5.3.1).
    sys.modules[module] = cast(ModuleType, None)
    try:
        yield
    finally:
        del sys.modules[module]
