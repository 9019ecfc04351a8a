"""Viewer bundles: software that travels with records, in one file that its publisher signed.

A bundle is a page, a program and the files that they need, as one block of DAG-CBOR: nothing is compressed, nothing is
a path on a disk, and whatever isn't among its files isn't there. Reading is total and bounded; nothing here runs a
bundle, and nothing here knows whether its publisher is who they say: `sdk/viewers.py` asks the registry.
Follows docs/spec/viewers.md (`panachain/viewer/1`) and ADR 46.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from panachain.crypto import labels, umbral
from panachain.errors import InputError, IntegrityError
from panachain.ethereum import checksum_address
from panachain.ipld import dagcbor
from panachain.model.actors import Address
from panachain.model.sizes import UMBRAL_SIGNATURE_SIZE

MEDIA_TYPE: Final = "application/vnd.panachain.viewer"
MAGIC: Final = labels.VIEWER + b"\n"
"""How a bundle's file begins; the signature covers it, too."""
MANIFEST: Final = "viewer.json"
"""What a folder says of the bundle that is made of it; it isn't among the bundle's files."""
MAX_SIZE: Final = 16 << 20
"""Bytes of a bundle."""
MAX_FILES: Final = 256
_MAX_PATH: Final = 120
"""Characters of a file's name."""
_MAX_NAME: Final = 80
"""Characters of a bundle's name."""
_MAX_VERSION: Final = 32
_MAX_ABOUT: Final = 500
_MAX_WANTS: Final = 64
_MAX_MANIFEST: Final = 64 << 10
"""Bytes of MANIFEST."""
_MAX_FOLDER: Final = 10_000
"""Entries of a folder that are looked at."""
_VERSION: Final = 1
_PATH: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*){0,7}")
"""A file's name: no part of it is empty, begins with a dot, or means another folder anywhere."""
_WORD: Final = re.compile(r"[a-z]+(?:-[a-z]+)*")
"""How a category is spelt, also one that this program doesn't know."""
_KEYS: Final = frozenset({"v", "publisher", "name", "version", "about", "wants", "page", "style", "program", "files"})
_NAMED: Final = frozenset({"name", "version", "about", "wants", "page", "style", "program"})
"""Members of MANIFEST."""


@dataclass(frozen=True)
class ViewerBundle:
    """A bundle as its file says, whoever made the file."""

    publisher: Address
    """Who says that they published it."""
    name: str
    version: str
    about: str
    """What it does, in a sentence; may be empty."""
    wants: tuple[str, ...]
    """Words of the categories that it is made for, sorted; empty if it says nothing of them."""
    page: str
    """Name of the file with its HTML."""
    style: str
    """Name of its style sheet; empty if it has none."""
    program: str
    """Name of its JavaScript, which runs in a worker."""
    files: Mapping[str, bytes] = field(repr=False)
    """By their names, in their order."""

    def encode(self) -> bytes:
        """Return what is signed, without MAGIC.

        Raises:
            InputError: something in it is too long, too much, or not there.
        """
        try:
            _check(self)
        except IntegrityError as exc:
            raise InputError(str(exc)) from exc
        body = dagcbor.encode(
            {
                "v": _VERSION,
                "publisher": bytes.fromhex(self.publisher[2:]),
                "name": self.name,
                "version": self.version,
                "about": self.about,
                "wants": list(self.wants),
                "page": self.page,
                "style": self.style,
                "program": self.program,
                "files": [[name, self.files[name]] for name in sorted(self.files)],
            }
        )
        if len(body) > MAX_SIZE - len(MAGIC) - UMBRAL_SIGNATURE_SIZE:
            raise InputError(f"a bundle of {len(body)} bytes; it may have {MAX_SIZE}")
        return body


@dataclass(frozen=True)
class SignedBundle:
    """A bundle with a signature that nobody looked at yet."""

    bundle: ViewerBundle
    digest: bytes
    """SHA-256 of its file, 32 bytes."""
    size: int
    """Bytes of its file."""
    _body: bytes = field(repr=False)
    _signature: bytes = field(repr=False)

    def check(self, *verifying_keys: bytes) -> None:
        """Check that it is signed with one of its publisher's keys, 33 bytes each, of which there is at least one.

        Raises:
            IntegrityError: it isn't.
        """
        failed = IntegrityError("a bundle without a publisher's key can't be checked")
        for key in verifying_keys:
            try:
                umbral.verify(key, MAGIC + self._body, self._signature)
            except IntegrityError as exc:
                failed = exc
            else:
                return
        raise failed


def sign_bundle(bundle: ViewerBundle, signer: umbral.Signer) -> bytes:
    """Return the file of a bundle: MAGIC ‖ signature ‖ body.

    Raises:
        InputError: as `ViewerBundle.encode`.
    """
    body = bundle.encode()
    return MAGIC + signer.sign(MAGIC + body) + body


def is_bundle(start: bytes) -> bool:
    """Whether a file that starts like this is a bundle, or says so."""
    return start.startswith(MAGIC)


