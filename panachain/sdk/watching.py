"""Watching: what happened to an actor since this machine looked last, and the words in which they are told.

Looks at the copies of both chains, and at the proxies' log; believes them as the rest of a session does. What was told
is kept as digests, sealed. A message says what to run, in one of the texts of `TEXTS`: never a name, an ID, a number, a
category or a time, since it goes through services that read it. Follows docs/spec/messages.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from panachain.crypto.keys import Seed
from panachain.errors import PanaChainError, PartlyDoneError
from panachain.model.actors import Status
from panachain.model.policy import PolicyStatus
from panachain.sdk.kept import Kept
from panachain.sdk.network import Network
from panachain.sdk.notifying import Notifier
from panachain.sdk.readings import Reading
from panachain.sdk.results.emergencies import EmergencyView
from panachain.sdk.results.listings import LeftOut, Listed, Listing
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.requests import RequestView

if TYPE_CHECKING:
    from panachain.sdk.opening import Opening

WEEK: Final = 7 * 86_400
"""Seconds before its end at which a permission's end is told."""
_NAME: Final = "watch"
_MOST: Final = 200_000
"""Happenings that are remembered."""


class WatchedPatient(Protocol):
    """What this module needs of a patient's session."""

    network: Network

    @property
    def emergency(self) -> Emergencies:
        """As `Patient.emergency`."""
        ...

    def requests(self) -> Listing[RequestView]:
        """As `Patient.requests`."""
        ...

    def policies(self) -> Listed[PolicyView]:
        """As `Patient.policies`."""
        ...

    def log(self) -> Listed[Reading]:
        """As `Patient.log`."""
        ...

    def records(self, *, history: bool) -> Opening:
        """As `Patient.records`."""
        ...


class Emergencies(Protocol):
    """Emergencies, as a patient sees them."""

    def all(self) -> list[EmergencyView]:
        """Return all of them."""
        ...


class WatchedReader(Protocol):
    """What this module needs of the session of a practitioner or researcher."""

    network: Network

    def inbox(self) -> Listed[PolicyView]:
        """As `Practitioner.inbox`."""
        ...


class Kind(Enum):
    """What somebody is told of."""

    REQUEST = "request"
    GRANT = "grant"
    FIRST_OPENING = "first-opening"
    BREAK_GLASS = "break-glass"
    EXPIRY = "expiry"
    ROTATION = "rotation"
    WITHDRAWN = "withdrawn"
    SUSPENDED = "suspended"


URGENT: Final = frozenset({Kind.BREAK_GLASS, Kind.SUSPENDED})
"""What no digest keeps back."""
TEXTS: Final[Mapping[Kind, str]] = {
    Kind.REQUEST: "Somebody asks for your answer. Run: panachain requests",
    Kind.GRANT: "A permission was given. Run: panachain policies (patients), panachain inbox (all others)",
    Kind.FIRST_OPENING: "A permission was used for the first time. Run: panachain log",
    Kind.BREAK_GLASS: "An emergency was stated. Run: panachain emergency status",
    Kind.EXPIRY: "A permission ends within a week. Run: panachain policies (patients), panachain inbox (all others)",
    Kind.ROTATION: "Keys were renewed. Run: panachain policies",
    Kind.WITHDRAWN: "Something was withdrawn by whoever published it. Run: panachain records list",
    Kind.SUSPENDED: "Somebody who had a permission was suspended. Run: panachain policies",
}
"""All that a message may say, one line for each kind."""
TEST: Final = "This is a test. Run: panachain notify list"


@dataclass(frozen=True)
class Happening:
    """Something that happened, before it is told.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     happened, left_out = patient.watching.look()
        >>> [str(one) for one in left_out]
        []
    """

    kind: Kind
    key: bytes
    """By which it is known again, 32 bytes: a digest that stays on this machine."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/happened/1`."""
        return {"schema": "panachain/happened/1", "kind": self.kind.value, "text": TEXTS[self.kind]}


@dataclass(frozen=True)
class _Found:
    kind: Kind
    what: str
    """What makes it another one than others of its kind."""
    current: bool = True
    """Whether it is told at the first look, too; else only what comes after that."""


