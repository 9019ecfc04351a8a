"""The command `group`: what it asks the SDK, and that a renewal that is due can be seen."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from panachain.errors import PartlyDoneError
from panachain.model.actors import Address, Status
from panachain.sdk.results.groups import GroupView, InvitationView
from tests.cli.twin import Outcome, Twin

GROUP, MANAGER = Address("0x" + "11" * 20), Address("0x" + "22" * 20)
VIEW = GroupView(GROUP, "gro-abc", Status.ACTIVE, "", MANAGER, (MANAGER,), generation=2, renewal_due=True)
Run = Callable[..., Outcome]


def test_renew_asks_for_one_group_and_prints_it(run: Run, twin: Twin) -> None:
    twin.answers["renew_group"] = VIEW

    outcome = run("group", "renew", "gro-abc", "--json")

    assert outcome.code == 0
    assert ("renew_group", ("gro-abc",), {}) in twin.calls
    shown = json.loads(outcome.out)
    assert (shown["schema"], shown["generation"], shown["renewal_due"]) == ("panachain/group/1", 2, True)


def test_list_shows_how_often_the_key_was_renewed_and_whether_a_renewal_is_due(run: Run, twin: Twin) -> None:
    twin.answers |= {"groups": [VIEW], "invitations": []}

    titles, row = run("group", "list").out.splitlines()

    assert titles.split() == ["handle", "status", "manager", "members", "key"]
    assert row.endswith("renewed 2 times; a renewal is due")


def test_one_group_says_what_to_do_next(run: Run, twin: Twin) -> None:
    twin.answers["add_member"] = VIEW
    assert "panachain group renew gro-abc" in run("group", "add", "gro-abc", "pharmacist").err


def test_a_removal_without_its_renewal_is_partly_done_and_says_what_to_do(run: Run, twin: Twin) -> None:
    twin.answers["remove_member"] = PartlyDoneError(
        "the member is out, but the key isn't renewed", hint="panachain group renew gro-abc"
    )

    outcome = run("group", "remove", "gro-abc", "pharmacist")

    assert outcome.code == 3
    assert "the member is out" in outcome.err
    assert "who was taken out stays out" in outcome.err
    assert "panachain group renew gro-abc" in outcome.err


def test_list_tells_how_many_groups_invite_and_names_none_of_them(run: Run, twin: Twin) -> None:
    twin.answers |= {"groups": [VIEW], "invitations": [InvitationView(GROUP, MANAGER)] * 7}
    outcome = run("group", "list")
    assert "7 groups invite you: panachain group invitations" in outcome.err
    assert "7" not in outcome.out


def test_invitations_say_which_group_and_whose(run: Run, twin: Twin) -> None:
    twin.answers["invitations"] = [InvitationView(GROUP, MANAGER)]
    shown = json.loads(run("group", "invitations", "--json").out)
    assert (shown["schema"], shown["group"], shown["manager"]) == ("panachain/group-invitation/1", GROUP, MANAGER)
    twin.answers["invitations"] = []
    assert "No group invites you." in run("group", "invitations").err


@pytest.mark.parametrize(("typed", "asked"), [("accept", "accept_group"), ("leave", "leave_group")])
def test_one_accepts_and_leaves_by_naming_the_group_alone(run: Run, twin: Twin, typed: str, asked: str) -> None:
    twin.answers[asked] = VIEW
    assert run("group", typed, "gro-abc").code == 0
    assert (asked, ("gro-abc",), {}) in twin.calls
