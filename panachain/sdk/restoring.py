"""Restore: a profile from its recovery shares, and everything of its actor from the chains and the store.

Never writes anything before the seed is known to be the right one: by the address that the shares bring along or
somebody names, else by the registries. Finds nothing in ways of its own: it asks what a session asks on every day, and
counts. Follows docs/spec/recovery.md and ADR 48.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from panachain.errors import (
    Omission,
    PanaChainError,
    PartlyDoneError,
    ShareError,
    SharesWrongError,
    UnknownActorError,
    UsageError,
)
from panachain.ethereum import parse_address
from panachain.model.actors import Actor, Address, Role, handle_of
from panachain.passphrase import Hidden
from panachain.sdk.profiles import Profile, create_profile, list_profiles
from panachain.sdk.recovery import Recovery, RecoveryShare, restored
from panachain.sdk.results.recovery import RestoredReport

if TYPE_CHECKING:
    from panachain.model.progress import Progress
    from panachain.sdk.base import ActorSession
    from panachain.sdk.hospital import Hospital
    from panachain.sdk.network import Network
    from panachain.sdk.patient import Patient
    from panachain.sdk.reader import ReadingSession
    from panachain.sdk.results.listings import LeftOut, Listed
    from panachain.sdk.results.policies import PolicyView

_RESTORED: Final = (Role.PATIENT, Role.HOSPITAL, Role.PRACTITIONER, Role.RESEARCHER, Role.REGISTRAR)


def restore_profile(
    home: Path,
    name: str,
    shares: Sequence[RecoveryShare],
    passphrase: str | Hidden | Callable[[], str | Hidden],
    *,
    network: Network | None = None,
    who: str = "",
    role: Role | None = None,
) -> Profile:
    """Make a profile again from shares of its seed, once the seed is known to be the right one.

    Args:
        home: the folder of all state.
        name: of the profile on this machine; empty calls it like its role.
        shares: enough of one set.
        passphrase: locks the seed here, or returns what does when the seed is known to be right.
        network: whose registries know the actor; None takes the word of shares or caller for who it is.
        who: the handle or address that the seed must have, as the pages show it; empty leaves it to the shares.
        role: what the actor is; needed only where neither shares, nor `who`, nor a registry tells.

    Raises:
        ShareError: the shares aren't enough, or can't be together.
        SharesWrongError: they make another seed than the one that is looked for, or one that nobody knows.
        UsageError: this machine has the profile already, or its role isn't known or can't be restored.
        UnavailableError: the registries don't answer, and nothing else says who it must be.
    """
    expected = _account(who)
    seed, address = restored(shares, expected=expected)
    said = {share.role for share in shares} - {None}
    is_handle = bool(who) and expected is None
    if is_handle:
        said.add(_role_of_handle(who, address))
    known = expected is not None or is_handle or any(share.address for share in shares)
    found: Actor | None = None
    if network is not None:
        try:
            found = next(iter(network.resolver.known([address])), None)
        except PanaChainError:
            if not known:
                raise
        else:
            if found is None and not known:
                raise SharesWrongError(
                    f"no registry knows account {address}, which these shares make",
                    hint="if it was never registered, name it: --who, as its pages show it; else a share is wrong",
                )
    elif not known:
        raise ShareError("nothing says whose seed this must be", hint="name the handle that stands on the pages: --who")
    roles = said | ({role} if role else set()) | ({found.role} if found else set())
    if len(roles) != 1:
        told = ", ".join(sorted(one.value for one in roles if one)) or "nothing"
        raise UsageError(f"it isn't known what this actor is: {told} is said", hint="give --role, as the pages show it")
    (what,) = roles
    if what not in _RESTORED:
        raise UsageError(f"a {what.value if what else 'nobody'} has no profile to be restored")
    for other in list_profiles(home):
        if other.address == address:
            raise UsageError(f"profile {other.name!r} of this machine is this actor; it was left as it is")
    given = passphrase() if callable(passphrase) else passphrase
    hidden = given if isinstance(given, Hidden) else Hidden(given)
    del given, passphrase
    profile = create_profile(home, name or what.value, what, hidden.reveal(), seed=seed)
    # They were just tried.
    Recovery(profile).test(shares)
    return profile


def look_around(session: ActorSession, *, progress: Progress | None = None) -> RestoredReport:
    """Find and open everything of an actor, and count it. What can't be read is named, and takes nothing with it.

    A hospital's journal is filled from the chain, and its records are looked for in the lanes of its patients.

    Args:
        session: of the actor; what it finds is kept in its profile as on every day.
        progress: is told the records of a patient that were opened, of those that were found so far.
    """
    found = _Found()
    status = "unknown"
    with found.alone("its place in the registry"):
        status = session.whoami().status.name.lower()
    # Imported by role: restoring a hospital loads nothing of patients.
    if session.role is Role.PATIENT:
        from panachain.sdk.patient import Patient

        if isinstance(session, Patient):
            _patient(session, found, progress)
    elif session.role is Role.HOSPITAL:
        from panachain.sdk.hospital import Hospital

        if isinstance(session, Hospital):
            _hospital(session, found)
    elif session.role in (Role.PRACTITIONER, Role.RESEARCHER):
        from panachain.sdk.reader import ReadingSession

        if isinstance(session, ReadingSession):
            _reader(session, found)
    report = RestoredReport(session.profile.name, session.address, session.role.value, status)
    return replace(report, **found.counts, omissions=tuple(found.omissions))


class _Found:
    """What was counted, and what couldn't be read."""

    def __init__(self) -> None:
        self.counts: dict[str, Any] = {}
        self.omissions: list[Omission] = []

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Let one kind of thing fail by itself: it is named, and the others are looked for all the same."""
        try:
            yield
        except PanaChainError as exc:
            self.omissions.append(Omission("", what, exc))

    def left_out(self, listed: Sequence[LeftOut]) -> None:
        """Name what a list lacks."""
        self.omissions += [Omission("", f"{one.kind} {one.item}", PanaChainError(one.reason)) for one in listed]

    def policies(self, listed: Listed[PolicyView]) -> None:
        """Count policies."""
        views = list(listed)
        self.counts |= {"policies": len(views), "in_force": sum(one.active for one in views)}
        self.left_out(listed.left_out)


def _patient(session: Patient, found: _Found, progress: Progress | None) -> None:
    # First: what follows is told with their names.
    with found.alone("books"):
        found.counts["contacts"] = session.books.restore().contacts
    with found.alone("hospitals"):
        hospitals = session.hospitals.all()
        found.counts["hospitals"] = len(hospitals)
        found.left_out(hospitals.left_out)
    with found.alone("policies"):
        found.policies(session.policies())
    with found.alone("records"):
        opening, count = session.records(progress=progress), 0
        try:
            for _ in opening:
                count += 1
        except PartlyDoneError:
            # Each of them is named by itself.
            found.omissions += opening.omissions
        found.counts["records"] = count
    with found.alone("log"):
        found.counts["readings"] = len(list(session.log()))
    with found.alone("requests"):
        requests = session.requests()
        found.counts["requests"] = len(requests)
        found.left_out(requests.left_out)


def _hospital(session: Hospital, found: _Found) -> None:
    from panachain.sdk.batches import open_batches

    with found.alone("batches"):
        with open_batches(session.network, session.address, session._seed, session.profile.folder) as batches:
            batches.reconcile()
            batches.history.learn(batches.journal)
        found.counts["batches"] = len(session.overview.batches().batches)
    with found.alone("patients"):
        found.counts["patients"] = len(session.overview.patients())
    with found.alone("records"):
        found.counts["records"] = len(list(session.records()))


def _reader(session: ReadingSession, found: _Found) -> None:
    with found.alone("policies"):
        found.policies(session.inbox())
    if session.role is not Role.PRACTITIONER:
        return
    from panachain.sdk.practitioner import Practitioner

    if isinstance(session, Practitioner):
        with found.alone("groups"):
            found.counts["groups"] = len(session.groups())
        with found.alone("requests"):
            requests = session.requests()
            found.counts["requests"] = len(requests)
            found.left_out(requests.left_out)


def _account(who: str) -> Address | None:
    """Return the address that somebody gave; None for a handle, or for nothing."""
    if not who.startswith("0x"):
        return None
    try:
        return parse_address(who)
    except ValueError:
        raise UnknownActorError(f"{who!a} is no address") from None


def _role_of_handle(who: str, address: Address) -> Role:
    """Return the role of a handle that an address must have.

    Raises:
        SharesWrongError: no role gives it this handle.
    """
    for role in _RESTORED:
        if handle_of(address, role) == who:
            return role
    raise SharesWrongError(f"these shares make the seed of account {address}, whose handle isn't {who!a}")
