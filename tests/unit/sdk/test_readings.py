"""One opening is told once, however many proxies, lanes and hospitals it took; and no receipt is lost."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panachain.cli.readings import reading_words
from panachain.model.actors import Address, PolicyId
from panachain.sdk.readings import APART, LONGEST, readings
from panachain.sdk.results.log import LogEntry

POLICY, OTHER = PolicyId("0x" + "11" * 20), PolicyId("0x" + "12" * 20)
DOCTOR, NURSE, TEAM = "0x" + "22" * 20, "0x" + "23" * 20, "0x" + "24" * 20
PROXIES = tuple(Address("0x" + f"{n:02x}" * 20) for n in (0x31, 0x32, 0x33))
START = 1_800_000_000
READ = LogEntry(
    at=START,
    kind="reencrypted",
    policy_id=POLICY,
    proxy=PROXIES[0],
    count=5,
    grantee=DOCTOR,
    requester=DOCTOR,
    purpose="TREAT",
    scopes=("laboratory",),
)


def changed(**fields: object) -> LogEntry:
    return dataclasses.replace(READ, **fields)  # type: ignore[arg-type]


def test_receipts_of_several_proxies_and_lanes_are_one_reading() -> None:
    entries = [
        changed(at=START + second, proxy=proxy, scopes=(scope,), count=count)
        for second, (scope, count) in enumerate([("laboratory", 5), ("vitals", 2)])
        for proxy in PROXIES[:2]
    ]
    (reading,) = readings(entries)
    assert (reading.requester, reading.granted_to, reading.purpose, reading.permitted) == (
        DOCTOR,
        DOCTOR,
        "TREAT",
        True,
    )
    assert reading.what == ("laboratory", "vitals")
    assert (reading.at, reading.ended_at) == (START, START + 1)
    assert reading.proxies == PROXIES[:2]
    assert reading.envelopes == 7
    assert reading.late == ()
    assert reading.to_json()["when"] == "2027-01-15T08:00:00Z"


def test_a_proxy_that_helped_a_little_does_not_lower_the_number() -> None:
    entries = [
        changed(count=4),
        changed(count=3),
        changed(proxy=PROXIES[1], count=7),
        changed(proxy=PROXIES[2], count=1),
    ]
    assert readings(entries)[0].envelopes == 7


@pytest.mark.parametrize(
    "fields",
    [
        {"policy_id": OTHER},
        {"requester": NURSE},
        {"grantee": TEAM},
        {"purpose": "HRESCH"},
        {"kind": "denied"},
        {"late": True},
        {"at": START + APART + 1},
    ],
)
def test_what_differs_is_another_reading(fields: dict[str, object]) -> None:
    assert len(readings([READ, changed(**fields)])) == 2


def test_an_opening_may_take_long_as_long_as_receipts_follow_each_other() -> None:
    entries = [changed(at=START + APART * step) for step in range(20)]
    (reading,) = readings(entries)
    assert reading.ended_at - reading.at == 19 * APART


def test_a_refusal_and_a_late_service_name_their_proxies() -> None:
    late, refused = readings([changed(kind="denied", count=0), changed(late=True, proxy=PROXIES[2])])
    assert (refused.permitted, refused.proxies) == (False, PROXIES[:1])
    assert late.late == (PROXIES[2],)


def test_deposits_and_deletions_are_no_readings() -> None:
    assert readings([changed(kind="deposited"), changed(kind="deleted")]) == []
    assert readings([]) == []


def proxied(number: int, marks: str = "ab", **fields: object) -> LogEntry:
    known = frozenset(mark.encode() * 6 for mark in marks)
    return changed(proxy=PROXIES[number], marks=known, needed=2, asked=3, count=len(marks), **fields)


def test_what_enough_proxies_signed_is_agreed() -> None:
    (reading,) = readings([proxied(0), proxied(1)])
    assert (reading.needed, reading.unconfirmed, reading.dissents) == (2, 0, ())
    # Two of them for each envelope, whoever they are.
    (reading,) = readings([proxied(0, "ab"), proxied(1, "a"), proxied(2, "b")])
    assert reading.unconfirmed == 0


def test_what_fewer_proxies_signed_than_it_takes_is_told() -> None:
    (reading,) = readings([proxied(0, "abc"), proxied(1, "a")])
    assert reading.unconfirmed == 2
    silent = changed(kind="silent", proxy=PROXIES[2], reason="no answer")
    (reading,) = readings([proxied(0), silent])
    assert (reading.unconfirmed, reading.silent) == (2, (PROXIES[2],))
    # Without marks the number of proxies tells.
    (reading,) = readings([proxied(0, "")])
    assert (reading.unconfirmed, reading.is_confirmed) == (1, False)
    (reading,) = readings([changed(needed=2, asked=3)])
    assert (reading.unconfirmed, reading.envelopes, reading.is_confirmed) == (5, 0, False)


def test_a_proxy_that_names_another_person_or_purpose_is_told_and_told_of() -> None:
    for field, value in (("requester", NURSE), ("purpose", "HRESCH"), ("grantee", TEAM)):
        liar = proxied(1, **{field: value})
        true, lie = sorted(readings([proxied(0), liar]), key=lambda one: one.proxies)
        named = {"grantee": "granted_to"}.get(field, field)
        assert [(one.proxy, one.says, one.value) for one in true.dissents] == [(PROXIES[1], named, value)]
        assert [(one.proxy, one.says) for one in lie.dissents] == [(PROXIES[0], named)]
        assert str(true.dissents[0]) == f"{PROXIES[1]} {named} {value}"
    # With enough who agree, one liar's word disagrees with itself alone: theirs is confirmed.
    found = readings([proxied(0), proxied(2), proxied(1, requester=NURSE)])
    assert {one.requester: len(one.dissents) for one in found} == {DOCTOR: 0, NURSE: 2}


def test_two_who_read_the_same_within_a_minute_do_not_disagree() -> None:
    found = readings([proxied(n, requester=who) for n in (0, 1) for who in (DOCTOR, NURSE)])
    assert [one.dissents for one in found] == [(), ()]


def test_a_refusal_beside_what_others_served_is_told_on_both_sides() -> None:
    # Only where too few signed that they served.
    served, refused = readings([proxied(0), proxied(2, "", kind="denied")])
    assert [(one.proxy, one.says) for one in served.dissents] == [(PROXIES[2], "refused")]
    assert [(one.proxy, one.says) for one in refused.dissents] == [(PROXIES[0], "served")]
    # So many that nobody else could have served it: another attempt.
    found = readings([proxied(0), proxied(1), *(proxied(n, "", kind="denied", at=START + 1) for n in (1, 2))])
    assert [one.dissents for one in found] == [(), ()]


def test_one_proxy_makes_no_opening_larger_and_invents_none() -> None:
    liar = dataclasses.replace(proxied(2, "a"), count=60_000)
    (reading,) = readings([proxied(0, "ab"), proxied(1, "ab"), liar])
    assert (reading.envelopes, reading.unconfirmed, reading.is_confirmed) == (2, 0, True)
    # Marks that nobody else signs are said, not opened; nor do others' count twice in another lane.
    (reading,) = readings([proxied(0, "ab"), proxied(1, "ab"), proxied(2, "abxyz", scopes=("vitals",))])
    assert (reading.envelopes, reading.unconfirmed, reading.is_confirmed) == (2, 3, True)
    # Without marks.
    plain = [proxied(number, "", scopes=("laboratory",)) for number in (0, 1, 2)]
    counts = [dataclasses.replace(one, count=count) for one, count in zip(plain, (3, 2, 60_000), strict=True)]
    assert readings(counts)[0].envelopes == 3
    assert readings([*counts[:2], liar])[0].envelopes == 2
    (alone,) = readings([liar])
    assert (alone.envelopes, alone.unconfirmed, alone.is_confirmed) == (0, 1, False)
    (late,) = readings([dataclasses.replace(liar, late=True)])
    assert reading_words(late.to_json()) == "read after the end, say 1 of 2 proxies"
    assert readings([proxied(0, late=True), proxied(1)])[0].envelopes == 2
    assert readings([proxied(0, "", kind="denied")])[0].is_confirmed


def test_one_proxy_that_signs_a_refusal_disputes_nothing_that_enough_signed() -> None:
    lie = proxied(2, "", kind="denied")
    late = [proxied(0), proxied(1, late=True)]
    for told in ([proxied(0), proxied(1)], late, [proxied(0, ""), proxied(1, "")]):
        found = readings([*told, lie])
        assert [(one.unconfirmed, one.dissents) for one in found] == [(0, ())] * len(found)
    refused = found[-1]
    assert (refused.permitted, refused.asked, refused.to_json()["asked"]) == (False, 3, 3)
    assert reading_words(refused.to_json()) == "was refused, says one proxy alone"
    assert reading_words(dataclasses.replace(refused, asked=2).to_json()) == "was refused by 1 proxy"


def test_what_came_late_counts_as_signed() -> None:
    found = readings([proxied(0), proxied(1, late=True)])
    assert [(one.unconfirmed, one.dissents) for one in found] == [(0, ()), (0, ())]


def test_a_proxy_that_signs_no_end_of_lies_costs_no_end_of_time() -> None:
    lies = [proxied(1, requester=f"0x{n:040x}") for n in range(4000)]
    found = readings([proxied(0), *lies])
    assert len(found) == 4001
    assert max(len(one.dissents) for one in found) <= 64 * 2


ENTRIES = st.lists(
    st.builds(
        changed,
        at=st.integers(START, START + 400),
        proxy=st.sampled_from(PROXIES),
        policy_id=st.sampled_from([POLICY, OTHER]),
        requester=st.sampled_from([DOCTOR, NURSE]),
        kind=st.sampled_from(["reencrypted", "denied", "deposited"]),
        late=st.booleans(),
        count=st.integers(0, 9),
    ),
    max_size=30,
)


@given(ENTRIES, st.randoms())
def test_order_does_not_matter_and_every_receipt_is_covered(entries: list[LogEntry], random: object) -> None:
    found = readings(entries)
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert readings(shuffled) == found
    for entry in (one for one in entries if one.kind != "deposited"):
        covers = [
            one
            for one in found
            if (one.policy_id, one.requester, one.permitted)
            == (entry.policy_id, entry.requester, entry.kind == "reencrypted")
            and one.at <= entry.at <= one.ended_at
            and entry.proxy in one.proxies
            and bool(one.late) == entry.late
        ]
        assert len(covers) == 1


def test_receipts_in_between_do_not_join_openings_of_different_hours() -> None:
    bridge = [changed(at=START + minute * APART, proxy=PROXIES[2]) for minute in range(180)]
    both = [changed(at=START + second, proxy=proxy) for second in (0, 179 * APART) for proxy in PROXIES[:2]]
    found = readings([*bridge, *both])
    assert all(reading.ended_at - reading.at <= LONGEST for reading in found)
    assert found[0].at == START
    assert START + 179 * APART - found[-1].at <= LONGEST
    assert PROXIES[0] in found[-1].proxies
