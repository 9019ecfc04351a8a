"""Yearly reports: who opened what of a patient's, and what a practitioner or a hospital opened, for whom.

Says what it proves and what it doesn't, and what couldn't be looked at: a list that looks whole and isn't is worse than
none. Pure: readings and proofs come in. Follows docs/spec/log.md, section "Reports"; the columns are those that
45 CFR 164.528(b)(2) and Regulation (EU) 2025/327, Article 9(2), ask for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from panachain.consent.explain import PURPOSES
from panachain.errors import UsageError
from panachain.model.actors import Address, Role, handle_of
from panachain.model.scope import Purpose
from panachain.sdk.log_exports import disagreement, many
from panachain.sdk.readings import Reading
from panachain.sdk.report_pdf import MOST, Part, Report
from panachain.sdk.results.listings import LeftOut
from panachain.sdk.results.log import LogProof
from panachain.sdk.results.records import HandedIn, OwnReading, ProvenReading
from panachain.sdk.times import iso

if TYPE_CHECKING:
    from panachain.sdk.names import Names

FIRST: Final = 2020
"""Years before had no openings."""
_LAW: Final = (
    "The columns are those that 45 CFR 164.528(b)(2) asks of an accounting of disclosures (date, recipient, "
    "description, purpose) and Regulation (EU) 2025/327, Article 9(2), of information on access (who, when, which "
    "data)."
)


def checked_year(year: int, now: int) -> None:
    """Check that there can be a report of a year.

    Raises:
        UsageError: it is to come, or before there was anything.
    """
    if not FIRST <= year <= year_of(now):
        raise UsageError(f"there is no report of {year}: years go from {FIRST} to {year_of(now)}")


def year_of(at: int) -> int:
    """Return the year of a time in UTC, by which reports go."""
    return datetime.fromtimestamp(at, UTC).year


def of_patient(
    year: int,
    readings: Iterable[Reading],
    proofs: Sequence[LogProof],
    left_out: Sequence[LeftOut],
    *,
    patient: Address,
    name: str,
    network: str,
    now: int,
) -> Report:
    """Return who opened what of a patient's in a year.

    Args:
        year: by UTC.
        readings: all that are known, with names and records (`Auditing.named`).
        proofs: what the proxies proved of the same log.
        left_out: what couldn't be looked at.
        patient: whose.
        name: what the report calls the patient, beside the handle.
        network: which one, for whoever looks it up.
        now: when it is made, Unix seconds.
    """
    found = [one for one in readings if year_of(one.at) == year]
    served = [one for one in found if one.permitted and one.is_confirmed]
    said = [one for one in found if not one.is_confirmed]
    refused = sum(not one.permitted for one in found)
    people = {one.requester for one in served}
    doubted = [one for one in found if disagreement(one)]
    late = [one for one in found if one.late]
    summary = [
        f"{many(len(served), 'opening')} by {many(len(people), 'person', 'people')}, "
        f"{many(refused, 'refused attempt')}.",
        *(
            [
                f"{many(len(said), 'more opening')} said by fewer proxies than one takes, and not counted: it failed, "
                "others keep silent, or one of them lies."
            ]
            * bool(said)
        ),
        *(
            [
                f"Of {len(late)} of them proxies signed that they served after the permission's end: they convict "
                "themselves."
            ]
            * bool(late)
        ),
        *([f"Of {len(doubted)} of them the proxies don't say the same; each line tells."] * bool(doubted)),
    ]
    table = Part(
        "Who opened what",
        (_beyond(found),) if len(found) > MOST else (() if found else ("Nobody opened anything, and nobody tried.",)),
        ("When (UTC)", "Who", "Of", "What", "Why", "What happened", "Permission"),
        (13, 18, 15, 22, 12, 19, 9),
        tuple(
            (
                _when(one.at),
                _person(one),
                _house(one),
                _what(one),
                purpose_words(one.purpose),
                _happened(one),
                _short(one.policy_id),
            )
            for one in found[:MOST]
        ),
    )
    return Report(
        f"Who opened my health records in {year}",
        year,
        now,
        len(found),
        about=(
            ("Patient", _called(name, patient, Role.PATIENT)),
            ("Made", f"{iso(now)} by PanaChain, network {network}"),
        ),
        summary=(*summary, _complete(proofs, left_out, year, now)),
        complete=not left_out and all(proof.proven for proof in proofs),
        parts=(table, _proofs(proofs, left_out), _meaning(_PATIENT_PROVES, _PATIENT_NOT), _who(found)),
    )


_PATIENT_PROVES: Final = (
    "Each line was signed by the proxies that helped, since no opening works without several of them. Where a "
    "proxy is listed as proven, it proved by its log, which other proxies cosign and the chain anchors, that it "
    "showed all that it has about these permissions. One honest proxy among those that helped is enough that an "
    "opening is here."
)
_PATIENT_NOT: Final = (
    "It doesn't show what somebody did with what they opened, who looked over a shoulder, or what a hospital has "
    "in its own systems. It doesn't show openings by proxies that all wrote no receipt, together with a reader "
    "who accepted that. Roles and organisations are those of the registry on the day on which this was made. This "
    "file is no proof by itself: the proofs are files of their own (panachain log --verify --proofs FOLDER)."
)


_OWN_PROVES: Final = (
    "Each opening that is listed as proven stands in the logs of as many proxies as are named, at the places that "
    "they signed, and these logs are signed, too. The patients' own logs show the same openings."
)
_OWN_NOT: Final = (
    "It doesn't prove that nothing is missing: it is what the readers' machines remember, and only the patients "
    "can read the whole logs. What was opened on another machine isn't here. It doesn't show what was done with "
    "what was opened. It is the reader's own account: what is proven is proven to their machine, which checked what "
    "proxies signed when they answered, and to nobody else by this file."
)
_HOUSE_PROVES: Final = (
    "This is what practitioners state, each by the signature of their account. It doesn't prove that they opened it, "
    "nor for whom, why or when. A place in a proxy's log shows only that something was logged there, since logs tell "
    "nobody but the patient what; anybody can name places, and one that is named more than once counts for no opening. "
    "A place that a log doesn't have says nothing against its proxy."
)
_HOUSE_NOT: Final = (
    "Nothing here shows that something is missing, or that nothing is: only the patients can read the whole logs, "
    "and their own show who opened what. It doesn't show what was done with what was opened."
)
_OWN_COLUMNS: Final = ("When (UTC)", "Patient", "What", "Why", "Records", "Permission", "Proven by the logs")
_HOUSE_COLUMNS: Final = ("Who states it", *_OWN_COLUMNS[:-1], "Places in the logs")
_OWN_WIDTHS: Final = (13, 20, 20, 13, 8, 10, 24)


@dataclass(frozen=True)
class StatedReading:
    """An opening that a practitioner states in a share, and how many of the places that it names logs have."""

    reading: OwnReading
    there: int
    """So many have the leaf that is named: something was logged there, and nobody but the patient knows what."""
    missing: int
    """So many have another."""
    open: int
    """So many can't be looked at now."""
    shared: int
    """So many are named more than once, and count for no opening."""


