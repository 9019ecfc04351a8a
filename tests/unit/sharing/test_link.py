"""Links are read as HL7 writes them, written as HL7 reads them, and shown nowhere."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from panachain.errors import InputError, PanaChainError, UsageError
from panachain.plain import line
from panachain.sharing.link import FLAGS, Link, read_link

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "shl-vectors"
KEY = bytes(range(32))
URL = "https://links.example/shl/" + "x" * 43
HL7 = (
    "shlink:/eyJ1cmwiOiJodHRwczovL2Voci5leGFtcGxlLm9yZy9xci9ZOXh3a1VkdG1OOXd3b0pvTjNmZkpJaFgyVUd2Q0wxSm5sUFZOTDNrRFdNL"
    "20iLCJmbGFnIjoiTFAiLCJrZXkiOiJyeFRnWWxPYUtKUEZ0Y0VkMHFjY2VOOHdFVTRwOTRTcUF3SVdRZTZ1WDdRIiwibGFiZWwiOiJCYWNrLXRvLX"
    "NjaG9vbCBpbW11bml6YXRpb25zIGZvciBPbGl2ZXIgQnJvd24ifQ"
)
"""The example of HL7's specification, section "Example SMART Health Link Generation" (CC0)."""


def text_of(fields: Any) -> str:
    return "shlink:/" + base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()


def fields(**changes: Any) -> dict[str, Any]:
    return {"url": URL, "key": base64.urlsafe_b64encode(KEY).rstrip(b"=").decode()} | changes


@pytest.mark.parametrize("before", ["", "https://viewer.example.org#", "https://viewer.example/a/?b=c#", " \n"])
def test_reads_the_example_of_the_specification(before: str) -> None:
    link = read_link(before + HL7)
    assert link.url == "https://ehr.example.org/qr/Y9xwkUdtmN9wwoJoN3ffJIhX2UGvCL1JnlPVNL3kDWM/m"
    assert link.flags == {"L", "P"}
    assert link.expires_at is None
    assert len(link.key) == 32


@pytest.mark.skipif(not SHARED.is_dir(), reason="outside data ../shared/data/shl-vectors isn't beside the project")
class TestVectorsOfHl7:
    @pytest.mark.parametrize("name", ["IPS_IG-bundle-01", "CARIN_INS_CD-bundle-01"])
    def test_a_link_says_what_its_details_say(self, name: str) -> None:
        found = json.loads((SHARED / f"{name}-shl-details.json").read_text())
        told = found.get("shlinkJsonPayload", found)
        link = read_link((SHARED / f"{name}-shl.txt").read_text())
        assert (link.url, link.label, link.flags) == (told["url"], told["label"], set(told["flag"]))
        assert link.key == base64.urlsafe_b64decode(told["key"] + "=")

    @pytest.mark.parametrize("path", sorted(SHARED.glob("*details.json")), ids=lambda path: path.name[:20])
    def test_every_spelling_of_a_link_is_the_same_link(self, path: Path) -> None:
        told = json.loads(path.read_text())
        spelled = {read_link(told[name]) for name in ("shlink", "shlinkBare") if name in told}
        assert len(spelled) <= 1
        for link in spelled:
            assert link.url == told["shlinkJsonPayload"]["url"]


@example(set(), "\u115f", None, KEY)
@example(set(), "x" * 79 + " y", None, KEY)
@given(
    st.sets(st.sampled_from(sorted(FLAGS - {"U"}))),
    st.text(st.characters(codec="utf-8", categories=["L", "N"]), max_size=80),
    st.none() | st.integers(0, 1 << 40),
    st.binary(min_size=32, max_size=32),
)
def test_reads_what_it_writes(flags: set[str], label: str, expires_at: int | None, key: bytes) -> None:
    # A label that is read is somebody else's text: letters that nobody sees are replaced.
    link = Link(URL, key, frozenset(flags), line(label)[:80].rstrip(), expires_at)
    assert read_link(replace(link, label=label).text()) == link
    assert read_link(link.text()) == link
    assert read_link(link.text("https://viewer.example/")) == link


def test_a_link_is_written_minified_with_its_flags_in_order() -> None:
    text = Link(URL, KEY, frozenset("PL"), "Summary", 1_900_000_000).text()
    payload = text.removeprefix("shlink:/")
    raw = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    assert raw == (
        b'{"url":"%s","exp":1900000000,"flag":"LP","label":"Summary","key":"%s"}'
        % (URL.encode(), base64.urlsafe_b64encode(KEY).rstrip(b"="))
    )


def test_what_is_new_is_ignored() -> None:
    link = read_link(text_of(fields(v=1, flag="LX", extension={"a": [1]}, _note="x", exp=1e9)))
    assert (link.flags, link.expires_at) == ({"L"}, 1_000_000_000)


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "shlink:/", "shlink:", "https://example.org", "shlink:/é", "javascript:x#" + HL7, "x" + HL7),
        *("https://viewer.example" + HL7, HL7 + "A", HL7[:-4], HL7.replace("shlink:/", "shlink://"), "A" * 5000),
        *map(text_of, ([], 5, {}, fields(v=2), fields(v=True), fields(v="1"), fields(flag=5), fields(flag="PU"))),
        *(
            text_of(fields(url=url))
            for url in (None, "ftp://x/y", "https://x/#y", "https://", "https://x y", "x" * 2000)
        ),
        *(text_of(fields(key=key)) for key in (None, "", "A" * 42, "A" * 44, "A" * 42 + "B", "é" * 43, 5)),
        *(text_of(fields(exp=exp)) for exp in ("1", True, -1, [])),
        "shlink:/" + base64.urlsafe_b64encode(b'{"url":"https://a/b","url":"https://c/d"}').decode().rstrip("="),
        "shlink:/" + base64.urlsafe_b64encode(b'{"exp":1e999}').decode().rstrip("="),
    ],
)
def test_what_is_no_link_is_told_without_quoting_it(wrong: str) -> None:
    with pytest.raises(PanaChainError) as caught:
        read_link(wrong)
    assert isinstance(caught.value, InputError)
    assert caught.value.__cause__ is None
    assert len(wrong) < 12 or wrong[-12:] not in str(caught.value)


def test_no_repr_shows_key_or_address() -> None:
    link = Link(URL, b"\xabSECRET" + bytes(25), frozenset("P"), "Summary")
    assert "SECRET" not in repr(link)
    assert URL not in repr(link)


@pytest.mark.parametrize(
    ("link", "viewer"),
    [
        (Link("https://links.example/" + "x" * 107, KEY), ""),
        (Link(URL, KEY, frozenset("PU")), ""),
        (Link(URL, KEY), "http://viewer.example"),
        (Link(URL, KEY), "https://viewer.example#"),
        (Link(URL, KEY), "javascript:alert(1)"),
    ],
)
def test_no_link_is_written_that_others_would_refuse(link: Link, viewer: str) -> None:
    with pytest.raises(UsageError):
        link.text(viewer)


def test_a_label_of_others_steers_nothing() -> None:
    assert "\x1b" not in read_link(text_of(fields(label="\x1b[31m" + "x" * 200))).label
    assert len(read_link(text_of(fields(label="x" * 200))).label) == 80
