"""Connections of the portal: an upload may take long as long as it goes on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from panachain.portal.serving import PortalProtocol, limits
from panachain.service.connections import BoundedProtocol, Stage


class Timer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


def protocol(monkeypatch: Any, *, answered: bool) -> tuple[PortalProtocol, list[Timer]]:
    made = PortalProtocol.__new__(PortalProtocol)
    timers: list[Timer] = []

    def later(_: float, __: Any) -> Timer:
        timers.append(Timer())
        return timers[-1]

    monkeypatch.setattr(BoundedProtocol, "data_received", lambda self, data: None)
    made.known = SimpleNamespace(limits=limits())  # type: ignore[misc]
    made.loop = SimpleNamespace(call_later=later)  # type: ignore[assignment]
    made.transport = SimpleNamespace(is_closing=lambda: False)  # type: ignore[assignment]
    made.cycle = SimpleNamespace(response_complete=answered)  # type: ignore[assignment]
    made.stage, made._deadline = Stage.HEAD, None
    made._begin(Stage.BODY)
    return made, timers


def test_each_piece_of_a_body_gives_it_more_time(monkeypatch: Any) -> None:
    made, timers = protocol(monkeypatch, answered=False)
    for _ in range(3):
        made.data_received(b"x")
    assert [timer.cancelled for timer in timers] == [True, True, True, False]


def test_a_body_that_was_answered_gets_no_more(monkeypatch: Any) -> None:
    made, timers = protocol(monkeypatch, answered=True)
    made.data_received(b"x")
    assert [timer.cancelled for timer in timers] == [False]