def of_reader(
    year: int,
    readings: Sequence[ProvenReading],
    *,
    dropped: int,
    reader: Address,
    role: Role,
    name: str,
    now: int,
) -> Report:
    """Return what one reader opened in a year.

    Args:
        year: by UTC.
        readings: those of the year, with what the logs prove of each.
        dropped: how many of the year aren't remembered any more.
        reader: who.
        role: what they are.
        name: what the report calls them.
        now: when it is made, Unix seconds.
    """
    patients = {one.reading.patient for one in readings}
    table = Part(
        "What I opened",
        (_beyond(readings),) * (len(readings) > MOST) or ("This machine remembers no opening.",) * (not readings),
        _OWN_COLUMNS,
        _OWN_WIDTHS,
        tuple(_own_row(one) for one in readings[:MOST]),
    )
    return Report(
        f"What I opened in {year}, and for whom",
        year,
        now,
        len(readings),
        (("Reader", _called(name, reader, role)), ("Made", f"{iso(now)} by PanaChain")),
        (f"{many(len(readings), 'opening')} of {many(len(patients), 'patient')}.", *_own_summary(readings, dropped)),
        (table, _meaning(_OWN_PROVES, _OWN_NOT)),
        complete=_own_complete(readings, dropped),
    )


def of_house(
    year: int,
    shares: Sequence[tuple[HandedIn, Sequence[StatedReading]]],
    left_out: Sequence[LeftOut],
    *,
    absent: Sequence[Address],
    house: Address,
    name: str,
    names: Names,
    now: int,
) -> Report:
    """Return what a hospital's practitioners state that they opened in a year, by what they handed in.

    Args:
        year: by UTC.
        shares: what each handed in, with which of the places that it names the logs have.
        left_out: what was handed in and doesn't count.
        absent: practitioners of the hospital who handed in nothing.
        house: the hospital.
        name: what the report calls it.
        names: what this machine calls people.
        now: when it is made, Unix seconds.
    """
    rows = sorted(
        ((share.reader, one) for share, several in shares for one in several), key=lambda row: row[1].reading.at
    )
    readings = [one for _, one in rows]
    dropped = sum(share.dropped for share, _ in shares)
    people = {share.reader: names.of(share.reader, Role.PRACTITIONER) for share, _ in shares}
    table = Part(
        "What we opened",
        (_beyond(rows),) * (len(rows) > MOST) or ("Nobody handed in an opening.",) * (not rows),
        _HOUSE_COLUMNS,
        (15, *_OWN_WIDTHS),
        tuple((_named(people[who], who, Role.PRACTITIONER.value), *_stated_row(one)) for who, one in rows[:MOST]),
    )
    missing = [_named(names.of(one, Role.PRACTITIONER), one, Role.PRACTITIONER.value) for one in absent]
    handed = Part(
        "Who handed in their share",
        (
            *(("Nothing was handed in by: " + ", ".join(missing) + ".",) * bool(missing)),
            *(f"Not counted: {one}" for one in left_out),
        ),
        ("Practitioner", "Made (UTC)", "Openings", "Not remembered any more"),
        (30, 20, 15, 20),
        tuple(
            (
                _named(people[share.reader], share.reader, Role.PRACTITIONER.value),
                _when(share.made_at),
                str(len(several)),
                str(share.dropped),
            )
            for share, several in shares
        ),
    )
    lacking = (
        f"{many(len(absent), 'practitioner')} of ours handed in nothing: what they opened isn't here." if absent else ""
    )
    patients = {one.reading.patient for one in readings}
    return Report(
        f"What we opened in {year}, and for whom",
        year,
        now,
        len(rows),
        (("Hospital", _called(name, house, Role.HOSPITAL)), ("Made", f"{iso(now)} by PanaChain")),
        (
            f"{many(len(rows), 'opening')} of {many(len(patients), 'patient')}, "
            f"as {many(len(shares), 'practitioner states', 'practitioners state')}.",
            *([lacking] * bool(lacking)),
            *_stated_summary(readings),
            *_dropped(dropped),
        ),
        (table, handed, _meaning(_HOUSE_PROVES, _HOUSE_NOT)),
        complete=not absent
        and not left_out
        and not dropped
        and all(one.there and not one.missing and not one.shared for one in readings),
    )


