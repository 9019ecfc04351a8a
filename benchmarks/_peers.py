"""What a benchmark needs and a bare machine lacks: a peer's row says so, and without the rest a line does.

The programs that we are compared with are found on the path, or fetched once into .cache/peers. A peer that this
machine can't have is None. Never ends in a traceback because something isn't installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from panachain.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(os.environ.get("PANA_BENCH_PEERS", ROOT / ".cache" / "peers"))


@contextmanager
def needed() -> Iterator[None]:
    """Say what the machine lacks, and end well, where a benchmark can't run without it."""
    try:
        yield
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        if package == "panachain":
            raise
        _end(f"the Python package {package}", "./pana setup dev brings it")
    except ConfigurationError as exc:
        if "no anvil program" not in str(exc):
            raise
        _end("the program anvil", str(exc.hint))


def age() -> Path | None:
    """Return the `age` program (filippo.io/age), built with Go where there is none."""
    # Both come together: a key is needed as well.
    found = _found("age") if _found("age-keygen") else None
    return found or _built("age", "filippo.io/age/cmd/...@v1.3.1")


def age_key(folder: Path) -> str | None:
    """Return a recipient of age, whose identity lies in the folder; None where it can't be made."""
    identity = folder / "age-identity.txt"
    keygen = str(_found("age-keygen") or FOLDER / "age-keygen")
    if not identity.exists() and _run([keygen, "-o", str(identity)], 30) is None:
        return None
    answer = _run([keygen, "-y", str(identity)], 30)
    return answer.strip() if answer else None


def restic() -> Path | None:
    """Return the `restic` program, taken from Debian's package where there is none."""
    return _found("restic") or _unpacked("restic", "usr/bin/restic")


def ipfs() -> Path | None:
    """Return Kubo's `ipfs` program, built by scripts/build_kubo.sh."""
    built = ROOT / ".cache" / "kubo" / "ipfs"
    return _found("ipfs") or (built if built.exists() else None)


def _found(name: str) -> Path | None:
    here = FOLDER / name
    if here.exists():
        return here
    found = shutil.which(name)
    return Path(found) if found else None


def _built(name: str, package: str) -> Path | None:
    if shutil.which("go") is None:
        return None
    FOLDER.mkdir(parents=True, exist_ok=True)
    done = _run(["go", "install", package], 600, environment={"GOBIN": str(FOLDER)})
    return FOLDER / name if done is not None and (FOLDER / name).exists() else None


def _unpacked(package: str, program: str) -> Path | None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return None
    FOLDER.mkdir(parents=True, exist_ok=True)
    fetched = _run(["apt-get", "download", package], 300, folder=FOLDER)
    archives = sorted(FOLDER.glob(f"{package}_*.deb"))
    unpacked = FOLDER / "unpacked"
    if fetched is None or not archives or _run(["dpkg-deb", "-x", str(archives[-1]), str(unpacked)], 60) is None:
        return None
    shutil.copy(unpacked / program, FOLDER / package)
    shutil.rmtree(unpacked)
    return FOLDER / package


def _run(
    command: list[str], seconds: float, *, environment: dict[str, str] | None = None, folder: Path | None = None
) -> str | None:
    """Return what a program printed, or None where it isn't there, failed, or didn't end in time."""
    try:
        done = subprocess.run(
            command,
            env=os.environ | (environment or {}),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _end(what: str, how: str) -> None:
    print(f"not measured: this machine lacks {what}; {how}")
    sys.exit(0)
