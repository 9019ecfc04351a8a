"""Times, distances, identifiers, purposes and parts of records as people read them."""

from __future__ import annotations

import ast
import re
import time
from pathlib import Path

import pytest

import panachain
from panachain.cli import words
from panachain.cli.readings import reading_words
from panachain.model.scope import Category, Purpose

NOW = 1_795_893_000
"""28 November 2026, 19:10 UTC."""


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()


@pytest.fixture(autouse=True)
def restored() -> object:
    yield None
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "expected"),
    [("UTC", "28 Nov 2026, 19:10"), ("Europe/Berlin", "28 Nov 2026, 20:10"), ("Asia/Tokyo", "29 Nov 2026, 04:10")],
    indirect=["zone"],
)
def test_a_time_is_local_and_short(zone: None, expected: str) -> None:
    assert words.when(NOW) == expected


def test_a_time_that_no_calendar_has_is_its_number() -> None:
    assert words.when(1 << 47) == str(1 << 47)
    assert words.iso(1 << 47) == str(1 << 47)


@pytest.mark.parametrize(
    ("apart", "expected"),
    [
        (0, "now"),
        (-59, "now"),
        (90, "in 2 minutes"),
        (-60, "1 minute ago"),
        (3600, "in 1 hour"),
        (30 * 86_400 - 5, "in 30 days"),
        (-29 * 86_400, "29 days ago"),
        (400 * 86_400, "in 13 months"),
        (-4 * 365 * 86_400, "4 years ago"),
    ],
)
def test_a_distance_is_told_in_its_largest_unit(apart: int, expected: str) -> None:
    assert words.distance(NOW + apart, NOW) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(NOW, NOW), ("2026-11-28T19:10:00Z", NOW), ("soon", None), (True, None), (None, None)]
)
def test_a_moment_is_a_number_or_rfc_3339(value: object, expected: int | None) -> None:
    assert words.moment(value) == expected


def test_identifiers_keep_enough_to_be_typed_back() -> None:
    assert words.short("0x52908400098527886E0F7030069857D2E4169EE7") == "0x52908400"
    assert words.short("bafyreib3kd72q3kd72q3kd72q") == "bafyreib3kd72q3k"
    assert words.short("pra-mfrggzdfmy2tq") == "pra-mfrggzdfmy2tq"


@pytest.mark.parametrize(("number", "told"), [(0, "0 openings were"), (1, "1 opening was"), (2, "2 openings were")])
def test_a_verb_is_of_its_number(number: int, told: str) -> None:
    assert words.were(number, "opening") == told


def test_every_purpose_has_a_word_of_its_own() -> None:
    assert len({words.purpose(purpose.value) for purpose in Purpose} - {purpose.value for purpose in Purpose}) == len(
        Purpose
    )


def test_lanes_are_told_by_category_with_their_years() -> None:
    scopes = ["laboratory/2020", "laboratory/2021", "laboratory/2024", "laboratory/0", "vitals", "vitals/2020", "all"]
    assert words.scopes(scopes) == ("laboratory (2020-2021, 2024, undated); vitals, everything but what is restricted")
    assert words.scopes([category.value for category in Category]).count(", ") == len(Category) - 1
    assert words.scopes(["laboratory/2024", "vitals/2024"]) == "laboratory, vitals (2024)"
    assert words.scopes([]) == "-"


def test_years_are_runs_and_records_without_a_date_come_last() -> None:
    assert words.years(year for year in (2021, 0, 2020, 2024, 2019)) == "2019-2021, 2024, undated"
    assert words.years([0]) == "undated"


def test_text_of_others_is_one_line_without_control_characters() -> None:
    assert words.line("a\x1b[2J\nb\u202e c") == "a\N{REPLACEMENT CHARACTER}[2J b\N{REPLACEMENT CHARACTER} c"


@pytest.mark.parametrize(
    ("number", "noun", "expected"),
    [(1, "policy", "1 policy"), (2, "policy", "2 policies"), (0, "day", "0 days"), (1200, "record", "1,200 records")],
)
def test_numbers_have_their_noun(number: int, noun: str, expected: str) -> None:
    assert words.count(number, noun) == expected


