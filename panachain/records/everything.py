"""Everything that was opened as one FHIR Bundle, as `$everything` gives it: resources once each, files beside them.

A resource that several records hold with the same id, version and content stands there once, and the Provenance of
each of these records names it. Every number keeps its digits: a resource's own bytes are put in. Files that are no
FHIR stand there as DocumentReference and Binary. Never holds more in memory than one record of FHIR.
Follows FHIR R4 (Bundle, `collection`; bdl-7; DocumentReference, Binary, Provenance), docs/spec/sharing.md.
"""

from __future__ import annotations

import base64
import io
import json
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from panachain.errors import InputError, IntegrityError, PanaChainError
from panachain.model.records import RecordInfo
from panachain.records.canonical import Cutter
from panachain.records.findings import LEFT_OUT
from panachain.records.versions import DELETED, bundle_of

MEDIA_TYPE: Final = "application/fhir+json"
_SPACE: Final = uuid.UUID("6f1d2c0e-3a55-5b0b-9a54-0a3c8e5d7c11")
"""Under which records' names give names to entries that have none (RFC 9562, version 5)."""
_SPOOL: Final = 16 << 20
"""Bytes of a file that are held in memory; the rest waits in a file without a name, beside the Bundle."""
_PIECE: Final = 3 << 18
"""Bytes that are written in base64 at once, a multiple of three."""


@dataclass(frozen=True)
class Source:
    """One opened record."""

    info: RecordInfo
    chunks: Callable[[], Iterator[bytes]] = field(repr=False)
    """Gives its content; only the end proves that all fits."""
    provenance: Mapping[str, object] = field(repr=False)
    """A FHIR Provenance."""


class Everything:
    """Puts opened records into one Bundle, piece by piece."""

    def __init__(self, *, made_at: int, leave_out: Callable[[Source, PanaChainError], None], beside: Path) -> None:
        """Take what a Bundle needs besides its records.

        Args:
            made_at: Unix seconds.
            leave_out: is told each record that isn't in the Bundle, and why.
            beside: the folder in which a large file waits, without a name, until it is proven.
        """
        self._made_at = made_at
        self._leave_out = leave_out
        self._beside = beside
        self._seen: dict[tuple[str, str, str, bytes], str] = {}
        self._names: set[tuple[str, str]] = set()
        self.resources = 0
        """Resources of the records that are in it so far."""
        self.files = 0
        """Files that are in it so far."""
        self.same = 0
        """Resources that were in it already."""

    def pieces(self, sources: Iterable[Source]) -> Iterator[bytes]:
        """Yield the Bundle's text. A record that isn't whole is left out of it, and the others follow.

        Raises:
            PanaChainError: what `sources` raises at its end, after everything else is yielded; the text is whole then.
        """
        stamp = _instant(self._made_at)
        yield f'{{"resourceType":"Bundle","type":"collection","timestamp":"{stamp}"'.encode()
        first, late = True, None
        for piece in self._entries(sources):
            if isinstance(piece, PanaChainError):
                late = piece
            elif piece is None:
                yield b',"entry":[' if first else b","
                first = False
            else:
                yield piece
        yield b"}" if first else b"]}"
        if late is not None:
            raise late

    def _entries(self, sources: Iterable[Source]) -> Iterator[bytes | PanaChainError | None]:
        """Yield pieces of text, None before each entry, and at the end what the sources raise."""
        iterator = iter(sources)
        while True:
            try:
                source = next(iterator)
            except StopIteration:
                return
            except PanaChainError as exc:
                # What was left out is told at the end of an opening: the Bundle is whole as far as it goes.
                yield exc
                return
            try:
                if source.info.media_type == MEDIA_TYPE:
                    # Whole before anything of it is written.
                    made: Iterator[bytes | None] = iter(self._resources(source))
                else:
                    made = self._file(source, self._waiting(source))
            except LEFT_OUT as exc:
                self._leave_out(source, exc)
                continue
            yield from made

    def _resources(self, source: Source) -> list[bytes | None]:
        content = b"".join(source.chunks())
        try:
            bundle = bundle_of(content)
            entries = [(one.version, *_cut(one.text)) for one in bundle.entries] if bundle is not None else []
        except InputError as exc:
            raise IntegrityError(f"it isn't what a hospital makes of FHIR: {exc}") from None
        told: list[bytes | None] = []
        targets: list[str] = []
        for place, (version, url, resource) in enumerate(entries):
            if version.state == DELETED or resource is None:
                continue
            key = (version.base, version.name, version.number, version.print)
            known = self._seen.get(key) if version.name and version.print else None
            if known is not None:
                self.same += 1
                targets.append(known)
                continue
            # Two entries of one name must be versions of one resource (bdl-7); else the second gets one of its own.
            if not url or (url, version.number) in self._names:
                url = _urn(source.info, f"entry {place}")
            self._names.add((url, version.number))
            self._seen[key] = url
            targets.append(url)
            told += [None, b'{"fullUrl":' + json.dumps(url).encode() + b',"resource":' + resource + b"}"]
            self.resources += 1
        return [*told, None, self._provenance(source, targets)] if targets else []

    def _waiting(self, source: Source) -> BinaryIO:
        """Return a file's content, proven, to be read from its beginning."""
        # Its name is taken away at once, so that nothing is left whatever happens.
        held = cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=_SPOOL, dir=str(self._beside)))  # noqa: SIM115
        try:
            for chunk in source.chunks():
                held.write(chunk)
        except BaseException:
            held.close()
            raise
        held.seek(0)
        return held

    def _file(self, source: Source, held: BinaryIO) -> Iterator[bytes | None]:
        info = source.info
        with held:
            binary, document = _urn(info, "binary"), _urn(info, "document")
            year = f", {info.year}" if info.year else ""
            reference = {
                "resourceType": "DocumentReference",
                "status": "current",
                "identifier": [{"system": "urn:panachain:record", "value": info.header_cid}],
                "category": [{"text": info.category.value}],
                "date": _instant(info.stored_at),
                "description": f"{info.category.value}{year}",
                "content": [{"attachment": {"contentType": info.media_type, "url": binary}}],
            }
            yield None
            yield _entry(document, reference)
            yield None
            yield f'{{"fullUrl":"{binary}","resource":{{"resourceType":"Binary","contentType":'.encode()
            yield json.dumps(info.media_type).encode() + b',"data":"'
            while piece := held.read(_PIECE):
                yield base64.b64encode(piece)
            yield b'"}}'
        self.files += 1
        yield None
        yield self._provenance(source, [document, binary])

    def _provenance(self, source: Source, targets: list[str]) -> bytes:
        told: dict[str, Any] = dict(source.provenance)
        told["target"] = [*told.get("target", ()), *({"reference": url} for url in targets)]
        return _entry(_urn(source.info, "provenance"), told)


def _cut(entry: bytes) -> tuple[str, bytes | None]:
    """Return an entry's `fullUrl`, and its resource's own bytes."""
    url, resource = "", None
    cutter = Cutter(io.BytesIO(entry))
    for name in cutter.names():
        text = bytes(cutter.value())
        if name == "fullUrl":
            found = json.loads(text)
            url = found if isinstance(found, str) else ""
        elif name == "resource":
            resource = text
    return url, resource


def _entry(url: str, resource: Mapping[str, object]) -> bytes:
    return json.dumps({"fullUrl": url, "resource": resource}, ensure_ascii=False, separators=(",", ":")).encode()


def _urn(info: RecordInfo, what: str) -> str:
    return f"urn:uuid:{uuid.uuid5(_SPACE, f'{info.header_cid} {what}')}"


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
