"""Fuzzers over every format that comes out of a store: typed errors only, in bounded time and memory.

Each target gets a few inputs, or with --deep as many as fit its time. PANACHAIN_FUZZ_SECONDS sets how long all of them
run together (30), PANACHAIN_FUZZ_SEED repeats a run.
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panachain.crypto import compress, jwe, keystore, labels, padding, stream, umbral, wraps
from panachain.crypto.commit import EnvelopeKey
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError, LockedError, PanaChainError
from panachain.ipld import car, dag, dagcbor, unixfs
from panachain.ipld.cid import CID, DAG_CBOR, DAG_PB, RAW
from panachain.model.actors import Address
from panachain.model.credentials import PASSKEY, SECURITY_KEY, Answer, Credential
from panachain.model.key_block import PublicKeys
from panachain.model.records import RecordInfo
from panachain.model.scope import Category
from panachain.records import header, inventory, manifest
from panachain.records.header import HospitalLane
from panachain.records.version_list import VersionList
from panachain.records.versions import STATES, Version
from panachain.sharing.link import read_link
from tests.bounds import processor_time
from tests.keystores import make_cheap

SECONDS = float(os.environ.get("PANACHAIN_FUZZ_SECONDS", "30"))
"""For all targets together."""
SEED = int(os.environ.get("PANACHAIN_FUZZ_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
SLOWEST = 10.0
"""Seconds of processor time that one input may take."""
FEWEST = 100
"""Inputs of each target, also when its time is over."""
MEMORY = 256 << 20
"""Bytes by which the process may grow."""
HOSPITAL = Address("0x52908400098527886E0F7030069857D2E4169EE7")
PATIENT = Address("0x8617E340B3D01FA5F11F306F4090FD50E238070D")
KEY = bytes(range(32))


@dataclass
class Target:
    """One reader and how its inputs are made."""

    make: Callable[[random.Random], Any]
    """Returns an input."""
    read: Callable[[Any], object]
    """Reads it; whatever it raises must be a PanaChainError. It asserts what must hold when it raises nothing."""


# How inputs are made

WORDS = [
    b"\0",
    b"\xff" * 8,
    b"\x7f\xff\xff\xff",
    b"\x80\x01",
    b"\xff" * 9 + b"\x01",
    bytes(64),
    b"\xd8\x2a\x58\x25\x00",
]


def mutate(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """Return a few changes of `data`."""
    out = bytearray(data)
    for _ in range(1 << chance.randrange(4)):
        at = chance.randrange(len(out) + 1)
        span = 1 << chance.randrange(8)
        kind = chance.randrange(9)
        if kind == 0 and out:
            out[min(at, len(out) - 1)] ^= 1 << chance.randrange(8)
        elif kind == 1 and out:
            out[min(at, len(out) - 1)] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        elif kind == 2:
            del out[at : at + span]
        elif kind == 3:
            out[at:at] = chance.randbytes(span)
        elif kind == 4:
            out[at:at] = out[at : at + span]
        elif kind == 5:
            out[at : at + span] = chance.choice(WORDS)
        elif kind == 6:
            del out[at:]
        elif kind == 7:
            other = chance.choice(others)
            start = chance.randrange(len(other) + 1)
            out[at : at + span] = other[start : start + span]
        else:
            out[at : at + 8] = chance.randrange(1 << 64).to_bytes(8, chance.choice(("big", "little")))
    return bytes(out)


def bytes_like(*samples: bytes) -> Callable[[random.Random], bytes]:
    """Make inputs out of samples; one in ten is random from the start."""

    def make(chance: random.Random) -> bytes:
        if chance.randrange(10) == 0:
            return chance.randbytes(chance.randrange(200))
        return mutate(chance.choice(samples), chance, list(samples))

    return make


def a_value(chance: random.Random, depth: int = 0) -> Any:
    """Return a value that dag-cbor can hold, of a kind that readers don't expect."""
    kinds: list[Callable[[], Any]] = [
        lambda: None,
        lambda: chance.random() < 0.5,
        lambda: chance.choice((0, -1, 1, 23, 24, 1 << 32, (1 << 64) - 1, -(1 << 64), 1 << 63)),
        lambda: chance.randbytes(chance.choice((0, 1, 16, 20, 31, 32, 33, 36, 64, 100))),
        lambda: "x" * chance.choice((0, 1, 100)),
        lambda: CID(chance.choice((RAW, DAG_PB, DAG_CBOR)), chance.randbytes(32)),
        lambda: [a_value(chance, depth + 1) for _ in range(chance.randrange(4))],
        lambda: {chance.choice("abv") * (n + 1): a_value(chance, depth + 1) for n in range(chance.randrange(4))},
    ]
    return chance.choice(kinds if depth < 4 else kinds[:6])()


