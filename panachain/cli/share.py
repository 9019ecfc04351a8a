"""`share make|update|list|revoke|serve|open`: SMART Health Links, for whoever has no PanaChain.

Never takes a link or a passcode as an argument: other processes can read both. Shows a link once, when it is made, and
keeps none. Follows docs/spec/cli.md and docs/spec/sharing.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from panachain.cli.app import App, LazyGroup, command, current
from panachain.cli.values import Categories, Moment, Years, flat
from panachain.errors import PartlyDoneError, UsageError
from panachain.model.actors import Role
from panachain.passphrase import read_passphrase
from panachain.plain import count

if TYPE_CHECKING:
    from panachain.sdk.results.shares import MadeLink, ShareView
    from panachain.sharing.reading import Linked

_COLUMNS = ("name", "label", "state", "expires_at", "files", "opened")
_MORE = ("made_at", "size", "passcode", "attempts_left", "long_term", "written_to")
_LONGEST_LINK = 8192
"""Bytes of a file that holds a link."""

_link_file = click.option(
    "--link-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A private file with the link; without it you are asked for it.",
)
_passcode_file = click.option(
    "--passcode-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The passcode is the first line of this private file.",
)


@click.group("share", cls=LazyGroup, epilog="panachain share list")
def share() -> None:
    """Share records by a SMART Health Link, with whoever has no PanaChain."""


@command(
    "make",
    unchanged="links that were made before stayed as they were",
    examples="""
        panachain --profile me share make --category emergency --until 30d --url https://links.example --passcode
        panachain --profile me share make --summary --until 30d --url https://links.example --passcode
        panachain share make summary.json --until 7d --url https://links.example --qr link.svg
        panachain share make summary.json --until 7d --url https://files.example/mine --static upload/
    """,
)
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--category",
    "categories",
    multiple=True,
    type=Categories(special=True),
    help="For patients, without FILES: which of your records; repeatable, commas allowed. `all` leaves the restricted"
    " categories out.",
)
@click.option(
    "--summary",
    is_flag=True,
    help="For patients, without FILES: a patient summary (IPS) of your records; --category says of which, all but the"
    " restricted ones if left out.",
)
@click.option("--year", "years", multiple=True, type=Years(), help="Only these years: 2024, 2019-2023, undated.")
@click.option("--url", required=True, metavar="URL", help="Where readers reach `share serve`, or the static host.")
@click.option("--until", type=Moment(), help="When it ends: a date or a duration such as 30d.")
@click.option("--no-end", is_flag=True, help="It ends only when you revoke it.")
@click.option("--label", default="", metavar="TEXT", help="What readers see first, 80 characters. It isn't sealed.")
@click.option("--passcode", "asks", is_flag=True, help="Ask for a passcode, which readers must know as well.")
@_passcode_file
@click.option("--long-term", is_flag=True, help="Readers may look again: `share update` gives it other files.")
@click.option(
    "--direct", is_flag=True, help="The link leads to the one file itself (flag U); it can't have a passcode."
)
@click.option(
    "--static",
    "folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Write the sealed file there, for any web server: it can neither end a link nor ask for a passcode.",
)
@click.option("--viewer", default="", metavar="URL", help="A web page that shows such links; it comes before the link.")
@click.option(
    "--qr", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Draw it into a new SVG file."
)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the link into a new private file, and don't show it.",
)
def make(
    files: tuple[Path, ...],
    categories: tuple[tuple[str, ...], ...],
    summary: bool,
    years: tuple[tuple[int, ...], ...],
    url: str,
    until: int | None,
    no_end: bool,
    label: str,
    asks: bool,
    passcode_file: Path | None,
    long_term: bool,
    direct: bool,
    folder: Path | None,
    viewer: str,
    qr: Path | None,
    target: Path | None,
) -> None:
    """Seal FILES, or your own records of some categories, and make a link to them.

    Whoever has the link reads what it leads to, and can hand it on: nothing shows who did. It is shown once and kept
    nowhere; lose it, and make another one.
    """
    app = current()
    if summary and (files or years or long_term):
        raise UsageError("--summary stands without FILES, --year and --long-term: it is one document of now")
    if not summary and (bool(files) is bool(categories) or (files and years)):
        raise UsageError("give FILES, or --category or --summary for your own records")
    if (until is None) is not no_end:
        raise UsageError("say when it ends: --until 30d, or --no-end")
    for new in (qr, target):
        if new is not None and new.exists():
            raise UsageError(f"{new} exists already; it was left as it is", hint="name another file")
    if direct or folder is not None:
        if asks or passcode_file is not None:
            raise UsageError("a link to the file itself has no passcode: there is nobody to ask for it")
        if len(files) > 1:
            raise UsageError("a link to the file itself has one file")
    code = _passcode(asks, passcode_file, new=True)
    options: dict[str, Any] = {
        "url": url,
        "until": until,
        "label": label,
        "passcode": code,
        "long_term": long_term,
        "direct": direct,
        "folder": folder,
        "viewer": viewer,
    }
    if summary:
        made, partly = _made_summary(app, flat(categories) or ("all",), options)
    else:
        made, partly = _made(app, files, flat(categories), flat(years), options)
    _hand_over(app, made, qr, target)
    if folder is not None:
        app.output.say(f"Carry {made.view.written_to} to {url}. Deleting it there ends the link; nothing else does.")
    else:
        app.output.next(
            f"panachain share serve --url {url}  # gives it out", f"panachain share revoke {made.view.name}  # ends it"
        )
    if partly is not None:
        app.unchanged = "the link leads to what could be read"
        raise partly


def _made(
    app: App, files: tuple[Path, ...], categories: tuple[str, ...], years: tuple[int, ...], options: dict[str, Any]
) -> tuple[MadeLink, PartlyDoneError | None]:
    from panachain.sdk.results.shares import MadeLink
    from panachain.sdk.sharing import Sharing

    links = Sharing(app.home)
    if files:
        return links.share_files(files, **options), None
    with app.acting(Role.PATIENT) as patient, app.output.progress("share") as progress:
        try:
            return links.share(patient.records(progress=progress), categories, years, **options), None
        except PartlyDoneError as exc:
            if not isinstance(exc.result, MadeLink):
                raise
            app.output.left_out(exc.omissions)
            return exc.result, exc


def _made_summary(
    app: App, categories: tuple[str, ...], options: dict[str, Any]
) -> tuple[MadeLink, PartlyDoneError | None]:
    from panachain.sdk.results.shares import MadeLink
    from panachain.sdk.sharing import Sharing

    wanted = {name: value for name, value in options.items() if name != "long_term"}
    with app.acting(Role.PATIENT) as patient, app.output.progress("share") as progress:
        try:
            return Sharing(app.home).share_summary(patient.records(progress=progress), categories, **wanted), None
        except PartlyDoneError as exc:
            if not isinstance(exc.result, MadeLink):
                raise
            app.output.left_out(exc.omissions)
            return exc.result, exc


def _hand_over(app: App, made: MadeLink, qr: Path | None, target: Path | None) -> None:
    """Show a link, or write it where only its owner finds it."""
    from panachain.cli.files import write_new

    if qr is not None:
        write_new(qr, qr_code(made.text))
    if target is not None:
        write_new(target, made.text.encode() + b"\n")
    shown = made.to_json()
    if target is not None:
        del shown["link"]
    if app.output.as_json:
        app.output.one(shown)
        return
    view = made.view.to_json()
    fields = ("name", "label", "expires_at", "files", "passcode")
    if target is None:
        app.output.one({**view, "link": made.text}, fields=(*fields, "link"), whole=("link",))
        app.output.say("It is shown this once. Whoever has it reads what it leads to.")
    else:
        app.output.one(view, fields=fields)
        app.output.say(f"The link is in {target}. Whoever has it reads what it leads to.")


def qr_code(text: str) -> bytes:
    """Return a QR code as SVG, with error correction M, as the specification advises."""
    from io import BytesIO

    import segno

    drawn = BytesIO()
    segno.make(text, error="m", micro=False, boost_error=False).save(drawn, kind="svg", border=4, scale=4)
    return drawn.getvalue()


@command(
    "update",
    unchanged="the link leads to what it led to",
    examples="panachain share update summary.json --link-file link.txt",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_link_file
def update(files: tuple[Path, ...], link_file: Path | None) -> None:
    """Let a link that was made with --long-term lead to FILES from now on. Only the link has the key for that."""
    from panachain.sdk.sharing import Sharing

    app = current()
    _show(app, Sharing(app.home).update(_link(link_file), files))


@command("list", examples="panachain share list --long")
def list_() -> None:
    """List the links that you made and that aren't over, with who followed them, as they called themselves."""
    from panachain.sdk.sharing import Sharing

    app = current()
    app.command = "share list"
    found = Sharing(app.home).shares()
    app.output.many(
        found,
        empty="There are no links.",
        columns=_COLUMNS,
        more=_MORE,
        also=lambda view: {"opened": _opened(view.get("openings"))},
        titles={"expires_at": "ends", "opened": "opened"},
    )
    for left in found.left_out:
        app.output.warn(str(left))
    if found.left_out:
        raise PartlyDoneError(
            f"not read: {count(len(found.left_out), 'link')}; the others are listed",
            hint="what the warnings name; until then nobody opens those links",
        )


