"""Who can read what: a matrix of people and categories that says no more and no less than the policies."""

from __future__ import annotations

import pytest

from panachain.model.actors import Address, PolicyId
from panachain.model.policy import PolicyStatus
from panachain.model.scope import EMERGENCY, RESTRICTED, Category
from panachain.sdk.access import in_force, readers, who_reads
from panachain.sdk.results.policies import PolicyView

DOCTOR, NURSE = Address("0x" + "aa" * 20), Address("0x" + "bb" * 20)


def view(
    number: int,
    *scopes: str,
    grantee: Address = DOCTOR,
    status: PolicyStatus = PolicyStatus.ACTIVE,
    ends: int = 2000,
) -> PolicyView:
    return PolicyView(
        policy_id=PolicyId(f"0x{number:040x}"),
        status=status,
        patient=Address("0x" + "11" * 20),
        grantee=grantee,
        scopes=scopes,
        purposes=("TREAT",),
        starts_at=1000,
        expires_at=ends,
        threshold=2,
        proxies=3,
        terms_cid="bafy",
        grantee_name="doctor" if grantee == DOCTOR else "nurse",
    )


@pytest.mark.parametrize("status", [PolicyStatus.REVOKED, PolicyStatus.EXPIRED, PolicyStatus.UNKNOWN])
def test_what_is_over_or_not_on_chain_lets_nobody_read(status: PolicyStatus) -> None:
    policies = [view(1, "laboratory", status=status)]
    assert in_force(policies) == []
    assert readers(policies).rows == ()
    assert who_reads(policies, Category.LABORATORY, 2024) == []


def test_a_person_of_several_policies_is_one_row_with_the_latest_end() -> None:
    found = readers([view(1, "laboratory", ends=2000), view(2, "laboratory", "vitals", ends=3000)])
    (row,) = found.rows
    assert (row.name, row.until, found.columns) == ("doctor", 3000, ("laboratory", "vitals"))
    assert row.by_category["laboratory"].until == 3000
    assert len(row.by_category["laboratory"].policies) == 2
    assert row.by_category["vitals"].policies == (PolicyId(f"0x{2:040x}"),)


def test_years_are_told_unless_another_policy_covers_every_year() -> None:
    narrow = readers([view(1, "laboratory/2024", "laboratory/0")]).rows[0]
    assert narrow.by_category["laboratory"].years == (0, 2024)
    whole = readers([view(1, "laboratory/2024"), view(2, "laboratory")]).rows[0]
    assert whole.by_category["laboratory"].years == ()


def test_all_stands_in_each_open_column_and_in_no_restricted_one() -> None:
    found = readers([view(1, "all"), view(2, "laboratory", "mental-health", grantee=NURSE)])
    doctor = next(row for row in found.rows if row.grantee == DOCTOR)
    assert found.columns == ("all", "laboratory", "mental-health")
    assert set(doctor.by_category) == {"all", "laboratory"}


@pytest.mark.parametrize("category", list(Category))
def test_who_reads_a_record_is_whoever_has_a_lane_of_its_path(category: Category) -> None:
    granted = {
        "all": category not in RESTRICTED,
        "emergency": category in EMERGENCY,
        category.value: True,
        f"{category.value}/2024": True,
        f"{category.value}/2023": False,
        ("vitals" if category is not Category.VITALS else "laboratory"): False,
    }
    for scope, reads in granted.items():
        assert bool(who_reads([view(1, scope)], category, 2024)) is reads, scope


def test_the_column_of_a_category_agrees_with_who_reads_its_records() -> None:
    everybody = [view(1, "all"), view(2, "emergency", grantee=NURSE), view(3, "gender", grantee=NURSE)]
    named = [view(10 + category.code, category.value, grantee=Address("0x" + "cc" * 20)) for category in Category]
    found = readers([*everybody, *named])
    for category in Category:
        stated = {one for row in found.rows if category.value in row.by_category for one in [row.grantee]}
        assert stated == {one.grantee for one in who_reads([*everybody, *named], category, 2024)}
