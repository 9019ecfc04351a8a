"""How each stored or signed format is written into a golden file, and how today's program opens one.

scripts/make_golden.py writes a file into tests/golden/files for each version that has none. A file that is there stays:
what was written once has to open for ever (docs/spec/compatibility.md).

A file holds `format`, `version`, `seeds` (hex, of the roles that take part), `bytes` (hex, by name: what was stored or
signed) and `says` (JSON: what it says when it is opened). Keys come from the seeds; what a seal draws at random differs
each time. To raise a version, change the number here, keep the way in which older files open, and run this.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from panachain.chain import receipts, revocations, typed
from panachain.chain.contracts.record_ledger import RecordLedger
from panachain.chain.signing import Account, compact, digest_of, expanded, recover_digest
from panachain.consent.pending import PendingGrant, open_pending, seal_pending
from panachain.consent.receipts import check_receipt, opened_detail, read_detail
from panachain.consent.revocation_file import RevocationFile, read_file, write_file
from panachain.consent.terms import open_terms, seal_terms
from panachain.crypto import box, compress, hpke, keystore, labels, notice, padding, stream, umbral
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.keys import Seed, address_of, brief_id, hospital_key
from panachain.ipld import dagcbor
from panachain.ipld.cid import CID, DAG_CBOR, RAW
from panachain.model.actors import PolicyId
from panachain.model.choices import Choices
from panachain.model.credentials import PASSKEY, SECURITY_KEY, Answer, Credential
from panachain.model.key_block import PublicKeys
from panachain.model.policy import Disclosure, GrantedLane, ProxyRef, Receipt, ReceiptKind, Terms
from panachain.model.proxy_requests import (
    DepositedLane,
    DepositRequest,
    ReceiptPart,
    ReceiptsRequest,
    ReencryptRequest,
)
from panachain.model.records import Reason, RecordInfo
from panachain.model.scope import Category, Purpose, Scope
from panachain.model.transactions import Grant, Revocation
from panachain.records import header, inventory, manifest, publish, rewrap, viewer_bundle, word_list
from panachain.records.content import Content, content_context, seal_content
from panachain.records.manifest_proof import ManifestProof, prove
from panachain.records.pairing import hospital_lane, make_pairing, open_pairing, seal_pairing
from panachain.records.record_words import PLACE, RecordWords
from panachain.records.statements import Attestation, ErasedHeader, Refusal, Statement
from panachain.records.version_list import VersionList
from panachain.records.versions import Version
from panachain.sdk.emergencies import open_reason, seal_reason
from panachain.sdk.group_keys import open_secrets, seal_secrets
from panachain.sdk.kept import Kept
from panachain.sdk.requests import seal_outcome, seal_request
from panachain.storage import s3
from tests.unit.storage.memory_store import MemoryStore

FOLDER = Path(__file__).parent / "files"
ROLES = ("patient", "hospital", "doctor", "proxy", "policy")
AT = 1_750_000_000
"""Unix seconds; what is later is counted from it."""
CHAIN_ID = 31_337
CONTRACT = "0x" + "c0" * 20
KEY = bytes(range(32))
POLICY = 3
"""Number of the policy among the patient's."""
_PASSPHRASE = "correct horse battery staple"
SECRET: Callable[[Seed], Any] = Seed.sealing
"""Which key of an actor's others seal to."""


@dataclass(frozen=True)
class Held:
    """What a golden file holds."""

    seeds: Mapping[str, Seed]
    bytes: Mapping[str, bytes]

    def address(self, role: str) -> Any:
        """Return an actor's account."""
        return address_of(self.seeds[role].account_key())

    def account(self, role: str) -> Account:
        """Return what signs an actor's transactions."""
        return Account(self.seeds[role].account_key())

    def secret(self, role: str) -> Any:
        """Return the key to which others seal what an actor shall read."""
        return SECRET(self.seeds[role])

    @property
    def policy(self) -> Account:
        """The one-time account of the policy."""
        return Account(self.seeds["patient"].policy_account(POLICY))


@dataclass(frozen=True)
class Format:
    """One format at one version."""

    name: str
    version: int
    make: Callable[[Held], Mapping[str, bytes]]
    """Returns the bytes that a golden file holds."""
    open: Callable[[Held], Any]
    """Returns what the bytes say, as JSON has it; an exception where they say nothing any more."""

    @property
    def path(self) -> Path:
        """Its golden file."""
        return FOLDER / f"{re.sub('[^a-z0-9]+', '-', self.name.lower())}-{self.version}.json"


FORMATS: dict[tuple[str, int], Format] = {}


def golden(name: str, *versions: int, opens: Callable[[Held], Any]) -> Callable[[Any], Any]:
    """Take a function that makes the bytes of a format; it is given the version where there are several."""

    def take(make: Any) -> Any:
        for version in versions:
            made = (lambda held, version=version: make(held, version)) if len(versions) > 1 else make
            FORMATS[name, version] = Format(name, version, made, opens)
        return make

    return take


# Keys, seals


def _opened_wrap(held: Held) -> str:
    return umbral.unwrap(held.seeds["patient"].receiving(), held.bytes["wrap"]).hex()


@golden("wrap", 1, opens=_opened_wrap)
def _(held: Held) -> Mapping[str, bytes]:
    return {"wrap": umbral.wrap(held.seeds["patient"].receiving().public, KEY)}


