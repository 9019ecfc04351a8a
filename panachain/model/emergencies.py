"""How long an emergency lasts, and which account stands for a patient's emergencies from a while after their beginning.

Never tells whether there is an emergency: the sidechain does. Follows docs/adr/0064 and docs/spec/emergency.md (section
"What waits").
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

from panachain.model.actors import Address

LASTS: Final = 4 * 3600
"""Seconds from the co-signature on: `EmergencyAccess.DURATION`."""
STEP: Final = 900
"""Seconds: delays are multiples of it, so that whoever looks for one tries a few."""
DELAYS: Final = range(STEP, LASTS, STEP)
"""Seconds after the co-signature from which something may open. What waits for longer than it lasts never opens."""
TOLERANCE: Final = 120
"""Seconds by which a co-signature may be older, by its block's time, than a proxy has known of it: what is older counts
from then on only. Longer than a proxy takes to look and an honest block to arrive, shorter than any delay."""


def waiting_account(patient: Address, delay: int) -> bytes:
    """Return the account to which a policy is granted that opens in a patient's emergencies after a delay, 20 bytes.

    Nobody has its key. A proxy that doesn't know of delays finds nobody who may read in its name, and refuses.

    Args:
        patient: whose emergencies.
        delay: seconds, one of `DELAYS`.
    """
    named = b"emergency after " + delay.to_bytes(4, "big") + bytes.fromhex(patient[2:])
    return hashlib.sha256(named).digest()[:20]


@lru_cache(maxsize=4096)
def delay_of(patient: Address, grantee: Address) -> int | None:
    """Return the delay after which a policy opens in a patient's emergencies, seconds, by whom it was granted to.

    Returns:
        0 for the patient: at once. None for everybody else: it is no policy for this patient's emergencies.
    """
    if grantee.lower() == patient.lower():
        return 0
    account = bytes.fromhex(grantee[2:])
    return next((delay for delay in DELAYS if waiting_account(patient, delay) == account), None)
