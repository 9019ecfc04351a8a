"""Auditing: what a patient does with the read log beside reading it.

Believes no proxy. Follows docs/spec/log.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

from panachain.errors import InputError, PartlyDoneError
from panachain.model.actors import Address
from panachain.model.progress import Progress
from panachain.records import canonical
from panachain.records.findings import LEFT_OUT, Findings
from panachain.records.split import MEDIA_TYPE
from panachain.sdk.access import unread, who_reads
from panachain.sdk.readings import Reading
from panachain.sdk.results.listings import LeftOut, Listed, Listing, unasked
from panachain.sdk.results.log import LogProof
from panachain.sdk.results.policies import AnyPolicy, PolicyView, id_of
from panachain.sdk.times import iso

if TYPE_CHECKING:
    from panachain.model.scope import Scope
    from panachain.records.header import Header
    from panachain.sdk.lanes import OwnHeaders, OwnLanes
    from panachain.sdk.network import Network
    from panachain.sdk.opening import Opening
    from panachain.sdk.profiles import Profile
    from panachain.sdk.read_log import ReadLog
    from panachain.sdk.report_pdf import Report
    from panachain.storage.blocks import BlobStore

_MOST_SIZE: Final = 64 << 20
"""Bytes of a record that a leaked file is compared with."""


@dataclass(frozen=True)
class Keeper:
    """Somebody who may have kept the place in which a record lay before it was moved.

    They were granted a lane in which it lay, for a time at which it did. Header and envelope could be fetched without
    any proxy, and by the lane they may open that place as long as the grant allows it, also once it is deleted. Nobody
    can tell whether they kept it.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     record = next(patient.records())
        ...     # It never was moved.
        ...     patient.auditing.keepers(record.info.header_cid)
        ()
    """

    policy: PolicyView
    """By which they have the lane."""
    since: int
    """From when on they could open the earlier place, Unix seconds; by the hospital's clock where that is when it
    published the record."""
    until: int
    """Until when by this policy, exclusive, Unix seconds."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, a part of `panachain/record-access/1`."""
        return {
            "who": self.policy.grantee,
            "policy_id": self.policy.policy_id,
            "from": iso(self.since),
            "until": iso(self.until),
        }


@dataclass(frozen=True)
class RecordAccess:
    """Who can read one record, and who did.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     record = next(patient.records())
        ...     access = patient.auditing.access(record.info.header_cid)
        >>> [view.grantee_name for view in access.policies]
        ['doctor']
    """

    record: str
    """CID of its header."""
    hospital: Address
    category: str
    year: int
    """0 for a record without a date."""
    policies: tuple[PolicyView, ...]
    """By which somebody can read it now, or from their begin on."""
    readings: tuple[Reading, ...]
    """Who opened what it lies in, refused attempts too, oldest first."""
    left_out: tuple[LeftOut, ...] = ()
    """What the answer lacks: policies in force that can't be read, which may be to anybody; proxies that told nothing
    or what can't be believed; and the record itself, if earlier openings can't be found."""
    keepers: tuple[Keeper, ...] = ()
    """Who may have kept the place in which it lay before it was moved; empty for a record that never was."""

    @property
    def unasked(self) -> tuple[LeftOut, ...]:
        """What of `left_out` may still be told by who asks again: a record's openings before it moved never are."""
        return unasked(self.left_out)

    def to_json(self) -> dict[str, object]:
        """Return it as JSON, schema `panachain/record-access/1`."""
        return {
            "schema": "panachain/record-access/1",
            "record": self.record,
            "hospital": self.hospital,
            "category": self.category,
            "year": self.year,
            "can_read": [
                {
                    "who": view.grantee,
                    "policy_id": view.policy_id,
                    "from": iso(view.starts_at),
                    "until": iso(view.expires_at),
                    "scopes": list(view.scopes),
                    "purposes": list(view.purposes),
                }
                for view in self.policies
            ],
            "did_read": [reading.to_json() for reading in self.readings],
            "may_have_kept": [one.to_json() for one in self.keepers],
            "left_out": [one.to_json() for one in self.left_out],
        }


