"""`connect`: from a profile's name to the actor at work, as the settings say.

Never keeps a passphrase where a traceback could show it. Follows docs/spec/cli.md, sections "Settings" and
"Passphrases": the command line acts in the same way.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict, Unpack, overload

from panachain.config import Config
from panachain.crypto.wraps import DataKey
from panachain.errors import UsageError
from panachain.model.actors import Role
from panachain.passphrase import Hidden, read_passphrase
from panachain.sdk.locks import unlocked_by_security_key
from panachain.sdk.network import Network
from panachain.sdk.profiles import Profile, choose_profile, passphrase_sources, unlocked_by_agent
from panachain.sdk.unlocking import Unlocking

if TYPE_CHECKING:
    from panachain.sdk.base import Registrar
    from panachain.sdk.hospital import Hospital
    from panachain.sdk.patient import Patient
    from panachain.sdk.practitioner import Practitioner
    from panachain.sdk.researcher import Researcher

    AnyActor: TypeAlias = Patient | Hospital | Practitioner | Researcher | Registrar
    """Whoever a profile may be; `isinstance` or `match` tells which."""

_PLACES: Final = {
    Role.PATIENT: ("panachain.sdk.patient", "Patient"),
    Role.HOSPITAL: ("panachain.sdk.hospital", "Hospital"),
    Role.PRACTITIONER: ("panachain.sdk.practitioner", "Practitioner"),
    Role.RESEARCHER: ("panachain.sdk.researcher", "Researcher"),
    Role.REGISTRAR: ("panachain.sdk.base", "Registrar"),
}
"""The class of each role, by name: a patient's program doesn't load what hospitals publish with."""


class Options(TypedDict, total=False):
    """What `connect` takes by name, besides the role."""

    passphrase: str | None
    passphrase_file: Path | str | None
    passphrase_fd: int | None
    home: Path | str | None
    network: Network | Path | str | None


@overload
def connect(
    profile: str | None = None, *, role: Literal["patient", Role.PATIENT], **options: Unpack[Options]
) -> Patient: ...
@overload
def connect(
    profile: str | None = None, *, role: Literal["hospital", Role.HOSPITAL], **options: Unpack[Options]
) -> Hospital: ...
@overload
def connect(
    profile: str | None = None, *, role: Literal["practitioner", Role.PRACTITIONER], **options: Unpack[Options]
) -> Practitioner: ...
@overload
def connect(
    profile: str | None = None, *, role: Literal["researcher", Role.RESEARCHER], **options: Unpack[Options]
) -> Researcher: ...
@overload
def connect(
    profile: str | None = None, *, role: Literal["registrar", Role.REGISTRAR], **options: Unpack[Options]
) -> Registrar: ...
@overload
def connect(profile: str | None = None, *, role: Role | str | None = None, **options: Unpack[Options]) -> AnyActor: ...


def connect(
    profile: str | None = None,
    *,
    role: Role | str | None = None,
    passphrase: str | None = None,
    passphrase_file: Path | str | None = None,
    passphrase_fd: int | None = None,
    home: Path | str | None = None,
    network: Network | Path | str | None = None,
) -> AnyActor:
    """Return the actor of a profile, unlocked and connected: a `Patient`, `Hospital`, `Practitioner` and so on.

    Use it as a context manager: at its end the session forgets the seed and closes the network that it opened.
    A profile's name says nothing about its type, so type checkers see a union; with `role` they see the class.

    Args:
        profile: its name on this machine; None takes the one of the settings, or the only one that fits `role`.
        role: what the profile must be, such as "patient"; None takes any.
        passphrase: opens the profile. None, and no other source here, follows the settings as the command line does:
            the profile's agent, PANACHAIN_PASSPHRASE_FILE, PANACHAIN_PASSPHRASE_COMMAND, the settings of these names,
            the profile's security key, a prompt on a terminal.
        passphrase_file: a file whose first line is the passphrase, readable by its owner only.
        passphrase_fd: an open file descriptor that gives the passphrase.
        home: the folder of all state; None takes the one of the settings.
        network: a network file, or a Network that is open and stays open; None takes the one of the settings.

    Raises:
        UsageError: no profile fits, it has another role, or there are two sources of a passphrase.
        UnknownActorError: there is no profile of this name.
        LockedError: the passphrase is missing or wrong.
        ConfigurationError: there is no network file, or a setting is wrong.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     print(patient.whoami().status)
        Status.ACTIVE
    """
    given: Hidden | DataKey | None = None if passphrase is None else Hidden(passphrase)
    # A traceback that shows variables must not show this one.
    del passphrase
    if sum(source is not None for source in (given, passphrase_file, passphrase_fd)) > 1:
        raise UsageError("two sources of the passphrase were given; which one counts can't be told")
    config = _settings(profile, home, network)
    roles = () if role is None else (_role(role),)
    chosen = choose_profile(config.home, config.profile, roles)
    if given is None and passphrase_file is None and passphrase_fd is None and config.agent:
        given = unlocked_by_agent(config.home, chosen)
    if given is None and passphrase_file is None and passphrase_fd is None:
        given = unlocked_by_security_key(config, chosen)
    if given is None:
        # Before the network: a locked profile never talks to a service.
        file = None if passphrase_file is None else Path(passphrase_file)
        sources = passphrase_sources(config, chosen)
        given = Hidden(
            read_passphrase(f"profile {chosen.name}", descriptor=passphrase_fd, file=file, settings=lambda: sources)
        )
    if isinstance(network, Network):
        return open_actor(network, chosen, given)
    # A key is made of a passphrase while the network's and the actor's modules load.
    early = given if isinstance(given, DataKey) else Unlocking(chosen, given)
    opened = Network.open(config)
    try:
        return open_actor(opened, chosen, early, owns_network=True)
    except BaseException:
        opened.close()
        raise


def open_actor(
    network: Network,
    profile: Profile,
    passphrase: str | Hidden | DataKey | Unlocking,
    *,
    owns_network: bool = False,
) -> AnyActor:
    """Return the actor of a profile, unlocked, at work in a network that is open.

    Args:
        network: where the actor works.
        profile: which actor.
        passphrase: opens the profile; or the data key that an agent holds; or what opens it already.
        owns_network: close the network with the session.

    Raises:
        LockedError: wrong passphrase.
        UsageError: the profile's role isn't one that the SDK acts for.
    """
    hidden = Hidden(passphrase) if isinstance(passphrase, str) else passphrase
    del passphrase
    if profile.role not in _PLACES:
        raise UsageError(f"profile {profile.name!r} is a {profile.role.value}, which the SDK doesn't act for")
    return _class_of(profile.role)(network, profile, hidden, owns_network=owns_network)


def _class_of(role: Role) -> type[AnyActor]:
    module, name = _PLACES[role]
    found: type[AnyActor] = getattr(import_module(module), name)
    return found


def _settings(profile: str | None, home: Path | str | None, network: Network | Path | str | None) -> Config:
    if isinstance(network, Network):
        config = network.config if home is None else replace(network.config, home=Path(home).expanduser().absolute())
        return config if profile is None else replace(config, profile=profile)
    flags = {"profile": profile, "home": home, "network_file": network}
    return Config.load({name: None if value is None else str(value) for name, value in flags.items()})


def _role(role: Role | str) -> Role:
    try:
        return Role(role)
    except ValueError:
        known = ", ".join(one.value for one in _PLACES)
        raise UsageError(f"unknown role {role!r}; the roles are: {known}") from None


def __getattr__(name: str) -> Any:
    if name != "AnyActor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return functools.reduce(operator.or_, (_class_of(role) for role in _PLACES))