@golden("stream", 1, opens=lambda held: stream.open_(held.bytes["stream"], KEY, b"associated").hex())
def _(held: Held) -> Mapping[str, bytes]:
    return {"stream": stream.seal(b"a stream", KEY, b"associated")}


@golden("seal", 1, opens=lambda held: hpke.open_(held.secret("patient"), held.bytes["seal"], b"context").hex())
def _(held: Held) -> Mapping[str, bytes]:
    return {"seal": hpke.seal(held.secret("patient").public, KEY, b"context")}


def _opened_block(held: Held) -> Any:
    return _plain(PublicKeys.parse(held.bytes["block"]))


@golden("key block", 1, 2, opens=_opened_block)
def _(held: Held, version: int) -> Mapping[str, bytes]:
    seed = held.seeds["patient"]
    return {"block": (seed.public_keys() if version == 1 else seed.group_keys()).encode()}


@golden("box", 2, opens=lambda held: box.open_box(held.secret("patient"), held.bytes["box"], b"context").hex())
def _(held: Held) -> Mapping[str, bytes]:
    return {"box": box.seal_to(held.secret("patient").public, b"a message", b"context")}


def _opened_shared(held: Held) -> list[str]:
    readers = ("patient", "hospital")
    sealed = held.bytes["box"]
    return [box.open_shared(held.secret(who), sealed, b"context", readers=2).hex() for who in readers]


@golden("shared box", 2, opens=_opened_shared)
def _(held: Held) -> Mapping[str, bytes]:
    publics = [held.secret(who).public for who in ("patient", "hospital")]
    return {"box": box.seal_to_each(publics, b"a message", b"context")}


@golden("padded", 1, opens=lambda held: padding.unpad(held.bytes["padded"]).hex())
def _(held: Held) -> Mapping[str, bytes]:
    return {"padded": padding.pad(b"message" * 20)}


@golden(
    "packed",
    1,
    opens=lambda held: [
        compress.decompress(held.bytes[one], size).hex() for one, size in (("stored", 5), ("frame", 200))
    ],
)
def _(held: Held) -> Mapping[str, bytes]:
    return {"stored": compress.compress(b"short"), "frame": compress.compress(b"long" * 50)}


def _derived(held: Held) -> dict[str, str]:
    key = EnvelopeKey(held.bytes["envelope key"])
    return {
        "content": key.content_key(7).hex(),
        "inventory": key.inventory_key().hex(),
        "commitment": key.commitment.hex(),
    }


@golden("content key, inventory key, commitment", 1, opens=_derived)
def _(held: Held) -> Mapping[str, bytes]:
    return {"envelope key": KEY}


def _from_seed(held: Held) -> dict[str, str]:
    seed, scope = held.seeds["patient"], Scope.of(Category.LABORATORY, 2024)
    keys = {
        "account": seed.account_key(),
        "store": seed.store_key(),
        "receiving": seed.receiving().public,
        "sealing": seed.sealing().public,
        "audit": seed.audit().public,
        "pepper": seed.pepper(scope, 2),
        "signer": seed.signer().public,
        "lane": seed.lane(scope, 2).public,
        "locator": seed.locator_key(scope, 2),
        "policy account": seed.policy_account(POLICY),
        "policy signer": seed.policy_signer(POLICY).public,
    }
    return {name: sha256(key).hexdigest() for name, key in keys.items()}


@golden("keys of a seed", 1, opens=_from_seed)
def _(held: Held) -> Mapping[str, bytes]:
    return {}


def _opened_keystore(held: Held) -> str:
    with _private_folder() as folder:
        path = folder / "seed.json"
        path.write_bytes(held.bytes["keystore"])
        path.chmod(0o600)
        return sha256(keystore.open(path, _PASSPHRASE).reveal()).hexdigest()


@golden("key store", 1, 2, opens=_opened_keystore)
def _(held: Held, version: int) -> Mapping[str, bytes]:
    with _private_folder() as folder:
        if version == 1:
            # Nothing of ours writes it any more; what Ethereum's wallets write is the same.
            from eth_account import Account as Wallet

            theirs = Wallet.encrypt(held.seeds["patient"].reveal(), _PASSPHRASE, kdf="scrypt", iterations=1 << 17)
            return {"keystore": json.dumps(theirs).encode()}
        keystore.create(folder / "seed.json", held.seeds["patient"], _PASSPHRASE)
        return {"keystore": (folder / "seed.json").read_bytes()}


_ANSWERS = (Answer(SECURITY_KEY, b"\x01" * 48, b"\x02" * 32), Answer(PASSKEY, b"\x03" * 32, b"\x04" * 32))
"""What authenticators answer, for the locks of a key store that they open."""


def _opened_by_answers(held: Held) -> list[str]:
    with _private_folder() as folder:
        path = folder / "seed.json"
        path.write_bytes(held.bytes["keystore"])
        path.chmod(0o600)
        return [sha256(keystore.authenticate(path, one).seed.reveal()).hexdigest() for one in _ANSWERS]


