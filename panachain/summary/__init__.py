"""The patient summary: one FHIR R4 document of what counts now, made of opened records of all hospitals.

What counts is what the viewer shows as a fact. Never decides who may open anything, opens nothing itself, and says of
itself what it leaves out. Follows HL7's International Patient Summary 2.0.0 and docs/spec/summary.md.
"""

from panachain.summary.document import Summary, summary

__all__ = ["Summary", "summary"]
