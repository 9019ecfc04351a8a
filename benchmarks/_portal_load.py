"""Load of a hospital's portal: an upload of a gibibyte against the command line, and many staff at once.

`upload` and `staff` are called by the portal's benchmark, or alone:

    PYTHONPATH=. python benchmarks/_portal_load.py upload [--size MIB] [--rounds N]
    PYTHONPATH=. python benchmarks/_portal_load.py staff [--staff N] [--seconds S]

Both run a devnet, and the portal as a process of its own, as its users do. Timings never fail anything.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import resource
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from panachain.config import Config
from panachain.devnet import REGISTRAR, Devnet
from panachain.model.actors import Role
from panachain.sdk import Network, open_actor
from panachain.sdk.base import Registrar
from panachain.sdk.profiles import create_profile, load_profile

PASSPHRASE = "correct horse battery staple"  # noqa: S105
MIB = 1 << 20
_PIECE = 256 << 10
_FILE = 32
"""Mebibytes of one file: a study of DICOM has files of this size."""
_FORM = re.compile(r'name="csrf" value="([0-9a-f]+)"')
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


@dataclass(frozen=True)
class UploadFigures:
    """One upload both ways."""

    size: int
    """Bytes."""
    command_line: float
    """Seconds of `panachain upload`, its start included."""
    portal: float
    """Seconds from the first byte that is sent to the page that says that all is published, both looks included."""
    sent: float
    """Of them, until all was sent and the browser answered."""
    looked: float
    """And then until the page showed what would be published."""
    command_line_cpu: float
    """Seconds of processor time of the command."""
    portal_cpu: float
    """And of the portal's process, for the upload alone."""
    before: int
    """Bytes of resident memory of the portal's process before the upload."""
    peak: int
    """And the most during it."""

    @property
    def ratio(self) -> float:
        """Speed of the portal, the command line's being 1."""
        return self.command_line / self.portal

    @property
    def cpu_ratio(self) -> float:
        """The same of processor time, which a busy machine changes less."""
        return self.command_line_cpu / self.portal_cpu

    @property
    def grown(self) -> int:
        """Bytes of memory that the upload took."""
        return self.peak - self.before


@dataclass(frozen=True)
class StaffFigures:
    """Many staff at once."""

    staff: int
    seconds: float
    answers: int
    errors: int
    median: float
    """Seconds of an answer."""
    p95: float
    slowest: float
    memory: int
    """Bytes of resident memory of the portal's process with all of them unlocked."""


class Browser:
    """Somebody's browser, as far as its requests go."""

    def __init__(self, origin: str, place: int = 1) -> None:
        """Take the portal, and which of this machine's own addresses it is asked from, as by another workstation."""
        parts = urlsplit(origin)
        self.origin = origin
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", parts.port or 80, timeout=600, source_address=(f"127.0.1.{place}", 0)
        )
        self._cookie = ""

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: object = None, kind: str = "") -> tuple[int, str, str]:
        """Return status, address and text of an answer, redirects followed."""
        headers = {"Host": urlsplit(self.origin).netloc, "Cookie": self._cookie}
        if method == "POST":
            headers |= {"Origin": self.origin, "Content-Type": kind or "application/x-www-form-urlencoded"}
        if isinstance(body, Body):
            headers["Content-Length"] = str(body.length)
        try:
            answer = self._answer(method, path, body, headers)
        except (ConnectionResetError, BrokenPipeError):
            if method != "GET":
                raise
            # It had lain idle for too long; a browser asks once more, too.
            self._connection.close()
            answer = self._answer(method, path, body, headers)
        text = answer.read().decode()
        for line in answer.headers.get_all("Set-Cookie") or ():
            self._cookie = line.partition(";")[0]
        if answer.status == 303:
            return self.ask("GET", answer.headers["Location"])
        return answer.status, path, text

    def _answer(self, method: str, path: str, body: object, headers: dict[str, str]) -> http.client.HTTPResponse:
        self._connection.request(method, path, body=body, headers=headers)  # type: ignore[arg-type]
        return self._connection.getresponse()

    def enter(self, secret: str, profile: str) -> None:
        """Unlock a profile."""
        self.ask("POST", "/enter", urlencode({"secret": secret}))
        _, _, page = self.ask("GET", "/unlock")
        fields = {"csrf": _token(page), "profile": profile, "passphrase": PASSPHRASE}
        status, _, page = self.ask("POST", "/unlock", urlencode(fields))
        if status != 200 or "passphrase" in page:
            raise SystemExit(f"the profile {profile} wasn't unlocked: status {status}")

    def navigation(self) -> list[str]:
        """Return the pages that this profile finds in the navigation."""
        _, _, page = self.ask("GET", "/")
        menu = page.partition('<nav class="pages"')[2].partition("</nav>")[0]
        return re.findall(r'href="([^"]+)"', menu)

    def finish(self, path: str, text: str, *, deadline: float = 1_800) -> str:
        """Wait for a piece of work, and return its outcome."""
        end = time.monotonic() + deadline
        while "data-running" in text or 'aria-busy="true"' in text:
            if time.monotonic() > end:
                raise SystemExit(f"the work at {path} doesn't end")
            time.sleep(0.1)
            _, path, text = self.ask("GET", path)
        return text