@golden("key store with keys", 2, opens=_opened_by_answers)
def _(held: Held) -> Mapping[str, bytes]:
    with _private_folder() as folder:
        path = folder / "seed.json"
        keystore.create(path, held.seeds["patient"], _PASSPHRASE)
        opened = keystore.authenticate(path, _PASSPHRASE)
        for answer, host in zip(_ANSWERS, ("", "0123456789abcdef.localhost"), strict=True):
            asked = Credential(answer.kind, answer.credential, bytes(32), True, host, f"{answer.kind} ü")
            keystore.add_authenticator(path, opened, asked, answer, answer)
        return {"keystore": path.read_bytes()}


def _opened_kept(held: Held) -> Any:
    with _private_folder() as folder:
        kept = Kept(folder, held.seeds["patient"], "notices")
        kept._path.parent.mkdir()
        kept._path.write_bytes(held.bytes["kept"])
        return kept.read()


@golden("kept file", 1, opens=_opened_kept)
def _(held: Held) -> Mapping[str, bytes]:
    with _private_folder() as folder:
        kept = Kept(folder, held.seeds["patient"], "notices")
        kept.write({"v": 1, "words": ["kept"]})
        return {"kept": kept._path.read_bytes()}


# Records


def _opened_content(held: Held) -> str:
    store, cid = MemoryStore(), CID.of(RAW, held.bytes["block"])
    store.put_block(cid, held.bytes["block"])
    digest, context = sha256(b"a record").digest(), content_context(generation=4, index=7)
    key = EnvelopeKey(KEY).content_key(7)
    return Content(store, cid, key, context, size=8, digest=digest, head=b"").read().hex()


@golden("content", 1, opens=_opened_content)
def _(held: Held) -> Mapping[str, bytes]:
    key = EnvelopeKey(KEY).content_key(7)
    sealed = seal_content(b"a record", key, content_context(generation=4, index=7), MemoryStore())
    assert sealed.block is not None
    return {"block": sealed.block}


def _opened_inventory(held: Held) -> Any:
    store = MemoryStore()
    opened = inventory.open_(store, store.add_file([held.bytes["inventory"]]), EnvelopeKey(KEY))
    return _plain(opened)


@golden("inventory", 1, 2, 3, opens=_opened_inventory)
def _(held: Held, version: int) -> Mapping[str, bytes]:
    items = [inventory.Item("text/plain", 8, sha256(b"a record").digest()), inventory.Item("application/dicom", 9, b"")]
    more: Any = {"sequence": 5, "lists": [VersionList(0, False, (_version(),))]} if version >= 2 else {}
    if version == 3:
        more["words"] = CID.of(RAW, b"a list of words")
    return {"inventory": b"".join(inventory.seal(items, EnvelopeKey(KEY), **more))}


def _opened_words(held: Held) -> Any:
    store = MemoryStore()
    opened = word_list.open_(store, store.add_file([held.bytes["words"]]), EnvelopeKey(KEY))
    return {
        "contents": opened.contents,
        "mute": sorted(opened.mute),
        "pain": {
            str(index): {str(at): one for at, one in entries.items()}
            for index, entries in opened.places("pain").items()
        },
        "tabl": opened.beginning("tabl"),
        "called": sorted(opened.called("glucose")),
        "languages": opened.languages(),
        "numbers": [
            [index, one.place, one.number, one.unit] for index, all_ in opened.values("2345-7").items() for one in all_
        ],
    }


@golden("list of words", 1, opens=_opened_words)
def _(held: Held) -> Mapping[str, bytes]:
    words = RecordWords(
        places={"pain": [1, 2 << PLACE, 2 << PLACE | 4], "tablet": [2], "tablets": [1 << PLACE]},
        values={"2345-7": [(0, "131.5", "mg/dL")]},
        called={"glucose": {"2345-7"}},
        languages={"de"},
    )
    return {"words": b"".join(word_list.seal([word_list.packed(words), None, b""], EnvelopeKey(KEY)))}


def _version() -> Version:
    return Version("Observation/o9", "2", "2024-03-01T10:00:00Z", "", "https://fhir.example", bytes(range(16)))


def _opened_list(held: Held) -> list[str]:
    store = MemoryStore()
    cid = CID.of(DAG_CBOR, held.bytes["list"])
    store.put_block(cid, held.bytes["list"])
    return [str(one) for one in publish.listed(store, cid)]


@golden("batch list", 1, opens=_opened_list)
def _(held: Held) -> Mapping[str, bytes]:
    _, [(_, block)] = publish._list_blocks(CID.of(RAW, b"%d" % number) for number in range(3))
    return {"list": block}


LOCATOR = bytes(reversed(range(32)))


def _opened_header(held: Held) -> Any:
    block = held.bytes["header"]
    opened = header.open_header(
        block,
        cid=CID.of(RAW, block),
        hospital=held.address("hospital"),
        locator_key=LOCATOR,
        verifying_key=held.seeds["hospital"].signer().public,
    )
    said = _plain(opened)
    # The digest of the block itself, and a signature that differs each time it is made.
    del said["info"]["header_cid"], said["signature"]
    return said


@golden("header", 3, opens=_opened_header)
def _(held: Held) -> Mapping[str, bytes]:
    content, envelope = (str(CID.of(RAW, text)) for text in (b"content", b"envelope"))
    info = RecordInfo(
        header_cid="",
        content_cid=content,
        envelope_cid=envelope,
        hospital=held.address("hospital"),
        category=Category.LABORATORY,
        year=2024,
        media_type="text/plain",
        size=8,
        digest=sha256(b"a record").digest(),
        stored_at=AT,
        content_index=7,
        generation=4,
    )
    return {
        "header": header.seal_header(
            info,
            patient=held.address("patient"),
            commitment=EnvelopeKey(KEY).commitment,
            inventory=CID.of(RAW, b"inventory"),
            head=b"h" * 40,
            locator_keys=[KEY, LOCATOR],
            signer=held.seeds["hospital"].signer(),
            replaces=[CID.of(RAW, b"older")],
            epoch=5,
        )
    }


