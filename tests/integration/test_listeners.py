"""A network of one's own listens on loopback, with every program that it starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import World

LISTENS = "0A"
"""TCP_LISTEN, as /proc/net/tcp has it (proc(5))."""
LOOPBACK = ("7F", "00000000000000000000000001000000")
"""127.0.0.0/8 ends in it, since the kernel writes words with their lowest byte first; and ::1."""


def sockets(process: Path) -> Iterator[str]:
    """Yield the inodes of a process's sockets."""
    for descriptor in (process / "fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def listening(process: Path) -> list[str]:
    """Return the addresses at which a process listens, as the kernel writes them."""
    mine = set(sockets(process))
    rows = [line.split() for name in ("tcp", "tcp6") for line in (process / "net" / name).read_text().splitlines()[1:]]
    return [row[1].partition(":")[0] for row in rows if row[3] == LISTENS and row[9] in mine]


@pytest.mark.deep
@pytest.mark.skipif(not Path("/proc/net/tcp").is_file(), reason="only Linux tells who listens where")
def test_every_program_of_the_devnet_listens_on_loopback_only(world: World) -> None:
    home = str(world.home).encode()
    found: list[str] = []
    programs = 0
    for process in Path("/proc").iterdir():
        try:
            if (
                process.name.isdigit()
                and home in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            ):
                here = listening(process)
                programs += bool(here)
                found += here
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    # Two chains, the gate and three proxies at least.
    assert programs >= 5
    assert [one for one in found if not (one.endswith(LOOPBACK[0]) or one == LOOPBACK[1])] == []