def _own_row(one: ProvenReading) -> tuple[str, ...]:
    return (*_row(one.reading), _own_proof(one))


def _stated_row(one: StatedReading) -> tuple[str, ...]:
    told = [
        *([f"{many(one.there, 'is', 'are')} there"] * bool(one.there)),
        *([f"{many(one.missing, 'is', 'are')} not"] * bool(one.missing)),
        *([f"{many(one.shared, 'is', 'are')} named more than once"] * bool(one.shared)),
        *([f"{one.open:,} can't be looked at now"] * bool(one.open)),
    ]
    return (*_row(one.reading), "; ".join(told) or "names none")


def _row(reading: OwnReading) -> tuple[str, ...]:
    parts = [*reading.categories, *("undated" if year == 0 else str(year) for year in reading.years)]
    left = f", {reading.left_out} left out" if reading.left_out else ""
    return (
        _when(reading.at),
        _named(reading.patient_name, reading.patient, Role.PATIENT.value),
        ", ".join(parts) or "all that the permission opens",
        purpose_words(reading.purpose),
        f"{reading.records}{left}",
        _short(reading.policy_id),
    )


def _own_proof(one: ProvenReading) -> str:
    told = [f"yes, by {many(len(one.proven), 'proxy', 'proxies')}"] * bool(one.proven)
    told += [f"not in the log of {', '.join(handle_of(proxy, Role.PROXY) for proxy in one.missing)}"] * bool(
        one.missing
    )
    told += [f"{many(len(one.open), 'proxy', 'proxies')} can't tell now"] * bool(one.open)
    return "; ".join(told) or "no place in a log is remembered"