class Body:
    """A form with files, made while it is sent: the sender of a gibibyte needn't hold it."""

    def __init__(self, fields: dict[str, str], files: list[Path], folder: Path) -> None:
        self._boundary = "----panachain-load"
        head = "".join(
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        self._parts: list[bytes | Path] = [head.encode()]
        for path in files:
            where = path.relative_to(folder)
            told = f'Content-Disposition: form-data; name="files"; filename="{where}"\r\nContent-Type: x/y\r\n\r\n'
            self._parts += [f"--{self._boundary}\r\n{told}".encode(), path, b"\r\n"]
        self._parts.append(f"--{self._boundary}--\r\n".encode())
        self.kind = f"multipart/form-data; boundary={self._boundary}"
        self.length = sum(part.stat().st_size if isinstance(part, Path) else len(part) for part in self._parts)

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            with part.open("rb") as file:
                while piece := file.read(_PIECE):
                    yield piece


@contextmanager
def world(folder: Path, patients: int = 1, practitioners: int = 0) -> Iterator[Path]:
    """Run a devnet with a hospital, its practitioners, and patients who are paired with it, and yield its home."""
    home = folder / "home"
    secret = folder / "passphrase"
    secret.write_text(PASSPHRASE)
    secret.chmod(0o600)
    Devnet.up(home, passphrase=PASSPHRASE)
    try:
        with (
            Network.open(Config.load({"home": str(home)}, {})) as network,
            Registrar(network, load_profile(home, REGISTRAR), PASSPHRASE) as registrar,
        ):
            hospital = create_profile(home, "hospital", Role.HOSPITAL, PASSPHRASE).actor
            registrar.admit(hospital)
            for number in range(practitioners):
                actor = create_profile(home, f"practitioner-{number}", Role.PRACTITIONER, PASSPHRASE).actor
                registrar.admit(replace(actor, organisation=hospital.address))
            for number in range(patients):
                registrar.admit(create_profile(home, f"patient-{number}", Role.PATIENT, PASSPHRASE).actor)
                with open_actor(network, load_profile(home, f"patient-{number}"), PASSPHRASE) as patient:
                    patient.pair("hospital")  # type: ignore[union-attr]
        yield home
    finally:
        Devnet.down(home)


@contextmanager
def portal(home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a portal as a process, and yield it with its address."""
    program = [sys.executable, "-m", "panachain.cli", "portal", "--no-browser", "--port", "0"]
    environment = {**os.environ, "PANACHAIN_HOME": str(home)}
    with subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = _address(process)
            yield process, url
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def upload(size: int = 1024, rounds: int = 3) -> UploadFigures:
    """Upload so many mebibytes by the command line and by the portal, in turns; return the medians."""
    found: list[UploadFigures] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("PANA_BENCH_FOLDER")) as place, world(Path(place)) as home:
        for number in range(rounds):
            by_hand = _files(Path(place) / f"hand-{number}", size, seed=2 * number)
            by_page = _files(Path(place) / f"page-{number}", size, seed=2 * number + 1)
            line = _by_command_line(home, by_hand, Path(place) / "passphrase")
            found.append(_by_portal(home, by_page, line, size * MIB))
    middle = sorted(found, key=lambda one: one.ratio)[len(found) // 2]
    return replace(middle, peak=max(one.peak for one in found))


def staff(people: int = 50, seconds: float = 300.0, patients: int = 20) -> StaffFigures:
    """Let so many staff use one hospital's portal at once, each in a session and at a workstation of their own.

    A fifth of them work for the hospital itself, as many as may unlock one profile within a minute; the others are its
    practitioners. Each opens pages of their own navigation, and reads each for some seconds.
    """
    clerks = min(10, people // 5)
    times: list[tuple[float, str]] = []
    errors: list[str] = []
    lock = threading.Lock()
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("PANA_BENCH_FOLDER")) as place,
        world(Path(place), patients, people - clerks) as home,
        portal(home) as (process, url),
    ):
        origin, _, secret = url.partition("/#")
        browsers = []
        for number in range(people):
            browser = Browser(origin, number + 1)
            browser.enter(secret, "hospital" if number < clerks else f"practitioner-{number - clerks}")
            browsers.append(browser)
            secret = _fresh(home)
        memory = _resident(process.pid)
        end = time.monotonic() + seconds

        def work(browser: Browser, number: int) -> None:
            chance = random.Random(number)
            pages = browser.navigation()
            while time.monotonic() < end:
                asked = chance.choice(pages)
                begun = time.perf_counter()
                try:
                    status, _, _ = browser.ask("GET", asked)
                    problem = "" if status == 200 else f"{asked}: {status}"
                except (OSError, http.client.HTTPException) as exc:
                    problem = f"{asked}: {type(exc).__name__}"
                took = time.perf_counter() - begun
                with lock:
                    times.append((took, asked))
                    errors.extend([problem] if problem else [])
                time.sleep(chance.uniform(2, 6))

        threads = [threading.Thread(target=work, args=(browser, number)) for number, browser in enumerate(browsers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for browser in browsers:
            browser.close()
    for problem in sorted(set(errors)):
        print(f"  {errors.count(problem)} x {problem}", file=sys.stderr)
    for asked in sorted({asked for _, asked in times}):
        of_page = sorted(took for took, one in times if one == asked)
        print(f"  {asked}: {len(of_page)}, p95 {of_page[int(0.95 * (len(of_page) - 1))]:.3f} s", file=sys.stderr)
    ordered = sorted(took for took, _ in times)
    return StaffFigures(
        people,
        seconds,
        len(times),
        len(errors),
        statistics.median(ordered),
        ordered[int(0.95 * (len(ordered) - 1))],
        ordered[-1],
        memory,
    )


def _files(folder: Path, size: int, *, seed: int) -> Path:
    """Make a folder with so many mebibytes of DICOM files, which no other seed makes."""
    folder.mkdir()
    chance = random.Random(seed)
    for number in range(-(-size // _FILE)):
        with (folder / f"{number:04}.dcm").open("wb") as file:
            left = min(_FILE, size - number * _FILE) * MIB
            file.write(_head(left))
            while left:
                left -= file.write(chance.randbytes(min(MIB, left)))
    return folder


def _head(pixels: int) -> bytes:
    """Return what stands before the pixels of a DICOM file (PS3.10, section 7.1; explicit VR, little endian)."""

    def element(group: int, number: int, kind: bytes, value: bytes) -> bytes:
        value += b"\0" * (len(value) % 2)
        return struct.pack("<HH2sH", group, number, kind, len(value)) + value

    syntax = element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1")
    meta = element(2, 0, b"UL", struct.pack("<I", len(syntax))) + syntax
    dated = element(8, 0x20, b"DA", b"20240311") + element(8, 0x60, b"CS", b"CT")
    return bytes(128) + b"DICM" + meta + dated + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, pixels)


def _by_command_line(home: Path, folder: Path, secret: Path) -> tuple[float, float]:
    """Return seconds, and those of processor time."""
    program = [sys.executable, "-m", "panachain.cli", "--profile", "hospital", "upload", str(folder)]
    environment = {**os.environ, "PANACHAIN_HOME": str(home), "PANACHAIN_PASSPHRASE_FILE": str(secret)}
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*program, "--patient", "patient-0"], env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, cpu


def _by_portal(home: Path, folder: Path, line: tuple[float, float], size: int) -> UploadFigures:
    with portal(home) as (process, url):
        origin, _, secret = url.partition("/#")
        browser = Browser(origin)
        browser.enter(secret, "hospital")
        _, _, page = browser.ask("GET", "/upload")
        fields = {"csrf": _token(page), "whose": "", "patient": "patient-0", "category": "", "named": ""}
        # The seat's second session is unlocked once, by whatever takes long first: that isn't the upload's.
        status, path, page = browser.ask("POST", "/moves/look", urlencode({"csrf": _token(page)}))
        browser.finish(path, page)
        body = Body(fields, sorted(folder.iterdir()), folder.parent)
        before = _resident(process.pid)
        cpu = _cpu(process.pid)
        with _watching(process.pid) as seen:
            begun = time.perf_counter()
            status, path, page = browser.ask("POST", "/upload", body, body.kind)
            sent = time.perf_counter() - begun
            if status != 200:
                raise SystemExit(f"the upload was refused: status {status}")
            page = browser.finish(path, page)
            looked = time.perf_counter() - begun - sent
            _, _, page = browser.ask("POST", "/upload/publish", urlencode(_form(page, "/upload/publish")))
            status, path, page = browser.ask("POST", "/upload/publish", urlencode(_form(page, "/upload/publish")))
            page = browser.finish(path, page)
            took = time.perf_counter() - begun
        cpu = _cpu(process.pid) - cpu
        if "was published" not in page and "were published" not in page:
            raise SystemExit(f"nothing was published: {_words(page)}")
        browser.close()
        return UploadFigures(size, line[0], took, sent, looked, line[1], cpu, before, max(seen))


@contextmanager
def _watching(pid: int) -> Iterator[list[int]]:
    """Note a process's resident memory, ten times a second."""
    seen, ended = [_resident(pid)], threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            seen.append(_resident(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _cpu(pid: int) -> float:
    """Return a process's seconds of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _address(process: subprocess.Popen[str]) -> str:
    """Return the address with the secret, from the page that the portal names."""
    assert process.stdout is not None
    for line in process.stdout:
        for word in line.split():
            if word.endswith(".html"):
                return _url_in(Path(word.removeprefix("file://")))
            if "/#" in word:
                return word
    raise SystemExit("the portal didn't start")


def _url_in(path: Path) -> str:
    found = re.search(r'url=([^"]+)"', path.read_text())
    if found is None:
        raise SystemExit(f"{path} names no address")
    return found[1]


def _fresh(home: Path) -> str:
    """Return the secret that counts now: each counts once."""
    (page,) = (home / "portal").glob("open-*.html")
    return _url_in(page).partition("/#")[2]


def _token(page: str) -> str:
    found = _FORM.search(page)
    if found is None:
        raise SystemExit(f"the page has no form: {_words(page)}")
    return found[1]


def _words(page: str) -> str:
    """Return what a page tells, without its markup."""
    return " ".join(re.sub("<[^>]*>", " ", page).split())


def _form(page: str, path: str) -> dict[str, str]:
    """Return the hidden fields of the form that posts to a path."""
    import html

    for form in page.split("<form")[1:]:
        if f'action="{path}"' in form.partition(">")[0]:
            return {name: html.unescape(value) for name, value in _HIDDEN.findall(form.partition("</form>")[0])}
    raise SystemExit(f"the page has no form for {path}: {_words(page)}")


def main() -> None:
    """Print one of the figures as JSON."""
    options = argparse.ArgumentParser()
    options.add_argument("what", choices=("upload", "staff"))
    options.add_argument("--size", type=int, default=1024, help="mebibytes")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--staff", type=int, default=50)
    options.add_argument("--seconds", type=float, default=300.0)
    given = options.parse_args()
    if given.what == "upload":
        found = upload(given.size, given.rounds)
        print(
            json.dumps(
                {
                    **vars(found),
                    "ratio": round(found.ratio, 3),
                    "cpu_ratio": round(found.cpu_ratio, 3),
                    "grown": found.grown,
                }
            )
        )
    else:
        print(json.dumps(vars(staff(given.staff, given.seconds))))


if __name__ == "__main__":
    main()
