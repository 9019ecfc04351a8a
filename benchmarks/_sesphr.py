"""The four axes on which SeSPHR was measured, by this program: key generation, encryption, decryption, turnaround.

M. Ali, A. Abbas, M. U. S. Khan, S. U. Khan, "SeSPHR: A Methodology for Secure Sharing of Personal Health Records in the
Cloud", IEEE Transactions on Cloud Computing. Its own figures aren't printed beside: they are of another machine.
Contents are random bytes: nothing shrinks.
"""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _consent_keys import NOW, THRESHOLD, YEAR, Cast
from _measure import row
from _plot import Panel, draw
from records import PASSPHRASE, join

from panachain.consent.grant import prepare_grant
from panachain.consent.offer import Offer
from panachain.crypto import keys, umbral
from panachain.crypto.commit import EnvelopeKey
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import Address, Role
from panachain.model.records import FileContent
from panachain.model.scope import Category, Purpose, Scope
from panachain.records import header
from panachain.records.content import Content, content_context, seal_content
from panachain.records.pairing import FIRST, hospital_lane
from panachain.sdk import Network, open_actor
from panachain.sdk.base import Registrar
from panachain.sdk.profiles import load_profile
from panachain.storage.embedded import EmbeddedStore

USERS = (10, 100, 1_000, 10_000)
SIZES = (50_000, 100_000, 500_000, 1_000_000, 5_000_000, 10_000_000, 50_000_000, 100_000_000)
"""Bytes."""
_LARGE = 50_000_000
"""Bytes from which on fewer rounds are made."""
_CONTEXT = content_context(generation=0, index=0)
_HOSPITAL = Address("0x" + "22" * 20)
Points = list[tuple[float, float]]


