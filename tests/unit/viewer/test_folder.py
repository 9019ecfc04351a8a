"""A folder of pages: static, whole, each link leads to a file of it that no browser runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from posixpath import join, normpath

import pytest

from panachain.records.samples import sample_bundle, sample_dicom
from panachain.viewer import folder
from panachain.viewer.chart import ImageSeries, Instance, Section, Study, chart
from panachain.viewer.documents import Document
from panachain.viewer.images import DicomHeader
from panachain.viewer.items import Item
from panachain.viewer.moments import NEVER
from tests.unit.viewer.helpers import shown

NOW = 1_700_000_000.0


@cache
def made() -> dict[str, bytes]:
    contents = [
        ("application/fhir+json", sample_bundle(), "00001-x.fhir.json"),
        ("application/dicom", sample_dicom(), "00002-x.dcm"),
        (
            "application/cda+xml",
            b"<?xml version='1.0'?><ClinicalDocument><title>t</title></ClinicalDocument>",
            "00003-x.cda.xml",
        ),
        ("text/html", b"<script>alert(1)</script>", "00004-x.bin"),
    ]
    items = [
        Item(
            number,
            media_type,
            "documents",
            2020,
            "0x1",
            "City clinic",
            size=len(content),
            read=lambda c=content: c,
            file=name,
        )  # type: ignore[misc]
        for number, (media_type, content, name) in enumerate(contents, 1)
    ]
    return dict(folder.files(chart(items, language="en", now=NOW)))


def test_every_link_leads_to_a_file_that_no_browser_runs() -> None:
    files = made()
    there = set(files) | {"00001-x.fhir.json", "00002-x.dcm"}
    for name, content in files.items():
        for link in re.findall(r' (?:href|src)="([^"#]+)', content.decode() if name.endswith(".html") else ""):
            assert normpath(join(name.rpartition("/")[0], link)) in there, (name, link)


def test_pictures_lie_beside_the_pages() -> None:
    files = made()
    pictures = [name for name in files if name.endswith(".png")]
    assert pictures
    assert all(files[name].startswith(b"\x89PNG") for name in pictures)


def test_nothing_needs_a_script() -> None:
    assert not [name for name, content in made().items() if b"<script" in content]


class _Counted(tuple[Instance, ...]):
    """Objects of a series that count how often somebody goes through them."""

    looks = 0

    def __iter__(self) -> Iterator[Instance]:
        type(self).looks += 1
        return super().__iter__()


@pytest.mark.parametrize("many", [3, 40])
def test_a_series_is_gone_through_as_often_for_many_objects_as_for_few(many: int) -> None:
    _Counted.looks = 0
    objects = _Counted(
        Instance(DicomHeader(error="no image"), Document(f"{n}", "dicom", "", NEVER, "application/dicom", 1, "", n))
        for n in range(many)
    )
    study = Study("", NEVER, "", (ImageSeries("", "", objects),))
    made = replace(shown(), sections=(Section("imaging", studies=(study,)),))
    pages = dict(folder.files(made))
    assert sum("document-" in name for name in pages) == many
    assert made.instance("2") is objects[2]
    # For the documents, for the objects by their keys, and where a section counts and tells what it holds.
    assert _Counted.looks <= 4
