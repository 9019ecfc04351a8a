"""Watching: what happened to an actor since this machine looked last, and the words in which they are told.

Looks at the copies of both chains, and at the proxies' log; believes them as the rest of a session does. What was told
is kept as digests, sealed: an event for good, a state (`_Standing`) for as long as it lasts, so that it is told again
when it comes again. A message says what to run, in one of the texts of `TEXTS`: never a name, an ID, a number, a
category or a time, since it goes through services that read it. Follows docs/spec/messages.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from panachain.crypto.keys import Seed
from panachain.errors import PanaChainError, PartlyDoneError, UsageError
from panachain.model.actors import Address, Role, Status
from panachain.model.policy import PolicyStatus, ProxyRef
from panachain.sdk.kept import Kept
from panachain.sdk.network import Network
from panachain.sdk.notifying import Notifier
from panachain.sdk.readings import Reading
from panachain.sdk.results.emergencies import EmergencyView
from panachain.sdk.results.listings import LeftOut, Listed, Listing
from panachain.sdk.results.policies import PolicyView
from panachain.sdk.results.requests import RequestView

if TYPE_CHECKING:
    from panachain.sdk.hospital_erasures import HospitalErasures
    from panachain.sdk.hospital_overview import HospitalOverview
    from panachain.sdk.opening import Opening
    from panachain.sdk.proxies import Proxies

WEEK: Final = 7 * 86_400
"""Seconds before its end at which a permission's end is told."""
PATIENCE: Final = 3 * 3600
"""Seconds for which a proxy may lag before its operator is told: it anchors once an hour."""
LONGEST: Final = 31 * 86_400
"""Seconds between two messages at most."""
_NAME, _CHOICE = "watch", "messages"
_MOST: Final = 200_000
"""Happenings that are remembered after no source shows them any more."""
_Rows = dict[bytes, tuple[int, bool]]
"""States by their keys: since when each is known, in Unix seconds, and whether it was told."""


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


class WatchedPractitioner(WatchedReader, Protocol):
    """What this module needs of a practitioner's session."""

    @property
    def address(self) -> Address:
        """Their account."""
        ...

    @property
    def emergency(self) -> Emergencies:
        """As `Practitioner.emergency`."""
        ...

    def requests(self) -> Listing[RequestView]:
        """As `Practitioner.requests`."""
        ...


class Due(Protocol):
    """Emergencies, as the registrar sees them."""

    def due(self) -> list[EmergencyView]:
        """Return those that wait for their review."""
        ...


class WatchedRegistrar(Protocol):
    """What this module needs of the registrar's session."""

    @property
    def emergency(self) -> Due:
        """As `Registrar.emergency`."""
        ...


class WatchedHospital(Protocol):
    """What this module needs of a hospital's session."""

    network: Network

    @property
    def address(self) -> Address:
        """Its account."""
        ...

    @property
    def overview(self) -> HospitalOverview:
        """As `Hospital.overview`."""
        ...

    @property
    def erasures(self) -> HospitalErasures:
        """As `Hospital.erasures`."""
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
    GRANTED = "request-granted"
    REFUSED = "request-refused"
    REVIEW = "review-due"
    ERASURE = "erasure-asked"
    MOVE = "move-asked"
    PROXY_DOWN = "proxy-down"
    NOT_ANCHORED = "not-anchored"
    NOT_COSIGNED = "not-cosigned"


