"""Records worth looking at: years of laboratory values, medicines, a study of pictures and documents, of the samples'
person.

What the samples have is little, and their picture is noise. Nobody is named, and every value is made from numbers.
Follows FHIR R4, DICOM PS3.3 (CT Image), C-CDA R2.1 and HL7 v2.5.1 (ORU).
"""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any, Final

from panachain.records.samples import sample_bundle

_LOINC: Final = "http://loinc.org"
_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
_DAYS: Final = ("2021-02-08", "2021-09-20", "2022-03-14", "2022-10-03", "2023-04-17", "2024-01-22", "2024-11-11")
_VALUES: Final = (
    ("4548-4", "Hemoglobin A1c", "%", (4.0, 5.6), (5.4, 5.6, 5.9, 6.3, 6.8, 6.4, 6.1)),
    ("2089-1", "Cholesterol in LDL", "mg/dL", (50, 130), (158, 151, 149, 122, 117, 109, 101)),
    ("38483-4", "Creatinine", "mg/dL", (0.6, 1.2), (0.91, 0.95, 0.9, 1.02, 0.98, 1.05, 1.1)),
    ("718-7", "Hemoglobin", "g/dL", (12, 16), (13.4, 13.1, 12.2, 11.4, 12.3, 13.0, 13.3)),
)
"""Code, name, unit, reference range, and a value for each day."""
_MEDICINES: Final = (
    ("active", "2022-10-03", "Metformin 500 mg, tablet", "1 tablet with breakfast and with dinner"),
    ("active", "2021-09-20", "Atorvastatin 20 mg, tablet", "1 tablet in the evening"),
    ("stopped", "2021-02-08", "Ferrous sulfate 325 mg, tablet", "1 tablet a day"),
)
_SIDE: Final = 192
"""Pixels of a side of a picture."""
_SLICES: Final = 4
_UIDS: Final = "1.2.826.0.1.3680043.8.498.20."
_LETTER: Final = """<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3"><typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
<id root="2.16.840.1.113883.19.5.9" extension="7"/><title>Discharge summary</title><effectiveTime value="20221005"/>
<recordTarget><patientRole><id root="2.16.840.1.113883.19.5" extension="{number}"/><patient><name><given>{given}</given>
<family>{family}</family></name><birthTime value="{born}"/></patient></patientRole></recordTarget>
<component><structuredBody>
<component><section><title>Hospital course</title><text><paragraph>Admitted for two days with dizziness. The CT of the
head showed <content styleCode="Bold">no bleeding</content>. Blood sugar was high; metformin was begun.</paragraph>
</text></section></component>
<component><section><title>Medications at discharge</title><text><table><thead><tr><th>Medicine</th><th>How</th></tr>
</thead><tbody><tr><td>Metformin 500 mg</td><td>twice a day, with meals</td></tr><tr><td>Atorvastatin 20 mg</td>
<td>in the evening</td></tr></tbody></table></text></section></component>
<component><section><title>Follow-up</title><text><list><item>Hemoglobin A1c in six months</item>
<item>Eyes once a year</item></list></text></section></component>
</structuredBody></component></ClinicalDocument>"""
_MESSAGE: Final = (
    r"MSH|^~\&|LAB|HOSPITAL|||20241111093000||ORU^R01|1|P|2.5.1",
    "PID|1||{number}||{family}^{given}||{born}",
    "OBR|1|||24357-6^Urinalysis^LN|||20241111091500",
    "OBX|1|NM|5811-5^Specific gravity of Urine^LN||1.018||1.005-1.030||||F",
    "OBX|2|ST|5792-7^Glucose in Urine^LN||negative||||||F",
)


def write(folder: Path) -> None:
    """Write the files into a folder, which is made."""
    folder.mkdir()
    patient = _patient()
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": one} for one in _resources(patient)],
    }
    (folder / "values.json").write_text(json.dumps(bundle, ensure_ascii=False), encoding="utf-8")
    told = {
        "number": patient["identifier"][0]["value"],
        "family": patient["name"][0]["family"],
        "given": patient["name"][0]["given"][0],
        "born": patient["birthDate"].replace("-", ""),
    }
    (folder / "letter.xml").write_text(_LETTER.format(**told), encoding="utf-8")
    (folder / "urine.hl7").write_bytes("\r".join(_MESSAGE).format(**told).encode())
    for number in range(_SLICES):
        (folder / f"slice-{number}.dcm").write_bytes(_slice(number, told))
    (folder / "turning.dcm").write_bytes(_slice(_SLICES, told, frames=6))


