"""Which policies' notices are for a reader: each notice on chain is tried once, and what was found is kept, sealed.

A notice costs a curve multiplication for each key of a reader, and everybody's policies have one. Where the chain was
reorganised below what was kept, all is tried again. Follows design section 8 (Open, step 1) and ERC-5564.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from panachain.chain.mainchain import Mainchain
from panachain.crypto import notice
from panachain.model.actors import PolicyId
from panachain.model.transactions import Block, PolicyEvent
from panachain.sdk.kept import Kept
from panachain.sdk.proxies import Reader

DEPTH: Final = 64
"""Blocks under the newest one that are tried again each time: reorganisations seldom go deeper."""
_WORTH: Final = 16
"""Notices that were tried, from which on it is written down."""
_VERSION: Final = 1


@dataclass
class _Tried:
    """What was tried with one key."""

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
        self._tried: dict[str, _Tried] = {}

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
        tried = self._tried.get(_name(reader))
        if tried is not None and event.policy_id in tried.found:
            tried.found.discard(event.policy_id)
            self._changed = True

    def keep(self) -> None:
        """Keep what was found, if it is anything new."""
        if not self._changed:
            return
        keys = {
            name: {"block": tried.block, "hash": tried.block_hash, "found": sorted(tried.found)}
            for name, tried in self._tried.items()
        }
        self._kept.write({"v": _VERSION, "chain": self._chain, "keys": keys})
        self._changed = False

    @property
    def _chain(self) -> str:
        return f"{self._mainchain.chain_id}/{self._mainchain.policies.address}"

    def _read(self) -> dict[str, _Tried]:
        content = self._kept.read()
        try:
            if content is None or content["v"] != _VERSION or content["chain"] != self._chain:
                return {}
            return {str(name): _tried(fields) for name, fields in content["keys"].items()}
        except (KeyError, TypeError, AttributeError):
            # Sealed by this actor and yet of another shape: an older program's.
            return {}

    def _known(self, reader: Reader, head: Block) -> _Tried:
        """Return what was tried with a reader's key on the chain as it is now."""
        tried = self._tried.get(_name(reader))
        if tried is None or tried.block > head.number:
            return _Tried(self._mainchain.from_block - 1)
        if self._mainchain.source.block(tried.block).hash == tried.block_hash:
            return tried
        # The chain was reorganised below.
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
        """Note how far each key was tried: up to a block that is deep enough to stay.

        Args:
            known: what was tried before, by reader.
            new: the blocks of what was tried now.
            found: what fits.
            head: the newest block.
        """
        number = head.number - DEPTH
        if number < self._mainchain.from_block:
            return
        block_hash = self._mainchain.source.block(number).hash
        for reader, before in known.items():
            worth = sum(before.block < block <= number for block in new) >= _WORTH
            # Not for every block: what is tried twice costs less than a file that is written each time.
            if worth or number >= before.block + DEPTH:
                ids = {str(event.policy_id) for event, one in found if one is reader and event.block <= number}
                self._tried[_name(reader)] = _Tried(number, block_hash, ids)
                self._changed = True


def _tried(fields: Any) -> _Tried:
    if type(fields["block"]) is not int or not all(isinstance(one, str) for one in fields["found"]):
        raise TypeError("not what was written here")
    return _Tried(fields["block"], str(fields["hash"]), set(fields["found"]))


def _name(reader: Reader) -> str:
    return reader.secret.public.hex()
