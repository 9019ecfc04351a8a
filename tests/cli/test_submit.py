"""`submit`: anybody sends a signed revocation, and is told whether the chain proves it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from panachain.cli.app import App
from panachain.errors import UnavailableError
from panachain.model.actors import PolicyId
from panachain.sdk import submitting
from panachain.sdk.results.revocations import SubmissionReport
from tests.cli.twin import Outcome, Twin

POLICY = PolicyId("0x52908400098527886E0F7030069857D2E4169EE7")
REPORT = SubmissionReport(POLICY, proven=True, tx="0x01", gas=1, receipts=())
Run = Callable[..., Outcome]


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Let the network be nothing, and keep what is submitted to it."""
    taken: list[bytes] = []

    @contextmanager
    def network(_: App) -> Iterator[None]:
        yield None

    def submit(_: object, content: bytes) -> SubmissionReport:
        taken.append(content)
        return SubmissionReport(**(vars(REPORT) | json.loads(content)))

    monkeypatch.setattr(App, "network", network)
    monkeypatch.setattr(submitting, "submit", submit)
    return taken


def test_it_needs_no_profile_and_says_what_became_of_it(run: Run, submitted: list[bytes], tmp_path: Path) -> None:
    file = tmp_path / "revocation.json"
    file.write_bytes(b"{}")
    outcome = run("submit", str(file))
    assert (outcome.code, submitted) == (0, [b"{}"])
    assert "revoked on chain" in outcome.out
    assert json.loads(run("submit", str(file), "--json").out)["proven"] is True


def test_what_is_not_proven_ends_with_3(run: Run, submitted: list[bytes], tmp_path: Path) -> None:
    file = tmp_path / "revocation.json"
    file.write_text(json.dumps({"proven": False, "unsent": ["no relay answered in time"]}))
    outcome = run("submit", str(file))
    assert (outcome.code, len(submitted)) == (3, 1)
    assert "sent, not proven yet" in outcome.out
    assert "no relay answered in time" in outcome.err


def test_a_file_that_is_not_there_is_told(run: Run, submitted: list[bytes], tmp_path: Path) -> None:
    outcome = run("submit", str(tmp_path / "none"))
    assert (outcome.code, submitted) == (2, [])
    assert "there is no file" in outcome.err


def test_offline_writes_a_new_private_file_and_sends_nothing(
    run: Run, twin: Twin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(submitting, "sign", lambda _, policy: f"signed {policy}".encode())
    file = tmp_path / "revocation.json"
    outcome = run("revoke", POLICY, "--offline", "-o", str(file))
    assert outcome.code == 0
    assert file.read_bytes() == f"signed {POLICY}".encode()
    assert file.stat().st_mode & 0o777 == 0o600
    assert "Nothing was sent" in outcome.err
    assert [name for name, _, _ in twin.calls if name != "policies"] == []
    assert run("revoke", POLICY, "--offline", "-o", str(file)).code == 2


def test_the_beginning_of_an_id_is_enough_where_no_node_answers(
    run: Run, twin: Twin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    twin.answers["inbox"] = twin.answers["policies"] = UnavailableError("no node answers")
    monkeypatch.setattr(submitting, "own_ids", lambda _: [POLICY, PolicyId("0x" + "11" * 20)])
    monkeypatch.setattr(submitting, "sign", lambda _, policy: policy.encode())
    outcome = run("revoke", POLICY[:8], "--offline", "-o", str(tmp_path / "file"))
    assert outcome.code == 0
    assert (tmp_path / "file").read_text() == POLICY