def _opened(openings: object) -> str:
    if not isinstance(openings, list) or not openings:
        return "never"
    last = openings[-1]["recipient"] or "nobody's name"
    return f"{len(openings)} ×, last by “{last}”"


@command(
    "revoke",
    unchanged="the link leads to what it led to",
    examples="panachain share revoke 3f09",
)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Don't ask.")
def revoke(name: str, yes: bool) -> None:
    """End the link NAME: what it leads to is deleted, and looked for again.

    What was read before can't be called back.
    """
    from panachain.sdk.sharing import Sharing

    app = current()
    app.confirm(f"End the link {name}? Nobody can follow it any more.", yes=yes)
    ended = Sharing(app.home).revoke(name)
    app.output.one(
        {"schema": "panachain/share-revoked/1", "name": ended.name, "gone": True},
        fields=("name", "gone"),
        titles={"gone": "gone"},
    )
    if ended.written_to:
        app.output.warn(f"the file was deleted here; delete {Path(ended.written_to).name} on the static host, too")


@command(
    "serve",
    unchanged="links stay as they were, and are given out again at the next start",
    examples="""
        panachain share serve --url https://links.example
        panachain share serve --url https://links.example:8790 --host 0.0.0.0 --tls-certificate c.pem --tls-key k.pem
    """,
)
@click.option("--url", required=True, metavar="URL", help="Where readers reach it: that of `share make`.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where it listens.")
@click.option("--port", type=click.IntRange(1, 65535), default=8790, show_default=True, help="The same.")
@click.option("--behind", default="", metavar="ADDRESS", help="Address of the reverse proxy that does TLS for it.")
@click.option(
    "--tls-certificate", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE", help="PEM."
)
@click.option(
    "--tls-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE", help="PEM, 0600."
)
def serve(url: str, host: str, port: int, behind: str, tls_certificate: Path | None, tls_key: Path | None) -> None:
    """Give out what your links lead to, until it is stopped with SIGTERM or Ctrl-C. It can open none of it."""
    if (tls_certificate is None) is not (tls_key is None):
        raise UsageError("--tls-certificate and --tls-key go together")
    from panachain.sdk.sharing import Sharing
    from panachain.service.share.run import ShareConfig, run_share
    from panachain.service.tls import read_tls
    from panachain.wire.endpoints import check_form

    app = current()
    files = {"certificate": tls_certificate, "key": tls_key} if tls_certificate else None
    config = ShareConfig(Sharing(app.home).folder, check_form(url), host, port, behind, read_tls(files, Path()))
    run_share(config, begun=lambda: app.output.say(f"Links are given out at {host}:{port}. Ctrl-C ends it."))


