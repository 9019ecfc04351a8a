"""Fifty grantees open while twenty patients grant and revoke, over real HTTP, chains and proxies.

Every error is a documented one, nobody opens what isn't theirs, and no receipt is lost: each proxy's log is one
unbroken chain that holds every service that a grantee saw. `PANACHAIN_FAULTS=long` takes five minutes.
"""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from panachain.chain.receipts import receipt_hash
from panachain.config import Config
from panachain.crypto.keys import Seed, address_of
from panachain.errors import AccessDeniedError, PanaChainError, PolicyRevokedError
from panachain.model.actors import PolicyId, Role
from panachain.model.policy import Receipt, ReceiptKind
from panachain.records.samples import sample_bundle
from panachain.sdk import Network, open_actor
from panachain.sdk.base import Registrar
from panachain.sdk.profiles import Profile, load_profile
from tests.support import PASSPHRASE, World, running_world

pytestmark = pytest.mark.deep

LONG = os.environ.get("PANACHAIN_FAULTS") == "long"
SECONDS = 300 if LONG else 10
PATIENTS, GRANTEES = (20, 50) if LONG else (4, 8)
CATEGORIES = ("laboratory", "vitals", "conditions", "medications")


@dataclass
class Book:
    """What happened, as those who did it saw it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    granted: dict[str, list[tuple[PolicyId, str]]] = field(default_factory=lambda: defaultdict(list))
    """By the grantee: policy and category."""
    revoked: set[PolicyId] = field(default_factory=set)
    opened: Counter[tuple[PolicyId, str]] = field(default_factory=Counter)
    """By policy and grantee: how often all records came out."""
    denied: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with running_world() as running:
        yield running


@pytest.mark.timeout(900)
def test_many_at_once(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seeds: dict[str, Seed] = {}
    real = load_profile(world.home, "registrar")

    def unlocked(profile: Profile, passphrase: str) -> Seed:
        # Key stores are slow on purpose; what they do is tested elsewhere.
        return seeds[profile.name] if profile.name in seeds else original(profile, passphrase)

    import panachain.sdk.base as base

    original: Callable[[Profile, str], Seed] = base.unlock
    monkeypatch.setattr(base, "unlock", unlocked)
    registrar = Registrar(world.network, real, PASSPHRASE)

    def actor(name: str, role: Role, network: Network) -> Any:
        seed = seeds[name] = Seed.random()
        folder = world.home / "profiles" / name
        folder.mkdir(mode=0o700)
        profile = Profile(name, role, address_of(seed.account_key()), seed.public_keys(), folder, name)
        registrar.admit(profile.actor)
        return open_actor(network, profile, PASSPHRASE)

    networks = [Network.open(Config.load({"home": str(world.home)}, {})) for _ in range(8)]
    shared = itertools.cycle(networks)
    try:
        patients = [actor(f"p{number}", Role.PATIENT, next(shared)) for number in range(PATIENTS)]
        grantees = [actor(f"g{number}", Role.PRACTITIONER, next(shared)) for number in range(GRANTEES)]
        publish(world, patients, tmp_path)
        book = run(patients, grantees)
        check(book, patients, grantees)
    finally:
        for network in networks:
            network.close()


def publish(world: World, patients: list[Any], folder: Path) -> None:
    """Give every patient some records."""
    assigned = []
    for number, patient in enumerate(patients):
        patient.pair(world.hospital.address)
        (folder / f"{number}.json").write_bytes(sample_bundle(number))
        assigned.append((folder / f"{number}.json", patient.address))
    # All samples are about one person.
    world.hospital.upload_many(assigned, confirm_patient=True)


def run(patients: list[Any], grantees: list[Any]) -> Book:
    """Let everybody work until the time is over."""
    book = Book()
    end = time.monotonic() + SECONDS
    work = [(patient_life, one, grantees) for one in patients] + [(grantee_life, one, grantees) for one in grantees]
    with ThreadPoolExecutor(len(work)) as pool:
        for future in [pool.submit(life, one, others, book, end) for life, one, others in work]:
            future.result(timeout=SECONDS + 300)
    return book


def patient_life(patient: Any, grantees: list[Any], book: Book, end: float) -> None:
    chance = random.Random(patient.address)
    mine: list[PolicyId] = []
    while time.monotonic() < end:
        try:
            if len(mine) > 2 and chance.random() < 0.5:
                policy_id = mine.pop(chance.randrange(len(mine)))
                patient.revoke(policy_id)
                with book.lock:
                    book.revoked.add(policy_id)
            else:
                grantee, category = chance.choice(grantees), chance.choice(CATEGORIES)
                head = patient.network.mainchain.head_block().time
                made = patient.grant(grantee.address, [category], until=head + 86_400)
                mine.append(made.policy_id)
                with book.lock:
                    book.granted[grantee.address].append((made.policy_id, category))
        except PanaChainError as exc:
            with book.lock:
                book.strange.append(f"patient: {type(exc).__name__}: {exc}")
        time.sleep(chance.random())


def grantee_life(grantee: Any, grantees: list[Any], book: Book, end: float) -> None:
    chance = random.Random(grantee.address)
    while time.monotonic() < end:
        with book.lock:
            mine = list(book.granted[grantee.address])
            others = [item for who, items in book.granted.items() if who != grantee.address for item in items]
        if others and chance.random() < 0.1:
            attempt(grantee, *chance.choice(others), book, foreign=True)
        elif mine:
            attempt(grantee, *chance.choice(mine), book, foreign=False)
        time.sleep(chance.random() / 2)


def attempt(grantee: Any, policy_id: PolicyId, category: str, book: Book, *, foreign: bool) -> None:
    """Open one policy, and note what came of it."""
    with book.lock:
        over = policy_id in book.revoked
    try:
        categories = {record.info.category.value for record in grantee.open(policy_id) if record.content}
    except AccessDeniedError as exc:
        with book.lock:
            book.denied[type(exc).__name__] += 1
            # A revocation that is still under way may refuse before its patient knows that it is mined.
            if not foreign and not isinstance(exc, PolicyRevokedError):
                book.strange.append(f"grantee: {type(exc).__name__}: {exc}")
    except PanaChainError as exc:
        with book.lock:
            book.strange.append(f"grantee: {type(exc).__name__}: {exc}")
    else:
        with book.lock:
            book.opened[policy_id, grantee.address] += 1
            if foreign or over or categories != {category}:
                book.strange.append(f"{policy_id} opened {categories}: foreign {foreign}, revoked before {over}")


def check(book: Book, patients: list[Any], grantees: list[Any]) -> None:
    """Compare what everybody saw with what the proxies signed."""
    assert book.strange == []
    assert sum(book.opened.values()) >= len(grantees) / 2
    assert book.denied["PolicyRevokedError"] + book.denied["PolicyUnknownError"] > 0
    receipts: dict[str, list[Receipt]] = defaultdict(list)
    served: Counter[PolicyId] = Counter()
    for patient in patients:
        for own in patient._policies:
            for receipt in patient._proxies.receipts(own.terms, patient._policies.account(own.index))[0]:
                receipts[receipt.proxy].append(receipt)
                served[receipt.policy_id] += receipt.kind is ReceiptKind.REENCRYPTED
    for (policy_id, _), count in book.opened.items():
        # The threshold is 2: every opening was served by two proxies at least.
        assert served[policy_id] >= 2 * count
    for log in receipts.values():
        ordered = sorted(log, key=lambda receipt: receipt.sequence)
        assert [receipt.sequence for receipt in ordered] == list(range(1, len(ordered) + 1))
        assert all(later.previous == receipt_hash(earlier) for earlier, later in itertools.pairwise(ordered))
