"""Software among opened records: which it is, and what is known of its publisher. Never runs any of it.

Follows docs/spec/viewers.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from panachain.errors import PanaChainError
from panachain.portal.desk import Seat
from panachain.sdk.results.viewers import ViewerView
from panachain.viewer.chart import Chart
from panachain.viewer.documents import Document
from panachain.viewer.items import UnreadableError


@dataclass(frozen=True)
class Listed:
    """A record that is software, as a list names it."""

    key: str
    """Of its document."""
    view: ViewerView | None
    """None if it can't be read."""
    error: str = ""
    """Why it can't."""


def viewers_of(shown: Chart) -> list[Document]:
    """Return the records that are software; what stands in a resource isn't one."""
    return [one for one in shown.all_documents if one.kind == "viewer" and not one.resource]


def checked(actor: Any, found: Document) -> ViewerView:
    """Return what a bundle is, and whether its publisher signed it.

    Args:
        actor: the SDK's, of whoever looks.
        found: the bundle's document.

    Raises:
        PanaChainError: it can't be read.
    """
    try:
        view: ViewerView = actor.viewers.check(found.read())
    except UnreadableError as exc:
        raise PanaChainError(str(exc)) from exc
    return view


async def listed(seat: Seat, name: str, shown: Chart) -> list[Listed]:
    """Return what software an opening holds; a publisher who was found once isn't looked up anew for a list."""
    known: dict[tuple[str, str], Listed] = seat.kept("software", dict)
    made = []
    for document in viewers_of(shown):
        found = known.get((name, document.key))
        if found is None:
            found = await seat.run(_one, document)
        if found.view is not None and found.view.is_verified:
            known[name, document.key] = found
        made.append(found)
    return made


def _one(actor: Any, document: Document) -> Listed:
    try:
        return Listed(document.key, checked(actor, document))
    except PanaChainError as exc:
        return Listed(document.key, None, str(exc))
