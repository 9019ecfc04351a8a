"""Jitter: records wait, each for itself, and go out in later rounds, one of a patient in each; none is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from panachain.records.samples import sample_bundle
from tests.support import World

# The quick tests of jitter: tests/unit/records/test_jitter.py and tests/unit/sdk/test_hospital_overview.py.
pytestmark = pytest.mark.deep

DAY = 86_400


def test_records_wait_and_all_of_them_come(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bundle.json").write_bytes(sample_bundle(5))
    planned = len(world.hospital.upload([tmp_path], "patient", dry_run=True).records)
    now = world.network.clock()
    published = 0

    for day in range(8):
        monkeypatch.setattr(world.network, "clock", lambda at=now + day * DAY: at)
        report = world.hospital.upload([tmp_path], "patient", jitter=7 * DAY)
        published += len(report.records)
        assert len(report.records) + report.waiting + report.skipped == planned
        if day < 7:
            # One of the patient's at most, with the attachments of its Bundle.
            assert len({record.content_cid for record in report.records if "fhir" in record.media_type}) <= 1

    assert (published, report.waiting) == (planned, 0)
    assert world.hospital.upload([tmp_path], "patient", jitter=7 * DAY).skipped >= planned
    assert len(list(world.patient.records())) == planned


def test_with_jitter_a_grant_tells_whole_hours_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.network, "config", replace(world.network.config, jitter=DAY))
    head = world.network.mainchain.head_block().time

    policy = world.patient.grant("clinician", ["vitals"], until=head + DAY)

    assert policy.starts_at % 3600 == policy.expires_at % 3600 == 0
    assert policy.starts_at <= head
    assert head + DAY <= policy.expires_at <= head + DAY + 7200
