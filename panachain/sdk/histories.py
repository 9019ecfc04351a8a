"""Histories: all versions of a resource that a reader opened, and what each of them changed.

Reads one record after the other, and keeps of each only what has several versions. Follows ADR 28.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from panachain.records.canonical import STORED_DEPTH, parse
from panachain.records.life import History, Seen
from panachain.sdk.results.records import OpenedRecord, ResourceHistory, ResourceVersion

MOST_MEMBERS: Final = 50
"""Members that are named as changed; of more the first ones are."""
_STAMPS: Final = frozenset({"meta.versionId", "meta.lastUpdated"})


def histories(found: Iterable[History], records: Sequence[OpenedRecord]) -> list[ResourceHistory]:
    """Return histories with what each version changed.

    Args:
        found: the histories.
        records: the records that were opened; of others no change is known.

    Raises:
        IntegrityError: a record can't be read.
    """
    wanted = list(found)
    places: dict[str, set[int]] = defaultdict(set)
    for history in wanted:
        for seen in history.versions:
            places[seen.record].add(seen.place)
    held: dict[tuple[str, int], Any] = {}
    stored: dict[str, int] = {}
    for record in records:
        cid = record.info.header_cid
        stored[cid] = record.info.stored_at
        bundle = record.checked_bundle() if cid in places else None
        for place in places[cid] if bundle else ():
            entry = parse(bundle.entries[place].text, depth=STORED_DEPTH) if bundle else {}
            held[cid, place] = entry.get("resource")
    return [
        ResourceHistory(history.name, history.hospital, tuple(_versions(history.versions, held, stored)))
        for history in wanted
    ]


def changed(old: Any, new: Any) -> list[str]:
    """Return the paths of the members that differ between two values of JSON, such as `component[1].valueString`."""
    names = [path for path in _changed(old, new, "") if path not in _STAMPS]
    return names[:MOST_MEMBERS]


def _versions(
    versions: Sequence[Seen], held: dict[tuple[str, int], Any], stored: dict[str, int]
) -> Iterator[ResourceVersion]:
    before: Any = None
    for seen in versions:
        if seen.record not in stored:
            continue
        content = held.get((seen.record, seen.place))
        yield ResourceVersion(
            record=seen.record,
            stored_at=stored[seen.record],
            number=seen.version.number,
            updated=seen.version.updated,
            state="current" if seen.past is None else seen.past.value,
            changed=tuple(changed(before, content)) if before is not None and content is not None else (),
        )
        before = content if content is not None else before


def _changed(old: Any, new: Any, path: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*old, *new)):
            inner = f"{path}.{name}" if path else name
            if name in old and name in new:
                yield from _changed(old[name], new[name], inner)
            else:
                yield from _leaves(old.get(name, new.get(name)), inner)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _changed(one, other, f"{path}[{number}]")
    elif old != new:
        yield path


def _leaves(value: Any, path: str) -> Iterator[str]:
    """Yield a member that is in one of two versions only; of `meta` each of its own, since some always differ."""
    if path == "meta" and isinstance(value, dict):
        yield from (f"meta.{name}" for name in value)
    else:
        yield path
