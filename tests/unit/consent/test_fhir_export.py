"""What a policy says as a FHIR Consent: valid R4, never more than the policy, and no key."""

from __future__ import annotations

import json

import pytest
from fhir.resources.R4B.consent import Consent

from panachain.consent import fhir_vocabulary as words
from panachain.consent.fhir_export import to_consent
from panachain.model.policy import PolicyStatus
from panachain.model.scope import RESTRICTED, UNDATED, Category
from tests.unit.consent.documents import GRANTEE, PATIENT, POLICY, exported, on_chain, ours, terms_of


class TestExport:
    def test_is_a_valid_r4_consent(self) -> None:
        document = exported(categories=("all", "mental-health"))
        made = Consent.model_validate(document)
        assert made.status == "active"
        assert made.identifier[0].value == POLICY
        assert made.provision.type == "deny"

    def test_a_policy_for_all_claims_the_advanced_profile(self) -> None:
        document = exported(categories=("all",))
        assert document["meta"]["profile"] == [words.ADVANCED_PROFILE]
        assert "policyRule" not in document
        (only,) = document["provision"]["provision"]
        assert only.keys() == {"type", "period", "actor", "securityLabel", "purpose"}
        for name in ("dateTime", "performer", "organization", "sourceReference", "policy"):
            assert document[name]

    def test_a_policy_for_categories_claims_no_profile(self) -> None:
        assert "meta" not in exported(categories=("laboratory",))

    @pytest.mark.parametrize(
        ("status", "word"),
        [
            (PolicyStatus.UNKNOWN, "proposed"),
            (PolicyStatus.NOT_YET, "active"),
            (PolicyStatus.ACTIVE, "active"),
            (PolicyStatus.EXPIRED, "inactive"),
            (PolicyStatus.REVOKED, "inactive"),
        ],
    )
    def test_says_the_status(self, status: PolicyStatus, word: str) -> None:
        terms = terms_of()
        assert to_consent(terms, on_chain(terms, status))["status"] == word

    def test_types_never_say_more_than_the_category(self) -> None:
        for category in Category:
            for kind in words.types_for(category):
                assert words.HELD_BY[kind] == {category}
        (vitals,) = exported(categories=("vitals",))["provision"]["provision"]
        assert vitals["class"] == ours("vitals")

    def test_parties_are_named_with_what_they_are_where_that_is_known(self) -> None:
        document = exported()
        assert document["patient"] == {
            "type": "Patient",
            "identifier": {"system": words.ACCOUNT_SYSTEM, "value": PATIENT},
        }
        (actor,) = document["provision"]["provision"][0]["actor"]
        assert actor["reference"] == {"identifier": {"system": words.ACCOUNT_SYSTEM, "value": GRANTEE}}

    @pytest.mark.parametrize("category", Category)
    def test_each_category_is_named_by_our_code_and_by_the_types_that_it_alone_holds(self, category: Category) -> None:
        (rule,) = exported(categories=(category.value,))["provision"]["provision"]
        kinds = [one["code"] for one in rule["class"] if one["system"] == words.RESOURCE_TYPES]
        assert kinds == ([] if category in RESTRICTED else list(words.types_for(category)))
        assert [one for one in rule["class"] if one["system"] != words.RESOURCE_TYPES] == ours(category.value)

    def test_years_in_a_row_are_one_period(self) -> None:
        document = exported(years=(2019, 2020, 2023))
        periods = [part["dataPeriod"] for part in document["provision"]["provision"]]
        assert periods == [
            {"start": "2019-01-01", "end": "2020-12-31"},
            {"start": "2023-01-01", "end": "2023-12-31"},
        ]

    def test_records_without_a_date_are_named_by_our_code_alone(self) -> None:
        (only,) = exported(categories=("allergies",), years=(UNDATED,))["provision"]["provision"]
        assert only["class"] == ours("allergies/undated")
        assert "dataPeriod" not in only

    @pytest.mark.parametrize("category", sorted(RESTRICTED, key=lambda one: one.value))
    def test_restricted_categories_bear_their_labels(self, category: Category) -> None:
        (only,) = exported(categories=(category.value,))["provision"]["provision"]
        assert tuple(label["code"] for label in only["securityLabel"]) == words.LABELS[category]

    def test_holds_no_key(self) -> None:
        text = json.dumps(exported())
        assert "0202" not in text
        assert "https://p1" not in text
