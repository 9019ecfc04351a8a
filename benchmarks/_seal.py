"""Seal one file into a fresh embedded store: a whole process for benchmarks/storage.py to measure.

python benchmarks/_seal.py FILE STORE
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from panachain.model.records import FileContent
from panachain.records.content import content_context, seal_content
from panachain.storage.embedded import EmbeddedStore

if __name__ == "__main__":
    path, folder = Path(sys.argv[1]), Path(sys.argv[2])
    store = EmbeddedStore(folder)
    content = FileContent(path, path.stat().st_size)
    key = os.urandom(32)
    sealed = seal_content(content, key, content_context(generation=0, index=0), store)
    store.close()
    print(sealed.cid, key.hex(), sealed.head.hex())