PATH = (Scope.all(), Scope.of(Category.LABORATORY), Scope.of(Category.LABORATORY, 2024), Scope.of(Category.ALLERGIES))
"""Of a record that lies in four lanes."""


def _envelope(held: Held) -> bytes:
    hospital = held.address("hospital")
    lanes = [hospital_lane(held.seeds["patient"], hospital, scope, 0) for scope in PATH]
    return header.seal_envelope(EnvelopeKey(KEY), lanes)


def _opened_envelope(held: Held) -> list[str]:
    seed, hospital = held.seeds["patient"], held.address("hospital")
    commitment = EnvelopeKey(KEY).commitment
    opened = []
    for place, scope in enumerate(PATH):
        masked = umbral.unwrap(seed.lane(scope, 0), header.wrap_at(held.bytes["envelope"], place))
        pepper = hospital_key(seed.pepper(scope, 0), hospital)
        opened.append(EnvelopeKey.unmasked(masked, pepper=pepper, commitment=commitment).key.hex())
    return opened


@golden("envelope", header.ENVELOPE_VERSION, opens=_opened_envelope)
def _(held: Held) -> Mapping[str, bytes]:
    return {"envelope": _envelope(held)}


def _opened_manifest(held: Held) -> Any:
    store, root = MemoryStore(), CID(DAG_CBOR, held.bytes["root"])
    for name, block in held.bytes.items():
        if name != "root":
            store.put_block(CID.of(DAG_CBOR, block), block)
    opened = manifest.Manifest(store, root)
    rows = list(opened.rows())
    known = brief_id(LOCATOR, 5, 3)
    assert opened.lookup(known) == dict(rows)[known]
    assert opened.lookup(brief_id(LOCATOR, 5, 99_999)) is None
    digest = sha256(b"".join(key + cid.digest for key, cid in rows)).hexdigest()
    return {
        "hospital": opened.hospital,
        "first": opened.first,
        "sequence": opened.sequence,
        "count": opened.count,
        "rows": digest,
    }


def _manifest(held: Held) -> tuple[CID, list[tuple[CID, bytes]]]:
    rows = {brief_id(LOCATOR, 5, number): CID.of(RAW, b"%d" % number) for number in range(2200)}
    before = CID.of(DAG_CBOR, b"before")
    return manifest.build(rows, hospital=held.address("hospital"), sequence=5, previous=before, first=2)


def _opened_proofs(held: Held) -> Any:
    root = CID(DAG_CBOR, held.bytes["root"])
    present = ManifestProof.parse(held.bytes["present"]).check(root, brief_id(LOCATOR, 5, 3))
    absent = ManifestProof.parse(held.bytes["absent"]).check(root, brief_id(LOCATOR, 5, 99_999))
    return [str(present), absent]


@golden("proof of a row", 1, opens=_opened_proofs)
def _(held: Held) -> Mapping[str, bytes]:
    root, blocks = _manifest(held)
    store = MemoryStore()
    store.put_blocks(blocks)
    keys = {"present": brief_id(LOCATOR, 5, 3), "absent": brief_id(LOCATOR, 5, 99_999)}
    return {"root": root.digest, **{name: prove(store, root, key).encode() for name, key in keys.items()}}


@golden("manifest", 2, opens=_opened_manifest)
def _(held: Held) -> Mapping[str, bytes]:
    root, blocks = _manifest(held)
    return {"root": root.digest, **{f"block {number}": block for number, (_, block) in enumerate(blocks)}}


@golden("statement", 1, opens=lambda held: _plain(Statement.decode(held.bytes["statement"])))
def _(held: Held) -> Mapping[str, bytes]:
    said = Statement(Reason("entered-in-error"), (CID.of(RAW, b"content"),), (_version(),))
    return {"statement": said.encode()}


def _opened_viewer(held: Held) -> Any:
    signed = viewer_bundle.read_bundle(held.bytes["bundle"])
    signed.check(held.seeds["hospital"].signer().public)
    bundle = signed.bundle
    said = [bundle.publisher, bundle.name, bundle.version, bundle.about, list(bundle.wants)]
    named = [bundle.page, bundle.style, bundle.program]
    return [*said, named, {name: file.hex() for name, file in bundle.files.items()}]


@golden("viewer bundle", 1, opens=_opened_viewer)
def _(held: Held) -> Mapping[str, bytes]:
    seed = held.seeds["hospital"]
    files = {"index.html": b"<h1>Values</h1>", "program.js": b"", "style.css": b"h1 {}", "data/one.bin": b"\x00\xff"}
    said = ("Laboratory list", "1.0", "Lists values.", ("laboratory",), "index.html", "style.css", "program.js")
    bundle = viewer_bundle.ViewerBundle(address_of(seed.account_key()), *said, files)
    return {"bundle": viewer_bundle.sign_bundle(bundle, seed.signer())}


# Between patients, hospitals and grantees


