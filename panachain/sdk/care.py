"""What follows from a wardship for everybody else: who may grant, whose lanes a record goes to, which terms count.

Pure but for looking wardships up. Never lets a carer do what the wardship doesn't say, and never believes that it is
still in force: each look is at the later of chain and clock. Follows docs/spec/wards.md and ADR 55.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from panachain.errors import NotPairedError, OutOfScopeError, SuspendedError
from panachain.model.actors import Address, Status
from panachain.model.policy import Terms
from panachain.model.scope import Category, Scope
from panachain.model.transactions import Wardship
from panachain.sdk.network import Network
from panachain.sdk.times import iso


def moment(network: Network) -> int:
    """Return the time by which a wardship is judged, Unix seconds: a chain that stands still prolongs none."""
    wardships = network.sidechain.wardships
    return max(wardships.now() if wardships else 0, int(network.clock()))


def wardship_of(network: Network, account: Address) -> Wardship | None:
    """Return the wardship that an account is for, or None for everybody's own account."""
    wardships = network.sidechain.wardships
    return next(iter(wardships.find(account=account)), None) if wardships else None


def accounts_of(network: Network, newest: Address) -> frozenset[Address]:
    """Return a person's account, and those from which guardians moved them to it."""
    return frozenset({newest, *(one for one, now in network.resolver.moves().items() if now == newest)})


def stands_for(network: Network, account: Address, named: Address) -> bool:
    """Tell whether an account is the ward or carer whom a wardship names, or to whom guardians moved that one."""
    return account == named or named in accounts_of(network, account)


def acting_for(network: Network, account: Address) -> Wardship | None:
    """Return the wardship that decides what an account may do, or None for everybody's own account.

    A proposal that came to nothing decides nothing any more: the registrar decides whether the account is admitted.
    """
    found = wardship_of(network, account)
    if found is None or _came_to_nothing(found, moment(network)):
        return None
    return _of_now(network, [found])[0]


def _of_now(network: Network, wardships: list[Wardship]) -> list[Wardship]:
    """Return wardships with the newest accounts of ward and carer, and whether the carer may act.

    The account for the ward is never followed: its carer said who its guardians are.
    """
    if not wardships:
        return []
    moves = network.resolver.moves()
    current = [
        replace(one, ward=moves.get(one.ward, one.ward), carer=moves.get(one.carer, one.carer)) for one in wardships
    ]
    found = network.sidechain.identities.find(list(dict.fromkeys(one.carer for one in current)))
    active = {actor.address for actor in found if actor.status is Status.ACTIVE}
    return [replace(one, is_carer_active=one.carer in active) for one in current]


def _came_to_nothing(wardship: Wardship, now: int) -> bool:
    return not wardship.started_at and wardship.state(now) in ("over", "ended")


def check_acting(network: Network, account: Address) -> None:
    """Check that an account acts for itself, or for a ward while the wardship is in force.

    Raises:
        SuspendedError: its wardship isn't attested yet, or is over, or its carer is suspended.
    """
    wardship = acting_for(network, account)
    if wardship is None or wardship.is_in_force(now := moment(network)):
        return
    state = wardship.state(now)
    if state in ("proposed", "accepted"):
        raise SuspendedError(
            f"wardship {wardship.number} isn't attested by the registrar yet; nothing was done for the ward",
            hint=f"the registrar runs: panachain --profile REGISTRAR ward start {wardship.number}",
        )
    if state == "in force":
        raise SuspendedError(
            f"the carer of wardship {wardship.number} is suspended; nothing was done for the ward",
            hint="the registrar reinstates the carer, or ends the wardship",
        )
    ended = wardship.ended_at or wardship.ends_at
    raise SuspendedError(
        f"wardship {wardship.number} ended at {iso(ended)}: the ward acts for themselves; nothing was done",
    )


