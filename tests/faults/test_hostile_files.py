"""Hostile files: whatever a folder holds, reading it ends soon, in little memory, in records or in one typed error."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import socket
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import zstandard

from panachain.errors import InputError, UsageError
from panachain.model.records import FileContent
from panachain.model.scope import Category
from panachain.records.sources import find_sources, read_bytes, read_source

PATIENT = b'{"resourceType":"Patient"}'
PDF = b"%PDF-1.7"


def refused(path: Path, message: str, category: Category | None = None) -> str:
    with pytest.raises(InputError, match=message) as caught:
        list(read_source(path, category))
    assert str(caught.value).endswith("nothing was published")
    return str(caught.value)


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# Names.


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        (b"a\nb.bin", r"a\\nb\.bin"),
        (b"\xff\xfe.bin", r"\\udcff\\udcfe\.bin"),
        (b"\x1b[31mred.bin", r"\\x1b\[31mred\.bin"),
        ("\u202egnp.bin".encode(), r"\\u202egnp\.bin"),
        ("Ñandú 1.bin".encode(), r"Ñandú 1\.bin"),
        (b"..bin", None),
        (b"...bin", None),
        (b"-rf.bin", r"-rf\.bin"),
        (b" .bin", r" \.bin"),
        (b"x" * 250 + b".bin", "x"),
    ],
)
def test_names_are_spelled_so_that_they_can_be_printed(name: bytes, spelled: str | None, tmp_path: Path) -> None:
    write(tmp_path / os.fsdecode(name), b"\x00")
    if spelled is None:
        assert not list(find_sources([tmp_path]))
        return
    message = refused(tmp_path, spelled)
    assert message.isprintable()
    message.encode()
    (record,) = read_source(tmp_path, Category.DOCUMENTS)
    assert record.content == b"\x00"


def test_paths_without_a_name_or_with_a_nul_name_nothing() -> None:
    for path in ("", "a\0b", "\udcff" * 3, "x" * 300 + "/y"):
        with pytest.raises(UsageError):
            list(find_sources([path]))  # type: ignore[list-item]


def test_a_path_longer_than_the_system_allows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        list(find_sources([tmp_path / ("x" * 5000)]))


def test_a_very_deep_folder_is_walked(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    depth = 1100
    try:
        for _ in range(depth):
            os.mkdir("d", dir_fd=here)
            deeper = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = deeper
        os.close(os.open("a.pdf", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        refused(tmp_path, "it is empty")
        for _ in range(depth):
            os.mkdir("d", dir_fd=here)
            deeper = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = deeper
        refused(tmp_path, "it is empty|can't be read")
    finally:
        os.close(here)
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


# Links.


def test_a_link_out_of_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "outside.pdf", PDF)
    folder = tmp_path / "folder"
    folder.mkdir()
    for target in (tmp_path / "outside.pdf", Path("../outside.pdf"), tmp_path, Path("/dev/zero"), Path("/etc")):
        link = folder / "link"
        link.symlink_to(target)
        refused(folder, r"folder/link: it is a symbolic link that leads out of .*folder;")
        link.unlink()


def test_a_folder_beside_one_of_the_same_beginning_is_outside(tmp_path: Path) -> None:
    write(tmp_path / "folder2" / "a.pdf", PDF)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to("../folder2")
    refused(tmp_path / "folder", "leads out of")


@pytest.mark.parametrize("target", ["link", "none", "../folder/link", "a/link"])
def test_a_link_that_leads_nowhere_is_refused(target: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(target)
    refused(tmp_path / "folder", "link: it can't be read, or leads nowhere")
    with pytest.raises((InputError, UsageError)):
        list(find_sources([tmp_path / "folder" / "link"]))


def test_a_loop_of_folders_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "x.pdf", PDF)
    (tmp_path / "a" / "b" / "up").symlink_to("..")
    refused(tmp_path, "up: it is a symbolic link to a folder that it lies in")


def test_what_a_link_inside_leads_to_is_one_source(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x.pdf", PDF + b"x")
    write(tmp_path / ".kept" / "y.pdf", PDF + b"y")
    (tmp_path / "0.pdf").symlink_to("a/x.pdf")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "c").symlink_to(".kept")
    (tmp_path / "d").symlink_to(".kept")
    # Two folders that link to each other, doubled at each of many steps, end as well.
    for number in range(40):
        for side in "pq":
            (tmp_path / f".n{number}").mkdir(exist_ok=True)
            (tmp_path / f".n{number}" / side).symlink_to(f"../.n{(number + 1) % 40}")
    (tmp_path / "n").symlink_to(".n0")
    names = [str(source.path.relative_to(tmp_path)) for source in find_sources([tmp_path])]
    assert names == ["a/x.pdf", "c/y.pdf"]


def test_a_link_that_is_named_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x.pdf", PDF)
    (tmp_path / "link").symlink_to("a")
    assert [source.path for source in find_sources([tmp_path / "link"])] == [tmp_path / "link" / "x.pdf"]


# What is no file.


def test_devices_fifos_and_sockets_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.json")
    refused(tmp_path, "device, a FIFO or a socket")
    refused(tmp_path / "fifo.json", "device, a FIFO or a socket")
    (tmp_path / "fifo.json").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        refused(tmp_path, "device, a FIFO or a socket")
    for device in ("/dev/zero", "/dev/null", "/dev/tty"):
        refused(Path(device), "device, a FIFO or a socket")


def test_what_becomes_a_fifo_after_it_was_found_does_not_block(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pdf", PDF)
    os.truncate(path, 70 << 20)
    (source,) = find_sources([path])
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="changed"):
        list(source.records())
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="can't be read"):
        list(source.records())


def test_an_unreadable_file_or_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "folder" / "a.pdf", PDF)
    (tmp_path / "folder").chmod(0)
    (tmp_path / "b.pdf").write_bytes(PDF)
    (tmp_path / "b.pdf").chmod(0)
    try:
        if os.geteuid():
            refused(tmp_path, "can't be read: Permission denied")
            refused(tmp_path / "folder" / "a.pdf", "can't be read: Permission denied")
    finally:
        (tmp_path / "folder").chmod(stat.S_IRWXU)

    # The one who may read everything gets the same from a disk that fails.
    def fail(*_: object, **__: object) -> int:
        raise OSError(5, "Input/output error")

    for name in ("preadv", "open", "scandir", "lstat"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(InputError, match=r"can't be read.*Input/output error"):
                list(read_source(tmp_path))


def test_empty_files_are_refused(tmp_path: Path) -> None:
    for name in ("a.json", "a.ndjson", "a.pdf", "a"):
        path = write(tmp_path / name, b"")
        refused(path, "it is empty", Category.DOCUMENTS)


# Files that change.


CHANGES = ("longer", "shorter", "other bytes", "other file")


@pytest.mark.parametrize(
    ("size", "change"),
    [
        *((100, change) for change in CHANGES),
        (20 << 20, "longer"),
        *(pytest.param(20 << 20, change, marks=pytest.mark.deep) for change in CHANGES[1:]),
        *(pytest.param(70 << 20, change, marks=pytest.mark.deep) for change in CHANGES),
    ],
)
def test_a_file_that_changes_is_refused(size: int, change: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.pdf", PDF)
    os.truncate(path, size)
    (source,) = find_sources([path])
    list(source.records())
    if change == "other file":
        path.rename(tmp_path / "old")
        write(path, PDF)
        os.truncate(path, size)
    elif change == "other bytes":
        path.write_bytes(PDF + b"2")
        os.truncate(path, size)
        os.utime(path, ns=(0, source._file.found.st_mtime_ns + 1))
    else:
        os.truncate(path, size + (1 if change == "longer" else -1))
    with pytest.raises(InputError, match="changed while it was read"):
        list(source.records())


def test_a_file_that_is_written_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    lines = b'{"resourceType":"Patient","x":"%b"}\n' % (b"x" * 1000)
    for change in (1, -2_000_000):
        path.write_bytes(lines * (20_000_000 // len(lines)))
        (source,) = find_sources([path])
        records = source.records()
        next(records)
        os.truncate(path, source.size + change)
        with pytest.raises(InputError, match="changed while it was read"):
            list(records)


# Bombs: read in another process, which may take no more memory than this.

ALLOWED = 288 << 20
"""Bytes of address space on top of what the program has when it starts."""
SOON = 30
"""Seconds of processor time."""

PROGRAM = f"""
import json, resource, sys
from pathlib import Path
from panachain.errors import PanaChainError
from panachain.model.scope import Category
from panachain.records.sources import read_source
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from bounds import processor_time
# Other packages raise this limit so far that it guards nothing.
sys.setrecursionlimit(10**6)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {ALLOWED}, used + {ALLOWED}))
for path in sorted(Path(sys.argv[1]).iterdir()):
    for category in (None, Category.DOCUMENTS):
        try:
            with processor_time({SOON}):
                result = sum(1 for _ in read_source(path, category))
        except PanaChainError as exc:
            result = str(exc)
        except BaseException as exc:
            result = [repr(exc)]
        print(json.dumps([path.name, result]), flush=True)
