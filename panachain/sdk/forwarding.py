"""A person's calls on the sidechain: signed here, made by a forwarder, paid for by a relay, and seen on the chain.

Whoever signs holds no ether and needs none. A relay can neither change nor repeat a call, nor bring it after a later
one: a withheld call is dead at its deadline, or when the next one has its nonce. No relay is believed.
Follows ERC-2771, ADR 22 and docs/spec/relay.md, section "The sidechain".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from panachain.chain import node
from panachain.chain.abi import revert_reason
from panachain.chain.evm import Receipt, Sender, receipt_of
from panachain.chain.lane import Lane
from panachain.chain.refusals import refusal_words
from panachain.chain.rpc import RpcAnswerError
from panachain.chain.sidechain import Sidechain
from panachain.chain.signing import Account
from panachain.errors import ConfigurationError, TransactionError
from panachain.model.actors import Address
from panachain.model.transactions import Call
from panachain.sdk.bringing import Desk, Patience, bring

LIFE: Final = 600
"""Seconds for which a signature counts."""
_MARGIN: Final = (12, 10)
"""A fifth more gas than estimated: the state may change before the call is made."""
_ATTEMPTS: Final = 3
"""How often a call is signed whose nonce another one of this person had."""


class LocalPayer:
    """An account of this machine that pays."""

    name = "this machine's own account"
    timeout = 130.0
    """Seconds: it waits for the chain itself, and replaces what sticks."""

    def __init__(self, sidechain: Sidechain, sender: Sender) -> None:
        """Take the chain and the account that pays."""
        self._sidechain = sidechain
        self._sender = sender

    def make(self, call: Call, signature: bytes) -> object:
        """Make a signed call."""
        return self._sidechain.forwarder.execute(self._sender, call, signature, what="the relayed call")


class RemotePayer:
    """A relay that somebody runs for the sidechain. Its answers are claims."""

    def __init__(self, sidechain: Sidechain, url: str, *, timeout: float, ca: Path | None = None) -> None:
        """Take the chain and the relay's URL; the other arguments are those of `Desk`."""
        self._sidechain = sidechain
        self.name = url
        self.timeout = timeout
        self._desk = Desk(url, timeout=timeout, ca=ca)

    def make(self, call: Call, signature: bytes) -> str:
        """Hand in a signed call; return `mined` or `pending`, as the relay says."""
        fields = {
            "signer": call.signer,
            "to": call.to,
            "data": call.data.hex(),
            "gas": call.gas,
            "nonce": call.nonce,
            "deadline": call.deadline,
            "signature": signature.hex(),
        }
        urgent = self._sidechain.takes_back(call.to, call.data)
        return self._desk.post("/v1/take-back" if urgent else "/v1/call", fields)


Payer = LocalPayer | RemotePayer


class ForwardedSender:
    """Brings one person's calls on the sidechain, one after the other, from any number of threads and processes."""

    def __init__(
        self,
        sidechain: Sidechain,
        account: Account,
        payers: Sequence[Payer],
        *,
        lock_folder: Path,
        clock: Callable[[], float],
        patience: Patience | None = None,
    ) -> None:
        """Take the chain, who signs, and who pays.

        Args:
            sidechain: what is believed.
            account: the person's.
            payers: in the order in which they are asked.
            lock_folder: where the processes of this machine agree on whose turn it is.
            clock: Unix seconds.
            patience: for how long a payer and the chain are waited for.

        Raises:
            ConfigurationError: nobody pays.
        """
        if not payers:
            raise ConfigurationError("nobody pays for calls on the sidechain")
        self.address = account.address
        self._sidechain = sidechain
        self._account = account
        self._payers = payers
        # Of its own: the nonces are the forwarder's, not the account's.
        self._lane = Lane(lock_folder, sidechain.chain_id, f"forwarded {account.address}")
        self._clock = clock
        self._patience = patience or Patience()

    def send(self, to: str, data: str, *, what: str) -> Receipt:
        """Have one call made, and wait until the chain shows it.

        Args:
            to: the contract.
            data: calldata as hex.
            what: what messages call it.

        Returns:
            The transaction that carried it, with the events of this call only.

        Raises:
            TransactionError: the contract reverts (decoded).
            RelaysUnavailableError: nobody made it in time; each relay is named.
            ChainUnavailableError: the node doesn't answer.
        """
        with self._lane.turn():
            gas = self._estimate(to, data, what)
            call = Call(Address(self.address), Address(to), bytes.fromhex(data[2:]), gas, 0, self._deadline())
            for attempt in range(1, _ATTEMPTS + 1):
                call = replace(call, nonce=self._sidechain.forwarder.next_nonce(call.signer))
                try:
                    return self._bring(call, what)
                except TransactionError:
                    # Another device of this person had the nonce: that signature is dead, whoever holds it.
                    if attempt == _ATTEMPTS or self._sidechain.forwarder.next_nonce(call.signer) <= call.nonce:
                        raise
            raise AssertionError("every attempt returns or raises")

    def _bring(self, call: Call, what: str) -> Receipt:
        signature = self._sidechain.forwarder.sign(self._account, call)
        return bring(
            what,
            self._payers,
            lambda payer: payer.make(call, signature),
            lambda: self._seen(call),
            patience=self._patience,
        )

    def _seen(self, call: Call) -> Receipt | None:
        event = self._sidechain.forwarder.forwarded(call)
        if event is None:
            return None
        receipt = receipt_of(self._sidechain.rpc, event.tx_hash)
        return None if receipt is None else replace(receipt, logs=self._sidechain.forwarder.logs_of(call, receipt))

    def _estimate(self, to: str, data: str, what: str) -> int:
        """Return the gas that a call gets; the estimate runs it in this person's name, so a revert shows here."""
        try:
            gas = node.estimate_gas(self._sidechain.rpc, sender=self.address, to=to, data=data)
        except RpcAnswerError as exc:
            reason = revert_reason(exc.data) if exc.data else ""
            raise TransactionError(f"{what}: the chain refuses: {refusal_words(reason) or exc}", reason=reason) from exc
        return gas * _MARGIN[0] // _MARGIN[1]

    def _deadline(self) -> int:
        # Of the later one: the contract compares with its block's time, and this machine's clock may be behind it.
        return max(int(self._clock()), self._sidechain.head_block().time) + LIFE
