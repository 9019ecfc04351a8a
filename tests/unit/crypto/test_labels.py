"""The table of labels: no two uses share one, and none is used that isn't written there."""

from __future__ import annotations

import re
from pathlib import Path

from panachain.crypto import labels

ALL = {name: value for name, value in vars(labels).items() if isinstance(value, bytes) and name.isupper()}


def test_no_two_uses_share_a_label() -> None:
    assert len(ALL) > 20
    assert len(set(ALL.values())) == len(ALL)


def test_each_names_the_project_and_a_version() -> None:
    for label in ALL.values():
        assert label.startswith(b"panachain/")
        assert re.search(rb"/\d+(/|$)", label)
        # Its length is one byte of a derivation.
        assert len(label) < 256


def test_no_label_is_written_elsewhere() -> None:
    package = Path(labels.__file__).parents[1]
    for path in package.rglob("*.py"):
        if path.name != "labels.py":
            assert not re.search(r"b\"panachain/", path.read_text()), path
