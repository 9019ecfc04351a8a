"""Auditing: what a patient does with the read log beside reading it.

Believes no proxy. Follows docs/spec/log.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from panachain.model.progress import Progress
from panachain.sdk.results.listings import Listing
from panachain.sdk.results.log import LogProof
from panachain.sdk.results.policies import AnyPolicy, id_of

if TYPE_CHECKING:
    from panachain.sdk.read_log import ReadLog


class Auditing:
    """What a patient has proven of their log.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     proofs = patient.auditing.verify()
        >>> all(proof.proven for proof in proofs)
        True
    """

    def __init__(self, log: ReadLog) -> None:
        """Take the patient's read log."""
        self._log = log

    def verify(self, policy: AnyPolicy | None = None, *, progress: Progress | None = None) -> Listing[LogProof]:
        """Return what each proxy proved: that the receipts that it showed are all that its log has of a policy.

        Each proof is checked against the receipts, the log that the proxy proved before, the checkpoints that other
        proxies cosigned, and its newest anchor on the mainchain. A proof that fails is in the list with its reason.

        Args:
            policy: only this one's; None means all.
            progress: is told how many policies' proxies were asked.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
        """
        return self._log.verify(None if policy is None else id_of(policy), progress)
