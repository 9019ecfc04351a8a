"""Which policies' notices are for a reader: each notice on chain is tried once, and what was found is kept, sealed.

A notice costs a curve multiplication for each key of a reader, and everybody's policies have one. What was found is
kept as of the newest block and as of one that is deep enough to stay: where the chain was reorganised above that one,
only what stands above it is tried again, and where it was reorganised below, all is. Follows design section 8 (Open,
step 1) and ERC-5564.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from panachain.chain.mainchain import Mainchain
from panachain.crypto import notice
from panachain.model.actors import PolicyId
from panachain.model.block import Block
from panachain.model.transactions import PolicyEvent
from panachain.sdk.kept import Kept
from panachain.sdk.proxies import Reader

DEPTH: Final = 64
"""Blocks under the newest one that are tried again after a reorganisation: those seldom go deeper."""
_WORTH: Final = 16
"""Notices that were tried, from which on it is written down."""
_VERSION: Final = 2


@dataclass
class _Tried:
    """What was tried with one key, as of one block."""

    block: int
    """Up to which block; below the deployment for none."""
    block_hash: str = ""
    found: set[str] = field(default_factory=set)
    """Policies up to that block whose notice fits, but for those that turned out to be others'."""


class Notices:
    """The policies that are announced to one actor, as a person and for groups of theirs."""

    def __init__(self, mainchain: Mainchain, kept: Kept) -> None:
        """Take the chain, and where it is kept what was found."""
        self._mainchain = mainchain
        self._kept = kept
        self._changed = False
        self._tried: dict[str, list[_Tried]] = {}
        """For each key what was tried, as of the newest block first."""

    def announced(self, readers: Sequence[Reader]) -> list[tuple[PolicyEvent, Reader]]:
        """Return the grants whose notice fits a reader's key, in the order of the chain; a few fit by chance."""
        self._tried = self._read()
        source = self._mainchain.source
        with source.pinned():
            head = source.head()
            known = {reader: self._known(reader, head) for reader in readers}
            found = [pair for reader, tried in known.items() for pair in self._found(reader, tried)]
            new: list[int] = []
            for event in self._new(known.values()):
                new.append(event.block)
                found += [
                    (event, reader)
                    for reader, tried in known.items()
                    if event.block > tried.block
                    and notice.is_for(reader.secret, event.announcement, event.view_tag, event.policy_id)
                ]
            self._advance(known, new, found, head)
        return sorted(found, key=lambda pair: (pair[0].block, pair[0].index))

    def not_for(self, event: PolicyEvent, reader: Reader) -> None:
        """Note that a notice fits a key by chance: what it announces is sealed to somebody else."""
        for tried in self._tried.get(_name(reader), ()):
            if event.policy_id in tried.found:
                tried.found.discard(event.policy_id)
                self._changed = True

    def keep(self) -> None:
        """Keep what was found, if it is anything new."""
        if not self._changed:
            return
        keys = {
            name: [{"block": one.block, "hash": one.block_hash, "found": sorted(one.found)} for one in tried]
            for name, tried in self._tried.items()
        }
        self._kept.write({"v": _VERSION, "chain": self._chain, "keys": keys})
        self._changed = False

    @property
    def _chain(self) -> str:
        return f"{self._mainchain.chain_id}/{self._mainchain.policies.address}"

    def _read(self) -> dict[str, list[_Tried]]:
        content = self._kept.read()
        try:
            if content is None or content["v"] != _VERSION or content["chain"] != self._chain:
                return {}
            return {str(name): [_tried(fields) for fields in tried] for name, tried in content["keys"].items()}
        except (KeyError, TypeError, AttributeError):
            # Sealed by this actor and yet of another shape: an older program's.
            return {}

    def _known(self, reader: Reader, head: Block) -> _Tried:
        """Return what was tried with a reader's key on the chain as it is now."""
        for tried in self._tried.get(_name(reader), ()):
            # One that is ahead of the chain, or of another history, tells nothing.
            if tried.block <= head.number and self._mainchain.source.block(tried.block).hash == tried.block_hash:
                return tried
        return _Tried(self._mainchain.from_block - 1)

    def _found(self, reader: Reader, tried: _Tried) -> Iterator[tuple[PolicyEvent, Reader]]:
        wanted = [PolicyId(one) for one in sorted(tried.found)]
        for start in range(0, len(wanted), 500):
            piece = wanted[start : start + 500]
            for event in self._mainchain.policies.events(policy_ids=piece, kind="PolicyGranted"):
                yield event, reader

    def _new(self, known: Iterable[_Tried]) -> Iterator[PolicyEvent]:
        start = min((tried.block for tried in known), default=None)
        if start is None:
            return iter(())
        return self._mainchain.policies.events(kind="PolicyGranted", from_block=start + 1)

    def _advance(
        self,
        known: Mapping[Reader, _Tried],
        new: Sequence[int],
        found: Sequence[tuple[PolicyEvent, Reader]],
        head: Block,
    ) -> None:
        """Note what was tried with each key: up to the newest block, and up to one that is deep enough to stay.

        Args:
            known: what was tried before, by reader.
            new: the blocks of what was tried now.
            found: what fits.
            head: the newest block.
        """
        blocks = [head]
        if head.number - DEPTH >= self._mainchain.from_block:
            blocks.append(self._mainchain.source.block(head.number - DEPTH))
        for reader, before in known.items():
            worth = sum(before.block < block for block in new) >= _WORTH
            # Not for every block: what is tried twice costs less than a file that is written each time.
            if worth or head.number - DEPTH >= before.block + DEPTH:
                mine = [event for event, one in found if one is reader]
                self._tried[_name(reader)] = [
                    _Tried(at.number, at.hash, {str(event.policy_id) for event in mine if event.block <= at.number})
                    for at in blocks
                ]
                self._changed = True


def _tried(fields: Any) -> _Tried:
    if type(fields["block"]) is not int or not all(isinstance(one, str) for one in fields["found"]):
        raise TypeError("not what was written here")
    return _Tried(fields["block"], str(fields["hash"]), set(fields["found"]))


def _name(reader: Reader) -> str:
    return reader.secret.public.hex()
