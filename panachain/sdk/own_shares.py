"""A reader's own share of the read log: what they opened, for whom, and what the proxies' logs prove of it.

To its reader it proves that what is listed is in the logs, as proxies signed it; it can't prove that nothing lacks,
since only the patients can read the logs: it says so, and says how much this machine doesn't remember. Handed to the
reader's hospital it is signed, so that nobody else can make one; there it is a statement, which proves nothing about a
proxy nor that anybody opened anything, since a place in a log tells nobody what was logged. Believes no proxy.
Follows docs/spec/log.md, section "A reader's own share".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from panachain.chain.codec import encode
from panachain.chain.signing import Account, recover_digest, typed_digest
from panachain.consent.log_checkpoint import Cosigned
from panachain.consent.log_tree import LogTree, check_inclusion
from panachain.crypto.keys import Seed
from panachain.errors import IntegrityError, PanaChainError, UsageError
from panachain.ethereum import keccak, parse_address
from panachain.model.actors import Actor, Address, Role, Status
from panachain.model.policy import ProxyRef
from panachain.proxy import messages
from panachain.sdk.names import Names
from panachain.sdk.network import Network
from panachain.sdk.own_readings import MOST, OwnReadings, read_number, read_reading, read_time
from panachain.sdk.profiles import Profile
from panachain.sdk.proxies import Proxies
from panachain.sdk.report_pdf import Report
from panachain.sdk.results.listings import LeftOut
from panachain.sdk.results.records import HandedIn, OwnReading, ProvenReading

if TYPE_CHECKING:
    from panachain.sdk.reports import StatedReading

SCHEMA: Final = "panachain/own-share/1"
MOST_SIZE: Final = 64 << 20
"""Bytes of a share that is read."""
_TYPE: Final = keccak("OwnShare(address reader,uint64 year,bytes32 content)")


class OwnShare:
    """What one reader opened.

    Examples:
        >>> with connect("doctor", role="practitioner") as doctor:
        ...     report = doctor.share.report(2026)
        >>> report.year
        2026
    """

    def __init__(self, network: Network, profile: Profile, seed: Seed, proxies: Proxies, names: Names) -> None:
        """Take the reader's session: its keys, its memory and its connections."""
        self._network = network
        self._profile = profile
        self._seed = seed
        self._proxies = proxies
        self._names = names

    def readings(self, year: int) -> list[OwnReading]:
        """Return what this machine remembers of a year (UTC), oldest first.

        Raises:
            UsageError: there is no such year yet.
        """
        from panachain.sdk.reports import checked_year, year_of

        checked_year(year, int(self._network.clock()))
        known = OwnReadings(self._profile.folder, self._seed).all()
        return self._names.fill(one for one in known if year_of(one.at) == year)

    def prove(self, year: int) -> list[ProvenReading]:
        """Return what this machine remembers of a year, each with what the proxies' logs prove of it."""
        return prove(self._network, self._proxies, self.readings(year))

    def report(self, year: int, *, name: str = "") -> Report:
        """Return what this reader opened in a year, for whom, with what the proxies' logs prove of it.

        Args:
            year: by UTC.
            name: what the report calls the reader; empty for the profile's name.
        """
        from panachain.sdk.reports import of_reader

        dropped = OwnReadings(self._profile.folder, self._seed).dropped(year)
        return of_reader(
            year,
            self.prove(year),
            dropped=dropped,
            reader=self._profile.address,
            role=self._profile.role,
            name=name or self._profile.name,
            now=int(self._network.clock()),
        )

    def hand_in(self, year: int) -> bytes:
        """Return what this machine remembers of a year as a share for the reader's hospital, signed: JSON."""
        fields: dict[str, Any] = {
            "schema": SCHEMA,
            "reader": self._profile.address,
            "year": year,
            "made_at": int(self._network.clock()),
            "dropped": OwnReadings(self._profile.folder, self._seed).dropped(year),
            "readings": [_handed(one) for one in self.readings(year)],
        }
        digest = _digest(self._network.mainchain.log.domain, fields)
        signature = Account(self._seed.account_key()).sign_digest(digest)
        return messages.canonical(fields | {"signature": signature.hex()})