def _opened_pairing(held: Held) -> Any:
    opened = [
        open_pairing(
            held.bytes["pairing"],
            secret=held.secret(who),
            hospital=held.address("hospital"),
            patient=held.address("patient"),
            verifying_key=held.seeds["patient"].signer().public,
        )
        for who in ("hospital", "patient")
    ]
    assert opened[0] == opened[1]
    said = opened[0]
    # By their names, so that lanes of categories that come later change nothing here.
    lanes = {
        scope.text: sha256(dagcbor.encode([_plain(lane)])).hexdigest()
        for scope, lane in said.lanes.items()
        if scope in (Scope.all(), Scope.of(Category.LABORATORY), Scope.of(Category.IMAGING, 2025))
    }
    return {
        "epoch": said.generations.epoch,
        "last_year": said.last_year,
        "orders": [str(cid) for cid in said.orders],
        "choices": [said.choices.number, sorted(said.choices.closed), sorted(said.choices.emergency)],
        "lanes": lanes,
    }


@golden("pairing", 4, 5, opens=_opened_pairing)
def _(held: Held, version: int) -> Mapping[str, bytes]:
    chosen = {"choices": Choices(3, frozenset({"HIV"}), frozenset({"ETH"}))} if version == 5 else {}
    made = make_pairing(
        held.seeds["patient"],
        patient=held.address("patient"),
        hospital=held.address("hospital"),
        last_year=2026,
        orders=[CID.of(RAW, b"order")],
        **chosen,  # type: ignore[arg-type]
    )
    return {
        "pairing": seal_pairing(
            made,
            **_sealing(held),
        )
    }


def _order(held: Held) -> Any:
    """Return what an order says to both who can open it."""
    signer = held.seeds["patient"].signer().public
    for_hospital, for_patient = (
        rewrap.open_order(held.bytes["order"], secret=held.secret(who), verifying_key=signer)
        for who in ("hospital", "patient")
    )
    assert for_hospital == for_patient
    return for_hospital


def _sealing(held: Held) -> dict[str, Any]:
    """Return to whom a patient seals what a hospital shall do, and their signer."""
    return {
        "hospital_key": held.secret("hospital").public,
        "patient_key": held.secret("patient").public,
        "signer": held.seeds["patient"].signer(),
    }


def _opened_order(held: Held) -> Any:
    # Envelopes differ each time they are made.
    return [{name: value for name, value in _plain(move).items() if name != "envelope"} for move in _order(held)]


@golden("order to re-wrap", 3, 4, opens=_opened_order)
def _(held: Held, version: int) -> Mapping[str, bytes]:
    envelope = _envelope(held)
    moves = [
        rewrap.Move(CID.of(RAW, b"%d" % n), LOCATOR, envelope, emergency=version == 4 and n == 1) for n in range(2)
    ]
    return {
        "order": rewrap.seal_order(
            moves,
            **_sealing(held),
        )
    }


def _opened_reseal(held: Held) -> Any:
    said = _order(held)
    assert isinstance(said, rewrap.Reseal)
    return {
        "to": None if said.to is None else said.to.value,
        "scope": said.scope.text,
        "key": said.envelope_key.hex(),
        "leaves": [[str(cid), stays] for cid, stays in said.leaves.items()],
        "emergency": said.emergency,
        "names": sorted(name.hex() for name in said.names),
        "digests": sorted(digest.hex() for digest in said.digests),
        "here": [_plain(one) for one in said.here],
        "there": [_plain(one) for one in said.there],
    }


@golden("order to re-seal", 5, opens=_opened_reseal)
def _(held: Held) -> Mapping[str, bytes]:
    order = rewrap.Reseal(
        to=Category.PRIVATE,
        scope=Scope.of(Category.LABORATORY, 2024),
        envelope_key=KEY,
        leaves={CID.of(RAW, b"goes"): False, CID.of(RAW, b"stays too"): True},
        names=frozenset({rewrap.name_of(_version())}),
        digests=frozenset({sha256(b"a record").digest()}),
        here=(_version(),),
    )
    return {
        "order": rewrap.seal_reseal(
            order,
            **_sealing(held),
        )
    }


@golden("order to erase", 6, opens=_opened_reseal)
def _(held: Held) -> Mapping[str, bytes]:
    order = rewrap.Reseal(
        to=None,
        scope=Scope.of(Category.LABORATORY, 2024),
        envelope_key=KEY,
        leaves={CID.of(RAW, b"goes"): False},
        names=frozenset({rewrap.name_of(_version())}),
    )
    return {"order": rewrap.seal_reseal(order, **_sealing(held))}


@golden("statement of an erasure", 1, opens=lambda held: [_plain(Statement.decode(one)) for one in held.bytes.values()])
def _(held: Held) -> Mapping[str, bytes]:
    content = (CID.of(RAW, b"content"),)
    erased = Statement(Reason.ERASED, content, erased=(ErasedHeader(CID.of(RAW, b"header"), AT),))
    attested = Statement(attests=Attestation(content, AT, 5, 2, b"s" * 16))
    refused = Statement(refuses=Refusal(content, "we must keep it"))
    return {"attested": attested.encode(), "erased": erased.encode(), "refused": refused.encode()}


