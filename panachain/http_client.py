"""The one place where httpx is imported: without its command line, which nobody here uses.

`import httpx` also imports `httpx._main`, the program `httpx`, when click, rich and pygments are installed, as they are
here; that is half of the time that the import takes, and httpx means that module to be optional.
Import-linter holds that all of panachain takes httpx from here.
"""

from __future__ import annotations

from panachain.absent import absent

with absent("httpx._main"):
    import httpx as httpx
