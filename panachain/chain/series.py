"""A series of transactions with nonces in a row: sent together, awaited once, and never paid for twice.

Each is signed and in the caller's journal before it is sent. A series that was broken off anywhere goes on from there:
what the journal holds is sent as it stands, what it lacks is signed with the nonce that is its own. Never takes a
nonce that the caller didn't foresee. Follows the Ethereum JSON-RPC specification and EIP-1559.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, Protocol

from panachain.chain import node
from panachain.chain.evm import Call, Pending, Receipt, Sender, receipt_of, refused
from panachain.chain.plan import Step
from panachain.chain.rpc import RpcAnswerError
from panachain.chain.signing import decode_transaction
from panachain.errors import TransactionError

_LATE: Final = 30.0
"""Seconds in which a node that has counted a transaction also gives its receipt."""


class Sent(Protocol):
    """What was sent under each nonce."""

    def sent(self, nonce: int) -> list[tuple[str, str]]:
        """Return hash and raw of each transaction that was signed for a nonce, oldest first."""
        ...

    def signed(self, nonce: int, tx_hash: str, raw: str) -> None:
        """Write one down, so that it is on disk when this returns."""
        ...


class SeriesSender(Sender):
    """Sends an account's transactions that don't depend on each other in one go."""

    def send_all(self, steps: Sequence[Step], *, first: int, journal: Sent) -> list[Receipt]:
        """Send what isn't sent yet, and wait until all of them are mined.

        Args:
            steps: what is sent, in the order of the nonces.
            first: the nonce of the first one.
            journal: what was sent before; it gets what is sent now.

        Raises:
            TransactionError: one would revert or did, isn't mined in time, or a nonce was used for something else.
            ChainUnavailableError: the node doesn't answer.
        """
        numbered = list(enumerate(steps, start=first))
        with self._lane.turn() as remembered:
            mined = node.transaction_count(self._rpc, self.address)
            for nonce, step in numbered:
                if before := journal.sent(nonce):
                    # A pool may have forgotten it, or never had it.
                    if nonce >= mined:
                        self._push(before[-1][1])
                elif nonce < mined:
                    raise self._taken(nonce, step)
                else:
                    pending = self._signed(_call(step), self.estimate(step), nonce, self._offer())
                    try:
                        self._leave(pending, remembered, partial(journal.signed, nonce))
                    except RpcAnswerError as exc:
                        raise refused(step.what, exc, sender=self.address) from exc
        return [self._arrive(nonce, step, journal) for nonce, step in numbered]

    def estimate(self, step: Step) -> int:
        """Return the gas that a step would take now.

        Raises:
            TransactionError: it would revert.
        """
        try:
            return self._estimate(_call(step), None)[0]
        except RpcAnswerError as exc:
            raise refused(step.what, exc, sender=self.address) from exc

    def price(self) -> int:
        """Return the wei that a unit of gas may cost at most."""
        return self._offer().most

    def _arrive(self, nonce: int, step: Step, journal: Sent) -> Receipt:
        sent = journal.sent(nonce)
        pending = Pending(decode_transaction(sent[-1][1]), step.what, list(sent))
        deadline = self._clock() + _LATE
        while node.transaction_count(self._rpc, self.address) > nonce:
            for tx_hash, _ in reversed(sent):
                if (receipt := receipt_of(self._rpc, tx_hash)) is not None:
                    pending.receipt = receipt
                    return self._checked(pending)
            if self._clock() >= deadline:
                raise self._taken(nonce, step)
            self._sleep(0.2)
        return self._wait(pending, partial(journal.signed, nonce))

    def _taken(self, nonce: int, step: Step) -> TransactionError:
        return TransactionError(
            f"{step.what}: nonce {nonce} of {self.address} was used for another transaction",
            hint="an account that deploys does nothing else meanwhile: begin anew, best with a new account",
        )


def _call(step: Step) -> Call:
    return Call(step.to, step.data, step.what)
