"""What the gate passes: what the SDK asks, written anew, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_account import Account as EthAccount

from panachain.errors import OutOfScopeError, UsageError
from panachain.service.gate.rules import Rules
from tests.unit.service.gate.world import CHAIN, CONTRACT, OTHER, call, transaction


class TestRules:
    rules = Rules(CHAIN, [CONTRACT])

    def check(self, content: Any) -> Any:
        return self.rules.check(content if isinstance(content, bytes) else json.dumps(content).encode())

    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("eth_chainId", []),
            ("eth_blockNumber", []),
            ("eth_getBlockByNumber", ["latest", True]),
            ("eth_getBlockByHash", ["0x00", False]),
            ("eth_getBlockReceipts", ["0x00"]),
            ("eth_getTransactionReceipt", ["0x00"]),
            ("eth_getTransactionCount", [OTHER, "pending"]),
            ("eth_getCode", [CONTRACT, "latest"]),
            ("eth_getProof", [CONTRACT, ["0x0"], "latest"]),
            ("eth_call", [{"to": CONTRACT, "data": "0x"}, "latest"]),
            ("eth_call", [{"to": CONTRACT.upper().replace("0X", "0x"), "data": "0x"}]),
            ("eth_estimateGas", [{"from": OTHER, "to": CONTRACT, "data": "0x"}]),
            ("eth_getLogs", [{"address": CONTRACT, "topics": [None, ["0x1"]], "fromBlock": "0x0", "toBlock": "0x1"}]),
            ("eth_getLogs", [{"address": [CONTRACT], "blockHash": "0x00"}]),
        ],
    )
    def test_what_the_sdk_uses_passes_unchanged(self, method: str, params: list[Any]) -> None:
        passage = self.check(call(method, *params))
        assert json.loads(passage.body) == call(method, *params)
        assert (passage.methods, passage.changes) == ((method,), False)

    @pytest.mark.parametrize(
        "method",
        [
            *("debug_traceTransaction", "debug_traceCall", "trace_block", "admin_addPeer", "anvil_setBalance"),
            *("evm_mine", "evm_revert", "hardhat_reset", "txpool_content", "personal_sign", "miner_start"),
            *("eth_accounts", "eth_sendTransaction", "eth_sign", "eth_signTypedData", "eth_getStorageAt"),
            *("eth_subscribe", "eth_newFilter", "eth_createAccessList", "eth_simulateV1", "eth_getTransactionByHash"),
            *("web3_clientVersion", "net_version", "rpc_modules", "ETH_CHAINID", "eth_chainId ", "", "eth_call\u0000"),
        ],
    )
    def test_other_methods_never_pass(self, method: str) -> None:
        with pytest.raises(OutOfScopeError, match="doesn't pass"):
            self.check(call(method))

    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("eth_call", []),
            ("eth_call", [{"to": OTHER}]),
            ("eth_call", [{"data": "0x6000"}]),
            ("eth_call", [{"to": None, "data": "0x6000"}]),
            ("eth_call", [{"to": CONTRACT}, "latest", {CONTRACT: {"code": "0x"}}]),
            ("eth_call", [{"to": CONTRACT, "TO": OTHER}]),
            ("eth_estimateGas", [{"data": "0x6000"}]),
            ("eth_estimateGas", [{"to": CONTRACT}, "latest", {}]),
            ("eth_getLogs", []),
            ("eth_getLogs", [{}]),
            ("eth_getLogs", [{"address": []}]),
            ("eth_getLogs", [{"address": [CONTRACT, OTHER]}]),
            ("eth_getLogs", [{"address": CONTRACT, "Address": OTHER}]),
            ("eth_chainId", [1]),
            ("eth_getBlockByNumber", ["latest", True, 1]),
        ],
    )
    def test_other_parameters_never_pass(self, method: str, params: list[Any]) -> None:
        with pytest.raises(OutOfScopeError):
            self.check(call(method, *params))

    @pytest.mark.parametrize(
        "body",
        [
            b'{"id":1,"method":"eth_chainId","METHOD":"debug_x"}',
            b'{"id":1,"method":"eth_chainId","method":"eth_chainId"}',
            b'{"id":1,"method":"eth_call","params":[{"to":"0x1","to":"0x2"}]}',
            b'{"id":1,"method":"eth_chainId","params":{}}',
            b'{"id":true,"method":"eth_chainId"}',
            b'{"id":null,"method":"eth_chainId"}',
            b'{"id":"' + b"x" * 65 + b'","method":"eth_chainId"}',
            b'{"id":1,"method":5}',
            b'{"id":1,"method":"eth_getCode","params":[1e999]}',
            b'[[{"id":1,"method":"eth_chainId"}]]',
            b"\xff\xfe",
        ],
    )
    def test_what_two_parsers_could_read_in_two_ways_is_no_request(self, body: bytes) -> None:
        with pytest.raises(UsageError):
            self.check(body)

    def test_what_is_sent_is_written_anew(self) -> None:
        passage = self.check(b' { "params" : [ ] , "method":"eth_ch\\u0061inId","id":1 } ')
        assert passage.body == b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'

    def test_a_transaction_to_a_contract_passes(self) -> None:
        passage = self.check(call("eth_sendRawTransaction", transaction()))
        assert passage.changes

    @pytest.mark.parametrize("change", [{"to": OTHER}, {"to": None}, {"chainId": 1}])
    def test_other_transactions_never_pass(self, change: dict[str, Any]) -> None:
        with pytest.raises(OutOfScopeError):
            self.check(call("eth_sendRawTransaction", transaction(**change)))

    def test_other_kinds_of_transactions_never_pass(self) -> None:
        legacy = {"nonce": 0, "gas": 21_000, "gasPrice": 0, "value": 0, "data": "0x", "to": CONTRACT, "chainId": CHAIN}
        access = legacy | {"type": 1, "accessList": []}
        for fields in (legacy, access):
            raw = "0x" + bytes(EthAccount.sign_transaction(fields, b"\x09" * 32).raw_transaction).hex()
            with pytest.raises(OutOfScopeError, match=r"EIP-1559"):
                self.check(call("eth_sendRawTransaction", raw))

    @pytest.mark.parametrize("raw", ["0x02", "0x02zz", "0x02c0", "0x02" + "ff" * 40, 5, "", "02"])
    def test_a_transaction_that_can_not_be_read_never_passes(self, raw: Any) -> None:
        with pytest.raises(OutOfScopeError):
            self.check(call("eth_sendRawTransaction", raw))

    def test_a_transaction_with_more_behind_it_never_passes(self) -> None:
        with pytest.raises(OutOfScopeError):
            self.check(call("eth_sendRawTransaction", transaction() + "00"))
