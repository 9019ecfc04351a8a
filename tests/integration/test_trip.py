"""The trip of a record over real chains, a real store and real proxies (design section 8)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from eth_utils import keccak

from panachain.chain import anvil
from panachain.devnet import Devnet
from panachain.errors import (
    AccessDeniedError,
    InputError,
    IntegrityError,
    PartlyDoneError,
    PolicyRevokedError,
    PolicyUnknownError,
    ProxiesUnavailableError,
    UsageError,
)
from panachain.model.scope import Purpose
from panachain.records.canonical import resources
from panachain.records.samples import sample_bundle, sample_dicom
from panachain.records.split import MEDIA_TYPE
from tests.support import World

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def until(world: World, seconds: int = 86_400) -> int:
    return int(world.network.mainchain.head_block().time) + seconds


@pytest.fixture(scope="module")
def bundle(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    (folder / "bundle.json").write_bytes(sample_bundle(1))
    (folder / "image.dcm").write_bytes(sample_dicom(1))
    world.hospital.upload([folder], "patient")
    return folder


def test_patient_opens_everything_that_was_uploaded(world: World, bundle: Path) -> None:
    opened = list(world.patient.records())

    fhir = Counter(item for r in opened if r.info.media_type == MEDIA_TYPE for item in resources(r.content))
    files = [r.content for r in opened if r.info.media_type != MEDIA_TYPE]
    assert fhir == Counter(resources((bundle / "bundle.json").read_bytes()))
    attachments = [
        base64.b64decode(content["attachment"]["data"])
        for entry in json.loads((bundle / "bundle.json").read_bytes())["entry"]
        for content in entry["resource"].get("content", [])
    ]
    assert attachments
    assert sorted(files) == sorted([(bundle / "image.dcm").read_bytes(), *attachments])


def test_same_source_is_published_once(world: World, bundle: Path) -> None:
    before = world.network.mainchain.ledger.ledger_of(world.hospital.address)

    report = world.hospital.upload([bundle], "patient")

    assert (len(report.records), report.manifest_cid) == (0, "")
    assert world.network.mainchain.ledger.ledger_of(world.hospital.address) == before


def test_broken_bundle_publishes_nothing(world: World, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(sample_bundle(9))
    (tmp_path / "b.json").write_text('{"resourceType": "Bundle", "entry": [')
    before = world.network.mainchain.ledger.ledger_of(world.hospital.address)

    with pytest.raises(InputError):
        world.hospital.upload([tmp_path], "patient", strict=True)
    with pytest.raises(InputError, match=r"b\.json"):
        world.hospital.upload([tmp_path / "b.json"], "patient")

    assert world.network.mainchain.ledger.ledger_of(world.hospital.address) == before


def test_grant_opens_its_categories_and_no_other(world: World, bundle: Path) -> None:
    policy = world.patient.grant("clinician", ["laboratory", "medications"], until=until(world))

    opened = list(world.clinician.open(policy.policy_id))

    assert {record.info.category.value for record in opened} == {"laboratory", "medications"}
    assert [view.policy_id for view in world.clinician.inbox()] == [policy.policy_id]
    assert list(world.stranger.inbox()) == []
    with pytest.raises(PolicyUnknownError):
        list(world.stranger.open(policy.policy_id))
    with pytest.raises(AccessDeniedError):
        list(world.clinician.open(policy.policy_id, purpose=Purpose.HRESCH))


def test_all_covers_no_restricted_category(world: World, bundle: Path) -> None:
    policy = world.patient.grant("clinician", ["all"], until=until(world))

    categories = {record.info.category.value for record in world.clinician.open(policy.policy_id)}

    assert "laboratory" in categories
    closed = {"mental-health", "substance-use", "sexual-health", "gender", "violence", "private"}
    assert not categories & closed


def test_year_narrows_a_category(world: World, bundle: Path) -> None:
    policy = world.patient.grant("clinician", ["laboratory"], [2021], until=until(world))

    assert {record.info.year for record in world.clinician.open(policy.policy_id)} == {2021}


def test_grant_covers_records_that_come_later(world: World, bundle: Path, tmp_path: Path) -> None:
    policy = world.patient.grant("clinician", ["immunizations"], until=until(world))
    before = len(list(world.clinician.open(policy.policy_id)))
    (tmp_path / "later.json").write_bytes(sample_bundle(2))

    world.hospital.upload([tmp_path], "patient")

    assert len(list(world.clinician.open(policy.policy_id))) == before + 4


def test_revocation_is_refused_by_chain_and_proxies(world: World, bundle: Path) -> None:
    policy = world.patient.grant("clinician", ["allergies"], until=until(world))
    assert list(world.clinician.open(policy.policy_id))

    report = world.patient.revoke(policy.policy_id)

    assert (report.deleted, report.final) == (3, True)
    with pytest.raises(PolicyRevokedError):
        list(world.clinician.open(policy.policy_id))
    with pytest.raises(PolicyRevokedError):
        world.clinician.ask_proxies(policy.policy_id)
    kinds = Counter(entry.kind for entry in world.patient.receipts(policy.policy_id))
    assert kinds["deleted"] == 3
    # The third proxy may have got the first opening's request after the revocation.
    assert kinds["denied"] in (3, 4)
    assert kinds["reencrypted"] >= 2
    assert world.patient.revoke(policy.policy_id).receipts == report.receipts


def test_hospital_that_is_not_paired_publishes_nothing(world: World, bundle: Path) -> None:
    world.patient.unpair("hospital")

    with pytest.raises(AccessDeniedError):
        world.hospital.upload([bundle], "patient")

    world.patient.pair("hospital")


def test_request_is_approved_and_denied(world: World, bundle: Path) -> None:
    first = world.stranger.request("patient", ["procedures"], Purpose.TREAT, "before an operation").request_id
    second = world.stranger.request("patient", ["all"], Purpose.TREAT).request_id

    policy = world.patient.approve(first, until=until(world))
    world.patient.deny(second)

    assert [request.state for request in world.stranger.requests()] == ["approved", "denied"]
    assert {r.info.category.value for r in world.stranger.open(policy.policy_id)} == {"procedures"}


def test_researcher_sees_policies_as_of_a_block(world: World, bundle: Path) -> None:
    policies = world.researcher.query("policies")
    before = world.researcher.query("policies", as_of_block=policies.rows[0].block)

    assert len(before.rows) == 1
    assert before.rows[0].status == "active"
    assert len(policies.rows) > 1
    assert policies.provenance.block_hash == world.network.mainchain.block(policies.provenance.block).hash
    with pytest.raises(UsageError):
        world.researcher.query("policies", as_of_block=10**6)


def run(world: World, profile: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PANACHAIN_HOME": str(world.home),
        "PANACHAIN_PASSPHRASE_FILE": str(world.passphrase_file),
    }
    command = [sys.executable, "-m", "panachain.cli", "--profile", profile, *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False
    )


def test_command_line_opens_and_refuses_with_its_exit_codes(world: World, bundle: Path, tmp_path: Path) -> None:
    granted = run(
        world, "patient", "grant", "clinician", "--category", "vitals", "--purpose", "TREAT", "--until", "7d", "--json"
    )
    assert granted.returncode == 0, granted.stderr
    policy = list(world.patient.policies())[-1].policy_id

    opened = run(world, "clinician", "open", policy, "-o", str(tmp_path / "out"))
    refused = run(world, "stranger", "open", policy, "-o", str(tmp_path / "none"))

    assert opened.returncode == 0, opened.stderr
    assert len(list((tmp_path / "out").iterdir())) > 1
    assert refused.returncode == 5, refused.stderr
    assert not (tmp_path / "none").exists()


def test_nothing_of_a_record_is_readable_anywhere(world: World, bundle: Path) -> None:
    wanted = {text.encode() for text in strings((bundle / "bundle.json").read_bytes()) if len(text) > 8}
    assert len(wanted) > 50

    # Both chains' state and logs, all blocks, the proxies' databases and logs.
    places = [p for part in ("devnet", "blocks") for p in (world.home / part).rglob("*") if p.is_file()]
    assert any(place.suffix == ".pack" for place in places)
    assert any(place.name == "proxy.sqlite" for place in places)
    # By another process: closing a database's file here would drop the locks that this process's connection holds
    # on it ("How To Corrupt An SQLite Database File", section 2.2), and the scripts below write to it too.
    parts = [subprocess.run(["cat", *places], capture_output=True, timeout=60, check=True).stdout]
    for rpc in (world.network.mainchain.rpc, world.network.sidechain.rpc):
        for number in range(int(rpc.call("eth_blockNumber"), 16) + 1):
            parts.append(repr(rpc.call("eth_getBlockByNumber", [hex(number), True])).encode())
    data = b"".join(parts)

    # A Bundle's type is `transaction`, and so is a word of every chain's JSON.
    wanted.discard(b"transaction")
    hashes = {hashlib.sha256(text).digest() for text in wanted} | {keccak(text) for text in wanted}
    forms = wanted | {text.hex().encode() for text in wanted | hashes} | hashes
    forms |= {base64.b64encode(text).rstrip(b"=") for text in wanted} | {t.decode().encode("utf-16-le") for t in wanted}
    assert found_in(data, forms) == set()
    # It would find each of them, wherever it stands.
    assert found_in(data + b"x".join(forms), forms) == forms


def found_in(data: bytes, forms: set[bytes]) -> set[bytes]:
    """Return those of some forms that stand in the data: it is read once, and not once for each of thousands."""
    known: dict[bytes, list[bytes]] = {}
    for form in forms:
        known.setdefault(form[:8], []).append(form)
    assert min(map(len, known)) == 8
    begins = np.zeros(1 << 24, dtype=bool)
    for start in known:
        begins[int.from_bytes(start[:3], "big")] = True
    read = np.frombuffer(data, dtype=np.uint8).astype(np.uint32)
    at = np.flatnonzero(begins[read[:-2] << 16 | read[1:-1] << 8 | read[2:]])
    return {
        form for here in at.tolist() for form in known.get(data[here : here + 8], ()) if data.startswith(form, here)
    }


def strings(content: bytes) -> set[str]:
    import json

    found: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, dict):
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(json.loads(content))
    return found


@pytest.mark.deep
def test_the_script_of_each_role_runs(world: World, bundle: Path) -> None:
    environment = os.environ | {
        "PANACHAIN_HOME": str(world.home),
        "PANACHAIN_PASSPHRASE_FILE": str(world.passphrase_file),
        "PYTHONPATH": str(SCRIPTS.parent),
    }
    runs = (
        ("upload_records.py", "hospital", "patient", str(bundle)),
        ("grant_access.py", "patient", "clinician", "vitals"),
        ("open_records.py", "clinician"),
        ("query_policies.py", "researcher"),
    )
    for name, *arguments in runs:
        command = [sys.executable, str(SCRIPTS / name), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout


class TestZFaults:
    """Last in the file: they break the devnet of this module on purpose."""

    def test_any_changed_byte_in_the_store_is_found(self, world: World, bundle: Path) -> None:
        policy = world.patient.grant("clinician", ["vitals"], until=until(world))
        packs = sorted((world.home / "blocks" / "packs").iterdir())
        good = {pack: pack.read_bytes() for pack in packs}
        before = [record.content for record in world.clinician.open(policy.policy_id)]
        refused = 0
        try:
            # One byte in each stretch, so that every kind of block is hit: terms, manifests, headers, contents.
            for pack, content in good.items():
                for position in range(0, len(content), max(len(content) // 40, 4096)):
                    changed = bytearray(content)
                    changed[position] ^= 0x40
                    pack.write_bytes(changed)
                    try:
                        # A block of somebody else's record isn't read; then all must be as it was.
                        assert [record.content for record in world.clinician.open(policy.policy_id)] == before
                    except (IntegrityError, PartlyDoneError) as exc:
                        # Of several records one may be left out: then it is named, and the others came through.
                        refused += isinstance(exc, IntegrityError) or bool(exc.omissions)
                pack.write_bytes(bytes(byte ^ 1 for byte in content))
            with pytest.raises(IntegrityError):
                list(world.clinician.open(policy.policy_id))
        finally:
            for pack, content in good.items():
                pack.write_bytes(content)
        assert refused > 0
        assert [record.content for record in world.clinician.open(policy.policy_id)] == before

    def test_one_dead_proxy_is_no_harm_and_two_are_named(self, world: World, bundle: Path) -> None:
        proxies = Devnet.status(world.home).proxies
        policy = world.patient.grant("clinician", ["vitals"], until=until(world))

        anvil.stop(proxies[0].pid)
        assert list(world.clinician.open(policy.policy_id))
        assert world.patient.grant("clinician", ["imaging"], until=until(world)).deposited == 2

        anvil.stop(proxies[1].pid)
        with pytest.raises(ProxiesUnavailableError, match=r"1 of 3 proxies answered, 2 are needed"):
            list(world.clinician.open(policy.policy_id))
        assert run(world, "clinician", "open", policy.policy_id, "-o", str(world.home / "none")).returncode == 7
        with pytest.raises(ProxiesUnavailableError, match="nothing was granted"):
            world.patient.grant("clinician", ["imaging"], until=until(world))
