"""What swells: a few bytes that unpack to gigabytes, and one attachment that a Bundle names again and again.

A record's full size is known before a byte of it is unpacked, so that a bomb costs nothing; what is within the limits
goes through in pieces. Follows security rule 22 and ADR 17.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

import pytest

from panachain.cli.files import new_folder
from panachain.errors import IntegrityError, PartlyDoneError, TooLargeError
from panachain.sdk.results.records import OpenedRecord
from tests.hostile.evil_hospital import EvilHospital, packed_zeros
from tests.twin.world import World, running_world
from tests.unit.sdk.helpers import grant, upload

MIB: Final = 1 << 20
T = TypeVar("T")
ROOT: Final = Path(__file__).resolve().parents[2]
CHILD: Final = """
import sys, types
sys.path.insert(0, "")
# A package of this name that somebody installed would come first.
sys.modules["tests"] = types.ModuleType("tests")
sys.modules["tests"].__path__ = ["tests"]
from tests.hostile.test_bombs import child
child()
"""
_MARK: Final = (
    '{"resource":{"resourceType":"Binary","contentType":"text/plain","_data":{"extension":[{"url":'
    '"urn:panachain:attachment","valueString":"sha256:%s"}]}}}'
)


def traced(work: Callable[[], T]) -> tuple[T, int]:
    """Return what some work returns, and the most bytes that it held at once."""
    tracemalloc.start()
    try:
        found = work()
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def limit(world: World, record: int, opening: int = 1 << 40) -> None:
    world.network.config = replace(world.network.config, record_limit=record, opening_limit=opening)


def zeros(evil: EvilHospital, size: int) -> None:
    """Publish so many bytes of zeros, whose sealed form is a ten thousandth of it."""
    envelope = evil.envelope()
    evil.add(envelope, packed=packed_zeros(size), size=size, media_type="text/plain")
    evil.seal(envelope)
    evil.publish()


def named_again(evil: EvilHospital, attachment: bytes, times: int) -> None:
    """Publish a Bundle that names one attachment so many times."""
    mark = _MARK % sha256(attachment).hexdigest()
    bundle = '{"resourceType":"Bundle","type":"collection","entry":[' + ",".join([mark] * times) + "]}"
    envelope = evil.envelope()
    evil.add(envelope, bundle.encode())
    evil.add(envelope, attachment, media_type="text/plain")
    evil.seal(envelope)
    evil.publish()


def written(world: World, folder: Path) -> tuple[list[int], list[str]]:
    """Open everything into a folder as the command line does; return the files' sizes, and what was left out."""
    opening = world.clinician.open(grant(world))
    with new_folder(folder) as output:
        try:
            for record in opening:
                try:
                    output.add(record.info, record.chunks(), record.to_json(), record.fhir_provenance())
                except TooLargeError as exc:
                    opening.leave_out(record, exc)
        except PartlyDoneError:
            assert opening.omissions
    assert all(isinstance(one.error, TooLargeError) for one in opening.omissions)
    sizes = [path.stat().st_size for path in sorted(folder.glob("0*"))]
    return sizes, [f"{one.hospital} {one.what} {one.error}" for one in opening.omissions]


def test_what_would_unpack_to_more_than_the_limit_is_left_out_before_it_is_unpacked(
    world: World, evil: EvilHospital, tmp_path: Path
) -> None:
    limit(world, 16 * MIB)
    upload(world, 2)
    zeros(evil, 64 * MIB)
    (sizes, (told,)), peak = traced(lambda: written(world, tmp_path / "opened"))
    assert len(sizes) == 2
    assert peak < 16 * MIB
    assert told.startswith(f"{evil.address} record ")
    assert "67,108,864 bytes" in told


