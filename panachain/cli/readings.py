"""How a reading is told in a line: who read, how it ended, and what the proxies agree on.

Pure. Follows docs/spec/cli.md and docs/spec/log.md, section "What a line tells".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from panachain.cli import words

if TYPE_CHECKING:
    from panachain.cli.output import Output
    from panachain.sdk.readings import Reading

_OTHERWISE: Final = {
    "refused": "refused",
    "served": "served",
    "requester": "names another person",
    "granted_to": "names another grantee",
    "purpose": "names another purpose",
}
_STANDING: Final = {
    "emergency": ["in an emergency"],
    "outside": ["not of the group"],
    "no-emergency": ["not in an emergency of theirs"],
    "": ["in what capacity isn't known"],
}
"""Of what was granted to others. Beside members: these are as whom it was granted to."""
_AGAINST: Final = {
    "outside": "to somebody to whom it wasn't granted and who wasn't in the group then",
    "no-emergency": "to somebody who wasn't in an emergency then, for which alone it was granted",
}
"""What honest proxies refuse."""
_MOST: Final = 10
"""Disagreements that are told one by one."""


def show_readings(output: Output, readings: Iterable[Reading], *, empty: str, without: Sequence[str] = ()) -> None:
    """Print a line for each reading, and then what single proxies say of them that the others don't.

    Args:
        output: where to.
        readings: with names (`Auditing.named`).
        empty: the talk when there is none.
        without: columns that say the same in each line.
    """
    found = list(readings)
    output.learn(*(reading.requester for reading in found))
    columns = ("when", "person", "organisation", "outcome", "what", "purpose", "policy_id")
    output.many(
        found,
        empty=empty,
        columns=[name for name in columns if name not in without],
        also=lambda reading: {"outcome": reading_words(reading), "person": reader_words(output, reading)},
        titles={"outcome": "did", "person": "who", "organisation": "of"},
    )
    for standing, whom in _AGAINST.items():
        served = [reading for reading in found if reading.standing == standing and reading.permitted]
        _tell_served(output, [reading for reading in served if reading.is_confirmed], whom)
        _tell_said(output, [reading for reading in served if not reading.is_confirmed], whom)
    # After the lines: one proxy's own word about who read what, which the others contradict.
    for line in disagreements([reading.to_json() for reading in found if reading.dissents]):
        output.warn(line)


def _tell_served(output: Output, served: Sequence[Reading], whom: str) -> None:
    """Warn of openings that enough proxies signed for, and that honest ones refuse."""
    if served:
        output.warn(
            f"{words.were(len(served), 'opening')} served {whom}, as the sidechain tells: honest proxies refuse that."
            f" The first is of {words.when(served[0].at)}"
        )


def _tell_said(output: Output, said: Sequence[Reading], whom: str) -> None:
    """Say what too few proxies signed: one that lies may sign anything about anybody, so it is no warning."""
    if said:
        alone = all(len(reading.proxies) == 1 for reading in said)
        who = "One proxy alone says" if alone else "Fewer proxies than an opening takes say"
        output.say(
            f"{who} that {words.were(len(said), 'opening')} served {whom}: it failed, or the others keep silent, or"
            f" it isn't true. The first is of {words.when(said[0].at)}."
        )


def reading_words(reading: Mapping[str, object]) -> str:
    """Return what happened in a reading: how it ended, by how many proxies, and where they don't agree."""
    told = len(_several(reading.get("proxies")))
    if not reading.get("permitted"):
        # The others could have served it all the same.
        if told == 1 and _number(reading.get("asked")) > _number(reading.get("needed")):
            return f"was refused, says one proxy alone{_dissents(reading)}"
        return f"was refused by {words.count(told, 'proxy')}{_dissents(reading)}"
    amount, needed, few = (_number(reading.get(name)) for name in ("envelopes", "needed", "unconfirmed"))
    late = len(_several(reading.get("late")))
    if late and not few:
        return f"read after the end: {words.count(late, 'proxy')} served too late{_dissents(reading)}"
    records = len(_several(reading.get("records")))
    read = f"read {words.count(amount, 'part')}" if amount else "read"
    read += f" with {words.count(records, 'record')}" if records else ""
    read += " after the end" if late else ""
    if few:
        # What fewer proxies say than it takes opened nothing, or the others keep silent.
        how = f"say {told} of {needed} proxies" if told < needed else f"too few proxies say it of {few}"
        silent = len(_several(reading.get("silent")))
        return f"{read}, {how}{_dissents(reading)}{f'; {silent} silent' if silent else ''}"
    if needed:
        return f"{read}, {words.count(told, 'proxy')} agree{_dissents(reading)}"
    # No policy has a threshold below two.
    return f"{read}, says one proxy alone" if told == 1 else read


def reader_words(output: Output, reading: Mapping[str, object]) -> str:
    """Return who read: the name, the role that the registry has, and whether it was for others than them."""
    name = output.text("who", reading.get("who"))
    told = [name, str(reading["role"])] if reading.get("role") else [name]
    if reading.get("granted_to") and reading.get("granted_to") != reading.get("who"):
        told += _STANDING.get(str(reading.get("standing") or ""), ())
    return ", ".join(told)


def disagreements(readings: Sequence[Mapping[str, object]]) -> list[str]:
    """Return a line for each proxy that signed something else about an opening than the others."""
    found = []
    for reading in readings:
        for one in _several(reading.get("dissents")):
            if isinstance(one, Mapping):
                value = str(one.get("value") or "")
                also = f" ({words.purpose(value) if one.get('says') == 'purpose' else value})" if value else ""
                says = _OTHERWISE.get(str(one.get("says")), "says something else")
                found.append(f"proxy {one.get('proxy')} {says}{also}: opening of {reading.get('when')}")
    more = len(found) - _MOST
    return [*found[:_MOST], f"{words.count(more, 'more disagreement')}; --as json names all"] if more > 0 else found


def _dissents(reading: Mapping[str, object]) -> str:
    counted = Counter(str(one.get("says")) for one in _several(reading.get("dissents")) if isinstance(one, Mapping))
    return "".join(f"; {number} {_OTHERWISE.get(says, says)}" for says, number in counted.items())


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _several(value: object) -> Sequence[object]:
    return list(value) if isinstance(value, list | tuple | dict) else ()