def open_share(content: bytes, *, domain: bytes) -> HandedIn:
    """Return a share that somebody handed in, after its signature was checked: what is in it, its reader states.

    Args:
        content: the file.
        domain: of the network's access log.

    Raises:
        IntegrityError: it is none, nobody who is named in it signed it, or it holds an opening of another year.
    """
    # Imported here: most sessions report nothing.
    from panachain.sdk.reports import year_of

    if len(content) > MOST_SIZE:
        raise IntegrityError(f"a share has at most {MOST_SIZE} bytes")
    try:
        fields = messages.parse_json(content)
        if fields["schema"] != SCHEMA:
            raise ValueError("another schema")
        signature = bytes.fromhex(fields.pop("signature"))
        reader = parse_address(fields["reader"])
        if len(fields["readings"]) > MOST:
            raise ValueError("more than a machine remembers of a year")
        found = HandedIn(
            reader,
            read_number(fields["year"]),
            read_time(fields["made_at"]),
            read_number(fields["dropped"]),
            tuple(read_reading(_kept(one)) for one in fields["readings"]),
        )
        signer = recover_digest(_digest(domain, fields), signature)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError, UsageError) as exc:
        raise IntegrityError("this is no share of a reader's") from exc
    if signer != reader:
        raise IntegrityError(f"the share names {reader}, who didn't sign it")
    if any(year_of(one.at) != found.year for one in found.readings):
        raise IntegrityError(f"the share is of {found.year} and holds an opening of another year")
    return found


def report_of_house(
    network: Network,
    proxies: Proxies,
    year: int,
    shares: Sequence[tuple[str, bytes]],
    *,
    house: Address,
    name: str,
    names: Names,
) -> Report:
    """Return what the practitioners of a hospital opened in a year, by the shares that they handed in.

    Args:
        network: whose registry says who belongs to the hospital.
        proxies: connections.
        year: by UTC.
        shares: files as `OwnShare.hand_in` gives them, each by its name. One that is none, or of somebody else's, is
            named in the report and costs no other.
        house: the hospital.
        name: what the report calls it.
        names: what this machine calls people.
    """
    # Imported here: most sessions report nothing.
    from panachain.sdk.reports import checked_year, of_house

    now = int(network.clock())
    checked_year(year, now)
    people = [one for one in network.sidechain.identities.find() if one.role is Role.PRACTITIONER]
    staff = {one.address for one in people if one.organisation == house}
    known = {one.address: one for one in network.mainchain.actors.find(Role.PROXY)}
    found, left_out = dict[Address, HandedIn](), list[LeftOut]()
    for file, content in shares:
        try:
            one = open_share(content, domain=network.mainchain.log.domain)
            if one.reader not in staff:
                raise IntegrityError(f"{one.reader} isn't a practitioner of this hospital")
            if one.year != year:
                raise IntegrityError(f"it is of {one.year}")
            strange = {receipt.proxy for reading in one.readings for receipt in reading.receipts} - known.keys()
            if strange:
                raise IntegrityError(f"it names {min(strange)}, which is no proxy of this network")
        except IntegrityError as exc:
            left_out.append(LeftOut("share", file, str(exc)))
            continue
        # Of two the later one: it has what the other has, and more.
        if one.reader not in found or found[one.reader].made_at < one.made_at:
            found[one.reader] = one
    several = list(found.values())
    placed = _placed(proxies, known, [names.fill(one.readings) for one in several])
    active = {one.address for one in people if one.organisation == house and one.status is Status.ACTIVE}
    return of_house(
        year,
        list(zip(several, placed, strict=True)),
        left_out,
        absent=sorted(active - found.keys()),
        house=house,
        name=name,
        names=names,
        now=now,
    )


