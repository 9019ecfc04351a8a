"""What the configuration files of proxy, relay and gate have in common, and what a file with a secret must be like.

A configuration file never holds a secret: it names the files that do.
Follows docs/spec/proxy.md, docs/spec/relay.md and docs/spec/gate.md, section "Configuration" of each.
"""

from __future__ import annotations

import json
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from panachain.errors import ConfigurationError
from panachain.private_files import read_trusted

_LONGEST: Final = 1 << 20
"""Bytes of a configuration file; what is longer is cut, and so is none."""


@contextmanager
def configuration(path: Path, service: str, *, schema: str = "") -> Iterator[dict[str, Any]]:
    """Yield the fields of a service's configuration file; whatever the code inside can't read of them is told.

    Args:
        path: the file.
        service: `proxy`, `relay` or `gate`, for messages.
        schema: what the file's field `schema` must say; empty where the file has no such field.

    Raises:
        ConfigurationError: the file can't be read, is of another schema, or a field is missing or of the wrong kind.
    """
    try:
        content = read_trusted(path, _LONGEST)
        # TOML has room for the comments that `init` writes; the fields are the same.
        fields: dict[str, Any] = tomllib.loads(content.decode()) if path.suffix == ".toml" else json.loads(content)
        if schema and fields["schema"] != schema:
            raise ConfigurationError(f"{path} is of schema {fields['schema']!r}, not {schema}")
        yield fields
    except PermissionError as exc:
        raise ConfigurationError(f"{path} isn't read: {exc.strerror}") from exc
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ConfigurationError(
            f"{path} can't be read as a {service}'s configuration",
            hint=f"name the file that `panachain {service} init` made, and look at its lines",
        ) from exc


def check_private(path: Path) -> None:
    """Check that only its owner may read a file.

    Raises:
        ConfigurationError: others may, or it can't be read.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as exc:
        raise ConfigurationError(f"{path} can't be read") from exc
    if mode & 0o077:
        raise ConfigurationError(f"{path} is open to others (mode {mode:o})", hint=f"chmod 600 {path}")
