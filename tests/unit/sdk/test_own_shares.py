"""A reader's own share: proven by the proxies' logs, signed for the hospital, and honest about what it lacks."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pypdf import PdfReader

from panachain.chain.signing import Account
from panachain.errors import IntegrityError, UsageError
from panachain.proxy import messages
from panachain.sdk import own_readings, own_shares
from panachain.sdk.own_readings import OwnReadings
from panachain.sdk.own_shares import open_share
from tests.twin.world import THRESHOLD, World
from tests.unit.sdk.helpers import again, grant, opened, upload


def year_of(world: World) -> int:
    return datetime.fromtimestamp(world.now, UTC).year


def text_of(report: Any) -> str:
    pages = PdfReader(io.BytesIO(report.pdf())).pages
    return " ".join(" ".join(page.extract_text().split()) for page in pages)


def change(world: World, **fields: Any) -> None:
    """Change the first receipt that the clinician remembers of the newest opening."""
    kept = OwnReadings(world.clinician.profile.folder, world.clinician._seed)
    reading = kept.all()[-1]
    first, *rest = reading.receipts
    kept.end(reading, replace(reading, receipts=(replace(first, **fields), *rest)))


def test_what_was_opened_is_proven_by_the_logs_without_the_patient(world: World) -> None:
    upload(world, 2)
    opened(world, grant(world).policy_id)
    world.wait()
    clinician, year = again(world, "clinician"), year_of(world)
    (proven,) = clinician.share.prove(year)
    assert proven.reading.records == 2
    assert len(proven.proven) >= THRESHOLD
    assert (proven.missing, proven.open) == ((), ())
    report = clinician.share.report(year, name="Ελένη")
    assert report.complete
    text = text_of(report)
    assert "Ελένη" in text
    assert world.patient.profile.handle in text
    assert "1 of 1 are proven" in text
    assert "doesn't prove that nothing is missing" in text

    # The patient's own log has the same places: what one proves, the other shows.
    shown = {(one.proxy, one.receipt.sequence) for one in world.patient.receipts() if one.kind == "reencrypted"}
    assert {(one.proxy, one.sequence) for one in proven.reading.receipts} <= shown

    # One that is down can't tell, and takes nothing from the others.
    down = proven.proven[0]
    next(proxy for proxy in world.proxies if proxy.address == down).up = False
    (proven,) = clinician.share.prove(year)
    assert proven.open == (down,)
    assert down not in proven.proven
    with pytest.raises(UsageError):
        clinician.share.report(year + 1)


def test_what_is_not_in_a_log_is_named(world: World) -> None:
    upload(world)
    opened(world, grant(world).policy_id)
    world.wait()
    year = year_of(world)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"sequence": 999}, "open"),
        ({"sequence": 1}, "missing"),
        ({"leaf": bytes(32)}, "missing"),
    ]
    for fields, where in cases:
        change(world, **fields)
        (proven,) = again(world, "clinician").share.prove(year)
        (lacking,) = getattr(proven, where)
        assert lacking not in proven.proven
        report = world.clinician.share.report(year)
        assert report.complete == (where == "open")
        assert ("tell the registrar" in text_of(report)) == (where == "missing")


def test_a_hospital_counts_what_its_own_practitioners_signed_and_says_who_did_not(world: World) -> None:
    upload(world)
    opened(world, grant(world).policy_id)
    opened(world, grant(world, "nurse").policy_id, "nurse")
    world.wait()
    year, domain = year_of(world), world.network.mainchain.log.domain
    mine = again(world, "clinician").share.hand_in(year)
    assert open_share(mine, domain=domain).reader == world.clinician.address
    researcher = world.sessions["researcher"].share.hand_in(year)
    report = again(world, "hospital").report(
        year, [("a.share", mine), ("junk", b"[" * 10_000), ("r", researcher), ("again", mine)], name="Łódź"
    )
    assert (report.openings, report.complete) == (1, False)
    text = text_of(report)
    assert "Łódź" in text
    assert world.sessions["nurse"].profile.handle in text.partition("Nothing was handed in by:")[2]
    assert "junk is left out" in text
    assert "isn't a practitioner of this hospital" in text
    # With everybody's.
    shares = [(name, again(world, name).share.hand_in(year)) for name in ("clinician", "nurse", "stranger")]
    report = again(world, "hospital").report(year, shares)
    assert (report.openings, report.complete) == (2, True)


def signed(world: World, share: bytes, *, name: str = "clinician", **fields: Any) -> bytes:
    """Return a share with other fields as its reader would sign it."""
    changed = {key: value for key, value in json.loads(share).items() if key != "signature"} | fields
    digest = own_shares._digest(world.network.mainchain.log.domain, changed)
    signature = Account(world.sessions[name]._seed.account_key()).sign_digest(digest)
    return messages.canonical(changed | {"signature": signature.hex()})


def test_a_hospital_is_told_what_is_stated_and_nothing_is_called_proven(world: World) -> None:
    upload(world)
    opened(world, grant(world).policy_id)
    opened(world, grant(world, "nurse").policy_id, "nurse")
    world.wait()
    year, hospital = year_of(world), again(world, "hospital")
    true = again(world, "clinician").share.hand_in(year)
    (reading,) = json.loads(true)["readings"]
    nurse = again(world, "nurse").share.hand_in(year)

    def places(*shares: bytes) -> list[str]:
        report = hospital.report(year, [(str(number), share) for number, share in enumerate(shares)])
        text = text_of(report)
        assert "what practitioners state, not what is proven" in text
        assert "Proven" not in text
        assert "registrar" not in text
        return sorted(row[-1] for row in report.parts[0].rows)

    count = len(reading["receipts"])
    assert places(true) == [f"{count} are there"]
    # A place that no log has accuses nobody.
    proxy, sequence, _ = reading["receipts"][0].split()
    lie = signed(world, true, readings=[reading | {"receipts": [f"{proxy} {sequence} {'00' * 32}"]}])
    assert places(lie) == ["1 is not"]
    # A leaf counts once: neither for made-up openings beside it, nor for those in another's share.
    twice = signed(world, true, readings=[reading, reading | {"policy_id": "0x" + "77" * 20}])
    assert places(twice) == [f"{count} are named more than once"] * 2
    assert (
        places(true, signed(world, nurse, name="nurse", readings=[reading]))
        == [f"{count} are named more than once"] * 2
    )
    # Another year's opening makes the share one of no year.
    other = signed(world, true, readings=[reading | {"at": 946_684_800}])
    with pytest.raises(IntegrityError, match="another year"):
        open_share(other, domain=world.network.mainchain.log.domain)


def test_a_hostile_share_is_named_and_costs_no_other(world: World) -> None:
    upload(world)
    opened(world, grant(world).policy_id)
    opened(world, grant(world, "nurse").policy_id, "nurse")
    world.wait()
    year, hospital = year_of(world), again(world, "hospital")
    mine = again(world, "clinician").share.hand_in(year)
    nurse = again(world, "nurse").share.hand_in(year)
    (reading,) = json.loads(mine)["readings"]
    place = reading["receipts"][0]
    stranger = f"0x{'ab' * 20} 1 {'00' * 32}"
    bad = [
        *({"at": 10**18}, {"at": 253_402_300_800}, {"at": -1}, {"at": True}, {"at": "1"}, {"at": 1.5}),
        *({"records": 10**30}, {"left_out": -1}, {"years": [10**20]}, {"years": [2024] * 201}),
        *({"purpose": "x" * 65}, {"categories": ["x" * 65]}, {"receipts": [place] * 201}),
        *({"receipts": [place.replace(place.split()[1], str(10**18))]}, {"receipts": [stranger]}),
    ]
    shares = [signed(world, mine, readings=[reading | one]) for one in bad]
    shares += [
        signed(world, mine, made_at=10**14),
        signed(world, mine, readings=[reading] * 5001),
        mine.replace(f'"at":{reading["at"]}'.encode(), b'"at":1e400'),
    ]
    files = [(f"bad-{number}", share) for number, share in enumerate(shares)]
    report = hospital.report(year, [*files, ("nurse", nurse)])
    assert report.openings == 1
    text = text_of(report)
    for name, _ in files:
        assert f"{name} is left out" in text
    assert "is no proxy of this network" in text


def test_a_share_that_was_changed_is_refused(world: World) -> None:
    upload(world)
    opened(world, grant(world).policy_id)
    share, domain = again(world, "clinician").share.hand_in(year_of(world)), world.network.mainchain.log.domain
    assert len(open_share(share, domain=domain).readings[0].receipts) >= THRESHOLD
    changes: list[dict[str, Any]] = [
        *({"year": 1999}, {"readings": []}, {"dropped": 7}, {"reader": "0x" + "11" * 20}, {"signature": "00" * 65}),
        *({"signature": "zz"}, {"schema": "panachain/own-share/2"}, {"readings": [{"receipts": ["x"]}]}),
        *({"readings": 7}, {"year": True}, {"reader": "\x1b[2J"}),
    ]
    for changed in changes:
        with pytest.raises(IntegrityError):
            open_share(messages.canonical(json.loads(share) | changed), domain=domain)
    for content in (b"", b"[]", b"[" * 10_000, b"{", share[:-1]):
        with pytest.raises(IntegrityError):
            open_share(content, domain=domain)
    with pytest.raises(IntegrityError, match="didn't sign"):
        open_share(share, domain=bytes(32))


def test_what_is_not_remembered_any_more_is_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_readings, "MOST", 1)
    upload(world)
    policy = grant(world).policy_id
    for _ in range(2):
        opened(world, policy)
    report = again(world, "clinician").share.report(year_of(world))
    assert (report.openings, report.complete) == (1, False)
    assert "1 earlier opening of the year isn't remembered" in text_of(report)


def test_a_receipt_is_a_place_in_a_log() -> None:
    with pytest.raises(ValueError, match="no place"):
        own_readings._receipt(bytes(20), 0, bytes(32))
    with pytest.raises(ValueError, match="no place"):
        own_readings._receipt(bytes(20), 1, bytes(31))
    assert own_readings._receipt(bytes(20), 1, bytes(32)).sequence == 1
