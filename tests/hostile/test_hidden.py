"""A hospital that shows readers what it hides from the patient whom it is about, and the other way round.

It has the locator keys of every lane, and may name a record in some of its lanes only. Whatever a reader can find, the
patient finds, is told that it was hidden, and has moved with the rest. Follows security rule 22 and design section 4.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest

from panachain.errors import PartlyDoneError
from panachain.ipld.cid import CID
from panachain.model.scope import Scope
from panachain.records import header
from panachain.records.findings import Strict
from panachain.sdk.opening import Opening
from tests.hostile.evil_hospital import BUNDLE, EvilHospital
from tests.twin.world import World, resource
from tests.unit.sdk.helpers import again


def hide(evil: EvilHospital, scope: str) -> str:
    """Publish a record that is named in one of its lanes alone, beside one that is whole; return its header."""
    evil.record()
    rows, following = dict(evil.rows), dict(evil.following)
    envelope = evil.envelope()
    evil.add(envelope)
    (hidden,) = evil.seal(envelope)
    evil.rows, evil.following = rows, following
    evil.name(hidden, [one for one in envelope.path if one[0] == Scope.parse(scope)])
    evil.publish()
    return str(hidden)


@pytest.mark.parametrize("replaced", [True, False])
def test_one_that_was_sealed_anew_is_told_as_found_and_not_as_lost(
    world: World, evil: EvilHospital, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    """Where its old header is gone, as after every re-wrapping; what nothing stands for is left out."""
    old = CID.parse(hide(evil, "all"))
    seal = header.seal_header
    # That of the whole one, and that of the hidden one.
    seals = iter([seal, partial(seal, replaces=[old]) if replaced else seal])
    monkeypatch.setattr(header, "seal_header", lambda *args, **named: next(seals)(*args, **named))
    new = hide(evil, "all")
    monkeypatch.setattr(header, "seal_header", seal)
    world.network.store.delete_blocks([old])
    opening = again(world).records()
    found: list[str] = []
    with nullcontext() if replaced else pytest.raises(PartlyDoneError):
        found += [one.info.header_cid for one in opening]
    assert not replaced or new in found
    assert [one.what for one in opening.omissions] == ([] if replaced else [f"record {old}"])


def read(opening: Opening) -> list[str]:
    return [record.info.header_cid for record in opening if record.content == BUNDLE]


@pytest.mark.parametrize("scope", ["all", "laboratory/2025"])
def test_the_patient_finds_what_others_were_shown(world: World, evil: EvilHospital, scope: str) -> None:
    hidden = hide(evil, scope)
    name, _, year = scope.partition("/")
    years = [int(year)] if year else []
    policy = again(world).grant(world.clinician.address, [name], years=years, until=world.now + 10_000)
    assert hidden in read(world.clinician.open(policy))
    opening = again(world).records()
    found = read(opening)
    assert (len(found), hidden in found) == (2, True)
    assert [str(one) for one in opening.notices if hidden in one.what and "showed it to others only" in str(one)]
    assert opening.omissions == []


@pytest.mark.parametrize("scope", ["all", "laboratory/2025"])
def test_the_patient_is_told_what_others_do_not_find(world: World, evil: EvilHospital, scope: str) -> None:
    hidden = hide(evil, "laboratory")
    name, _, year = scope.partition("/")
    again(world).grant(world.clinician.address, [name], years=[int(year)] if year else [], until=world.now + 10_000)
    opening = again(world).records()
    assert hidden in read(opening)
    (told,) = [str(one) for one in opening.notices if f"category {scope}" in one.what]
    assert f"not in it: 1 record, such as {hidden}; nobody who was granted it" in told


def test_a_rotation_asks_for_it_with_the_rest(world: World, evil: EvilHospital) -> None:
    """Or a revoked reader who colludes with proxies would keep it in reach."""
    hidden = hide(evil, "all")
    policy = again(world).grant(world.clinician.address, ["all"], until=world.now + 10_000)
    again(world).revoke(policy, rotate=True)
    lanes = world.patient._lanes
    (event,) = [event for hospital, event in lanes.hospitals() if hospital.address == evil.address]
    asked = [str(move.header) for order in lanes.standing_orders(event, Strict()) for move in order]
    assert (len(asked), hidden in asked) == (2, True)


def test_where_nothing_is_hidden_nothing_is_said_or_fetched_again(
    world: World, evil: EvilHospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evil.record()
    evil.publish()
    fetched: list[object] = []
    get = type(world.network.store).get_block

    def fetch(self: Any, cid: Any) -> Any:
        fetched.append(cid)
        return get(self, cid)

    monkeypatch.setattr(type(world.network.store), "get_block", fetch)
    opening = again(world).records()
    assert read(opening) == [str(whole)]
    assert (opening.notices, fetched.count(whole)) == ([], 1)


@pytest.mark.parametrize("rotated", [False, True])
def test_what_was_granted_is_asked_once_for_all_hospitals(
    world: World, monkeypatch: pytest.MonkeyPatch, rotated: bool
) -> None:
    """The mainchain is asked for it, and a patient may have many of them."""
    for number, hospital in enumerate(("hospital", "clinic")):
        world.upload(hospital, [resource("laboratory", 2025, number)])
    policy = again(world).grant(world.clinician.address, ["laboratory"], until=world.now + 10_000)
    patient = again(world)
    scopes, asked = type(patient._policies).scopes, list[int]()

    def count(self: Any) -> Any:
        asked.append(1)
        return scopes(self)

    monkeypatch.setattr(type(patient._policies), "scopes", count)
    if rotated:
        assert patient.revoke(policy, rotate=True).rotated
    else:
        assert len(list(patient.records())) == 2
    assert len(asked) == 1
