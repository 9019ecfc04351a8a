"""What a proxy signs binds it: a receipt for something else is no answer, and one for a late service convicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from panachain.chain.receipts import receipt_hash, sign_head
from panachain.chain.signing import Account
from panachain.crypto import keystore
from panachain.errors import IntegrityError
from panachain.model.policy import ReceiptKind
from panachain.records.samples import sample_bundle
from panachain.sdk import proxies
from panachain.sdk.kept_receipts import Statement
from panachain.sdk.receipt_reading import PolicyLog
from tests.support import World

# The quick tests of what convicts: tests/integration/test_chains.py on real chains, and tests/unit/consent.
pytestmark = pytest.mark.deep


@pytest.fixture(scope="module", autouse=True)
def published(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    path: Path = tmp_path_factory.mktemp("source") / "bundle.json"
    path.write_bytes(sample_bundle(1))
    world.hospital.upload([path], "patient")


def until(world: World) -> int:
    return int(world.network.mainchain.head_block().time) + 86_400


def test_a_receipt_for_something_else_is_no_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = world.patient.grant("clinician", ["laboratory"], until=until(world))
    real = proxies.messages.parse_receipt
    kind = ReceiptKind.DENIED
    monkeypatch.setattr(proxies.messages, "parse_receipt", lambda fields: replace(real(fields), kind=kind))
    with pytest.raises(IntegrityError, match="about something else"):
        list(world.clinician.open(policy.policy_id))


def test_a_proxy_that_serves_late_convicts_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = world.patient.grant("clinician", ["laboratory"], until=until(world))
    list(world.clinician.open(policy.policy_id))
    revoked = world.patient.revoke(policy.policy_id).receipts[0]
    assert world.patient.convict(policy.policy_id).transactions == ()

    # What the first proxy would have signed, had it served once more, after the revocation's block.
    at = int(world.network.mainchain.head_block().time) + 1
    place = world.home / "devnet" / "proxy-1"
    account = Account(keystore.open(place / "seed.json", (place.parent / "proxies.pass").read_text()).account_key())
    fields = {"kind": ReceiptKind.REENCRYPTED, "sequence": 999, "at": at, "detail": b""}
    late = replace(revoked, proxy=account.address, **fields)
    domain = world.network.mainchain.log.domain
    signature = sign_head(account, domain, sequence=999, head=receipt_hash(late))
    shown = [Statement(replace(late, signature=signature), b"")]
    monkeypatch.setattr(
        world.patient._log._reading, "read", lambda chosen, **_: iter([PolicyLog(chosen[0], shown, [])])
    )

    assert [entry.late for entry in world.patient.receipts(policy.policy_id)] == [True]
    assert len(world.patient.convict(policy.policy_id).transactions) == 1
    assert account.address not in [proxy.address for proxy in world.network.proxies()]
