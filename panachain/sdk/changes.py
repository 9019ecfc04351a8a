"""Changes: what of a record isn't published yet, resource by resource, so that a new export publishes only that.

A resource that has neither an id nor a URN can't be told again, and is always new. Follows ADR 28.
"""

from __future__ import annotations

import hmac
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from panachain.errors import InputError
from panachain.model.actors import Address
from panachain.model.records import PlainRecord
from panachain.model.scope import Scope
from panachain.records.attachments import Restoring
from panachain.records.journal_resources import KnownResource, KnownResources, is_known
from panachain.records.split import MEDIA_TYPE
from panachain.records.versions import PRINT_SIZE, Version, bundle_of, instant, rank, shell_print


@dataclass
class Change:
    """What a record brings that is new."""

    record: PlainRecord | None
    """The record with what is new; None if nothing is."""
    resources: list[KnownResource] = field(default_factory=list)
    """The versions that it holds."""
    known: int = 0
    """How many of its resources were published before."""


class Changes:
    """Tells what of the records of some sources is new."""

    def __init__(self, journal: KnownResources, key: bytes) -> None:
        """Take what the journal knows, and what its fingerprints are keyed with."""
        self._journal = journal
        self._key = key
        self._filled: dict[Address, dict[bytes, list[KnownResource]]] = defaultdict(lambda: defaultdict(list))
        """What is in the batch that is being filled."""
        self._kept: set[bytes] | None = None
        """Digests of the attachments that the last Bundle still names; None if it names all that follow."""

    def begin(self) -> None:
        """Begin with another source."""
        self._kept = None

    def of(self, record: PlainRecord, patient: Address) -> Change:
        """Return what a record brings that is new; the attachments of a Bundle must follow it.

        Args:
            record: as its source was split.
            patient: whose it is.

        Raises:
            InputError: it is no record as splitting makes them.
        """
        if record.media_type != MEDIA_TYPE or not isinstance(record.content, bytes):
            return Change(record if self._is_wanted(record) else None)
        scope = Scope.of(record.category, record.year).text
        bundle = bundle_of(record.content)
        if bundle is None:
            made = shell_print(record.content)
            shell = KnownResource(
                patient, self._keyed(b"shell", made), b"", b"", made, None, None, scope, record.source
            )
            if self._is_known(shell):
                self._kept = set()
                return Change(None)
            self._kept = None
            return Change(record, [shell])
        found = [self._known(entry.version, patient, scope, record.source) for entry in bundle.entries]
        new = [place for place, one in enumerate(found) if one is None or not self._is_known(one)]
        known = len(found) - len(new)
        resources = [one for place in new if (one := found[place]) is not None]
        if not known:
            self._kept = None
            return Change(record, resources)
        content = bundle.holding(new)
        self._kept = set(Restoring(content, lambda _: 0).digests)
        return Change(replace(record, content=content) if new else None, resources, known)

    def published(self, resources: Sequence[KnownResource]) -> None:
        """Note that the versions go into the batch that is being filled."""
        for one in resources:
            self._filled[one.patient][one.name].append(one)

    def take(self) -> list[KnownResource]:
        """Return the versions in the batch that was filled, which the journal gets with it."""
        found = [one for names in self._filled.values() for same in names.values() for one in same]
        self._filled.clear()
        return found

    def _known(self, version: Version, patient: Address, scope: str, source: bytes) -> KnownResource | None:
        """Return a version as the journal keeps it; None for what can't be told again."""
        if not version.name:
            return None
        named, dated = version.name.encode(), version.number or version.updated
        stamp = (named, version.number.encode(), version.updated.encode(), version.print)
        return KnownResource(
            patient,
            self._keyed(b"name", named),
            self._keyed(b"base", version.base.encode()) if version.base else b"",
            self._keyed(b"stamp", *stamp) if dated else b"",
            self._keyed(b"print", named, version.print),
            rank(version.number),
            instant(version.updated),
            scope,
            source,
        )

    def _is_known(self, one: KnownResource) -> bool:
        published = self._journal.of(one.patient, one.name) + self._filled[one.patient].get(one.name, [])
        # A source that says something twice is published as it is.
        return is_known(one, [other for other in published if other.source != one.source])

    def _is_wanted(self, record: PlainRecord) -> bool:
        """Tell whether a Bundle that comes before an attachment still names it."""
        if self._kept is None:
            return True
        if not isinstance(record.content, bytes):
            raise InputError("a Bundle is followed by something else than its attachments")
        return sha256(record.content).digest() in self._kept

    def _keyed(self, use: bytes, *parts: bytes) -> bytes:
        text = b"\0".join((use, *parts))
        return hmac.digest(self._key, text, "sha256")[:PRINT_SIZE]
