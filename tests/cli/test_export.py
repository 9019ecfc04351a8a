"""`export`: own records in a folder or in one Bundle, sealed or not, in new private files, whole or not at all."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from panachain.errors import IntegrityError
from panachain.sdk.opening import Opening
from panachain.sdk.results.records import OpenedRecord
from tests.cli.test_open import opened
from tests.cli.twin import Outcome, Twin
from tests.unit.crypto.crypt4gh_reader import open_
from tests.unit.crypto.test_crypt4gh import PUBLIC, SECRET, pem

Run = Callable[..., Outcome]
BUNDLE = (
    b'{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Observation","id":"o1"}}]}'
)


class Torn:
    """Content whose end doesn't fit."""

    def read(self) -> bytes:
        raise IntegrityError("torn")

    def chunks(self) -> Iterator[bytes]:
        yield b"canary"
        raise IntegrityError("torn")


def holds(twin: Twin, *records: OpenedRecord) -> None:
    twin.answers["records"] = Opening(lambda _: iter(records))


def torn() -> OpenedRecord:
    return replace(opened(), source=Torn())  # type: ignore[arg-type]


def test_a_folder_can_be_looked_at_and_printed(run: Run, twin: Twin, tmp_path: Path) -> None:
    holds(twin, opened(content=BUNDLE), opened("application/pdf", content=b"%PDF", year=2019))
    done = run("export", "-o", str(tmp_path / "out"))
    assert done.code == 0
    found = {path.name for path in (tmp_path / "out").iterdir()}
    wanted = {"00001-laboratory-2024.fhir.json", "00002-laboratory-2019.pdf", "index.html", "provenance.fhir.json"}
    assert wanted <= found


def test_a_folder_holds_what_was_chosen(run: Run, twin: Twin, tmp_path: Path) -> None:
    holds(twin, opened(content=BUNDLE), opened(content=BUNDLE, year=2019))
    assert run("export", "--year", "2019", "-o", str(tmp_path / "out")).code == 0
    assert [path.name for path in (tmp_path / "out").glob("0*")] == ["00001-laboratory-2019.fhir.json"]


def test_a_bundle_is_a_new_private_file(run: Run, twin: Twin, tmp_path: Path) -> None:
    holds(twin, opened(content=BUNDLE))
    target = tmp_path / "all.fhir.json"
    told = json.loads(run("--json", "export", "--bundle", "-o", str(target)).out)
    assert (told["schema"], told["resources"], told["size"]) == ("panachain/export/1", 1, target.stat().st_size)
    assert json.loads(target.read_bytes())["entry"][0]["resource"]["id"] == "o1"
    assert target.stat().st_mode & 0o777 == 0o600
    holds(twin, opened(content=BUNDLE))
    before = target.read_bytes()
    assert run("export", "--bundle", "-o", str(target)).code == 2
    assert target.read_bytes() == before


def test_a_bundle_for_a_reader_opens_with_their_key_alone(run: Run, twin: Twin, tmp_path: Path) -> None:
    holds(twin, opened(content=BUNDLE))
    (tmp_path / "reader.pub").write_bytes(pem(PUBLIC))
    target = tmp_path / "all.c4gh"
    assert run("export", "--crypt4gh", str(tmp_path / "reader.pub"), "-o", str(target)).code == 0
    assert b"Observation" not in target.read_bytes()
    assert b"Observation" in b"".join(open_(io.BytesIO(target.read_bytes()), SECRET))


@pytest.mark.parametrize("options", [(), ("--bundle",)])
def test_a_record_that_is_torn_costs_that_record(
    run: Run, twin: Twin, tmp_path: Path, options: tuple[str, ...]
) -> None:
    holds(twin, torn(), opened(content=BUNDLE))
    done = run("export", *options, "-o", str(tmp_path / "out"))
    assert done.code == 3
    assert "torn" in done.err
    files = [tmp_path / "out"] if options else [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert b"Observation" in b"".join(path.read_bytes() for path in files)
    assert b"canary" not in b"".join(path.read_bytes() for path in files)


@pytest.mark.parametrize("options", [(), ("--bundle",)])
def test_nothing_leaves_nothing(run: Run, twin: Twin, tmp_path: Path, options: tuple[str, ...]) -> None:
    for records, code in (([], 2), ([torn()], 6)):
        holds(twin, *records)
        assert run("export", *options, "-o", str(tmp_path / "out")).code == code
        assert not (tmp_path / "out").exists()


def test_what_is_no_public_key_seals_nothing(run: Run, twin: Twin, tmp_path: Path) -> None:
    holds(twin, opened(content=BUNDLE))
    (tmp_path / "k").write_bytes(pem(SECRET, "PRIVATE"))
    done = run("export", "--crypt4gh", str(tmp_path / "k"), "-o", str(tmp_path / "out"))
    assert (done.code, "secret key" in done.err, (tmp_path / "out").exists()) == (2, True, False)
