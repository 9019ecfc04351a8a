"""`erase`: what a patient asks for, what a hospital does about it, and what each is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.errors import Omission, PartlyDoneError, StoreUnavailableError
from panachain.model.actors import Address, PolicyId, Role
from panachain.sdk.results.erasures import AskErasureReport, DroppedShares, EraseReport, Erasures, ErasureView
from tests.cli.twin import Outcome, Twin

WHO = Address("0x52908400098527886E0F7030069857D2E4169EE7")
Run = Callable[..., Outcome]
ONE = ErasureView("bafkreih", WHO, WHO, "laboratory", 2025, "asked")
DONE = ErasureView("bafkreih", WHO, WHO, "laboratory", 2025, "attested", at=1_800_000_000)
REFUSED = ErasureView("bafkreih", WHO, WHO, "laboratory", 2025, "refused", why="until 2034")


@pytest.fixture
def patient(twin: Twin) -> list[Any]:
    """Let a patient act; return what they asked for."""
    asked: list[Any] = []

    def ask(records: Any) -> AskErasureReport:
        asked.append(records)
        if "bad" in records:
            omission = Omission("", "record bad", StoreUnavailableError("nobody has it"))
            report = AskErasureReport((ONE,), (omission,))
            raise PartlyDoneError.of((omission,), done="1 records were asked for", result=report)
        return AskErasureReport((ONE,))

    twin.role = Role.PATIENT  # type: ignore[attr-defined]
    twin.erasures = SimpleNamespace(ask=ask, all=lambda: Erasures((DONE, REFUSED)))  # type: ignore[attr-defined]
    return asked


@pytest.fixture
def hospital(twin: Twin) -> list[Any]:
    """Let a hospital act; return what it did."""
    calls: list[Any] = []
    report = EraseReport((DONE,), blocks=5, stores=2, transactions=("0x01", "0x02"), kept=1)

    def did(name: str, answer: Any = report) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            calls.append((name, args, more))
            return answer

        return call

    twin.role = Role.HOSPITAL  # type: ignore[attr-defined]
    names = {name: did(name) for name in ("follow", "erase", "finish")}
    twin.erasures = SimpleNamespace(  # type: ignore[attr-defined]
        asked=lambda: Erasures((ONE,)),
        all=lambda: [DONE],
        refuse=did("refuse", "0x03"),
        **names,
    )
    return calls


class TestAPatient:
    def test_sees_what_came_of_it(self, run: Run, patient: list[Any]) -> None:
        outcome = run("erase")
        assert (outcome.code, patient) == (0, [])
        assert "erased, and attested" in outcome.out
        assert "until 2034" in outcome.out

    def test_confirms_what_cannot_be_undone(self, run: Run, patient: list[Any]) -> None:
        outcome = run("erase", "bafkreih")
        assert (outcome.code, patient) == (2, [])
        outcome = run("erase", "bafkreih", "--yes")
        assert (outcome.code, patient) == (0, [("bafkreih",)])
        assert "asked for" in outcome.out
        told = " ".join(outcome.err.split())
        assert "erase --asked" in told
        assert "panachain log --record" in told

    def test_is_told_what_could_not_be_asked_for(self, run: Run, patient: list[Any]) -> None:
        outcome = run("erase", "bafkreih", "bad", "--yes")
        assert outcome.code == 3
        assert "nobody has it" in outcome.err

    def test_gets_json(self, run: Run, patient: list[Any]) -> None:
        assert json.loads(run("erase", "--json").out) == Erasures((DONE, REFUSED)).to_json()
        assert json.loads(run("erase", "bafkreih", "--yes", "--json").out) == AskErasureReport((ONE,)).to_json()

    def test_ends_what_opens_nothing_any_more_and_is_asked_before(
        self, run: Run, patient: list[Any], twin: Twin
    ) -> None:
        omission = Omission("", "shares at pro-x", StoreUnavailableError("its log says nothing"))
        report = DroppedShares((PolicyId("0x" + "a1" * 20),), 2, (omission,))
        partly = PartlyDoneError.of((omission,), done="2 shares were deleted", result=report)
        calls: list[str] = []

        def drop_shares() -> DroppedShares:
            calls.append("drop")
            raise partly

        idle = Erasures((), idle=report.policies)
        twin.erasures = SimpleNamespace(all=lambda: idle, drop_shares=drop_shares)  # type: ignore[attr-defined]
        assert "panachain erase --shares" in run("erase").err
        assert (run("erase", "--shares").code, calls) == (2, [])
        outcome = run("erase", "--shares", "--yes")
        assert (outcome.code, calls) == (3, ["drop"])
        assert "its log says nothing" in outcome.err
        assert run("erase", "--shares", "bafkreih", "--yes").code == 2
        twin.erasures.all = lambda: Erasures(())  # type: ignore[attr-defined]
        assert (run("erase", "--shares", "--yes").code, calls) == (0, ["drop"])

    @pytest.mark.parametrize("option", [["--asked"], ["--finish"], ["--done"], ["x", "--refuse", "why"]])
    def test_has_no_option_of_a_hospitals(self, run: Run, patient: list[Any], option: list[str]) -> None:
        assert run("erase", *option, "--yes").code == 2
        assert patient == []


class TestAHospital:
    def test_sees_what_patients_ask_for_and_what_it_did(self, run: Run, hospital: list[Any]) -> None:
        outcome = run("erase")
        assert (outcome.code, hospital) == (0, [])
        assert "asked for" in outcome.out
        assert "erased, and attested" in run("erase", "--done").out
        assert hospital == []

    def test_does_it_and_says_what_was_looked_for(self, run: Run, hospital: list[Any]) -> None:
        assert (run("erase", "--asked").code, hospital) == (2, [])
        outcome = run("erase", "--asked", "--patient", "me", "--yes")
        assert hospital == [("follow", ((),), {"patients": ("me",)})]
        assert outcome.code == 0
        told = " ".join(outcome.err.split())
        assert "Looked for in 2 stores afterwards, and gone: 5 blocks. Attested on chain." in told
        assert "1 record beside them stay" in told
        assert json.loads(run("erase", "--asked", "--yes", "--json").out)["schema"] == "panachain/erase/1"

    def test_erases_of_its_own_accord_or_finishes(self, run: Run, hospital: list[Any]) -> None:
        assert run("erase", "bafkreih", "--yes").code == 0
        assert run("erase", "--finish").code == 0
        assert hospital == [("erase", (("bafkreih",),), {}), ("finish", (), {})]

    def test_refuses_with_a_reason(self, run: Run, hospital: list[Any]) -> None:
        outcome = run("erase", "bafkreih", "--refuse", "until 2034")
        assert (outcome.code, hospital) == (0, [("refuse", (("bafkreih",), "until 2034"), {})])
        assert run("erase", "--refuse", "until 2034").code == 2

    def test_names_what_is_left_and_ends_with_3(self, run: Run, twin: Twin, hospital: list[Any]) -> None:
        omission = Omission("", "record bafkreih at node 2", StoreUnavailableError("the disk is read-only"))

        def follow(*_: Any, **__: Any) -> EraseReport:
            report = EraseReport((), omissions=(omission,))
            raise PartlyDoneError.of((omission,), done="0 records were erased and attested", result=report)

        twin.erasures.follow = follow  # type: ignore[attr-defined]
        outcome = run("erase", "--asked", "--yes")
        assert outcome.code == 3
        assert "the disk is read-only" in outcome.err
        assert "Attested" not in outcome.err

    @pytest.mark.parametrize(
        "options",
        [["--asked", "--done"], ["--finish", "--done"], ["--patient", "me"], ["bafy", "--done"], ["bafy", "--finish"]],
    )
    def test_options_that_do_not_go_together_are_refused(
        self, run: Run, hospital: list[Any], options: list[str]
    ) -> None:
        assert (run("erase", *options, "--yes").code, hospital) == (2, [])