@command(
    "open",
    unchanged="no file was written",
    examples="""
        panachain share open -o summary/
        panachain share open --link-file link.txt --as 'Mercy Hospital' -o summary/
    """,
)
@_link_file
@click.option("--as", "recipient", default="PanaChain", show_default=True, metavar="NAME", help="Who the sharer reads.")
@click.option("--passcode", "asks", is_flag=True, help="Ask for the link's passcode.")
@_passcode_file
@click.option("--local", is_flag=True, help="The link may lead to a service of this very machine.")
@click.option(
    "-o", "--output", "folder", required=True, metavar="DIR", type=click.Path(path_type=Path), help="A new folder."
)
def open_(
    link_file: Path | None, recipient: str, asks: bool, passcode_file: Path | None, local: bool, folder: Path
) -> None:
    """Follow a link of somebody else's, and write what it leads to into a folder.

    Nothing says that what is in it is true: a link has no signature.
    """
    from panachain.cli.files import check_folder
    from panachain.sdk.sharing import Sharing
    from panachain.sharing.reading import Linked

    app = current()
    check_folder(folder)
    text = _link(link_file)
    code = _passcode(asks, passcode_file, new=False)
    partly: PartlyDoneError | None = None
    try:
        found = Sharing(app.home).follow(text, recipient=recipient, passcode=code, local=local)
    except PartlyDoneError as exc:
        if not isinstance(exc.result, Linked):
            raise
        found, partly = exc.result, exc
        app.output.left_out(exc.omissions)
    written = _write(found, folder)
    app.output.many(written, empty="The link has no files.", columns=("file", "media_type", "size"))
    if found.label:
        app.output.say(f"The link calls itself “{found.label}”.")
    app.output.say(f"The files are in {folder}. Nobody vouches for them but whoever gave you the link.")
    if partly is not None:
        app.unchanged = f"{folder} holds what could be opened"
        raise partly


