"""What consent costs in keys alone, without chains, stores or HTTP: every role's part in this one process.

Grant to readable against one Umbral capsule for each record, the owner's part of a grant, and a grantee's inbox.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from _measure import row
from nucypher_core import MessageKit
from nucypher_core import umbral as bare

from panachain.chain.mainchain import Mainchain
from panachain.chain.rpc import Rpc
from panachain.chain.signing import Account
from panachain.chain.typed import proxy_domain, sign_request
from panachain.consent.grant import PreparedGrant, prepare_grant
from panachain.consent.offer import Offer
from panachain.consent.terms import open_terms
from panachain.crypto import box, hpke, keys, labels, notice, umbral
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.umbral import scheme
from panachain.errors import IntegrityError
from panachain.ethereum import checksum_address
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Actor, Address, PolicyId, Role, Status
from panachain.model.policy import ProxyRef, Terms
from panachain.model.proxy_requests import DepositedLane, DepositRequest
from panachain.model.scope import RESTRICTED, Category, Purpose, Scope
from panachain.model.sizes import NONCE_SIZE
from panachain.model.transactions import Grant
from panachain.proxy import messages
from panachain.records import header
from panachain.records.pairing import FIRST, hospital_lane

LANES = 12
YEAR = 2024
THRESHOLD, SHARES = 2, 3
CATEGORIES = [category for category in Category if category not in RESTRICTED][:LANES]
NOW = 1_700_000_000
_REGISTRY = "0x" + "11" * 20
_HOSPITAL = Address("0x" + "22" * 20)
"""Whose envelopes are opened."""
_OWNER = "the owner: kfrags, terms"
_DEPOSIT = "three proxies: checking kfrags at their deposit"
_SERVICE = "two proxies: kfrags again, re-encrypting, checking"
_GRANTEE = "the grantee: terms, verifying, unwrapping"
_DERIVING = "the grantee: deriving the content keys"


@dataclass(frozen=True)
class Cast:
    """A patient, a grantee and three proxies, by their seeds."""

    patient: keys.Seed
    grantee: keys.Seed
    proxies: tuple[keys.Seed, ...]

    @classmethod
    def fresh(cls) -> Cast:
        """Return people who never met."""
        return cls(keys.Seed.random(), keys.Seed.random(), tuple(keys.Seed.random() for _ in range(SHARES)))

    def actor(self) -> Actor:
        """Return the grantee as the registry shows them."""
        seed = self.grantee
        who = keys.address_of(seed.account_key())
        return Actor.of(who, Role.PRACTITIONER, seed.public_keys(), status=Status.ACTIVE)

    def refs(self) -> list[ProxyRef]:
        """Return the proxies as the registry shows them."""
        return [
            ProxyRef(keys.address_of(seed.account_key()), "https://proxy.example", seed.public_keys().digest)
            for seed in self.proxies
        ]

    def grant(self, *, index: int = 0, shown: tuple[Actor, tuple[ProxyRef, ...]] | None = None) -> PreparedGrant:
        """Do what the patient does for a grant of 12 lanes, to a grantee and proxies as the registry shows them."""
        grantee, proxies = shown or (self.actor(), tuple(self.refs()))
        return prepare_grant(
            self.patient,
            Offer(
                grantee=grantee,
                scopes=tuple(Scope.of(category) for category in CATEGORIES),
                purposes=(Purpose.TREAT,),
                starts_at=NOW,
                expires_at=NOW + 86_400,
                threshold=THRESHOLD,
                proxies=proxies,
            ),
            index=index,
            generations=FIRST,
            patient=keys.address_of(self.patient.account_key()),
        )


def readable(records: int, peer: int, rounds: int) -> None:
    """Compare the processor time of all roles from grant to content keys with one capsule for each record."""
    shares: dict[str, list[float]] = {}
    theirs: list[float] = []
    careful: list[float] = []
    for _ in range(rounds):
        for role, seconds in lanes(records).items():
            shares.setdefault(role, []).append(seconds)
        theirs.append(capsules(peer) * records / peer)
        careful.append(capsules(peer, checking=True) * records / peer)
    ours = statistics.median(map(sum, zip(*shares.values(), strict=True)))
    other, more = statistics.median(theirs), statistics.median(careful)
    row(
        f"grant to {records:,} content keys in {LANES} lanes, all CPU",
        f"{1000 * ours:.0f} ms, a capsule each {other:.1f} s",
        ">= 300 x less",
        other / ours,
        bound=300,
    )
    row("  keys only, both; the capsules' side", f"measured with {peer:,}, scaled", "", None)
    row(
        "  its proxies checking their cfrags too, as ours do",
        f"a capsule each {more:.1f} s: {more / ours:.0f} x less",
        "",
        None,
    )
    for role, spent in shares.items():
        row(f"    of ours {role}", f"{1000 * statistics.median(spent):.1f} ms", "", None)


def lanes(records: int) -> dict[str, float]:
    """Do our way once, and return each role's seconds of processor time.

    A hospital's part, the envelopes, isn't counted.
    """
    cast = Cast.fresh()
    secrets = [EnvelopeKey(os.urandom(32)) for _ in CATEGORIES]
    wraps = [_envelope(cast.patient, category, key) for category, key in zip(CATEGORIES, secrets, strict=True)]
    counts = [records // LANES + (number < records % LANES) for number in range(LANES)]
    patient_signer, secret = cast.patient.signer().public, cast.grantee.receiving()
    spent = dict.fromkeys((_OWNER, _DEPOSIT, _SERVICE, _GRANTEE, _DERIVING), 0.0)
    started = time.process_time()

    def lap(role: str) -> None:
        nonlocal started
        spent[role] += time.process_time() - started
        forget()

    def forget() -> None:
        nonlocal started
        # Each role has a machine of its own: what one has parsed helps no other.
        umbral._point.cache_clear()
        umbral._parsed_capsule.cache_clear()
        umbral._found_good.cache_clear()
        scheme._read_capsule.cache_clear()
        scheme.check_signed.cache_clear()
        scheme._against.cache_clear()
        hpke._public.cache_clear()
        started = time.process_time()

    # What the registry shows of grantee and proxies is theirs to make.
    shown = cast.actor(), tuple(cast.refs())
    forget()
    prepared = cast.grant(shown=shown)
    lap(_OWNER)
    for kfrags in prepared.kfrags:
        _check(prepared.terms, kfrags)
        lap(_DEPOSIT)
    asked = [umbral.capsule_of(wrap) for wrap in wraps]
    lap(_GRANTEE)
    answers = []
    for kfrags in prepared.kfrags[:THRESHOLD]:
        answers.append(_serve(prepared.terms, kfrags, asked))
        lap(_SERVICE)
    terms = open_terms(prepared.sealed_terms, cast.grantee.sealing()).verified(
        policy_id=prepared.terms.policy_id, patient_verifying_key=patient_signer
    )
    found = [
        EnvelopeKey.unmasked(
            umbral.unwrap_reencrypted(
                secret,
                wrap,
                [answer[number] for answer in answers],
                verifying=terms.verifying_key,
                delegating=terms.lanes[number].delegating_key,
                threshold=THRESHOLD,
            ),
            pepper=keys.hospital_key(terms.lanes[number].pepper, _HOSPITAL),
            commitment=secrets[number].commitment,
        )
        for number, wrap in enumerate(wraps)
    ]
    lap(_GRANTEE)
    derived = [key.content_key(index) for key, count in zip(found, counts, strict=True) for index in range(count)]
    lap(_DERIVING)
    assert len(derived) == records
    return spent


def capsules(count: int, *, checking: bool = False) -> float:
    """Do the same duties with one capsule for each record and the bare library, and return all seconds of CPU.

    The records' encapsulation is the hospital's part and isn't counted; the grant of the one key is.

    Args:
        count: records.
        checking: the proxies verify each cfrag before they hand it out, which ours always do.
    """
    owner, reader, signing = bare.SecretKey.random(), bare.SecretKey.random(), bare.SecretKey.random()
    delegating, receiving, verifying = owner.public_key(), reader.public_key(), signing.public_key()
    kits = [bytes(MessageKit(delegating, os.urandom(32), None)) for _ in range(count)]
    ids = [bytes(MessageKit.from_bytes(kit).capsule) for kit in kits]
    started = time.process_time()
    made = bare.generate_kfrags(owner, receiving, bare.Signer(signing), THRESHOLD, SHARES, True, True)
    held = [bare.KeyFrag.from_bytes(bytes(kfrag)).verify(verifying, delegating, receiving) for kfrag in made][
        :THRESHOLD
    ]
    answers: list[list[bytes]] = []
    for kfrag in held:
        answers.append([])
        for one in ids:
            capsule = bare.Capsule.from_bytes(one)
            cfrag = bare.reencrypt(capsule, kfrag)
            if checking:
                cfrag = cfrag.unverify().verify(capsule, verifying, delegating, receiving)
            answers[-1].append(bytes(cfrag))
    found = []
    for kit, fragments in zip(kits, zip(*answers, strict=True), strict=True):
        parsed = MessageKit.from_bytes(kit)
        capsule = parsed.capsule
        verified = [
            bare.CapsuleFrag.from_bytes(one).verify(capsule, verifying, delegating, receiving) for one in fragments
        ]
        found.append(parsed.decrypt_reencrypted(reader, delegating, verified))
    spent = time.process_time() - started
    assert all(len(key) == 32 for key in found)
    return spent


def owner(rounds: int) -> None:
    """Print the processor time of the patient's part of a grant of 12 lanes."""
    domain = proxy_domain(31_337, _REGISTRY)
    # Nothing is sent: it only says what is signed.
    chain = Mainchain(Rpc("http://127.0.0.1:9"), {"PolicyRegistry": _REGISTRY}, 31_337)
    cast = Cast.fresh()
    spent, size = [], 0
    for index in range(rounds + 3):
        started = time.process_time()
        prepared = cast.grant(index=index)
        account = Account(prepared.account_key)
        terms = CID.of(RAW, prepared.sealed_terms).digest
        chain.policies.sign_grant(account, _on_chain(prepared, terms))
        sealed = [_deposit(prepared, number, account, terms, domain, cast.proxies[number]) for number in range(SHARES)]
        spent.append(1000 * (time.process_time() - started))
        size = len(prepared.sealed_terms) + sum(map(len, sealed))
    # The first ones fill caches and load modules.
    ordered = sorted(spent[3:])
    half, most = statistics.median(ordered), ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)]
    row(
        f"grant of {LANES} lanes, owner's CPU: median, p95 of {rounds}",
        f"{half:.1f} ms, {most:.1f} ms; {size:,} bytes",
        "<= 25 ms",
        half,
        at_least=False,
        bound=25,
    )