def test_sizes() -> None:
    assert [words.size(n) for n in (0, 1023, 1536, 5 << 30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]


@pytest.mark.parametrize(
    "blank", ["\u2800", "\u3164", "\u115f", "\u1160", "\uffa0", "\u202e", "\u2066", "\u200b", "\x9b"]
)
def test_what_looks_like_nothing_is_shown(blank: str) -> None:
    assert words.line(f"a{blank}b") == "a\N{REPLACEMENT CHARACTER}b"


def test_files_are_named_up_to_a_number() -> None:
    assert words.files([("a", "checksums"), ("b", "x")]) == "a (checksums), b (x)"
    assert words.files([(str(number), "x") for number in range(13)]).endswith("9 (x) and 3 more")


@pytest.mark.parametrize(
    ("reading", "told"),
    [
        ({"permitted": True, "envelopes": 1, "proxies": ["a", "b"]}, "read 1 part"),
        ({"permitted": True, "envelopes": 8, "proxies": ["a", "b"]}, "read 8 parts"),
        ({"permitted": True, "envelopes": 8, "proxies": ["a"]}, "read 8 parts, says one proxy alone"),
        ({"permitted": True, "envelopes": 0, "proxies": ["a", "b"]}, "read"),
        ({"permitted": False, "envelopes": 0, "proxies": ["a", "b"]}, "was refused by 2 proxies"),
        (
            {"permitted": True, "envelopes": 1, "proxies": ["a"], "late": ["a"]},
            "read after the end: 1 proxy served too late",
        ),
    ],
)
def test_a_reading_is_told_in_words_that_a_patient_knows(reading: dict[str, object], told: str) -> None:
    assert reading_words(reading) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "at once"),
        (172_800, "after 2 days"),
        (3_600, "after 1 hour"),
        (90, "after 90 seconds"),
        (60, "after 1 minute"),
    ],
)
def test_how_long_somebody_waits_is_told_in_the_largest_unit_that_fits(seconds: int, told: str) -> None:
    assert words.after(seconds) == told


_NOUNS = (
    "blocks checks files findings guardians hospitals links manifests nodes openings patients policies profiles"
    " proxies records relays resources shares"
)
"""What people are told numbers of."""
_MANY = re.compile(rf" (?:more |other )?(?:{_NOUNS.replace(' ', '|')})\b(?! in the same)")
_NEVER_ONE = {
    "found.threshold": "a threshold is two and more",
    "threshold": "the same",
    "share.threshold": "the same",
    "count": "shares are as many as their threshold, and more",
    "len(files)": "a number beside another one that it isn't",
    "len(found)": "what is ambiguous is two and more",
    "len(fitting)": "the same",
    "len(there)": "a number beside another one that it isn't",
    "sequence": "a number that names",
}
"""Numbers before a plural, and why they need no singular."""


def test_no_message_puts_a_plural_behind_a_number_that_can_be_one() -> None:
    """`1 records` is what `count` is for; a plural behind `2 of` is right whatever the number."""
    package = Path(panachain.__file__).parent
    found = []
    for part in ("cli", "sdk", "summary", "sharing"):
        for source in sorted(package.joinpath(part).rglob("*.py")):
            for node in ast.walk(ast.parse(source.read_text())):
                parts = node.values if isinstance(node, ast.JoinedStr) else []
                for before, number, behind in zip([ast.Constant(""), *parts], parts, parts[1:], strict=False):
                    if not isinstance(number, ast.FormattedValue) or not isinstance(behind, ast.Constant):
                        continue
                    said = str(before.value) if isinstance(before, ast.Constant) else ""
                    if _MANY.match(str(behind.value)) and not said.endswith(
                        ("of ", "of the ", "than ", "most ", "these ", " to ", "--profile ")
                    ):
                        what = ast.unparse(number.value)
                        if what not in _NEVER_ONE:
                            found.append(f"{source.relative_to(package)}: {what}: {ast.unparse(node)[:100]}")
    assert not found, "\n".join(found)
