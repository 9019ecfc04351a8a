"""Keys are compared with what registries keep: forged ones, hidden suspensions and proofs that fail are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from panachain.chain.headers import Header
from panachain.chain.logs import NodeEvents
from panachain.chain.nodes import UnprovableError
from panachain.chain.proven import commitment_of
from panachain.errors import (
    BlockNotFoundError,
    ChainUnavailableError,
    IntegrityError,
    StoreUnavailableError,
    SuspendedError,
)
from panachain.ethereum import checksum_address
from panachain.model.actors import Actor, Address, KeyChange, Role, Status
from panachain.model.key_block import PublicKeys
from panachain.model.policy import ProxyRef
from panachain.sdk.proven_keys import ChangedMeanwhileError, ProvenKeys
from tests.unit.chain.test_proven import slot

HEADER = Header(1, "0x", "0x", 0, bytes(256), bytes(32), bytes(32))
KEYS = [bytes([n]) * 32 for n in range(1, 12)]
NUMBERS = {Role.PROXY: 2, Role.RESEARCHER: 3, Role.PATIENT: 1, Role.PRACTITIONER: 2}


def actor(number: int, role: Role, **change: Any) -> Actor:
    made = Actor(checksum_address(bytes([number]) * 20), role, Status.ACTIVE, KEYS[number])
    return replace(made, **change)


PROXIES = [actor(1, Role.PROXY), actor(2, Role.PROXY)]
RESEARCHER, PRACTITIONER, GROUP = actor(3, Role.RESEARCHER), actor(4, Role.PRACTITIONER), actor(5, Role.GROUP)
RENEWED = replace(GROUP, key_digest=KEYS[9], earlier_keys=(GROUP.key_digest,))
EVERYBODY = [*PROXIES, RESEARCHER, PRACTITIONER, GROUP]


def slots_of(one: Actor) -> dict[bytes, int]:
    """Return how the contracts keep an actor."""
    if one.role is Role.GROUP:
        closed = one.status is not Status.ACTIVE
        return {slot(1, one.address): len(one.earlier_keys) << 168 | closed << 160 | 7}
    commitment = int.from_bytes(commitment_of(one), "big")
    word = one.status.value << 8 | NUMBERS[one.role]
    if one.role is Role.PRACTITIONER:
        return {slot(1, one.address): word, slot(1, one.address, offset=1): commitment}
    return {slot(1, one.address): commitment << 16 | word}


class World:
    """A network: what its registries keep, and what its nodes show."""

    def __init__(self, kept: Sequence[Actor] = EVERYBODY, shown: Sequence[Actor] = EVERYBODY) -> None:
        self.shown = list(shown)
        self.error: Exception | None = None
        self.seen = HEADER.number
        """The newest block that the copy of the chain has."""
        self._slots = {place: word for one in kept for place, word in slots_of(one).items()}
        chain = SimpleNamespace(
            addresses=dict.fromkeys(("ActorRegistry", "IdentityRegistry", "CareGroups"), "0x" + "cc" * 20),
            nodes=SimpleNamespace(at_head=self._at_head, storage=self._storage, urls=("http://node",)),
            source=SimpleNamespace(head=lambda: SimpleNamespace(number=self.seen)),
            actors=SimpleNamespace(find=lambda role: [one for one in self.shown if one.role is role]),
        )
        self.chain: Any = chain
        resolver = SimpleNamespace(known=lambda asked: [one for one in self.shown if one.address in asked])
        self.lost: Exception | None = None
        """Why nobody has the block of anybody."""
        self.fetched: list[Actor] = []
        """Whose key blocks were fetched."""
        blocks = SimpleNamespace(of=self._fetch)
        self.keys = ProvenKeys(chain, chain, cast(Any, resolver), cast(Any, blocks))

    def _fetch(self, one: Actor) -> Actor:
        self.fetched.append(one)
        if self.lost is not None:
            raise self.lost
        return replace(one, endpoint="with keys")

    def _at_head(self, ask: Callable[[Header], Any]) -> Any:
        return ask(HEADER)

    def _storage(self, header: Header, account: str, slots: Sequence[bytes]) -> list[int]:
        if self.error is not None:
            raise self.error
        return [self._slots.get(place, 0) for place in slots]


def refs(*proxies: Actor) -> list[ProxyRef]:
    return [ProxyRef(one.address, "http://p", one.key_digest) for one in proxies]


class TestCheck:
    def test_accepts_what_the_registries_keep(self) -> None:
        world = World()
        for one in EVERYBODY:
            assert world.keys.check(one) == world.keys.check_grantable(one) == replace(one, endpoint="with keys")
        world.keys.check_active([])

    def test_of_many_nobody_s_key_block_is_fetched(self) -> None:
        world = World()
        world.keys.check_active(EVERYBODY)
        assert world.fetched == []

    @pytest.mark.parametrize(
        "forged",
        [
            replace(RESEARCHER, key_digest=KEYS[0]),
            replace(RESEARCHER, role=Role.PROXY),
            replace(PRACTITIONER, key_digest=KEYS[0]),
            replace(PRACTITIONER, organisation=RESEARCHER.address),
            replace(GROUP, earlier_keys=(KEYS[0],)),
            actor(7, Role.PRACTITIONER),
        ],
        ids=lambda one: f"{one.role.value}",
    )
    def test_another_key_role_or_organisation_names_the_node(self, forged: Actor) -> None:
        with pytest.raises(IntegrityError, match=r"http://node shows another role, key or organisation .*sealed"):
            World().keys.check(forged)

    def test_no_block_is_fetched_for_keys_that_are_not_proven(self) -> None:
        world = World()
        for check in (world.keys.check, world.keys.check_grantable):
            with pytest.raises(IntegrityError):
                check(replace(RESEARCHER, key_digest=KEYS[0]))
        assert world.fetched == []

    def test_a_group_that_was_renewed_between_event_and_proof_makes_a_liar_of_nobody(self) -> None:
        world = World(kept=[RENEWED], shown=[RENEWED])
        with pytest.raises(ChangedMeanwhileError, match="meanwhile; nothing was sealed"):
            world.keys.check(GROUP)
        world.keys.check(RENEWED)

    @pytest.mark.parametrize("before", [RESEARCHER, PRACTITIONER, PROXIES[0]], ids=lambda one: one.role.value)
    def test_who_changed_keys_meanwhile_makes_a_liar_of_nobody_and_a_hidden_change_of_a_node(
        self, before: Actor
    ) -> None:
        once = before.changed(KEYS[7], KeyChange(100, 90))
        twice = once.changed(KEYS[8], KeyChange(200, 300))
        world = World(kept=[twice], shown=[twice])
        for stale in (before, once):
            with pytest.raises(ChangedMeanwhileError, match="meanwhile; nothing was sealed"):
                world.keys.check(stale)
        world.keys.check(twice)
        # A change that is hidden, an end that was moved, a time that was: each is another commitment.
        forged = [
            once,
            replace(twice, key_changes=(KeyChange(100, 101), KeyChange(200, 300))),
            replace(twice, key_changes=(KeyChange(99, 90), KeyChange(200, 300))),
            replace(twice, earlier_keys=(KEYS[0], KEYS[7])),
        ]
        for shown in forged:
            with pytest.raises(IntegrityError, match="http://node shows another"):
                World(kept=[twice], shown=[shown]).keys.check(shown)

    @pytest.mark.parametrize(
        ("before", "now"),
        [
            # What is shown now was never preceded by what was shown before.
            (replace(GROUP, key_digest=KEYS[1]), RENEWED),
            # It was, and isn't what the registry keeps either.
            (GROUP, replace(RENEWED, earlier_keys=(*RENEWED.earlier_keys, KEYS[1]))),
            (GROUP, GROUP),
        ],
        ids=["another key before", "two renewals", "nothing changed"],
    )
    def test_a_node_that_forged_the_group_or_its_renewal_is_named(self, before: Actor, now: Actor) -> None:
        with pytest.raises(IntegrityError, match="http://node shows another"):
            World(kept=[RENEWED], shown=[now]).keys.check(before)

    def test_of_several_nodes_one_is_said_to_lie(self) -> None:
        world = World()
        world.chain.nodes.urls = ("http://node", "http://other")
        with pytest.raises(IntegrityError, match=r"^one of the nodes at http://node, http://other shows another role"):
            world.keys.check(replace(RESEARCHER, key_digest=KEYS[0]))

    def test_suspended_ones_keep_their_keys(self) -> None:
        suspended = replace(RESEARCHER, status=Status.SUSPENDED)
        World(kept=[suspended], shown=[suspended]).keys.check(suspended)

    def test_nothing_is_believed_of_a_node_that_proves_nothing(self) -> None:
        world = World()
        world.error, world.chain.source = UnprovableError("no eth_getProof"), NodeEvents(world.chain)

        with pytest.raises(IntegrityError, match="no eth_getProof"):
            world.keys.check(RESEARCHER)

    def test_events_that_were_proven_are_proof_where_storage_can_not_be(self) -> None:
        world = World()
        world.error = UnprovableError("no eth_getProof")

        world.keys.check_active([RESEARCHER])
        world.shown = [replace(RESEARCHER, status=Status.SUSPENDED)]
        with pytest.raises(SuspendedError):
            world.keys.check_active(world.shown)

    def test_a_false_proof_is_none(self) -> None:
        world = World()
        world.error = IntegrityError("another root")

        with pytest.raises(IntegrityError, match="another root"):
            world.keys.check(RESEARCHER)


class TestCheckActive:
    @pytest.mark.parametrize("one", [RESEARCHER, PRACTITIONER, GROUP], ids=lambda one: one.role.value)
    def test_a_suspension_that_everybody_sees_is_told(self, one: Actor) -> None:
        suspended = replace(one, status=Status.SUSPENDED)

        with pytest.raises(SuspendedError, match="is suspended"):
            World(kept=[suspended], shown=[suspended]).keys.check_active([suspended])

    def test_one_of_this_moment_is_no_lie(self) -> None:
        suspended = replace(RESEARCHER, status=Status.SUSPENDED)

        with pytest.raises(SuspendedError):
            World(kept=[suspended], shown=[suspended]).keys.check_active([RESEARCHER])

    @pytest.mark.parametrize("one", [RESEARCHER, PRACTITIONER, GROUP], ids=lambda one: one.role.value)
    def test_one_that_the_node_hides_names_the_node(self, one: Actor) -> None:
        world = World(kept=[replace(one, status=Status.SUSPENDED)])

        with pytest.raises(IntegrityError, match=r"http://node shows .* as active, the registry keeps suspended"):
            world.keys.check_active([one])

    def test_a_state_from_before_what_was_seen_hides_no_suspension_and_makes_no_liar(self) -> None:
        suspended = replace(RESEARCHER, status=Status.SUSPENDED)
        renewed = replace(GROUP, earlier_keys=(GROUP.key_digest,), key_digest=KEYS[0])
        world = World(shown=[suspended, renewed])
        world.seen += 1

        with pytest.raises(ChainUnavailableError, match="was seen before"):
            world.keys.check_grantee(suspended.address, suspended.key_digest)
        with pytest.raises(ChainUnavailableError, match="was seen before"):
            world.keys.check(renewed)


class TestCheckGrantee:
    def test_accepts_their_key_and_a_groups_earlier_ones(self) -> None:
        renewed = replace(GROUP, earlier_keys=(GROUP.key_digest,), key_digest=KEYS[0])
        world = World(kept=[renewed, RESEARCHER], shown=[renewed, RESEARCHER])

        world.keys.check_grantee(RESEARCHER.address, RESEARCHER.key_digest)
        for key in (GROUP.key_digest, KEYS[0]):
            world.keys.check_grantee(GROUP.address, key)

    def test_refuses_a_key_that_was_never_theirs(self) -> None:
        with pytest.raises(IntegrityError, match="isn't registered with the keys"):
            World().keys.check_grantee(RESEARCHER.address, KEYS[0])
        with pytest.raises(IntegrityError, match="isn't registered with the keys"):
            World().keys.check_grantee(Address("0x" + "99" * 20), KEYS[0])


class TestCheckProxies:
    def test_accepts_those_that_are_registered(self) -> None:
        assert World().keys.check_proxies(refs(*PROXIES)) == set()

    def test_tells_which_are_suspended(self) -> None:
        now = [PROXIES[0], replace(PROXIES[1], status=Status.SUSPENDED)]
        assert World(kept=now, shown=now).keys.check_proxies(refs(*PROXIES)) == {PROXIES[1].address}

    def test_a_hidden_suspension_names_the_node(self) -> None:
        world = World(kept=[PROXIES[0], replace(PROXIES[1], status=Status.SUSPENDED)])

        with pytest.raises(IntegrityError, match="http://node"):
            world.keys.check_proxies(refs(*PROXIES))

    def test_refuses_other_keys_than_the_policys(self) -> None:
        with pytest.raises(IntegrityError, match="with the keys that the policy says"):
            World().keys.check_proxies(refs(replace(PROXIES[0], key_digest=KEYS[0])))
        forged = replace(PROXIES[0], key_digest=KEYS[0])
        with pytest.raises(IntegrityError, match="another role, key"):
            World(shown=[forged]).keys.check_proxies(refs(forged))

    def test_refuses_one_that_nobody_registered(self) -> None:
        with pytest.raises(IntegrityError, match="shows no proxy"):
            World().keys.check_proxies(refs(actor(6, Role.PROXY)))


FORGED = replace(RESEARCHER, key_digest=KEYS[0])


def unlike(verifying: bytes) -> bytes:
    raise IntegrityError("the signature doesn't fit", hint="ask them")


class TestShown:
    """Keys that only verify something aren't proven, but whoever shows false ones is told from a store and an actor."""

    def test_takes_the_store_at_its_word_and_asks_no_chain(self) -> None:
        world = World()
        world.error = IntegrityError("nobody is asked")
        assert world.keys.shown(RESEARCHER) == replace(RESEARCHER, endpoint="with keys")

    @pytest.mark.parametrize("lost", [BlockNotFoundError("no block"), IntegrityError("another block")])
    def test_a_block_that_is_lost_is_the_stores_fault_if_the_registry_names_it(self, lost: Exception) -> None:
        world = World()
        world.lost = lost
        with pytest.raises(type(lost)) as caught:
            world.keys.shown(RESEARCHER)
        assert caught.value is lost

    @pytest.mark.parametrize("lost", [BlockNotFoundError("no block"), IntegrityError("another block")])
    def test_a_digest_that_the_registry_does_not_keep_names_who_showed_it_and_no_store(self, lost: Exception) -> None:
        world = World()
        world.lost = lost
        with pytest.raises(IntegrityError, match=r"http://node shows another role, key") as caught:
            world.keys.shown(FORGED)
        assert caught.value.hint.startswith("ask another node")

    def test_a_store_that_does_not_answer_strikes_nobody_else(self) -> None:
        world = World()
        world.lost = StoreUnavailableError("no answer")
        with pytest.raises(StoreUnavailableError):
            world.keys.shown(FORGED)


