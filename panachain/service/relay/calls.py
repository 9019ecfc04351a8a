"""A relay of the sidechain: pays for calls that registered persons signed, so many a day and person.

Whoever acts on the sidechain is known there by a genuine identity, so a relay of it may know its clients and needs no
tokens. It serves no policies: a relay of both could put persons and policies together by addresses and times.
Follows docs/spec/relay.md, section "The sidechain", ERC-2771 and ADR 22.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from panachain.chain import node
from panachain.chain.abi import contract, revert_reason
from panachain.chain.codec import decode
from panachain.chain.evm import Sender
from panachain.chain.rpc import RpcAnswerError
from panachain.chain.sidechain import Sidechain
from panachain.ethereum import parse_address
from panachain.model.actors import Address
from panachain.model.guardianship import GuardianProof
from panachain.model.transactions import Call
from panachain.service.problems import Kind, ProblemError
from panachain.service.relay.service import MAX_BATCH, WOULD_REVERT, Budget, Matter, Order, Relaying
from panachain.service.relay.store import RelayStore

NOT_REGISTERED: Final = Kind("not-registered", 403, "The sidechain's registry doesn't know who signed")
NOT_SIGNED: Final = Kind("not-signed", 403, "The signature isn't of this call, or not of whoever it names")
FOREIGN: Final = Kind("foreign-contract", 403, "The call isn't for a contract of this sidechain")
QUOTA: Final = Kind(
    "quota-exhausted", 429, "This account had its calls of today; those that take back are counted apart"
)
CALLS_PER_DAY: Final = 200
"""Calls of one account in a day, if the configuration doesn't say; as many again that take something back."""
GUARDIAN_CALLS_PER_DAY: Final = 10
"""Calls in a day of a guardian whom no registry of the sidechain knows: one approval and one freeze a patient count."""
MAX_CALL_GAS: Final = 6_000_000
"""Gas that one call may ask for: a group's renewal for some two hundred members."""
_CONTRACTS: Final = ("IdentityRegistry", "AccessRequests", "CareGroups", "EmergencyAccess", "Wardships")
"""What persons call."""
_FAILED: Final = "FailedCall()"
"""What the forwarder says of a call that reverts."""
_GUARDIAN: Final = "guardian "
"""Before the account of a guardian who isn't registered, where their calls are counted."""
_AS_GUARDIAN: Final = {"approveRecovery": 1, "freezeFor": 0}
"""What guardians call, and how many words stand between the patient and the proof in its arguments."""


class CallRelayService(Relaying):
    """One relay of the sidechain: its duties."""

    # What takes something back never waits until another call is mined.
    WORKERS = (("relay-take-back", (Matter.TAKE_BACK,)), ("relay", (Matter.CALL,)))

    def __init__(
        self,
        sidechain: Sidechain,
        sender: Sender,
        store: RelayStore,
        budget: Budget,
        *,
        max_batch: int = MAX_BATCH,
        calls_per_day: int = CALLS_PER_DAY,
    ) -> None:
        """Take the chain, the account that pays, and what it may spend.

        Args:
            sidechain: where calls go.
            sender: the relay's account.
            store: its database.
            budget: what it may spend.
            max_batch: calls in one transaction.
            calls_per_day: of one account; as many again that take something back.
        """
        super().__init__(sidechain, sender, store, budget, max_batch=max_batch)
        self._sidechain = sidechain
        self._calls_per_day = calls_per_day

    def call(self, call: Call, signature: bytes) -> Order:
        """Return the order for a signed call."""
        matter = Matter.TAKE_BACK if self._sidechain.takes_back(call.to, call.data) else Matter.CALL
        forwarder = self._sidechain.forwarder
        data = forwarder.execute_calldata(call, signature)
        return Order(matter, forwarder.address, data, (call, signature), call.signer)

    def describe(self) -> dict[str, Any]:
        """Return which network this relay serves, and what it has left."""
        for_all, for_taking_back = self.left()
        return {
            "schema": "panachain/call-relay/1",
            "account": self.address,
            "chain_id": self._sidechain.chain_id,
            "forwarder": self._sidechain.forwarder.address,
            "gas_left": for_all,
            "gas_left_for_taking_back": for_taking_back,
            "calls_per_day": self._calls_per_day,
        }

    def _admit(self, order: Order, token: bytes) -> tuple[bool, bytes | None]:
        call, signature = order.signed
        # The signature first: it costs no call of the chain's node.
        if not self._sidechain.forwarder.is_signed(call, signature):
            raise ProblemError(NOT_SIGNED, NOT_SIGNED.title)
        theirs = {self._sidechain.addresses[name].lower() for name in _CONTRACTS if name in self._sidechain.addresses}
        if call.to.lower() not in theirs or call.gas > MAX_CALL_GAS:
            raise ProblemError(
                FOREIGN, f"calls of the sidechain's contracts with at most {MAX_CALL_GAS} gas are paid for"
            )
        # In lower case: an account that stands in calldata has no checksum.
        return order.matter is Matter.TAKE_BACK, self._counted_on(call).lower().encode()

    def _charge(self, order: Order, charged: bytes | None) -> None:
        if not charged:
            return
        account = charged.decode()
        most = self._calls_per_day
        if account.startswith(_GUARDIAN):
            most = min(most, GUARDIAN_CALLS_PER_DAY)
        if not self._store.count(account, order.matter.value, most):
            raise ProblemError(QUOTA, f"{most} calls of one account are paid for in a day (UTC)")

    def _batch(self, matter: Matter, signed: Sequence[Any]) -> str:
        return self._sidechain.forwarder.execute_batch_calldata(signed)

    def _counted_on(self, call: Call) -> str:
        """Return on what a call is counted: the signer's account, or what the signer has as somebody's guardian.

        A guardian needs no identity on the sidechain. What they spend is theirs and never the patient's, who has to be
        able to veto, and to go on, whatever guardians do.

        Suspended persons count, too: they leave, unpair and veto still, and the contracts refuse the rest.

        Raises:
            ProblemError: nobody knows the signer.
        """
        identities = self._sidechain.identities
        if identities.identity_of(call.signer) is not None:
            return call.signer
        found = _guardian_of(call) if call.to.lower() == identities.address.lower() else None
        if found is not None and self._sidechain.guardianships.is_guardian(found[0], call.signer, found[1]):
            return _GUARDIAN + call.signer
        raise ProblemError(NOT_REGISTERED, f"no patient or practitioner {call.signer} is registered")

    def _simulate(self, order: Order) -> int:
        try:
            return super()._simulate(order)
        except ProblemError as exc:
            call = order.signed[0]
            if exc.kind is not WOULD_REVERT or str(exc) != _FAILED:
                raise
            # The forwarder keeps the contract's reason to itself; asked in the signer's name, the contract says it.
            try:
                node.estimate_gas(self._chain.rpc, sender=call.signer, to=call.to, data="0x" + call.data.hex())
            except RpcAnswerError as inner:
                raise ProblemError(WOULD_REVERT, revert_reason(inner.data)) from inner
            raise


def _guardian_of(call: Call) -> tuple[Address, GuardianProof] | None:
    """Return for whom a call speaks as a guardian, and its proof; None for any other call, and for what is none."""
    registry = contract("IdentityRegistry")
    for function, between in _AS_GUARDIAN.items():
        if call.data[:4] == registry.selector(function):
            types = ["address", *["address"] * between, "bytes32[]", "uint256", "bytes32"]
            try:
                patient, *_, commitments, place, salt = decode(types, call.data[4:])
            except ValueError:
                return None
            return parse_address(patient), GuardianProof(commitments, place, salt)
    return None
