"""Links that were made here, and what links of others led to."""

from __future__ import annotations

from dataclasses import dataclass, field

from panachain.sdk.times import iso


@dataclass(frozen=True)
class ShareView:
    """A link that was made on this machine, without what would open it.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     made = Sharing().share(
        ...         patient.records(), "laboratory", url="https://links.example", until=timedelta(days=7)
        ...     )
        >>> made.view.files, made.view.attempts_left, made.view.openings
        (1, None, ())
    """

    name: str
    """By which `revoke` finds it: 12 hexadecimal digits that say nothing of the link."""
    label: str
    state: str
    """`open`, or `disabled` where its passcode was guessed at too often."""
    made_at: int
    """Unix seconds."""
    expires_at: int | None
    """Unix seconds; None for never."""
    files: int
    size: int
    """Bytes of all files, sealed."""
    passcode: bool
    long_term: bool
    attempts_left: int | None
    """Wrong passcodes that it still takes; None where it has no passcode."""
    written_to: str
    """The file for a static host; empty where this machine's server gives it out."""
    openings: tuple[tuple[str, int], ...] = ()
    """Who followed it, as they called themselves, and when, in Unix seconds."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/shared/1`."""
        return {
            "schema": "panachain/shared/1",
            "name": self.name,
            "label": self.label,
            "state": self.state,
            "made_at": iso(self.made_at),
            "expires_at": None if self.expires_at is None else iso(self.expires_at),
            "files": self.files,
            "size": self.size,
            "passcode": self.passcode,
            "long_term": self.long_term,
            "attempts_left": self.attempts_left,
            "written_to": self.written_to,
            "openings": [{"recipient": name, "at": iso(at)} for name, at in self.openings],
        }


@dataclass(frozen=True)
class MadeLink:
    """A link that was made just now. Nothing on this machine can show it again.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     made = Sharing().share(
        ...         patient.records(), "laboratory", url="https://links.example", until=timedelta(days=7)
        ...     )
        >>> made.text.startswith("shlink:/"), "shlink" in repr(made)
        (True, False)
    """

    text: str = field(repr=False)
    """The link: whoever has it, and its passcode where it has one, reads what it leads to."""
    view: ShareView
    """What is kept of it."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/link/1`: with the link, for whoever asked for it."""
        return {"schema": "panachain/link/1", "link": self.text, "share": self.view.to_json()}
