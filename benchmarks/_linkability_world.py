"""The simulated lives on a real chain and in real formats: what an outsider can see at the end, and the truth.

Records go through `BatchBuilder` (headers, envelopes, inventories, manifests), grants through `prepare_grant` and
`sign_grant`, everything through the deployed contracts, at simulated times. Contents are random bytes of the right
size, which is what compressed and sealed ones look like. Never gives the attacker a key.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from _linkability_plan import DAY, SLOT, Plan, PlannedGrant, rounds

from panachain.chain import anvil, node
from panachain.chain.deploy import Governance, deploy
from panachain.chain.evm import Receipt
from panachain.chain.mainchain import Mainchain
from panachain.chain.rpc import Rpc
from panachain.chain.signing import Account
from panachain.consent.grant import PreparedGrant, prepare_grant
from panachain.consent.offer import Offer, disclosure_of
from panachain.crypto.keys import Seed, address_of
from panachain.crypto.umbral import Signer
from panachain.ipld import unixfs
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Actor, Address, Role
from panachain.model.policy import SEALED, ProxyRef
from panachain.model.records import PlainRecord
from panachain.model.scope import FIRST_YEAR, Purpose, Scope
from panachain.model.transactions import Grant
from panachain.records.jitter import coarse_deadline, coarse_window, delay
from panachain.records.pairing import FIRST, Pairing, make_pairing
from panachain.records.publish import BatchBuilder, PreparedBatch
from panachain.storage.blocks import BlobStore

CHAIN_ID = 31_391
RELAYS = 3
_KEPT = 4096
"""Bytes of a block that the attacker keeps; of larger ones only the beginning and the end."""
_EDGE = 64
_GAS = 400_000


class Seen:
    """A store that keeps what an outsider would: every block with its size and its place in the order of arrival."""

    name = "the attacker's copy"

    def __init__(self) -> None:
        self.held: dict[CID, bytes] = {}
        self.sizes: dict[CID, int] = {}
        self.order: dict[CID, int] = {}

    def put_block(self, cid: CID, data: bytes) -> None:
        """Keep one block."""
        if cid not in self.order:
            self.order[cid] = len(self.order)
            self.sizes[cid] = len(data)
            self.held[cid] = data if len(data) <= _KEPT or cid.codec != RAW else data[:_EDGE] + data[-_EDGE:]

    def put_blocks(self, blocks: Iterable[tuple[CID, bytes]]) -> None:
        """Keep several blocks."""
        for cid, data in blocks:
            self.put_block(cid, data)

    def add_made(self, size: int, make: Callable[[int, memoryview], None]) -> CID:
        """Keep a file of several leaves."""
        return unixfs.build(unixfs.made(size, make), self.put_block)

    def get_block(self, cid: CID) -> bytes:
        """Return a block of the DAG."""
        return self.held[cid]

    def pin(self, cid: CID) -> None:
        """Nothing: all of it is kept."""


@dataclass
class World:
    """What there is to see, and whose it is."""

    mainchain: Mainchain
    store: Seen
    start: int
    """Unix seconds of the plan's beginning."""
    owner_of_header: dict[CID, int] = field(default_factory=dict)
    content_of_header: dict[CID, CID] = field(default_factory=dict)
    sealed_sizes: dict[CID, int] = field(default_factory=dict)
    """Bytes of each content."""
    owner_of_policy: dict[str, int] = field(default_factory=dict)
    institutions: list[Address] = field(default_factory=list)


@dataclass(frozen=True)
class _Move:
    """One transaction to come."""

    at: int
    sender: int
    """Number of the institution, or of the relay behind them."""
    to: str
    data: str


