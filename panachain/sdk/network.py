"""The network that an actor works in: two chains, a store, the proxies, and a relay.

Holds no actor's secret but the local relay's own key, which can pay and nothing else.
Follows design section 6 and docs/spec/network.md (`panachain/network/1`).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from panachain.chain.access import read_key
from panachain.chain.mainchain import Mainchain
from panachain.chain.sidechain import Sidechain
from panachain.chain.signing import Account
from panachain.config import Config
from panachain.errors import ConfigurationError, IntegrityError
from panachain.follow.opening import following
from panachain.model.actors import Actor, Address, Role, Status
from panachain.records.findings import UNREADABLE
from panachain.sdk.key_blocks import KeyBlocks
from panachain.sdk.network_file import ANOTHER_FILE, chains_of, confirmations_of, read_description
from panachain.sdk.resolve import Resolver
from panachain.storage.configured import open_store
from panachain.wire.endpoints import Reach

if TYPE_CHECKING:
    from panachain.chain.bound import Sends
    from panachain.chain.evm import Sender
    from panachain.crypto.keys import Seed
    from panachain.model.policy import ProxyRef
    from panachain.model.progress import Progress
    from panachain.model.storage_transactions import StorageEvent
    from panachain.records.locate import EarlierKey, HospitalHeads
    from panachain.sdk.proven_keys import ProvenKeys
    from panachain.sdk.proven_revocations import ProvenRevocations
    from panachain.sdk.relay import Relay
    from panachain.sdk.wallet import Wallet
    from panachain.storage.blocks import BlobStore

Clock = Callable[[], float]
"""Returns the time, Unix seconds."""
Sleep = Callable[[float], None]
"""Waits for some seconds."""


class Network:
    """Everything outside an actor. Use it as a context manager.

    Examples:
        >>> with Network.open() as network, connect("me", role="patient", network=network) as patient:
        ...     patient.network is network
        True
    """

    def __init__(
        self,
        config: Config,
        description: dict[str, Any],
        *,
        clock: Clock = time.time,
        sleep: Sleep = time.sleep,
        progress: Progress | None = None,
    ) -> None:
        """Connect to what `description` names; `Network.open` reads it from the settings.

        Args:
            config: the settings.
            description: as docs/spec/network.md says.
            clock: what everybody who works here takes for the time, Unix seconds.
            sleep: waits for some seconds.
            progress: is told the blocks, while the chains are read for the first time, and the confirmations, while
                a grant waits for them.
        """
        self.clock = clock
        self._progress = progress
        self.sleep = sleep
        self.config = config
        self.home: Path = config.home
        main, side = chains_of(description, config)
        source = following(main, self.home, progress=progress)
        self.mainchain = Mainchain.connect(main, timeout=config.timeout, clock=clock, source=source)
        self._side = side
        self.several_nodes = len(main.nodes) > 1
        """Whether several nodes are asked about the mainchain: then some may show an older head than others."""
        self.store: BlobStore = open_store(config, description.get("ipfs", {"kind": "embedded"}))
        self.threshold: int = description["threshold"]
        self.confirmations = confirmations_of(description, config)
        """Blocks that must follow a grant's before proxies are given its shares."""
        # Nothing but `true`: it also says that endpoints on loopback are meant.
        self.faucet: bool = description.get("faucet") is True
        """Whether the mainchain is a local development chain that gives ether for nothing."""
        self.reach = Reach.of(config.proxy_ranges, development=self.faucet)
        """Which endpoints of proxies this machine sends anything to."""
        self.relays: tuple[str, ...] = tuple(map(str, description.get("relays", ())))
        """URLs of the relays, in the order in which they are asked."""
        authority = description.get("proxyCaFile", "")
        self.proxy_ca = config.network_file.parent / authority if authority else None
        """PEM file of the authority that signed the proxies' certificates; None takes the usual ones."""
        authority = description.get("relayCaFile", "")
        self.relay_ca = config.network_file.parent / authority if authority else None
        """PEM file of the authority that signed the relays' certificates; None takes the usual ones."""
        relay = description.get("relayKeyFile", "")
        payer = description.get("sidechainRelayKeyFile", "")
        self._side_relay_key_file = config.network_file.parent / payer if payer else None
        self.sidechain_relays: tuple[str, ...] = tuple(map(str, description.get("sidechainRelays", ())))
        """URLs of the relays of the sidechain, in the order in which they are asked; they are no relays of policies."""
        self._tokens: dict[str, Any] | None = description.get("tokens")
        self._relay_key_file = config.network_file.parent / relay if relay else None

    @property
    def may_lag(self) -> bool:
        """Whether a proxy's node may show an older head than this one's.

        A development chain of one node has only that one to ask, and makes no block by itself.
        """
        return self.several_nodes or not self.faucet

    @classmethod
    def open(cls, config: Config | None = None, *, progress: Progress | None = None) -> Self:
        """Connect to the network that the settings name.

        Args:
            config: the settings; None reads them.
            progress: is told the blocks, while the chains are read for the first time.

        Raises:
            ConfigurationError: there is no network file, or it is damaged.
        """
        config = config or Config.load()
        description = read_description(config)
        try:
            return cls(config, description, progress=progress)
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise ConfigurationError(
                f"{config.network_file} can't be read as a network file", hint=ANOTHER_FILE
            ) from exc

    def tell(self, done: int, total: int, *, unit: str) -> None:
        """Tell whoever opened the network how far something is that takes its time."""
        if self._progress is not None:
            self._progress(done, total, unit=unit)

    def close(self) -> None:
        """Close the store and the connections."""
        self.store.close()
        self.mainchain.close()
        if "sidechain" in vars(self):
            self.sidechain.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def sidechain(self) -> Sidechain:
        """The sidechain, connected when it is first used: whoever has no key of its gate needs none for the rest.

        Raises:
            LockedError: the key file is missing, or others may read it.
        """
        return Sidechain.connect(
            self._side,
            timeout=self.config.timeout,
            clock=self.clock,
            source=following(self._side, self.home, progress=self._progress),
        )

    def sender(self, key: bytes, *, sidechain: bool = False) -> Sender:
        """Return what signs and sends an account's transactions, one nonce lane for all threads and processes."""
        chain = self.sidechain if sidechain else self.mainchain
        return chain.sender(Account(key), lock_folder=self.home / "nonces")

    def person(self, key: bytes) -> Sends:
        """Return what brings a patient's or a practitioner's calls on the sidechain.

        They are signed only where this network names who pays there; else the account sends them by itself.

        Raises:
            LockedError: the paying account's key file is missing, or others may read it.
        """
        if not self.pays_for_persons:
            return self.sender(key, sidechain=True)
        from panachain.sdk.forwarding import ForwardedSender, LocalPayer, Payer, RemotePayer

        payers: list[Payer] = [
            RemotePayer(self.sidechain, url, timeout=self.config.timeout, ca=self.relay_ca)
            for url in self.sidechain_relays
        ]
        if self._side_relay_key_file is not None:
            own = self.sender(read_key(self._side_relay_key_file), sidechain=True)
            payers.append(LocalPayer(self.sidechain, own))
        return ForwardedSender(self.sidechain, Account(key), payers, lock_folder=self.home / "nonces", clock=self.clock)

    @property
    def sidechain_urls(self) -> tuple[str, ...]:
        """URLs of the sidechain's nodes, or of the gates before them."""
        return tuple(node.url for node in self._side.nodes)

    @property
    def pays_for_persons(self) -> bool:
        """Whether this network names who pays for what persons do on the sidechain."""
        return bool(self.sidechain_relays) or self._side_relay_key_file is not None

    def wallet(self, folder: Path, seed: Seed) -> Wallet | None:
        """Return a patient's tokens for relays, or None where this network has no issuer of tokens.

        Args:
            folder: of the patient's profile.
            seed: the patient's.

        Raises:
            ConfigurationError: the network file's section `tokens` can't be read.
        """
        if self._tokens is None:
            return None
        from panachain.chain.issuing import issuer_domain
        from panachain.sdk.wallet import TokenIssuer, Wallet

        domain = issuer_domain(self.sidechain.chain_id, self.sidechain.identities.address)
        return Wallet(folder, seed, TokenIssuer.parse(self._tokens), domain=domain, clock=self.clock)

    def chain_time(self) -> int:
        """Return the mainchain's newest block's time, Unix seconds, by which windows begin and deadlines pass.

        Raises:
            ChainUnavailableError: it is from the future. What is signed for a time to come would count then, and what
                still waits would seem to be over.
        """
        # Imported here: most commands decide nothing by the time.
        from panachain.consent.times import MAX_DIFFERENCE, check_head

        time = int(self.mainchain.head_block().time)
        check_head(time, now=self.clock(), max_ahead=MAX_DIFFERENCE)
        return time

    def relay(self, wallet: Wallet | None = None) -> Relay:
        """Return what pays for patients' policy transactions: the relays in their order, then the own account.

        Args:
            wallet: pays for grants, where relays take tokens.

        Raises:
            ConfigurationError: this network names none.
            LockedError: the own account's key file is missing, or others may read it.
        """
        # Imported here, as what reads hospitals' heads is: most commands only read a chain.
        from panachain.sdk.relay import open_relay

        own = None if self._relay_key_file is None else self.sender(read_key(self._relay_key_file))
        return open_relay(
            *(self.mainchain, self.relays), own=own, timeout=self.config.timeout, ca=self.relay_ca, wallet=wallet
        )

    def proxies(self) -> list[ProxyRef]:
        """Return the active proxies in the order of their registration."""
        from panachain.model.policy import ProxyRef

        return [ProxyRef.of(actor) for actor in self.mainchain.actors.find(Role.PROXY) if actor.status is Status.ACTIVE]

    def reachable(self, proxies: Sequence[ProxyRef]) -> list[ProxyRef]:
        """Return a policy's proxies at the endpoints where the registry says they answer now.

        Keys stay those of the policy: the registry can move a proxy, not replace it. One that the registry doesn't know
        has no endpoint, whatever the terms say of it: it is asked nothing, and counts as down.
        """
        endpoints = {actor.address: actor.endpoint for actor in self.mainchain.actors.find(Role.PROXY)}
        return [replace(proxy, endpoint=endpoints.get(proxy.address, "")) for proxy in proxies]

    def hospital_heads(self) -> list[HospitalHeads]:
        """Return every hospital's storage transactions, checked against the contract's head.

        Suspended hospitals count too: what they published before stays readable. Their keys are left out, so that no
        header can be verified with these: whoever opens one asks `heads_of`.

        Raises:
            IntegrityError: the events don't add up to the head, so the RPC node leaves something out.
        """
        from panachain.records.locate import HospitalHeads

        return [
            HospitalHeads(one.address, b"", self.manifests_of(one.address))
            for one in self.mainchain.actors.find(Role.HOSPITAL)
        ]

    def heads_of(self, hospital: Actor) -> HospitalHeads:
        """Return one hospital's storage transactions, and the key that verifies its headers.

        Raises:
            IntegrityError: the events don't add up to the head; or, of a hospital that never changed its keys, the
                store gives another key block of it, or the registry keeps other keys.
            BlockNotFoundError: the store has none of it.
        """
        from panachain.records.locate import HospitalHeads

        events = self.stored_by(hospital.address)
        earlier, lost = self._earlier_keys(hospital, events)
        try:
            verifying = self.keys.shown(hospital).verifying_key
        except UNREADABLE as exc:
            if not earlier:
                raise
            # What was signed before the change is read all the same: one bad block costs a hospital no history.
            verifying, lost = b"", "; ".join(filter(None, (lost, str(exc))))

        def blame(error: IntegrityError) -> IntegrityError:
            forged = self.keys.forgery(hospital)
            return forged or (IntegrityError(f"{error}; {lost}") if lost else error)

        digests = tuple(event.manifest for event in events)
        return HospitalHeads(hospital.address, verifying, digests, earlier, blame)

    def _earlier_keys(self, hospital: Actor, events: Sequence[StorageEvent]) -> tuple[tuple[EarlierKey, ...], str]:
        """Return a hospital's signers before changes of its keys, and which of their blocks can't be read."""
        from panachain.records.locate import EarlierKey

        found, lost = [], []
        for digest, end in zip(hospital.earlier_keys, hospital.key_ends(), strict=True):
            try:
                key = self.key_blocks.find(digest, hospital.handle).verifying
            except UNREADABLE as exc:
                # What is signed under the others can be read all the same.
                lost.append(f"an earlier key block of {hospital.handle} can't be read: {exc}")
                continue
            source = self.mainchain.source
            before = bisect_left(events, end.at, key=lambda event: source.block(event.block).time)
            found.append(EarlierKey(key, before))
        return tuple(found), "; ".join(lost)

    def manifests_of(self, hospital: Address) -> tuple[bytes, ...]:
        """Return the digests of a hospital's manifests, oldest first."""
        return tuple(event.manifest for event in self.stored_by(hospital))

    def stored_by(self, hospital: Address) -> list[StorageEvent]:
        """Return a hospital's storage transactions, oldest first; each names the history before it.

        Raises:
            IntegrityError: one is missing, or doesn't follow the one before it.
        """
        return self.mainchain.ledger.batches_of(hospital)

    @cached_property
    def keys(self) -> ProvenKeys:
        """What is asked before anything is sealed to anybody's key."""
        from panachain.sdk.proven_keys import ProvenKeys

        return ProvenKeys(self.mainchain, self.sidechain, self.resolver, self.key_blocks)

    @cached_property
    def key_blocks(self) -> KeyBlocks:
        """The keys of actors, as the blocks say that the chains name."""
        return KeyBlocks(self.home, self.store)

    @cached_property
    def revocations(self) -> ProvenRevocations:
        """What is asked before a revocation counts as done."""
        from panachain.sdk.proven_revocations import ProvenRevocations

        return ProvenRevocations(self.mainchain)

    @cached_property
    def resolver(self) -> Resolver:
        """Which registered actor a name means, and who is behind an address."""
        return Resolver(self.home, self.mainchain, lambda: self.sidechain)

    def resolve(self, text: str, *roles: Role) -> Actor:
        """Return the registered actor that a profile name, a contact, a handle or an address names.

        Args:
            text: what the user typed.
            roles: accept only these; empty accepts all.

        Raises:
            UnknownActorError: nobody fits.
        """
        return self.resolver.resolve(text, *roles)
