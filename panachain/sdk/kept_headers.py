"""Which records a reader saw in which lanes: so that one that vanishes without a word of its hospital's is noticed.

A hospital may merge its manifests (ADR 37), and a row that it leaves out then would be as if it had never been. Whoever
saw the record knows better. Kept sealed, and never needed: what is lost of it is seen anew (`sdk/kept.py`).
Follows security rule 22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Final

from panachain.crypto import kdf, labels
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError
from panachain.ipld.cid import CID
from panachain.model.actors import Address
from panachain.plain import were
from panachain.records.findings import Findings
from panachain.records.life import Life
from panachain.records.locate import Named
from panachain.sdk.kept import Kept

_VERSION: Final = 1
_Lanes = dict[str, dict[str, str]]
"""For each lane the headers that were seen in it, and the content of each, as CIDs."""


class KeptHeaders:
    """The headers that one reader saw."""

    def __init__(self, profile: Path, seed: Seed) -> None:
        """Take the reader's profile folder and seed."""
        self._profile = profile
        self._seed = seed

    def compare(
        self,
        patient: Address,
        hospital: Address,
        named: Named,
        *,
        life: Life,
        findings: Findings,
    ) -> None:
        """Tell which records are gone that were there, and keep which ones are there now.

        Args:
            patient: whose records.
            hospital: whose manifests were searched.
            named: what they have in each lane.
            life: knows what was withdrawn, by statements that were opened.
            findings: is told of each lane that lacks some.
        """
        if not named.complete:
            # It was told which storage transactions couldn't be read: what is missing may be in those.
            return
        kept = Kept(self._profile, self._seed, self._name(patient, hospital))
        # Spelled once: they are what a file of an earlier opening has, too.
        seen = [{str(cid) for cid in rows.named} for rows in named.lanes]
        before = _read(kept.read(), set().union(*seen))
        now = dict(before)
        replaced = {str(cid) for cid in named.replaced}
        for rows, there in zip(named.lanes, seen, strict=True):
            name = f"{rows.lane.scope.text}/{rows.lane.generation}"
            held = {one.info.header_cid: one.info.content_cid for one in rows.opened}
            gone: list[str] = []
            for header, content in before.get(name, {}).items():
                if header in there:
                    held.setdefault(header, content)
                elif header not in replaced and life.withdrawal(hospital, content) is None:
                    # Kept, so that it is told each time.
                    held[header] = content
                    gone.append(header)
            if held:
                now[name] = held
            if gone:
                findings.notice(hospital, f"category {rows.lane.scope.text}", _vanished(gone))
        if now != before:
            kept.write({"v": _VERSION, "lanes": now})

    def _name(self, patient: Address, hospital: Address) -> str:
        # Not by their addresses: a folder's list of files mustn't tell whose records somebody reads.
        whose = f"headers/{patient}/{hospital}".encode()
        return f"headers-{kdf.derive(self._seed.store_key(), labels.KEPT, whose)[:16].hex()}"


def _vanished(gone: Sequence[str]) -> IntegrityError:
    return IntegrityError(
        f"{were(len(gone), 'record')} here, such as {sorted(gone)[0]}, and in no manifest any more, and nothing says"
        " that they were withdrawn or re-wrapped",
        hint="ask the hospital what became of them",
    )


def _read(content: Any, known: Set[str]) -> _Lanes:
    """Return what was kept; nothing if it is of another form.

    Args:
        content: what was kept.
        known: CIDs that needn't be looked at again.
    """
    try:
        lanes: Mapping[str, Mapping[str, str]] = content["lanes"] if content["v"] == _VERSION else {}
        return {
            str(name): {one if one in known else str(CID.parse(one)): str(of) for one, of in held.items()}
            for name, held in lanes.items()
        }
    except (TypeError, KeyError, AttributeError, IntegrityError):
        return {}