@dataclass(frozen=True)
class Suspects:
    """From whom something may have leaked, as the proxies tell who opened it.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     record = next(patient.records())
        ...     log = patient.log(records=[record.info.header_cid])
        ...     suspects = Suspects.of(log, log.left_out)
        >>> [one.who for one in suspects.opened], suspects.is_whole
        (['doctor'], True)
    """

    opened: tuple[Reading, ...]
    """Openings for which as many proxies signed as one takes."""
    doubtful: tuple[Reading, ...]
    """Those for which fewer did: they failed, or the others keep silent."""
    refused: tuple[Reading, ...]
    """Attempts that were refused: nothing leaked by them."""
    left_out: tuple[LeftOut, ...] = ()
    """What wasn't read or asked: whoever opened it there isn't named."""

    @classmethod
    def of(cls, readings: Iterable[Reading], left_out: Iterable[LeftOut] = ()) -> Suspects:
        """Sort readings of what leaked; `left_out` is what they lack."""
        found = list(readings)
        served = [one for one in found if one.permitted]
        return cls(
            tuple(one for one in served if one.is_confirmed),
            tuple(one for one in served if not one.is_confirmed),
            tuple(one for one in found if not one.permitted),
            tuple(left_out),
        )

    @property
    def people(self) -> tuple[str, ...]:
        """Addresses of those who opened it, each once."""
        return tuple(dict.fromkeys(one.requester for one in self.opened))

    @property
    def is_whole(self) -> bool:
        """Whether everything was read and asked that could name somebody."""
        return not self.left_out

    @property
    def unasked(self) -> tuple[LeftOut, ...]:
        """What of `left_out` may still name somebody for who asks again; see `RecordAccess.unasked`."""
        return unasked(self.left_out)


class Audited(Protocol):
    """What this module needs of a patient's session."""

    network: Network
    profile: Profile

    def log(self, *, records: Collection[str], progress: Progress | None = None) -> Listed[Reading]:
        """As `Patient.log`."""
        ...

    def records(self, *, history: bool) -> Opening:
        """As `Patient.records`."""
        ...


