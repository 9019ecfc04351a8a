"""SMART Health Links: made of opened records or files, listed, revoked, and followed.

Never keeps a link or its key, and never sends anything when it makes one: a server gives the files out
(`panachain share serve`), or a static host. Needs no chain. Follows docs/spec/sharing.md and ADR 53.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from panachain.config import Config
from panachain.crypto import jwe
from panachain.errors import DiskError, InputError, PanaChainError, PartlyDoneError, UsageError
from panachain.model.scope import Category
from panachain.plain import were
from panachain.private_files import make_private_folder, others_may_write, write_private
from panachain.sdk.results.listings import LeftOut, Listing
from panachain.sdk.results.records import OpenedRecord
from panachain.sdk.results.shares import MadeLink, ShareView
from panachain.sdk.times import Moment, seconds
from panachain.sdk.words import Categories
from panachain.sharing.link import CARD, DIRECT, LONG_TERM, MAX_URL, PASSCODE, SUMMARY, Link, read_link
from panachain.sharing.reading import Linked, LinkReader
from panachain.sharing.shelf import MAX_FILE, Share, Shelf, digest_of, new_secret, sealed
from panachain.wire.client import Client
from panachain.wire.endpoints import Reach, check_form
from panachain.wire.json_text import read_json

if TYPE_CHECKING:
    from panachain.sdk.opening import Opening

FOLDER: Final = "shares"
"""Of the home: the shelf."""
SHORTEST_PASSCODE: Final = 4
"""Characters."""
_TYPES: Final = {
    ".pdf": "application/pdf",
    ".dcm": "application/dicom",
    ".xml": "application/xml",
    ".txt": "text/plain",
}
"""End of a file's name → its media type, inside a Bundle; others are only bytes."""