def _own_summary(readings: Sequence[ProvenReading], dropped: int) -> list[str]:
    proven = sum(bool(one.proven) and not one.missing for one in readings)
    missing = sum(bool(one.missing) for one in readings)
    return [
        f"{proven:,} of {len(readings):,} are proven by the proxies' logs. "
        "Only the patients' own logs show whether there were others.",
        *([f"{many(missing, 'opening')} isn't in a log whose proxy signed it: tell the registrar."] * bool(missing)),
        *_dropped(dropped),
    ]


def _stated_summary(readings: Sequence[StatedReading]) -> list[str]:
    there = sum(bool(one.there) and not one.missing and not one.shared for one in readings)
    missing, shared = sum(bool(one.missing) for one in readings), sum(bool(one.shared) for one in readings)
    return [
        "This is what practitioners state, not what is proven. "
        f"{there:,} of {len(readings):,} name places in logs where something was logged; "
        "the patients' own logs show what, and whether there was more.",
        *([f"{many(missing, 'opening names', 'openings name')} places that the logs don't have."] * bool(missing)),
        *([f"{many(shared, 'opening names', 'openings name')} places that are named more than once."] * bool(shared)),
    ]


def _dropped(number: int) -> list[str]:
    return [f"{many(number, 'earlier opening')} of the year isn't remembered any more."] * bool(number)


def _own_complete(readings: Sequence[ProvenReading], dropped: int) -> bool:
    return not dropped and all(one.proven and not one.missing for one in readings)


def purpose_words(code: str) -> str:
    """Return a purpose in words; a code that no version of ours knows as it is."""
    try:
        return PURPOSES[Purpose(code)]
    except ValueError:
        return code or "not stated"


def _complete(proofs: Sequence[LogProof], left_out: Sequence[LeftOut], year: int, now: int) -> str:
    lacking = [proof for proof in proofs if not proof.proven]
    running = " The year isn't over: this is up to the day on which it was made." if year_of(now) <= year else ""
    if lacking or left_out:
        return (
            f"This report may not be complete: {many(len(lacking), 'log')} of {len(proofs)} couldn't be proven, and "
            f"{many(len(left_out), 'thing')} couldn't be looked at. What there is is listed below.{running}"
        )
    if not proofs:
        return f"No permission was ever given, so there was nothing to be proven.{running}"
    return f"Every log was proven to be complete, {len(proofs):,} in all.{running}"


