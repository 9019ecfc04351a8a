"""Policies as FHIR Consents and back; what can't be enforced is refused by its place."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from fhir.resources.R4B.consent import Consent
from hypothesis import given, settings
from hypothesis import strategies as st

from panachain.consent import fhir_vocabulary as words
from panachain.consent.fhir_consent import MAX_SIZE, from_consent, read_consent
from panachain.consent.fhir_export import to_consent
from panachain.errors import ConsentNotEnforceableError, InputError, PanaChainError
from panachain.model.policy import GrantedLane, PolicyStatus, Terms
from panachain.model.scope import RESTRICTED, UNDATED, Category, Purpose, Scope
from tests.support import shared
from tests.unit.consent.documents import (
    END,
    START,
    coding,
    consent,
    on_chain,
    ours,
    permit,
    places,
    scopes,
    terms_of,
    types,
)

EXAMPLES = ("fhir-r4", "hl7-examples-4.0.1")

NAMES = [category.value for category in Category]
CHOICES = st.one_of(
    st.tuples(st.lists(st.sampled_from(["all", "emergency", *NAMES]), min_size=1, unique=True), st.just([])),
    st.tuples(
        st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
        st.lists(st.just(UNDATED) | st.integers(1900, 2100), min_size=1, max_size=12, unique=True),
    ),
)


class TestRoundTrip:
    @settings(max_examples=100)
    @given(
        choice=CHOICES,
        purposes=st.lists(st.sampled_from(Purpose), min_size=1, unique=True),
        start=st.integers(0, 4_000_000_000),
        length=st.integers(1, 4_000_000_000),
        generations=st.integers(1, 3),
    )
    def test_import_of_an_export_plans_the_same_grant(
        self, choice: Any, purposes: Any, start: int, length: int, generations: int
    ) -> None:
        terms = terms_of(tuple(choice[0]), tuple(choice[1]), tuple(purposes), (start, start + length), generations)
        document = to_consent(terms, on_chain(terms), granted_at=start)
        Consent.model_validate(document)
        plan = from_consent(read_consent(json.dumps(document).encode()))
        assert scopes(plan) == {lane.scope for lane in terms.lanes}
        assert set(plan.purposes) == set(terms.purposes)
        assert (plan.starts_at, plan.expires_at) == (terms.starts_at, terms.expires_at)
        assert [party.account for party in plan.grantees] == [terms.grantee]
        assert plan.patient.account == terms.patient
        assert plan.excepted == ()

    @pytest.mark.parametrize("status", [PolicyStatus.REVOKED, PolicyStatus.EXPIRED, PolicyStatus.UNKNOWN])
    def test_what_is_not_in_force_is_not_granted_again(self, status: PolicyStatus) -> None:
        terms = terms_of()
        document = to_consent(terms, on_chain(terms, status))
        assert list(places(document)) == ["Consent.status"]
        assert scopes(from_consent({**document, "status": "active"})) == {lane.scope for lane in terms.lanes}

    def test_different_years_of_different_categories_are_two_grants(self) -> None:
        terms = terms_of(("laboratory",), (2020,))
        more = GrantedLane(Scope.parse("vitals"), 0, b"\2" * 33, b"k" * 32, b"p" * 32)
        mixed = Terms(**{**vars(terms), "lanes": (*terms.lanes, more)})
        (reason,) = places(to_consent(mixed, on_chain(mixed))).values()
        assert "different years" in reason


class TestForeign:
    def test_basic_permit_covers_all_but_the_restricted_categories(self) -> None:
        three = [coding(words.ACT_REASON, code) for code in ("TREAT", "HPAYMT", "HOPERAT")]
        plan = from_consent(consent(permit(purpose=three, period={"end": "2026-12-31"})))
        assert plan.categories == ("all",)
        assert plan.purposes == (Purpose.TREAT, Purpose.HPAYMT, Purpose.HOPERAT)
        assert (plan.starts_at, plan.expires_at) == (None, END)
        assert plan.grantees == ()
        assert any("restricted" in note for note in plan.notes)
        assert any("policy text" in note for note in plan.notes)

    def test_tags_that_say_nothing_of_what_is_missing_are_passed_over(self) -> None:
        assert from_consent(consent(permit(), meta={"tag": [{"code": "HTEST"}, "text"]})).categories == ("all",)

    def test_normal_is_all(self) -> None:
        label = coding(words.CONFIDENTIALITY, "N")
        assert from_consent(consent(permit(securityLabel=[label]))).categories == ("all",)

    def test_recipient_is_kept_as_it_is_named(self) -> None:
        actor = {
            "role": {"coding": [coding(words.PARTICIPATION, "IRCP")]},
            "reference": {"reference": "Practitioner/7", "display": "Cardiologist"},
        }
        (party,) = from_consent(consent(permit(actor=[actor]))).grantees
        assert (party.reference, party.display, party.account) == ("Practitioner/7", "Cardiologist", "")

    def test_all_types_of_a_category_are_the_category(self) -> None:
        medications = types(*words.TYPES_OF[Category.MEDICATIONS])
        plan = from_consent(consent(permit(**{"class": [*medications, *types("AllergyIntolerance")]})))
        assert plan.categories == ("allergies", "medications")

    def test_all_labels_of_a_restricted_category_are_the_category(self) -> None:
        codes = words.LABELS_OF[Category.SUBSTANCE_USE]
        plan = from_consent(consent(permit(securityLabel=[coding(words.ACT_CODE, code) for code in codes])))
        assert plan.categories == ("substance-use",)

    def test_a_category_that_no_type_and_no_label_describes_is_granted_by_name_only(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # None lists the resource types of a category that has none: that must not count as all of them.
        monkeypatch.setitem(words.TYPES_OF, Category.GENOMICS, frozenset())
        monkeypatch.setitem(words.LABELS_OF, Category.SEXUAL_HEALTH, frozenset())

        plan = from_consent(consent(permit(**{"class": types(*words.TYPES_OF[Category.MEDICATIONS])})))
        assert plan.categories == ("medications",)
        codes = words.LABELS_OF[Category.SUBSTANCE_USE]
        plan = from_consent(consent(permit(securityLabel=[coding(words.ACT_CODE, code) for code in codes])))
        assert plan.categories == ("substance-use",)

    def test_only_whole_years_are_granted(self) -> None:
        plan = from_consent(
            consent(permit(**{"class": ours("laboratory"), "dataPeriod": {"start": "2019-06-01", "end": "2021"}}))
        )
        assert plan.years == (2020, 2021)
        assert any("2020 to 2021" in note for note in plan.notes)

    def test_years_of_everything_are_years_of_each_category(self) -> None:
        plan = from_consent(consent(permit(dataPeriod={"start": "2020", "end": "2020"})))
        assert plan.years == (2020,)
        assert set(plan.categories) == {category.value for category in Category} - {c.value for c in RESTRICTED}

    def test_window_is_that_of_both_provisions(self) -> None:
        inner = permit(period={"start": "2025-01-01", "end": "2026-12-31T23:59:59Z"})
        plan = from_consent(consent({"type": "deny", "period": {"start": "2026-01-01"}, "provision": [inner]}))
        assert (plan.starts_at, plan.expires_at) == (START, END)

    @pytest.mark.parametrize("kind", ["Account", "laboratory", ""])
    def test_a_resource_type_that_no_category_holds_permits_nothing(self, kind: str) -> None:
        document = consent(permit(**{"class": [*ours("laboratory"), *types(kind or "Nonsense")]}))
        assert "Consent.provision.class[1]" in places(document)
        # Nor does a known type's name in another system.
        other = consent(permit(**{"class": [*ours("laboratory"), coding("urn:other", "Observation")]}))
        assert "Consent.provision.class[1]" in places(other)

    def test_a_window_that_begins_before_all_policies_begins_with_them(self) -> None:
        plan = from_consent(consent(permit(period={"start": "1960", "end": "2026-12-31"})))
        assert (plan.starts_at, plan.expires_at) == (0, END)
        assert places(consent(permit(period={"start": "1950", "end": "1960"}))).keys() == {"Consent.provision.period"}

    def test_a_note_is_told_once(self) -> None:
        inner = [
            {"type": "deny", "class": ours(name), "dataPeriod": {"start": "2020"}} for name in ("vitals", "imaging")
        ]
        plan = from_consent(consent(permit(provision=inner)))
        assert len(plan.notes) == len(set(plan.notes))

    def test_time_zone_counts(self) -> None:
        plan = from_consent(consent(permit(period={"end": "2027-01-01T09:59:59+10:00"})))
        assert plan.expires_at == END

    @pytest.mark.parametrize("restricted", [False, True])
    def test_whoever_grants_all_is_told_what_all_leaves_out_and_nobody_else(self, restricted: bool) -> None:
        plan = from_consent(consent(permit(**({"class": ours("laboratory")} if restricted else {}))))
        assert any("restricted categories are left out" in note for note in plan.notes) is not restricted

    def test_a_category_and_its_records_without_a_date_are_the_category(self) -> None:
        for names in (("laboratory", "laboratory/undated"), ("laboratory/undated", "laboratory")):
            plan = from_consent(consent(permit(**{"class": ours(*names)})))
            assert (plan.categories, plan.years) == (("laboratory",), ())
        plan = from_consent(consent(permit(**{"class": ours("laboratory/undated")})))
        assert (plan.categories, plan.years) == (("laboratory",), (UNDATED,))

    def test_opt_in_frame_without_a_type_holds_its_permits(self) -> None:
        rule = {"coding": [coding(words.ACT_CODE, "OPTIN")]}
        plan = from_consent(consent({"provision": [permit()]}, policyRule=rule))
        assert plan.categories == ("all",)


class TestFrames:
    """A permit inside a provision holds only where both do."""

    @staticmethod
    def years(first: int, last: int) -> dict[str, Any]:
        return {"dataPeriod": {"start": str(first), "end": str(last)}}

    def test_without_a_type_it_narrows_what_it_holds(self) -> None:
        rule = {"policyRule": {"coding": [coding(words.ACT_CODE, "OPTIN")]}}
        lab, both = {"class": ours("laboratory")}, {"class": ours("laboratory", "vitals")}
        years = self.years(2020, 2021)
        for outer, inner, categories, kept in (
            (lab, {}, ("laboratory",), ()),
            ({}, lab, ("laboratory",), ()),
            (both, lab, ("laboratory",), ()),
            (lab, both, ("laboratory",), ()),
            (lab | self.years(2019, 2020), lab | years, ("laboratory",), (2020,)),
            (lab | years, lab, ("laboratory",), (2020, 2021)),
            (lab, lab | years, ("laboratory",), (2020, 2021)),
            ({"class": ours("all")}, {"class": ours("all")}, ("all",), ()),
            ({"class": ours("all")}, lab, ("laboratory",), ()),
        ):
            plan = from_consent(consent({**outer, "provision": [permit(**inner)]}, **rule))
            assert (plan.categories, plan.years) == (categories, kept)

    def test_what_both_leave_no_room_for_is_refused(self) -> None:
        rule = {"policyRule": {"coding": [coding(words.ACT_CODE, "OPTIN")]}}
        lab, vitals = {"class": ours("laboratory")}, {"class": ours("vitals")}
        for outer, inner in (
            (lab, vitals),
            (lab | self.years(2018, 2019), lab | self.years(2020, 2021)),
            ({"purpose": [coding(words.ACT_REASON, "HPAYMT")]}, {}),
        ):
            found = places(consent({**outer, "provision": [permit(**inner)]}, **rule))
            assert list(found) == ["Consent.provision.provision[0]"]
            assert "permits nothing" in found["Consent.provision.provision[0]"]
        undated = permit(**{"class": ours("laboratory/undated"), **self.years(2020, 2020)})
        assert places(consent(undated)) == {"Consent.provision": "permits nothing"}


class TestVerification:
    @pytest.mark.parametrize("wrong", ["text", None, 7, [], {}, {"verified": False}, {"verified": "true"}])
    def test_one_that_says_nothing_or_no_is_refused(self, wrong: object) -> None:
        assert places(consent(verification=[wrong])).keys() == {"Consent.verification[0]"}
        assert places(consent(verification=[{"verified": True}, wrong])).keys() == {"Consent.verification[1]"}

    def test_one_that_says_yes_is_followed(self) -> None:
        assert from_consent(consent(verification=[{"verified": True}])).categories == ("all",)


class TestExceptions:
    def test_an_exception_by_class_and_label_closes_what_is_both(self) -> None:
        inner = {"type": "deny", "class": ours("mental-health", "laboratory")}
        plan = from_consent(
            consent(
                permit(
                    **{
                        "class": ours("laboratory", "vitals", "mental-health"),
                        "provision": [inner | {"securityLabel": [coding(words.ACT_CODE, "PSY")]}],
                    }
                )
            )
        )
        assert (plan.categories, plan.excepted) == (("laboratory", "vitals"), ("mental-health",))

    def test_denied_category_is_left_out(self) -> None:
        plan = from_consent(consent(permit(provision=[{"type": "deny", "class": ours("laboratory", "vitals")}])))
        assert plan.excepted == ("laboratory", "vitals")
        assert "all" not in plan.categories
        assert set(plan.categories) == {
            category.value for category in words.DEFAULT_CATEGORIES if category.value not in plan.excepted
        }

    def test_a_denied_category_that_all_does_not_cover_leaves_all(self) -> None:
        plan = from_consent(consent(permit(provision=[{"type": "deny", "class": ours("mental-health")}])))
        assert (plan.categories, plan.excepted) == (("all",), ())

    def test_denied_type_closes_every_category_that_may_hold_it(self) -> None:
        plan = from_consent(consent(permit(provision=[{"type": "deny", "class": types("Observation")}])))
        closed = {"laboratory", "vitals", "imaging", "procedures", "encounters", "care-plans", "genomics"}
        assert set(plan.excepted) == closed

    def test_denied_label_closes_every_category_that_may_hold_it(self) -> None:
        inner = [{"type": "deny", "securityLabel": [coding(words.ACT_CODE, "PSY")]}]
        plan = from_consent(
            consent(permit(**{"class": ours("laboratory", "mental-health", "sexual-health"), "provision": inner}))
        )
        # A record with two labels goes where the first one says.
        assert plan.categories == ("laboratory",)
        assert plan.excepted == ("mental-health", "sexual-health")

    def test_denied_years_are_left_out(self) -> None:
        inner = [{"type": "deny", "dataPeriod": {"start": "2020-06-01", "end": "2021-02-01"}}]
        plan = from_consent(
            consent(
                permit(
                    **{
                        "class": ours("laboratory"),
                        "dataPeriod": {"start": "2019", "end": "2023"},
                        "provision": inner,
                    }
                )
            )
        )
        assert plan.years == (2019, 2022, 2023)

    def test_denied_category_of_some_years_is_left_out_whole(self) -> None:
        inner = [{"type": "deny", "class": ours("laboratory"), "dataPeriod": {"start": "2020"}}]
        plan = from_consent(consent(permit(**{"class": ours("laboratory", "vitals"), "provision": inner})))
        assert plan.categories == ("vitals",)
        assert any("as a whole category" in note for note in plan.notes)

    def test_denied_purpose_is_left_out(self) -> None:
        both = [coding(words.ACT_REASON, code) for code in ("TREAT", "HPAYMT")]
        plan = from_consent(consent(permit(purpose=both, provision=[{"type": "deny", "purpose": both[1:]}])))
        assert plan.purposes == (Purpose.TREAT,)

    def test_emergency_summary_goes_with_what_it_holds(self) -> None:
        inner = [{"type": "deny", "class": ours("allergies")}]
        plan = from_consent(consent(permit(**{"class": ours("emergency", "laboratory"), "provision": inner})))
        assert plan.categories == ("laboratory",)

    @pytest.mark.parametrize(
        "inner",
        [
            {"type": "deny"},
            {"type": "deny", "class": ours("all")},
            {"type": "deny", "securityLabel": [coding(words.CONFIDENTIALITY, "N")]},
        ],
    )
    def test_exception_that_leaves_nothing_is_refused(self, inner: dict[str, Any]) -> None:
        assert list(places(consent(permit(provision=[inner])))) == ["Consent.provision.provision[0]"]

    def test_denied_years_of_every_year_are_refused(self) -> None:
        inner = {"type": "deny", "dataPeriod": {"start": "2020", "end": "2020"}}
        assert list(places(consent(permit(provision=[inner])))) == ["Consent.provision.provision[0].dataPeriod"]


ACTOR = {"role": {"coding": [coding(words.PARTICIPATION, "IRCP")]}, "reference": {"reference": "Practitioner/1"}}
AUTHOR = {"role": {"coding": [coding(words.PARTICIPATION, "AUT")]}, "reference": {"reference": "Practitioner/1"}}
PERMIT = "Consent.provision"
DENY = "Consent.provision.provision[0]"
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (consent(status="draft"), "Consent.status", "draft"),
    (consent(modifierExtension=[]), "Consent.modifierExtension", "changes what the rest means"),
    (consent(implicitRules="urn:x"), "Consent.implicitRules", "isn't known"),
    (consent(_status={}), "Consent.…", "isn't known"),
    (consent(meta={"tag": [{"code": "SUBSETTED"}]}), "Consent.meta.tag[0]", "missing"),
    (consent(scope={"coding": [coding(words.SCOPE_SYSTEM, "research")]}), "Consent.scope.coding[0]", "not about"),
    (consent(scope={"text": "privacy"}), "Consent.scope", "no code"),
    (consent(category=None), "Consent.category", "is missing"),
    (
        consent(category=[{"coding": [coding(words.ACT_CODE, "EMRGONLY")]}]),
        "Consent.category[0].coding[0]",
        "EMRGONLY",
    ),
    (consent(patient=None), "Consent.patient", "is missing"),
    (consent(patient="me"), "Consent.patient", "no JSON object"),
    (consent(patient={}), "Consent.patient", "names nobody"),
    (consent([permit()]), "Consent.provision", "no JSON object"),
    (consent(category="x"), "Consent.category", "no list"),
    (consent(policyRule={"coding": [coding(words.ACT_CODE, "OPTOUT")]}), "Consent.policyRule", "opt-out"),
    (
        consent(policyRule={"coding": [coding(words.ACT_CODE, "HIPAAAuth")]}),
        "Consent.policyRule.coding[0]",
        "isn't known",
    ),
    (consent(verification=[{"verified": False}]), "Consent.verification[0]", "isn't verified"),
    (consent({}), "Consent.provision.type", "isn't said"),
    (consent({"type": "deny"}), "Consent.provision", "only denies"),
    (consent({"type": "allow"}), "Consent.provision.type", "neither permit nor deny"),
    (consent({"type": "permit"}), f"{PERMIT}.purpose", "no purpose is given"),
    (consent(permit(purpose=[])), f"{PERMIT}.purpose", "is empty"),
    (consent(permit(purpose=[coding(words.ACT_REASON, "BTG")])), f"{PERMIT}.purpose[0]", "BTG"),
    (consent(permit(purpose=[coding("urn:x", "TREAT")])), f"{PERMIT}.purpose[0]", "purpose"),
    (consent(permit(actor=[])), f"{PERMIT}.actor", "is empty"),
    (consent(permit(actor=[AUTHOR])), f"{PERMIT}.actor[0].role", "author"),
    (consent(permit(code=[{}])), f"{PERMIT}.code[0]", "single codes"),
    (consent(permit(data=[{"meaning": "related"}])), f"{PERMIT}.data[0]", "permits by data reference (related)"),
    (
        consent(permit(action=[{"coding": [coding(words.ACTION_SYSTEM, "correct")]}])),
        f"{PERMIT}.action[0]",
        "permits an action (correct)",
    ),
    (consent(permit(extension=[])), f"{PERMIT}.extension", "isn't known"),
    (consent(permit(modifierExtension=[])), f"{PERMIT}.modifierExtension", "changes"),
    (consent(permit(**{"class": types("MedicationRequest")})), f"{PERMIT}.class[0]", "MedicationRequest alone"),
    (consent(permit(**{"class": types("Specimen")})), f"{PERMIT}.class[0]", "Specimen alone"),
    (consent(permit(**{"class": types("Observation")})), f"{PERMIT}.class[0]", "Observation alone"),
    (consent(permit(**{"class": [coding("urn:x", "y")]})), f"{PERMIT}.class[0]", "isn't known"),
    (consent(permit(**{"class": ours("cardiology")})), f"{PERMIT}.class[0]", "isn't known"),
    (consent(permit(**{"class": ours("all/undated")})), f"{PERMIT}.class[0]", "isn't known"),
    (
        consent(permit(securityLabel=[coding(words.ACT_CODE, "PSY")])),
        f"{PERMIT}.securityLabel[0]",
        "labelled PSY alone",
    ),
    (consent(permit(securityLabel=[coding(words.CONFIDENTIALITY, "R")])), f"{PERMIT}.securityLabel[0]", "R alone"),
    (
        # All labels of a category, in a system that doesn't have them.
        consent(
            permit(
                securityLabel=[
                    coding(words.CONFIDENTIALITY, code) for code in sorted(words.LABELS_OF[Category.SUBSTANCE_USE])
                ]
            )
        ),
        f"{PERMIT}.securityLabel[0]",
        "isn't known here",
    ),
    (consent(permit(securityLabel=[coding(words.ACT_CODE, "XYZ")])), f"{PERMIT}.securityLabel[0]", "isn't known"),
    (
        consent(permit(**{"class": ours("mental-health"), "securityLabel": [coding(words.ACT_CODE, "MH")]})),
        f"{PERMIT}.securityLabel[0]",
        "part of a category",
    ),
    (
        consent(permit(**{"class": ours("mental-health"), "securityLabel": [coding(words.CONFIDENTIALITY, "N")]})),
        f"{PERMIT}.securityLabel[0]",
        "part of a category",
    ),
    (consent(permit(period={"end": "soon"})), f"{PERMIT}.period.end", "no FHIR dateTime"),
    (consent(permit(period={"start": "2026-02-30"})), f"{PERMIT}.period.start", "no FHIR dateTime"),
    (consent(permit(period={"start": "2027", "end": "2026"})), f"{PERMIT}.period", "before it begins"),
    (consent(permit(dataPeriod={"start": "2020"})), f"{PERMIT}.dataPeriod", "no end"),
    (consent(permit(dataPeriod={"start": "2020-02", "end": "2020-11"})), f"{PERMIT}.dataPeriod", "no whole year"),
    (
        consent(permit(dataPeriod={"start": "2020-01-01T00:00:00Z", "end": "2021"})),
        f"{PERMIT}.dataPeriod",
        "isn't made of dates",
    ),
    (
        consent(permit(**{"class": ours("emergency"), "dataPeriod": {"start": "2020", "end": "2021"}})),
        f"{PERMIT}.dataPeriod",
        "no years",
    ),
    (consent(permit(provision=[permit()])), f"{DENY}.type", "permits inside a permit"),
    (consent(permit(provision=[{"class": ours("vitals")}])), f"{DENY}.type", "is missing"),
    (
        consent(permit(provision=[{"type": "deny", "provision": [permit()]}])),
        f"{DENY}.provision",
        "exception to an exception",
    ),
    (
        consent(permit(provision=[{"type": "deny", "class": [coding("urn:x", "y")]}])),
        f"{DENY}.class[0]",
        "denies a class (y)",
    ),
    (consent(permit(provision=[{"type": "deny", "class": ours("cardiology")}])), f"{DENY}.class[0]", "isn't known"),
    (consent(permit(provision=[{"type": "deny", "class": types("Planet")}])), f"{DENY}.class[0]", "isn't known"),
    (
        consent(permit(provision=[{"type": "deny", "dataPeriod": {"start": "soon"}}])),
        f"{DENY}.dataPeriod.start",
        "is no date",
    ),
    (
        consent(permit(provision=[{"type": "deny", "dataPeriod": {"end": "2020-01-01T00:00:00Z"}}])),
        f"{DENY}.dataPeriod.end",
        "is no date",
    ),
    (consent(permit(provision=[{"type": "deny", "actor": [AUTHOR]}])), f"{DENY}.actor[0]", "excepts a single author"),
    (consent(permit(provision=[{"type": "deny", "actor": [ACTOR]}])), f"{DENY}.actor[0]", "somebody in particular"),
    (consent(permit(provision=[{"type": "deny", "period": {"end": "2026"}}])), f"{DENY}.period", "part of the time"),
    (
        consent(permit(provision=[{"type": "deny", "action": [{"coding": [coding(words.ACTION_SYSTEM, "correct")]}]}])),
        f"{DENY}.action[0]",
        "denies an action (correct)",
    ),
    (
        consent(permit(provision=[{"type": "deny", "data": [{"meaning": "authoredby"}]}])),
        f"{DENY}.data[0]",
        "denies by data reference (authoredby)",
    ),
    (
        consent({"type": "deny", "purpose": [coding(words.ACT_REASON, "HRESCH")], "provision": [permit()]}),
        DENY,
        "leaves room",
    ),
    (
        consent({"type": "deny", "provision": [permit(), permit(purpose=[coding(words.ACT_REASON, "HRESCH")])]}),
        "Consent.provision.provision[1].purpose",
        "differs",
    ),
]


class TestRefusals:
    @pytest.mark.parametrize(("document", "place", "reason"), REFUSED, ids=[f"{p} {r}" for _, p, r in REFUSED])
    def test_names_the_place_and_the_reason(self, document: dict[str, Any], place: str, reason: str) -> None:
        found = places(document)
        assert place in found
        assert reason in found[place]

    def test_without_a_provision_nothing_is_permitted(self) -> None:
        document = consent(permit())
        del document["provision"]
        assert places(document) == {"Consent.provision": "is missing: nothing is permitted"}

    def test_names_all_places_at_once(self) -> None:
        found = places(consent(permit(code=[{}], data=[{}]), status="rejected"))
        assert list(found) == ["Consent.status", "Consent.provision.code[0]", "Consent.provision.data[0]"]

    def test_names_a_hundred_places_at_most(self) -> None:
        with pytest.raises(ConsentNotEnforceableError) as caught:
            from_consent(consent(permit(code=[{}] * 150)))
        assert len(caught.value.provisions) == 100

    def test_repeats_no_text_of_the_document(self) -> None:
        secret = "Jane Roe, born 1970"
        document = consent(permit(purpose=[coding(secret, secret)], **{secret: 1}), status=secret, **{secret: 1})
        with pytest.raises(ConsentNotEnforceableError) as caught:
            from_consent(document)
        assert "Jane" not in str(caught.value) + str(caught.value.provisions)

    def test_parties_named_by_words_alone_are_different(self) -> None:
        one, two = (copy.deepcopy(ACTOR) | {"reference": {"display": name}} for name in ("A", "B"))
        document = consent({"type": "deny", "actor": [one], "provision": [permit(actor=[two])]})
        assert list(places(document)) == [DENY]

    def test_other_resources_are_no_consent(self) -> None:
        with pytest.raises(InputError):
            from_consent({"resourceType": "Patient"})
        with pytest.raises(InputError):
            read_consent(b'{"resourceType":"Patient"}')

    @pytest.mark.parametrize(
        "content", [b" " * (MAX_SIZE + 1), b"[" * 10_000, b"\xff", b"{", b'{"a":1,"a":2}', b"NaN", b"[]"]
    )
    def test_hostile_files_are_refused(self, content: bytes) -> None:
        with pytest.raises(InputError):
            read_consent(content)

    def test_a_file_of_a_mebibyte_is_read_and_a_larger_one_is_not(self) -> None:
        content = json.dumps(consent(permit())).encode()
        assert read_consent(content.ljust(1_048_576))["resourceType"] == "Consent"
        with pytest.raises(InputError, match="at most 1048576"):
            read_consent(content.ljust(1_048_577))

    def test_long_lists_are_refused(self) -> None:
        found = places(consent({"type": "deny", "provision": [permit()] * 501}))
        assert "at most 500" in found["Consent.provision.provision"]

    @settings(max_examples=100)
    @given(data=st.data())
    def test_never_fails_in_another_way(self, data: st.DataObject) -> None:
        leaf = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["permit", "deny"])
        value = st.recursive(leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner))
        written = consent(permit(provision=[{"type": "deny", "class": ours("vitals")}], actor=[ACTOR]))
        document: Any = copy.deepcopy(written)
        target = document
        while True:
            keys = list(target) if isinstance(target, dict) else list(range(len(target)))
            key = data.draw(st.sampled_from(keys))
            if isinstance(target[key], dict | list) and target[key] and data.draw(st.booleans()):
                target = target[key]
                continue
            target[key] = data.draw(value)
            break
        with suppress(PanaChainError):
            from_consent(document)


HL7 = {
    "Emergency": ("Consent.category[0].coding[0]", "Consent.policyRule"),
    "Out": ("Consent.policyRule", "Consent.provision.type"),
    "basic": ("Consent.provision.type",),
    "grantor": ("Consent.category[0].coding[0]", "Consent.policyRule", "Consent.provision.actor[0].role"),
    "notAuthor": ("Consent.provision.actor[0].role", "Consent.provision.type"),
    "notOrg": ("Consent.provision.action[1]", "Consent.provision"),
    "notThem": ("Consent.provision.action[1]", "Consent.provision.type"),
    "notThis": ("Consent.provision.data[0]", "Consent.provision.type"),
    "notTime": ("Consent.provision.type",),
    "pkb": ("Consent.policyRule", "Consent.provision.provision[0].type"),
    "signature": (
        "Consent.category[0].coding[0]",
        "Consent.provision.provision[0].code[0]",
        "Consent.provision.provision[0].actor[0].role",
        "Consent.provision.provision[0].class[0]",
        "Consent.provision.provision[0].purpose",
    ),
    "smartonfhir": ("Consent.provision.provision[0].class[0]", "Consent.provision.provision[0].purpose"),
}
"""What of HL7's examples stands in the way of a grant: each of them lacks or says something that no grant can hold."""