def twist(value: Any, chance: random.Random) -> Any:
    """Return a value with one part of it replaced, left out or doubled."""
    if chance.random() < 0.15 or not isinstance(value, list | dict) or not value:
        if isinstance(value, bytes) and chance.random() < 0.5:
            return mutate(value, chance, [value])
        return a_value(chance)
    if isinstance(value, dict):
        name = chance.choice(sorted(value))
        if chance.random() < 0.1:
            return {key: part for key, part in value.items() if key != name}
        return value | {name: twist(value[name], chance)}
    at = chance.randrange(len(value))
    changed = list(value)
    changed[at : at + 1] = chance.choice(([], [changed[at]] * 2, [twist(changed[at], chance)]))
    return changed


def encoded_like(*samples: Any) -> Callable[[random.Random], bytes]:
    """Make dag-cbor blocks: twisted values, or their bytes changed."""
    whole = bytes_like(*map(dagcbor.encode, samples))

    def make(chance: random.Random) -> bytes:
        if chance.random() < 0.4:
            return whole(chance)
        value = chance.choice(samples)
        for _ in range(chance.randrange(1, 3)):
            value = twist(value, chance)
        return dagcbor.encode(value)

    return make


# What is read


class Blocks(dict[CID, bytes]):
    """A store whose blocks needn't fit their CIDs: readers get what a liar with good CIDs would give them."""

    def get_block(self, cid: CID) -> bytes:
        try:
            return self[cid]
        except KeyError:
            raise IntegrityError("no such block") from None

    def read_file(self, cid: CID) -> Iterator[bytes]:
        return unixfs.read(cid, self.get_block)


def cid_targets() -> dict[str, Target]:
    raw = [bytes(CID.of(codec, b"x")) for codec in (RAW, DAG_PB, DAG_CBOR)]
    texts = [str(CID.from_bytes(cid)) for cid in raw]

    def text(chance: random.Random) -> str:
        changed = mutate(chance.choice(texts).encode(), chance, [text.encode() for text in texts])
        return changed.decode(chance.choice(("latin-1", "ascii")), errors="replace")

    def read_text(value: str) -> None:
        assert str(CID.parse(value)) == value

    def read_bytes(value: bytes) -> None:
        assert bytes(CID.from_bytes(value)) == value

    return {"CID, text": Target(text, read_text), "CID, bytes": Target(bytes_like(*raw), read_bytes)}


def cbor_targets() -> dict[str, Target]:
    cid = CID.of(RAW, b"x")
    samples = [{"v": 1, "blocks": [cid] * 3}, {"a": [1, -5, None, True, b"yes", "no", {"b": 1 << 40}]}, [[[[[[]]]]]]]

    def read(data: bytes) -> None:
        assert dagcbor.encode(dagcbor.decode(data)) == data

    def read_links(data: bytes) -> None:
        for codec in (DAG_CBOR, DAG_PB):
            assert all(isinstance(link, CID) for link in dag.links(CID.of(codec, data), data))

    return {
        "dag-cbor": Target(encoded_like(*samples), read),
        "links": Target(encoded_like(*samples), read_links),
    }


def unixfs_target() -> Target:
    blocks = Blocks()
    root = unixfs.build([bytes(unixfs.CHUNK)] * 3 + [b"end"], blocks.__setitem__)
    nodes = [blocks[cid] for cid in blocks if cid.codec == DAG_PB]

    def read(data: bytes) -> None:
        store = Blocks(blocks)
        store[root] = data
        for leaf in store.read_file(root):
            assert len(leaf) <= unixfs.CHUNK

    return Target(bytes_like(*nodes), read)


def car_target() -> Target:
    blocks = [(CID.of(RAW, data), data) for data in (b"", b"x", bytes(300), os.urandom(2000))]
    samples = []
    for count in (0, 1, 4):
        file = io.BytesIO()
        car.write_car(file, [cid for cid, _ in blocks[:count]], blocks[:count])
        samples.append(file.getvalue())

    def read(data: bytes) -> None:
        roots, found = car.read_car(io.BytesIO(data))
        again = io.BytesIO()
        car.write_car(again, roots, found)
        assert again.getvalue() == data

    return Target(bytes_like(*samples), read)


