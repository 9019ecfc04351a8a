"""`python -m panachain.cli`: the command line without an installed entry point.

Never does anything but call main(). Follows docs/spec/cli.md.
"""

from __future__ import annotations

import sys

from panachain.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