class TestSigned:
    """What somebody signed: a signature that doesn't fit is theirs, or its key is a forgery."""

    @pytest.fixture
    def world(self) -> World:
        world = World()
        keys = PublicKeys(b"", b"", b"\x02" * 33)
        world.keys._blocks = cast(Any, SimpleNamespace(of=lambda one: SimpleNamespace(verifying_key=keys.verifying)))
        return world

    def test_gives_what_was_opened_with_their_key(self, world: World) -> None:
        assert world.keys.signed(RESEARCHER, "the terms", lambda key: key) == b"\x02" * 33

    def test_one_that_does_not_fit_the_key_of_the_registry_is_theirs(self, world: World) -> None:
        with pytest.raises(IntegrityError, match=f"the terms aren't what {RESEARCHER.handle} signed") as caught:
            world.keys.signed(RESEARCHER, "the terms", unlike)
        assert caught.value.hint == "ask them"

    def test_one_that_does_not_fit_a_forged_key_is_the_nodes(self, world: World) -> None:
        with pytest.raises(IntegrityError, match="http://node shows another role, key"):
            world.keys.signed(FORGED, "the terms", unlike)

    @pytest.mark.parametrize(("one", "expected"), [(RESEARCHER, type(None)), (FORGED, IntegrityError)])
    def test_each_is_proven_once_however_many_do_not_fit(
        self, world: World, one: Actor, expected: type[object]
    ) -> None:
        first = world.keys.forgery(one)
        world.error = RuntimeError("asked again")
        again = world.keys.forgery(one)
        assert (type(first), str(first), type(again)) == (expected, str(again), expected)

    def test_where_the_chains_can_not_be_asked_nobody_is_blamed_and_the_next_call_asks_again(
        self, world: World
    ) -> None:
        world.error = ChainUnavailableError("down")
        assert world.keys.forgery(FORGED) is None
        world.error = None
        assert world.keys.forgery(FORGED) is not None