def check_granting(network: Network, account: Address, scopes: Iterable[Scope], expires_at: int) -> None:
    """Check that an account may grant these scopes until a moment: a carer no more than the wardship says.

    `all` and `emergency` hold what hospitals publish to the account, which is of the carer's categories only.

    Args:
        network: knows the wardships.
        account: who grants.
        scopes: what.
        expires_at: Unix seconds, exclusive.

    Raises:
        SuspendedError: as `check_acting`.
        OutOfScopeError: a category isn't the carer's, or the grant would outlast the carer's right to it.
    """
    wardship = acting_for(network, account)
    if wardship is None:
        return
    check_acting(network, account)
    acts_in = wardship.acts_in(moment(network))
    for scope in scopes:
        category = _category(scope)
        until = wardship.ends_at if category is None else wardship.until(category)
        if category is not None and category not in acts_in:
            raise OutOfScopeError(
                f"wardship {wardship.number} leaves {category.value} to the ward; nothing was granted",
                hint="the ward grants it from their own profile",
            )
        if expires_at > until:
            raise OutOfScopeError(
                f"a grant of {scope.text} until {iso(expires_at)} would outlast wardship {wardship.number}, which gives"
                f" it to the carer until {iso(until)}; nothing was granted",
                hint=f"--until {iso(until)} or earlier",
            )


def check_terms(network: Network, terms: Terms) -> None:
    """Check that terms which a carer signed are within a wardship that is in force now.

    Proxies can't: they don't know whose policy it is. Whoever reads does, before anything is asked of them.

    Raises:
        OutOfScopeError: the wardship isn't in force, or the terms say more than it.
    """
    wardship = acting_for(network, terms.patient)
    if wardship is None:
        return
    state = wardship.state(moment(network))
    if state != "in force":
        raise OutOfScopeError(
            f"policy {terms.policy_id} was granted in wardship {wardship.number}, which is {state}",
            hint="the ward grants what they want to be read from now on",
        )
    for lane in terms.lanes:
        category = _category(lane.scope)
        if terms.expires_at > (wardship.ends_at if category is None else wardship.until(category)):
            raise OutOfScopeError(
                f"policy {terms.policy_id} goes beyond wardship {wardship.number} with {lane.scope.text}"
            )


def beside(network: Network, patient: Address) -> tuple[Address, ...]:
    """Return the other account under which records of the same person lie while they are in care; none for others.

    For a ward it is the account through which their carer acts, and for that account the ward's own. Nobody opens both
    at once: what is granted by one account opens nothing of the other.
    """
    found, now = in_care(network)
    same = accounts_of(network, patient)
    for one in found:
        if one.is_in_force(now) and (one.ward in same or one.account == patient):
            return (one.ward,) if one.account == patient else (one.account,)
    return ()


def in_care(network: Network) -> tuple[list[Wardship], int]:
    """Return all wardships as of now, and the time by which they are judged, Unix seconds: for many patients at once.

    Their wards and carers are named by the newest accounts.
    """
    wardships = network.sidechain.wardships
    return _of_now(network, wardships.find() if wardships else []), moment(network)


def split(
    wardships: Iterable[Wardship], patient: Address, *, now: int
) -> tuple[Address, tuple[tuple[Address, frozenset[Category]], ...]]:
    """Return whose a patient's records are, and to whose lanes those of which categories go.

    Args:
        wardships: all that there are, as of now (`in_care`).
        patient: whom a hospital names: a ward, the account for one, or anybody else.
        now: Unix seconds.

    Returns:
        The person, and accounts with the categories of each; one account with all of them without a wardship.

    Raises:
        NotPairedError: it is the account of a wardship that isn't in force, or whose carer is suspended.
    """
    every, person, in_force = frozenset(Category), patient, []
    for one in wardships:
        if one.account == patient and not one.is_in_force(now) and not _came_to_nothing(one, now):
            state = one.state(now)
            why = "whose carer is suspended" if state == "in force" else f"which is {state}"
            raise NotPairedError(
                f"account {patient} was made for wardship {one.number}, {why}: nothing is published to it",
                hint=f"publish to the ward: {one.ward}",
            )
        if one.is_in_force(now):
            in_force.append(one)
            person = one.ward if one.account == patient else person
    # The chain knows one at a time by the ward's account; of a ward who was moved since then the newest counts.
    found = max((one for one in in_force if one.ward == person), key=lambda one: one.number, default=None)
    if found is None:
        return patient, ((patient, every),)
    acts_in = found.acts_in(now)
    ways = ((found.account, acts_in), (found.ward, every - acts_in))
    return found.ward, tuple((account, categories) for account, categories in ways if categories)


def _category(scope: Scope) -> Category | None:
    """Return a scope's category; None for `all` and `emergency`."""
    name = scope.text.partition("/")[0]
    return None if name in ("all", "emergency") else Category.parse(name)
