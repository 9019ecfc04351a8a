"""Relays: who pays for a patient's signed transactions, and can neither change, repeat nor usefully withhold them.

Never believed: whatever a relay answers, the chain is looked at, and the next relay is asked if it doesn't show the
policy transaction. A revocation goes to all relays at once, before anything is asked of the chain (security rule 19).
Follows design section 6 (patients are gasless) and docs/spec/relay.md.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from panachain.chain.evm import Receipt, Sender, receipt_of
from panachain.chain.mainchain import Mainchain
from panachain.chain.refusals import refusal_words
from panachain.errors import (
    ConfigurationError,
    IntegrityError,
    PanaChainError,
    PolicyRevokedError,
    PolicyUnknownError,
    RelaysUnavailableError,
    TransactionError,
    UnavailableError,
)
from panachain.model.actors import PolicyId
from panachain.model.policy import PolicyStatus
from panachain.model.policy import Receipt as ProxyReceipt
from panachain.model.transactions import Grant
from panachain.proxy import messages
from panachain.sdk.wallet import Wallet
from panachain.trust import Trust
from panachain.wire.client import Client, WireError
from panachain.wire.json_text import read_json
from panachain.wire.transport import Bounds

GRACE: Final = 2.0
"""Seconds that each relay gets to take a revocation, although the chain shows it already: a node may say so falsely."""
LONGEST: Final = 45.0
"""Seconds after which a revocation that the chain doesn't show isn't waited for any more."""
CONFIRM: Final = 5.0
"""Seconds that the chain gets to show what a relay says was mined."""
PATIENCE: Final = 30.0
"""Seconds that the chain gets to show what a relay says was sent."""
_POLL: Final = (0.05, 1.0)
"""Seconds between two looks at the chain: at first, and at most."""
_MAX_ANSWER: Final = 65_536
"""Bytes of a relay's answer."""
_MINED: Final = "mined"
_PENDING: Final = "pending"


class Relay(Protocol):
    """What a relay does for patients."""

    def grant(self, grant: Grant, signature: bytes) -> Receipt:
        """Send a signed grant and wait until it is mined."""
        ...

    def revoke(self, policy_id: PolicyId, signature: bytes) -> Receipt:
        """Send a signed revocation and wait until it is mined."""
        ...

    def convict(self, receipt: ProxyReceipt) -> Receipt:
        """Submit a receipt by which a proxy served what wasn't allowed."""
        ...


class LocalRelay:
    """An account of this machine that pays."""

    name = "this machine's own account"
    timeout = 130.0
    """Seconds: it waits for the chain itself, and replaces what sticks."""

    def __init__(self, mainchain: Mainchain, sender: Sender) -> None:
        """Take the chain and the account that pays."""
        self._mainchain = mainchain
        self._sender = sender

    def grant(self, grant: Grant, signature: bytes) -> Receipt:
        """Send a signed grant."""
        return self._mainchain.policies.grant_by_signature(self._sender, grant, signature)

    def revoke(self, policy_id: PolicyId, signature: bytes) -> Receipt:
        """Send a signed revocation."""
        return self._mainchain.policies.revoke_by_signature(self._sender, policy_id, signature)

    def convict(self, receipt: ProxyReceipt) -> Receipt:
        """Submit the evidence of a late service."""
        return self._mainchain.log.prove_late_service(self._sender, receipt)


