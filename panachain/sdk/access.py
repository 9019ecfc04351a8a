"""Who can read what now, as policies say it: people and categories, each with until when.

Pure: policies and a time come in. Says what honest proxies allow; what somebody opened before, they keep, and a record
that its hospital put into the emergency summary by itself isn't known to be there. Follows design section 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from panachain.model.actors import Address, PolicyId
from panachain.model.policy import PolicyStatus
from panachain.model.scope import EMERGENCY, RESTRICTED, Category, path_of
from panachain.sdk.results.listings import LeftOut
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.words import WHOLE


@dataclass(frozen=True)
class Allowed:
    """What one person may read of one category."""

    until: int
    """The latest end, exclusive, Unix seconds."""
    starts: int
    """The earliest beginning, Unix seconds: it may be still to come."""
    years: tuple[int, ...]
    """Only of these years; empty means every year."""
    policies: tuple[PolicyId, ...]
    """What allows it."""


@dataclass(frozen=True)
class Reader:
    """One person or group, and what they may read."""

    grantee: Address
    name: str
    by_category: Mapping[str, Allowed]
    """By the word of a category, or `all` or `emergency`."""
    policies: tuple[PolicyView, ...]
    """What allows it, oldest first."""

    @property
    def until(self) -> int:
        """When the last of it ends, Unix seconds."""
        return max(view.expires_at for view in self.policies)


@dataclass(frozen=True)
class Readers:
    """Everybody who can read something, as a matrix."""

    columns: tuple[str, ...]
    """Words of categories that somebody is granted, `all` and `emergency` first."""
    rows: tuple[Reader, ...]
    """By the person whose permission ends last."""


def in_force(policies: Iterable[PolicyView]) -> list[PolicyView]:
    """Return the policies by which somebody can read, now or later."""
    return [view for view in policies if view.status in (PolicyStatus.ACTIVE, PolicyStatus.NOT_YET)]


def unread(left_out: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """Return the policies in force whose terms can't be read: they may be to anybody, and of anything.

    Args:
        left_out: of a patient's policies. What is over, and what is no policy, is passed over.
    """
    return tuple(one for one in left_out if one.kind == "policy" and not one.over)


def readers(policies: Iterable[PolicyView]) -> Readers:
    """Return who can read what.

    Whoever may read `all` may read each category that isn't restricted: they stand in its column, too.

    Args:
        policies: of one patient; those that are over are passed over.
    """
    people: dict[Address, list[PolicyView]] = {}
    for view in in_force(policies):
        people.setdefault(view.grantee, []).append(view)
    names = {scope.partition("/")[0] for views in people.values() for view in views for scope in view.scopes}
    columns = tuple(name for name in (*WHOLE, *(category.value for category in Category)) if name in names)
    rows = [_reader(grantee, views, columns) for grantee, views in people.items()]
    return Readers(columns, tuple(sorted(rows, key=lambda row: (-row.until, row.name))))


def who_reads(policies: Iterable[PolicyView], category: Category, year: int) -> list[PolicyView]:
    """Return the policies, in force or to begin, that cover records of a category and year."""
    path = {scope.text for scope in path_of(category, year)}
    return [view for view in in_force(policies) if not path.isdisjoint(view.scopes)]


def _reader(grantee: Address, views: Sequence[PolicyView], columns: Sequence[str]) -> Reader:
    found = {column: allowed for column in columns if (allowed := _allowed(column, views)) is not None}
    return Reader(grantee, views[0].grantee_name or grantee, found, tuple(views))


def _allowed(column: str, views: Sequence[PolicyView]) -> Allowed | None:
    """Return what somebody may read of one column; None for nothing."""
    wider = _wider(column)
    chosen: list[PolicyView] = []
    whole, years = False, set[int]()
    for view in views:
        of = [scope.partition("/") for scope in view.scopes if scope in wider or scope.partition("/")[0] == column]
        if of:
            chosen.append(view)
            whole = whole or any(not slash for _, slash, _ in of)
            years |= {int(year) for _, slash, year in of if slash}
    if not chosen:
        return None
    return Allowed(
        until=max(view.expires_at for view in chosen),
        starts=min(view.starts_at for view in chosen),
        years=() if whole else tuple(sorted(years)),
        policies=tuple(view.policy_id for view in chosen),
    )


def _wider(column: str) -> set[str]:
    """Return the lanes that hold all records of a column as well."""
    if column in WHOLE:
        return {column}
    category = Category(column)
    wider = set() if category in RESTRICTED else {"all"}
    return wider | ({"emergency"} if category in EMERGENCY else set())