def inbox(notices: int, trials: int) -> None:
    """Print how many policies a grantee scans in a second by view tags, and by trying to open the terms of each."""
    secret, stranger = umbral.SecretKey.random(), umbral.SecretKey.random()
    ids = [PolicyId(checksum_address(os.urandom(20))) for _ in range(notices)]
    announced = [notice.announce(stranger.public, policy_id) for policy_id in ids]
    sealed = [umbral.wrap(stranger.public, os.urandom(32)) for _ in range(trials)]
    started = time.process_time()
    hits = sum(
        notice.is_for(secret, one_time, tag, policy_id)
        for (one_time, tag), policy_id in zip(announced, ids, strict=True)
    )
    ours = notices / (time.process_time() - started)
    started = time.process_time()
    for wrapped in sealed:
        try:
            umbral.unwrap(secret, wrapped)
        except IntegrityError:
            # This notice is for somebody else, as almost every one is.
            continue
    theirs = trials / (time.process_time() - started)
    figure = f"{ours:,.0f} a second, trying each {theirs:,.0f}: {ours / theirs:.1f} x"
    row(f"inbox: {notices:,} notices by the view tag", figure, "", None)
    row("  of them taken for one's own by chance", f"{hits}, 1 in 256 is {notices / 256:.0f}", "", None)