class Sharing:
    """The links of one home.

    Examples:
        >>> links = Sharing()
        >>> with connect("me", role="patient") as patient:
        ...     made = links.share(
        ...         patient.records(),
        ...         ["laboratory"],
        ...         url="https://links.example",
        ...         until=timedelta(days=30),
        ...         passcode="428 913",
        ...     )
        >>> made.view.passcode, made.view.attempts_left
        (True, 10)
        >>> ended = links.revoke(made.view.name)
        >>> ended.name in [one.name for one in links.shares()]
        False
    """

    def __init__(self, home: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        """Take the folder of all state.

        Args:
            home: None takes the one that the settings name.
            clock: Unix seconds.
        """
        self._home = home if home is not None else Config.load().home
        self._clock = clock
        self._shelf = Shelf(self._home / FOLDER, clock=clock)

    @property
    def folder(self) -> Path:
        """The shelf's folder, which a server gives out of."""
        return self._home / FOLDER

    def share(
        self,
        records: Iterable[OpenedRecord],
        categories: Categories,
        years: Iterable[int] = (),
        *,
        url: str,
        until: Moment | None,
        label: str = "",
        passcode: str = "",
        long_term: bool = False,
        direct: bool = False,
        folder: Path | None = None,
        viewer: str = "",
    ) -> MadeLink:
        """Make a link to opened records: one FHIR Bundle of all that fit.

        Args:
            records: opened already, such as `patient.records()`.
            categories: which of them; `all` leaves the restricted ones out, as a grant's does.
            years: which of them; empty for all.
            url: where the world reaches the server, or the files of the static host.
            until: the end, exclusive; a `timedelta` counts from now. None for no end.
            label: what readers see before they open it, at most 80 characters. It isn't sealed: it is in the link.
            passcode: without it the link opens nothing; told to the reader on another way.
            long_term: the files may be changed later.
            direct: the link leads to the file itself (flag `U`): no passcode, no list of files.
            folder: write the sealed file there for a static host, in place of giving it out; implies `direct`.
            viewer: address of a web page that shows such links; empty for the bare link.

        Raises:
            PartlyDoneError: some records couldn't be read; the link leads to the others, and is `result`.
            UsageError: nothing fits, or the options contradict each other.
            DiskError: the disk refuses; no link was made.
        """
        from panachain.sdk.exporting import BundleExport

        make_private_folder(self._home)
        chosen = BundleExport(records, categories, years, beside=self._home, clock=self._clock)
        content = _bounded(chosen)
        chosen.check()
        link = self._make(
            [(SUMMARY, content)],
            url=url,
            until=until,
            label=label,
            passcode=passcode,
            long_term=long_term,
            direct=direct,
            folder=folder,
            viewer=viewer,
        )
        if chosen.omissions:
            raise PartlyDoneError.of(chosen.omissions, done="the link leads to what could be read", result=link)
        return link

    def share_summary(
        self,
        opening: Opening,
        categories: Categories = "all",
        *,
        url: str,
        until: Moment | None,
        label: str = "",
        passcode: str = "",
        direct: bool = False,
        folder: Path | None = None,
        viewer: str = "",
    ) -> MadeLink:
        """Make a link to a patient summary (IPS, a FHIR R4 document) of opened records, as `PatientSummary` makes it.

        Args:
            opening: of which nothing was taken yet, such as `patient.records()`.
            categories: whose records it may be made of; `all` leaves the restricted ones out, and the document says
                that something may be withheld.
            url: as `share`, like all that follow.
            until: the end.
            label: what readers see first.
            passcode: without it the link opens nothing.
            direct: whether the link leads to the file itself.
            folder: for a static host.
            viewer: a web page that shows links.

        Raises:
            PartlyDoneError: some records couldn't be read, and the summary says so; the link is `result`.
            UsageError: no category is named, or the options contradict each other.
            DiskError: the disk refuses; no link was made.
        """
        # Imported here: most links lead to records.
        from panachain.sdk.exporting import named_categories
        from panachain.sdk.summaries import summarized

        wanted = named_categories(categories)
        if not wanted:
            raise UsageError("name at least one category; no link was made")
        left = frozenset(Category) - wanted
        made = summarized(
            (record for record in opening if record.info.category in wanted),
            withheld=lambda: sorted(left, key=lambda one: one.code),
            readable=lambda: wanted,
            names=opening.names,
            now=self._clock(),
        )
        make_private_folder(self._home)
        link = self._make(
            [(SUMMARY, _bounded([made.content]))],
            url=url,
            until=until,
            label=label,
            passcode=passcode,
            long_term=False,
            direct=direct,
            folder=folder,
            viewer=viewer,
        )
        if made.omissions:
            raise PartlyDoneError.of(made.omissions, done="the summary holds what could be read", result=link)
        return link

    def share_files(
        self,
        paths: Sequence[Path],
        *,
        url: str,
        until: Moment | None,
        label: str = "",
        passcode: str = "",
        long_term: bool = False,
        direct: bool = False,
        folder: Path | None = None,
        viewer: str = "",
    ) -> MadeLink:
        """Make a link to files: FHIR and SMART Health Cards as they are, others within a Bundle; else as `share`.

        Raises:
            InputError: a file is too large or can't be read.
        """
        return self._make(
            [_typed(path) for path in paths],
            url=url,
            until=until,
            label=label,
            passcode=passcode,
            long_term=long_term,
            direct=direct,
            folder=folder,
            viewer=viewer,
        )

    def update(self, text: str, paths: Sequence[Path]) -> ShareView:
        """Give a link other files, which whoever has it finds from now on.

        Args:
            text: the link: only it holds the key that the files are sealed under.
            paths: as of `share_files`.

        Raises:
            UsageError: it wasn't made for files that change.
            UnknownActorError: it isn't one of this home's, or it is over.
        """
        link = read_link(text)
        secret = link.url.rpartition("/")[2].removesuffix(_SUFFIX)
        files = sealed((_typed(path) for path in paths), link.key, flags=link.flags)
        return _view(self._shelf.replace(digest_of(secret), files))

    def shares(self) -> Listing[ShareView]:
        """Return the links that aren't over, the oldest first; what is over is deleted.

        Its `left_out` names those that can't be read.

        Raises:
            DiskError: the disk refuses.
        """
        found, damaged = self._shelf.look()
        left_out = [LeftOut("link", digest[:12], f"{error}. {error.hint}") for digest, error in damaged.items()]
        return Listing(map(_view, found), left_out)

    def revoke(self, name: str) -> ShareView:
        """Delete what a link leads to, and look that it is gone: from then on it leads to nothing. Returns what it was.

        Args:
            name: the beginning of a name of `shares`.

        Raises:
            UnknownActorError: there is none of that name.
            DiskError: something of it is still there.
        """
        share = self._shelf.named(name)
        self._shelf.revoke(share)
        return _view(share)

    def follow(self, text: str, *, recipient: str, passcode: str = "", local: bool = False) -> Linked:
        """Return the files of a link of others.

        Args:
            text: the link.
            recipient: who asks, as the sharer reads it.
            passcode: where the link wants one.
            local: whether it may lead to a service of this very machine.

        Raises:
            InputError: it is no such link.
            AccessDeniedError: it is over, or was revoked.
            LockedError: it wants a passcode, or another one.
            PartlyDoneError: some of its files couldn't be had; `result` holds the others.
            UnavailableError: its server doesn't answer, or is one that nothing is sent to.
        """
        link = read_link(text)
        reach = Reach.of(Config.load().proxy_ranges, development=local)
        client = Client(check=reach.check_address)
        try:
            found = LinkReader(client, reach, clock=self._clock).follow(link, recipient=recipient, passcode=passcode)
        finally:
            client.close()
        if found.omissions:
            if not found.files:
                raise found.omissions[0].named()
            raise PartlyDoneError.of(found.omissions, done=f"{were(len(found.files), 'file')} opened", result=found)
        return found

    def _make(
        self,
        files: Sequence[tuple[str, bytes]],
        *,
        url: str,
        until: Moment | None,
        label: str,
        passcode: str,
        long_term: bool,
        direct: bool,
        folder: Path | None,
        viewer: str,
    ) -> MadeLink:
        direct = direct or folder is not None
        if passcode and direct:
            raise UsageError("a link to a file itself has no passcode: there is nobody to ask for it")
        if passcode and len(passcode) < SHORTEST_PASSCODE:
            raise UsageError(f"a passcode has at least {SHORTEST_PASSCODE} characters")
        expires_at = None if until is None else seconds(until, at=int(self._clock()), name="until")
        if expires_at is not None and expires_at <= self._clock():
            raise UsageError("the link would be over already")
        chosen = ((LONG_TERM, long_term), (PASSCODE, bool(passcode)), (DIRECT, direct))
        flags = frozenset(flag for flag, wanted in chosen if wanted)
        secret, key = new_secret(), os.urandom(jwe.KEY_SIZE)
        address = f"{_base(url)}/{secret}{_SUFFIX}" if folder is not None else f"{_base(url)}/shl/{secret}"
        text = Link(address, key, flags, label, expires_at).text(viewer)
        made = sealed(files, key, flags=flags)
        place = None if folder is None else folder / f"{secret}{_SUFFIX}"
        if place is not None:
            _write_static(place, made[0][1])
        try:
            share = self._shelf.put(
                secret, made, label=label, flags=flags, expires_at=expires_at, code=passcode, written_to=place
            )
        except BaseException:
            if place is not None:
                place.unlink(missing_ok=True)
            raise
        return MadeLink(text, _view(share))


_SUFFIX: Final = ".jwe"
"""Of a file for a static host."""


def _bounded(pieces: Iterable[bytes]) -> bytes:
    made = bytearray()
    for piece in pieces:
        made += piece
        if len(made) > MAX_FILE:
            raise UsageError(
                f"these records have more than {MAX_FILE} bytes, a link takes no larger file",
                hint="choose fewer categories or years, or give the folder itself: panachain export",
            )
    return bytes(made)


def _typed(path: Path) -> tuple[str, bytes]:
    """Return a file as a link carries it: its content type, and its content."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise InputError(f"{path} has more than {MAX_FILE} bytes, a link takes no larger file")
        content = path.read_bytes()
    except OSError as exc:
        raise InputError(f"{path} can't be read: {exc.strerror}") from exc
    try:
        value = read_json(content, depth=200, values=4_000_000) if content.lstrip()[:1] == b"{" else None
    except (ValueError, PanaChainError):
        value = None
    if isinstance(value, dict) and isinstance(value.get("resourceType"), str):
        return SUMMARY, content
    if isinstance(value, dict) and isinstance(value.get("verifiableCredential"), list):
        return CARD, content
    return SUMMARY, _wrapped(path, content)


def _wrapped(path: Path, content: bytes) -> bytes:
    """Return a Bundle that holds a file which is no FHIR: links carry nothing else. Its name stays here."""
    kind = _TYPES.get(path.suffix.lower(), "application/octet-stream")
    binary = f"urn:uuid:{_random_uuid()}"
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": {"contentType": kind, "url": binary}}],
    }
    held = {"resourceType": "Binary", "contentType": kind, "data": base64.b64encode(content).decode()}
    entries = [
        {"fullUrl": f"urn:uuid:{_random_uuid()}", "resource": document},
        {"fullUrl": binary, "resource": held},
    ]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


def _random_uuid() -> str:
    from uuid import uuid4

    return str(uuid4())


def _base(url: str) -> str:
    """Return where links begin, in its one form.

    Raises:
        UsageError: it is no endpoint, or too long for a link.
    """
    base = check_form(url)
    if len(base) + len(f"/shl/{'x' * 43}") > MAX_URL:
        raise UsageError(f"{base} is too long: a link's whole address has at most {MAX_URL} characters")
    return base


def _write_static(place: Path, text: str) -> None:
    try:
        if not place.parent.is_dir() or others_may_write(place.parent):
            raise UsageError(f"{place.parent} is no folder that only you can write to", hint="another --static DIR")
        write_private(place, text.encode())
        # A web server runs as somebody else; what it reads is sealed.
        place.chmod(0o644)
    except OSError as exc:
        raise DiskError(f"{place.parent} can't be written: {exc.strerror}") from exc


def _view(share: Share) -> ShareView:
    return ShareView(
        name=share.name,
        label=share.label,
        state="open" if share.files else "disabled",
        made_at=share.made_at,
        expires_at=share.expires_at,
        files=len(share.files),
        size=sum(one.size for one in share.files),
        passcode=share.attempts_left is not None,
        long_term=LONG_TERM in share.flags,
        attempts_left=share.attempts_left,
        written_to=share.written_to,
        openings=tuple((one.recipient, one.at) for one in share.openings),
    )
