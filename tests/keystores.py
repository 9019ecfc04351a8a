"""The one way in which tests make key stores cheap: the cost of Argon2id is replaced in the test's own process.

No setting, argument or variable of the program does it, and nothing in the package imports this.
"""

from __future__ import annotations

import pytest

from panachain.crypto import wraps


def make_cheap(patch: pytest.MonkeyPatch, *, for_this_process_only: bool = False) -> None:
    """Let new key stores of this process cost little.

    Args:
        patch: takes it back.
        for_this_process_only: cost nothing at all. Other processes, which the patch doesn't reach, refuse such files.
    """
    patch.setattr(wraps, "USUAL", wraps.LEAST)
    if for_this_process_only:
        none = wraps.Cost(memory=8, iterations=1, lanes=1)
        patch.setattr(wraps, "USUAL", none)
        patch.setattr(wraps, "LEAST", none)
        patch.setattr(wraps, "MOST", wraps.Cost(memory=1 << 10, iterations=4, lanes=16))
