"""The gate as a program: its configuration file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import ConfigurationError
from panachain.service.gate.run import GateConfig, run_gate
from panachain.service.gate.service import AuditLog
from panachain.service.http import listen
from tests.unit.service.gate.world import CHAIN, CONTRACT, NODE, URL


class TestConfiguration:
    def fields(self) -> dict[str, Any]:
        return {
            "schema": "panachain/gate-config/1",
            "host": "127.0.0.1",
            "port": 1,
            "url": URL,
            "sidechain": {"url": "http://127.0.0.1:2", "chainId": CHAIN, "contracts": {"A": CONTRACT}},
            "nodes": [NODE.address.lower()],
            "auditLog": "audit.jsonl",
        }

    def test_nodes_count_in_any_case(self, tmp_path: Path) -> None:
        path = tmp_path / "gate.json"
        path.write_text(json.dumps(self.fields()))
        assert GateConfig.read(path).nodes == (NODE.address,)

    @pytest.mark.parametrize("change", [{"schema": "x"}, {"nodes": ["0x1"]}, {"port": None}, {"tls": {"key": "k"}}])
    def test_a_wrong_field_is_a_typed_error(self, tmp_path: Path, change: dict[str, Any]) -> None:
        path = tmp_path / "gate.json"
        path.write_text(json.dumps(self.fields() | change))
        with pytest.raises(ConfigurationError):
            GateConfig.read(path)

    def test_a_mainchain_without_its_fields_is_refused_and_the_port_is_free_again(self, tmp_path: Path) -> None:
        with listen("127.0.0.1", 0) as probe:
            port = probe.getsockname()[1]
        path = tmp_path / "gate.json"
        path.write_text(json.dumps(self.fields() | {"port": port, "mainchain": {}}))
        with pytest.raises(ConfigurationError, match="mainchain"):
            run_gate(path)
        listen("127.0.0.1", port).close()
        # The log is free too.
        AuditLog(tmp_path / "audit.jsonl").close()