def _write(found: Linked, folder: Path) -> list[dict[str, object]]:
    from panachain.cli.files import SUFFIXES, private_folder, write_new

    suffixes = {
        **SUFFIXES,
        "application/smart-health-card": "smart-health-card",
        "application/smart-api-access": "json",
    }
    written: list[dict[str, object]] = []
    with private_folder(folder) as staging:
        for number, one in enumerate(found.files, 1):
            name = f"{number:05d}.{suffixes.get(one.content_type, 'bin')}"
            write_new(staging / name, one.content)
            size = len(one.content)
            written.append({"schema": "panachain/linked/1", "file": name, "media_type": one.content_type, "size": size})
    return written


def _passcode(asks: bool, file: Path | None, *, new: bool) -> str:
    """Return a link's passcode, or nothing where it has none.

    Never from where a profile's passphrase comes from: it would be sent to somebody else's server.
    """
    if file is not None:
        return read_passphrase("the link", file=file)
    if not asks:
        return ""
    if not sys.stdin.isatty():
        raise UsageError("the passcode is needed, and there is no terminal to ask on", hint="--passcode-file FILE")
    code: str = click.prompt(
        "Passcode of the link",
        hide_input=True,
        confirmation_prompt="Again" if new else False,
        err=True,
        show_default=False,
    )
    return code


def _link(file: Path | None) -> str:
    """Return a link from a private file, or from whoever types it; none of it is shown."""
    if file is None and not sys.stdin.isatty():
        raise UsageError("the link is needed, and there is no terminal to ask on", hint="--link-file FILE")
    if file is not None:
        return _from_file(file)
    text: str = click.prompt("The link", hide_input=True, err=True, show_default=False)
    return text


def _from_file(file: Path) -> str:
    """Return what a private file holds.

    Raises:
        UsageError: others may read it, or it is no link's.
    """
    import os
    import stat

    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_mode & 0o077 and stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise UsageError(f"{file} is open to others, and a link is a secret", hint=f"chmod 600 {file}")
            content = opened.read(_LONGEST_LINK + 1)
        if len(content) > _LONGEST_LINK:
            raise UsageError(f"{file} has more than {_LONGEST_LINK} bytes; that is no link")
        return content.decode("ascii").strip()
    except OSError as exc:
        raise UsageError(f"{file} can't be read: {exc.strerror}") from exc
    except UnicodeDecodeError:
        # Without its cause, which holds what was read.
        raise UsageError(f"{file} holds no link") from None


def _show(app: App, view: ShareView) -> None:
    app.output.one(view, fields=("name", "label", "expires_at", "files"))


share.add_command(make)
share.add_command(update)
share.add_command(list_)
share.add_command(revoke)
share.add_command(serve)
share.add_command(open_)
