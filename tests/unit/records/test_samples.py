"""The samples that the project makes itself, read by those who know their formats."""

from __future__ import annotations

import io

import pydicom
import pytest

from panachain.model.scope import Category
from panachain.records.samples import HIV_MEDICINE, sample_bundle, sample_dicom
from panachain.records.sources import read_bytes


@pytest.mark.parametrize("seed", [1, 2])
def test_pydicom_reads_the_image_and_writes_the_same_bytes(seed: int) -> None:
    written = sample_dicom(seed)
    image = pydicom.dcmread(io.BytesIO(written))

    assert image.SOPInstanceUID == image.file_meta.MediaStorageSOPInstanceUID
    assert image.file_meta.TransferSyntaxUID.is_little_endian
    assert (image.Rows, image.Columns, len(image.PixelData)) == (64, 64, 64 * 64 * 2)
    assert (image.Modality, image.StudyDate) == ("CT", "20220817")
    again = io.BytesIO()
    pydicom.dcmwrite(again, image, enforce_file_format=True)
    assert again.getvalue() == written


def test_a_seed_gives_the_same_image_each_time() -> None:
    assert sample_dicom(3) == sample_dicom(3) != sample_dicom(4)


def test_a_medicine_that_gives_a_condition_away_is_not_among_the_medications() -> None:
    found = {
        record.category
        for record in read_bytes(sample_bundle(1), ".json")
        if isinstance(record.content, bytes) and HIV_MEDICINE.encode() in record.content
    }
    assert found == {Category.SEXUAL_HEALTH}
