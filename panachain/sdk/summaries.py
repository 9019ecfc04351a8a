"""Patient summaries of what is opened: by patients of everything of their own, by practitioners of what was granted.

Opens nothing that `records` and `open` wouldn't, and leaves the same traces: a practitioner's summary is an opening in
the patient's log. Follows docs/spec/summary.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from panachain.errors import InputError, Omission, PartlyDoneError
from panachain.model.scope import Category
from panachain.sdk.results.records import OpenedRecord
from panachain.sdk.results.summaries import PatientSummary


def summarized(
    records: Iterable[OpenedRecord],
    *,
    withheld: Callable[[], Collection[Category]],
    readable: Callable[[], Collection[Category]],
    names: Callable[[str], str],
    now: float,
) -> PatientSummary:
    """Return the summary of some records.

    Args:
        records: of an opening, of which nothing was taken yet.
        withheld: tells which categories are left out by rule, once the records were opened.
        readable: tells which categories' records are all among them, once they were opened.
        names: gives what a hospital's address is called.
        now: Unix seconds.

    Raises:
        PanaChainError: nothing could be opened, as the opening says.
    """
    # Imported here: what pages are made of is loaded when there is something to show.
    from panachain.summary import summary
    from panachain.viewer.items import Told, items_of

    taken: list[OpenedRecord] = []
    omissions: list[Omission] = []
    try:
        taken.extend(records)
    except PartlyDoneError as exc:
        omissions += exc.omissions
    items = items_of(taken, names=names)
    told = Told(
        omissions=tuple(f"{one.what or 'everything'} of {names(one.hospital) or 'nobody'}" for one in omissions),
        withheld=tuple(one.value for one in withheld()),
    )
    ids = {number: record.info.header_cid for number, record in enumerate(taken, 1)}
    made = summary(items, now=now, told=told, readable=readable(), ids=ids)
    whose = {item.number: item.hospital for item in items}
    unread = {one.record: one.reason for one in made.unread}
    omissions += [Omission(whose[number], f"record {ids[number]}", InputError(why)) for number, why in unread.items()]
    return PatientSummary(
        content=made.content,
        sections=made.sections,
        records=made.records,
        hospitals=made.hospitals,
        merged=made.merged,
        withheld=made.withheld,
        others=made.others,
        differs=made.differs,
        omissions=tuple(omissions),
    )
