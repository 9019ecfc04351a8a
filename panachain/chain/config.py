"""How a chain is described in a file: one section for each chain, with one node or several, read here and nowhere else.

Never holds a secret: it names the files that do, and they are read when a connection is made.
Follows docs/spec/network.md (sections `mainchain` and `sidechain`) and docs/spec/gate.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from panachain.chain.abi import address
from panachain.chain.access import NodeKey, read_header, read_key
from panachain.chain.failover import together
from panachain.chain.fees import GWEI, MAX_FEE, read_max_fee
from panachain.chain.rpc import Authorise, Rpc
from panachain.errors import ConfigurationError
from panachain.model.sizes import HASH_SIZE

if TYPE_CHECKING:
    import ssl

_FILES: Final = (
    ("node_key_file", "nodeKeyFile"),
    ("header_file", "headerFile"),
    ("ca_file", "caFile"),
    ("certificate_file", "certificateFile"),
    ("certificate_key_file", "certificateKeyFile"),
)
"""Fields of a node that name files, here and in JSON."""


@dataclass(frozen=True)
class NodeConfig:
    """One node: where it answers, and how to pass."""

    url: str
    node_key_file: Path | None = None
    """Hex key of this machine's account, for a gate."""
    header_file: Path | None = None
    """A line `Name: value` that each request carries instead."""
    ca_file: Path | None = None
    """PEM file of the authority that signed the node's certificate; None takes the usual ones."""
    certificate_file: Path | None = None
    certificate_key_file: Path | None = None

    def rpc(self, chain_id: int, *, timeout: float) -> Rpc:
        """Return a connection to the node; nothing is sent yet."""
        return Rpc(self.url, timeout=timeout, authorise=self._authorise(chain_id), tls=self._tls())

    def _authorise(self, chain_id: int) -> Authorise | None:
        if self.node_key_file is not None:
            return NodeKey(read_key(self.node_key_file)).authoriser(self.url, chain_id)
        if self.header_file is not None:
            path = self.header_file
            # Read for each request: whoever renews the token writes the file anew.
            return lambda _: read_header(path)
        return None

    def _tls(self) -> ssl.SSLContext | None:
        if self.ca_file is None and self.certificate_file is None:
            return None
        import ssl

        from panachain.trust import keeping_keys

        try:
            context = keeping_keys(ssl.create_default_context(cafile=self.ca_file))
            if self.certificate_file is not None:
                context.load_cert_chain(self.certificate_file, self.certificate_key_file)
        except OSError as exc:
            raise ConfigurationError(f"a TLS file of the chain at {self.url} can't be read") from exc
        return context


