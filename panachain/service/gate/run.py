"""Run a gate: read its configuration, serve until it is told to stop.

Holds no key of its own, and tells nothing of itself, not even by an error of the protocol.
Follows docs/spec/gate.md, section "Configuration".
"""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from panachain.chain.abi import address
from panachain.chain.access import GateDomain
from panachain.chain.config import ChainConfig
from panachain.chain.mainchain import Mainchain
from panachain.follow.opening import following
from panachain.model.actors import Address
from panachain.service.config import configuration
from panachain.service.gate.rules import MAX_BODY, MAX_CALLS, Rules
from panachain.service.gate.service import Admitted, AuditLog, Gate, Nonces, RegistryWatch
from panachain.service.http import listen, serve
from panachain.service.tls import TlsConfig, read_tls

SCHEMA: Final = "panachain/gate-config/1"
_REGISTRY_SECONDS: Final = 6.0
"""For how long the registry's answer counts, so that a suspended actor is out by then."""
_KEEP_ALIVE: Final = 75
"""Seconds that an idle connection is kept, longer than the SDK keeps its end."""
_GRACE: Final = 15
"""Seconds that requests under way get when the gate is told to stop."""


@dataclass(frozen=True)
class GateConfig:
    """A gate's configuration file, checked."""

    host: str
    port: int
    url: str
    """Under which nodes reach the gate; they sign it."""
    sidechain: ChainConfig
    """The sidechain itself: its own RPC, without the gate."""
    nodes: tuple[Address, ...]
    audit_log: Path
    mainchain: ChainConfig | None
    """Where the registry of public actors is asked; None admits the listed nodes only."""
    registry_seconds: float
    max_body: int
    max_calls: int
    tls: TlsConfig | None

    @classmethod
    def read(cls, path: Path) -> GateConfig:
        """Read a configuration file.

        Raises:
            ConfigurationError: it can't be read.
        """
        with configuration(path, "gate", schema=SCHEMA) as fields:
            main = fields.get("mainchain")
            return cls(
                host=str(fields["host"]),
                port=int(fields["port"]),
                url=str(fields["url"]),
                sidechain=ChainConfig.parse(
                    fields["sidechain"], path.parent, what=f"the section `sidechain` of {path}"
                ),
                nodes=tuple(Address(address(node)) for node in fields["nodes"]),
                audit_log=path.parent / fields["auditLog"],
                mainchain=None
                if main is None
                else ChainConfig.parse(main, path.parent, what=f"the section `mainchain` of {path}"),
                registry_seconds=float(fields.get("registrySeconds", _REGISTRY_SECONDS)),
                max_body=int(fields.get("maxBody", MAX_BODY)),
                max_calls=int(fields.get("maxCalls", MAX_CALLS)),
                tls=read_tls(fields.get("tls"), path.parent),
            )


def run_gate(config_path: Path) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the configuration can't be read.
        DiskError: the audit log can't be opened.
        UnavailableError: the address can't be listened on.
    """
    config = GateConfig.read(config_path)
    with closing(listen(config.host, config.port)) as listening, closing(AuditLog(config.audit_log)) as audit:
        # 1. Whose requests pass, each token once: a restart forgets none that may still count.
        admitted, nonces = Admitted(config.nodes), Nonces()
        for nonce in audit.recent_nonces():
            nonces.use(nonce)
        side = config.sidechain
        gate = Gate(GateDomain(config.url, side.chain_id), admitted, nonces)
        # 2. What passes, and the node that it passes to.
        rules = Rules(side.chain_id, tuple(side.contracts.values()), max_calls=config.max_calls)
        from panachain.service.gate.app import GateEndpoint, Node, create_app

        node = Node(side.url)
        app = create_app(GateEndpoint(gate, rules, audit, node, max_body=config.max_body), ends=node.close)
        # 3. The service, until it is told to stop, with the registry read beside it.
        with _watching(config, admitted):
            _serve(app, listening, config)


def _watching(config: GateConfig, admitted: Admitted) -> AbstractContextManager[object]:
    main, seconds = config.mainchain, config.registry_seconds
    if main is None:
        return nullcontext()
    mainchain = Mainchain.connect(main, timeout=seconds / 3, source=following(main, config.audit_log.parent))
    return RegistryWatch(mainchain.actors, admitted, seconds=seconds).watching()


def _serve(app: Any, listening: socket.socket, config: GateConfig) -> None:
    from panachain.service.connections import BoundedProtocol
    from panachain.service.gate.app import REFUSAL

    class SilentProtocol(BoundedProtocol):
        """Answers what isn't HTTP as it answers every stranger."""

        def send_400_response(self, msg: str) -> None:
            head = b"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            self.transport.write(head % len(REFUSAL) + b"connection: close\r\n\r\n" + REFUSAL)
            self.transport.close()

    serve(
        app,
        listening,
        tls=config.tls,
        grace=_GRACE,
        http=SilentProtocol,
        log_config=None,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
    )
