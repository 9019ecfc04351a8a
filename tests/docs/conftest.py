"""The world in which the Python of the documents runs: `me`, `doctor`, `nurse`, `clinic`, `study` and a registrar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from panachain import Network
from panachain.crypto.keys import Seed
from panachain.passphrase import FILE
from panachain.sdk import base, unlocking
from panachain.sdk.profiles import Profile, write_private
from tests.twin.world import World, resource, running_world, seed_of

PEOPLE = {
    "me": "patient",
    "doctor": "clinician",
    "nurse": "nurse",
    "clinic": "clinic",
    "study": "researcher",
    "registrar": "registrar",
}
"""Names in the documents, and who they are in the twin's world."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which everybody has a profile, and the settings name it."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "passphrase").write_text("correct horse battery staple\n")
    (folder / "passphrase").chmod(0o600)
    (folder / "records").mkdir()
    for number, (category, year) in enumerate([("laboratory", 2024), ("allergies", 2025)]):
        told = resource(category, year, number)
        told |= {"code": {"text": "Glucose"}} if category == "laboratory" else {}
        (folder / "records" / f"{number}.json").write_text(json.dumps(told))
    with running_world() as made, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("PANACHAIN_HOME", str(made.home))
        monkeypatch.setenv(FILE, str(folder / "passphrase"))
        for name in ("PANACHAIN_PROFILE", "PANACHAIN_CONFIG"):
            monkeypatch.delenv(name, raising=False)
        for name, who in PEOPLE.items():
            place = made.home / "profiles" / name
            place.mkdir(exist_ok=True)
            actor = made.sessions[who].profile
            shown = Profile(name, actor.role, actor.address, actor.keys, place)
            write_private(place / "profile.json", json.dumps(shown.to_json()).encode())

        # Key stores aren't used in the twin's world.
        def seed(profile: Profile, _: str) -> Seed:
            return seed_of(PEOPLE.get(profile.name, profile.name))

        unlocked, beside = patch.object(base, "unlock", seed), patch.object(unlocking, "unlock", seed)
        # It outlives every session.
        opened = patch.object(Network, "open", lambda config=None: made.network)
        kept = patch.object(type(made.network), "close", lambda _: None)
        with unlocked, beside, opened, kept:
            # What a document's reader did before.
            made.clinic.upload(["records"], "me")
            made.patient.grant("doctor", ["laboratory"], until=made.now + 1_000_000)
            made.clinician.request("me", ["allergies"], until=made.now + 1_000_000)
            yield made