class RemoteRelay:
    """A relay that somebody runs (`panachain relay serve`). Its answers are claims."""

    def __init__(self, url: str, *, timeout: float, ca: Path | None = None, wallet: Wallet | None = None) -> None:
        """Take its URL.

        Args:
            url: where it answers.
            timeout: seconds that an answer may take.
            ca: PEM file of the authority that signed its certificate; None takes the usual ones.
            wallet: pays for grants, where relays take tokens; None pays with none.

        Raises:
            ConfigurationError: the file can't be read.
        """
        self.name = url
        self.timeout = timeout
        self._client = Client(trust=Trust(ca))
        self._url = url.rstrip("/")
        self._wallet = wallet

    def grant(self, grant: Grant, signature: bytes) -> str:
        """Hand in a signed grant; return `mined` or `pending`, as the relay says."""
        fields = {
            "policy_id": grant.owner,
            "starts_at": grant.starts_at,
            "expires_at": grant.expires_at,
            "deadline": grant.deadline,
            "view_tag": grant.view_tag,
            "terms": grant.terms.hex(),
            "announcement": grant.announcement.hex(),
            "disclosure": grant.disclosure.word.to_bytes(32, "big").hex(),
            "signature": signature.hex(),
        }
        if self._wallet is not None:
            fields["token"] = self._wallet.token(self._url, grant.owner).hex()
        return self._post("/v1/grant", fields)

    def revoke(self, policy_id: PolicyId, signature: bytes) -> str:
        """Hand in a signed revocation; return `mined` or `pending`, as the relay says."""
        return self._post("/v1/revoke", {"policy_id": policy_id, "signature": signature.hex()})

    def convict(self, receipt: ProxyReceipt) -> str:
        """Hand in evidence; return `mined` or `pending`, as the relay says."""
        return self._post("/v1/evidence", {"receipt": messages.receipt_fields(receipt)})

    def _post(self, path: str, fields: Mapping[str, Any]) -> str:
        """Send one request and return the state that the answer claims.

        Raises:
            UnavailableError: no answer in time, or none that can be read.
            TransactionError: the relay says that the contract would refuse it.
        """
        bounds = Bounds(limit=_MAX_ANSWER, total=self.timeout)
        body = json.dumps(fields, separators=(",", ":")).encode()
        try:
            answer = self._client.post(
                self._url + path,
                body,
                bounds=bounds,
                timeout=self.timeout,
                headers={"Content-Type": "application/json"},
            )
        except WireError as exc:
            raise UnavailableError(f"no answer: {type(exc).__name__}") from exc
        except IntegrityError as exc:
            raise UnavailableError(f"its answer doesn't end: {exc}") from exc
        return _claim(answer.status, answer.content)


AnyRelay = LocalRelay | RemoteRelay