def _envelope(patient: keys.Seed, category: Category, key: EnvelopeKey) -> bytes:
    """Return the wrap for the category's lane of an envelope as a hospital makes it."""
    path = [Scope.all(), Scope.of(category), Scope.of(category, YEAR)]
    return header.wrap_at(header.seal_envelope(key, [hospital_lane(patient, _HOSPITAL, scope, 0) for scope in path]), 1)


def _check(
    terms: Terms, kfrags: Sequence[bytes], check: Callable[..., umbral.VerifiedKfrag] = umbral.check_kfrag
) -> list[umbral.VerifiedKfrag]:
    return [
        check(
            kfrag,
            verifying=terms.verifying_key,
            delegating=lane.delegating_key,
            receiving=terms.receiving_key,
        )
        for lane, kfrag in zip(terms.lanes, kfrags, strict=True)
    ]


def _serve(terms: Terms, kfrags: Sequence[bytes], capsules: Sequence[bytes]) -> list[bytes]:
    """Do what a proxy does for one request for each lane."""
    return [
        umbral.reencrypt_many(
            [capsule],
            held,
            verifying=terms.verifying_key,
            delegating=lane.delegating_key,
            receiving=terms.receiving_key,
        )[0]
        for held, lane, capsule in zip(_check(terms, kfrags, umbral.kept_kfrag), terms.lanes, capsules, strict=True)
    ]


def _on_chain(prepared: PreparedGrant, terms: bytes) -> Grant:
    return Grant(
        owner=prepared.terms.policy_id,
        starts_at=prepared.terms.starts_at,
        expires_at=prepared.terms.expires_at,
        deadline=NOW + 3600,
        terms=terms,
        view_tag=prepared.view_tag,
        announcement=prepared.announcement,
    )


def _deposit(
    prepared: PreparedGrant, number: int, account: Account, digest: bytes, domain: bytes, seed: keys.Seed
) -> bytes:
    """Return one proxy's share, signed, sealed, as it travels."""
    terms, proxy = prepared.terms, prepared.terms.proxies[number]
    request = DepositRequest(
        proxy=proxy.address,
        policy_id=terms.policy_id,
        grantee=terms.grantee,
        receiving_key=terms.receiving_key,
        verifying_key=terms.verifying_key,
        audit_key=terms.audit_key,
        terms=digest,
        purposes=terms.purposes,
        lanes=tuple(
            DepositedLane(lane.delegating_key, kfrag)
            for lane, kfrag in zip(terms.lanes, prepared.kfrags[number], strict=True)
        ),
        expires_at=NOW + 45,
        nonce=os.urandom(NONCE_SIZE),
    )
    signed = messages.deposit_fields(sign_request(account, domain, request))
    sealed = box.seal_to(seed.sealing().public, messages.canonical(signed), labels.DEPOSIT)
    return messages.canonical(messages.sealed_fields(sealed))
