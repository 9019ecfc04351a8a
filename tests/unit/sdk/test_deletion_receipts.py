"""Deletion receipts: kept once for each proxy, and none that was changed counts."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from unittest.mock import patch

import pytest

from panachain.errors import DiskError
from panachain.model.actors import PolicyId
from panachain.model.policy import Receipt
from panachain.sdk.deletion_receipts import DeletionReceipts
from tests.twin.world import PROXIES, World
from tests.unit.sdk.helpers import grant

OTHER = PolicyId("0x" + "11" * 20)


@pytest.fixture
def signed(world: World) -> tuple[PolicyId, tuple[Receipt, ...], bytes]:
    made = grant(world)
    receipts = world.patient.revoke(made.policy_id).receipts
    return made.policy_id, receipts, world.network.mainchain.log.domain


def test_are_kept_over_restarts_one_for_each_proxy(
    signed: tuple[PolicyId, tuple[Receipt, ...], bytes], tmp_path: Path
) -> None:
    policy_id, receipts, domain = signed
    path = tmp_path / "revocations.json"
    for some in (receipts[:2], receipts[1:], receipts):
        DeletionReceipts(path, domain).add(policy_id, some)
    kept, rewrapped = DeletionReceipts(path, domain).of(policy_id)
    assert (set(kept), len(kept), rewrapped) == (set(receipts), PROXIES, False)
    assert path.stat().st_mode & 0o777 == 0o600


def test_of_a_policy_without_any_there_are_none(tmp_path: Path) -> None:
    assert DeletionReceipts(tmp_path / "no.json", bytes(32)).of(OTHER) == ((), False)


def test_several_at_once_keep_each_others(tmp_path: Path) -> None:
    ids = [PolicyId(f"0x{number:040x}") for number in range(40)]
    path = tmp_path / "revocations.json"
    threads = [threading.Thread(target=DeletionReceipts(path, bytes(32)).rewrapped, args=(one,)) for one in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert all(DeletionReceipts(path, bytes(32)).of(one) == ((), True) for one in ids)


def test_that_headers_are_rewrapped_is_remembered_beside_them(
    signed: tuple[PolicyId, tuple[Receipt, ...], bytes], tmp_path: Path
) -> None:
    policy_id, receipts, domain = signed
    kept = DeletionReceipts(tmp_path / "revocations.json", domain)
    kept.add(policy_id, receipts)
    kept.rewrapped(policy_id)
    kept.rewrapped(OTHER)
    assert kept.of(policy_id) == (kept.of(policy_id)[0], True)
    assert len(kept.of(policy_id)[0]) == PROXIES
    assert kept.of(OTHER) == ((), True)


@pytest.mark.parametrize(("name", "value"), [("count", 9), ("at", 1), ("policy_id", OTHER), ("kind", "deposited")])
def test_one_that_was_changed_on_disk_does_not_count(
    signed: tuple[PolicyId, tuple[Receipt, ...], bytes], tmp_path: Path, name: str, value: object
) -> None:
    policy_id, receipts, domain = signed
    path = tmp_path / "revocations.json"
    DeletionReceipts(path, domain).add(policy_id, receipts)
    content = json.loads(path.read_bytes())
    fields = content["policies"][policy_id]["receipts"][0]
    assert name in fields
    fields[name] = value
    path.write_text(json.dumps(content))
    kept = DeletionReceipts(path, domain)
    # The others do.
    assert len(kept.of(policy_id)[0]) == PROXIES - 1
    kept.add(policy_id, receipts)
    assert set(kept.of(policy_id)[0]) == set(receipts)


def test_of_another_network_do_not_count(signed: tuple[PolicyId, tuple[Receipt, ...], bytes], tmp_path: Path) -> None:
    policy_id, receipts, _ = signed
    kept = DeletionReceipts(tmp_path / "revocations.json", bytes(32))
    kept.add(policy_id, receipts)
    assert kept.of(policy_id) == ((), False)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"policies": []}', b"[" * 9000])
def test_a_damaged_file_is_named_and_set_aside_by_the_next_change(
    signed: tuple[PolicyId, tuple[Receipt, ...], bytes],
    tmp_path: Path,
    content: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    policy_id, receipts, domain = signed
    path = tmp_path / "revocations.json"
    path.write_bytes(content)
    kept = DeletionReceipts(path, domain)
    assert kept.of(policy_id) == ((), False)
    assert "revocations.json can't be read" in caplog.text
    assert path.read_bytes() == content
    kept.add(policy_id, receipts)
    assert set(kept.of(policy_id)[0]) == set(receipts)
    assert (tmp_path / "revocations.json.damaged").read_bytes() == content


@pytest.mark.parametrize("entry", [7, {}, {"receipts": 7, "rewrapped": True}, {"receipts": [7, {}], "rewrapped": True}])
def test_a_damaged_row_costs_no_other_policys(
    signed: tuple[PolicyId, tuple[Receipt, ...], bytes], tmp_path: Path, entry: object
) -> None:
    policy_id, receipts, domain = signed
    path = tmp_path / "revocations.json"
    kept = DeletionReceipts(path, domain)
    kept.add(policy_id, receipts)
    content = json.loads(path.read_bytes())
    content["policies"][OTHER] = entry
    path.write_text(json.dumps(content))
    assert set(kept.of(policy_id)[0]) == set(receipts)
    assert kept.of(OTHER)[0] == ()
    kept.rewrapped(OTHER)
    assert kept.of(OTHER) == ((), True)


def test_a_full_disk_is_an_error_of_its_own(tmp_path: Path) -> None:
    kept = DeletionReceipts(tmp_path / "revocations.json", bytes(32))
    with patch("os.replace", side_effect=OSError(28, "No space left on device")), pytest.raises(DiskError):
        kept.rewrapped(OTHER)
