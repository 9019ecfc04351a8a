"""What is kept of a patient's log: sealed, as it was signed, and no worse to lose than to have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from panachain.crypto.keys import Seed
from panachain.ethereum import checksum_address
from panachain.model.actors import PolicyId
from panachain.model.policy import LogHead, Receipt, ReceiptKind
from panachain.sdk.kept import Kept
from panachain.sdk.kept_receipts import KeptReceipts, Statement, Told

ADDRESSES = [checksum_address(bytes([number]) * 20) for number in (0xA1, 0xB2, 0xC3)]
SEED, OTHER = Seed(b"s" * 32), Seed(b"o" * 32)
DOMAIN = b"d" * 32
PROXY, OWNER = ADDRESSES[0], PolicyId(ADDRESSES[1])


def receipt(sequence: int, kind: ReceiptKind = ReceiptKind.REENCRYPTED) -> Receipt:
    return Receipt(PROXY, sequence, b"p" * 32, kind, OWNER, 1_800_000_000, 7, 3, b"sealed", b"g" * 65)


def told(*sequences: int, upto: int = 9) -> Told:
    return Told(tuple(Statement(receipt(number), b'{"lane":0}') for number in sequences), upto, 1_800_000_100)


@pytest.fixture
def kept(tmp_path: Path) -> KeptReceipts:
    return KeptReceipts(tmp_path, SEED, domain=DOMAIN)


def test_what_is_kept_is_read_again_and_says_nothing_to_others(kept: KeptReceipts, tmp_path: Path) -> None:
    assert kept.of(3, OWNER) == {}
    said = {PROXY: replace(told(2, 5), statements=(*told(2).statements, Statement(receipt(5), None)))}
    kept.keep(3, OWNER, said)
    assert KeptReceipts(tmp_path, SEED, domain=DOMAIN).of(3, OWNER) == said
    (path,) = (tmp_path / "kept").iterdir()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    content = path.read_bytes()
    assert not [secret for secret in (b"lane", bytes.fromhex(PROXY[2:]), b"sealed") if secret in content]


def test_it_is_of_one_seed_policy_number_and_access_log(kept: KeptReceipts, tmp_path: Path) -> None:
    kept.keep(3, OWNER, {PROXY: told(2)})
    assert KeptReceipts(tmp_path, OTHER, domain=DOMAIN).of(3, OWNER) == {}
    assert KeptReceipts(tmp_path, SEED, domain=b"e" * 32).of(3, OWNER) == {}
    assert kept.of(3, PolicyId(ADDRESSES[2])) == {}
    assert kept.of(4, OWNER) == {}


@pytest.mark.parametrize("content", [7, {}, {"log": [1, DOMAIN]}, {"log": [0, DOMAIN], "policy": b"", "proxies": []}])
def test_what_has_another_shape_is_as_good_as_none(kept: KeptReceipts, tmp_path: Path, content: object) -> None:
    for name in ("receipts-00000003", "receipts-heads"):
        Kept(tmp_path, SEED, name).write(content)
    assert (kept.of(3, OWNER), kept.heads()) == ({}, {})


@pytest.mark.parametrize("place", range(9))
def test_a_row_of_another_shape_is_as_good_as_none(kept: KeptReceipts, tmp_path: Path, place: int) -> None:
    kept.keep(3, OWNER, {PROXY: told(2)})
    file = Kept(tmp_path, SEED, "receipts-00000003")
    content = file.read()
    content["proxies"][0][1]["rows"][0][place] = "x"
    file.write(content)
    assert kept.of(3, OWNER) == {}


def test_heads_are_kept_by_proxy(kept: KeptReceipts, tmp_path: Path) -> None:
    heads = {PROXY: LogHead(PROXY, 5, b"h" * 32, b"g" * 65)}
    kept.keep_heads(heads)
    assert KeptReceipts(tmp_path, SEED, domain=DOMAIN).heads() == heads


def test_asks_again_from_the_newest_receipt_that_must_come_back() -> None:
    assert told(2, 5, upto=9).before() == 4
    # What came after the head was read may have come without what stands beside it.
    assert told(2, 5, upto=4).before() == 1
    assert told(upto=9).before() == 9


def test_knows_what_was_deleted() -> None:
    deleted = Told((Statement(receipt(3, ReceiptKind.DELETED)),), 3, 0)
    assert (told(2).has_deleted, deleted.has_deleted) == (False, True)


def test_holds_more_than_a_block(kept: KeptReceipts, tmp_path: Path) -> None:
    many = {PROXY: told(*range(1, 9001))}
    kept.keep(3, OWNER, many)
    assert (tmp_path / "kept" / "receipts-00000003.sealed").stat().st_size > 1 << 20
    assert kept.of(3, OWNER) == many
