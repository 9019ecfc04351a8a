"""`notify` and `watch`: an address is never an argument and never shown, and a look ends as it should."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.errors import UnavailableError
from panachain.sdk.results.listings import LeftOut
from panachain.sdk.watching import TEST, TEXTS, Choice, Happening, Kind
from tests.cli.twin import Outcome, Twin

Run = Callable[..., Outcome]
WORD = "hunter2"
URL = f"json://user:{WORD}@127.0.0.1/secret"


class Watched:
    """Stands for `sdk.watching.Watching`."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.sent: list[str] = []
        self.told: list[int | None] = []
        self.chosen = Choice()
        self.happened = [Happening(Kind.GRANT, bytes(32))]
        self.left_out: list[LeftOut] = []
        self.down = False
        self.notifier: Any = SimpleNamespace(
            add=self._add, services=lambda: ["json"] * len(self.urls), remove=self._remove, send=self._send
        )

    def look(self) -> tuple[list[Happening], list[LeftOut]]:
        return self.happened, self.left_out

    def tell(self, happened: list[Happening], *, every: int | None = None) -> str:
        self.told.append(every)
        if self.down:
            raise UnavailableError("went nowhere")
        return "text" if happened else ""

    def choice(self) -> Choice:
        return self.chosen

    def choose(self, kinds: list[str], *, every: int = 0) -> Choice:
        self.chosen = Choice(tuple(kind for kind in Kind if kind.value in kinds), every)
        return self.chosen

    def _add(self, url: str) -> str:
        self.urls.append(url.strip())
        return "json"

    def _remove(self, number: int) -> str:
        self.urls.pop(number - 1)
        return "json"

    def _send(self, text: str) -> int:
        self.sent.append(text)
        return len(self.urls)


@pytest.fixture
def watched(twin: Twin) -> Watched:
    found = Watched()
    twin.watching = found  # type: ignore[attr-defined]
    return found


def test_an_address_comes_from_a_file_or_from_standard_input(
    run: Run, watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "address").write_text(URL + "\n")
    outcome = run("notify", "add", "--url-file", str(tmp_path / "address"))
    assert outcome.code == 0, outcome.err
    monkeypatch.setattr("sys.stdin", io.StringIO(URL + "\n"))
    assert run("notify", "add").code == 0
    assert watched.urls == [URL, URL]
    assert run("notify", "add", URL).code == 2
    for said in (outcome, run("notify", "list"), run("notify", "list", "--json"), run("notify", "remove", "1")):
        assert "hunter2" not in said.out + said.err
        assert "secret" not in said.out + said.err


def test_a_test_is_sent(run: Run, watched: Watched) -> None:
    watched.urls = [URL]
    assert "The test went to 1 of 1 address." in run("notify", "test").err
    assert watched.sent == [TEST]


def test_one_look_tells_what_happened(run: Run, watched: Watched) -> None:
    watched.urls = [URL]
    outcome = run("watch", "--once", "--digest", "1d")
    assert outcome.code == 0, outcome.err
    assert watched.told == [86_400]
    assert "grant" in outcome.out
    assert "A message was sent." in outcome.err
    assert '"text":' in run("watch", "--once", "--json").out


def test_what_could_not_be_looked_at_is_said(run: Run, watched: Watched) -> None:
    watched.urls, watched.happened = [URL], []
    watched.left_out = [LeftOut("source", "log", "the proxies are down")]
    outcome = run("watch", "--once")
    assert "couldn't look at" in outcome.err
    assert "Nothing new in what could be looked at." in outcome.out + outcome.err
    # A timer of the system learns of it, too.
    assert outcome.code == 3


def test_nothing_is_sent_where_nobody_wants_it(run: Run, watched: Watched) -> None:
    assert run("watch", "--once").code == 2
    outcome = run("watch", "--once", "--no-send")
    assert outcome.code == 0, outcome.err
    assert watched.told == []
    assert TEXTS[Kind.GRANT].split(".")[0] in " ".join(outcome.out.split())


def test_a_service_that_is_down_ends_one_look_and_no_watching(
    run: Run, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.urls, watched.down = [URL], True
    assert run("watch", "--once").code == 7
    slept: list[int] = []

    def sleep(seconds: int) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("panachain.cli.notify.time", SimpleNamespace(sleep=sleep))
    assert run("watch", "--every", "5m").code == 130
    assert slept == [300, 300]


def test_nobody_looks_all_the_time(run: Run, watched: Watched) -> None:
    watched.urls = [URL]
    assert run("watch", "--every", "0").code == 2


def test_what_is_told_and_how_often_is_chosen(run: Run, watched: Watched) -> None:
    assert "first-opening" in run("notify", "choose").out
    run("notify", "choose", "--kind", "request,expiry", "--kind", "grant", "--digest", "1d")
    assert watched.chosen == Choice((Kind.REQUEST, Kind.GRANT, Kind.EXPIRY), 86_400)
    run("notify", "choose", "--digest", "2d")
    assert watched.chosen == Choice((Kind.REQUEST, Kind.GRANT, Kind.EXPIRY), 2 * 86_400)
    run("notify", "choose", "--kind", "all")
    assert watched.chosen == Choice(tuple(Kind), 0)