class Relays:
    """Several relays, tried in order; the chain says whether one did what it was asked."""

    def __init__(
        self,
        mainchain: Mainchain,
        relays: Sequence[AnyRelay],
        *,
        grace: float = GRACE,
        confirm: float = CONFIRM,
        patience: float = PATIENCE,
    ) -> None:
        """Take the chain and the relays.

        Args:
            mainchain: what is believed.
            relays: in the order in which they are asked.
            grace: as `GRACE`.
            confirm: as `CONFIRM`.
            patience: as `PATIENCE`.
        """
        self._mainchain = mainchain
        self._relays = relays
        self._least, self._longest = grace, LONGEST
        self._grace = {_MINED: confirm, _PENDING: patience}

    def grant(self, grant: Grant, signature: bytes) -> Receipt:
        """Bring a signed grant on chain.

        Raises:
            PolicyRevokedError: the policy was revoked meanwhile.
            RelaysUnavailableError: no relay did; each is named.
            TransactionError: every relay says that the contract refuses it.
        """
        return self._bring("the grant", lambda relay: relay.grant(grant, signature), lambda: self._granted(grant))

    def revoke(self, policy_id: PolicyId, signature: bytes) -> Receipt:
        """Bring a signed revocation on chain, by all relays at once, whatever the chain is said to show before.

        Raises:
            RelaysUnavailableError: no relay did; each is named.
            TransactionError: every relay says that the contract refuses it.
        """
        return self._bring(
            "the revocation",
            lambda relay: relay.revoke(policy_id, signature),
            lambda: self._revoked(policy_id),
            at_once=True,
        )

    def convict(self, receipt: ProxyReceipt) -> Receipt:
        """Bring the evidence of a late service on chain.

        Raises:
            RelaysUnavailableError: no relay did; each is named.
            TransactionError: every relay says that the contract refuses it.
        """
        return self._bring("the evidence", lambda relay: relay.convict(receipt), lambda: self._convicted(receipt))

    # What the chain says

    def _granted(self, grant: Grant) -> Receipt | None:
        try:
            policy = self._mainchain.policies.policy_of(grant.owner)
        except PolicyUnknownError:
            return None
        if policy.status is PolicyStatus.REVOKED:
            raise PolicyRevokedError(f"policy {grant.owner} was revoked, and can't be granted any more")
        # The same owner granted something else: what was signed isn't on chain.
        if policy.terms != grant.terms:
            return None
        return self._policy_receipt(grant.owner, "PolicyGranted")

    def _revoked(self, policy_id: PolicyId) -> Receipt | None:
        try:
            if self._mainchain.policies.policy_of(policy_id).status is not PolicyStatus.REVOKED:
                return None
        except PolicyUnknownError:
            return None
        return self._policy_receipt(policy_id, "PolicyRevoked")

    def _policy_receipt(self, policy_id: PolicyId, kind: str) -> Receipt | None:
        event = next(self._mainchain.policies.events(policy_ids=[policy_id], kind=kind), None)
        return None if event is None else self._mined(event.tx_hash, event.block)

    def _convicted(self, receipt: ProxyReceipt) -> Receipt | None:
        event = self._mainchain.log.proof_of_late_service(receipt)
        return None if event is None else self._mined(event.tx_hash, event.block)

    def _mined(self, tx_hash: str, block: int) -> Receipt:
        """Return the transaction of an event; its gas is 0 where no node tells, since the event alone is proven."""
        try:
            found = receipt_of(self._mainchain.rpc, tx_hash)
        except PanaChainError:
            found = None
        # The gas is the whole transaction's: a relay may send several policies in one.
        return Receipt(tx_hash, block, 0 if found is None else found.gas_used)

    # Who is asked, and when

    def _bring(
        self,
        what: str,
        send: Callable[[AnyRelay], object],
        seen: Callable[[], Receipt | None],
        *,
        at_once: bool = False,
    ) -> Receipt:
        """Ask one relay after the other until the chain shows the transaction.

        Args:
            what: what messages call it.
            send: asks one relay.
            seen: looks at the chain.
            at_once: all relays are asked before the chain is, and each gets its time to take it: one node that says
                it is done keeps nothing back.
        """
        attempts: list[_Attempt] = []
        left = list(self._relays)
        began, pause = time.monotonic(), _POLL[0]
        news: queue.SimpleQueue[None] = queue.SimpleQueue()
        while True:
            if at_once and left:
                attempts, left = [_Attempt.begin(relay, send, news) for relay in left], []
            receipt = _look(seen, whatever=at_once)
            now = time.monotonic()
            all_over = all(attempt.is_over(now, self._grace) for attempt in attempts) or (
                at_once and now >= began + self._longest
            )
            # One that answered was asked; one that hangs is waited for no longer than this.
            told = not at_once or now >= began + self._least or all(attempt.has_answered for attempt in attempts)
            if receipt is not None and told:
                return receipt
            if receipt is None and all_over:
                if not left:
                    raise _shortfall(what, attempts)
                attempts.append(_Attempt.begin(left.pop(0), send, news))
                pause = _POLL[0]
            try:
                news.get(timeout=pause)
                pause = _POLL[0]
            except queue.Empty:
                pause = min(pause * 2, _POLL[1])


def open_relay(
    mainchain: Mainchain,
    urls: Sequence[str],
    *,
    own: Sender | None,
    timeout: float,
    ca: Path | None = None,
    wallet: Wallet | None = None,
) -> Relay:
    """Return what pays for patients' policy transactions: the relays in their order, then the own account.

    Args:
        mainchain: what is believed.
        urls: where relays answer.
        own: an account of this machine that pays too; None if there is none.
        timeout: seconds that a relay's answer may take.
        ca: as `RemoteRelay` takes it.
        wallet: as `RemoteRelay` takes it.

    Raises:
        ConfigurationError: there is neither a relay nor an own account.
    """
    relays: list[AnyRelay] = [RemoteRelay(url, timeout=timeout, ca=ca, wallet=wallet) for url in urls]
    if own is not None:
        local = LocalRelay(mainchain, own)
        if not relays:
            # The own account looks at the chain by itself.
            return local
        relays.append(local)
    if not relays:
        raise ConfigurationError(
            "the network file names no relay", hint="set relays or relayKeyFile in the network file"
        )
    return Relays(mainchain, relays)


