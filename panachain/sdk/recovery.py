"""Backup of a profile: recovery shares of its seed, drills, and what is known of both on this machine.

Never writes a share or a word of one: whoever asked for shares gets them, and hands them out. The actor's address is
derived from the seed, so it is the commitment that stands beside a share: shares that make another seed are told by it.
Follows docs/spec/recovery.md and ADR 48.

    HOME/profiles/NAME/recovery.json    which sets were made, and which shares were tried (`panachain/recovery-sets/1`)
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from panachain.crypto import shares as words
from panachain.crypto.keys import Seed, address_of
from panachain.errors import (
    ConfigurationError,
    DiskError,
    LockedError,
    ShareDamagedError,
    ShareError,
    SharesMixedError,
    SharesWrongError,
    UsageError,
)
from panachain.ethereum import parse_address
from panachain.model.actors import Address, Role, handle_of
from panachain.private_files import alone_at, read_regular, write_private
from panachain.sdk.results.recovery import DRILL_AFTER, DrillReport, RecoveryStatus, SharesReport

if TYPE_CHECKING:
    from panachain.sdk.profiles import Profile

FORMAT: Final = "panachain/share/1"
"""How the text of a share begins: in a file, and in its QR code."""
MAXIMUM_SIZE: Final = 1 << 18
"""Bytes of a file with a share that are read; a page has some 40,000."""
_FILE: Final = "recovery.json"
_SCHEMA: Final = "panachain/recovery-sets/1"
_LONGEST: Final = 1 << 16
"""Bytes of that file."""
_MOST_SETS: Final = 64
"""Sets that are remembered."""
_TEXT: Final = re.compile(
    rf"{FORMAT} ([a-z]{{3,20}}) (0x[0-9a-fA-F]{{40}}) ((?:[a-z]{{4,8}} ){{32}}[a-z]{{4,8}})(?![a-z])"
)


@dataclass(frozen=True)
class RecoveryShare:
    """A share of an actor's seed, with whose it is where its text says so. Its `repr` shows nothing of its value.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     for share in patient.recovery.shares(threshold=2, of=3):
        ...         print(share.number, share.threshold, len(share.reveal().split()))
        1 2 36
        2 2 36
        3 2 36
    """

    share: words.Share
    role: Role | None = None
    """None if only the words are known, as they were typed."""
    address: Address | None = None
    """The actor's account: the commitment to the seed."""

    @property
    def number(self) -> int:
        """Which one of its set it is, from 1 on."""
        return self.share.number

    @property
    def threshold(self) -> int:
        """How many of its set make the seed."""
        return self.share.threshold

    @property
    def set(self) -> str:
        """The two words with which all shares of its set begin."""
        return self.share.set

    @property
    def handle(self) -> str:
        """Whose it is; empty if that isn't known."""
        return handle_of(self.address, self.role) if self.address and self.role else ""

    def words(self) -> tuple[str, ...]:
        """Return the 33 words, for paper and screens."""
        return self.share.reveal()

    def reveal(self) -> str:
        """Return the share as text: format, role, address and 33 words, with a space between any two.

        Raises:
            ShareError: only the words are known.
        """
        if self.role is None or self.address is None:
            raise ShareError("this share doesn't say whose it is")
        return f"{FORMAT} {self.role.value} {self.address} {' '.join(self.words())}"


