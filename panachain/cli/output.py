"""What a command prints: data on standard output, talk on standard error.

Never prints a control character that came from somebody else: a note or an endpoint could otherwise steer the
terminal. Follows docs/spec/cli.md, section "Output".
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from panachain.errors import PanaChainError


class Result(Protocol):
    """A result of the SDK: a dataclass that knows its JSON form."""

    def to_json(self) -> Mapping[str, object]:
        """Return stable keys, among them `schema`."""
        ...


class Progress(Protocol):
    """Told how far a long piece of work is."""

    def __call__(self, done: int, total: int, unit: str = "records") -> None:
        """Say that `done` of `total` units are done; a total of 0 means that it isn't known."""
        ...


@dataclass
class Output:
    """Where and how one run prints."""

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    debug: bool = False

    def one(self, result: Result | Mapping[str, object]) -> None:
        """Print one result: a JSON object, or a line per field."""
        fields = _fields(result)
        if self.as_json:
            self._line(_dump(fields))
            return
        shown = {name: value for name, value in fields.items() if name != "schema"}
        width = max(map(len, shown), default=0)
        for name, value in shown.items():
            self._line(f"{label(name):<{width}}  {text_of(name, value)}")

    def many(
        self,
        results: Iterable[Result | Mapping[str, object]],
        *,
        empty: str,
        columns: Sequence[str] = (),
        form: str = "table",
    ) -> None:
        """Print results as they come: JSON lines, CSV, or a table.

        Args:
            results: what to print.
            empty: the talk when there is none.
            columns: the fields of a table, in order; without them, all that the first result has.
            form: `table`, `json` or `csv`; `--json` wins.
        """
        if self.as_json or form == "json":
            for result in results:
                self._line(_dump(_fields(result)))
            return
        rows = [_fields(result) for result in results]
        if not rows:
            self.say(empty)
        chosen = [name for name in columns or rows[0] if name != "schema"] if rows or columns else []
        if form == "csv":
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(chosen)
            writer.writerows([_cell(text_of(name, row.get(name))) for name in chosen] for row in rows)
        elif rows:
            cells = [[text_of(name, row.get(name)) for name in chosen] for row in rows]
            widths = [max(len(line[at]) for line in [list(map(label, chosen)), *cells]) for at in range(len(chosen))]
            for line in [list(map(label, chosen)), *cells]:
                self._line("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())

    def say(self, text: str) -> None:
        """Print talk; `-q` silences it."""
        if not self.quiet:
            _talk(clean(text))

    def detail(self, text: str) -> None:
        """Print talk that only `-v` asks for."""
        if self.verbose and not self.quiet:
            _talk(clean(text))

    def warn(self, text: str) -> None:
        """Print a warning; `-q` doesn't silence it."""
        _talk(f"{_style('warning:', '33')} {clean(text)}")

    def fail(self, what: str, error: PanaChainError, *, unchanged: str, hint: str = "") -> None:
        """Print a failure: what failed, what stayed as it was, what to do next."""
        # What the command says fits better than what any error of this kind says.
        hint = error.hint if not hint or error.hint != error.usual_hint else hint
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
                )
            )
            return
        _talk(f"{_style(f'{what} failed:', '31')} {clean(str(error))}")
        if unchanged:
            _talk(f"  state: {clean(unchanged)}")
        if hint:
            _talk(f"  next:  {clean(hint)}")

    @contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """Show how far a long piece of work is: a bar on a terminal, nothing when piped, quiet or JSON."""
        if self.quiet or self.as_json or not sys.stderr.isatty():

            def silent(done: int, total: int, unit: str = "records") -> None:
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
        with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
            tasks: dict[str, int] = {}

            def show(done: int, total: int, unit: str = "records") -> None:
                state = f"{_amount(done, unit)} of {_amount(total, unit)}" if total else _amount(done, unit)
                if unit not in tasks:
                    tasks[unit] = int(bars.add_task(title, total=total or None, state=state))
                from rich.progress import TaskID

                bars.update(TaskID(tasks[unit]), completed=done, total=total or None, state=state)

            yield show

    def _line(self, text: str) -> None:
        sys.stdout.write(text + "\n")


def clean(text: str) -> str:
    """Return `text` with each control and format character replaced, but for line ends and tabs."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def label(name: str) -> str:
    """Return a field's name as people read it."""
    return name.replace("_", " ")


def text_of(name: str, value: object) -> str:
    """Return one field as people read it: times in ISO 8601, lists with commas, nothing on two lines."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.endswith(("_at", "time")):
        return iso(value)
    if isinstance(value, Mapping):
        return ", ".join(
            f"{label(str(key))} {text_of(str(key), part)}" for key, part in value.items() if key != "schema"
        )
    if isinstance(value, list | tuple):
        separator = "; " if any(isinstance(part, Mapping) for part in value) else ", "
        return separator.join(text_of("", part) for part in value) or "-"
    return clean(str(value)).replace("\n", " ").replace("\t", " ")


def iso(seconds: int) -> str:
    """Return Unix seconds as UTC in ISO 8601, or the number when no calendar has it."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def size(count: int) -> str:
    """Return a number of bytes as people read it."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def _amount(count: int, unit: str) -> str:
    return size(count) if unit == "bytes" else f"{count} {unit}"


def _cell(text: str) -> str:
    # A spreadsheet takes a cell that starts like this for a formula, and others can write into these fields.
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") and text != "-" else text


def _fields(result: Result | Mapping[str, object]) -> Mapping[str, object]:
    return result if isinstance(result, Mapping) else result.to_json()


def _dump(fields: Mapping[str, object]) -> str:
    return json.dumps(fields, ensure_ascii=True, separators=(", ", ": "))


def _style(text: str, code: str) -> str:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty()
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"


def _talk(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