class TestHl7Examples:
    @pytest.mark.parametrize("name", HL7)
    def test_is_refused_by_the_named_provisions(self, name: str) -> None:
        content = shared("data", *EXAMPLES, f"Consent-consent-example-{name}.json").read_bytes()
        found = places(dict(read_consent(content)))
        assert set(HL7[name]) <= set(found)

    def test_no_example_is_left_out(self) -> None:
        folder = shared("data", *EXAMPLES)
        names = {path.stem.removeprefix("Consent-consent-example-") for path in folder.glob("Consent-*.json")}
        assert names == set(HL7)

    def test_the_example_for_a_time_imports_once_it_says_what_it_permits(self) -> None:
        document = dict(read_consent(shared("data", *EXAMPLES, "Consent-consent-example-notTime.json").read_bytes()))
        document["provision"] = permit(**document["provision"])
        plan = from_consent(document)
        assert (plan.starts_at, plan.expires_at) == (1_420_070_400, 1_422_835_200)
        assert plan.categories == ("all",)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("1970", (0, 31_536_000)),
        ("1970-01", (0, 2_678_400)),
        ("1970-01-01", (0, 86_400)),
        ("1970-01-01T00:00:00Z", (0, 1)),
        ("1970-01-01T00:00:00.000Z", (0, 1)),
        ("1970-01-01T00:00:00.5Z", (1, 0)),
        ("1970-01-01T00:00:00-01:30", (5_400, 5_401)),
        ("9999-12-31", (253_402_214_400, 253_402_300_800)),
        ("1970-01-01T00:00:00", None),
        ("1970-13", None),
        ("1970-01-01T24:00:00Z", None),
        ("1970-01-01T00:00:60Z", None),
        ("1970-01-01T00:60:00Z", None),
        ("1970-01-01T23:59:59Z", (86_399, 86_400)),
        ("1970-01-01T00:00:00+15:00", None),
        ("0000", None),
        ("１９７０", None),
    ],
)
def test_a_date_time_spans_what_fhir_says(text: str, span: tuple[int, int] | None) -> None:
    assert words.seconds_of(text) == span