"""

DICOM = bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI"


def explicit(group: int, element: int, vr: bytes, value: bytes, *, size: int | None = None) -> bytes:
    """Return one data element; VRs with four bytes of length only."""
    return struct.pack("<HH2sHI", group, element, vr, 0, len(value) if size is None else size) + value


def syntax(uid: bytes) -> bytes:
    return DICOM + struct.pack("<H", len(uid)) + uid


def deflated_bomb() -> bytes:
    packer = zlib.compressobj(wbits=-15)
    data = b"".join(packer.compress(bytes(1 << 20)) for _ in range(500)) + packer.flush()
    return syntax(b"1.2.840.10008.1.2.1.99") + data


def zipped(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


M = 1_000_000
NESTED = explicit(8, 0x51, b"SQ", b"", size=0xFFFFFFFF) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
ITEMS = explicit(8, 0x51, b"SQ", b"\xfe\xff\x00\xe0\x00\x00\x00\x00" * M)
LAUGHS = b"".join(b'<!ENTITY l%d "%b">' % (n + 1, b"&l%d;" % n * 10) for n in range(10))
BUNDLE = b'{"resourceType":"Bundle","type":"batch","entry":['
BASIC = b'{"resourceType":"Basic","a":'


@cache
def zeros() -> bytes:
    """Return 200 MiB of nothing, packed."""
    return gzip.compress(bytes(200 << 20), 1)


# Made where they are needed: all of them are a gigabyte.
BOMBS: dict[str, Callable[[], bytes]] = {
    "json-deep.json": lambda: b"[" * 100_000,
    "json-deeper.json": lambda: BUNDLE + b'{"a":' * 5 * M,
    "json-in-string.json": lambda: BASIC + b'"' + b"[{" * 5 * M + b'"}',
    "json-brackets.json": lambda: BASIC + b"[" + b"[]," * 3 * M + b"[]]}",
    "json-brackets-large.json": lambda: BASIC + b"[" + b"[]," * 8 * M + b"[]]}",
    "json-entries.json": lambda: BUNDLE + b"{}," * 500_000 + b"{}]}",
    "json-numbers.json": lambda: b'{"entry":[' + b"1," * 5 * M + b'1],"resourceType":"Bundle","type":"batch"}',
    "json-members.json": lambda: b"{" + b",".join(b'"%x":1' % n for n in range(M)) + b',"resourceType":"Bundle"}',
    "json-names.json": lambda: BASIC + b"1," + b",".join(b'"%x":1' % n for n in range(M)) + b"}",
    "json-string.json": lambda: BASIC + b'"' + b"x" * 12 * M + b'"}',
    "json-open-string.json": lambda: BUNDLE + b'"' + b"x" * 70 * M,
    "json-quotes.json": lambda: b'"\\"' * 5 * M,
    "json-colons.json": lambda: BASIC + b'"' + b"\\u003a" * 2 * M + b'","a":1}',
    "json-number.json": lambda: BASIC + b"1" * 12 * M + b"}",
    "json-blanks.json": lambda: b" " * 80 * M,
    "json-marks.json": lambda: BASIC + b"[" + b'{"data":"' * M,
    "lines.ndjson": lambda: b'{"resourceType":"Basic"}\n' * 100_000,
    "line.ndjson": lambda: BASIC + b'"' + b"x" * 70 * M,
    "line-breaks.ndjson": lambda: b"\n" * 500_000,
    "attachment.json": lambda: b'{"resourceType":"Binary","data":"' + b"QUJD" * 3 * M + b'"}',
    "laughs.xml": lambda: b"<!DOCTYPE a [<!ENTITY l0 'lol'>" + LAUGHS + b"]><a>&l9;</a>",
    "quadratic.xml": lambda: b"<!DOCTYPE a [<!ENTITY x '" + b"x" * M + b"'>]><a>" + b"&x;" * M + b"</a>",
    "parameter.xml": lambda: b'<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd">%p;]><a/>',
    "external.xml": lambda: b'<!DOCTYPE a [<!ENTITY p SYSTEM "file:///etc/passwd">]><a>&p;</a>',
    "defaults.xml": lambda: b"<!DOCTYPE a [<!ATTLIST b c CDATA '" + b"x" * M + b"'>]><a>" + b"<b/>" * M,
    "deep.xml": lambda: b"<a>" * 5 * M,
    "attributes.xml": lambda: b"<a" + b"".join(b" b%x=''" % n for n in range(M)) + b"/>",
    "attribute.xml": lambda: b"<a b='" + b"x" * 12 * M + b"'/>",
    "name.xml": lambda: b"<" + b"a" * 12 * M,
    "comment.xml": lambda: b"<a><!--" + b"x" * 12 * M,
    "long.xml": lambda: b"<a>" + b"<b/>" * 300_000 + b"</a>",
    "larger.xml": lambda: b"<a>" + b"x" * 70 * M + b"</a>",
    "gzip.json": zeros,
    "gzip.ndjson": zeros,
    "blanks.gz": lambda: gzip.compress(b" " * (50 << 20)),
    "zip.zip": lambda: zipped({"a.json": b" " * (50 << 20), "b.ndjson": PATIENT}),
    "gzip-in.zip": lambda: zipped({f"{number}.gz": zeros() for number in range(3)}),
    "many.zip": lambda: zipped({f"{number}.json": PATIENT for number in range(20_000)}),
    "directory.zip": lambda: zipped({"x" * 60_000 + str(number): b"" for number in range(200)}),
    "zstd.json": lambda: zstandard.compress(bytes(1 << 30), 1),
    "deflated.dcm": lambda: deflated_bomb(),
    "nested.dcm": lambda: syntax(b"1.2.840.10008.1.2.1") + NESTED * 100_000,
    "nested-unknown": lambda: syntax(b"1.2.840.10008.1.2.1") + NESTED.replace(b"SQ", b"UN") * 100_000,
    "items.dcm": lambda: syntax(b"1.2.840.10008.1.2.1") + ITEMS,
    "length.dcm": lambda: syntax(b"1.2.840.10008.1.2.1") + explicit(8, 5, b"UT", bytes(30 << 20), size=0xFFFFFFF0),
    "undefined.dcm": lambda: syntax(b"1.2.840.10008.1.2.1") + explicit(8, 5, b"OB", bytes(30 << 20), size=0xFFFFFFFF),
    "segments.hl7": lambda: b"MSH|^~\\&|\r" + b"\r" * 3 * M,
    "fields.hl7": lambda: b"MSH|^~\\&|\rOBX" + b"|" * 3 * M,
    "parts.hl7": lambda: b"MSH|^~\\&|\rOBX|1|CWE|" + b"^" * 3 * M,
    "messages.hl7": lambda: b"MSH|^~\\&|\r" * 20_000,
    "message.hl7": lambda: b"MSH|^~\\&|" + b"x" * 70 * M,
}


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    """Return what reading each bomb gave, without and with a category."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, make in BOMBS.items():
        (folder / name).write_bytes(make())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, timeout=800, check=False
    )
    shutil.rmtree(folder)
    found: dict[str, list[object]] = {name: [] for name in BOMBS}
    for name, result in map(json.loads, done.stdout.splitlines()):
        found[name].append(result)
    assert done.returncode == 0, f"ended by {done.returncode} after {done.stdout[-500:]} {done.stderr[-2000:]}"
    return found