class Simulation:
    """One set of patients and houses; each `run` lets them live once."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        """Take the plan; keys are made when they are needed."""
        self._plan = plan
        self._folder = folder
        patients = 1 + max(record.patient for record in plan.records)
        self._patients = [Seed.random() for _ in range(patients)]
        self._houses = [Seed.random() for _ in plan.institutions]
        self._relays = [Seed.random() for _ in range(RELAYS)]
        self._accounts = [Account(seed.account_key()) for seed in (*self._houses, *self._relays)]
        self._grantees: dict[int, Actor] = {}
        self._pairings: dict[tuple[int, int], Pairing] = {}

    @contextmanager
    def run(self, *, jitter: int, grant_jitter: int) -> Iterator[World]:
        """Let everybody live the plan on a fresh chain, and yield what is to be seen while the chain runs.

        Args:
            jitter: seconds that a record waits at most, 0 for the product without that option.
            grant_jitter: the same for grants.
        """
        with _chain(self._folder, self._houses, self._accounts) as mainchain:
            # Whole days: visits have hours.
            start = -(-mainchain.head_block().time // DAY) * DAY
            world = World(
                mainchain, Seen(), start, institutions=[a.address for a in self._accounts[: len(self._houses)]]
            )
            moves = [*self._publish(world, jitter), *self._grant(world, grant_jitter)]
            _mine(mainchain, self._accounts, sorted(moves, key=lambda move: move.at))
            yield world

    def _publish(self, world: World, jitter: int) -> Iterator[_Move]:
        waits = [delay(jitter) if jitter else 0 for _ in self._plan.records]
        batches = rounds(self._plan, waits, jitter=jitter)
        state: dict[int, tuple[int, CID | None]] = defaultdict(lambda: (0, None))
        ledger = world.mainchain.ledger.address
        signers = [seed.signer() for seed in self._houses]
        owners = {address_of(seed.account_key()): number for number, seed in enumerate(self._patients)}
        for at, house, numbers in batches:
            sequence, previous = state[house]
            batch = self._batch(world, house, signers[house], numbers, sequence + 1, previous, world.start + at)
            state[house] = sequence + 1, batch.root
            for record in batch.records:
                header = CID.parse(record.info.header_cid)
                world.owner_of_header[header] = owners[record.patient]
                content = CID.parse(record.info.content_cid)
                world.content_of_header[header] = content
                world.sealed_sizes[content] = record.sealed_size
            data = world.mainchain.ledger.bound.calldata("store", batch.root.digest, len(batch.records))
            yield _Move(world.start + at, house, ledger, data)

    def _batch(
        self,
        world: World,
        house: int,
        signer: Signer,
        numbers: Sequence[int],
        sequence: int,
        previous: CID | None,
        at: int,
    ) -> PreparedBatch:
        store: BlobStore = world.store  # type: ignore[assignment]
        hospital = world.institutions[house]
        builder = BatchBuilder(store, hospital=hospital, signer=signer, sequence=sequence, previous=previous, at=at)
        try:
            for number in numbers:
                planned = self._plan.records[number]
                pairing = self._pairing(planned.patient, house)
                plain = PlainRecord(
                    planned.category, FIRST_YEAR, "application/fhir+json", os.urandom(planned.size), number.to_bytes(32)
                )
                builder.add(plain, pairing)
            batch = builder.finish()
        finally:
            builder.close()
        return batch

    def _pairing(self, patient: int, house: int) -> Pairing:
        """Return a pairing with the lanes of one year, whose number plays no part."""
        if (patient, house) not in self._pairings:
            seed = self._patients[patient]
            self._pairings[patient, house] = make_pairing(
                seed,
                patient=address_of(seed.account_key()),
                hospital=self._accounts[house].address,
                last_year=FIRST_YEAR,
            )
        return self._pairings[patient, house]

    def _grant(self, world: World, jitter: int) -> Iterator[_Move]:
        proxies = [
            ProxyRef(Address("0x" + os.urandom(20).hex()), f"https://proxy-{number}.example", os.urandom(32))
            for number in range(3)
        ]
        policies = world.mainchain.policies
        # A patient who delays a grant signs it now and lets it be relayed later.
        relayed = [world.start + one.at + (delay(jitter) if jitter else 0) for one in self._plan.grants]
        for planned, at in zip(self._plan.grants, relayed, strict=True):
            prepared, deadline = self._prepare(planned, world.start, jitter, proxies)
            terms = prepared.terms
            cid = CID.of(RAW, prepared.sealed_terms)
            world.store.put_block(cid, prepared.sealed_terms)
            grant = Grant(
                *(terms.policy_id, terms.starts_at, terms.expires_at, deadline, cid.digest),
                disclosure_of([lane.scope for lane in terms.lanes], terms.purposes) if planned.open else SEALED,
                view_tag=prepared.view_tag,
                announcement=prepared.announcement,
            )
            account = Account(prepared.account_key)
            world.owner_of_policy[str(terms.policy_id)] = planned.patient
            relay = len(self._houses) + self._plan.relays[planned.patient]
            signature = policies.sign_grant(account, grant)
            yield _Move(at, relay, policies.address, policies.grant_by_signature_calldata(grant, signature))
            revoked = None if planned.revoked_at is None else world.start + planned.revoked_at
            if planned.renewed_by is not None:
                # Its grantee has a new one, so that nothing is urgent about the old one.
                revoked = relayed[planned.renewed_by] + (delay(jitter) if jitter else SLOT)
            if revoked is not None:
                # One that overtakes its grant would make the grant impossible.
                data = policies.revoke_by_signature_calldata(terms.policy_id, policies.sign_revoke(account))
                yield _Move(max(revoked, at + SLOT), relay, policies.address, data)

    def _prepare(
        self, planned: PlannedGrant, start: int, jitter: int, proxies: Sequence[ProxyRef]
    ) -> tuple[PreparedGrant, int]:
        """Return a policy and its deadline: exact times as the patient's program has them, or coarse ones."""
        now = start + planned.at
        begins = now if planned.begins is None else start + planned.begins
        starts_at, expires_at, deadline = begins, begins + planned.duration, now + 3600
        if jitter:
            # A renewed policy ends when the old one would have.
            _, expires_at = coarse_window(starts_at, expires_at, jitter=jitter)
            starts_at, _ = coarse_window(now, expires_at, jitter=jitter)
            deadline = coarse_deadline(now, jitter=jitter)
        seed = self._patients[planned.patient]
        prepared = prepare_grant(
            seed,
            Offer(
                grantee=self._grantee(planned.grantee),
                scopes=tuple(Scope.parse(name) for name in planned.scopes),
                purposes=(Purpose.HRESCH if planned.open else Purpose.TREAT,),
                starts_at=starts_at,
                expires_at=expires_at,
                threshold=2,
                proxies=tuple(proxies),
            ),
            index=planned.index,
            generations=FIRST,
            patient=address_of(seed.account_key()),
        )
        return prepared, deadline

    def _grantee(self, number: int) -> Actor:
        if number not in self._grantees:
            who = Address("0x" + os.urandom(20).hex())
            self._grantees[number] = Actor.of(who, Role.PRACTITIONER, Seed.random().public_keys())
        return self._grantees[number]


