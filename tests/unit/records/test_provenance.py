"""The Provenance of a record names hospital, time, policy and signature, and is FHIR."""

from __future__ import annotations

import base64

import pytest

from panachain.model.actors import Address
from panachain.model.records import RecordInfo
from panachain.model.scope import Category
from panachain.records.provenance import provenance

INFO = RecordInfo(
    hospital=Address("0x" + "11" * 20),
    category=Category.IMAGING,
    year=2024,
    media_type="application/dicom",
    size=5,
    digest=bytes(32),
    stored_at=1_700_000_000,
    header_cid="bafyheader",
    content_cid="bafycontent",
    envelope_cid="bafyenvelope",
    content_index=0,
    generation=0,
)


def test_names_who_when_what_and_under_which_policy() -> None:
    made = provenance(INFO, signature=b"s" * 64, policy_id="0x22")
    assert made["target"][0]["identifier"]["value"] == "bafyheader"
    assert made["occurredDateTime"] == "2023-11-14T22:13:20Z"
    assert made["agent"][0]["who"]["identifier"]["value"] == INFO.hospital
    assert base64.b64decode(made["signature"][0]["data"]) == b"s" * 64
    assert made["policy"] == ["urn:panachain:policy:0x22"]


def test_a_patients_own_opening_has_no_policy() -> None:
    assert "policy" not in provenance(INFO, signature=b"s" * 64)


def test_it_is_a_valid_resource() -> None:
    fhir = pytest.importorskip("fhir.resources.R4B.provenance", reason="fhir.resources isn't installed")
    fhir.Provenance.model_validate(provenance(INFO, signature=b"s" * 64, policy_id="0x22"))
