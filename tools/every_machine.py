#!/usr/bin/env python3
"""Show that everything a checkout installs is there for each supported Python and machine.

What can't be run here is downloaded as that machine's pip would: the packages of `requirements/run.txt` (or `dev.txt`)
whose markers hold there, pinned and with their hashes, by `pip download --platform`; and Anvil as that machine's npm would, from
`tools/package-lock.json` by `npm ci --os --cpu`, whose program must be one for that system and processor. Nothing is run.
Fails when one has no wheel there; those that never had one, and are plain Python, stand in `SOURCES`.

    .venv/bin/python tools/every_machine.py [--python 3.14 ...] [--machine linux-arm64 ...] [--only anvil]
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from packaging.markers import Marker

ROOT: Final = Path(__file__).resolve().parents[1]
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
SOURCES: Final = ("varint",)
"""Plain Python, which its author publishes as source only: pip builds it anywhere."""
# By machine: what wheels call it, and what markers do.
MACHINES: Final = {
    "linux-x86_64": (
        ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_5_x86_64"),
        {"platform_machine": "x86_64", "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    ),
    "linux-arm64": (
        ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64", "manylinux_2_31_aarch64"),
        {"platform_machine": "aarch64", "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    ),
    "macos-arm64": (
        ("macosx_11_0_arm64", "macosx_12_0_arm64", "macosx_14_0_arm64", "macosx_10_9_universal2"),
        {"platform_machine": "arm64", "sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    ),
}
ANVIL: Final = {
    # ELF for x86-64 (machine 0x3e) and arm64 (0xb7); Mach-O of 64 bits for arm64 (CPU type 0x0100000c).
    "linux-x86_64": ("linux", "x64", "anvil-linux-amd64", rb"\x7fELF.{14}\x3e\x00"),
    "linux-arm64": ("linux", "arm64", "anvil-linux-arm64", rb"\x7fELF.{14}\xb7\x00"),
    "macos-arm64": ("darwin", "arm64", "anvil-darwin-arm64", rb"\xcf\xfa\xed\xfe\x0c\x00\x00\x01"),
}
"""By machine: what npm calls its system and processor, the package of its Anvil, and how a program for it begins."""


def locked(lock: str, python: str, markers: dict[str, str]) -> str:
    """Return the lines of the lock that hold for a Python and a machine, with their hashes and without markers."""
    environment = markers | {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "requirements" / f"{lock}.txt").read_text())
    kept = []
    for entry in re.split(r"\n(?=\S)", text.strip()):
        head, _, hashes = entry.partition("\\\n")
        name, _, marker = head.partition(";")
        if not marker or Marker(marker.strip()).evaluate(environment):
            kept.append(f"{name.strip()} \\\n{hashes}")
    return "\n".join(kept) + "\n"


def download(lock: str, python: str, machine: str) -> tuple[int, str]:
    """Return how many packages came, and what pip said when one didn't."""
    platforms, markers = MACHINES[machine]
    with tempfile.TemporaryDirectory() as place:
        wanted = Path(place) / "wanted.txt"
        wanted.write_text(locked(lock, python, markers))
        options = [part for platform in platforms for part in ("--platform", platform)]
        options += ["--python-version", python, "--implementation", "cp", "--only-binary", ":all:"]
        options += [part for name in SOURCES for part in ("--no-binary", name)]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", *options]
        done = subprocess.run(
            [*command, "--dest", f"{place}/found", "-r", wanted], capture_output=True, text=True, check=False
        )
        found = list(Path(place, "found").glob("*"))
        return len(found), "" if done.returncode == 0 else done.stderr.strip()[-600:]


def anvil(machine: str) -> str:
    """Return what is wrong with the Anvil that npm installs on a machine, or nothing."""
    system, processor, package, magic = ANVIL[machine]
    with tempfile.TemporaryDirectory() as place:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(ROOT / "tools" / name, place)
        command = ["npm", "ci", "--ignore-scripts", "--omit=dev", f"--os={system}", f"--cpu={processor}"]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stderr.strip()[-600:]
        found = sorted(Path(place, "node_modules/@foundry-rs").glob("anvil-*/bin/anvil"))
        if [path.parts[-3] for path in found] != [package]:
            return f"npm installed {[path.parts[-3] for path in found]}, expected {package}"
        with found[0].open("rb") as file:
            start = file.read(64)
        return "" if re.match(magic, start, re.DOTALL) else f"{package} has no program for {machine}"


def main() -> int:
    """Print a line for each Python and machine; return 1 if one lacks a package."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--python", nargs="*", choices=PYTHONS, default=PYTHONS)
    options.add_argument("--machine", nargs="*", choices=sorted(MACHINES), default=sorted(MACHINES))
    options.add_argument("--lock", choices=("run", "dev"), default="run", help="dev: what the tests need, too")
    options.add_argument("--only", choices=("packages", "anvil"))
    given = options.parse_args()
    failed = False
    for machine in given.machine if given.only != "packages" else ():
        fault = anvil(machine)
        print(f"Anvil on {machine}: {fault or ANVIL[machine][2]}", flush=True)
        failed = failed or bool(fault)
    if given.only == "anvil":
        return int(failed)
    for python in given.python:
        for machine in given.machine:
            count, fault = download(given.lock, python, machine)
            print(f"Python {python} on {machine}: {fault or f'{count} packages'}", flush=True)
            failed = failed or bool(fault)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
