"""What categories, purposes, states and roles are called on pages, as messages that are translated when they are shown.

A word without an entry is shown as it is. Follows design section 4 and HL7 v3 PurposeOfUse.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from panachain.plain import line
from panachain.portal.i18n import N_, gettext

CATEGORIES: Final[Mapping[str, str]] = {
    "demographics": N_("personal details"),
    "encounters": N_("visits"),
    "conditions": N_("conditions"),
    "allergies": N_("allergies"),
    "medications": N_("medications"),
    "immunizations": N_("immunizations"),
    "laboratory": N_("laboratory"),
    "vitals": N_("vital signs"),
    "imaging": N_("imaging"),
    "procedures": N_("procedures"),
    "family-history": N_("family history"),
    "care-plans": N_("care plans"),
    "documents": N_("documents"),
    "insurance": N_("insurance"),
    "genomics": N_("genomics"),
    "mental-health": N_("mental health"),
    "substance-use": N_("substance use"),
    "sexual-health": N_("sexual health"),
    "gender": N_("gender"),
    "violence": N_("violence"),
    "private": N_("private"),
    "all": N_("everything but what is restricted"),
    "emergency": N_("the emergency summary"),
}
PURPOSES: Final[Mapping[str, str]] = {
    "TREAT": N_("treatment"),
    "ETREAT": N_("emergency treatment"),
    "HPAYMT": N_("payment"),
    "HOPERAT": N_("operations"),
    "HRESCH": N_("research"),
    "PATRQT": N_("patient request"),
    "PUBHLTH": N_("public health"),
    "FAMRQT": N_("family request"),
}
STATES: Final[Mapping[str, str]] = {
    "active": N_("active"),
    "unknown": N_("unknown"),
    "suspended": N_("suspended"),
    "replaced": N_("replaced"),
    "revoked": N_("revoked"),
    "expired": N_("expired"),
    "not_yet": N_("not yet"),
    "open": N_("open"),
    "approved": N_("approved"),
    "denied": N_("refused"),
    "withdrawn": N_("withdrawn"),
    "reencrypted": N_("read"),
    "pending": N_("pending"),
    "published": N_("published"),
    "deleted": N_("deleted"),
    "done": N_("done"),
    "failed": N_("failed"),
    "running": N_("running"),
    "ok": N_("all right"),
    "note": N_("look at it"),
    "bad": N_("not right"),
    "verified": N_("signed by its publisher"),
    "forged": N_("not signed by its publisher"),
    "unchecked": N_("can't be checked now"),
}
ROLES: Final[Mapping[str, str]] = {
    "hospital": N_("hospital"),
    "proxy": N_("proxy"),
    "researcher": N_("researcher"),
    "registrar": N_("registrar"),
    "patient": N_("patient"),
    "practitioner": N_("practitioner"),
    "group": N_("group"),
}
UNITS: Final[Mapping[str, str]] = {
    "bytes": N_("bytes"),
    "blocks": N_("blocks"),
    "nodes": N_("nodes"),
    "records": N_("records"),
    "policies": N_("permissions"),
    "grants": N_("permissions granted anew"),
    "confirmations": N_("confirmations"),
    "proxies": N_("proxies"),
    "files": N_("files"),
    "checks": N_("checks"),
}
FILES: Final[Mapping[str, str]] = {
    "application/fhir+json": N_("FHIR"),
    "application/fhir+ndjson": N_("FHIR, many resources"),
    "application/fhir+xml": N_("FHIR in XML"),
    "application/dicom": N_("DICOM image"),
    "application/pdf": N_("PDF"),
    "application/hl7-v2": N_("HL7 v2 message"),
    "application/cda+xml": N_("clinical document"),
    "application/json": N_("JSON"),
    "text/plain": N_("text"),
    "text/csv": N_("table"),
    "image/jpeg": N_("picture"),
    "image/png": N_("picture"),
    "application/vnd.panachain.viewer": N_("software"),
}
"""By media type."""

LOCKS: Final[Mapping[str, str]] = {
    "passphrase": N_("passphrase"),
    "drawn": N_("passphrase that a program drew"),
    "security-key": N_("security key"),
    "passkey": N_("passkey"),
}
"""What opens a profile."""


def label(table: Mapping[str, str], value: object) -> str:
    """Return what a value is called in the language of this request.

    Args:
        table: one of those above.
        value: a member of an enumeration, its value, or for states its name in any case.
    """
    told = value.value if isinstance(value, Enum) and isinstance(value.value, str) else value
    # Some states are numbers on a chain: then it is their name.
    word = told if isinstance(told, str) else str(getattr(value, "name", value))
    for spelled in (word, word.lower()):
        if spelled in table:
            return gettext(table[spelled])
    return line(word)
