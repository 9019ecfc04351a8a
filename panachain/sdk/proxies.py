"""What the SDK says to proxies: deposits, deletions, receipts and re-encryptions, each answer checked.

Never believes an answer: a proxy must sign it, its receipt must convict it, a cfrag must verify. A proxy that lies is
named, and the evidence is kept. Follows docs/spec/proxy.md.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

from panachain.chain.receipts import check_head as check_log_head
from panachain.chain.signing import Account
from panachain.chain.typed import proxy_domain, sign_request
from panachain.consent.log_checkpoint import Cosigned, open_checkpoint
from panachain.consent.log_proof import Share, leaf_hash
from panachain.consent.log_tree import hashes_of, tile_path
from panachain.consent.receipts import check_receipt
from panachain.consent.times import MAX_DIFFERENCE
from panachain.crypto import box, labels, umbral
from panachain.crypto.hpke import SealingKey
from panachain.errors import (
    IntegrityError,
    PanaChainError,
    PolicyUnknownError,
    ProxiesUnavailableError,
    UnavailableError,
    UsageError,
)
from panachain.model.actors import Address, PolicyId, Role, handle_of
from panachain.model.policy import LogHead, ProxyRef, Receipt, ReceiptKind, Terms
from panachain.model.proxy_requests import (
    DepositedLane,
    DepositRequest,
    ReceiptPart,
    ReceiptsRequest,
    ReencryptRequest,
)
from panachain.model.scope import Purpose
from panachain.model.sizes import NONCE_SIZE
from panachain.model.transactions import Revocation
from panachain.proxy import messages
from panachain.proxy.client import Channels, Reply, read_answer, read_bytes
from panachain.proxy.race import PACE, Failure, Pace, Race, ask_all, piece_sizes
from panachain.sdk.network import Network
from panachain.sdk.proxy_evidence import (
    Domains,
    EvidenceFolder,
    Keys,
    check_answer,
    describe,
    describe_fork,
    describe_refusal,
)

TIMEOUT: Final = 15.0
"""Seconds that a deposit, a deletion or a log may take; nobody waits for one that others can replace."""
_NOT_FOUND: Final = 404
"""Status of a path that a proxy doesn't have."""
_VALID: Final = 45
"""Seconds for which a request counts: less than proxies allow, so that their clocks may be behind by the rest."""
_PARTS: Final = (ReceiptPart.SERVED, ReceiptPart.REFUSED, ReceiptPart.STRANGERS)
"""In which order they are read: nobody's refusals stand before what was served."""
_PAGES: Final = {ReceiptPart.SERVED: 400, ReceiptPart.REFUSED: 40, ReceiptPart.STRANGERS: 4}
"""Pages of a part that are read of one proxy: 100,000 openings, and what nobody's flood of refusals hides."""
T = TypeVar("T")


@dataclass(frozen=True)
class Reader:
    """A reader: the person who asks, and the key that they read with."""

    requester: Account
    """The person's account; signs the requests."""
    grantee: Address
    """To whom the patient granted it: the person, or a group of theirs."""
    secret: umbral.SecretKey
    """The receiving key of the grantee: what proxies re-encrypt to."""
    sealing: SealingKey
    """The sealing key of the grantee: what terms are sealed to."""


@dataclass(frozen=True)
class _Asked:
    """A question for what one proxy signed about a policy, in as many pages as it takes."""

    proxy: ProxyRef
    policy_id: PolicyId
    account: Account
    """The policy's one-time account."""
    begun: float
    """Seconds of the monotonic clock."""
    now: Callable[[], int]