def axes(
    network: Network,
    registrar: Registrar,
    folder: Path,
    *,
    users: Sequence[int],
    sizes: Sequence[int],
    rounds: int,
    plot: Path | None,
) -> None:
    """Print the table, and draw the figure."""
    # The first one loads modules.
    key_generation(1)
    generation = [(float(count), key_generation(count)) for count in users]
    for count, seconds in generation:
        row(f"SeSPHR: keys of {count:,.0f} users", f"{seconds:.3f} s", "", None)
    folder.mkdir()
    hospital, clinician = (
        open_actor(network, load_profile(network.home, name), PASSPHRASE) for name in ("hospital", "clinician")
    )
    warm = folder / "warm.pdf"
    warm.write_bytes(os.urandom(1000))
    seal_and_open(folder, warm, 1)
    encryption: Points = []
    decryption: Points = []
    turnaround: Points = []
    for size in sizes:
        path = folder / f"{size}.pdf"
        path.write_bytes(b"%PDF-1.7\n" + os.urandom(size - 9))
        count = rounds if size < _LARGE else max(rounds // 2, 1)
        sealing, opening = seal_and_open(folder, path, count)
        patient = join(network, registrar, f"sesphr-{size}", Role.PATIENT)
        trip, parts = round_trip(hospital, patient, clinician, path)
        for points, seconds in ((encryption, sealing), (decryption, opening), (turnaround, trip)):
            points.append((size / 1e6, seconds))
        what = f"SeSPHR: {_size(size)}, encryption, decryption"
        row(what, f"{1000 * sealing:.1f} ms, {1000 * opening:.1f} ms", "", None)
        row("  turnaround: encrypt, upload, grant, re-encrypt, open", f"{trip:.2f} s ({parts})", "", None)
        path.unlink()
    if plot is not None:
        by_size = "size (MB)"
        draw(
            [
                Panel("Key generation", "users", "seconds", generation),
                Panel("Encryption", by_size, "seconds", encryption),
                Panel("Decryption", by_size, "seconds", decryption),
                Panel("Turnaround", by_size, "seconds", turnaround),
            ],
            plot,
        )


def key_generation(users: int) -> float:
    """Return the seconds in which so many users get all their keys, one after the other.

    Each user makes their own; there is no server that makes and knows them.
    """
    started = time.perf_counter()
    for _ in range(users):
        seed = keys.Seed.random()
        public = (
            keys.address_of(seed.account_key()),
            seed.sealing().public,
            seed.receiving().public,
            seed.signer().public,
            seed.audit().public,
        )
        assert len(public) == 5
    return time.perf_counter() - started


def seal_and_open(folder: Path, path: Path, rounds: int) -> tuple[float, float]:
    """Return the median seconds of sealing a file with its wraps into the store, and of opening it as a grantee.

    The cfrags are there already; verifying them and unwrapping is part of opening.
    """
    sealing, opening = [], []
    cast = Cast.fresh()
    scope = Scope.of(Category.DOCUMENTS, YEAR)
    path_of = [Scope.all(), Scope.of(Category.DOCUMENTS), scope]
    lanes = [hospital_lane(cast.patient, _HOSPITAL, one, 0) for one in path_of]
    secret, size = cast.grantee.receiving(), path.stat().st_size
    terms, kfrags = _granted(cast, scope)
    for number in range(rounds):
        store = EmbeddedStore(folder / f"store-{size}-{number}")
        started = time.perf_counter()
        key = EnvelopeKey(os.urandom(32))
        content = FileContent(path, size)
        sealed = seal_content(content, key.content_key(0), _CONTEXT, store, media_type="application/pdf")
        envelope = header.seal_envelope(key, lanes)
        blocks = [(CID.of(RAW, envelope), envelope)]
        store.put_blocks(blocks if sealed.block is None else [*blocks, (sealed.cid, sealed.block)])
        sealing.append(time.perf_counter() - started)
        wrap = header.wrap_at(envelope, 2)
        public = {"verifying": terms, "delegating": lanes[2].public}
        cfrags = [
            umbral.reencrypt(
                umbral.capsule_of(wrap),
                umbral.check_kfrag(kfrag, receiving=secret.public, **public),
                receiving=secret.public,
                **public,
            )
            for kfrag in kfrags
        ]
        started = time.perf_counter()
        message = umbral.unwrap_reencrypted(secret, wrap, cfrags, threshold=THRESHOLD, **public)
        found = EnvelopeKey.unmasked(message, pepper=lanes[2].pepper, commitment=key.commitment)
        opened = Content(
            store,
            sealed.cid,
            found.content_key(0),
            _CONTEXT,
            size=size,
            digest=sealed.digest,
            head=sealed.head,
        )
        assert sum(len(piece) for piece in opened.chunks()) == size
        opening.append(time.perf_counter() - started)
        store.close()
        shutil.rmtree(folder / f"store-{size}-{number}")
    return statistics.median(sealing), statistics.median(opening)


def round_trip(hospital: Any, patient: Any, clinician: Any, path: Path) -> tuple[float, str]:
    """Return the seconds from a file at a hospital to its plaintext at a grantee, and how they divide.

    Through the SDK: the store on disk, both chains, three proxies over HTTP. The patient is registered and paired.
    """
    marks = [time.perf_counter()]
    hospital.upload([path], patient.profile.name)
    marks.append(time.perf_counter())
    until = patient.network.mainchain.head_block().time + 86_400
    policy = patient.grant("clinician", ["documents"], until=until)
    marks.append(time.perf_counter())
    got = sum(len(piece) for record in clinician.open(policy.policy_id) for piece in record.chunks())
    marks.append(time.perf_counter())
    assert got == path.stat().st_size
    upload, grant, opening = (after - before for before, after in itertools.pairwise(marks))
    return marks[-1] - marks[0], f"{upload:.2f}, {grant:.2f}, {opening:.2f}"


def _granted(cast: Cast, scope: Scope) -> tuple[bytes, list[bytes]]:
    """Return the verifying key and the kfrags of two proxies of a grant of one lane."""
    prepared = prepare_grant(
        cast.patient,
        Offer(
            grantee=cast.actor(),
            scopes=(scope,),
            purposes=(Purpose.TREAT,),
            starts_at=NOW,
            expires_at=NOW + 86_400,
            threshold=THRESHOLD,
            proxies=tuple(cast.refs()),
        ),
        index=0,
        generations=FIRST,
        patient=keys.address_of(cast.patient.account_key()),
    )
    return prepared.terms.verifying_key, [kfrags[0] for kfrags in prepared.kfrags[:THRESHOLD]]


def _size(size: int) -> str:
    return f"{size // 1_000_000} MB" if size >= 1_000_000 else f"{size // 1000} kB"
