"""How a chain is described in a file: one section for each chain, read here and nowhere else.

Never holds a secret: it names the files that do, and they are read when a connection is made.
Follows docs/spec/network.md (sections `mainchain` and `sidechain`) and docs/spec/gate.md.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from panachain.chain.abi import address
from panachain.chain.access import NodeKey, read_header, read_key
from panachain.chain.rpc import Authorise, Rpc
from panachain.errors import ConfigurationError


@dataclass(frozen=True)
class ChainConfig:
    """One chain: where its node answers, how to pass, and where its contracts are."""

    url: str
    chain_id: int
    contracts: Mapping[str, str]
    """Addresses by name."""
    from_block: int = 0
    """The deployment's; nothing of ours is older. 0 where the description doesn't say."""
    node_key_file: Path | None = None
    """Hex key of this node's account, for a gate."""
    header_file: Path | None = None
    """A line `Name: value` that each request carries instead."""
    ca_file: Path | None = None
    """PEM file of the authority that signed the node's certificate; None takes the usual ones."""
    certificate_file: Path | None = None
    certificate_key_file: Path | None = None

    @classmethod
    def parse(cls, description: Any, folder: Path, *, what: str, url: str = "") -> Self:
        """Return what a section of a file describes.

        Args:
            description: the section as JSON has it.
            folder: where the file lies: its paths are relative to it.
            what: what messages call the section.
            url: replaces the section's, where a setting names another node.

        Raises:
            ConfigurationError: a field is missing or no such value, or the section names two ways to pass.
        """
        try:
            files = {
                name: folder / str(description[key]) if description.get(key) else None
                for name, key in (
                    ("node_key_file", "nodeKeyFile"),
                    ("header_file", "headerFile"),
                    ("ca_file", "caFile"),
                    ("certificate_file", "certificateFile"),
                    ("certificate_key_file", "certificateKeyFile"),
                )
            }
            config = cls(
                url=url or str(description["url"]),
                chain_id=int(description["chainId"]),
                contracts={str(name): address(value) for name, value in description["contracts"].items()},
                from_block=int(description.get("fromBlock", 0)),
                **files,
            )
        except KeyError as exc:
            raise ConfigurationError(f"{what} lacks the field {exc}") from exc
        except (TypeError, ValueError, AttributeError) as exc:
            raise ConfigurationError(f"{what} doesn't describe a chain: {exc}") from exc
        if config.node_key_file and config.header_file:
            raise ConfigurationError(f"{what} names both a nodeKeyFile and a headerFile; one is used")
        if config.certificate_file and not config.certificate_key_file:
            raise ConfigurationError(f"{what} names a certificateFile without its certificateKeyFile")
        return config

    def rpc(self, *, timeout: float = 10.0) -> Rpc:
        """Return a connection to the node; nothing is sent yet.

        Args:
            timeout: seconds that one answer may take.

        Raises:
            ConfigurationError: a TLS file can't be read.
            LockedError: the key file is missing, or others may read it.
        """
        return Rpc(self.url, timeout=timeout, authorise=self._authorise(), tls=self._tls())

    def describe(self) -> dict[str, Any]:
        """Return the section that says where node and contracts are; how to pass stands in no file of everybody's."""
        return {
            "url": self.url,
            "chainId": self.chain_id,
            "contracts": dict(self.contracts),
            "fromBlock": self.from_block,
        }

    def _authorise(self) -> Authorise | None:
        if self.node_key_file is not None:
            return NodeKey(read_key(self.node_key_file)).authoriser(self.url, self.chain_id)
        if self.header_file is not None:
            path = self.header_file
            # Read for each request: whoever renews the token writes the file anew.
            return lambda _: read_header(path)
        return None

    def _tls(self) -> ssl.SSLContext | None:
        if self.ca_file is None and self.certificate_file is None:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.certificate_file is not None:
                context.load_cert_chain(self.certificate_file, self.certificate_key_file)
        except OSError as exc:
            raise ConfigurationError(f"a TLS file of the chain at {self.url} can't be read") from exc
        return context