def _placed(
    proxies: Proxies, known: Mapping[Address, Actor], shares: Sequence[Sequence[OwnReading]]
) -> list[list[StatedReading]]:
    """Return the openings of shares, each with how many of the places that it names logs have.

    Leaf hashes are public, so anybody can name any of them: a place that is named twice counts for neither opening.
    """
    from panachain.sdk.reports import StatedReading

    named = Counter(receipt for share in shares for one in share for receipt in one.receipts)
    logs = {address: _Log(proxies, known.get(address)) for address in sorted({receipt.proxy for receipt in named})}
    # By their order in the logs: whoever jumps about in them has each tile fetched many times.
    ordered = sorted(named, key=lambda receipt: (receipt.proxy, receipt.sequence))
    told = {receipt: logs[receipt.proxy].has(receipt.sequence, receipt.leaf) for receipt in ordered}

    def stated(one: OwnReading) -> StatedReading:
        own = [receipt for receipt in one.receipts if named[receipt] == 1]
        counted = Counter(told[receipt] for receipt in own)
        shared = len(one.receipts) - len(own)
        return StatedReading(one, counted["proven"], counted["missing"], counted["open"], shared)

    return [[stated(one) for one in share] for share in shares]


def prove(network: Network, proxies: Proxies, readings: Iterable[OwnReading]) -> list[ProvenReading]:
    """Return openings of the reader's own, each with what the proxies' logs prove of it.

    Only of what this machine remembers, which checked what proxies signed: of a share that somebody handed in it would
    prove nothing.
    """
    several = list(readings)
    wanted = {receipt.proxy for one in several for receipt in one.receipts}
    try:
        known = {one.address: one for one in network.mainchain.actors.find(Role.PROXY)} if wanted else {}
    except PanaChainError:
        # Nothing is proven now; what is remembered is told all the same.
        known = {}
    logs = {address: _Log(proxies, known.get(address)) for address in sorted(wanted)}
    found = []
    for one in several:
        told: dict[str, dict[Address, None]] = {"proven": {}, "missing": {}, "open": {}}
        for receipt in one.receipts:
            told[logs[receipt.proxy].has(receipt.sequence, receipt.leaf)][receipt.proxy] = None
        # One that lacks one of them has proven nothing.
        missing = tuple(told["missing"])
        waits = tuple(proxy for proxy in told["open"] if proxy not in missing)
        proven = tuple(proxy for proxy in told["proven"] if proxy not in (*missing, *waits))
        found.append(ProvenReading(one, proven, missing, waits))
    return found


class _Log:
    """One proxy's log, asked for by tiles."""

    def __init__(self, proxies: Proxies, actor: Actor | None) -> None:
        self._opened: Cosigned | None = None
        self._tree: LogTree | None = None
        try:
            if actor is not None:
                proxy = ProxyRef.of(actor)
                self._opened = proxies.checkpoint(proxy)
                self._tree = LogTree(lambda *tile: proxies.tile(proxy, *tile), self._opened.checkpoint.size)
        except PanaChainError:
            # It proves nothing now; the others' logs count without it.
            self._opened = None

    def has(self, sequence: int, leaf: bytes) -> str:
        """Tell whether a leaf is there: `proven`, `missing` or `open`."""
        if self._opened is None or self._tree is None or sequence > self._opened.checkpoint.size:
            return "open"
        root, size = self._opened.checkpoint.root, self._opened.checkpoint.size
        try:
            path = self._tree.inclusion(sequence - 1)
            check_inclusion(root, size=size, index=sequence - 1, leaf=leaf, path=path)
        except IntegrityError:
            return "missing"
        except PanaChainError:
            return "open"
        return "proven"


def _digest(domain: bytes, fields: Mapping[str, Any]) -> bytes:
    content = sha256(messages.canonical(fields)).digest()
    values: Sequence[Any] = (_TYPE, fields["reader"], fields["year"], content)
    return typed_digest(domain, keccak(encode(["bytes32", "address", "uint64", "bytes32"], values)))


def _handed(one: OwnReading) -> dict[str, Any]:
    # A receipt in one text: a share nests no deeper than the proxies' messages, whose parser reads it.
    places = [f"{receipt.proxy} {receipt.sequence} {receipt.leaf.hex()}" for receipt in one.receipts]
    return one.to_json() | {"at": one.at, "receipts": places}


def _kept(fields: Mapping[str, Any]) -> dict[str, Any]:
    places = [str(one).split(" ") for one in fields["receipts"]]
    receipts = [(bytes.fromhex(proxy[2:]), int(sequence), bytes.fromhex(leaf)) for proxy, sequence, leaf in places]
    people = {"patient": parse_address(fields["patient"]), "policy_id": parse_address(fields["policy_id"])}
    return {**fields, **people, "receipts": receipts}
