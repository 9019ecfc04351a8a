"""Serve one application until SIGTERM or SIGINT, then let what is under way end.

Never says in an answer what serves it. Follows docs/spec/gate.md and docs/spec/relay.md.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, NoReturn

from panachain.service.tls import TlsConfig


def serve(app: Any, *, host: str, port: int, tls: TlsConfig | None, grace: int, **options: Any) -> None:
    """Serve until the process is told to stop; code behind the call runs in any case.

    Args:
        app: an ASGI application.
        host: address to listen on.
        port: port to listen on.
        tls: files for TLS; None for none.
        grace: seconds that requests under way get.
        options: further ones of uvicorn.

    Raises:
        SystemExit: SIGTERM came, with code 0.
    """
    import uvicorn

    # uvicorn sends the signal that stopped it to the process once more: nobody else would take it.
    signal.signal(signal.SIGTERM, _end)
    uvicorn.run(
        app,
        host=host,
        port=port,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=grace,
        **({} if tls is None else tls.settings()),
        **options,
    )


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)
