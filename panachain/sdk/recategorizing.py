"""Recategorizing: a patient asks hospitals to have records in another category, and each seals them anew there.

Opens what the order is about, and hands the hospital the key of that envelope, which the hospital published. What was
opened before by whoever could read the old category stays known to them. To have records erased is asked for in the
same way (sdk/own_erasures.py). Follows ADR 34 and ADR 59.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from panachain.errors import (
    AccessDeniedError,
    PanaChainError,
    PartlyDoneError,
    UnknownActorError,
    UsageError,
)
from panachain.model.actors import Address
from panachain.model.records import STATEMENT
from panachain.model.scope import Category, Scope, path_of
from panachain.plain import count, were
from panachain.records.attachments import Restoring
from panachain.records.findings import LEFT_OUT, Findings
from panachain.records.header import Header
from panachain.records.life import History, Life
from panachain.records.rewrap import Reseal, name_of
from panachain.records.split import MEDIA_TYPE
from panachain.records.versions import PRINT_SIZE, Version
from panachain.sdk.lanes import OwnHeaders, OwnLanes, no_record
from panachain.sdk.opening import Checked, check_envelopes
from panachain.sdk.results.choices import AskedRecord, RecategorizeReport
from panachain.sdk.times import iso
from panachain.storage.blocks import BlobStore

MOST: Final = 1000
"""Records that one call asks for."""

Confirm = Callable[[Sequence[str]], None]
"""Is given the records that more people could open; raises if that isn't wanted."""


@dataclass
class _Envelope:
    """One envelope, and what of it was asked for."""

    checked: Checked
    cid: str
    emergency: bool
    chosen: dict[str, Header] = field(default_factory=dict)
    """The records that go, by the CIDs of their headers."""

    @property
    def members(self) -> list[Header]:
        return self.checked.envelopes[self.cid]

    @property
    def scope(self) -> Scope:
        info = self.members[0].info
        return Scope.of(info.category, info.year)


