"""AccessManager's adapter: which calls set up a chain's roles."""

from __future__ import annotations

from panachain.chain.contracts.access_manager import AccessManager
from tests.unit.chain.contracts.node import HOSPITAL, WHERE, Node, Sender, low


def test_each_method_is_the_function_of_its_name() -> None:
    node = Node("AccessManager")
    manager, sender = node.adapter(AccessManager), Sender(node)

    manager.label_role(sender, 1, "REGISTRAR")
    manager.set_target_function_role(sender, WHERE, [b"\x01\x02\x03\x04"], 1)
    manager.grant_role(sender, 1, HOSPITAL)
    manager.grant_role(sender, 0, HOSPITAL, 60)
    manager.set_grant_delay(sender, 0, 60)

    assert sender.sent == [
        ("labelRole", (1, "REGISTRAR")),
        ("setTargetFunctionRole", (*low(WHERE), (b"\x01\x02\x03\x04",), 1)),
        ("grantRole", (1, *low(HOSPITAL), 0)),
        ("grantRole", (0, *low(HOSPITAL), 60)),
        ("setGrantDelay", (0, 60)),
    ]


def test_a_role_is_renounced_by_the_sender_for_itself() -> None:
    node = Node("AccessManager")
    sender = Sender(node)

    node.adapter(AccessManager).renounce_role(sender, 0)

    assert sender.sent == [("renounceRole", (0, *low(sender.address)))]
