"""A share's page holds its own share and nothing of the others, loads nothing and runs nothing."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from html.parser import HTMLParser

import pytest

from panachain.crypto import shares
from panachain.crypto.keys import Seed, address_of
from panachain.errors import ShareError
from panachain.model.actors import Role
from panachain.sdk.recovery import RecoveryShare, read_share
from panachain.sdk.recovery_page import page


class Parsed(HTMLParser):
    """Collects a page's tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


@pytest.fixture(scope="module")
def made() -> list[RecoveryShare]:
    seed = Seed.random()
    address = address_of(seed.account_key())
    return [RecoveryShare(one, Role.PATIENT, address) for one in shares.split(seed.reveal(), threshold=2, count=3)]


def test_holds_its_own_share_and_nothing_of_the_others(made: list[RecoveryShare]) -> None:
    pages = [page(share, count=3, made="30 November 2026") for share in made]
    for share, text in zip(made, pages, strict=True):
        assert read_share(text) == share
        assert all(f"<li>{word}</li>" in text for word in share.words())
        assert share.handle in text
        for other in made:
            if other != share:
                value = other.words()[4:]
                assert not [run for run in itertools.pairwise(value) if " ".join(run) in text]


def test_loads_nothing_and_runs_nothing(made: list[RecoveryShare]) -> None:
    text = page(made[0], count=3, made="30 November 2026")
    parsed = Parsed(text)
    assert not {"script", "link", "img", "iframe", "object", "form", "base", "a"} & set(parsed.tags)
    assert not [name for name, _ in parsed.attributes if name.startswith("on") or name in ("src", "href", "style")]
    assert not re.search(r"https?://|//[a-z]|url\(|@import", text)
    (policy,) = [value for _, value in parsed.attributes if value.startswith("default-src")]
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_the_code_is_of_the_share(made: list[RecoveryShare], monkeypatch: pytest.MonkeyPatch) -> None:
    import segno

    seen: list[str] = []
    real = segno.make
    monkeypatch.setattr(segno, "make", lambda text, **how: (seen.append(text), real(text, **how))[1])
    page(made[1], count=3, made="today")
    assert seen == [made[1].reveal()]


def test_a_share_of_nobody_has_no_page(made: list[RecoveryShare]) -> None:
    with pytest.raises(ShareError):
        page(RecoveryShare(made[0].share), count=3, made="today")


def test_what_is_said_of_it_is_escaped(made: list[RecoveryShare]) -> None:
    assert "<b>" not in page(made[0], count=3, made="<b>")
