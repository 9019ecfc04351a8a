"""A policy as a FHIR R4 Consent.

Never says more than the policy allows, and holds no key: whoever gets the document learns terms and opens nothing.
`consent/fhir_consent.py` reads such a document back. Pure: no clock, no network. Follows FHIR R4 (Consent), IHE ITI PCF
1.1 and docs/spec/consent.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from panachain.consent import fhir_vocabulary as words
from panachain.ipld.cid import CID, RAW
from panachain.model.policy import OnChainPolicy, PolicyStatus, Terms
from panachain.model.scope import RESTRICTED, UNDATED, Category
from panachain.records.fhir_codes import CONFIDENTIAL

_STATUS: Final = {
    PolicyStatus.UNKNOWN: "proposed",
    PolicyStatus.NOT_YET: "active",
    PolicyStatus.ACTIVE: "active",
    PolicyStatus.EXPIRED: "inactive",
    PolicyStatus.REVOKED: "inactive",
}
"""A policy whose window comes is agreed on and followed, so it is active; its period says from when."""


def to_consent(terms: Terms, policy: OnChainPolicy, *, granted_at: int | None = None) -> dict[str, Any]:
    """Return a policy as an R4 Consent.

    Args:
        terms: what the policy allows.
        policy: what the mainchain says of it.
        granted_at: Unix seconds of the block that has the grant; None leaves `dateTime` out.
    """
    made: dict[str, Any] = {"resourceType": "Consent"}
    if granted_at is not None and {lane.scope.text for lane in terms.lanes} == {"all"}:
        # PCF has no element for a category, so other scopes are R4 only.
        made["meta"] = {"profile": [words.ADVANCED_PROFILE]}
    made |= {
        "extension": [_threshold(terms)],
        "identifier": [{"system": words.POLICY_SYSTEM, "value": terms.policy_id}],
        "status": _STATUS[policy.status],
        "scope": {"coding": [{"system": words.SCOPE_SYSTEM, "code": words.SCOPE_CODE}]},
        "category": [{"coding": [{"system": words.LOINC, "code": words.CONSENT_CODE}]}],
        "patient": _account(terms.patient, "Patient"),
    }
    if granted_at is not None:
        made["dateTime"] = words.instant(granted_at)
    return made | {
        "performer": [_account(terms.patient, "Patient")],
        "organization": [_account(proxy.address, "Organization") for proxy in terms.proxies],
        "sourceReference": {
            "type": "Contract",
            "identifier": {"system": words.TERMS_SYSTEM, "value": str(CID(RAW, policy.terms))},
        },
        "policy": [{"uri": words.RULES_URI}],
        "provision": {"type": "deny", "provision": list(_permits(terms))},
    }


def _permits(terms: Terms) -> Iterator[dict[str, Any]]:
    shared = {
        "type": "permit",
        # FHIR's end is included, a policy's isn't.
        "period": {"start": words.instant(terms.starts_at), "end": words.instant(terms.expires_at - 1)},
        "actor": [
            {
                "role": {"coding": [{"system": words.PARTICIPATION, "code": "IRCP"}]},
                "reference": _account(terms.grantee),
            }
        ],
    }
    purposes = [{"system": words.ACT_REASON, "code": purpose.value} for purpose in terms.purposes]
    for names, years in _groups(terms):
        restricted = [category for category in RESTRICTED if category.value in names]
        labels = (
            [
                {"system": words.CONFIDENTIALITY if code in CONFIDENTIAL else words.ACT_CODE, "code": code}
                for code in words.LABELS[restricted[0]]
            ]
            if restricted
            else [{"system": words.CONFIDENTIALITY, "code": words.NORMAL}]
        )
        made = {**shared, "securityLabel": labels, "purpose": purposes}
        if classes := _classes(names, undated=years == (UNDATED, UNDATED)):
            made["class"] = classes
        if years and years != (UNDATED, UNDATED):
            made["dataPeriod"] = {"start": f"{years[0]:04d}-01-01", "end": f"{years[1]:04d}-12-31"}
        yield made


def _groups(terms: Terms) -> Iterator[tuple[tuple[str, ...], tuple[int, int] | None]]:
    """Yield the names that stand in one provision, with the first and last of a run of years, or None for all."""
    years: dict[str, set[int]] = {}
    whole: list[str] = []
    for scope in dict.fromkeys(lane.scope for lane in terms.lanes):
        name, slash, year = scope.text.partition("/")
        if slash:
            years.setdefault(name, set()).add(int(year))
        else:
            whole.append(name)
    if "all" in whole:
        yield ("all",), None
    yield from ((names, None) for names in _apart([name for name in whole if name != "all"]))
    for run in sorted({run for found in years.values() for run in _runs(found)}):
        yield from ((names, run) for names in _apart([name for name, found in years.items() if run in _runs(found)]))


def _apart(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the names that can share a provision: each restricted category has labels of its own."""
    restricted = [name for name in names if name in {category.value for category in RESTRICTED}]
    if rest := tuple(name for name in names if name not in restricted):
        yield rest
    yield from ((name,) for name in restricted)


def _runs(years: Iterable[int]) -> list[tuple[int, int]]:
    """Return runs of years that follow each other, first and last; records without a date are a run of their own.

    There is one year at least.
    """
    ordered = sorted(set(years))
    breaks = [(one, other) for one, other in pairwise(ordered) if other != one + 1 or one == UNDATED]
    return list(zip([ordered[0], *(b for _, b in breaks)], [*(a for a, _ in breaks), ordered[-1]], strict=True))


def _classes(names: Sequence[str], *, undated: bool) -> list[dict[str, str]]:
    if tuple(names) == ("all",):
        # The label N says it all, in PCF's own words.
        return []
    suffix = "/undated" if undated else ""
    own = [{"system": words.CATEGORY_SYSTEM, "code": f"{name}{suffix}"} for name in names]
    categories = [category for category in Category if category.value in names and category not in RESTRICTED]
    # Without the period, a type would say more than the records without a date.
    kinds = [] if undated else [kind for category in categories for kind in words.types_for(category)]
    return own + [{"system": words.RESOURCE_TYPES, "code": kind} for kind in kinds]


def _account(address: str, kind: str = "") -> dict[str, Any]:
    identifier = {"system": words.ACCOUNT_SYSTEM, "value": address}
    return {"type": kind, "identifier": identifier} if kind else {"identifier": identifier}


def _threshold(terms: Terms) -> dict[str, Any]:
    return {
        "url": words.THRESHOLD_URL,
        "extension": [
            {"url": "threshold", "valuePositiveInt": terms.threshold},
            {"url": "shares", "valuePositiveInt": len(terms.proxies)},
        ],
    }
