r"""A plain search over plain files, written apart from the program: what it must find, no more and no less.

Reads files with json, xml.etree and a split at HL7's signs, cuts at `\w+`, and stems with Snowball. DICOM is
read by pydicom. Shares with the
program nothing but the list of members in which FHIR has texts.
"""

from __future__ import annotations

import html
import io
import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pydicom
import Stemmer

from panachain.model.records import PlainRecord
from panachain.records.fhir_sensitivity import _TEXTS as TEXTS
from panachain.records.pdf_text import text_of_pdf

_NAMES = {"family", "given", "prefix", "suffix", "city"}


def words(text: str) -> list[str]:
    """Return the words of a text that is written in Latin letters, as they are written."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = "".join(one for one in unicodedata.normalize("NFD", plain) if not "\u0300" <= one <= "\u036f")
    found = re.findall(r"[\u4e00-\u9fff]|(?:(?![\u4e00-\u9fff])[^\W_])+", unicodedata.normalize("NFC", plain))
    return [word[:64] for word in found]


class Alike:
    """Which records have a word in any form that one of some languages gives it."""

    def __init__(self, found: dict[str, set[int]], algorithms: list[str]) -> None:
        """Take what `index` returned, and Snowball's names of the languages."""
        self._found = found
        self._stemmers = [Stemmer.Stemmer(name, 0) for name in algorithms]
        self._stems: list[dict[str, set[int]]] = [defaultdict(set) for _ in algorithms]
        for word, records in found.items():
            for stemmer, stems in zip(self._stemmers, self._stems, strict=True):
                if self._inflected(word):
                    stems[stemmer.stemWord(word)] |= records

    def having(self, word: str) -> set[int]:
        """Return the numbers of these records."""
        records = set(self._found.get(word, ()))
        if self._inflected(word):
            for stemmer, stems in zip(self._stemmers, self._stems, strict=True):
                records |= stems.get(stemmer.stemWord(word), set())
        return records

    def _inflected(self, word: str) -> bool:
        return len(word) > 2 and word.isalpha() and word[0] <= "\u024f"


def entries(record: PlainRecord) -> list[list[str]]:
    """Return the texts of each entry of a record."""
    content = record.content
    if not isinstance(content, bytes):
        return []
    if record.media_type == "application/fhir+json":
        bundle = json.loads(content)
        held = bundle.get("entry") if isinstance(bundle, dict) else None
        return [list(_json("", one)) for one in held] if held else []
    if record.media_type == "application/pdf":
        text = text_of_pdf(content).text
        return [[text]] if text else []
    if record.media_type == "application/hl7-v2":
        return [list(_hl7(content.decode("utf-8-sig", "replace")))]
    if record.media_type.startswith("text/plain"):
        return [[content.decode("utf-8", "replace")]]
    if "xml" in record.media_type:
        return [list(_xml(content))]
    if record.media_type == "application/dicom":
        return [list(_dicom(pydicom.dcmread(io.BytesIO(content), force=True)))]
    return []


_DICOM = [
    *("Modality", "InstitutionName", "InstitutionalDepartmentName", "StudyDescription"),
    *("SeriesDescription", "AdmittingDiagnosesDescription", "DerivationDescription", "MedicalAlerts"),
    *("Allergies", "Occupation", "AdditionalPatientHistory", "PatientComments"),
    *("ContrastBolusAgent", "BodyPartExamined", "ProtocolName", "ImageComments"),
    *("ReasonForStudy", "RequestedProcedureDescription", "StudyComments", "ScheduledProcedureStepDescription"),
    *(
        "PerformedProcedureStepDescription",
        "CommentsOnThePerformedProcedureStep",
        "ReasonForTheRequestedProcedure",
        "RequestedProcedureComments",
    ),
    *("ImagingServiceRequestComments", "TextValue", "CodeMeaning", "DocumentTitle"),
    *("ContentLabel", "ContentDescription", "DoseComment", "StructureSetLabel"),
    *("StructureSetName", "StructureSetDescription", "ROIName", "ROIDescription"),
    *("RTPlanLabel", "RTPlanName", "RTPlanDescription", "BeamName"),
    *("InterpretationText", "InterpretationDiagnosisDescription", "Impressions"),
]


def _dicom(item: pydicom.Dataset) -> Iterator[str]:
    for name in _DICOM:
        if name in item:
            yield str(item[name].value)
    if "CodingSchemeDesignator" in item:
        yield from (str(item[one].value) for one in ("CodeValue", "LongCodeValue", "URNCodeValue") if one in item)
    if "EncapsulatedDocument" in item:
        yield text_of_pdf(item.EncapsulatedDocument).text or ""
    for element in item:
        if element.VR == "SQ":
            for held in element.value:
                yield from _dicom(held)


def _json(name: str, node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, str):
                if key == "div":
                    yield from (html.unescape(part) for part in re.split(r"<[^<>]*>", value))
                elif key in TEXTS or key in _NAMES or (key == "code" and ("system" in node or "display" in node)):
                    yield value
            else:
                yield from _json(key, value)
    elif isinstance(node, list):
        for one in node:
            if isinstance(one, str):
                if name in TEXTS or name in _NAMES:
                    yield one
            else:
                yield from _json(name, one)


def _xml(content: bytes) -> Iterator[str]:
    # Excerpts of documents name prefixes that only the whole one declares; which ones makes no difference here.
    bare = re.sub(rb"(</?|\s)[A-Za-z_][\w.-]*:(?=[\w.-]+[\s=/>])", rb"\1", content)
    for element in ET.fromstring(bare).iter():  # noqa: S314  # public examples that lie beside the project
        yield from (one for one in (element.text, element.tail) if one)
        if "displayName" in element.attrib:
            yield element.attrib["displayName"]
        if "code" in element.attrib and ("codeSystem" in element.attrib or "displayName" in element.attrib):
            yield element.attrib["code"]


def _hl7(text: str) -> Iterator[str]:
    for line in re.split(r"[\r\n]+", text):
        if line[:3] not in ("MSH", "FHS", "BHS"):
            for one in re.split(r"[|^~&]", line[3:]):
                yield re.sub(r"\\[^\\]{0,20}\\", " ", one)


def index(records: list[PlainRecord]) -> dict[str, set[int]]:
    """Return which records have which word."""
    found: dict[str, set[int]] = defaultdict(set)
    for number, record in enumerate(records):
        for entry in entries(record):
            for text in entry:
                for one in words(text):
                    found[one].add(number)
    return found
