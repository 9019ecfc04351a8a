"""Seal one file into a fresh embedded store: a whole process for benchmarks/storage.py to measure.

python benchmarks/_seal.py FILE STORE
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path


def seal(path: Path, folder: Path) -> None:
    """Seal a file and print its CID, its key and its stream's header."""
    # Imported here, as the command line's own process does (panachain/cli/__main__.py, ADR 68).
    from panachain.model.file_content import FileContent
    from panachain.records.content import content_context, seal_content
    from panachain.storage.embedded import EmbeddedStore

    store = EmbeddedStore(folder)
    content = FileContent(path, path.stat().st_size)
    key = os.urandom(32)
    sealed = seal_content(content, key, content_context(generation=0, index=0), store)
    store.close()
    print(sealed.cid, key.hex(), sealed.head.hex())


if __name__ == "__main__":
    gc.set_threshold(100_000, *gc.get_threshold()[1:])
    seal(Path(sys.argv[1]), Path(sys.argv[2]))
    gc.freeze()