def _terms(held: Held) -> Terms:
    patient, doctor, proxy = (held.seeds[who] for who in ("patient", "doctor", "proxy"))
    scope = Scope.of(Category.LABORATORY)
    return Terms(
        policy_id=PolicyId(held.policy.address),
        patient=held.address("patient"),
        grantee=held.address("doctor"),
        receiving_key=doctor.receiving().public,
        key_digest=doctor.public_keys().digest,
        verifying_key=patient.policy_signer(POLICY).public,
        purposes=(Purpose.TREAT, Purpose.ETREAT),
        starts_at=AT,
        expires_at=AT + 86_400,
        threshold=1,
        proxies=(ProxyRef(held.address("proxy"), "https://proxy.example", proxy.public_keys().digest),),
        lanes=(
            GrantedLane(
                scope, 1, patient.lane(scope, 1).public, patient.locator_key(scope, 1), patient.pepper(scope, 1)
            ),
        ),
        audit_key=patient.audit().public,
        kfrag_digests=(sha256(b"kfrag").digest(),),
        hospitals=(held.address("hospital"),),
    )


def _sealed_terms(held: Held) -> bytes:
    patient = held.seeds["patient"]
    return seal_terms(
        _terms(held),
        grantee_key=held.secret("doctor").public,
        patient_key=held.secret("patient").public,
        signer=patient.signer(),
    )


def _opened_terms(held: Held) -> Any:
    opened = [
        open_terms(held.bytes["terms"], held.secret(who)).verified(
            policy_id=PolicyId(held.policy.address),
            patient_verifying_key=held.seeds["patient"].signer().public,
        )
        for who in ("doctor", "patient")
    ]
    assert opened[0] == opened[1]
    return _plain(opened[0])


@golden("terms", 3, opens=_opened_terms)
def _(held: Held) -> Mapping[str, bytes]:
    return {"terms": _sealed_terms(held)}


def _opened_both(held: Held, name: str, label: bytes) -> Any:
    readers = ("patient", "doctor")
    opened = [box.open_shared(held.secret(who), held.bytes[name], label, readers=2) for who in readers]
    assert opened[0] == opened[1]
    return _plain(dagcbor.decode(opened[0]))


@golden("request", 1, opens=lambda held: _opened_both(held, "request", labels.REQUEST))
def _(held: Held) -> Mapping[str, bytes]:
    readers = [held.secret(who).public for who in ("patient", "doctor")]
    return {"request": seal_request(["laboratory"], Purpose.TREAT, "before surgery", AT, readers=readers)}


@golden("outcome", 1, opens=lambda held: _opened_both(held, "outcome", labels.OUTCOME))
def _(held: Held) -> Mapping[str, bytes]:
    readers = [held.secret(who).public for who in ("patient", "doctor")]
    return {"outcome": seal_outcome(PolicyId(held.policy.address), ["laboratory"], readers=readers)}


@golden("reason of an emergency", 1, opens=lambda held: _opened_reason(held))
def _(held: Held) -> Mapping[str, bytes]:
    readers = [held.secret(who).public for who in ("patient", "doctor", "policy")]
    return {"reason": seal_reason("unconscious", readers=readers)}


def _opened_reason(held: Held) -> str:
    opened = {open_reason(held.bytes["reason"], held.secret(who)) for who in ("patient", "doctor", "policy")}
    (reason,) = opened
    return reason


def _opened_pending(held: Held) -> Any:
    opened = open_pending(held.bytes["pending"], held.seeds["patient"])
    said = _plain(opened)
    # The sealed terms, and their digest, differ each time they are made.
    del said["sealed_terms"], said["grant"]["terms"]
    return said


@golden("pending grant", 2, opens=_opened_pending)
def _(held: Held) -> Mapping[str, bytes]:
    sealed = _sealed_terms(held)
    times = AT, AT + 86_400, AT + 3600
    grant = Grant(PolicyId(held.policy.address), *times, CID.of(RAW, sealed).digest, view_tag=7, announcement=KEY)
    shares = {held.address("proxy"): (b"kfrag",)}
    pending = PendingGrant(POLICY, grant, b"s" * 65, _terms(held), sealed, shares, request=4, due=AT)
    return {"pending": seal_pending(pending, held.seeds["patient"])}


def _opened_group(held: Held) -> list[str]:
    digests = [held.seeds[who].group_keys().digest for who in ("policy", "proxy")]
    opened = open_secrets(held.secret("doctor"), held.bytes["group"], digests)
    return [sha256(seed.reveal()).hexdigest() for seed in opened]


@golden("group key", 3, opens=_opened_group)
def _(held: Held) -> Mapping[str, bytes]:
    seeds = [held.seeds[who] for who in ("policy", "proxy")]
    return {"group": seal_secrets(seeds, held.secret("doctor").public)}


def _opened_revocation(held: Held) -> Any:
    opened = read_file(held.bytes["file"])
    return {"chain": opened.chain_id, "registry": opened.policy_registry, "policy": opened.revocation.policy_id}


@golden("signed revocation", 1, opens=_opened_revocation)
def _(held: Held) -> Mapping[str, bytes]:
    revocation = Revocation(PolicyId(held.policy.address), _signed_revocation(held))
    return {"file": write_file(RevocationFile(CHAIN_ID, _address(CONTRACT), revocation))}


def _signed_revocation(held: Held) -> bytes:
    types = _type("Revoke", "address owner")
    return _signed_typed(held.policy, "PanaChain PolicyRegistry", types, {"owner": held.policy.address})