URGENT: Final = frozenset({Kind.BREAK_GLASS, Kind.SUSPENDED, Kind.REVIEW})
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
    Kind.GRANTED: "A request of yours was granted. Run: panachain requests",
    Kind.REFUSED: "A request of yours was refused. Run: panachain requests",
    Kind.REVIEW: "An emergency waits for its review. Run: panachain emergency status",
    Kind.ERASURE: "Somebody asks to have something erased. Run: panachain erase",
    Kind.MOVE: "Somebody renewed their keys, or wants something moved. Run: panachain rewrap",
    Kind.PROXY_DOWN: "A proxy of yours doesn't answer. Run: panachain network check",
    Kind.NOT_ANCHORED: "A proxy of yours doesn't anchor its log. Run: panachain network check",
    Kind.NOT_COSIGNED: "Nobody cosigns the log of a proxy of yours. Run: panachain network check",
}
"""All that a message may say, one line for each kind."""
_ANSWERS: Final = {"approved": Kind.GRANTED, "denied": Kind.REFUSED}
"""States of a request that are answers."""
_UNREVIEWED: Final = ("over", "overdue")
"""States of an emergency that waits for its review."""
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
class Choice:
    """Of what an actor wants messages, and how often.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     made = patient.watching.choose(["request", "expiry"], every=timedelta(days=1))
        >>> [kind.value for kind in made.kinds], made.every
        (['request', 'break-glass', 'expiry', 'suspended', 'review-due'], 86400)
    """

    kinds: tuple[Kind, ...] = tuple(Kind)
    """In the order of `Kind`; what is urgent is always among them."""
    every: int = 0
    """Seconds between two messages; 0 for at once."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/messages/1`."""
        return {
            "schema": "panachain/messages/1",
            "kinds": [kind.value for kind in self.kinds],
            "every": self.every,
        }


@dataclass(frozen=True)
class _Found:
    """An event: it happened, and never happens again."""

    kind: Kind
    what: str
    """What makes it another one than others of its kind."""
    current: bool = True
    """Whether it is told at the first look, too; else only what comes after that."""


@dataclass(frozen=True)
class _Standing:
    """A state: it may end, and come again, and then it is another one to be told."""

    kind: Kind
    what: str
    after: int = 0
    """Seconds for which it lasts before it is told: what mends itself is no news."""


class _Partly:
    """Said by a source that couldn't see all: what it doesn't show may stand nevertheless."""


_Seen = _Found | _Standing | _Partly
"""What a source yields."""
_Sources = Mapping[str, Callable[[], Iterable["_Seen"]]]


