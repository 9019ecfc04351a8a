"""FHIR in XML is told as FHIR in JSON is; nothing that a document declares is followed."""

from __future__ import annotations

import pytest

from panachain.viewer.fhir_xml import resource_of
from panachain.viewer.items import UnreadableError
from tests.unit.viewer.helpers import file, shown

BUNDLE = """<?xml version="1.0"?><Bundle xmlns="http://hl7.org/fhir"><type value="collection"/>
<entry><resource><Condition><id value="c"/><text><status value="generated"/>
<div xmlns="http://www.w3.org/1999/xhtml"><p>a <b>b</b><script>alert(1)</script></p></div></text>
<clinicalStatus><coding><code value="active"/></coding></clinicalStatus>
<code><coding><code value="1"/><display value="Asthma"/></coding></code></Condition></resource></entry>
<entry><resource><Procedure><status value="not-done"/><code><text value="Biopsy"/></code></Procedure></resource></entry>
</Bundle>"""


def test_says_the_same_as_json() -> None:
    chart = shown(file(BUNDLE.encode(), "application/fhir+xml"))
    (condition,) = chart.section("conditions").entries
    assert (condition.title, condition.state, condition.group) == ("Asthma", "active", "current")
    assert chart.section("procedures").entries[0].group == "not"


def test_keeps_the_narrative_and_repeated_elements() -> None:
    entries = resource_of(BUNDLE.encode())["entry"]
    assert [one["resource"]["resourceType"] for one in entries] == ["Condition", "Procedure"]
    assert "<b>b</b>" in entries[0]["resource"]["text"]["div"]


@pytest.mark.parametrize("prolog", ['<!DOCTYPE a [<!ENTITY e "x">]>', '<!DOCTYPE a SYSTEM "http://trap.invalid/x">'])
def test_declarations_are_refused(prolog: str) -> None:
    with pytest.raises(UnreadableError):
        resource_of(f'{prolog}<Patient xmlns="http://hl7.org/fhir"/>'.encode())


def test_depth_is_bounded() -> None:
    with pytest.raises(UnreadableError):
        resource_of(b'<Patient xmlns="http://hl7.org/fhir">' + b"<name>" * 1_000)
