"""A folder of pages: static, whole, each link leads to a file of it that no browser runs."""

from __future__ import annotations

import re
from functools import cache
from posixpath import join, normpath

from panachain.records.samples import sample_bundle, sample_dicom
from panachain.viewer import folder
from panachain.viewer.chart import chart
from panachain.viewer.items import Item

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
