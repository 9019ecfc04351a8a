"""web3.py, connected: how programs talk to PanaChain's contracts.

`network.mainchain.web3()` and `network.sidechain.web3()` return one. What it asks goes the way that every request of
ours goes, so the sidechain's gate gets its signed tokens, TLS is checked against the network's authority, and answers
have a time limit. Programs that ask for it import it, and no command does: the import takes longer than a command runs
(ADR 11).

    w3 = network.mainchain.web3()
    w3.panachain.policies.functions.statusOf(policy_id).call()
    w3.panachain.policies.events.PolicyGranted().get_logs(from_block=w3.panachain.from_block)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast

from web3 import Web3
from web3.contract import Contract
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from panachain.chain.abi import contract
from panachain.chain.rpc import Rpc
from panachain.errors import ChainUnavailableError, ConfigurationError, PanaChainError
from panachain.ethereum import parse_address


class RpcProvider(JSONBaseProvider):
    """web3.py's way to a node, over our own connection.

    It raises what that raises: ChainUnavailableError where the node doesn't answer, NodeRefusedError where the gate
    refuses. What the node answers with an error, a revert for example, web3.py raises as its own.
    """

    def __init__(self, rpc: Rpc) -> None:
        """Take the connection; it stays the network's, which closes it."""
        super().__init__()
        self._rpc = rpc

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Ask one thing."""
        return cast(RPCResponse, self._rpc.exchange(self.encode_rpc_request(method, params), method))

    def make_batch_request(self, requests: list[tuple[RPCEndpoint, Any]]) -> list[RPCResponse] | RPCResponse:
        """Ask several things in one request."""
        body = self.encode_batch_rpc_request(requests)
        answers = self._rpc.exchange(body, f"a batch of {len(requests)} calls")
        if not isinstance(answers, list):
            # A node that takes no batches says so once.
            return cast(RPCResponse, answers)
        by_id = {str(answer.get("id")): answer for answer in answers if isinstance(answer, dict)}
        wanted = [str(request["id"]) for request in json.loads(body)]
        if by_id.keys() != set(wanted):
            raise ChainUnavailableError(f"the chain node at {self._rpc.url} left out answers of a batch")
        return [cast(RPCResponse, by_id[number]) for number in wanted]

    def is_connected(self, show_traceback: bool = False) -> bool:
        """Tell whether the node answers, by a question that the gate passes too."""
        try:
            answer: object = self.make_request(RPCEndpoint("eth_chainId"), [])
        except PanaChainError:
            if show_traceback:
                raise
            return False
        # A node may answer with anything.
        return isinstance(answer, dict) and "result" in answer


class Contracts:
    """PanaChain's contracts on one chain, bound to their addresses."""

    def __init__(self, w3: Web3, addresses: Mapping[str, str], from_block: int) -> None:
        """Take web3.py and the addresses by the contracts' names."""
        self._w3 = w3
        self.addresses = dict(addresses)
        self.from_block = from_block
        """The block of the deployment; no event of ours is older."""

    def bind(self, name: str) -> Contract:
        """Return a contract by its name in Solidity.

        Raises:
            ConfigurationError: the network file doesn't say where it is.
        """
        if name not in self.addresses:
            raise ConfigurationError(f"the network file names no contract {name} on this chain")
        found: Contract = self._w3.eth.contract(
            address=cast(Any, parse_address(self.addresses[name])), abi=cast(Any, contract(name).entries)
        )
        return found

    @cached_property
    def manager(self) -> Contract:
        """`AccessManager`: who is registrar, administrator and suspender."""
        return self.bind("AccessManager")


class MainchainContracts(Contracts):
    """The contracts of the mainchain; their names are those of `Mainchain`."""

    @cached_property
    def actors(self) -> Contract:
        """`ActorRegistry`."""
        return self.bind("ActorRegistry")

    @cached_property
    def ledger(self) -> Contract:
        """`RecordLedger`."""
        return self.bind("RecordLedger")

    @cached_property
    def policies(self) -> Contract:
        """`PolicyRegistry`."""
        return self.bind("PolicyRegistry")

    @cached_property
    def log(self) -> Contract:
        """`AccessLog`."""
        return self.bind("AccessLog")

    @cached_property
    def checkpoints(self) -> Contract:
        """`Checkpoints`."""
        return self.bind("Checkpoints")


class SidechainContracts(Contracts):
    """The contracts of the sidechain; their names are those of `Sidechain`."""

    @cached_property
    def identities(self) -> Contract:
        """`IdentityRegistry`."""
        return self.bind("IdentityRegistry")

    @cached_property
    def requests(self) -> Contract:
        """`AccessRequests`."""
        return self.bind("AccessRequests")

    @cached_property
    def groups(self) -> Contract:
        """`CareGroups`."""
        return self.bind("CareGroups")

    @cached_property
    def emergency(self) -> Contract:
        """`EmergencyAccess`."""
        return self.bind("EmergencyAccess")

    @cached_property
    def wardships(self) -> Contract:
        """`Wardships`."""
        return self.bind("Wardships")

    @cached_property
    def forwarder(self) -> Contract:
        """`Forwarder`."""
        return self.bind("Forwarder")


class MainchainWeb3(Web3):
    """web3.py on the mainchain, with `panachain` beside `eth`."""

    panachain: MainchainContracts

    def __init__(self, rpc: Rpc, addresses: Mapping[str, str], from_block: int = 0) -> None:
        """Take the node and the contracts' addresses; nothing is asked yet."""
        super().__init__(RpcProvider(rpc))
        self.panachain = MainchainContracts(self, addresses, from_block)


class SidechainWeb3(Web3):
    """web3.py on the sidechain, with `panachain` beside `eth`; the gate passes what docs/spec/gate.md lists."""

    panachain: SidechainContracts

    def __init__(self, rpc: Rpc, addresses: Mapping[str, str], from_block: int = 0) -> None:
        """Take the node and the contracts' addresses; nothing is asked yet."""
        super().__init__(RpcProvider(rpc))
        self.panachain = SidechainContracts(self, addresses, from_block)
