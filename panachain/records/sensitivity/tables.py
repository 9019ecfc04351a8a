"""The value sets as files: tab-separated, a line each, the first line names the columns.

Reads nothing but the package's own data. The columns of each file are said in docs/spec/sensitivity.md.
"""

from __future__ import annotations

from importlib import resources


def rows(name: str) -> list[list[str]]:
    """Return the lines of one data file, cut at tabs.

    Args:
        name: of the file, without its suffix.
    """
    text = resources.files(__package__).joinpath("data", f"{name}.tsv").read_text("utf-8")
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