class Recategorizing:
    """One call of a patient's."""

    def __init__(self, store: BlobStore, lanes: OwnLanes, to: Category | None) -> None:
        """Take the patient's lanes, and where the records shall lie; None if they shall be erased."""
        self._store = store
        self._lanes = lanes
        self._to = to
        self._findings = Findings()
        self._life = Life()
        self._scopes: dict[str, str] = {}
        """Category and year of each record, by the CID of its header."""

    def run(self, record_ids: Iterable[str], confirm: Confirm | None) -> RecategorizeReport:
        """Ask each hospital for what it published.

        1. Open the envelopes of all records, and find those that are asked for.
        2. Let the patient confirm what more people could open.
        3. Make an order for each envelope, and tell each hospital its own with one pairing.

        Raises:
            UsageError: none or too many records are named, or more people could open one and nobody confirms it.
            UnknownActorError: none of the records is in this patient's lanes.
            PartlyDoneError: some couldn't be asked for: `result` says which were.
        """
        wanted = list(dict.fromkeys(record_ids))
        if not 0 < len(wanted) <= MOST:
            what = "are erased" if self._to is None else "go into another category"
            raise UsageError(f"1 to {MOST:,} records at once {what}, {len(wanted):,} were named")
        # 1. Find them.
        found = self._found(wanted)
        already = [one for envelope in found for one in self._there(envelope)]
        # 2. More people.
        to = "" if self._to is None else self._to.value
        wider = [one for envelope in found if self._opens(envelope) for one in envelope.chosen]
        if wider and confirm is None:
            raise UsageError(
                f"in {to} more people could open {len(wider)} of them; nothing was asked for",
                hint="confirm it: it is your decision",
            )
        if wider and confirm is not None:
            confirm(wider)
        # 3. Orders.
        asked = self._ask([envelope for envelope in found if envelope.chosen])
        omissions = tuple(self._findings.omissions)
        if omissions and not (asked or already):
            raise omissions[0].error
        report = RecategorizeReport(to, tuple(asked), tuple(already), tuple(wider), omissions)
        if omissions:
            raise PartlyDoneError.of(omissions, done=f"{were(len(asked), 'record')} asked for", result=report)
        return report

    def _found(self, wanted: Sequence[str]) -> list[_Envelope]:
        """Return the envelopes in which records lie that are asked for."""
        generations, told = self._lanes.generations(), Findings()
        opened: list[tuple[OwnHeaders, Checked]] = []
        for own in self._lanes.headers(told):
            checked = check_envelopes(self._store, own.headers, own.envelope_keys, own.findings, self._life)
            opened.append((own, checked))
        self._life.settle()
        found, left = list[_Envelope](), dict.fromkeys(wanted)
        for own, checked in opened:
            named = {one.info.envelope_cid for one in checked.headers if one.info.header_cid in left}
            emergency = self._lanes.in_emergency(own, generations) if named else set()
            self._scopes |= {
                one.info.header_cid: Scope.of(one.info.category, one.info.year).text for one in checked.headers
            }
            for cid in (one for one in checked.envelopes if one in named):
                envelope = _Envelope(checked, cid, cid in emergency)
                for member in envelope.members:
                    if member.info.header_cid in left:
                        del left[member.info.header_cid]
                        self._choose(envelope, member)
                found.append(envelope)
        erased = {gone.record: gone for gone in self._life.erased.values()}
        for one in left:
            if one in erased:
                self._refuse(one, UnknownActorError(f"it was erased on {iso(erased[one].at)}", hint=_LIST))
                continue
            # What couldn't be read may be it; whoever asks must know why.
            why = next((omission.error for omission in told.omissions if omission.what == f"record {one}"), None)
            self._refuse(one, why or no_record(one, told))
        return found

    def _choose(self, envelope: _Envelope, member: Header) -> None:
        """Note that a record goes, if it can."""
        info = member.info
        withdrawn = self._life.withdrawal(info.hospital, info.content_cid)
        if info.media_type == STATEMENT:
            self._refuse(info.header_cid, UnknownActorError("it is a statement of its hospital's", hint=_LIST))
        elif withdrawn is not None and self._to is not None:
            error = UnknownActorError(f"it was withdrawn by its hospital: {withdrawn.reason.value}", hint=_LIST)
            self._refuse(info.header_cid, error)
        else:
            envelope.chosen[info.header_cid] = member

    def _there(self, envelope: _Envelope) -> list[str]:
        """Take those out that lie in the category already, and return them."""
        if envelope.members[0].info.category is not self._to:
            return []
        there, envelope.chosen = list(envelope.chosen), {}
        return there

    def _opens(self, envelope: _Envelope) -> bool:
        """Tell whether more people could open what goes: those with `all`, or an emergency."""
        if self._to is None:
            return False
        info = envelope.members[0].info
        before = path_of(info.category, info.year, emergency=envelope.emergency)
        wide = {Scope.all(), Scope.emergency()}
        return bool(wide & set(path_of(self._to, info.year)) - set(before))

    def _ask(self, envelopes: Sequence[_Envelope]) -> list[AskedRecord]:
        hospitals = {hospital.address: (hospital, event.paired) for hospital, event in self._lanes.hospitals()}
        orders: dict[Address, list[tuple[Reseal, _Envelope]]] = defaultdict(list)
        moved = {cid for envelope in envelopes for cid in envelope.chosen}
        for envelope in envelopes:
            address = envelope.members[0].info.hospital
            try:
                if not hospitals[address][1]:
                    raise AccessDeniedError(
                        "its hospital is paired no more, so it can't be asked", hint="panachain pair HOSPITAL"
                    )
                orders[address].append((self._order(envelope, moved), envelope))
            except (*LEFT_OUT, AccessDeniedError) as exc:
                for one in envelope.chosen:
                    self._refuse(one, exc)
        asked: list[AskedRecord] = []
        for address, own in orders.items():
            ready = [(order, envelope) for order, envelope in own if envelope.chosen]
            if not ready:
                continue
            with self._findings.alone(address, f"order of {count(sum(len(one.chosen) for _, one in ready), 'record')}"):
                self._lanes.ask(hospitals[address][0], [order for order, _ in ready])
                asked += [
                    AskedRecord(cid, address, found.info.category.value, found.info.year)
                    for _, envelope in ready
                    for cid, found in envelope.chosen.items()
                ]
        return asked

    def _order(self, envelope: _Envelope, moved: set[str]) -> Reseal:
        """Return the order about one envelope; what can't go alone is taken out of it.

        Raises:
            IntegrityError: a record of the envelope can't be opened.
        """
        checked, listed = envelope.checked, envelope.checked.inventories[envelope.cid]
        files = [one for one in envelope.members if one.info.media_type not in (MEDIA_TYPE, STATEMENT)]
        named = self._named(envelope) if files else {}
        goes, stays = set[bytes](), set[bytes]()
        for cid, digests in named.items():
            (goes if cid in envelope.chosen else stays).update(digests)
        for cid, one in list(envelope.chosen.items()):
            if one in files and one.info.digest in stays | goes:
                del envelope.chosen[cid]
                moved.discard(cid)
                if one.info.digest not in goes:
                    whose = next(name for name, digests in named.items() if one.info.digest in digests)
                    error = UsageError(f"it is a file of record {whose}", hint="name that record: its files go with it")
                    self._refuse(cid, error)
        chosen = list(envelope.chosen.values())
        leaves = {one.content: False for one in chosen}
        leaves |= {one.content: one.info.digest in stays for one in files if one.info.digest in goes}
        lists = [listed.lists[one.info.content_index] for one in chosen if one.info.content_index in listed.lists]
        # A record of FHIR that lists nothing is told by its bytes, as a file is.
        plain = [one for one in chosen if one.info.content_index not in listed.lists and one.info.digest]
        here, there = self._told(envelope, moved)
        return Reseal(
            self._to,
            envelope.scope,
            checked.keys[envelope.cid].key,
            leaves,
            envelope.emergency,
            names=frozenset(name_of(version) for one in lists for version in one.versions if version.name),
            digests=frozenset(one.info.digest for one in plain),
            here=here,
            there=there,
        )

    def _named(self, envelope: _Envelope) -> Mapping[str, set[bytes]]:
        """Return the files that each record of FHIR of an envelope names, by the CID of its header."""
        return {
            one.info.header_cid: set(Restoring(envelope.checked.content(one).read(), lambda _: 0).digests)
            for one in envelope.members
            if one.info.media_type == MEDIA_TYPE
        }

    def _told(self, envelope: _Envelope, moved: set[str]) -> tuple[tuple[Version, ...], tuple[Version, ...]]:
        """Return the versions that whoever reads one of both categories must be told of.

        Or an older one would count again for those who can't see the newer one any more.
        """
        here, there = [], []
        hospital = envelope.members[0].info.hospital
        for history in self._life.histories():
            if history.hospital != hospital or not any(seen.record in envelope.chosen for seen in history.versions):
                continue
            newest = history.versions[-1]
            if newest.record in moved:
                if self._stays(history, moved, envelope.scope):
                    here.append(_blank(newest.version))
            elif self._to is not None and not self._scopes[newest.record].startswith(f"{self._to.value}/"):
                there.append(_blank(newest.version))
        return tuple(here), tuple(there)

    def _stays(self, history: History, moved: set[str], scope: Scope) -> bool:
        return any(seen.record not in moved and self._scopes[seen.record] == scope.text for seen in history.versions)

    def _refuse(self, record_id: str, error: PanaChainError) -> None:
        self._findings.left_out("", f"record {record_id}", error)


_LIST: Final = "panachain records list"


def _blank(version: Version) -> Version:
    """Return a version without the fingerprint of its content, which could be guessed with it."""
    return Version(version.name, version.number, version.updated, base=version.base, print=bytes(PRINT_SIZE))
