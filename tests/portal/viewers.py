"""Software that travels, for tests: an honest bundle that lists laboratory values, and one that tries every way out.

The honest one adds its numbers with a WebAssembly module, so that a test which reads the sum knows that it ran.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

BUNDLES: Final = Path(__file__).parent / "viewer_bundles"
NAME: Final = "Laboratory list"
ADD: Final = bytes.fromhex(
    "0061736d01000000"  # magic, version 1
    "010701" + "60027c7c017c"  # one type: (f64, f64) -> f64
    "03020100"  # one function of it
    "070701" + "03616464" + "0000"  # exported as `add`
    "0a090107" + "00" + "20002001a00b"  # local.get 0, local.get 1, f64.add, end
)
"""A WebAssembly module that exports `add`, the sum of two numbers (WebAssembly core specification 1.0, section 5)."""


def write(folder: Path, files: Mapping[str, str | bytes] | None = None, **said: object) -> Path:
    """Write the folder of a bundle and return it.

    Args:
        folder: to be made.
        files: of the bundle beside its page and its program, or in their place; None gives those of the honest one.
        said: members of its `viewer.json` in place of the usual ones.
    """
    honest = {path.name: path.read_bytes() for path in (BUNDLES / "honest").iterdir()} | {"sum.wasm": ADD}
    usual: dict[str, object] = {"name": NAME, "version": "1.0", "about": "Lists values.", "wants": ["laboratory"]}
    content: dict[str, str | bytes] = dict(honest)
    if files is None:
        usual["style"] = "style.css"
    else:
        content = {name: honest[name] for name in ("index.html", "program.js")} | dict(files)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (content | {"viewer.json": json.dumps(usual | said)}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def hostile(folder: Path, *, evil: str, portal: str, trap: int) -> Path:
    """Write the folder of a bundle that tries everything, and return it.

    Args:
        folder: to be made.
        evil: origin of whoever listens.
        portal: origin of the portal.
        trap: port at which nobody may knock.
    """
    files: dict[str, str | bytes] = {}
    for path in (BUNDLES / "hostile").iterdir():
        text = path.read_text("utf-8")
        for name, value in (("ORIGIN-OF-EVIL", evil), ("ORIGIN-OF-PORTAL", portal), ("TRAP-PORT", str(trap))):
            text = text.replace(name, value)
        files[path.name] = text
    return write(folder, files, name="Nothing to see", style="style.css")