class Auditing:
    """What a patient has proven of their log.

    Examples:
        >>> with connect("me", role="patient") as patient:
        ...     proofs = patient.auditing.verify()
        >>> all(proof.proven for proof in proofs)
        True
    """

    def __init__(
        self, patient: Audited, log: ReadLog, lanes: OwnLanes, policies: Callable[[], Listing[PolicyView]]
    ) -> None:
        """Take the patient's session, read log and lanes, and what gives their policies."""
        self._patient = patient
        self._policies = policies
        self._log = log
        self._lanes = lanes

    def verify(self, policy: AnyPolicy | None = None, *, progress: Progress | None = None) -> Listing[LogProof]:
        """Return what each proxy proved: that the receipts that it showed are all that its log has of a policy.

        Each proof is checked against the receipts, the log that the proxy proved before, the checkpoints that other
        proxies cosigned, and its newest anchor on the mainchain. A proof that fails is in the list with its reason.

        Args:
            policy: only this one's; None means all.
            progress: is told how many policies' proxies were asked.

        Raises:
            PolicyUnknownError: the policy isn't this patient's.
        """
        return self._log.verify(None if policy is None else id_of(policy), progress)

    def named(self, readings: Iterable[Reading], *, records: bool = False) -> Listing[Reading]:
        """Return readings with names, roles and organisations of the people, and with the records that these were.

        Args:
            readings: as `panachain.sdk.readings.readings` makes them of `Patient.receipts`, or from `Patient.log`,
                which names them already: nobody is asked for these again.
            records: look into the patient's lanes, and name the records in what was opened.

        Returns:
            The readings; `left_out` names what of the lanes couldn't be read.
        """
        found = self._log.named(readings)
        if not records:
            return Listing(found)
        # Imported here: most commands of a patient look at no capsule.
        from panachain.consent.receipts import mark_of

        findings = Findings()
        by_mark = {
            mark_of(capsule): of
            for capsule, of in _records_by_capsule(self._lanes, self._patient.network.store, findings).items()
        }
        named = [
            replace(
                one, records=tuple(dict.fromkeys(cid for mark in sorted(one.marks) for cid in by_mark.get(mark, ())))
            )
            for one in found
        ]
        return Listing(named, [LeftOut("records", one.hospital, str(one)) for one in findings.omissions])

    def report(self, year: int, *, name: str = "", progress: Progress | None = None) -> Report:
        """Return who opened what in a year, refused attempts too, with what the proxies prove of it.

        Args:
            year: by UTC, from 2020 on.
            name: what the report calls the patient; empty for the profile's name.
            progress: is told how many policies' proxies were asked.

        Raises:
            UsageError: there is no such year yet.
        """
        # Imported here: most sessions write no report.
        from panachain.sdk.reports import checked_year, of_patient

        network, profile = self._patient.network, self._patient.profile
        now = int(network.clock())
        checked_year(year, now)
        told = self._patient.log(records=(), progress=progress)
        found = list(told)
        named = self.named(found, records=True)
        proofs = self.verify(progress=progress)
        left_out = {str(one): one for one in (*told.left_out, *named.left_out, *proofs.left_out)}
        return of_patient(
            year,
            named,
            proofs,
            list(left_out.values()),
            patient=profile.address,
            name=name or profile.name,
            network=f"{network.mainchain.chain_id}, access log {network.mainchain.log.address}",
            now=now,
        )

    def access(self, record_id: str, *, progress: Progress | None = None) -> RecordAccess:
        """Return who can read one record, by which policies and until when, and who opened what it lies in.

        Args:
            record_id: CID of its header.
            progress: is told how many policies' proxies were asked.

        Raises:
            UnknownActorError: no record of this patient has this ID.
        """
        from panachain.consent.receipts import mark_of

        findings = Findings()
        # Once for all that is told of it.
        headers = list(self._lanes.headers(findings))
        own, header = _header(headers, record_id, findings)
        info = header.info
        known = self._policies()
        policies = who_reads(known, info.category, info.year)
        capsules = self._lanes.capsules_of([record_id], (headers, findings))
        readings = self._log.readings(None, progress, marks=frozenset(map(mark_of, capsules)))
        left_out = {str(one): one for one in (*unread(known.left_out), *readings.left_out, *capsules.left_out)}
        return RecordAccess(
            record_id,
            info.hospital,
            info.category.value,
            info.year,
            tuple(policies),
            tuple(readings),
            tuple(left_out.values()),
            self._keepers(own, header, known),
        )

    def keepers(self, record_id: str) -> tuple[Keeper, ...]:
        """Return who may have kept the place in which a record lay before it was moved; nobody if it never was.

        Args:
            record_id: CID of its header.

        Raises:
            UnknownActorError: no record of this patient has this ID.
        """
        findings = Findings()
        own, header = _header(self._lanes.headers(findings), record_id, findings)
        return self._keepers(own, header, self._policies()) if header.replaces else ()

    def _keepers(self, own: OwnHeaders, header: Header, known: Iterable[PolicyView]) -> tuple[Keeper, ...]:
        if not header.replaces:
            return ()
        views, stored = {view.policy_id: view for view in known}, header.info.stored_at
        return tuple(
            Keeper(views[policy_id], max(times.start, stored), times.stop)
            for policy_id, times in self._log.holders(_lanes_before(self._lanes, own, header))
            # What was over before there was a record has nothing of it.
            if policy_id in views and times.stop > max(times.start, stored)
        )

    def find_record(self, plaintext: bytes) -> Listing[str]:
        """Return the records that hold a leaked plaintext: the same bytes, or one of its FHIR resources.

        `left_out` names what couldn't be read, or is too large to be compared: it may hold the plaintext, too.

        Args:
            plaintext: what leaked, as it was opened; JSON may have been written anew.
        """
        wanted = _digests(plaintext)
        found, left_out = list[str](), list[LeftOut]()
        opening = self._patient.records(history=True)
        try:
            for record in opening:
                if record.info.size <= _MOST_SIZE:
                    try:
                        if not wanted.isdisjoint(_digests(record.content)):
                            found.append(record.info.header_cid)
                    except LEFT_OUT as exc:
                        # Read only now, and not there or not true: it keeps the others from nothing.
                        left_out.append(LeftOut("record", record.info.header_cid, str(exc)))
                elif record.info.media_type == MEDIA_TYPE or record.info.size == len(plaintext):
                    # Others have no resource in them, and other bytes if their number differs.
                    reason = f"its {record.info.size} bytes are too many to be compared"
                    left_out.append(LeftOut("record", record.info.header_cid, reason))
        except (PartlyDoneError, *LEFT_OUT):
            # At its end it raises what it left out, which is told here; anything else is no answer at all.
            if not opening.omissions:
                raise
        left_out += [LeftOut("records", one.hospital, str(one)) for one in opening.omissions]
        return Listing(found, left_out)