@contextmanager
def _chain(folder: Path, houses: Sequence[Seed], accounts: Sequence[Account]) -> Iterator[Mainchain]:
    """Run a mainchain with all contracts, on which the houses are admitted; blocks are mined by hand afterwards."""
    with (
        tempfile.TemporaryDirectory(dir=folder) as place,
        _anvil(Path(place) / "main.log", CHAIN_ID) as main,
        _anvil(Path(place) / "side.log", CHAIN_ID + 1) as side,
    ):
        yield _deployed(main, side, Path(place), houses, accounts)


@contextmanager
def _anvil(log_path: Path, chain_id: int) -> Iterator[Rpc]:
    """Run a chain that forgets old states: those of ten thousand blocks would fill the memory."""
    port = anvil.free_port()
    command = [
        *(str(anvil.find_anvil()), "--host", "127.0.0.1", "--no-cors", "--port", str(port)),
        *("--chain-id", str(chain_id), "--hardfork", anvil.HARDFORK, "--accounts", "0", "--prune-history"),
        *(("--base-fee", "0", "--gas-price", "0", "--disable-min-priority-fee") if chain_id != CHAIN_ID else ()),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "ANVIL_IP_ADDR"}
    with open(log_path, "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    rpc = Rpc(f"http://127.0.0.1:{port}", timeout=60)
    try:
        deadline = time.monotonic() + 20
        while not anvil.answers(rpc.url, chain_id):
            assert process.poll() is None, log_path.read_text()
            assert time.monotonic() < deadline, "anvil doesn't answer"
            time.sleep(0.05)
        yield rpc
    finally:
        rpc.close()
        anvil.stop(process.pid)


def _deployed(main: Rpc, side: Rpc, locks: Path, houses: Sequence[Seed], accounts: Sequence[Account]) -> Mainchain:
    registrar, deployer = Account(Seed.random().account_key()), Seed.random().account_key()
    side_key = Seed.random().account_key()
    for address in (registrar.address, address_of(deployer), *(account.address for account in accounts)):
        anvil.fund(main, address, 100_000)
    governance = Governance(registrar.address, registrar.address, (registrar.address,), 1)
    deployed = deploy(main, side, deployer, governance, side_key=side_key, lock_folder=locks).mainchain
    mainchain = Mainchain(main, deployed.contracts, deployed.chain_id)
    sender = mainchain.sender(registrar, lock_folder=locks)
    for seed, account in zip(houses, accounts, strict=False):
        house = Actor.of(account.address, Role.HOSPITAL, seed.public_keys(), endpoint="https://house.example")
        receipt: Receipt = mainchain.actors.register(sender, house)
        assert receipt.block
    anvil.mine_at_once(main, False)
    anvil.mine_every(main, 0)
    return mainchain


def _mine(mainchain: Mainchain, accounts: Sequence[Account], moves: Sequence[_Move]) -> None:
    """Send the transactions, each at its time; those of one slot share a block."""
    nonces: dict[int, int] = defaultdict(int)
    slots: dict[int, list[str]] = defaultdict(list)
    for move in moves:
        call = {"to": move.to, "data": move.data, "value": 0, "gas": _GAS, "nonce": nonces[move.sender]}
        fees = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9}
        transaction = {"type": 2, "chainId": mainchain.chain_id, **call, **fees}
        raw, _ = accounts[move.sender].sign_transaction(transaction)
        nonces[move.sender] += 1
        slots[-(-move.at // SLOT) * SLOT].append(raw)
    for at, raws in slots.items():
        # The block isn't asked for in the same request: a batch's calls aren't done in their order.
        node.send_raw(mainchain.rpc, raws)
        anvil.mine(mainchain.rpc, at=at)
    for sender, nonce in nonces.items():
        mined = node.transaction_count(mainchain.rpc, accounts[sender].address)
        assert mined == nonce, f"{nonce - mined} transactions weren't mined"
