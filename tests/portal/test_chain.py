"""The chains, as people understand them."""

from __future__ import annotations

import re
from datetime import timedelta

from panachain.model.actors import Role
from tests.portal.conftest import Portal, text_of
from tests.twin.world import resource


def test_everybody_reads_what_happened_in_sentences(portal: Portal) -> None:
    world = portal.world
    world.upload("hospital", [resource("laboratory", 2024, number) for number in range(3)])
    for role in (Role.PATIENT, Role.HOSPITAL, Role.PRACTITIONER, Role.RESEARCHER):
        page = portal.client_of(role).page("/chain")
        told = text_of(page)
        assert re.search(r"hospital published \d record", told)
        assert "clinic was registered." in told
        assert "RecordsStored" not in told


def test_the_sidechain_has_its_page(portal: Portal) -> None:
    told = text_of(portal.client_of(Role.PATIENT).page("/chain/sidechain"))
    assert "patient let hospital publish to them." in told
    assert "clinician was registered." in told


def test_a_permission_tells_nobody_whose_it_is(portal: Portal) -> None:
    world = portal.world
    made = world.patient.grant(world.clinician.address, ["laboratory"], "TREAT", until=timedelta(days=30))
    client = portal.client_of(Role.RESEARCHER)
    page = client.page("/chain")
    assert "A patient granted a permission." in text_of(page)
    links = re.findall(r'href="(/chain/mainchain/\d+/\d+)"', page)
    shown = [client.page(link) for link in links]
    (granted,) = [page for page in shown if "PolicyGranted" in page]
    assert made.policy_id.lower() in granted.lower()
    assert world.patient.address not in granted


def test_each_entry_has_its_block_its_transaction_and_its_fields(portal: Portal) -> None:
    client = portal.client_of(Role.PATIENT)
    links = re.findall(r'href="(/chain/sidechain/\d+/\d+)"', client.page("/chain/sidechain"))
    assert links
    for link in links[:3]:
        page = client.page(link)
        assert len(re.findall(r">0x[0-9a-f]{64}<", page)) >= 2
        assert "What proves it" in page


def test_what_isnt_there_is_said(portal: Portal) -> None:
    client = portal.client_of(Role.PATIENT)
    client.page("/chain/otherchain", status=404)
    client.page("/chain/mainchain/999999/0", status=400)
    client.page("/chain/mainchain/x/y", status=400)
    client.page("/chain/mainchain?before=x", status=400)
