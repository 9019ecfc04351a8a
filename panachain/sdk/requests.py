"""Requests for access and their outcomes: sealed to the patient and to the practitioner, and to nobody else.

Follows docs/spec/formats.md, section "Requests" (`panachain/request/2`, `panachain/outcome/2`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final

from panachain.chain.bound import Sends
from panachain.chain.evm import Receipt
from panachain.crypto import box, labels
from panachain.crypto.hpke import SealingKey
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError, UnknownActorError, UsageError
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address, PolicyId, Role
from panachain.model.policy import Terms
from panachain.model.scope import Purpose
from panachain.model.transactions import AccessRequest
from panachain.records.findings import UNREADABLE
from panachain.sdk.blocked import BlockList
from panachain.sdk.network import Network
from panachain.sdk.results.listings import LeftOut, Listing
from panachain.sdk.results.requests import RequestView
from panachain.sdk.times import Moment, iso, seconds
from panachain.sdk.words import Categories, category_words
from panachain.storage.blocks import keep

_LOG: Final = logging.getLogger(__name__)
MAX_NOTE: Final = 2000
"""Characters of a request's note."""
OF_REQUEST: Final = 2
"""Who reads a request or an outcome: patient and requester."""
OF_REFERRAL: Final = 3
"""Who reads a referral: patient, specialist and who referred."""
_MAX_WORDS: Final = 4096
"""Categories, or scopes of an outcome: each category has one for each year."""
_MAX_WORD: Final = 64
_KEPT: Final = 1024
"""Details and outcomes that a session keeps open; the oldest go first."""


def seal_request(
    categories: Sequence[str], purpose: Purpose, note: str, until: int, *, readers: Sequence[bytes]
) -> bytes:
    """Return the details of a request, sealed to two sealing keys (1,216 bytes each), or of a referral to three."""
    body = {"categories": list(categories), "purpose": purpose.value, "note": note, "until": until}
    return box.seal_to_each(readers, dagcbor.encode(body), labels.REQUEST)


def seal_outcome(policy_id: PolicyId, categories: Sequence[str], *, readers: Sequence[bytes]) -> bytes:
    """Return what an approval granted, sealed to two sealing keys: the sidechain must not name the policy."""
    body = {"policy": bytes.fromhex(policy_id[2:]), "categories": list(categories)}
    return box.seal_to_each(readers, dagcbor.encode(body), labels.OUTCOME)


Opened = dict[tuple[bytes, bytes], dict[str, Any]]
"""What one session opened already, by the digest of its block and what it is: under a digest nothing ever changes."""


