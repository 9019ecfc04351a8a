"""A whole network in one process: real actors, cryptography and proxies with their databases, twins of the chains.

Requests to proxies go through the real client (threads, the race) to the real ProxyService; only the socket
between them is replaced. Time is the test's: the blocks' and the proxies' and the actors' clocks say the same.
Key stores aren't used, because scrypt would take longer than all the rest.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from copy import copy
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import httpx

from panachain.chain.config import ChainConfig
from panachain.chain.proven import KeptPolicy
from panachain.chain.revocations import registry_domain
from panachain.chain.signing import Account
from panachain.chain.typed import proxy_domain
from panachain.config import Config
from panachain.crypto.keys import Seed, address_of
from panachain.errors import IntegrityError, PanaChainError, UsageError
from panachain.model.actors import Actor, Address, PolicyId, Role, Status
from panachain.model.policy import OnChainPolicy, PolicyStatus
from panachain.model.scope import Scope
from panachain.model.transactions import NO_WAIT, Emergency, PolicyEvent, Wait
from panachain.proxy import messages, race
from panachain.records import pairing
from panachain.sdk import base, proven_keys, proxies, unlocking
from panachain.sdk.base import Registrar
from panachain.sdk.hospital import Hospital
from panachain.sdk.network import Network
from panachain.sdk.patient import Patient
from panachain.sdk.practitioner import Practitioner
from panachain.sdk.profiles import Profile
from panachain.sdk.proven_keys import ProvenKeys
from panachain.sdk.proven_revocations import ProvenRevocations
from panachain.sdk.relay import LocalRelay
from panachain.sdk.researcher import Researcher
from panachain.service import problems
from panachain.service.proxy.run import Chains
from panachain.service.proxy.service import ProxyService
from panachain.service.proxy.store import ProxyStore
from panachain.wire.endpoints import Reach
from panachain.wire.messages import ConnectError
from panachain.wire.transport import BoundedTransport
from tests.twin.chains import TwinMainchain, TwinSidechain
from tests.unit.storage.memory_store import MemoryStore

START = 1_800_000_000
"""Unix seconds at which a world begins."""
FIRST_YEAR = 2024
"""First year with a lane of its own: 130 years of them would take most of the time."""
PROXIES, THRESHOLD = 3, 2
_CLASSES: Mapping[str, Any] = {
    "patient": Patient,
    "hospital": Hospital,
    "clinic": Hospital,
    "clinician": Practitioner,
    "nurse": Practitioner,
    "stranger": Practitioner,
    "researcher": Researcher,
    "registrar": Registrar,
}


@lru_cache
def seed_of(name: str) -> Seed:
    """Return the seed of an actor, the same in every world."""
    return Seed(hashlib.sha256(name.encode()).digest())


_HOSPITAL_LANE = pairing.hospital_lane


@lru_cache(maxsize=8192)
def _hospital_lane(seed: bytes, hospital: Address, scope: Scope, generation: int) -> pairing.HospitalLane:
    return _HOSPITAL_LANE(Seed(seed), hospital, scope, generation)


def _known_hospital_lane(seed: Seed, hospital: Address, scope: Scope, generation: int) -> pairing.HospitalLane:
    """Return what a hospital knows of a lane: 340 of them are stated in each world, and they are the same in all."""
    return _hospital_lane(seed.reveal(), hospital, scope, generation)


_DERIVE: Mapping[str, Callable[[Seed, Scope, int], Any]] = {
    name: getattr(Seed, name) for name in ("lane", "locator_key", "pepper")
}


@lru_cache(maxsize=12_288)
def _derived(what: str, seed: bytes, scope: Scope, generation: int) -> Any:
    return _DERIVE[what](Seed(seed), scope, generation)


def _known(what: str) -> Callable[[Seed, Scope, int], Any]:
    """Return what derives a lane's key; the same patient lives in every world, so most of them are known."""
    return lambda self, scope, generation: _derived(what, self.reveal(), scope, generation)


@lru_cache
def actor_of(name: str, role: Role) -> Actor:
    """Return an actor's public side, without an organisation."""
    seed = seed_of(name)
    address = address_of(seed.account_key())
    return Actor.of(address, role, seed.public_keys())


class Clock:
    """The test's time, which everybody in the world is given."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return float(self.now)

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds)


NODE = "http://evil-node.test"
"""The node whose word the twins are, where a test lets it lie."""


class TwinKeys(ProvenKeys):
    """The registries' keys, compared with what the twins keep: they have no storage that could be proven."""

    def _statuses(self, actors: Collection[Actor]) -> dict[Address, Status]:
        for actor in actors:
            chain = self._mainchain if actor.role in proven_keys._PUBLIC else self._sidechain
            registry = "ActorRegistry" if chain is self._mainchain else "IdentityRegistry"
            kept = chain.chain.contracts[registry].keys.get(actor.address.lower())  # type: ignore[attr-defined]
            # A group's address stands for its first keys, and the count of its renewals for the others.
            if kept is not None and kept != actor.key_digest:
                raise IntegrityError(f"the node at {NODE} shows other keys of {actor.handle} than the registry keeps")
        return {actor.address: actor.status for actor in actors}