class Watching:
    """What happens to one actor."""

    def __init__(
        self,
        profile: Path,
        seed: Seed,
        sources: _Sources,
        *,
        clock: Callable[[], float],
    ) -> None:
        """Take the profile's folder, the actor's seed, and where happenings are looked for, by name."""
        self._kept, self._choice = Kept(profile, seed, _NAME), Kept(profile, seed, _CHOICE)
        self._sources = sources
        self._clock = clock
        self.notifier = Notifier(profile, seed)

    def choice(self) -> Choice:
        """Return of what the actor wants messages, and how often; before a choice everything at once."""
        content = self._choice.read()
        try:
            # Kept is what isn't wanted, so that a kind that a later program knows is told.
            without = set(content["without"])
            return Choice(
                tuple(kind for kind in Kind if kind.value not in without or kind in URGENT),
                _seconds(int(content["every"])),
            )
        except (LookupError, TypeError, ValueError, UsageError):
            # Nothing was chosen yet, or it can't be read: then it is better to be told.
            return Choice()

    def choose(self, kinds: Iterable[str], *, every: int | timedelta = 0) -> Choice:
        """Choose of what messages are sent, and how often; what is urgent is always told, and at once.

        Args:
            kinds: values of `Kind`.
            every: seconds between two messages (a digest), or that time; 0 for at once.

        Raises:
            UsageError: there is no such kind, or the time is negative or longer than 31 days.
        """
        length = int(every.total_seconds()) if isinstance(every, timedelta) else every
        made = Choice(_with_urgent(kinds), _seconds(length))
        without = [kind.value for kind in Kind if kind not in made.kinds]
        self._choice.write({"without": without, "every": made.every})
        return made

    def look(self) -> tuple[list[Happening], list[LeftOut]]:
        """Return what is new since the last look, and what couldn't be looked at; it is new until it was told.

        The first look tells only what is so now, such as a request that waits: what was before isn't news.
        """
        content = self._read()
        # In the order in which it was seen first: what is too much goes from the old end.
        seen, waiting = dict.fromkeys(content["seen"]), dict[bytes, str](content["waiting"])
        looked, standing = set[str](content["looked"]), dict[str, _Rows](content["standing"])
        left_out, shown = list[LeftOut](), set[bytes]()
        for name, source in self._sources.items():
            found = list[_Seen]()
            try:
                found += source()
            except PanaChainError as exc:
                # One source that fails hides nothing of the others, and is looked at again.
                left_out.append(LeftOut("source", name, str(exc)))
                continue
            for one in found:
                if isinstance(one, _Found):
                    key = _key(one)
                    if key not in seen and key not in waiting and (one.current or name in looked):
                        waiting[key] = one.kind.value
                    seen[key] = None
                    shown.add(key)
            standing[name] = self._stands(found, standing.get(name, {}), waiting)
            looked.add(name)
        # What still is there would be told again: only what no source shows any more is forgotten.
        for key in [key for key in seen if key not in shown][: max(len(seen) - _MOST, 0)]:
            del seen[key]
        self._write(
            content
            | {"seen": list(seen), "waiting": list(waiting.items()), "looked": sorted(looked), "standing": standing}
        )
        return [Happening(Kind(kind), key) for key, kind in waiting.items()], left_out

    def _stands(self, found: Iterable[_Seen], before: _Rows, waiting: dict[bytes, str]) -> _Rows:
        """Return the states that a source shows, each with since when and whether it was told; new ones wait."""
        now = int(self._clock())
        rows = dict(before) if any(isinstance(one, _Partly) for one in found) else {}
        for one in found:
            if not isinstance(one, _Standing):
                continue
            key = _key(one)
            since, told = before.get(key, (now, False))
            # A clock that was set back begins anew.
            since = min(since, now)
            if not told and now - since >= one.after:
                waiting.setdefault(key, one.kind.value)
                told = True
            rows[key] = since, told
        return rows

    def tell(self, happened: Iterable[Happening], *, every: int | None = None) -> str:
        """Send one message about what happened, and return its text; empty where nothing is due.

        Args:
            happened: what `look` returned.
            every: seconds between two messages (a digest), 0 for at once, None as chosen; what is urgent doesn't wait.

        Raises:
            UnavailableError: it went nowhere; it is told the next time.
            UsageError: there is no address.
        """
        content, choice = self._read(), self.choice()
        every = choice.every if every is None else every
        now, found = int(self._clock()), list(happened)
        if unwanted := {one.key for one in found if one.kind not in choice.kinds}:
            # It counts as told: a later choice brings no news of long ago.
            content = content | {"waiting": [(key, kind) for key, kind in content["waiting"] if key not in unwanted]}
            self._write(content)
            found = [one for one in found if one.key not in unwanted]
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
        empty: dict[str, Any] = {"seen": [], "waiting": [], "looked": [], "told": 0, "standing": {}}
        content = self._kept.read()
        try:
            if content is None or (content := {"standing": {}} | content).keys() != empty.keys():
                return empty
            known = {kind.value for kind in Kind}
            waiting = [(bytes(key), str(kind)) for key, kind in content["waiting"] if kind in known]
            seen = [bytes(key) for key in content["seen"]]
            standing = {
                str(name): {bytes(key): (int(since), bool(told)) for key, since, told in rows}
                for name, rows in content["standing"].items()
            }
            looked, told = list(content["looked"]), int(content["told"])
            return {"seen": seen, "waiting": waiting, "looked": looked, "told": told, "standing": standing}
        except (AttributeError, TypeError, ValueError):
            return empty

    def _write(self, content: Mapping[str, Any]) -> None:
        rows = [[key, kind] for key, kind in content["waiting"]]
        standing = {
            name: [[key, since, told] for key, (since, told) in states.items()]
            for name, states in content["standing"].items()
        }
        self._kept.write({**content, "waiting": rows, "standing": standing})