# The first one reads them all, each within its own processor time; others run beside it.
@pytest.mark.deep
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_little_memory_and_little_time(name: str, readings: dict[str, list[object]]) -> None:
    assert len(readings[name]) == 2
    # What was ended for its memory or its time gave a list that holds the error.
    for result in readings[name]:
        assert isinstance(result, int) or (isinstance(result, str) and result.endswith("nothing was published"))


@pytest.mark.deep
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name", [name for name in BOMBS if re.match("laugh|quad|param|ext|def.*xml|deep|json-deep", name)]
)
def test_what_could_expand_or_overrun_is_refused(name: str, readings: dict[str, list[object]]) -> None:
    assert all(isinstance(result, str) for result in readings[name])


# Sources of any size.

MEASURE = """
import resource, sys
from pathlib import Path
from panachain.records.sources import find_sources
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, size = peak(), 0
for source in find_sources([Path(sys.argv[1])]):
    for record in source.records():
        size += record.size
print(size, (peak() - before) << 10)
"""


@pytest.mark.parametrize(
    "kind",
    # A Bundle whose type comes last is read in the same way, and is the harder one.
    [
        "late bundle",
        *(pytest.param(kind, marks=pytest.mark.deep) for kind in ("ndjson", "bundle", "hl7", "xml", "pdf")),
    ],
)
def test_a_source_of_any_size_takes_bounded_memory(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"large.{kind.replace('late ', '').replace('bundle', 'json')}"
    # Of every year, so that no group is full before all of them are; 90 MB, or what is the most for XML.
    entries = [
        b'{"resourceType":"%b","issued":"%d-01-01","a":[{"b":"%b"}],"id":"%d"}' % (name, 1900 + year, b"x" * 900, year)
        for year in range(120)
        for name in (b"Condition", b"Procedure", b"Claim", b"Observation", b"Goal", b"Basic")
    ]
    start, item, between, end = {
        "ndjson": (b"", entries, b"\n", b""),
        "bundle": (BUNDLE, [b'{"resource":%b}' % entry for entry in entries], b",\n", b"]}"),
        "late bundle": (b'{"entry":[', [b'{"resource":%b}' % e for e in entries], b",", b"]," + BUNDLE[1:-10] + b"}"),
        "hl7": (b"", [b"MSH|^~\\&|" + b"x" * 100_000], b"\r", b""),
        "xml": (b"<a>", [b"<b c='d'>" + b"x" * 100_000 + b"</b>"], b"", b"</a>"),
        "pdf": (PDF, [bytes(100_000)], b"", b""),
    }[kind]
    block = between.join(item)
    with path.open("wb") as file:
        file.write(start + block)
        while file.tell() < (60_000_000 if kind == "xml" else 90_000_000):
            file.write(between + block)
        file.write(end)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, timeout=120, check=True
    )
    size, memory = map(int, done.stdout.split())
    assert size > 0.98 * path.stat().st_size
    assert memory < 48 << 20


