"""The tables of codes: sensitive codes lead to restricted categories only, and no resource type leads to one."""

from __future__ import annotations

from panachain.model.scope import RESTRICTED, Category
from panachain.records.fhir_codes import BY_LABEL, BY_OBSERVATION, BY_TYPE, CONFIDENTIAL, RESTRICTED_DEFAULT, SENSITIVE


def test_what_is_sensitive_is_restricted() -> None:
    assert set(SENSITIVE.values()) == {Category.SEXUAL_HEALTH, Category.MENTAL_HEALTH, Category.SUBSTANCE_USE}
    assert set(SENSITIVE.values()) <= set(RESTRICTED)
    assert RESTRICTED_DEFAULT in RESTRICTED
    assert set(BY_LABEL.values()) - set(RESTRICTED) <= {Category.GENOMICS}


def test_a_type_alone_never_makes_a_resource_restricted() -> None:
    """Most of them would be withheld from everybody who may read `all`."""
    for table in (BY_TYPE, BY_OBSERVATION):
        assert not set(table.values()) & {
            Category.SEXUAL_HEALTH,
            Category.MENTAL_HEALTH,
            Category.SUBSTANCE_USE,
        }


def test_no_code_is_too_short_to_mean_one_thing() -> None:
    assert all(len(code) >= 3 and code == code.strip() for code in SENSITIVE)
    assert {"R", "V"} == CONFIDENTIAL


def test_every_category_that_has_resources_of_its_own_is_reached() -> None:
    reached = {*BY_TYPE.values(), *BY_OBSERVATION.values(), *SENSITIVE.values(), *BY_LABEL.values()}
    assert set(Category) - reached <= {Category.DOCUMENTS}