def _key(one: _Found | _Standing) -> bytes:
    return sha256(f"{one.kind.value}/{one.what}".encode()).digest()


def _with_urgent(kinds: Iterable[str]) -> tuple[Kind, ...]:
    """Return kinds by their values, each once and in one order, with those that are urgent."""
    wanted = set(kinds)
    if unknown := wanted - {kind.value for kind in Kind}:
        raise UsageError(
            f"there is no kind {min(unknown)!r} of message; nothing was chosen",
            hint=f"kinds are {', '.join(kind.value for kind in Kind)}",
        )
    return tuple(kind for kind in Kind if kind.value in wanted or kind in URGENT)


def _seconds(every: int) -> int:
    if not 0 <= every <= LONGEST:
        raise UsageError(f"{every} s between two messages are negative or more than {LONGEST}; nothing was chosen")
    return every


def message(kinds: Iterable[Kind]) -> str:
    """Return what is said of some kinds: one line for each, in one order, however often it happened."""
    wanted = set(kinds)
    return "\n".join(TEXTS[kind] for kind in Kind if kind in wanted)


def of_patient(patient: WatchedPatient, rotations: Callable[[], int]) -> _Sources:
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


def of_reader(reader: WatchedReader) -> dict[str, Callable[[], Iterable[_Seen]]]:
    """Return where happenings of whoever may be granted something are looked for."""

    def inbox() -> Iterator[_Seen]:
        now = reader.network.clock()
        for view in reader.inbox():
            yield _Found(Kind.GRANT, view.policy_id, current=False)
            if view.status is PolicyStatus.ACTIVE and view.expires_at - now <= WEEK:
                yield _Found(Kind.EXPIRY, f"{view.policy_id}/{view.expires_at}")

    return {"inbox": inbox}


def of_practitioner(practitioner: WatchedPractitioner) -> _Sources:
    """Return where a practitioner's happenings are looked for."""

    def requests() -> Iterator[_Seen]:
        for one in practitioner.requests():
            if one.state in _ANSWERS:
                yield _Found(_ANSWERS[one.state], str(one.request_id), current=False)

    def emergencies() -> Iterator[_Seen]:
        for one in practitioner.emergency.all():
            if one.state == "asked" and one.practitioner != practitioner.address:
                # It waits for this practitioner's co-signature.
                yield _Found(Kind.BREAK_GLASS, str(one.emergency_id))
            if one.state in _UNREVIEWED:
                yield _Found(Kind.REVIEW, str(one.emergency_id))

    return of_reader(practitioner) | {"requests": requests, "emergencies": emergencies}


def of_registrar(registrar: WatchedRegistrar) -> _Sources:
    """Return where happenings of the registrar are looked for."""

    def reviews() -> Iterator[_Seen]:
        for one in registrar.emergency.due():
            yield _Found(Kind.REVIEW, str(one.emergency_id))

    return {"emergencies": reviews}


def of_hospital(hospital: WatchedHospital, proxies: Callable[[], Proxies]) -> _Sources:
    """Return where a hospital's happenings are looked for; `proxies` gives connections to those that it runs."""
    quiet: dict[str, object] = {}

    def pairings() -> object:
        return tuple(hospital.network.sidechain.identities.paired(hospital=hospital.address))

    def orders() -> Iterator[_Seen]:
        # Each look opens the pairing of each patient: not again while the chain shows the same ones, and nothing waits.
        held = pairings()
        if quiet.get("orders") == held:
            return
        due = hospital.overview.due()
        if not due.records and not due.omissions:
            quiet["orders"] = held
        if due.omissions:
            yield _Partly()
        for patient, _ in (*due.moves, *due.reseals):
            yield _Standing(Kind.MOVE, patient)

    def erasures() -> Iterator[_Seen]:
        held = pairings()
        if quiet.get("erasures") == held:
            return
        asked = hospital.erasures.asked()
        if not asked.records and not asked.omissions:
            quiet["erasures"] = held
        if asked.omissions:
            yield _Partly()
        for one in asked.records:
            yield _Standing(Kind.ERASURE, f"{one.patient}/{one.record_id}")

    return {"orders": orders, "erasures": erasures, "proxies": lambda: _proxies(hospital, proxies)}


