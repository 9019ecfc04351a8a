"""The researcher: queries the policies and storage transactions on chain, and opens what was granted to them.

A query reads public data only; opening what was consented needs a grant like everybody's (sdk/reader.py).
"""

from __future__ import annotations

from typing import Literal, TypedDict, Unpack, overload

from panachain.model.actors import Role
from panachain.model.scope import Purpose
from panachain.research.index import AnyResult, Index, PolicyRow, QueryResult, StorageRow, Tally, Where
from panachain.sdk.reader import ReadingSession
from panachain.sdk.times import Moment, seconds
from panachain.sdk.words import Categories, category_of, category_words, purpose_of


class Filters(TypedDict, total=False):
    """What `Researcher.query` takes by name."""

    since: Moment | None
    until: Moment | None
    as_of_block: int | None
    limit: int | None
    offset: int
    status: str | None
    categories: Categories
    purpose: Purpose | str | None
    hospital: str | None


class Researcher(ReadingSession):
    """A researcher at work: what `connect` returns for a profile of this role.

    Examples:
        >>> with connect("study", role="researcher") as researcher:
        ...     for policy in researcher.query("policies", status="active"):
        ...         print(policy.policy_id, policy.expires)
        0x...
    """

    role = Role.RESEARCHER

    @overload
    def query(self, kind: Literal["policies"], **filters: Unpack[Filters]) -> QueryResult[PolicyRow]: ...
    @overload
    def query(self, kind: Literal["storage"], **filters: Unpack[Filters]) -> QueryResult[StorageRow]: ...
    @overload
    def query(self, kind: str, **filters: Unpack[Filters]) -> AnyResult: ...

    def query(
        self,
        kind: str,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        as_of_block: int | None = None,
        limit: int | None = None,
        offset: int = 0,
        status: str | None = None,
        categories: Categories = (),
        purpose: Purpose | str | None = None,
        hospital: str | None = None,
    ) -> AnyResult:
        """Return policies or storage transactions, in the order of the chain.

        Args:
            kind: "policies" or "storage".
            since: granted or stored at or after this time; a `timedelta` counts back from now.
            until: before this time; a `timedelta` counts back from now.
            as_of_block: as the chain stood at this block; None means the newest.
            limit: rows at most.
            offset: rows that are passed over before the first one.
            status: of policies, a name of `PolicyStatus` in lower case.
            categories: open policies that name one of them.
            purpose: open policies that name it.
            hospital: of storage transactions: profile name, handle or address.

        Raises:
            UsageError: an unknown kind, status, category or purpose, or a block that isn't there yet.
        """
        where = self._where(since, until, status, categories, purpose, hospital)
        return Index(self.network.mainchain).query(kind, as_of_block=as_of_block, limit=limit, offset=offset, **where)

    def tally(
        self,
        kind: str,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        as_of_block: int | None = None,
        status: str | None = None,
        categories: Categories = (),
        purpose: Purpose | str | None = None,
        hospital: str | None = None,
    ) -> Tally:
        """Return how many rows a query has, and how they fall into groups; see `query` for what it takes.

        Raises:
            UsageError: an unknown kind, status, category or purpose, or a block that isn't there yet.
        """
        where = self._where(since, until, status, categories, purpose, hospital)
        return Index(self.network.mainchain).tally(kind, as_of_block=as_of_block, **where)

    def _where(
        self,
        since: Moment | None,
        until: Moment | None,
        status: str | None,
        categories: Categories,
        purpose: Purpose | str | None,
        hospital: str | None,
    ) -> Where:
        now = int(self.network.clock())
        wanted = [category_of(word) for word in category_words(categories)]
        return {
            "since": None if since is None else seconds(since, at=now, past=True, name="since"),
            "until": None if until is None else seconds(until, at=now, past=True, name="until"),
            "status": status,
            "categories": sum(category.bit for category in wanted) or None,
            "purposes": None if purpose is None else purpose_of(purpose).bit,
            "hospital": None if hospital is None else self.network.resolve(hospital, Role.HOSPITAL).address,
        }