class Proxies:
    """The proxies of a network, as its actors talk to them."""

    def __init__(
        self, network: Network, *, evidence: Path | None = None, ca: Path | None = None, pace: Pace | None = None
    ) -> None:
        """Take the network, whose registry says where each proxy answers.

        Args:
            network: with both chains.
            evidence: folder for the evidence against proxies that lie; None keeps none.
            ca: PEM file of the authority that signed the proxies' certificates; None takes the usual ones.
            pace: how long it waits for proxies; None waits as usual.
        """
        self._network = network
        self._pace = pace
        self._channels = Channels(ca=ca, reach=network.reach)
        self._evidence = EvidenceFolder(evidence)
        mainchain = network.mainchain
        self._domains = Domains(proxy_domain(mainchain.chain_id, mainchain.policies.address), mainchain.log.domain)

    def close(self) -> None:
        """Close all connections."""
        self._channels.close()

    def check_ready(self, proxies: Sequence[ProxyRef], threshold: int) -> None:
        """Check that enough proxies can serve.

        Raises:
            ProxiesUnavailableError: fewer than the threshold are ready.
        """
        # The others may be down: what is asked is whether there are enough.
        good, failures = ask_all(
            proxies,
            lambda proxy: read_answer(self._channels.get(proxy.endpoint, "/readyz")),
            enough=threshold,
            pace=replace(self._pace or PACE, slower=1.0, grace=0.0),
        )
        if len(good) < threshold:
            raise ProxiesUnavailableError(
                f"{len(good)} of {len(proxies)} proxies are ready, {threshold} are needed; nothing was granted: "
                f"{'; '.join(map(str, failures))}",
                answered=len(good),
                needed=threshold,
                hint="panachain doctor shows which proxies are down",
            )

    def deposit(
        self,
        terms: Terms,
        shares: Mapping[Address, Sequence[bytes]],
        account: Account,
        terms_digest: bytes,
        *,
        enough: int | None = None,
    ) -> tuple[list[Receipt], list[Failure]]:
        """Hand proxies of a policy their kfrags; a proxy that took them before gives the same receipt again.

        Args:
            terms: of the policy.
            shares: for each proxy a kfrag for each lane of the terms.
            account: the policy's one-time account.
            terms_digest: of the CID of the sealed terms, 32 bytes.
            enough: receipts after which the others are waited for a little and no longer; None means the threshold.

        Returns:
            The receipts of those that took them, and why each of the others didn't.
        """
        now = self.now()

        def deposit(proxy: ProxyRef) -> Receipt:
            request = _deposit_request(proxy, terms, terms_digest, shares[proxy.address], now + _VALID)
            signed = messages.deposit_fields(sign_request(account, self._domains.proxy, request))
            # Sealed although the connection is under TLS: what ends TLS before the proxy needn't see kfrags.
            keys = self._network.key_blocks.find(proxy.key_digest, handle_of(proxy.address, Role.PROXY))
            sealed = box.seal_to(keys.sealing, messages.canonical(signed), labels.DEPOSIT)
            reply = self._channels.post(proxy.endpoint, "/v1/deposit", messages.sealed_fields(sealed), timeout=TIMEOUT)
            return self._receipt(reply, proxy, terms.policy_id, ReceiptKind.DEPOSITED)

        asked = self._network.reachable([proxy for proxy in terms.proxies if proxy.address in shares])
        return self._each(asked, deposit, enough=terms.threshold if enough is None else enough)

    def delete(self, proxies: Sequence[ProxyRef], revocation: Revocation) -> tuple[list[Receipt], list[Failure]]:
        """Order proxies to delete their kfrags of a policy, by its signed revocation.

        A proxy that answers and doesn't delete is named, and its answer is kept as evidence.

        Returns:
            The deletion receipts, and why each of the others gave none.
        """
        fields = messages.delete_fields(revocation)

        def delete(proxy: ProxyRef) -> Receipt:
            reply = self._channels.post(proxy.endpoint, "/v1/delete", fields, timeout=TIMEOUT)
            try:
                return self._receipt(reply, proxy, revocation.policy_id, ReceiptKind.DELETED)
            except PolicyUnknownError:
                raise
            except UnavailableError:
                if reply.status != _NOT_FOUND:
                    raise
                # An earlier version takes no signatures: it looks at the chain.
                looks = messages.revoke_fields(revocation.policy_id)
                reply = self._channels.post(proxy.endpoint, "/v1/revoke", looks, timeout=TIMEOUT)
                return self._receipt(reply, proxy, revocation.policy_id, ReceiptKind.DELETED)
            except PanaChainError as exc:
                at = int(self._network.clock())
                self._evidence.keep(describe_refusal(proxy, revocation, reply.content, str(exc), at=at))
                raise

        return self._each(proxies, delete)

    def receipts(self, terms: Terms, account: Account) -> tuple[list[Receipt], list[Failure]]:
        """Return what the proxies of a policy signed about it, and why some of them told nothing, or not all.

        What was served comes first, then refusals, strangers' last. A proxy that lies, or never comes to an end, hides
        nothing that the others signed: what it sent before its fault counts, since it signed that.

        Args:
            terms: of the policy.
            account: the policy's one-time account.

        Raises:
            ProxiesUnavailableError: none of them told anything.
            IntegrityError: none did, and one of them lies.
        """
        proxies = self._network.reachable(terms.proxies)
        found: dict[Address, list[Receipt]] = {proxy.address: [] for proxy in proxies}

        def ask(proxy: ProxyRef) -> bool:
            self.read_receipts(proxy, terms.policy_id, account, into=found[proxy.address])
            return True

        good, failures = self._each(proxies, ask)
        # Copied once: a proxy that comes late changes nothing any more.
        signed = [receipt for receipts in list(found.values()) for receipt in list(receipts)]
        if not good and not signed:
            for failure in failures:
                if isinstance(failure.error, IntegrityError):
                    raise failure.error
            raise no_log(terms.policy_id, failures)
        return signed, failures

    def heads(self, proxies: Sequence[ProxyRef]) -> tuple[dict[Address, LogHead], list[Failure]]:
        """Return how far the proxies' logs go, each by its signature, and why some of them didn't say."""
        good, failures = ask_all(proxies, self._head, timeout=TIMEOUT)
        return {proxy.address: head for proxy, head in good}, failures

    def _head(self, proxy: ProxyRef) -> LogHead:
        found = messages.parse_head(read_answer(self._channels.get(proxy.endpoint, "/v1/head", timeout=TIMEOUT)))
        check_log_head(
            self._domains.log,
            proxy=proxy.address,
            sequence=found.sequence,
            head=found.head,
            signature=found.signature,
        )
        return found

    def read_receipts(
        self,
        proxy: ProxyRef,
        policy_id: PolicyId,
        account: Account,
        *,
        into: list[Receipt],
        after: int = 0,
        now: Callable[[], int] | None = None,
    ) -> None:
        """Read what one proxy signed about a policy, each receipt checked.

        Args:
            proxy: whom to ask.
            policy_id: about which policy.
            account: the policy's one-time account.
            into: gets the receipts as they come, in any order: what it sent before a fault stays there.
            after: the sequence above which everything is read.
            now: as `now`, for whoever asks many questions; None looks at the chain before each.

        Raises:
            IntegrityError: it lies.
            UnavailableError: it doesn't answer, or has more than is read.
        """
        asked = _Asked(proxy, policy_id, account, time.monotonic(), now or self.now)
        if after:
            # Mostly a page holds all that is new. A flood of refusals could fill it: then each part is read by itself.
            try:
                page, more = self._page(asked, ReceiptPart.ALL, after)
            except UsageError:
                # An earlier version knows no such part.
                more = True
            else:
                into += page
            if not more:
                return
        known = {receipt.sequence for receipt in into}
        for part in _PARTS:
            for receipts in self._pages(asked, part, after):
                into += [receipt for receipt in receipts if receipt.sequence not in known]

    def proof(self, proxy: ProxyRef, policy_id: PolicyId, account: Account, *, cursor: int) -> Share:
        """Return one page of a proxy's proof of which receipts of a policy it has; nothing of it is checked.

        Args:
            proxy: whom to ask.
            policy_id: whose receipts.
            account: the policy's one-time account.
            cursor: where the page begins (`consent.log_proof.Place`).

        Raises:
            UnavailableError: it doesn't answer, or can't prove anything.
            IntegrityError: its answer is no proof.
        """
        unsigned = ReceiptsRequest(
            proxy=proxy.address,
            policy_id=policy_id,
            expires_at=self.now() + _VALID,
            nonce=os.urandom(NONCE_SIZE),
            part=ReceiptPart.PROOF,
            after=cursor,
        )
        fields = messages.receipts_fields(sign_request(account, self._domains.proxy, unsigned))
        return Share.parse(read_answer(self._channels.post(proxy.endpoint, "/v1/proof", fields, timeout=TIMEOUT)))

    def tile(self, proxy: ProxyRef, level: int, number: int, width: int) -> list[bytes]:
        """Return the first hashes of a tile of a proxy's log, unchecked: whoever proves by them checks them.

        Raises:
            UnavailableError: it doesn't answer.
            IntegrityError: its answer is no tile.
        """
        reply = self._channels.get(proxy.endpoint, f"/v1/log/{tile_path(level, number, width)}", timeout=TIMEOUT)
        return hashes_of(read_bytes(reply))

    def checkpoint(self, proxy: ProxyRef) -> Cosigned:
        """Return the newest checkpoint of a proxy's log that it shows everybody, with who cosigned it.

        Raises:
            UnavailableError: it doesn't answer.
            IntegrityError: its answer is no checkpoint of its log.
        """
        reply = self._channels.get(proxy.endpoint, "/v1/log/checkpoint", timeout=TIMEOUT)
        return open_checkpoint(read_bytes(reply), proxy=proxy.address, domain=self._domains.log)

    def cosigned(self, proxy: ProxyRef) -> int:
        """Return up to which receipt other proxies of the network cosigned a proxy's log; 0 for none.

        Raises:
            UnavailableError: it doesn't answer.
            IntegrityError: its answer is no checkpoint of its log.
        """
        opened = self.checkpoint(proxy)
        others = {one.address for one in self._network.mainchain.actors.find(Role.PROXY)} - {proxy.address}
        return opened.checkpoint.size if others & set(opened.witnesses) else 0

    def keep_fork(self, proxy: ProxyRef, first: LogHead, second: LogHead, reason: str) -> None:
        """Keep two heads of one sequence that a proxy signed: anybody can convict it by them."""
        evidence = describe_fork(proxy, first, second, reason, at=int(self._network.clock()))
        self._evidence.keep(evidence, name=f"fork-{first.sequence}-{second.head[:4].hex()}")

    def _pages(self, asked: _Asked, part: ReceiptPart, after: int) -> Iterator[list[Receipt]]:
        """Yield the pages of one part of a proxy's receipts above a sequence; raises as `read_receipts`."""
        for _ in range(_PAGES[part]):
            receipts, more = self._page(asked, part, after)
            yield receipts
            if not more:
                return
            after = receipts[-1].sequence
        proxy = asked.proxy
        raise UnavailableError(f"proxy {proxy.address} has more than {_PAGES[part]} pages of what was {part.value}")

    def _page(self, asked: _Asked, part: ReceiptPart, after: int) -> tuple[list[Receipt], bool]:
        """Return a page of one part of a proxy's receipts, checked, and whether there are more."""
        proxy, policy_id = asked.proxy, asked.policy_id
        unsigned = ReceiptsRequest(
            proxy=proxy.address,
            policy_id=policy_id,
            expires_at=asked.now() + _VALID,
            nonce=os.urandom(NONCE_SIZE),
            part=part,
            after=after,
        )
        fields = messages.receipts_fields(sign_request(asked.account, self._domains.proxy, unsigned))
        left = max(asked.begun + TIMEOUT - time.monotonic(), 1.0)
        try:
            answer = read_answer(self._channels.post(proxy.endpoint, "/v1/receipts", fields, timeout=left))
        except PolicyUnknownError:
            # It never got a share: that is an answer too.
            return [], False
        receipts, more = messages.parse_page(answer, after=after)
        for receipt in receipts:
            self._check(receipt, proxy, policy_id)
            # A refusal among what was served would be a way to fill the pages that tell of openings.
            if part is not ReceiptPart.ALL and (receipt.kind is ReceiptKind.DENIED) is (part is ReceiptPart.SERVED):
                raise IntegrityError(f"proxy {proxy.address} shows {receipt.kind.value} among what was {part.value}")
        return receipts, more

    def unwrap(
        self, reader: Reader, terms: Terms, number: int, wraps: Mapping[str, bytes], purpose: Purpose
    ) -> Unwrapped:
        """Return the messages in wraps of one lane, each re-encrypted by `threshold` proxies.

        A wrap that is none, whatever honest proxies make of it, doesn't keep the others from being opened.

        Args:
            reader: who opens.
            terms: of the policy.
            number: which of the terms' lanes the wraps were made for.
            wraps: by a name of the caller's, such as the envelope's CID.
            purpose: for what.

        Raises:
            AccessDeniedError: the proxies refuse.
            ProxiesUnavailableError: fewer than the threshold gave a good answer.
            IntegrityError: too few good answers, and proxies lied.
        """
        opening = _Opening(self, reader, terms, number, wraps, purpose)
        if not opening.pieces:
            return opening.unwrapped
        # Ask proxies in parallel until t gave cfrags for every capsule, each verified.
        Race(
            self._network.reachable(terms.proxies),
            [len(piece) for piece in opening.pieces],
            needed=terms.threshold,
            ask=opening.ask,
            combine=opening.combine,
            what=f"opening category {terms.lanes[number].scope.text} of policy {terms.policy_id}",
            pace=self._pace,
        ).run()
        return opening.unwrapped

    # Inside

    def now(self, head: int | None = None) -> int:
        """Return the time, Unix seconds: the chain's, where this machine's clock is clearly ahead.

        Args:
            head: the chain's time, where it was just asked for.

        Raises:
            ChainUnavailableError: the chain's newest block is from the future.
        """
        now, head = int(self._network.clock()), self._network.chain_time() if head is None else head
        # A proxy takes requests of its own time only. A machine whose clock is ahead could open nothing.
        return now if now - head <= MAX_DIFFERENCE else head

    def _receipt(self, reply: Reply, proxy: ProxyRef, policy_id: PolicyId, kind: ReceiptKind) -> Receipt:
        receipt = messages.parse_receipt(read_answer(reply).get("receipt"))
        self._check(receipt, proxy, policy_id, kind)
        return receipt

    def _check(self, receipt: Receipt, proxy: ProxyRef, policy_id: PolicyId, kind: ReceiptKind | None = None) -> None:
        now = self._network.clock()
        check_receipt(receipt, proxy=proxy.address, domain=self._domains.log, policy_id=policy_id, kind=kind, now=now)

    def _each(
        self, proxies: Sequence[ProxyRef], ask: Callable[[ProxyRef], T], *, enough: int | None = None
    ) -> tuple[list[T], list[Failure]]:
        good, failures = ask_all(proxies, ask, timeout=TIMEOUT, enough=enough, pace=self._pace)
        return [answer for _, answer in good], failures