def _proofs(proofs: Sequence[LogProof], left_out: Sequence[LeftOut]) -> Part:
    by_proxy: dict[Address, list[LogProof]] = {}
    for proof in proofs:
        by_proxy.setdefault(proof.proxy, []).append(proof)
    rows = []
    for proxy, several in by_proxy.items():
        lacking = [proof for proof in several if not proof.proven]
        witnesses = {one for proof in several for one in proof.witnesses}
        said = (
            "proven: nothing is left out"
            if not lacking
            else f"not proven for {many(len(lacking), 'permission')}: {lacking[0].reason}"
        )
        rows.append(
            (
                handle_of(proxy, Role.PROXY),
                str(len(several)),
                str(sum(proof.receipts for proof in several)),
                f"{max(one.cosigned for one in several)} of {max(one.size for one in several)}, by {len(witnesses)}",
                said,
            )
        )
    return Part(
        "What the proxies proved",
        tuple(f"Not looked at: {one}" for one in left_out),
        ("Proxy", "Permissions", "Receipts", "Cosigned", "Outcome"),
        (15, 9, 9, 17, 50),
        tuple(rows),
    )


def _meaning(proves: str, doesnt: str) -> Part:
    return Part("What this proves, and what it doesn't", (proves, doesnt, _LAW))


def _who(readings: Iterable[Reading]) -> Part:
    people: dict[str, tuple[str, ...]] = {}
    for one in readings:
        if one.requester:
            people.setdefault(
                one.requester, (one.who or one.requester, one.role or "not in the registry", one.requester)
            )
        if one.organisation:
            people.setdefault(
                one.organisation, (one.organisation_name or one.organisation, "hospital", one.organisation)
            )
    return Part(
        "Accounts",
        ("By these the registry of the network knows them.",) if people else (),
        ("Name or handle", "Role", "Account"),
        (25, 15, 60),
        tuple(people.values()),
    )


def _person(one: Reading) -> str:
    return f"{_named(one.who, one.requester, one.role)}{f', {one.role}' if one.role else ''}"


def _house(one: Reading) -> str:
    return _named(one.organisation_name, one.organisation, Role.HOSPITAL.value) if one.organisation else ""


def _named(name: str, account: str, role: str) -> str:
    """Return a name with the handle by which others know it; a name of one's own says nothing to them."""
    try:
        handle = handle_of(Address(account), Role(role))
    except ValueError:
        return name or account
    return handle if name in ("", account, handle) else (name if handle in name else f"{name} ({handle})")


def _called(name: str, account: Address, role: Role) -> str:
    handle = handle_of(account, role)
    return f"{name} ({handle}, account {account})" if name and name != handle else f"{handle}, account {account}"


def _what(one: Reading) -> str:
    scopes = "; ".join(scope_words(one.what)) or "not stated"
    return f"{scopes}: {many(len(one.records), 'record')}" if one.records else scopes


def scope_words(scopes: Iterable[str]) -> list[str]:
    """Return scopes of lanes by category with their years, such as `laboratory 2024, 2025`."""
    found: dict[str, list[str]] = {}
    for text in scopes:
        name, _, year = text.partition("/")
        found.setdefault(name, []).extend([year] if year not in ("", "0") else ["undated"] if year else [])
    return [f"{name} {', '.join(years)}".rstrip() for name, years in found.items()]


def _happened(one: Reading) -> str:
    if not one.permitted and len(one.proxies) == 1 and one.asked > one.needed:
        told = "refused, says one proxy alone"
    elif not one.permitted:
        told = f"refused by {many(len(one.proxies), 'proxy', 'proxies')}"
    else:
        told = f"opened {many(one.envelopes, 'part')}" if one.envelopes else "opened"
        told = told if one.is_confirmed else "said to be opened, by too few proxies"
        told += " after the end" if one.late else ""
        told += f"; signed by {many(len(one.proxies), 'proxy', 'proxies')}" + (
            f", {one.needed} needed" if one.needed else ""
        )
    doubt = disagreement(one)
    return f"{told}; {doubt}" if doubt else told


def _beyond(found: Collection[object]) -> str:
    return f"The first {MOST:,} of {len(found):,}; panachain log --as csv writes all."


def _when(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def _short(policy_id: str) -> str:
    return policy_id[:10]