class TwinRevocations(ProvenRevocations):
    """The registry's slots, as the twin has them."""

    def _kept(self, policy_ids: Sequence[PolicyId], event: PolicyEvent) -> list[KeptPolicy]:
        return [KeptPolicy(*slot) for slot in map(self._mainchain.chain.contracts["PolicyRegistry"].slot, policy_ids)]  # type: ignore[attr-defined]


class TwinNetwork(Network):
    """What actors see of the world."""

    def __init__(self, home: Path, clock: Clock) -> None:
        registrar = actor_of("registrar", Role.REGISTRAR).address
        self.clock = clock
        self.home = home
        self.config = Config.load({"home": str(home)}, {})
        self.mainchain = TwinMainchain(31_337, lambda: clock.now, registrar)
        self.sidechain = TwinSidechain(31_338, lambda: clock.now, registrar)
        self.store = MemoryStore()
        self.threshold = THRESHOLD
        self.confirmations = 0
        self.several_nodes = False
        self.sleep = clock.sleep
        self._progress = None
        self.faucet = False
        self.reach = Reach()
        self.relays, self.sidechain_relays, self._side_relay_key_file = (), (), None
        self._side = ChainConfig((), 31_338, {})
        self.relay_ca = None
        self._tokens = None
        self.proxy_ca = None
        self.keys = TwinKeys(self.mainchain, self.sidechain, self.resolver, self.key_blocks)
        self.revocations = TwinRevocations(self.mainchain)

    def close(self) -> None:
        self.store.close()

    def relay(self, wallet: None = None) -> Any:
        # It needs no ether here.
        return LocalRelay(self.mainchain, self.sender(seed_of("relay").account_key()))


class Blind:
    """How a proxy sees the chains that ignores revocations, windows, suspensions and who is a member."""

    def __init__(self, chains: Chains) -> None:
        self._chains = chains

    def policy(self, policy_id: PolicyId) -> OnChainPolicy:
        seen = self._chains.policy(policy_id)
        return replace(seen, status=PolicyStatus.ACTIVE, starts_at=0, expires_at=1 << 47)

    def settled(self, policy_id: PolicyId) -> OnChainPolicy | None:
        return self.policy(policy_id)

    def settled_of(self, policy_ids: Sequence[PolicyId]) -> list[OnChainPolicy]:
        return [self.policy(one) for one in policy_ids]

    def revocation_in_sight(self, _: PolicyId) -> bool:
        return False

    def head_time(self) -> int:
        return self._chains.head_time()

    def pinned(self) -> AbstractContextManager[object]:
        return self._chains.pinned()

    def identity(self, account: Address) -> Actor | None:
        found = self._chains.identity(account)
        return found and replace(found, status=Status.ACTIVE)

    def is_member(self, _group: Address, _person: Address) -> bool:
        return True

    def opens_at(
        self, _grantee: Address, _person: Address, *, at: int, counted: Callable[[Emergency], int]
    ) -> Wait | None:
        return NO_WAIT

    def cosigned(self, *, since: int) -> Iterator[Emergency]:
        return iter(())


@lru_cache
def _empty_database(name: str, address: Address) -> bytes:
    """Return a proxy's database with all tables and nothing in them: making them takes longer than the proxy does."""
    with tempfile.TemporaryDirectory(prefix="panachain-twin-") as folder:
        path = Path(folder, "empty.sqlite")
        ProxyStore(path, seed_of(name).store_key(), proxy=address).close()
        return path.read_bytes()


