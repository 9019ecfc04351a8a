"""Large content: sealing against age, its processor time against its parts, memory, opening, and Kubo against ipfs cat.

    ./pana bench storage [--mib 1024] [--rounds 5] [--quick] [--only seal]

Prints figures and ratios, and fails nothing. age computes no hash and waits for no disk; we do both. So age stands
there three times: as it is, with the wait for the disk that we have in any case, and where no disk is (in memory).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import _peers
from _measure import Run, in_turns, median, row, run
from _running import running
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from panachain.ipld.cid import CID
from panachain.records.content import Content, content_context
from panachain.storage.embedded import EmbeddedStore

MIB = 1 << 20
# Whatever this machine sets: bytecode is found, as after a set-up.
BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
CONTEXT = content_context(generation=0, index=0)


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--mib", type=int, default=1024)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--quick", action="store_true", help="little of everything: whether it runs")
    options.add_argument("--only", choices=("seal",), help="sealing against age alone")
    given = options.parse_args()
    if given.quick:
        given.mib, given.rounds = 20, 1
    small_mib = 4 if given.quick else 100
    with tempfile.TemporaryDirectory(dir=os.environ.get("PANA_BENCH_FOLDER")) as place:
        folder = Path(place)
        BYTECODE["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
        (folder / "empty").write_bytes(b"")
        # The first one compiles what the measured ones load.
        sealing(folder, folder / "empty")
        large, small = folder / "large", folder / "small"
        for path, mib in ((large, given.mib), (small, small_mib)):
            with open(path, "wb") as file:
                for _ in range(mib):
                    file.write(os.urandom(MIB))
        seal(folder, large, f"{given.mib} MiB incompressible: read, seal, CID, store", given.rounds, 1.3)
        seal(folder, small, f"{small_mib} MiB of the same", given.rounds, 0.9)
        in_memory(large, f"{given.mib} MiB where no disk is", given.rounds, 1.3)
        if given.only:
            return
        parts(folder, large)
        opening(folder, large)
        kubo(folder, 8 if given.quick else 256, given.rounds)


def sealing(folder: Path, path: Path) -> Run:
    """Seal a file in a process of its own into a fresh store."""
    store = folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    return run([sys.executable, Path(__file__).with_name("_seal.py"), path, store], environment=BYTECODE)


def seal(folder: Path, path: Path, what: str, rounds: int, goal: float) -> None:
    """Seal a file and let age encrypt it, by turns; age is also measured with the wait for the disk."""
    ours, theirs, waited = against_age(folder, path, rounds)
    line(what, ours, theirs, goal)
    if waited:
        line("  where age's file is waited for, too (fdatasync)", ours, waited, goal)
    modules = "import panachain.records.content, panachain.storage.embedded"
    baseline = run([sys.executable, "-c", modules], environment=BYTECODE)
    above = (max(one.peak for one in ours) - baseline.peak) / MIB
    row("  its memory above the program's own", f"{above:.0f} MiB", "<= 64 MiB", above, at_least=False, bound=64)


def in_memory(path: Path, what: str, rounds: int, goal: float) -> None:
    """Do the same in a folder that is memory."""
    shm = Path("/dev/shm")  # noqa: S108 - what lies there is of this benchmark only.
    if not shm.is_dir() or shutil.disk_usage(shm).free < 4 * path.stat().st_size:
        print(f"{what:58} no room in {shm}", flush=True)
        return
    with tempfile.TemporaryDirectory(dir=shm) as place:
        source = Path(place) / path.name
        shutil.copy(path, source)
        ours, theirs, _ = against_age(Path(place), source, rounds)
        line(what, ours, theirs, goal)


def line(what: str, ours: list[Run], theirs: list[Run], goal: float) -> None:
    """Print a row against age."""
    if theirs:
        ratio = median(theirs) / median(ours)
        row(what, f"{median(ours):.2f} s, age {median(theirs):.2f} s", f">= {goal} x age", ratio, bound=goal)
    else:
        row(what, f"{median(ours):.2f} s, age isn't here", f">= {goal} x age", None)


def against_age(folder: Path, path: Path, rounds: int) -> tuple[list[Run], list[Run], list[Run]]:
    """Return runs of ours, of age's, and of age's with the time until what it wrote is on disk."""
    age = _peers.age()
    recipient = _peers.age_key(folder) if age else None
    waited: list[Run] = []

    def encrypt() -> Run:
        assert age is not None
        assert recipient is not None
        target = folder / "aged"
        target.unlink(missing_ok=True)
        done = run([age, "-r", recipient, "-o", target, path])
        started = time.perf_counter()
        with open(target, "rb") as file:
            os.fdatasync(file.fileno())
        waited.append(replace(done, wall=done.wall + time.perf_counter() - started))
        return done

    ours, theirs = in_turns(lambda: sealing(folder, path), encrypt if recipient else None, rounds)
    return ours, theirs, waited


def parts(folder: Path, path: Path) -> None:
    """Compare processor time with that of AES-256-GCM, SHA-256 and a copy of the same bytes, in one thread."""
    cipher, buffer = AESGCM(bytes(32)), bytearray(MIB)
    plain = memoryview(buffer)[: MIB - 16]
    started = time.process_time()
    source = os.open(path, os.O_RDONLY)
    target = os.open(folder / "copy", os.O_WRONLY | os.O_CREAT)
    number, out = 0, bytearray(MIB)
    while os.preadv(source, [plain], number * len(plain)):
        cipher.encrypt_into(number.to_bytes(12, "big"), plain, None, out)
        sha256(out).digest()
        os.pwrite(target, out, number * MIB)
        number += 1
    os.close(source)
    os.close(target)
    sum_of_parts = time.process_time() - started
    base = sealing(folder, folder / "empty").cpu
    ours = sorted(sealing(folder, path).cpu - base for _ in range(3))[1]
    figure = f"{ours:.2f} s, parts {sum_of_parts:.2f} s"
    row("  its processor time against its parts", figure, "<= 1.15 x", ours / sum_of_parts, at_least=False, bound=1.15)


def opening(folder: Path, path: Path) -> None:
    """Open what was sealed, and a part of it."""
    cid, key, head = sealing(folder, path).output.split()
    store = EmbeddedStore(folder / "store")
    size = path.stat().st_size

    def content() -> Content:
        return Content(
            store, CID.parse(cid), bytes.fromhex(key), CONTEXT, size=size, digest=b"", head=bytes.fromhex(head)
        )

    started = time.perf_counter()
    done = sum(len(piece) for piece in content().chunks())
    speed = done / 1e6 / (time.perf_counter() - started)
    row("opening it from the local store", f"{speed:.0f} MB/s", ">= 500 MB/s", speed, bound=500)
    fetched = [0]
    get_block = store.get_block

    def counting(block: CID) -> bytes:
        data = get_block(block)
        fetched[0] += len(data)
        return data

    store.get_block = counting  # type: ignore[method-assign, assignment]
    content().read_range(size // 2, 65_536)
    figure = fetched[0] / MIB
    row("64 KiB from its middle fetch", f"{figure:.2f} MiB", "<= 3 MiB", figure, at_least=False, bound=3)
    store.close()


def kubo(folder: Path, mib: int, rounds: int) -> None:
    """Fetch and verify a file from Kubo, against `ipfs cat`."""
    from _kubo import compare

    compare(folder, mib, rounds)


if __name__ == "__main__":
    with running():
        main()
