"""The whole life of policies against a model: nobody opens what it says is closed, or fails to open what is open.

Real actors, proxies and cryptography over twins of the chains (world.py); the model (model.py) is written from the
design. Each reader opens through the SDK, and has a thief beside them who keeps everything and asks every proxy
(thief.py).
A change gets a few lives, `--deep` 40; there `PANACHAIN_MODEL=long` runs 2,000, `PANACHAIN_MODEL=500` as many as it
says.
"""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from panachain.errors import PanaChainError, ProxiesUnavailableError, SuspendedError
from panachain.model.actors import PolicyId
from panachain.model.scope import Purpose
from tests.twin.model import Model, Policy, Refusal
from tests.twin.thief import Thief
from tests.twin.world import PROXIES, THRESHOLD, World, resource, running_world

_MODE = os.environ.get("PANACHAIN_MODEL", "")
FEW = 2
"""Lives for each change."""
LIVES = {"": 40, "long": 2000}.get(_MODE) or int(_MODE)
STEPS = 20
READERS = ("clinician", "nurse", "stranger", "researcher")
HOSPITALS = ("hospital", "clinic")
CATEGORIES = ("laboratory", "vitals", "allergies", "mental-health")
YEARS = (0, 2024, 2025)
PURPOSES = ("TREAT", "HRESCH")

kinds = st.lists(st.tuples(st.sampled_from(CATEGORIES), st.sampled_from(YEARS)), min_size=1, max_size=3, unique=True)
scopes = st.one_of(
    # Mostly few, so that policies share lanes.
    st.sampled_from(((["laboratory"], ()), (["laboratory", "vitals"], ()), (["all"], ()), (["laboratory"], [2024]))),
    st.tuples(
        st.lists(st.sampled_from(("all", "emergency", *CATEGORIES)), min_size=1, max_size=2, unique=True), st.just(())
    ),
    st.tuples(
        st.lists(st.sampled_from(CATEGORIES), min_size=1, max_size=2, unique=True),
        st.lists(st.sampled_from(YEARS[1:]), min_size=1, max_size=2, unique=True),
    ),
)
windows = st.tuples(st.sampled_from((0, 0, 0, 60)), st.sampled_from((50, 1000, 1000)))
purposes = st.sampled_from((("TREAT",), ("HRESCH",), PURPOSES))
offers = st.tuples(st.sampled_from((*READERS, "group")), scopes, windows, purposes)
Offer = tuple[str, tuple[list[str], list[int]], tuple[int, int], tuple[str, ...]]


