"""Everything in one Bundle: each resource once with its own digits, each record's provenance, and files beside them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import IntegrityError, PanaChainError, PartlyDoneError
from panachain.model.actors import Address
from panachain.model.records import RecordInfo
from panachain.model.scope import Category
from panachain.records.everything import Everything, Source
from panachain.records.provenance import provenance

ONE, TWO = Address("0x" + "11" * 20), Address("0x" + "22" * 20)


def source(
    content: bytes | Callable[[], Iterator[bytes]], *, hospital: Address = ONE, name: str = "bafyone", **more: Any
) -> Source:
    info = RecordInfo(
        hospital=hospital,
        category=Category.LABORATORY,
        year=more.get("year", 2024),
        media_type=more.get("media_type", "application/fhir+json"),
        size=1,
        digest=bytes(32),
        stored_at=1_800_000_000,
        header_cid=name,
        content_cid="c",
        envelope_cid="e",
        content_index=0,
        generation=0,
    )
    chunks = (lambda: iter([content])) if isinstance(content, bytes) else content
    return Source(info, chunks, provenance(info, signature=bytes(64)))


def bundle(*entries: str) -> bytes:
    return b'{"resourceType":"Bundle","type":"collection","entry":[' + ",".join(entries).encode() + b"]}"


def entry(resource: str, url: str = "") -> str:
    return "{" + (f'"fullUrl":"{url}",' if url else "") + f'"resource":{resource}' + "}"


class Made:
    """A Bundle and what was told of it."""

    def __init__(self, *sources: Source, folder: Path, late: PanaChainError | None = None) -> None:
        self.omissions: list[tuple[Source, PanaChainError]] = []

        def all_of() -> Iterator[Source]:
            yield from sources
            if late is not None:
                raise late

        self.maker = Everything(
            made_at=1_900_000_000, leave_out=lambda one, why: self.omissions.append((one, why)), beside=folder
        )
        self.text, self.raised = b"", None
        try:
            for piece in self.maker.pieces(all_of()):
                self.text += piece
        except PanaChainError as exc:
            self.raised = exc
        self.value = json.loads(self.text)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.value.get("entry", []) if one["resource"]["resourceType"] == kind]


GLUCOSE = '{"resourceType":"Observation","id":"o1","meta":{"versionId":"1"},"valueQuantity":{"value":1.10}}'


def test_a_resource_keeps_its_own_bytes(tmp_path: Path) -> None:
    made = Made(source(bundle(entry(GLUCOSE, "https://h.example/Observation/o1"))), folder=tmp_path)
    assert GLUCOSE.encode() in made.text
    assert made.value["type"] == "collection"
    assert made.value["timestamp"] == "2030-03-17T17:46:40Z"
    assert [one["fullUrl"] for one in made.of("Observation")] == ["https://h.example/Observation/o1"]


def test_what_two_records_hold_stands_there_once_and_both_are_named(tmp_path: Path) -> None:
    text = bundle(entry(GLUCOSE))
    made = Made(source(text), source(text, hospital=TWO, name="bafytwo"), folder=tmp_path)
    [observation] = made.of("Observation")
    assert (made.maker.resources, made.maker.same) == (1, 1)
    provenances = [one["resource"] for one in made.of("Provenance")]
    assert [one["agent"][0]["who"]["identifier"]["value"] for one in provenances] == [ONE, TWO]
    for one in provenances:
        assert {"reference": observation["fullUrl"]} in one["target"]


def test_other_versions_and_other_contents_stand_there_too(tmp_path: Path) -> None:
    newer = GLUCOSE.replace('"versionId":"1"', '"versionId":"2"')
    other = GLUCOSE.replace("1.10", "7.77")
    url = "https://h.example/Observation/o1"
    sources = [source(bundle(entry(one, url)), name=f"bafy{n}") for n, one in enumerate((GLUCOSE, newer, other))]
    made = Made(*sources, folder=tmp_path)
    found = made.of("Observation")
    assert len(found) == 3
    # bdl-7: the same fullUrl only with another version.
    keys = [(one["fullUrl"], one["resource"]["meta"]["versionId"]) for one in found]
    assert len(set(keys)) == 3
    assert found[2]["fullUrl"].startswith("urn:uuid:")


def test_requests_and_deletions_are_no_part_of_a_collection(tmp_path: Path) -> None:
    asked = f'{{"resource":{GLUCOSE},"request":{{"method":"PUT","url":"Observation/o1"}}}}'
    gone = '{"request":{"method":"DELETE","url":"Observation/o2"}}'
    made = Made(source(bundle(asked, gone)), folder=tmp_path)
    assert [set(one) for one in made.of("Observation")] == [{"fullUrl", "resource"}]
    assert made.maker.resources == 1


@pytest.mark.parametrize("size", [0, 1, 3, 1_000_000])
def test_a_file_is_a_document_with_its_bytes(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]

    def chunks() -> Iterator[bytes]:
        for at in range(0, size, 1000):
            yield content[at : at + 1000]

    made = Made(source(chunks, media_type="application/pdf"), folder=tmp_path)
    [document], [binary] = made.of("DocumentReference"), made.of("Binary")
    assert base64.b64decode(binary["resource"]["data"]) == content
    assert document["resource"]["content"] == [
        {"attachment": {"contentType": "application/pdf", "url": binary["fullUrl"]}}
    ]
    assert made.maker.files == 1


def test_a_record_that_is_not_whole_is_left_out_and_nothing_of_it_is_there(tmp_path: Path) -> None:
    def torn() -> Iterator[bytes]:
        yield b"canary" * 9
        raise IntegrityError("torn")

    bad = [source(torn), source(torn, media_type="application/pdf"), source(b"canary"), source(bundle('{"canary":1'))]
    made = Made(*bad, source(bundle(entry(GLUCOSE))), folder=tmp_path)
    assert [type(why) for _, why in made.omissions] == [IntegrityError] * 4
    assert (made.maker.resources, made.maker.files) == (1, 0)
    assert b"canary" not in made.text
    assert not list(tmp_path.iterdir())


def test_a_large_file_waits_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("panachain.records.everything._SPOOL", 10)
    made = Made(source(b"x" * 1000, media_type="text/plain"), folder=tmp_path)
    assert base64.b64decode(made.of("Binary")[0]["resource"]["data"]) == b"x" * 1000
    assert not list(tmp_path.iterdir())


def test_what_an_opening_tells_at_its_end_is_told_after_a_whole_bundle(tmp_path: Path) -> None:
    late = PartlyDoneError("something was left out")
    made = Made(source(bundle(entry(GLUCOSE))), folder=tmp_path, late=late)
    assert made.raised is late
    assert len(made.of("Observation")) == 1


def test_nothing_is_a_bundle_too(tmp_path: Path) -> None:
    assert Made(folder=tmp_path).value == {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": "2030-03-17T17:46:40Z",
    }


def test_is_fhir_r4(tmp_path: Path) -> None:
    reader = pytest.importorskip("fhir.resources.R4B.bundle")
    observation = GLUCOSE.replace('"valueQuantity"', '"status":"final","code":{"text":"glucose"},"valueQuantity"')
    made = Made(source(bundle(entry(observation))), source(b"%PDF", media_type="application/pdf"), folder=tmp_path)
    assert len(reader.Bundle.model_validate_json(made.text).entry) == 5