# On the chains


def _opened_notice(held: Held) -> list[bool]:
    one_time, tag = held.bytes["announcement"], held.bytes["view tag"][0]
    policy = PolicyId(held.policy.address)
    return [notice.is_for(held.seeds["doctor"].receiving(), one_time, tag, policy)]


@golden("notice", 1, opens=_opened_notice)
def _(held: Held) -> Mapping[str, bytes]:
    one_time, tag = notice.announce(held.seeds["doctor"].receiving().public, PolicyId(held.policy.address))
    return {"announcement": one_time, "view tag": bytes([tag])}


@golden("window", 1, opens=lambda held: _grant(held).window == int.from_bytes(held.bytes["word"], "big"))
def _(held: Held) -> Mapping[str, bytes]:
    return {"word": _grant(held).window.to_bytes(32, "big")}


def _grant(held: Held) -> Grant:
    times = AT, AT + 86_400, AT + 3600
    return Grant(PolicyId(held.policy.address), *times, KEY, _disclosure(held), 0x5A, LOCATOR)


def _disclosure(held: Held) -> Disclosure:
    return Disclosure.from_word(1 << 4 | 1 << (32 + 6) | int(held.address("doctor"), 16) << 96)


@golden(
    "disclosure",
    1,
    opens=lambda held: _plain(Disclosure.from_word(int.from_bytes(held.bytes["word"], "big"))),
)
def _(held: Held) -> Mapping[str, bytes]:
    return {"word": _disclosure(held).word.to_bytes(32, "big")}


def _type(name: str, *members: str) -> Any:
    """Return a type of EIP-712."""
    pairs = (member.split() for member in members)
    return {name: [{"name": member, "type": kind} for kind, member in pairs]}


def _typed(domain: str, types: Any, message: Mapping[str, Any]) -> bytes:
    fields = {"name": domain, "version": "1", "chainId": CHAIN_ID, "verifyingContract": CONTRACT}
    return digest_of(fields, types, message)


def _signed_typed(account: Account, domain: str, types: Any, message: Mapping[str, Any]) -> bytes:
    return compact(account.sign_digest(_typed(domain, types, message)))


_GRANT = _type(
    "Grant", "address owner", "uint256 window", "bytes32 terms", "bytes32 announcement", "uint256 disclosure"
)


def _grant_message(held: Held) -> dict[str, Any]:
    names = ("owner", "window", "terms", "announcement", "disclosure")
    return dict(zip(names, _grant(held).fields(), strict=True))


@golden(
    "Grant of PanaChain PolicyRegistry",
    1,
    opens=lambda held: recover_digest(
        _typed("PanaChain PolicyRegistry", _GRANT, _grant_message(held)), expanded(held.bytes["signature"])
    ),
)
def _(held: Held) -> Mapping[str, bytes]:
    return {"signature": _signed_typed(held.policy, "PanaChain PolicyRegistry", _GRANT, _grant_message(held))}


def _checked_revocation(held: Held) -> str:
    revocation = Revocation(PolicyId(held.policy.address), held.bytes["signature"])
    revocations.check_revocation(revocations.registry_domain(CHAIN_ID, CONTRACT), revocation)
    return revocation.policy_id


@golden("Revoke of PanaChain PolicyRegistry", 1, opens=_checked_revocation)
def _(held: Held) -> Mapping[str, bytes]:
    return {"signature": _signed_revocation(held)}


_CHECKPOINT = _type("Checkpoint", "uint64 sidechainId", "uint64 number", "bytes32 blockHash")
_CHECKED = {"sidechainId": 31_338, "number": 9, "blockHash": KEY}


@golden(
    "Checkpoint of PanaChain Checkpoints",
    1,
    opens=lambda held: recover_digest(
        _typed("PanaChain Checkpoints", _CHECKPOINT, _CHECKED), expanded(held.bytes["signature"])
    ),
)
def _(held: Held) -> Mapping[str, bytes]:
    return {"signature": _signed_typed(held.account("proxy"), "PanaChain Checkpoints", _CHECKPOINT, _CHECKED)}


def _receipt(held: Held, detail: bytes, signature: bytes) -> Receipt:
    policy = PolicyId(held.policy.address)
    kind = ReceiptKind.REENCRYPTED
    return Receipt(held.address("proxy"), 12, KEY, kind, policy, AT, 345, 6, detail, signature)


def _opened_receipt(held: Held) -> Any:
    receipt = _receipt(held, held.bytes["detail"], held.bytes["signature"])
    domain = receipts.log_domain(CHAIN_ID, CONTRACT)
    check_receipt(receipt, proxy=receipt.proxy, domain=domain, policy_id=receipt.policy_id)
    opened = opened_detail(receipt, held.seeds["patient"].audit())
    return {"detail": read_detail(receipt, opened)}


@golden("LogHead of PanaChain AccessLog", 2, opens=_opened_receipt)
def _(held: Held) -> Mapping[str, bytes]:
    said = {"grantee": held.address("doctor"), "purpose": "TREAT", "lanes": [0], "requester": held.address("doctor")}
    plain = json.dumps(said).encode()
    detail = box.seal_to(held.seeds["patient"].audit().public, plain, labels.RECEIPT_DETAIL)
    head = receipts.receipt_hash(_receipt(held, detail, b""))
    domain = receipts.log_domain(CHAIN_ID, CONTRACT)
    return {"detail": detail, "signature": receipts.sign_head(held.account("proxy"), domain, sequence=12, head=head)}


