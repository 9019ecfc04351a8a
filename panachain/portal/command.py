"""`portal`: serve the pages, and show the browser the way in.

Never puts the secret into an argument: the browser is given the path of a private file. Follows docs/spec/portal.md and
docs/spec/cli.md.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from panachain.cli.app import App, command, current
from panachain.errors import UsageError

if TYPE_CHECKING:
    import socket

    from panachain.crypto.wraps import DataKey
    from panachain.passphrase import Hidden
    from panachain.portal.site import Way
    from panachain.sdk.profiles import Profile

PORT: Final = 8787
"""Where the portal listens on loopback, unless it is in use or another one is given."""
_TRIED: Final = 20
"""Ports that are tried in turn where none is given."""
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL})
"""What a system answers that has no IPv6 address of its own; anything else may be somebody who has it."""


@command(
    "portal",
    unchanged="nothing was changed; what is unlocked in the portal is locked at its end",
    after="panachain doctor",
    examples="""
        panachain portal
        panachain --profile me portal --no-browser
        panachain portal --listen records.clinic.example:443 --certificate tls.pem --key tls-key.pem
    """,
)
@click.option("--port", type=click.IntRange(0, 65535), help=f"The port on this machine; {PORT} if left out, 0 for any.")
@click.option("--no-browser", is_flag=True, help="Start no browser; the address is shown.")
@click.option("--numeric", is_flag=True, help="Use 127.0.0.1, for a browser that doesn't find names below localhost.")
@click.option(
    "--lock-after",
    type=click.IntRange(1, 24 * 60),
    default=15,
    show_default=True,
    metavar="MINUTES",
    help="Lock what nobody uses.",
)
@click.option("--listen", metavar="NAME:PORT", help="Serve a hospital's staff under this name, with TLS.")
@click.option("--certificate", type=click.Path(path_type=Path), help="PEM file with the name's certificate.")
@click.option("--key", type=click.Path(path_type=Path), help="PEM file with its key, readable by its owner only.")
@click.option("--bind", metavar="ADDRESS", help="The address of this machine to listen on, for --listen.")
def portal(
    port: int | None,
    no_browser: bool,
    numeric: bool,
    lock_after: int,
    listen: str | None,
    certificate: Path | None,
    key: Path | None,
    bind: str | None,
) -> None:
    """Show everything in a browser: who can read what, and what waits for you.

    Keys stay in this process, which ends with Ctrl-C. Without --profile one chooses among this machine's profiles;
    the passphrase is typed in the browser, or a passkey touched. A profile that `unlock` keeps open needs neither.
    """
    app = current()
    if listen is None and (certificate or key or bind):
        raise UsageError("--certificate, --key and --bind are for --listen", hint="panachain portal --help")
    if listen is not None:
        if certificate is None or key is None:
            raise UsageError("--listen needs TLS: --certificate and --key", hint="panachain portal --help")
        if port is not None or numeric:
            raise UsageError("--port and --numeric are for this machine alone; --listen names its port")
        _serve_staff(app, listen, certificate, key, bind or "", lock_after)
    else:
        _serve_one(app, port, numeric=numeric, browser=not no_browser, minutes=lock_after)


def _serve_one(app: App, port: int | None, *, numeric: bool, browser: bool, minutes: int) -> None:
    from panachain.portal.security import Origin
    from panachain.portal.site import Site, Way, kept_name
    from panachain.sdk.profiles import Profiles, list_profiles, load_profile

    only = app.config.profile
    # Refused now, and not in the browser.
    profiles = Profiles([load_profile(app.home, only)]) if only else list_profiles(app.home)
    for one in profiles.omissions:
        app.output.warn(f"{one}; the portal doesn't offer it. {one.error.hint}")
    ports = [0] * _TRIED if not port else [port]
    if port is None:
        ports = [*range(PORT, PORT + _TRIED), *ports]
    # Held before there is a secret: whoever else had one of the name's addresses would be sent it.
    held = _hold(ports, both=not numeric)
    # Drawn anew each time, until a passkey is bound to one.
    name = "127.0.0.1" if numeric else kept_name(profiles)
    origin = Origin.of(name, held[0].getsockname()[1])
    way = Way(app.home / "portal", origin)
    try:
        site = Site(app.home, origin, _opener(app), way, only=only, idle=minutes * 60.0, agent=app.config.agent)
        _told(app, way)
        if browser:
            _show(way)
        _run(site, held, tls=None)
    finally:
        way.close()


def _hold(ports: Sequence[int], *, both: bool) -> list[socket.socket]:
    """Return sockets that listen on the first port that is free on loopback.

    Args:
        ports: that are tried in turn; 0 is any.
        both: whether under IPv6, too. Browsers look for names below `localhost` there first (RFC 6761 section 6.3), and
            who has that address has the whole origin: pages, cookies, secrets. Where there is no IPv6, nobody has it.

    Raises:
        UnavailableError: none of them is free.
    """
    from panachain.errors import UnavailableError
    from panachain.service.http import listen

    refused = UnavailableError("no port is left on this machine")
    for port in ports:
        held: list[socket.socket] = []
        try:
            held.append(listen("127.0.0.1", port))
            if both:
                held.append(listen("::1", held[0].getsockname()[1]))
        except UnavailableError as exc:
            cause = exc.__cause__
            if held and isinstance(cause, OSError) and cause.errno in _NO_IPV6:
                return held
            for one in held:
                one.close()
            refused = exc
        else:
            return held
    raise refused


def _serve_staff(app: App, listen_on: str, certificate: Path, key: Path, bind: str, minutes: int) -> None:
    import socket

    from panachain.portal.security import Origin
    from panachain.portal.site import Site, nobody, sweep_ways
    from panachain.service.http import listen
    from panachain.service.tls import read_tls

    name, colon, port = listen_on.rpartition(":")
    if not colon or not name or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"--listen {listen_on!a} isn't NAME:PORT", hint="such as records.clinic.example:443")
    tls = read_tls({"certificate": str(certificate), "key": str(key)}, Path.cwd())
    try:
        address = bind or socket.gethostbyname(name)
    except OSError as exc:
        raise UsageError(
            f"{name} has no address on this machine: {exc.strerror or exc}", hint="name the address with --bind"
        ) from exc
    listening = listen(address, int(port))
    origin = Origin.of(name.lower(), int(port), tls=True)
    sweep_ways(app.home / "portal")
    with nobody() as stranger:
        site = Site(app.home, origin, _opener(app), None, only=app.config.profile, idle=minutes * 60.0, nobody=stranger)
        app.output.one({"schema": "panachain/portal/1", "url": str(origin)}, fields=("url",))
        app.output.say("Staff open this address and unlock their own profiles. Ctrl-C ends it.")
        _run(site, [listening], tls=tls)


def _opener(app: App) -> Any:
    """Return what unlocks a profile: as `connect` does, with this run's settings."""
    config = app.config

    def open_profile(profile: Profile, secret: Hidden | DataKey) -> Any:
        from panachain.sdk.actors import open_actor
        from panachain.sdk.network import Network

        network = Network.open(config)
        try:
            return open_actor(network, profile, secret, owns_network=True)
        except BaseException:
            network.close()
            raise

    return open_profile


def _told(app: App, way: Way) -> None:
    told = {"schema": "panachain/portal/1", "url": way.url, "file": str(way.path)}
    app.output.one(told, fields=("url",), whole=("url",))
    app.output.say(f"The address opens the portal once; {way.path} always leads to a fresh one.")
    app.output.say("Ctrl-C ends the portal and locks everything.")


def _show(way: Way) -> None:
    """Let the browser open the private file; where there is none, the address stands in the terminal."""
    import contextlib
    import webbrowser

    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(way.path.as_uri())


def _run(site: Any, held: Sequence[socket.socket], *, tls: Any) -> None:
    import sys

    from panachain.portal.app import create_app
    from panachain.portal.serving import PortalProtocol, limits
    from panachain.private_files import forbid_core_dumps
    from panachain.service.http import serve

    forbid_core_dumps()
    # Whoever started this reads the address while it serves.
    sys.stdout.flush()
    serve(create_app(site), held[0], also=held[1:], tls=tls, grace=5.0, limits=limits(), http=PortalProtocol)
