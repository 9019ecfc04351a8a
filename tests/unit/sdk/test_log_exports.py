"""Exports: AuditEvents and rows say what the log says, and a proof is checked by whoever has three files of it."""

from __future__ import annotations

import csv
import io
from base64 import b64decode
from dataclasses import replace
from hashlib import sha256

from fhir.resources.R4B.bundle import Bundle

from panachain.consent.log_checkpoint import Checkpoint
from panachain.consent.log_tree import check_inclusion
from panachain.crypto import notes
from panachain.sdk.log_exports import audit_events, proof_files, rows
from tests.twin.world import PROXIES, THRESHOLD, World
from tests.unit.consent.proof_texts import parse_proof
from tests.unit.sdk.helpers import grant, opened, upload


def test_what_the_log_says_is_what_is_exported(world: World) -> None:
    upload(world)
    opened(world, grant(world).policy_id)
    world.wait()
    readings = list(world.patient.log())
    assert readings
    bundle = audit_events(readings, world.patient.address)
    Bundle.model_validate(bundle)
    (event,) = [entry["resource"] for entry in bundle["entry"]]
    (reading,) = readings
    assert (reading.role, reading.organisation, reading.needed) == ("practitioner", world.hospital.address, THRESHOLD)
    assert (reading.unconfirmed, reading.dissents, reading.silent) == (0, (), ())
    (named,) = world.patient.auditing.named(readings, records=True)
    assert named.records == tuple(record.info.header_cid for record in world.patient.records())
    assert event["agent"][2]["who"]["identifier"]["value"] == world.clinician.address
    (row,) = csv.DictReader(io.StringIO(rows(readings)))
    assert row["who"] == world.clinician.address
    assert (row["role"], row["organisation"], row["records"]) == ("practitioner", world.hospital.address, "")
    assert "\x1b" not in rows([replace(readings[0], purpose="\x1b[2J", who="a\nb")])
    assert (row["permitted"], row["what"], row["purpose"]) == ("yes", "laboratory", "TREAT")
    named = replace(readings[0], who="=HYPERLINK(1)")
    assert "'=HYPERLINK(1)" in rows([named])

    # And proofs, which are checked without anything of ours but the formats that are published.
    entries, proofs = world.patient.receipts(), world.patient.auditing.verify()
    files = {one.name: one.content for one in proof_files(entries, proofs, domain=world.network.mainchain.log.domain)}
    assert len([name for name in files if name.endswith(".vkey")]) == PROXIES
    proven = [name for name in files if name.endswith(".tlog-proof")]
    assert len(proven) == len(entries)
    for name in proven:
        index, path, note = parse_proof(files[name].decode())
        leaf = sha256(b"\0" + files[name.replace(".tlog-proof", ".receipt")]).digest()
        parsed = notes.parse_note(note)
        checkpoint = Checkpoint.parse(parsed.text)
        check_inclusion(checkpoint.root, size=checkpoint.size, index=index, leaf=leaf, path=path)
        origin, key_id, key = files[f"{name.partition('-')[0]}.vkey"].decode().strip().split("+", 2)
        raw = b64decode(key)
        assert notes.key_id(origin, raw[0], raw[1:]).hex() == key_id
        notes.check_signed(parsed, name=origin, public=raw[1:])
