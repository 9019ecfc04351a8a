"""Version: that of the code as it runs, where the metadata on disk may be of a later one already.

`panachain/__init__.py` loads it with everything else, so that it stays that of the process.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
"""As in pyproject.toml."""
