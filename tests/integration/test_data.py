"""Every file of the outside data goes in by an upload and comes out equal, opened by its patient."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from panachain.errors import InputError
from panachain.model.records import PlainRecord
from panachain.model.scope import Category
from panachain.records.canonical import dump, parse, resources
from panachain.records.sources import find_sources
from panachain.records.split import MEDIA_TYPE
from tests.support import World, shared

# A large amount of real data: unit tests read a part of it.
pytestmark = pytest.mark.deep


def is_known(path: Path) -> bool:
    """Tell whether a file's kind is known without a person who names its category."""
    try:
        for source in find_sources([path]):
            for record in source.records():
                assert isinstance(record, PlainRecord)
    except InputError:
        return False
    return True


def pieces(path: Path, content: bytes) -> list[bytes]:
    """Return what must come out for a file: resources in canonical form, or all of its bytes."""
    if path.suffix == ".ndjson":
        return [item for line in content.splitlines() if line.strip() for item in resources(line)]
    return resources(content) if path.suffix == ".json" else [content]


def without_stamp(item: bytes) -> bytes:
    """Return a resource without what each export writes anew."""
    value = parse(item)
    meta = value.get("meta")
    if isinstance(meta, dict):
        kept = {key: held for key, held in meta.items() if key not in ("versionId", "lastUpdated")}
        value = {key: held for key, held in value.items() if key != "meta"} | ({"meta": kept} if kept else {})
    return dump(value, sort=True)


def test_every_file_comes_out_equal(world: World) -> None:
    files = sorted(path for path in shared("data").rglob("*") if path.is_file() and not path.name.startswith("."))
    known = {path: is_known(path) for path in files}
    for category, chosen in ((None, True), (Category.DOCUMENTS, False)):
        paths = [path for path in files if known[path] is chosen]
        # They are about many persons.
        world.hospital.upload(paths, "patient", category, confirm_patient=True)

    # With all versions: files of different persons use the same ids for different things.
    opened = list(world.patient.records(history=True))

    fhir = Counter(item for r in opened if r.info.media_type == MEDIA_TYPE for item in resources(r.content))
    joined = b"".join(r.content for r in opened if r.info.media_type == "application/hl7-v2")
    whole = {r.content for r in opened if r.info.media_type != MEDIA_TYPE}
    seen: set[bytes] = set()
    expected: Counter[bytes] = Counter()
    for path in files:
        content = path.read_bytes()
        if content in seen:
            continue
        seen.add(content)
        if known[path] and path.suffix in (".json", ".ndjson"):
            expected.update(pieces(path, content))
        else:
            # A file of several HL7 messages is as many records, one after the other.
            assert content in whole or content in joined, path.name
    assert sum(expected.values()) > 1000
    # What several files hold, but for when it was exported, is published once.
    assert not set(map(without_stamp, expected)) - set(map(without_stamp, fhir))
    # What else came out is the shell of a Bundle, without its entries.
    assert all(item.startswith(b'{"resourceType":"Bundle"') or b'"entry"' not in item for item in fhir - expected)
