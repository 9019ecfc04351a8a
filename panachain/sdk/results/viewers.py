"""Software that travels with records: what a bundle is, and whether its publisher published it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from panachain.errors import IntegrityError, PanaChainError, SuspendedError, UnavailableError
from panachain.model.actors import Address, Role
from panachain.sdk.results.people import People


class Standing(Enum):
    """Whether a viewer bundle may run.

    Examples:
        >>> Standing("verified")
        <Standing.VERIFIED: 'verified'>
    """

    VERIFIED = "verified"
    """Its publisher is admitted, and signed it."""
    SUSPENDED = "suspended"
    """Its publisher may not act any more."""
    UNKNOWN = "unknown"
    """Nobody who may publish software is registered under the publisher's address."""
    FORGED = "forged"
    """Its publisher didn't sign this."""
    UNCHECKED = "unchecked"
    """Nobody can tell now: a chain or a store doesn't answer."""


@dataclass(frozen=True)
class ViewerFile:
    """A file of a viewer bundle.

    Examples:
        >>> ViewerFile("program.js", size=120, sha256="9f86d081…").to_json()["name"]
        'program.js'
    """

    name: str
    size: int
    """Bytes."""
    sha256: str
    """Of its bytes, in hex."""

    def to_json(self) -> dict[str, object]:
        """Return the file as JSON, schema `panachain/viewer-file/1`."""
        return {"schema": "panachain/viewer-file/1", "name": self.name, "size": self.size, "sha256": self.sha256}


@dataclass(frozen=True)
class ViewerView:
    """A viewer bundle as its file says, and what the registry says of its publisher.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> said = '{"name": "Laboratory list", "version": "1.0", "wants": ["laboratory"]}'
        >>> with tempfile.TemporaryDirectory() as folder, connect("clinic", role="hospital") as hospital:
        ...     for name, text in (("viewer.json", said), ("index.html", "<h1>Values</h1>"), ("program.js", "")):
        ...         written = Path(folder, name).write_text(text)
        ...     view = hospital.viewers.check(hospital.viewers.pack(folder))
        >>> view.name, view.standing.value, [file.name for file in view.files]
        ('Laboratory list', 'verified', ['index.html', 'program.js'])
    """

    name: str
    version: str
    about: str
    publisher: Address
    role: Role | None
    """What its publisher is registered as; None if nobody is registered there."""
    standing: Standing
    reason: str
    """Why it isn't verified; empty if it is."""
    wants: tuple[str, ...]
    """Words of the categories that it is made for."""
    files: tuple[ViewerFile, ...]
    size: int
    """Bytes of the bundle."""
    sha256: str
    """Of the bundle, in hex."""
    publisher_name: str = field(default="", compare=False)
    """What the reader of this result calls the publisher (sdk/names.py): for people; a program takes `publisher`."""

    @property
    def is_verified(self) -> bool:
        """Whether it may run."""
        return self.standing is Standing.VERIFIED

    def check(self) -> None:
        """Check that it may run.

        Raises:
            SuspendedError: its publisher is suspended.
            UnavailableError: nobody can tell now.
            IntegrityError: its publisher didn't publish it.
        """
        if not self.is_verified:
            kinds: dict[Standing, type[PanaChainError]] = {
                Standing.SUSPENDED: SuspendedError,
                Standing.UNCHECKED: UnavailableError,
            }
            raise kinds.get(self.standing, IntegrityError)(self.reason, hint="don't run it")

    def strangers(self) -> tuple[str, ...]:
        """Return whose name a registry has to be asked for: nobody's, as the publisher's role is known."""
        return ()

    def named(self, names: People) -> ViewerView:
        """Return the view with a name for its publisher."""
        return replace(self, publisher_name=names.of(self.publisher, self.role))

    def to_json(self) -> dict[str, object]:
        """Return the bundle as JSON, schema `panachain/viewer-check/1`."""
        return {
            "schema": "panachain/viewer-check/1",
            "name": self.name,
            "version": self.version,
            "about": self.about,
            "publisher": self.publisher,
            "role": None if self.role is None else self.role.value,
            "standing": self.standing.value,
            "reason": self.reason,
            "wants": list(self.wants),
            "files": [one.to_json() for one in self.files],
            "size": self.size,
            "sha256": self.sha256,
        }
