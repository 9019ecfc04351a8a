"""What tests of the SDK's parts do again and again."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from panachain.chain.signing import Account
from panachain.consent.grant import prepare_grant
from panachain.consent.offer import Offer
from panachain.consent.pending import PendingGrant
from panachain.crypto.keys import Seed
from panachain.model.actors import Address, PolicyId, Role
from panachain.model.scope import Category, Generations, Purpose, Scope
from panachain.sdk.patient import Patient
from panachain.sdk.profiles import Profile
from panachain.sdk.results.policies import PolicyView
from panachain.storage.blocks import keep
from tests.twin.world import THRESHOLD, World, actor_of, resource

DAY = 86_400
_NUMBERS = itertools.count()
"""Each record is another one: the same one is published once."""


def upload(world: World, count: int = 1, where: str = "hospital", category: str = "laboratory") -> None:
    """Publish records of the patient in one batch."""
    world.upload_each(where, [resource(category, 2025, next(_NUMBERS)) for _ in range(count)])


def grant(
    world: World, who: str = "clinician", categories: tuple[str, ...] = ("laboratory",), **more: Any
) -> PolicyView:
    """Let somebody read for a day."""
    made: PolicyView = world.patient.grant(
        world.sessions[who].address, categories, **{"until": world.now + DAY, **more}
    )
    return made


def opened(world: World, policy_id: PolicyId, who: str = "clinician") -> int:
    """Return how many records somebody opens."""
    return len(list(world.sessions[who].open(policy_id)))


def again(world: World, who: str = "patient") -> Any:
    """Return an actor in a new session, which remembers what is on disk."""
    old = world.sessions[who]
    world.sessions[who] = type(old)(world.network, old.profile, "")
    return world.sessions[who]


def forge(world: World, patient: Address, who: str = "clinician", index: int = 0) -> PolicyId:
    """Grant a policy whose terms name a patient who didn't sign them, and return its ID."""
    forger = Seed(b"forger".ljust(32))
    proxies = tuple(world.network.proxies())
    offer = Offer(
        grantee=world.sessions[who].whoami(),
        scopes=(Scope.of(Category.LABORATORY),),
        purposes=(Purpose.TREAT,),
        starts_at=world.now,
        expires_at=world.now + DAY,
        threshold=THRESHOLD,
        proxies=proxies,
    )
    prepared = prepare_grant(forger, offer, index=index, patient=patient, generations=Generations())
    signed = replace(PendingGrant.of(offer, prepared, due=0).grant, deadline=world.now + 60)
    keep(world.network.store, prepared.sealed_terms)
    signature = world.network.mainchain.policies.sign_grant(Account(prepared.account_key), signed)
    world.network.relay().grant(signed, signature)
    return prepared.terms.policy_id


def admitted(world: World, name: str) -> Patient:
    """Let the registrar admit another patient of a world, who is `world.NAME` from then on."""
    actor = actor_of(name, Role.PATIENT)
    folder = world.home / "profiles" / name
    folder.mkdir(parents=True)
    session = Patient(world.network, Profile(name, Role.PATIENT, actor.address, actor.public_keys, folder), "")
    world.registrar.admit(session.profile.actor)
    world.sessions[name] = session
    return session
