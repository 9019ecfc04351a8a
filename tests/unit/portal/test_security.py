"""Where a portal is, as browsers write it. What it refuses is tried in tests/portal/test_attacks.py."""

from __future__ import annotations

import asyncio
from typing import Any

from panachain.portal.desk import Desk
from panachain.portal.security import Guard, Origin


def test_an_origin_is_written_as_browsers_write_it() -> None:
    assert str(Origin.of("a.localhost", 8787)) == "http://a.localhost:8787"
    assert str(Origin.of("clinic.example", 443, tls=True)) == "https://clinic.example"
    assert str(Origin.of("clinic.example", 80)) == "http://clinic.example"
    assert Origin.of("clinic.example", 80).cookie == "panachain-80"


def test_only_requests_and_the_process_itself_reach_the_application() -> None:
    reached: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["type"])

    guard = Guard(app, origin=Origin.of("a.localhost", 8787), desk=Desk())
    for kind in ("lifespan", "websocket"):
        asyncio.run(guard({"type": kind}, None, None))  # type: ignore[arg-type]
    assert reached == ["lifespan"]