class Recovery:
    """The backup of one profile: its shares and drills.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     shares = patient.recovery.shares(threshold=2, of=3)
        ...     drill = patient.recovery.test([shares[0], shares[2]])
        ...     drill.used, patient.recovery.status().state
        ((1, 3), 'tested')
    """

    def __init__(
        self,
        profile: Profile,
        unlock: Callable[[], Seed] | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take what is backed up; nothing is unlocked yet.

        Args:
            profile: whose seed it is.
            unlock: returns the seed; called only where shares are made, which None doesn't allow.
            clock: Unix seconds.
        """
        self._profile = profile
        self._unlock = unlock
        self._clock = clock

    def shares(self, *, threshold: int = 2, of: int = 3, pending: bool = False) -> list[RecoveryShare]:
        """Make a new set of shares of the seed; shares of earlier sets go on restoring it.

        Hand each one to another person or place, with whoever could bring `threshold` of them together in mind: they
        are the seed. The set is written down as made, its shares aren't.

        Args:
            threshold: how many of them restore, from 2 on.
            of: how many there are, 16 at most.
            pending: whether `handed_out` says later that somebody has them; until then the set is no backup.

        Raises:
            UsageError: the numbers don't fit.
            LockedError: nothing unlocks the seed.
            DiskError: the profile can't be written.
        """
        profile = self._profile
        if self._unlock is None:
            raise LockedError(f"the seed of profile {profile.name!r} is locked; no shares were made")
        seed = self._unlock()
        with self._changing() as known:
            # A set that begins like an earlier one would be taken for it: one in 32,768 does.
            names = {one["set"] for one in known}
            made = words.split(seed.reveal(), threshold=threshold, count=of)
            while made[0].set in names:
                made = words.split(seed.reveal(), threshold=threshold, count=of)
            known.append(
                {
                    "set": made[0].set,
                    "threshold": threshold,
                    "count": of,
                    "made_at": int(self._clock()),
                    "tested_at": 0,
                    "tested": [],
                    "pending": pending,
                }
            )
        return [RecoveryShare(share, profile.role, profile.address) for share in made]

    def handed_out(self, name: str) -> None:
        """Note that the shares of a pending set are where they were to go.

        Args:
            name: the set's two words.
        """
        with self._changing() as known:
            for one in known:
                if one["set"] == name:
                    one["pending"] = False

    def forget(self, name: str) -> None:
        """Forget a set that nobody got: its shares couldn't be handed out.

        Args:
            name: the set's two words.
        """
        with self._changing() as known:
            known[:] = [one for one in known if one["set"] != name]

    def report(self, shares: Sequence[RecoveryShare], files: Sequence[Path] = ()) -> SharesReport:
        """Return what is said of a set that was made, without a word of its value."""
        first = shares[0]
        made_at = next((one["made_at"] for one in self._known() if one["set"] == first.set), 0)
        where = tuple(map(str, files))
        return SharesReport(self._profile.name, first.set, first.threshold, len(shares), made_at, where)

    def test(self, shares: Sequence[RecoveryShare]) -> DrillReport:
        """Try shares: enough of one set that make this profile's seed. Only the day of the drill is written down.

        Raises:
            ShareError: they aren't enough, or can't be together.
            SharesWrongError: they make another seed than this profile's.
        """
        restored(shares, expected=self._profile.address)
        now = int(self._clock())
        used = tuple(sorted(share.number for share in shares))
        with self._changing() as known:
            entry = next((one for one in known if one["set"] == shares[0].set), None)
            if entry is None:
                # Made on another machine: this one knows no more of the set than these shares say.
                entry = {"set": shares[0].set, "threshold": shares[0].threshold, "count": 0, "made_at": 0}
                known.append(entry)
            entry["tested_at"] = now
            entry["pending"] = False
            entry["tested"] = sorted({*entry.get("tested", ()), *used})
        return DrillReport(self._profile.name, shares[0].set, shares[0].threshold, used, now)

    def status(self) -> RecoveryStatus:
        """Return what this machine knows of the backup; nothing is unlocked.

        Raises:
            ConfigurationError: the file is damaged.
        """
        known = [one for one in self._known() if not one.get("pending")]
        if not known:
            return RecoveryStatus(self._profile.name, "none")
        newest = known[-1]
        state = "untested"
        if newest["tested_at"]:
            state = "due" if newest["tested_at"] + DRILL_AFTER <= self._clock() else "tested"
        return RecoveryStatus(
            self._profile.name,
            state,
            newest["set"],
            newest["threshold"],
            newest["count"],
            newest["made_at"],
            newest["tested_at"],
            tuple(newest["tested"]),
            len(known) - 1,
        )

    @property
    def _path(self) -> Path:
        return self._profile.folder / _FILE

    def _known(self) -> list[dict[str, Any]]:
        try:
            fields = json.loads(read_regular(self._path, _LONGEST))
            if fields["schema"] != _SCHEMA:
                raise ValueError("another file")
            return [_entry(one) for one in fields["sets"][-_MOST_SETS:]]
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise DiskError(f"{self._path} can't be read: {exc.strerror}") from exc
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            raise ConfigurationError(
                f"{self._path} can't be read", hint="move it away, and enter the shares: panachain recovery test"
            ) from exc

    @contextmanager
    def _changing(self) -> Iterator[list[dict[str, Any]]]:
        """Hold the sets, to be changed and written by nobody else meanwhile; nothing is written after an error."""
        try:
            with alone_at(self._path):
                known = self._known()
                yield known
                content = {"schema": _SCHEMA, "sets": known[-_MOST_SETS:]}
                write_private(self._path, json.dumps(content, indent=1).encode())
        except OSError as exc:
            raise DiskError(f"{self._path} can't be written: {exc.strerror}") from exc


def read_share(text: str) -> RecoveryShare:
    """Return the share in a text: its own format wherever it stands in it, such as in a page, or only its words.

    Raises:
        ShareDamagedError: there is none, or its words can't be right.
        SharesMixedError: there are several: each belongs to a place of its own.
    """
    if len(text) > MAXIMUM_SIZE:
        raise ShareDamagedError(f"a text with a share has {MAXIMUM_SIZE} characters at most, and this one {len(text)}")
    if FORMAT not in text:
        return RecoveryShare(words.parse(text))
    found = {match.groups() for match in _TEXT.finditer(text)}
    if not found:
        raise ShareDamagedError(f"what stands behind {FORMAT} isn't a share")
    if len(found) > 1:
        raise SharesMixedError("there are several shares in one text", hint="give one at a time")
    ((role, account, value),) = found
    try:
        address = parse_address(account)
        # The checksum of its letters is the address's own.
        fits = address == account
        known = Role(role)
    except ValueError:
        fits = False
    if not fits:
        raise ShareDamagedError("the share's role or address is damaged", hint="type its 33 words only")
    return RecoveryShare(words.parse(value), known, address)


def read_file(path: Path) -> RecoveryShare:
    """Return the share in a file, a page or a text; raises as `read_share`.

    Raises:
        UsageError: there is none.
        DiskError: it can't be read.
        ShareDamagedError: it is no text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_SIZE + 1)
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except OSError as exc:
        raise DiskError(f"{path} can't be read: {exc.strerror}") from exc
    if len(content) > MAXIMUM_SIZE:
        raise ShareDamagedError(f"{path} has more than {MAXIMUM_SIZE} bytes; it is no share")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = ""
    if not text.strip():
        raise ShareDamagedError(f"{path} holds no text")
    return read_share(text)


