"""Every failure that PanaChain reports on purpose is in one tree, has a hint, and is what the docstring draws."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

import panachain
from panachain import errors
from panachain.errors import PanaChainError

PACKAGE = Path(panachain.__file__).parent
INSIDE = {
    # What a store's transport raises and its client catches; storage/kubo.py makes errors of the tree.
    *("Refused", "_BrokenAnswerError", "LateFailureError"),
    # What the wire raises, in httpx's names; its clients make errors of the tree (ADR 68).
    *("WireError", "ConnectError", "ConnectTimeout", "ReadError", "ReadTimeout"),
    *("LocalProtocolError", "RemoteProtocolError", "UnsupportedProtocol"),
    # Which page a request of a browser gets: nobody but the portal's application sees them.
    *("RefusedError", "LockedPageError"),
    # What the command line's output raises where nothing more can be written; main tells it.
    "UnwrittenError",
    # What a security key says that whoever asks it foresaw.
    "_PassedError",
    # What an implementation of Umbral raises, and its wrapper turns into an error of the tree.
    "VerificationError",
    # What the viewer says of a part that can't be shown; the part says so in its place.
    *("UnreadableError", "_UnshownError"),
}
"""Outside the tree: they reach no caller of the package."""


def tree() -> list[type[PanaChainError]]:
    """Return every class of the tree, those that other modules add included."""
    for module in pkgutil.walk_packages(panachain.__path__, "panachain."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: list[type[PanaChainError]] = [PanaChainError]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if kind.__module__.startswith("panachain.")]


def made(error: type[PanaChainError], hint: str = "") -> PanaChainError:
    """Make an error of a class, whatever else it wants."""
    parameters = inspect.signature(error).parameters
    wanted = [name for name, one in parameters.items() if one.default is inspect.Parameter.empty]
    given: dict[str, Any] = {name: "it failed" if name in ("message", "detail") else 0 for name in wanted}
    return error(**given, **({"hint": hint} if "hint" in parameters else {}))


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
class TestEveryError:
    def test_has_a_hint_of_its_own_kind(self, kind: type[PanaChainError]) -> None:
        assert made(kind).hint
        if "hint" in inspect.signature(kind).parameters:
            assert made(kind, "do this").hint == "do this"

    def test_ends_in_error_and_says_what_it_means(self, kind: type[PanaChainError]) -> None:
        assert kind.__name__.endswith("Error")
        assert kind.__doc__

    def test_has_an_exit_code_of_the_command_line(self, kind: type[PanaChainError]) -> None:
        assert kind.exit_code in range(1, 8)


def test_the_docstring_draws_the_tree_as_it_is() -> None:
    drawn: dict[str, tuple[int, int]] = {}
    for line in (errors.__doc__ or "").splitlines():
        if found := re.fullmatch(r"    ([│├└─ ]*)(\w+Error) +(\d)(?: .*)?", line):
            drawn[found[2]] = len(found[1]) // 4, int(found[3])
    own = [kind for kind in tree() if kind.__module__ == errors.__name__]
    assert drawn == {kind.__name__: (len(_above(kind)), kind.exit_code) for kind in own}


def _above(kind: type[PanaChainError]) -> list[type]:
    return [one for one in kind.__mro__[1:] if issubclass(one, PanaChainError)]


def test_whatever_is_raised_is_of_the_tree() -> None:
    """Besides it: what Python's and other packages' protocols ask for, such as `AttributeError` in `__getattr__`."""
    texts = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    ours = {name for text in texts.values() for name in re.findall(r"^ *class (\w+)", text, re.M)}
    known = {kind.__name__ for kind in tree()} | INSIDE
    assert known - INSIDE <= ours
    raised = [
        (path, found[1]) for path, text in texts.items() for found in re.finditer(r"\braise\s+(?:\w+\.)*(\w+)\(", text)
    ]
    assert len(raised) > 1_000
    outside = {"Exception", "BaseException"} | (ours - known)
    assert [f"{path.relative_to(PACKAGE)} raises {name}" for path, name in raised if name in outside] == []
