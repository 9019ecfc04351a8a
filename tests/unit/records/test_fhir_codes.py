"""The tables of types and labels: a type alone leads to no restricted category, a label does."""

from __future__ import annotations

from panachain.model.scope import RESTRICTED, Category
from panachain.records.fhir_codes import BY_LABEL, BY_OBSERVATION, BY_TYPE, CONFIDENTIAL, RESTRICTED_DEFAULT
from panachain.records.fhir_sensitivity import label_findings
from panachain.records.sensitivity.kinds import kinds


def test_what_is_labelled_is_restricted() -> None:
    assert RESTRICTED_DEFAULT in RESTRICTED
    assert set(BY_LABEL.values()) - set(RESTRICTED) <= {Category.GENOMICS}
    assert {"R", "V"} == CONFIDENTIAL


def test_the_labels_of_a_category_are_all_that_sort_a_resource_into_it() -> None:
    """A Consent that permits each of them permits the lane, so one that is left out here would permit too much."""
    for code in (*kinds(), "REPRODUCTIVE", "SICKLE", "42CFRPart2", "HIPAAPsyNotes"):
        found = list(label_findings("http://terminology.hl7.org/CodeSystem/v3-ActCode", code))
        for one in found:
            if one.kind in kinds():
                assert BY_LABEL[code] is kinds()[one.kind].category
    assert {"PREGNANT", "ABORTION", "COGN", "EMOTDIS", "TBOO"} <= BY_LABEL.keys()


def test_a_type_alone_never_makes_a_resource_restricted() -> None:
    """Most of them would be withheld from everybody who may read `all`."""
    for table in (BY_TYPE, BY_OBSERVATION):
        assert not set(table.values()) & RESTRICTED


def test_every_category_that_has_resources_of_its_own_is_reached() -> None:
    of_kinds = {kind.category for kind in kinds().values()}
    reached = {*BY_TYPE.values(), *BY_OBSERVATION.values(), *BY_LABEL.values(), *of_kinds}
    assert set(Category) - reached <= {Category.DOCUMENTS}
