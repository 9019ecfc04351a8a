"""Content that stays in its file until it is sealed.

Apart from records (`model/records.py`): whoever seals a file needs to know nothing of categories, actors and years.
Follows design section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

NO_COPIES: Final[Mapping[Path, bytes]] = MappingProxyType({})
"""Digests of copies, where files lie where they belong."""


@dataclass(frozen=True)
class FileContent:
    """Content that stays in its file until it is sealed, since it may be larger than memory."""

    path: Path = field(repr=False)
    size: int
    """Bytes; a file that has another size when it is read has changed, and isn't published."""
