"""`open` and `records get`: plaintext goes into new private files with names of our own, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from panachain.errors import IntegrityError
from panachain.model.actors import Address
from panachain.model.records import RecordInfo
from panachain.model.scope import Category
from panachain.sdk.results.records import OpenedRecord, RecordProvenance
from tests.cli.twin import Outcome, Twin

POLICY = "0x52908400098527886E0F7030069857D2E4169EE7"


def opened(media_type: str = "application/fhir+json", year: int = 2024, content: bytes = b"{}") -> OpenedRecord:
    info = RecordInfo(
        hospital=Address(POLICY),
        category=Category.LABORATORY,
        year=year,
        media_type=media_type,
        size=len(content),
        digest=bytes(32),
        stored_at=1_800_000_000,
        header_cid="bafyheader",
        content_cid="bafycontent",
        envelope_cid="bafyenvelope",
        content_index=0,
        generation=0,
    )
    return OpenedRecord(info, RecordProvenance(Address(POLICY), block=7), Held(content))  # type: ignore[arg-type]


class Held:
    """Content that needs no store."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self) -> bytes:
        return self._content

    def chunks(self) -> Iterator[bytes]:
        yield self._content


def test_writes_private_files_and_an_index(run: Callable[..., Outcome], twin: Twin, tmp_path: Path) -> None:
    twin.answers["open"] = iter([opened(content=b'{"a":1}'), opened("../../etc/passwd", year=0, content=b"\0")])
    folder = tmp_path / "opened"
    outcome = run("open", POLICY, "-o", str(folder), "--json")
    assert outcome.code == 0
    names = sorted(path.name for path in folder.iterdir())
    files = ["00001-laboratory-2024.fhir.json", "00002-laboratory-undated.bin"]
    assert names == [*files, "index.json", "provenance.fhir.json"]
    provenance = json.loads((folder / "provenance.fhir.json").read_bytes())
    targets = [entry["resource"]["target"][0]["type"] for entry in provenance["entry"]]
    assert targets == ["Bundle", "Binary"]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / names[0]).read_bytes() == b'{"a":1}'
    index = json.loads((folder / "index.json").read_bytes())
    assert index["schema"] == "panachain/index/1"
    assert [json.loads(line) for line in outcome.out.splitlines()] == index["records"]


def test_an_empty_folder_is_filled(run: Callable[..., Outcome], twin: Twin, tmp_path: Path) -> None:
    twin.answers["open"] = iter([opened()])
    (tmp_path / "opened").mkdir()
    assert run("open", POLICY, "-o", str(tmp_path / "opened")).code == 0
    assert sorted(path.suffix for path in (tmp_path / "opened").iterdir()) == [".json", ".json", ".json"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nothing_is_overwritten(run: Callable[..., Outcome], twin: Twin, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "opened"
    if kind == "folder":
        target.mkdir()
        (target / "mine.txt").write_text("mine")
    else:
        target.write_text("mine")
    outcome = run("open", POLICY, "-o", str(target))
    assert outcome.code == 2
    assert "left as it is" in outcome.err
    assert twin.calls == []


@pytest.mark.parametrize("existed", [True, False])
@pytest.mark.parametrize("failure", [IntegrityError("a block doesn't fit"), KeyboardInterrupt()])
def test_a_failure_leaves_no_plaintext(
    run: Callable[..., Outcome], twin: Twin, tmp_path: Path, existed: bool, failure: BaseException
) -> None:
    def broken() -> Iterator[OpenedRecord]:
        yield opened(content=b"plaintext")
        raise failure

    twin.answers["open"] = broken()
    target = tmp_path / "opened"
    if existed:
        target.mkdir()
    before = sorted(tmp_path.rglob("*"))
    outcome = run("open", POLICY, "-o", str(target))
    assert outcome.code == (6 if isinstance(failure, IntegrityError) else 130)
    assert sorted(tmp_path.rglob("*")) == before


def test_get_writes_one_private_file(run: Callable[..., Outcome], twin: Twin, tmp_path: Path) -> None:
    twin.answers["get"] = opened(content=b"content")
    target = tmp_path / "record.json"
    assert run("records", "get", "bafyheader", "-o", str(target)).code == 0
    assert target.read_bytes() == b"content"
    assert target.stat().st_mode & 0o777 == 0o600
    again = run("records", "get", "bafyheader", "-o", str(target))
    assert again.code == 2
    assert "left as it is" in again.err


def test_records_alone_lists(run: Callable[..., Outcome], twin: Twin) -> None:
    twin.answers["records"] = []
    assert run("records").code == 0
    assert [name for name, _, _ in twin.calls] == ["records"]
