"""The registry of pages: each module here is one part of the portal, and a page more is one line here.

A module has `router`, its routes, and `PAGES`, its entries of the navigation. It never touches keys, chains or stores
but through the SDK. Follows docs/spec/portal.md, section "Pages".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Final

from panachain.model.actors import Role

MODULES: Final[tuple[str, ...]] = (
    "everyone",
    "people",
    "chain",
    "hospital_home",
    "hospital_upload",
    "hospital_patients",
    "hospital_batches",
    "hospital_erasures",
    "operator",
    "practitioner_emergency",
    "practitioner_groups",
    "practitioner_inbox",
    "practitioner_readings",
    "practitioner_requests",
    "registrar_reviews",
    "registrar_wards",
    "researcher_query",
    "patient_home",
    "patient_records",
    "patient_emergency",
    "patient_erasures",
    "patient_grants",
    "patient_requests",
    "patient_log",
    "patient_hospitals",
    "ward_proposals",
    "patient_wards",
    "patient_links",
    "patient_export",
    "machine",
    "keys",
    "leaks",
    "messages",
    "own_keys",
    "recovery",
    "guardians",
    "viewing",
    "viewers",
    "searching",
)
"""Modules of this folder, in any order."""


@dataclass(frozen=True)
class Page:
    """An entry of the navigation."""

    path: str
    """Such as `/grants`."""
    title: str
    """In English, marked with `N_`; translated when it is shown."""
    roles: frozenset[Role]
    """Who has it; empty means everybody."""
    order: int
    """Its place; 0 is a role's home; from 80 on, what everybody has and what is seldom used stand below “More”."""


@cache
def modules() -> tuple[ModuleType, ...]:
    """Return the modules of `MODULES`."""
    return tuple(import_module(f"panachain.portal.pages.{name}") for name in MODULES)


@cache
def navigation(role: Role) -> tuple[Page, ...]:
    """Return what somebody with a role finds in the navigation, in its order."""
    found = [page for module in modules() for page in module.PAGES if not page.roles or role in page.roles]
    return tuple(sorted(found, key=lambda page: (page.order, page.path)))
