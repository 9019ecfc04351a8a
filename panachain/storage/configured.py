"""The store that the settings and the network file describe, opened.

Never asks a chain, and never guesses: a description that contradicts itself is refused.
Follows docs/spec/network.md, section "Stores".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from panachain.config import Config, read_network
from panachain.errors import ConfigurationError
from panachain.storage.blocks import BlobStore
from panachain.storage.guards import Guard

if TYPE_CHECKING:
    # For its type only: see below.
    from panachain.storage.pinning import PinningService


def open_store(config: Config, description: dict[str, Any], *, probe: bool = True) -> BlobStore:
    """Open the store that a network file's `ipfs` describes, or that the settings name instead.

    Args:
        config: the settings; `ipfs` may name another kind than the network file.
        description: the network file's `ipfs`.
        probe: ask a single Kubo node whether it is there. Of several, some may be down.

    Raises:
        ConfigurationError: the description contradicts itself.
        StoreUnavailableError: a single store can't be opened.
    """
    kind = description.get("kind", "embedded") if config.ipfs == "auto" else config.ipfs
    if kind != description.get("kind"):
        # The settings name another kind: what the file says of its own doesn't count.
        description = {}
    if kind == "kubo":
        apis = _texts(description, "apis") or [description.get("api", config.ipfs_api)]
        # Imported here: only those who use Kubo pay for its client.
        from panachain.storage.kubo import KuboStore

        nodes = [
            KuboStore(api, probe=probe and len(apis) == 1, guard=_guard(config, f"kubo:{api}", api)) for api in apis
        ]
        return _replicated(nodes, description)
    if kind == "stores":
        urls = _texts(description, "stores")
        if not urls:
            raise ConfigurationError("the network file's ipfs.stores must name at least one store")
        return _replicated([open_named(config, url, probe=probe and len(urls) == 1) for url in urls], description)
    if kind != "embedded":
        raise ConfigurationError(f"the network file names a store of kind {str(kind)[:40]!r}: embedded, kubo or stores")
    from panachain.storage.embedded import EmbeddedStore

    folders = [config.network_file.parent / folder for folder in _texts(description, "folders")]
    return _replicated([EmbeddedStore(folder) for folder in folders or [config.home / "blocks"]], description)


def open_named(config: Config, text: str, *, probe: bool = True) -> BlobStore:
    """Open one store by its URL.

    Args:
        config: the settings; relative folders are beside the network file.
        text: `configured` for the store of the settings, `embedded:FOLDER`, `kubo:MULTIADDRESS`, or
            `s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME]`.
        probe: ask a Kubo node whether it is there.

    Raises:
        ConfigurationError: it is none of these.
        StoreUnavailableError: it can't be opened.
    """
    scheme, _, rest = text.partition(":")
    if text == "configured":
        return open_configured(config, probe=probe)
    if scheme == "embedded" and rest:
        from panachain.storage.embedded import EmbeddedStore

        return EmbeddedStore(config.network_file.parent / rest)
    if scheme == "kubo" and rest:
        from panachain.storage.kubo import KuboStore

        return KuboStore(rest, probe=probe, guard=_guard(config, text, rest))
    if scheme == "s3" and rest:
        from panachain.storage.s3 import S3Store, read_s3_url

        bucket = read_s3_url(text)
        return S3Store(bucket, guard=_guard(config, text, bucket.shown))
    raise ConfigurationError(
        f"{scheme[:40]!r} is no kind of store",
        hint="write configured, embedded:FOLDER, kubo:MULTIADDRESS or s3://BUCKET/PREFIX",
    )


def open_configured(config: Config, *, probe: bool = True) -> BlobStore:
    """Open the store without the chains; without a network file it is the one that the settings name.

    Raises:
        ConfigurationError: the network file is damaged, or contradicts itself.
    """
    return open_store(config, _described(config), probe=probe)


def pinning_services(config: Config) -> list[PinningService]:
    """Return the pinning services that the network file names; nothing is asked of them yet.

    Raises:
        UsageError: it names none.
        ConfigurationError: the network file is damaged, or contradicts itself.
        LockedError: a token can't be read, or others may read it.
    """
    # Imported here: only those who use them pay for it.
    from panachain.storage.pinning import PinningService, services_of

    return [PinningService(one) for one in services_of(_described(config), config.network_file.parent)]


def _guard(config: Config, text: str, shown: str) -> Guard:
    """Return what keeps this machine's writers to a store apart from erasures there, which has no folder of its own."""
    return Guard(config.home / "stores" / sha256(text.encode()).hexdigest()[:16], f"store {shown}")


def _described(config: Config) -> dict[str, Any]:
    """Return the network file's `ipfs`, empty where there is none."""
    description: dict[str, Any] = {}
    try:
        content = json.loads(read_network(config.network_file))
        description = content.get("ipfs", {})
    except FileNotFoundError:
        pass
    except (OSError, ValueError, AttributeError, RecursionError) as exc:
        raise ConfigurationError(f"{config.network_file} can't be read as a network file") from exc
    if not isinstance(description, dict):
        raise ConfigurationError(f"{config.network_file}: `ipfs` must be an object")
    return description


def _texts(description: dict[str, Any], name: str) -> list[str]:
    """Return a list of texts in the network file, or an empty one when there is none.

    Raises:
        ConfigurationError: it is something else.
    """
    value = description.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        raise ConfigurationError(f"the network file's ipfs.{name} must be a list of texts")
    if len(set(value)) != len(value):
        raise ConfigurationError(f"the network file's ipfs.{name} names something twice: that is one node, not two")
    return value


def _replicated(stores: Sequence[BlobStore], description: dict[str, Any]) -> BlobStore:
    factor = description.get("replication", min(len(stores), 2))
    if not isinstance(factor, int) or isinstance(factor, bool):
        raise ConfigurationError("the network file's ipfs.replication must be a whole number")
    if len(stores) == 1 and factor == 1:
        return stores[0]
    from panachain.storage.replicated import ReplicatedStore

    return ReplicatedStore(stores, factor)
