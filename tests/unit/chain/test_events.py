"""What the chain layer makes of logs: a node can leave logs out or make some up, and none of it becomes a wrong value.

The node is a list of logs that answers eth_getLogs as the Ethereum JSON-RPC specification says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak, to_checksum_address

from panachain.chain.abi import contract
from panachain.chain.mainchain import Mainchain
from panachain.chain.sidechain import Sidechain
from panachain.errors import IntegrityError, UsageError
from panachain.model.actors import Actor, Address, PolicyId, Role, Status
from panachain.model.policy import SEALED, Disclosure
from panachain.model.transactions import Grant, PolicyEvent

CHAIN_ID = 31_337
REGISTRY, GROUPS = "0x" + "11" * 20, "0x" + "22" * 20
OWNER, OTHER = (PolicyId(to_checksum_address("0x" + byte * 20)) for byte in ("a1", "a2"))
MANAGER = to_checksum_address("0x" + "b1" * 20)
KEYS = b"k" * 32
NOBODY = "0x" + "00" * 20


@dataclass
class Node:
    """The logs of a chain."""

    log_window = 0

    logs: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        if method == "eth_blockNumber":
            return hex(100)
        assert method == "eth_getLogs"
        wanted = params[0]["topics"]
        return [log for log in self.logs if all(_fits(log, place, topic) for place, topic in enumerate(wanted))]

    def emit(self, name: str, event: str, topics: Sequence[str], *values: Any, tx: int = 1) -> None:
        """Add a log; `topics` are addresses, `values` what isn't indexed."""
        entry = next(e for e in contract(name)._events.values() if e["name"] == event)
        rest = [item["type"] for item in entry["inputs"] if not item["indexed"]]
        self.logs.append(
            {
                "address": REGISTRY,
                "topics": [contract(name).topic(event), *("0x" + "00" * 12 + topic[2:].lower() for topic in topics)],
                "data": "0x" + encode(rest, values).hex(),
                "blockNumber": hex(7),
                "blockHash": "0x" + "0b" * 32,
                "transactionHash": f"0x{tx:064x}",
                "logIndex": hex(len(self.logs)),
            }
        )

    def grant(self, owner: str, *, tag: int = 0, tx: int = 1) -> None:
        window = Grant(PolicyId(owner), 10, 20, 15, b"", view_tag=tag).window
        self.emit("PolicyRegistry", "PolicyGranted", [owner], window, b"t" * 32, b"a" * 32, tx=tx)

    def disclose(self, owner: str, word: int, *, tx: int = 1) -> None:
        self.emit("PolicyRegistry", "PolicyDisclosed", [owner], word, tx=tx)

    def revoke(self, owner: str) -> None:
        self.emit("PolicyRegistry", "PolicyRevoked", [owner])

    def policies(self, **filters: Any) -> list[PolicyEvent]:
        return list(self.mainchain.policies.events(**filters))

    @property
    def mainchain(self) -> Mainchain:
        addresses = {"PolicyRegistry": REGISTRY, "ActorRegistry": REGISTRY}
        return Mainchain(self, addresses, CHAIN_ID)  # type: ignore[arg-type]

    @property
    def sidechain(self) -> Sidechain:
        return Sidechain(self, {"CareGroups": GROUPS, "IdentityRegistry": REGISTRY}, CHAIN_ID)  # type: ignore[arg-type]


def _fits(log: dict[str, Any], place: int, topic: str | list[str] | None) -> bool:
    wanted = [topic] if isinstance(topic, str) else topic
    return wanted is None or (place < len(log["topics"]) and log["topics"][place] in wanted)


