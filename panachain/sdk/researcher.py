"""The researcher: queries the policies and storage transactions on chain, and opens what was granted to him.

A query reads public data only; opening what was consented needs a grant like everybody's (sdk/reader.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from panachain.model.actors import Role
from panachain.model.scope import Category, Purpose
from panachain.research.index import Index, QueryResult
from panachain.sdk.reader import ReadingSession


class Researcher(ReadingSession):
    """A researcher at work."""

    role = Role.RESEARCHER

    def query(
        self,
        kind: str,
        *,
        since: int | None = None,
        until: int | None = None,
        as_of_block: int | None = None,
        limit: int | None = None,
        status: str | None = None,
        categories: Sequence[Category] = (),
        purpose: Purpose | None = None,
        hospital: str | None = None,
    ) -> QueryResult:
        """Return policies or storage transactions; see `research.index.Index.query` for the filters."""
        index = Index(self.network.home / f"index-{self.network.mainchain.chain_id}.sqlite", self.network.mainchain)
        try:
            return index.query(
                kind,
                since=since,
                until=until,
                as_of_block=as_of_block,
                limit=limit,
                status=status,
                categories=sum(category.bit for category in set(categories)) or None,
                purposes=None if purpose is None else purpose.bit,
                hospital=None if hospital is None else self.network.resolve(hospital, Role.HOSPITAL).address,
            )
        finally:
            index.close()