def check_together(shares: Sequence[RecoveryShare]) -> None:
    """Check that shares may be of one set, before there are enough of them.

    Raises:
        ShareError: they can't; which kind says why.
    """
    words.check_together([share.share for share in shares])
    whose = {(share.role, share.address) for share in shares if share.address}
    if len(whose) > 1:
        raise SharesMixedError("these shares are of different actors")


def restored(shares: Sequence[RecoveryShare], *, expected: Address | None = None) -> tuple[Seed, Address]:
    """Return the seed that shares make, and its address, which was compared with each address that is known.

    Args:
        shares: enough of one set; more than enough are checked too.
        expected: whose seed it must be; None leaves it to what the shares say. If they say nothing, nobody has checked
            the seed but for the set's digest of 32 bits: the caller must.

    Raises:
        ShareError: they aren't enough, or can't be together.
        SharesWrongError: they make another seed.
    """
    check_together(shares)
    seed = Seed(words.combine([share.share for share in shares]))
    address = address_of(seed.account_key())
    for wanted in {expected, *(share.address for share in shares)} - {None}:
        if address != wanted:
            raise SharesWrongError(f"these shares make the seed of account {address}, not of {wanted}")
    return seed, address


def _entry(one: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a set with the types that it must have."""
    return {
        "set": str(one["set"])[:40],
        "threshold": int(one["threshold"]),
        "count": int(one["count"]),
        "made_at": int(one["made_at"]),
        "tested_at": int(one["tested_at"]),
        "tested": [int(number) for number in one["tested"]][: words.MOST],
        "pending": one.get("pending") is True,
    }