def manifest_target() -> Target:
    entries = {number.to_bytes(16, "big"): CID.of(RAW, bytes([number % 251])) for number in range(1, 3000)}
    root, nodes = manifest.build(entries, hospital=HOSPITAL, sequence=2, previous=CID.of(DAG_CBOR, b"before"))
    blocks = Blocks(nodes)
    small_root, small = manifest.build(dict(list(entries.items())[:5]), hospital=HOSPITAL, sequence=1, previous=None)
    values = {cid: dagcbor.decode(data) for cid, data in [*nodes, *small]}

    def make(chance: random.Random) -> tuple[CID, CID, bytes]:
        chosen, group = chance.choice(((root, nodes), (small_root, small)))
        cid, _ = chance.choice(group)
        return chosen, cid, encoded_like(values[cid])(chance)

    def read(case: tuple[CID, CID, bytes]) -> None:
        top, changed, data = case
        store = Blocks(blocks | dict(small))
        store[changed] = data
        found = manifest.Manifest(store, top)  # type: ignore[arg-type]
        assert isinstance(found.sequence, int)
        assert isinstance(found.count, int)
        for key in (bytes(16), b"\xff" * 16, (3).to_bytes(16, "big"), (1400).to_bytes(16, "big")):
            answer = found.lookup(key)
            assert answer is None or isinstance(answer, CID)

    return Target(make, read)


def header_targets() -> dict[str, Target]:
    hospital = Seed.random()
    locator_keys = [bytes([number]) * 32 for number in range(3)]
    info = RecordInfo(
        hospital=HOSPITAL,
        category=Category.LABORATORY,
        year=2024,
        media_type="application/fhir+json",
        size=1000,
        digest=bytes(32),
        stored_at=1_700_000_000,
        header_cid="",
        content_cid=str(CID.of(RAW, b"content")),
        envelope_cid=str(CID.of(RAW, b"envelope")),
        content_index=0,
        generation=1,
    )

    def seal() -> bytes:
        return header.seal_header(
            info,
            patient=PATIENT,
            commitment=bytes(32),
            inventory=CID.of(RAW, b"inventory"),
            head=bytes(40),
            locator_keys=locator_keys,
            signer=hospital.signer(),
        )

    def read(block: bytes) -> None:
        found = header.open_header(
            block,
            cid=CID.of(RAW, block),
            hospital=HOSPITAL,
            locator_key=locator_keys[1],
            verifying_key=hospital.signer().public,
        )
        assert found.wrap_index == 1
        assert found.info.hospital == HOSPITAL
        # What a reader goes on with is of the type that the reader takes it for.
        numbers = (found.info.year, found.info.size, found.info.stored_at, found.info.content_index)
        assert all(type(number) is int and number >= 0 for number in (*numbers, found.info.generation))
        assert all(isinstance(value, bytes) for value in (found.info.digest, found.commitment, found.head))
        assert isinstance(found.info.media_type, str)

    def forged(chance: random.Random) -> bytes:
        """Return what a hospital could sign that wants to break its readers."""

        def encode(value: Any) -> bytes:
            return mutate(real(value), chance, [real(value)]) if chance.random() < 0.2 else real(twist(value, chance))

        real = dagcbor.encode
        module = header.dagcbor
        # What headers share is kept, and would be this mutant's for ever.
        kept = [one for one in vars(header).values() if hasattr(one, "cache_clear")]
        for one in kept:
            one.cache_clear()
        header.dagcbor = SimpleNamespace(encode=encode, decode=dagcbor.decode)  # type: ignore[assignment]
        try:
            return seal()
        finally:
            header.dagcbor = module
            for one in kept:
                one.cache_clear()

    return {"header": Target(bytes_like(seal()), read), "header, signed": Target(forged, read)}


def envelope_target() -> Target:
    lane = umbral.SecretKey.random()
    whole = header.seal_envelope(EnvelopeKey(KEY), [HospitalLane(lane.public, KEY, KEY)])

    def read(block: bytes) -> None:
        for index in range(header.SLOTS):
            wrapped = header.wrap_at(block, index)
            try:
                assert len(umbral.unwrap(lane, wrapped)) == 32
            except PanaChainError:
                continue

    return Target(bytes_like(whole), read)


LISTED = VersionList(1, False, (Version("Observation/k", "1", "", "", "https://h.example", bytes(16)), Version("")))


