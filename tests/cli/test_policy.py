"""The command `policy`: one document on standard output, plain words, and refusals that name their place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from panachain.consent.explain import Explanation
from panachain.consent.fhir_consent import ConsentPlan
from panachain.consent.fhir_elements import PartyReference
from panachain.errors import PolicyUnknownError
from panachain.model.scope import Purpose
from panachain.sdk import consents
from tests.cli.twin import Outcome, Twin

POLICY = "0x52908400098527886E0F7030069857D2E4169EE7"
DOCUMENT = {"resourceType": "Consent", "status": "active"}
EXPLANATION = Explanation(POLICY, "active", ("Who \x1b[2J may.",), ("Keys.",), ("Rules.",), ("Copies.",))
PLAN = ConsentPlan(
    *(("laboratory",), (), (Purpose.TREAT,), None, None, (), PartyReference(reference="Patient/1")),
    excepted=("vitals",),
    notes=("Only a part.",),
)
Run = Callable[..., Outcome]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, twin: Twin) -> list[dict[str, Any]]:
    """Answer instead of the SDK, and keep what it was asked."""
    calls: list[dict[str, Any]] = []

    def import_consent(_: Any, document: Any, **options: Any) -> Any:
        calls.append({"document": document, **options})
        return PLAN, [{"schema": "panachain/policy/1", "policy_id": POLICY}]

    monkeypatch.setattr(consents, "explain", lambda *_: EXPLANATION)
    monkeypatch.setattr(consents, "export_consent", lambda *_: DOCUMENT)
    monkeypatch.setattr(consents, "import_consent", import_consent)
    return calls


@pytest.fixture
def consent(tmp_path: Path) -> Path:
    """A Consent that can be enforced."""
    file = tmp_path / "consent.json"
    system = "http://terminology.hl7.org/CodeSystem/"
    content = {
        **DOCUMENT,
        "scope": {"coding": [{"system": f"{system}consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/1"},
        "provision": {"type": "permit", "purpose": [{"system": f"{system}v3-ActReason", "code": "TREAT"}]},
    }
    file.write_text(json.dumps(content))
    return file


@pytest.mark.usefixtures("asked")
def test_explanation_is_lines_to_read_without_control_characters(run: Run) -> None:
    outcome = run("policy", "explain", POLICY)
    assert outcome.code == 0
    assert outcome.out.splitlines()[0] == "What it allows:"
    assert "\x1b" not in outcome.out
    assert json.loads(run("policy", "explain", POLICY, "--json").out)["schema"] == "panachain/explanation/1"


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_export_prints_the_document_and_nothing_else(run: Run, options: list[str]) -> None:
    outcome = run("policy", "export", POLICY, *options)
    assert json.loads(outcome.out) == DOCUMENT
    assert outcome.err == ""


@pytest.mark.usefixtures("asked")
def test_export_into_a_file_is_private_and_overwrites_nothing(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    outcome = run("policy", "export", POLICY, "--output", str(file), "--json")
    assert json.loads(outcome.out)["schema"] == "panachain/consent-file/1"
    assert json.loads(file.read_bytes()) == DOCUMENT
    assert file.stat().st_mode & 0o777 == 0o600
    assert run("policy", "export", POLICY, "--output", str(file)).code == 2


def test_import_passes_what_was_typed(run: Run, asked: list[dict[str, Any]], consent: Path) -> None:
    outcome = run(
        *("policy", "import", str(consent), "--grantee", "cardiologist", "--until", "2027-01-31", "--dry-run", "--json")
    )
    assert outcome.code == 0
    assert json.loads(outcome.out)["policy_id"] == POLICY
    assert asked[0]["grantee"] == "cardiologist"
    assert asked[0]["until"] == 1_801_353_600
    assert asked[0]["dry_run"] is True
    assert "vitals" in outcome.err
    assert "Only a part." in outcome.err
    assert "Dry run" in outcome.err


def test_what_cannot_be_enforced_is_named_and_nothing_is_asked(
    run: Run, asked: list[dict[str, Any]], consent: Path
) -> None:
    content = json.loads(consent.read_bytes())
    content["provision"]["data"] = [{"meaning": "related", "reference": {"reference": "Task/1"}}]
    consent.write_text(json.dumps(content))
    outcome = run("policy", "import", str(consent))
    assert outcome.code == 2
    assert "Consent.provision.data[0] permits by data reference (related)" in outcome.err
    assert "nothing was changed" in outcome.err
    assert asked == []


@pytest.mark.parametrize("content", [None, b"{", b'{"resourceType": "Patient"}', b" " * (1 << 21)])
def test_files_that_are_no_consent_are_usage(run: Run, twin: Twin, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "file.json"
    if content is not None:
        file.write_bytes(content)
    assert run("policy", "import", str(file)).code == 2
    assert twin.calls == []


def test_a_policy_of_somebody_else_is_denied(run: Run, monkeypatch: pytest.MonkeyPatch, twin: Twin) -> None:
    def refuse(*_: Any) -> Any:
        raise PolicyUnknownError("policy isn't one of this patient's")

    monkeypatch.setattr(consents, "explain", refuse)
    assert run("policy", "explain", POLICY).code == 5
