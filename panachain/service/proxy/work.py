"""Work for an admitted request, in pieces: one sender's thousand capsules stand between no other sender's two.

Nothing here is asked of a chain or a database: service.py admits the request before, and answers it afterwards.
Follows docs/spec/proxy.md, section "Limits", and security rules 8 and 24.
"""

from __future__ import annotations

from typing import Final

from panachain.crypto import hpke, umbral
from panachain.model.policy import OnChainPolicy, Receipt
from panachain.model.proxy_requests import DepositedLane, DepositRequest, ReencryptRequest
from panachain.service.proxy.store import HeldPolicy

PIECE: Final = 8
"""Capsules or kfrags of one step: some milliseconds, many times what changing hands costs."""


class Reencryption:
    """The capsules of one request, on their way to be cfrags."""

    def __init__(
        self,
        request: ReencryptRequest,
        held: HeldPolicy,
        on_chain: OnChainPolicy,
        lane: DepositedLane,
        *,
        begun: float = 0.0,
    ) -> None:
        """Take an admitted request.

        Args:
            request: what is asked.
            held: what the proxy knows of the policy.
            on_chain: the policy as it was when the rules were checked.
            lane: the kfrag of the lane that is asked for.
            begun: when that was, Unix seconds by the proxy's clock.

        Raises:
            IntegrityError: a capsule is none at a look.
        """
        # Those that are none at a look cost no multiplication of the curve.
        for capsule in request.capsules:
            umbral.check_capsule_form(capsule)
        self.request = request
        self.held = held
        self.on_chain = on_chain
        self.begun = begun
        self.cfrags: list[bytes] = []
        self.steps = 0
        self._lane = lane
        self._checked: umbral.VerifiedKfrag | None = None

    @property
    def done(self) -> bool:
        """Whether every capsule has its cfrag."""
        return len(self.cfrags) == len(self.request.capsules)

    def step(self) -> None:
        """Re-encrypt the next capsules; the wrapper verifies each cfrag before it gives it out.

        Raises:
            IntegrityError: one of them is none, or the kfrag doesn't fit any more; nothing after it is worked on.
        """
        keys = {
            "verifying": self.held.verifying_key,
            "delegating": self._lane.delegating_key,
            "receiving": self.held.receiving_key,
        }
        if self._checked is None:
            # Checked when it came, and sealed by this proxy since.
            self._checked = umbral.kept_kfrag(self._lane.kfrag, **keys)
        self.steps += 1
        start = len(self.cfrags)
        capsules = self.request.capsules[start : start + PIECE]
        self.cfrags += umbral.reencrypt_many(capsules, self._checked, **keys)


class Deposit:
    """The kfrags of one deposit, on their way to be kept."""

    def __init__(self, request: DepositRequest, on_chain: OnChainPolicy, *, known: Receipt | None) -> None:
        """Take an admitted deposit.

        Args:
            request: what is deposited.
            on_chain: the policy as the chain says.
            known: the receipt of an earlier deposit, of which this one changes nothing.

        Raises:
            IntegrityError: a kfrag is none at a look, or the audit key is no key.
        """
        self.request = request
        self.on_chain = on_chain
        self.known = known
        self.steps = 0
        self._checked = len(request.lanes) if known is not None else 0
        if known is None:
            # Every receipt is sealed to it: one that is no key would end each opening in an error.
            hpke.check_public(request.audit_key)
            # Those that are none at a look cost no multiplication of the curve.
            for lane in request.lanes:
                umbral.check_kfrag_form(lane.kfrag)

    @property
    def done(self) -> bool:
        """Whether every kfrag was checked."""
        return self._checked == len(self.request.lanes)

    def step(self) -> None:
        """Check that the next kfrags fit their lanes and the grantee.

        Raises:
            IntegrityError: one doesn't; nothing after it is looked at.
        """
        self.steps += 1
        for lane in self.request.lanes[self._checked : self._checked + PIECE]:
            umbral.check_kfrag(
                lane.kfrag,
                verifying=self.request.verifying_key,
                delegating=lane.delegating_key,
                receiving=self.request.receiving_key,
            )
            self._checked += 1