def _header(headers: Iterable[OwnHeaders], record_id: str, findings: Findings) -> tuple[OwnHeaders, Header]:
    # Imported here: most sessions ask about no record.
    from panachain.sdk.lanes import no_record

    for own in headers:
        for header in own.headers:
            if header.info.header_cid == record_id:
                return own, header
    raise no_record(record_id, findings)


def _lanes_before(lanes: OwnLanes, own: OwnHeaders, record: Header) -> frozenset[tuple[Scope, int]]:
    """Return the lanes, by scope and generation, in which a record may have lain before it was moved.

    Where an old header is gone, its lanes follow from what stands for it: from a statement that it left another
    category, and else from the epochs of the record itself, which was wrapped anew in its own. None for a record
    that never was moved. As true as its hospital's statements are; a lane too many may be among them, of a
    generation that was over when the record was published.

    Args:
        lanes: the patient's.
        own: what its hospital has in the lanes.
        record: its present header.
    """
    # Imported here, as below: most commands of a patient ask nothing of this.
    from panachain.model.records import STATEMENT
    from panachain.model.scope import path_of

    left = set(record.replaces)
    if not left:
        return frozenset()
    generations = lanes.generations(Findings())
    by_itself = lanes.in_emergency(own, generations)
    places: list[tuple[Header, range]] = []
    for one in own.headers:
        if one.info.media_type == STATEMENT and not left.isdisjoint(one.replaces):
            places.append((one, range(one.info.generation + 1)))
    left -= {cid for one, _ in places for cid in one.replaces}
    if left:
        # In its own category: once more where only the list beside it was changed.
        places.append((record, range(record.info.generation, max(record.epoch, record.info.generation + 1))))
    found: set[tuple[Scope, int]] = set()
    for one, epochs in places:
        path = path_of(one.info.category, one.info.year, emergency=one.info.envelope_cid in by_itself)
        found |= {(scope, generations.at(scope, epoch)) for scope in path for epoch in epochs}
    return frozenset(found)


def _records_by_capsule(lanes: OwnLanes, store: BlobStore, findings: Findings) -> dict[bytes, tuple[str, ...]]:
    """Return which records lie in the envelope of each capsule of all lanes: CIDs of headers, withdrawn ones too.

    Args:
        lanes: the patient's.
        store: has the envelopes.
        findings: is told what can't be read.
    """
    from panachain.crypto import umbral
    from panachain.ipld.cid import CID
    from panachain.records.header import SLOTS, wrap_at

    envelopes: dict[tuple[Address, str], dict[str, None]] = {}
    for own in lanes.headers(findings):
        for header in own.headers:
            place = header.info.hospital, header.info.envelope_cid
            envelopes.setdefault(place, {})[header.info.header_cid] = None
    found: dict[bytes, tuple[str, ...]] = {}
    for (hospital, cid), records in envelopes.items():
        with findings.alone(hospital, f"envelope {cid}"):
            block = store.get_block(CID.parse(cid))
            found |= {umbral.capsule_of(wrap_at(block, slot)): tuple(records) for slot in range(SLOTS)}
    return found


def _digests(content: bytes) -> frozenset[bytes]:
    """Return digests of some bytes, and where they are JSON of it in one form and of each FHIR resource in it."""
    found = {sha256(content).digest()}
    try:
        value = canonical.parse(content)
    except InputError:
        return frozenset(found)
    entries = value.get("entry") if isinstance(value, dict) else None
    resources = [one.get("resource") for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    for one in (value, *resources):
        if isinstance(one, dict) and one:
            found.add(sha256(canonical.dump(one, sort=True)).digest())
    return frozenset(found)
