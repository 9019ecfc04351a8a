"""What is sensitive: value sets as data, and what of a code, a display or a text matches them.

Never reads a record by itself: `records/fhir_category.py`, `hl7.py` and `xml.py` say where codes stand in a format.
Follows design section 4, and HL7 v3 ActCode (InformationSensitivityPolicy) for the names of the kinds.
"""

from panachain.records.sensitivity.kinds import Finding, Kind, category_of_kinds
from panachain.records.sensitivity.matcher import Matcher, matcher_of
from panachain.records.sensitivity.profiles import DEFAULT, PROFILES, Profile

__all__ = ["DEFAULT", "PROFILES", "Finding", "Kind", "Matcher", "Profile", "category_of_kinds", "matcher_of"]
