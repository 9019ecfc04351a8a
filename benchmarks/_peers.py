"""The programs that we are compared with: found on the path, or fetched once into .cache/peers.

A peer that this machine can't have is None, and its row says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "peers"


def age() -> Path | None:
    """Return the `age` program (filippo.io/age), built with Go where there is none."""
    return _found("age") or _built("age", "filippo.io/age/cmd/...@v1.3.1")


def age_key() -> tuple[Path, str]:
    """Return an identity file of age and its recipient."""
    identity = FOLDER / "age-identity.txt"
    keygen = _found("age-keygen") or FOLDER / "age-keygen"
    if not identity.exists():
        subprocess.run([keygen, "-o", identity], check=True, capture_output=True, timeout=30)
    answer = subprocess.run([keygen, "-y", identity], check=True, capture_output=True, text=True, timeout=30)
    return identity, answer.stdout.strip()


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
    environment = os.environ | {"GOBIN": str(FOLDER)}
    done = subprocess.run(["go", "install", package], env=environment, capture_output=True, timeout=600, check=False)
    return FOLDER / name if done.returncode == 0 else None


def _unpacked(package: str, program: str) -> Path | None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return None
    FOLDER.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(
        ["apt-get", "download", package], cwd=FOLDER, capture_output=True, timeout=300, check=False
    )
    archives = sorted(FOLDER.glob(f"{package}_*.deb"))
    if fetched.returncode != 0 or not archives:
        return None
    unpacked = FOLDER / "unpacked"
    subprocess.run(["dpkg-deb", "-x", archives[-1], unpacked], check=True, timeout=60)
    shutil.copy(unpacked / program, FOLDER / package)
    shutil.rmtree(unpacked)
    return FOLDER / package
