"""Each module has its unit tests where one would look for them, and each file of tests its module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import panachain

PACKAGE = Path(panachain.__file__).parent
TESTS = Path(__file__).parent
MIRRORED = (
    "sdk",
    "service",
    "chain",
    "follow",
    "storage",
    "ipld",
    "consent",
    "crypto",
    "records",
    "devnet",
    "proxy",
    "research",
    "wire",
    "portal",
    "sharing",
    "viewer",
    "summary",
    "agent",
)

ELSEWHERE = {
    # Whoever asks the portal shows what they hold: clients over the twins' world.
    "portal/app.py": "../portal/test_failures.py",
    "portal/pages/practitioner_emergency.py": "portal/pages/test_patient_emergency.py",
    "portal/pages/registrar_reviews.py": "portal/pages/test_patient_emergency.py",
    "portal/pages/registrar_wards.py": "../portal/test_ward_proposals.py",
    "portal/pages/hospital_erasures.py": "portal/pages/test_patient_erasures.py",
    "portal/failures.py": "../portal/test_failures.py",
    "portal/holding.py": "../portal/test_leaks.py",
    "portal/forms.py": "../portal/test_attacks.py",
    "portal/guesses.py": "../portal/test_attacks.py",
    "portal/refusals.py": "../portal/test_attacks.py",
    "portal/site.py": "../portal/test_attacks.py",
    "portal/software.py": "../portal/test_viewers.py",
    "portal/unlocking.py": "../portal/test_keys.py",
    # Their claims need whole documents, or a patient's records in a store: these files hold them.
    "consent/fhir_elements.py": "consent/test_fhir_consent.py",
    "consent/fhir_provisions.py": "consent/test_fhir_consent.py",
    "consent/fhir_vocabulary.py": "consent/test_fhir_consent.py",
    "records/header.py": "records/test_publish.py",
    "records/locate.py": "records/test_publish.py",
    "records/subjects.py": "records/test_exports.py",
    "sdk/granted_records.py": "sdk/test_reader.py",
    "sdk/hospital_routing.py": "sdk/test_routing.py",
    # Every role's keys change over the twins' world.
    "sdk/key_rotation.py": "../twin/test_key_rotation.py",
    "sdk/publishing.py": "sdk/test_hospital.py",
    "viewer/image_worker.py": "viewer/test_images.py",
    "viewer/items.py": "viewer/test_chart.py",
    "viewer/kinds.py": "viewer/test_chart.py",
    # Plain values: what holds for every result holds for these.
    "sdk/hospital_erasures.py": "sdk/test_erasing.py",
    "sdk/own_erasures.py": "sdk/test_erasing.py",
    "sdk/results/choices.py": "sdk/test_own_choices.py",
    "sdk/results/keys.py": "sdk/results/test_package.py",
    "sdk/results/erasures.py": "sdk/results/test_package.py",
    "sdk/results/log.py": "sdk/results/test_package.py",
    "sdk/results/overview.py": "sdk/test_hospital_overview.py",
    "sdk/results/recovery.py": "sdk/test_recovery.py",
    "sdk/results/searches.py": "sdk/test_searching.py",
    "sdk/results/services.py": "sdk/test_services.py",
    "sdk/results/people.py": "sdk/results/test_package.py",
    "sdk/guardian_blocks.py": "sdk/test_guarding.py",
    "sdk/results/guardians.py": "sdk/test_guardians.py",
    "sdk/desks.py": "../twin/test_emergency.py",
    "sdk/emergencies.py": "../twin/test_emergency.py",
    "sdk/results/emergencies.py": "../twin/test_emergency.py",
    "sdk/care.py": "../twin/test_wards.py",
    "sdk/wards.py": "../twin/test_wards.py",
    "sdk/results/wards.py": "../twin/test_wards.py",
    "sdk/results/summaries.py": "sdk/test_summaries.py",
    "sdk/results/shares.py": "sdk/results/test_package.py",
    "sdk/results/uploads.py": "sdk/results/test_package.py",
    "sdk/results/viewers.py": "sdk/test_viewers.py",
}
"""Modules without a test file of their own, and the file that holds their claims."""

CLAIMS = {
    "portal/test_patient_templates.py": "a hostile text is harmless in every place of a patient's page",
    "portal/test_static.py": "our copy of htmx is the one that npm has",
    # Each holds one claim that goes through several modules, and is named after the claim.
    "chain/contracts/test_mirror.py": "adapters, interfaces and artifacts have the same functions",
    "chain/test_events.py": "every event of the ABIs is decoded as the oracle decodes it",
    "chain/test_evm_time.py": "how long a sender waits, in virtual time",
    "chain/test_leakage.py": "no value of one chain stands on the other",
    "consent/test_never_wider.py": "a FHIR Consent never grants more than it says",
    "consent/test_scope_collusion.py": "who puts keys together gets nothing that none of them had",
    "crypto/test_umbral.py": "the strict wrapper takes what it should, whatever it stands on",
    "crypto/test_umbral_misuse.py": "what an attacker can do with keys, kfrags and cfrags",
    "crypto/test_umbral_other.py": "another Umbral fits in the place of ours",
    "proxy/test_dishonest.py": "proxies that lie in every way that can be written",
    "records/sensitivity/test_cases.py": "kinds of files that went to a wrong category go to the right one",
    "sdk/results/test_package.py": "each result is frozen and has a documented schema of its own",
    "service/proxy/test_quotas.py": "nobody takes the proxy from others by asking much",
    "service/proxy/test_store_postgresql.py": "the store holds its claims on PostgreSQL too",
    "service/test_descriptions.py": "OpenAPI says what the services do",
    "wire/test_one_place.py": "nobody else opens a connection",
    # Of the whole package.
    "test_collecting.py": "",
    "test_language.py": "",
    "test_leftovers.py": "",
    "test_mirror.py": "",
    "test_references.py": "",
    "test_rules.py": "",
    "test_shape.py": "",
}
"""Files of tests without a module of their name."""


def modules() -> Iterator[str]:
    """Yield the modules of the mirrored folders, by their paths."""
    for folder in MIRRORED:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            if path.name != "__init__.py":
                yield path.relative_to(PACKAGE).as_posix()


def file_of(module: str) -> str:
    folder, _, name = module.rpartition("/")
    return f"{folder}/test_{name}"


def _page(module: str) -> Path:
    """Return where a page of the portal may have its tests, too: with those of all pages."""
    folder, _, name = module.rpartition("/")
    return TESTS.parent / "portal" / f"test_{name}" if folder == "portal/pages" else Path()


def test_every_module_has_its_test_file() -> None:
    missing = {one for one in modules() if not (TESTS / file_of(one)).is_file() and not _page(one).is_file()}
    assert missing == set(ELSEWHERE), "write the file, or say in ELSEWHERE which one holds the module's claims"


def test_the_file_that_holds_a_modules_claims_elsewhere_is_there() -> None:
    assert not [path for path in ELSEWHERE.values() if not (TESTS / path).is_file()]


def test_no_test_file_lacks_its_module() -> None:
    for path in sorted(TESTS.rglob("test_*.py")):
        name = path.relative_to(TESTS).as_posix()
        module = path.relative_to(TESTS).with_name(path.name.removeprefix("test_"))
        assert (PACKAGE / module).is_file() != (name in CLAIMS), name


def test_no_exception_outlives_its_reason() -> None:
    assert not [one for one in ELSEWHERE if not (PACKAGE / one).is_file()]
    assert not [one for one in CLAIMS if not (TESTS / one).is_file()]
