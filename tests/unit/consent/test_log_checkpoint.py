"""Checkpoints: whose they are, who cosigned them, and what isn't written as one is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from panachain.chain.receipts import log_domain
from panachain.chain.signing import Account
from panachain.consent.log_checkpoint import (
    Checkpoint,
    growth_request,
    key_line,
    open_checkpoint,
    origin_of,
    parse_growth_request,
    proof_text,
    proxy_of,
    witness_of,
)
from panachain.crypto.notes import Note, NoteKey
from panachain.errors import IntegrityError
from tests.unit.consent.proof_texts import parse_proof

DOMAIN = log_domain(31_337, "0x" + "22" * 20)
ELSEWHERE = log_domain(31_338, "0x" + "22" * 20)
PROXY, WITNESS = Account(b"\1" * 32), Account(b"\2" * 32)
KEY = NoteKey(origin_of(DOMAIN, PROXY.address), b"\3" * 32)
WITNESS_KEY = NoteKey(witness_of(DOMAIN, WITNESS.address), b"\4" * 32)
CHECKPOINT = Checkpoint(KEY.name, 7, b"\5" * 32, b"\6" * 32)


def signed(text: str = CHECKPOINT.text()) -> Note:
    return Note(text, (KEY.sign(text), key_line(PROXY, DOMAIN, KEY)))


def opened(note: Note) -> object:
    return open_checkpoint(note.encode().encode(), proxy=PROXY.address, domain=DOMAIN)


def test_a_checkpoint_says_whose_it_is_and_who_cosigned() -> None:
    note = signed()
    found = open_checkpoint(note.encode().encode(), proxy=PROXY.address, domain=DOMAIN)
    assert (found.checkpoint, found.witnesses) == (CHECKPOINT, {})
    more = (WITNESS_KEY.cosign(note.text, at=1_800_000_000), key_line(WITNESS, DOMAIN, WITNESS_KEY))
    cosigned = replace(note, signatures=note.signatures + more)
    found = open_checkpoint(cosigned.encode().encode(), proxy=PROXY.address, domain=DOMAIN)
    assert found.witnesses == {WITNESS.address: 1_800_000_000}
    assert proxy_of(DOMAIN, KEY.name) == PROXY.address


def test_another_proxys_key_network_or_signature_is_refused() -> None:
    note, text = signed(), CHECKPOINT.text()
    other = NoteKey(KEY.name, b"\7" * 32)
    for wrong in (
        replace(note, signatures=note.signatures[:1]),
        replace(note, signatures=note.signatures[1:]),
        replace(note, signatures=(other.sign(text), note.signatures[1])),
        # Somebody else's word for the key.
        replace(note, signatures=(KEY.sign(text), key_line(WITNESS, DOMAIN, KEY))),
        replace(note, signatures=(KEY.sign(text), key_line(PROXY, ELSEWHERE, KEY))),
    ):
        with pytest.raises(IntegrityError):
            opened(wrong)
    with pytest.raises(IntegrityError, match="another log"):
        open_checkpoint(note.encode().encode(), proxy=WITNESS.address, domain=DOMAIN)


def test_lines_of_strangers_count_for_nothing_and_harm_nobody() -> None:
    note = signed()
    stranger = NoteKey("stranger", b"\7" * 32)
    own = NoteKey(witness_of(DOMAIN, PROXY.address), b"\7" * 32)
    lines = (
        stranger.cosign(note.text, at=1),
        # A witness's word without its account's, and a proxy that cosigns its own log.
        WITNESS_KEY.cosign(note.text, at=1),
        own.cosign(note.text, at=1),
        key_line(PROXY, DOMAIN, own),
    )
    noted = replace(note, signatures=note.signatures + lines)
    found = open_checkpoint(noted.encode().encode(), proxy=PROXY.address, domain=DOMAIN)
    assert found.witnesses == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "one\n",
        CHECKPOINT.text() + "more\n",
        CHECKPOINT.text().replace("\n7\n", "\n07\n"),
        CHECKPOINT.text().replace("\n7\n", "\n-7\n"),
        CHECKPOINT.text().replace("\n7\n", "\n 7\n"),
        CHECKPOINT.text().replace("maps 1", "maps 2"),
        CHECKPOINT.text().replace("panachain-maps", "panachain-other"),
        CHECKPOINT.text().replace("\n7\n", f"\n{1 << 60}\n"),
        replace(CHECKPOINT, root=b"short").text(),
        replace(CHECKPOINT, maps=b"short").text(),
    ],
)
def test_what_is_not_written_as_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(IntegrityError):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    "name", ["", "panachain/00/0x00", f"{KEY.name}/x", KEY.name.upper(), KEY.name.replace("0x", "")]
)
def test_names_of_no_log_are_refused(name: str) -> None:
    with pytest.raises(IntegrityError):
        proxy_of(DOMAIN, name)


def test_a_proof_travels_as_a_text() -> None:
    path = [bytes([number]) * 32 for number in range(3)]
    text = proof_text(signed(), index=5, path=path)
    assert text.startswith("c2sp.org/tlog-proof@v1\nindex 5\n")
    index, found, note = parse_proof(text)
    assert (index, found, note.decode()) == (5, path, signed().encode())


def test_a_question_to_a_witness_travels_as_a_text() -> None:
    text = growth_request(signed(), before=3, proof=[bytes(32)])
    assert parse_growth_request(text.encode()) == (3, [bytes(32)], signed().encode().encode())
    empty = growth_request(signed(), before=0, proof=[])
    assert parse_growth_request(empty.encode()) == (0, [], signed().encode().encode())
    for wrong in (b"", b"old 3\n", b"old x\n\nnote", b"new 3\n\nnote", b"old 3\nAAAA\n\nnote", b"old \xff\n\nnote"):
        with pytest.raises(IntegrityError):
            parse_growth_request(wrong)


def test_the_vectors_are_up_to_date() -> None:
    from tests.vectors.log import make

    path = Path(make.__file__).with_name("log.json")
    assert json.loads(path.read_text()) == make.vectors(), "python tests/vectors/log/make.py makes it anew"
