"""Code systems: the many names that each has, and how its codes are spelled.

Never guesses a system from the form of a code: a bed `B20` is no diagnosis. Follows FHIR R4 (code systems), the HL7 OID
registry, HL7 v2 table 0396, and the check digits of SNOMED CT (Verhoeff) and LOINC (modulus 10).
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Final

from panachain.records.sensitivity.tables import rows

FORMS: Final = {
    "icd-10": re.compile(r"[A-Z]\d[0-9A-Z]{1,6}"),
    "icd-11": re.compile(r"[0-9A-Z]{4,8}"),
    "icd-9-cm": re.compile(r"(?:\d{3}|V\d\d|E\d{3})\d{0,2}"),
    "icd-9-pcs": re.compile(r"\d{2,4}"),
    "icd-10-pcs": re.compile(r"[0-9A-Z]{7}"),
    "atc": re.compile(r"[A-Z](?:\d\d(?:[A-Z](?:[A-Z](?:\d\d)?)?)?)?"),
    "cpt": re.compile(r"\d{4}[0-9FTU]"),
    "hcpcs": re.compile(r"[A-V]\d{4}"),
    "drg": re.compile(r"\d{3}"),
}
"""What codes look like in the systems that are matched by beginning and range, as `canonical_code` spells them."""
_CONCEPT: Final = re.compile(r"\d{6,18}")
_PADDED: Final = re.compile(r"(?=.{36}$)\d{3,6}A+")
"""A CIEL concept as OpenMRS writes it: filled up to 36 characters."""
_TERM: Final = re.compile(r"\|[^|]*\|")
"""What stands between bars in an expression is a concept's term."""
_PRODUCTS: Final = (
    *("0123456789", "1234067895", "2340178956", "3401289567", "4012395678"),
    *("5987604321", "6598710432", "7659821043", "8765932104", "9876543210"),
)
"""Products in the dihedral group of ten elements, row by column (Verhoeff 1969)."""
_SHIFTS: Final = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)
"""What a digit stands for at each place, counted from the right, modulo 8."""


@cache
def _names() -> dict[str, str]:
    return {_plain(name): system for system, name, _source in rows("systems")}


@lru_cache(maxsize=4096)
def canonical_system(name: str) -> str:
    """Return our short name of a code system, or an empty text when it isn't known.

    Args:
        name: a URI, an OID with or without `urn:oid:`, or a name of HL7 v2 table 0396.
    """
    plain = _plain(name)
    known = _names().get(plain)
    if known is not None:
        return known
    # National editions and versions stand below: http://snomed.info/sct/11000172109, ICD-10-GM's OID of each year.
    while plain:
        plain = plain.rpartition("/" if "/" in plain else ".")[0]
        if plain in _names():
            return _names()[plain]
    return ""


def canonical_code(system: str, code: str) -> str:
    """Return a code as the value sets spell it.

    Args:
        system: our short name of it.
        code: as it stands in a record.
    """
    plain = code.strip()
    if system in ("icd-10", "icd-9-cm", "icd-9-pcs"):
        # ICD-10-GM marks crosses, stars and exclamation marks; claims leave the point out.
        return plain.upper().replace(".", "").rstrip("+*!†#-")
    if system == "icd-11":
        return plain.upper().partition("/")[0].partition("&")[0].replace(".", "")
    if system == "ndc":
        return _ndc(plain)
    if system == "ciel":
        return plain.rstrip("A")
    if system == "drg":
        return plain.zfill(3) if plain.isdigit() else plain
    return plain.upper() if system in FORMS else plain


def spelled_like(system: str) -> str:
    """Return the one of all systems of which `canonical_code` spells codes in the same way that stands for them."""
    if system in ("icd-10", "icd-9-cm", "icd-9-pcs"):
        return "icd-10"
    if system in ("icd-11", "ndc", "ciel", "drg"):
        return system
    return "atc" if system in FORMS else "snomed"


def system_of(code: str) -> str:
    """Return the system of a code that names none, as far as the code itself proves it by a check digit or its padding.

    Args:
        code: as it stands in a record.
    """
    if is_loinc_code(code):
        return "loinc"
    if is_snomed_id(code):
        return "snomed"
    return "ciel" if _PADDED.fullmatch(code) else ""


def known_system(system: str, code: str) -> str:
    """Return our short name of the system that a code counts in.

    Args:
        system: as it stands in the record, in any spelling; empty where the record names none.
        code: as it stands there. OpenMRS exports its own concepts as SNOMED CT or LOINC: the padding proves them.
    """
    if not system or _PADDED.fullmatch(code):
        return system_of(code)
    return canonical_system(system)


def concepts(expression: str) -> list[str]:
    """Return the SNOMED CT concepts that a code or a post-coordinated expression names, in their order."""
    return _CONCEPT.findall(_TERM.sub("", expression))


def is_snomed_id(text: str) -> bool:
    """Tell whether a text is a SNOMED CT identifier: its check digit is right (Verhoeff)."""
    if not _CONCEPT.fullmatch(text):
        return False
    check = 0
    for place, digit in enumerate(reversed(text)):
        check = int(_PRODUCTS[check][int(_SHIFTS[place % 8][int(digit)])])
    return check == 0


def is_loinc_code(text: str) -> bool:
    """Tell whether a text is a LOINC code: its check digit is right (modulus 10, Luhn)."""
    number, dash, check = text.partition("-")
    if not (dash and number.isascii() and number.isdigit() and len(number) <= 7):
        return False
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value // 10 + value % 10
    return check == str(-total % 10)


def _plain(name: str) -> str:
    return name.strip().removeprefix("urn:oid:").rstrip("/").partition("|")[0].lower()


def _ndc(code: str) -> str:
    """Return labeller and product of a National Drug Code, nine digits: packages don't matter here."""
    parts = code.split("-")
    if len(parts) >= 2:
        return parts[0].zfill(5) + parts[1].zfill(4)
    return code[:9]
