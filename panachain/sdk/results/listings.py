"""Lists of what others wrote, and what had to be left out of them.

Everybody can be sent something that nobody can read: such an item never keeps the others from its reader, and is named.
A stranger must not choose how a call ends, so a list with something left out is no error. Follows security rule 23.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from panachain.sdk.times import iso

Item = TypeVar("Item")


@dataclass(frozen=True)
class LeftOut:
    """One item that a list lacks, and why.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     [left.to_json() for left in patient.requests().left_out]
        []
    """

    kind: str
    """`policy`, `request`, `group`, `pairing`, `proxy`, `record` or `link`, of what leaked `key block`, and `file` of
    what this machine keeps."""
    item: str
    """The policy's ID, the request's number, the group's handle, the account of the paired hospital or of the proxy,
    the CID of the record's header, or the beginning of the link's name."""
    reason: str
    """In words."""
    sender: str = ""
    """The account that sent it, where that is known: `block` takes it."""
    over: bool = False
    """Whether it is a policy that opens nothing any more: what nobody can read of it changes nothing."""
    since: int = 0
    """Of a record that was moved and whose earlier place is gone for good: the time from which on it lies where
    openings of it are told, Unix seconds. Whoever kept the earlier place may have opened that later, too. Asking again
    brings no more. 0 where it may."""

    def __str__(self) -> str:
        """Return it as one line."""
        sender = f" of {self.sender}" if self.sender else ""
        return f"{self.kind} {self.item}{sender} is left out: {self.reason}"

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/left-out/1`."""
        return {
            "schema": "panachain/left-out/1",
            "kind": self.kind,
            "item": self.item,
            "sender": self.sender,
            "reason": self.reason,
            **({"since": iso(self.since)} if self.since else {}),
        }


def unasked(left_out: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """Return what of that may be told by who asks again: openings of a record's earlier place never are."""
    return tuple(one for one in left_out if not one.since)


class Listing(list[Item]):
    """A list of what could be read."""

    def __init__(self, items: Iterable[Item] = (), left_out: Sequence[LeftOut] = ()) -> None:
        """Take what is in it and what isn't."""
        super().__init__(items)
        self.left_out = tuple(left_out)


class Listed(Iterator[Item]):
    """An iterator over a listing."""

    def __init__(self, listing: Listing[Item]) -> None:
        """Take the listing."""
        self.left_out = listing.left_out
        self._items = iter(listing)

    def __next__(self) -> Item:
        return next(self._items)
