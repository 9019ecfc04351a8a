"""How far a revocation has come, in words: its four steps, what each does and what none of them can.

Pure. Promises nothing that consent/explain.py and SECURITY.md don't. Follows design section 8 (Revoke, R1 to R4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from panachain.cli import words

TITLES: Final = ("step", "state", "what it does", "what it can't do")

_STAGES: Final = {
    "revoked on chain": "no proxy deleted yet",
    "revoked elsewhere": "revoked elsewhere; `panachain settle` asks the proxies",
    "final": "proxies deleted",
    "lane rotated": "new keys",
    "headers re-wrapped": "new keys, old records moved",
    "withdrawn before it was sent": "withdrawn before anybody saw it",
    "sent, not proven yet": "revocation sent, not proven yet",
}
_DELETED: Final = re.compile(r"([0-9]{1,5}) of ([0-9]{1,5}) proxies deleted")


def stage(text: str) -> str:
    """Return how far a revocation has come as people read it; other text as it is."""
    if found := _DELETED.fullmatch(text):
        return f"{found[1]} of {found[2]} proxies deleted"
    return _STAGES.get(text, words.line(text))


def steps(report: Mapping[str, object]) -> list[tuple[str, str, str, str]]:
    """Return the steps R1 to R4 as rows under `TITLES`.

    Args:
        report: of schema `panachain/revocation/1`.
    """
    shares, needed, deleted = (int(str(report.get(name, 0))) for name in ("shares", "needed", "deleted"))
    final, rotated, rewrapped = (bool(report.get(name)) for name in ("final", "rotated", "rewrapped"))
    threshold = shares - needed + 1
    proven = bool(report.get("proven", True))
    waits = "waits for the hospitals, who `rewrap`" if rotated else "not asked for"
    return [
        (
            "1 on chain",
            "done" if proven else "sent, not proven yet",
            "Honest proxies refuse from the next block on.",
            f"Stop {threshold} proxies that break their word together.",
        ),
        (
            "2 proxies delete",
            _deleted(deleted, shares, needed, final=final),
            "Those who deleted have nothing left to help with.",
            "Prove that none of them kept a copy.",
        ),
        (
            "3 new keys",
            "done" if rotated else "not asked for: --rotate",
            "What is published from now on is out of reach, whatever proxies do.",
            "Reach back: older records stay under the old keys.",
        ),
        (
            "4 records move",
            "done" if rewrapped else waits,
            "Older records move to the new keys, too.",
            "Take back what was opened, or what somebody copied before.",
        ),
    ]


def _deleted(deleted: int, shares: int, needed: int, *, final: bool) -> str:
    if not shares:
        return f"{deleted} signed; how many are needed, nobody can tell now"
    return f"{deleted} of {shares} signed" + (": final" if final else f", {needed} are needed")
