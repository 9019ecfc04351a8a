"""`trace`, `suspend` and `records access`: what leaked is never on the command line, nor on the screen."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.model.actors import Actor, Address, PolicyId, Role, Status
from panachain.model.policy import PolicyStatus
from panachain.sdk.auditing import Keeper, RecordAccess
from panachain.sdk.readings import Reading
from panachain.sdk.results.listings import LeftOut, Listed, Listing
from panachain.sdk.results.policies import PolicyView
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


@pytest.mark.parametrize("content", [SECRET, "other"])
def test_whose_keys_could_not_be_read_may_be_meant(
    run: Run, leaked: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    traced = Tracing.trace

    def trace(tracing: Tracing, given: bytes) -> Any:
        return Listing(list(traced(tracing, given)), [LeftOut("key block", WHO.handle, "no store has it")])

    monkeypatch.setattr(Tracing, "trace", trace)
    leaked.write_text(content)
    outcome = run("trace", str(leaked))
    assert outcome.code == 3
    assert "1 key block couldn't be read" in " ".join(outcome.err.split())
    assert "is anybody's" not in outcome.out + outcome.err
    assert ("secret receiving key" in outcome.out) is (content == SECRET)


def test_trace_wants_a_file(run: Run) -> None:
    assert run("trace").code == 2


def test_a_record_is_traced_to_who_opened_it(run: Run, twin: Twin, leaked: Path) -> None:
    holds(twin)
    twin.answers["log"] = Listed(Listing([READING]))
    outcome = run("trace", "--record", str(leaked))
    assert outcome.code == 0, outcome.err
    assert "bafkreione" in outcome.err
    assert "read 1 part" in outcome.out
    assert "It leaked from the one person who opened it, from the hospital" in said(outcome)
    leaked.write_bytes(b"")
    assert run("trace", "--record", str(leaked)).code == 2


SILENT = LeftOut("proxy", "0x" + "bb" * 20, "it told nothing, or not all, of 1 of the policies: no answer in time")
REFUSED = replace(READING, permitted=False, envelopes=0)
DOUBTFUL = replace(READING, envelopes=0, unconfirmed=1, needed=2, asked=3)


def holds(twin: Twin, *left_out: LeftOut) -> None:
    """Have what leaked be one of the records, unless it is empty."""

    def find(content: bytes) -> Listing[str]:
        return Listing(["bafkreione"] if content else [], left_out)

    twin.auditing = SimpleNamespace(find_record=find)  # type: ignore[attr-defined]


def said(outcome: Outcome) -> str:
    return " ".join(outcome.err.split())


def test_whoever_was_refused_or_opened_nothing_is_not_one_of_them(run: Run, twin: Twin, leaked: Path) -> None:
    holds(twin)
    twin.answers["log"] = Listed(Listing([READING, replace(READING, requester=Address("0x" + "cc" * 20)), REFUSED]))
    told = said(run("trace", "--record", str(leaked)))
    assert "one of the 2 people who opened it" in told
    assert "1 attempt got nothing" in told
    twin.answers["log"] = Listed(Listing([DOUBTFUL]))
    outcome = run("trace", "--record", str(leaked))
    assert "1 opening too few proxies signed for" in said(outcome)
    assert "It leaked from" not in said(outcome)
    twin.answers["log"] = Listed(Listing([REFUSED]))
    outcome = run("trace", "--record", str(leaked))
    assert (outcome.code, "Then it leaked from the hospital that wrote it, or from you" in said(outcome)) == (0, True)


def test_a_proxy_that_keeps_silent_is_named_and_the_answer_is_not_the_whole_one(
    run: Run, twin: Twin, leaked: Path
) -> None:
    holds(twin)
    twin.answers["log"] = Listed(Listing([], [SILENT]))
    outcome = run("trace", "--record", str(leaked))
    assert outcome.code == 3
    assert "proxy pro-" in said(outcome)
    assert "this isn't the whole answer: 1 proxy couldn't be read or asked" in said(outcome)
    assert "If nobody else opened it, it leaked" in said(outcome)
    assert "Then it leaked" not in said(outcome)


def test_a_record_that_could_not_be_read_may_be_it(run: Run, twin: Twin, leaked: Path) -> None:
    holds(twin, LeftOut("records", WHO.address, "record bafkreitwo: the store has lost it"))
    twin.answers["log"] = Listed(Listing([READING]))
    outcome = run("trace", "--record", str(leaked))
    assert (outcome.code, "bafkreitwo" in said(outcome)) == (3, True)
    leaked.write_bytes(b"")
    outcome = run("trace", "--record", str(leaked))
    assert (outcome.code, "bafkreitwo" in said(outcome)) == (3, True)
    assert "no record that could be read holds what is in the file, and 1 record couldn't be" in said(outcome)


def test_who_can_read_a_record(run: Run, twin: Twin) -> None:
    found = RecordAccess("bafkreione", WHO.address, "laboratory", 2025, (), (READING,))
    twin.auditing = SimpleNamespace(access=lambda *_, **__: found)  # type: ignore[attr-defined]
    outcome = run("records", "access", "bafkreione")
    assert outcome.code == 0, outcome.err
    shown = outcome.out + outcome.err
    assert "Nobody can." in shown
    assert "read 1 part" in shown
    assert '"schema": "panachain/record-access/1"' in run("records", "access", "bafkreione", "--json").out.replace(
        '":"', '": "'
    )


def test_what_could_not_be_read_may_be_who_can_read_a_record(run: Run, twin: Twin) -> None:
    unread = LeftOut("policy", POLICY, "no store has its terms")
    found = RecordAccess("bafkreione", WHO.address, "laboratory", 2025, (), (), (unread, SILENT))
    twin.auditing = SimpleNamespace(access=lambda *_, **__: found)  # type: ignore[attr-defined]
    outcome = run("records", "access", "bafkreione")
    assert outcome.code == 3
    shown = " ".join((outcome.out + outcome.err).split())
    assert "Nobody can, as far as could be read and asked." in shown
    assert "Nobody has, as far as could be read and asked." in shown
    assert "Nobody can." not in shown
    assert all(
        one in shown for one in ("no store has its terms", "proxy pro-", "1 grant can't be read, and may be to anybody")
    )
    outcome = run("records", "access", "bafkreione", "--json")
    assert outcome.code == 3
    (line,) = outcome.out.splitlines()
    assert [one["kind"] for one in json.loads(line)["left_out"]] == ["policy", "proxy"]


MOVED = LeftOut("record", "bafkreione", "it was moved", since=1_750_000_000)


def test_a_record_that_moved_is_told_of_once_and_fails_nothing(run: Run, twin: Twin, leaked: Path) -> None:
    holds(twin)
    twin.answers["log"] = Listed(Listing([READING], [MOVED]))
    outcome = run("trace", "--record", str(leaked))
    assert outcome.code == 0, outcome.err
    assert said(outcome).count("moved, and the place") == 1
    assert "openings of where it lies now are told here, from 15 Jun 2025" in said(outcome)
    assert "or later because they kept a copy of it, stands in the whole log" in said(outcome)
    # Nobody is cleared by what can't be told.
    twin.answers["log"] = Listed(Listing([], [MOVED]))
    outcome = run("trace", "--record", str(leaked))
    assert (outcome.code, "If nobody else opened it, it leaked" in said(outcome)) == (0, True)
    twin.answers["log"] = Listed(Listing([], [MOVED, SILENT]))
    outcome = run("trace", "--record", str(leaked))
    assert outcome.code == 3
    assert "1 proxy couldn't be read or asked" in said(outcome)

    found = RecordAccess("bafkreione", WHO.address, "laboratory", 2025, (), (), (MOVED,))
    twin.auditing = SimpleNamespace(access=lambda *_, **__: found)  # type: ignore[attr-defined]
    outcome = run("records", "access", "bafkreione")
    shown = " ".join((outcome.out + outcome.err).split())
    assert (outcome.code, "Nobody can." in shown, "Nobody has opened what it lies in now." in shown) == (0, True, True)
    assert "since it was moved" not in shown
    assert shown.count("moved, and the place") == 1
    (line,) = run("records", "access", "bafkreione", "--json").out.splitlines()
    assert [one["since"] for one in json.loads(line)["left_out"]] == ["2025-06-15T15:06:40Z"]


def test_who_may_have_kept_its_earlier_place_is_named_with_from_when_and_until(run: Run, twin: Twin) -> None:
    policy = PolicyView(
        POLICY, PolicyStatus.REVOKED, WHO.address, WHO.address, ("laboratory",), ("TREAT",), 1, 9_999_999_999, 2, 3, "",
        grantee_name="doctor",
    )  # fmt: skip
    keeper = Keeper(policy, 1_750_000_000, 1_760_000_000)
    found = RecordAccess("bafkreione", WHO.address, "laboratory", 2025, (), (), (MOVED,), (keeper,))
    twin.auditing = SimpleNamespace(access=lambda *_, **__: found)  # type: ignore[attr-defined]
    outcome = run("records", "access", "bafkreione")
    shown = " ".join((outcome.out + outcome.err).split())
    assert outcome.code == 0, outcome.err
    assert "Who may have kept where it lay before it was moved" in shown
    assert "whether they kept them, nobody can tell" in shown
    assert [one for one in ("0xaaaaaaaa", "15 Jun 2025", "9 Oct 2025") if one not in shown] == [], shown
    (line,) = run("records", "access", "bafkreione", "--json").out.splitlines()
    assert json.loads(line)["may_have_kept"] == [
        {"who": WHO.address, "policy_id": POLICY, "from": "2025-06-15T15:06:40Z", "until": "2025-10-09T08:53:20Z"}
    ]


def test_only_a_registrar_suspends(run: Run, leaked: Path) -> None:
    assert run("suspend", WHO.handle, "--yes").code == 2