def inventory_target() -> Target:
    items = [inventory.Item("application/fhir+json", size, bytes(32)) for size in range(5)]

    def make(chance: random.Random) -> bytes:
        real = dagcbor.encode
        module = inventory.dagcbor
        forged = SimpleNamespace(encode=lambda value: real(twist(value, chance)), decode=dagcbor.decode)
        inventory.dagcbor = forged  # type: ignore[assignment]
        try:
            return b"".join(inventory.seal(items, EnvelopeKey(KEY), sequence=3, lists=[LISTED]))
        finally:
            inventory.dagcbor = module

    def read(data: bytes) -> None:
        cid = CID.of(RAW, data)
        opened = inventory.open_(Blocks({cid: data}), cid, EnvelopeKey(KEY))  # type: ignore[arg-type]
        for version in (one for listed in opened.lists.values() for one in listed.versions):
            assert version.state in STATES
        # The place of what left for another category is empty.
        for item in filter(None, opened.items):
            assert type(item.size) is int
            assert isinstance(item.media_type, str)
            assert isinstance(item.digest, bytes)

    return Target(make, read)


def sealed_targets() -> dict[str, Target]:
    short, long = b"short", bytes(stream.FIRST_PLAIN + 10)
    sealed = {stream.seal(plain, KEY, labels.REQUEST): plain for plain in (b"", short, long)}

    def make(chance: random.Random) -> bytes:
        # The long one is slow to copy: now and then is enough.
        samples = list(sealed) if chance.random() < 0.02 else list(sealed)[:2]
        return mutate(chance.choice(samples), chance, samples)

    def read(data: bytes) -> None:
        # What opens is what was sealed: any change is found.
        assert stream.open_(data, KEY, labels.REQUEST) == sealed[data]

    padded = [padding.pad(message) for message in (b"", b"x", bytes(1000))]

    def read_padded(data: bytes) -> None:
        assert padding.pad(padding.unpad(data)) == data

    packed = [compress.compress(content) for content in (b"", b"x" * 500, os.urandom(300), b"ab" * 40_000)]

    def read_packed(data: bytes) -> None:
        for size in (0, 500, 80_000):
            try:
                assert len(compress.decompress(data, size)) <= size
            except PanaChainError:
                continue

    return {
        "sealed stream": Target(make, read),
        "padding": Target(bytes_like(*padded), read_padded),
        "packed": Target(bytes_like(*packed), read_packed),
    }


def link_targets() -> dict[str, Target]:
    """Links of others, and their files: mutated texts, and fields and headers of any kind, sealed rightly."""
    fields = {"url": "https://links.example/x", "flag": "LP", "label": "é", "exp": 1e9, "v": 1, "key": jwe.encode(KEY)}
    header = {"alg": "dir", "enc": "A256GCM", "cty": "application/fhir+json", "zip": "DEF"}
    texts = [f"https://viewer.example#shlink:/{jwe.encode(json.dumps(fields).encode())}".encode()]
    files = [
        jwe.seal(b"content" * size, KEY, "text/x", deflate=deflate).encode() for size in (0, 9) for deflate in (0, 1)
    ]

    def make_link(chance: random.Random) -> bytes:
        if chance.random() < 0.3:
            return mutate(texts[0], chance, texts)
        raw = json.dumps(twist(fields, chance), default=str).encode()
        raw = mutate(raw, chance, [raw]) if chance.random() < 0.3 else raw
        return b"shlink:/" + jwe.encode(raw).encode()

    def read_a_link(data: bytes) -> None:
        link = read_link(data.decode("utf-8", "replace"))
        assert len(link.key) == 32
        assert link.url.startswith("http")
        assert link.expires_at is None or link.expires_at >= 0
        if len(link.url) <= 128:
            assert read_link(link.text()) == link

    def make_file(chance: random.Random) -> bytes:
        if chance.random() < 0.5:
            return mutate(chance.choice(files), chance, files)
        protected = jwe.encode(json.dumps(twist(header, chance), default=str).encode())
        content = chance.randbytes(chance.randrange(40))
        return protected.encode() + jwe.seal_parts(content, KEY, bytes(12), protected.encode()).encode()

    def read_file(data: bytes) -> None:
        opened = jwe.open_(data, KEY, most=1000)
        assert len(opened.content) <= 1000
        assert isinstance(opened.content_type, str)

    return {"link": Target(make_link, read_a_link), "file of a link": Target(make_file, read_file)}


