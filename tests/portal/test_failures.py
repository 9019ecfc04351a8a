"""Errors and long work on pages: what failed, what was left, what next, and never a traceback."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response

from panachain import errors
from panachain.errors import Omission, PanaChainError, PartlyDoneError
from panachain.model.actors import Role
from panachain.portal.desk import Seat, seated
from panachain.portal.failures import STATUSES
from panachain.portal.rendering import to
from tests.portal.conftest import Client, Portal, make_portal, text_of

HOSTILE = "<script>alert(1)</script>\x1b[2J"


def with_routes(portal: Portal, raised: Exception) -> None:
    """Add routes that fail in a seat's thread, in the route, and in long work."""
    app: FastAPI = portal.app
    sitting = Annotated[Seat, Depends(seated())]

    def fail(*_: Any) -> None:
        raise raised

    async def thread(seat: sitting) -> Response:
        await seat.run(fail)
        raise AssertionError

    async def route(request: Request) -> Response:
        raise raised

    async def work(seat: sitting) -> Response:
        return to(seat.start("Trying", fail, template="everyone/checks.html", left="Half of it is done."))

    thread.__annotations__ = work.__annotations__ = {"seat": sitting, "return": Response}
    route.__annotations__ = {"request": Request, "return": Response}
    for path, endpoint in (("/x/thread", thread), ("/x/route", route), ("/x/work", work)):
        app.add_api_route(path, endpoint, methods=["GET"])


@pytest.mark.parametrize("kind", [*STATUSES, PanaChainError, errors.TransactionError])
def test_every_kind_of_error_is_a_page(portal: Portal, kind: type[PanaChainError]) -> None:
    more: dict[str, Any] = {}
    if kind is errors.TooLargeError:
        more = {"size": 1, "limit": 2}
    with_routes(portal, kind(f"it failed {HOSTILE}", hint="do that", **more))
    client = portal.client_of(Role.PATIENT)
    wanted = STATUSES.get(kind, 500)
    for path in ("/x/thread", "/x/route"):
        page = client.page(path, status=wanted)
        assert "it failed" in text_of(page)
        assert "do that" in text_of(page)
        assert "<script>alert" not in page
        assert "\x1b" not in page
        assert "Traceback" not in page
    told = text_of(client.finish(client.get("/x/work"), status=wanted))
    assert "Half of it is done." in told


def test_what_was_left_out_is_named_with_whose_it_is(portal: Portal) -> None:
    hospital = portal.world.hospital.address
    omissions = [Omission(hospital, f"record {HOSTILE}", PanaChainError("torn"))]
    with_routes(portal, PartlyDoneError.of(omissions, done="two of three were opened"))
    page = portal.client_of(Role.PATIENT).page("/x/thread", status=200)
    assert "Done in part" in text_of(page)
    assert "torn" in text_of(page)
    assert "hospital" in text_of(page)
    assert "<script>alert" not in page


def test_what_nobody_foresaw_shows_its_type_and_nothing_else(world: Any) -> None:
    portal = make_portal(world, debug=False)
    portal.app.state.guesses.take = lambda *_: 0
    with_routes(portal, ZeroDivisionError("the patient's name"))
    # As a server does it, which would write a traceback.
    client = portal.client_of(Role.PATIENT)
    for path in ("/x/thread", "/x/route"):
        answer = client.get(path)
        assert answer.status_code == 500
        assert "unforeseen ZeroDivisionError" in answer.text
        assert "the patient" not in answer.text
        assert "no-store" in answer.headers["cache-control"]
    portal.desk.close()


def test_a_full_disk_is_said(portal: Portal) -> None:
    with_routes(portal, OSError(28, "No space left on device", "/secret/path"))
    page = portal.client_of(Role.PATIENT).page("/x/route", status=507)
    assert "No space left" in page
    assert "/secret/path" not in page


def test_an_outcome_that_newer_ones_replaced_says_so(portal: Portal) -> None:
    client = portal.client_of(Role.PATIENT)
    asked = [client.submit("/log/again") for _ in range(3)]
    told = [text_of(client.finish(one)) for one in asked]
    assert "isn't kept any more" not in "".join(told)
    client.finish(client.submit("/log/again"))
    gone = text_of(client.page(asked[0].url.path, status=410))
    assert "newer work of the same kind took its place" in gone
    assert "What it did stays done." in gone


def test_work_of_before_the_lock_isnt_known(portal: Portal) -> None:
    client: Client = portal.client_of(Role.PATIENT)
    client.page("/jobs/nothing", status=404)
    client.page("/jobs/nothing/progress", status=404)
