"""The table of labels: no two uses share one, and none is used that isn't written there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from panachain.crypto import labels

VECTORS = Path(__file__).parents[2] / "vectors" / "labels.json"
ALL = {name: value for name, value in vars(labels).items() if isinstance(value, bytes) and name.isupper()}


def test_no_two_uses_share_a_label() -> None:
    assert len(ALL) > 20
    assert len(set(ALL.values())) == len(ALL)


def test_a_label_is_never_changed() -> None:
    # What was sealed, derived or signed under a label is lost with it. A new use is a new line in both.
    assert {name: value.decode() for name, value in ALL.items()} == json.loads(VECTORS.read_text("utf-8"))


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