class TestGrant:
    def grant(self, **change: Any) -> Grant:
        fields: dict[str, Any] = {"starts_at": 1, "expires_at": 2, "deadline": 3, "terms": b"t" * 32}
        return Grant(OWNER, **(fields | change))

    def test_window_has_the_bits_of_the_specification(self) -> None:
        window = self.grant(view_tag=4).window

        assert window == 1 | 2 << 48 | 3 << 96 | 4 << 144
        assert (
            self.grant(starts_at=2**48 - 1, expires_at=2**48 - 1, deadline=2**48 - 1, view_tag=255).window == 2**152 - 1
        )

    def test_fields_are_in_the_order_of_the_struct(self) -> None:
        grant = self.grant(announcement=b"a" * 32, disclosure=Disclosure(purposes=9))

        assert grant.fields() == (OWNER, grant.window, b"t" * 32, b"a" * 32, 9)
        assert self.grant().fields()[3:] == (bytes(32), 0)

    @pytest.mark.parametrize(
        "change",
        [
            {"starts_at": 2**48},
            {"expires_at": 2**48},
            {"deadline": 2**48},
            {"view_tag": 256},
            {"starts_at": -1},
            {"view_tag": -1},
        ],
        ids=str,
    )
    def test_refuses_what_would_run_into_a_neighbour(self, change: dict[str, int]) -> None:
        with pytest.raises(UsageError, match="doesn't fit"):
            self.grant(**change).fields()

    @pytest.mark.parametrize("size", [0, 31, 33])
    def test_refuses_an_announcement_of_another_size(self, size: int) -> None:
        with pytest.raises(UsageError, match="32 bytes"):
            self.grant(announcement=bytes(size)).fields()


class TestPolicyEvents:
    def test_a_disclosure_belongs_to_the_grant_before_it(self) -> None:
        node = Node()
        node.grant(OWNER, tag=255)
        node.grant(OTHER, tag=1)
        node.disclose(OTHER, 5)
        node.revoke(OTHER)

        granted, open_one, revoked = node.policies()

        assert (granted.starts_at, granted.expires_at, granted.view_tag) == (10, 20, 255)
        assert (granted.terms, granted.announcement, granted.disclosure) == (b"t" * 32, b"a" * 32, SEALED)
        assert (open_one.policy_id, open_one.view_tag, open_one.disclosure) == (OTHER, 1, Disclosure(purposes=5))
        assert (revoked.kind, revoked.starts_at, revoked.terms, revoked.announcement) == ("revoked", 0, b"", b"")
        assert node.policies(kind="PolicyGranted") == [granted, open_one]
        assert node.policies(policy_ids=[OTHER]) == [open_one, revoked]
        assert node.policies(kind="PolicyRevoked") == [revoked]

    def test_an_event_of_no_policy_is_passed_over(self) -> None:
        node = Node()
        node.emit("PolicyRegistry", "EIP712DomainChanged", [])
        node.grant(OWNER)

        assert [event.policy_id for event in node.policies()] == [OWNER]

    def test_a_study_is_an_address_with_its_checksum(self) -> None:
        node = Node()
        node.grant(OWNER)
        node.disclose(OWNER, int(OTHER, 16) << 96)

        assert [event.disclosure.study for event in node.policies()] == [OTHER]

    @pytest.mark.parametrize(
        "change",
        [
            {"blockNumber": None},
            {"blockNumber": "seven"},
            {"logIndex": 1},
            {"topics": None},
            {"data": 5},
            {"data": "0xzz"},
        ],
        ids=str,
    )
    def test_a_log_that_can_not_be_read_is_an_integrity_error(self, change: dict[str, Any]) -> None:
        node = Node()
        node.grant(OWNER)
        node.logs[0] |= change
        node.call = lambda method, _=(): hex(100) if method == "eth_blockNumber" else node.logs  # type: ignore[assignment]

        with pytest.raises(IntegrityError):
            node.policies()

    def test_a_disclosure_without_its_grant_is_an_integrity_error(self) -> None:
        alone, others, elsewhere, late, revoked = (Node() for _ in range(5))
        alone.disclose(OWNER, 5)
        others.grant(OTHER)
        others.disclose(OWNER, 5)
        elsewhere.grant(OWNER, tx=1)
        elsewhere.disclose(OWNER, 5, tx=2)
        late.grant(OWNER)
        late.emit("PolicyRegistry", "EIP712DomainChanged", [])
        late.disclose(OWNER, 5)
        revoked.revoke(OWNER)
        revoked.disclose(OWNER, 5)

        for node in (alone, others, elsewhere, late, revoked):
            with pytest.raises(IntegrityError, match="without its grant"):
                node.policies()

    def test_a_second_disclosure_is_an_integrity_error(self) -> None:
        node = Node()
        node.grant(OWNER)
        node.disclose(OWNER, 5)
        node.disclose(OWNER, 6)

        with pytest.raises(IntegrityError, match="without its grant"):
            node.policies()


