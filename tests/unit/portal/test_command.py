"""`portal`: a process that serves one user on this machine, or a hospital's staff under its own TLS name."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from panachain.cli.main import main
from panachain.errors import UnavailableError
from panachain.model.actors import Role
from panachain.portal.command import _hold
from panachain.sdk.profiles import create_profile
from tests.portal.conftest import forms_of
from tests.unit.service.authority import Authority

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))

from _node import running_node, write_network

ROOT = Path(__file__).resolve().parents[3]
PASSPHRASE = "a passphrase of the tests"


@pytest.mark.parametrize(
    "options",
    [
        ["--certificate", "a.pem"],
        ["--bind", "127.0.0.1"],
        ["--listen", "clinic.example:443"],
        ["--listen", "clinic.example", "--certificate", "a", "--key", "b"],
        ["--listen", "clinic.example:x", "--certificate", "a", "--key", "b"],
        ["--listen", "clinic.example:443", "--certificate", "a", "--key", "b", "--port", "1"],
        ["--listen", "clinic.example:443", "--certificate", "missing.pem", "--key", "missing.pem"],
        ["--port", "70000"],
        ["--lock-after", "0"],
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_listens(options: list[str], tmp_path: Path) -> None:
    assert main(["--home", str(tmp_path), "portal", *options]) == 2


def test_a_profile_that_isnt_there_is_refused_before_anything_listens(tmp_path: Path) -> None:
    assert main(["--home", str(tmp_path), "--profile", "nobody", "portal", "--no-browser"]) == 2
    assert not (tmp_path / "portal").exists()


class Held:
    """A socket that listens, as far as choosing a port needs it."""

    def __init__(self, host: str, port: int) -> None:
        self.address, self.open = (host, port), True

    def getsockname(self) -> tuple[str, int]:
        return self.address

    def close(self) -> None:
        self.open = False


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[tuple[str, int], int], list[Held]]:
    """Return what can't be listened on, with the error, for a test to fill; and all sockets that were made."""
    refused: dict[tuple[str, int], int] = {}
    made: list[Held] = []
    drawn = iter(range(50_000, 60_000))

    def listen(host: str, port: int) -> Held:
        number = refused.get((host, port))
        if number is not None:
            raise UnavailableError("it can't be listened on") from OSError(number, "refused")
        made.append(Held(host, port or next(drawn)))
        return made[-1]

    monkeypatch.setattr("panachain.service.http.listen", listen)
    return refused, made


def test_a_port_of_which_somebody_else_has_either_half_isnt_used(taken: Any) -> None:
    refused, made = taken
    refused |= {("127.0.0.1", 8787): errno.EADDRINUSE, ("::1", 8788): errno.EADDRINUSE, ("::1", 8789): errno.EACCES}
    held = _hold([8787, 8788, 8789, 8790], both=True)
    assert [one.getsockname() for one in held] == [("127.0.0.1", 8790), ("::1", 8790)]
    assert [one.address for one in made if one.open] == [("127.0.0.1", 8790), ("::1", 8790)]
    with pytest.raises(UnavailableError):
        _hold([8787, 8788], both=True)
    # Drawn ones are no exception.
    refused["::1", 50_000] = errno.EADDRINUSE
    assert [one.getsockname()[1] for one in _hold([0, 0], both=True)] == [50_001, 50_001]


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_one_half_is_enough_where_there_is_no_other(taken: Any, number: int) -> None:
    refused, _ = taken
    refused["::1", 8787] = number
    assert [one.getsockname() for one in _hold([8787], both=True)] == [("127.0.0.1", 8787)]
    refused["::1", 8787] = errno.EADDRINUSE
    assert [one.getsockname() for one in _hold([8787], both=False)] == [("127.0.0.1", 8787)]


def can_listen(family: socket.AddressFamily, host: str, port: int) -> bool:
    """Tell whether another program could have an address; where there is no IPv6, nobody could."""
    try:
        with socket.socket(family) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind((host, port))
            other.listen()
    except OSError:
        return False
    return True


def test_nobody_else_gets_the_address_that_a_browser_takes_first() -> None:
    held = _hold([0] * 20, both=True)
    try:
        port = held[0].getsockname()[1]
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_INET6, "::")):
            assert not can_listen(family, host, port)
    finally:
        for one in held:
            one.close()