def read_bundle(content: bytes) -> SignedBundle:
    """Read the file of a bundle; who signed it is to be checked.

    Raises:
        IntegrityError: it is none, or holds what no bundle may hold.
    """
    if not is_bundle(content):
        raise IntegrityError("this is no viewer bundle, or one of a version that isn't known here")
    if len(content) > MAX_SIZE:
        raise IntegrityError(f"a viewer bundle of {len(content)} bytes; at most {MAX_SIZE} are read")
    start = len(MAGIC) + UMBRAL_SIGNATURE_SIZE
    body = content[start:]
    fields: Any = dagcbor.decode(body, limit=MAX_SIZE)
    try:
        if fields["v"] != _VERSION:
            raise IntegrityError(f"a viewer bundle of version {fields['v']!r}; {_VERSION} is known here")
        if fields.keys() != _KEYS:
            raise KeyError("keys")
        listed = [(name, file) for name, file in fields["files"]]
        # In their order and each once: of two files of one name nobody could say which one was meant.
        names = [name for name, _ in listed]
        if names != sorted(set(names)) or not all(isinstance(file, bytes) for _, file in listed):
            raise TypeError("files")
        bundle = ViewerBundle(
            publisher=checksum_address(fields["publisher"]),
            name=fields["name"],
            version=fields["version"],
            about=fields["about"],
            wants=tuple(fields["wants"]),
            page=fields["page"],
            style=fields["style"],
            program=fields["program"],
            files=MappingProxyType(dict(listed)),
        )
        _check(bundle)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise IntegrityError("a viewer bundle lacks a field or has one of the wrong type") from exc
    return SignedBundle(bundle, sha256(content).digest(), len(content), body, content[len(MAGIC) : start])


def read_folder(folder: Path, publisher: Address) -> ViewerBundle:
    """Make a bundle of a folder with MANIFEST; hidden files are left out.

    Raises:
        InputError: the folder holds what no bundle may hold, or its manifest says too little, or something else.
    """
    said = _manifest(folder / MANIFEST)
    files = {}
    left = MAX_SIZE
    for path in _found(folder):
        name = path.relative_to(folder).as_posix()
        if name == MANIFEST:
            continue
        files[name] = _content(path, left)
        left -= len(files[name])
    return ViewerBundle(publisher=publisher, files=MappingProxyType(files), **said)


def _manifest(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"the folder has no {MANIFEST}", hint="docs/spec/viewers.md says what stands in it")
    try:
        said = json.loads(_content(path, _MAX_MANIFEST))
    except (ValueError, RecursionError) as exc:
        raise InputError(f"{MANIFEST} is no JSON") from exc
    if not isinstance(said, dict) or not said.keys() <= _NAMED:
        raise InputError(f"{MANIFEST} has members that mean nothing here", hint=f"known: {', '.join(sorted(_NAMED))}")
    wants = said.get("wants", [])
    if not isinstance(wants, list) or not all(isinstance(one, str) for one in wants):
        raise InputError(f"`wants` of {MANIFEST} is a list of categories")
    made = {"about": "", "style": "", "page": "index.html", "program": "program.js"} | said
    return made | {"wants": tuple(sorted(set(wants)))} | {name: made.get(name, "") for name in ("name", "version")}


def _found(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder that aren't hidden; a link isn't followed, and refuses the folder."""
    seen = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in (*folders, *files):
            seen += 1
            if seen > _MAX_FOLDER:
                raise InputError(f"the folder has more than {_MAX_FOLDER} entries")
            path = Path(place, name)
            if path.is_symlink() and not name.startswith("."):
                raise InputError("the folder holds a link, which a bundle can't hold")
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))


def _content(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file of at most `limit` bytes."""
    try:
        # Neither through a link that was put there meanwhile, nor waiting for whoever writes into a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InputError("the folder holds what is no file")
            content = file.read(limit + 1)
    except OSError as exc:
        raise InputError(f"a file of the folder can't be read: {exc.strerror}") from exc
    if len(content) > limit:
        raise InputError(
            f"the folder holds more than the {MAX_SIZE} bytes that a bundle may have, or a larger manifest"
        )
    return content


def _check(bundle: ViewerBundle) -> None:
    """Check all but the types that reading told.

    Raises:
        IntegrityError: something is too long, too much, or not there.
    """
    for what, text, most, empty in (
        ("name", bundle.name, _MAX_NAME, False),
        ("version", bundle.version, _MAX_VERSION, False),
        ("description", bundle.about, _MAX_ABOUT, True),
    ):
        good = isinstance(text, str) and len(text) <= most and text.isprintable() and (empty or text.strip())
        if not good:
            raise IntegrityError(f"the {what} of a viewer bundle has at most {most} characters, on one line")
    if len(bundle.files) > MAX_FILES:
        raise IntegrityError(f"a viewer bundle of {len(bundle.files)} files; it may have {MAX_FILES}")
    for name in bundle.files:
        if not isinstance(name, str) or len(name) > _MAX_PATH or not _PATH.fullmatch(name):
            raise IntegrityError("a file of a viewer bundle has a name of letters, digits, `.`, `-`, `_` and `/`")
    if len(bundle.wants) > _MAX_WANTS or list(bundle.wants) != sorted(set(bundle.wants)):
        raise IntegrityError("a viewer bundle names the categories that it wants in their order, each once")
    if not all(len(word) <= _MAX_NAME and _WORD.fullmatch(word) for word in bundle.wants):
        raise IntegrityError("a viewer bundle wants something that is no category")
    for what, name in (("page", bundle.page), ("program", bundle.program), ("style sheet", bundle.style)):
        if not isinstance(name, str) or (name not in bundle.files and (name or what != "style sheet")):
            raise IntegrityError(f"a viewer bundle doesn't hold its own {what}")
        try:
            bundle.files.get(name, b"").decode("utf-8")
        except UnicodeDecodeError:
            raise IntegrityError(f"the {what} of a viewer bundle isn't in UTF-8") from None
