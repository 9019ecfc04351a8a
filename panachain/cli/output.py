"""What a command prints: data on standard output, talk on standard error.

Never prints a control character that came from somebody else: a note or an endpoint could otherwise steer the
terminal. Follows docs/spec/cli.md, section "Output".
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from panachain.cli import tables, words
from panachain.cli.fields import FIELDS, Field, is_whole, kind_of
from panachain.errors import Omission, PanaChainError, PartlyDoneError
from panachain.model.actors import Address, Role, handle_of
from panachain.model.progress import Progress
from panachain.plain import cell, json_line

if TYPE_CHECKING:
    from panachain.sdk.names import Names

_SPOKEN: Final = re.compile(
    r"\b(?:(?P<proxy>proxy )?(?P<hex>0x[0-9a-fA-F]{40})|(?P<handle>[a-z]{3}-[a-z2-7]{13})"
    r"|(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:Z| UTC))(?!\w)",
    re.ASCII,
)
"""Addresses, policy IDs, handles and times in talk; CIDs and hashes stay whole, because commands ask for them whole."""

_TOLD: Final = 20
"""Lines about what was left out: a hospital could have thousands of bad records."""

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)

_COMMAND: Final = re.compile(r"\bpanachain (?=(?P<option>--)|(?P<word>[a-z]+)\b)")
"""Where a command line begins in talk."""

_ACTING: Final = frozenset(
    {
        "register",
        "whoami",
        "pair",
        "unpair",
        "records",
        "summary",
        "search",
        "grant",
        "policies",
        "policy",
        "log",
        "revoke",
        "reissue",
        "settle",
        "choices",
        "recategorize",
        "erase",
    }
    | {
        "requests",
        "approve",
        "deny",
        "convict",
        "trace",
        "notify",
        "watch",
        "readings",
        "suspend",
        "assign",
        "upload",
        "withdraw",
        "rewrap",
        "inbox",
        "open",
        "request",
        "refer",
        "group",
        "emergency",
        "query",
    }
    | {"block", "unblock", "blocked", "export", "key", "lock", "portal", "recovery", "restore", "share", "unlock"}
    | {"viewer", "guardian", "ward"}
)
"""Commands that take the profile that the user has typed."""
_OTHERS: Final = frozenset(
    {"init", "contacts", "submit", "doctor", "backup", "config", "completion", "classify"}
    | {"devnet", "deploy", "gate", "index", "network", "proxy", "relay", "sidechain", "storage"}
)

_UNBROKEN: Final = "\x00"
"""Stands for a space at which no line ends; no text that is shown has it."""

WIDTH: Final = 100
"""Characters of a line where no terminal says how wide it is."""


_MOST: Final = 1 << 24
"""Characters of one line of data, which a card or a row of CSV may need."""


def launcher() -> str:
    """Return by what the user starts commands: `./pana` tells its own name."""
    return os.environ.get("PANA_LAUNCHER") or "panachain"


def typed(text: str, *, by: str = "", profile: str = "") -> str:
    """Return talk with its commands as its reader types them.

    Args:
        text: talk of this program, in which commands begin with `panachain`.
        by: what the reader starts commands by; empty for `launcher()`.
        profile: whom commands that act for somebody name; empty if the reader named nobody.
    """
    by = by or launcher()

    def command(found: re.Match[str]) -> str:
        if found["word"] in _ACTING and profile:
            return f"{by} --profile {profile} "
        return f"{by} " if found["option"] or found["word"] in _ACTING | _OTHERS else found[0]

    return _COMMAND.sub(command, text)


class Result(Protocol):
    """A result of the SDK: a dataclass that knows its JSON form."""

    def to_json(self) -> Mapping[str, object]:
        """Return stable keys, among them `schema`."""
        ...


@dataclass
class Output:
    """Where and how one run prints."""

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    long: bool = False
    """Whether identifiers and times are written whole, and all columns shown."""
    names: Names | None = field(default=None, repr=False)
    """Who an address is; None shows the addresses."""
    profile: str = ""
    """The profile that the user has typed, so that commands in talk can be typed as they stand."""
    launcher: str = field(default_factory=lambda: launcher())
    """By what the user starts commands: `./pana` sets it."""
    clock: Callable[[], float] = time.time
    """Unix seconds, for `in 29 days`."""

    def one(
        self,
        result: Result | Mapping[str, object],
        *,
        fields: Sequence[str] = (),
        titles: Mapping[str, str] | None = None,
        also: Mapping[str, object] | None = None,
        whole: Sequence[str] = (),
    ) -> None:
        """Print one result: a JSON object, or a line per field.

        Args:
            result: what to print.
            fields: those that people read, in order; without them, and with `--long`, all that there are.
            titles: names of fields where those of `FIELDS` don't fit.
            also: fields that only people read, instead of the result's or beside them.
            whole: identifiers that are neither shortened nor broken, because people hand them on.
        """
        known = _fields(result)
        if self.as_json:
            self._json(known)
            return
        known = {**known, **(also or {})}
        chosen = [name for name in fields if not self.long] or [name for name in known if name != "schema"]
        self._learn(chosen, [known])
        shown = [
            (self._title(name, titles), str(known[name]) if name in whole else self._in_card(name, known.get(name)))
            for name in chosen
        ]
        if fields and not self.long:
            # A field that was asked for and is empty says nothing; in the whole list it shows that there is none.
            shown = [(title, text) for title, text in shown if text != words.ABSENT]
        for line in tables.card(shown, self.width, whole=[self._title(name, titles) for name in whole]):
            self._line(line)

    def many(
        self,
        results: Iterable[Result | Mapping[str, object]],
        *,
        empty: str,
        columns: Sequence[str] = (),
        more: Sequence[str] = (),
        form: str = "table",
        titles: Mapping[str, str] | None = None,
        also: Callable[[Mapping[str, object]], Mapping[str, object]] | None = None,
    ) -> None:
        """Print results as they come: JSON lines, CSV, or a table.

        Args:
            results: what to print.
            empty: the talk when there is none.
            columns: the fields of a table, in order; without them, all that the first result has.
            more: the fields that `--long` adds.
            form: `table`, `json` or `csv`; `--json` wins.
            titles: names of columns where those of `FIELDS` don't fit.
            also: gives fields that only people read, from a result's.
        """
        if self.as_json or form == "json":
            for result in results:
                self._json(_fields(result))
            return
        rows = [_fields(result) for result in results]
        if not rows:
            self.say(empty)
        if form == "csv":
            # Data for a program: all fields under their own names, times in RFC 3339.
            chosen = [name for name in columns or (rows[0] if rows else ()) if name != "schema"]
            if chosen:
                self._line(",".join(cell(words.line(name)) for name in chosen))
            for row in rows:
                self._line(",".join(cell(text_of(name, row.get(name))) for name in chosen))
        elif rows:
            chosen = [*columns, *(more if self.long else ())] or [name for name in rows[0] if name != "schema"]
            self._table(chosen, [{**row, **also(row)} for row in rows] if also else rows, titles)

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
        """Print a table whose cells are written already.

        Args:
            titles: of the columns.
            rows: a cell for each.
            right: titles of columns with numbers.
        """
        columns = [tables.Column(words.line(title), right=title in right) for title in titles]
        self._print([[words.line(cell) for cell in row] for row in rows], columns)

    def prose(self, text: str) -> None:
        """Print sentences as data, with names for handles, wrapped below their beginning."""
        for line in words.clean(self.people(text)).splitlines():
            sentence = line.lstrip(" -")
            start = line[: len(line) - len(sentence)]
            for number, part in enumerate(tables.wrap(sentence, self.width - len(start))):
                self._line(f"{'' if number else start}{' ' * len(start) if number else ''}{part}")

    def heading(self, text: str) -> None:
        """Print a line that stands over a table."""
        self._line(words.line(text), "1")

    def text(self, name: str, value: object) -> str:
        """Return one field as people read it: names, short identifiers, local times, nothing on two lines."""
        if value is None or value == "" or value == [] or value == ():
            return words.ABSENT
        if value == " ":
            return ""
        if isinstance(value, bool):
            return "yes" if value else "no"
        known = FIELDS.get(name) or Field(words.line(name).replace("_", " "))
        return _KINDS[known.kind](self, value, known)

    def people(self, text: str) -> str:
        """Return talk with names for addresses and handles, and with short identifiers; `--long` leaves it as it is."""
        if self.long or self.as_json:
            return text

        def named(found: re.Match[str]) -> str:
            if found["date"]:
                seconds = words.moment(f"{found['date']}T{found['time']}Z")
                return found[0] if seconds is None else words.when(seconds)
            if found["proxy"]:
                return f"proxy {self.who(found['hex'], Role.PROXY)}"
            if found["hex"]:
                return self.who(found["hex"])
            return self.names.of_handle(found[0]) if self.names is not None else found[0]

        return _SPOKEN.sub(named, text)

    def typed(self, text: str) -> str:
        """Return talk with its commands as this user types them: by the launcher, and with the profile typed before."""
        return text if self.as_json else typed(text, by=self.launcher, profile=self.profile)

    def who(self, address: str, role: Role | None = None) -> str:
        """Return what this machine calls an address."""
        if self.names is None:
            # Without an address book a role is enough for a handle.
            whole = role is not None and _ADDRESS.fullmatch(address)
            return handle_of(Address(address), role) if whole and role is not None else self._hex(address)
        found = self.names.of(address, role)
        if found == address:
            return self._hex(address)
        return f"{words.line(found)} {address}" if self.long else words.line(found)

    def person(self, name: str, value: object) -> str:
        """Return whom a field names where something is decided: whole, unless a name or a handle tells them apart.

        An account whose address begins with eight chosen digits is found within minutes.
        """
        if isinstance(value, list | tuple):
            return ", ".join(self.person(name, part) for part in value) or words.ABSENT
        shown = self.text(name, value)
        return words.line(str(value)) if shown == words.short(str(value)) else shown

    def learn(self, *addresses: str) -> None:
        """Let the registry be asked who these are."""
        if self.names is not None:
            self.names.learn(addresses)

    @property
    def width(self) -> int:
        """Characters of a line: the terminal's, or `COLUMNS`."""
        return max(shutil.get_terminal_size((WIDTH, 24)).columns, 40)

    def say(self, text: str, *, whole: bool = False) -> None:
        """Print talk; `-q` silences it. With `whole`, identifiers stay as they are, because something is decided."""
        if not self.quiet:
            told = words.clean(self.typed(text if whole else self.people(text)))
            _talk("\n".join(self._lines(line) for line in told.split("\n")))

    def next(self, *commands: str) -> None:
        """Say what to do next: commands that can be typed as they stand, each with `# what for` if need be."""
        split = [self.typed(command).partition("  # ") for command in commands]
        width = max((len(typed) for typed, comment, _ in split if comment), default=0)
        for number, (typed, comment, why) in enumerate(split):
            line = f"{typed:<{width}}  # {why}" if comment else typed
            if not self.quiet:
                _talk(words.clean(self.people(f"{'     ' if number else 'Next:'} {line}")))

    def detail(self, text: str) -> None:
        """Print talk that only `-v` asks for."""
        if self.verbose and not self.quiet:
            _talk(words.clean(text))

    def warn(self, text: str) -> None:
        """Print a warning; `-q` doesn't silence it."""
        told = self._lines(f"warning: {words.clean(self.typed(self.people(text)))}")
        _talk(told.replace("warning:", _style("warning:", "33"), 1))

    def left_out(self, omissions: Sequence[Omission], notices: Sequence[Omission] = ()) -> None:
        """Say what a result lacks and what is odd about it, each with whose it is and why."""
        # With --json the failure that follows holds them all.
        told = [*([] if self.as_json else [f"left out: {one}" for one in omissions]), *map(str, notices)]
        for text in told[:_TOLD]:
            self.warn(text)
        if len(told) > _TOLD:
            self.warn(f"and {len(told) - _TOLD} more; --json names them all")

    def fail(self, what: str, error: PanaChainError, *, unchanged: str, hint: str = "") -> None:
        """Print a failure: what failed, what stayed as it was, what to do next."""
        # What the command says fits better than what any error of this kind says.
        hint = error.hint if not hint or error.hint != error.usual_hint else hint
        omissions = error.omissions if isinstance(error, PartlyDoneError) else ()
        if self.as_json:
            _talk(
                _dump(
                    {
                        "schema": "panachain/error/1",
                        "command": what,
                        "error": type(error).__name__,
                        "message": str(error),
                        "unchanged": unchanged,
                        "hint": hint,
                        "exit_code": error.exit_code,
                    }
                    | ({"omissions": [one.to_json() for one in omissions]} if omissions else {})
                )
            )
            return
        head = f"{what} failed:"
        told = f"{head} {words.line(self.typed(self.people(str(error))))}"
        if sys.stderr.isatty():
            # A file or a program gets each part on one line.
            told = "\n".join(tables.wrap(told, self.width))
        _talk(told.replace(head, _style(head, "31"), 1))
        if unchanged:
            _talk(f"  state: {words.line(self.typed(unchanged))}")
        if hint:
            told = f"  next:  {words.line(self.typed(hint))}"
            _talk(told if hint.startswith("panachain ") else self._lines(told, len("  next:  ")))

    def _lines(self, told: str, start: int = 0) -> str:
        """Return talk in lines of a terminal's width, those below indented; a command stays whole, to be copied.

        A file or a program gets it on one line.
        """
        if not sys.stderr.isatty():
            return told
        kept = re.sub(r"`[^`]*`", lambda found: found[0].replace(" ", _UNBROKEN), told[start:])
        room, lines = self.width - start, [""]
        for word in kept.split(" "):
            joined = f"{lines[-1]} {word}" if lines[-1] else word
            if tables.display_width(joined) <= room:
                lines[-1] = joined
                continue
            pieces = [word] if _UNBROKEN in word else tables.wrap(word, room)
            lines[-1:] = [lines[-1], *pieces] if lines[-1] else pieces
        return told[:start] + f"\n{' ' * start}".join(lines).replace(_UNBROKEN, " ")

    @contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """Show how far a long piece of work is: a bar on a terminal, nothing when piped, quiet or JSON."""
        if self.quiet or self.as_json or not sys.stderr.isatty():

            def silent(done: int, total: int, *, unit: str) -> None:
                """Show nothing: the output goes to a file or to another program."""

            yield silent
            return
        # Imported here: only a terminal needs it.
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
        )
        console = Console(stderr=True)
        # Not redirected: rich would write data of standard output to the terminal, although it goes to a file.
        with Bars(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bars:
            tasks: dict[str, int] = {}

            def show(done: int, total: int, *, unit: str) -> None:
                state = f"{_amount(done, unit)} of {_amount(total, unit)}" if total else _amount(done, unit)
                if unit not in tasks:
                    tasks[unit] = int(bars.add_task(title, total=total or None, state=state))
                from rich.progress import TaskID

                bars.update(TaskID(tasks[unit]), completed=done, total=total or None, state=state)

            yield show

    def reading_chain(self, done: int, total: int, *, unit: str) -> None:
        """Show how far a chain was read for the first time, or a grant's confirmations are, on a terminal.

        In a line, since it may come at any time.
        """
        if self.quiet or self.as_json or not sys.stderr.isatty():
            return
        if unit == "confirmations":
            sys.stderr.write(f"\rwaiting for block {done + 1} of {total} above the grant's\x1b[K")
            sys.stderr.write("\r\x1b[K" if done + 1 > total else "")
            sys.stderr.flush()
            return
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\rreading the chain: {done:,} of {total:,} {unit}{end}")
        sys.stderr.flush()

    # Inside

    def _table(
        self, names: Sequence[str], rows: Sequence[Mapping[str, object]], titles: Mapping[str, str] | None
    ) -> None:
        self._learn(names, rows)
        cells = [[self.text(name, row.get(name)) for name in names] for row in rows]
        # A column without a single value tells nobody anything.
        filled = [at for at in range(len(names)) if self.long or any(row[at] != words.ABSENT for row in cells)]
        filled = filled or list(range(len(names)))
        columns = [
            tables.Column(
                self._title(names[at], titles),
                right=kind_of(names[at]) in ("count", "size", "number"),
                whole=is_whole(names[at]),
                steady=kind_of(names[at]) == "time",
            )
            for at in filled
        ]
        self._print([[row[at] for at in filled] for row in cells], columns)

    def _print(self, rows: Sequence[Sequence[str]], columns: Sequence[tables.Column]) -> None:
        first, *others = tables.render(columns, rows, self.width)
        self._line(first, "1")
        for line in others:
            self._line(line)

    def _in_card(self, name: str, value: object) -> str:
        return self.person(name, value) if kind_of(name) == "who" else self.text(name, value)

    def _learn(self, names: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
        """Let the registry be asked once for everybody whom these rows name."""
        if self.names is None:
            return
        asked = [name for name in names if kind_of(name) == "who" and FIELDS[name].role is None]
        self.names.learn(str(row[name]) for row in rows for name in asked if row.get(name))

    def _title(self, name: str, titles: Mapping[str, str] | None) -> str:
        if titles and name in titles:
            return titles[name]
        return FIELDS[name].title if name in FIELDS else words.line(name).replace("_", " ")

    def _hex(self, value: object, _: Field | None = None) -> str:
        if isinstance(value, list | tuple):
            return ", ".join(self._hex(part) for part in value)
        text = words.line(str(value))
        return text if self.long else words.short(text)

    def _who(self, value: object, known: Field) -> str:
        if isinstance(value, list | tuple):
            return ", ".join(self.who(str(part), known.role) for part in value)
        return self.who(str(value), known.role)

    def _time(self, value: object, _: Field | None = None) -> str:
        seconds = words.moment(value)
        if seconds is None:
            return words.line(str(value))
        return words.iso(seconds) if self.long else words.when(seconds)

    def _until(self, value: object, _: Field) -> str:
        seconds = words.moment(value)
        if seconds is None or self.long:
            return self._time(value)
        return f"{words.when(seconds)} ({words.distance(seconds, self.clock())})"

    def _purposes(self, value: object, _: Field) -> str:
        return ", ".join(words.purpose(str(part)) for part in _list(value))

    def _scopes(self, value: object, _: Field) -> str:
        return words.scopes([str(part) for part in _list(value)])

    def _state(self, value: object, _: Field) -> str:
        return words.STATES.get(str(value), words.line(str(value)))

    def _year(self, value: object, _: Field) -> str:
        return words.years([value]) if isinstance(value, int) else words.line(str(value))

    def _size(self, value: object, _: Field) -> str:
        return words.size(value) if isinstance(value, int) else words.line(str(value))

    def _count(self, value: object, _: Field) -> str:
        return f"{value:,}" if isinstance(value, int) else words.line(str(value))

    def _text(self, value: object, known: Field) -> str:
        return text_of(known.title, value)

    def _line(self, text: str, style: str = "") -> None:
        # The last look, behind those that know which field it is: our own styles are the only escapes.
        shown = words.clean(text, most=_MOST)
        put((_style(shown, style, sys.stdout) if style else shown) + "\n")

    def _json(self, fields: Mapping[str, object]) -> None:
        # Exact: what JSON escapes itself is nobody's to replace.
        put(_dump(fields) + "\n")


_KINDS: Final[Mapping[str, Callable[[Output, object, Field], str]]] = {
    "text": Output._text,
    "hex": Output._hex,
    "cid": Output._hex,
    "who": Output._who,
    "time": Output._time,
    "until": Output._until,
    "purposes": Output._purposes,
    "scopes": Output._scopes,
    "state": Output._state,
    "number": Output._text,
    "year": Output._year,
    "size": Output._size,
    "count": Output._count,
}
"""Kind of a field → what writes it."""


def text_of(name: str, value: object) -> str:
    """Return one field as it is: times in RFC 3339, lists with commas, nothing on two lines."""
    if value is None or value == "":
        return words.ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.endswith(("_at", "time")):
        return words.iso(value)
    if isinstance(value, Mapping):
        return ", ".join(
            f"{words.line(str(key)).replace('_', ' ')} {text_of(str(key), part)}"
            for key, part in value.items()
            if key != "schema"
        )
    if isinstance(value, list | tuple):
        separator = "; " if any(isinstance(part, Mapping) for part in value) else ", "
        return separator.join(text_of("", part) for part in value) or words.ABSENT
    return words.line(str(value))


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else [value]


_SINGULAR: Final = {"policies": "policy"}


def _amount(count: int, unit: str) -> str:
    return words.size(count) if unit == "bytes" else words.count(count, _SINGULAR.get(unit, unit.removesuffix("s")))


def _fields(result: Result | Mapping[str, object]) -> Mapping[str, object]:
    return result if isinstance(result, Mapping) else result.to_json()


def _dump(fields: Mapping[str, object]) -> str:
    return json_line(fields)


def _style(text: str, code: str, stream: TextIO | None = None) -> str:
    """Return talk, or text for `stream`, in a style, if it goes to a terminal that shows it."""
    stream = stream or sys.stderr
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"


class UnwrittenError(Exception):
    """Standard output takes no more; what the command did is done. For main alone, which says so."""


def put(text: str = "") -> None:
    """Write data to standard output, or, without any, all that waits to be written.

    Raises:
        UnwrittenError: nothing more goes there.
        BrokenPipeError: its reader went away.
    """
    try:
        sys.stdout.write(text) if text else sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise UnwrittenError(exc.strerror or type(exc).__name__) from exc


def _talk(text: str) -> None:
    # Whoever hears no talk still gets the data and the exit code: nothing stops halfway because of it.
    with suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
