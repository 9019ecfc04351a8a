"""`recovery` and `restore` at the terminal: shares reach paper and nothing else, and each fault says what to do."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest

from panachain.cli.app import App
from panachain.errors import ConfigurationError
from panachain.model.actors import Actor, Address, Role, Status
from panachain.sdk.profiles import load_profile, unlock
from panachain.sdk.recovery import read_file
from tests.cli.twin import Outcome
from tests.keystores import make_cheap

Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_cheap(monkeypatch, for_this_process_only=True)
    secret = tmp_path / "pass.txt"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    monkeypatch.setenv("PANACHAIN_PASSPHRASE_FILE", str(secret))


@pytest.fixture
def sticks(tmp_path: Path, run: Run) -> list[Path]:
    """A profile `me`, and a place for each of three shares."""
    assert run("--profile", "me", "init", "--role", "patient").code == 0
    places = [tmp_path / name for name in "abc"]
    for place in places:
        place.mkdir()
    return places


def make(run: Run, sticks: list[Path], *more: str, ending: str = "html") -> list[Path]:
    files = [place / f"share.{ending}" for place in sticks]
    options = [text for path in files for text in ("-o", str(path))]
    outcome = run("--profile", "me", "recovery", "shares", *options, *more)
    assert outcome.code == 0, outcome.err
    return files


def given(*files: Path) -> list[str]:
    return [text for path in files for text in ("--share", str(path))]


def everything(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


def test_init_says_that_there_is_no_backup_yet(run: Run) -> None:
    outcome = run("--profile", "me", "init", "--role", "patient")
    assert "recovery shares" in outcome.err
    assert "there is no backup of the seed yet" in outcome.err
    assert "me: without shares" in run("recovery", "status").err


def test_one_damaged_profile_stops_neither_status_nor_doctor_and_both_say_what_helps(run: Run, tmp_path: Path) -> None:
    for name, role in (("bad", "hospital"), ("clinic", "hospital"), ("me", "patient"), ("odd", "hospital")):
        assert run("--profile", name, "init", "--role", role).code == 0
    profiles = tmp_path / "home" / "profiles"
    (profiles / "bad" / "profile.json").write_bytes(b'{"role": "hosp')
    (profiles / "odd" / "recovery.json").write_bytes(b"\xff")
    (profiles / "Twin").mkdir()
    (profiles / "Twin" / "profile.json").write_bytes(b"{}")
    done = run("recovery", "status")
    assert (done.code, "clinic" in done.out, "me" in done.out) == (3, True, True)
    assert "left out: profile bad: " in done.err
    assert "profile 'Twin'" in done.err
    assert "profile odd" in done.err
    done = run("recovery", "status", "--json")
    told = json.loads(done.err.splitlines()[-1])
    assert [json.loads(line)["profile"] for line in done.out.splitlines()] == ["clinic", "me"]
    assert (told["error"], [one["what"] for one in told["omissions"]]) == (
        "PartlyDoneError",
        ["profile 'Twin'", "profile bad", "profile odd"],
    )
    # The named one alone is as ever, and so is a good one.
    assert run("--profile", "me", "recovery", "status").code == 0
    assert run("--profile", "bad", "recovery", "status").code == 2
    done = run("doctor", "--json")
    checks = {one["name"]: one for one in map(json.loads, done.out.splitlines())}
    assert (done.code, checks["profile bad"]["state"], checks["profile 'Twin'"]["state"]) == (3, "bad", "bad")
    assert "put that file back from a backup" in checks["profile bad"]["fix"]
    assert "give it one of 1 to 64" in checks["profile 'Twin'"]["fix"]
    assert {"recovery of clinic", "recovery of me", "recovery of odd", "network"} <= checks.keys()


@pytest.mark.parametrize("ending", ["html", "txt"])
def test_shares_go_into_private_files_one_each_and_nowhere_else(
    run: Run, sticks: list[Path], tmp_path: Path, ending: str
) -> None:
    files = make(run, sticks, "--json", ending=ending)
    shares = [read_file(path) for path in files]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600] * 3
    assert [path.name for place in sticks for path in place.iterdir()] == [f"share.{ending}"] * 3
    # No word of a share is in the home, and none of the others in its own file.
    home = everything(tmp_path / "home")
    for share in shares:
        run_of_words = " ".join(share.words()[4:7])
        assert run_of_words not in home
        assert [run_of_words in path.read_text() for path in files].count(True) == 1


def test_what_is_printed_has_no_word_of_them(run: Run, sticks: list[Path]) -> None:
    files = [place / "share.txt" for place in sticks]
    options = [text for path in files for text in ("-o", str(path))]
    for how in ([], ["--json"], ["--debug", "-v", "--long"]):
        outcome = run("--profile", "me", "recovery", "shares", *options, *how)
        assert outcome.code == 0
        for path in files:
            words = read_file(path).words()
            assert " ".join(words[2:5]) not in outcome.out + outcome.err
            path.unlink()


def test_several_shares_in_one_folder_have_to_be_wanted(run: Run, sticks: list[Path]) -> None:
    files = [sticks[0] / f"{number}.txt" for number in range(3)]
    options = [text for path in files for text in ("-o", str(path))]
    refused = run("--profile", "me", "recovery", "shares", *options)
    assert refused.code == 2
    assert "as good as the seed" in refused.err
    assert not list(sticks[0].iterdir())
    allowed = run("--profile", "me", "recovery", "shares", *options, "--together")
    assert allowed.code == 0
    assert "warning:" in allowed.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--threshold", "1"], "2 to 16"),
        (["--threshold", "4"], "2 to 16"),
        (["--of", "2"], "2 shares need 2 files"),
        (["--of", "17"], "17 shares need 17 files"),
    ],
)
def test_other_numbers_write_nothing(run: Run, sticks: list[Path], options: list[str], told: str) -> None:
    files = [text for place in sticks for text in ("-o", str(place / "share.txt"))]
    outcome = run("--profile", "me", "recovery", "shares", *files, *options)
    assert outcome.code == 2
    assert told in outcome.err
    assert not [path for place in sticks for path in place.iterdir()]
    assert json.loads(run("--profile", "me", "recovery", "status", "--json").out)["state"] == "none"


def test_nothing_is_overwritten_and_a_disk_that_refuses_leaves_nothing(
    run: Run, sticks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [place / "share.txt" for place in sticks]
    options = [text for path in files for text in ("-o", str(path))]
    files[1].write_text("a letter")
    assert run("--profile", "me", "recovery", "shares", *options).code == 2
    assert files[1].read_text() == "a letter"
    files[1].unlink()
    import panachain.cli.recovery as module

    real, done = module.os.open, list[str]()

    def full(path: Any, *more: Any) -> int:
        if str(path).endswith("share.txt"):
            done.append(str(path))
            if len(done) == 3:
                raise OSError(28, "No space left on device")
        return real(path, *more)

    monkeypatch.setattr(module.os, "open", full)
    outcome = run("--profile", "me", "recovery", "shares", *options)
    assert outcome.code == 1
    assert "No space left" in outcome.err
    assert not [path for path in files if path.exists()]
    # A set that nobody got isn't remembered.
    assert json.loads(run("--profile", "me", "recovery", "status", "--json").out)["state"] == "none"


def test_breaking_off_leaves_no_share_in_any_file(
    run: Run, sticks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would know of one that lies there, but whoever finds it."""
    files = [place / "share.txt" for place in sticks]
    seen: list[list[bool]] = []

    def interrupted(_: int) -> None:
        if files[1].exists() and not seen:
            seen.append([path.exists() for path in files])
            raise KeyboardInterrupt

    monkeypatch.setattr("panachain.cli.recovery.os.fsync", interrupted)
    options = [text for path in files for text in ("-o", str(path))]
    assert run("--profile", "me", "recovery", "shares", *options).code == 130
    assert seen == [[True, True, False]]
    assert [path for path in files if path.exists()] == []


