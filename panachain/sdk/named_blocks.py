"""Which blocks should be there: those that the chains' events name, whoever stored them.

Never goes by what a store says that it holds: the names come from proven events. Takes what was replaced, withdrawn or
taken back for gone. Follows docs/spec/network.md, section "Stores", and docs/spec/formats.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from panachain.errors import AccessDeniedError, IntegrityError, LockedError, PanaChainError, UnavailableError
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.sizes import HASH_SIZE
from panachain.sdk.storage import headers_of, listed_as_far_as_it_goes
from panachain.storage.blocks import BlobStore

if TYPE_CHECKING:
    # For its type only: a store's operator may be without a network.
    from panachain.sdk.network import Network

_OUT_OF_REACH: Final = (UnavailableError, LockedError, AccessDeniedError, IntegrityError)
"""What one part may fail with, without keeping the others from being looked at."""


@dataclass(frozen=True)
class Named:
    """One block that an event, or a manifest that an event names, names in turn."""

    cid: CID
    what: str
    """`key block`, `terms`, `manifest`, `header`, `pairing`, `books`, `request`, `answer`, `group key`, `emergency`."""
    by: str
    """Which policy, hospital, patient, request or group it belongs to, as the chain names it."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON."""
        return {"cid": str(self.cid), "what": self.what, "by": self.by}


@dataclass(frozen=True)
class NamedBlocks:
    """What the chains name, as far as they could be asked."""

    blocks: tuple[Named, ...]
    failures: tuple[str, ...]
    """Which parts couldn't be looked at, and why."""

    @property
    def roots(self) -> tuple[CID, ...]:
        """The CIDs, each once."""
        return tuple(dict.fromkeys(one.cid for one in self.blocks))

    def of(self, cids: Iterable[CID]) -> tuple[Named, ...]:
        """Return those of some CIDs."""
        wanted = set(cids)
        return tuple(one for one in self.blocks if one.cid in wanted)


def named_blocks(network: Network, store: BlobStore) -> NamedBlocks:
    """Return all that the chains name, and what manifests name as far as the store has them.

    Args:
        network: its chains are read.
        store: where manifests are read.
    """
    parts: Sequence[tuple[str, Callable[[], Iterable[Named]]]] = (
        ("key blocks", lambda: _key_blocks(network)),
        ("terms", lambda: _terms(network)),
        ("manifests", lambda: _manifests(network, store)),
        ("pairings", lambda: _pairings(network)),
        ("requests", lambda: _requests(network)),
        ("keys of groups", lambda: _group_keys(network)),
        ("emergencies", lambda: _emergencies(network)),
        ("guardians", lambda: _guardians(network)),
        ("wardships", lambda: _wardships(network)),
    )
    found: list[Named] = []
    failures: list[str] = []
    for what, part in parts:
        try:
            for one in part():
                found.append(one)
        except _OUT_OF_REACH as exc:
            failures.append(f"{what}: {exc}")
    return NamedBlocks(tuple(found), tuple(failures))


def counted(blocks: Iterable[Named]) -> str:
    """Return how many there are of each kind, such as `3 terms, 1 pairing`."""
    kinds = Counter(one.what for one in blocks)
    return ", ".join(f"{count} {what}" for what, count in sorted(kinds.items()))


def _key_blocks(network: Network) -> Iterator[Named]:
    # Of everybody who was ever registered: what they signed is verified by it, also after a suspension.
    actors = [
        *network.mainchain.actors.find(),
        *network.sidechain.identities.find(),
        *network.sidechain.groups.find(),
    ]
    for actor in actors:
        for digest in (*actor.earlier_keys, actor.key_digest):
            yield from _raw(digest, "key block", f"{actor.role.value} {actor.address}")


def _terms(network: Network) -> Iterator[Named]:
    # Those of policies that are over stay wanted: a patient's own log is read with them.
    for event in network.mainchain.policies.events(kind="PolicyGranted"):
        yield from _raw(event.terms, "terms", f"policy {event.policy_id}")


def _manifests(network: Network, store: BlobStore) -> Iterator[Named]:
    listed = listed_as_far_as_it_goes(store)
    for heads in network.hospital_heads():
        by = f"hospital {heads.hospital}"
        manifests = [CID(DAG_CBOR, digest) for digest in heads.manifests]
        yield from (Named(cid, "manifest", by) for cid in manifests)
        for manifest in manifests:
            try:
                for cid in headers_of(store, [manifest]):
                    # A manifest never changes; a header that its hospital gave up, since another one stands for it, is
                    # in no list any more. Where the manifest's own list isn't known, nothing counts as given up.
                    if cid in listed or manifest not in listed:
                        yield Named(cid, "header", by)
            except (PanaChainError, ValueError):
                # What is damaged or lost below a manifest is found, and said, where its links are followed.
                continue


def _pairings(network: Network) -> Iterator[Named]:
    for pairing in network.sidechain.identities.paired():
        if pairing.paired and pairing.hospital == pairing.patient:
            yield from _raw(pairing.digest, "books", f"patient {pairing.patient}")
        elif pairing.paired:
            yield from _raw(pairing.digest, "pairing", f"patient {pairing.patient} at hospital {pairing.hospital}")


def _requests(network: Network) -> Iterator[Named]:
    requests = network.sidechain.requests
    for request in requests.find():
        by = f"request {request.request_id}"
        if request.state == "open":
            yield from _raw(request.details, "request", by)
        elif request.state == "approved":
            yield from _raw(requests.outcome_of(request.request_id) or b"", "answer", by)


def _group_keys(network: Network) -> Iterator[Named]:
    for (group, member), digest in network.sidechain.groups.sealed_keys().items():
        yield from _raw(digest, "group key", f"member {member} of group {group}")


def _emergencies(network: Network) -> Iterator[Named]:
    for number, reason in network.sidechain.emergency.reasons().items():
        yield from _raw(reason, "emergency", f"emergency {number}")


def _guardians(network: Network) -> Iterator[Named]:
    # Earlier ones, too: they count again when what was announced is taken back, and their shares restore.
    for event in network.sidechain.guardianships.announced():
        yield from _raw(event.invitations, "invitation", f"patient {event.patient}")


def _wardships(network: Network) -> Iterator[Named]:
    # Also of those that are over: with the handover a ward reads what was published while they were under care.
    wardships = network.sidechain.wardships
    for one in wardships.find() if wardships else ():
        yield from _raw(one.papers, "papers", f"wardship {one.number}")
        yield from _raw(one.handover, "handover", f"wardship {one.number}")


def _raw(digest: bytes, what: str, by: str) -> Iterator[Named]:
    # Zeros, and other lengths, are what events have where nothing was stored.
    if len(digest) == HASH_SIZE and any(digest):
        yield Named(CID(RAW, digest), what, by)
