"""What `devnet up` refuses before it starts anything, and what `status` reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from panachain import devnet
from panachain.devnet import REGISTRAR, Devnet, DevnetProxy, DevnetStatus
from panachain.errors import ConfigurationError, UsageError
from panachain.model.actors import Address


@pytest.mark.parametrize(("proxies", "threshold"), [(3, 1), (3, 4), (1, 2)])
def test_a_threshold_must_fit_the_proxies(tmp_path: Path, proxies: int, threshold: int) -> None:
    with pytest.raises(UsageError, match="2 <= threshold <= proxies"):
        Devnet.up(tmp_path, proxies=proxies, threshold=threshold, passphrase="unused")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ask", [Devnet.status, Devnet.down])
def test_a_home_without_a_devnet_is_told_so(tmp_path: Path, ask: object) -> None:
    with pytest.raises(ConfigurationError, match="no devnet in this home") as caught:
        ask(tmp_path)  # type: ignore[operator]
    assert caught.value.hint == "panachain devnet up"


def test_status_of_a_stopped_devnet_comes_from_its_network_file(tmp_path: Path) -> None:
    network = {
        "mainchain": {"url": "http://127.0.0.1:1"},
        "sidechain": {"url": "http://127.0.0.1:2"},
        "ipfs": {"kind": "embedded"},
        "threshold": 2,
    }
    (tmp_path / "network.json").write_text(json.dumps(network))
    status = Devnet.status(tmp_path)
    assert not status.running
    assert not status.gate
    assert status.to_json() == {
        "schema": "panachain/devnet/1",
        "running": False,
        "mainchain": "http://127.0.0.1:1",
        "sidechain": "http://127.0.0.1:2",
        "ipfs": "embedded",
        "proxies": [],
        "threshold": 2,
        "gate": False,
    }


def test_a_proxy_is_a_value_that_prints_itself() -> None:
    proxy = DevnetProxy(7, Address("0x" + "11" * 20), "http://127.0.0.1:3", running=True)
    status = DevnetStatus(True, "", "", "embedded", (proxy,), threshold=2)
    assert status.to_json()["proxies"] == [
        {"pid": 7, "address": proxy.address, "endpoint": "http://127.0.0.1:3", "running": True}
    ]


def test_names_of_the_package_load_on_first_use() -> None:
    assert REGISTRAR == "registrar"
    with pytest.raises(AttributeError, match="no attribute"):
        devnet.Nothing  # noqa: B018
