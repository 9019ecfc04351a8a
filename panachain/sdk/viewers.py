"""Viewers: software that hospitals and researchers publish, and that runs over records where these are opened.

Packs and signs a bundle, and tells whether one was signed by whom it names: the registry's own storage says whose key
that is. Never runs one; the portal does. Follows docs/spec/viewers.md and ADR 46.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from panachain.crypto import umbral
from panachain.errors import AccessDeniedError, IntegrityError, SuspendedError, UnavailableError
from panachain.model.actors import Actor, Role
from panachain.records.viewer_bundle import SignedBundle, read_bundle, read_folder, sign_bundle
from panachain.sdk.results.viewers import Standing, ViewerFile, ViewerView

if TYPE_CHECKING:
    from panachain.sdk.names import Names
    from panachain.sdk.network import Network

PUBLISHERS: Final = (Role.HOSPITAL, Role.RESEARCHER)
"""Who may publish software: whom everybody finds in the mainchain's registry, and who stands for a house or a study."""


class Viewers:
    """Viewer bundles, as one actor makes and checks them: `viewers` of every session.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> said = '{"name": "Laboratory list", "version": "1.0", "wants": ["laboratory"]}'
        >>> with tempfile.TemporaryDirectory() as folder, connect("clinic", role="hospital") as hospital:
        ...     for name, text in (("viewer.json", said), ("index.html", "<h1>Values</h1>"), ("program.js", "")):
        ...         written = Path(folder, name).write_text(text)
        ...     bundle = hospital.viewers.pack(folder)
        >>> with connect("me", role="patient") as patient:
        ...     patient.viewers.check(bundle).is_verified
        True
    """

    def __init__(self, network: Network, actor: Actor, signer: Callable[[], umbral.Signer], names: Names) -> None:
        """Take where the actor works, who they are, what signs for them, and what this machine calls everybody."""
        self._network = network
        self._actor = actor
        self._signer = signer
        self._names = names

    def pack(self, folder: Path | str) -> bytes:
        """Return the file of a bundle of a folder with its `viewer.json`, signed by this actor.

        Raises:
            AccessDeniedError: this actor is neither a hospital nor a researcher: nobody would run it.
            InputError: the folder holds what no bundle may hold.
        """
        if self._actor.role not in PUBLISHERS:
            raise AccessDeniedError(
                f"a {self._actor.role.value} can't publish software: hospitals and researchers can",
                hint="let one of them look at it and publish it",
            )
        return sign_bundle(read_folder(Path(folder), self._actor.address), self._signer())

    def check(self, content: bytes) -> ViewerView:
        """Return what a bundle is, and whether its publisher signed it.

        Raises:
            IntegrityError: it is no bundle that can be read.
        """
        return check_bundle(self._network, content).named(self._names)


def check_bundle(network: Network, content: bytes) -> ViewerView:
    """Return what a bundle is, and whether its publisher signed it; raises as `Viewers.check`."""
    signed = read_bundle(content)
    actor = None
    try:
        actor = network.mainchain.actors.actor_of(signed.bundle.publisher)
        standing, reason = _standing(network, signed, actor)
    except UnavailableError as exc:
        standing, reason = Standing.UNCHECKED, f"who published it can't be checked now: {exc}"
    bundle = signed.bundle
    return ViewerView(
        name=bundle.name,
        version=bundle.version,
        about=bundle.about,
        publisher=bundle.publisher,
        role=None if actor is None else actor.role,
        standing=standing,
        reason=reason,
        wants=bundle.wants,
        files=tuple(ViewerFile(name, len(file), sha256(file).hexdigest()) for name, file in bundle.files.items()),
        size=signed.size,
        sha256=signed.digest.hex(),
    )


def _standing(network: Network, signed: SignedBundle, actor: Actor | None) -> tuple[Standing, str]:
    if actor is None or actor.role not in PUBLISHERS:
        return Standing.UNKNOWN, "no hospital and no researcher is registered under the address that it names"
    unread: list[str] = []
    try:
        # Not only with the keys that an event shows: one node alone could make a publisher of anybody.
        keys, unread = network.keys.verifying(actor)
        signed.check(*keys)
    except SuspendedError:
        return Standing.SUSPENDED, "its publisher is suspended"
    except IntegrityError as exc:
        # Whoever signed it with a key that can't be read is no forger, and is no more believed than one.
        return Standing.FORGED, "; ".join([f"its publisher didn't sign it as it is: {exc}", *unread])
    return Standing.VERIFIED, ""