class Watching:
    """What happens to one actor."""

    def __init__(
        self,
        profile: Path,
        seed: Seed,
        sources: Mapping[str, Callable[[], Iterable[_Found]]],
        *,
        clock: Callable[[], float],
    ) -> None:
        """Take the profile's folder, the actor's seed, and where happenings are looked for, by name."""
        self._kept = Kept(profile, seed, _NAME)
        self._sources = sources
        self._clock = clock
        self.notifier = Notifier(profile, seed)

    def look(self) -> tuple[list[Happening], list[LeftOut]]:
        """Return what is new since the last look, and what couldn't be looked at; it is new until it was told.

        The first look tells only what is so now, such as a request that waits: what was before isn't news.
        """
        content = self._read()
        seen, waiting = set(content["seen"]), dict[bytes, str](content["waiting"])
        looked = set[str](content["looked"])
        left_out = list[LeftOut]()
        for name, source in self._sources.items():
            found = list[_Found]()
            try:
                found += source()
            except PanaChainError as exc:
                # One source that fails hides nothing of the others, and is looked at again.
                left_out.append(LeftOut("source", name, str(exc)))
                continue
            for one in found:
                key = sha256(f"{one.kind.value}/{one.what}".encode()).digest()
                if key not in seen and key not in waiting and (one.current or name in looked):
                    waiting[key] = one.kind.value
                seen.add(key)
            looked.add(name)
        self._write(
            content | {"seen": sorted(seen)[:_MOST], "waiting": list(waiting.items()), "looked": sorted(looked)}
        )
        return [Happening(Kind(kind), key) for key, kind in waiting.items()], left_out

    def tell(self, happened: Iterable[Happening], *, every: int = 0) -> str:
        """Send one message about what happened, and return its text; empty where nothing is due.

        Args:
            happened: what `look` returned.
            every: seconds between two messages (a digest); what is urgent doesn't wait. 0 sends at once.

        Raises:
            UnavailableError: it went nowhere; it is told the next time.
            UsageError: there is no address.
        """
        content = self._read()
        now, found = int(self._clock()), list(happened)
        # A clock that was set back is no reason to keep silent.
        due = not 0 <= now - content["told"] < every
        chosen = [one for one in found if due or one.kind in URGENT]
        if not chosen:
            return ""
        text = message({one.kind for one in chosen})
        self.notifier.send(text)
        done = {one.key for one in chosen}
        rest = [(key, kind) for key, kind in content["waiting"] if key not in done]
        self._write(content | {"waiting": rest, "told": now if due else content["told"]})
        return text

    def _read(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"seen": [], "waiting": [], "looked": [], "told": 0}
        content = self._kept.read()
        try:
            if content is None or content.keys() != empty.keys():
                return empty
            known = {kind.value for kind in Kind}
            waiting = [(bytes(key), str(kind)) for key, kind in content["waiting"] if kind in known]
            seen = [bytes(key) for key in content["seen"]]
            return {"seen": seen, "waiting": waiting, "looked": list(content["looked"]), "told": int(content["told"])}
        except (AttributeError, TypeError, ValueError):
            return empty

    def _write(self, content: Mapping[str, Any]) -> None:
        rows = [[key, kind] for key, kind in content["waiting"]]
        self._kept.write({**content, "waiting": rows})


def message(kinds: Iterable[Kind]) -> str:
    """Return what is said of some kinds: one line for each, in one order, however often it happened."""
    wanted = set(kinds)
    return "\n".join(TEXTS[kind] for kind in Kind if kind in wanted)


def of_patient(patient: WatchedPatient, rotations: Callable[[], int]) -> dict[str, Callable[[], Iterable[_Found]]]:
    """Return where a patient's happenings are looked for; `rotations` counts those of their lanes."""
    return {
        "requests": lambda: _requests(patient),
        "policies": lambda: _policies(patient),
        "suspensions": lambda: _suspended(patient),
        "log": lambda: _openings(patient),
        "emergencies": lambda: _emergencies(patient),
        "rotations": lambda: _rotations(rotations()),
        "records": lambda: _withdrawn(patient),
    }


def of_reader(reader: WatchedReader) -> dict[str, Callable[[], Iterable[_Found]]]:
    """Return where happenings of a practitioner or researcher are looked for."""

    def inbox() -> Iterator[_Found]:
        now = reader.network.clock()
        for view in reader.inbox():
            yield _Found(Kind.GRANT, view.policy_id, current=False)
            if view.status is PolicyStatus.ACTIVE and view.expires_at - now <= WEEK:
                yield _Found(Kind.EXPIRY, f"{view.policy_id}/{view.expires_at}")

    return {"inbox": inbox}


def _requests(patient: WatchedPatient) -> Iterator[_Found]:
    for one in patient.requests():
        if one.state == "open":
            yield _Found(Kind.REQUEST, str(one.request_id))


def _policies(patient: WatchedPatient) -> Iterator[_Found]:
    now = patient.network.clock()
    for view in patient.policies():
        yield _Found(Kind.GRANT, view.policy_id, current=False)
        if view.status is PolicyStatus.ACTIVE and view.expires_at - now <= WEEK:
            yield _Found(Kind.EXPIRY, f"{view.policy_id}/{view.expires_at}")


def _suspended(patient: WatchedPatient) -> Iterator[_Found]:
    active = {view.grantee for view in patient.policies() if view.status is PolicyStatus.ACTIVE}
    network = patient.network
    known = {actor.address: actor for actor in network.sidechain.identities.find(sorted(active))} if active else {}
    for address in sorted(active):
        actor = known.get(address) or network.mainchain.actors.actor_of(address)
        if actor is not None and actor.status is Status.SUSPENDED:
            yield _Found(Kind.SUSPENDED, address)


def _openings(patient: WatchedPatient) -> Iterator[_Found]:
    for reading in patient.log():
        if reading.permitted:
            yield _Found(Kind.FIRST_OPENING, f"{reading.policy_id}/{reading.requester}", current=False)


def _emergencies(patient: WatchedPatient) -> Iterator[_Found]:
    for one in patient.emergency.all():
        yield _Found(Kind.BREAK_GLASS, str(one.emergency_id), current=one.state in ("asked", "active"))


def _rotations(count: int) -> Iterator[_Found]:
    for number in range(1, count + 1):
        yield _Found(Kind.ROTATION, str(number), current=False)


def _withdrawn(patient: WatchedPatient) -> Iterator[_Found]:
    opening = patient.records(history=True)
    try:
        for _ in opening:
            pass
    except PartlyDoneError:
        # What a hospital did wrong is told where records are opened; what was withdrawn is known all the same.
        pass
    for gone in opening.withdrawn:
        yield _Found(Kind.WITHDRAWN, gone.record_id, current=False)