def test_staff_are_served_with_somebody_at_whom_guesses_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []

    def run(site: Any, held: Any, *, tls: Any) -> None:
        served.append((site.nobody.folder.is_dir(), site.way, len(held), tls is not None))
        held[0].close()

    monkeypatch.setattr("panachain.portal.command._run", run)
    certificate, key = Authority(tmp_path, "clinic").issue("portal")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path / "home"
    stale = home / "portal" / "open-00000000.html"
    stale.parent.mkdir(mode=0o700, parents=True)
    stale.write_text("of a portal that was killed")
    options = ["--listen", f"127.0.0.1:{port}", "--certificate", str(certificate), "--key", str(key)]
    assert main(["--home", str(home), "portal", *options]) == 0
    assert served == [(True, None, 1, True)]
    assert not stale.exists()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    folder.chmod(0o700)
    for name in ("ward-one", "ward-two"):
        create_profile(folder, name, Role.HOSPITAL, PASSPHRASE)
    with running_node() as url:
        write_network(folder / "network.json", url)
        yield folder


@contextmanager
def running(home: Path, *options: str) -> Iterator[tuple[dict[str, Any], subprocess.Popen[str]]]:
    """Start a portal, yield what it says of itself, and end it as a terminal does."""
    command = [sys.executable, "-m", "panachain.cli", "--home", str(home), "portal", "--json", "-q", *options]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline()), process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def unlocked(client: httpx.Client, origin: str, name: str, passphrase: str = PASSPHRASE) -> httpx.Response:
    (form,) = [dict(hidden) for path, hidden in forms_of(client.get("/unlock").text) if path == "/unlock"]
    fields = {"csrf": form["csrf"], "profile": name, "passphrase": passphrase}
    return client.post("/unlock", data=fields, headers={"origin": origin})


@pytest.mark.deep
def test_one_user_comes_in_by_the_private_file_and_nothing_of_it_is_an_argument(home: Path) -> None:
    with running(home, "--no-browser", "--port", "0") as (told, process):
        address, _, secret = told["url"].partition("#")
        host = address.removeprefix("http://").rstrip("/")
        name, port = host.split(":")
        assert re.fullmatch(r"[0-9a-f]{16}\.localhost", name)
        file = Path(told["file"])
        assert secret in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        arguments = Path(f"/proc/{process.pid}/cmdline")
        if arguments.exists():
            assert secret not in arguments.read_text()
            assert name not in arguments.read_text()
        origin = f"http://{host}"
        # Browsers ask under IPv6 first: it is this portal there, too, or there is no such address.
        with contextlib.suppress(OSError), socket.create_connection(("::1", int(port)), 60) as other:
            other.sendall(f"GET /enter-nothing HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            assert b"content-security-policy" in other.makefile("rb").read()
        assert not can_listen(socket.AF_INET6, "::1", int(port))
        # Resolvers needn't know the name; the server only looks at what it is called.
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"host": host}, timeout=60) as client:
            assert client.get("/", headers={"host": f"127.0.0.1:{port}"}).status_code == 421
            answer = client.post("/enter", data={"secret": secret}, headers={"origin": origin})
            assert answer.status_code == 303
            cookie = answer.headers["set-cookie"].partition(";")[0]
            client.headers["cookie"] = cookie
            assert "ward-one" in client.get("/unlock").text
            answer = unlocked(client, origin, "ward-one")
            assert answer.status_code == 303
            client.headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]
            assert str(home) in client.get("/settings").text
    assert not file.exists()
    assert process.returncode == 0


@pytest.mark.deep
def test_staff_unlock_their_own_profiles_over_tls_and_sit_beside_each_other(home: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "clinic")
    certificate, key = authority.issue("portal")
    trusted = ssl.create_default_context(cafile=str(authority.path))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ("--listen", f"127.0.0.1:{port}")
    with running(home, *options, "--certificate", str(certificate), "--key", str(key)) as (told, _):
        origin = f"https://127.0.0.1:{port}"
        assert told["url"] == origin
        assert "file" not in told
        seats = {name: httpx.Client(base_url=origin, verify=trusted, timeout=60) for name in ("ward-one", "ward-two")}
        for name, client in seats.items():
            answer = client.get("/")
            assert answer.status_code == 303
            told_cookie = answer.headers["set-cookie"]
            assert told_cookie.startswith("__Host-panachain=")
            assert "Secure" in told_cookie
            page = client.get("/unlock").text
            assert "ward-" not in page
            assert unlocked(client, origin, name, "wrong").status_code == 403
            assert unlocked(client, origin, "ward-three").status_code == 403
            answer = unlocked(client, origin, name)
            assert answer.status_code == 303
            assert "max-age" in answer.headers["strict-transport-security"]
        # Each in their own seat, at once.
        for name, client in seats.items():
            assert f">{name}</bdi>" in client.get("/settings").text
            client.close()
        assert not list((home / "portal").glob("*"))