@dataclass
class _Attempt:
    """One relay at work."""

    name: str
    ends: float
    """When no answer is waited for any more, of `time.monotonic`."""
    claim: str = ""
    """What the relay says became of it."""
    claimed: float = 0.0
    """When it said so."""
    error: PanaChainError | None = None

    @classmethod
    def begin(cls, relay: AnyRelay, send: Callable[[AnyRelay], object], news: queue.SimpleQueue[None]) -> _Attempt:
        attempt = cls(relay.name, time.monotonic() + relay.timeout)

        def run() -> None:
            try:
                answer = send(relay)
                attempt.claimed = time.monotonic()
                attempt.claim = answer if isinstance(answer, str) else _MINED
            except PanaChainError as exc:
                attempt.error = exc
            except Exception as exc:  # noqa: BLE001 - a relay's fault must not hide the others.
                attempt.error = UnavailableError(f"unforeseen {type(exc).__name__}")
            news.put(None)

        # A thread that the program's end doesn't wait for: a relay may hang for as long as it likes.
        threading.Thread(target=run, name="relay-attempt", daemon=True).start()
        return attempt

    @property
    def has_answered(self) -> bool:
        """Whether the relay said something, good or bad."""
        return self.error is not None or bool(self.claim)

    def is_over(self, now: float, grace: Mapping[str, float]) -> bool:
        """Tell whether nothing more is expected of this relay."""
        if self.error is not None:
            return True
        if self.claim:
            return now >= self.claimed + grace[self.claim]
        return now >= self.ends

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.name}: {self.error}"
        if self.claim:
            return f"{self.name} says {self.claim}, but the chain doesn't show it"
        return f"{self.name}: no answer in time"


def _look(seen: Callable[[], Receipt | None], *, whatever: bool) -> Receipt | None:
    try:
        return seen()
    except UnavailableError:
        # The next look may succeed, and the relays go on meanwhile; without the chain none is believed.
        return None
    except PanaChainError:
        # A node that lies keeps no revocation from the relays that still have to take it.
        if not whatever:
            raise
        return None


def _shortfall(what: str, attempts: Sequence[_Attempt]) -> PanaChainError:
    reasons = "; ".join(map(str, attempts))
    refusals = [attempt.error for attempt in attempts if isinstance(attempt.error, TransactionError)]
    if refusals and len(refusals) == len(attempts):
        return TransactionError(f"{what}: {reasons}", reason=refusals[0].reason)
    return RelaysUnavailableError(
        f"{what} isn't on chain after {len(attempts)} relays were asked: {reasons}",
        hint="panachain doctor shows which relays answer; the same command again asks all of them anew",
        taken=sum(bool(attempt.claim) for attempt in attempts),
    )


def _claim(status: int, content: bytes) -> str:
    """Return the state that a relay's answer claims.

    Raises:
        UnavailableError: it claims none.
        TransactionError: the relay says that the contract would refuse it.
    """
    try:
        answer = read_json(content)
        slug, detail = str(answer.get("type", "")).rpartition("/")[2], str(answer.get("detail", ""))[:200]
        state = answer.get("state")
    except (ValueError, AttributeError, IntegrityError):
        raise UnavailableError(f"status {status} and no answer that can be read") from None
    if status in (200, 202) and state in (_MINED, _PENDING):
        return str(state)
    if slug == "would-revert":
        raise TransactionError(f"refuses: {refusal_words(detail)}", reason=detail)
    raise UnavailableError(f"status {status} {slug[:40]} {detail}".rstrip())
