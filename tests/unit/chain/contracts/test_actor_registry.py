"""ActorRegistry's adapter: actors are folded from events, and a node that hides or invents some is found out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panachain.chain.contracts.actor_registry import ActorRegistry, actors_after
from panachain.errors import IntegrityError, UsageError
from panachain.model.actors import Actor, Role, Status
from tests.unit.chain.contracts.node import HOSPITAL, KEYS, NOBODY, NOT_OF_THE_ABI, STRANGER, WHERE, Node, Sender, low

PROXY = Actor(STRANGER, Role.PROXY, Status.ACTIVE, KEYS, endpoint="https://proxy.example", organisation=HOSPITAL)


@pytest.fixture
def node() -> Node:
    return Node("ActorRegistry")


def register(node: Node, account: str = STRANGER, role: int = 2, **change: Any) -> None:
    values = {"keyDigest": KEYS, "endpoint": PROXY.endpoint}
    node.emit("ActorRegistered", account=account, role=role, organisation=HOSPITAL, **values | change)


class TestWrites:
    def test_an_actor_is_registered_with_the_number_of_its_role(self, node: Node) -> None:
        actors, sender = node.adapter(ActorRegistry), Sender(node)

        actors.register(sender, PROXY)
        actors.register(sender, Actor(HOSPITAL, Role.HOSPITAL, Status.UNKNOWN, KEYS))

        assert sender.sent == [
            ("register", (*low(STRANGER), 2, KEYS, PROXY.endpoint, *low(HOSPITAL))),
            ("register", (*low(HOSPITAL), 1, KEYS, "", NOBODY)),
        ]

    def test_a_proxy_needs_an_endpoint_and_whoever_else_has_one_has_one_that_can_be_asked(self, node: Node) -> None:
        actors, sender = node.adapter(ActorRegistry), Sender(node)
        researcher = replace(PROXY, role=Role.RESEARCHER)
        for wrong in (replace(PROXY, endpoint=""), replace(researcher, endpoint="https://user:pw@x.example")):
            with pytest.raises(UsageError):
                actors.register(sender, wrong)
        assert sender.sent == []
        actors.register(sender, researcher)
        actors.register(sender, replace(researcher, endpoint=""))
        assert [fields[3] for _, fields in sender.sent] == [PROXY.endpoint, ""]

    def test_each_other_method_is_the_function_of_its_name(self, node: Node) -> None:
        actors, sender = node.adapter(ActorRegistry), Sender(node)

        actors.suspend(sender, STRANGER)
        actors.reinstate(sender, STRANGER)
        actors.set_endpoint(sender, "https://elsewhere.example")

        expected = [("suspend", low(STRANGER)), ("reinstate", low(STRANGER))]
        assert sender.sent == [*expected, ("setEndpoint", ("https://elsewhere.example",))]


class TestReads:
    def test_a_registered_actor_is_found_with_its_present_state(self, node: Node) -> None:
        register(node)
        actors = node.adapter(ActorRegistry)
        assert actors.actor_of(STRANGER) == PROXY
        node.emit("ActorEndpointChanged", account=STRANGER, endpoint="https://elsewhere.example")
        node.emit("ActorSuspended", account=STRANGER)
        (found,) = actors.find()
        assert (found.endpoint, found.status) == ("https://elsewhere.example", Status.SUSPENDED)
        node.emit("ActorReinstated", account=STRANGER)
        assert [actor.status for actor in actors.find(Role.PROXY)] == [Status.ACTIVE]
        assert actors.find(Role.HOSPITAL) == []
        assert actors.actor_of(HOSPITAL) is None

    @pytest.mark.parametrize("event", ["ActorSuspended", "ActorReinstated", "ActorEndpointChanged"])
    def test_a_hidden_registration_is_an_integrity_error(self, node: Node, event: str) -> None:
        more = {"endpoint": "https://x.example"} if event == "ActorEndpointChanged" else {}
        node.emit(event, account=STRANGER, **more)
        register(node)
        for asked in (node.adapter(ActorRegistry).find, lambda: node.adapter(ActorRegistry).actor_of(STRANGER)):
            with pytest.raises(IntegrityError, match=f"hides the registration of {STRANGER}"):
                asked()

    @pytest.mark.parametrize("role", [0, 5, 255])
    def test_a_role_that_is_none_of_ours_is_an_integrity_error(self, node: Node, role: int) -> None:
        register(node, role=role)
        with pytest.raises(IntegrityError):
            node.adapter(ActorRegistry).find()

    def test_what_its_manager_says_in_the_same_log_is_passed_over(self, node: Node) -> None:
        node.emit("AuthorityUpdated", authority=WHERE)
        register(node)
        assert node.adapter(ActorRegistry).find() == [PROXY]

    def test_folding_leaves_what_was_known_as_it_was(self, node: Node) -> None:
        node.emit("ActorSuspended", account=STRANGER)
        known = {STRANGER: PROXY}
        after = actors_after(known, node.adapter(ActorRegistry).bound.events())
        assert (known[STRANGER].status, after[STRANGER].status) == (Status.ACTIVE, Status.SUSPENDED)

    def test_whether_one_is_active_follows_from_the_events(self, node: Node) -> None:
        actors = node.adapter(ActorRegistry)
        assert not actors.is_active(STRANGER, Role.PROXY)
        register(node)
        assert actors.is_active(STRANGER, Role.PROXY)
        assert not actors.is_active(STRANGER, Role.HOSPITAL)
        node.emit("ActorSuspended", account=STRANGER)
        assert not actors.is_active(STRANGER, Role.PROXY)
        assert node.asked == []

    def test_those_of_a_role_cost_nothing_of_what_others_did(self, node: Node) -> None:
        register(node)
        for number in range(1, 20):
            register(node, account=f"0x{number:040x}", role=1)
            node.emit("ActorSuspended", account=f"0x{number:040x}")
        node.emit("ActorEndpointChanged", account=STRANGER, endpoint="https://x.example")
        given: list[int] = []
        call = node.call

        def counted(method: str, params: Any = ()) -> Any:
            found = call(method, params)
            given.append(len(found) if method == "eth_getLogs" else 0)
            return found

        node.call = counted  # type: ignore[method-assign]
        assert [one.endpoint for one in node.adapter(ActorRegistry).find(Role.PROXY)] == ["https://x.example"]
        assert sum(given) == 2

    def test_the_two_contracts_that_it_made_have_checksums(self, node: Node) -> None:
        node.results |= {"recordLedger": HOSPITAL.lower(), "accessLog": STRANGER.lower()}
        actors = node.adapter(ActorRegistry)
        assert (actors.record_ledger(), actors.access_log()) == (HOSPITAL, STRANGER)

    @pytest.mark.parametrize("answer", NOT_OF_THE_ABI)
    def test_what_is_no_answer_is_an_integrity_error(self, node: Node, answer: Any) -> None:
        node.results |= dict.fromkeys(("recordLedger", "accessLog"), answer)
        actors = node.adapter(ActorRegistry)
        for asked in (actors.record_ledger, actors.access_log):
            with pytest.raises(IntegrityError):
                asked()