@pytest.mark.parametrize(
    ("start", "end", "inside"),
    [
        ("2019", "2021", (2019, 2021)),
        ("2019-01", "2021-12", (2019, 2021)),
        ("2019-01-01", "2021-12-31", (2019, 2021)),
        ("2019-01-02", "2021-12-30", (2020, 2020)),
        ("2019-02", "2021-11", (2020, 2020)),
        ("2019-02-01", "2021-12-01", (2020, 2020)),
        ("2019-12-31", "2021-01-01", (2020, 2020)),
        ("2019-12", "2021-01", (2020, 2020)),
        ("2020-06", "2020-07", (2021, 2019)),
        ("2019-01-01T00:00:00Z", "2021", None),
        ("2019", "2021-12-31T23:59:59Z", None),
        ("2019-13", "2021", None),
        ("x", "2021", None),
    ],
)
def test_only_whole_years_lie_between_two_dates(start: str, end: str, inside: tuple[int, int] | None) -> None:
    assert words.years_inside(start, end) == inside


@pytest.mark.parametrize(("text", "year"), [("2020", 2020), ("2020-12", 2020), ("2020-12-31", 2020), ("x", None)])
def test_a_date_has_a_year(text: str, year: int | None) -> None:
    assert words.year_of_date(text) == year
    assert words.year_of_date("2020-01-01T00:00:00Z") is None


def test_every_restricted_category_has_labels_to_be_exported_and_imported_by() -> None:
    assert words.LABELS.keys() == words.LABELS_OF.keys() == RESTRICTED
    assert all(words.LABELS[one] and set(words.LABELS[one]) <= words.LABELS_OF[one] for one in RESTRICTED)


@pytest.mark.parametrize("category", sorted(RESTRICTED, key=lambda one: one.value), ids=lambda one: one.value)
def test_a_category_with_some_of_its_labels_is_less_than_the_category(category: Category) -> None:
    codes = words.LABELS_OF[category]

    def labelled(*some: str) -> dict[str, Any]:
        labels = [coding(words.CONFIDENTIALITY if code in ("R", "V") else words.ACT_CODE, code) for code in some]
        return consent(permit(**{"class": ours(category.value), "securityLabel": labels}))

    assert from_consent(labelled(*codes)).categories == (category.value,)
    for left_out in codes if len(codes) > 1 else ():
        with pytest.raises(ConsentNotEnforceableError, match="only the part of a category"):
            from_consent(labelled(*(codes - {left_out})))
