"""Commands of the documents, parsed as the programs that they name parse them, without being run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click

from panachain.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
LAUNCHED = frozenset(re.findall(r"^  ([a-z]+)\)$", (ROOT / "pana").read_text(encoding="utf-8"), re.MULTILINE))
"""What `./pana` does by itself; everything else goes to the command line."""
OTHERS = frozenset(
    {"apt", "brew", "cast", "cat", "cd", "chmod", "chown", "cp", "echo", "git", "install", "ln", "mkdir", "nano", "npm"}
    | {"pip", "systemctl", "umask", "useradd", "uv"}
)
"""Programs that aren't ours, and whose options nobody checks here."""
SOURCES = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "panachain").rglob("*.py")) + "".join(
    path.read_text(encoding="utf-8") for path in [ROOT / "pana", ROOT / "scripts" / "deploy.py"]
)


class WrongCommandError(Exception):
    """A document names a command that there isn't, or one with other options."""


def check(line: str) -> None:
    """Check a line of a shell.

    Raises:
        WrongCommandError: a program refuses its arguments, or nobody knows the program.
    """
    for words in _commands(line):
        _check(words)


def _commands(line: str) -> list[list[str]]:
    """Return the commands of a line, as words; comments and redirections are left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>()")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    into = False
    for word in lexer:
        if re.fullmatch(r"[&|;()]+", word):
            found.append([])
        elif re.fullmatch(r"[<>]+&?", word):
            into = True
        elif into:
            into = False
        else:
            found[-1].append(word)
    return [words for words in found if words]


def _check(words: list[str]) -> None:
    while words and re.match(r"[A-Z_][A-Z0-9_]*=", words[0]):
        _check_variable(words.pop(0))
    if not words:
        return
    program, *arguments = words
    name = Path(program).name
    if name == "export":
        for word in arguments:
            _check_variable(word)
    elif name == "pana" and arguments[:1] and arguments[0] in LAUNCHED:
        if arguments[0] == "bench":
            _check_script(ROOT / "benchmarks" / f"{arguments[1]}.py", arguments[2:])
    elif name in ("pana", "panachain"):
        parse(arguments)
    elif name in ("python", "python3") and arguments[:1] == ["-m"]:
        if arguments[1] not in ("pytest", "venv"):
            raise WrongCommandError(f"nobody knows the module {arguments[1]}")
    elif name in ("python", "python3"):
        _check_script(ROOT / arguments[0], arguments[1:])
    elif name == "ape":
        if arguments[0] != "run" or not (ROOT / "scripts" / f"{arguments[1]}.py").is_file():
            raise WrongCommandError(f"ape has no script {arguments}")
    elif name not in OTHERS and not (ROOT / program).exists():
        raise WrongCommandError(f"nobody knows the program {program}")


def _check_script(path: Path, arguments: list[str]) -> None:
    """Check that a script is there, and that it has the options that it is given; values aren't read."""
    if not path.is_file():
        raise WrongCommandError(f"there is no {path.relative_to(ROOT)}")
    known = options_of(path)
    for word in arguments:
        # One that names none hands its arguments on.
        if known and word.startswith("-") and word.partition("=")[0] not in known | {"--help", "-h"}:
            raise WrongCommandError(f"{path.relative_to(ROOT)} has no option {word}")


def options_of(path: Path) -> frozenset[str]:
    """Return the options of a script: what it gives to argparse, or what it names where it does without."""
    code = path.read_text(encoding="utf-8")
    given = re.findall(r'add_argument\(\s*"(--?[a-z-]+)"', code)
    return frozenset(given or re.findall(r'"(--[a-z-]+)"', code))


def _check_variable(word: str) -> None:
    name = word.partition("=")[0]
    # Settings are read as PANACHAIN_ and the setting's name (panachain/config.py).
    known = name in SOURCES or f'"{name.removeprefix("PANACHAIN_").lower()}"' in SOURCES
    if name.startswith(("PANACHAIN_", "PANA_")) and not known:
        raise WrongCommandError(f"nothing reads the variable {name}")


def parse(arguments: list[str]) -> None:
    """Let the command line read arguments, and run nothing.

    Raises:
        WrongCommandError: it refuses them.
    """

    def any_path(_self: click.Path, value: Any, *_: object) -> Path:
        # The files of an example are only there when it is run.
        return Path(value)

    try:
        with patch.object(click.Path, "convert", any_path):
            command: click.Command = cli
            context = cli.make_context("panachain", list(arguments))
            while isinstance(command, click.Group):
                left = [*context.protected_args, *context.args]
                if not left:
                    if command.invoke_without_command:
                        return
                    raise WrongCommandError(f"panachain {' '.join(arguments)}: a command is missing")
                name, found, rest = command.resolve_command(context, left)
                assert found is not None
                command = found
                context = command.make_context(name, rest, parent=context)
    except click.exceptions.Exit:
        if not {"--help", "-h", "--version"} & set(arguments):
            # A group without a command shows its help.
            raise WrongCommandError(f"panachain {' '.join(arguments)}: a command is missing") from None
    except click.ClickException as exc:
        raise WrongCommandError(f"panachain {' '.join(arguments)}: {exc.format_message()}") from exc