def test_an_attachment_counts_as_often_as_its_bundle_names_it(world: World, evil: EvilHospital, tmp_path: Path) -> None:
    """One mebibyte, 60 times: each alone is within the limit."""
    limit(world, 16 * MIB)
    upload(world, 2)
    named_again(evil, bytes(MIB), 60)
    (sizes, (told,)), peak = traced(lambda: written(world, tmp_path / "opened"))
    # The attachment by itself is a record, too.
    assert sorted(sizes)[-1] == MIB
    assert len(sizes) == 3
    assert peak < 16 * MIB
    assert evil.address in told


def test_within_the_limit_it_comes_back_in_pieces_byte_for_byte(
    world: World, evil: EvilHospital, tmp_path: Path
) -> None:
    attachment = b"0123456789" * 200_000
    named_again(evil, attachment, 3)
    (bundle, _) = world.clinician.open(grant(world))
    content = json.loads(b"".join(bundle.chunks()))
    assert {entry["resource"]["data"] for entry in content["entry"]} == {base64.b64encode(attachment).decode()}
    assert max(map(len, bundle.chunks())) < 3 * MIB


def test_all_records_of_an_opening_have_a_limit_and_what_still_fits_is_opened(
    world: World, evil: EvilHospital, tmp_path: Path
) -> None:
    limit(world, 8 * MIB, 10 * MIB)
    for _ in range(3):
        zeros(evil, 4 * MIB)
    sizes, (told,) = written(world, tmp_path / "opened")
    assert sizes == [4 * MIB] * 2
    assert "opening_limit" in told


def test_a_record_of_which_the_store_holds_as_much_may_be_larger(world: World, evil: EvilHospital) -> None:
    """An image of many mebibytes swells nothing: it is as large in the store."""
    limit(world, MIB)
    noise = os.urandom(3 * MIB)
    evil.record(noise)
    evil.publish()
    (record,) = world.clinician.open(grant(world))
    assert record.content == noise


def test_a_root_that_states_more_leaves_than_it_has_buys_nothing(world: World, evil: EvilHospital) -> None:
    """Its sealed size is stated, not proven; the second segment, which is the first one again, doesn't open."""
    limit(world, MIB)
    noise = os.urandom(2 * MIB)
    envelope = evil.envelope()
    evil.add(envelope, noise)
    leaves = list(evil.store.read_file(envelope.contents[0]))
    envelope.contents[0] = evil.store.add_file([*([leaves[0]] * 64), leaves[-1]])
    envelope.items[0] = replace(envelope.items[0], size=40 * MIB)
    evil.seal(envelope)
    evil.publish()
    (record,) = world.clinician.open(grant(world))
    with pytest.raises(IntegrityError):
        list(record.chunks())


@pytest.mark.deep
def test_real_bombs_in_a_process_of_little_memory() -> None:
    """Two gibibytes of 65 KB, and one attachment of 16 MiB 120 times, at the settings that everybody has."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["bombs"] == 2
    assert told["files"] == [2, 16 * MIB]
    assert told["streamed"] == 512 * MIB
    assert told["grown"] < 160 * MIB


def child() -> None:
    """What the process of little memory does."""
    with running_world() as world:
        evil = EvilHospital(world)
        world.patient.pair(evil.address)
        evil.record(b"ok")
        zeros(evil, 2 << 30)
        named_again(evil, bytes(16 * MIB), 120)
        policy = grant(world)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        status = Path("/proc/self/status").read_text().splitlines()
        used = int(next(line for line in status if line.startswith("VmData")).split()[1])
        resource.setrlimit(resource.RLIMIT_DATA, ((used << 10) + (256 << 20),) * 2)
        sizes, told = written(world, world.home / "opened")
        zeros(evil, 512 * MIB)
        streamed = 0
        records: Iterator[OpenedRecord] = world.clinician.open(policy)
        with suppress(PartlyDoneError):
            for record in records:
                if record.info.size == 512 * MIB:
                    streamed = sum(map(len, record.chunks()))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
        print(json.dumps({"bombs": len(told), "files": sorted(sizes), "streamed": streamed, "grown": grown}))
