"""Help answers at once, and is complete."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

import panachain
from panachain.cli.main import COMMANDS, SECTIONS, cli
from tests.cli.twin import Outcome

HEAVY = {
    *("web3", "eth_account", "httpx", "cryptography", "fastapi", "uvicorn", "pydicom", "sqlalchemy", "ipfshttpclient"),
    *("nucypher_core", "coincurve", "btclib_secp256k1", "rich", "zstandard", "pydantic"),
    *("panachain.sdk", "panachain.chain"),
}


def every(command: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Walk all commands."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from every(found, (*path, name))


PATHS = [path for path, _ in every()]


def imported_after(*arguments: str) -> set[str]:
    program = (
        "import json, sys\nfrom panachain.cli.main import main\n"
        f"for path in {[list(arguments)] if arguments else [[*path, '--help'] for path in PATHS]!r}: main(path)\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(done.stderr.strip().splitlines()[-1]))


def test_help_of_every_command_loads_nothing_heavy() -> None:
    assert not imported_after() & HEAVY


def test_help_of_the_root_loads_no_command() -> None:
    loaded = {name for name in imported_after("--help") if name.startswith("panachain.cli.")}
    assert loaded <= {
        f"panachain.cli.{name}" for name in ("main", "app", "fields", "output", "passphrase", "tables", "talk", "words")
    }


def test_every_command_stands_below_somebody_who_does_it() -> None:
    assert {name for names in SECTIONS.values() for name in names} == set(COMMANDS)
    help_text = cli.get_help(click.Context(cli, info_name="panachain"))
    places = [help_text.index(f"{heading}:\n") for heading in SECTIONS]
    assert places == sorted(places)


def test_every_name_in_the_table_is_its_command() -> None:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help_shows_examples_and_json(run: Callable[..., Outcome], path: tuple[str, ...]) -> None:
    outcome = run(*path, "--help")
    assert outcome.code == 0
    assert "Examples:" in outcome.out
    assert "--json" in outcome.out
    assert "panachain" in outcome.out.split("Examples:")[1]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(run: Callable[..., Outcome], shell: str) -> None:
    outcome = run("completion", shell)
    assert outcome.code == 0
    assert "_PANACHAIN_COMPLETE" in outcome.out


def test_no_list_of_commands_cuts_a_sentence() -> None:
    for path, command in every():
        if isinstance(command, click.Group):
            told = command.get_help(click.Context(command, info_name="panachain", terminal_width=100))
            commands = told.partition("Commands:")[2].partition("Examples:")[0]
            assert "..." not in commands, path


def test_usage_and_examples_are_typed_as_the_launcher_is_called(
    run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\n  panachain --profile me grant" in run("grant", "--help").out
    monkeypatch.setenv("PANA_LAUNCHER", "./pana")
    told = run("grant", "--help").out
    assert told.startswith("Usage: ./pana grant ")
    assert "\n  ./pana --profile me grant" in told
    assert "\n  panachain" not in told


def test_what_people_read_speaks_of_categories_keys_and_records_and_of_no_lane() -> None:
    """A lane is the specification's word: help, talk and pages say what it is for."""
    package = Path(panachain.__file__).parent
    said = [command.get_help(click.Context(command, info_name=" ".join(path))) for path, command in every()]
    for source in sorted([*package.glob("cli/*.py"), *package.glob("portal/**/*.py"), *package.glob("consent/*.py")]):
        # A sentence, and no name of a field or a state in JSON; docstrings tell engineers.
        tree = ast.parse(source.read_text())
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        words = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docs)
        said += [one.value for one in words if isinstance(one.value, str) and one.value.count(" ") > 1]
    for page in package.glob("portal/templates/**/*.html"):
        said += re.findall(r"""gettext\(.*?\)|_\(.*?\)|>[^<{]+<""", page.read_text())
    assert len(said) > 3_000
    assert [text for text in said if re.search(r"\blanes?\b", text, re.IGNORECASE)] == ["no lane or no purpose"]