class PolicyLife(RuleBasedStateMachine):
    """Actors do what they like, and the model says what must come of it."""

    policies = Bundle("policies")

    @initialize(
        target=policies,
        dishonest=st.sampled_from((0, 0, 1, 1, 2, 3)),
        first=st.tuples(kinds, kinds),
        first_offers=st.lists(offers, min_size=2, max_size=3),
    )
    def begin(self, dishonest: int, first: tuple[list[tuple[str, int]], ...], first_offers: list[Offer]) -> Any:
        self.stack = ExitStack()
        self.world: World = self.stack.enter_context(running_world())
        self.model = Model(READERS, HOSPITALS, PROXIES)
        self.thieves = {name: Thief(self.world, name) for name in READERS}
        self.number = self.steps = 0
        self.group = self.world.clinician.create_group().group
        self._join("clinician")
        for number in range(dishonest):
            self._corrupt(number)
        for where, chosen in zip(HOSPITALS, first, strict=True):
            self.publish(chosen, where)
        return multiple(*(self._grant(offer) for offer in first_offers))

    def _join(self, name: str) -> None:
        self.model.join(name)
        self._learn()

    def _learn(self) -> None:
        """Let everybody keep the keys that they hold now, and look what the manager is told of the group."""
        for thief in self.thieves.values():
            thief.learn()
        (view,) = self.world.clinician.groups()
        assert (view.generation, view.renewal_due) == (self.model.renewals, self.model.renewal_due)

    @invariant()
    def somebody_looks(self) -> None:
        """Try one policy after each step, and steal after every third."""
        if not hasattr(self, "stack"):
            return
        self.steps += 1
        ids = list(self.model.policies)
        policy_id = ids[self.steps * 5 % len(ids)]
        policy = self.model.policies[policy_id]
        reader = self._reader_of(policy)
        self._check_open(policy_id, reader, policy.purposes[0])
        if self.steps % 3 == 0:
            self.a_thief_tries_everything(reader)
        # What a deletion's receipt says is so.
        held = {number for number, proxy in enumerate(self.world.proxies) if proxy.store.kfrag(policy_id, 0)}
        assert held == policy.held

    def _reader_of(self, policy: Policy) -> str:
        """Return the grantee, or one of those who are or were in the group."""
        people = self.model.ever_members
        return people[self.steps % len(people)] if policy.grantee == "group" else policy.grantee

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()

    # Records

    @rule(kinds=kinds, where=st.sampled_from(HOSPITALS))
    def publish(self, kinds: list[tuple[str, int]], where: str) -> None:
        resources = []
        for category, year in kinds:
            self.number += 1
            resources.append(resource(category, year, self.number))
            self.model.publish(f"n{self.number}", category, year, where)
        self.world.upload(where, resources)

    @rule(where=st.sampled_from(HOSPITALS))
    def rewrap(self, where: str) -> None:
        done = self.world.sessions[where].rewrap()
        assert done.moved == done.deleted == self.model.rewrap(where)

    @rule(where=st.sampled_from(HOSPITALS))
    def pair(self, where: str) -> None:
        assert self.world.patient.pair(self.world.sessions[where].address).epoch == self.model.epoch
        self.model.pair(where)

    @rule()
    def patient_sees_everything(self) -> None:
        assert names(record.content for record in self.world.patient.records()) == set(self.model.records)

    # Policies

    @rule(target=policies, offer=offers)
    def grant(self, offer: Offer) -> Any:
        suspended = offer[0] in self.model.suspended
        if suspended or len(self.model.up) < THRESHOLD:
            # Nothing is sealed to somebody who is suspended, whatever else is missing.
            with pytest.raises(SuspendedError if suspended else ProxiesUnavailableError):
                self._grant(offer)
            return multiple()
        return self._grant(offer)

    def _grant(self, offer: Offer) -> PolicyId:
        grantee, (categories, years), (wait, lasts), purposes = offer
        start = self.world.now + wait
        who = self.group if grantee == "group" else self.world.sessions[grantee].address
        asked = [Purpose(purpose) for purpose in purposes]
        made = self.world.patient.grant(who, categories, years, asked, starts=start, until=start + lasts)
        named = [f"{one}/{year}" for one in categories for year in years] if years else categories
        self.model.grant(made.policy_id, grantee, named, purposes, (start, start + lasts))
        return made.policy_id

    @rule(
        target=policies,
        name=st.sampled_from(READERS[:3]),
        asked=st.lists(st.sampled_from(CATEGORIES), min_size=1, max_size=3, unique=True),
        part=st.integers(0, 3),
    )
    def ask_and_answer(self, name: str, asked: list[str], part: int) -> Any:
        """A practitioner asks; the patient denies, or approves all or a part."""
        patient, reader = self.world.patient, self.world.sessions[name]
        if name in self.model.suspended:
            with pytest.raises(SuspendedError):
                reader.request(patient.address, asked, Purpose.TREAT)
            return multiple()
        number = reader.request(patient.address, asked, Purpose.TREAT, until=self.world.now + 1000).request_id
        granted, made = asked[:part], None
        if part and len(self.model.up) >= THRESHOLD:
            made = patient.approve(number, until=self.world.now + 300, categories=granted).policy_id
            self.model.grant(made, name, granted, ("TREAT",), (self.world.now, self.world.now + 300))
        elif part:
            with pytest.raises(ProxiesUnavailableError):
                patient.approve(number, categories=granted)
        else:
            patient.deny(number)
        (seen,) = [one for one in reader.requests() if one.request_id == number]
        assert seen.state == ("approved" if made else "open" if part else "denied")
        assert (seen.policy_id, list(seen.granted)) == ((made, granted) if made else ("", []))
        return made or multiple()

    @rule(policy_id=policies)
    def revoke(self, policy_id: PolicyId) -> None:
        report = self.world.patient.revoke(policy_id)
        self.model.revoke(policy_id)
        self._check_report(policy_id, report.deleted, final=report.final)

    @rule(target=policies, policy_id=policies, rewrap=st.booleans())
    def revoke_and_rotate(self, policy_id: PolicyId, rewrap: bool) -> Any:
        policy = self.model.policies[policy_id]
        self.model.revoke(policy_id)
        self.model.hand_out(self.world.now)
        self.model.rotate(policy, self.world.now)
        lagging = self.model.lagging(self.world.now)
        report = self.world.patient.revoke(policy_id, rotate=True)
        self._check_report(policy_id, report.deleted, final=report.final)
        assert report.rotated
        # Hospitals know the new lanes; whoever can't be granted anew yet is named, and the next rotation does it.
        enough = len(self.model.up) >= THRESHOLD
        waiting = [old for old in lagging if not enough or self.model.policies[old].grantee in self.model.suspended]
        lagging = [old for old in lagging if old not in waiting]
        assert sorted(one.what for one in report.omissions) == sorted(
            f"policy {old} on the new keys" for old in waiting
        )
        assert sorted(report.regranted) == sorted(lagging)
        for old in lagging:
            self._regrant(old, report.regranted[old])
        for where in HOSPITALS if rewrap else ():
            self.rewrap(where)
        return multiple(*(report.regranted[old] for old in lagging))

    @rule(target=policies)
    def settle(self) -> Any:
        # What a rotation couldn't grant anew is granted now.
        lagging = [
            old
            for old in self.model.lagging(self.world.now)
            if self.model.policies[old].grantee not in self.model.suspended
        ]
        if lagging and len(self.model.up) < THRESHOLD:
            with pytest.raises(ProxiesUnavailableError):
                self.world.patient.settle()
            self.model.settle(self.world.now)
            return multiple()
        views = self.world.patient.settle()
        self.model.settle(self.world.now)
        made = [view.policy_id for view in views if view.policy_id not in self.model.policies]
        for old, new in zip(lagging, made, strict=True):
            self._regrant(old, new)
        return multiple(*made)

    @rule(target=policies, policy_id=policies)
    def reissue(self, policy_id: PolicyId) -> Any:
        policy = self.model.policies[policy_id]
        over = policy.revoked or self.world.now >= policy.expires_at
        if over or policy.grantee in self.model.suspended or len(self.model.up) < THRESHOLD:
            with pytest.raises(PanaChainError):
                self.world.patient.reissue(policy_id)
            return multiple()
        made = self.world.patient.reissue(policy_id).policy_id
        self._regrant(policy_id, made)
        return made

    @rule(policy_id=policies, mined=st.booleans())
    def a_revocation_counts_before_it_is_mined(self, policy_id: PolicyId, mined: bool) -> None:
        policy = self.model.policies[policy_id]
        if policy.revoked:
            return
        self.world.submit_revocation(policy_id)
        # At first sight: nothing of it is in a block yet. What isn't mined deletes nothing either.
        policy.revoked, held = True, set(policy.held)
        self._check_open(policy_id, self._reader_of(policy), policy.purposes[0])
        chain = self.world.network.mainchain.chain
        if mined:
            chain.mine()
        else:
            chain.waiting.clear()
            policy.revoked, policy.held = False, held

    def _regrant(self, old: PolicyId, new: PolicyId) -> None:
        before = self.model.policies[old]
        window = before.starts_at, before.expires_at
        self.model.grant(new, before.grantee, before.scopes, before.purposes, window)
        self.model.revoke(old)

    def _check_report(self, policy_id: PolicyId, deleted: int, *, final: bool) -> None:
        evidence = self.model.policies[policy_id].evidence
        assert deleted == len(evidence)
        assert final == (len(evidence) >= PROXIES - THRESHOLD + 1)

    # People, proxies and time

    @rule(seconds=st.sampled_from((1, 10, 60, 300)))
    def advance(self, seconds: int) -> None:
        self.world.advance(seconds)

    @rule(name=st.sampled_from(READERS))
    def suspend_or_reinstate(self, name: str) -> None:
        if name in self.model.suspended:
            self.world.reinstate(name)
        else:
            self.world.registrar.suspend(self.world.sessions[name].address)
        self.model.suspended ^= {name}

    @precondition(lambda self: "clinician" not in self.model.suspended)
    @rule(name=st.sampled_from(("nurse", "stranger")))
    def change_the_group(self, name: str) -> None:
        manager, address = self.world.clinician, self.world.sessions[name].address
        if name in self.model.members:
            # A member who is taken out never gets a later key.
            manager.remove_member(self.group, address)
            self.model.members.discard(name)
            self.model.renew()
            self._learn()
        elif name not in self.model.suspended:
            manager.add_member(self.group, address)
            self.world.sessions[name].accept_group(self.group)
            self._join(name)

    @rule(name=st.sampled_from(("nurse", "stranger")))
    def leave_the_group(self, name: str) -> None:
        if name in self.model.members:
            self.world.sessions[name].remove_member(self.group, self.world.sessions[name].address)
            self.model.members.discard(name)
            self._learn()

    @precondition(lambda self: "clinician" not in self.model.suspended)
    @rule()
    def renew_the_group(self) -> None:
        self.world.clinician.renew_group(self.group)
        self.model.renew()
        self._learn()

    @rule(number=st.integers(0, PROXIES - 1))
    def kill_or_revive(self, number: int) -> None:
        self.model.up ^= {number}
        self.world.proxies[number].up = number in self.model.up

    @rule(number=st.integers(0, PROXIES - 1))
    def sweep(self, number: int) -> None:
        if number in self.model.up & self.model.honest:
            self.world.proxies[number].service.sweep()
            self.model.sweep(number, self.world.now)

    @precondition(lambda self: len(self.model.honest) > 1)
    @rule(number=st.integers(0, PROXIES - 1))
    def corrupt(self, number: int) -> None:
        self._corrupt(number)

    def _corrupt(self, number: int) -> None:
        self.world.proxies[number].corrupt()
        self.model.honest.discard(number)

    # Reading

    @rule(policy_id=policies, name=st.sampled_from(READERS), purpose=st.sampled_from(PURPOSES))
    def anybody_opens(self, policy_id: PolicyId, name: str, purpose: str) -> None:
        self._check_open(policy_id, name, purpose)

    @rule(policy_id=policies)
    def the_grantee_opens(self, policy_id: PolicyId) -> None:
        policy = self.model.policies[policy_id]
        self._check_open(policy_id, self._reader_of(policy), policy.purposes[0])

    @rule(name=st.sampled_from(READERS))
    def a_thief_tries_everything(self, name: str) -> None:
        stolen = names(self.thieves[name].steal())
        assert stolen == self.model.steal(name, self.world.now)

    def _check_open(self, policy_id: PolicyId, name: str, purpose: str) -> None:
        reader = self.world.sessions[name]

        def act() -> set[str]:
            try:
                return names(record.content for record in reader.open(policy_id, purpose=Purpose(purpose)))
            finally:
                self.world.wait()

        expected = self.model.open(name, policy_id, purpose, self.world.now)
        if isinstance(expected, Refusal):
            with pytest.raises(PanaChainError) as caught:
                act()
            assert type(caught.value).__name__ in expected.names, repr(caught.value)
        else:
            assert act() == expected


def names(contents: Any) -> set[str]:
    """Return the IDs of the resources in some Bundles."""
    found = [re.findall(rb'"id": ?"(n\d+)"', content) for content in contents]
    assert all(len(ids) == 1 for ids in found)
    return {ids[0].decode() for ids in found}


def lives(count: int, *, derandomize: bool) -> settings:
    """Return how often the machine runs; with `derandomize` it does the same each time."""
    return settings(
        max_examples=count,
        stateful_step_count=STEPS,
        derandomize=derandomize,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


class TestPolicyLife(PolicyLife.TestCase):
    """A few lives. Run by unittest's ways, as the next one is."""

    settings = lives(FEW, derandomize=True)


@pytest.mark.deep
@pytest.mark.timeout(900 if not _MODE else 6 * 3600)
class TestManyPolicyLives(PolicyLife.TestCase):
    """Many lives."""

    settings = lives(LIVES, derandomize=not _MODE)
