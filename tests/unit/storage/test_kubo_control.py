"""Control calls go by ipfshttpclient over our transport, and its failures are those of the house."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from panachain.errors import ConfigurationError, IntegrityError, StoreUnavailableError
from panachain.storage.kubo_control import KuboControl, NodeFacts, address
from panachain.storage.kubo_rpc import KuboRpc, Refused
from tests.faults import kubo_twin
from tests.faults.kubo_twin import KuboTwin

LIMIT = 1 << 20


@pytest.fixture
def twin() -> Iterator[KuboTwin]:
    with kubo_twin.running(KuboTwin()) as twin:
        yield twin


@pytest.fixture
def control(twin: KuboTwin) -> KuboControl:
    base, socket_path = address(twin.api)
    rpc = KuboRpc(base, name="twin", socket_path=socket_path, timeout=20, tries=2, pause=0.01)
    return KuboControl(twin.api, rpc, pin_timeout=1)


def answering(twin: KuboTwin, monkeypatch: pytest.MonkeyPatch, call: str, *values: Any) -> None:
    monkeypatch.setattr(twin, f"on_{call}", lambda *_: kubo_twin.lines(*values), raising=False)


def test_facts_are_version_identity_and_peers(twin: KuboTwin, control: KuboControl) -> None:
    twin.peers = 200
    with warnings.catch_warnings():
        # ipfshttpclient warns of every node of these years; whoever asks for facts isn't bothered with it.
        warnings.simplefilter("error")
        assert control.facts() == NodeFacts("0.43.1", "12D3KooW", 200)


def test_a_node_that_is_offline_has_no_peers(twin: KuboTwin, control: KuboControl) -> None:
    twin.peers = None
    assert control.facts().peers == 0


def test_pins_are_listed_in_both_kinds(twin: KuboTwin, control: KuboControl) -> None:
    assert list(control.pins(limit=LIMIT)) == list(twin.foreign_pins)
    assert twin.requests == ["pin/ls", "pin/ls"]


def test_a_list_that_is_longer_than_its_limit_is_cut_off(twin: KuboTwin, control: KuboControl) -> None:
    twin.foreign_pins = {f"pin{number}" for number in range(1000)}
    with pytest.raises(IntegrityError, match="more than 1000 bytes"):
        list(control.pins(limit=1000))


def test_refusals_keep_status_and_message(twin: KuboTwin, control: KuboControl) -> None:
    twin.spoil(kubo_twin.answers(500))
    with pytest.raises(Refused, match="something broke") as caught:
        control.unpin("bafk")
    assert caught.value.status == 500
    twin.spoil(kubo_twin.answers(302, b"elsewhere"))
    with pytest.raises(Refused, match="elsewhere") as caught:
        control.version()
    assert caught.value.status == 302


@pytest.mark.parametrize("values", [[], [{}], [[]], [5], [{"Version": ""}], [{"Version": 7}], [{"Version": "1"}] * 2])
def test_an_answer_of_another_shape_is_not_understood(
    twin: KuboTwin, control: KuboControl, monkeypatch: pytest.MonkeyPatch, values: list[object]
) -> None:
    answering(twin, monkeypatch, "version", *values)
    with pytest.raises(IntegrityError):
        control.version()


@pytest.mark.parametrize("body", [b"[" * 5000, b"{\n" * 5000, b'{"Version": "1"', b"\xff\n", b'{"a":' * 5000])
def test_what_is_no_json_never_reaches_ipfshttpclient(twin: KuboTwin, control: KuboControl, body: bytes) -> None:
    twin.spoil(kubo_twin.answers(200, body))
    with pytest.raises(IntegrityError, match="no JSON object"):
        control.version()


def test_a_late_failure_is_a_refusal(twin: KuboTwin, control: KuboControl) -> None:
    twin.spoil(kubo_twin.answers(200, b'{"Message": "late", "Type": "error"}'))
    with pytest.raises(Refused, match="late"):
        control.totals()
    twin.spoil(kubo_twin.fails_behind_the_body)
    with pytest.raises(Refused, match="the disk is broken"):
        control.totals()


def test_broken_connections_are_tried_again_and_silence_is_not(twin: KuboTwin) -> None:
    base, _ = address(twin.api)
    rpc = KuboRpc(base, name="twin", timeout=0.05, tries=3, pause=0.01)
    control = KuboControl(twin.api, rpc, pin_timeout=0.1)
    twin.spoil(kubo_twin.closes, times=2)
    assert control.version() == "0.43.1"
    twin.requests.clear()
    twin.spoil(kubo_twin.hangs)
    with pytest.raises(StoreUnavailableError, match=r"within 0\.05 s"):
        control.version()
    assert twin.requests == ["version"]


@pytest.mark.parametrize(
    ("api", "expected"),
    [
        ("/ip4/127.0.0.1/tcp/5001", ("http://127.0.0.1:5001/api/v0/", "")),
        ("/ip6/::1/tcp/5001", ("http://[::1]:5001/api/v0/", "")),
        ("/dns/node.example/tcp/443/https", ("https://node.example:443/api/v0/", "")),
        ("/unix/run/kubo.sock", ("http://%2Frun%2Fkubo.sock/api/v0/", "/run/kubo.sock")),
    ],
)
def test_addresses_are_multiaddresses(api: str, expected: tuple[str, str]) -> None:
    assert address(api) == expected


def test_what_is_no_multiaddress_is_a_setting_gone_wrong() -> None:
    with pytest.raises(ConfigurationError, match="no multiaddress"):
        address("http://127.0.0.1:5001")