def test_no_common_category_takes_what_nobody_looked_into(tmp_path: Path) -> None:
    packed = zstandard.compress(PATIENT)
    path = write(tmp_path / "a.json", packed)
    for category in (None, Category.DOCUMENTS, Category.IMAGING):
        assert "this archive isn't opened" in refused(path, "archive", category)
    (record,) = read_source(path, Category.MENTAL_HEALTH)
    assert (record.content, record.media_type) == (packed, "application/octet-stream")


def test_what_is_packed_goes_where_its_content_belongs(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json.gz", gzip.compress(PATIENT))
    for category in (None, Category.DOCUMENTS):
        (record,) = read_source(path, category)
        assert (record.category, record.media_type) == (Category.DEMOGRAPHICS, "application/fhir+json")


def test_a_large_image_is_never_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    date = b"\x08\x00\x20\x00DA\x08\x0020190203\x08\x00\x60\x00CS\x02\x00CT"
    path.write_bytes(syntax(b"1.2.840.10008.1.2.1") + date + explicit(0x7FE0, 0x10, b"OW", b"", size=2 << 30))
    os.truncate(path, 3 << 30)
    (source,) = find_sources([path])
    (record,) = source.records()
    assert (record.category, record.year, record.content) == (
        Category.IMAGING,
        2019,
        FileContent(path.resolve(), 3 << 30),
    )


def test_texts_of_others_are_told_without_their_content() -> None:
    secret = "Sampleton-canary"
    for content, suffix in (
        (f'{{"resourceType":"Patient","name":"{secret}",}}'.encode(), ".json"),
        (f'{{"resourceType":"Patient","{secret}":1,"{secret}":2}}'.encode(), ".json"),
        (f'{{"resourceType":"Bundle","type":"batch","entry":["{secret}"]}}'.encode(), ".json"),
        (f"<a><{secret}></a>".encode(), ".xml"),
        (f'<!DOCTYPE a [<!ENTITY {secret} "{secret}">]><a/>'.encode(), ".xml"),
        (secret.encode(), ".dcm"),
        (secret.encode(), ".txt"),
    ):
        with pytest.raises(InputError) as caught:
            list(read_bytes(content, suffix))
        assert secret not in f"{caught.value} {caught.value.hint}"