class TestGroups:
    def group_id(self, key: bytes = KEYS, creator: str = MANAGER) -> str:
        fields = [CHAIN_ID, GROUPS, creator, key]
        return to_checksum_address(keccak(encode(["uint256", "address", "address", "bytes32"], fields))[12:])

    def create(self, node: Node, group: str, *, manager: str = MANAGER, key: bytes = KEYS) -> None:
        node.emit("CareGroups", "GroupCreated", [group, manager], NOBODY, key)

    def test_a_group_is_read_from_its_creation(self) -> None:
        node, group = Node(), self.group_id()
        self.create(node, group)

        found = node.sidechain.groups.group_of(group)  # type: ignore[arg-type]

        assert found is not None
        assert (found.address, found.role, found.status, found.key_digest) == (group, Role.GROUP, Status.ACTIVE, KEYS)
        assert (found.keys, found.organisation) == (None, None)
        assert node.sidechain.groups.find() == [found]

    def test_a_closed_group_is_suspended(self) -> None:
        node, group = Node(), self.group_id()
        self.create(node, group)
        node.emit("CareGroups", "GroupClosed", [group])

        assert [found.status for found in node.sidechain.groups.find()] == [Status.SUSPENDED]

    @pytest.mark.parametrize(
        "change", [{"key": b"j" * 32}, {"manager": to_checksum_address("0x" + "b2" * 20)}], ids=str
    )
    def test_keys_that_the_address_does_not_commit_to_are_an_integrity_error(self, change: dict[str, Any]) -> None:
        node, group = Node(), self.group_id()
        self.create(node, group, **change)

        with pytest.raises(IntegrityError, match="isn't the group's"):
            node.sidechain.groups.group_of(group)  # type: ignore[arg-type]

    def test_an_end_without_a_beginning_is_an_integrity_error(self) -> None:
        node = Node()
        node.emit("CareGroups", "GroupClosed", [self.group_id()])

        with pytest.raises(IntegrityError, match="without its beginning"):
            node.sidechain.groups.find()

    def renew(self, node: Node, group: str, generation: int) -> bytes:
        key = bytes([generation]) * 32
        node.emit("CareGroups", "GroupRenewed", [group], generation, key)
        return key

    def test_a_renewed_group_has_its_newest_keys_and_knows_the_earlier_ones(self) -> None:
        node, group = Node(), self.group_id()
        self.create(node, group)
        first, second = self.renew(node, group, 1), self.renew(node, group, 2)
        node.emit("CareGroups", "GroupClosed", [group])

        (found,) = node.sidechain.groups.find()

        assert (found.address, found.key_digest, found.earlier_keys) == (group, second, (KEYS, first))
        assert found.status is Status.SUSPENDED

    @pytest.mark.parametrize("generations", [(2,), (1, 3), (1, 1), (0,)], ids=str)
    def test_a_renewal_that_is_left_out_or_shown_twice_is_an_integrity_error(
        self, generations: tuple[int, ...]
    ) -> None:
        node, group = Node(), self.group_id()
        self.create(node, group)
        for generation in generations:
            self.renew(node, group, generation)

        with pytest.raises(IntegrityError, match=f"shows generation {generations[-1]} of group"):
            node.sidechain.groups.find()

    def test_a_renewal_without_a_beginning_is_an_integrity_error(self) -> None:
        node = Node()
        self.renew(node, self.group_id(), 1)

        with pytest.raises(IntegrityError, match="GroupRenewed of a group without its beginning"):
            node.sidechain.groups.find()

    def test_holders_are_those_to_whom_the_newest_secret_was_sealed(self) -> None:
        node, group = Node(), self.group_id()
        one, two, three = (to_checksum_address("0x" + byte * 20) for byte in ("c1", "c2", "c3"))

        def add(*members: str) -> None:
            for member in members:
                node.emit("CareGroups", "MemberAdded", [group, member], b"s" * 32)

        self.create(node, group)
        add(one, two, one)
        assert node.sidechain.groups.holders(group) == [one, two]  # type: ignore[arg-type]
        self.renew(node, group, 1)
        assert node.sidechain.groups.holders(group) == []  # type: ignore[arg-type]
        add(two)
        node.emit("CareGroups", "MemberRemoved", [group, two])
        add(three)

        # The member who left still has it.
        assert node.sidechain.groups.holders(group) == [two, three]  # type: ignore[arg-type]


