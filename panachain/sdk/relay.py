"""Relays: who pays for a patient's signed transactions, and can neither change, repeat nor usefully withhold them.

Never believed: whatever a relay answers, the chain is looked at, and the next relay is asked if it doesn't show the
policy transaction. A revocation goes to all relays at once, before anything is asked of the chain (security rule 19).
Follows design section 6 (patients are gasless) and docs/spec/relay.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from panachain.chain.evm import Receipt, Sender, receipt_of
from panachain.chain.mainchain import Mainchain
from panachain.errors import (
    ConfigurationError,
    PanaChainError,
    PolicyRevokedError,
    PolicyUnknownError,
)
from panachain.model.actors import PolicyId
from panachain.model.policy import PolicyStatus
from panachain.model.policy import Receipt as ProxyReceipt
from panachain.model.transactions import Grant
from panachain.proxy import messages
from panachain.sdk.bringing import CONFIRM, GRACE, PATIENCE, Desk, Patience, bring
from panachain.sdk.wallet import Wallet


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
        self._desk = Desk(url, timeout=timeout, ca=ca)
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
            fields["token"] = self._wallet.token(self._desk.url, grant.owner).hex()
        return self._desk.post("/v1/grant", fields)

    def revoke(self, policy_id: PolicyId, signature: bytes) -> str:
        """Hand in a signed revocation; return `mined` or `pending`, as the relay says."""
        return self._desk.post("/v1/revoke", {"policy_id": policy_id, "signature": signature.hex()})

    def convict(self, receipt: ProxyReceipt) -> str:
        """Hand in evidence; return `mined` or `pending`, as the relay says."""
        return self._desk.post("/v1/evidence", {"receipt": messages.receipt_fields(receipt)})


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
        self._patience = Patience(grace, confirm, patience)

    def grant(self, grant: Grant, signature: bytes) -> Receipt:
        """Bring a signed grant on chain.

        Raises:
            PolicyRevokedError: the policy was revoked meanwhile.
            RelaysUnavailableError: no relay did; each is named.
            TransactionError: every relay says that the contract refuses it.
        """
        return bring(
            "the grant",
            self._relays,
            lambda relay: relay.grant(grant, signature),
            lambda: self._granted(grant),
            patience=self._patience,
        )

    def revoke(self, policy_id: PolicyId, signature: bytes) -> Receipt:
        """Bring a signed revocation on chain, by all relays at once, whatever the chain is said to show before.

        Raises:
            RelaysUnavailableError: no relay did; each is named.
            TransactionError: every relay says that the contract refuses it.
        """
        return bring(
            "the revocation",
            self._relays,
            lambda relay: relay.revoke(policy_id, signature),
            lambda: self._revoked(policy_id),
            patience=self._patience,
            at_once=True,
        )

    def convict(self, receipt: ProxyReceipt) -> Receipt:
        """Bring the evidence of a late service on chain.

        Raises:
            RelaysUnavailableError: no relay did; each is named.
            TransactionError: every relay says that the contract refuses it.
        """
        return bring(
            "the evidence",
            self._relays,
            lambda relay: relay.convict(receipt),
            lambda: self._convicted(receipt),
            patience=self._patience,
        )

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
