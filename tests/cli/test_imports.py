"""Commands start at once: each loads what it uses, and nothing on its way loads what is heavy.

The budget is a list of packages and a count of modules, not a time, which depends on the machine; `./pana bench
startup` prints times.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import panachain
from panachain.model.actors import Role
from panachain.sdk.profiles import create_profile
from tests.skips import has_wheels

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from _node import running_node, write_network

ORACLES = frozenset({"eth_abi", "eth_account", "eth_hash", "eth_keyfile", "eth_keys", "eth_utils", "rlp"})
"""What stands for a few strict lines of ours in tests, and is web3.py's own."""
HEAVY = ORACLES | {
    # What they bring along.
    *("web3", "pydantic", "pydantic_core", "parsimonious", "toolz", "cytoolz", "regex"),
    # Command lines and parsers of libraries.
    *("httpx._main", "pygments", "markdown_it", "cffi", "pycparser"),
    # What services are made of.
    *("fastapi", "starlette", "uvicorn", "prometheus_client", "sqlalchemy", "asyncio", "panachain.service"),
    # What one kind of store or of record needs; the wire speaks HTTP without it.
    *("httpx", "ipfshttpclient", "multiaddr", "requests", "urllib3", "pydicom", "numpy"),
    # What pages are made of.
    *("jinja2", "babel", "segno", "nh3", "python_multipart", "PIL", "panachain.portal"),
    # Progress bars.
    "rich",
    # Umbral by setting only.
    "nucypher_core",
}
"""What no command loads that shows no progress, starts no service and opens no such store or record."""
LIBRARY = "coincurve" if sys.version_info < (3, 14) else "btclib_secp256k1"
"""What brings libsecp256k1 to this Python."""
ACTING = frozenset({"panachain.wire", "cryptography", LIBRARY, "panachain.sdk", "panachain.chain"})
"""What a command loads that acts for somebody on a chain."""

