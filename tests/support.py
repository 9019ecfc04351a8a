"""What several tests share: a devnet with actors, and where the outside vectors are."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from panachain.config import Config
from panachain.devnet import Devnet
from panachain.errors import TransactionError
from panachain.model.actors import Role
from panachain.sdk import Network, open_actor
from panachain.sdk.profiles import create_profile, load_profile

SHARED = Path(__file__).resolve().parents[2] / "shared"
PASSPHRASE = "correct horse battery staple"


def shared(*parts: str) -> Path:
    """Return a path in the folder of outside data, or skip with the reason."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"outside data {'/'.join(parts)} isn't beside the project")
    return path


@contextmanager
def chain_refuses(error: str) -> Iterator[None]:
    """Expect a transaction to be refused with a contract's custom error, whose name this pattern finds.

    The message of the refusal is for people (chain/refusals.py) and may change; its `reason` is the error itself.
    """
    with pytest.raises(TransactionError) as caught:
        yield
    assert re.search(error, caught.value.reason), f"expected {error}, the chain said {caught.value.reason!r}"


@dataclass
class World:
    """A running devnet with its actors."""

    home: Path
    network: Network
    passphrase_file: Path
    actors: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        return self.actors[name]


@contextmanager
def running_world() -> Iterator[World]:
    """Start a devnet, admit everybody, pair the patient, and stop it all at the end."""
    folder = Path(tempfile.mkdtemp(prefix="panachain-test-"))
    home = folder / "home"
    passphrase_file = folder / "passphrase"
    passphrase_file.write_text(PASSPHRASE)
    passphrase_file.chmod(0o600)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        stack.callback(lambda: Devnet.down(home) if (home / "network.json").exists() else None)
        Devnet.up(home, passphrase=PASSPHRASE)
        roles = {
            "hospital": Role.HOSPITAL,
            "patient": Role.PATIENT,
            "clinician": Role.PRACTITIONER,
            "stranger": Role.PRACTITIONER,
            "researcher": Role.RESEARCHER,
        }
        network = stack.enter_context(Network.open(Config.load({"home": str(home)}, {})))
        for name, role in roles.items():
            create_profile(home, name, role, PASSPHRASE)
        actors = {name: open_actor(network, load_profile(home, name), PASSPHRASE) for name in roles}
        for actor in actors.values():
            actor.register()
        actors["patient"].pair("hospital")
        yield World(home, network, passphrase_file, actors)