class TwinProxy:
    """One proxy without a socket."""

    def __init__(self, number: int, home: Path, network: TwinNetwork, clock: Clock) -> None:
        self.name = f"proxy-{number}"
        self._seed = seed_of(self.name)
        self.actor = replace(
            actor_of(self.name, Role.PROXY),
            endpoint=f"https://{self.name}.test",
            organisation=actor_of(f"operator-{number}", Role.HOSPITAL).address,
        )
        self.address = self.actor.address
        database = home / f"{self.name}.sqlite"
        database.write_bytes(_empty_database(self.name, self.address))
        database.chmod(0o600)
        self.store = ProxyStore(database, self._seed.store_key(), proxy=self.address)
        self.up = True
        self.honest = True
        self.told: dict[str, str] = {}
        """Headers of the newest refusal."""
        # As by nodes of its own: what a test lets the clients' node say, it doesn't hear.
        self._chains = Chains(copy(network.mainchain), copy(network.sidechain), 0)
        mainchain = network.mainchain
        self._make = lambda chain: ProxyService(
            self._seed,
            self.store,
            chain,
            domain=proxy_domain(mainchain.chain_id, mainchain.policies.address),
            log_domain=mainchain.log.domain,
            registry_domain=registry_domain(mainchain.chain_id, mainchain.policies.address),
            clock=clock,
        )
        self.service = self._make(self._chains)

    def restart(self) -> None:
        """Begin again with what the database keeps."""
        self._chains = Chains(copy(self._chains._mainchain), copy(self._chains._sidechain), 0)
        self.service = self._make(self._chains)

    def corrupt(self) -> None:
        """Let it serve from now on whatever the chains say, and delete nothing."""
        self.honest = False
        self.service = self._make(Blind(self._chains))

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Return status and body, as service/proxy/app.py does over HTTP."""
        try:
            if path.startswith(("/v1/log/", "/v1/witness/")):
                return self._raw(path, body)
            return 200, messages.canonical(self._answer(path, body))
        except PanaChainError as exc:
            refused = problems.respond(exc)
            self.told = {"Retry-After": refused.headers["retry-after"]} if "retry-after" in refused.headers else {}
            return refused.status_code, bytes(refused.body)

    def _raw(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Answer what isn't JSON."""
        if path == "/v1/witness/add-checkpoint":
            known, lines = self.service.cosign(body)
            return (200, lines.encode()) if known is None else (409, f"{known}\n".encode())
        if path == "/v1/log/checkpoint":
            return 200, self.service.log.checkpoint().encode()
        level, _, rest = path.removeprefix("/v1/log/tile/").partition("/")
        return 200, self.service.log.tile(level, rest)

    def _answer(self, path: str, body: bytes) -> Mapping[str, Any]:
        service = self.service
        if path == "/readyz":
            return service.ready()
        if path == "/v1/head":
            return service.head()
        fields = messages.parse_json(body)
        if path == "/v1/reencrypt":
            request = messages.parse_reencrypt(fields)
            service.authenticate(request)
            return service.reencrypt(request)
        if path == "/v1/deposit":
            return service.deposit(service.open_deposit(messages.parse_sealed(fields)))
        if path == "/v1/revoke":
            return service.revoke(messages.parse_revoke(fields))
        if path == "/v1/delete":
            if not self.honest:
                raise UsageError("this proxy deletes nothing")
            return service.delete(messages.parse_delete(fields))
        asked = messages.parse_receipts(fields)
        service.authenticate(asked)
        if path == "/v1/proof":
            return service.proof(asked)
        return service.receipts(asked)