def _proxies(hospital: WatchedHospital, connect: Callable[[], Proxies]) -> Iterator[_Seen]:
    """Yield what is wrong with the logs of the proxies that a hospital runs, by what anybody can see of them."""
    network = hospital.network
    actors = network.mainchain.actors.find(Role.PROXY)
    own = [one for one in actors if one.organisation == hospital.address and one.status is Status.ACTIVE]
    if not own:
        return
    proxies = connect()
    try:
        heads, _ = proxies.heads([ProxyRef.of(one) for one in own])
        for actor in own:
            address = actor.address
            if address not in heads:
                yield _Standing(Kind.PROXY_DOWN, address, after=PATIENCE)
                continue
            try:
                cosigned = proxies.cosigned(ProxyRef.of(actor))
            except PanaChainError:
                yield _Standing(Kind.PROXY_DOWN, address, after=PATIENCE)
                continue
            anchored, _ = network.mainchain.log.anchor_of(address)
            if heads[address].sequence > anchored:
                # With how far it came: a log that grows all the time is behind all the time, and anchored all the same.
                yield _Standing(Kind.NOT_ANCHORED, f"{address}/{anchored}", after=PATIENCE)
            if heads[address].sequence > cosigned:
                yield _Standing(Kind.NOT_COSIGNED, f"{address}/{cosigned}", after=PATIENCE)
    finally:
        proxies.close()


def _requests(patient: WatchedPatient) -> Iterator[_Seen]:
    for one in patient.requests():
        if one.state == "open":
            yield _Found(Kind.REQUEST, str(one.request_id))


def _policies(patient: WatchedPatient) -> Iterator[_Seen]:
    now = patient.network.clock()
    for view in patient.policies():
        yield _Found(Kind.GRANT, view.policy_id, current=False)
        if view.status is PolicyStatus.ACTIVE and view.expires_at - now <= WEEK:
            yield _Found(Kind.EXPIRY, f"{view.policy_id}/{view.expires_at}")


def _suspended(patient: WatchedPatient) -> Iterator[_Seen]:
    policies = patient.policies()
    active = {view.grantee for view in policies if view.status is PolicyStatus.ACTIVE}
    if policies.left_out:
        yield _Partly()
    network = patient.network
    known = {actor.address: actor for actor in network.sidechain.identities.find(sorted(active))} if active else {}
    for address in sorted(active):
        actor = known.get(address) or network.mainchain.actors.actor_of(address)
        if actor is not None and actor.status is Status.SUSPENDED:
            yield _Standing(Kind.SUSPENDED, address)


def _openings(patient: WatchedPatient) -> Iterator[_Seen]:
    for reading in patient.log():
        if reading.permitted:
            yield _Found(Kind.FIRST_OPENING, f"{reading.policy_id}/{reading.requester}", current=False)


def _emergencies(patient: WatchedPatient) -> Iterator[_Seen]:
    for one in patient.emergency.all():
        yield _Found(Kind.BREAK_GLASS, str(one.emergency_id), current=one.state in ("asked", "active"))


def _rotations(count: int) -> Iterator[_Seen]:
    for number in range(1, count + 1):
        yield _Found(Kind.ROTATION, str(number), current=False)


def _withdrawn(patient: WatchedPatient) -> Iterator[_Seen]:
    opening = patient.records(history=True)
    try:
        for _ in opening:
            pass
    except PartlyDoneError:
        # What a hospital did wrong is told where records are opened; what was withdrawn is known all the same.
        pass
    for gone in opening.withdrawn:
        yield _Found(Kind.WITHDRAWN, gone.record_id, current=False)
