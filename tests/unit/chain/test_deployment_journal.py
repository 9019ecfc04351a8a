"""A deployment's journal remembers what was sent, and lets nothing else be deployed under its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from panachain.chain.deployment_journal import Begun, Journal
from panachain.errors import ConfigurationError, UsageError
from tests.unit.chain.test_plan import DEPLOYER, GOVERNANCE, both

BEGUN = Begun(5, DEPLOYER, 0, 7, "0x" + "77" * 32)


def test_a_signed_transaction_is_on_disk_at_once_and_nobody_elses_to_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "network.deployment.json"
    written = Journal(path).begin("mainchain", BEGUN, both()[0])
    written.signed(3, "0xaa", "0x02")
    written.signed(3, "0xbb", "0x03")
    assert path.stat().st_mode & 0o777 == 0o600
    again = Journal(path)
    assert again.begun("mainchain") == BEGUN
    assert again.begun("sidechain") is None
    assert again.begin("mainchain", BEGUN, both()[0]).sent(3) == [("0xaa", "0x02"), ("0xbb", "0x03")]
    assert again.sent("mainchain", 4) == []


def test_another_deployment_does_not_go_on_with_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    Journal(path).begin("mainchain", BEGUN, both()[0])
    other, _ = both(governance=replace(GOVERNANCE, quorum=1))
    with pytest.raises(UsageError, match="the journal of another deployment on the mainchain") as raised:
        Journal(path).begin("mainchain", BEGUN, other)
    assert "--anew" in raised.value.hint


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"schema": "other"}',
        '{"schema": "other", "chains": {}}',
        '{"schema": "panachain/deployment/1"}',
        '{"schema": "panachain/deployment/1", "chains": {"mainchain": {}}}',
    ],
)
def test_a_damaged_one_stops_everything(tmp_path: Path, content: str) -> None:
    path = tmp_path / "journal.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="can't be read as a deployment's journal"):
        Journal(path)


def test_without_a_path_it_is_in_memory(tmp_path: Path) -> None:
    written = Journal().begin("mainchain", BEGUN, both()[0])
    written.signed(0, "0xaa", "0x02")
    assert written.sent(0) == [("0xaa", "0x02")]
    assert list(tmp_path.iterdir()) == []