class TestActors:
    """Registries tell in events who is who: none of them is believed without the registration before it."""

    @staticmethod
    def register(node: Node, account: str = OWNER) -> None:
        node.emit("ActorRegistry", "ActorRegistered", [account, "0x" + "00" * 19 + "01"], KEYS, "", NOBODY)

    def test_an_actor_is_read_from_registration_and_suspension(self) -> None:
        node = Node()
        self.register(node)
        self.register(node, OTHER)
        node.emit("ActorRegistry", "ActorSuspended", [OWNER])

        found = node.mainchain.actors.find(Role.HOSPITAL)

        assert [(actor.address, actor.status) for actor in found] == [
            (OWNER, Status.SUSPENDED),
            (OTHER, Status.ACTIVE),
        ]

    @pytest.mark.parametrize("event", ["ActorSuspended", "ActorReinstated", "ActorEndpointChanged"])
    def test_a_change_whose_registration_the_node_hides_is_an_integrity_error(self, event: str) -> None:
        node = Node()
        self.register(node, OTHER)
        node.emit("ActorRegistry", event, [OWNER], *(["https://a.example"] if event == "ActorEndpointChanged" else []))

        with pytest.raises(IntegrityError, match=f"hides the registration of {OWNER}"):
            node.mainchain.actors.find()

    @pytest.mark.parametrize("role", [Role.PATIENT, Role.PRACTITIONER, Role.GROUP])
    def test_nobody_of_the_sidechain_is_entered_in_public(self, role: Role) -> None:
        actor = Actor(Address(OWNER), role, Status.UNKNOWN, KEYS)

        with pytest.raises(UsageError, match="no public actor"):
            Node().mainchain.actors.register(None, actor)  # type: ignore[arg-type]


class TestIdentities:
    @staticmethod
    def register(node: Node, account: str = OWNER) -> None:
        role = "0x" + "00" * 19 + "01"
        node.emit("IdentityRegistry", "IdentityRegistered", [account, role, NOBODY], KEYS, b"")

    @pytest.mark.parametrize(
        ("event", "status"),
        [
            ("IdentitySuspended", Status.SUSPENDED),
            ("IdentityReinstated", Status.ACTIVE),
            ("IdentityReplaced", Status.REPLACED),
        ],
    )
    def test_a_person_is_what_the_last_event_says(self, event: str, status: Status) -> None:
        node = Node()
        self.register(node)
        node.emit("IdentityRegistry", event, [OWNER, OTHER] if event == "IdentityReplaced" else [OWNER])

        (found,) = node.sidechain.identities.find()

        assert (found.address, found.role, found.status) == (OWNER, Role.PATIENT, status)

    @pytest.mark.parametrize("event", ["IdentitySuspended", "IdentityReinstated", "IdentityReplaced"])
    def test_a_change_whose_registration_the_node_hides_is_an_integrity_error(self, event: str) -> None:
        node = Node()
        self.register(node, OTHER)
        node.emit("IdentityRegistry", event, [OWNER, OTHER] if event == "IdentityReplaced" else [OWNER])

        with pytest.raises(IntegrityError, match=f"hides the registration of {OWNER}"):
            node.sidechain.identities.find()

    def test_a_pairing_ends_with_its_last_event(self) -> None:
        node = Node()
        node.emit("IdentityRegistry", "HospitalPaired", [OWNER, OTHER], b"p" * 32)
        node.emit("IdentityRegistry", "HospitalUnpaired", [OWNER, OTHER])

        (found,) = node.sidechain.identities.paired()

        assert (found.patient, found.hospital, found.digest, found.paired) == (OWNER, OTHER, b"p" * 32, False)

    def test_an_end_whose_pairing_the_node_hides_is_an_integrity_error(self) -> None:
        node = Node()
        node.emit("IdentityRegistry", "HospitalUnpaired", [OWNER, OTHER])

        with pytest.raises(IntegrityError, match="hides the pairing"):
            node.sidechain.identities.paired()
