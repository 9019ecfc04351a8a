"""One contract at one address: calldata, reads, events, transactions and typed data, each in one place.

The adapters in chain/contracts/ stand on it, one for each Solidity contract. It never decides what an answer means.
Follows the Ethereum JSON-RPC specification and EIP-712 (domain).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, Self

from panachain.chain.abi import contract
from panachain.chain.config import ChainConfig
from panachain.chain.evm import Receipt
from panachain.chain.failover import together
from panachain.chain.fees import MAX_FEE
from panachain.chain.logs import Event, EventSource, NodeEvents, Topic
from panachain.chain.nodes import Anchor, Nodes, pruned
from panachain.chain.rpc import Rpc, RpcAnswerError
from panachain.chain.signing import Account, Types, digest_of
from panachain.errors import ConfigurationError, IntegrityError
from panachain.model.block import Block

MANY: Final = 500
"""Values of one topic in one question."""
NOBODY: Final = "0x" + "00" * 20
"""How a contract writes that there is no account."""

Indexed = str | int | Sequence[str] | Sequence[int] | None
"""What an indexed field must be: an address, a number, one of some addresses or numbers, or anything."""


class Sends(Protocol):
    """Brings calls on chain in somebody's name: by the account's own transactions, or by those of whoever pays."""

    @property
    def address(self) -> str:
        """In whose name."""
        ...

    def send(self, to: str, data: str, *, what: str) -> Receipt:
        """Have a call made, and wait until it is mined."""
        ...


class BoundContract:
    """One contract of ours, at its address on one chain."""

    def __init__(
        self,
        rpc: Rpc,
        name: str,
        address: str,
        *,
        chain_id: int,
        from_block: int = 0,
        source: EventSource | None = None,
    ) -> None:
        """Take the node, the artifact's name and the address; nothing is asked yet.

        Args:
            rpc: the chain's node.
            name: of the artifact, and of the EIP-712 domain.
            address: where the contract is.
            chain_id: signed into typed data.
            from_block: the block of the deployment; no event is older.
            source: whence blocks and events come; None believes the node.
        """
        self.rpc = rpc
        self.source: EventSource = NodeEvents(rpc) if source is None else source
        self.name = name
        self.address = address
        self.chain_id = chain_id
        self.from_block = from_block
        self.abi = contract(name)

    def calldata(self, function: str, *args: Any) -> str:
        """Return the calldata of a call as hex.

        Raises:
            UsageError: an argument doesn't fit its type.
        """
        return self.abi.calldata(function, *args)

    def send(self, sender: Sends, function: str, *args: Any, what: str) -> Receipt:
        """Call a function in a transaction, and wait until it is mined.

        Args:
            sender: in whose name.
            function: its name in the ABI.
            args: in the order of the ABI.
            what: what messages call the transaction.

        Raises:
            UsageError: an argument doesn't fit its type.
            TransactionError: the contract reverts, or the transaction isn't mined in time.
        """
        return sender.send(self.address, self.calldata(function, *args), what=what)

    def read(self, function: str, *args: Any, at: str = "latest") -> Any:
        """Return the result of a call: one value, or a tuple of several.

        Args:
            function: its name in the ABI.
            args: in the order of the ABI.
            at: a block's number as hex, or a tag such as `latest`.

        Raises:
            IntegrityError: the node can't answer, or its answer doesn't fit the ABI.
            ConfigurationError: no contract of ours is at the address.
            ChainUnavailableError: the node doesn't keep the state of that block any more.
        """
        try:
            return self.abi.result(function, self.rpc.call("eth_call", self._question(function, args, at)))
        except RpcAnswerError as exc:
            if exc.is_pruned:
                raise pruned(self.rpc, at) from exc
            # A contract of others reverts where it doesn't know the function.
            self._check_ours(function)
            raise self._no_answer(function, at, exc) from exc
        except IntegrityError:
            self._check_ours(function)
            raise

    def _check_ours(self, function: str) -> None:
        """Check that what is at the address can be our contract: its code names the function that was called.

        Raises:
            ConfigurationError: there is no contract, or another one.
        """
        try:
            code = self.rpc.call("eth_getCode", [self.address, "latest"])
        except RpcAnswerError:
            return
        # Solidity's dispatcher compares with the selector as it stands.
        if isinstance(code, str) and self.abi.selector(function).lstrip(b"\0").hex() not in code:
            raise ConfigurationError(
                f"no contract of ours at {self.address} on chain {self.chain_id}: "
                + ("nothing is there" if code in ("0x", "") else f"what is there isn't {self.name}"),
                hint="compare the network file's contracts, chainId and url with those of the network's operator",
            )

    def events(
        self,
        *names: str,
        where: Sequence[Indexed] = (),
        from_block: int | None = None,
        to_block: int | None = None,
    ) -> Iterator[Event]:
        """Yield events in the order of the chain.

        Args:
            names: of the events; none means all of the ABI.
            where: for each indexed field, in the order of the ABI, what it must be.
            from_block: first block; None means the deployment's.
            to_block: last block; None means the newest.

        Raises:
            RpcAnswerError: the node refuses even a single block.
            IntegrityError: a log can't be read.
        """
        wanted = [self.abi.topic(name) for name in names]
        first: Topic = wanted[0] if len(wanted) == 1 else wanted or None
        topics = [first, *map(_topic, where)] if where or wanted else []
        yield from self.source.events(
            self.abi,
            self.address,
            topics=topics,
            from_block=self.from_block if from_block is None else from_block,
            to_block=to_block,
        )

    def domain(self) -> dict[str, Any]:
        """Return the EIP-712 domain of this contract: signatures for it count nowhere else."""
        return {
            "name": f"PanaChain {self.name}",
            "version": "1",
            "chainId": self.chain_id,
            "verifyingContract": self.address,
        }

    def sign(self, account: Account, types: Types, message: Mapping[str, Any], *, more: bytes | None = None) -> bytes:
        """Return an account's signature of typed data for this contract, 64 bytes r ‖ (parity, s) (ERC-2098).

        Args:
            account: who signs.
            types: the struct's.
            message: its values by name.
            more: as `Scalar.sign_recoverable` takes it.
        """
        return account.sign_typed(self.domain(), types, message, more=more)

    def digest(self, types: Types, message: Mapping[str, Any]) -> bytes:
        """Return what an account signs of typed data for this contract, 32 bytes."""
        return digest_of(self.domain(), types, message)

    def _question(self, function: str, args: Sequence[Any], at: str) -> list[Any]:
        return [{"to": self.address, "data": self.calldata(function, *args)}, at]

    def _no_answer(self, function: str, at: str, error: RpcAnswerError) -> IntegrityError:
        return IntegrityError(f"the node can't answer {self.name}.{function} at block {at}: {error}")


class Contracts:
    """The contracts of one chain, by name."""

    def __init__(
        self,
        rpc: Rpc,
        addresses: Mapping[str, str],
        chain_id: int,
        *,
        from_block: int = 0,
        nodes: Nodes | None = None,
        source: EventSource | None = None,
        max_fee: int = MAX_FEE,
        paid: bool = False,
    ) -> None:
        """Take a node and the contracts' addresses by name.

        Args:
            rpc: the chain's node, or several as one, for what decides nothing.
            addresses: by the artifacts' names.
            chain_id: signed into transactions and typed data.
            from_block: the block of the deployment; nothing of ours is older.
            nodes: the chain's nodes, of which none is believed; None takes `rpc` for the only one.
            source: whence blocks and events come; None believes the node.
            max_fee: wei per gas that a transaction may cost.
            paid: whether gas costs something, where that is no matter of course: on the sidechain.
        """
        self.rpc = rpc
        self.max_fee = max_fee
        self.paid = paid
        self.nodes = Nodes([rpc], chain_id=chain_id) if nodes is None else nodes
        self.source: EventSource = NodeEvents(rpc) if source is None else source
        self.addresses = dict(addresses)
        self.chain_id = chain_id
        self.from_block = from_block

    @classmethod
    def connect(
        cls,
        config: ChainConfig,
        *,
        timeout: float = 10.0,
        clock: Callable[[], float] = time.time,
        source: Callable[[Nodes], EventSource] | None = None,
    ) -> Self:
        """Connect to the nodes that a description names; nothing is sent yet.

        Args:
            config: the description.
            timeout: seconds that one answer may take.
            clock: the time, Unix seconds, by which a head from the future is known.
            source: returns whence blocks and events come, given the nodes; None believes the first that answers.

        Raises:
            ConfigurationError: a TLS file can't be read.
            LockedError: the key file is missing, or others may read it.
        """
        rpcs = config.rpcs(timeout=timeout)
        anchor = Anchor(config.from_block, config.from_block_hash)
        nodes = Nodes(
            rpcs,
            chain_id=config.chain_id,
            quorum=config.quorum,
            anchor=anchor,
            max_age=config.max_head_age,
            clock=clock,
        )
        return cls(
            together(rpcs),
            config.contracts,
            config.chain_id,
            from_block=config.from_block,
            nodes=nodes,
            source=None if source is None else source(nodes),
            max_fee=config.max_fee,
            paid=config.paid,
        )

    def close(self) -> None:
        """Close the connections to the nodes, and the copy of the chain."""
        self.rpc.close()
        self.source.close()

    def head_block(self) -> Block:
        """Return the newest block."""
        return self.source.head()

    def block(self, number: int) -> Block:
        """Return the head of one block."""
        return self.source.block(number)

    def bind(self, name: str) -> BoundContract:
        """Return one contract, for calls that no adapter has.

        Raises:
            ConfigurationError: the chain's description doesn't name it.
        """
        try:
            address = self.addresses[name]
        except KeyError:
            raise ConfigurationError(f"the chain's description names no contract {name}") from None
        return BoundContract(
            self.rpc, name, address, chain_id=self.chain_id, from_block=self.from_block, source=self.source
        )


class Adapter:
    """What the adapters of single contracts share: each stands on a bound contract."""

    def __init__(self, bound: BoundContract) -> None:
        """Take the contract."""
        self.bound = bound
        self.address = bound.address


def halves(signature: bytes) -> tuple[bytes, bytes]:
    """Return r and (parity, s) of a compact signature (ERC-2098)."""
    return signature[:32], signature[32:]


def _topic(value: Indexed) -> Topic:
    """Return what an indexed field must be as eth_getLogs takes it."""
    if value is None:
        return None
    return _word(value) if isinstance(value, str | int) else [_word(one) for one in value]


def _word(value: str | int) -> str:
    if isinstance(value, int):
        return f"0x{value:064x}"
    # An address fills its word from the left with zeros. In lower case, because some nodes compare texts.
    return "0x" + "00" * 12 + value[2:].lower()
