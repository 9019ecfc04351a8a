"""How the portal's connections are bounded: an upload may take long as long as it goes on.

Follows docs/spec/portal.md, section "Limits", and security rule 24.
"""

from __future__ import annotations

from panachain.service.connections import BoundedProtocol, ConnectionLimits, Stage


def limits() -> ConnectionLimits:
    """Return what browsers may do to one portal; a page's files come over a few connections of each."""
    return ConnectionLimits(most=512, most_per_source=128)


class PortalProtocol(BoundedProtocol):
    """HTTP/1.1 whose every part has its time; that of a body begins anew with each piece, until it was answered."""

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        super().data_received(data)
        # A body that nobody waits for any more has no more time: whoever has no session is answered at once.
        if self.stage is Stage.BODY and self.cycle is not None and not self.cycle.response_complete:
            self._stop()
            self._begin(Stage.BODY)
