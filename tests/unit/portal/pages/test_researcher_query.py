"""The query builder: a query has an address, its answer a block, and what is taken along is safe to open."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from panachain.model.actors import Role
from panachain.portal.pages import researcher_query
from panachain.portal.pages.researcher_query import Question, columns_of
from panachain.research.index import KINDS
from panachain.sdk.names import Names
from tests.portal.conftest import Client, Portal, text_of
from tests.twin.world import World, running_world
from tests.unit.sdk.helpers import DAY, grant, upload

HOSTILE = '"><script>alert(1)</script>\u202e'


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as made:
        yield made


def ask(client: Client, **query: Any) -> str:
    """Return the page of a query."""
    answer = client.get("/research", params=query)
    assert answer.status_code == 200, text_of(answer.text)
    return answer.text


def test_finds_policies_by_everything_that_the_sdk_filters_by(portal: Portal, world: World) -> None:
    made = grant(world, "nurse", ("laboratory", "vitals"), disclose=True)
    sealed = grant(world)
    client = portal.client_of(Role.RESEARCHER)
    day = datetime.fromtimestamp(world.now, UTC).date().isoformat()
    assert "2 rows" in text_of(ask(client))
    assert "One row" in text_of(ask(client, category=["laboratory", "imaging"], purpose="TREAT"))
    assert "2 rows" in text_of(ask(client, status="active", since=day))
    for none in ({"until": day}, {"status": "revoked"}, {"category": "genomics"}, {"purpose": "HRESCH"}, {"block": 0}):
        assert "No row fits." in text_of(ask(client, **none))
    page = ask(client)
    assert made.policy_id in page
    assert sealed.policy_id in page
    assert "sealed sealed" in text_of(page)


def test_finds_storage_by_hospital(portal: Portal, world: World) -> None:
    upload(world, 2)
    upload(world, where="clinic")
    client = portal.client_of(Role.RESEARCHER)
    page = text_of(ask(client, kind="storage"))
    assert "2 rows" in page
    assert "They hold 3 records." in page
    handle = world.clinic.whoami().handle
    page = text_of(ask(client, kind="storage", hospital=handle, status="nonsense"))
    assert "One row" in page
    assert handle in page


def test_an_answer_can_be_cited_and_asked_for_again(portal: Portal, world: World) -> None:
    grant(world)
    client = portal.client_of(Role.RESEARCHER)
    page = ask(client, status="active")
    block = world.network.mainchain.head_block()
    assert f"block={block.number}" in page
    assert block.hash in page
    assert f"--as-of-block {block.number}" in text_of(page)
    grant(world, "nurse")
    assert "One row" in text_of(ask(client, status="active", block=block.number))
    assert "2 rows" in text_of(ask(client, status="active"))


def test_a_page_is_of_the_block_of_the_first_one(portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(researcher_query, "PER_PAGE", 2)
    made = [grant(world).policy_id for _ in range(5)]
    client = portal.client_of(Role.RESEARCHER)
    pages = [ask(client, page=number) for number in (1, 2, 3, 99)]
    found = [[one for one in made if one in page] for page in pages]
    assert found == [made[:2], made[2:4], made[4:], made[4:]]
    assert "page=2" in pages[0]
    assert f"block={world.network.mainchain.head_block().number}" in pages[0]


@pytest.mark.parametrize(
    "query",
    [
        {"kind": HOSTILE},
        {"status": HOSTILE},
        {"category": HOSTILE},
        {"purpose": HOSTILE},
        {"since": HOSTILE},
        {"since": "99999-01-01"},
        {"until": "yesterday"},
        {"block": "x"},
        {"block": "1" * 16},
        {"block": "999999"},
        {"kind": "storage", "hospital": HOSTILE},
        {"page": "x"},
    ],
)
def test_what_means_nothing_is_refused_in_words_and_runs_nowhere(portal: Portal, query: dict[str, str]) -> None:
    client = portal.client_of(Role.RESEARCHER)
    for path in ("/research", "/research/download"):
        answer = client.get(path, params=query)
        assert answer.status_code in (400, 404, 422) or (path.endswith("download") and "page" in query)
        assert "<script>alert" not in answer.text


def test_csv_has_the_columns_of_the_command_line_and_no_formula(portal: Portal, world: World) -> None:
    made = grant(world, disclose=True)
    client = portal.client_of(Role.RESEARCHER)
    answer = client.get("/research/download", params={"form": "csv"})
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert row["policy_id"] == made.policy_id
    assert row["granted_at"].endswith("Z")
    assert (row["purposes"], row["revoked_block"]) == ("1", "-")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    name = answer.headers["content-disposition"]
    block = world.network.mainchain.head_block().number
    assert name == f'attachment; filename="policies-chain-31337-block-{block}.csv"'


def test_no_cell_is_a_formula(portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    grant(world)
    (row,) = world.researcher.query("policies")
    monkeypatch.setattr(
        KINDS["policies"][0], "to_json", lambda self: {"study": "=HYPERLINK(1)", "terms": "a,b\n@x", "tx": None}
    )
    result = world.researcher.query("policies")
    told = b"".join(researcher_query._csv(replace(result, rows=(row,)))).decode().splitlines()[1]
    assert told == '\'=HYPERLINK(1),"a,b @x",-'


def test_json_has_its_provenance(portal: Portal, world: World) -> None:
    grant(world)
    client = portal.client_of(Role.RESEARCHER)
    found = json.loads(client.get("/research/download", params={"form": "json"}).text)
    assert found["schema"] == "panachain/query/1"
    assert found["count"] == 1
    assert found["provenance"]["block_hash"] == world.network.mainchain.head_block().hash
    assert client.get("/research/download", params={"form": "exe"}).status_code == 400


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_those_of_the_rows(kind: str, world: World) -> None:
    upload(world)
    grant(world)
    (row,) = world.researcher.query(kind)
    assert columns_of(kind) == list(row.to_json())


def test_plots_say_in_words_and_in_a_table_what_they_show(portal: Portal, world: World) -> None:
    grant(world, disclose=True)
    grant(world, "nurse")
    page = ask(portal.client_of(Role.RESEARCHER))
    assert page.count('<svg class="plot" role="img"') == 4
    assert page.count("</title>") >= 5
    text = text_of(page)
    assert "Open policies by category" in text
    assert "Policies that are sealed say neither, and aren't in it: 1." in text
    upload(world, 2)
    page = ask(portal.client_of(Role.RESEARCHER), kind="storage")
    assert page.count('<svg class="plot" role="img"') == 3
    assert "Records by hospital" in text_of(page)


def test_a_hospitals_name_is_shown_and_runs_nowhere(
    portal: Portal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(world)
    monkeypatch.setattr(Names, "of", lambda *_: HOSTILE)
    page = ask(portal.client_of(Role.RESEARCHER), kind="storage")
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 3
    assert "\u202e" not in page


def test_a_question_is_the_same_on_the_command_line() -> None:
    asked = Question("policies", since="2026-01-01", categories=("laboratory",), hospital="a b; rm -rf /", block="7")
    assert asked.command("study") == (
        "panachain --profile study query policies --since 2026-01-01 --category laboratory"
        " --hospital 'a b; rm -rf /' --as-of-block 7"
    )


def test_is_for_researchers(portal: Portal) -> None:
    portal.client_of(Role.PRACTITIONER).page("/research", status=403)


def test_a_grant_to_a_researcher_is_opened_as_a_practitioners_is(portal: Portal, world: World) -> None:
    upload(world)
    grant(world, "researcher", purpose="HRESCH", until=world.now + DAY)
    client = portal.client_of(Role.RESEARCHER)
    page = client.finish(client.agree(client.submit(f"/inbox/{world.patient.address}/open")))
    assert "One record was opened." in text_of(page)
    assert "research" in text_of(client.page("/readings"))
