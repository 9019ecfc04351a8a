"""Filters: moments, sizes, names and texts of others, in the language of the page."""

from __future__ import annotations

import re
import time

import pytest

from panachain.portal.i18n import speaking
from panachain.portal.rendering import FILTERS, HERE, environment, own_path

NOW = 1_800_000_000


def test_a_moment_has_its_distance_as_a_title(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr("panachain.portal.rendering.time.time", lambda: NOW - 3 * 86_400)
    assert FILTERS["when"](NOW) == '<time datetime="2027-01-15T08:00:00Z" title="in 3 days">15 Jan 2027, 08:00</time>'
    with speaking("de"):
        told = FILTERS["day"](NOW)
    assert 'title="in 3 Tagen"' in told
    assert ">15. Jan. 2027<" in told
    assert FILTERS["when"](None) == "-"
    # No calendar has it.
    assert FILTERS["when"](1 << 60) == str(1 << 60)
    monkeypatch.undo()
    time.tzset()


def test_numbers_are_written_as_their_readers_expect() -> None:
    assert (FILTERS["size"](1_536_000), FILTERS["number"](12_345)) == ("1.5 MiB", "12,345")
    with speaking("de"):
        assert (FILTERS["size"](1_536_000), FILTERS["number"](12_345)) == ("1,5 MiB", "12.345")


def test_texts_of_others_are_escaped_and_cleaned() -> None:
    shown = environment().from_string("{{ text|clean }}|{{ text|paragraphs }}|{{ text|who }}|{{ text|short }}")
    for part in shown.render(text="<script>alert(1)</script>\x1b[2J\u202eevil\nnext", seat=None).split("|"):
        assert "<script" not in part
        assert "\x1b" not in part
        assert "\u202e" not in part


def test_a_key_in_an_address_of_a_service_is_shown_to_nobody() -> None:
    shown = FILTERS["hosts"]
    for url, told in {
        "https://eth.example/v2/KEY": "https://eth.example/…",
        "https://eth.example:8443/?token=KEY": "https://eth.example:8443/…",
        "https://eth.example?KEY": "https://eth.example/…",
        "https://eth.example#KEY": "https://eth.example/…",
        "wss://user@eth.example/KEY": "wss://eth.example/…",
        "wss://user" + ":KEY@eth.example": "wss://eth.example",
        "HTTPS://KEY@[2001:db8::1]:8545": "HTTPS://[2001:db8::1]:8545",
        "https://eth.example/a,KEY;KEY": "https://eth.example/…",
        "http://127.0.0.1:8545": "http://127.0.0.1:8545",
        "http://127.0.0.1:8545/": "http://127.0.0.1:8545",
    }.items():
        assert shown(url) == told
        assert shown(f"the chain node at {url} is silent") == f"the chain node at {told} is silent"
        # Settings list them.
        assert shown(f"{url},{url}, {url}") == f"{told},{told}, {told}"
    for plain in ("", "none", "/home/somebody/network.json", "12:30", "a@b.example"):
        assert shown(plain) == plain


def test_no_error_is_shown_with_more_of_an_address_than_its_host() -> None:
    shown = [
        f"{path.name}: {text}"
        for path in sorted((HERE / "templates").rglob("*.html"))
        for text in re.findall(r"{{[^}]*}}", path.read_text())
        if re.search(r"\berror\b", re.sub(r'"[^"]*"', "", text))
    ]
    # Filters take the rest of an address away (test_sentences.py), macros pass on what they are given.
    safe = re.compile(r"error\|(lead|detail|step|hosts\|clean)\b|(m\.|failed)\w*\(.*error")
    assert len(shown) >= 8
    assert not [line for line in shown if not safe.search(line)]


def test_an_address_that_nobody_knows_is_short_with_the_whole_one_on_request() -> None:
    address = "0x52908400098527886E0F7030069857D2E4169EE7"
    shown = environment().from_string("{{ who|who }}").render(who=address, seat=None)
    assert shown == f'<bdi class="who" title="{address}">0x52908400</bdi>'


def test_a_value_that_a_template_lacks_is_no_silent_gap() -> None:
    with pytest.raises(Exception, match="nothing"):
        environment().from_string("{{ nothing }}").render()


def test_paths_of_this_portal_are_told_from_others() -> None:
    assert own_path("/me")
    assert own_path("/chain?before=3")
    assert not [path for path in ("me", "//x", "/\\x", "http://x", "/\n", "", "/\u2028") if own_path(path)]