_UNUSED = {"ssl", "http", "email", "zipfile", "concurrent", "tomllib", "msgspec", "zstandard"}
"""Besides, on a machine whose nodes are its own and that has no file of settings."""
_ELSEWHERE = {
    *("panachain.consent", "panachain.proxy", "panachain.research"),
    # Nouns of transactions that it doesn't read, and the module around pycryptodome's hash.
    *("panachain.model.policy", "panachain.model.transactions", "panachain.model.records", "Crypto.Hash", "subprocess"),
}
"""Besides, what other commands act on."""
_NOT_PUBLISHING = {
    *("panachain.sdk.routing", "panachain.records.exports", "panachain.sdk.moves", "panachain.sdk.reseals"),
    *("panachain.sdk.withdrawals", "panachain.consent", "panachain.proxy", "panachain.research"),
}
"""Besides, what no upload does."""
_READING = {
    *(
        "panachain.records.sources",
        "panachain.records.publish",
        "panachain.records.header",
        "panachain.records.journal",
    ),
    *("panachain.consent", "panachain.proxy", "panachain.research"),
}
"""Besides, what publishes and opens records."""
COMMANDS: dict[str, tuple[Role | None, frozenset[str]]] = {
    "config": (None, HEAVY | ACTING | {"msgspec", "zstandard", "Crypto"}),
    "whoami": (Role.PATIENT, HEAVY | _UNUSED | _ELSEWHERE),
    "policies": (Role.PATIENT, HEAVY),
    "records": (Role.PATIENT, HEAVY),
    "requests": (Role.PATIENT, HEAVY),
    "log": (Role.PATIENT, HEAVY),
    "grant cardiologist --category laboratory --purpose TREAT --until 30d": (Role.PATIENT, HEAVY),
    "pair mercy": (Role.PATIENT, HEAVY),
    "inbox": (Role.PRACTITIONER, HEAVY),
    "rewrap": (Role.HOSPITAL, HEAVY),
    # It publishes nothing.
    "whoami --json": (Role.HOSPITAL, HEAVY | _UNUSED | _READING),
    # Of files of which it is known whose they are: there are no exports to route, and nothing to move or withdraw.
    "upload /dev/null --patient somebody": (Role.HOSPITAL, HEAVY | _NOT_PUBLISHING),
}
"""Command → whose it is, and what it doesn't load."""
MODULES = {
    "config": 153,
    "whoami": 322,
    "policies": 488,
    "records": 437,
    "requests": 360,
    "log": 517,
    "grant": 328,
    "pair": 346,
    "inbox": 486,
    "rewrap": 468,
    "upload": 471,
}
"""Command → modules that it may load in all; each takes a tenth to a whole millisecond. One in fifty is left for
another version of Python; whatever else is added is to be seen."""
NEWER = {11: 0, 12: 0, 13: 10, 14: 12}[sys.version_info.minor]
"""Modules more that Python's own library loads for the same in a later version."""
LAZY = frozenset({str(Path("chain", "web3.py"))})
"""The only files that import one of web3.py's packages anywhere, also within a function: programs ask for it."""
PACKAGE = Path(panachain.__file__).parent


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a profile of each role, and a network file that names the node."""
    folder = tmp_path_factory.mktemp("home")
    folder.chmod(0o700)
    (folder / "passphrase").write_text("pw")
    (folder / "passphrase").chmod(0o600)
    for role in (Role.PATIENT, Role.PRACTITIONER, Role.HOSPITAL):
        create_profile(folder, role.value, role, "pw")
    with running_node() as url:
        write_network(folder / "network.json", url)
        yield folder


def run(command: str, role: Role | None, home: Path, passphrase: str = "passphrase") -> tuple[set[str], str]:
    """Return the packages and modules that a run of a command loads, and what it says."""
    arguments = [*(["--profile", role.value] if role else []), "--home", str(home), *command.split()]
    program = (
        "import json, sys\nfrom panachain.cli.main import main\n"
        f"main({arguments!r})\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    environment = {"PANACHAIN_PASSPHRASE_FILE": str(home / passphrase), "PATH": "/usr/bin:/bin", "HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
        env=environment,
        cwd=PACKAGE.parent,
    )
    *said, modules = done.stderr.strip().splitlines()
    return set(json.loads(modules)), done.stdout + "\n".join(said)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_loads_what_it_uses_only(command: str, home: Path) -> None:
    role, absent = COMMANDS[command]
    loaded, said = run(command, role, home)

    assert not loaded & absent, said
    if role:
        # It came as far as to the chain, so this is what it loads in real life too.
        assert loaded >= ACTING, said
    assert "unforeseen" not in said
    assert len(loaded) <= MODULES[command.split()[0]] + NEWER, said


def test_an_upload_loads_what_publishes_before_its_key_store_is_open(home: Path) -> None:
    (home / "another").write_text("another")
    (home / "another").chmod(0o600)

    loaded, said = run("upload /dev/null --patient somebody", Role.HOSPITAL, home, "another")

    # While a key is made of the passphrase, which takes as long; this one is wrong.
    assert "passphrase" in said
    assert loaded >= {"panachain.sdk.publishing", "panachain.sdk.pairings", "panachain.records.reading_ahead"}


OF_PROGRAMS = ORACLES | {"web3", "hexbytes"}


def imports(path: Path) -> set[str]:
    """Return the packages that a file imports anywhere; of one that names none of those looked for, none."""
    found: set[str] = set()
    text = path.read_text()
    # Whoever imports a package names it: most files needn't be parsed.
    if not any(name in text for name in OF_PROGRAMS):
        return found
    tree = ast.parse(text)
    # What stands under `if TYPE_CHECKING` is for type checkers, and never runs.
    typed = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typed:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_no_function_imports_web3_or_its_packages_but_where_programs_ask_for_it() -> None:
    importing = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if imports(path) & OF_PROGRAMS}
    assert importing <= LAZY


def test_everything_below_the_services_loads_without_what_is_heavy() -> None:
    floors = (
        "cli",
        "sdk",
        "consent",
        "research",
        "records",
        "crypto",
        "storage",
        "ipld",
        "follow",
        "chain",
        "proxy",
        "model",
    )
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for floor in floors
        for path in sorted((PACKAGE / floor).rglob("*.py"))
        if str(path.relative_to(PACKAGE)) not in LAZY and path.name != "__main__.py"
    ]
    assert len(modules) > 90
    program = (
        f"import importlib, json, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=True, cwd=PACKAGE.parent
    )
    # The stores' client of Kubo, what it stands on, and the writer of DICOM samples are imported by their modules only.
    assert not set(json.loads(done.stdout)) & (HEAVY - {"httpx", "ipfshttpclient", "multiaddr", "requests", "urllib3"})


def test_the_budget_names_packages_that_exist() -> None:
    # A misspelled name would be absent for ever.
    optional = {"toolz", "cytoolz", "regex", "numpy", "multiaddr", "requests", "urllib3", "eth_hash"}
    if not has_wheels():
        optional.add("nucypher_core")
    assert [name for name in sorted(HEAVY | ACTING) if name not in optional and find_spec(name) is None] == []
