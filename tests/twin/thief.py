"""A reader that keeps all that it ever saw, and asks every proxy for everything, whatever the rules say.

The thief doesn't use the SDK's `open`: it finds headers with every locator key it ever learnt, keeps headers,
wraps, cfrags and the secrets of its groups, and combines what honest proxies gave it once with what dishonest ones give
it now.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from panachain.chain.signing import Account
from panachain.chain.typed import proxy_domain, sign_request
from panachain.consent.terms import open_terms
from panachain.crypto import keys, umbral
from panachain.crypto.commit import EnvelopeKey
from panachain.errors import BlockNotFoundError, IntegrityError
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import PolicyId, Role
from panachain.model.policy import ProxyRef, Terms
from panachain.model.proxy_requests import ReencryptRequest
from panachain.proxy import messages
from panachain.records import header
from panachain.records.locate import HospitalHeads, content_of, open_manifests
from panachain.records.manifest import Manifest
from panachain.sdk.proxies import Reader
from panachain.sdk.reader import ReadingSession
from panachain.storage.blocks import BlobStore
from tests.twin.world import World, seed_of

Place = tuple[PolicyId, int, str]
"""Policy, lane of its terms, and envelope."""


@dataclass
class Seen:
    """A wrap that was found once, with what leads from its key to the content."""

    wrap: bytes
    header: header.Header


class Thief:
    """What one reader has kept."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._session: ReadingSession = world.sessions[name]
        self._account = Account(seed_of(name).account_key())
        self._readers: dict[bytes, Reader] = {}
        self._terms: dict[PolicyId, tuple[Terms, Reader]] = {}
        self.seen: dict[Place, Seen] = {}
        self._cfrags: dict[Place, dict[str, bytes]] = {}
        self.content: dict[str, bytes] = {}
        """What the thief could open, by the content's CID."""
        self.learn()

    def learn(self) -> None:
        """Keep the keys that the thief holds now: its own, and those of its groups."""
        self._readers |= {reader.sealing.public: reader for reader in self._session._readers()}

    def steal(self) -> set[bytes]:
        """Try everything, and return the contents that it could open, now or before."""
        self._read_terms()
        for policy_id, (terms, reader) in self._terms.items():
            for number, lane in enumerate(terms.lanes):
                self._look(policy_id, number, lane.locator_key)
                for proxy in terms.proxies:
                    self._ask(terms, number, proxy)
                self._open(terms, number, reader.secret)
        return set(self.content.values())

    def _read_terms(self) -> None:
        store = self._world.network.store
        for event in self._world.network.mainchain.policies.events(kind="PolicyGranted"):
            for reader in self._readers.values() if event.policy_id not in self._terms else ():
                try:
                    opened = open_terms(store.get_block(CID(RAW, event.terms)), reader.sealing)
                except IntegrityError:
                    continue
                patient = self._world.network.sidechain.identities.identity_of(opened.claimed_patient)
                public = self._world.network.key_blocks.of(patient).verifying_key
                terms = opened.verified(policy_id=event.policy_id, patient_verifying_key=public)
                self._terms[event.policy_id] = terms, reader

    def _look(self, policy_id: PolicyId, number: int, locator_key: bytes) -> None:
        store = self._world.network.store
        network = self._world.network
        for heads in map(network.heads_of, network.mainchain.actors.find(Role.HOSPITAL)):
            for found in headers(store, heads, open_manifests(store, heads), locator_key):
                try:
                    envelope = store.get_block(CID.parse(found.info.envelope_cid))
                except BlockNotFoundError:
                    continue
                place = policy_id, number, found.info.envelope_cid
                self.seen.setdefault(place, Seen(header.wrap_at(envelope, found.wrap_index), found))

    def _places(self, terms: Terms, number: int) -> list[Place]:
        return sorted(place for place in self.seen if place[:2] == (terms.policy_id, number))

    def _ask(self, terms: Terms, number: int, proxy: ProxyRef) -> None:
        places = [p for p in self._places(terms, number) if proxy.address not in self._cfrags.get(p, {})]
        twin = next(one for one in self._world.proxies if one.address == proxy.address)
        if not places or not twin.up:
            return
        mainchain = self._world.network.mainchain
        capsules = [umbral.capsule_of(self.seen[place].wrap) for place in places]
        request = ReencryptRequest(
            proxy=proxy.address,
            policy_id=terms.policy_id,
            grantee=terms.grantee,
            requester=self._account.address,
            purpose=terms.purposes[0],
            lane=number,
            capsules=tuple(capsules),
            expires_at=self._world.now + 30,
            nonce=os.urandom(16),
        )
        domain = proxy_domain(mainchain.chain_id, mainchain.policies.address)
        fields = messages.reencrypt_fields(sign_request(self._account, domain, request))
        status, body = twin.answer("/v1/reencrypt", messages.canonical(fields))
        if status != 200:
            return
        answer = messages.parse_answer(messages.parse_json(body), count=len(capsules))
        for place, cfrag in zip(places, answer.cfrags, strict=True):
            self._cfrags.setdefault(place, {})[proxy.address] = cfrag

    def _open(self, terms: Terms, number: int, secret: umbral.SecretKey) -> None:
        lane = terms.lanes[number]
        for place in self._places(terms, number):
            kept, found = list(self._cfrags.get(place, {}).values()), self.seen[place].header
            if len(kept) < terms.threshold or found.info.content_cid in self.content:
                continue
            message = umbral.unwrap_reencrypted(
                secret,
                self.seen[place].wrap,
                kept[: terms.threshold],
                verifying=terms.verifying_key,
                delegating=lane.delegating_key,
                threshold=terms.threshold,
            )
            pepper = keys.hospital_key(lane.pepper, found.info.hospital)
            key = EnvelopeKey.unmasked(message, pepper=pepper, commitment=found.commitment)
            self.content[found.info.content_cid] = content_of(self._world.network.store, found, key).read()


def headers(
    store: BlobStore, heads: HospitalHeads, manifests: Sequence[Manifest], locator_key: bytes
) -> Iterator[header.Header]:
    """Yield the headers that a lane's locator key finds and the store still has; those that are gone don't matter."""
    own_key = keys.hospital_key(locator_key, heads.hospital)
    for manifest in manifests:
        number = 0
        while (cid := manifest.lookup(keys.brief_id(own_key, manifest.sequence, number))) is not None:
            number += 1
            try:
                block = store.get_block(cid)
            except BlockNotFoundError:
                continue
            yield header.open_header(
                block,
                cid=cid,
                hospital=heads.hospital,
                locator_key=own_key,
                verifying_key=heads.verifying_key,
            )