@dataclass(frozen=True)
class Unwrapped:
    """What opening some wraps of one lane gave."""

    messages: dict[str, bytes] = field(default_factory=dict, repr=False)
    """What the wraps hold, by their names: of an envelope, the masked key (crypto/commit.py)."""
    bad: dict[str, PanaChainError] = field(default_factory=dict)
    """Why the other wraps opened to nothing: whoever made them is to blame, and no proxy."""
    receipts: dict[tuple[Address, int], bytes] = field(default_factory=dict, repr=False)
    """What the proxies that helped signed of it: proxy and place in its log, and the hash of the leaf there."""


@dataclass(frozen=True)
class _Served:
    """A proxy's answer whose signature and receipt are good; its cfrags are still unchecked."""

    proxy: ProxyRef
    request: ReencryptRequest
    body: bytes
    cfrags: tuple[bytes, ...]
    receipt: Receipt


class _Opening:
    """One call of `unwrap`: what is asked of proxies, and what is made of their answers."""

    def __init__(
        self,
        proxies: Proxies,
        reader: Reader,
        terms: Terms,
        number: int,
        wraps: Mapping[str, bytes],
        purpose: Purpose,
    ) -> None:
        self._proxies = proxies
        self._reader = reader
        self._terms = terms
        self._number = number
        self._wraps = wraps
        self._purpose = purpose
        # Taken before anybody is asked: a proxy must have looked at a block about as new as this one.
        self._not_before = proxies._network.chain_time()
        self._started = time.monotonic()
        self._now = proxies.now(self._not_before)
        lane = terms.lanes[number]
        self._public = Keys(terms.verifying_key, lane.delegating_key, reader.secret.public)
        self.unwrapped = Unwrapped()
        self._capsules: dict[str, bytes] = {}
        for name, wrap in wraps.items():
            try:
                self._capsules[name] = umbral.capsule_of(wrap)
            except IntegrityError as exc:
                # No proxy is asked for it: they would refuse all that is asked with it.
                self.unwrapped.bad[name] = exc
        names = sorted(self._capsules)
        self.pieces: list[list[str]] = []
        for size in piece_sizes(len(names)) if names else []:
            self.pieces.append(names[:size])
            names = names[size:]

    def ask(self, proxy: ProxyRef, piece: int) -> _Served:
        """Ask one proxy for the cfrags of one piece."""
        request = self._request(proxy, piece)
        body = b""
        try:
            fields = messages.reencrypt_fields(request)
            reply = self._proxies._channels.post(proxy.endpoint, "/v1/reencrypt", fields)
            body = reply.content
            answer = messages.parse_answer(read_answer(reply), count=len(request.capsules))
            check_answer(
                answer,
                request,
                domains=self._proxies._domains,
                not_before=self._not_before,
                now=self._proxies._network.clock(),
            )
        except IntegrityError as exc:
            # Kept before it is raised: the race goes on with others, and nobody would come back to it.
            self._keep(proxy, request, body, exc)
            raise
        return _Served(proxy, request, body, answer.cfrags, answer.receipt)

    def combine(self, piece: int, answers: Mapping[Address, _Served]) -> dict[Address, PanaChainError]:
        """Open one piece with `threshold` answers, and return who of them lied and how."""
        opened, bad = dict[str, bytes](), dict[str, PanaChainError]()
        for position, name in enumerate(self.pieces[piece]):
            try:
                opened[name] = umbral.unwrap_reencrypted(
                    self._reader.secret,
                    self._wraps[name],
                    [served.cfrags[position] for served in answers.values()],
                    verifying=self._public.verifying,
                    delegating=self._public.delegating,
                    threshold=self._terms.threshold,
                )
            except IntegrityError as exc:
                # Only now is each cfrag looked at by itself: as long as all are honest, opening them together is
                # enough.
                liars = self._liars(position, answers)
                if liars:
                    return liars
                # Every cfrag is good, so the wrap isn't.
                bad[name] = exc
        for address, served in answers.items():
            leaf = leaf_hash(messages.canonical(messages.receipt_fields(served.receipt)))
            self.unwrapped.receipts[address, served.receipt.sequence] = leaf
        self.unwrapped.messages.update(opened)
        self.unwrapped.bad.update(bad)
        return {}

    def _liars(self, position: int, answers: Mapping[Address, _Served]) -> dict[Address, PanaChainError]:
        liars: dict[Address, PanaChainError] = {}
        for address, served in answers.items():
            try:
                umbral.check_cfrag(
                    served.cfrags[position],
                    served.request.capsules[position],
                    verifying=self._public.verifying,
                    delegating=self._public.delegating,
                    receiving=self._public.receiving,
                )
            except IntegrityError as exc:
                self._keep(served.proxy, served.request, served.body, exc)
                liars[address] = exc
        return liars

    def _request(self, proxy: ProxyRef, piece: int) -> ReencryptRequest:
        unsigned = ReencryptRequest(
            proxy=proxy.address,
            policy_id=self._terms.policy_id,
            grantee=self._reader.grantee,
            requester=self._reader.requester.address,
            purpose=self._purpose,
            lane=self._number,
            capsules=tuple(self._capsules[name] for name in self.pieces[piece]),
            # By the chain's time of the beginning and this machine's clock since then, which nobody can set back.
            expires_at=self._now + int(time.monotonic() - self._started) + _VALID,
            nonce=os.urandom(NONCE_SIZE),
        )
        return sign_request(self._reader.requester, self._proxies._domains.proxy, unsigned)

    def _keep(self, proxy: ProxyRef, request: ReencryptRequest, body: bytes, error: IntegrityError) -> None:
        self._proxies._evidence.keep(
            describe(
                proxy,
                request,
                body,
                str(error),
                keys=self._public,
                domains=self._proxies._domains,
                not_before=self._not_before,
                at=self._now,
            )
        )


def _deposit_request(
    proxy: ProxyRef, terms: Terms, terms_digest: bytes, kfrags: Sequence[bytes], expires_at: int
) -> DepositRequest:
    return DepositRequest(
        proxy=proxy.address,
        policy_id=terms.policy_id,
        grantee=terms.grantee,
        receiving_key=terms.receiving_key,
        verifying_key=terms.verifying_key,
        audit_key=terms.audit_key,
        terms=terms_digest,
        purposes=terms.purposes,
        lanes=tuple(DepositedLane(lane.delegating_key, kfrag) for lane, kfrag in zip(terms.lanes, kfrags, strict=True)),
        expires_at=expires_at,
        nonce=os.urandom(NONCE_SIZE),
    )


def no_log(policy_id: PolicyId, failures: Sequence[Failure]) -> ProxiesUnavailableError:
    """Return the error that no proxy of a policy told what it signed, with why each one didn't."""
    why = "; ".join(map(str, failures))
    return ProxiesUnavailableError(
        f"no proxy of policy {policy_id} answered, so its log can't be read: {why}", answered=0, needed=1
    )