def open_request(
    network: Network,
    request: AccessRequest,
    secret: SealingKey,
    organisation: str,
    opened: Opened | None = None,
    *,
    told: bool = True,
) -> RequestView:
    """Fetch and open a request's details, and its outcome when it was approved.

    Args:
        network: with the store.
        request: as the chain has it.
        secret: the sealing key of the patient or of the requester.
        organisation: the requester's, as the registry knows it.
        opened: what was opened with this key already, which is added to; None keeps nothing.
        told: whether the outcome is sealed to this key; it isn't to whoever referred to somebody else.

    Raises:
        IntegrityError: they aren't sealed to this key, or say nonsense.
        BlockNotFoundError: nobody has them.
    """
    opened = {} if opened is None else opened
    readers = OF_REQUEST if request.referrer is None else OF_REFERRAL
    body = _open(network, request.details, secret, labels.REQUEST, opened, readers=readers)
    outcome = network.sidechain.requests.outcome_of(request.request_id) if request.state == "approved" else None
    nothing: dict[str, Any] = {"policy": b"", "categories": []}
    # Whoever referred isn't told what was granted: it is the specialist's and the patient's.
    granted = _open(network, outcome, secret, labels.OUTCOME, opened) if outcome and told else nothing
    try:
        return RequestView(
            request_id=request.request_id,
            state=request.state,
            requester=request.requester,
            patient=request.patient,
            categories=_words(body["categories"]),
            purpose=Purpose(body["purpose"]).value,
            note=_text(body["note"], MAX_NOTE),
            expires_at=request.expires_at,
            until=_number(body["until"]),
            organisation=organisation,
            policy_id=_policy_id(granted["policy"]),
            granted=_words(granted["categories"]),
            referrer=request.referrer or "",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise IntegrityError(f"request {request.request_id} lacks a field or has one of the wrong type") from exc


def open_requests(
    network: Network,
    requests: Iterable[AccessRequest],
    secret: SealingKey,
    opened: Opened | None = None,
    *,
    referrer: Address | None = None,
) -> Listing[RequestView]:
    """Return the requests that can be read, in their order: whoever makes one that can't keeps nobody from the rest.

    Args:
        network: with the store.
        requests: as the chain has them.
        secret: the sealing key of the patient, of the requester or of who referred.
        opened: as for `open_request`.
        referrer: whose key it is, if they made some of these in others' names.
    """
    found, left_out = [], []
    wanted = list(requests)
    # One look-up for all requesters.
    known = network.sidechain.identities.find(list(dict.fromkeys(request.requester for request in wanted)))
    organisations = {actor.address: actor.organisation or "" for actor in known}
    for request in wanted:
        try:
            organisation = organisations.get(request.requester, "")
            told = referrer is None or request.referrer != referrer
            found.append(open_request(network, request, secret, organisation, opened, told=told))
        except UNREADABLE as exc:
            sender = request.referrer or request.requester
            left = LeftOut("request", str(request.request_id), f"{request.state}; {exc}", sender)
            _LOG.info("%s", left)
            left_out.append(left)
    return Listing(found, left_out)


class ReceivedRequests:
    """The requests that were made to one patient."""

    def __init__(self, network: Network, seed: Seed, patient: Address, blocked: BlockList) -> None:
        """Take the network, the patient's seed and account, and whom they don't want to hear of."""
        self._network = network
        self._seed = seed
        self._patient = patient
        self._blocked = blocked
        self._opened: Opened = {}

    def all(self) -> Listing[RequestView]:
        """Return all of them that can be read, oldest first, but those of or by blocked practitioners."""
        blocked = self._blocked.accounts()
        made = self._network.sidechain.requests.find(patient=self._patient)
        wanted = (request for request in made if not {request.requester, request.referrer} & blocked)
        return open_requests(self._network, wanted, self._seed.sealing(), self._opened)

    def find(self, request_id: int) -> RequestView:
        """Return one request; no other one is opened.

        Raises:
            UnknownActorError: no such request was made to this patient.
            IntegrityError: it can't be read.
        """
        request = self._made(request_id)
        (requester,) = self._network.sidechain.identities.find([request.requester]) or (None,)
        organisation = (requester.organisation or "") if requester else ""
        try:
            return open_request(self._network, request, self._seed.sealing(), organisation, self._opened)
        except UNREADABLE as exc:
            raise IntegrityError(
                f"request {request_id} can't be read, so nothing was granted: {exc}",
                hint=f"panachain deny {request_id} refuses it all the same",
            ) from exc

    def is_refused(self, request_id: int) -> bool:
        """Tell whether a request was refused, or taken back by whoever made it; nothing of it is opened.

        Raises:
            UnknownActorError: no such request was made to this patient.
        """
        return self._made(request_id).state in ("denied", "withdrawn")

    def _made(self, request_id: int) -> AccessRequest:
        """Return a request as the chain has it."""
        for request in self._network.sidechain.requests.find(patient=self._patient):
            if request.request_id == request_id:
                return request
        raise UnknownActorError(f"no request {request_id} was made to this patient", hint="panachain requests")

    def open_one(
        self, request_id: int, until: Moment | None, categories: Categories
    ) -> tuple[RequestView, int, tuple[str, ...]]:
        """Return a request that is still open, and what of it shall be granted: until when, and which categories.

        Args:
            request_id: which one.
            until: the end, exclusive; None takes what was asked for.
            categories: a part of those that were asked for; empty takes them all.

        Raises:
            UsageError: the request isn't open, or asks for less than this.
        """
        asked = self.find(request_id)
        ends = asked.until if until is None else seconds(until, at=int(self._network.clock()), name="until")
        granted = category_words(categories) or asked.categories
        if asked.state != "open":
            raise UsageError(
                f"request {request_id} is {asked.state}, so nothing was granted", hint="panachain requests"
            )
        if ends > asked.until or not set(granted) <= set(asked.categories):
            raise UsageError(
                f"request {request_id} asks for {', '.join(asked.categories)} until {iso(asked.until)}: more than that"
                " isn't an answer to it",
                hint="panachain grant gives more than was asked for",
            )
        return asked, ends, granted

    def answer(self, request_id: int, terms: Terms) -> None:
        """Tell a requester which policy answers the request, unless they were told before, or it is over."""
        asked = self.find(request_id)
        if asked.state != "open":
            return
        granted = tuple(dict.fromkeys(lane.scope.text for lane in terms.lanes))
        requester = self._network.keys.check(self._network.resolve(asked.requester, Role.PRACTITIONER))
        readers = [requester.sealing_key, self._seed.sealing().public]
        cid = keep(self._network.store, seal_outcome(terms.policy_id, granted, readers=readers))
        self._network.sidechain.requests.approve(self._sender(), request_id, cid.digest)

    def deny(self, request_id: int) -> Receipt:
        """Refuse a request, whatever it says: nothing of it is opened.

        Raises:
            UnknownActorError: no such request was made to this patient.
            UsageError: it was answered already, or is over.
        """
        made = self._made(request_id)
        if made.state != "open":
            raise UsageError(f"request {request_id} is {made.state}, so nothing was denied", hint="panachain requests")
        return self._network.sidechain.requests.deny(self._sender(), made.request_id)

    def _sender(self) -> Sends:
        return self._network.person(self._seed.account_key())


def _open(
    network: Network, digest: bytes, secret: SealingKey, label: bytes, opened: Opened, *, readers: int = OF_REQUEST
) -> dict[str, Any]:
    if (digest, label) in opened:
        return opened[digest, label]
    block = network.store.get_block(CID(RAW, digest))
    fields = dagcbor.decode(box.open_shared(secret, block, label, readers=readers))
    if not isinstance(fields, dict):
        raise IntegrityError("a request's details aren't a map")
    # Strangers make requests: what they send isn't kept without end.
    while len(opened) >= _KEPT:
        opened.pop(next(iter(opened)))
    opened[digest, label] = fields
    return fields


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("not a number")
    return value


def _text(value: object, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise TypeError(f"not a text of at most {most} characters")
    return value


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _MAX_WORDS:
        raise TypeError("not a list of words")
    return tuple(_text(word, _MAX_WORD) for word in value)


def _policy_id(raw: bytes) -> str:
    # Imported here: most requests aren't approved yet.
    from panachain.ethereum import checksum_address

    return checksum_address(raw) if raw else ""
