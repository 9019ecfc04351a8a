"""The lying node itself: what it passes on is the truth, and each lie changes what it says it changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.errors import ChainUnavailableError
from tests.hostile.lying_node import LyingNode, answering, hiding_logs, is_log_of, together, without

LOG = {"address": "0x" + "AB" * 20, "topics": ["0x" + "01" * 32, "0x" + "02" * 32], "blockNumber": "0x1"}
ANSWERS: dict[str, Any] = {"eth_chainId": "0x5", "eth_getLogs": [LOG], "eth_getBlockReceipts": [{"logs": [LOG]}]}


@pytest.fixture
def upstream() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            many = asked if isinstance(asked, list) else [asked]
            answers = [{"id": one["id"], "result": ANSWERS[one["method"]]} for one in many]
            content = json.dumps(answers if isinstance(asked, list) else answers[0]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_passes_on_the_truth_and_tells_it_beside_a_lie(upstream: str) -> None:
    with LyingNode(upstream) as node:
        rpc = Rpc(node.url)
        assert rpc.call("eth_chainId") == "0x5"

        node.lie = together(answering("eth_chainId", lambda _: "0x6"), without("eth_getLogs"))

        assert rpc.batch([("eth_chainId", []), ("eth_getBlockReceipts", ["0x1"])]) == ["0x6", [{"logs": [LOG]}]]
        with pytest.raises(RpcAnswerError):
            rpc.call("eth_getLogs", [{}])
        assert node.truth("eth_chainId") == "0x5"
        assert [method for method, _ in node.asked] == [
            *("eth_chainId", "eth_chainId", "eth_getBlockReceipts", "eth_getLogs"),
        ]


def test_hides_logs_wherever_they_are_told(upstream: str) -> None:
    with LyingNode(upstream, hiding_logs(is_log_of("0x" + "ab" * 20, None, "0x" + "02" * 32))) as node:
        rpc = Rpc(node.url)

        assert rpc.call("eth_getLogs", [{}]) == []
        assert rpc.call("eth_getBlockReceipts", ["0x1"]) == [{"logs": []}]
        node.lie = hiding_logs(is_log_of("0x" + "ab" * 20, "0x" + "02" * 32))
        assert rpc.call("eth_getLogs", [{}]) == [LOG]


def test_a_node_that_is_down_answers_nothing(upstream: str) -> None:
    with LyingNode(upstream) as node:
        node.down = True
        with pytest.raises(ChainUnavailableError):
            Rpc(node.url, sleep=lambda _: None).call("eth_chainId")