def _requests(held: Held) -> Iterator[Any]:
    proxy, policy, doctor = held.address("proxy"), PolicyId(held.policy.address), held.address("doctor")
    more = {"expires_at": AT, "nonce": KEY[:16]}
    patient, lane = held.seeds["patient"], DepositedLane(held.seeds["patient"].lane(Scope.all(), 0).public, b"k" * 260)
    yield ReencryptRequest(proxy, policy, doctor, doctor, Purpose.TREAT, 0, (b"c" * 98,), **more)  # type: ignore[arg-type]
    yield DepositRequest(
        proxy=proxy,
        policy_id=policy,
        grantee=doctor,
        receiving_key=held.seeds["doctor"].receiving().public,
        verifying_key=patient.policy_signer(POLICY).public,
        audit_key=patient.audit().public,
        terms=KEY,
        purposes=(Purpose.TREAT,),
        lanes=(lane,),
        **more,  # type: ignore[arg-type]
    )
    yield ReceiptsRequest(proxy=proxy, policy_id=policy, part=ReceiptPart.ALL, after=3, **more)  # type: ignore[arg-type]


_NAMES = ("reencrypt", "deposit", "receipts")


def _checked_requests(held: Held) -> list[Any]:
    domain = typed.proxy_domain(CHAIN_ID, CONTRACT)
    asked = zip(_NAMES, _requests(held), strict=True)
    return [typed.signer_of(domain, replace(request, signature=held.bytes[name])) for name, request in asked]


@golden("requests of PanaChain Proxy", 2, opens=_checked_requests)
def _(held: Held) -> Mapping[str, bytes]:
    domain = typed.proxy_domain(CHAIN_ID, CONTRACT)
    who = (held.account("doctor"), held.policy, held.policy)
    asked = zip(who, _requests(held), strict=True)
    signed = [typed.sign_request(account, domain, request) for account, request in asked]
    return {name: request.signature for name, request in zip(_NAMES, signed, strict=True)}


@golden(
    "hash chain of a hospital",
    1,
    opens=lambda held: RecordLedger.fold_heads(KEY, [(LOCATOR, 3), (KEY, 1)]) == held.bytes["head"],
)
def _(held: Held) -> Mapping[str, bytes]:
    return {"head": RecordLedger.fold_heads(KEY, [(LOCATOR, 3), (KEY, 1)])}


def _opened_index(held: Held) -> Any:
    return [[str(cid), start, size] for cid, start, size in s3._read_index(held.bytes["index"], "index")]


@golden("S3 index", 1, opens=_opened_index)
def _(held: Held) -> Mapping[str, bytes]:
    return {"index": s3._index([(CID.of(RAW, b"one"), 0, 3), (CID.of(DAG_CBOR, b"two"), 3, 3)])}


# Files


def _address(text: str) -> Any:
    from panachain.ethereum import parse_address

    return parse_address(text)


class _private_folder(tempfile.TemporaryDirectory):  # type: ignore[type-arg]  # noqa: N801
    """A folder of its user's alone, as key stores want it."""

    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(super().__enter__())


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, CID):
        return str(value)
    if is_dataclass(value) and not isinstance(value, Scope):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(getattr(name, "text", name)): _plain(one) for name, one in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str | int | float | bool | None):
        return getattr(value, "value", value)
    if isinstance(value, Sequence | set | frozenset):
        return [_plain(one) for one in (sorted(value) if isinstance(value, set | frozenset) else value)]
    return _plain(getattr(value, "value", None) or getattr(value, "text", None) or str(value))


def read(path: Path) -> tuple[str, int, Held, Any]:
    """Return a golden file's format, version, what it holds, and what it says."""
    file = json.loads(path.read_text())
    seeds = {role: Seed(bytes.fromhex(seed)) for role, seed in file["seeds"].items()}
    held = Held(seeds, {name: bytes.fromhex(value) for name, value in file["bytes"].items()})
    return file["format"], file["version"], held, file["says"]


def write(one: Format) -> None:
    """Write a golden file."""
    seeds = {role: sha256(b"golden %s" % role.encode()).digest() for role in ROLES}
    empty = Held({role: Seed(seed) for role, seed in seeds.items()}, {})
    held = Held(empty.seeds, one.make(empty))
    content = {
        "format": one.name,
        "version": one.version,
        "seeds": {role: seed.hex() for role, seed in seeds.items()},
        "bytes": {name: value.hex() for name, value in held.bytes.items()},
        "says": json.loads(json.dumps(one.open(held))),
    }
    one.path.write_text(json.dumps(content, indent=1) + "\n")


def main(arguments: Sequence[str]) -> None:
    """Write the files that are missing; of formats that are named, or of all, remove those of every version first."""
    again = set(arguments[1:]) if arguments[:1] == ["--again"] else set()
    for path in FOLDER.glob("*.json"):
        if arguments == ["--all"] or read(path)[0] in again:
            path.unlink()
    for one in FORMATS.values():
        if not one.path.exists():
            write(one)
            print(one.path.relative_to(Path.cwd()) if one.path.is_relative_to(Path.cwd()) else one.path)