class _Body(httpx.SyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content


class World:
    """Everybody, in one folder that is gone afterwards."""

    def __init__(self, home: Path, names: Sequence[str] = tuple(_CLASSES)) -> None:
        self.home = home
        self.clock = Clock()
        self.network = TwinNetwork(home, self.clock)
        self.proxies = [TwinProxy(number, home, self.network, self.clock) for number in range(PROXIES)]
        self._hosts = {f"{proxy.name}.test": proxy for proxy in self.proxies}
        self._uploads = 0
        self.sessions: dict[str, Any] = {}
        for name in names:
            self.sessions[name] = self._open(name)

    def __getattr__(self, name: str) -> Any:
        return self.__dict__["sessions"][name]

    def wait(self) -> None:
        """Wait until every proxy has answered: the client goes on as soon as enough of them have."""
        for thread in threading.enumerate():
            if thread.name.startswith("ask "):
                thread.join(timeout=30)

    def close(self) -> None:
        self.wait()
        for proxy in self.proxies:
            proxy.store.close()
        self.network.close()

    def admit(self) -> None:
        """Register everybody, and pair the patient with the hospitals."""
        registrar: Registrar = self.registrar
        for proxy in self.proxies:
            registrar.admit(proxy.actor)
        for name, session in self.sessions.items():
            if name != "registrar":
                organisation = self.hospital.address if isinstance(session, Practitioner) else None
                registrar.admit(replace(session.profile.actor, organisation=organisation))
        for name in ("hospital", "clinic"):
            if name in self.sessions:
                self.patient.pair(self.sessions[name].address)

    @property
    def now(self) -> int:
        return self.clock.now

    def advance(self, seconds: int) -> None:
        """Let time go by, and both chains notice; proxies that are up have looked for emergencies before."""
        for proxy in self.proxies:
            if proxy.up:
                proxy.service.look_for_emergencies()
        self.clock.now += seconds
        self.network.mainchain.chain.mine()
        self.network.sidechain.chain.mine()

    def upload(self, where: str, resources: Sequence[Mapping[str, Any]]) -> None:
        """Publish some FHIR resources of the patient in one batch, as one Bundle."""
        self._publish(where, [{"resourceType": "Bundle", "type": "collection", "entry": _entries(resources)}])

    def upload_each(self, where: str, resources: Sequence[Mapping[str, Any]]) -> None:
        """Publish some FHIR resources of the patient in one batch, each as a source of its own."""
        self._publish(where, resources)

    def _publish(self, where: str, sources: Sequence[Mapping[str, Any]]) -> None:
        self._uploads += 1
        folder = self.home / f"source-{self._uploads}"
        folder.mkdir()
        for number, source in enumerate(sources):
            (folder / f"{number}.json").write_text(json.dumps(source))
        self.sessions[where].upload([folder], self.patient.address)

    def reinstate(self, name: str) -> None:
        """Take an actor's suspension back."""
        address = self.sessions[name].address
        if name == "researcher":
            self.network.mainchain.actors.reinstate(self.registrar._sender(), address)
        else:
            self.network.sidechain.identities.reinstate(self.registrar._sender(sidechain=True), address)

    def submit_revocation(self, policy_id: PolicyId) -> None:
        """Let the mainchain's node see a revocation of the patient's that nobody mines yet."""
        mainchain = self.network.mainchain
        keys = (seed_of("patient").policy_account(index) for index in itertools.count())
        owner = next(Account(key) for key in keys if address_of(key) == policy_id)
        data = mainchain.policies.revoke_by_signature_calldata(policy_id, mainchain.policies.sign_revoke(owner))
        sender = mainchain.sender(Account(seed_of("relay").account_key()), lock_folder=self.home)
        sender.submit(mainchain.policies.address, data)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request to a proxy."""
        proxy = self._hosts[request.url.host]
        if not proxy.up:
            raise ConnectError("refused")
        status, body = proxy.answer(request.url.path, request.read())
        return httpx.Response(status, stream=_Body(body), request=request, headers=proxy.told if status != 200 else {})

    def _open(self, name: str) -> Any:
        kind = _CLASSES[name]
        actor = actor_of(name, kind.role)
        folder = self.home / "profiles" / name
        folder.mkdir(parents=True)
        return kind(self.network, Profile(name, kind.role, actor.address, actor.public_keys, folder), "")


@contextmanager
def running_world() -> Iterator[World]:
    """Make a world in which everybody is admitted, and end it."""
    shm = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="panachain-twin-", dir=shm if os.access(shm, os.W_OK) else None))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        for module in (base, unlocking):
            stack.enter_context(patch.object(module, "unlock", lambda profile, _: seed_of(profile.name)))
        stack.enter_context(patch.object(pairing, "FIRST_YEAR", FIRST_YEAR))
        stack.enter_context(patch.object(pairing, "hospital_lane", _known_hospital_lane))
        for what in _DERIVE:
            stack.enter_context(patch.object(Seed, what, _known(what)))
        # Nothing here has to outlive the process.
        stack.enter_context(patch.object(os, "fsync", lambda _: None))
        world = World(folder)
        stack.callback(world.close)
        transport = BoundedTransport
        stack.enter_context(patch.object(transport, "__init__", lambda *_, **__: None))
        stack.enter_context(patch.object(transport, "close", lambda _: None))
        stack.enter_context(patch.object(transport, "handle_request", lambda _, request: world.answer(request)))
        # Nobody is slow here, so nobody is waited for; the machine may be, and an opening of seconds ends at its time.
        stack.enter_context(patch.object(race, "PACE", race.Pace(patience=60.0, grace=5.0)))
        stack.enter_context(patch.object(proxies, "time", SimpleNamespace(monotonic=world.clock)))
        world.admit()
        yield world


def resource(category: str, year: int, number: int) -> dict[str, Any]:
    """Return a small FHIR resource of a category and year (0 for none), with an ID of its own."""
    date = f"{year}-03-04" if year else None
    subject = {"reference": "Patient/1"}
    coded: dict[str, Any] = {}
    if category in ("laboratory", "vitals"):
        name = {"laboratory": "laboratory", "vitals": "vital-signs"}[category]
        system = "http://terminology.hl7.org/CodeSystem/observation-category"
        coded = {
            "resourceType": "Observation",
            "status": "final",
            "category": [{"coding": [{"system": system, "code": name}]}],
            "code": {"text": "x"},
            "subject": subject,
            "effectiveDateTime": date,
        }
    elif category == "allergies":
        coded = {"resourceType": "AllergyIntolerance", "patient": subject, "recordedDate": date}
    else:
        code = {"coding": [{"system": "http://snomed.info/sct", "code": "370143000"}]}
        coded = {"resourceType": "Condition", "subject": subject, "recordedDate": date, "code": code}
    return {key: value for key, value in (coded | {"id": f"n{number}"}).items() if value is not None}


def _entries(resources: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"resource": one} for one in resources]
