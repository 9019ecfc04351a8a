"""`trace`, `suspend` and `records access`: what leaked is never on the command line, nor on the screen."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.model.actors import Actor, Address, PolicyId, Role, Status
from panachain.sdk.auditing import RecordAccess
from panachain.sdk.readings import Reading
from panachain.sdk.results.listings import Listed, Listing
from panachain.sdk.results.tracing import Traced
from panachain.sdk.tracing import Tracing
from tests.cli.twin import Outcome, Twin

Run = Callable[..., Outcome]
WHO = Actor(Address("0x" + "aa" * 20), Role.PRACTITIONER, Status.ACTIVE, bytes(32))
POLICY = PolicyId("0x52908400098527886E0F7030069857D2E4169EE7")
READING = Reading(WHO.address, WHO.address, POLICY, ("laboratory",), "TREAT", 1, 2, True, 1, (WHO.address,) * 2)
SECRET = "ab" * 32


@pytest.fixture
def leaked(tmp_path: Path, twin: Twin, monkeypatch: pytest.MonkeyPatch) -> Path:
    twin.network = SimpleNamespace(resolve=lambda _: WHO)  # type: ignore[attr-defined]
    file = tmp_path / "leaked.txt"
    file.write_text(SECRET)

    def trace(_: Tracing, content: bytes) -> Any:
        return Listing([Traced(WHO, "secret receiving key or signer", True)] if content == SECRET.encode() else [])

    monkeypatch.setattr(Tracing, "trace", trace)
    return file


def test_a_key_is_traced_from_a_file_or_from_standard_input(
    run: Run, leaked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (str(leaked), "-"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(SECRET.encode())))
        outcome = run("trace", name)
        assert outcome.code == 0, outcome.err
        assert "secret receiving key" in outcome.out
        assert f"suspend {WHO.handle}" in " ".join(outcome.err.split())
        assert SECRET not in outcome.out + outcome.err
    assert run("trace", SECRET).code == 2


def test_nobody_is_named_where_nobody_is_found(run: Run, leaked: Path) -> None:
    leaked.write_text("other")
    outcome = run("trace", str(leaked))
    assert outcome.code == 0
    assert "No key in it is anybody's" in outcome.out + outcome.err


def test_trace_wants_a_file(run: Run) -> None:
    assert run("trace").code == 2


def test_a_record_is_traced_to_who_opened_it(run: Run, twin: Twin, leaked: Path) -> None:
    twin.auditing = SimpleNamespace(find_record=lambda content: ["bafkreione"] if content else [])  # type: ignore[attr-defined]
    twin.answers["log"] = Listed(Listing([READING]))
    outcome = run("trace", "--record", str(leaked))
    assert outcome.code == 0, outcome.err
    assert "bafkreione" in outcome.err
    assert "read 1 part" in outcome.out
    leaked.write_bytes(b"")
    assert run("trace", "--record", str(leaked)).code != 0


def test_who_can_read_a_record(run: Run, twin: Twin) -> None:
    found = RecordAccess("bafkreione", WHO.address, "laboratory", 2025, (), (READING,))
    twin.auditing = SimpleNamespace(access=lambda *_, **__: found)  # type: ignore[attr-defined]
    outcome = run("records", "access", "bafkreione")
    assert outcome.code == 0, outcome.err
    said = outcome.out + outcome.err
    assert "Nobody can." in said
    assert "read 1 part" in said
    assert '"schema": "panachain/record-access/1"' in run("records", "access", "bafkreione", "--json").out.replace(
        '":"', '": "'
    )


def test_only_a_registrar_suspends(run: Run, leaked: Path) -> None:
    assert run("suspend", WHO.handle, "--yes").code == 2
