"""A patient's read log for others: FHIR AuditEvents, rows for a spreadsheet, and proofs that anybody checks.

Asks nobody: what was read and proven is given. A proof holds a receipt as its proxy signed it, whose detail is sealed
to the patient; whoever checks it learns when a policy was used, and not by whom. Follows docs/spec/log.md, section
"Exports", IHE BALP 1.1 and C2SP tlog-proof 1.0.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from panachain.consent.fhir_audit import Access, to_bundle
from panachain.consent.log_checkpoint import key_of, origin_of, proof_text
from panachain.crypto import notes
from panachain.model.actors import Address
from panachain.plain import cell, line
from panachain.proxy import messages
from panachain.sdk.readings import Reading
from panachain.sdk.results.log import LogEntry, LogProof
from panachain.sdk.times import iso

_COLUMNS: Final = (
    *("when", "until", "who", "name", "granted_to", "permitted", "purpose", "what", "parts", "policy_id"),
    *("proxies", "late", "role", "organisation", "organisation_name", "needed", "unconfirmed", "dissents", "silent"),
    "records",
)


@dataclass(frozen=True)
class ProofFile:
    """One file of a proof, by its name."""

    name: str
    content: bytes


def audit_events(readings: Iterable[Reading], patient: Address) -> dict[str, Any]:
    """Return readings as a Bundle of FHIR R4 AuditEvents (IHE BALP)."""
    return to_bundle(
        [
            Access(
                patient=patient,
                requester=Address(one.requester),
                grantee=Address(one.granted_to),
                policy_id=one.policy_id,
                scopes=one.what,
                purpose=one.purpose,
                at=one.at,
                ended_at=one.ended_at,
                permitted=one.permitted,
                proxies=one.proxies,
                role=one.role,
                organisation=one.organisation,
                records=one.records,
                note=disagreement(one),
                dissents=[(dissent.proxy, f"{dissent.says} {dissent.value}".rstrip()) for dissent in one.dissents],
            )
            for one in readings
        ]
    )


def disagreement(reading: Reading) -> str:
    """Return in words what the proxies don't agree on; empty where they do."""
    parts = []
    if reading.unconfirmed:
        parts.append(f"of {many(reading.unconfirmed, 'envelope')} fewer than {reading.needed} proxies signed")
    if reading.dissents:
        parts.append(f"{many(len({one.proxy for one in reading.dissents}), 'proxy', 'proxies')} signed otherwise")
    return "; ".join(parts)


def many(number: int, noun: str, several: str = "") -> str:
    """Return a number with its noun, in the plural where that is due; `several` is a plural that isn't made by an s."""
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"


def rows(readings: Iterable[Reading]) -> str:
    """Return readings as CSV (RFC 4180), a line for each opening, with a line of titles."""
    lines = [_COLUMNS, *map(_row, readings)]
    return "".join(",".join(cell(line(str(value))) for value in values) + "\r\n" for values in lines)


def _row(one: Reading) -> tuple[object, ...]:
    return (
        *(iso(one.at), iso(one.ended_at), one.requester, one.who, one.granted_to),
        *("yes" if one.permitted else "no", one.purpose, " ".join(one.what), one.envelopes, one.policy_id),
        *(" ".join(one.proxies), " ".join(one.late), one.role, one.organisation, one.organisation_name),
        *(one.needed, one.unconfirmed, "; ".join(map(str, one.dissents)), " ".join(one.silent)),
        " ".join(one.records),
    )


def proof_files(entries: Sequence[LogEntry], proofs: Sequence[LogProof], *, domain: bytes) -> Iterator[ProofFile]:
    """Yield, for each receipt that was proven, the receipt and its proof, and once per proxy the key that checks them.

    `NAME.tlog-proof` proves that the bytes of `NAME.receipt` are an entry of the log whose key is in `PROXY.vkey`.

    Args:
        entries: the log's lines.
        proofs: what the proxies proved of the same policies.
        domain: of the access log (`network.mainchain.log.domain`).
    """
    proven = {(proof.policy_id, proof.proxy): proof for proof in proofs if proof.proven}
    keyed = set[str]()
    for entry in entries:
        proof = proven.get((entry.policy_id, entry.proxy))
        if proof is None or entry.receipt is None or entry.receipt.sequence not in proof.entries:
            continue
        receipt, note = entry.receipt, notes.parse_note(proof.checkpoint.encode())
        name = f"{entry.proxy.lower()}-{receipt.sequence:08d}"
        text = proof_text(note, index=receipt.sequence - 1, path=proof.entries[receipt.sequence])
        if entry.proxy not in keyed:
            keyed.add(entry.proxy)
            origin = origin_of(domain, entry.proxy)
            public = key_of(note, name=origin, account=entry.proxy, domain=domain)
            key = notes.verifier_key(origin, notes.ED25519, public)
            yield ProofFile(f"{entry.proxy.lower()}.vkey", f"{key}\n".encode())
        yield ProofFile(f"{name}.receipt", messages.canonical(messages.receipt_fields(receipt)))
        yield ProofFile(f"{name}.tlog-proof", text.encode())