def key_block_target() -> Target:
    seed = Seed(KEY)

    def read(data: bytes) -> None:
        keys = PublicKeys.parse(data)
        # One form: what is read is what is written, and what the chain has the digest of.
        assert keys.encode() == data
        assert keys.digest == CID.of(RAW, data).digest

    return Target(bytes_like(seed.public_keys().encode(), seed.group_keys().encode()), read)


def key_store_target() -> Target:
    with pytest.MonkeyPatch.context() as patch:
        make_cheap(patch, for_this_process_only=True)
        store, data_key = wraps.seal(KEY, "one", kind=wraps.PASSPHRASE)
        store = replace(store, wraps=(*store.wraps, wraps.lock(store, data_key, "two", kind=wraps.DRAWN)))
        for kind, host in ((SECURITY_KEY, ""), (PASSKEY, "x.localhost")):
            credential, answer = Credential(kind, KEY, KEY, True, host, "é"), Answer(kind, KEY, KEY)
            store = replace(store, wraps=(*store.wraps, wraps.lock_by(store, data_key, credential, answer)))
        store = wraps.seal_again(store, data_key, KEY)
    fields = json.loads(store.encode())
    whole = bytes_like(store.encode(), b'{"version": 3, "crypto": {"kdf": "scrypt", "kdfparams": {"n": 131072}}}')

    def make(chance: random.Random) -> bytes:
        if chance.random() < 0.4:
            return whole(chance)
        value = fields
        for _ in range(chance.randrange(1, 3)):
            value = twist(value, chance)
        return json.dumps(value, default=lambda other: other.hex() if isinstance(other, bytes) else str(other)).encode()

    def read(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            make_cheap(patch, for_this_process_only=True)
            path = Path(folder, "seed.json")
            path.touch(mode=0o600)
            path.write_bytes(data)
            if keystore.inspect(path)[0] != wraps.SCHEMA:
                return
            # It is a key store: the bytes that others would write of it say the same.
            assert wraps.parse(wraps.read(wraps.parse(wraps.read(data)).encode())) == wraps.parse(wraps.read(data))
            for asked in keystore.credentials(path):
                assert 1 <= len(asked.id) <= 512
                assert (len(asked.salt), asked.label.isprintable()) == (32, True)
            # What opens is the seed that was locked.
            for kind in (SECURITY_KEY, PASSKEY):
                with suppress(LockedError):
                    assert keystore.authenticate(path, Answer(kind, KEY, KEY)).seed.reveal() == KEY
            assert keystore.open(path, "two").reveal() == KEY

    return Target(make, read)


TARGETS: dict[str, Target] = {
    "key store": key_store_target(),
    **link_targets(),
    **cid_targets(),
    **cbor_targets(),
    "UnixFS": unixfs_target(),
    "CAR": car_target(),
    "manifest": manifest_target(),
    **header_targets(),
    "envelope": envelope_target(),
    "inventory": inventory_target(),
    "key block": key_block_target(),
    **sealed_targets(),
}


@pytest.mark.parametrize("seconds", [0, pytest.param(SECONDS, marks=pytest.mark.deep)], ids=["a few", "many"])
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.timeout(SECONDS + 120)
def test_only_typed_errors_come_out(name: str, seconds: float) -> None:
    target = TARGETS[name]
    chance = random.Random(f"{SEED} {name}")
    print(f"PANACHAIN_FUZZ_SEED={SEED}")
    until = time.monotonic() + seconds / len(TARGETS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    runs = accepted = longest = 0
    while runs < FEWEST or time.monotonic() < until:
        case = target.make(chance)
        runs += 1
        try:
            with processor_time(SLOWEST):
                target.read(case)
            accepted += 1
        except PanaChainError as exc:
            longest = max(longest, len(str(exc)))
        except BaseException:
            print(f"run {runs}: {case!r:.4000}")
            raise
    print(f"{name}: {runs} runs, {accepted} accepted")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    # A message is for people, whatever was in the bytes.
    assert longest < 2000
    assert grown < MEMORY


def test_mutants_are_not_all_refused_for_the_same_reason() -> None:
    """A fuzzer whose inputs all fail at the first byte would prove nothing."""
    chance = random.Random(1)
    for name in ("dag-cbor", "manifest", "header, signed", "CAR", "inventory", "key store"):
        reasons = set()
        for _ in range(300):
            try:
                TARGETS[name].read(TARGETS[name].make(chance))
                reasons.add("accepted")
            except PanaChainError as exc:
                reasons.add("".join(letter for letter in str(exc) if letter.isalpha())[:40])
        assert len(reasons) >= 4, (name, reasons)