def _patient() -> dict[str, Any]:
    """Return the samples' person."""
    entries: list[dict[str, Any]] = json.loads(sample_bundle(1))["entry"]
    return next(one["resource"] for one in entries if one["resource"]["resourceType"] == "Patient")


def _resources(patient: dict[str, Any]) -> list[dict[str, Any]]:
    subject = {"reference": f"Patient/{patient['id']}"}
    made = [patient]
    for code, name, unit, (low, high), values in _VALUES:
        for day, value in zip(_DAYS, values, strict=True):
            made.append({"resourceType": "Observation", "id": f"{code}-{day}", "status": "final", "subject": subject,
                         "category": [{"coding": [{"system": _CATEGORY, "code": "laboratory"}]}],
                         "code": {"coding": [{"system": _LOINC, "code": code, "display": name}], "text": name},
                         "effectiveDateTime": f"{day}T08:15:00+01:00",
                         "valueQuantity": {"value": value, "unit": unit},
                         "referenceRange": [{"low": {"value": low, "unit": unit},
                                             "high": {"value": high, "unit": unit}}]})  # fmt: skip
    for number, (status, day, name, how) in enumerate(_MEDICINES):
        made.append({"resourceType": "MedicationRequest", "id": f"medicine-{number}", "status": status,
                     "intent": "order", "subject": subject, "authoredOn": day,
                     "medicationCodeableConcept": {"text": name}, "dosageInstruction": [{"text": how}]})  # fmt: skip
    return made


def _slice(number: int, told: dict[str, str], *, frames: int = 1) -> bytes:
    """Return one picture of a CT of a head that nobody has, or several that turn one after the other."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = f"{_UIDS}3.{number}"
    made = FileDataset(io.BytesIO(), {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = f"{_UIDS}1", f"{_UIDS}2.{int(frames > 1)}"
    made.PatientName, made.PatientID = f"{told['family']}^{told['given']}", told["number"]
    made.PatientBirthDate, made.StudyDate, made.Modality = told["born"], "20221003", "CT"
    made.StudyDescription, made.InstanceNumber = "CT of the head", number + 1
    made.SeriesDescription = "Turning" if frames > 1 else "Axial"
    made.Rows = made.Columns = _SIDE
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    made.RescaleIntercept, made.RescaleSlope = "-1024", "1"
    made.WindowCenter, made.WindowWidth = ["40", "300"], ["80", "1500"]
    if frames > 1:
        made.NumberOfFrames = frames
    turns = [math.pi * number / frames for number in range(frames)] if frames > 1 else [0.0]
    made.PixelData = b"".join(_drawn(number if frames == 1 else 2, turn) for turn in turns)
    written = io.BytesIO()
    made.save_as(written, enforce_file_format=True)
    return written.getvalue()


def _drawn(number: int, turn: float) -> bytes:
    """Return the pixels of a head after Shepp and Logan's phantom: ellipses of bone, brain and fluid."""
    from PIL import Image, ImageDraw

    big = Image.new("I", (_SIDE * 2, _SIDE * 2), 24)
    draw, size = ImageDraw.Draw(big), _SIDE * 2
    wide = 1.0 - 0.09 * abs(number - 1)
    for x, y, across, down, value in (
        (0.0, 0.0, 0.72, 0.94, 1_064),
        (0.0, 0.0, 0.68, 0.90, 2_200),
        (0.0, 0.0, 0.61, 0.83, 1_060),
        (0.20, -0.05, 0.10, 0.30, 1_028),
        (-0.20, -0.05, 0.13, 0.34, 1_028),
        (0.0, 0.38, 0.19, 0.22, 1_078),
        (0.0, -0.5, 0.06, 0.06, 1_090),
        (0.1 * number, 0.62, 0.05, 0.04, 1_090),
    ):
        there = (x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn))
        left, top = size / 2 * (1 + wide * (there[0] - across)), size / 2 * (1 + wide * (there[1] - down))
        draw.ellipse((left, top, left + size * wide * across, top + size * wide * down), fill=value)
    return big.resize((_SIDE, _SIDE), Image.Resampling.BOX).convert("I;16").tobytes()
