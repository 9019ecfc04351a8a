"""web3.py over our own connection; and our own encoding compared with web3.py's, call by call, event by event."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from typing import Any, cast

import httpx
import pytest
from eth_utils.abi import abi_to_signature, function_signature_to_4byte_selector
from web3 import Web3
from web3.exceptions import ContractCustomError, Web3Exception

from panachain.chain import codec
from panachain.chain import rpc as rpc_module
from panachain.chain.abi import contract, revert_reason
from panachain.chain.access import GateDomain, NodeKey, decode_token
from panachain.chain.mainchain import Mainchain
from panachain.chain.rpc import Rpc
from panachain.chain.sidechain import Sidechain
from panachain.errors import ChainUnavailableError, ConfigurationError, NodeRefusedError
from panachain.ethereum import checksum_address, keccak
from panachain.wire.client import Client
from tests.unit.chain.abi_values import artifacts, type_of, value, values

URL, CHAIN_ID = "http://node", 31_337
ADDRESS = checksum_address(b"\xa1" * 20)
OWNER = checksum_address(b"\xb2" * 20)
ABIS = artifacts()
OFFLINE = Web3()
BOUND = {name: OFFLINE.eth.contract(address=cast(Any, ADDRESS), abi=cast(Any, abi)) for name, abi in ABIS.items()}


def for_each(kind: str) -> Callable[[Callable[..., None]], Any]:
    """Run a test for every entry of a kind, a contract at a time: a test of its own costs more than an entry does."""
    found = {name: [entry for entry in abi if entry["type"] == kind] for name, abi in ABIS.items()}

    def of(test: Callable[..., None]) -> Any:
        def run(self: object, name: str) -> None:
            for entry in found[name]:
                test(self, name, entry)

        return pytest.mark.parametrize("name", [name for name, entries in found.items() if entries])(run)

    return of


def normal(found: Any) -> Any:
    """Return a value as ours are: web3.py gives EIP-55 addresses, HexBytes, and dicts for structs."""
    if isinstance(found, str):
        return found.lower() if found.startswith("0x") and len(found) == 42 else found
    if isinstance(found, bytes):
        return bytes(found)
    if isinstance(found, Mapping):
        return tuple(map(normal, found.values()))
    return tuple(map(normal, found)) if isinstance(found, tuple | list) else found


class TestOurEncodingIsWeb3s:
    @for_each("function")
    def test_calls(self, name: str, entry: dict[str, Any]) -> None:
        draw = random.Random(f"{name}.{entry['name']}")
        for _ in range(5):
            arguments = values(entry["inputs"], draw)
            checksummed = [
                _checksummed(item, argument) for item, argument in zip(entry["inputs"], arguments, strict=True)
            ]
            ours = contract(name).calldata(entry["name"], *arguments)
            theirs = BOUND[name].encode_abi(abi_to_signature(cast(Any, entry)), args=checksummed)
            assert ours == theirs
            _, read = BOUND[name].decode_function_input(cast(Any, ours))
            assert tuple(normal(argument) for argument in read.values()) == tuple(map(normal, arguments))

    @for_each("function")
    def test_results(self, name: str, entry: dict[str, Any]) -> None:
        draw = random.Random(f"{name}.{entry['name']}")
        types = [type_of(item) for item in entry["outputs"]]
        for _ in range(5):
            given = values(entry["outputs"], draw)
            data = "0x" + OFFLINE.codec.encode(types, given).hex()
            ours = contract(name).result(entry["name"], data)
            theirs = OFFLINE.codec.decode(types, bytes.fromhex(data[2:]))
            assert normal(ours) == normal(theirs[0] if len(theirs) == 1 else theirs)

    @for_each("event")
    def test_events(self, name: str, entry: dict[str, Any]) -> None:
        draw = random.Random(f"{name}.{entry['name']}")
        for _ in range(5):
            given = {item["name"]: value(item, draw) for item in entry["inputs"]}
            rest = [item for item in entry["inputs"] if not item["indexed"]]
            signature = f"{entry['name']}({','.join(map(type_of, entry['inputs']))})"
            indexed = [item for item in entry["inputs"] if item["indexed"]]
            log: dict[str, Any] = {
                "address": ADDRESS,
                "topics": [
                    "0x" + keccak(signature).hex(),
                    *("0x" + codec.encode([type_of(item)], [given[item["name"]]]).hex() for item in indexed),
                ],
                "data": "0x" + codec.encode(list(map(type_of, rest)), [given[item["name"]] for item in rest]).hex(),
                "blockNumber": 1,
                "blockHash": b"\0" * 32,
                "transactionHash": b"\0" * 32,
                "transactionIndex": 0,
                "logIndex": 0,
            }
            theirs = getattr(BOUND[name].events, entry["name"])().process_log(
                cast(Any, {**log, "topics": [bytes.fromhex(topic[2:]) for topic in log["topics"]]})
            )
            ours = contract(name).event(log)
            assert ours is not None
            assert ours[0] == theirs["event"] == entry["name"]
            assert {key: normal(found) for key, found in ours[1].items()} == {
                key: normal(found) for key, found in theirs["args"].items()
            }
            assert contract(name).topic(entry["name"]) == log["topics"][0]

    @for_each("error")
    def test_errors(self, name: str, entry: dict[str, Any]) -> None:
        draw = random.Random(f"{name}.{entry['name']}")
        types = [type_of(item) for item in entry["inputs"]]
        selector = function_signature_to_4byte_selector(abi_to_signature(cast(Any, entry)))
        for _ in range(5):
            given = values(entry["inputs"], draw)
            data = selector + OFFLINE.codec.encode(types, given)
            shown = ", ".join(
                f"{item['name']}={_shown(found)}"
                for item, found in zip(entry["inputs"], OFFLINE.codec.decode(types, data[4:]), strict=True)
            )
            assert revert_reason(data) == f"{entry['name']}({shown})"


def _checksummed(item: dict[str, Any], given: Any) -> Any:
    """Return an argument as web3.py takes it: with EIP-55 addresses, and arrays as lists."""
    kind: str = item["type"]
    if kind.endswith("[]"):
        return [_checksummed({**item, "type": kind[:-2]}, one) for one in given]
    if kind == "tuple":
        return tuple(_checksummed(part, one) for part, one in zip(item["components"], given, strict=True))
    return checksum_address(bytes.fromhex(given[2:])) if kind == "address" else given


def _shown(found: Any) -> str:
    return "0x" + found.hex() if isinstance(found, bytes) else str(normal(found))


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Rpc]:
    """Return a connection whose node is a function from method and parameters to a result."""
    monkeypatch.setattr(rpc_module, "_PAUSE", 0.001)

    def make(answer: Callable[[httpx.Request], Any], **options: Any) -> Rpc:
        client = Rpc(URL, **options)

        def respond(request: httpx.Request) -> httpx.Response:
            found = answer(request)
            return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

        client._client = Client(transport=httpx.MockTransport(respond))
        return client

    return make


def answering(**results: Any) -> Callable[[httpx.Request], Any]:
    """Return a node that has a result for each method; a batch comes in the wrong order."""

    def one(request: dict[str, Any]) -> dict[str, Any]:
        found = {"eth_chainId": hex(CHAIN_ID), **results}[request["method"]]
        return {"jsonrpc": "2.0", "id": request["id"], **(found if isinstance(found, dict) else {"result": found})}

    def answer(request: httpx.Request) -> Any:
        asked = json.loads(request.content)
        return [one(request) for request in reversed(asked)] if isinstance(asked, list) else one(asked)

    return answer


ADDRESSES = {"PolicyRegistry": ADDRESS.lower(), "ActorRegistry": ADDRESS, "AccessManager": ADDRESS}
STATUS = "0x" + (2).to_bytes(32, "big").hex()


class TestConnected:
    def test_reads_a_contract(self, node: Callable[..., Rpc]) -> None:
        asked: list[dict[str, Any]] = []

        def answer(request: httpx.Request) -> Any:
            asked.append(json.loads(request.content))
            return answering(eth_call=STATUS)(request)

        w3 = Mainchain(node(answer), ADDRESSES, CHAIN_ID, from_block=7).web3()

        assert w3.panachain.policies.functions.statusOf(OWNER).call() == 2
        calls = [request["params"][0]["data"] for request in asked if request["method"] == "eth_call"]
        assert calls == [contract("PolicyRegistry").calldata("statusOf", OWNER)]
        assert w3.panachain.from_block == 7
        assert w3.panachain.policies.address == ADDRESS

    def test_reads_events(self, node: Callable[..., Rpc]) -> None:
        log = {
            "address": ADDRESS,
            "topics": [contract("PolicyRegistry").topic("PolicyRevoked"), "0x" + "00" * 12 + OWNER[2:].lower()],
            "data": "0x",
            "blockNumber": "0x1",
            "blockHash": "0x" + "0b" * 32,
            "transactionHash": "0x" + "0c" * 32,
            "transactionIndex": "0x0",
            "logIndex": "0x0",
            "removed": False,
        }
        w3 = Mainchain(node(answering(eth_getLogs=[log])), ADDRESSES, CHAIN_ID).web3()
        (event,) = w3.panachain.policies.events.PolicyRevoked().get_logs(from_block=0)
        assert event["args"]["policyId"] == OWNER

    def test_raises_a_revert_as_web3_does(self, node: Callable[..., Rpc]) -> None:
        data = "0x" + (keccak("PolicyAlreadyRevoked(address)")[:4] + codec.encode(["address"], [OWNER])).hex()
        error = {"error": {"code": 3, "message": "execution reverted", "data": data}}
        w3 = Mainchain(node(answering(eth_call=error)), ADDRESSES, CHAIN_ID).web3()
        with pytest.raises(ContractCustomError) as raised:
            w3.panachain.policies.functions.statusOf(OWNER).call()
        assert raised.value.data == data

    def test_asks_in_batches(self, node: Callable[..., Rpc]) -> None:
        w3 = Mainchain(node(answering(eth_call=STATUS, eth_blockNumber="0x7")), ADDRESSES, CHAIN_ID).web3()
        with w3.batch_requests() as batch:
            batch.add(w3.panachain.policies.functions.statusOf(OWNER))
            batch.add(w3.eth.get_block_number())
            assert batch.execute() == [2, 7]

    def test_a_node_that_takes_no_batches_says_so_in_its_own_words(self, node: Callable[..., Rpc]) -> None:
        error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no batches here"}}
        w3 = Mainchain(node(lambda _: error), ADDRESSES, CHAIN_ID).web3()
        with w3.batch_requests() as batch:
            batch.add(w3.eth.get_block_number())
            with pytest.raises(Web3Exception, match="no batches here"):
                batch.execute()

    def test_a_batch_with_answers_left_out_is_a_typed_error(self, node: Callable[..., Rpc]) -> None:
        w3 = Mainchain(node(lambda _: [{"id": 0, "result": "0x1"}, 7]), ADDRESSES, CHAIN_ID).web3()
        with w3.batch_requests() as batch:
            batch.add(w3.eth.get_block_number())
            batch.add(w3.eth.get_block_number())
            with pytest.raises(ChainUnavailableError, match="left out"):
                batch.execute()

    @pytest.mark.parametrize("nonsense", [5, None, ["result"], "result"])
    def test_a_node_that_answers_nonsense_is_not_connected(
        self, node: Callable[..., Rpc], monkeypatch: pytest.MonkeyPatch, nonsense: object
    ) -> None:
        rpc = node(answering(eth_chainId="0x7a69"))
        monkeypatch.setattr(rpc, "exchange", lambda *_: nonsense)
        assert Mainchain(rpc, ADDRESSES, CHAIN_ID).web3().is_connected() is False

    def test_says_whether_it_is_connected(self, node: Callable[..., Rpc]) -> None:
        assert Mainchain(node(answering(eth_chainId="0x7a69")), ADDRESSES, CHAIN_ID).web3().is_connected()
        gone = Mainchain(node(lambda _: httpx.Response(503)), ADDRESSES, CHAIN_ID).web3()
        assert gone.is_connected() is False
        with pytest.raises(ChainUnavailableError):
            gone.is_connected(show_traceback=True)

    def test_names_a_contract_that_the_network_does_not_have(self, node: Callable[..., Rpc]) -> None:
        w3 = Mainchain(node(answering()), ADDRESSES, CHAIN_ID).web3()
        with pytest.raises(ConfigurationError, match="no contract Checkpoints"):
            _ = w3.panachain.checkpoints

    def test_binds_every_contract(self, node: Callable[..., Rpc]) -> None:
        everywhere = dict.fromkeys(ABIS, ADDRESS)
        main = Mainchain(node(answering()), everywhere, CHAIN_ID).web3().panachain
        side = Sidechain(node(answering()), everywhere, CHAIN_ID).web3().panachain
        bound = [main.manager, main.actors, main.ledger, main.policies, main.log, main.checkpoints]
        bound += [side.identities, side.requests, side.groups, side.emergency, side.wardships, side.forwarder]
        assert sorted(json.dumps(one.abi) for one in bound) == sorted(json.dumps(abi) for abi in ABIS.values())


class TestGate:
    def test_each_request_brings_a_token_of_its_own(self, node: Callable[..., Rpc]) -> None:
        key, domain, seen = NodeKey(b"\x05" * 32), GateDomain(URL, CHAIN_ID), []

        def gate(request: httpx.Request) -> Any:
            token = decode_token(request.headers["Authorization"].removeprefix("PanaChain "))
            assert token is not None
            assert domain.signer(token) == key.address
            assert token.body == hashlib.sha256(request.content).digest()
            seen.append(token.nonce)
            return answering(eth_call=STATUS, eth_blockNumber="0x1")(request)

        rpc = node(gate, authorise=key.authoriser(URL, CHAIN_ID))
        w3 = Sidechain(rpc, {"IdentityRegistry": ADDRESS}, CHAIN_ID).web3()
        assert w3.eth.block_number == 1
        assert w3.panachain.identities.functions.pairingOf(OWNER, ADDRESS).call().hex() == STATUS[2:]
        assert len(set(seen)) == len(seen) >= 2

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refusal_is_typed(self, node: Callable[..., Rpc], status: int) -> None:
        w3 = Sidechain(node(lambda _: httpx.Response(status, json={})), {}, CHAIN_ID).web3()
        with pytest.raises(NodeRefusedError):
            _ = w3.eth.block_number
