"""Viewer bundles: what is signed is what is read, and a hostile file costs an error."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panachain.crypto import umbral
from panachain.crypto.keys import Seed
from panachain.errors import InputError, IntegrityError
from panachain.ipld import dagcbor
from panachain.model.actors import Address
from panachain.model.scope import Category
from panachain.records import viewer_bundle as subject
from panachain.records.sources import read_source
from tests.portal.viewers import write

PUBLISHER = Address("0x52908400098527886E0F7030069857D2E4169EE7")


@pytest.fixture
def signer() -> umbral.Signer:
    return Seed.random().signer()


@pytest.fixture
def content(tmp_path: Path, signer: umbral.Signer) -> bytes:
    return subject.sign_bundle(subject.read_folder(write(tmp_path / "one"), PUBLISHER), signer)


def body(content: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = dagcbor.decode(content[len(subject.MAGIC) + 64 :], limit=subject.MAX_SIZE)
    return fields


def forged(content: bytes, **changed: Any) -> bytes:
    """Return a bundle that says something else, with the signature of the old one."""
    return content[: len(subject.MAGIC) + 64] + dagcbor.encode(body(content) | changed)


def test_what_is_packed_is_what_is_read_and_its_publisher_signed_it(content: bytes, signer: umbral.Signer) -> None:
    signed = subject.read_bundle(content)
    signed.check(signer.public)
    assert (signed.bundle.name, signed.bundle.publisher, signed.size) == ("Laboratory list", PUBLISHER, len(content))
    assert list(signed.bundle.files) == ["index.html", "program.js", "style.css", "sum.wasm"]
    assert signed.bundle.wants == ("laboratory",)


def test_the_same_folder_gives_the_same_bundle(tmp_path: Path, content: bytes) -> None:
    again = subject.read_folder(write(tmp_path / "another"), PUBLISHER)
    assert again.encode() == content[len(subject.MAGIC) + 64 :]


def test_whatever_is_changed_the_signature_fits_no_more(content: bytes, signer: umbral.Signer) -> None:
    files = body(content)["files"]
    for changed in (
        {"name": "Other"},
        {"version": "1.1"},
        {"about": ""},
        {"wants": []},
        {"publisher": bytes(20)},
        {"style": ""},
        {"files": [*files[:-1], ["sum.wasm", b"other"]]},
        {"files": [*files, ["z", b""]]},
    ):
        with pytest.raises(IntegrityError, match="signature"):
            subject.read_bundle(forged(content, **changed)).check(signer.public)
    with pytest.raises(IntegrityError, match="signature"):
        subject.read_bundle(content).check(Seed.random().signer().public)


def test_a_signature_of_something_else_is_none_of_a_bundle(content: bytes, signer: umbral.Signer) -> None:
    bare = content[len(subject.MAGIC) + 64 :]
    with pytest.raises(IntegrityError, match="signature"):
        subject.read_bundle(subject.MAGIC + signer.sign(bare) + bare).check(signer.public)


@pytest.mark.parametrize(
    "changed",
    [
        {"v": 2},
        {"more": 1},
        {"publisher": bytes(19)},
        {"publisher": "0x"},
        {"name": ""},
        {"name": "a" * 81},
        {"name": "two\nlines"},
        {"name": "\u202egnorw"},
        {"name": 7},
        {"version": " "},
        {"about": "x" * 501},
        {"wants": ["Laboratory"]},
        {"wants": ["b", "a"]},
        {"wants": ["a", "a"]},
        {"wants": ["a" * 81]},
        {"wants": [1]},
        {"wants": 1},
        {"page": "other.html"},
        {"page": ""},
        {"program": "style"},
        {"style": "none.css"},
        {"style": None},
        {"files": []},
        {"files": {"index.html": b""}},
        {"files": [["index.html", b""], ["index.html", b""], ["program.js", b""]]},
        {"files": [["program.js", b""], ["index.html", b""]]},
        {"files": [["index.html", "text"], ["program.js", b""]]},
        {"files": [["index.html", b"\xff"], ["program.js", b""]], "style": ""},
        {"files": [["index.html"]]},
        {"files": [7]},
        *(
            {"files": sorted([[name, b""], ["index.html", b""], ["program.js", b""]]), "style": ""}
            for name in (
                *("", "/", "/etc/passwd", "..", "../x", "a/../b", "a//b", "a/", "./a", ".hidden", "a\\b", "C:a"),
                *("a\0b", "a b", "é", "a\n", "x" * 121, "/".join("abcdefghi"), "%2e%2e/x", "a/.b"),
            )
        ),
        {"files": [*([f"{n:03}", b""] for n in range(255)), ["index.html", b""], ["program.js", b""]], "style": ""},
    ],
    ids=lambda one: str(one)[:40].encode("ascii", "replace").decode(),
)
def test_a_hostile_bundle_is_refused(content: bytes, changed: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        subject.read_bundle(forged(content, **changed))


def test_a_broken_file_is_refused(content: bytes) -> None:
    for broken in (b"", subject.MAGIC, content[:-1], content + b"\0", content[1:], subject.MAGIC + bytes(64) + b"\x80"):
        with pytest.raises(IntegrityError):
            subject.read_bundle(broken)
    for end in range(0, len(content), 97):
        with pytest.raises(IntegrityError):
            subject.read_bundle(content[:end])
    with pytest.raises(IntegrityError, match="at most"):
        subject.read_bundle(subject.MAGIC + bytes(subject.MAX_SIZE))


def test_a_field_that_is_missing_is_refused(content: bytes) -> None:
    start = content[: len(subject.MAGIC) + 64]
    for name in body(content):
        fields = {key: value for key, value in body(content).items() if key != name}
        with pytest.raises(IntegrityError):
            subject.read_bundle(start + dagcbor.encode(fields))


def test_a_folder_with_what_no_bundle_may_hold_is_refused(tmp_path: Path) -> None:
    linked = write(tmp_path / "linked")
    (linked / "secret").symlink_to("/etc/passwd")
    spaced = write(tmp_path / "spaced", {"a b.txt": "x"})
    piped = write(tmp_path / "piped")
    os.mkfifo(piped / "pipe")
    large = write(tmp_path / "large", {"large.bin": bytes(subject.MAX_SIZE)})
    for folder in (linked, piped, large):
        with pytest.raises(InputError):
            subject.read_folder(folder, PUBLISHER)
    with pytest.raises(InputError, match="letters"):
        subject.read_folder(spaced, PUBLISHER).encode()


def test_a_link_to_a_folder_is_refused_too(tmp_path: Path) -> None:
    folder = write(tmp_path / "one")
    (folder / "more").symlink_to(tmp_path)
    with pytest.raises(InputError, match="link"):
        subject.read_folder(folder, PUBLISHER)


def test_hidden_files_stay_at_home(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", {".env": "secret", ".git/config": "x", "more/.x": "y", "more/data.bin": b"\1"})
    assert sorted(subject.read_folder(folder, PUBLISHER).files) == ["index.html", "more/data.bin", "program.js"]


@pytest.mark.parametrize(
    "said", ["", "[]", "{", '{"name": 1}', '{"surprise": 1}', '{"wants": "all"}', "[" * 100_000, '{"name": "x"}']
)
def test_a_manifest_that_says_something_else_is_refused(tmp_path: Path, said: str) -> None:
    folder = write(tmp_path / "one")
    (folder / subject.MANIFEST).write_text(said)
    with pytest.raises(InputError):
        subject.read_folder(folder, PUBLISHER).encode()
    (folder / subject.MANIFEST).unlink()
    with pytest.raises(InputError, match=r"viewer\.json"):
        subject.read_folder(folder, PUBLISHER)


def test_a_bundle_is_a_record_of_the_category_that_somebody_names(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "any.name"
    file.write_bytes(content)
    for named, category in ((None, Category.DOCUMENTS), (Category.LABORATORY, Category.LABORATORY)):
        (record,) = read_source(file, named)
        assert (record.category, record.year, record.media_type) == (category, 0, subject.MEDIA_TYPE)
        assert record.content == content


def test_what_only_begins_like_a_bundle_is_not_published(tmp_path: Path) -> None:
    file = tmp_path / "broken.viewer"
    file.write_bytes(subject.MAGIC + bytes(200))
    with pytest.raises(InputError):
        list(read_source(file, Category.LABORATORY))


def test_too_much_to_sign_is_refused(tmp_path: Path, signer: umbral.Signer) -> None:
    bundle = subject.read_folder(write(tmp_path / "one"), PUBLISHER)
    with pytest.raises(InputError, match="bytes"):
        subject.sign_bundle(replace(bundle, files={**bundle.files, "x": bytes(subject.MAX_SIZE)}), signer)