@dataclass(frozen=True)
class ChainConfig:
    """One chain: where its nodes answer, and where its contracts are."""

    nodes: tuple[NodeConfig, ...]
    """At least one."""
    chain_id: int
    contracts: Mapping[str, str]
    """Addresses by name."""
    from_block: int = 0
    """The deployment's; nothing of ours is older. 0 where the description doesn't say."""
    from_block_hash: str = ""
    """That block's hash, lower case hex after `0x`; empty where the description doesn't say."""
    quorum: int | None = None
    """How many nodes must agree on a head; None takes more than half."""
    max_head_age: int = 0
    """Seconds that a head may be old where freshness decides; 0 where blocks are made only when something happens."""
    paid: bool = False
    """Whether gas costs something on the sidechain: operators pay, and persons sign."""
    max_fee: int = MAX_FEE
    """Wei per gas that a transaction may cost; a file gives it in gwei."""
    copy: str = field(default="", repr=False)
    """URL of the PostgreSQL database that holds the chain's copy; empty keeps it in a file."""

    @property
    def url(self) -> str:
        """The first node's URL."""
        return self.nodes[0].url

    @classmethod
    def at(cls, url: str, chain_id: int, contracts: Mapping[str, str], from_block: int = 0) -> Self:
        """Return the description of a chain with one node that anybody may ask."""
        return cls((NodeConfig(url),), chain_id, contracts, from_block)

    @classmethod
    def parse(cls, description: Any, folder: Path, *, what: str, urls: str = "", quorum: int | None = None) -> Self:
        """Return what a section of a file describes.

        Args:
            description: the section as JSON has it.
            folder: where the file lies: its paths are relative to it.
            what: what messages call the section.
            urls: replace the section's, with commas between them, where a setting names other nodes.
            quorum: replaces the section's.

        Raises:
            ConfigurationError: a field is missing or no such value, or the section names two ways to pass.
        """
        try:
            named = [one.strip() for one in urls.split(",")] if urls else description["url"]
            nodes = _nodes(named, description, folder, what)
            told = description.get("quorum") if quorum is None else quorum
            config = cls(
                nodes=nodes,
                chain_id=int(description["chainId"]),
                contracts={str(name): address(value) for name, value in description["contracts"].items()},
                from_block=int(description.get("fromBlock", 0)),
                from_block_hash=_block_hash(description.get("fromBlockHash") or ""),
                quorum=None if told is None else int(told),
                max_head_age=int(description.get("maxHeadAge", 0)),
                max_fee=read_max_fee(description["maxFee"]) if "maxFee" in description else MAX_FEE,
                paid=description.get("paid") is True,
                copy=str(description.get("copy") or ""),
            )
        except KeyError as exc:
            raise ConfigurationError(f"{what} lacks the field {exc}") from exc
        except (TypeError, ValueError, AttributeError, OverflowError) as exc:
            raise ConfigurationError(f"{what} doesn't describe a chain: {exc}") from exc
        if not 0 <= config.from_block < 1 << 63:
            raise ConfigurationError(f"{what}: fromBlock is {config.from_block}, which is no block's number")
        if config.max_head_age < 0:
            raise ConfigurationError(f"{what}: maxHeadAge is {config.max_head_age}; it is seconds, from 0 on")
        if config.quorum is not None and not 1 <= config.quorum <= len(nodes):
            raise ConfigurationError(f"{what}: {config.quorum} of {len(nodes)} nodes can't agree")
        return config

    def rpcs(self, *, timeout: float = 10.0) -> list[Rpc]:
        """Return a connection to each node; nothing is sent yet.

        Args:
            timeout: seconds that one answer may take.

        Raises:
            ConfigurationError: a TLS file can't be read.
            LockedError: the key file is missing, or others may read it.
        """
        return [one.rpc(self.chain_id, timeout=timeout) for one in self.nodes]

    def rpc(self, *, timeout: float = 10.0) -> Rpc:
        """Return one connection for what decides nothing: it asks the next node where one doesn't answer.

        Raises:
            ConfigurationError: a TLS file can't be read.
            LockedError: the key file is missing, or others may read it.
        """
        return together(self.rpcs(timeout=timeout))

    def describe(self) -> dict[str, Any]:
        """Return the section that says where nodes and contracts are; how to pass stands in no file of everybody's."""
        urls = [one.url for one in self.nodes]
        told: dict[str, Any] = {
            "url": urls if len(urls) > 1 else urls[0],
            "chainId": self.chain_id,
            "contracts": dict(self.contracts),
            "fromBlock": self.from_block,
        }
        if self.from_block_hash:
            told["fromBlockHash"] = self.from_block_hash
        if self.quorum is not None:
            told["quorum"] = self.quorum
        if self.max_head_age:
            told["maxHeadAge"] = self.max_head_age
        if self.paid:
            told["paid"] = True
        if self.max_fee != MAX_FEE:
            told["maxFee"] = self.max_fee / GWEI
        return told


def _nodes(named: Any, section: Mapping[str, Any], folder: Path, what: str) -> tuple[NodeConfig, ...]:
    entries = named if isinstance(named, list) else [named]
    if not entries:
        raise ValueError("it names no node")
    found = []
    for entry in entries:
        own = entry if isinstance(entry, dict) else {"url": entry}
        # Entries of a list have all that the section has, but for what would tell one operator another's secret.
        common = {key: section.get(key) for _, key in _FILES if len(entries) == 1 or key != "headerFile"}
        # Either way to pass, given for one node, takes the place of the section's.
        if own.get("nodeKeyFile") or own.get("headerFile"):
            common["nodeKeyFile"] = common["headerFile"] = None
        fields = common | own
        config = NodeConfig(
            str(fields["url"]),
            **{name: folder / str(fields[key]) if fields.get(key) else None for name, key in _FILES},
        )
        if config.node_key_file and config.header_file:
            raise ConfigurationError(f"{what} names both a nodeKeyFile and a headerFile; one is used")
        if config.certificate_file and not config.certificate_key_file:
            raise ConfigurationError(f"{what} names a certificateFile without its certificateKeyFile")
        found.append(config)
    if section.get("headerFile") and len(entries) > 1:
        raise ConfigurationError(f"{what} names one headerFile for several nodes: give each of them its own")
    if len({one.url.rstrip("/") for one in found}) < len(found):
        raise ConfigurationError(f"{what} names a node twice: it would have two votes")
    return tuple(found)


def _block_hash(text: str) -> str:
    found = bytes.fromhex(text.removeprefix("0x"))
    if found and len(found) != HASH_SIZE:
        raise ValueError("a block's hash has 32 bytes")
    # As headers have it: a hash that is only written otherwise makes no liar of a node.
    return "0x" + found.hex() if found else ""