def test_without_a_terminal_shares_need_files(run: Run, sticks: list[Path]) -> None:
    outcome = run("--profile", "me", "recovery", "shares")
    assert outcome.code == 2
    assert "no terminal" in outcome.err


class Terminal:
    """A user who answers what is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: list[str] | None = None) -> None:
        self.answers = list(answers or [])
        self.asked: list[str] = []
        self.confirmed: list[str] = []
        self.agrees = True
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(click, "prompt", self._prompt)
        monkeypatch.setattr(click, "confirm", self._confirm)

    def _prompt(self, text: str, **_: Any) -> str:
        self.asked.append(text)
        return self.answers.pop(0)

    def _confirm(self, text: str, **_: Any) -> bool:
        self.confirmed.append(text)
        if not self.agrees:
            raise click.Abort
        return True


def test_on_a_terminal_they_are_shown_one_after_the_other_and_cleared(
    run: Run, sticks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(monkeypatch)
    outcome = run("--profile", "me", "recovery", "shares", "--threshold", "2", "--of", "3")
    assert outcome.code == 0
    assert len(terminal.confirmed) == 3
    screens = outcome.err.split("\x1b[2J\x1b[3J\x1b[H")
    assert [f"Share {number} of 3" in screen for number, screen in enumerate(screens[:3], 1)] == [True] * 3
    assert "33. " in screens[0]
    # Nothing of them is on standard output, which goes into files.
    assert "1. " not in outcome.out
    assert "Share" not in screens[3].replace("shares", "").replace("Shares", "")


def test_breaking_off_clears_the_screen_and_forgets_the_set(
    run: Run, sticks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    Terminal(monkeypatch).agrees = False
    outcome = run("--profile", "me", "recovery", "shares")
    assert outcome.code == 130
    assert "\x1b[2J\x1b[3J\x1b[H" in outcome.err
    assert json.loads(run("--profile", "me", "recovery", "status", "--json").out)["state"] == "none"


def test_a_drill_says_which_fit_and_status_and_doctor_remember_the_day(
    run: Run, sticks: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = make(run, sticks)
    assert "nobody has tried these shares" in run("recovery", "status").err
    before = everything(tmp_path / "home")
    outcome = run("--profile", "me", "recovery", "test", *given(files[2], files[0]))
    assert outcome.code == 0
    assert "Shares 1, 3 fit" in outcome.err
    assert "tested" in run("recovery", "status").out
    assert [line for line in everything(tmp_path / "home").splitlines() if line not in before] != []
    checks = [json.loads(line) for line in run("doctor", "--json").out.splitlines()]
    (check,) = [one for one in checks if one["name"] == "recovery of me"]
    assert (check["state"], check["fix"]) == ("ok", "")


def test_doctor_says_that_there_is_no_backup(run: Run, sticks: list[Path]) -> None:
    checks = [json.loads(line) for line in run("doctor", "--json").out.splitlines()]
    (check,) = [one for one in checks if one["name"] == "recovery of me"]
    assert check["state"] == "note"
    assert check["fix"] == "panachain --profile me recovery shares"


def test_a_drill_needs_no_passphrase(run: Run, sticks: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    files = make(run, sticks)
    monkeypatch.delenv("PANACHAIN_PASSPHRASE_FILE")
    assert run("--profile", "me", "recovery", "test", *given(*files)).code == 0


@pytest.mark.parametrize(
    ("which", "code", "told"),
    [
        ((0,), 2, "1 of the 2 shares"),
        ((0, 0), 2, "was given twice"),
    ],
)
def test_each_fault_is_told_apart(run: Run, sticks: list[Path], which: tuple[int, ...], code: int, told: str) -> None:
    files = make(run, sticks)
    outcome = run("--profile", "me", "recovery", "test", *given(*(files[place] for place in which)))
    assert outcome.code == code
    assert told in outcome.err


def test_typed_shares_are_asked_for_until_there_are_enough_and_a_damaged_one_costs_itself_only(
    run: Run, sticks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make(run, sticks)
    first, second = (" ".join(read_file(path).words()) for path in files[:2])
    damaged = " ".join([*second.split()[:-1], "zzzz"])
    terminal = Terminal(monkeypatch, ["no share\x1b[2J", first, damaged, first, second])
    outcome = run("--profile", "me", "recovery", "test")
    assert outcome.code == 0, outcome.err
    assert [text.partition(":")[0] for text in terminal.asked] == ["Share 1", "Share 1", *["Share 2 of 2"] * 3]
    assert "word 33 of the share isn't in the list" in outcome.err
    assert "was given twice" in outcome.err
    assert "\x1b[2J" not in outcome.err
    assert " ".join(first.split()[4:7]) not in outcome.err


def test_somebody_who_types_anything_is_stopped(run: Run, sticks: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch, ["x"] * 100)
    outcome = run("--profile", "me", "recovery", "test")
    assert outcome.code == 2
    assert len(terminal.asked) == 20


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def network(self: App) -> Iterator[None]:
        raise ConfigurationError("no network is set up")
        yield

    monkeypatch.setattr(App, "network", network)


def test_restore_without_chains_makes_the_profile_and_says_what_is_left(
    run: Run, sticks: list[Path], no_network: None, tmp_path: Path
) -> None:
    files = make(run, sticks)
    old = load_profile(tmp_path / "home", "me")
    home = tmp_path / "new"
    outcome = run("--home", str(home), "--profile", "again", "restore", *given(*files[:2]))
    assert outcome.code == 3
    assert "is restored" in outcome.err
    assert "whoami" in outcome.err
    profile = load_profile(home, "again")
    assert (profile.address, profile.keys) == (old.address, old.keys)
    assert unlock(profile, "correct horse").reveal() == unlock(old, "correct horse").reveal()
    modes = {path.stat().st_mode & 0o077 for path in [home, *home.rglob("*")]}
    assert modes == {0}


def test_restore_of_typed_words_needs_somebody_who_says_whose_they_are(
    run: Run, sticks: list[Path], no_network: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = make(run, sticks)
    typed = [" ".join(read_file(path).words()) for path in files[:2]]
    for path, text in zip(files, typed, strict=False):
        path.write_text(text)
    home = str(tmp_path / "new")
    refused = run("--home", home, "restore", *given(*files[:2]))
    assert refused.code == 2
    assert "--who" in refused.err
    assert not Path(home).exists()
    handle = load_profile(tmp_path / "home", "me").handle
    assert run("--home", home, "restore", *given(*files[:2]), "--who", handle).code == 3
    wrong = run("--home", home, "restore", *given(*files[:2]), "--who", "pat-aaaaaaaaaaaaa")
    assert wrong.code == 6


def test_shares_of_two_actors_restore_nobody(run: Run, sticks: list[Path], no_network: None, tmp_path: Path) -> None:
    files = make(run, sticks)
    kept = files[0].read_text()
    for path in files:
        path.unlink()
    assert run("--profile", "you", "init", "--role", "patient").code == 0
    options = [text for path in files for text in ("-o", str(path))]
    assert run("--profile", "you", "recovery", "shares", *options).code == 0
    files[0].write_text(kept)
    outcome = run("--home", str(tmp_path / "new"), "restore", *given(*files[:2]))
    assert outcome.code == 2
    assert "different sets" in outcome.err
    assert not (tmp_path / "new").exists()


def test_restore_shows_what_it_found(
    run: Run, sticks: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from types import SimpleNamespace

    from panachain.sdk import actors, restoring
    from panachain.sdk.results.recovery import RestoredReport

    files = make(run, sticks)
    old = load_profile(tmp_path / "home", "me")
    found = [Actor(Address(old.address), Role.PATIENT, Status.ACTIVE, b"")]

    @contextmanager
    def network(self: App) -> Iterator[Any]:
        yield SimpleNamespace(resolver=SimpleNamespace(known=lambda _: found))

    @contextmanager
    def acting(*_: Any) -> Iterator[None]:
        yield

    report = RestoredReport("again", old.address, "patient", "active", hospitals=5, records=5000, policies=20)
    monkeypatch.setattr(App, "network", network)
    monkeypatch.setattr(actors, "open_actor", acting)
    monkeypatch.setattr(restoring, "look_around", lambda *_, **__: report)
    outcome = run("--home", str(tmp_path / "new"), "--profile", "again", "restore", *given(*files[1:]))
    assert outcome.code == 0, outcome.err
    assert "5,000" in outcome.out
    assert ["hospitals", "5"] in [line.split() for line in outcome.out.splitlines()]
    assert old.address in outcome.out
    assert "names that you gave people" in outcome.err


def test_books_are_told_with_what_was_sent(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from panachain.sdk.results.recovery import BooksReport

    for tx, told in (("0x" + "12" * 32, False), ("", True)):

        @contextmanager
        def acting(self: App, *_: Role, tx: str = tx) -> Iterator[Any]:
            yield SimpleNamespace(books=SimpleNamespace(keep=lambda: BooksReport(2, 1, "bafkreia", tx)))

        monkeypatch.setattr(App, "acting", acting)
        outcome = run("recovery", "books")
        assert outcome.code == 0
        assert outcome.out.splitlines()[0].split() == ["contacts", "2"]
        assert ("nothing was sent" in outcome.err) is told
